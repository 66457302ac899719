//! Grants in generated worlds: which are live is what deciding afresh says, whatever changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use duramen::grant::{Grant, GrantId, GrantTable, Revocation};
use duramen::{
    Authorizer, DataSource, Delegation, EntityUidRef, EntityUpdate, Freshness, PolicyUpdate,
    Request,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::delegation::{ACTOR, DELEGATOR, SUBJECT, chain_of};
use crate::entity_updates::{State, add, model};
use crate::generate::{Tape, config, tape};
use crate::oracle::{Ask, World, reproduction, uid_ref};
use crate::value::{Uid, entities_json};

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

/// Three grants of each ask that is allowed.
fn hold<'a>(
    asks: &'a [(Ask, Vec<Uid>)],
    authorizer: &Authorizer,
    table: &GrantTable,
) -> Result<Vec<Held<'a>>, TestCaseError> {
    let mut held = Vec::new();
    for asked_for in asks {
        with_chain(asked_for, |request| {
            let allowed = authorizer.is_allowed(request);
            let grants = [
                authorizer.grant(request),
                authorizer.grant(request),
                table.grant(request),
            ];
            prop_assert!(grants.iter().all(|grant| grant.is_ok() == allowed));
            if let [Ok(asked), Ok(forgotten), Ok(tabled)] = grants {
                held.push(Held {
                    asked_for,
                    asked,
                    forgotten,
                    tabled,
                    live: true,
                });
            }
            Ok(())
        })?;
    }
    Ok(held)
}

/// Looks at every grant: it is live as long as it would be made again, the table has looked before, and those that ended
/// are those that it has told of.
fn look(
    held: &mut [Held<'_>],
    authorizer: &Authorizer,
    told: &BTreeSet<GrantId>,
    world: &World,
    log: &[String],
) -> Result<(), TestCaseError> {
    let mut ended = BTreeSet::new();
    for held in held {
        let allowed = with_chain(held.asked_for, |request| authorizer.is_allowed(request));
        let was = held.live;
        held.live &= allowed;
        let fail = |what: &str| {
            let (ask, chain) = held.asked_for;
            let what = format!("{what}; {chain:?} allowed {allowed}, live before {was}\n{log:#?}");
            Err(TestCaseError::fail(reproduction(world, Some(ask), &what)))
        };
        if held.tabled.revocation().is_some() == held.live {
            return fail("the table has not looked");
        }
        if held.asked.is_current() != held.live {
            return fail("asked each time");
        }
        ended.extend((was != held.live).then(|| held.tabled.id()));
    }
    prop_assert_eq!(told, &ended, "{:#?}", log);
    Ok(())
}

/// A grant that was never asked says what is true now, however much it has missed.
fn look_at_last(
    held: &[Held<'_>],
    authorizer: &Authorizer,
    log: &[String],
) -> Result<(), TestCaseError> {
    for held in held {
        let allowed = with_chain(held.asked_for, |request| authorizer.is_allowed(request));
        let forgotten = held.forgotten.is_current();
        prop_assert_eq!(forgotten, allowed, "{:?}\n{:#?}", held.asked_for, log);
        prop_assert_eq!(held.tabled.is_current(), held.live);
        prop_assert!(!held.live || allowed);
    }
    Ok(())
}

/// The grants that the table has told of since it was asked last.
fn told(revocations: &Receiver<Arc<Revocation>>) -> BTreeSet<GrantId> {
    let told = revocations.try_iter();
    told.map(|revocation| revocation.grant()).collect()
}

fn state_of(world: &World) -> State {
    let entities = world.entities.iter();
    entities
        .map(|entity| (entity.uid.clone(), entity.clone()))
        .collect()
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

/// How much the first property has seen, so that one which sees nothing fails.
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
        let mut held = hold(&asks, &authorizer, &table)?;
        let is_chain = |held: &&Held<'_>| held.asked_for.1.len() > 1;
        MADE.fetch_add(held.len(), Ordering::Relaxed);
        CHAINS.fetch_add(held.iter().filter(is_chain).count(), Ordering::Relaxed);
        let mut state = state_of(&world);
        let mut log = Vec::new();
        for _ in 0..10 {
            log.push(change(&mut tape, &authorizer, &mut world, &mut state));
            look(&mut held, &authorizer, &told(&revocations), &world, &log)?;
        }
        look_at_last(&held, &authorizer, &log)?;
        let ended = || held.iter().filter(|held| !held.live);
        ENDED.fetch_add(ended().count(), Ordering::Relaxed);
        CHAINS_ENDED.fetch_add(ended().filter(is_chain).count(), Ordering::Relaxed);
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
        let mut held = hold(&asks, &authorizer, &table)?;
        let mut state = state_of(&world);
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
            let told_of_change = told(&revocations);
            let swept = table.sweep();
            let mut told = told(&revocations);
            prop_assert_eq!((swept, table.sweep()), (told.len(), 0), "{:#?}", log);
            told.extend(told_of_change);
            look(&mut held, &authorizer, &told, &world, &log)?;
        }
        look_at_last(&held, &authorizer, &log)?;
    }
}
