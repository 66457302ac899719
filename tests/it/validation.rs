//! Requests and request-scoped entities held against a schema, next to Cedar's own validation.

use std::str::FromStr;

use cedar_policy as cedar;
use duramen::{Authorizer, Outcome, Request, RequestPart};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::generate::config;
use super::oracle::cedar_uid;
use super::requests::view;

const SCHEMA: &str = r#"
    namespace NS { entity Device; }
    entity Group;
    entity User in [Group] { level: Long };
    entity Bot;
    entity Color enum ["red", "green"];
    entity Photo { owner?: User } tags Long;
    type Place = { city: String, zip?: Long };
    action group;
    action view in [group] appliesTo { principal: [User, Bot], resource: [Photo, Color], context: {
        mfa: Bool,
        place?: Place,
        roles?: Set<String>,
        ip?: ipaddr,
        at?: datetime,
        owner?: User,
        color?: Color,
        devices?: Set<{ id: NS::Device, score?: decimal }>,
    } };
    action clean appliesTo { principal: [Bot], resource: [Photo], context: {} };
    action unused;
"#;

/// One field of a context, good or bad.
fn fields() -> impl Strategy<Value = (&'static str, Json)> {
    let entity = |ty: &str, id: &str| json!({ "__entity": { "type": ty, "id": id } });
    let call = |name: &str, arg: &str| json!({ "__extn": { "fn": name, "arg": arg } });
    prop::sample::select(vec![
        ("mfa", json!(true)),
        ("mfa", json!(false)),
        ("mfa", json!(1)),
        ("place", json!({ "city": "Paris" })),
        ("place", json!({ "city": "Paris", "zip": 75_001 })),
        ("place", json!({ "city": "Paris", "zip": "75001" })),
        ("place", json!({ "zip": 1 })),
        ("place", json!({ "city": "Paris", "more": 1 })),
        ("roles", json!([])),
        ("roles", json!(["a", "b"])),
        ("roles", json!(["a", 1])),
        ("roles", json!("a")),
        ("ip", call("ip", "1.2.3.4")),
        ("ip", json!("1.2.3.4")),
        ("ip", json!({ "fn": "ip", "arg": "1.2.3.4" })),
        ("ip", json!("nonsense")),
        ("ip", call("decimal", "1.0")),
        ("at", call("datetime", "2024-01-01")),
        ("at", json!("2024-01-01")),
        ("at", json!("yesterday")),
        ("owner", entity("User", "alice")),
        ("owner", json!({ "type": "User", "id": "alice" })),
        ("owner", json!({ "type": "Bot", "id": "b" })),
        ("owner", entity("Bot", "b")),
        ("owner", json!("alice")),
        ("color", entity("Color", "red")),
        ("color", entity("Color", "blue")),
        ("color", json!({ "type": "Color", "id": "green" })),
        (
            "devices",
            json!([{ "id": { "type": "NS::Device", "id": "d" } }]),
        ),
        (
            "devices",
            json!([{ "id": entity("NS::Device", "d"), "score": "1.5" }]),
        ),
        (
            "devices",
            json!([{ "id": entity("NS::Device", "d"), "score": call("decimal", "1.5") }]),
        ),
        ("devices", json!([{ "id": entity("Device", "d") }])),
        ("devices", json!([{ "score": "1.5" }])),
        ("surprise", json!(1)),
        ("surprise", entity("Nobody", "x")),
    ])
}

fn uids(
    choices: &'static [(&'static str, &'static str)],
) -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(choices)
}

const PRINCIPALS: &[(&str, &str)] = &[
    ("User", "alice"),
    ("User", "ghost"),
    ("Bot", "b"),
    ("Photo", "p"),
    ("Nobody", "x"),
    ("Color", "red"),
    ("Action", "view"),
];

const ACTIONS: &[(&str, &str)] = &[
    ("Action", "view"),
    ("Action", "view"),
    ("Action", "view"),
    ("Action", "clean"),
    ("Action", "group"),
    ("Action", "unused"),
    ("Action", "nope"),
    ("User", "alice"),
];

