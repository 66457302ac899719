//! Epochs: the policies and entities that are in force together.
//!
//! A decision pins one epoch at its start and reads nothing else; publishing swaps the whole epoch at once.
//! All that threads share while they decide is here; the authorizer adds one counter, of lost records, and sinks what they
//! need.

mod changes;
mod index;
mod keys;
mod link;
mod numbered;
mod publish;
mod shadow;
mod sides;
mod stamps;
mod steps;
mod sync;
#[cfg(test)]
mod tests;
mod values;
mod version;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};

use crate::decision::Effect;
use crate::entity::{Altered, Children, Draft, Drafted, EntityChange, Snapshot};
use crate::id::EntityUid;
use crate::limits::Limits;
use crate::program::{ContextUse, Dead, Program, ProgramSet};
use crate::request::locals::RequestNames;
use crate::request::overlay::OverlayEntity;
use crate::schema::{EntityMismatch, RequestMismatch, SchemaModel, check, is_action_type};
use crate::value::arena::{NameText, TableFull};

use changes::Latest;
use index::ActionMembers;
pub(crate) use index::{Class, Entry, Filed, Index, Left, Side as IndexSide, What};
pub(crate) use keys::{Facet, Key, Marks, Watched};
pub(crate) use link::{ActionTest, Indexing, Linked, Row, ScopeTest};
pub(crate) use numbered::{Asked, NumberedSchema};
use publish::Publication;
pub(crate) use shadow::{Compared, Shadow, ShadowParts, Tally};
pub(crate) use stamps::{Stamps, Updated};
pub(crate) use steps::{Comparison, FAILS, Operand, Step, Test as StepTest};
pub(crate) use values::{Beginning, Branch, Errors, Failed, Table, Test, ValueIndex};
pub use version::{Version, VersionDigest, VersionDigestError};
pub(crate) use version::{hex, unhex};

/// Policies, schema and entities that are in force together. Immutable.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) policies: ProgramSet,
    /// The policies, linked: at least one segment, in the order of the policies.
    pub(crate) segments: Vec<Segment>,
    pub(crate) snapshot: Snapshot,
    pub(crate) schema: Option<Arc<SchemaModel>>,
    /// The same, linked to the entities, where requests are validated.
    numbered: Option<Arc<NumberedSchema>>,
    pub(crate) version: Version,
    /// `None` where ages are not kept.
    pub(crate) stamps: Option<Stamps>,
    /// Policies that are tried out beside these, if there are any.
    pub(crate) shadow: Option<Shadow>,
    pub(crate) indexing: Indexing,
}

/// A program of the policies in force and its link to the entities.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) program: Arc<Program>,
    pub(crate) linked: Arc<Linked>,
    /// The number of its first policy in answers.
    pub(crate) first: u32,
    /// Policies that are in the program and no more in force.
    pub(crate) dead: Dead,
}

impl Epoch {
    /// The policies in force, by their numbers in answers.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().flat_map(|segment| {
            let numbers = (0..).take(segment.program.policies.len());
            let alive = numbers.filter(|number| !segment.dead.contains(*number));
            alive.map(|number| segment.first + number)
        })
    }
}

/// Links that still hold, as the snapshot has the names and the actions that they were made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    segments: Vec<Segment>,
    schema: Option<Arc<NumberedSchema>>,
}

/// What the next epoch is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) policies: ProgramSet,
    /// Those of the last epoch if only policies have changed since, none if the entities have.
    pub(crate) links: Links,
    pub(crate) snapshot: Snapshot,
    pub(crate) schema: Option<Arc<SchemaModel>>,
    pub(crate) entity_revision: u64,
    pub(crate) stamps: Option<Stamps>,
    pub(crate) indexing: Indexing,
    pub(crate) shadow: Option<ShadowParts>,
}

