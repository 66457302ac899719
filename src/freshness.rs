//! How old policies and entities may be, and how old they are.
//!
//! An age is the time since whoever feeds the data last said that it is right: by loading, replacing or updating it, or
//! by confirming that nothing has changed. Ages are in whole milliseconds, as Cedar's datetimes are.

use std::time::{Duration, SystemTime};

use crate::ext::Datetime;

/// How old policies and entities may be for a decision to rest on them.
///
/// An authorizer that is built with this ([`Builder::freshness`](crate::Builder::freshness)) denies on older data, with
/// [`Outcome::StalePolicies`](crate::Outcome::StalePolicies) or
/// [`Outcome::StaleEntities`](crate::Outcome::StaleEntities), and says in each record how old the data was. Loading,
/// replacing and updating make data fresh, and so does
/// [`Authorizer::confirm_fresh`](crate::Authorizer::confirm_fresh), for data that has not changed because there was
/// nothing to change.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::time::{Duration, SystemTime};
///
/// use duramen::{Authorizer, DataSource, Freshness, Outcome, Request};
///
/// let seconds = Arc::new(AtomicU64::new(1_800_000_000));
/// let clock = Arc::clone(&seconds);
/// let now = move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource);")
///     .clock(now.clone())
///     .freshness(Freshness::new().max_entity_age(Duration::from_secs(60)))
///     .build()?;
/// let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p1"));
/// assert!(authorizer.is_authorized(&request).is_allowed());
///
/// seconds.fetch_add(61, Ordering::Relaxed);
/// assert_eq!(authorizer.is_authorized(&request).outcome(), Outcome::StaleEntities);
///
/// // The directory was asked, and has nothing new.
/// authorizer.confirm_fresh(DataSource::Entities, now())?;
/// assert!(authorizer.is_authorized(&request).is_allowed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Freshness {
    policies: Option<u64>,
    entities: Option<u64>,
    types: Vec<(Box<str>, u64)>,
}

impl Freshness {
    /// No bounds: ages are kept and recorded, and deny nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How old the policies may be, in whole milliseconds. When they are older, every decision is a deny.
    #[must_use]
    pub fn max_policy_age(mut self, age: Duration) -> Self {
        self.policies = Some(millis(age));
        self
    }

    /// How old the entities may be, whatever their type, in whole milliseconds. When they are older, every decision is a
    /// deny. Any update of entities counts; see [`Freshness::max_age_of_type`] for what that does not show.
    #[must_use]
    pub fn max_entity_age(mut self, age: Duration) -> Self {
        self.entities = Some(millis(age));
        self
    }

    /// How old the entities of a type may be, in whole milliseconds: for stores that are fed from several sources, of
    /// which one may fall silent while the others go on.
    ///
    /// When they are older, those decisions are denies that read an entity of the type, or one that is below an entity of
    /// the type. Principal, action and resource count as read. Entities that a request brings along are as old as the
    /// request.
    #[must_use]
    pub fn max_age_of_type(mut self, type_name: impl Into<Box<str>>, age: Duration) -> Self {
        let type_name = type_name.into();
        self.types.retain(|(known, _)| *known != type_name);
        self.types.push((type_name, millis(age)));
        self
    }

    /// The types that have a bound, in the order in which ages of types are kept.
    pub(crate) fn types(&self) -> impl ExactSizeIterator<Item = &str> {
        self.types.iter().map(|(name, _)| &**name)
    }

    /// Whether this age of the policies is too much.
    pub(crate) fn refuses_policies(&self, age: Age) -> bool {
        age.exceeds(self.policies)
    }

    /// Whether this age of all entities is too much.
    pub(crate) fn refuses_entities(&self, age: Age) -> bool {
        age.exceeds(self.entities)
    }

    /// The types whose age is too much.
    pub(crate) fn refused_types<'a>(&'a self, ages: &'a [Age]) -> impl Iterator<Item = &'a str> {
        let types = self.types.iter().zip(ages);
        types
            .filter(|((_, bound), age)| age.exceeds(Some(*bound)))
            .map(|((name, _), _)| &**name)
    }
}

