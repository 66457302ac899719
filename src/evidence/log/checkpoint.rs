//! Checkpoints: where the chain stood at a time, to be kept where the log's writer cannot reach.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::pieces::Timestamp;
use super::chain::LineHash;
use super::verify::verify;
use super::{LogError, LogErrorKind};

/// The number of the format of checkpoints.
const FORMAT: u32 = 1;

/// Where a log's chain stood at a time: how many lines it had, and the hash of the last.
///
/// Keep it elsewhere than the log. A log that verifies against it has all those lines, unaltered.
///
/// It serializes to a JSON object with the members `format`, `count`, `head` and `time`, and `signature` when it is signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    format: u32,
    count: u64,
    head: LineHash,
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl Checkpoint {
    pub(super) fn new(count: u64, head: LineHash) -> Self {
        Self {
            format: FORMAT,
            count,
            head,
            time: Timestamp(SystemTime::now()).to_string(),
            signature: None,
        }
    }

    /// A checkpoint of the log in a directory, which is verified for it. For a log that this process writes there is
    /// [`DurableLog::checkpoint`](super::DurableLog::checkpoint).
    ///
    /// # Errors
    /// [`LogError`] when the log cannot be read, or when anything but its tail is not as it was written.
    pub fn of(directory: impl AsRef<Path>) -> Result<Self, LogError> {
        let directory = directory.as_ref();
        let seen = verify(directory, None)?;
        match seen.finding() {
            Some(finding) if finding.is_tampering() => {
                Err(LogError::damaged(directory, finding.clone()))
            }
            _ => Ok(Self::new(seen.count(), seen.head())),
        }
    }

    /// Reads a checkpoint from the JSON that it serializes to.
    ///
    /// # Errors
    /// [`LogError`] when the text is something else, or of a newer format.
    pub fn from_json(text: &str) -> Result<Self, LogError> {
        let bad = || LogError::new(LogErrorKind::BadCheckpoint, Path::new(""));
        let read: Self = serde_json::from_str(text).map_err(|error| bad().because(error))?;
        if read.format != FORMAT {
            return Err(bad().because(format!("format {} is not known", read.format)));
        }
        Ok(read)
    }

    /// The checkpoint as JSON, on one line.
    pub fn to_json(&self) -> String {
        // Numbers and texts always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// How many lines the log had.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The hash of the last of them.
    pub fn head(&self) -> LineHash {
        self.head
    }

    /// When the checkpoint was made, by the clock of the machine that made it.
    pub fn time(&self) -> &str {
        &self.time
    }

    /// Whether there is a signature. Whose it is and of what, only `check_signature` tells (feature `signed-checkpoints`).
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }
}

/// Signatures: ed25519 (RFC 8032) over format, count, head and time.
#[cfg(feature = "signed-checkpoints")]
impl Checkpoint {
    /// The checkpoint with a signature by a secret key, its 32 bytes.
    #[must_use]
    pub fn signed(mut self, secret_key: &[u8; 32]) -> Self {
        use ed25519_dalek::Signer;
        let key = ed25519_dalek::SigningKey::from_bytes(secret_key);
        self.signature = Some(key.sign(self.message().as_bytes()).to_string());
        self
    }

    /// Checks that the checkpoint was signed by the holder of a key, given as the 32 bytes of the public key.
    ///
    /// [`verify`] looks at no signatures: call this first.
    ///
    /// # Errors
    /// [`LogError`] when there is no signature or another one, or when the bytes are no public key.
    pub fn check_signature(&self, public_key: &[u8; 32]) -> Result<(), LogError> {
        let bad =
            |why: &str| LogError::new(LogErrorKind::BadCheckpoint, Path::new("")).because(why);
        let signature = self
            .signature
            .as_deref()
            .ok_or_else(|| bad("it is not signed"))?;
        let signature: ed25519_dalek::Signature = signature
            .parse()
            .map_err(|_| bad("its signature is malformed"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(public_key)
            .map_err(|_| bad("the public key is malformed"))?;
        key.verify_strict(self.message().as_bytes(), &signature)
            .map_err(|_| bad("its signature is another one's or of something else"))
    }

    fn message(&self) -> String {
        let Self {
            format,
            count,
            head,
            time,
            ..
        } = self;
        format!("duramen checkpoint {format}\n{count}\n{head}\n{time}\n")
    }
}
