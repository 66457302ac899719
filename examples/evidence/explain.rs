//! `explain`: why a decision was what it was, from its record.

use std::error::Error;

use duramen::replay::ReplayError;
use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};

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
    let Some(record) = records::look_for(directory.as_ref(), name)? else {
        return finding(arguments, name, "the log has no such record");
    };
    let id = records::id(&record);
    let mut versions = Versions::of(directory.as_ref())?;
    let explained = match versions.get(record.version.policies()) {
        Ok(policies) => match arguments.option("--hop") {
            None => policies.explain(&record),
            Some(hop) => policies.explain_hop(&record, hop.parse()?),
        },
        Err(reason) => return finding(arguments, &id, &reason),
    };
    match explained {
        Ok(explanation) if arguments.json => {
            println!("{:#}", json!({ "id": id, "explanation": explanation }));
        }
        Ok(explanation) => println!("{id}, {}\n{explanation}", record.time.unwrap_or_default()),
        // A request that was refused has its reason in the record.
        Err(ReplayError::NotReplayable(reason)) => return finding(arguments, &id, &reason),
        Err(error) => return finding(arguments, &id, &error.to_string()),
    }
    Ok(Verdict::Fine)
}

fn finding(arguments: &Arguments, id: &str, what: &str) -> Result<Verdict, Box<dyn Error>> {
    if arguments.json {
        println!("{:#}", json!({ "id": id, "finding": what }));
    } else {
        println!("{id}: {what}");
    }
    Ok(Verdict::Finding)
}
