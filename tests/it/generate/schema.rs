//! Schemas from a tape: namespaces, enumerated types, hierarchies, optional attributes, tags, common types, nested
//! records, extension types, groups of actions.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::policies::{entity_text, quoted};
use super::*;

/// A type of values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ty {
    Bool,
    Long,
    Str,
    Decimal,
    Ip,
    Datetime,
    Duration,
    /// An entity type, by its place in [`Schema::types`].
    Entity(usize),
    Set(Box<Ty>),
    Record(Fields),
    /// A common type, by its place in [`Schema::commons`].
    Common(usize),
}

/// Names with their types, and whether they must be there.
pub(crate) type Fields = BTreeMap<String, (Ty, bool)>;

#[derive(Clone, Debug)]
pub(crate) struct EntityType {
    pub(crate) name: &'static str,
    /// The ids that there are; any, if this is empty.
    pub(crate) ids: Vec<&'static str>,
    pub(crate) parents: Vec<usize>,
    pub(crate) attrs: Fields,
    pub(crate) tags: Option<Ty>,
}

#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) uid: (&'static str, &'static str),
    /// Groups that it is in: actions before it.
    pub(crate) groups: Vec<usize>,
    pub(crate) applies: Option<Applies>,
}

#[derive(Clone, Debug)]
pub(crate) struct Applies {
    pub(crate) principals: Vec<usize>,
    pub(crate) resources: Vec<usize>,
    /// A record, or a common type that is one.
    pub(crate) context: Ty,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    pub(crate) types: Vec<EntityType>,
    /// Each uses only those before it.
    pub(crate) commons: Vec<(&'static str, Ty)>,
    pub(crate) actions: Vec<Action>,
}

/// No two have the same last part, so that a name means the same in every namespace.
const ENTITY_TYPES: [(&str, bool); 9] = [
    ("User", false),
    ("Doc", false),
    ("Team", false),
    ("A::Dev", false),
    ("A::Org", false),
    ("A::B::Box", false),
    ("B::Place", false),
    ("Color", true),
    ("A::Mode", true),
];

const COMMONS: [&str; 4] = ["Pair", "A::Info", "A::B::Deep", "Level"];

const ACTIONS: [(&str, &str); 8] = [
    ("Action", "all"),
    ("A::Action", "some"),
    ("Action", "read"),
    ("Action", "write it"),
    ("A::Action", "ping"),
    ("Action", "view"),
    ("A::B::Action", "o\"pen"),
    ("A::Action", "close"),
];

pub(crate) const ENUMERATED: [&str; 3] = ["red", "green", "b\"lue"];

const ATTRIBUTES: [&str; 10] = [
    "a", "b", "n", "s", "owner", "list", "rec", "at", "if", "a key",
];

/// Names that need no quotes.
pub(crate) fn is_plain(name: &str) -> bool {
    name != "if" && name.bytes().all(|b| b.is_ascii_lowercase())
}

fn namespace(name: &str) -> &str {
    name.rsplit_once("::")
        .map_or("", |(namespace, _)| namespace)
}

impl Schema {
    /// Without common types, at any depth.
    pub(crate) fn expand(&self, ty: &Ty) -> Ty {
        match ty {
            Ty::Common(at) => self.expand(&self.commons[*at].1),
            Ty::Set(of) => Ty::Set(Box::new(self.expand(of))),
            Ty::Record(fields) => Ty::Record(self.expand_fields(fields)),
            other => other.clone(),
        }
    }

    pub(crate) fn expand_fields(&self, fields: &Fields) -> Fields {
        let expanded = fields
            .iter()
            .map(|(name, (ty, must))| (name.clone(), (self.expand(ty), *must)));
        expanded.collect()
    }

