//! `replay`: does each record say what its policies come to?

use std::error::Error;
use std::fmt::Display;
use std::path::Path;

use duramen::evidence::OwnedRecord;
use duramen::replay::Replayed;
use serde_json::{Value, json};

use crate::command::{Arguments, Command, Verdict};
use crate::records::{self, Versions};
use crate::text::plain;

pub(crate) const COMMAND: Command = Command {
    name: "replay",
    usage: "DIR",
    takes: 1,
    options: &[],
    run,
};

/// How many records that are not the same are named.
const NAMED: usize = 20;

/// What replaying a log came to.
#[derive(Default, Debug)]
pub(crate) struct Replays {
    pub(crate) same: u64,
    pub(crate) different: u64,
    pub(crate) not_replayable: u64,
    /// Records whose policies the archive does not have, or not as they were; among those that are not replayable.
    pub(crate) without_policies: u64,
    /// Lines that are no record that can be read.
    pub(crate) unreadable: u64,
    /// Some of those that are not the same.
    named: Vec<(String, String)>,
}

/// A finding is a record that says something else than its policies come to, or whose policies are not there, and a line
/// that cannot be read.
fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let replays = of(arguments.directory())?;
    if arguments.json {
        say!("{}", replays.as_json());
    } else {
        replays.print();
    }
    Ok(replays.verdict())
}

/// Replays a log.
pub(crate) fn of(directory: &Path) -> Result<Replays, Box<dyn Error>> {
    let mut versions = Versions::of(directory);
    let mut replays = Replays::default();
    let rest = records::each(directory, |record| {
        match versions.get(record.version.policies()) {
            Ok(policies) => replays.count(&record, &policies.replay(&record)),
            Err(reason) => {
                replays.without_policies += 1;
                replays.not_replayable(&record, &reason);
            }
        }
    })?;
    replays.unreadable = rest.unreadable;
    Ok(replays)
}

impl Replays {
    fn count(&mut self, record: &OwnedRecord, replayed: &Replayed) {
        let what = match replayed {
            replayed if replayed.is_same() => {
                self.same += 1;
                return;
            }
            Replayed::NotReplayable(reason) => return self.not_replayable(record, reason),
            Replayed::Decided { duramen, cedar } => {
                self.different += 1;
                format!("different: Duramen {duramen:?}, cedar-policy {cedar:?}")
            }
        };
        self.name(record, what);
    }

    fn not_replayable(&mut self, record: &OwnedRecord, reason: &dyn Display) {
        self.not_replayable += 1;
        self.name(record, format!("not replayable: {reason}"));
    }

    fn name(&mut self, record: &OwnedRecord, what: String) {
        if self.named.len() < NAMED {
            self.named.push((record.id.clone(), what));
        }
    }

    pub(crate) fn as_json(&self) -> Value {
        let named = self.named.iter();
        let named: Vec<_> = named
            .map(|(id, what)| json!({ "id": id, "what": what }))
            .collect();
        json!({
            "same": self.same,
            "different": self.different,
            "not_replayable": self.not_replayable,
            "without_policies": self.without_policies,
            "unreadable": self.unreadable,
            "named": named,
        })
    }

    pub(crate) fn print(&self) {
        for (id, what) in &self.named {
            say!("{}: {}", plain(id), plain(what));
        }
        say!(
            "{} same with Duramen and with cedar-policy, {} different, {} not replayable",
            self.same,
            self.different,
            self.not_replayable
        );
        if self.without_policies > 0 {
            say!(
                "{} of them because their policies are not in the archive: keep them with `PolicyArchive::keep`",
                self.without_policies
            );
        }
        if self.unreadable > 0 {
            say!("{} lines could not be read", self.unreadable);
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.different + self.without_policies + self.unreadable {
            0 => Verdict::Fine,
            _ => Verdict::Finding,
        }
    }
}
