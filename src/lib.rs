//! Duramen.
#![forbid(unsafe_code)]

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "called by the loader, which is yet to come")
)]
mod compile;
mod limits;

pub use limits::{Limit, LimitExceeded, Limits};
