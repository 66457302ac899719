//! Loading: where policies, schemas and entities come from, and what is said about bad ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use cedar_policy as cedar;
use duramen::{
    Authorizer, BuildError, Effect, Entities, Entity, EntityError, EntityUid, Limit, Limits,
    Outcome, Policies, Problem, Request,
};
use serde_json::json;

/// A directory that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("duramen-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const POLICIES: &str = r#"// Who may look.
@owner("docs")
permit(principal in Group::"staff", action == Action::"view", resource);

forbid(principal, action, resource) // Blocked users never.
unless { !(principal has blocked) || principal.blocked == false };
"#;

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [{ "type": "Group", "id": "eng" }] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "blocked": true },
      "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "Group", "id": "eng" }, "attrs": {}, "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "Group", "id": "staff" }, "attrs": {}, "parents": [] }
]"#;

fn view(user: &'static str) -> Request<'static> {
    Request::new(("User", user), ("Action", "view"), ("Doc", "d"))
}

fn outcome(authorizer: &Authorizer, user: &'static str) -> (Outcome, Vec<String>) {
    let response = authorizer.is_authorized(&view(user));
    let ids = response.determining().map(|policy| policy.id().to_string());
    (response.outcome(), ids.collect())
}

fn build(policies: Policies) -> Result<Authorizer, BuildError> {
    Authorizer::builder()
        .policies(policies)
        .entities(ENTITIES)
        .build()
}

fn problems(built: Result<Authorizer, BuildError>) -> Vec<Problem> {
    let error = built.unwrap_err();
    error.compile_error().unwrap().problems().to_vec()
}

fn ids(authorizer: &Authorizer) -> (usize, Vec<String>) {
    let mut ids = outcome(authorizer, "alice").1;
    ids.extend(outcome(authorizer, "bob").1);
    (authorizer.policy_count(), ids)
}

// ---- policies ----

#[test]
fn policies_are_the_same_wherever_they_come_from() {
    let set = cedar::PolicySet::from_str(POLICIES).unwrap();
    let json = set.clone().to_json().unwrap().to_string();
    let folder = Folder::new();
    let (first, second) = POLICIES.split_once("\n\n").unwrap();
    folder.file("1-view.cedar", first);
    folder.file("2-block.cedar", second);
    folder.file("notes.txt", "permit(");
    std::fs::create_dir(folder.0.join("sub")).unwrap();
    std::fs::write(folder.0.join("sub").join("x.cedar"), "permit(").unwrap();
    let file = Folder::new();
    let cedar_file = file.file("all.cedar", POLICIES);
    let json_file = file.file("all.json", &json);
    let crowded = POLICIES
        .replace('\n', "\r\n// more\n")
        .replace(", ", " ,\n\t");
    let sources = [
        ("text", Policies::new().text(POLICIES)),
        ("reformatted", Policies::new().text(crowded)),
        ("two texts", Policies::new().text(first).text(second)),
        ("JSON", Policies::new().json(json.as_str())),
        ("policy set", Policies::new().policy_set(set.clone())),
        ("file", Policies::new().file(&cedar_file)),
        ("JSON file", Policies::new().file(&json_file)),
        ("directory", Policies::new().directory(&folder.0)),
        ("&str", Policies::from(POLICIES)),
        ("PolicySet", Policies::from(set)),
    ];
    let mut digests = Vec::new();
    for (what, policies) in sources {
        let authorizer = build(policies).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            outcome(&authorizer, "alice"),
            (Outcome::Allowed, vec!["policy0".to_owned()]),
            "{what}"
        );
        assert_eq!(
            outcome(&authorizer, "bob"),
            (Outcome::Forbidden, vec!["policy1".to_owned()]),
            "{what}"
        );
        assert_eq!(outcome(&authorizer, "eve").0, Outcome::NoPermit, "{what}");
        assert_eq!(authorizer.policy_count(), 2, "{what}");
        digests.push((what, authorizer.version().policies()));
    }
    for (what, digest) in &digests {
        assert_eq!(*digest, digests[0].1, "the digest of {what}");
    }
}

