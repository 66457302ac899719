//! The time in contexts, and data that is too old. The clock is the test's.

mod ages;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use duramen::evidence::{
    DecisionRecord, DecisionSink, MemorySink, OwnedRecord, QueueSink, SinkError, Wants,
};
use duramen::replay::{PolicyArchive, Replayed};
use duramen::values::Datetime;
use duramen::{
    Authorizer, Builder, DataSource, Entities, Entity, EntityUpdate, Freshness, FreshnessError,
    Outcome, Policies, PolicyUpdate, Request, RequestPart, Scratch, Search, SearchError,
};

/// Seconds since 1970, which the test moves.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

const START: i64 = 1_800_000_000;

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }

    pub(crate) fn now(&self) -> SystemTime {
        let seconds = self.0.load(Ordering::Relaxed);
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            SystemTime::UNIX_EPOCH - by
        } else {
            SystemTime::UNIX_EPOCH + by
        }
    }

    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    fn go(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn builder(&self) -> Builder {
        let clock = self.clone();
        Authorizer::builder().clock(move || clock.now())
    }
}

fn view() -> Request<'static> {
    Request::new(("User", "ann"), ("Action", "view"), ("Photo", "p1"))
}

/// The outcome of a request in every way to ask, which must be one.
#[track_caller]
fn outcome(authorizer: &Authorizer, request: &Request<'_>) -> Outcome {
    let outcome = authorizer.is_authorized(request).outcome();
    let allowed = outcome == Outcome::Allowed;
    let mut scratch = Scratch::new();
    let mut session = authorizer.session();
    let pinned = authorizer.pin();
    assert_eq!(authorizer.is_allowed(request), allowed);
    assert_eq!(pinned.is_allowed(request), allowed);
    assert_eq!(session.is_allowed(request), allowed);
    assert_eq!(session.is_authorized(request).outcome(), outcome);
    pinned.is_authorized_batch([request], |_, response| {
        assert_eq!(response.outcome(), outcome)
    });
    if let Ok(mut prepared) = authorizer.prepare(request) {
        let response = authorizer.is_authorized_prepared(&mut scratch, &mut prepared);
        assert_eq!(response.outcome(), outcome);
    }
    outcome
}

const OFFICE_HOURS: &str = r#"
    permit(principal, action, resource)
    when { context.now.toTime() >= duration("9h") && context.now.toTime() < duration("17h") };
"#;

/// Ten o'clock.
const MORNING: i64 = 1_800_000_000 - 1_800_000_000 % 86_400 + 10 * 3_600;

