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
    /// The buckets, each in one piece: its [`Head`], its groups if it has any, where its runs end if there are several, its
    /// policies. With each of these in an array of its own a decision waited for four loads, each from where the last one
    /// pointed, and most of them in no cache; now the second mostly brings the rest. A bucket's number is where it begins.
    cells: Vec<Entry>,
    /// Numbers of groups.
    groups: Vec<u32>,
    /// Whether there are more classes than bits, in the whole index and not only here: classes that nothing here is for are asked
    /// for too, and one that has the bit of another must not be given what is that one's.
    crowded: bool,
}

/// What a bucket begins with. As a cell, so that one load brings it and the policies.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// The bits of its runs' classes, see [`bit`], and [`GROUPS`].
    classes: u64,
    /// Where the first run begins. Runs stand in the order of the bits: how many lower ones are set is the number of a run.
    start: u32,
    /// Where it ends, and the next one begins. Where the next ones end stands four to a cell behind the head and the groups.
    ///
    /// If the set is crowded: how many runs there are, and a cell each stands there instead ([`RunCell`]).
    end: u32,
}

impl Head {
    #[inline]
    fn of(cell: &Entry) -> Self {
        Self {
            classes: u64::from(cell.row) | u64::from(cell.principal.0) << 32,
            start: cell.resource.0,
            end: cell.what.0,
        }
    }

    fn cell(self) -> Entry {
        let [a, b, c, d, high @ ..] = self.classes.to_le_bytes();
        let low = u32::from_le_bytes([a, b, c, d]);
        Entry::of_words([low, u32::from_le_bytes(high), self.start, self.end])
    }

    /// How many cells stand between the head and where runs end.
    #[inline]
    fn groups(self) -> usize {
        usize::from(self.classes & GROUPS != 0)
    }
}

/// A run of a crowded set.
#[derive(Clone, Copy, Debug)]
struct RunCell {
    class: u32,
    start: u32,
    end: u32,
}

impl RunCell {
    fn of(cell: &Entry) -> Self {
        let [class, start, end, _] = cell.words();
        Self { class, start, end }
    }

    fn cell(self) -> Entry {
        Entry::of_words([self.class, self.start, self.end, 0])
    }
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

impl Entry {
    /// A cell that is no policy.
    fn of_words([row, principal, resource, what]: [u32; 4]) -> Self {
        Self {
            row,
            principal: Left(principal),
            resource: Left(resource),
            what: What(what),
        }
    }

