//! `verify`: is everything there, as it was written and in order?

use std::error::Error;
use std::fs;
use std::path::Path;

use duramen::evidence::log::{Checkpoint, Finding, FindingKind, Verification, verify};
use serde_json::{Value, json};

use crate::command::{Arguments, Command, Verdict, told};
use crate::keys::Signature;
use crate::records;
use crate::text::plain;

pub(crate) const COMMAND: Command = Command {
    name: "verify",
    usage: "DIR [--checkpoint FILE [--key FILE]]",
    takes: 1,
    options: &["--checkpoint", "--key"],
    run,
};

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let checkpoint = match arguments.option("--checkpoint") {
        Some(file) => Some(read(Path::new(file))?),
        None => None,
    };
    let key = arguments.option("--key").map(Path::new);
    let signature = match &checkpoint {
        Some(checkpoint) => Signature::of(checkpoint, key)?,
        None if key.is_some() => {
            return Err(
                "--key is for the signature of a checkpoint: give --checkpoint FILE too".into(),
            );
        }
        None => Signature::None,
    };
    // What is not by whom it should be is not relied on.
    let relied_on = checkpoint.as_ref().filter(|_| !signature.is_wrong());
    let is_relied_on = relied_on.is_some();
    let seen = verify(arguments.directory(), relied_on)?;
    if checkpoint.is_none() {
        // Where everything is gone, a checkpoint shows it.
        records::segments(arguments.directory())?;
    }
    let is_fine = seen.is_fine() && !signature.is_wrong();
    let told = checkpoint.and_then(|checkpoint| signature.told(&checkpoint));
    if arguments.json {
        let mut json = as_json(&seen, is_relied_on);
        json["fine"] = is_fine.into();
        json["signature"] = json!({ "is": signature.as_str(), "message": told });
        say!("{json}");
    } else {
        print(&seen, is_relied_on);
        told.iter().for_each(|told| say!("{}", plain(told)));
    }
    Ok(match is_fine {
        true => Verdict::Fine,
        false => Verdict::Finding,
    })
}

pub(crate) fn read(file: &Path) -> Result<Checkpoint, Box<dyn Error>> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Checkpoint::from_json(&text)
        .map_err(|error| format!("{}: {}", file.display(), told(&error)))?)
}

/// Prints what was seen, for people.
pub(crate) fn print(seen: &Verification, with_checkpoint: bool) {
    say!(
        "{} lines in {} segments, {} of them decisions, head {}",
        seen.count() - seen.first_index(),
        seen.segments(),
        seen.decisions(),
        seen.head()
    );
    if let Some(log) = seen.log() {
        say!("the log is {log}");
    }
    if seen.first_index() > 0 {
        say!(
            "{} lines before them were removed, as the log tells",
            seen.first_index()
        );
    }
    if seen.lost() > 0 {
        say!(
            "{} records were lost before they came to the log, as it tells",
            seen.lost()
        );
    }
    if seen.cuts() > 0 {
        say!(
            "half-written ends were cut off {} times, as the log tells",
            seen.cuts()
        );
    }
    match seen.finding() {
        Some(finding) => say!("FOUND: {finding}\n{}", next(finding)),
        None if seen.checkpoint_compared() => {
            say!("FINE: the chain holds and has all that it had at the checkpoint");
        }
        None if with_checkpoint => {
            say!("FINE: the chain holds; all lines that the checkpoint is about were removed");
        }
        None => say!(
            "FINE: the chain holds. Whether lines are missing at its end, only a checkpoint can tell"
        ),
    }
}

/// What to do about it.
fn next(finding: &Finding) -> &'static str {
    if let FindingKind::OtherLog { .. } = finding.kind() {
        return "The chain holds. Give a checkpoint of this log; where it is this one, another log was put in the place of \
                its log: keep the directory as it is, and look for that";
    }
    match finding.is_tampering() {
        true => {
            "What is before it holds. Keep the directory as it is, and compare it with a copy from elsewhere; what there is to \
             read, `evidence replay` and `evidence explain` still read"
        }
        false => {
            "What is before it holds. Nothing is to be done: the next writer cuts it off, and says so in the log"
        }
    }
}

/// What was seen, for programs.
pub(crate) fn as_json(seen: &Verification, with_checkpoint: bool) -> Value {
    json!({
        "fine": seen.is_fine(),
        "finding": seen.finding().map(finding_as_json),
        "segments": seen.segments(),
        "first_index": seen.first_index(),
        "log": seen.log(),
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
        "next": next(finding),
    })
}
