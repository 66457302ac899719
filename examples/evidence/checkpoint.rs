//! `checkpoint`: where a log stands, to be kept elsewhere.

use std::error::Error;
use std::path::Path;

use duramen::evidence::log::{Checkpoint, LogErrorKind};
use serde_json::json;

use crate::command::{Arguments, Command, Verdict, told};
use crate::{keys, records};

/// The output is JSON with and without `--json`: it is for a file.
pub(crate) const COMMAND: Command = Command {
    name: "checkpoint",
    usage: "DIR [--sign FILE]",
    takes: 1,
    options: &["--sign"],
    run,
};

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    records::segments(arguments.directory())?;
    match Checkpoint::of(arguments.directory()) {
        Ok(checkpoint) => {
            let checkpoint = match arguments.option("--sign") {
                Some(key) => keys::sign(checkpoint, Path::new(key))?,
                None => checkpoint,
            };
            say!("{}", checkpoint.to_json());
            Ok(Verdict::Fine)
        }
        Err(error) if error.kind() == LogErrorKind::Damaged => {
            if arguments.json {
                say!("{}", json!({ "error": told(&error) }));
            }
            eprintln!(
                "no checkpoint of what is not as it was written: {}",
                told(&error)
            );
            Ok(Verdict::Finding)
        }
        Err(error) => Err(error.into()),
    }
}
