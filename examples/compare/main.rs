//! What would I gain? Runs `cedar-policy` and Duramen side by side on scenarios of your own.
//!
//! ```text
//! cargo run --release --example compare -- [--json] [--validate] DIR...
//! ```
//!
//! A DIR holds `policies.cedar`, `entities.json` and `requests.json`, and may hold `schema.cedarschema` and
//! `links.json` (template links). A request is
//! `{"principal": {"type", "id"}, "action": …, "resource": …, "context": {…}}`, and may have the recorded
//! `decision`, `reasons` and `errors`. Policies are named by position: `policy0`, `policy1`, …
//!
//! First every answer of both engines is compared with the other's and with the recorded one. Then both are
//! timed in turn, round by round, in two modes:
//!
//! * `eval`: the request is built once (ours by `Authorizer::prepare`), only the decision is timed.
//! * `e2e`: uids from borrowed strings and the context from typed values at every call. Cedar gets its entity
//!   type names parsed beforehand, as an application would keep them.
//!
//! With `--validate` both engines hold each request against the schema: in `eval` when it is built, in `e2e` at every call.
//! Requests that are not valid are compared (neither engine may decide them) and not timed.
//!
//! Reported are the median over the rounds of the mean time of a decision, its ratio, heap allocations per
//! decision, and the 99th percentile of single calls less the cost of reading the clock, Cedar's and ours. Bias: one thread,
//! everything warm, requests in the order of the file.

mod counting;
mod measure;
mod scenario;
mod typed;

use std::path::PathBuf;
use std::process::ExitCode;

use measure::{Figures, Mode, measure};
use scenario::Scenario;

fn main() -> ExitCode {
    let (mut json, mut validate) = (false, false);
    let mut directories = Vec::new();
    for arg in std::env::args_os().skip(1) {
        if arg == "--json" {
            json = true;
        } else if arg == "--validate" {
            validate = true;
        } else {
            directories.push(PathBuf::from(arg));
        }
    }
    if directories.is_empty() {
        eprintln!("usage: compare [--json] [--validate] DIR...");
        return ExitCode::from(2);
    }
    if !json {
        println!(
            "{:<28} {:<5} {:>8} {:>10} {:>10} {:>10} {:>9} {:>7} {:>7} {:>10} {:>7}",
            "scenario",
            "mode",
            "requests",
            "mismatches",
            "cedar ns",
            "duramen ns",
            "ratio",
            "allocs",
            "allocs",
            "p99 ns",
            "p99 ns"
        );
    }
    let mut failed = false;
    for directory in directories {
        let mut scenario = match Scenario::load(&directory, validate) {
            Ok(scenario) => scenario,
            Err(error) => {
                eprintln!("{}: {error}", directory.display());
                failed = true;
                continue;
            }
        };
        let mismatches = measure::mismatches(&scenario);
        failed |= mismatches > 0;
        scenario.cases.retain(|case| case.cedar.is_some());
        if scenario.cases.is_empty() {
            eprintln!("{}: no request is valid", directory.display());
            failed = true;
            continue;
        }
        for mode in [Mode::Eval, Mode::EndToEnd] {
            let figures = measure(&scenario, mode);
            report(&scenario, mode, mismatches, &figures, json);
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn report(scenario: &Scenario, mode: Mode, mismatches: usize, figures: &Figures, json: bool) {
    let ratio = figures.cedar_ns / figures.duramen_ns;
    if json {
        println!(
            "{}",
            serde_json::json!({
                "scenario": scenario.name,
                "mode": mode.name(),
                "requests": scenario.cases.len(),
                "mismatches": mismatches,
                "cedar_ns": figures.cedar_ns,
                "duramen_ns": figures.duramen_ns,
                "ratio": ratio,
                "cedar_allocs": figures.cedar_allocs,
                "duramen_allocs": figures.duramen_allocs,
                "cedar_p99_ns": figures.cedar_p99_ns,
                "duramen_p99_ns": figures.duramen_p99_ns,
            })
        );
    } else {
        println!(
            "{:<28} {:<5} {:>8} {:>10} {:>10.0} {:>10.1} {:>8.1}x {:>7.0} {:>7.2} {:>10.0} {:>7.0}",
            scenario.name,
            mode.name(),
            scenario.cases.len(),
            mismatches,
            figures.cedar_ns,
            figures.duramen_ns,
            ratio,
            figures.cedar_allocs,
            figures.duramen_allocs,
            figures.cedar_p99_ns,
            figures.duramen_p99_ns
        );
    }
}
