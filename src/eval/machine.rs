//! The evaluator of one request on one epoch: what it reads. Which policies match is found in `matching`, conditions
//! are evaluated in `condition`.

use std::cell::{Cell, RefCell};

use bumpalo::Bump;

use crate::entity::{Ancestors, EntityData, Snapshot};
use crate::epoch::{Asked, Epoch, Linked, Segment, Step};
use crate::id::{Sym, Uid};
use crate::program::{Dead, Node, Program};
use crate::request::locals::RequestNames;
use crate::request::overlay::{Above, Overlay};
use crate::value::{ErrorKind, Raise, Record, Set, Stored, Value};

use super::computed::Computed;

/// A request in the epoch's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved<'a> {
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    pub(crate) context: Record<'a>,
    pub(crate) overlay: Overlay<'a>,
}

impl<'a> Resolved<'a> {
    /// What a schema has to say something about, but for the entities.
    pub(super) fn asked(&self) -> Asked<'a> {
        Asked {
            principal: self.principal,
            action: self.action,
            resource: self.resource,
            context: self.context,
        }
    }
}

/// Everything that evaluating one request reads.
pub(crate) struct Machine<'a> {
    pub(super) program: &'a Program,
    pub(super) linked: &'a Linked,
    // What nearly every node reads, without the way through `program` and `linked`.
    pub(super) nodes: &'a [Node],
    pub(super) constants: &'a [Stored],
    pub(super) syms: &'a [Sym],
    pub(super) steps: Option<&'a [Step]>,
    /// The number of the program's first policy, and which of its policies are not in force.
    pub(super) first: u32,
    pub(super) dead: &'a Dead,
    pub(super) snapshot: &'a Snapshot,
    pub(super) names: RequestNames<'a>,
    pub(super) principal: Side<'a>,
    pub(super) resource: Side<'a>,
    pub(super) action: Side<'a>,
    pub(super) context: Record<'a>,
    /// What `variable.name` looks in, by variable; `None` for an entity that does not exist.
    pub(super) variables: [Option<Record<'a>>; 4],
    pub(super) overlay: Overlay<'a>,
    pub(super) arena: &'a Bump,
    /// Ancestors that were put together: of groups that have moved, or because the overlay changes them.
    pub(super) computed: RefCell<Computed<'a>>,
    /// The error that was raised last: results carry only the fact (`condition::Raised`).
    pub(super) raised: Cell<Raise>,
    /// Values of shared expressions, once one was met.
    pub(super) shared: Cell<Option<&'a [Cell<Option<Value<'a>>>]>>,
}

/// A request's principal, action or resource, with what is above it looked up once.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) uid: Uid,
    pub(super) ancestors: Ancestors<'a>,
}

/// An entity's attributes and tags.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) attrs: Record<'a>,
    pub(super) tags: Record<'a>,
}

impl<'a> Facts<'a> {
    pub(super) fn stored(data: &'a EntityData) -> Self {
        Self {
            attrs: Record::Stored(data.attrs()),
            tags: Record::Stored(data.tags()),
        }
    }
}

/// A side of a request, and its attributes if it exists.
type SideAndAttrs<'a> = (Side<'a>, Option<Record<'a>>);

impl<'a> Machine<'a> {
    /// Written in one piece, where it is to stand: a machine is half a kilobyte, and to copy one that has just been written
    /// costs more than what is looked up for it.
    #[inline(always)]
    pub(crate) fn new(
        epoch: &'a Epoch,
        names: RequestNames<'a>,
        request: Resolved<'a>,
        arena: &'a Bump,
    ) -> Self {
        let segment = &epoch.segments[0];
        let snapshot = &epoch.snapshot;
        let overlay = request.overlay;
        let side = |uid| match overlay.is_empty() {
            true => stored_side(snapshot, arena, uid),
            false => overlaid_side(snapshot, &overlay, arena, uid),
        };
        let (principal, principal_attrs) = side(request.principal);
        let (action, action_attrs) = side(request.action);
        let (resource, resource_attrs) = side(request.resource);
        Self {
            program: &segment.program,
            linked: &segment.linked,
            nodes: &segment.program.nodes,
            constants: &segment.linked.constants,
            syms: &segment.linked.syms,
            steps: segment.linked.steps.as_deref(),
            first: segment.first,
            dead: &segment.dead,
            snapshot,
            names,
            principal,
            resource,
            action,
            context: request.context,
            variables: [
                principal_attrs,
                action_attrs,
                resource_attrs,
                Some(request.context),
            ],
            overlay,
            arena,
            computed: RefCell::new(Computed::new_in(arena)),
            raised: Cell::new(Raise::NONE),
            shared: Cell::new(None),
        }
    }

