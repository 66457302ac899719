//! What is kept of a request to decide it again: all of it, in one piece of memory.
//!
//! A million grants may be alive at once, so there is no tree of values with a table of names beside it, but bytes that
//! are written once and read when something has changed. Names are kept as text: numbers would hold on to an epoch.
//!
//! Lengths and counts are 32 bits wide, texts are UTF-8 behind their length, records stand behind the length of all they
//! have, so that a reader can pass them by.

use std::sync::Arc;
use std::time::{Duration as StdDuration, SystemTime};

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::authorizer::Seen;
use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{EntityUidRef, Uid};
use crate::request::context::{Fields, WriteError, WriteRecord};
use crate::request::delegation::{ChainBounds, ChainNames, Delegation};
use crate::request::locals::{RequestInterner, RequestNames};
use crate::request::{ContextSource, Entity, Request, Typed};
use crate::value::arena::{self, Intern, NameText, TableFull};
use crate::value::{Bounds, Record, Value, View};

/// A request, owned. Clones are the same piece.
#[derive(Clone)]
pub(super) struct Basis(Arc<[u8]>);

impl Basis {
    /// `seen` is the decision; of a chain the hop of the subject.
    pub(super) fn new(request: &Request<'_>, seen: &Seen<'_, '_>) -> Self {
        let mut writer = Writer {
            bytes: Vec::with_capacity(256),
            names: seen.names,
        };
        for uid in [request.principal(), request.action(), request.resource()] {
            writer.name(uid);
        }
        writer.bytes.push(request.delegation.is_some().into());
        if let Some(delegation) = request.delegation {
            writer.chain(delegation);
        }
        let trace = request.trace_ids();
        let ids = [
            request.id(),
            trace.map(|ids| ids.trace_id()),
            trace.map(|ids| ids.span_id()),
        ];
        for id in ids {
            writer.optional(id);
        }
        // The time is put in anew, and so is what the chain adds.
        let [actor, subject] = request.delegation.map_or([None; 2], Delegation::ends);
        let added = [seen.context_time, actor, subject];
        writer.record_without(seen.resolved.context, &added);
        let entities = seen.resolved.overlay.entities();
        writer.count(entities.len());
        for entity in entities {
            writer.uid(entity.uid);
            writer.record(entity.attrs);
            writer.record(entity.tags);
            writer.count(entity.parents.len());
            for parent in entity.parents {
                writer.uid(*parent);
            }
        }
        Self(writer.bytes.into())
    }

    /// Whether both are the same piece.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn principal(&self) -> EntityUidRef<'_> {
        self.uids()[0]
    }

    pub(super) fn action(&self) -> EntityUidRef<'_> {
        self.uids()[1]
    }

    pub(super) fn resource(&self) -> EntityUidRef<'_> {
        self.uids()[2]
    }

    /// Who acts for the principal, the current actor last.
    pub(super) fn actors(&self) -> Vec<EntityUidRef<'_>> {
        let parts = Reader(&self.0).parts();
        let chain = parts.and_then(|parts| parts.chain);
        chain.map(|chain| chain.actors).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(super) fn cut(&self, len: usize) -> Self {
        Self(self.0[..len].into())
    }

    fn uids(&self) -> [EntityUidRef<'_>; 3] {
        let mut reader = Reader(&self.0);
        [(); 3].map(|()| reader.name().unwrap_or(EntityUidRef::new("", "")))
    }

    /// Calls `ask` with the request. A piece that could not be read is a request that cannot be understood, which is denied.
    pub(super) fn with_request<R>(&self, ask: impl FnOnce(Request<'_>) -> R) -> R {
        let mut reader = Reader(&self.0);
        let parts = reader.parts().unwrap_or_default();
        let [principal, action, resource] = parts.uids;
        let mut request = Request::new(principal, action, resource);
        if let Some(id) = parts.request_id {
            request = request.request_id(id);
        }
        if let (Some(trace), Some(span)) = parts.trace {
            request = request.trace(trace, span);
        }
        request.context = ContextSource::Typed(&parts.context);
        let delegation = parts.chain.as_ref().map(PackedChain::delegation);
        request.delegation = delegation.as_ref();
        if parts.entities.is_empty() {
            return ask(request);
        }
        let entities: Vec<Entity<'_>> = parts.entities.iter().map(PackedEntity::entity).collect();
        ask(request.entities(&entities))
    }
}

