//! Nodes: what compiled expressions are made of.

use crate::id::{NodeId, Sym, TypeId};
use crate::value::ops::Extension;

/// A request variable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Var {
    Principal,
    Action,
    Resource,
    Context,
}

/// A run of entries in [`super::Program`]'s `children` or `keys`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// The run's entries.
    pub(crate) fn of<T>(self, items: &[T]) -> &[T] {
        let start = self.start as usize;
        items
            .get(start..start + self.len as usize)
            .unwrap_or_default()
    }
}

/// One node. Children stand anywhere before their parent in the node array, but what is [`Node::Shared`] stands
/// behind all others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
    /// An expression that others are equal to: its value is kept in this place of the decision's memory.
    Shared(u16, NodeId),
}

impl Node {
    /// What gives a truth value of truth values or by comparing: in a flat condition a jump or a step.
    pub(crate) fn joins_or_compares(&self) -> bool {
        matches!(
            self,
            Node::Bool(_)
                | Node::Not(_)
                | Node::And(..)
                | Node::Or(..)
                | Node::Equal(..)
                | Node::NotEqual(..)
                | Node::Less(..)
                | Node::LessEq(..)
                | Node::Greater(..)
                | Node::GreaterEq(..)
        )
    }

    /// The node with its operands replaced, except those in lists.
    pub(crate) fn with_operands(self, to: impl Fn(NodeId) -> NodeId) -> Self {
        match self {
            Self::Bool(_)
            | Self::Constant(_)
            | Self::Var(_)
            | Self::VarAttr(..)
            | Self::Set(_)
            | Self::Record(..)
            | Self::CallAny(..) => self,
            Self::Not(a) => Self::Not(to(a)),
            Self::Neg(a) => Self::Neg(to(a)),
            Self::IsEmpty(a) => Self::IsEmpty(to(a)),
            Self::And(a, b) => Self::And(to(a), to(b)),
            Self::Or(a, b) => Self::Or(to(a), to(b)),
            Self::If(a, b, c) => Self::If(to(a), to(b), to(c)),
            Self::Equal(a, b) => Self::Equal(to(a), to(b)),
            Self::NotEqual(a, b) => Self::NotEqual(to(a), to(b)),
            Self::Less(a, b) => Self::Less(to(a), to(b)),
            Self::LessEq(a, b) => Self::LessEq(to(a), to(b)),
            Self::Greater(a, b) => Self::Greater(to(a), to(b)),
            Self::GreaterEq(a, b) => Self::GreaterEq(to(a), to(b)),
            Self::Add(a, b) => Self::Add(to(a), to(b)),
            Self::Sub(a, b) => Self::Sub(to(a), to(b)),
            Self::Mul(a, b) => Self::Mul(to(a), to(b)),
            Self::In(a, b) => Self::In(to(a), to(b)),
            Self::Contains(a, b) => Self::Contains(to(a), to(b)),
            Self::ContainsAll(a, b) => Self::ContainsAll(to(a), to(b)),
            Self::ContainsAny(a, b) => Self::ContainsAny(to(a), to(b)),
            Self::GetTag(a, b) => Self::GetTag(to(a), to(b)),
            Self::HasTag(a, b) => Self::HasTag(to(a), to(b)),
            Self::GetNamedTag(a, tag) => Self::GetNamedTag(to(a), tag),
            Self::HasNamedTag(a, tag) => Self::HasNamedTag(to(a), tag),
            Self::GetAttr(a, key) => Self::GetAttr(to(a), key),
            Self::HasAttr(a, key) => Self::HasAttr(to(a), key),
            Self::HasPath(a, keys) => Self::HasPath(to(a), keys),
            Self::Like(a, pattern) => Self::Like(to(a), pattern),
            Self::Is(a, ty) => Self::Is(to(a), ty),
            Self::IsIn(a, ty, b) => Self::IsIn(to(a), ty, to(b)),
            Self::Call1(function, a) => Self::Call1(function, to(a)),
            Self::Call2(function, a, b) => Self::Call2(function, to(a), to(b)),
            Self::Shared(place, a) => Self::Shared(place, to(a)),
        }
    }
}

