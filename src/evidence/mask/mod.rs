//! Records without what must not be in them.

mod fit;
mod hmac;
mod rules;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;

use crossbeam_queue::ArrayQueue;

use crate::epoch::Epoch;
use crate::request::{Request, RequestError};

use super::copied::Copied;
use super::delegation::CopiedHops;
use super::queue::slot::{CopiedUid, SMALL, Slot};
use super::texts::{Span, Texts};
use super::{DecisionRecord, DecisionSink, Delivery, SinkError, Wants};

use hmac::Key;
use walk::{Walk, Work};

pub(crate) use rules::{Hidden, path_text};
pub use rules::{Mask, MaskError, Masks};

/// How many places for records are kept: as many threads decide at once without allocating.
const PLACES: usize = 64;

/// Gives a sink records in which values are masked: left out, or replaced by keyed digests.
///
/// The record says by which rules something was masked ([`DecisionRecord::masked`]), and that it cannot be decided again
/// when it may have been something that a policy read ([`DecisionRecord::is_replayable`]).
///
/// * Masked are the context, what was read of entities, and ids of entities; the digest of the inputs is over what is left.
/// * The text of [`DecisionRecord::request_error`] may quote any value, so none is given: only which part was wrong.
/// * What policies say is not masked: their ids, which for links may name a person, and their annotations. Neither are
///   the caller's ids of request and trace.
/// * A path masks what is there, not what is equal elsewhere. But an entity that a masked value refers to is not named among
///   those that were read of, unless the request itself names it, and neither is a tag whose name is a masked text:
///   `masked:N`, or the digest of the id, stands there.
///
/// In front of a [`QueueSink`](super::QueueSink) the deciding thread masks, allocating nothing once warm; behind it the
/// queue's thread does, and what waits in the queue, in memory, is not masked yet.
///
/// ```
/// use std::sync::Arc;
///
/// use duramen::evidence::{Mask, MaskSink, Masks, MemorySink};
/// use duramen::{Authorizer, Request};
///
/// let masks = Masks::new()
///     .key(b"32 random bytes, kept elsewhere.")
///     .path("context.token", Mask::Drop)?
///     .path("context.phone", Mask::Digest)?
///     .ids("User");
/// let kept = Arc::new(MemorySink::new(10));
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource) when { context.hour < 18 };")
///     .sink(MaskSink::new(Arc::clone(&kept), masks)?)
///     .build()?;
/// let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"))
///     .context_json(r#"{ "hour": 9, "token": "secret", "phone": "555-0100" }"#);
/// assert!(authorizer.is_allowed(&request));
///
/// let record = &kept.records()[0];
/// assert_eq!(record.masked, ["context.token", "context.phone", "id(User)"]);
/// assert_eq!(record.replayable, Some(false));
/// assert!(record.principal.id().starts_with("hmac-sha256:"));
/// let context = record.context.as_ref().unwrap();
/// assert_eq!(context["hour"], 9);
/// assert!(context.get("token").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MaskSink<S> {
    sink: S,
    masks: Masks,
    key: Option<Key>,
    /// What is written to `masked` for an entry of masked types.
    ids: Vec<String>,
    places: ArrayQueue<Box<Place>>,
}

/// A record's masked copy, and what it takes to make one.
struct Place {
    slot: Slot,
    work: Work,
    unmasked: Unmasked,
    unmasked_hops: CopiedHops,
}

impl Place {
    /// Of the record as it was as well: its masked copy may be short, and it had more secrets than any.
    fn is_small(&self) -> bool {
        let unmasked = self.unmasked.bytes() + self.unmasked_hops.bytes();
        self.slot.bytes() <= SMALL && unmasked <= SMALL
    }
}

impl<S: DecisionSink> MaskSink<S> {
    /// Masks the records that a sink gets.
    ///
    /// # Errors
    /// [`MaskError::NoKey`] when a digest is asked for without a key, [`MaskError::ShortKey`].
    pub fn new(sink: S, masks: Masks) -> Result<Self, MaskError> {
        let key = masks.checked_key()?;
        let ids = masks.ids.iter().map(|name| format!("id({name})")).collect();
        Ok(Self {
            sink,
            masks,
            key,
            ids,
            places: ArrayQueue::new(PLACES),
        })
    }

