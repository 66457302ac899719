//! Masks from the annotations of a schema, and paths held against one.

use duramen::replay::{AskedFact, Reconsidered, WhatIf};

use super::*;

#[test]
fn schemas_say_what_to_mask() {
    let schema = r#"
            @mask("drop") type Secret = String;
            entity Team;
            @mask("digest") entity User in [Team] { ssn: Secret, level: Long, address: { street: Secret, town: String } }
                tags String;
            entity Doc { owner: User, token: Secret, versions: Set<{ @mask("digest") by: String, n: Long }> };
            action view appliesTo {
                principal: User, resource: Doc,
                context: { @mask("digest") token: Secret, hour: Long, user: { @mask("drop") id: String, level: Long } },
            };
        "#;
    let masks = masks().schema_str(schema).unwrap();
    // What a schema annotates is in it.
    let masks = masks.checked_against(schema).unwrap();
    let record = masked(masks);
    let context = record.context.as_ref().unwrap();
    // An attribute's own annotation counts, not that of its type.
    assert!(is_digest(&context["token"]));
    assert_eq!(context["user"], json!({ "level": 3 }));
    let ann = entity(&record, "User", record.principal.id());
    assert_eq!(
        ann["attrs"],
        json!({ "level": 3, "address": { "town": "here" } })
    );
    let plan = entity(&record, "Doc", "plan");
    assert_eq!(plan["attrs"].get("token"), None);
    assert!(is_digest(&plan["attrs"]["versions"][0]["by"]));

    for (schema, what) in [
        (
            "entity User { @mask(\"hash\") ssn: String };",
            "@mask must say",
        ),
        ("entity User { @mask ssn: String };", "@mask must say"),
        ("@mask(\"drop\") entity User;", "must say \"digest\""),
        ("entity", "error parsing"),
    ] {
        let error = Masks::new().schema_str(schema).unwrap_err().to_string();
        assert!(error.contains(what), "{schema}: {error}");
    }
}

#[test]
fn masks_that_lead_nowhere_in_a_schema_are_refused_when_asked() {
    let schema = r#"
        namespace Shop {
            entity Team;
            entity User in [Team] { "two words": String, address: { street: String } } tags { site: String };
            entity Doc { versions: Set<{ by: String }>, tags: Set<String> };
            entity Alone { note: String };
            entity Site tags String;
            action view appliesTo { principal: User, resource: Doc, context: { token?: String } };
            action edit appliesTo { principal: User, resource: Doc, context: { user: { id: String } } };
        }
    "#;
    let path = |path: &str| Masks::new().path(path, Mask::Drop).unwrap();
    for fits in [
        "context.token",
        "context.user.id",
        "context.*.id",
        "context.*",
        "principal[\"two words\"]",
        "principal.address.street",
        "principal.tags",
        "principal.tags.north",
        "principal.tags.north.site",
        "Shop::User.tags.*.site",
        // Any name is also that of the tags.
        "principal.*.north",
        "Shop::User.*.*",
        "Shop::User.*.north.site",
        "*.*.*.site",
        "Shop::Site.*.north",
        "resource.versions.by",
        "resource.tags",
        "Shop::Doc.*",
        "Shop::Alone.note",
        "*.note",
        "*.*.street",
    ] {
        assert!(path(fits).checked_against(schema).is_ok(), "{fits}");
    }
    for lost in [
        "contxt.token",
        "context.tokn",
        "context.user.name",
        "context.token.more",
        "User.address",
        "Shop::Usr.address",
        "principal.note",
        "principal.address.town",
        "principal.tags.north.sight",
        "principal.tags.north.site.more",
        "resource.versions.n",
        "resource.address",
        "resource.tags.site",
        "resource.*.site",
        "principal.*.north.sight",
        "Shop::Site.*.north.site",
        "Shop::Team.*",
        "*.nothing",
        "action.name",
    ] {
        let error = path(lost).checked_against(schema).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the path `{lost}` masks nothing")),
            "{error}"
        );
    }
    for fits in ["*", "Shop::Team", "Shop::Action"] {
        assert!(
            Masks::new().ids(fits).checked_against(schema).is_ok(),
            "{fits}"
        );
    }
    for lost in ["Team", "Action", "Shop::Teem"] {
        let error = Masks::new()
            .ids(lost)
            .checked_against(schema)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("the ids of `{lost}` are not masked")),
            "{error}"
        );
    }
    // All of them are told.
    let both = path("a.b").path("context.x", Mask::Drop).unwrap();
    let error = both.checked_against(schema).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    assert!(Masks::new().checked_against("entity").is_err());
}

