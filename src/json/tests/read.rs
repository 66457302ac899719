use std::sync::LazyLock;

use bumpalo::Bump;
use cedar_policy::entities_errors::EntitiesError;
use cedar_policy::{Context, Entities, Entity, EntityUid};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Data, json};

use crate::json::entity::{EntityFields, read_entity};
use crate::json::read::{read_context, read_uid};
use crate::json::{ReadError, ReadErrorKind, parse};
use crate::value::arena::NameText;

use super::shape::{CEDAR, MODEL, PROFILE};
use super::support::quoted;
use super::{Names, cedar_equal, expression};

static ACTION: LazyLock<EntityUid> = LazyLock::new(|| "Action::\"view\"".parse().unwrap());

/// Reads a context with and without the schema, and compares with Cedar.
fn check_context(data: &Data) -> Result<(), TestCaseError> {
    for directed in [false, true] {
        let arena = Bump::new();
        let text = data.to_string();
        let json = parse(&arena, &text, 100).unwrap();
        let mut names = Names::default();
        let expected = directed.then_some(&*PROFILE);
        let ours = read_context(&arena, arena.alloc(json), expected, &[], &mut names);
        let schema = directed.then_some((&*CEDAR, &*ACTION));
        let cedars = Context::from_json_value(data.clone(), schema);
        match (ours, cedars) {
            (Err(error), cedars) if error.kind == ReadErrorKind::Unknown => {
                prop_assert!(text.contains("\"unknown\""), "{}: {:?}", text, cedars);
            }
            (Ok(record), Ok(context)) => {
                let ours = expression(record.into(), &names);
                let equal = cedar_equal(context, &Entities::empty(), "context", &ours);
                prop_assert_eq!(equal, Ok(()), "{} directed {}", text, directed);
            }
            (Err(error), Err(_)) => {
                prop_assert!(error.to_string().starts_with("context"), "{}", error)
            }
            (ours, cedars) => prop_assert!(
                false,
                "{text} directed {directed}: ours {:?}, Cedar's {cedars:?}",
                ours.map(|record| expression(record.into(), &names))
            ),
        }
    }
    Ok(())
}

/// Reads an entity with and without the schema, and compares with Cedar.
fn check_entity(data: &Data) -> Result<(), TestCaseError> {
    for directed in [false, true] {
        let arena = Bump::new();
        let text = data.to_string();
        let json = arena.alloc(parse(&arena, &text, 100).unwrap());
        let mut names = Names::default();
        let schema = directed.then_some(&*MODEL);
        let ours = read_entity(&arena, json, schema, &mut names);
        let cedars = Entity::from_json_value(data.clone(), directed.then_some(&*CEDAR));
        match (ours, cedars) {
            (Err(error), cedars) if error.kind == ReadErrorKind::Unknown => {
                prop_assert!(text.contains("\"unknown\""), "{}: {:?}", text, cedars);
            }
            (Ok(ours), Ok(entity)) => {
                let alone = without_parents(data.clone());
                let alone = Entity::from_json_value(alone, directed.then_some(&*CEDAR)).unwrap();
                let same = same_entity(&ours, entity, alone, &names);
                prop_assert_eq!(same, Ok(()), "{} directed {}", text, directed);
            }
            // Cedar validates in the same call; reading is only the first half.
            (Ok(_), Err(EntitiesError::InvalidEntity(_))) if directed => {}
            (Err(_), Err(_)) => {}
            (ours, cedars) => prop_assert!(
                false,
                "{text} directed {directed}: ours {:?}, Cedar's {cedars:?}",
                ours.map(|fields| expression(fields.attrs.into(), &names))
            ),
        }
    }
    Ok(())
}

/// The same entity, which can then be stored even if it was its own parent.
fn without_parents(mut data: Data) -> Data {
    match &mut data {
        Data::Object(members) => members.insert("parents".to_owned(), json!([])),
        Data::Array(fields) => Some(std::mem::replace(&mut fields[2], json!([]))),
        _ => None,
    };
    data
}

