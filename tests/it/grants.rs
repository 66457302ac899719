//! Grants: current exactly as long as deciding afresh allows, and told of when not.

mod chains;
mod time;
pub(crate) mod worlds;
mod writers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::grant::{Change, Grant, GrantTable, Revocation, RevocationReason};
use duramen::{Authorizer, Entity, EntityUpdate, Outcome, Policies, PolicyUpdate, Request};
use serde_json::json;

fn use_machine(user: &str) -> Request<'_> {
    Request::new(("User", user), ("Action", "use"), ("Machine", "m"))
}

fn staff(sink: Option<&Arc<MemorySink>>) -> Authorizer {
    let builder = Authorizer::builder()
        .policies(
            r#"@step_up("mfa") permit(principal in Group::"staff", action, resource) unless { principal.suspended };
               @step_up("phone") forbid(principal, action, resource)
               when { context has outside && context.outside && !context.mfa };"#,
        )
        .entities(
            r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": { "suspended": false, "seen": 0 },
                  "parents": [{ "type": "Group", "id": "sales" }] },
                { "uid": { "type": "User", "id": "bob" }, "attrs": { "suspended": false, "seen": 0 },
                  "parents": [{ "type": "Group", "id": "staff" }] },
                { "uid": { "type": "Group", "id": "sales" }, "attrs": { "size": 1 },
                  "parents": [{ "type": "Group", "id": "staff" }] }]"#,
        );
    match sink {
        Some(sink) => builder.sink(Arc::clone(sink)).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

fn suspend(user: &str) -> EntityUpdate {
    EntityUpdate::new().set_attr(("User", user), "suspended", &true)
}

/// The records of decisions that were made again, since there were so many.
fn rechecks(sink: &MemorySink, before: usize) -> Vec<OwnedRecord> {
    let records = sink.records().into_iter().skip(before);
    records.filter(|record| record.rechecks.is_some()).collect()
}

#[test]
fn only_an_allow_makes_a_grant() {
    let authorizer = staff(None);
    let table = GrantTable::new(&authorizer);
    for denied in [
        authorizer.grant(&use_machine("eve")),
        authorizer.grant_for(&use_machine("eve"), Duration::from_secs(1)),
        table.grant(&use_machine("eve")),
        table.grant_for(&use_machine("eve"), Duration::from_secs(1)),
    ] {
        assert_eq!(denied.unwrap_err().outcome(), Outcome::NoPermit);
    }
    let wrong = use_machine("alice").context_json("{");
    assert_eq!(
        authorizer.grant(&wrong).unwrap_err().outcome(),
        Outcome::InvalidRequest
    );
    assert!(table.is_empty());
    let grant = authorizer.grant(&use_machine("alice")).unwrap();
    assert!(grant.is_current() && grant.revocation().is_none());
    assert_eq!(grant.principal().id(), "alice");
    assert_eq!((grant.action().id(), grant.resource().id()), ("use", "m"));
    assert_eq!(grant.sequence(), None, "there is no sink");
}

#[test]
fn a_change_touches_the_grants_that_rest_on_it() {
    let sink = Arc::new(MemorySink::new(1000));
    let authorizer = staff(Some(&sink));
    let table = GrantTable::new(&authorizer);
    let alice = table.grant(&use_machine("alice")).unwrap();
    let bob = table.grant(&use_machine("bob")).unwrap();
    let alone = authorizer.grant(&use_machine("alice")).unwrap();
    let mut before = sink.records().len();
    assert_eq!(before, 3);
    // What nothing rests on: an attribute that no policy reads, of a user and of a group; strangers.
    for update in [
        EntityUpdate::new().set_attr(("User", "alice"), "seen", &1),
        EntityUpdate::new().set_attr(("Group", "sales"), "size", &2),
        EntityUpdate::new()
            .upsert(Entity::new(("User", "carol")).parents(&[("Group", "staff").into()])),
        EntityUpdate::new().set_tag(("User", "bob"), "t", &1),
    ] {
        authorizer.update_entities(update).unwrap();
        assert!(alone.is_current() && alice.is_current());
        assert_eq!(sink.records().len(), before);
    }
    // Where she is: hers, and not his.
    let add = EntityUpdate::new().add_parent(("Group", "sales"), ("Group", "all"));
    authorizer.update_entities(add).unwrap();
    assert!(alone.is_current());
    let again = rechecks(&sink, before);
    assert_eq!(again.len(), 2);
    assert_eq!(again[0].rechecks, alice.sequence());
    assert_eq!(again[1].rechecks, alone.sequence());
    assert_eq!(again[0].principal.id(), "alice");
    assert!(
        again
            .iter()
            .all(|record| record.outcome == Outcome::Allowed)
    );
    before = sink.records().len();
    // And what she is.
    let (_, revoked) =
        table.revoked_by(|authorizer| authorizer.update_entities(suspend("alice")).unwrap());
    assert!(!alone.is_current() && !alice.is_current() && bob.is_current());
    let again = rechecks(&sink, before);
    assert_eq!(again.len(), 2);
    let [revocation] = &revoked[..] else {
        panic!("{revoked:?}")
    };
    assert_eq!(revocation.grant(), alice.id());
    assert_eq!(revocation.outcome(), Some(Outcome::NoPermit));
    assert_eq!(revocation.version(), authorizer.version());
    assert_eq!(revocation.sequence(), Some(again[0].sequence));
    assert_eq!(revocation.rechecks(), alice.sequence());
    let Some(Change::Entities(changes)) = revocation.change() else {
        panic!("{revocation:?}")
    };
    assert_eq!(changes[0].0.id(), "alice");
    assert!(
        revocation.to_string().contains("no permit matched"),
        "{revocation}"
    );
    // Once it is over it is over.
    let back = EntityUpdate::new().set_attr(("User", "alice"), "suspended", &false);
    let (_, revoked) = table.revoked_by(|authorizer| authorizer.update_entities(back).unwrap());
    assert!(revoked.is_empty() && !alice.is_current() && !alone.is_current());
    assert!(alone.revocation().unwrap().change().is_none());
    assert!(authorizer.is_allowed(&use_machine("alice")));
}

#[test]
fn policies_concern_those_in_their_scope() {
    let sink = Arc::new(MemorySink::new(1000));
    let authorizer = staff(Some(&sink));
    let table = GrantTable::new(&authorizer);
    let alice = table.grant(&use_machine("alice")).unwrap();
    let bob = table.grant(&use_machine("bob")).unwrap();
    let touched = |update: PolicyUpdate| {
        let before = sink.records().len();
        authorizer.update_policies(update).unwrap();
        let again = rechecks(&sink, before);
        let mut who: Vec<_> = again
            .iter()
            .map(|record| record.principal.id().to_owned())
            .collect();
        who.sort();
        who
    };
    let text = |scope: &str| format!("permit({scope}) when {{ principal.seen == 0 }};");
    let add = |id: &str, scope: &str| PolicyUpdate::new().add(id, text(scope));
    assert_eq!(
        touched(add("a", r#"principal == User::"eve", action, resource"#)),
        [""; 0]
    );
    assert_eq!(
        touched(add("b", r#"principal in Group::"sales", action, resource"#)),
        ["alice"]
    );
    assert_eq!(
        touched(add(
            "c",
            r#"principal in Group::"staff", action, resource == Machine::"n""#
        )),
        [""; 0]
    );
    assert_eq!(
        touched(add(
            "d",
            r#"principal is User in Group::"staff", action, resource"#
        )),
        ["alice", "bob"]
    );
    assert_eq!(
        touched(add("e", r#"principal, action == Action::"see", resource"#)),
        [""; 0]
    );
    assert_eq!(
        touched(add(
            "f",
            r#"principal, action in [Action::"see", Action::"use"], resource"#
        )),
        ["alice", "bob"]
    );
    assert_eq!(
        touched(add("g", "principal is User, action, resource")),
        ["alice", "bob"]
    );
    assert_eq!(touched(PolicyUpdate::new().remove("b")), ["alice"]);
    // A policy that is replaced concerns those of both.
    let replaced = text(r#"principal == User::"bob", action, resource"#);
    assert_eq!(touched(PolicyUpdate::new().replace("a", replaced)), ["bob"]);
    assert_eq!(
        touched(
            PolicyUpdate::new()
                .add_template("t", "forbid(principal == ?principal, action, resource);")
        ),
        [""; 0]
    );
    assert_eq!(
        touched(PolicyUpdate::new().link("t", "lockout", Some(("User", "bob").into()), None)),
        ["bob"]
    );
    assert!(alice.is_current() && !bob.is_current());
    let revocation = bob.revocation().unwrap();
    assert_eq!(revocation.outcome(), Some(Outcome::Forbidden));
    assert_eq!(revocation.determining()[0].as_str(), "lockout");
    assert_eq!(
        revocation.change(),
        Some(&Change::Policies(vec!["lockout".into()]))
    );
    let RevocationReason::Denied(response) = revocation.reason() else {
        panic!()
    };
    assert_eq!(response.version, revocation.version());
    // A replacement concerns all that are left.
    authorizer.replace_policies(Policies::new()).unwrap();
    assert_eq!(
        alice.revocation().unwrap().change(),
        Some(&Change::Everything)
    );
}

/// A condition may ask for a tag by a name that neither policies nor entities know yet.
#[test]
fn a_tag_that_nobody_knew_ends_a_grant() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) unless { principal.hasTag(context.topic) };")
        .entities(r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [] }]"#)
        .build()
        .unwrap();
    let topic = BTreeMap::from([("topic", "unheard-of")]);
    let grant = authorizer
        .grant(&use_machine("alice").context(&topic))
        .unwrap();
    let tag = |name| EntityUpdate::new().set_tag(("User", "alice"), name, &1);
    authorizer.update_entities(tag("other")).unwrap();
    assert!(grant.is_current());
    authorizer.update_entities(tag("unheard-of")).unwrap();
    assert!(!grant.is_current());
}

/// What a grant rests on changes with what it is decided on again; the table follows.
#[test]
fn a_table_follows_what_a_grant_rests_on() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal in Group::"staff", action, resource);
               forbid(principal in Group::"banned", action, resource);"#,
        )
        .entities(
            r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [{ "type": "Group", "id": "staff" }] },
                { "uid": { "type": "Group", "id": "staff" }, "attrs": {}, "parents": [] },
                { "uid": { "type": "Group", "id": "club" }, "attrs": {}, "parents": [] }]"#,
        )
        .build()
        .unwrap();
    let table = GrantTable::new(&authorizer);
    let grant = table.grant(&use_machine("alice")).unwrap();
    let add = |below, above| EntityUpdate::new().add_parent(below, above);
    let join = add(("User", "alice"), ("Group", "club"));
    authorizer.update_entities(join).unwrap();
    assert!(grant.revocation().is_none());
    let ban = add(("Group", "club"), ("Group", "banned"));
    let (_, revoked) = table.revoked_by(|authorizer| authorizer.update_entities(ban).unwrap());
    assert_eq!(revoked.len(), 1);
    assert_eq!(
        grant.revocation().unwrap().outcome(),
        Some(Outcome::Forbidden)
    );
}

