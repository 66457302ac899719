//! How a grant stands: what it rests on, and until when that is known to hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::authorizer::{Authorizer, Change, DeniedByTime, Seen};
use crate::epoch::{Facet, Key, Watched};
use crate::eval::{self, Response, What};
use crate::freshness::StaleTypes;
use crate::request::delegation::ChainBounds;
use crate::request::{ContextSource, Request};
use crate::value::arena::NameText;

use super::basis::Basis;
use super::revocation::{GrantId, Revocation, RevocationReason};

/// What a holder wants called when the grant ends.
pub(super) type Callback = Box<dyn FnOnce(&Revocation) + Send>;

/// A grant, shared by its holder and the table that it is in.
pub(super) struct Standing {
    pub(super) id: GrantId,
    pub(super) authorizer: Authorizer,
    /// The number of the decision's record; 0 for none.
    sequence: u64,
    pub(super) expiry: Option<Box<Expiry>>,
    /// The last epoch for which the grant is known to be current; 0 once it has ended, which no epoch has. Written with
    /// the state locked.
    checked: AtomicU64,
    state: Mutex<State>,
}

struct State {
    basis: Basis,
    /// What the last decision rests on, sorted.
    keys: Arc<[Key]>,
    /// Whether a policy in its scope may look at the time.
    timed: bool,
    /// The types that were too old when it was decided last, and that it so does not rest on.
    spared: StaleTypes,
    step_up: Box<[Box<str>]>,
    callback: Option<Callback>,
    ended: Option<Arc<Revocation>>,
    /// Whether its holder has dropped it: whoever still looks at it finds nothing, and tells nobody.
    forgotten: bool,
}

/// When a grant is over, by two clocks, and before when the chain that it is of is not valid yet.
///
/// A clock that tells the date can be set back, by hand or by a server of times, and a grant would live on. The other one
/// cannot, but may stand still while the machine sleeps. Whichever is there first ends the grant.
#[derive(Clone, Copy)]
pub(super) struct Expiry {
    /// By the authorizer's clock. `None` is beyond what it can say.
    pub(super) date: Option<SystemTime>,
    /// By the machine's monotonic one.
    pub(super) deadline: Option<Instant>,
    /// By the authorizer's clock, which may be set back to before it.
    pub(super) not_before: Option<SystemTime>,
}

impl Expiry {
    /// Of a grant for a time, and of a chain that expires: what is first. `now` is asked only if there is any bound.
    pub(super) fn of(
        lifetime: Option<Duration>,
        chain: ChainBounds,
        now: impl FnOnce() -> SystemTime,
    ) -> Option<Self> {
        let ChainBounds {
            not_before,
            expires,
        } = chain;
        if lifetime.is_none() && expires.is_none() && not_before.is_none() {
            return None;
        }
        let now = now();
        let left = |end: SystemTime| end.duration_since(now).unwrap_or_default();
        let lifetime = lifetime.into_iter().chain(expires.map(left)).min();
        Some(Self {
            date: lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            deadline: lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime)),
            not_before,
        })
    }

    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        self.date.is_some_and(|date| now >= date)
            || self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether the clock was set back to before the chain is valid.
    fn is_ahead(&self, now: SystemTime) -> bool {
        self.not_before.is_some_and(|from| now < from)
    }
}

/// What a look at a grant found.
pub(super) enum Looked {
    /// It is current; `again` says whether it had to be decided again to know that.
    Current { again: bool },
    /// It is over. `news` has whom to tell where this look is the one that found it.
    Over {
        revocation: Arc<Revocation>,
        news: Option<News>,
    },
}

/// To be told when no lock is held.
pub(super) struct News(pub(super) Option<Callback>);

/// What a decision gives a grant.
struct Found {
    keys: Arc<[Key]>,
    timed: bool,
    spared: StaleTypes,
    basis: Option<Basis>,
    step_up: Box<[Box<str>]>,
}

/// What was seen of a decision; of a chain, of all of its hops.
#[derive(Default)]
struct Rests {
    keys: Vec<Key>,
    timed: bool,
    /// The same for each hop: all are decided at one time.
    spared: StaleTypes,
    basis: Option<Basis>,
}

