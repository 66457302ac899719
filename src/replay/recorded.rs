//! Values as a record has them, for a request of ours and for one of Cedar's.
//!
//! Neither is given the text: in Cedar's JSON a record with a key `__entity` is not to be told from an entity, and evidence
//! tells them apart (`evidence::fields`).

use std::collections::HashMap;
use std::str::FromStr;

use cedar_policy as cedar;
use cedar_policy::RestrictedExpression;
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::evidence::{OwnedInputs, field_name, is_escape};
use crate::ext;
use crate::id::EntityUidRef;
use crate::request::Entity;
use crate::request::values::{Datetime, Decimal, Duration, EntityRef, Ip};

use super::cedar_uid;

/// The fields of a record.
#[derive(Clone, Copy)]
pub(super) struct Fields<'r>(pub(super) &'r Map<String, Json>);

impl<'r> Fields<'r> {
    /// # Errors
    /// For a context that is none.
    pub(super) fn of(context: &'r Json) -> Result<Self, String> {
        match context {
            Json::Object(members) => Ok(Self(members)),
            other => Err(format!("the context is not a record: {other}")),
        }
    }

    pub(super) fn to_cedar(self) -> Result<Vec<(String, RestrictedExpression)>, String> {
        let members = self.0.iter();
        let fields = members.map(|(key, value)| Ok((name(key)?.to_owned(), expression(value)?)));
        fields.collect()
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(name(key).map_err(S::Error::custom)?, &Recorded(value))?;
        }
        map.end()
    }
}

fn name(key: &str) -> Result<&str, String> {
    field_name(key).ok_or_else(|| format!("a record has the key `{key}` beside others"))
}

struct Recorded<'r>(&'r Json);

impl Serialize for Recorded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match self.0 {
            Json::Array(items) => return serializer.collect_seq(items.iter().map(Recorded)),
            Json::Object(members) if is_escape(members) => Escape::read(members),
            Json::Object(members) => return Fields(members).serialize(serializer),
            plain => {
                return match plain.as_i64() {
                    Some(long) => serializer.serialize_i64(long),
                    // What is no value is refused as in any context.
                    None => plain.serialize(serializer),
                };
            }
        };
        match form.map_err(S::Error::custom)? {
            Escape::Entity(uid) => EntityRef::from(uid).serialize(serializer),
            Escape::Decimal(text) => Decimal::new(text).serialize(serializer),
            Escape::Ip(text) => Ip::new(text).serialize(serializer),
            Escape::Datetime(text) => Datetime::new(text).serialize(serializer),
            Escape::Millis(millis) => Datetime::from_millis(millis).serialize(serializer),
            Escape::Duration(text) => Duration::new(text).serialize(serializer),
        }
    }
}

fn expression(json: &Json) -> Result<RestrictedExpression, String> {
    Ok(match json {
        Json::Bool(b) => RestrictedExpression::new_bool(*b),
        Json::Number(number) => {
            let long = number.as_i64();
            let long = long.ok_or_else(|| format!("{number} is not a 64-bit integer"))?;
            RestrictedExpression::new_long(long)
        }
        Json::String(text) => RestrictedExpression::new_string(text.clone()),
        Json::Array(items) => {
            let items = items.iter().map(expression);
            RestrictedExpression::new_set(items.collect::<Result<Vec<_>, _>>()?)
        }
        Json::Object(members) if is_escape(members) => match Escape::read(members)? {
            Escape::Entity(uid) => RestrictedExpression::new_entity_uid(cedar_uid(uid)?),
            Escape::Decimal(text) => RestrictedExpression::new_decimal(text),
            Escape::Ip(text) => RestrictedExpression::new_ip(text),
            Escape::Datetime(text) => RestrictedExpression::new_datetime(text),
            Escape::Duration(text) => RestrictedExpression::new_duration(text),
            Escape::Millis(millis) => {
                let offset = format!("datetime(\"1970-01-01\").offset(duration(\"{millis}ms\"))");
                RestrictedExpression::from_str(&offset).map_err(|error| error.to_string())?
            }
        },
        Json::Object(members) => RestrictedExpression::new_record(Fields(members).to_cedar()?)
            .map_err(|error| error.to_string())?,
        Json::Null => return Err("Cedar has no null".to_owned()),
    })
}

