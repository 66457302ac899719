use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::super::chain::{EntryKind, Head, LineHash, Sealed};
use super::super::event::{Cut, Event, Gap};
use super::super::segment;
use super::super::verify::verify_storage;
use super::super::writer::{UNSYNCED_BYTES, Work};
use super::super::{Checkpoint, LogErrorKind, MAX_LINE_BYTES, verify};
use super::storage::{Call, Fault};
use super::*;
use crate::evidence::Delivery;
use crate::evidence::json::Buffer;

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::EachRecord, LONG_BATCH, SyncPolicy::Never];

/// The log holds exactly the acknowledged records, in order, and its chain holds.
#[track_caller]
fn check(path: &Path, acknowledged: &[usize], what: &str) -> super::super::Verification {
    assert_eq!(recorded(path), acknowledged, "{what}");
    let seen = verify(path, None).unwrap();
    assert_eq!(seen.finding(), None, "{what}");
    assert_eq!(seen.decisions(), acknowledged.len() as u64, "{what}");
    seen
}

#[test]
fn a_full_disk_denies_and_is_told_afterwards() {
    for (number, sync) in POLICIES.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("full-{number}"));
        let faults = Faults::none();
        let authorizer = authorizer(open(options(scratch.path(), sync), &faults).unwrap());
        assert!(decide(&authorizer, 0));
        assert!(decide(&authorizer, 1));
        // Half a line, and then nothing any more.
        let mut torn = false;
        faults.set(move |call| match call {
            Call::Write if !std::mem::replace(&mut torn, true) => Fault::Torn(100),
            Call::Write | Call::Create => Fault::Fails(ErrorKind::StorageFull),
            _ => Fault::None,
        });
        for user in 2..6 {
            assert!(!decide(&authorizer, user));
        }
        faults.set(|_| Fault::None);
        assert!(decide(&authorizer, 6));
        drop(authorizer);
        let seen = check(scratch.path(), &[0, 1, 6], "after the disk was full");
        assert_eq!((seen.lost(), seen.cuts()), (4, 1));
    }
}

#[test]
fn short_writes_lose_nothing() {
    let scratch = Scratch::new("short");
    let mut bytes = 0;
    let faults = Faults::new(move |call| {
        bytes = (bytes * 7 + 3) % 90;
        if call == Call::Write {
            Fault::Short(bytes)
        } else {
            Fault::None
        }
    });
    let authorizer = authorizer(open(options(scratch.path(), LONG_BATCH), &faults).unwrap());
    assert!((0..20).all(|user| decide(&authorizer, user)));
    drop(authorizer);
    let seen = check(scratch.path(), &(0..20).collect::<Vec<_>>(), "short writes");
    assert_eq!(seen.lost(), 0);
}

#[test]
fn a_failing_sync_loses_nothing_that_was_acknowledged() {
    for (number, sync) in [SyncPolicy::EachRecord, LONG_BATCH].into_iter().enumerate() {
        for fault in [Fault::Forgets, Fault::Fails(ErrorKind::Other)] {
            let scratch = Scratch::new(&format!("sync-{number}-{fault:?}").replace(['(', ')'], ""));
            let faults = Faults::none();
            let log = Arc::new(open(options(scratch.path(), sync), &faults).unwrap());
            let authorizer = authorizer(Arc::clone(&log));
            let mut acknowledged = Vec::new();
            for round in 0..3 {
                for user in round * 10..round * 10 + 4 {
                    assert!(decide(&authorizer, user));
                    acknowledged.push(user);
                }
                faults.set(move |call| {
                    if call == Call::Sync {
                        fault
                    } else {
                        Fault::None
                    }
                });
                // Nothing is synced, and what was is not claimed to be.
                assert_eq!(log.sync().unwrap_err().kind(), LogErrorKind::NotSynced);
                assert!(log.checkpoint().is_err());
                assert!(!decide(&authorizer, 1000));
                faults.set(|_| Fault::None);
            }
            assert!(decide(&authorizer, 99));
            acknowledged.push(99);
            let checkpoint = log.checkpoint().unwrap();
            drop(authorizer);
            drop(log);
            let seen = check(scratch.path(), &acknowledged, "after syncs failed");
            assert_eq!(seen.cuts(), 3);
            assert!(verify(scratch.path(), Some(&checkpoint)).unwrap().is_fine());
        }
    }
}

