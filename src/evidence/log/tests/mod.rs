//! What the log does when the disk does not: full, unwilling, short, gone.

mod beside;
mod faults;
mod segments;
mod storage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{Authorizer, Outcome, Request};

use super::{DurableLog, LogOptions, SyncPolicy, Verification, verify};
use storage::{Faults, Faulty};

/// A directory of its own for a test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("duramen-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Repairs at once.
fn options(path: &Path, sync: SyncPolicy) -> LogOptions {
    LogOptions::new(path).sync(sync).retry_after(Duration::ZERO)
}

const LONG_BATCH: SyncPolicy = SyncPolicy::Batch {
    records: 1000,
    within: Duration::from_secs(1000),
};

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::EachRecord, LONG_BATCH, SyncPolicy::Never];

fn open(options: LogOptions, faults: &Faults) -> Result<DurableLog, super::LogError> {
    let storage = Faulty::new(&options, faults)?;
    DurableLog::on(Box::new(storage), options)
}

fn authorizer(log: impl Into<Arc<DurableLog>>) -> Authorizer {
    Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(log.into())
        .build()
        .unwrap()
}

/// Decides on a user of this number; whether the record was acknowledged.
fn decide(authorizer: &Authorizer, number: usize) -> bool {
    let id = number.to_string();
    let request = Request::new(("User", &*id), ("Action", "a"), ("Doc", "d"));
    match authorizer.is_authorized(&request).outcome() {
        Outcome::Allowed => true,
        Outcome::EvidenceNotKept => false,
        other => panic!("{other}"),
    }
}

/// The numbers of the users in the log, in its order.
fn recorded(path: &Path) -> Vec<usize> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    names.sort();
    let mut users = Vec::new();
    for name in names {
        for line in std::fs::read_to_string(name).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(id) = line["principal"]["id"].as_str() {
                users.push(id.parse().unwrap());
            }
        }
    }
    users
}

/// The log holds exactly the acknowledged records, in order, and its chain holds.
#[track_caller]
fn check(path: &Path, acknowledged: &[usize], what: &str) -> Verification {
    assert_eq!(recorded(path), acknowledged, "{what}");
    let seen = verify(path, None).unwrap();
    assert_eq!(seen.finding(), None, "{what}");
    assert_eq!(seen.decisions(), acknowledged.len() as u64, "{what}");
    seen
}
