//! Grants and time: lifetimes, the time in the context, data that becomes too old, and what a sweep looks at.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use duramen::evidence::MemorySink;
use duramen::grant::{Grant, GrantTable, RevocationReason};
use duramen::{
    Authorizer, DataSource, Entity, EntityUidRef, EntityUpdate, Freshness, Outcome, PolicyUpdate,
    Request,
};

use super::chains::{TEAM, through};
use super::{rechecks, use_machine};
use crate::freshness::Clock;

/// A clock that stands a thousand seconds after 1970.
fn clock() -> Clock {
    let clock = Clock::new();
    clock.set(1_000);
    clock
}

/// Whoever sweeps asks the clock first, and so does each look: between the two it may go backwards.
#[test]
fn a_sweep_on_an_unsteady_clock_loses_no_grant() {
    let times = Arc::new(Mutex::new(vec![1_000]));
    let shown = Arc::clone(&times);
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .clock(move || {
            let mut times = shown.lock().unwrap();
            let time = if times.len() > 1 {
                times.pop().unwrap()
            } else {
                times[0]
            };
            SystemTime::UNIX_EPOCH + Duration::from_secs(time)
        })
        .build()
        .unwrap();
    let table = GrantTable::new(&authorizer);
    let minute = Duration::from_secs(60);
    let grant = table.grant_for(&use_machine("a"), minute).unwrap();
    // The last is shown first.
    *times.lock().unwrap() = vec![1_000, 1_061];
    assert_eq!(table.sweep(), 0);
    *times.lock().unwrap() = vec![1_062];
    assert_eq!(table.sweep(), 1);
    assert!(grant.revocation().is_some());
    assert_eq!(table.sweep(), 0);
}

#[test]
fn time_ends_a_grant_also_when_the_clock_is_set_back() {
    let clock = clock();
    let set = |seconds| clock.set(seconds);
    let builder = clock.builder();
    let authorizer = builder
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
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
    let short = Duration::from_millis(30);
    let swept = table.grant_for(&use_machine("f"), short).unwrap();
    set(0);
    assert!(!alone.is_current() && !tabled.is_current() && longer.is_current());
    std::thread::sleep(Duration::from_millis(31));
    assert!(!brief.is_current());
    assert_eq!(table.sweep(), 1);
    assert_eq!(revocations.try_recv().unwrap().grant(), swept.id());
    assert_eq!(table.sweep(), 0);
    // A change sweeps too, by both clocks.
    let changed = table.grant_for(&use_machine("g"), short).unwrap();
    let forgotten = table.grant_for(&use_machine("h"), short).unwrap();
    drop(forgotten);
    std::thread::sleep(Duration::from_millis(31));
    assert!(revocations.try_recv().is_err());
    let change = |id| {
        let update = EntityUpdate::new().upsert(Entity::new(("User", id)));
        authorizer.update_entities(update).unwrap();
    };
    change("x");
    assert_eq!(revocations.try_recv().unwrap().grant(), changed.id());
    set(1_120);
    assert!(revocations.try_recv().is_err());
    change("y");
    assert_eq!(revocations.try_recv().unwrap().grant(), longer.id());
    set(u32::MAX.into());
    assert!(endless.is_current());
}

