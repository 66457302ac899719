//! Loading entities: where they come from, and what is said about bad ones.

use std::str::FromStr;

use cedar_policy as cedar;
use duramen::{Authorizer, Entities, Entity, EntityError, EntityUid, Outcome, Request};
use serde_json::json;

use super::loading::{ENTITIES, Folder, POLICIES, SCHEMA, outcome, view};

#[test]
fn entities_are_the_same_wherever_they_come_from() {
    #[derive(serde::Serialize)]
    struct Blocked {
        blocked: bool,
    }
    let folder = Folder::new();
    let file = folder.file("entities.json", ENTITIES);
    let typed = Entities::new()
        .insert(Entity::new(("User", "alice")).parents(&[("Group", "eng").into()]))
        .insert(
            Entity::new(("User", "bob"))
                .attrs(&Blocked { blocked: true })
                .parents(&[("Group", "staff").into()]),
        )
        .insert(Entity::new(("Group", "eng")).parents(&[("Group", "staff").into()]))
        .insert(Entity::new(("Group", "staff")));
    let sources = [
        ("text", Entities::from(ENTITIES)),
        ("file", Entities::new().json_file(file)),
        ("typed", typed.clone()),
        ("typed and JSON", typed.json(ENTITIES)),
        (
            "Cedar's",
            cedar::Entities::from_json_str(ENTITIES, None)
                .unwrap()
                .into(),
        ),
    ];
    for (what, entities) in sources {
        let authorizer = Authorizer::builder()
            .policies(POLICIES)
            .entities(entities)
            .build()
            .unwrap();
        assert_eq!(authorizer.entity_count(), 4, "{what}");
        assert_eq!(outcome(&authorizer, "alice").0, Outcome::Allowed, "{what}");
        assert_eq!(outcome(&authorizer, "bob").0, Outcome::Forbidden, "{what}");
        assert_eq!(outcome(&authorizer, "eve").0, Outcome::NoPermit, "{what}");
        // Alice is among the staff by way of her group, and of nothing else.
        let moved = [Entity::new(("Group", "eng"))];
        let request = view("alice").entities(&moved);
        assert!(!authorizer.is_allowed(&request), "{what}");
    }
}

#[test]
fn tags_survive_the_way_through_cedar() {
    let json = r#"[{ "uid": { "type": "User", "id": "alice" }, "parents": [], "attrs": {
        "when": { "__extn": { "fn": "datetime", "arg": "2024-01-01" } }, "esc": { "__entity": { "type": "User", "id": "x" } } },
        "tags": { "role": "admin", "ip": { "__extn": { "fn": "ip", "arg": "1.2.3.4" } } } }]"#;
    let entities = cedar::Entities::from_json_str(json, None).unwrap();
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal, action, resource) when {
                principal.getTag("role") == "admin" && principal.getTag("ip") == ip("1.2.3.4/32") &&
                principal.when == datetime("2024-01-01") && principal.esc == User::"x" };"#,
        )
        .entities(entities)
        .build()
        .unwrap();
    let response = authorizer.is_authorized(&view("alice"));
    assert!(response.is_allowed(), "{response:?}");
}

pub(crate) fn load(entities: impl Into<Entities>) -> Result<Authorizer, EntityError> {
    let built = Authorizer::builder().entities(entities).build();
    built.map_err(|error| error.entity_error().unwrap().clone())
}

pub(crate) fn group(id: &str, level: i64, parents: &[&str]) -> serde_json::Value {
    let parents: Vec<_> = parents
        .iter()
        .map(|id| json!({ "type": "Group", "id": id }))
        .collect();
    json!({ "uid": { "type": "Group", "id": id }, "attrs": { "level": level }, "parents": parents })
}