impl Epoch {
    /// Links what is not linked yet. Names that a program mentions and the entities do not are added to a copy of
    /// the snapshot's table; the entities themselves are shared.
    pub(crate) fn new(parts: Parts, number: u64) -> Result<Self, TableFull> {
        let Parts {
            policies,
            links,
            mut snapshot,
            schema,
            entity_revision,
            stamps,
            indexing,
            shadow,
        } = parts;
        let linked = &links.segments;
        // Found by a walk over all entities, which a change of a few policies must not cost.
        let members = match linked.first() {
            Some(known) => Arc::clone(&known.linked.members),
            None => Arc::new(ActionMembers::new(&snapshot)),
        };
        let segments = link_all(&policies, linked, &members, indexing, &mut snapshot)?;
        // Before the snapshot is shared, so that it has the names of both.
        let beside = match &shadow {
            Some(shadow) => link_all(&shadow.policies, linked, &members, indexing, &mut snapshot)?,
            None => Vec::new(),
        };
        let numbered = match (&schema, links.schema) {
            (Some(schema), None) if indexing.schema => {
                let names = Arc::make_mut(&mut snapshot.names);
                Some(Arc::new(NumberedSchema::new(schema, names)?))
            }
            (_, known) => known,
        };
        snapshot.begin(number);
        let epoch = |policies: ProgramSet, segments, snapshot, shadow| Self {
            version: Version {
                epoch: number,
                entity_revision,
                policies: policies.digest().into(),
                schema: schema.as_ref().map(|schema| schema.digest().into()),
            },
            policies,
            segments,
            snapshot,
            schema: schema.clone(),
            numbered: numbered.clone(),
            stamps: stamps.clone(),
            shadow,
            indexing,
        };
        let shadow = shadow.map(|shadow| Shadow {
            epoch: Arc::new(epoch(shadow.policies, beside, snapshot.clone(), None)),
            tally: shadow.tally,
        });
        Ok(epoch(policies, segments, snapshot, shadow))
    }

    /// The same policies on other entities, without schema, ages and shadow.
    pub(crate) fn alone_on(&self, snapshot: Snapshot) -> Result<Self, TableFull> {
        let parts = Parts {
            schema: None,
            stamps: None,
            shadow: None,
            ..self.relinked(snapshot)
        };
        Self::new(parts, 1)
    }

    /// What the policies can observe of a context, those of the shadow included.
    #[inline]
    pub(crate) fn context(&self) -> ContextUse {
        match &self.shadow {
            Some(shadow) if self.policies.context() != ContextUse::Whole => {
                shadow.epoch.policies.context()
            }
            _ => self.policies.context(),
        }
    }

    /// All links there are, of the shadow's policies too.
    pub(crate) fn links(&self) -> Links {
        let beside = self.shadow.iter().flat_map(|shadow| &shadow.epoch.segments);
        Links {
            segments: self.segments.iter().chain(beside).cloned().collect(),
            schema: self.numbered.clone(),
        }
    }

    /// Whether the schema, if there is one, accepts a request.
    pub(crate) fn check_request(
        &self,
        asked: Asked<'_>,
        names: RequestNames<'_>,
    ) -> Result<(), RequestMismatch> {
        let Some(schema) = &self.schema else {
            return Ok(());
        };
        if let Some(numbered) = &self.numbered
            && numbered.accepts_request(asked, names)
        {
            return Ok(());
        }
        check::check_request(
            schema,
            names.entity(asked.principal),
            names.entity(asked.action),
            names.entity(asked.resource),
            asked.context,
            &names,
        )
    }

    /// Whether the schema, if there is one, accepts an entity of a request as it would an upsert: Cedar checks that before it
    /// closes the hierarchy, its direct parents only.
    pub(crate) fn check_entity(
        &self,
        given: &OverlayEntity<'_>,
        names: RequestNames<'_>,
    ) -> Result<(), EntityMismatch> {
        let Some(schema) = &self.schema else {
            return Ok(());
        };
        if let Some(numbered) = &self.numbered
            && numbered.accepts_entity(given, names)
        {
            return Ok(());
        }
        check::check_entity(
            schema,
            names.entity(given.uid),
            given.attrs,
            Some(given.tags),
            given.parents.iter().copied(),
            &names,
        )
    }

