//! The evaluator of one request on one epoch: what it reads. Which policies match is found in `matching`, conditions
//! are evaluated in `condition`.

use std::cell::{Cell, RefCell};

use bumpalo::Bump;

use crate::entity::{Ancestors, EntityData, Snapshot};
use crate::epoch::{Epoch, Linked, Segment, Step};
use crate::id::{Sym, Uid};
use crate::program::{Dead, Node, Program};
use crate::request::locals::RequestNames;
use crate::request::overlay::Overlay;
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

/// A request's principal, action or resource, with what the store has of it looked up once.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) uid: Uid,
    pub(super) facts: Option<Facts<'a>>,
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

impl<'a> Machine<'a> {
    #[inline]
    pub(crate) fn new(
        epoch: &'a Epoch,
        names: RequestNames<'a>,
        request: Resolved<'a>,
        arena: &'a Bump,
    ) -> Self {
        let segment = &epoch.segments[0];
        let snapshot = &epoch.snapshot;
        let stored = |uid| {
            let stored = snapshot.entity(uid);
            Side {
                uid,
                facts: stored.map(Facts::stored),
                ancestors: stored
                    .map_or_else(Ancestors::default, |data| snapshot.ancestors(arena, data)),
            }
        };
        let mut machine = Self {
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
            principal: stored(request.principal),
            resource: stored(request.resource),
            action: stored(request.action),
            context: request.context,
            variables: [None; 4],
            overlay: request.overlay,
            arena,
            computed: RefCell::new(Computed::new_in(arena)),
            raised: Cell::new(Raise::NONE),
            shared: Cell::new(None),
        };
        if !machine.overlay.is_empty() {
            machine.principal = machine.overlaid_side(request.principal);
            machine.resource = machine.overlaid_side(request.resource);
            machine.action = machine.overlaid_side(request.action);
        }
        let attrs = |side: &Side<'a>| side.facts.map(|facts| facts.attrs);
        machine.variables = [
            attrs(&machine.principal),
            attrs(&machine.action),
            attrs(&machine.resource),
            Some(machine.context),
        ];
        machine
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

    #[cold]
    fn overlaid_side(&self, uid: Uid) -> Side<'a> {
        Side {
            uid,
            facts: self.stored_or_overlaid(uid),
            ancestors: self.look_up_ancestors(uid),
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
        self.look_up_ancestors(uid).merged(self.arena)
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
        let ancestors = match stored {
            Some(data) if overlay.is_empty() => self.snapshot.ancestors(self.arena, data),
            _ => Ancestors::of(overlay.ancestors(
                self.arena,
                uid,
                |uid| self.snapshot.entity(uid).map(EntityData::parents),
                |uid| self.snapshot.closure(uid),
            )),
        };
        self.computed.borrow_mut().insert(uid, ancestors);
        ancestors
    }

    #[inline]
    pub(super) fn facts(&self, uid: Uid) -> Option<Facts<'a>> {
        if uid == self.principal.uid {
            self.principal.facts
        } else if uid == self.resource.uid {
            self.resource.facts
        } else {
            self.stored_or_overlaid(uid)
        }
    }

    fn stored_or_overlaid(&self, uid: Uid) -> Option<Facts<'a>> {
        if !self.overlay.is_empty()
            && let Some(entity) = self.overlay.get(uid)
        {
            return Some(Facts {
                attrs: entity.attrs,
                tags: entity.tags,
            });
        }
        self.snapshot.entity(uid).map(Facts::stored)
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
    let last = set.len().checked_sub(1).and_then(|last| set.get(last));
    for end in [set.get(0), last].into_iter().flatten() {
        end.as_entity()?;
    }
    let within = |item: Value<'_>| match item {
        Value::Entity(above) => uid == above.uid() || ancestors.contains(above.uid()),
        _ => false,
    };
    Ok(match set {
        // Whichever of the two lists is longer is searched, the other is walked.
        _ if set.len() > ancestors.at_most().max(8) => {
            set.contains(uid.into()) || ancestors.any(|above| set.contains(above.into()))
        }
        Set::Stored(set) => set.items().iter().any(|item| within(item.value())),
        Set::Built(items) => items.iter().any(|item| within(*item)),
    })
}