#[test]
fn what_a_batch_syncs_late_is_not_acknowledged_when_that_fails() {
    let scratch = Scratch::new("batch");
    let faults = Faults::none();
    let sync = SyncPolicy::Batch {
        records: 3,
        within: Duration::from_secs(1000),
    };
    let authorizer = authorizer(open(options(scratch.path(), sync), &faults).unwrap());
    faults.set(|call| match call {
        Call::Sync => Fault::Forgets,
        _ => Fault::None,
    });
    assert!(decide(&authorizer, 0));
    assert!(decide(&authorizer, 1));
    assert!(!decide(&authorizer, 2));
    assert!(!decide(&authorizer, 3));
    faults.set(|_| Fault::None);
    assert!(decide(&authorizer, 4));
    drop(authorizer);
    let seen = check(scratch.path(), &[0, 1, 4], "after a batch was not synced");
    assert_eq!(seen.lost(), 2);
}

/// Half of a large batch is synced while the other half is written: whatever fails then, what was acknowledged is there.
#[test]
fn syncs_beside_writing_lose_nothing_that_was_acknowledged() {
    const RECORDS: u64 = 128;
    for fault in [Fault::Forgets, Fault::Fails(ErrorKind::Other)] {
        let scratch = Scratch::new(&format!("beside-{fault:?}").replace(['(', ')'], ""));
        let faults = Faults::none();
        let sync = SyncPolicy::Batch {
            records: RECORDS,
            within: Duration::from_secs(1000),
        };
        let options = options(scratch.path(), sync).segment_bytes(300_000);
        let log = Arc::new(open(options, &faults).unwrap());
        let authorizer = authorizer(Arc::clone(&log));
        let (mut syncs, mut writes) = (0, 0);
        faults.set(move |call| {
            let fails = match call {
                Call::Sync => {
                    syncs += 1;
                    syncs % 5 == 4
                }
                Call::Write => {
                    writes += 1;
                    writes % 300 == 0
                }
                _ => false,
            };
            match call {
                Call::Sync if fails => fault,
                Call::Write if fails => Fault::Torn(100),
                _ => Fault::None,
            }
        });
        let mut acknowledged = Vec::new();
        for user in 0..1500 {
            if decide(&authorizer, user) {
                acknowledged.push(user);
            }
            let writer = &log.shared.lock().writer;
            assert!(writer.head.next - writer.first_unsynced() <= RECORDS);
        }
        faults.set(|_| Fault::None);
        assert!(acknowledged.len() > 1200);
        let checkpoint = log.checkpoint().unwrap();
        drop((authorizer, log));
        let seen = check(scratch.path(), &acknowledged, "after syncs beside failed");
        assert!(seen.cuts() > 4, "{}", seen.cuts());
        assert!(verify(scratch.path(), Some(&checkpoint)).unwrap().is_fine());
    }
}

/// Deciding threads go on while a batch is synced, and wait before more is unsynced than the policy says.
#[test]
fn syncs_beside_writing_leave_no_more_unsynced_than_was_said() {
    const RECORDS: usize = 128;
    let scratch = Scratch::new("bound");
    let faults = Faults::none();
    let sync = SyncPolicy::Batch {
        records: RECORDS as u64,
        within: Duration::from_secs(1000),
    };
    let log = Arc::new(open(options(scratch.path(), sync), &faults).unwrap());
    let authorizer = authorizer(Arc::clone(&log));
    // A record may take two lines.
    let most = RECORDS - 1;
    assert_eq!(
        until_held((&log, &faults), 400, most, |user| assert!(decide(
            &authorizer,
            user
        ))),
        most
    );
}

/// Nor more than fits in memory.
#[test]
fn syncs_beside_writing_leave_no_more_in_memory_than_was_said() {
    const LONG: usize = MAX_LINE_BYTES / 8;
    let scratch = Scratch::new("memory");
    let faults = Faults::none();
    let log = open(options(scratch.path(), LONG_BATCH), &faults).unwrap();
    let text = format!("{{\"long\":\"{}\"}}", "x".repeat(LONG));
    let most = UNSYNCED_BYTES / LONG;
    let appended = until_held((&log, &faults), 3 * most, most, |_| {
        let line = |out: &mut Buffer| {
            out.extend(text.as_bytes());
            Ok(())
        };
        log.append(1, |lines| lines.decision(line)).unwrap();
    });
    assert_eq!(appended, most);
}

