//! What a [`DecisionPoint`] leaves to the server: paths, methods, content types, the id of a request, and how large one may be.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use duramen::authzen::{DecisionPoint, Endpoint, Properties, well_known_path};
use duramen::{Authorizer, BuildError};

/// How the world knows the point. Its metadata is at this host, below `/.well-known`.
pub(crate) const IDENTIFIER: &str = "https://pdp.example.com";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// More than a thousand evaluations take.
const MAX_BODY: usize = 4 << 20;

const POLICIES: &str = r#"
    permit(principal, action == Action::"read", resource is Record) when { principal.department == resource.department };
    permit(principal, action in [Action::"read", Action::"write"], resource is Record) when { resource.owner == principal };
    forbid(principal, action == Action::"write", resource) when { resource has archived && resource.archived };
"#;

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "ann" }, "attrs": { "department": "sales" }, "parents": [] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "department": "legal" }, "parents": [] },
    { "uid": { "type": "Record", "id": "1" }, "parents": [],
      "attrs": { "department": "sales", "owner": { "__entity": { "type": "User", "id": "bob" } } } },
    { "uid": { "type": "Record", "id": "2" }, "parents": [],
      "attrs": { "department": "legal", "owner": { "__entity": { "type": "User", "id": "ann" } } } }
]"#;

/// Two users and two records. Of a record, whoever asks may say what is not stored, such as that it is archived.
pub(crate) fn point() -> Result<DecisionPoint, BuildError> {
    let authorizer = Authorizer::builder().policies(POLICIES).entities(ENTITIES);
    Ok(DecisionPoint::new(&authorizer.build()?)
        .entity_type("user", "User")
        .entity_type("record", "Record")
        .properties(Properties::FillIn))
}

/// All endpoints, and the metadata that says where they are.
pub(crate) fn router(point: DecisionPoint) -> Router {
    let point = Arc::new(point);
    let mut router = Router::new();
    for endpoint in Endpoint::ALL {
        let answer = move |State(point): State<Arc<DecisionPoint>>,
                           headers: HeaderMap,
                           body: Bytes| async move {
            answer(&point, endpoint, &headers, &body)
        };
        router = router.route(endpoint.path(), post(answer));
    }
    if let (Ok(path), Ok(metadata)) = (well_known_path(IDENTIFIER), point.metadata(IDENTIFIER)) {
        router = router.route(&path, get(|| async move { json(StatusCode::OK, metadata) }));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(point)
}

/// The answer, with the id of the request as it came.
fn answer(point: &DecisionPoint, endpoint: Endpoint, headers: &HeaderMap, body: &[u8]) -> Response {
    let id = headers.get(REQUEST_ID);
    let mut response = match is_json(headers) {
        true => {
            let reply = point.answer(endpoint, body, id.and_then(|id| id.to_str().ok()));
            let status = StatusCode::from_u16(reply.status());
            json(
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                reply.into_body(),
            )
        }
        false => {
            let why = "\"the content type has to be application/json\"";
            json(StatusCode::BAD_REQUEST, why.to_owned())
        }
    };
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    response
}

/// Parameters such as a charset say nothing of JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
