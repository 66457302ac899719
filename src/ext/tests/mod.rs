//! Every constructor and method against `cedar_policy` itself: tables of the edges, then random texts and values.

mod datetime;
mod decimal;
mod duration;
mod ip;

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
