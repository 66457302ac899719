//! Linking: a program's own numbering translated to a snapshot's.

use std::sync::Arc;

use crate::decision::Effect;
use crate::entity::Snapshot;
use crate::id::{Sym, TypeId, Uid};
use crate::names::Names;
use crate::program::{ActionScope, Program, Scope, Span};
use crate::value::Stored;
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::stored::Rename;

use super::index::Index;

/// What a program's numbers mean in one table of names, and the index over its policies.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) syms: Vec<Sym>,
    pub(crate) types: Vec<TypeId>,
    pub(crate) constants: Vec<Stored>,
    /// The policies' scopes, by the same number as the program's policies.
    pub(crate) rows: Vec<Row>,
    pub(crate) action_lists: Vec<Uid>,
    /// `None` with the index switched off.
    pub(crate) index: Option<Index>,
}

/// What a decision reads of a policy: the scope in the snapshot's numbers, and what is at hand in one load
/// instead of three (policy, body, conditions).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) principal: ScopeTest,
    pub(crate) resource: ScopeTest,
    pub(crate) action: ActionTest,
    /// A run of the program's children.
    pub(crate) conjuncts: Span,
    pub(crate) effect: Effect,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ScopeTest {
    Any,
    Eq(Uid),
    In(Uid),
    Is(TypeId),
    IsIn(TypeId, Uid),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ActionTest {
    Any,
    Eq(Uid),
    /// A run of `action_lists`.
    In(Span),
}

impl Span {
    pub(crate) fn of<T>(self, items: &[T]) -> &[T] {
        let start = self.start as usize;
        items
            .get(start..start + self.len as usize)
            .unwrap_or_default()
    }
}

/// A program's ids by number, in another table.
struct Translation {
    uids: Vec<Uid>,
    syms: Vec<Sym>,
    types: Vec<TypeId>,
}

/// Adds every name that the program mentions to `names`.
fn translate(program: &Program, names: &mut Names) -> Result<Translation, TableFull> {
    Ok(Translation {
        uids: program
            .names
            .uids()
            .map(|uid| {
                let (type_name, id) = program.names.uid_text(uid);
                names.uid(type_name, id)
            })
            .collect::<Result<_, _>>()?,
        syms: program
            .names
            .syms()
            .map(|sym| names.sym(program.names.sym_text(sym)))
            .collect::<Result<_, _>>()?,
        types: program
            .names
            .types()
            .map(|ty| names.add_type(program.names.type_text(ty)))
            .collect::<Result<_, _>>()?,
    })
}

impl Translation {
    fn scope(&self, scope: Scope) -> Result<ScopeTest, TableFull> {
        Ok(match scope {
            Scope::Any => ScopeTest::Any,
            Scope::Eq(uid) => ScopeTest::Eq(self.to_uid(uid)?),
            Scope::In(uid) => ScopeTest::In(self.to_uid(uid)?),
            Scope::Is(ty) => ScopeTest::Is(self.to_type(ty)?),
            Scope::IsIn(ty, uid) => ScopeTest::IsIn(self.to_type(ty)?, self.to_uid(uid)?),
        })
    }

    fn to_uid(&self, uid: Uid) -> Result<Uid, TableFull> {
        self.uids.get(uid.index()).copied().ok_or(TableFull)
    }

    fn to_type(&self, ty: TypeId) -> Result<TypeId, TableFull> {
        self.types.get(ty.index()).copied().ok_or(TableFull)
    }
}

impl Rename for Translation {
    type Error = TableFull;

    fn uid(&mut self, uid: Uid) -> Result<Uid, TableFull> {
        self.to_uid(uid)
    }

    fn sym(&mut self, sym: Sym) -> Result<Sym, TableFull> {
        self.syms.get(sym.index()).copied().ok_or(TableFull)
    }
}

/// Links `program` to the entities of `snapshot`, whose names grow by what only the program mentions.
pub(super) fn link(
    program: &Program,
    snapshot: &mut Snapshot,
    indexed: bool,
) -> Result<Linked, TableFull> {
    let mut translation = translate(program, Arc::make_mut(&mut snapshot.names))?;
    let constants = program
        .constants
        .iter()
        .map(|constant| Stored::copy_of(constant.value(), &mut translation))
        .collect::<Result<_, _>>()?;
    let mut action_lists = Vec::new();
    let mut rows = Vec::with_capacity(program.policies.len());
    for policy in &program.policies {
        let action = match &policy.action {
            ActionScope::Any => ActionTest::Any,
            ActionScope::Eq(uid) => ActionTest::Eq(translation.to_uid(*uid)?),
            ActionScope::In(uids) => {
                let start = action_lists.len();
                for uid in uids {
                    action_lists.push(translation.to_uid(*uid)?);
                }
                ActionTest::In(Span {
                    start: u32::try_from(start).map_err(|_| TableFull)?,
                    len: u32::try_from(uids.len()).map_err(|_| TableFull)?,
                })
            }
        };
        let body = program.bodies.get(policy.body as usize);
        let body = body.ok_or(TableFull)?;
        rows.push(Row {
            conjuncts: body.conjuncts,
            effect: body.effect,
            principal: translation.scope(policy.principal)?,
            resource: translation.scope(policy.resource)?,
            action,
        });
    }
    let index = indexed.then(|| Index::new(&rows, &action_lists, snapshot));
    Ok(Linked {
        syms: translation.syms,
        types: translation.types,
        constants,
        rows,
        action_lists,
        index,
    })
}
