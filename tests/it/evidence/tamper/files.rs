//! Files that are no log at all, and links where the files should be.

use duramen::evidence::log::MAX_LINE_BYTES;
use proptest::prelude::*;

use super::*;
use crate::generate::config;

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
