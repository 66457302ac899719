//! From Cedar's public syntax tree to the program's nodes.
//!
//! With `source.rs` and `arity.rs` the only importer of `cedar_policy`'s trees. Their enums are
//! `#[non_exhaustive]`: what is not known here is refused at load, never guessed. Long, because it is one walk over
//! the whole language that lowers and digests at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst;
use sha2::{Digest, Sha256};

use crate::decision::Effect;
use crate::id::{EntityUid, NodeId, PolicyId, Sym, TypeId, Uid};
use crate::limits::{Limit, LimitExceeded, Limits};
use crate::names::Names;
use crate::program::{
    ActionScope, Body, ContextUse, Node, Policy, Program, Scope, SourceSpan, Span, Var,
};
use crate::value::arena::{Intern, TableFull};
use crate::value::ops::Extension;
use crate::value::{Pattern, PatternPart, Stored};

use super::arity;

/// Why a policy cannot be compiled although Cedar parses it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum LowerError {
    #[error("{0}")]
    Limit(#[from] LimitExceeded),
    #[error("{0}")]
    Full(#[from] TableFull),
    /// Something that a newer `cedar-policy` knows and this crate does not.
    #[error("uses {0}, which this version of Duramen does not support")]
    Unsupported(String),
}

/// Builds a [`Program`].
#[derive(Debug)]
pub(crate) struct Lowering {
    names: Names,
    pub(super) nodes: Vec<Node>,
    children: Vec<NodeId>,
    keys: Vec<Sym>,
    pub(super) constants: Vec<Stored>,
    pub(super) patterns: Vec<Pattern>,
    bodies: Vec<Body>,
    /// Digest of each body, by the same index.
    body_digests: Vec<[u8; 32]>,
    policies: Vec<Policy>,
    context: ContextUse,
    limits: Limits,
    /// Whether constant expressions are computed at load: on, except where tests compare both ways.
    fold: bool,
    /// The meaning of the body being lowered.
    hash: Sha256,
    /// Whether the body being lowered went through [`arity::mark_wrong_arity`]: only then is a marked record
    /// a call.
    marked: bool,
}

/// A body that has been lowered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyId(u32);

impl Lowering {
    pub(crate) fn new(limits: Limits, fold: bool) -> Self {
        Self {
            names: Names::new(),
            nodes: Vec::new(),
            children: Vec::new(),
            keys: Vec::new(),
            constants: Vec::new(),
            patterns: Vec::new(),
            bodies: Vec::new(),
            body_digests: Vec::new(),
            policies: Vec::new(),
            context: ContextUse::Fields,
            limits,
            fold,
            hash: Sha256::new(),
            marked: false,
        }
    }

    /// Lowers the conditions and annotations of a template or static policy.
    pub(crate) fn body(
        &mut self,
        template: &pst::Template,
        id: Option<PolicyId>,
        source: Option<SourceSpan>,
        marked: bool,
    ) -> Result<BodyId, LowerError> {
        self.marked = marked;
        self.hash = Sha256::new();
        let effect = match template.effect {
            pst::Effect::Permit => Effect::Permit,
            pst::Effect::Forbid => Effect::Forbid,
        };
        self.mark(match effect {
            Effect::Permit => b'p',
            Effect::Forbid => b'f',
        });
        let annotations: Box<[(Box<str>, Box<str>)]> = template
            .annotations
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect();
        self.count(annotations.len());
        for (key, value) in &annotations {
            self.text(key);
            self.text(value);
        }
        self.count(template.clauses().len());
        let mut conditions = Vec::with_capacity(template.clauses().len());
        let mut unless = Vec::with_capacity(template.clauses().len());
        for clause in template.clauses() {
            let (expr, negated) = match clause {
                pst::Clause::When(expr) => (expr, false),
                pst::Clause::Unless(expr) => (expr, true),
            };
            self.mark(if negated { b'u' } else { b'w' });
            let mut condition = self.expr(expr, 1)?;
            if negated {
                condition = self.push(Node::Not(condition))?;
            }
            conditions.push(condition);
            unless.push(negated);
        }
        let mut conjuncts = Vec::new();
        for condition in &conditions {
            self.conjuncts(*condition, &mut conjuncts);
        }
        let conditions = self.list(conditions)?;
        let conjuncts = self.list(conjuncts)?;
        let index = u32::try_from(self.bodies.len()).map_err(|_| TableFull)?;
        self.bodies.push(Body {
            effect,
            conditions,
            conjuncts,
            annotations,
            source,
            template: id,
            unless: unless.into_boxed_slice(),
        });
        self.body_digests
            .push(std::mem::take(&mut self.hash).finalize().into());
        Ok(BodyId(index))
    }

    /// The parts of a conjunction, left to right. As deep as the expression, which is bounded.
    fn conjuncts(&self, id: NodeId, parts: &mut Vec<NodeId>) {
        match self.nodes.get(id.index()) {
            Some(Node::And(a, b)) => {
                self.conjuncts(*a, parts);
                self.conjuncts(*b, parts);
            }
            _ => parts.push(id),
        }
    }

    /// Adds a policy: a body with an id and a scope whose slots, if any, are filled.
    pub(crate) fn policy(
        &mut self,
        id: PolicyId,
        body: BodyId,
        template: &pst::Template,
        slots: &Slots,
    ) -> Result<(), LowerError> {
        let mut hash = Sha256::new();
        hash.update(length(id.as_str().len()));
        hash.update(id.as_str());
        if let Some(digest) = self.body_digests.get(body.0 as usize) {
            hash.update(digest);
        }
        self.hash = hash;
        let principal = match &template.principal {
            pst::PrincipalConstraint::Any => self.scope(None, None, slots)?,
            pst::PrincipalConstraint::Eq(to) => self.scope_eq(to, slots)?,
            pst::PrincipalConstraint::In(above) => self.scope(None, Some(above), slots)?,
            pst::PrincipalConstraint::Is(ty) => self.scope(Some(ty), None, slots)?,
            pst::PrincipalConstraint::IsIn(ty, above) => {
                self.scope(Some(ty), Some(above), slots)?
            }
        };
        let action = match &template.action {
            pst::ActionConstraint::Any => {
                self.mark(b'*');
                ActionScope::Any
            }
            pst::ActionConstraint::Eq(uid) => {
                self.mark(b'=');
                ActionScope::Eq(self.uid(uid)?)
            }
            pst::ActionConstraint::In(uids) => {
                self.mark(b'i');
                self.count(uids.len());
                let uids = uids
                    .iter()
                    .map(|uid| self.uid(uid))
                    .collect::<Result<_, _>>()?;
                ActionScope::In(uids)
            }
        };
        let resource = match &template.resource {
            pst::ResourceConstraint::Any => self.scope(None, None, slots)?,
            pst::ResourceConstraint::Eq(to) => self.scope_eq(to, slots)?,
            pst::ResourceConstraint::In(above) => self.scope(None, Some(above), slots)?,
            pst::ResourceConstraint::Is(ty) => self.scope(Some(ty), None, slots)?,
            pst::ResourceConstraint::IsIn(ty, above) => self.scope(Some(ty), Some(above), slots)?,
        };
        let slot_uids = [
            slots
                .principal
                .as_ref()
                .map(|uid| self.slot(uid))
                .transpose()?,
            slots
                .resource
                .as_ref()
                .map(|uid| self.slot(uid))
                .transpose()?,
        ];
        self.policies.push(Policy {
            id,
            body: body.0,
            principal,
            action,
            resource,
            slots: slot_uids,
            digest: std::mem::take(&mut self.hash).finalize().into(),
        });
        Ok(self.limits.check(Limit::Policies, self.policies.len())?)
    }

    pub(crate) fn finish(self) -> Program {
        // By id, so that the order of files and of policies in them does not change the digest.
        let mut order: Vec<&Policy> = self.policies.iter().collect();
        order.sort_by(|a, b| a.id.cmp(&b.id));
        let mut hash = Sha256::new();
        hash.update(b"duramen policy set 1\0");
        for policy in order {
            hash.update(policy.digest);
        }
        Program {
            digest: hash.finalize().into(),
            names: self.names,
            nodes: self.nodes,
            children: self.children,
            keys: self.keys,
            constants: self.constants,
            patterns: self.patterns,
            bodies: self.bodies,
            policies: self.policies,
            context: self.context,
            shared: 0,
        }
    }

    fn scope_eq(&mut self, to: &pst::EntityOrSlot, slots: &Slots) -> Result<Scope, LowerError> {
        self.mark(b'=');
        Ok(Scope::Eq(self.filled(to, slots)?))
    }

    fn scope(
        &mut self,
        ty: Option<&pst::EntityType>,
        above: Option<&pst::EntityOrSlot>,
        slots: &Slots,
    ) -> Result<Scope, LowerError> {
        self.mark(match (ty, above) {
            (None, None) => b'*',
            (None, Some(_)) => b'i',
            (Some(_), None) => b't',
            (Some(_), Some(_)) => b'b',
        });
        let ty = ty.map(|ty| self.type_name(ty)).transpose()?;
        let above = above.map(|above| self.filled(above, slots)).transpose()?;
        Ok(match (ty, above) {
            (None, None) => Scope::Any,
            (None, Some(uid)) => Scope::In(uid),
            (Some(ty), None) => Scope::Is(ty),
            (Some(ty), Some(uid)) => Scope::IsIn(ty, uid),
        })
    }

    fn filled(&mut self, entity: &pst::EntityOrSlot, slots: &Slots) -> Result<Uid, LowerError> {
        let unfilled = || LowerError::Unsupported("a template slot that is not filled".into());
        match entity {
            pst::EntityOrSlot::Entity(uid) => self.uid(uid),
            pst::EntityOrSlot::Slot(pst::SlotId::Principal) => {
                self.slot(slots.principal.as_ref().ok_or_else(unfilled)?)
            }
            pst::EntityOrSlot::Slot(pst::SlotId::Resource) => {
                self.slot(slots.resource.as_ref().ok_or_else(unfilled)?)
            }
            pst::EntityOrSlot::Slot(_) => Err(unfilled()),
        }
    }

    /// Lowers an expression that stands `depth` levels deep.
    fn expr(&mut self, expr: &pst::Expr, depth: usize) -> Result<NodeId, LowerError> {
        self.limits.check(Limit::ExpressionDepth, depth)?;
        let below = if is_connective(expr) {
            depth
        } else {
            depth + 1
        };
        let node = match expr {
            pst::Expr::Literal(literal) => return self.literal(literal),
            pst::Expr::Var(var) => {
                let (var, mark) = match var {
                    pst::Var::Principal => (Var::Principal, b'P'),
                    pst::Var::Action => (Var::Action, b'A'),
                    pst::Var::Resource => (Var::Resource, b'R'),
                    pst::Var::Context => {
                        self.context = ContextUse::Whole;
                        (Var::Context, b'C')
                    }
                };
                self.mark(mark);
                Node::Var(var)
            }
            pst::Expr::UnaryOp { op, expr } => self.unary(*op, expr, below)?,
            pst::Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, below)?,
            pst::Expr::GetAttr { expr, attr } => {
                self.mark(b'.');
                self.text(attr);
                let key = self.names.sym(attr)?;
                let base = self.attribute_base(expr, below)?;
                match self.nodes.get(base.index()) {
                    // Nothing else refers to the variable's node, and nothing ever reports it: variables cannot fail.
                    Some(Node::Var(var)) => {
                        let node = Node::VarAttr(*var, key);
                        self.nodes.truncate(base.index());
                        node
                    }
                    _ => Node::GetAttr(base, key),
                }
            }
            pst::Expr::HasAttr { expr, attrs } => {
                self.mark(b'h');
                self.count(attrs.len());
                let keys = attrs
                    .iter()
                    .map(|attr| {
                        self.text(attr);
                        self.names.sym(attr)
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let base = self.attribute_base(expr, below)?;
                match keys[..] {
                    [key] => Node::HasAttr(base, key),
                    _ => Node::HasPath(base, self.key_list(&keys)?),
                }
            }
            pst::Expr::Like { expr, pattern } => {
                self.mark(b'~');
                self.count(pattern.len());
                let parts: Vec<PatternPart> = pattern
                    .iter()
                    .map(|part| match part {
                        pst::PatternElem::Char(c) => PatternPart::Char(*c),
                        pst::PatternElem::Wildcard => PatternPart::Any,
                    })
                    .collect();
                for part in &parts {
                    match part {
                        PatternPart::Any => self.mark(b'*'),
                        PatternPart::Char(c) => {
                            self.mark(b'c');
                            self.hash.update(u32::from(*c).to_le_bytes());
                        }
                    }
                }
                let index = u32::try_from(self.patterns.len()).map_err(|_| TableFull)?;
                self.patterns.push(Pattern::new(parts));
                Node::Like(self.expr(expr, below)?, index)
            }
            pst::Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                self.mark(if in_expr.is_some() { b'b' } else { b't' });
                let ty = self.type_name(entity_type)?;
                let expr = self.expr(expr, below)?;
                match in_expr {
                    None => Node::Is(expr, ty),
                    Some(above) => Node::IsIn(expr, ty, self.expr(above, below)?),
                }
            }
            pst::Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => {
                self.mark(b'?');
                Node::If(
                    self.expr(cond, below)?,
                    self.expr(then_expr, below)?,
                    self.expr(else_expr, below)?,
                )
            }
            pst::Expr::Set(items) => {
                self.mark(b'[');
                self.count(items.len());
                self.limits.check(Limit::SetElements, items.len())?;
                let items = items
                    .iter()
                    .map(|item| self.expr(item, below))
                    .collect::<Result<Vec<_>, _>>()?;
                Node::Set(self.list(items)?)
            }
            pst::Expr::Record(fields) => match self.marked_call(fields) {
                Some((function, args)) => {
                    self.mark(b'(');
                    self.text(function.name());
                    self.count(args.len());
                    let args = args
                        .iter()
                        .map(|arg| self.expr(arg, below))
                        .collect::<Result<Vec<_>, _>>()?;
                    Node::CallAny(function, self.list(args)?)
                }
                None => {
                    self.mark(b'{');
                    self.count(fields.len());
                    let mut keys = Vec::with_capacity(fields.len());
                    let mut values = Vec::with_capacity(fields.len());
                    // A BTreeMap: in key order, which is the order Cedar evaluates in.
                    for (key, value) in fields {
                        self.text(key);
                        keys.push(self.names.sym(key)?);
                        values.push(self.expr(value, below)?);
                    }
                    let keys = self.key_list(&keys)?;
                    Node::Record(self.list(values)?, keys.start)
                }
            },
            pst::Expr::Slot(_) => {
                return Err(LowerError::Unsupported("a slot in a condition".into()));
            }
            pst::Expr::Unknown { .. } => {
                return Err(LowerError::Unsupported(
                    "`unknown` (partial evaluation)".into(),
                ));
            }
            other => return Err(LowerError::Unsupported(format!("{other:?}"))),
        };
        self.push(node)
    }

    /// The expression left of `.` or `has`. There, and only there, `context` does not count as used whole.
    fn attribute_base(&mut self, expr: &pst::Expr, depth: usize) -> Result<NodeId, LowerError> {
        let before = self.context;
        let node = self.expr(expr, depth)?;
        if matches!(expr, pst::Expr::Var(pst::Var::Context)) {
            self.context = before;
        }
        Ok(node)
    }

    fn unary(
        &mut self,
        op: pst::UnaryOp,
        expr: &pst::Expr,
        depth: usize,
    ) -> Result<Node, LowerError> {
        use pst::UnaryOp as Op;
        let name = unary_name(op).ok_or_else(|| LowerError::Unsupported(format!("{op:?}")))?;
        self.mark(b'1');
        self.text(name);
        let arg = self.expr(expr, depth)?;
        Ok(match op {
            Op::Not => Node::Not(arg),
            Op::Neg => Node::Neg(arg),
            Op::IsEmpty => Node::IsEmpty(arg),
            _ => match Extension::from_name(name) {
                Some(function) => Node::Call1(function, arg),
                None => return Err(LowerError::Unsupported(name.into())),
            },
        })
    }

    fn binary(
        &mut self,
        op: pst::BinaryOp,
        left: &pst::Expr,
        right: &pst::Expr,
        depth: usize,
    ) -> Result<Node, LowerError> {
        use pst::BinaryOp as Op;
        let name = binary_name(op).ok_or_else(|| LowerError::Unsupported(format!("{op:?}")))?;
        self.mark(b'2');
        self.text(name);
        let (a, b) = (self.expr(left, depth)?, self.expr(right, depth)?);
        Ok(match op {
            Op::And => Node::And(a, b),
            Op::Or => Node::Or(a, b),
            Op::Eq => Node::Equal(a, b),
            Op::NotEq => Node::NotEqual(a, b),
            Op::Less => Node::Less(a, b),
            Op::LessEq => Node::LessEq(a, b),
            Op::Greater => Node::Greater(a, b),
            Op::GreaterEq => Node::GreaterEq(a, b),
            Op::Add => Node::Add(a, b),
            Op::Sub => Node::Sub(a, b),
            Op::Mul => Node::Mul(a, b),
            Op::In => Node::In(a, b),
            Op::Contains => Node::Contains(a, b),
            Op::ContainsAll => Node::ContainsAll(a, b),
            Op::ContainsAny => Node::ContainsAny(a, b),
            Op::GetTag => match self.constant_text(b)? {
                Some(tag) => Node::GetNamedTag(a, tag),
                None => Node::GetTag(a, b),
            },
            Op::HasTag => match self.constant_text(b)? {
                Some(tag) => Node::HasNamedTag(a, tag),
                None => Node::HasTag(a, b),
            },
            _ => match Extension::from_name(name) {
                Some(function) => Node::Call2(function, a, b),
                None => return Err(LowerError::Unsupported(name.into())),
            },
        })
    }

    /// The name that a node is, if it is a string constant, which is then taken back: it is the last one made.
    fn constant_text(&mut self, node: NodeId) -> Result<Option<Sym>, LowerError> {
        let Some(Node::Constant(index)) = self.nodes.get(node.index()) else {
            return Ok(None);
        };
        let Some(Stored::String(text)) = self.constants.get(*index as usize) else {
            return Ok(None);
        };
        let name = self.names.sym(text)?;
        self.constants.truncate(*index as usize);
        self.nodes.truncate(node.index());
        Ok(Some(name))
    }

    fn marked_call<'e>(
        &self,
        fields: &'e BTreeMap<String, Arc<pst::Expr>>,
    ) -> Option<(Extension, &'e [Arc<pst::Expr>])> {
        if self.marked {
            arity::marked_call(fields)
        } else {
            None
        }
    }

    fn literal(&mut self, literal: &pst::Literal) -> Result<NodeId, LowerError> {
        match literal {
            pst::Literal::Bool(b) => {
                self.mark(if *b { b'T' } else { b'F' });
                self.push_node(Node::Bool(*b))
            }
            pst::Literal::Long(i) => {
                self.mark(b'L');
                self.hash.update(i.to_le_bytes());
                self.constant(Stored::Long(*i))
            }
            pst::Literal::String(s) => {
                self.mark(b'S');
                self.text(s);
                self.constant(Stored::String(s.as_str().into()))
            }
            pst::Literal::EntityUID(uid) => {
                self.mark(b'E');
                let uid = self.uid(uid)?;
                self.constant(Stored::Entity(uid))
            }
            other => Err(LowerError::Unsupported(format!("{other:?}"))),
        }
    }

    /// Adds a node, or the constant that it computes to.
    fn push(&mut self, node: Node) -> Result<NodeId, LowerError> {
        if self.fold
            && let Some(constant) = super::fold::fold(self, node)
        {
            return self.constant(constant);
        }
        self.push_node(node)
    }

    fn push_node(&mut self, node: Node) -> Result<NodeId, LowerError> {
        let id = NodeId::known(self.nodes.len()).ok_or(TableFull)?;
        self.nodes.push(node);
        Ok(id)
    }

    fn constant(&mut self, constant: Stored) -> Result<NodeId, LowerError> {
        if let Stored::Bool(b) = constant {
            return self.push_node(Node::Bool(b));
        }
        let index = u32::try_from(self.constants.len()).map_err(|_| TableFull)?;
        self.constants.push(constant);
        self.push_node(Node::Constant(index))
    }

    fn list(&mut self, items: Vec<NodeId>) -> Result<Span, LowerError> {
        let span = span(self.children.len(), items.len())?;
        self.children.extend(items);
        Ok(span)
    }

    fn key_list(&mut self, keys: &[Sym]) -> Result<Span, LowerError> {
        let span = span(self.keys.len(), keys.len())?;
        self.keys.extend_from_slice(keys);
        Ok(span)
    }

    pub(super) fn children(&self, span: Span) -> &[NodeId] {
        let start = span.start as usize;
        self.children
            .get(start..start + span.len as usize)
            .unwrap_or_default()
    }

    pub(super) fn keys_from(&self, start: u32, len: u32) -> &[Sym] {
        let start = start as usize;
        self.keys
            .get(start..start + len as usize)
            .unwrap_or_default()
    }

    pub(super) fn type_of(&self, uid: Uid) -> Option<TypeId> {
        self.names.type_of(uid)
    }

    fn uid(&mut self, uid: &pst::EntityUID) -> Result<Uid, LowerError> {
        let type_name = name_text(&uid.ty.0);
        self.text(&type_name);
        self.text(&uid.eid);
        Ok(self.names.uid(&type_name, &uid.eid)?)
    }

    fn slot(&mut self, uid: &EntityUid) -> Result<Uid, LowerError> {
        self.text(uid.type_name());
        self.text(uid.id());
        Ok(self.names.uid(uid.type_name(), uid.id())?)
    }

    fn type_name(&mut self, ty: &pst::EntityType) -> Result<TypeId, LowerError> {
        let type_name = name_text(&ty.0);
        self.text(&type_name);
        Ok(self.names.add_type(&type_name)?)
    }

    // What the digest covers, written as the tree is walked: a mark for the kind of node, then its parts;
    // texts and lists with their length first, so that no two trees write the same bytes.

    fn mark(&mut self, mark: u8) {
        self.hash.update([mark]);
    }

    fn count(&mut self, count: usize) {
        self.hash.update(length(count));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.hash.update(text);
    }
}

