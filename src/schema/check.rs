//! Whether requests and entities fit a schema.
//!
//! What is accepted is exactly what Cedar accepts: [`check_request`] stands for
//! `cedar_policy::Request::new(.., Some(&schema))`, [`check_entity`] for the check that
//! `cedar_policy::Entities::from_entities(.., Some(&schema))` makes of each entity. When several things are
//! wrong, the one reported may differ from Cedar's.
//!
//! A check that succeeds allocates nothing, and recurses no deeper than the types of the schema nest: a
//! value that is nested deeper than its type fails before it is walked.

use crate::id::{EntityUid, EntityUidRef, Uid};
use crate::value::arena::NameText;
use crate::value::text::is_identifier;
use crate::value::{Record, Value, View};

use super::{
    ActionDecl, EntityMismatch, EntityTypeDecl, ExtensionType, Mismatch, Names, Problem,
    RecordType, RequestMismatch, Role, SchemaModel, Type, is_action_type, named,
};

/// The one declared action with the id of another that is not, whatever its type and however it is written.
fn near_action(schema: &SchemaModel, action: EntityUidRef<'_>) -> Option<EntityUid> {
    let is_near = |decl: &&ActionDecl| decl.uid.id().eq_ignore_ascii_case(action.id());
    let mut near = schema.actions().iter().filter(is_near);
    let only = near.next()?;
    near.next().is_none().then(|| only.uid.clone())
}

/// Checks a request.
///
/// Cedar asks for declared principal and resource types, listed ids where their types are enumerated, a
/// declared action that is not external and applies to both types, and a context of the action's type in
/// which enumerated entities and actions are declared ones. External entity types are fine as principal and
/// resource types. The principal and the resource need not exist.
pub(crate) fn check_request(
    schema: &SchemaModel,
    principal: EntityUidRef<'_>,
    action: EntityUidRef<'_>,
    resource: EntityUidRef<'_>,
    context: Record<'_>,
    names: &impl NameText,
) -> Result<(), RequestMismatch> {
    check_role(schema, Role::Principal, principal)?;
    check_role(schema, Role::Resource, resource)?;
    let Some(decl) = schema.action(action) else {
        return Err(RequestMismatch::UndeclaredAction {
            uid: action.to_owned(),
            near: near_action(schema, action),
        });
    };
    if decl.external {
        return Err(RequestMismatch::ExternalAction {
            uid: action.to_owned(),
        });
    }
    check_applies(decl, Role::Principal, principal, &decl.principals)?;
    check_applies(decl, Role::Resource, resource, &decl.resources)?;
    Checker { schema, names }
        .record(&decl.context, context)
        .map_err(|trail| RequestMismatch::Context {
            action: action.to_owned(),
            mismatch: trail.mismatch("context"),
        })
}

/// Checks an entity. `tags` may be `None` when there are none.
///
/// For an action, `ancestors` are all that it has, as Cedar compares actions after closing the hierarchy;
/// they must be those of the schema, and there must be no attributes and no tags. External actions are
/// among those that an entity may be.
///
/// For any other entity, direct parents are enough if they are themselves checked: the allowed types are
/// closed transitively.
pub(crate) fn check_entity(
    schema: &SchemaModel,
    uid: EntityUidRef<'_>,
    attributes: Record<'_>,
    tags: Option<Record<'_>>,
    ancestors: impl Iterator<Item = Uid> + Clone,
    names: &impl NameText,
) -> Result<(), EntityMismatch> {
    if is_action_type(uid.type_name()) {
        return check_action(schema, uid, attributes, tags, ancestors, names);
    }
    let Some(decl) = schema.entity_type(uid.type_name()) else {
        return Err(EntityMismatch::UndeclaredType);
    };
    if decl.external {
        return Err(EntityMismatch::ExternalType);
    }
    if let EntityRule::Enumerated(ids) = schema.entity_rule(uid.type_name())
        && !contains(ids, uid.id())
    {
        return Err(EntityMismatch::NotEnumerated {
            allowed: Names::of(ids.iter()),
        });
    }
    let checker = Checker { schema, names };
    checker
        .record(&decl.attributes, attributes)
        .map_err(|trail| EntityMismatch::Value(trail.mismatch("attributes")))?;
    checker.ancestors(decl, ancestors)?;
    if let Some(tags) = tags {
        checker.tags(decl, tags)?;
    }
    Ok(())
}

