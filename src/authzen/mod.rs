//! The [AuthZEN Authorization API 1.0](https://openid.net/specs/authorization-api-1_0.html) of the OpenID Foundation: an
//! authorizer as a policy decision point that others ask over HTTP. With the feature `authzen`.
//!
//! A [`DecisionPoint`] takes the body of a request and gives the status and the body of the answer. Which HTTP server it stands
//! in, who may ask it, and how large a body may be is the host's; the example `authzen` is one with `axum`.
//!
//! ```
//! use duramen::Authorizer;
//! use duramen::authzen::{DecisionPoint, Endpoint};
//!
//! let authorizer = Authorizer::builder()
//!     .policies(r#"permit(principal == User::"alice", action == Action::"read", resource is Record);"#)
//!     .build()?;
//! let point = DecisionPoint::new(&authorizer)
//!     .entity_type("user", "User")
//!     .entity_type("record", "Record");
//!
//! let body = br#"{
//!     "subject": { "type": "user", "id": "alice" },
//!     "action": { "name": "read" },
//!     "resource": { "type": "record", "id": "123" }
//! }"#;
//! let endpoint = Endpoint::of_path("/access/v1/evaluation").ok_or("there is no such endpoint")?;
//! let reply = point.answer(endpoint, body, None);
//! assert_eq!((reply.status(), reply.body()), (200, r#"{"decision":true}"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What becomes of a request
//!
//! | of AuthZEN | is |
//! |---|---|
//! | `subject`, `resource` | principal and resource: `type` by [`DecisionPoint::entity_type`], `id` as it is |
//! | `action.name` | an entity of the type `Action`, or of [`DecisionPoint::action_type`] |
//! | `context` | the context, in Cedar's JSON, where the schema may say what a text is; without Cedar's escapes |
//! | `properties` of subject and resource | nothing, or attributes of that entity for this request: [`DecisionPoint::properties`] |
//! | `properties` of the action | nothing, or a field of the context: [`DecisionPoint::action_properties_as`] |
//!
//! A member that is null is one that is absent. Members that the specification does not have are ignored, and so are fields of the
//! context and properties that a schema does not have. What is left and has no Cedar value (a fraction, a null in a list, a key that
//! reads as one of Cedar's JSON escapes) makes that decision a deny.
//!
//! # What comes back
//!
//! | | status | body |
//! |---|---|---|
//! | a decision | 200 | `{"decision":true}`, `{"decision":false}`; with [`DecisionPoint::tell_outcome`] also why |
//! | several | 200 | `{"evaluations":[…]}`, in the order of the request; one that cannot be understood is a deny |
//! | a search | 200 | `{"results":[…]}`; a type that nobody knows has no results |
//! | what is no request | 400 | a text |
//!
//! Where a permit that applies is annotated `@step_up("mfa")`, the decision has the obligation of that in its context, as the profile
//! for obligations writes it: `{"id":"step-up-1","type":"step-up","properties":{"acr_value":"mfa"}}`. Whoever does not understand
//! it must not go on. A search does not tell: ask again before acting on what it found.
//!
//! A search for actions has one context for all of them. Where requests are validated, an action whose context does not have all of
//! its fields is not found.
//!
//! All decisions of one request are on the same policies and entities. Each that is asked of the policies is one like any other, with a
//! record; what is denied because nothing could be asked has none.

mod answer;
mod ask;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::authorizer::Authorizer;

/// Which part of the API is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// One decision (section 6).
    Evaluation,
    /// Several decisions (section 7).
    Evaluations,
    /// Who may do this to that (section 8).
    SearchSubject,
    /// To what may somebody do this.
    SearchResource,
    /// What may somebody do to that.
    SearchAction,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Evaluation,
        Self::Evaluations,
        Self::SearchSubject,
        Self::SearchResource,
        Self::SearchAction,
    ];

    /// The path that the specification proposes.
    pub fn path(self) -> &'static str {
        match self {
            Self::Evaluation => "/access/v1/evaluation",
            Self::Evaluations => "/access/v1/evaluations",
            Self::SearchSubject => "/access/v1/search/subject",
            Self::SearchResource => "/access/v1/search/resource",
            Self::SearchAction => "/access/v1/search/action",
        }
    }

    /// The endpoint that has this path.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    /// Its member in the metadata.
    fn member(self) -> &'static str {
        match self {
            Self::Evaluation => "access_evaluation_endpoint",
            Self::Evaluations => "access_evaluations_endpoint",
            Self::SearchSubject => "search_subject_endpoint",
            Self::SearchResource => "search_resource_endpoint",
            Self::SearchAction => "search_action_endpoint",
        }
    }
}

/// What the properties of subjects and resources are worth: whoever asks says them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Properties {
    /// Nothing: entities are what the store says.
    #[default]
    Ignored,
    /// They are attributes where the store has none of the name.
    FillIn,
    /// They are attributes, also in the place of what the store says.
    Override,
}

/// An authorizer that is asked in the terms of AuthZEN.
#[derive(Clone)]
pub struct DecisionPoint {
    authorizer: Authorizer,
    types: BTreeMap<String, String>,
    action_type: String,
    properties: Properties,
    action_properties: Option<String>,
    tells_outcome: bool,
    max_evaluations: usize,
    max_results: usize,
}

