//! Many actions, and policies for many different sets of them: what the scope index files by.

use std::fmt::Write;

use cedar_policy as cedar;
use duramen::{Authorizer, Policies, Request, Session, Tuning};
use proptest::prelude::*;

use super::generate::{Tape, config, tape};
use super::oracle::{cedar_uid, ours, uid_ref};

/// Actions with ids of numbers. Every third is in a group, and every group is in the one of all.
const ACTIONS: usize = 150;
const GROUPS: usize = 5;

fn entities() -> String {
    let mut entities = vec![
        r#"{"uid":{"type":"User","id":"u"},"attrs":{"level":2},"parents":[{"type":"Team","id":"t"}]}"#.to_owned(),
        r#"{"uid":{"type":"Doc","id":"d"},"attrs":{},"parents":[{"type":"Folder","id":"f"}]}"#.to_owned(),
    ];
    for group in 0..GROUPS {
        entities.push(format!(
            r#"{{"uid":{{"type":"Action","id":"g{group}"}},"attrs":{{}},"parents":[{{"type":"Action","id":"all"}}]}}"#
        ));
    }
    for action in 0..ACTIONS {
        let parent = match action % 3 {
            0 => format!(r#"{{"type":"Action","id":"g{}"}}"#, action % GROUPS),
            _ => String::new(),
        };
        entities.push(format!(
            r#"{{"uid":{{"type":"Action","id":"{action}"}},"attrs":{{}},"parents":[{parent}]}}"#
        ));
    }
    format!("[{}]", entities.join(","))
}

fn action_scope(policy: usize, width: usize) -> String {
    let uid = |n: usize| format!("Action::\"{}\"", n % ACTIONS);
    match policy % 5 {
        0 => "action".to_owned(),
        1 => format!("action == {}", uid(policy)),
        2 => format!("action in Action::\"g{}\"", policy % GROUPS),
        3 => format!("action in [Action::\"all\", {}]", uid(policy * 7)),
        _ => {
            let actions = (0..width).map(|n| uid(policy * 7 + n * n));
            format!("action in [{}]", actions.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Policies with all kinds of the two sides, whose lists of actions have `width` actions.
fn policies(width: usize) -> String {
    let principals = [
        "principal == User::\"u\"",
        "principal in Team::\"t\"",
        "principal is User in Team::\"t\"",
        "principal is Team",
        "principal in User::\"u\"",
    ];
    let resources = [
        "resource",
        "resource == Doc::\"d\"",
        "resource in Folder::\"f\"",
        "resource is Doc",
        "resource is Doc in Folder::\"f\"",
        "resource is Folder in Folder::\"f\"",
        "resource == Folder::\"f\"",
    ];
    // The same few bodies: one that holds, one that does not, one that fails, and none.
    let conditions = [
        "",
        "when { principal.level > 1 }",
        "when { principal.level > 2 }",
        "unless { principal.missing }",
    ];
    let mut text = String::new();
    for policy in 0..700 {
        let effect = if policy % 97 == 96 {
            "forbid"
        } else {
            "permit"
        };
        let _ = writeln!(
            text,
            "{effect} ({}, {}, {}) {};",
            principals[policy % principals.len()],
            action_scope(policy / principals.len(), width),
            resources[policy % resources.len()],
            conditions[policy / 3 % conditions.len()],
        );
    }
    // Told apart by a value, so that they stand in a group beside the others of the same principal.
    for level in 0..64 {
        let _ = writeln!(
            text,
            "permit (principal == User::\"u\", action == Action::\"7\", resource) when {{ principal.level == {level} }};",
        );
    }
    text
}

fn authorizer(width: usize, tuning: Tuning) -> Authorizer {
    Authorizer::builder()
        .policies(Policies::new().text(policies(width)))
        .entities(entities().as_str())
        .tuning(tuning)
        .build()
        .unwrap()
}

/// What is determining, and what fails.
fn answer(session: &mut Session<'_>, action: &str) -> (Vec<String>, Vec<String>, bool) {
    let request = Request::new(("User", "u"), ("Action", action), ("Doc", "d"));
    let response = session.is_authorized(&request);
    let determining = response.determining();
    let determining = determining.map(|policy| policy.id().to_string()).collect();
    let errors = response.errors();
    let errors = errors
        .map(|error| error.policy().id().to_string())
        .collect();
    (determining, errors, response.is_allowed())
}

/// Lists of many actions are not filed under each of them.
#[test]
fn every_action_finds_its_policies() {
    for width in [2, 140] {
        let (with, without) = (
            authorizer(width, Tuning::default().with_short_lists(false)),
            authorizer(width, Tuning::default().with_scope_index(false)),
        );
        let (mut with, mut without) = (with.session(), without.session());
        let actions = (0..ACTIONS).map(|action| action.to_string());
        let others = ["g0", "g4", "all", "unknown"].map(str::to_owned);
        let mut found = 0;
        for action in actions.chain(others) {
            let answer_without = answer(&mut without, &action);
            assert_eq!(
                answer(&mut with, &action),
                answer_without,
                "action {action}"
            );
            found += answer_without.0.len();
        }
        assert!(found > 1000, "{found} policies apply");
    }
}

/// Seventy actions that scopes tell apart, all of them filed under principals, and one policy for the first of them filed under
/// a resource: what is filed there is for no other action, whatever number its class has.
#[test]
fn what_is_filed_for_one_action_is_for_no_other() {
    let mut text =
        "permit(principal, action == Action::\"a0\", resource == Doc::\"d\");\n".to_owned();
    for i in 0..70 {
        let _ = writeln!(
            text,
            "permit(principal == User::\"u{i}\", action == Action::\"a{i}\", resource);"
        );
    }
    for i in 0..9 {
        let _ = writeln!(
            text,
            "permit(principal == User::\"v{i}\", action == Action::\"a1\", resource);"
        );
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .build()
        .unwrap();
    let set: cedar::PolicySet = text.parse().unwrap();
    let mut allowed = 0;
    for action in 0..70 {
        let action = ("Action".to_owned(), format!("a{action}"));
        let [user, doc] = [("User", "eve"), ("Doc", "d")].map(|(ty, id)| (ty.into(), id.into()));
        let asked = cedar::Request::new(
            cedar_uid(&user),
            cedar_uid(&action),
            cedar_uid(&doc),
            cedar::Context::empty(),
            None,
        );
        let entities = cedar::Entities::empty();
        let theirs = cedar::Authorizer::new().is_authorized(&asked.unwrap(), &set, &entities);
        let theirs = theirs.decision() == cedar::Decision::Allow;
        let request = Request::new(uid_ref(&user), uid_ref(&action), uid_ref(&doc));
        assert_eq!(authorizer.is_allowed(&request), theirs, "{action:?}");
        allowed += usize::from(theirs);
    }
    assert_eq!(allowed, 1);
}

proptest! {
    #![proptest_config(config(24))]

    /// More actions than have a bit of their own where policies are filed, and sides that have policies for few of them.
    #[test]
    fn many_actions_find_their_policies(tape in tape()) {
        let mut tape = Tape::new(&tape);
        let mut text = String::new();
        // Which actions policies of each kind of scope are for: the first few or any.
        let reach: Vec<usize> = (0..4).map(|_| [3, 20, 100][tape.below(3)]).collect();
        for _ in 0..80 + tape.below(120) {
            let kind = tape.below(4);
            let n = tape.below(3);
            let (principal, resource) = match kind {
                0 => (format!("principal == User::\"u{n}\""), "resource".to_owned()),
                1 => (format!("principal in Team::\"t{n}\""), "resource".to_owned()),
                2 => ("principal".to_owned(), format!("resource == Doc::\"d{n}\"")),
                _ => ("principal".to_owned(), format!("resource in Folder::\"f{n}\"")),
            };
            let mut action = || format!("Action::\"a{}\"", tape.below(reach[kind]));
            let action = match n == 1 {
                true => format!("action in [{}, {}]", action(), action()),
                false => format!("action == {}", action()),
            };
            let effect = if n == 2 { "forbid" } else { "permit" };
            let _ = writeln!(text, "{effect}({principal}, {action}, {resource});");
        }
        // All actions are told apart, by policies for somebody who does not ask.
        for action in 0..100 {
            let _ = writeln!(text, "permit(principal == User::\"x\", action == Action::\"a{action}\", resource);");
        }
        let entities = r#"[
            {"uid":{"type":"User","id":"u0"},"attrs":{},"parents":[{"type":"Team","id":"t0"},{"type":"Team","id":"t2"}]},
            {"uid":{"type":"User","id":"u1"},"attrs":{},"parents":[{"type":"Team","id":"t1"}]},
            {"uid":{"type":"Doc","id":"d0"},"attrs":{},"parents":[{"type":"Folder","id":"f1"}]},
            {"uid":{"type":"Doc","id":"d1"},"attrs":{},"parents":[{"type":"Folder","id":"f0"},{"type":"Folder","id":"f2"}]}
        ]"#;
        let build = |tuning| {
            let builder = Authorizer::builder().policies(text.as_str()).entities(entities);
            builder.tuning(tuning).build().unwrap()
        };
        let (with, without) = (
            build(Tuning::default()),
            build(Tuning::default().with_scope_index(false)),
        );
        for action in 0..101 {
            let action = format!("a{action}");
            for user in ["u0", "u1", "u2"] {
                for doc in ["d0", "d1", "d2"] {
                    let request = Request::new(("User", user), ("Action", &*action), ("Doc", doc));
                    let (with, without) = (with.is_authorized(&request), without.is_authorized(&request));
                    prop_assert_eq!(ours(&with), ours(&without), "{} {} {}\n{}", user, action, doc, text);
                }
            }
        }
    }
}
