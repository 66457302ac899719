//! Deciding again what a record says was decided.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy as cedar;
use serde_json::Value as Json;

use crate::authorizer::Authorizer;
use crate::compile::Policies;
use crate::decision::{Effect, Outcome};
use crate::epoch::VersionDigest;
use crate::eval::Response;
use crate::evidence::OwnedRecord;
use crate::id::PolicyId;
use crate::limits::Limits;
use crate::request::Request;
use crate::value::ErrorKind;

use super::archive::Written;
use super::cedar_uid;

/// Policies to decide records again with. [`PolicyArchive::load`](super::PolicyArchive::load) gives them.
#[derive(Debug)]
pub struct ArchivedPolicies {
    set: cedar::PolicySet,
    authorizer: Authorizer,
    /// Where policies and templates were written, by id.
    pub(super) written: HashMap<PolicyId, Written>,
}

/// What a decision comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whether the policies allow. A strict [`ErrorMode`](crate::ErrorMode) may have denied all the same.
    pub allowed: bool,
    /// The policies that determine it.
    pub determining: BTreeSet<PolicyId>,
    /// The policies that could not be evaluated.
    pub errors: BTreeMap<PolicyId, ErrorKind>,
}

/// What one engine makes of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It comes to the recorded answer.
    Same,
    /// It comes to this one.
    Different(Answer),
}

/// What became of a record that was decided again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// It was, by each engine for itself.
    Decided {
        /// What Duramen made of it.
        duramen: Verdict,
        /// What `cedar-policy` made of it.
        cedar: Verdict,
    },
    /// It was not, for this reason.
    NotReplayable(String),
}

impl Replayed {
    /// Whether both engines came to the recorded answer.
    pub fn is_same(&self) -> bool {
        matches!(
            self,
            Self::Decided {
                duramen: Verdict::Same,
                cedar: Verdict::Same
            }
        )
    }
}

impl ArchivedPolicies {
    pub(super) fn new(
        set: cedar::PolicySet,
        policies: Policies,
        written: HashMap<PolicyId, Written>,
    ) -> Result<Self, String> {
        // The record was accepted once, under limits that may be wider than the default ones.
        let limits = Limits::default()
            .with_context_bytes(usize::MAX)
            .with_context_depth(usize::MAX)
            .with_attribute_bytes(usize::MAX)
            .with_attribute_depth(usize::MAX)
            .with_set_elements(usize::MAX)
            .with_overlay_entities(usize::MAX);
        let authorizer = Authorizer::builder().limits(limits).policies(policies);
        let authorizer = authorizer.build().map_err(|error| error.to_string())?;
        Ok(Self {
            set,
            authorizer,
            written,
        })
    }

    /// The digest of the policies.
    pub fn digest(&self) -> VersionDigest {
        self.authorizer.version().policies()
    }

    /// The policies, for `cedar-policy`.
    pub fn policy_set(&self) -> &cedar::PolicySet {
        &self.set
    }

    /// Decides again what a record says was decided, with Duramen and with `cedar-policy`, from what the record says was
    /// read. Whether the record is as it was written is for [`verify`](crate::evidence::log::verify) to say.
    ///
    /// # Errors
    /// None: what cannot be decided is [`Replayed::NotReplayable`], with the reason.
    pub fn replay(&self, record: &OwnedRecord) -> Replayed {
        match self.try_replay(record) {
            Ok(replayed) => replayed,
            Err(reason) => Replayed::NotReplayable(reason),
        }
    }

    fn try_replay(&self, record: &OwnedRecord) -> Result<Replayed, String> {
        let (context, entities) = self.recorded(record)?;
        let expected = Answer::recorded(record);
        let verdict = |answer: Answer| match answer == expected {
            true => Verdict::Same,
            false => Verdict::Different(answer),
        };
        Ok(Replayed::Decided {
            duramen: verdict(self.ask_duramen(record, context, &entities)?),
            cedar: verdict(self.ask_cedar(record, context, entities)?),
        })
    }

