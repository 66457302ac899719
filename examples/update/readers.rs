//! Readers beside a writer, and beside each other.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use duramen::Authorizer;

use super::{Figure, at_most, median, upsert, world};

/// The 99th percentile of one reader's decisions, with and without a writer at 10,000 upserts a second.
pub(crate) fn while_writing(authorizer: &Authorizer, size: usize) -> Vec<Figure> {
    let mut ratios = Vec::new();
    for run in 0..5 {
        let alone = p99(authorizer, size);
        let (stop, mut written) = (AtomicBool::new(false), 0);
        let beside = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(authorizer, &stop));
            let beside = p99(authorizer, size);
            stop.store(true, Ordering::Relaxed);
            written = writer.join().unwrap_or(0);
            beside
        });
        eprintln!(
            "run {run}: p99 {alone:.0} ns alone, {beside:.0} ns beside a writer that made {written} upserts"
        );
        ratios.push(beside / alone);
    }
    vec![at_most(
        "p99 of a reader beside 10,000 upserts a second, by alone",
        median(ratios),
        2.0,
        "×",
    )]
}

fn p99(authorizer: &Authorizer, size: usize) -> f64 {
    let mut session = authorizer.session();
    let mut times = Vec::with_capacity(300_000);
    let end = Instant::now() + Duration::from_secs(2);
    let mut i = 0;
    while Instant::now() < end && times.len() < times.capacity() {
        i += 1;
        world::with_request(i, size, |request| {
            let started = Instant::now();
            std::hint::black_box(session.is_allowed(request));
            times.push(started.elapsed().as_nanos() as f64);
        });
    }
    times.sort_by(f64::total_cmp);
    times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Upserts at 10,000 a second, or as many as there is time for.
fn write(authorizer: &Authorizer, stop: &AtomicBool) -> u32 {
    let started = Instant::now();
    let mut made = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        upsert(
            authorizer,
            &format!("u{}", made % 5_000 * 2),
            i64::from(made % 7),
        );
        made += 1;
        let due = started + Duration::from_micros(100) * made;
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
    }
    made
}

const SIZE: usize = 10_000;
const SECONDS: u64 = 2;

/// What two threads decide in a while, by what two processes decide.
pub(crate) fn two_threads() -> Vec<Figure> {
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let authorizer = world::authorizer(SIZE);
        let threads: u64 = std::thread::scope(|scope| {
            let readers = [(); 2].map(|()| scope.spawn(|| count(&authorizer)));
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap_or(0))
                .sum()
        });
        let processes: u64 = [(); 2]
            .map(|()| {
                Command::new(std::env::current_exe().unwrap())
                    .arg("--reader")
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                text.parse::<u64>().unwrap()
            })
            .sum();
        ratios.push(threads as f64 / processes as f64);
    }
    vec![Figure {
        what: "two reader threads, by two processes".to_owned(),
        found: median(ratios),
        threshold: 0.95,
        at_least: true,
        unit: "×",
    }]
}

/// Decisions of one reader in a process of its own.
pub(crate) fn count_alone() -> u64 {
    count(&world::authorizer(SIZE))
}

fn count(authorizer: &Authorizer) -> u64 {
    let mut session = authorizer.session();
    let mut prepared: Vec<_> = (0..1_000)
        .map(|i| world::with_request(i, SIZE, |request| authorizer.prepare(request).unwrap()))
        .collect();
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let mut decided = 0;
    while Instant::now() < end {
        for request in &mut prepared {
            std::hint::black_box(session.is_authorized_prepared(request).is_allowed());
            decided += 1;
        }
    }
    decided
}
