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
use super::super::copied::Copied;
use super::super::delegation::CopiedHops;
use super::super::inputs::InputsView;
use super::super::list::List;
use super::super::mask::{Masked, Remade, Unmasked};
use super::super::texts::{Span, Texts};
use super::super::{DecisionRecord, Enforced};

/// What a slot keeps of its memory when it is used again. A typical record takes less than one kilobyte.
pub(in crate::evidence) const SMALL: usize = 16 << 10;

/// A record that owns what it says.
///
/// In two pieces. The threads of a queue go round all of its slots, and a processor knows by heart where some thousand pages
/// of memory are. When a slot was one piece of 3.5 kB, copying to 4096 of them waited mostly for its next page to be looked up;
/// what every record writes is in half a kilobyte now, and those lie side by side ([`Slot::several`]).
#[derive(Debug)]
pub(in crate::evidence) struct Slot {
    /// Kept when the slot is used again: as long as policies and entities stay what they are, a copy touches no count of
    /// references, which all deciding threads would share. Beside the contents, which a deciding thread must not load from.
    epoch: Option<Arc<Epoch>>,
    head: Box<Head>,
    values: Box<Values>,
}

/// What every record has: written without a look at what was written before, for which see [`List`].
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
    determining: List<u32, 8>,
    texts: Texts,
    /// Which of the values are about this record.
    has_context: bool,
    has_inputs: bool,
    has_seldom: bool,
}

/// What only those sinks are told that want inputs, and what few records have.
#[derive(Debug, Default)]
struct Values {
    context: Copied,
    inputs: Copied,
    seldom: Box<Seldom>,
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
    /// What was masked, in the head's texts; and whether the record can be decided again all the same.
    masked: Vec<Span>,
    replayable: bool,
}

impl Slot {
    /// A slot with memory for a typical record.
    pub(in crate::evidence) fn new() -> Self {
        Self::with(Box::default())
    }

    /// So many slots, their heads side by side in memory.
    pub(in crate::evidence) fn several(count: usize) -> impl Iterator<Item = Self> {
        let heads: Vec<Box<Head>> = std::iter::repeat_with(Box::default).take(count).collect();
        heads.into_iter().map(Self::with)
    }

    fn with(head: Box<Head>) -> Self {
        Self {
            epoch: None,
            head,
            values: Box::default(),
        }
    }

    /// Copies a record into the slot.
    pub(in crate::evidence) fn copy(&mut self, record: &DecisionRecord<'_>) {
        let kept = self.epoch.as_ref();
        if !kept.is_some_and(|kept| Arc::ptr_eq(kept, record.epoch)) {
            self.epoch = Some(Arc::clone(record.epoch));
        }
        self.head.copy(record);
        self.values.copy(record, &mut self.head);
    }

    /// How much memory the record takes.
    #[inline]
    pub(in crate::evidence) fn bytes(&self) -> usize {
        let Self { head, values, .. } = self;
        let mut bytes = head.texts.bytes() + head.determining.bytes();
        if head.has_context {
            bytes += values.context.bytes();
        }
        if head.has_inputs {
            bytes += values.inputs.bytes();
        }
        if let Some(seldom) = self.seldom() {
            bytes += seldom.delegation.bytes() + size_of_val(&seldom.errors[..]);
        }
        bytes
    }

    /// How much memory the slot takes for texts and values, whether or not there are any.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let Values {
            context, inputs, ..
        } = &*self.values;
        self.head.texts.capacity() + context.capacity() + inputs.capacity()
    }

    /// The request that the record is about.
    pub(in crate::evidence) fn request(&self) -> Request<'_> {
        let head = &*self.head;
        let text = |span| head.texts.get(span);
        let epoch = self.epoch.as_deref();
        let [principal, action, resource] = head.uids.map(|uid| uid.parts(epoch, &head.texts));
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
        let Self { head, values, .. } = self;
        let names = &epoch.snapshot.names;
        let context = ContextView::copied(&values.context, names);
        let inputs = InputsView::copied(&values.inputs, &values.context, names);
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
            context: head.has_context.then_some(context),
            inputs: head.has_inputs.then_some(inputs),
            ages: None,
            delegation: None,
            outcome: head.outcome,
            determining: head.determining.as_slice(),
            errors: Errors::new(epoch, &[], &[]),
            request_error: None,
            masked: None,
            enforced: head.enforced,
        };
        let Some(seldom) = self.seldom() else {
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
                texts: &head.texts,
                paths: &seldom.masked,
                replayable: seldom.replayable,
            }),
            ..record
        })
    }

    /// Makes uids, context and inputs anew by `remake`, from the copies that there are. These are left in `unmasked`.
    pub(in crate::evidence) fn remake(
        &mut self,
        unmasked: &mut Unmasked,
        remake: impl FnOnce(&mut Remade<'_>, &Epoch),
    ) {
        let Some(epoch) = self.epoch.as_deref() else {
            return;
        };
        let (head, values) = (&mut *self.head, &mut *self.values);
        std::mem::swap(&mut head.texts, &mut unmasked.texts);
        std::mem::swap(&mut values.context, &mut unmasked.context);
        std::mem::swap(&mut values.inputs, &mut unmasked.inputs);
        head.texts.clear();
        values.context.clear();
        values.inputs.clear();
        let (from, to) = (&unmasked.texts, &mut head.texts);
        let mut moved = |span| to.add(from.get(span));
        if let Some(id) = &mut head.request_id {
            *id = moved(*id);
        }
        if let Some((trace, span)) = &mut head.trace {
            (*trace, *span) = (moved(*trace), moved(*span));
        }
        let seldom = &mut values.seldom;
        if !head.has_seldom {
            seldom.clear();
            head.has_seldom = true;
        }
        for path in &mut seldom.masked {
            *path = moved(*path);
        }
        let uids = head.uids.map(|uid| uid.parts(Some(epoch), from));
        let mut remade = Remade {
            unmasked,
            texts: &mut head.texts,
            context: &mut values.context,
            has_context: head.has_context,
            inputs: &mut values.inputs,
            has_inputs: head.has_inputs,
            uids,
            masked_uids: &mut head.uids,
            hops: &mut seldom.delegation,
            masked: &mut seldom.masked,
            replayable: &mut seldom.replayable,
        };
        remake(&mut remade, epoch);
    }

    /// Of a slot that has been remade.
    pub(in crate::evidence) fn set_request_error(&mut self, error: RequestError) {
        self.values.seldom.request_error = Some(error);
    }

    /// Gives back the memory of a record that was large.
    pub(in crate::evidence) fn shrink(&mut self) {
        let Self { head, values, .. } = Self::new();
        (self.head, self.values) = (head, values);
    }

    fn seldom(&self) -> Option<&Seldom> {
        self.head.has_seldom.then_some(&self.values.seldom)
    }

    /// Lets go of policies and entities, which may have been replaced since.
    pub(in crate::evidence) fn forget(&mut self) {
        self.epoch = None;
    }
}

