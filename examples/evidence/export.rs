//! `export`: a record as the files that Cedar's own command line takes.
//!
//! ```text
//! cedar authorize --policy-format json --policies OUT/policies.json --entities OUT/entities.json --request-json OUT/request.json
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};
use crate::text::plain;

pub(crate) const COMMAND: Command = Command {
    name: "export",
    usage: "DIR ID OUT [--hop N]",
    takes: 3,
    options: &["--hop"],
    run,
};

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let [directory, name, out] = arguments.words() else {
        return Err("three arguments are needed".into());
    };
    let Some(record) = records::find(directory.as_ref(), name)? else {
        return Err(format!("{directory} has no record {name}").into());
    };
    let mut versions = Versions::of(directory.as_ref());
    let policies = versions.get(record.version.policies())?;
    let files = policies.cedar_files(&record)?;
    let files = match (arguments.hop()?, files.as_slice()) {
        (None, [files]) => files,
        (None, hops) => {
            let hops = hops.len();
            return Err(format!(
                "the record has a delegation of {hops} hops, and Cedar's command line takes one request: name a hop with --hop, from 0"
            )
            .into());
        }
        (Some(hop), hops) => hops.get(hop).ok_or_else(|| {
            let hops = hops.len();
            format!("the record has no such hop: there are {hops}, counted from 0")
        })?,
    };
    fs::create_dir_all(out).map_err(|error| format!("{out}: {error}"))?;
    let files = [
        ("policies.json", &files.policies),
        ("entities.json", &files.entities),
        ("request.json", &files.request),
    ];
    for (file, value) in &files {
        let path = Path::new(out).join(file);
        fs::write(&path, format!("{value:#}\n"))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if arguments.json {
        let files: Vec<_> = files.iter().map(|(file, _)| file).collect();
        say!("{}", json!({ "id": record.id, "out": out, "files": files }));
    } else {
        let id = plain(&record.id);
        say!("{id} is in {out}: policies, entities and request");
    }
    Ok(Verdict::Fine)
}
