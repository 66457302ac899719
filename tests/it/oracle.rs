//! Stock `cedar-policy` and Duramen on the same input, and the comparison of their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::str::FromStr;

use cedar_policy as cedar;
use cedar_policy::{AuthorizationError, EvaluationError};
use duramen::{
    Authorizer, Builder, Delegation, Entity, EntityUidRef, ErrorKind, Outcome, Policies, Request,
    Response, Tuning,
};

use serde_json::{Value as Json, json};

use super::value::{EntityData, Record, Uid, entities_json, record_json};

/// Policies and entities.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) policies: String,
    /// Whether both engines read the policies in their JSON form, with as much of them as can be in literal values.
    pub(crate) as_values: bool,
    pub(crate) links: Vec<Link>,
    pub(crate) entities: Vec<EntityData>,
}

/// A template link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) template: String,
    pub(crate) id: String,
    pub(crate) principal: Option<Uid>,
    pub(crate) resource: Option<Uid>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    pub(crate) context: Record,
    /// Request-scoped entities; none is not the same as an empty list only to the code that reads them.
    pub(crate) overlay: Option<Vec<EntityData>>,
    /// Whether Duramen gets context and overlay through serde rather than as JSON.
    pub(crate) typed: bool,
}

/// The entities that a request brings along.
#[derive(Clone, Copy)]
pub(crate) enum Overlay<'a> {
    None,
    Typed(&'a [Entity<'a>]),
    Json(&'a str),
}

/// Makes values of the sets, records and constructors of literals below `json`, a policy in Cedar's JSON form, which means the
/// same; then makes of some of them what would be calls elsewhere, and is data there.
fn literals_to_values(json: &mut Json) {
    match json {
        Json::Object(object) => object.values_mut().for_each(literals_to_values),
        Json::Array(items) => return items.iter_mut().for_each(literals_to_values),
        _ => return,
    }
    let value_of = |json: &Json| {
        let object = json.as_object().filter(|object| object.len() == 1);
        object.and_then(|object| object.get("Value")).cloned()
    };
    let Some((operator, operands)) = json
        .as_object()
        .filter(|o| o.len() == 1)
        .and_then(|o| o.iter().next())
    else {
        return;
    };
    let value = match (operator.as_str(), operands) {
        ("Set", Json::Array(items)) => items
            .iter()
            .map(value_of)
            .collect::<Option<Vec<_>>>()
            .map(Json::Array),
        ("Record", Json::Object(fields)) => {
            let alone = fields.len() == 1;
            let named = |(name, value): (&String, &Json)| {
                let value = value_of(value)?;
                Some(match name.as_str() {
                    // What would be a call with two arguments.
                    _ if alone => ("decimal".to_owned(), json!([value, value])),
                    "rec" => ("Value".to_owned(), value),
                    "n" => ("Record".to_owned(), value),
                    _ => (name.clone(), value),
                })
            };
            let fields = fields
                .iter()
                .map(named)
                .collect::<Option<serde_json::Map<_, _>>>();
            fields.map(Json::Object)
        }
        ("ip" | "decimal" | "datetime" | "duration", Json::Array(args)) => match args.as_slice() {
            [arg] => value_of(arg)
                .filter(Json::is_string)
                .map(|arg| json!({ "__extn": { "fn": operator, "arg": arg } })),
            _ => None,
        },
        ("==", Json::Object(sides)) => {
            let right = sides.get("right").and_then(value_of);
            if let Some(right) = right.filter(|right| !right.is_array()) {
                // Equal to the only element of a set, in a field that is called what a function is.
                let record = json!({ "Value": { "ip": [right, right] } });
                let set = json!({ ".": { "left": record, "attr": "ip" } });
                *json = json!({ "contains": { "left": set, "right": sides.get("left") } });
            }
            None
        }
        _ => None,
    };
    if let Some(value) = value {
        *json = json!({ "Value": value });
    }
}

