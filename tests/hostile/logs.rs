//! Files of a log that somebody else has written.

use duramen::evidence::log::{DurableLog, verify};

use super::*;

/// Thousands of segments, and millions of lines that are none.
#[test]
fn logs_of_many_lines_and_segments_are_read_in_bounded_memory() {
    let _alone = alone();
    let directory = std::env::temp_dir().join(format!("duramen-hostile-{}", std::process::id()));
    let log = DurableLog::open(&directory).unwrap();
    let authorizer = Authorizer::builder().sink(log).build().unwrap();
    assert!(!authorizer.is_allowed(&asked()));
    drop(authorizer);
    let written = std::fs::read(directory.join("00000000000000000000.jsonl")).unwrap();
    for number in 1..2_000 {
        let segment = directory.join(format!("{number:020}.jsonl"));
        std::fs::write(segment, "{}\n").unwrap();
    }
    let seen = within(MB, || verify(&directory, None)).unwrap();
    assert!(seen.finding().is_some());
    assert!(within(MB, || DurableLog::open(&directory)).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    for line in ["\n", "{}\n", "{\"chain\":{\n"] {
        let mut text = written.clone();
        text.extend(line.as_bytes().iter().cycle().take(16 * MB));
        std::fs::write(directory.join("00000000000000000000.jsonl"), text).unwrap();
        let seen = within(MB, || verify(&directory, None)).unwrap();
        assert!(seen.finding().is_some() && seen.decisions() == 1);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Whatever the files of a log hold: pieces of itself in any order, cut anywhere, with noise between them.
#[test]
fn logs_of_any_bytes_are_read_in_bounded_memory() {
    let _alone = alone();
    let directory =
        std::env::temp_dir().join(format!("duramen-hostile-any-{}", std::process::id()));
    let log = DurableLog::open(&directory).unwrap();
    let authorizer = Authorizer::builder().sink(log).build().unwrap();
    (0..20).for_each(|_| assert!(!authorizer.is_allowed(&asked())));
    drop(authorizer);
    let segment = directory.join("00000000000000000000.jsonl");
    let written = std::fs::read(&segment).unwrap();
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let files: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let mut bytes = Vec::new();
            for _ in 0..below(8) {
                let (from, to) = (below(written.len()), below(written.len()));
                bytes.extend_from_slice(&written[from.min(to)..from.max(to)]);
                bytes.extend((0..below(20)).map(|_| below(256) as u8));
            }
            bytes
        })
        .collect();
    within(MB, || {
        for bytes in &files {
            std::fs::write(&segment, bytes).unwrap();
            let seen = verify(&directory, None).unwrap();
            assert!(seen.finding().is_some() || written.starts_with(bytes));
            let _ = DurableLog::open(&directory);
        }
    });
    std::fs::remove_dir_all(&directory).unwrap();
}
