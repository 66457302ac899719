//! A policy as it is written: its conditions and their places in the text that it was loaded from.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::compile::outline::Outline;
use crate::compile::{line_column, stack};
use crate::epoch::Epoch;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::program::{Body, Node, Policy, Program, Var};
use crate::value::text::Short;

use super::{Clause, Condition, ExplainOptions, ExplainedPolicy, Line, Place, ScopeMiss, Source};

/// A policy as it is written.
pub(super) struct Written<'p> {
    pub(super) program: &'p Program,
    policy: &'p Policy,
    /// Its number in the program.
    pub(super) number: u32,
    body: &'p Body,
    options: &'p ExplainOptions,
    /// The text that it was loaded from, and its bytes there.
    text: Option<(&'p str, Range<usize>)>,
    outline: Option<Outline>,
}

impl<'p> Written<'p> {
    pub(super) fn new(
        program: &'p Program,
        policy: &'p Policy,
        number: u32,
        body: &'p Body,
        options: &'p ExplainOptions,
    ) -> Self {
        let text = program.source(policy).map(|(source, span)| {
            let bytes = span.start as usize..span.end as usize;
            (&*source.text, bytes)
        });
        let own = text
            .as_ref()
            .and_then(|(text, bytes)| text.get(bytes.clone()));
        // Reading recurses as Cedar's parser does, though on far less: whatever that could read, its stack suffices for.
        let read = |own| {
            let read = || Outline::new(program, body, own);
            stack::with_parser_stack(&Limits::default(), read).ok()?
        };
        let outline = own.and_then(read);
        Self {
            program,
            policy,
            number,
            body,
            options,
            text,
            outline,
        }
    }

    pub(super) fn short(&self, write: impl FnOnce(&mut Short) -> fmt::Result) -> String {
        Short::of(self.options.text_bytes, write)
    }

