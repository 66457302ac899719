//! Which attributes policies read: what a signal sets of others changes no decision.
//!
//! A policy reads an attribute of an entity by its name alone, with `.`, `["…"]` or `has`, and nothing else of Cedar looks at the
//! attributes of an entity: comparing entities compares uids, and tags are apart. So a policy that does not have the name cannot
//! read it. One that has it is taken to, except where the name is that of a field of the context, or of an attribute of the
//! principal or the resource and the scope says that these are of another type.

use std::collections::HashMap;

use crate::epoch::Epoch;
use crate::id::{EntityUid, NodeId, Sym, Uid};
use crate::program::{Body, Layer, Node, Policy, Program, Scope, Var};
use crate::value::arena::NameText;

/// Those of the changes that no policy in force reads, of entities of which none is read.
pub(super) fn unread(epoch: &Epoch, changes: &[(EntityUid, String)]) -> Vec<(EntityUid, String)> {
    // Many entities are of few types and have the same attributes set.
    let mut known: HashMap<(&str, &str), bool> = HashMap::new();
    let mut is_read: HashMap<&EntityUid, bool> = HashMap::new();
    for (uid, attribute) in changes {
        let read = *known
            .entry((uid.type_name(), attribute))
            .or_insert_with(|| may_be_read(epoch, uid.type_name(), attribute));
        *is_read.entry(uid).or_default() |= read;
    }
    let unread = changes.iter().filter(|(uid, _)| !is_read[uid]);
    unread.cloned().collect()
}

/// Whether a policy in force may read an attribute of entities of a type.
fn may_be_read(epoch: &Epoch, type_name: &str, attribute: &str) -> bool {
    let reads = |layer: &Layer| {
        let program = &layer.program;
        let Some(name) = program.names.find_sym(attribute) else {
            return false;
        };
        let mut bodies: HashMap<u32, Readers> = HashMap::new();
        layer.live().any(|policy| {
            let readers = bodies.entry(policy.body).or_insert_with(|| {
                let body = program.body(policy);
                body.map_or_else(Readers::default, |body| Readers::of(program, body, name))
            });
            readers.read(program, policy, type_name)
        })
    };
    epoch.policies.layers().iter().any(reads)
}

/// Of what a body may read an attribute of some name.
#[derive(Clone, Copy, Default)]
struct Readers {
    principal: bool,
    resource: bool,
    /// Of anything else that is or may be an entity.
    other: bool,
}

impl Readers {
    fn of(program: &Program, body: &Body, name: Sym) -> Self {
        let mut readers = Self::default();
        for node in body.nodes.of(&program.nodes) {
            let node = match node {
                Node::Shared(_, inner) => program.nodes.get(inner.index()).unwrap_or(node),
                node => node,
            };
            match node {
                Node::VarAttr(var, key) if *key == name => readers.add(Some(*var)),
                Node::GetAttr(of, key) | Node::HasAttr(of, key) if *key == name => {
                    readers.add(var(program, *of));
                }
                Node::HasPath(of, keys) => {
                    let mut keys = program.keys(*keys).iter();
                    if keys.next() == Some(&name) {
                        readers.add(var(program, *of));
                    }
                    readers.other |= keys.any(|key| *key == name);
                }
                _ => {}
            }
        }
        readers
    }

    fn add(&mut self, of: Option<Var>) {
        match of {
            Some(Var::Principal) => self.principal = true,
            Some(Var::Resource) => self.resource = true,
            Some(Var::Context) => {}
            Some(Var::Action) | None => self.other = true,
        }
    }

    /// Whether a policy with the body may read it of an entity of a type.
    fn read(self, program: &Program, policy: &Policy, type_name: &str) -> bool {
        let fits = |scope: &Scope<Uid>| match scope {
            Scope::Any | Scope::In(_) => true,
            Scope::Eq(uid) => program.names.uid_text(*uid).0 == type_name,
            Scope::Is(ty) | Scope::IsIn(ty, _) => program.names.type_text(*ty) == type_name,
        };
        self.other
            || self.principal && fits(&policy.principal)
            || self.resource && fits(&policy.resource)
    }
}

fn var(program: &Program, node: NodeId) -> Option<Var> {
    match program.nodes.get(program.expression(node).index()) {
        Some(Node::Var(var)) => Some(*var),
        _ => None,
    }
}
