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
    pub(crate) mod generate;
    pub(crate) mod oracle;
    pub(crate) mod value;
}

use std::cell::RefCell;
use std::path::PathBuf;

use cedar_policy as cedar;
use duramen::spiffe::SpiffeId;
use duramen::{Authorizer, EntityUidRef, Request};
use it::agree;
use it::oracle::{answer, ours};
use proptest::test_runner::TestCaseError;

/// Both engines, on a world that the bytes make.
pub fn decide(bytes: &[u8]) {
    insist(agree::worlds_agree(bytes));
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

/// The verifier of logs, on a segment of any bytes.
pub fn log(bytes: &[u8]) {
    thread_local! {
        static DIRECTORY: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    }
    let directory = DIRECTORY.with(|directory| {
        let mut directory = directory.borrow_mut();
        let path = directory.get_or_insert_with(|| {
            let path = std::env::temp_dir().join(format!("duramen-fuzz-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            path
        });
        path.clone()
    });
    let segment = directory.join("00000000000000000000.jsonl");
    std::fs::write(segment, bytes).unwrap();
    let report = duramen::evidence::log::verify(&directory, None).unwrap();
    std::hint::black_box(report);
}

/// Type names, ids and SPIFFE IDs, as requests bring them.
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
    if let Ok(spiffe) = text.parse::<SpiffeId>() {
        let again = spiffe.to_string();
        let parsed = again.parse::<SpiffeId>().unwrap();
        assert_eq!(parsed.to_string(), again);
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
