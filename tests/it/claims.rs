//! Delegation from the claims of tokens, by RFC 8693.

use std::time::{Duration, SystemTime};

use duramen::delegation::{ClaimsError, ClaimsReader, Party, TokenClaims};
use duramen::{Authorizer, EntityUid, Limit, Limits, Outcome, Request};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn entity(party: &Party<'_>) -> Option<EntityUid> {
    match (party.is_subject(), party.issuer()) {
        (true, _) => Some(EntityUid::new("User", party.subject()?)),
        (false, Some("https://agents.example")) => {
            Some(EntityUid::new("Agent", party.claim("client_id")?))
        }
        (false, None) => Some(EntityUid::new("Service", party.subject()?)),
        (false, Some(_)) => None,
    }
}

fn read(claims: &str) -> Result<TokenClaims, ClaimsError> {
    ClaimsReader::new(entity).read(claims)
}

fn names(claims: &TokenClaims) -> Vec<String> {
    let all = std::iter::once(claims.subject()).chain(claims.actors());
    all.map(|uid| uid.to_string()).collect()
}

/// The examples of section 4.1, written out anew.
fn nested() -> Json {
    json!({
        "iss": "https://issuer.example", "sub": "user@example.com", "aud": "https://consumer.example",
        "exp": 1_443_904_177, "nbf": 1_443_904_077,
        "act": { "sub": "service16", "act": { "sub": "service77", "exp": 1, "act": { "sub": "service1" } } }
    })
}

