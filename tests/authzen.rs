//! The AuthZEN Authorization API: what the specification asks for, and that its answers are the authorizer's.
//!
//! ```text
//! cargo test --features authzen --test authzen
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

#[path = "../examples/authzen/service.rs"]
mod service;

use std::sync::{Arc, LazyLock};

use axum::body::{Body, to_bytes};
use axum::http::{self, StatusCode};
use tower::ServiceExt;

use duramen::authzen::{DecisionPoint, Endpoint, Properties, Reply, well_known_path};
use duramen::evidence::MemorySink;
use duramen::{Authorizer, Builder, EntityUpdate, Outcome, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Records that people read, write and delete.
const POLICIES: &str = r#"
    permit(principal, action == Action::"read", resource is Record);
    permit(principal == User::"alice", action == Action::"write", resource is Record);
    permit(principal is User, action == Action::"write", resource is Record)
        when { principal has role && principal.role == "admin" };
    permit(principal == User::"alice", action == Action::"delete", resource is Record)
        when { context has act && context.act.soft == true };
    forbid(principal, action == Action::"write", resource)
        when { resource has status && resource.status == "archived" }
        unless { principal has role && principal.role == "admin" };
    permit(principal in Team::"night", action == Action::"open", resource is Record)
        when { context.hour >= 22 };
"#;

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "role": "clerk" }, "parents": [{ "type": "Team", "id": "night" }] },
    { "uid": { "type": "User", "id": "carol" }, "attrs": { "role": "admin" }, "parents": [] },
    { "uid": { "type": "Team", "id": "night" }, "attrs": {}, "parents": [] },
    { "uid": { "type": "Record", "id": "r1" }, "attrs": { "status": "active" }, "parents": [] },
    { "uid": { "type": "Record", "id": "r2" }, "attrs": { "status": "archived" }, "parents": [] },
    { "uid": { "type": "Record", "id": "r3" }, "attrs": {}, "parents": [] }
]"#;

fn builder() -> Builder {
    Authorizer::builder().policies(POLICIES).entities(ENTITIES)
}

/// Nothing changes it.
static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(|| builder().build().unwrap());

fn point() -> DecisionPoint {
    DecisionPoint::new(&AUTHORIZER)
        .entity_type("user", "User")
        .entity_type("record", "Record")
        .action_properties_as("act")
}

fn reply(point: &DecisionPoint, endpoint: Endpoint, body: &Value) -> Reply {
    point.answer(endpoint, body.to_string().as_bytes(), None)
}

#[track_caller]
fn answer(point: &DecisionPoint, endpoint: Endpoint, body: &Value) -> Value {
    let reply = reply(point, endpoint, body);
    assert_eq!(reply.status(), 200, "{body}: {reply:?}");
    serde_json::from_str(reply.body()).unwrap()
}

#[track_caller]
fn refused(point: &DecisionPoint, endpoint: Endpoint, body: &Value) -> String {
    let reply = reply(point, endpoint, body);
    assert_eq!(reply.status(), 400, "{body}: {reply:?}");
    let why: Value = serde_json::from_str(reply.body()).unwrap();
    why.as_str().expect("an error is a text").to_owned()
}

fn user(id: &str) -> Value {
    json!({ "type": "user", "id": id })
}

fn record(id: &str) -> Value {
    json!({ "type": "record", "id": id })
}

fn asks(subject: &str, action: &str, resource: &str) -> Value {
    json!({ "subject": user(subject), "action": { "name": action }, "resource": record(resource) })
}

#[track_caller]
fn allows(point: &DecisionPoint, body: &Value) -> bool {
    let answer = answer(point, Endpoint::Evaluation, body);
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    answer["decision"].as_bool().unwrap()
}

/// The decisions that the certification of the specification asks for, with its fixture: people and records, who has which role,
/// and what is said of an action.
#[test]
fn decisions_are_those_of_the_policies() {
    let point = point();
    for (subject, action, resource, allowed) in [
        ("alice", "read", "r1", true),
        ("alice", "write", "r1", true),
        ("bob", "read", "r1", true),
        ("bob", "write", "r1", false),
        ("alice", "write", "r2", false),
        ("carol", "write", "r2", true),
        ("nobody", "read", "nothing", true),
        ("nobody", "write", "nothing", false),
        ("alice", "unheard of", "r1", false),
    ] {
        let body = asks(subject, action, resource);
        assert_eq!(allows(&point, &body), allowed, "{body}");
    }
    for (said, allowed) in [
        (json!({ "soft": true }), true),
        (json!({ "soft": false }), false),
        (json!({ "soft": true, "other": null }), true),
        (Value::Null, false),
    ] {
        let mut body = asks("alice", "delete", "r1");
        body["action"]["properties"] = said;
        assert_eq!(allows(&point, &body), allowed, "{body}");
    }
    // Whoever sends the context says nothing in the place of the action.
    let mut body = asks("alice", "delete", "r1");
    body["context"] = json!({ "act": { "soft": true } });
    assert!(!allows(&point, &body));
    // And without a field for them, what is said of the action is not looked at.
    let silent = DecisionPoint::new(&builder().build().unwrap());
    let mut body = json!({ "subject": { "type": "User", "id": "alice" }, "action": { "name": "delete" },
                           "resource": { "type": "Record", "id": "r1" } });
    body["action"]["properties"] = json!({ "soft": true });
    assert!(!allows(&silent, &body));
}

