//! A log is opened against a checkpoint: what was done to it while nobody wrote it shows before a line is added.

use std::collections::BTreeMap;
use std::fs;

use duramen::evidence::log::{Checkpoint, DurableLog, FindingKind, LogErrorKind, LogId, verify};

use super::*;

/// A log of ten lines in segments of about three, closed, and its checkpoints: after each line, from none on.
fn log() -> (Scratch, Vec<Checkpoint>) {
    let scratch = Scratch::new();
    let log = Arc::new(options(&scratch).open().unwrap());
    let authorizer = authorizer(&log);
    let mut checkpoints = vec![log.checkpoint().unwrap()];
    for number in 0..10 {
        assert!(authorizer.is_allowed(&request(&format!("user {number}"))));
        checkpoints.push(log.checkpoint().unwrap());
    }
    assert!(segments(scratch.path()).len() > 2);
    (scratch, checkpoints)
}

fn options(scratch: &Scratch) -> LogOptions {
    DurableLog::options(scratch.path()).segment_bytes(3000)
}

fn files(scratch: &Scratch) -> BTreeMap<String, Vec<u8>> {
    segments(scratch.path()).into_iter().collect()
}

fn put(scratch: &Scratch, files: &BTreeMap<String, Vec<u8>>) {
    for (name, _) in segments(scratch.path()) {
        fs::remove_file(scratch.path().join(name)).unwrap();
    }
    for (name, bytes) in files {
        fs::write(scratch.path().join(name), bytes).unwrap();
    }
}

/// The log is not opened, and no file of it changed.
#[track_caller]
fn refused(scratch: &Scratch, checkpoint: &Checkpoint) -> (FindingKind, u64) {
    let before = files(scratch);
    let error = options(scratch)
        .expect_checkpoint(checkpoint.clone())
        .open()
        .unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Damaged, "{error}");
    assert_eq!(files(scratch), before, "{error}");
    let finding = error.finding().unwrap();
    (finding.kind(), finding.index())
}

#[track_caller]
fn opened(scratch: &Scratch, checkpoint: &Checkpoint) -> DurableLog {
    let log = options(scratch).expect_checkpoint(checkpoint.clone());
    log.open().unwrap_or_else(|error| panic!("{error}"))
}

/// The first so many lines, in their files.
fn first(whole: &BTreeMap<String, Vec<u8>>, mut lines: usize) -> BTreeMap<String, Vec<u8>> {
    let mut kept = BTreeMap::new();
    for (name, bytes) in whole {
        let some: Vec<&[u8]> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .take(lines)
            .collect();
        lines -= some.len();
        if !some.is_empty() {
            kept.insert(name.clone(), some.concat());
        }
    }
    kept
}

#[test]
fn a_log_is_opened_if_it_has_what_it_had_at_the_checkpoint() {
    let (scratch, checkpoints) = log();
    for checkpoint in &checkpoints {
        drop(opened(&scratch, checkpoint));
    }
    // What is written behind it is no matter, in whatever segment.
    write(options(&scratch), 5);
    for checkpoint in &checkpoints {
        let log = opened(&scratch, checkpoint);
        assert_eq!(log.checkpoint().unwrap().log(), checkpoints[10].log());
    }
}

