//! Random values for a schema, and their way into arena values. Shared by the tests of checks and of
//! compilation; Cedar's side of it is in `compile::schema::tests`.

use std::collections::BTreeMap;

use bumpalo::Bump;

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{EntityUid, Sym, Uid};
use crate::value::arena::{self, Intern, NameText, TableFull};
use crate::value::{Record, Value};

use super::{EntityTypeDecl, ExtensionType, RecordType, SchemaModel, Type, is_action_type};

/// A value that belongs to neither side.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Tree {
    Bool(bool),
    Long(i64),
    String(String),
    Entity(EntityUid),
    Set(Vec<Tree>),
    Record(Fields),
    Extension(ExtensionType, String),
}

pub(crate) type Fields = BTreeMap<String, Tree>;

/// A growing table of names, for tests.
#[derive(Default, Debug)]
pub(crate) struct Table {
    uids: Vec<(String, String)>,
    syms: Vec<String>,
}

impl NameText for Table {
    fn uid_text(&self, uid: Uid) -> (&str, &str) {
        let (type_name, id) = &self.uids[uid.index()];
        (type_name, id)
    }

    fn sym_text(&self, sym: Sym) -> &str {
        &self.syms[sym.index()]
    }
}

impl Intern for Table {
    fn uid(&mut self, type_name: &str, id: &str) -> Result<Uid, TableFull> {
        let known = self
            .uids
            .iter()
            .position(|(t, i)| t == type_name && i == id);
        let index = known.unwrap_or_else(|| {
            self.uids.push((type_name.into(), id.into()));
            self.uids.len() - 1
        });
        Uid::known(index).ok_or(TableFull)
    }

    fn sym(&mut self, name: &str) -> Result<Sym, TableFull> {
        let known = self.syms.iter().position(|s| s == name);
        let index = known.unwrap_or_else(|| {
            self.syms.push(name.into());
            self.syms.len() - 1
        });
        Sym::known(index).ok_or(TableFull)
    }
}

/// What the tests of checks hand over, in any table's numbers.
pub(crate) trait InternTree: Intern + Sized {
    fn entity(&mut self, uid: &EntityUid) -> Uid {
        self.uid(uid.type_name(), uid.id()).unwrap()
    }

    fn record<'a>(&mut self, arena: &'a Bump, fields: &Fields) -> Record<'a> {
        let mut built = bumpalo::collections::Vec::new_in(arena);
        for (name, tree) in fields {
            let sym = self.sym(name).unwrap();
            let value = self.value(arena, tree);
            built.push((sym, value));
        }
        arena::record(arena, built).unwrap()
    }

    fn value<'a>(&mut self, arena: &'a Bump, tree: &Tree) -> Value<'a> {
        match tree {
            Tree::Bool(b) => (*b).into(),
            Tree::Long(i) => Value::Long(*i),
            Tree::String(s) => crate::value::arena::string(arena, arena.alloc_str(s)),
            Tree::Entity(uid) => self.entity(uid).into(),
            Tree::Set(items) => {
                let mut built = bumpalo::collections::Vec::new_in(arena);
                for item in items {
                    let value = self.value(arena, item);
                    built.push(value);
                }
                arena::set(arena, built)
            }
            Tree::Record(fields) => self.record(arena, fields).into(),
            Tree::Extension(ExtensionType::Decimal, text) => {
                Value::Decimal(Decimal::parse(text).unwrap())
            }
            Tree::Extension(ExtensionType::Ip, text) => {
                crate::value::arena::ip(arena, IpAddr::parse(text).unwrap())
            }
            Tree::Extension(ExtensionType::Datetime, text) => {
                Value::Datetime(Datetime::parse(text).unwrap())
            }
            Tree::Extension(ExtensionType::Duration, text) => {
                Value::Duration(Duration::parse(text).unwrap())
            }
        }
    }
}

impl<N: Intern> InternTree for N {}

/// Makes values that fit a schema, and now and then one that does not.
#[derive(Clone, Debug)]
pub(crate) struct Generator<'m> {
    pub(crate) model: &'m SchemaModel,
    state: u64,
    breakage: Breakage,
    /// How many choices there have been to do something wrong.
    choices: usize,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Breakage {
    Nothing,
    /// This many choices of a thousand.
    PerMille(u64),
    /// Only this choice.
    Only(usize),
}

impl<'m> Generator<'m> {
    pub(crate) fn new(model: &'m SchemaModel, seed: u64, breakage: Breakage) -> Self {
        Self {
            model,
            state: seed,
            breakage,
            choices: 0,
        }
    }

    /// What `make` makes with one thing wrong, each choice as likely as any other.
    pub(crate) fn with_one_break<T>(&mut self, make: impl Fn(&mut Self) -> T) -> T {
        let mut rehearsal = Self {
            breakage: Breakage::Nothing,
            choices: 0,
            ..*self
        };
        make(&mut rehearsal);
        let only = rehearsal.below(rehearsal.choices);
        self.breakage = Breakage::Only(self.choices + only);
        make(self)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn breaks(&mut self) -> bool {
        self.choices += 1;
        match self.breakage {
            Breakage::Nothing => false,
            Breakage::PerMille(rate) => self.next() % 1000 < rate,
            Breakage::Only(choice) => self.choices == choice + 1,
        }
    }

    pub(crate) fn pick<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        items.get(self.below(items.len()))
    }