/// What one action keeps may be another's secret: whatever the actions are called, the strongest counts.
#[test]
fn no_action_keeps_what_another_masks() {
    let types = r#"
        @mask("drop") type Secret = String;
        @mask("digest") type Name = String;
        @mask("drop") type Hidden = { hour: Long, @mask("keep") token: String };
        @mask("drop") type Closed = { hour: Long };
        @mask("keep") type Shown = String;
        @mask("drop") type Covered = Shown;
        @mask("keep") type Bared = Covered;
    "#;
    // What two actions say of their contexts, and what becomes of the token.
    let cases = [
        (
            "{ token: Secret }",
            "{ @mask(\"keep\") token: Secret }",
            Mask::Drop,
        ),
        (
            "{ token: Secret }",
            "{ @mask(\"digest\") token: Secret }",
            Mask::Drop,
        ),
        ("{ token: Secret }", "{ token: Shown }", Mask::Drop),
        ("{ token: Secret }", "{ token: String }", Mask::Drop),
        ("{ token: Name }", "{ token: Shown }", Mask::Digest),
        ("{ token: Shown }", "{ token: String }", Mask::Keep),
        // Of names for names, the one that the attribute has.
        ("{ token: Covered }", "{ token: Covered }", Mask::Drop),
        ("{ token: Covered }", "{ token: Bared }", Mask::Drop),
        ("{ token: Bared }", "{ token: Bared }", Mask::Keep),
        // All fields of a type, but for what has its own.
        ("Hidden", "Hidden", Mask::Keep),
        ("Hidden", "{ token: Shown }", Mask::Keep),
        ("Hidden", "{ token: Name }", Mask::Digest),
        ("Hidden", "{ @mask(\"keep\") hour: Long }", Mask::Keep),
        ("Closed", "{ token: Shown }", Mask::Drop),
        ("Closed", "Hidden", Mask::Drop),
    ];
    for (one, other, token) in cases {
        for (first, second) in [(one, other), (other, one)] {
            let schema = format!(
                "{types} entity User, Doc; \
                 action a appliesTo {{ principal: User, resource: Doc, context: {first} }}; \
                 action view appliesTo {{ principal: User, resource: Doc, context: {second} }};"
            );
            let record = masked(masks().schema_str(&schema).unwrap());
            let context = record.context.as_ref().unwrap();
            match token {
                Mask::Drop => assert_eq!(context.get("token"), None, "{schema}"),
                Mask::Digest => assert!(is_digest(&context["token"]), "{schema}"),
                _ => assert_eq!(context["token"], "SECRET-4", "{schema}"),
            }
            // The whole of a type is masked also where another action keeps one of its fields.
            let has_hidden = ["Hidden", "Closed"].contains(&one);
            assert_eq!(context.get("hour").is_none(), has_hidden, "{schema}");
            // What the host says afterwards counts all the same.
            let after = masks().schema_str(&schema).unwrap();
            let after = after.path("context.token", Mask::Keep).unwrap();
            assert_eq!(masked(after).context.unwrap()["token"], "SECRET-4");
        }
    }
}

