//! The scope index: which policies can match a request at all.
//!
//! Scope tests cannot fail, so a policy whose scope cannot match may be skipped without changing the decision,
//! the determining policies or the errors. Each policy is filed once, under the part of its scope that is
//! rarest: an entity that the principal or the resource must be or be below, or the actions it is for. A
//! decision asks for its principal and all of the principal's ancestors, likewise for the resource, and for its
//! action; what it gets is tested in full.

use std::collections::HashMap;
use std::num::NonZero;

use bumpalo::Bump;

use crate::entity::Snapshot;
use crate::id::{TypeId, Uid};
use crate::schema::is_action_type;

use super::link::{ActionTest, Row, ScopeTest};
use super::values::{Grouping, ValueIndex};

/// The index over the rows of a linked program.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) principal: Buckets,
    pub(crate) resource: Buckets,
    pub(crate) action: Buckets,
    /// By type: whether it is one of actions. `action` knows what is above the entities of these types only.
    action_types: Vec<bool>,
    /// Rows that are filed nowhere: every decision tests them.
    pub(crate) rest: Vec<u32>,
    /// Groups of them, by their numbers in `values`.
    pub(crate) rest_groups: Vec<u32>,
    /// What is told apart by its conditions.
    pub(crate) values: ValueIndex,
}

/// Rows by uid.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    bucket_of: BucketOf,
    /// Where each bucket's rows begin; one entry more than there are buckets.
    starts: Vec<u32>,
    /// Where the rows end, in each bucket, that match whatever else the request says. They come first.
    certain_ends: Vec<u32>,
    rows: Vec<u32>,
    /// Where each bucket's groups begin, one entry more than there are buckets; none if no bucket has any.
    group_starts: Vec<u32>,
    groups: Vec<u32>,
}

/// What is filed under a uid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filed<'i> {
    /// Rows that match.
    pub(crate) certain: &'i [u32],
    /// Rows that may.
    pub(crate) possible: &'i [u32],
    /// Groups of rows that may, by their numbers in [`Index::values`].
    pub(crate) groups: &'i [u32],
}

/// By uid: the bucket's number plus one; 0 for none.
#[derive(Debug)]
enum BucketOf {
    /// By the uid's number. Four bytes a uid, and a nanosecond for each of the forty ancestors that a decision in a
    /// deep hierarchy asks for.
    Flat(Vec<u32>),
    /// Pairs of uid and bucket, where few of many uids have one: what a change of one policy links must not cost
    /// four bytes for each entity there is. A power of two of places, at least twice as many as pairs.
    Hashed { places: Vec<(u32, u32)>, shift: u32 },
}

/// See [`BucketOf::Flat`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlatBuckets<'i>(&'i [u32]);

impl FlatBuckets<'_> {
    /// See [`Buckets::has_bucket`].
    #[inline]
    pub(crate) fn has_bucket(self, uid: Uid) -> bool {
        !uid.is_local() && self.0.get(uid.index()).is_some_and(|bucket| *bucket != 0)
    }
}

impl Default for BucketOf {
    fn default() -> Self {
        Self::Flat(Vec::new())
    }
}

impl BucketOf {
    /// `flat` is how many uids a flat array may have however few of them have buckets.
    fn new(uids: &[Uid], flat: usize) -> Self {
        let len = uids.last().map_or(0, |last| last.index() + 1);
        if len <= flat.max(uids.len() * 32) {
            let mut bucket_of = vec![0; len];
            for (uid, bucket) in uids.iter().zip(1..) {
                bucket_of[uid.index()] = bucket;
            }
            return Self::Flat(bucket_of);
        }
        let size = (uids.len() * 2).next_power_of_two().max(2);
        let mut places = vec![(0, 0); size];
        let shift = u32::BITS - size.trailing_zeros();
        for (uid, bucket) in uids.iter().zip(1..) {
            let uid = as_u32(uid.index());
            let mut at = place(uid, shift);
            while places[at].1 != 0 {
                at = (at + 1) % size;
            }
            places[at] = (uid, bucket);
        }
        Self::Hashed { places, shift }
    }