    /// What there is to decide a record again with: its context and entities.
    fn recorded<'r>(&self, record: &'r OwnedRecord) -> Result<(&'r Json, Json), String> {
        if let Some(error) = &record.request_error {
            return Err(format!("the request could not be decided: {error}"));
        }
        if record.version.policies() != self.digest() {
            return Err(format!(
                "the record names policies with the digest {}",
                record.version.policies()
            ));
        }
        if record.replayable == Some(false) {
            return Err(format!("masked: {}", record.masked.join(", ")));
        }
        let (Some(context), Some(inputs)) = (&record.context, &record.inputs) else {
            return Err("the record has no inputs: its sink wanted none".into());
        };
        Ok((context, inputs.to_cedar_entities()))
    }

    /// Calls `ask` with the request of a record that can be decided again.
    pub(super) fn with_request<R>(
        &self,
        record: &OwnedRecord,
        ask: impl FnOnce(&Authorizer, &Request<'_>) -> R,
    ) -> Result<R, String> {
        let (context, entities) = self.recorded(record)?;
        Ok(self.ask(record, context, &entities, ask))
    }

    fn ask<R>(
        &self,
        record: &OwnedRecord,
        context: &Json,
        entities: &Json,
        ask: impl FnOnce(&Authorizer, &Request<'_>) -> R,
    ) -> R {
        let (context, entities) = (context.to_string(), entities.to_string());
        let request = Request::new(
            record.principal.as_ref(),
            record.action.as_ref(),
            record.resource.as_ref(),
        )
        .context_json(&context)
        .entities_json(&entities);
        ask(&self.authorizer, &request)
    }

    fn ask_duramen(
        &self,
        record: &OwnedRecord,
        context: &Json,
        entities: &Json,
    ) -> Result<Answer, String> {
        self.ask(record, context, entities, |authorizer, request| {
            Answer::of(&authorizer.is_authorized(request))
        })
    }

    fn ask_cedar(
        &self,
        record: &OwnedRecord,
        context: &Json,
        entities: Json,
    ) -> Result<Answer, String> {
        let entities =
            cedar::Entities::from_json_value(entities, None).map_err(|error| error.to_string())?;
        let context = cedar::Context::from_json_value(context.clone(), None)
            .map_err(|error| error.to_string())?;
        let request = cedar::Request::new(
            cedar_uid(record.principal.as_ref())?,
            cedar_uid(record.action.as_ref())?,
            cedar_uid(record.resource.as_ref())?,
            context,
            None,
        )
        .map_err(|error| error.to_string())?;
        let response = cedar::Authorizer::new().is_authorized(&request, &self.set, &entities);
        let id = |id: &cedar::PolicyId| PolicyId::new(id.to_string());
        let mut errors = BTreeMap::new();
        for cedar::AuthorizationError::PolicyEvaluationError(error) in
            response.diagnostics().errors()
        {
            let kind = kind(error.inner()).ok_or_else(|| error.to_string())?;
            errors.insert(id(error.policy_id()), kind);
        }
        Ok(Answer {
            allowed: response.decision() == cedar::Decision::Allow,
            determining: response.diagnostics().reason().map(id).collect(),
            errors,
        })
    }
}

impl Answer {
    pub(super) fn of(response: &Response<'_>) -> Result<Self, String> {
        if let Some(error) = response.request_error() {
            return Err(error.to_string());
        }
        Ok(Self {
            allowed: response.is_allowed(),
            determining: response
                .determining()
                .map(|policy| policy.id().clone())
                .collect(),
            errors: response
                .errors()
                .map(|error| (error.policy().id().clone(), error.kind()))
                .collect(),
        })
    }

    pub(super) fn recorded(record: &OwnedRecord) -> Self {
        Self {
            // Strict modes and sinks deny what the policies allow; where data was too old, what they said is to be told
            // from who determines it.
            allowed: match record.outcome {
                Outcome::Allowed | Outcome::EvaluationErrors | Outcome::EvidenceNotKept => true,
                Outcome::StalePolicies | Outcome::StaleEntities => {
                    let mut determining = record.determining.iter();
                    determining.any(|policy| policy.effect == Effect::Permit)
                }
                _ => false,
            },
            determining: record
                .determining
                .iter()
                .map(|policy| policy.id.clone())
                .collect(),
            errors: record
                .errors
                .iter()
                .map(|error| (error.id.clone(), error.kind))
                .collect(),
        }
    }
}

/// Our name for Cedar's error; `None` for those that no policy that loads can raise.
fn kind(error: &cedar::EvaluationError) -> Option<ErrorKind> {
    use cedar::EvaluationError as Error;
    Some(match error {
        Error::EntityDoesNotExist(_) => ErrorKind::EntityDoesNotExist,
        Error::EntityAttrDoesNotExist(_) => ErrorKind::EntityAttrDoesNotExist,
        Error::RecordAttrDoesNotExist(_) => ErrorKind::RecordAttrDoesNotExist,
        Error::TypeError(_) => ErrorKind::TypeError,
        Error::WrongNumArguments(_) => ErrorKind::WrongNumArguments,
        Error::IntegerOverflow(_) => ErrorKind::IntegerOverflow,
        Error::FailedExtensionFunctionExecution(_) => ErrorKind::FailedExtensionFunctionExecution,
        _ => return None,
    })
}
