//! Why a record is not decided again.

use std::fmt;

use serde::Serialize;

use crate::decision::Outcome;

/// Why a record is not decided again: the kind, and in words what `Display` writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotReplayable {
    kind: NotReplayableKind,
    what: String,
}

/// The kind of reason for which a record is not decided again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotReplayableKind {
    /// The request was refused, and policies were not asked.
    RequestRefused,
    /// The sink wanted no inputs.
    NoInputs,
    /// A strict [`ErrorMode`](crate::ErrorMode) denied, and the candidate's is Cedar's: build it with the same.
    StrictMode,
    /// Policies or entities were too old, some policies failed and others permitted: whether an error mode had denied for
    /// that, the record does not tell, and the candidate's is strict.
    Stale,
    /// The delegation was refused, and policies were not asked.
    DelegationRefused,
    /// What policies read is masked; where other policies are asked, ids or any field of the context: what they ask for cannot
    /// be told from the rest.
    Masked,
    /// What the record says cannot be read, or not be written in Cedar's formats.
    Unreadable,
    /// The policies are not those that it was decided by.
    OtherPolicies,
}

impl NotReplayable {
    pub(super) fn new(kind: NotReplayableKind, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { kind, what }
    }

    /// Because what the record says cannot be read.
    pub(super) fn unreadable(what: impl Into<String>) -> Self {
        Self::new(NotReplayableKind::Unreadable, what)
    }

    /// Because the sink wanted no inputs.
    pub(super) fn no_inputs() -> Self {
        let what = "the record has no inputs: its sink wanted none";
        Self::new(NotReplayableKind::NoInputs, what)
    }

    /// Because a delegation was refused before a policy was asked, with this outcome.
    pub(super) fn delegation_refused(outcome: Outcome) -> Self {
        let what = format!("no policy was asked: {outcome}");
        Self::new(NotReplayableKind::DelegationRefused, what)
    }

    /// Which kind of reason it is.
    pub fn kind(&self) -> NotReplayableKind {
        self.kind
    }
}

impl fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
