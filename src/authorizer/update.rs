//! Replacing and changing what is decided on: policies, entities, or both.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use crate::compile::load::Options;
use crate::compile::update::{PolicyUpdate, Step};
use crate::compile::{CompileError, Entities, EntitiesUpdated, EntityUpdate, Policies, Problem};
use crate::entity::{Children, EntityError, EntityProblem};
use crate::epoch::{EntitiesChanged, Epoch, Links, Marks, Parts, Shadow, Stamps, Updated, Version};
use crate::id::PolicyId;
use crate::program::ProgramSet;
use crate::value::arena::TableFull;

use super::Authorizer;
use super::builder::{self, BuildError};
use super::watch::{Change, News};

/// What an update of policies has changed. Made by [`Authorizer::update_policies`].
#[derive(Clone, PartialEq, Debug)]
pub struct PolicyChanges {
    version: Version,
    added: Vec<PolicyId>,
    replaced: Vec<PolicyId>,
    removed: Vec<PolicyId>,
    added_templates: Vec<PolicyId>,
    removed_templates: Vec<PolicyId>,
    warnings: Vec<Problem>,
}

impl PolicyChanges {
    /// The policies, schema and entities in force since.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Policies and links that were added, in the order of the steps.
    pub fn added(&self) -> &[PolicyId] {
        &self.added
    }

    /// Policies that were replaced.
    pub fn replaced(&self) -> &[PolicyId] {
        &self.replaced
    }

    /// Policies and links that were removed.
    pub fn removed(&self) -> &[PolicyId] {
        &self.removed
    }

    /// Templates that were added.
    pub fn added_templates(&self) -> &[PolicyId] {
        &self.added_templates
    }

    /// Templates that were removed.
    pub fn removed_templates(&self) -> &[PolicyId] {
        &self.removed_templates
    }

    /// What the validator finds odd about what is new.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

impl Authorizer {
    /// Replaces the policies. Decisions that have begun end on the old ones. What is odd about the new ones is among the
    /// [`Authorizer::warnings`] then.
    ///
    /// # Errors
    /// [`CompileError`] with all problems; the policies in force stay.
    pub fn replace_policies(&self, policies: impl Into<Policies>) -> Result<Version, CompileError> {
        let policies = policies.into();
        let at = self.loading(policies.as_of);
        let compiled = builder::compile_policies(&policies, &self.options())?;
        let policies = ProgramSet::new(compiled.program).map_err(Problem::new)?;
        let stamp = |stamps: Stamps| stamps.with_policies(at);
        let warnings = Some(compiled.warnings);
        self.replace(stamp, warnings, |parts| parts.policies = policies)
            .map_err(|full| Problem::new(full).into())
    }

    /// Replaces the entities, all of them. Decisions that have begun end on the old ones.
    ///
    /// # Errors
    /// [`EntityError`] with all problems; the entities in force stay.
    pub fn replace_entities(&self, entities: impl Into<Entities>) -> Result<Version, EntityError> {
        let entities = entities.into();
        let at = self.loading(entities.as_of);
        let schema = self.inner.published.load_full().schema.clone();
        let limits = &self.inner.settings.reading.limits;
        let snapshot = entities.load(schema.as_deref(), limits)?;
        let stamp = |stamps: Stamps| stamps.with_entities(at);
        self.replace(stamp, None, |parts| {
            parts.links = Links::default();
            parts.snapshot = snapshot;
            parts.entity_revision += 1;
        })
        .map_err(|full| EntityProblem::new(full).into())
    }

