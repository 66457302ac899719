//! Why a decision is what it is: which clause of which policy decided, what made a permit fail, and on which values.
//!
//! ```
//! use duramen::{Authorizer, Request};
//!
//! let authorizer = Authorizer::builder()
//!     .policies(r#"
//! @reason("Owners edit, in working hours.")
//! permit (principal, action == Action::"edit", resource)
//! when { resource.owner == principal }
//! unless { context.hour < 8 || context.hour > 17 };
//! "#)
//!     .entities(r#"[{ "uid": { "type": "Doc", "id": "plan" },
//!                     "attrs": { "owner": { "__entity": { "type": "User", "id": "ann" } } },
//!                     "parents": [] }]"#)
//!     .build()?;
//!
//! let request = Request::new(("User", "ann"), ("Action", "edit"), ("Doc", "plan"))
//!     .context_json(r#"{ "hour": 20 }"#);
//! let explanation = authorizer.explain(&request);
//!
//! // As data, to be serialized with any serde format:
//! let policy = &explanation.policies[0];
//! assert_eq!(policy.reasons[0].expression, "context.hour > 17");
//! assert_eq!(policy.reasons[0].values[0].value, "20");
//!
//! // And as text:
//! assert_eq!(explanation.to_string(), r#"deny: no permit matched
//! principal User::"ann", action Action::"edit", resource Doc::"plan"
//!
//! permit policy0 does not apply: 1 of its 2 conditions holds
//!     @reason("Owners edit, in working hours.")
//!  --> 3:1
//! 3 | permit (principal, action == Action::"edit", resource)
//! 5 | unless { context.hour < 8 || context.hour > 17 };
//!   |                              ^^^^^^^^^^^^^^^^^ is true
//!   |                              where context.hour is 20
//! "#);
//! # Ok::<(), duramen::BuildError>(())
//! ```
//!
//! An explanation is made when it is asked for, by a second walk over all policies in force: for people, not for hot
//! paths. It leaves no record. It shows values of attributes and of the context: show it to those who may see them.

mod build;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assumption must fail the test"
)]
mod tests;
mod text;
mod written;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::decision::{Decision, Effect, Outcome};
use crate::epoch::Version;
use crate::id::{EntityUid, PolicyId};
use crate::value::ErrorKind;

pub(crate) use written::conditions;

/// Why a decision is what it is. Made by [`Authorizer::explain`](crate::Authorizer::explain),
/// [`Pinned::explain`](crate::Pinned::explain), [`Response::explain`](crate::Response::explain) and, from a record,
/// [`ArchivedPolicies::explain`](crate::replay::ArchivedPolicies::explain).
///
/// Its `Display` is text for people, with the lines of the policies.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Who asked. Of a request with a delegation: the first hop that is denied, or else the principal, which is the one that
    /// the explanation is about.
    pub principal: EntityUid,
    /// What they wanted to do.
    pub action: EntityUid,
    /// What they wanted to do it to.
    pub resource: EntityUid,
    /// Allow or deny.
    pub decision: Decision,
    /// Why, in a word.
    pub outcome: Outcome,
    /// What was wrong with the request, when no policy could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_error: Option<String>,
    /// The policies, schema and entities that it is about.
    pub version: Version,
    /// The policies that matter, those first that matter most: the order of [`Part`]. Permits that do not apply are only
    /// there when none does, the nearest first.
    pub policies: Vec<ExplainedPolicy>,
    /// How many more there are of each part than [`ExplainOptions::with_policies`] lets in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<Part, usize>,
}

/// The part that a policy plays in a decision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The decision rests on it.
    Determining,
    /// It could not be evaluated: it counts for nothing, or denies, as the [`ErrorMode`](crate::ErrorMode) says.
    Failed,
    /// It applies, and others outweigh it.
    Overruled,
    /// Its scope matches, its conditions do not hold.
    Unmet,
    /// Its scope does not match.
    OutOfScope,
}