impl std::fmt::Debug for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.principal())?;
        for actor in self.actors() {
            write!(f, " through {actor}")?;
        }
        write!(f, " {} {}", self.action(), self.resource())
    }
}

/// What a value begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    False,
    True,
    Long,
    String,
    Entity,
    Set,
    Record,
    Decimal,
    Datetime,
    Duration,
    IpV4,
    IpV6,
}

const TAGS: [Tag; 12] = [
    Tag::False,
    Tag::True,
    Tag::Long,
    Tag::String,
    Tag::Entity,
    Tag::Set,
    Tag::Record,
    Tag::Decimal,
    Tag::Datetime,
    Tag::Duration,
    Tag::IpV4,
    Tag::IpV6,
];

struct Writer<'n> {
    bytes: Vec<u8>,
    names: RequestNames<'n>,
}

impl Writer<'_> {
    /// Limits on requests keep counts far below what 32 bits hold; one above would make the piece unreadable, which denies.
    fn count(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&count.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.bytes.push(text.is_some().into());
        self.text(text.unwrap_or_default());
    }

    fn chain(&mut self, delegation: &Delegation<'_>) {
        let actors = delegation.actors();
        self.count(actors.len());
        for actor in actors {
            self.name(*actor);
        }
        let bounds = delegation.bounds();
        for time in [bounds.not_before, bounds.expires] {
            self.time(time);
        }
        let names = &delegation.names;
        for name in [names.actor, names.subject, names.delegator] {
            self.optional(name);
        }
    }

    /// Exactly, as the bounds of a chain may be finer than milliseconds.
    fn time(&mut self, time: Option<SystemTime>) {
        let Some(time) = time else {
            self.bytes.push(0);
            return;
        };
        let (since, which) = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => (after, 1),
            Err(before) => (before.duration(), 2),
        };
        self.bytes.push(which);
        self.bytes.extend_from_slice(&since.as_secs().to_le_bytes());
        let nanos = since.subsec_nanos();
        self.bytes.extend_from_slice(&nanos.to_le_bytes());
    }

    fn name(&mut self, uid: EntityUidRef<'_>) {
        self.text(uid.type_name());
        self.text(uid.id());
    }

    fn uid(&mut self, uid: Uid) {
        let names = self.names;
        self.name(names.uid_text(uid).into());
    }

    fn record(&mut self, record: Record<'_>) {
        self.record_without(record, &[]);
    }

    fn record_without(&mut self, record: Record<'_>, without: &[Option<&str>]) {
        let start = self.bytes.len();
        self.count(0);
        self.fields(record, without);
        let len = u32::try_from(self.bytes.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&len.to_le_bytes());
        }
    }

    fn fields(&mut self, record: Record<'_>, without: &[Option<&str>]) {
        let names = self.names;
        let left_out = |key| without.contains(&Some(names.sym_text(key)));
        let kept = || record.iter().filter(|(key, _)| !left_out(*key));
        self.count(kept().count());
        for (key, value) in kept() {
            self.text(names.sym_text(key));
            self.value(value);
        }
    }

    fn value(&mut self, value: Value<'_>) {
        let view = value.view();
        self.bytes.push(tag(view) as u8);
        let mut eight = |number: i64| self.bytes.extend_from_slice(&number.to_le_bytes());
        match view {
            View::Bool(_) => {}
            View::Long(i) => eight(i),
            View::Decimal(d) => eight(d.scaled()),
            View::Datetime(d) => eight(d.millis()),
            View::Duration(d) => eight(d.millis()),
            View::String(text) => self.text(text),
            View::Entity(uid) => self.uid(uid),
            View::Set(set) => {
                self.count(set.len());
                for item in set.iter() {
                    self.value(item);
                }
            }
            View::Record(record) => self.fields(record, &[]),
            View::Ip(ip) => {
                match ip.addr() {
                    std::net::IpAddr::V4(addr) => self.bytes.extend_from_slice(&addr.octets()),
                    std::net::IpAddr::V6(addr) => self.bytes.extend_from_slice(&addr.octets()),
                }
                self.bytes.push(ip.prefix());
            }
        }
    }
}

