//! Evidence of decisions: written, verified, kept.
//!
//! ```text
//! cargo run --release --example evidence -- demo DIR
//! cargo run --release --example evidence -- verify DIR [--checkpoint FILE [--key FILE]]
//! cargo run --release --example evidence -- checkpoint DIR [--sign FILE] > FILE
//! cargo run --release --example evidence -- replay DIR
//! cargo run --release --example evidence -- explain DIR ID [--hop N]
//! cargo run --release --example evidence -- whatif DIR POLICIES [--schema FILE] [--entities FILE]
//! cargo run --release --example evidence -- usage DIR
//! cargo run --release --example evidence -- export DIR ID OUT [--hop N]
//! cargo run --release --example evidence -- report DIR OUT [--policies POLICIES] [--checkpoint FILE]
//! ```
//!
//! * `demo` decides what the quickstart's world asks, beside a shadow with changed policies, keeps the records in a log in
//!   DIR, does with it what the other commands do, and writes `DIR/report.html`, for people.
//! * `verify` names the first line of a log that is altered, missing, reordered or duplicated; with a checkpoint, also
//!   whether lines are missing at the end or the log was written anew; with a public key, also whether the checkpoint was
//!   signed by its holder.
//! * `checkpoint` prints where the log stands, as JSON, and signs it with a secret key. Keep it where the log's writer cannot
//!   reach. Keys are ed25519's 32 bytes, or 64 hexadecimal digits; `--key` and `--sign` take `--features signed-checkpoints`.
//! * `replay` decides each record again, with Duramen and with `cedar-policy`, from what it says was read and the policies
//!   in `DIR/policies`.
//! * `explain` tells why a decision was what it was: which clauses of which policies decided, and on which values. Of a
//!   delegation, for the hop that was denied, or for the one with the number `--hop`.
//! * `whatif` tells what the policies in a file or a directory would have decided otherwise, first what they would have
//!   allowed. What the records do not tell is undetermined, unless the entities in a file do. A finding is a decision that
//!   is another one, or that is undetermined.
//! * `usage` tells which policies ever decided, when last, and which never did: those are findings.
//! * `export` writes a record as the files that Cedar's own command line takes; of a delegation, one hop of it.
//! * `report` writes the page of `demo` for any log, with what the policies in a file or a directory would have decided.
//!
//! Each takes `--json` and then prints one JSON object on one line, `{"error":"…"}` where it could not be carried out. None
//! but `demo` writes to DIR. What a log has that cannot be read is left out, told on the error output, and a finding. The
//! exit code is 0 when all is fine, 1 when there is a finding, and 2 when the command could not be carried out, or its output
//! not be written.

#[macro_use]
mod output;

mod checkpoint;
mod command;
mod demo;
mod explain;
mod export;
mod keys;
mod records;
mod replay;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod usage;
mod verify;
mod whatif;
mod world;

use std::process::ExitCode;

use command::{Arguments, Command, told};

const COMMANDS: [Command; 9] = [
    demo::COMMAND,
    verify::COMMAND,
    checkpoint::COMMAND,
    replay::COMMAND,
    explain::COMMAND,
    whatif::COMMAND,
    usage::COMMAND,
    export::COMMAND,
    report::COMMAND,
];

fn main() -> ExitCode {
    output::checked(run())
}

fn run() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let is_json = std::env::args().any(|word| word == "--json");
    let named = words.next().unwrap_or_default();
    let Some(command) = COMMANDS.iter().find(|command| command.name == named) else {
        eprintln!("usage:");
        if is_json {
            let error = format!("there is no command {named:?}");
            say!("{}", serde_json::json!({ "error": error }));
        }
        for command in &COMMANDS {
            eprintln!("  evidence {} {} [--json]", command.name, command.usage);
        }
        return ExitCode::from(2);
    };
    let done = Arguments::read(command, words).and_then(|arguments| (command.run)(&arguments));
    match done {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            let error = told(&*error);
            if is_json {
                say!("{}", serde_json::json!({ "error": error }));
            }
            eprintln!("evidence {named}: {}", text::plain(&error));
            ExitCode::from(2)
        }
    }
}
