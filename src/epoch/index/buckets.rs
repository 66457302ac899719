//! Policies by entity.

use crate::decision::Effect;
use crate::id::{TypeId, Uid};

use super::super::link::Row;
use super::super::values::Grouping;
use super::actions::ANY;
use super::as_u32;

/// Policies by uid, and under each uid by the class of actions that they are for.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    bucket_of: BucketOf,
    /// One more than there are buckets, for where the last one ends.
    buckets: Vec<Bucket>,
    /// One more than there are runs, likewise. Empty if there is none.
    runs: Vec<Run>,
    entries: Vec<Entry>,
    /// Numbers of groups.
    groups: Vec<u32>,
    /// Whether there are more classes than bits.
    crowded: bool,
}

/// What is filed under a uid.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// The bits of its runs' classes, see [`bit`], and [`GROUPS`].
    classes: u64,
    /// Where its runs begin, in the order of the bits: how many lower ones are set is the number of a run.
    runs: u32,
    /// Where its groups begin.
    groups: u32,
}

/// Policies of a bucket that are for the same class of actions; up to where the next run starts.
#[derive(Clone, Copy, Debug)]
struct Run {
    class: u32,
    start: u32,
}

/// A policy in a bucket, with what is left to test of its scope and what follows if it matches. Here, and not in the
/// tables of rows and bodies, because a bucket's policies stand anywhere in those, and most that match in a large set have
/// no condition: for them nothing else is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    pub(crate) principal: Left,
    pub(crate) resource: Left,
    pub(crate) what: What,
}

/// What is left to test of a side, in four bytes: nothing, a type, or an entity that the side is or is below
/// ([`What::is_exact`]: is). Kinds stand one behind the other when sorted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Left(u32);

impl Left {
    pub(crate) const NOTHING: Self = Self(u32::MAX);
    /// A type that nobody has asked for yet. There are fewer of them.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX - 1);
    /// Numbers of types and of uids are below it.
    const TYPE: u32 = 1 << 31;

    pub(crate) fn of_type(ty: TypeId) -> Self {
        Self(Self::TYPE | as_u32(ty.index()))
    }

    pub(super) fn of_entity(uid: Uid) -> Option<Self> {
        (!uid.is_local()).then(|| Self(as_u32(uid.index())))
    }

    #[inline]
    pub(crate) fn entity(self) -> Option<Uid> {
        match self.0 < Self::TYPE {
            true => Uid::known(self.0 as usize),
            false => None,
        }
    }
}

/// What follows from a match, and how it is tested.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct What(u32);

impl What {
    const EXACT_PRINCIPAL: u32 = 1 << 31;
    const EXACT_RESOURCE: u32 = 1 << 30;
    const IN_FULL: u32 = 1 << 29;
    const HOLDS: u32 = 1 << 28;
    const FORBIDS: u32 = 1 << 27;
    const BODY: u32 = Self::FORBIDS - 1;
    /// For policies whose body nobody else has, or whose number does not fit.
    const OWN: u32 = Self::BODY;

    /// `shared` is the number of a body that several policies have.
    pub(crate) fn new(row: &Row, shared: Option<u32>) -> Self {
        let flag = |on: bool, bit| if on { bit } else { 0 };
        let body = shared.filter(|body| *body < Self::OWN).unwrap_or(Self::OWN);
        Self(
            body | flag(row.conjuncts.len == 0, Self::HOLDS)
                | flag(row.effect == Effect::Forbid, Self::FORBIDS),
        )
    }

    pub(super) fn with_exact_principal(self) -> Self {
        Self(self.0 | Self::EXACT_PRINCIPAL)
    }

    pub(super) fn with_exact_resource(self) -> Self {
        Self(self.0 | Self::EXACT_RESOURCE)
    }

    /// With nothing left out of the row's tests: there is something that the entry cannot say.
    pub(super) fn in_full(self) -> Self {
        Self(self.0 | Self::IN_FULL)
    }

