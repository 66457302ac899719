//! Searching the store.

use std::iter::FusedIterator;

use crate::epoch::{ActionTest, Epoch};
use crate::eval::{self, Lease, Machine, Scratch, Sought};
use crate::id::{EntityUidRef, Uid};
use crate::json;
use crate::request::{EntitySource, Now, Request, RequestError, RequestPart};
use crate::schema::is_action_type;
use crate::search::{Bounds, Candidates, Cursor, Plan, Search, SearchError, Target};
use crate::value::arena::NameText;

use super::{Pinned, PreparedRequest};

/// After so many entities the working memory is emptied and the results so far are handed out.
const CHUNK: usize = 8192;

impl Pinned {
    /// Searches the store: which principals, actions or resources would be allowed?
    ///
    /// The same as deciding for every stored entity of the type, in particular about policies that fail to evaluate and
    /// [`ErrorMode`](crate::ErrorMode); but the parts of the request that are fixed are looked at once, and groups of candidates that
    /// policies do not tell apart are decided together. Only entities that are stored are found. Results come in the
    /// order of the store, which is the order in which entities were first mentioned when they were loaded; it stays as
    /// it is for one epoch.
    ///
    /// A principal, action or resource that nothing knows is decided about like any other. No records are written:
    /// what is done with a result is a decision of its own.
    ///
    /// The first search after the hierarchy has changed may walk over all entities, to know what is below groups.
    ///
    /// # Errors
    /// [`SearchError`] when the fixed parts of the request cannot be understood, when a schema does not know the type (or,
    /// where requests are validated, does not allow such requests), and when the cursor is not of this search and epoch.
    pub fn search(&self, search: &Search<'_>) -> Result<Found<'_>, SearchError> {
        if let Some(outcome) = self.authorizer.stale_for_search(&self.epoch) {
            return Err(SearchError::Stale(outcome));
        }
        let fingerprint = search.fingerprint();
        let first = match search.after {
            None => Uid::FIRST,
            Some(cursor) => {
                cursor.resume(self.instance(), self.epoch.version.epoch(), fingerprint)?
            }
        };
        let mut found = Found {
            pinned: self,
            candidates: None,
            buffer: Vec::new(),
            at: 0,
            next: Some(first),
            results: search.limit,
            entities: search.scan_limit,
            examined: 0,
            fingerprint,
        };
        let (sought, type_name) = match search.target {
            Target::Actions { .. } => {
                found.decide_actions(search)?;
                return Ok(found);
            }
            Target::Principals { type_name, .. } => (Sought::Principal, type_name),
            Target::Resources { type_name, .. } => (Sought::Resource, type_name),
        };
        if !matches!(search.entities, EntitySource::None) {
            found.decide_entities(search, type_name)?;
            return Ok(found);
        }
        found.candidates = self.plan(search, sought, type_name)?;
        if found.candidates.is_none() {
            found.next = None;
        }
        Ok(found)
    }

    /// `None` when there is nothing of the type.
    fn plan(
        &self,
        search: &Search<'_>,
        sought: Sought,
        type_name: &str,
    ) -> Result<Option<Box<Planned>>, SearchError> {
        let epoch = &*self.epoch;
        let request = search.request(any_of_type(epoch, type_name)?);
        let prepared = PreparedRequest::new(&self.authorizer, epoch, &request)?;
        let Some(type_id) = epoch.snapshot.names.find_type(type_name) else {
            return Ok(None);
        };
        let mut lease = Lease::pooled();
        let scratch = lease.get_mut();
        let mode = self.authorizer.inner.settings.error_mode;
        let plan = Plan::new(
            epoch,
            &machines(epoch, &prepared, scratch),
            sought,
            type_id,
            mode,
        );
        let candidates = Candidates::new(&plan, &epoch.snapshot);
        Ok(Some(Box::new(Planned {
            prepared,
            plan,
            candidates,
        })))
    }

    fn instance(&self) -> u128 {
        u128::from_str_radix(&self.authorizer.inner.instance, 16).unwrap_or_default()
    }
}

/// An entity of the type, which stands for all: what the schema says of requests, it says of types. Of a type with a closed list
/// of ids one of the list is needed.
fn any_of_type<'a>(epoch: &'a Epoch, type_name: &'a str) -> Result<EntityUidRef<'a>, SearchError> {
    if !json::is_normalized_type_name(type_name) {
        return Err(SearchError::TypeName(type_name.to_owned()));
    }
    let mut any = "";
    if let Some(schema) = epoch.schema.as_deref() {
        match schema.entity_type(type_name) {
            Some(declared) => {
                let ids = declared.enumerated.as_deref().unwrap_or_default();
                any = ids.first().map_or("", |id| id);
            }
            None if is_action_type(type_name) => {}
            None => return Err(SearchError::UndeclaredType(type_name.to_owned())),
        }
    }
    Ok(EntityUidRef::new(type_name, any))
}

/// One machine for each segment.
fn machines<'a>(
    epoch: &'a Epoch,
    prepared: &'a PreparedRequest,
    scratch: &'a mut Scratch,
) -> Vec<Machine<'a>> {
    scratch.reset();
    let (resolved, names) = prepared.resolved(epoch);
    let first = Machine::new(epoch, names, resolved, scratch.arena.bump());
    let segments = epoch.segments.iter();
    segments.map(|segment| first.on(segment)).collect()
}