/// An entity or an extension value, by the text of its constructor.
enum Escape<'r> {
    Entity(EntityUidRef<'r>),
    Decimal(&'r str),
    Ip(&'r str),
    Datetime(&'r str),
    /// A datetime that no text says: so many milliseconds from the epoch on.
    Millis(i64),
    Duration(&'r str),
}

impl<'r> Escape<'r> {
    fn read(members: &'r Map<String, Json>) -> Result<Self, String> {
        let escape = Self::of(members);
        escape.ok_or_else(|| {
            let text = serde_json::to_string(members).unwrap_or_default();
            format!("not an entity or an extension value of a record: {text}")
        })
    }

    fn of(members: &'r Map<String, Json>) -> Option<Self> {
        if let Some(uid) = members.get("__entity") {
            return Some(Self::Entity(uid_of(uid)?));
        }
        let call = members.get("__extn")?;
        let function = call.get("fn")?.as_str()?;
        let arg = || call.get("arg")?.as_str();
        Some(match function {
            "decimal" => Self::Decimal(arg()?),
            "ip" => Self::Ip(arg()?),
            "datetime" => Self::Datetime(arg()?),
            "duration" => Self::Duration(arg()?),
            "offset" => {
                let [from, by] = call.get("args")?.as_array()?.as_slice() else {
                    return None;
                };
                let (Self::Datetime(from), Self::Duration(by)) =
                    (Self::of(from.as_object()?)?, Self::of(by.as_object()?)?)
                else {
                    return None;
                };
                let from = ext::Datetime::parse(from).ok()?;
                let by = ext::Duration::parse(by).ok()?;
                Self::Millis(from.millis().checked_add(by.millis())?)
            }
            _ => return None,
        })
    }
}

/// An entity as a record has it.
pub(super) struct RecordedEntity<'r> {
    pub(super) uid: EntityUidRef<'r>,
    pub(super) attrs: Fields<'r>,
    pub(super) tags: Option<Fields<'r>>,
    pub(super) parents: Vec<EntityUidRef<'r>>,
}

impl<'r> RecordedEntity<'r> {
    /// Those that existed.
    ///
    /// # Errors
    /// When one is not in the form of a record.
    pub(super) fn all(inputs: &'r OwnedInputs) -> Result<Vec<Self>, String> {
        let there = inputs.entities.iter();
        let there = there.filter(|entity| entity.get("missing").is_none());
        let entities = there.map(|entity| {
            Self::of(entity).ok_or_else(|| {
                format!("an entity of the inputs is not in the form of a record: {entity}")
            })
        });
        entities.collect()
    }

    /// What is above each of them, without the lists of it; `None` if one is above itself.
    pub(super) fn hierarchy(all: &[Self]) -> Option<Hierarchy> {
        let mut numbers: HashMap<_, _> = all.iter().map(|entity| entity.uid).zip(0..).collect();
        let mut above = vec![Vec::new(); all.len()];
        let mut below = vec![Vec::new(); all.len()];
        // Of each, how many parents were not passed yet, and the level that those before put it on.
        let mut left = vec![(0_usize, 1_usize); all.len()];
        for ((entity, number), left) in all.iter().zip(0_usize..).zip(&mut left) {
            for uid in &entity.parents {
                let next = numbers.len();
                let parent = *numbers.entry(*uid).or_insert(next);
                above.get_mut(number)?.push(parent);
                // Nothing is above those of which nothing was read.
                if let Some(below) = below.get_mut(parent) {
                    below.push(number);
                    left.0 += 1;
                }
            }
        }
        let roots = left
            .iter()
            .zip(0..)
            .filter(|((parents, _), _)| *parents == 0);
        let mut open: Vec<usize> = roots.map(|(_, number)| number).collect();
        let mut order = Vec::with_capacity(all.len());
        let mut levels = 0;
        while let Some(number) = open.pop() {
            let (_, level) = *left.get(number)?;
            order.push(number);
            levels = levels.max(level);
            for child in below.get(number)? {
                let (parents, of_child) = left.get_mut(*child)?;
                *of_child = (*of_child).max(level + 1);
                *parents -= 1;
                if *parents == 0 {
                    open.push(*child);
                }
            }
        }
        let entities = numbers.len();
        (order.len() == all.len()).then_some(Hierarchy {
            levels,
            above,
            order,
            entities,
        })
    }

    fn of(entity: &'r Json) -> Option<Self> {
        let fields = |json: &'r Json| Some(Fields(json.as_object()?));
        let parents = entity.get("parents")?.as_array()?;
        Some(Self {
            uid: uid_of(entity.get("uid")?)?,
            attrs: fields(entity.get("attrs")?)?,
            tags: match entity.get("tags") {
                Some(tags) => Some(fields(tags)?),
                None => None,
            },
            parents: parents.iter().map(uid_of).collect::<Option<_>>()?,
        })
    }

    /// The entity for a request of ours.
    pub(super) fn typed(&self) -> Entity<'_> {
        let entity = Entity::new(self.uid)
            .attrs(&self.attrs)
            .parents(&self.parents);
        match &self.tags {
            Some(tags) => entity.tags(tags),
            None => entity,
        }
    }

    pub(super) fn to_cedar(&self) -> Result<cedar::Entity, String> {
        let parents = self.parents.iter().copied().map(cedar_uid);
        let parents = parents.collect::<Result<Vec<_>, _>>()?;
        let tags = self.tags.map(Fields::to_cedar).transpose()?;
        let (uid, attrs) = (cedar_uid(self.uid)?, self.attrs.to_cedar()?);
        cedar::Entity::new_with_tags(uid, attrs, parents, tags.unwrap_or_default())
            .map_err(|error| error.to_string())
    }
}

/// What is above the entities of a record, all by numbers.
pub(super) struct Hierarchy {
    /// In how many levels entities are above one another.
    pub(super) levels: usize,
    /// The parents of each.
    above: Vec<Vec<usize>>,
    /// Each behind its parents.
    order: Vec<usize>,
    /// How many there are, also of those that are only parents.
    entities: usize,
}

impl Hierarchy {
    /// Whether all lists of ancestors together are made of no more than so many. Counted is what they are put together from,
    /// before what occurs twice is dropped: that takes time, too.
    pub(super) fn has_no_more_ancestors_than(&self, most: usize) -> bool {
        let mut lists = vec![Vec::new(); self.above.len()];
        // For whom each was listed last.
        let mut listed = vec![usize::MAX; self.entities];
        let mut spent = 0_usize;
        for number in &self.order {
            let mut list: Vec<usize> = Vec::new();
            for parent in self.above.get(*number).into_iter().flatten() {
                let further: &[usize] = lists.get(*parent).map_or(&[], Vec::as_slice);
                spent = spent.saturating_add(1 + further.len());
                if spent > most {
                    return false;
                }
                for above in further.iter().chain([parent]) {
                    if let Some(last) = listed.get_mut(*above)
                        && *last != *number
                    {
                        *last = *number;
                        list.push(*above);
                    }
                }
            }
            if let Some(place) = lists.get_mut(*number) {
                *place = list;
            }
        }
        true
    }
}

fn uid_of(json: &Json) -> Option<EntityUidRef<'_>> {
    let text = |member| json.get(member)?.as_str();
    Some(EntityUidRef::new(text("type")?, text("id")?))
}
