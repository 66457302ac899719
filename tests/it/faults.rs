//! What fails, fails closed: faults of what the host gives, and names that nobody knows.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use duramen::{Authorizer, Entity, EntityUpdate, Freshness, Outcome, Request};

const POLICIES: &str = r#"
    permit(principal, action == Action::"read", resource) when { principal.level > 1 };
"#;

fn request(action: &str) -> Request<'_> {
    Request::new(("User", "ann"), ("Action", action), ("Doc", "d"))
}

fn ann(level: i64) -> EntityUpdate {
    let attrs = std::collections::BTreeMap::from([("level", level)]);
    EntityUpdate::new().upsert(Entity::new(("User", "ann")).attrs(&attrs))
}

/// A writer unwinds with the lock in its hand, and a decision with borrowed memory: what is in force stays whole, and both
/// work again.
#[test]
fn a_clock_that_panics_allows_nothing_and_breaks_nothing() {
    let broken = Arc::new(AtomicBool::new(false));
    let clock = Arc::clone(&broken);
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .freshness(Freshness::new().max_entity_age(Duration::from_secs(60)))
        .clock(move || {
            assert!(!clock.load(Ordering::Relaxed), "the clock is broken");
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
        })
        .build()
        .unwrap();
    authorizer.update_entities(ann(2)).unwrap();
    assert!(authorizer.is_allowed(&request("read")));
    let version = authorizer.version();
    for _ in 0..3 {
        broken.store(true, Ordering::Relaxed);
        let decided = catch_unwind(AssertUnwindSafe(|| authorizer.is_allowed(&request("read"))));
        assert!(decided.is_err(), "there is no answer without the time");
        let updated = catch_unwind(AssertUnwindSafe(|| authorizer.update_entities(ann(0))));
        assert!(updated.is_err());
        let replaced = catch_unwind(AssertUnwindSafe(|| authorizer.replace_policies("")));
        assert!(replaced.is_err());
        broken.store(false, Ordering::Relaxed);
        assert_eq!(authorizer.version(), version);
        assert!(authorizer.is_allowed(&request("read")));
    }
    authorizer.update_entities(ann(0)).unwrap();
    assert!(!authorizer.is_allowed(&request("read")));
}

#[test]
fn an_action_that_nobody_knows_is_denied() {
    let authorizer = Authorizer::builder().policies(POLICIES).build().unwrap();
    authorizer.update_entities(ann(2)).unwrap();
    assert!(authorizer.is_allowed(&request("read")));
    for action in ["delete", "Read", "read ", ""] {
        let response = authorizer.is_authorized(&request(action)).to_owned();
        assert_eq!(response.outcome, Outcome::NoPermit, "{action:?}");
    }
    let validating = Authorizer::builder()
        .schema_str("entity User { level: Long }; entity Doc; action read appliesTo { principal: User, resource: Doc };")
        .validate_requests(true)
        .policies(POLICIES)
        .build()
        .unwrap();
    validating.update_entities(ann(2)).unwrap();
    assert!(validating.is_allowed(&request("read")));
    let response = validating.is_authorized(&request("delete")).to_owned();
    assert_eq!(response.outcome, Outcome::InvalidRequest);
}

#[test]
fn without_policies_everything_is_denied() {
    for authorizer in [
        Authorizer::builder().build().unwrap(),
        Authorizer::builder().policies("").build().unwrap(),
    ] {
        authorizer.update_entities(ann(9)).unwrap();
        let response = authorizer.is_authorized(&request("read")).to_owned();
        assert_eq!(response.outcome, Outcome::NoPermit);
    }
}

thread_local! {
    /// What is dropped when its thread ends: after what the thread has come by later, which is all that decisions keep there.
    static FAREWELL: RefCell<Option<Farewell>> = const { RefCell::new(None) };
}

struct Farewell(Authorizer, mpsc::Sender<bool>);

impl Drop for Farewell {
    fn drop(&mut self) {
        // A panic here would end the process.
        let decided = catch_unwind(AssertUnwindSafe(|| self.0.is_allowed(&request("read"))));
        let _ = self.1.send(decided.unwrap_or(false));
    }
}

#[test]
fn a_thread_that_ends_can_still_decide() {
    let authorizer = Authorizer::builder().policies(POLICIES).build().unwrap();
    authorizer.update_entities(ann(2)).unwrap();
    let (answer, answers) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        FAREWELL.set(Some(Farewell(authorizer.clone(), answer)));
        assert!(authorizer.is_allowed(&request("read")));
    });
    thread.join().unwrap();
    assert!(answers.recv().unwrap());
}
