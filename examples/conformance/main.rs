//! Decides the cases of a directory with Duramen, in all the ways it can decide, and compares every answer with
//! the recorded one and with that of the `cedar-policy` that is linked beside it.
//!
//! ```text
//! cargo run --release --example conformance -- DIR
//! ```
//!
//! DIR holds cases in the layout of Cedar's integration tests: any `*.json` at any depth that is an object with
//! the keys `policies`, `entities`, `schema` and `requests`; the paths in it are relative to DIR. Other JSON files
//! are left alone. Failing cases are named on standard output, whose last line is `N passed, N failed`. The exit
//! code is 0 when all passed, 1 when any failed, and 2 when there was nothing to check.

mod answer;
mod case;
mod check;
mod cli;
mod oracle;
mod typed;
mod worlds;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args_os().skip(1)) {
        Ok(totals) if totals.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(message) => {
            eprintln!("conformance: {message}");
            ExitCode::from(2)
        }
    }
}