/// Appends so many while syncs are held up: how many it were when it came to a stop, at `most` or later.
fn until_held(
    (log, faults): (&DurableLog, &Faults),
    all: usize,
    most: usize,
    append: impl Fn(usize) + Sync,
) -> usize {
    // Not before the sync beside it has begun: the writer would sync by itself.
    let is_late = || {
        let writer = &log.shared.lock().writer;
        writer.syncing_work() == Work::Now && !writer.is_syncing()
    };
    faults.hold_syncs(true);
    let appended = AtomicUsize::new(0);
    let count = || appended.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..all {
                append(number);
                while is_late() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                appended.fetch_add(1, Ordering::SeqCst);
            }
        });
        let began = Instant::now();
        while count() < most && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(300));
        let held_at = count();
        faults.hold_syncs(false);
        held_at
    })
}

/// A log is not continued behind lines that are not what was written.
#[test]
fn a_repair_looks_at_what_was_synced() {
    type Alter = fn(&mut Vec<u8>);
    let alterations: [(&str, Alter); 4] = [
        ("a byte", |bytes| bytes[100] ^= 1),
        ("all gone", Vec::clear),
        ("the last line gone", |bytes| {
            let last = bytes[..bytes.len() - 1].iter().rposition(|c| *c == b'\n');
            bytes.truncate(last.unwrap() + 1);
        }),
        ("the last line another, with its hash", |bytes| {
            let last = bytes[..bytes.len() - 1].iter().rposition(|c| *c == b'\n');
            let line = bytes.split_off(last.unwrap() + 1);
            let sealed = Sealed::read(line.strip_suffix(b"\n").unwrap()).unwrap();
            let mut head = Head {
                next: sealed.index,
                hash: sealed.prev,
            };
            let text = String::from_utf8(line.clone()).unwrap();
            let record = text.split(",\"chain\":").next().unwrap();
            let mut other = Buffer::default();
            other.extend(record.replace("\"id\":\"2\"", "\"id\":\"7\"").as_bytes());
            other.push(b'}');
            assert!(head.seal(&mut other, 0, EntryKind::Decision));
            assert_ne!(other.as_slice(), line);
            bytes.extend_from_slice(other.as_slice());
        }),
    ];
    for (number, (what, alter)) in alterations.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("synced-{number}"));
        let faults = Faults::none();
        let log = open(options(scratch.path(), SyncPolicy::EachRecord), &faults).unwrap();
        let log = Arc::new(log);
        let authorizer = authorizer(Arc::clone(&log));
        assert!((0..3).all(|user| decide(&authorizer, user)));
        let file = scratch.path().join("00000000000000000000.jsonl");
        let written = std::fs::read(&file).unwrap();
        faults.set(|call| match call {
            Call::Write => Fault::Torn(10),
            _ => Fault::None,
        });
        assert!(!decide(&authorizer, 3));
        faults.set(|_| Fault::None);
        let torn = std::fs::read(&file).unwrap();
        let mut altered = written.clone();
        alter(&mut altered);
        altered.extend_from_slice(&torn[written.len()..]);
        std::fs::write(&file, &altered).unwrap();
        assert!(!decide(&authorizer, 4), "{what}");
        let error = log.sync().unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Damaged, "{what}");
        assert_eq!(
            std::fs::read(&file).unwrap(),
            altered,
            "it is left as it was found"
        );
        // It goes on once that is as it was.
        std::fs::write(&file, &torn).unwrap();
        assert!(decide(&authorizer, 5), "{what}");
        drop((authorizer, log));
        assert_eq!(check(scratch.path(), &[0, 1, 2, 5], what).cuts(), 1);
    }
}

