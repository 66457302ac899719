//! What the log keeps, how it rotates and removes, and how it goes on after a crash.

use std::fs;
use std::time::Duration;

use duramen::evidence::log::{Checkpoint, FindingKind, LogErrorKind, SyncPolicy};
use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::values::EntityRef;

use super::*;

#[test]
fn lines_are_records() {
    let scratch = Scratch::new();
    let log = Arc::new(DurableLog::open(scratch.path()).unwrap());
    let memory = Arc::new(MemorySink::new(100));
    let (to_log, to_memory) = (
        authorizer(&log),
        Authorizer::builder()
            .policies(POLICIES)
            .sink(Arc::clone(&memory))
            .build()
            .unwrap(),
    );
    for user in ["alice", "eve", "a\n\"\u{1F600}\u{0}\"}}\n"] {
        let _ = to_log.is_authorized(&request(user));
        let _ = to_memory.is_authorized(&request(user));
    }
    let same = |record: &OwnedRecord| {
        let mut record = record.clone();
        record.id.clear();
        record.instance.clear();
        record.time = None;
        record.duration_ns = 0;
        record
    };
    let read: Vec<OwnedRecord> = lines(&segments(scratch.path()))
        .iter()
        .map(|line| same(&serde_json::from_slice(line).unwrap()))
        .collect();
    let kept: Vec<OwnedRecord> = memory.records().iter().map(same).collect();
    assert_eq!(read, kept);
    let line: serde_json::Value =
        serde_json::from_slice(&lines(&segments(scratch.path()))[1]).unwrap();
    assert_eq!(line["chain"]["index"], 1);
    assert_eq!(line["chain"]["entry"], "decision");
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!((seen.decisions(), seen.count(), seen.segments()), (3, 3, 1));
    assert_eq!(line["chain"]["prev"].as_str().map(str::len), Some(64));
    assert_eq!(log.checkpoint().unwrap().head(), seen.head());
}

#[test]
fn segments_rotate_by_size_and_age() {
    let scratch = Scratch::new();
    write(DurableLog::options(scratch.path()).segment_bytes(1), 5);
    assert_eq!(segments(scratch.path()).len(), 5);
    write(DurableLog::options(scratch.path()), 5);
    assert_eq!(
        segments(scratch.path()).len(),
        5,
        "the last one is continued"
    );
    write(
        DurableLog::options(scratch.path()).segment_age(Duration::ZERO),
        3,
    );
    assert_eq!(segments(scratch.path()).len(), 8);
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!((seen.finding(), seen.count()), (None, 13));
}

/// As many bytes as may be kept are.
#[test]
fn what_may_be_kept_is_kept_to_the_byte() {
    let scratch = Scratch::new();
    let options = || DurableLog::options(scratch.path()).segment_bytes(1);
    write(options(), 5);
    let bytes: usize = segments(scratch.path())
        .iter()
        .map(|(_, text)| text.len())
        .sum();
    let first_after = |keep: usize| {
        write(options().keep_bytes(keep as u64), 1);
        let seen = verify(scratch.path(), None).unwrap();
        assert_eq!(seen.finding(), None);
        seen.first_index()
    };
    assert_eq!(first_after(bytes), 0);
    let bytes: usize = segments(scratch.path())
        .iter()
        .map(|(_, text)| text.len())
        .sum();
    assert_eq!(first_after(bytes - 1), 1);
    let told: Vec<serde_json::Value> = lines(&segments(scratch.path()))
        .iter()
        .map(|line| serde_json::from_slice(line).unwrap())
        .filter(|line: &serde_json::Value| line["chain"]["entry"] == "removed")
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["removed"]["segments"], 1);
    assert_eq!(told[0]["removed"]["before"], 1);
}