/// Whether the principal or the resource can be one at all.
fn check_role(
    schema: &SchemaModel,
    role: Role,
    uid: EntityUidRef<'_>,
) -> Result<(), RequestMismatch> {
    let Some(decl) = schema.entity_type(uid.type_name()) else {
        return Err(RequestMismatch::UndeclaredType {
            role,
            type_name: uid.type_name().into(),
        });
    };
    match &decl.enumerated {
        Some(ids) if !contains(ids, uid.id()) => Err(RequestMismatch::NotEnumerated {
            role,
            uid: uid.to_owned(),
            allowed: Names::of(ids.iter()),
        }),
        _ => Ok(()),
    }
}

fn check_applies(
    action: &ActionDecl,
    role: Role,
    uid: EntityUidRef<'_>,
    allowed: &[Box<str>],
) -> Result<(), RequestMismatch> {
    if contains(allowed, uid.type_name()) {
        return Ok(());
    }
    if allowed.is_empty() {
        return Err(RequestMismatch::AppliesToNothing {
            action: action.uid.clone(),
        });
    }
    Err(RequestMismatch::DoesNotApply {
        role,
        type_name: uid.type_name().into(),
        action: action.uid.clone(),
        allowed: Names::of(allowed.iter()),
    })
}

fn check_action(
    schema: &SchemaModel,
    uid: EntityUidRef<'_>,
    attributes: Record<'_>,
    tags: Option<Record<'_>>,
    ancestors: impl Iterator<Item = Uid> + Clone,
    names: &impl NameText,
) -> Result<(), EntityMismatch> {
    let Some(decl) = schema.action(uid) else {
        return Err(EntityMismatch::UndeclaredAction);
    };
    let mut data = attributes
        .iter()
        .chain(tags.iter().flat_map(|tags| tags.iter()));
    if let Some((name, _)) = data.next() {
        return Err(EntityMismatch::ActionHasData {
            name: names.sym_text(name).into(),
        });
    }
    // Equality of sets, without building one. The schema's are sorted.
    for ancestor in ancestors.clone() {
        let ancestor = uid_ref(names, ancestor);
        let found = decl
            .ancestors
            .binary_search_by(|above| above.as_ref().cmp(&ancestor));
        if found.is_err() {
            return Err(EntityMismatch::ActionUnexpectedAncestor {
                ancestor: ancestor.to_owned(),
            });
        }
    }
    // Of those that come sorted, as stored ones do, none comes twice, and their number tells.
    let are_all = ancestors.clone().is_sorted_by(|a, b| a < b)
        && ancestors.clone().count() == decl.ancestors.len();
    let is_there = |expected: EntityUidRef<'_>| {
        let mut ancestors = ancestors.clone();
        are_all || ancestors.any(|ancestor| uid_ref(names, ancestor) == expected)
    };
    let missing = decl
        .ancestors
        .iter()
        .find(|expected| !is_there(expected.as_ref()));
    match missing {
        None => Ok(()),
        Some(expected) => Err(EntityMismatch::ActionMissingAncestor {
            ancestor: expected.clone(),
        }),
    }
}

/// What the schema asks of every mention of an entity, beyond its type.
#[derive(Clone, Copy)]
enum EntityRule<'s> {
    /// Nothing: it need not even exist.
    Any,
    /// Its id is one of these, sorted.
    Enumerated(&'s [Box<str>]),
    /// It is a declared action.
    Action,
}

impl SchemaModel {
    fn entity_rule(&self, type_name: &str) -> EntityRule<'_> {
        if is_action_type(type_name) {
            return EntityRule::Action;
        }
        match self
            .entity_type(type_name)
            .and_then(|decl| decl.enumerated.as_deref())
        {
            Some(ids) => EntityRule::Enumerated(ids),
            None => EntityRule::Any,
        }
    }
}

