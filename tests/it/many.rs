//! Many requests of one world, before and after updates: how compared answers get to be many.
//!
//! Making a world costs both engines a hundred times what a request does. So each is asked hundreds of requests, each of
//! which goes one way through Duramen; which way takes turns. `fuzz/src/differential.rs` runs this over seeds for as long
//! as it is let.

use std::collections::{BTreeMap, HashMap};

use cedar_policy as cedar;
use cedar_policy::AuthorizationError;
use duramen::{Authorizer, EntityUpdate, ErrorKind, Outcome, Request, Response, Scratch, Tuning};
use proptest::test_runner::TestCaseError;

use super::agree::load;
use super::entity_updates::{State, add, model};
use super::generate::{Change, Numbers, Tape, uids};
use super::oracle::{Ask, Oracle, World, cedar_uid, kind, ours, reproduction, tunings};
use super::value::{EntityData, Record, record_json, uid};

/// What was compared.
#[derive(Clone, Default, Debug)]
pub(crate) struct Counts {
    /// Worlds that both engines took.
    pub(crate) worlds: u64,
    /// Of these, with hundreds of policies.
    pub(crate) crowded: u64,
    /// Worlds that both refused.
    pub(crate) refused: u64,
    /// Updates of entities that were compared with a fresh start.
    pub(crate) updates: u64,
    /// Requests that both answered; an answer is the decision, the determining policies, and the failed ones with the kind
    /// of their error. Each is one execution.
    pub(crate) requests: u64,
    /// Of these, with entities of their own.
    pub(crate) overlays: u64,
    /// Of these, allowed.
    pub(crate) allowed: u64,
    /// Of these, denied.
    pub(crate) denied: u64,
    /// Of these, refused.
    pub(crate) invalid: u64,
    /// Of these, with a policy that fails.
    pub(crate) failing: u64,
    /// Of these, with more than one determining policy.
    pub(crate) several: u64,
    /// Grants that ended.
    pub(crate) ended: u64,
    /// Errors by their kind.
    pub(crate) kinds: BTreeMap<ErrorKind, u64>,
}

impl Counts {
    pub(crate) fn answer(&mut self, answer: Option<&cedar::Response>) {
        self.requests += 1;
        let Some(answer) = answer else {
            self.invalid += 1;
            return;
        };
        let allowed = answer.decision() == cedar::Decision::Allow;
        let diagnostics = answer.diagnostics();
        self.allowed += u64::from(allowed);
        self.denied += u64::from(!allowed);
        self.failing += u64::from(diagnostics.errors().next().is_some());
        self.several += u64::from(diagnostics.reason().nth(1).is_some());
        for AuthorizationError::PolicyEvaluationError(error) in diagnostics.errors() {
            *self.kinds.entry(kind(error.inner())).or_default() += 1;
        }
    }
}

/// Updates of a world's entities; requests are asked before the first and after each.
const UPDATES: u64 = 2;

/// Requests that are asked with one context.
const OF_A_CONTEXT: u64 = 8;

/// One request in so many brings entities of its own, for which Cedar copies its store.
const OVERLAY: u64 = 32;

/// How Duramen is tuned for the world of a seed: every other as it is by default, the others with something switched off.
pub(crate) fn tuning_of(seed: u64) -> Tuning {
    let tunings = tunings();
    match seed.is_multiple_of(2) {
        true => tunings[(seed / 2) as usize % tunings.len()],
        false => Tuning::default(),
    }
}

/// What fuzzed bytes make: the first picks how Duramen is tuned, the rest are a tape; the seed is for what is asked beside
/// what the tape says.
pub(crate) fn of_bytes(bytes: &[u8]) -> (Tuning, Numbers, u64) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let tunings = tunings();
    let seed = bytes
        .iter()
        .fold(0, |seed: u64, byte| seed.rotate_left(7) ^ u64::from(*byte));
    let tuning = tunings[usize::from(*first) % tunings.len()];
    (tuning, Numbers::of_bytes(rest), seed)
}

