//! Requests: contexts and entities as callers give them, and what is said about bad ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::{Duration as StdDuration, SystemTime};

use cedar_policy as cedar;
use duramen::values::{Datetime, Decimal, Duration, EntityRef, Ip};
use duramen::{
    Authorizer, Decision, Entity, EntityUid, EntityUidRef, Outcome, Request, RequestError,
    RequestPart,
};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

pub(crate) fn view() -> Request<'static> {
    Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p1"))
}

fn when(condition: &str) -> Authorizer {
    let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
    Authorizer::builder()
        .policies(policy.as_str())
        .build()
        .unwrap()
}

/// Decides with a context of which all is read.
fn holds(condition: &str, request: &Request<'_>) -> bool {
    let authorizer = when(condition);
    let response = authorizer.is_authorized(request);
    assert!(response.request_error().is_none(), "{response:?}");
    assert_eq!(response.errors().len(), 0, "{condition}: {response:?}");
    assert_eq!(response.is_allowed(), authorizer.is_allowed(request));
    response.is_allowed()
}

#[track_caller]
fn refused(request: &Request<'_>) -> RequestError {
    let authorizer = when("true");
    let response = authorizer.is_authorized(request);
    assert_eq!(response.outcome(), Outcome::InvalidRequest);
    assert_eq!(response.decision(), Decision::Deny);
    assert_eq!(response.determining().len() + response.errors().len(), 0);
    assert!(!authorizer.is_allowed(request));
    assert!(!authorizer.session().is_allowed(request));
    let error = response.request_error().unwrap().clone();
    if error.part() != RequestPart::Entities {
        assert_eq!(authorizer.prepare(request).unwrap_err(), error);
    }
    error
}

// ---- typed contexts ----

#[derive(Serialize, Default)]
struct Context<'a> {
    text: &'a str,
    number: u32,
    flag: bool,
    maybe: Option<i64>,
    list: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Device<'a>>,
    choice: Choice,
    pair: (i8, char),
}

#[derive(Serialize)]
struct Device<'a> {
    owner: EntityRef<'a>,
    uid: EntityUid,
    ip: Ip<'a>,
    score: Decimal<'a>,
    seen: Datetime<'a>,
    age: Duration<'a>,
}

#[derive(Serialize, Default)]
enum Choice {
    #[default]
    Plain,
    Tagged {
        level: u8,
    },
}

#[test]
fn typed_contexts_become_records() {
    let context = Context {
        text: "a\"b",
        number: u32::MAX,
        flag: true,
        maybe: Some(-5),
        list: vec!["x", "y", "x"],
        device: Some(Device {
            owner: EntityRef::new("User", "alice"),
            uid: EntityUid::new("NS::Device", "d \u{1F600}"),
            ip: IpAddr::from(Ipv4Addr::new(10, 1, 2, 3)).into(),
            score: Decimal::from_scaled(15_000),
            seen: (SystemTime::UNIX_EPOCH + StdDuration::from_millis(1_500))
                .try_into()
                .unwrap(),
            age: StdDuration::from_secs(3_600).try_into().unwrap(),
        }),
        choice: Choice::Tagged { level: 3 },
        pair: (-1, 'é'),
    };
    let request = view().context(&context);
    for condition in [
        r#"context.text == "a\"b""#,
        "context.number == 4294967295",
        "context.flag",
        "context.maybe == -5",
        r#"context.list == ["x", "y"]"#,
        "context.device.owner == principal",
        r#"context.device.uid == NS::Device::"d \u{1F600}""#,
        r#"context.device.ip == ip("10.1.2.3")"#,
        r#"context.device.score == decimal("1.5")"#,
        r#"context.device.seen == datetime("1970-01-01T00:00:01.500Z")"#,
        r#"context.device.age == duration("1h")"#,
        r#"context.choice == {"Tagged": {"level": 3}}"#,
        r#"context.pair == [-1, "é"]"#,
        "context has device.owner && !(context has device.other)",
        // All of it as one value.
        r#"context != {} && [context].contains(context) && {"c": context}.c.device.owner == principal"#,
    ] {
        assert!(holds(condition, &request), "{condition}");
    }
    let empty = Context::default();
    let request = view().context(&empty);
    for condition in [
        "!(context has maybe)",
        "!(context has device)",
        "context.list.isEmpty()",
        r#"context.choice == "Plain""#,
        r#"context == {"text": "", "number": 0, "flag": false, "list": [], "choice": "Plain", "pair": [0, "\0"]}"#,
    ] {
        assert!(holds(condition, &request), "{condition}");
    }
}

