//! From Cedar's public syntax tree to the program's nodes.
//!
//! With `load/parse.rs` and `arity.rs` the only importer of `cedar_policy`'s trees. Their enums are
//! `#[non_exhaustive]`: what is not known here is refused at load, never guessed.

mod expr;

use cedar_policy::pst;

use crate::decision::Effect;
use crate::id::{NodeId, PolicyId, Sym, TypeId, Uid};
use crate::limits::{Limit, LimitExceeded, Limits};
use crate::program::{
    ActionScope, Body, DigestWriter, Mark, NewPolicy, Node, ProgramBuilder, Scope, SourceSpan,
    Span, Target, Template, span,
};
use crate::value::Stored;
use crate::value::arena::{Intern, TableFull};

use super::load::Holes;

/// Why a policy cannot be compiled although Cedar parses it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum LowerError {
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    #[error(transparent)]
    Full(#[from] TableFull),
    /// Something that a newer `cedar-policy` knows and this crate does not.
    #[error("uses {0}, which this version of Duramen does not support")]
    Unsupported(String),
    /// A shape's tree has a mark where it cannot be filled.
    #[error("has a literal in an unexpected place")]
    Unfit,
}

/// Builds a [`Program`] from syntax trees.
#[derive(Debug)]
pub(crate) struct Lowering {
    pub(super) out: ProgramBuilder,
    limits: Limits,
    /// Whether constant expressions are computed at load: on, except where tests compare both ways.
    fold: bool,
    /// The meaning of the body being lowered.
    hash: DigestWriter,
    /// Whether the body being lowered went through [`mark_wrong_arity`](super::arity::mark_wrong_arity): only then is a marked record
    /// a call.
    marked: bool,
    /// What stands in the holes of the part being lowered.
    holes: Holes,
}

/// A policy or template as Cedar has it, or a part of one.
#[derive(Debug)]
pub(crate) struct Tree<'t> {
    pub(crate) tree: &'t pst::Template,
    pub(crate) is_template: bool,
    /// Whether calls of the wrong arity are marked in it.
    pub(crate) marked: bool,
    /// What stands in the tree's holes.
    pub(crate) holes: Holes,
}

impl Lowering {
    pub(crate) fn new(limits: Limits, fold: bool) -> Self {
        Self {
            out: ProgramBuilder::new(),
            limits,
            fold,
            hash: DigestWriter::default(),
            marked: false,
            holes: Holes::default(),
        }
    }

