//! A place in the queue: a record's copy, in memory that is used again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::decision::Outcome;
use crate::epoch::{Epoch, Errors, Failed};
use crate::freshness::Age;
use crate::id::{EntityUidRef, Uid};
use crate::request::{Request, RequestError};
use crate::value::Raise;
use crate::value::arena::NameText;

use super::super::ages::Ages;
use super::super::context::ContextView;
use super::super::copied::{Copied, Span};
use super::super::delegation::CopiedHops;
use super::super::inputs::InputsView;
use super::super::list::List;
use super::super::mask::{Masked, Remade};
use super::super::{DecisionRecord, Enforced};

/// What a slot keeps of its memory when it is used again. A typical record takes less than one kilobyte.
pub(in crate::evidence) const SMALL: usize = 16 << 10;

/// A record that owns what it says.
#[derive(Debug)]
pub(in crate::evidence) struct Slot {
    /// Kept when the slot is used again: as long as policies and entities stay what they are, a copy touches no count of
    /// references, which all deciding threads would share. Beside the contents, which a deciding thread must not load from.
    epoch: Option<Arc<Epoch>>,
    contents: Box<Contents>,
}

/// What is written of a record: without a look at what was written before, for which see [`List`].
///
/// In this order in memory: what every record writes comes first.
#[derive(Debug)]
#[repr(C)]
struct Contents {
    head: Head,
    /// Whether `seldom` is about this record.
    has_seldom: bool,
    has_context: bool,
    has_inputs: bool,
    determining: List<u32, 8>,
    copied: Copied,
    inputs: Copied,
    seldom: Seldom,
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
    /// Principal, action, resource.
    uids: [CopiedUid; 3],
    request_id: Option<Span>,
    trace: Option<(Span, Span)>,
    rechecks: Option<u64>,
    enforced: Option<Enforced>,
}

/// A uid of the request: a number of the epoch's, which is a quarter of a small record less to copy, or type and id.
#[derive(Clone, Copy, Debug)]
pub(in crate::evidence) enum CopiedUid {
    Known(Uid),
    Text(Span, Span),
}

/// What few records have.
#[derive(Debug)]
struct Seldom {
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

impl Slot {
    /// A slot with memory for a typical record.
    pub(in crate::evidence) fn new() -> Self {
        let contents = Box::new(Contents {
            head: Head {
                sequence: 0,
                lost_before: 0,
                time: SystemTime::UNIX_EPOCH,
                duration: Duration::ZERO,
                outcome: Outcome::NoPermit,
                instance: [0; 32],
                uids: [CopiedUid::Text(Span::default(), Span::default()); 3],
                request_id: None,
                trace: None,
                rechecks: None,
                enforced: None,
            },
            has_seldom: false,
            has_context: false,
            has_inputs: false,
            determining: List::new(0),
            copied: Copied::default(),
            inputs: Copied::default(),
            seldom: Seldom {
                ages: None,
                type_ages: Vec::new(),
                delegation: CopiedHops::default(),
                errors: Vec::with_capacity(4),
                shared_errors: Vec::with_capacity(2),
                request_error: None,
                masked: Vec::with_capacity(8),
                replayable: true,
            },
        });
        let epoch = None;
        Self { epoch, contents }
    }

    /// Copies a record into the slot.
    pub(in crate::evidence) fn copy(&mut self, record: &DecisionRecord<'_>) {
        let kept = self.epoch.as_ref();
        if !kept.is_some_and(|kept| Arc::ptr_eq(kept, record.epoch)) {
            self.epoch = Some(Arc::clone(record.epoch));
        }
        self.contents.copy(record);
    }

    /// How much memory the record takes.
    #[inline]
    pub(in crate::evidence) fn bytes(&self) -> usize {
        let contents = &*self.contents;
        let mut bytes = contents.copied.bytes() + contents.determining.bytes();
        if contents.has_inputs {
            bytes += contents.inputs.bytes();
        }
        if let Some(seldom) = contents.seldom() {
            bytes += seldom.delegation.bytes() + size_of_val(&seldom.errors[..]);
        }
        bytes
    }

    /// How much memory the slot takes for texts and values, whether or not there are any.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.contents.copied.capacity() + self.contents.inputs.capacity()
    }

