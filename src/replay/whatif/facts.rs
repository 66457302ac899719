//! What is known of entities for one record: what it says, and what a live store adds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::epoch::Epoch;
use crate::evidence::{ContextView, Hidden, field_name, written_field};
use crate::id::{EntityUid, EntityUidRef};
use crate::request::locals::{Locals, RequestNames};
use crate::value::Record;

use super::super::asked::Asked;
use super::super::recorded::{Fields, RecordedEntity};

/// Something about an entity that a candidate asks for and that is not known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[non_exhaustive]
pub struct UnknownFact {
    /// The entity; where it is the context that is asked for, the principal that it was the context of.
    pub entity: EntityUid,
    /// What is asked of it.
    #[serde(flatten)]
    pub asked: AskedFact,
}

/// What a policy asks of an entity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AskedFact {
    /// An attribute, or whether it has it.
    Attribute(String),
    /// A tag, or whether it has it.
    Tag(String),
    /// Whether it is in this one.
    Within(EntityUid),
    /// A masked field of the context.
    Context(String),
}

impl std::fmt::Display for UnknownFact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { entity, asked } = self;
        match asked {
            AskedFact::Attribute(name) => write!(f, "attribute `{name}` of {entity}"),
            AskedFact::Tag(name) => write!(f, "tag `{name}` of {entity}"),
            AskedFact::Within(above) => write!(f, "whether {entity} is in {above}"),
            AskedFact::Context(name) => write!(f, "field `{name}` of the context, for {entity}"),
        }
    }
}

/// What is known of the entities. What is not in here is unknown, and not absent.
#[derive(Debug, Default)]
pub(super) struct Facts {
    entities: BTreeMap<EntityUid, EntityFacts>,
    /// What was asked about cannot be in what. A record says how many entities there are and how often is asked: this is put
    /// together once for each that is asked about.
    outside: RefCell<BTreeMap<EntityUid, Outside>>,
}

/// What an entity cannot be in.
#[derive(Debug)]
struct Outside {
    /// These, and what is known to be in them.
    within: BTreeSet<EntityUid>,
    /// Anything but these, if there is a set.
    all_but: Option<BTreeSet<EntityUid>>,
}

impl Outside {
    fn has(&self, uid: &EntityUid) -> bool {
        let all_but = self.all_but.as_ref();
        self.within.contains(uid) || all_but.is_some_and(|all| !all.contains(uid))
    }
}

/// How much is looked at, of one entity, to tell in what some of its members are from what the others are not in. Beyond that it is
/// not known.
const STEPS: usize = 1 << 17;

#[derive(Debug, Default)]
struct EntityFacts {
    /// It did not exist: everything about it is known.
    is_missing: bool,
    /// All of its ancestors are in `parents`.
    is_whole: bool,
    /// By names as they are written in evidence.
    attrs: Map<String, Json>,
    tags: Map<String, Json>,
    parents: BTreeSet<EntityUid>,
    absent: BTreeSet<String>,
    absent_tags: BTreeSet<String>,
    absent_parents: BTreeSet<EntityUid>,
}

