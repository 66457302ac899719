//! Conditions: the walk over a program's nodes. Decisions run steps instead (`steps`), which come here with what they
//! leave open.
//!
//! Recursion is as deep as an expression, which `Limits` bounds at load.
//!
//! The shape is what measurement left over (instructions per node, `docs/design.md`, "Where the time goes"):
//!
//! * Two dispatchers, [`Machine::boolean`] and [`Machine::eval`], that do nothing but jump, and a function for each
//!   operator. In one large function every node, also the smallest, paid for saving the registers that the largest
//!   arm needs.
//! * What fails is put aside in the machine, and results carry only the fact ([`Raised`]). Errors of any size in
//!   them would send every value through memory.
//! * Operands are mostly constants and attributes of variables: these are taken where they are needed, without the
//!   way through a dispatcher.
//!
//! Long, as it has a function of a few lines for each operator of the language.

use std::cell::Cell;

use bumpalo::collections::Vec;

use crate::epoch::{Row, Step};
use crate::id::{NodeId, Sym, TypeId, Uid};
use crate::program::{Node, Span, Var};
use crate::value::{ErrorKind, Raise, Record, Value, arena, ops};

use super::machine::{Machine, Side, is_in_set};

/// An expression failed; how, is in the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raised;

pub(super) type Result<T> = std::result::Result<T, Raised>;

impl<'a> Machine<'a> {
    /// Whether the conditions of a policy hold.
    #[inline(always)]
    pub(crate) fn holds(&self, row: &Row) -> std::result::Result<bool, Raise> {
        match self.steps {
            Some(steps) => self.steps_hold(row.steps.of(steps)),
            None => {
                let holds = self.walk(self.program.children(row.conjuncts));
                holds.map_err(|Raised| self.raised.get())
            }
        }
    }

    #[inline(always)]
    pub(super) fn steps_hold(&self, steps: &[Step]) -> std::result::Result<bool, Raise> {
        self.run(steps).map_err(|Raised| self.raised.get())
    }

