//! `usage`: which policies ever decided, when last, and which never did.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};

pub(crate) const COMMAND: Command = Command {
    name: "usage",
    usage: "DIR",
    takes: 1,
    options: &[],
    run,
};

/// What a policy came to.
#[derive(Default)]
struct Use {
    decided: u64,
    failed: u64,
    last: String,
    owner: String,
}

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    let mut version = None;
    records::each(arguments.directory(), |record| {
        version = Some(record.version.policies());
        for policy in &record.determining {
            let known = uses.entry(policy.id.to_string()).or_default();
            known.decided += 1;
            known.last.clone_from(&record.time);
        }
        for error in &record.errors {
            uses.entry(error.id.to_string()).or_default().failed += 1;
        }
        Ok(())
    })?;
    // Those in force at the last record are all that could have decided since.
    let mut versions = Versions::of(arguments.directory())?;
    let set = versions
        .get(version.ok_or("the log has no decisions")?)?
        .policy_set();
    for policy in set.policies() {
        let known = uses.entry(policy.id().to_string()).or_default();
        known.owner = policy.annotation("owner").unwrap_or_default().to_owned();
    }
    if arguments.json {
        let policies: Vec<_> = uses
            .iter()
            .map(|(id, known)| {
                json!({
                    "id": id,
                    "decided": known.decided,
                    "failed": known.failed,
                    "last": (known.decided > 0).then_some(&known.last),
                    "owner": (!known.owner.is_empty()).then_some(&known.owner),
                })
            })
            .collect();
        println!("{:#}", json!({ "policies": policies }));
    } else {
        println!(
            "{:<28} {:>8} {:>8}  {:<26} owner",
            "policy", "decided", "failed", "last decided"
        );
        for (id, known) in &uses {
            let last = if known.decided > 0 {
                &*known.last
            } else {
                "never"
            };
            println!(
                "{id:<28} {:>8} {:>8}  {last:<26} {}",
                known.decided, known.failed, known.owner
            );
        }
    }
    Ok(Verdict::Fine)
}
