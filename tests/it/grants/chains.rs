//! Grants of requests that others make for their principal: they end with any hop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::grant::{GrantTable, RevocationReason};
use duramen::{Authorizer, Delegation, Entity, EntityUidRef, EntityUpdate, Outcome, PolicyUpdate};

use super::{rechecks, use_machine};
use crate::freshness::Clock;

pub(super) const TEAM: &str = r#"[
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

pub(super) fn through<'a>(actors: &'a [EntityUidRef<'a>]) -> Delegation<'a> {
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
    // What is watched is filed by hashes: that two meet, and a grant is decided again for nothing, is one world in 200.
    let mut decided_for_nothing = 0;
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
        let unconcerned = sink.records().len() == before;
        decided_for_nothing += usize::from(!unconcerned);
        let before = sink.records().len();
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
    assert!(decided_for_nothing <= 1, "{decided_for_nothing} of 6");
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

/// A clock that is set back to before the chain is valid ends the grant, as it denies the request.
#[test]
fn a_chain_that_is_not_valid_yet_ends_the_grant() {
    let clock = Clock::new();
    clock.set(1_000);
    let authorizer = clock
        .builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let actors = [EntityUidRef::new("Agent", "planner")];
    let begins = SystemTime::UNIX_EPOCH + Duration::from_secs(900);
    let delegation = through(&actors).not_before(begins);
    let request = use_machine("ann").delegation(&delegation);
    let table = GrantTable::new(&authorizer);
    let alone = authorizer.grant(&request).unwrap();
    let swept = table.grant(&request).unwrap();
    let dropped = table.grant(&request).unwrap();
    drop(dropped);
    clock.set(900);
    assert!(alone.is_current() && swept.is_current() && table.sweep() == 0);
    clock.set(899);
    assert_eq!(table.sweep(), 1);
    assert!(!alone.is_current() && !swept.is_current());
    for grant in [&alone, &swept] {
        let outcome = grant.revocation().unwrap().outcome();
        assert_eq!(outcome, Some(Outcome::DelegationNotYetValid));
    }
    clock.set(1_000);
    assert!(!alone.is_current() && table.sweep() == 0);
    // A change finds it, too.
    let changed = table.grant(&request).unwrap();
    clock.set(899);
    let (_, revoked) = table.revoked_by(|authorizer| {
        let update = EntityUpdate::new().upsert(Entity::new(("Machine", "other")));
        authorizer.update_entities(update).unwrap();
    });
    assert!(revoked.is_empty() && changed.revocation().is_some());
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