/// Likewise, where every byte is a number: which of [`tunings`], and the tape.
pub(crate) fn of_each_byte(bytes: &[u8]) -> (usize, Numbers) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    (
        usize::from(*first) % tunings().len(),
        Numbers::of_each(rest),
    )
}

/// The next numbers of a run, and where those after them come from.
pub(crate) fn numbers_after(seed: &mut u64, length: usize) -> Numbers {
    *seed = seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1);
    Numbers::of_seed(*seed, length)
}

/// Seeds of crowded worlds: one with Duramen as it is by default, and one with something switched off.
const CROWDED: [u64; 2] = [8, 9];

/// Of how many seeds.
const OF_SEEDS: u64 = 64;

/// The seeds whose worlds are crowded, by number.
pub(crate) fn crowded_seed(number: u64) -> u64 {
    number / 2 * OF_SEEDS + CROWDED[(number % 2) as usize]
}

/// The world of a seed, and some `requests` requests of it.
pub(crate) fn seed_agrees(
    seed: u64,
    requests: u64,
    counts: &mut Counts,
) -> Result<(), TestCaseError> {
    // One in sixteen has some dozens of policies, one in thirty-two hundreds.
    let (large, crowded) = (
        seed.is_multiple_of(16),
        CROWDED.contains(&(seed % OF_SEEDS)),
    );
    let length = match (large, crowded) {
        (true, _) => 20_000,
        (_, true) => 60_000,
        _ => 4_000,
    };
    let numbers = Numbers::of_seed(seed, length);
    let mut tape = Tape::crowded(&numbers, crowded);
    let mut world = match (large, crowded) {
        (true, _) => tape.large_world(),
        (_, true) => tape.crowded_world(),
        _ => tape.world().0,
    };
    world.as_values = seed % 7 == 3;
    let build = || world.builder().tuning(tuning_of(seed)).build();
    let Some((oracle, authorizer)) = load(&world, build)? else {
        counts.refused += 1;
        return Ok(());
    };
    let mut run = Run::of(world, oracle, authorizer, seed);
    run.crowded = crowded;
    counts.worlds += 1;
    counts.crowded += u64::from(crowded);
    for update in 0..=UPDATES {
        run.ask(requests / (UPDATES + 1), counts)?;
        if update < UPDATES {
            counts.updates += u64::from(run.update()?);
        }
    }
    Ok(())
}

/// Requests of a world that was made and loaded elsewhere.
pub(crate) fn requests_agree(
    (world, oracle, authorizer): (World, Oracle, Authorizer),
    seed: u64,
    requests: u64,
) -> Result<(), TestCaseError> {
    Run::of(world, oracle, authorizer, seed).ask(requests, &mut Counts::default())
}

/// A world in both engines.
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) oracle: Oracle,
    pub(crate) authorizer: Authorizer,
    cedar: cedar::Authorizer,
    uids: HashMap<(&'static str, &'static str), cedar::EntityUid>,
    scratch: Scratch,
    /// Whether it is a crowded world, and what is asked has to be of it.
    crowded: bool,
    /// Where the next numbers come from.
    seed: u64,
}

impl Run {
    pub(crate) fn of(world: World, oracle: Oracle, authorizer: Authorizer, seed: u64) -> Self {
        Self {
            world,
            oracle,
            authorizer,
            cedar: cedar::Authorizer::new(),
            uids: uids()
                .map(|(of, id)| ((of, id), cedar_uid(&uid(of, id))))
                .collect(),
            scratch: Scratch::new(),
            crowded: false,
            seed,
        }
    }

