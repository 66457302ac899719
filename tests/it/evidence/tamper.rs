//! Every small change of a log is found, and named where it is.
//!
//! `DURAMEN_TAMPER=all` tries all 255 other values of each byte instead of one.

use std::fs;

use duramen::evidence::DecisionSink;
use duramen::evidence::log::{Checkpoint, DurableLog, FindingKind, MAX_LINE_BYTES, verify};
use proptest::prelude::*;

use super::*;
use crate::generate::config;

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

#[test]
fn every_changed_byte_is_found() {
    let all = std::env::var("DURAMEN_TAMPER").is_ok_and(|how| how == "all");
    let (scratch, segments) = small_log();
    let mut index = 0;
    let mut tried = 0;
    for (name, bytes) in &segments {
        let path = scratch.path().join(name);
        for at in 0..bytes.len() {
            let byte = bytes[at];
            let some = [byte ^ 1, byte ^ 0x20, byte.wrapping_add(1), b'\n', 0];
            let every: Vec<u8> = (0..=255).collect();
            let others = if all {
                &every[..]
            } else {
                &some[at % 5..][..1]
            };
            for other in others.iter().filter(|other| **other != byte) {
                let mut changed = bytes.clone();
                changed[at] = *other;
                fs::write(&path, changed).unwrap();
                let found = finding(scratch.path());
                let found = found.unwrap_or_else(|| panic!("{name}, byte {at} made {other}"));
                assert_eq!(
                    (found.kind(), found.index()),
                    (FindingKind::Altered, index),
                    "{name}, byte {at} made {other}: {found}"
                );
                assert_eq!(found.segment(), name);
                tried += 1;
            }
            index += u64::from(byte == b'\n');
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(tried > 4_000, "{tried}");
    assert_eq!(finding(scratch.path()), None);
}

#[test]
fn every_removed_line_is_found() {
    let (scratch, segments) = small_log();
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    let lines = lines(&segments);
    for removed in 0..lines.len() {
        // From the middle of the files that it is in, the others staying what they are.
        let mut at = 0;
        for (name, bytes) in &segments {
            let kept = bytes.split_inclusive(|byte| *byte == b'\n').filter(|_| {
                at += 1;
                at - 1 != removed
            });
            fs::write(scratch.path().join(name), kept.collect::<Vec<_>>().concat()).unwrap();
        }
        let found = verify(scratch.path(), Some(&checkpoint)).unwrap();
        let found = found.finding().unwrap().clone();
        assert_eq!(found.index(), removed as u64, "{found}");
        let last = removed + 1 == lines.len();
        if last {
            assert_eq!(found.kind(), FindingKind::Truncated { expected: 7 });
            assert_eq!(finding(scratch.path()), None, "only the checkpoint knows");
        } else {
            let kind = FindingKind::Missing { to: removed as u64 };
            assert_eq!(found.kind(), kind, "{found}");
            assert_eq!(finding(scratch.path()), Some(found));
        }
    }
}

#[test]
fn every_swap_is_found() {
    let (scratch, segments) = small_log();
    let lines = lines(&segments);
    for a in 0..lines.len() {
        for b in a + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(a, b);
            put(&scratch, &segments, &swapped);
            let found = finding(scratch.path()).unwrap();
            assert_eq!(
                (found.kind(), found.index()),
                (FindingKind::Reordered, a as u64),
                "{a} and {b}: {found}"
            );
        }
    }
    put(&scratch, &segments, &lines);
    assert_eq!(finding(scratch.path()), None);
}

#[test]
fn every_copied_line_is_found() {
    let (scratch, segments) = small_log();
    let lines = lines(&segments);
    for from in 0..lines.len() {
        for to in 0..=lines.len() {
            let mut copied = lines.clone();
            copied.insert(to, lines[from].clone());
            // Into the file where the place is; the lines behind it keep their segments.
            let mut at = 0;
            for (number, (name, bytes)) in segments.iter().enumerate() {
                let count = bytes.iter().filter(|byte| **byte == b'\n').count();
                let last = number + 1 == segments.len();
                let more = usize::from(to >= at && (to < at + count || last && to <= at + count));
                let begin = at + usize::from(to < at);
                fs::write(
                    scratch.path().join(name),
                    copied[begin..begin + count + more].concat(),
                )
                .unwrap();
                at += count;
            }
            let found = finding(scratch.path()).unwrap_or_else(|| panic!("{from} to {to}"));
            // A copy right before its original is the same as one right after.
            let (kind, index) = if from >= to && from > 0 && from != to {
                (FindingKind::Reordered, to)
            } else {
                (
                    FindingKind::Duplicated,
                    if from == to { to + 1 } else { to },
                )
            };
            assert_eq!(
                (found.kind(), found.index()),
                (kind, index as u64),
                "{from} to {to}: {found}"
            );
        }
    }
}

#[test]
fn removed_and_renamed_segments_are_found() {
    let (scratch, segments) = small_log();
    let first = |at: usize| -> u64 { segments[at].0.trim_end_matches(".jsonl").parse().unwrap() };
    for (at, (name, bytes)) in segments.iter().enumerate() {
        let path = scratch.path().join(name);
        fs::remove_file(&path).unwrap();
        let found = finding(scratch.path());
        match at {
            2 => assert_eq!(found, None, "only a checkpoint shows it"),
            _ => {
                let found = found.unwrap();
                let to = first(at + 1) - 1;
                assert_eq!(found.kind(), FindingKind::Missing { to }, "{found}");
                assert_eq!(found.index(), first(at));
            }
        }
        fs::write(&path, bytes).unwrap();
    }
    let swap = [(0, 1), (1, 2), (0, 2)];
    for (a, b) in swap {
        fs::write(scratch.path().join(&segments[a].0), &segments[b].1).unwrap();
        fs::write(scratch.path().join(&segments[b].0), &segments[a].1).unwrap();
        let found = finding(scratch.path()).unwrap();
        assert_eq!(
            (found.kind(), found.index()),
            (FindingKind::Reordered, first(a)),
            "{found}"
        );
        for at in [a, b] {
            fs::write(scratch.path().join(&segments[at].0), &segments[at].1).unwrap();
        }
    }
    // The first of all, too.
    let first = scratch.path().join(&segments[0].0);
    let early = scratch.path().join("00000000000000000001.jsonl");
    fs::rename(&first, &early).unwrap();
    let found = finding(scratch.path()).unwrap();
    assert_eq!(
        (found.kind(), found.index()),
        (FindingKind::Misnamed, 1),
        "{found}"
    );
    fs::rename(&early, &first).unwrap();
    let other = scratch.path().join("00000000000000000009.jsonl");
    fs::rename(scratch.path().join(&segments[2].0), &other).unwrap();
    assert_eq!(
        finding(scratch.path()).unwrap().kind(),
        FindingKind::Misnamed
    );
}

#[test]
fn every_truncation_is_found_with_a_checkpoint() {
    let (scratch, segments) = small_log();
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    assert_eq!(checkpoint.count(), 7);
    assert!(
        verify(scratch.path(), Some(&checkpoint))
            .unwrap()
            .checkpoint_compared()
    );
    for (name, bytes) in segments.iter().rev() {
        let path = scratch.path().join(name);
        for length in (0..bytes.len()).rev() {
            fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(length as u64)
                .unwrap();
            let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
            let found = seen
                .finding()
                .unwrap_or_else(|| panic!("{name} cut to {length}"));
            assert_eq!(
                found.kind(),
                FindingKind::Truncated { expected: 7 },
                "{found}"
            );
            assert!(found.is_tampering());
            // Without one, the middle of a line is a torn tail and its end is nothing.
            let without = finding(scratch.path());
            let whole = length == 0 || bytes[length - 1] == b'\n';
            assert_eq!(
                without.is_none(),
                whole,
                "{name} cut to {length}: {without:?}"
            );
            assert!(without.is_none_or(|found| found.kind() == FindingKind::TornTail));
        }
        fs::remove_file(&path).unwrap();
        let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
        assert!(matches!(
            seen.finding().unwrap().kind(),
            FindingKind::Truncated { .. }
        ));
    }
}

#[test]
fn a_chain_that_was_written_anew_is_found_with_a_checkpoint() {
    let (scratch, _) = small_log();
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    let checkpoint = Checkpoint::from_json(&checkpoint.to_json()).unwrap();
    let other = Scratch::new();
    write(DurableLog::options(other.path()), 9);
    assert_eq!(finding(other.path()), None);
    let seen = verify(other.path(), Some(&checkpoint)).unwrap();
    let found = seen.finding().unwrap();
    assert_eq!(
        (found.kind(), found.index()),
        (FindingKind::CheckpointDiffers, 6)
    );
    // What came after the checkpoint is no matter.
    write(DurableLog::options(scratch.path()), 3);
    let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
    assert!(seen.is_fine() && seen.checkpoint_compared());

    for bad in [
        "",
        "{}",
        "[]",
        &checkpoint.to_json().replace("\"format\":1", "\"format\":2"),
    ] {
        assert!(Checkpoint::from_json(bad).is_err(), "{bad}");
    }
}

/// A line as whoever computes hashes anew writes it behind one with the hash `prev`, and its own hash.
fn resealed(line: &[u8], prev: &str) -> (Vec<u8>, String) {
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

/// It has the right index and the hash of what is in it.
#[test]
fn a_line_of_another_log_is_found() {
    let (scratch, segments) = small_log();
    let own = lines(&segments);
    let other = Scratch::new();
    write(DurableLog::options(other.path()), own.len());
    let foreign = lines(&super::segments(other.path()));
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    for at in 0..own.len() {
        let mut changed = own.clone();
        changed[at].clone_from(&foreign[at]);
        put(&scratch, &segments, &changed);
        // It says itself that the one before it is another one.
        let found = finding(scratch.path()).unwrap();
        assert_eq!(
            (found.kind(), found.index()),
            (FindingKind::Altered, at.saturating_sub(1) as u64),
            "{at}: {found}"
        );
        // Behind nothing at all, it says nothing of that one.
        if at > 0 {
            (changed[at], _) = resealed(&own[at], &"0".repeat(64));
            put(&scratch, &segments, &changed);
            let found = finding(scratch.path()).unwrap();
            let found = (found.kind(), found.index());
            assert_eq!(found, (FindingKind::Altered, at as u64), "{at}");
        }
        // With a hash that fits, what comes after it says so.
        let prev = match at {
            0 => "0".repeat(64),
            _ => hash_of(&own[at - 1]),
        };
        (changed[at], _) = resealed(&foreign[at], &prev);
        put(&scratch, &segments, &changed);
        let last = at + 1 == own.len();
        let found = finding(scratch.path());
        let expected = (!last).then_some((FindingKind::Altered, at as u64));
        let found = found.map(|found| (found.kind(), found.index()));
        assert_eq!(found, expected, "{at}");
        let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
        let found = seen.finding().unwrap();
        assert_eq!(found.index(), at as u64, "{found}");
        if last {
            assert_eq!(found.kind(), FindingKind::CheckpointDiffers);
        }
    }
}

/// A line that is missing does not turn up in another log's line of that number.
#[test]
fn another_line_of_the_number_is_not_the_missing_one() {
    let (scratch, segments) = small_log();
    let mut own = lines(&segments);
    let other = Scratch::new();
    write(DurableLog::options(other.path()), own.len());
    let foreign = lines(&super::segments(other.path()));
    own.remove(4);
    own.push(foreign[4].clone());
    put(&scratch, &segments, &own);
    let found = finding(scratch.path()).unwrap();
    assert_eq!(
        (found.kind(), found.index()),
        (FindingKind::Missing { to: 4 }, 4),
        "{found}"
    );
}

/// One line is enough to be missing.
#[test]
fn the_very_first_line_is_missed() {
    let scratch = Scratch::new();
    write(DurableLog::options(scratch.path()).segment_bytes(1), 3);
    fs::remove_file(scratch.path().join("00000000000000000000.jsonl")).unwrap();
    let found = finding(scratch.path()).unwrap();
    assert_eq!(
        (found.kind(), found.index()),
        (FindingKind::Missing { to: 0 }, 0)
    );
}

/// Whoever goes on with a log looks at the segment that it goes on in.
#[test]
fn a_last_segment_with_a_hole_is_not_continued() {
    let scratch = Scratch::new();
    write(DurableLog::options(scratch.path()), 5);
    let (name, _) = segments(scratch.path()).remove(0);
    let all = lines(&segments(scratch.path()));
    for hole in 1..4 {
        let mut rest = all.clone();
        rest.remove(hole);
        fs::write(scratch.path().join(&name), rest.concat()).unwrap();
        let error = DurableLog::open(scratch.path()).unwrap_err();
        assert_eq!(error.finding().unwrap().index(), hole as u64, "{error}");
    }
}

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

/// Of the line that a checkpoint is about nothing may remain but its hash, in the line after it.
#[test]
fn a_checkpoint_of_the_last_line_that_was_removed_is_compared() {
    let scratch = Scratch::new();
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    let (edge, first) = (0..100)
        .find_map(|_| {
            let options = DurableLog::options(scratch.path());
            // A segment for each line.
            write(options.segment_bytes(1).keep_bytes(8_000), 1);
            checkpoints.push(Checkpoint::of(scratch.path()).unwrap());
            let first = verify(scratch.path(), None).unwrap().first_index();
            let edge = checkpoints.iter().find(|of| of.count() == first)?;
            (first > 0).then(|| (edge.clone(), first))
        })
        .expect("a checkpoint for the line before the first that remains");
    let seen = verify(scratch.path(), Some(&edge)).unwrap();
    assert!(seen.is_fine() && seen.checkpoint_compared(), "{seen:?}");

    let other = Scratch::new();
    write(
        DurableLog::options(other.path()),
        usize::try_from(first).unwrap(),
    );
    let foreign = Checkpoint::of(other.path()).unwrap();
    assert_eq!(foreign.count(), first);
    let seen = verify(scratch.path(), Some(&foreign)).unwrap();
    let found = seen.finding().unwrap();
    assert_eq!(
        (found.kind(), found.index()),
        (FindingKind::CheckpointDiffers, first - 1)
    );
}

/// A crash leaves half a line at the end of the log, and nowhere else.
#[test]
fn half_a_line_in_the_middle_is_no_torn_tail() {
    let (scratch, segments) = small_log();
    let mut index = 0;
    for (at, (name, bytes)) in segments.iter().enumerate() {
        index += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let path = scratch.path().join(name);
        fs::write(&path, [bytes, &bytes[..20]].concat()).unwrap();
        let found = finding(scratch.path()).unwrap();
        let kind = match at {
            2 => FindingKind::TornTail,
            _ => FindingKind::Altered,
        };
        assert_eq!((found.kind(), found.index()), (kind, index), "{found}");
        // What was written before a torn tail can be vouched for.
        let checkpoint = Checkpoint::of(scratch.path());
        match at {
            2 => assert_eq!(checkpoint.unwrap().count(), 7),
            _ => assert_eq!(checkpoint.unwrap_err().finding(), Some(&found)),
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[cfg(feature = "signed-checkpoints")]
#[test]
fn signatures_bind_every_member() {
    let (scratch, _) = small_log();
    let secret = [7; 32];
    let public = ed25519_dalek::SigningKey::from_bytes(&secret)
        .verifying_key()
        .to_bytes();
    let plain = Checkpoint::of(scratch.path()).unwrap();
    assert!(plain.check_signature(&public).is_err());
    let signed = plain.clone().signed(&secret);
    let read = Checkpoint::from_json(&signed.to_json()).unwrap();
    read.check_signature(&public).unwrap();
    assert!(verify(scratch.path(), Some(&read)).unwrap().is_fine());
    let other = ed25519_dalek::SigningKey::from_bytes(&[8; 32])
        .verifying_key()
        .to_bytes();
    assert!(read.check_signature(&other).is_err());
    let json: serde_json::Value = serde_json::from_str(&signed.to_json()).unwrap();
    for (member, value) in [
        ("count", serde_json::json!(6)),
        ("head", serde_json::json!("0".repeat(64))),
        ("time", serde_json::json!("2020-01-01T00:00:00.000Z")),
        ("signature", serde_json::json!("0".repeat(128))),
        ("signature", serde_json::json!("x")),
    ] {
        let mut forged = json.clone();
        forged[member] = value;
        let forged = Checkpoint::from_json(&forged.to_string()).unwrap();
        assert!(forged.check_signature(&public).is_err(), "{member}");
    }
}

/// A checkpoint of a log that ends in the beginning of a line is about the lines before it: that the beginning goes, as a
/// repair has it, is no finding, and that any of those lines does is one.
#[test]
fn a_checkpoint_does_not_miss_a_torn_tail() {
    let (scratch, segments) = small_log();
    let (name, whole) = segments.last().unwrap();
    let path = scratch.path().join(name);
    let torn = [whole, &whole[..100]].concat();
    fs::write(&path, torn).unwrap();
    assert_eq!(
        finding(scratch.path()).unwrap().kind(),
        FindingKind::TornTail
    );
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    assert_eq!(checkpoint.count(), 7);
    fs::write(&path, whole).unwrap();
    let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
    assert!(seen.is_fine() && seen.checkpoint_compared());
    fs::write(&path, &whole[..100]).unwrap();
    let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
    let found = seen.finding().unwrap();
    assert_eq!(found.kind(), FindingKind::Truncated { expected: 7 });
}

/// A segment without lines tells by its name how many there were before it.
#[test]
fn lines_that_are_missing_before_an_empty_segment_are_found() {
    let (scratch, segments) = small_log();
    let path = |first: u64| scratch.path().join(format!("{first:020}.jsonl"));
    let (last, whole) = segments.last().unwrap();
    for (kept, first, end, expected) in [
        (true, 7, "", None),
        (true, 7, "{", Some((FindingKind::TornTail, 7))),
        (true, 9, "", Some((FindingKind::Missing { to: 8 }, 7))),
        (true, 9, "{", Some((FindingKind::Missing { to: 8 }, 7))),
        (
            true,
            u64::MAX,
            "",
            Some((FindingKind::Missing { to: u64::MAX - 1 }, 7)),
        ),
        (true, 1, "", Some((FindingKind::Misnamed, 3))),
        (false, 7, "", Some((FindingKind::Missing { to: 6 }, 6))),
    ] {
        if !kept {
            fs::remove_file(scratch.path().join(last)).unwrap();
        }
        fs::write(path(first), end).unwrap();
        let found = finding(scratch.path()).map(|found| (found.kind(), found.index()));
        assert_eq!(found, expected, "{first}, {end:?}");
        fs::remove_file(path(first)).unwrap();
        fs::write(scratch.path().join(last), whole).unwrap();
    }
    // Of all lines, nothing may be left but a name.
    let other = Scratch::new();
    fs::create_dir(other.path()).unwrap();
    fs::write(other.path().join("00000000000000000042.jsonl"), "").unwrap();
    let found = finding(other.path()).unwrap();
    assert_eq!(
        (found.kind(), found.index()),
        (FindingKind::Missing { to: 41 }, 0)
    );
    assert!(DurableLog::open(other.path()).is_err());
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

/// Whoever may make links where the log is has no file cut or written that is elsewhere, and keeps nobody reading for ever.
#[cfg(unix)]
#[test]
fn links_are_not_written_through() {
    use std::os::unix::fs::symlink;
    let outside = Scratch::new();
    fs::create_dir(outside.path()).unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "a file without a line break").unwrap();
    for name in ["00000000000000000000.jsonl", "lock"] {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path()).unwrap();
        symlink(&victim, scratch.path().join(name)).unwrap();
        let error = DurableLog::open(scratch.path()).unwrap_err();
        assert!(error.path().ends_with(name), "{error}");
    }
    assert_eq!(
        fs::read_to_string(&victim).unwrap(),
        "a file without a line break"
    );

    // Complete segments that were put elsewhere are read there, and the log goes on.
    let (scratch, segments) = small_log();
    let moved = scratch.path().join(&segments[0].0);
    fs::rename(&moved, outside.path().join("moved")).unwrap();
    symlink(outside.path().join("moved"), &moved).unwrap();
    assert_eq!(finding(scratch.path()), None);
    write(DurableLog::options(scratch.path()), 1);
    assert_eq!(finding(scratch.path()), None);

    // A line that is missing is looked for in what comes later.
    let first = segments[0]
        .1
        .split_inclusive(|byte| *byte == b'\n')
        .next()
        .unwrap();
    fs::write(&moved, &segments[0].1[first.len()..]).unwrap();
    let endless = scratch.path().join(&segments[1].0);
    fs::remove_file(&endless).unwrap();
    symlink("/dev/zero", &endless).unwrap();
    assert!(verify(scratch.path(), None).is_err());
}

#[test]
fn a_line_without_end_is_not_read_into_memory() {
    let scratch = Scratch::new();
    write(DurableLog::options(scratch.path()), 1);
    let (name, mut bytes) = segments(scratch.path()).pop().unwrap();
    bytes.resize(bytes.len() + 3 * MAX_LINE_BYTES, b'x');
    fs::write(scratch.path().join(&name), &bytes).unwrap();
    let found = finding(scratch.path()).unwrap();
    assert_eq!((found.kind(), found.index()), (FindingKind::Altered, 1));
    assert!(DurableLog::open(scratch.path()).is_err());
}

proptest! {
    #![proptest_config(config(60))]

    /// Whatever the files hold: no panic, and nothing but the log itself passes as fine.
    #[test]
    fn hostile_files_are_read(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
    ) {
        let (scratch, segments) = small_log();
        let all = lines(&segments).concat();
        let mut bytes = Vec::new();
        for (from, to, _) in &cuts {
            let (from, to) = (from.index(all.len()), to.index(all.len()));
            bytes.extend_from_slice(&all[from.min(to)..from.max(to)]);
        }
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..at, noise);
        let target = cuts[0].2.index(segments.len());
        fs::write(scratch.path().join(&segments[target].0), &bytes).unwrap();
        let found = finding(scratch.path());
        let same = all.starts_with(&bytes) || bytes == segments[target].1;
        prop_assert!(found.is_some() || same, "{} bytes in segment {target}", bytes.len());
        // The next writer refuses it or goes on with it, and harms nothing else.
        if let Ok(log) = DurableLog::open(scratch.path()) {
            drop(log);
        }
        for (name, before) in segments.iter().take(2).filter(|(name, _)| *name != segments[target].0) {
            prop_assert_eq!(&fs::read(scratch.path().join(name)).unwrap(), before);
        }
    }
}
