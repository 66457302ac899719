//! What a decision says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Allow or deny, as in Cedar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[must_use]
pub enum Decision {
    /// At least one permit applies and no forbid does.
    Allow,
    /// Anything else.
    Deny,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// Why the decision is what it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// A permit applied and no forbid did.
    Allowed,
    /// A forbid applied; the determining policies are all that did.
    Forbidden,
    /// No policy applied, so the default (deny) stands.
    NoPermit,
    /// The decision would have been allow, but policies failed to evaluate and
    /// [`ErrorMode`] turns that into a deny.
    EvaluationErrors,
    /// The request could not be understood or failed validation against the schema; no policy was asked.
    InvalidRequest,
    /// The evidence of the decision could not be kept, and its sink demands that nothing is allowed then.
    EvidenceNotKept,
    /// The policies are older than [`Freshness`](crate::Freshness) allows, or the clock cannot tell how old they are.
    /// What the policies say all the same is in the determining policies.
    StalePolicies,
    /// The entities, or those of a type that the decision rests on, are older than [`Freshness`](crate::Freshness) allows,
    /// or the clock cannot tell how old they are. What the policies say all the same is in the determining policies.
    StaleEntities,
    /// The request's delegation has more actors than
    /// [`Limits::delegation_actors`](crate::Limits::delegation_actors) allows; no policy was asked.
    DelegationTooLong,
    /// Somebody occurs twice in the request's delegation; no policy was asked.
    DelegationCycle,
    /// The request's delegation holds only later; no policy was asked.
    DelegationNotYetValid,
    /// The request's delegation has expired; no policy was asked.
    DelegationExpired,
}

impl Outcome {
    /// All there are, each at the place of its number.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 12] = [
        Self::Allowed,
        Self::Forbidden,
        Self::NoPermit,
        Self::EvaluationErrors,
        Self::InvalidRequest,
        Self::EvidenceNotKept,
        Self::StalePolicies,
        Self::StaleEntities,
        Self::DelegationTooLong,
        Self::DelegationCycle,
        Self::DelegationNotYetValid,
        Self::DelegationExpired,
    ];

    /// The decision that goes with the outcome: only [`Outcome::Allowed`] allows.
    pub fn decision(self) -> Decision {
        match self {
            Self::Allowed => Decision::Allow,
            _ => Decision::Deny,
        }
    }

    /// The outcome's name in records, `snake_case`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Forbidden => "forbidden",
            Self::NoPermit => "no_permit",
            Self::EvaluationErrors => "evaluation_errors",
            Self::InvalidRequest => "invalid_request",
            Self::DelegationTooLong => "delegation_too_long",
            Self::DelegationCycle => "delegation_cycle",
            Self::DelegationNotYetValid => "delegation_not_yet_valid",
            Self::DelegationExpired => "delegation_expired",
            Self::EvidenceNotKept => "evidence_not_kept",
            Self::StalePolicies => "stale_policies",
            Self::StaleEntities => "stale_entities",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Forbidden => "forbidden by policy",
            Self::NoPermit => "no permit matched",
            Self::EvaluationErrors => "denied because policies failed to evaluate",
            Self::InvalidRequest => "denied because the request is not valid",
            Self::DelegationTooLong => "denied because too many act for one another",
            Self::DelegationCycle => "denied because the delegation goes in a circle",
            Self::DelegationNotYetValid => "denied because the delegation is not valid yet",
            Self::DelegationExpired => "denied because the delegation has expired",
            Self::EvidenceNotKept => "denied because its evidence could not be kept",
            Self::StalePolicies => "denied because the policies are too old",
            Self::StaleEntities => "denied because the entities are too old",
        })
    }
}

/// Whether a decision is the one that callers are told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EnforcementMode {
    /// It is.
    #[default]
    Enforce,
    /// It is what other policies, which are tried out beside those in force, come to. No caller is told.
    Shadow,
}

impl fmt::Display for EnforcementMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        })
    }
}

/// What an evaluation error does to the decision.
///
/// Cedar skips a policy whose evaluation fails, permit and forbid alike. A forbid that errors is then as
/// good as absent, which surprises people; the stricter modes only ever turn an allow into a deny.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum ErrorMode {
    /// Exactly Cedar: erroring policies are skipped and reported.
    #[default]
    Cedar,
    /// An allow becomes a deny when a forbid errored.
    DenyOnForbidError,
    /// An allow becomes a deny when any policy errored.
    DenyOnAnyError,
}

/// Whether a policy permits or forbids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// `permit`
    Permit,
    /// `forbid`
    Forbid,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        })
    }
}
