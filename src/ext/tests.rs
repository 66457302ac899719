//! Every constructor and method against `cedar_policy` itself: tables of the edges, then random texts and values.

use std::collections::HashSet;
use std::fmt::Debug;
use std::net;
use std::str::FromStr;
use std::time::{Duration as StdDuration, SystemTime, UNIX_EPOCH};

use cedar_policy::{
    Context, Entities, EntityUid, EvalResult, Expression, Request, RestrictedExpression,
    eval_expression,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::*;

const DAY: i64 = 86_400_000;

// ---- the oracle ----

/// A Cedar expression over the strings `context.a` and `context.b`, parsed once.
///
/// Going through the context keeps arbitrary text free of escaping and the debug build off Cedar's parser.
struct Oracle {
    expression: Expression,
    principal: EntityUid,
    entities: Entities,
}

impl Oracle {
    fn new(text: &str) -> Self {
        Self {
            expression: Expression::from_str(text).unwrap(),
            principal: EntityUid::from_str(r#"T::"x""#).unwrap(),
            entities: Entities::empty(),
        }
    }

    /// `None` if Cedar reports an evaluation error.
    fn ask(&self, a: &str, b: &str) -> Option<EvalResult> {
        let string = |s: &str| RestrictedExpression::new_string(s.to_owned());
        let context =
            Context::from_pairs([("a".into(), string(a)), ("b".into(), string(b))]).unwrap();
        let id = || self.principal.clone();
        let request = Request::new(id(), id(), id(), context, None).unwrap();
        eval_expression(&request, &self.entities, &self.expression).ok()
    }

    fn bool(&self, a: impl ToString, b: impl ToString) -> bool {
        match self.ask(&a.to_string(), &b.to_string()) {
            Some(EvalResult::Bool(answer)) => answer,
            other => panic!("{} {}: {other:?}", a.to_string(), b.to_string()),
        }
    }

    /// `None` if Cedar reports an evaluation error.
    fn long(&self, a: impl ToString, b: impl ToString) -> Option<i64> {
        match self.ask(&a.to_string(), &b.to_string()) {
            Some(EvalResult::Long(answer)) => Some(answer),
            None => None,
            other => panic!("{} {}: {other:?}", a.to_string(), b.to_string()),
        }
    }
}

const MILLIS_SINCE_EPOCH: &str = r#".durationSince(datetime("1970-01-01")).toMilliseconds()"#;

/// An expression for the datetime that is the duration `context.<name>` after the epoch.
fn datetime_at(name: &str) -> String {
    format!(r#"datetime("1970-01-01").offset(duration(context.{name}))"#)
}

fn check<T: Debug>(cases: u32, strategy: impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&strategy, |value| {
            test(value);
            Ok(())
        })
        .unwrap();
}

// ---- generators ----

/// A valid text with one character inserted, replaced or removed.
fn damaged(valid: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let intruder = select(vec![
        '0', '1', '9', '-', '+', '.', ':', '/', ' ', '\n', '\0', 'T', 't', 'Z', 'z', 'd', 'm', 's',
        'f', 'g', '%', '_', 'e', '٣', '０', '−', 'é',
    ]);
    (valid, any::<prop::sample::Index>(), intruder, 0..3).prop_map(|(text, at, intruder, how)| {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len() + 1);
        if how > 0 && at < chars.len() {
            chars.remove(at);
        }
        if how < 2 {
            chars.insert(at, intruder);
        }
        chars.into_iter().collect()
    })
}

/// Integers crowded at the ends of the range, around 0, and around multiples of a day.
fn edgy() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        (0..3 * DAY).prop_map(|n| i64::MIN + n),
        (0..3 * DAY).prop_map(|n| i64::MAX - n),
        -3 * DAY..3 * DAY,
        -20_000i64..20_000,
        (any::<i32>(), -1i64..=1).prop_map(|(days, n)| i64::from(days) * DAY + n),
        select(vec![
            i64::MIN,
            i64::MIN + 1,
            -1,
            0,
            1,
            i64::MAX - 1,
            i64::MAX
        ]),
    ]
}

fn decimal_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,17}\\.[0-9]{1,5}",
        "-?0{0,30}[0-9]{1,4}\\.[0-9]{1,4}",
        "-?92233720368547[67][0-9]\\.[0-9]{1,4}",
        "-?922337203685477\\.580[5-9]",
        edgy().prop_map(|n| Decimal::from_scaled(n).to_string()),
    ]
}

