//! Evidence of decisions: written, verified, kept.
//!
//! ```text
//! cargo run --release --example evidence -- demo DIR
//! cargo run --release --example evidence -- verify DIR [--checkpoint FILE]
//! cargo run --release --example evidence -- checkpoint DIR > FILE
//! cargo run --release --example evidence -- replay DIR
//! cargo run --release --example evidence -- explain DIR ID
//! cargo run --release --example evidence -- usage DIR
//! cargo run --release --example evidence -- export DIR ID OUT
//! ```
//!
//! * `demo` decides what the quickstart's world asks, keeps the records in a log in DIR, and shows what verifying it finds.
//! * `verify` names the first line of a log that is altered, missing, reordered or duplicated; with a checkpoint, also
//!   whether lines are missing at the end or the log was written anew.
//! * `checkpoint` prints where the log stands, as JSON. Keep it where the log's writer cannot reach.
//!
//! * `replay` decides each record again, with Duramen and with `cedar-policy`, from what it says was read and the policies
//!   in `DIR/policies`.
//! * `explain` tells why a decision was what it was: which clauses of which policies decided, and on which values.
//! * `usage` tells which policies ever decided, when last, and which never did.
//! * `export` writes a record as the files that Cedar's own command line takes.
//!
//! Each takes `--json`. The exit code is 0 when all is fine, 1 when there is a finding, and 2 when the command could not
//! be carried out.

mod checkpoint;
mod command;
mod demo;
mod explain;
mod export;
mod records;
mod replay;
mod usage;
mod verify;
mod world;

use std::process::ExitCode;

use command::{Arguments, Command};

const COMMANDS: [Command; 7] = [
    demo::COMMAND,
    verify::COMMAND,
    checkpoint::COMMAND,
    replay::COMMAND,
    explain::COMMAND,
    usage::COMMAND,
    export::COMMAND,
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let named = words.next().unwrap_or_default();
    let Some(command) = COMMANDS.iter().find(|command| command.name == named) else {
        eprintln!("usage:");
        for command in &COMMANDS {
            eprintln!("  evidence {} {} [--json]", command.name, command.usage);
        }
        return ExitCode::from(2);
    };
    let done = Arguments::read(command, words).and_then(|arguments| (command.run)(&arguments));
    match done {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            eprintln!("evidence {named}: {error}");
            ExitCode::from(2)
        }
    }
}
