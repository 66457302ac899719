//! Expressions as text, made from the tree: for policies whose source is not known.
//!
//! What was folded stands as its value, and brackets stand wherever an operand is not a single word: the text means what
//! the policy means, and need not be how somebody wrote it.

use std::fmt::{self, Write};

use crate::id::{NodeId, Sym, TypeId, Uid};
use crate::value::arena::NameText;
use crate::value::ops::Extension;
use crate::value::text::{is_identifier, write_name, write_string, write_value};

use super::{ActionScope, Node, Policy, Program, Scope, Span, Var};

impl Var {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Action => "action",
            Self::Resource => "resource",
            Self::Context => "context",
        }
    }
}

/// The constructors are called as functions, everything else as a method of its first argument.
fn is_constructor(function: Extension) -> bool {
    matches!(
        function,
        Extension::Decimal | Extension::Ip | Extension::Datetime | Extension::Duration
    )
}

impl Program {
    /// Writes an expression in Cedar's syntax. Recursion is as deep as the expression, which `Limits` bounds at load.
    pub(crate) fn write_expression(&self, id: NodeId, f: &mut impl Write) -> fmt::Result {
        let Some(node) = self.nodes.get(self.expression(id).index()) else {
            return Ok(());
        };
        match *node {
            Node::Bool(b) => write!(f, "{b}"),
            Node::Constant(index) => match self.constants.get(index as usize) {
                Some(constant) => write_value(constant.value(), &self.names, f),
                None => Ok(()),
            },
            Node::Var(var) => f.write_str(var.name()),
            Node::VarAttr(var, key) => {
                f.write_str(var.name())?;
                self.write_attribute(self.names.sym_text(key), f)
            }
            Node::GetAttr(a, key) => {
                self.write_operand(a, f)?;
                self.write_attribute(self.names.sym_text(key), f)
            }
            Node::Not(a) => self.write_prefix("!", a, f),
            Node::Neg(a) => self.write_prefix("-", a, f),
            Node::And(a, b) => self.write_infix(a, "&&", b, f),
            Node::Or(a, b) => self.write_infix(a, "||", b, f),
            Node::Equal(a, b) => self.write_infix(a, "==", b, f),
            Node::NotEqual(a, b) => self.write_infix(a, "!=", b, f),
            Node::Less(a, b) => self.write_infix(a, "<", b, f),
            Node::LessEq(a, b) => self.write_infix(a, "<=", b, f),
            Node::Greater(a, b) => self.write_infix(a, ">", b, f),
            Node::GreaterEq(a, b) => self.write_infix(a, ">=", b, f),
            Node::Add(a, b) => self.write_infix(a, "+", b, f),
            Node::Sub(a, b) => self.write_infix(a, "-", b, f),
            Node::Mul(a, b) => self.write_infix(a, "*", b, f),
            Node::In(a, b) => self.write_infix(a, "in", b, f),
            Node::If(a, b, c) => self.write_if([a, b, c], f),
            Node::IsEmpty(a) => self.write_method(a, "isEmpty", &[], f),
            Node::Contains(a, b) => self.write_method(a, "contains", &[b], f),
            Node::ContainsAll(a, b) => self.write_method(a, "containsAll", &[b], f),
            Node::ContainsAny(a, b) => self.write_method(a, "containsAny", &[b], f),
            Node::GetTag(a, b) => self.write_method(a, "getTag", &[b], f),
            Node::HasTag(a, b) => self.write_method(a, "hasTag", &[b], f),
            Node::GetNamedTag(a, tag) => self.write_tag(a, "getTag", tag, f),
            Node::HasNamedTag(a, tag) => self.write_tag(a, "hasTag", tag, f),
            Node::HasAttr(a, key) => self.write_has(a, &[key], f),
            Node::HasPath(a, keys) => self.write_has(a, self.keys(keys), f),
            Node::Like(a, pattern) => {
                self.write_operand(a, f)?;
                f.write_str(" like ")?;
                self.write_pattern(pattern, f)
            }
            Node::Is(a, ty) => {
                self.write_operand(a, f)?;
                self.write_is(ty, f)
            }
            Node::IsIn(a, ty, above) => {
                self.write_operand(a, f)?;
                self.write_is(ty, f)?;
                f.write_str(" in ")?;
                self.write_operand(above, f)
            }
            Node::Set(items) => {
                f.write_str("[")?;
                self.write_list(self.children(items), f)?;
                f.write_str("]")
            }
            Node::Record(values, keys) => self.write_record(values, keys, f),
            Node::Call1(function, a) => self.write_call(function, &[a], f),
            Node::Call2(function, a, b) => self.write_call(function, &[a, b], f),
            Node::CallAny(function, args) => self.write_call(function, self.children(args), f),
            // `expression` has looked behind it.
            Node::Shared(..) => Ok(()),
        }
    }

    fn write_prefix(&self, op: &str, a: NodeId, f: &mut impl Write) -> fmt::Result {
        f.write_str(op)?;
        self.write_operand(a, f)
    }

    fn write_if(&self, [a, b, c]: [NodeId; 3], f: &mut impl Write) -> fmt::Result {
        f.write_str("if ")?;
        self.write_expression(a, f)?;
        f.write_str(" then ")?;
        self.write_expression(b, f)?;
        f.write_str(" else ")?;
        self.write_expression(c, f)
    }

    /// Only identifiers make a path of several.
    fn write_has(&self, a: NodeId, keys: &[Sym], f: &mut impl Write) -> fmt::Result {
        self.write_operand(a, f)?;
        f.write_str(" has ")?;
        for (number, key) in keys.iter().enumerate() {
            let dot = if number > 0 { "." } else { "" };
            f.write_str(dot)?;
            write_name(self.names.sym_text(*key), f)?;
        }
        Ok(())
    }

