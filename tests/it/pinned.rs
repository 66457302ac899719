//! Deciding on one epoch: batches, and prepared requests that know later names.

use std::sync::Arc;

use duramen::evidence::MemorySink;
use duramen::{Authorizer, Entity, EntityUpdate, Outcome, Request, Scratch};
use proptest::prelude::*;

use super::generate::{Tape, config, tape};
use super::oracle::{Answer, ours, reproduction};

fn view(user: &str) -> Request<'_> {
    Request::new(("User", user), ("Action", "view"), ("Doc", "d"))
}

#[test]
fn a_batch_keeps_order_and_epoch_and_leaves_records() {
    let sink = Arc::new(MemorySink::new(100));
    let authorizer = Authorizer::builder()
        .policies(r#"permit(principal == User::"u1", action, resource);"#)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let pinned = authorizer.pin();
    let version = pinned.version();
    let users = ["u0", "u1", "u2", "u1"];
    let requests = users.map(|user| view(user).request_id(user));
    let mut allowed = Vec::new();
    pinned.is_authorized_batch(requests, |at, response| {
        // Replacing in the middle of a batch is legal, and what comes after is still decided on what was pinned.
        authorizer
            .replace_policies("forbid(principal, action, resource);")
            .unwrap();
        assert_eq!(response.version(), version);
        allowed.push((at, response.is_allowed()));
    });
    assert_eq!(allowed, [(0, false), (1, true), (2, false), (3, true)]);
    assert!(!authorizer.is_allowed(&view("u1")));
    assert_eq!(authorizer.version().epoch(), 5);
    assert!(pinned.is_allowed(&view("u1")) && !pinned.is_allowed(&view("u2")));
    assert_eq!(pinned.version(), version);
    // One record each, and one for each single question since.
    let records = sink.records();
    let ids: Vec<_> = records
        .iter()
        .map(|record| record.request_id.as_deref())
        .collect();
    let expected: Vec<_> = users.iter().copied().map(Some).collect();
    assert_eq!(ids[..4], expected);
    assert_eq!(records.len(), 7);
    assert_eq!(records[3].outcome, Outcome::Allowed);
    assert_eq!(records[6].version.epoch(), 1);
}

#[test]
fn a_pin_outlives_the_authorizer_and_crosses_threads() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let pinned = authorizer.pin();
    drop(authorizer);
    let clone = pinned.clone();
    let other = std::thread::spawn(move || clone.is_allowed(&view("anybody")));
    assert!(other.join().unwrap() && pinned.is_allowed(&view("anybody")));
}

/// A request that was looked up in a later epoch has numbers that an earlier one gives to nothing.
#[test]
fn a_prepared_request_goes_back_to_an_earlier_epoch() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal is User, action, resource is Doc);")
        .build()
        .unwrap();
    let earlier = authorizer.pin();
    let mut prepared = authorizer.prepare(&view("new")).unwrap();
    let update = EntityUpdate::new()
        .upsert(Entity::new(("User", "new")))
        .upsert(Entity::new(("Doc", "d")));
    authorizer.update_entities(update).unwrap();
    let mut scratch = Scratch::new();
    let mut allowed = |pinned: &duramen::Pinned| {
        pinned
            .is_authorized_prepared(&mut scratch, &mut prepared)
            .is_allowed()
    };
    let later = authorizer.pin();
    assert!(allowed(&later) && allowed(&earlier) && allowed(&later));
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_batch_answers_as_one_by_one(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let Ok(authorizer) = world.builder().build() else { return Ok(()) };
        // Requests borrow from what `with_request` holds, so that each ask is a batch of itself several times over.
        for ask in &asks {
            ask.with_request(|request| {
                let expected = ours(&authorizer.is_authorized(request));
                let mut found: Vec<Answer> = Vec::new();
                let other = Request::new(("User", "ghost"), ("Action", "ghost"), ("Doc", "ghost"));
                let between = ours(&authorizer.is_authorized(&other));
                authorizer.pin().is_authorized_batch([request, &other, request], |_, response| found.push(ours(&response)));
                prop_assert_eq!(found, [expected.clone(), between, expected], "{}", reproduction(&world, Some(ask), "batch"));
                Ok(())
            })?;
        }
    }
}
