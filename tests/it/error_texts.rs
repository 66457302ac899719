//! What is said of everything that a user can get wrong: the texts themselves, in `tests/it/error_texts.txt`.
//!
//! Whoever changes one runs the test with `DURAMEN_BLESS=1` and reads the difference: does it say what is wrong, where, and
//! what to do? Each stands under what was done to get it. What Cedar's own parser and validator say is theirs.

use std::fmt::{Display, Write};
use std::path::Path;

use duramen::delegation::ClaimsReader;
use duramen::evidence::{Mask, Masks};
use duramen::spiffe::SpiffeId;
use duramen::testing::Cases;
use duramen::{
    Authorizer, Delegation, Entities, Entity, EntityUid, EntityUidRef, EntityUpdate, Limits,
    Policies, PolicyUpdate, Request, Search,
};
use serde_json::json;

use super::loading::Folder;

const SCHEMA: &str = r#"
entity Team in [Team];
entity User in [Team] { age: Long, boss?: User, seen?: { at: datetime, from: ipaddr } } tags String;
entity Level enum ["low", "high"];
entity Doc { level: Level };
action read appliesTo { principal: User, resource: Doc, context: { mfa: Bool, from?: ipaddr, device?: { os: String } } };
action write appliesTo { principal: User, resource: Doc };
"#;

const PERMIT: &str = "permit(principal, action, resource);";

/// What stands where there is nothing to say.
const ACCEPTED: &str = "accepted";

/// What was refused, or that it was not: all that is wrong with this test is to be seen in one run.
trait Refusal {
    fn refusal(self) -> String;
}

