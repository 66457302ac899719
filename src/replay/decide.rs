//! Deciding again what a record says was decided.

use std::collections::{BTreeMap, HashMap, HashSet};

use cedar_policy as cedar;

use crate::authorizer::Authorizer;
use crate::compile::load::policy_id;
use crate::compile::{Policies, stack};
use crate::epoch::VersionDigest;
use crate::evidence::{OwnedPolicy, OwnedRecord, RecordedPolicy};
use crate::id::PolicyId;
use crate::limits::Limits;
use crate::request::Request;
use crate::value::ErrorKind;

use super::answer::Answer;
use super::archive::Written;
use super::asked::{Asked, asked};
use super::cedar_uid;
use super::reason::{NotReplayable, NotReplayableKind};
use super::recorded::{Fields, RecordedEntity};

/// Policies to decide records again with. [`PolicyArchive::load`](super::PolicyArchive::load) gives them.
#[derive(Debug)]
pub struct ArchivedPolicies {
    set: cedar::PolicySet,
    authorizer: Authorizer,
    /// Where policies and templates were written, by id.
    pub(super) written: HashMap<PolicyId, Written>,
    pub(super) limits: Limits,
}

/// How many ancestors the entities of a record may have together: Cedar takes more than 200 bytes for each.
const CEDAR_ANCESTORS: usize = 1 << 21;

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
    NotReplayable(NotReplayable),
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
        limits: Limits,
    ) -> Result<Self, String> {
        let authorizer = Authorizer::builder().limits(limits).policies(policies);
        let authorizer = authorizer.build().map_err(|error| error.to_string())?;
        Ok(Self {
            set,
            authorizer,
            written,
            limits,
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
    /// read. What cannot be decided again is [`Replayed::NotReplayable`], with the reason. Whether the record is as it was
    /// written is for [`verify`](crate::evidence::log::verify) to say.
    pub fn replay(&self, record: &OwnedRecord) -> Replayed {
        match self.try_replay(record) {
            Ok(replayed) => replayed,
            Err(reason) => Replayed::NotReplayable(reason),
        }
    }

    fn try_replay(&self, record: &OwnedRecord) -> Result<Replayed, NotReplayable> {
        self.can_decide(record)?;
        let asked = asked(record, &self.limits)?;
        let expected = Answer::recorded(record);
        // A record may say one thing as its outcome and another as its decision, or as what determines it.
        let is_consistent = expected.bears_out(record) && self.lists_truly(record);
        let verdict = |ask: fn(&Self, &Asked<'_>) -> Result<Answer, NotReplayable>| {
            let answers = asked.iter().map(|asked| ask(self, asked));
            let answers = answers.collect::<Result<Vec<_>, _>>()?;
            let answer = match &record.delegation {
                None => answers.into_iter().next(),
                Some(delegation) => Answer::of_chain(delegation, answers),
            };
            let answer = answer.ok_or_else(|| {
                NotReplayable::unreadable("the record has a delegation without hops")
            })?;
            Ok::<_, NotReplayable>(match is_consistent && answer == expected {
                true => Verdict::Same,
                false => Verdict::Different(answer),
            })
        };
        Ok(Replayed::Decided {
            duramen: verdict(Self::ask_duramen)?,
            cedar: verdict(Self::ask_cedar)?,
        })
    }

    /// Whether what a record says of the policies that it lists is what they are, and each is there once in a list. The answers that
    /// are compared have only their ids.
    pub(super) fn lists_truly(&self, record: &OwnedRecord) -> bool {
        let epoch = self.authorizer.epoch();
        let is_true = |policy: &OwnedPolicy| {
            let known = epoch.find(policy.id.as_str());
            known
                .is_some_and(|known| OwnedPolicy::of(RecordedPolicy::new(&epoch, known)) == *policy)
        };
        let hops = record.delegation.iter().flat_map(|chain| &chain.hops);
        let determining = hops.clone().flat_map(|hop| &hop.determining);
        let mut determining = determining.chain([&record.determining]);
        let mut errors = hops.flat_map(|hop| &hop.errors).chain([&record.errors]);
        determining.all(|list| {
            are_distinct(list.iter().map(|policy| &policy.id)) && list.iter().all(is_true)
        }) && errors.all(|list| are_distinct(list.iter().map(|error| &error.id)))
    }

    pub(super) fn can_decide(&self, record: &OwnedRecord) -> Result<(), NotReplayable> {
        if let Some(error) = &record.request_error {
            let what = format!("the request could not be decided: {error}");
            return Err(NotReplayable::new(NotReplayableKind::RequestRefused, what));
        }
        if record.version.policies() != self.digest() {
            let digest = record.version.policies();
            let what = format!("the record names policies with the digest {digest}");
            return Err(NotReplayable::new(NotReplayableKind::OtherPolicies, what));
        }
        if record.replayable == Some(false) {
            let what = format!("masked: {}", record.masked.join(", "));
            return Err(NotReplayable::new(NotReplayableKind::Masked, what));
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
    ) -> Result<Option<R>, NotReplayable> {
        self.can_decide(record)?;
        let asked = asked(record, &self.limits)?;
        let asked = asked.get(hop);
        asked
            .map(|asked| asked.with_request(|request| ask(&self.authorizer, request)))
            .transpose()
    }

    fn ask_duramen(&self, asked: &Asked<'_>) -> Result<Answer, NotReplayable> {
        let answer =
            asked.with_request(|request| Answer::of(&self.authorizer.is_authorized(request)))?;
        answer.map_err(NotReplayable::unreadable)
    }

    /// Where the caller's stack is too short for a policy, Cedar says that the policy fails: on one that is long enough, then.
    fn decide_with_cedar(
        &self,
        request: &cedar::Request,
        entities: &cedar::Entities,
    ) -> cedar::Response {
        let decide = || cedar::Authorizer::new().is_authorized(request, &self.set, entities);
        let response = decide();
        let is_unknown = |error: &cedar::AuthorizationError| {
            let cedar::AuthorizationError::PolicyEvaluationError(error) = error;
            kind(error.inner()).is_none()
        };
        if !response.diagnostics().errors().any(is_unknown) {
            return response;
        }
        stack::with_parser_stack(&self.limits, decide).unwrap_or(response)
    }

    fn ask_cedar(&self, asked: &Asked<'_>) -> Result<Answer, NotReplayable> {
        self.try_ask_cedar(asked).map_err(NotReplayable::unreadable)
    }

    fn try_ask_cedar(&self, asked: &Asked<'_>) -> Result<Answer, String> {
        let entities = self.entities_for_cedar(&RecordedEntity::all(asked.inputs)?)?;
        let context = cedar::Context::from_pairs(Fields::of(asked.context)?.to_cedar()?)
            .map_err(|error| error.to_string())?;
        let request = cedar::Request::new(
            cedar_uid(asked.principal)?,
            cedar_uid(asked.action)?,
            cedar_uid(asked.resource)?,
            context,
            None,
        )
        .map_err(|error| error.to_string())?;
        let response = self.decide_with_cedar(&request, &entities);
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

    /// Cedar calls itself for each level of a hierarchy, and keeps for each entity all that is above it. A record is from
    /// anywhere: what no store and no request may have is not given to Cedar.
    fn entities_for_cedar(&self, all: &[RecordedEntity<'_>]) -> Result<cedar::Entities, String> {
        let hierarchy =
            RecordedEntity::hierarchy(all).ok_or("an entity of the inputs is above itself")?;
        let levels = hierarchy.levels;
        // A request's own entities may be in one another, and above them what is stored.
        let own = Limits::default().overlay_entities();
        let most = self.limits.hierarchy_depth().saturating_add(own);
        if levels > most {
            return Err(format!(
                "the entities of the inputs are in {levels} levels above one another, and no more than {most} can be"
            ));
        }
        if !hierarchy.has_no_more_ancestors_than(CEDAR_ANCESTORS) {
            return Err(format!(
                "the entities of the inputs have more than {CEDAR_ANCESTORS} ancestors together, of which Cedar would keep a copy each"
            ));
        }
        let entities = all.iter().map(RecordedEntity::to_cedar);
        let entities = entities.collect::<Result<Vec<_>, _>>()?;
        let make =
            || cedar::Entities::from_entities(entities, None).map_err(|error| error.to_string());
        // A thread for each record would take longer than most records do.
        if levels < 100 {
            return make();
        }
        stack::with_parser_stack(&self.limits, make).map_err(|error| error.to_string())?
    }
}

fn are_distinct<'p>(mut ids: impl Iterator<Item = &'p PolicyId>) -> bool {
    let mut seen = HashSet::new();
    ids.all(|id| seen.insert(id))
}

/// Limits for policies, and none for what records say: it was accepted once, under limits that may have been wider.
pub(super) fn wide(of_policies: Limits) -> Limits {
    of_policies
        .with_input_bytes(usize::MAX)
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