    /// Adds a static policy, or a template and gives its number. A policy's id must be new.
    ///
    /// The first of `parts` has annotations, effect and scope; clauses come from all of them.
    pub(crate) fn add(
        &mut self,
        id: PolicyId,
        parts: &mut [Tree<'_>],
        source: Option<SourceSpan>,
    ) -> Result<Option<u32>, LowerError> {
        let mark = self.out.mark();
        self.add_since(mark, id, parts, source)
            .inspect_err(|_| self.out.undo(mark))
    }

    fn add_since(
        &mut self,
        mark: Mark,
        id: PolicyId,
        parts: &mut [Tree<'_>],
        source: Option<SourceSpan>,
    ) -> Result<Option<u32>, LowerError> {
        let Some(head) = parts.first_mut() else {
            return Err(LowerError::Unsupported("a policy without a tree".into()));
        };
        self.holes = std::mem::take(&mut head.holes);
        let (tree, is_template) = (head.tree, head.is_template);
        let principal = self.principal(tree)?;
        let action = self.action(tree)?;
        let resource = self.resource(tree)?;
        let body = self.body(tree, parts)?;
        let body = self.out.body(mark, body)?;
        if is_template {
            let template = Template {
                id,
                body,
                principal,
                action,
                resource,
                source,
            };
            let number = self.out.template(template)?;
            self.check_count()?;
            return Ok(Some(number));
        }
        let filled = |target| match target {
            Target::Entity(uid) => Ok(uid),
            Target::Slot => Err(LowerError::Unsupported(
                "a template slot that is not filled".into(),
            )),
        };
        self.out.policy(NewPolicy {
            id,
            body,
            principal: principal.try_map(filled)?,
            action,
            resource: resource.try_map(filled)?,
            source,
        })?;
        self.check_count()?;
        Ok(None)
    }

    /// Refuses the policy, template or link that is one too many.
    pub(crate) fn check_count(&self) -> Result<(), LowerError> {
        let count = self.out.program.policies.len() + self.out.program.templates.len();
        Ok(self.limits.check(Limit::Policies, count)?)
    }

    /// Lowers annotations and clauses.
    fn body(&mut self, head: &pst::Template, parts: &mut [Tree<'_>]) -> Result<Body, LowerError> {
        self.hash = DigestWriter::default();
        let effect = match head.effect {
            pst::Effect::Permit => Effect::Permit,
            pst::Effect::Forbid => Effect::Forbid,
        };
        self.hash.mark(match effect {
            Effect::Permit => b'p',
            Effect::Forbid => b'f',
        });
        let annotations: Box<[(Box<str>, Box<str>)]> = head
            .annotations
            .iter()
            .map(|(key, value)| {
                let value = value.as_str();
                let filled = self.holes.filled(value);
                (
                    key.as_str().into(),
                    filled.as_deref().unwrap_or(value).into(),
                )
            })
            .collect();
        self.hash.count(annotations.len());
        for (key, value) in &annotations {
            self.hash.text(key);
            self.hash.text(value);
        }
        let count = parts.iter().map(|part| part.tree.clauses().len()).sum();
        self.hash.count(count);
        let mut conditions = Vec::with_capacity(count);
        let mut unless = Vec::with_capacity(count);
        for (number, part) in parts.iter_mut().enumerate() {
            // The head's holes are there already, and in part met.
            if number > 0 {
                self.holes = std::mem::take(&mut part.holes);
            }
            self.marked = part.marked;
            for clause in part.tree.clauses() {
                let (expr, negated) = match clause {
                    pst::Clause::When(expr) => (expr, false),
                    pst::Clause::Unless(expr) => (expr, true),
                };
                self.hash.mark(if negated { b'u' } else { b'w' });
                let before = self.out.mark();
                let mut condition = self.expr(expr, 1)?;
                if negated {
                    condition = self.push(Node::Not(condition), before)?;
                }
                conditions.push(condition);
                unless.push(negated);
            }
            if !self.holes.are_met() {
                return Err(LowerError::Unfit);
            }
        }
        let mut conjuncts = Vec::new();
        for condition in &conditions {
            self.conjuncts(*condition, &mut conjuncts);
        }
        Ok(Body {
            effect,
            conditions: self.list(conditions)?,
            conjuncts: self.list(conjuncts)?,
            // The builder knows.
            nodes: Span { start: 0, len: 0 },
            annotations,
            unless: unless.into_boxed_slice(),
            digest: std::mem::take(&mut self.hash).finish(),
        })
    }

    /// The parts of a conjunction, left to right. As deep as the expression, which is bounded.
    fn conjuncts(&self, id: NodeId, parts: &mut Vec<NodeId>) {
        match self.out.program.nodes.get(id.index()) {
            Some(Node::And(a, b)) => {
                self.conjuncts(*a, parts);
                self.conjuncts(*b, parts);
            }
            _ => parts.push(id),
        }
    }

    fn principal(&mut self, tree: &pst::Template) -> Result<Scope<Target>, LowerError> {
        use pst::PrincipalConstraint as Constraint;
        Ok(match &tree.principal {
            Constraint::Any => Scope::Any,
            Constraint::Eq(to) => Scope::Eq(self.target(to)?),
            Constraint::In(above) => Scope::In(self.target(above)?),
            Constraint::Is(ty) => Scope::Is(self.type_id(ty)?),
            Constraint::IsIn(ty, above) => Scope::IsIn(self.type_id(ty)?, self.target(above)?),
        })
    }

    fn resource(&mut self, tree: &pst::Template) -> Result<Scope<Target>, LowerError> {
        use pst::ResourceConstraint as Constraint;
        Ok(match &tree.resource {
            Constraint::Any => Scope::Any,
            Constraint::Eq(to) => Scope::Eq(self.target(to)?),
            Constraint::In(above) => Scope::In(self.target(above)?),
            Constraint::Is(ty) => Scope::Is(self.type_id(ty)?),
            Constraint::IsIn(ty, above) => Scope::IsIn(self.type_id(ty)?, self.target(above)?),
        })
    }

    fn action(&mut self, tree: &pst::Template) -> Result<ActionScope, LowerError> {
        Ok(match &tree.action {
            pst::ActionConstraint::Any => ActionScope::Any,
            pst::ActionConstraint::Eq(uid) => ActionScope::Eq(self.uid(uid)?),
            pst::ActionConstraint::In(uids) => {
                let uids = uids
                    .iter()
                    .map(|uid| self.uid(uid))
                    .collect::<Result<Vec<_>, _>>()?;
                self.out.action_list(uids)?
            }
        })
    }

    fn target(&mut self, entity: &pst::EntityOrSlot) -> Result<Target, LowerError> {
        match entity {
            pst::EntityOrSlot::Entity(uid) => Ok(Target::Entity(self.uid(uid)?)),
            pst::EntityOrSlot::Slot(pst::SlotId::Principal | pst::SlotId::Resource) => {
                Ok(Target::Slot)
            }
            pst::EntityOrSlot::Slot(other) => {
                Err(LowerError::Unsupported(format!("the slot {other:?}")))
            }
        }
    }

    /// Adds a node, or the constant that it computes to, in place of all that was added for it since `before`: of lists in
    /// lists around a text of megabytes there is one copy, and not one for each bracket.
    fn push(&mut self, node: Node, before: Mark) -> Result<NodeId, LowerError> {
        if self.fold
            && let Some(constant) = super::fold::fold(&self.out.program, node)
        {
            self.out.undo(before);
            return self.constant(constant);
        }
        self.push_node(node)
    }

    fn push_node(&mut self, node: Node) -> Result<NodeId, LowerError> {
        let id = NodeId::known(self.out.program.nodes.len()).ok_or(TableFull)?;
        self.out.program.nodes.push(node);
        Ok(id)
    }

    fn constant(&mut self, constant: Stored) -> Result<NodeId, LowerError> {
        if let Stored::Bool(b) = constant {
            return self.push_node(Node::Bool(b));
        }
        let index = u32::try_from(self.out.program.constants.len()).map_err(|_| TableFull)?;
        self.out.program.constants.push(constant);
        self.push_node(Node::Constant(index))
    }

    fn list(&mut self, items: Vec<NodeId>) -> Result<Span, LowerError> {
        let span = span(self.out.program.children.len(), items.len())?;
        self.out.program.children.extend(items);
        Ok(span)
    }

    fn key_list(&mut self, keys: &[Sym]) -> Result<Span, LowerError> {
        let span = span(self.out.program.keys.len(), keys.len())?;
        self.out.program.keys.extend_from_slice(keys);
        Ok(span)
    }

    fn uid(&mut self, uid: &pst::EntityUID) -> Result<Uid, LowerError> {
        let filled = self.holes.filled(&uid.eid);
        let id = filled.as_deref().unwrap_or(&uid.eid);
        Ok(self.out.program.names.uid(&name_text(&uid.ty.0), id)?)
    }

    fn type_id(&mut self, ty: &pst::EntityType) -> Result<TypeId, LowerError> {
        Ok(self.out.program.names.add_type(&name_text(&ty.0))?)
    }
}

/// A type name as Cedar prints it: `Namespace::Type`.
fn name_text(name: &pst::Name) -> String {
    name.to_string()
}