    fn write_tag(&self, a: NodeId, method: &str, tag: Sym, f: &mut impl Write) -> fmt::Result {
        self.write_operand(a, f)?;
        write!(f, ".{method}(")?;
        write_string(self.names.sym_text(tag), f)?;
        f.write_str(")")
    }

    fn write_pattern(&self, pattern: u32, f: &mut impl Write) -> fmt::Result {
        f.write_str("\"")?;
        if let Some(pattern) = self.patterns.get(pattern as usize) {
            for (number, piece) in pattern.pieces().into_iter().enumerate() {
                let star = if number > 0 { "*" } else { "" };
                let piece = String::from_utf8_lossy(piece);
                let piece = piece.escape_debug().to_string().replace('*', "\\*");
                write!(f, "{star}{piece}")?;
            }
        }
        f.write_str("\"")
    }

    fn write_record(&self, values: Span, keys: u32, f: &mut impl Write) -> fmt::Result {
        f.write_str("{")?;
        for (number, (key, value)) in self.fields(values, keys).enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            f.write_str(comma)?;
            write_name(self.names.sym_text(key), f)?;
            f.write_str(": ")?;
            self.write_expression(value, f)?;
        }
        f.write_str("}")
    }

    fn write_infix(&self, a: NodeId, op: &str, b: NodeId, f: &mut impl Write) -> fmt::Result {
        self.write_operand(a, f)?;
        write!(f, " {op} ")?;
        self.write_operand(b, f)
    }

    fn write_method(
        &self,
        a: NodeId,
        name: &str,
        args: &[NodeId],
        f: &mut impl Write,
    ) -> fmt::Result {
        self.write_operand(a, f)?;
        write!(f, ".{name}(")?;
        self.write_list(args, f)?;
        f.write_str(")")
    }

    fn write_call(&self, function: Extension, args: &[NodeId], f: &mut impl Write) -> fmt::Result {
        let args = match args {
            [receiver, rest @ ..] if !is_constructor(function) => {
                self.write_operand(*receiver, f)?;
                f.write_str(".")?;
                rest
            }
            args => args,
        };
        write!(f, "{}(", function.name())?;
        self.write_list(args, f)?;
        f.write_str(")")
    }

    fn write_list(&self, items: &[NodeId], f: &mut impl Write) -> fmt::Result {
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            self.write_expression(*item, f)?;
        }
        Ok(())
    }

    /// An operand, in brackets unless it holds together by itself.
    fn write_operand(&self, id: NodeId, f: &mut impl Write) -> fmt::Result {
        let alone = match self.nodes.get(self.expression(id).index()) {
            Some(Node::Constant(index)) => match self.constants.get(*index as usize) {
                Some(constant) => !constant.value().as_long().is_ok_and(i64::is_negative),
                None => true,
            },
            Some(
                Node::Bool(_)
                | Node::Var(_)
                | Node::VarAttr(..)
                | Node::GetAttr(..)
                | Node::GetTag(..)
                | Node::HasTag(..)
                | Node::GetNamedTag(..)
                | Node::HasNamedTag(..)
                | Node::Contains(..)
                | Node::ContainsAll(..)
                | Node::ContainsAny(..)
                | Node::IsEmpty(_)
                | Node::Call1(..)
                | Node::Call2(..)
                | Node::CallAny(..)
                | Node::Set(_)
                | Node::Record(..),
            ) => true,
            _ => false,
        };
        if alone {
            return self.write_expression(id, f);
        }
        f.write_str("(")?;
        self.write_expression(id, f)?;
        f.write_str(")")
    }

    fn write_attribute(&self, name: &str, f: &mut impl Write) -> fmt::Result {
        if is_identifier(name) {
            return write!(f, ".{name}");
        }
        f.write_str("[")?;
        write_string(name, f)?;
        f.write_str("]")
    }

    /// Writes what a policy's scope asks of the principal or resource, slots filled in.
    pub(crate) fn write_scope(&self, var: Var, scope: Scope, f: &mut impl Write) -> fmt::Result {
        f.write_str(var.name())?;
        match scope {
            Scope::Any => Ok(()),
            Scope::Eq(uid) => {
                f.write_str(" == ")?;
                self.write_uid(uid, f)
            }
            Scope::In(uid) => {
                f.write_str(" in ")?;
                self.write_uid(uid, f)
            }
            Scope::Is(ty) => self.write_is(ty, f),
            Scope::IsIn(ty, uid) => {
                self.write_is(ty, f)?;
                f.write_str(" in ")?;
                self.write_uid(uid, f)
            }
        }
    }

    /// Writes what a policy's scope asks of the action.
    pub(crate) fn write_action_scope(&self, policy: &Policy, f: &mut impl Write) -> fmt::Result {
        match policy.action {
            ActionScope::Any => f.write_str("action"),
            ActionScope::Eq(uid) => {
                f.write_str("action == ")?;
                self.write_uid(uid, f)
            }
            ActionScope::In(list) => {
                f.write_str("action in [")?;
                for (number, uid) in list.of(&self.action_lists).iter().enumerate() {
                    let comma = if number > 0 { ", " } else { "" };
                    f.write_str(comma)?;
                    self.write_uid(*uid, f)?;
                }
                f.write_str("]")
            }
        }
    }

    fn write_is(&self, ty: TypeId, f: &mut impl Write) -> fmt::Result {
        write!(f, " is {}", self.names.type_text(ty))
    }

    fn write_uid(&self, uid: Uid, f: &mut impl Write) -> fmt::Result {
        write_value(uid.into(), &self.names, f)
    }
}
