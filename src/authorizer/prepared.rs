//! A request that was read once.

use bumpalo::Bump;

use crate::entity::NamesMark;
use crate::epoch::{Asked, Epoch, Line};
use crate::eval::{Reading, Resolved, resolve, time_is_taken};
use crate::ext::Datetime;
use crate::id::{EntityUid, Sym, Uid};
use crate::names::Names;
use crate::request::locals::{Locals, RequestInterner, RequestNames};
use crate::request::overlay::Overlay;
use crate::request::{ContextSource, EntitySource, Now, Request, RequestError, RequestPart};
use crate::value::arena::Intern;
use crate::value::stored::ByText;
use crate::value::{Bounds, Record, Stored, StoredRecord};

use super::Authorizer;

/// A request whose uids are looked up and whose context is copied: what repeats is decided fastest this way.
///
/// Made by [`Authorizer::prepare`]; decided by [`Authorizer::is_authorized_prepared`] or a
/// [`Session`](super::Session). When policies or entities have been replaced, the first decision after that
/// looks everything up again (and may allocate); the others do not. Another authorizer may decide it too, and looks
/// everything up again as well.
#[derive(Debug)]
pub struct PreparedRequest {
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    request_id: Option<String>,
    trace: Option<(String, String)>,
    /// The context in a numbering of its own, from which each epoch's is made.
    names: Names,
    context: StoredRecord,
    current: Current,
}

/// The request in the numbers of one epoch.
#[derive(Debug)]
struct Current {
    numbers: Numbers,
    mark: NamesMark,
    context: StoredRecord,
    /// Where in the context the time is, if the authorizer puts it there.
    time: Option<Sym>,
    locals: Locals,
}

/// What every decision reads of it, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Numbers {
    /// Whose epoch it is.
    line: Line,
    /// 0 before the first.
    epoch: u64,
    uids: [Uid; 3],
}

const _: () = assert!(size_of::<Numbers>() == 32);

impl PreparedRequest {
    pub(super) fn new(
        authorizer: &Authorizer,
        epoch: &Epoch,
        request: &Request<'_>,
    ) -> Result<Self, RequestError> {
        if !matches!(request.entities, EntitySource::None) {
            return Err(RequestError::new(
                RequestPart::Entities,
                "cannot be prepared; decide the request as it is",
            ));
        }
        if request.delegation.is_some() {
            return Err(RequestError::new(
                RequestPart::Delegation,
                "cannot be prepared; decide the request as it is",
            ));
        }
        let settings = &authorizer.inner.settings;
        // Everything is copied: what the policies of a later epoch can observe is not known yet.
        // It is validated below, when the time is in the context.
        let reading = Reading {
            keep_inputs: true,
            validate: false,
            ..settings.reading.clone()
        };
        let arena = Bump::new();
        let mut locals = Locals::default();
        let resolved = resolve(epoch, request, &reading, &arena, &mut locals)?;
        let mut names = Names::new();
        let mut by_text = ByText {
            from: RequestNames {
                shared: &epoch.snapshot.names,
                locals: &locals,
            },
            to: &mut names,
        };
        let context = StoredRecord::copy_of(resolved.context, &mut by_text)?;
        let mut prepared = Self {
            principal: request.principal().to_owned(),
            action: request.action().to_owned(),
            resource: request.resource().to_owned(),
            request_id: request.id().map(str::to_owned),
            trace: request
                .trace_ids()
                .map(|ids| (ids.trace_id().to_owned(), ids.span_id().to_owned())),
            names,
            context,
            current: Current {
                numbers: Numbers {
                    line: authorizer.inner.published.line(),
                    epoch: 0,
                    uids: [resolved.principal; 3],
                },
                mark: NamesMark::default(),
                context: StoredRecord::default(),
                time: None,
                locals: Locals::default(),
            },
        };
        prepared.look_up(epoch, authorizer.inner.published.line(), &settings.reading)?;
        prepared.set_time(authorizer.now_asked()?);
        Ok(prepared)
    }

