//! The report as text for people.

use std::fmt::{self, Display, Formatter};

use super::report::{Flip, FlipCount, Side, WhatIfReport};
use crate::replay::reason::NotReplayableKind;

/// Counts, then the flips that are told one by one, then what flips most and what records do not say. `serde` has the rest.
impl Display for WhatIfReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} decisions: {} would be allowed and were denied, {} would be denied and were allowed, {} the same ({} for \
             other reasons), {} undetermined, {} not replayable",
            self.records - self.shadow,
            self.newly_allowed,
            self.newly_denied,
            self.same,
            self.other_reasons,
            self.undetermined,
            self.not_replayable,
        )?;
        if let Some(filled) = &self.filled_in {
            let records = filled.records;
            writeln!(f, "{records} were decided on entities as they are now")?;
        }
        if self.shadow > 0 {
            writeln!(
                f,
                "{} records of shadow decisions were left out",
                self.shadow
            )?;
        }
        if self.stale > 0 {
            writeln!(
                f,
                "{} were denied because data was too old: compared by what policies said",
                self.stale
            )?;
        }
        for (reason, records) in &self.reasons {
            writeln!(f, "not replayable: {records}, {}", why(*reason))?;
        }
        for flip in &self.flips {
            writeln!(f, "{flip}")?;
        }
        let shown = self.flips.len() as u64;
        if self.flip_count() > shown {
            writeln!(f, "and {} more", self.flip_count() - shown)?;
        }
        for (what, counts) in [
            ("policies that decided before", &self.by_policy_before),
            ("policies that decide now", &self.by_policy_after),
            ("principals", &self.by_principal),
            ("actions", &self.by_action),
            ("resources", &self.by_resource),
        ] {
            write_counts(f, what, counts)?;
        }
        for unknown in &self.unknown {
            writeln!(
                f,
                "undetermined: {} records do not tell {} of {}",
                unknown.records, unknown.what, unknown.entity_type
            )?;
        }
        Ok(())
    }
}

/// One line: both decisions, the request, and what each decision rests on.
impl Display for Flip {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (before, after) = (&self.before, &self.after);
        write!(
            f,
            "{} -> {}  {}  ",
            before.decision, after.decision, self.id
        )?;
        write!(f, "{}", self.principal)?;
        for actor in &self.actors {
            write!(f, " by {actor}")?;
        }
        let (before, after) = (Reason(before), Reason(after));
        write!(
            f,
            " {} {}  ({before} -> {after})",
            self.action, self.resource
        )
    }
}

/// The policies that a decision rests on, or why there are none.
struct Reason<'s>(&'s Side);

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.0.determining.split_first() else {
            return self.0.outcome.fmt(f);
        };
        first.id.fmt(f)?;
        others
            .iter()
            .try_for_each(|policy| write!(f, ", {}", policy.id))
    }
}

fn why(reason: NotReplayableKind) -> &'static str {
    match reason {
        NotReplayableKind::RequestRefused => "as the request was refused, and no policy was asked",
        NotReplayableKind::NoInputs => {
            "as the sink wanted no inputs: what policies read is not recorded"
        }
        NotReplayableKind::StrictMode => {
            "as a strict error mode denied, and the candidate is decided in Cedar's"
        }
        NotReplayableKind::Stale => "as data was too old and policies failed",
        NotReplayableKind::DelegationRefused => {
            "as the delegation was refused, and no policy was asked"
        }
        NotReplayableKind::Masked => "as ids, or any field of the context, are masked",
        NotReplayableKind::Unreadable => "as what the record says was read cannot be read",
        NotReplayableKind::OtherPolicies => "as the policies are not those that it was decided by",
    }
}

/// How many of each are named.
const NAMED: usize = 10;

fn write_counts(f: &mut Formatter<'_>, what: &str, counts: &[FlipCount]) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let title = format!("flips by {what}");
    writeln!(f, "\n{title:<44} newly allowed  newly denied")?;
    for count in counts.iter().take(NAMED) {
        let name = count.name.as_deref().unwrap_or("others");
        let (allowed, denied) = (count.newly_allowed, count.newly_denied);
        writeln!(f, "  {name:<42} {allowed:>13} {denied:>13}")?;
    }
    Ok(())
}