/// Cut off at any line while nobody wrote it: whole lines, whole segments, all of it.
#[test]
fn what_was_cut_off_meanwhile_shows_when_the_log_is_opened() {
    let (scratch, checkpoints) = log();
    let whole = files(&scratch);
    for left in 0..10 {
        let rest = first(&whole, left);
        for (count, checkpoint) in checkpoints.iter().enumerate() {
            put(&scratch, &rest);
            if count <= left {
                drop(opened(&scratch, checkpoint));
                continue;
            }
            let kind = FindingKind::Truncated {
                expected: count as u64,
            };
            assert_eq!(refused(&scratch, checkpoint), (kind, left as u64));
        }
    }
    // Without one, the log goes on behind the cut, and what the next one shows is no cut.
    put(&scratch, &first(&whole, 6));
    write(options(&scratch), 4);
    let after = Checkpoint::of(scratch.path()).unwrap();
    assert!(verify(scratch.path(), Some(&after)).unwrap().is_fine());
    let (kind, index) = refused(&scratch, &checkpoints[10]);
    assert_eq!((kind.as_str(), index), ("checkpoint_differs", 9));
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew() {
    let (scratch, checkpoints) = log();
    let last = checkpoints.last().unwrap();
    let gone = (FindingKind::Truncated { expected: 10 }, 0);
    put(&scratch, &BTreeMap::new());
    assert_eq!(refused(&scratch, last), gone);
    let empty = scratch.path().join("00000000000000000000.jsonl");
    fs::write(&empty, "").unwrap();
    assert_eq!(refused(&scratch, last), gone);
    fs::remove_dir_all(scratch.path()).unwrap();
    let error = options(&scratch).expect_checkpoint(last.clone()).open();
    let error = error.unwrap_err();
    let finding = error.finding().unwrap();
    assert_eq!((finding.kind(), finding.index()), gone);
    let told = error.to_string();
    assert!(told.contains("has no lines, and had 10"), "{told}");
    assert!(!scratch.path().exists());
    // There was nothing that could be missing.
    drop(opened(&scratch, &checkpoints[0]));
}

#[test]
fn the_chain_since_the_checkpoint_is_looked_at() {
    let (scratch, checkpoints) = log();
    let whole = files(&scratch);
    let names: Vec<&String> = whole.keys().collect();
    let starts: Vec<usize> = names
        .iter()
        .map(|name| name[..20].parse().unwrap())
        .collect();
    // A segment between the checkpoint and the end is missing, or a byte of it is another one.
    let mut hole = whole.clone();
    hole.remove(names[1]);
    put(&scratch, &hole);
    let kind = FindingKind::Missing {
        to: starts[2] as u64 - 1,
    };
    let found = (kind, starts[1] as u64);
    assert_eq!(refused(&scratch, &checkpoints[1]), found);
    assert_eq!(refused(&scratch, &checkpoints[starts[1]]), found);
    let mut altered = whole.clone();
    altered.get_mut(names[1]).unwrap()[200] ^= 1;
    put(&scratch, &altered);
    let found = (FindingKind::Altered, starts[1] as u64);
    assert_eq!(refused(&scratch, &checkpoints[1]), found);
    // In the segment of the checkpoint's line also before that.
    assert_eq!(refused(&scratch, &checkpoints[starts[2]]), found);
    // What comes before is looked at by whoever verifies.
    drop(opened(&scratch, &checkpoints[starts[2] + 1]));
    assert!(!verify(scratch.path(), None).unwrap().is_fine());
}

#[test]
fn a_checkpoint_of_another_log_is_told_as_that() {
    let (scratch, checkpoints) = log();
    let (other, others) = log();
    for of in &others[1..] {
        let (kind, index) = refused(&scratch, of);
        let (found, expected) = (checkpoints[1].log().unwrap(), of.log().unwrap());
        assert_eq!(kind, FindingKind::OtherLog { found, expected });
        assert_eq!(verify(scratch.path(), None).unwrap().log(), Some(found));
        let seen = verify(scratch.path(), Some(of)).unwrap();
        assert_eq!(seen.finding().unwrap().kind(), kind);
        assert!(!seen.checkpoint_compared() && index < 10);
        let told = seen.finding().unwrap().to_string();
        assert!(
            told.contains(&found.to_string()) && told.contains(&expected.to_string()),
            "{told}"
        );
    }
    // The same, seen from the other side: other files were put where the log was.
    put(&other, &files(&scratch));
    let (kind, _) = refused(&other, &others[10]);
    assert_eq!(kind.as_str(), "other_log");
    // What is wrong with the log comes before what is wrong with the checkpoint.
    let mut altered = files(&scratch);
    altered.values_mut().next().unwrap()[100] ^= 1;
    put(&scratch, &altered);
    let seen = verify(scratch.path(), Some(&others[10])).unwrap();
    assert_eq!(seen.finding().unwrap().kind(), FindingKind::Altered);
}

/// Each segment says which log it is of, by itself.
#[test]
fn segments_say_which_log_they_are_of() {
    let (scratch, checkpoints) = log();
    let log = checkpoints[1].log().unwrap();
    assert_eq!(log.to_string().parse(), Ok(log));
    let json = serde_json::to_string(&log).unwrap();
    assert_eq!(json, format!("\"{log}\""));
    assert_eq!(serde_json::from_str::<LogId>(&json).unwrap(), log);
    for other in [
        "",
        &json,
        &log.to_string()[1..],
        "+0123456789abcdef0123456789abcde",
    ] {
        assert!(other.parse::<LogId>().is_err(), "{other}");
        assert!(serde_json::from_value::<LogId>(other.into()).is_err());
    }
    assert!(checkpoints[2..].iter().all(|of| of.log() == Some(log)));
    assert_eq!(checkpoints[0].log(), None, "no line says it yet");
    for (_, bytes) in segments(scratch.path()) {
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else {
                continue;
            };
            let expected = (at == 0).then(|| log.to_string());
            assert_eq!(line["log"].as_str(), expected.as_deref());
        }
    }
    // Nobody puts another one there.
    for (name, bytes) in segments(scratch.path()) {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let digits = log.to_string();
        let changed = text.replace(&digits, &digits.replace(&digits[..1], "0"));
        let without = text.replace(&format!("\"log\":\"{digits}\","), "");
        for text in [changed, without]
            .into_iter()
            .filter(|other| *other != text)
        {
            fs::write(scratch.path().join(&name), text).unwrap();
            assert_eq!(
                finding(scratch.path()).unwrap().kind(),
                FindingKind::Altered
            );
        }
        fs::write(scratch.path().join(&name), bytes).unwrap();
    }
}