    /// This epoch with new numbers for everything, free of names that nothing mentions.
    fn renumbered(&self) -> Result<Self, TableFull> {
        let parts = self.relinked(self.snapshot.renumbered()?);
        Self::new(parts, self.version.epoch)
    }

    /// The next epoch, with changed entities that are numbered as these are: the policies stay linked. What is above
    /// actions is part of the index; with `relink` it is made anew.
    fn with_entities(
        &self,
        snapshot: Snapshot,
        relink: bool,
        stamps: Option<Stamps>,
    ) -> Result<Self, TableFull> {
        let (epoch, entity_revision) = (self.version.epoch + 1, self.version.entity_revision + 1);
        if relink {
            let parts = Parts {
                entity_revision,
                stamps,
                ..self.relinked(snapshot)
            };
            return Self::new(parts, epoch);
        }
        let on = |of: &Self, snapshot, shadow| Self {
            version: Version {
                epoch,
                entity_revision,
                ..of.version
            },
            policies: of.policies.clone(),
            segments: of.segments.clone(),
            snapshot,
            schema: of.schema.clone(),
            numbered: of.numbered.clone(),
            stamps: stamps.clone(),
            shadow,
            indexing: of.indexing,
        };
        let shadow = self.shadow.as_ref().map(|shadow| Shadow {
            epoch: Arc::new(on(&shadow.epoch, snapshot.clone(), None)),
            tally: Arc::clone(&shadow.tally),
        });
        Ok(on(self, snapshot, shadow))
    }

    /// The same policies, to be linked to other entities.
    fn relinked(&self, snapshot: Snapshot) -> Parts {
        Parts {
            policies: self.policies.clone(),
            links: Links::default(),
            snapshot,
            schema: self.schema.clone(),
            entity_revision: self.version.entity_revision,
            stamps: self.stamps.clone(),
            indexing: self.indexing,
            shadow: self.shadow.as_ref().map(Shadow::parts),
        }
    }

    /// The number in answers of the policy in force with this id.
    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.segments.iter().find_map(|segment| {
            let number = segment.program.find(id)?;
            (!segment.dead.contains(number)).then_some(segment.first + number)
        })
    }

    /// The segment of a policy by its number in answers, and its number there. Numbers come from the epoch itself.
    #[inline]
    pub(crate) fn policy(&self, number: u32) -> (&Segment, u32) {
        let behind = self
            .segments
            .partition_point(|segment| segment.first <= number);
        let segment = &self.segments[behind.saturating_sub(1)];
        (segment, number - segment.first)
    }

    /// Whether a policy permits or forbids.
    #[inline]
    pub(crate) fn effect(&self, policy: u32) -> Effect {
        let (segment, number) = self.policy(policy);
        let row = segment.linked.rows.get(number as usize);
        row.map_or(Effect::Forbid, |row| row.effect)
    }
}

/// Links those of the policies that are not linked yet.
fn link_all(
    policies: &ProgramSet,
    linked: &[Segment],
    members: &Arc<ActionMembers>,
    indexing: Indexing,
    snapshot: &mut Snapshot,
) -> Result<Vec<Segment>, TableFull> {
    let mut segments: Vec<Segment> = Vec::with_capacity(policies.layers().len());
    let mut first = 0;
    for layer in policies.layers() {
        let program = &layer.program;
        let mut known = linked.iter();
        let linked = match known.find(|known| Arc::ptr_eq(&known.program, program)) {
            Some(known) => Arc::clone(&known.linked),
            None => Arc::new(link::link(
                program,
                snapshot,
                indexing,
                members,
                segments.is_empty(),
            )?),
        };
        segments.push(Segment {
            program: Arc::clone(program),
            linked,
            first,
            dead: layer.dead.clone(),
        });
        let len = u32::try_from(program.policies.len()).map_err(|_| TableFull)?;
        first = first.checked_add(len).ok_or(TableFull)?;
    }
    Ok(segments)
}