    fn place(&self) -> Box<Place> {
        self.places.pop().unwrap_or_else(|| {
            Box::new(Place {
                slot: Slot::new(),
                work: Work::default(),
                unmasked: Unmasked::default(),
                unmasked_hops: CopiedHops::default(),
            })
        })
    }

    fn give_back(&self, mut place: Box<Place>) {
        // What one record needed is not kept for all.
        if place.is_small() {
            // Nor are policies and entities that have been replaced, for as long as nothing is decided.
            place.slot.forget();
            // When there are enough places, it just drops.
            let _ = self.places.push(place);
        }
    }

    /// Makes the masked copy of a record.
    fn mask(&self, record: &DecisionRecord<'_>, place: &mut Place) {
        // Named one by one: whoever adds a field that may hold a value has to mask it, here or in the slot.
        let DecisionRecord {
            instance: _,
            sequence: _,
            lost_before: _,
            time: _,
            duration: _,
            epoch: _,
            request: _,
            known: _,
            context: _,
            inputs: _,
            delegation: _,
            ages: _,
            outcome: _,
            determining: _,
            errors: _,
            request_error: _,
            masked: _,
            enforced: _,
        } = record;
        let Place {
            slot,
            work,
            unmasked,
            unmasked_hops,
        } = place;
        slot.copy(record);
        work.clear();
        slot.remake(unmasked, |made, epoch| {
            let mut masking = Masking {
                masks: &self.masks,
                key: self.key.as_ref(),
                work,
                epoch,
            };
            masking.request(made);
            masking.hops(made, unmasked_hops);
            for rule in &work.rules {
                if let Some(rule) = self.masks.rules.get(*rule) {
                    made.masked.push(made.texts.add(&rule.text));
                }
            }
            for entry in &work.ids {
                if let Some(text) = self.ids.get(*entry) {
                    made.masked.push(made.texts.add(text));
                }
            }
            *made.replayable &= !work.read;
        });
        if let Some(error) = record.request_error {
            slot.set_request_error(RequestError::new(
                error.part(),
                "not valid; the text is masked",
            ));
        }
    }
}

/// What masks one record.
struct Masking<'m> {
    masks: &'m Masks,
    key: Option<&'m Key>,
    work: &'m mut Work,
    epoch: &'m Epoch,
}

impl Masking<'_> {
    fn walk<'w>(&'w mut self, from: &'w Copied) -> Walk<'w> {
        let names = &self.epoch.snapshot.names;
        Walk::new(self.masks, self.key, self.work, from, names)
    }

    /// Uids, the context, and what was read of entities.
    fn request(&mut self, made: &mut Remade<'_>) {
        let (unmasked, epoch) = (made.unmasked, self.epoch);
        let uids = made.uids;
        self.work.add_principal(uids[0]);
        for hop in made.hops.uids() {
            self.work.add_principal((hop.type_name(), hop.id()));
        }
        for ((type_name, id), masked) in uids.into_iter().zip(&mut *made.masked_uids) {
            let (type_name, id) = self.uid(&unmasked.context, (type_name, id), made.texts);
            *masked = CopiedUid::Text(type_name, id);
        }
        if made.has_context {
            self.walk(&unmasked.context).context(epoch, made.context);
        }
        // What is masked for any hop must be known before entities that were read for another are named.
        let [_, action, resource] = uids;
        made.hops.for_each_input(|uid, (context, entities)| {
            let uids = [(uid.type_name(), uid.id()), action, resource];
            self.walk(context).context(epoch, made.inputs);
            self.walk(entities).inputs(uids, made.inputs);
            made.inputs.clear();
        });
        if made.has_inputs {
            self.walk(&unmasked.inputs).inputs(uids, made.inputs);
            if self.work.has_secrets() {
                made.inputs.clear();
                let mut walk = self.walk(&unmasked.inputs);
                walk.noting = false;
                walk.inputs(uids, made.inputs);
            }
        }
    }

    /// The hops of a delegation; those that there were, are left in `unmasked`.
    fn hops(&mut self, made: &mut Remade<'_>, unmasked: &mut CopiedHops) {
        let (any, epoch) = (&made.unmasked.context, self.epoch);
        let [_, action, resource] = made.uids;
        made.hops.remake(unmasked, |hop| {
            let uid = (hop.uid.type_name(), hop.uid.id());
            if let Some(((context, entities), to)) = hop.inputs {
                let mut walk = self.walk(context);
                walk.noting = false;
                walk.context(epoch, &mut to.0);
                let mut walk = self.walk(entities);
                walk.noting = false;
                walk.inputs([uid, action, resource], &mut to.1);
            }
            self.uid(any, uid, hop.to)
        });
    }

    /// Writes a uid, its id masked if its type is. `any` is some copy: no value of it is looked at.
    fn uid(&mut self, any: &Copied, (type_name, id): (&str, &str), to: &mut Texts) -> (Span, Span) {
        let masked = self.walk(any).masked_id(type_name, id);
        let id = masked.as_ref().map_or(id, walk::Hex::as_str);
        (to.add(type_name), to.add(id))
    }
}

