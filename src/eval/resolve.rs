//! From a request in the caller's words to one in the epoch's numbers.

use std::sync::Arc;

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::epoch::{Asked, Epoch};
use crate::id::{EntityUidRef, Uid};
use crate::json::{self, ArrayReader, JsonErrorKind};
use crate::limits::{Limit, Limits};
use crate::program::ContextUse;
use crate::request::context::{Fields, WriteRecord};
use crate::request::delegation::Delegation;
use crate::request::locals::{Locals, RequestInterner, RequestNames};
use crate::request::overlay::{Overlay, OverlayEntity};
use crate::request::{
    ContextSource, Entity, EntitySource, Now, Request, RequestError, RequestPart, Typed,
};
use crate::schema::{RequestMismatch, SchemaModel, is_action_type};
use crate::value::arena::{self, Intern, NameText, TableFull};
use crate::value::{Bounds, Record, Value};

use super::chain;
use super::machine::Resolved;

/// How requests are read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// By what name the time is in every context, if it is.
    pub(crate) context_time: Option<Arc<str>>,
    pub(crate) limits: Limits,
    /// Whether requests are validated against the schema.
    pub(crate) validate: bool,
    /// Whether the whole context is wanted, also what no policy can observe.
    pub(crate) keep_inputs: bool,
}

impl Reading {
    /// For a request that has been accepted once, under limits that may be wider than the default ones.
    pub(crate) fn again() -> Self {
        Self {
            context_time: None,
            limits: Limits::default()
                .with_context_bytes(usize::MAX)
                .with_context_depth(usize::MAX)
                .with_attribute_bytes(usize::MAX)
                .with_attribute_depth(usize::MAX)
                .with_set_elements(usize::MAX)
                .with_overlay_entities(usize::MAX)
                .with_input_bytes(usize::MAX),
            validate: false,
            keep_inputs: true,
        }
    }
}

/// Resolves a request: looks up its uids, writes context and entities into the arena, validates.
pub(crate) fn resolve<'a>(
    epoch: &'a Epoch,
    request: &Request<'_>,
    reading: &Reading,
    arena: &'a Bump,
    locals: &mut Locals,
) -> Result<Resolved<'a>, RequestError> {
    let names = &epoch.snapshot.names;
    let schema = epoch.schema.as_deref();
    let mut resolver = Resolver {
        epoch,
        arena,
        reading,
        names: RequestInterner {
            shared: names,
            locals,
        },
    };
    let principal = resolver.uid(request.principal(), RequestPart::Principal)?;
    let action = resolver.uid(request.action(), RequestPart::Action)?;
    let resource = resolver.uid(request.resource(), RequestPart::Resource)?;
    let context = match request.context {
        ContextSource::Empty => Record::Built(&(&[] as &[_])),
        ContextSource::Typed(context) => {
            let bounds = Bounds::context(&reading.limits);
            resolver.typed(
                context,
                resolver.fields(request),
                bounds,
                RequestPart::Context,
            )?
        }
        ContextSource::Json(text) => {
            resolver
                .context_json(text, request, schema)
                .map_err(|error| {
                    let asked = [principal, action, resource];
                    resolver.mistaken_before(asked).unwrap_or(error)
                })?
        }
    };
    let context = match request.now {
        None => context,
        Some(now) => resolver.with_time(context, now)?,
    };
    let context = match request.delegation {
        None => context,
        Some(delegation) => chain::add_ends(&mut resolver, context, request, delegation)?,
    };
    let overlay = match request.entities {
        EntitySource::None => Overlay::default(),
        EntitySource::Typed(entities) => resolver.entities(entities)?,
        EntitySource::Json(text) => resolver.entities_json(text, schema)?,
    };
    let resolved = Resolved {
        principal,
        action,
        resource,
        context,
        overlay,
    };
    let names = RequestNames {
        shared: names,
        locals,
    };
    if reading.validate {
        epoch
            .check_request(resolved.asked(), names)
            .map_err(|mismatch| RequestError::new(RequestPart::Request, mismatch))?;
    }
    if !overlay.is_empty() {
        validate_overlay(&overlay, epoch, names)?;
        refuse_cycles(&overlay, epoch, names, arena)?;
    }
    Ok(resolved)
}

pub(super) struct Resolver<'a, 's> {
    pub(super) epoch: &'a Epoch,
    pub(super) arena: &'a Bump,
    pub(super) reading: &'s Reading,
    pub(super) names: RequestInterner<'s>,
}