#[test]
fn the_digest_follows_the_meaning() {
    let digest = |text: &str| {
        let authorizer = Authorizer::builder().policies(text).build().unwrap();
        authorizer.version().policies()
    };
    let base = "permit(principal, action, resource) when { context.a == 1 };";
    let same = "permit ( principal,action,resource )\n// no\nwhen{context[\"a\"]==1};";
    assert_eq!(digest(base), digest(same));
    let others = [
        "permit(principal, action, resource) when { context.a == 2 };",
        "permit(principal, action, resource) unless { context.a == 1 };",
        "forbid(principal, action, resource) when { context.a == 1 };",
        "permit(principal, action, resource) when { context.b == 1 };",
        "permit(principal, action, resource) when { 1 == context.a };",
        "permit(principal, action, resource) when { context.a != 1 };",
        "permit(principal is User, action, resource) when { context.a == 1 };",
        "permit(principal, action in [Action::\"a\"], resource) when { context.a == 1 };",
        "@a(\"b\") permit(principal, action, resource) when { context.a == 1 };",
        "permit(principal, action, resource) when { context.a == 1 } when { true };",
        "permit(principal, action, resource) when { context.a == \"1\" };",
        "",
    ];
    let mut digests: Vec<_> = others.iter().map(|text| digest(text).to_string()).collect();
    digests.push(digest(base).to_string());
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), others.len() + 1);
}