/// `alone` is what `entity` is without parents.
fn same_entity(
    ours: &EntityFields<'_>,
    entity: Entity,
    alone: Entity,
    names: &Names,
) -> Result<(), String> {
    let uid = expression(ours.uid.into(), names);
    let mut cedars_tags: Vec<_> = entity.tags().map(|(name, _)| name.to_owned()).collect();
    let (cedars_uid, cedars_attrs, cedars_parents) = entity.into_inner();
    let entities = Entities::from_entities([alone], None).map_err(|e| e.to_string())?;
    let equal = |left: &str, right: &str| cedar_equal(Context::empty(), &entities, left, right);
    equal(&cedars_uid.to_string(), &uid)?;

    let mut parents: Vec<_> = ours
        .parents
        .iter()
        .map(|uid| expression((*uid).into(), names))
        .collect();
    let mut cedars_parents: Vec<_> = cedars_parents.iter().map(expression_of).collect();
    parents.sort();
    cedars_parents.sort();
    same("parents", parents, cedars_parents)?;

    let mut attrs = Vec::new();
    for (key, value) in ours.attrs.iter() {
        let key = names.sym_text(key);
        equal(
            &format!("{uid}[{}]", quoted(key)),
            &expression(value, names),
        )?;
        attrs.push(key.to_owned());
    }
    let mut cedars_attrs: Vec<_> = cedars_attrs.into_keys().collect();
    attrs.sort();
    cedars_attrs.sort();
    same("attributes", attrs, cedars_attrs)?;

    let mut tags = Vec::new();
    for (key, value) in ours.tags.iter() {
        let key = names.sym_text(key);
        equal(
            &format!("{uid}.getTag({})", quoted(key)),
            &expression(value, names),
        )?;
        tags.push(key.to_owned());
    }
    tags.sort();
    cedars_tags.sort();
    same("tags", tags, cedars_tags)
}

fn expression_of(uid: &EntityUid) -> String {
    format!("{}::{}", uid.type_name(), quoted(uid.id().unescaped()))
}

fn same(what: &str, ours: Vec<String>, cedars: Vec<String>) -> Result<(), String> {
    if ours == cedars {
        Ok(())
    } else {
        Err(format!("{what}: ours {ours:?}, Cedar's {cedars:?}"))
    }
}

#[test]
fn known_values() {
    for value in values() {
        check_context(&json!({"name": "n", "a": value})).unwrap();
        check_context(&json!({"a": [value]})).unwrap();
        check_context(&value).unwrap();
        for name in [
            "ip", "score", "since", "ttl", "manager", "age", "ips", "friends", "nested", "__entity",
        ] {
            check_context(&json!({"name": "n", name: value})).unwrap();
            check_context(&json!({"name": "n", name: [value]})).unwrap();
            check_entity(&entity(json!({"name": "n", name: value}))).unwrap();
        }
        check_context(&json!({"name": "n", "nested": {"since": value, "friend": value}})).unwrap();
        check_entity(&entity(json!({"name": "n", "a": value}))).unwrap();
        check_entity(&json!({"uid": value, "attrs": {}, "parents": []})).unwrap();
        check_entity(&json!({"uid": uid(), "attrs": {}, "parents": [value, value]})).unwrap();
        check_entity(&json!({"uid": uid(), "attrs": value, "parents": []})).unwrap();
        check_entity(&json!({"uid": uid(), "attrs": {}, "parents": [], "tags": value})).unwrap();
        check_entity(
            &json!({"uid": uid(), "attrs": {"name": ""}, "parents": [], "tags": {"t": value}}),
        )
        .unwrap();
        check_entity(
            &json!({"uid": uid(), "attrs": {"name": ""}, "parents": [], "tags": {"t": [value]}}),
        )
        .unwrap();
        check_entity(&json!({"uid": {"type": "Action", "id": "a"}, "attrs": {"x": value}, "parents": [value]})).unwrap();
        check_entity(&json!([value, {}, []])).unwrap();
        check_entity(&value).unwrap();
    }
}

