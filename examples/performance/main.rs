//! Puts what the benchmarks have measured into `docs/performance.md`: tables between its marks, and plots beside it.
//!
//! ```text
//! cargo bench --bench scale --bench update
//! cargo run --release --example performance
//! ```
//!
//! A table stands between `<!-- figures: GROUP -->` and `<!-- end -->`, where GROUP is a criterion group; what is there is
//! replaced. What has not been measured is left as it is, and said.

mod measured;
mod plot;

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use measured::{Group, Measured};
use plot::{Plot, Series};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("performance: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let measured = Measured::read(&target.join("criterion"))?;
    let page = root.join("docs/performance.md");
    let text = std::fs::read_to_string(&page)?;
    std::fs::write(&page, with_tables(&text, &measured)?)?;
    for (name, plot) in plots(&measured) {
        let path = root.join("docs/performance").join(name);
        match plot.svg() {
            Some(svg) => std::fs::write(&path, svg)?,
            None => eprintln!("{name}: nothing was measured for it; left as it is"),
        }
    }
    Ok(())
}

const BEGIN: &str = "<!-- figures: ";
const END: &str = "<!-- end -->";

/// The page with its tables replaced.
fn with_tables(page: &str, measured: &Measured) -> Result<String, Box<dyn Error>> {
    let mut parts = page.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->").ok_or("a mark without its end")?;
        let (old, after) = rest
            .split_once(END)
            .ok_or_else(|| format!("no {END} after the figures of {name}"))?;
        let _ = write!(text, "{BEGIN}{name} -->");
        match measured.group(name) {
            Some(group) => {
                let _ = write!(text, "\n{}", table(group));
            }
            None => {
                eprintln!("{name}: not measured; left as it is");
                text.push_str(old);
            }
        }
        text.push_str(END);
        text.push_str(after);
    }
    Ok(text)
}

/// A row for each size, a column for each function.
fn table(group: &Group) -> String {
    let functions = group.functions();
    let mut text = format!("| | {} |\n|---:|", functions.join(" | ").replace('_', " "));
    text.push_str(&"---:|".repeat(functions.len()));
    text.push('\n');
    for size in group.sizes() {
        let cells = functions.iter().map(|function| {
            group
                .nanoseconds(function, size)
                .map_or_else(String::new, time)
        });
        let _ = writeln!(
            text,
            "| {} | {} |",
            thousands(size),
            cells.collect::<Vec<_>>().join(" | ")
        );
    }
    text
}

/// Three digits and a unit.
fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let digits = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

fn thousands(size: u64) -> String {
    let digits = size.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plots(measured: &Measured) -> Vec<(&'static str, Plot)> {
    let series = |label: &str, group: &str, function: &str| Series {
        label: label.to_owned(),
        points: measured
            .group(group)
            .map(|group| group.points(function))
            .unwrap_or_default(),
    };
    vec![
        (
            "policies.svg",
            Plot {
                title: "One decision, by number of policies",
                across: "policies; ten of them match",
                series: vec![
                    series("cedar-policy, flat", "policies_flat", "cedar_policy"),
                    series("cedar-policy, links", "policies_links", "cedar_policy"),
                    series("flat", "policies_flat", "decide"),
                    series("roles", "policies_roles", "decide"),
                    series("links", "policies_links", "decide"),
                    series("attributes", "policies_attributes", "decide"),
                ],
            },
        ),
        (
            "entities.svg",
            Plot {
                title: "One decision and one update, by number of entities",
                across: "entities",
                series: vec![
                    series("update of one entity", "entities", "upsert_one"),
                    series("others each time", "entities", "decide_in_turn"),
                    series("the same again", "entities", "decide_one"),
                ],
            },
        ),
        (
            "hierarchy.svg",
            Plot {
                title: "One decision, by what is above the principal",
                across: "groups above",
                series: vec![
                    series("in a chain", "hierarchy", "depth"),
                    series("side by side", "hierarchy", "width"),
                ],
            },
        ),
        (
            "sets.svg",
            Plot {
                title: "One decision, by size of a set",
                across: "elements",
                series: vec![
                    series("reading it from the context", "sets", "read_and_contains"),
                    series("containsAny", "sets", "contains_any"),
                    series("containsAll", "sets", "contains_all"),
                    series("contains", "sets", "contains"),
                ],
            },
        ),
    ]
}
