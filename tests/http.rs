//! The layer for HTTP services: over real HTTP with the example's service, and by itself with services that complain.
//!
//! ```text
//! cargo test --features tower --test http
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

#[path = "../examples/axum_service/client.rs"]
mod client;
#[path = "../examples/axum_service/load.rs"]
mod load;
#[path = "../examples/axum_service/service.rs"]
mod service;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use duramen::tower::{Asked, AuthorizationLayer, Authorized, ChallengeError, Denied, Rejection};
use duramen::{Authorizer, Delegation, EntityUid, EntityUidRef, Freshness, Outcome, Policies};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt};

use client::{Answer, Client};

/// The example's service, on a port of its own.
fn server() -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            let router = service::router(service::authorizer().unwrap());
            axum::serve(listener, router).await.unwrap();
        });
    });
    receive.recv().unwrap()
}

#[track_caller]
fn problem(answer: &Answer, status: u16) -> serde_json::Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], status);
    problem
}

#[test]
fn the_service_is_authorized() {
    let mut client = Client::connect(server()).unwrap();
    let mut ask = |user: Option<&str>, method: &str, path: &str, body: &str| {
        let headers: Vec<_> = user.map(|user| ("x-user", user)).into_iter().collect();
        client.ask(method, path, &headers, body).unwrap()
    };
    let owner = ask(Some("u1"), "GET", "/documents/d1", "");
    assert_eq!(
        (owner.status, &*owner.body),
        (200, "document d1, by policy0")
    );
    assert_eq!(owner.header("x-epoch"), Some("1"));
    assert_eq!(
        ask(Some("u2"), "GET", "/documents/d1", "").body,
        "document d1, by policy1"
    );

    // Nobody; somebody who may not; and nothing of the policies is told.
    let nobody = ask(None, "GET", "/documents/d1", "");
    assert_eq!(problem(&nobody, 401)["title"], "Unauthorized");
    assert_eq!(nobody.header("www-authenticate"), Some("Session"));
    let other = ask(Some("u3"), "GET", "/documents/d1", "");
    assert_eq!(other.body, r#"{"title":"Forbidden","status":403}"#);
    assert_eq!(other.header("x-epoch"), Some("1"));
    problem(&other, 403);
    problem(&ask(Some("u2"), "PUT", "/documents/d1", "x"), 403);
    assert_eq!(ask(Some("u1"), "PUT", "/documents/d1", "x").status, 200);
    // Whom nobody knows, and what the schema does not know.
    problem(&ask(Some("stranger"), "GET", "/documents/d1", ""), 403);
    problem(&ask(Some("u1"), "GET", "/documents/d9", ""), 403);
    problem(
        &ask(
            Some("u1"),
            "PUT",
            "/admin/policies",
            "permit(principal, action, resource);",
        ),
        403,
    );

    // A HEAD is the GET that it stands for, and has no body, allowed or not. An OPTIONS is nobody's.
    let head = ask(Some("u1"), "HEAD", "/documents/d1", "");
    assert_eq!((head.status, &*head.body), (200, ""));
    let head = ask(Some("u3"), "HEAD", "/documents/d1", "");
    assert_eq!((head.status, &*head.body), (403, ""));
    problem(&ask(Some("u1"), "OPTIONS", "/documents/d1", ""), 400);
    problem(&ask(Some("u1"), "DELETE", "/documents/d1", ""), 400);
    problem(&ask(Some("u3"), "GET", "/documents/%64%33", ""), 400);
    problem(&ask(Some("u3"), "GET", "/nowhere", ""), 400);

    // Things change between one request and the next.
    let suspended = ask(Some("admin"), "PUT", "/admin/users/u2", "true");
    assert_eq!((suspended.status, &*suspended.body), (200, "2"));
    let told = ask(Some("u2"), "GET", "/documents/d1", "");
    assert_eq!(
        problem(&told, 403)["reasons"][0],
        "The account is suspended."
    );
    assert_eq!(told.header("x-epoch"), Some("2"));
    assert_eq!(
        ask(Some("admin"), "PUT", "/admin/users/u2", "false").body,
        "3"
    );
    assert_eq!(ask(Some("u2"), "GET", "/documents/d1", "").status, 200);
    assert_eq!(
        ask(Some("admin"), "PUT", "/admin/policies", service::CLOSED).body,
        "4"
    );
    problem(&ask(Some("u2"), "GET", "/documents/d1", ""), 403);
    // What is refused changes nothing.
    assert_eq!(
        ask(Some("admin"), "PUT", "/admin/policies", "permit(").status,
        422
    );
    assert_eq!(
        ask(Some("admin"), "PUT", "/admin/users/nobody", "true").status,
        422
    );
    assert_eq!(
        ask(Some("u1"), "GET", "/documents/d1", "").header("x-epoch"),
        Some("4")
    );
}

#[test]
fn no_answer_is_wrong_while_everything_changes() {
    let report = load::run(server(), Duration::from_millis(1_500)).unwrap();
    assert_eq!(report.wrong, 0, "{report:?}");
    assert!(report.changes > 10 && report.seconds > 1.0);
    assert!(report.allowed > 0 && report.allowed < report.requests);
}

/// A service that insists on being asked whether it is ready, and whose clones are not.
struct Careful {
    ready: bool,
    called: Arc<AtomicUsize>,
}

impl Clone for Careful {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            called: Arc::clone(&self.called),
        }
    }
}