#[test]
fn the_time_is_in_every_context() {
    let clock = Clock::new();
    for validate in [false, true] {
        let authorizer = clock
            .builder()
            .schema_str(
                "entity User, Photo;
                 action view appliesTo { principal: User, resource: Photo,
                                         context: { now: datetime, mfa?: Bool } };",
            )
            .policies(OFFICE_HOURS)
            .context_time("now")
            .validate_requests(validate)
            .build()
            .unwrap();
        let (typed, json) = ([("mfa", true)], r#"{ "mfa": true }"#);
        let typed: std::collections::BTreeMap<_, _> = typed.into();
        let requests = [view(), view().context(&typed), view().context_json(json)];
        for (hour, expected) in [(0, Outcome::Allowed), (8, Outcome::NoPermit)] {
            clock.set(MORNING + hour * 3_600);
            for request in &requests {
                assert_eq!(outcome(&authorizer, request), expected);
            }
        }
    }
}

#[test]
fn what_is_kept_for_long_is_told_the_time_anew() {
    let clock = Clock::new();
    clock.set(MORNING);
    let builder = || clock.builder().policies(OFFICE_HOURS);
    let authorizer = builder().context_time("now").build().unwrap();
    let mut prepared = authorizer.prepare(&view()).unwrap();
    let (mut scratch, mut session, pinned) =
        (Scratch::new(), authorizer.session(), authorizer.pin());
    for (hour, expected) in [(10, true), (18, false), (24 + 9, true), (24 + 17, false)] {
        clock.set(MORNING + (hour - 10) * 3_600);
        let response = authorizer.is_authorized_prepared(&mut scratch, &mut prepared);
        assert_eq!(response.is_allowed(), expected);
        drop(response);
        let response = session.is_authorized_prepared(&mut prepared);
        assert_eq!(response.is_allowed(), expected);
        assert_eq!(
            response.explain(&view()).policies.len(),
            authorizer.policy_count()
        );
        let explained = authorizer.explain(&view()).outcome;
        assert_eq!(explained == Outcome::Allowed, expected);
        assert_eq!(pinned.is_allowed(&view()), expected);
        let found = pinned.search(&Search::actions(("User", "ann"), ("Photo", "p1")));
        let of_policy: usize = found.unwrap().count();
        assert_eq!(of_policy, 0, "no policy and no entity names an action");
        // Another policy, so that everything is looked up again.
        let update = PolicyUpdate::new().add(
            format!("p{hour}"),
            "forbid(principal, action, resource) when { context.later };",
        );
        authorizer.update_policies(update).unwrap();
    }
    // Another authorizer tells it by another name, or not at all.
    clock.set(MORNING);
    let later =
        r#"permit(principal, action, resource) when { context has later && !(context has now) };"#;
    let other = clock
        .builder()
        .policies(later)
        .context_time("later")
        .build()
        .unwrap();
    let mut session = other.session();
    assert!(session.is_authorized_prepared(&mut prepared).is_allowed());
    let none = r#"permit(principal, action, resource) when { context == {} };"#;
    let without = clock.builder().policies(none).build().unwrap();
    assert!(
        without
            .is_authorized_prepared(&mut scratch, &mut prepared)
            .is_allowed()
    );
}

#[test]
fn searches_know_the_time() {
    let clock = Clock::new();
    let authorizer = clock
        .builder()
        .policies(OFFICE_HOURS)
        .entities(
            Entities::new()
                .insert(Entity::new(("Photo", "p1")))
                .insert(Entity::new(("Action", "view"))),
        )
        .context_time("now")
        .build()
        .unwrap();
    for (hour, found) in [(0, 1), (9, 0)] {
        clock.set(MORNING + hour * 3_600);
        let pinned = authorizer.pin();
        let photos = Search::resources(("User", "ann"), ("Action", "view"), "Photo");
        assert_eq!(pinned.search(&photos).unwrap().count(), found);
        let actions = Search::actions(("User", "ann"), ("Photo", "p1"));
        assert_eq!(pinned.search(&actions).unwrap().count(), found);
    }
}

#[test]
fn a_request_cannot_say_what_time_it_is() {
    let clock = Clock::new();
    clock.set(MORNING + 10 * 3_600);
    let policies = [OFFICE_HOURS, "permit(principal, action, resource);"];
    for policies in policies {
        let authorizer = clock
            .builder()
            .policies(policies)
            .context_time("now")
            .build()
            .unwrap();
        let typed: std::collections::BTreeMap<_, _> =
            [("now", Datetime::from_millis(MORNING * 1_000))].into();
        let json = r#"{ "now": { "__extn": { "fn": "datetime", "arg": "2027-01-15" } } }"#;
        for request in [view().context(&typed), view().context_json(json)] {
            assert_eq!(outcome(&authorizer, &request), Outcome::InvalidRequest);
            let error = authorizer.prepare(&request).unwrap_err();
            let response = authorizer.is_authorized(&request);
            assert_eq!(response.request_error(), Some(&error));
            assert_eq!(error.part(), RequestPart::Context);
            assert!(error.message().contains("`now`"), "{error}");
        }
    }
}

#[test]
fn a_clock_that_no_datetime_can_say_denies() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60))
        .context_time("now")
        .build()
        .unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::InvalidRequest);
}

#[test]
fn records_with_the_time_are_decided_again() {
    let clock = Clock::new();
    let sink = Arc::new(MemorySink::new(100));
    let directory = crate::evidence::Scratch::new();
    let authorizer = clock
        .builder()
        .policies(OFFICE_HOURS)
        .context_time("now")
        .freshness(
            Freshness::new()
                .max_policy_age(Duration::from_secs(3_600 * 12))
                .max_age_of_type("User", Duration::from_secs(60)),
        )
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    archive.keep(&authorizer).unwrap();
    for hour in [0, 8, 30] {
        clock.set(MORNING + hour * 3_600);
        outcome(&authorizer, &view());
    }
    let policies = archive.load(authorizer.version().policies()).unwrap();
    let records = sink.records();
    let stale = records
        .iter()
        .filter(|record| record.outcome == Outcome::StaleEntities);
    assert!(stale.count() > 0);
    for record in &records {
        let now = record.context.as_ref().unwrap()["now"]["__extn"]["arg"].as_str();
        assert_eq!(now, record.time.as_deref());
        let replayed = policies.replay(record);
        assert!(replayed.is_same(), "{record:?} {replayed:?}");
        // What was said all the same is checked, too.
        let mut forged: OwnedRecord = record.clone();
        forged.determining.clear();
        let is_same = policies.replay(&forged).is_same();
        assert!(record.determining.is_empty() || !is_same);
    }
    assert!(!matches!(
        policies.replay(&records[0]),
        Replayed::NotReplayable(_)
    ));
}
