//! The evaluator: walks a program's nodes.
//!
//! Recursion is as deep as an expression, which `Limits` bounds at load. One long file, because it is one match
//! over the nodes with what the arms need, and the compiler inlines within it.

use std::cell::RefCell;

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::entity::{EntityData, Snapshot};
use crate::epoch::{ActionTest, Epoch, Index, Linked, Row, ScopeTest};
use crate::id::{NodeId, Sym, TypeId, Uid};
use crate::program::{Node, Program, Span, Var};
use crate::request::locals::RequestNames;
use crate::request::overlay::{Overlay, OverlayEntity};
use crate::value::{ErrorKind, Raise, Record, Set, Stored, Value, arena, ops};

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
    // What nearly every node reads, without the way through `program` and `linked`.
    nodes: &'a [Node],
    constants: &'a [Stored],
    syms: &'a [Sym],
    snapshot: &'a Snapshot,
    names: RequestNames<'a>,
    principal: Side<'a>,
    resource: Side<'a>,
    action: Side<'a>,
    context: Record<'a>,
    overlay: Overlay<'a>,
    arena: &'a Bump,
    /// Ancestors that were computed because the overlay changes them.
    recomputed: RefCell<Vec<'a, (Uid, &'a [Uid])>>,
}

/// A request's principal, action or resource, with what the store has of it looked up once.
#[derive(Clone, Copy)]
struct Side<'a> {
    uid: Uid,
    data: Data<'a>,
    /// Sorted.
    ancestors: &'a [Uid],
}

/// An entity's attributes and tags.
#[derive(Clone, Copy)]
enum Data<'a> {
    /// There is no such entity.
    Absent,
    Stored(&'a EntityData),
    /// One of the request's own.
    Overlaid(&'a OverlayEntity<'a>),
}

impl<'a> Data<'a> {
    #[inline]
    fn attrs(self) -> Option<Record<'a>> {
        match self {
            Data::Absent => None,
            Data::Stored(data) => Some(Record::Stored(data.attrs())),
            Data::Overlaid(entity) => Some(entity.attrs),
        }
    }

    fn tags(self) -> Option<Record<'a>> {
        match self {
            Data::Absent => None,
            Data::Stored(data) => Some(Record::Stored(data.tags())),
            Data::Overlaid(entity) => Some(entity.tags),
        }
    }

    /// `entity.attr`.
    #[inline]
    fn get_attr(self, key: Sym) -> std::result::Result<Value<'a>, ErrorKind> {
        self.attrs()
            .ok_or(ErrorKind::EntityDoesNotExist)?
            .get(key)
            .ok_or(ErrorKind::EntityAttrDoesNotExist)
    }
}

type Result<T> = std::result::Result<T, Raise>;

impl<'a> Machine<'a> {
    #[inline]
    pub(crate) fn new(
        epoch: &'a Epoch,
        names: RequestNames<'a>,
        request: Resolved<'a>,
        arena: &'a Bump,
    ) -> Self {
        let snapshot = &epoch.snapshot;
        let stored = |uid| {
            let stored = snapshot.entity(uid);
            Side {
                uid,
                data: stored.map_or(Data::Absent, Data::Stored),
                ancestors: stored.map_or(&[], EntityData::ancestors),
            }
        };
        let mut machine = Self {
            program: &epoch.program,
            linked: &epoch.linked,
            nodes: &epoch.program.nodes,
            constants: &epoch.linked.constants,
            syms: &epoch.linked.syms,
            snapshot,
            names,
            principal: stored(request.principal),
            resource: stored(request.resource),
            action: stored(request.action),
            context: request.context,
            overlay: request.overlay,
            arena,
            recomputed: RefCell::new(Vec::new_in(arena)),
        };
        if !machine.overlay.is_empty() {
            machine.principal = machine.overlaid_side(request.principal);
            machine.resource = machine.overlaid_side(request.resource);
            machine.action = machine.overlaid_side(request.action);
        }
        machine
    }