    #[inline]
    fn get(&self, uid: Uid) -> u32 {
        match self {
            Self::Flat(bucket_of) => bucket_of.get(uid.index()).copied().unwrap_or(0),
            Self::Hashed { places, shift } => {
                let uid = as_u32(uid.index());
                let mut at = place(uid, *shift);
                // Half of the places are empty, so the search ends.
                loop {
                    match places[at] {
                        (_, 0) => return 0,
                        (found, bucket) if found == uid => return bucket,
                        _ => at = (at + 1) % places.len(),
                    }
                }
            }
        }
    }
}

/// The high bits of a product with the golden ratio, so that neighbours are spread.
#[inline]
fn place(uid: u32, shift: u32) -> usize {
    (uid.wrapping_mul(0x9E37_79B9) >> shift) as usize
}

impl Buckets {
    /// From rows by uid; `certain` tells those that need no test. `flat`: see [`BucketOf::new`].
    fn new(
        mut entries: Vec<(Uid, u32)>,
        certain: impl Fn(u32) -> bool,
        flat: usize,
        grouping: &mut Grouping<'_>,
    ) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut buckets = Self::default();
        let mut uids = Vec::new();
        for entries in entries.chunk_by(|(a, _), (b, _)| a == b) {
            uids.extend(entries.first().map(|(uid, _)| *uid));
            let mut rows: Vec<u32> = entries.iter().map(|(_, row)| *row).collect();
            buckets.group_starts.push(as_u32(buckets.groups.len()));
            buckets.groups.extend(grouping.group(&mut rows));
            let (certain, possible): (Vec<u32>, Vec<u32>) =
                rows.into_iter().partition(|row| certain(*row));
            buckets.starts.push(as_u32(buckets.rows.len()));
            buckets.rows.extend(certain);
            buckets.certain_ends.push(as_u32(buckets.rows.len()));
            buckets.rows.extend(possible);
        }
        buckets.starts.push(as_u32(buckets.rows.len()));
        buckets.group_starts.push(as_u32(buckets.groups.len()));
        if buckets.groups.is_empty() {
            buckets.group_starts = Vec::new();
        }
        buckets.bucket_of = BucketOf::new(&uids, flat);
        buckets
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.groups.is_empty()
    }

    /// The rows filed under `uid`.
    #[inline]
    pub(crate) fn filed(&self, uid: Uid) -> Filed<'_> {
        if uid.is_local() {
            return Filed::default();
        }
        self.bucket(uid)
            .map_or_else(Filed::default, |bucket| self.filed_in(bucket))
    }

    /// Whether something is filed under a uid, for walks over many.
    #[inline]
    pub(crate) fn has_bucket(&self, uid: Uid) -> bool {
        !uid.is_local() && self.bucket(uid).is_some()
    }

    /// The array of buckets, if it is one.
    #[inline]
    pub(crate) fn flat(&self) -> Option<FlatBuckets<'_>> {
        match &self.bucket_of {
            BucketOf::Flat(bucket_of) => Some(FlatBuckets(bucket_of)),
            BucketOf::Hashed { .. } => None,
        }
    }

    /// The bucket of a uid of the shared tables.
    #[inline]
    fn bucket(&self, uid: Uid) -> Option<NonZero<u32>> {
        NonZero::new(self.bucket_of.get(uid))
    }

    #[inline]
    fn filed_in(&self, bucket: NonZero<u32>) -> Filed<'_> {
        let bucket = bucket.get() as usize - 1;
        let bounds = [
            self.starts.get(bucket),
            self.certain_ends.get(bucket),
            self.starts.get(bucket + 1),
        ];
        let [Some(start), Some(certain), Some(end)] = bounds else {
            return Filed::default();
        };
        let rows = |from: u32, to: u32| self.rows.get(from as usize..to as usize);
        Filed {
            certain: rows(*start, *certain).unwrap_or_default(),
            possible: rows(*certain, *end).unwrap_or_default(),
            groups: self.groups_in(bucket),
        }
    }

    #[inline]
    fn groups_in(&self, bucket: usize) -> &[u32] {
        let bounds = (
            self.group_starts.get(bucket),
            self.group_starts.get(bucket + 1),
        );
        let (Some(start), Some(end)) = bounds else {
            return &[];
        };
        let groups = self.groups.get(*start as usize..*end as usize);
        groups.unwrap_or_default()
    }
}

