//! The policies in force: a few programs one behind the other, and how they change.
//!
//! A change must cost what changes and not what is there. So nothing is ever changed in a program: what is new
//! goes into a small program behind the others, what is gone is marked dead. There are at most three layers:
//!
//! | layer | policies | when it is written |
//! |---|---|---|
//! | base | any number | once the one above it has outgrown 1,024, or a thirty-second of the base |
//! | middle | up to that | once the tail has outgrown 32 |
//! | tail | up to 32 | at each change |
//!
//! Each change copies the tail, every thirty-second one the middle too, and so on: per change some forty copies of
//! a policy, at about a microsecond each. (Rejected: the logarithmic method with halving sizes, which copies
//! less and leaves a decision ten layers to ask instead of three.) The order of layers is the order in which
//! policies were added, and stays so when layers are joined.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::id::PolicyId;
use crate::value::arena::TableFull;

use super::build::Import;
use super::{ContextUse, Policy, Program, ProgramBuilder, SetDigest, SlotError, Slots};

/// The policies in force and the templates that can be linked.
#[derive(Clone, Debug)]
pub(crate) struct ProgramSet {
    /// At least one.
    layers: Vec<Layer>,
    /// By id. Each in a program of its own, so that it outlives the layer that it came with.
    templates: Arc<[KnownTemplate]>,
    digest: SetDigest,
}

/// One program, and which of its policies are gone.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) program: Arc<Program>,
    pub(crate) dead: Dead,
}

/// Marks of policies that are gone, a bit each; none at all as long as none is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dead {
    bits: Vec<u64>,
    count: usize,
}

#[derive(Clone, Debug)]
struct KnownTemplate {
    id: PolicyId,
    program: Arc<Program>,
    links: usize,
}

/// Why a change is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("there is a policy or template with this id")]
    Taken,
    #[error("there is no such policy")]
    NoPolicy,
    #[error("there is no such template")]
    NoTemplate,
    #[error("is a template link, and not a policy of its own; take it away with `unlink`")]
    IsLink,
    #[error("is a policy of its own, and not a template link; take it away with `remove`")]
    IsStatic,
    #[error("is a template, and not a policy; take it away with `remove_template`")]
    IsTemplate,
    #[error("it is a policy, and not a template")]
    IsPolicy,
    #[error("the template has links; unlink them first")]
    HasLinks,
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error(transparent)]
    Full(#[from] TableFull),
}

/// The tail is written at each change.
const TAIL: usize = 32;

/// The middle is written with every thirty-second change; how large it may be besides in relation to the base.
const MIDDLE: usize = 1024;
const MIDDLE_SHARE: usize = 32;

/// A set of up to so many policies is one program after each change.
const ONE: usize = 256;

impl Dead {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(crate) fn contains(&self, number: u32) -> bool {
        let word = self.bits.get(number as usize / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    fn insert(&mut self, number: u32, of: usize) {
        self.bits.resize(of.div_ceil(64), 0);
        if let Some(word) = self.bits.get_mut(number as usize / 64) {
            self.count += usize::from(*word & (1 << (number % 64)) == 0);
            *word |= 1 << (number % 64);
        }
    }
}

impl Layer {
    fn new(program: Arc<Program>) -> Self {
        Self {
            program,
            dead: Dead::default(),
        }
    }

    fn len(&self) -> usize {
        self.program.policies.len() - self.dead.count
    }

    /// The policies in force.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Policy> {
        let policies = self.program.policies.iter().zip(0..);
        policies.filter_map(|(policy, number)| (!self.dead.contains(number)).then_some(policy))
    }
}

impl ProgramSet {
    /// What was loaded at once.
    pub(crate) fn new(program: Program) -> Result<Self, TableFull> {
        let program = Arc::new(program);
        let mut links = vec![0; program.templates.len()];
        for template in program.policies.iter().filter_map(|policy| policy.template) {
            if let Some(links) = links.get_mut(template as usize) {
                *links += 1;
            }
        }
        let mut templates = Vec::with_capacity(links.len());
        for ((template, number), links) in program.templates.iter().zip(0..).zip(links) {
            templates.push(KnownTemplate {
                id: template.id.clone(),
                program: alone(&program, number)?,
                links,
            });
        }
        templates.sort_by(|a, b| a.id.cmp(&b.id));
        let digest = SetDigest::new(|first, members| {
            let policies = program.with_digest_byte(first).iter();
            members.extend(policies.map(|number| program.policies[*number as usize].digest));
        });
        Ok(Self {
            layers: vec![Layer::new(program)],
            templates: templates.into(),
            digest,
        })
    }

