//! `demo`: the whole way, from decisions to what verifying a log finds.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duramen::evidence::log::{DurableLog, Verification, verify};
use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::{records, verify as verifying, world};

pub(crate) const COMMAND: Command = Command {
    name: "demo",
    usage: "DIR",
    takes: 1,
    options: &[],
    run,
};

/// Every combination of principal, action, document and circumstances, once.
const DECISIONS: usize = 180;

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let directory = arguments.directory();
    let log = Arc::new(
        DurableLog::options(directory)
            .segment_bytes(64 << 10)
            .open()?,
    );
    let authorizer = world::authorizer(Arc::clone(&log))?;
    records::archive(directory)?.keep(&authorizer)?;
    let mut allowed = 0;
    world::ask(&authorizer, DECISIONS, |is_allowed| {
        allowed += usize::from(is_allowed)
    });
    let checkpoint = log.checkpoint()?;
    drop((authorizer, log));

    let untouched = verify(directory, Some(&checkpoint))?;
    let copy = std::env::temp_dir().join(format!("duramen-evidence-{}", std::process::id()));
    let altered = alter(directory, &copy);
    let tampered = verify(&copy, None);
    fs::remove_dir_all(&copy)?;
    altered?;
    let tampered = tampered?;
    if arguments.json {
        let report = json!({
            "directory": directory,
            "decisions": DECISIONS,
            "allowed": allowed,
            "checkpoint": checkpoint,
            "verification": verifying::as_json(&untouched, true),
            "verification_of_altered_copy": verifying::as_json(&tampered, false),
        });
        println!("{report:#}");
    } else {
        println!(
            "{DECISIONS} decisions, {allowed} of them allowed, in {}",
            directory.display()
        );
        println!("checkpoint: {}\n", checkpoint.to_json());
        println!("The log as it is:");
        verifying::print(&untouched, true);
        println!("\nA copy of it in which a deny was made an allow:");
        verifying::print(&tampered, false);
    }
    Ok(verdict(&untouched, &tampered))
}

/// The demonstration is as it should be when the log is fine and the copy is not.
fn verdict(untouched: &Verification, tampered: &Verification) -> Verdict {
    if untouched.is_fine() && !tampered.is_fine() {
        Verdict::Fine
    } else {
        Verdict::Finding
    }
}

/// Copies the log and makes an allow of the first deny.
fn alter(directory: &Path, copy: &Path) -> io::Result<()> {
    fs::create_dir(copy)?;
    let mut altered = false;
    let mut segments = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    segments.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    segments.sort();
    for segment in segments {
        let to = copy.join(segment.file_name().unwrap_or_default());
        let mut text = fs::read_to_string(&segment)?;
        let deny = r#""decision":"deny""#;
        if !altered && text.contains(deny) {
            text = text.replacen(deny, r#""decision":"allow""#, 1);
            altered = true;
        }
        fs::write(to, text)?;
    }
    if altered {
        Ok(())
    } else {
        Err(io::Error::other("nothing was denied"))
    }
}
