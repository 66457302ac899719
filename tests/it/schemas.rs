//! Worlds with a schema: it is generated, and so are policies, links, entities and requests that fit it, or nearly do.
//! Between requests everything but the schema changes: entities and policies one by one, or all at once.
//!
//! Both engines take the policies, the entities and each change of them, or both refuse; both find a request valid, or
//! neither does; and the answers are the same. Grants are current as long as Cedar would allow their requests.

use std::collections::{BTreeSet, HashMap};

use cedar_policy as cedar;
use duramen::grant::{Grant, GrantTable};
use duramen::{Authorizer, EntityUpdate, PolicyUpdate, PreparedRequest, Request, Scratch, Tuning};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value as Json;

use super::entity_updates::{State, add, model};
use super::generate::schema::Schema;
use super::generate::typed_data::{Typed, explicit};
use super::generate::typed_policies::Written;
use super::generate::{Numbers, Tape, config, tape};
use super::many::{Counts, WAYS, is_right, numbers_after, of_bytes, tuning_of};
use super::oracle::{Ask, Link, World, cedar_uid, ours, reproduction, tunings, uid_ref};
use super::stored::is_exported;
use super::value::{EntityData, entities_json};

/// Changes of a world; requests are asked before the first and after each.
const UPDATES: u64 = 4;

/// Prepared requests that live through the changes.
const PREPARED: usize = 6;

/// Requests of which grants are held through the changes.
const GRANTED: usize = 10;

/// The world of a seed, and some `requests` requests of it.
pub(crate) fn seed_agrees(
    seed: u64,
    requests: u64,
    counts: &mut Counts,
) -> Result<(), TestCaseError> {
    let numbers = Numbers::of_seed(seed, 8_000);
    let tape = &mut Tape::new(&numbers);
    worlds_agree(tape, tuning_of(seed), seed, requests, counts)
}

/// A world made from bytes.
pub(crate) fn bytes_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (tuning, numbers, seed) = of_bytes(bytes);
    let tape = &mut Tape::new(&numbers);
    worlds_agree(tape, tuning, seed, 40, &mut Counts::default())
}

fn worlds_agree(
    tape: &mut Tape<'_>,
    tuning: Tuning,
    seed: u64,
    requests: u64,
    counts: &mut Counts,
) -> Result<(), TestCaseError> {
    let schema = tape.schema();
    let Some(mut run) = Run::load(&schema, tape, tuning, seed)? else {
        counts.refused += 1;
        return Ok(());
    };
    let authorizer = run.authorizer.clone();
    let mut prepared = Vec::new();
    counts.worlds += 1;
    for update in 0..=UPDATES {
        run.ask(requests / (UPDATES + 1), &mut prepared, counts)?;
        if update < UPDATES {
            let numbers = numbers_after(&mut run.seed, 1_500);
            let tape = &mut Tape::new(&numbers);
            counts.updates += u64::from(match tape.below(8) {
                0 => run.replace_all(tape)?,
                1..4 => run.update_policies(tape)?,
                _ => run.update_entities(tape)?,
            });
        }
        run.look(counts)?;
        is_exported(&authorizer, &run.entities, Some(&run.cedars))
            .map_err(|what| run.fail(None, &Json::Null, &what))?;
        let mut session = authorizer.session();
        for (ask, json, prepared) in &mut prepared {
            let expected = run.expected(ask, json);
            let found = session.is_authorized_prepared(prepared);
            let same = expected.as_ref().map(super::oracle::answer);
            if same != Some(ours(&found)) {
                let what = format!("prepared: {:#?}, Cedar says {same:#?}", ours(&found));
                return Err(run.fail(Some(ask), json, &what));
            }
            counts.answer(expected.as_ref());
        }
    }
    Ok(())
}

/// Grants of what was allowed once, alone and in a table, and whether they must be current.
struct Held {
    ask: Ask,
    json: Json,
    alone: Grant,
    tabled: Grant,
    live: bool,
}

/// A world in both engines.
struct Run<'s> {
    schema: &'s Schema,
    cedars: cedar::Schema,
    set: cedar::PolicySet,
    entities: cedar::Entities,
    state: State,
    authorizer: Authorizer,
    scratch: Scratch,
    table: GrantTable,
    held: Vec<Held>,
    /// Ids of policies that are no links, and of links.
    policies: Vec<String>,
    links: Vec<String>,
    /// Ids for new ones.
    next: usize,
    slip: usize,
    validates_policies: bool,
    validates_requests: bool,
    /// How it came to be, for a report.
    history: Vec<String>,
    /// Where the next numbers come from.
    seed: u64,
}