#[test]
fn duplicates_must_be_equal() {
    let same = json!([group("a", 1, &["b", "c"]), group("a", 1, &["c", "b", "b"])]).to_string();
    assert_eq!(load(same.as_str()).unwrap().entity_count(), 1);
    for other in [group("a", 2, &["b", "c"]), group("a", 1, &["b"])] {
        let different = json!([group("a", 1, &["b", "c"]), other]).to_string();
        assert!(cedar::Entities::from_json_str(&different, None).is_err());
        let error = load(different.as_str()).unwrap_err();
        let problem = &error.problems()[0];
        assert_eq!(problem.entity(), Some(&EntityUid::new("Group", "a")));
    }
    let across = Entities::new()
        .json(json!([group("a", 1, &[])]).to_string())
        .json(json!([group("a", 2, &[])]).to_string());
    assert!(load(across).is_err());
}

#[test]
fn cycles_are_refused() {
    for cycle in [
        json!([group("a", 1, &["a"])]),
        json!([group("a", 1, &["b"]), group("b", 1, &["a"])]),
        json!([
            group("x", 1, &["a"]),
            group("a", 1, &["b"]),
            group("b", 1, &["y", "c"]),
            group("c", 1, &["a"])
        ]),
    ] {
        let text = cycle.to_string();
        assert!(
            cedar::Entities::from_json_str(&text, None).is_err(),
            "{text}"
        );
        let error = load(text.as_str()).unwrap_err();
        let named = error.problems()[0].entity().unwrap();
        assert!(["a", "b", "c"].contains(&named.id()), "{error}");
    }
}

#[test]
fn bad_entities_are_all_named() {
    let text = r#"[
        { "uid": { "type": "User", "id": "ok" }, "attrs": {}, "parents": [] },
        { "uid": { "type": "User", "id": "float" }, "attrs": { "deep": { "x": [1.5] } }, "parents": [] },
        { "uid": { "type": "no type", "id": "x" }, "attrs": {}, "parents": [] },
        { "uid": { "type": "User", "id": "null" }, "attrs": { "x": null }, "parents": [] },
        { "uid": { "type": "User", "id": "fn" }, "attrs": { "x": { "__extn": { "fn": "ip", "arg": "x" } } }, "parents": [] },
        { "attrs": {}, "parents": [] },
        17,
        { "uid": { "type": "User", "id": "twice" }, "attrs": { "x": 1, "x": 1 }, "parents": [] }
    ]"#;
    let error = load(text).unwrap_err();
    // The last one is not well-formed to us: reading ends there, with its place.
    assert_eq!(error.problems().len(), 7, "{error}");
    let last = error.problems().last().unwrap();
    assert_eq!(last.position().unwrap().0, 9, "{error}");
    for part in ["deep", "no type", "number 6", "ip"] {
        assert!(error.to_string().contains(part), "{part} in\n{error}");
    }
    for (text, line) in [
        ("[{]", 1),
        ("[\n{},", 2),
        ("", 1),
        ("{}", 1),
        ("[]\n\n x", 3),
    ] {
        let error = load(text).unwrap_err();
        let problem = error.problems().last().unwrap();
        assert_eq!(
            problem.position().map(|at| at.0),
            Some(line),
            "{text:?}: {error}"
        );
    }
    #[derive(serde::Serialize)]
    struct Attrs {
        ratio: f64,
    }
    let typed = Entities::new()
        .insert(Entity::new(("User", "f")).attrs(&Attrs { ratio: 0.5 }))
        .insert(Entity::new(("a b", "x")));
    let error = load(typed).unwrap_err();
    assert_eq!(error.problems().len(), 2, "{error}");
    assert_eq!(
        error.problems()[0].entity(),
        Some(&EntityUid::new("User", "f"))
    );
    assert!(error.to_string().contains("ratio"), "{error}");
    assert!(load(Entities::new().json_file("/no/such/file")).is_err());
}

