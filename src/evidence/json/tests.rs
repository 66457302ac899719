#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::*;

fn text<T: Serialize>(value: &T) -> String {
    let mut out = Buffer::default();
    out.extend(b"before");
    write(value, &mut out).unwrap();
    String::from_utf8(out.since("before".len()).to_vec()).unwrap()
}

/// Everything that serde knows of.
#[derive(Serialize)]
struct All {
    unit: (),
    none: Option<u8>,
    some: Option<i8>,
    small: (u8, u16, u32, i16, i32, f32),
    large: (u64, i64, f64),
    chars: [char; 4],
    marker: Marker,
    wrapped: Wrapped,
    pair: Pair,
    variants: Vec<Variant>,
    nested: Vec<Vec<BTreeMap<String, ()>>>,
}

#[derive(Serialize)]
struct Marker;
#[derive(Serialize)]
struct Wrapped(bool);
#[derive(Serialize)]
struct Pair(bool, bool);
#[derive(Serialize)]
enum Variant {
    Unit,
    One(u8),
    Two(u8, u8),
    Named { a: u8, b: Option<u8> },
}

#[test]
fn all_that_serde_knows_is_written_as_serde_json_writes_it() {
    let all = All {
        unit: (),
        none: None,
        some: Some(-128),
        small: (0, u16::MAX, u32::MAX, i16::MIN, i32::MIN, 0.1),
        large: (u64::MAX, i64::MIN, f64::NAN),
        chars: ['a', '"', '\u{1}', 'é'],
        marker: Marker,
        wrapped: Wrapped(true),
        pair: Pair(true, false),
        variants: vec![
            Variant::Unit,
            Variant::One(1),
            Variant::Two(10, 100),
            Variant::Named { a: 1, b: None },
        ],
        nested: vec![
            vec![],
            vec![BTreeMap::new(), BTreeMap::from([("\n".into(), ())])],
        ],
    };
    assert_eq!(text(&all), serde_json::to_string(&all).unwrap());
}

#[test]
fn each_character_is_escaped_wherever_it_stands() {
    for character in (0..=0x100).filter_map(char::from_u32) {
        for before in 0..35 {
            let value = format!(
                "{}{character}{}",
                "x".repeat(before),
                "y".repeat(before % 9)
            );
            assert_eq!(text(&value), serde_json::to_string(&value).unwrap());
            assert_eq!(
                text(&format_args!("{value}")),
                serde_json::to_string(&value).unwrap()
            );
        }
    }
}

#[test]
fn a_key_that_is_no_text_is_refused() {
    let mut out = Buffer::default();
    assert!(write(&BTreeMap::from([(1, 1)]), &mut out).is_err());
}

#[test]
fn the_digest_is_of_the_marked_parts() {
    #[derive(Serialize)]
    struct Record {
        context: Marked<Json>,
        between: u8,
        entities: Marked<Json>,
        digest: Marked<&'static str>,
    }
    let record = |entities| Record {
        context: Marked(Part::Context, json!({ "a": 1 })),
        between: 0,
        entities: Marked(entities, json!([])),
        digest: Marked(Part::Digest, "as it is"),
    };
    let digest: [u8; 32] = Sha256::digest(br#"{"a":1}[]"#).into();
    let digest = crate::VersionDigest::from(digest);
    let written = text(&record(Part::Entities));
    assert!(
        written.ends_with(&format!(r#""digest":"{digest}"}}"#)),
        "{written}"
    );
    // What is not there has no digest.
    let written = text(&record(Part::Context));
    assert!(written.ends_with(r#""digest":"as it is"}"#), "{written}");
    // Others look through the marks.
    let other = serde_json::to_string(&record(Part::Entities)).unwrap();
    assert_eq!(
        other,
        r#"{"context":{"a":1},"between":0,"entities":[],"digest":"as it is"}"#
    );
}

fn values() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,40}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            proptest::collection::btree_map(".{0,20}", inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_written_as_serde_json_writes_them(value in values()) {
        prop_assert_eq!(text(&value), serde_json::to_string(&value).unwrap());
    }
}

/// Pieces of all lengths, also where the memory grows between them.
#[test]
fn a_buffer_is_what_was_put_into_it() {
    let text: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let mut buffer = Buffer::default();
    let mut expected = Vec::new();
    for len in (0..70).chain([1000, 2999, 0, 1]) {
        let (piece, _) = text.split_at(len);
        buffer.extend(piece);
        buffer.push(7);
        expected.extend_from_slice(piece);
        expected.push(7);
        assert_eq!(buffer.as_slice(), expected);
    }
    assert_eq!(buffer.since(buffer.len() - 2), [0, 7]);
    assert_eq!(buffer.since(buffer.len() + 1), b"");
    buffer.truncate(5);
    assert_eq!(buffer.as_slice(), &expected[..5]);
    buffer.shrink_to(2);
    assert_eq!(buffer.as_slice(), &expected[..5]);
    buffer.digits(u64::MAX);
    buffer.digits(0);
    assert_eq!(buffer.since(5), b"184467440737095516150");
    for number in (0..1100).chain([u64::MAX / 10, 10_u64.pow(19), 10_u64.pow(19) - 1]) {
        buffer.truncate(5);
        buffer.digits(number);
        assert_eq!(buffer.since(5), number.to_string().as_bytes());
    }
    buffer.truncate(5);
    buffer.clear();
    assert_eq!((buffer.len(), buffer.as_slice()), (0, &[][..]));
}

/// Texts of all lengths in every place of a word, with what has its top bit set and borrows beside it.
#[test]
fn short_texts_are_seen_whole() {
    let pieces = [
        "a", " ", "!", "#", "[", "]", "\u{7f}", "\u{80}", "é", "\"", "\\", "\u{1f}", "\0",
    ];
    for first in pieces {
        for second in pieces {
            for len in 0..18 {
                let value: String = first
                    .chars()
                    .chain("x".repeat(len).chars())
                    .chain(second.chars())
                    .collect();
                assert_eq!(text(&value), serde_json::to_string(&value).unwrap());
                let object = BTreeMap::from([(value.clone(), len)]);
                assert_eq!(text(&object), serde_json::to_string(&object).unwrap());
            }
        }
    }
}
