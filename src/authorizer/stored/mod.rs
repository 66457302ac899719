//! What the store holds: entities read back, one by one or all of them.

mod read;
mod write;

use std::fmt;

use bumpalo::Bump;
use serde::Deserialize;

use crate::entity::{EntityData, Snapshot};
use crate::id::{EntityUidRef, Uid};
use crate::names::Names;
use crate::value::arena::NameText;
use crate::value::{Record, StoredRecord, Value};

pub use read::AttributeError;

use super::Pinned;

impl Pinned {
    /// What the store holds of an entity; `None` when it holds nothing, though other entities or policies may mention it.
    ///
    /// Entities that a request brings along are never in the store. The actions of a schema are.
    ///
    /// ```
    /// use duramen::{Authorizer, Entity, EntityUid, EntityUpdate};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct User { clearance: i64, manager: Option<EntityUid> }
    ///
    /// let authorizer = Authorizer::builder().build()?;
    /// let attrs = User { clearance: 2, manager: Some(EntityUid::new("User", "bob")) };
    /// let teams = [("Team", "sales").into()];
    /// let alice = Entity::new(("User", "alice")).attrs(&attrs).parents(&teams);
    /// authorizer.update_entities(EntityUpdate::new().upsert(alice))?;
    ///
    /// let pinned = authorizer.pin();
    /// let alice = pinned.entity(("User", "alice")).ok_or("nobody")?;
    /// assert_eq!(alice.attrs().read::<User>()?.clearance, 2);
    /// assert_eq!(alice.parents(), [("Team", "sales").into()]);
    /// assert!(pinned.entity(("User", "bob")).is_none(), "bob is mentioned, and was never stored");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entity<'u>(&self, uid: impl Into<EntityUidRef<'u>>) -> Option<StoredEntity<'_>> {
        let uid = uid.into();
        let snapshot = &self.epoch.snapshot;
        let uid = snapshot.names.find_uid(uid.type_name(), uid.id())?;
        let data = snapshot.entity(uid)?;
        Some(StoredEntity {
            snapshot,
            uid,
            data,
        })
    }

    /// All that the store holds: to walk over, or to write down.
    ///
    /// ```
    /// # use duramen::{Authorizer, Entities};
    /// let stored = r#"[{"uid":{"type":"User","id":"alice"},"attrs":{"age":41},"parents":[]}]"#;
    /// let authorizer = Authorizer::builder().entities(stored).build()?;
    ///
    /// // A backup is what `Entities::json` reads, and `cedar_policy::Entities::from_json_str`.
    /// let backup = serde_json::to_string(&authorizer.pin().entities())?;
    /// assert_eq!(backup, stored);
    /// authorizer.replace_entities(Entities::new().json(backup))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entities(&self) -> StoredEntities<'_> {
        StoredEntities(&self.epoch.snapshot)
    }
}

/// The entities of a store at one moment. Made by [`Pinned::entities`].
///
/// It serializes as Cedar's entity format: an array, ordered by type name and id, with the parents of each in the same order,
/// attributes by name, and sets by what is in them. So two stores with the same entities give the same text, however they came
/// about, and a `diff` of two exports shows what changed. The actions of a schema are among them, as they are in
/// `cedar_policy::Entities`.
///
/// Serializing fails for a record with a key `__entity`, `__extn` or `__expr`, below the attribute's own name: Cedar's JSON has
/// no way to say that it is no escape.
#[derive(Clone, Copy)]
pub struct StoredEntities<'p>(&'p Snapshot);

impl<'p> StoredEntities<'p> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Each, in the order of the store: that in which they were first mentioned when they were loaded.
    pub fn iter(self) -> impl Iterator<Item = StoredEntity<'p>> {
        let snapshot = self.0;
        snapshot.iter().map(move |(uid, data)| StoredEntity {
            snapshot,
            uid,
            data,
        })
    }
}

impl fmt::Debug for StoredEntities<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredEntities")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// An entity as the store holds it. Made by [`Pinned::entity`] and [`StoredEntities::iter`].
///
/// It serializes as one entity of Cedar's format; see [`StoredEntities`].
#[derive(Clone, Copy)]
pub struct StoredEntity<'p> {
    snapshot: &'p Snapshot,
    uid: Uid,
    data: &'p EntityData,
}

