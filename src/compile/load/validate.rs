//! Strict validation, a batch at a time: Cedar's validator looks at each policy by itself, so a batch is judged as
//! the whole set would be, and no more than a batch's trees are in memory.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    self as cedar, PolicySet, SlotId, Template, TemplatePrincipalConstraint,
    TemplateResourceConstraint, ValidationMode, Validator,
};

use crate::compile::error::{Lines, Problem};
use crate::id::{EntityUid, PolicyId};
use crate::limits::{Limit, LimitExceeded, Limits};
use crate::schema::SchemaModel;

use super::parse::Parsed;
use super::set::policy_id;
use super::source::Link;

/// Cedar's validator of policies, and how much there is for it to look at.
///
/// One for a schema: Cedar lists the schema's request environments once for a validator, and takes some 260 bytes for each.
#[derive(Debug)]
pub(crate) struct PolicyValidator {
    cedar: Validator,
    environments: Environments,
    limits: Limits,
}

impl PolicyValidator {
    /// # Errors
    /// When policies would have to be looked at more often than [`Limit::RequestEnvironments`] allows.
    pub(crate) fn new(
        schema: cedar::Schema,
        model: &SchemaModel,
        limits: Limits,
    ) -> Result<Self, LimitExceeded> {
        let environments = Environments::of(model);
        limits.check(
            Limit::RequestEnvironments,
            environments.looks(Slots::default()),
        )?;
        Ok(Self {
            cedar: Validator::new(schema),
            environments,
            limits,
        })
    }

    /// Validates policies and templates under these ids. Ids that come twice are refused elsewhere.
    pub(super) fn validate(
        &self,
        policies: impl IntoIterator<Item = (PolicyId, Parsed)>,
    ) -> Vec<Verdict> {
        let mut set = PolicySet::new();
        let mut refused = Vec::new();
        for (policy, parsed) in policies {
            let id = cedar::PolicyId::new(policy.as_str());
            let _ = match parsed {
                Parsed::Static(policy) => set.add(policy.new_id(id)),
                Parsed::Template(template) => match self.check(&template) {
                    Ok(()) => set.add_template(template.new_id(id)),
                    Err(exceeded) => {
                        refused.push(Verdict::refused(policy, Found::Limit(exceeded)));
                        continue;
                    }
                },
            };
        }
        refused.extend(self.verdicts(&set));
        refused
    }

    /// Validates links of templates that have been validated.
    pub(super) fn validate_links(
        &self,
        templates: &HashMap<PolicyId, Template>,
        mut links: &[&Link],
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        while !links.is_empty() {
            let taken = self.validate_some(templates, links, &mut verdicts);
            links = links.get(taken..).unwrap_or_default();
        }
        verdicts
    }

    /// Validates the first of these links, and as many more as may be in memory with what Cedar copies of templates for them.
    fn validate_some(
        &self,
        templates: &HashMap<PolicyId, Template>,
        links: &[&Link],
        verdicts: &mut Vec<Verdict>,
    ) -> usize {
        let mut set = PolicySet::new();
        let mut known = HashMap::new();
        let (mut copied, mut taken) = (0, 0);
        for link in links {
            if copied > COPIED {
                break;
            }
            taken += 1;
            let template = cedar::PolicyId::new(link.template.as_str());
            let scope = known.entry(&link.template).or_insert_with(|| {
                let Some(parsed) = templates.get(&link.template) else {
                    return Some(0);
                };
                let (scope, bytes) = scope_of(parsed, template.clone());
                let is_checked = self.check(parsed).is_ok();
                is_checked.then(|| {
                    let _ = set.add_template(scope);
                    bytes
                })
            });
            // What is said of the template is not said again.
            let Some(bytes) = scope else {
                continue;
            };
            copied += *bytes;
            let values = [
                (SlotId::principal(), &link.slots.principal),
                (SlotId::resource(), &link.slots.resource),
            ];
            let values: HashMap<_, _> = values
                .into_iter()
                .filter_map(|(slot, uid)| Some((slot, cedar_uid(uid.as_ref()?).ok()?)))
                .collect();
            // Links have been made before, in our form; what Cedar alone refuses is refused.
            if let Err(error) = set.link(template, cedar::PolicyId::new(link.id.as_str()), values) {
                let found = Found::ByCedar(Box::new((&error).into()));
                verdicts.push(Verdict::refused(link.id.clone(), found));
            }
        }
        let of_links = self
            .verdicts(&set)
            .filter(|verdict| !known.contains_key(&verdict.policy));
        verdicts.extend(of_links);
        taken
    }