impl<T, E: Display> Refusal for Result<T, E> {
    fn refusal(self) -> String {
        match self {
            Ok(_) => ACCEPTED.to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// What was done, and what was said.
struct Texts {
    text: String,
    /// Whose name is another one at each run.
    folder: String,
}

impl Texts {
    fn part(&mut self, title: &str) {
        let _ = writeln!(self.text, "\n# {title}");
    }

    fn add(&mut self, done: &str, said: impl Display) {
        // What the operating system says is another text on each.
        let said = said.to_string().replace(&self.folder, "DIR");
        let said = said.split(" (os error").next().unwrap_or_default();
        let _ = writeln!(self.text, "\n{done}");
        for line in said.lines() {
            let _ = writeln!(self.text, "    {line}");
        }
    }
}

#[test]
fn what_is_said_is_what_is_written_down() {
    let folder = Folder::new();
    let mut texts = Texts {
        text: String::new(),
        folder: folder.0.display().to_string(),
    };
    schemas(&mut texts, &folder);
    policies(&mut texts, &folder);
    warnings(&mut texts, &folder);
    policy_updates(&mut texts);
    entities(&mut texts, &folder);
    entity_updates(&mut texts);
    requests(&mut texts);
    others(&mut texts);
    let text = texts.text.trim_start();
    assert!(!text.lines().any(|line| line.trim() == ACCEPTED), "{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/error_texts.txt");
    if std::env::var_os("DURAMEN_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap();
    for (line, (said, written)) in text.lines().zip(written.lines()).enumerate() {
        assert_eq!(said, written, "tests/it/error_texts.txt:{}", line + 1);
    }
    assert_eq!(text.lines().count(), written.lines().count());
}

fn schemas(texts: &mut Texts, folder: &Folder) {
    texts.part("Schemas");
    let mut add = |done: &str, schema: &str| {
        let built = Authorizer::builder().schema_str(schema).build();
        texts.add(done, built.refusal());
    };
    add("a typing error", "entity User;\nentty Doc;");
    add("a type that is not declared", "entity User { boss: Usr };");
    add("a type declared twice", "entity User; entity User;");
    add("JSON as text", r#"{ "": {} }"#);
    add("a path as text", "app.cedarschema");
    add("a directory as text", "schemas");
    add("a byte order mark", "\u{feff}entity User;");
    add(
        "an action with a type that is not declared",
        "entity User; action read appliesTo { principal: User, resource: Doc };",
    );
    let mut json = |done: &str, schema: &str| {
        let built = Authorizer::builder().schema_json(schema).build();
        texts.add(done, built.refusal());
    };
    json("JSON that is none", "{ \"\": { ");
    json(
        "JSON with a type that is none",
        r#"{ "": { "entityTypes": { "User": { "shape": { "type": "Rec" } } }, "actions": {} } }"#,
    );
    json(
        "JSON with a kind of type that is none",
        "{ \"\": {\n  \"entityTypes\": { \"User\": { \"shape\": { \"type\": \"Record\", \"atributes\": {} } } },\n  \"actions\": {} } }",
    );
    json(
        "JSON without a namespace",
        "{\n  \"entityTypes\": {}, \"actions\": {} }",
    );
    json("no JSON at all", "entity User;");
    json("a byte order mark before JSON", "\u{feff}{}");
    let mut file = |done: &str, path: &Path| {
        let built = Authorizer::builder().schema_file(path).build();
        texts.add(done, built.refusal());
    };
    file(
        "a file that is not there",
        &folder.0.join("none.cedarschema"),
    );
    file(
        "a file with a typing error",
        &folder.file("bad.cedarschema", "entity User;\nentty Doc;"),
    );
    file(
        "a JSON file with a comma too many",
        &folder.file("bad.json", "{ \"\": {\n  \"entityTypes\": {}, } }"),
    );
}

fn policies(texts: &mut Texts, folder: &Folder) {
    texts.part("Policies");
    let mut add = |done: &str, policies: Policies| {
        let built = Authorizer::builder()
            .schema_str(SCHEMA)
            .policies(policies)
            .build();
        texts.add(done, built.refusal());
    };
    let text = |text: &str| Policies::new().text(text);
    add(
        "a typing error",
        text("permit(principal, action, resource)\nwen { true };"),
    );
    add(
        "the semicolon is missing",
        text("permit(principal, action, resource)"),
    );
    add(
        "an attribute that no type has",
        text("permit(principal, action, resource) when { principal.agee > 3 };"),
    );
    // A name near one action alone: of two that are as near, Cedar names now this one, now that.
    add(
        "an action that is not declared",
        text(r#"permit(principal, action == Action::"reed", resource);"#),
    );
    add(
        "a comparison of different types",
        text(r#"permit(principal, action, resource) when { principal.age == "3" };"#),
    );
    add(
        "an optional attribute, unguarded",
        text("permit(principal, action, resource) when { principal.boss.age > 3 };"),
    );
    add(
        "a type with a typing error",
        text("permit(principal is Usr, action, resource);"),
    );
    add(
        "a function that is none",
        text(r#"permit(principal, action, resource) when { ipp("1.2.3.4").isIpv4() };"#),
    );
    add(
        "an address that is none",
        text(r#"permit(principal, action, resource) when { ip("1.2.3").isIpv4() };"#),
    );
    add(
        "two of one id",
        text(&format!("@id(\"a\") {PERMIT} @id(\"a\") {PERMIT}")).ids_from_annotations(),
    );
    add(
        "two of one id, in two files",
        Policies::new()
            .file(folder.file("one.cedar", &format!("@id(\"a\") {PERMIT}")))
            .file(folder.file("two.cedar", &format!("{PERMIT}\n@id(\"a\") {PERMIT}")))
            .ids_from_annotations(),
    );
    add("a path as text", text("policies/main.cedar"));
    add("a directory as text", text("policies"));
    add("a path as JSON", Policies::new().json("policies.json"));
    add("a byte order mark", text(&format!("\u{feff}{PERMIT}")));
    add(
        "a byte order mark in a file",
        Policies::new().file(folder.file("marked.cedar", &format!("\u{feff}{PERMIT}"))),
    );
    add(
        "a byte order mark before JSON",
        Policies::new().json("\u{feff}{}"),
    );
    add("JSON as text", text(r#"{ "staticPolicies": {} }"#));
    add(
        "JSON that is none",
        Policies::new().json("{ \"staticPolicies\": "),
    );
    add("JSON with an effect that is none", Policies::new().json(r#"{ "staticPolicies": { "a": { "effect": "allow", "principal": { "op": "All" }, "action": { "op": "All" }, "resource": { "op": "All" }, "conditions": [] } }, "templates": {}, "templateLinks": [] }"#));
    add(
        "a file that is not there",
        Policies::new().file(folder.0.join("none.cedar")),
    );
    add(
        "a file with a typing error",
        Policies::new()
            .file(folder.file("bad.cedar", "// Who.\npermit(principal, action, resurce);")),
    );
    add(
        "a directory that is not there",
        Policies::new().directory(folder.0.join("none")),
    );
    add("a directory as a file", Policies::new().file(&folder.0));
    add(
        "a schema as policies",
        Policies::new().file(folder.file("app.cedarschema", "entity User;")),
    );
    let link = |template: &str, principal, resource| {
        text("@id(\"t\") permit(principal == ?principal, action, resource);")
            .ids_from_annotations()
            .link(template, "link", principal, resource)
    };
    let (user, doc) = (
        EntityUidRef::new("User", "u"),
        EntityUidRef::new("Doc", "d"),
    );
    add("a link to no template", link("tt", Some(user), None));
    add("a link without the slot", link("t", None, None));
    add(
        "a link with a slot too many",
        link("t", Some(user), Some(doc)),
    );
    add(
        "a link with the id of another",
        link("t", Some(user), None).link("t", "link", Some(user), None),
    );
    let limits = |limits: Limits, text: &str| {
        let built = Authorizer::builder().limits(limits).policies(text).build();
        built.refusal()
    };
    texts.add(
        "more bytes than the limit",
        limits(Limits::default().with_input_bytes(20), PERMIT),
    );
    let deep = format!(
        "permit(principal, action, resource) when {{ {}true{} }};",
        "(".repeat(300),
        ")".repeat(300)
    );
    texts.add("brackets in brackets", limits(Limits::default(), &deep));
}

fn warnings(texts: &mut Texts, folder: &Folder) {
    texts.part("Warnings");
    let mut add = |done: &str, builder: duramen::Builder| {
        let authorizer = builder.build().unwrap();
        let warnings: Vec<String> = authorizer
            .warnings()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(!warnings.is_empty(), "{done}");
        texts.add(done, warnings.join("\n"));
    };
    let policies = |policies: Policies| Authorizer::builder().policies(policies);
    add(
        "ids in annotations that nobody asked for",
        policies(
            Policies::new().text(format!("{PERMIT}\n@id(\"a\") {PERMIT} @id(\"b\") {PERMIT}")),
        ),
    );
    add(
        "an id in an annotation, in a file",
        policies(
            Policies::new()
                .file(folder.file("ids.cedar", &format!("@id(\"a \\\"b\\\"\") {PERMIT}"))),
        ),
    );
    std::fs::create_dir(folder.0.join("empty")).unwrap();
    add(
        "a directory without policies",
        policies(Policies::new().directory(folder.0.join("empty"))),
    );
    add(
        "requests validated without a schema",
        Authorizer::builder().validate_requests(true),
    );
    add(
        "no place for the time",
        Authorizer::builder()
            .schema_str(SCHEMA)
            .context_time("now")
            .validate_requests(true),
    );
    add(
        "a policy that can never apply",
        policies(Policies::new().text("permit(principal is Team, action, resource);"))
            .schema_str(SCHEMA),
    );
}

fn policy_updates(texts: &mut Texts) {
    texts.part("Updates of policies");
    let template = "permit(principal == ?principal, action, resource);";
    let authorizer = Authorizer::builder()
        .schema_str(SCHEMA)
        .policies(PERMIT)
        .build()
        .unwrap();
    authorizer
        .update_policies(PolicyUpdate::new().add_template("t", template).link(
            "t",
            "link",
            Some(("User", "u").into()),
            None,
        ))
        .unwrap();
    let mut add = |done: &str, update: PolicyUpdate| {
        texts.add(done, authorizer.update_policies(update).refusal());
    };
    let update = PolicyUpdate::new;
    add("an id that is taken", update().add("policy0", PERMIT));
    add(
        "a text that is two policies",
        update().add("new", format!("{PERMIT}{PERMIT}")),
    );
    add("a text that is a template", update().add("new", template));
    add(
        "a policy where a template should be",
        update().add_template("new", PERMIT),
    );
    add(
        "a typing error",
        update().add("new", "permit(principal, action);"),
    );
    add(
        "what the schema does not know",
        update().add("new", "permit(principal is Usr, action, resource);"),
    );
    add(
        "replaced is what there is not",
        update().replace("none", PERMIT),
    );
    add("replaced is a link", update().replace("link", PERMIT));
    add("removed is what there is not", update().remove("none"));
    add("removed is a link", update().remove("link"));
    add(
        "removed is a template with links",
        update().remove_template("t"),
    );
    add("unlinked is what is no link", update().unlink("policy0"));
    add(
        "a link without the slot",
        update().link("t", "new", None, None),
    );
}

fn entities(texts: &mut Texts, folder: &Folder) {
    texts.part("Entities");
    let build = |entities: Entities, schema: bool| {
        let builder = Authorizer::builder().entities(entities);
        let builder = if schema {
            builder.schema_str(SCHEMA)
        } else {
            builder
        };
        builder.build().refusal()
    };
    let one = |attrs: &str| {
        format!(
            "[\n  {{ \"uid\": {{ \"type\": \"User\", \"id\": \"u\" }}, \"attrs\": {attrs}, \"parents\": [] }}\n]"
        )
    };
    let mut plain = |done: &str, text: &str| texts.add(done, build(text.into(), false));
    plain("JSON that ends too early", "[\n  { \"uid\": ");
    plain("a comma too many", "[\n  1,\n]");
    plain(
        "one entity, and no array",
        r#"{ "uid": { "type": "User", "id": "u" }, "attrs": {}, "parents": [] }"#,
    );
    plain(
        "the second has no parents",
        "[{ \"uid\": { \"type\": \"User\", \"id\": \"u\" }, \"attrs\": {}, \"parents\": [] },\n { \"uid\": { \"type\": \"User\", \"id\": \"v\" }, \"attrs\": {} }]",
    );
    plain(
        "the second has no uid",
        "[{ \"uid\": { \"type\": \"User\", \"id\": \"u\" }, \"attrs\": {}, \"parents\": [] },\n { \"attrs\": {}, \"parents\": [] }]",
    );
    plain(
        "a uid that is a text",
        r#"[{ "uid": "User::\"u\"", "attrs": {}, "parents": [] }]"#,
    );
    plain(
        "a type with a space",
        r#"[{ "uid": { "type": "My User", "id": "u" }, "attrs": {}, "parents": [] }]"#,
    );
    plain(
        "a parent that is a text",
        r#"[{ "uid": { "type": "User", "id": "u" }, "attrs": {}, "parents": ["staff"] }]"#,
    );
    plain("null", &one(r#"{ "age": null }"#));
    plain("a fraction", &one(r#"{ "groups": [{ "share": 0.5 }] }"#));
    plain(
        "too large a number",
        &one(r#"{ "age": 9223372036854775808 }"#),
    );
    plain("a key twice", &one(r#"{ "age": 1, "age": 2 }"#));
    plain(
        "an address that is none",
        &one(r#"{ "a b": { "__extn": { "fn": "ip", "arg": "1.2.3" } } }"#),
    );
    plain(
        "a function that is none",
        &one(r#"{ "ip": { "__extn": { "fn": "ipaddr", "arg": "1.2.3.4" } } }"#),
    );
    plain(
        "a circle of three",
        "[{ \"uid\": { \"type\": \"G\", \"id\": \"a\" }, \"attrs\": {}, \"parents\": [{ \"type\": \"G\", \"id\": \"b\" }] },\n { \"uid\": { \"type\": \"G\", \"id\": \"b\" }, \"attrs\": {}, \"parents\": [{ \"type\": \"G\", \"id\": \"c\" }] },\n { \"uid\": { \"type\": \"G\", \"id\": \"c\" }, \"attrs\": {}, \"parents\": [{ \"type\": \"G\", \"id\": \"a\" }] }]",
    );
    plain(
        "given twice",
        "[{ \"uid\": { \"type\": \"G\", \"id\": \"a\" }, \"attrs\": {}, \"parents\": [] },\n { \"uid\": { \"type\": \"G\", \"id\": \"a\" }, \"attrs\": { \"x\": 1 }, \"parents\": [] }]",
    );
    plain(
        "an action below no action",
        r#"[{ "uid": { "type": "Action", "id": "read" }, "attrs": {}, "parents": [{ "type": "Group", "id": "g" }] }]"#,
    );
    plain("a path as text", "entities.json");
    plain("a directory as text", "data/entities");
    plain("a byte order mark", "\u{feff}[]");
    plain("no JSON at all", "alice, bob");
    let mut checked = |done: &str, text: &str| texts.add(done, build(text.into(), true));
    checked(
        "a type that is not declared",
        r#"[{ "uid": { "type": "Usr", "id": "u" }, "attrs": {}, "parents": [] }]"#,
    );
    checked("an attribute is missing", &one("{}"));
    checked("an attribute of another type", &one(r#"{ "age": "41" }"#));
    checked(
        "an attribute that is not declared",
        &one(r#"{ "age": 41, "agee": 41 }"#),
    );
    checked(
        "deep within, an address that is none",
        &one(r#"{ "age": 41, "seen": { "at": "2024-01-01", "from": "here" } }"#),
    );
    checked(
        "deep within, another type",
        &one(r#"{ "age": 41, "seen": { "at": "2024-01-01", "from": 7 } }"#),
    );
    checked(
        "a tag of another type",
        r#"[{ "uid": { "type": "User", "id": "u" }, "attrs": { "age": 1 }, "parents": [], "tags": { "room": 7 } }]"#,
    );
    checked(
        "a parent that its type may not have",
        r#"[{ "uid": { "type": "User", "id": "u" }, "attrs": { "age": 1 }, "parents": [{ "type": "Doc", "id": "d" }] }]"#,
    );
    checked(
        "one that is not enumerated",
        r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "level": { "type": "Level", "id": "mid" } }, "parents": [] }]"#,
    );
    checked(
        "an action that is declared otherwise",
        r#"[{ "uid": { "type": "Action", "id": "read" }, "attrs": {}, "parents": [{ "type": "Action", "id": "write" }] }]"#,
    );
    // Found when all are read, and placed all the same.
    let good = "{ \"uid\": { \"type\": \"User\", \"id\": \"good\" }, \"attrs\": { \"age\": 1 }, \"parents\": [] }";
    let bad = "{ \"uid\": { \"type\": \"User\", \"id\": \"bad\" }, \"attrs\": { \"age\": true }, \"parents\": [] }";
    let circle = "{ \"uid\": { \"type\": \"Team\", \"id\": \"t\" }, \"attrs\": {}, \"parents\": [{ \"type\": \"Team\", \"id\": \"t\" }] }";
    let first = folder.file("first.json", &format!("[\n  {good}\n]"));
    let second = folder.file("second.json", &format!("[\n  {bad}\n]"));
    let third = folder.file("third.json", &format!("[ {good},\n  {circle}\n]"));
    let files = |paths: &[&Path]| {
        paths
            .iter()
            .fold(Entities::new(), |all, path| all.json_file(path))
    };
    texts.add(
        "in the second of two files, another type",
        build(files(&[&first, &second]), true),
    );
    texts.add(
        "in the second of two files, a circle",
        build(files(&[&first, &third]), true),
    );
    let stream = std::io::Cursor::new(format!("[\n  {bad}\n]"));
    texts.add(
        "in a stream, another type",
        build(Entities::new().json_stream(stream), true),
    );
    texts.add(
        "a file that is not there",
        build(files(&[&folder.0.join("none.json")]), true),
    );
    texts.add(
        "a directory where a file should be",
        build(files(&[&folder.0]), true),
    );
    texts.add(
        "a file that is no JSON",
        build(files(&[&folder.file("bad.json", "[\n  {,\n]")]), true),
    );
    let typed = |attrs: serde_json::Value| {
        build(
            Entities::new().insert(Entity::new(("User", "u")).attrs(&attrs)),
            true,
        )
    };
    texts.add("typed, a fraction", typed(json!({ "age": 0.5 })));
    texts.add(
        "typed, null deep within",
        typed(json!({ "age": 1, "seen": { "at": [null] } })),
    );
    texts.add(
        "typed, a text that is to be an address",
        typed(json!({ "age": 1, "seen": { "at": "2024-01-01", "from": "10.0.0.1" } })),
    );
    texts.add(
        "typed, a datetime as Cedar's JSON writes it",
        typed(json!({ "age": 1, "seen": { "at": { "__extn": { "fn": "datetime", "arg": "2024-01-01" } } } })),
    );
    texts.add(
        "typed, a type with a space",
        build(Entities::new().insert(Entity::new(("My User", "u"))), false),
    );
    texts.add(
        "typed, no record",
        build(
            Entities::new().insert(Entity::new(("User", "u")).attrs(&7)),
            false,
        ),
    );
    texts.add("more than the limit", {
        let limits = Limits::default().with_entities(1);
        let entities = format!("[{good}, {bad}]");
        Authorizer::builder()
            .limits(limits)
            .entities(entities)
            .build()
            .refusal()
    });
}

fn entity_updates(texts: &mut Texts) {
    texts.part("Updates of entities");
    let authorizer = Authorizer::builder().schema_str(SCHEMA).build().unwrap();
    let mut add = |done: &str, update: EntityUpdate| {
        texts.add(done, authorizer.update_entities(update).refusal());
    };
    let update = EntityUpdate::new;
    let ann = ("User", "ann");
    add("JSON that is none", update().upsert_json("[\n{ \"uid\" ]"));
    add("a path as text", update().upsert_json("entities.json"));
    add("the second has no uid", update().upsert_json("[{ \"uid\": { \"type\": \"Team\", \"id\": \"t\" }, \"attrs\": {}, \"parents\": [] },\n { \"attrs\": {}, \"parents\": [] }]"));
    add("the second has an attribute that is not declared", update().upsert_json("[{ \"uid\": { \"type\": \"Team\", \"id\": \"t\" }, \"attrs\": {}, \"parents\": [] },\n { \"uid\": { \"type\": \"Team\", \"id\": \"s\" }, \"attrs\": { \"x\": 1 }, \"parents\": [] }]"));
    add("of a second text, the second is of another type", update().upsert_json("[]").upsert_json("[{ \"uid\": { \"type\": \"Team\", \"id\": \"t\" }, \"attrs\": {}, \"parents\": [] },\n { \"uid\": { \"type\": \"User\", \"id\": \"u\" }, \"attrs\": { \"age\": \"x\" }, \"parents\": [] }]"));
    add("one and no array, with an attribute missing", update().upsert_json("\n  { \"uid\": { \"type\": \"User\", \"id\": \"u\" }, \"attrs\": {}, \"parents\": [] }"));
    add("JSON and another change of the same", update().upsert_json("[{ \"uid\": { \"type\": \"User\", \"id\": \"u\" }, \"attrs\": { \"age\": 1 }, \"parents\": [] }]").set_attr(("User", "u"), "age", &"x"));
    add("a circle in JSON", update().upsert_json("[{ \"uid\": { \"type\": \"Team\", \"id\": \"s\" }, \"attrs\": {}, \"parents\": [] },\n { \"uid\": { \"type\": \"Team\", \"id\": \"t\" }, \"attrs\": {}, \"parents\": [{ \"type\": \"Team\", \"id\": \"t\" }] }]"));
    add("JSON of an action of the schema", update().upsert_json("[{ \"uid\": { \"type\": \"Action\", \"id\": \"read\" }, \"attrs\": {}, \"parents\": [{ \"type\": \"Action\", \"id\": \"write\" }] }]"));
    add("an attribute is missing", update().upsert(Entity::new(ann)));
    add(
        "an attribute of what there is not",
        update().set_attr(ann, "age", &1),
    );
    add(
        "a parent of what there is not",
        update().add_parent(ann, ("Team", "t")),
    );
    add("a fraction", update().set_attr(ann, "age", &0.5));
    add("None", update().set_attr(ann, "age", &None::<i64>));
    add(
        "a circle",
        update().upsert(Entity::new(("Team", "t")).parents(&[("Team", "t").into()])),
    );
    add(
        "an action of the schema",
        update().set_attr(("Action", "read"), "x", &1),
    );
    add("a type with a space", update().remove(("My User", "u")));
}

#[derive(serde::Serialize)]
struct Fraction {
    mfa: bool,
    device: Share,
}

#[derive(serde::Serialize)]
struct Share {
    share: f64,
}

fn requests(texts: &mut Texts) {
    texts.part("Requests");
    let authorizer = |validate| {
        Authorizer::builder()
            .schema_str(SCHEMA)
            .policies(PERMIT)
            .context_time("now")
            .validate_requests(validate)
            .build()
            .unwrap()
    };
    let ann =
        r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "age": 1 }, "parents": [] }]"#;
    let plain = Authorizer::builder()
        .policies(PERMIT)
        .context_time("now")
        .build()
        .unwrap();
    let (lax, strict) = (authorizer(false), {
        Authorizer::builder()
            .schema_str(SCHEMA)
            .policies(PERMIT)
            .entities(ann)
            .validate_requests(true)
            .build()
            .unwrap()
    });
    let mut add = |done: &str, authorizer: &Authorizer, request: Request<'_>| {
        let response = authorizer.is_authorized(&request);
        let said = response.request_error().map(ToString::to_string);
        texts.add(done, said.unwrap_or(ACCEPTED.to_owned()));
    };
    let read = Request::new(("User", "ann"), ("Action", "read"), ("Doc", "d"));
    add(
        "a type with a space",
        &plain,
        Request::new(("My User", "u"), ("Action", "read"), ("Doc", "d")),
    );
    add(
        "an empty type",
        &plain,
        Request::new(("User", "u"), ("Action", "read"), ("", "d")),
    );
    for (done, context) in [
        ("context: JSON that is none", "{\n  mfa: true }"),
        ("context: no object", "[1]"),
        ("context: null", r#"{ "mfa": null }"#),
        (
            "context: a fraction, deep within",
            r#"{ "devices": [{ "share of it": 0.5 }] }"#,
        ),
        ("context: a key twice", r#"{ "mfa": true, "mfa": false }"#),
        (
            "context: a function that is none",
            r#"{ "ip": { "__extn": { "fn": "ipaddr", "arg": "1.2.3.4" } } }"#,
        ),
        ("context: the time", r#"{ "now": 1 }"#),
    ] {
        add(done, &plain, read.context_json(context));
    }
    let deep = format!(r#"{{ "a": {}1{} }}"#, "[".repeat(100), "]".repeat(100));
    add(
        "context: deeper than the limit",
        &plain,
        read.context_json(&deep),
    );
    let fraction = Fraction {
        mfa: true,
        device: Share { share: 0.5 },
    };
    add(
        "context, typed: a fraction, deep within",
        &plain,
        read.context(&fraction),
    );
    add("context, typed: no record", &plain, read.context(&7));
    let odd = json!({ "a key": [1.5] });
    add(
        "context, typed: under a key with a space",
        &plain,
        read.context(&odd),
    );
    for (done, context) in [
        (
            "context: not as declared",
            r#"{ "mfa": true, "mfaa": true }"#,
        ),
        ("context: missing", "{}"),
        ("context: of another type", r#"{ "mfa": "yes" }"#),
        (
            "context: of another type, deep within",
            r#"{ "mfa": true, "device": { "os": 7 } }"#,
        ),
        (
            "context: an address that is none",
            r#"{ "mfa": true, "from": "here" }"#,
        ),
    ] {
        add(done, &strict, read.context_json(context));
    }
    let typed = json!({ "mfa": true, "from": "10.0.0.1" });
    add(
        "context, typed: a text that is to be an address",
        &strict,
        read.context(&typed),
    );
    let mfa = r#"{ "mfa": true }"#;
    add(
        "a principal of another type",
        &strict,
        Request::new(("Team", "t"), ("Action", "read"), ("Doc", "d")).context_json(mfa),
    );
    add(
        "a principal of no type",
        &strict,
        Request::new(("Usr", "t"), ("Action", "read"), ("Doc", "d")).context_json(mfa),
    );
    add(
        "an action that is not declared",
        &strict,
        Request::new(("User", "t"), ("Action", "reed"), ("Doc", "d")).context_json(mfa),
    );
    add(
        "an action of another type",
        &strict,
        Request::new(("User", "t"), ("action", "read"), ("Doc", "d")).context_json(mfa),
    );
    add(
        "an action in another case",
        &strict,
        Request::new(("User", "t"), ("Action", "READ"), ("Doc", "d")).context_json(mfa),
    );
    for (done, entities) in [
        ("entities: JSON that is none", "[\n  {,"),
        (
            "entities: no array",
            r#"{ "uid": { "type": "Doc", "id": "d" } }"#,
        ),
        (
            "entities: the second has no uid",
            r#"[{ "uid": { "type": "Team", "id": "t" }, "attrs": {}, "parents": [] }, { "attrs": {}, "parents": [] }]"#,
        ),
        (
            "entities: the second has no parents",
            r#"[{ "uid": { "type": "Team", "id": "t" }, "attrs": {}, "parents": [] }, { "uid": { "type": "Team", "id": "s" }, "attrs": {} }]"#,
        ),
        (
            "entities: null",
            r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "level": null }, "parents": [] }]"#,
        ),
        (
            "entities: a type that is not declared",
            r#"[{ "uid": { "type": "Dok", "id": "d" }, "attrs": {}, "parents": [] }]"#,
        ),
        (
            "entities: an attribute is missing",
            r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": {}, "parents": [] }]"#,
        ),
        (
            "entities: a circle",
            r#"[{ "uid": { "type": "Team", "id": "t" }, "attrs": {}, "parents": [{ "type": "Team", "id": "t" }] }]"#,
        ),
        (
            "entities: given twice",
            r#"[{ "uid": { "type": "Team", "id": "t" }, "attrs": {}, "parents": [] }, { "uid": { "type": "Team", "id": "t" }, "attrs": {}, "parents": [] }]"#,
        ),
    ] {
        add(done, &lax, read.entities_json(entities));
    }
    let null = json!({ "level": [null] });
    let doc = [Entity::new(("Doc", "d")).attrs(&null)];
    add(
        "entities, typed: null, deep within",
        &plain,
        read.entities(&doc),
    );
    let spaced = [Entity::new(("My Doc", "d"))];
    add(
        "entities, typed: a type with a space",
        &plain,
        read.entities(&spaced),
    );
    let parents = [("My Team", "t").into()];
    let below = [Entity::new(("Doc", "d")).parents(&parents)];
    add(
        "entities, typed: a parent with a space",
        &plain,
        read.entities(&below),
    );
    let actors = [EntityUidRef::new("My Agent", "a")];
    let chain = Delegation::new(&actors);
    add(
        "delegation: a type with a space",
        &plain,
        read.delegation(&chain),
    );
}

fn others(texts: &mut Texts) {
    texts.part("Others");
    for uid in [
        "alice",
        "User::alice",
        "User::\"alice",
        "My User::\"alice\"",
        "User::\"a\\q\"",
    ] {
        texts.add(
            &format!("the uid {uid}"),
            uid.parse::<EntityUid>().refusal(),
        );
    }
    for id in ["abc", "0123456789ABCDEF0123456789ABCDEF"] {
        texts.add(
            &format!("the log id {id}"),
            id.parse::<duramen::evidence::log::LogId>().refusal(),
        );
    }
    let authorizer = Authorizer::builder().schema_str(SCHEMA).build().unwrap();
    let pinned = authorizer.pin();
    let mut search = |done: &str, type_name: &str| {
        let search = Search::resources(("User", "u"), ("Action", "read"), type_name);
        texts.add(done, pinned.search(&search).refusal());
    };
    search("a search for a type with a space", "My Doc");
    search("a search for a type that is not declared", "Dok");
    for (done, path) in [
        ("a mask without a root", "email"),
        ("a mask that is no path", "context..a"),
    ] {
        texts.add(done, Masks::new().path(path, Mask::Drop).refusal());
    }
    texts.add("a mask with a digest and no key", {
        let masks = Masks::new().path("context.email", Mask::Digest).unwrap();
        duramen::evidence::MaskSink::new(duramen::evidence::MemorySink::new(1), masks).refusal()
    });
    for id in ["http://a/b", "spiffe:///b", "spiffe://a//b"] {
        texts.add(
            &format!("the SPIFFE ID {id}"),
            id.parse::<SpiffeId>().refusal(),
        );
    }
    for (done, cases) in [
        ("cases that are no JSON", "["),
        (
            "a case without a request",
            r#"[{ "name": "a", "decision": "allow" }]"#,
        ),
        (
            "a case with a decision that is none",
            r#"[{ "name": "a", "request": { "principal": "User::\"u\"", "action": "Action::\"a\"", "resource": "Doc::\"d\"", "context": {} }, "entities": [], "decision": "maybe" }]"#,
        ),
    ] {
        texts.add(done, Cases::from_json(cases).refusal());
    }
    let reader = ClaimsReader::new(|party| {
        party
            .subject()
            .filter(|_| party.is_subject())
            .map(|id| EntityUid::new("User", id))
    });
    for (done, claims) in [
        ("claims that are no JSON", "{"),
        ("claims without a subject", "{}"),
        (
            "claims with an actor that nobody knows",
            r#"{ "sub": "ann", "act": { "sub": "scribe" } }"#,
        ),
    ] {
        texts.add(done, reader.read(claims).refusal());
    }
}
