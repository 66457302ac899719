//! Deciding again what a record says was decided.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy as cedar;
use serde_json::Value as Json;

use crate::authorizer::Authorizer;
use crate::compile::Policies;
use crate::compile::load::policy_id;
use crate::decision::{Effect, Outcome};
use crate::epoch::VersionDigest;
use crate::eval::Response;
use crate::evidence::{
    OwnedDelegation, OwnedHop, OwnedInputs, OwnedPolicy, OwnedPolicyError, OwnedRecord,
};
use crate::id::{EntityUidRef, PolicyId};
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
#[non_exhaustive]
pub struct Answer {
    /// Whether the policies allow. A strict [`ErrorMode`](crate::ErrorMode) may have denied all the same.
    pub allowed: bool,
    /// The policies that determine it.
    pub determining: BTreeSet<PolicyId>,
    /// The policies that could not be evaluated.
    pub errors: BTreeMap<PolicyId, ErrorKind>,
    /// What each hop of a delegation comes to, the principal first; empty for a request without one.
    pub hops: Vec<Self>,
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
#[must_use = "whether the record was right is in it"]
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
        let authorizer = Authorizer::builder()
            .limits(wide_limits())
            .policies(policies);
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

    /// An authorizer with the policies, and with no entities: to ask for its policies, or to take it as a candidate.
    pub fn authorizer(&self) -> &Authorizer {
        &self.authorizer
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
        self.can_decide(record)?;
        let asked = asked(record)?;
        let expected = Answer::recorded(record);
        let verdict = |ask: fn(&Self, &Asked<'_>) -> Result<Answer, String>| {
            let answers = asked.iter().map(|asked| ask(self, asked));
            let answers = answers.collect::<Result<Vec<_>, _>>()?;
            let answer = match &record.delegation {
                None => answers.into_iter().next(),
                Some(delegation) => Answer::of_chain(delegation, answers),
            };
            let answer = answer.ok_or("the record has a delegation without hops")?;
            // A record may say one thing as its outcome and another as its decision.
            let is_consistent = record.decision == record.outcome.decision();
            Ok::<_, String>(match is_consistent && answer == expected {
                true => Verdict::Same,
                false => Verdict::Different(answer),
            })
        };
        Ok(Replayed::Decided {
            duramen: verdict(Self::ask_duramen)?,
            cedar: verdict(Self::ask_cedar)?,
        })
    }

    pub(super) fn can_decide(&self, record: &OwnedRecord) -> Result<(), String> {
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
        Ok(())
    }

    /// Calls `ask` with what one hop was asked, of a record that can be decided again; without a delegation there is one,
    /// the request. `None` if there is no such hop.
    pub(super) fn with_hop<R>(
        &self,
        record: &OwnedRecord,
        hop: usize,
        ask: impl FnOnce(&Authorizer, &Request<'_>) -> R,
    ) -> Result<Option<R>, String> {
        self.can_decide(record)?;
        let asked = asked(record)?;
        let asked = asked.get(hop);
        Ok(asked.map(|asked| asked.with_request(|request| ask(&self.authorizer, request))))
    }

    fn ask_duramen(&self, asked: &Asked<'_>) -> Result<Answer, String> {
        asked.with_request(|request| Answer::of(&self.authorizer.is_authorized(request)))
    }

    fn ask_cedar(&self, asked: &Asked<'_>) -> Result<Answer, String> {
        let entities = asked.inputs.to_cedar_entities();
        let entities =
            cedar::Entities::from_json_value(entities, None).map_err(|error| error.to_string())?;
        let context = cedar::Context::from_json_value(asked.context.clone(), None)
            .map_err(|error| error.to_string())?;
        let request = cedar::Request::new(
            cedar_uid(asked.principal)?,
            cedar_uid(asked.action)?,
            cedar_uid(asked.resource)?,
            context,
            None,
        )
        .map_err(|error| error.to_string())?;
        let response = cedar::Authorizer::new().is_authorized(&request, &self.set, &entities);
        let mut errors = BTreeMap::new();
        for cedar::AuthorizationError::PolicyEvaluationError(error) in
            response.diagnostics().errors()
        {
            let kind = kind(error.inner()).ok_or_else(|| error.to_string())?;
            errors.insert(policy_id(error.policy_id()), kind);
        }
        Ok(Answer {
            allowed: response.decision() == cedar::Decision::Allow,
            determining: response.diagnostics().reason().map(policy_id).collect(),
            errors,
            hops: Vec::new(),
        })
    }
}

/// One question that a record has the answer to.
pub(super) struct Asked<'r> {
    pub(super) principal: EntityUidRef<'r>,
    pub(super) action: EntityUidRef<'r>,
    pub(super) resource: EntityUidRef<'r>,
    pub(super) context: &'r Json,
    pub(super) inputs: &'r OwnedInputs,
}