/// The scenario by which implementations of the specification are tried against each other: todos of five users, whose owner the
/// request says by an email address.
#[test]
fn the_todo_scenario_is_decided_as_all_do() {
    let policies = r#"
        permit(principal, action in [Action::"can_read_user", Action::"can_read_todos"], resource);
        permit(principal, action == Action::"can_create_todo", resource)
            when { principal in [Role::"admin", Role::"editor"] };
        permit(principal in Role::"evil_genius", action == Action::"can_update_todo", resource);
        permit(principal in Role::"admin", action == Action::"can_delete_todo", resource);
        permit(principal in Role::"editor", action in [Action::"can_update_todo", Action::"can_delete_todo"], resource)
            when { resource.ownerID == principal.email };"#;
    let users = [
        ("rick", "the-citadel.com", &["admin", "evil_genius"][..]),
        ("morty", "the-citadel.com", &["editor"]),
        ("summer", "the-smiths.com", &["editor"]),
        ("beth", "the-smiths.com", &["viewer"]),
        ("jerry", "the-smiths.com", &["viewer"]),
    ];
    let email = |(name, domain, _): &(&str, &str, &[&str])| format!("{name}@{domain}");
    let entities = users.iter().map(|user| {
        let roles = user.2.iter();
        let roles: Vec<_> = roles
            .map(|role| json!({ "type": "Role", "id": role }))
            .collect();
        json!({ "uid": { "type": "User", "id": format!("pid-of-{}", user.0) },
                "attrs": { "email": email(user) }, "parents": roles })
    });
    let authorizer = Authorizer::builder()
        .policies(policies)
        .entities(Value::from_iter(entities).to_string())
        .build()
        .unwrap();
    let point = DecisionPoint::new(&authorizer)
        .entity_type("user", "User")
        .entity_type("todo", "Todo")
        .properties(Properties::FillIn);
    let todo = |owner: Option<String>| match owner {
        None => json!({ "type": "todo", "id": "todo-1" }),
        Some(owner) => json!({ "type": "todo", "id": "7240", "properties": { "ownerID": owner } }),
    };
    let all = [true; 8];
    let editor = [true, true, true, true, false, true, false, true];
    let viewer = [true, true, true, false, false, false, false, false];
    for (one, expected) in users.iter().zip([all, editor, editor, viewer, viewer]) {
        let (rick, own) = (email(&users[0]), email(one));
        let asked = [
            ("can_read_user", user("beth@the-smiths.com")),
            ("can_read_user", user(&own)),
            ("can_read_todos", todo(None)),
            ("can_create_todo", todo(None)),
            ("can_update_todo", todo(Some(rick.clone()))),
            ("can_update_todo", todo(Some(own.clone()))),
            ("can_delete_todo", todo(Some(rick))),
            ("can_delete_todo", todo(Some(own))),
        ];
        let subject = user(&format!("pid-of-{}", one.0));
        let items = asked.map(
            |(action, resource)| json!({ "action": { "name": action }, "resource": resource }),
        );
        let batch = json!({ "subject": subject, "evaluations": items });
        let found = answer(&point, Endpoint::Evaluations, &batch);
        assert_eq!(decisions(&found), expected, "{}", one.0);
        for (item, expected) in items.iter().zip(expected) {
            let mut single = item.clone();
            single["subject"] = subject.clone();
            assert_eq!(allows(&point, &single), expected, "{single}");
        }
    }
}

/// Members of any other name are no business of ours, and their order means nothing.
#[test]
fn what_the_specification_does_not_have_is_ignored() {
    let point = point();
    let body = r#"{ "later": [{}], "resource": { "new": 1.5, "id": "r1", "type": "record" }, "context": null,
                    "action": { "properties": null, "name": "write", "x": null }, "options": { "what": 1 },
                    "subject": { "id": "alice", "_note": "x", "type": "user", "properties": {} } }"#;
    let reply = point.answer(Endpoint::Evaluation, body.as_bytes(), None);
    assert_eq!(
        (reply.status(), reply.body()),
        (200, r#"{"decision":true}"#)
    );
}

