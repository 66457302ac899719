//! What grants are made of.

#![allow(clippy::unwrap_used, reason = "a failed assumption must fail the test")]

use std::time::{Duration, SystemTime};

use crate::authorizer::Authorizer;
use crate::id::EntityUidRef;
use crate::request::delegation::ChainBounds;
use crate::request::{Delegation, Request};

use super::Grant;
use super::basis::Basis;
use super::standing::Expiry;

/// Whoever shares a grant among threads must be able to.
const fn shared_by_threads<T: Send + Sync>() {}
const _: () = shared_by_threads::<Grant>();
const _: () = shared_by_threads::<super::GrantTable>();

#[test]
fn a_handle_and_what_it_shares_stay_small() {
    assert!(size_of::<Grant>() <= 24);
    assert!(size_of::<super::standing::Standing>() <= 128);
}

/// A piece that is cut anywhere is a request that cannot be understood, never another request.
#[test]
fn a_piece_that_is_not_whole_is_denied() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let context =
        r#"{ "a": ["x", { "b": { "__extn": { "fn": "ip", "arg": "10.0.0.1" } } }], "c": 1 }"#;
    let direct = Request::new(("User", "u"), ("Action", "a"), ("Doc", "d"))
        .context_json(context)
        .entities_json(
            r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "n": 1 }, "parents": [] }]"#,
        );
    let actors = [("Agent", "x"), ("Agent", "y")].map(EntityUidRef::from);
    let delegation = Delegation::new(&actors)
        .not_before(SystemTime::UNIX_EPOCH - Duration::from_nanos(1))
        .subject_as("subject");
    for request in [direct, direct.delegation(&delegation)] {
        cut_anywhere(&authorizer, request);
    }
}

fn cut_anywhere(authorizer: &Authorizer, request: Request<'_>) {
    let mut basis = None;
    let response = authorizer.decide_seen(&request, |seen| {
        _ = basis.get_or_insert_with(|| Basis::new(&request, &seen))
    });
    assert!(response.is_allowed());
    let whole = basis.unwrap();
    whole.with_request(|again| {
        assert!(authorizer.is_allowed(&again));
        let bounds = |request: Request<'_>| request.delegation.map(Delegation::bounds);
        assert_eq!(
            format!("{:?}", bounds(again)),
            format!("{:?}", bounds(request))
        );
    });
    for len in 0..whole.len() {
        let cut = whole.cut(len);
        cut.with_request(|request| {
            let response = authorizer.is_authorized(&request);
            assert!(
                response.request_error().is_some(),
                "{len} of {}",
                whole.len()
            );
        });
    }
}

#[test]
fn a_lifetime_beyond_all_clocks_never_ends() {
    let ancient = SystemTime::UNIX_EPOCH;
    let after = |lifetime| Expiry::of(Some(lifetime), ChainBounds::default(), || ancient).unwrap();
    let never = after(Duration::MAX);
    assert!(!never.is_over(ancient + Duration::from_secs(1 << 40)));
    let at_once = after(Duration::ZERO);
    assert!(at_once.is_over(ancient));
}
