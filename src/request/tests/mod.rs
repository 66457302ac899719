//! Contexts and values from Rust types, and ids of traces.

mod refused;
mod shapes;

use std::collections::BTreeMap;

use bumpalo::Bump;
use serde::Serialize;
use serde_json::{Value as Data, json};

use crate::id::EntityUid;
use crate::json::read;
use crate::json::tests::{Names, expression};

use super::serialize::{SerializeErrorKind, write_record, write_value};
use super::values::{Datetime, Decimal, Duration, EntityRef, Ip};
use super::{Request, TraceIds};

const DEPTH: usize = 32;

/// The value as a Cedar expression, or the error.
fn written<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    let (arena, mut names) = (Bump::new(), Names::default());
    let value = write_value(&arena, value, &mut names, DEPTH);
    value
        .map(|value| expression(value, &names))
        .map_err(|error| error.to_string())
}

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    written(value).unwrap()
}

fn error<T: Serialize + ?Sized>(value: &T) -> String {
    written(value).unwrap_err()
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Newtype<T>(T);

/// So that it can be a key.
impl PartialEq for Newtype<&str> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Newtype<&str> {}

impl std::hash::Hash for Newtype<&str> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[derive(Serialize)]
struct Pair(i32, &'static str);

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    Bare,
    One(i32),
    Two(i32, i32),
    Named { a: i32, b: Option<i32> },
    Maybe(Option<i32>),
}

#[derive(Serialize)]
struct Device {
    id: &'static str,
    score: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'static str>,
    #[serde(flatten)]
    more: More,
    #[serde(flatten)]
    rest: BTreeMap<String, Data>,
}

#[derive(Serialize)]
struct More {
    port: Option<u16>,
    owner: EntityUid,
}

fn device() -> Device {
    Device {
        id: "d",
        score: None,
        tags: vec![],
        more: More {
            port: Some(443),
            owner: EntityUid::new("User", "alice"),
        },
        rest: BTreeMap::from([("x".to_owned(), json!([1, 1, "a"]))]),
    }
}

fn json_map<T>(key: &'static str, value: T) -> BTreeMap<&'static str, T> {
    BTreeMap::from([(key, value)])
}

/// The cases of the W3C's own test suite that are about this header.
#[test]
fn trace_ids_are_read_as_w3c_has_them() {
    const TRACE: &str = "12345678901234567890123456789012";
    const SPAN: &str = "1234567890123456";
    let valid = [
        format!("00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-00"),
        format!("00-{TRACE}-{SPAN}-ff"),
        format!("cc-{TRACE}-{SPAN}-01"),
        format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"),
        format!("01-{TRACE}-{SPAN}-01-é"),
    ];
    for header in &valid {
        let ids = TraceIds::from_traceparent(header).unwrap();
        assert_eq!((ids.trace_id(), ids.span_id()), (TRACE, SPAN), "{header}");
    }
    let invalid = [
        String::new(),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("00-{TRACE}-{SPAN}-01."),
        format!("cc-{TRACE}-{SPAN}-01."),
        format!("cc-{TRACE}-{SPAN}-01.what"),
        format!(".0-{TRACE}-{SPAN}-01"),
        format!("0-{TRACE}-{SPAN}-01"),
        format!("000-{TRACE}-{SPAN}-01"),
        format!("CC-{TRACE}-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{}-{SPAN}-01", TRACE.replace('1', ".")),
        format!("00-{}-{SPAN}-01", TRACE.replace('1', "A")),
        format!("00-{}-{SPAN}-01", &TRACE[1..]),
        format!("00-{TRACE}3-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &SPAN[1..]),
        format!("00-{TRACE}-{SPAN}7-01"),
        format!("00-{TRACE}-{}-01", SPAN.replace('1', "é")),
        format!("00-{TRACE}-{SPAN}-.0"),
        format!("00-{TRACE}-{SPAN}-0"),
        format!("00-{TRACE}-{SPAN}"),
        format!("00{TRACE}{SPAN}01-----"),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01 "),
    ];
    for header in &invalid {
        assert_eq!(TraceIds::from_traceparent(header), None, "{header:?}");
    }
    let request = Request::new(("User", "a"), ("Action", "b"), ("Doc", "c")).trace("t", "s");
    // What is not valid changes nothing.
    let kept = request.traceparent(&invalid[1]).trace_ids().unwrap();
    assert_eq!((kept.trace_id(), kept.span_id()), ("t", "s"));
    let read = request.traceparent(&valid[0]).trace_ids().unwrap();
    assert_eq!((read.trace_id(), read.span_id()), (TRACE, SPAN));
}
