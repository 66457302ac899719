//! Nothing else in a record gives away what is masked in it: no entity, tag or ancestor that only a masked value names.

use super::*;

/// Ids are masked everywhere at once, so that the record holds together.
#[test]
fn ids_are_masked_wherever_they_stand() {
    let record = masked(masks().ids("User"));
    let ann = record.principal.id().to_owned();
    assert!(is_digest(&json!(ann)));
    assert_eq!(entity(&record, "User", &ann)["attrs"]["level"], 3);
    let owner = &entity(&record, "Doc", "plan")["attrs"]["owner"]["__entity"]["id"];
    assert!(is_digest(owner));
    assert_eq!(
        entity(&record, "User", owner.as_str().unwrap())["attrs"]["level"],
        1
    );
    assert_eq!(record.masked, ["id(User)"]);
    assert_eq!(record.replayable, Some(false));
    assert_eq!(record.resource.id(), "plan");

    let record = masked(masks().ids("*"));
    assert!(is_digest(&json!(record.resource.id())));
    assert_eq!(record.action.id(), "view");
    let parents = &entity(&record, "User", &ann)["parents"];
    assert!(is_digest(&parents[0]["id"]));
}

/// No sink behind the masks gets anything of what they mask, on whichever side of a queue they stand.
#[test]
fn nothing_that_is_masked_gets_through() {
    let all = |mask| {
        let masks = masks().path("context.*", mask).unwrap();
        masks.path("*.*", mask).unwrap().ids("User")
    };
    for mask in [Mask::Drop, Mask::Digest] {
        let directory = Scratch::new();
        let (before, behind, plain) = (Written::default(), Written::default(), Written::default());
        let log = Arc::new(DurableLog::options(directory.path()).open().unwrap());
        let sinks = FanOut::new()
            .sink(
                MaskSink::new(
                    QueueSink::new(JsonLinesSink::new(before.clone())).unwrap(),
                    all(mask),
                )
                .unwrap(),
            )
            .sink(
                QueueSink::new(
                    MaskSink::new(JsonLinesSink::new(behind.clone()), all(mask)).unwrap(),
                )
                .unwrap(),
            )
            .sink(MaskSink::new(Arc::clone(&log), all(mask)).unwrap())
            .sink(JsonLinesSink::new(plain.clone()));
        let authorizer = deciding(READING, sinks);
        assert!(authorizer.is_allowed(&asked()));
        // A request whose error quotes what it brought.
        let wrong =
            asked().context_json(r#"{ "x": { "__entity": { "type": "SECRET-12", "id": "x" } } }"#);
        assert!(!authorizer.is_allowed(&wrong));
        let wrong = Request::new(
            ("User", "SECRET-13"),
            ("Action", "view"),
            ("SECRET 14", "x"),
        );
        assert!(!authorizer.is_allowed(&wrong));
        drop(authorizer);
        let log = String::from_utf8(lines(&segments(directory.path())).concat()).unwrap();
        let plain = plain.text();
        for secret in [
            "SECRET-1\"",
            "SECRET-4",
            "SECRET-11",
            "SECRET-12",
            "SECRET 14",
        ] {
            assert!(
                plain.contains(secret),
                "{secret} is in no record to begin with: {plain}"
            );
        }
        for text in [before.text(), behind.text(), log] {
            assert_eq!(
                text.lines()
                    .filter(|line| line.contains("\"decision\""))
                    .count(),
                3,
                "{text}"
            );
            // The type of the last request's resource is what the request is about.
            let text = text.replace("\"type\":\"SECRET 14\"", "");
            assert!(!text.contains("SECRET"), "{mask:?}: {text}");
            assert!(
                !text.contains("\"ann\"") && !text.contains("\"bob\""),
                "{text}"
            );
        }
    }
}

/// What masked sets and records hold is not named elsewhere in the record.
#[test]
fn what_is_in_masked_values_is_not_named() {
    let policies = r#"
        permit(principal, action, resource) when {
            User::"bob".level < 2 && !(context.all == [1]) && !(context.one == 1)
        };
    "#;
    let bob = r#"{ "__entity": { "type": "User", "id": "bob" } }"#;
    for (masked, context) in [
        ("all", format!(r#"{{ "all": [1, {bob}], "one": 2 }}"#)),
        (
            "one",
            format!(r#"{{ "all": [], "one": {{ "by": [{bob}], "n": 1 }} }}"#),
        ),
    ] {
        for mask in [Mask::Drop, Mask::Digest] {
            let sink = Arc::new(MemorySink::new(1));
            let masks = masks().path(&format!("context.{masked}"), mask).unwrap();
            let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
            assert!(authorizer.is_allowed(&asked().context_json(&context)));
            let text = serde_json::to_string(&sink.records()[0]).unwrap();
            assert!(!text.contains("\"bob\""), "{text}");
        }
    }
}

/// Where all tags are masked, what they refer to is not named either.
#[test]
fn what_masked_tags_refer_to_is_not_named() {
    let world = r#"[
        { "uid": { "type": "User", "id": "ann" }, "attrs": {}, "parents": [],
          "tags": { "boss": { "__entity": { "type": "User", "id": "bob" } } } },
        { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1 }, "parents": [] }
    ]"#;
    for mask in [Mask::Drop, Mask::Digest] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().path("User.tags", mask).unwrap();
        let authorizer = deciding_in(
            world,
            r#"permit(principal, action, resource) when { principal.getTag("boss").level < 2 };"#,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        assert!(authorizer.is_allowed(&asked().context_json("{}")));
        let record = sink.records().remove(0);
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("\"bob\""), "{text}");
        assert_eq!(record.masked, ["User.tags"]);
        assert_eq!(record.replayable, Some(false));
        // Where a digest stands for the value, it names the entity too.
        let entities = &record.inputs.as_ref().unwrap().entities;
        let read = entities.iter().find(|entity| entity["attrs"]["level"] == 1);
        let is_named = is_digest(&read.unwrap()["uid"]["id"]);
        assert_eq!(is_named, mask == Mask::Digest, "{text}");
    }
}

/// A text that is masked names no tag, and an entity that is masked nobody that somebody is in, also where those are masked
/// by digests themselves.
#[test]
fn masked_values_name_no_tags_and_no_ancestors() {
    let policies = r#"
        permit(principal, action, resource) when {
            principal in context.team && principal.getTag(context.site) != "" && principal.hasTag("floor")
        };
    "#;
    let context = r#"{ "team": { "__entity": { "type": "Team", "id": "blue" } }, "site": "site" }"#;
    for tags in ["User.tags", "User.tags.*", "Nobody.tags"] {
        for mask in [Mask::Drop, Mask::Digest] {
            let sink = Arc::new(MemorySink::new(1));
            let masks = masks().path("context.*", mask).unwrap();
            let masks = masks.path(tags, Mask::Digest).unwrap();
            let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
            assert!(authorizer.is_allowed(&asked().context_json(context)));
            let record = sink.records().remove(0);
            let text = serde_json::to_string(&record).unwrap();
            for name in ["\"blue\"", "\"site\""] {
                assert_eq!(
                    text.matches(name).count(),
                    usize::from(name == "\"site\"" && mask == Mask::Digest),
                    "{tags}, {mask}, {name}: {text}"
                );
            }
            let ann = entity(&record, "User", "ann");
            assert_eq!(ann["parents"].as_array().unwrap().len(), 1, "{text}");
            assert_eq!(ann["tags"].as_object().unwrap().len(), 2, "{text}");
        }
    }
}

/// Values of other types, and names that are nobody's, stay, though they read like masked ones.
#[test]
fn what_only_reads_like_a_masked_value_stays() {
    let world = r#"[
        { "uid": { "type": "User", "id": "ann" }, "attrs": { "level": 3, "town": "here" },
          "tags": { "floor": { "town": "there" }, "site": "x" }, "parents": [{ "type": "Team", "id": "blue" }] },
        { "uid": { "type": "Doc", "id": "plan" }, "attrs": { "town": "elsewhere" }, "parents": [] }
    ]"#;
    let policies = r#"
        permit(principal, action, resource) when {
            principal.town == "here" && principal.level > 2 && principal.getTag("floor").town == "there"
            && principal.getTag("site") == "x" && resource.town == "elsewhere" && principal in Team::"blue"
        };
    "#;
    let context = r#"{ "team": "blue", "name": "town", "site": { "__entity": { "type": "Team", "id": "site" } } }"#;
    for mask in [Mask::Drop, Mask::Digest] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().path("context.*", mask).unwrap();
        let authorizer = deciding_in(
            world,
            policies,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        assert!(authorizer.is_allowed(&asked().context_json(context)));
        let record = sink.records().remove(0);
        let ann = entity(&record, "User", "ann");
        assert_eq!(ann["parents"], json!([{ "type": "Team", "id": "blue" }]));
        assert_eq!(ann["attrs"], json!({ "level": 3, "town": "here" }));
        assert_eq!(
            ann["tags"],
            json!({ "floor": { "town": "there" }, "site": "x" })
        );
        assert_eq!(
            entity(&record, "Doc", "plan")["attrs"],
            json!({ "town": "elsewhere" })
        );
    }
}

