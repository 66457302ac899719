//! What a decision read of entities: attributes, tags, ancestors, and what was not there.
//!
//! A second walk over the policies whose scopes matched, made when a sink wants inputs, and not notes taken while
//! evaluating: those would cost every decision a test at each attribute. It goes where evaluation went, branch by branch,
//! also through policies that the value index left out, so that whoever evaluates all of them again, as stock Cedar does,
//! finds what it asks for.

use bumpalo::collections::Vec;

use crate::epoch::{Epoch, Row};
use crate::evidence::EntityInputs;
use crate::id::{NodeId, Sym, Uid};
use crate::program::{Node, Var};
use crate::value::{Record, Value};

use super::condition::Raised;
use super::later_segments;
use super::machine::Machine;
use super::matching::Candidate;

/// Something that was read of an entity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) entity: Uid,
    pub(crate) what: What<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum What<'a> {
    /// All that is above it, of which scopes are tests; at the least, whether it exists.
    Ancestors,
    /// Whether another is above it.
    Below(Uid),
    Attribute(Sym),
    Tag(Sym),
    /// A tag whose name nothing in the epoch and the request has, so that it is not there.
    UnknownTag(&'a str),
}

/// From so many reads on, those that are there twice are taken out: again when there are four times as many as were left.
const DENSE: usize = 1 << 10;

/// Reads in no order, some more than once.
type Reads<'a> = Vec<'a, Read<'a>>;

/// All that a decision read, sorted. `candidates` is working memory.
pub(crate) fn reads<'a>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    candidates: &mut std::vec::Vec<Candidate>,
) -> &'a [Read<'a>] {
    // Room for what most decisions read: to grow took as long as all the rest.
    let mut reads = Vec::with_capacity_in(24, machine.arena);
    for side in [&machine.principal, &machine.action, &machine.resource] {
        push(&mut reads, side.uid, What::Ancestors);
    }
    machine.read_by_policies(candidates, &mut reads);
    for segment in later_segments(epoch) {
        machine.on(segment).read_by_policies(candidates, &mut reads);
    }
    reads.sort_unstable();
    reads.dedup();
    reads.into_bump_slice()
}

/// What a decision read of each entity, in the order of their numbers. `candidates` is working memory.
pub(crate) fn inputs<'a>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    candidates: &mut std::vec::Vec<Candidate>,
) -> &'a [EntityInputs<'a>] {
    let reads = reads(epoch, machine, candidates);
    let entities = reads.chunk_by(|a, b| a.entity == b.entity);
    let mut inputs = Vec::with_capacity_in(8, machine.arena);
    inputs.extend(entities.filter_map(|reads| machine.inputs_of(reads)));
    inputs.into_bump_slice()
}

/// Whether a decision rests on a stored entity that `is` says so of: one that it read, or one above that, as the way up
/// goes by its parents. `candidates` is working memory.
pub(crate) fn rests_on<'a>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    candidates: &mut std::vec::Vec<Candidate>,
    is: impl Fn(Uid) -> bool,
) -> bool {
    let is = |uid: Uid| machine.overlay.get(uid).is_none() && is(uid);
    inputs(epoch, machine, candidates)
        .iter()
        .any(|read| is(read.uid) || machine.ancestors(read.uid).iter().any(|above| is(*above)))
}

/// What each policy in scope reads, by its number in answers: what it was evaluated on, and nothing else. Scopes are tests
/// of principal, action and resource and of what is above those, which is not told again.
pub(crate) fn reads_by_policy<'a>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    candidates: &mut std::vec::Vec<Candidate>,
    each: &mut dyn FnMut(u32, &[Read<'a>]),
) {
    let mut reads = Vec::new_in(machine.arena);
    let mut of_segment = |machine: &Machine<'a>| {
        candidates.clear();
        machine.matching_in_scope(candidates);
        for policy in &*candidates {
            if let Some((number, row)) = machine.in_force(policy.row) {
                reads.clear();
                machine.read_by_policy(row, &mut reads);
                each(number, &reads);
            }
        }
    };
    of_segment(machine);
    for segment in later_segments(epoch) {
        of_segment(&machine.on(segment));
    }
}

/// Which policies in scope may look at which of some fields of the context, by the policy's number in answers. As
/// [`Machine::may_see`], of the policies and not of what was evaluated.
pub(crate) fn sees_by_policy<'a, 'f>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    candidates: &mut std::vec::Vec<Candidate>,
    fields: &[&'f str],
    each: &mut dyn FnMut(u32, &'f str),
) {
    let mut in_segment = |machine: &Machine<'a>| {
        candidates.clear();
        machine.matching_in_scope(candidates);
        for policy in &*candidates {
            if let Some((number, row)) = machine.in_force(policy.row) {
                let seen =
                    |field: &&&str| machine.policy_may_see(row, machine.names.find_sym(field));
                fields
                    .iter()
                    .filter(seen)
                    .for_each(|field| each(number, field));
            }
        }
    };
    in_segment(machine);
    for segment in later_segments(epoch) {
        in_segment(&machine.on(segment));
    }
}