#[test]
fn entities_are_held_against_the_schema() {
    let doc = |attrs: serde_json::Value| json!([{ "uid": { "type": "Doc", "id": "d" }, "attrs": attrs, "parents": [] }]);
    let owner = json!({ "__entity": { "type": "User", "id": "a" } });
    let cases = [
        ("fine", true, doc(json!({ "owner": owner }))),
        (
            "implicit",
            true,
            doc(json!({ "owner": { "type": "User", "id": "a" } })),
        ),
        (
            "labels",
            true,
            doc(json!({ "owner": owner, "labels": ["a", "b"] })),
        ),
        ("missing", false, doc(json!({}))),
        ("too many", false, doc(json!({ "owner": owner, "more": 1 }))),
        ("wrong type", false, doc(json!({ "owner": 1 }))),
        (
            "wrong entity",
            false,
            doc(json!({ "owner": { "type": "Doc", "id": "a" } })),
        ),
        (
            "wrong element",
            false,
            doc(json!({ "owner": owner, "labels": [1] })),
        ),
        (
            "tags",
            true,
            json!([{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "owner": owner }, "parents": [], "tags": { "a": "b" } }]),
        ),
        (
            "wrong tags",
            false,
            json!([{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "owner": owner }, "parents": [], "tags": { "a": 1 } }]),
        ),
        (
            "no tags here",
            false,
            json!([{ "uid": { "type": "User", "id": "d" }, "attrs": { "level": 1 }, "parents": [], "tags": { "a": "b" } }]),
        ),
        (
            "undeclared type",
            false,
            json!([{ "uid": { "type": "Nobody", "id": "d" }, "attrs": {}, "parents": [] }]),
        ),
        (
            "parent of a type that may not be one",
            false,
            json!([{ "uid": { "type": "User", "id": "a" }, "attrs": { "level": 1 }, "parents": [{ "type": "Doc", "id": "d" }] }]),
        ),
        (
            "an action as the schema has it",
            true,
            json!([{ "uid": { "type": "Action", "id": "view" }, "attrs": {}, "parents": [{ "type": "Action", "id": "read" }] }]),
        ),
        (
            "an action with another parent",
            false,
            json!([{ "uid": { "type": "Action", "id": "view" }, "attrs": {}, "parents": [{ "type": "Action", "id": "write" }] }]),
        ),
        (
            "an action without its parent",
            false,
            json!([{ "uid": { "type": "Action", "id": "view" }, "attrs": {}, "parents": [] }]),
        ),
        (
            "an undeclared action",
            false,
            json!([{ "uid": { "type": "Action", "id": "nope" }, "attrs": {}, "parents": [] }]),
        ),
    ];
    let schema = cedar::Schema::from_str(SCHEMA).unwrap();
    for (what, fine, entities) in cases {
        let text = entities.to_string();
        let cedars = cedar::Entities::from_json_str(&text, Some(&schema));
        assert_eq!(cedars.is_ok(), fine, "Cedar, {what}: {:?}", cedars.err());
        let built = Authorizer::builder()
            .schema_str(SCHEMA)
            .entities(text.as_str())
            .build();
        assert_eq!(built.is_ok(), fine, "{what}: {:?}", built.err());
    }
}

#[test]
fn the_action_hierarchy_comes_from_the_schema() {
    let policies = r#"permit(principal, action in Action::"write", resource);"#;
    let with_schema = Authorizer::builder()
        .schema_str(SCHEMA)
        .policies(policies)
        .build()
        .unwrap();
    let request = |action| Request::new(("User", "a"), ("Action", action), ("Doc", "d"));
    assert!(with_schema.is_allowed(&request("edit")));
    assert!(with_schema.is_allowed(&request("write")));
    assert!(!with_schema.is_allowed(&request("view")));
    // It stays when entities are replaced.
    with_schema.replace_entities("[]").unwrap();
    assert!(with_schema.is_allowed(&request("edit")));
    // Without a schema, only the data tells.
    let without = Authorizer::builder().policies(policies).build().unwrap();
    assert!(!without.is_allowed(&request("edit")));
    without
        .replace_entities(
            r#"[{ "uid": { "type": "Action", "id": "edit" }, "attrs": {}, "parents": [{ "type": "Action", "id": "write" }] }]"#,
        )
        .unwrap();
    assert!(without.is_allowed(&request("edit")));
}
