//! Segments that cannot be begun, removed or named, and what is left of an attempt to.

use std::io::ErrorKind;

use super::super::chain::{Head, LineHash, Sealed};
use super::super::event::{Cut, Event, Gap};
use super::super::segment;
use super::super::verify::verify_storage;
use super::super::{Checkpoint, FindingKind, LogErrorKind};
use super::storage::{Call, Fault};
use super::*;
use crate::evidence::json::Buffer;

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

/// What an attempt has left is not in the way of the next one, unless somebody has written to it.
#[test]
fn a_segment_that_was_begun_and_not_named_is_gone_on_with() {
    let scratch = Scratch::new("begun");
    let faults = Faults::none();
    let options = options(scratch.path(), LONG_BATCH).segment_bytes(1);
    let authorizer = authorizer(open(options, &faults).unwrap());
    assert!(decide(&authorizer, 0));
    faults.set(|call| match call {
        Call::SyncNames | Call::Remove => Fault::Fails(ErrorKind::Other),
        _ => Fault::None,
    });
    assert!(!decide(&authorizer, 1) && !decide(&authorizer, 2));
    faults.set(|_| Fault::None);
    let begun = scratch.path().join(segment::name(1));
    std::fs::write(&begun, "x").unwrap();
    assert!(!decide(&authorizer, 3));
    assert_eq!(std::fs::read(&begun).unwrap(), b"x");
    std::fs::write(&begun, "").unwrap();
    assert!(decide(&authorizer, 4));
    drop(authorizer);
    assert_eq!(check(scratch.path(), &[0, 4], "begun again").lost(), 3);
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

/// Also where those are not in the list that say so.
#[test]
fn segments_that_come_and_go_while_they_are_listed_are_no_tampering() {
    let scratch = Scratch::new("listed");
    let options = options(scratch.path(), SyncPolicy::Never)
        .segment_bytes(1)
        .keep_bytes(5000);
    let writing = authorizer(options.open().unwrap());
    let mut times = 0;
    assert!((0..20).all(|user| decide(&writing, user)));
    let last = verify(scratch.path(), None).unwrap().count();
    // Each segment begins with what it says was removed. What the last two say is not known without them.
    let faults = Faults::new(move |call| match call {
        Call::Names if std::mem::replace(&mut times, 1) == 0 => Fault::Short(2),
        _ => Fault::None,
    });
    let storage = Faulty::beside(scratch.path(), &faults);
    let seen = verify_storage(&storage, None).unwrap();
    assert_eq!((seen.finding(), seen.count()), (None, last));
    // What is missing stays missing.
    std::fs::remove_file(scratch.path().join(segment::name(last - 4))).unwrap();
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(
        seen.finding().map(super::super::Finding::kind),
        Some(FindingKind::Missing { to: last - 3 })
    );
}

/// A line that is being written while a log is verified shows as a torn tail, wherever it is read up to; what was altered
/// is found all the same, and what is missing behind it.
#[test]
fn a_line_that_is_being_written_is_no_tampering() {
    let scratch = Scratch::new("growing");
    let log = Arc::new(open(options(scratch.path(), LONG_BATCH), &Faults::none()).unwrap());
    let writing = authorizer(Arc::clone(&log));
    assert!((0..4).all(|user| decide(&writing, user)));
    let checkpoint = log.checkpoint().unwrap();
    drop((writing, log));
    let file = scratch.path().join(segment::name(0));
    let whole = std::fs::read(&file).unwrap();
    let lines: Vec<usize> = memchr::memchr_iter(b'\n', &whole)
        .map(|at| at + 1)
        .collect();
    let seen_up_to = |count, checkpoint| {
        let faults = Faults::new(move |call| match call {
            Call::Read => Fault::Short(count),
            _ => Fault::None,
        });
        let storage = Faulty::beside(scratch.path(), &faults);
        let seen = verify_storage(&storage, checkpoint).unwrap();
        let finding = seen.finding().map(super::super::Finding::kind);
        (seen.count(), finding)
    };
    for count in (1..whole.len())
        .step_by(7)
        .chain([lines[1] - 1])
        .filter(|it| !lines.contains(it))
    {
        let before = lines.iter().filter(|end| **end <= count).count() as u64;
        assert_eq!(
            seen_up_to(count, None),
            (before, Some(FindingKind::TornTail)),
            "{count}"
        );
        let kind = FindingKind::Truncated { expected: 4 };
        assert_eq!(
            seen_up_to(count, Some(&checkpoint)),
            (before, Some(kind)),
            "{count}"
        );
    }
    let count = lines[2] + 10;
    let mut altered = whole.clone();
    altered[lines[0] + 20] ^= 1;
    std::fs::write(&file, &altered).unwrap();
    assert_eq!(seen_up_to(count, None), (1, Some(FindingKind::Altered)));
    // In a segment behind which there is another one, nothing is being written.
    std::fs::write(&file, &whole[..count]).unwrap();
    std::fs::write(scratch.path().join(segment::name(3)), &whole[lines[2]..]).unwrap();
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(
        seen.finding().map(super::super::Finding::kind),
        Some(FindingKind::Altered)
    );
    assert_eq!(seen.count(), 3);
    // A line that only has no end is not one that is being written.
    std::fs::remove_file(scratch.path().join(segment::name(3))).unwrap();
    let mut joined = whole.clone();
    joined[lines[1] - 1] = b' ';
    joined.pop();
    std::fs::write(&file, &joined).unwrap();
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(
        seen.finding().map(super::super::Finding::kind),
        Some(FindingKind::Altered)
    );
}

/// A power failure may leave either, and so may a block that the disk has lost: what is whole behind it is not cut off.
#[test]
fn a_hole_before_whole_lines_is_left_to_a_person() {
    let scratch = Scratch::new("power");
    let log = || open(options(scratch.path(), LONG_BATCH), &Faults::none());
    let first = authorizer(log().unwrap());
    assert!((0..4).all(|user| decide(&first, user)));
    drop(first);
    let file = scratch.path().join(segment::name(0));
    let mut bytes = std::fs::read(&file).unwrap();
    let hole = bytes.len() / 2..bytes.len() / 8 * 5;
    bytes[hole.clone()].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(log().unwrap_err().kind(), LogErrorKind::Damaged);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    // Nothing but it is like the beginning of a line.
    bytes.truncate(hole.end);
    std::fs::write(&file, &bytes).unwrap();
    let second = authorizer(log().unwrap());
    assert!(decide(&second, 9));
    drop(second);
    assert_eq!(check(scratch.path(), &[0, 9], "cut off").cuts(), 1);
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
/// A process may be killed between giving a segment its name and syncing that: whoever opens the log then does it, as a crash of
/// the machine would take the name away with all that was acknowledged since.
#[test]
fn a_log_is_not_written_before_its_names_are_synced() {
    for killed_at in [Call::Create, Call::Rename] {
        let scratch = Scratch::new(&format!("names-{killed_at:?}"));
        let faults = Faults::none();
        let options = || options(scratch.path(), SyncPolicy::EachRecord).segment_bytes(1);
        let authorizer = authorizer(open(options(), &faults).unwrap());
        assert!(decide(&authorizer, 0));
        let (mut torn, mut killed) = (killed_at == Call::Create, false);
        faults.set(move |call| match call {
            _ if killed => Fault::Fails(ErrorKind::Other),
            Call::Write if !std::mem::replace(&mut torn, true) => Fault::Torn(10),
            call => {
                killed = call == killed_at;
                Fault::None
            }
        });
        assert!(!decide(&authorizer, 1) && !decide(&authorizer, 2));
        drop(authorizer);

        let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let faults = Faults::new(move |call| {
            seen.lock().unwrap().push(call);
            Fault::None
        });
        let authorizer = super::authorizer(open(options(), &faults).unwrap());
        assert!(decide(&authorizer, 3));
        let calls = std::mem::take(&mut *calls.lock().unwrap());
        let first = |wanted| calls.iter().position(|call| *call == wanted).unwrap();
        assert!(
            first(Call::SyncNames) < first(Call::Write),
            "{killed_at:?}: {calls:?}"
        );
        drop(authorizer);
        let seen = check(scratch.path(), &[0, 3], "after a kill");
        assert_eq!(seen.lost(), 0);
    }
}

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

/// It may be all that there is of what was acknowledged.
#[test]
fn a_draft_that_cannot_be_read_is_kept() {
    let scratch = Scratch::new("draft");
    let faults = Faults::none();
    let first = authorizer(open(options(scratch.path(), LONG_BATCH), &faults).unwrap());
    assert!((0..3).all(|user| decide(&first, user)));
    let mut torn = false;
    faults.set(move |call| match call {
        Call::Write if !std::mem::replace(&mut torn, true) => Fault::Torn(100),
        Call::Rename => Fault::Fails(ErrorKind::Other),
        _ => Fault::None,
    });
    assert!(!decide(&first, 3) && !decide(&first, 4));
    drop(first);
    let draft = scratch.path().join(segment::draft_name(0));
    let written = std::fs::read(&draft).unwrap();
    assert_eq!(recorded(scratch.path()), [0; 0]);

    let mut altered = written.clone();
    altered[100] ^= 1;
    std::fs::write(&draft, &altered).unwrap();
    let error = open(options(scratch.path(), LONG_BATCH), &Faults::none()).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Damaged);
    assert_eq!(std::fs::read(&draft).unwrap(), altered);
    std::fs::write(&draft, &written).unwrap();
    for fails in [Call::Read, Call::Open, Call::Sync, Call::SyncNames] {
        let faults = Faults::new(move |call| match call {
            call if call == fails => Fault::Fails(ErrorKind::Other),
            _ => Fault::None,
        });
        let error = open(options(scratch.path(), LONG_BATCH), &faults).unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Io, "{fails:?}");
        assert_eq!(std::fs::read(&draft).unwrap(), written, "{fails:?}");
    }
    let second = authorizer(open(options(scratch.path(), LONG_BATCH), &Faults::none()).unwrap());
    assert!(decide(&second, 5));
    drop(second);
    let seen = check(scratch.path(), &[0, 1, 2, 5], "carried out");
    assert_eq!(seen.cuts(), 1);
}
