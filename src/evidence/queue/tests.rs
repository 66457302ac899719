//! What a queue keeps in memory that has nothing to do, and what it says of its sink's failures.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::super::JsonLinesSink;
use super::slot::SMALL;
use super::*;
use crate::{Authorizer, Request};

fn queue(capacity: usize, delivery: Delivery) -> (Arc<QueueSink>, Authorizer) {
    let sink = JsonLinesSink::new(std::io::sink());
    let queue = QueueSink::with_delivery(sink, capacity, delivery);
    let queue = Arc::new(queue.unwrap());
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(Arc::clone(&queue))
        .build()
        .unwrap();
    (queue, authorizer)
}

fn request() -> Request<'static> {
    Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"))
}

/// Every slot there is. None may be in use.
fn slots(queue: &QueueSink) -> Vec<Slot> {
    std::iter::from_fn(|| queue.shared.free.pop()).collect()
}

#[test]
fn an_idle_queue_lets_go_of_what_was_replaced() {
    let (queue, authorizer) = queue(300, Delivery::Block);
    for _ in 0..1000 {
        assert!(authorizer.is_allowed(&request()));
    }
    queue.flush().unwrap();
    let replaced = Arc::downgrade(&authorizer.epoch());
    authorizer
        .replace_policies("forbid(principal, action, resource);")
        .unwrap();
    assert!(!authorizer.is_allowed(&request()));
    // The writers keep one that was in use when it was replaced, until the next replacement.
    let began = Instant::now();
    while Weak::strong_count(&replaced) > 1 {
        assert!(began.elapsed() < Duration::from_secs(20), "still there");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(slots(&queue).len(), 300, "all slots are there");
}

#[test]
fn large_records_leave_no_large_slots() {
    let (queue, authorizer) = queue(50, Delivery::Block);
    let long = "x".repeat(4 * SMALL);
    let context = std::collections::BTreeMap::from([("long", &long)]);
    for _ in 0..100 {
        assert!(authorizer.is_allowed(&request().context(&context)));
        assert!(authorizer.is_allowed(&request()));
    }
    queue.flush().unwrap();
    assert_eq!(queue.shared.large.load(Ordering::Relaxed), 0);
    let slots = slots(&queue);
    assert_eq!(slots.len(), 50);
    let largest = slots.iter().map(|slot| slot.capacity()).max();
    assert!(largest <= Some(SMALL), "{largest:?} bytes");
}

/// Nor does one for which there is no room, or that does not wait.
#[test]
fn a_large_record_that_does_not_wait_leaves_no_large_slot() {
    for delivery in [Delivery::CountLoss, Delivery::DenyIfNotKept] {
        let (queue, authorizer) = queue(4, delivery);
        queue.shared.large.store(LARGE_BYTES, Ordering::Relaxed);
        let long = "x".repeat(4 * SMALL);
        let context = std::collections::BTreeMap::from([("long", &long)]);
        for _ in 0..10 {
            assert!(authorizer.is_allowed(&request().context(&context)));
        }
        queue.shared.large.store(0, Ordering::Relaxed);
        let slots = slots(&queue);
        assert_eq!(slots.len(), 4);
        assert!(slots.iter().all(|slot| slot.capacity() <= SMALL));
    }
}

/// Whoever flushes is told why it failed, and not that it did.
#[test]
fn a_flush_that_fails_says_why() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::Error::other("no room on the tape"))
        }
    }
    let queue = QueueSink::new(JsonLinesSink::new(Full)).unwrap();
    let error = queue.flush().unwrap_err().to_string();
    assert!(error.contains("no room on the tape"), "{error}");
}