impl DecisionPoint {
    /// A point that takes types for those of Cedar, ignores properties, and says nothing but decisions.
    pub fn new(authorizer: &Authorizer) -> Self {
        Self {
            authorizer: authorizer.clone(),
            types: BTreeMap::new(),
            action_type: "Action".to_owned(),
            properties: Properties::Ignored,
            action_properties: None,
            tells_outcome: false,
            max_evaluations: 1_000,
            max_results: 10_000,
        }
    }

    /// What `type` is in Cedar: AuthZEN's may be any text. From the first on, only types that are named so are known; what is
    /// about another is denied.
    #[must_use]
    pub fn entity_type(mut self, authzen: impl Into<String>, cedar: impl Into<String>) -> Self {
        self.types.insert(authzen.into(), cedar.into());
        self
    }

    /// The type of actions, which have names alone in AuthZEN. The default is `Action`; `Shop::Action`, say.
    #[must_use]
    pub fn action_type(mut self, cedar: impl Into<String>) -> Self {
        self.action_type = cedar.into();
        self
    }

    /// What properties of subjects and resources are worth. The default is nothing.
    ///
    /// Properties are for the one decision. Anything but [`Properties::Ignored`] trusts whoever may ask with the attributes that it
    /// names.
    #[must_use]
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    /// Puts the properties of the action into the context, as a record in a field of this name: Cedar's actions have no attributes.
    /// A context that has such a field itself is refused: it would say what it is not asked for. By default they are ignored.
    #[must_use]
    pub fn action_properties_as(mut self, field: impl Into<String>) -> Self {
        self.action_properties = Some(field.into());
        self
    }

    /// Whether a deny says why: `{"decision":false,"context":{"outcome":"no_permit"}}`, by the names that records have
    /// ([`Outcome`](crate::Outcome)). The default is no.
    #[must_use]
    pub fn tell_outcome(mut self, tell: bool) -> Self {
        self.tells_outcome = tell;
        self
    }

    /// How many decisions one request may ask for; more are refused with 400. The default is 1,000.
    #[must_use]
    pub fn max_evaluations(mut self, most: usize) -> Self {
        self.max_evaluations = most;
        self
    }

    /// How many results a page has at most, whatever is asked for; the rest is on the next pages. The default is 10,000.
    #[must_use]
    pub fn max_results(mut self, most: usize) -> Self {
        self.max_results = most.max(1);
        self
    }

    /// Answers a request, given its body. `request_id` is for the records of decisions: what `X-Request-ID` says, which the host
    /// sends back as it is.
    ///
    /// The host sees to the rest of HTTP: the method is `POST`, a content type other than `application/json` is to be answered with
    /// 400, and whoever is not known with 401.
    pub fn answer(&self, endpoint: Endpoint, body: &[u8], request_id: Option<&str>) -> Reply {
        match answer::answer(self, endpoint, body, request_id) {
            Ok(body) => Reply { status: 200, body },
            Err(why) => Reply {
                status: 400,
                body: serde_json::Value::from(why).to_string(),
            },
        }
    }

    /// The metadata document (section 9) of a point that has its endpoints below `identifier`, at [`Endpoint::path`]. It is what
    /// `GET` gives at [`well_known_path`].
    ///
    /// # Errors
    /// [`IdentifierError`] where that is no URL of the scheme `https` without query and fragment.
    pub fn metadata(&self, identifier: &str) -> Result<String, IdentifierError> {
        let (_, path) = parts(identifier)?;
        let base = identifier.strip_suffix('/').filter(|_| path.ends_with('/'));
        let base = base.unwrap_or(identifier);
        let mut members = serde_json::Map::new();
        members.insert("policy_decision_point".to_owned(), identifier.into());
        for endpoint in Endpoint::ALL {
            let url = format!("{base}{}", endpoint.path());
            members.insert(endpoint.member().to_owned(), url.into());
        }
        Ok(serde_json::Value::Object(members).to_string())
    }
}

/// Where the metadata of a point is, on its host: `/.well-known/authzen-configuration`, with the path of its identifier behind it.
///
/// # Errors
/// As [`DecisionPoint::metadata`].
pub fn well_known_path(identifier: &str) -> Result<String, IdentifierError> {
    let (_, path) = parts(identifier)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    Ok(format!("/.well-known/authzen-configuration{path}"))
}

/// Host and path.
fn parts(identifier: &str) -> Result<(&str, &str), IdentifierError> {
    let wrong = || IdentifierError(identifier.to_owned());
    let rest = identifier.strip_prefix("https://").ok_or_else(wrong)?;
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'\\');
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match !host.is_empty() && rest.bytes().all(fits) {
        true => Ok((host, path)),
        false => Err(wrong()),
    }
}

/// This cannot be the identifier of a policy decision point.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{}` is no URL of the scheme https without query and fragment", .0.escape_debug())]
pub struct IdentifierError(String);

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    status: u16,
    body: String,
}

impl Reply {
    /// The status: 200, also of a deny, or 400.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body, of the type `application/json`.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The same, to keep.
    pub fn into_body(self) -> String {
        self.body
    }
}

impl fmt::Debug for DecisionPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionPoint")
            .field("types", &self.types)
            .field("action_type", &self.action_type)
            .field("properties", &self.properties)
            .field("action_properties", &self.action_properties)
            .finish_non_exhaustive()
    }
}

/// JSON of what always has some.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
