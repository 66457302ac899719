//! What is fuzzed. Each function takes any bytes and panics when something is wrong: the engines disagree, or something
//! fails that must not.
//!
//! ```text
//! cargo +nightly fuzz run decide
//! ```
//!
//! Generators and comparisons are those of the property tests, so that a finding is a test: its bytes go to
//! `regressions/TARGET`, which `cargo test` reads.

#[path = "../../tests/it"]
#[allow(dead_code, unused_imports, reason = "the tests use all of it")]
mod it {
    pub(crate) mod agree;
    pub(crate) mod delegation {
        pub(crate) mod chains;
    }
    pub(crate) mod entity_updates;
    pub(crate) mod evidence {
        pub(crate) mod inputs;
        pub(crate) mod masking {
            pub(crate) mod secrets;
        }
        pub(crate) mod whatif {
            pub(crate) mod worlds;
        }
    }
    pub(crate) mod generate;
    pub(crate) mod grants {
        pub(crate) mod worlds;
    }
    pub(crate) mod many;
    pub(crate) mod oracle;
    pub(crate) mod overlays;
    pub(crate) mod schemas;
    pub(crate) mod search;
    pub(crate) mod stored;
    pub(crate) mod updates;
    pub(crate) mod value;
    pub(crate) mod written;
}

pub mod blind;
pub mod corpus;
pub mod differential;
mod evidence;

use std::time::{Duration, SystemTime};

use cedar_policy as cedar;
use duramen::delegation::ClaimsReader;
use duramen::signals::{SignalReceiver, SubjectFormat, SubjectKind, Transmitter};
use duramen::spiffe::SpiffeId;
use duramen::{Authorizer, Entities, Entity, EntityUid, EntityUidRef, Request};
pub use evidence::{log, records};
use it::agree;
use it::oracle::{answer, ours};
use proptest::test_runner::TestCaseError;

/// Both engines, on a world that the bytes make.
pub fn decide(bytes: &[u8]) {
    insist(agree::worlds_agree(bytes));
}

/// Both engines, on a world with a schema that the bytes make, and while it changes.
pub fn schemas(bytes: &[u8]) {
    insist(it::schemas::bytes_agree(bytes));
}

/// Both engines, on a hierarchy and requests that bring a part of one along, which the bytes make.
pub fn overlays(bytes: &[u8]) {
    insist(it::overlays::hierarchies_agree(bytes));
}

/// Both engines, on a world that the bytes make and change, and what a search finds in it.
pub fn search(bytes: &[u8]) {
    insist(it::search::worlds::worlds_agree(bytes));
}

/// Cedar, on nothing but what a record says was read, and Duramen on the world that the bytes make.
pub fn inputs(bytes: &[u8]) {
    insist(it::evidence::inputs::records_agree(bytes));
}

/// Both engines, on a world that the bytes make, and the grants in it while policies, entities, contexts and the time change.
pub fn grants(bytes: &[u8]) {
    insist(it::grants::worlds::worlds_agree(bytes));
}

/// Other policies on what records say, masked and not, and on the world itself, both of which the bytes make.
pub fn whatif(bytes: &[u8]) {
    insist(it::evidence::whatif::worlds::bytes_agree(bytes));
}

/// A world with secrets in it and masks over those, which the bytes make.
pub fn masks(bytes: &[u8]) {
    insist(it::evidence::masking::secrets::nothing_gets_through(bytes));
}

/// Policies as text, as JSON, and schemas in both forms.
pub fn policies(bytes: &[u8]) {
    let Some((kind, text)) = kind_and_text(bytes) else {
        return;
    };
    insist(match kind % 3 {
        0 => agree::policies_agree(text),
        1 => agree::policies_json_agree(text),
        _ => agree::schemas_agree(text),
    });
}

/// Entities as JSON: stored ones, and those of a request.
pub fn entities(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        insist(agree::entities_agree(text));
    }
}

/// A context as JSON.
pub fn context(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        insist(agree::contexts_agree(text));
    }
}

const EXTENSIONS: [&str; 4] = ["ip", "decimal", "datetime", "duration"];

