//! From what was decided to its explanation.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bumpalo::Bump;

use crate::authorizer::{Authorizer, Pinned};
use crate::compile::outline::Outline;
use crate::compile::{line_column, stack};
use crate::decision::{Effect, ErrorMode, Outcome};
use crate::epoch::Epoch;
use crate::eval::{self, Fate, Findings, Machine, Reading, Response, Weighed, chain};
use crate::evidence::Hops;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::program::{Body, Node, Policy, Program, Var};
use crate::request::delegation::Delegation;
use crate::request::locals::{Locals, RequestNames};
use crate::request::{Request, RequestError};
use crate::value::text::{Short, write_value};

use super::{
    Clause, Condition, ExplainOptions, ExplainedPolicy, Explanation, Line, Part, Place, Reason,
    ScopeMiss, Seen, Source,
};

impl Authorizer {
    /// Explains what is decided of a request, with the usual [`ExplainOptions`].
    ///
    /// It decides nothing for anybody: no record is made. To explain a decision that was made, take
    /// [`Response::explain`], which looks at the policies and entities of that decision.
    ///
    /// ```
    /// use duramen::explain::Part;
    /// use duramen::{Authorizer, Request};
    ///
    /// let authorizer = Authorizer::builder()
    ///     .policies(r#"permit(principal in Team::"blue", action, resource) when { context.mfa };"#)
    ///     .entities(r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": {},
    ///                     "parents": [{ "type": "Team", "id": "blue" }] }]"#)
    ///     .build()?;
    /// let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"))
    ///     .context_json(r#"{ "mfa": false }"#);
    /// let explanation = authorizer.explain(&request);
    /// assert_eq!(explanation.policies[0].part, Part::Unmet);
    /// assert_eq!(explanation.policies[0].reasons[0].expression, "context.mfa");
    /// # Ok::<(), duramen::BuildError>(())
    /// ```
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        self.explain_with(request, &ExplainOptions::default())
    }

    /// The same, and how much of it.
    pub fn explain_with(&self, request: &Request<'_>, options: &ExplainOptions) -> Explanation {
        self.pin().explain_with(request, options)
    }
}

impl Pinned {
    /// Explains what is decided of a request; as [`Authorizer::explain`].
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        self.explain_with(request, &ExplainOptions::default())
    }

    /// The same, and how much of it.
    pub fn explain_with(&self, request: &Request<'_>, options: &ExplainOptions) -> Explanation {
        let (authorizer, epoch) = self.parts();
        let (reading, mode) = authorizer.reading();
        let request = match authorizer.timed(request) {
            Ok(request) => request,
            Err(error) => return refused(epoch, request, &error),
        };
        let decide = Decide { authorizer, mode };
        if let Some(delegation) = request.delegation {
            let limits = &reading.limits;
            let refusal =
                |hops: &Hops| chain::refusal(delegation, hops, limits, || authorizer.time());
            let asked = (&request, delegation);
            return explain_chain(
                epoch,
                asked,
                reading,
                options,
                refusal,
                |_, epoch, machine| decide.outcome(epoch, machine),
            );
        }
        explain(epoch, &request, reading, options, |epoch, machine| {
            decide.outcome(epoch, machine)
        })
    }
}

impl Response<'_> {
    /// Explains the decision, with the usual [`ExplainOptions`]. `request` must be the request that this is the response
    /// to; policies and entities are those that were decided on.
    ///
    /// Evaluates again: for people, not for hot paths.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        self.explain_with(request, &ExplainOptions::default())
    }

    /// The same, and how much of it.
    pub fn explain_with(&self, request: &Request<'_>, options: &ExplainOptions) -> Explanation {
        let epoch = self.pin.epoch();
        let request = &request.at(self.now);
        if let (None, Some(delegation), Some(decided)) =
            (self.request_error(), request.delegation, self.delegation())
        {
            let outcome = |at| decided.hops().nth(at).and_then(|hop| hop.outcome());
            // What nobody was asked about has no outcome of a hop.
            let refusal = |_: &Hops| outcome(0).is_none().then_some(self.outcome());
            let asked = (request, delegation);
            let explained = explain_chain(
                epoch,
                asked,
                &Reading::again(),
                options,
                refusal,
                |at, _, _| outcome(at).unwrap_or(Outcome::NoPermit),
            );
            return Explanation {
                outcome: self.outcome(),
                decision: self.decision(),
                ..explained
            };
        }
        match self.request_error() {
            Some(error) => refused(epoch, request, error),
            None => explain(epoch, request, &Reading::again(), options, |_, _| {
                self.outcome()
            }),
        }
    }
}