fn datetime_text() -> impl Strategy<Value = String> {
    let date = prop_oneof![
        "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])",
        "[0-9]{4}-(0[0-9]|1[0-3])-(00|01|28|29|30|31|32)",
        "([02468][048]|[13579][26])00-02-29",
        "(0000|9999)-(01-01|12-31)",
    ];
    let time = prop_oneof![
        "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
        "T(00|23|24):(00|59|60):(00|59|60|61)",
    ];
    let zone = prop_oneof![
        "(\\.[0-9]{3})?(Z|[+-]([01][0-9]|2[0-3])[0-5][0-9])",
        "(\\.[0-9]{2,4})?(Z|[+-](00|23|24)(00|59|60))?",
    ];
    prop_oneof![
        1 => date.clone(),
        4 => (date, time, zone).prop_map(|(date, time, zone)| date + &time + &zone),
    ]
}

fn duration_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?([0-9]{1,4}d)?([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?([0-9]{1,4}ms)?",
        "-?([0-9]{11,12}d)?([0-9]{12,14}h)?([0-9]{13,15}m)?",
        "-?([0-9]{15,17}s)?([0-9]{18,20}ms)?",
        "-?([0-9]{1,2}(d|h|m|s|ms)){1,4}",
        edgy().prop_map(|n| Duration::from_millis(n).to_string()),
    ]
}

fn ip_text() -> impl Strategy<Value = String> {
    let v4 = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| net::Ipv4Addr::from(octets).to_string()),
        "(10|127|22[34]|240|256|010)\\.[0-9]{1,3}\\.0\\.[0-9]",
    ];
    let v6 = prop_oneof![
        any::<[u8; 16]>().prop_map(|octets| net::Ipv6Addr::from(octets).to_string()),
        "(0|::|:|ff0[0-9a-f]::?|::ffff:)([0-9a-fA-F]{1,5}(::?)?){0,8}",
        "([0-9a-fA-F]{4}:){7}[0-9a-fA-F]{4,5}",
        "::(ffff:)?(127|10|224)\\.0\\.0\\.1",
    ];
    prop_oneof![
        (v4, "(/[0-9]{0,2}|/3[0-4]|/(0?[0-9]|100))?").prop_map(|(addr, prefix)| addr + &prefix),
        (v6, "(/[0-9]{0,4}|/12[0-9]|/0?[0-9]{1,2})?").prop_map(|(addr, prefix)| addr + &prefix),
    ]
}

/// Addresses that are often equal or in each other's range.
fn ip_value() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        any::<[u8; 4]>(),
        select(vec![
            [0, 0, 0, 0],
            [127, 0, 0, 1],
            [126, 255, 255, 255],
            [128, 0, 0, 0],
            [223, 1, 2, 3],
            [224, 0, 0, 1],
            [239, 255, 255, 255],
            [240, 0, 0, 0],
            [255, 255, 255, 255],
        ]),
    ];
    let v6 = prop_oneof![
        any::<[u8; 16]>(),
        select(vec![
            0u128,
            1,
            2,
            0xffff_7f00_0001,
            0x7f00_0001,
            0xfeff << 112,
            0xff << 120,
            0xff02 << 112 | 1,
            1 << 127,
            u128::MAX,
        ])
        .prop_map(u128::to_be_bytes),
    ];
    let prefix_v4 = prop_oneof![0..=32u8, select(vec![0, 3, 4, 5, 7, 8, 9, 31, 32])];
    let prefix_v6 = prop_oneof![0..=128u8, select(vec![0, 7, 8, 9, 127, 128])];
    prop_oneof![
        (v4, prefix_v4).prop_map(|(addr, prefix)| IpAddr::new(addr.into(), prefix).unwrap()),
        (v6, prefix_v6).prop_map(|(addr, prefix)| IpAddr::new(addr.into(), prefix).unwrap()),
    ]
}

/// An address, and one that differs from it in a single bit or only in its prefix.
fn ip_pair() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    let near = (ip_value(), 0..=128u32, any::<u8>()).prop_map(|(ip, bit, prefix)| {
        let flipped = match ip.addr() {
            net::IpAddr::V4(v4) => {
                net::Ipv4Addr::from(u32::from(v4) ^ 1u32.checked_shl(bit).unwrap_or(0)).into()
            }
            net::IpAddr::V6(v6) => {
                net::Ipv6Addr::from(u128::from(v6) ^ 1u128.checked_shl(bit).unwrap_or(0)).into()
            }
        };
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        (ip, IpAddr::new(flipped, prefix % (bits + 1)).unwrap())
    });
    prop_oneof![2 => near, 1 => (ip_value(), ip_value())]
}

// ---- decimal ----

struct DecimalOracle {
    same: Oracle,
}

impl DecimalOracle {
    fn new() -> Self {
        Self {
            same: Oracle::new("decimal(context.a) == decimal(context.b)"),
        }
    }

