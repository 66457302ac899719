//! A place in the queue: a record's copy, in memory that is used again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::decision::Outcome;
use crate::epoch::{Epoch, Errors, Failed};
use crate::freshness::Age;
use crate::request::{Request, RequestError};
use crate::value::Raise;

use super::super::ages::Ages;
use super::super::copied::{Copied, Span};
use super::super::delegation::CopiedHops;
use super::super::inputs::InputsView;
use super::super::mask::{Masked, Remade};
use super::super::record::ContextView;
use super::super::{DecisionRecord, Enforced};

/// What a slot keeps of its memory when it is used again. A typical record takes less than one kilobyte.
pub(in crate::evidence) const SMALL: usize = 16 << 10;

/// A record that owns what it says.
///
/// In this order in memory: what every record writes comes first. What few records have is written only by those, so that the
/// lines of the processor's cache that it is in stay with both threads of a queue.
#[derive(Debug)]
#[repr(C)]
pub(in crate::evidence) struct Slot {
    /// Kept when the slot is used again: as long as policies and entities stay what they are, a copy touches no count of
    /// references, which all deciding threads would share.
    epoch: Option<Arc<Epoch>>,
    head: Head,
    copied: Copied,
    inputs: Copied,
    determining: Vec<u32>,
    has_context: bool,
    has_inputs: bool,
    /// Of policies and of entities; those of types follow.
    ages: Option<(Age, Age)>,
    type_ages: Vec<Age>,
    delegation: CopiedHops,
    errors: Vec<(u32, Raise)>,
    /// Errors that many policies have in common.
    shared_errors: Vec<Failed>,
    request_error: Option<RequestError>,
    /// What was masked, in `copied`; and whether the record can be decided again all the same.
    masked: Vec<Span>,
    replayable: bool,
}

/// What is copied as it is.
#[derive(Debug)]
struct Head {
    sequence: u64,
    lost_before: u64,
    time: SystemTime,
    duration: Duration,
    outcome: Outcome,
    instance: [u8; 32],
    /// Type and id of principal, action, resource.
    uids: [(Span, Span); 3],
    request_id: Option<Span>,
    trace: Option<(Span, Span)>,
    rechecks: Option<u64>,
    enforced: Option<Enforced>,
}

impl Slot {
    /// A slot with memory for a typical record.
    pub(in crate::evidence) fn new() -> Box<Self> {
        let mut slot = Box::new(Self {
            epoch: None,
            head: Head {
                sequence: 0,
                lost_before: 0,
                time: SystemTime::UNIX_EPOCH,
                duration: Duration::ZERO,
                outcome: Outcome::NoPermit,
                instance: [0; 32],
                uids: Default::default(),
                request_id: None,
                trace: None,
                rechecks: None,
                enforced: None,
            },
            copied: Copied::default(),
            has_context: false,
            inputs: Copied::default(),
            has_inputs: false,
            ages: None,
            type_ages: Vec::new(),
            delegation: CopiedHops::default(),
            determining: Vec::with_capacity(8),
            errors: Vec::with_capacity(4),
            shared_errors: Vec::with_capacity(2),
            request_error: None,
            masked: Vec::with_capacity(8),
            replayable: true,
        });
        slot.copied.reserve(512, 32);
        slot.inputs.reserve(512, 64);
        slot
    }