impl<'a> Resolver<'a, '_> {
    #[inline]
    pub(super) fn uid(
        &mut self,
        uid: EntityUidRef<'_>,
        part: RequestPart,
    ) -> Result<Uid, RequestError> {
        match self.names.shared.find_uid(uid.type_name(), uid.id()) {
            Some(uid) => Ok(uid),
            None => self.unknown_uid(uid, part),
        }
    }

    /// A uid that no policy and no entity mentions; its type name has not been checked by anybody yet.
    #[cold]
    fn unknown_uid(
        &mut self,
        uid: EntityUidRef<'_>,
        part: RequestPart,
    ) -> Result<Uid, RequestError> {
        if self.names.shared.find_type(uid.type_name()).is_none()
            && !json::is_normalized_type_name(uid.type_name())
        {
            return Err(RequestError::new(
                part,
                format_args!(
                    "`{}` is not an entity type name; write identifiers joined by `::`, without spaces or \
                     reserved words",
                    uid.type_name().escape_debug()
                ),
            ));
        }
        self.names
            .uid(uid.type_name(), uid.id())
            .map_err(|full| RequestError::new(part, full))
    }

    /// Which fields of a typed context are copied.
    fn fields(&self, request: &Request<'_>) -> Fields {
        // A field that has the name of the time, or of what a chain adds, is refused also where no policy can observe it.
        let names_parties = |chain: &Delegation<'_>| chain.names.given().next().is_some();
        let all = self.reading.keep_inputs
            || self.reading.context_time.is_some()
            || request.delegation.is_some_and(names_parties)
            || (self.reading.validate && self.epoch.schema.is_some())
            || self.epoch.context() == ContextUse::Whole;
        if all { Fields::All } else { Fields::Known }
    }

    fn typed(
        &mut self,
        record: &dyn WriteRecord,
        fields: Fields,
        bounds: Bounds,
        part: RequestPart,
    ) -> Result<Record<'a>, RequestError> {
        record
            .write(self.arena, &mut self.names, fields, bounds)
            .map_err(|error| match error.limit {
                Some(limit) => RequestError::limit_of(part, limit),
                None if error.is_placed && part == RequestPart::Context => {
                    let message = &error.message;
                    let dot = if message.starts_with('[') { "" } else { "." };
                    RequestError::in_context(format_args!("context{dot}{message}"))
                }
                None => RequestError::new(part, error.message),
            })
    }

    fn context_json(
        &mut self,
        text: &str,
        request: &Request<'_>,
        schema: Option<&SchemaModel>,
    ) -> Result<Record<'a>, RequestError> {
        let limits = &self.reading.limits;
        check_limit(
            limits,
            Limit::ContextBytes,
            text.len(),
            RequestPart::Context,
        )?;
        // The text is copied so that what is read from it lives as long as the decision.
        let text: &'a str = self.arena.alloc_str(text);
        let json = json::parse(self.arena, text, limits.context_depth())
            .map_err(|error| json_error(error, text, RequestPart::Context, limits))?;
        let json = self.arena.alloc(json);
        let expected = schema
            .and_then(|schema| schema.action(request.action()))
            .map(|action| &action.context);
        let [actor, subject] = request.delegation.map_or([None; 2], Delegation::ends);
        // Whoever reads it again knows by the request alone that it has the time.
        let time = self.reading.context_time.as_deref();
        let time = time.or(request.now.map(|now| now.name));
        let later = [time, actor, subject];
        let context = json::read_context(self.arena, json, expected, &later, &mut self.names)
            .map_err(RequestError::in_context)?;
        Bounds::context(limits)
            .check(context)
            .map_err(|exceeded| RequestError::limit_of(RequestPart::Context, exceeded))?;
        Ok(context)
    }

    /// What is wrong with principal, action or resource, if requests are validated. A context is read as what the action asks for:
    /// where that is the wrong one, or does not apply, what is said of the context would hide it.
    #[cold]
    fn mistaken_before(&self, [principal, action, resource]: [Uid; 3]) -> Option<RequestError> {
        if !self.reading.validate {
            return None;
        }
        let asked = Asked {
            principal,
            action,
            resource,
            context: Record::Built(&(&[] as &[_])),
        };
        let names = RequestNames {
            shared: self.names.shared,
            locals: self.names.locals,
        };
        match self.epoch.check_request(asked, names) {
            Ok(()) | Err(RequestMismatch::Context { .. }) => None,
            Err(mismatch) => Some(RequestError::new(RequestPart::Request, mismatch)),
        }
    }

    /// The context and the time.
    fn with_time(
        &mut self,
        context: Record<'a>,
        Now { name, time }: Now<'_>,
    ) -> Result<Record<'a>, RequestError> {
        let key = self.names.sym(name)?;
        let mut fields = Vec::with_capacity_in(context.len() + 1, self.arena);
        fields.extend(context.iter());
        fields.push((key, Value::Datetime(time)));
        arena::record(self.arena, fields).map_err(|_| time_is_taken(name))
    }

    fn entities(&mut self, entities: &[Entity<'_>]) -> Result<Overlay<'a>, RequestError> {
        let part = RequestPart::Entities;
        check_limit(
            &self.reading.limits,
            Limit::OverlayEntities,
            entities.len(),
            part,
        )?;
        let bounds = Bounds::attributes(&self.reading.limits);
        let mut overlay = Vec::with_capacity_in(entities.len(), self.arena);
        for entity in entities {
            let of = |error: RequestError| error.within(entity.uid);
            let uid = self.uid(entity.uid, part).map_err(of)?;
            let mut parents = Vec::with_capacity_in(entity.parents.len(), self.arena);
            for parent in entity.parents {
                // The rule of Cedar's JSON, wherever entities come from.
                if is_action_type(entity.uid.type_name()) && !is_action_type(parent.type_name()) {
                    let message = "the parents of an action must be actions";
                    return Err(of(RequestError::new(part, message)));
                }
                parents.push(self.uid(*parent, part).map_err(of)?);
            }
            let mut record = |record: Option<Typed<'_>>| match record {
                None => Ok(Record::Built(&(&[] as &[_]))),
                Some(record) => self.typed(record.0, Fields::All, bounds, part).map_err(of),
            };
            overlay.push(OverlayEntity {
                uid,
                attrs: record(entity.attrs)?,
                tags: record(entity.tags)?,
                parents: parents.into_bump_slice(),
            });
        }
        self.overlay(overlay)
    }

    fn entities_json(
        &mut self,
        text: &str,
        schema: Option<&SchemaModel>,
    ) -> Result<Overlay<'a>, RequestError> {
        let part = RequestPart::Entities;
        let limits = &self.reading.limits;
        check_limit(limits, Limit::InputBytes, text.len(), part)?;
        let text: &'a str = self.arena.alloc_str(text);
        // Array, entity, attributes: what the limit on an attribute's depth does not count.
        let mut reader = ArrayReader::new(text, limits.attribute_depth().saturating_add(3));
        let mut overlay = Vec::new_in(self.arena);
        while let Some(json) = reader
            .next(self.arena)
            .map_err(|error| json_error(error, text, part, limits))?
        {
            let number = overlay.len() + 1;
            check_limit(limits, Limit::OverlayEntities, number, part)?;
            let json = self.arena.alloc(json);
            let entity =
                json::read_entity(self.arena, json, schema, &mut self.names).map_err(|error| {
                    match json::uid_of_entity(json) {
                        Some(uid) => RequestError::new(part, error).within(uid.into()),
                        None => {
                            RequestError::new(part, format_args!("entity number {number}: {error}"))
                        }
                    }
                })?;
            let of = |error: RequestError| match json::uid_of_entity(json) {
                Some(uid) => error.within(uid.into()),
                None => error,
            };
            for record in [entity.attrs, entity.tags] {
                Bounds::attributes(limits)
                    .check(record)
                    .map_err(|exceeded| of(RequestError::limit_of(part, exceeded)))?;
            }
            overlay.push(OverlayEntity {
                uid: entity.uid,
                attrs: entity.attrs,
                tags: entity.tags,
                parents: entity.parents,
            });
        }
        self.overlay(overlay)
    }

    fn overlay(
        &mut self,
        entities: Vec<'a, OverlayEntity<'a>>,
    ) -> Result<Overlay<'a>, RequestError> {
        Overlay::new(entities).map_err(|uid| {
            let names = RequestNames {
                shared: self.names.shared,
                locals: self.names.locals,
            };
            RequestError::new(RequestPart::Entities, "is given twice; give it once")
                .within(names.uid_text(uid).into())
        })
    }
}

