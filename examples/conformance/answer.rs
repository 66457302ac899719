//! What either engine answers, in one form.

use std::fmt;

use cedar_policy as cedar;
use duramen::{ErrorKind, Outcome, Response};

use crate::case::{Recorded, RecordedDecision};

/// The answer to a request.
#[derive(Clone)]
pub(crate) enum Answer {
    Decided(Decided),
    /// The request, or what it is to be decided on, was refused.
    Refused(String),
    /// Cedar ran out of stack, which says nothing about the request.
    RecursionLimit,
}

/// A decision with its reasons, policies in the order of their ids.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Decided {
    allowed: bool,
    reasons: Vec<String>,
    /// Each erroring policy with the kind of its error.
    errors: Vec<(String, &'static str)>,
}

impl Answer {
    /// Whether another answer is the same. Refusals have different words for the same thing.
    pub(crate) fn agrees(&self, got: &Self) -> bool {
        match (self, got) {
            (Self::RecursionLimit, _) => true,
            (Self::Decided(expected), Self::Decided(got)) => expected == got,
            (Self::Refused(_), Self::Refused(_)) => true,
            _ => false,
        }
    }

    /// Whether it is the recorded answer. A refusal counts as a deny without reasons. Kinds of errors are not
    /// recorded.
    pub(crate) fn is_recorded(&self, recorded: &Recorded) -> bool {
        let sorted = |ids: &[String]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        let allowed = recorded.decision == RecordedDecision::Allow;
        match self {
            Self::RecursionLimit => true,
            Self::Refused(_) => {
                !allowed && recorded.reason.is_empty() && recorded.errors.is_empty()
            }
            Self::Decided(decided) => {
                let errors = decided.errors.iter().map(|(policy, _)| policy);
                decided.allowed == allowed
                    && decided.reasons == sorted(&recorded.reason)
                    && errors.eq(&sorted(&recorded.errors))
            }
        }
    }

    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Decided(decided) if decided.allowed)
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    pub(crate) fn of_cedar(response: &cedar::Response) -> Self {
        let mut reasons: Vec<String> = response
            .diagnostics()
            .reason()
            .map(ToString::to_string)
            .collect();
        reasons.sort_unstable();
        let mut errors = Vec::new();
        for error in response.diagnostics().errors() {
            let cedar::AuthorizationError::PolicyEvaluationError(error) = error;
            match kind_of(error.inner()) {
                Some(kind) => errors.push((error.policy_id().to_string(), kind)),
                None => return Self::RecursionLimit,
            }
        }
        errors.sort_unstable();
        Self::Decided(Decided {
            allowed: response.decision() == cedar::Decision::Allow,
            reasons,
            errors,
        })
    }

    pub(crate) fn of_duramen(response: &Response<'_>) -> Self {
        if response.outcome() == Outcome::InvalidRequest {
            return Self::Refused(
                response
                    .request_error()
                    .map_or_else(|| "no reason given".into(), ToString::to_string),
            );
        }
        let mut reasons: Vec<String> = response
            .determining()
            .map(|policy| policy.id().to_string())
            .collect();
        reasons.sort_unstable();
        let mut errors: Vec<(String, &'static str)> = response
            .errors()
            .map(|error| (error.policy().id().to_string(), error.kind().as_str()))
            .collect();
        errors.sort_unstable();
        Self::Decided(Decided {
            allowed: response.is_allowed(),
            reasons,
            errors,
        })
    }
}

/// The name of our kind for an error of Cedar's; `None` for its recursion limit.
fn kind_of(error: &cedar::EvaluationError) -> Option<&'static str> {
    use cedar::EvaluationError as Cedar;
    Some(match error {
        Cedar::EntityDoesNotExist(_) => ErrorKind::EntityDoesNotExist.as_str(),
        Cedar::EntityAttrDoesNotExist(_) => ErrorKind::EntityAttrDoesNotExist.as_str(),
        Cedar::RecordAttrDoesNotExist(_) => ErrorKind::RecordAttrDoesNotExist.as_str(),
        Cedar::TypeError(_) => ErrorKind::TypeError.as_str(),
        Cedar::WrongNumArguments(_) => ErrorKind::WrongNumArguments.as_str(),
        Cedar::IntegerOverflow(_) => ErrorKind::IntegerOverflow.as_str(),
        Cedar::FailedExtensionFunctionExecution(_) => {
            ErrorKind::FailedExtensionFunctionExecution.as_str()
        }
        Cedar::RecursionLimit(_) => return None,
        _ => "an error that Duramen has no word for",
    })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided(decided) => decided.fmt(f),
            Self::Refused(why) => write!(f, "refused ({why})"),
            Self::RecursionLimit => f.write_str("recursion limit"),
        }
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(decision(self.allowed))?;
        list(f, "by", &self.reasons, |policy| policy.clone())?;
        list(f, "errors", &self.errors, |(policy, kind)| {
            format!("{policy} {kind}")
        })
    }
}

/// A recorded answer, to print.
pub(crate) struct AsRecorded<'r>(pub(crate) &'r Recorded);

impl fmt::Display for AsRecorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recorded = self.0;
        f.write_str(decision(recorded.decision == RecordedDecision::Allow))?;
        list(f, "by", &recorded.reason, Clone::clone)?;
        list(f, "errors", &recorded.errors, Clone::clone)
    }
}

pub(crate) fn decision(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    items: &[T],
    text: impl Fn(&T) -> String,
) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    let items: Vec<String> = items.iter().map(text).collect();
    write!(f, ", {what} [{}]", items.join(", "))
}