const RESOURCES: &[(&str, &str)] = &[
    ("Photo", "p"),
    ("Photo", "q"),
    ("Color", "red"),
    ("Color", "blue"),
    ("User", "alice"),
    ("NS::Nobody", "x"),
];

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn requests_are_validated_as_cedar_validates_them(
        principal in uids(PRINCIPALS),
        action in uids(ACTIONS),
        resource in uids(RESOURCES),
        mfa in prop::bool::weighted(0.85),
        fields in prop::collection::vec(fields(), 0..3),
    ) {
        thread_local! {
            static BUILT: (cedar::Schema, Authorizer) = (
                cedar::Schema::from_str(SCHEMA).unwrap(),
                Authorizer::builder().schema_str(SCHEMA).policies("permit(principal, action, resource);")
                    .validate_requests(true).build().unwrap(),
            );
        }
        let mut context = serde_json::Map::new();
        if mfa {
            context.insert("mfa".to_owned(), json!(true));
        }
        for (key, value) in fields {
            context.insert(key.to_owned(), value);
        }
        let text = Json::Object(context).to_string();
        BUILT.with(|(schema, authorizer)| {
            let uid = |(ty, id): (&str, &str)| cedar_uid(&(ty.to_owned(), id.to_owned()));
            let cedars = cedar::Context::from_json_str(&text, Some((schema, &uid(action))))
                .map_err(|e| e.to_string())
                .and_then(|context| {
                    cedar::Request::new(uid(principal), uid(action), uid(resource), context, Some(schema))
                        .map_err(|e| e.to_string())
                });
            let request = Request::new(principal, action, resource).context_json(&text);
            let response = authorizer.is_authorized(&request);
            let error = response.request_error().map(ToString::to_string);
            prop_assert_eq!(error.is_none(), cedars.is_ok(), "{:?} {}: {:?}, Cedar: {:?}", request, text, error, cedars.err());
            prop_assert_eq!(authorizer.is_allowed(&request), error.is_none());
            prop_assert_eq!(authorizer.prepare(&request).is_ok(), error.is_none());
            Ok(())
        })?;
    }
}

