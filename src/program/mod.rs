//! A compiled policy set: flat arrays, no references, independent of any entity store.
//!
//! Uids, types and attribute names are numbered in the program's own tables. Publishing links them to the
//! numbers of the entity snapshot (`epoch::link`), so that one program serves many snapshots.

mod op;
mod path;

use std::sync::Arc;

use crate::decision::Effect;
use crate::id::{NodeId, PolicyId, Sym, TypeId, Uid};
use crate::names::Names;
use crate::value::{Pattern, Stored};

pub(crate) use op::{Node, Span, Var};

/// A compiled policy set.
#[derive(Debug)]
pub(crate) struct Program {
    /// The program's own numbering.
    pub(crate) names: Names,
    pub(crate) nodes: Vec<Node>,
    /// Children of set, record and call nodes.
    pub(crate) children: Vec<NodeId>,
    /// Attribute names of record nodes and `has` paths.
    pub(crate) keys: Vec<Sym>,
    pub(crate) constants: Vec<Stored>,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) bodies: Vec<Body>,
    pub(crate) policies: Vec<Policy>,
    /// What of a context any policy can observe.
    pub(crate) context: ContextUse,
    /// How many places [`Node::Shared`] uses.
    pub(crate) shared: usize,
    /// SHA-256 of the policy set's meaning: ids, scopes, conditions, annotations, links. Formatting and
    /// comments do not count.
    pub(crate) digest: [u8; 32],
}

/// What template-linked policies share: everything but the id and the scope. A static policy has one of its own.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) effect: Effect,
    /// `when` conditions as they are, `unless` conditions negated, in source order.
    pub(crate) conditions: Span,
    /// The same with `a && b` taken apart, also within: what is evaluated, one after the other. Equal to the
    /// conjunctions because each part must be boolean in both, and the first that is false or fails decides.
    pub(crate) conjuncts: Span,
    /// Sorted by name.
    pub(crate) annotations: Box<[(Box<str>, Box<str>)]>,
    pub(crate) source: Option<SourceSpan>,
    /// The template's id where the body is a template's.
    pub(crate) template: Option<PolicyId>,
    /// Which condition is `unless`, by bit: only for telling positions.
    pub(crate) unless: Box<[bool]>,
}

/// A policy: static, or a template link.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) id: PolicyId,
    pub(crate) body: u32,
    pub(crate) principal: Scope,
    pub(crate) action: ActionScope,
    pub(crate) resource: Scope,
    /// The values of `?principal` and `?resource`.
    pub(crate) slots: [Option<Uid>; 2],
    /// SHA-256 of this policy's meaning.
    pub(crate) digest: [u8; 32],
}

/// The principal or resource part of a policy's scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    Any,
    Eq(Uid),
    In(Uid),
    Is(TypeId),
    IsIn(TypeId, Uid),
}

/// The action part of a policy's scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ActionScope {
    Any,
    Eq(Uid),
    /// `in` any of these.
    In(Box<[Uid]>),
}

/// Where a policy stands in its source.
#[derive(Clone, Debug)]
pub(crate) struct SourceSpan {
    /// The text that the policy was parsed from, shared by its policies.
    pub(crate) text: Arc<str>,
    /// The file's path, where there is one.
    pub(crate) file: Option<Arc<str>>,
    /// Byte range in `text`.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// What policies can observe of a context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ContextUse {
    /// Only through `context.name` and `context has name`: fields with other names cannot matter.
    Fields,
    /// Somewhere the context is used as a whole (`context == …`, `[context]`).
    Whole,
}

impl Program {
    pub(crate) fn conditions(&self, body: &Body) -> &[NodeId] {
        run(&self.children, body.conditions)
    }

    /// The expression itself where a node only says that it is shared.
    pub(crate) fn expression(&self, id: NodeId) -> NodeId {
        match self.nodes.get(id.index()) {
            Some(Node::Shared(_, inner)) => *inner,
            _ => id,
        }
    }

    pub(crate) fn children(&self, span: Span) -> &[NodeId] {
        run(&self.children, span)
    }

    pub(crate) fn keys(&self, span: Span) -> &[Sym] {
        run(&self.keys, span)
    }
}

fn run<T>(items: &[T], span: Span) -> &[T] {
    let start = span.start as usize;
    items
        .get(start..start + span.len as usize)
        .unwrap_or_default()
}
