//! What the targets begin with: made by the generators, by real logs, and a few texts by hand.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml --features plain --bin corpus
//! ```
//!
//! Writes `corpus/TARGET/made-N`, where `cargo fuzz run TARGET` looks.

use std::path::Path;

use crate::it::agree::SCHEMA;
use crate::it::generate::typed_data::Typed;
use crate::it::generate::{Numbers, Tape};
use crate::it::value::{entities_json, record_json};

/// Worlds that texts are taken from.
const WORLDS: u64 = 40;

/// The writer of the corpus.
pub fn main() {
    for (target, inputs) in all() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        std::fs::create_dir_all(&directory).unwrap();
        for (number, input) in inputs.iter().enumerate() {
            std::fs::write(directory.join(format!("made-{number}")), input).unwrap();
        }
        println!("{target}: {}", inputs.len());
    }
}

fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let tapes = |length: usize| (0..WORLDS).map(move |seed| Numbers::of_seed(seed, length));
    let worlds = |length: usize| {
        let bytes = |(numbers, first): (Numbers, u8)| [&[first], &numbers.to_bytes()[..]].concat();
        tapes(length).zip(0..).map(bytes).collect()
    };
    // Where each byte is a number.
    let each = |length: usize| {
        let bytes = |n: Numbers| n.to_bytes().into_iter().skip(3).step_by(4).collect();
        tapes(length).map(bytes).collect()
    };
    let mut policies = Vec::new();
    let (mut entities, mut contexts, mut typed) = (Vec::new(), Vec::new(), Vec::new());
    for numbers in tapes(3_000) {
        let (world, asks) = Tape::new(&numbers).world();
        policies.push(after(0, &world.policies));
        if let Ok(set) = world.policies.parse::<cedar_policy::PolicySet>()
            && let Ok(json) = set.to_json()
        {
            policies.push(after(1, &json.to_string()));
        }
        entities.push(entities_json(&world.entities).into_bytes());
        contexts.extend(
            asks.iter()
                .map(|ask| record_json(&ask.context).to_string().into_bytes()),
        );
        let mut tape = Tape::new(&numbers);
        let schema = tape.schema();
        let text = schema.text();
        if let Ok((fragment, _)) = cedar_policy::SchemaFragment::from_cedarschema_str(&text)
            && let Ok(json) = fragment.to_json_string()
        {
            policies.push(after(2, &json));
        }
        policies.push(after(2, &text));
        let mut makes = Typed {
            schema: &schema,
            tape: &mut tape,
            slip: 0,
            slips: 0,
        };
        policies.push(after(0, &makes.policies(3, 1).text));
        let made = makes.entities();
        entities.push(makes.entities_json(&made).into_bytes());
        contexts.push(makes.ask().1.to_string().into_bytes());
    }
    policies.push(after(2, SCHEMA));
    typed.extend(TYPED_ENTITIES.map(|text| after(0, text)));
    typed.extend(TYPED_CONTEXTS.map(|text| after(1, text)));
    let logs = crate::evidence::logs();
    let logs = logs.iter().zip(0..).flat_map(|(log, number)| {
        // Each change, and of what else is done some.
        let kinds = (0..8).flat_map(|change| [0, 2, 7].map(|rest| change << 4 | rest));
        let picked = move |kind: u8| [&[kind, number * 3 + kind / 8][..], log].concat();
        kinds.map(picked)
    });
    let lines = crate::evidence::lines();
    let plain = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    vec![
        ("decide", worlds(1_500)),
        ("schemas", worlds(1_500)),
        ("search", worlds(1_500)),
        ("inputs", worlds(1_500)),
        ("overlays", each(800)),
        ("grants", each(3_000)),
        ("whatif", each(3_000)),
        ("masks", each(3_000)),
        ("policies", policies),
        ("entities", entities),
        ("context", contexts),
        ("typed", typed),
        ("log", logs.collect()),
        (
            "records",
            lines.iter().map(|line| line.as_bytes().to_vec()).collect(),
        ),
        (
            "extensions",
            EXTENSIONS
                .iter()
                .map(|(kinds, text)| after(*kinds, text))
                .collect(),
        ),
        ("names", plain(&NAMES)),
        ("spiffe", plain(&SPIFFE)),
        ("claims", plain(&CLAIMS)),
        (
            "signals",
            SIGNALS
                .iter()
                .map(|(event, subject, more)| token(event, subject, more))
                .collect(),
        ),
    ]
}

fn after(kind: u8, text: &str) -> Vec<u8> {
    after_bytes(kind, text.as_bytes())
}

fn after_bytes(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![kind];
    all.extend_from_slice(bytes);
    all
}

const TYPED_ENTITIES: [&str; 3] = [
    r#"[{ "uid": { "type": "User", "id": "u0" }, "attrs": { "level": 1, "t": { "a": 2, "b": ["x"] }, "at": "2024-01-01" }, "parents": [{ "type": "Group", "id": "g" }], "tags": { "k": "v" } }]"#,
    r#"[{ "uid": { "type": "NS::Device", "id": "d0" }, "attrs": {}, "parents": [], "tags": { "n": 7 } }, { "uid": { "type": "Color", "id": "red" }, "attrs": {}, "parents": [] }]"#,
    r#"[{ "uid": { "type": "Group", "id": "g" }, "attrs": {}, "parents": [{ "type": "Group", "id": "h" }] }, { "uid": { "type": "User", "id": "u1" }, "attrs": { "level": -1, "at": { "__extn": { "fn": "datetime", "arg": "2024-01-01T00:00:00Z" } } }, "parents": [] }]"#,
];