impl Index {
    /// `flat`: see [`BucketOf::new`].
    pub(super) fn new(
        rows: &[Row],
        action_lists: &[Uid],
        snapshot: &Snapshot,
        members: &ActionMembers,
        flat: usize,
        mut grouping: Grouping<'_>,
    ) -> Self {
        let mut principal_use = Usage::default();
        let mut resource_use = Usage::default();
        for row in rows {
            if let Some(uid) = row.principal.entity() {
                principal_use.count(uid);
            }
            if let Some(uid) = row.resource.entity() {
                resource_use.count(uid);
            }
        }
        let (mut principal, mut resource, mut action) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let number = as_u32(number);
            match (row.principal.entity(), row.resource.entity()) {
                (Some(p), Some(r)) if resource_use.of(r) < principal_use.of(p) => {
                    resource.push((r, number));
                }
                (Some(p), _) => principal.push((p, number)),
                (None, Some(r)) => resource.push((r, number)),
                (None, None) => match row.action {
                    ActionTest::Any => rest.push(number),
                    ActionTest::Eq(uid) => action.push((uid, number)),
                    ActionTest::In(list) => {
                        for uid in list.of(action_lists) {
                            action.push((*uid, number));
                            action.extend(members.below(*uid).map(|member| (member, number)));
                        }
                    }
                },
            }
        }
        // Nothing is certain of what is found by way of an ancestor: the scope may say `==`.
        let principal = Buckets::new(principal, |_| false, flat, &mut grouping);
        let resource = Buckets::new(resource, |_| false, flat, &mut grouping);
        // What is filed under an action is for that action, and maybe for anybody and anything.
        let for_all = |number: u32| {
            rows.get(number as usize).is_some_and(|row| {
                row.principal == ScopeTest::Any && row.resource == ScopeTest::Any
            })
        };
        let action = Buckets::new(action, for_all, flat, &mut grouping);
        let rest_groups = grouping.group(&mut rest);
        Self {
            principal,
            resource,
            action,
            action_types: snapshot
                .names
                .types()
                .map(|ty| is_action_type(snapshot.names.type_text(ty)))
                .collect(),
            rest,
            rest_groups,
            values: grouping.finish(),
        }
    }

    /// Whether the index finds what is filed under the groups that an action of this type is in.
    #[inline]
    pub(crate) fn covers_actions_of(&self, type_id: Option<TypeId>) -> bool {
        type_id
            .and_then(|ty| self.action_types.get(ty.index()))
            .is_some_and(|is_action| *is_action)
    }
}

impl ScopeTest {
    /// The entity that a match must be, or be below.
    pub(super) fn entity(self) -> Option<Uid> {
        match self {
            Self::Eq(uid) | Self::In(uid) | Self::IsIn(_, uid) => Some(uid),
            Self::Any | Self::Is(_) => None,
        }
    }
}

/// How often each uid is used on one side of the scopes.
#[derive(Default)]
struct Usage(HashMap<Uid, u32>);

impl Usage {
    fn count(&mut self, uid: Uid) {
        *self.0.entry(uid).or_default() += 1;
    }

    fn of(&self, uid: Uid) -> u32 {
        self.0.get(&uid).copied().unwrap_or_default()
    }
}

/// What is below each action group, from the stored hierarchy. Found by a walk over all entities, and so once for
/// all programs that are linked to them.
#[derive(Debug)]
pub(crate) struct ActionMembers {
    /// All stored actions, sorted.
    pub(crate) actions: Vec<Uid>,
    /// Group and member, sorted.
    pairs: Vec<(Uid, Uid)>,
}

impl ActionMembers {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let arena = Bump::new();
        let (mut actions, mut pairs) = (Vec::new(), Vec::new());
        for (uid, data) in snapshot.actions() {
            actions.push(uid);
            let ancestors = snapshot.ancestors(&arena, data).merged(&arena);
            pairs.extend(ancestors.iter().map(|above| (*above, uid)));
        }
        pairs.sort_unstable();
        Self { actions, pairs }
    }

    fn below(&self, group: Uid) -> impl Iterator<Item = Uid> {
        let start = self.pairs.partition_point(|(above, _)| *above < group);
        self.pairs[start..]
            .iter()
            .take_while(move |(above, _)| *above == group)
            .map(|(_, member)| *member)
    }
}

/// Row numbers and bucket numbers fit: policies are counted in `u32` when they are compiled.
fn as_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
