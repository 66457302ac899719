//! Many policies whose conditions begin alike: what the value index is for.

use std::fmt::Write;

use duramen::{Authorizer, ErrorMode, PolicyUpdate, Scratch, Tuning};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::generate::{Tape, config, tape};
use super::oracle::{Answer, Ask, World, ours, reproduction};
use super::value::{EntityData, Record, Uid, Val, uid};

const SCOPES: [&str; 7] = [
    "principal, action, resource",
    "principal, action == Action::\"a0\", resource",
    "principal, action in [Action::\"a0\", Action::\"a1\"], resource",
    "principal in Group::\"g0\", action, resource",
    "principal is User in Group::\"g0\", action == Action::\"a1\", resource",
    "principal == User::\"u0\", action, resource",
    "principal, action, resource is Doc",
];

/// Conjuncts with holes for literals, `@` for a short text and `#` for a small number.
const CONJUNCTS: [&str; 24] = [
    "principal.dept == \"@\"",
    "\"@\" == principal.dept",
    "principal has dept && principal.dept == \"@\"",
    "[\"@\", \"@\"].contains(principal.dept)",
    "[\"@\", #, User::\"u#\"].contains(context.n)",
    "principal.groups.contains(\"@\")",
    "context has groups && context.groups.contains(\"@\")",
    "context.n == #",
    "context.n == \"@\"",
    "context has profile.dept && context.profile.dept == \"@\"",
    "context.profile.dept == \"@\"",
    "principal.manager == User::\"u#\"",
    "principal.manager.dept == \"@\"",
    "resource.owner == principal",
    "resource.owner == User::\"u#\"",
    "resource has owner && resource.owner has dept && resource.owner.dept == \"@\"",
    "principal.n + 9223372036854775806 == #",
    "principal == User::\"u#\"",
    "action == Action::\"a#\"",
    "principal.flag",
    "principal.dept like \"@*\"",
    "resource.hasTag(\"t\") && resource.getTag(\"t\") == \"@\"",
    "principal.getTag(\"t\") == \"@\"",
    "[principal.dept].contains(\"@\")",
];

fn filled(tape: &mut Tape<'_>, template: &str) -> String {
    let mut text = String::new();
    for c in template.chars() {
        match c {
            '@' => text.push_str(tape.pick(&["a", "b", "c", "d", "e"])),
            '#' => {
                let _ = write!(text, "{}", tape.below(4));
            }
            c => text.push(c),
        }
    }
    text
}

/// Families of policies: one scope, the same conjuncts with other literals, now and then another ending.
fn policies(tape: &mut Tape<'_>) -> String {
    let mut text = String::new();
    for _ in 0..=tape.below(3) {
        let scope = SCOPES[tape.below(SCOPES.len())];
        let effect = if tape.chance(25) { "forbid" } else { "permit" };
        let conjuncts: Vec<&str> = (0..=tape.below(3))
            .map(|_| CONJUNCTS[tape.below(CONJUNCTS.len())])
            .collect();
        for _ in 0..tape.below(40) {
            let mut condition: Vec<String> = conjuncts
                .iter()
                .map(|template| filled(tape, template))
                .collect();
            if tape.chance(15) {
                let template = CONJUNCTS[tape.below(CONJUNCTS.len())];
                condition.push(filled(tape, template));
            }
            let _ = writeln!(
                text,
                "{effect}({scope}) when {{ {} }};",
                condition.join(" && ")
            );
        }
    }
    text
}

fn text(tape: &mut Tape<'_>) -> Val {
    Val::Str(tape.pick(&["a", "b", "c", "d", "x"]).to_owned())
}

/// A value of the type that conditions expect, or now and then of another.
fn value(tape: &mut Tape<'_>, key: &str) -> Val {
    let key = if tape.chance(10) { "flag" } else { key };
    match key {
        "dept" => text(tape),
        "groups" => Val::Set((0..tape.below(4)).map(|_| text(tape)).collect()),
        "n" if tape.chance(30) => text(tape),
        "n" => Val::Long(tape.below(4) as i64),
        "manager" | "owner" => Val::Entity(user(tape)),
        "profile" => Val::Record(record(tape, &["dept"])),
        _ => Val::Bool(tape.chance(70)),
    }
}

fn record(tape: &mut Tape<'_>, keys: &[&str]) -> Record {
    let mut record = Record::new();
    for key in keys {
        if tape.chance(75) {
            record.insert((*key).to_owned(), value(tape, key));
        }
    }
    record
}

fn user(tape: &mut Tape<'_>) -> Uid {
    uid("User", ["u0", "u1", "u2", "u3"][tape.below(4)])
}

fn entity(tape: &mut Tape<'_>, uid_of: Uid) -> EntityData {
    let mut tags = Record::new();
    if tape.chance(60) {
        tags.insert("t".to_owned(), text(tape));
    }
    EntityData {
        uid: uid_of,
        attrs: record(tape, &["dept", "groups", "manager", "owner", "n", "flag"]),
        tags,
        parents: if tape.chance(50) {
            vec![uid("Group", "g0")]
        } else {
            Vec::new()
        },
    }
}

