//! Checkpoints: where the chain stood at a time, to be kept where the log's writer cannot reach.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::pieces::Timestamp;
use super::chain::LineHash;
use super::id::LogId;
use super::verify::verify;
use super::{LogError, LogErrorKind};

/// The number of the format of checkpoints.
const FORMAT: u32 = 2;
/// That of checkpoints which do not say which log they are of.
const WITHOUT_LOG: u32 = 1;

/// Where a log's chain stood at a time: how many lines it had, and the hash of the last.
///
/// Keep it elsewhere than the log. A log that verifies against it has all those lines, unaltered.
///
/// It serializes to a JSON object with the members `format`, `log`, `count`, `head` and `time`, and `signature` when it is
/// signed. Format 2 has `log`; format 1, that of an empty log and of logs that have no id, has not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Checkpoint {
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogId>,
    count: u64,
    head: LineHash,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// What may be a checkpoint.
#[derive(Deserialize)]
struct Unchecked {
    format: u32,
    log: Option<LogId>,
    count: u64,
    head: LineHash,
    time: String,
    signature: Option<String>,
}

impl TryFrom<Unchecked> for Checkpoint {
    type Error = String;

    fn try_from(read: Unchecked) -> Result<Self, String> {
        let Unchecked {
            format,
            log,
            count,
            head,
            time,
            signature,
        } = read;
        match (format, log) {
            (FORMAT, Some(_)) | (WITHOUT_LOG, None) => Ok(Self {
                format,
                log,
                count,
                head,
                time,
                signature,
            }),
            (FORMAT, None) => Err("format 2 needs a `log`".into()),
            (WITHOUT_LOG, Some(_)) => Err("format 1 has no `log`".into()),
            _ => Err(format!("format {format} is not known")),
        }
    }
}

impl Checkpoint {
    /// Of a log without lines, no other process will ever know the id.
    pub(super) fn new(log: Option<LogId>, count: u64, head: LineHash) -> Self {
        let log = log.filter(|_| count > 0);
        Self {
            format: log.map_or(WITHOUT_LOG, |_| FORMAT),
            log,
            count,
            head,
            time: Timestamp(SystemTime::now()).to_string(),
            signature: None,
        }
    }

    /// A checkpoint of the log in a directory, which is verified for it. For a log that this process writes there is
    /// [`DurableLog::checkpoint`](super::DurableLog::checkpoint); of one that is being written this may count lines that are not
    /// acknowledged yet, and that a failure takes back.
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
            _ => Ok(Self::new(seen.log(), seen.count(), seen.head())),
        }
    }

    /// Reads a checkpoint from the JSON that it serializes to.
    ///
    /// # Errors
    /// [`LogError`] when the text is something else, or of a newer format.
    pub fn from_json(text: &str) -> Result<Self, LogError> {
        let bad = |error| LogError::new(LogErrorKind::BadCheckpoint, Path::new("")).because(error);
        serde_json::from_str(text).map_err(bad)
    }

    /// The checkpoint as JSON, on one line.
    pub fn to_json(&self) -> String {
        // Numbers and texts always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Which log it is of; `None` where it does not say: see [`LogId`].
    pub fn log(&self) -> Option<LogId> {
        self.log
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

/// Signatures: ed25519 (RFC 8032) over format, log, count, head and time.
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
            log,
            count,
            head,
            time,
            signature: _,
        } = self;
        let log = log.map(|log| format!("{log}\n")).unwrap_or_default();
        format!("duramen checkpoint {format}\n{log}{count}\n{head}\n{time}\n")
    }
}