/// Wherever everything stops for ever, the next writer finds all that was acknowledged, and goes on.
#[test]
fn a_crash_at_any_call_loses_nothing_that_was_acknowledged() {
    let mut crashes = 0;
    for (number, sync) in POLICIES.into_iter().enumerate() {
        for at in 0.. {
            let scratch = Scratch::new(&format!("crash-{number}"));
            let path = scratch.path();
            let what = format!("{sync:?}, crash at call {at}");
            // One write fails half-way, so that there is something to repair; later everything stops.
            let (mut calls, mut writes) = (0, 0);
            let faults = Faults::new(move |call| {
                calls += 1;
                writes += u32::from(call == Call::Write);
                match call {
                    _ if calls > at + 1 => Fault::Fails(ErrorKind::Other),
                    Call::Write if calls > at => Fault::Torn(150),
                    _ if calls > at => Fault::Fails(ErrorKind::Other),
                    Call::Write if writes == 4 => Fault::Torn(50),
                    Call::Sync if writes == 9 => Fault::Fails(ErrorKind::Other),
                    _ => Fault::None,
                }
            });
            let options = || options(path, sync).segment_bytes(3000);
            let mut acknowledged = Vec::new();
            if let Ok(log) = open(options(), &faults) {
                let authorizer = authorizer(log);
                acknowledged.extend((0..12).filter(|user| decide(&authorizer, *user)));
            }
            let done = acknowledged.len() > 9;
            let log =
                open(options(), &Faults::none()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let authorizer = authorizer(log);
            assert!(decide(&authorizer, 77), "{what}");
            drop(authorizer);
            acknowledged.push(77);
            let found = recorded(path);
            let seen = verify(path, None).unwrap();
            assert_eq!(seen.finding(), None, "{what}");
            // A record that was written and then not acknowledged may be there, once.
            let mut unacknowledged = found.clone();
            unacknowledged.retain(|user| !acknowledged.contains(user));
            assert!(
                unacknowledged.len() <= 1,
                "{what}: {found:?} {acknowledged:?}"
            );
            let mut kept = found.clone();
            kept.retain(|user| acknowledged.contains(user));
            assert_eq!(kept, acknowledged, "{what}");
            crashes += 1;
            if done {
                break;
            }
        }
    }
    assert!(crashes > 60, "only {crashes} crashes");
}

#[test]
fn what_fails_when_opening_is_named_and_changes_nothing() {
    let scratch = Scratch::new("opening");
    let path = scratch.path();
    let denied = Faults::new(|call| match call {
        Call::Create => Fault::Fails(ErrorKind::PermissionDenied),
        _ => Fault::None,
    });
    let error = open(options(path, LONG_BATCH), &denied).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::ReadOnly);
    assert!(
        error.to_string().contains("00000000000000000000.jsonl"),
        "{error}"
    );

    let log = open(options(path, LONG_BATCH), &Faults::none()).unwrap();
    let error = open(options(path, LONG_BATCH), &Faults::none()).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Locked);
    drop(log);

    let not_synced = Faults::new(|call| match call {
        Call::Sync => Fault::Fails(ErrorKind::Other),
        _ => Fault::None,
    });
    let error = open(options(path, LONG_BATCH), &not_synced).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::NotSynced);

    let file = scratch.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(open(options(&file, LONG_BATCH), &Faults::none()).is_err());
}

#[test]
fn a_failed_log_waits_before_it_repairs_itself() {
    let scratch = Scratch::new("waits");
    let faults = Faults::none();
    let options = options(scratch.path(), LONG_BATCH).retry_after(Duration::from_secs(1000));
    let log = Arc::new(open(options, &faults).unwrap());
    let authorizer = authorizer(Arc::clone(&log));
    faults.set(|call| match call {
        Call::Write => Fault::Torn(10),
        _ => Fault::None,
    });
    assert!(!decide(&authorizer, 0));
    faults.set(|call| panic!("{call:?} while nothing is to be tried"));
    for user in 1..100 {
        assert!(!decide(&authorizer, user));
    }
    assert_eq!(log.sync().unwrap_err().kind(), LogErrorKind::NotRepaired);
}

#[test]
fn losses_may_be_counted_instead() {
    let scratch = Scratch::new("counted");
    let faults = Faults::none();
    let options = options(scratch.path(), LONG_BATCH).delivery(Delivery::CountLoss);
    let authorizer = authorizer(open(options, &faults).unwrap());
    faults.set(|call| match call {
        Call::Write => Fault::Torn(10),
        _ => Fault::None,
    });
    assert!((0..5).all(|user| decide(&authorizer, user)));
    faults.set(|_| Fault::None);
    assert!(decide(&authorizer, 5));
    drop(authorizer);
    let seen = check(scratch.path(), &[5], "with losses counted");
    assert_eq!(seen.lost(), 5);
}

#[test]
fn a_segment_that_cannot_be_begun_is_tried_again() {
    let scratch = Scratch::new("rotation");
    let faults = Faults::none();
    let options = options(scratch.path(), LONG_BATCH).segment_bytes(1000);
    let authorizer = authorizer(open(options, &faults).unwrap());
    for fails in [Call::Create, Call::SyncNames, Call::Sync] {
        faults.set(|_| Fault::None);
        assert!(decide(&authorizer, 0) && decide(&authorizer, 1));
        faults.set(move |call| match call {
            call if call == fails => Fault::Fails(ErrorKind::Other),
            _ => Fault::None,
        });
        assert!((2..9).any(|user| !decide(&authorizer, user)), "{fails:?}");
    }
    faults.set(|_| Fault::None);
    assert!(decide(&authorizer, 9));
    drop(authorizer);
    assert_eq!(verify(scratch.path(), None).unwrap().finding(), None);
}