impl Facts {
    /// What a record says was read for all of its hops: they were decided on the same entities. What was masked is not
    /// known.
    ///
    /// # Errors
    /// When an entity is not in the form of a record.
    pub(super) fn of(asked: &[Asked<'_>], hidden: &[Hidden]) -> Result<Self, String> {
        let mut facts = Self::default();
        for asked in asked {
            facts.add(asked, hidden)?;
        }
        Ok(facts)
    }

    /// Of principal, action and resource all ancestors were read.
    fn add(&mut self, asked: &Asked<'_>, hidden: &[Hidden]) -> Result<(), String> {
        for entity in &asked.inputs.entities {
            let unreadable =
                || format!("an entity of the inputs is not in the form of a record: {entity}");
            let uid = uid_of(entity.get("uid")).ok_or_else(unreadable)?;
            let map = |member| match entity.get(member) {
                None => Some(Map::new()),
                Some(Json::Object(map)) => Some(map.clone()),
                Some(_) => None,
            };
            let parents = each(entity, "parents", uid_of).ok_or_else(unreadable)?;
            let is_asked = [asked.principal, asked.action, asked.resource].contains(&uid.as_ref());
            let mut known = EntityFacts {
                is_missing: entity.get("missing").is_some(),
                is_whole: is_asked && !parents.iter().any(is_masked),
                attrs: map("attrs").ok_or_else(unreadable)?,
                tags: map("tags").ok_or_else(unreadable)?,
                parents,
                absent: each(entity, "absent", text_of).ok_or_else(unreadable)?,
                absent_tags: each(entity, "absent_tags", text_of).ok_or_else(unreadable)?,
                absent_parents: each(entity, "absent_parents", uid_of).ok_or_else(unreadable)?,
            };
            for hidden in hidden {
                if let Hidden::OfEntities(of_type, names) = hidden
                    && of_type
                        .as_ref()
                        .is_none_or(|name| **name == *uid.type_name())
                {
                    let is_attribute =
                        |key: &str| field_name(key).is_some_and(|name| names.has_attribute(name));
                    let is_tag =
                        |key: &str| field_name(key).is_some_and(|name| names.has_tag(name));
                    known.attrs.retain(|key, _| !is_attribute(key));
                    known.absent.retain(|name| !names.has_attribute(name));
                    known.tags.retain(|key, _| !is_tag(key));
                    known.absent_tags.retain(|name| !names.has_tag(name));
                }
            }
            self.entities.entry(uid).or_default().join(known);
        }
        Ok(())
    }

    /// Whether all that is above an entity is known.
    pub(super) fn knows_above(&self, entity: EntityUidRef<'_>) -> bool {
        let known = self.entities.get(&entity.to_owned());
        known.is_some_and(|known| known.is_missing || known.is_whole)
    }

    /// Whether the answer to a question is known. `is_within` is what the known ancestors say to [`AskedFact::Within`]:
    /// a yes is one whatever else there is.
    pub(super) fn knows(&self, fact: &UnknownFact, is_within: bool) -> bool {
        if let AskedFact::Within(above) = &fact.asked {
            return is_within || *above == fact.entity || self.excludes(&fact.entity, above);
        }
        let Some(known) = self.entities.get(&fact.entity) else {
            return false;
        };
        known.is_missing
            || match &fact.asked {
                AskedFact::Attribute(name) => {
                    known.attrs.contains_key(&*written_field(name)) || known.absent.contains(name)
                }
                AskedFact::Tag(name) => {
                    known.tags.contains_key(&*written_field(name))
                        || known.absent_tags.contains(name)
                }
                // The one is told above, and of the other no entity knows.
                AskedFact::Within(_) | AskedFact::Context(_) => false,
            }
    }

    /// Whether an entity, which is not known to be in another, cannot be: it has nothing above it, or somebody who is in it
    /// is not in the other or in what that is in, or it is the other that is in it.
    fn excludes(&self, entity: &EntityUid, above: &EntityUid) -> bool {
        let known = self.entities.get(entity);
        let lacks = |known: &EntityFacts| {
            known.is_missing || known.is_whole || known.absent_parents.contains(above)
        };
        if known.is_some_and(lacks) {
            return true;
        }
        let mut outside = self.outside.borrow_mut();
        if !outside.contains_key(entity) {
            outside.insert(entity.clone(), self.outside_of(entity));
        }
        let outside = outside.get(entity);
        outside.is_some_and(|outside| outside.has(above))
    }

    /// What an entity cannot be in.
    fn outside_of(&self, entity: &EntityUid) -> Outside {
        let mut children: BTreeMap<&EntityUid, Vec<&EntityUid>> = BTreeMap::new();
        for (uid, known) in &self.entities {
            for parent in &known.parents {
                children.entry(parent).or_default().push(uid);
            }
        }
        let down_from =
            |from: Vec<_>| reached(from, |uid| children.get(uid).into_iter().flatten().copied());
        let members = down_from(vec![entity]);
        let above_any = self.up_from(members.iter().copied().collect());
        // Who is in it, and all that is above whom is known: principals, actions and resources, of which there are few.
        let mut all_but: Option<BTreeSet<EntityUid>> = None;
        let mut kept_out = vec![entity];
        let mut steps = STEPS;
        for member in members {
            let Some(known) = self.entities.get(member) else {
                continue;
            };
            if known.is_whole && !known.is_missing {
                let above = self.up_from(vec![member]);
                let is_in = |uid: &EntityUid| above.contains(uid);
                match &mut all_but {
                    Some(all) => all.retain(is_in),
                    None => all_but = Some(above.into_iter().cloned().collect()),
                }
            }
            let (in_some, in_none): (Vec<_>, Vec<_>) = known
                .absent_parents
                .iter()
                .partition(|absent| above_any.contains(absent));
            kept_out.extend(in_none);
            // In what others are, and the member may be: then the record contradicts itself, and tells nothing.
            if !in_some.is_empty() && steps > 0 {
                let above = self.up_from(vec![member]);
                steps = steps.saturating_sub(above.len());
                kept_out.extend(in_some.into_iter().filter(|absent| !above.contains(absent)));
            }
        }
        Outside {
            within: down_from(kept_out).into_iter().cloned().collect(),
            all_but,
        }
    }

    /// Entities, and all that is known to be above them.
    fn up_from<'f>(&'f self, from: Vec<&'f EntityUid>) -> BTreeSet<&'f EntityUid> {
        reached(from, |uid| {
            let known = self.entities.get(uid);
            known.into_iter().flat_map(|known| &known.parents)
        })
    }

    /// The entities, for a request.
    pub(super) fn entities(&self) -> Vec<RecordedEntity<'_>> {
        let there = self.entities.iter().filter(|(_, known)| !known.is_missing);
        let entities = there.map(|(uid, known)| RecordedEntity {
            uid: uid.as_ref(),
            attrs: Fields(&known.attrs),
            tags: Some(Fields(&known.tags)),
            parents: known.parents.iter().map(EntityUid::as_ref).collect(),
        });
        entities.collect()
    }