    /// The request that the record is about.
    pub(in crate::evidence) fn request(&self) -> Request<'_> {
        let Contents { head, copied, .. } = &*self.contents;
        let text = |span| copied.text(span);
        let [principal, action, resource] = head.uids(self.epoch.as_deref(), copied);
        let mut request = Request::new(principal, action, resource);
        if let Some(id) = head.request_id {
            request = request.request_id(text(id));
        }
        if let Some((trace, span)) = head.trace {
            request = request.trace(text(trace), text(span));
        }
        request.rechecks = head.rechecks;
        request
    }

    /// The record; `None` in a slot that never had one.
    pub(in crate::evidence) fn record<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> Option<DecisionRecord<'a>> {
        let epoch = self.epoch.as_ref()?;
        let contents = &*self.contents;
        let Contents { head, copied, .. } = contents;
        let names = &epoch.snapshot.names;
        let context = ContextView::copied(copied, names);
        let inputs = InputsView::copied(&contents.inputs, copied, names);
        let record = DecisionRecord {
            instance: str::from_utf8(&head.instance).unwrap_or_default(),
            sequence: head.sequence,
            lost_before: head.lost_before,
            time: head.time,
            duration: head.duration,
            epoch,
            request,
            known: head.uids.map(|uid| match uid {
                CopiedUid::Known(uid) => Some(uid),
                CopiedUid::Text(..) => None,
            }),
            context: contents.has_context.then_some(context),
            inputs: contents.has_inputs.then_some(inputs),
            ages: None,
            delegation: None,
            outcome: head.outcome,
            determining: contents.determining.as_slice(),
            errors: Errors::new(epoch, &[], &[]),
            request_error: None,
            masked: None,
            enforced: head.enforced,
        };
        let Some(seldom) = contents.seldom() else {
            return Some(record);
        };
        Some(DecisionRecord {
            ages: seldom.ages.map(|(policies, entities)| Ages {
                policies,
                entities,
                types: &seldom.type_ages,
            }),
            delegation: seldom.delegation.view(epoch),
            errors: Errors::new(epoch, &seldom.errors, &seldom.shared_errors),
            request_error: seldom.request_error.as_ref(),
            masked: (!seldom.masked.is_empty()).then_some(Masked {
                copied,
                paths: &seldom.masked,
                replayable: seldom.replayable,
            }),
            ..record
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
        let Some(epoch) = self.epoch.as_deref() else {
            return;
        };
        let contents = &mut *self.contents;
        std::mem::swap(&mut contents.copied, from);
        std::mem::swap(&mut contents.inputs, inputs_from);
        let to = &mut contents.copied;
        to.clear();
        contents.inputs.clear();
        let moved = |to: &mut Copied, span| to.add_text(from.text(span));
        if let Some(id) = &mut contents.head.request_id {
            *id = moved(to, *id);
        }
        if let Some((trace, span)) = &mut contents.head.trace {
            (*trace, *span) = (moved(to, *trace), moved(to, *span));
        }
        if !contents.has_seldom {
            contents.seldom.clear();
            contents.has_seldom = true;
        }
        let seldom = &mut contents.seldom;
        for path in &mut seldom.masked {
            *path = moved(to, *path);
        }
        let uids = contents.head.uids(Some(epoch), from);
        let mut remade = Remade {
            from,
            to,
            inputs_from,
            inputs_to: &mut contents.inputs,
            uids,
            masked_uids: &mut contents.head.uids,
            has_context: contents.has_context,
            has_inputs: contents.has_inputs,
            hops: &mut seldom.delegation,
            masked: &mut seldom.masked,
            replayable: &mut seldom.replayable,
        };
        remake(&mut remade, epoch);
    }

    /// Of a slot that has been remade.
    pub(in crate::evidence) fn set_request_error(&mut self, error: RequestError) {
        self.contents.seldom.request_error = Some(error);
    }

    /// Gives back the memory of a record that was large.
    pub(in crate::evidence) fn shrink(&mut self) {
        self.contents = Self::new().contents;
    }

    /// Lets go of policies and entities, which may have been replaced since.
    pub(in crate::evidence) fn forget(&mut self) {
        self.epoch = None;
    }
}

