//! Delegation as the claims of a token say it: RFC 8693, section 4.1.

use std::fmt;
use std::time::{Duration, SystemTime};

use bumpalo::Bump;

use crate::id::{EntityUid, EntityUidRef};
use crate::json::{self, Json, JsonErrorKind, Member};
use crate::limits::{Limit, LimitExceeded, Limits};

use super::Delegation;

/// Reads the claims of a token that the host has verified.
///
/// RFC 8693 (section 4.1): the top-level `sub` is the one for whom is acted, `act` the one who acts now, and what is
/// nested in `act` the ones who acted before. Whoever decides on a token must look at the top-level claims and the
/// outermost `act` only; the nested ones are for information. So the chain that is read has one actor, unless
/// [`with_prior_actors`](Self::with_prior_actors) asks for all. `exp` and `nbf` count at the top level and mean nothing
/// inside `act`. `may_act` is for whoever issues tokens and is not looked at.
///
/// Which entity a party is, the host says, from `sub`, `iss` and whatever other claims it trusts; nothing is guessed.
///
/// ```
/// use duramen::delegation::ClaimsReader;
/// use duramen::{EntityUid, Request};
///
/// let reader = ClaimsReader::new(|party| match (party.is_subject(), party.issuer()?) {
///     (true, "https://login.example") => Some(EntityUid::new("User", party.subject()?)),
///     // Agents are known by their client ids.
///     (false, "https://agents.example") => Some(EntityUid::new("Agent", party.claim("client_id")?)),
///     _ => None,
/// });
/// let claims = reader.read(r#"{
///     "iss": "https://login.example", "sub": "ann", "exp": 1795530000,
///     "act": { "iss": "https://agents.example", "client_id": "planner" }
/// }"#)?;
///
/// let actors = claims.actors();
/// let delegation = claims.delegation(&actors).subject_as("onBehalfOf");
/// let request = Request::new(claims.subject(), ("Action", "read"), ("Doc", "plan")).delegation(&delegation);
/// assert_eq!(actors[0].to_string(), r#"Agent::"planner""#);
/// # let _ = request;
/// # Ok::<(), duramen::delegation::ClaimsError>(())
/// ```
pub struct ClaimsReader<F> {
    entity: F,
    prior_actors: bool,
    limits: Limits,
}