#[test]
fn the_outermost_actor_counts_and_nested_ones_if_asked_for() {
    let claims = read(&nested().to_string()).unwrap();
    assert_eq!(
        names(&claims),
        [r#"User::"user@example.com""#, r#"Service::"service16""#]
    );
    let seconds = |at| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
    assert_eq!(claims.expires(), seconds(1_443_904_177));
    assert_eq!(claims.not_before(), seconds(1_443_904_077));
    // The oldest is nested deepest, and comes first in the chain.
    let reader = ClaimsReader::new(entity).with_prior_actors(true);
    let all = reader.read_value(&nested()).unwrap();
    let ids: Vec<&str> = all.actors().iter().map(|uid| uid.id()).collect();
    assert_eq!(ids, ["service1", "service77", "service16"]);
    // Nobody acts: the subject does.
    let direct = read(r#"{ "sub": "ann" }"#).unwrap();
    assert_eq!(names(&direct), [r#"User::"ann""#]);
    assert_eq!((direct.expires(), direct.not_before()), (None, None));
    // Whoever may act does not.
    let may = read(r#"{ "sub": "ann", "may_act": { "sub": "x" } }"#).unwrap();
    assert_eq!(may.actors(), []);
    // By another claim, of the issuer that it says itself.
    let agent = json!({ "sub": "ann", "iss": "https://issuer.example",
                        "act": { "iss": "https://agents.example", "client_id": "planner" } });
    assert_eq!(
        names(&read(&agent.to_string()).unwrap())[1],
        r#"Agent::"planner""#
    );
}

#[test]
fn what_is_malformed_is_refused_with_its_place() {
    let deep = (0..9).fold(
        json!({ "sub": "z" }),
        |act, _| json!({ "sub": "s", "act": act }),
    );
    let deep = json!({ "sub": "ann", "act": deep }).to_string();
    for (claims, place, message) in [
        ("", "the claims", "line 1"),
        ("[]", "the claims", "object"),
        (r#"{"sub":"a","sub":"b"}"#, "the claims", "this key already"),
        (
            r#"{"sub":"a","act":{"sub":"b","sub":"c"}}"#,
            "the claims",
            "this key already",
        ),
        (r#"{"act":{"sub":"b"}}"#, "sub", "missing"),
        (r#"{"sub":1}"#, "sub", "text"),
        (r#"{"sub":null}"#, "sub", "text"),
        (r#"{"sub":"a","iss":[]}"#, "iss", "text"),
        (r#"{"sub":"a","act":"b"}"#, "act", "object"),
        (r#"{"sub":"a","act":null}"#, "act", "object"),
        (r#"{"sub":"a","act":{"sub":2}}"#, "act.sub", "text"),
        (
            r#"{"sub":"a","act":{"iss":"evil","sub":"b"}}"#,
            "act",
            "no entity",
        ),
        (r#"{"sub":"a","act":{}}"#, "act", "no entity"),
        // Nested ones are looked at although they do not count.
        (
            r#"{"sub":"a","act":{"sub":"b","act":{"sub":3}}}"#,
            "act.act.sub",
            "text",
        ),
        (
            r#"{"sub":"a","act":{"sub":"b","act":7}}"#,
            "act.act",
            "object",
        ),
        (r#"{"sub":"a","exp":"1"}"#, "exp", "seconds"),
        (r#"{"sub":"a","exp":-1}"#, "exp", "seconds"),
        (r#"{"sub":"a","exp":1e300}"#, "exp", "seconds"),
        (r#"{"sub":"a","nbf":null}"#, "nbf", "seconds"),
        (
            &deep,
            "act.act.act.act.act.act.act.act.act",
            "delegation_actors",
        ),
    ] {
        let error = read(claims).unwrap_err();
        assert_eq!(error.place(), place, "{claims}: {error}");
        assert!(error.to_string().contains(message), "{claims}: {error}");
        assert_eq!(error.is_unknown_party(), message == "no entity");
    }
    assert_eq!(
        read(&deep).unwrap_err().limit().unwrap().limit(),
        Limit::DelegationActors
    );
    let limits = Limits::default().with_delegation_actors(20);
    ClaimsReader::new(entity)
        .with_limits(&limits)
        .read(&deep)
        .unwrap();
}

/// A fraction never makes a token valid for longer than it says.
#[test]
fn fractions_of_seconds_are_rounded_to_the_safe_side() {
    let claims = read(r#"{ "sub": "a", "nbf": 10.5, "exp": 20.5 }"#).unwrap();
    let seconds = |at| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
    assert_eq!(
        (claims.not_before(), claims.expires()),
        (seconds(11), seconds(20))
    );
}

#[test]
fn claims_decide() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_443_904_100);
    let authorizer = |now| {
        Authorizer::builder()
            .policies(
                r#"permit(principal is User, action, resource);
                   permit(principal == Service::"service16", action, resource) when { context.for is User };"#,
            )
            .clock(move || now)
            .build()
            .unwrap()
    };
    let outcome = |authorizer: &Authorizer, prior: bool| {
        let reader = ClaimsReader::new(entity).with_prior_actors(prior);
        let claims = reader.read_value(&nested()).unwrap();
        let actors = claims.actors();
        let delegation = claims.delegation(&actors).subject_as("for");
        let request = Request::new(claims.subject(), ("Action", "read"), ("Doc", "d"));
        authorizer
            .is_authorized(&request.delegation(&delegation))
            .outcome()
    };
    assert_eq!(outcome(&authorizer(now), false), Outcome::Allowed);
    assert_eq!(outcome(&authorizer(now), true), Outcome::NoPermit);
    let late = authorizer(now + Duration::from_secs(77));
    assert_eq!(outcome(&late, false), Outcome::DelegationExpired);
    let early = authorizer(now - Duration::from_secs(24));
    assert_eq!(outcome(&early, false), Outcome::DelegationNotYetValid);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the text, it is read or refused.
    #[test]
    fn no_text_is_too_odd(text in r#"\{("(sub|act|exp|iss)":("a"|\{\}|\{"sub":"b"\}|1|-1.5|null|\[\]),?){0,5}\}?"#) {
        if let Ok(claims) = read(&text) {
            prop_assert!(text.contains(r#""sub":"a""#));
            prop_assert!(claims.actors().len() <= 1);
        }
    }
}
