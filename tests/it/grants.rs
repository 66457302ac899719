//! Grants: current exactly as long as deciding afresh allows, and told of when not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::grant::{Change, Grant, GrantTable, RevocationReason};
use duramen::{
    Authorizer, DataSource, Delegation, Entity, EntityUidRef, EntityUpdate, Freshness, Outcome,
    Policies, PolicyUpdate, Request,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::delegation::{ACTOR, DELEGATOR, SUBJECT, chain_of};
use super::entity_updates::{State, add, model};
use super::generate::{Tape, config, tape};
use super::oracle::{Ask, World, reproduction, uid_ref};
use super::value::{Uid, entities_json};

/// The grant of an ask, if there is one, and whether it must be current.
struct Held<'a> {
    asked_for: &'a (Ask, Vec<Uid>),
    /// Asked after every change.
    asked: Grant,
    /// Asked at the end only.
    forgotten: Grant,
    /// In a table and never asked before the end.
    tabled: Grant,
    live: bool,
}

/// The request of an ask, with those who act for its principal, if somebody does.
fn with_chain<R>((ask, chain): &(Ask, Vec<Uid>), use_it: impl FnOnce(&Request<'_>) -> R) -> R {
    let actors: Vec<EntityUidRef<'_>> = chain[1..].iter().map(uid_ref).collect();
    let delegation = Delegation::new(&actors)
        .actor_as(ACTOR)
        .subject_as(SUBJECT)
        .delegator_as(DELEGATOR);
    ask.with_request(|request| match actors.is_empty() {
        true => use_it(request),
        false => use_it(&request.delegation(&delegation)),
    })
}

/// Makes one change of anything; what it was.
fn change(
    tape: &mut Tape<'_>,
    authorizer: &Authorizer,
    world: &mut World,
    state: &mut State,
) -> String {
    match tape.below(10) {
        0..5 => {
            let changes = tape.changes();
            let update = changes.iter().fold(EntityUpdate::new(), add);
            let mut next = state.clone();
            let sound = changes
                .iter()
                .all(|change| model(&mut next, change).is_ok());
            if authorizer.update_entities(update).is_ok() && sound {
                *state = next;
                world.entities = state.values().cloned().collect();
            }
            format!("{changes:?}")
        }
        5..8 => {
            let mut update = PolicyUpdate::new();
            for _ in 0..1 + tape.below(2) {
                let id = tape
                    .pick(&["policy0", "policy1", "policy2", "n0", "n1", "t"])
                    .to_owned();
                let uid = tape.ask().principal;
                let mut text = String::new();
                let template = tape.policy(&mut text).is_some();
                update = match tape.below(6) {
                    0..2 if template => update.add_template(id, text),
                    0..2 => update.add(id, text),
                    2 => update.replace(id, text),
                    3 => update.remove(id),
                    4 => update.link("t", id, Some(uid_ref(&uid)), None),
                    _ => update.unlink(id),
                };
            }
            let what = format!("{update:?}");
            let result = authorizer.update_policies(update);
            format!("{what}: {}", result.is_ok())
        }
        8 => {
            // Other entities, or the same ones anew.
            let (other, _) = tape.world();
            if tape.chance(50)
                && authorizer
                    .replace_entities(entities_json(&other.entities).as_str())
                    .is_ok()
            {
                *state = other
                    .entities
                    .iter()
                    .map(|e| (e.uid.clone(), e.clone()))
                    .collect();
                world.entities = other.entities;
                return "other entities".into();
            }
            let same = entities_json(&world.entities);
            let _ = authorizer.replace_entities(same.as_str());
            "the same entities".into()
        }
        _ => {
            let result = if tape.chance(50) {
                authorizer.replace_policies(world.policies()).is_ok()
            } else {
                let entities = entities_json(&world.entities);
                authorizer
                    .replace_all(world.policies(), entities.as_str())
                    .is_ok()
            };
            format!("policies anew: {result}")
        }
    }
}

static MADE: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);
static CHAINS: AtomicUsize = AtomicUsize::new(0);
static CHAINS_ENDED: AtomicUsize = AtomicUsize::new(0);

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn the_live_grants_are_those_that_would_be_made_again(tape in tape(), permissive in any::<bool>()) {
        let mut tape = Tape::new(&tape);
        let (mut world, asks) = tape.world();
        if permissive {
            // Behind the others, so that links keep their templates.
            world.policies.push_str("\npermit(principal, action, resource);");
        }
        let Ok(authorizer) = world.builder().build() else { return Ok(()) };
        let table = GrantTable::new(&authorizer);
        let revocations = table.revocations();
        let asks: Vec<_> = asks.into_iter().map(|ask| chain_of(&mut tape, ask)).collect();
        let mut held = Vec::new();
        for asked_for in &asks {
            with_chain(asked_for, |request| {
                let allowed = authorizer.is_allowed(request);
                let grants = [authorizer.grant(request), authorizer.grant(request), table.grant(request)];
                prop_assert!(grants.iter().all(|grant| grant.is_ok() == allowed));
                if let [Ok(asked), Ok(forgotten), Ok(tabled)] = grants {
                    held.push(Held { asked_for, asked, forgotten, tabled, live: true });
                }
                Ok(())
            })?;
        }
        MADE.fetch_add(held.len(), Ordering::Relaxed);
        CHAINS.fetch_add(held.iter().filter(|held| held.asked_for.1.len() > 1).count(), Ordering::Relaxed);
        let mut state: State = world.entities.iter().map(|e| (e.uid.clone(), e.clone())).collect();
        let mut log = Vec::new();
        for _ in 0..10 {
            log.push(change(&mut tape, &authorizer, &mut world, &mut state));
            let told: BTreeSet<_> = revocations.try_iter().map(|revocation| revocation.grant()).collect();
            let mut ended = BTreeSet::new();
            for held in &mut held {
                let allowed = with_chain(held.asked_for, |request| authorizer.is_allowed(request));
                let was = held.live;
                held.live &= allowed;
                let fail = |what: &str| {
                    let chain = &held.asked_for.1;
                    let what = format!("{what}; {chain:?} allowed {allowed}, live before {was}\n{log:#?}");
                    Err(TestCaseError::fail(reproduction(&world, Some(&held.asked_for.0), &what)))
                };
                if held.tabled.revocation().is_some() == held.live {
                    return fail("the table has not looked");
                }
                if held.asked.is_current() != held.live {
                    return fail("asked each time");
                }
                ended.extend((was != held.live).then(|| held.tabled.id()));
                let is_chain = held.asked_for.1.len() > 1;
                CHAINS_ENDED.fetch_add(usize::from(was != held.live && is_chain), Ordering::Relaxed);
            }
            prop_assert_eq!(&told, &ended, "{:#?}", log);
            ENDED.fetch_add(ended.len(), Ordering::Relaxed);
        }
        for held in &held {
            let allowed = with_chain(held.asked_for, |request| authorizer.is_allowed(request));
            prop_assert_eq!(held.forgotten.is_current(), allowed, "{:?}\n{:#?}", held.asked_for, log);
            prop_assert_eq!(held.tabled.is_current(), held.live);
            prop_assert!(!held.live || allowed);
        }
        prop_assert_eq!(table.len(), held.len());
        drop(held);
        prop_assert!(table.is_empty() && format!("{table:?}").contains("keys: 0"), "{:?}", table);
        if MADE.load(Ordering::Relaxed) > 150 {
            let shown = [&ENDED, &CHAINS, &CHAINS_ENDED].map(|count| count.load(Ordering::Relaxed));
            prop_assert!(shown[0] > 20 && shown[1] > 20 && shown[2] > 4, "too few {:?} to show anything", shown);
        }
    }
}

