//! `usage`: which policies ever decided, when last, and which never did.

use std::error::Error;
use std::path::Path;

use duramen::replay::{Usage, UsageReport};

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Rest, Versions};
use crate::text::plain;

pub(crate) const COMMAND: Command = Command {
    name: "usage",
    usage: "DIR",
    takes: 1,
    options: &[],
    run,
};

/// A finding is a policy or link in force at the last record that never decided.
fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let (report, rest) = of(arguments.directory())?;
    if arguments.json {
        say!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(rest.or(match report.unused().next() {
        None => Verdict::Fine,
        Some(_) => Verdict::Finding,
    }))
}

/// What the policies in force at the last record have done.
pub(crate) fn of(directory: &Path) -> Result<(UsageReport, Rest), Box<dyn Error>> {
    let mut usage = Usage::new();
    let mut last = None;
    let rest = records::each(directory, |record| {
        usage.add(&record);
        if record.enforced.is_none() {
            last = Some(record.version.policies());
        }
    })?;
    let mut versions = Versions::of(directory);
    let policies = versions.get(last.ok_or("the log has no decisions")?)?;
    let mut report = usage.report(policies.authorizer());
    report.lost = report.lost.max(rest.lost);
    Ok((report, rest))
}

/// Prints the report, for people.
pub(crate) fn print(report: &UsageReport) {
    say!("{}", plain(report.to_string().trim_end()));
}
