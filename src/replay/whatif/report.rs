//! What a candidate changes, as data.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::decision::{Decision, Outcome};
use crate::epoch::{Version, VersionDigest};
use crate::evidence::OwnedPolicy;
use crate::id::{EntityUid, PolicyId};

use super::facts::{AskedFact, UnknownFact};
use crate::replay::reason::NotReplayableKind;

/// What would have been decided otherwise. Made by [`WhatIf::report`](super::WhatIf::report); displays as a report for people,
/// and serializes to its fields.
///
/// Names come from requests: who shows the text in a terminal escapes what moves its cursor.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct WhatIfReport {
    /// The digest of the candidate's policies.
    pub policies: VersionDigest,
    /// How many records there were. Each is counted once more in exactly one of `same`, `newly_allowed`,
    /// `newly_denied`, `undetermined`, `not_replayable` and `shadow`.
    pub records: u64,
    /// The candidate decides as was decided.
    pub same: u64,
    /// Of those, for other reasons: another outcome or other determining policies. Not counted where some of the
    /// candidate's policies are undetermined.
    pub other_reasons: u64,
    /// What was denied and the candidate allows.
    pub newly_allowed: u64,
    /// What was allowed and the candidate denies.
    pub newly_denied: u64,
    /// The candidate asks for what the record does not know, and the decision depends on it.
    pub undetermined: u64,
    /// There is nothing to decide again; why, `reasons` says.
    pub not_replayable: u64,
    /// Records of shadow decisions: nobody was told those, so they are left out.
    pub shadow: u64,
    /// Records of decisions that were denied because data was too old, whatever policies said. They are compared by what
    /// policies said, and counted among the others.
    pub stale: u64,
    /// With a live store: what was taken from it.
    pub filled_in: Option<FilledIn>,
    /// How many records were not replayable, by reason.
    pub reasons: BTreeMap<NotReplayableKind, u64>,
    /// Some of what flips: first what is newly allowed, then what is newly denied, each in the order of the records.
    pub flips: Vec<Flip>,
    /// Some of what is undetermined, and what is not known there.
    pub undetermined_records: Vec<UndeterminedRecord>,
    /// Some of what is not replayable: the record, and why in words.
    pub not_replayable_records: Vec<(String, String)>,
    /// Flips by the policies that decided before: those that no longer do, or no longer alone.
    pub by_policy_before: Vec<FlipCount>,
    /// Flips by the policies that decide in the candidate.
    pub by_policy_after: Vec<FlipCount>,
    /// Flips by principal.
    pub by_principal: Vec<FlipCount>,
    /// Flips by action.
    pub by_action: Vec<FlipCount>,
    /// Flips by resource.
    pub by_resource: Vec<FlipCount>,
    /// What records would have to know for the candidate to be decided on, by the type of the entity, the most
    /// frequent first.
    pub unknown: Vec<UnknownCount>,
}

impl WhatIfReport {
    /// How many decisions would have been others.
    pub fn flip_count(&self) -> u64 {
        self.newly_allowed + self.newly_denied
    }
}

/// What was taken from a live store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct FilledIn {
    /// The version whose entities they are.
    pub version: Version,
    /// How many records were decided on something that they do not say themselves.
    pub records: u64,
}

/// A decision that would have been another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Flip {
    /// [`DecisionRecord::id`](crate::evidence::DecisionRecord::id).
    pub id: String,
    /// When it was decided, as in the record.
    pub time: Option<String>,
    /// The caller's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Who asked.
    pub principal: EntityUid,
    /// What they wanted to do.
    pub action: EntityUid,
    /// What they wanted to do it to.
    pub resource: EntityUid,
    /// Who acted for the principal, the current actor last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<EntityUid>,
    /// Where data was too old: the outcome that the caller was told, a denial that the candidate would not have changed.
    /// What is compared is what policies came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Outcome>,
    /// What was decided; of a chain, what its first hop that was denied came to.
    pub before: Side,
    /// What the candidate decides.
    pub after: Side,
    /// Policies of the candidate that ask for what is not known, and that cannot change the decision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<PolicyId>,
    /// What was taken from a live store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filled_in: Vec<UnknownFact>,
}

/// One of the two decisions of a [`Flip`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Side {
    /// Allow or deny.
    pub decision: Decision,
    /// Why.
    pub outcome: Outcome,
    /// The policies that it rests on.
    pub determining: Vec<OwnedPolicy>,
    /// The policies that could not be evaluated.
    pub errors: Vec<PolicyId>,
}

/// A record on which the candidate cannot be decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct UndeterminedRecord {
    /// [`DecisionRecord::id`](crate::evidence::DecisionRecord::id).
    pub id: String,
    /// What the candidate asks for first and the record does not know.
    pub unknown: Vec<UnknownFact>,
}

