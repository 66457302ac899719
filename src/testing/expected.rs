//! What a case expects of a decision.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::decision::{Decision, Outcome};
use crate::eval::Response;
use crate::id::PolicyId;

/// What a decision should be.
///
/// ```
/// use duramen::Outcome;
/// use duramen::testing::Expected;
///
/// let by_owner = Expected::allow().by(["owners-edit"]);
/// let by_default = Expected::deny().by::<&str>([]);
/// let misspelt = Expected::deny().outcome(Outcome::InvalidRequest);
/// # let _ = (by_owner, by_default, misspelt);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    pub(super) decision: Decision,
    pub(super) outcome: Option<Outcome>,
    pub(super) determining: Option<BTreeSet<PolicyId>>,
    pub(super) errors: Errors,
}

/// Which policies should fail to evaluate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Errors {
    Of(BTreeSet<PolicyId>),
    Count(usize),
}

impl Expected {
    /// An allow, without evaluation errors.
    pub fn allow() -> Self {
        Self::new(Decision::Allow)
    }

    /// A deny that is the policies' word, a forbid's or because nothing permits, without evaluation errors.
    pub fn deny() -> Self {
        Self::new(Decision::Deny)
    }

    pub(super) fn new(decision: Decision) -> Self {
        Self {
            decision,
            outcome: None,
            determining: None,
            errors: Errors::Of(BTreeSet::new()),
        }
    }

    /// The determining policies must be these, all of them and no others.
    #[must_use]
    pub fn by<I: Into<PolicyId>>(mut self, policies: impl IntoIterator<Item = I>) -> Self {
        self.determining = Some(policies.into_iter().map(Into::into).collect());
        self
    }

    /// These policies must fail to evaluate, all of them and no others.
    #[must_use]
    pub fn errors<I: Into<PolicyId>>(mut self, policies: impl IntoIterator<Item = I>) -> Self {
        self.errors = Errors::Of(policies.into_iter().map(Into::into).collect());
        self
    }

    /// The outcome must be this one. Needed for denials that are not the policies' word.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// What is not as expected, a sentence for each.
    pub(super) fn mismatches(&self, response: &Response<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        let outcome = response.outcome();
        match self.outcome {
            Some(expected) if expected != outcome => wrong.push(format!(
                "expected the outcome `{}`, got `{}`: {outcome}",
                expected.as_str(),
                outcome.as_str()
            )),
            Some(_) => {}
            None if self.decision != outcome.decision() => wrong.push(format!(
                "expected {}, got {}: {outcome}",
                self.decision,
                outcome.decision()
            )),
            None if !is_of_policies(outcome) => wrong.push(format!(
                "expected deny by the policies, got deny: {outcome}; if that is meant, expect the outcome `{}`",
                outcome.as_str()
            )),
            None => {}
        }
        if let Some(error) = response.request_error()
            && !wrong.is_empty()
        {
            wrong.push(format!("the request is not valid: {error}"));
        }
        if let Some(expected) = &self.determining {
            let got = response.determining().map(|policy| policy.id().clone());
            wrong.extend(difference("determined by", expected, &got.collect()));
        }
        let got: BTreeSet<_> = response
            .errors()
            .map(|error| error.policy().id().clone())
            .collect();
        match &self.errors {
            Errors::Of(expected) => {
                wrong.extend(difference("evaluation errors of", expected, &got))
            }
            Errors::Count(expected) if *expected != got.len() => wrong.push(format!(
                "expected {expected} evaluation errors, got {}: {}",
                got.len(),
                list(&got)
            )),
            Errors::Count(_) => {}
        }
        wrong
    }

    /// The policies that it names.
    pub(super) fn named(&self) -> impl Iterator<Item = &PolicyId> {
        let errors = match &self.errors {
            Errors::Of(errors) => Some(errors),
            Errors::Count(_) => None,
        };
        self.determining.iter().chain(errors).flatten()
    }
}

/// Whether the policies were asked and answered.
fn is_of_policies(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Allowed | Outcome::Forbidden | Outcome::NoPermit | Outcome::EvaluationErrors
    )
}

fn difference(
    what: &str,
    expected: &BTreeSet<PolicyId>,
    got: &BTreeSet<PolicyId>,
) -> Option<String> {
    let differ = expected != got;
    differ.then(|| format!("expected {what} {}, got {}", list(expected), list(got)))
}

/// `a, b`, or `no policy`.
fn list(policies: &BTreeSet<PolicyId>) -> String {
    let mut text = String::new();
    for policy in policies {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{policy}");
    }
    match text.as_str() {
        "" => "no policy".to_owned(),
        _ => text,
    }
}
