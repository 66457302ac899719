//! The records of a log, and the policies that they name.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use duramen::VersionDigest;
use duramen::evidence::OwnedRecord;
use duramen::replay::{ArchivedPolicies, PolicyArchive};

use crate::command::{Verdict, told};
use crate::text::plain;

/// Where the policies of a log's records are.
pub(crate) fn archive(log: &Path) -> PathBuf {
    log.join("policies")
}

/// What a log has besides the records that were read.
#[must_use = "what was left out is a finding"]
#[derive(Default)]
pub(crate) struct Rest {
    /// How many lines could not be read.
    pub(crate) unreadable: u64,
    /// How many records the log says were lost. The last of them no record tells.
    pub(crate) lost: u64,
}

impl Rest {
    /// What a verdict becomes when something was left out.
    pub(crate) fn or(self, verdict: Verdict) -> Verdict {
        match self.unreadable {
            0 => verdict,
            _ => Verdict::Finding,
        }
    }
}

/// Calls `each` with the records of a log, in order. Whether they are as they were written is for `verify` to say; what
/// cannot be read is told on the error output, and counted.
pub(crate) fn each(log: &Path, mut each: impl FnMut(OwnedRecord)) -> Result<Rest, Box<dyn Error>> {
    let segments = segments(log)?;
    let mut rest = Rest::default();
    for segment in &segments {
        let file =
            File::open(segment).map_err(|error| format!("{}: {error}", segment.display()))?;
        for (line, number) in BufReader::new(file).split(b'\n').zip(1..) {
            let line = line.map_err(|error| format!("{}: {error}", segment.display()))?;
            match read(&line) {
                Ok(Line::Record(record)) => each(*record),
                Ok(Line::Lost(lost)) => rest.lost = rest.lost.saturating_add(lost),
                Ok(Line::Other) => {}
                Err(error) => {
                    rest.unreadable += 1;
                    eprintln!("{}", left_out(segment, number, &error));
                }
            }
        }
    }
    Ok(rest)
}

/// What is told of a line that cannot be read. The error may quote it.
fn left_out(segment: &Path, number: u64, error: &serde_json::Error) -> String {
    plain(&format!(
        "{}, line {number}, is left out, as it cannot be read ({error}); `evidence verify` tells whether the log is as it \
         was written",
        segment.display()
    ))
}

enum Line {
    Record(Box<OwnedRecord>),
    /// So many records were lost before it.
    Lost(u64),
    /// What else the log writes about itself.
    Other,
}

fn read(line: &[u8]) -> Result<Line, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_slice(line)?;
    Ok(
        match value.get("chain").and_then(|chain| chain.get("entry")) {
            Some(entry) if entry == "gap" => {
                Line::Lost(value["gap"]["lost"].as_u64().unwrap_or_default())
            }
            Some(entry) if entry != "decision" => Line::Other,
            _ => Line::Record(serde_json::from_value(value)?),
        },
    )
}

/// The log's files, in order; an error where there is none.
pub(crate) fn segments(log: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let failed = |error| format!("{}: {error}", log.display());
    let entries = fs::read_dir(log).map_err(failed)?;
    let mut segments = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()
        .map_err(failed)?;
    segments.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    segments.sort();
    match segments.is_empty() {
        true => Err(format!(
            "{} holds no log: there is no file *.jsonl in it",
            log.display()
        )
        .into()),
        false => Ok(segments),
    }
}

/// The record that is named: by its id, its sequence number where no other instance has it, or the caller's id of the
/// request. `None` when there is none.
pub(crate) fn find(log: &Path, name: &str) -> Result<Option<OwnedRecord>, Box<dyn Error>> {
    let mut found: Vec<OwnedRecord> = Vec::new();
    // Of a line that cannot be read, nobody knows whether it is this one; that there is one has been told.
    let _ = each(log, |record| {
        let request = record.request_id.as_deref() == Some(name);
        if request || record.id == name || record.sequence.to_string() == name {
            found.push(record);
        }
    })?;
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().take(3).map(|record| &*record.id).collect();
        let more = if found.len() > 3 { ", …" } else { "" };
        return Err(format!("{name} may be {}{more}; name one of them", ids.join(", ")).into());
    }
    Ok(found.pop())
}

/// Policies by digest, loaded when they are first asked for.
pub(crate) struct Versions {
    directory: PathBuf,
    loaded: HashMap<VersionDigest, Result<ArchivedPolicies, String>>,
}

impl Versions {
    pub(crate) fn of(log: &Path) -> Self {
        Self {
            directory: archive(log),
            loaded: HashMap::new(),
        }
    }

    pub(crate) fn get(&mut self, digest: VersionDigest) -> Result<&ArchivedPolicies, String> {
        let directory = &self.directory;
        let loaded = self.loaded.entry(digest).or_insert_with(|| {
            // To open an archive makes one, and who only looks at a log leaves it as it is.
            if !directory.is_dir() {
                return Err(format!("there are no policies in {}", directory.display()));
            }
            let archive = PolicyArchive::open(directory).map_err(|error| told(&error))?;
            archive.load(digest).map_err(|error| told(&error))
        });
        loaded.as_ref().map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_an_unreadable_line_does_not_run_in_a_terminal() {
        let line = br#"{ "id": "a-1", "sequence": 1, "outcome": "\u001b[2J\u202e" }"#;
        let Err(error) = read(line) else {
            panic!("it was read");
        };
        assert!(error.to_string().contains('\u{1b}'), "{error}");
        let told = left_out(Path::new("0.jsonl"), 1, &error);
        assert!(told.contains("\\u{1b}[2J\\u{202e}"), "{told}");
    }
}
