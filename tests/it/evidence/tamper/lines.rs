//! Lines and segments that are changed, removed, moved, copied or put in from elsewhere.

use super::*;

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
            assert_eq!(found.kind().as_str(), "checkpoint_differs");
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
