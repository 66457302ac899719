//! Many grants, and who rests on what: holders are told when theirs is taken back.

mod expiries;
mod index;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant, SystemTime};

use crate::authorizer::{Authorizer, Change, News as Published, Watcher};
use crate::epoch::{Key, Marks};
use crate::eval::Response;
use crate::request::Request;

use super::revocation::{Revocation, RevocationReason};
use super::standing::{Looked, News, Standing, When};
use super::{Grant, call};

use expiries::Expiries;
use index::Index;

/// Grants that are looked after: each change of policies or entities finds those that rest on what it changes, decides them
/// again, and tells of each that is taken back.
///
/// That is done by the thread that made the change, after the change is in force and before the call returns: when
/// [`Authorizer::update_entities`] has returned, every grant that it takes back has ended, and its holder was told, or is
/// being told by the thread whose look found it: a look of the holder's, a sweep or another writer may be first. Other
/// writers and all decisions go on meanwhile. So the writer pays: some microseconds for each grant that rests on what it
/// changed, and nothing for the others, however many there are.
///
/// What a grant rests on is what it did when it was decided last. Where that turns on the time (`context.now > t &&
/// principal.suspended`), it may be more by now, and a change of that is found by the next [`GrantTable::sweep`] and by each look
/// of the holder's.
///
/// A change of policies concerns the grants for whose principal, action or resource, or something above them, the scope
/// names an entity; one whose scope names none, and every replacement, concerns all.
///
/// Holders are told in three ways, each of which names the reason: by a callback of the grant ([`Grant::on_revoked`]), by
/// callbacks of the table ([`GrantTable::on_revoked`]), and by channels ([`GrantTable::revocations`]). A handle to the same
/// table is a clone of it. The table is there until it and all of its grants are dropped.
///
/// ```
/// use duramen::grant::GrantTable;
/// use duramen::{Authorizer, Entity, EntityUpdate, Request};
///
/// let authorizer = Authorizer::builder()
///     .policies(r#"permit(principal in Group::"staff", action, resource);"#)
///     .build()?;
/// let staff = [("Group", "staff").into()];
/// authorizer.update_entities(EntityUpdate::new().upsert(Entity::new(("User", "alice")).parents(&staff)))?;
///
/// let table = GrantTable::new(&authorizer);
/// let revocations = table.revocations();
/// let lease = table.grant(&Request::new(("User", "alice"), ("Action", "use"), ("Machine", "m1"))).expect("she may");
///
/// authorizer.update_entities(EntityUpdate::new().remove_parent(("User", "alice"), ("Group", "staff")))?;
/// let revocation = revocations.try_recv()?;
/// assert_eq!(revocation.grant(), lease.id());
/// assert_eq!(revocation.outcome(), Some(duramen::Outcome::NoPermit));
/// assert!(!lease.is_current());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct GrantTable {
    shared: Arc<Shared>,
}

struct Shared {
    authorizer: Authorizer,
    state: Mutex<State>,
    audience: Mutex<Audience>,
}

#[derive(Default)]
struct State {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    index: Index,
    /// Of the grants that expire: when, and where they are.
    expiries: Expiries,
    /// Where those are that rest on the time.
    timed: BTreeSet<u32>,
}

struct Slot {
    standing: Arc<Standing>,
    /// The keys under which the grant is in the index.
    keys: Arc<[Key]>,
}

type Callback = Arc<dyn Fn(&Revocation) + Send + Sync>;

/// Who is told.
#[derive(Default)]
struct Audience {
    callbacks: Vec<Callback>,
    channels: Vec<Sender<Arc<Revocation>>>,
    /// What the changes take back that these threads are just making.
    collecting: Vec<(ThreadId, Vec<Arc<Revocation>>)>,
}

/// Where a grant is.
pub(super) struct Place {
    shared: Arc<Shared>,
    slot: u32,
}

impl GrantTable {
    /// A table for grants of this authorizer.
    pub fn new(authorizer: &Authorizer) -> Self {
        // Stamps are there before the first change that the table is told of.
        authorizer.watch();
        let shared = Arc::new(Shared {
            authorizer: authorizer.clone(),
            state: Mutex::default(),
            audience: Mutex::default(),
        });
        let watcher = Arc::downgrade(&shared);
        authorizer.tell(watcher);
        Self { shared }
    }

