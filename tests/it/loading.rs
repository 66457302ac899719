//! Loading policies and schemas: where they come from, and what is said about bad ones.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cedar_policy as cedar;
use duramen::{
    Authorizer, BuildError, Builder, Effect, Entities, Freshness, Outcome, Policies, Problem,
    Request,
};

/// A directory that is gone after the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("duramen-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
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

pub(crate) const POLICIES: &str = r#"// Who may look.
@owner("docs")
permit(principal in Group::"staff", action == Action::"view", resource);

forbid(principal, action, resource) // Blocked users never.
unless { !(principal has blocked) || principal.blocked == false };
"#;

pub(crate) const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [{ "type": "Group", "id": "eng" }] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "blocked": true },
      "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "Group", "id": "eng" }, "attrs": {}, "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "Group", "id": "staff" }, "attrs": {}, "parents": [] }
]"#;

pub(crate) fn view(user: &'static str) -> Request<'static> {
    Request::new(("User", user), ("Action", "view"), ("Doc", "d"))
}

pub(crate) fn outcome(authorizer: &Authorizer, user: &'static str) -> (Outcome, Vec<String>) {
    let response = authorizer.is_authorized(&view(user));
    let ids = response.determining().map(|policy| policy.id().to_string());
    (response.outcome(), ids.collect())
}

pub(crate) fn build(policies: Policies) -> Result<Authorizer, BuildError> {
    Authorizer::builder()
        .policies(policies)
        .entities(ENTITIES)
        .build()
}

pub(crate) fn problems(built: Result<Authorizer, BuildError>) -> Vec<Problem> {
    let error = built.unwrap_err();
    error.compile_error().unwrap().problems().to_vec()
}

pub(crate) fn ids(authorizer: &Authorizer) -> (usize, Vec<String>) {
    let mut ids = outcome(authorizer, "alice").1;
    ids.extend(outcome(authorizer, "bob").1);
    (authorizer.policy_count(), ids)
}

pub(crate) const SCHEMA: &str = r#"
    entity Group in [Group];
    entity User in [Group] { level: Long, "nick"?: String };
    entity Doc { owner: User, labels?: Set<String> } tags String;
    action read, write;
    action view in [read] appliesTo { principal: User, resource: Doc, context: { mfa: Bool } };
    action edit in [read, write] appliesTo { principal: User, resource: Doc, context: { mfa: Bool } };
"#;

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

/// A pipe would keep loading for ever, and a device may have no end. Links to files are followed.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let link = |to: &Path, name: &str| {
        let link = folder.0.join(name);
        std::os::unix::fs::symlink(to, &link).unwrap();
        link
    };
    let file = elsewhere.file("there", "permit(principal, action, resource);");
    let linked = link(&file, "linked.cedar");
    let device = link(Path::new("/dev/null"), "none.cedar");
    let json = link(Path::new("/dev/null"), "none.json");
    let policies = |policies: Policies| problems(build(policies));
    let schema = problems(Authorizer::builder().schema_file(&device).build());
    for found in [
        policies(Policies::new().directory(&folder.0)),
        policies(Policies::new().file(&json)),
        schema,
    ] {
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(
            texts[0].ends_with("cannot be read: it is no file"),
            "{texts:?}"
        );
    }
    assert!(build(Policies::new().file(&linked)).is_ok());
    let built = Authorizer::builder().entities(Entities::new().json_file(&json));
    let error = built.build().unwrap_err().to_string();
    assert!(error.contains("cannot be read: it is no file"), "{error}");
}