fn tag(view: View<'_>) -> Tag {
    match view {
        View::Bool(false) => Tag::False,
        View::Bool(true) => Tag::True,
        View::Long(_) => Tag::Long,
        View::String(_) => Tag::String,
        View::Entity(_) => Tag::Entity,
        View::Set(_) => Tag::Set,
        View::Record(_) => Tag::Record,
        View::Decimal(_) => Tag::Decimal,
        View::Datetime(_) => Tag::Datetime,
        View::Duration(_) => Tag::Duration,
        View::Ip(ip) if ip.is_ipv4() => Tag::IpV4,
        View::Ip(_) => Tag::IpV6,
    }
}

/// Reads what a [`Writer`] wrote; `None` is what it did not write.
struct Reader<'b>(&'b [u8]);

/// The parts of a request.
struct Parts<'b> {
    uids: [EntityUidRef<'b>; 3],
    chain: Option<PackedChain<'b>>,
    request_id: Option<&'b str>,
    trace: (Option<&'b str>, Option<&'b str>),
    context: Packed<'b>,
    entities: Vec<PackedEntity<'b>>,
}

/// What no request is: `::` is no type name.
impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            uids: [EntityUidRef::new("::", ""); 3],
            chain: None,
            request_id: None,
            trace: (None, None),
            context: Packed(&[]),
            entities: Vec::new(),
        }
    }
}

struct PackedChain<'b> {
    actors: Vec<EntityUidRef<'b>>,
    bounds: ChainBounds,
    names: ChainNames<'b>,
}

impl PackedChain<'_> {
    fn delegation(&self) -> Delegation<'_> {
        let mut delegation = Delegation::new(&self.actors).within(self.bounds);
        delegation.names = self.names;
        delegation
    }
}

struct PackedEntity<'b> {
    uid: EntityUidRef<'b>,
    attrs: Packed<'b>,
    tags: Packed<'b>,
    parents: Vec<EntityUidRef<'b>>,
}

impl PackedEntity<'_> {
    fn entity(&self) -> Entity<'_> {
        Entity {
            uid: self.uid,
            attrs: Some(Typed(&self.attrs)),
            tags: Some(Typed(&self.tags)),
            parents: &self.parents,
        }
    }
}

/// A record, packed: fields behind their count.
struct Packed<'b>(&'b [u8]);