    /// Same verdict on `text`, and the same value: Cedar finds it equal to our rendering of it.
    fn agrees_on(&self, text: &str) {
        match Decimal::parse(text) {
            Ok(value) => {
                assert!(self.same.bool(text, value), "{text:?}");
                assert_eq!(Decimal::parse(&value.to_string()), Ok(value));
            }
            Err(_) => assert_eq!(self.same.ask(text, "0.0"), None, "{text:?}"),
        }
    }
}

#[test]
fn decimal_table() {
    use ExtError::{DecimalMalformed, DecimalOverflow, DecimalTooManyDigits};
    let table: &[(&str, Result<i64, ExtError>)] = &[
        ("0.0", Ok(0)),
        ("-0.0", Ok(0)),
        ("1.5", Ok(15_000)),
        ("-1.5", Ok(-15_000)),
        ("-0.0001", Ok(-1)),
        ("0.1", Ok(1_000)),
        ("00000000000000000000000000000000001.0001", Ok(10_001)),
        ("922337203685477.5807", Ok(i64::MAX)),
        ("-922337203685477.5808", Ok(i64::MIN)),
        ("922337203685477.5808", Err(DecimalOverflow)),
        ("-922337203685477.5809", Err(DecimalOverflow)),
        ("922337203685478.0", Err(DecimalOverflow)),
        ("9223372036854775808.0", Err(DecimalOverflow)),
        ("-99999999999999999999999.9", Err(DecimalOverflow)),
        ("1.23450", Err(DecimalTooManyDigits)),
        ("1.00000", Err(DecimalTooManyDigits)),
        ("", Err(DecimalMalformed)),
        ("-", Err(DecimalMalformed)),
        (".", Err(DecimalMalformed)),
        ("1", Err(DecimalMalformed)),
        ("1.", Err(DecimalMalformed)),
        (".1", Err(DecimalMalformed)),
        ("-.1", Err(DecimalMalformed)),
        ("--1.0", Err(DecimalMalformed)),
        ("+1.0", Err(DecimalMalformed)),
        ("1.-1", Err(DecimalMalformed)),
        ("1.0.0", Err(DecimalMalformed)),
        ("1,0", Err(DecimalMalformed)),
        (" 1.0", Err(DecimalMalformed)),
        ("1.0\n", Err(DecimalMalformed)),
        ("1e1.0", Err(DecimalMalformed)),
        ("٣.0", Err(DecimalMalformed)),
        ("1.٣", Err(DecimalMalformed)),
        ("1.٣٣٣", Err(DecimalMalformed)),
    ];
    let oracle = DecimalOracle::new();
    for &(text, expected) in table {
        assert_eq!(
            Decimal::parse(text).map(Decimal::scaled),
            expected,
            "{text:?}"
        );
        oracle.agrees_on(text);
    }
    assert_eq!(Decimal::from_scaled(15_000).to_string(), "1.5000");
    assert_eq!(Decimal::from_scaled(-1).to_string(), "-0.0001");
}

#[test]
fn decimal_texts() {
    let oracle = DecimalOracle::new();
    check(400, decimal_text(), |text| oracle.agrees_on(&text));
    check(600, damaged(decimal_text()), |text| oracle.agrees_on(&text));
}

#[test]
fn decimal_comparisons() {
    let ask = |test: &str| {
        Oracle::new(
            &test
                .replace("A", "decimal(context.a)")
                .replace("B", "decimal(context.b)"),
        )
    };
    let (eq, lt, le) = (
        ask("A == B"),
        ask("A.lessThan(B)"),
        ask("A.lessThanOrEqual(B)"),
    );
    let (gt, ge) = (ask("A.greaterThan(B)"), ask("A.greaterThanOrEqual(B)"));
    let pairs = prop_oneof![
        (edgy(), edgy()),
        (edgy(), -1i64..=1).prop_map(|(a, n)| (a, a.saturating_add(n))),
    ];
    check(200, pairs, |(a, b)| {
        let (a, b) = (Decimal::from_scaled(a), Decimal::from_scaled(b));
        assert_eq!(Decimal::parse(&a.to_string()), Ok(a));
        assert_eq!(a == b, eq.bool(a, b));
        assert_eq!(a < b, lt.bool(a, b));
        assert_eq!(a <= b, le.bool(a, b));
        assert_eq!(a > b, gt.bool(a, b));
        assert_eq!(a >= b, ge.bool(a, b));
    });
}

// ---- datetime ----