#[test]
fn what_is_no_request_is_refused() {
    let point = point();
    for body in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"\"subject\"",
        b"\xff\xfe",
        // A key twice: two readers would see two requests.
        br#"{ "subject": { "type": "user", "id": "alice", "id": "bob" }, "action": { "name": "read" },
              "resource": { "type": "record", "id": "r1" } }"#,
        br#"{ "subject": { "type": "user", "id": "\ud800" } }"#,
    ] {
        for endpoint in Endpoint::ALL {
            let reply = point.answer(endpoint, body, None);
            assert_eq!(reply.status(), 400, "{}", String::from_utf8_lossy(body));
            assert!(serde_json::from_str::<String>(reply.body()).is_ok());
        }
    }
    let whole = asks("alice", "read", "r1");
    for (path, wrong) in [
        ("/subject", json!("alice")),
        ("/subject", Value::Null),
        ("/subject/id", json!(7)),
        ("/subject/id", Value::Null),
        ("/subject/type", json!(["user"])),
        ("/action", json!("read")),
        ("/action/name", json!({})),
        ("/resource", json!([])),
        ("/resource/id", Value::Null),
    ] {
        let mut body = whole.clone();
        *body.pointer_mut(path).unwrap() = wrong;
        let why = refused(&point, Endpoint::Evaluation, &body);
        let name = path.rsplit('/').next().unwrap();
        assert!(why.contains(name), "{body}: {why}");
    }
    for (member, wrong) in [("context", json!("x")), ("context", json!([]))] {
        let mut body = whole.clone();
        body[member] = wrong;
        refused(&point, Endpoint::Evaluation, &body);
    }
    let mut body = whole;
    body["subject"]["properties"] = json!([1]);
    refused(&point, Endpoint::Evaluation, &body);
    let deep = format!(
        r#"{{"context":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(
        point
            .answer(Endpoint::Evaluation, deep.as_bytes(), None)
            .status(),
        400
    );
}

/// Of types with a map, only those are known that it has; of all others nobody knows anything.
#[test]
fn types_are_those_that_are_declared() {
    let point = point();
    for (subject, resource) in [
        (json!({ "type": "User", "id": "alice" }), record("r1")),
        (user("alice"), json!({ "type": "Record", "id": "r1" })),
        (json!({ "type": "no name", "id": "" }), record("r1")),
    ] {
        let body =
            json!({ "subject": subject, "action": { "name": "read" }, "resource": resource });
        assert!(!allows(&point, &body), "{body}");
    }
    let told = point.clone().tell_outcome(true);
    let body = json!({ "subject": { "type": "no name", "id": "" }, "action": { "name": "read" }, "resource": record("r1") });
    let found = answer(&told, Endpoint::Evaluation, &body);
    assert_eq!(
        found,
        json!({ "decision": false, "context": { "outcome": "invalid_request" } })
    );
    let found = answer(&told, Endpoint::Evaluation, &asks("bob", "write", "r1"));
    assert_eq!(
        found,
        json!({ "decision": false, "context": { "outcome": "no_permit" } })
    );
    let found = answer(&told, Endpoint::Evaluation, &asks("alice", "write", "r2"));
    assert_eq!(
        found,
        json!({ "decision": false, "context": { "outcome": "forbidden" } })
    );
    assert!(
        allows(&told, &asks("alice", "read", "r1")),
        "nothing is said of what is allowed"
    );
}

/// Whoever may ask says nothing about entities, unless it is trusted with that.
#[test]
fn properties_are_worth_what_is_declared() {
    let mut body = asks("bob", "write", "r2");
    body["subject"]["properties"] = json!({ "role": "admin", "unheard": 1 });
    let mut archived = asks("alice", "write", "r3");
    archived["resource"]["properties"] = json!({ "status": "archived" });
    let mut guest = asks("guest", "write", "r1");
    guest["subject"]["properties"] = json!({ "role": "admin" });
    for (properties, expected) in [
        (Properties::Ignored, [false, true, false]),
        (Properties::FillIn, [false, false, true]),
        (Properties::Override, [true, false, true]),
    ] {
        let point = point().properties(properties);
        let found = [&body, &archived, &guest].map(|body| allows(&point, body));
        assert_eq!(found, expected, "{properties:?}");
    }
    // The store has what it had, parents among it, and each item its own properties.
    let point = point().properties(Properties::Override);
    let mut open = asks("bob", "open", "r1");
    open["subject"]["properties"] = json!({ "role": "guard" });
    open["context"] = json!({ "hour": 23 });
    assert!(allows(&point, &open));
    assert!(!allows(&point, &asks("bob", "write", "r1")));
    let batch = json!({ "action": { "name": "write" }, "resource": record("r1"), "evaluations": [
        { "subject": { "type": "user", "id": "bob", "properties": { "role": "admin" } } },
        { "subject": { "type": "user", "id": "bob", "properties": { "role": "clerk" } } },
        { "subject": user("bob") },
    ] });
    let found = answer(&point, Endpoint::Evaluations, &batch);
    assert_eq!(decisions(&found), [true, false, false]);
    // Somebody may be what is asked about: both say something of one entity.
    let of_self = json!({ "subject": { "type": "user", "id": "bob", "properties": { "role": "admin" } },
        "action": { "name": "write" }, "resource": { "type": "user", "id": "bob", "properties": { "status": "archived" } } });
    assert!(!allows(&point, &of_self));
}

