//! What is synced beside writing: nothing that was acknowledged is lost, and no more is unsynced than was said.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::super::MAX_LINE_BYTES;
use super::super::writer::{Lines, UNSYNCED_BYTES, Work};
use super::storage::{Call, Fault};
use super::*;
use crate::evidence::DecisionSink;
use crate::evidence::json::Buffer;

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

/// A segment may come of age between the look at whether somebody syncs it and the next line: it stays until the sync is over,
/// which would be taken for one of the new segment otherwise.
#[test]
fn a_segment_that_comes_of_age_while_it_is_synced_is_not_left() {
    let scratch = Scratch::new("age");
    let faults = Faults::none();
    let age = Duration::from_millis(200);
    let options = options(scratch.path(), LONG_BATCH).segment_age(age);
    let log = Arc::new(open(options, &faults).unwrap());
    let authorizer = authorizer(Arc::clone(&log));
    assert!((0..3).all(|user| decide(&authorizer, user)));
    let mut state = log.shared.lock();
    let writer = &mut state.writer;
    let beside = writer.begin_sync().unwrap();
    assert!(!writer.must_be_idle(1));
    std::thread::sleep(2 * age);
    let line = |out: &mut Buffer| {
        out.extend(br#"{"principal":{"id":"3"}}"#);
        Ok(())
    };
    writer.append(|lines| lines.decision(line)).unwrap();
    assert!(writer.end_sync(beside.sync()));
    assert_eq!(writer.first_unsynced(), 3);
    drop(state);
    assert!(decide(&authorizer, 4));
    faults.set(|call| match call {
        Call::Write => Fault::Torn(10),
        _ => Fault::None,
    });
    assert!(!decide(&authorizer, 5));
    faults.set(|_| Fault::None);
    assert!(decide(&authorizer, 6));
    drop((authorizer, log));
    let seen = check(scratch.path(), &[0, 1, 2, 3, 4, 6], "after a sync of age");
    assert_eq!(seen.segments(), 2);
}

/// Who needs the log while nobody syncs it gets it, also while records keep coming and each sync takes longer than a batch may
/// wait: another one would always be due when one is over.
#[test]
fn who_waits_for_a_sync_is_not_passed_over() {
    let scratch = Scratch::new("fair");
    let sync = SyncPolicy::Batch {
        records: 64,
        within: Duration::from_millis(1),
    };
    let faults = Faults::none();
    faults.slow_syncs(Duration::from_millis(20));
    let log = Arc::new(open(options(scratch.path(), sync), &faults).unwrap());
    let stop = AtomicUsize::new(0);
    let waited = std::thread::scope(|scope| {
        for first in [0, 1_000_000] {
            let (log, stop) = (Arc::clone(&log), &stop);
            scope.spawn(move || {
                let authorizer = authorizer(log);
                for user in first.. {
                    if stop.load(Ordering::SeqCst) > 0 {
                        break;
                    }
                    decide(&authorizer, user);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        let line = |out: &mut Buffer| {
            out.extend(br#"{"principal":{"id":"3"}}"#);
            Ok(())
        };
        let large = |lines: &mut Lines<'_>| (0..40).try_for_each(|_| lines.decision(line));
        let calls: [&dyn Fn() -> bool; 5] = [
            &|| log.checkpoint().is_ok(),
            &|| log.sync().is_ok(),
            &|| log.flush().is_ok(),
            &|| log.record_loss(1).is_ok(),
            // So many lines that there is seldom room for them beside what the others append.
            &|| log.append(60, large).is_ok(),
        ];
        let waited = calls.map(|call| {
            let began = Instant::now();
            let most = (0..20).map(|_| {
                let began = Instant::now();
                assert!(call());
                began.elapsed()
            });
            (most.max().unwrap(), began.elapsed())
        });
        stop.store(1, Ordering::SeqCst);
        waited
    });
    assert!(
        waited
            .iter()
            .all(|(most, _)| *most < Duration::from_secs(10)),
        "{waited:?}"
    );
    assert_eq!(verify(scratch.path(), None).unwrap().finding(), None);
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