    fn check(&self, template: &Template) -> Result<(), LimitExceeded> {
        let looks = self.environments.looks(Slots::of(template));
        self.limits.check(Limit::RequestEnvironments, looks)
    }

    fn verdicts(&self, set: &PolicySet) -> impl Iterator<Item = Verdict> {
        let result = self.cedar.validate(set, ValidationMode::Strict);
        let mut errors: HashMap<&cedar::PolicyId, Errors> = HashMap::new();
        for error in result.validation_errors() {
            let of_policy = errors.entry(error.policy_id()).or_default();
            of_policy.add(error.into());
        }
        let errors = errors.into_iter().flat_map(|(policy, errors)| {
            let found = errors.found();
            found.map(|found| Verdict::refused(policy_id(policy), found))
        });
        let warnings = result.validation_warnings().map(|warning| Verdict {
            policy: policy_id(warning.policy_id()),
            found: Found::ByCedar(Box::new(warning.into())),
            is_warning: true,
        });
        errors.chain(warnings).collect::<Vec<_>>().into_iter()
    }
}

/// How many errors are told of a policy: there is one for each request environment in which an expression is wrong, and that can be
/// a million.
const TOLD: usize = 100;

/// The errors of one policy: the first, by their place and their words.
#[derive(Default)]
struct Errors {
    first: BTreeMap<(usize, String), DetailedError>,
    more: usize,
}

impl Errors {
    fn add(&mut self, error: DetailedError) {
        let place = error
            .source_locations
            .first()
            .map_or(0, |label| label.loc.start);
        self.first.insert((place, error.message.clone()), error);
        if self.first.len() > TOLD {
            self.first.pop_last();
            self.more += 1;
        }
    }

    fn found(self) -> impl Iterator<Item = Found> {
        let (more, last) = (self.more, self.first.last_key_value());
        let more = (more > 0).then(|| DetailedError {
            message: format!(
                "has {more} more errors, of which many may be of one place: it is checked for each kind of request"
            ),
            // Behind the others, as problems stand in the order of their places.
            source_locations: last.map_or_else(Vec::new, |(_, last)| last.source_locations.clone()),
            ..DetailedError::default()
        });
        let told = self.first.into_values().chain(more);
        told.map(|error| Found::ByCedar(Box::new(error)))
    }
}

/// What there is to say about a policy.
#[derive(Debug)]
pub(super) struct Verdict {
    policy: PolicyId,
    found: Found,
    pub(super) is_warning: bool,
}

#[derive(Debug)]
enum Found {
    ByCedar(Box<DetailedError>),
    Limit(LimitExceeded),
}

impl Verdict {
    fn refused(policy: PolicyId, found: Found) -> Self {
        Self {
            policy,
            found,
            is_warning: false,
        }
    }