    fn ask(&mut self, requests: u64, counts: &mut Counts) -> Result<(), TestCaseError> {
        let mut asked = 0;
        while asked < requests {
            let numbers = numbers_after(&mut self.seed, 600);
            let mut tape = Tape::crowded(&numbers, self.crowded);
            let record = tape.context();
            let typed = tape.chance(50);
            let json = record_json(&record);
            let text = json.to_string();
            let context = cedar::Context::from_json_value(json, None).ok();
            for turn in 0..OF_A_CONTEXT {
                let triple = tape.triple();
                let [principal, action, resource] = triple;
                let request = Request::new(principal, action, resource);
                let request = match typed {
                    true => request.context(&record),
                    false => request.context_json(&text),
                };
                let expected = self.expected(triple, context.as_ref());
                let way = (asked / OF_A_CONTEXT + turn) % WAYS;
                if !self.is_right(&request, way, expected.as_ref()) {
                    let [principal, action, resource] = triple.map(|(of, id)| uid(of, id));
                    let ask = Ask {
                        context: record,
                        typed,
                        ..Ask::new(principal, action, resource)
                    };
                    return Err(self.difference(&ask, way));
                }
                counts.answer(expected.as_ref());
            }
            asked += OF_A_CONTEXT;
            if asked.is_multiple_of(OVERLAY) {
                let ask = tape.ask();
                let expected = self.oracle.try_decide(&ask).ok();
                let way = asked / OVERLAY % 3;
                if !ask.with_request(|request| self.is_right(request, way, expected.as_ref())) {
                    return Err(self.difference(&ask, way));
                }
                counts.overlays += u64::from(ask.overlay.is_some());
                counts.answer(expected.as_ref());
            }
        }
        Ok(())
    }

    /// Cedar's answer; none where it refuses the request.
    fn expected(
        &self,
        triple: [(&str, &str); 3],
        context: Option<&cedar::Context>,
    ) -> Option<cedar::Response> {
        let [principal, action, resource] = triple.map(|uid| self.uids[&uid].clone());
        let context = context?.clone();
        let request = cedar::Request::new(principal, action, resource, context, None).ok()?;
        let (set, entities) = (&self.oracle.set, &self.oracle.entities);
        Some(self.cedar.is_authorized(&request, set, entities))
    }

    /// Whether Duramen's answer, by one of its ways to ask, is Cedar's.
    fn is_right(
        &mut self,
        request: &Request<'_>,
        way: u64,
        expected: Option<&cedar::Response>,
    ) -> bool {
        is_right(&self.authorizer, &mut self.scratch, request, way, expected)
    }

    fn difference(&self, ask: &Ask, way: u64) -> TestCaseError {
        let expected = self.oracle.decide(ask);
        let found = ask.with_request(|request| ours(&self.authorizer.is_authorized(request)));
        let what = format!("way {way}; found (by way 0) {found:#?}, Cedar says {expected:#?}");
        self.fail(Some(ask), &what)
    }

    /// Changes entities; whether both took it. Neither may go on with half of it.
    fn update(&mut self) -> Result<bool, TestCaseError> {
        let numbers = numbers_after(&mut self.seed, 600);
        self.change(&Tape::crowded(&numbers, self.crowded).changes())
    }

    /// Likewise, with these changes.
    pub(crate) fn change(&mut self, changes: &[Change]) -> Result<bool, TestCaseError> {
        let entities = self.world.entities.iter();
        let mut state: State = entities.map(|e| (e.uid.clone(), e.clone())).collect();
        let sound = changes
            .iter()
            .all(|change| model(&mut state, change).is_ok());
        let next = World {
            entities: state.into_values().collect(),
            ..self.world.clone()
        };
        let update = changes.iter().fold(EntityUpdate::new(), add);
        let result = self.authorizer.update_entities(update);
        match (result, next.cedar_entities()) {
            (Ok(_), Ok(entities)) if sound => {
                self.world = next;
                self.oracle.entities = entities;
                Ok(true)
            }
            (Err(_), entities)
                if !sound || entities.is_err() || changes.iter().any(is_malformed) =>
            {
                Ok(false)
            }
            (result, entities) => {
                let (ours, cedars) = (result.err(), entities.err());
                let what = format!("{changes:#?}\nsound: {sound}, {ours:?}, Cedar: {cedars:?}");
                Err(self.fail(None, &what))
            }
        }
    }

    fn fail(&self, ask: Option<&Ask>, what: &str) -> TestCaseError {
        TestCaseError::fail(reproduction(&self.world, ask, what))
    }
}

/// The ways to ask.
pub(crate) const WAYS: u64 = 6;

