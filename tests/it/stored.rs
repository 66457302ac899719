//! What the store holds, read back: it is what was put there, and what stock Cedar holds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cedar_policy as cedar;
use duramen::values::{Datetime, Decimal, EntityRef, Ip};
use duramen::{Authorizer, Entities, Entity, EntityUid, EntityUidRef, EntityUpdate};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::generate::{Tape, config, tape};
use super::oracle::reproduction;
use super::value::{EntityData, Record, Val, entities_json, uid};

fn export(authorizer: &Authorizer) -> String {
    serde_json::to_string(&authorizer.pin().entities()).unwrap()
}

fn stored(entities: impl Into<Entities>) -> Authorizer {
    Authorizer::builder().entities(entities).build().unwrap()
}

/// What an authorizer exports is what the oracle has, and is read again, here and there, as what it was.
pub(crate) fn is_exported(
    authorizer: &Authorizer,
    entities: &cedar::Entities,
    schema: Option<&cedar::Schema>,
) -> Result<(), String> {
    let text = export(authorizer);
    let read = cedar::Entities::from_json_str(&text, schema)
        .map_err(|error| format!("Cedar refuses the export: {error:?}\n{text}"))?;
    if read != *entities {
        return Err(format!("exported is\n{text}\nand Cedar has\n{entities:?}"));
    }
    // Entities were validated when they came; what is written in full needs no schema to be read.
    let again = Authorizer::builder().entities(text.as_str()).build();
    let again = again.map_err(|error| format!("the export is refused: {error}\n{text}"))?;
    if export(&again) != text {
        return Err(format!("{text}\nis read as\n{}", export(&again)));
    }
    let (pinned, again) = (authorizer.pin(), again.pin());
    for entity in pinned.entities().iter() {
        let same = again.entity(entity.uid()).ok_or("it is gone")?;
        let cedars = entities
            .ancestors(&cedar_uid(entity.uid()))
            .into_iter()
            .flatten();
        let mut cedars: Vec<EntityUid> = cedars.map(EntityUid::from).collect();
        cedars.sort();
        let owned = |uids: Vec<EntityUidRef<'_>>| -> Vec<EntityUid> {
            uids.into_iter().map(EntityUidRef::to_owned).collect()
        };
        if owned(entity.ancestors()) != cedars || owned(same.ancestors()) != cedars {
            return Err(format!("what is above {} is {cedars:?}", entity.uid()));
        }
    }
    Ok(())
}

fn cedar_uid(uid: EntityUidRef<'_>) -> cedar::EntityUid {
    uid.to_string().parse().unwrap()
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn what_is_exported_is_what_was_loaded(numbers in tape()) {
        let (world, _) = Tape::new(&numbers).world();
        let Ok(entities) = world.cedar_entities() else { return Ok(()) };
        let authorizer = Authorizer::builder().entities(entities_json(&world.entities)).build();
        let Ok(authorizer) = authorizer else { return Ok(()) };
        if let Err(what) = is_exported(&authorizer, &entities, None) {
            return Err(TestCaseError::fail(reproduction(&world, None, &what)));
        }
        // The other way around, and typed: other numbers of names, the same text.
        let mut backwards = authorizer_of(world.entities.iter().rev());
        prop_assert_eq!(export(&backwards), export(&authorizer));
        // And one by one, over something else that is gone at the end.
        backwards = stored(Entities::new());
        for entity in &world.entities {
            let text = entity.to_json().to_string();
            let other = Entity::new(("Other", "o")).attrs(&entity.attrs);
            backwards.update_entities(EntityUpdate::new().upsert(other).upsert_json(text)).unwrap();
        }
        backwards.update_entities(EntityUpdate::new().remove(("Other", "o"))).unwrap();
        prop_assert_eq!(export(&backwards), export(&authorizer));
    }
}