/// By its name, also where the tag is not there yet.
#[test]
fn a_tag_that_a_policy_names_ends_a_grant() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal, action == Action::"use", resource) unless { principal.hasTag("hold") };
               permit(principal, action == Action::"see", resource) when { principal.getTag("team") == "red" };"#,
        )
        .entities(r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": {}, "tags": { "team": "red" }, "parents": [] }]"#)
        .build()
        .unwrap();
    let uses = authorizer.grant(&use_machine("alice")).unwrap();
    let see = Request::new(("User", "alice"), ("Action", "see"), ("Machine", "m"));
    let sees = authorizer.grant(&see).unwrap();
    let tag = |name, value| EntityUpdate::new().set_tag(("User", "alice"), name, value);
    authorizer.update_entities(tag("other", &"red")).unwrap();
    assert!(uses.is_current() && sees.is_current());
    authorizer.update_entities(tag("hold", &"yes")).unwrap();
    assert!(!uses.is_current() && sees.is_current());
    authorizer.update_entities(tag("team", &"blue")).unwrap();
    assert!(!sees.is_current());
}

/// The request's own entities count, whether a policy reads them or not: a request that makes a cycle is denied.
#[test]
fn a_cycle_with_entities_that_no_policy_reads_ends_a_grant() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let parents = [("Folder", "f").into()];
    let entities = [Entity::new(("Draft", "d")).parents(&parents)];
    let request = use_machine("alice").entities(&entities);
    let grant = authorizer.grant(&request).unwrap();
    let place = |above| EntityUpdate::new().add_parent(("Folder", "f"), above);
    let upsert = EntityUpdate::new().upsert(Entity::new(("Folder", "f")));
    authorizer.update_entities(upsert).unwrap();
    authorizer.update_entities(place(("Folder", "g"))).unwrap();
    assert!(grant.is_current());
    authorizer.update_entities(place(("Draft", "d"))).unwrap();
    assert!(!authorizer.is_allowed(&request));
    assert!(!grant.is_current());
}