/// An attribute of the name `tags` and the tags have the same paths.
#[test]
fn no_tag_keeps_what_an_attribute_masks() {
    let schema = |attribute: &str, tag: &str| {
        format!(
            "@mask(\"{attribute}\") type Own = String; @mask(\"{tag}\") type Tag = String; \
             entity Doc; entity User {{ tags: {{ site: Own }} }} tags Tag; \
             action view appliesTo {{ principal: User, resource: Doc }};"
        )
    };
    let world = r#"[{ "uid": { "type": "User", "id": "ann" }, "parents": [],
        "attrs": { "tags": { "site": "SECRET" } }, "tags": { "site": "SECRET", "floor": "2" } }]"#;
    let policy = r#"permit(principal, action, resource) when {
        principal.tags.site == principal.getTag("site") && principal.getTag("floor") == "2"
    };"#;
    for (attribute, tag) in [("drop", "keep"), ("keep", "drop")] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().schema_str(&schema(attribute, tag)).unwrap();
        let masking = MaskSink::new(Arc::clone(&sink), masks).unwrap();
        assert!(deciding_in(world, policy, masking).is_allowed(&asked()));
        let ann = entity(&sink.records()[0], "User", "ann").clone();
        assert_eq!(ann["attrs"], json!({ "tags": {} }), "{ann}");
        let floor = (tag == "keep").then(|| json!("2"));
        assert_eq!(ann["tags"].get("site"), None, "{ann}");
        assert_eq!(ann["tags"].get("floor"), floor.as_ref(), "{ann}");
    }
}

/// Also where it is a field of each tag that is masked, and the attribute's field of that name is not.
#[test]
fn no_attribute_keeps_what_is_masked_in_a_tag() {
    let world = r#"[{ "uid": { "type": "User", "id": "ann" }, "parents": [],
        "attrs": { "tags": { "site": { "code": "SECRET" }, "team": { "code": "kept" } } },
        "tags": { "site": { "code": "SECRET" }, "floor": { "code": "SECRET" } } }]"#;
    let policy = r#"permit(principal, action, resource) when {
        principal.tags.site == principal.getTag("site") && principal.tags.team != principal.getTag("floor")
    };"#;
    for (kept, masked) in [("keep", "drop"), ("keep", "digest"), ("digest", "drop")] {
        let schema = format!(
            "type Tag = {{ @mask(\"{masked}\") code: String }}; entity Doc; \
             entity User {{ tags: {{ site: {{ @mask(\"{kept}\") code: String }}, team: {{ code: String }} }} }} tags Tag; \
             action view appliesTo {{ principal: User, resource: Doc }};"
        );
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().schema_str(&schema).unwrap();
        let masking = MaskSink::new(Arc::clone(&sink), masks).unwrap();
        assert!(deciding_in(world, policy, masking).is_allowed(&asked()));
        let ann = entity(&sink.records()[0], "User", "ann").clone();
        for code in [
            &ann["tags"]["site"],
            &ann["tags"]["floor"],
            &ann["attrs"]["tags"]["site"],
        ] {
            match masked {
                "drop" => assert_eq!(code, &json!({}), "{ann}"),
                _ => assert!(is_digest(&code["code"]), "{ann}"),
            }
        }
    }
}

/// Names of attributes that a path must not take for something else.
const NAMES: [&str; 16] = [
    "",
    "\\",
    "\"",
    "\\\"",
    ".",
    "a.b",
    "]",
    "[\"x\"]",
    "*",
    "tags",
    "id(User)",
    "two words",
    "it's",
    "ünï",
    "a\nb\0",
    "context",
];