/// The epoch in force, and what its writers keep.
#[derive(Debug)]
pub(crate) struct Published {
    line: Line,
    latest: Latest,
    /// What has changed since when, once somebody wants to know.
    watched: OnceLock<Watched>,
    cell: Publication<Epoch, Option<Children>>,
}

/// Who is below whom in the entities in force. Made at the first update of entities, and dropped when they are
/// replaced.
type Turn<'p> = publish::Turn<'p, Epoch, Option<Children>>;

impl Published {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            line: Line::new(),
            latest: Latest::new(epoch.version.epoch),
            watched: OnceLock::new(),
            cell: Publication::new(epoch, None),
        }
    }

    /// Which authorizer's epochs these are.
    pub(crate) fn line(&self) -> Line {
        self.line
    }

    /// Pins the epoch in force: wait-free, whatever writers do.
    #[inline]
    pub(crate) fn pin(&self) -> Guard<Arc<Epoch>> {
        self.cell.pin()
    }

    pub(crate) fn load_full(&self) -> Arc<Epoch> {
        self.cell.load_full()
    }

    /// The swap itself, for sessions that keep the epoch between calls.
    pub(crate) fn current(&self) -> &ArcSwap<Epoch> {
        self.cell.current()
    }

    /// The number of the newest epoch, and with it all stamps of the epochs up to it: one load.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        self.latest.load()
    }

    /// What has changed since when. The first to ask waits for a writer's turn.
    pub(crate) fn watch(&self) -> &Watched {
        self.watched.get().unwrap_or_else(|| {
            // Within a turn: what is published later is stamped, and what is pinned later is no older.
            let _turn = self.cell.turn();
            self.watched.get_or_init(Watched::new)
        })
    }

    /// Replaces the epoch by what `next` makes of it, and says what that changes. Writers queue up; readers never wait.
    /// When `next` fails, the epoch stays. `next` is told whether anybody wants to know what changes.
    pub(crate) fn replace<E>(
        &self,
        next: impl FnOnce(&Epoch, Option<&Watched>) -> Result<(Epoch, Marks), E>,
    ) -> Result<(Version, Marks), E> {
        let mut turn = self.cell.turn();
        let current = turn.current();
        let (new, marks) = next(&current, self.watched.get())?;
        if !new.snapshot.has_entities_of(&current.snapshot) {
            *turn.state() = None;
        }
        drop(current);
        Ok((self.publish(&mut turn, new, &marks), marks))
    }

    /// Changes entities: `change` makes a draft of the next snapshot. When it fails, or when the draft changes
    /// nothing, the epoch stays.
    ///
    /// Costs what the change costs; only the first update after all entities were replaced looks at all of them.
    pub(crate) fn update_entities<E: From<TableFull>>(
        &self,
        limits: &Limits,
        updated: Option<Updated>,
        change: impl FnOnce(&Epoch, Draft<'_>) -> Result<Drafted, E>,
    ) -> Result<EntitiesChanged, E> {
        let mut turn = self.cell.turn();
        let current = turn.current();
        // Taken out, so that a panic leaves none behind and not one that is half changed.
        let mut children = match turn.state().take() {
            Some(children) => children,
            None => Children::of(&current.snapshot),
        };
        let draft = Draft::new(&current.snapshot, &mut children, limits);
        let next = change(&current, draft).and_then(|drafted| {
            let changes = drafted.named_changes();
            let unchanged = |(_, change): &(_, EntityChange)| *change == EntityChange::Unchanged;
            let stamps = current.stamps.as_ref().zip(updated);
            if changes.iter().all(unchanged) {
                if let Some((stamps, updated)) = stamps {
                    stamps.note(updated, &changes);
                }
                return Ok((None, changes));
            }
            let relink = changes
                .iter()
                .any(|(uid, _)| is_action_type(uid.type_name()));
            let stamps = stamps.map(|(stamps, updated)| stamps.after(updated, &changes));
            let marks = marks(&drafted, self.watched.get());
            let next = current.with_entities(drafted.snapshot, relink, stamps)?;
            Ok((Some((next, marks)), changes))
        });
        let result = match next {
            Ok((Some((next, marks)), changes)) => {
                children.commit();
                drop(current);
                *turn.state() = Some(children);
                return Ok(EntitiesChanged {
                    version: self.publish(&mut turn, next, &marks),
                    changes,
                    marks: Some(marks),
                });
            }
            Ok((None, changes)) => Ok(EntitiesChanged {
                version: current.version,
                changes,
                marks: None,
            }),
            Err(error) => Err(error),
        };
        children.roll_back();
        *turn.state() = Some(children);
        result
    }

    /// What a writer does first, as if it were not given the processor again before the swap.
    #[cfg(test)]
    pub(crate) fn begin_to_publish(&self) {
        let turn = self.cell.turn();
        let next = turn.current().version.epoch() + 1;
        let stamps = self.watched.get().map(|watched| &watched.stamps);
        self.latest.mark(next, stamps, Marks::Everything.touched());
    }

    /// Calls `note` with the times of the data in force, while no writer can replace it.
    pub(crate) fn with_stamps<R>(&self, note: impl FnOnce(Option<&Stamps>) -> R) -> R {
        let turn = self.cell.turn();
        note(turn.current().stamps.as_ref())
    }

    /// Publishes the epoch as it is, or renumbered when too much of its tables is garbage. The writer pays for that, and
    /// the writers behind it wait; readers go on.
    fn publish(&self, turn: &mut Turn<'_>, mut epoch: Epoch, marks: &Marks) -> Version {
        if epoch.snapshot.is_wasteful() {
            // Smaller tables are not fuller than larger ones; should it be so, the larger ones do.
            if let Ok(renumbered) = epoch.renumbered() {
                *turn.state() = None;
                epoch = renumbered;
            }
        }
        let version = epoch.version;
        // Before the swap: see `changes`.
        let stamps = self.watched.get().map(|watched| &watched.stamps);
        self.latest.mark(version.epoch, stamps, marks.touched());
        // A record of what a shadow decided waits in a queue with the shadow's epoch, not with the one in force.
        let shadow = turn
            .current()
            .shadow
            .as_ref()
            .map(|shadow| Arc::clone(&shadow.epoch));
        turn.publish(epoch, shadow);
        version
    }
}