/// Where time alone may change the answer, a look decides again: by the time in the context, by the age of data.
#[test]
fn time_that_goes_by_is_seen_by_a_look() {
    let clock = clock();
    let set = |seconds| clock.set(seconds);
    let builder = || clock.builder();
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
    let clock = clock();
    let set = |seconds| clock.set(seconds);
    let sink = Arc::new(MemorySink::new(1_000));
    let mut policies = String::new();
    for (at, look) in looks.iter().chain(&looks_not).enumerate() {
        let look = look.replace("until", r#"datetime("1970-01-01T00:30:00Z")"#);
        policies +=
            &format!("permit(principal, action, resource == Door::\"{at}\") when {{ {look} }};");
    }
    let builder = clock.builder();
    let authorizer = builder
        .policies(policies.as_str())
        .entities(r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "now": 1, "context": {} }, "parents": [] }]"#)
        .context_time("now")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
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
    // What was allowed while they were too old does not rest on them: that is not asked again.
    before = sink.records().len();
    set(start + 2 * minute);
    assert!(direct.is_current() && table.sweep() == 0 && direct.is_current());
    assert_eq!(sink.records().len(), before);
    // Unless it comes to rest on them: what is above the user then is an agent.
    let below = EntityUpdate::new().add_parent(("User", "ann"), ("Agent", "planner"));
    let (_, revoked) =
        table.revoked_by(|authorizer| authorizer.update_entities(below.out_of_band()).unwrap());
    assert_eq!(revoked.len(), 1);
    assert!(!direct.is_current());
    let apart = EntityUpdate::new().remove_parent(("User", "ann"), ("Agent", "planner"));
    authorizer.update_entities(apart.out_of_band()).unwrap();
    let direct = table.grant(&use_machine("ann")).unwrap();
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

/// An update from an old copy makes all policies older: that may take back what its own policies have nothing to do with.
#[test]
fn policies_that_become_too_old_end_every_grant() {
    let clock = clock();
    let hour = Duration::from_secs(3_600);
    let authorizer = clock
        .builder()
        .policies("permit(principal, action, resource);")
        .freshness(Freshness::new().max_policy_age(hour))
        .build()
        .unwrap();
    let table = GrantTable::new(&authorizer);
    let grant = table.grant(&use_machine("ann")).unwrap();
    let forbid = |id: &str| {
        let text = r#"forbid(principal == User::"eve", action, resource);"#;
        PolicyUpdate::new().add(id, text)
    };
    let copy = |id, age| forbid(id).as_of(clock.now() - age);
    for update in [forbid("a"), copy("b", hour)] {
        let (_, revoked) =
            table.revoked_by(|authorizer| authorizer.update_policies(update).unwrap());
        assert!(revoked.is_empty() && grant.is_current());
    }
    let update = copy("c", 2 * hour);
    let (_, revoked) = table.revoked_by(|authorizer| authorizer.update_policies(update).unwrap());
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].outcome(), Some(Outcome::StalePolicies));
}

/// What is confirmed between a look at the clock and one at the data is no reason to decide all grants again.
#[test]
fn what_is_confirmed_during_a_look_has_nothing_decided_again() {
    let (clock, late) = (clock(), Arc::new(AtomicU64::new(0)));
    let (shown, first) = (clock.clone(), Arc::clone(&late));
    let (minute, sink) = (Duration::from_secs(60), Arc::new(MemorySink::new(100)));
    let bounds = Freshness::new()
        .max_policy_age(minute)
        .max_entity_age(minute)
        .max_age_of_type("User", minute);
    let authorizer = Authorizer::builder()
        .clock(move || shown.now() - Duration::from_secs(first.swap(0, Ordering::Relaxed)))
        .policies("permit(principal, action, resource);")
        .freshness(bounds)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let table = GrantTable::new(&authorizer);
    let tabled = table.grant(&use_machine("a")).unwrap();
    let alone = authorizer.grant(&use_machine("b")).unwrap();
    let before = sink.records().len();
    for source in [
        DataSource::Policies,
        DataSource::Entities,
        DataSource::EntityType("User"),
    ] {
        clock.set(1_010);
        authorizer.confirm_fresh(source, clock.now()).unwrap();
        // The first look shows the time before it was confirmed.
        late.store(5, Ordering::Relaxed);
        assert_eq!(table.sweep(), 0);
        late.store(5, Ordering::Relaxed);
        assert!(alone.is_current());
        assert!(rechecks(&sink, before).is_empty(), "{source:?}");
    }
    // A clock that stays behind is another matter.
    clock.set(1_000);
    assert!(!alone.is_current() && tabled.revocation().is_none());
    assert_eq!(table.sweep(), 1);
}
