//! Which policies decide: the same from records and counted live.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use duramen::evidence::{DecisionRecord, DecisionSink, FanOut, MemorySink, SinkError, Wants};
use duramen::replay::{Usage, UsageSink};
use duramen::{Authorizer, Policies, Request};

const POLICIES: &str = r#"
    @id("view") @owner("docs") permit(principal, action == Action::"view", resource);
    @id("eve") @change("CR-12") forbid(principal == User::"eve", action, resource);
    @id("odd") permit(principal, action == Action::"odd", resource) when { principal.nope };
    @id("unused") permit(principal == User::"zoe", action, resource);
    @id("shared") permit(principal == ?principal, action, resource);
"#;

fn policies() -> Policies {
    Policies::new()
        .text(POLICIES)
        .ids_from_annotations()
        .link("shared", "bob", Some(("User", "bob").into()), None)
        .link("shared", "ann", Some(("User", "ann").into()), None)
}

fn ask(authorizer: &Authorizer, user: &str, action: &str) {
    let request = Request::new(("User", user), ("Action", action), ("Doc", "plan"));
    let _ = authorizer.is_authorized(&request);
}

#[test]
fn usage_is_the_same_live_and_from_records() {
    let memory = Arc::new(MemorySink::new(100));
    let live = Arc::new(UsageSink::new());
    let sink = FanOut::new()
        .sink(Arc::clone(&memory))
        .sink(Arc::clone(&live));
    let clock = std::sync::atomic::AtomicU64::new(0);
    let authorizer = Authorizer::builder()
        .policies(policies())
        .sink(sink)
        .clock(move || {
            let minutes = clock.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minutes)
        })
        .build()
        .unwrap();
    authorizer
        .set_shadow(r#"permit(principal == User::"zoe", action, resource);"#)
        .unwrap();
    ask(&authorizer, "ann", "view");
    ask(&authorizer, "eve", "view");
    std::thread::scope(|scope| {
        scope.spawn(|| ask(&authorizer, "bob", "odd"));
    });
    ask(&authorizer, "eve", "view");
    let mut read = Usage::new();
    for record in memory.records() {
        read.add(&record);
    }
    let report = read.report(&authorizer);
    assert_eq!(report, live.usage().report(&authorizer));
    // Records of several threads need not be in the order of their times.
    let mut backwards = Usage::new();
    for record in memory.records().iter().rev() {
        backwards.add(record);
    }
    assert_eq!(report, backwards.report(&authorizer));
    assert_eq!((report.decisions, report.lost), (4, 0));
    assert_eq!(report.since.as_deref(), Some("1970-01-01T00:00:00.000Z"));
    assert_eq!(report.until.as_deref(), Some("1970-01-01T00:03:00.000Z"));
    let of = |id: &str| {
        report
            .policies
            .iter()
            .find(|policy| policy.id.as_str() == id)
            .unwrap()
    };
    assert_eq!((of("view").decided, of("view").owner()), (1, Some("docs")));
    assert_eq!((of("eve").decided, of("eve").change()), (2, Some("CR-12")));
    assert_eq!(of("eve").last.as_deref(), Some("1970-01-01T00:03:00.000Z"));
    assert_eq!((of("odd").decided, of("odd").failed), (0, 1));
    assert_eq!((of("bob").decided, of("ann").decided), (1, 1));
    assert_eq!(of("bob").template.as_ref().unwrap().as_str(), "shared");
    let unused: Vec<_> = report.unused().map(|policy| policy.id.as_str()).collect();
    assert_eq!(unused, ["odd", "unused"]);
    // What has decided and is no more, one of many, and all.
    let update = duramen::PolicyUpdate::new().remove("eve");
    authorizer.update_policies(update).unwrap();
    let without = read.report(&authorizer);
    assert_eq!(without.policies.len(), report.policies.len() - 1);
    assert_eq!(without.gone.len(), 1);
    assert_eq!(
        (without.gone[0].id.as_str(), without.gone[0].decided),
        ("eve", 2)
    );
    authorizer
        .replace_policies("permit(principal, action, resource);")
        .unwrap();
    let report = read.report(&authorizer);
    let gone: Vec<_> = report
        .gone
        .iter()
        .map(|policy| policy.id.as_str())
        .collect();
    assert_eq!(gone, ["ann", "bob", "eve", "odd", "view"]);
    assert_eq!(report.unused().count(), 1);
}

/// Loses what is decided first.
struct LosesTheFirst<S>(S, std::sync::atomic::AtomicBool);

impl<S: DecisionSink> DecisionSink for LosesTheFirst<S> {
    fn wants(&self) -> Wants {
        self.0.wants()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        match self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
            false => Err(SinkError::new("lost, on purpose")),
            true => self.0.record(record),
        }
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.0.record_loss(lost)
    }
}

