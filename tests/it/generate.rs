//! Worlds and requests made from a tape of numbers.
//!
//! Every choice takes the next number of the tape; 0 is always the simplest choice, and a tape that has run out
//! gives zeros. So proptest, which shrinks the tape, shrinks the world.

mod crowds;
pub(crate) mod hierarchies;
mod policies;
pub(crate) mod schema;
pub(crate) mod typed_data;
pub(crate) mod typed_policies;

use proptest::prelude::*;

use super::oracle::{Ask, Link, World};
use super::value::{EntityData, Record, Uid, Val, uid};

/// How many worlds a property is tried on: `DURAMEN_WORLDS`, or else `default`.
pub(crate) fn config(default: u32) -> ProptestConfig {
    let cases = std::env::var("DURAMEN_WORLDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default);
    ProptestConfig {
        cases,
        max_shrink_iters: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// The numbers of a tape. A failure prints the world, not these.
#[derive(Clone)]
pub(crate) struct Numbers(Vec<u32>);

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.0.len())
    }
}

impl Numbers {
    /// A tape from bytes, four a number; a rest that is shorter is left out.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let number = |four: &[u8]| four.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        Self(bytes.chunks_exact(4).map(number).collect())
    }

    /// A tape from bytes, each a number.
    pub(crate) fn of_each(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| u32::from(*byte)).collect())
    }

    /// The bytes that make this tape.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// So many random numbers, always the same for a seed (SplitMix64).
    pub(crate) fn of_seed(seed: u64, length: usize) -> Self {
        let mut state = seed;
        let next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed >> 32) as u32
        };
        Self(std::iter::repeat_with(next).take(length).collect())
    }
}

pub(crate) fn tape() -> impl Strategy<Value = Numbers> {
    prop::collection::vec(any::<u32>(), 500..4_000).prop_map(Numbers)
}

/// Enough for a policy.
pub(crate) fn short_tape() -> impl Strategy<Value = Numbers> {
    prop::collection::vec(any::<u32>(), 0..200).prop_map(Numbers)
}

pub(crate) struct Tape<'t> {
    numbers: &'t [u32],
    at: usize,
    /// Expressions that come up again, so that policies have some in common.
    repeated: Vec<(Kind, String)>,
    /// Whether the world is a [crowded](crowds) one.
    crowd: bool,
}

impl<'t> Tape<'t> {
    pub(crate) fn new(numbers: &'t Numbers) -> Self {
        Self {
            numbers: &numbers.0,
            at: 0,
            repeated: Vec::new(),
            crowd: false,
        }
    }

    fn next(&mut self) -> u32 {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        number
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    /// As `below`, but 0 as often as all others together: what is to meet has to be the same.
    fn early(&mut self, n: usize) -> usize {
        let choice = self.below(2 * n);
        if choice < n { choice } else { 0 }
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }
}

/// A kind of value that an expression is meant to have. It may turn out otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    Long,
    Str,
    Entity,
    Set,
    Record,
    Decimal,
    Ip,
    Datetime,
    Duration,
}

use Kind::{Bool, Datetime, Decimal, Duration, Ip, Long, Set, Str};

const KINDS: [Kind; 10] = [
    Bool,
    Long,
    Str,
    Kind::Entity,
    Set,
    Kind::Record,
    Decimal,
    Ip,
    Datetime,
    Duration,
];

/// Attributes have names by which an expression can guess their kind.
fn attribute(kind: Kind) -> &'static str {
    match kind {
        Bool => "flag",
        Long => "n",
        Str => "s",
        Kind::Entity => "e",
        Set => "set",
        Kind::Record => "rec",
        Decimal => "dec",
        Ip => "ip",
        Datetime => "dt",
        Duration => "dur",
    }
}

const LONGS: [i64; 12] = [
    0,
    1,
    -1,
    2,
    7,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    i64::MIN + 1,
    3_037_000_500,
    -4_294_967_296,
    86_400_000,
];

