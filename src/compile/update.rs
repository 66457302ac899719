//! What callers change of the policies in force.

use std::sync::Arc;
use std::time::SystemTime;

use crate::id::{EntityUidRef, PolicyId};
use crate::program::{ProgramSet, Slots};

use super::error::{CompileError, Problem};
use super::load::{self, Link, Options};

/// Changes of the policies in force, to be made together by
/// [`Authorizer::update_policies`](crate::Authorizer::update_policies).
///
/// The steps are taken in the order given, each on what the ones before it made: a policy may be removed and
/// another be added under its id. Nothing is parsed here.
///
/// ```
/// use duramen::PolicyUpdate;
///
/// let update = PolicyUpdate::new()
///     .add("read", r#"permit(principal, action == Action::"read", resource);"#)
///     .remove("old")
///     .link("sharing", "alice-inbox", Some(("User", "alice").into()), Some(("Folder", "inbox").into()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PolicyUpdate {
    pub(crate) steps: Vec<Step>,
    pub(crate) as_of: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Add(PolicyId, Arc<str>),
    Replace(PolicyId, Arc<str>),
    Remove(PolicyId),
    AddTemplate(PolicyId, Arc<str>),
    RemoveTemplate(PolicyId),
    Link(Link),
    Unlink(PolicyId),
}

impl Step {
    /// The policy or template that comes or goes.
    pub(crate) fn id(&self) -> &PolicyId {
        match self {
            Self::Add(id, _)
            | Self::Replace(id, _)
            | Self::Remove(id)
            | Self::AddTemplate(id, _)
            | Self::RemoveTemplate(id)
            | Self::Unlink(id) => id,
            Self::Link(link) => &link.id,
        }
    }
}

impl PolicyUpdate {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one policy in Cedar's syntax. The id must be new; a text can be given for it once in an update.
    #[must_use]
    pub fn add(self, id: impl Into<PolicyId>, text: impl Into<Arc<str>>) -> Self {
        self.with(Step::Add(id.into(), text.into()))
    }

    /// Puts another policy in the place of one that there is. In answers it comes where a policy that is added
    /// now would.
    #[must_use]
    pub fn replace(self, id: impl Into<PolicyId>, text: impl Into<Arc<str>>) -> Self {
        self.with(Step::Replace(id.into(), text.into()))
    }

    /// Removes a policy, which must not be a template link.
    #[must_use]
    pub fn remove(self, id: impl Into<PolicyId>) -> Self {
        self.with(Step::Remove(id.into()))
    }

    /// Adds one template in Cedar's syntax. The id must be new.
    #[must_use]
    pub fn add_template(self, id: impl Into<PolicyId>, text: impl Into<Arc<str>>) -> Self {
        self.with(Step::AddTemplate(id.into(), text.into()))
    }

    /// Removes a template, which must not have links.
    #[must_use]
    pub fn remove_template(self, id: impl Into<PolicyId>) -> Self {
        self.with(Step::RemoveTemplate(id.into()))
    }

    /// Links a template: fills its slots and gives the resulting policy an id, which must be new. Slots that the
    /// template does not have must be `None`.
    #[must_use]
    pub fn link(
        self,
        template: impl Into<PolicyId>,
        id: impl Into<PolicyId>,
        principal: Option<EntityUidRef<'_>>,
        resource: Option<EntityUidRef<'_>>,
    ) -> Self {
        self.with(Step::Link(Link {
            template: template.into(),
            id: id.into(),
            slots: Slots {
                principal: principal.map(EntityUidRef::to_owned),
                resource: resource.map(EntityUidRef::to_owned),
            },
        }))
    }

    /// Removes a template link.
    #[must_use]
    pub fn unlink(self, id: impl Into<PolicyId>) -> Self {
        self.with(Step::Unlink(id.into()))
    }

    /// When what comes out of the update was known to be right; as [`Policies::as_of`](crate::Policies::as_of).
    #[must_use]
    pub fn as_of(mut self, time: SystemTime) -> Self {
        self.as_of = Some(time);
        self
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The set with the changes, and what the validator remarks; or all that is wrong with them.
    pub(crate) fn apply(
        &self,
        base: &ProgramSet,
        options: &Options<'_>,
    ) -> Result<(ProgramSet, Vec<Problem>), CompileError> {
        load::update(base, &self.steps, options)
    }
}