    /// The templates that can be linked, by id, each in a program of its own.
    pub(crate) fn templates(&self) -> impl Iterator<Item = (&PolicyId, &Program)> {
        let templates = self.templates.iter();
        templates.map(|known| (&known.id, &*known.program))
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The digest of the set's meaning: the same for the same policies, however they came to be in force.
    pub(crate) fn digest(&self) -> super::Digest {
        self.digest.root()
    }

    /// How many policies there are, links included.
    pub(crate) fn len(&self) -> usize {
        self.layers.iter().map(Layer::len).sum()
    }

    /// What policies can observe of a context.
    pub(crate) fn context(&self) -> ContextUse {
        let uses = self.layers.iter().map(|layer| layer.program.context);
        uses.max().unwrap_or(ContextUse::Fields)
    }

    /// Begins a change.
    pub(crate) fn change(&self) -> Change<'_> {
        Change {
            base: self,
            dead: self.layers.iter().map(|layer| layer.dead.clone()).collect(),
            new: Vec::new(),
            new_ids: HashMap::new(),
            templates: None,
            leaves: BTreeSet::new(),
        }
    }
}

/// A change of a set: nothing is in force before [`Change::finish`].
pub(crate) struct Change<'s> {
    base: &'s ProgramSet,
    /// By layer.
    dead: Vec<Dead>,
    /// In the order of addition; `None` for what was taken away again.
    new: Vec<Option<NewRow>>,
    new_ids: HashMap<PolicyId, usize>,
    /// `None` as long as they are the same.
    templates: Option<Vec<KnownTemplate>>,
    /// The first bytes of the digests that come and go.
    leaves: BTreeSet<u8>,
}

enum NewRow {
    /// A policy, static, of a program.
    Static(Arc<Program>, u32),
    Link {
        template: Arc<Program>,
        id: PolicyId,
        slots: Slots,
    },
}

