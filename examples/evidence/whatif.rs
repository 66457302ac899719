//! `whatif`: what would other policies have decided?

use std::error::Error;
use std::path::Path;

use duramen::replay::{Side, WhatIf, WhatIfReport};
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
    // It is the schema that says which values of entities are entities, addresses and times, too.
    let builder = || match arguments.option("--schema") {
        Some(schema) => Authorizer::builder().schema_file(schema),
        None => Authorizer::builder(),
    };
    let candidate = builder().policies(read(Path::new(policies))).build()?;
    let mut what_if = WhatIf::new(&candidate)?;
    if let Some(entities) = arguments.option("--entities") {
        let live = builder().entities(Entities::new().json_file(entities));
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
    say!("{}", plain(report.to_string().trim_end()));
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