/// Annotations, paths, what a record says of them, and what is unknown for it, agree on names that are any text.
#[test]
fn names_are_any_text() {
    let quoted = |name: &str| format!("\"{}\"", name.escape_default());
    let all_of = |each: &dyn Fn(&str) -> String, with: &str| NAMES.map(each).join(with);
    let reading = |name: &str| {
        let name = quoted(name);
        format!(
            "principal[{name}] == \"v\" && principal.deep[{name}] == \"v\" && context[{name}] == \"v\""
        )
    };
    let policy = |when: &str| format!("permit(principal, action, resource) when {{ {when} }};");
    let values: serde_json::Map<_, _> = NAMES
        .map(|name| (name.to_owned(), json!("v")))
        .into_iter()
        .collect();
    let mut attrs = values.clone();
    attrs.insert("deep".into(), Json::Object(values.clone()));
    let world = json!([{ "uid": { "type": "User", "id": "ann" }, "attrs": attrs, "parents": [] }])
        .to_string();
    let context = Json::Object(values).to_string();
    let request =
        Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan")).context_json(&context);
    let record_under = |masks: Masks| {
        let sink = Arc::new(MemorySink::new(1));
        let masked = MaskSink::new(Arc::clone(&sink), masks).unwrap();
        let authorizer = deciding_in(&world, &policy(&all_of(&reading, " && ")), masked);
        assert!(authorizer.is_allowed(&request));
        sink.records().remove(0)
    };
    let candidates: Vec<_> = NAMES
        .iter()
        .flat_map(|own| {
            [
                ("principal", AskedFact::Attribute((*own).into())),
                ("context", AskedFact::Context((*own).into())),
            ]
            .map(|(of, fact)| {
                let when = format!("{of}[{}] == \"v\"", quoted(own));
                let candidate = Authorizer::builder().policies(policy(&when));
                (*own, fact, candidate.build().unwrap())
            })
        })
        .collect();
    for name in NAMES {
        for mask in ["drop", "digest"] {
            let attributes = all_of(
                &|own| {
                    let mask = if own == name {
                        format!("@mask(\"{mask}\")")
                    } else {
                        String::new()
                    };
                    format!("{mask} {}: String", quoted(own))
                },
                ", ",
            );
            let schema = format!(
                "entity Doc; entity User {{ deep: {{ {attributes} }}, {attributes} }}; \
                 action view appliesTo {{ principal: User, resource: Doc, context: {{ {attributes} }} }};"
            );
            let record = record_under(masks().schema_str(&schema).unwrap());
            let attrs = &entity(&record, "User", "ann")["attrs"];
            for values in [record.context.as_ref().unwrap(), attrs, &attrs["deep"]] {
                for own in NAMES {
                    let value = values.get(own);
                    match mask {
                        _ if own != name => {
                            assert_eq!(value, Some(&json!("v")), "{name:?}, {own:?}")
                        }
                        "drop" => assert_eq!(value, None, "{name:?}"),
                        _ => assert!(is_digest(value.unwrap()), "{name:?}"),
                    }
                }
            }
            // What the record says of it is what would mask it again.
            assert_eq!(record.masked.len(), 3, "{:?}", record.masked);
            let mut again = masks();
            for path in &record.masked {
                let mask = if mask == "drop" {
                    Mask::Drop
                } else {
                    Mask::Digest
                };
                again = again.path(path, mask).unwrap();
            }
            let again = record_under(again);
            assert_eq!(
                (&again.context, &again.inputs),
                (&record.context, &record.inputs)
            );
            // And what is unknown for it.
            for (own, fact, candidate) in &candidates {
                match WhatIf::new(candidate).unwrap().add(&record) {
                    Reconsidered::Undetermined(unknown) => {
                        assert_eq!(*own, name);
                        assert!(
                            unknown.iter().any(|unknown| unknown.asked == *fact),
                            "{unknown:?}"
                        );
                    }
                    Reconsidered::Same { .. } => assert_ne!(*own, name, "{fact:?}"),
                    other => panic!("{fact:?}: {other:?}"),
                }
            }
        }
    }
}

/// A path that begins with the name of a variable is about the variable, and an entity type may have that name.
#[test]
fn types_with_the_names_of_variables_are_not_masked_by_mistake() {
    for name in ["context", "principal", "action", "resource"] {
        let schema = |mask: &str| {
            format!("entity Doc; @mask(\"digest\") entity {name} {{ {mask} ssn: String }};")
        };
        let error = masks()
            .schema_str(&schema("@mask(\"drop\")"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("entity type {name} has the name of a variable")),
            "{error}"
        );
        // Ids are masked by types alone.
        assert!(masks().schema_str(&schema("")).is_ok());
        // In a namespace it is another name.
        let schema = format!("namespace N {{ {} }}", schema("@mask(\"drop\")"));
        assert!(masks().schema_str(&schema).is_ok());
    }
}
