//! A process that decides and is killed loses nothing that it had acknowledged.
//!
//! `DURAMEN_CRASHES` sets how often one is killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use duramen::evidence::OwnedRecord;
use duramen::evidence::log::SyncPolicy;

use super::*;

const DIRECTORY: &str = "DURAMEN_CRASH_DIRECTORY";

fn options(directory: &Path, round: usize) -> LogOptions {
    let batch = SyncPolicy::Batch {
        records: 50,
        within: Duration::from_millis(5),
    };
    let sync = [batch, SyncPolicy::EachRecord, SyncPolicy::Never][round % 3];
    DurableLog::options(directory)
        .segment_bytes(40_000)
        .sync(sync)
}

/// The process that is killed: decides until then, and prints the number of each decision that was acknowledged.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let (round, directory) = directory.split_once(' ').unwrap();
    let round = round.parse().unwrap();
    let log = Arc::new(options(Path::new(directory), round).open().unwrap());
    let authorizer = authorizer(&log);
    let mut out = std::io::stdout().lock();
    for number in 0.. {
        let user = format!("{round} {number}");
        assert!(authorizer.is_allowed(&request(&user)));
        // One write, so that a line is there whole or not at all.
        out.write_all(format!("acknowledged {user}\n").as_bytes())
            .unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let rounds: usize = std::env::var("DURAMEN_CRASHES").map_or(12, |text| text.parse().unwrap());
    let scratch = Scratch::new();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut torn = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "evidence::crash::child",
                "--nocapture",
                "--quiet",
            ])
            .env(DIRECTORY, format!("{round} {}", scratch.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = acknowledged.len();
        // Some after the first decision, some while the log is opened.
        let mut read = |line: String| {
            if let Some((_, user)) = line.split_once("acknowledged ") {
                acknowledged.push(user.to_owned());
            }
        };
        if round % 5 != 4 {
            for line in out.by_ref() {
                let line = line.unwrap();
                let begun = line.contains("acknowledged");
                read(line);
                if begun {
                    break;
                }
            }
        }
        let wait = (round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 20_000;
        std::thread::sleep(Duration::from_micros(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        out.map_while(Result::ok).for_each(&mut read);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        assert!(!said.contains("panicked"), "round {round}: {said}");
        assert!(
            acknowledged.len() > before || round % 5 == 4,
            "round {round}: {said}"
        );
        torn += usize::from(finding(scratch.path()).is_some_and(|found| {
            assert!(!found.is_tampering(), "round {round}: {found}");
            true
        }));
    }
    // Writing goes on, and the chain holds.
    write(DurableLog::options(scratch.path()), 1);
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(seen.finding(), None);
    let users: std::collections::HashSet<String> = lines(&segments(scratch.path()))
        .iter()
        .filter_map(|line| serde_json::from_slice::<OwnedRecord>(line).ok())
        .map(|record| record.principal.id().to_owned())
        .collect();
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|user| !users.contains(*user))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    eprintln!(
        "{rounds} kills, {} acknowledged, {} in the log, {torn} torn tails, {} cuts",
        acknowledged.len(),
        seen.decisions(),
        seen.cuts()
    );
}