#[test]
fn datetime_table() {
    use ExtError::{
        DateInvalid, DateMalformed, TimeInvalid, TimeMalformed, ZoneInvalid, ZoneMalformed,
    };
    let table: &[(&str, Result<i64, ExtError>)] = &[
        ("1970-01-01", Ok(0)),
        ("1970-01-01T00:00:00Z", Ok(0)),
        ("1970-01-01T00:00:00.001Z", Ok(1)),
        ("1969-12-31T23:59:59.999Z", Ok(-1)),
        ("1970-01-01T00:00:00+0001", Ok(-60_000)),
        ("1970-01-01T00:00:00-0001", Ok(60_000)),
        ("1970-01-01T00:00:00-0000", Ok(0)),
        ("2024-02-29T12:34:56.789-0530", Ok(1_709_229_896_789)),
        ("2000-02-29", Ok(951_782_400_000)),
        ("0000-01-01", Ok(-62_167_219_200_000)),
        ("0000-02-29", Ok(-62_162_121_600_000)),
        (
            "0000-01-01T00:00:00+2359",
            Ok(-62_167_219_200_000 - DAY + 60_000),
        ),
        ("9999-12-31T23:59:59.999Z", Ok(253_402_300_799_999)),
        (
            "9999-12-31T23:59:59.999-2359",
            Ok(253_402_300_799_999 + DAY - 60_000),
        ),
        ("1900-02-29", Err(DateInvalid)),
        ("2023-02-29", Err(DateInvalid)),
        ("2024-02-30", Err(DateInvalid)),
        ("2024-04-31", Err(DateInvalid)),
        ("2024-00-01", Err(DateInvalid)),
        ("2024-13-01", Err(DateInvalid)),
        ("2024-01-00", Err(DateInvalid)),
        ("2024-01-32", Err(DateInvalid)),
        ("", Err(DateMalformed)),
        ("2024", Err(DateMalformed)),
        ("2024-1-01", Err(DateMalformed)),
        ("20240101", Err(DateMalformed)),
        ("-2024-01-01", Err(DateMalformed)),
        ("+2024-01-01", Err(DateMalformed)),
        (" 2024-01-01", Err(DateMalformed)),
        ("٢٠٢٤-01-01", Err(DateMalformed)),
        ("2024-01-01 ", Err(TimeMalformed)),
        ("2024-01-01Z", Err(TimeMalformed)),
        ("2024-01-011", Err(TimeMalformed)),
        ("2024-01-01T", Err(TimeMalformed)),
        ("2024-01-01t00:00:00Z", Err(TimeMalformed)),
        ("2024-01-01 00:00:00Z", Err(TimeMalformed)),
        ("2024-01-01T00:00Z", Err(TimeMalformed)),
        ("2024-01-01T0:00:00Z", Err(TimeMalformed)),
        ("2024-01-01T24:00:00Z", Err(TimeInvalid)),
        ("2024-01-01T00:60:00Z", Err(TimeInvalid)),
        ("2016-12-31T23:59:60Z", Err(TimeInvalid)),
        ("2016-12-31T23:59:60.000Z", Err(TimeInvalid)),
        ("2024-01-01T00:00:00", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00z", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00ZZ", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00Z\n", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00.Z", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00.00Z", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00.0000Z", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00,000Z", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00.000", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00+00:00", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00+00", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00+00000", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00Z+0000", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00−0000", Err(ZoneMalformed)),
        ("2024-01-01T00:00:00+2400", Err(ZoneInvalid)),
        ("2024-01-01T00:00:00-0060", Err(ZoneInvalid)),
        // Syntax is complained about before ranges, and ranges from left to right.
        ("2024-13-01T24:00:00", Err(ZoneMalformed)),
        ("2024-13-01T24:00:00+9900", Err(DateInvalid)),
        ("2024-12-01T24:00:00+9900", Err(TimeInvalid)),
    ];
    let oracle = Oracle::new(&format!("datetime(context.a){MILLIS_SINCE_EPOCH}"));
    for &(text, expected) in table {
        let actual = Datetime::parse(text).map(Datetime::millis);
        assert_eq!(actual, expected, "{text:?}");
        assert_eq!(actual.ok(), oracle.long(text, ""), "{text:?}");
    }
}

#[test]
fn datetime_texts() {
    let oracle = Oracle::new(&format!("datetime(context.a){MILLIS_SINCE_EPOCH}"));
    let agrees = |text: String| {
        let value = Datetime::parse(&text).ok();
        assert_eq!(
            value.map(Datetime::millis),
            oracle.long(&text, ""),
            "{text:?}"
        );
        if let Some(value) = value {
            assert!(value.is_representable());
            assert_eq!(Datetime::parse(&value.to_string()), Ok(value));
        }
    };
    check(500, datetime_text(), agrees);
    check(500, damaged(datetime_text()), agrees);
}

/// Too many days to ask Cedar about each: that they form an unbroken chain, with both ends pinned, is proof enough.
#[test]
fn every_day_follows_the_one_before() {
    let mut expected = -62_167_219_200_000;
    for year in 0..=9999 {
        for month in 1..=12 {
            let mut days = 0;
            for day in 1..=31 {
                let text = format!("{year:04}-{month:02}-{day:02}");
                let Ok(date) = Datetime::parse(&text) else {
                    break;
                };
                assert_eq!(date.millis(), expected, "{text}");
                expected += DAY;
                days = day;
            }
            assert!((28..=31).contains(&days), "{year} {month}");
        }
    }
    assert_eq!(expected, 253_402_300_800_000);
}

#[test]
fn datetime_display() {
    const FIRST: i64 = -62_167_219_200_000 - (DAY - 60_000);
    const LAST: i64 = 253_402_300_799_999 + (DAY - 60_000);
    let table = [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000 + DAY - 1, "2000-02-29T23:59:59.999Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (-62_167_219_200_001, "0000-01-01T23:58:59.999+2359"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T00:01:00.000-2359"),
        (FIRST, "0000-01-01T00:00:00.000+2359"),
        (LAST, "9999-12-31T23:59:59.999-2359"),
    ];
    for (millis, text) in table {
        let value = Datetime::from_millis(millis);
        assert!(value.is_representable());
        assert_eq!(value.to_string(), text);
        assert_eq!(Datetime::parse(text), Ok(value));
    }
    for millis in [FIRST - 1, LAST + 1, i64::MIN, i64::MAX] {
        let value = Datetime::from_millis(millis);
        assert!(!value.is_representable());
        assert_eq!(value.to_string(), format!("1970-01-01 + {millis}ms"));
        assert!(Datetime::parse(&value.to_string()).is_err());
    }
    check(1000, FIRST..=LAST, |millis| {
        let value = Datetime::from_millis(millis);
        assert_eq!(Datetime::parse(&value.to_string()), Ok(value));
    });
}