#[test]
fn maps_and_json_values_are_records_too() {
    let map = BTreeMap::from([("a b", vec![1, 2]), ("", vec![])]);
    assert!(holds(
        r#"context["a b"] == [2, 1] && context[""].isEmpty()"#,
        &view().context(&map)
    ));
    let value = json!({ "n": 1, "deep": { "list": [{ "x": true }] } });
    assert!(holds(
        r#"context.n == 1 && context.deep.list.contains({"x": true})"#,
        &view().context(&value)
    ));
    assert!(holds("context == {}", &view().context(&json!({}))));
    assert!(holds("context == {}", &view()));
    assert!(holds("context == {}", &view().context_json("{}")));
}

/// Data from outside must not pose as an entity or an extension value.
#[test]
fn typed_data_has_no_escapes() {
    #[derive(Serialize)]
    struct Sly {
        __entity: Inner,
        __extn: Call,
    }
    #[derive(Serialize)]
    struct Inner {
        r#type: &'static str,
        id: &'static str,
    }
    #[derive(Serialize)]
    struct Call {
        r#fn: &'static str,
        arg: &'static str,
    }
    let inner = || Inner {
        r#type: "User",
        id: "alice",
    };
    #[derive(Serialize)]
    struct Single {
        __entity: Inner,
    }
    let context = BTreeMap::from([("user", Single { __entity: inner() })]);
    let request = view().context(&context);
    assert!(!holds("context.user == principal", &request));
    assert!(holds(
        r#"context.user == {"__entity": {"type": "User", "id": "alice"}}"#,
        &request
    ));
    let json = json!({ "user": { "__entity": { "type": "User", "id": "alice" } },
                       "ip": { "__extn": { "fn": "ip", "arg": "1.2.3.4" } } });
    let request = view().context(&json);
    assert!(holds(
        "context.user has __entity && context.ip.__extn.arg like \"1.*\"",
        &request
    ));
    assert!(!holds(
        "context.user == principal || context.ip == ip(\"1.2.3.4\")",
        &request
    ));
    let sly = Sly {
        __entity: inner(),
        __extn: Call {
            r#fn: "ip",
            arg: "1.2.3.4",
        },
    };
    assert!(holds(
        "context has __entity.id && context has __extn.arg",
        &view().context(&sly)
    ));
    // Nor in request-scoped entities.
    let single = BTreeMap::from([("owner", Single { __entity: inner() })]);
    let photo = [Entity::new(("Photo", "p1")).attrs(&single)];
    let request = view().entities(&photo);
    assert!(!holds("resource.owner == principal", &request));
    assert!(holds("resource.owner has __entity.type", &request));
}

#[test]
fn what_cedar_has_no_value_for_is_refused_with_its_path() {
    struct TwiceTheKey;
    impl Serialize for TwiceTheKey {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map([("k", 1), ("k", 2)])
        }
    }
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    #[derive(Serialize)]
    struct At<T> {
        outer: [BTreeMap<&'static str, T>; 1],
    }
    fn at<T: Serialize + Sync>(value: T) -> RequestError {
        let context = At {
            outer: [BTreeMap::from([("inner", value)])],
        };
        let error = refused(&view().context(&context));
        assert_eq!(error.part(), RequestPart::Context);
        for part in ["outer", "inner"] {
            assert!(error.message().contains(part), "{error}");
        }
        error
    }
    at(1.5_f64);
    at(f32::NAN);
    at(());
    at(Json::Null);
    at([Option::<i32>::None]);
    at(i128::MAX);
    at(u64::MAX);
    at(i128::from(i64::MIN) - 1);
    at(TwiceTheKey);
    at(BTreeMap::from([(1.to_string(), 2.5)]));
    at(Ip::new("10.0.0.01"));
    at(Decimal::new("1.23456"));
    at(Datetime::new("yesterday"));
    at(Duration::new("1h1d"));
    at(EntityRef::new("not a type", "x"));
    at(EntityUid::new("if", "x"));
    assert!(at(Refuses).message().contains("not today"));
    // A context is a record.
    for error in [
        refused(&view().context(&1)),
        refused(&view().context(&["a"])),
        refused(&view().context(&EntityRef::new("User", "alice"))),
        refused(&view().context(&())),
    ] {
        assert_eq!(error.part(), RequestPart::Context, "{error}");
    }
    // Just inside.
    assert!(holds(
        "context.a == 1",
        &view().context(&BTreeMap::from([("a", 1_i128)]))
    ));
    assert!(holds(
        "context.a == 9223372036854775807",
        &view().context(&BTreeMap::from([("a", i64::MAX.unsigned_abs())]))
    ));
}

