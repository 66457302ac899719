use std::sync::Arc;

use crate::evidence::MemorySink;
use crate::{Authorizer, Request};

use super::*;

/// What one record needed is not kept for all, also when masks leave little of it; nor are policies and entities.
#[test]
fn places_keep_little() {
    let masks = Masks::new().path("context.token", Mask::Drop).unwrap();
    let sink = Arc::new(MaskSink::new(MemorySink::new(1), masks).unwrap());
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let decide = |token: &str, text: &str| {
        let context = format!(r#"{{ "token": "{token}", "text": "{text}" }}"#);
        let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
        assert!(authorizer.is_allowed(&request.context_json(&context)));
        sink.places.pop()
    };
    let (large, short) = ("x".repeat(20 * SMALL), "x");
    for (token, text) in [(&*large, &*large), (&large, short), (short, &large)] {
        assert!(decide(token, text).is_none());
    }
    let place = decide(short, short).expect("a small place is used again");
    assert!(place.slot.record(&place.slot.request()).is_none());
}