impl<'s> Run<'s> {
    /// Both load it, or neither does.
    fn load(
        schema: &'s Schema,
        tape: &mut Tape<'_>,
        tuning: Tuning,
        seed: u64,
    ) -> Result<Option<Self>, TestCaseError> {
        let text = schema.text();
        let fail = |what: String| TestCaseError::fail(format!("{what}\n{text}"));
        let slip = [0, 0, 5, 30][tape.below(4)];
        // What slips is refused as a whole, if policies are validated.
        let validates_policies = slip == 0 || tape.chance(30);
        let validates_requests = tape.chance(70);
        let as_json = tape.chance(30);
        let mut typed = Typed {
            schema,
            tape,
            slip,
            slips: 0,
        };
        let (some, families) = (1 + typed.tape.below(6), typed.tape.below(4));
        let written = typed.policies(some, families);
        // Data with slips is as rare, and most worlds shall come to decisions.
        typed.slip = match typed.tape.chance(10) {
            true => slip,
            false => 0,
        };
        let entities = typed.entities();
        let json = typed.entities_json(&entities);

        let (cedars, _) = cedar::Schema::from_cedarschema_str(&text)
            .map_err(|error| fail(format!("no schema: {:?}", miette(&error))))?;
        let builder = match as_json {
            true => {
                let fragment = cedar::SchemaFragment::from_cedarschema_str(&text);
                let json = fragment.map_err(|error| fail(error.to_string()))?.0;
                let json = json.to_json_string();
                Authorizer::builder().schema_json(json.map_err(|error| fail(error.to_string()))?)
            }
            false => Authorizer::builder().schema_str(text.as_str()),
        };
        let world = World {
            policies: written.text.clone(),
            links: written.links.clone(),
            entities: entities.clone(),
            ..World::default()
        };
        let ours = builder
            .policies(world.policies())
            .entities(json.as_str())
            .validate_policies(validates_policies)
            .validate_requests(validates_requests)
            .tuning(tuning.with_numbered_schema(!seed.is_multiple_of(3)))
            .build();
        let theirs = set_of(&written).and_then(|set| {
            if validates_policies {
                validate(&cedars, &set)?;
            }
            let entities = cedar::Entities::from_json_str(&json, Some(&cedars))
                .map_err(|error| format!("{:?}", miette(&error)))?;
            Ok((set, entities))
        });
        let (authorizer, (set, entities_of)) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(_), Err(_)) if slip > 0 => return Ok(None),
            // Without slips both have to take it.
            (ours, theirs) => {
                let what = format!(
                    "Duramen says {:?}, Cedar says {:?}\n{text}\n{json}",
                    ours.err(),
                    theirs.err()
                );
                return Err(TestCaseError::fail(reproduction(&world, None, &what)));
            }
        };
        let mut run = Self {
            schema,
            cedars,
            set,
            entities: entities_of,
            state: State::new(),
            table: GrantTable::new(&authorizer),
            held: Vec::new(),
            authorizer,
            scratch: Scratch::new(),
            policies: Vec::new(),
            links: Vec::new(),
            next: 0,
            slip,
            validates_policies,
            validates_requests,
            history: vec![format!("seed {seed}, {tuning:?}\n{text}")],
            seed,
        };
        run.hold(&written, entities);
        Ok(Some(run))
    }

    fn hold(&mut self, written: &Written, entities: Vec<EntityData>) {
        self.history.push(format!(
            "{}\n{:#?}\n{}",
            written.text,
            written.links,
            entities_json(&entities)
        ));
        self.state = entities.into_iter().map(|e| (e.uid.clone(), e)).collect();
        self.links = written.links.iter().map(|link| link.id.clone()).collect();
        let ids = (0..written.policies).map(|n| format!("policy{n}"));
        let is_static = |id: &String| self.set.policy(&cedar::PolicyId::new(id)).is_some();
        self.policies = ids.filter(is_static).collect();
    }

    fn ask(
        &mut self,
        requests: u64,
        prepared: &mut Vec<(Ask, Json, PreparedRequest)>,
        counts: &mut Counts,
    ) -> Result<(), TestCaseError> {
        for turn in 0..requests {
            let numbers = numbers_after(&mut self.seed, 400);
            let tape = &mut Tape::new(&numbers);
            let stranger = !self.validates_requests && tape.chance(10);
            let mut typed = Typed {
                schema: self.schema,
                tape,
                // What is not validated is read by its types nevertheless.
                slip: if self.validates_requests {
                    self.slip
                } else {
                    0
                },
                slips: 0,
            };
            let (mut ask, mut json) = typed.ask();
            if stranger {
                ask.principal = ("Ghost::Town".to_owned(), "x".to_owned());
            }
            if ask.typed {
                json = explicit(&ask);
            }
            let expected = self.expected(&ask, &json);
            let ways = if ask.overlay.is_some() { 4 } else { WAYS };
            let (authorizer, scratch) = (self.authorizer.clone(), &mut self.scratch);
            let right = with_request(&ask, &json, |request| {
                is_right(
                    &authorizer,
                    scratch,
                    request,
                    turn % ways,
                    expected.as_ref(),
                )
            });
            if !right {
                let found = with_request(&ask, &json, |request| {
                    ours(&authorizer.is_authorized(request))
                });
                let expected = expected.as_ref().map(super::oracle::answer);
                let way = turn % ways;
                let what = format!("way {way}: (by way 0) {found:#?}, Cedar says {expected:#?}");
                return Err(self.fail(Some(&ask), &json, &what));
            }
            counts.answer(expected.as_ref());
            counts.overlays += u64::from(ask.overlay.is_some());
            if self.held.len() < GRANTED && is_allow(expected.as_ref()) {
                let grants = with_request(&ask, &json, |request| {
                    [authorizer.grant(request), self.table.grant(request)]
                        .map(|grant| grant.map_err(|denied| denied.outcome()))
                });
                let [Ok(alone), Ok(tabled)] = grants else {
                    return Err(self.fail(Some(&ask), &json, &format!("no grants: {grants:?}")));
                };
                self.held.push(Held {
                    ask: ask.clone(),
                    json: json.clone(),
                    alone,
                    tabled,
                    live: true,
                });
            }
            if prepared.len() < PREPARED && ask.overlay.is_none() && expected.is_some() {
                let made = with_request(&ask, &json, |request| authorizer.prepare(request));
                let made =
                    made.map_err(|error| self.fail(Some(&ask), &json, &error.to_string()))?;
                prepared.push((ask, json, made));
            }
        }
        Ok(())
    }

    /// Looks at every grant: it is live as long as its request is allowed, and the table has looked before.
    fn look(&mut self, counts: &mut Counts) -> Result<(), TestCaseError> {
        let mut held = std::mem::take(&mut self.held);
        for held in &mut held {
            let was = held.live;
            held.live &= is_allow(self.expected(&held.ask, &held.json).as_ref());
            let looked = held.tabled.revocation().is_none();
            let found = [looked, held.alone.is_current(), held.tabled.is_current()];
            if found != [held.live; 3] {
                let what = format!("live {}, found {found:?}", held.live);
                return Err(self.fail(Some(&held.ask), &held.json, &what));
            }
            counts.ended += u64::from(was != held.live);
        }
        self.held = held;
        Ok(())
    }

    /// Cedar's answer; none where it refuses the request.
    fn expected(&self, ask: &Ask, json: &Json) -> Option<cedar::Response> {
        let [principal, action, resource] =
            [&ask.principal, &ask.action, &ask.resource].map(cedar_uid);
        let schema = Some((&self.cedars, &action));
        let context = cedar::Context::from_json_value(json.clone(), schema).ok()?;
        let schema = self.validates_requests.then_some(&self.cedars);
        let request =
            cedar::Request::new(principal, action.clone(), resource, context, schema).ok()?;
        let cedar = cedar::Authorizer::new();
        let Some(overlay) = &ask.overlay else {
            return Some(cedar.is_authorized(&request, &self.set, &self.entities));
        };
        let mut upserts = Vec::new();
        for entity in overlay {
            let entity = cedar::Entity::from_json_value(entity.to_json(), Some(&self.cedars));
            upserts.push(entity.ok()?);
        }
        let entities = self.entities.clone();
        let entities = entities.upsert_entities(upserts, Some(&self.cedars)).ok()?;
        Some(cedar.is_authorized(&request, &self.set, &entities))
    }

    /// Changes entities; whether both took it.
    fn update_entities(&mut self, tape: &mut Tape<'_>) -> Result<bool, TestCaseError> {
        let mut typed = Typed {
            schema: self.schema,
            tape,
            slip: self.slip,
            slips: 0,
        };
        let changes = typed.changes();
        let slips = typed.slips;
        let mut state = self.state.clone();
        let sound = changes
            .iter()
            .all(|change| model(&mut state, change).is_ok());
        let all: Vec<EntityData> = state.values().cloned().collect();
        let fresh = cedar::Entities::from_json_str(&entities_json(&all), Some(&self.cedars));
        let update = changes.iter().fold(EntityUpdate::new(), add);
        self.history.push(format!("{changes:#?}"));
        match (self.authorizer.update_entities(update), fresh) {
            (Ok(_), Ok(entities)) if sound => {
                (self.state, self.entities) = (state, entities);
                Ok(true)
            }
            (Err(_), Err(_)) => Ok(false),
            // A slip is refused also where a later change of the same update would mend it.
            (Err(_), Ok(_)) if !sound || slips > 0 => Ok(false),
            (ours, theirs) => {
                let (ours, theirs) = (ours.err(), theirs.err());
                let what = format!("sound: {sound}, slips: {slips}, {ours:?}, Cedar: {theirs:?}");
                Err(self.fail(None, &Json::Null, &what))
            }
        }
    }

    /// Changes policies; whether both took it.
    fn update_policies(&mut self, tape: &mut Tape<'_>) -> Result<bool, TestCaseError> {
        let mut set = self.set.clone();
        let mut update = PolicyUpdate::new();
        let (mut policies, mut links) = (self.policies.clone(), self.links.clone());
        let mut touched = BTreeSet::new();
        let mut refused = None;
        let mut result = |result: Result<(), String>| {
            if let Err(error) = result {
                refused.get_or_insert(error);
            }
        };
        let id = |id: &str| cedar::PolicyId::new(id);
        for _ in 0..1 + tape.below(3) {
            let mut typed = Typed {
                schema: self.schema,
                tape,
                slip: self.slip,
                slips: 0,
            };
            match typed.tape.below(4) {
                0 if !policies.is_empty() => {
                    let gone = policies.swap_remove(typed.tape.below(policies.len()));
                    if touched.insert(gone.clone()) {
                        result(set.remove_static(id(&gone)).map(drop).map_err(text));
                        update = update.remove(gone);
                    }
                }
                1 if !links.is_empty() => {
                    let gone = links.swap_remove(typed.tape.below(links.len()));
                    if touched.insert(gone.clone()) {
                        result(set.unlink(id(&gone)).map(drop).map_err(text));
                        update = update.unlink(gone);
                    }
                }
                choice => {
                    let written = typed.policies(1, 0);
                    let new = match choice {
                        2 if !policies.is_empty() => {
                            policies[typed.tape.below(policies.len())].clone()
                        }
                        _ => format!("new{}", self.next),
                    };
                    self.next += 1;
                    if !touched.insert(new.clone()) {
                        continue;
                    }
                    self.history.push(format!("{new}: {}", written.text));
                    let replaced = policies.contains(&new);
                    if let Ok(template) = cedar::Template::parse(Some(id(&new)), &written.text)
                        && template.slots().next().is_some()
                    {
                        if replaced {
                            continue;
                        }
                        result(set.add_template(template).map_err(text));
                        update = update.add_template(new.as_str(), written.text);
                        for (number, link) in written.links.iter().enumerate() {
                            let named = format!("{new}-link{number}");
                            result(set.link(id(&new), id(&named), values(link)).map_err(text));
                            update = update.link(
                                new.as_str(),
                                named.as_str(),
                                link.principal.as_ref().map(uid_ref),
                                link.resource.as_ref().map(uid_ref),
                            );
                            links.push(named);
                        }
                        continue;
                    }
                    if replaced {
                        result(set.remove_static(id(&new)).map(drop).map_err(text));
                        update = update.replace(new.as_str(), written.text.as_str());
                    } else {
                        update = update.add(new.as_str(), written.text.as_str());
                        policies.push(new.clone());
                    }
                    let parsed = cedar::Policy::parse(Some(id(&new)), &written.text);
                    let added = parsed
                        .map_err(text)
                        .and_then(|policy| set.add(policy).map_err(text));
                    result(added);
                }
            }
        }
        if self.validates_policies {
            result(validate(&self.cedars, &set));
        }
        self.history.push(format!("{update:#?}"));
        match (self.authorizer.update_policies(update), refused) {
            (Ok(_), None) => {
                (self.set, self.policies, self.links) = (set, policies, links);
                Ok(true)
            }
            (Err(_), Some(_)) => Ok(false),
            (ours, refused) => {
                let what = format!("{:?}, Cedar: {refused:?}", ours.err());
                Err(self.fail(None, &Json::Null, &what))
            }
        }
    }

    /// Other policies and other entities, at once.
    fn replace_all(&mut self, tape: &mut Tape<'_>) -> Result<bool, TestCaseError> {
        let mut typed = Typed {
            schema: self.schema,
            tape,
            slip: self.slip,
            slips: 0,
        };
        let (some, families) = (typed.tape.below(5), typed.tape.below(3));
        let written = typed.policies(some, families);
        let entities = typed.entities();
        let json = typed.entities_json(&entities);
        let theirs = set_of(&written).and_then(|set| {
            if self.validates_policies {
                validate(&self.cedars, &set)?;
            }
            let entities = cedar::Entities::from_json_str(&json, Some(&self.cedars));
            Ok((set, entities.map_err(text)?))
        });
        let world = World {
            policies: written.text.clone(),
            links: written.links.clone(),
            ..World::default()
        };
        let ours = self.authorizer.replace_all(world.policies(), json.as_str());
        match (ours, theirs) {
            (Ok(_), Ok((set, cedars))) => {
                (self.set, self.entities) = (set, cedars);
                self.hold(&written, entities);
                Ok(true)
            }
            (Err(_), Err(_)) => Ok(false),
            (ours, theirs) => {
                let what = format!(
                    "{:?}, Cedar: {:?}\n{}\n{json}",
                    ours.err(),
                    theirs.err(),
                    written.text
                );
                Err(self.fail(None, &Json::Null, &what))
            }
        }
    }

    fn fail(&self, ask: Option<&Ask>, json: &Json, what: &str) -> TestCaseError {
        let history = self.history.join("\n--\n");
        TestCaseError::fail(format!("{what}\n{history}\n{ask:#?}\n{json}"))
    }
}