fn world(tape: &mut Tape<'_>) -> World {
    let mut entities = Vec::new();
    for id in ["u0", "u1", "u2"] {
        entities.push(entity(tape, uid("User", id)));
    }
    for id in ["d0", "d1"] {
        entities.push(entity(tape, uid("Doc", id)));
    }
    World {
        policies: policies(tape),
        entities,
        ..World::default()
    }
}

fn ask(tape: &mut Tape<'_>) -> Ask {
    let action = ["a0", "a1", "a2"][tape.below(3)];
    let resource = ["d0", "d1", "d2"][tape.below(3)];
    let mut ask = Ask::new(user(tape), uid("Action", action), uid("Doc", resource));
    ask.context = record(tape, &["n", "groups", "profile"]);
    ask.typed = tape.chance(50);
    if tape.chance(25) {
        let who = user(tape);
        ask.overlay = Some(vec![entity(tape, who)]);
    }
    ask
}

/// Everything that is said about errors: policies in order, kinds and paths.
pub(crate) fn errors(authorizer: &Authorizer, ask: &Ask) -> Vec<(String, String, Vec<u32>)> {
    let mut scratch = Scratch::new();
    ask.with_request(|request| {
        let response = authorizer.is_authorized_with(&mut scratch, request);
        let errors = response.errors();
        let len = errors.len();
        let errors: Vec<_> = errors
            .map(|error| {
                let kind = format!("{:?}", error.kind());
                (error.policy().id().to_string(), kind, error.path())
            })
            .collect();
        assert_eq!(errors.len(), len);
        errors
    })
}

fn check(
    world: &World,
    ask: &Ask,
    way: &str,
    found: &Answer,
    expected: &Answer,
) -> Result<(), TestCaseError> {
    if found == expected {
        return Ok(());
    }
    let what = format!("{way}: found {found:#?}, expected {expected:#?}");
    Err(TestCaseError::fail(reproduction(world, Some(ask), &what)))
}

proptest! {
    #![proptest_config(config(30))]

    #[test]
    fn policies_that_begin_alike_are_decided_as_cedar_does(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let world = world(&mut tape);
        let oracle = world.oracle().unwrap();
        let asks: Vec<Ask> = (0..12).map(|_| ask(&mut tape)).collect();
        let filed = Tuning::default().with_short_lists(false);
        let with = world.builder().tuning(filed).build().unwrap();
        let without = world
            .builder()
            .tuning(filed.with_value_index(false))
            .build()
            .unwrap();
        let walked = world
            .builder()
            .tuning(filed.with_flat_conditions(false))
            .build()
            .unwrap();
        for ask in &asks {
            let expected = oracle.decide(ask);
            for (way, authorizer) in [("with", &with), ("without", &without), ("walked", &walked)] {
                let found = ask.with_request(|request| ours(&authorizer.is_authorized(request)));
                check(&world, ask, way, &found, &expected)?;
                let allowed = ask.with_request(|request| authorizer.is_allowed(request));
                prop_assert_eq!(allowed, matches!(expected, Answer::Decided { allowed: true, .. }));
            }
            // Our own order and paths, which Cedar does not have.
            prop_assert_eq!(
                errors(&with, ask),
                errors(&walked, ask),
                "{}",
                reproduction(&world, Some(ask), "errors differ between steps and the walk")
            );
            prop_assert_eq!(
                errors(&with, ask),
                errors(&without, ask),
                "{}",
                reproduction(&world, Some(ask), "errors differ with and without the index")
            );
        }
        for mode in [ErrorMode::DenyOnForbidError, ErrorMode::DenyOnAnyError] {
            let build = |on| {
                let builder = world.builder().error_mode(mode);
                builder.tuning(filed.with_value_index(on)).build().unwrap()
            };
            let (with, without) = (build(true), build(false));
            for ask in &asks {
                let both = [&with, &without].map(|authorizer| {
                    ask.with_request(|request| {
                        let outcome = authorizer.is_authorized(request).outcome();
                        (outcome, authorizer.is_allowed(request))
                    })
                });
                prop_assert_eq!(both[0], both[1], "{:?}", mode);
            }
        }
        // Some of them removed, some added: what is no more in force does not come back by way of its group.
        let count = world.policies.lines().count();
        let removed: Vec<usize> = (0..count).filter(|_| tape.chance(20)).collect();
        let added = policies(&mut tape);
        let mut update = PolicyUpdate::new();
        for number in &removed {
            update = update.remove(format!("policy{number}"));
        }
        let mut now = World { policies: String::new(), ..world.clone() };
        for (number, line) in world.policies.lines().enumerate() {
            if !removed.contains(&number) {
                let _ = writeln!(now.policies, "@id(\"policy{number}\") {line}");
            }
        }
        for (number, line) in added.lines().enumerate() {
            update = update.add(format!("added{number}"), line);
            let _ = writeln!(now.policies, "@id(\"added{number}\") {line}");
        }
        with.update_policies(update).unwrap();
        let fresh = Authorizer::builder()
            .policies(now.policies().ids_from_annotations())
            .entities(super::value::entities_json(&world.entities).as_str())
            .tuning(Tuning::default().with_scope_index(false))
            .build()
            .unwrap();
        for ask in &asks {
            let expected = ask.with_request(|request| ours(&fresh.is_authorized(request)));
            let found = ask.with_request(|request| ours(&with.is_authorized(request)));
            check(&now, ask, "after the update", &found, &expected)?;
        }
    }
}
