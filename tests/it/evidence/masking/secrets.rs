//! Whole worlds with secrets in them: what is masked is in no record, whichever way policies came to it.

use std::cell::Cell;
use std::sync::Arc;

use duramen::evidence::{
    DecisionSink, FanOut, JsonLinesSink, Mask, MaskSink, Masks, MemorySink, QueueSink,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::super::generate::{Numbers, Tape, config, tape};
use super::super::super::many::of_each_byte;
use super::super::super::oracle::{Ask, World, reproduction};
use super::super::super::value::{EntityData, Record, Uid, Val, uid};
use super::super::super::written::Written;

/// In every text that must not get through, and in no other.
const SECRET: &str = "SECRET";

/// The type of the entities whose ids are secrets, and how many there are.
const HIDDEN: &str = "Hidden";
const SOME: usize = 4;

/// Names by which generated policies ask for attributes, tags and fields.
const NAMES: [&str; 5] = ["s", "e", "rec", "set", "n"];

/// What generated policies seldom do: to go by way of a value to an entity or a tag. Principal and resource have their turn, as
/// what is read of one is written before what is read of the other.
const READERS: [&str; 12] = [
    "principal.e has n",
    "resource.e has n",
    "context.e has n && context.e.n == 1",
    "resource.e.e has n",
    "context.rec.e has n",
    "principal.getTag(\"e\") has n",
    "principal.hasTag(resource.s)",
    "resource.hasTag(context.s) && resource.getTag(context.s) == true",
    "resource.hasTag(principal.s) && resource.getTag(principal.s) == true",
    "principal in resource.e",
    "resource.e in [context.e, principal.e]",
    "resource in context.set",
];

thread_local! {
    /// How many records told a secret before they were masked: as values, and as names of what was read.
    static TOLD: Cell<[u32; 2]> = const { Cell::new([0; 2]) };
}

/// What is masked, and how.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A field of the context; a field of any field.
    Field(&'static str),
    FieldOfAny(&'static str),
    /// Of all entities, or of those of a type.
    Attr(Option<&'static str>, &'static str),
    Tag(&'static str),
}

impl Place {
    fn new(tape: &mut Tape<'_>) -> Self {
        let name = NAMES[tape.below(NAMES.len())];
        match tape.below(6) {
            0 | 1 => Self::Attr(None, name),
            2 => Self::Attr(Some(["User", "Doc", "NS::Thing"][tape.below(3)]), name),
            3 => Self::Tag(name),
            4 => Self::Field(name),
            _ => Self::FieldOfAny(name),
        }
    }

    fn path(self) -> String {
        match self {
            Self::Field(name) => format!("context.{name}"),
            Self::FieldOfAny(name) => format!("context.*.{name}"),
            Self::Attr(None, name) => format!("*.{name}"),
            Self::Attr(Some(of), name) => format!("{of}.{name}"),
            Self::Tag(name) => format!("*.tags.{name}"),
        }
    }

    fn plant_in_entity(self, entity: &mut EntityData, tape: &mut Tape<'_>) {
        let (record, name) = match self {
            Self::Attr(of, name) if of.is_none_or(|of| of == entity.uid.0) => {
                (&mut entity.attrs, name)
            }
            Self::Tag(name) => (&mut entity.tags, name),
            _ => return,
        };
        // More often than not there is one.
        if tape.chance(70) {
            record.insert(name.into(), secret(tape, 2));
        }
    }

    fn plant_in_context(self, context: &mut Record, tape: &mut Tape<'_>) {
        match self {
            Self::Field(name) => {
                context.insert(name.into(), secret(tape, 2));
            }
            Self::FieldOfAny(name) => {
                let records = context.values_mut().filter_map(|value| match value {
                    Val::Record(record) => Some(record),
                    _ => None,
                });
                for record in records {
                    record.insert(name.into(), secret(tape, 1));
                }
            }
            _ => {}
        }
    }
}

fn hidden(tape: &mut Tape<'_>) -> Uid {
    // One of them is in no store.
    uid(HIDDEN, &format!("{SECRET}-{}", tape.below(SOME + 1)))
}

/// A value of which every text is secret.
fn secret(tape: &mut Tape<'_>, depth: usize) -> Val {
    let text = |tape: &mut Tape<'_>| format!("{SECRET}-{}", tape.below(9));
    match tape.below(if depth == 0 { 3 } else { 6 }) {
        0 => Val::Str(text(tape)),
        1 | 2 => Val::Entity(hidden(tape)),
        3 => Val::Set(
            (0..tape.below(4))
                .map(|_| secret(tape, depth - 1))
                .collect(),
        ),
        _ => {
            let mut record = Record::from([(text(tape), secret(tape, depth - 1))]);
            record.insert(
                NAMES[tape.below(NAMES.len())].into(),
                secret(tape, depth - 1),
            );
            Val::Record(record)
        }
    }
}

/// A world with secrets, what is asked in it by whom, and what masks them.
struct Made {
    world: World,
    asks: Vec<(Ask, Vec<Uid>)>,
    masks: Masks,
}

fn make(tape: &mut Tape<'_>) -> Made {
    let (mut world, asks) = tape.world();
    for reader in READERS {
        if tape.chance(50) {
            let policy = format!("permit(principal, action, resource) when {{ {reader} }};\n");
            world.policies.push_str(&policy);
        }
    }
    let places: Vec<Place> = (0..1 + tape.below(4)).map(|_| Place::new(tape)).collect();
    // Then they may be named anywhere.
    let by_ids = tape.chance(30);
    for at in 0..SOME {
        let parents = (0..tape.below(3)).map(|_| tape.uid());
        let parents = parents
            .filter(|(name, _)| !name.ends_with("Action"))
            .collect();
        world.entities.push(EntityData {
            uid: uid(HIDDEN, &format!("{SECRET}-{at}")),
            attrs: tape.context(),
            tags: Record::new(),
            parents,
        });
    }
    for entity in &mut world.entities {
        plant(entity, &places, by_ids, tape);
    }
    let asks = asks.into_iter().map(|mut ask| {
        for place in &places {
            place.plant_in_context(&mut ask.context, tape);
        }
        for entity in ask.overlay.iter_mut().flatten() {
            plant(entity, &places, by_ids, tape);
        }
        if by_ids && tape.chance(30) {
            ask.principal = hidden(tape);
        }
        if by_ids && tape.chance(30) {
            ask.resource = hidden(tape);
        }
        let mut actors: Vec<Uid> = (0..tape.below(6).saturating_sub(3))
            .map(|_| tape.uid())
            .collect();
        actors.dedup();
        actors.retain(|actor| *actor != ask.principal);
        (ask, actors)
    });
    let asks = asks.collect();
    let mut masks = Masks::new().key(b"thirty-two bytes of a test's key");
    for place in &places {
        let mask = [Mask::Drop, Mask::Digest][tape.below(2)];
        masks = masks.path(&place.path(), mask).unwrap();
    }
    if by_ids {
        masks = masks.ids(["*", HIDDEN][tape.below(2)]);
    }
    Made { world, asks, masks }
}

fn plant(entity: &mut EntityData, places: &[Place], by_ids: bool, tape: &mut Tape<'_>) {
    for place in places {
        place.plant_in_entity(entity, tape);
    }
    // A tag that is only found by way of a text that is masked.
    if tape.chance(30) {
        entity.tags.insert(format!("{SECRET}-0"), Val::Bool(true));
    }
    let is_action = entity.uid.0.ends_with("Action");
    if by_ids && !is_action && entity.uid.0 != HIDDEN && tape.chance(30) {
        entity.parents.push(hidden(tape));
    }
}

fn masked<S: DecisionSink>(sink: S, masks: &Masks) -> MaskSink<S> {
    MaskSink::new(sink, masks.clone()).unwrap()
}

/// A world with secrets that bytes make.
pub(crate) fn nothing_gets_through(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (_, numbers) = of_each_byte(bytes);
    keeps_secrets(&mut Tape::new(&numbers))
}

fn keeps_secrets(tape: &mut Tape<'_>) -> Result<(), TestCaseError> {
    let Made { world, asks, masks } = make(tape);
    let (plain, direct) = (Written::default(), Written::default());
    let [kept, behind, before] = [(); 3].map(|()| Arc::new(MemorySink::new(100)));
    let queue = QueueSink::new(Arc::clone(&behind)).unwrap();
    let sinks = FanOut::new()
        .sink(JsonLinesSink::new(plain.clone()))
        .sink(masked(JsonLinesSink::new(direct.clone()), &masks))
        .sink(masked(Arc::clone(&kept), &masks))
        .sink(masked(queue, &masks))
        .sink(QueueSink::new(masked(Arc::clone(&before), &masks)).unwrap());
    let Ok(authorizer) = world.builder().sink(sinks).build() else {
        return Ok(());
    };
    for (ask, actors) in &asks {
        ask.with_actors(actors, |request| authorizer.is_allowed(request));
    }
    drop(authorizer);
    let (plain, direct) = (plain.text(), direct.text());
    let [plain, direct]: [Vec<&str>; 2] = [plain.lines().collect(), direct.lines().collect()];
    prop_assert_eq!(plain.len(), asks.len());
    prop_assert_eq!(direct.len(), asks.len());
    for ((line, plain), (ask, _)) in direct.iter().zip(&plain).zip(&asks) {
        count(plain, line);
        if line.contains(SECRET) {
            let what = format!("masks {masks:?}\nplain {plain}\nmasked {line}");
            return Err(TestCaseError::fail(reproduction(&world, Some(ask), &what)));
        }
    }
    let kept = kept.records();
    for (record, line) in kept.iter().zip(&direct) {
        prop_assert_eq!(&serde_json::to_string(record).unwrap(), *line);
    }
    prop_assert_eq!(&before.records(), &kept);
    prop_assert_eq!(&behind.records(), &kept);
    Ok(())
}

fn count(plain: &str, masked: &str) {
    let mut told = TOLD.get();
    told[0] += u32::from(plain.contains(SECRET));
    let named = !masked.contains("\"id(") && plain.contains(r#""uid":{"type":"Hidden""#);
    told[1] += u32::from(named);
    TOLD.set(told);
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn what_is_masked_in_a_world_is_in_no_record(numbers in tape()) {
        keeps_secrets(&mut Tape::new(&numbers))?;
    }
}

/// The property is about something: records are full of secrets, also such as nothing but what was read tells.
#[test]
fn generated_worlds_tell_secrets() {
    TOLD.set([0; 2]);
    for seed in 0..60 {
        let numbers = Numbers::of_seed(seed, 3_000);
        keeps_secrets(&mut Tape::new(&numbers)).unwrap();
    }
    let [values, names] = TOLD.get();
    assert!(values > 100 && names > 5, "{values} {names}");
}

/// What the fuzzer begins with.
#[test]
fn fuzzed_worlds_keep_secrets() {
    crate::agree::regressions_agree("masks", nothing_gets_through);
}