    /// Its annotations, their values as short as values are told.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let annotations = self.body.annotations.iter();
        annotations
            .map(|(name, value)| (name.to_string(), self.short(|f| f.write_str(value))))
            .collect()
    }

    pub(super) fn count(&self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// The number and kind of the clause that a conjunct is of.
    pub(super) fn clause_of(&self, conjunct: NodeId) -> Option<(u32, Clause)> {
        let conditions = self
            .program
            .conditions(self.body)
            .iter()
            .zip(&self.body.unless);
        let mut conditions = conditions.zip(0..);
        conditions.find_map(|((condition, unless), number)| {
            let clause = if *unless {
                Clause::Unless
            } else {
                Clause::When
            };
            self.has_conjunct(*condition, conjunct)
                .then_some((number, clause))
        })
    }

    fn has_conjunct(&self, condition: NodeId, conjunct: NodeId) -> bool {
        let condition = self.program.expression(condition);
        if condition == self.program.expression(conjunct) {
            return true;
        }
        match self.program.nodes.get(condition.index()) {
            Some(Node::And(a, b)) => {
                self.has_conjunct(*a, conjunct) || self.has_conjunct(*b, conjunct)
            }
            _ => false,
        }
    }

    pub(super) fn condition(&self, conjunct: NodeId) -> Option<Condition> {
        let (number, clause) = self.clause_of(conjunct)?;
        Some(Condition {
            clause,
            number,
            expression: self.expression(self.written(conjunct)),
            place: self.place_of(self.written(conjunct)),
        })
    }

    /// The expression that a conjunct is written as: without the negation of `unless`.
    fn written(&self, conjunct: NodeId) -> NodeId {
        let conjunct = self.program.expression(conjunct);
        match self.program.nodes.get(conjunct.index()) {
            Some(Node::Not(inner))
                if matches!(self.clause_of(conjunct), Some((_, Clause::Unless))) =>
            {
                self.program.expression(*inner)
            }
            _ => conjunct,
        }
    }

    /// Whether a node is all that is left of an `unless` clause: a constant, and the negation of what is written.
    pub(super) fn is_negated(&self, node: NodeId) -> bool {
        let node = self.program.expression(node);
        let is_constant = matches!(self.program.nodes.get(node.index()), Some(Node::Bool(_)));
        let conditions = self.program.conditions(self.body).iter();
        let mut unless = conditions
            .zip(&self.body.unless)
            .filter(|(_, unless)| **unless);
        is_constant && unless.any(|(condition, _)| self.program.expression(*condition) == node)
    }

    /// An expression as it is written, or else made from the tree.
    pub(super) fn expression(&self, node: NodeId) -> String {
        let bytes = self.bytes_of(node);
        match (&self.text, bytes) {
            (Some((text, _)), Some(bytes)) => {
                let written = text.get(bytes).unwrap_or_default();
                self.short(|f| fmt::Write::write_str(f, written))
            }
            _ => match self
                .program
                .nodes
                .get(self.program.expression(node).index())
            {
                Some(Node::Bool(b)) if self.is_negated(node) => (!b).to_string(),
                _ => self.short(|f| self.program.write_expression(node, f)),
            },
        }
    }

    /// An expression's bytes in the text that the policy was loaded from.
    fn bytes_of(&self, node: NodeId) -> Option<Range<usize>> {
        let outline = self.outline.as_ref()?;
        let node = self.program.expression(node);
        let own = outline.expression(node).or_else(|| outline.negated(node));
        self.absolute(own?)
    }

    fn absolute(&self, own: Range<usize>) -> Option<Range<usize>> {
        let (_, bytes) = self.text.as_ref()?;
        Some(bytes.start + own.start..bytes.start + own.end)
    }

    pub(super) fn place_of(&self, node: NodeId) -> Option<Place> {
        self.place(self.bytes_of(node)?)
    }

    fn place(&self, bytes: Range<usize>) -> Option<Place> {
        let (text, _) = self.text.as_ref()?;
        let (line, column) = line_column(text, bytes.start);
        let written = text.get(bytes.clone())?;
        let first = written.lines().next().unwrap_or_default();
        Some(Place {
            line,
            column,
            width: self.count(first.chars().count()),
            bytes,
        })
    }

    /// The sides of the scope that do not match.
    pub(super) fn scope(&self, misses: [bool; 3]) -> Vec<ScopeMiss> {
        let (program, policy) = (self.program, self.policy);
        let sides = [
            (
                Var::Principal,
                self.short(|f| program.write_scope(Var::Principal, policy.principal, f)),
            ),
            (
                Var::Action,
                self.short(|f| program.write_action_scope(policy, f)),
            ),
            (
                Var::Resource,
                self.short(|f| program.write_scope(Var::Resource, policy.resource, f)),
            ),
        ];
        let place = |side: usize| {
            let own = self.outline.as_ref()?.scope.get(side)?.clone();
            self.place(self.absolute(own)?)
        };
        sides
            .into_iter()
            .zip(misses)
            .enumerate()
            .filter(|(_, (_, missed))| *missed)
            .map(|(side, ((var, expression), _))| ScopeMiss {
                side: var.name(),
                expression,
                place: place(side),
            })
            .collect()
    }

    /// Where the policy is written, with the lines that are pointed at.
    pub(super) fn source(&self, told: &ExplainedPolicy) -> Option<Source> {
        let reasons = told.reasons.iter().map(|reason| &reason.place);
        let scope = told.scope.iter().map(|miss| &miss.place);
        let condition = told.condition.iter().map(|condition| &condition.place);
        self.source_of(reasons.chain(scope).chain(condition).flatten())
    }

    fn source_of<'q>(&self, places: impl IntoIterator<Item = &'q Place>) -> Option<Source> {
        let (text, bytes) = self.text.as_ref()?;
        let effect = match &self.outline {
            Some(outline) => self.absolute(outline.effect.clone())?.start,
            None => bytes.start,
        };
        let (line, column) = line_column(text, effect);
        let mut starts: Vec<(u32, usize)> = places
            .into_iter()
            .map(|place| (place.line, place.bytes.start))
            .chain([(line, effect)])
            .collect();
        starts.sort_unstable();
        starts.dedup_by_key(|(line, _)| *line);
        let lines = starts.into_iter().map(|(number, at)| {
            let before = text.get(..at).unwrap_or_default();
            let start = before.rfind('\n').map_or(0, |end| end + 1);
            let line = text.get(start..).unwrap_or_default();
            let line = line.lines().next().unwrap_or_default();
            Line {
                number,
                text: self.short(|f| fmt::Write::write_str(f, line)),
            }
        });
        let (source, _) = self.program.source(self.policy)?;
        Some(Source {
            file: source.file_of_text().map(str::to_owned),
            line,
            column,
            lines: lines.collect(),
        })
    }
}

/// The conditions of a policy by their place in [`Fate`](crate::eval::Fate), and where the policy is written: its file, if
/// it has one, and its line. `None` for what is a constant, and so says nothing of a request.
pub(crate) fn conditions(epoch: &Epoch, policy: u32) -> (Vec<Option<Condition>>, Option<Source>) {
    let (segment, number) = epoch.policy(policy);
    let program = &*segment.program;
    let options = ExplainOptions::default();
    let told = program.policies.get(number as usize).and_then(|policy| {
        let body = program.body(policy)?;
        let at = Written::new(program, policy, number, body, &options);
        let conjuncts = program.children(body.conjuncts).iter();
        let conditions = conjuncts.map(|conjunct| {
            let node = program.nodes.get(program.expression(*conjunct).index());
            let is_constant = matches!(node, Some(Node::Bool(_)));
            (!is_constant).then(|| at.condition(*conjunct)).flatten()
        });
        Some((conditions.collect(), at.source_of([])))
    });
    told.unwrap_or_default()
}
