//! `whatif`: what would other policies have decided?

use std::error::Error;
use std::path::Path;

use duramen::replay::{Flip, FlipCount, NotReplayableKind, Side, WhatIf, WhatIfReport};
use duramen::{Authorizer, Entities, Policies};

use crate::command::{Arguments, Command, Verdict};
use crate::records;
use crate::text::plain;

pub(crate) const COMMAND: Command = Command {
    name: "whatif",
    usage: "DIR POLICIES [--schema FILE] [--entities FILE]",
    takes: 2,
    options: &["--schema", "--entities"],
    run,
};

/// A finding is a decision that is another one, or that may be: that the records do not tell.
fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let [directory, policies] = arguments.words() else {
        return Err("two arguments are needed".into());
    };
    let mut candidate = Authorizer::builder().policies(read(Path::new(policies)));
    if let Some(schema) = arguments.option("--schema") {
        candidate = candidate.schema_file(schema);
    }
    let candidate = candidate.build()?;
    let mut what_if = WhatIf::new(&candidate)?;
    if let Some(entities) = arguments.option("--entities") {
        let live = Authorizer::builder().entities(Entities::new().json_file(entities));
        what_if = what_if.fill_in(&live.build()?);
    }
    let rest = records::each(directory.as_ref(), |record| {
        what_if.add(&record);
    })?;
    let report = what_if.report();
    if arguments.json {
        say!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(rest.or(verdict(&report)))
}

pub(crate) fn verdict(report: &WhatIfReport) -> Verdict {
    match report.flip_count() + report.undetermined {
        0 => Verdict::Fine,
        _ => Verdict::Finding,
    }
}

/// A file or a directory of policies, with their ids from `@id`.
pub(crate) fn read(path: &Path) -> Policies {
    let policies = match path.is_dir() {
        true => Policies::new().directory(path),
        false => Policies::new().file(path),
    };
    policies.ids_from_annotations()
}

/// Prints the report, for people.
pub(crate) fn print(report: &WhatIfReport) {
    say!(
        "{} decisions: {} would be allowed and were denied, {} would be denied and were allowed, {} the same ({} for \
         other reasons), {} undetermined, {} not replayable",
        report.records - report.shadow,
        report.newly_allowed,
        report.newly_denied,
        report.same,
        report.other_reasons,
        report.undetermined,
        report.not_replayable,
    );
    if let Some(filled) = &report.filled_in {
        say!(
            "{} were decided on entities as they are now",
            filled.records
        );
    }
    if report.shadow > 0 {
        say!(
            "{} records of shadow decisions were left out",
            report.shadow
        );
    }
    if report.stale > 0 {
        say!(
            "{} were denied because data was too old: compared by what policies said",
            report.stale
        );
    }
    for (reason, records) in &report.reasons {
        say!("not replayable: {records}, {}", why(*reason));
    }
    for flip in &report.flips {
        say!("{}", plain(&line(flip)));
    }
    let shown = report.flips.len() as u64;
    if report.flip_count() > shown {
        say!("and {} more", report.flip_count() - shown);
    }
    for (what, counts) in [
        ("policies that decided before", &report.by_policy_before),
        ("policies that decide now", &report.by_policy_after),
        ("principals", &report.by_principal),
        ("actions", &report.by_action),
        ("resources", &report.by_resource),
    ] {
        print_counts(what, counts);
    }
    for unknown in &report.unknown {
        say!(
            "undetermined: {} records do not tell {} of {}",
            unknown.records,
            plain(&unknown.what),
            plain(&unknown.entity_type)
        );
    }
}

fn why(reason: NotReplayableKind) -> &'static str {
    match reason {
        NotReplayableKind::RequestRefused => "as the request was refused, and no policy was asked",
        NotReplayableKind::DelegationRefused => {
            "as the delegation was refused, and no policy was asked"
        }
        NotReplayableKind::NoInputs => {
            "as the sink wanted no inputs: what policies read is not recorded"
        }
        NotReplayableKind::StrictMode => {
            "as a strict error mode denied, and the candidate is decided in Cedar's"
        }
        NotReplayableKind::Stale => "as data was too old and policies failed",
        NotReplayableKind::Masked => "as ids, or any field of the context, are masked",
        NotReplayableKind::Unreadable => "as what the record says was read cannot be read",
        _ => "for another reason, which `--json` names",
    }
}

/// How many of each are named.
const NAMED: usize = 10;

fn print_counts(what: &str, counts: &[FlipCount]) {
    if counts.is_empty() {
        return;
    }
    say!(
        "\n{:<44} newly allowed  newly denied",
        format!("flips by {what}")
    );
    for count in counts.iter().take(NAMED) {
        let name = plain(count.name.as_deref().unwrap_or("others"));
        say!(
            "  {name:<42} {:>13} {:>13}",
            count.newly_allowed,
            count.newly_denied
        );
    }
}

fn line(flip: &Flip) -> String {
    let actors = flip.actors.iter().map(|actor| format!(" by {actor}"));
    format!(
        "{} -> {}  {}  {}{} {} {}  ({} -> {})",
        flip.before.decision,
        flip.after.decision,
        flip.id,
        flip.principal,
        actors.collect::<String>(),
        flip.action,
        flip.resource,
        reason(&flip.before),
        reason(&flip.after),
    )
}

/// The policies that a decision rests on, or why there are none.
pub(crate) fn reason(side: &Side) -> String {
    let ids: Vec<_> = side
        .determining
        .iter()
        .map(|policy| policy.id.as_str())
        .collect();
    match ids[..] {
        [] => side.outcome.to_string(),
        _ => ids.join(", "),
    }
}
