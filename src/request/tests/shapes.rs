//! What types become: values, records and escapes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration as StdDuration, SystemTime};

use cedar_policy::{Context, Entities};
use proptest::prelude::*;

use super::*;
use crate::id::EntityUidRef;
use crate::json::parse;
use crate::json::tests::cedar_equal;

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
