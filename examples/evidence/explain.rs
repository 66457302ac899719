//! `explain`: why a decision was what it was, from its record.

use std::error::Error;

use duramen::replay::ReplayError;
use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};
use crate::text::plain;

pub(crate) const COMMAND: Command = Command {
    name: "explain",
    usage: "DIR ID [--hop N]",
    takes: 2,
    options: &["--hop"],
    run,
};

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let [directory, name] = arguments.words() else {
        return Err("two arguments are needed".into());
    };
    let Some(record) = records::find(directory.as_ref(), name)? else {
        return finding(arguments, name, "the log has no such record");
    };
    let id = record.id.clone();
    let mut versions = Versions::of(directory.as_ref());
    let explained = match versions.get(record.version.policies()) {
        Ok(policies) => match arguments.hop()? {
            None => policies.explain(&record),
            Some(hop) => policies.explain_hop(&record, hop),
        },
        Err(reason) => return finding(arguments, &id, &not_explained(&reason)),
    };
    match explained {
        Ok(explanation) if arguments.json => {
            say!("{}", json!({ "id": id, "explanation": explanation }));
        }
        Ok(explanation) => {
            let time = record.time.unwrap_or_default();
            say!("{}", plain(&format!("{id}, {time}\n{explanation}")));
        }
        // A request that was refused has its reason in the record.
        Err(ReplayError::NotReplayable(reason)) => {
            return finding(arguments, &id, &not_explained(&reason));
        }
        Err(error) => return finding(arguments, &id, &error.to_string()),
    }
    Ok(Verdict::Fine)
}

fn not_explained(reason: &impl std::fmt::Display) -> String {
    format!("cannot be explained from its record: {reason}")
}

fn finding(arguments: &Arguments, id: &str, what: &str) -> Result<Verdict, Box<dyn Error>> {
    if arguments.json {
        say!("{}", json!({ "id": id, "finding": what }));
    } else {
        say!("{}: {}", plain(id), plain(what));
    }
    Ok(Verdict::Finding)
}
