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
    assert_eq!(shared(&guard.repeat(4), all), 1);
    assert_eq!(shared(&guard.repeat(3), all), 0);
    assert_eq!(
        shared(&guard.repeat(4), all.with_shared_expressions(false)),
        0
    );
    // The same to a computer, not to a reader: constants and patterns are compared by what they are.
    let sets = "permit(principal, action, resource) when { [1, 2].contains(context.n) };\
                permit(principal, action, resource) when { [2, 1, 2].contains(context.n) };";
    assert_eq!(shared(&sets.repeat(2), all), 1);
    // A single node pays later.
    let single = "permit(principal, action, resource) when { context.on };";
    assert_eq!(shared(&single.repeat(5), all), 0);
    assert_eq!(shared(&single.repeat(6), all), 1);
    // However much is in common, what a decision clears is bounded.
    let many: String = (0..100)
        .map(|i| {
            format!("permit(principal, action, resource) when {{ context.n == {i} }};").repeat(4)
        })
        .collect();
    assert_eq!(shared(&many, all), 64);
}