/// Who is read of by way of a masked value is not named either, nor what was asked for by it.
#[test]
fn names_do_not_give_masked_values_away() {
    let policies = r#"
        permit(principal, action, resource) when {
            context.reviewer.level < 2 && !(context.reviewer in Team::"blue") && resource.owner.level < 2
            && principal.hasTag(context.site) && principal.getTag(context.site) != "" && principal.hasTag(context.nowhere) == false
        };
    "#;
    let context = r#"{ "reviewer": { "__entity": { "type": "User", "id": "bob" } }, "site": "site", "nowhere": "SECRET-X" }"#;
    let record = |masks| {
        let sink = Arc::new(MemorySink::new(1));
        let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
        let request = asked().context_json(context);
        let response = authorizer.is_authorized(&request);
        assert!(response.is_allowed(), "{}", response.explain(&request));
        drop(response);
        sink.records().remove(0)
    };
    let all = |mask| {
        let masks = masks().path("context.*", mask).unwrap();
        masks.path("resource.owner", mask).unwrap()
    };
    for mask in [Mask::Drop, Mask::Digest] {
        let record = record(all(mask));
        let text = serde_json::to_string(&record).unwrap();
        for name in ["\"bob\"", "SECRET-X"] {
            assert!(!text.contains(name), "{mask:?}, {name}: {text}");
        }
        let ann = entity(&record, "User", "ann");
        assert_eq!(ann["tags"].get("site"), None, "{text}");
        if let Some(absent) = ann["absent_tags"][0].as_str() {
            assert!(absent.starts_with("masked:"), "{text}");
        }
        // One entity by whichever way, with what was read of it.
        let entities = &record.inputs.as_ref().unwrap().entities;
        let read = entities
            .iter()
            .filter(|entity| entity["attrs"].get("level").is_some());
        assert_eq!(read.count(), 1, "{text}");
    }
    // Whom the request names is named.
    let itself = r#"{ "reviewer": { "__entity": { "type": "User", "id": "ann" } } }"#;
    let sink = Arc::new(MemorySink::new(1));
    let masks = Masks::new().path("context.*", Mask::Drop).unwrap();
    let policies = "permit(principal, action, resource) when { context.reviewer.level > 2 };";
    let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
    assert!(authorizer.is_allowed(&asked().context_json(itself)));
    assert_eq!(
        entity(&sink.records()[0], "User", "ann")["attrs"]["level"],
        3
    );
}

