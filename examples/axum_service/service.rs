//! A small document service behind [`AuthorizationLayer`], whose policies and users change while it serves.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use duramen::tower::{Asked, AuthorizationLayer, Authorized, Rejection};
use duramen::{Authorizer, Entities, Entity, EntityUid, EntityUpdate, ErrorMode};

/// Where each answer says which epoch it was decided on.
pub(crate) const EPOCH: &str = "x-epoch";

pub(crate) const SCHEMA: &str = r#"
    entity Team;
    entity User in [Team] { suspended: Bool };
    entity Document { owner: User };
    entity Service;
    action read, write appliesTo { principal: User, resource: Document, context: { method: String } };
    action administer appliesTo { principal: User, resource: Service, context: { method: String } };
"#;

/// The owner does everything, her team reads, and the administrator administers.
pub(crate) const OPEN: &str = r#"
    @reason("The owner may.")
    permit (principal, action in [Action::"read", Action::"write"], resource) when { resource.owner == principal };

    permit (principal in Team::"readers", action == Action::"read", resource);

    permit (principal == User::"admin", action == Action::"administer", resource);

    @reason("The account is suspended.")
    forbid (principal, action, resource) when { principal.suspended };
"#;

/// The same, and nobody reads but the owner.
pub(crate) const CLOSED: &str = r#"
    permit (principal, action in [Action::"read", Action::"write"], resource) when { resource.owner == principal };

    permit (principal == User::"admin", action == Action::"administer", resource);

    @reason("The account is suspended.")
    forbid (principal, action, resource) when { principal.suspended };
"#;

/// The authorizer of the service: users `u0` to `u7` and `admin`, of whom those with even numbers are in the team that reads;
/// documents `d0` to `d7`, each the user's with the same number.
pub(crate) fn authorizer() -> Result<Authorizer, duramen::BuildError> {
    let user = BTreeMap::from([("suspended", false)]);
    let readers = [("Team", "readers").into()];
    let mut entities = Entities::new()
        .insert(Entity::new(("User", "admin")).attrs(&user))
        .insert(Entity::new(("Team", "readers")));
    for number in 0..8 {
        let (id, document) = (format!("u{number}"), format!("d{number}"));
        let parents = if number % 2 == 0 { &readers[..] } else { &[] };
        let owner = BTreeMap::from([("owner", duramen::values::EntityRef::new("User", &id))]);
        entities = entities
            .insert(Entity::new(("User", &*id)).attrs(&user).parents(parents))
            .insert(Entity::new(("Document", &*document)).attrs(&owner));
    }
    Authorizer::builder()
        .schema_str(SCHEMA)
        .policies(OPEN)
        .entities(entities)
        .validate_requests(true)
        .error_mode(ErrorMode::DenyOnAnyError)
        .build()
}

/// The service. Who asks is in `x-user`: a real one takes it from what it has verified, such as a session or a token.
pub(crate) fn router(authorizer: Authorizer) -> Router {
    let layer = AuthorizationLayer::new(authorizer.clone(), extract)
        .tell_annotation("reason")
        .epoch_header(HeaderName::from_static(EPOCH));
    Router::new()
        .route("/documents/{id}", get(read).put(write))
        .route("/admin/policies", put(replace_policies))
        .route("/admin/users/{id}", put(suspend))
        .with_state(authorizer)
        // Around everything, also what is not found: a path without a route has no answer but from the layer.
        .layer(layer)
}

/// What a request asks for. The path is read as it came: one with escapes in it is not understood the same way by everybody,
/// and the router decodes it. So it is refused.
fn extract(head: &Parts) -> Result<Asked, Rejection> {
    let user = head
        .headers
        .get("x-user")
        .and_then(|user| user.to_str().ok());
    let user = user.ok_or_else(|| Rejection::unauthenticated("Session"))?;
    let path = head.uri.path();
    if path.contains('%') {
        return Err(Rejection::bad_request("paths have no escapes here"));
    }
    let mut segments = path.split('/').skip(1);
    let (action, resource) = match (segments.next(), segments.next(), head.method.as_str()) {
        (Some("documents"), Some(id), "GET") => ("read", ("Document", id)),
        (Some("documents"), Some(id), "PUT") => ("write", ("Document", id)),
        (Some("admin"), Some(_), _) => ("administer", ("Service", "documents")),
        _ => return Err(Rejection::bad_request("there is nothing of the kind")),
    };
    let asked = Asked::new(
        EntityUid::new("User", user),
        EntityUid::new("Action", action),
        EntityUid::new(resource.0, resource.1),
    );
    Ok(asked.context(BTreeMap::from([("method", head.method.to_string())])))
}

async fn read(Path(id): Path<String>, Extension(authorized): Extension<Authorized>) -> String {
    let by: Vec<&str> = authorized
        .policies()
        .iter()
        .map(|policy| policy.as_str())
        .collect();
    format!("document {id}, by {}", by.join(", "))
}

async fn write(Path(id): Path<String>) -> String {
    format!("document {id} is written")
}

/// Replaces the policies; answers with the epoch since when they are in force.
async fn replace_policies(State(authorizer): State<Authorizer>, policies: String) -> Response {
    match authorizer.replace_policies(policies) {
        Ok(version) => version.epoch().to_string().into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

/// Suspends a user, or no more.
async fn suspend(
    State(authorizer): State<Authorizer>,
    Path(id): Path<String>,
    suspended: String,
) -> Response {
    let Ok(suspended) = suspended.parse::<bool>() else {
        return (StatusCode::BAD_REQUEST, "true or false").into_response();
    };
    let update = EntityUpdate::new().set_attr(("User", &*id), "suspended", &suspended);
    match authorizer.update_entities(update) {
        Ok(updated) => updated.version().epoch().to_string().into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}
