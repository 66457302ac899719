//! The claims of a Security Event Token (RFC 8417), with the rules that the Shared Signals Framework adds.

use bumpalo::Bump;

use crate::json::{self, Json, Member, member};

use super::report::SignalError;
use super::transmitter::Transmitter;

/// The longest payload, in bytes. Real ones have one or two thousand.
const LONGEST: usize = 1 << 16;

/// The deepest nesting.
const DEEPEST: usize = 16;

/// Milliseconds by which clocks may differ.
const SKEW: i64 = 5 * 60 * 1_000;

/// An `event_timestamp` from this on is one of milliseconds: the specification's own examples have such. As seconds it is a
/// time after the year 5000.
const MILLIS_FROM: f64 = 1e11;

const SECONDS: &str = "a number of seconds since 1970";

/// What every event needs.
pub(super) struct Token<'a> {
    pub(super) issuer: &'a str,
    pub(super) jti: &'a str,
    issued: i64,
    /// When it happened, and which claim says so.
    pub(super) at: i64,
    at_claim: &'static str,
    pub(super) subject: Members<'a>,
    pub(super) event_type: &'a str,
    pub(super) event: Members<'a>,
}

/// The members of an object, and where it is.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    members: &'a [Member<'a>],
    path: &'a str,
}

impl<'a> Token<'a> {
    pub(super) fn parse<'t>(
        arena: &'a Bump,
        payload: &'a str,
        transmitters: &'t [Transmitter],
    ) -> Result<(&'t Transmitter, Self), SignalError> {
        if payload.len() > LONGEST {
            let message = format!("it has {} bytes, more than {LONGEST}", payload.len());
            return Err(SignalError::Malformed(message));
        }
        let json = json::parse(arena, payload, DEEPEST).map_err(|error| {
            SignalError::Malformed(format!("{}: {error}", error.position(payload)))
        })?;
        let claims = Members {
            members: json
                .as_object()
                .ok_or_else(|| ill_typed("the payload", "an object"))?,
            path: "",
        };
        for forbidden in ["sub", "exp"] {
            if member(claims.members, forbidden).is_some() {
                return Err(SignalError::ForbiddenClaim(forbidden));
            }
        }
        let issuer = claims.text("iss")?;
        let transmitter = transmitters
            .iter()
            .find(|known| known.issuer == issuer)
            .ok_or_else(|| SignalError::UnknownIssuer(issuer.to_owned()))?;
        let meant = |audience: &str| audience == transmitter.audience;
        let audience = claims.required("aud")?;
        let audiences = match &audience {
            Json::Array(audiences) => *audiences,
            one => std::slice::from_ref(one),
        };
        let texts: Option<Vec<&str>> = audiences.iter().map(|one| one.as_str()).collect();
        let texts = texts.ok_or_else(|| ill_typed("aud", "a text or a list of texts"))?;
        if !texts.into_iter().any(meant) {
            return Err(SignalError::WrongAudience);
        }
        let (event_type, event) = match claims.object("events")?.members {
            [(event_type, event)] => (*event_type, event),
            events => return Err(SignalError::NotOneEvent(events.len())),
        };
        let event = Members {
            members: event
                .as_object()
                .ok_or_else(|| ill_typed(event_type, "an object"))?,
            path: "event.",
        };
        let issued = claims.required_time("iat")?;
        let (at, at_claim) = match event.event_time("event_timestamp")? {
            Some(at) => (at, "event_timestamp"),
            None => match claims.time("toe")? {
                Some(at) => (at, "toe"),
                None => (issued, "iat"),
            },
        };
        let token = Self {
            issuer,
            jti: claims.text("jti")?,
            issued,
            at,
            at_claim,
            subject: match (claims.get("sub_id"), event.get("subject")) {
                (None, Some(_)) if transmitter.legacy => event.object("subject")?,
                _ => claims.object("sub_id")?,
            },
            event_type,
            event,
        };
        Ok((transmitter, token))
    }

    /// Nothing is reported before it happens. An event from the future would overrule all that come until then.
    pub(super) fn check_times(&self, now: Option<i64>) -> Result<(), SignalError> {
        let now = now.ok_or(SignalError::InFuture("iat"))?;
        let latest = |time: i64| time.saturating_add(SKEW);
        if self.issued > latest(now) {
            return Err(SignalError::InFuture("iat"));
        }
        // When it was issued may be ahead already: what clocks differ by is granted once.
        if self.at > latest(self.issued.min(now)) {
            return Err(SignalError::InFuture(self.at_claim));
        }
        Ok(())
    }
}

impl<'a> Members<'a> {
    pub(super) fn of(json: Json<'a>) -> Option<Self> {
        let members = json.as_object()?;
        Some(Self { members, path: "" })
    }

    /// A member; null is none.
    pub(super) fn get(self, name: &str) -> Option<Json<'a>> {
        let json = *member(self.members, name)?;
        (json != Json::Null).then_some(json)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Member<'a>> {
        self.members.iter().copied()
    }

    fn required(self, name: &str) -> Result<Json<'a>, SignalError> {
        self.get(name).ok_or_else(|| self.missing(name))
    }

    pub(super) fn optional_text(self, name: &str) -> Result<Option<&'a str>, SignalError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.ill_typed(name, "a text that is not empty")),
        }
    }

    pub(super) fn text(self, name: &str) -> Result<&'a str, SignalError> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text that is one of these.
    pub(super) fn one_of(
        self,
        name: &str,
        known: &[&str],
        expected: &'static str,
    ) -> Result<&'a str, SignalError> {
        let text = self.text(name)?;
        match known.contains(&text) {
            true => Ok(text),
            false => Err(self.ill_typed(name, expected)),
        }
    }

    pub(super) fn object(self, name: &str) -> Result<Members<'a>, SignalError> {
        match self.required(name)? {
            Json::Object(members) => Ok(Members { members, path: "" }),
            _ => Err(self.ill_typed(name, "an object")),
        }
    }

    fn required_time(self, name: &str) -> Result<i64, SignalError> {
        self.time(name)?.ok_or_else(|| self.missing(name))
    }

    /// Seconds since 1970, perhaps with a fraction (RFC 7519, section 2), as milliseconds.
    fn time(self, name: &str) -> Result<Option<i64>, SignalError> {
        self.number(name)?
            .map(|seconds| self.millis(name, seconds * 1_000.0))
            .transpose()
    }

    /// The same, or milliseconds.
    fn event_time(self, name: &str) -> Result<Option<i64>, SignalError> {
        match self.number(name)? {
            Some(millis) if millis >= MILLIS_FROM => self.millis(name, millis).map(Some),
            _ => self.time(name),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
    fn number(self, name: &str) -> Result<Option<f64>, SignalError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Integer(number)) => Ok(Some(number as f64)),
            Some(Json::Number(text)) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.ill_typed(name, SECONDS)),
            },
            Some(_) => Err(self.ill_typed(name, SECONDS)),
        }
    }

    fn millis(self, name: &str, millis: f64) -> Result<i64, SignalError> {
        if !(0.0..1e15).contains(&millis) {
            return Err(self.ill_typed(name, SECONDS));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is within bounds")]
        Ok(millis.round() as i64)
    }

    fn missing(self, name: &str) -> SignalError {
        SignalError::Missing(format!("{}{name}", self.path))
    }

    pub(super) fn ill_typed(self, name: &str, expected: &'static str) -> SignalError {
        ill_typed(&format!("{}{name}", self.path), expected)
    }
}

fn ill_typed(member: &str, expected: &'static str) -> SignalError {
    SignalError::IllTyped {
        member: member.to_owned(),
        expected,
    }
}
