//! Entities, requests and changes that a schema allows, but for slips.

use serde_json::{Value as Json, json};

use super::super::value::{record_json, uid_json};
use super::schema::{Fields, Schema, Ty};
use super::*;

/// Makes what fits a schema; now and then it slips.
pub(crate) struct Typed<'s, 't, 'n> {
    pub(crate) schema: &'s Schema,
    pub(crate) tape: &'t mut Tape<'n>,
    /// How often it slips, in a thousand chances to do so.
    pub(crate) slip: usize,
    /// How often it did.
    pub(crate) slips: usize,
}

/// Of types that are not enumerated; the last is of no entity.
const IDS: [&str; 4] = ["0", "1", "x\"y\\", "ghost"];

impl Typed<'_, '_, '_> {
    pub(super) fn slips(&mut self) -> bool {
        let slips = self.slip > 0 && self.tape.below(1_000) >= 1_000 - self.slip;
        self.slips += usize::from(slips);
        slips
    }

    pub(super) fn any_type(&mut self) -> usize {
        self.tape.below(self.schema.types.len())
    }

    /// An entity of the type, which there may not be.
    pub(crate) fn uid_of(&mut self, at: usize) -> Uid {
        let at = if self.slips() { self.any_type() } else { at };
        let ty = &self.schema.types[at];
        let ids = if ty.ids.is_empty() || self.slips() {
            &IDS[..]
        } else {
            &ty.ids
        };
        uid(ty.name, ids[self.tape.early(ids.len())])
    }

    pub(super) fn value(&mut self, ty: &Ty) -> Val {
        if self.slips() {
            let kind = KINDS[self.tape.below(KINDS.len())];
            return self.tape.val(kind, 1);
        }
        let good = |tape: &mut Tape<'_>, pool: &[&str]| pool[tape.early(8)].to_owned();
        match ty {
            Ty::Bool => Val::Bool(self.tape.below(2) == 0),
            Ty::Long => Val::Long(LONGS[self.tape.early(LONGS.len())]),
            Ty::Str => Val::Str(STRINGS[self.tape.early(STRINGS.len())].to_owned()),
            Ty::Decimal => Val::Decimal(good(self.tape, &DECIMALS)),
            Ty::Ip => Val::Ip(good(self.tape, &IPS)),
            Ty::Datetime => Val::Datetime(good(self.tape, &DATETIMES)),
            Ty::Duration => Val::Duration(good(self.tape, &DURATIONS)),
            Ty::Entity(at) => Val::Entity(self.uid_of(*at)),
            Ty::Set(of) => Val::Set((0..self.tape.below(4)).map(|_| self.value(of)).collect()),
            Ty::Record(fields) => Val::Record(self.record(fields)),
            Ty::Common(at) => {
                let schema = self.schema;
                self.value(&schema.commons[*at].1)
            }
        }
    }

    fn record(&mut self, fields: &Fields) -> Record {
        let mut record = Record::new();
        for (name, (ty, must)) in fields {
            if (*must || self.tape.chance(60)) && !self.slips() {
                record.insert(name.clone(), self.value(ty));
            }
        }
        if self.slips() {
            record.insert("more".to_owned(), Val::Long(1));
        }
        record
    }

    fn entity(&mut self, of: Uid, at: usize, above: &[Uid]) -> EntityData {
        let schema = self.schema;
        let ty = &schema.types[at];
        let attrs = self.record(&ty.attrs);
        let mut tags = Record::new();
        for key in ["a", "b", ""] {
            if let Some(ty) = &ty.tags
                && self.tape.chance(50)
            {
                tags.insert(key.to_owned(), self.value(ty));
            }
        }
        let mut parents = Vec::new();
        for parent in &ty.parents {
            let name = schema.types[*parent].name;
            let above: Vec<_> = above.iter().filter(|(of, _)| of == name).collect();
            if !above.is_empty() && self.tape.chance(60) {
                parents.push(above[self.tape.below(above.len())].clone());
            }
        }
        if self.slips() {
            let at = self.any_type();
            parents.push(self.uid_of(at));
        }
        EntityData {
            uid: of,
            attrs,
            tags,
            parents,
        }
    }

    /// All that may exist, each with its type.
    fn instances(&self) -> Vec<(Uid, usize)> {
        let mut instances = Vec::new();
        for (at, ty) in self.schema.types.iter().enumerate() {
            let ids = match ty.ids.is_empty() {
                true => &IDS[..3],
                false => &ty.ids,
            };
            instances.extend(ids.iter().map(|id| (uid(ty.name, id), at)));
        }
        instances
    }

    pub(crate) fn entities(&mut self) -> Vec<EntityData> {
        let instances = self.instances();
        let uids: Vec<Uid> = instances.iter().map(|(uid, _)| uid.clone()).collect();
        let mut entities = Vec::new();
        for (rank, (uid, at)) in instances.into_iter().enumerate() {
            if self.tape.chance(75) {
                // Upwards only: no cycles.
                let entity = self.entity(uid, at, &uids[rank + 1..]);
                entities.push(entity);
            }
        }
        entities
    }

    /// Some entities, anything above anything that the types allow: cycles are part of the game.
    fn some_entities(&mut self, most: usize) -> Vec<EntityData> {
        let instances = self.instances();
        let uids: Vec<Uid> = instances.iter().map(|(uid, _)| uid.clone()).collect();
        let mut entities: Vec<EntityData> = Vec::new();
        for _ in 0..self.tape.below(most) {
            let (uid, at) = instances[self.tape.below(instances.len())].clone();
            if entities.iter().all(|entity| entity.uid != uid) {
                let entity = self.entity(uid, at, &uids);
                entities.push(entity);
            }
        }
        entities
    }

    /// A request, and its context as its JSON is written: what the schema says need not be.
    pub(crate) fn ask(&mut self) -> (Ask, Json) {
        let schema = self.schema;
        let applying = schema.actions.iter().filter(|a| a.applies.is_some());
        let applying: Vec<_> = applying.collect();
        let action = applying[self.tape.early(applying.len())];
        let applies = action.applies.as_ref().expect("filtered");
        let [principal, resource] = [&applies.principals, &applies.resources].map(|of| {
            let at = match self.slips() {
                true => self.any_type(),
                false => of[self.tape.early(of.len())],
            };
            self.uid_of(at)
        });
        let fields = schema.context(applies);
        let context = self.record(&fields);
        let json = self.loose_record(&context, &fields);
        let action = match self.slips() {
            true => [("Action", "nope"), ("A::Action", "some"), ("User", "0")][self.tape.below(3)],
            false => action.uid,
        };
        let before = self.slips;
        let overlay = self.tape.chance(25).then(|| self.some_entities(4));
        let ask = Ask {
            context,
            // What serde brings is not converted, so that a slip would mean something else there.
            typed: self.slips == before && self.slips == 0 && self.tape.chance(50),
            overlay,
            ..Ask::new(principal, uid(action.0, action.1), resource)
        };
        (ask, json)
    }

    /// As JSON, with entities and extension values not always marked as such.
    pub(crate) fn entities_json(&mut self, entities: &[EntityData]) -> String {
        let schema = self.schema;
        let mut list = Vec::new();
        for entity in entities {
            let mut json = entity.to_json();
            let ty = schema.types.iter().find(|ty| ty.name == entity.uid.0);
            if let Some(ty) = ty {
                let fields = schema.expand_fields(&ty.attrs);
                json["attrs"] = self.loose_record(&entity.attrs, &fields);
            }
            list.push(json);
        }
        Json::Array(list).to_string()
    }

    fn loose_record(&mut self, record: &Record, fields: &Fields) -> Json {
        let mut json = serde_json::Map::new();
        for (key, value) in record {
            let loose = match fields.get(key) {
                Some((ty, _)) => self.loose(value, ty),
                None => value.to_json(),
            };
            json.insert(key.clone(), loose);
        }
        Json::Object(json)
    }

    fn loose(&mut self, value: &Val, ty: &Ty) -> Json {
        let (name, text) = match (value, ty) {
            (Val::Entity(uid), Ty::Entity(_)) if self.tape.chance(50) => return uid_json(uid),
            (Val::Record(record), Ty::Record(fields)) => return self.loose_record(record, fields),
            (Val::Set(items), Ty::Set(of)) => {
                return items.iter().map(|item| self.loose(item, of)).collect();
            }
            (Val::Decimal(text), Ty::Decimal) => ("decimal", text),
            (Val::Ip(text), Ty::Ip) => ("ip", text),
            (Val::Datetime(text), Ty::Datetime) => ("datetime", text),
            (Val::Duration(text), Ty::Duration) => ("duration", text),
            _ => return value.to_json(),
        };
        match self.tape.below(3) {
            0 => value.to_json(),
            1 => json!(text),
            _ => json!({ "fn": name, "arg": text }),
        }
    }

    /// An update of entities.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        let schema = self.schema;
        let mut changes = Vec::new();
        for _ in 0..1 + self.tape.below(3) {
            let at = self.any_type();
            let ty = &schema.types[at];
            let of = self.uid_of(at);
            let field = (!ty.attrs.is_empty())
                .then(|| self.tape.below(ty.attrs.len()))
                .and_then(|nth| ty.attrs.iter().nth(nth));
            match (self.tape.below(10), field, &ty.tags) {
                (0..3, ..) => {
                    let before = self.slips;
                    for entity in self.some_entities(4) {
                        let typed = self.slips == before && self.tape.below(2) == 0;
                        changes.push(Change::Upsert(entity, typed));
                    }
                }
                (3, ..) => changes.push(Change::Remove(of)),
                (4 | 5, Some((name, (ty, _))), _) => {
                    changes.push(Change::SetAttr(of, name.clone(), self.value(ty)));
                }
                (6, Some((name, (_, must))), _) => {
                    // Without it the entity is not what the schema asks for.
                    self.slips += usize::from(*must);
                    changes.push(Change::UnsetAttr(of, name.clone()));
                }
                (7, _, Some(ty)) => {
                    let key = self.tape.pick(&["a", "b", ""]).to_owned();
                    changes.push(match self.tape.chance(70) {
                        true => Change::SetTag(of, key, self.value(ty)),
                        false => Change::UnsetTag(of, key),
                    });
                }
                _ if !ty.parents.is_empty() => {
                    let parent = ty.parents[self.tape.below(ty.parents.len())];
                    let parent = self.uid_of(parent);
                    changes.push(match self.tape.chance(70) {
                        true => Change::AddParent(of, parent),
                        false => Change::RemoveParent(of, parent),
                    });
                }
                _ => {}
            }
        }
        changes
    }
}

/// The context in full, for Cedar without a schema.
pub(crate) fn explicit(ask: &Ask) -> Json {
    record_json(&ask.context)
}