/// The moments of the generator's datetimes, in milliseconds since 1970, and how far before the first the clock begins.
const MOMENTS: [i64; 5] = [
    0,
    1_704_047_400_000,
    1_704_067_200_000,
    1_704_112_200_000,
    1_709_251_199_999,
];
const HOUR: i64 = 3_600_000;

/// By the generator's name for datetimes, so that its policies ask for it in all the ways that there are.
const TIME: &str = "dt";

proptest! {
    #![proptest_config(config(40))]

    /// The same while time goes by, with it in the context and with bounds on the age of data: a look sees it, and a sweep.
    #[test]
    fn time_takes_back_what_it_denies(numbers in tape(), permissive in any::<bool>(), bounded in any::<bool>()) {
        let mut tape = Tape::new(&numbers);
        let (mut world, asks) = tape.world();
        if permissive {
            world.policies.push_str("\npermit(principal, action, resource);");
        }
        let millis = Arc::new(AtomicI64::new(-HOUR));
        let clock = Arc::clone(&millis);
        let now = move || {
            let millis = clock.load(Ordering::Relaxed);
            let since = Duration::from_millis(millis.unsigned_abs());
            match millis < 0 {
                true => SystemTime::UNIX_EPOCH - since,
                false => SystemTime::UNIX_EPOCH + since,
            }
        };
        let hour = Duration::from_millis(HOUR.unsigned_abs());
        let mut builder = world.builder().clock(now.clone()).context_time(TIME);
        if bounded {
            let bounds = Freshness::new().max_policy_age(4 * hour).max_entity_age(3 * hour);
            builder = builder.freshness(bounds.max_age_of_type("Doc", hour).max_age_of_type("Group", 2 * hour));
        }
        let Ok(authorizer) = builder.build() else { return Ok(()) };
        let table = GrantTable::new(&authorizer);
        let revocations = table.revocations();
        let asks: Vec<_> = asks.into_iter().map(|mut ask| {
            ask.context.remove(TIME);
            chain_of(&mut tape, ask)
        }).collect();
        let mut held = Vec::new();
        for asked_for in &asks {
            with_chain(asked_for, |request| {
                let grants = [authorizer.grant(request), authorizer.grant(request), table.grant(request)];
                if let [Ok(asked), Ok(forgotten), Ok(tabled)] = grants {
                    held.push(Held { asked_for, asked, forgotten, tabled, live: true });
                }
            });
        }
        let mut state: State = world.entities.iter().map(|e| (e.uid.clone(), e.clone())).collect();
        let mut log = Vec::new();
        for _ in 0..10 {
            let before = millis.load(Ordering::Relaxed);
            match tape.below(5) {
                0 => {
                    log.push(change(&mut tape, &authorizer, &mut world, &mut state));
                }
                1 | 2 => {
                    let next = MOMENTS.iter().find(|moment| **moment > before + 1).copied();
                    let after = next.map(|next| next + [-1, 0, 1][tape.below(3)]);
                    millis.store(after.unwrap_or(before), Ordering::Relaxed);
                }
                _ => millis.store(before + HOUR / 4 * (1 + tape.below(6) as i64), Ordering::Relaxed),
            }
            let sources = [DataSource::Policies, DataSource::Entities, DataSource::EntityType("Doc"), DataSource::EntityType("Group")];
            for source in sources {
                if bounded && tape.chance(60) {
                    authorizer.confirm_fresh(source, now()).unwrap();
                    log.push(format!("{source:?} fresh"));
                }
            }
            log.push(format!("{:?}", now()));
            let told_of_change: BTreeSet<_> = revocations.try_iter().map(|revocation| revocation.grant()).collect();
            let swept = table.sweep();
            let mut told: BTreeSet<_> = revocations.try_iter().map(|revocation| revocation.grant()).collect();
            prop_assert_eq!((swept, table.sweep()), (told.len(), 0), "{:#?}", log);
            told.extend(told_of_change);
            let mut ended = BTreeSet::new();
            for held in &mut held {
                let allowed = with_chain(held.asked_for, |request| authorizer.is_allowed(request));
                let was = held.live;
                held.live &= allowed;
                let fail = |what: &str| {
                    let chain = &held.asked_for.1;
                    let what = format!("{what}; {chain:?} allowed {allowed}, live before {was}\n{log:#?}");
                    Err(TestCaseError::fail(reproduction(&world, Some(&held.asked_for.0), &what)))
                };
                if held.tabled.revocation().is_some() == held.live {
                    return fail("the sweep has not looked");
                }
                if held.asked.is_current() != held.live {
                    return fail("asked each time");
                }
                ended.extend((was != held.live).then(|| held.tabled.id()));
            }
            prop_assert_eq!(&told, &ended, "{:#?}", log);
        }
        for held in &held {
            let allowed = with_chain(held.asked_for, |request| authorizer.is_allowed(request));
            prop_assert_eq!(held.forgotten.is_current(), allowed, "{:?}\n{:#?}", held.asked_for, log);
        }
    }
}

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
    let inputs = again.inputs.as_ref().unwrap().to_cedar_entities();
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
fn time_ends_a_grant_also_when_the_clock_is_set_back() {
    let now = Arc::new(Mutex::new(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
    ));
    let clock = Arc::clone(&now);
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .clock(move || *clock.lock().unwrap())
        .build()
        .unwrap();
    let set =
        |seconds| *now.lock().unwrap() = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let table = GrantTable::new(&authorizer);
    let revocations = table.revocations();
    let minute = Duration::from_secs(60);
    let alone = authorizer.grant_for(&use_machine("a"), minute).unwrap();
    let tabled = table.grant_for(&use_machine("b"), minute).unwrap();
    let longer = table.grant_for(&use_machine("c"), 2 * minute).unwrap();
    let endless = table.grant_for(&use_machine("d"), Duration::MAX).unwrap();
    let brief = authorizer
        .grant_for(&use_machine("e"), Duration::from_millis(30))
        .unwrap();
    set(1_059);
    assert!(alone.is_current() && tabled.is_current() && table.sweep() == 0);
    set(1_060);
    assert!(!alone.is_current());
    assert_eq!(
        *alone.revocation().unwrap().reason(),
        RevocationReason::Expired
    );
    assert_eq!(table.sweep(), 1);
    assert_eq!(revocations.try_recv().unwrap().grant(), tabled.id());
    assert_eq!(table.sweep(), 0);
    // The clock goes back: what is over stays over, and the other clock still counts.
    set(0);
    assert!(!alone.is_current() && !tabled.is_current() && longer.is_current());
    std::thread::sleep(Duration::from_millis(31));
    assert!(!brief.is_current());
    // A change sweeps too.
    set(1_120);
    assert!(revocations.try_recv().is_err());
    authorizer
        .update_entities(EntityUpdate::new().upsert(Entity::new(("User", "x"))))
        .unwrap();
    assert_eq!(revocations.try_recv().unwrap().grant(), longer.id());
    set(u32::MAX.into());
    assert!(endless.is_current());
}