#[test]
fn known_entities() {
    for data in [
        json!({"uid": uid(), "attrs": {"name": "n"}, "parents": [], "extra": null, "more": 1.5}),
        json!({"uid": uid(), "attrs": {}}),
        json!({"uid": uid(), "parents": []}),
        json!({"attrs": {}, "parents": []}),
        json!({"uid": uid(), "attrs": {}, "parents": [], "tags": null}),
        json!({"uid": uid(), "attrs": [], "parents": []}),
        json!({"uid": uid(), "attrs": {}, "parents": {}}),
        json!([uid(), {}, []]),
        json!([uid(), {"name": "n"}, [uid()], {"t": ["1.0"]}]),
        json!([uid(), {}, [], {}, {}]),
        json!([uid(), {}]),
        json!({"uid": {"type": "Action", "id": "a"}, "attrs": {}, "parents": [{"type": "Action", "id": "b"}]}),
        json!({"uid": {"type": "N::Action", "id": "a"}, "attrs": {}, "parents": [{"type": "Action", "id": "b"}]}),
        json!({"uid": {"type": "Action", "id": "view"}, "attrs": {}, "parents": [uid()]}),
        json!({"uid": {"type": "MyAction", "id": "view"}, "attrs": {}, "parents": [uid()]}),
        json!({"uid": {"type": "Nobody", "id": ""}, "attrs": {}, "parents": []}),
        json!({"uid": {"type": "Plain", "id": ""}, "attrs": {}, "parents": [], "tags": {}}),
        json!({"uid": {"type": "Plain", "id": ""}, "attrs": {}, "parents": [], "tags": {"a": 1}}),
        json!({"uid": {"type": "Plain", "id": ""}, "attrs": {"a": 1}, "parents": []}),
    ] {
        check_entity(&data).unwrap();
    }
}

#[test]
fn errors_name_the_path() {
    let float = json!({"device": {"scores": [1, 2.5]}});
    let entity = json!({"uid": uid(), "attrs": {"a b": {"ip": {"__extn": {"fn": "ip", "arg": "x"}}}}, "parents": []});
    let missing = json!({"name": "n", "nested": {}});
    let table = [
        (
            context_error(&float, false),
            "context.device.scores[1]: 2.5 is not a 64-bit integer",
        ),
        (
            context_error(&missing, true),
            "context.nested: the attribute `since`",
        ),
        (
            context_error(&json!({"x": null}), false),
            "context.x: Cedar has no null",
        ),
        (
            context_error(&json!([]), false),
            "context: expected a record",
        ),
        (
            context_error(&json!({"name": "", "ip": "1.2.3"}), true),
            "context.ip: `ip` does not take \"1.2.3\"",
        ),
        (
            entity_error(&entity),
            "attrs[\"a b\"].ip: `ip` does not take \"x\"",
        ),
        (
            entity_error(&json!({"uid": "u", "attrs": {}, "parents": []})),
            "uid: expected an entity",
        ),
    ];
    for (error, start) in table {
        assert!(error.starts_with(start), "{error}");
    }
}

fn context_error(data: &Data, directed: bool) -> String {
    let (arena, text) = (Bump::new(), data.to_string());
    let json = arena.alloc(parse(&arena, &text, 100).unwrap());
    let expected = directed.then_some(&*PROFILE);
    let result = read_context(&arena, json, expected, &[], &mut Names::default());
    result.unwrap_err().to_string()
}

fn entity_error(data: &Data) -> String {
    let (arena, text) = (Bump::new(), data.to_string());
    let json = arena.alloc(parse(&arena, &text, 100).unwrap());
    let result = read_entity(&arena, json, None, &mut Names::default());
    result.unwrap_err().to_string()
}

#[test]
fn uids() {
    for value in values() {
        let (arena, text) = (Bump::new(), value.to_string());
        let json = parse(&arena, &text, 100).unwrap();
        let ours: Result<_, ReadError<'_>> = read_uid(&json);
        let cedars = EntityUid::from_json(value);
        let cedars = cedars
            .as_ref()
            .map(|uid| (uid.type_name().to_string(), uid.id().unescaped().to_owned()));
        let ours = ours.map(|(type_name, id)| (type_name.to_owned(), id.to_owned()));
        assert_eq!(ours.ok(), cedars.ok(), "{text}");
    }
}