impl<S: DecisionSink> DecisionSink for MaskSink<S> {
    fn wants(&self) -> Wants {
        self.sink.wants()
    }

    fn delivery(&self) -> Delivery {
        self.sink.delivery()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let mut place = self.place();
        self.mask(record, &mut place);
        let request = place.slot.request();
        let kept = match place.slot.record(&request) {
            Some(masked) => self.sink.record(&masked),
            None => Err(not_masked()),
        };
        self.give_back(place);
        kept
    }

    fn record_batch(
        &self,
        records: &[DecisionRecord<'_>],
        kept: &mut usize,
    ) -> Result<(), SinkError> {
        // By a queue's thread, which may allocate.
        for batch in records.chunks(PLACES) {
            let places: Vec<Box<Place>> = batch
                .iter()
                .map(|record| {
                    let mut place = self.place();
                    self.mask(record, &mut place);
                    place
                })
                .collect();
            let requests: Vec<Request<'_>> =
                places.iter().map(|place| place.slot.request()).collect();
            let masked: Vec<DecisionRecord<'_>> = places
                .iter()
                .zip(&requests)
                .map_while(|(place, request)| place.slot.record(request))
                .collect();
            // A count for this call: the sink takes what it finds in it for its own.
            let mut done = Done { here: 0, kept };
            let mut outcome = self.sink.record_batch(&masked, &mut done.here);
            if outcome.is_ok() {
                done.here = masked.len();
                if done.here < batch.len() {
                    outcome = Err(not_masked());
                }
            }
            drop(done);
            drop(masked);
            drop(requests);
            places.into_iter().for_each(|place| self.give_back(place));
            outcome?;
        }
        Ok(())
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.sink.record_loss(lost)
    }

    fn flush(&self) -> Result<(), SinkError> {
        self.sink.flush()
    }
}

/// How many records of a call the sink has kept: they are counted also when it panics at the next one, or they would be taken for
/// lost and handed to it again.
struct Done<'k> {
    here: usize,
    kept: &'k mut usize,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        *self.kept += self.here;
    }
}

#[cold]
fn not_masked() -> SinkError {
    SinkError::of_this_record("the record could not be masked")
}

impl<S: fmt::Debug> fmt::Debug for MaskSink<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskSink")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

/// What a slot's copy was made of before it was masked.
#[derive(Debug, Default)]
pub(super) struct Unmasked {
    pub(super) texts: Texts,
    pub(super) context: Copied,
    pub(super) inputs: Copied,
}

impl Unmasked {
    fn bytes(&self) -> usize {
        self.texts.bytes() + self.context.bytes() + self.inputs.bytes()
    }
}

/// A slot's copy on the way to its masked one: what is masked is written to what is empty.
pub(super) struct Remade<'r> {
    pub(super) unmasked: &'r Unmasked,
    pub(super) texts: &'r mut Texts,
    pub(super) context: &'r mut Copied,
    pub(super) has_context: bool,
    pub(super) inputs: &'r mut Copied,
    pub(super) has_inputs: bool,
    /// Type and id of principal, action, resource, and where they stand in `texts`.
    pub(super) uids: [(&'r str, &'r str); 3],
    pub(super) masked_uids: &'r mut [CopiedUid; 3],
    pub(super) hops: &'r mut CopiedHops,
    pub(super) masked: &'r mut Vec<Span>,
    pub(super) replayable: &'r mut bool,
}

/// What was masked in a record.
#[derive(Clone, Copy)]
pub(crate) struct Masked<'a> {
    pub(super) texts: &'a Texts,
    pub(super) paths: &'a [Span],
    pub(super) replayable: bool,
}

impl<'a> Masked<'a> {
    pub(super) fn paths(self) -> impl ExactSizeIterator<Item = &'a str> {
        self.paths.iter().map(move |path| self.texts.get(*path))
    }
}
