//! What evidence costs the deciding thread: no sink first, then the sink that wants nothing, then the others.
//!
//! Queues are measured in bursts that they have room for, and emptied between those, without the clock: what is measured
//! is the deciding thread, not the sink behind the queue, which is slower. That it shares the machine with the thread
//! behind the queue is in the figure. What the log takes in the long run is another measurement, printed before the others:
//! records a second through a queue that waits (nothing is lost), beside the times of single decisions.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use duramen::evidence::log::{DurableLog, LogOptions, SyncPolicy, verify};
use duramen::evidence::{Delivery, JsonLinesSink, MemorySink, NoSink, QueueSink};
use duramen::{Authorizer, Builder};
use support::{ENTITIES, check, request};

fn builder() -> Builder {
    Authorizer::builder()
        .policies("permit(principal, action, resource) when { context.mfa };")
        .entities(ENTITIES)
}

fn build(builder: Builder) -> Authorizer {
    builder.build().expect("the benchmark's policies are valid")
}

fn sinks(c: &mut Criterion) {
    let mut group = c.benchmark_group("sinks");
    for (name, builder) in [
        ("none", builder()),
        ("no_op", builder().sink(NoSink)),
        (
            "json_lines_without_inputs",
            builder().sink(JsonLinesSink::new(std::io::sink()).without_inputs()),
        ),
        (
            "json_lines",
            builder().sink(JsonLinesSink::new(std::io::sink())),
        ),
        ("memory", builder().sink(MemorySink::new(16))),
        (
            "log_unsynced",
            builder().sink(
                log("inline", SyncPolicy::Never)
                    .open()
                    .expect("a directory to write to"),
            ),
        ),
    ] {
        let authorizer = build(builder);
        let mut session = authorizer.session();
        let request = request();
        check(&mut session, &request, true);
        group.bench_function(name, |b| {
            b.iter(|| session.is_authorized(&request).is_allowed());
        });
    }
    group.finish();
}

/// Decisions between two that the clock does not see.
const BURST: u64 = 2_000;

fn queues(c: &mut Criterion) {
    let mut group = c.benchmark_group("queues");
    for (name, sink) in [
        (
            "without_inputs",
            JsonLinesSink::new(std::io::sink()).without_inputs(),
        ),
        ("with_inputs", JsonLinesSink::new(std::io::sink())),
    ] {
        let queue = Arc::new(QueueSink::new(sink).expect("a thread"));
        let authorizer = build(builder().sink(Arc::clone(&queue)));
        let mut session = authorizer.session();
        let request = request();
        check(&mut session, &request, true);
        group.bench_function(name, |b| {
            b.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                let mut left = count;
                while left > 0 {
                    let burst = left.min(BURST);
                    let started = Instant::now();
                    for _ in 0..burst {
                        std::hint::black_box(session.is_authorized(&request).is_allowed());
                    }
                    spent += started.elapsed();
                    left -= burst;
                    queue.flush().expect("a sink that takes everything");
                }
                spent
            });
        });
        assert_eq!(queue.lost(), 0);
    }
    group.finish();
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
fn sustained(_: &mut Criterion) {
    const RECORDS: usize = 1_000_000;
    // A criterion benchmark repeats what it measures; this is about the long run.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
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

criterion_group!(benches, sustained, sinks, queues);
criterion_main!(benches);