/// What was found, one after the other. Made by [`Pinned::search`]; looks for more as it is asked for more.
///
/// Ends after the last result, or when a limit of the search is reached; then [`Found::cursor`] goes on.
pub struct Found<'p> {
    pinned: &'p Pinned,
    /// `None` where there is nothing more to look at.
    candidates: Option<Box<Planned>>,
    /// Results that were not handed out yet, from `at` on.
    buffer: Vec<Uid>,
    at: usize,
    /// The first entity that was not looked at.
    next: Option<Uid>,
    /// How many results and looked-at entities are left.
    results: usize,
    entities: usize,
    examined: usize,
    fingerprint: u64,
}

struct Planned {
    prepared: PreparedRequest,
    plan: Plan,
    candidates: Candidates,
}

impl Found<'_> {
    /// Where to go on behind the results so far; `None` when the search has come to the end of the store.
    ///
    /// There may be nothing behind it: a search that stops at a limit does not look ahead.
    pub fn cursor(&self) -> Option<Cursor> {
        let next = self.buffer.get(self.at).copied().or(self.next)?;
        Some(Cursor {
            instance: self.pinned.instance(),
            epoch: self.pinned.epoch.version.epoch(),
            search: self.fingerprint,
            next,
        })
    }

    /// How many stored entities were looked at so far, of any type. Those that a search knows not to be allowed without
    /// looking do not count.
    pub fn examined(&self) -> usize {
        self.examined
    }

    /// Looks on, for a while.
    fn fill(&mut self) {
        self.buffer.clear();
        self.at = 0;
        let (Some(planned), Some(first)) = (self.candidates.as_deref_mut(), self.next) else {
            self.next = None;
            return;
        };
        let epoch = &*self.pinned.epoch;
        let mut lease = Lease::pooled();
        let scratch = lease.get_mut();
        let mut machines = machines(epoch, &planned.prepared, scratch);
        let bounds = Bounds {
            results: self.results,
            entities: self.entities.min(CHUNK),
        };
        let progress = planned.candidates.search(
            &mut planned.plan,
            &mut machines,
            epoch,
            first,
            bounds,
            &mut self.buffer,
        );
        self.next = progress.next;
        self.entities -= progress.entities;
        self.examined += progress.entities;
    }

    /// Decides all stored entities of a type, up to a limit.
    fn decide_entities(&mut self, search: &Search<'_>, type_name: &str) -> Result<(), SearchError> {
        let epoch = &*self.pinned.epoch;
        let request = search.request(any_of_type(epoch, type_name)?);
        let mut each = Each::new(self.pinned)?;
        each.is_allowed(&request)?;
        let stored = epoch.snapshot.iter().map(|(uid, _)| uid);
        let names = &epoch.snapshot.names;
        let entities: Vec<Uid> = stored
            .filter(|uid| names.uid_text(*uid).0 == type_name)
            .collect();
        self.decide_each(search, &entities, &mut each);
        Ok(())
    }

    /// Decides all actions, up to a limit.
    fn decide_actions(&mut self, search: &Search<'_>) -> Result<(), SearchError> {
        let epoch = &*self.pinned.epoch;
        let mut each = Each::new(self.pinned)?;
        // Without a schema, what an action is does not change how the rest is read.
        if epoch.schema.is_none() {
            each.is_allowed(&search.request(("Action", "").into()))?;
        }
        // That an action does not apply to such a principal or resource is an answer; that nothing can be understood is
        // not.
        let unreadable = |error: &RequestError| error.part() != RequestPart::Request;
        let Decided { valid, refused } = self.decide_each(search, &actions(epoch), &mut each);
        match refused.filter(unreadable) {
            Some(error) if !valid => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Decides candidates in their order, which is that of their numbers, up to a limit.
    fn decide_each(
        &mut self,
        search: &Search<'_>,
        candidates: &[Uid],
        each: &mut Each<'_>,
    ) -> Decided {
        let names = &self.pinned.epoch.snapshot.names;
        let first = candidates.partition_point(|uid| Some(*uid) < self.next);
        let mut decided = Decided::default();
        self.next = None;
        for uid in candidates.get(first..).unwrap_or_default() {
            if self.buffer.len() == self.results || self.examined == self.entities {
                self.next = Some(*uid);
                break;
            }
            self.examined += 1;
            match each.is_allowed(&search.request(names.uid_text(*uid).into())) {
                Ok(allowed) => {
                    decided.valid = true;
                    if allowed {
                        self.buffer.push(*uid);
                    }
                }
                Err(error) => decided.refused = decided.refused.or(Some(error)),
            }
        }
        self.entities -= self.examined;
        decided
    }
}

/// What deciding candidates one by one came to.
#[derive(Default)]
struct Decided {
    /// Whether any of the requests was one.
    valid: bool,
    /// What was wrong with the first that was none.
    refused: Option<RequestError>,
}

/// Decides requests of a search, one after the other, at one time and without records.
struct Each<'p> {
    pinned: &'p Pinned,
    lease: Lease<'p>,
    now: Option<Now<'p>>,
}