/// Writes the log anew, with what `change` makes of each segment and hashes that fit.
fn write_anew(scratch: &Scratch, change: impl Fn(usize, &str) -> String) {
    let (mut before, mut anew) = ("0".repeat(64), BTreeMap::new());
    for (at, (name, bytes)) in segments(scratch.path()).into_iter().enumerate() {
        let lines: &mut Vec<u8> = anew.entry(name).or_default();
        for line in change(at, str::from_utf8(&bytes).unwrap()).lines() {
            let (line, hash) = super::tamper::resealed(line.as_bytes(), &before);
            lines.extend(line);
            before = hash;
        }
    }
    put(scratch, &anew);
}

/// Not even who computes all hashes anew makes one log of the segments of two.
#[test]
fn segments_of_two_logs_are_not_one() {
    let (scratch, checkpoints) = log();
    let id = checkpoints[1].log().unwrap().to_string();
    write_anew(&scratch, |at, text| match at {
        1 => text.replace(&id, &"5".repeat(32)),
        _ => text.to_owned(),
    });
    let found = finding(scratch.path()).unwrap();
    let (second, _) = &segments(scratch.path())[1];
    assert_eq!(found.kind(), FindingKind::Altered);
    assert_eq!((found.segment(), found.line()), (&**second, 1));
}

/// A log from before there were ids is read, continued and held against its checkpoints, which do not name it.
#[test]
fn a_log_without_an_id_goes_on_without() {
    let (scratch, checkpoints) = log();
    let id = format!("\"log\":\"{}\",", checkpoints[1].log().unwrap());
    write_anew(&scratch, |_, text| text.replace(&id, ""));
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    assert_eq!(checkpoint.log(), None);
    assert!(
        checkpoint
            .to_json()
            .starts_with("{\"format\":1,\"count\":10,")
    );
    let log = Arc::new(opened(&scratch, &checkpoint));
    for number in 0..5 {
        let authorizer = authorizer(&log);
        assert!(authorizer.is_allowed(&request(&format!("user {number}"))));
    }
    assert_eq!(log.checkpoint().unwrap().log(), None);
    let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
    assert!(seen.is_fine() && seen.checkpoint_compared());
    assert_eq!(seen.log(), None);
    drop(log);
    // That of a log with an id, which it is not.
    let (kind, _) = refused(&scratch, &checkpoints[10]);
    assert_eq!(kind.as_str(), "checkpoint_differs");
}

