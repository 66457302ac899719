//! Constant folding: an expression of constants that computes to a value becomes that value.
//!
//! The operators are the evaluator's own (`value::ops`). An expression that fails is left as it is, so that it
//! fails when it is reached, at the position it has; only whole constant expressions are replaced, so that the
//! positions of all others stay what they are in the source.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::id::NodeId;
use crate::program::{Node, Program, Span};
use crate::value::arena;
use crate::value::{ErrorKind, Stored, Truth, Value, ops};

/// The constant that `node` computes to, when all of its parts are constants and it does not fail.
pub(super) fn fold(program: &Program, node: Node) -> Option<Stored> {
    let value = |id: NodeId| constant(program, id);
    let arena = Bump::new();
    let result = match node {
        Node::Not(a) => ops::not(value(a)?).map(Value::from),
        Node::Neg(a) => ops::neg(value(a)?),
        Node::IsEmpty(a) => ops::is_empty(value(a)?).map(Value::from),
        Node::And(a, b) => match value(a)? {
            Value::Bool(Truth::No) => Ok(false.into()),
            Value::Bool(Truth::Yes) => value(b)?.as_bool().map(Value::from),
            _ => return None,
        },
        Node::Or(a, b) => match value(a)? {
            Value::Bool(Truth::Yes) => Ok(true.into()),
            Value::Bool(Truth::No) => value(b)?.as_bool().map(Value::from),
            _ => return None,
        },
        Node::If(c, a, b) => match value(c)? {
            Value::Bool(Truth::Yes) => Ok(value(a)?),
            Value::Bool(Truth::No) => Ok(value(b)?),
            _ => return None,
        },
        Node::Equal(a, b) => Ok(Value::from(value(a)?.same(value(b)?))),
        Node::NotEqual(a, b) => Ok(Value::from(!value(a)?.same(value(b)?))),
        Node::Less(a, b) => ops::less(value(a)?, value(b)?).map(Value::from),
        Node::LessEq(a, b) => ops::less_eq(value(a)?, value(b)?).map(Value::from),
        Node::Greater(a, b) => ops::less_eq(value(a)?, value(b)?).map(|less| Value::from(!less)),
        Node::GreaterEq(a, b) => ops::less(value(a)?, value(b)?).map(|less| Value::from(!less)),
        Node::Add(a, b) => ops::add(value(a)?, value(b)?),
        Node::Sub(a, b) => ops::sub(value(a)?, value(b)?),
        Node::Mul(a, b) => ops::mul(value(a)?, value(b)?),
        Node::Contains(a, b) => ops::contains(value(a)?, value(b)?).map(Value::from),
        Node::ContainsAll(a, b) => ops::contains_all(value(a)?, value(b)?).map(Value::from),
        Node::ContainsAny(a, b) => ops::contains_any(value(a)?, value(b)?).map(Value::from),
        Node::Like(a, pattern) => like(program, value(a)?, pattern),
        Node::Is(a, ty) => match value(a)? {
            Value::Entity(wide) => Ok(Value::from(program.names.type_of(wide.uid()) == Some(ty))),
            _ => return None,
        },
        Node::Set(items) => Ok(set(program, items, &arena)?),
        Node::Record(values, keys) => Ok(record(program, values, keys, &arena)?),
        Node::Call1(function, a) => function.call1(value(a)?, &arena),
        Node::Call2(function, a, b) => function.call2(value(a)?, value(b)?),
        // What reads the request or the entities, what always fails, and constants themselves. Attribute
        // access on a constant record is too rare to be worth a line.
        Node::Bool(_)
        | Node::Constant(_)
        | Node::Var(_)
        | Node::In(..)
        | Node::GetTag(..)
        | Node::HasTag(..)
        | Node::GetNamedTag(..)
        | Node::HasNamedTag(..)
        | Node::GetAttr(..)
        | Node::VarAttr(..)
        | Node::HasAttr(..)
        | Node::HasPath(..)
        | Node::IsIn(..)
        | Node::CallAny(..)
        | Node::Shared(..) => return None,
    };
    result.ok().map(Stored::of)
}

fn constant(program: &Program, id: NodeId) -> Option<Value<'_>> {
    match program.nodes.get(id.index())? {
        Node::Bool(b) => Some((*b).into()),
        Node::Constant(index) => program.constants.get(*index as usize).map(Stored::value),
        _ => None,
    }
}

fn set<'a>(program: &'a Program, items: Span, arena: &'a Bump) -> Option<Value<'a>> {
    let mut set = Vec::new_in(arena);
    for item in program.children(items) {
        set.push(constant(program, *item)?);
    }
    Some(arena::set(arena, set))
}

fn record<'a>(program: &'a Program, values: Span, keys: u32, arena: &'a Bump) -> Option<Value<'a>> {
    let mut fields = Vec::new_in(arena);
    for (key, item) in program.fields(values, keys) {
        fields.push((key, constant(program, item)?));
    }
    Some(arena::record(arena, fields).ok()?.into())
}

fn like(program: &Program, value: Value<'_>, pattern: u32) -> Result<Value<'static>, ErrorKind> {
    let text = value.as_string()?;
    Ok(Value::from(
        program
            .patterns
            .get(pattern as usize)
            .is_some_and(|pattern| pattern.matches(text)),
    ))
}