impl Asked<'_> {
    fn with_request<R>(&self, ask: impl FnOnce(&Request<'_>) -> R) -> R {
        let context = self.context.to_string();
        let entities = self.inputs.to_cedar_entities().to_string();
        let request = Request::new(self.principal, self.action, self.resource)
            .context_json(&context)
            .entities_json(&entities);
        ask(&request)
    }
}

/// What was asked: the request, or the request for each hop of its delegation.
pub(super) fn asked(record: &OwnedRecord) -> Result<Vec<Asked<'_>>, String> {
    let hops = record
        .delegation
        .as_ref()
        .map(|delegation| &delegation.hops);
    if let Some(hops) = hops {
        if hops.iter().any(|hop| hop.outcome.is_none()) {
            return Err(format!("no policy was asked: {}", record.outcome));
        }
        if hops.first().map(|hop| &hop.principal) != Some(&record.principal) {
            return Err("the first hop of the delegation is not the principal".into());
        }
    }
    let first = (&record.principal, &record.context, &record.inputs);
    let actors = hops.into_iter().flatten().skip(1);
    let actors = actors.map(|hop| (&hop.principal, &hop.context, &hop.inputs));
    let asked = std::iter::once(first).chain(actors);
    let asked = asked.map(|(principal, context, inputs)| {
        let (Some(context), Some(inputs)) = (context, inputs) else {
            return Err("the record has no inputs: its sink wanted none".to_owned());
        };
        Ok(Asked {
            principal: principal.as_ref(),
            action: record.action.as_ref(),
            resource: record.resource.as_ref(),
            context,
            inputs,
        })
    });
    asked.collect()
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
            hops: Vec::new(),
        })
    }

    pub(super) fn recorded(record: &OwnedRecord) -> Self {
        let hops = record.delegation.iter().flat_map(|chain| &chain.hops);
        let hops = hops.map(Self::of_recorded_hop);
        Self::listed(
            Some(record.outcome),
            record.determining.iter(),
            record.errors.iter(),
            hops.collect(),
        )
    }

    pub(super) fn of_recorded_hop(hop: &OwnedHop) -> Self {
        let determining = hop.determining.iter().flatten();
        let errors = hop.errors.iter().flatten();
        Self::listed(hop.outcome, determining, errors, Vec::new())
    }

    fn listed<'r>(
        outcome: Option<Outcome>,
        determining: impl Iterator<Item = &'r OwnedPolicy> + Clone,
        errors: impl Iterator<Item = &'r OwnedPolicyError>,
        hops: Vec<Self>,
    ) -> Self {
        Self {
            // Strict modes deny what the policies allow; where data was too old, what they said is to be told from who
            // determines it. What a sink denies has no record.
            allowed: match outcome {
                Some(Outcome::Allowed | Outcome::EvaluationErrors) => true,
                Some(Outcome::StalePolicies | Outcome::StaleEntities) => {
                    let mut determining = determining.clone();
                    determining.any(|policy| policy.effect == Effect::Permit)
                }
                _ => false,
            },
            determining: determining.map(|policy| policy.id.clone()).collect(),
            errors: errors.map(|error| (error.id.clone(), error.kind)).collect(),
            hops,
        }
    }

    /// What a chain comes to: what the first hop that is denied does, and else all hops together. Which hops were denied
    /// although the policies allow them, the record says.
    fn of_chain(recorded: &OwnedDelegation, hops: Vec<Self>) -> Option<Self> {
        let allowed = |at: usize, hop: &Self| {
            let recorded = recorded.hops.get(at);
            hop.allowed && recorded.is_some_and(|hop| hop.outcome == Some(Outcome::Allowed))
        };
        let mut numbered = hops.iter().enumerate();
        let denied = numbered.find(|(at, hop)| !allowed(*at, hop));
        let mut answer = match denied {
            Some((_, hop)) => hop.clone(),
            None => {
                let mut all = hops.first()?.clone();
                for hop in hops.iter().skip(1) {
                    all.determining.extend(hop.determining.iter().cloned());
                    for (id, kind) in &hop.errors {
                        all.errors.entry(id.clone()).or_insert(*kind);
                    }
                }
                all
            }
        };
        answer.hops = hops;
        Some(answer)
    }
}

/// Limits for what records say: it was accepted once, under limits that may be wider than the default ones.
pub(super) fn wide_limits() -> Limits {
    Limits::default()
        .with_context_bytes(usize::MAX)
        .with_context_depth(usize::MAX)
        .with_attribute_bytes(usize::MAX)
        .with_attribute_depth(usize::MAX)
        .with_set_elements(usize::MAX)
        .with_overlay_entities(usize::MAX)
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