    #[inline(never)]
    fn walk(&self, conjuncts: &[NodeId]) -> Result<bool> {
        for conjunct in conjuncts {
            if !self.boolean(*conjunct)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether one conjunct of a policy's conditions holds.
    #[inline]
    pub(super) fn conjunct_holds(&self, conjunct: NodeId) -> std::result::Result<bool, Raise> {
        self.boolean(conjunct).map_err(|Raised| self.raised.get())
    }

    /// Evaluates a node that must be boolean.
    pub(super) fn boolean(&self, id: NodeId) -> Result<bool> {
        // In range: nodes are made by `compile` alone, children before parents.
        match self.nodes[id.index()] {
            Node::And(a, b) => self.and(a, b),
            Node::Or(a, b) => self.or(a, b),
            Node::Not(a) => self.not(a),
            Node::Bool(b) => Ok(b),
            Node::Equal(a, b) => self.equal(a, b),
            Node::NotEqual(a, b) => self.not_equal(a, b),
            Node::Less(a, b) => self.less(id, a, b),
            Node::LessEq(a, b) => self.less_eq(id, a, b),
            Node::Greater(a, b) => self.greater(id, a, b),
            Node::GreaterEq(a, b) => self.greater_eq(id, a, b),
            Node::In(a, b) => self.within(id, a, b),
            Node::Is(a, ty) => self.is(id, a, ty),
            Node::IsIn(a, ty, above) => self.is_within(id, a, ty, above),
            Node::HasAttr(a, key) => self.has_attr(id, a, key),
            Node::HasPath(a, keys) => self.has_path(id, a, keys),
            Node::HasTag(a, b) => self.has_tag(id, a, b),
            Node::HasNamedTag(a, tag) => self.has_named_tag(id, a, tag),
            Node::Contains(a, b) => self.contains(id, a, b),
            Node::ContainsAll(a, b) => self.contains_all(id, a, b),
            Node::ContainsAny(a, b) => self.contains_any(id, a, b),
            Node::IsEmpty(a) => self.is_empty(id, a),
            Node::Like(a, pattern) => self.like(id, a, pattern),
            Node::Shared(place, inner) => self.shared_bool(place, inner),
            Node::VarAttr(..)
            | Node::Constant(_)
            | Node::Var(_)
            | Node::GetAttr(..)
            | Node::GetTag(..)
            | Node::GetNamedTag(..)
            | Node::If(..)
            | Node::Call1(..)
            | Node::Call2(..)
            | Node::CallAny(..)
            | Node::Neg(_)
            | Node::Add(..)
            | Node::Sub(..)
            | Node::Mul(..)
            | Node::Set(_)
            | Node::Record(..) => self.value_as_bool(id),
        }
    }

    /// Evaluates any node.
    pub(super) fn eval(&self, id: NodeId) -> Result<Value<'a>> {
        self.eval_here(id)
    }

    /// The same without a call: the jump to the operator is where the caller is.
    #[inline(always)]
    pub(super) fn eval_here(&self, id: NodeId) -> Result<Value<'a>> {
        match self.nodes[id.index()] {
            Node::GetAttr(a, key) => self.get_attr(id, a, key),
            Node::Call1(function, a) => self.call1(id, function, a),
            Node::Call2(function, a, b) => self.call2(id, function, a, b),
            Node::GetNamedTag(a, tag) => self.get_named_tag(id, a, tag),
            Node::GetTag(a, b) => self.get_tag(id, a, b),
            Node::If(condition, a, b) => self.if_then_else(condition, a, b),
            Node::Neg(a) => self.neg(id, a),
            Node::Add(a, b) => self.add(id, a, b),
            Node::Sub(a, b) => self.sub(id, a, b),
            Node::Mul(a, b) => self.mul(id, a, b),
            Node::Set(items) => self.set(items),
            Node::Record(values, keys) => self.record(id, values, keys),
            Node::CallAny(function, args) => self.call_any(id, function, args),
            Node::Constant(index) => Ok(self.constant(index)),
            Node::Var(var) => Ok(self.variable(var)),
            Node::VarAttr(var, key) => self.variable_attr(id, var, key),
            Node::Shared(place, inner) => self.shared(place, inner),
            Node::Bool(_)
            | Node::And(..)
            | Node::Or(..)
            | Node::Not(_)
            | Node::Equal(..)
            | Node::NotEqual(..)
            | Node::In(..)
            | Node::HasAttr(..)
            | Node::HasPath(..)
            | Node::HasTag(..)
            | Node::HasNamedTag(..)
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
            | Node::Like(..) => self.bool_as_value(id),
        }
    }