#[test]
fn segments_that_cannot_be_removed_do_not_stop_the_log() {
    let scratch = Scratch::new("retention");
    let faults = Faults::new(|call| match call {
        Call::Remove => Fault::Fails(ErrorKind::PermissionDenied),
        _ => Fault::None,
    });
    let options = || {
        options(scratch.path(), LONG_BATCH)
            .segment_bytes(2000)
            .keep_bytes(5000)
    };
    let first = authorizer(open(options(), &faults).unwrap());
    assert!((0..30).all(|user| decide(&first, user)));
    drop(first);
    assert_eq!(verify(scratch.path(), None).unwrap().first_index(), 0);
    // The next writer catches up.
    let second = authorizer(open(options(), &Faults::none()).unwrap());
    assert!((0..10).all(|user| decide(&second, user)));
    drop(second);
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(seen.finding(), None);
    assert!(seen.first_index() > 20, "{seen:?}");
    assert!(Checkpoint::of(scratch.path()).is_ok());
}

/// The oldest go first, and none before one that stays.
#[test]
fn what_remains_after_a_removal_that_failed_has_no_hole() {
    let scratch = Scratch::new("hole");
    let mut removals = 0;
    let faults = Faults::new(move |call| {
        removals += u32::from(call == Call::Remove);
        match call {
            Call::Remove if removals % 2 == 1 => Fault::Fails(ErrorKind::PermissionDenied),
            _ => Fault::None,
        }
    });
    let options = options(scratch.path(), LONG_BATCH)
        .segment_bytes(2000)
        .keep_bytes(5000);
    let authorizer = authorizer(open(options, &faults).unwrap());
    for user in 0..60 {
        assert!(decide(&authorizer, user));
        assert_eq!(verify(scratch.path(), None).unwrap().finding(), None);
    }
    drop(authorizer);
    assert!(verify(scratch.path(), None).unwrap().first_index() > 10);
}

/// Retention goes on while somebody reads.
#[test]
fn segments_that_go_while_a_log_is_verified_are_no_error() {
    let scratch = Scratch::new("beside");
    let options = options(scratch.path(), SyncPolicy::Never)
        .segment_bytes(1)
        .keep_bytes(5000);
    let writing = authorizer(options.open().unwrap());
    assert!((0..20).all(|user| decide(&writing, user)));
    // As soon as the segments are listed, they are gone.
    let mut times = 0;
    let faults = Faults::new(move |call| {
        if call == Call::Read && times < 3 {
            times += 1;
            assert!((0..20).all(|user| decide(&writing, user)));
        }
        Fault::None
    });
    let storage = Faulty::beside(scratch.path(), &faults);
    let seen = verify_storage(&storage, None).unwrap();
    assert_eq!(seen.finding(), None);
    assert!(seen.first_index() > 60, "{seen:?}");

    // One that is listed and never there is an error, and so is a directory.
    let faults = Faults::new(|call| match call {
        Call::Read => Fault::Fails(ErrorKind::NotFound),
        _ => Fault::None,
    });
    let storage = Faulty::beside(scratch.path(), &faults);
    let error = verify_storage(&storage, None).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Unreadable);
    let error = verify(scratch.path().join("nothing"), None).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Unreadable);
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

/// A segment has its name on the disk before anything is acknowledged in it.
#[test]
fn a_log_does_not_begin_in_a_directory_that_cannot_be_synced() {
    let scratch = Scratch::new("begin");
    let faults = Faults::new(|call| match call {
        Call::SyncNames => Fault::Fails(ErrorKind::Other),
        _ => Fault::None,
    });
    assert!(open(options(scratch.path(), LONG_BATCH), &faults).is_err());
    assert!(open(options(scratch.path(), LONG_BATCH), &Faults::none()).is_ok());
}

