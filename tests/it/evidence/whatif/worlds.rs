//! Whole worlds, masked and not: a candidate is decided as on all there is, or not at all.

use std::cell::Cell;
use std::sync::Arc;

use duramen::evidence::{Mask, MaskSink, Masks, MemorySink, OwnedRecord};
use duramen::replay::{NotReplayableKind, Reconsidered, WhatIf};
use duramen::{Authorizer, Decision, ErrorMode};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::super::generate::{Tape, config, tape};
use super::super::super::many::of_each_byte;
use super::super::super::oracle::{Answer, Ask, ours, reproduction};
use super::super::super::value::Uid;

thread_local! {
    /// How often each thing was found, so that the property is not about nothing.
    static FOUND: Cell<[u32; 4]> = const { Cell::new([0; 4]) };
}

fn found(what: usize) {
    let mut counts = FOUND.get();
    counts[what] += 1;
    FOUND.set(counts);
}

/// A candidate for a world, and another for what it was decided with.
fn candidates_agree(tape: &mut Tape<'_>) -> Result<(), TestCaseError> {
    let (mut world, asks) = tape.world();
    let (candidate, more) = tape.world();
    let mode = [
        ErrorMode::Cedar,
        ErrorMode::DenyOnForbidError,
        ErrorMode::DenyOnAnyError,
    ][tape.below(3)];
    let sink = Arc::new(MemorySink::new(100));
    let builder = world.builder().error_mode(mode).sink(Arc::clone(&sink));
    let Ok(enforced) = builder.build() else {
        return Ok(());
    };
    let asks: Vec<_> = asks.into_iter().chain(more).collect();
    for ask in &asks {
        ask.with_request(|request| {
            let _ = enforced.is_allowed(request);
        });
    }
    let records = sink.records();
    let build = |policies| {
        Authorizer::builder()
            .error_mode(mode)
            .policies(policies)
            .build()
    };
    // The policies that decided: everything is known, also what was not there.
    let mut same = WhatIf::new(&build(world.policies()).unwrap()).unwrap();
    for record in &records {
        match same.add(record) {
            Reconsidered::Same {
                same_reasons: Some(true),
            } => {}
            Reconsidered::NotReplayable(why) if why.kind() == NotReplayableKind::RequestRefused => {
                prop_assert!(record.request_error.is_some());
            }
            other => {
                let what = format!("{record:#?}\n{other:#?}");
                return Err(TestCaseError::fail(reproduction(&world, None, &what)));
            }
        }
    }
    // Others.
    let Ok(tried) = build(candidate.policies()) else {
        return Ok(());
    };
    world.policies = candidate.policies;
    world.links = candidate.links;
    let whole = world.builder().error_mode(mode).build().unwrap();
    let mut alone = WhatIf::new(&tried).unwrap();
    let mut filled = WhatIf::new(&tried).unwrap().fill_in(&enforced);
    for (record, ask) in records.iter().zip(&asks) {
        let (truth, allowed) = ask.with_request(|request| {
            let response = whole.is_authorized(request);
            (ours(&response), response.is_allowed())
        });
        let failed = |what: String| {
            Err(TestCaseError::fail(reproduction(
                &world,
                Some(ask),
                &format!("{record:#?}\n{what}"),
            )))
        };
        for (what_if, is_filled) in [(&mut alone, false), (&mut filled, true)] {
            // What a request brought along and nobody read, the store cannot know.
            if is_filled && ask.overlay.is_some() {
                continue;
            }
            let is_right = match what_if.add(record) {
                Reconsidered::Same { same_reasons } => {
                    found(0);
                    let same = same_reasons.is_none_or(|same| !same || determines(&truth, record));
                    same && allowed == (record.decision == Decision::Allow)
                }
                Reconsidered::Flipped(flip) => {
                    found(1);
                    found(usize::from(is_filled) * 3);
                    let Answer::Decided {
                        determining,
                        errors,
                        ..
                    } = &truth
                    else {
                        return failed("the request was not refused".into());
                    };
                    let policies = flip.after.determining.iter();
                    let policies: Vec<_> = policies.map(|policy| policy.id.to_string()).collect();
                    allowed == (flip.after.decision == Decision::Allow)
                        && policies.iter().all(|policy| determining.contains(policy))
                        && flip
                            .after
                            .errors
                            .iter()
                            .all(|policy| errors.contains_key(policy.as_str()))
                        && (!flip.unsettled.is_empty() || policies.len() == determining.len())
                }
                Reconsidered::Undetermined(unknown) => {
                    found(2);
                    !is_filled && !unknown.is_empty()
                }
                Reconsidered::NotReplayable(why) => {
                    why.kind() == NotReplayableKind::RequestRefused && truth == Answer::Invalid
                }
                other => return failed(format!("{other:#?}")),
            };
            if !is_right {
                let again = what_if.add(record);
                return failed(format!(
                    "filled in: {is_filled}\n{again:#?}\nnot {truth:#?}"
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn a_candidate_is_decided_as_on_all_there_is_or_not_at_all() {
    proptest!(config(60), |(numbers in tape())| {
        candidates_agree(&mut Tape::new(&numbers))?;
    });
    // A few worlds may have nothing that is undetermined; `what_was_not_read_is_not_absent` has all kinds of that.
    let [same, flipped, _, filled] = FOUND.get();
    assert!(same > 0 && flipped > 0 && filled > 0);
}

/// A path to something that worlds and requests have.
fn masked_path(tape: &mut Tape<'_>) -> String {
    let root = tape.pick(&[
        "context",
        "context",
        "principal",
        "resource",
        "User",
        "Doc",
        "Group",
        "*",
    ]);
    let below = tape.pick(&["", "", ".tags", ".rec"]);
    let name = tape.pick(&["flag", "n", "s", "e", "set", "rec", "ip", "dt", "a", "*"]);
    format!("{root}{below}.{name}")
}

thread_local! {
    /// Flips of chains, flips of masked records, and records of which masks leave too little.
    static FOUND_BEYOND: Cell<[u32; 3]> = const { Cell::new([0; 3]) };
}

/// The same of chains of delegation and of masked records.
fn masked_candidates_agree(tape: &mut Tape<'_>) -> Result<(), TestCaseError> {
    let found = |what: usize| {
        let mut counts = FOUND_BEYOND.get();
        counts[what] += 1;
        FOUND_BEYOND.set(counts);
    };
    let (mut world, asks) = tape.world();
    let (candidate, more) = tape.world();
    let sink = Arc::new(MemorySink::new(100));
    let is_masked = tape.chance(60);
    let builder = if is_masked {
        let mut masks = Masks::new().key(&[7; 32]);
        for _ in 0..=tape.below(3) {
            let mask = [Mask::Drop, Mask::Digest][tape.below(2)];
            masks = masks.path(&masked_path(tape), mask).unwrap();
        }
        world
            .builder()
            .sink(MaskSink::new(Arc::clone(&sink), masks).unwrap())
    } else {
        world.builder().sink(Arc::clone(&sink))
    };
    let Ok(enforced) = builder.build() else {
        return Ok(());
    };
    let asks: Vec<_> = asks
        .into_iter()
        .chain(more)
        .map(|ask| {
            let actors: Vec<_> = (0..tape.below(3)).map(|_| tape.uid()).collect();
            (ask, actors)
        })
        .collect();
    let is_allowed = |(ask, actors): &(Ask, Vec<Uid>), authorizer: &Authorizer| {
        ask.with_actors(actors, |request| {
            authorizer.is_authorized(request).is_allowed()
        })
    };
    for ask in &asks {
        is_allowed(ask, &enforced);
    }
    let records = sink.records();
    let Ok(tried) = Authorizer::builder().policies(candidate.policies()).build() else {
        return Ok(());
    };
    world.policies = candidate.policies;
    world.links = candidate.links;
    let whole = world.builder().build().unwrap();
    let mut alone = WhatIf::new(&tried).unwrap();
    let mut filled = WhatIf::new(&tried).unwrap().fill_in(&enforced);
    for (record, asked) in records.iter().zip(&asks) {
        let allowed = is_allowed(asked, &whole);
        for (what_if, is_filled) in [(&mut alone, false), (&mut filled, true)] {
            if is_filled && asked.0.overlay.is_some() {
                continue;
            }
            let again = what_if.add(record);
            let is_right = match &again {
                Reconsidered::Same { .. } => allowed == (record.decision == Decision::Allow),
                Reconsidered::Flipped(flip) => {
                    found(usize::from(flip.actors.is_empty()));
                    allowed == (flip.after.decision == Decision::Allow)
                }
                Reconsidered::Undetermined(_) => {
                    found(2);
                    !is_filled || !record.masked.is_empty()
                }
                Reconsidered::NotReplayable(why) => match why.kind() {
                    NotReplayableKind::RequestRefused => record.request_error.is_some(),
                    NotReplayableKind::DelegationRefused => !asked.1.is_empty(),
                    NotReplayableKind::Masked => {
                        record.masked.iter().any(|rule| rule == "context.*")
                    }
                    _ => false,
                },
                _ => false,
            };
            if !is_right {
                let what =
                    format!("{record:#?}\nfilled in: {is_filled}\n{again:#?}\nnot {allowed}");
                return Err(TestCaseError::fail(reproduction(
                    &world,
                    Some(&asked.0),
                    &what,
                )));
            }
        }
    }
    Ok(())
}

/// A world and a candidate made from bytes.
pub(crate) fn bytes_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (way, numbers) = of_each_byte(bytes);
    let tape = &mut Tape::new(&numbers);
    match way % 3 {
        0 => candidates_agree(tape),
        _ => masked_candidates_agree(tape),
    }
}

#[test]
fn chains_and_masked_records_are_decided_as_on_all_there_is_or_not_at_all() {
    proptest!(config(60), |(numbers in tape())| {
        masked_candidates_agree(&mut Tape::new(&numbers))?;
    });
    // A few worlds may have nothing that masks leave undetermined; `what_is_masked_is_unknown_and_the_rest_is_not` has.
    let [of_chains, of_masked, _] = FOUND_BEYOND.get();
    assert!(of_chains > 0 && of_masked > 0, "{:?}", FOUND_BEYOND.get());
}

/// Whether the policies that determine the answer are those of the record.
fn determines(truth: &Answer, record: &OwnedRecord) -> bool {
    let Answer::Decided { determining, .. } = truth else {
        return false;
    };
    let mut recorded = record.determining.iter();
    record.determining.len() == determining.len()
        && recorded.all(|policy| determining.contains(policy.id.as_str()))
}

/// What the fuzzer found once, and what it begins with.
#[test]
fn fuzzed_candidates_agree() {
    crate::agree::regressions_agree("whatif", bytes_agree);
}