    /// The request as it was given, without its context: that is copied.
    pub(super) fn as_request(&self) -> Request<'_> {
        let mut request = Request::new(&self.principal, &self.action, &self.resource);
        request.context = ContextSource::Empty;
        if let Some(id) = &self.request_id {
            request = request.request_id(id);
        }
        if let Some((trace, span)) = &self.trace {
            request = request.trace(trace, span);
        }
        request
    }

    /// Whether the request has been looked up in `epoch`.
    #[inline]
    pub(super) fn is_fresh(&self, epoch: &Epoch, line: Line) -> bool {
        let numbers = &self.current.numbers;
        numbers.line == line && numbers.epoch == epoch.version.epoch()
    }

    /// Looks everything up in `epoch`, unless that was done. An authorizer other than the one that prepared the request
    /// gives other numbers to its names.
    #[inline]
    pub(super) fn refresh(
        &mut self,
        epoch: &Epoch,
        line: Line,
        reading: &Reading,
    ) -> Result<(), RequestError> {
        if self.is_fresh(epoch, line) {
            return Ok(());
        }
        if self.current.numbers.line != line {
            return self.look_up(epoch, line, reading);
        }
        // Other entities, or other policies, by the same numbers: what was known then has its number still, and what
        // was not may have got one if there are more names.
        let mark = epoch.snapshot.names_mark();
        // An epoch that was pinned a while ago may lack names that have numbers here.
        let later = self.current.numbers.epoch < epoch.version.epoch();
        let same = mark == self.current.mark
            || (later
                && mark.numbering == self.current.mark.numbering
                && self.current.locals.are_unknown_to(&epoch.snapshot.names));
        if same {
            self.current.numbers.epoch = epoch.version.epoch();
            self.current.mark = mark;
            return Ok(());
        }
        self.look_up(epoch, line, reading)
    }

    #[cold]
    fn look_up(
        &mut self,
        epoch: &Epoch,
        line: Line,
        reading: &Reading,
    ) -> Result<(), RequestError> {
        let mut locals = Locals::default();
        let mut interner = RequestInterner {
            shared: &epoch.snapshot.names,
            locals: &mut locals,
        };
        let mut uid = |uid: &EntityUid| interner.uid(uid.type_name(), uid.id());
        let uids = [
            uid(&self.principal)?,
            uid(&self.action)?,
            uid(&self.resource)?,
        ];
        let mut by_text = ByText {
            from: &self.names,
            to: &mut interner,
        };
        let mut context = StoredRecord::copy_of(Record::Stored(&self.context), &mut by_text)?;
        // Another authorizer has limits of its own.
        Bounds::context(&reading.limits)
            .check(Record::Stored(&context))
            .map_err(|exceeded| RequestError::limit_of(RequestPart::Context, exceeded))?;
        let mut time = None;
        if let Some(name) = &reading.context_time {
            let key = interner.sym(name)?;
            if context.get(key).is_some() {
                return Err(time_is_taken(name));
            }
            let fields = (0..context.keys().len()).filter_map(|at| context.entry(at));
            let mut fields: Vec<(Sym, Stored)> =
                fields.map(|(key, value)| (key, value.clone())).collect();
            fields.push((key, Stored::Datetime(Datetime::from_millis(0))));
            context = StoredRecord::new(fields);
            time = Some(key);
        }
        if reading.validate {
            let [principal, action, resource] = uids;
            let asked = Asked {
                principal,
                action,
                resource,
                context: Record::Stored(&context),
            };
            let names = RequestNames {
                shared: &epoch.snapshot.names,
                locals: &locals,
            };
            epoch
                .check_request(asked, names)
                .map_err(|mismatch| RequestError::new(RequestPart::Request, mismatch))?;
        }
        self.current = Current {
            numbers: Numbers {
                line,
                epoch: epoch.version.epoch(),
                uids,
            },
            mark: epoch.snapshot.names_mark(),
            context,
            time,
            locals,
        };
        Ok(())
    }

    /// Sets the time, if it is in the context.
    #[inline]
    pub(super) fn set_time(&mut self, now: Option<Now<'_>>) {
        if let (Some(key), Some(now)) = (self.current.time, now) {
            let time = Stored::Datetime(now.time);
            self.current.context.replace(key, time);
        }
    }

    /// The request in the numbers of `epoch`, for which it has been refreshed.
    #[inline]
    pub(super) fn resolved<'a>(&'a self, epoch: &'a Epoch) -> (Resolved<'a>, RequestNames<'a>) {
        let [principal, action, resource] = self.current.numbers.uids;
        let resolved = Resolved {
            principal,
            action,
            resource,
            context: Record::Stored(&self.current.context),
            overlay: Overlay::default(),
        };
        let names = RequestNames {
            shared: &epoch.snapshot.names,
            locals: &self.current.locals,
        };
        (resolved, names)
    }
}
