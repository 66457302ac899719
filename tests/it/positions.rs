//! Positions of evaluation errors: the path in the tree, the policy in its source, the bytes that Cedar labels.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use cedar_policy as cedar;
use duramen::replay::PolicyArchive;
use duramen::{Authorizer, Delegation, EntityUidRef, Policies, Request};

use super::loading::Folder;

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "alice" },
      "attrs": { "age": 30, "name": "Alice", "boss": { "__entity": { "type": "User", "id": "bob" } } },
      "tags": { "who": { "__entity": { "type": "User", "id": "carl" } } },
      "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "User", "id": "carl" },
      "attrs": { "boss": { "__entity": { "type": "User", "id": "bob" } } }, "parents": [] },
    { "uid": { "type": "User", "id": "erik" },
      "attrs": { "boss": { "__entity": { "type": "User", "id": "bob" } } }, "parents": [] },
    { "uid": { "type": "User", "id": "dora" },
      "attrs": { "boss": { "__entity": { "type": "User", "id": "bob" } } }, "parents": [] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "age": 9223372036854775807 }, "parents": [] }
]"#;

/// Conditions that fail, each in a way of its own.
const FAILING: [&str; 19] = [
    "when { principal.nope }",
    "when { context.nope == 1 }",
    "when { principal.boss.nope }",
    "when { principal.boss.age + 1 > 0 }",
    "when { User::\"nobody\".age == 1 }",
    "when { principal.name < 3 }",
    "when { true && (false || principal.age) }",
    "when { principal.age }",
    "when { true } unless { principal.nope }",
    "unless { context.a.b == 1 || ip(\"nonsense\").isIpv4() }",
    "when { principal in [Group::\"staff\", 1] }",
    "when { if principal has name then -(-9223372036854775807 - 1) == 0 else true }",
    "when { {\"a\": [1, decimal(\"1.23456\")]}.a.contains(1) }",
    "when { ip(\"10.0.0.1\", \"10.0.0.2\").isIpv4() }",
    "when { principal.getTag(\"x\") == 1 }",
    "when { User::\"erik\".boss.age + 1 > 0 }",
    "when { context.who.boss.age + 1 > 0 }",
    "when { principal.getTag(\"who\").boss.age + 1 > 0 }",
    "when { context.at.offset(duration(\"9223372036854775807ms\")) < context.at }",
];