    /// Replaces policies and entities together: no decision sees one without the other.
    ///
    /// # Errors
    /// [`BuildError`] with all problems of both; what is in force stays.
    pub fn replace_all(
        &self,
        policies: impl Into<Policies>,
        entities: impl Into<Entities>,
    ) -> Result<Version, BuildError> {
        let inner = &self.inner;
        let limits = &inner.settings.reading.limits;
        let schema = inner.published.load_full().schema.clone();
        let (policies, entities) = (policies.into(), entities.into());
        let stamp = {
            let (policies, entities) = (self.loading(policies.as_of), self.loading(entities.as_of));
            move |stamps: Stamps| stamps.with_policies(policies).with_entities(entities)
        };
        let compiled = builder::compile_policies(&policies, &self.options());
        let snapshot = entities.load(schema.as_deref(), limits);
        let (compiled, snapshot) = builder::both(compiled, snapshot)?;
        let full = |full| BuildError::from(CompileError::from(Problem::new(full)));
        let policies = ProgramSet::new(compiled.program).map_err(full)?;
        self.replace(stamp, Some(compiled.warnings), |parts| {
            parts.policies = policies;
            parts.links = Links::default();
            parts.snapshot = snapshot;
            parts.entity_revision += 1;
        })
        .map_err(full)
    }

    /// Changes some of the entities: everything that `update` says, or nothing. Decisions that have begun end on the
    /// old ones.
    ///
    /// Costs what the change costs and not what the store holds. Only the first update after entities were loaded
    /// looks at all of them once. With a schema, each changed entity is validated as `cedar-policy` validates upserts,
    /// as it is at the end of the update. Actions that the schema declares cannot be altered.
    ///
    /// # Errors
    /// [`EntityError`] with all problems, among them cycles in the hierarchy and exceeded limits; the entities in
    /// force stay.
    pub fn update_entities(&self, update: EntityUpdate) -> Result<EntitiesUpdated, EntityError> {
        let (as_of, confirms) = (update.as_of, !update.out_of_band);
        self.change_entities(as_of, confirms, |_, _| Ok(update))
    }

    /// [`Self::update_entities`] by an update that depends on what is in force, which no other writer changes in between.
    pub(crate) fn change_entities<E: From<EntityError> + From<TableFull>>(
        &self,
        as_of: Option<SystemTime>,
        confirms: bool,
        update: impl FnOnce(&Epoch, &Children) -> Result<EntityUpdate, E>,
    ) -> Result<EntitiesUpdated, E> {
        let settings = &self.inner.settings;
        let updated = settings.keeps_ages.then(|| Updated {
            at: self.loading(as_of),
            confirms,
        });
        let changed = self.inner.published.update_entities(
            &settings.reading.limits,
            updated,
            |epoch, draft| {
                let update = update(epoch, draft.children())?;
                Ok::<_, E>(update.apply(draft, epoch.schema.as_deref())?)
            },
        )?;
        let EntitiesChanged {
            version,
            changes,
            marks,
        } = changed;
        if let Some(marks) = marks {
            self.inner.watchers.tell(|| News {
                version,
                change: Arc::new(Change::Entities(changes.clone())),
                marks,
            });
        }
        Ok(EntitiesUpdated::new(version, changes))
    }

    pub(super) fn replace(
        &self,
        stamp: impl FnOnce(Stamps) -> Stamps,
        warnings: Option<Vec<Problem>>,
        change: impl FnOnce(&mut Parts),
    ) -> Result<Version, TableFull> {
        // Before the policies are, and not while watchers are told.
        let warned = warnings.map(|new| (self.inner.policy_warnings(), new));
        let (version, marks) = self.inner.published.replace(|current, _| {
            let mut parts = self.parts(current);
            parts.stamps = parts.stamps.map(stamp);
            change(&mut parts);
            let next = Epoch::new(parts, current.version.epoch() + 1)?;
            Ok((next, Marks::Everything))
        })?;
        if let Some((mut warned, new)) = warned {
            *warned = new;
        }
        self.inner.watchers.tell(|| News {
            version,
            change: Arc::new(Change::Everything),
            marks,
        });
        Ok(version)
    }

    /// What the next epoch is made of if nothing changes.
    pub(super) fn parts(&self, current: &Epoch) -> Parts {
        Parts {
            policies: current.policies.clone(),
            links: current.links(),
            snapshot: current.snapshot.clone(),
            schema: current.schema.clone(),
            entity_revision: current.version.entity_revision(),
            stamps: current.stamps.clone(),
            indexing: current.indexing,
            shadow: current.shadow.as_ref().map(Shadow::parts),
        }
    }

