//! Loading a policy text in a process of its own, so that memory is the load's alone.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use crate::Figure;

/// The first argument of the processes that this one starts.
pub(crate) const CHILD: &str = "--load-child";

/// Loads are repeated this often; the fastest counts.
const RUNS: usize = 3;

/// Seconds, and megabytes resident afterwards and at the peak.
struct Load {
    seconds: f64,
    resident: f64,
    peak: f64,
}

pub(crate) fn measure(
    directory: &Path,
    report: &mut impl FnMut(Figure),
) -> Result<(), Box<dyn Error>> {
    let file = directory.join("policies.cedar");
    let cedar = run("cedar", &file)?;
    let duramen = run("duramen", &file)?;
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let of = format!("load {name}");
    report(Figure::new(&of, "s, cedar-policy parses", cedar.seconds));
    report(Figure::new(&of, "s, Duramen loads", duramen.seconds));
    let ratio = duramen.seconds / cedar.seconds;
    report(Figure::new(&of, "times Cedar's parse", ratio).at_most(1.5));
    report(Figure::new(
        &of,
        "MB resident, cedar-policy",
        cedar.resident,
    ));
    report(Figure::new(&of, "MB resident, Duramen", duramen.resident).at_most(120.0));
    report(Figure::new(&of, "MB peak, Duramen", duramen.peak).at_most(cedar.peak));
    Ok(())
}

fn run(engine: &str, file: &Path) -> Result<Load, Box<dyn Error>> {
    let mut best: Option<Load> = None;
    for _ in 0..RUNS {
        let output = Command::new(std::env::current_exe()?)
            .args([CHILD, engine])
            .arg(file)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
        let &[seconds, resident, peak] = &numbers[..] else {
            return Err(format!(
                "loading with {engine}: {}",
                String::from_utf8_lossy(&output.stderr)
            )
            .into());
        };
        if best.as_ref().is_none_or(|best| seconds < best.seconds) {
            best = Some(Load {
                seconds,
                resident,
                peak,
            });
        }
    }
    best.ok_or_else(|| "nothing was run".into())
}

/// Loads with the engine and from the file that `args` name, and prints a [`Load`].
pub(crate) fn child(args: &[OsString]) -> ExitCode {
    let [engine, file] = args else {
        return ExitCode::from(2);
    };
    let Ok(text) = std::fs::read_to_string(file) else {
        return ExitCode::from(2);
    };
    let text: Arc<str> = text.into();
    let start = Instant::now();
    let (seconds, loaded): (f64, Box<dyn std::any::Any>) = if engine == "cedar" {
        let set = cedar_policy::PolicySet::from_str(&text);
        (
            start.elapsed().as_secs_f64(),
            Box::new(set.is_ok().then_some(set)),
        )
    } else {
        let policies = duramen::Policies::new().text(text);
        let limits = duramen::Limits::default().with_input_bytes(1 << 30);
        let authorizer = duramen::Authorizer::builder()
            .limits(limits)
            .policies(policies)
            .build();
        (start.elapsed().as_secs_f64(), Box::new(authorizer))
    };
    println!("{seconds} {} {}", megabytes("VmRSS"), megabytes("VmHWM"));
    drop(loaded);
    ExitCode::SUCCESS
}

/// What the system says that this process takes; not a number where it does not say.
pub(crate) fn megabytes(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}
