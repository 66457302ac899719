//! What other services send: security events, names of workloads, tokens that name actors.

use duramen::Delegation;
use duramen::delegation::{ClaimsReader, Party};
use duramen::signals::{SignalError, SignalReceiver, SubjectFormat, SubjectKind, Transmitter};
use duramen::spiffe::{SpiffeId, SpiffeIdError};

use super::*;

fn receiver() -> SignalReceiver {
    SignalReceiver::new().transmitter(Transmitter::new("i", "a").subject(
        SubjectKind::Session,
        SubjectFormat::Opaque,
        "Session",
    ))
}

fn revoked(id: &str, rest: &str) -> String {
    format!(
        r#"{{ "iss": "i", "aud": "a", "jti": "{id}", "iat": 1700000000, "sub_id": {{ "format": "opaque", "id": "{id}" }},
              "events": {{ "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {{ {rest} }} }} }}"#
    )
}

#[test]
fn signals_are_bounded() {
    let _alone = alone();
    let authorizer = Authorizer::builder()
        .entities(Entities::new().insert(Entity::new(("Session", "s"))))
        .build()
        .unwrap();
    let receiver = receiver();
    let deep = |open: &str, close: &str| {
        let nested = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        revoked("s", &format!("\"x\": {nested}"))
    };
    let mut wide = String::from("\"x0\": 0");
    for number in 1..10_000 {
        let _ = write!(wide, ", \"x{number}\": 0");
    }
    let cases = [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        revoked(&"s".repeat(70_000), ""),
        revoked("s", &wide),
        revoked("s", "\"x\": 1, \"x\": 2"),
    ];
    let version = authorizer.version();
    for payload in cases {
        let error = within(MB, || receiver.apply(&authorizer, &payload)).unwrap_err();
        assert!(matches!(error, SignalError::Malformed(_)), "{error}");
    }
    assert_eq!(authorizer.version(), version);
    // None of them is in the way of what is well-formed.
    let report = receiver.apply(&authorizer, &revoked("s", "")).unwrap();
    assert_eq!(report.changes()[0].0.id(), "s");
}

/// Whoever may send signals may send as many as they like, with ids and claims as long as a payload may be.
#[test]
fn what_is_remembered_of_signals_is_small() {
    let _alone = alone();
    let sessions = || {
        (0..200).fold(Entities::new(), |all, number: usize| {
            all.insert(Entity::new(("Session", &*number.to_string())))
        })
    };
    let authorizer = Authorizer::builder().entities(sessions()).build().unwrap();
    let receiver = SignalReceiver::new().transmitter(
        Transmitter::new("i", "a")
            .subject(SubjectKind::Session, SubjectFormat::Opaque, "Session")
            .claim("role", "role"),
    );
    let long = "x".repeat(60_000);
    let apply = |event: &str, said: &str, jti: &str, number: usize| {
        let payload = format!(
            r#"{{ "iss": "i", "aud": "a", "jti": "{jti}{number}", "iat": 1700000000,
                  "sub_id": {{ "format": "opaque", "id": "{number}" }},
                  "events": {{ "https://schemas.openid.net/secevent/caep/event-type/{event}": {{ {said} }} }} }}"#
        );
        let report = receiver.apply(&authorizer, &payload).unwrap();
        assert_eq!(report.changes().len(), 1);
        assert!(receiver.apply(&authorizer, &payload).unwrap().is_replay());
    };
    let left_by = |apply: &dyn Fn(usize)| {
        let before = live();
        (0..200).for_each(apply);
        // What the store was told is the store's.
        authorizer.replace_entities(sessions()).unwrap();
        let left = live().saturating_sub(before);
        assert!(left < MB, "{left} bytes");
    };
    left_by(&|number| apply("session-presented", "", &long, number));
    let claims = format!(r#""claims": {{ "role": "{long}" }}"#);
    left_by(&|number| apply("token-claims-change", &claims, "c", number));
}

#[test]
fn spiffe_ids_are_refused_for_what_is_wrong() {
    let _alone = alone();
    use SpiffeIdError::{DomainCharacter, DomainLength, PathCharacter, Scheme, Segment, TooLong};
    let parse = |text: &str| text.parse::<SpiffeId>().unwrap_err();
    let long = |length: usize| format!("spiffe://d/{}", "a".repeat(length - 11));
    assert!(long(2048).parse::<SpiffeId>().is_ok());
    assert_eq!(parse(&long(2049)), TooLong(2049));
    let longest = long(50_000_000);
    assert_eq!(within(64 * KB, || parse(&longest)), TooLong(50_000_000));
    assert_eq!(
        parse(&format!("spiffe://{}", "a".repeat(256))),
        DomainLength(256)
    );
    assert_eq!(parse("spiffe:///a"), DomainLength(0));
    assert_eq!(parse("https://prod.example/a"), Scheme);
    // A port, a user, an escape, a Cyrillic letter that looks like one of ours, a zero, an end that is only for the eye.
    for domain in [
        "d:1",
        "u@d",
        "d%2e",
        "prоd",
        "d\0",
        "d\u{200b}",
        "d?q",
        "d#f",
    ] {
        let error = parse(&format!("spiffe://{domain}/a"));
        assert!(matches!(error, DomainCharacter { .. }), "{domain}: {error}");
    }
    for path in ["a%2fb", "а", "a\0", "a b", "a?q", "a#f", "a\\b", "a:b"] {
        let error = parse(&format!("spiffe://d/{path}"));
        assert!(matches!(error, PathCharacter { .. }), "{path}: {error}");
    }
    for path in ["", "a/", "a//b", ".", "..", "a/../b", "a/./b"] {
        let error = parse(&format!("spiffe://d/{path}"));
        assert!(matches!(error, Segment { .. }), "{path}: {error}");
    }
}

#[test]
fn actors_nested_ten_thousand_deep_are_refused_by_name() {
    let _alone = alone();
    let reader = ClaimsReader::new(|party: &Party<'_>| Some(EntityUid::new("U", party.subject()?)))
        .with_prior_actors(true);
    let nested = |depth: usize| {
        let mut claims = String::from(r#"{ "sub": "ann""#);
        claims.push_str(&r#", "act": { "sub": "bob""#.repeat(depth));
        claims.push_str(&"}".repeat(depth + 1));
        claims
    };
    let most = Limits::default().delegation_actors();
    assert_eq!(reader.read(&nested(most)).unwrap().actors().len(), most);
    // Ever more actors beside one another in a request, too.
    let actors = vec![("U", "u").into(); 1_000_000];
    let delegation = Delegation::new(&actors);
    let authorizer = Authorizer::builder().build().unwrap();
    let outcome = within(64 * KB, || {
        let request = asked().delegation(&delegation);
        authorizer.is_authorized(&request).outcome()
    });
    assert_eq!(outcome, Outcome::DelegationTooLong);
    let limit = |depth: usize| {
        let claims = nested(depth);
        let error = within(MB, || reader.read(&claims)).unwrap_err();
        error.limit().unwrap().limit()
    };
    assert_eq!(limit(most + 1), Limit::DelegationActors);
    assert_eq!(limit(10_000), Limit::Nesting);
    assert_eq!(limit(1_000_000), Limit::ContextBytes);
}
