//! What newcomers do wrong, and what they are told: what was wrong, where, and what to do about it.

use std::path::Path;

use duramen::{Authorizer, BuildError, Entities, Entity, Limits, Policies, PolicyUpdate, Request};
use serde_json::json;

const PERMIT: &str = "permit(principal, action, resource);";

fn refused(built: Result<Authorizer, BuildError>) -> String {
    let error = built.unwrap_err();
    let shown = error.to_string();
    // What `unwrap` and `main` print is what is to be read, not how it is kept.
    assert_eq!(format!("{error:?}"), format!("BuildError:\n{shown}"));
    if let Some(error) = error.compile_error() {
        assert_eq!(format!("{error:?}"), format!("CompileError:\n{error}"));
    }
    if let Some(error) = error.entity_error() {
        assert_eq!(format!("{error:?}"), format!("EntityError:\n{error}"));
    }
    shown
}

#[test]
fn paths_and_texts_that_are_mistaken_for_one_another_are_told_apart() {
    let policies = |policies: Policies| refused(Authorizer::builder().policies(policies).build());
    let text = |text: &str| policies(Policies::new().text(text));
    for path in [
        "policies/main.cedar",
        "policies",
        "./policies",
        "C:\\policies",
    ] {
        let told = text(path);
        assert!(
            told.contains("help: a path is read by `Policies::file`"),
            "{told}"
        );
    }
    assert!(text(r#"{ "staticPolicies": {} }"#).contains("`Policies::json`"));
    let directory = policies(Policies::new().file(std::env::temp_dir()));
    assert!(
        directory.ends_with("(help: `Policies::directory` reads the files of a directory)"),
        "{directory}"
    );
    let none = policies(Policies::new().file("none.cedar"));
    assert!(!none.contains("help"), "{none}");
    // Neither is said of what is Cedar, if wrong.
    for wrong in [
        "permit(principal, action, resource)",
        "permt(principal, action, resource); // a.cedar",
        "permit principal",
    ] {
        assert!(!text(wrong).contains("Policies::"), "{wrong}");
    }
    let schema = refused(Authorizer::builder().schema_str("app.cedarschema").build());
    assert!(
        schema.ends_with("(help: a path is read by `Builder::schema_file`)"),
        "{schema}"
    );
    assert_eq!(
        refused(Authorizer::builder().entities("entities.json").build()),
        "entities: `entities.json` is no JSON; `Entities::json_file` reads a file"
    );
    // What is JSON is read.
    for json in ["true", "null", "7", "\"policies\""] {
        let told = refused(Authorizer::builder().entities(json).build());
        assert!(told.ends_with("expected an array"), "{told}");
    }
}

/// Who forgets the namespace of an action or mistakes its case is told which is meant, if that is one alone.
#[test]
fn the_action_that_was_meant_is_named() {
    let shop = "namespace Shop { entity User; action view appliesTo { principal: User, resource: User }; }";
    let other = "namespace Other { action view, edit appliesTo { principal: Shop::User, resource: Shop::User }; }";
    for (schema, meant) in [
        (
            shop.to_owned(),
            r#"Action::"View"; did you mean Shop::Action::"view"?"#,
        ),
        (format!("{shop} {other}"), r#"Action::"View""#),
    ] {
        let builder = Authorizer::builder().schema_str(schema);
        let authorizer = builder.validate_requests(true).build().unwrap();
        let user = ("Shop::User", "u");
        let request = duramen::Request::new(user, ("Action", "View"), user);
        let response = authorizer.is_authorized(&request);
        let told = response.request_error().unwrap().to_string();
        assert!(told.ends_with(meant), "{told}");
    }
}

/// A context is read as what the action asks for. Where the action is the mistake, that is told.
#[test]
fn a_context_does_not_hide_the_wrong_action() {
    let schema = "entity User, Bot, Doc; action write; action view in [write] appliesTo {
        principal: User, resource: Doc, context: { mfa: Bool } };";
    let builder = Authorizer::builder().schema_str(schema);
    let authorizer = builder.validate_requests(true).build().unwrap();
    for (principal, action, context, told) in [
        ("User", "write", r#"{"mfa":true}"#, "applies to nothing"),
        ("Bot", "view", "{}", "does not apply to"),
        ("Nobody", "view", "{}", "does not declare"),
        ("User", "wiew", r#"{"mfa":1.5}"#, "does not declare"),
        ("User", "view", "{}", "context: the attribute `mfa`"),
    ] {
        let request = duramen::Request::new((principal, "u"), ("Action", action), ("Doc", "d"));
        let response = authorizer.is_authorized(&request.context_json(context));
        let error = response.request_error().unwrap().to_string();
        assert!(error.contains(told), "{principal} {action}: {error}");
    }
}

#[test]
fn a_policy_is_named_once() {
    let built = Authorizer::builder()
        .schema_str("entity User; action view appliesTo { principal: User, resource: User };")
        .policies("permit(principal is Usr, action, resource);")
        .build();
    assert_eq!(
        refused(built),
        "line 1, column 21: policy policy0: unrecognized entity type `Usr` (help: did you mean `User`?)"
    );
}

#[test]
fn an_entity_is_named_once_with_the_file_and_what_it_should_be() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages.json");
    std::fs::write(&path, "[\n  { \"uid\": { \"type\": \"User\", \"id\": \"u\" }, \"attrs\": { \"age\": null }, \"parents\": [] }\n]").unwrap();
    let built = Authorizer::builder()
        .entities(Entities::new().json_file(&path))
        .build();
    let error = built.unwrap_err();
    let problem = &error.entity_error().unwrap().problems()[0];
    assert_eq!(problem.file(), path.to_str());
    assert_eq!(
        error.to_string(),
        format!(
            "{}:2:3: entity User::\"u\": attrs.age: Cedar has no null; leave the attribute out",
            path.display()
        )
    );
    let missing = refused(
        Authorizer::builder()
            .entities(Entities::new().json_file("none.json"))
            .build(),
    );
    assert!(
        missing.starts_with("none.json: cannot be read: "),
        "{missing}"
    );

    let schema = "entity User { ip: ipaddr, boss?: User }; action view appliesTo { principal: User, resource: User };";
    let ill = |attrs: serde_json::Value| {
        let entities: Entities = [Entity::new(("User", "u")).attrs(&attrs)]
            .into_iter()
            .collect();
        refused(
            Authorizer::builder()
                .schema_str(schema)
                .entities(entities)
                .build(),
        )
    };
    assert_eq!(
        ill(json!({ "ip": "10.0.0.1" })),
        "entity User::\"u\": does not fit the schema: `attributes.ip` should be an IP address, but is a string; in Rust types, \
         write `values::Ip`"
    );
    assert!(!ill(json!({ "ip": 7 })).contains("values::"));
}

#[test]
fn what_was_called_with_what_is_told() {
    let authorizer = Authorizer::builder().policies(PERMIT).build().unwrap();
    for (context, message) in [
        (
            r#"{ "a": { "__extn": { "fn": "ip", "arg": "10.0.0" } } }"#,
            "context.a: `ip` does not take \"10.0.0\"",
        ),
        (
            r#"{ "a": 9223372036854775808 }"#,
            "context.a: 9223372036854775808 does not fit into 64 bits, signed",
        ),
        (r#"{ "a": 0.5 }"#, "for fractions"),
    ] {
        let request =
            Request::new(("User", "u"), ("Action", "a"), ("Doc", "d")).context_json(context);
        let response = authorizer.is_authorized(&request);
        let error = response.request_error().unwrap();
        assert!(error.message().contains(message), "{error}");
    }
}

#[test]
fn a_link_to_a_policy_is_told_so() {
    let policies = Policies::new()
        .text(PERMIT)
        .link("policy0", "link", None, None);
    assert_eq!(
        refused(Authorizer::builder().policies(policies).build()),
        "policy link: cannot link template policy0: it is a policy, and not a template"
    );
}

#[test]
fn what_is_odd_is_a_warning() {
    let warnings = |builder: duramen::Builder| -> Vec<String> {
        let authorizer = builder.build().unwrap();
        let warnings = authorizer.warnings();
        warnings.iter().map(ToString::to_string).collect()
    };
    let unchecked = Authorizer::builder()
        .policies(PERMIT)
        .validate_requests(true);
    assert_eq!(
        warnings(unchecked),
        ["requests are to be validated, and there is no schema: none of them is"]
    );
    let schema = "entity User, Doc; action view appliesTo { principal: User, resource: Doc };";
    let template = "permit(principal == ?principal, action, resource == ?resource);";
    let (user, doc) = (Some(("User", "u").into()), Some(("Doc", "d").into()));
    let link = |principal, resource| {
        let policies = Policies::new().text(template);
        let policies = policies.link("policy0", "link", principal, resource);
        Authorizer::builder()
            .schema_str(schema)
            .validate_requests(true)
            .policies(policies)
    };
    assert_eq!(warnings(link(user, doc)), [""; 0]);
    let exchanged = warnings(link(doc, user));
    assert!(
        exchanged[0].starts_with("policy link: unable to find an applicable action"),
        "{exchanged:?}"
    );
}

/// Those of the policies in force, whichever way they came.
#[test]
fn warnings_are_of_what_is_in_force() {
    let warned = |authorizer: &Authorizer| -> Vec<String> {
        let warnings = authorizer.warnings();
        let policies = warnings.iter().filter_map(|warning| warning.policy());
        policies.map(ToString::to_string).collect()
    };
    let schema = "entity User, Doc; action view appliesTo { principal: User, resource: Doc };";
    let never = "permit(principal, action, resource) when { false };";
    let authorizer = Authorizer::builder()
        .schema_str(schema)
        .policies(PERMIT)
        .build()
        .unwrap();
    assert_eq!(warned(&authorizer), [""; 0]);
    authorizer
        .replace_policies(format!("{PERMIT} {never}"))
        .unwrap();
    assert_eq!(warned(&authorizer), ["policy1"]);
    // What is refused changes nothing.
    authorizer.replace_policies("permit(").unwrap_err();
    assert_eq!(warned(&authorizer), ["policy1"]);
    let update = PolicyUpdate::new().add("new", never);
    let changes = authorizer.update_policies(update).unwrap();
    assert_eq!(changes.warnings().len(), 1);
    assert_eq!(warned(&authorizer), ["policy1", "new"]);
    let update = PolicyUpdate::new().remove("policy1").replace("new", PERMIT);
    authorizer.update_policies(update).unwrap();
    assert_eq!(warned(&authorizer), [""; 0]);
    authorizer.replace_all(never, "[]").unwrap();
    assert_eq!(warned(&authorizer), ["policy0"]);
    authorizer.replace_entities("[]").unwrap();
    assert_eq!(warned(&authorizer), ["policy0"]);
    authorizer.replace_policies(PERMIT).unwrap();
    assert_eq!(warned(&authorizer), [""; 0]);
}

#[test]
fn ids_in_annotations_that_nobody_asked_for_are_a_warning() {
    let warnings = |policies: Policies| -> Vec<String> {
        let authorizer = Authorizer::builder().policies(policies).build().unwrap();
        let warnings = authorizer.warnings();
        warnings.iter().map(ToString::to_string).collect()
    };
    let text = format!("{PERMIT} @id(\"seen\")\n{PERMIT}");
    assert_eq!(
        warnings(Policies::new().text(text.as_str())),
        [
            "line 1, column 38: policy policy1: is annotated `@id(\"seen\")`, and is not called that (help: \
             `Policies::ids_from_annotations` takes the annotations as ids)"
        ]
    );
    assert_eq!(
        warnings(Policies::new().text(text).ids_from_annotations()),
        [""; 0]
    );
    // No id is meant, or it is the policy's own.
    for silent in [
        "",
        "@id ",
        "@id(\"\") ",
        "@owner(\"id\") ",
        "@id(\"policy0\") ",
    ] {
        let text = format!("{silent}{PERMIT}");
        assert_eq!(warnings(Policies::new().text(text)), [""; 0], "{silent}");
    }
    // Links have ids of their own; their template has not.
    let template = "@id(\"t\") permit(principal == ?principal, action, resource);";
    let alice = || Some(("User", "alice").into());
    let linked = Policies::new()
        .text(template)
        .link("policy0", "alice", alice(), None)
        .link("policy0", "again", alice(), None);
    let told = warnings(linked);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("policy policy0: is annotated `@id(\"t\")`, and is not called that ("),
        "{told:?}"
    );
    // An update says each policy's id.
    let authorizer = Authorizer::builder().build().unwrap();
    let update = duramen::PolicyUpdate::new().add("new", format!("@id(\"other\") {PERMIT}"));
    let changes = authorizer.update_policies(update).unwrap();
    assert!(changes.warnings().is_empty());
}

#[test]
fn a_time_that_no_request_may_have_is_a_warning() {
    let request = duramen::Request::new(("User", "u"), ("Action", "view"), ("Doc", "d"));
    let schema = |view: &str, edit: &str| {
        format!(
            "entity User, Doc; action group; action edit in group appliesTo {{ principal: User, resource: Doc, context: {{ {edit} }} }};
             action view in group appliesTo {{ principal: User, resource: Doc, context: {{ {view} }} }};"
        )
    };
    let with = |schema: String| {
        let built = Authorizer::builder()
            .schema_str(schema)
            .policies(PERMIT)
            .context_time("now")
            .validate_requests(true);
        built.build().unwrap()
    };
    let declared = with(schema("now: datetime", "now?: datetime"));
    assert!(declared.warnings().is_empty());
    assert!(declared.is_allowed(&request));

    for (view, edit, named) in [
        ("", "now: datetime", r#"that of Action::"view": each"#),
        (
            "now: Long",
            "",
            r#"that of Action::"edit" and 1 more: each"#,
        ),
    ] {
        let undeclared = with(schema(view, edit));
        let warnings = undeclared.warnings();
        assert_eq!(warnings.len(), 1);
        let warning = warnings[0].to_string();
        assert!(warning.contains(named), "{warning}");
        assert!(!undeclared.is_allowed(&request));
    }
}

#[test]
fn limits_that_cannot_be_met_say_which_to_lower() {
    let limits = Limits::default().with_operator_chain(usize::MAX);
    let built = Authorizer::builder()
        .policies(PERMIT)
        .limits(limits)
        .build();
    assert!(refused(built).contains("lower what was raised"));

    // Data is never read deeper than 100 levels: raising the limit further is no advice.
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let entities = format!(
        r#"[{{ "uid": {{ "type": "U", "id": "u" }}, "attrs": {{ "a": {deep} }}, "parents": [] }}]"#
    );
    for (limit, advice) in [
        (64, "raise it with Limits::with_attribute_depth"),
        (usize::MAX, "cannot be raised beyond 100"),
    ] {
        let limits = Limits::default().with_attribute_depth(limit);
        let built = Authorizer::builder()
            .entities(entities.as_str())
            .limits(limits)
            .build();
        let shown = refused(built);
        assert!(shown.contains(advice), "{shown}");
    }
}

#[test]
fn what_is_wrong_with_everything_is_not_told_a_thousand_times() {
    let mut chain = String::from("[");
    for i in 0..1500 {
        let comma = if i == 0 { "" } else { "," };
        chain += &format!(
            r#"{comma}{{"uid":{{"type":"G","id":"{i}"}},"attrs":{{}},"parents":[{{"type":"G","id":"{}"}}]}}"#,
            i + 1
        );
    }
    chain.push(']');
    let shown = refused(Authorizer::builder().entities(chain).build());
    assert_eq!(shown.lines().count(), 100);

    let schema = "entity User; action view appliesTo { principal: User, resource: User };";
    let ids: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    let entities = ids.iter().map(|id| Entity::new(("Usr", id.as_str())));
    let entities: Entities = entities.collect();
    let shown = refused(
        Authorizer::builder()
            .schema_str(schema)
            .entities(entities)
            .build(),
    );
    assert_eq!(shown.lines().count(), 100);

    let wrong = "permit(principal is Usr, action, resource);\n".repeat(300);
    let built = Authorizer::builder()
        .schema_str(schema)
        .policies(wrong)
        .build();
    let error = built.unwrap_err();
    assert_eq!(error.compile_error().unwrap().problems().len(), 300);
    let shown = error.to_string();
    assert_eq!(shown.lines().count(), 101);
    assert!(shown.ends_with("and 200 more"));
}
