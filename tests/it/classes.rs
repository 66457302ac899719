//! Many actions, and policies for many different sets of them: what the scope index files by.

use std::fmt::Write;

use duramen::{Authorizer, Policies, Request, Session, Tuning};

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