impl WriteRecord for Packed<'_> {
    /// Neither which fields are observed nor what is bounded matters: what is here was all accepted once.
    fn write<'b>(
        &self,
        arena: &'b Bump,
        names: &mut RequestInterner<'_>,
        _: Fields,
        _: Bounds,
    ) -> Result<Record<'b>, Box<WriteError>> {
        let mut reader = Reader(self.0);
        match reader.record(arena, names) {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(WriteError::new(
                "what was kept of the request cannot be read",
            )),
            Err(full) => Err(WriteError::new(full)),
        }
    }
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn eight(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'b str> {
        let len = self.count()?;
        str::from_utf8(self.take(len)?).ok()
    }

    fn name(&mut self) -> Option<EntityUidRef<'b>> {
        Some(EntityUidRef::new(self.text()?, self.text()?))
    }

    fn optional(&mut self) -> Option<Option<&'b str>> {
        let [is_some] = self.array()?;
        let text = self.text()?;
        Some((is_some != 0).then_some(text))
    }

    fn chain(&mut self) -> Option<PackedChain<'b>> {
        Some(PackedChain {
            actors: (0..self.count()?)
                .map(|_| self.name())
                .collect::<Option<_>>()?,
            bounds: ChainBounds {
                not_before: self.time()?,
                expires: self.time()?,
            },
            names: ChainNames {
                actor: self.optional()?,
                subject: self.optional()?,
                delegator: self.optional()?,
            },
        })
    }

    fn time(&mut self) -> Option<Option<SystemTime>> {
        let [which] = self.array()?;
        if which == 0 {
            return Some(None);
        }
        let seconds = u64::from_le_bytes(self.array()?);
        let since = StdDuration::new(seconds, u32::from_le_bytes(self.array()?));
        let epoch = SystemTime::UNIX_EPOCH;
        match which {
            1 => epoch.checked_add(since),
            _ => epoch.checked_sub(since),
        }
        .map(Some)
    }

    fn packed(&mut self) -> Option<Packed<'b>> {
        let len = self.count()?;
        self.take(len).map(Packed)
    }

    fn parts(&mut self) -> Option<Parts<'b>> {
        let uids = [self.name()?, self.name()?, self.name()?];
        let chain = match self.array()? {
            [0] => None,
            _ => Some(self.chain()?),
        };
        let request_id = self.optional()?;
        let trace = (self.optional()?, self.optional()?);
        let context = self.packed()?;
        let mut entities = Vec::new();
        for _ in 0..self.count()? {
            entities.push(PackedEntity {
                uid: self.name()?,
                attrs: self.packed()?,
                tags: self.packed()?,
                parents: (0..self.count()?)
                    .map(|_| self.name())
                    .collect::<Option<_>>()?,
            });
        }
        Some(Parts {
            uids,
            chain,
            request_id,
            trace,
            context,
            entities,
        })
    }

    fn record<'a>(
        &mut self,
        arena: &'a Bump,
        names: &mut RequestInterner<'_>,
    ) -> Result<Option<Record<'a>>, TableFull> {
        let Some(count) = self.count() else {
            return Ok(None);
        };
        let mut fields = BumpVec::new_in(arena);
        for _ in 0..count {
            let Some(key) = self.text() else {
                return Ok(None);
            };
            let key = names.sym(key)?;
            let Some(value) = self.value(arena, names)? else {
                return Ok(None);
            };
            fields.push((key, value));
        }
        Ok(arena::record(arena, fields).ok())
    }

    /// Recurses as deep as the request's limits let its values be.
    fn value<'a>(
        &mut self,
        arena: &'a Bump,
        names: &mut RequestInterner<'_>,
    ) -> Result<Option<Value<'a>>, TableFull> {
        let Some(tag) = self.array().and_then(|[tag]| TAGS.get(usize::from(tag))) else {
            return Ok(None);
        };
        Ok(match tag {
            Tag::False => Some(false.into()),
            Tag::True => Some(true.into()),
            Tag::Long => self.eight().map(Value::Long),
            Tag::Decimal => self
                .eight()
                .map(|d| Value::Decimal(Decimal::from_scaled(d))),
            Tag::Datetime => self
                .eight()
                .map(|d| Value::Datetime(Datetime::from_millis(d))),
            Tag::Duration => self
                .eight()
                .map(|d| Value::Duration(Duration::from_millis(d))),
            Tag::String => self
                .text()
                .map(|text| arena::string(arena, arena.alloc_str(text))),
            Tag::Entity => match self.name() {
                Some(uid) => Some(names.uid(uid.type_name(), uid.id())?.into()),
                None => None,
            },
            Tag::Set => {
                let Some(count) = self.count() else {
                    return Ok(None);
                };
                let mut items = BumpVec::new_in(arena);
                for _ in 0..count {
                    let Some(item) = self.value(arena, names)? else {
                        return Ok(None);
                    };
                    items.push(item);
                }
                Some(arena::set(arena, items))
            }
            Tag::Record => self.record(arena, names)?.map(Value::from),
            Tag::IpV4 => self
                .array::<4>()
                .and_then(|octets| self.ip(arena, octets.into())),
            Tag::IpV6 => self
                .array::<16>()
                .and_then(|octets| self.ip(arena, octets.into())),
        })
    }

    fn ip<'a>(&mut self, arena: &'a Bump, addr: std::net::IpAddr) -> Option<Value<'a>> {
        let [prefix] = self.array()?;
        Some(arena::ip(arena, IpAddr::new(addr, prefix).ok()?))
    }
}
