//! What do policies cost? Deciding, loading, changing and linking them, each figure beside its threshold.
//!
//! ```text
//! cargo run --release --example scale -- [--json] [DIR...]
//! ```
//!
//! A DIR is a scenario as `compare` takes them. Without any, shapes are generated: flat, role-based and attribute-based
//! policies from 100 to 100,000, and template links. Thresholds hold for the scenarios they name.
//!
//! * `decide`: nanoseconds per decision of a prepared request, and how many times faster than `cedar-policy` in the
//!   same run. Answers are compared first, of a sample where Cedar takes long. What many policies cost beside few is
//!   measured in turns.
//! * `load`: the largest policy text, parsed by `cedar-policy` and loaded by Duramen, each in a process of its own:
//!   time, memory resident afterwards, peak.
//! * `update`: one policy added to or removed from the largest set: median, p99 and worst time, and what is allocated.
//! * `link`: time and memory of a template link.

#[allow(dead_code, reason = "shared with `compare`; each uses a part")]
#[path = "../compare/counting.rs"]
mod counting;
mod generate;
mod load;
#[allow(dead_code, reason = "shared with `compare`; each uses a part")]
#[path = "../compare/measure.rs"]
mod measure;
#[allow(dead_code, reason = "shared with `compare`; each uses a part")]
#[path = "../compare/scenario.rs"]
mod scenario;
mod turns;
#[path = "../compare/typed.rs"]
mod typed;
mod update;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use measure::{Mode, measure, mismatches};
use scenario::Scenario;
use turns::times_the_ns;

/// By scenario: how many times faster than `cedar-policy` a decision has to be.
const RATIOS: [(&str, f64); 4] = [
    ("flat-p1000", 2_000.0),
    ("links-10000", 30_000.0),
    ("rbac-p10000", 10_000.0),
    ("rbac-p100000", 25_000.0),
];

/// A figure, and what it must be.
pub(crate) struct Figure {
    pub(crate) of: String,
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) threshold: Option<Threshold>,
}

#[derive(Clone, Copy)]
pub(crate) enum Threshold {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(of: &str, what: &'static str, value: f64) -> Self {
        Self {
            of: of.to_owned(),
            what,
            value,
            threshold: None,
        }
    }

    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.threshold = Some(Threshold::AtMost(most));
        self
    }

    pub(crate) fn at_least(mut self, least: f64) -> Self {
        self.threshold = Some(Threshold::AtLeast(least));
        self
    }

    fn holds(&self) -> bool {
        match self.threshold {
            None => true,
            Some(Threshold::AtLeast(least)) => self.value >= least,
            Some(Threshold::AtMost(most)) => self.value <= most,
        }
    }

    fn print(&self, json: bool) {
        let Self {
            of, what, value, ..
        } = self;
        let (sign, bound) = match self.threshold {
            None => ("", None),
            Some(Threshold::AtLeast(least)) => (">=", Some(least)),
            Some(Threshold::AtMost(most)) => ("<=", Some(most)),
        };
        if json {
            let line = serde_json::json!({
                "of": of, "what": what, "value": value, "bound": sign, "threshold": bound, "holds": self.holds(),
            });
            println!("{line}");
            return;
        }
        let bound = bound.map_or_else(String::new, |bound| format!("{sign} {bound:.1}"));
        let verdict = match (self.threshold, self.holds()) {
            (None, _) => "",
            (_, true) => "ok",
            (_, false) => "MISSED",
        };
        println!("{of:<28} {what:<36} {value:>14.2}  {bound:>12}  {verdict}");
    }
}

fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == load::CHILD) {
        return load::child(&args[1..]);
    }
    let json = args.iter().any(|arg| arg == "--json");
    args.retain(|arg| arg != "--json");
    let directories: Vec<PathBuf> = args.into_iter().map(PathBuf::from).collect();
    match run(directories, json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every threshold holds.
fn run(mut directories: Vec<PathBuf>, json: bool) -> Result<bool, Box<dyn Error>> {
    let generated = generate::Generated::unless(!directories.is_empty())?;
    if let Some(generated) = &generated {
        directories.extend_from_slice(&generated.directories);
    }
    let mut all_hold = true;
    let mut report = |figure: Figure| {
        all_hold &= figure.holds();
        figure.print(json);
    };
    let size = |directory: &PathBuf| {
        std::fs::metadata(directory.join("policies.cedar")).map_or(0, |meta| meta.len())
    };
    directories.sort_by_key(size);
    if let Some(largest) = directories.last() {
        load::measure(largest, &mut report)?;
        update::measure(largest, &mut report)?;
        update::measure_links(&mut report)?;
    }
    for directory in &directories {
        decide(directory, &mut report)?;
    }
    for (few, many, what) in [
        ("flat-p100", "flat-p10000", "times the ns of flat-p100"),
        (
            "attributes-p100",
            "attributes-p10000",
            "times the ns of attributes-p100",
        ),
    ] {
        let named = |name: &str| directories.iter().find(|of| of.ends_with(name));
        if let (Some(few), Some(directory)) = (named(few), named(many)) {
            let (few, of_many) = (
                Scenario::load(few, false)?,
                Scenario::load(directory, false)?,
            );
            report(Figure::new(many, what, times_the_ns(&few, &of_many)).at_most(1.3));
        }
    }
    Ok(all_hold)
}

fn decide(directory: &Path, report: &mut impl FnMut(Figure)) -> Result<(), Box<dyn Error>> {
    let mut scenario = Scenario::load(directory, false)?;
    // Cedar takes milliseconds for each policy set of this size.
    let sample = if scenario.policies.policies().count() > 5_000 {
        20
    } else {
        scenario.cases.len()
    };
    let rest = scenario.cases.split_off(sample.min(scenario.cases.len()));
    let wrong = mismatches(&scenario);
    report(Figure::new(&scenario.name, "answers unlike Cedar's", wrong as f64).at_most(0.0));
    scenario.cases.extend(rest);
    let figures = measure(&scenario, Mode::Eval);
    let name = scenario.name.as_str();
    report(Figure::new(name, "ns a decision", figures.duramen_ns));
    report(Figure::new(name, "allocations a decision", figures.duramen_allocs).at_most(0.0));
    let mut ratio = Figure::new(
        name,
        "times faster than cedar-policy",
        figures.cedar_ns / figures.duramen_ns,
    );
    if let Some((_, least)) = RATIOS.iter().find(|(of, _)| *of == name) {
        ratio = ratio.at_least(*least);
    }
    report(ratio);
    Ok(())
}