    /// Evaluates an operand: what most of them are, here; the rest by [`Self::eval`].
    #[inline(always)]
    pub(super) fn operand(&self, id: NodeId) -> Result<Value<'a>> {
        match self.nodes[id.index()] {
            Node::Constant(index) => Ok(self.constant(index)),
            Node::VarAttr(var, key) => self.variable_attr(id, var, key),
            Node::Shared(place, inner) => self.shared(place, inner),
            Node::Var(var) => Ok(self.variable(var)),
            _ => self.eval(id),
        }
    }

    /// Both operands, left first; both before either is looked at.
    #[inline(always)]
    fn both(&self, a: NodeId, b: NodeId) -> Result<(Value<'a>, Value<'a>)> {
        let a = self.operand(a)?;
        Ok((a, self.operand(b)?))
    }

    #[inline]
    pub(super) fn constant(&self, index: u32) -> Value<'a> {
        self.constants[index as usize].value()
    }

    #[inline]
    pub(super) fn variable(&self, var: Var) -> Value<'a> {
        match var {
            Var::Principal => self.principal.uid.into(),
            Var::Action => self.action.uid.into(),
            Var::Resource => self.resource.uid.into(),
            Var::Context => self.context.into(),
        }
    }

    /// What a variable stands for, unless it is the context.
    #[inline(always)]
    pub(super) fn side(&self, var: Var) -> Option<&Side<'a>> {
        match var {
            Var::Principal => Some(&self.principal),
            Var::Resource => Some(&self.resource),
            Var::Action => Some(&self.action),
            Var::Context => None,
        }
    }

    /// `principal.attr`, `resource.attr`, `context.attr`: half of all operands, and no look-up of the entity.
    #[inline(never)]
    fn variable_attr(&self, id: NodeId, var: Var, key: Sym) -> Result<Value<'a>> {
        self.attr_of_variable(id, var, key)
    }

    #[inline(always)]
    pub(super) fn attr_of_variable(&self, id: NodeId, var: Var, key: Sym) -> Result<Value<'a>> {
        match self.variables[var as usize].and_then(|record| record.get(self.sym(key))) {
            Some(value) => Ok(value),
            None => Err(self.no_variable_attr(id, var)),
        }
    }

    #[cold]
    fn no_variable_attr(&self, id: NodeId, var: Var) -> Raised {
        let kind = match (var, self.variables[var as usize]) {
            (Var::Context, _) => ErrorKind::RecordAttrDoesNotExist,
            (_, Some(_)) => ErrorKind::EntityAttrDoesNotExist,
            (_, None) => ErrorKind::EntityDoesNotExist,
        };
        self.raise(id, kind)
    }

    /// The value of a shared expression: kept, or computed and kept. Failures are not kept, so that they are raised
    /// by the policy that meets them.
    #[inline(never)]
    fn shared(&self, place: u16, inner: NodeId) -> Result<Value<'a>> {
        let place = self.place(place);
        if let Some(value) = place.get() {
            return Ok(value);
        }
        let value = self.eval(inner)?;
        place.set(Some(value));
        Ok(value)
    }

    #[inline(never)]
    fn shared_bool(&self, place: u16, inner: NodeId) -> Result<bool> {
        let place = self.place(place);
        if let Some(value) = place.get() {
            return self.at(inner, value.as_bool());
        }
        let value = self.boolean(inner)?;
        place.set(Some(value.into()));
        Ok(value)
    }

    #[inline]
    fn place(&self, place: u16) -> &'a Cell<Option<Value<'a>>> {
        &self.places()[usize::from(place)]
    }

    #[inline]
    pub(super) fn places(&self) -> &'a [Cell<Option<Value<'a>>>] {
        match self.shared.get() {
            Some(places) => places,
            None => self.make_places(),
        }
    }

    #[cold]
    fn make_places(&self) -> &'a [Cell<Option<Value<'a>>>] {
        let places = self
            .arena
            .alloc_slice_fill_with(self.program.shared, |_| Cell::new(None));
        self.shared.set(Some(places));
        places
    }

    #[cold]
    fn raise(&self, node: NodeId, kind: ErrorKind) -> Raised {
        self.raised.set(Raise { kind, node });
        Raised
    }

    /// The result of an operator of the node `id`.
    #[inline(always)]
    fn at<T>(&self, id: NodeId, result: std::result::Result<T, ErrorKind>) -> Result<T> {
        result.map_err(|kind| self.raise(id, kind))
    }

    #[inline]
    pub(super) fn sym(&self, key: Sym) -> Sym {
        self.syms[key.index()]
    }

    #[inline]
    fn is_type(&self, uid: Uid, ty: TypeId) -> bool {
        self.names.type_of(uid) == self.linked.types.get(ty.index()).copied()
    }
}

// The operators, in the order of the dispatchers.
impl<'a> Machine<'a> {
    #[inline(never)]
    fn and(&self, a: NodeId, b: NodeId) -> Result<bool> {
        if self.boolean(a)? {
            self.boolean(b)
        } else {
            Ok(false)
        }
    }

    #[inline(never)]
    fn or(&self, a: NodeId, b: NodeId) -> Result<bool> {
        if self.boolean(a)? {
            Ok(true)
        } else {
            self.boolean(b)
        }
    }

    #[inline(never)]
    fn not(&self, a: NodeId) -> Result<bool> {
        self.boolean(a).map(|b| !b)
    }

    #[inline(never)]
    fn equal(&self, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        Ok(a.same(b))
    }

    #[inline(never)]
    fn not_equal(&self, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        Ok(!a.same(b))
    }