impl<F: Fn(&Party<'_>) -> Option<EntityUid>> ClaimsReader<F> {
    /// A reader that asks `entity` which entity each party is. `None` is an error: somebody in the chain is unknown.
    pub fn new(entity: F) -> Self {
        Self {
            entity,
            prior_actors: false,
            limits: Limits::default(),
        }
    }

    /// Makes hops of nested `act` claims, too.
    ///
    /// By the RFC they are not for deciding: nobody but the issuer vouches for them. Ask for them only where the issuer is
    /// trusted to have verified each of them. As every hop must be allowed, a nested actor can only take authority away;
    /// but one that was left out by the issuer takes none.
    #[must_use]
    pub fn with_prior_actors(mut self, wanted: bool) -> Self {
        self.prior_actors = wanted;
        self
    }

    /// Sets the limits: [`Limits::delegation_actors`] bounds how deep `act` may nest, whether nested ones are asked for or
    /// not, [`Limits::nesting`] all nesting and [`Limits::context_bytes`] the text.
    #[must_use]
    pub fn with_limits(mut self, limits: &Limits) -> Self {
        self.limits = *limits;
        self
    }

    /// Reads the claims: the text of a JSON object.
    ///
    /// # Errors
    /// [`ClaimsError`], with the place in the claims, when the text is no JSON object, a key occurs twice, there is no
    /// `sub`, a claim that is looked at has the wrong type, `act` nests too deep, or a party is unknown to the host.
    /// Nothing is decided then: a host denies what it got the token with.
    pub fn read(&self, claims: &str) -> Result<TokenClaims, ClaimsError> {
        let bytes = self.limits.check(Limit::ContextBytes, claims.len());
        bytes.map_err(|limit| ClaimsError::new("the claims", Kind::Limit(limit)))?;
        let arena = Bump::new();
        let json = json::parse(&arena, claims, self.limits.nesting());
        let json = json.map_err(|error| {
            let kind = match error.kind {
                JsonErrorKind::TooDeep => Kind::Limit(self.limits.exceeded(Limit::Nesting)),
                _ => Kind::Json(format!("{}: {error}", error.position(claims))),
            };
            ClaimsError::new("the claims", kind)
        })?;
        self.claims(json)
    }

    /// Reads claims that were parsed already. A parser that takes the last of two equal keys has hidden that there were
    /// two: where the text is at hand, [`read`](Self::read) is the better choice.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_value(&self, claims: &serde_json::Value) -> Result<TokenClaims, ClaimsError> {
        self.read(&claims.to_string())
    }

    fn claims(&self, json: Json<'_>) -> Result<TokenClaims, ClaimsError> {
        let place = || "the claims".to_owned();
        let claims = object(json, place)?;
        let mut subject = party(claims, 0)?;
        if subject.subject.is_none() {
            return Err(ClaimsError::new("sub", Kind::Missing));
        }
        let not_before = time(claims, "nbf", f64::ceil)?;
        let expires = time(claims, "exp", f64::floor)?;
        let subject_uid = self.entity(&subject)?;
        // All are looked at, so that a malformed one is an error whether it is asked for or not.
        let mut actors = Vec::new();
        while let Some(act) = json::member(subject.claims, "act") {
            let depth = subject.depth + 1;
            let limit = self.limits.check(Limit::DelegationActors, depth);
            limit.map_err(|limit| ClaimsError::new(act_path(depth), Kind::Limit(limit)))?;
            let act = object(*act, || act_path(depth))?;
            subject = party(act, depth)?;
            if depth == 1 || self.prior_actors {
                actors.push(self.entity(&subject)?);
            }
        }
        actors.reverse();
        Ok(TokenClaims {
            subject: subject_uid,
            actors,
            not_before,
            expires,
        })
    }

    fn entity(&self, party: &Party<'_>) -> Result<EntityUid, ClaimsError> {
        (self.entity)(party).ok_or_else(|| {
            let place = match party.depth {
                0 => "sub".to_owned(),
                depth => act_path(depth),
            };
            ClaimsError::new(place, Kind::Unknown)
        })
    }
}

impl<F> fmt::Debug for ClaimsReader<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimsReader")
            .field("prior_actors", &self.prior_actors)
            .finish_non_exhaustive()
    }
}

/// Somebody whom a token names: the one for whom is acted, or one who acts.
#[derive(Clone, Copy, Debug)]
pub struct Party<'c> {
    claims: &'c [Member<'c>],
    subject: Option<&'c str>,
    issuer: Option<&'c str>,
    /// 0 for the subject of the token, 1 for the current actor.
    depth: usize,
}

impl<'c> Party<'c> {
    /// Whether it is the token's own subject, for whom is acted. Otherwise it acts.
    pub fn is_subject(&self) -> bool {
        self.depth == 0
    }

    /// Whether it is the current actor: the outermost `act`.
    pub fn is_current_actor(&self) -> bool {
        self.depth == 1
    }

    /// Its `sub`. The token's subject always has one.
    pub fn subject(&self) -> Option<&'c str> {
        self.subject
    }

    /// Its `iss`, which says within what `sub` is unique. An actor without one does not inherit the token's.
    pub fn issuer(&self) -> Option<&'c str> {
        self.issuer
    }

    /// Any other claim of its own that is a text, such as `client_id`.
    pub fn claim(&self, name: &str) -> Option<&'c str> {
        json::member(self.claims, name)?.as_str()
    }
}

/// What the claims of a token say of a delegation. Made by [`ClaimsReader::read`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenClaims {
    subject: EntityUid,
    actors: Vec<EntityUid>,
    not_before: Option<SystemTime>,
    expires: Option<SystemTime>,
}

