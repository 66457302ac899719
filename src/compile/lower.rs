//! From Cedar's public syntax tree to the program's nodes.
//!
//! With `load/parse.rs` and `arity.rs` the only importer of `cedar_policy`'s trees. Their enums are
//! `#[non_exhaustive]`: what is not known here is refused at load, never guessed. Long, because it is one walk over
//! the whole language that lowers and digests at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst;

use crate::decision::Effect;
use crate::id::{NodeId, PolicyId, Sym, TypeId, Uid};
use crate::limits::{Limit, LimitExceeded, Limits};
use crate::program::{
    ActionScope, Body, ContextUse, DigestWriter, Mark, NewPolicy, Node, ProgramBuilder, Scope,
    SourceSpan, Span, Target, Template, Var, span,
};
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::ops::Extension;
use crate::value::{Pattern, PatternPart, Stored};

use super::arity;
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
    /// Whether the body being lowered went through [`arity::mark_wrong_arity`]: only then is a marked record
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
            return Ok(Some(self.out.template(template)?));
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

    /// Refuses the policy that is one too many.
    pub(crate) fn check_count(&self) -> Result<(), LowerError> {
        let count = self.out.program.policies.len();
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
                let mut condition = self.expr(expr, 1)?;
                if negated {
                    condition = self.push(Node::Not(condition))?;
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
                        self.out.program.context = ContextUse::Whole;
                        (Var::Context, b'C')
                    }
                };
                self.hash.mark(mark);
                Node::Var(var)
            }
            pst::Expr::UnaryOp { op, expr } => self.unary(*op, expr, below)?,
            pst::Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, below)?,
            pst::Expr::GetAttr { expr, attr } => {
                self.hash.mark(b'.');
                self.hash.text(attr);
                let key = self.out.program.names.sym(attr)?;
                let base = self.attribute_base(expr, below)?;
                match self.out.program.nodes.get(base.index()) {
                    // Nothing else refers to the variable's node, and nothing ever reports it: variables cannot fail.
                    Some(Node::Var(var)) => {
                        let node = Node::VarAttr(*var, key);
                        self.out.program.nodes.truncate(base.index());
                        node
                    }
                    _ => Node::GetAttr(base, key),
                }
            }
            pst::Expr::HasAttr { expr, attrs } => {
                self.hash.mark(b'h');
                self.hash.count(attrs.len());
                let keys = attrs
                    .iter()
                    .map(|attr| {
                        self.hash.text(attr);
                        self.out.program.names.sym(attr)
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let base = self.attribute_base(expr, below)?;
                match keys[..] {
                    [key] => Node::HasAttr(base, key),
                    _ => Node::HasPath(base, self.key_list(&keys)?),
                }
            }
            pst::Expr::Like { expr, pattern } => {
                self.hash.mark(b'~');
                self.hash.count(pattern.len());
                let parts: Vec<PatternPart> = pattern
                    .iter()
                    .map(|part| match part {
                        pst::PatternElem::Char(c) => PatternPart::Char(*c),
                        pst::PatternElem::Wildcard => PatternPart::Any,
                    })
                    .collect();
                for part in &parts {
                    match part {
                        PatternPart::Any => self.hash.mark(b'*'),
                        PatternPart::Char(c) => {
                            self.hash.mark(b'c');
                            self.hash.bytes(&u32::from(*c).to_le_bytes());
                        }
                    }
                }
                let index =
                    u32::try_from(self.out.program.patterns.len()).map_err(|_| TableFull)?;
                self.out.program.patterns.push(Pattern::new(parts));
                Node::Like(self.expr(expr, below)?, index)
            }
            pst::Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                self.hash.mark(if in_expr.is_some() { b'b' } else { b't' });
                let ty = self.type_id(entity_type)?;
                self.hash.text(self.out.program.names.type_text(ty));
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
                self.hash.mark(b'?');
                Node::If(
                    self.expr(cond, below)?,
                    self.expr(then_expr, below)?,
                    self.expr(else_expr, below)?,
                )
            }
            pst::Expr::Set(items) => {
                self.hash.mark(b'[');
                self.hash.count(items.len());
                self.limits.check(Limit::SetElements, items.len())?;
                let items = items
                    .iter()
                    .map(|item| self.expr(item, below))
                    .collect::<Result<Vec<_>, _>>()?;
                Node::Set(self.list(items)?)
            }
            pst::Expr::Record(fields) => match self.marked_call(fields) {
                Some((function, args)) => {
                    self.hash.mark(b'(');
                    self.hash.text(function.name());
                    self.hash.count(args.len());
                    let args = args
                        .iter()
                        .map(|arg| self.expr(arg, below))
                        .collect::<Result<Vec<_>, _>>()?;
                    Node::CallAny(function, self.list(args)?)
                }
                None => {
                    self.hash.mark(b'{');
                    self.hash.count(fields.len());
                    let mut keys = Vec::with_capacity(fields.len());
                    let mut values = Vec::with_capacity(fields.len());
                    // A BTreeMap: in key order, which is the order Cedar evaluates in.
                    for (key, value) in fields {
                        self.hash.text(key);
                        keys.push(self.out.program.names.sym(key)?);
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
        let before = self.out.program.context;
        let node = self.expr(expr, depth)?;
        if matches!(expr, pst::Expr::Var(pst::Var::Context)) {
            self.out.program.context = before;
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
        self.hash.mark(b'1');
        self.hash.text(name);
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
        self.hash.mark(b'2');
        self.hash.text(name);
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
        let Some(Node::Constant(index)) = self.out.program.nodes.get(node.index()) else {
            return Ok(None);
        };
        let Some(Stored::String(text)) = self.out.program.constants.get(*index as usize) else {
            return Ok(None);
        };
        let name = self.out.program.names.sym(text)?;
        self.out.program.constants.truncate(*index as usize);
        self.out.program.nodes.truncate(node.index());
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
                self.hash.mark(if *b { b'T' } else { b'F' });
                self.push_node(Node::Bool(*b))
            }
            pst::Literal::Long(i) => {
                self.hash.mark(b'L');
                self.hash.bytes(&i.to_le_bytes());
                self.constant(Stored::Long(*i))
            }
            pst::Literal::String(s) => {
                let filled = self.holes.filled(s);
                let text = filled.as_deref().unwrap_or(s);
                self.hash.mark(b'S');
                self.hash.text(text);
                self.constant(Stored::String(text.into()))
            }
            pst::Literal::EntityUID(uid) => {
                self.hash.mark(b'E');
                let uid = self.uid(uid)?;
                let (type_name, id) = self.out.program.names.uid_text(uid);
                self.hash.text(type_name);
                self.hash.text(id);
                self.constant(Stored::Entity(uid))
            }
            other => Err(LowerError::Unsupported(format!("{other:?}"))),
        }
    }

    /// Adds a node, or the constant that it computes to.
    fn push(&mut self, node: Node) -> Result<NodeId, LowerError> {
        if self.fold
            && let Some(constant) = super::fold::fold(&self.out.program, node)
        {
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