fn uid() -> Data {
    json!({"type": "User", "id": "u"})
}

fn entity(attrs: Data) -> Data {
    json!({"uid": uid(), "attrs": attrs, "parents": []})
}

/// Values at the edges of what Cedar accepts.
fn values() -> Vec<Data> {
    let mut values = leaves();
    values.extend([
        json!([]),
        json!({}),
        json!([1, "a", 1, [1], {"a": [true]}]),
        json!(["User", "u"]),
        json!(["User", "u", "v"]),
        json!([uid()]),
        uid(),
        json!({"type": "User", "id": "u", "x": null}),
        json!({"type": "User", "id": "u", "x": 1.5}),
        json!({"type": "User", "id": 1}),
        json!({"type": " User", "id": "u"}),
        json!({"type": "in", "id": "u"}),
        json!({"type": "User"}),
        json!({"__entity": uid()}),
        json!({"__entity": uid(), "x": 1}),
        json!({"__entity": uid(), "x": 1.5}),
        json!({"__entity": ["User", "u"]}),
        json!({"__entity": {"type": "User", "id": "u", "x": null}}),
        json!({"__entity": {"type": "User", "id": "u", "x": [1.5]}}),
        json!({"__entity": {"type": "User", "id": "u", "x": {"__expr": "1"}}}),
        json!({"__entity": {"type": "User", "ID": "u"}}),
        json!({"__entity": {"type": "User", "id": null}}),
        json!({"__entity": {"type": "a b", "id": "u"}}),
        json!({"__entity": 1, "type": "User", "id": "u"}),
        json!({"__entity": {"type": "N::Friend", "id": "é\n\"\u{0}"}}),
        json!({"__expr": "1 + 1"}),
        json!({"__expr": "1 + 1", "x": 1}),
        json!({"__expr": 1}),
        json!({"__expr": "x", "__entity": uid()}),
        json!({"__expr": 1, "__entity": uid()}),
        json!({"__expr": "x", "__extn": {"fn": "ip", "arg": "::1"}}),
        json!({"__expr": ["x"]}),
        json!(["x"]),
        json!({"fn": "ip", "arg": "1.2.3.4/8"}),
        json!({"fn": "ip", "args": ["1.2.3.4/8"]}),
        json!({"fn": "ip", "args": "1.2.3.4/8"}),
        json!({"fn": "ip", "arg": "1.2.3.4", "args": 1}),
        json!({"fn": "ip", "arg": 1.5, "args": ["::1"]}),
        json!({"fn": "ip", "arg": null, "args": ["::1"]}),
        json!({"fn": "ip", "arg": "::1", "x": 1.5}),
        json!({"__extn": {"fn": "ip", "arg": "1.2.3.4"}}),
        json!({"__extn": {"fn": "ip", "arg": "1.2.3.4"}, "x": 1}),
        json!({"__extn": {"fn": "ip", "arg": "1.2.3.4"}, "x": 1.5}),
        json!({"__extn": {"fn": "ip", "arg": "1.2.3.4", "x": 1.5}}),
        json!({"__extn": {"fn": "ip", "arg": "1.2.3.4", "x": null}}),
        json!({"__extn": {"fn": "ip", "arg": 1.5, "args": ["1.2.3.4"]}}),
        json!({"__extn": {"fn": "ip", "arg": "bad"}}),
        json!({"__extn": {"fn": "ip", "arg": 1}}),
        json!({"__extn": {"fn": "ip", "arg": null}}),
        json!({"__extn": {"fn": "ip"}}),
        json!({"__extn": {"fn": "ip", "args": []}}),
        json!({"__extn": {"fn": "ip", "args": ["::1", "::1"]}}),
        json!({"__extn": {"fn": "ip", "args": ["::1"]}}),
        json!({"__extn": {"fn": "nope", "arg": "::1"}}),
        json!({"__extn": {"fn": "a b", "arg": "::1"}}),
        json!({"__extn": {"fn": 1, "arg": "::1"}}),
        json!({"__extn": "ip"}),
        json!({"__extn": 1, "fn": "decimal", "arg": "1.5"}),
        json!({"__extn": {"fn": "decimal", "arg": "1.5"}}),
        json!({"__extn": {"fn": "decimal", "arg": "1.50000"}}),
        json!({"__extn": {"fn": "datetime", "arg": "2024-02-29"}}),
        json!({"__extn": {"fn": "duration", "arg": "1h30m"}}),
        json!({"__extn": {"fn": "isInRange", "args": [{"__extn": {"fn": "ip", "arg": "1.2.3.4"}}, {"__extn": {"fn": "ip", "arg": "1.2.0.0/16"}}]}}),
        json!({"__extn": {"fn": "isInRange", "args": ["1.2.3.4", "1.2.0.0/16"]}}),
        json!({"fn": "offset", "args": ["2024-01-01", "1h"]}),
        json!({"fn": "offset", "args": ["2024-01-01", {"fn": "durationSince", "args": ["2024-01-02", "2024-01-01"]}]}),
        json!({"fn": "toTime", "arg": "2024-01-01T01:02:03Z"}),
        json!({"fn": "toDate", "arg": {"fn": "datetime", "arg": "2024-01-01T01:02:03Z"}}),
        json!({"fn": "toDays", "arg": "49h"}),
        json!({"fn": "lessThan", "args": ["1.5", {"__extn": {"fn": "decimal", "arg": "1.6"}}]}),
        json!({"__extn": {"fn": "toHours", "arg": {"__extn": {"fn": "duration", "arg": "49h"}}}}),
        json!({"__extn": {"fn": "isIpv4", "arg": {"__extn": {"fn": "isIpv4", "arg": "x"}}}}),
        json!({"__extn": {"fn": "unknown", "arg": "x"}}),
        json!({"__extn": {"fn": "unknown", "arg": "x"}, "y": 1}),
        json!({"__extn": {"fn": "unknown", "args": ["x"]}}),
        json!({"__extn": {"fn": "unknown", "arg": 1}}),
        json!({"fn": "unknown", "arg": "x"}),
        json!({"__extn": {"fn": "ip", "arg": {"__extn": {"fn": "unknown", "arg": "x"}}}}),
        json!({"fn": "x", "arg": "y"}),
    ]);
    values
}