    /// Decides a request and looks after the grant until that is dropped; as [`Authorizer::grant`].
    ///
    /// # Errors
    /// The response, if the request is not allowed.
    pub fn grant(&self, request: &Request<'_>) -> Result<Grant, Box<Response<'_>>> {
        let standing = Standing::grant(&self.shared.authorizer, request, None)?;
        Ok(self.take(standing))
    }

    /// The same for a time; as [`Authorizer::grant_for`]. That the time is over is found by [`GrantTable::sweep`].
    ///
    /// # Errors
    /// The response, if the request is not allowed.
    pub fn grant_for(
        &self,
        request: &Request<'_>,
        lifetime: Duration,
    ) -> Result<Grant, Box<Response<'_>>> {
        let standing = Standing::grant(&self.shared.authorizer, request, Some(lifetime))?;
        Ok(self.take(standing))
    }

    fn take(&self, standing: Standing) -> Grant {
        let standing = Arc::new(standing);
        let slot = self.shared.lock().insert(&standing);
        let shared = Arc::clone(&self.shared);
        // Dropped, it is forgotten, also should the clock panic below.
        let grant = Grant {
            standing,
            place: Some(Place { shared, slot }),
        };
        // A change may have come between the decision and the table.
        let looked = grant.standing.look_after(None);
        self.shared.settle(slot, &grant.standing, looked, None);
        grant
    }

    /// Has `callback` called for each grant that ends from now on, with no lock held: it may use the table and the authorizer.
    /// A panic of it goes no further. It is called by the thread that made the change, so that what takes time should be
    /// handed to another.
    pub fn on_revoked(&self, callback: impl Fn(&Revocation) + Send + Sync + 'static) {
        self.shared.audience().callbacks.push(Arc::new(callback));
    }

    /// A channel that gets each grant that ends from now on. It has no bound but the number of grants: each ends once. One whose
    /// receiver was dropped is forgotten when the next grant ends.
    pub fn revocations(&self) -> Receiver<Arc<Revocation>> {
        let (sender, receiver) = mpsc::channel();
        self.shared.audience().channels.push(sender);
        receiver
    }

