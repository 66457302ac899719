//! The evaluator: walks a program's nodes.
//!
//! Recursion is as deep as an expression, which `Limits` bounds at load.

use std::cell::RefCell;

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::entity::{EntityData, Snapshot};
use crate::epoch::{ActionTest, Epoch, Linked, Row, ScopeTest};
use crate::id::{NodeId, Sym, TypeId, Uid};
use crate::program::{Node, Program, Span, Var};
use crate::request::locals::RequestNames;
use crate::request::overlay::Overlay;
use crate::value::{ErrorKind, Raise, Record, Set, Value, arena, ops};

/// A request in the epoch's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved<'a> {
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    pub(crate) context: Record<'a>,
    pub(crate) overlay: Overlay<'a>,
}

/// Everything that evaluating one request reads.
pub(crate) struct Machine<'a> {
    program: &'a Program,
    linked: &'a Linked,
    snapshot: &'a Snapshot,
    names: RequestNames<'a>,
    request: Resolved<'a>,
    /// The stored data of principal and resource, looked up once.
    principal: Side<'a>,
    resource: Side<'a>,
    action: Side<'a>,
    arena: &'a Bump,
    /// Ancestors that were computed because the overlay changes them.
    recomputed: RefCell<Vec<'a, (Uid, &'a [Uid])>>,
}

/// A request's principal, action or resource.
#[derive(Clone, Copy)]
struct Side<'a> {
    uid: Uid,
    type_id: Option<TypeId>,
    /// Sorted.
    ancestors: &'a [Uid],
    data: Option<Data<'a>>,
}

/// An entity's attributes and tags, stored or of the request.
#[derive(Clone, Copy)]
struct Data<'a> {
    attrs: Record<'a>,
    tags: Record<'a>,
}

impl<'a> Data<'a> {
    fn stored(data: &'a EntityData) -> Self {
        Self {
            attrs: Record::Stored(data.attrs()),
            tags: Record::Stored(data.tags()),
        }
    }
}

type Result<T> = std::result::Result<T, Raise>;

impl<'a> Machine<'a> {
    pub(crate) fn new(
        epoch: &'a Epoch,
        names: RequestNames<'a>,
        request: Resolved<'a>,
        arena: &'a Bump,
    ) -> Self {
        let absent = |uid| Side {
            uid,
            type_id: None,
            ancestors: &[],
            data: None,
        };
        let mut machine = Self {
            program: &epoch.program,
            linked: &epoch.linked,
            snapshot: &epoch.snapshot,
            names,
            request,
            principal: absent(request.principal),
            resource: absent(request.resource),
            action: absent(request.action),
            arena,
            recomputed: RefCell::new(Vec::new_in(arena)),
        };
        machine.principal = machine.side(request.principal);
        machine.resource = machine.side(request.resource);
        machine.action = machine.side(request.action);
        machine
    }