    /// Principal, action and resource, but for those that only this request knows.
    pub(crate) fn known_uids(&self) -> [Option<Uid>; 3] {
        [self.principal.uid, self.action.uid, self.resource.uid]
            .map(|uid| (!uid.is_local()).then_some(uid))
    }

    /// The request that the machine evaluates.
    pub(crate) fn request(&self) -> Resolved<'a> {
        Resolved {
            principal: self.principal.uid,
            action: self.action.uid,
            resource: self.resource.uid,
            context: self.context,
            overlay: self.overlay,
        }
    }

    /// The machine for the policies of another segment.
    pub(crate) fn on(&self, segment: &'a Segment) -> Self {
        Self {
            program: &segment.program,
            linked: &segment.linked,
            nodes: &segment.program.nodes,
            constants: &segment.linked.constants,
            syms: &segment.linked.syms,
            steps: segment.linked.steps.as_deref(),
            first: segment.first,
            dead: &segment.dead,
            computed: RefCell::new(Computed::new_in(self.arena)),
            raised: Cell::new(Raise::NONE),
            // Places are numbered by program.
            shared: Cell::new(None),
            ..*self
        }
    }

    #[inline]
    pub(super) fn is_in(&self, value: Value<'a>, above: Value<'a>) -> Result<bool, ErrorKind> {
        let uid = value.as_entity()?;
        match above {
            Value::Entity(above) => {
                let above = above.uid();
                Ok(uid == above || self.ancestors_of(uid).contains(above))
            }
            set => is_in_set(uid, self.ancestors_of(uid), set.as_set()?),
        }
    }

    /// An entity's ancestors; principal's and resource's are at hand.
    #[inline]
    fn ancestors_of(&self, uid: Uid) -> Ancestors<'a> {
        if uid == self.resource.uid {
            self.resource.ancestors
        } else if uid == self.principal.uid {
            self.principal.ancestors
        } else {
            self.look_up_ancestors(uid)
        }
    }

    /// An entity's attributes and tags, if it exists.
    pub(crate) fn entity(&self, uid: Uid) -> Option<(Record<'a>, Record<'a>)> {
        let facts = self.facts(uid)?;
        Some((facts.attrs, facts.tags))
    }

    /// The text of the request's names.
    pub(crate) fn names(&self) -> RequestNames<'a> {
        self.names
    }

    /// An entity's ancestors with the overlay in force, sorted.
    pub(crate) fn ancestors(&self, uid: Uid) -> &'a [Uid] {
        self.ancestors_of(uid).merged(self.arena)
    }

    /// All that is above any of the request's own entities, sorted.
    pub(crate) fn above_overlay(&self) -> &'a [Uid] {
        self.overlay.all_ancestors(self.arena, self.snapshot)
    }

    fn look_up_ancestors(&self, uid: Uid) -> Ancestors<'a> {
        let overlay = &self.overlay;
        let stored = self.snapshot.entity(uid);
        if overlay.is_empty() {
            match stored {
                None => return Ancestors::default(),
                Some(data) if !self.snapshot.has_moved(data) => {
                    return self.snapshot.ancestors(self.arena, data);
                }
                Some(_) => {}
            }
        }
        if let Some(ancestors) = self.computed.borrow().get(uid) {
            return ancestors;
        }
        let ancestors = overlaid_ancestors(self.snapshot, overlay, self.arena, uid);
        self.computed.borrow_mut().insert(uid, ancestors);
        ancestors
    }

    /// An entity's attributes and tags, if it exists.
    #[inline]
    pub(super) fn facts(&self, uid: Uid) -> Option<Facts<'a>> {
        facts(self.snapshot, &self.overlay, uid)
    }
}

