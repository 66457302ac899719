//! Updates of entities: after any of them, decisions are those of an authorizer built from the same state, and those of
//! `cedar_policy::Entities` after the same upserts and removals.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cedar_policy as cedar;
use duramen::{Authorizer, Entity, EntityChange, EntityUidRef, EntityUpdate, Request};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::generate::{Change, Tape, config, tape};
use super::oracle::{Ask, Oracle, World, cedar_uid, ours, reproduction, uid_ref};
use super::value::{EntityData, Uid};

pub(crate) type State = BTreeMap<Uid, EntityData>;

/// What the change does to the state; an error where an entity that must exist does not.
pub(crate) fn model(state: &mut State, change: &Change) -> Result<(), ()> {
    match change {
        Change::Upsert(entity, _) => {
            state.insert(entity.uid.clone(), entity.clone());
        }
        Change::Remove(uid) => {
            if state.remove(uid).is_some() {
                for entity in state.values_mut() {
                    entity.parents.retain(|parent| parent != uid);
                }
            }
        }
        Change::SetAttr(uid, key, value) => {
            let entity = state.get_mut(uid).ok_or(())?;
            entity.attrs.insert(key.clone(), value.clone());
        }
        Change::SetTag(uid, key, value) => {
            let entity = state.get_mut(uid).ok_or(())?;
            entity.tags.insert(key.clone(), value.clone());
        }
        Change::UnsetAttr(uid, key) => {
            state.get_mut(uid).map(|entity| entity.attrs.remove(key));
        }
        Change::UnsetTag(uid, key) => {
            state.get_mut(uid).map(|entity| entity.tags.remove(key));
        }
        Change::AddParent(uid, parent) => {
            let entity = state.get_mut(uid).ok_or(())?;
            entity.parents.push(parent.clone());
        }
        Change::RemoveParent(uid, parent) => {
            if let Some(entity) = state.get_mut(uid) {
                entity.parents.retain(|other| other != parent);
            }
        }
    }
    Ok(())
}

pub(crate) fn add(update: EntityUpdate, change: &Change) -> EntityUpdate {
    match change {
        Change::Upsert(entity, true) => {
            let parents: Vec<EntityUidRef<'_>> = entity.parents.iter().map(uid_ref).collect();
            update.upsert(
                Entity::new(uid_ref(&entity.uid))
                    .attrs(&entity.attrs)
                    .tags(&entity.tags)
                    .parents(&parents),
            )
        }
        Change::Upsert(entity, false) => update.upsert_json(entity.to_json().to_string()),
        Change::Remove(uid) => update.remove(uid_ref(uid)),
        Change::SetAttr(uid, key, value) => update.set_attr(uid_ref(uid), key, value),
        Change::SetTag(uid, key, value) => update.set_tag(uid_ref(uid), key, value),
        Change::UnsetAttr(uid, key) => update.unset_attr(uid_ref(uid), key),
        Change::UnsetTag(uid, key) => update.unset_tag(uid_ref(uid), key),
        Change::AddParent(uid, parent) => update.add_parent(uid_ref(uid), uid_ref(parent)),
        Change::RemoveParent(uid, parent) => update.remove_parent(uid_ref(uid), uid_ref(parent)),
    }
}

/// The same on Cedar's entities, one change at a time; `None` when Cedar refuses one.
fn cedars(
    entities: cedar::Entities,
    before: &State,
    changes: &[Change],
) -> Option<cedar::Entities> {
    let mut state = before.clone();
    let mut entities = entities;
    for change in changes {
        model(&mut state, change).ok()?;
        entities = match change {
            Change::Remove(uid) => entities.remove_entities([cedar_uid(uid)]).ok()?,
            Change::Upsert(entity, _) => upserted(entities, entity)?,
            Change::SetAttr(uid, ..)
            | Change::SetTag(uid, ..)
            | Change::UnsetAttr(uid, _)
            | Change::UnsetTag(uid, _)
            | Change::AddParent(uid, _)
            | Change::RemoveParent(uid, _) => match state.get(uid) {
                Some(entity) => upserted(entities, entity)?,
                None => entities,
            },
        };
    }
    Some(entities)
}

fn upserted(entities: cedar::Entities, entity: &EntityData) -> Option<cedar::Entities> {
    let entity = cedar::Entity::from_json_value(entity.to_json(), None).ok()?;
    entities.upsert_entities([entity], None).ok()
}

