//! Whether the `cedar-policy` in this build speaks the language that Duramen was checked against.
//!
//! Cargo unifies features: another crate in the build may switch on experimental features of
//! `cedar-policy`, and they are then on for Duramen as well, without a trace in its manifest. A
//! crate cannot ask for the features of another, so each one that changes what the ordinary API
//! accepts or answers is looked for by what it does.
//!
//! | feature | what it changes in the ordinary API | |
//! |---|---|---|
//! | `variadic-is-in-range` | `a.isInRange(b, c)` is true or false, not an arity error | refused |
//! | `partial-eval` | `unknown("x")` is a function that policies may call | refused |
//! | `tolerant-ast` | JSON policies may have error nodes, which accessors panic on | refused |
//! | `extended-schema` | nothing: types keep their source positions, which comparisons ignore | harmless |
//! | `tpe`, `entity-manifest`, `partial-validate`, `permissive-validate`, `protobufs` | nothing: they only add API | harmless |
//!
//! In Cedar syntax `tolerant-ast` accepts no more than before: the ordinary parser still reports
//! every error that its error nodes stand for.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use cedar_policy::{Context, Entities, EntityUid, EvalResult, Expression, Policy, Request};

/// `cedar-policy` was built with a feature under which it decides differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProbeError {
    feature: &'static str,
}

impl ProbeError {
    /// The cargo feature of `cedar-policy`.
    #[cfg(test)]
    pub(crate) const fn feature(&self) -> &'static str {
        self.feature
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { feature } = self;
        write!(
            f,
            "cedar-policy was built with its experimental feature `{feature}`, which changes the policy \
             language; `cargo tree -e features -i cedar-policy` shows which crate switched it on"
        )
    }
}

impl std::error::Error for ProbeError {}

/// Refuses a `cedar-policy` whose features change the language. The answer cannot change while the
/// process runs, so it is looked for once; it takes about as long as parsing three small policies.
///
/// # Errors
/// Names the first such feature.
pub(crate) fn probe_language() -> Result<(), ProbeError> {
    static ANSWER: OnceLock<Result<(), ProbeError>> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        for (feature, is_on) in PROBES {
            if is_on() {
                return Err(ProbeError { feature });
            }
        }
        Ok(())
    })
}

/// Tells whether a feature is on.
type Probe = fn() -> bool;

const PROBES: [(&str, Probe); 3] = [
    ("variadic-is-in-range", variadic_is_in_range),
    ("partial-eval", partial_eval),
    ("tolerant-ast", tolerant_ast),
];

fn variadic_is_in_range() -> bool {
    evaluates(r#"ip("10.1.1.1").isInRange(ip("10.0.0.0/8"), ip("192.168.0.0/16"))"#)
}

/// Without the feature no function has that name, which already the parser reports.
fn partial_eval() -> bool {
    Expression::from_str(r#"unknown("x")"#).is_ok()
}

fn tolerant_ast() -> bool {
    let policy = serde_json::json!({
        "effect": "permit",
        "principal": { "op": "All" },
        "action": { "op": "ErrorConstraint" },
        "resource": { "op": "All" },
        "conditions": [],
    });
    Policy::from_json(None, policy).is_ok()
}

fn evaluates(expression: &str) -> bool {
    let Ok(anyone) = EntityUid::from_str(r#"Probe::"""#) else {
        return false;
    };
    let request = Request::new(
        anyone.clone(),
        anyone.clone(),
        anyone,
        Context::empty(),
        None,
    );
    let (Ok(request), Ok(expression)) = (request, Expression::from_str(expression)) else {
        return false;
    };
    let result = cedar_policy::eval_expression(&request, &Entities::empty(), &expression);
    matches!(result, Ok(EvalResult::Bool(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These features are off in this workspace. Each probe was seen to find its feature in a build
    /// that had it on.
    #[test]
    fn the_language_is_the_one_we_know() {
        assert_eq!(probe_language(), Ok(()));
    }

    /// A probe that always fails would find nothing: what it evaluates must work but for the arity.
    #[test]
    fn the_arity_is_all_that_keeps_the_probe_from_evaluating() {
        assert!(evaluates(r#"ip("10.1.1.1").isInRange(ip("10.0.0.0/8"))"#));
    }

    #[test]
    fn the_error_names_the_feature_and_the_way_out() {
        let error = ProbeError {
            feature: "partial-eval",
        };
        assert_eq!(error.feature(), "partial-eval");
        assert!(error.to_string().contains("`partial-eval`"));
        assert!(error.to_string().contains("cargo tree"));
    }

    /// A new language version may mean new operators, other limits of nesting, other answers: when
    /// this fails, everything that was measured or read from Cedar's source is due for a check.
    #[test]
    fn the_language_version_is_pinned() {
        assert_eq!(cedar_policy::get_lang_version().to_string(), "4.6.0");
    }
}