impl<'p> Each<'p> {
    fn new(pinned: &'p Pinned) -> Result<Self, RequestError> {
        Ok(Self {
            pinned,
            lease: Lease::pooled(),
            now: pinned.authorizer.now_asked()?,
        })
    }

    fn is_allowed(&mut self, request: &Request<'_>) -> Result<bool, RequestError> {
        let epoch = &*self.pinned.epoch;
        let settings = &self.pinned.authorizer.inner.settings;
        let scratch = self.lease.get_mut();
        scratch.reset();
        let Scratch {
            arena,
            locals,
            findings,
            ..
        } = scratch;
        let request = &request.at(self.now);
        let machine = eval::prepare(epoch, request, &settings.reading, arena.bump(), locals)?;
        let mode = settings.error_mode;
        Ok(eval::evaluate_decision(epoch, &machine, mode, findings))
    }
}

/// The stored actions, and those that scopes of policies name.
fn actions(epoch: &Epoch) -> Vec<Uid> {
    let mut actions = Vec::new();
    for segment in &epoch.segments {
        actions.extend_from_slice(&segment.linked.members.actions);
        for (row, number) in segment.linked.rows.iter().zip(0..) {
            if segment.dead.contains(number) {
                continue;
            }
            match row.action {
                ActionTest::Any => {}
                ActionTest::Eq(action) => actions.push(action),
                ActionTest::In(list) => actions.extend(list.of(&segment.linked.action_lists)),
            }
        }
    }
    actions.sort_unstable();
    actions.dedup();
    actions
}

impl<'p> Iterator for Found<'p> {
    type Item = EntityUidRef<'p>;

    fn next(&mut self) -> Option<EntityUidRef<'p>> {
        loop {
            if self.results == 0 {
                return None;
            }
            if let Some(uid) = self.buffer.get(self.at) {
                self.at += 1;
                self.results -= 1;
                return Some(self.pinned.epoch.snapshot.names.uid_text(*uid).into());
            }
            if self.entities == 0 || self.next.is_none() || self.candidates.is_none() {
                return None;
            }
            self.fill();
        }
    }
}

impl FusedIterator for Found<'_> {}

impl std::fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found")
            .field("examined", &self.examined)
            .field("cursor", &self.cursor())
            .finish_non_exhaustive()
    }
}
