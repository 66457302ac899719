//! Digests in the place of values: what they are over, and that they join records.

use super::*;

/// The same value has the same digest wherever it stands, in whatever order its parts are, and another under another key.
#[test]
fn digests_join() {
    let digests = |key: &[u8]| {
        let masks = Masks::new()
            .key(key)
            .path("context.token", Mask::Digest)
            .unwrap();
        masked(masks.path("*.token", Mask::Digest).unwrap())
    };
    let record = digests(KEY);
    let token = &record.context.as_ref().unwrap()["token"];
    assert!(is_digest(token));
    assert_eq!(token, &entity(&record, "Doc", "plan")["attrs"]["token"]);
    assert_ne!(
        token,
        &digests(b"another key of this test").context.unwrap()["token"]
    );

    // HMAC-SHA-256 over the value in Cedar's syntax, as docs/evidence.md has it.
    let text = r#"{ "s": "a", "n": 1, "set": [1, "a", { "x": 1, "y": 2 }], "same": [{ "y": 2, "x": 1 }, "a", 1, 1] }"#;
    let sink = Arc::new(MemorySink::new(1));
    let all = masks().path("context.*", Mask::Digest).unwrap();
    let authorizer = deciding("", MaskSink::new(Arc::clone(&sink), all).unwrap());
    assert!(!authorizer.is_allowed(&asked().context_json(text)));
    let context = sink.records().remove(0).context.unwrap();
    let expected = "hmac-sha256:fd122d1ba14485300a658f075a3e78e24453178758ca4234c54f372b40dfc6a4";
    assert_eq!(context["s"], expected);
    assert_eq!(context["set"], context["same"]);
    assert_ne!(context["s"], context["n"]);
}

/// HMAC-SHA-256, RFC 2104, for keys of up to a block.
fn hmac(parts: &[&[u8]]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let pad = |with: u8| {
        let mut block = [with; 64];
        KEY.iter().zip(&mut block).for_each(|(key, to)| *to ^= key);
        block
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new_with_prefix(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// What docs/evidence.md says, computed by itself.
#[test]
fn digests_are_over_what_is_documented() {
    let text = |text: &str| hmac(&[text.as_bytes()]);
    let of_parts = |kind: &[u8], mut parts: Vec<[u8; 32]>| {
        parts.sort_unstable();
        let parts = parts.iter().map(|part| &part[..]);
        hmac(&std::iter::once(kind).chain(parts).collect::<Vec<_>>())
    };
    let member = |name: &str, value: [u8; 32]| hmac(&[name.as_bytes(), &value]);
    let record = of_parts(
        b"{",
        vec![
            member("\"x\"", text("1")),
            member("\"y\"", text("\"a\"")),
            member("\"z\"", text("true")),
        ],
    );
    let numbers = (0..9).map(|n| text(&n.to_string())).collect();
    let cases = [
        ("text", json!("a \"b\""), text("\"a \\\"b\\\"\"")),
        ("long", json!(-42), text("-42")),
        (
            "entity",
            json!({ "__entity": { "type": "User", "id": "ann" } }),
            text("User::\"ann\""),
        ),
        (
            "datetime",
            json!({ "__extn": { "fn": "datetime", "arg": "1970-01-02" } }),
            text("datetime(86400000)"),
        ),
        (
            "decimal",
            json!({ "__extn": { "fn": "decimal", "arg": "1.50" } }),
            text("decimal(\"1.5000\")"),
        ),
        ("record", json!({ "z": true, "y": "a", "x": 1 }), record),
        (
            "numbers",
            json!([8, 1, 2, 3, 4, 5, 6, 7, 0, 1]),
            of_parts(b"[", numbers),
        ),
        (
            "set",
            json!([{ "x": 1, "y": "a", "z": true }, 1]),
            of_parts(b"[", vec![record, text("1")]),
        ),
        ("none", json!([]), of_parts(b"[", Vec::new())),
    ];
    let context: Json = cases
        .iter()
        .map(|(name, value, _)| ((*name).to_owned(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let sink = Arc::new(MemorySink::new(1));
    let all = masks().path("context.*", Mask::Digest).unwrap();
    let authorizer = deciding("", MaskSink::new(Arc::clone(&sink), all).unwrap());
    let _ = authorizer.is_authorized(&asked().context_json(&context.to_string()));
    let seen = sink.records().remove(0).context.unwrap();
    for (name, _, digest) in cases {
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(seen[name], format!("hmac-sha256:{digits}"), "{name}");
    }
}

/// The digest of the inputs is over what the record has, so that nothing can be tried against it.
#[test]
fn the_digest_of_inputs_is_over_what_is_left() {
    let directory = Scratch::new();
    let log = Arc::new(DurableLog::options(directory.path()).open().unwrap());
    let masks = masks().path("*.ssn", Mask::Drop).unwrap();
    let masked = Written::default();
    let sinks = FanOut::new()
        .sink(MaskSink::new(JsonLinesSink::new(masked.clone()), masks).unwrap())
        .sink(Arc::clone(&log));
    let authorizer = deciding(READING, sinks);
    assert!(authorizer.is_allowed(&asked()));
    let text = masked.text();
    let part = |from: &str, to: &str| {
        let start = text.find(from).unwrap() + from.len();
        &text[start..start + text[start..].find(to).unwrap()]
    };
    let context = part("\"context\":", ",\"inputs\":");
    let entities = part("\"entities\":", ",\"digest\":");
    let digest = part("\"digest\":\"", "\"");
    assert_eq!(digest, sha256(&format!("{context}{entities}")));
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
