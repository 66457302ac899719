//! The instructions: nodes of compiled expressions.

use crate::id::{NodeId, Sym, TypeId};
use crate::value::ops::Extension;

/// A request variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Var {
    Principal,
    Action,
    Resource,
    Context,
}

/// A run of entries in [`super::Program`]'s `children` or `keys`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// One node. Children stand anywhere before their parent in the node array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Node {
    Bool(bool),
    /// A constant, by its place in the program's constants.
    Constant(u32),
    Var(Var),
    Not(NodeId),
    Neg(NodeId),
    IsEmpty(NodeId),
    And(NodeId, NodeId),
    Or(NodeId, NodeId),
    If(NodeId, NodeId, NodeId),
    Equal(NodeId, NodeId),
    NotEqual(NodeId, NodeId),
    Less(NodeId, NodeId),
    LessEq(NodeId, NodeId),
    Greater(NodeId, NodeId),
    GreaterEq(NodeId, NodeId),
    Add(NodeId, NodeId),
    Sub(NodeId, NodeId),
    Mul(NodeId, NodeId),
    In(NodeId, NodeId),
    Contains(NodeId, NodeId),
    ContainsAll(NodeId, NodeId),
    ContainsAny(NodeId, NodeId),
    GetTag(NodeId, NodeId),
    HasTag(NodeId, NodeId),
    /// `getTag` with a constant name.
    GetNamedTag(NodeId, Sym),
    /// `hasTag` with a constant name.
    HasNamedTag(NodeId, Sym),
    GetAttr(NodeId, Sym),
    /// `principal.name`, `context.name` and so on: half of all operands.
    VarAttr(Var, Sym),
    HasAttr(NodeId, Sym),
    /// `has a.b.c`: the names are a run of `keys`.
    HasPath(NodeId, Span),
    /// By the pattern's place in the program's patterns.
    Like(NodeId, u32),
    Is(NodeId, TypeId),
    IsIn(NodeId, TypeId, NodeId),
    /// Elements in source order.
    Set(Span),
    /// Values in key order: a run of `children`; the keys are the run of `keys` that starts at the `u32`.
    Record(Span, u32),
    Call1(Extension, NodeId),
    Call2(Extension, NodeId, NodeId),
    /// A call with a number of arguments that the function does not take: evaluates them, then fails.
    CallAny(Extension, Span),
}