struct Checker<'s, N> {
    schema: &'s SchemaModel,
    names: &'s N,
}

impl<N: NameText> Checker<'_, N> {
    /// Cedar checks the types of a value and then, over again, the entities in it. Types are closed, so
    /// every entity in a well-typed value stands where the type says `Entity`, and one walk does both.
    fn value(&self, ty: &Type, value: Value<'_>) -> Result<(), Box<Trail>> {
        match (ty, value.view()) {
            (Type::Bool, View::Bool(_))
            | (Type::Long, View::Long(_))
            | (Type::String, View::String(_))
            | (Type::Extension(ExtensionType::Decimal), View::Decimal(_))
            | (Type::Extension(ExtensionType::Ip), View::Ip(_))
            | (Type::Extension(ExtensionType::Datetime), View::Datetime(_))
            | (Type::Extension(ExtensionType::Duration), View::Duration(_)) => Ok(()),
            (Type::Entity(name), View::Entity(_)) => {
                self.entity(ty, name, self.schema.entity_rule(name), value)
            }
            (Type::Set(element), View::Set(set)) => {
                // What the schema asks of an entity depends on its type only: looked up once per set.
                let rule = match &**element {
                    Type::Entity(name) => Some((name, self.schema.entity_rule(name))),
                    _ => None,
                };
                set.iter()
                    .try_for_each(|item| match rule {
                        Some((name, rule)) => self.entity(element, name, rule, item),
                        None => self.value(element, item),
                    })
                    .map_err(|trail| trail.inside(Step::Element))
            }
            (Type::Record(ty), View::Record(record)) => self.record(ty, record),
            _ => Err(self.wrong_type(ty, value)),
        }
    }

    fn record(&self, ty: &RecordType, record: Record<'_>) -> Result<(), Box<Trail>> {
        let mut required = 0;
        for (sym, value) in record.iter() {
            let name = self.names.sym_text(sym);
            let Some(attribute) = ty.attribute(name) else {
                return Err(Trail::new(Problem::Unexpected {
                    declared: Names::of(ty.attributes().iter().map(|a| &a.name)),
                })
                .inside(Step::attribute(name)));
            };
            required += usize::from(attribute.required);
            self.value(&attribute.ty, value)
                .map_err(|trail| trail.inside(Step::attribute(name)))?;
        }
        // The keys of a record are distinct, so counting tells whether a required one is missing.
        if required == ty.required() {
            return Ok(());
        }
        Err(self.missing(ty, record))
    }

    /// The first attribute that is required and missing, given that one is.
    fn missing(&self, ty: &RecordType, record: Record<'_>) -> Box<Trail> {
        let given = record.iter().map(|(sym, _)| self.names.sym_text(sym));
        let missing = ty.missing(&mut given.collect::<Vec<_>>());
        let expected = missing.map(|a| a.ty.to_string()).unwrap_or_default();
        let trail = Trail::new(Problem::Missing { expected });
        match missing {
            Some(attribute) => trail.inside(Step::attribute(&attribute.name)),
            None => trail,
        }
    }

    /// `name` and `rule` are those of `ty`, an entity type.
    fn entity(
        &self,
        ty: &Type,
        name: &str,
        rule: EntityRule<'_>,
        value: Value<'_>,
    ) -> Result<(), Box<Trail>> {
        let Ok(uid) = value.as_entity() else {
            return Err(self.wrong_type(ty, value));
        };
        let uid = uid_ref(self.names, uid);
        if uid.type_name() != name {
            return Err(self.wrong_type(ty, value));
        }
        match rule {
            EntityRule::Enumerated(ids) if !contains(ids, uid.id()) => {
                Err(Trail::new(Problem::NotEnumerated {
                    uid: uid.to_owned(),
                    allowed: Names::of(ids.iter()),
                }))
            }
            EntityRule::Action if self.schema.action(uid).is_none() => {
                Err(Trail::new(Problem::UndeclaredAction {
                    uid: uid.to_owned(),
                }))
            }
            _ => Ok(()),
        }
    }

    /// Of several ancestors that are wrong, the smallest is reported: their order means nothing.
    fn ancestors(
        &self,
        decl: &EntityTypeDecl,
        ancestors: impl Iterator<Item = Uid>,
    ) -> Result<(), EntityMismatch> {
        let allowed = |ancestor: &EntityUidRef<'_>| {
            contains(&decl.ancestors, ancestor.type_name())
                && match self.schema.entity_rule(ancestor.type_name()) {
                    EntityRule::Any => true,
                    EntityRule::Enumerated(ids) => contains(ids, ancestor.id()),
                    // Unreachable, as no declared type can be in an action; refused all the same.
                    EntityRule::Action => false,
                }
        };
        let wrong = ancestors
            .map(|ancestor| uid_ref(self.names, ancestor))
            .filter(|ancestor| !allowed(ancestor))
            .min();
        let Some(ancestor) = wrong else {
            return Ok(());
        };
        if let EntityRule::Enumerated(ids) = self.schema.entity_rule(ancestor.type_name())
            && contains(&decl.ancestors, ancestor.type_name())
        {
            return Err(EntityMismatch::AncestorNotEnumerated {
                ancestor: ancestor.to_owned(),
                allowed: Names::of(ids.iter()),
            });
        }
        Err(EntityMismatch::AncestorType {
            ancestor: ancestor.to_owned(),
            allowed: Names::of(decl.ancestors.iter()),
        })
    }

    fn tags(&self, decl: &EntityTypeDecl, tags: Record<'_>) -> Result<(), EntityMismatch> {
        for (sym, value) in tags.iter() {
            let tag = self.names.sym_text(sym);
            let Some(ty) = &decl.tags else {
                return Err(EntityMismatch::UnexpectedTag { tag: tag.into() });
            };
            self.value(ty, value).map_err(|trail| {
                EntityMismatch::Value(trail.inside(Step::attribute(tag)).mismatch("tags"))
            })?;
        }
        Ok(())
    }

    fn wrong_type(&self, expected: &Type, found: Value<'_>) -> Box<Trail> {
        let found = match found.view() {
            View::Bool(_) => "a boolean".into(),
            View::Long(_) => "a long".into(),
            View::String(_) => "a string".into(),
            View::Entity(uid) => {
                format!(
                    "an entity of type `{}`",
                    uid_ref(self.names, uid).type_name()
                )
            }
            View::Set(_) => "a set".into(),
            View::Record(_) => "a record".into(),
            View::Decimal(_) => "a decimal".into(),
            View::Datetime(_) => "a datetime".into(),
            View::Duration(_) => "a duration".into(),
            View::Ip(_) => "an IP address".into(),
        };
        Trail::new(Problem::WrongType {
            expected: expected.to_string(),
            found,
        })
    }
}