/// Text is text. What reads as one of Cedar's escapes is refused wherever it is looked at, and what Cedar has no value for denies.
#[test]
fn data_poses_as_nothing() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal, action, resource) when { context.owner == User::"alice" || context.owner == "alice" };"#,
        )
        .build()
        .unwrap();
    let point = DecisionPoint::new(&authorizer).properties(Properties::Override);
    let body = |owner: Value| {
        json!({ "subject": { "type": "User", "id": "eve" }, "action": { "name": "read" },
                "resource": { "type": "Doc", "id": "d" }, "context": { "owner": owner } })
    };
    assert!(allows(&point, &body(json!("alice"))));
    for owner in [
        json!({ "__entity": { "type": "User", "id": "alice" } }),
        json!({ "type": "User", "id": "alice" }),
        json!([{ "__extn": { "fn": "ip", "arg": "10.0.0.1" } }]),
        json!({ "deep": [{ "__expr": "User::\"alice\"" }] }),
        json!(1.5),
        json!([null]),
        json!(u64::MAX),
    ] {
        assert!(!allows(&point, &body(owner.clone())), "{owner}");
        let mut smuggled = body(json!("alice"));
        smuggled["subject"]["properties"] = json!({ "x": { "__entity": owner } });
        assert!(!allows(&point, &smuggled), "{smuggled}");
    }
}

/// With a schema, texts are what it says, and what it does not have is left out and refuses nothing.
#[test]
fn a_schema_says_what_is_meant() {
    let schema = r#"
        entity User { role?: String, manager?: User };
        entity Record { owner: User };
        action read appliesTo { principal: User, resource: Record,
                                context: { from: ipaddr, act?: { soft?: Bool } } };"#;
    let authorizer = Authorizer::builder()
        .schema_str(schema)
        .policies(
            r#"permit(principal, action, resource)
               when { context.from.isInRange(ip("10.0.0.0/8")) && resource.owner == principal };"#,
        )
        .validate_requests(true)
        .build()
        .unwrap();
    let point = DecisionPoint::new(&authorizer).properties(Properties::FillIn);
    let body = json!({
        "subject": { "type": "User", "id": "ann", "properties": { "unheard": 1.5 } },
        "action": { "name": "read", "properties": { "soft": true } },
        "resource": { "type": "Record", "id": "r", "properties": { "owner": { "type": "User", "id": "ann" } } },
        "context": { "from": "10.1.2.3", "time": "2024-05-31T15:22-07:00", "deep": { "__entity": 1 } } });
    assert!(allows(&point, &body));
    assert!(allows(&point.clone().action_properties_as("act"), &body));
    for (path, wrong) in [
        ("/context/from", json!("192.0.2.1")),
        ("/context/from", json!("no address")),
        ("/context/from", Value::Null),
        ("/resource/properties/owner/id", json!("bob")),
        ("/resource/properties/owner", json!("ann")),
        ("/subject/type", json!("Robot")),
        ("/action/name", json!("write")),
    ] {
        let mut changed = body.clone();
        *changed.pointer_mut(path).unwrap() = wrong;
        assert!(!allows(&point, &changed), "{changed}");
    }
}

/// What a permit asks for before it is acted on is never left out.
#[test]
fn step_ups_are_obligations() {
    let policies = r#"
        @step_up("mfa") permit(principal, action == Action::"pay", resource);
        @step_up("pin") permit(principal, action, resource);
        @step_up("phr") forbid(principal, action == Action::"close", resource);"#;
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();
    let point = DecisionPoint::new(&authorizer);
    let body = |action: &str| {
        json!({ "subject": { "type": "User", "id": "a" }, "action": { "name": action },
                "resource": { "type": "Account", "id": "1" } })
    };
    let step_up = |number: usize, level: &str| json!({ "id": format!("step-up-{number}"), "type": "step-up", "properties": { "acr_value": level } });
    for told in [false, true] {
        let point = point.clone().tell_outcome(told);
        let found = answer(&point, Endpoint::Evaluation, &body("pay"));
        let both = json!([step_up(1, "mfa"), step_up(2, "pin")]);
        assert_eq!(
            found,
            json!({ "decision": true, "context": { "obligations": both } })
        );
        let items = json!({ "evaluations": [body("see"), body("close")] });
        let found = answer(&point, Endpoint::Evaluations, &items);
        let one = json!([step_up(1, "pin")]);
        assert_eq!(
            found["evaluations"][0],
            json!({ "decision": true, "context": { "obligations": one } })
        );
        assert_eq!(found["evaluations"][1]["decision"], json!(false));
        assert_eq!(found["evaluations"][1].get("context").is_some(), told);
    }
}

/// A search for actions has one context for all.
#[test]
fn actions_are_found_whose_contexts_fit() {
    let schema = r#"
        entity User; entity Record;
        action read appliesTo { principal: User, resource: Record, context: { hour?: Long } };
        action write appliesTo { principal: User, resource: Record, context: {} };"#;
    let authorizer = Authorizer::builder()
        .schema_str(schema)
        .policies("permit(principal, action, resource);")
        .validate_requests(true)
        .build()
        .unwrap();
    let point = DecisionPoint::new(&authorizer);
    let mut body = json!({ "subject": { "type": "User", "id": "a" }, "resource": { "type": "Record", "id": "r" } });
    assert_eq!(
        ids(&answer(&point, Endpoint::SearchAction, &body), "name"),
        ["read", "write"]
    );
    body["context"] = json!({ "hour": 7 });
    assert_eq!(
        ids(&answer(&point, Endpoint::SearchAction, &body), "name"),
        ["read"]
    );
    // Of other types there are none.
    let other = point.action_type("Shop::Action");
    assert_eq!(
        answer(&other, Endpoint::SearchAction, &body),
        json!({ "results": [] })
    );
}