/// Adds a call with too many arguments to a policy in Cedar's JSON form, where it is never reached.
fn add_wrong_call(policy: &mut Json) {
    let text = json!({ "Value": "10.0.0.1" });
    let call = json!({ "isIpv6": [{ "ip": [text, text] }] });
    let body = json!({ "&&": { "left": { "Value": false }, "right": call } });
    let conditions = policy.get_mut("conditions").and_then(Json::as_array_mut);
    if let Some(conditions) = conditions.filter(|conditions| conditions.len() % 2 == 1) {
        conditions.push(json!({ "kind": "unless", "body": body }));
    }
}

/// What is compared: the decision, which policies determine it, which fail and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// The request was refused.
    Invalid,
    Decided {
        allowed: bool,
        determining: BTreeSet<String>,
        errors: BTreeMap<String, ErrorKind>,
    },
}

/// Stock Cedar with a world.
pub(crate) struct Oracle {
    pub(crate) set: cedar::PolicySet,
    pub(crate) entities: cedar::Entities,
}

pub(crate) fn cedar_uid((type_name, id): &Uid) -> cedar::EntityUid {
    cedar::EntityUid::from_type_name_and_id(
        cedar::EntityTypeName::from_str(type_name).unwrap(),
        cedar::EntityId::new(id),
    )
}

impl World {
    pub(crate) fn oracle(&self) -> Result<Oracle, String> {
        let mut set = match self.as_values {
            true => {
                cedar::PolicySet::from_json_str(self.policies_json()).map_err(|e| e.to_string())?
            }
            false => cedar::PolicySet::from_str(&self.policies).map_err(|e| e.to_string())?,
        };
        for link in &self.links {
            let values = [
                (cedar::SlotId::principal(), &link.principal),
                (cedar::SlotId::resource(), &link.resource),
            ];
            let values = values
                .into_iter()
                .filter_map(|(slot, uid)| Some((slot, cedar_uid(uid.as_ref()?))))
                .collect();
            let id = |id: &str| cedar::PolicyId::new(id);
            set.link(id(&link.template), id(&link.id), values)
                .map_err(|e| e.to_string())?;
        }
        let entities = self.cedar_entities()?;
        Ok(Oracle { set, entities })
    }

    pub(crate) fn cedar_entities(&self) -> Result<cedar::Entities, String> {
        cedar::Entities::from_json_str(&entities_json(&self.entities), None)
            .map_err(|e| format!("{:?}", chain(&e)))
    }

    pub(crate) fn policies(&self) -> Policies {
        let mut policies = match self.as_values {
            true => Policies::new().json(self.policies_json()),
            false => Policies::new().text(self.policies.as_str()),
        };
        for link in &self.links {
            policies = policies.link(
                link.template.as_str(),
                link.id.as_str(),
                link.principal.as_ref().map(uid_ref),
                link.resource.as_ref().map(uid_ref),
            );
        }
        policies
    }

    /// The policies in their JSON form, where literals are values; nothing that is JSON if they are no policies.
    fn policies_json(&self) -> String {
        let set = cedar::PolicySet::from_str(&self.policies).ok();
        let json = set.and_then(|set| set.to_json().ok());
        json.map_or_else(String::new, |mut json| {
            literals_to_values(&mut json);
            let policies = json.get_mut("staticPolicies").and_then(Json::as_object_mut);
            for policy in policies
                .into_iter()
                .flat_map(|policies| policies.values_mut())
            {
                add_wrong_call(policy);
            }
            json.to_string()
        })
    }

    /// Half of the worlds file their policies as if there were many of them.
    pub(crate) fn builder(&self) -> Builder {
        let lists = self.policies.len().is_multiple_of(2);
        Authorizer::builder()
            .tuning(Tuning::default().with_short_lists(lists))
            .policies(self.policies())
            .entities(entities_json(&self.entities).as_str())
    }
}