    /// The fields of a context.
    pub(crate) fn context(&self, applies: &Applies) -> Fields {
        match self.expand(&applies.context) {
            Ty::Record(fields) => fields,
            other => unreachable!("a context of {other:?}"),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for of in ["", "A", "A::B", "B"] {
            let mut body = String::new();
            self.declarations(of, &mut body);
            let _ = match of {
                _ if body.is_empty() => Ok(()),
                "" => write!(text, "{body}"),
                _ => write!(text, "namespace {of} {{\n{body}}}\n"),
            };
        }
        text
    }

    fn declarations(&self, of: &str, out: &mut String) {
        for (name, ty) in self.commons.iter().filter(|(n, _)| namespace(n) == of) {
            let _ = writeln!(out, "type {} = {};", last(name), self.ty(ty, of));
        }
        for ty in self.types.iter().filter(|t| namespace(t.name) == of) {
            let _ = write!(out, "entity {}", last(ty.name));
            if !ty.ids.is_empty() {
                let ids: Vec<_> = ty.ids.iter().map(|id| quoted(id)).collect();
                let _ = writeln!(out, " enum [{}];", ids.join(", "));
                continue;
            }
            if !ty.parents.is_empty() {
                let _ = write!(out, " in [{}]", self.names(&ty.parents, of));
            }
            let _ = write!(out, " {}", self.fields(&ty.attrs, of));
            if let Some(tags) = &ty.tags {
                let _ = write!(out, " tags {}", self.ty(tags, of));
            }
            out.push_str(";\n");
        }
        for action in self.actions.iter().filter(|a| namespace(a.uid.0) == of) {
            let _ = write!(out, "action {}", quoted(action.uid.1));
            let groups: Vec<_> = action.groups.iter().map(|at| &self.actions[*at]).collect();
            if !groups.is_empty() {
                let group = |group: &&Action| match group.uid.0 == action.uid.0 {
                    true => quoted(group.uid.1),
                    false => entity_text(group.uid),
                };
                let groups: Vec<_> = groups.iter().map(group).collect();
                let _ = write!(out, " in [{}]", groups.join(", "));
            }
            if let Some(applies) = &action.applies {
                let _ = write!(
                    out,
                    " appliesTo {{ principal: [{}], resource: [{}], context: {} }}",
                    self.names(&applies.principals, of),
                    self.names(&applies.resources, of),
                    self.ty(&applies.context, of),
                );
            }
            out.push_str(";\n");
        }
    }

    fn names(&self, types: &[usize], of: &str) -> String {
        let names = types.iter().map(|at| relative(self.types[*at].name, of));
        names.collect::<Vec<_>>().join(", ")
    }

    fn fields(&self, fields: &Fields, of: &str) -> String {
        let field = |(name, (ty, must)): (&String, &(Ty, bool))| {
            let name = match is_plain(name) {
                true => name.clone(),
                false => quoted(name),
            };
            let mark = if *must { "" } else { "?" };
            format!("{name}{mark}: {}", self.ty(ty, of))
        };
        let fields: Vec<_> = fields.iter().map(field).collect();
        format!("{{ {} }}", fields.join(", "))
    }

    fn ty(&self, ty: &Ty, of: &str) -> String {
        match ty {
            Ty::Bool => "Bool".to_owned(),
            Ty::Long => "Long".to_owned(),
            // Both names are there for the taking.
            Ty::Str if of.is_empty() => "__cedar::String".to_owned(),
            Ty::Str => "String".to_owned(),
            Ty::Decimal => "decimal".to_owned(),
            Ty::Ip => "ipaddr".to_owned(),
            Ty::Datetime => "__cedar::datetime".to_owned(),
            Ty::Duration => "duration".to_owned(),
            Ty::Entity(at) => relative(self.types[*at].name, of).to_owned(),
            Ty::Set(of_what) => format!("Set<{}>", self.ty(of_what, of)),
            Ty::Record(fields) => self.fields(fields, of),
            Ty::Common(at) => relative(self.commons[*at].0, of).to_owned(),
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit_once("::").map_or(name, |(_, last)| last)
}

/// The name as it can be written in a namespace: short in its own.
fn relative<'n>(name: &'n str, of: &str) -> &'n str {
    if namespace(name) == of {
        last(name)
    } else {
        name
    }
}

impl Tape<'_> {
    pub(crate) fn schema(&mut self) -> Schema {
        let mut schema = Schema::default();
        for (at, (name, enumerated)) in ENTITY_TYPES.into_iter().enumerate() {
            if at < 2 || self.chance(60) {
                schema.types.push(EntityType {
                    name,
                    ids: match enumerated {
                        true => ENUMERATED[..1 + self.below(3)].to_vec(),
                        false => Vec::new(),
                    },
                    parents: Vec::new(),
                    attrs: Fields::new(),
                    tags: None,
                });
            }
        }
        for name in COMMONS {
            if self.chance(50) {
                let ty = match self.chance(70) {
                    true => Ty::Record(self.fields(&schema, 5)),
                    false => self.ty(&schema, 2),
                };
                schema.commons.push((name, ty));
            }
        }
        for at in 0..schema.types.len() {
            if !schema.types[at].ids.is_empty() {
                continue;
            }
            let parents = self.some_of(schema.types.len(), 35);
            let attrs = self.fields(&schema, 7);
            let tags = self.chance(35).then(|| self.ty(&schema, 1));
            let ty = &mut schema.types[at];
            (ty.parents, ty.attrs, ty.tags) = (parents, attrs, tags);
        }
        for (at, uid) in ACTIONS.into_iter().enumerate() {
            // `read` is always there, and always for something.
            if at != 2 && !self.chance(55) {
                continue;
            }
            let groups = self.some_of(schema.actions.len(), 40);
            let applies = (at == 2 || self.chance(75)).then(|| Applies {
                principals: self.at_least_one_of(schema.types.len()),
                resources: self.at_least_one_of(schema.types.len()),
                context: self.context_type(&schema),
            });
            schema.actions.push(Action {
                uid,
                groups,
                applies,
            });
        }
        schema
    }

