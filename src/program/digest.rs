//! Digests of policies and of policy sets.
//!
//! A policy's digest covers id, scope and body. The set's is a tree of two levels over its policies' digests:
//! 256 leaves by their first byte, each the hash of its digests in order, and the hash of the leaves. So it is a
//! function of the set alone, whatever the order of policies and the history of changes; and a change hashes
//! one leaf and the root: 21 kB for 100,000 policies, where hashing all digests would be 3.2 MB.
//! (Rejected: adding digests up, which needs numbers of 2 kB to be safe against chosen policies.)

use sha2::{Digest as _, Sha256};

use crate::names::Names;
use crate::value::arena::NameText;

use super::{ActionScope, Scope, Uid};

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// The bytes a digest covers: a mark for each kind of thing, then its parts; texts and lists with their length
/// first, so that no two meanings write the same bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer(Sha256);

impl Writer {
    pub(crate) fn mark(&mut self, mark: u8) {
        self.0.update([mark]);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.finalize().into()
    }

    fn uid(&mut self, uid: Uid, names: &Names) {
        let (type_name, id) = names.uid_text(uid);
        self.text(type_name);
        self.text(id);
    }

    fn scope(&mut self, scope: Scope, names: &Names) {
        self.mark(match scope {
            Scope::Any => b'*',
            Scope::Eq(_) => b'=',
            Scope::In(_) => b'i',
            Scope::Is(_) => b't',
            Scope::IsIn(..) => b'b',
        });
        if let Scope::Is(ty) | Scope::IsIn(ty, _) = scope {
            self.text(names.type_text(ty));
        }
        if let Some(uid) = scope.target() {
            self.uid(uid, names);
        }
    }
}

/// What a policy's digest covers besides its id and its body.
pub(super) struct Scopes<'p> {
    pub(super) principal: Scope,
    pub(super) action: ActionScope,
    pub(super) resource: Scope,
    pub(super) slots: [Option<Uid>; 2],
    pub(super) action_lists: &'p [Uid],
    pub(super) names: &'p Names,
}

impl Scopes<'_> {
    pub(super) fn policy_digest(&self, id: &str, body: &Digest) -> Digest {
        let names = self.names;
        let mut out = Writer::default();
        out.text(id);
        out.bytes(body);
        out.scope(self.principal, names);
        match self.action {
            ActionScope::Any => out.mark(b'*'),
            ActionScope::Eq(uid) => {
                out.mark(b'=');
                out.uid(uid, names);
            }
            ActionScope::In(list) => {
                out.mark(b'i');
                let list = list.of(self.action_lists);
                out.count(list.len());
                for uid in list {
                    out.uid(*uid, names);
                }
            }
        }
        out.scope(self.resource, names);
        for uid in self.slots.into_iter().flatten() {
            out.uid(uid, names);
        }
        out.finish()
    }
}

/// The digest of a set of policies, with what it takes to follow a change.
#[derive(Clone, Debug)]
pub(crate) struct SetDigest {
    leaves: Box<[Digest]>,
    root: Digest,
}

impl SetDigest {
    /// From every policy's digest; `of(first)` gives those that begin with a byte, in any order.
    pub(crate) fn new(mut of: impl FnMut(u8, &mut Vec<Digest>)) -> Self {
        let mut digest = Self {
            leaves: vec![Digest::default(); 256].into_boxed_slice(),
            root: Digest::default(),
        };
        digest.update(0..=u8::MAX, &mut of);
        digest
    }

    /// Computes the leaves of these first bytes anew, and the root.
    pub(crate) fn update(
        &mut self,
        firsts: impl IntoIterator<Item = u8>,
        mut of: impl FnMut(u8, &mut Vec<Digest>),
    ) {
        let mut members = Vec::new();
        for first in firsts {
            members.clear();
            of(first, &mut members);
            members.sort_unstable();
            let mut leaf = Writer::default();
            for member in &members {
                leaf.bytes(member);
            }
            self.leaves[usize::from(first)] = leaf.finish();
        }
        let mut root = Writer::default();
        root.bytes(b"duramen policy set 2\0");
        for leaf in &self.leaves {
            root.bytes(leaf);
        }
        self.root = root.finish();
    }

    pub(crate) fn root(&self) -> Digest {
        self.root
    }
}
