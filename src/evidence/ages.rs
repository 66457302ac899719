//! How old policies and entities were, as a record has it.

use std::fmt;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::json::Members;
use crate::freshness::{Age, Freshness};

/// Ages at one decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ages<'a> {
    pub(crate) policies: Age,
    pub(crate) entities: Age,
    /// In the order of the bounds.
    pub(crate) types: &'a [Age],
}

impl Ages<'_> {
    /// Whether the clock is behind none of what has an age.
    pub(crate) fn is_known(&self) -> bool {
        let mut all = [&self.policies, &self.entities]
            .into_iter()
            .chain(self.types);
        all.all(|age| age.0.is_some())
    }
}

/// How old policies and entities were at a decision: how long before it they were last loaded, updated or confirmed.
/// [`Freshness`](crate::Freshness) says when that is.
///
/// All are in whole milliseconds. `None` stands where the clock showed a time before the data was loaded.
#[derive(Clone, Copy)]
pub struct AgesView<'a> {
    ages: Ages<'a>,
    bounds: &'a Freshness,
}

impl<'a> AgesView<'a> {
    pub(super) fn new(ages: Ages<'a>, bounds: &'a Freshness) -> Self {
        Self { ages, bounds }
    }

    /// Of the policies.
    pub fn policies(&self) -> Option<Duration> {
        self.ages.policies.duration()
    }

    /// Of the entities as a whole.
    pub fn entities(&self) -> Option<Duration> {
        self.ages.entities.duration()
    }

    /// Of the entities of each type that has a bound.
    pub fn types(&self) -> impl ExactSizeIterator<Item = (&'a str, Option<Duration>)> {
        let ages = self.ages.types.iter().map(|age| age.duration());
        self.bounds.types().zip(ages)
    }
}

impl fmt::Debug for AgesView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgesView")
            .field("policies", &self.policies())
            .field("entities", &self.entities())
            .field("types", &self.types().collect::<Vec<_>>())
            .finish()
    }
}

impl Serialize for AgesView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.member("policies_ms", &self.ages.policies.0)?;
        map.member("entities_ms", &self.ages.entities.0)?;
        if !self.ages.types.is_empty() {
            map.member("types_ms", &Types(*self))?;
        }
        map.end()
    }
}

struct Types<'a>(AgesView<'a>);

impl Serialize for Types<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(AgesView { ages, bounds }) = self;
        serializer.collect_map(bounds.types().zip(ages.types.iter().map(|age| age.0)))
    }
}