impl Head {
    /// Type and id of principal, action, resource.
    fn uids<'a>(&self, epoch: Option<&'a Epoch>, copied: &'a Copied) -> [(&'a str, &'a str); 3] {
        self.uids.map(|uid| match uid {
            CopiedUid::Text(type_name, id) => (copied.text(type_name), copied.text(id)),
            // Who copied a number kept its epoch.
            CopiedUid::Known(uid) => epoch
                .map(|epoch| epoch.snapshot.names.uid_text(uid))
                .unwrap_or_default(),
        })
    }
}

impl Contents {
    fn copy(&mut self, record: &DecisionRecord<'_>) {
        // Named one by one, so that a new field is not forgotten here.
        let DecisionRecord {
            instance,
            sequence,
            lost_before,
            time,
            duration,
            epoch: _,
            request,
            known,
            context,
            inputs,
            ages: _,
            delegation: _,
            outcome,
            determining,
            errors: _,
            request_error: _,
            masked: _,
            enforced,
        } = *record;
        let copied = &mut self.copied;
        copied.clear();
        let uid = |copied: &mut Copied, known: Option<Uid>, uid: EntityUidRef<'_>| match known {
            Some(known) => CopiedUid::Known(known),
            None => CopiedUid::Text(copied.add_text(uid.type_name()), copied.add_text(uid.id())),
        };
        // Field by field: a whole `Head` would be put together on the stack first, and the processor would wait for its pieces.
        let head = &mut self.head;
        head.sequence = sequence;
        head.lost_before = lost_before;
        head.time = time;
        head.duration = duration;
        head.outcome = outcome;
        // 32 digits, always.
        head.instance = instance.as_bytes().try_into().unwrap_or([b'0'; 32]);
        let [principal, action, resource] = known;
        head.uids[0] = uid(copied, principal, request.principal());
        head.uids[1] = uid(copied, action, request.action());
        head.uids[2] = uid(copied, resource, request.resource());
        head.request_id = request.id().map(|id| copied.add_text(id));
        head.trace = request.trace_ids().map(|ids| {
            let trace = copied.add_text(ids.trace_id());
            (trace, copied.add_text(ids.span_id()))
        });
        head.rechecks = request.rechecks;
        head.enforced = enforced;
        self.has_context = context.is_some();
        if let Some(context) = context {
            context.copy_to(copied);
        }
        self.has_inputs = inputs.is_some();
        if let Some(inputs) = inputs {
            self.inputs.clear();
            inputs.copy_to(&mut self.inputs);
        }
        self.determining.clear();
        self.determining.extend_from_slice(determining);
        self.has_seldom = Seldom::is_in(record);
        if self.has_seldom {
            self.seldom.copy(record, &mut self.copied);
        }
    }

    fn seldom(&self) -> Option<&Seldom> {
        self.has_seldom.then_some(&self.seldom)
    }
}

impl Seldom {
    /// Whether the record has any of it.
    fn is_in(record: &DecisionRecord<'_>) -> bool {
        record.ages.is_some()
            || record.delegation.is_some()
            || record.errors.len() > 0
            || record.request_error.is_some()
            || record.masked.is_some()
    }

    fn copy(&mut self, record: &DecisionRecord<'_>, copied: &mut Copied) {
        self.clear();
        if let Some(ages) = record.ages {
            self.ages = Some((ages.policies, ages.entities));
            self.type_ages.extend_from_slice(ages.types);
        }
        if let Some(delegation) = &record.delegation {
            self.delegation.copy(delegation);
        }
        let (errors, shared_errors) = record.errors.parts();
        self.errors.extend_from_slice(errors);
        self.shared_errors.extend_from_slice(shared_errors);
        self.request_error = record.request_error.cloned();
        if let Some(masked) = record.masked {
            self.replayable = masked.replayable;
            let paths = masked.paths().map(|path| copied.add_text(path));
            self.masked.extend(paths);
        }
    }

    fn clear(&mut self) {
        self.ages = None;
        self.type_ages.clear();
        self.delegation.clear();
        self.errors.clear();
        self.shared_errors.clear();
        self.request_error = None;
        self.masked.clear();
        self.replayable = true;
    }
}
