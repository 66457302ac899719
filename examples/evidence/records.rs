//! The records of a log, and the policies that they name.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use duramen::VersionDigest;
use duramen::evidence::OwnedRecord;
use duramen::replay::{ArchivedPolicies, PolicyArchive};

use crate::command::told;

/// Where the policies of a log's records are.
pub(crate) fn archive(log: &Path) -> Result<PolicyArchive, Box<dyn Error>> {
    Ok(PolicyArchive::open(log.join("policies"))?)
}

/// Calls `each` with the records of a log, in order. Whether they are as they were written is for `verify` to say.
pub(crate) fn each(
    log: &Path,
    mut each: impl FnMut(OwnedRecord) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let mut segments = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()?;
    segments.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    segments.sort();
    if segments.is_empty() {
        return Err(format!("{} holds no log", log.display()).into());
    }
    for segment in segments {
        for (line, number) in BufReader::new(File::open(&segment)?).lines().zip(1..) {
            let line = line?;
            let at = |error| format!("{}, line {number}: {error}", segment.display());
            let value: serde_json::Value = serde_json::from_str(&line).map_err(at)?;
            // Lines that the log writes about itself have no decision.
            if value.get("decision").is_some() {
                each(serde_json::from_value(value).map_err(at)?)?;
            }
        }
    }
    Ok(())
}

/// The name of a decision: its instance and its sequence number.
pub(crate) fn id(record: &OwnedRecord) -> String {
    format!("{}-{}", record.instance, record.sequence)
}

/// The record that is named: by its id, its sequence number where no other instance has it, or the caller's id of the
/// request.
pub(crate) fn find(log: &Path, name: &str) -> Result<OwnedRecord, Box<dyn Error>> {
    let found = look_for(log, name)?;
    Ok(found.ok_or(format!("{} has no record {name}", log.display()))?)
}

/// The same; `None` when there is none.
pub(crate) fn look_for(log: &Path, name: &str) -> Result<Option<OwnedRecord>, Box<dyn Error>> {
    let mut found: Vec<OwnedRecord> = Vec::new();
    each(log, |record| {
        let request = record.request_id.as_deref() == Some(name);
        if request || id(&record) == name || record.sequence.to_string() == name {
            found.push(record);
        }
        Ok(())
    })?;
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().take(3).map(id).collect();
        let more = if found.len() > 3 { ", …" } else { "" };
        return Err(format!("{name} may be {}{more}; name one of them", ids.join(", ")).into());
    }
    Ok(found.pop())
}

/// Policies by digest, loaded when they are first asked for.
pub(crate) struct Versions {
    archive: PolicyArchive,
    loaded: HashMap<VersionDigest, Result<ArchivedPolicies, String>>,
}

impl Versions {
    pub(crate) fn of(log: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            archive: archive(log)?,
            loaded: HashMap::new(),
        })
    }

    pub(crate) fn get(&mut self, digest: VersionDigest) -> Result<&ArchivedPolicies, String> {
        let archive = &self.archive;
        let loaded = self.loaded.entry(digest);
        let loaded = loaded.or_insert_with(|| archive.load(digest).map_err(|error| told(&error)));
        loaded.as_ref().map_err(Clone::clone)
    }
}