/// Whichever comes first, the entity or the value that refers to it; and under the same digest as everywhere, where there
/// is one.
#[test]
fn names_of_what_was_read_before_do_not_give_masked_values_away() {
    let world = r#"[
        { "uid": { "type": "User", "id": "ann" },
          "attrs": { "friend": { "__entity": { "type": "User", "id": "eve" } } }, "parents": [] },
        { "uid": { "type": "User", "id": "eve" },
          "attrs": { "boss": { "__entity": { "type": "User", "id": "bob" } } }, "parents": [] },
        { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1 }, "parents": [] }
    ]"#;
    let policies = r#"
        permit(principal, action, resource) when {
            User::"bob".level < 2 && principal.friend.boss.level < 2
        };
    "#;
    let record = |masks| {
        let sink = Arc::new(MemorySink::new(1));
        let authorizer = deciding_in(
            world,
            policies,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        assert!(authorizer.is_allowed(&asked()));
        sink.records().remove(0)
    };
    // Who has the level that was read.
    let read = |record: &OwnedRecord| {
        let mut entities = record.inputs.as_ref().unwrap().entities.iter();
        let entity = entities.find(|entity| entity["attrs"]["level"] == 1);
        entity.unwrap()["uid"]["id"].as_str().unwrap().to_owned()
    };
    let boss = |mask| masks().path("User.boss", mask).unwrap();
    assert_eq!(read(&record(Masks::new())), "bob");
    assert!(read(&record(boss(Mask::Drop))).starts_with("masked:"));
    let digest = read(&record(boss(Mask::Digest)));
    assert!(is_digest(&json!(digest)), "{digest}");
    // Ids that are masked everywhere stay the same.
    for mask in [Mask::Drop, Mask::Digest] {
        assert_eq!(read(&record(boss(mask).ids("User"))), digest);
    }
}