fn decisions(answer: &Value) -> Vec<bool> {
    let evaluations = answer["evaluations"].as_array().unwrap();
    let decision = |one: &Value| one["decision"].as_bool().unwrap();
    evaluations.iter().map(decision).collect()
}

/// What an item says stands in the place of what is said for all, as a whole; what it does not say is that.
#[test]
fn items_inherit_whole_members() {
    let point = point();
    let body = json!({
        "subject": user("bob"), "action": { "name": "open" }, "resource": record("r1"), "context": { "hour": 23 },
        "evaluations": [
            {},
            { "context": {} },
            { "context": { "hour": 12 } },
            { "context": null },
            { "action": { "name": "read" }, "context": { "other": 1 } },
            { "subject": user("alice") },
            { "subject": { "type": "user" } },
            { "resource": 7 },
            "no object",
            { "later": true },
        ] });
    let found = answer(&point, Endpoint::Evaluations, &body);
    let expected = [
        true, false, false, true, true, false, false, false, false, true,
    ];
    assert_eq!(decisions(&found), expected);
    // An item that lacks something is denied and the others are not.
    let body = json!({ "subject": user("alice"), "action": { "name": "read" },
                       "evaluations": [{ "resource": record("r1") }, {}] });
    assert_eq!(
        decisions(&answer(&point, Endpoint::Evaluations, &body)),
        [true, false]
    );
    // Without items it is a single request.
    for none in [json!([]), Value::Null] {
        let mut body = asks("alice", "read", "r1");
        body["evaluations"] = none;
        let found = answer(&point, Endpoint::Evaluations, &body);
        assert_eq!(found, json!({ "decision": true }));
    }
    refused(&point, Endpoint::Evaluations, &json!({ "evaluations": [] }));
    refused(&point, Endpoint::Evaluations, &json!({ "evaluations": {} }));
    let wrong = json!({ "subject": 1, "evaluations": [asks("alice", "read", "r1")] });
    refused(&point, Endpoint::Evaluations, &wrong);
    let many = json!({ "evaluations": vec![asks("alice", "read", "r1"); 3] });
    assert_eq!(
        decisions(&answer(&point, Endpoint::Evaluations, &many)).len(),
        3
    );
    let why = refused(
        &point.clone().max_evaluations(2),
        Endpoint::Evaluations,
        &many,
    );
    assert!(why.contains("no more than 2"), "{why}");
}

/// Evaluation stops where it is asked to, behind what made it stop.
#[test]
fn evaluation_stops_where_it_is_asked_to() {
    let point = point();
    let items = json!([
        { "resource": record("r1") },
        { "resource": record("r2") },
        { "resource": record("r3") },
        {},
    ]);
    let run = |semantic: Option<&str>| {
        let mut body = json!({ "subject": user("alice"), "action": { "name": "write" }, "evaluations": items });
        if let Some(semantic) = semantic {
            body["options"] = json!({ "evaluations_semantic": semantic, "another": [] });
        }
        body
    };
    for (semantic, expected) in [
        (None, &[true, false, true, false][..]),
        (Some("execute_all"), &[true, false, true, false]),
        (Some("deny_on_first_deny"), &[true, false]),
        (Some("permit_on_first_permit"), &[true]),
    ] {
        let found = answer(&point, Endpoint::Evaluations, &run(semantic));
        assert_eq!(decisions(&found), expected, "{semantic:?}");
    }
    refused(&point, Endpoint::Evaluations, &run(Some("as you like")));
    // An error is a deny here as well.
    let body = json!({ "subject": user("alice"), "options": { "evaluations_semantic": "deny_on_first_deny" },
                       "evaluations": [{}, asks("alice", "read", "r1")] });
    assert_eq!(
        decisions(&answer(&point, Endpoint::Evaluations, &body)),
        [false]
    );
}

/// Each decision has a record, with the id of the request, and all are of one epoch.
#[test]
fn decisions_leave_records() {
    let sink = Arc::new(MemorySink::new(10));
    let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
    let point = DecisionPoint::new(&authorizer)
        .entity_type("user", "User")
        .entity_type("record", "Record");
    let body = json!({ "subject": user("alice"), "action": { "name": "read" },
                       "evaluations": [{ "resource": record("r1") }, { "resource": record("r2") }] });
    let reply = point.answer(
        Endpoint::Evaluations,
        body.to_string().as_bytes(),
        Some("req-7"),
    );
    assert_eq!(reply.status(), 200);
    let records = sink.records();
    assert_eq!(records.len(), 2);
    for (record, id) in records.iter().zip(["r1", "r2"]) {
        assert_eq!(record.request_id.as_deref(), Some("req-7"));
        assert_eq!(
            (record.resource.id(), record.outcome),
            (id, Outcome::Allowed)
        );
    }
}

fn ids(answer: &Value, of: &str) -> Vec<String> {
    let results = answer["results"].as_array().unwrap();
    let id = |result: &Value| result[of].as_str().unwrap().to_owned();
    results.iter().map(id).collect()
}