fn leaves() -> Vec<Data> {
    let mut leaves = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(9_223_372_036_854_775_808_u64),
        json!(u64::MAX),
        json!(1.0),
        json!(-0.0),
        json!(1e2),
        json!(1.5),
    ];
    let texts = [
        "",
        "a",
        "é\u{0}\n\"\\",
        "User",
        "User::\"u\"",
        "1.2.3.4",
        "::1/64",
        "1.5",
        "-0.0",
        "2024-01-01",
        "2024-01-01T00:00:00Z",
        "1h",
        "-5ms",
        "unknown",
    ];
    leaves.extend(texts.map(|text| json!(text)));
    leaves
}

/// Trees of the values above under keys that mean something somewhere.
fn data() -> impl Strategy<Value = Data> {
    select(values()).prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Data::Array),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = Data>) -> impl Strategy<Value = Data> {
    let keys = [
        "name", "age", "flag", "ip", "score", "since", "ttl", "manager", "roles", "ips", "friends",
        "nested", "friend", "odd key", "__entity", "__extn", "__expr", "type", "id", "fn", "arg",
        "args", "x",
    ];
    prop::collection::vec((select(keys.to_vec()), inner), 0..4).prop_map(|members| {
        let members = members
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Data::Object(members.collect::<Map<_, _>>())
    })
}

fn with_name(mut data: Data) -> Data {
    if let Data::Object(members) = &mut data {
        members.insert("name".to_owned(), json!("n"));
    }
    data
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn generated_contexts(data in object(data()).prop_map(with_name)) {
        check_context(&data)?;
    }

    #[test]
    fn generated_entities(attrs in object(data()).prop_map(with_name), tags in object(data()), parent in data()) {
        check_entity(&entity(attrs.clone()))?;
        check_entity(&json!({"uid": parent, "attrs": attrs, "parents": [uid(), parent], "tags": tags}))?;
    }
}