/// A schema that cannot be read, or a bound on a type that it has not, hides nothing else.
#[test]
fn what_is_wrong_with_the_schema_hides_nothing_else() {
    let folder = Folder::new();
    let policies = folder.file("1.cedar", "permit(principal, action, resource);\npermit(");
    let build = |builder: Builder| {
        let entities =
            r#"[1, { "uid": { "type": "Doc", "id": "d" }, "attrs": {}, "parents": [] }]"#;
        let builder = builder.policies(Policies::new().file(&policies));
        builder.entities(entities).build().unwrap_err()
    };
    let missing = folder.0.join("none.cedarschema");
    let ages = Freshness::new().max_age_of_type("Nobody", Duration::from_secs(1));
    let cases = [
        (Authorizer::builder().schema_str("entity User"), "schema", 1),
        (
            Authorizer::builder().schema_file(missing),
            "none.cedarschema",
            1,
        ),
        (
            Authorizer::builder().schema_str(SCHEMA).freshness(ages),
            "Nobody",
            2,
        ),
    ];
    for (builder, what, entities) in cases {
        let error = build(builder);
        let found = error.compile_error().unwrap().problems();
        assert_eq!(found.len(), 2, "{error}");
        assert!(found[0].to_string().contains(what), "{error}");
        assert_eq!(found[1].file(), policies.to_str(), "{error}");
        assert_eq!(
            error.entity_error().unwrap().problems().len(),
            entities,
            "{error}"
        );
    }
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

// ---- schemas ----

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

/// A literal's names may be those of functions: only what is called is a call, whatever else of the policy has to be rewritten.
#[test]
fn literals_in_json_are_data() {
    let scope =
        r#""principal": { "op": "All" }, "action": { "op": "All" }, "resource": { "op": "All" }"#;
    let wrong = r#"{ "isIpv4": [{ "ip": [{ "Value": "a" }, { "Value": "b" }] }] }"#;
    for (literal, context) in [
        (
            r#"{ "Value": { "ip": ["a", "b"] } }"#,
            r#"{ "x": { "ip": ["a", "b"] } }"#,
        ),
        (
            r#"{ "Value": { "duration": [] } }"#,
            r#"{ "x": { "duration": [] } }"#,
        ),
        (
            r#"{ "Record": { "ip": { "Set": [{ "Value": 1 }] } } }"#,
            r#"{ "x": { "ip": [1] } }"#,
        ),
        // A field may be called what an operator is.
        (
            r#"{ "Record": { "Value": { "Value": { "ip": [] } } } }"#,
            r#"{ "x": { "Value": { "ip": [] } } }"#,
        ),
        (
            r#"{ "Record": { "Record": { "Value": { "ip": [] } } } }"#,
            r#"{ "x": { "Record": { "ip": [] } } }"#,
        ),
    ] {
        let x = r#"{ ".": { "left": { "Var": "context" }, "attr": "x" } }"#;
        let equal = format!(r#"{{ "==": {{ "left": {x}, "right": {literal} }} }}"#);
        let json = format!(
            r#"{{ "staticPolicies": {{
                "open": {{ "effect": "permit", {scope}, "conditions": [] }},
                "close": {{ "effect": "forbid", {scope}, "conditions": [
                    {{ "kind": "when", "body": {{ "||": {{ "left": {equal}, "right": {wrong} }} }} }}] }}
            }}, "templates": {{}}, "templateLinks": [] }}"#
        );
        let set = cedar::PolicySet::from_json_str(&json).unwrap();
        for context in [context, r#"{ "x": 1 }"#] {
            let [principal, action, resource] =
                [r#"U::"u""#, r#"Action::"a""#, r#"R::"r""#].map(|uid| uid.parse().unwrap());
            let read = cedar::Context::from_json_str(context, None).unwrap();
            let asked = cedar::Request::new(principal, action, resource, read, None).unwrap();
            let theirs =
                cedar::Authorizer::new().is_authorized(&asked, &set, &cedar::Entities::empty());
            let request =
                Request::new(("U", "u"), ("Action", "a"), ("R", "r")).context_json(context);
            for policies in [
                Policies::new().json(json.as_str()),
                Policies::from(set.clone()),
            ] {
                let ours = Authorizer::builder().policies(policies).build().unwrap();
                let ours = ours.is_authorized(&request);
                let allowed = theirs.decision() == cedar::Decision::Allow;
                assert_eq!(ours.is_allowed(), allowed, "{literal} {context}");
                let failed = theirs.diagnostics().errors().count();
                assert_eq!(ours.errors().count(), failed, "{literal} {context}");
            }
        }
    }
}
