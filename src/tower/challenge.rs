//! Asking for a step-up: the challenge of RFC 9470.

use std::fmt;

use crate::authorizer::Authorizer;
use crate::decision::{Effect, Outcome};
use crate::eval::Response;
use crate::evidence::{RecordedHop, RecordedPolicy};
use crate::id::PolicyId;

/// Why step-ups cannot be asked for as configured: the error of
/// [`AuthorizationLayer::challenge_step_up`](super::AuthorizationLayer::challenge_step_up).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ChallengeError {
    /// This is no authentication scheme: one token of RFC 9110, section 5.6.2.
    Scheme(String),
    /// These forbids have an annotation `@step_up` that cannot stand among `acr_values`; at least one.
    Levels(Vec<PolicyId>),
}

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        match self {
            Self::Scheme(scheme) => write!(
                f,
                "`{}` is no authentication scheme; write one word, such as `Bearer` or `DPoP`",
                scheme.escape_debug()
            ),
            Self::Levels(policies) => {
                f.write_str("no challenge can say the annotation `@step_up` of ")?;
                for (at, policy) in policies.iter().take(SHOWN).enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{policy}")?;
                }
                if let Some(more @ 1..) = policies.len().checked_sub(SHOWN) {
                    write!(f, " and {more} more")?;
                }
                f.write_str("; write one word of printable ASCII, without `\"` and `\\`")
            }
        }
    }
}

impl std::error::Error for ChallengeError {}

/// Whether challenges of this scheme can say what the policies in force ask for.
pub(super) fn check(scheme: &str, authorizer: &Authorizer) -> Result<(), ChallengeError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(token) {
        return Err(ChallengeError::Scheme(scheme.to_owned()));
    }
    let epoch = authorizer.epoch();
    let policies = epoch.in_force().map(|n| RecordedPolicy::new(&epoch, n));
    let forbids = policies.filter(|policy| policy.effect() == Effect::Forbid);
    let unfit = |policy: &RecordedPolicy<'_>| {
        let level = policy.annotation("step_up");
        level.is_some_and(|level| !fits(level))
    };
    let wrong: Vec<PolicyId> = forbids
        .filter(unfit)
        .map(|policy| policy.id().clone())
        .collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(ChallengeError::Levels(wrong)),
    }
}

/// The challenge (RFC 9470, section 3), if a step-up may lift the deny: one forbid that asks for none stays, and so does a hop of a
/// delegation that is denied for anything else. An error is a policy that asks for what cannot be said.
pub(super) fn of(scheme: &str, response: &Response<'_>) -> Result<Option<String>, PolicyId> {
    if response.outcome() != Outcome::Forbidden {
        return Ok(None);
    }
    let forbids: Vec<_> = match response.delegation() {
        None => response.determining().collect(),
        Some(chain) => {
            let is_denied = |hop: &RecordedHop<'_>| hop.outcome() != Some(Outcome::Allowed);
            let denied: Vec<_> = chain.hops().filter(is_denied).collect();
            let is_forbidden = |hop: &RecordedHop<'_>| hop.outcome() == Some(Outcome::Forbidden);
            if !denied.iter().all(is_forbidden) {
                return Ok(None);
            }
            denied.iter().flat_map(RecordedHop::determining).collect()
        }
    };
    let mut levels: Vec<&str> = Vec::new();
    let mut wrong = None;
    for policy in forbids {
        let Some(level) = policy.annotation("step_up") else {
            return Ok(None);
        };
        if !fits(level) {
            wrong = wrong.or_else(|| Some(policy.id().clone()));
        }
        if !levels.contains(&level) {
            levels.push(level);
        }
    }
    if let Some(policy) = wrong {
        return Err(policy);
    }
    let levels = levels.join(" ");
    Ok(Some(format!(
        r#"{scheme} error="insufficient_user_authentication", acr_values="{levels}""#
    )))
}

/// `acr_values` are parted by spaces and stand in quotes.
fn fits(level: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !level.is_empty() && level.bytes().all(fits)
}