/// All optimisations, all but one, none. That of schemas is switched where there are some (`schemas`).
pub(crate) fn tunings() -> [Tuning; 9] {
    let all = Tuning::default();
    [
        all,
        all.with_constant_folding(false),
        all.with_shared_expressions(false),
        all.with_scope_index(false),
        all.with_value_index(false),
        // The sets that tests make are small: only without lists are they filed as large ones are.
        all.with_short_lists(false),
        all.with_shared_parsing(false),
        all.with_flat_conditions(false),
        all.with_constant_folding(false)
            .with_shared_expressions(false)
            .with_scope_index(false)
            .with_value_index(false)
            .with_short_lists(false)
            .with_shared_parsing(false)
            .with_flat_conditions(false)
            .with_numbered_schema(false),
    ]
}

impl Oracle {
    pub(crate) fn decide(&self, ask: &Ask) -> Answer {
        match self.try_decide(ask) {
            Ok(response) => answer(&response),
            Err(_) => Answer::Invalid,
        }
    }

    pub(crate) fn try_decide(&self, ask: &Ask) -> Result<cedar::Response, String> {
        let context = cedar::Context::from_json_value(record_json(&ask.context), None)
            .map_err(|e| e.to_string())?;
        let request = cedar::Request::new(
            cedar_uid(&ask.principal),
            cedar_uid(&ask.action),
            cedar_uid(&ask.resource),
            context,
            None,
        )
        .map_err(|e| e.to_string())?;
        let authorizer = cedar::Authorizer::new();
        let Some(overlay) = &ask.overlay else {
            return Ok(authorizer.is_authorized(&request, &self.set, &self.entities));
        };
        let mut upserts = Vec::new();
        for entity in overlay {
            let parsed = cedar::Entity::from_json_value(entity.to_json(), None);
            upserts.push(parsed.map_err(|e| e.to_string())?);
        }
        let entities = self.entities.clone();
        let entities = entities
            .upsert_entities(upserts, None)
            .map_err(|e| e.to_string())?;
        Ok(authorizer.is_authorized(&request, &self.set, &entities))
    }

    pub(crate) fn is_forbid(&self, policy: &str) -> bool {
        let policy = self.set.policy(&cedar::PolicyId::new(policy)).unwrap();
        policy.effect() == cedar::Effect::Forbid
    }
}

/// Cedar's answer in the form that is compared.
pub(crate) fn answer(response: &cedar::Response) -> Answer {
    let diagnostics = response.diagnostics();
    Answer::Decided {
        allowed: response.decision() == cedar::Decision::Allow,
        determining: diagnostics.reason().map(ToString::to_string).collect(),
        errors: diagnostics
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| {
                (error.policy_id().to_string(), kind(error.inner()))
            })
            .collect(),
    }
}

pub(crate) fn kind(error: &EvaluationError) -> ErrorKind {
    match error {
        EvaluationError::EntityDoesNotExist(_) => ErrorKind::EntityDoesNotExist,
        EvaluationError::EntityAttrDoesNotExist(_) => ErrorKind::EntityAttrDoesNotExist,
        EvaluationError::RecordAttrDoesNotExist(_) => ErrorKind::RecordAttrDoesNotExist,
        EvaluationError::TypeError(_) => ErrorKind::TypeError,
        EvaluationError::WrongNumArguments(_) => ErrorKind::WrongNumArguments,
        EvaluationError::IntegerOverflow(_) => ErrorKind::IntegerOverflow,
        EvaluationError::FailedExtensionFunctionExecution(_) => {
            ErrorKind::FailedExtensionFunctionExecution
        }
        other => panic!("the oracle reports {other}, for which there is no kind"),
    }
}

/// Duramen's answer in the form that is compared.
pub(crate) fn ours(response: &Response<'_>) -> Answer {
    if response.outcome() == Outcome::InvalidRequest {
        assert!(response.request_error().is_some());
        return Answer::Invalid;
    }
    assert!(response.request_error().is_none());
    let determining: Vec<String> = response
        .determining()
        .map(|policy| policy.id().to_string())
        .collect();
    let errors: Vec<(String, ErrorKind)> = response
        .errors()
        .map(|error| (error.policy().id().to_string(), error.kind()))
        .collect();
    let (reasons, failures) = (determining.len(), errors.len());
    let (determining, errors): (BTreeSet<_>, BTreeMap<_, _>) = (
        determining.into_iter().collect(),
        errors.into_iter().collect(),
    );
    assert_eq!(determining.len(), reasons, "a policy determines twice");
    assert_eq!(errors.len(), failures, "a policy fails twice");
    Answer::Decided {
        allowed: response.is_allowed(),
        determining,
        errors,
    }
}

