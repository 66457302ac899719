#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// How many expressions the compiled policies share.
fn shared(policies: &str, tuning: Tuning) -> usize {
    let authorizer = Authorizer::builder()
        .policies(policies)
        .tuning(tuning)
        .build()
        .unwrap();
    authorizer.inner.published.pin().segments[0].program.shared
}

#[test]
fn expressions_in_common_are_shared() {
    let guard = "permit(principal, action, resource) when { context.device.os like \"mac*\" };";
    let all = Tuning::default();
    // The outermost expression alone: what is in it is asked for once.
    assert_eq!(shared(&guard.repeat(5), all), 1);
    assert_eq!(shared(&guard.repeat(2), all), 0);
    assert_eq!(
        shared(&guard.repeat(5), all.with_shared_expressions(false)),
        0
    );
    // The same to a computer, not to a reader: constants and patterns are compared by what they are.
    let sets = "permit(principal, action, resource) when { [1, 2].contains(context.n) };\
                permit(principal, action, resource) when { [2, 1, 2].contains(context.n) };";
    assert_eq!(shared(&sets.repeat(3), all), 1);
    // An attribute of a variable pays sooner.
    let single = "permit(principal, action, resource) when { context.on };";
    assert_eq!(shared(&single.repeat(2), all), 0);
    assert_eq!(shared(&single.repeat(3), all), 1);
    // A comparison costs no more than the look at what it came to.
    let comparison = "permit(principal, action, resource) when { context.n == 1 };";
    assert_eq!(shared(&comparison.repeat(2), all), 0);
    // However much is in common, what a decision clears is bounded.
    let many: String = (0..100)
        .map(|i| {
            format!("permit(principal, action, resource) when {{ context.n like \"*{i}\" }};")
                .repeat(5)
        })
        .collect();
    assert_eq!(shared(&many, all), 64);
}
