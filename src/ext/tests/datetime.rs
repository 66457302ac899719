//! `datetime`.

use super::*;

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