#[test]
fn datetime_methods() {
    let (a, b) = (datetime_at("a"), datetime_at("b"));
    let identity = Oracle::new(&format!("{a}{MILLIS_SINCE_EPOCH}"));
    let to_date = Oracle::new(&format!("{a}.toDate(){MILLIS_SINCE_EPOCH}"));
    let to_time = Oracle::new(&format!("{a}.toTime().toMilliseconds()"));
    let agrees = |millis: i64| {
        let (value, shift) = (Datetime::from_millis(millis), Duration::from_millis(millis));
        assert_eq!(identity.long(shift, ""), Some(millis));
        let date = value.to_date().map(Datetime::millis);
        assert_eq!(date.ok(), to_date.long(shift, ""), "{millis}");
        assert!(matches!(date, Ok(_) | Err(ExtError::ToDateOverflow)));
        assert_eq!(
            Some(value.to_time().millis()),
            to_time.long(shift, ""),
            "{millis}"
        );
    };
    let first_midnight = i64::MIN - i64::MIN % DAY;
    for millis in [
        i64::MIN,
        first_midnight - 1,
        first_midnight,
        -DAY,
        -1,
        0,
        DAY,
        i64::MAX,
    ] {
        agrees(millis);
    }
    check(150, edgy(), agrees);

    let offset = Oracle::new(&format!(
        "{a}.offset(duration(context.b)){MILLIS_SINCE_EPOCH}"
    ));
    let since = Oracle::new(&format!("{a}.durationSince({b}).toMilliseconds()"));
    let [eq, lt, le, gt, ge] =
        ["==", "<", "<=", ">", ">="].map(|op| Oracle::new(&format!("{a} {op} {b}")));
    let pairs = prop_oneof![
        (edgy(), edgy()),
        (edgy(), -1i64..=1).prop_map(|(a, n)| (a, a.saturating_add(n))),
        // Sums and differences right at the ends of the range.
        (any::<i64>(), -1i64..=1).prop_map(|(a, n)| (a, i64::MAX.wrapping_sub(a).wrapping_add(n))),
        (any::<i64>(), -1i64..=1).prop_map(|(a, n)| (a, a.wrapping_sub(i64::MAX).wrapping_add(n))),
    ];
    check(200, pairs, |(a, b)| {
        let (x, y) = (Datetime::from_millis(a), Datetime::from_millis(b));
        let (a, b) = (Duration::from_millis(a), Duration::from_millis(b));
        let sum = x.offset(b).map(Datetime::millis);
        assert_eq!(sum.ok(), offset.long(a, b));
        assert!(matches!(sum, Ok(_) | Err(ExtError::OffsetOverflow)));
        let difference = x.duration_since(y).map(Duration::millis);
        assert_eq!(difference.ok(), since.long(a, b));
        assert!(matches!(
            difference,
            Ok(_) | Err(ExtError::DurationSinceOverflow)
        ));
        assert_eq!(x == y, eq.bool(a, b));
        assert_eq!(x < y, lt.bool(a, b));
        assert_eq!(x <= y, le.bool(a, b));
        assert_eq!(x > y, gt.bool(a, b));
        assert_eq!(x >= y, ge.bool(a, b));
    });
}