/// Whether Duramen's answer, by one of its ways to ask, is Cedar's.
pub(crate) fn is_right(
    authorizer: &Authorizer,
    scratch: &mut Scratch,
    request: &Request<'_>,
    way: u64,
    expected: Option<&cedar::Response>,
) -> bool {
    let mut session = authorizer.session();
    match way {
        0 => {
            let allowed = expected.is_some_and(|r| r.decision() == cedar::Decision::Allow);
            is_same(&authorizer.is_authorized(request), expected)
                && authorizer.is_allowed(request) == allowed
        }
        1 => is_same(&authorizer.is_authorized_with(scratch, request), expected),
        2 => is_same(&authorizer.pin().is_authorized(request), expected),
        3 => is_same(&session.is_authorized(request), expected),
        way => match authorizer.prepare(request) {
            Err(_) => expected.is_none(),
            Ok(mut prepared) if way == 4 => {
                let found = authorizer.is_authorized_prepared(scratch, &mut prepared);
                is_same(&found, expected)
            }
            Ok(mut prepared) => is_same(&session.is_authorized_prepared(&mut prepared), expected),
        },
    }
}

/// As comparing two of `Answer`, without making them.
fn is_same(found: &Response<'_>, expected: Option<&cedar::Response>) -> bool {
    let Some(expected) = expected else {
        return found.outcome() == Outcome::InvalidRequest && found.request_error().is_some();
    };
    let diagnostics = expected.diagnostics();
    let once = |mut policies: &mut dyn Iterator<Item = bool>| {
        (&mut policies).filter(|is_it| *is_it).count() == 1
    };
    found.request_error().is_none()
        && found.is_allowed() == (expected.decision() == cedar::Decision::Allow)
        && found.determining().len() == diagnostics.reason().count()
        && found.errors().len() == diagnostics.errors().count()
        && diagnostics.reason().all(|id| {
            let id: &str = id.as_ref();
            once(&mut found.determining().map(|policy| policy.id().as_ref() == id))
        })
        && diagnostics.errors().all(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let (id, kind): (&str, _) = (error.policy_id().as_ref(), kind(error.inner()));
            once(
                &mut found
                    .errors()
                    .map(|error| error.kind() == kind && error.policy().id().as_ref() == id),
            )
        })
}

/// Whether the change has a text that no extension type takes. Such an update is refused also where a later change of it
/// replaces the value.
fn is_malformed(change: &Change) -> bool {
    let alone = |attrs: Record, tags: Record| {
        let entity = EntityData {
            uid: ("T".to_owned(), String::new()),
            attrs,
            tags,
            parents: Vec::new(),
        };
        cedar::Entity::from_json_value(entity.to_json(), None).is_err()
    };
    match change {
        Change::Upsert(entity, _) => alone(entity.attrs.clone(), entity.tags.clone()),
        Change::SetAttr(_, key, value) | Change::SetTag(_, key, value) => {
            alone(Record::from([(key.clone(), value.clone())]), Record::new())
        }
        _ => false,
    }
}

#[test]
fn many_requests_of_a_world_agree() {
    let mut counts = Counts::default();
    for seed in 1..11 {
        seed_agrees(seed, 96, &mut counts).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    println!("{counts:#?}");
    assert!(counts.worlds > 7 && counts.updates > 4, "{counts:#?}");
    assert!(counts.overlays > 4, "{counts:#?}");
    assert!(counts.allowed > 100 && counts.denied > 100, "{counts:#?}");
    assert!(counts.kinds.len() > 4, "{counts:#?}");
}

/// Hundreds of policies: more classes of actions than have a bit of their own, and tables of the value index.
#[test]
fn requests_of_crowded_worlds_agree() {
    let mut counts = Counts::default();
    for seed in (2..4).map(crowded_seed) {
        seed_agrees(seed, 96, &mut counts).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(counts.crowded > 0 && counts.several > 10, "{counts:#?}");
}

/// Seeds that once showed a difference.
#[test]
fn seeds_that_differed_agree() {
    for seed in include_str!("../../fuzz/regressions/differential").lines() {
        let seed = seed
            .split_whitespace()
            .next()
            .and_then(|seed| seed.parse().ok());
        let Some(seed) = seed else { continue };
        seed_agrees(seed, 1_200, &mut Counts::default())
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