/// A search finds what single evaluations would allow, and nothing else.
#[test]
fn searches_find_what_evaluations_allow() {
    for properties in [
        Properties::Ignored,
        Properties::FillIn,
        Properties::Override,
    ] {
        let point = point().properties(properties);
        for (context, said) in [
            (json!({}), json!({})),
            (json!({ "hour": 23 }), json!({ "role": "admin" })),
            (json!({ "hour": 1 }), json!({ "status": "archived" })),
        ] {
            let with = |mut thing: Value| {
                thing["properties"] = said.clone();
                thing
            };
            let (users, records) = (["alice", "bob", "carol"], ["r1", "r2", "r3"]);
            let actions = ["read", "write", "delete", "open"];
            let allowed = |subject: &Value, action: &str, resource: &Value| {
                let body = json!({ "subject": subject, "action": { "name": action }, "resource": resource,
                                   "context": context });
                allows(&point, &body)
            };
            for action in actions {
                for id in users {
                    let subject = with(user(id));
                    let body = json!({ "subject": subject, "action": { "name": action }, "context": context,
                                       "resource": { "type": "record", "id": "not looked at" } });
                    let found = answer(&point, Endpoint::SearchResource, &body);
                    let expected = records
                        .iter()
                        .filter(|id| allowed(&subject, action, &record(id)));
                    assert_eq!(
                        ids(&found, "id"),
                        expected.copied().collect::<Vec<_>>(),
                        "{body}"
                    );
                    assert!(found.get("page").is_none());
                }
                for id in records {
                    let resource = with(record(id));
                    let body = json!({ "subject": { "type": "user" }, "action": { "name": action },
                                       "context": context, "resource": resource });
                    let found = answer(&point, Endpoint::SearchSubject, &body);
                    let expected = users
                        .iter()
                        .filter(|id| allowed(&user(id), action, &resource));
                    assert_eq!(
                        ids(&found, "id"),
                        expected.copied().collect::<Vec<_>>(),
                        "{body}"
                    );
                    let types: Vec<_> = ids(&found, "type");
                    assert!(types.iter().all(|ty| ty == "user"));
                }
            }
            for (subject, resource) in users
                .iter()
                .flat_map(|id| records.map(|record| (id, record)))
            {
                let (subject, resource) = (with(user(subject)), with(record(resource)));
                let body = json!({ "subject": subject, "resource": resource, "context": context });
                let mut found = ids(&answer(&point, Endpoint::SearchAction, &body), "name");
                found.sort_unstable();
                let expected = actions
                    .iter()
                    .filter(|action| allowed(&subject, action, &resource));
                let mut expected: Vec<_> = expected.copied().collect();
                expected.sort_unstable();
                assert_eq!(found, expected, "{body}");
            }
        }
    }
}

#[test]
fn searches_of_what_nobody_knows_find_nothing() {
    let point = point();
    let nothing = json!({ "results": [] });
    for (endpoint, body) in [
        (
            Endpoint::SearchSubject,
            json!({ "subject": { "type": "robot" }, "action": { "name": "read" }, "resource": record("r1") }),
        ),
        (
            Endpoint::SearchResource,
            json!({ "subject": user("nobody"), "action": { "name": "write" }, "resource": { "type": "record" } }),
        ),
        (
            Endpoint::SearchResource,
            json!({ "subject": user("alice"), "action": { "name": "unheard of" }, "resource": { "type": "record" } }),
        ),
        (
            Endpoint::SearchAction,
            json!({ "subject": { "type": "robot", "id": "r" }, "resource": record("r1") }),
        ),
    ] {
        assert_eq!(answer(&point, endpoint, &body), nothing, "{body}");
    }
    for (endpoint, body) in [
        (
            Endpoint::SearchSubject,
            json!({ "subject": { "type": "user" }, "action": { "name": "read" } }),
        ),
        (
            Endpoint::SearchSubject,
            json!({ "subject": {}, "action": { "name": "read" }, "resource": record("r1") }),
        ),
        (
            Endpoint::SearchResource,
            json!({ "subject": { "type": "user" }, "action": { "name": "read" }, "resource": { "type": "record" } }),
        ),
        (
            Endpoint::SearchResource,
            json!({ "subject": user("alice"), "resource": { "type": "record" } }),
        ),
        (Endpoint::SearchAction, json!({ "subject": user("alice") })),
    ] {
        let why = refused(&point, endpoint, &body);
        assert!(why.contains("lacks"), "{body}: {why}");
    }
}

