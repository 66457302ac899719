use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration as StdDuration, SystemTime};

use bumpalo::Bump;
use cedar_policy::{Context, Entities};
use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Value as Data, json};

use crate::id::{EntityUid, EntityUidRef};
use crate::json::tests::{Names, cedar_equal, expression};
use crate::json::{parse, read};

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

#[test]
fn scalars() {
    assert_eq!(text(&true), "true");
    assert_eq!(text(&-1i8), "-1");
    assert_eq!(text(&i16::MIN), "-32768");
    assert_eq!(text(&i32::MAX), "2147483647");
    assert_eq!(text(&i64::MIN), "-9223372036854775808");
    assert_eq!(text(&1i128), "1");
    assert_eq!(text(&255u8), "255");
    assert_eq!(text(&u16::MAX), "65535");
    assert_eq!(text(&u32::MAX), "4294967295");
    assert_eq!(text(&(i64::MAX as u64)), "9223372036854775807");
    assert_eq!(text(&1u128), "1");
    assert_eq!(text("a\"b"), r#""a\"b""#);
    assert_eq!(text(&'é'), r#""é""#);
    assert_eq!(text(&Some("x")), r#""x""#);
    assert_eq!(text(&Newtype(Newtype(1))), "1");
    assert_eq!(text(&format_args!("{}-{}", 1, 2)), r#""1-2""#);
    assert_eq!(text(&IpAddr::from([1, 2, 3, 4])), r#""1.2.3.4""#);
}

#[test]
fn compounds() {
    assert_eq!(text(&[3, 1, 3, 2]), "[1, 2, 3]");
    assert_eq!(text(&Vec::<i32>::new()), "[]");
    assert_eq!(text(&(1, "a", [true])), r#"[1, "a", [true]]"#);
    assert_eq!(text(&Pair(1, "a")), r#"[1, "a"]"#);
    assert_eq!(text(&Choice::Bare), r#""bare""#);
    assert_eq!(text(&Choice::One(1)), r#"{"one": 1}"#);
    assert_eq!(text(&Choice::Two(1, 2)), r#"{"two": [1, 2]}"#);
    assert_eq!(
        text(&Choice::Named { a: 1, b: None }),
        r#"{"named": {"a": 1}}"#
    );
    assert_eq!(
        text(&Choice::Named { a: 1, b: Some(2) }),
        r#"{"named": {"a": 1, "b": 2}}"#
    );
    assert_eq!(text(&Choice::Maybe(Some(1))), r#"{"maybe": 1}"#);
    assert_eq!(
        text(&device()),
        r#"{"id": "d", "owner": User::"alice", "port": 443, "x": [1, "a"]}"#
    );
    assert_eq!(
        text(&BTreeMap::from([("b", 1), ("a", 2)])),
        r#"{"a": 2, "b": 1}"#
    );
    assert_eq!(
        text(&HashMap::from([('c', Some(1)), ('d', None)])),
        r#"{"c": 1}"#
    );
    assert_eq!(text(&HashMap::from([(Newtype("k"), 1)])), r#"{"k": 1}"#);
    assert_eq!(
        text(&HashMap::from([(Ipv4Addr::LOCALHOST, 1)])),
        r#"{"127.0.0.1": 1}"#
    );
    assert_eq!(
        text(&json!({"b": [1, "x"], "a": {"c": true}})),
        r#"{"a": {"c": true}, "b": [1, "x"]}"#
    );
    let many: BTreeMap<String, u64> = (0..100).map(|i| (format!("k{i:02}"), i)).collect();
    assert!(text(&many).starts_with(r#"{"k00": 0, "k01": 1"#));
}

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

#[test]
fn no_escapes() {
    let data = json!({"__entity": {"type": "User", "id": "root"}});
    assert_eq!(
        text(&data),
        r#"{"__entity": {"id": "root", "type": "User"}}"#
    );
    let data = json!({"__extn": {"fn": "ip", "arg": "bad"}});
    assert_eq!(text(&data), r#"{"__extn": {"arg": "bad", "fn": "ip"}}"#);
    #[derive(Serialize)]
    struct EntityUid {
        r#type: &'static str,
        id: &'static str,
    }
    let posing = EntityUid {
        r#type: "User",
        id: "root",
    };
    assert_eq!(text(&posing), r#"{"id": "root", "type": "User"}"#);
    // What our types become in JSON is data like any other.
    let data = serde_json::to_value(EntityRef::new("User", "root")).unwrap();
    assert_eq!(
        text(&data),
        r#"{"__entity": {"id": "root", "type": "User"}}"#
    );
}

#[test]
fn values() {
    let uid = EntityUid::new("N::User", "a\"b");
    assert_eq!(text(&uid), r#"N::User::"a\"b""#);
    assert_eq!(text(&uid.as_ref()), text(&uid));
    assert_eq!(text(&EntityRef::from(&uid)), text(&uid));
    assert_eq!(text(&EntityRef::from(("User", "x"))), r#"User::"x""#);
    assert_eq!(text(&[EntityRef::new("A", "")]), r#"[A::""]"#);
    assert_eq!(text(&Ip::new("10.0.0.0/8")), r#"ip("10.0.0.0/8")"#);
    assert_eq!(
        text(&Ip::from(IpAddr::from([1, 2, 3, 4]))),
        text(&Ip::new("1.2.3.4"))
    );
    assert_eq!(text(&Ip::from(Ipv6Addr::LOCALHOST)), text(&Ip::new("::1")));
    assert_eq!(
        text(&Ip::range([10, 0, 0, 1], 8).unwrap()),
        text(&Ip::new("10.0.0.1/8"))
    );
    assert!(Ip::range(Ipv4Addr::LOCALHOST, 33).is_err());
    assert_eq!(text(&Decimal::new("1.5")), r#"decimal("1.5000")"#);
    assert_eq!(text(&Decimal::from_scaled(-1)), r#"decimal("-0.0001")"#);
    assert_eq!(
        text(&Datetime::from_millis(5)),
        text(&Datetime::new("1970-01-01T00:00:00.005Z"))
    );
    let point = SystemTime::UNIX_EPOCH + StdDuration::from_secs(1);
    assert_eq!(
        text(&Datetime::try_from(point).unwrap()),
        text(&Datetime::from_millis(1000))
    );
    assert_eq!(
        text(&Duration::try_from(StdDuration::from_secs(90)).unwrap()),
        text(&Duration::new("1m30s"))
    );
    assert_eq!(text(&Duration::from_millis(-7)), r#"duration("-7ms")"#);
    assert!(Duration::try_from(StdDuration::MAX).is_err());

    assert!(error(&json_map("ip", Ip::new("nonsense"))).starts_with("ip: not an IPv4"));
    assert!(error(&json_map("d", Decimal::new("1"))).starts_with("d: a decimal is"));
    assert!(error(&json_map("t", Datetime::new("now"))).starts_with("t: a datetime"));
    assert!(error(&json_map("t", Duration::new(""))).starts_with("t: a duration"));
    assert!(
        error(&json_map("u", EntityRef::new("a b", "c")))
            .starts_with("u: `a b` is not an entity type")
    );
    assert!(
        error(&json_map("u", EntityUidRef::new("in", "c")))
            .starts_with("u: `in` is not an entity type")
    );
}

fn json_map<T>(key: &'static str, value: T) -> BTreeMap<&'static str, T> {
    BTreeMap::from([(key, value)])
}

#[derive(Serialize)]
struct AllValues<'a> {
    owner: EntityRef<'a>,
    ips: Vec<Ip<'a>>,
    decimals: [Decimal<'a>; 2],
    datetimes: [Datetime<'a>; 3],
    durations: [Duration<'a>; 2],
}

/// What the types give `serde_json` means the same to Cedar as they mean to us.
#[test]
fn values_in_json_are_cedars_escapes() {
    let all = AllValues {
        owner: EntityRef::new("N::User", "é\n"),
        ips: vec![
            Ip::new("10.0.0.0/8"),
            Ip::from(Ipv4Addr::LOCALHOST),
            Ip::range(Ipv6Addr::LOCALHOST, 9).unwrap(),
        ],
        decimals: [Decimal::new("1.5"), Decimal::from_scaled(i64::MIN)],
        datetimes: [
            Datetime::new("2024-02-29"),
            Datetime::from_millis(-1),
            Datetime::from_millis(253_402_300_800_000),
        ],
        durations: [Duration::new("1d2h"), Duration::from_millis(i64::MIN)],
    };
    let context = Context::from_json_value(serde_json::to_value(&all).unwrap(), None).unwrap();
    cedar_equal(context, &Entities::empty(), "context", &text(&all)).unwrap();
    assert!(serde_json::to_string(&Datetime::from_millis(i64::MAX)).is_err());
    let uid = EntityUid::new("User", "alice");
    let json = serde_json::to_string(&uid).unwrap();
    assert_eq!(json, r#"{"type":"User","id":"alice"}"#);
    assert_eq!(serde_json::from_str::<EntityUid>(&json).unwrap(), uid);
}

#[test]
fn errors_name_the_path() {
    #[derive(Serialize)]
    struct Bytes(#[serde(serialize_with = "bytes")] ());
    fn bytes<S: Serializer>(_: &(), serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(b"x")
    }
    let float = Device {
        score: Some(0.5),
        ..device()
    };
    let null = Device {
        rest: BTreeMap::from([("n".to_owned(), json!({"a": [1, null]}))]),
        ..device()
    };
    let twice = Device {
        rest: BTreeMap::from([("id".to_owned(), json!(1))]),
        ..device()
    };
    let table = [
        (
            error(&json_map("device", float)),
            "device.score: Cedar has no floats",
        ),
        (
            error(&json_map("device", null)),
            "device.n.a[1]: Cedar has no null",
        ),
        (
            error(&json_map("device", twice)),
            "device.id: a key occurs twice",
        ),
        (error(&json_map("a", u64::MAX)), "a: the integer"),
        (error(&json_map("a", i128::MIN)), "a: the integer"),
        (error(&json_map("a b", u128::MAX)), "[\"a b\"]: the integer"),
        (error(&json_map("a", [Some(1), None])), "a[1]: `None`"),
        (error(&json_map("a", (1, None::<i32>))), "a[1]: `None`"),
        (error(&json_map("a", ())), "a: Cedar has no null"),
        (error(&json_map("a", Unit)), "a: Cedar has no null"),
        (error(&json_map("a", Bytes(()))), "a: Cedar has no bytes"),
        (error(&json_map("a", 0.0f32)), "a: Cedar has no floats"),
        (
            error(&json_map("a", BTreeMap::from([(1, 2)]))),
            "a: the keys",
        ),
        (
            error(&json_map("a", BTreeMap::from([(Some("x"), 2)]))),
            "a: the keys",
        ),
        (
            error(&json_map("a", Choice::Maybe(None))),
            "a.maybe: `None`",
        ),
        (
            error(&json_map(
                "a",
                Newtype(vec![Choice::Two(1, 2), Choice::Maybe(None)]),
            )),
            "a[1].maybe: `None`",
        ),
        (error(&None::<i32>), "`None`"),
        (error(&json_map("lock", Poisoned)), "lock: not today"),
    ];
    for (error, start) in table {
        assert!(error.starts_with(start), "{error} / {start}");
    }
}

struct Poisoned;

impl Serialize for Poisoned {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

/// A map with the keys that it is given, also twice.
struct Entries(Vec<(String, Data)>, bool);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.0 {
            if self.1 {
                map.serialize_entry(key, value)?;
            } else {
                map.serialize_key(key)?;
                map.serialize_value(value)?;
            }
        }
        map.end()
    }
}

#[test]
fn duplicate_keys() {
    for (many, by_entry) in [(2, true), (2, false), (100, true), (100, false)] {
        let mut entries: Vec<_> = (0..many).map(|i| (format!("k{i}"), json!(i))).collect();
        text(&Entries(entries.clone(), by_entry));
        entries.push(("k1".to_owned(), json!(0)));
        let entries = Entries(entries, by_entry);
        assert!(error(&entries).contains("a key occurs twice"));
        // The same where nothing looks.
        let (arena, unobserved) = (Bump::new(), |_: &str| false);
        let context = BTreeMap::from([("a", &entries)]);
        let result = write_record(
            &arena,
            &context,
            &mut Names::default(),
            DEPTH,
            Some(&unobserved),
        );
        assert_eq!(result.unwrap_err().kind, SerializeErrorKind::DuplicateKey);
        let result = write_record(
            &arena,
            &entries,
            &mut Names::default(),
            DEPTH,
            Some(&unobserved),
        );
        assert_eq!(result.unwrap_err().kind, SerializeErrorKind::DuplicateKey);
    }
}

#[test]
fn only_records_are_contexts() {
    let arena = Bump::new();
    let mut names = Names::default();
    let mut kind = |data: Data| {
        let result = write_record(&arena, &data, &mut names, DEPTH, None);
        result.map(|_| ()).map_err(|error| error.kind)
    };
    assert_eq!(kind(json!({})), Ok(()));
    assert_eq!(kind(json!([])), Err(SerializeErrorKind::NotARecord));
    assert_eq!(kind(json!(1)), Err(SerializeErrorKind::NotARecord));
    assert_eq!(kind(json!(null)), Err(SerializeErrorKind::Null));
    let none = write_record(&arena, &None::<Device>, &mut names, DEPTH, None);
    assert_eq!(none.unwrap_err().kind, SerializeErrorKind::NotARecord);
    let uid = EntityUid::new("User", "alice");
    let entity = write_record(&arena, &uid, &mut names, DEPTH, None);
    assert_eq!(entity.unwrap_err().kind, SerializeErrorKind::NotARecord);
    assert!(write_record(&arena, &Some(Newtype(device())), &mut names, DEPTH, None).is_ok());
}

#[test]
fn unobserved_fields_are_checked_only() {
    let (arena, mut names) = (Bump::new(), Names::default());
    let asked = RefCell::new(Vec::new());
    let observed = |name: &str| {
        asked.borrow_mut().push(name.to_owned());
        name == "id"
    };
    let context = Newtype(device());
    let record = write_record(&arena, &context, &mut names, DEPTH, Some(&observed)).unwrap();
    assert_eq!(expression(record.into(), &names), r#"{"id": "d"}"#);
    assert_eq!(names.syms(), ["id"]);
    assert_eq!(asked.take(), ["id", "score", "port", "owner", "x"]);

    // Below the top, fields of the same names are kept.
    let nested = json!({"id": {"x": 1}, "x": {"id": 1}});
    let record = write_record(&arena, &nested, &mut names, DEPTH, Some(&observed)).unwrap();
    assert_eq!(expression(record.into(), &names), r#"{"id": {"x": 1}}"#);

    for data in [
        json!({"y": 0.5}),
        json!({"y": {"z": [null]}}),
        json!({"y": [{"z": 1.5}]}),
    ] {
        let unobserved = write_record(&arena, &data, &mut names, DEPTH, Some(&observed));
        let all = write_record(&arena, &data, &mut names, DEPTH, None);
        assert_eq!(unobserved.unwrap_err(), all.unwrap_err());
    }
    let context = BTreeMap::from([("y", Ip::new("bad"))]);
    assert!(write_record(&arena, &context, &mut names, DEPTH, Some(&observed)).is_err());
    let context = BTreeMap::from([("y", EntityRef::new("", ""))]);
    assert!(write_record(&arena, &context, &mut names, DEPTH, Some(&observed)).is_err());

    let record = write_record(&arena, &Choice::One(1), &mut names, DEPTH, Some(&observed));
    assert_eq!(record.unwrap().len(), 0);
}

#[test]
fn nesting_is_bounded() {
    #[derive(Serialize)]
    struct List(Option<Box<List>>);
    #[derive(Serialize)]
    struct Named {
        inner: Option<Box<Named>>,
    }
    let list = (0..1000).fold(List(None), |list, _| List(Some(Box::new(list))));
    let named = (0..1000).fold(Named { inner: None }, |named, _| Named {
        inner: Some(Box::new(named)),
    });
    let array = (0..1000).fold(json!([]), |array, _| json!([array]));
    for depth in [10, usize::MAX] {
        let (arena, mut names) = (Bump::new(), Names::default());
        let list = write_value(&arena, &list, &mut names, depth);
        assert_eq!(list.unwrap_err().kind, SerializeErrorKind::TooDeep);
        let named = write_value(&arena, &named, &mut names, depth);
        assert_eq!(named.unwrap_err().kind, SerializeErrorKind::TooDeep);
        let array = write_value(&arena, &array, &mut names, depth);
        assert_eq!(array.unwrap_err().kind, SerializeErrorKind::TooDeep);
    }
    assert!(write_value(&Bump::new(), &[[1]], &mut Names::default(), 2).is_ok());
    assert!(write_value(&Bump::new(), &[[1]], &mut Names::default(), 1).is_err());
}

/// How `serde_json` passes on a number when another crate of the build turns `arbitrary_precision` on.
#[test]
fn numbers_of_arbitrary_precision() {
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::Number")]
    struct Number {
        #[serde(rename = "$serde_json::private::Number")]
        text: &'static str,
    }
    assert_eq!(text(&Number { text: "-17" }), "-17");
    for number in ["1.5", "1e3", "9223372036854775808", "-0"] {
        let number = json_map("n", Number { text: number });
        assert!(error(&number).starts_with("n: "));
    }
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::RawValue")]
    struct Raw {
        x: i32,
    }
    assert!(error(&Raw { x: 1 }).starts_with("raw JSON"));
}

/// Data without escapes.
fn data() -> impl Strategy<Value = Data> {
    let leaf = prop_oneof![
        1 => Just(Data::Null),
        1 => any::<f64>().prop_map(|float| json!(float)),
        1 => any::<u64>().prop_map(|integer| json!(integer)),
        5 => any::<bool>().prop_map(|b| json!(b)),
        5 => any::<i64>().prop_map(|integer| json!(integer)),
        5 => ".{0,6}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Data::Array),
            prop::collection::btree_map("[a-d é]{0,2}", inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    /// JSON that arrives through serde means what it means as text.
    #[test]
    fn agrees_with_json(data in data()) {
        let (arena, mut names) = (Bump::new(), Names::default());
        let source = data.to_string();
        let json = parse(&arena, &source, DEPTH).unwrap();
        let read = read::read_value(&arena, arena.alloc(json), None, &mut names);
        let written = write_value(&arena, &data, &mut names, DEPTH);
        match (read, written) {
            (Ok(read), Ok(written)) => prop_assert!(read.same(written)),
            (Err(read), Err(written)) => prop_assert_eq!(read.path.to_string(), written.path.to_string()),
            other => prop_assert!(false, "{}: {:?}", source, other),
        }
    }
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