impl Change<'_> {
    /// Adds a static policy of `program`.
    pub(crate) fn add(&mut self, program: &Arc<Program>, number: u32) -> Result<(), ChangeError> {
        let policy = program.policies.get(number as usize).ok_or(TableFull)?;
        self.push(
            policy.id.clone(),
            NewRow::Static(Arc::clone(program), number),
        )
    }

    /// Takes a static policy away.
    pub(crate) fn remove(&mut self, id: &PolicyId) -> Result<(), ChangeError> {
        self.take(id, false).map(|_| ())
    }

    /// Adds a template of `program`.
    pub(crate) fn add_template(
        &mut self,
        program: &Arc<Program>,
        number: u32,
    ) -> Result<(), ChangeError> {
        let template = program.templates.get(number as usize).ok_or(TableFull)?;
        let id = template.id.clone();
        if self.is_taken(&id) {
            return Err(ChangeError::Taken);
        }
        let program = alone(program, number)?;
        let templates = self.templates_mut();
        let at = templates.partition_point(|known| known.id < id);
        templates.insert(
            at,
            KnownTemplate {
                id,
                program,
                links: 0,
            },
        );
        Ok(())
    }

    /// Takes away a template, which must not have links.
    pub(crate) fn remove_template(&mut self, id: &PolicyId) -> Result<(), ChangeError> {
        let at = self.template_place(id)?;
        let templates = self.templates_mut();
        if templates.get(at).is_some_and(|known| known.links > 0) {
            return Err(ChangeError::HasLinks);
        }
        templates.remove(at);
        Ok(())
    }

    /// Adds a link.
    pub(crate) fn link(
        &mut self,
        template: &PolicyId,
        id: &PolicyId,
        slots: &Slots,
    ) -> Result<(), ChangeError> {
        let at = self.template_place(template).map_err(|none| {
            let is_policy = self.is_taken(template);
            if is_policy {
                ChangeError::IsPolicy
            } else {
                none
            }
        })?;
        let known = self.templates_mut().get_mut(at);
        let known = known.ok_or(ChangeError::NoTemplate)?;
        known.links += 1;
        let template = Arc::clone(&known.program);
        // Tried now, so that the error is this change's.
        let mut trial = ProgramBuilder::new();
        let number = Import::new(&template, &mut trial).template(0)?;
        trial.link(id.clone(), number, slots)?;
        self.push(
            id.clone(),
            NewRow::Link {
                template,
                id: id.clone(),
                slots: slots.clone(),
            },
        )
    }

    /// Takes a link away.
    pub(crate) fn unlink(&mut self, id: &PolicyId) -> Result<(), ChangeError> {
        let template = self.take(id, true)?.ok_or(ChangeError::IsStatic)?;
        let at = self.template_place(&template)?;
        if let Some(known) = self.templates_mut().get_mut(at) {
            known.links = known.links.saturating_sub(1);
        }
        Ok(())
    }

    /// The template, with this change's in view.
    pub(crate) fn template(&self, id: &PolicyId) -> Option<&Arc<Program>> {
        let at = self.template_place(id).ok()?;
        Some(&self.templates().get(at)?.program)
    }

    fn push(&mut self, id: PolicyId, row: NewRow) -> Result<(), ChangeError> {
        if self.is_taken(&id) {
            return Err(ChangeError::Taken);
        }
        self.new_ids.insert(id, self.new.len());
        self.new.push(Some(row));
        Ok(())
    }

    /// Takes a policy away, a link or not; gives the id of the link's template.
    fn take(&mut self, id: &PolicyId, link: bool) -> Result<Option<PolicyId>, ChangeError> {
        let wrong = if link {
            ChangeError::IsStatic
        } else {
            ChangeError::IsLink
        };
        if let Some(at) = self.new_ids.get(id).copied() {
            let row = self.new.get_mut(at).ok_or(ChangeError::NoPolicy)?;
            if matches!(row, Some(NewRow::Link { .. })) != link {
                return Err(wrong);
            }
            self.new_ids.remove(id);
            return Ok(match row.take() {
                Some(NewRow::Link { template, .. }) => template
                    .templates
                    .first()
                    .map(|template| template.id.clone()),
                _ => None,
            });
        }
        for (layer, dead) in self.base.layers.iter().zip(&mut self.dead) {
            let program = &layer.program;
            let Some(number) = program
                .find(id.as_str())
                .filter(|number| !dead.contains(*number))
            else {
                continue;
            };
            let policy = &program.policies[number as usize];
            if policy.template.is_some() != link {
                return Err(wrong);
            }
            dead.insert(number, program.policies.len());
            self.leaves.insert(policy.digest[0]);
            return Ok(program.template(policy).map(|template| template.id.clone()));
        }
        Err(match self.template_place(id) {
            Ok(_) => ChangeError::IsTemplate,
            Err(_) => ChangeError::NoPolicy,
        })
    }

    fn is_taken(&self, id: &PolicyId) -> bool {
        let mut layers = self.base.layers.iter().zip(&self.dead);
        self.new_ids.contains_key(id)
            || self.template_place(id).is_ok()
            || layers.any(|(layer, dead)| {
                let number = layer.program.find(id.as_str());
                number.is_some_and(|number| !dead.contains(number))
            })
    }

    fn templates(&self) -> &[KnownTemplate] {
        self.templates.as_deref().unwrap_or(&self.base.templates)
    }

    fn templates_mut(&mut self) -> &mut Vec<KnownTemplate> {
        let base = &self.base.templates;
        self.templates.get_or_insert_with(|| base.to_vec())
    }

    fn template_place(&self, id: &PolicyId) -> Result<usize, ChangeError> {
        let templates = self.templates();
        let found = templates.binary_search_by(|known| known.id.cmp(id));
        found.map_err(|_| ChangeError::NoTemplate)
    }

    /// The set with the change. `optimize` is for a program that most policies are in, and that will stay a while.
    pub(crate) fn finish(
        self,
        optimize: impl FnOnce(&mut Program),
    ) -> Result<ProgramSet, TableFull> {
        let mut leaves = self.leaves;
        let mut layers: Vec<Layer> = (self.base.layers.iter().zip(self.dead))
            .map(|(layer, dead)| Layer {
                program: Arc::clone(&layer.program),
                dead,
            })
            .collect();
        let new: Vec<NewRow> = self.new.into_iter().flatten().collect();
        let keep = layers_to_keep(&layers, new.len());
        if keep < layers.len() || !new.is_empty() {
            let mut program = join(layers.get(keep..).unwrap_or_default(), &new)?;
            if keep == 0 {
                optimize(&mut program);
            }
            let added = program.policies.len() - new.len();
            let added = program.policies.get(added..).unwrap_or_default();
            leaves.extend(added.iter().map(|policy| policy.digest[0]));
            layers.truncate(keep);
            layers.push(Layer::new(Arc::new(program)));
        }
        let mut digest = self.base.digest.clone();
        digest.update(leaves, |first, members| {
            for layer in &layers {
                let program = &layer.program;
                let numbers = program.with_digest_byte(first).iter();
                let live = numbers.filter(|number| !layer.dead.contains(**number));
                members.extend(live.map(|number| program.policies[*number as usize].digest));
            }
        });
        Ok(ProgramSet {
            layers,
            templates: match self.templates {
                Some(templates) => templates.into(),
                None => Arc::clone(&self.base.templates),
            },
            digest,
        })
    }
}