/// Nor in what an actor was decided on, whichever comes first, the entity or the value that refers to it.
#[test]
fn names_do_not_give_masked_values_of_an_actor_away() {
    let world = r#"[
        { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1 }, "parents": [] },
        { "uid": { "type": "Doc", "id": "plan" },
          "attrs": { "owner": { "__entity": { "type": "User", "id": "bob" } }, "keeper": { "__entity": { "type": "User", "id": "eve" } } },
          "parents": [] },
        { "uid": { "type": "User", "id": "eve" }, "attrs": { "level": 1 }, "parents": [] }
    ]"#;
    let policies = r#"
        permit(principal == User::"ann", action, resource);
        permit(principal == Agent::"bot", action, resource) when { resource.owner.level < 2 && resource.keeper.level < 2 };
    "#;
    for mask in [Mask::Drop, Mask::Digest] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().path("resource.*", mask).unwrap();
        let authorizer = deciding_in(
            world,
            policies,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        let actors = [EntityUidRef::from(("Agent", "bot"))];
        let delegation = Delegation::new(&actors);
        assert!(authorizer.is_allowed(&asked().delegation(&delegation)));
        let record = sink.records().remove(0);
        let hop = &record.delegation.as_ref().unwrap().hops[1];
        let entities = &hop.inputs.as_ref().unwrap().entities;
        let read = entities
            .iter()
            .filter(|entity| entity["attrs"]["level"] == 1);
        assert_eq!(read.count(), 2, "{entities:?}");
        let text = serde_json::to_string(&record).unwrap();
        for name in ["\"bob\"", "\"eve\""] {
            assert!(!text.contains(name), "{mask:?}, {name}: {text}");
        }
        assert_eq!(record.masked, ["resource.*"]);
        assert_eq!(record.replayable, Some(false));
    }
}

/// Whoever is a principal in one hop may be read of in another.
#[test]
fn attributes_of_principals_are_masked_in_all_hops() {
    let world = r#"[
        { "uid": { "type": "User", "id": "ann" }, "attrs": { "ssn": "SECRET-ANN" }, "parents": [] },
        { "uid": { "type": "Agent", "id": "bot" }, "attrs": { "ssn": "SECRET-BOT" }, "parents": [] },
        { "uid": { "type": "User", "id": "zoe" }, "attrs": { "ssn": "hers" }, "parents": [] },
        { "uid": { "type": "Doc", "id": "plan" }, "attrs": {
            "owner": { "__entity": { "type": "User", "id": "ann" } },
            "reader": { "__entity": { "type": "User", "id": "zoe" } } }, "parents": [] }]"#;
    let actors = [EntityUidRef::new("Agent", "bot")];
    let chain = Delegation::new(&actors)
        .subject_as("subject")
        .actor_as("actor");
    for read in [
        "principal",
        "resource.owner",
        "context.subject",
        "context.actor",
    ] {
        let policy = format!(
            "permit(principal, action, resource) when {{ {read}.ssn like \"SECRET*\" && resource.reader.ssn == \"hers\" }};"
        );
        let [plain, kept] = [(); 2].map(|()| Arc::new(MemorySink::new(1)));
        let masks = Masks::new().path("principal.ssn", Mask::Drop).unwrap();
        let masks = MaskSink::new(Arc::clone(&kept), masks).unwrap();
        let sinks = FanOut::new().sink(Arc::clone(&plain)).sink(masks);
        let authorizer = deciding_in(world, &policy, sinks);
        let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
        assert!(authorizer.is_allowed(&request.delegation(&chain)));
        let text = |sink: &MemorySink| serde_json::to_string(&sink.records()).unwrap();
        assert!(text(&plain).contains("SECRET"));
        assert!(!text(&kept).contains("SECRET"), "{read}: {}", text(&kept));
        // Who is no principal keeps it.
        assert!(text(&kept).contains("hers"));
        assert_eq!(kept.records()[0].masked, ["principal.ssn"]);
        assert_eq!(kept.records()[0].replayable, Some(false));
    }
}

/// A request is refused for such a name, and its record must not tell what a well-formed one would not.
#[test]
fn ids_of_malformed_types_are_masked() {
    for (masks, name) in [
        (masks().ids("Shop::User"), "id(Shop::User)"),
        (masks().ids("*"), "id(*)"),
    ] {
        for type_name in ["Shop :: User", "shop user", "", "Shop::User "] {
            let kept = Arc::new(MemorySink::new(1));
            let sink = MaskSink::new(Arc::clone(&kept), masks.clone()).unwrap();
            let authorizer = deciding(READING, sink);
            let request = Request::new((type_name, "SECRET"), ("Action", "view"), ("Doc", "plan"));
            assert!(!authorizer.is_allowed(&request));
            let record = &kept.records()[0];
            assert!(record.request_error.is_some());
            assert!(
                !serde_json::to_string(record).unwrap().contains("SECRET"),
                "{record:?}"
            );
            assert_eq!(record.masked, [name]);
        }
    }
    // No rule for ids, no digest.
    let kept = Arc::new(MemorySink::new(1));
    let other = Masks::new().path("context.token", Mask::Drop).unwrap();
    let authorizer = deciding(READING, MaskSink::new(Arc::clone(&kept), other).unwrap());
    let _ = authorizer.is_allowed(&Request::new(
        ("no type", "ann"),
        ("Action", "view"),
        ("Doc", "plan"),
    ));
    assert_eq!(kept.records()[0].principal.id(), "ann");
}