const STRINGS: [&str; 12] = [
    "",
    "a",
    "ab",
    "a*b",
    "*",
    "aXb",
    "é",
    "日本",
    "\u{1F600}b",
    "n",
    "1.5",
    "10.0.0.1",
];

const DECIMALS: [&str; 10] = [
    "0.0",
    "1.5",
    "-1.5",
    "1.50",
    "922337203685477.5807",
    "-922337203685477.5808",
    "0.0001",
    "-0.0",
    "1.23456",
    "1",
];

const IPS: [&str; 15] = [
    "10.0.0.1",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "10.0.0.1/32",
    "127.0.0.1",
    "224.0.0.1",
    "0.0.0.0/0",
    "::1",
    "::/0",
    "fe80::1/10",
    "ff02::1",
    "::ffff:a00:1",
    "::ffff:10.0.0.1",
    "10.0.0.01",
    "10.0.0.0/08",
];

const DATETIMES: [&str; 11] = [
    "2024-01-01",
    "2024-01-01T12:30:00Z",
    "2024-02-29T23:59:59.999Z",
    "1970-01-01",
    "0000-01-01",
    "9999-12-31T23:59:59Z",
    "2024-01-01T00:00:00+0530",
    "1969-12-31T23:59:59.999-2359",
    "2023-02-29",
    "2024-01-01T00:00:60Z",
    "2024-01-01T00:00:00",
];

const DURATIONS: [&str; 10] = [
    "1d",
    "0ms",
    "-1h30m",
    "1d2h3m4s5ms",
    "106751991167d",
    "-106751991167d7h12m55s808ms",
    "86400000ms",
    "-0ms",
    "",
    "1h1d",
];

/// Of each pool of texts, how many are well-formed: data with others is refused.
const GOOD: [(Kind, usize); 4] = [(Decimal, 8), (Ip, 12), (Datetime, 8), (Duration, 8)];

fn texts(kind: Kind) -> &'static [&'static str] {
    match kind {
        Decimal => &DECIMALS,
        Ip => &IPS,
        Datetime => &DATETIMES,
        Duration => &DURATIONS,
        _ => &STRINGS,
    }
}

/// Entities that a world may have; later ones may be above earlier ones.
const UIDS: [(&str, &str); 14] = [
    ("User", "u0"),
    ("User", "u1"),
    ("User", "u2"),
    ("Doc", "d0"),
    ("Doc", "d1"),
    ("NS::Thing", "t"),
    ("Group", "g0"),
    ("Group", "g1"),
    ("Group", "g2"),
    ("Folder", "f\"0\\"),
    ("Action", "view"),
    ("Action", "edit"),
    ("NS::Action", "x"),
    ("Action", "all"),
];

/// Entities that no world has.
const STRANGERS: [(&str, &str); 5] = [
    ("User", "ghost"),
    ("Group", "ghost"),
    ("Ghost::Town", ""),
    ("Action", "ghost"),
    ("User", "u0 "),
];

/// All entities that worlds and requests may name.
pub(crate) fn uids() -> impl Iterator<Item = (&'static str, &'static str)> {
    UIDS.iter().chain(&STRANGERS).copied().chain(crowds::uids())
}

fn is_action((type_name, _): &(&str, &str)) -> bool {
    type_name.ends_with("Action")
}