    fn side(&self, uid: Uid) -> Side<'a> {
        Side {
            uid,
            type_id: self.names.type_of(uid),
            ancestors: self.ancestors(uid),
            data: self.data(uid),
        }
    }

    /// Calls `visit` with the number of every policy whose scope matches, until it returns false.
    pub(crate) fn matching(&self, mut visit: impl FnMut(u32) -> bool) {
        let rows = &self.linked.rows;
        let mut offer = |numbers: &[u32]| {
            numbers
                .iter()
                .all(|number| match rows.get(*number as usize) {
                    Some(row) if self.row_matches(row) => visit(*number),
                    _ => true,
                })
        };
        // An overlay may put the action below groups that the index does not know it in.
        let index = self.linked.index.as_ref().filter(|index| {
            self.request.overlay.is_empty()
                && index.covers_action(self.action.type_id, self.action.ancestors)
        });
        let Some(index) = index else {
            let mut number = 0;
            rows.iter().all(|_| {
                number += 1;
                offer(&[number - 1])
            });
            return;
        };
        let _ = offer(index.action.rows(self.action.uid))
            && offer(&index.rest)
            && (index.principal.is_empty() || {
                offer(index.principal.rows(self.principal.uid))
                    && self
                        .principal
                        .ancestors
                        .iter()
                        .all(|above| offer(index.principal.rows(*above)))
            })
            && (index.resource.is_empty() || {
                offer(index.resource.rows(self.resource.uid))
                    && self
                        .resource
                        .ancestors
                        .iter()
                        .all(|above| offer(index.resource.rows(*above)))
            });
    }

    #[inline]
    fn row_matches(&self, row: &Row) -> bool {
        self.action_matches(row.action)
            && side_matches(&self.principal, row.principal)
            && side_matches(&self.resource, row.resource)
    }

    #[inline]
    fn action_matches(&self, test: ActionTest) -> bool {
        match test {
            ActionTest::Any => true,
            ActionTest::Eq(uid) => self.action.uid == uid,
            ActionTest::In(list) => list
                .of(&self.linked.action_lists)
                .iter()
                .any(|uid| self.action.is_in(*uid)),
        }
    }

    /// Whether the policy's conditions hold.
    #[inline]
    pub(crate) fn holds(&self, policy: u32) -> Result<bool> {
        let Some(policy) = self.program.policies.get(policy as usize) else {
            return Ok(false);
        };
        let Some(body) = self.program.bodies.get(policy.body as usize) else {
            return Ok(false);
        };
        for condition in self.program.conditions(body) {
            if !self.boolean(*condition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Evaluates a node that must be boolean.
    #[inline]
    fn boolean(&self, id: NodeId) -> Result<bool> {
        match self.eval(id)? {
            Value::Bool(b) => Ok(b),
            _ => Err(raise(id, ErrorKind::TypeError)),
        }
    }

    fn eval(&self, id: NodeId) -> Result<Value<'a>> {
        // In range: nodes are made by `compile` alone, children before parents.
        let node = self.program.nodes[id.index()];
        let at = |kind| raise(id, kind);
        let op = |result: std::result::Result<Value<'a>, ErrorKind>| result.map_err(at);
        match node {
            Node::Bool(b) => Ok(Value::Bool(b)),
            Node::Constant(index) => Ok(self.linked.constants[index as usize].view()),
            Node::Var(var) => Ok(match var {
                Var::Principal => Value::Entity(self.request.principal),
                Var::Action => Value::Entity(self.request.action),
                Var::Resource => Value::Entity(self.request.resource),
                Var::Context => Value::Record(self.request.context),
            }),
            Node::And(a, b) => Ok(Value::Bool(self.boolean(a)? && self.boolean(b)?)),
            Node::Or(a, b) => Ok(Value::Bool(self.boolean(a)? || self.boolean(b)?)),
            Node::If(condition, a, b) => {
                if self.boolean(condition)? {
                    self.eval(a)
                } else {
                    self.eval(b)
                }
            }
            Node::Not(a) => Ok(Value::Bool(!self.boolean(a)?)),
            Node::Neg(a) => op(ops::neg(self.eval(a)?)),
            Node::IsEmpty(a) => op(ops::is_empty(self.eval(a)?)),
            Node::Equal(a, b) => {
                let (a, b) = self.both(a, b)?;
                Ok(Value::Bool(a.same(b)))
            }
            Node::NotEqual(a, b) => {
                let (a, b) = self.both(a, b)?;
                Ok(Value::Bool(!a.same(b)))
            }
            Node::Less(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::less(a, b))
            }
            Node::LessEq(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::less_eq(a, b))
            }
            Node::Greater(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::less_eq(a, b).and_then(ops::not))
            }
            Node::GreaterEq(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::less(a, b).and_then(ops::not))
            }
            Node::Add(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::add(a, b))
            }
            Node::Sub(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::sub(a, b))
            }
            Node::Mul(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::mul(a, b))
            }
            Node::Contains(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::contains(a, b))
            }
            Node::ContainsAll(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::contains_all(a, b))
            }
            Node::ContainsAny(a, b) => {
                let (a, b) = self.both(a, b)?;
                op(ops::contains_any(a, b))
            }
            Node::In(a, b) => {
                let (a, b) = self.both(a, b)?;
                self.is_in(a, b).map(Value::Bool).map_err(at)
            }
            Node::GetTag(a, b) => {
                let (a, b) = self.both(a, b)?;
                self.get_tag(a, b).map_err(at)
            }
            Node::HasTag(a, b) => {
                let (a, b) = self.both(a, b)?;
                self.has_tag(a, b).map(Value::Bool).map_err(at)
            }
            Node::GetAttr(a, key) => {
                let value = self.eval(a)?;
                self.get_attr(value, self.sym(key)).map_err(at)
            }
            Node::HasAttr(a, key) => {
                let value = self.eval(a)?;
                let found = self.attribute(value, self.sym(key)).map_err(at)?;
                Ok(Value::Bool(found.is_some()))
            }
            Node::HasPath(a, keys) => {
                let value = self.eval(a)?;
                self.has_path(value, keys).map(Value::Bool).map_err(at)
            }
            Node::Like(a, pattern) => {
                let text = self.eval(a)?.as_string().map_err(at)?;
                Ok(Value::Bool(
                    self.program.patterns[pattern as usize].matches(text),
                ))
            }
            Node::Is(a, ty) => {
                let uid = self.eval(a)?.as_entity().map_err(at)?;
                Ok(Value::Bool(self.is_type(uid, ty)))
            }
            Node::IsIn(a, ty, above) => {
                let value = self.eval(a)?;
                if !self.is_type(value.as_entity().map_err(at)?, ty) {
                    return Ok(Value::Bool(false));
                }
                let above = self.eval(above)?;
                self.is_in(value, above).map(Value::Bool).map_err(at)
            }
            Node::Set(items) => self.set(items),
            Node::Record(values, keys) => self.record(id, values, keys),
            Node::Call1(function, a) => {
                let value = self.eval(a)?;
                op(function.call1(value))
            }
            Node::Call2(function, a, b) => {
                let (a, b) = self.both(a, b)?;
                op(function.call2(a, b))
            }
            Node::CallAny(function, args) => {
                let mut values = Vec::with_capacity_in(args.len as usize, self.arena);
                for arg in self.program.children(args) {
                    values.push(self.eval(*arg)?);
                }
                op(function.call(&values))
            }
        }
    }

    /// Both operands, left first; both before either is looked at.
    #[inline]
    fn both(&self, a: NodeId, b: NodeId) -> Result<(Value<'a>, Value<'a>)> {
        let a = self.eval(a)?;
        Ok((a, self.eval(b)?))
    }

    fn set(&self, items: Span) -> Result<Value<'a>> {
        let mut values = Vec::with_capacity_in(items.len as usize, self.arena);
        for item in self.program.children(items) {
            values.push(self.eval(*item)?);
        }
        Ok(arena::set(self.arena, values))
    }

    fn record(&self, id: NodeId, values: Span, keys: u32) -> Result<Value<'a>> {
        let mut fields = Vec::with_capacity_in(values.len as usize, self.arena);
        let keys = self.program.keys(Span {
            start: keys,
            len: values.len,
        });
        for (key, value) in keys.iter().zip(self.program.children(values)) {
            fields.push((self.sym(*key), self.eval(*value)?));
        }
        // The parser refuses duplicate keys; were one to get here, the policy must not apply.
        arena::record(self.arena, fields)
            .map(Value::Record)
            .map_err(|_| raise(id, ErrorKind::TypeError))
    }

    #[inline]
    fn sym(&self, key: Sym) -> Sym {
        self.linked.syms[key.index()]
    }

    #[inline]
    fn is_type(&self, uid: Uid, ty: TypeId) -> bool {
        self.names.type_of(uid) == self.linked.types.get(ty.index()).copied()
    }

    /// The attribute of a record or entity; `None` where there is none, be it for want of the entity.
    #[inline]
    fn attribute(
        &self,
        value: Value<'a>,
        key: Sym,
    ) -> std::result::Result<Option<Value<'a>>, ErrorKind> {
        match value {
            Value::Record(record) => Ok(record.get(key)),
            Value::Entity(uid) => Ok(self.data(uid).and_then(|data| data.attrs.get(key))),
            _ => Err(ErrorKind::TypeError),
        }
    }

    #[inline]
    fn get_attr(&self, value: Value<'a>, key: Sym) -> std::result::Result<Value<'a>, ErrorKind> {
        match value {
            Value::Record(record) => record.get(key).ok_or(ErrorKind::RecordAttrDoesNotExist),
            Value::Entity(uid) => self
                .data(uid)
                .ok_or(ErrorKind::EntityDoesNotExist)?
                .attrs
                .get(key)
                .ok_or(ErrorKind::EntityAttrDoesNotExist),
            _ => Err(ErrorKind::TypeError),
        }
    }

    /// `has a.b.c`: false at the first link that is missing, an error at a link that has no attributes.
    fn has_path(&self, value: Value<'a>, keys: Span) -> std::result::Result<bool, ErrorKind> {
        let mut value = value;
        for key in self.program.keys(keys) {
            match self.attribute(value, self.sym(*key))? {
                Some(next) => value = next,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn get_tag(
        &self,
        entity: Value<'a>,
        tag: Value<'a>,
    ) -> std::result::Result<Value<'a>, ErrorKind> {
        let (uid, tag) = (entity.as_entity()?, tag.as_string()?);
        let data = self.data(uid).ok_or(ErrorKind::EntityDoesNotExist)?;
        self.tag(data, tag).ok_or(ErrorKind::EntityAttrDoesNotExist)
    }

    fn has_tag(&self, entity: Value<'a>, tag: Value<'a>) -> std::result::Result<bool, ErrorKind> {
        let (uid, tag) = (entity.as_entity()?, tag.as_string()?);
        Ok(self
            .data(uid)
            .is_some_and(|data| self.tag(data, tag).is_some()))
    }

    /// Tag names are values, so they are looked up by text, in the tables and among the request's own.
    fn tag(&self, data: Data<'a>, tag: &str) -> Option<Value<'a>> {
        let key = self.names.find_sym(tag)?;
        data.tags.get(key)
    }

    fn is_in(&self, value: Value<'a>, above: Value<'a>) -> std::result::Result<bool, ErrorKind> {
        let uid = value.as_entity()?;
        match above {
            Value::Entity(above) => Ok(uid == above || self.has_ancestor(uid, above)),
            Value::Set(set) => {
                if !all_entities(set) {
                    return Err(ErrorKind::TypeError);
                }
                Ok(set.contains(value) || self.has_ancestor_in(uid, set))
            }
            _ => Err(ErrorKind::TypeError),
        }
    }

    #[inline]
    fn has_ancestor(&self, uid: Uid, above: Uid) -> bool {
        if self.request.overlay.is_empty() {
            self.snapshot
                .entity(uid)
                .is_some_and(|data| data.has_ancestor(above))
        } else {
            self.ancestors(uid).binary_search(&above).is_ok()
        }
    }

    fn has_ancestor_in(&self, uid: Uid, set: Set<'a>) -> bool {
        let ancestors = self.ancestors(uid);
        if ancestors.len() <= set.len() {
            ancestors
                .iter()
                .any(|above| set.contains(Value::Entity(*above)))
        } else {
            set.iter().any(|item| match item {
                Value::Entity(above) => ancestors.binary_search(&above).is_ok(),
                _ => false,
            })
        }
    }

    /// An entity's ancestors with the overlay in force, sorted.
    fn ancestors(&self, uid: Uid) -> &'a [Uid] {
        let overlay = &self.request.overlay;
        let stored = self.snapshot.entity(uid);
        if overlay.is_empty() {
            return stored.map_or(&[], EntityData::ancestors);
        }
        let known = self.recomputed.borrow();
        if let Some((_, ancestors)) = known.iter().find(|(known, _)| *known == uid) {
            return ancestors;
        }
        drop(known);
        let ancestors = overlay.ancestors(self.arena, uid, |uid| {
            let data = self.snapshot.entity(uid)?;
            Some((data.parents(), data.ancestors()))
        });
        self.recomputed.borrow_mut().push((uid, ancestors));
        ancestors
    }

    #[inline]
    fn data(&self, uid: Uid) -> Option<Data<'a>> {
        if uid == self.principal.uid && self.principal.data.is_some() {
            return self.principal.data;
        }
        if !self.request.overlay.is_empty()
            && let Some(entity) = self.request.overlay.get(uid)
        {
            return Some(Data {
                attrs: entity.attrs,
                tags: entity.tags,
            });
        }
        self.snapshot.entity(uid).map(Data::stored)
    }
}

impl Side<'_> {
    #[inline]
    fn is_in(&self, above: Uid) -> bool {
        self.uid == above
            || if self.ancestors.len() <= 16 {
                self.ancestors.contains(&above)
            } else {
                self.ancestors.binary_search(&above).is_ok()
            }
    }
}

#[inline]
fn side_matches(side: &Side<'_>, test: ScopeTest) -> bool {
    match test {
        ScopeTest::Any => true,
        ScopeTest::Eq(uid) => side.uid == uid,
        ScopeTest::In(uid) => side.is_in(uid),
        ScopeTest::Is(ty) => side.type_id == Some(ty),
        ScopeTest::IsIn(ty, uid) => side.type_id == Some(ty) && side.is_in(uid),
    }
}

/// Whether a set holds nothing but entities. Sets are sorted by type first: the ends tell.
fn all_entities(set: Set<'_>) -> bool {
    let is_entity = |item: Option<Value<'_>>| matches!(item, None | Some(Value::Entity(_)));
    is_entity(set.get(0)) && is_entity(set.len().checked_sub(1).and_then(|last| set.get(last)))
}

fn raise(node: NodeId, kind: ErrorKind) -> Raise {
    Raise { kind, node }
}
