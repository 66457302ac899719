//! `export`: a record as the files that Cedar's own command line takes.
//!
//! ```text
//! cedar authorize --policy-format json --policies OUT/policies.json --entities OUT/entities.json --request-json OUT/request.json
//! ```

use std::error::Error;
use std::fs;

use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};

pub(crate) const COMMAND: Command = Command {
    name: "export",
    usage: "DIR ID OUT",
    takes: 3,
    options: &[],
    run,
};

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let [directory, name, out] = arguments.words() else {
        return Err("three arguments are needed".into());
    };
    let record = records::find(directory.as_ref(), name)?;
    let mut versions = Versions::of(directory.as_ref())?;
    let policies = versions.get(record.version.policies())?;
    if record.delegation.is_some() {
        return Err(
            "the record has a delegation, and Cedar's command line takes one request".into(),
        );
    }
    let inputs = record.inputs.as_ref().ok_or("the record has no inputs")?;
    fs::create_dir_all(out)?;
    let files = [
        ("policies.json", policies.policy_set().clone().to_json()?),
        ("entities.json", inputs.to_cedar_entities()),
        (
            "request.json",
            json!({
                "principal": record.principal.to_string(),
                "action": record.action.to_string(),
                "resource": record.resource.to_string(),
                "context": record.context,
            }),
        ),
    ];
    for (file, value) in &files {
        fs::write(std::path::Path::new(out).join(file), format!("{value:#}\n"))?;
    }
    if arguments.json {
        let files: Vec<_> = files.iter().map(|(file, _)| file).collect();
        println!(
            "{:#}",
            json!({ "id": records::id(&record), "out": out, "files": files })
        );
    } else {
        println!(
            "{} is in {out}: policies, entities and request",
            records::id(&record)
        );
    }
    Ok(Verdict::Fine)
}