fn is_allow(response: Option<&cedar::Response>) -> bool {
    response.is_some_and(|response| response.decision() == cedar::Decision::Allow)
}

/// Calls `f` with the request in Duramen's form, its context as `json` unless it is typed.
fn with_request<R>(ask: &Ask, json: &Json, f: impl FnOnce(&Request<'_>) -> R) -> R {
    if ask.typed {
        return ask.with_request(f);
    }
    let [principal, action, resource] = [&ask.principal, &ask.action, &ask.resource].map(uid_ref);
    let (context, overlay) = (json.to_string(), ask.overlay.as_deref().map(entities_json));
    let request = Request::new(principal, action, resource).context_json(&context);
    match &overlay {
        Some(overlay) => f(&request.entities_json(overlay)),
        None => f(&request),
    }
}

fn set_of(written: &Written) -> Result<cedar::PolicySet, String> {
    let mut set: cedar::PolicySet = written.text.parse().map_err(text)?;
    for link in &written.links {
        let id = |id: &str| cedar::PolicyId::new(id);
        set.link(id(&link.template), id(&link.id), values(link))
            .map_err(text)?;
    }
    Ok(set)
}

fn values(link: &Link) -> HashMap<cedar::SlotId, cedar::EntityUid> {
    let slots = [
        (cedar::SlotId::principal(), &link.principal),
        (cedar::SlotId::resource(), &link.resource),
    ];
    let filled = slots.into_iter();
    filled
        .filter_map(|(slot, uid)| Some((slot, cedar_uid(uid.as_ref()?))))
        .collect()
}

fn validate(schema: &cedar::Schema, set: &cedar::PolicySet) -> Result<(), String> {
    let result = cedar::Validator::new(schema.clone()).validate(set, cedar::ValidationMode::Strict);
    match result.validation_passed() {
        true => Ok(()),
        false => {
            let errors = result.validation_errors().map(ToString::to_string);
            Err(errors.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An error with its causes.
fn miette(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn worlds_with_a_schema_agree(numbers in tape(), tuning in 0..9_usize, seed in any::<u64>()) {
        let counts = &mut Counts::default();
        worlds_agree(&mut Tape::new(&numbers), tunings()[tuning], seed, 30, counts)?;
    }
}

/// What the generator makes is mostly taken, decided both ways, and changed.
#[test]
fn many_requests_of_worlds_with_a_schema_agree() {
    let mut counts = Counts::default();
    for seed in 1..=u64::from(config(16).cases) {
        seed_agrees(seed, 60, &mut counts).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    println!("{counts:#?}");
    assert!(counts.worlds > 10 && counts.updates > 20, "{counts:#?}");
    assert!(counts.allowed > 100 && counts.denied > 100, "{counts:#?}");
    assert!(counts.overlays > 50 && counts.invalid > 5, "{counts:#?}");
    assert!(counts.ended > 10, "{counts:#?}");
    assert!(counts.kinds.len() > 1, "{counts:#?}");
}

/// What the fuzzer found once, and what it begins with.
#[test]
fn fuzzed_worlds_with_a_schema_agree() {
    crate::agree::regressions_agree("schemas", bytes_agree);
}