#[test]
fn a_fresh_context_counts_from_then_on() {
    let sink = Arc::new(MemorySink::new(1000));
    let authorizer = staff(Some(&sink));
    let at = |outside: bool, mfa: bool| BTreeMap::from([("outside", outside), ("mfa", mfa)]);
    let table = GrantTable::new(&authorizer);
    for grant in [
        authorizer
            .grant(&use_machine("alice").context(&at(false, false)))
            .unwrap(),
        table
            .grant(&use_machine("alice").context(&at(false, false)))
            .unwrap(),
    ] {
        assert_eq!(grant.step_up(), ["mfa"]);
        assert!(grant.is_current_with(&at(true, true)));
        let record = sink.records().pop().unwrap();
        assert_eq!(record.rechecks, grant.sequence());
        assert_eq!(record.context.unwrap()["outside"], true);
        // What she brought last is what is decided with.
        let forbid =
            "forbid(principal, action, resource) when { context has outside && context.outside };";
        authorizer
            .update_policies(PolicyUpdate::new().add("inside", forbid))
            .unwrap();
        assert!(!grant.is_current());
        authorizer
            .update_policies(PolicyUpdate::new().remove("inside"))
            .unwrap();
        assert!(!grant.is_current_with(&at(false, false)), "it has ended");
    }
    let told = Arc::new(AtomicUsize::new(0));
    let grant = authorizer.grant(&use_machine("alice")).unwrap();
    let count = Arc::clone(&told);
    grant.on_revoked(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert!(grant.is_current_with_json(r#"{ "outside": true, "mfa": true }"#));
    assert!(!grant.is_current_with_json(r#"{ "outside": true, "mfa": false }"#));
    let revocation = grant.revocation().unwrap();
    assert_eq!(revocation.outcome(), Some(Outcome::Forbidden));
    assert!(!grant.is_current() && told.load(Ordering::Relaxed) == 1);
    // A context that cannot be read is no reason to go on.
    let grant = authorizer.grant(&use_machine("alice")).unwrap();
    assert!(!grant.is_current_with_json("{"));
    assert_eq!(
        grant.revocation().unwrap().outcome(),
        Some(Outcome::InvalidRequest)
    );
}

/// What was asked with is what is asked with again: all kinds of values, names that nobody knows, entities of the request.
#[test]
fn a_grant_keeps_the_whole_request() {
    let sink = Arc::new(MemorySink::new(10));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) when { resource.owner == principal };")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let context = r#"{ "b": true, "i": -7, "s": "é", "e": { "__entity": { "type": "No::Body", "id": "\n" } },
        "set": [1, "1", [], {}], "r": { "deep": { "x": [[{ "__extn": { "fn": "ip", "arg": "::1/64" } }]] } },
        "d": { "__extn": { "fn": "decimal", "arg": "-0.0001" } }, "ip": { "__extn": { "fn": "ip", "arg": "10.0.0.0/8" } },
        "t": { "__extn": { "fn": "datetime", "arg": "2024-01-01T00:00:00.001Z" } }, "f": false,
        "p": { "__extn": { "fn": "duration", "arg": "-1ms" } } }"#;
    let entities = r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "owner": { "__entity": { "type": "User", "id": "u" } },
        "n": 1 }, "tags": { "k": "v" }, "parents": [{ "type": "Folder", "id": "f" }] }]"#;
    let request = Request::new(("User", "u"), ("Action", "read"), ("Doc", "d"))
        .context_json(context)
        .entities_json(entities)
        .request_id("r1")
        .trace("t1", "s1");
    let grant = authorizer.grant(&request).unwrap();
    let add = "permit(principal, action, resource) when { resource.n == 1 && resource.getTag(\"k\") == \"v\" && resource in Folder::\"f\" };";
    authorizer
        .update_policies(PolicyUpdate::new().add("more", add))
        .unwrap();
    assert!(grant.is_current());
    let [first, again] = &sink.records()[..] else {
        panic!()
    };
    assert_eq!(
        (first.rechecks, again.rechecks),
        (None, Some(first.sequence))
    );
    assert_eq!(first.context, again.context);
    assert_eq!(again.determining.len(), 2);
    assert_eq!(again.request_id.as_deref(), Some("r1"));
    assert_eq!(again.trace, first.trace);
    let inputs = again.inputs.as_ref().unwrap().to_cedar_entities().unwrap();
    let doc = inputs
        .as_array()
        .unwrap()
        .iter()
        .find(|entity| entity["uid"]["id"] == "d")
        .unwrap();
    assert_eq!(doc["tags"]["k"], "v");
    // An update that makes a cycle with the request's entities leaves nothing to decide on.
    let cycle =
        EntityUpdate::new().upsert(Entity::new(("Folder", "f")).parents(&[("Doc", "d").into()]));
    authorizer.update_entities(cycle).unwrap();
    assert!(!grant.is_current());
    assert_eq!(
        grant.revocation().unwrap().outcome(),
        Some(Outcome::InvalidRequest)
    );
}

#[test]
fn holders_are_told_with_no_lock_held_and_may_panic() {
    let authorizer = staff(None);
    let table = GrantTable::new(&authorizer);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (Arc::clone(&told), Arc::clone(&told));
    let (inner, again) = (table.clone(), authorizer.clone());
    let last = Mutex::new(table.revocations());
    table.on_revoked(|_| panic!("a callback that panics"));
    table.on_revoked(move |revocation| {
        // All of this would wait for ever under a lock.
        assert!(!inner.is_empty());
        let grant = inner.grant(&use_machine("bob")).unwrap();
        drop(grant);
        // The channels have the one before, and not yet this one.
        let before = last.lock().unwrap();
        let mut before = before.try_iter().map(|r| r.grant());
        assert!(before.all(|id| id < revocation.grant()));
        let level =
            EntityUpdate::new().set_attr(("User", "bob"), "seen", &revocation.version().epoch());
        again.update_entities(level).unwrap();
        first.lock().unwrap().push(revocation.grant());
    });
    let gone = table.revocations();
    drop(gone);
    let channel = table.revocations();
    let alice = table.grant(&use_machine("alice")).unwrap();
    alice.on_revoked(|_| panic!("replaced"));
    alice.on_revoked(move |revocation| second.lock().unwrap().push(revocation.grant()));
    let other = table.grant(&use_machine("alice")).unwrap();
    other.on_revoked(|_| panic!("a callback that panics"));
    let (_, revoked) =
        table.revoked_by(|authorizer| authorizer.update_entities(suspend("alice")).unwrap());
    let (a, b) = (alice.id(), other.id());
    assert_eq!(*told.lock().unwrap(), [a, a, b]);
    assert_eq!(
        channel.try_iter().map(|r| r.grant()).collect::<Vec<_>>(),
        [a, b]
    );
    assert_eq!(
        revoked.iter().map(|r| r.grant()).collect::<Vec<_>>(),
        [a, b]
    );
    // One that comes too late is called at once.
    let late = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&late);
    alice.on_revoked(move |_| flag.store(true, Ordering::Relaxed));
    assert!(late.load(Ordering::Relaxed));
}