/// How many layers stay as they are when so many policies are added; the others are joined with the new ones.
fn layers_to_keep(layers: &[Layer], new: usize) -> usize {
    let all: usize = layers.iter().map(Layer::len).sum();
    let written: usize = layers
        .iter()
        .map(|layer| layer.program.policies.len())
        .sum();
    // Half of what is read is dead, or all of it is little: one layer, unless it is that already.
    if written > 2 * all.max(ONE / 2) || (all + new <= ONE && (layers.len() > 1 || new > 0)) {
        return 0;
    }
    if new == 0 {
        return layers.len();
    }
    let len = |layer: usize| layers.get(layer).map_or(0, Layer::len);
    let mut keep = layers.len().min(2);
    let mut joined = new + len(2);
    if joined > TAIL && keep == 2 {
        keep = 1;
        joined += len(1);
    }
    if joined > MIDDLE.max(len(0) / MIDDLE_SHARE) {
        keep = 0;
    }
    keep
}

/// A program of what lives in `layers`, and of what is new.
fn join(layers: &[Layer], new: &[NewRow]) -> Result<Program, TableFull> {
    let mut out = ProgramBuilder::new();
    for layer in layers {
        let mut import = Import::new(&layer.program, &mut out);
        layer.live().try_for_each(|policy| import.policy(policy))?;
    }
    let mut templates: HashMap<*const Program, u32> = HashMap::new();
    for row in new {
        match row {
            NewRow::Static(program, number) => {
                let policy = program.policies.get(*number as usize).ok_or(TableFull)?;
                Import::new(program, &mut out).policy(policy)?;
            }
            NewRow::Link {
                template,
                id,
                slots,
            } => {
                let number = match templates.get(&Arc::as_ptr(template)) {
                    Some(number) => *number,
                    None => {
                        let number = Import::new(template, &mut out).template(0)?;
                        templates.insert(Arc::as_ptr(template), number);
                        number
                    }
                };
                // It was tried when the change was made.
                out.link(id.clone(), number, slots).map_err(|_| TableFull)?;
            }
        }
    }
    out.finish()
}

/// A program of one template.
fn alone(program: &Program, number: u32) -> Result<Arc<Program>, TableFull> {
    let mut out = ProgramBuilder::new();
    Import::new(program, &mut out).template(number)?;
    Ok(Arc::new(out.finish()?))
}
