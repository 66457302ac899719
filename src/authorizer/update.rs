//! Changing policies one by one.

use std::sync::Arc;

use crate::compile::update::{PolicyUpdate, Step};
use crate::compile::{CompileError, Problem};
use crate::epoch::{Epoch, Marks, Version};
use crate::id::PolicyId;

use super::Authorizer;
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
        let (version, marks) = inner.published.replace(|current, watched| {
            let options = self.options();
            let (policies, remarks) = update.apply(&current.policies, &options)?;
            warnings = remarks;
            let marks = match watched {
                Some(watched) => watched.scopes([&current.policies, &policies], ids()),
                None => Marks::Everything,
            };
            let mut parts = self.parts(current);
            parts.policies = policies;
            parts.stamps = parts.stamps.map(|stamps| stamps.with_policies(at));
            let next = Epoch::new(parts, current.version.epoch() + 1);
            let next = next.map_err(|full| CompileError::from(Problem::new(full)))?;
            Ok::<_, CompileError>((next, marks))
        })?;
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