/// What an update of entities has done.
pub(crate) struct EntitiesChanged {
    pub(crate) version: Version,
    pub(crate) changes: Vec<(EntityUid, EntityChange)>,
    /// `None` when nothing was changed.
    pub(crate) marks: Option<Marks>,
}

/// What an update of entities changes, if anybody wants to know.
fn marks(drafted: &Drafted, watched: Option<&Watched>) -> Marks {
    let mut keys = Vec::new();
    if let Some(watched) = watched {
        let names = &*drafted.snapshot.names;
        drafted.each_altered(|uid, altered| {
            let uid = names.uid_text(uid);
            let mut add = |facet| keys.push(watched.key(uid, facet));
            match altered {
                Altered::Parents => add(Facet::Parents),
                Altered::Attribute(name) => add(Facet::Attribute(names.sym_text(name))),
                Altered::Tag(name) => {
                    add(Facet::Tag(names.sym_text(name)));
                    add(Facet::AnyTag);
                }
            }
        });
        keys.sort_unstable();
        keys.dedup();
    }
    Marks::Keys(keys)
}

/// Tells the epochs of one authorizer from those of all others in the process: their numbers are alike, and what the
/// numbers of names mean is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line(u64);

impl Line {
    fn new() -> Self {
        static LINES: AtomicU64 = AtomicU64::new(0);
        Self(LINES.fetch_add(1, Ordering::Relaxed))
    }
}

/// Numbers for the records of one authorizer.
#[derive(Debug, Default)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// The next number; the first is 1.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