/// Pages come to the same as all at once. A token goes on with its search alone, with the limit that it began with.
#[test]
fn pages_come_to_the_whole() {
    let authorizer = builder().build().unwrap();
    let point = DecisionPoint::new(&authorizer)
        .entity_type("user", "User")
        .entity_type("record", "Record");
    let body = json!({ "subject": user("alice"), "action": { "name": "read" }, "resource": { "type": "record" } });
    let whole = ids(&answer(&point, Endpoint::SearchResource, &body), "id");
    assert_eq!(whole.len(), 3);
    for limit in 1..5 {
        let mut paged = body.clone();
        paged["page"] = json!({ "limit": limit, "later": 1 });
        let mut found = Vec::new();
        loop {
            let page = answer(&point, Endpoint::SearchResource, &paged);
            let results = ids(&page, "id");
            assert!(results.len() <= limit);
            found.extend(results);
            let token = page["page"]["next_token"].as_str().unwrap();
            if token.is_empty() {
                break;
            }
            // Without the limit, as the specification's own example has it.
            paged["page"] = json!({ "token": token });
        }
        assert_eq!(found, whole);
    }
    // Where the point has a bound of its own, the rest is on the next page, asked for or not.
    let bounded = point.clone().max_results(2);
    let first = answer(&bounded, Endpoint::SearchResource, &body);
    let token = first["page"]["next_token"].as_str().unwrap();
    assert_eq!((ids(&first, "id").len(), token.is_empty()), (2, false));
    let mut rest = body.clone();
    rest["page"] = json!({ "token": token });
    assert_eq!(
        ids(&answer(&bounded, Endpoint::SearchResource, &rest), "id"),
        whole[2..]
    );
    // A page of nothing goes on from its beginning.
    let mut none = body.clone();
    none["page"] = json!({ "limit": 0 });
    let page = answer(&point, Endpoint::SearchResource, &none);
    assert_eq!(ids(&page, "id").len(), 0);
    none["page"] = json!({ "token": page["page"]["next_token"] });
    assert_eq!(
        ids(&answer(&point, Endpoint::SearchResource, &none), "id"),
        whole
    );

    let with_page = |page: Value| {
        let mut body = body.clone();
        body["page"] = page;
        body
    };
    let limited = answer(
        &point,
        Endpoint::SearchResource,
        &with_page(json!({ "limit": 1 })),
    );
    let token = limited["page"]["next_token"].as_str().unwrap();
    let same = with_page(json!({ "limit": 1, "token": token }));
    assert_eq!(
        ids(&answer(&point, Endpoint::SearchResource, &same), "id"),
        whole[1..2]
    );
    for wrong in [
        with_page(json!({ "limit": 2, "token": token })),
        with_page(json!({ "limit": -1 })),
        with_page(json!({ "limit": 1.5 })),
        with_page(json!({ "limit": "1" })),
        with_page(json!({ "token": "made up" })),
        with_page(json!({ "token": format!("{token}-0") })),
        with_page(json!({ "token": format!("x{token}") })),
        with_page(json!([])),
    ] {
        refused(&point, Endpoint::SearchResource, &wrong);
    }
    // Of another search, and of data that has changed since.
    let mut other = with_page(json!({ "token": token }));
    other["subject"]["id"] = json!("bob");
    refused(&point, Endpoint::SearchResource, &other);
    let update = EntityUpdate::new().set_attr(("Record", "r3"), "status", &"archived");
    authorizer.update_entities(update).unwrap();
    let why = refused(
        &point,
        Endpoint::SearchResource,
        &with_page(json!({ "token": token })),
    );
    assert!(why.contains("begin anew"), "{why}");
}

#[test]
fn metadata_says_where_everything_is() {
    let point = point();
    for (identifier, base, at) in [
        (
            "https://pdp.example.com",
            "https://pdp.example.com",
            "/.well-known/authzen-configuration",
        ),
        (
            "https://pdp.example.com/",
            "https://pdp.example.com",
            "/.well-known/authzen-configuration",
        ),
        (
            "https://pdp.example.com:8443/tenant1",
            "https://pdp.example.com:8443/tenant1",
            "/.well-known/authzen-configuration/tenant1",
        ),
    ] {
        let found: Value = serde_json::from_str(&point.metadata(identifier).unwrap()).unwrap();
        assert_eq!(
            found,
            json!({
                "policy_decision_point": identifier,
                "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
                "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
                "search_subject_endpoint": format!("{base}/access/v1/search/subject"),
                "search_resource_endpoint": format!("{base}/access/v1/search/resource"),
                "search_action_endpoint": format!("{base}/access/v1/search/action"),
            })
        );
        assert_eq!(well_known_path(identifier).unwrap(), at);
    }
    for wrong in [
        "http://pdp.example.com",
        "https://",
        "https:///x",
        "https://a/?q",
        "https://a/#f",
        "https://a b",
        "",
    ] {
        let error = point.metadata(wrong).unwrap_err().to_string();
        assert!(error.contains("https"), "{error}");
        assert!(well_known_path(wrong).is_err());
    }
    for endpoint in Endpoint::ALL {
        assert_eq!(Endpoint::of_path(endpoint.path()), Some(endpoint));
    }
    assert_eq!(Endpoint::of_path("/access/v1/evaluation/"), None);
}

