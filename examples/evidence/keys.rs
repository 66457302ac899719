//! Keys of signed checkpoints: ed25519, with the feature `signed-checkpoints`.

use std::error::Error;
use std::path::Path;

use duramen::evidence::log::Checkpoint;

/// What is known of who made a checkpoint.
pub(crate) enum Signature {
    /// Nobody says so.
    None,
    /// Somebody does, and no key was given.
    NotChecked,
    /// The holder of the key.
    OfTheKey,
    /// Somebody else, or something else was signed: why not.
    Wrong(String),
}

impl Signature {
    /// Of a checkpoint, held against a public key where there is one.
    pub(crate) fn of(checkpoint: &Checkpoint, key: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        match key {
            Some(key) => Ok(match with_keys::check(checkpoint, key)? {
                Ok(()) => Self::OfTheKey,
                Err(why) => Self::Wrong(why),
            }),
            None if checkpoint.is_signed() => Ok(Self::NotChecked),
            None => Ok(Self::None),
        }
    }

    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }

    /// For programs.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NotChecked => "not_checked",
            Self::OfTheKey => "of_the_key",
            Self::Wrong(_) => "wrong",
        }
    }

    /// For people; `None` where there is nothing to say.
    pub(crate) fn told(&self, checkpoint: &Checkpoint) -> Option<String> {
        let which = format!(
            "the checkpoint of {}, with {} lines,",
            checkpoint.time(),
            checkpoint.count()
        );
        match self {
            Self::None => None,
            Self::NotChecked => Some(format!(
                "{which} is signed; whether by whom it should be, `--key FILE` with the public key tells"
            )),
            Self::OfTheKey => Some(format!("{which} was signed by the holder of the key")),
            Self::Wrong(why) => Some(format!(
                "FOUND: {which} was not signed by the holder of the key ({why}), and was not relied on"
            )),
        }
    }
}

pub(crate) use with_keys::sign;

type Checked = Result<(), String>;

#[cfg(feature = "signed-checkpoints")]
mod with_keys {
    use std::error::Error;
    use std::fs;
    use std::path::Path;

    use duramen::evidence::log::Checkpoint;

    use super::Checked;

    /// Whether it is signed by the holder of the public key in a file; or why not.
    pub(super) fn check(checkpoint: &Checkpoint, key: &Path) -> Result<Checked, Box<dyn Error>> {
        let checked = checkpoint.check_signature(&read(key)?);
        // The error begins with what everybody knows here: that the checkpoint is not valid.
        Ok(checked.map_err(|error| error.source().unwrap_or(&error).to_string()))
    }

    /// The checkpoint with a signature by the secret key in a file.
    pub(crate) fn sign(checkpoint: Checkpoint, key: &Path) -> Result<Checkpoint, Box<dyn Error>> {
        Ok(checkpoint.signed(&read(key)?))
    }

    /// A key's 32 bytes: a file of them, or of 64 hexadecimal digits.
    fn read(file: &Path) -> Result<[u8; 32], Box<dyn Error>> {
        let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        if let Ok(key) = <[u8; 32]>::try_from(&*bytes) {
            return Ok(key);
        }
        let key = std::str::from_utf8(&bytes).ok().and_then(of_digits);
        let what = "no ed25519 key: it must be the key's 32 bytes, or 64 hexadecimal digits";
        Ok(key.ok_or_else(|| format!("{}: {what}", file.display()))?)
    }

    fn of_digits(text: &str) -> Option<[u8; 32]> {
        let text = text.trim();
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = [0; 32];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(key)
    }
}

#[cfg(not(feature = "signed-checkpoints"))]
mod with_keys {
    use std::error::Error;
    use std::path::Path;

    use duramen::evidence::log::Checkpoint;

    use super::Checked;

    const WITHOUT: &str = "this was built without signatures; run it with \
        `cargo run --release --features signed-checkpoints --example evidence -- …`";

    pub(super) fn check(_: &Checkpoint, _: &Path) -> Result<Checked, Box<dyn Error>> {
        Err(WITHOUT.into())
    }

    pub(crate) fn sign(_: Checkpoint, _: &Path) -> Result<Checkpoint, Box<dyn Error>> {
        Err(WITHOUT.into())
    }
}
