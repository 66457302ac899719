//! Both engines on worlds made from seeds, many requests of each, for as long as it is let.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml --features plain --bin differential -- --seconds 3600 --threads 2
//! ```
//!
//! With `--schemas` worlds have a schema, and everything but that changes between requests. With `--crowded` all have hundreds
//! of policies, which otherwise one in thirty-two has.
//!
//! Without coverage it is a hundred times as fast as the fuzz target `decide`, and blind: it tries what the generator
//! makes, and does not look for new paths. A finding prints a program that shows it and its seed; the seed goes to
//! `regressions/differential`, which `cargo test` reads.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::it::many::{self, Counts};
use crate::it::schemas;

/// Requests of a world.
const OF_A_WORLD: u64 = 1_200;

/// Requests of a world with a schema. Each is read by its types, which costs Cedar more than a world does.
const OF_A_SCHEMA: u64 = 400;

/// How often it says how far it is.
const EVERY: Duration = Duration::from_secs(60);

/// The runner.
pub fn main() -> ExitCode {
    let [mut from, mut seconds, mut requests, mut threads] = [0, u64::MAX, u64::MAX, 1];
    let (mut with_schemas, mut crowded) = (false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let target = match arg.as_str() {
            "--schemas" => {
                with_schemas = true;
                continue;
            }
            "--crowded" => {
                crowded = true;
                continue;
            }
            "--from" => &mut from,
            "--seconds" => &mut seconds,
            "--requests" => &mut requests,
            "--threads" => &mut threads,
            _ => return usage(),
        };
        match args.next().and_then(|text| text.parse().ok()) {
            Some(number) => *target = number,
            None => return usage(),
        }
    }

    let begin = Instant::now();
    let next = AtomicU64::new(from);
    let progress = Mutex::new((Counts::default(), begin));
    let findings = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let mut counts = Counts::default();
                    let result = match (with_schemas, crowded) {
                        (true, _) => schemas::seed_agrees(seed, OF_A_SCHEMA, &mut counts),
                        (_, true) => {
                            let seed = many::crowded_seed(seed);
                            many::seed_agrees(seed, OF_A_WORLD, &mut counts)
                        }
                        _ => many::seed_agrees(seed, OF_A_WORLD, &mut counts),
                    };
                    if let Err(error) = result {
                        findings.fetch_add(1, Ordering::Relaxed);
                        println!("FINDING: seed {seed}\n{error}");
                    }
                    let mut progress = progress.lock().unwrap();
                    add(&mut progress.0, &counts);
                    if progress.1.elapsed() > EVERY {
                        progress.1 = Instant::now();
                        println!("{}", line(&progress.0, begin.elapsed()));
                    }
                    if begin.elapsed().as_secs() >= seconds || progress.0.requests >= requests {
                        return;
                    }
                }
            });
        }
    });
    let (counts, _) = progress.into_inner().unwrap();
    let (findings, next) = (findings.into_inner(), next.into_inner());
    println!("{}", line(&counts, begin.elapsed()));
    println!("{counts:#?}");
    println!("seeds {from} to {}, {findings} findings", next - 1);
    if findings == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "differential [--schemas | --crowded] [--from SEED] [--seconds N] [--requests N] [--threads N]"
    );
    ExitCode::from(2)
}

/// How far it is.
fn line(counts: &Counts, elapsed: Duration) -> String {
    let Counts {
        worlds,
        updates,
        requests,
        allowed,
        failing,
        ..
    } = counts;
    let seconds = elapsed.as_secs_f64();
    let rate = *requests as f64 / seconds;
    format!(
        "{requests} requests of {worlds} worlds and {updates} updates; {allowed} allowed, {failing} with policies that \
         fail; {seconds:.0} s, {rate:.0} requests/s"
    )
}

fn add(sum: &mut Counts, counts: &Counts) {
    sum.worlds += counts.worlds;
    sum.crowded += counts.crowded;
    sum.refused += counts.refused;
    sum.updates += counts.updates;
    sum.requests += counts.requests;
    sum.overlays += counts.overlays;
    sum.allowed += counts.allowed;
    sum.denied += counts.denied;
    sum.invalid += counts.invalid;
    sum.failing += counts.failing;
    sum.several += counts.several;
    sum.ended += counts.ended;
    for (kind, count) in &counts.kinds {
        *sum.kinds.entry(*kind).or_default() += count;
    }
}