/// Every operation on `context.x` and `context.y`, a policy each, so that each fails by itself.
const OPERATIONS: &str = r#"
permit(principal, action, resource) when { context.x == context.y };
permit(principal, action, resource) when { context.x < context.y };
permit(principal, action, resource) when { context.x <= context.y };
permit(principal, action, resource) when { context.x.isIpv4() };
permit(principal, action, resource) when { context.x.isIpv6() };
permit(principal, action, resource) when { context.x.isLoopback() };
permit(principal, action, resource) when { context.x.isMulticast() };
permit(principal, action, resource) when { context.x.isInRange(context.y) };
permit(principal, action, resource) when { context.x.lessThan(context.y) };
permit(principal, action, resource) when { context.x.lessThanOrEqual(context.y) };
permit(principal, action, resource) when { context.x.greaterThan(context.y) };
permit(principal, action, resource) when { context.x.greaterThanOrEqual(context.y) };
permit(principal, action, resource) when { context.x.offset(context.y) > context.x };
permit(principal, action, resource) when { context.y.offset(context.x) > context.y };
permit(principal, action, resource) when { context.x.durationSince(context.y) > duration("0ms") };
permit(principal, action, resource) when { context.x.toDate() == context.x };
permit(principal, action, resource) when { context.x.toTime() > duration("1h") };
permit(principal, action, resource) when { context.x.toMilliseconds() == 0 };
permit(principal, action, resource) when { context.x.toSeconds() < 0 };
permit(principal, action, resource) when { context.x.toMinutes() < 1 };
permit(principal, action, resource) when { context.x.toHours() > 1 };
permit(principal, action, resource) when { context.x.toDays() > 0 };
permit(principal, action, resource) when { [context.x].contains(context.y) };
"#;

/// What reads the texts of extension values, and what computes with them.
pub fn extensions(bytes: &[u8]) {
    thread_local! {
        static ENGINES: (cedar::PolicySet, Authorizer) = (
            OPERATIONS.parse().unwrap(),
            Authorizer::builder().policies(OPERATIONS).build().unwrap(),
        );
    }
    let Some((kinds, text)) = kind_and_text(bytes) else {
        return;
    };
    let (x, y) = text.split_once('\n').unwrap_or((text, "0"));
    let value = |kind: u8, text: &str| {
        let name = EXTENSIONS[usize::from(kind) % EXTENSIONS.len()];
        serde_json::json!({ "__extn": { "fn": name, "arg": text } })
    };
    let json = serde_json::json!({ "x": value(kinds, x), "y": value(kinds / 4, y) }).to_string();
    insist(agree::contexts_agree(&json));
    let Ok(context) = cedar::Context::from_json_str(&json, None) else {
        return;
    };
    let [principal, action, resource] = [("User", "u0"), ("Action", "view"), ("Doc", "d0")]
        .map(|(of, id)| it::oracle::cedar_uid(&it::value::uid(of, id)));
    let request = cedar::Request::new(principal, action, resource, context, None).unwrap();
    ENGINES.with(|(policies, authorizer)| {
        let entities = cedar::Entities::empty();
        let expected =
            answer(&cedar::Authorizer::new().is_authorized(&request, policies, &entities));
        let found = ours(&authorizer.is_authorized(&agree::view().context_json(&json)));
        assert_eq!(found, expected, "{json}");
    });
}

/// Entities and contexts that a schema gives types to.
pub fn typed(bytes: &[u8]) {
    let Some((kind, text)) = kind_and_text(bytes) else {
        return;
    };
    insist(match kind % 2 {
        0 => agree::typed_entities_agree(text),
        _ => agree::typed_contexts_agree(text),
    });
}

/// Type names and ids, as requests bring them.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (type_name, id) = text.split_once('\n').unwrap_or((text, ""));
    let known = type_name.parse::<cedar::EntityTypeName>().is_ok();
    agree::empty(|authorizer| {
        let uid = EntityUidRef::new(type_name, id);
        let request = Request::new(uid, ("Action", "view"), uid);
        let response = authorizer.is_authorized(&request);
        assert_eq!(response.request_error().is_none(), known, "{type_name:?}");
    });
}

