//! Chains of delegation as the generators make them, and what the oracle is asked about each hop of one.

use super::super::generate::Tape;
use super::super::oracle::{Answer, Ask};
use super::super::value::{Record, Uid, Val};

pub(crate) const ACTOR: &str = "e";
pub(crate) const SUBJECT: &str = "the subject";
pub(crate) const DELEGATOR: &str = "rec";

/// What the oracle is asked about a hop: the request of its own, with what the chain adds to the context.
pub(crate) fn hop(ask: &Ask, chain: &[Uid], at: usize) -> Ask {
    let mut hop = ask.clone();
    hop.principal = chain[at].clone();
    if let (Some(actor), true) = (chain.last(), chain.len() > 1) {
        hop.context.insert(ACTOR.into(), Val::Entity(actor.clone()));
        hop.context
            .insert(SUBJECT.into(), Val::Entity(chain[0].clone()));
    }
    if at > 0 {
        let delegator = Val::Entity(chain[at - 1].clone());
        hop.context.insert(DELEGATOR.into(), delegator);
    }
    hop
}

/// The context without the names of the chain: a property of `delegation` is about what happens when it has them.
pub(crate) fn free_of_names(mut context: Record) -> Record {
    for name in [ACTOR, SUBJECT, DELEGATOR] {
        context.remove(name);
    }
    context
}

/// The ask with the chain's own names free, and a chain of up to three actors behind its principal.
pub(crate) fn chain_of(tape: &mut Tape<'_>, ask: Ask) -> (Ask, Vec<Uid>) {
    let ask = Ask {
        context: free_of_names(ask.context),
        ..ask
    };
    let mut chain = vec![ask.principal.clone()];
    for _ in 0..tape.below(4) {
        let uid = tape.uid();
        if !chain.contains(&uid) {
            chain.push(uid);
        }
    }
    (ask, chain)
}

pub(crate) fn is_allowed(answer: &Answer) -> bool {
    matches!(answer, Answer::Decided { allowed: true, .. })
}
