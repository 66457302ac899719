//! What a log cannot show by itself, and a checkpoint outside of it does.

use super::*;

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
fn what_was_seen_is_said_in_a_line() {
    let (scratch, segments) = small_log();
    let said = |checkpoint| verify(scratch.path(), checkpoint).unwrap().to_string();
    let fine = said(None);
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    assert_eq!(
        said(Some(&checkpoint)),
        format!("{fine} and has all that it had at the checkpoint")
    );
    let (read, verdict) = fine.split_once(": ").unwrap();
    assert!(read.starts_with("7 lines, "), "{read}");
    assert!(read.ends_with(&format!(" decisions, {} segments", segments.len())));
    assert_eq!(verdict, "the chain holds");
    let (name, bytes) = segments.last().unwrap();
    fs::write(scratch.path().join(name), &bytes[..bytes.len() - 2]).unwrap();
    let torn = said(None);
    assert!(
        torn.contains(": the log ends in the middle of line 6"),
        "{torn}"
    );
}

#[test]
fn a_chain_that_was_written_anew_is_found_with_a_checkpoint() {
    let (scratch, segments) = small_log();
    let checkpoint = Checkpoint::of(scratch.path()).unwrap();
    let checkpoint = Checkpoint::from_json(&checkpoint.to_json()).unwrap();
    // All lines of the log, from the third on with other hashes than they had.
    let own = lines(&segments);
    let mut anew = own[..2].to_vec();
    let mut before = hash_of(&own[1]);
    for line in &own[2..] {
        let line = str::from_utf8(line).unwrap().replace("\"n\":1", "\"n\":2");
        let (line, hash) = resealed(line.as_bytes(), &before);
        anew.push(line);
        before = hash;
    }
    put(&scratch, &segments, &anew);
    assert_eq!(finding(scratch.path()), None);
    let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
    let found = seen.finding().unwrap();
    let (is, was) = match found.kind() {
        FindingKind::CheckpointDiffers { found, expected } => (found, expected),
        kind => panic!("{kind:?}"),
    };
    assert_eq!((found.index(), was), (6, checkpoint.head()));
    assert_eq!(is.to_string(), before);
    let told = found.to_string();
    assert!(
        told.contains(&before) && told.contains(&was.to_string()),
        "{told}"
    );
    put(&scratch, &segments, &own);
    // What came after the checkpoint is no matter.
    write(DurableLog::options(scratch.path()), 3);
    let seen = verify(scratch.path(), Some(&checkpoint)).unwrap();
    assert!(seen.is_fine() && seen.checkpoint_compared());

    for bad in [
        "",
        "{}",
        "[]",
        &checkpoint.to_json().replace("\"format\":2", "\"format\":3"),
        &checkpoint.to_json().replace("\"format\":2", "\"format\":1"),
        &checkpoint.to_json().replace("\"log\":", "\"other\":"),
    ] {
        assert!(Checkpoint::from_json(bad).is_err(), "{bad}");
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

    let head = edge.head().to_string();
    let foreign = edge.to_json().replace(&head, &"5".repeat(64));
    let foreign = Checkpoint::from_json(&foreign).unwrap();
    let seen = verify(scratch.path(), Some(&foreign)).unwrap();
    let found = seen.finding().unwrap();
    assert_eq!(
        (found.kind().as_str(), found.index()),
        ("checkpoint_differs", first - 1)
    );
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