    #[inline]
    pub(crate) fn is_exact_principal(self) -> bool {
        self.0 & Self::EXACT_PRINCIPAL != 0
    }

    #[inline]
    pub(crate) fn is_exact_resource(self) -> bool {
        self.0 & Self::EXACT_RESOURCE != 0
    }

    /// Whether the whole row has to be tested.
    #[inline]
    pub(crate) fn is_in_full(self) -> bool {
        self.0 & Self::IN_FULL != 0
    }

    /// Whether there is no condition.
    #[inline]
    pub(crate) fn holds(self) -> bool {
        self.0 & Self::HOLDS != 0
    }

    #[inline]
    pub(crate) fn forbids(self) -> bool {
        self.0 & Self::FORBIDS != 0
    }

    /// The body, if other policies have it too.
    #[inline]
    pub(crate) fn shared_body(self) -> Option<u32> {
        let body = self.0 & Self::BODY;
        (body != Self::OWN).then_some(body)
    }
}

/// The bit in a bucket's set that tells of what is for any action.
const FOR_ANY: u64 = 1;

/// The bit that tells of groups.
const GROUPS: u64 = 1 << 63;

/// How many classes have a bit of their own.
const BITS: u32 = 62;

/// The bit of a class in a bucket's set.
fn bit(class: u32) -> u64 {
    match class {
        ANY => FOR_ANY,
        class => 2 << ((class - 1) % BITS),
    }
}

/// A class of actions as buckets are asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    number: u32,
    /// None for [`ANY`], as what is filed under that is found for every class.
    bit: u64,
    /// What a bucket must have one of.
    wanted: u64,
}

impl Class {
    #[inline]
    pub(super) fn number(self) -> usize {
        self.number as usize
    }

    #[inline]
    pub(crate) fn new(number: u32) -> Self {
        let bit = if number == ANY { 0 } else { bit(number) };
        Self {
            number,
            bit,
            wanted: bit | FOR_ANY | GROUPS,
        }
    }
}