#[test]
fn bytes_are_those_of_cedars_label() {
    let mut text = String::from("// ünïcode before the first policy\n");
    for condition in FAILING {
        text += &format!("permit(principal, action, resource)\n  {condition}; // {condition}\n");
    }
    text += "@note(\"linked\")\nforbid(principal == ?principal, action, resource in ?resource) when { resource.nope };\n";
    let template = format!("policy{}", FAILING.len());
    let context = r#"{ "a": { "b": 2 }, "who": { "__entity": { "type": "User", "id": "dora" } }, "at": { "__extn": { "fn": "datetime", "arg": "2026-11-22" } },
             "beyond all literals": { "__extn": { "fn": "offset", "args": [
                 { "__extn": { "fn": "datetime", "arg": "1970-01-01" } },
                 { "__extn": { "fn": "duration", "arg": "9000000000000000000ms" } } ] } } }"#;

    let mut set = cedar::PolicySet::from_str(&text).unwrap();
    let uid = |text: &str| cedar::EntityUid::from_str(text).unwrap();
    let slots = [
        (cedar::SlotId::principal(), uid("User::\"alice\"")),
        (cedar::SlotId::resource(), uid("Photo::\"p\"")),
    ];
    set.link(
        cedar::PolicyId::new(&template),
        cedar::PolicyId::new("link"),
        slots.into(),
    )
    .unwrap();
    let entities = cedar::Entities::from_json_str(ENTITIES, None).unwrap();
    let request = cedar::Request::new(
        uid("User::\"alice\""),
        uid("Action::\"view\""),
        uid("Photo::\"p\""),
        cedar::Context::from_json_str(context, None).unwrap(),
        None,
    )
    .unwrap();
    let response = cedar::Authorizer::new().is_authorized(&request, &set, &entities);
    let expected: BTreeMap<String, Option<Range<usize>>> = response
        .diagnostics()
        .errors()
        .map(|error| {
            let cedar::AuthorizationError::PolicyEvaluationError(error) = error;
            let detailed = cedar::ffi::DetailedError::from(error.inner());
            let label = detailed.source_locations.first();
            (
                error.policy_id().to_string(),
                label.map(|label| label.loc.start..label.loc.end),
            )
        })
        .collect();
    assert_eq!(expected.len(), FAILING.len() + 1, "every policy fails");

    let policies = Policies::new().text(text.as_str()).link(
        template.as_str(),
        "link",
        Some(("User", "alice").into()),
        Some(("Photo", "p").into()),
    );
    let authorizer = Authorizer::builder()
        .policies(policies)
        .entities(ENTITIES)
        .build()
        .unwrap();
    let request =
        Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p")).context_json(context);
    let response = authorizer.is_authorized(&request);
    let located: BTreeMap<String, Option<Range<usize>>> = response
        .locate_errors(&request)
        .into_iter()
        .map(|error| (error.policy().to_string(), error.range()))
        .collect();
    assert_eq!(located, expected);

    // So do explanations, without asking Cedar.
    let options = duramen::explain::ExplainOptions::new().with_policies(100);
    let explanation = response.explain_with(&request, &options);
    let explained: BTreeMap<String, Option<Range<usize>>> = explanation
        .policies
        .iter()
        .map(|policy| {
            let place = policy.reasons[0].place.as_ref();
            (
                policy.id.to_string(),
                place.map(|place| place.bytes.clone()),
            )
        })
        .collect();
    // Cedar labels the operand that is wrong where there is one, explanations always the operator.
    for (id, label) in &expected {
        let (label, ours) = (label.clone().unwrap(), explained[id].clone().unwrap());
        let holds = |a: &Range<usize>, b: &Range<usize>| a.start <= b.start && b.end <= a.end;
        assert!(
            holds(&ours, &label) || holds(&label, &ours),
            "{id}: {ours:?}, {label:?}"
        );
    }

    // The policy's span, without asking Cedar, holds the label.
    for error in response.errors() {
        let (file, span) = error.source().unwrap();
        assert_eq!(file, None);
        let label = located[error.policy().id().as_str()].clone().unwrap();
        assert!(span.start <= label.start && label.end <= span.end);
        assert!(text[span].starts_with(['p', '@']));
    }
}

/// Cedar's JSON has no places of policies: nothing points into the file that has it.
#[test]
fn policies_from_json_stand_in_no_file() {
    let text = "@id(\"other\") permit(principal, action, resource) when { context.nope };";
    let set = cedar::PolicySet::from_str(text).unwrap();
    let folder = Folder::new();
    let file = folder.file("policies.json", &set.clone().to_json().unwrap().to_string());
    let request = Request::new(("U", "u"), ("Action", "a"), ("R", "r"));
    for (policies, has_file) in [
        (Policies::new().file(&file), true),
        (Policies::from(set), false),
    ] {
        let authorizer = Authorizer::builder().policies(policies).build().unwrap();
        let response = authorizer.is_authorized(&request);
        let error = response.errors().next().unwrap();
        let (none, range) = error.source().unwrap();
        assert_eq!((none, range.start), (None, 0));
        // It is Cedar's text of the policy that has the label.
        let located = response.locate_errors(&request);
        assert_eq!(located[0].file(), None);
        let label = located[0].range().unwrap();
        assert_eq!(label.len(), "context.nope".len());
        assert!(label.end <= range.end);
        let explained = authorizer.explain(&request).to_string();
        assert!(
            explained.contains("context.nope") && !explained.contains("policies.json"),
            "{explained}"
        );
        // What is odd about it is said with the file, and with no place there.
        let warnings = authorizer.warnings();
        assert_eq!(warnings[0].file(), file.to_str().filter(|_| has_file));
        assert_eq!((warnings[0].position(), warnings[0].span()), (None, None));
        let archive = PolicyArchive::open(folder.0.join("archive")).unwrap();
        let archived = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
        let explained = archived.authorizer().explain(&request).to_string();
        assert!(!explained.contains("policies.json"), "{explained}");
    }
}