impl TokenClaims {
    /// For whom is acted: the principal of the request.
    pub fn subject(&self) -> EntityUidRef<'_> {
        self.subject.as_ref()
    }

    /// Who acts, the current actor last. None where the token has no `act`: then its subject acts itself.
    pub fn actors(&self) -> Vec<EntityUidRef<'_>> {
        self.actors.iter().map(EntityUid::as_ref).collect()
    }

    /// The chain, of the [`actors`](Self::actors), with the bounds of `nbf` and `exp`.
    pub fn delegation<'a>(&self, actors: &'a [EntityUidRef<'a>]) -> Delegation<'a> {
        Delegation {
            not_before: self.not_before,
            expires: self.expires,
            ..Delegation::new(actors)
        }
    }

    /// `exp`: when the token is no longer valid.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// `nbf`: before that, the token is not valid yet.
    pub fn not_before(&self) -> Option<SystemTime> {
        self.not_before
    }
}

/// Why claims are not a delegation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimsError {
    place: String,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Json(String),
    Missing,
    NotAnObject,
    NotAText,
    NotATime,
    Unknown,
    Limit(LimitExceeded),
}

impl ClaimsError {
    fn new(place: impl Into<String>, kind: Kind) -> Self {
        Self {
            place: place.into(),
            kind,
        }
    }

    /// Where: `the claims`, `exp`, `act.act.sub`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether the claims are in order and the host does not know a party.
    pub fn is_unknown_party(&self) -> bool {
        self.kind == Kind::Unknown
    }

    /// The limit that was exceeded, when that is the problem.
    pub fn limit(&self) -> Option<LimitExceeded> {
        match self.kind {
            Kind::Limit(limit) => Some(limit),
            _ => None,
        }
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.kind {
            Kind::Json(error) => f.write_str(error),
            Kind::Missing => f.write_str("is missing; it says for whom is acted"),
            Kind::NotAnObject => f.write_str("must be a JSON object"),
            Kind::NotAText => f.write_str("must be a text"),
            Kind::NotATime => f.write_str(
                "must be a number of seconds since 1970-01-01, not negative and before the year 10000",
            ),
            Kind::Unknown => f.write_str("names a party that is mapped to no entity"),
            Kind::Limit(limit) => limit.fmt(f),
        }
    }
}

impl std::error::Error for ClaimsError {}

fn party<'c>(claims: &'c [Member<'c>], depth: usize) -> Result<Party<'c>, ClaimsError> {
    let text = |name: &str| match json::member(claims, name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(*text)),
        Some(_) if depth == 0 => Err(ClaimsError::new(name, Kind::NotAText)),
        Some(_) => {
            let place = format!("{}.{name}", act_path(depth));
            Err(ClaimsError::new(place, Kind::NotAText))
        }
    };
    Ok(Party {
        claims,
        subject: text("sub")?,
        issuer: text("iss")?,
        depth,
    })
}

fn object<'c>(
    json: Json<'c>,
    place: impl FnOnce() -> String,
) -> Result<&'c [Member<'c>], ClaimsError> {
    let object = json.as_object();
    object.ok_or_else(|| ClaimsError::new(place(), Kind::NotAnObject))
}

/// `act`, `act.act`, …
fn act_path(depth: usize) -> String {
    vec!["act"; depth].join(".")
}

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// A NumericDate (RFC 7519, section 2): seconds, which may have a fraction. `whole` rounds it so that the token is valid
/// for no longer than it says.
fn time(
    claims: &[Member<'_>],
    name: &str,
    whole: fn(f64) -> f64,
) -> Result<Option<SystemTime>, ClaimsError> {
    let seconds = match json::member(claims, name) {
        None => return Ok(None),
        Some(Json::Integer(seconds)) => u64::try_from(*seconds).ok(),
        Some(Json::Number(text)) => whole_seconds(text, whole),
        Some(_) => None,
    };
    seconds
        .filter(|seconds| *seconds <= LAST_SECOND)
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .map(Some)
        .ok_or_else(|| ClaimsError::new(name, Kind::NotATime))
}

/// The seconds of a number with a fraction or an exponent.
fn whole_seconds(text: &str, whole: fn(f64) -> f64) -> Option<u64> {
    let seconds = whole(text.parse().ok()?);
    // Within this range 64-bit floats have all whole numbers.
    (0.0..=LAST_SECOND as f64)
        .contains(&seconds)
        .then_some(seconds as u64)
}
