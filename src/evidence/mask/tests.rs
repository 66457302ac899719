use std::sync::Arc;

use crate::evidence::MemorySink;
use crate::{Authorizer, Request};

use super::*;

/// What one record needed is not kept for all.
#[test]
fn places_stay_small() {
    let masks = Masks::new().path("context.token", Mask::Drop).unwrap();
    let sink = Arc::new(MaskSink::new(MemorySink::new(1), masks).unwrap());
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let text = "x".repeat(20 * SMALL);
    let context = format!(r#"{{ "token": "{text}", "text": "{text}" }}"#);
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(authorizer.is_allowed(&request.context_json(&context)));
    let place = sink.places.pop().unwrap();
    let copies = [&place.unmasked.context, &place.unmasked.inputs];
    let bytes = copies.map(Copied::bytes);
    assert!(bytes.iter().all(|bytes| *bytes <= SMALL), "{bytes:?}");
    assert!(place.slot.bytes() <= SMALL, "{}", place.slot.bytes());
}
