//! Grants in generated worlds: which are live is what Cedar would allow now, whatever changed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cedar_policy as cedar;
use duramen::evidence::{DecisionRecord, DecisionSink, SinkError, Wants};
use duramen::grant::{Grant, GrantId, GrantTable, Revocation};
use duramen::values::Datetime;
use duramen::{
    DataSource, Delegation, EntityUidRef, ErrorMode, Freshness, PolicyUpdate, Request, Tuning,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::agree::load;
use super::super::delegation::chains::{
    ACTOR, DELEGATOR, SUBJECT, chain_of, free_of_names, hop, is_allowed,
};
use super::super::generate::{Tape, config, tape};
use super::super::many::{Run, of_each_byte};
use super::super::oracle::{Ask, reproduction, tunings, uid_ref};
use super::super::updates::Trial;
use super::super::value::{Record, Uid, Val, entities_json, record_json};

/// Changes of a world. Grants are looked at after each.
const CHANGES: usize = 10;

/// The moments of the generator's datetimes, in milliseconds since 1970.
const MOMENTS: [i64; 5] = [
    0,
    1_704_047_400_000,
    1_704_067_200_000,
    1_704_112_200_000,
    1_709_251_199_999,
];
const HOUR: i64 = 3_600_000;

/// By the generator's name for datetimes, so that its policies ask for it in all the ways that there are.
const TIME: &str = "dt";

/// What an error may do to a decision.
const MODES: [ErrorMode; 3] = [
    ErrorMode::Cedar,
    ErrorMode::DenyOnForbidError,
    ErrorMode::DenyOnAnyError,
];

/// Policies that come and go, so that what a grant rests on decides it: generated ones seldom turn on one thing alone.
const GATES: [&str; 4] = [
    "forbid(principal, action, resource) when { context has flag && context.flag == true };",
    "forbid(principal, action, resource) when { principal has flag && principal.flag == true };",
    "forbid(principal, action, resource) when { resource.hasTag(\"n\") };",
    "forbid(principal in Group::\"g0\", action, resource) unless { resource in Group::\"g1\" };",
];

/// What is asked for: a request, the chain of those who act for its principal, and when that ends.
#[derive(Clone, Debug)]
struct Wanted {
    ask: Ask,
    chain: Vec<Uid>,
    ends: Option<i64>,
}

impl Wanted {
    fn with_request<R>(&self, use_it: impl FnOnce(&Request<'_>) -> R) -> R {
        let actors: Vec<EntityUidRef<'_>> = self.chain[1..].iter().map(uid_ref).collect();
        let mut delegation = Delegation::new(&actors)
            .actor_as(ACTOR)
            .subject_as(SUBJECT)
            .delegator_as(DELEGATOR);
        if let Some(ends) = self.ends {
            delegation = delegation.expires(date(ends));
        }
        self.ask.with_request(|request| match actors.is_empty() {
            true => use_it(request),
            false => use_it(&request.delegation(&delegation)),
        })
    }
}

/// The grants of what was allowed once, and whether those that are looked at must be current.
struct Held {
    first: Wanted,
    /// With the context that it was given last.
    now: Wanted,
    /// When it was granted for a time.
    ends: Option<i64>,
    /// Asked after every change.
    asked: Grant,
    /// In a table, which has to look by itself.
    tabled: Grant,
    /// Asked at the end only.
    forgotten: Grant,
    live: bool,
}

/// How a world is set up, and what else than changes there is.
#[derive(Clone, Copy, Default)]
struct Setting {
    tuning: Tuning,
    /// With a policy that permits everything, so that there are more grants.
    permissive: bool,
    /// With the time in the context.
    timed: bool,
    /// With bounds on the age of data.
    bounded: bool,
    /// With a sink, which counts.
    recorded: bool,
    /// With grants and chains that end by themselves.
    ending: bool,
    /// What an error does to a decision.
    mode: ErrorMode,
    /// With policies that decide beside those in force.
    shadowed: bool,
}

impl Setting {
    /// Whether time alone takes grants back.
    fn is_of_time(self) -> bool {
        self.timed || self.bounded || self.ending
    }
}

/// Milliseconds since 1970 that do not go by.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn date(millis: i64) -> SystemTime {
    let since = Duration::from_millis(millis.unsigned_abs());
    match millis < 0 {
        true => SystemTime::UNIX_EPOCH - since,
        false => SystemTime::UNIX_EPOCH + since,
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl DecisionSink for Counting {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What was seen, so that a property which sees nothing fails.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    made: usize,
    ended: usize,
    chains: usize,
    chains_ended: usize,
    /// Contexts that were taken in place of the one before.
    contexts: usize,
}

/// A world in both engines, and the grants in it.
struct Story {
    run: Run,
    setting: Setting,
    clock: Clock,
    decisions: Arc<Counting>,
    table: GrantTable,
    revocations: Receiver<Arc<Revocation>>,
    held: Vec<Held>,
    seen: Seen,
    log: Vec<String>,
}

impl Story {
    /// The world and its grants; none where both engines refuse it.
    fn begin(tape: &mut Tape<'_>, setting: Setting) -> Result<Option<Self>, TestCaseError> {
        let (mut world, asks) = tape.world();
        if setting.permissive {
            // Behind the others, so that links keep their templates.
            world
                .policies
                .push_str("\npermit(principal, action, resource);");
        }
        let clock = Clock(Arc::new(AtomicI64::new(-HOUR)));
        let decisions = Arc::new(Counting::default());
        let build = || {
            let clock = clock.clone();
            let mut builder = world
                .builder()
                .tuning(setting.tuning)
                .error_mode(setting.mode);
            builder = builder.clock(move || date(clock.now()));
            if setting.timed {
                builder = builder.context_time(TIME);
            }
            if setting.bounded {
                let hour = Duration::from_millis(HOUR.unsigned_abs());
                let bounds = Freshness::new()
                    .max_policy_age(4 * hour)
                    .max_entity_age(3 * hour);
                let bounds = bounds.max_age_of_type("Doc", hour);
                builder = builder.freshness(bounds.max_age_of_type("Group", 2 * hour));
            }
            if setting.recorded {
                builder = builder.sink(Arc::clone(&decisions));
            }
            builder.build()
        };
        let Some((oracle, authorizer)) = load(&world, build)? else {
            return Ok(None);
        };
        let table = GrantTable::new(&authorizer);
        let revocations = table.revocations();
        let mut story = Self {
            run: Run::of(world, oracle, authorizer, 0),
            setting,
            clock,
            decisions,
            table,
            revocations,
            held: Vec::new(),
            seen: Seen::default(),
            log: Vec::new(),
        };
        for ask in asks {
            let wanted = story.wanted(tape, ask);
            story.hold(tape, wanted)?;
        }
        Ok(Some(story))
    }

    fn wanted(&self, tape: &mut Tape<'_>, ask: Ask) -> Wanted {
        let (mut ask, chain) = chain_of(tape, ask);
        self.free_of_time(&mut ask.context);
        let ends = self.some_end(tape).filter(|_| chain.len() > 1);
        Wanted { ask, chain, ends }
    }

    fn free_of_time(&self, context: &mut Record) {
        if self.setting.timed {
            context.remove(TIME);
        }
    }

    fn some_end(&self, tape: &mut Tape<'_>) -> Option<i64> {
        let ends = self.setting.ending && tape.chance(40);
        ends.then(|| self.clock.now() + HOUR / 2 * (1 + tape.below(8) as i64))
    }

    /// Three grants of what is wanted, if it is allowed.
    fn hold(&mut self, tape: &mut Tape<'_>, wanted: Wanted) -> Result<(), TestCaseError> {
        let allowed = self.allows(&wanted)?;
        let ends = self.some_end(tape);
        let authorizer = &self.run.authorizer;
        let grants = wanted.with_request(|request| {
            let lifetime = ends.map(|ends| (ends - self.clock.now()).unsigned_abs());
            let grants = match lifetime.map(Duration::from_millis) {
                None => [
                    authorizer.grant(request),
                    self.table.grant(request),
                    authorizer.grant(request),
                ],
                Some(lifetime) => [
                    authorizer.grant_for(request, lifetime),
                    self.table.grant_for(request, lifetime),
                    authorizer.grant_for(request, lifetime),
                ],
            };
            grants.map(|grant| grant.map_err(|denied| denied.outcome()))
        });
        if grants.iter().any(|grant| grant.is_ok() != allowed) {
            return self.fail(&wanted, &format!("allowed {allowed}, granted {grants:?}"));
        }
        if let [Ok(asked), Ok(tabled), Ok(forgotten)] = grants {
            self.seen.made += 1;
            self.seen.chains += usize::from(wanted.chain.len() > 1);
            self.held.push(Held {
                first: wanted.clone(),
                now: wanted,
                ends,
                asked,
                tabled,
                forgotten,
                live: true,
            });
        }
        Ok(())
    }

    /// Whether it is allowed now, by both engines.
    fn allows(&self, wanted: &Wanted) -> Result<bool, TestCaseError> {
        let now = self.clock.now();
        let found = wanted.with_request(|request| self.run.authorizer.is_allowed(request));
        let allowed = wanted.ends.is_none_or(|ends| now < ends)
            && (0..wanted.chain.len()).all(|at| {
                let mut hop = hop(&wanted.ask, &wanted.chain, at);
                if self.setting.timed {
                    hop.context.insert(TIME.to_owned(), datetime(now));
                }
                is_allowed(&self.run.oracle.decide(&hop))
            });
        // How old data is Cedar does not know, nor that errors deny; and both only take away.
        let agrees = match self.setting.bounded || self.setting.mode != ErrorMode::Cedar {
            true => found <= allowed,
            false => found == allowed,
        };
        match agrees {
            true => Ok(found),
            false => self.fail(wanted, &format!("found {found}, Cedar says {allowed}")),
        }
    }

    fn fail<T>(&self, wanted: &Wanted, what: &str) -> Result<T, TestCaseError> {
        let Wanted { ask, chain, ends } = wanted;
        let log = &self.log;
        let what = format!("{what}; {chain:?} until {ends:?}\n{log:#?}");
        let what = reproduction(&self.run.world, Some(ask), &what);
        Err(TestCaseError::fail(what))
    }

    /// The grants that the table has told of since it was asked last.
    fn told(&self) -> BTreeSet<GrantId> {
        let told = self.revocations.try_iter();
        told.map(|revocation| revocation.grant()).collect()
    }

    /// One change of anything, or time that goes by, and a look at every grant.
    fn go_on(&mut self, tape: &mut Tape<'_>) -> Result<(), TestCaseError> {
        if self.setting.is_of_time() && !tape.chance(40) {
            self.wait(tape);
        } else {
            self.change(tape)?;
        }
        let mut told = self.told();
        let swept = self.table.sweep();
        let told_by_time = self.told();
        let (counts, is_of_time) = (told_by_time.len(), self.setting.is_of_time());
        prop_assert!(
            (swept, self.table.sweep()) == (counts, 0) && (counts == 0 || is_of_time),
            "{:#?}",
            self.log
        );
        told.extend(told_by_time);
        let ended = self.look()?;
        prop_assert_eq!(told, ended, "{:#?}", self.log);
        self.renew(tape)
    }

    /// Makes one change of anything in both engines, or in neither.
    fn change(&mut self, tape: &mut Tape<'_>) -> Result<(), TestCaseError> {
        let run = &mut self.run;
        if self.setting.shadowed && tape.chance(20) {
            // Others decide beside it, or none do: no grant is concerned.
            let policies = tape.world().0.policies;
            match tape.chance(70) {
                true => drop(run.authorizer.set_shadow(policies.as_str())),
                false => drop(run.authorizer.clear_shadow()),
            }
        }
        let (what, ours, theirs) = match tape.below(12) {
            0..4 => {
                let changes = tape.changes();
                let taken = run.change(&changes)?;
                (format!("{changes:?}"), taken, taken)
            }
            4..6 => {
                let mut trial = Trial::new(&run.oracle.set);
                for _ in 0..1 + tape.below(2) {
                    trial.step(tape);
                }
                let what = format!("{:?}", trial.update);
                let ours = run.authorizer.update_policies(trial.update).is_ok();
                let theirs = trial.refused.is_none();
                if theirs {
                    run.oracle.set = trial.set;
                }
                (what, ours, theirs)
            }
            6 => {
                // Other entities, or the same ones anew.
                let mut next = run.world.clone();
                let what = match tape.chance(50) {
                    true => {
                        next.entities = tape.world().0.entities;
                        format!("other entities: {}", entities_json(&next.entities))
                    }
                    false => "the same entities".to_owned(),
                };
                let json = entities_json(&next.entities);
                let ours = run.authorizer.replace_entities(json.as_str()).is_ok();
                let entities = next.cedar_entities();
                let theirs = entities.is_ok();
                if let Ok(entities) = entities {
                    (run.world, run.oracle.entities) = (next, entities);
                }
                (what, ours, theirs)
            }
            7 => {
                let json = entities_json(&run.world.entities);
                let policies = run.world.policies();
                let ours = match tape.chance(50) {
                    true => run.authorizer.replace_policies(policies).is_ok(),
                    false => run.authorizer.replace_all(policies, json.as_str()).is_ok(),
                };
                run.oracle = run.world.oracle().unwrap();
                ("policies anew".to_owned(), ours, true)
            }
            gate => {
                let text = GATES[gate - 8];
                let name = format!("gate{gate}");
                let id = cedar::PolicyId::new(&name);
                let set = &mut run.oracle.set;
                let update = match set.remove_static(id.clone()) {
                    Ok(_) => PolicyUpdate::new().remove(name),
                    Err(_) => {
                        set.add(cedar::Policy::parse(Some(id), text).unwrap())
                            .unwrap();
                        PolicyUpdate::new().add(name, text)
                    }
                };
                let what = format!("{update:?}");
                let ours = run.authorizer.update_policies(update).is_ok();
                (what, ours, true)
            }
        };
        self.log.push(format!("{what}: {ours}"));
        prop_assert_eq!(ours, theirs, "{:#?}", self.log);
        Ok(())
    }

    fn wait(&mut self, tape: &mut Tape<'_>) {
        let before = self.clock.now();
        let now = match tape.below(2) {
            0 => {
                let next = MOMENTS.iter().find(|moment| **moment > before + 1);
                next.map_or(before, |next| next + [-1, 0, 1][tape.below(3)])
            }
            _ => before + HOUR / 4 * (1 + tape.below(6) as i64),
        };
        self.clock.0.store(now, Ordering::Relaxed);
        for source in [
            DataSource::Policies,
            DataSource::Entities,
            DataSource::EntityType("Doc"),
            DataSource::EntityType("Group"),
        ] {
            if self.setting.bounded && tape.chance(60) {
                let authorizer = &self.run.authorizer;
                authorizer.confirm_fresh(source, date(now)).unwrap();
                self.log.push(format!("{source:?} fresh"));
            }
        }
        self.log.push(format!("{:?}", datetime(now)));
    }

    /// Looks at every grant: it is live as long as it would be made again, and the table has looked before. Those that are so
    /// no more.
    fn look(&mut self) -> Result<BTreeSet<GrantId>, TestCaseError> {
        let now = self.clock.now();
        let mut ended = BTreeSet::new();
        for at in 0..self.held.len() {
            let allowed = self.allows(&self.held[at].now)?;
            let held = &mut self.held[at];
            let was = held.live;
            held.live &= allowed && held.ends.is_none_or(|ends| now < ends);
            let held = &self.held[at];
            let looked = held.tabled.revocation().is_some() != held.live;
            let decisions = self.decisions.0.load(Ordering::Relaxed);
            let current = [held.asked.is_current(), held.tabled.is_current()];
            let decided = self.decisions.0.load(Ordering::Relaxed) - decisions;
            let again = [held.asked.is_current(), held.tabled.is_current()];
            let decided_twice = self.decisions.0.load(Ordering::Relaxed) - decisions - decided;
            // Where nothing has changed since the last look there is nothing to decide, unless it is time that does.
            let idle = decided_twice == 0 || self.setting.timed || self.setting.bounded;
            if !looked || current != [held.live; 2] || again != current || !idle {
                let what = format!(
                    "allowed {allowed}, live before {was}; the table has looked: {looked}, current {current:?} and \
                     {again:?}, decided {decided} and {decided_twice}"
                );
                return self.fail(&held.now, &what);
            }
            if was != held.live {
                ended.insert(held.tabled.id());
                self.seen.ended += 1;
                self.seen.chains_ended += usize::from(held.now.chain.len() > 1);
            }
        }
        Ok(ended)
    }

    /// Gives some grants another context: those that it denies end.
    fn renew(&mut self, tape: &mut Tape<'_>) -> Result<(), TestCaseError> {
        let mut ended = BTreeSet::new();
        for at in 0..self.held.len() {
            if !tape.chance(30) {
                continue;
            }
            let mut next = self.held[at].now.clone();
            next.ask.context = free_of_names(tape.context());
            if tape.chance(50) {
                // What a gate asks for.
                let flag = Val::Bool(tape.chance(50));
                next.ask.context.insert("flag".to_owned(), flag);
            }
            self.free_of_time(&mut next.ask.context);
            let allowed = self.allows(&next)?;
            let held = &mut self.held[at];
            let was = held.live;
            held.live &= allowed;
            let json = record_json(&next.ask.context).to_string();
            let current = [&held.asked, &held.tabled].map(|grant| match tape.chance(50) {
                true => grant.is_current_with(&next.ask.context),
                false => grant.is_current_with_json(&json),
            });
            if current != [held.live; 2] {
                let what = format!("given a context: {current:?}, live before {was}");
                return self.fail(&next, &what);
            }
            self.log.push(format!("{json} for {:?}", held.tabled.id()));
            if held.live {
                held.now = next;
                self.seen.contexts += 1;
            } else if was {
                ended.insert(held.tabled.id());
            }
        }
        prop_assert_eq!(self.told(), ended, "{:#?}", self.log);
        Ok(())
    }

    /// A grant that was never asked says what is true now, however much it has missed; and what is dropped is forgotten.
    fn end(mut self) -> Result<Seen, TestCaseError> {
        let now = self.clock.now();
        for held in &self.held {
            let allowed = self.allows(&held.first)?;
            let current = allowed && held.ends.is_none_or(|ends| now < ends);
            if held.forgotten.is_current() != current {
                let what = format!("never asked before: not {current}");
                return self.fail(&held.first, &what);
            }
        }
        prop_assert_eq!(self.table.len(), self.held.len());
        self.held.clear();
        let table = &self.table;
        prop_assert!(
            table.is_empty() && format!("{table:?}").contains("keys: 0"),
            "{:?}",
            table
        );
        Ok(self.seen)
    }
}

fn datetime(millis: i64) -> Val {
    let json = serde_json::to_value(Datetime::from_millis(millis)).unwrap();
    Val::Datetime(json["__extn"]["arg"].as_str().unwrap().to_owned())
}

fn grants_agree(tape: &mut Tape<'_>, setting: Setting) -> Result<Seen, TestCaseError> {
    let Some(mut story) = Story::begin(tape, setting)? else {
        return Ok(Seen::default());
    };
    for _ in 0..CHANGES {
        story.go_on(tape)?;
    }
    story.end()
}

/// A world and all that happens to its grants, made from bytes.
pub(crate) fn worlds_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (tuning, numbers) = of_each_byte(bytes);
    let mut tape = Tape::new(&numbers);
    let setting = Setting {
        tuning: tunings()[tuning],
        permissive: tape.chance(50),
        timed: tape.chance(25),
        bounded: tape.chance(15),
        recorded: tape.chance(30),
        ending: tape.chance(25),
        mode: ErrorMode::Cedar,
        shadowed: false,
    };
    grants_agree(&mut tape, setting).map(drop)
}

/// What the first property has seen.
static SEEN: Mutex<Seen> = Mutex::new(Seen {
    made: 0,
    ended: 0,
    chains: 0,
    chains_ended: 0,
    contexts: 0,
});

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..config(50) })]

    #[test]
    fn the_live_grants_are_those_that_would_be_made_again(
        numbers in tape(),
        tuning in 0..9_usize,
        permissive in any::<bool>(),
        recorded in any::<bool>(),
        shadowed in any::<bool>(),
        mode in 0..3_usize,
    ) {
        let (tuning, mode) = (tunings()[tuning], MODES[mode]);
        let setting = Setting { tuning, permissive, recorded, shadowed, mode, ..Setting::default() };
        let seen = grants_agree(&mut Tape::new(&numbers), setting)?;
        let mut all = SEEN.lock().unwrap();
        all.made += seen.made;
        all.ended += seen.ended;
        all.chains += seen.chains;
        all.chains_ended += seen.chains_ended;
        all.contexts += seen.contexts;
        if all.made > 150 {
            let enough = all.ended > 20 && all.chains > 20 && all.chains_ended > 4 && all.contexts > 20;
            prop_assert!(enough, "too few to show anything: {:?}", all);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..config(40) })]

    /// The same while time goes by, with it in the context, with bounds on the age of data, and with ends: a look sees it, and
    /// a sweep.
    #[test]
    fn time_takes_back_what_it_denies(
        numbers in tape(),
        permissive in any::<bool>(),
        bounded in any::<bool>(),
        ending in any::<bool>(),
        mode in 0..3_usize,
    ) {
        let mode = MODES[mode];
        let setting = Setting { permissive, timed: true, bounded, ending, mode, ..Setting::default() };
        grants_agree(&mut Tape::new(&numbers), setting)?;
    }
}

/// What the fuzzer found once, and what it begins with.
#[test]
fn fuzzed_grants_agree() {
    crate::agree::regressions_agree("grants", worlds_agree);
}