impl<'a> Machine<'a> {
    /// Whether a policy in scope may look at a field of the context. Asked of the policies and not of what was evaluated: so
    /// it holds for as long as they are the same, whatever the field's value. `candidates` is working memory.
    pub(crate) fn may_see(
        &self,
        epoch: &'a Epoch,
        candidates: &mut std::vec::Vec<Candidate>,
        field: &str,
    ) -> bool {
        let field = self.names.find_sym(field);
        let mut in_segment = |machine: &Self| {
            candidates.clear();
            machine.matching_in_scope(candidates);
            let mut policies = candidates
                .iter()
                .filter_map(|policy| machine.in_force(policy.row));
            policies.any(|(_, row)| machine.policy_may_see(row, field))
        };
        let mut later = later_segments(epoch).iter();
        in_segment(self) || later.any(|segment| in_segment(&self.on(segment)))
    }

    /// What was read of one entity: `reads` are sorted and all of it.
    fn inputs_of(&self, reads: &[Read<'a>]) -> Option<EntityInputs<'a>> {
        let uid = reads.first()?.entity;
        let facts = self.facts(uid);
        // Of most entities nothing else is asked: a fifth less of all of this.
        if let [
            Read {
                what: What::Ancestors,
                ..
            },
        ] = reads
        {
            return Some(EntityInputs {
                uid,
                exists: facts.is_some(),
                attrs: Record::Built(&(&[] as &[_])),
                tags: Record::Built(&(&[] as &[_])),
                ancestors: self.ancestors(uid),
                absent: &[],
                absent_tags: &[],
                unknown_tags: &[],
                not_above: &[],
            });
        }
        let new_list = || Vec::new_in(self.arena);
        let (mut attrs, mut tags) = (Vec::new_in(self.arena), Vec::new_in(self.arena));
        let (mut absent, mut absent_tags) = (new_list(), new_list());
        let mut unknown_tags = Vec::new_in(self.arena);
        let mut asked = Vec::new_in(self.arena);
        let mut is_whole = false;
        let mut ancestors: &'a [Uid] = &[];
        for read in reads {
            match read.what {
                What::Ancestors => {
                    ancestors = self.ancestors(uid);
                    is_whole = true;
                }
                What::Below(above) => asked.push(above),
                What::Attribute(name) => match facts.and_then(|facts| facts.attrs.get(name)) {
                    Some(value) => attrs.push((name, value)),
                    None => absent.push(name),
                },
                What::Tag(name) => match facts.and_then(|facts| facts.tags.get(name)) {
                    Some(value) => tags.push((name, value)),
                    None => absent_tags.push(name),
                },
                What::UnknownTag(name) => unknown_tags.push(name),
            }
        }
        let not_above = match is_whole || asked.is_empty() {
            true => &[][..],
            false => {
                let (above, not_above) = self.told_apart(uid, asked);
                ancestors = above;
                not_above
            }
        };
        Some(EntityInputs {
            uid,
            exists: facts.is_some(),
            // In the order of the names, as records are.
            attrs: Record::Built(self.arena.alloc(attrs.into_bump_slice())),
            tags: Record::Built(self.arena.alloc(tags.into_bump_slice())),
            ancestors,
            absent: absent.into_bump_slice(),
            absent_tags: absent_tags.into_bump_slice(),
            unknown_tags: unknown_tags.into_bump_slice(),
            not_above,
        })
    }

    /// Of what an entity was asked to be in, what it is in and what it is not. An entity is in itself, whatever is above
    /// it, and that is told of neither.
    fn told_apart(&self, uid: Uid, mut asked: Vec<'a, Uid>) -> (&'a [Uid], &'a [Uid]) {
        let known = self.ancestors(uid);
        let mut not_above = Vec::new_in(self.arena);
        asked.retain(|above| {
            let is_above = known.binary_search(above).is_ok();
            if !is_above && *above != uid {
                not_above.push(*above);
            }
            is_above
        });
        (asked.into_bump_slice(), not_above.into_bump_slice())
    }

    fn read_by_policies(&self, candidates: &mut std::vec::Vec<Candidate>, reads: &mut Reads<'a>) {
        candidates.clear();
        self.matching_in_scope(candidates);
        let mut most = DENSE;
        for candidate in &*candidates {
            let Some((_, row)) = self.in_force(candidate.row) else {
                continue;
            };
            self.read_by_policy(row, reads);
            // Policies may be many that read the same: each the same field, or whether an entity is in the same set of the
            // context, as long as its sender likes.
            if reads.len() > most {
                reads.sort_unstable();
                reads.dedup();
                most = DENSE.max(reads.len() * 4);
            }
        }
    }

    fn read_by_policy(&self, row: &Row, reads: &mut Reads<'a>) {
        for conjunct in self.program.children(row.conjuncts) {
            if !matches!(self.read_test(*conjunct, reads), Ok(true)) {
                break;
            }
        }
    }

    fn policy_may_see(&self, row: &Row, field: Option<Sym>) -> bool {
        let is_context = |id: NodeId| {
            let id = self.program.expression(id);
            self.nodes[id.index()] == Node::Var(Var::Context)
        };
        let is_field = |key| Some(self.sym(key)) == field;
        let mut left = Vec::new_in(self.arena);
        left.extend_from_slice(self.program.children(row.conjuncts));
        while let Some(id) = left.pop() {
            let node = self.nodes[id.index()];
            let sees = match node {
                Node::Var(Var::Context) => true,
                Node::VarAttr(Var::Context, key) => is_field(key),
                Node::HasAttr(a, key) | Node::GetAttr(a, key) if is_context(a) => is_field(key),
                Node::HasPath(a, keys) if is_context(a) => {
                    let first = self.program.keys(keys).first();
                    first.is_some_and(|key| is_field(*key))
                }
                _ => {
                    left.extend(self.program.all_operands(&node));
                    false
                }
            };
            if sees {
                return true;
            }
        }
        false
    }

    /// Follows what decides which operands are evaluated.
    fn read_test(&self, id: NodeId, reads: &mut Reads<'a>) -> Result<bool, Raised> {
        let id = self.program.expression(id);
        match self.nodes[id.index()] {
            Node::And(a, b) => match self.read_test(a, reads)? {
                true => self.read_test(b, reads),
                false => Ok(false),
            },
            Node::Or(a, b) => match self.read_test(a, reads)? {
                true => Ok(true),
                false => self.read_test(b, reads),
            },
            Node::Not(a) => self.read_test(a, reads).map(|truth| !truth),
            _ => {
                self.read(id, reads);
                self.boolean(id)
            }
        }
    }

    fn read(&self, id: NodeId, reads: &mut Reads<'a>) {
        let id = self.program.expression(id);
        match self.nodes[id.index()] {
            Node::VarAttr(var, key) => {
                if let Some(uid) = self.entity_of(var) {
                    push(reads, uid, What::Attribute(self.sym(key)));
                }
            }
            Node::And(..) | Node::Or(..) | Node::Not(_) => {
                let _ = self.read_test(id, reads);
            }
            Node::If(condition, a, b) => match self.read_test(condition, reads) {
                Ok(true) => self.read(a, reads),
                Ok(false) => self.read(b, reads),
                Err(Raised) => {}
            },
            Node::HasAttr(a, key) | Node::GetAttr(a, key) => {
                self.read(a, reads);
                self.read_of(a, What::Attribute(self.sym(key)), reads);
            }
            Node::HasPath(a, keys) => {
                self.read(a, reads);
                let mut value = self.operand(a).ok();
                for key in self.program.keys(keys) {
                    let Some(found) = value else { break };
                    let key = self.sym(*key);
                    if let Ok(uid) = found.as_entity() {
                        push(reads, uid, What::Attribute(key));
                    }
                    value = self.attribute(found, key).ok().flatten();
                }
            }
            Node::HasNamedTag(a, tag) | Node::GetNamedTag(a, tag) => {
                self.read(a, reads);
                self.read_of(a, What::Tag(self.sym(tag)), reads);
            }
            Node::HasTag(a, b) | Node::GetTag(a, b) => {
                self.read_all(id, reads);
                if let Ok(Ok(tag)) = self.operand(b).map(Value::as_string) {
                    let known = self.names.find_sym(tag);
                    self.read_of(a, known.map_or(What::UnknownTag(tag), What::Tag), reads);
                }
            }
            Node::In(a, b) | Node::IsIn(a, _, b) => {
                self.read_all(id, reads);
                if let (Ok(below), Ok(above)) = (self.operand(a), self.operand(b)) {
                    self.read_ancestors(below, above, reads);
                }
            }
            _ => self.read_all(id, reads),
        }
    }

    /// Operands up to the first that fails.
    fn read_all(&self, id: NodeId, reads: &mut Reads<'a>) {
        for operand in self.program.all_operands(&self.nodes[id.index()]) {
            self.read(operand, reads);
            if self.operand(operand).is_err() {
                break;
            }
        }
    }

    fn read_of(&self, entity: NodeId, what: What<'a>, reads: &mut Reads<'a>) {
        if let Ok(Ok(uid)) = self.operand(entity).map(Value::as_entity) {
            push(reads, uid, what);
        }
    }

    fn read_ancestors(&self, below: Value<'a>, above: Value<'a>, reads: &mut Reads<'a>) {
        let Ok(below) = below.as_entity() else { return };
        match above.as_set() {
            Ok(set) => {
                for above in set.iter().filter_map(|item| item.as_entity().ok()) {
                    push(reads, below, What::Below(above));
                }
            }
            Err(_) => {
                if let Ok(above) = above.as_entity() {
                    push(reads, below, What::Below(above));
                }
            }
        }
    }

    fn entity_of(&self, var: Var) -> Option<Uid> {
        match var {
            Var::Principal => Some(self.principal.uid),
            Var::Action => Some(self.action.uid),
            Var::Resource => Some(self.resource.uid),
            Var::Context => None,
        }
    }
}

fn push<'a>(reads: &mut Reads<'a>, entity: Uid, what: What<'a>) {
    reads.push(Read { entity, what });
}
