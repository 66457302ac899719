//! Epochs: the policies and entities that are in force together.
//!
//! A decision pins one epoch at its start and reads nothing else; publishing swaps the whole epoch at once.
//! All that threads share while they decide is here; the authorizer adds one counter, of lost records.

mod index;
mod link;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::decision::Effect;
use crate::entity::Snapshot;
use crate::program::Program;
use crate::schema::SchemaModel;
use crate::value::arena::TableFull;

pub(crate) use index::Index;
pub(crate) use link::{ActionTest, Linked, Row, ScopeTest};

/// Policies, schema and entities that are in force together. Immutable.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) program: Arc<Program>,
    pub(crate) linked: Linked,
    pub(crate) snapshot: Snapshot,
    pub(crate) schema: Option<Arc<SchemaModel>>,
    pub(crate) version: Version,
}

/// Which policies, schema and entities a decision was made on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    epoch: u64,
    entity_revision: u64,
    policies: VersionDigest,
    schema: Option<VersionDigest>,
}

/// A SHA-256 digest; written in lower-case hexadecimal.
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
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                *high = DIGITS[usize::from(byte >> 4)];
                *low = DIGITS[usize::from(byte & 15)];
            }
        }
        f(str::from_utf8(&text).unwrap_or_default())
    }
}

impl From<[u8; 32]> for VersionDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Display for VersionDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.with_hex(|text| f.write_str(text))
    }
}

impl std::fmt::Debug for VersionDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for VersionDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for VersionDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        let malformed = || serde::de::Error::custom("a digest is 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(malformed());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(at * 2..at * 2 + 2).ok_or_else(malformed)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| malformed())?;
        }
        Ok(Self(bytes))
    }
}

/// What the next epoch is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) program: Arc<Program>,
    pub(crate) snapshot: Snapshot,
    pub(crate) schema: Option<Arc<SchemaModel>>,
    pub(crate) entity_revision: u64,
    pub(crate) indexed: bool,
}

impl Epoch {
    /// Links the parts. Names that the program mentions and the entities do not are added to a copy of the
    /// snapshot's table; the entities themselves are shared.
    pub(crate) fn new(parts: Parts, number: u64) -> Result<Self, TableFull> {
        let mut snapshot = parts.snapshot;
        let linked = link::link(&parts.program, &mut snapshot, parts.indexed)?;
        Ok(Self {
            version: Version {
                epoch: number,
                entity_revision: parts.entity_revision,
                policies: parts.program.digest.into(),
                schema: parts.schema.as_ref().map(|schema| schema.digest().into()),
            },
            program: parts.program,
            linked,
            snapshot,
            schema: parts.schema,
        })
    }
}

impl Epoch {
    /// Whether a policy permits or forbids.
    #[inline]
    pub(crate) fn effect(&self, policy: u32) -> Effect {
        let row = self.linked.rows.get(policy as usize);
        row.map_or(Effect::Forbid, |row| row.effect)
    }
}

/// The epoch in force, and the lock that serialises its replacement.
#[derive(Debug)]
pub(crate) struct Published {
    current: ArcSwap<Epoch>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// Epochs that were replaced and that somebody may still be deciding on. They are dropped here, by a
    /// writer, so that no decision ever pays for freeing a store.
    retired: Vec<Arc<Epoch>>,
}

impl Published {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            current: ArcSwap::from_pointee(epoch),
            writer: Mutex::new(Writer {
                retired: Vec::new(),
            }),
        }
    }

    /// Pins the epoch in force: wait-free, whatever writers do.
    #[inline]
    pub(crate) fn pin(&self) -> arc_swap::Guard<Arc<Epoch>> {
        self.current.load()
    }

    pub(crate) fn load_full(&self) -> Arc<Epoch> {
        self.current.load_full()
    }

    /// The swap itself, for sessions that keep the epoch between calls.
    pub(crate) fn current(&self) -> &ArcSwap<Epoch> {
        &self.current
    }

    /// Replaces the epoch by what `next` makes of it. Writers queue up; readers never wait. When `next`
    /// fails, the epoch stays.
    pub(crate) fn replace<E>(
        &self,
        next: impl FnOnce(&Epoch) -> Result<Epoch, E>,
    ) -> Result<Version, E> {
        // A writer that panicked has published nothing: the state behind a poisoned lock is sound.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Arc::new(next(&self.current.load_full())?);
        let version = new.version;
        let old = self.current.swap(new);
        writer.retired.push(old);
        writer.retired.retain(|epoch| Arc::strong_count(epoch) > 1);
        Ok(version)
    }
}

/// Numbers for the records of one authorizer.
#[derive(Debug, Default)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// The next number; the first is 1.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