/// What the example's server does beside: content types, methods, ids of requests, metadata.
#[tokio::test]
async fn the_example_serves_the_api() {
    let router = service::router(service::point().unwrap());
    let body = |of: &str, id: &str| {
        json!({ "subject": user(of), "action": { "name": "read" }, "resource": record(id) })
            .to_string()
    };
    let ask = async |request: http::Request<Body>| {
        let response = router.clone().oneshot(request).await.unwrap();
        let id = response.headers().get("x-request-id");
        let id = id.map(|id| id.to_str().unwrap().to_owned());
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, id, String::from_utf8(body.to_vec()).unwrap())
    };
    let post = |path: &str, content_type: &str, body: String| {
        let request = http::Request::post(path).header("content-type", content_type);
        request
            .header("x-request-id", "a 7")
            .body(Body::from(body))
            .unwrap()
    };
    let evaluation = "/access/v1/evaluation";
    for (of, id, content_type, status, answer) in [
        (
            "ann",
            "1",
            "application/json",
            StatusCode::OK,
            r#"{"decision":true}"#,
        ),
        (
            "bob",
            "1",
            "Application/JSON; charset=utf-8",
            StatusCode::OK,
            r#"{"decision":true}"#,
        ),
        (
            "carl",
            "1",
            "application/json",
            StatusCode::OK,
            r#"{"decision":false}"#,
        ),
        (
            "ann",
            "1",
            "text/plain",
            StatusCode::BAD_REQUEST,
            r#""the content type has to be application/json""#,
        ),
    ] {
        let found = ask(post(evaluation, content_type, body(of, id))).await;
        assert_eq!(found, (status, Some("a 7".to_owned()), answer.to_owned()));
    }
    let search = json!({ "subject": user("ann"), "action": { "name": "read" }, "resource": { "type": "record" } });
    let (status, _, found) = ask(post(
        "/access/v1/search/resource",
        "application/json",
        search.to_string(),
    ))
    .await;
    let expected = json!({ "results": [record("1"), record("2")] });
    assert_eq!(
        (status, serde_json::from_str::<Value>(&found).unwrap()),
        (StatusCode::OK, expected)
    );
    let (status, _, why) = ask(post(evaluation, "application/json", String::new())).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{why}");
    let large = "x".repeat(5 << 20);
    let (status, ..) = ask(post(evaluation, "application/json", large)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    let get = |path: &str| http::Request::get(path).body(Body::empty()).unwrap();
    let (status, _, metadata) = ask(get("/.well-known/authzen-configuration")).await;
    assert_eq!(status, StatusCode::OK);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["policy_decision_point"], service::IDENTIFIER);
    assert_eq!(ask(get(evaluation)).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask(get("/access/v1/else")).await.0, StatusCode::NOT_FOUND);
}

/// Any JSON, with names that mean something more often than not.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..30).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "record",
            "alice",
            "bob",
            "r1",
            "r2",
            "read",
            "write",
            "execute_all",
            "",
            "1."
        ])
        .prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "subject",
        "action",
        "resource",
        "context",
        "evaluations",
        "options",
        "page",
        "type",
        "id",
        "name",
        "properties",
        "token",
        "limit",
        "hour",
        "role",
        "status",
        "soft",
        "__entity",
        "evaluations_semantic",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, there is an answer that is one.
    #[test]
    fn any_body_has_an_answer(mut body in any_json(), part in any_json(), at in 0..8_usize) {
        let point = point().properties(Properties::Override);
        if at > 0 {
            let mut whole = json!({ "subject": user("alice"), "action": { "name": "read" }, "resource": record("r1"),
                                    "evaluations": [{}], "page": {}, "options": {}, "context": {} });
            let members = ["subject", "action", "resource", "evaluations", "page", "options", "context"];
            whole[members[at - 1]] = part;
            body = whole;
        }
        for endpoint in Endpoint::ALL {
            let reply = reply(&point, endpoint, &body);
            let found: Value = serde_json::from_str(reply.body()).unwrap();
            match (reply.status(), endpoint) {
                (200, Endpoint::Evaluation) => prop_assert!(found["decision"].is_boolean()),
                (200, Endpoint::Evaluations) => prop_assert!(found["decision"].is_boolean() || found["evaluations"].is_array()),
                (200, _) => prop_assert!(found["results"].is_array()),
                (status, _) => prop_assert!(status == 400 && found.is_string(), "{}: {:?}", body, reply),
            }
        }
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for endpoint in Endpoint::ALL {
            let status = point().answer(endpoint, &bytes, None).status();
            prop_assert!(status == 400 || status == 200);
        }
    }

    /// An evaluation says what the authorizer does of the same request.
    #[test]
    fn evaluations_are_the_authorizers(
        subject in prop::sample::select(vec!["alice", "bob", "carol", "nobody"]),
        action in prop::sample::select(vec!["read", "write", "delete", "open"]),
        resource in prop::sample::select(vec!["r1", "r2", "r3", "nothing"]),
        hour in prop::option::of(0..24_i64),
        soft in prop::option::of(any::<bool>()),
    ) {
        let mut body = asks(subject, action, resource);
        let mut context = serde_json::Map::new();
        if let Some(hour) = hour {
            body["context"] = json!({ "hour": hour });
            context.insert("hour".to_owned(), hour.into());
        }
        if let Some(soft) = soft {
            body["action"]["properties"] = json!({ "soft": soft });
            context.insert("act".to_owned(), json!({ "soft": soft }));
        }
        let request = Request::new(("User", subject), ("Action", action), ("Record", resource)).context(&context);
        prop_assert_eq!(allows(&point(), &body), AUTHORIZER.is_allowed(&request), "{}", body);
    }
}
