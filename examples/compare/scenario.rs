//! A scenario: a directory with policies, entities and requests.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::path::Path;
use std::str::FromStr;

use cedar_policy as cedar;
use serde::Deserialize;

use crate::typed::Typed;

/// A uid as the files have it.
#[derive(Deserialize, Clone)]
pub(crate) struct Uid {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) id: String,
}

impl Uid {
    pub(crate) fn pair(&self) -> (&str, &str) {
        (&self.type_name, &self.id)
    }

    pub(crate) fn to_cedar(&self) -> Result<cedar::EntityUid, Box<dyn Error>> {
        Ok(cedar::EntityUid::from_type_name_and_id(
            cedar::EntityTypeName::from_str(&self.type_name)?,
            cedar::EntityId::new(&self.id),
        ))
    }
}

#[derive(Deserialize)]
struct LinkFile {
    template: String,
    id: String,
    principal: Option<Uid>,
    resource: Option<Uid>,
}

#[derive(Deserialize)]
struct RequestFile {
    principal: Uid,
    action: Uid,
    resource: Uid,
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
    /// What the answer was when the scenario was recorded, if it was.
    decision: Option<String>,
    reasons: Option<BTreeSet<String>>,
    errors: Option<BTreeSet<String>>,
}

/// One request, in the forms that both engines take.
pub(crate) struct Case {
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    pub(crate) context: Typed,
    pub(crate) recorded: Option<Answer>,
    /// `None` if requests are validated and this one is not valid.
    pub(crate) cedar: Option<cedar::Request>,
}

/// A full answer: what the two engines must agree on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) reasons: BTreeSet<String>,
    pub(crate) errors: BTreeSet<String>,
}

impl Answer {
    pub(crate) fn of_cedar(response: &cedar::Response) -> Self {
        let diagnostics = response.diagnostics();
        Self {
            allowed: response.decision() == cedar::Decision::Allow,
            reasons: diagnostics.reason().map(ToString::to_string).collect(),
            errors: diagnostics
                .errors()
                .map(|error| match error {
                    cedar::AuthorizationError::PolicyEvaluationError(error) => {
                        error.policy_id().to_string()
                    }
                })
                .collect(),
        }
    }

    pub(crate) fn of_duramen(response: &duramen::Response<'_>) -> Self {
        Self {
            allowed: response.is_allowed(),
            reasons: response
                .determining()
                .map(|policy| policy.id().to_string())
                .collect(),
            errors: response
                .errors()
                .map(|error| error.policy().id().to_string())
                .collect(),
        }
    }
}

/// A scenario, loaded into both engines.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) policies: cedar::PolicySet,
    pub(crate) entities: cedar::Entities,
    pub(crate) authorizer: duramen::Authorizer,
    pub(crate) cases: Vec<Case>,
    /// Entity type names, parsed once: what an application that calls Cedar would keep.
    pub(crate) types: HashMap<String, cedar::EntityTypeName>,
    /// What requests are validated against, if they are.
    pub(crate) validating: Option<cedar::Schema>,
}

impl Scenario {
    /// Loads a directory. With `validate` its schema is for requests, too, if there is one.
    pub(crate) fn load(directory: &Path, validate: bool) -> Result<Self, Box<dyn Error>> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let optional = |name: &str| {
            directory
                .join(name)
                .exists()
                .then(|| read(name))
                .transpose()
        };
        let policy_text = read("policies.cedar")?;
        let entity_text = read("entities.json")?;
        let schema_text = optional("schema.cedarschema")?;
        let links: Vec<LinkFile> = match optional("links.json")? {
            Some(text) => serde_json::from_str(&text)?,
            None => Vec::new(),
        };
        let requests: Vec<RequestFile> = serde_json::from_str(&read("requests.json")?)?;

        let schema = match &schema_text {
            Some(text) => Some(cedar::Schema::from_cedarschema_str(text)?.0),
            None => None,
        };
        let mut policies = cedar::PolicySet::from_str(&policy_text)?;
        let mut ours = duramen::Policies::new().text(policy_text);
        for link in &links {
            let slots = [
                (cedar::SlotId::principal(), &link.principal),
                (cedar::SlotId::resource(), &link.resource),
            ];
            let mut values = HashMap::new();
            for (slot, uid) in slots {
                if let Some(uid) = uid {
                    values.insert(slot, uid.to_cedar()?);
                }
            }
            policies.link(
                cedar::PolicyId::new(&link.template),
                cedar::PolicyId::new(&link.id),
                values,
            )?;
            ours = ours.link(
                link.template.as_str(),
                link.id.as_str(),
                link.principal.as_ref().map(|uid| uid.pair().into()),
                link.resource.as_ref().map(|uid| uid.pair().into()),
            );
        }
        let mut builder = duramen::Authorizer::builder()
            .policies(ours)
            .entities(entity_text.as_str())
            // Cedar decides on policies that do not validate; so must we, to be compared.
            .validate_policies(false)
            .validate_requests(validate)
            .limits(duramen::Limits::default().with_input_bytes(1 << 30));
        if let Some(text) = schema_text {
            builder = builder.schema_str(text);
        }
        // Before Cedar's entities: an application has one of the two. Among what those leave of the heap, Duramen's lie in holes,
        // which makes `abac-p50` 8% slower; Cedar takes the same time whichever comes first.
        let authorizer = builder.build()?;
        let entities = cedar::Entities::from_json_str(&entity_text, schema.as_ref())?;

        let validating = schema.filter(|_| validate);

        let mut types = HashMap::new();
        let mut inputs = Vec::with_capacity(requests.len());
        // What the engines are asked with, all of it before anything is made of it: an application has just read its request.
        // Among what Cedar's requests and the file's leave of the heap, a decision of `abac-p50` took a tenth more.
        for request in &requests {
            for uid in [&request.principal, &request.action, &request.resource] {
                if !types.contains_key(&uid.type_name) {
                    let parsed = cedar::EntityTypeName::from_str(&uid.type_name)?;
                    types.insert(uid.type_name.clone(), parsed);
                }
            }
            inputs.push((
                request.principal.clone(),
                request.action.clone(),
                request.resource.clone(),
                Typed::record(&request.context)?,
            ));
        }
        let mut cases = Vec::with_capacity(requests.len());
        for (request, (principal, action, resource, context)) in requests.into_iter().zip(inputs) {
            let cedar = cedar::Request::new(
                principal.to_cedar()?,
                action.to_cedar()?,
                resource.to_cedar()?,
                context.to_cedar_context()?,
                validating.as_ref(),
            )
            .ok();
            let recorded = request.decision.map(|decision| Answer {
                allowed: decision.eq_ignore_ascii_case("allow"),
                reasons: request.reasons.unwrap_or_default(),
                errors: request.errors.unwrap_or_default(),
            });
            cases.push(Case {
                principal,
                action,
                resource,
                context,
                recorded,
                cedar,
            });
        }
        if cases.is_empty() {
            return Err(format!("{}: no requests", directory.display()).into());
        }
        Ok(Self {
            name: directory
                .file_name()
                .unwrap_or(directory.as_os_str())
                .to_string_lossy()
                .into_owned(),
            policies,
            entities,
            authorizer,
            cases,
            types,
            validating,
        })
    }
}