/// Where the last segment has no line yet, the one before it says where the chain stands, if it is whole.
#[test]
fn a_last_segment_without_lines_follows_a_whole_one() {
    let scratch = Scratch::new("follows");
    let log = || open(options(scratch.path(), LONG_BATCH), &Faults::none());
    let first = authorizer(log().unwrap());
    assert!((0..3).all(|user| decide(&first, user)));
    drop(first);
    let segment = |index: u64| scratch.path().join(segment::name(index));
    let whole = std::fs::read(segment(0)).unwrap();
    for (index, end, is_continued) in [
        (3, &b""[..], true),
        (3, b"{\"format\":1", false),
        (2, b"", false),
        (4, b"", false),
    ] {
        std::fs::write(segment(0), [&whole, end].concat()).unwrap();
        std::fs::write(segment(index), b"").unwrap();
        // Who verifies says so, too.
        let seen = verify(scratch.path(), None).unwrap();
        assert_eq!(seen.is_fine(), is_continued, "{index}, {end:?}: {seen:?}");
        assert_eq!(log().is_ok(), is_continued, "{index}, {end:?}");
        std::fs::remove_file(segment(index)).unwrap();
    }
}

/// What an attempt to cut a segment has left is carried out if it is whole, and touches nothing but segments.
#[test]
fn drafts_that_are_torn_or_cut_other_files_are_not_carried_out() {
    let scratch = Scratch::new("drafts");
    let log = || open(options(scratch.path(), LONG_BATCH), &Faults::none());
    let first = authorizer(log().unwrap());
    assert!((0..3).all(|user| decide(&first, user)));
    drop(first);
    let whole = std::fs::read(scratch.path().join(segment::name(0))).unwrap();
    let last = whole.split(|byte| *byte == b'\n').nth(2).unwrap();
    let outside = scratch.path().join("outside");
    std::fs::write(&outside, "not of the log").unwrap();
    let draft = scratch.path().join(segment::draft_name(3));
    let put = |segment: &str, offset, end: &[u8]| {
        let mut head = Head::after(&Sealed::read(last).unwrap());
        let mut line = Buffer::default();
        let cut = Cut {
            segment: segment.into(),
            offset,
            bytes: 1,
            sha256: LineHash::START,
        };
        Event::Cut(cut).write(&mut head, &mut line).unwrap();
        std::fs::write(&draft, [line.as_slice(), end].concat()).unwrap();
    };
    for name in ["outside", "../drafts-outside", "", "lock"] {
        put(name, 1, b"");
        assert!(log().is_err(), "{name}");
    }
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "not of the log");
    // Whoever wrote it had not come to cutting.
    put(&segment::name(0), 1, b"{\"format\":1");
    assert!(log().is_ok());
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!((seen.finding(), seen.count(), seen.cuts()), (None, 3, 0));
    assert!(!draft.exists());
    // Nor had whoever wrote something behind the entry: it is the last.
    put(&segment::name(0), 1, b"");
    let entry = std::fs::read(&draft).unwrap();
    let mut head = Head::after(&Sealed::read(entry.trim_ascii_end()).unwrap());
    let mut more = Buffer::default();
    let gap = Event::Gap(Gap { lost: 1 });
    gap.write(&mut head, &mut more).unwrap();
    std::fs::write(&draft, [&entry, more.as_slice()].concat()).unwrap();
    assert!(log().is_ok());
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!((seen.finding(), seen.count(), seen.cuts()), (None, 3, 0));
    // A segment is cut, and never made longer.
    put(&segment::name(0), 1_000_000, b"");
    assert!(log().is_ok());
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!((seen.finding(), seen.count(), seen.cuts()), (None, 4, 1));
}

/// Whatever the machine does between two of its steps, one of them is on the disk before the next begins.
#[test]
fn a_repair_goes_step_by_step() {
    let scratch = Scratch::new("steps");
    let faults = Faults::none();
    let log = open(options(scratch.path(), SyncPolicy::EachRecord), &faults).unwrap();
    let authorizer = authorizer(log);
    assert!(decide(&authorizer, 0));
    faults.set(|call| match call {
        Call::Write => Fault::Torn(10),
        _ => Fault::None,
    });
    assert!(!decide(&authorizer, 1));
    let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    faults.set(move |call| {
        seen.lock().unwrap().push(call);
        Fault::None
    });
    assert!(decide(&authorizer, 2));
    let calls = std::mem::take(&mut *calls.lock().unwrap());
    let changes = |call: &&Call| !matches!(call, Call::Read | Call::Open | Call::Remove);
    let changes: Vec<_> = calls.iter().filter(changes).copied().collect();
    let expected = [
        Call::Create,
        Call::Write,
        Call::Sync,
        Call::SyncNames,
        Call::SetLen,
        Call::Sync,
        Call::Rename,
        Call::SyncNames,
        // The record itself.
        Call::Write,
        Call::Sync,
    ];
    assert_eq!(changes, expected);
}