const TYPED_CONTEXTS: [&str; 3] = [
    r#"{ "mfa": true }"#,
    r#"{ "mfa": false, "from": "10.0.0.1", "score": "1.25", "at": "2024-02-29", "for": "1d2h", "via": { "type": "NS::Device", "id": "d0" }, "groups": [{ "type": "Group", "id": "g" }], "t": { "a": 1, "b": ["x"] } }"#,
    r#"{ "mfa": true, "from": { "__extn": { "fn": "ip", "arg": "::1/64" } }, "score": { "fn": "decimal", "arg": "-0.5" }, "via": { "__entity": { "type": "NS::Device", "id": "d1" } } }"#,
];

/// Kinds are numbers from `ip`, `decimal`, `datetime`, `duration`; the second times four.
const EXTENSIONS: [(u8, &str); 10] = [
    (0, "10.0.0.1\n10.0.0.0/8"),
    (0, "::ffff:10.0.0.1\nfe80::1%1/10"),
    (0, "1:2:3:4:5:6:7:8/128\n224.0.0.1/4"),
    (5, "922337203685477.5807\n-922337203685477.5808"),
    (5, "1.50\n0.0001"),
    (14, "2024-02-29T23:59:59.999Z\n1d2h3m4s5ms"),
    (
        14,
        "1969-12-31T23:59:59.999-2359\n-106751991167d7h12m55s808ms",
    ),
    (10, "9999-12-31T23:59:59Z\n0000-01-01"),
    (15, "86400000ms\n-1h30m"),
    (4, "127.0.0.1\n1.0"),
];

const NAMES: [&str; 6] = [
    "User\nu0",
    "NS::Thing\nt",
    "_a::B1\n",
    "A:: B\nx",
    "if\nx",
    "__cedar::T\n\u{1F600}",
];

const SPIFFE: [&str; 4] = [
    "spiffe://example.org/ns/prod/sa/web",
    "SPIFFE://example.org",
    "spiffe://a_b-c.1/x.y/_",
    "spiffe://example.org/../x",
];

const CLAIMS: [&str; 3] = [
    r#"{ "sub": "u", "exp": 1800000000, "nbf": 1.5, "act": { "sub": "a", "act": { "sub": "b", "iss": "i" } } }"#,
    r#"{ "iss": "i", "sub": "u", "act": { "sub": "a", "client_id": "c" }, "may_act": { "sub": "x" } }"#,
    r#"{ "sub": "u" }"#,
];

/// Type of event, subject, and what more the event says.
const SIGNALS: [(&str, &str, &str); 10] = [
    ("caep/event-type/session-revoked", OPAQUE, "{}"),
    (
        "caep/event-type/token-claims-change",
        USER,
        r#"{ "event_timestamp": 1700000000, "claims": { "role": "ro-admin" } }"#,
    ),
    (
        "caep/event-type/credential-change",
        USER,
        r#"{ "credential_type": "fido2-roaming", "change_type": "create", "friendly_name": "key" }"#,
    ),
    (
        "caep/event-type/assurance-level-change",
        USER,
        r#"{ "namespace": "L", "current_level": "1", "previous_level": "2", "change_direction": "decrease" }"#,
    ),
    (
        "caep/event-type/device-compliance-change",
        DEVICE,
        r#"{ "previous_status": "compliant", "current_status": "not-compliant" }"#,
    ),
    (
        "caep/event-type/risk-level-change",
        USER,
        r#"{ "principal": "USER", "current_level": "HIGH", "risk_reason": "x" }"#,
    ),
    (
        "risc/event-type/account-disabled",
        USER,
        r#"{ "reason": "hijacking" }"#,
    ),
    ("risc/event-type/account-enabled", EMAIL, "{}"),
    ("risc/event-type/sessions-revoked", USER, "{}"),
    (
        "ssf/event-type/verification",
        OPAQUE,
        r#"{ "state": "VGhpcyBp" }"#,
    ),
];

const OPAQUE: &str = r#"{ "format": "opaque", "id": "s" }"#;
const USER: &str = r#"{ "format": "complex", "user": { "format": "iss_sub", "iss": "i", "sub": "u" }, "session": { "format": "opaque", "id": "t" } }"#;
const EMAIL: &str = r#"{ "format": "email", "email": "u" }"#;
const DEVICE: &str =
    r#"{ "format": "complex", "device": { "format": "iss_sub", "iss": "i", "sub": "d" } }"#;

fn token(event: &str, subject: &str, more: &str) -> Vec<u8> {
    format!(
        r#"{{ "iss": "i", "jti": "{event}", "iat": 1700000000, "aud": ["a"], "txn": "8", "sub_id": {subject}, "events": {{ "https://schemas.openid.net/secevent/{event}": {more} }} }}"#
    )
    .into_bytes()
}