    /// How policies are compiled.
    pub(super) fn options(&self) -> Options<'_> {
        let inner = &self.inner;
        let settings = &inner.settings;
        settings
            .tuning
            .options(inner.validator.as_ref(), &settings.reading.limits)
    }

    /// Adds, replaces and removes policies, templates and links: all steps of the update or none. Decisions that
    /// have begun end on the old policies.
    ///
    /// The cost follows what changes, not what is in force: a policy among 100,000 is added in a fraction of a
    /// millisecond. (Now and then a change tidies up after many and takes longer; decisions do not notice.) With a
    /// schema, what is new is validated strictly. The digest of the policies is afterwards that of the same
    /// policies loaded at once.
    ///
    /// ```
    /// # use duramen::{Authorizer, PolicyUpdate, Request};
    /// let authorizer = Authorizer::builder().policies("permit(principal, action, resource);").build()?;
    /// let request = Request::new(("User", "eve"), ("Action", "view"), ("Photo", "p1"));
    /// assert!(authorizer.is_authorized(&request).is_allowed());
    ///
    /// let lockout = r#"forbid(principal == User::"eve", action, resource);"#;
    /// let changes = authorizer.update_policies(PolicyUpdate::new().add("lockout", lockout))?;
    /// assert_eq!(changes.added()[0].as_str(), "lockout");
    /// assert!(!authorizer.is_authorized(&request).is_allowed());
    ///
    /// authorizer.update_policies(PolicyUpdate::new().remove("lockout"))?;
    /// assert!(authorizer.is_authorized(&request).is_allowed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CompileError`] with all problems, each with the policy it is about: texts that Cedar refuses or that are
    /// not one policy, ids that are taken or unknown, slots that do not fit. The policies in force stay.
    pub fn update_policies(&self, update: PolicyUpdate) -> Result<PolicyChanges, CompileError> {
        let inner = &self.inner;
        let mut warnings = Vec::new();
        let at = self.loading(update.as_of);
        let ids = || update.steps.iter().map(Step::id);
        let mut warned = inner.policy_warnings();
        let (version, marks) = inner.published.replace(|current, watched| {
            let options = self.options();
            let (policies, remarks) = update.apply(&current.policies, &options)?;
            warnings = remarks;
            // Policies that an old copy makes older may be too old for every decision.
            let stamps = current.stamps.as_ref();
            let older = stamps.is_some_and(|stamps| stamps.policies_are_after(at));
            let marks = match watched {
                Some(watched) if !older => watched.scopes([&current.policies, &policies], ids()),
                _ => Marks::Everything,
            };
            let mut parts = self.parts(current);
            parts.policies = policies;
            parts.stamps = parts.stamps.map(|stamps| stamps.with_policies(at));
            let next = Epoch::new(parts, current.version.epoch() + 1);
            let next = next.map_err(|full| CompileError::from(Problem::new(full)))?;
            Ok::<_, CompileError>((next, marks))
        })?;
        let changed: HashSet<&PolicyId> = ids().collect();
        warned.retain(|warning| !warning.policy().is_some_and(|id| changed.contains(id)));
        warned.extend_from_slice(&warnings);
        drop(warned);
        inner.watchers.tell(|| News {
            version,
            change: Arc::new(Change::Policies(ids().cloned().collect())),
            marks,
        });
        let mut changes = PolicyChanges {
            version,
            added: Vec::new(),
            replaced: Vec::new(),
            removed: Vec::new(),
            added_templates: Vec::new(),
            removed_templates: Vec::new(),
            warnings,
        };
        for step in update.steps {
            let list = match &step {
                Step::Add(..) | Step::Link(_) => &mut changes.added,
                Step::Replace(..) => &mut changes.replaced,
                Step::Remove(_) | Step::Unlink(_) => &mut changes.removed,
                Step::AddTemplate(..) => &mut changes.added_templates,
                Step::RemoveTemplate(_) => &mut changes.removed_templates,
            };
            list.push(step.id().clone());
        }
        Ok(changes)
    }
}
