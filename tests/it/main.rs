//! The integration tests: one binary, a file per topic. Stock `cedar-policy` is the oracle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

mod generate;
mod language;
mod loading;
mod oracle;
mod positions;
mod properties;
mod requests;
mod value;