/// SPIFFE IDs, against the standard's grammar written down once more.
pub fn spiffe(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let parsed = text.parse::<SpiffeId>();
    assert_eq!(parsed.is_ok(), is_spiffe_id(text), "{text:?}: {parsed:?}");
    if let Ok(id) = parsed {
        assert!(id.as_str().eq_ignore_ascii_case(text));
        let (domain, path) = (id.trust_domain(), id.path());
        assert_eq!(id.as_str(), format!("spiffe://{domain}{path}"));
        assert!(text.ends_with(path), "the case of a path counts");
        assert!(id.segments().all(|segment| !segment.is_empty()));
        assert_eq!(id.to_string().parse::<SpiffeId>().unwrap(), id);
    }
}

fn is_spiffe_id(text: &str) -> bool {
    let (scheme, rest) = match text.split_at_checked("spiffe://".len()) {
        Some((scheme, rest)) => (scheme, rest),
        None => return false,
    };
    let (domain, path) = match rest.find('/') {
        Some(at) => (&rest[..at], rest[at + 1..].split('/').collect()),
        None => (rest, Vec::new()),
    };
    let allowed = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !text.is_empty() && text.chars().all(plain)
    };
    text.len() <= 2048
        && scheme.eq_ignore_ascii_case("spiffe://")
        && domain.len() <= 255
        && allowed(domain)
        && path
            .iter()
            .all(|part| allowed(part) && !matches!(*part, "." | ".."))
}

const SIGNALLED: [(&str, &str); 4] = [
    ("User", "u"),
    ("Session", "s"),
    ("Session", "t"),
    ("Device", "d"),
];

/// Payloads of Security Event Tokens, one or two. What is refused changes nothing, and what comes again neither.
pub fn signals(bytes: &[u8]) {
    thread_local! {
        static STORE: Authorizer = {
            let sessions = [("User", "u").into(), ("Device", "d").into()];
            let entity = |(of, id)| match of {
                "Session" => Entity::new((of, id)).parents(&sessions),
                _ => Entity::new((of, id)),
            };
            let entities = SIGNALLED.into_iter().fold(Entities::new(), |all, uid| all.insert(entity(uid)));
            Authorizer::builder()
                .entities(entities)
                .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
                .build()
                .unwrap()
        };
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let of_issuer = || SubjectFormat::IssSub("i".to_owned());
    let receiver = SignalReceiver::new().transmitter(
        Transmitter::new("i", "a")
            .subject(SubjectKind::Session, SubjectFormat::Opaque, "Session")
            .subject(SubjectKind::User, of_issuer(), "User")
            .subject(SubjectKind::User, SubjectFormat::Email, "User")
            .subject(SubjectKind::Device, of_issuer(), "Device")
            .sessions("Session")
            .claim("role", "role")
            .assurance("L", "aal", &["1", "2"]),
    );
    STORE.with(|store| {
        for token in text.splitn(2, '\n') {
            let before = store.version();
            match receiver.apply(store, token) {
                Err(_) => assert_eq!(store.version(), before),
                Ok(report) => {
                    let after = store.version();
                    let again = receiver.apply(store, token).unwrap();
                    assert_eq!(again.event(), report.event());
                    assert_eq!(store.version(), after);
                }
            }
            assert_eq!(store.entity_count(), SIGNALLED.len());
        }
    });
}

/// Claims of tokens in which somebody acts for somebody.
pub fn claims(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for prior in [false, true] {
        let reader = ClaimsReader::new(|party| {
            let of = if party.is_subject() { "User" } else { "Agent" };
            Some(EntityUid::new(of, party.subject()?))
        });
        if let Ok(claims) = reader.with_prior_actors(prior).read(text) {
            let actors = claims.actors().len();
            assert!(prior || actors < 2);
            // `serde_json` reads 127 levels, of which each actor takes one.
            assert!(actors < 128);
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
        }
    }
}

fn kind_and_text(bytes: &[u8]) -> Option<(u8, &str)> {
    let (kind, text) = bytes.split_first()?;
    Some((*kind, std::str::from_utf8(text).ok()?))
}

fn insist(result: Result<(), TestCaseError>) {
    match result {
        Ok(()) | Err(TestCaseError::Reject(_)) => {}
        Err(TestCaseError::Fail(reason)) => panic!("{reason}"),
    }
}