    #[inline]
    fn words(&self) -> [u32; 4] {
        [self.row, self.principal.0, self.resource.0, self.what.0]
    }
}

/// What is left to test of a side, in four bytes: nothing, a type, or an entity that the side is or is below
/// ([`What::is_exact_principal`], [`What::is_exact_resource`]: is). Kinds stand one behind the other when sorted.
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
const BITS: usize = 62;

/// The bit of a class in a bucket's set.
fn bit(class: u32) -> u64 {
    match class {
        ANY => FOR_ANY,
        class => 2 << ((class as usize - 1) % BITS),
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

/// A bucket that has something for a class of actions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filed<'i> {
    buckets: &'i Buckets,
    number: usize,
    head: Head,
    /// The bits of what it has.
    found: u64,
}

/// By uid: the bucket's number; 0 for none.
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
    /// The number of a uid's bucket, for walks over many; 0 for none.
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
    /// From uids in ascending order, with the numbers of their buckets. `flat` is how many uids a flat array may have
    /// however few of them have buckets.
    pub(super) fn new(buckets: &[(Uid, u32)], flat: usize) -> Self {
        let len = buckets.last().map_or(0, |(last, _)| last.index() + 1);
        if len <= flat.max(buckets.len() * 32) {
            let mut bucket_of = vec![0; len];
            for (uid, bucket) in buckets {
                bucket_of[uid.index()] = *bucket;
            }
            return Self::Flat(bucket_of);
        }
        let size = (buckets.len() * 2).next_power_of_two().max(2);
        let mut places = vec![(0, 0); size];
        let shift = u32::BITS - size.trailing_zeros();
        for (uid, bucket) in buckets {
            let uid = as_u32(uid.index());
            let mut at = place(uid, shift);
            while places[at].1 != 0 {
                at = (at + 1) % size;
            }
            places[at] = (uid, *bucket);
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
    /// From entries by uid and class of actions, of which the index tells so many apart, [`ANY`] included. `flat`: see
    /// [`BucketOf::new`].
    pub(super) fn new(
        mut entries: Vec<(Uid, u32, Entry)>,
        classes: usize,
        flat: usize,
        grouping: &mut Grouping<'_>,
    ) -> Self {
        // Within a run by what is left to test, so that the branches there go one way for a while.
        entries.sort_unstable_by_key(|(uid, class, entry)| {
            let left = (entry.principal, entry.resource, entry.row);
            (*uid, bit(*class), *class, left)
        });
        entries.dedup();
        let mut buckets = Self {
            crowded: classes > BITS + 1,
            ..Self::default()
        };
        if !entries.is_empty() {
            // Number 0 is no bucket.
            buckets.cells.push(Head::default().cell());
        }
        let mut numbers = Vec::new();
        for bucket in entries.chunk_by(|(a, ..), (b, ..)| a == b) {
            let number = as_u32(buckets.cells.len());
            numbers.extend(bucket.first().map(|(uid, ..)| (*uid, number)));
            buckets.file(bucket, grouping);
        }
        buckets.cells.shrink_to_fit();
        buckets.bucket_of = BucketOf::new(&numbers, flat);
        buckets
    }

    /// Adds a bucket.
    fn file(&mut self, bucket: &[(Uid, u32, Entry)], grouping: &mut Grouping<'_>) {
        let mut rows: Vec<u32> = bucket.iter().map(|(.., entry)| entry.row).collect();
        rows.sort_unstable();
        rows.dedup();
        let groups = self.groups.len();
        self.groups.extend(grouping.group(&mut rows));
        let groups = [groups, self.groups.len()].map(as_u32);
        // What is in no group, still in the order of the classes.
        let single: Vec<_> = bucket
            .iter()
            .filter(|(.., entry)| rows.binary_search(&entry.row).is_ok())
            .collect();
        let runs = || single.chunk_by(|(_, a, _), (_, b, _)| a == b);
        let mut head = Head::default();
        let at = self.cells.len();
        self.cells.push(head.cell());
        if groups[0] < groups[1] {
            head.classes |= GROUPS;
            let [start, end] = groups;
            self.cells.push(Entry::of_words([start, end, 0, 0]));
        }
        let between = match (self.crowded, runs().count()) {
            (true, runs) => runs,
            (false, runs) => runs.saturating_sub(1).div_ceil(4),
        };
        let mut end = as_u32(self.cells.len() + between);
        head.start = end;
        let runs: Vec<RunCell> = runs()
            .map(|run| {
                let class = run.first().map_or(ANY, |(_, class, _)| *class);
                head.classes |= bit(class);
                let start = end;
                end += as_u32(run.len());
                RunCell { class, start, end }
            })
            .collect();
        if self.crowded {
            head.end = as_u32(runs.len());
            self.cells.extend(runs.iter().map(|run| run.cell()));
        } else {
            head.end = runs.first().map_or(head.start, |run| run.end);
            for ends in runs.get(1..).unwrap_or_default().chunks(4) {
                let mut words = [0; 4];
                for (word, run) in words.iter_mut().zip(ends) {
                    *word = run.end;
                }
                self.cells.push(Entry::of_words(words));
            }
        }
        self.cells.extend(single.iter().map(|(.., entry)| *entry));
        if let Some(cell) = self.cells.get_mut(at) {
            *cell = head.cell();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
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

    /// Whether a bucket, by its number, has something for a class of actions.
    #[inline(always)]
    pub(crate) fn has_in(&self, number: u32, class: &Class) -> bool {
        self.head(number).classes & class.wanted != 0
    }

    /// What a bucket begins with; nothing for a number that is none.
    #[inline(always)]
    fn head(&self, number: u32) -> Head {
        let cell = self.cells.get(number as usize);
        cell.map(Head::of).unwrap_or_default()
    }

    /// What is filed in it.
    #[inline(always)]
    pub(crate) fn filed_in(&self, number: u32, class: &Class) -> Option<Filed<'_>> {
        let head = self.head(number);
        let found = head.classes & class.wanted;
        (found != 0).then_some(Filed {
            buckets: self,
            number: number as usize,
            head,
            found,
        })
    }

    /// Where a run ends, by its number without the first: `ends` is the first cell that tells.
    #[inline]
    fn end(&self, ends: usize, run: usize) -> u32 {
        let words = self.cells.get(ends + run / 4).map(Entry::words);
        words.unwrap_or_default()[run % 4]
    }

    #[inline]
    fn entries(&self, start: u32, end: u32) -> &[Entry] {
        let entries = self.cells.get(start as usize..end as usize);
        entries.unwrap_or_default()
    }
}

impl<'i> Filed<'i> {
    /// What is for any action.
    #[inline]
    pub(crate) fn for_any(&self) -> &'i [Entry] {
        match self.found & FOR_ANY {
            0 => &[],
            _ if self.buckets.crowded => self.search_run(ANY),
            _ => self.buckets.entries(self.head.start, self.head.end),
        }
    }

    /// What is for the class that the bucket was asked for.
    #[inline]
    pub(crate) fn for_action(&self, class: &Class) -> &'i [Entry] {
        let Self { buckets, head, .. } = *self;
        if self.found & class.bit == 0 {
            return &[];
        }
        if buckets.crowded {
            return self.search_run(class.number);
        }
        let before = (head.classes & (class.bit - 1)).count_ones() as usize;
        let end = |run| buckets.end(self.number + 1 + head.groups(), run);
        match before {
            0 => buckets.entries(head.start, head.end),
            1 => buckets.entries(head.end, end(0)),
            _ => buckets.entries(end(before - 2), end(before - 1)),
        }
    }

    /// The run of a class where classes share bits.
    #[inline(never)]
    fn search_run(&self, class: u32) -> &'i [Entry] {
        let Self { buckets, head, .. } = *self;
        let start = self.number + 1 + head.groups();
        let runs = buckets.cells.get(start..start + head.end as usize);
        let runs = runs.unwrap_or_default();
        let key = |class| (bit(class), class);
        let found = runs.binary_search_by_key(&key(class), |run| key(RunCell::of(run).class));
        let run = found.ok().and_then(|found| runs.get(found));
        run.map(RunCell::of)
            .map_or(&[], |run| buckets.entries(run.start, run.end))
    }

    /// Groups of policies that are told apart by their conditions, by their numbers in [`super::Index::values`].
    #[inline]
    pub(crate) fn groups(&self) -> &'i [u32] {
        match self.found & GROUPS {
            0 => &[],
            _ => self.groups_found(),
        }
    }

    #[inline(never)]
    fn groups_found(&self) -> &'i [u32] {
        let Buckets { cells, groups, .. } = self.buckets;
        let groups = cells.get(self.number + 1).and_then(|cell| {
            let [start, end, ..] = cell.words();
            groups.get(start as usize..end as usize)
        });
        groups.unwrap_or_default()
    }
}