/// Types whose entities are too old: a bit for each of the first 31, by its place among the bounds, and one for all others.
/// Every grant has one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct StaleTypes(u32);

impl StaleTypes {
    const OTHERS: u32 = 1 << 31;

    /// `ages` in the order of the bounds.
    pub(crate) fn of(bounds: &Freshness, ages: impl Iterator<Item = Age>) -> Self {
        let types = (0..).zip(bounds.types.iter().zip(ages));
        let stale = types.filter(|(_, ((_, bound), age))| age.exceeds(Some(*bound)));
        let bits = stale.map(|(place, _)| 1_u32.checked_shl(place).unwrap_or(Self::OTHERS));
        Self(bits.fold(0, |all, bit| all | bit))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is certain that all of these are among `others`.
    pub(crate) fn are_among(self, others: Self) -> bool {
        self.0 & (!others.0 | Self::OTHERS) == 0
    }
}

/// What has an age.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DataSource<'a> {
    /// The policies.
    Policies,
    /// The entities, all of them.
    Entities,
    /// The entities of one type, for which [`Freshness::max_age_of_type`] sets a bound.
    EntityType(&'a str),
}

/// A confirmation that could not be taken. What it was about is as old as before.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FreshnessError {
    /// The authorizer was built without [`Freshness`].
    #[error("no ages are kept; build the authorizer with a `Freshness`")]
    NotKept,
    /// No bound was set for the type.
    #[error("no age is kept for entities of type `{}`; set one with `Freshness::max_age_of_type`", .0.escape_debug())]
    UnboundedType(String),
    /// The time is later than the authorizer's clock, or no datetime can say it.
    #[error("data cannot be confirmed as of a time that is later than now")]
    InFuture,
}

/// The age of some data in milliseconds; `None` where the clock shows a time before the data was loaded, so that nobody
/// can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Age(pub(crate) Option<u64>);

impl Age {
    /// The age at `now` of what was right at `then`.
    pub(crate) fn between(then: Moment, now: Option<Moment>) -> Self {
        Self(now.and_then(|now| (now.0 >= then.0).then(|| now.0.abs_diff(then.0))))
    }

    pub(crate) fn duration(self) -> Option<Duration> {
        self.0.map(Duration::from_millis)
    }

    fn exceeds(self, bound: Option<u64>) -> bool {
        bound.is_some_and(|bound| self.0.is_none_or(|age| age > bound))
    }
}

/// A point in time: milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Moment(pub(crate) i64);

impl Moment {
    /// `None` for what no datetime can say.
    pub(crate) fn of(time: SystemTime) -> Option<Self> {
        let time = Datetime::try_from(time).ok()?;
        Some(Self(time.millis()))
    }

    /// When data was loaded by a clock that could not tell.
    pub(crate) const UNKNOWN: Self = Self(i64::MIN);
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_beyond_the_bits_are_never_taken_for_each_other() {
        let names: Vec<String> = (0..40).map(|number| format!("T{number:02}")).collect();
        let bounds = names.iter().fold(Freshness::new(), |bounds, name| {
            bounds.max_age_of_type(name.as_str(), Duration::from_millis(5))
        });
        let stale = |places: &[usize]| {
            let age = |place| Age(Some(if places.contains(&place) { 6 } else { 5 }));
            StaleTypes::of(&bounds, (0..40).map(age))
        };
        assert!(stale(&[]).is_empty() && stale(&[]).are_among(stale(&[])));
        assert!(stale(&[3, 30]).are_among(stale(&[3, 7, 30])));
        assert!(!stale(&[3, 8]).are_among(stale(&[3, 7, 30])));
        for place in [31, 32, 39] {
            assert!(!stale(&[place]).is_empty());
            assert!(!stale(&[place]).are_among(stale(&[place])));
            assert!(!stale(&[3, place]).are_among(stale(&[3, 31, 35])));
            assert!(stale(&[3]).are_among(stale(&[3, place])));
        }
    }
}
