//! Strict validation, a batch at a time: Cedar's validator looks at each policy by itself, so a batch is judged as
//! the whole set would be, and no more than a batch's trees are in memory.

use std::collections::{HashMap, HashSet};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{self as cedar, PolicySet, SlotId, Template, ValidationMode, Validator};

use crate::id::{EntityUid, PolicyId};

use super::parse::Parsed;
use super::set::policy_id;
use super::source::Link;

/// What Cedar has to say about a policy.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) policy: PolicyId,
    pub(super) error: DetailedError,
    pub(super) is_warning: bool,
}

/// Validates policies and templates under these ids. Ids that come twice are refused elsewhere.
pub(super) fn validate(
    schema: &cedar::Schema,
    policies: impl IntoIterator<Item = (PolicyId, Parsed)>,
) -> Vec<Verdict> {
    let mut set = PolicySet::new();
    for (id, parsed) in policies {
        let id = cedar::PolicyId::new(id.as_str());
        let _ = match parsed {
            Parsed::Static(policy) => set.add(policy.new_id(id)),
            Parsed::Template(template) => set.add_template(template.new_id(id)),
        };
    }
    verdicts(schema, &set).collect()
}

/// Validates links of templates that have been validated.
pub(super) fn validate_links(
    schema: &cedar::Schema,
    templates: &HashMap<PolicyId, Template>,
    links: &[&Link],
) -> Vec<Verdict> {
    let mut set = PolicySet::new();
    let mut known = HashSet::new();
    let mut refused = Vec::new();
    for link in links {
        let template = cedar::PolicyId::new(link.template.as_str());
        if known.insert(&link.template)
            && let Some(parsed) = templates.get(&link.template)
        {
            let _ = set.add_template(parsed.new_id(template.clone()));
        }
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
            refused.push(Verdict {
                policy: link.id.clone(),
                error: (&error).into(),
                is_warning: false,
            });
        }
    }
    let of_links = verdicts(schema, &set).filter(|verdict| !known.contains(&verdict.policy));
    refused.into_iter().chain(of_links).collect()
}

fn verdicts(schema: &cedar::Schema, set: &PolicySet) -> impl Iterator<Item = Verdict> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let verdict = |id: &cedar::PolicyId, error, is_warning| Verdict {
        policy: policy_id(id),
        error,
        is_warning,
    };
    let errors = result
        .validation_errors()
        .map(|error| verdict(error.policy_id(), error.into(), false));
    let warnings = result
        .validation_warnings()
        .map(|warning| verdict(warning.policy_id(), warning.into(), true));
    errors.chain(warnings).collect::<Vec<_>>().into_iter()
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