    /// Takes an answer from a live store. What was recorded stands; an entity that the record knows and the store does
    /// not is another one today, and says nothing. Whether there was an answer.
    pub(super) fn fill_in(&mut self, fact: &UnknownFact, live: &Epoch) -> bool {
        // What was answered before may have settled it: both together must not contradict the record.
        if matches!(fact.asked, AskedFact::Context(_)) || self.knows(fact, false) {
            return false;
        }
        let snapshot = &live.snapshot;
        let names = &snapshot.names;
        let find = |uid: EntityUidRef<'_>| names.find_uid(uid.type_name(), uid.id());
        let stored = find(fact.entity.as_ref()).and_then(|uid| snapshot.entity(uid));
        let Some(stored) = stored else {
            let is_new = !self.entities.contains_key(&fact.entity);
            if is_new {
                let missing = EntityFacts {
                    is_missing: true,
                    ..EntityFacts::default()
                };
                self.outside.get_mut().clear();
                self.entities.insert(fact.entity.clone(), missing);
            }
            return is_new;
        };
        self.outside.get_mut().clear();
        let known = self.entities.entry(fact.entity.clone()).or_default();
        let value = |record, name: &str| {
            let locals = Locals::default();
            let names = RequestNames {
                shared: names,
                locals: &locals,
            };
            let json = serde_json::to_value(ContextView::new(record, names)).ok()?;
            json.get(&*written_field(name)).cloned()
        };
        match &fact.asked {
            AskedFact::Attribute(name) => match value(Record::Stored(stored.attrs()), name) {
                Some(value) => drop(known.attrs.insert(written_field(name).into_owned(), value)),
                None => drop(known.absent.insert(name.clone())),
            },
            AskedFact::Tag(name) => match value(Record::Stored(stored.tags()), name) {
                Some(value) => drop(known.tags.insert(written_field(name).into_owned(), value)),
                None => drop(known.absent_tags.insert(name.clone())),
            },
            AskedFact::Within(above) => {
                let arena = Bump::new();
                let ancestors = snapshot.ancestors(&arena, stored);
                let is_within = find(above.as_ref()).is_some_and(|above| ancestors.contains(above));
                let list = match is_within {
                    true => &mut known.parents,
                    false => &mut known.absent_parents,
                };
                list.insert(above.clone());
            }
            // No store knows it.
            AskedFact::Context(_) => return false,
        }
        true
    }
}

