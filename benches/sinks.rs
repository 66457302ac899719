//! What evidence costs the deciding thread, and what the log takes in the long run.
//!
//! Against no sink, in pairs: some hundred decisions without, as many with a sink, hundreds of times in turn, and of the
//! differences the median. What else the machine does comes and goes between two pairs and not within one. Criterion, which
//! measures one after the other, found anything from 140 to 520 ns for one queue on a machine that others share. Queues have
//! room for a burst and are emptied between two, without the clock: what is measured is the deciding thread, not the sink
//! behind the queue, which is slower. That it shares the machine with the thread behind the queue is in the figure.
//!
//! In the long run, records a second through a queue that waits (nothing is lost), beside the times of single decisions.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duramen::evidence::log::{DurableLog, LogOptions, SyncPolicy, verify};
use duramen::evidence::{Delivery, JsonLinesSink, MemorySink, NoSink, QueueSink};
use duramen::{Authorizer, Builder, Request, Session};
use support::{ENTITIES, check, request};

fn builder() -> Builder {
    Authorizer::builder()
        .policies("permit(principal, action, resource) when { context.mfa };")
        .entities(ENTITIES)
}

fn build(builder: Builder) -> Authorizer {
    builder.build().expect("the benchmark's policies are valid")
}

fn main() {
    // Nothing of this is worth its time as a test.
    if std::env::args().any(|word| word == "--bench") {
        pairs();
        sustained();
    }
}

/// What a decision takes more with a sink than without.
fn pairs() {
    let lines = || JsonLinesSink::new(std::io::sink());
    against_none("no_op", builder().sink(NoSink), || {});
    let sink = lines().without_inputs();
    against_none("json_lines_without_inputs", builder().sink(sink), || {});
    against_none("json_lines", builder().sink(lines()), || {});
    against_none("memory", builder().sink(MemorySink::new(16)), || {});
    let log = log("inline", SyncPolicy::Never).open();
    let log = log.expect("a directory to write to");
    against_none("log_unsynced", builder().sink(log), || {});
    let _ = std::fs::remove_dir_all(directory("inline"));
    for (name, sink) in [
        ("queue_without_inputs", lines().without_inputs()),
        ("queue", lines()),
    ] {
        let queue = Arc::new(QueueSink::new(sink).expect("a thread"));
        against_none(name, builder().sink(Arc::clone(&queue)), || {
            queue.flush().expect("a sink that takes everything");
        });
        assert_eq!(queue.lost(), 0);
    }
}

fn against_none(name: &str, with: Builder, between: impl Fn()) {
    const PAIRS: usize = 600;
    let (none, with) = (build(builder()), build(with));
    let (mut none, mut with) = (none.session(), with.session());
    let request = request();
    check(&mut none, &request, true);
    check(&mut with, &request, true);
    let (mut without, mut more) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        between();
        let none = burst(&mut none, &request);
        without.push(none);
        more.push(burst(&mut with, &request) - none);
    }
    without.sort_unstable_by(f64::total_cmp);
    more.sort_unstable_by(f64::total_cmp);
    let at = |times: &[f64], share: f64| times[(times.len() as f64 * share) as usize];
    println!(
        "pairs/{name}: {:+.0} ns, quartiles {:+.0} and {:+.0}; without a sink {:.0} ns",
        at(&more, 0.5),
        at(&more, 0.25),
        at(&more, 0.75),
        at(&without, 0.5),
    );
}

/// Nanoseconds of a decision, once caches are warm.
fn burst(session: &mut Session<'_>, request: &Request<'_>) -> f64 {
    const WARM: u32 = 100;
    const COUNT: u32 = 800;
    let mut decide = |count| {
        for _ in 0..count {
            std::hint::black_box(session.is_authorized(request).is_allowed());
        }
    };
    decide(WARM);
    let started = Instant::now();
    decide(COUNT);
    started.elapsed().as_nanos() as f64 / f64::from(COUNT)
}

fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("duramen-bench-{}-{name}", std::process::id()))
}

fn log(name: &str, sync: SyncPolicy) -> LogOptions {
    let directory = directory(name);
    let _ = std::fs::remove_dir_all(&directory);
    DurableLog::options(&directory).sync(sync)
}

/// Records a second in the long run, and what single decisions take meanwhile.
fn sustained() {
    const RECORDS: usize = 1_000_000;
    let large = SyncPolicy::Batch {
        records: 16_384,
        within: Duration::from_millis(100),
    };
    let decisions = |options: LogOptions| options.without_inputs();
    for (name, options) in [
        ("batch", log("batch", SyncPolicy::default())),
        ("large_batch", log("large_batch", large)),
        ("never", log("never", SyncPolicy::Never)),
        (
            "large_batch_without_inputs",
            decisions(log("large_batch_without_inputs", large)),
        ),
        (
            "never_without_inputs",
            decisions(log("never_without_inputs", SyncPolicy::Never)),
        ),
    ] {
        let sink = options.open().expect("a directory to write to");
        let queue = QueueSink::with_delivery(sink, 4096, Delivery::Block).expect("a thread");
        let queue = Arc::new(queue);
        let authorizer = build(builder().sink(Arc::clone(&queue)));
        let mut session = authorizer.session();
        let request = request();
        check(&mut session, &request, true);
        let mut times = Vec::with_capacity(RECORDS);
        let started = Instant::now();
        for _ in 1..RECORDS {
            let before = Instant::now();
            std::hint::black_box(session.is_authorized(&request).is_allowed());
            times.push(before.elapsed());
        }
        queue.flush().expect("a log that takes everything");
        let spent = started.elapsed();
        times.sort_unstable();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        let seen = verify(directory(name), None).expect("the log");
        assert!(seen.is_fine() && seen.decisions() == RECORDS as u64);
        println!(
            "sustained/{name}: {:.0} records/s, nothing lost; decisions: median {:?}, p99 {:?}, p99.9 {:?}",
            RECORDS as f64 / spent.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.999)
        );
        drop((authorizer, queue));
        let _ = std::fs::remove_dir_all(directory(name));
    }
}