/// What a crash leaves half-written behind the checkpoint is repaired; where it takes the checkpoint along, it was no crash.
#[test]
fn a_torn_tail_is_repaired_only_behind_the_checkpoint() {
    let (scratch, checkpoints) = log();
    let whole = files(&scratch);
    let (name, bytes) = whole.last_key_value().unwrap();
    let last = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    for cut in [last + 1, last + 50, bytes.len() - 1] {
        let mut torn = whole.clone();
        torn.insert(name.clone(), bytes[..cut].to_vec());
        put(&scratch, &torn);
        let kind = FindingKind::Truncated { expected: 10 };
        assert_eq!(refused(&scratch, &checkpoints[10]), (kind, 9));
        let log = opened(&scratch, &checkpoints[9]);
        assert_eq!(
            log.checkpoint().unwrap().count(),
            10,
            "the entry of the cut"
        );
        let seen = verify(scratch.path(), Some(&checkpoints[9])).unwrap();
        assert!(seen.is_fine() && seen.checkpoint_compared());
        assert_eq!(seen.cuts(), 1);
    }
}

#[test]
fn a_checkpoint_that_retention_has_outrun_is_refused_as_old() {
    let scratch = Scratch::new();
    let options = || options(&scratch).segment_bytes(1).keep_bytes(8_000);
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    let mut first = 0;
    // Until a checkpoint is about the last line that was removed.
    while first < 3 || checkpoints.iter().all(|of| of.count() != first) {
        let mut options = options();
        if let Some(last) = checkpoints.last() {
            options = options.expect_checkpoint(last.clone());
        }
        let log = Arc::new(options.open().unwrap());
        assert!(authorizer(&log).is_allowed(&request("ann")));
        checkpoints.push(log.checkpoint().unwrap());
        first = verify(scratch.path(), None).unwrap().first_index();
        assert!(checkpoints.len() < 100);
    }
    for checkpoint in &checkpoints {
        let opened = options().expect_checkpoint(checkpoint.clone()).open();
        if checkpoint.count() >= first {
            drop(opened.unwrap());
            continue;
        }
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::OldCheckpoint, "{error}");
        let why = std::error::Error::source(&error).unwrap().to_string();
        let lines = format!("first {} lines", checkpoint.count());
        assert!(
            why.contains(&lines) && why.contains(&format!("line {first}")),
            "{why}"
        );
    }
    // Removed by somebody else, of which the log does not tell.
    let (name, _) = segments(scratch.path()).remove(0);
    fs::remove_file(scratch.path().join(name)).unwrap();
    let kind = FindingKind::Missing { to: first };
    assert_eq!(refused(&scratch, &checkpoints[0]), (kind, 0));
}

#[cfg(feature = "signed-checkpoints")]
#[test]
fn only_a_checkpoint_with_the_signature_is_relied_on() {
    let (scratch, checkpoints) = log();
    let public = |secret: &[u8; 32]| {
        let key = ed25519_dalek::SigningKey::from_bytes(secret);
        key.verifying_key().to_bytes()
    };
    let (secret, other) = ([7; 32], [8; 32]);
    let signed = checkpoints[9].clone().signed(&secret);
    let open = |checkpoint: &Checkpoint, key: &[u8; 32]| {
        options(&scratch)
            .expect_signed_checkpoint(checkpoint.clone(), key)
            .open()
    };
    drop(open(&signed, &public(&secret)).unwrap());
    let (other_log, others) = log();
    let renamed = signed.to_json().replace(
        &signed.log().unwrap().to_string(),
        &others[1].log().unwrap().to_string(),
    );
    let renamed = Checkpoint::from_json(&renamed).unwrap();
    for (checkpoint, key) in [
        (&signed, &other),
        (&checkpoints[9], &secret),
        (&renamed, &secret),
    ] {
        let error = open(checkpoint, &public(key)).unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::BadCheckpoint, "{error}");
    }
    // A signature is no substitute for the log.
    fs::remove_dir_all(other_log.path()).unwrap();
    put(&scratch, &first(&files(&scratch), 4));
    let error = open(&signed, &public(&secret)).unwrap_err();
    let kind = FindingKind::Truncated { expected: 9 };
    assert_eq!(error.finding().unwrap().kind(), kind);
}