impl Tape<'_> {
    /// Policies, entities and requests that go with them.
    pub(crate) fn world(&mut self) -> (World, Vec<Ask>) {
        let entities = self.entities();
        let policies = 1 + self.below(7);
        let world = self.world_of(entities, policies);
        let asks = (0..3 + self.below(3)).map(|_| self.ask()).collect();
        (world, asks)
    }

    /// Some dozens of policies, of which a decision's candidates are a part.
    pub(crate) fn large_world(&mut self) -> World {
        let entities = self.entities();
        let policies = 20 + self.below(40);
        self.world_of(entities, policies)
    }

    fn world_of(&mut self, entities: Vec<EntityData>, policies: usize) -> World {
        let mut world = World {
            entities,
            ..World::default()
        };
        let mut templates = Vec::new();
        for number in 0..policies {
            if let Some(slots) = self.policy(&mut world.policies) {
                templates.push((format!("policy{number}"), slots));
            }
        }
        for (template, (principal, resource)) in templates {
            for number in 0..self.below(4) {
                world.links.push(Link {
                    id: format!("{template}-link{number}"),
                    template: template.clone(),
                    principal: principal.then(|| self.uid()),
                    resource: resource.then(|| self.uid()),
                });
            }
        }
        world
    }

    fn known(&mut self) -> (&'static str, &'static str) {
        if self.crowd && self.chance(60) {
            return self.of_crowd(false);
        }
        UIDS[self.below(UIDS.len())]
    }

    fn uid_pair(&mut self) -> (&'static str, &'static str) {
        if self.chance(10) {
            STRANGERS[self.below(STRANGERS.len())]
        } else {
            self.known()
        }
    }

    pub(crate) fn uid(&mut self) -> Uid {
        let (type_name, id) = self.uid_pair();
        uid(type_name, id)
    }

    fn action_pair(&mut self) -> (&'static str, &'static str) {
        if self.crowd && self.chance(90) {
            return self.of_crowd(true);
        }
        let actions: Vec<_> = UIDS
            .iter()
            .chain(&STRANGERS)
            .filter(|u| is_action(u))
            .collect();
        *actions[self.below(actions.len())]
    }

    fn entities(&mut self) -> Vec<EntityData> {
        let mut entities = Vec::new();
        for (rank, (type_name, id)) in UIDS.into_iter().enumerate() {
            if self.chance(20) {
                continue;
            }
            let mut parents = Vec::new();
            for _ in 0..self.below(4) {
                // Upwards only: no cycles. A parent need not exist.
                let above = &UIDS[rank + 1..];
                let stranger = self.chance(5);
                let parent = match above.len() {
                    0 => continue,
                    _ if stranger => STRANGERS[self.below(STRANGERS.len())],
                    n => above[self.below(n)],
                };
                // Cedar refuses an action below what is no action; here such a world would only be noise.
                if is_action(&parent) == is_action(&(type_name, id)) || self.chance(3) {
                    parents.push(uid(parent.0, parent.1));
                }
            }
            entities.push(EntityData {
                uid: uid(type_name, id),
                attrs: self.record(2),
                tags: if self.chance(40) {
                    self.record(1)
                } else {
                    Record::new()
                },
                parents,
            });
        }
        entities
    }

    fn overlay(&mut self) -> Vec<EntityData> {
        let mut entities: Vec<EntityData> = Vec::new();
        for _ in 0..self.below(4) {
            let of = self.uid();
            if entities.iter().any(|entity| entity.uid == of) {
                continue;
            }
            // Anything may be above anything: cycles are part of the game.
            let action = of.0.ends_with("Action");
            let parents = (0..self.below(3)).map(|_| self.uid());
            let parents = parents
                .filter(|parent| parent.0.ends_with("Action") == action)
                .collect();
            entities.push(EntityData {
                uid: of,
                attrs: self.record(2),
                tags: if self.chance(40) {
                    self.record(1)
                } else {
                    Record::new()
                },
                parents,
            });
        }
        entities
    }

    fn record(&mut self, depth: usize) -> Record {
        let mut record = Record::new();
        for _ in 0..self.below(9) {
            let kind = KINDS[self.below(KINDS.len())];
            let key = match self.below(12) {
                0 => self.pick(&["a", "b", "weird key", "", "if"]),
                _ => attribute(kind),
            };
            let kind = if self.chance(5) {
                KINDS[self.below(KINDS.len())]
            } else {
                kind
            };
            record.insert(key.to_owned(), self.val(kind, depth));
        }
        record
    }

    fn val(&mut self, kind: Kind, depth: usize) -> Val {
        if kind == Str && self.crowd && self.chance(70) {
            return Val::Str(self.key());
        }
        let mut text = |pool: &[&str]| {
            let good = GOOD
                .iter()
                .find(|(k, _)| *k == kind)
                .map_or(pool.len(), |(_, n)| *n);
            // Malformed text is rare: it spoils the whole world.
            let among = if self.below(400) == 399 {
                pool.len()
            } else {
                good
            };
            pool[self.below(among)].to_owned()
        };
        match kind {
            Bool => Val::Bool(self.below(2) == 0),
            Long => Val::Long(LONGS[self.below(LONGS.len())]),
            Str => Val::Str(text(&STRINGS)),
            Kind::Entity => Val::Entity(self.uid()),
            Decimal => Val::Decimal(text(&DECIMALS)),
            Ip => Val::Ip(text(&IPS)),
            Datetime => Val::Datetime(text(&DATETIMES)),
            Duration => Val::Duration(text(&DURATIONS)),
            Set if depth == 0 => Val::Set(Vec::new()),
            Kind::Record if depth == 0 => Val::Record(Record::new()),
            Set => {
                let kind = KINDS[self.below(KINDS.len())];
                let items = (0..self.below(5)).map(|_| {
                    let kind = if self.chance(10) {
                        KINDS[self.below(KINDS.len())]
                    } else {
                        kind
                    };
                    self.val(kind, depth - 1)
                });
                Val::Set(items.collect())
            }
            Kind::Record => Val::Record(self.record(depth - 1)),
        }
    }

    pub(crate) fn ask(&mut self) -> Ask {
        let [principal, action, resource] = self.triple().map(|(of, id)| uid(of, id));
        Ask {
            context: self.context(),
            overlay: self.chance(40).then(|| self.overlay()),
            typed: self.chance(50),
            ..Ask::new(principal, action, resource)
        }
    }

    pub(crate) fn context(&mut self) -> Record {
        self.record(2)
    }

    /// Principal, action and resource of a request.
    pub(crate) fn triple(&mut self) -> [(&'static str, &'static str); 3] {
        let principal = self.uid_pair();
        let action = if self.chance(4) {
            self.known()
        } else {
            self.action_pair()
        };
        [principal, action, self.uid_pair()]
    }
}

