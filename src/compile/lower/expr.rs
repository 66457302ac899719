//! Conditions: one walk over the language, which makes a node of each expression and digests its meaning.
//!
//! What each construct adds to the digest is marked by a byte of its own, before its operands.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst;

use crate::compile::arity;
use crate::id::{NodeId, Sym};
use crate::limits::Limit;
use crate::program::{ContextUse, Node, Span, Var};
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::ops::Extension;
use crate::value::{Pattern, PatternPart, Stored};

use super::{LowerError, Lowering};

impl Lowering {
    /// Lowers an expression that stands `depth` levels deep.
    pub(super) fn expr(&mut self, expr: &pst::Expr, depth: usize) -> Result<NodeId, LowerError> {
        self.limits.check(Limit::ExpressionDepth, depth)?;
        let before = self.out.mark();
        let below = if is_connective(expr) {
            depth
        } else {
            depth + 1
        };
        let node = match expr {
            pst::Expr::Literal(literal) => return self.literal(literal),
            pst::Expr::Var(var) => self.variable(var),
            pst::Expr::UnaryOp { op, expr } => self.unary(*op, expr, below)?,
            pst::Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, below)?,
            pst::Expr::GetAttr { expr, attr } => self.get_attr(expr, attr, below)?,
            pst::Expr::HasAttr { expr, attrs } => {
                let attrs: Vec<&str> = attrs.iter().map(|attr| attr.as_str()).collect();
                self.has_attr(expr, &attrs, below)?
            }
            pst::Expr::Like { expr, pattern } => {
                let pattern = self.pattern(pattern)?;
                Node::Like(self.expr(expr, below)?, pattern)
            }
            pst::Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => self.is(expr, entity_type, in_expr.as_deref(), below)?,
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
                Node::Set(self.exprs(items, below)?)
            }
            pst::Expr::Record(fields) => match self.marked_call(fields) {
                Some((function, args)) => {
                    self.hash.mark(b'(');
                    self.hash.text(function.name());
                    self.hash.count(args.len());
                    Node::CallAny(function, self.exprs(args, below)?)
                }
                None => self.record(fields, below)?,
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
        self.push(node, before)
    }

    fn exprs(&mut self, exprs: &[Arc<pst::Expr>], depth: usize) -> Result<Span, LowerError> {
        let nodes = exprs
            .iter()
            .map(|expr| self.expr(expr, depth))
            .collect::<Result<Vec<_>, _>>()?;
        self.list(nodes)
    }

    fn variable(&mut self, var: &pst::Var) -> Node {
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

    fn get_attr(&mut self, expr: &pst::Expr, attr: &str, depth: usize) -> Result<Node, LowerError> {
        self.hash.mark(b'.');
        self.hash.text(attr);
        let key = self.out.program.names.sym(attr)?;
        let base = self.attribute_base(expr, depth)?;
        Ok(match self.out.program.nodes.get(base.index()) {
            // Nothing else refers to the variable's node, and nothing ever reports it: variables cannot fail.
            Some(Node::Var(var)) => {
                let node = Node::VarAttr(*var, key);
                self.out.program.nodes.truncate(base.index());
                node
            }
            _ => Node::GetAttr(base, key),
        })
    }

    fn has_attr(
        &mut self,
        expr: &pst::Expr,
        attrs: &[&str],
        depth: usize,
    ) -> Result<Node, LowerError> {
        self.hash.mark(b'h');
        self.hash.count(attrs.len());
        let mut keys = Vec::with_capacity(attrs.len());
        for attr in attrs {
            self.hash.text(attr);
            keys.push(self.out.program.names.sym(attr)?);
        }
        let base = self.attribute_base(expr, depth)?;
        Ok(match keys[..] {
            [key] => Node::HasAttr(base, key),
            _ => Node::HasPath(base, self.key_list(&keys)?),
        })
    }

    fn is(
        &mut self,
        expr: &pst::Expr,
        entity_type: &pst::EntityType,
        above: Option<&pst::Expr>,
        depth: usize,
    ) -> Result<Node, LowerError> {
        self.hash.mark(if above.is_some() { b'b' } else { b't' });
        let ty = self.type_id(entity_type)?;
        self.hash.text(self.out.program.names.type_text(ty));
        let expr = self.expr(expr, depth)?;
        Ok(match above {
            None => Node::Is(expr, ty),
            Some(above) => Node::IsIn(expr, ty, self.expr(above, depth)?),
        })
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

    /// Keeps a pattern and gives its number.
    fn pattern(&mut self, pattern: &[pst::PatternElem]) -> Result<u32, LowerError> {
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
        let number = u32::try_from(self.out.program.patterns.len()).map_err(|_| TableFull)?;
        self.out.program.patterns.push(Pattern::new(parts));
        Ok(number)
    }

    /// A `BTreeMap`: in key order, which is the order Cedar evaluates in.
    fn record(
        &mut self,
        fields: &BTreeMap<String, Arc<pst::Expr>>,
        depth: usize,
    ) -> Result<Node, LowerError> {
        self.hash.mark(b'{');
        self.hash.count(fields.len());
        let mut keys = Vec::with_capacity(fields.len());
        let mut values = Vec::with_capacity(fields.len());
        for (key, value) in fields {
            self.hash.text(key);
            keys.push(self.out.program.names.sym(key)?);
            values.push(self.expr(value, depth)?);
        }
        let keys = self.key_list(&keys)?;
        Ok(Node::Record(self.list(values)?, keys.start))
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