/// The values of a link's slots; none for a static policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    pub(crate) principal: Option<EntityUid>,
    pub(crate) resource: Option<EntityUid>,
}

/// Whether the limit on depth leaves the node out; see there.
fn is_connective(expr: &pst::Expr) -> bool {
    matches!(
        expr,
        pst::Expr::UnaryOp {
            op: pst::UnaryOp::Not,
            ..
        } | pst::Expr::BinaryOp {
            op: pst::BinaryOp::And | pst::BinaryOp::Or,
            ..
        }
    )
}

fn length(len: usize) -> [u8; 8] {
    (len as u64).to_le_bytes()
}

fn span(start: usize, len: usize) -> Result<Span, TableFull> {
    Ok(Span {
        start: u32::try_from(start).map_err(|_| TableFull)?,
        len: u32::try_from(len).map_err(|_| TableFull)?,
    })
}

/// A type name as Cedar prints it: `Namespace::Type`.
fn name_text(name: &pst::Name) -> String {
    name.to_string()
}

fn unary_name(op: pst::UnaryOp) -> Option<&'static str> {
    use pst::UnaryOp as Op;
    Some(match op {
        Op::Not => "!",
        Op::Neg => "neg",
        Op::IsEmpty => "isEmpty",
        Op::Datetime => "datetime",
        Op::Decimal => "decimal",
        Op::Duration => "duration",
        Op::Ip => "ip",
        Op::IsIPv4 => "isIpv4",
        Op::IsIPV6 => "isIpv6",
        Op::IsLoopback => "isLoopback",
        Op::IsMulticast => "isMulticast",
        Op::ToDate => "toDate",
        Op::ToTime => "toTime",
        Op::ToMilliseconds => "toMilliseconds",
        Op::ToSeconds => "toSeconds",
        Op::ToMinutes => "toMinutes",
        Op::ToHours => "toHours",
        Op::ToDays => "toDays",
        _ => return None,
    })
}

fn binary_name(op: pst::BinaryOp) -> Option<&'static str> {
    use pst::BinaryOp as Op;
    Some(match op {
        Op::And => "&&",
        Op::Or => "||",
        Op::Eq => "==",
        Op::NotEq => "!=",
        Op::Less => "<",
        Op::LessEq => "<=",
        Op::Greater => ">",
        Op::GreaterEq => ">=",
        Op::Add => "+",
        Op::Sub => "-",
        Op::Mul => "*",
        Op::In => "in",
        Op::Contains => "contains",
        Op::ContainsAll => "containsAll",
        Op::ContainsAny => "containsAny",
        Op::GetTag => "getTag",
        Op::HasTag => "hasTag",
        Op::IsInRange => "isInRange",
        Op::Offset => "offset",
        Op::DurationSince => "durationSince",
        Op::DecimalLessThan => "lessThan",
        Op::DecimalLessEq => "lessThanOrEqual",
        Op::DecimalGreater => "greaterThan",
        Op::DecimalGreaterEq => "greaterThanOrEqual",
        _ => return None,
    })
}
