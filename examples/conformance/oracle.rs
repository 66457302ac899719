//! Cedar's side.

use std::str::FromStr;

use cedar_policy as cedar;
use cedar_policy::{
    Context, Entities, PolicySet, Schema, ValidationMode, ValidationWarning, Validator,
};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::case::{Recorded, Uid};

/// A schema in either syntax.
pub(crate) fn schema(text: &str, is_json: bool) -> Result<Schema, String> {
    if is_json {
        return Schema::from_json_str(text).map_err(|error| error.to_string());
    }
    match Schema::from_cedarschema_str(text) {
        Ok((schema, _warnings)) => Ok(schema),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn policies(text: &str) -> Result<PolicySet, String> {
    PolicySet::from_str(text).map_err(|error| error.to_string())
}

/// The result of strict validation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Valid,
    /// Valid, with a warning that was an error before cedar-policy/cedar#2545: a policy whose scope no action
    /// applies to.
    ValidOfLate,
    Invalid,
}

pub(crate) fn validate(policies: &PolicySet, schema: &Schema) -> Validity {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let is_late = |warning: &ValidationWarning| {
        matches!(warning, ValidationWarning::InvalidActionApplication(_))
    };
    if !result.validation_passed() {
        Validity::Invalid
    } else if result.validation_warnings().any(is_late) {
        Validity::ValidOfLate
    } else {
        Validity::Valid
    }
}

/// Entities read by a schema, with its actions.
pub(crate) fn entities(text: &str, schema: &Schema) -> Result<Entities, String> {
    Entities::from_json_str(text, Some(schema)).map_err(|error| error.to_string())
}

/// Entities read without a schema.
pub(crate) fn plain_entities(text: &str) -> Result<Entities, String> {
    Entities::from_json_str(text, None).map_err(|error| error.to_string())
}

/// The schema's actions that are not among the entities.
pub(crate) fn missing_actions(entities: &Entities, schema: &Schema) -> Result<Entities, String> {
    let missing = schema
        .action_entities()
        .map_err(|error| error.to_string())?
        .into_iter()
        .filter(|action| entities.get(&action.uid()).is_none());
    Entities::from_entities(missing, None).map_err(|error| error.to_string())
}

/// Both together.
pub(crate) fn union(some: &Entities, others: &Entities) -> Result<Entities, String> {
    let all = some.iter().chain(others.iter()).cloned();
    Entities::from_entities(all, None).map_err(|error| error.to_string())
}

/// What a request is decided on.
#[derive(Clone, Copy)]
pub(crate) struct Oracle<'o> {
    pub(crate) policies: &'o PolicySet,
    pub(crate) entities: &'o Entities,
    /// What contexts are read by.
    pub(crate) schema: Option<&'o Schema>,
}

/// Cedar's answers to one request.
pub(crate) struct Expected {
    /// The context in explicit Cedar JSON, where it can be read and written.
    pub(crate) context: Option<Value>,
    /// When the request is not validated.
    pub(crate) plain: Answer,
    /// When it is.
    pub(crate) validated: Answer,
}

impl Oracle<'_> {
    pub(crate) fn ask(&self, recorded: &Recorded) -> Expected {
        match self.read(recorded) {
            Ok((uids, context)) => self.decide(uids, context),
            Err(why) => Expected {
                context: None,
                plain: Answer::Refused(why.clone()),
                validated: Answer::Refused(why),
            },
        }
    }

    fn read(&self, recorded: &Recorded) -> Result<([cedar::EntityUid; 3], Context), String> {
        let uids = [
            uid(&recorded.principal)?,
            uid(&recorded.action)?,
            uid(&recorded.resource)?,
        ];
        // Cedar has no context type for an action that the schema lacks; its users then read without the schema.
        let schema = self
            .schema
            .map(|schema| (schema, &uids[1]))
            .filter(|(schema, action)| schema.actions().any(|declared| declared == *action));
        let context = Context::from_json_value(recorded.context.clone(), schema)
            .map_err(|error| error.to_string())?;
        Ok((uids, context))
    }

    fn decide(&self, uids: [cedar::EntityUid; 3], context: Context) -> Expected {
        let explicit = context.to_json_value().ok();
        let answer = |schema: Option<&Schema>| {
            let [principal, action, resource] = uids.clone();
            match cedar::Request::new(principal, action, resource, context.clone(), schema) {
                Ok(request) => Answer::of_cedar(&cedar::Authorizer::new().is_authorized(
                    &request,
                    self.policies,
                    self.entities,
                )),
                Err(error) => Answer::Refused(error.to_string()),
            }
        };
        let plain = answer(None);
        let validated = match self.schema {
            Some(schema) => answer(Some(schema)),
            None => plain.clone(),
        };
        Expected {
            context: explicit,
            plain,
            validated,
        }
    }
}

fn uid(uid: &Uid) -> Result<cedar::EntityUid, String> {
    cedar::EntityUid::from_json(json!({ "type": uid.type_name, "id": uid.id }))
        .map_err(|error| error.to_string())
}