#[inline]
fn facts<'a>(snapshot: &'a Snapshot, overlay: &Overlay<'a>, uid: Uid) -> Option<Facts<'a>> {
    if !overlay.is_empty()
        && let Some(entity) = overlay.get(uid)
    {
        return Some(Facts {
            attrs: entity.attrs,
            tags: entity.tags,
        });
    }
    snapshot.entity(uid).map(Facts::stored)
}

#[inline(always)]
fn stored_side<'a>(snapshot: &'a Snapshot, arena: &'a Bump, uid: Uid) -> SideAndAttrs<'a> {
    match snapshot.entity(uid) {
        Some(data) => {
            let ancestors = snapshot.ancestors(arena, data);
            let attrs = Record::Stored(data.attrs());
            (Side { uid, ancestors }, Some(attrs))
        }
        None => {
            let ancestors = Ancestors::default();
            (Side { uid, ancestors }, None)
        }
    }
}

#[cold]
fn overlaid_side<'a>(
    snapshot: &'a Snapshot,
    overlay: &Overlay<'a>,
    arena: &'a Bump,
    uid: Uid,
) -> SideAndAttrs<'a> {
    let ancestors = overlaid_ancestors(snapshot, overlay, arena, uid);
    let attrs = facts(snapshot, overlay, uid).map(|facts| facts.attrs);
    (Side { uid, ancestors }, attrs)
}

/// What is above an entity when the overlay is over the store.
///
/// Most requests bring an entity or two that nothing of this has to do with. To put every list together anew all the same was
/// three quarters of such a decision in `deep-d20` (21,200 instructions, now 7,700).
fn overlaid_ancestors<'a>(
    snapshot: &'a Snapshot,
    overlay: &Overlay<'a>,
    arena: &'a Bump,
    uid: Uid,
) -> Ancestors<'a> {
    let stored = match overlay.get(uid) {
        Some(entity) => snapshot.closures_of_few(arena, entity.parents),
        None => {
            let data = snapshot.entity(uid);
            data.map(|data| snapshot.ancestors(arena, data))
        }
    };
    match stored {
        Some(stored) if !is_overlaid(overlay, stored) => stored,
        _ => Ancestors::of(overlay.ancestors(arena, uid, snapshot)),
    }
}

/// Whether one of the ancestors is in the overlay, so that another one's parents count.
pub(super) fn is_overlaid(overlay: &Overlay<'_>, ancestors: Ancestors<'_>) -> bool {
    let mut entities = overlay.entities().iter();
    entities.any(|entity| ancestors.contains(entity.uid))
}

impl Above for Snapshot {
    fn parents(&self, uid: Uid) -> Option<&[Uid]> {
        self.entity(uid).map(EntityData::parents)
    }

    fn closure(&self, uid: Uid) -> Option<&[Uid]> {
        self.closure(uid)
    }
}

impl Side<'_> {
    #[inline]
    pub(super) fn is_in(&self, above: Uid) -> bool {
        self.uid == above || self.ancestors.contains(above)
    }
}

/// Whether the entity is one of the set's, or below one.
#[inline]
pub(super) fn is_in_set(
    uid: Uid,
    ancestors: Ancestors<'_>,
    set: Set<'_>,
) -> Result<bool, ErrorKind> {
    // Every element must be an entity before any is looked at. Sets are sorted by type first, so the ends
    // tell.
    let (Some(first), Some(last)) = (set.get(0), set.last()) else {
        return Ok(false);
    };
    first.as_entity()?;
    last.as_entity()?;
    let is_or_below = |above| uid == above || ancestors.contains(above);
    Ok(match set {
        // Whichever of the two lists is longer is searched, the other is walked.
        _ if set.len() > 8 && set.len() > ancestors.at_most() => {
            set.contains(uid.into()) || ancestors.any(|above| set.contains(above.into()))
        }
        Set::Stored(set) => set
            .items()
            .iter()
            .any(|item| matches!(item, Stored::Entity(above) if is_or_below(*above))),
        Set::Built(items) => items
            .iter()
            .any(|item| matches!(item, Value::Entity(above) if is_or_below(above.uid()))),
    })
}
