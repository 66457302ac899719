//! Problem documents (RFC 9457): what a client is told.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;

use super::asked::{Rejection, Why};
use super::service::Denied;

/// The members of a problem document. There is no `type`: that is `about:blank`, and the title says what the status does.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasons: Vec<String>,
    #[serde(skip)]
    challenge: Option<Cow<'static, str>>,
    /// What was decided, for the layers outside; not for the client.
    #[serde(skip)]
    pub(super) denied: Option<Denied>,
    /// Why nothing was decided, likewise.
    #[serde(skip)]
    rejection: Option<Arc<Rejection>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: None,
            outcome: None,
            reasons: Vec::new(),
            challenge: None,
            denied: None,
            rejection: None,
        }
    }

    /// That whoever asks has to authenticate in this way first.
    pub(super) fn challenge(challenge: String) -> Self {
        Self {
            challenge: Some(challenge.into()),
            ..Self::new(StatusCode::UNAUTHORIZED)
        }
    }

    pub(super) fn of(rejection: Rejection) -> Self {
        let problem = match &rejection.0 {
            Why::Unauthenticated(challenge) => Self {
                challenge: Some(challenge.clone()),
                ..Self::new(StatusCode::UNAUTHORIZED)
            },
            Why::BadRequest(detail) => Self {
                detail: Some(detail.clone()),
                ..Self::new(StatusCode::BAD_REQUEST)
            },
            Why::Failed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR),
        };
        Self {
            rejection: Some(Arc::new(rejection)),
            ..problem
        }
    }

    /// The answer; without a body for `HEAD`.
    pub(super) fn response<B: From<String>>(self, with_body: bool) -> Response<B> {
        let body = match with_body {
            // Texts and a number: it does not fail.
            true => serde_json::to_string(&self).unwrap_or_default(),
            false => String::new(),
        };
        let mut response = Response::new(B::from(body));
        let status = StatusCode::from_u16(self.status);
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        // A denial is of this moment.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_str(&challenge);
            // A 401 must have one.
            let challenge = challenge.unwrap_or(HeaderValue::from_static("Bearer"));
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(denied) = self.denied {
            response.extensions_mut().insert(denied);
        }
        if let Some(rejection) = self.rejection {
            response.extensions_mut().insert(rejection);
        }
        response
    }
}