/// What became of one policy.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct ExplainedPolicy {
    /// The policy's id.
    pub id: PolicyId,
    /// The id of its template, when it is a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PolicyId>,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Its annotations, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The part it plays.
    pub part: Part,
    /// How it failed, when it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorKind>,
    /// How many of its conditions hold, counted up to the first that does not: `a && b` are two.
    pub held: u32,
    /// How many conditions it has.
    pub conditions: u32,
    /// The condition that is not met or failed, as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// The tests that decided, as far as `&&`, `||`, `!` and `if` let them: of the condition that is not met, or of all
    /// when the policy applies. For a policy that failed, the expression that did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The sides of its scope that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<ScopeMiss>,
    /// Where it is written; for policies from JSON or a `cedar_policy::PolicySet`, their own text, as Cedar writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// A clause's keyword.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clause {
    /// `when { … }`
    When,
    /// `unless { … }`
    Unless,
}

/// A condition: the whole of an `unless` clause, or one of the operands of `&&` that a `when` clause is made of.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Condition {
    /// The kind of clause that it is in.
    pub clause: Clause,
    /// The number of the clause in the policy, from 0.
    pub number: u32,
    /// As it is written; where that is not known, made from the compiled policy.
    pub expression: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A test that a decision rests on.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// The kind of clause that it is in.
    pub clause: Clause,
    /// Where in the policy: as [`RecordedError::path`](crate::evidence::RecordedError::path).
    pub path: Vec<u32>,
    /// As it is written; where that is not known, made from the compiled policy.
    pub expression: String,
    /// Where it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What it came to; `None` when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<bool>,
    /// What its parts came to, those that were evaluated and are no literals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Seen>,
}

/// An expression and its value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Seen {
    /// The expression, as in [`Reason::expression`].
    pub expression: String,
    /// Its value, in Cedar's syntax.
    pub value: String,
}

/// A side of a scope that does not match.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct ScopeMiss {
    /// `principal`, `action` or `resource`.
    pub side: &'static str,
    /// What the policy asks for, with the link's entity in a template's slot.
    pub expression: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Where a policy is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Source {
    /// The file that has the text, if it was loaded from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of its `permit` or `forbid`, from 1, in its text.
    pub line: u32,
    /// The column, in characters from 1.
    pub column: u32,
    /// That line and those that the places are on.
    pub lines: Vec<Line>,
}

/// A line of a source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// Its number, from 1.
    pub number: u32,
    /// Its text, up to the line break.
    pub text: String,
}

/// Where an expression is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// The line it begins on, from 1, in the text that was loaded.
    pub line: u32,
    /// The column, in characters from 1.
    pub column: u32,
    /// How many characters of it are on that line.
    pub width: u32,
    /// Its bytes in that text.
    pub bytes: Range<usize>,
}

/// How much an explanation tells.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    policies: usize,
    values: usize,
    pub(crate) text_bytes: usize,
    everything: bool,
    /// Policies to tell of in any case, and before others of their part.
    named: Vec<PolicyId>,
}

impl Default for ExplainOptions {
    fn default() -> Self {
        Self {
            policies: 5,
            values: 16,
            text_bytes: 200,
            everything: false,
            named: Vec::new(),
        }
    }
}

impl ExplainOptions {
    /// At most 5 policies of each part, 16 reasons and values of each, and 200 bytes of each expression and value.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most so many policies of each [`Part`].
    #[must_use]
    pub fn with_policies(self, policies: usize) -> Self {
        Self { policies, ..self }
    }

    /// At most so many reasons, and values of them, for each policy.
    #[must_use]
    pub fn with_values(self, values: usize) -> Self {
        Self { values, ..self }
    }

    /// At most so many bytes of each expression, value, annotation and line of source; what is cut off ends in `…`.
    #[must_use]
    pub fn with_text_bytes(self, text_bytes: usize) -> Self {
        Self { text_bytes, ..self }
    }

    /// Also the policies with these ids, whatever part they play, and before others of that [`Part`]: "why did this one not
    /// decide?"
    #[must_use]
    pub fn with_named(self, ids: impl IntoIterator<Item = PolicyId>) -> Self {
        Self {
            named: ids.into_iter().collect(),
            ..self
        }
    }

    /// Also the policies that do not matter: forbids that do not apply, and permits that do not although another does.
    #[must_use]
    pub fn with_everything(self) -> Self {
        Self {
            everything: true,
            ..self
        }
    }
}
