//! `decimal`.

use super::*;

fn decimal_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,17}\\.[0-9]{1,5}",
        "-?0{0,30}[0-9]{1,4}\\.[0-9]{1,4}",
        "-?92233720368547[67][0-9]\\.[0-9]{1,4}",
        "-?922337203685477\\.580[5-9]",
        edgy().prop_map(|n| Decimal::from_scaled(n).to_string()),
    ]
}

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