/// What a decision finds of a bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filed<'i> {
    /// What is for any action.
    pub(crate) for_any: &'i [Entry],
    /// What is for the action.
    pub(crate) for_action: &'i [Entry],
    /// Groups of policies that are told apart by their conditions, by their numbers in [`super::Index::values`].
    pub(crate) groups: &'i [u32],
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
    /// The number of a uid's bucket plus one, for walks over many; 0 for none.
    #[inline]
    pub(crate) fn number(self, uid: Uid) -> u32 {
        match uid.is_local() {
            true => 0,
            false => self.0.get(uid.index()).copied().unwrap_or(0),
        }
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
    /// From entries by uid and class of actions. `flat`: see [`BucketOf::new`].
    pub(super) fn new(
        mut entries: Vec<(Uid, u32, Entry)>,
        flat: usize,
        grouping: &mut Grouping<'_>,
    ) -> Self {
        // Within a run by what is left to test, so that the branches there go one way for a while.
        entries.sort_unstable_by_key(|(uid, class, entry)| {
            let left = (entry.principal, entry.resource, entry.row);
            (*uid, bit(*class), *class, left)
        });
        entries.dedup();
        let mut buckets = Self::default();
        let mut uids = Vec::new();
        for bucket in entries.chunk_by(|(a, ..), (b, ..)| a == b) {
            uids.extend(bucket.first().map(|(uid, ..)| *uid));
            let mut rows: Vec<u32> = bucket.iter().map(|(.., entry)| entry.row).collect();
            rows.sort_unstable();
            rows.dedup();
            let mut head = buckets.end();
            buckets.groups.extend(grouping.group(&mut rows));
            if buckets.groups.len() > head.groups as usize {
                head.classes |= GROUPS;
            }
            for run in bucket.chunk_by(|(_, a, _), (_, b, _)| a == b) {
                let single = run.iter().map(|(.., entry)| *entry);
                let single = single.filter(|entry| rows.binary_search(&entry.row).is_ok());
                let class = run.first().map_or(ANY, |(_, class, _)| *class);
                let start = buckets.entries.len();
                buckets.entries.extend(single);
                if buckets.entries.len() > start {
                    buckets.crowded |= class > BITS;
                    head.classes |= bit(class);
                    buckets.runs.push(Run {
                        class,
                        start: as_u32(start),
                    });
                }
            }
            buckets.buckets.push(head);
        }
        buckets.buckets.push(buckets.end());
        if !buckets.runs.is_empty() {
            buckets.runs.push(Run {
                class: u32::MAX,
                start: as_u32(buckets.entries.len()),
            });
        }
        buckets.bucket_of = BucketOf::new(&uids, flat);
        buckets
    }

    /// An empty bucket behind all others.
    fn end(&self) -> Bucket {
        Bucket {
            classes: 0,
            runs: as_u32(self.runs.len()),
            groups: as_u32(self.groups.len()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.groups.is_empty()
    }

    /// What is filed under `uid` for a class of actions.
    #[inline]
    pub(crate) fn filed(&self, uid: Uid, class: &Class) -> Option<Filed<'_>> {
        if uid.is_local() {
            return None;
        }
        self.filed_in(self.bucket_of.get(uid), class)
    }

    /// The array of buckets, if it is one.
    #[inline]
    pub(crate) fn flat(&self) -> Option<FlatBuckets<'_>> {
        match &self.bucket_of {
            BucketOf::Flat(bucket_of) => Some(FlatBuckets(bucket_of)),
            BucketOf::Hashed { .. } => None,
        }
    }

    /// The same for the number of a bucket plus one.
    #[inline]
    pub(crate) fn filed_in(&self, number: u32, class: &Class) -> Option<Filed<'_>> {
        let bucket = self.buckets.get((number as usize).checked_sub(1)?)?;
        let found = bucket.classes & class.wanted;
        if found == 0 {
            return None;
        }
        let mut filed = Filed::default();
        if found & FOR_ANY != 0 {
            filed.for_any = self.entries_of(bucket.runs as usize);
        }
        if found & class.bit != 0 {
            filed.for_action = match self.crowded {
                false => {
                    let before = (bucket.classes & (class.bit - 1)).count_ones();
                    self.entries_of((bucket.runs + before) as usize)
                }
                true => self.search_run(number, class.number),
            };
        }
        if found & GROUPS != 0 {
            filed.groups = self.groups_in(number);
        }
        Some(filed)
    }

    /// The run of a class where there are more classes than bits.
    #[inline(never)]
    fn search_run(&self, number: u32, class: u32) -> &[Entry] {
        let Some((bucket, next)) = self.with_next(number) else {
            return &[];
        };
        let start = bucket.runs as usize;
        let runs = self.runs.get(start..next.runs as usize);
        let key = |class| (bit(class), class);
        let found = runs
            .unwrap_or_default()
            .binary_search_by_key(&key(class), |run| key(run.class));
        found.map_or(&[], |found| self.entries_of(start + found))
    }

    #[inline(never)]
    fn groups_in(&self, number: u32) -> &[u32] {
        let groups = self.with_next(number).and_then(|(bucket, next)| {
            let groups = bucket.groups as usize..next.groups as usize;
            self.groups.get(groups)
        });
        groups.unwrap_or_default()
    }

    fn with_next(&self, number: u32) -> Option<(Bucket, Bucket)> {
        let number = number as usize;
        Some((
            *self.buckets.get(number.checked_sub(1)?)?,
            *self.buckets.get(number)?,
        ))
    }

    #[inline]
    fn entries_of(&self, run: usize) -> &[Entry] {
        let (Some(run), Some(next)) = (self.runs.get(run), self.runs.get(run + 1)) else {
            return &[];
        };
        let entries = self.entries.get(run.start as usize..next.start as usize);
        entries.unwrap_or_default()
    }
}