    fn some_of(&mut self, n: usize, percent: usize) -> Vec<usize> {
        (0..n).filter(|_| self.chance(percent)).collect()
    }

    fn at_least_one_of(&mut self, n: usize) -> Vec<usize> {
        let some = self.some_of(n, 35);
        match some.is_empty() {
            true => vec![self.below(n)],
            false => some,
        }
    }

    fn context_type(&mut self, schema: &Schema) -> Ty {
        let commons = 0..schema.commons.len();
        let records = commons.filter(|at| matches!(schema.expand(&Ty::Common(*at)), Ty::Record(_)));
        let records: Vec<_> = records.collect();
        match !records.is_empty() && self.chance(30) {
            true => Ty::Common(records[self.below(records.len())]),
            false => Ty::Record(self.fields(schema, 7)),
        }
    }

    fn fields(&mut self, schema: &Schema, most: usize) -> Fields {
        let mut fields = Fields::new();
        for _ in 0..self.below(most) {
            let name = self.pick(&ATTRIBUTES).to_owned();
            let ty = self.ty(schema, 2);
            let must = self.chance(50);
            fields.insert(name, (ty, must));
        }
        fields
    }

    fn ty(&mut self, schema: &Schema, depth: usize) -> Ty {
        if !schema.commons.is_empty() && self.chance(15) {
            return Ty::Common(self.below(schema.commons.len()));
        }
        match self.below(14) {
            0 | 1 => Ty::Long,
            2..5 => Ty::Str,
            5 => Ty::Bool,
            6 => Ty::Ip,
            7 => Ty::Decimal,
            8 => Ty::Datetime,
            9 => Ty::Duration,
            10 | 11 if depth > 0 => Ty::Set(Box::new(self.ty(schema, depth - 1))),
            12 if depth > 0 => {
                let mut fields = Fields::new();
                for _ in 0..self.below(4) {
                    let name = self.pick(&ATTRIBUTES).to_owned();
                    let ty = self.ty(schema, depth - 1);
                    let must = self.chance(60);
                    fields.insert(name, (ty, must));
                }
                Ty::Record(fields)
            }
            _ => Ty::Entity(self.below(schema.types.len())),
        }
    }
}