    /// Copies a record into the slot.
    pub(in crate::evidence) fn copy(&mut self, record: &DecisionRecord<'_>) {
        // Named one by one, so that a new field is not forgotten here.
        let DecisionRecord {
            instance,
            sequence,
            lost_before,
            time,
            duration,
            epoch,
            request,
            context,
            inputs,
            ages,
            delegation,
            outcome,
            determining,
            errors,
            request_error,
            masked,
            enforced,
        } = *record;
        let copied = &mut self.copied;
        copied.clear();
        let uid = |copied: &mut Copied, uid: crate::id::EntityUidRef<'_>| {
            (copied.add_text(uid.type_name()), copied.add_text(uid.id()))
        };
        self.head = Head {
            sequence,
            lost_before,
            time,
            duration,
            outcome,
            // 32 digits, always.
            instance: instance.as_bytes().try_into().unwrap_or([b'0'; 32]),
            uids: [
                uid(copied, request.principal()),
                uid(copied, request.action()),
                uid(copied, request.resource()),
            ],
            request_id: request.id().map(|id| copied.add_text(id)),
            trace: request.trace_ids().map(|ids| {
                (
                    copied.add_text(ids.trace_id()),
                    copied.add_text(ids.span_id()),
                )
            }),
            rechecks: request.rechecks,
            enforced,
        };
        self.has_context = context.is_some();
        if let Some(context) = context {
            context.copy_to(copied);
        }
        self.inputs.clear();
        self.has_inputs = inputs.is_some();
        if let Some(inputs) = inputs {
            inputs.copy_to(&mut self.inputs);
        }
        if ages.is_some() || self.ages.is_some() {
            self.ages = ages.map(|ages| (ages.policies, ages.entities));
            refill(&mut self.type_ages, ages.map_or(&[], |ages| ages.types));
        }
        match delegation {
            Some(delegation) => self.delegation.copy(&delegation),
            None => self.delegation.clear(),
        }
        self.determining.clear();
        self.determining.extend_from_slice(determining);
        let (errors, shared_errors) = errors.parts();
        refill(&mut self.errors, errors);
        refill(&mut self.shared_errors, shared_errors);
        if request_error.is_some() || self.request_error.is_some() {
            self.request_error = request_error.cloned();
        }
        if !(self.masked.is_empty() && self.replayable) {
            self.masked.clear();
            self.replayable = true;
        }
        if let Some(masked) = masked {
            self.replayable = masked.replayable;
            let paths = masked.paths().map(|path| self.copied.add_text(path));
            self.masked.extend(paths);
        }
        if !self
            .epoch
            .as_ref()
            .is_some_and(|kept| Arc::ptr_eq(kept, epoch))
        {
            self.epoch = Some(Arc::clone(epoch));
        }
    }

    /// How much memory the record takes.
    pub(in crate::evidence) fn bytes(&self) -> usize {
        self.copied.bytes()
            + self.inputs.bytes()
            + self.delegation.bytes()
            + size_of_val(&self.determining[..])
            + size_of_val(&self.errors[..])
    }

    /// How much memory the slot takes for texts and values, whether or not there are any.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.copied.capacity() + self.inputs.capacity()
    }

    /// The request that the record is about.
    pub(in crate::evidence) fn request(&self) -> Request<'_> {
        let text = |span| self.copied.text(span);
        let [principal, action, resource] = self
            .head
            .uids
            .map(|(type_name, id)| (text(type_name), text(id)));
        let mut request = Request::new(principal, action, resource);
        if let Some(id) = self.head.request_id {
            request = request.request_id(text(id));
        }
        if let Some((trace, span)) = self.head.trace {
            request = request.trace(text(trace), text(span));
        }
        request.rechecks = self.head.rechecks;
        request
    }

    /// The record; `None` in a slot that never had one.
    pub(in crate::evidence) fn record<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> Option<DecisionRecord<'a>> {
        let head = &self.head;
        let epoch = self.epoch.as_ref()?;
        let context = ContextView::copied(&self.copied, &epoch.snapshot.names);
        let inputs = InputsView::copied(&self.inputs, &self.copied, &epoch.snapshot.names);
        Some(DecisionRecord {
            instance: str::from_utf8(&head.instance).unwrap_or_default(),
            sequence: head.sequence,
            lost_before: head.lost_before,
            time: head.time,
            duration: head.duration,
            epoch,
            request,
            context: self.has_context.then_some(context),
            inputs: self.has_inputs.then_some(inputs),
            ages: self.ages.map(|(policies, entities)| Ages {
                policies,
                entities,
                types: &self.type_ages,
            }),
            delegation: self.delegation.view(epoch),
            outcome: head.outcome,
            determining: &self.determining,
            errors: Errors::new(epoch, &self.errors, &self.shared_errors),
            request_error: self.request_error.as_ref(),
            masked: (!self.masked.is_empty()).then_some(Masked {
                copied: &self.copied,
                paths: &self.masked,
                replayable: self.replayable,
            }),
            enforced: head.enforced,
        })
    }

    /// Makes uids, context and inputs anew by `remake`, from the copies that there are. These are left in `from` and
    /// `inputs_from`.
    pub(in crate::evidence) fn remake(
        &mut self,
        from: &mut Copied,
        inputs_from: &mut Copied,
        remake: impl FnOnce(&mut Remade<'_>, &Epoch),
    ) {
        std::mem::swap(&mut self.copied, from);
        std::mem::swap(&mut self.inputs, inputs_from);
        let to = &mut self.copied;
        to.clear();
        self.inputs.clear();
        let moved = |to: &mut Copied, span| to.add_text(from.text(span));
        if let Some(id) = &mut self.head.request_id {
            *id = moved(to, *id);
        }
        if let Some((trace, span)) = &mut self.head.trace {
            (*trace, *span) = (moved(to, *trace), moved(to, *span));
        }
        for path in &mut self.masked {
            *path = moved(to, *path);
        }
        let Some(epoch) = &self.epoch else { return };
        let mut remade = Remade {
            from,
            to,
            inputs_from,
            inputs_to: &mut self.inputs,
            uids: self.head.uids,
            masked_uids: &mut self.head.uids,
            has_context: self.has_context,
            has_inputs: self.has_inputs,
            hops: &mut self.delegation,
            masked: &mut self.masked,
            replayable: &mut self.replayable,
        };
        remake(&mut remade, epoch);
    }

    pub(in crate::evidence) fn set_request_error(&mut self, error: RequestError) {
        self.request_error = Some(error);
    }

    /// Gives back the memory of a record that was large.
    pub(in crate::evidence) fn shrink(&mut self) {
        let epoch = self.epoch.take();
        *self = *Self::new();
        self.epoch = epoch;
    }

    /// Lets go of policies and entities, which may have been replaced since.
    pub(in crate::evidence) fn forget(&mut self) {
        self.epoch = None;
    }
}

/// Few lists have anything in them: where neither has, nothing is written.
#[inline]
fn refill<T: Copy>(list: &mut Vec<T>, with: &[T]) {
    if !(list.is_empty() && with.is_empty()) {
        list.clear();
        list.extend_from_slice(with);
    }
}