#[test]
fn holders_are_told_with_no_lock_held_and_may_panic() {
    let authorizer = staff(None);
    let table = GrantTable::new(&authorizer);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (Arc::clone(&told), Arc::clone(&told));
    let (inner, again) = (table.clone(), authorizer.clone());
    table.on_revoked(|_| panic!("a callback that panics"));
    table.on_revoked(move |revocation| {
        // All of this would wait for ever under a lock.
        assert!(!inner.is_empty());
        let grant = inner.grant(&use_machine("bob")).unwrap();
        drop(grant);
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

/// Where time alone may change the answer, a look decides again: by the time in the context, by the age of data.
#[test]
fn time_that_goes_by_is_seen_by_a_look() {
    let now = Arc::new(Mutex::new(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
    ));
    let clock = Arc::clone(&now);
    let builder = || {
        let clock = Arc::clone(&clock);
        Authorizer::builder().clock(move || *clock.lock().unwrap())
    };
    let set =
        |seconds| *now.lock().unwrap() = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let shift = builder()
        .policies(r#"permit(principal, action, resource) when { context.now < datetime("1970-01-01T00:30:00Z") && context.a == 1 };"#)
        .context_time("now")
        .build()
        .unwrap();
    let table = GrantTable::new(&shift);
    let context = BTreeMap::from([("a", 1)]);
    let request = use_machine("a").context(&context);
    let grants = [
        shift.grant(&request).unwrap(),
        table.grant(&request).unwrap(),
    ];
    let minute = Duration::from_secs(60);
    let stale = builder()
        .policies("permit(principal, action, resource);")
        .freshness(Freshness::new().max_policy_age(minute))
        .build()
        .unwrap();
    let aged = stale.grant(&use_machine("a")).unwrap();
    set(1_059);
    assert!(grants.iter().all(Grant::is_current) && aged.is_current());
    set(1_799);
    assert!(grants.iter().all(Grant::is_current));
    assert!(grants[0].is_current_with(&context));
    assert!(!aged.is_current());
    assert_eq!(
        aged.revocation().unwrap().outcome(),
        Some(Outcome::StalePolicies)
    );
    set(1_800);
    assert!(!grants.iter().any(Grant::is_current));
    assert_eq!(
        grants[1].revocation().unwrap().outcome(),
        Some(Outcome::NoPermit)
    );
}

const TEAM: &str = r#"[
    { "uid": { "type": "User", "id": "ann" }, "attrs": { "suspended": false }, "parents": [] },
    { "uid": { "type": "Agent", "id": "planner" }, "attrs": { "suspended": false },
      "parents": [{ "type": "Fleet", "id": "ours" }] },
    { "uid": { "type": "Agent", "id": "searcher" }, "attrs": { "suspended": false },
      "parents": [{ "type": "Fleet", "id": "ours" }] }
]"#;

const TEAM_POLICIES: &str = r#"
    permit(principal == User::"ann", action, resource)
    unless { principal.suspended || (context has actor && !(context.actor in Fleet::"ours")) };
    @step_up("mfa") permit(principal is Agent, action == Action::"use", resource)
    when { context.onBehalfOf is User && !principal.suspended };
    forbid(principal, action, resource)
    when { context has via && context.via has shut };
    forbid(principal, action, resource)
    when { context has level && context.level < 2 };
"#;

fn through<'a>(actors: &'a [EntityUidRef<'a>]) -> Delegation<'a> {
    Delegation::new(actors)
        .actor_as("actor")
        .subject_as("onBehalfOf")
        .delegator_as("via")
}

/// Whatever makes one hop be denied takes the grant back, whichever hop it is, and the record of that has the whole chain.
#[test]
fn a_grant_of_a_chain_ends_with_any_of_its_hops() {
    let [planner, searcher] = ["planner", "searcher"].map(|id| EntityUidRef::new("Agent", id));
    let actors = [planner, searcher];
    let delegation = through(&actors);
    let context = BTreeMap::from([("level", 3)]);
    let request = use_machine("ann").context(&context).delegation(&delegation);
    let suspend =
        |uid: EntityUidRef<'static>| EntityUpdate::new().set_attr(uid, "suspended", &true);
    let ann = EntityUidRef::new("User", "ann");
    let fleet = EntityUidRef::new("Fleet", "ours");
    // What is changed, and which hop that denies.
    let changes: [(EntityUpdate, usize); 6] = [
        (suspend(ann), 0),
        (suspend(planner), 1),
        (suspend(searcher), 2),
        // The subject's policy asks who acts in the end, the last hop's who acts before it.
        (EntityUpdate::new().remove_parent(searcher, fleet), 0),
        (EntityUpdate::new().set_attr(planner, "shut", &1), 2),
        (EntityUpdate::new().set_attr(ann, "shut", &1), 1),
    ];
    for (change, hop) in changes {
        let sink = Arc::new(MemorySink::new(100));
        let authorizer = Authorizer::builder()
            .policies(TEAM_POLICIES)
            .entities(TEAM)
            .sink(Arc::clone(&sink))
            .build()
            .unwrap();
        let table = GrantTable::new(&authorizer);
        let alone = authorizer.grant(&request).unwrap();
        let tabled = table.grant(&request).unwrap();
        assert_eq!(alone.step_up(), ["mfa"]);
        assert_eq!(alone.principal().id(), "ann");
        let ids: Vec<_> = alone
            .actors()
            .iter()
            .map(|actor| actor.id().to_owned())
            .collect();
        assert_eq!(ids, ["planner", "searcher"]);
        // What no hop rests on decides nothing.
        let before = sink.records().len();
        for uid in [ann, planner, searcher] {
            authorizer
                .update_entities(EntityUpdate::new().set_attr(uid, "seen", &1))
                .unwrap();
            assert!(alone.is_current() && tabled.is_current());
        }
        assert_eq!(sink.records().len(), before);
        // A change that it rests on and that denies nobody: decided again, as it was.
        authorizer
            .update_entities(EntityUpdate::new().add_parent(searcher, ("Fleet", "other")))
            .unwrap();
        assert!(alone.is_current() && tabled.is_current());
        let again = rechecks(&sink, before);
        assert_eq!(again.len(), 2);
        let made = &sink.records()[0];
        assert_eq!(again[1].rechecks, Some(made.sequence));
        assert_eq!(again[1].context, made.context);
        let hops = |record: &OwnedRecord| {
            let hops = record.delegation.clone().unwrap().hops.into_iter();
            hops.map(|hop| (hop.principal, hop.context, hop.outcome))
                .collect::<Vec<_>>()
        };
        assert_eq!(hops(&again[1]), hops(made));
        let before = sink.records().len();

        let (_, revoked) =
            table.revoked_by(|authorizer| authorizer.update_entities(change).unwrap());
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked[0].grant(), tabled.id());
        assert!(!alone.is_current() && !tabled.is_current());
        let again = rechecks(&sink, before);
        assert_eq!(again.len(), 2);
        assert_eq!(again[0].rechecks, tabled.sequence());
        let outcomes: Vec<_> = hops(&again[0])
            .into_iter()
            .map(|hop| hop.2.unwrap())
            .collect();
        let denied = outcomes
            .iter()
            .position(|outcome| *outcome != Outcome::Allowed);
        assert_eq!(denied, Some(hop), "{outcomes:?}");
        assert_eq!(revoked[0].outcome(), Some(outcomes[hop]));
        let RevocationReason::Denied(response) = revoked[0].reason() else {
            panic!()
        };
        let told: Vec<_> = response
            .hops
            .iter()
            .map(|(uid, outcome)| (uid.id(), outcome.unwrap()))
            .collect();
        assert_eq!(
            told,
            ["ann", "planner", "searcher"]
                .into_iter()
                .zip(outcomes)
                .collect::<Vec<_>>()
        );
        let text = revoked[0].to_string();
        assert!(
            text.contains(r#"User::"ann" through Agent::"planner" through Agent::"searcher""#),
            "{text}"
        );
        assert_eq!(revoked[0].actors(), actors);
    }
}

/// A chain of a grant is asked with again to the last detail: its names, its bounds, and what a fresh context leaves of both.
#[test]
fn a_grant_of_a_chain_keeps_what_policies_see_of_it() {
    let authorizer = Authorizer::builder()
        .policies(TEAM_POLICIES)
        .entities(TEAM)
        .build()
        .unwrap();
    let actors = [EntityUidRef::new("Agent", "planner")];
    let delegation = through(&actors);
    let request = use_machine("ann").delegation(&delegation);
    let grant = authorizer.grant(&request).unwrap();
    assert!(grant.is_current_with_json(r#"{ "level": 2 }"#));
    authorizer
        .update_entities(EntityUpdate::new().add_parent(("Agent", "planner"), ("Fleet", "x")))
        .unwrap();
    assert!(grant.is_current());
    // What a chain adds cannot be brought along, no more than with the first request.
    let pretending = authorizer.grant(&request).unwrap();
    let actor = r#"{ "actor": { "__entity": { "type": "Agent", "id": "searcher" } } }"#;
    assert!(!pretending.is_current_with_json(actor));
    assert_eq!(
        pretending.revocation().unwrap().outcome(),
        Some(Outcome::InvalidRequest)
    );
    // The fresh context stays; so it is what the next decision is made with.
    let stricter = "forbid(principal is Agent, action, resource) when { context.level == 2 };";
    authorizer
        .update_policies(PolicyUpdate::new().add("stricter", stricter))
        .unwrap();
    assert!(!grant.is_current());
    assert_eq!(
        grant.revocation().unwrap().outcome(),
        Some(Outcome::Forbidden)
    );
    // Denied chains make none, and say why as they do elsewhere.
    let twice = [actors[0], actors[0]];
    let cycle = through(&twice);
    let denied = authorizer
        .grant(&use_machine("ann").delegation(&cycle))
        .unwrap_err();
    assert_eq!(denied.outcome(), Outcome::DelegationCycle);
}

/// The end of the chain is the end of the grant, whichever of the two that there may be comes first.
#[test]
fn a_chain_that_expires_ends_the_grant() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_000_000_000_500);
    let now = Arc::new(Mutex::new(start));
    let clock = Arc::clone(&now);
    let sink = Arc::new(MemorySink::new(100));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .clock(move || *clock.lock().unwrap())
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let set = |since: Duration| *now.lock().unwrap() = start + since;
    let actors = [EntityUidRef::new("Agent", "planner")];
    let second = Duration::from_secs(1);
    // Finer than milliseconds, as tokens may be: not to be lost where the chain is kept.
    let ends = start + 100 * second + Duration::from_nanos(5);
    let delegation = through(&actors)
        .not_before(start - 2_000 * second)
        .expires(ends);
    let request = use_machine("ann").delegation(&delegation);
    let table = GrantTable::new(&authorizer);
    let revocations = table.revocations();
    let alone = authorizer.grant(&request).unwrap();
    let sooner = authorizer.grant_for(&request, 10 * second).unwrap();
    let later = authorizer.grant_for(&request, 1_000 * second).unwrap();
    let tabled = table.grant(&request).unwrap();
    // Decided again after a change of policies, with the same bounds.
    authorizer
        .update_policies(
            PolicyUpdate::new().add("more", "permit(principal, action, resource) when { true };"),
        )
        .unwrap();
    set(10 * second);
    assert!(alone.is_current() && later.is_current() && !sooner.is_current());
    let record = sink.records().pop().unwrap().delegation.unwrap();
    assert_eq!(
        record.expires,
        sink.records()[0].delegation.as_ref().unwrap().expires
    );
    assert_eq!(
        record.not_before.as_deref(),
        Some("1969-12-31T23:43:20.000Z")
    );
    set(100 * second + Duration::from_nanos(4));
    assert!(alone.is_current() && later.is_current() && table.sweep() == 0);
    set(100 * second + Duration::from_nanos(5));
    assert!(!alone.is_current() && !later.is_current());
    assert_eq!(
        *alone.revocation().unwrap().reason(),
        RevocationReason::Expired
    );
    assert_eq!(table.sweep(), 1);
    let told = revocations.try_recv().unwrap();
    assert_eq!(told.grant(), tabled.id());
    assert!(told.to_string().contains("its time is over"), "{told}");
    // And after that there is none to be had.
    assert_eq!(
        authorizer.grant(&request).unwrap_err().outcome(),
        Outcome::DelegationExpired
    );
}

/// A sweep decides the grants again that have a policy in scope which may look at the time, however it is spelled, and no
/// others.
#[test]
fn a_sweep_decides_what_may_look_at_the_time() {
    let looks = [
        "context.now < until",
        "context has now && context.now < until",
        "context == principal.context || context.now < until",
        "(if principal has strict then context else context).now < until",
        "[context].contains({}) || context.now < until",
        r#"{ "c": context }.c.now < until"#,
        // In a branch that is not taken yet.
        "principal has now || context.now < until",
    ];
    let looks_not = [
        "context.a == 1",
        "context has b || context.a == 1",
        "resource has now || context.r.now == 1",
        "!(context has b.now)",
        "principal.now == 1",
    ];
    let now = Arc::new(Mutex::new(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
    ));
    let clock = Arc::clone(&now);
    let sink = Arc::new(MemorySink::new(1_000));
    let mut policies = String::new();
    for (at, look) in looks.iter().chain(&looks_not).enumerate() {
        let look = look.replace("until", r#"datetime("1970-01-01T00:30:00Z")"#);
        policies +=
            &format!("permit(principal, action, resource == Door::\"{at}\") when {{ {look} }};");
    }
    let authorizer = Authorizer::builder()
        .policies(policies.as_str())
        .entities(r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "now": 1, "context": {} }, "parents": [] }]"#)
        .clock(move || *clock.lock().unwrap())
        .context_time("now")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let set =
        |seconds| *now.lock().unwrap() = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let table = GrantTable::new(&authorizer);
    let revocations = table.revocations();
    let context = r#"{ "a": 1, "r": { "now": 1 } }"#;
    let grants: Vec<Grant> = (0..looks.len() + looks_not.len())
        .map(|door| {
            let door = door.to_string();
            let request = Request::new(("User", "ann"), ("Action", "open"), ("Door", &*door));
            table.grant(&request.context_json(context)).unwrap()
        })
        .collect();
    let again = |ask: &dyn Fn()| {
        let before = sink.records().len();
        ask();
        let again = rechecks(&sink, before).into_iter();
        again
            .map(|record| record.resource.id().to_owned())
            .collect::<Vec<_>>()
    };
    let timed: Vec<String> = (0..looks.len()).map(|door| door.to_string()).collect();
    assert_eq!(again(&|| assert_eq!(table.sweep(), 0)), timed);
    assert_eq!(
        again(&|| assert!(grants.iter().all(Grant::is_current))),
        timed
    );
    // A change concerns nobody's time.
    let other = EntityUpdate::new().upsert(Entity::new(("User", "bob")));
    assert_eq!(
        again(&|| drop(authorizer.update_entities(other.clone()))),
        [""; 0]
    );
    set(1_800);
    let ended = looks.len() - 1;
    assert_eq!(again(&|| assert_eq!(table.sweep(), ended)), timed);
    let told: Vec<_> = revocations.try_iter().collect();
    assert!(
        told.iter()
            .all(|told| told.change().is_none() && told.outcome() == Some(Outcome::NoPermit))
    );
    let expected: Vec<_> = grants[..ended].iter().map(Grant::id).collect();
    assert_eq!(
        told.iter().map(|told| told.grant()).collect::<Vec<_>>(),
        expected
    );
    // What has ended is not asked again. A policy may begin to look at the time, and be taken away.
    assert_eq!(
        again(&|| assert_eq!(table.sweep(), 0)),
        [timed[ended].as_str()]
    );
    let door = looks.len() + 1;
    let text = format!(
        r#"forbid(principal, action, resource == Door::"{door}") when {{ context.now > datetime("1970-01-01T00:40:00Z") }};"#
    );
    authorizer
        .update_policies(PolicyUpdate::new().add("night", text))
        .unwrap();
    assert_eq!(
        again(&|| assert_eq!(table.sweep(), 0)),
        [timed[ended].clone(), door.to_string()]
    );
    authorizer
        .update_policies(PolicyUpdate::new().remove("night"))
        .unwrap();
    set(2_401);
    assert_eq!(
        again(&|| assert_eq!(table.sweep(), 0)),
        [timed[ended].clone()]
    );
    assert!(grants[door].is_current());
    // A grant that is dropped is forgotten here, too.
    drop(grants);
    assert_eq!(again(&|| assert_eq!(table.sweep(), 0)), [""; 0]);
}

/// Whichever grants rest on what has become too old, a sweep ends, and the others stay; while nothing is, it decides nothing.
#[test]
fn a_sweep_ends_what_rests_on_stale_data() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let now = Arc::new(Mutex::new(start));
    let clock = Arc::clone(&now);
    let sink = Arc::new(MemorySink::new(1_000));
    let minute = Duration::from_secs(60);
    let bounds = Freshness::new()
        .max_policy_age(60 * minute)
        .max_entity_age(30 * minute)
        .max_age_of_type("Agent", minute);
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) unless { principal has suspended && principal.suspended };")
        .entities(TEAM)
        .freshness(bounds)
        .clock(move || *clock.lock().unwrap())
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let set = |time| *now.lock().unwrap() = time;
    let table = GrantTable::new(&authorizer);
    let actors = [EntityUidRef::new("Agent", "planner")];
    let delegation = through(&actors);
    let direct = table.grant(&use_machine("ann")).unwrap();
    let delegated = table
        .grant(&use_machine("ann").delegation(&delegation))
        .unwrap();
    let another = table
        .grant(&use_machine("ann").delegation(&delegation))
        .unwrap();
    let mut before = sink.records().len();
    set(start + minute);
    assert_eq!(table.sweep(), 0);
    assert!(direct.is_current() && delegated.is_current());
    assert_eq!(
        sink.records().len(),
        before,
        "nothing is too old: nothing is decided"
    );
    // The user's part of the chain rests on nothing that is; the agent's does.
    set(start + minute + Duration::from_millis(1));
    assert!(!another.is_current(), "a look sees it too");
    assert_eq!(table.sweep(), 1);
    let revocation = delegated.revocation().unwrap();
    assert_eq!(revocation.outcome(), Some(Outcome::StaleEntities));
    let RevocationReason::Denied(response) = revocation.reason() else {
        panic!()
    };
    let outcomes: Vec<_> = response.hops.iter().map(|hop| hop.1.unwrap()).collect();
    assert_eq!(outcomes, [Outcome::Allowed, Outcome::StaleEntities]);
    assert!(direct.is_current());
    // Once it is fresh again, a new grant can be had and nothing is decided.
    authorizer
        .confirm_fresh(DataSource::EntityType("Agent"), start + minute)
        .unwrap();
    let renewed = table
        .grant(&use_machine("ann").delegation(&delegation))
        .unwrap();
    before = sink.records().len();
    assert_eq!(table.sweep(), 0);
    assert!(direct.is_current() && renewed.is_current());
    assert_eq!(sink.records().len(), before);
    // The store as a whole.
    set(start + 31 * minute);
    assert_eq!(table.sweep(), 2);
    assert_eq!(
        direct.revocation().unwrap().outcome(),
        Some(Outcome::StaleEntities)
    );
}