/// One change of entities.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Typed, or as JSON.
    Upsert(EntityData, bool),
    Remove(Uid),
    SetAttr(Uid, String, Val),
    UnsetAttr(Uid, String),
    SetTag(Uid, String, Val),
    UnsetTag(Uid, String),
    AddParent(Uid, Uid),
    RemoveParent(Uid, Uid),
}

impl Tape<'_> {
    /// An update: none to some five changes of the entities that worlds have.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..1 + self.below(3) {
            let of = self.uid();
            let kind = KINDS[self.below(KINDS.len())];
            let key = attribute(kind).to_owned();
            match self.below(12) {
                0..3 => {
                    for entity in self.overlay() {
                        changes.push(Change::Upsert(entity, self.below(2) == 0));
                    }
                }
                3..5 => changes.push(Change::Remove(of)),
                5 => changes.push(Change::SetAttr(of, key, self.val(kind, 1))),
                6 => changes.push(Change::UnsetAttr(of, key)),
                7 => changes.push(Change::SetTag(of, key, self.val(kind, 1))),
                8 => changes.push(Change::UnsetTag(of, key)),
                choice => {
                    let parent = self.uid();
                    if of.0.ends_with("Action") != parent.0.ends_with("Action") {
                        continue;
                    }
                    changes.push(if choice < 11 {
                        Change::AddParent(of, parent)
                    } else {
                        Change::RemoveParent(of, parent)
                    });
                }
            }
        }
        changes
    }
}