    /// Makes changes, and says which grants of the table they took back: those for which the change is the reason, not
    /// those that end meanwhile for another. `change` is given the table's authorizer; what other threads change is not
    /// counted: of two changes at once that concern a grant, it counts for the one after which the table found that it is
    /// over.
    ///
    /// ```
    /// # use duramen::grant::GrantTable;
    /// # use duramen::{Authorizer, EntityUpdate, Request};
    /// # let authorizer = Authorizer::builder()
    /// #     .policies(r#"permit(principal, action, resource) unless { principal has revoked };"#)
    /// #     .entities(r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [] }]"#)
    /// #     .build()?;
    /// let table = GrantTable::new(&authorizer);
    /// let grant = table.grant(&Request::new(("User", "alice"), ("Action", "use"), ("Machine", "m1"))).expect("she may");
    /// let revoke = EntityUpdate::new().set_attr(("User", "alice"), "revoked", &true);
    /// let (updated, revoked) = table.revoked_by(|authorizer| authorizer.update_entities(revoke));
    /// assert_eq!(revoked[0].grant(), grant.id());
    /// # updated?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn revoked_by<R>(
        &self,
        change: impl FnOnce(&Authorizer) -> R,
    ) -> (R, Vec<Arc<Revocation>>) {
        let collecting = Collecting::begin(&self.shared);
        let result = change(&self.shared.authorizer);
        (result, collecting.end())
    }

    /// Ends the grants that time alone has ended, tells of each, and says how many there were. To be called now and then,
    /// as no update tells that time has gone by.
    ///
    /// These are the grants whose time is over, or whose chain is not valid yet by a clock that was set back (each change of
    /// policies or entities ends those too); those that are denied now by a policy that looks at the time
    /// ([`Builder::context_time`](crate::Builder::context_time)); and those that rest on data that has become too old
    /// ([`Builder::freshness`](crate::Builder::freshness)).
    ///
    /// Costs a decision, with its record, for each grant that has a policy in its scope which may look at the time, and
    /// nothing for the others. When something has become older than its bound, all grants are looked at, and those decided again
    /// that may rest on it: once, as a grant that is still allowed then does not.
    pub fn sweep(&self) -> usize {
        self.shared.sweep_expired() + self.shared.sweep_timed()
    }

    /// How many grants there are: those that have ended count until they are dropped.
    pub fn len(&self) -> usize {
        let state = self.shared.lock();
        state.slots.len() - state.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for GrantTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.shared.lock().index.len();
        f.debug_struct("GrantTable")
            .field("authorizer", &self.shared.authorizer)
            .field("grants", &self.len())
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl Watcher for Shared {
    fn published(&self, news: &Published) {
        let affected = self.lock().resting_on(&news.marks);
        let epoch = news.version.epoch();
        let mut revoked = Vec::new();
        for (slot, standing) in affected {
            // Where a grant cannot be looked at, as the host's clock panics, those behind it can.
            let look = AssertUnwindSafe(|| {
                let looked = standing.look_after(Some(&news.change));
                self.settle(slot, &standing, looked, Some(&news.change))
            });
            let over = catch_unwind(look).unwrap_or_default();
            // Its holder may have been there first, for this change's reason; or another writer, for that of another.
            revoked.extend(over.filter(|revocation| {
                let found_by = revocation.change.as_ref();
                matches!(revocation.reason, RevocationReason::Denied(_))
                    && found_by.is_none_or(|change| Arc::ptr_eq(change, &news.change))
                    && revocation.good < epoch
                    && revocation.version.epoch() >= epoch
            }));
        }
        self.collect(revoked);
        self.sweep_expired();
    }
}

impl Shared {
    /// Goes on from a look: brings the index up to date, and tells if the grant is over; why, if so.
    fn settle(
        &self,
        slot: u32,
        standing: &Arc<Standing>,
        mut looked: Looked,
        change: Option<&Arc<Change>>,
    ) -> Option<Arc<Revocation>> {
        loop {
            match looked {
                Looked::Current { again: false } => return None,
                Looked::Current { again: true } => {
                    self.lock().file(slot, standing);
                    // What was changed between the decision and this may have been looked up under the old keys. What is not
                    // in force yet, its writer will look up under the new ones: to look until it is would be to wait for it.
                    if standing.is_of_what_is_in_force() {
                        return None;
                    }
                    looked = standing.look_after(change);
                }
                Looked::Over { revocation, news } => {
                    // If there is no news, the thread whose look found that it is over tells it, perhaps only now.
                    if let Some(news) = news {
                        self.lock().ended(slot, standing);
                        self.tell(news, &revocation);
                    }
                    return Some(revocation);
                }
            }
        }
    }

    /// Tells the holder and everybody else, with no lock held.
    fn tell(&self, News(callback): News, revocation: &Arc<Revocation>) {
        call(callback, revocation);
        let callbacks = self.audience().callbacks.clone();
        for callback in callbacks {
            let _ = catch_unwind(AssertUnwindSafe(|| callback(revocation)));
        }
        let channels = &mut self.audience().channels;
        channels.retain(|channel| channel.send(Arc::clone(revocation)).is_ok());
    }

    fn sweep_expired(&self) -> usize {
        if self.lock().expiries.is_empty() {
            return 0;
        }
        let now = self.authorizer.time();
        let due = self.lock().due(now, Instant::now());
        self.sweep(due, |standing| standing.look_after(None))
    }

    fn sweep_timed(&self) -> usize {
        if !self.authorizer.depends_on_time() {
            return 0;
        }
        let when = When::from(self.authorizer.denied_by_time());
        let all = !matches!(when, When::Timed);
        let touched = self.lock().touched_by_time(all);
        self.sweep(touched, |standing| standing.look_when(when))
    }

    /// Looks at grants and tells of those that are over; how many of them nobody knew of yet.
    fn sweep(
        &self,
        grants: Vec<(u32, Arc<Standing>)>,
        look: impl Fn(&Standing) -> Looked,
    ) -> usize {
        let mut ended = 0;
        for (slot, standing) in grants {
            let looked = look(&standing);
            ended += usize::from(matches!(looked, Looked::Over { news: Some(_), .. }));
            self.settle(slot, &standing, looked, None);
        }
        ended
    }

    fn collect(&self, revoked: Vec<Arc<Revocation>>) {
        if revoked.is_empty() {
            return;
        }
        let this = thread::current().id();
        for (thread, collected) in &mut self.audience().collecting {
            if *thread == this {
                collected.extend(revoked.iter().cloned());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing foreign runs with the lock held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn audience(&self) -> MutexGuard<'_, Audience> {
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, standing: &Arc<Standing>) -> u32 {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                // Four billion grants would take a terabyte.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let (keys, timed) = standing.rests_on();
        for key in keys.iter() {
            self.index.insert(*key, slot);
        }
        if timed {
            self.timed.insert(slot);
        }
        if let Some(expiry) = &standing.expiry {
            self.expiries.insert(expiry, slot);
        }
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(Slot {
                standing: Arc::clone(standing),
                keys,
            });
        }
        slot
    }

    fn forget(&mut self, slot: u32, standing: &Arc<Standing>) {
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let Some(gone) = place.take_if(|kept| Arc::ptr_eq(&kept.standing, standing)) else {
            return;
        };
        if let Some(expiry) = &standing.expiry {
            self.expiries.remove(expiry, slot);
        }
        self.timed.remove(&slot);
        for key in gone.keys.iter() {
            let slots = &self.slots;
            self.index.remove(*key, |slot| rests(slots, slot, *key));
        }
        self.free.push(slot);
        if self.free.len() == self.slots.len() {
            *self = Self::default();
        }
    }

    /// Brings the index up to date with what a grant rests on now. Reads it under the lock: whoever comes last, of two that
    /// have decided the grant again, leaves what is right.
    fn file(&mut self, slot: u32, standing: &Arc<Standing>) {
        let Some(Some(kept)) = self.slots.get_mut(slot as usize) else {
            return;
        };
        if !Arc::ptr_eq(&kept.standing, standing) {
            return;
        }
        let (new, timed) = standing.rests_on();
        match timed {
            true => self.timed.insert(slot),
            false => self.timed.remove(&slot),
        };
        if Arc::ptr_eq(&new, &kept.keys) {
            return;
        }
        let old = std::mem::replace(&mut kept.keys, Arc::clone(&new));
        for key in old.iter().filter(|key| new.binary_search(key).is_err()) {
            let slots = &self.slots;
            self.index.remove(*key, |slot| rests(slots, slot, *key));
        }
        for key in new.iter().filter(|key| old.binary_search(key).is_err()) {
            self.index.insert(*key, slot);
        }
    }

    /// The grants that rest on what is changed.
    fn resting_on(&self, marks: &Marks) -> Vec<(u32, Arc<Standing>)> {
        let Marks::Keys(keys) = marks else {
            return self.all();
        };
        let mut slots = Vec::new();
        for key in keys {
            let found = self.index.slots(*key).iter();
            slots.extend(found.filter(|slot| rests(&self.slots, **slot, *key)));
        }
        slots.sort_unstable();
        slots.dedup();
        let at = |slot| self.at(slot);
        slots.into_iter().filter_map(at).collect()
    }

    /// The grants that rest on the time, or all.
    fn touched_by_time(&self, all: bool) -> Vec<(u32, Arc<Standing>)> {
        if all {
            return self.all();
        }
        let timed = self.timed.iter();
        timed.filter_map(|slot| self.at(*slot)).collect()
    }

    fn all(&self) -> Vec<(u32, Arc<Standing>)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(slot, _)| self.at(slot)).collect()
    }

    fn at(&self, slot: u32) -> Option<(u32, Arc<Standing>)> {
        let kept = self.slots.get(slot as usize)?.as_ref()?;
        Some((slot, Arc::clone(&kept.standing)))
    }

    /// The grants that are over by now, by either clock, or not valid yet. They stay among those that expire until a look has
    /// found that: the clock that tells the date may go backwards in between.
    fn due(&self, date: SystemTime, now: Instant) -> Vec<(u32, Arc<Standing>)> {
        let due = self.expiries.due(date, now).into_iter();
        due.filter_map(|slot| self.at(slot)).collect()
    }

    /// The grant in the slot has ended: it does not expire any more.
    fn ended(&mut self, slot: u32, standing: &Arc<Standing>) {
        let kept = self.slots.get(slot as usize).and_then(Option::as_ref);
        if kept.is_some_and(|kept| Arc::ptr_eq(&kept.standing, standing))
            && let Some(expiry) = &standing.expiry
        {
            self.expiries.remove(expiry, slot);
        }
    }
}

