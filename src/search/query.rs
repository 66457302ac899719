//! What is searched for.

use std::hash::{DefaultHasher, Hash, Hasher};

use bumpalo::Bump;
use serde::Serialize;

use crate::id::EntityUidRef;
use crate::names::Names;
use crate::request::context::Fields;
use crate::request::locals::{Locals, RequestInterner, RequestNames};
use crate::request::{ContextSource, Entity, EntitySource, Request, Typed};
use crate::value::arena::NameText;
use crate::value::{Bounds, Record, Value, View};

use super::cursor::Cursor;

/// A question about the whole store: which principals, actions or resources would be allowed?
///
/// ```
/// use duramen::{Authorizer, Search};
///
/// let authorizer = Authorizer::builder()
///     .policies(r#"permit(principal == User::"alice", action == Action::"view", resource in Album::"summer");"#)
///     .entities(r#"[
///         { "uid": { "type": "Photo", "id": "p1" }, "attrs": {}, "parents": [{ "type": "Album", "id": "summer" }] },
///         { "uid": { "type": "Photo", "id": "p2" }, "attrs": {}, "parents": [] },
///         { "uid": { "type": "Photo", "id": "p3" }, "attrs": {}, "parents": [{ "type": "Album", "id": "summer" }] }
///     ]"#)
///     .build()?;
///
/// let pinned = authorizer.pin();
/// let search = Search::resources(("User", "alice"), ("Action", "view"), "Photo");
/// let photos: Vec<_> = pinned.search(&search)?.map(|photo| photo.id()).collect();
/// assert_eq!(photos, ["p1", "p3"]);
///
/// // A page at a time.
/// let mut first = pinned.search(&search.limit(1))?;
/// assert_eq!(first.by_ref().count(), 1);
/// let cursor = first.cursor().unwrap();
/// let rest = pinned.search(&search.after(&cursor))?;
/// assert_eq!(rest.map(|photo| photo.id()).collect::<Vec<_>>(), ["p3"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) context: ContextSource<'a>,
    pub(crate) entities: EntitySource<'a>,
    pub(crate) limit: usize,
    pub(crate) scan_limit: usize,
    pub(crate) after: Option<&'a Cursor>,
}

/// The open place, and what the others are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Target<'a> {
    Principals {
        type_name: &'a str,
        action: EntityUidRef<'a>,
        resource: EntityUidRef<'a>,
    },
    Actions {
        principal: EntityUidRef<'a>,
        resource: EntityUidRef<'a>,
    },
    Resources {
        principal: EntityUidRef<'a>,
        action: EntityUidRef<'a>,
        type_name: &'a str,
    },
}

impl<'a> Search<'a> {
    fn new(target: Target<'a>) -> Self {
        Self {
            target,
            context: ContextSource::Empty,
            entities: EntitySource::None,
            limit: usize::MAX,
            scan_limit: usize::MAX,
            after: None,
        }
    }

    /// Which stored entities of a type may `principal` do `action` to?
    pub fn resources(
        principal: impl Into<EntityUidRef<'a>>,
        action: impl Into<EntityUidRef<'a>>,
        type_name: &'a str,
    ) -> Self {
        Self::new(Target::Resources {
            principal: principal.into(),
            action: action.into(),
            type_name,
        })
    }

    /// Which stored entities of a type may do `action` to `resource`?
    pub fn principals(
        type_name: &'a str,
        action: impl Into<EntityUidRef<'a>>,
        resource: impl Into<EntityUidRef<'a>>,
    ) -> Self {
        Self::new(Target::Principals {
            type_name,
            action: action.into(),
            resource: resource.into(),
        })
    }

    /// Which actions may `principal` do to `resource`? Asked of the stored actions, the schema's among them, and of those
    /// that scopes of policies name.
    pub fn actions(
        principal: impl Into<EntityUidRef<'a>>,
        resource: impl Into<EntityUidRef<'a>>,
    ) -> Self {
        Self::new(Target::Actions {
            principal: principal.into(),
            resource: resource.into(),
        })
    }

    /// The context, the same for all candidates; as [`Request::context`].
    #[must_use]
    pub fn context<T: Serialize + Sync>(mut self, context: &'a T) -> Self {
        self.context = ContextSource::Typed(context);
        self
    }

    /// The context; as [`Request::context_json`].
    #[must_use]
    pub fn context_json(mut self, context: &'a str) -> Self {
        self.context = ContextSource::Json(context);
        self
    }

