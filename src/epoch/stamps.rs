//! When policies and entities were last known to be right.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::entity::EntityChange;
use crate::freshness::{Age, DataSource, Freshness, FreshnessError, Moment};
use crate::id::EntityUid;

/// The times of one epoch's data.
///
/// An epoch shares them with the one before it as far as it shares the data, and with no other: confirming what is in
/// force must not make what somebody still has pinned look young.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    pub(crate) bounds: Arc<Freshness>,
    policies: Arc<AtomicI64>,
    entities: Arc<EntityStamps>,
}

#[derive(Debug)]
struct EntityStamps {
    all: AtomicI64,
    /// In the order of the bounds.
    types: Box<[AtomicI64]>,
}

/// That entities were updated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Updated {
    /// When what they now are was right.
    pub(crate) at: Moment,
    /// Whether that shows that whoever feeds the store is alive.
    pub(crate) confirms: bool,
}

impl Stamps {
    pub(crate) fn new(bounds: Arc<Freshness>, policies: Moment, entities: Moment) -> Self {
        Self {
            policies: Arc::new(AtomicI64::new(policies.0)),
            entities: Arc::new(EntityStamps::new(&bounds, entities)),
            bounds,
        }
    }

    /// The times after the policies were replaced or updated.
    pub(crate) fn with_policies(&self, at: Moment) -> Self {
        Self {
            policies: Arc::new(AtomicI64::new(at.0)),
            ..self.clone()
        }
    }

    /// Whether those in force are known to be right as of a later time.
    pub(crate) fn policies_are_after(&self, at: Moment) -> bool {
        at.0 < self.policies.load(Ordering::Relaxed)
    }

    /// The times after all entities were replaced.
    pub(crate) fn with_entities(&self, at: Moment) -> Self {
        Self {
            entities: Arc::new(EntityStamps::new(&self.bounds, at)),
            ..self.clone()
        }
    }

    /// The times after some entities were changed.
    pub(super) fn after(&self, updated: Updated, changes: &[(EntityUid, EntityChange)]) -> Self {
        let copy = |stamp: &AtomicI64| AtomicI64::new(stamp.load(Ordering::Relaxed));
        let next = Self {
            entities: Arc::new(EntityStamps {
                all: copy(&self.entities.all),
                types: self.entities.types.iter().map(copy).collect(),
            }),
            ..self.clone()
        };
        next.note(updated, changes);
        next
    }

    /// Notes an update in place.
    pub(super) fn note(&self, updated: Updated, changes: &[(EntityUid, EntityChange)]) {
        if !updated.confirms {
            return;
        }
        raise(&self.entities.all, updated.at);
        for (name, stamp) in self.bounds.types().zip(&self.entities.types) {
            if changes.iter().any(|(uid, _)| uid.type_name() == name) {
                raise(stamp, updated.at);
            }
        }
    }

    /// Notes that what is there was still right at a time. A time that is still to come at `now` is of a clock that was ahead:
    /// it tells nothing, and would stand in the way until it is there.
    pub(crate) fn confirm(
        &self,
        what: DataSource<'_>,
        at: Moment,
        now: Moment,
    ) -> Result<(), FreshnessError> {
        let confirm = |stamp: &AtomicI64| match stamp.load(Ordering::Relaxed) > now.0 {
            true => stamp.store(at.0, Ordering::Relaxed),
            false => raise(stamp, at),
        };
        match what {
            DataSource::Policies => confirm(&self.policies),
            DataSource::Entities => {
                confirm(&self.entities.all);
                self.entities.types.iter().for_each(confirm);
            }
            DataSource::EntityType(name) => confirm(self.of_type(name)?),
        }
        Ok(())
    }

    pub(crate) fn age(
        &self,
        what: DataSource<'_>,
        now: Option<Moment>,
    ) -> Result<Age, FreshnessError> {
        Ok(match what {
            DataSource::Policies => self.policies(now),
            DataSource::Entities => self.entities(now),
            DataSource::EntityType(name) => age(self.of_type(name)?, now),
        })
    }

    pub(crate) fn policies(&self, now: Option<Moment>) -> Age {
        age(&self.policies, now)
    }

    pub(crate) fn entities(&self, now: Option<Moment>) -> Age {
        age(&self.entities.all, now)
    }

    /// In the order of the bounds.
    pub(crate) fn types(&self, now: Option<Moment>) -> impl ExactSizeIterator<Item = Age> {
        self.entities.types.iter().map(move |stamp| age(stamp, now))
    }

    fn of_type(&self, name: &str) -> Result<&AtomicI64, FreshnessError> {
        let mut stamps = self.bounds.types().zip(&self.entities.types);
        stamps
            .find_map(|(known, stamp)| (known == name).then_some(stamp))
            .ok_or_else(|| FreshnessError::UnboundedType(name.to_owned()))
    }
}

impl EntityStamps {
    fn new(bounds: &Freshness, at: Moment) -> Self {
        Self {
            all: AtomicI64::new(at.0),
            types: bounds.types().map(|_| AtomicI64::new(at.0)).collect(),
        }
    }
}

fn age(stamp: &AtomicI64, now: Option<Moment>) -> Age {
    Age::between(Moment(stamp.load(Ordering::Relaxed)), now)
}

/// Times only go on: a confirmation that was overtaken changes nothing.
fn raise(stamp: &AtomicI64, at: Moment) {
    stamp.fetch_max(at.0, Ordering::Relaxed);
}