/// Decides as the authorizer does, now.
struct Decide<'d> {
    authorizer: &'d Authorizer,
    mode: ErrorMode,
}

impl Decide<'_> {
    fn outcome<'a>(&self, epoch: &'a Epoch, machine: &Machine<'a>) -> Outcome {
        let mut findings = Findings::default();
        let outcome = eval::evaluate(epoch, machine, self.mode, &mut findings);
        let stale = self.authorizer.stale_now(epoch, machine, &mut findings);
        stale.unwrap_or(outcome)
    }
}

fn explain(
    epoch: &Arc<Epoch>,
    request: &Request<'_>,
    reading: &Reading,
    options: &ExplainOptions,
    outcome: impl for<'a> FnOnce(&'a Epoch, &Machine<'a>) -> Outcome,
) -> Explanation {
    let arena = Bump::new();
    let mut locals = Locals::default();
    match eval::prepare(epoch, request, reading, &arena, &mut locals) {
        Err(error) => refused(epoch, request, &error),
        Ok(machine) => {
            let asked = Asked {
                epoch,
                machine: &machine,
                names: machine.names(),
                options,
            };
            asked.explain(request, outcome(epoch, &machine))
        }
    }
}

/// Explains the hop that a chain's decision rests on: the first that is denied, or else the principal's. It is the
/// explanation's principal.
fn explain_chain(
    epoch: &Arc<Epoch>,
    (request, delegation): (&Request<'_>, &Delegation<'_>),
    reading: &Reading,
    options: &ExplainOptions,
    refusal: impl FnOnce(&Hops) -> Option<Outcome>,
    mut outcome: impl for<'a> FnMut(usize, &'a Epoch, &Machine<'a>) -> Outcome,
) -> Explanation {
    let arena = Bump::new();
    let mut locals = Locals::default();
    let mut hops = Hops::default();
    let memory = (&arena, &mut locals);
    if let Err(error) = chain::look_up(epoch, request, delegation, reading, memory, &mut hops) {
        return refused(epoch, request, &error);
    }
    if let Some(outcome) = refusal(&hops) {
        return without_policies(epoch, request, outcome);
    }
    let asked = eval::resolve(epoch, request, reading, &arena, &mut locals).and_then(|first| {
        let memory = (&arena, &mut locals);
        chain::resolve(epoch, request, delegation, first, reading, memory)
    });
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return refused(epoch, request, &error),
    };
    let names = RequestNames {
        shared: &epoch.snapshot.names,
        locals: &locals,
    };
    let mut speaking = None;
    for (at, resolved) in asked.iter().enumerate() {
        let machine = Machine::new(epoch, names, *resolved, &arena);
        let outcome = outcome(at, epoch, &machine);
        let denied = outcome != Outcome::Allowed;
        if denied || speaking.is_none() {
            speaking = Some((resolved.principal, machine, outcome));
        }
        if denied {
            break;
        }
    }
    let Some((principal, machine, outcome)) = speaking else {
        return without_policies(epoch, request, Outcome::NoPermit);
    };
    let asked = Asked {
        epoch,
        machine: &machine,
        names,
        options,
    };
    Explanation {
        principal: names.entity(principal).to_owned(),
        ..asked.explain(request, outcome)
    }
}

fn refused(epoch: &Epoch, request: &Request<'_>, error: &RequestError) -> Explanation {
    Explanation {
        request_error: Some(error.to_string()),
        ..without_policies(epoch, request, Outcome::InvalidRequest)
    }
}

fn without_policies(epoch: &Epoch, request: &Request<'_>, outcome: Outcome) -> Explanation {
    Explanation {
        principal: request.principal().to_owned(),
        action: request.action().to_owned(),
        resource: request.resource().to_owned(),
        decision: outcome.decision(),
        outcome,
        request_error: None,
        version: epoch.version,
        policies: Vec::new(),
        left_out: BTreeMap::new(),
    }
}