/// How many decisions flip, of one policy, principal, action or resource. Sorted by what is newly allowed, then by what is
/// newly denied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct FlipCount {
    /// Whose; `None` for all those together for which there was no more room.
    pub name: Option<String>,
    /// Flips from deny to allow.
    pub newly_allowed: u64,
    /// Flips from allow to deny.
    pub newly_denied: u64,
}

/// In how many undetermined records something is not known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct UnknownCount {
    /// The type of the entity. Empty in the last, which is about all for which there was no room.
    pub entity_type: String,
    /// `attribute`, `tag`, `within` or `context`, and which: for `within`, the type of what it may be in. `other` of all for which
    /// there was no room.
    pub what: String,
    /// How many records.
    pub records: u64,
}

/// So many names are told apart. Enough for any policy set that a person looks at; principals and resources may be more,
/// and memory is bounded.
const NAMES: usize = 10_000;

/// Flips by name.
#[derive(Debug, Default)]
pub(super) struct Flips {
    counts: HashMap<String, [u64; 2]>,
    others: [u64; 2],
}

impl Flips {
    pub(super) fn count(&mut self, name: &str, is_newly_allowed: bool) {
        let has_room = self.counts.len() < NAMES;
        let counts = match self.counts.get_mut(name) {
            Some(counts) => counts,
            None if has_room => self.counts.entry(name.to_owned()).or_default(),
            None => &mut self.others,
        };
        counts[usize::from(!is_newly_allowed)] += 1;
    }

    pub(super) fn to_list(&self) -> Vec<FlipCount> {
        let named = |name, [newly_allowed, newly_denied]: [u64; 2]| FlipCount {
            name,
            newly_allowed,
            newly_denied,
        };
        let mut list: Vec<_> = self
            .counts
            .iter()
            .map(|(name, counts)| named(Some(name.clone()), *counts))
            .collect();
        list.sort_by(|a, b| {
            let key = |count: &FlipCount| (count.newly_allowed, count.newly_denied);
            key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
        });
        if self.others != [0, 0] {
            list.push(named(None, self.others));
        }
        list
    }
}

/// What is not known, by type.
#[derive(Debug, Default)]
pub(super) struct Unknowns {
    counts: HashMap<(String, String), u64>,
    others: u64,
}

impl Unknowns {
    pub(super) fn count(&mut self, facts: &[UnknownFact]) {
        let mut kinds: Vec<_> = facts
            .iter()
            .map(|fact| {
                let what = match &fact.asked {
                    AskedFact::Attribute(name) => format!("attribute {name}"),
                    AskedFact::Tag(name) => format!("tag {name}"),
                    AskedFact::Within(above) => format!("within {}", above.type_name()),
                    AskedFact::Context(name) => format!("context {name}"),
                };
                (fact.entity.type_name().to_owned(), what)
            })
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut others = 0;
        for kind in kinds {
            // Tags may have any name.
            if self.counts.contains_key(&kind) || self.counts.len() < NAMES {
                *self.counts.entry(kind).or_default() += 1;
            } else {
                others = 1;
            }
        }
        self.others += others;
    }

    pub(super) fn to_list(&self) -> Vec<UnknownCount> {
        let mut list: Vec<_> = self
            .counts
            .iter()
            .map(|((entity_type, what), records)| UnknownCount {
                entity_type: entity_type.clone(),
                what: what.clone(),
                records: *records,
            })
            .collect();
        list.sort_by(|a, b| {
            let name = |count: &UnknownCount| (count.entity_type.clone(), count.what.clone());
            b.records
                .cmp(&a.records)
                .then_with(|| name(a).cmp(&name(b)))
        });
        if self.others > 0 {
            list.push(UnknownCount {
                entity_type: String::new(),
                what: "other".to_owned(),
                records: self.others,
            });
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many are told apart as there is room for, and the others are one count of records.
    #[test]
    fn unknowns_without_room_are_told_together() {
        let fact = |number: usize| UnknownFact {
            entity: EntityUid::new("User", "ann"),
            asked: AskedFact::Tag(number.to_string()),
        };
        let mut unknowns = Unknowns::default();
        unknowns.count(&(0..NAMES + 2).map(fact).collect::<Vec<_>>());
        // The last by name, of those that were there first.
        unknowns.count(&[fact(0), fact(NAMES - 1)]);
        let list = unknowns.to_list();
        assert_eq!(list.len(), NAMES + 1);
        assert_eq!((list[0].what.as_str(), list[0].records), ("tag 0", 2));
        let last = list
            .last()
            .map(|count| (&*count.entity_type, &*count.what, count.records));
        assert_eq!(last, Some(("", "other", 2)));
    }
}
