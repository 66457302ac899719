//! A compiled policy set: flat arrays, no references, independent of any entity store.
//!
//! Uids, types and attribute names are numbered in the program's own tables. Publishing links them to the
//! numbers of the entity snapshot (`epoch::link`), so that one program serves many snapshots. The policies in
//! force are one program or a few, one behind the other (`epoch::Segment`).

mod build;
mod classes;
mod digest;
mod ids;
mod node;
mod path;
mod print;
mod set;

use std::sync::Arc;

use crate::decision::Effect;
use crate::id::{NodeId, PolicyId, Sym, TypeId, Uid};
use crate::names::Names;
use crate::value::{Pattern, Stored};

pub(crate) use build::{Mark, NewPolicy, ProgramBuilder, SlotError, Slots, span};
pub(crate) use classes::Classes;
pub(crate) use digest::{Digest, SetDigest, Writer as DigestWriter};
pub(crate) use node::{Node, Span, Var};
pub(crate) use set::{Change, Dead, Layer, ProgramSet};

use ids::IdTable;

/// Compiled policies.
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
    /// Distinct: policies that mean the same but for id and scope share one.
    pub(crate) bodies: Vec<Body>,
    pub(crate) templates: Vec<Template>,
    pub(crate) policies: Vec<Policy>,
    /// What `ActionScope::In` is a run of.
    pub(crate) action_lists: Vec<Uid>,
    pub(crate) sources: Vec<Source>,
    /// What of a context any policy can observe.
    pub(crate) context: ContextUse,
    /// How many places [`Node::Shared`] uses.
    pub(crate) shared: usize,
    ids: IdTable,
    /// Policies in the order of their digests.
    by_digest: Vec<u32>,
}

/// What policies may share: everything but the id, the scope and the place in the source.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) effect: Effect,
    /// `when` conditions as they are, `unless` conditions negated, in source order.
    pub(crate) conditions: Span,
    /// The same with `a && b` taken apart, also within: what is evaluated, one after the other. Equal to the
    /// conjunctions because each part must be boolean in both, and the first that is false or fails decides.
    pub(crate) conjuncts: Span,
    /// All nodes of the body.
    pub(crate) nodes: Span,
    /// Sorted by name.
    pub(crate) annotations: Box<[(Box<str>, Box<str>)]>,
    /// Which condition is `unless`: only for telling positions.
    pub(crate) unless: Box<[bool]>,
    /// SHA-256 of the body's meaning: effect, conditions, annotations.
    pub(crate) digest: Digest,
}

/// A policy: static, or a template link.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) id: PolicyId,
    pub(crate) body: u32,
    /// The link's template, by its place in the program's.
    pub(crate) template: Option<u32>,
    pub(crate) principal: Scope,
    pub(crate) action: ActionScope,
    pub(crate) resource: Scope,
    /// The values of `?principal` and `?resource`.
    pub(crate) slots: [Option<Uid>; 2],
    /// A link stands where its template stands.
    pub(crate) source: Option<SourceSpan>,
    /// SHA-256 of this policy's meaning.
    pub(crate) digest: Digest,
}

/// A template: decides nothing by itself.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) id: PolicyId,
    pub(crate) body: u32,
    pub(crate) principal: Scope<Target>,
    pub(crate) action: ActionScope,
    pub(crate) resource: Scope<Target>,
    pub(crate) source: Option<SourceSpan>,
}

/// The principal or resource part of a policy's scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope<T = Uid> {
    Any,
    Eq(T),
    In(T),
    Is(TypeId),
    IsIn(TypeId, T),
}

/// The entity of a template's scope, or the slot for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Entity(Uid),
    Slot,
}

/// The action part of a policy's scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ActionScope {
    Any,
    Eq(Uid),
    /// `in` any of these: a run of the program's `action_lists`.
    In(Span),
}

/// A text that policies were parsed from, shared by them; or that of one policy which was loaded in another form.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) text: Arc<str>,
    /// The path of the file that was loaded, where there is one.
    pub(crate) file: Option<Arc<str>>,
    /// Whether Cedar wrote the text, of what was JSON or a set: places in it are none in a file.
    pub(crate) is_own: bool,
}

impl Source {
    /// The file that has the text.
    pub(crate) fn file_of_text(&self) -> Option<&str> {
        self.file.as_deref().filter(|_| !self.is_own)
    }
}

