//! `usage`: which policies ever decided, when last, and which never did.

use std::error::Error;
use std::path::Path;

use duramen::replay::{Usage, UsageReport};

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};

pub(crate) const COMMAND: Command = Command {
    name: "usage",
    usage: "DIR",
    takes: 1,
    options: &[],
    run,
};

/// A finding is a policy or link in force at the last record that never decided.
fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let report = of(arguments.directory())?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(match report.unused().next() {
        None => Verdict::Fine,
        Some(_) => Verdict::Finding,
    })
}

/// What the policies in force at the last record have done.
pub(crate) fn of(directory: &Path) -> Result<UsageReport, Box<dyn Error>> {
    let mut usage = Usage::new();
    let mut last = None;
    records::each(directory, |record| {
        usage.add(&record);
        if record.enforced.is_none() {
            last = Some(record.version.policies());
        }
        Ok(())
    })?;
    let mut versions = Versions::of(directory)?;
    let policies = versions.get(last.ok_or("the log has no decisions")?)?;
    Ok(usage.report(policies.authorizer()))
}

/// Prints the report, for people.
pub(crate) fn print(report: &UsageReport) {
    println!(
        "{:<28} {:<7} {:>8} {:>7}  {:<25} {:<14} change",
        "policy", "effect", "decided", "failed", "last decided", "owner"
    );
    for policy in report.policies.iter().chain(&report.gone) {
        println!(
            "{:<28} {:<7} {:>8} {:>7}  {:<25} {:<14} {}",
            policy.id.as_str(),
            policy
                .effect
                .map_or("gone".into(), |effect| effect.to_string()),
            policy.decided,
            policy.failed,
            policy.last.as_deref().unwrap_or("never"),
            policy.owner().unwrap_or("-"),
            policy.change().unwrap_or("-"),
        );
    }
    println!(
        "{} of {} policies never decided, in {} decisions",
        report.unused().count(),
        report.policies.len(),
        report.decisions
    );
    if report.lost > 0 {
        println!("{} more decisions have no record", report.lost);
    }
}