/// The request has the field that the authorizer puts the time in. It is refused and not written over: whoever gave it
/// believes that it counts.
#[cold]
pub(crate) fn time_is_taken(name: &str) -> RequestError {
    RequestError::new(
        RequestPart::Context,
        format_args!(
            "`{}` is given, and the authorizer sets it to the time; leave it out",
            name.escape_debug()
        ),
    )
}

/// An overlay must be what an upsert would accept.
fn validate_overlay(
    overlay: &Overlay<'_>,
    epoch: &Epoch,
    names: RequestNames<'_>,
) -> Result<(), RequestError> {
    for entity in overlay.entities() {
        epoch.check_entity(entity, names).map_err(|mismatch| {
            RequestError::new(RequestPart::Entities, mismatch).within(names.entity(entity.uid))
        })?;
    }
    Ok(())
}

fn refuse_cycles(
    overlay: &Overlay<'_>,
    epoch: &Epoch,
    names: RequestNames<'_>,
    arena: &Bump,
) -> Result<(), RequestError> {
    match overlay.cycle(arena, &epoch.snapshot) {
        None => Ok(()),
        Some(uid) => Err(RequestError::new(
            RequestPart::Entities,
            "is its own ancestor; the hierarchy must not have cycles",
        )
        .within(names.uid_text(uid).into())),
    }
}

fn check_limit(
    limits: &Limits,
    limit: Limit,
    found: usize,
    part: RequestPart,
) -> Result<(), RequestError> {
    limits
        .check(limit, found)
        .map_err(|exceeded| RequestError::limit_of(part, exceeded))
}

#[cold]
fn json_error(
    error: json::JsonError,
    text: &str,
    part: RequestPart,
    limits: &Limits,
) -> RequestError {
    if error.kind == JsonErrorKind::TooDeep {
        let limit = match part {
            RequestPart::Entities => Limit::AttributeDepth,
            _ => Limit::ContextDepth,
        };
        return RequestError::limit_of(part, limits.exceeded(limit));
    }
    RequestError::new(part, format_args!("{}: {error}", error.position(text)))
}

impl From<TableFull> for RequestError {
    fn from(full: TableFull) -> Self {
        Self::new(RequestPart::Request, full)
    }
}
