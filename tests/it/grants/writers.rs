//! Grants among threads that change what they rest on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use duramen::grant::{Grant, GrantTable, Revocation};
use duramen::{Authorizer, Entity, EntityUpdate};

use super::use_machine;

/// What another thread takes back meanwhile is not counted, also where the change concerns it.
#[test]
fn what_others_take_back_is_not_counted() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) unless { resource.level > principal.max || principal.off };")
        .entities(
            r#"[{ "uid": { "type": "Machine", "id": "m" }, "attrs": { "level": 1 }, "parents": [] },
                { "uid": { "type": "User", "id": "ann" }, "attrs": { "max": 1, "off": false }, "parents": [] },
                { "uid": { "type": "User", "id": "bob" }, "attrs": { "max": 9, "off": false }, "parents": [] }]"#,
        )
        .build()
        .unwrap();
    let table = GrantTable::new(&authorizer);
    let ann = table.grant(&use_machine("ann")).unwrap();
    let bob = table.grant(&use_machine("bob")).unwrap();
    let (counted, others) = mpsc::channel();
    let another = table.clone();
    ann.on_revoked(move |_| {
        let other = std::thread::spawn(move || {
            let off = EntityUpdate::new().set_attr(("User", "bob"), "off", &true);
            another.revoked_by(|authorizer| authorizer.update_entities(off).unwrap())
        });
        let (_, revoked) = other.join().unwrap();
        counted.send(revoked).unwrap();
    });
    let level = EntityUpdate::new().set_attr(("Machine", "m"), "level", &2);
    let (_, revoked) = table.revoked_by(|authorizer| authorizer.update_entities(level).unwrap());
    let ids = |revoked: &[Arc<Revocation>]| revoked.iter().map(|r| r.grant()).collect::<Vec<_>>();
    assert_eq!(ids(&revoked), [ann.id()]);
    assert_eq!(ids(&others.try_recv().unwrap()), [bob.id()]);
}

/// A grant alone, one in a table, and whether the update that takes them back has returned.
type Kept = (Grant, Grant, AtomicBool);

/// Never is a grant current after an update that takes it back has returned, whoever else writes and looks; and each is
/// told of once.
#[test]
fn no_revocation_is_missed_among_writers() {
    const USERS: usize = 4;
    const ROUNDS: u64 = 250;
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal, action, resource)
               when { principal.round == context.round && principal in Group::"in" };"#,
        )
        .build()
        .unwrap();
    let users: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
    let inside = |user: &str, round: u64| {
        let attrs = BTreeMap::from([("round", round)]);
        let parents = [("Group", user).into()];
        let update = EntityUpdate::new()
            .upsert(Entity::new(("User", user)).attrs(&attrs).parents(&parents))
            .upsert(Entity::new(("Group", user)).parents(&[("Group", "in").into()]));
        authorizer.update_entities(update).unwrap();
    };
    let table = GrantTable::new(&authorizer);
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    table.on_revoked(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (stop, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let current: Vec<Mutex<Option<Arc<Kept>>>> = users.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (stop, looks, current) = (&stop, &looks, &current);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for place in current {
                        let Some(kept) = place.lock().unwrap().clone() else {
                            continue;
                        };
                        let (alone, tabled, over) = &*kept;
                        let was_over = over.load(Ordering::Acquire);
                        assert!(!(alone.is_current() && was_over), "alone");
                        assert!(!(tabled.is_current() && was_over), "in the table");
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let writers: Vec<_> = users
            .iter()
            .zip(&current)
            .map(|(user, place)| {
                let (authorizer, table, inside) = (&authorizer, &table, &inside);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        inside(user, round);
                        let context = BTreeMap::from([("round", round)]);
                        let request = use_machine(user).context(&context);
                        let grants = (
                            authorizer.grant(&request).unwrap(),
                            table.grant(&request).unwrap(),
                            AtomicBool::new(false),
                        );
                        assert!(grants.0.is_current() && grants.1.is_current());
                        let kept = Arc::new(grants);
                        *place.lock().unwrap() = Some(Arc::clone(&kept));
                        // What concerns nobody, then what does: its group, its place in it, its attribute.
                        let id = format!("x{round}");
                        authorizer
                            .update_entities(
                                EntityUpdate::new().upsert(Entity::new(("User", id.as_str()))),
                            )
                            .unwrap();
                        assert!(kept.0.is_current());
                        let update = EntityUpdate::new();
                        let update = match round % 3 {
                            0 => update.remove_parent(("Group", user.as_str()), ("Group", "in")),
                            1 => update
                                .remove_parent(("User", user.as_str()), ("Group", user.as_str())),
                            _ => update.set_attr(("User", user.as_str()), "round", &-1),
                        };
                        let (_, revoked) = table
                            .revoked_by(|authorizer| authorizer.update_entities(update).unwrap());
                        kept.2.store(true, Ordering::Release);
                        assert!(kept.1.revocation().is_some(), "the table has not looked");
                        assert!(!kept.0.is_current() && !kept.1.is_current());
                        assert_eq!(
                            revoked.iter().map(|r| r.grant()).collect::<Vec<_>>(),
                            [kept.1.id()]
                        );
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(looks.load(Ordering::Relaxed) > 100);
    assert_eq!(told.load(Ordering::Relaxed), USERS as u64 * ROUNDS);
    drop(current);
    assert!(table.is_empty());
}
