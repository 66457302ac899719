//! What a decision was made on: numbers that go up, and digests of what things mean.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which policies, schema and entities a decision was made on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Version {
    pub(super) epoch: u64,
    pub(super) entity_revision: u64,
    pub(super) policies: VersionDigest,
    pub(super) schema: Option<VersionDigest>,
}

/// A SHA-256 digest.
///
/// Written in lower-case hexadecimal by `Display` and serde, and read by `FromStr` and serde: a digest that somebody has noted
/// finds its policies in an archive ([`PolicyArchive::load`](crate::replay::PolicyArchive::load)).
///
/// ```
/// use duramen::{Authorizer, VersionDigest};
///
/// let authorizer = Authorizer::builder().policies("permit(principal, action, resource);").build()?;
/// let noted = authorizer.version().policies().to_string();
/// assert_eq!(noted.parse::<VersionDigest>()?, authorizer.version().policies());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionDigest([u8; 32]);

impl Version {
    /// The number of the epoch: 1 when the authorizer is built, one more with every replacement of policies
    /// or entities.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of the entity data: one more with every replacement of entities.
    pub fn entity_revision(&self) -> u64 {
        self.entity_revision
    }

    /// The digest of the policy set's meaning: formatting and comments do not count.
    pub fn policies(&self) -> VersionDigest {
        self.policies
    }

    /// The digest of the schema, if there is one.
    pub fn schema(&self) -> Option<VersionDigest> {
        self.schema
    }
}

impl VersionDigest {
    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Calls `f` with the hexadecimal text, without allocating.
    fn with_hex<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        f(str::from_utf8(&hex(&self.0)).unwrap_or_default())
    }
}

impl From<[u8; 32]> for VersionDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for VersionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|text| f.write_str(text))
    }
}

impl fmt::Debug for VersionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for VersionDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for VersionDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is not a digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits, in lower case")]
pub struct VersionDigestError(());

impl FromStr for VersionDigest {
    type Err = VersionDigestError;

    fn from_str(text: &str) -> Result<Self, VersionDigestError> {
        unhex(text.as_bytes())
            .map(Self)
            .ok_or(VersionDigestError(()))
    }
}

/// A digest in lower-case hexadecimal.
pub(crate) fn hex(digest: &[u8; 32]) -> [u8; 64] {
    // Reckoned and not looked up, so that many are made at once.
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    let mut text = [0; 64];
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(digest) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    text
}

/// What [`hex`] has written. Lower-case digits only: there is one way to write a digest, so that no change of a text which has
/// one goes unnoticed.
pub(crate) fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        *byte = (digit(high)? << 4) | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{VersionDigest, hex, unhex};

    #[test]
    fn a_digest_is_written_in_one_way() {
        let digest: [u8; 32] = std::array::from_fn(|byte| (byte as u8).wrapping_mul(9));
        let text = VersionDigest::from(digest).to_string();
        assert_eq!(text.parse::<VersionDigest>().unwrap().as_bytes(), &digest);
        assert_eq!(unhex(&hex(&digest)), Some(digest));
        for other in [
            text.to_uppercase(),
            format!("+{}", &text[1..]),
            text[1..].to_owned(),
            format!("{text}0"),
            String::new(),
        ] {
            assert!(other.parse::<VersionDigest>().is_err(), "{other}");
        }
    }
}
