//! `verify`: is everything there, as it was written and in order?

use std::error::Error;
use std::fs;
use std::path::Path;

use duramen::evidence::log::{Checkpoint, Finding, Verification, verify};
use serde_json::{Value, json};

use crate::command::{Arguments, Command, Verdict, told};
use crate::records;

pub(crate) const COMMAND: Command = Command {
    name: "verify",
    usage: "DIR [--checkpoint FILE]",
    takes: 1,
    options: &["--checkpoint"],
    run,
};

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let checkpoint = match arguments.option("--checkpoint") {
        Some(file) => Some(read(Path::new(file))?),
        None => None,
    };
    let seen = verify(arguments.directory(), checkpoint.as_ref())?;
    if checkpoint.is_none() {
        // Where everything is gone, a checkpoint shows it.
        records::segments(arguments.directory())?;
    }
    if arguments.json {
        println!("{}", as_json(&seen, checkpoint.is_some()));
    } else {
        print(&seen, checkpoint.is_some());
    }
    Ok(if seen.is_fine() {
        Verdict::Fine
    } else {
        Verdict::Finding
    })
}

pub(crate) fn read(file: &Path) -> Result<Checkpoint, Box<dyn Error>> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Checkpoint::from_json(&text)
        .map_err(|error| format!("{}: {}", file.display(), told(&error)))?)
}

/// Prints what was seen, for people.
pub(crate) fn print(seen: &Verification, with_checkpoint: bool) {
    println!(
        "{} lines in {} segments, {} of them decisions, head {}",
        seen.count() - seen.first_index(),
        seen.segments(),
        seen.decisions(),
        seen.head()
    );
    if seen.first_index() > 0 {
        println!(
            "{} lines before them were removed, as the log tells",
            seen.first_index()
        );
    }
    if seen.lost() > 0 {
        println!(
            "{} records were lost before they came to the log, as it tells",
            seen.lost()
        );
    }
    if seen.cuts() > 0 {
        println!(
            "half-written ends were cut off {} times, as the log tells",
            seen.cuts()
        );
    }
    match seen.finding() {
        Some(finding) => println!("FOUND: {finding}"),
        None if seen.checkpoint_compared() => {
            println!("FINE: the chain holds and has all that it had at the checkpoint");
        }
        None if with_checkpoint => {
            println!("FINE: the chain holds; all lines that the checkpoint is about were removed");
        }
        None => println!(
            "FINE: the chain holds. Whether lines are missing at its end, only a checkpoint can tell"
        ),
    }
}

/// What was seen, for programs.
pub(crate) fn as_json(seen: &Verification, with_checkpoint: bool) -> Value {
    json!({
        "fine": seen.is_fine(),
        "finding": seen.finding().map(finding_as_json),
        "segments": seen.segments(),
        "first_index": seen.first_index(),
        "count": seen.count(),
        "head": seen.head(),
        "decisions": seen.decisions(),
        "lost": seen.lost(),
        "cuts": seen.cuts(),
        "checkpoint_compared": with_checkpoint.then(|| seen.checkpoint_compared()),
    })
}

fn finding_as_json(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind().as_str(),
        "index": finding.index(),
        "segment": finding.segment(),
        "line": finding.line(),
        "offset": finding.offset(),
        "tampering": finding.is_tampering(),
        "message": finding.to_string(),
    })
}