    #[cold]
    fn overlaid_side(&self, uid: Uid) -> Side<'a> {
        Side {
            uid,
            data: self.stored_or_overlaid(uid),
            ancestors: self.ancestors(uid),
        }
    }

    /// Calls `visit` with the number and the row of every policy whose scope matches, until it returns false.
    #[inline]
    pub(crate) fn matching(&self, mut visit: impl FnMut(u32, &'a Row) -> bool) {
        // An overlay may put the action below groups that the index does not know it in.
        match &self.linked.index {
            Some(index) if self.overlay.is_empty() && self.action_is_indexed(index) => {
                self.matching_indexed(index, visit);
            }
            _ => {
                for (row, number) in self.linked.rows.iter().zip(0..) {
                    if self.row_matches(row) && !visit(number, row) {
                        return;
                    }
                }
            }
        }
    }

    /// Without a schema a request may name any entity as its action; the index knows what is above actions only.
    #[inline]
    fn action_is_indexed(&self, index: &Index) -> bool {
        self.action.ancestors.is_empty()
            || index.covers_actions_of(self.names.type_of(self.action.uid))
    }

    #[inline]
    fn matching_indexed(&self, index: &'a Index, mut visit: impl FnMut(u32, &'a Row) -> bool) {
        let mut offer = |numbers: &[u32]| {
            for number in numbers {
                let row = &self.linked.rows[*number as usize];
                if self.row_matches(row) && !visit(*number, row) {
                    return false;
                }
            }
            true
        };
        if !offer(index.action.rows(self.action.uid)) || !offer(&index.rest) {
            return;
        }
        if index.principal.is_empty() && index.resource.is_empty() {
            return;
        }
        for (buckets, side) in [
            (&index.principal, &self.principal),
            (&index.resource, &self.resource),
        ] {
            if buckets.is_empty() {
                continue;
            }
            if !offer(buckets.rows(side.uid)) {
                return;
            }
            for above in side.ancestors {
                let found = buckets.bucket(*above);
                if found.is_some_and(|bucket| !offer(buckets.rows_in(bucket))) {
                    return;
                }
            }
        }
    }

    #[inline]
    fn row_matches(&self, row: &Row) -> bool {
        self.action_matches(row.action)
            && self.side_matches(&self.principal, row.principal)
            && self.side_matches(&self.resource, row.resource)
    }

    #[inline]
    fn side_matches(&self, side: &Side<'_>, test: ScopeTest) -> bool {
        match test {
            ScopeTest::Any => true,
            ScopeTest::Eq(uid) => side.uid == uid,
            ScopeTest::In(uid) => side.is_in(uid),
            ScopeTest::Is(ty) => self.names.type_of(side.uid) == Some(ty),
            ScopeTest::IsIn(ty, uid) => self.names.type_of(side.uid) == Some(ty) && side.is_in(uid),
        }
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

    /// Whether the conditions of a policy hold.
    #[inline]
    pub(crate) fn holds(&self, row: &Row) -> Result<bool> {
        for condition in self.program.children(row.conjuncts) {
            if !self.boolean(*condition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Evaluates a node that must be boolean.
    ///
    /// Connectives here, predicates in [`Self::test`], everything else in [`Self::eval`]: a `bool` is passed
    /// from level to level and not a 24-byte value through memory, and the frame that every level of a
    /// condition pays for stays small.
    fn boolean(&self, id: NodeId) -> Result<bool> {
        // In range: nodes are made by `compile` alone, children before parents.
        match self.nodes[id.index()] {
            Node::And(a, b) => Ok(self.boolean(a)? && self.boolean(b)?),
            Node::Or(a, b) => Ok(self.boolean(a)? || self.boolean(b)?),
            Node::Not(a) => Ok(!self.boolean(a)?),
            Node::Bool(b) => Ok(b),
            _ => self.test(id),
        }
    }

    /// Evaluates a predicate, or any other node that must be boolean and is no connective.
    fn test(&self, id: NodeId) -> Result<bool> {
        let at = |kind| raise(id, kind);
        match self.nodes[id.index()] {
            Node::Equal(a, b) => {
                let (a, b) = self.both(a, b)?;
                Ok(a.same(b))
            }
            Node::NotEqual(a, b) => {
                let (a, b) = self.both(a, b)?;
                Ok(!a.same(b))
            }
            Node::In(a, b) => {
                // The usual left side is a variable, which cannot fail and whose ancestors are at hand.
                let side = match self.nodes[a.index()] {
                    Node::Var(Var::Principal) => &self.principal,
                    Node::Var(Var::Resource) => &self.resource,
                    Node::Var(Var::Action) => &self.action,
                    _ => {
                        let (a, b) = self.both(a, b)?;
                        return self.is_in(a, b).map_err(at);
                    }
                };
                match self.operand(b)? {
                    Value::Entity(above) => Ok(side.is_in(above)),
                    Value::Set(set) => is_in_set(side.uid, side.ancestors, set).map_err(at),
                    _ => Err(at(ErrorKind::TypeError)),
                }
            }
            Node::Less(a, b) => {
                let (a, b) = self.both(a, b)?;
                ops::less(a, b).map_err(at)
            }
            Node::LessEq(a, b) => {
                let (a, b) = self.both(a, b)?;
                ops::less_eq(a, b).map_err(at)
            }
            Node::Greater(a, b) => {
                let (a, b) = self.both(a, b)?;
                ops::less_eq(a, b).map(|less| !less).map_err(at)
            }
            Node::GreaterEq(a, b) => {
                let (a, b) = self.both(a, b)?;
                ops::less(a, b).map(|less| !less).map_err(at)
            }
            Node::Contains(a, b) => {
                let (a, b) = self.both(a, b)?;
                ops::contains(a, b).map_err(at)
            }
            Node::ContainsAll(a, b) => {
                let (a, b) = self.both(a, b)?;
                ops::contains_all(a, b).map_err(at)
            }
            Node::ContainsAny(a, b) => {
                let (a, b) = self.both(a, b)?;
                ops::contains_any(a, b).map_err(at)
            }
            Node::HasAttr(a, key) => {
                let value = self.operand(a)?;
                let found = self.attribute(value, self.sym(key)).map_err(at)?;
                Ok(found.is_some())
            }
            Node::HasPath(a, keys) => {
                let value = self.operand(a)?;
                self.has_path(value, keys).map_err(at)
            }
            Node::HasTag(a, b) => {
                let (a, b) = self.both(a, b)?;
                self.has_tag(a, b).map_err(at)
            }
            Node::Is(a, ty) => {
                let uid = self.operand(a)?.as_entity().map_err(at)?;
                Ok(self.is_type(uid, ty))
            }
            Node::IsIn(a, ty, above) => {
                let value = self.operand(a)?;
                if !self.is_type(value.as_entity().map_err(at)?, ty) {
                    return Ok(false);
                }
                let above = self.operand(above)?;
                self.is_in(value, above).map_err(at)
            }
            Node::Like(a, pattern) => {
                let text = self.operand(a)?.as_string().map_err(at)?;
                Ok(self.program.patterns[pattern as usize].matches(text))
            }
            Node::IsEmpty(a) => ops::is_empty(self.operand(a)?).map_err(at),
            _ => match self.eval(id)? {
                Value::Bool(b) => Ok(b),
                _ => Err(raise(id, ErrorKind::TypeError)),
            },
        }
    }

    /// Evaluates an operand: what most of them are, here; the rest by [`Self::eval`].
    #[inline(always)]
    fn operand(&self, id: NodeId) -> Result<Value<'a>> {
        match self.nodes[id.index()] {
            Node::Constant(index) => Ok(self.constants[index as usize].view()),
            Node::Var(var) => Ok(self.variable(var)),
            Node::GetAttr(base, key) => match self.nodes[base.index()] {
                Node::Var(var) => self.variable_attr(id, var, key),
                _ => self.eval(id),
            },
            _ => self.eval(id),
        }
    }

    /// `principal.attr`, `resource.attr`, `context.attr`: half of all operands, and no look-up of the entity.
    fn variable_attr(&self, id: NodeId, var: Var, key: Sym) -> Result<Value<'a>> {
        let key = self.sym(key);
        match var {
            Var::Principal => self.principal.data.get_attr(key),
            Var::Action => self.action.data.get_attr(key),
            Var::Resource => self.resource.data.get_attr(key),
            Var::Context => self
                .context
                .get(key)
                .ok_or(ErrorKind::RecordAttrDoesNotExist),
        }
        .map_err(|kind| raise(id, kind))
    }

    #[inline(always)]
    fn variable(&self, var: Var) -> Value<'a> {
        match var {
            Var::Principal => Value::Entity(self.principal.uid),
            Var::Action => Value::Entity(self.action.uid),
            Var::Resource => Value::Entity(self.resource.uid),
            Var::Context => Value::Record(self.context),
        }
    }

    fn eval(&self, id: NodeId) -> Result<Value<'a>> {
        let at = |kind| raise(id, kind);
        let op = |result: std::result::Result<Value<'a>, ErrorKind>| result.map_err(at);
        match self.nodes[id.index()] {
            Node::GetAttr(a, key) => {
                let value = self.operand(a)?;
                self.get_attr(value, self.sym(key)).map_err(at)
            }
            Node::Constant(index) => Ok(self.constants[index as usize].view()),
            Node::Var(var) => Ok(self.variable(var)),
            Node::If(condition, a, b) => {
                if self.boolean(condition)? {
                    self.eval(a)
                } else {
                    self.eval(b)
                }
            }
            Node::Neg(a) => op(ops::neg(self.operand(a)?)),
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
            Node::GetTag(a, b) => {
                let (a, b) = self.both(a, b)?;
                self.get_tag(a, b).map_err(at)
            }
            Node::Call1(function, a) => {
                let value = self.operand(a)?;
                op(function.call1(value))
            }
            Node::Call2(function, a, b) => {
                let (a, b) = self.both(a, b)?;
                op(function.call2(a, b))
            }
            Node::Set(items) => self.set(items),
            Node::Record(values, keys) => self.record(id, values, keys),
            Node::CallAny(function, args) => self.call_any(id, function, args),
            Node::Bool(_) | Node::And(..) | Node::Or(..) | Node::Not(_) => {
                self.boolean(id).map(Value::Bool)
            }
            Node::Equal(..)
            | Node::NotEqual(..)
            | Node::In(..)
            | Node::HasAttr(..)
            | Node::HasPath(..)
            | Node::HasTag(..)
            | Node::Is(..)
            | Node::IsIn(..)
            | Node::Less(..)
            | Node::LessEq(..)
            | Node::Greater(..)
            | Node::GreaterEq(..)
            | Node::Contains(..)
            | Node::ContainsAll(..)
            | Node::ContainsAny(..)
            | Node::IsEmpty(_)
            | Node::Like(..) => self.test(id).map(Value::Bool),
        }
    }

    /// Both operands, left first; both before either is looked at.
    #[inline(always)]
    fn both(&self, a: NodeId, b: NodeId) -> Result<(Value<'a>, Value<'a>)> {
        let a = self.operand(a)?;
        Ok((a, self.operand(b)?))
    }

    // What builds lists is kept out of `eval`, whose stack frame every level of an expression pays for.

    #[inline(never)]
    fn call_any(&self, id: NodeId, function: ops::Extension, args: Span) -> Result<Value<'a>> {
        let mut values = Vec::with_capacity_in(args.len as usize, self.arena);
        for arg in self.program.children(args) {
            values.push(self.eval(*arg)?);
        }
        function.call(&values).map_err(|kind| raise(id, kind))
    }

    #[inline(never)]
    fn set(&self, items: Span) -> Result<Value<'a>> {
        let mut values = Vec::with_capacity_in(items.len as usize, self.arena);
        for item in self.program.children(items) {
            values.push(self.eval(*item)?);
        }
        Ok(arena::set(self.arena, values))
    }

    #[inline(never)]
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
        self.syms[key.index()]
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
            Value::Entity(uid) => Ok(self.data(uid).attrs().and_then(|attrs| attrs.get(key))),
            _ => Err(ErrorKind::TypeError),
        }
    }

    #[inline]
    fn get_attr(&self, value: Value<'a>, key: Sym) -> std::result::Result<Value<'a>, ErrorKind> {
        match value {
            Value::Record(record) => record.get(key).ok_or(ErrorKind::RecordAttrDoesNotExist),
            Value::Entity(uid) => self.data(uid).get_attr(key),
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
        let tags = self.data(uid).tags().ok_or(ErrorKind::EntityDoesNotExist)?;
        self.tag(tags, tag).ok_or(ErrorKind::EntityAttrDoesNotExist)
    }

    fn has_tag(&self, entity: Value<'a>, tag: Value<'a>) -> std::result::Result<bool, ErrorKind> {
        let (uid, tag) = (entity.as_entity()?, tag.as_string()?);
        let tags = self.data(uid).tags();
        Ok(tags.is_some_and(|tags| self.tag(tags, tag).is_some()))
    }

    /// Tag names are values, so they are looked up by text, in the tables and among the request's own.
    fn tag(&self, tags: Record<'a>, tag: &str) -> Option<Value<'a>> {
        tags.get(self.names.find_sym(tag)?)
    }

    #[inline]
    fn is_in(&self, value: Value<'a>, above: Value<'a>) -> std::result::Result<bool, ErrorKind> {
        let uid = value.as_entity()?;
        match above {
            Value::Entity(above) => Ok(uid == above || contains(self.ancestors_of(uid), above)),
            Value::Set(set) => is_in_set(uid, self.ancestors_of(uid), set),
            _ => Err(ErrorKind::TypeError),
        }
    }

    /// An entity's ancestors; principal's and resource's are at hand.
    #[inline]
    fn ancestors_of(&self, uid: Uid) -> &'a [Uid] {
        if uid == self.resource.uid {
            self.resource.ancestors
        } else if uid == self.principal.uid {
            self.principal.ancestors
        } else {
            self.ancestors(uid)
        }
    }

    /// An entity's attributes and tags, if it exists.
    pub(crate) fn entity(&self, uid: Uid) -> Option<(Record<'a>, Record<'a>)> {
        let data = self.data(uid);
        Some((data.attrs()?, data.tags()?))
    }

    /// An entity's ancestors with the overlay in force, sorted.
    pub(crate) fn ancestors(&self, uid: Uid) -> &'a [Uid] {
        let overlay = &self.overlay;
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
    fn data(&self, uid: Uid) -> Data<'a> {
        if uid == self.principal.uid {
            self.principal.data
        } else if uid == self.resource.uid {
            self.resource.data
        } else {
            self.stored_or_overlaid(uid)
        }
    }

    fn stored_or_overlaid(&self, uid: Uid) -> Data<'a> {
        if !self.overlay.is_empty()
            && let Some(entity) = self.overlay.get(uid)
        {
            return Data::Overlaid(entity);
        }
        self.snapshot.entity(uid).map_or(Data::Absent, Data::Stored)
    }
}