/// Fields that no policy can observe are read all the same.
#[test]
fn what_is_wrong_with_unobserved_fields_is_said() {
    let context = json!({ "nobody asks": { "for this": 1.5 } });
    let error = refused(&view().context(&context));
    assert!(error.message().contains("for this"), "{error}");
    let error = refused(&view().context_json(r#"{ "nobody asks": { "for this": 1.5 } }"#));
    assert!(error.message().contains("for this"), "{error}");
}

// ---- Cedar JSON ----

#[test]
fn cedar_json_has_escapes() {
    let request = view().context_json(
        r#"{ "user": { "__entity": { "type": "User", "id": "al\u0069ce" } },
             "ip": { "__extn": { "fn": "ip", "arg": "10.0.0.0/8" } },
             "time": { "__extn": { "fn": "offset", "args": [
                 { "__extn": { "fn": "datetime", "arg": "2024-01-01" } },
                 { "__extn": { "fn": "duration", "arg": "1d" } } ] } },
             "text": "\ud83d\ude00\n\/", "n": -9223372036854775808, "set": [1, 1, [2]] }"#,
    );
    for condition in [
        "context.user == principal",
        r#"ip("10.1.1.1").isInRange(context.ip)"#,
        r#"context.time == datetime("2024-01-02")"#,
        r#"context.text == "😀\n/""#,
        "context.n == -9223372036854775808",
        "context.set == [[2], 1]",
    ] {
        assert!(holds(condition, &request), "{condition}");
    }
}

/// What Cedar accepts as a context's JSON is accepted, and else refused, but for the deviations that are known.
#[test]
fn context_json_is_read_as_cedar_reads_it() {
    let rows = [
        "{}",
        r#"{ "a": true, "b": null }"#,
        r#"{ "a": 1.0 }"#,
        r#"{ "a": 1e3 }"#,
        r#"{ "a": 9223372036854775808 }"#,
        r#"{ "a": -9223372036854775808 }"#,
        r#"{ "a": -0 }"#,
        r#"{ "a": 01 }"#,
        r#"{ "a": "\ud800" }"#,
        r#"{ "a": "\x" }"#,
        "{ \"a\": \"\n\" }",
        r#"{ "a": [1, [2, {"b": []}]] }"#,
        r#"{ "a": [1, ] }"#,
        r#"{ "a": { "__entity": { "type": "User", "id": "x" } } }"#,
        r#"{ "a": { "__entity": { "type": "User" } } }"#,
        r#"{ "a": { "__entity": { "type": "User", "id": 1 } } }"#,
        r#"{ "a": { "__entity": { "type": "not a type", "id": "x" } } }"#,
        r#"{ "a": { "__entity": { "type": " User", "id": "x" } } }"#,
        r#"{ "a": { "__entity": { "type": "User", "id": "x" }, "more": 1 } }"#,
        r#"{ "a": { "__entity": { "type": "User", "id": "x", "more": 1 } } }"#,
        r#"{ "a": { "__entity": "User::\"x\"" } }"#,
        r#"{ "a": { "__extn": { "fn": "ip", "arg": "1.2.3.4" } } }"#,
        r#"{ "a": { "__extn": { "fn": "ip", "arg": "nonsense" } } }"#,
        r#"{ "a": { "__extn": { "fn": "ip", "args": ["1.2.3.4"] } } }"#,
        r#"{ "a": { "__extn": { "fn": "ip", "args": [] } } }"#,
        r#"{ "a": { "__extn": { "fn": "ip" } } }"#,
        r#"{ "a": { "__extn": { "fn": "nope", "arg": "x" } } }"#,
        r#"{ "a": { "__extn": { "fn": "decimal", "arg": 1 } } }"#,
        r#"{ "a": { "__extn": "ip(\"1.2.3.4\")" } }"#,
        r#"{ "a": { "__extn": { "fn": "unknown", "arg": "x" } } }"#,
        r#"{ "a": { "__expr": "1 + 1" } }"#,
        r#"{ "a": { "__expr": 1 } }"#,
        r#"{ "a": { "fn": "ip", "arg": "1.2.3.4" } }"#,
        r#"{ "a": { "type": "User", "id": "x" } }"#,
        r#"{ "__entity": { "type": "User", "id": "x" } }"#,
        r#"{ "__extn": { "fn": "ip", "arg": "1.2.3.4" } }"#,
        r#"{ "": 1, "\u0000": 2 }"#,
        "[]",
        "1",
        "null",
        "",
        "{",
        "{} {}",
        "\u{feff}{}",
    ];
    for text in rows {
        let cedars = cedar::Context::from_json_str(text, None);
        let authorizer = when("[context].contains(context)");
        let response = authorizer
            .is_authorized(&view().context_json(text))
            .to_owned();
        assert_eq!(
            response.request_error.is_none(),
            cedars.is_ok(),
            "{text}: {:?}, Cedar: {:?}",
            response.request_error,
            cedars.err()
        );
    }
    // A known deviation: Cedar takes the last of two keys.
    for text in [r#"{ "a": 1, "a": 2 }"#, r#"{ "a": { "b": 1, "b": 1 } }"#] {
        let cedars = cedar::Context::from_json_str(text, None);
        assert!(cedars.is_ok(), "{text}: {:?}", cedars.err());
        assert_eq!(
            refused(&view().context_json(text)).part(),
            RequestPart::Context
        );
    }
    let error = refused(&view().context_json("{\n  \"a\": x }"));
    assert!(error.message().contains("line 2, column 8"), "{error}");
}

// ---- uids ----

#[test]
fn type_names_are_checked() {
    for bad in [
        "", "a b", "1a", "a::", "::a", "a::::b", "if", "User ", "a-b", "__cedar", "in::x", "é",
    ] {
        let cedars = cedar::EntityTypeName::from_str(bad);
        let normal = cedars.is_ok_and(|name| name.to_string() == bad);
        assert!(!normal, "Cedar takes {bad:?}");
        let parts = [
            (
                Request::new((bad, "x"), ("Action", "a"), ("R", "r")),
                RequestPart::Principal,
            ),
            (
                Request::new(("P", "p"), (bad, "x"), ("R", "r")),
                RequestPart::Action,
            ),
            (
                Request::new(("P", "p"), ("Action", "a"), (bad, "x")),
                RequestPart::Resource,
            ),
        ];
        for (request, part) in parts {
            assert_eq!(refused(&request).part(), part, "{bad:?}");
        }
        let parents: [EntityUidRef<'_>; 1] = [(bad, "x").into()];
        for entity in [
            Entity::new((bad, "x")),
            Entity::new(("A", "a")).parents(&parents),
        ] {
            let entities = [entity];
            let error = refused(&view().entities(&entities));
            assert_eq!(error.part(), RequestPart::Entities);
        }
    }
    for good in [
        "A",
        "a1",
        "_x",
        "A::B::c",
        "User",
        "Action",
        "principal",
        "true_",
    ] {
        let cedars = cedar::EntityTypeName::from_str(good).unwrap();
        assert_eq!(cedars.to_string(), good);
        let request = Request::new((good, "any \0 text"), ("Action", "a"), (good, ""));
        assert!(holds("true", &request));
    }
}

// ---- request-scoped entities ----

#[test]
fn overlays_stand_over_the_store() {
    let stored = r#"[
        { "uid": { "type": "User", "id": "alice" }, "attrs": { "level": 1, "old": true },
          "parents": [{ "type": "Group", "id": "eng" }], "tags": { "t": "old" } },
        { "uid": { "type": "Group", "id": "eng" }, "attrs": {}, "parents": [] }
    ]"#;
    let holds = |condition: &str, request: &Request<'_>| {
        let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
        let authorizer = Authorizer::builder()
            .policies(policy.as_str())
            .entities(stored)
            .build()
            .unwrap();
        let answer = authorizer.is_authorized(request).to_owned();
        assert!(answer.request_error.is_none(), "{answer:?}");
        // Nothing stays.
        let again = authorizer.is_authorized(&view());
        assert!(again.request_error().is_none());
        answer.outcome == Outcome::Allowed
    };
    let level = BTreeMap::from([("level", 9)]);
    let tag = BTreeMap::from([("new", "tag")]);
    let above: [EntityUidRef<'_>; 1] = [("Group", "staff").into()];
    let typed = [
        Entity::new(("User", "alice")).attrs(&level).tags(&tag),
        Entity::new(("Group", "eng")).parents(&above),
        Entity::new(("Photo", "p1")).parents(&above),
    ];
    let json = r#"[
        { "uid": { "type": "User", "id": "alice" }, "attrs": { "level": 9 }, "parents": [], "tags": { "new": "tag" } },
        { "uid": { "type": "Group", "id": "eng" }, "attrs": {}, "parents": [{ "type": "Group", "id": "staff" }] },
        { "uid": { "__entity": { "type": "Photo", "id": "p1" } }, "attrs": {}, "parents": [{ "type": "Group", "id": "staff" }] }
    ]"#;
    for request in [view().entities(&typed), view().entities_json(json)] {
        // Replaced whole: attributes, tags and parents.
        assert!(holds(
            "principal.level == 9 && !(principal has old)",
            &request
        ));
        assert!(holds(
            r#"principal.getTag("new") == "tag" && !principal.hasTag("t")"#,
            &request
        ));
        assert!(holds(r#"!(principal in Group::"eng")"#, &request));
        assert!(holds(r#"resource in Group::"staff""#, &request));
    }
    // What is above a stored group counts for its stored members.
    let group = [Entity::new(("Group", "eng")).parents(&above)];
    let request = view().entities(&group);
    assert!(holds(
        r#"principal in Group::"staff" && principal.level == 1"#,
        &request
    ));
    assert!(!holds(r#"principal in Group::"staff""#, &view()));
    // None at all is none.
    assert!(holds("principal.level == 1", &view().entities(&[])));
    assert!(holds("principal.level == 1", &view().entities_json("[]")));
}

#[test]
fn bad_overlays_are_refused() {
    let twice = [Entity::new(("User", "zoe")), Entity::new(("User", "zoe"))];
    let error = refused(&view().entities(&twice));
    assert_eq!(error.part(), RequestPart::Entities);
    assert_eq!(error.entity(), Some(&EntityUid::new("User", "zoe")));
    let float = BTreeMap::from([("ratio", 0.5)]);
    let entities = [
        Entity::new(("User", "ok")),
        Entity::new(("User", "zoe")).attrs(&float),
    ];
    let error = refused(&view().entities(&entities));
    assert_eq!(error.entity(), Some(&EntityUid::new("User", "zoe")));
    assert!(error.to_string().contains("ratio"), "{error}");
    let to = |id| [EntityUidRef::from(("Group", id))];
    let (a, b) = (to("a"), to("b"));
    let stray = [Entity::new(("Action", "view")).parents(&a)];
    let error = refused(&view().entities(&stray));
    assert_eq!(error.entity(), Some(&EntityUid::new("Action", "view")));
    for cycle in [
        vec![Entity::new(("Group", "a")).parents(&a)],
        vec![
            Entity::new(("Group", "a")).parents(&b),
            Entity::new(("Group", "b")).parents(&a),
        ],
    ] {
        let error = refused(&view().entities(&cycle));
        assert_eq!(error.part(), RequestPart::Entities, "{error}");
    }
    for text in [
        "",
        "{}",
        "[1]",
        "[{}]",
        r#"[{ "uid": { "type": "A", "id": "a" }, "attrs": { "a": 1.5 }, "parents": [] }]"#,
        r#"[{ "uid": { "type": "A", "id": "a" }, "attrs": { "a": 1, "a": 1 }, "parents": [] }]"#,
        r#"[{ "uid": { "type": "A b", "id": "a" }, "attrs": {}, "parents": [] }]"#,
        r#"[{ "uid": { "type": "A", "id": "a" }, "attrs": {}, "parents": [{ "type": "A", "id": "a" }] }]"#,
        r#"[{ "uid": { "type": "A", "id": "a" }, "attrs": {}, "parents": [] },
            { "uid": { "type": "A", "id": "a" }, "attrs": {}, "parents": [] }]"#,
        r#"[{ "uid": { "type": "A", "id": "a" }, "attrs": {}, "parents": [] }"#,
    ] {
        let error = refused(&view().entities_json(text));
        assert_eq!(error.part(), RequestPart::Entities, "{text}: {error}");
    }
    // A cycle by way of the store.
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .entities(
            r#"[{ "uid": { "type": "Group", "id": "a" }, "attrs": {}, "parents": [{ "type": "Group", "id": "b" }] }]"#,
        )
        .build()
        .unwrap();
    let above = [Entity::new(("Group", "b")).parents(&a)];
    let outcome = authorizer.is_authorized(&view().entities(&above)).outcome();
    assert_eq!(outcome, Outcome::InvalidRequest);
    // They cannot be prepared.
    let error = authorizer.prepare(&view().entities(&twice)).unwrap_err();
    assert_eq!(error.part(), RequestPart::Entities);
}