impl Service<Request<String>> for Careful {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        self.called.fetch_add(1, Ordering::Relaxed);
        let policies = request
            .extensions()
            .get::<Authorized>()
            .map_or(0, |by| by.policies().len());
        std::future::ready(Ok(Response::new(format!(
            "{} {} {policies}",
            request.method(),
            request.body()
        ))))
    }
}

/// What becomes of a request, and how often the service was called.
fn ask<E: duramen::tower::Extract>(
    layer: &AuthorizationLayer<E>,
    request: Request<String>,
) -> (Response<String>, usize) {
    let called = Arc::new(AtomicUsize::new(0));
    let mut service = layer.layer(Careful {
        ready: false,
        called: Arc::clone(&called),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer = runtime
        .block_on(async { service.ready().await.unwrap().call(request).await })
        .unwrap();
    (answer, called.load(Ordering::Relaxed))
}

fn get(method: &str) -> Request<String> {
    Request::builder()
        .method(method)
        .uri("/x")
        .body("body".to_owned())
        .unwrap()
}

fn by_method(head: &Parts) -> Result<Asked, Rejection> {
    let uid = EntityUid::new;
    Ok(Asked::new(
        uid("User", "ann"),
        uid("Action", head.method.as_str()),
        uid("Path", head.uri.path()),
    ))
}

fn permits_get() -> Authorizer {
    let policies = r#"@reason("get") permit(principal, action == Action::"GET", resource);
                      @reason("no") @secret("x") forbid(principal, action == Action::"PUT", resource);"#;
    Authorizer::builder().policies(policies).build().unwrap()
}

#[test]
fn the_service_that_was_ready_is_called() {
    let layer = AuthorizationLayer::new(permits_get(), by_method);
    let (answer, called) = ask(&layer, get("GET"));
    assert_eq!(
        (answer.status(), &**answer.body(), called),
        (StatusCode::OK, "GET body 1", 1)
    );
    let (answer, called) = ask(&layer, get("HEAD"));
    assert_eq!(
        (&**answer.body(), called),
        ("HEAD body 1", 1),
        "it is a GET for policies alone"
    );
    let (answer, called) = ask(&layer, get("POST"));
    assert_eq!((answer.status(), called), (StatusCode::FORBIDDEN, 0));
    // A clone is made ready by itself.
    let called = Arc::new(AtomicUsize::new(0));
    let service = layer.layer(Careful {
        ready: true,
        called: Arc::clone(&called),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for _ in 0..2 {
        runtime
            .block_on(service.clone().oneshot(get("GET")))
            .unwrap();
    }
    assert_eq!(called.load(Ordering::Relaxed), 2);
}

#[test]
fn what_goes_wrong_allows_nothing() {
    let permits = || {
        Authorizer::builder()
            .policies("permit(principal, action, resource);")
            .build()
            .unwrap()
    };
    let rejects = |rejection: fn() -> Rejection| {
        let layer = AuthorizationLayer::new(permits(), move |_: &Parts| Err(rejection()));
        ask(&layer, get("GET"))
    };
    let (answer, called) = rejects(|| Rejection::failed("the database at 10.0.0.1 is down"));
    assert_eq!(
        (answer.status(), called),
        (StatusCode::INTERNAL_SERVER_ERROR, 0)
    );
    assert_eq!(
        answer.body(),
        r#"{"title":"Internal Server Error","status":500}"#
    );
    // The client is not told, and whoever keeps the service's logs is.
    let rejection = answer.extensions().get::<Arc<Rejection>>().unwrap();
    let why = std::error::Error::source(&**rejection).unwrap().to_string();
    assert_eq!(why, "the database at 10.0.0.1 is down");
    let (answer, called) = rejects(|| Rejection::bad_request("no such path"));
    assert_eq!((answer.status(), called), (StatusCode::BAD_REQUEST, 0));
    assert!(answer.body().contains("no such path"));
    // A challenge that cannot stand in a header is replaced, as a 401 must have one.
    let (answer, called) = rejects(|| Rejection::unauthenticated("Bearer\r\nx: y"));
    assert_eq!((answer.status(), called), (StatusCode::UNAUTHORIZED, 0));
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");

    // Panics while extracting, and while the context is written.
    struct Panics;
    impl serde::Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("on purpose")
        }
    }
    let layer = AuthorizationLayer::new(permits(), |_: &Parts| panic!("on purpose"));
    // The layers outside are told, the client is not.
    let panicked = |(answer, called): (Response<String>, usize)| {
        assert_eq!(
            (answer.status(), called),
            (StatusCode::INTERNAL_SERVER_ERROR, 0)
        );
        assert!(!answer.body().contains("purpose"));
        let why = answer.extensions().get::<Arc<Rejection>>().unwrap();
        std::error::Error::source(&**why).unwrap().to_string()
    };
    assert_eq!(panicked(ask(&layer, get("GET"))), "panicked: on purpose");
    let layer = AuthorizationLayer::new(permits(), |head: &Parts| {
        let method = head.method.to_string();
        panic!("at {method}, on purpose")
    });
    assert_eq!(
        panicked(ask(&layer, get("HEAD"))),
        "panicked: at GET, on purpose"
    );
    let layer = AuthorizationLayer::new(permits(), |head: &Parts| {
        Ok(by_method(head)?.context(Panics))
    });
    assert_eq!(panicked(ask(&layer, get("HEAD"))), "panicked: on purpose");
    let layer = AuthorizationLayer::new(permits(), |_: &Parts| std::panic::panic_any(7));
    assert_eq!(
        panicked(ask(&layer, get("GET"))),
        "panicked: without a message"
    );
    // A panic leaves nothing behind: the next request is decided.
    let twice = std::sync::atomic::AtomicBool::new(false);
    let layer = AuthorizationLayer::new(permits(), move |head: &Parts| {
        assert!(
            twice.swap(true, std::sync::atomic::Ordering::Relaxed),
            "once"
        );
        by_method(head)
    });
    assert_eq!(panicked(ask(&layer, get("GET"))), "panicked: once");
    assert_eq!(ask(&layer, get("GET")).0.status(), StatusCode::OK);
    // What cannot be understood.
    let layer = AuthorizationLayer::new(permits(), |head: &Parts| {
        Ok(by_method(head)?.context_json("{"))
    });
    let (answer, called) = ask(&layer, get("GET"));
    assert_eq!((answer.status(), called), (StatusCode::FORBIDDEN, 0));
    // What is too old.
    let old = Policies::new()
        .text("permit(principal, action, resource);")
        .as_of(UNIX_EPOCH);
    let fresh = Freshness::new().max_policy_age(Duration::from_secs(1));
    let stale = Authorizer::builder()
        .policies(old)
        .freshness(fresh)
        .build()
        .unwrap();
    let (answer, called) = ask(&AuthorizationLayer::new(stale, by_method), get("GET"));
    assert_eq!(
        (answer.status(), called),
        (StatusCode::SERVICE_UNAVAILABLE, 0)
    );
}

/// Handlers and the layers outside learn which decision it was; the numbers are those of the records.
#[test]
fn a_decision_can_be_found_in_the_log() {
    let sink = Arc::new(duramen::evidence::MemorySink::new(10));
    let authorizer = Authorizer::builder()
        .policies(
            r#"@step_up("pin") permit(principal, action == Action::"GET", resource);
               forbid(principal, action == Action::"PUT", resource);"#,
        )
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let found = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&found);
    let layer = AuthorizationLayer::new(authorizer.clone(), by_method);
    let mut service = layer.layer(tower::service_fn(move |request: Request<String>| {
        *seen.lock().unwrap() = request.extensions().get::<Authorized>().cloned();
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut ask = |method| {
        let answer = runtime.block_on(service.call(get(method))).unwrap();
        (answer, sink.records().pop().unwrap())
    };
    for _ in 0..2 {
        let (answer, record) = ask("GET");
        let authorized = found.lock().unwrap().take().unwrap();
        assert_eq!(authorized.sequence(), Some(record.sequence));
        assert_eq!(authorized.principal(), ("User", "ann").into());
        assert_eq!(authorized.policies()[0].as_str(), "policy0");
        assert_eq!(authorized.step_up(), ["pin"]);
        assert_eq!(authorized.version(), authorizer.version());
        assert!(answer.extensions().get::<Denied>().is_none());
    }
    for (method, outcome, policies) in [
        ("PUT", Outcome::Forbidden, 1),
        ("POST", Outcome::NoPermit, 0),
    ] {
        let (answer, record) = ask(method);
        let denied = answer.extensions().get::<Denied>().unwrap();
        assert_eq!(denied.sequence(), Some(record.sequence));
        assert_eq!(
            (denied.outcome(), denied.policies().len()),
            (outcome, policies)
        );
        assert_eq!(denied.version(), authorizer.version());
        assert!(found.lock().unwrap().is_none());
    }
}

/// A chain from a token is decided as it is elsewhere.
#[test]
fn those_who_act_for_others_are_asked_too() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal, action == Action::"GET", resource) when { context.actor == Agent::"planner" };
               forbid(principal == Agent::"rogue", action, resource);
               forbid(principal, action, resource) when { context.subject != User::"ann" };
               forbid(principal, action, resource) when { context has via && context.via is Robot };"#,
        )
        .build()
        .unwrap();
    let status = |actors: &'static [(&'static str, &'static str)], bound: Option<SystemTime>| {
        let layer = AuthorizationLayer::new(authorizer.clone(), move |head: &Parts| {
            let actors: Vec<EntityUidRef<'_>> = actors.iter().map(|uid| (*uid).into()).collect();
            let mut chain = Delegation::new(&actors)
                .actor_as("actor")
                .subject_as("subject")
                .delegator_as("via");
            if let Some(bound) = bound {
                chain = chain.expires(bound);
            }
            Ok(by_method(head)?.delegation(&chain))
        });
        let (answer, called) = ask(&layer.tell_outcome(true), get("GET"));
        assert_eq!(called == 1, answer.status() == StatusCode::OK);
        let body = answer.into_body();
        let outcome = body.split("outcome\":\"").nth(1);
        outcome
            .map_or("", |text| text.trim_end_matches("\"}"))
            .to_owned()
    };
    assert_eq!(status(&[("Agent", "planner")], None), "");
    assert_eq!(
        status(&[("Agent", "rogue"), ("Agent", "planner")], None),
        "forbidden"
    );
    assert_eq!(
        status(&[("Robot", "r"), ("Agent", "planner")], None),
        "forbidden"
    );
    assert_eq!(status(&[("Agent", "other")], None), "no_permit");
    assert_eq!(
        status(&[("Agent", "planner")], Some(UNIX_EPOCH)),
        "delegation_expired"
    );
}