#[test]
fn datetime_from_std() {
    let at = |seconds, nanos| StdDuration::new(seconds, nanos);
    let table = [
        (UNIX_EPOCH, 0),
        (UNIX_EPOCH + at(1, 999_999), 1_000),
        (UNIX_EPOCH - at(0, 1), -1),
        (UNIX_EPOCH - at(0, 1_000_000), -1),
        (UNIX_EPOCH - at(0, 1_000_001), -2),
    ];
    for (point, millis) in table {
        assert_eq!(Datetime::try_from(point).map(Datetime::millis), Ok(millis));
    }
    let beyond = at(i64::MAX.unsigned_abs() / 1000 + 1, 0);
    // Platforms differ in how far a `SystemTime` reaches.
    if let Some(point) = UNIX_EPOCH.checked_add(beyond) {
        assert_eq!(Datetime::try_from(point), Err(ExtError::DatetimeOverflow));
    }
    assert!(Datetime::try_from(SystemTime::now()).is_ok());
}

// ---- duration ----

#[test]
fn duration_table() {
    use ExtError::{DurationMalformed, DurationOverflow};
    let table: &[(&str, Result<i64, ExtError>)] = &[
        ("0ms", Ok(0)),
        ("-0ms", Ok(0)),
        ("0d0h0m0s0ms", Ok(0)),
        ("1d2h3m4s5ms", Ok(93_784_005)),
        ("-1d2h3m4s5ms", Ok(-93_784_005)),
        ("5m5ms", Ok(300_005)),
        ("5m5s", Ok(305_000)),
        ("36h90m", Ok(135_000_000)),
        ("000000000000000000000000000001s", Ok(1000)),
        ("9223372036854775807ms", Ok(i64::MAX)),
        ("-9223372036854775808ms", Ok(i64::MIN)),
        ("106751991167d7h12m55s807ms", Ok(i64::MAX)),
        ("-106751991167d7h12m55s808ms", Ok(i64::MIN)),
        ("9223372036854775808ms", Err(DurationOverflow)),
        ("-9223372036854775809ms", Err(DurationOverflow)),
        ("106751991167d7h12m55s808ms", Err(DurationOverflow)),
        ("-106751991167d7h12m55s809ms", Err(DurationOverflow)),
        ("106751991168d", Err(DurationOverflow)),
        ("-106751991168d", Err(DurationOverflow)),
        ("18446744073709551616ms", Err(DurationOverflow)),
        ("-99999999999999999999999999d", Err(DurationOverflow)),
        ("99999999999999999999999999d1", Err(DurationMalformed)),
        ("", Err(DurationMalformed)),
        ("-", Err(DurationMalformed)),
        ("--1s", Err(DurationMalformed)),
        ("+1s", Err(DurationMalformed)),
        ("1", Err(DurationMalformed)),
        ("d", Err(DurationMalformed)),
        ("ms", Err(DurationMalformed)),
        ("1d1", Err(DurationMalformed)),
        ("1d1d", Err(DurationMalformed)),
        ("1h1d", Err(DurationMalformed)),
        ("1ms1s", Err(DurationMalformed)),
        ("1ms1m", Err(DurationMalformed)),
        ("1d-1h", Err(DurationMalformed)),
        ("1D", Err(DurationMalformed)),
        ("1dd", Err(DurationMalformed)),
        ("1d 1h", Err(DurationMalformed)),
        ("1s\n", Err(DurationMalformed)),
        ("1.5s", Err(DurationMalformed)),
        ("1us", Err(DurationMalformed)),
        ("1w", Err(DurationMalformed)),
        ("٣s", Err(DurationMalformed)),
        ("1sé", Err(DurationMalformed)),
    ];
    let oracle = Oracle::new("duration(context.a).toMilliseconds()");
    for &(text, expected) in table {
        let actual = Duration::parse(text).map(Duration::millis);
        assert_eq!(actual, expected, "{text:?}");
        assert_eq!(actual.ok(), oracle.long(text, ""), "{text:?}");
    }
}

#[test]
fn duration_texts() {
    let oracle = Oracle::new("duration(context.a).toMilliseconds()");
    let agrees = |text: String| {
        let actual = Duration::parse(&text).map(Duration::millis);
        assert_eq!(actual.ok(), oracle.long(&text, ""), "{text:?}");
    };
    check(500, duration_text(), agrees);
    check(500, damaged(duration_text()), agrees);
}