impl Side<'_> {
    #[inline]
    fn is_in(&self, above: Uid) -> bool {
        self.uid == above || contains(self.ancestors, above)
    }
}

/// Whether the entity is one of the set's, or below one.
#[inline]
fn is_in_set(uid: Uid, ancestors: &[Uid], set: Set<'_>) -> std::result::Result<bool, ErrorKind> {
    // Every element must be an entity before any is looked at. Sets are sorted by type first, so the ends
    // tell.
    let last = set.len().checked_sub(1).and_then(|last| set.get(last));
    for end in [set.get(0), last].into_iter().flatten() {
        end.as_entity()?;
    }
    let within = |item: Value<'_>| match item {
        Value::Entity(above) => uid == above || contains(ancestors, above),
        _ => false,
    };
    Ok(match set {
        // Whichever of the two lists is longer is searched, the other is walked.
        _ if set.len() > ancestors.len().max(8) => {
            set.contains(Value::Entity(uid))
                || ancestors
                    .iter()
                    .any(|above| set.contains(Value::Entity(*above)))
        }
        Set::Stored(set) => set.items().iter().any(|item| within(item.view())),
        Set::Built(items) => items.iter().any(|item| within(*item)),
    })
}

/// Whether a sorted list has `uid`. Short lists are walked: one or two cache lines, and no branch to mispredict.
#[inline]
fn contains(uids: &[Uid], uid: Uid) -> bool {
    if uids.len() <= 16 {
        uids.contains(&uid)
    } else {
        uids.binary_search(&uid).is_ok()
    }
}

fn raise(node: NodeId, kind: ErrorKind) -> Raise {
    Raise { kind, node }
}
