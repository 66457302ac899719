//! What fails when a record is written, and what a repair and a reopening make of it.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::LogErrorKind;
use super::super::chain::{EntryKind, Head, Sealed};
use super::storage::{Call, Fault};
use super::*;
use crate::evidence::Delivery;
use crate::evidence::json::Buffer;

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
                // The log's own thread may still be syncing what it repaired: its failure would be told as one of the repair.
                drop(log.shared.lock_idle());
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
                log: None,
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
    let (mut crashes, mut held) = (0, 0);
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
            let mut checkpoint = None;
            if let Ok(log) = open(options(), &faults) {
                let log = Arc::new(log);
                let authorizer = authorizer(Arc::clone(&log));
                for user in 0..12 {
                    if decide(&authorizer, user) {
                        acknowledged.push(user);
                    }
                    if user == 6 {
                        checkpoint = log.checkpoint().ok();
                    }
                }
            }
            let done = acknowledged.len() > 9;
            held += usize::from(checkpoint.is_some());
            // No crash takes away what there was at a checkpoint, nor does a repair.
            let mut options = options();
            if let Some(checkpoint) = checkpoint {
                options = options.expect_checkpoint(checkpoint);
            }
            let log =
                open(options, &Faults::none()).unwrap_or_else(|error| panic!("{what}: {error}"));
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
    assert!(
        crashes > 60 && held > 20,
        "only {crashes} crashes, {held} checkpoints"
    );
}

/// Nor does a repair that fails at any call and is tried again, and then at any call everything stops for ever.
#[test]
fn a_crash_in_a_repair_that_failed_before_loses_nothing_that_was_acknowledged() {
    const CALLS: usize = 14;
    let (mut failed, mut tried_again) = (0, 0);
    for fails_at in 0..CALLS {
        for stops_at in 0..CALLS {
            let scratch = Scratch::new("twice");
            let path = scratch.path();
            let what = format!("failure at call {fails_at}, crash at call {stops_at}");
            let faults = Faults::none();
            let authorizer = authorizer(open(options(path, LONG_BATCH), &faults).unwrap());
            let mut acknowledged = Vec::new();
            let mut decides = |user| {
                let kept = decide(&authorizer, user);
                acknowledged.extend(kept.then_some(user));
                kept
            };
            assert!((0..3).all(&mut decides));
            faults.set(|call| match call {
                Call::Write => Fault::Torn(100),
                _ => Fault::None,
            });
            assert!(!decides(3));
            let mut calls = 0;
            faults.set(move |call| {
                calls += 1;
                match call {
                    _ if calls != fails_at + 1 => Fault::None,
                    Call::Sync => Fault::Forgets,
                    _ => Fault::Fails(ErrorKind::Other),
                }
            });
            failed += u32::from(!decides(4));
            let mut calls = 0;
            faults.set(move |_| {
                calls += 1;
                match calls > stops_at {
                    true => Fault::Fails(ErrorKind::StorageFull),
                    false => Fault::None,
                }
            });
            tried_again += u32::from(decides(5));
            drop(authorizer);
            let log = open(options(path, LONG_BATCH), &Faults::none());
            let log = log.unwrap_or_else(|error| panic!("{what}: {error}"));
            let authorizer = super::authorizer(log);
            assert!(decide(&authorizer, 77), "{what}");
            drop(authorizer);
            acknowledged.push(77);
            let mut found = recorded(path);
            // A record that was written and then not acknowledged may be there.
            found.retain(|user| acknowledged.contains(user));
            assert_eq!(found, acknowledged, "{what}");
            assert_eq!(verify(path, None).unwrap().finding(), None, "{what}");
        }
    }
    assert!(failed > 150 && tried_again > 20, "{failed}, {tried_again}");
}