#[test]
fn templates_and_links() {
    let template = r#"
        @reason("shared")
        permit(principal == ?principal, action == Action::"view", resource in ?resource) when { context.ok };
        permit(principal, action, resource == ?resource);
    "#;
    let policies = Policies::new()
        .text(template)
        .link(
            "policy0",
            "alice-d",
            Some(("User", "alice").into()),
            Some(("Doc", "d").into()),
        )
        .link(
            "policy0",
            "bob-f",
            Some(("User", "bob").into()),
            Some(("Folder", "f").into()),
        )
        .link("policy1", "all-e", None, Some(("Doc", "e").into()));
    let authorizer = Authorizer::builder()
        .policies(policies.clone())
        .build()
        .unwrap();
    assert_eq!(authorizer.policy_count(), 3);
    let request = view("alice").context_json(r#"{ "ok": true }"#);
    let response = authorizer.is_authorized(&request);
    let policy = response.determining().next().unwrap();
    assert_eq!(policy.id().as_str(), "alice-d");
    assert_eq!(policy.template().unwrap().as_str(), "policy0");
    assert_eq!(policy.effect(), Effect::Permit);
    assert_eq!(policy.annotation("reason"), Some("shared"));
    assert!(!authorizer.is_allowed(&view("bob").context_json(r#"{ "ok": true }"#)));
    let other = Request::new(("Any", "one"), ("Action", "edit"), ("Doc", "e"));
    assert!(authorizer.is_allowed(&other));
    // A template that nothing links does nothing.
    let unlinked = Authorizer::builder().policies(template).build().unwrap();
    assert_eq!(unlinked.policy_count(), 0);
    assert!(!unlinked.is_allowed(&request));

    // The same set as Cedar has it.
    let mut set = cedar::PolicySet::from_str(template).unwrap();
    let uid = |text: &str| cedar::EntityUid::from_str(text).unwrap();
    let link = |set: &mut cedar::PolicySet, template: &str, id: &str, values: &[(bool, &str)]| {
        let values = values.iter().map(|(principal, of)| {
            let slot = if *principal {
                cedar::SlotId::principal()
            } else {
                cedar::SlotId::resource()
            };
            (slot, uid(of))
        });
        let id_of = |id: &str| cedar::PolicyId::new(id);
        set.link(id_of(template), id_of(id), values.collect())
            .unwrap();
    };
    let both = [(true, "User::\"alice\""), (false, "Doc::\"d\"")];
    link(&mut set, "policy0", "alice-d", &both);
    let both = [(true, "User::\"bob\""), (false, "Folder::\"f\"")];
    link(&mut set, "policy0", "bob-f", &both);
    link(&mut set, "policy1", "all-e", &[(false, "Doc::\"e\"")]);
    for same in [
        Policies::new().policy_set(set.clone()),
        Policies::new().json(set.to_json().unwrap().to_string()),
    ] {
        let from_cedar = Authorizer::builder().policies(same).build().unwrap();
        let (ours, cedars) = (
            authorizer.is_authorized(&request).to_owned(),
            from_cedar.is_authorized(&request).to_owned(),
        );
        assert_eq!(ours.determining, cedars.determining);
        assert_eq!(from_cedar.policy_count(), 3);
        assert_eq!(
            authorizer.version().policies(),
            from_cedar.version().policies()
        );
    }

    let alice = Some(("User", "alice").into());
    let doc = Some(("Doc", "d").into());
    for (what, template, id, principal, resource) in [
        ("no such template", "policy7", "x", alice, doc),
        ("a slot is missing", "policy0", "x", alice, None),
        ("a slot is too many", "policy1", "x", alice, doc),
        ("the id is a link's", "policy0", "bob-f", alice, doc),
        ("the id is a template's", "policy0", "policy1", alice, doc),
        (
            "no type name",
            "policy0",
            "x",
            Some(("no type", "x").into()),
            doc,
        ),
    ] {
        let found = problems(build(
            policies.clone().link(template, id, principal, resource),
        ));
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert_eq!(found[0].policy().unwrap().as_str(), id, "{what}");
    }
}

#[test]
fn ids_from_annotations() {
    let text = r#"
        @id("named") permit(principal, action, resource);
        permit(principal, action, resource);
        @id("third") permit(principal == ?principal, action, resource);
    "#;
    let link = |policies: Policies, template: &str| {
        policies.link(template, "link", Some(("User", "alice").into()), None)
    };
    let plain = build(link(Policies::new().text(text), "policy2")).unwrap();
    assert_eq!(outcome(&plain, "alice").1, ["policy0", "policy1", "link"]);
    let named = link(Policies::new().text(text).ids_from_annotations(), "third");
    let named = build(named).unwrap();
    assert_eq!(outcome(&named, "alice").1, ["named", "policy1", "link"]);
    // Also of a set that Cedar parsed.
    let set = cedar::PolicySet::from_str(text).unwrap();
    let named = Policies::new().policy_set(set).ids_from_annotations();
    let named = build(link(named, "third")).unwrap();
    let mut found = outcome(&named, "alice").1;
    found.sort();
    assert_eq!(found, ["link", "named", "policy1"]);
}

#[test]
fn ids_must_be_unique() {
    let twice = r#"
        @id("a") permit(principal, action, resource);
        @id("b") permit(principal, action, resource);
        @id("a") forbid(principal, action, resource);
        @id("b") forbid(principal == ?principal, action, resource);
    "#;
    let found = problems(build(Policies::new().text(twice).ids_from_annotations()));
    assert_eq!(found.len(), 2, "{found:?}");
    for (problem, (id, line)) in found.iter().zip([("a", 4), ("b", 5)]) {
        assert_eq!(problem.policy().unwrap().as_str(), id);
        assert_eq!(problem.position().unwrap().0, line);
    }
    // Texts go on counting; sets bring their own ids.
    let one = "permit(principal, action, resource);";
    let set = cedar::PolicySet::from_str(one).unwrap();
    assert!(build(Policies::new().text(one).text(one)).is_ok());
    let clash = problems(build(Policies::new().text(one).policy_set(set)));
    assert_eq!(clash[0].policy().unwrap().as_str(), "policy0");
}

#[test]
fn all_problems_are_told_together_with_their_places() {
    let folder = Folder::new();
    let syntax = folder.file(
        "1.cedar",
        "permit(principal, action, resource);\n\n  permit(principal, é action, resource);\n",
    );
    let typo = folder.file(
        "2.cedar",
        "permit(principal, action == Action::\"view\", resource)\nwhen {\n  principal.nope == 1 };\n\
         permit(principal == Usr::\"x\", action, resource);",
    );
    let missing = folder.0.join("3.cedar");
    let error = Authorizer::builder()
        .schema_str(SCHEMA)
        .policies(Policies::new().file(&syntax).file(&typo).text("permit("))
        .entities(r#"[{ "uid": { "type": "Nobody", "id": "x" }, "attrs": {}, "parents": [] }]"#)
        .build()
        .unwrap_err();
    let entities = error.entity_error().unwrap().problems();
    assert_eq!(entities.len(), 1, "{entities:?}");
    let found = error.compile_error().unwrap().problems();
    let place = |path: &Path, line: u32| {
        let file = path.to_str().unwrap();
        found
            .iter()
            .filter(|problem| {
                problem.file() == Some(file) && problem.position().is_some_and(|at| at.0 == line)
            })
            .count()
    };
    assert!(place(&syntax, 3) >= 1, "{found:#?}");
    assert!(
        found.iter().any(|problem| problem.file().is_none()),
        "{found:#?}"
    );
    let column = found
        .iter()
        .find(|problem| problem.file() == syntax.to_str())
        .and_then(Problem::position)
        .unwrap()
        .1;
    assert!((21..=23).contains(&column), "{found:#?}");
    assert!(place(&typo, 3) >= 1, "{found:#?}");
    assert!(place(&typo, 4) >= 1, "{found:#?}");
    for problem in found
        .iter()
        .filter(|problem| problem.file() == typo.to_str())
    {
        assert!(problem.policy().is_some(), "{problem:?}");
        let text = std::fs::read_to_string(&typo).unwrap();
        assert!(
            text.get(problem.span().unwrap())
                .is_some_and(|text| !text.is_empty())
        );
    }
    let text = error.to_string();
    for part in ["1.cedar:3:", "2.cedar:3:", "Usr", "nope", "Nobody"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }

    let gone = problems(build(
        Policies::new()
            .file(&missing)
            .directory(folder.0.join("none")),
    ));
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert_eq!(gone[0].file(), missing.to_str());
}

// ---- schemas ----

const SCHEMA: &str = r#"
    entity Group in [Group];
    entity User in [Group] { level: Long, "nick"?: String };
    entity Doc { owner: User, labels?: Set<String> } tags String;
    action read, write;
    action view in [read] appliesTo { principal: User, resource: Doc, context: { mfa: Bool } };
    action edit in [read, write] appliesTo { principal: User, resource: Doc, context: { mfa: Bool } };
"#;

fn schema_json() -> String {
    let (fragment, _) = cedar::SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
    fragment.to_json_string().unwrap()
}

#[test]
fn schemas_in_both_syntaxes() {
    let policies = r#"permit(principal, action in Action::"read", resource) when { resource.owner == principal };"#;
    let entities = r#"[{ "uid": { "type": "Doc", "id": "d" },
        "attrs": { "owner": { "type": "User", "id": "alice" } }, "parents": [] }]"#;
    let folder = Folder::new();
    let cedar_file = folder.file("a.cedarschema", SCHEMA);
    let json_file = folder.file("a.json", &schema_json());
    let builders = [
        Authorizer::builder().schema_str(SCHEMA),
        Authorizer::builder().schema_json(schema_json()),
        Authorizer::builder().schema_file(cedar_file),
        Authorizer::builder().schema_file(json_file),
    ];
    let mut digests = Vec::new();
    for builder in builders {
        let authorizer = builder
            .policies(policies)
            .entities(entities)
            .build()
            .unwrap();
        assert_eq!(outcome(&authorizer, "alice").0, Outcome::Allowed);
        assert_eq!(outcome(&authorizer, "bob").0, Outcome::NoPermit);
        // Four actions and a document.
        assert_eq!(authorizer.entity_count(), 5);
        digests.push(authorizer.version().schema().unwrap());
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    // Fragments of one schema.
    let (types, actions) = SCHEMA.split_once("    action").unwrap();
    let authorizer = Authorizer::builder()
        .schema_str(types)
        .schema_str(format!("action{actions}"))
        .policies(policies)
        .entities(entities)
        .build()
        .unwrap();
    assert_eq!(outcome(&authorizer, "alice").0, Outcome::Allowed);
    assert_eq!(authorizer.version().schema(), Some(digests[0]));
}

#[test]
fn bad_schemas_are_refused_with_their_places() {
    let folder = Folder::new();
    let file = folder.file(
        "bad.cedarschema",
        "entity User;\nentity User in [Nobody];\naction ;\n",
    );
    let error = Authorizer::builder()
        .schema_file(&file)
        .build()
        .unwrap_err();
    let problem = &error.compile_error().unwrap().problems()[0];
    assert_eq!(problem.file(), file.to_str());
    assert_eq!(problem.position().unwrap().0, 3, "{problem:?}");
    for (json, text) in [
        (false, "entity User in [Nobody];"),
        (false, "entity User { a: Nothing };"),
        (false, "entity User; entity User;"),
        (false, "action a in [a];"),
        (false, "type A = B; type B = A; entity U { a: A };"),
        (true, "{"),
        (true, "[]"),
        (
            true,
            r#"{ "": { "entityTypes": {}, "actions": {}, "more": 1 } }"#,
        ),
    ] {
        let builder = Authorizer::builder();
        let builder = if json {
            builder.schema_json(text)
        } else {
            builder.schema_str(text)
        };
        let error = builder.build().unwrap_err();
        assert!(
            !error.compile_error().unwrap().problems().is_empty(),
            "{text}"
        );
    }
    assert!(
        Authorizer::builder()
            .schema_file(folder.0.join("none"))
            .build()
            .is_err()
    );
}

#[test]
fn policies_are_validated_strictly() {
    let build = |policies: &str| {
        Authorizer::builder()
            .schema_str(SCHEMA)
            .policies(policies)
            .build()
    };
    for bad in [
        r#"permit(principal, action == Action::"view", resource) when { principal.nope };"#,
        r#"permit(principal, action == Action::"view", resource) when { principal.level == "1" };"#,
        r#"permit(principal, action == Action::"view", resource) when { principal.nick == "x" };"#,
        r#"permit(principal, action == Action::"nope", resource);"#,
        r#"permit(principal is Nobody, action, resource);"#,
        r#"permit(principal, action == Action::"view", resource) when { [1, "a"].contains(1) };"#,
        r#"permit(principal, action == Action::"view", resource) when { resource.getTag("a") == "b" };"#,
        r#"permit(principal, action == Action::"view", resource) when { ip(context.mfa).isIpv4() };"#,
    ] {
        let found = problems(build(bad));
        assert!(found[0].policy().is_some(), "{bad}: {found:?}");
        assert!(found[0].position().is_some(), "{bad}: {found:?}");
    }
    let fine = r#"
        permit(principal, action == Action::"view", resource)
        when { principal has nick && principal.nick == "x" && resource.hasTag("a") && resource.getTag("a") == "b" };
    "#;
    assert!(build(fine).unwrap().warnings().is_empty());
    // No request can match: that is a warning.
    let pointless = r#"
        permit(principal, action == Action::"view", resource) when { principal.level == 1 };
        permit(principal, action == Action::"view", resource) when { false };
    "#;
    let authorizer = build(pointless).unwrap();
    let warnings = authorizer.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].policy().unwrap().as_str(), "policy1");
    assert_eq!(warnings[0].position().unwrap().0, 3);
}

// ---- entities ----

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

fn load(entities: impl Into<Entities>) -> Result<Authorizer, EntityError> {
    let built = Authorizer::builder().entities(entities).build();
    built.map_err(|error| error.entity_error().unwrap().clone())
}

fn group(id: &str, level: i64, parents: &[&str]) -> serde_json::Value {
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

// ---- limits ----

/// The limit that building meets.
fn load_limit(built: Result<Authorizer, BuildError>) -> Option<Limit> {
    let error = built.unwrap_err();
    let compile = error.compile_error().into_iter().flat_map(|e| e.problems());
    let entities = error.entity_error().into_iter().flat_map(|e| e.problems());
    compile
        .filter_map(Problem::limit)
        .chain(entities.filter_map(|problem| problem.limit()))
        .map(|exceeded| exceeded.limit())
        .next()
}

#[test]
fn each_limit_on_loading_is_hit_by_name() {
    let limits = Limits::default();
    let build = |limits: Limits, policies: String| {
        Authorizer::builder()
            .limits(limits)
            .policies(policies.as_str())
            .build()
    };
    let when =
        |condition: String| format!("permit(principal, action, resource) when {{ {condition} }};");
    let cases = [
        (
            Limit::InputBytes,
            limits.with_input_bytes(20),
            when("true".into()),
        ),
        (
            Limit::Nesting,
            limits.with_nesting(10),
            when(format!("{}true{}", "(".repeat(11), ")".repeat(11))),
        ),
        (
            Limit::OperatorChain,
            limits.with_operator_chain(20),
            when(vec!["true"; 30].join(" && ")),
        ),
        (
            Limit::Doubling,
            limits.with_doubling(2),
            when(
                "(((principal is User in principal) is User in principal) is User in principal)"
                    .into(),
            ),
        ),
        (
            Limit::Policies,
            limits.with_policies(2),
            when("true".into()).repeat(3),
        ),
        (
            Limit::ExpressionDepth,
            limits.with_expression_depth(5),
            when("1 + 2 + 3 + 4 + 5 + 6 + principal.n == 1".into()),
        ),
    ];
    for (limit, limits, policies) in cases {
        assert_eq!(load_limit(build(limits, policies.clone())), Some(limit));
        assert!(build(Limits::default(), policies).is_ok(), "{limit}");
    }

    let schema = |limits: Limits| {
        Authorizer::builder()
            .limits(limits)
            .schema_str(SCHEMA)
            .build()
    };
    assert_eq!(
        load_limit(schema(limits.with_declarations(5))),
        Some(Limit::Declarations)
    );
    assert_eq!(
        load_limit(schema(limits.with_input_bytes(50))),
        Some(Limit::InputBytes)
    );

    let chain: Vec<_> = (0..10)
        .map(|i| group(&format!("g{i}"), 1, &[&format!("g{}", i + 1)]))
        .collect();
    let user = |attrs: serde_json::Value| json!([{ "uid": { "type": "User", "id": "u" }, "attrs": attrs, "parents": [] }]);
    let cases = [
        (
            Limit::InputBytes,
            limits.with_input_bytes(100),
            json!(chain),
        ),
        (
            Limit::HierarchyDepth,
            limits.with_hierarchy_depth(9),
            json!(chain),
        ),
        (Limit::Entities, limits.with_entities(9), json!(chain)),
        (
            Limit::AttributeBytes,
            limits.with_attribute_bytes(500),
            user(json!({ "a": "x".repeat(600) })),
        ),
        (
            Limit::AttributeDepth,
            limits.with_attribute_depth(2),
            user(json!({ "a": [[[1]]] })),
        ),
        (
            Limit::SetElements,
            limits.with_set_elements(4),
            user(json!({ "a": [1, 2, 3, 4, 5] })),
        ),
    ];
    for (limit, limits, entities) in cases {
        let build = |limits: Limits| {
            Authorizer::builder()
                .limits(limits)
                .entities(entities.to_string().as_str())
                .build()
        };
        let built = build(limits);
        assert_eq!(load_limit(built), Some(limit), "{entities}");
        assert!(build(Limits::default()).is_ok(), "{limit}");
    }
}

#[test]
fn each_limit_on_requests_is_hit_by_name() {
    let limits = Limits::default();
    let policies = "permit(principal, action, resource) when { [context] != [] };";
    let decide = |limits: Limits, request: &Request<'_>| {
        let authorizer = Authorizer::builder()
            .limits(limits)
            .policies(policies)
            .build()
            .unwrap();
        let response = authorizer.is_authorized(request);
        let error = response.request_error()?;
        Some(error.limit().map(|exceeded| exceeded.limit()))
    };
    let long = json!({ "a": "x".repeat(3000) });
    let deep = json!({ "a": [[[[1]]]] });
    let wide = json!({ "a": [1, 2, 3, 4, 5, 6] });
    let entity = |attrs: &serde_json::Value| {
        json!([{ "uid": { "type": "User", "id": "u" }, "attrs": attrs, "parents": [] }]).to_string()
    };
    let contexts = [
        (Limit::ContextBytes, limits.with_context_bytes(2000), &long),
        (Limit::ContextDepth, limits.with_context_depth(3), &deep),
        (Limit::SetElements, limits.with_set_elements(5), &wide),
    ];
    for (limit, limits, context) in contexts {
        let text = context.to_string();
        for request in [view("a").context(context), view("a").context_json(&text)] {
            let typed = !format!("{request:?}").contains("Json");
            assert_eq!(
                decide(limits, &request),
                Some(Some(limit)),
                "typed: {typed}, {limit}"
            );
            assert_eq!(decide(Limits::default(), &request), None);
        }
    }
    let attributes = [
        (
            Limit::AttributeBytes,
            limits.with_attribute_bytes(2000),
            &long,
        ),
        (Limit::AttributeDepth, limits.with_attribute_depth(3), &deep),
        (Limit::SetElements, limits.with_set_elements(5), &wide),
    ];
    for (limit, limits, attrs) in attributes {
        let text = entity(attrs);
        let typed = [Entity::new(("User", "u")).attrs(attrs)];
        for request in [view("a").entities(&typed), view("a").entities_json(&text)] {
            assert_eq!(decide(limits, &request), Some(Some(limit)), "{request:?}");
            assert_eq!(decide(Limits::default(), &request), None);
        }
    }
    let ids: Vec<String> = (0..4).map(|i| format!("u{i}")).collect();
    let many: Vec<Entity<'_>> = ids
        .iter()
        .map(|id| Entity::new(("User", id.as_str())))
        .collect();
    let text: Vec<_> = ids
        .iter()
        .map(|id| json!({ "uid": { "type": "User", "id": id }, "attrs": {}, "parents": [] }))
        .collect();
    let text = json!(text).to_string();
    for request in [view("a").entities(&many), view("a").entities_json(&text)] {
        let limits = limits.with_overlay_entities(3);
        assert_eq!(decide(limits, &request), Some(Some(Limit::OverlayEntities)));
        assert_eq!(decide(Limits::default(), &request), None);
    }
}

/// What is nested too deeply for Cedar's parser ends in an error and not in a stack overflow.
#[test]
fn deep_input_is_survived() {
    let deep = 50_000;
    let expressions = [
        format!("{}true{}", "(".repeat(deep), ")".repeat(deep)),
        format!("{}1{} == []", "[".repeat(deep), "]".repeat(deep)),
        "!".repeat(deep) + "true",
        vec!["true"; deep].join(" && "),
        format!("principal{}", ".a".repeat(deep)),
        "if true then true else ".repeat(deep) + "true",
        format!("{}1{}", "{a: ".repeat(deep), "}".repeat(deep)),
    ];
    for expression in expressions {
        let text = format!("permit(principal, action, resource) when {{ {expression} }};");
        assert!(build(Policies::from(text.as_str())).is_err());
    }
    let nested = format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
    let context = format!(r#"{{ "a": {nested} }}"#);
    let authorizer = build(Policies::from(POLICIES)).unwrap();
    let response = authorizer
        .is_authorized(&view("alice").context_json(&context))
        .to_owned();
    assert_eq!(response.outcome, Outcome::InvalidRequest);
    let entities = format!(
        r#"[{{ "uid": {{ "type": "A", "id": "a" }}, "attrs": {{ "x": {nested} }}, "parents": [] }}]"#
    );
    assert!(load(entities.as_str()).is_err());
    let response = authorizer
        .is_authorized(&view("alice").entities_json(&entities))
        .to_owned();
    assert_eq!(response.outcome, Outcome::InvalidRequest);
    assert!(
        Authorizer::builder()
            .schema_json(nested.as_str())
            .build()
            .is_err()
    );
    assert!(build(Policies::new().json(nested)).is_err());
    let types = format!(
        "entity A {{ a: {}Long{} }};",
        "Set<".repeat(deep),
        ">".repeat(deep)
    );
    assert!(Authorizer::builder().schema_str(types).build().is_err());
    let mut typed = json!(1);
    for _ in 0..100 {
        typed = json!([typed]);
    }
    let context = BTreeMap::from([("a", typed)]);
    let response = authorizer
        .is_authorized(&view("alice").context(&context))
        .to_owned();
    assert_eq!(response.outcome, Outcome::InvalidRequest);
}

#[test]
fn policies_in_order() {
    let text = "permit(principal, action, resource);".repeat(12);
    let authorizer = build(Policies::from(text.as_str())).unwrap();
    let expected: Vec<String> = (0..12).map(|i| format!("policy{i}")).collect();
    assert_eq!(outcome(&authorizer, "alice").1, expected);
    assert_eq!(ids(&authorizer).0, 12);
    let set = cedar::PolicySet::from_str(&text).unwrap();
    let authorizer = build(Policies::from(set)).unwrap();
    assert_eq!(outcome(&authorizer, "alice").1, expected);
}
