//! Names and common types.
//!
//! A name without `::` that stands in a namespace means what that namespace declares under it, or else what
//! the empty namespace declares; a name with `::` means itself. Where one full name is both a common type
//! and an entity type, the common type wins if either may stand there (Cedar RFC 24). The built-in types
//! are common types of the namespace `__cedar`, and of the empty namespace unless something else is
//! declared there under the name. Every namespace with actions has the entity type `Action`.

use std::collections::{HashMap, HashSet};

use crate::id::EntityUid;
use crate::schema::{Attribute, ExtensionType, RecordType, Type};

use super::json::{Fragment, RawAction, RawEntityType, RawType};
use super::{MAX_TYPE_COUNT, MAX_TYPE_DEPTH, SchemaError};

const BUILTIN_NAMESPACE: &str = "__cedar";

/// All that the fragments of a schema declare, under full names.
pub(super) struct Definitions<'f> {
    common: HashMap<String, CommonType<'f>>,
    entities: HashSet<String>,
    actions: HashSet<EntityUid>,
}

enum CommonType<'f> {
    /// Declared in this namespace.
    Declared(&'f str, &'f RawType),
    Builtin(Type),
}

/// What may stand where a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Common,
    Entity,
    Either,
}

/// Is told the way to something annotated, and what the annotation says.
type Found<'f> = dyn FnMut(&[Option<String>], Option<&str>) + 'f;

enum Meaning<'d, 'f> {
    Common(String, &'d CommonType<'f>),
    Entity(String),
}