/// A known deviation: where a schema says the type, Cedar lets `unknown` in, and a forbid that reads it is
/// neither satisfied nor an error.
#[test]
fn unknowns_are_refused() {
    let schema = cedar::Schema::from_str(SCHEMA).unwrap();
    let action = cedar::EntityUid::from_str(r#"Action::"view""#).unwrap();
    let text = r#"{ "mfa": { "__extn": { "fn": "unknown", "arg": "x" } } }"#;
    assert!(cedar::Context::from_json_str(text, Some((&schema, &action))).is_ok());
    let authorizer = Authorizer::builder()
        .schema_str(SCHEMA)
        .policies(
            r#"permit(principal, action, resource);
               forbid(principal, action == Action::"view", resource) when { context.mfa };"#,
        )
        .build()
        .unwrap();
    let response = authorizer.is_authorized(&view().context_json(text));
    assert_eq!(response.outcome(), Outcome::InvalidRequest);
    let message = response.request_error().unwrap().message();
    assert!(message.contains("unknown"), "{message}");
}

#[test]
fn validation_is_asked_for() {
    let build = |validate: bool| {
        Authorizer::builder()
            .schema_str(SCHEMA)
            .policies("permit(principal, action, resource);")
            .validate_requests(validate)
            .build()
            .unwrap()
    };
    let request = Request::new(("Nobody", "x"), ("Action", "nope"), ("Nothing", "y"));
    assert!(build(false).is_allowed(&request));
    let strict = build(true);
    let response = strict.is_authorized(&request);
    assert_eq!(response.outcome(), Outcome::InvalidRequest);
    assert_eq!(
        response.request_error().unwrap().part(),
        RequestPart::Request
    );
    // Typed contexts are validated too.
    let good = json!({ "mfa": true, "roles": ["a"] });
    let bad = json!({ "mfa": 1 });
    let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p"));
    assert!(strict.is_allowed(&request.context(&good)));
    assert!(!strict.is_allowed(&request.context(&bad)));
    assert!(!strict.is_allowed(&request));
    // Fields that no policy observes as well.
    let more = json!({ "mfa": true, "surprise": 1 });
    assert!(!strict.is_allowed(&request.context(&more)));
    // Without a schema there is nothing to validate against.
    let lax = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .validate_requests(true)
        .build()
        .unwrap();
    assert!(lax.is_allowed(&request));
}

/// With a schema, request-scoped entities are what an upsert would accept.
#[test]
fn overlays_are_held_against_the_schema() {
    let authorizer = Authorizer::builder()
        .schema_str(SCHEMA)
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let schema = cedar::Schema::from_str(SCHEMA).unwrap();
    let entity = |ty: &str, attrs: Json, parents: Json, tags: Json| json!({ "uid": { "type": ty, "id": "x" }, "attrs": attrs, "parents": parents, "tags": tags });
    let none = || json!({});
    let rows = [
        entity("User", json!({ "level": 1 }), json!([]), none()),
        entity("User", none(), json!([]), none()),
        entity("User", json!({ "level": "1" }), json!([]), none()),
        entity("User", json!({ "level": 1, "more": 1 }), json!([]), none()),
        entity(
            "User",
            json!({ "level": 1 }),
            json!([{ "type": "Group", "id": "g" }]),
            none(),
        ),
        entity(
            "User",
            json!({ "level": 1 }),
            json!([{ "type": "Photo", "id": "g" }]),
            none(),
        ),
        entity("User", json!({ "level": 1 }), json!([]), json!({ "t": 1 })),
        entity("Photo", none(), json!([]), json!({ "t": 1 })),
        entity("Photo", none(), json!([]), json!({ "t": "1" })),
        entity(
            "Photo",
            json!({ "owner": { "type": "User", "id": "a" } }),
            json!([]),
            none(),
        ),
        entity(
            "Photo",
            json!({ "owner": { "type": "Bot", "id": "a" } }),
            json!([]),
            none(),
        ),
        entity("Nobody", none(), json!([]), none()),
        entity("Color", none(), json!([]), none()),
        json!({ "uid": { "type": "Color", "id": "red" }, "attrs": {}, "parents": [] }),
        json!({ "uid": { "type": "Action", "id": "nope" }, "attrs": {}, "parents": [] }),
        json!({ "uid": { "type": "Action", "id": "unused" }, "attrs": {}, "parents": [] }),
        json!({ "uid": { "type": "Action", "id": "view" }, "attrs": {}, "parents": [] }),
        json!({ "uid": { "type": "Action", "id": "view" }, "attrs": {}, "parents": [{ "type": "Action", "id": "group" }] }),
    ];
    let base = || cedar::Entities::from_entities([], Some(&schema)).unwrap();
    let mut accepted = 0;
    for row in rows {
        let cedars = cedar::Entity::from_json_value(row.clone(), Some(&schema))
            .map_err(|e| e.to_string())
            .and_then(|entity| {
                base()
                    .upsert_entities([entity], Some(&schema))
                    .map_err(|e| e.to_string())
            });
        let text = json!([row]).to_string();
        let request = view().entities_json(&text);
        let response = authorizer.is_authorized(&request);
        assert_eq!(
            response.request_error().is_none(),
            cedars.is_ok(),
            "{text}: {:?}, Cedar: {:?}",
            response.request_error(),
            cedars.err()
        );
        accepted += usize::from(response.is_allowed());
    }
    assert!(accepted >= 5);
}

/// Cedar compares them with what is above them by the data alone: the schema's own actions come afterwards.
#[test]
fn actions_of_the_data_are_held_against_the_schema() {
    const SCHEMA: &str = "action all; action some in [all]; action view in [some];";
    let schema = cedar::Schema::from_str(SCHEMA).unwrap();
    let action = |id: &str, parents: &[&str]| {
        let parents = parents
            .iter()
            .map(|id| json!({ "type": "Action", "id": id }));
        json!({ "uid": { "type": "Action", "id": id }, "attrs": {}, "parents": parents.collect::<Vec<_>>() })
    };
    let rows = [
        json!([action("view", &["some"])]),
        json!([action("view", &["some", "all"])]),
        json!([action("view", &["all"])]),
        json!([action("view", &["some"]), action("some", &["all"])]),
        json!([action("some", &["all"]), action("view", &["some"])]),
        json!([action("view", &["some"]), action("all", &[])]),
        json!([action("view", &["some"]), action("some", &[])]),
        json!([action("view", &["some", "all"]), action("some", &["view"])]),
        json!([action("view", &["some", "all", "nope"])]),
        json!([action("all", &[]), action("nope", &[])]),
    ];
    let mut accepted = 0;
    for row in rows {
        let text = row.to_string();
        let cedars = cedar::Entities::from_json_str(&text, Some(&schema));
        let ours = Authorizer::builder()
            .schema_str(SCHEMA)
            .entities(text.as_str())
            .build();
        assert_eq!(ours.is_ok(), cedars.is_ok(), "{text}: {:?}", ours.err());
        accepted += usize::from(ours.is_ok());
    }
    assert_eq!(accepted, 3);
}