/// Of a chain, each hop that is denied has to be lifted.
#[test]
fn a_step_up_is_asked_for_where_it_lifts_every_hop() {
    let policies = r#"permit(principal, action, resource) unless { principal == Agent::"unknown" };
        @step_up("mfa") forbid(principal is User, action, resource);
        @step_up("phr") forbid(principal == Agent::"careful", action, resource);
        forbid(principal == Agent::"banned", action, resource);"#;
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();
    for (actors, challenge) in [
        (&["good"][..], Some("mfa")),
        (&["good", "careful"], Some("mfa phr")),
        (&["banned"], None),
        (&["good", "unknown"], None),
    ] {
        let layer = AuthorizationLayer::new(authorizer.clone(), move |head: &Parts| {
            let actors: Vec<_> = actors
                .iter()
                .map(|id| EntityUidRef::new("Agent", id))
                .collect();
            Ok(by_method(head)?.delegation(&Delegation::new(&actors)))
        });
        let layer = layer.challenge_step_up("Bearer").unwrap();
        let (answer, _) = ask(&layer, get("GET"));
        let asked = answer.headers().get("www-authenticate");
        let asked = asked.map(|text| text.to_str().unwrap());
        let expected = challenge.map(|levels| {
            format!(r#"Bearer error="insufficient_user_authentication", acr_values="{levels}""#)
        });
        assert_eq!(asked, expected.as_deref(), "{actors:?}");
    }
}

#[test]
fn a_step_up_is_asked_for_where_it_helps() {
    let good = r#"permit(principal, action, resource);
        @step_up("two words") permit(principal, action == Action::"GET", resource);
        @step_up("mfa") forbid(principal, action in [Action::"PUT", Action::"POST", Action::"PATCH"], resource);
        @step_up("phr") forbid(principal, action == Action::"POST", resource);
        forbid(principal, action == Action::"PATCH", resource);"#;
    let bad = r#"@step_up("no \"text\"") forbid(principal, action == Action::"DELETE", resource);
        @step_up("a b") forbid(principal, action in [Action::"COPY", Action::"LOCK"], resource);
        forbid(principal, action == Action::"LOCK", resource);
        @step_up("") forbid(principal, action == Action::"MOVE", resource);"#;
    let authorizer = Authorizer::builder().policies(good).build().unwrap();
    let answer = |layer: &AuthorizationLayer<_>, method| {
        let (answer, called) = ask(layer, get(method));
        assert_eq!(called == 1, answer.status() == StatusCode::OK);
        let challenge = answer.headers().get("www-authenticate");
        let challenge = challenge.map(|text| text.to_str().unwrap().to_owned());
        let unsent = answer.extensions().get::<Denied>();
        let unsent = unsent.and_then(|denied| denied.unsent_step_up().cloned());
        (answer.status().as_u16(), challenge, unsent)
    };
    let layer = || AuthorizationLayer::new(authorizer.clone(), by_method);
    assert_eq!(answer(&layer(), "PUT"), (403, None, None));
    for scheme in [
        "",
        "Be arer",
        "DPoP\r\nx: y",
        "Bearer realm=\"x\"",
        "M\u{fc}",
    ] {
        let refused = layer().challenge_step_up(scheme).unwrap_err();
        assert_eq!(refused, ChallengeError::Scheme(scheme.to_owned()));
    }
    assert_eq!(
        layer().challenge_step_up("a\tb").unwrap_err().to_string(),
        r"`a\tb` is no authentication scheme; write one word, such as `Bearer` or `DPoP`"
    );
    let challenging = layer().challenge_step_up("DPoP").unwrap();
    let asks = |levels| {
        let text =
            format!(r#"DPoP error="insufficient_user_authentication", acr_values="{levels}""#);
        (401, Some(text), None)
    };
    assert_eq!(answer(&challenging, "PUT"), asks("mfa"));
    assert_eq!(answer(&challenging, "POST"), asks("mfa phr"));
    assert_eq!(
        answer(&challenging, "PATCH"),
        (403, None, None),
        "one forbid stays"
    );
    assert_eq!(answer(&challenging, "GET"), (200, None, None));
    let nobody = AuthorizationLayer::new(Authorizer::builder().build().unwrap(), by_method);
    let nobody = nobody.challenge_step_up("DPoP").unwrap();
    assert_eq!(answer(&nobody, "GET"), (403, None, None));

    // What no challenge can say is refused where it can be, and told where it is met.
    authorizer.replace_policies(format!("{good}{bad}")).unwrap();
    let refused = layer().challenge_step_up("DPoP").unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"no challenge can say the annotation `@step_up` of policy5, policy6, policy8; write one word of printable ASCII, without `"` and `\`"#
    );
    for (method, policy) in [
        ("DELETE", "policy5"),
        ("COPY", "policy6"),
        ("MOVE", "policy8"),
    ] {
        let (status, challenge, unsent) = answer(&challenging, method);
        assert_eq!((status, challenge), (403, None));
        assert_eq!(unsent.unwrap().as_str(), policy);
    }
    assert_eq!(
        answer(&challenging, "LOCK"),
        (403, None, None),
        "no step-up lifts it"
    );
    assert_eq!(answer(&challenging, "PUT"), asks("mfa"));
    // Whoever sends no challenge need not be told.
    assert_eq!(answer(&layer(), "DELETE"), (403, None, None));
}

#[test]
fn clients_are_told_what_the_host_lets_them() {
    let layer = || AuthorizationLayer::new(permits_get(), by_method);
    let told = |layer, method| ask(&layer, get(method)).0.into_body();
    assert_eq!(
        told(layer(), "PUT"),
        r#"{"title":"Forbidden","status":403}"#
    );
    assert_eq!(
        told(layer().tell_outcome(true), "PUT"),
        r#"{"title":"Forbidden","status":403,"outcome":"forbidden"}"#
    );
    assert_eq!(
        told(layer().tell_outcome(true), "POST"),
        r#"{"title":"Forbidden","status":403,"outcome":"no_permit"}"#
    );
    let reasons = told(layer().tell_annotation("reason"), "PUT");
    assert_eq!(
        reasons,
        r#"{"title":"Forbidden","status":403,"reasons":["no"]}"#
    );
    assert_eq!(
        told(layer().tell_annotation("reason"), "POST"),
        r#"{"title":"Forbidden","status":403}"#
    );
}

#[test]
fn preflights_pass_where_that_is_declared() {
    let preflight = |headers: &[&str]| {
        let mut request = get("OPTIONS");
        for name in headers {
            request.headers_mut().insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                http::HeaderValue::from_static("x"),
            );
        }
        request
    };
    let whole = ["origin", "access-control-request-method"];
    let layer = AuthorizationLayer::new(permits_get(), by_method);
    assert_eq!(ask(&layer, preflight(&whole)).1, 0);
    let layer = layer.pass_preflights(true);
    let (answer, called) = ask(&layer, preflight(&whole));
    assert_eq!(
        (&**answer.body(), called),
        ("OPTIONS body 0", 1),
        "and nothing says that it was authorized"
    );
    assert_eq!(ask(&layer, preflight(&["origin"])).1, 0);
    let mut other = preflight(&whole);
    *other.method_mut() = http::Method::POST;
    assert_eq!(ask(&layer, other).1, 0);
}
