//! A log that somebody or something has damaged.

use std::fs;
use std::path::Path;

use crate::command::Verdict;

use super::{Scratch, copy, demo, fails, run, segments};

#[test]
fn commands_on_a_damaged_log() {
    type Damage = fn(&str);
    fn change(segment: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(segment).unwrap();
        change(&mut bytes);
        fs::write(segment, bytes).unwrap();
    }
    // What is done, what verifying comes to without and with a checkpoint, and what replaying does.
    let damages: [(&str, Damage, [Verdict; 3]); 6] = [
        (
            "a byte that makes a line no JSON",
            |log| change(&segments(log)[0], |bytes| bytes[0] ^= 1),
            [Verdict::Finding; 3],
        ),
        (
            "a byte that is no text",
            |log| change(&segments(log)[0], |bytes| bytes[200] = 0xff),
            [Verdict::Finding; 3],
        ),
        (
            "another decision",
            |log| {
                change(&segments(log)[0], |bytes| {
                    let text = String::from_utf8(std::mem::take(bytes)).unwrap();
                    let deny = "\"decision\":\"deny\"";
                    assert!(text.contains(deny));
                    *bytes = text
                        .replacen(deny, "\"decision\":\"allow\"", 1)
                        .into_bytes();
                });
            },
            [Verdict::Finding; 3],
        ),
        (
            "a segment removed",
            |log| fs::remove_file(&segments(log)[1]).unwrap(),
            [Verdict::Finding, Verdict::Finding, Verdict::Fine],
        ),
        (
            "the last segment removed",
            |log| fs::remove_file(segments(log).last().unwrap()).unwrap(),
            [Verdict::Fine, Verdict::Finding, Verdict::Fine],
        ),
        (
            "a torn tail",
            |log| {
                change(segments(log).last().unwrap(), |bytes| {
                    bytes.truncate(bytes.len() - 100)
                })
            },
            [Verdict::Finding; 3],
        ),
    ];
    let scratch = Scratch::new();
    let (whole, checkpoint) = demo(&scratch);
    for (number, (what, damage, [plain, checked, replayed])) in damages.into_iter().enumerate() {
        println!("\n{what}:");
        let log = scratch.at(&number.to_string());
        copy(whole.as_ref(), log.as_ref());
        let policies = Path::new(&log).join("policies");
        damage(&log);
        let check =
            |words: &[&str], expected| assert_eq!(run(words), Ok(expected), "{what}: {words:?}");
        check(&["verify", &log], plain);
        check(&["verify", &log, "--checkpoint", &checkpoint], checked);
        check(&["replay", &log], replayed);
        let torn = what == "a torn tail";
        check(
            &["checkpoint", &log],
            if torn { Verdict::Fine } else { plain },
        );
        // What can be read is made use of.
        check(&["explain", &log, "9"], Verdict::Fine);
        check(&["usage", &log], Verdict::Finding);
        check(
            &["whatif", &log, &format!("{whole}/changed.cedar")],
            Verdict::Finding,
        );
        let page = scratch.at("page.html");
        let seen = if plain == Verdict::Fine {
            replayed
        } else {
            Verdict::Finding
        };
        check(&["report", &log, &page], seen);
        // Policies that are another's, and none.
        fs::remove_dir_all(&policies).unwrap();
        check(&["replay", &log], Verdict::Finding);
        check(&["explain", &log, "9"], Verdict::Finding);
        fails(&["usage", &log], "there are no policies in");
        fails(
            &["export", &log, "9", &scratch.at("export")],
            "there are no policies in",
        );
        assert!(!policies.exists(), "who looks at a log leaves it as it is");
    }
}