fn uid_ref(names: &impl NameText, uid: Uid) -> EntityUidRef<'_> {
    EntityUidRef::from(names.uid_text(uid))
}

fn contains(sorted: &[Box<str>], name: &str) -> bool {
    named(sorted, name, |item| item).is_some()
}

/// A [`Problem`] on its way out of nested values, gathering its path innermost first.
struct Trail {
    steps: Vec<Step>,
    problem: Problem,
}

enum Step {
    Attribute(Box<str>),
    /// Some element of a set: elements have no names.
    Element,
}

impl Step {
    fn attribute(name: &str) -> Self {
        Self::Attribute(name.into())
    }
}

impl Trail {
    fn new(problem: Problem) -> Box<Self> {
        Box::new(Self {
            steps: Vec::new(),
            problem,
        })
    }

    fn inside(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.steps.push(step);
        self
    }

    fn mismatch(self, root: &str) -> Box<Mismatch> {
        let mut path = String::from(root);
        for step in self.steps.iter().rev() {
            match step {
                Step::Attribute(name) if is_identifier(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Attribute(name) => {
                    path.push_str("[\"");
                    path.extend(name.escape_debug());
                    path.push_str("\"]");
                }
                Step::Element => path.push_str("[]"),
            }
        }
        Box::new(Mismatch {
            path,
            problem: self.problem,
        })
    }
}
