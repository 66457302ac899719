//! From text to Cedar's syntax trees.

use std::str::FromStr;

use cedar_policy::{self as cedar, PolicySet, Template, pst};

use crate::compile::arity;
use crate::compile::lower::{LowerError, Tree};

use super::shape::Holes;

/// A policy or template, parsed by Cedar.
#[derive(Clone, Debug)]
pub(super) enum Parsed {
    Static(cedar::Policy),
    Template(Template),
}

impl Parsed {
    pub(super) fn id(&self) -> &cedar::PolicyId {
        match self {
            Self::Static(policy) => policy.id(),
            Self::Template(template) => template.id(),
        }
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        match self {
            Self::Static(policy) => policy.annotation(key),
            Self::Template(template) => template.annotation(key),
        }
    }

    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Static(policy) => policy.to_cedar(),
            Self::Template(template) => Some(template.to_cedar()),
        }
    }
}

/// The statements of a text, in order.
pub(super) fn statements(text: &str) -> Result<Vec<Parsed>, Box<cedar::ParseErrors>> {
    let set = PolicySet::from_str(text)?;
    // Cedar numbers statics and templates of one text together, by position.
    let policies = set
        .policies()
        .map(|policy| (position(policy.id()), Parsed::Static(policy.clone())));
    let templates = set
        .templates()
        .map(|template| (position(template.id()), Parsed::Template(template.clone())));
    let mut parsed: Vec<(usize, Parsed)> = policies.chain(templates).collect();
    parsed.sort_by_key(|(position, _)| *position);
    Ok(parsed.into_iter().map(|(_, parsed)| parsed).collect())
}

/// The number in Cedar's `policyN`.
fn position(id: &cedar::PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.strip_prefix("policy")
        .and_then(|number| number.parse().ok())
        .unwrap_or(usize::MAX)
}

/// A syntax tree to lower.
#[derive(Clone, Debug)]
pub(super) struct OwnedTree {
    tree: TreeKind,
    marked: bool,
}

#[derive(Clone, Debug)]
enum TreeKind {
    Static(Box<pst::StaticPolicy>),
    Template(Box<pst::Template>),
}

impl OwnedTree {
    /// The syntax tree of a policy; calls of the wrong arity, which it cannot hold, are marked in it.
    pub(super) fn of(parsed: &Parsed) -> Result<Self, LowerError> {
        match parsed {
            Parsed::Static(policy) => Self::of_static(policy),
            Parsed::Template(template) => Self::of_template(template),
        }
    }

    fn of_static(policy: &cedar::Policy) -> Result<Self, LowerError> {
        let (tree, marked) = match policy.to_pst() {
            Ok(tree) => (tree, false),
            Err(pst::PstConstructionError::WrongArity(_)) => {
                let json = marked_json(policy.to_json().map_err(unsupported)?)?;
                let policy = cedar::Policy::from_json(Some(policy.id().clone()), json)
                    .map_err(unsupported)?;
                (policy.try_into_pst().map_err(unsupported)?, true)
            }
            Err(error) => return Err(unsupported(error)),
        };
        match tree {
            pst::Policy::Static(tree) => Ok(Self {
                tree: TreeKind::Static(Box::new(tree)),
                marked,
            }),
            pst::Policy::Linked(_) => Err(unsupported("a link in place of a static policy")),
        }
    }

    fn of_template(template: &Template) -> Result<Self, LowerError> {
        let (tree, marked) = match template.to_pst() {
            Ok(tree) => (tree, false),
            Err(pst::PstConstructionError::WrongArity(_)) => {
                let json = marked_json(template.to_json().map_err(unsupported)?)?;
                let template =
                    Template::from_json(Some(template.id().clone()), json).map_err(unsupported)?;
                (template.try_into_pst().map_err(unsupported)?, true)
            }
            Err(error) => return Err(unsupported(error)),
        };
        Ok(Self {
            tree: TreeKind::Template(Box::new(tree)),
            marked,
        })
    }

    /// The tree with what stands in its holes.
    pub(super) fn view(&self, holes: Holes) -> Tree<'_> {
        Tree {
            tree: self.template(),
            is_template: matches!(self.tree, TreeKind::Template(_)),
            marked: self.marked,
            holes,
        }
    }

    fn template(&self) -> &pst::Template {
        match &self.tree {
            TreeKind::Static(tree) => tree.body(),
            TreeKind::Template(tree) => tree,
        }
    }

    /// How many clauses it has.
    pub(super) fn clauses(&self) -> usize {
        self.template().clauses().len()
    }

    /// The value of an annotation. One without a value has the empty text.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        let mut annotations = self.template().annotations.iter();
        annotations.find_map(|(name, value)| (name.as_str() == key).then(|| value.as_str()))
    }
}

fn marked_json(mut json: serde_json::Value) -> Result<serde_json::Value, LowerError> {
    if arity::contains_mark(&json) {
        return Err(unsupported("a record key that is reserved for this crate"));
    }
    arity::mark_wrong_arity(&mut json);
    Ok(json)
}

fn unsupported(what: impl std::fmt::Display) -> LowerError {
    LowerError::Unsupported(what.to_string())
}
