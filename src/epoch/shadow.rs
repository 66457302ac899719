//! Policies that are tried out beside those in force: the same entities, the same numbers, another answer that nobody is
//! told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::program::ProgramSet;

use super::Epoch;

/// The shadow of an epoch.
///
/// Linked to the epoch's own snapshot, so that a request is resolved once for both; and an epoch of its own, so that its
/// policies' numbers and its record mean what they do for any epoch.
#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    pub(crate) epoch: Arc<Epoch>,
    pub(crate) tally: Arc<Tally>,
}

/// What the shadow of the next epoch is made of.
#[derive(Clone, Debug)]
pub(crate) struct ShadowParts {
    pub(crate) policies: ProgramSet,
    pub(crate) tally: Arc<Tally>,
}

impl Shadow {
    /// The same policies, for another epoch.
    pub(crate) fn parts(&self) -> ShadowParts {
        ShadowParts {
            policies: self.epoch.policies.clone(),
            tally: Arc::clone(&self.tally),
        }
    }
}

/// How the decisions of one shadow compare with those that were enforced. Lives as long as its policies are the shadow,
/// whatever becomes of entities meanwhile.
///
/// Counted by all deciding threads in one place: a decision with a shadow costs two decisions anyway.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    agreed: AtomicU64,
    newly_allowed: AtomicU64,
    newly_denied: AtomicU64,
    failed: AtomicU64,
}

/// What comparing one decision came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compared {
    Agreed,
    NewlyAllowed,
    NewlyDenied,
    /// There was nothing to compare with: the shadow panicked.
    Failed,
}

impl Tally {
    pub(crate) fn count(&self, compared: Compared) {
        self.counter(compared).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, compared: Compared) -> u64 {
        self.counter(compared).load(Ordering::Relaxed)
    }

    fn counter(&self, compared: Compared) -> &AtomicU64 {
        match compared {
            Compared::Agreed => &self.agreed,
            Compared::NewlyAllowed => &self.newly_allowed,
            Compared::NewlyDenied => &self.newly_denied,
            Compared::Failed => &self.failed,
        }
    }
}
