//! What decisions rest on, by name: the keys that changes are marked by.

use ahash::RandomState;

use crate::id::PolicyId;
use crate::program::{ActionScope, Policy, Program, ProgramSet, Scope};
use crate::value::arena::NameText;

use super::changes::{BUCKETS, Stamps, Touched};

/// Something that a decision can rest on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key(u32);

/// What of an entity.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) enum Facet<'a> {
    /// Its direct parents. What is above an entity changes only with the parents of it or of something above it.
    Parents,
    Attribute(&'a str),
    Tag(&'a str),
    /// Any of its tags: for a tag whose name nobody knew when it was asked for.
    AnyTag,
}

/// What an epoch changes of the one before.
#[derive(Clone, Debug)]
pub(crate) enum Marks {
    Everything,
    Keys(Vec<Key>),
}

/// The stamps, and how keys are made.
#[derive(Debug)]
pub(crate) struct Watched {
    hasher: RandomState,
    pub(super) stamps: Stamps,
}

impl Key {
    fn bucket(self) -> usize {
        self.0 as usize % BUCKETS
    }
}

impl Marks {
    pub(super) fn touched(&self) -> Touched<impl Iterator<Item = usize>> {
        match self {
            Self::Everything => Touched::Everything,
            Self::Keys(keys) => Touched::Buckets(keys.iter().map(|key| key.bucket())),
        }
    }
}

impl Watched {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            stamps: Stamps::new(BUCKETS),
        }
    }

    /// The key of something about an entity, by the entity's type name and id.
    pub(crate) fn key(&self, (type_name, id): (&str, &str), facet: Facet<'_>) -> Key {
        // The lower half is as good as any.
        Key(self.hasher.hash_one((type_name, id, facet)) as u32)
    }

    /// Whether something of `keys` may have changed after `epoch`. To be asked after
    /// [`Published::latest`](super::Published::latest), for which it then holds.
    pub(crate) fn may_concern(&self, keys: &[Key], epoch: u64) -> bool {
        let buckets = keys.iter().map(|key| key.bucket());
        self.stamps.may_concern(buckets, epoch)
    }

    /// What policies concern that come or go: those for which one entity of their scope is the principal, the action, the
    /// resource, or above one of them. Every decision rests on the parents of all those.
    pub(crate) fn scopes<'p>(
        &self,
        sets: [&ProgramSet; 2],
        changed: impl Iterator<Item = &'p PolicyId>,
    ) -> Marks {
        let mut keys = Vec::new();
        for id in changed {
            for layer in sets.iter().flat_map(|set| set.layers()) {
                let Some(number) = layer.program.find(id.as_str()) else {
                    continue;
                };
                let Some(policy) = layer.program.policies.get(number as usize) else {
                    continue;
                };
                if !layer.dead.contains(number) && !self.scope(&layer.program, policy, &mut keys) {
                    return Marks::Everything;
                }
            }
        }
        Marks::Keys(keys)
    }

    /// Adds the narrowest part of a scope; false when it has none.
    fn scope(&self, program: &Program, policy: &Policy, keys: &mut Vec<Key>) -> bool {
        let mut add = |uid| keys.push(self.key(program.names.uid_text(uid), Facet::Parents));
        let sides = [policy.principal, policy.resource];
        let one = sides.into_iter().find_map(|side| match side {
            Scope::Eq(uid) => Some(uid),
            _ => None,
        });
        let above = sides.into_iter().find_map(|side| match side {
            Scope::In(uid) | Scope::IsIn(_, uid) => Some(uid),
            _ => None,
        });
        match (one.or(above), policy.action) {
            (Some(uid), _) | (None, ActionScope::Eq(uid)) => add(uid),
            (None, ActionScope::In(list)) => {
                list.of(&program.action_lists).iter().copied().for_each(add)
            }
            (None, ActionScope::Any) => return false,
        }
        true
    }
}
