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

use super::index::{ActionMembers, Index, Indexed};
use super::sides::Sides;
use super::steps::{self, Attributes, Step, Writer};
use super::values::Grouping;

/// What a program's numbers mean in one table of names, and the index over its policies.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) syms: Vec<Sym>,
    pub(crate) types: Vec<TypeId>,
    pub(crate) constants: Vec<Stored>,
    /// The policies' scopes, by the same number as the program's policies.
    pub(crate) rows: Vec<Row>,
    pub(crate) action_lists: Vec<Uid>,
    /// The policies' conditions; `None` where they are walked as trees.
    pub(crate) steps: Option<Vec<Step>>,
    /// The attributes of each variable that are shared.
    pub(crate) attributes: [Attributes; 4],
    /// `None` with the index switched off.
    pub(crate) index: Option<Index>,
    /// What the index was made with, for the next program.
    pub(crate) members: Arc<ActionMembers>,
    pub(crate) sides: Sides,
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
    /// The same as a run of steps, if they are written out.
    pub(crate) steps: Span,
    pub(crate) effect: Effect,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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

/// What linking makes besides tables: switches for tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Indexing {
    /// One over scopes.
    pub(crate) scopes: bool,
    /// With short lists by action instead of one where they suffice.
    pub(crate) lists: bool,
    /// With one over conditions within it.
    pub(crate) values: bool,
    /// Conditions as lists of steps.
    pub(crate) steps: bool,
    /// The schema in numbers. Not only a switch for tests: off where requests are not validated.
    pub(crate) schema: bool,
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

/// How many uids the index of the first program, which has most policies, may have an array over: 256 kB.
const FLAT: usize = 1 << 16;

/// The same for a program that is linked anew with each change.
const FLAT_BEHIND: usize = 1 << 10;

/// Links `program` to the entities of `snapshot`, whose names grow by what only the program mentions. `members` are of
/// these entities. `is_first`: no program comes before it.
pub(super) fn link(
    program: &Program,
    snapshot: &mut Snapshot,
    indexing: Indexing,
    members: &Arc<ActionMembers>,
    is_first: bool,
) -> Result<Linked, TableFull> {
    let mut translation = translate(program, Arc::make_mut(&mut snapshot.names))?;
    let constants = program
        .constants
        .iter()
        .map(|constant| Stored::copy_of(constant.value(), &mut translation))
        .collect::<Result<Vec<_>, _>>()?;
    let action_lists = program
        .action_lists
        .iter()
        .map(|uid| translation.to_uid(*uid))
        .collect::<Result<Vec<_>, _>>()?;
    let (steps, of_bodies) = match indexing.steps {
        true => {
            let mut writer = Writer::new(program, &constants, &translation.syms);
            let bodies = program.bodies.iter();
            let spans = bodies
                .map(|body| writer.conjuncts(body.conjuncts))
                .collect::<Result<Vec<_>, _>>()?;
            (Some(writer.finish()), spans)
        }
        false => (None, Vec::new()),
    };
    let rows = rows(program, &translation, &of_bodies)?;
    let index = indexing.scopes.then(|| {
        let flat = if is_first { FLAT } else { FLAT_BEHIND };
        let grouping = Grouping::new(program, &rows, &action_lists, &constants, indexing.values);
        let of = Indexed {
            program,
            rows: &rows,
            action_lists: &action_lists,
            members,
            flat,
        };
        Index::new(of, &snapshot.names, indexing.lists, grouping)
    });
    Ok(Linked {
        attributes: steps::attributes(program, &translation.syms),
        syms: translation.syms,
        types: translation.types,
        constants,
        rows,
        action_lists,
        steps,
        index,
        members: Arc::clone(members),
        sides: Sides::default(),
    })
}

/// A row for each policy; `steps` are those of each body, where there are any.
fn rows(
    program: &Program,
    translation: &Translation,
    steps: &[Span],
) -> Result<Vec<Row>, TableFull> {
    let mut rows = Vec::with_capacity(program.policies.len());
    for policy in &program.policies {
        let body = program.body(policy).ok_or(TableFull)?;
        let steps = steps.get(policy.body as usize).copied();
        rows.push(Row {
            conjuncts: body.conjuncts,
            steps: steps.unwrap_or_default(),
            effect: body.effect,
            principal: translation.scope(policy.principal)?,
            resource: translation.scope(policy.resource)?,
            action: match policy.action {
                ActionScope::Any => ActionTest::Any,
                ActionScope::Eq(uid) => ActionTest::Eq(translation.to_uid(uid)?),
                ActionScope::In(list) => ActionTest::In(list),
            },
        });
    }
    Ok(rows)
}
