//! Requests that bring a large part of a hierarchy along: chains, cycles, what is stored below what is brought and the other
//! way around. What is above an entity of the context is asked for whole: every entity has a policy for what is in it. Of what
//! is above principal and resource it is every other one: Cedar evaluates all policies.
//!
//! The worlds of `generate` have a dozen entities and bring up to three, which is too few for all ways through an overlay.

use std::fmt::Write;

use duramen::{Authorizer, EntityUpdate, Scratch};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::entity_updates::{State, add, model};
use super::generate::hierarchies::{THINGS, nodes};
use super::generate::{Numbers, Tape, config};
use super::many::{WAYS, is_right, of_each_byte};
use super::oracle::{Oracle, World, ours, reproduction, tunings};
use super::value::{Uid, entities_json};

/// Changes of what is stored; requests are asked before the first and after each.
const UPDATES: usize = 1;
const REQUESTS: usize = 4;

/// Both engines with the policies of this module: they take longer to load than all that is asked of them.
struct Engines {
    oracle: Oracle,
    /// One for each way to be tuned.
    authorizers: Vec<Authorizer>,
    scratch: Scratch,
}

impl Engines {
    fn new() -> Self {
        let world = World {
            policies: policies(),
            ..World::default()
        };
        let build = |tuning| world.builder().tuning(tuning).build().unwrap();
        Self {
            oracle: world.oracle().unwrap(),
            authorizers: tunings().map(build).into(),
            scratch: Scratch::new(),
        }
    }
}

fn policies() -> String {
    let entity = |(of, id): &Uid| format!("{of}::\"{id}\"");
    let all: Vec<String> = nodes().map(|uid| entity(&uid)).collect();
    let (things, actions) = all.split_at(THINGS);
    let mut text = String::new();
    for (number, thing) in things.iter().enumerate() {
        let scope = match number % 4 {
            0 | 1 => format!("principal in {thing}, action, resource"),
            _ => format!("principal, action, resource in {thing}"),
        };
        let _ = writeln!(
            text,
            "permit({scope});\n\
             permit(principal, action, resource) when {{ context.x in {thing} }};"
        );
    }
    for action in actions {
        let _ = writeln!(text, "permit(principal, action in {action}, resource);");
    }
    for condition in [
        "resource in principal",
        "principal in resource",
        "principal in context.set",
        "context.x in context.set",
        "principal in context.x",
        "context.x.n == 1",
        "principal.n == 1 || resource.getTag(\"t\") == 1",
        "action.n > 0",
    ] {
        let _ = writeln!(
            text,
            "permit(principal, action, resource) when {{ {condition} }};"
        );
    }
    let some: Vec<&str> = things.iter().step_by(3).map(|thing| &**thing).collect();
    let _ = writeln!(
        text,
        "permit(principal, action, resource) when {{ context.x in [{}] }};\n\
         permit(principal, action in [{}], resource);\n\
         permit(principal is User in {}, action, resource);",
        some.join(", "),
        actions[..3].join(", "),
        things[THINGS - 1]
    );
    text
}

/// A hierarchy, requests of it and changes in between, made from bytes.
pub(crate) fn hierarchies_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (tuning, numbers) = of_each_byte(bytes);
    tape_agrees(&mut Tape::new(&numbers), tuning)
}

fn tape_agrees(tape: &mut Tape<'_>, tuning: usize) -> Result<(), TestCaseError> {
    thread_local! {
        static ENGINES: std::cell::RefCell<Engines> = Engines::new().into();
    }
    ENGINES.with_borrow_mut(|engines| {
        let mut world = World {
            policies: policies(),
            entities: tape.hierarchy(),
            ..World::default()
        };
        let authorizer = engines.authorizers[tuning].clone();
        engines.oracle.entities = world.cedar_entities().unwrap();
        let entities = entities_json(&world.entities);
        authorizer.replace_entities(entities.as_str()).unwrap();
        for update in 0..=UPDATES {
            for turn in 0..REQUESTS {
                asks_agree(tape, turn, engines, &authorizer, &world)?;
            }
            if update < UPDATES {
                changes_agree(tape, engines, &authorizer, &mut world)?;
            }
        }
        Ok(())
    })
}