#[test]
fn duration_methods() {
    let ask = |method: &str| Oracle::new(&format!("duration(context.a).{method}()"));
    let (seconds, minutes) = (ask("toSeconds"), ask("toMinutes"));
    let (hours, days) = (ask("toHours"), ask("toDays"));
    let agrees = |millis| {
        let value = Duration::from_millis(millis);
        assert_eq!(Duration::parse(&value.to_string()), Ok(value));
        assert_eq!(Some(value.to_seconds()), seconds.long(value, ""));
        assert_eq!(Some(value.to_minutes()), minutes.long(value, ""));
        assert_eq!(Some(value.to_hours()), hours.long(value, ""));
        assert_eq!(Some(value.to_days()), days.long(value, ""));
    };
    for millis in [i64::MIN, -DAY, -DAY + 1, -1, 0, 999, DAY - 1, DAY, i64::MAX] {
        agrees(millis);
    }
    check(100, edgy(), agrees);

    let [eq, lt, le, gt, ge] = ["==", "<", "<=", ">", ">="]
        .map(|op| Oracle::new(&format!("duration(context.a) {op} duration(context.b)")));
    check(100, (edgy(), edgy()), |(a, b)| {
        let (a, b) = (Duration::from_millis(a), Duration::from_millis(b));
        assert_eq!(a == b, eq.bool(a, b));
        assert_eq!(a < b, lt.bool(a, b));
        assert_eq!(a <= b, le.bool(a, b));
        assert_eq!(a > b, gt.bool(a, b));
        assert_eq!(a >= b, ge.bool(a, b));
    });

    let largest = StdDuration::from_millis(i64::MAX.unsigned_abs());
    assert_eq!(
        Duration::try_from(largest).map(Duration::millis),
        Ok(i64::MAX)
    );
    let beyond = largest + StdDuration::from_millis(1);
    assert_eq!(Duration::try_from(beyond), Err(ExtError::DurationOverflow));
}

// ---- ip ----

struct IpOracle {
    same: Oracle,
}

impl IpOracle {
    fn new() -> Self {
        Self {
            same: Oracle::new("ip(context.a) == ip(context.b)"),
        }
    }

    /// Same verdict on `text`, and the same value: Cedar finds it equal to our rendering of it.
    fn agrees_on(&self, text: &str) {
        match IpAddr::parse(text) {
            Ok(value) => {
                assert!(self.same.bool(text, value), "{text:?}");
                assert_eq!(IpAddr::parse(&value.to_string()), Ok(value));
            }
            Err(_) => assert_eq!(self.same.ask(text, "::"), None, "{text:?}"),
        }
    }
}

#[test]
fn ip_table() {
    use ExtError::{IpMalformed, IpMixedNotation, IpPrefixMalformed, IpPrefixTooLong, IpTooLong};
    let table: &[(&str, Result<&str, ExtError>)] = &[
        ("1.2.3.4", Ok("1.2.3.4/32")),
        ("1.2.3.4/32", Ok("1.2.3.4/32")),
        ("10.0.0.1/24", Ok("10.0.0.1/24")),
        ("0.0.0.0/0", Ok("0.0.0.0/0")),
        ("::", Ok("::/128")),
        ("::1/0", Ok("::1/0")),
        ("FF00::/8", Ok("ff00::/8")),
        ("0:0:0:0:0:0:0:1", Ok("::1/128")),
        ("::ffff:7f00:1", Ok("::ffff:7f00:1/128")),
        ("::ffff:0:0/96", Ok("::ffff:0:0/96")),
        ("::7f00:1", Ok("::7f00:1/128")),
        (
            "abcd:ef01:2345:6789:abcd:ef01:2345:6789/128",
            Ok("abcd:ef01:2345:6789:abcd:ef01:2345:6789/128"),
        ),
        (
            "abcd:ef01:2345:6789:abcd:ef01:2345:6789/0128",
            Err(IpTooLong),
        ),
        ("::ffff:127.0.0.1", Err(IpMixedNotation)),
        ("::127.0.0.1/128", Err(IpMixedNotation)),
        ("", Err(IpMalformed)),
        ("/", Err(IpMalformed)),
        ("/8", Err(IpMalformed)),
        ("1.2.3", Err(IpMalformed)),
        ("1.2.3.4.5", Err(IpMalformed)),
        ("01.2.3.4", Err(IpMalformed)),
        ("256.0.0.0", Err(IpMalformed)),
        (" 1.2.3.4", Err(IpMalformed)),
        ("1.2.3.4\n", Err(IpMalformed)),
        ("1.2.3.4:80", Err(IpMalformed)),
        ("[::1]", Err(IpMalformed)),
        ("[::1]:80", Err(IpMalformed)),
        ("fe80::1%eth0", Err(IpMalformed)),
        ("fe80::1%1", Err(IpMalformed)),
        (":::", Err(IpMalformed)),
        ("::1::", Err(IpMalformed)),
        ("00000::", Err(IpMalformed)),
        ("٣.2.3.4", Err(IpMalformed)),
        ("1.2.3.4/", Err(IpPrefixMalformed)),
        ("1.2.3.4/08", Err(IpPrefixMalformed)),
        ("1.2.3.4/00", Err(IpPrefixMalformed)),
        ("1.2.3.4/+8", Err(IpPrefixMalformed)),
        ("1.2.3.4/-8", Err(IpPrefixMalformed)),
        ("1.2.3.4/8/8", Err(IpPrefixMalformed)),
        ("1.2.3.4/255.0.0.0", Err(IpPrefixMalformed)),
        ("1.2.3.4/٣", Err(IpPrefixMalformed)),
        ("::/0128", Err(IpPrefixMalformed)),
        ("1.2.3.4/33", Err(IpPrefixTooLong)),
        ("1.2.3.4/100", Err(IpPrefixTooLong)),
        ("::/129", Err(IpPrefixTooLong)),
        ("::/256", Err(IpPrefixTooLong)),
        ("::/99999999999999999999", Err(IpPrefixTooLong)),
    ];
    let oracle = IpOracle::new();
    for &(text, expected) in table {
        let actual = IpAddr::parse(text).map(|ip| ip.to_string());
        assert_eq!(actual, expected.map(str::to_owned), "{text:?}");
        oracle.agrees_on(text);
    }
}