pub(crate) fn uid_ref((type_name, id): &Uid) -> EntityUidRef<'_> {
    EntityUidRef::new(type_name, id)
}

impl Ask {
    pub(crate) fn new(principal: Uid, action: Uid, resource: Uid) -> Self {
        Self {
            principal,
            action,
            resource,
            context: Record::new(),
            overlay: None,
            typed: false,
        }
    }

    /// Calls `f` with the request in Duramen's form.
    pub(crate) fn with_request<R>(&self, f: impl FnOnce(&Request<'_>) -> R) -> R {
        let request = Request::new(
            uid_ref(&self.principal),
            uid_ref(&self.action),
            uid_ref(&self.resource),
        );
        let context = record_json(&self.context).to_string();
        let request = match self.typed {
            true => request.context(&self.context),
            false => request.context_json(&context),
        };
        self.with_overlay(|overlay| match overlay {
            Overlay::None => f(&request),
            Overlay::Typed(entities) => f(&request.entities(entities)),
            Overlay::Json(entities) => f(&request.entities_json(entities)),
        })
    }

    /// Calls `f` with the request's entities in Duramen's form.
    pub(crate) fn with_overlay<R>(&self, f: impl FnOnce(Overlay<'_>) -> R) -> R {
        let Some(overlay) = &self.overlay else {
            return f(Overlay::None);
        };
        if !self.typed {
            return f(Overlay::Json(&entities_json(overlay)));
        }
        let parents: Vec<Vec<EntityUidRef<'_>>> = overlay
            .iter()
            .map(|entity| entity.parents.iter().map(uid_ref).collect())
            .collect();
        let entities: Vec<Entity<'_>> = overlay
            .iter()
            .zip(&parents)
            .map(|(entity, parents)| {
                Entity::new(uid_ref(&entity.uid))
                    .attrs(&entity.attrs)
                    .tags(&entity.tags)
                    .parents(parents)
            })
            .collect();
        f(Overlay::Typed(&entities))
    }

    /// The same, with those who act for the principal, if there are any.
    pub(crate) fn with_actors<R>(&self, actors: &[Uid], f: impl FnOnce(&Request<'_>) -> R) -> R {
        let actors: Vec<EntityUidRef<'_>> = actors.iter().map(uid_ref).collect();
        let delegation = Delegation::new(&actors);
        self.with_request(|request| match actors.is_empty() {
            true => f(request),
            false => f(&request.delegation(&delegation)),
        })
    }
}

/// A program that shows a difference.
pub(crate) fn reproduction(world: &World, ask: Option<&Ask>, what: &str) -> String {
    let mut text = format!("{what}\n\n// ---- reproduction ----\n");
    let out = &mut text;
    let _ = writeln!(
        out,
        "let policies = r##\"\n{}\n\"##;",
        world.policies.trim()
    );
    for link in &world.links {
        let _ = writeln!(out, "// {link:?}");
    }
    let entities = entities_json(&world.entities);
    let _ = writeln!(out, "let entities = r##\"{entities}\"##;");
    let _ = writeln!(
        out,
        "let authorizer = Authorizer::builder().policies(policies).entities(entities).build().unwrap();"
    );
    if let Some(ask) = ask {
        let (p, a, r) = (&ask.principal, &ask.action, &ask.resource);
        let _ = writeln!(out, "let request = Request::new({p:?}, {a:?}, {r:?})");
        let context = record_json(&ask.context);
        let _ = writeln!(
            out,
            "    .context_json(r##\"{context}\"##) // typed: {}",
            ask.typed
        );
        if let Some(overlay) = &ask.overlay {
            let _ = writeln!(
                out,
                "    .entities_json(r##\"{}\"##)",
                entities_json(overlay)
            );
        }
    }
    text
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}
