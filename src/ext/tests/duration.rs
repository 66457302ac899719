//! `duration`.

use super::*;

fn duration_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?([0-9]{1,4}d)?([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?([0-9]{1,4}ms)?",
        "-?([0-9]{11,12}d)?([0-9]{12,14}h)?([0-9]{13,15}m)?",
        "-?([0-9]{15,17}s)?([0-9]{18,20}ms)?",
        "-?([0-9]{1,2}(d|h|m|s|ms)){1,4}",
        edgy().prop_map(|n| Duration::from_millis(n).to_string()),
    ]
}

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
