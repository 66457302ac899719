//! The integration tests: one binary, a file per topic. Stock `cedar-policy` is the oracle.
//!
//! `DURAMEN_WORLDS` sets how many cases each property is tried on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

mod agents;
mod agree;
mod alike;
mod api;
mod bulk;
mod claims;
mod classes;
mod delegation;
mod documents;
mod entities;
mod entity_updates;
mod error_texts;
mod evidence;
mod explain;
mod faults;
mod freshness;
mod garbage;
mod generate;
mod grants;
mod keys;
mod language;
mod limits;
mod loading;
mod many;
mod messages;
mod oracle;
mod overlays;
mod pinned;
mod policy_tests;
mod positions;
mod properties;
mod requests;
mod schemas;
mod search;
mod shadow;
mod signals;
mod sinks;
mod spiffe;
mod steps;
mod stored;
mod swap;
mod threads;
mod uids;
mod updates;
mod validation;
mod value;
mod written;