#[test]
fn ip_texts() {
    let oracle = IpOracle::new();
    check(600, ip_text(), |text| oracle.agrees_on(&text));
    check(600, damaged(ip_text()), |text| oracle.agrees_on(&text));
}

#[test]
fn ip_methods() {
    let ask = |method: &str| Oracle::new(&format!("ip(context.a).{method}()"));
    let (is_v4, is_v6) = (ask("isIpv4"), ask("isIpv6"));
    let (loopback, multicast) = (ask("isLoopback"), ask("isMulticast"));
    check(500, ip_value(), |ip| {
        assert_eq!(IpAddr::parse(&ip.to_string()), Ok(ip));
        assert_eq!(ip.is_ipv4(), is_v4.bool(ip, ""), "{ip}");
        assert_eq!(ip.is_ipv6(), is_v6.bool(ip, ""), "{ip}");
        assert_eq!(ip.is_loopback(), loopback.bool(ip, ""), "{ip}");
        assert_eq!(ip.is_multicast(), multicast.bool(ip, ""), "{ip}");
    });

    let same = Oracle::new("ip(context.a) == ip(context.b)");
    let in_range = Oracle::new("ip(context.a).isInRange(ip(context.b))");
    check(500, ip_pair(), |(a, b)| {
        assert_eq!(a == b, same.bool(a, b), "{a} {b}");
        assert_eq!(a.is_in_range(b), in_range.bool(a, b), "{a} {b}");
        assert_eq!(b.is_in_range(a), in_range.bool(b, a), "{b} {a}");
    });
}

#[test]
fn ip_order_is_version_address_prefix() {
    check(500, (ip_value(), ip_value()), |(a, b)| {
        let key = |ip: IpAddr| (ip.is_ipv6(), ip.addr(), ip.prefix());
        assert_eq!(a.cmp(&b), key(a).cmp(&key(b)));
        assert_eq!(a == b, HashSet::from([a]).contains(&b));
    });
}

#[test]
fn ip_from_std() {
    let v4 = net::Ipv4Addr::new(1, 2, 3, 4);
    assert_eq!(Ok(IpAddr::from(v4)), IpAddr::parse("1.2.3.4"));
    assert_eq!(IpAddr::from(v4).addr(), net::IpAddr::V4(v4));
    let mapped = v4.to_ipv6_mapped();
    assert_eq!(Ok(IpAddr::from(mapped)), IpAddr::parse("::ffff:102:304"));
    assert_eq!(
        IpAddr::from(net::IpAddr::V6(mapped)).addr(),
        net::IpAddr::V6(mapped)
    );
    assert_eq!(IpAddr::new(v4.into(), 33), Err(ExtError::IpPrefixTooLong));
    assert_eq!(
        IpAddr::new(mapped.into(), 129),
        Err(ExtError::IpPrefixTooLong)
    );
    assert_eq!(IpAddr::new(v4.into(), 8), IpAddr::parse("1.2.3.4/8"));
}