/// A grant that ends asks the clock at each look. While that panics, the others are told of all the same.
#[test]
fn a_clock_that_panics_keeps_no_other_grant_from_being_told() {
    let broken = Arc::new(AtomicBool::new(false));
    let clock = Arc::clone(&broken);
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) unless { resource has off };")
        .clock(move || {
            assert!(!clock.load(Ordering::Relaxed), "the clock is broken");
            SystemTime::UNIX_EPOCH
        })
        .build()
        .unwrap();
    let table = GrantTable::new(&authorizer);
    let told = table.revocations();
    let hour = Duration::from_secs(3600);
    let before = table.grant(&use_machine("ann")).unwrap();
    let ends = table.grant_for(&use_machine("ann"), hour).unwrap();
    let behind = table.grant(&use_machine("bob")).unwrap();
    broken.store(true, Ordering::Relaxed);
    let off = EntityUpdate::new().upsert(Entity::new(("Machine", "m")).attrs(&json!({ "off": 1 })));
    let (_, revoked) = table.revoked_by(|authorizer| authorizer.update_entities(off).unwrap());
    let ids = |revoked: &[Arc<Revocation>]| revoked.iter().map(|r| r.grant()).collect::<Vec<_>>();
    assert_eq!(ids(&revoked), [before.id(), behind.id()]);
    assert_eq!(ids(&told.try_iter().collect::<Vec<_>>()), ids(&revoked));
    broken.store(false, Ordering::Relaxed);
    assert!(!ends.is_current());
    assert_eq!(ids(&told.try_iter().collect::<Vec<_>>()), [ends.id()]);
}

