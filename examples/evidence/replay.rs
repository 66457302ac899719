//! `replay`: does each record say what its policies come to?

use std::error::Error;

use duramen::replay::Replayed;
use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};

pub(crate) const COMMAND: Command = Command {
    name: "replay",
    usage: "DIR",
    takes: 1,
    options: &[],
    run,
};

/// How many records that are not the same are named.
const NAMED: usize = 20;

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let mut versions = Versions::of(arguments.directory())?;
    let (mut same, mut different, mut not_replayable) = (0_u64, 0_u64, 0_u64);
    let mut named = Vec::new();
    records::each(arguments.directory(), |record| {
        let replayed = match versions.get(record.version.policies()) {
            Ok(policies) => policies.replay(&record),
            Err(reason) => Replayed::NotReplayable(reason),
        };
        let what = match &replayed {
            replayed if replayed.is_same() => {
                same += 1;
                return Ok(());
            }
            Replayed::NotReplayable(reason) => {
                not_replayable += 1;
                format!("not replayable: {reason}")
            }
            Replayed::Decided { duramen, cedar } => {
                different += 1;
                format!("different: Duramen {duramen:?}, cedar-policy {cedar:?}")
            }
        };
        if named.len() < NAMED {
            named.push((records::id(&record), what));
        }
        Ok(())
    })?;
    if arguments.json {
        let named: Vec<_> = named
            .iter()
            .map(|(id, what)| json!({ "id": id, "what": what }))
            .collect();
        let report = json!({
            "same": same,
            "different": different,
            "not_replayable": not_replayable,
            "named": named,
        });
        println!("{report:#}");
    } else {
        for (id, what) in &named {
            println!("{id}: {what}");
        }
        println!(
            "{same} same with Duramen and with cedar-policy, {different} different, {not_replayable} not replayable"
        );
    }
    Ok(if different == 0 {
        Verdict::Fine
    } else {
        Verdict::Finding
    })
}