impl CopiedUid {
    /// Type and id.
    fn parts<'a>(self, epoch: Option<&'a Epoch>, texts: &'a Texts) -> (&'a str, &'a str) {
        match self {
            Self::Text(type_name, id) => (texts.get(type_name), texts.get(id)),
            // Who copied a number kept its epoch.
            Self::Known(uid) => epoch
                .map(|epoch| epoch.snapshot.names.uid_text(uid))
                .unwrap_or_default(),
        }
    }
}

impl Head {
    /// Field by field: a whole `Head` would be put together on the stack first, and the processor would wait for its pieces.
    fn copy(&mut self, record: &DecisionRecord<'_>) {
        // Named one by one, so that a new field is not forgotten here, or in `Values::copy`.
        let DecisionRecord {
            instance,
            sequence,
            lost_before,
            time,
            duration,
            epoch: _,
            request,
            known: [principal, action, resource],
            context: _,
            inputs: _,
            ages: _,
            delegation: _,
            outcome,
            determining,
            errors: _,
            request_error: _,
            masked: _,
            enforced,
        } = *record;
        let texts = &mut self.texts;
        texts.clear();
        let uid = |texts: &mut Texts, known: Option<Uid>, uid: EntityUidRef<'_>| match known {
            Some(known) => CopiedUid::Known(known),
            None => CopiedUid::Text(texts.add(uid.type_name()), texts.add(uid.id())),
        };
        self.sequence = sequence;
        self.lost_before = lost_before;
        self.time = time;
        self.duration = duration;
        self.outcome = outcome;
        // 32 digits, always.
        self.instance = instance.as_bytes().try_into().unwrap_or([b'0'; 32]);
        self.uids[0] = uid(texts, principal, request.principal());
        self.uids[1] = uid(texts, action, request.action());
        self.uids[2] = uid(texts, resource, request.resource());
        self.request_id = request.id().map(|id| texts.add(id));
        self.trace = request
            .trace_ids()
            .map(|ids| (texts.add(ids.trace_id()), texts.add(ids.span_id())));
        self.rechecks = request.rechecks;
        self.enforced = enforced;
        self.determining.clear();
        self.determining.extend_from_slice(determining);
    }
}

impl Values {
    /// Copies what there is, and notes in the head what that was.
    fn copy(&mut self, record: &DecisionRecord<'_>, head: &mut Head) {
        head.has_context = record.context.is_some();
        if let Some(context) = record.context {
            self.context.clear();
            context.copy_to(&mut self.context);
        }
        head.has_inputs = record.inputs.is_some();
        if let Some(inputs) = record.inputs {
            self.inputs.clear();
            inputs.copy_to(&mut self.inputs);
        }
        head.has_seldom = Seldom::is_in(record);
        if head.has_seldom {
            self.seldom.copy(record, &mut head.texts);
        }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self {
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
            determining: List::new(0),
            texts: Texts::default(),
            has_context: false,
            has_inputs: false,
            has_seldom: false,
        }
    }
}

impl Default for Seldom {
    /// With room for a few.
    fn default() -> Self {
        Self {
            ages: None,
            type_ages: Vec::new(),
            delegation: CopiedHops::default(),
            errors: Vec::with_capacity(4),
            shared_errors: Vec::with_capacity(2),
            request_error: None,
            masked: Vec::with_capacity(8),
            replayable: true,
        }
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

    fn copy(&mut self, record: &DecisionRecord<'_>, texts: &mut Texts) {
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
            let paths = masked.paths().map(|path| texts.add(path));
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