/// Told what is decided but the first, as records and as they come.
fn losing_the_first() -> (Authorizer, Arc<MemorySink>, Arc<UsageSink>) {
    let memory = Arc::new(MemorySink::new(100));
    let live = Arc::new(UsageSink::new());
    let sinks = FanOut::new()
        .sink(LosesTheFirst(Arc::clone(&memory), Default::default()))
        .sink(LosesTheFirst(Arc::clone(&live), Default::default()));
    let authorizer = Authorizer::builder()
        .policies(policies())
        .sink(sinks)
        .build()
        .unwrap();
    (authorizer, memory, live)
}

#[test]
fn what_was_lost_is_told() {
    let (authorizer, memory, live) = losing_the_first();
    for _ in 0..3 {
        ask(&authorizer, "ann", "view");
    }
    let mut read = Usage::new();
    memory.records().iter().for_each(|record| read.add(record));
    let report = read.report(&authorizer);
    assert_eq!((report.decisions, report.lost), (2, 1));
    assert_eq!(report, live.usage().report(&authorizer));
    let text = report.to_string();
    let last = report
        .policies
        .iter()
        .find_map(|policy| policy.last.as_deref());
    let last = last.unwrap();
    let row = format!(
        "\n{:<28} permit         2       0  {last}  docs           -\n",
        "view"
    );
    assert!(text.contains(&row), "{text}");
    assert!(
        text.ends_with("policies never decided, in 2 decisions\n1 more decisions have no record\n"),
        "{text}"
    );
}

/// The last losses no record tells.
#[test]
fn what_was_lost_last_is_told() {
    let live = Arc::new(UsageSink::new());
    let sinks = FanOut::new().sink(LosesTheFirst(Arc::clone(&live), Default::default()));
    let authorizer = Authorizer::builder()
        .policies(policies())
        .sink(sinks)
        .build()
        .unwrap();
    ask(&authorizer, "ann", "view");
    drop(authorizer);
    let authorizer = Authorizer::builder().policies(policies()).build().unwrap();
    let report = live.usage().report(&authorizer);
    assert_eq!((report.decisions, report.lost), (0, 1));
}

/// Records may be read from where anybody has written them.
#[test]
fn more_losses_than_can_be_counted_are_as_many_as_can() {
    let (authorizer, memory, _) = losing_the_first();
    ask(&authorizer, "ann", "view");
    ask(&authorizer, "ann", "view");
    let mut record = memory.records().remove(0);
    record.lost_before = u64::MAX;
    let mut read = Usage::new();
    read.add(&record);
    read.add(&record);
    assert_eq!(read.report(&authorizer).lost, u64::MAX);
}

/// The record of a shadow's decision may be the first to tell of a loss.
#[test]
fn what_was_lost_is_told_by_records_of_shadows_too() {
    let (authorizer, memory, live) = losing_the_first();
    authorizer
        .set_shadow(r#"permit(principal == User::"zoe", action, resource);"#)
        .unwrap();
    ask(&authorizer, "ann", "view");
    let mut read = Usage::new();
    memory.records().iter().for_each(|record| read.add(record));
    let report = read.report(&authorizer);
    assert_eq!((report.decisions, report.lost), (0, 1));
    assert_eq!(report, live.usage().report(&authorizer));
}

/// Threads count for themselves, and whichever decided last is the last.
#[test]
fn the_last_is_the_last_of_all_threads() {
    let live = Arc::new(UsageSink::new());
    let minutes = std::sync::atomic::AtomicU64::new(60);
    let authorizer = Authorizer::builder()
        .policies(policies())
        .sink(Arc::clone(&live))
        .clock(move || {
            let minutes = minutes.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minutes)
        })
        .build()
        .unwrap();
    for _ in 0..30 {
        std::thread::scope(|scope| {
            scope.spawn(|| ask(&authorizer, "ann", "view"));
        });
    }
    let report = live.usage().report(&authorizer);
    let view = &report.policies.iter().find(|policy| policy.decided > 0);
    let view = view.unwrap();
    assert_eq!((report.decisions, view.decided), (30, 30));
    assert_eq!(view.last, report.until);
    // The clock may be looked at when the authorizer is built.
    assert!(report.until > report.since, "{report:?}");
}

#[test]
fn memory_is_bounded() {
    let live = Arc::new(UsageSink::with_capacity(2));
    let authorizer = Authorizer::builder()
        .policies(policies())
        .sink(Arc::clone(&live))
        .build()
        .unwrap();
    for user in ["ann", "eve", "bob"] {
        ask(&authorizer, user, "view");
    }
    let report = live.usage().report(&authorizer);
    assert_eq!(report.decisions, 3);
    let told: u64 = report.policies.iter().map(|policy| policy.decided).sum();
    // Two permits for each but `eve`.
    assert_eq!(told + report.untold, 5);
    // All on one thread: `eve`, and one permit for `bob`.
    assert_eq!(report.untold, 2);
    // Who may be among them has not "never" decided.
    let text = report.to_string();
    let row = format!("\n{:<28} forbid         0       0  unknown  ", "eve");
    assert!(text.contains(&row), "{text}");
    assert!(!text.contains("never"), "{text}");
    let end = "4 of 6 policies are not known to have decided, in 3 decisions\n\
               2 times a policy decided or failed for which there was no room\n";
    assert!(text.ends_with(end), "{text}");
}