    #[inline(never)]
    fn less(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::less(a, b))
    }

    #[inline(never)]
    fn less_eq(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::less_eq(a, b))
    }

    #[inline(never)]
    fn greater(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::less_eq(a, b).map(|less| !less))
    }

    #[inline(never)]
    fn greater_eq(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::less(a, b).map(|less| !less))
    }

    #[inline(never)]
    fn within(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        // The usual left side is a variable, which cannot fail and whose ancestors are at hand.
        let side = match self.nodes[a.index()] {
            Node::Var(var) => self.side(var),
            _ => None,
        };
        let Some(side) = side else {
            let (a, b) = self.both(a, b)?;
            return self.at(id, self.is_in(a, b));
        };
        match self.operand(b)? {
            Value::Entity(above) => Ok(side.is_in(above.uid())),
            set => {
                let found = set
                    .as_set()
                    .and_then(|set| is_in_set(side.uid, side.ancestors, set));
                self.at(id, found)
            }
        }
    }

    #[inline(never)]
    fn is(&self, id: NodeId, a: NodeId, ty: TypeId) -> Result<bool> {
        let uid = self.operand(a)?.as_entity();
        Ok(self.is_type(self.at(id, uid)?, ty))
    }

    #[inline(never)]
    fn is_within(&self, id: NodeId, a: NodeId, ty: TypeId, above: NodeId) -> Result<bool> {
        let value = self.operand(a)?;
        if !self.is_type(self.at(id, value.as_entity())?, ty) {
            return Ok(false);
        }
        let above = self.operand(above)?;
        self.at(id, self.is_in(value, above))
    }

    #[inline(never)]
    fn has_attr(&self, id: NodeId, a: NodeId, key: Sym) -> Result<bool> {
        let key = self.sym(key);
        Ok(match self.nodes[a.index()] {
            Node::Var(var) => self.variables[var as usize].is_some_and(|record| record.has(key)),
            _ => {
                let value = self.eval(a)?;
                self.at(id, self.attribute(value, key))?.is_some()
            }
        })
    }

    /// `has a.b.c`: false at the first link that is missing, an error at a link that has no attributes.
    #[inline(never)]
    fn has_path(&self, id: NodeId, a: NodeId, keys: Span) -> Result<bool> {
        let mut value = self.operand(a)?;
        for key in self.program.keys(keys) {
            match self.at(id, self.attribute(value, self.sym(*key)))? {
                Some(next) => value = next,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Tag names are values, so they are looked up by text, in the tables and among the request's own.
    #[inline(never)]
    fn has_tag(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (entity, tag) = self.both(a, b)?;
        let uid = self.at(id, entity.as_entity())?;
        let tag = self.names.find_sym(self.at(id, tag.as_string())?);
        Ok(tag.is_some_and(|tag| self.tags(uid).is_some_and(|tags| tags.has(tag))))
    }

    #[inline(never)]
    fn has_named_tag(&self, id: NodeId, a: NodeId, tag: Sym) -> Result<bool> {
        let entity = self.operand(a)?;
        let tags = self.tags(self.at(id, entity.as_entity())?);
        Ok(tags.is_some_and(|tags| tags.has(self.sym(tag))))
    }

    #[inline(never)]
    fn contains(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::contains(a, b))
    }

    #[inline(never)]
    fn contains_all(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::contains_all(a, b))
    }

    #[inline(never)]
    fn contains_any(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<bool> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::contains_any(a, b))
    }

    #[inline(never)]
    fn is_empty(&self, id: NodeId, a: NodeId) -> Result<bool> {
        let set = self.operand(a)?;
        self.at(id, ops::is_empty(set))
    }

    #[inline(never)]
    fn like(&self, id: NodeId, a: NodeId, pattern: u32) -> Result<bool> {
        let text = self.operand(a)?.as_string();
        Ok(self.program.patterns[pattern as usize].matches(self.at(id, text)?))
    }

    #[inline(never)]
    fn value_as_bool(&self, id: NodeId) -> Result<bool> {
        let value = self.operand(id)?;
        self.at(id, value.as_bool())
    }

    #[inline(never)]
    fn get_attr(&self, id: NodeId, a: NodeId, key: Sym) -> Result<Value<'a>> {
        let value = self.operand(a)?;
        let key = self.sym(key);
        let found = match value {
            Value::Entity(uid) => match self.facts(uid.uid()) {
                Some(facts) => facts
                    .attrs
                    .get(key)
                    .ok_or(ErrorKind::EntityAttrDoesNotExist),
                None => Err(ErrorKind::EntityDoesNotExist),
            },
            record => match record.as_record() {
                Ok(record) => record.get(key).ok_or(ErrorKind::RecordAttrDoesNotExist),
                Err(kind) => Err(kind),
            },
        };
        self.at(id, found)
    }

    #[inline(never)]
    fn call1(&self, id: NodeId, function: ops::Extension, a: NodeId) -> Result<Value<'a>> {
        let value = self.operand(a)?;
        self.at(id, function.call1(value, self.arena))
    }

    #[inline(never)]
    fn call2(
        &self,
        id: NodeId,
        function: ops::Extension,
        a: NodeId,
        b: NodeId,
    ) -> Result<Value<'a>> {
        let (a, b) = self.both(a, b)?;
        self.at(id, function.call2(a, b))
    }

    #[inline(never)]
    fn get_named_tag(&self, id: NodeId, a: NodeId, tag: Sym) -> Result<Value<'a>> {
        let entity = self.operand(a)?;
        let uid = self.at(id, entity.as_entity())?;
        self.tag(id, uid, Some(self.sym(tag)))
    }

    #[inline(never)]
    fn get_tag(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<Value<'a>> {
        let (entity, tag) = self.both(a, b)?;
        let uid = self.at(id, entity.as_entity())?;
        let tag = self.at(id, tag.as_string())?;
        self.tag(id, uid, self.names.find_sym(tag))
    }

    fn tag(&self, id: NodeId, uid: Uid, tag: Option<Sym>) -> Result<Value<'a>> {
        let tags = self.tags(uid).ok_or(ErrorKind::EntityDoesNotExist);
        let tags = self.at(id, tags)?;
        let found = tag.and_then(|tag| tags.get(tag));
        self.at(id, found.ok_or(ErrorKind::EntityAttrDoesNotExist))
    }

    #[inline(never)]
    fn if_then_else(&self, condition: NodeId, a: NodeId, b: NodeId) -> Result<Value<'a>> {
        if self.boolean(condition)? {
            self.eval(a)
        } else {
            self.eval(b)
        }
    }

    #[inline(never)]
    fn neg(&self, id: NodeId, a: NodeId) -> Result<Value<'a>> {
        let value = self.operand(a)?;
        self.at(id, ops::neg(value))
    }

    #[inline(never)]
    fn add(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<Value<'a>> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::add(a, b))
    }

    #[inline(never)]
    fn sub(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<Value<'a>> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::sub(a, b))
    }

    #[inline(never)]
    fn mul(&self, id: NodeId, a: NodeId, b: NodeId) -> Result<Value<'a>> {
        let (a, b) = self.both(a, b)?;
        self.at(id, ops::mul(a, b))
    }

    #[inline(never)]
    fn set(&self, items: Span) -> Result<Value<'a>> {
        let mut values = Vec::with_capacity_in(items.len as usize, self.arena);
        for item in self.program.children(items) {
            values.push(self.operand(*item)?);
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
            fields.push((self.sym(*key), self.operand(*value)?));
        }
        // The parser refuses duplicate keys; were one to get here, the policy must not apply.
        let record = arena::record(self.arena, fields).map_err(|_| ErrorKind::TypeError);
        self.at(id, record.map(Value::from))
    }

    #[inline(never)]
    fn call_any(&self, id: NodeId, function: ops::Extension, args: Span) -> Result<Value<'a>> {
        let mut values = Vec::with_capacity_in(args.len as usize, self.arena);
        for arg in self.program.children(args) {
            values.push(self.operand(*arg)?);
        }
        self.at(id, function.call(&values, self.arena))
    }

    #[inline(never)]
    fn bool_as_value(&self, id: NodeId) -> Result<Value<'a>> {
        self.boolean(id).map(Value::from)
    }

    /// The attribute of a record or entity; `None` where there is none, be it for want of the entity.
    #[inline]
    pub(super) fn attribute(
        &self,
        value: Value<'a>,
        key: Sym,
    ) -> std::result::Result<Option<Value<'a>>, ErrorKind> {
        match value {
            Value::Entity(uid) => Ok(self.facts(uid.uid()).and_then(|facts| facts.attrs.get(key))),
            record => Ok(record.as_record()?.get(key)),
        }
    }

    #[inline]
    pub(super) fn tags(&self, uid: Uid) -> Option<Record<'a>> {
        self.facts(uid).map(|facts| facts.tags)
    }
}