#[test]
fn what_is_removed_is_told() {
    let scratch = Scratch::new();
    let options = || DurableLog::options(scratch.path()).segment_bytes(3000);
    write(options(), 20);
    let early = Checkpoint::of(scratch.path()).unwrap();
    write(options().keep_bytes(10_000), 30);
    let late = Checkpoint::of(scratch.path()).unwrap();
    let bytes: usize = segments(scratch.path())
        .iter()
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert!(bytes < 15_000, "{bytes}");
    let seen = verify(scratch.path(), Some(&late)).unwrap();
    assert_eq!(seen.finding(), None);
    assert!(
        seen.first_index() > 20 && seen.checkpoint_compared(),
        "{seen:?}"
    );
    // What the early one is about is gone.
    let seen = verify(scratch.path(), Some(&early)).unwrap();
    assert!(seen.is_fine() && !seen.checkpoint_compared());
    // More than was told is missing.
    let (name, bytes) = segments(scratch.path()).remove(0);
    fs::remove_file(scratch.path().join(&name)).unwrap();
    let found = finding(scratch.path()).unwrap();
    assert!(
        matches!(found.kind(), FindingKind::Missing { .. }),
        "{found}"
    );
    fs::write(scratch.path().join(&name), bytes).unwrap();

    // By age; all but the segment that is written.
    std::thread::sleep(Duration::from_millis(20));
    write(
        options()
            .segment_age(Duration::ZERO)
            .keep_for(Duration::from_millis(1)),
        1,
    );
    assert_eq!(segments(scratch.path()).len(), 1);
    assert_eq!(finding(scratch.path()), None);
    write(options(), 3);
    assert_eq!(finding(scratch.path()), None);
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let scratch = Scratch::new();
    write(DurableLog::options(scratch.path()), 3);
    let (name, bytes) = segments(scratch.path()).pop().unwrap();
    let last = lines(&segments(scratch.path())).pop().unwrap().len();
    let path = scratch.path().join(&name);
    for keep in [1, 2, last / 2, last - 100, last - 2, last - 1] {
        let other = Scratch::new();
        fs::create_dir(other.path()).unwrap();
        fs::write(
            other.path().join(&name),
            &bytes[..bytes.len() - last + keep],
        )
        .unwrap();
        assert_eq!(finding(other.path()).unwrap().kind(), FindingKind::TornTail);
        for round in 1..3 {
            write(DurableLog::options(other.path()), 2);
            let seen = verify(other.path(), None).unwrap();
            assert_eq!(seen.finding(), None, "{keep} bytes left");
            assert_eq!((seen.cuts(), seen.decisions()), (1, 2 + 2 * round));
        }
        let text = fs::read_to_string(other.path().join("00000000000000000002.jsonl")).unwrap();
        let cut: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(cut["chain"]["entry"], "cut");
        assert_eq!(cut["cut"]["segment"], *name);
        assert_eq!(cut["cut"]["offset"], bytes.len() - last);
        assert_eq!(cut["cut"]["bytes"], keep);
    }
    // Zeros, as some file systems leave them, and the first line of all.
    fs::write(&path, vec![0; 5000]).unwrap();
    assert_eq!(
        finding(scratch.path()).unwrap().kind(),
        FindingKind::TornTail
    );
    write(DurableLog::options(scratch.path()), 2);
    assert_eq!(verify(scratch.path(), None).unwrap().cuts(), 1);
}

#[test]
fn a_damaged_log_is_not_continued() {
    let scratch = Scratch::new();
    write(DurableLog::options(scratch.path()), 3);
    let (name, bytes) = segments(scratch.path()).pop().unwrap();
    let mut altered = bytes.clone();
    altered[bytes.len() - 10] ^= 1;
    fs::write(scratch.path().join(&name), &altered).unwrap();
    let error = DurableLog::open(scratch.path()).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Damaged);
    assert_eq!(error.finding().unwrap().index(), 2);
    assert!(
        error.to_string().contains("line 2 of the log is altered"),
        "{error}"
    );
    assert_eq!(fs::read(scratch.path().join(&name)).unwrap(), altered);
    fs::write(scratch.path().join(&name), &bytes).unwrap();
    write(DurableLog::options(scratch.path()), 1);
}

#[test]
fn there_is_one_writer() {
    let scratch = Scratch::new();
    let log = DurableLog::open(scratch.path()).unwrap();
    let error = DurableLog::open(scratch.path()).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Locked);
    drop(log);
    assert!(DurableLog::open(scratch.path()).is_ok());
}

#[test]
fn records_too_long_for_a_line_are_not_kept() {
    let scratch = Scratch::new();
    let log = Arc::new(DurableLog::open(scratch.path()).unwrap());
    let authorizer = authorizer(&log);
    let long = "x".repeat(duramen::evidence::log::MAX_LINE_BYTES);
    let context = std::collections::BTreeMap::from([("long", EntityRef::new("User", &long))]);
    let request = super::request("alice").context(&context);
    assert_eq!(
        authorizer.is_authorized(&request).outcome(),
        duramen::Outcome::EvidenceNotKept
    );
    assert!(authorizer.is_allowed(&super::request("alice")));
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(
        (seen.finding(), seen.decisions(), seen.lost()),
        (None, 1, 1)
    );
}

#[test]
fn batches_are_synced_in_time() {
    let scratch = Scratch::new();
    let sync = SyncPolicy::Batch {
        records: u64::MAX,
        within: Duration::from_millis(5),
    };
    let log = Arc::new(
        DurableLog::options(scratch.path())
            .sync(sync)
            .open()
            .unwrap(),
    );
    let authorizer = authorizer(&log);
    for _ in 0..10 {
        assert!(authorizer.is_allowed(&request("alice")));
        std::thread::sleep(Duration::from_millis(3));
    }
    drop((authorizer, log));
    assert_eq!(verify(scratch.path(), None).unwrap().decisions(), 10);
}

#[test]
fn many_threads_write_one_chain() {
    let scratch = Scratch::new();
    let options = DurableLog::options(scratch.path()).segment_bytes(20_000);
    let log = Arc::new(options.open().unwrap());
    let authorizer = authorizer(&log);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let authorizer = &authorizer;
            scope.spawn(move || {
                let user = format!("user {thread}");
                assert!((0..50).all(|_| authorizer.is_allowed(&request(&user))));
            });
        }
    });
    let checkpoint = log.checkpoint().unwrap();
    assert_eq!(checkpoint.count(), 200);
    let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
    assert_eq!((seen.finding(), seen.decisions()), (None, 200));
    assert!(seen.segments() > 3);
}
