//! The name of a log, which tells it from all others.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Hexadecimal digits of a name.
pub(super) const DIGITS: usize = 32;

/// Which log it is: 128 random bits, drawn when the log was begun. Written as 32 hexadecimal digits, in lower case.
///
/// The first line of each segment says it, but where a repair has begun the segment with older lines, and so does each
/// [`Checkpoint`](super::Checkpoint). To be kept elsewhere, it is written by `Display` or serde, and read by `FromStr` or
/// serde.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(u128);

impl LogId {
    pub(super) fn random() -> Self {
        Self(crate::id::random())
    }

    /// Lower-case digits only, as for hashes.
    pub(super) fn from_hex(text: &[u8]) -> Option<Self> {
        let plain = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != DIGITS || !text.iter().all(plain) {
            return None;
        }
        let text = str::from_utf8(text).ok()?;
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not the id of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the id of a log is {DIGITS} hexadecimal digits, in lower case")]
pub struct LogIdError(());

impl FromStr for LogId {
    type Err = LogIdError;

    fn from_str(text: &str) -> Result<Self, LogIdError> {
        Self::from_hex(text.as_bytes()).ok_or(LogIdError(()))
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