/// What a raw type is, once its kind is looked at and its name resolved.
enum Shape<'d, 'f> {
    Leaf(Type),
    Set(&'d RawType),
    Record(&'d RawType),
    Common(String, &'d CommonType<'f>),
}

impl<'f> Definitions<'f> {
    pub(super) fn collect(fragments: &'f [Fragment]) -> Self {
        let mut this = Self {
            common: HashMap::new(),
            entities: HashSet::new(),
            actions: HashSet::new(),
        };
        for (namespace, body) in fragments.iter().flat_map(Fragment::namespaces) {
            for (name, ty) in &body.common_types {
                this.common.insert(
                    qualify(namespace, name),
                    CommonType::Declared(namespace, ty),
                );
            }
            this.entities.extend(
                body.entity_types
                    .keys()
                    .map(|name| qualify(namespace, name)),
            );
            let action_type = qualify(namespace, "Action");
            this.actions.extend(
                body.actions
                    .keys()
                    .map(|id| EntityUid::new(&*action_type, id)),
            );
        }
        for (name, ty) in builtins() {
            this.common.insert(
                qualify(BUILTIN_NAMESPACE, name),
                CommonType::Builtin(ty.clone()),
            );
            if !this.entities.contains(name) && !this.common.contains_key(name) {
                this.common.insert(name.into(), CommonType::Builtin(ty));
            }
        }
        // Only now: an entity type `Action` hides nothing.
        this.entities
            .extend(this.actions.iter().map(|uid| uid.type_name().to_owned()));
        this
    }

    fn resolve(&self, namespace: &str, name: &str, allowed: Allowed) -> Option<Meaning<'_, 'f>> {
        let local = (!name.contains("::")).then(|| qualify(namespace, name));
        for candidate in local.into_iter().chain([name.to_owned()]) {
            if allowed != Allowed::Entity
                && let Some(common) = self.common.get(&candidate)
            {
                return Some(Meaning::Common(candidate, common));
            }
            if allowed != Allowed::Common && self.entities.contains(&candidate) {
                return Some(Meaning::Entity(candidate));
            }
        }
        None
    }

    /// `None` if the type is not well-formed or names something undeclared.
    fn shape<'d>(&'d self, namespace: &str, raw: &'d RawType) -> Option<Shape<'d, 'f>> {
        let (name, allowed) = match (raw.kind.as_str(), &raw.name) {
            ("Boolean", _) => return Some(Shape::Leaf(Type::Bool)),
            ("Long", _) => return Some(Shape::Leaf(Type::Long)),
            ("String", _) => return Some(Shape::Leaf(Type::String)),
            ("Set", _) => return Some(Shape::Set(raw.element.as_ref()?)),
            ("Record", _) => return Some(Shape::Record(raw)),
            ("Extension", Some(name)) => {
                return ExtensionType::from_name(name).map(|ty| Shape::Leaf(Type::Extension(ty)));
            }
            ("Entity", Some(name)) => (name, Allowed::Entity),
            ("EntityOrCommon", Some(name)) => (name, Allowed::Either),
            // Anything else names a common type. One may be called `EntityOrCommon`.
            _ => (&raw.kind, Allowed::Common),
        };
        Some(match self.resolve(namespace, name, allowed)? {
            Meaning::Entity(name) => Shape::Leaf(Type::Entity(name.into())),
            Meaning::Common(_, CommonType::Builtin(ty)) => Shape::Leaf(ty.clone()),
            Meaning::Common(name, common) => Shape::Common(name, common),
        })
    }

    /// The type with all common types expanded.
    pub(super) fn expand(&self, namespace: &str, raw: &RawType) -> Result<Type, SchemaError> {
        match self.shape(namespace, raw) {
            Some(Shape::Leaf(ty)) => Ok(ty),
            Some(Shape::Set(element)) => Ok(Type::Set(Box::new(self.expand(namespace, element)?))),
            Some(Shape::Record(raw)) if raw.additional_attributes => Err(SchemaError::new(
                "the schema has a record with `additionalAttributes`, which is not supported",
            )),
            Some(Shape::Record(raw)) => {
                let attributes = raw.attributes.iter().map(|(name, ty)| {
                    Ok(Attribute {
                        name: name.as_str().into(),
                        ty: self.expand(namespace, ty)?,
                        required: ty.required,
                    })
                });
                Ok(Type::Record(RecordType::new(attributes.collect::<Result<
                    _,
                    SchemaError,
                >>(
                )?)))
            }
            Some(Shape::Common(_, CommonType::Declared(namespace, ty))) => {
                self.expand(namespace, ty)
            }
            Some(Shape::Common(_, CommonType::Builtin(ty))) => Ok(ty.clone()),
            None => Err(SchemaError::disagreement(
                raw.name.as_ref().unwrap_or(&raw.kind),
            )),
        }
    }

    /// The type of an entity's attributes or of a context: a record, empty if nothing is said.
    pub(super) fn record(
        &self,
        namespace: &str,
        raw: Option<&RawType>,
    ) -> Result<RecordType, SchemaError> {
        match raw.map(|raw| self.expand(namespace, raw)).transpose()? {
            None => Ok(RecordType::default()),
            Some(Type::Record(record)) => Ok(record),
            Some(other) => Err(SchemaError::disagreement(&other.to_string())),
        }
    }

    /// Calls `found` with the annotation `name` of each attribute below `raw`, and the way there: attribute names, `None`
    /// for any. Of several annotations of one attribute the one that counts comes last: its own, behind that of its type, which
    /// is behind that of the type which that one is another name of.
    ///
    /// The schema must have been accepted: it has no cycles then, and a bounded size.
    pub(super) fn annotated(
        &self,
        name: &str,
        namespace: &str,
        raw: &RawType,
        way: &mut Vec<Option<String>>,
        found: &mut Found<'_>,
    ) {
        match self.shape(namespace, raw) {
            Some(Shape::Set(element)) => {
                self.annotated(name, namespace, element, way, found);
            }
            Some(Shape::Record(raw)) => {
                for (attribute, ty) in &raw.attributes {
                    way.push(Some(attribute.clone()));
                    self.annotated(name, namespace, ty, way, &mut *found);
                    if let Some(value) = ty.annotations.get(name) {
                        found(way, value.as_deref());
                    }
                    way.pop();
                }
            }
            Some(Shape::Common(_, CommonType::Declared(namespace, ty))) => {
                self.annotated(name, namespace, ty, way, &mut *found);
                if let Some(value) = ty.annotations.get(name) {
                    // A type that is a whole context or shape stands for all its attributes.
                    let way = if way.is_empty() { &[None] } else { &**way };
                    found(way, value.as_deref());
                }
            }
            _ => {}
        }
    }

    /// The types that an entity type's declaration names as those of parents, sorted; without undeclared ones, which Cedar
    /// refuses.
    pub(super) fn parent_types(&self, namespace: &str, decl: &RawEntityType) -> Vec<String> {
        let names = decl.member_of_types.iter();
        let resolved =
            names.filter_map(
                |name| match self.resolve(namespace, name, Allowed::Entity)? {
                    Meaning::Entity(name) => Some(name),
                    Meaning::Common(..) => None,
                },
            );
        let mut parents: Vec<String> = resolved.collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    /// The groups that an action's declaration names, sorted.
    pub(super) fn parents(
        &self,
        namespace: &str,
        action: &RawAction,
    ) -> Result<Box<[EntityUid]>, SchemaError> {
        let mut parents = Vec::new();
        for raw in action.member_of.iter().flatten() {
            let type_name = raw.type_name.as_deref().unwrap_or("Action");
            let local = (!type_name.contains("::")).then(|| qualify(namespace, type_name));
            let parent = local
                .into_iter()
                .chain([type_name.to_owned()])
                .map(|type_name| EntityUid::new(type_name, &*raw.id))
                .find(|uid| self.actions.contains(uid))
                .ok_or_else(|| SchemaError::disagreement(&raw.id))?;
            parents.push(parent);
        }
        parents.sort_unstable();
        parents.dedup();
        Ok(parents.into_boxed_slice())
    }

    /// Refuses a schema whose types expand beyond the limits, before anybody expands them. Undeclared names
    /// and cycles are left to Cedar.
    pub(super) fn check_size(&self, fragments: &[Fragment]) -> Result<(), SchemaError> {
        let mut measure = Measure {
            definitions: self,
            known: HashMap::new(),
        };
        let mut total = 0_usize;
        for (namespace, body) in fragments.iter().flat_map(Fragment::namespaces) {
            let common = body.common_types.values();
            let entities = body
                .entity_types
                .values()
                .flat_map(|decl| decl.shape.iter().chain(&decl.tags));
            let contexts = body
                .actions
                .values()
                .filter_map(|decl| decl.applies_to.as_ref()?.context.as_ref());
            for ty in common.chain(entities).chain(contexts) {
                total = total.saturating_add(measure.ty(namespace, ty, 0)?.count);
            }
        }
        if total > MAX_TYPE_COUNT {
            return Err(SchemaError::new(format!(
                "the schema is too large: with its common types expanded, it has more than {MAX_TYPE_COUNT} types"
            )));
        }
        Ok(())
    }
}

/// How many types an expanded type has, and how deep they nest; a reference to a common type is a level.
#[derive(Clone, Copy)]
struct Size {
    count: usize,
    depth: usize,
}

const LEAF: Size = Size { count: 1, depth: 1 };

/// Sizes of types without expanding them: each common type is measured once.
struct Measure<'d, 'f> {
    definitions: &'d Definitions<'f>,
    /// `None` while being measured: met again then, it is in a cycle.
    known: HashMap<String, Option<Size>>,
}

impl<'d> Measure<'d, '_> {
    /// `above` is the number of levels above the type.
    fn ty(&mut self, namespace: &str, raw: &'d RawType, above: usize) -> Result<Size, SchemaError> {
        let size = if above >= MAX_TYPE_DEPTH {
            return Err(too_deep());
        } else {
            match self.definitions.shape(namespace, raw) {
                None | Some(Shape::Leaf(_)) => LEAF,
                Some(Shape::Set(element)) => self.ty(namespace, element, above + 1)?.wrap(),
                Some(Shape::Record(raw)) => {
                    let mut all = Size { count: 0, depth: 0 };
                    for ty in raw.attributes.values() {
                        all = all.and(self.ty(namespace, ty, above + 1)?);
                    }
                    all.wrap()
                }
                Some(Shape::Common(_, CommonType::Builtin(_))) => LEAF,
                Some(Shape::Common(name, CommonType::Declared(namespace, ty))) => {
                    match self.known.get(&name) {
                        Some(Some(size)) => *size,
                        Some(None) => LEAF,
                        None => {
                            self.known.insert(name.clone(), None);
                            let size = self.ty(namespace, ty, above + 1)?.wrap();
                            self.known.insert(name, Some(size));
                            size
                        }
                    }
                }
            }
        };
        // A common type that was measured elsewhere, at a lower level.
        if above + size.depth > MAX_TYPE_DEPTH {
            return Err(too_deep());
        }
        Ok(size)
    }
}

impl Size {
    fn wrap(self) -> Self {
        Self {
            count: self.count.saturating_add(1),
            depth: self.depth + 1,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            depth: self.depth.max(other.depth),
        }
    }
}

fn too_deep() -> SchemaError {
    SchemaError::new(format!(
        "the schema has a type that nests deeper than {MAX_TYPE_DEPTH} levels, common types included"
    ))
}

/// The full name of something declared as `name` in `namespace`.
pub(super) fn qualify(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.into()
    } else {
        format!("{namespace}::{name}")
    }
}

fn builtins() -> [(&'static str, Type); 7] {
    let extension = |ty: ExtensionType| (ty.name(), Type::Extension(ty));
    [
        ("Bool", Type::Bool),
        ("Long", Type::Long),
        ("String", Type::String),
        extension(ExtensionType::Decimal),
        extension(ExtensionType::Ip),
        extension(ExtensionType::Datetime),
        extension(ExtensionType::Duration),
    ]
}