    /// `text` is where places that are told lie: the lines of a text, and where in it what was validated begins.
    pub(super) fn problem(self, text: Option<(&Lines<'_>, usize)>) -> Problem {
        let problem = match self.found {
            Found::ByCedar(error) => Problem::from_cedar(*error, text),
            Found::Limit(exceeded) => Problem::from(exceeded),
        };
        problem.of_policy(self.policy)
    }
}

/// The request environments of a schema: for each action, each type of a principal with each type of a resource. A policy is
/// type-checked in all of them, whatever its scope says.
#[derive(Debug, Default)]
struct Environments {
    /// As many as the schema has: each time that a slot is filled in, Cedar looks through all.
    types: usize,
    /// Those of each action: types of principals, the same with all that is above each, and so for resources.
    actions: Vec<[usize; 4]>,
}

/// Which slots of a template may stand for what is above.
#[derive(Clone, Copy, Default)]
struct Slots {
    principal: bool,
    resource: bool,
}

/// Looking at a type, to see whether a slot may be of it, takes Cedar a small part of what a type-check takes.
const TYPES_OF_ONE: usize = 64;

impl Environments {
    fn of(model: &SchemaModel) -> Self {
        let with_ancestors = |names: &[Box<str>]| {
            let ancestors = names.iter().filter_map(|name| model.entity_type(name));
            let ancestors = ancestors.map(|decl| decl.ancestors.len());
            ancestors.fold(names.len(), usize::saturating_add)
        };
        // External actions have none.
        let actions = model.actions().iter().filter(|action| !action.external);
        let actions = actions.map(|action| {
            let (principals, resources) = (&action.principals, &action.resources);
            [
                principals.len(),
                with_ancestors(principals),
                resources.len(),
                with_ancestors(resources),
            ]
        });
        Self {
            types: model.entity_types().len(),
            actions: actions.collect(),
        }
    }

    /// How often a policy is looked at. Cedar fills a slot that has `in` before it with the type of the environment and with
    /// each type above.
    fn looks(&self, slots: Slots) -> usize {
        let one = |[principals, above_principals, resources, above_resources]: &[usize; 4]| {
            let principals = if slots.principal {
                above_principals
            } else {
                principals
            };
            let filled = principals.saturating_mul(*resources);
            let looks = match slots.resource {
                true => principals.saturating_mul(*above_resources),
                false => filled,
            };
            let searches = match (slots.principal, slots.resource) {
                (false, false) => 0,
                _ => filled.saturating_mul(self.types) / TYPES_OF_ONE,
            };
            looks.saturating_add(searches)
        };
        self.actions.iter().map(one).fold(0, usize::saturating_add)
    }
}

impl Slots {
    fn of(template: &Template) -> Self {
        Self {
            principal: matches!(
                template.principal_constraint(),
                TemplatePrincipalConstraint::In(None) | TemplatePrincipalConstraint::IsIn(_, None)
            ),
            resource: matches!(
                template.resource_constraint(),
                TemplateResourceConstraint::In(None) | TemplateResourceConstraint::IsIn(_, None)
            ),
        }
    }
}

/// How many bytes of templates may be copied for links that are validated together.
const COPIED: usize = 16 << 20;

/// A template without its conditions and annotations, and how many bytes Cedar copies of it for each link. Of links Cedar's
/// validator looks at slots and scope; the rest it has looked at, in the template.
fn scope_of(template: &Template, id: cedar::PolicyId) -> (Template, usize) {
    let bare = template.to_json().ok().and_then(|mut json| {
        let object = json.as_object_mut()?;
        object.insert(
            "conditions".to_owned(),
            serde_json::Value::Array(Vec::new()),
        );
        object.remove("annotations");
        let bytes = json.to_string().len();
        Some((Template::from_json(Some(id.clone()), json).ok()?, bytes))
    });
    bare.unwrap_or_else(|| (template.new_id(id), template.to_string().len()))
}

fn cedar_uid(uid: &EntityUid) -> Result<cedar::EntityUid, String> {
    Ok(cedar::EntityUid::from_type_name_and_id(
        type_name(uid.type_name())?,
        cedar::EntityId::new(uid.id()),
    ))
}

/// The type name, if it is one.
pub(super) fn type_name(text: &str) -> Result<cedar::EntityTypeName, String> {
    text.parse()
        .map_err(|error| format!("`{text}` is not a type name: {error}"))
}