impl<'p> StoredEntity<'p> {
    /// Its uid.
    pub fn uid(self) -> EntityUidRef<'p> {
        self.text_of(self.uid)
    }

    /// Its attributes.
    pub fn attrs(self) -> Attributes<'p> {
        self.record(self.data.attrs())
    }

    /// Its tags.
    pub fn tags(self) -> Attributes<'p> {
        self.record(self.data.tags())
    }

    /// Its direct parents, ordered by type name and id. They need not be stored themselves.
    pub fn parents(self) -> Vec<EntityUidRef<'p>> {
        self.texts_of(self.data.parents())
    }

    /// All that is above it, its parents included, ordered by type name and id: what `in` holds for, but for itself.
    pub fn ancestors(self) -> Vec<EntityUidRef<'p>> {
        let arena = Bump::new();
        let ancestors = self.snapshot.ancestors(&arena, self.data);
        self.texts_of(ancestors.merged(&arena))
    }

    fn record(self, record: &'p StoredRecord) -> Attributes<'p> {
        Attributes {
            of: self.uid(),
            record,
            names: &self.snapshot.names,
        }
    }

    fn text_of(self, uid: Uid) -> EntityUidRef<'p> {
        let snapshot: &'p Snapshot = self.snapshot;
        snapshot.names.uid_text(uid).into()
    }

    fn texts_of(self, uids: &[Uid]) -> Vec<EntityUidRef<'p>> {
        let mut texts: Vec<_> = uids.iter().map(|uid| self.text_of(*uid)).collect();
        texts.sort_unstable();
        texts
    }
}

impl fmt::Debug for StoredEntity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredEntity")
            .field("uid", &format_args!("{}", self.uid()))
            .field("attrs", &self.attrs())
            .field("tags", &self.tags())
            .field("parents", &self.parents())
            .finish()
    }
}

/// The attributes of a stored entity, or its tags.
///
/// They serialize as a record of Cedar's JSON format, by name; see [`StoredEntities`].
#[derive(Clone, Copy)]
pub struct Attributes<'p> {
    of: EntityUidRef<'p>,
    record: &'p StoredRecord,
    names: &'p Names,
}

impl<'p> Attributes<'p> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.record.keys().len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The one of this name.
    pub fn get(self, name: &str) -> Option<AttributeValue<'p>> {
        let value = self.record.get(self.names.find_sym(name)?)?.value();
        Some(self.value(value))
    }

    /// Each with its name, in no particular order.
    pub fn iter(self) -> impl Iterator<Item = (&'p str, AttributeValue<'p>)> {
        let fields = Record::Stored(self.record).iter();
        fields.map(move |(name, value)| (self.names.sym_text(name), self.value(value)))
    }

    /// All of them as a type of the caller's, such as the one that [`Entity::attrs`](crate::Entity::attrs) was given.
    ///
    /// | Cedar | Rust |
    /// |---|---|
    /// | bool, long, string | `bool`, integers, `String`, `&str`, `char` |
    /// | record | structs, maps |
    /// | set | `Vec` and what else is made of a sequence |
    /// | entity | [`EntityUid`](crate::EntityUid) |
    /// | ip | its text: `String`, or `std::net::IpAddr` if it is one address |
    /// | decimal, datetime, duration | the text that its constructor takes, such as `2024-02-29T12:00:00.000Z` |
    /// | string, record with one attribute | an `enum` without data, with data |
    ///
    /// An attribute that is not there is the `None` of an `Option`.
    ///
    /// # Errors
    /// [`AttributeError`], which names the entity and the place, when what is stored does not fit the type.
    pub fn read<T: Deserialize<'p>>(self) -> Result<T, AttributeError> {
        self.value(Value::StoredRecord(self.record)).read()
    }

    fn value(self, value: Value<'p>) -> AttributeValue<'p> {
        AttributeValue {
            of: self.of,
            value,
            names: self.names,
        }
    }
}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The value of an attribute or a tag. It serializes as Cedar's JSON.
#[derive(Clone, Copy)]
pub struct AttributeValue<'p> {
    of: EntityUidRef<'p>,
    value: Value<'p>,
    names: &'p Names,
}

impl<'p> AttributeValue<'p> {
    /// The value as a type of the caller's; as [`Attributes::read`].
    ///
    /// # Errors
    /// As [`Attributes::read`].
    pub fn read<T: Deserialize<'p>>(self) -> Result<T, AttributeError> {
        let reader = read::Reader {
            value: self.value,
            names: self.names,
        };
        T::deserialize(reader).map_err(|error| error.of(self.of))
    }
}

impl fmt::Debug for AttributeValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write::debug(self.value, self.names, f)
    }
}