fn expected_change(
    before: Option<&EntityData>,
    after: Option<&EntityData>,
) -> &'static [EntityChange] {
    let sorted = |entity: &EntityData| {
        let mut entity = entity.clone();
        entity.parents.sort();
        entity.parents.dedup();
        entity
    };
    match (before, after) {
        (None, None) => &[EntityChange::Unchanged],
        (None, Some(_)) => &[EntityChange::Created],
        (Some(_), None) => &[EntityChange::Removed],
        (Some(before), Some(after)) if sorted(before) == sorted(after) => {
            &[EntityChange::Unchanged]
        }
        // Texts of extension values may differ where the values do not.
        _ => &[
            EntityChange::Replaced,
            EntityChange::Changed,
            EntityChange::Unchanged,
        ],
    }
}

/// All that is asked of an authorizer after an update.
fn compare(
    way: &str,
    updated: &Authorizer,
    world: &World,
    asks: &[Ask],
    oracle: &Oracle,
    changes: &[Change],
) -> Result<(), TestCaseError> {
    for ask in asks {
        let expected = oracle.decide(ask);
        let found = ask.with_request(|request| ours(&updated.is_authorized(request)));
        if found != expected {
            let what =
                format!("{way}: found {found:#?}, expected {expected:#?} after {changes:#?}");
            return Err(TestCaseError::fail(reproduction(world, Some(ask), &what)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn updates_are_what_a_fresh_start_would_be(tape in tape()) {
        let mut tape = Tape::new(&tape);
        let (mut world, asks) = tape.world();
        let (Ok(oracle), Ok(authorizer)) = (world.oracle(), world.builder().build()) else {
            return Ok(());
        };
        let unindexed = world
            .builder()
            .tuning(duramen::Tuning::default().with_scope_index(false))
            .build()
            .unwrap();
        let mut session = authorizer.session();
        let mut prepared: Vec<_> = asks
            .iter()
            .filter(|ask| ask.overlay.is_none())
            .filter_map(|ask| ask.with_request(|request| authorizer.prepare(request)).ok().map(|p| (ask, p)))
            .collect();
        let mut state: State = world.entities.iter().map(|e| (e.uid.clone(), e.clone())).collect();
        let (set, mut entities) = (oracle.set, Some(oracle.entities));
        for round in 0..8 {
            let changes = tape.changes();
            let mut next = state.clone();
            let sound = changes.iter().all(|change| model(&mut next, change).is_ok());
            world.entities = next.values().cloned().collect();
            let fresh = world.builder().build();
            let update = changes.iter().fold(EntityUpdate::new(), add);
            let version = authorizer.version();
            let result = authorizer.update_entities(update.clone());
            let again = unindexed.update_entities(update);
            prop_assert_eq!(result.is_ok(), again.is_ok());
            if !sound || fresh.is_err() {
                prop_assert!(result.is_err(), "accepted {:#?}\n{:?}", changes, fresh.err());
                prop_assert_eq!(version, authorizer.version());
                world.entities = state.values().cloned().collect();
            } else {
                let updated = match result {
                    Ok(updated) => updated,
                    Err(error) => {
                        let what = format!("round {round} refused: {error}\n{changes:#?}");
                        return Err(TestCaseError::fail(reproduction(&world, None, &what)));
                    }
                };
                for (uid, change) in updated.changes() {
                    let uid = (uid.type_name().to_owned(), uid.id().to_owned());
                    let expected = expected_change(state.get(&uid), next.get(&uid));
                    prop_assert!(expected.contains(change), "{:?} {:?} {:?}", uid, change, changes);
                }
                let none = updated.changes().iter().all(|(_, change)| *change == EntityChange::Unchanged);
                prop_assert_eq!(updated.version() == version, none);
                entities = entities.and_then(|entities| cedars(entities, &state, &changes));
                state = next;
                prop_assert_eq!(authorizer.entity_count(), state.len());
            }
            let oracle = world.oracle().unwrap();
            compare("updated", &authorizer, &world, &asks, &oracle, &changes)?;
            compare("without index", &unindexed, &world, &asks, &oracle, &changes)?;
            for (ask, prepared) in &mut prepared {
                let found = ours(&session.is_authorized_prepared(prepared));
                prop_assert_eq!(found, oracle.decide(ask), "prepared {:?}", ask);
            }
            if let Some(cedars) = &entities {
                let oracle = Oracle { set: set.clone(), entities: cedars.clone() };
                compare("Cedar's own updates", &authorizer, &world, &asks, &oracle, &changes)?;
            }
        }
    }
}

fn staff() -> Authorizer {
    Authorizer::builder()
        .policies(
            r#"permit(principal in Group::"staff", action, resource) when { principal.level > 1 };"#,
        )
        .entities(
            r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": { "level": 2 },
                  "parents": [{ "type": "Group", "id": "sales" }] },
                { "uid": { "type": "Group", "id": "sales" }, "attrs": {},
                  "parents": [{ "type": "Group", "id": "staff" }] }]"#,
        )
        .build()
        .unwrap()
}

fn allows(authorizer: &Authorizer, user: &str) -> bool {
    let request = Request::new(("User", user), ("Action", "view"), ("Doc", "d"));
    authorizer.is_allowed(&request)
}

#[test]
fn what_changed_is_told() {
    use EntityChange::{Changed, Created, Removed, Replaced, Unchanged};
    let authorizer = staff();
    let changes = |update| {
        let updated = authorizer.update_entities(update).unwrap();
        assert_eq!(updated.version(), authorizer.version());
        let ids = updated.changes().iter();
        ids.map(|(uid, change)| (uid.id().to_owned(), *change))
            .collect::<Vec<_>>()
    };
    let expect = |found: Vec<(String, EntityChange)>, expected: &[(&str, EntityChange)]| {
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, change)| ((*id).to_owned(), *change))
            .collect();
        assert_eq!(found, expected);
    };
    assert!(allows(&authorizer, "alice"));
    let revision = authorizer.version().entity_revision();
    expect(
        changes(EntityUpdate::new().set_attr(("User", "alice"), "level", &1)),
        &[("alice", Changed)],
    );
    assert!(!allows(&authorizer, "alice"));
    assert_eq!(authorizer.version().entity_revision(), revision + 1);
    expect(
        changes(
            EntityUpdate::new()
                .set_attr(("User", "alice"), "level", &1)
                .unset_tag(("User", "alice"), "none")
                .remove_parent(("User", "alice"), ("Group", "none"))
                .unset_attr(("User", "nobody"), "level")
                .remove(("User", "nobody")),
        ),
        &[("alice", Unchanged), ("nobody", Unchanged)],
    );
    assert_eq!(authorizer.version().entity_revision(), revision + 1);
    let bob = Entity::new(("User", "bob"));
    let level = BTreeMap::from([("level", 3)]);
    let parents = [("Group", "sales").into()];
    expect(
        changes(
            EntityUpdate::new()
                .upsert(bob)
                .upsert(bob.attrs(&level).parents(&parents))
                .upsert_json(r#"{ "uid": { "type": "User", "id": "alice" }, "attrs": { "level": 2 }, "parents": [] }"#),
        ),
        &[("bob", Created), ("alice", Replaced)],
    );
    assert!(allows(&authorizer, "bob") && !allows(&authorizer, "alice"));
    expect(
        changes(EntityUpdate::new().remove(("Group", "sales"))),
        &[("sales", Removed), ("bob", Changed)],
    );
    assert!(!allows(&authorizer, "bob"));
    // Adding it again restores nothing.
    let staff = [("Group", "staff").into()];
    expect(
        changes(EntityUpdate::new().upsert(Entity::new(("Group", "sales")).parents(&staff))),
        &[("sales", Created)],
    );
    assert!(!allows(&authorizer, "bob"));
    expect(
        changes(EntityUpdate::new().add_parent(("User", "bob"), ("Group", "sales"))),
        &[("bob", Changed)],
    );
    assert!(allows(&authorizer, "bob"));
}

#[test]
fn all_problems_are_told_and_nothing_is_changed() {
    let authorizer = staff();
    let version = authorizer.version();
    let update = EntityUpdate::new()
        .remove(("User", "alice"))
        .set_attr(("User", "alice"), "level", &3)
        .set_attr(("User", "eve"), "level", &None::<i64>)
        .add_parent(("Group", "staff\n"), ("Group", "sales"))
        .upsert(Entity::new(("No Type", "x")))
        .upsert_json("{ \"uid\":\n oops }")
        .upsert_json(r#"{ "uid": { "type": "User", "id": "mallory" }, "attrs": { "level": null }, "parents": [] }"#);
    let error = authorizer.update_entities(update).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.problems().len(), 6, "{text}");
    for part in [
        "alice",
        "eve",
        "No Type",
        "line 2, column 2",
        "mallory",
        "staff\\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // The parents of actions are actions, as in Cedar's JSON.
    let sales = [("Group", "sales").into()];
    for update in [
        EntityUpdate::new().upsert(Entity::new(("Action", "view")).parents(&sales)),
        EntityUpdate::new().add_parent(("Action", "view"), ("Group", "sales")),
    ] {
        let error = authorizer.update_entities(update).unwrap_err();
        assert!(error.to_string().contains("must be actions"), "{error}");
    }
    let cycle = EntityUpdate::new()
        .upsert(Entity::new(("Group", "staff")).parents(&[("Group", "sales").into()]));
    let error = authorizer.update_entities(cycle).unwrap_err();
    assert!(error.to_string().contains("its own ancestor"), "{error}");
    assert_eq!(authorizer.version(), version);
    assert!(allows(&authorizer, "alice"));
    // What was refused has left nothing behind that a later update would trip over.
    let update = EntityUpdate::new().remove(("Group", "sales"));
    authorizer.update_entities(update).unwrap();
    assert!(!allows(&authorizer, "alice"));
}

#[test]
fn a_group_that_moves_takes_its_members_along() {
    let authorizer = Authorizer::builder()
        .policies(r#"permit(principal in Group::"root", action, resource);"#)
        .build()
        .unwrap();
    let mut update = EntityUpdate::new();
    for i in 0_usize..50 {
        let (id, group) = (i.to_string(), (i % 5).to_string());
        let parents = [("Group", group.as_str()).into(), ("Group", "other").into()];
        update = update.upsert(Entity::new(("User", id.as_str())).parents(&parents));
    }
    for i in 0..5 {
        let id = i.to_string();
        update =
            update.upsert(Entity::new(("Group", id.as_str())).parents(&[("Group", "top").into()]));
    }
    authorizer.update_entities(update).unwrap();
    assert!(!allows(&authorizer, "7"));
    // `top` has had no data until now.
    let root = [("Group", "root").into()];
    let top = Entity::new(("Group", "top")).parents(&root);
    let updated = authorizer
        .update_entities(EntityUpdate::new().upsert(top))
        .unwrap();
    assert_eq!(updated.changes().len(), 1);
    assert!((0_usize..50).all(|i| allows(&authorizer, &i.to_string())));
    let update = EntityUpdate::new().remove_parent(("Group", "2"), ("Group", "top"));
    authorizer.update_entities(update).unwrap();
    assert!((0_usize..50).all(|i| allows(&authorizer, &i.to_string()) == (i % 5 != 2)));
    let update = EntityUpdate::new().add_parent(("User", "7"), ("Group", "root"));
    authorizer.update_entities(update).unwrap();
    assert!(allows(&authorizer, "7") && !allows(&authorizer, "12"));
}

#[test]
fn a_schema_is_kept() {
    let authorizer = Authorizer::builder()
        .schema_str(
            "entity Group; entity User in [Group] { level: Long };
             action view; action edit in [view] appliesTo { principal: User, resource: User };",
        )
        .policies(r#"permit(principal, action in Action::"view", resource);"#)
        .build()
        .unwrap();
    let error = |update| authorizer.update_entities(update).unwrap_err().to_string();
    let alice = Entity::new(("User", "alice"));
    assert!(error(EntityUpdate::new().upsert(alice)).contains("level"));
    let level = BTreeMap::from([("level", 1)]);
    let alice = alice.attrs(&level);
    authorizer
        .update_entities(EntityUpdate::new().upsert(alice))
        .unwrap();
    assert!(
        error(EntityUpdate::new().set_attr(("User", "alice"), "level", &"x")).contains("alice")
    );
    assert!(error(EntityUpdate::new().unset_attr(("User", "alice"), "level")).contains("level"));
    assert!(
        error(EntityUpdate::new().add_parent(("User", "alice"), ("User", "bob"))).contains("bob")
    );
    for update in [
        EntityUpdate::new().remove(("Action", "view")),
        EntityUpdate::new().add_parent(("Action", "view"), ("Action", "edit")),
        EntityUpdate::new().upsert(Entity::new(("Action", "edit"))),
        EntityUpdate::new().set_attr(("Action", "edit"), "a", &1),
    ] {
        assert!(error(update).contains("Action::\"",));
    }
    // As declared is as it is.
    let view = [("Action", "view").into()];
    let edit = Entity::new(("Action", "edit")).parents(&view);
    let version = authorizer.version();
    let updated = authorizer
        .update_entities(EntityUpdate::new().upsert(edit))
        .unwrap();
    assert_eq!(updated.version(), version);
    assert_eq!(authorizer.entity_count(), 3);
}

/// More names come and go than are ever there at once: the tables are made anew, and nobody notices.
#[test]
fn garbage_is_reclaimed_without_a_trace() {
    let authorizer = staff();
    let request = Request::new(("User", "alice"), ("Action", "view"), ("Doc", "d"));
    let stranger = Request::new(("User", "u7-3"), ("Action", "view"), ("Doc", "d"));
    let mut session = authorizer.session();
    let mut prepared = authorizer.prepare(&request).unwrap();
    let mut unknown = authorizer.prepare(&stranger).unwrap();
    let level = BTreeMap::from([("level", 2)]);
    let parents = [("Group", "sales").into()];
    let ids = |round: usize| (0..9_000).map(move |i| format!("u{round}-{i}"));
    for round in 0..12 {
        let mut update = EntityUpdate::new();
        for id in ids(round) {
            let user = Entity::new(("User", id.as_str()));
            update = update.upsert(user.attrs(&level).parents(&parents));
        }
        if let Some(last) = round.checked_sub(1) {
            update = ids(last).fold(update, |update, id| update.remove(("User", id.as_str())));
        }
        authorizer.update_entities(update).unwrap();
        assert_eq!(authorizer.entity_count(), 9_002);
        assert!(session.is_authorized_prepared(&mut prepared).is_allowed());
        assert!(allows(&authorizer, "alice"));
        assert!(allows(&authorizer, &format!("u{round}-8999")));
        assert!(!allows(&authorizer, "u0-1") || round == 0);
        let found = session.is_authorized_prepared(&mut unknown).is_allowed();
        assert_eq!(found, round == 7);
    }
}

/// What changes in one update is seen whole: user and document always have the same number, and the user is in the one
/// group that has it.
#[test]
fn readers_see_all_of_an_update_or_nothing() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal in Group::"all", action, resource)
               when { principal.n == resource.n && principal in resource.group };"#,
        )
        .build()
        .unwrap();
    let update = |n: usize| {
        let (group, old) = (format!("g{}", n % 7), format!("g{}", (n + 6) % 7));
        let group = group.as_str();
        let attrs = BTreeMap::from([("n", n)]);
        let of = duramen::values::EntityRef::new("Group", group);
        let parents = [("Group", group).into()];
        let all = [("Group", "all").into()];
        EntityUpdate::new()
            .upsert(Entity::new(("User", "u")).attrs(&attrs).parents(&parents))
            .upsert(Entity::new(("Doc", "d")).attrs(&attrs))
            .set_attr(("Doc", "d"), "group", &of)
            // Names that are met for the first time, and entities that go.
            .upsert(Entity::new(("Session", format!("s{n}").as_str())).parents(&parents))
            .remove(("Session", format!("s{}", n.wrapping_sub(3)).as_str()))
            .upsert(Entity::new(("Group", group)).parents(&all))
            .remove(("Group", old.as_str()))
    };
    authorizer.update_entities(update(0)).unwrap();
    let (stop, decided) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (authorizer, stop, decided) = (&authorizer, &stop, &decided);
            scope.spawn(move || {
                let request = &Request::new(("User", "u"), ("Action", "view"), ("Doc", "d"));
                let mut session = authorizer.session();
                let mut prepared = authorizer.prepare(request).unwrap();
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let response = match reader {
                        0 => authorizer.is_authorized(request),
                        1 => session.is_authorized(request),
                        _ => session.is_authorized_prepared(&mut prepared),
                    };
                    assert!(response.is_allowed(), "{response:?}");
                    assert!(response.version().epoch() >= last);
                    last = response.version().epoch();
                    decided.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 1..3_000 {
            authorizer.update_entities(update(n)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(decided.into_inner() > 1_000);
    assert_eq!(authorizer.version().epoch(), 3_001);
    assert_eq!(authorizer.entity_count(), 3 + 3);
}