/// Whether the grant in a slot is in the index under a key.
fn rests(slots: &[Option<Slot>], slot: u32, key: Key) -> bool {
    let kept = slots.get(slot as usize).and_then(Option::as_ref);
    kept.is_some_and(|kept| kept.keys.binary_search(&key).is_ok())
}

impl Place {
    /// Goes on from a look of a holder's; see [`Shared::settle`].
    pub(super) fn settle(
        &self,
        standing: &Arc<Standing>,
        looked: Looked,
    ) -> Option<Arc<Revocation>> {
        self.shared.settle(self.slot, standing, looked, None)
    }

    pub(super) fn forget(&self, standing: &Arc<Standing>) {
        self.shared.lock().forget(self.slot, standing);
        standing.forget();
    }
}

/// A thread that wants to know what its changes take back.
struct Collecting<'t>(&'t Shared);

impl<'t> Collecting<'t> {
    fn begin(shared: &'t Shared) -> Self {
        let this = thread::current().id();
        shared.audience().collecting.push((this, Vec::new()));
        Self(shared)
    }

    fn end(self) -> Vec<Arc<Revocation>> {
        let this = thread::current().id();
        let mut audience = self.0.audience();
        let innermost = audience
            .collecting
            .iter_mut()
            .rfind(|(thread, _)| *thread == this);
        innermost
            .map(|(_, collected)| std::mem::take(collected))
            .unwrap_or_default()
    }
}

/// Also when the change panics.
impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        let this = thread::current().id();
        let collecting = &mut self.0.audience().collecting;
        if let Some(at) = collecting.iter().rposition(|(thread, _)| *thread == this) {
            collecting.remove(at);
        }
    }
}
