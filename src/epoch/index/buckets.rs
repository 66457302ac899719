//! Policies by entity.

use std::num::NonZero;

use crate::id::Uid;

use super::super::link::ScopeTest;
use super::super::values::Grouping;
use super::as_u32;

/// Policies by uid, and under each uid by the actions that they are for.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    bucket_of: BucketOf,
    /// Where each bucket's runs begin; one entry more than there are buckets.
    starts: Vec<u32>,
    runs: Vec<Run>,
    entries: Vec<Entry>,
    /// Where each bucket's groups begin, one entry more than there are buckets; none if no bucket has any.
    group_starts: Vec<u32>,
    groups: Vec<u32>,
}

/// Policies of a bucket that are for the same actions: one look at the action decides for all of them, and the others'
/// rows are not read at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Which actions: see [`super::ActionSets`].
    pub(crate) actions: u32,
    start: u32,
    end: u32,
}

/// A policy in a bucket, with what is left to test of its scope. Here, and not in the table of rows, because a bucket's
/// policies stand anywhere in that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    pub(crate) principal: ScopeTest,
    pub(crate) resource: ScopeTest,
}

/// What is filed under a uid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filed<'i> {
    pub(crate) runs: &'i [Run],
    /// Those of all runs of the index.
    entries: &'i [Entry],
    /// Groups of policies that are told apart by their conditions, by their numbers in [`super::Index::values`].
    pub(crate) groups: &'i [u32],
}

impl<'i> Filed<'i> {
    /// A run's policies.
    #[inline]
    pub(crate) fn policies(&self, run: &Run) -> &'i [Entry] {
        let policies = self.entries.get(run.start as usize..run.end as usize);
        policies.unwrap_or_default()
    }
}

/// By uid: the bucket's number plus one; 0 for none.
#[derive(Debug)]
pub(super) enum BucketOf {
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
    pub(super) fn new(uids: &[Uid], flat: usize) -> Self {
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
    pub(super) fn get(&self, uid: Uid) -> u32 {
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
    /// From entries by uid and set of actions. `flat`: see [`BucketOf::new`].
    pub(super) fn new(
        mut entries: Vec<(Uid, u32, Entry)>,
        flat: usize,
        grouping: &mut Grouping<'_>,
    ) -> Self {
        entries.sort_unstable_by_key(|(uid, actions, entry)| (*uid, *actions, entry.row));
        entries.dedup();
        let mut buckets = Self::default();
        let mut uids = Vec::new();
        for bucket in entries.chunk_by(|(a, ..), (b, ..)| a == b) {
            uids.extend(bucket.first().map(|(uid, ..)| *uid));
            let mut rows: Vec<u32> = bucket.iter().map(|(.., entry)| entry.row).collect();
            rows.sort_unstable();
            buckets.group_starts.push(as_u32(buckets.groups.len()));
            buckets.groups.extend(grouping.group(&mut rows));
            buckets.starts.push(as_u32(buckets.runs.len()));
            for run in bucket.chunk_by(|(_, a, _), (_, b, _)| a == b) {
                let single = run.iter().map(|(.., entry)| *entry);
                let single = single.filter(|entry| rows.binary_search(&entry.row).is_ok());
                let actions = run.first().map_or(0, |(_, actions, _)| *actions);
                buckets.push_run(actions, single);
            }
        }
        buckets.starts.push(as_u32(buckets.runs.len()));
        buckets.group_starts.push(as_u32(buckets.groups.len()));
        if buckets.groups.is_empty() {
            buckets.group_starts = Vec::new();
        }
        buckets.bucket_of = BucketOf::new(&uids, flat);
        buckets
    }

    fn push_run(&mut self, actions: u32, entries: impl Iterator<Item = Entry>) {
        let start = self.entries.len();
        self.entries.extend(entries);
        if self.entries.len() > start {
            self.runs.push(Run {
                actions,
                start: as_u32(start),
                end: as_u32(self.entries.len()),
            });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.groups.is_empty()
    }

    /// The policies filed under `uid`.
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
        Filed {
            runs: between(&self.starts, bucket, &self.runs),
            entries: &self.entries,
            groups: between(&self.group_starts, bucket, &self.groups),
        }
    }
}

/// What of `items` is a bucket's.
#[inline]
fn between<'i, T>(starts: &[u32], bucket: usize, items: &'i [T]) -> &'i [T] {
    let (Some(start), Some(end)) = (starts.get(bucket), starts.get(bucket + 1)) else {
        return &[];
    };
    let items = items.get(*start as usize..*end as usize);
    items.unwrap_or_default()
}