fn asks_agree(
    tape: &mut Tape<'_>,
    turn: usize,
    engines: &mut Engines,
    authorizer: &Authorizer,
    world: &World,
) -> Result<(), TestCaseError> {
    let ask = tape.ask_with_hierarchy();
    let expected = engines.oracle.try_decide(&ask).ok();
    // What brings entities along cannot be prepared.
    let ways = if ask.overlay.is_some() { 4 } else { WAYS };
    let way = turn as u64 % ways;
    let scratch = &mut engines.scratch;
    let right =
        ask.with_request(|request| is_right(authorizer, scratch, request, way, expected.as_ref()));
    if right {
        return Ok(());
    }
    let expected = engines.oracle.decide(&ask);
    let found = ask.with_request(|request| ours(&authorizer.is_authorized(request)));
    let what = format!("way {way}; found (by way 0) {found:#?}, Cedar says {expected:#?}");
    Err(TestCaseError::fail(reproduction(world, Some(&ask), &what)))
}

fn changes_agree(
    tape: &mut Tape<'_>,
    engines: &mut Engines,
    authorizer: &Authorizer,
    world: &mut World,
) -> Result<(), TestCaseError> {
    let changes = tape.changes_of_hierarchy();
    let stored = world.entities.iter();
    let mut state: State = stored.map(|e| (e.uid.clone(), e.clone())).collect();
    let sound = changes
        .iter()
        .all(|change| model(&mut state, change).is_ok());
    let next = World {
        entities: state.into_values().collect(),
        ..world.clone()
    };
    let update = changes.iter().fold(EntityUpdate::new(), add);
    match (authorizer.update_entities(update), next.cedar_entities()) {
        (Ok(_), Ok(entities)) if sound => {
            *world = next;
            engines.oracle.entities = entities;
            Ok(())
        }
        (Err(_), theirs) if !sound || theirs.is_err() => Ok(()),
        (found, theirs) => {
            let (found, theirs) = (found.err(), theirs.err());
            let what = format!("{changes:#?}\nsound: {sound}, {found:?}, Cedar: {theirs:?}");
            Err(TestCaseError::fail(reproduction(world, None, &what)))
        }
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn requests_may_bring_a_hierarchy_along(
        numbers in prop::collection::vec(any::<u8>(), 300..2_500),
        tuning in 0..9_usize,
    ) {
        tape_agrees(&mut Tape::new(&Numbers::of_each(&numbers)), tuning)?;
    }
}

/// What is generated is taken, mostly, and long enough to be hashed rather than walked.
#[test]
fn hierarchies_are_worth_the_time() {
    let world = World {
        policies: policies(),
        ..World::default()
    };
    let mut oracle = world.oracle().unwrap();
    let (mut reached, mut refused) = (Vec::new(), 0);
    for seed in 0..12 {
        let numbers = Numbers::of_seed(seed, 2_000);
        let mut tape = Tape::new(&numbers);
        let entities = tape.hierarchy();
        let world = World {
            entities,
            ..World::default()
        };
        oracle.entities = world.cedar_entities().unwrap();
        for _ in 0..4 {
            match oracle.try_decide(&tape.ask_with_hierarchy()) {
                Err(_) => refused += 1,
                Ok(response) => {
                    let reasons = response.diagnostics().reason().count();
                    reached.push(reasons);
                }
            }
        }
    }
    reached.sort_unstable();
    let summary = format!("refused {refused}, determining policies: {reached:?}");
    println!("{summary}");
    let many = reached.iter().filter(|reasons| **reasons > 15).count();
    assert!(reached.len() > 30 && refused > 2 && many > 8, "{summary}");
}

/// What the fuzzer found once, and what it begins with.
#[test]
fn fuzzed_hierarchies_agree() {
    crate::agree::regressions_agree("overlays", hierarchies_agree);
}
