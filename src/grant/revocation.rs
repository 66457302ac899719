//! Why a grant was taken back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::authorizer::Change;
use crate::decision::Outcome;
use crate::epoch::Version;
use crate::eval::OwnedResponse;
use crate::id::{EntityUidRef, PolicyId};

use super::basis::Basis;

/// The name of a grant, unique among those of one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GrantId(u64);

impl GrantId {
    pub(super) fn next() -> Self {
        static GRANTS: AtomicU64 = AtomicU64::new(1);
        Self(GRANTS.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grant {}", self.0)
    }
}

/// Why a grant is no longer current.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum RevocationReason {
    /// Its request was decided again and denied: the outcome, the policies that determine it (the forbids, if any), and what
    /// was wrong with the request where nothing could be decided.
    Denied(OwnedResponse),
    /// Its time was over: that of the grant, or that of the chain of delegation that it was made from.
    Expired,
}

/// How a grant ended. It ends once: what is allowed again later takes a new grant.
#[derive(Clone, Debug)]
pub struct Revocation {
    pub(super) grant: GrantId,
    pub(super) basis: Basis,
    pub(super) reason: RevocationReason,
    pub(super) version: Version,
    /// The last epoch for which the grant was known to be current.
    pub(super) good: u64,
    pub(super) decision: Option<u64>,
    pub(super) rechecks: Option<u64>,
    pub(super) change: Option<Arc<Change>>,
}

impl Revocation {
    /// Which grant was taken back.
    pub fn grant(&self) -> GrantId {
        self.grant
    }

    /// Whose it was.
    pub fn principal(&self) -> EntityUidRef<'_> {
        self.basis.principal()
    }

    /// Who acted for them, the current actor last.
    pub fn actors(&self) -> Vec<EntityUidRef<'_>> {
        self.basis.actors()
    }

    /// What it let them do.
    pub fn action(&self) -> EntityUidRef<'_> {
        self.basis.action()
    }

    /// What it let them do that to.
    pub fn resource(&self) -> EntityUidRef<'_> {
        self.basis.resource()
    }

    /// Why.
    pub fn reason(&self) -> &RevocationReason {
        &self.reason
    }

    /// The outcome of the decision that took it back; `None` when it expired.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.reason {
            RevocationReason::Denied(response) => Some(response.outcome),
            RevocationReason::Expired => None,
        }
    }

    /// The policies that determine that decision: the forbids that apply; none when no permit does any more.
    pub fn determining(&self) -> &[PolicyId] {
        match &self.reason {
            RevocationReason::Denied(response) => &response.determining,
            RevocationReason::Expired => &[],
        }
    }

    /// The policies, schema and entities on which it was taken back.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What was changed by the update or replacement after which a [`GrantTable`](super::GrantTable) found that the grant is
    /// not current: all of it, also what has nothing to do with the grant. `None` where the holder's own look found it.
    pub fn change(&self) -> Option<&Change> {
        self.change.as_deref()
    }

    /// The number of the record of the decision that took it back, if a sink wants records.
    pub fn sequence(&self) -> Option<u64> {
        self.decision
    }

    /// The number of the record of the decision that it was made from.
    pub fn rechecks(&self) -> Option<u64> {
        self.rechecks
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.grant, self.principal())?;
        for actor in self.actors() {
            write!(f, " through {actor}")?;
        }
        write!(f, ", {}, {}): ", self.action(), self.resource())?;
        match self.outcome() {
            None => f.write_str("its time is over"),
            Some(outcome) => {
                write!(f, "{outcome}")?;
                for (at, policy) in self.determining().iter().enumerate() {
                    write!(f, "{} {policy}", if at == 0 { " by" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}
