//! The candidate: what its policies come to on what is known, and what else they ask for.

use std::collections::BTreeSet;

use crate::authorizer::Authorizer;
use crate::compile::{CompileError, Entities, Problem};
use crate::decision::ErrorMode;
use crate::epoch::Epoch;
use crate::eval::{self, Machine, Missed, Read, Reading, Scratch, What};
use crate::evidence::{OwnedRecord, RecordedPolicy};
use crate::limits::Limits;
use crate::request::{Request, RequestError};
use crate::value::arena::NameText;

use super::super::asked::Asked;
use super::super::decide::wide;
use super::super::recorded::{Fields, RecordedEntity};
use super::attempt::{Attempt, settle};
use super::before::Before;
use super::facts::{AskedFact, Facts, UnknownFact};

/// Policies to decide records with.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The policies, without schema and entities.
    pub(super) epoch: Epoch,
    pub(super) mode: ErrorMode,
    reading: Reading,
    scratch: Scratch,
}

/// What is decided again: a record, and what was asked for it.
pub(super) struct Question<'r> {
    pub(super) record: &'r OwnedRecord,
    pub(super) before: Before,
    /// The request, or the request for each hop of its delegation.
    pub(super) hops: Vec<Asked<'r>>,
    /// Fields of the context that are masked.
    pub(super) hidden_context: Vec<&'r str>,
}

impl Candidate {
    /// # Errors
    /// When the policies have more names than one table holds. Those of an authorizer that was built fit.
    pub(super) fn new(of: &Authorizer) -> Result<Self, CompileError> {
        let actors = of.reading().0.limits.delegation_actors();
        let limits = wide(Limits::default()).with_delegation_actors(actors);
        let nothing = Entities::new().load(None, &limits).map_err(Problem::new)?;
        Ok(Self {
            epoch: of.epoch().alone_on(nothing).map_err(Problem::new)?,
            mode: of.error_mode(),
            reading: Reading {
                limits,
                validate: false,
                keep_inputs: false,
                context_time: None,
            },
            scratch: Scratch::new(),
        })
    }

    /// What records are read under: of those of the candidate, how many may act for one another.
    pub(super) fn limits(&self) -> &Limits {
        &self.reading.limits
    }

    /// Each hop for itself, and what they come to together.
    pub(super) fn attempt(
        &mut self,
        asked: &Question<'_>,
        facts: &Facts,
    ) -> Result<Attempt, String> {
        let entities = facts.entities();
        let entities: Vec<_> = entities.iter().map(RecordedEntity::typed).collect();
        let mut hops = Vec::with_capacity(asked.hops.len());
        for hop in &asked.hops {
            let context = Fields::of(hop.context)?;
            let request = Request::new(hop.principal, hop.action, hop.resource)
                .context(&context)
                .entities(&entities);
            let attempt = self.attempt_hop(&request, facts, &asked.hidden_context);
            hops.push(attempt.map_err(|error| error.to_string())?);
        }
        Attempt::of_chain(hops).ok_or_else(|| "the record has a delegation without hops".into())
    }

    fn attempt_hop(
        &mut self,
        request: &Request<'_>,
        facts: &Facts,
        hidden_context: &[&str],
    ) -> Result<Attempt, RequestError> {
        let (epoch, mode) = (&self.epoch, self.mode);
        self.scratch.reset();
        let Scratch {
            arena,
            locals,
            findings,
            ..
        } = &mut self.scratch;
        let machine = eval::prepare(epoch, request, &self.reading, arena.bump(), locals)?;
        let outcome = eval::evaluate(epoch, &machine, mode, findings);
        let mut unsettled = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        eval::reads_by_policy(
            epoch,
            &machine,
            &mut findings.candidates,
            &mut |policy, reads| {
                for read in reads {
                    let Some((fact, is_within)) = asked_fact(&machine, read) else {
                        continue;
                    };
                    if !facts.knows(&fact, is_within) {
                        unsettled.insert(policy);
                        unknown.insert(fact);
                        // What the policy reads after that rests on a guess.
                        break;
                    }
                }
            },
        );
        let asker = request.principal().to_owned();
        eval::sees_by_policy(
            epoch,
            &machine,
            &mut findings.candidates,
            hidden_context,
            &mut |policy, field| {
                unsettled.insert(policy);
                unknown.insert(UnknownFact {
                    entity: asker.clone(),
                    asked: AskedFact::Context(field.to_owned()),
                });
            },
        );
        let asked = [request.principal(), request.action(), request.resource()];
        if !asked.into_iter().all(|asked| facts.knows_above(asked)) {
            eval::out_of_groups(epoch, &machine, &mut |policy, sides| {
                // Where what is known keeps one side out, the others do not matter.
                let open = sides.iter().map(|side| open_groups(&machine, *side, facts));
                let open: Vec<_> = open.collect();
                if open.iter().all(|side| !side.is_empty()) {
                    unsettled.insert(policy);
                    unknown.extend(open.into_iter().flatten());
                }
            });
        }
        let ids = unsettled.iter();
        let ids = ids.map(|policy| RecordedPolicy::new(epoch, *policy).id().clone());
        Ok(Attempt {
            unsettled: ids.collect(),
            after: settle(epoch, mode, outcome, findings, &unsettled),
            unknown,
        })
    }
}

/// What a side of a scope would have to be in, and is not known not to be.
fn open_groups(machine: &Machine<'_>, missed: Missed<'_>, facts: &Facts) -> Vec<UnknownFact> {
    let names = machine.names();
    let within = missed.groups.iter().map(|group| UnknownFact {
        entity: names.owned_uid(missed.side),
        asked: AskedFact::Within(names.owned_uid(*group)),
    });
    within.filter(|fact| !facts.knows(fact, false)).collect()
}

/// What a read asks, and whether the answer is that the entity is within another. `None` for scopes' alone, which are not
/// told here: [`eval::out_of_groups`] tells them.
fn asked_fact(machine: &Machine<'_>, read: &Read<'_>) -> Option<(UnknownFact, bool)> {
    let names = machine.names();
    let mut is_within = false;
    let asked = match read.what {
        What::Ancestors => return None,
        What::Attribute(name) => AskedFact::Attribute(names.sym_text(name).to_owned()),
        What::Tag(name) => AskedFact::Tag(names.sym_text(name).to_owned()),
        What::UnknownTag(name) => AskedFact::Tag(name.to_owned()),
        What::Below(above) => {
            is_within = machine.ancestors(read.entity).binary_search(&above).is_ok();
            AskedFact::Within(names.owned_uid(above))
        }
    };
    let fact = UnknownFact {
        entity: names.owned_uid(read.entity),
        asked,
    };
    Some((fact, is_within))
}