/// What the numbers in a node become when it is copied to another program.
pub(super) trait Renumber {
    type Error;
    fn node(&mut self, node: NodeId) -> Result<NodeId, Self::Error>;
    fn sym(&mut self, sym: Sym) -> Result<Sym, Self::Error>;
    fn type_id(&mut self, ty: TypeId) -> Result<TypeId, Self::Error>;
    fn constant(&mut self, constant: u32) -> Result<u32, Self::Error>;
    fn pattern(&mut self, pattern: u32) -> Result<u32, Self::Error>;
    fn list(&mut self, list: Span) -> Result<Span, Self::Error>;
    fn keys(&mut self, keys: Span) -> Result<Span, Self::Error>;
}

impl Node {
    pub(super) fn renumbered<R: Renumber>(self, r: &mut R) -> Result<Self, R::Error> {
        Ok(match self {
            Self::Bool(_) | Self::Var(_) => self,
            Self::VarAttr(var, key) => Self::VarAttr(var, r.sym(key)?),
            Self::GetNamedTag(a, tag) => Self::GetNamedTag(r.node(a)?, r.sym(tag)?),
            Self::HasNamedTag(a, tag) => Self::HasNamedTag(r.node(a)?, r.sym(tag)?),
            Self::Constant(constant) => Self::Constant(r.constant(constant)?),
            Self::Not(a) => Self::Not(r.node(a)?),
            Self::Neg(a) => Self::Neg(r.node(a)?),
            Self::IsEmpty(a) => Self::IsEmpty(r.node(a)?),
            Self::And(a, b) => Self::And(r.node(a)?, r.node(b)?),
            Self::Or(a, b) => Self::Or(r.node(a)?, r.node(b)?),
            Self::Equal(a, b) => Self::Equal(r.node(a)?, r.node(b)?),
            Self::NotEqual(a, b) => Self::NotEqual(r.node(a)?, r.node(b)?),
            Self::Less(a, b) => Self::Less(r.node(a)?, r.node(b)?),
            Self::LessEq(a, b) => Self::LessEq(r.node(a)?, r.node(b)?),
            Self::Greater(a, b) => Self::Greater(r.node(a)?, r.node(b)?),
            Self::GreaterEq(a, b) => Self::GreaterEq(r.node(a)?, r.node(b)?),
            Self::Add(a, b) => Self::Add(r.node(a)?, r.node(b)?),
            Self::Sub(a, b) => Self::Sub(r.node(a)?, r.node(b)?),
            Self::Mul(a, b) => Self::Mul(r.node(a)?, r.node(b)?),
            Self::In(a, b) => Self::In(r.node(a)?, r.node(b)?),
            Self::Contains(a, b) => Self::Contains(r.node(a)?, r.node(b)?),
            Self::ContainsAll(a, b) => Self::ContainsAll(r.node(a)?, r.node(b)?),
            Self::ContainsAny(a, b) => Self::ContainsAny(r.node(a)?, r.node(b)?),
            Self::GetTag(a, b) => Self::GetTag(r.node(a)?, r.node(b)?),
            Self::HasTag(a, b) => Self::HasTag(r.node(a)?, r.node(b)?),
            Self::If(a, b, c) => Self::If(r.node(a)?, r.node(b)?, r.node(c)?),
            Self::GetAttr(a, key) => Self::GetAttr(r.node(a)?, r.sym(key)?),
            Self::HasAttr(a, key) => Self::HasAttr(r.node(a)?, r.sym(key)?),
            Self::HasPath(a, keys) => Self::HasPath(r.node(a)?, r.keys(keys)?),
            Self::Like(a, pattern) => Self::Like(r.node(a)?, r.pattern(pattern)?),
            Self::Is(a, ty) => Self::Is(r.node(a)?, r.type_id(ty)?),
            Self::IsIn(a, ty, b) => Self::IsIn(r.node(a)?, r.type_id(ty)?, r.node(b)?),
            Self::Set(items) => Self::Set(r.list(items)?),
            Self::Record(values, keys) => {
                let keys = Span {
                    start: keys,
                    len: values.len,
                };
                Self::Record(r.list(values)?, r.keys(keys)?.start)
            }
            Self::Call1(function, a) => Self::Call1(function, r.node(a)?),
            Self::Call2(function, a, b) => Self::Call2(function, r.node(a)?, r.node(b)?),
            Self::CallAny(function, args) => Self::CallAny(function, r.list(args)?),
            Self::Shared(place, a) => Self::Shared(place, r.node(a)?),
        })
    }
}
