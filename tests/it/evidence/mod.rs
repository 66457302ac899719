//! The durable log: what it keeps, what a crash does to it, and whether tampering shows.

mod crash;
mod expected;
mod fields;
mod inputs;
mod keeping;
mod masking;
mod misbehaviour;
#[cfg(feature = "ocsf")]
mod ocsf;
mod queue;
mod replay;
mod routing;
mod schema;
mod tamper;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod telemetry;
mod usage;
mod whatif;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use duramen::evidence::MemorySink;
use duramen::evidence::log::{DurableLog, Finding, LogOptions, verify};
use duramen::{Authorizer, Builder, Request};

/// A directory of its own for a test, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("duramen-it-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) const POLICIES: &str = r#"
    @reason("open")
    permit(principal, action == Action::"view", resource);
    forbid(principal == User::"eve", action, resource);
    forbid(principal, action, resource) when { principal.nope };
"#;

fn authorizer(log: &Arc<DurableLog>) -> Authorizer {
    Authorizer::builder()
        .policies(POLICIES)
        .sink(Arc::clone(log))
        .build()
        .unwrap()
}

/// An authorizer, and the sink that keeps its records.
fn recording(build: impl FnOnce(Builder) -> Builder) -> (Authorizer, Arc<MemorySink>) {
    let sink = Arc::new(MemorySink::new(1000));
    let builder = build(Authorizer::builder()).sink(Arc::clone(&sink));
    (builder.build().unwrap(), sink)
}

fn request(user: &str) -> Request<'_> {
    Request::new(("User", user), ("Action", "view"), ("Doc", "d"))
        .context_json(r#"{ "n": 1, "chain": { "chain": "\"}}" } }"#)
}

/// Writes a log of so many decisions, and closes it.
fn write(options: LogOptions, decisions: usize) {
    let log = Arc::new(options.open().unwrap());
    let authorizer = authorizer(&log);
    for number in 0..decisions {
        assert!(authorizer.is_allowed(&request(&format!("user {number}"))));
    }
}

/// The segments' names and contents, in order.
fn segments(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut segments: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl"))
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    segments.sort();
    segments
}

/// The lines of the log, with their line breaks.
fn lines(segments: &[(String, Vec<u8>)]) -> Vec<Vec<u8>> {
    segments
        .iter()
        .flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n'))
        .map(<[u8]>::to_vec)
        .collect()
}

fn finding(directory: &Path) -> Option<Finding> {
    verify(directory, None).unwrap().finding().cloned()
}
