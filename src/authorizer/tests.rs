#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use crate::compile::EntityUpdate;
use crate::evidence::{DecisionRecord, SinkError};
use crate::grant::GrantTable;
use crate::request::Entity;

use super::*;

/// Counts decisions, and has what a writer has begun published when there are far too many.
#[derive(Default)]
struct Impatient {
    decisions: AtomicU64,
    authorizer: OnceLock<Authorizer>,
}

impl DecisionSink for Impatient {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if self.decisions.fetch_add(1, Ordering::Relaxed) == 100 {
            let update = EntityUpdate::new().upsert(Entity::new(("User", "other")));
            let _ = self.authorizer.get().unwrap().update_entities(update);
        }
        Ok(())
    }
}

/// A look at a grant of a table decides on what is in force and does not wait for a writer that is about to publish.
#[test]
fn a_look_does_not_wait_for_a_writer() {
    let sink = Arc::new(Impatient::default());
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let _ = sink.authorizer.set(authorizer.clone());
    let table = GrantTable::new(&authorizer);
    let request = Request::new(("User", "ann"), ("Action", "use"), ("Machine", "m"));
    let grant = table.grant(&request).unwrap();
    authorizer.inner.published.begin_to_publish();
    for looks in 1..4 {
        assert!(grant.is_current());
        // The grant's own, and one for each look: what is about to come may concern it.
        assert_eq!(sink.decisions.load(Ordering::Relaxed), 1 + looks);
    }
}

/// Tables that come and go where nothing changes leave nothing behind.
#[test]
fn tables_that_are_gone_are_forgotten() {
    let authorizer = Authorizer::builder().build().unwrap();
    let kept: Vec<_> = (0..20).map(|_| GrantTable::new(&authorizer)).collect();
    for _ in 0..1_000 {
        drop(GrantTable::new(&authorizer));
    }
    let known = authorizer.inner.watchers.count();
    assert!((kept.len()..3 * kept.len()).contains(&known), "{known}");
}

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