/// A request on an epoch, and what is to be told.
struct Asked<'a, 'm> {
    epoch: &'a Epoch,
    machine: &'m Machine<'a>,
    names: RequestNames<'a>,
    options: &'m ExplainOptions,
}

impl<'a> Asked<'a, '_> {
    fn explain(&self, request: &Request<'_>, outcome: Outcome) -> Explanation {
        let mut explanation = without_policies(self.epoch, request, outcome);
        let mut chosen = self.parts();
        chosen.sort_by_key(|(part, weighed)| (*part, self.distance(weighed), weighed.policy));
        for parts in chosen.chunk_by(|(a, _), (b, _)| a == b) {
            let told = parts.iter().take(self.options.policies);
            let told = told.filter_map(|(part, weighed)| self.policy(*part, weighed));
            explanation.policies.extend(told);
            if let Some(more @ 1..) = parts.len().checked_sub(self.options.policies) {
                explanation.left_out.insert(parts[0].0, more);
            }
        }
        explanation
    }

    /// The policies to tell of, and the part that each plays.
    fn parts(&self) -> Vec<(Part, Weighed)> {
        let weighed = eval::weigh_all(self.epoch, self.machine);
        let applies = |effect| {
            let mut all = weighed.iter();
            all.any(|w| w.fate == Fate::Applies && self.epoch.effect(w.policy) == effect)
        };
        let (forbidden, permitted) = (applies(Effect::Forbid), applies(Effect::Permit));
        let part = |weighed: &Weighed| {
            let effect = self.epoch.effect(weighed.policy);
            let part = match weighed.fate {
                Fate::Applies if forbidden && effect == Effect::Permit => Part::Overruled,
                Fate::Applies => return Some(Part::Determining),
                Fate::Failed(..) => return Some(Part::Failed),
                Fate::Unmet(_) => Part::Unmet,
                Fate::OutOfScope(_) => Part::OutOfScope,
            };
            let matters = part == Part::Overruled || (effect == Effect::Permit && !permitted);
            (matters || self.options.everything).then_some(part)
        };
        let parts = weighed.iter().filter_map(|w| Some((part(w)?, *w)));
        parts.collect()
    }

    /// How far a policy is from applying: sides of the scope that do not match, or conditions from the first one that is
    /// not met on; then those first whose scope says more.
    fn distance(&self, weighed: &Weighed) -> (u32, u32) {
        let away = match weighed.fate {
            Fate::Applies | Fate::Failed(..) => return (0, 0),
            Fate::Unmet(number) => {
                let (segment, policy) = self.epoch.policy(weighed.policy);
                let row = segment.linked.rows.get(policy as usize);
                row.map_or(0, |row| row.conjuncts.len.saturating_sub(number))
            }
            Fate::OutOfScope(misses) => misses.iter().map(|miss| u32::from(*miss)).sum(),
        };
        (away, 3_u32.saturating_sub(weighed.specific))
    }

    fn policy(&self, part: Part, weighed: &Weighed) -> Option<ExplainedPolicy> {
        let (segment, number) = self.epoch.policy(weighed.policy);
        let program = &*segment.program;
        let policy = program.policies.get(number as usize)?;
        let body = program.body(policy)?;
        let at = Written::new(program, policy, number, body, self.options);
        let conjuncts = program.children(body.conjuncts);
        let mut told = ExplainedPolicy {
            id: policy.id.clone(),
            template: program.template(policy).map(|template| template.id.clone()),
            effect: body.effect,
            annotations: body
                .annotations
                .iter()
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        at.short(|f| fmt::Write::write_str(f, value)),
                    )
                })
                .collect(),
            part,
            error: None,
            held: 0,
            conditions: at.count(conjuncts.len()),
            condition: None,
            reasons: Vec::new(),
            scope: Vec::new(),
            source: None,
        };
        let machine = self.machine.on(segment);
        let max = self.options.values;
        match weighed.fate {
            Fate::Applies => {
                told.held = told.conditions;
                let mut left = max;
                for conjunct in conjuncts {
                    let clause = at.clause_of(*conjunct);
                    for reason in machine.reasons(*conjunct, left) {
                        left = left.saturating_sub(1 + reason.values.len());
                        told.reasons.push(self.reason(&at, clause, &reason));
                    }
                }
            }
            Fate::Unmet(number) => {
                let conjunct = *conjuncts.get(number as usize)?;
                told.held = number;
                told.condition = at.condition(conjunct);
                let clause = at.clause_of(conjunct);
                let mut left = max;
                for reason in machine.reasons(conjunct, max) {
                    if left > 0 {
                        left = left.saturating_sub(1 + reason.values.len());
                        told.reasons.push(self.reason(&at, clause, &reason));
                    }
                }
            }
            Fate::Failed(number, raise) => {
                let conjunct = *conjuncts.get(number as usize)?;
                told.held = number;
                told.error = Some(raise.kind);
                told.condition = at.condition(conjunct);
                let reason = machine.reason_of_failure(raise, max);
                told.reasons
                    .push(self.reason(&at, at.clause_of(conjunct), &reason));
            }
            Fate::OutOfScope(misses) => {
                told.scope = at.scope(misses);
            }
        }
        told.source = at.source(&told);
        Some(told)
    }

    fn reason(
        &self,
        at: &Written<'_>,
        clause: Option<(u32, Clause)>,
        reason: &eval::Reason<'a>,
    ) -> Reason {
        let values = reason.values.iter().map(|(seen, value)| Seen {
            expression: match seen {
                eval::Seen::Node(node) => at.expression(*node),
                eval::Seen::Variable(var) => var.name().to_owned(),
            },
            value: at.short(|f| write_value(*value, &self.names, f)),
        });
        let clause = clause.map_or(Clause::When, |(_, clause)| clause);
        Reason {
            clause,
            path: at
                .program
                .path_to(at.number, reason.node)
                .unwrap_or_default(),
            expression: at.expression(reason.node),
            place: at.place_of(reason.node),
            truth: reason
                .truth
                .map(|truth| truth != at.is_negated(reason.node)),
            values: values.collect(),
        }
    }
}

