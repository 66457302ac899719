//! What the log says of itself: where it begins, what was removed and lost, how its lines are counted.

use super::*;

/// A log begins behind nothing, whatever its hashes say.
#[test]
fn a_beginning_that_follows_something_is_found() {
    let (scratch, segments) = small_log();
    let mut before = "5".repeat(64);
    let mut anew = Vec::new();
    for line in lines(&segments) {
        let (line, hash) = resealed(&line, &before);
        anew.push(line);
        before = hash;
    }
    put(&scratch, &segments, &anew);
    let found = finding(scratch.path()).unwrap();
    let found = (found.kind(), found.index());
    assert_eq!(found, (FindingKind::Altered, 0));
}

/// The entry that tells of removed lines names the hash of the last one, too.
#[test]
fn other_lines_than_those_that_were_removed_are_found() {
    let scratch = Scratch::new();
    write(
        DurableLog::options(scratch.path())
            .segment_bytes(3000)
            .keep_bytes(10_000),
        30,
    );
    let first = verify(scratch.path(), None).unwrap().first_index();
    assert!(first > 0);
    let segments = segments(scratch.path());
    let whole = lines(&segments);
    let begin: serde_json::Value = serde_json::from_slice(&whole[0]).unwrap();
    let own = begin["chain"]["prev"].as_str().unwrap().to_owned();
    for (prev, is_fine) in [(own, true), ("5".repeat(64), false)] {
        // All hashes anew, behind another beginning.
        let mut before = prev;
        let mut all = whole.iter();
        for (name, bytes) in &segments {
            let count = bytes.iter().filter(|byte| **byte == b'\n').count();
            let mut anew = Vec::new();
            for line in all.by_ref().take(count) {
                let (line, hash) = resealed(line, &before);
                anew.extend(line);
                before = hash;
            }
            fs::write(scratch.path().join(name), anew).unwrap();
        }
        let found = finding(scratch.path());
        let kind = (!is_fine).then_some(FindingKind::Missing { to: first - 1 });
        assert_eq!(found.map(|found| found.kind()), kind);
    }
}

/// What the log says was lost adds up.
#[test]
fn losses_are_counted_together() {
    let scratch = Scratch::new();
    let log = DurableLog::open(scratch.path()).unwrap();
    for (lost, all) in [(2, 2), (3, 5), (u64::MAX, u64::MAX)] {
        log.record_loss(lost).unwrap();
        assert_eq!(verify(scratch.path(), None).unwrap().lost(), all);
    }
}

/// No line is behind the last one that can be counted.
#[test]
fn indices_that_cannot_be_counted_on_are_refused() {
    let (scratch, segments) = small_log();
    let line = lines(&segments).remove(0);
    let line = str::from_utf8(&line).unwrap();
    for (index, is_line) in [(u64::MAX, false), (u64::MAX - 1, true)] {
        let other = Scratch::new();
        fs::create_dir(other.path()).unwrap();
        let line = line.replace("\"index\":0,", &format!("\"index\":{index},"));
        let (line, _) = resealed(line.as_bytes(), &"5".repeat(64));
        fs::write(other.path().join(format!("{index:020}.jsonl")), line).unwrap();
        let found = finding(other.path()).unwrap();
        let kind = match is_line {
            true => FindingKind::Missing { to: index - 1 },
            false => FindingKind::Altered,
        };
        assert_eq!(found.kind(), kind, "{found}");
        // Nothing is written behind it.
        let log = DurableLog::options(other.path()).segment_bytes(1).open();
        assert_eq!(log.is_ok(), is_line);
        if let Ok(log) = log {
            let authorizer = authorizer(&Arc::new(log));
            assert!(!authorizer.is_allowed(&request("ann")));
        }
    }
    drop(scratch);
}