impl EntityFacts {
    /// Adds what another hop has read of the same entity.
    fn join(&mut self, other: Self) {
        self.is_missing |= other.is_missing;
        self.is_whole |= other.is_whole;
        self.attrs.extend(other.attrs);
        self.tags.extend(other.tags);
        self.parents.extend(other.parents);
        self.absent.extend(other.absent);
        self.absent_tags.extend(other.absent_tags);
        self.absent_parents.extend(other.absent_parents);
    }
}

/// Entities, and all that `next` leads to from them on.
fn reached<'f, N: IntoIterator<Item = &'f EntityUid>>(
    mut open: Vec<&'f EntityUid>,
    next: impl Fn(&'f EntityUid) -> N,
) -> BTreeSet<&'f EntityUid> {
    let mut met = BTreeSet::new();
    while let Some(uid) = open.pop() {
        if met.insert(uid) {
            open.extend(next(uid));
        }
    }
    met
}

/// Whether another id, or a digest, stands in the place of the entity's own.
fn is_masked(uid: &EntityUid) -> bool {
    uid.id().starts_with("masked:") || uid.id().starts_with("hmac-sha256:")
}

fn uid_of(json: Option<&Json>) -> Option<EntityUid> {
    let json = json?;
    let text = |member| json.get(member)?.as_str();
    Some(EntityUid::new(text("type")?, text("id")?))
}

fn text_of(json: Option<&Json>) -> Option<String> {
    Some(json?.as_str()?.to_owned())
}

/// The items of a list; none where there is no list.
fn each<T: Ord>(
    entity: &Json,
    member: &str,
    read: fn(Option<&Json>) -> Option<T>,
) -> Option<BTreeSet<T>> {
    match entity.get(member) {
        None => Some(BTreeSet::new()),
        Some(Json::Array(items)) => items.iter().map(|item| read(Some(item))).collect(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether what is kept out of an entity, put together once, is what its definition says, step by step.
    fn excludes_step_by_step(facts: &Facts, entity: &EntityUid, above: &EntityUid) -> bool {
        let lacks = |known: &EntityFacts, above: &EntityUid| {
            known.is_missing || known.is_whole || known.absent_parents.contains(above)
        };
        if facts
            .entities
            .get(entity)
            .is_some_and(|known| lacks(known, above))
        {
            return true;
        }
        let gained = facts.up_from(vec![above]);
        gained.contains(entity)
            || facts.entities.iter().any(|(below, known)| {
                let up = facts.up_from(vec![below]);
                let mut news = gained.difference(&up);
                up.contains(entity) && news.any(|above| lacks(known, above))
            })
    }

    #[test]
    fn what_is_put_together_is_what_each_question_comes_to() {
        const MANY: usize = 8;
        let mut state = 7_u64;
        let mut below = |bound: usize| {
            // Knuth's MMIX generator.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let uids: Vec<_> = (0..MANY)
            .map(|id| EntityUid::new("U", id.to_string()))
            .collect();
        let (mut yes, mut no) = (0, 0);
        for _ in 0..3_000 {
            let mut facts = Facts::default();
            for (number, uid) in uids.iter().enumerate() {
                if below(4) == 0 {
                    continue;
                }
                let mut known = EntityFacts {
                    is_whole: below(6) == 0,
                    is_missing: below(12) == 0,
                    ..EntityFacts::default()
                };
                for _ in 0..below(3) {
                    if number > 0 && !known.is_missing {
                        known.parents.insert(uids[below(number)].clone());
                    }
                    // Also what contradicts the rest.
                    known.absent_parents.insert(uids[below(MANY)].clone());
                }
                facts.entities.insert(uid.clone(), known);
            }
            for entity in &uids {
                for above in &uids {
                    let expected = excludes_step_by_step(&facts, entity, above);
                    assert_eq!(
                        facts.excludes(entity, above),
                        expected,
                        "{entity} {above} {facts:?}"
                    );
                    *(if expected { &mut yes } else { &mut no }) += 1;
                }
            }
        }
        assert!(yes > 10_000 && no > 10_000, "{yes} {no}");
    }
}