    /// Entities for this search alone, over the store; as [`Request::entities`]. They are no candidates unless they are stored
    /// too.
    ///
    /// With any, each candidate is decided for itself, all of them when the search begins: what policies say of a group no
    /// longer goes for all that is below it in the store. Limits bound that.
    #[must_use]
    pub fn entities(mut self, entities: &'a [Entity<'a>]) -> Self {
        self.entities = EntitySource::Typed(entities);
        self
    }

    /// [`Search::entities`], as a JSON array in Cedar's entity format.
    #[must_use]
    pub fn entities_json(mut self, entities: &'a str) -> Self {
        self.entities = EntitySource::Json(entities);
        self
    }

    /// At most so many results. The default is all.
    #[must_use]
    pub fn limit(mut self, results: usize) -> Self {
        self.limit = results;
        self
    }

    /// Looks at no more than so many stored entities, whatever their type: bounds the time that a search with few
    /// results takes. The default is no bound.
    #[must_use]
    pub fn scan_limit(mut self, entities: usize) -> Self {
        self.scan_limit = entities;
        self
    }

    /// Goes on where another search has stopped: the same search (limits may differ) on the same epoch.
    #[must_use]
    pub fn after(mut self, cursor: &'a Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// The request for one candidate.
    pub(crate) fn request(&self, candidate: EntityUidRef<'a>) -> Request<'a> {
        let mut request = match self.target {
            Target::Principals {
                action, resource, ..
            } => Request::new(candidate, action, resource),
            Target::Actions {
                principal,
                resource,
            } => Request::new(principal, candidate, resource),
            Target::Resources {
                principal, action, ..
            } => Request::new(principal, action, candidate),
        };
        request.context = self.context;
        request.entities = self.entities;
        request
    }

    /// Tells this search from others, for cursors.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.target.hash(&mut hasher);
        match self.context {
            ContextSource::Empty => {}
            ContextSource::Json(text) => text.hash(&mut hasher),
            ContextSource::Typed(context) => hash_typed(Typed(context)).hash(&mut hasher),
        }
        match self.entities {
            EntitySource::None => {}
            EntitySource::Json(text) => text.hash(&mut hasher),
            EntitySource::Typed(entities) => {
                for entity in entities {
                    (entity.uid, entity.parents).hash(&mut hasher);
                    entity.attrs.map(hash_typed).hash(&mut hasher);
                    entity.tags.map(hash_typed).hash(&mut hasher);
                }
            }
        }
        hasher.finish()
    }
}

/// Of what cannot be written down nothing: that is an error elsewhere.
fn hash_typed(Typed(typed): Typed<'_>) -> Option<u64> {
    let (arena, nothing, mut locals) = (Bump::new(), Names::new(), Locals::default());
    let mut interner = RequestInterner {
        shared: &nothing,
        locals: &mut locals,
    };
    let record = typed.write(&arena, &mut interner, Fields::All, Bounds::unchecked());
    let names = RequestNames {
        shared: &nothing,
        locals: &locals,
    };
    Some(hash_record(record.ok()?, &names))
}

/// The same for equal records. Sums, because the order of keys and of a set's elements follows numbers that differ
/// from one reading to the next.
fn hash_record(record: Record<'_>, names: &RequestNames<'_>) -> u64 {
    let fields = record.iter().map(|(key, value)| {
        let mut hasher = DefaultHasher::new();
        names.sym_text(key).hash(&mut hasher);
        hash_value(value, names).hash(&mut hasher);
        hasher.finish()
    });
    fields.fold(0, u64::wrapping_add)
}

fn hash_value(value: Value<'_>, names: &RequestNames<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let view = value.view();
    std::mem::discriminant(&view).hash(&mut hasher);
    match view {
        View::Bool(b) => b.hash(&mut hasher),
        View::Long(i) => i.hash(&mut hasher),
        View::String(text) => text.hash(&mut hasher),
        View::Entity(uid) => names.uid_text(uid).hash(&mut hasher),
        View::Set(set) => {
            let items = set.iter().map(|item| hash_value(item, names));
            items.fold(0, u64::wrapping_add).hash(&mut hasher);
        }
        View::Record(record) => hash_record(record, names).hash(&mut hasher),
        View::Decimal(d) => d.hash(&mut hasher),
        View::Datetime(d) => d.hash(&mut hasher),
        View::Duration(d) => d.hash(&mut hasher),
        View::Ip(ip) => ip.hash(&mut hasher),
    }
    hasher.finish()
}
