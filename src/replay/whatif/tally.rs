//! What the records that were decided again come to together.

use std::collections::BTreeMap;

use crate::decision::Decision;
use crate::epoch::{Version, VersionDigest};
use crate::evidence::OwnedRecord;

use super::Reconsidered;
use super::report::{FilledIn, Flip, Flips, UndeterminedRecord, Unknowns, WhatIfReport};
use crate::replay::reason::NotReplayableKind;

/// What was collected.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How many records of each kind are told one by one.
    pub(super) samples: usize,
    records: u64,
    same: u64,
    other_reasons: u64,
    newly_allowed: u64,
    newly_denied: u64,
    undetermined: u64,
    not_replayable: u64,
    shadow: u64,
    pub(super) stale: u64,
    pub(super) filled_in: u64,
    reasons: BTreeMap<NotReplayableKind, u64>,
    /// By direction.
    flips: [Vec<Flip>; 2],
    undetermined_records: Vec<UndeterminedRecord>,
    not_replayable_records: Vec<(String, String)>,
    by_policy_before: Flips,
    by_policy_after: Flips,
    by_principal: Flips,
    by_action: Flips,
    by_resource: Flips,
    unknown: Unknowns,
}

impl Tally {
    pub(super) fn new(samples: usize) -> Self {
        Self {
            samples,
            ..Self::default()
        }
    }

    pub(super) fn count(&mut self, record: &OwnedRecord, reconsidered: &Reconsidered) {
        self.records += 1;
        match reconsidered {
            Reconsidered::Same { same_reasons } => {
                self.same += 1;
                self.other_reasons += u64::from(*same_reasons == Some(false));
            }
            Reconsidered::Flipped(flip) => {
                let is_newly_allowed = flip.after.decision == Decision::Allow;
                match is_newly_allowed {
                    true => self.newly_allowed += 1,
                    false => self.newly_denied += 1,
                }
                for (by, side) in [
                    (&mut self.by_policy_before, &flip.before),
                    (&mut self.by_policy_after, &flip.after),
                ] {
                    for policy in &side.determining {
                        by.count(policy.id.as_str(), is_newly_allowed);
                    }
                }
                for (by, uid) in [
                    (&mut self.by_principal, &flip.principal),
                    (&mut self.by_action, &flip.action),
                    (&mut self.by_resource, &flip.resource),
                ] {
                    by.count(&uid.to_string(), is_newly_allowed);
                }
                let [allowed, denied] = &mut self.flips;
                let samples = if is_newly_allowed { allowed } else { denied };
                if samples.len() < self.samples {
                    samples.push(Flip::clone(flip));
                }
            }
            Reconsidered::Undetermined(unknown) => {
                self.undetermined += 1;
                self.unknown.count(unknown);
                if self.undetermined_records.len() < self.samples {
                    self.undetermined_records.push(UndeterminedRecord {
                        id: record.id.clone(),
                        unknown: unknown.clone(),
                    });
                }
            }
            Reconsidered::NotReplayable(why) => {
                self.not_replayable += 1;
                *self.reasons.entry(why.kind()).or_default() += 1;
                if self.not_replayable_records.len() < self.samples {
                    self.not_replayable_records
                        .push((record.id.clone(), why.to_string()));
                }
            }
            Reconsidered::Shadow => self.shadow += 1,
        }
    }

    /// `live` is the version that is asked for what records do not know.
    pub(super) fn report(&self, policies: VersionDigest, live: Option<Version>) -> WhatIfReport {
        WhatIfReport {
            policies,
            records: self.records,
            same: self.same,
            other_reasons: self.other_reasons,
            newly_allowed: self.newly_allowed,
            newly_denied: self.newly_denied,
            undetermined: self.undetermined,
            not_replayable: self.not_replayable,
            shadow: self.shadow,
            stale: self.stale,
            filled_in: live.map(|version| FilledIn {
                version,
                records: self.filled_in,
            }),
            reasons: self.reasons.clone(),
            flips: self.flips.concat(),
            undetermined_records: self.undetermined_records.clone(),
            not_replayable_records: self.not_replayable_records.clone(),
            by_policy_before: self.by_policy_before.to_list(),
            by_policy_after: self.by_policy_after.to_list(),
            by_principal: self.by_principal.to_list(),
            by_action: self.by_action.to_list(),
            by_resource: self.by_resource.to_list(),
            unknown: self.unknown.to_list(),
        }
    }
}
