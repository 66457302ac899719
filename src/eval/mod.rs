//! Deciding one request on one epoch.

mod candidate;
pub(crate) mod chain;
mod computed;
mod condition;
mod machine;
mod matching;
mod reads;
mod resolve;
mod response;
mod scratch;
mod steps;
mod weigh;

use bumpalo::Bump;

use crate::decision::{Effect, ErrorMode, Outcome};
use crate::epoch::{Epoch, Segment};
use crate::request::locals::{Locals, RequestNames};
use crate::request::{Request, RequestError};

use matching::Candidates;

pub(crate) use candidate::Sought;
pub(crate) use machine::{Machine, Resolved};
pub(crate) use reads::{Read, What, inputs, reads, reads_by_policy, rests_on, sees_by_policy};
pub(crate) use resolve::{Reading, resolve, time_is_taken};
pub(crate) use response::Pin;
pub use response::{OwnedResponse, Response};
pub use scratch::Scratch;
pub(crate) use scratch::{Findings, Lease, TimeOfDay};
pub(crate) use weigh::{Fate, Missed, Reason, Seen, Weighed, out_of_groups, weigh_all};

/// Evaluates every policy whose scope matches and collects what applies and what fails, as Cedar does: also
/// after a forbid has been found.
pub(crate) fn evaluate<'a>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    mode: ErrorMode,
    findings: &mut Findings,
) -> Outcome {
    collect(machine, findings);
    for segment in later_segments(epoch) {
        findings.candidates.clear();
        collect(&machine.on(segment), findings);
    }
    // The index finds policies bucket by bucket; answers come in the order of the policies.
    let errors = &mut findings.errors;
    if errors.len() > 1 && !errors.is_sorted_by_key(|(policy, _)| *policy) {
        errors.sort_unstable_by_key(|(policy, _)| *policy);
    }
    outcome(epoch, mode, findings)
}

/// Evaluates the policies of the machine's segment.
#[inline]
fn collect(machine: &Machine<'_>, findings: &mut Findings) {
    let Findings {
        candidates,
        known,
        permits,
        forbids,
        errors,
        failed,
        ..
    } = findings;
    machine.matching(&mut Candidates {
        found: candidates,
        failed: Some(failed),
    });
    machine.begin(known);
    machine.read_ahead(candidates);
    for candidate in &*candidates {
        let Some(policy) = machine.number_in_force(candidate) else {
            continue;
        };
        match machine.candidate_holds(candidate, known) {
            Ok(false) => {}
            Ok(true) if candidate.what.forbids() => forbids.push(policy),
            Ok(true) => permits.push(policy),
            Err(raise) => errors.push((policy, raise)),
        }
    }
}

/// The segments that a machine does not begin with: none unless policies have been changed one by one.
#[inline]
fn later_segments(epoch: &Epoch) -> &[Segment] {
    epoch.segments.get(1..).unwrap_or_default()
}

fn outcome(epoch: &Epoch, mode: ErrorMode, findings: &Findings) -> Outcome {
    if !findings.forbids.is_empty() {
        return Outcome::Forbidden;
    }
    if findings.permits.is_empty() {
        return Outcome::NoPermit;
    }
    let spoiled = match mode {
        ErrorMode::Cedar => false,
        ErrorMode::DenyOnForbidError => {
            let single = findings.errors.iter().map(|(policy, _)| *policy);
            let several = findings.failed.iter();
            let mut failed = single.chain(several.map(|failed| failed.any_policy(epoch)));
            failed.any(|policy| epoch.effect(policy) == Effect::Forbid)
        }
        ErrorMode::DenyOnAnyError => !findings.errors.is_empty() || !findings.failed.is_empty(),
    };
    if spoiled {
        Outcome::EvaluationErrors
    } else {
        Outcome::Allowed
    }
}

/// Whether the request is allowed, and nothing else: stops at the first forbid, and evaluates no permit after
/// the first that applies.
pub(crate) fn evaluate_decision<'a>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    mode: ErrorMode,
    findings: &mut Findings,
) -> bool {
    let mut permitted = false;
    let mut denied = decide(epoch, machine, mode, findings, &mut permitted);
    for segment in later_segments(epoch) {
        findings.candidates.clear();
        findings.failed.clear();
        denied = denied || decide(epoch, &machine.on(segment), mode, findings, &mut permitted);
    }
    permitted && !denied
}

/// Whether a policy of the machine's segment denies.
#[inline]
fn decide(
    epoch: &Epoch,
    machine: &Machine<'_>,
    mode: ErrorMode,
    findings: &mut Findings,
    permitted: &mut bool,
) -> bool {
    let Findings {
        candidates,
        known,
        failed,
        ..
    } = findings;
    machine.matching(&mut Candidates {
        found: candidates,
        failed: Some(failed),
    });
    machine.begin(known);
    let spoils = |effect| match mode {
        ErrorMode::Cedar => false,
        ErrorMode::DenyOnForbidError => effect == Effect::Forbid,
        ErrorMode::DenyOnAnyError => true,
    };
    let mut failed = failed
        .iter()
        .map(|failed| epoch.effect(failed.any_policy(epoch)));
    let mut denied = failed.any(spoils);
    machine.read_ahead(candidates);
    for candidate in &*candidates {
        if denied {
            break;
        }
        if machine.number_in_force(candidate).is_none() {
            continue;
        }
        let effect = match candidate.what.forbids() {
            true => Effect::Forbid,
            false => Effect::Permit,
        };
        // In the strictest mode a permit that errors spoils an allow, so every permit has to be asked.
        if *permitted && effect == Effect::Permit && mode != ErrorMode::DenyOnAnyError {
            continue;
        }
        match (machine.candidate_holds(candidate, known), effect) {
            (Ok(false), _) => {}
            (Ok(true), Effect::Permit) => *permitted = true,
            (Ok(true), Effect::Forbid) => denied = true,
            (Err(_), effect) => denied = spoils(effect),
        }
    }
    denied
}

/// Resolves a request and makes the machine that evaluates it.
#[inline]
pub(crate) fn prepare<'a>(
    epoch: &'a Epoch,
    request: &Request<'_>,
    reading: &Reading,
    arena: &'a Bump,
    locals: &'a mut Locals,
) -> Result<Machine<'a>, RequestError> {
    let (resolved, names) = read(epoch, request, reading, arena, locals)?;
    Ok(Machine::new(epoch, names, resolved, arena))
}

/// Resolves a request. Whoever is in a hurry makes the machine where it is to stand: it is large, and a result that holds
/// one is copied on its way.
#[inline]
pub(crate) fn read<'a>(
    epoch: &'a Epoch,
    request: &Request<'_>,
    reading: &Reading,
    arena: &'a Bump,
    locals: &'a mut Locals,
) -> Result<(Resolved<'a>, RequestNames<'a>), RequestError> {
    let resolved = resolve(epoch, request, reading, arena, locals)?;
    let names = RequestNames {
        shared: &epoch.snapshot.names,
        locals,
    };
    Ok((resolved, names))
}