    /// An id that no schema of the tests lists.
    fn any_id(&mut self) -> String {
        ["a", "b", "", "\u{e9}\"\n"][self.below(4)].into()
    }

    /// An entity of the named type, with a listed id where that matters.
    pub(crate) fn entity_of(&mut self, type_name: &str) -> EntityUid {
        let ids: Vec<String> = if is_action_type(type_name) {
            let actions = self.model.actions().iter();
            let same = actions.filter(|decl| decl.uid.type_name() == type_name);
            same.map(|decl| decl.uid.id().to_owned()).collect()
        } else {
            let decl = self.model.entity_type(type_name);
            let listed = decl.and_then(|decl| decl.enumerated.as_deref());
            listed
                .into_iter()
                .flatten()
                .map(|id| id.to_string())
                .collect()
        };
        let id = match self.pick(&ids).cloned() {
            Some(id) if !self.breaks() => id,
            _ => self.any_id(),
        };
        EntityUid::new(type_name, id)
    }

    /// An entity of some type, declared or not, actions too.
    pub(crate) fn any_entity(&mut self) -> EntityUid {
        let mut types: Vec<String> = vec!["Undeclared".into(), "Action".into()];
        types.extend(
            self.model
                .entity_types()
                .iter()
                .map(|decl| decl.name.to_string()),
        );
        types.extend(
            self.model
                .actions()
                .iter()
                .map(|decl| decl.uid.type_name().into()),
        );
        let type_name = types[self.below(types.len())].clone();
        self.entity_of(&type_name)
    }

    pub(crate) fn record(&mut self, ty: &RecordType) -> Fields {
        let mut fields = Fields::new();
        for attribute in ty.attributes() {
            let leave_out = if attribute.required {
                self.breaks()
            } else {
                self.below(3) == 0
            };
            if !leave_out {
                let value = self.value(&attribute.ty);
                fields.insert(attribute.name.to_string(), value);
            }
        }
        if self.breaks() {
            let name = ["unexpected", "name", "", "type"][self.below(4)];
            let value = self.any_value(2);
            fields.insert(name.into(), value);
        }
        fields
    }

    pub(crate) fn value(&mut self, ty: &Type) -> Tree {
        if self.breaks() {
            return match (ty, self.below(2)) {
                (Type::Entity(_), 0) => Tree::Entity(self.any_entity()),
                _ => self.any_value(2),
            };
        }
        match ty {
            Type::Bool => Tree::Bool(self.below(2) == 0),
            Type::Long => Tree::Long([0, 1, -7, i64::MAX, i64::MIN][self.below(5)]),
            Type::String => Tree::String(["", "text", "User", "\u{1f98a}"][self.below(4)].into()),
            Type::Entity(name) => Tree::Entity(self.entity_of(name)),
            Type::Set(element) => {
                let length = self.below(4);
                Tree::Set((0..length).map(|_| self.value(element)).collect())
            }
            Type::Record(record) => Tree::Record(self.record(record)),
            Type::Extension(extension) => self.extension(*extension),
        }
    }

    fn extension(&mut self, extension: ExtensionType) -> Tree {
        let text = match extension {
            ExtensionType::Decimal => ["1.0", "-3.25"],
            ExtensionType::Ip => ["10.0.0.1", "::1/64"],
            ExtensionType::Datetime => ["2026-01-01", "2025-02-03T04:05:06Z"],
            ExtensionType::Duration => ["1d2h", "-5ms"],
        };
        Tree::Extension(extension, text[self.below(2)].into())
    }

    fn any_value(&mut self, depth: usize) -> Tree {
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => Tree::Bool(true),
            1 => Tree::Long(3),
            2 => Tree::String("text".into()),
            3 => Tree::Entity(self.any_entity()),
            4 => self.extension(ExtensionType::Decimal),
            5 => self.extension(ExtensionType::Ip),
            6 => self.extension(ExtensionType::Datetime),
            7 => self.extension(ExtensionType::Duration),
            8 => Tree::Set(
                (0..self.below(3))
                    .map(|_| self.any_value(depth - 1))
                    .collect(),
            ),
            _ => Tree::Record(
                (0..self.below(3))
                    .map(|index| {
                        (
                            ["x", "name", "type"][index].into(),
                            self.any_value(depth - 1),
                        )
                    })
                    .collect(),
            ),
        }
    }

    /// Ancestors for an entity of this type.
    pub(crate) fn ancestors(&mut self, decl: &EntityTypeDecl) -> Vec<EntityUid> {
        let mut ancestors = Vec::new();
        for name in &decl.ancestors {
            if self.below(2) == 0 {
                ancestors.push(self.entity_of(name));
            }
        }
        if self.breaks() {
            ancestors.push(self.any_entity());
        }
        ancestors
    }
}
