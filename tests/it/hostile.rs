//! Input that is made to take time, memory or the stack: it ends in an error that names the bound, or costs no more than
//! its size. `docs/security.md` has the table of what was tried.
//!
//! Times are bounded so far above what is needed that a busy machine passes, and far below what the attack would cost.

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use duramen::delegation::{ClaimsReader, Party};
use duramen::signals::{SignalError, SignalReceiver, SubjectFormat, SubjectKind, Transmitter};
use duramen::spiffe::{SpiffeId, SpiffeIdError};
use duramen::{
    Authorizer, Entities, Entity, EntityUid, EntityUpdate, Limit, Limits, Outcome, Request,
};
use serde_json::json;

const LONG: Duration = Duration::from_secs(20);

fn in_time<R>(f: impl FnOnce() -> R) -> R {
    let begin = Instant::now();
    let result = f();
    let taken = begin.elapsed();
    assert!(taken < LONG, "{taken:?}");
    result
}

/// The limit that a context meets; none when it is taken.
fn context_limit(context: &str) -> Option<Limit> {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) when { [context] != [] };")
        .build()
        .unwrap();
    let request = Request::new(("U", "u"), ("Action", "a"), ("R", "r")).context_json(context);
    let response = authorizer.is_authorized(&request);
    let limit = response.request_error()?.limit().unwrap().limit();
    assert_eq!(response.outcome(), Outcome::InvalidRequest);
    Some(limit)
}

#[test]
fn large_contexts_are_bounded() {
    let limits = Limits::default();
    let numbers: Vec<usize> = (0..=limits.set_elements()).collect();
    let cases = [
        (
            json!({ "a": "x".repeat(limits.context_bytes()) }).to_string(),
            Limit::ContextBytes,
        ),
        (
            format!("{{{}\"a\": 1}}", " ".repeat(limits.context_bytes())),
            Limit::ContextBytes,
        ),
        (json!({ "a": numbers }).to_string(), Limit::SetElements),
        (
            format!("{{\"a\": {}", "[".repeat(100_000)),
            Limit::ContextDepth,
        ),
        (
            format!("{{\"a\": {}", "{\"a\":".repeat(100_000)),
            Limit::ContextDepth,
        ),
    ];
    for (context, limit) in cases {
        let found = in_time(|| context_limit(&context));
        assert_eq!(found, Some(limit), "{}", &context[..30]);
    }
    // The largest set that passes, backwards and with everything twice: sorting it is what it costs.
    let half = limits.set_elements() / 2;
    let numbers: Vec<usize> = (0..half).rev().chain((0..half).rev()).collect();
    let context = json!({ "a": numbers }).to_string();
    assert_eq!(in_time(|| context_limit(&context)), None);
}

/// Patterns at which a matcher that goes back over what it matched takes a time that grows with a power of the length.
#[test]
fn patterns_do_not_backtrack() {
    let text = "a".repeat(100_000);
    let patterns = [
        format!("{}b", "*a".repeat(200)),
        format!("{}b*", "a*".repeat(200)),
        format!("*{}b*{}b*", "a".repeat(500), "a".repeat(500)),
        format!("{}b", "*".repeat(1_000)),
    ];
    for pattern in patterns {
        let policy =
            format!("permit(principal, action, resource) when {{ context.t like \"{pattern}\" }};");
        let authorizer = Authorizer::builder()
            .policies(policy.as_str())
            .build()
            .unwrap();
        let context = json!({ "t": text });
        let request = Request::new(("U", "u"), ("Action", "a"), ("R", "r")).context(&context);
        assert!(!in_time(|| authorizer.is_allowed(&request)), "{pattern}");
    }
}

/// Texts that the readers of extension values, patterns and literals go through: once.
#[test]
fn long_texts_cost_their_size() {
    let long = 900_000;
    let texts = [
        ("ip", "1.".repeat(long / 2)),
        ("ip", ":".repeat(long)),
        ("ip", format!("10.0.0.1/{}", "0".repeat(long))),
        ("decimal", format!("{}.5", "9".repeat(long))),
        ("decimal", format!("1.{}", "0".repeat(long))),
        ("datetime", "2024-01-01T".repeat(long / 11)),
        (
            "datetime",
            format!("2024-01-01T00:00:00.{}Z", "0".repeat(long)),
        ),
        ("duration", "1d".repeat(long / 2)),
        ("duration", format!("{}ms", "9".repeat(long))),
    ];
    for (name, text) in texts {
        let context = json!({ "x": { "__extn": { "fn": name, "arg": text } } }).to_string();
        let authorizer = Authorizer::builder()
            .policies("permit(principal, action, resource);")
            .build()
            .unwrap();
        let request = Request::new(("U", "u"), ("Action", "a"), ("R", "r")).context_json(&context);
        let response = in_time(|| authorizer.is_authorized(&request).to_owned());
        let error = response.request_error.expect("no such value");
        assert!(
            error.message().len() < 2_000,
            "an error as long as the text"
        );
    }
    // A literal, a pattern and an id of some megabytes in a policy.
    let (literal, pattern) = ("x".repeat(4_000_000), "a*".repeat(200_000));
    let policy = format!(
        "permit(principal == U::\"{literal}\", action, resource) when {{ context.t like \"{pattern}b\" }};"
    );
    let authorizer = in_time(|| Authorizer::builder().policies(policy.as_str()).build());
    let authorizer = authorizer.unwrap();
    let context = json!({ "t": "a".repeat(long) });
    let request =
        Request::new(("U", literal.as_str()), ("Action", "a"), ("R", "r")).context(&context);
    assert!(!in_time(|| authorizer.is_allowed(&request)));
}