/// Where a policy stands in its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceSpan {
    /// By its place in the program's sources.
    pub(crate) source: u32,
    /// Byte range in its text.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// What policies can observe of a context.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum ContextUse {
    /// Only through `context.name` and `context has name`: fields with other names cannot matter.
    Fields,
    /// Somewhere the context is used as a whole (`context == …`, `[context]`).
    Whole,
}

impl Program {
    /// The number of the policy with this id.
    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.ids.find(id, &self.policies)
    }

    /// The policies whose digests begin with `first`.
    pub(crate) fn with_digest_byte(&self, first: u8) -> &[u32] {
        let key = |number: &u32| self.policies[*number as usize].digest[0];
        let start = self.by_digest.partition_point(|number| key(number) < first);
        let len = self.by_digest[start..].partition_point(|number| key(number) == first);
        &self.by_digest[start..start + len]
    }

    /// Where a policy stands.
    pub(crate) fn source(&self, policy: &Policy) -> Option<(&Source, SourceSpan)> {
        let span = policy.source?;
        Some((self.sources.get(span.source as usize)?, span))
    }

    /// The text of a policy or template.
    pub(crate) fn text(&self, span: SourceSpan) -> Option<&str> {
        let source = self.sources.get(span.source as usize)?;
        source.text.get(span.start as usize..span.end as usize)
    }

    pub(crate) fn body(&self, policy: &Policy) -> Option<&Body> {
        self.bodies.get(policy.body as usize)
    }

    /// The template that a policy is a link of.
    pub(crate) fn template(&self, policy: &Policy) -> Option<&Template> {
        self.templates.get(policy.template? as usize)
    }

    pub(crate) fn conditions(&self, body: &Body) -> &[NodeId] {
        body.conditions.of(&self.children)
    }

    /// The expression itself where a node only says that it is shared.
    pub(crate) fn expression(&self, id: NodeId) -> NodeId {
        match self.nodes.get(id.index()) {
            Some(Node::Shared(_, inner)) => *inner,
            _ => id,
        }
    }

    /// Whether a node's value, if it has one, is a truth value.
    pub(crate) fn is_test(&self, id: NodeId) -> bool {
        let Some(node) = self.nodes.get(id.index()) else {
            return false;
        };
        match node {
            Node::If(_, a, b) => self.is_test(*a) && self.is_test(*b),
            Node::In(..)
            | Node::Is(..)
            | Node::IsIn(..)
            | Node::IsEmpty(_)
            | Node::Contains(..)
            | Node::ContainsAll(..)
            | Node::ContainsAny(..)
            | Node::HasAttr(..)
            | Node::HasPath(..)
            | Node::HasTag(..)
            | Node::HasNamedTag(..)
            | Node::Like(..) => true,
            node => node.joins_or_compares(),
        }
    }

    pub(crate) fn children(&self, span: Span) -> &[NodeId] {
        span.of(&self.children)
    }

    /// The keys and values of a record node, in the order of the keys.
    pub(crate) fn fields(
        &self,
        values: Span,
        keys: u32,
    ) -> impl ExactSizeIterator<Item = (Sym, NodeId)> {
        let keys = self.record_keys(values, keys).iter();
        keys.copied().zip(self.children(values).iter().copied())
    }

    /// The keys of a record node, sorted.
    pub(crate) fn record_keys(&self, values: Span, keys: u32) -> &[Sym] {
        self.keys(Span {
            start: keys,
            len: values.len,
        })
    }

    pub(crate) fn keys(&self, span: Span) -> &[Sym] {
        span.of(&self.keys)
    }
}

impl<T> Scope<T> {
    /// The same test of another target.
    pub(crate) fn try_map<U, E>(
        self,
        target: impl FnOnce(T) -> Result<U, E>,
    ) -> Result<Scope<U>, E> {
        Ok(match self {
            Self::Any => Scope::Any,
            Self::Eq(to) => Scope::Eq(target(to)?),
            Self::In(above) => Scope::In(target(above)?),
            Self::Is(ty) => Scope::Is(ty),
            Self::IsIn(ty, above) => Scope::IsIn(ty, target(above)?),
        })
    }

    fn target(self) -> Option<T> {
        match self {
            Self::Any | Self::Is(_) => None,
            Self::Eq(target) | Self::In(target) | Self::IsIn(_, target) => Some(target),
        }
    }
}