/// A policy as it is written.
struct Written<'p> {
    program: &'p Program,
    policy: &'p Policy,
    /// Its number in the program.
    number: u32,
    body: &'p Body,
    options: &'p ExplainOptions,
    /// The text that it was loaded from, and its bytes there.
    text: Option<(&'p str, Range<usize>)>,
    outline: Option<Outline>,
}

impl<'p> Written<'p> {
    fn new(
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

    fn short(&self, write: impl FnOnce(&mut Short) -> fmt::Result) -> String {
        Short::of(self.options.text_bytes, write)
    }

    fn count(&self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// The number and kind of the clause that a conjunct is of.
    fn clause_of(&self, conjunct: NodeId) -> Option<(u32, Clause)> {
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

    fn condition(&self, conjunct: NodeId) -> Option<Condition> {
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
    fn is_negated(&self, node: NodeId) -> bool {
        let node = self.program.expression(node);
        let is_constant = matches!(self.program.nodes.get(node.index()), Some(Node::Bool(_)));
        let conditions = self.program.conditions(self.body).iter();
        let mut unless = conditions
            .zip(&self.body.unless)
            .filter(|(_, unless)| **unless);
        is_constant && unless.any(|(condition, _)| self.program.expression(*condition) == node)
    }

    /// An expression as it is written, or else made from the tree.
    fn expression(&self, node: NodeId) -> String {
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

    fn place_of(&self, node: NodeId) -> Option<Place> {
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
    fn scope(&self, misses: [bool; 3]) -> Vec<ScopeMiss> {
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
    fn source(&self, told: &ExplainedPolicy) -> Option<Source> {
        let (text, bytes) = self.text.as_ref()?;
        let effect = match &self.outline {
            Some(outline) => self.absolute(outline.effect.clone())?.start,
            None => bytes.start,
        };
        let (line, column) = line_column(text, effect);
        let reasons = told.reasons.iter().map(|reason| &reason.place);
        let scope = told.scope.iter().map(|miss| &miss.place);
        let condition = told.condition.iter().map(|condition| &condition.place);
        let places = reasons.chain(scope).chain(condition).flatten();
        let mut starts: Vec<(u32, usize)> = places
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
            file: source.file.as_deref().map(str::to_owned),
            line,
            column,
            lines: lines.collect(),
        })
    }
}
