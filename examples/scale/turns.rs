//! Two scenarios measured in turns.

use crate::measure::{ROUNDS, calls_per_round, decide_prepared, median, per_call, prepared};
use crate::scenario::Scenario;

/// How many times the nanoseconds of a prepared decision of `few` one of `many` takes. Rounds of the two take turns and each is
/// compared with the one before it: measured minutes apart, the same decision takes 80 ns or 150 on a machine that others
/// use too.
pub(crate) fn times_the_ns(few: &Scenario, many: &Scenario) -> f64 {
    let mut few = rounds(few);
    let mut many = rounds(many);
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let few = few();
            many() / few
        })
        .collect();
    median(&mut ratios)
}

/// Each call is a round of prepared decisions: nanoseconds per decision.
fn rounds(scenario: &Scenario) -> impl FnMut() -> f64 {
    let mut session = scenario.authorizer.session();
    let mut prepared = prepared(scenario);
    let mut decide = move |number: usize| {
        let at = number % prepared.len();
        decide_prepared(&mut session, &mut prepared[at]);
    };
    (0..2 * scenario.cases.len()).for_each(&mut decide);
    let calls = calls_per_round(&mut decide);
    move || per_call(0..calls, &mut decide)
}