/// What was cut off is told, not what an attempt after the cut finds there.
#[test]
fn a_repair_that_is_tried_again_tells_what_was_cut_off() {
    for fails in [Call::Rename, Call::SetLen, Call::SyncNames] {
        let scratch = Scratch::new(&format!("told-{fails:?}"));
        let faults = Faults::none();
        let authorizer = authorizer(open(options(scratch.path(), LONG_BATCH), &faults).unwrap());
        assert!((0..3).all(|user| decide(&authorizer, user)));
        let segment = scratch.path().join("00000000000000000000.jsonl");
        let acknowledged = std::fs::read(&segment).unwrap();
        let mut torn = false;
        faults.set(move |call| match call {
            Call::Write if !std::mem::replace(&mut torn, true) => Fault::Torn(100),
            call if call == fails => Fault::Fails(ErrorKind::Other),
            _ => Fault::None,
        });
        assert!(!decide(&authorizer, 3));
        assert!(!decide(&authorizer, 4));
        // Nothing is read or made again.
        faults.set(|call| match call {
            Call::Read | Call::Create | Call::Remove => Fault::Fails(ErrorKind::StorageFull),
            _ => Fault::None,
        });
        assert!(decide(&authorizer, 5), "{fails:?}");
        drop(authorizer);
        assert_eq!(check(scratch.path(), &[0, 1, 2, 5], "repaired").cuts(), 1);
        let text = std::fs::read_to_string(&segment).unwrap();
        let cut: serde_json::Value = serde_json::from_str(text.lines().nth(3).unwrap()).unwrap();
        assert_eq!(cut["cut"]["bytes"], acknowledged.len() + 100, "{fails:?}");
    }
}

/// Reading a segment takes long, and deciding threads wait meanwhile.
#[test]
fn a_repair_that_is_tried_again_reads_the_segment_once() {
    let scratch = Scratch::new("once");
    let faults = Faults::none();
    let authorizer = authorizer(open(options(scratch.path(), LONG_BATCH), &faults).unwrap());
    assert!(decide(&authorizer, 0));
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    faults.set(move |call| match call {
        Call::Write | Call::Create => Fault::Fails(ErrorKind::StorageFull),
        Call::Read => {
            counted.fetch_add(1, Ordering::SeqCst);
            Fault::None
        }
        _ => Fault::None,
    });
    assert!((1..10).all(|user| !decide(&authorizer, user)));
    // What was synced, and what is behind it.
    assert_eq!(reads.load(Ordering::SeqCst), 2);
    faults.set(|_| Fault::None);
    assert!(decide(&authorizer, 10));
    drop(authorizer);
    let seen = check(scratch.path(), &[0, 10], "after the disk was full");
    assert_eq!(seen.lost(), 9);
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
    faults.set(|_| Fault::None);
}

/// A service that stops right after a failure has no later time to write again what is in memory only.
#[test]
fn a_log_that_is_closed_does_not_wait_before_it_repairs_itself() {
    let scratch = Scratch::new("closed");
    let faults = Faults::none();
    let options = options(scratch.path(), LONG_BATCH).retry_after(Duration::from_secs(1000));
    let log = Arc::new(open(options, &faults).unwrap());
    let authorizer = authorizer(Arc::clone(&log));
    assert!((0..3).all(|user| decide(&authorizer, user)));
    faults.set(|call| match call {
        Call::Sync => Fault::Forgets,
        _ => Fault::None,
    });
    assert_eq!(log.sync().unwrap_err().kind(), LogErrorKind::NotSynced);
    faults.set(|_| Fault::None);
    drop((authorizer, log));
    let seen = check(scratch.path(), &[0, 1, 2], "closed while broken");
    assert_eq!(seen.cuts(), 1);
}

/// Nor does one that is told what was lost last: nobody tells it again.
#[test]
fn what_was_lost_last_is_told_without_waiting() {
    let scratch = Scratch::new("last");
    let faults = Faults::none();
    let options = options(scratch.path(), LONG_BATCH)
        .retry_after(Duration::from_secs(1000))
        .delivery(Delivery::CountLoss);
    let authorizer = authorizer(open(options, &faults).unwrap());
    assert!(decide(&authorizer, 0));
    faults.set(|call| match call {
        Call::Write => Fault::Torn(10),
        _ => Fault::None,
    });
    assert!(decide(&authorizer, 1) && decide(&authorizer, 2));
    faults.set(|_| Fault::None);
    drop(authorizer);
    let seen = check(scratch.path(), &[0], "closed while broken");
    assert_eq!((seen.lost(), seen.cuts()), (2, 1));
}

/// What is unsynced is written again when a sync fails, also when that is the last one.
#[test]
fn a_log_of_which_the_last_sync_fails_repairs_itself() {
    let scratch = Scratch::new("last-sync");
    let faults = Faults::none();
    let authorizer = authorizer(open(options(scratch.path(), LONG_BATCH), &faults).unwrap());
    assert!((0..3).all(|user| decide(&authorizer, user)));
    let mut failed = false;
    faults.set(move |call| match call {
        Call::Sync if !std::mem::replace(&mut failed, true) => Fault::Forgets,
        _ => Fault::None,
    });
    drop(authorizer);
    let seen = check(scratch.path(), &[0, 1, 2], "closed, and not synced");
    assert_eq!(seen.cuts(), 1);
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