fn authorizer_of<'a>(entities: impl Iterator<Item = &'a EntityData>) -> Authorizer {
    let mut collected = Entities::new();
    for entity in entities {
        let parents = entity.parents.iter();
        let parents: Vec<EntityUidRef<'_>> =
            parents.map(|(ty, id)| (&**ty, &**id).into()).collect();
        let (ty, id) = &entity.uid;
        collected = collected.insert(
            Entity::new((&**ty, &**id))
                .attrs(&entity.attrs)
                .tags(&entity.tags)
                .parents(&parents),
        );
    }
    stored(collected)
}

#[test]
fn an_entity_is_asked_for_by_its_uid() {
    let authorizer = stored(
        r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "age": 41, "boss": { "__entity": { "type": "User", "id": "bob" } } },
              "parents": [{ "type": "Team", "id": "z" }, { "type": "Team", "id": "a" }], "tags": { "room": "R1" } },
            { "uid": { "type": "Team", "id": "z" }, "attrs": {}, "parents": [{ "type": "Org", "id": "o" }] }]"#,
    );
    let before = authorizer.pin();
    let ann = before.entity(("User", "ann")).unwrap();
    assert_eq!(ann.uid(), ("User", "ann").into());
    assert_eq!(ann.parents(), [("Team", "a").into(), ("Team", "z").into()]);
    assert_eq!(
        ann.ancestors(),
        [
            ("Org", "o").into(),
            ("Team", "a").into(),
            ("Team", "z").into()
        ]
    );
    assert_eq!((ann.attrs().len(), ann.tags().len()), (2, 1));
    assert_eq!(ann.attrs().get("age").unwrap().read::<u8>().unwrap(), 41);
    assert_eq!(
        ann.tags().get("room").unwrap().read::<&str>().unwrap(),
        "R1"
    );
    assert!(ann.attrs().get("room").is_none() && ann.attrs().get("nobody has this").is_none());
    assert_eq!(
        serde_json::to_value(ann).unwrap(),
        json!({ "uid": { "type": "User", "id": "ann" }, "tags": { "room": "R1" },
                "attrs": { "age": 41, "boss": { "__entity": { "type": "User", "id": "bob" } } },
                "parents": [{ "type": "Team", "id": "a" }, { "type": "Team", "id": "z" }] })
    );
    assert_eq!(
        format!("{ann:?}"),
        r#"StoredEntity { uid: User::"ann", attrs: {"age": 41, "boss": User::"bob"}, tags: {"room": "R1"}, parents: [EntityUidRef { type_name: "Team", id: "a" }, EntityUidRef { type_name: "Team", id: "z" }] }"#
    );
    // Mentioned, but not stored; and never heard of.
    for uid in [("User", "bob"), ("Team", "a"), ("Org", "o"), ("No", "one")] {
        assert!(before.entity(uid).is_none());
    }
    assert_eq!(before.entities().len(), 2);
    assert_eq!(before.entities().iter().count(), 2);
    assert!(!before.entities().is_empty() && stored("[]").pin().entities().is_empty());

    let update = EntityUpdate::new()
        .unset_attr(("User", "ann"), "boss")
        .remove(("Team", "z"));
    authorizer.update_entities(update).unwrap();
    let after = authorizer.pin();
    let ann = after.entity(("User", "ann")).unwrap();
    assert_eq!(ann.parents(), [("Team", "a").into()]);
    assert!(ann.attrs().get("boss").is_none() && after.entity(("Team", "z")).is_none());
    // What is pinned stays what it was.
    assert_eq!(before.entity(("User", "ann")).unwrap().attrs().len(), 2);
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct User {
    name: String,
    initial: char,
    age: u8,
    active: bool,
    boss: Option<EntityUid>,
    deputies: Vec<EntityUid>,
    limits: BTreeMap<String, i64>,
    level: Level,
    contact: Contact,
    wrapped: Wrapped,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Level {
    Low,
    High,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Contact {
    Mail(String),
    Phone { country: u16, number: u32 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Wrapped(u64);

#[test]
fn what_a_type_wrote_it_reads_again() {
    let user = |contact, boss, level| User {
        name: "Ann \u{1F600}".to_owned(),
        initial: 'Ä',
        age: 255,
        active: true,
        boss,
        deputies: vec![EntityUid::new("User", "b"), EntityUid::new("User", "c")],
        limits: [("a".to_owned(), i64::MIN), ("b \" c".to_owned(), 2)].into(),
        level,
        contact,
        wrapped: Wrapped(7),
    };
    let boss = Some(EntityUid::new("User", "bob"));
    let phone = Contact::Phone {
        country: 49,
        number: 30,
    };
    for user in [
        user(Contact::Mail("a@b".to_owned()), None, Level::Low),
        user(phone, boss, Level::High),
    ] {
        let authorizer = stored(Entities::new().insert(Entity::new(("User", "ann")).attrs(&user)));
        let pinned = authorizer.pin();
        let ann = pinned.entity(("User", "ann")).unwrap();
        let mut read: User = ann.attrs().read().unwrap();
        // Sets have no order.
        read.deputies.sort();
        assert_eq!(read, user);
    }
}

#[test]
fn extension_values_are_read_as_texts() {
    #[derive(Serialize)]
    struct Seen {
        at: Datetime<'static>,
        from: Ip<'static>,
        within: Ip<'static>,
        share: Decimal<'static>,
        of: EntityRef<'static>,
    }
    #[derive(Deserialize)]
    struct Read<'a> {
        at: String,
        from: IpAddr,
        within: String,
        share: String,
        #[serde(borrow)]
        of: BTreeMap<&'a str, &'a str>,
    }
    let seen = Seen {
        at: Datetime::new("2024-02-29"),
        from: Ip::new("2001:db8::1"),
        within: Ip::new("10.0.0.0/8"),
        share: Decimal::new("0.5"),
        of: EntityRef::new("User", "ann"),
    };
    let authorizer = stored(Entities::new().insert(Entity::new(("S", "s")).attrs(&seen)));
    let pinned = authorizer.pin();
    let attrs = pinned.entity(("S", "s")).unwrap().attrs();
    let read: Read<'_> = attrs.read().unwrap();
    assert_eq!(read.at, "2024-02-29T00:00:00.000Z");
    assert_eq!(read.from, IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
    assert_eq!((&*read.within, &*read.share), ("10.0.0.0/8", "0.5000"));
    assert_eq!(read.of, [("id", "ann"), ("type", "User")].into());
    // In JSON they are what Cedar calls them.
    let json: Json = serde_json::to_value(attrs).unwrap();
    assert_eq!(
        json["from"],
        json!({ "__extn": { "fn": "ip", "arg": "2001:db8::1/128" } })
    );
    let from = attrs.get("from").unwrap();
    assert_eq!(serde_json::to_value(from).unwrap(), json["from"]);
}

#[test]
fn what_does_not_fit_a_type_is_told_with_its_place() {
    let attrs = json!({ "devices": [{ "os": 3 }], "role": { "Mail": 1 }, "boss": "bob" });
    let authorizer = stored(Entities::new().insert(Entity::new(("User", "ann")).attrs(&attrs)));
    let pinned = authorizer.pin();
    let attrs = pinned.entity(("User", "ann")).unwrap().attrs();
    #[derive(Deserialize, Debug)]
    #[allow(dead_code, reason = "only read")]
    struct Devices<T> {
        devices: Vec<BTreeMap<String, T>>,
    }
    #[derive(Deserialize, Debug)]
    #[allow(dead_code, reason = "only read")]
    struct Role {
        role: Contact,
    }
    #[derive(Deserialize, Debug)]
    #[allow(dead_code, reason = "only read")]
    struct Missing {
        none: i64,
    }
    fn told<T: std::fmt::Debug>(read: Result<T, duramen::AttributeError>) -> String {
        read.unwrap_err().to_string()
    }
    assert_eq!(
        told(attrs.read::<Devices<String>>()),
        r#"entity User::"ann": devices[0].os: invalid type: integer `3`, expected a string"#
    );
    assert_eq!(
        told(attrs.read::<Role>()),
        r#"entity User::"ann": role.Mail: invalid type: integer `1`, expected a string"#
    );
    assert_eq!(
        told(attrs.read::<Missing>()),
        r#"entity User::"ann": missing field `none`"#
    );
    assert_eq!(
        told(attrs.get("boss").unwrap().read::<EntityUid>()),
        r#"entity User::"ann": invalid type: string "bob", expected struct EntityUid"#
    );
}

/// An attribute that is data must not come back as a reference to an entity.
#[test]
fn records_that_cedars_json_would_misread_are_refused() {
    let forged = |key: &str| -> Record {
        let inner = [(key.to_owned(), Val::Str("x".to_owned()))].into();
        [("a".to_owned(), Val::Set(vec![Val::Record(inner)]))].into()
    };
    for key in ["__entity", "__extn", "__expr"] {
        let attrs = forged(key);
        let authorizer = stored(Entities::new().insert(Entity::new(("U", "u")).attrs(&attrs)));
        let pinned = authorizer.pin();
        let refused = serde_json::to_string(&pinned.entities()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                r#"entity U::"u": a record has the key `{key}`, which Cedar's JSON would take for an escape"#
            )
        );
        // Stock Cedar refuses to write it as well.
        let value = cedar::RestrictedExpression::new_record([(
            key.to_owned(),
            cedar::RestrictedExpression::new_string("x".to_owned()),
        )]);
        let cedars = cedar::Entity::new(
            "U::\"u\"".parse().unwrap(),
            [("a".to_owned(), value.unwrap())].into(),
            Default::default(),
        );
        assert!(cedars.unwrap().to_json_value().is_err());
        // Typed reading has no escapes.
        let read: BTreeMap<String, Vec<BTreeMap<String, String>>> =
            pinned.entity(("U", "u")).unwrap().attrs().read().unwrap();
        assert_eq!(read["a"][0][key], "x");
        // As the name of an attribute it is none.
        let attrs: Record = [(key.to_owned(), Val::Long(1))].into();
        let authorizer = stored(Entities::new().insert(Entity::new(("U", "u")).attrs(&attrs)));
        let cedars = cedar::Entities::from_json_str(&export(&authorizer), None).unwrap();
        is_exported(&authorizer, &cedars, None).unwrap();
    }
}

/// Sets of what is ordered by number inside, such as names, are written in an order that everybody sees.
#[test]
fn the_order_of_an_export_is_that_of_its_texts() {
    let entity = |id: &str, first: &str, second: &str| EntityData {
        uid: uid("U", id),
        attrs: [(
            "s".to_owned(),
            Val::Set(
                [first, second]
                    .into_iter()
                    .flat_map(|id| {
                        let inner = [(id.to_owned(), Val::Long(1))].into();
                        let set = vec![Val::Entity(uid("U", id))];
                        [Val::Entity(uid("U", id)), Val::Record(inner), Val::Set(set)]
                    })
                    .collect(),
            ),
        )]
        .into(),
        tags: Record::new(),
        parents: vec![],
    };
    let one = authorizer_of([entity("1", "a", "b"), entity("2", "b", "a")].iter());
    let other = authorizer_of([entity("2", "b", "a"), entity("1", "b", "a")].iter());
    assert_eq!(export(&one), export(&other));
    let set = &serde_json::from_str::<Json>(&export(&one)).unwrap()[0]["attrs"]["s"];
    let entity = |id| json!({ "__entity": { "type": "U", "id": id } });
    assert_eq!(
        *set,
        json!([entity("a"), entity("b"), [entity("a")], [entity("b")], { "a": 1 }, { "b": 1 }])
    );
}