#[test]
fn paths_count_conditions_and_operands() {
    let text = "permit(principal, action, resource)
        when { true } unless { 1 == 2 || [1, context.nope].isEmpty() } when { context };";
    let authorizer = Authorizer::builder().policies(text).build().unwrap();
    let request = Request::new(("U", "u"), ("Action", "a"), ("R", "r"));
    let response = authorizer.is_authorized(&request);
    let error = response.errors().next().unwrap();
    // Condition 1, right side of `||`, operand of `isEmpty`, element 1.
    assert_eq!(error.path(), [1, 1, 0, 1]);
}

#[test]
fn the_overlay_is_part_of_what_is_asked() {
    let text =
        "permit(principal, action, resource) when { resource.owner.age > 1 && resource.nope };";
    let authorizer = Authorizer::builder()
        .policies(text)
        .entities(ENTITIES)
        .build()
        .unwrap();
    let overlay = r#"[{ "uid": { "type": "Photo", "id": "p" },
        "attrs": { "owner": { "__entity": { "type": "User", "id": "alice" } } }, "parents": [] }]"#;
    let request =
        Request::new(("User", "alice"), ("Action", "a"), ("Photo", "p")).entities_json(overlay);
    let response = authorizer.is_authorized(&request);
    let errors = response.locate_errors(&request);
    assert_eq!(&text[errors[0].range().unwrap()], "resource.nope");
}

/// Each hop asks with its own principal and its own context, so a policy may fail at another place for each.
#[test]
fn errors_of_a_delegation_are_located_where_their_hop_failed() {
    let failing = "permit(principal, action, resource) when { principal.plain || resource.nope };";
    let entities = r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": { "plain": false }, "parents": [] },
        { "uid": { "type": "Agent", "id": "able" }, "attrs": { "plain": true }, "parents": [] },
        { "uid": { "type": "Agent", "id": "other" }, "attrs": {}, "parents": [] },
        { "uid": { "type": "Photo", "id": "p" }, "attrs": {}, "parents": [] }]"#;
    let everything = "permit(principal, action, resource);";
    let but_agents = "permit(principal is User, action, resource);";
    for (others, agent, located) in [
        // Allowed: the first hop in which it failed.
        (everything, "able", "resource.nope"),
        (everything, "other", "resource.nope"),
        // Denied for the agent, and what the decision rests on is the agent's.
        (but_agents, "other", "principal.plain"),
    ] {
        let text = format!("{failing}\n{others}");
        let authorizer = Authorizer::builder()
            .policies(text.as_str())
            .entities(entities)
            .build()
            .unwrap();
        let actors = [EntityUidRef::new("Agent", agent)];
        let delegation = Delegation::new(&actors);
        let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p"))
            .delegation(&delegation);
        let response = authorizer.is_authorized(&request);
        assert_eq!(response.is_allowed(), others == everything);
        let errors = response.locate_errors(&request);
        assert_eq!(errors.len(), 1);
        assert_eq!(&text[errors[0].range().unwrap()], located, "{agent}");
    }
    // Only the second hop asks with a delegator.
    let text = format!(
        "{everything}\npermit(principal, action, resource) when {{ context has by && context.by.nope }};"
    );
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .build()
        .unwrap();
    let actors = [EntityUidRef::new("Agent", "able")];
    let delegation = Delegation::new(&actors).delegator_as("by");
    let request =
        Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p")).delegation(&delegation);
    let entities = r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [] }]"#;
    let request = request.entities_json(entities);
    let response = authorizer.is_authorized(&request);
    let errors = response.locate_errors(&request);
    assert_eq!(&text[errors[0].range().unwrap()], "context.by.nope");
}
