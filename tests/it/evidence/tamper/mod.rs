//! Every small change of a log is found, and named where it is.
//!
//! `DURAMEN_TAMPER=all` tries all 255 other values of each byte instead of one.

mod checkpoints;
mod entries;
mod files;
mod lines;

use std::fs;

use duramen::evidence::DecisionSink;
use duramen::evidence::log::{Checkpoint, DurableLog, FindingKind, verify};

use super::*;

/// A log of a few lines in three segments.
fn small_log() -> (Scratch, Vec<(String, Vec<u8>)>) {
    let scratch = Scratch::new();
    // More than two lines and less than three, whatever the durations in them are.
    let options = DurableLog::options(scratch.path()).segment_bytes(3000);
    write(options, 7);
    let segments = segments(scratch.path());
    assert_eq!(segments.len(), 3);
    assert_eq!(lines(&segments).len(), 7);
    assert_eq!(finding(scratch.path()), None);
    (scratch, segments)
}

/// Writes lines to segments that begin where those of the log did.
fn put(scratch: &Scratch, segments: &[(String, Vec<u8>)], lines: &[Vec<u8>]) {
    let firsts: Vec<usize> = segments
        .iter()
        .map(|(name, _)| name.trim_end_matches(".jsonl").parse().unwrap())
        .collect();
    for (at, (name, _)) in segments.iter().enumerate() {
        let end = firsts.get(at + 1).copied().unwrap_or(lines.len());
        let part = &lines[firsts[at].min(lines.len())..end.min(lines.len()).max(firsts[at])];
        fs::write(scratch.path().join(name), part.concat()).unwrap();
    }
}

/// A line as whoever computes hashes anew writes it behind one with the hash `prev`, and its own hash.
pub(super) fn resealed(line: &[u8], prev: &str) -> (Vec<u8>, String) {
    use sha2::Digest;
    let text = str::from_utf8(line).unwrap();
    let (record, _) = text.rsplit_once("\",\"prev\":\"").unwrap();
    let covered = format!("{record}\",\"prev\":\"{prev}");
    let hash = sha2::Sha256::digest(covered.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{covered}\",\"hash\":\"{hash}\"}}}}\n");
    (line.into_bytes(), hash)
}

fn hash_of(line: &[u8]) -> String {
    let line: serde_json::Value = serde_json::from_slice(line).unwrap();
    line["chain"]["hash"].as_str().unwrap().to_owned()
}
