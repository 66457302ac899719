//! From what was decided to its explanation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bumpalo::Bump;

use crate::authorizer::{Authorizer, Pinned};
use crate::decision::{Effect, ErrorMode, Outcome};
use crate::epoch::Epoch;
use crate::eval::{self, Fate, Findings, Machine, Reading, Response, Weighed, chain};
use crate::evidence::Hops;
use crate::request::delegation::Delegation;
use crate::request::locals::{Locals, RequestNames};
use crate::request::{Request, RequestError};
use crate::value::text::write_value;

use super::written::Written;
use super::{Clause, ExplainOptions, ExplainedPolicy, Explanation, Part, Reason, Seen};

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
    let asked = match chain::asked(epoch, request, reading, (&arena, &mut locals)) {
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
        chosen.sort_by_key(|(part, weighed)| {
            let (away, policy) = (self.distance(weighed), weighed.policy);
            (*part, !self.is_named(policy), away, policy)
        });
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
            (matters || self.options.everything || self.is_named(weighed.policy)).then_some(part)
        };
        let parts = weighed.iter().filter_map(|w| Some((part(w)?, *w)));
        parts.collect()
    }

    fn is_named(&self, policy: u32) -> bool {
        let named = &self.options.named;
        !named.is_empty() && {
            let (segment, number) = self.epoch.policy(policy);
            let policy = segment.program.policies.get(number as usize);
            policy.is_some_and(|policy| named.contains(&policy.id))
        }
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
            annotations: at.annotations(),
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
        let mut left = max;
        let mut reasons_of = |conjunct| {
            let clause = at.clause_of(conjunct);
            for reason in machine.reasons(conjunct, left) {
                if left > 0 {
                    left = left.saturating_sub(1 + reason.values.len());
                    told.reasons.push(self.reason(&at, clause, &reason));
                }
            }
        };
        match weighed.fate {
            Fate::Applies => {
                told.held = told.conditions;
                conjuncts.iter().copied().for_each(reasons_of);
            }
            Fate::Unmet(number) => {
                let conjunct = *conjuncts.get(number as usize)?;
                told.held = number;
                told.condition = at.condition(conjunct);
                reasons_of(conjunct);
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