/// What a callback has captured may ask anything when it goes, too.
#[test]
fn a_callback_is_replaced_with_no_lock_held() {
    struct Asks(Arc<Grant>);

    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(self.0.revocation().is_none());
        }
    }

    let authorizer = staff(None);
    let grant = Arc::new(authorizer.grant(&use_machine("alice")).unwrap());
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let asks = Asks(Arc::clone(&grant));
        grant.on_revoked(move |_| drop(asks));
        grant.on_revoked(|_| {});
        done.send(()).unwrap();
    });
    let waited = is_done.recv_timeout(Duration::from_secs(30));
    waited.expect("the replaced callback waits for a lock");
}

/// Also in the midst of a change that takes it back; and a callback may drop its own.
#[test]
fn what_a_callback_drops_is_told_no_more() {
    let authorizer = staff(None);
    let table = GrantTable::new(&authorizer);
    let channel = table.revocations();
    let first = table.grant(&use_machine("alice")).unwrap();
    let second = table.grant(&use_machine("alice")).unwrap();
    let id = first.id();
    let told = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&told);
    second.on_revoked(move |_| flag.store(true, Ordering::Relaxed));
    let held = Arc::new(Mutex::new(Vec::new()));
    let both = Arc::clone(&held);
    first.on_revoked(move |_| drop(std::mem::take(&mut *both.lock().unwrap())));
    held.lock().unwrap().extend([first, second]);
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let (_, revoked) =
            table.revoked_by(|authorizer| authorizer.update_entities(suspend("alice")).unwrap());
        let revoked: Vec<_> = revoked.iter().map(|r| r.grant()).collect();
        done.send((revoked, table.len())).unwrap();
    });
    let waited = is_done.recv_timeout(Duration::from_secs(30));
    assert_eq!(waited.expect("a drop waits for a lock"), (vec![id], 0));
    assert!(!told.load(Ordering::Relaxed));
    let told: Vec<_> = channel.try_iter().map(|r| r.grant()).collect();
    assert_eq!(told, [id]);
}

#[test]
fn a_grant_that_is_dropped_is_forgotten() {
    let sink = Arc::new(MemorySink::new(10_000));
    let authorizer = staff(Some(&sink));
    let table = GrantTable::new(&authorizer);
    let grants: Vec<Grant> = (0..200)
        .map(|_| table.grant(&use_machine("alice")).unwrap())
        .collect();
    let other = table.grant(&use_machine("bob")).unwrap();
    let mut left = grants.into_iter();
    for _ in 0..199 {
        drop(left.next());
        // Places are used again, by grants that rest on other things.
        drop(table.grant(&use_machine("bob")).unwrap());
    }
    assert_eq!(table.len(), 2);
    let before = sink.records().len();
    authorizer.update_entities(suspend("alice")).unwrap();
    assert_eq!(rechecks(&sink, before).len(), 1);
    assert!(other.is_current());
    drop(left);
    drop(other);
    assert!(table.is_empty() && format!("{table:?}").contains("keys: 0"));
    // The table is there as long as a grant is.
    let last = table.grant(&use_machine("bob")).unwrap();
    drop(table);
    authorizer.update_entities(suspend("bob")).unwrap();
    assert!(last.revocation().is_some());
}