impl Rests {
    fn add(&mut self, watched: &Watched, seen: Seen<'_, '_>) {
        if let Some(time) = seen.context_time {
            let candidates = &mut seen.findings.candidates;
            self.timed |= seen.machine.may_see(seen.epoch, candidates, time);
        }
        if let (Some(stamps), Some(ages)) = (&seen.epoch.stamps, seen.ages) {
            self.spared = StaleTypes::of(&stamps.bounds, ages.types.iter().copied());
        }
        add_keys(&mut self.keys, watched, seen);
    }

    fn keys(&mut self) -> Arc<[Key]> {
        self.keys.sort_unstable();
        self.keys.dedup();
        self.keys.as_slice().into()
    }
}

impl Standing {
    /// Decides the request; the response when it is denied.
    pub(super) fn grant<'a>(
        authorizer: &'a Authorizer,
        request: &Request<'_>,
        lifetime: Option<Duration>,
    ) -> Result<Self, Box<Response<'a>>> {
        // From before the decision on, so that nothing that it does not see goes without a stamp.
        let watched = authorizer.watch();
        let chain = request.delegation.map(|chain| chain.bounds());
        let chain = chain.unwrap_or_default();
        let expiry = Expiry::of(lifetime, chain, || authorizer.time()).map(Box::new);
        let mut rests = Rests::default();
        let response = authorizer.decide_seen(request, |decision| {
            let basis = || Basis::new(request, &decision);
            rests.basis.get_or_insert_with(basis);
            rests.add(watched, decision);
        });
        match rests.basis.take() {
            Some(basis) if response.is_allowed() => Ok(Self {
                id: GrantId::next(),
                authorizer: authorizer.clone(),
                sequence: response.sequence().unwrap_or(0),
                expiry,
                checked: AtomicU64::new(response.version().epoch()),
                state: Mutex::new(State {
                    basis,
                    keys: rests.keys(),
                    timed: rests.timed,
                    spared: rests.spared,
                    step_up: step_up(&response),
                    callback: None,
                    ended: None,
                    forgotten: false,
                }),
            }),
            _ => Err(Box::new(response)),
        }
    }

    /// Whether nothing at all has happened since the last look: one load of what all threads share, one of the grant's.
    #[inline]
    pub(super) fn is_unchanged(&self) -> bool {
        self.expiry.is_none()
            && !self.authorizer.depends_on_time()
            && self.authorizer.latest() == self.checked.load(Ordering::Acquire)
    }

    /// Looks whether the grant is current, and decides its request again if something that it rests on may have changed, or
    /// if there is a fresh context; also where time alone may have changed the decision.
    pub(super) fn look(&self, fresh: Option<ContextSource<'_>>) -> Looked {
        let when = match fresh {
            Some(_) => When::Always,
            None => self.authorizer.denied_by_time().into(),
        };
        self.look_again(fresh, when, None)
    }

    /// [`Self::look`] with what time denies by now, for whoever looks at many.
    pub(super) fn look_when(&self, when: When) -> Looked {
        self.look_again(None, when, None)
    }

    /// Whether it is known to be current for what is in force. The newest epoch may be another: that is made known first.
    pub(super) fn is_of_what_is_in_force(&self) -> bool {
        self.authorizer.version().epoch() <= self.checked.load(Ordering::Acquire)
    }

    /// Looks because of a change, which may be none that concerns the grant.
    pub(super) fn look_after(&self, change: Option<&Arc<Change>>) -> Looked {
        self.look_again(None, When::Changed, change)
    }

    fn look_again(
        &self,
        fresh: Option<ContextSource<'_>>,
        when: When,
        change: Option<&Arc<Change>>,
    ) -> Looked {
        let mut again = false;
        loop {
            let basis = match self.try_to_know(when) {
                Known::Over(looked) => return looked,
                Known::Current => return Looked::Current { again },
                Known::Suspect(basis) => basis,
            };
            again = true;
            if let Some(looked) = self.decide_again(&basis, fresh, change) {
                return looked;
            }
        }
    }

    fn try_to_know(&self, when: When) -> Known {
        // Foreign code is not called with the lock held.
        let now = self.expiry.as_ref().map(|_| self.authorizer.time());
        let mut state = self.lock();
        if state.forgotten {
            return Known::Current;
        }
        if let Some(revocation) = &state.ended {
            return Known::Over(Looked::Over {
                revocation: Arc::clone(revocation),
                news: None,
            });
        }
        if let (Some(expiry), Some(now)) = (&self.expiry, now)
            && expiry.is_over(now)
        {
            let revocation = Revocation {
                grant: self.id,
                basis: state.basis.clone(),
                reason: RevocationReason::Expired,
                version: self.authorizer.version(),
                good: self.checked.load(Ordering::Relaxed),
                decision: None,
                rechecks: self.sequence(),
                change: None,
            };
            return Known::Over(self.end(&mut state, revocation));
        }
        // The decision says so, and is the reason.
        if let (Some(expiry), Some(now)) = (&self.expiry, now)
            && expiry.is_ahead(now)
        {
            return Known::Suspect(state.basis.clone());
        }
        // The order matters: the stamps that are looked at are those of all epochs up to this one.
        let latest = self.authorizer.latest();
        let checked = self.checked.load(Ordering::Relaxed);
        if latest != checked {
            if self.authorizer.watch().may_concern(&state.keys, checked) {
                return Known::Suspect(state.basis.clone());
            }
            // Never back: the decision may have been made on an epoch that was swapped in after the load.
            self.checked.store(latest.max(checked), Ordering::Release);
        }
        match when.asks_again(state.timed, state.spared) {
            true => Known::Suspect(state.basis.clone()),
            false => Known::Current,
        }
    }

    /// `None` when the grant was given another context meanwhile.
    fn decide_again(
        &self,
        basis: &Basis,
        fresh: Option<ContextSource<'_>>,
        change: Option<&Arc<Change>>,
    ) -> Option<Looked> {
        let watched = self.authorizer.watch();
        basis.with_request(|request| {
            // For as short a time as the fresh context is there.
            let mut request: Request<'_> = request;
            request.rechecks = self.sequence();
            if let Some(context) = fresh {
                request.context = context;
            }
            let mut rests = Rests::default();
            let response = self.authorizer.decide_seen(&request, |decision| {
                if fresh.is_some() {
                    let basis = || Basis::new(&request, &decision);
                    rests.basis.get_or_insert_with(basis);
                }
                rests.add(watched, decision);
            });
            let found = response.is_allowed().then(|| Found {
                keys: rests.keys(),
                timed: rests.timed,
                spared: rests.spared,
                basis: rests.basis,
                step_up: step_up(&response),
            });
            self.take(basis, &response, found, change)
        })
    }

    /// Takes in what a decision on `basis` came to: `found` if it allows.
    fn take(
        &self,
        basis: &Basis,
        response: &Response<'_>,
        found: Option<Found>,
        change: Option<&Arc<Change>>,
    ) -> Option<Looked> {
        let mut state = self.lock();
        if state.forgotten {
            return Some(Looked::Current { again: false });
        }
        if let Some(revocation) = &state.ended {
            return Some(Looked::Over {
                revocation: Arc::clone(revocation),
                news: None,
            });
        }
        if !state.basis.is(basis) {
            return None;
        }
        let checked = self.checked.load(Ordering::Relaxed);
        let Some(found) = found else {
            let revocation = Revocation {
                grant: self.id,
                basis: basis.clone(),
                reason: RevocationReason::Denied(response.to_owned()),
                version: response.version(),
                good: checked,
                decision: response.sequence(),
                rechecks: self.sequence(),
                change: change.cloned(),
            };
            return Some(self.end(&mut state, revocation));
        };
        let epoch = response.version().epoch();
        // Another thread may have decided on a later epoch; with another context that does not count.
        if epoch >= checked || found.basis.is_some() {
            self.checked.store(epoch, Ordering::Release);
            if *state.keys != *found.keys {
                state.keys = found.keys;
            }
            if let Some(basis) = found.basis {
                state.basis = basis;
            }
            state.timed = found.timed;
            state.spared = found.spared;
            state.step_up = found.step_up;
        }
        Some(Looked::Current { again: true })
    }

    fn end(&self, state: &mut State, revocation: Revocation) -> Looked {
        let revocation = Arc::new(revocation);
        self.checked.store(0, Ordering::Release);
        state.ended = Some(Arc::clone(&revocation));
        Looked::Over {
            revocation,
            news: Some(News(state.callback.take())),
        }
    }

    /// Has `callback` called when the grant ends; gives it back if it has ended.
    pub(super) fn on_revoked(&self, callback: Callback) -> Option<(Callback, Arc<Revocation>)> {
        let mut state = self.lock();
        if let Some(revocation) = &state.ended {
            return Some((callback, Arc::clone(revocation)));
        }
        let replaced = state.callback.replace(callback);
        drop(state);
        // It is foreign code that drops what a callback has captured.
        drop(replaced);
        None
    }

    /// The holder has dropped it: a table that has found it in a change just before does not end it any more.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.forgotten = true;
        let callback = state.callback.take();
        drop(state);
        // It is foreign code that drops what a callback has captured.
        drop(callback);
    }

    /// The number of the record of the decision that the grant was made from.
    pub(super) fn sequence(&self) -> Option<u64> {
        (self.sequence > 0).then_some(self.sequence)
    }

    /// What it rests on: the keys, and whether it does on the time.
    pub(super) fn rests_on(&self) -> (Arc<[Key]>, bool) {
        let state = self.lock();
        (Arc::clone(&state.keys), state.timed)
    }

    pub(super) fn basis(&self) -> Basis {
        self.lock().basis.clone()
    }

    pub(super) fn step_up(&self) -> Box<[Box<str>]> {
        self.lock().step_up.clone()
    }

    pub(super) fn revocation(&self) -> Option<Arc<Revocation>> {
        self.lock().ended.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way, and what is foreign is called without the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a grant that no update concerns is decided again.
#[derive(Clone, Copy)]
pub(super) enum When {
    Always,
    /// If a policy in its scope may look at the time.
    Timed,
    /// Then, and if it may rest on entities of these types.
    Stale(StaleTypes),
    Changed,
}

impl From<DeniedByTime> for When {
    fn from(denied: DeniedByTime) -> Self {
        match denied {
            DeniedByTime::Nothing => Self::Timed,
            DeniedByTime::WhatRestsOn(types) => Self::Stale(types),
            DeniedByTime::Everything => Self::Always,
        }
    }
}

impl When {
    /// A decision that was allowed while a type was too old does not rest on that type, until it is made anew.
    fn asks_again(self, timed: bool, spared: StaleTypes) -> bool {
        match self {
            Self::Always => true,
            Self::Timed => timed,
            Self::Stale(types) => timed || !types.are_among(spared),
            Self::Changed => false,
        }
    }
}

/// What can be known without deciding.
enum Known {
    Current,
    Suspect(Basis),
    Over(Looked),
}

fn step_up(response: &Response<'_>) -> Box<[Box<str>]> {
    response.step_up().map(Box::from).collect()
}

/// Adds all that a decision rests on.
///
/// What is above an entity rests on the parents of it and of all that is above it. An overlay must not make cycles with
/// what is stored, so that it rests on what is above its entities, asked for or not.
fn add_keys(keys: &mut Vec<Key>, watched: &Watched, seen: Seen<'_, '_>) {
    let Seen {
        epoch,
        machine,
        resolved,
        names,
        findings,
        ..
    } = seen;
    let key = |uid, facet| watched.key(names.uid_text(uid), facet);
    let with_ancestors = |keys: &mut Vec<Key>, uid| {
        keys.push(key(uid, Facet::Parents));
        let above = machine.ancestors(uid).iter();
        keys.extend(above.map(|above| key(*above, Facet::Parents)));
    };
    let mut placed = None;
    for read in eval::reads(epoch, machine, &mut findings.candidates) {
        match read.what {
            What::Attribute(name) => {
                keys.push(key(read.entity, Facet::Attribute(names.sym_text(name))));
            }
            What::Tag(name) => keys.push(key(read.entity, Facet::Tag(names.sym_text(name)))),
            What::UnknownTag(_) => keys.push(key(read.entity, Facet::AnyTag)),
            What::Ancestors | What::Below(_) if placed == Some(read.entity) => {}
            What::Ancestors | What::Below(_) => {
                placed = Some(read.entity);
                with_ancestors(keys, read.entity);
            }
        }
    }
    let overlaid = resolved.overlay.entities().iter().map(|entity| entity.uid);
    let above = machine.above_overlay().iter().copied();
    keys.extend(overlaid.chain(above).map(|uid| key(uid, Facet::Parents)));
}