/// Ids that collide in hashes that sum up bytes by 31, 33 or xor: a table that used one of these would compare each with
/// all others.
/// The keys of tables, for whoever asks in another process.
const TELL: &str = "DURAMEN_TELL_A_HASH";

/// Neither another table nor another process hashes alike, so that nobody can know which ids collide.
#[test]
fn tables_have_keys_of_their_own() {
    let hash = || ahash::RandomState::new().hash_one("User");
    if std::env::var_os(TELL).is_some() {
        println!("hash {}", hash());
        return;
    }
    assert_ne!(hash(), hash());
    let elsewhere = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "hostile::tables_have_keys_of_their_own",
            "--nocapture",
        ]);
        let out = child.env(TELL, "1").output().unwrap().stdout;
        let out = String::from_utf8(out).unwrap();
        let told = out.lines().find_map(|line| line.split_once("hash "));
        told.unwrap().1.to_owned()
    };
    assert_ne!(elsewhere(), elsewhere());
    // No table of the crate chooses its keys.
    for text in super::documents::sources_of("src") {
        let chosen = ["with_seed", "generate_with", "FixedState"];
        assert!(!chosen.iter().any(|way| text.contains(way)), "{text}");
    }
}

#[test]
fn ids_that_collide_elsewhere_are_found() {
    let ids: Vec<String> = (0..1 << 13)
        .map(|number: u32| {
            let pairs = (0..13).map(|bit| ["Aa", "BB"][(number >> bit & 1) as usize]);
            pairs.collect()
        })
        .collect();
    let authorizer = in_time(|| {
        let groups = [("Group", "g").into()];
        let entities = ids.iter().fold(Entities::new(), |entities, id| {
            entities.insert(Entity::new(("User", id.as_str())).parents(&groups))
        });
        Authorizer::builder()
            .policies(r#"permit(principal in Group::"g", action, resource);"#)
            .entities(entities)
            .build()
            .unwrap()
    });
    in_time(|| {
        for id in &ids {
            let known = Request::new(("User", id.as_str()), ("Action", "a"), ("R", "r"));
            assert!(authorizer.is_allowed(&known), "{id}");
            let unknown = Request::new(("R", id.as_str()), ("Action", "a"), ("R", "r"));
            assert!(!authorizer.is_allowed(&unknown), "{id}");
        }
    });
}

fn is_in(entities: Entities, below: &str, above: &str) -> bool {
    let policy = format!(r#"permit(principal in G::"{above}", action, resource);"#);
    let authorizer = in_time(|| {
        Authorizer::builder()
            .policies(policy.as_str())
            .entities(entities)
            .build()
            .unwrap()
    });
    let request = Request::new(("G", below), ("Action", "a"), ("R", "r"));
    in_time(|| authorizer.is_allowed(&request))
}

#[test]
fn hierarchies_cost_their_size() {
    // Everybody in everything of the layer above: 8 to the power of 40 ways up, 41 layers.
    let mut diamonds = Entities::new();
    let name = |layer: usize, place: usize| format!("{layer}-{place}");
    for layer in 0..40 {
        let above: Vec<String> = (0..8).map(|place| name(layer + 1, place)).collect();
        let parents: Vec<_> = above.iter().map(|id| ("G", id.as_str()).into()).collect();
        for place in 0..8 {
            let id = name(layer, place);
            diamonds = diamonds.insert(Entity::new(("G", id.as_str())).parents(&parents));
        }
    }
    assert!(is_in(diamonds.clone(), "0-0", "40-7"));
    assert!(!is_in(diamonds, "0-0", "0-1"));

    // One below many, and many below one.
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let many: Vec<_> = ids.iter().map(|id| ("G", id.as_str()).into()).collect();
    let wide = Entities::new().insert(Entity::new(("G", "below")).parents(&many));
    assert!(is_in(wide, "below", "19999"));
    let top = [("G", "top").into()];
    let star = ids.iter().fold(Entities::new(), |entities, id| {
        entities.insert(Entity::new(("G", id.as_str())).parents(&top))
    });
    assert!(is_in(star, "19999", "top"));
}

#[test]
fn deep_hierarchies_are_refused_by_name() {
    let deepest = Limits::default().hierarchy_depth();
    let chain = |length: usize| {
        let ids: Vec<String> = (0..=length).map(|number| number.to_string()).collect();
        ids.windows(2).fold(Entities::new(), |entities, pair| {
            let parents = [("G", pair[1].as_str()).into()];
            entities.insert(Entity::new(("G", pair[0].as_str())).parents(&parents))
        })
    };
    assert!(is_in(chain(deepest - 1), "0", &(deepest - 1).to_string()));
    for length in [deepest + 1, 50_000] {
        let built = in_time(|| Authorizer::builder().entities(chain(length)).build());
        let error = built.unwrap_err();
        let mut problems = error.entity_error().unwrap().problems().iter();
        let limit = problems.find_map(|problem| problem.limit()).unwrap();
        assert_eq!(limit.limit(), Limit::HierarchyDepth);
    }
}

/// Groups below one that is below as many: each would have all that are above it.
#[test]
fn hierarchies_that_multiply_are_refused_by_name() {
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let above: Vec<_> = ids.iter().map(|id| ("Above", id.as_str()).into()).collect();
    let waist = [("G", "waist").into()];
    let mut groups = Entities::new().insert(Entity::new(("G", "waist")).parents(&above));
    for id in &ids {
        let group = [("G", id.as_str()).into()];
        groups = groups
            .insert(Entity::new(("G", id.as_str())).parents(&waist))
            .insert(Entity::new(("User", id.as_str())).parents(&group));
    }
    // Members of two groups each.
    let mut members = Entities::new().insert(Entity::new(("G", "waist")).parents(&above));
    for id in &ids {
        let two = [("G", "waist").into(), ("G", "other").into()];
        members = members.insert(Entity::new(("User", id.as_str())).parents(&two));
    }
    let limit = |error: &duramen::EntityError| {
        let mut limits = error
            .problems()
            .iter()
            .filter_map(|problem| problem.limit());
        limits.next().unwrap().limit()
    };
    for entities in [groups, members] {
        let limits = Limits::default().with_ancestors(1_000_000);
        let builder = Authorizer::builder().limits(limits);
        let built = in_time(|| builder.entities(entities.clone()).build());
        let error = built.unwrap_err();
        assert_eq!(limit(error.entity_error().unwrap()), Limit::Ancestors);
        let limits = Limits::default().with_ancestors(1_000);
        let authorizer = Authorizer::builder().limits(limits).build().unwrap();
        let version = authorizer.version();
        let error = in_time(|| authorizer.replace_entities(entities)).unwrap_err();
        assert_eq!(limit(&error), Limit::Ancestors);
        assert_eq!(authorizer.version(), version);
    }
    let limits = Limits::default().with_ancestors(70_000);
    let authorizer = Authorizer::builder().limits(limits).build().unwrap();
    let waist_only = EntityUpdate::new().upsert(Entity::new(("G", "waist")).parents(&above));
    assert!(authorizer.update_entities(waist_only).is_ok());
    let below = |id| EntityUpdate::new().upsert(Entity::new(("G", id)).parents(&waist));
    assert!(authorizer.update_entities(below("a")).is_ok());
    let member = |update: EntityUpdate, id| {
        let two = [("G", "waist").into(), ("G", "a").into()];
        update.upsert(Entity::new(("User", id)).parents(&two))
    };
    let one = member(EntityUpdate::new(), "u");
    let two = member(member(EntityUpdate::new(), "v"), "w");
    assert!(authorizer.update_entities(one).is_ok());
    let error = authorizer.update_entities(two).unwrap_err();
    assert_eq!(limit(&error), Limit::Ancestors);
}

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
        let error = in_time(|| receiver.apply(&authorizer, &payload)).unwrap_err();
        assert!(matches!(error, SignalError::Malformed(_)), "{error}");
    }
    assert_eq!(authorizer.version(), version);
    // None of them is in the way of what is well-formed.
    let report = receiver.apply(&authorizer, &revoked("s", "")).unwrap();
    assert_eq!(report.changes()[0].0.id(), "s");
}

#[test]
fn spiffe_ids_are_refused_for_what_is_wrong() {
    use SpiffeIdError::{DomainCharacter, DomainLength, PathCharacter, Scheme, Segment, TooLong};
    let parse = |text: &str| text.parse::<SpiffeId>().unwrap_err();
    let long = |length: usize| format!("spiffe://d/{}", "a".repeat(length - 11));
    assert!(long(2048).parse::<SpiffeId>().is_ok());
    assert_eq!(parse(&long(2049)), TooLong(2049));
    assert_eq!(in_time(|| parse(&long(50_000_000))), TooLong(50_000_000));
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
    let limit = |depth: usize| {
        let error = in_time(|| reader.read(&nested(depth))).unwrap_err();
        error.limit().unwrap().limit()
    };
    assert_eq!(limit(most + 1), Limit::DelegationActors);
    assert_eq!(limit(10_000), Limit::Nesting);
    assert_eq!(limit(1_000_000), Limit::ContextBytes);
}
