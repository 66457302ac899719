//! Making programs: what compiling, linking templates and joining programs have in common.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::{EntityUid, NodeId, PolicyId, Sym, TypeId, Uid};
use crate::names::Names;
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::stored::Rename;
use crate::value::{Pattern, Stored};

use super::digest::Scopes;
use super::node::{Renumber, Span};
use super::{
    ActionScope, Body, ContextUse, Digest, IdTable, Policy, Program, Scope, Source, SourceSpan,
    Target, Template,
};

/// Builds a [`Program`].
#[derive(Debug)]
pub(crate) struct ProgramBuilder {
    pub(crate) program: Program,
    /// Bodies by digest, so that equal ones are kept once.
    bodies: HashMap<Digest, u32>,
    /// The sources of the last few policies, which are mostly one.
    last_source: Option<u32>,
}

/// How long the arrays were before a body was added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    nodes: usize,
    children: usize,
    keys: usize,
    constants: usize,
    patterns: usize,
}

/// The values of a link's slots; none for a static policy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Slots {
    pub(crate) principal: Option<EntityUid>,
    pub(crate) resource: Option<EntityUid>,
}

/// Why a template cannot be linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SlotError {
    #[error("the slot {0} has no value")]
    Missing(&'static str),
    #[error("the template has no slot {0}")]
    Unknown(&'static str),
    #[error(transparent)]
    Full(#[from] TableFull),
}

/// A policy before it has a number and a digest.
#[derive(Clone, Debug)]
pub(crate) struct NewPolicy {
    pub(crate) id: PolicyId,
    pub(crate) body: u32,
    pub(crate) principal: Scope,
    pub(crate) action: ActionScope,
    pub(crate) resource: Scope,
    pub(crate) source: Option<SourceSpan>,
}

impl ProgramBuilder {
    pub(crate) fn new() -> Self {
        Self {
            program: Program {
                names: Names::new(),
                nodes: Vec::new(),
                children: Vec::new(),
                keys: Vec::new(),
                constants: Vec::new(),
                patterns: Vec::new(),
                bodies: Vec::new(),
                templates: Vec::new(),
                policies: Vec::new(),
                action_lists: Vec::new(),
                sources: Vec::new(),
                context: ContextUse::Fields,
                shared: 0,
                ids: IdTable::default(),
                by_digest: Vec::new(),
            },
            bodies: HashMap::new(),
            last_source: None,
        }
    }

    /// Where the next body begins.
    pub(crate) fn mark(&self) -> Mark {
        let program = &self.program;
        Mark {
            nodes: program.nodes.len(),
            children: program.children.len(),
            keys: program.keys.len(),
            constants: program.constants.len(),
            patterns: program.patterns.len(),
        }
    }

    /// Takes back what was added since `mark`, but for names.
    pub(crate) fn undo(&mut self, mark: Mark) {
        let program = &mut self.program;
        program.nodes.truncate(mark.nodes);
        program.children.truncate(mark.children);
        program.keys.truncate(mark.keys);
        program.constants.truncate(mark.constants);
        program.patterns.truncate(mark.patterns);
    }

    /// Adds the body whose nodes have been added since `mark`, or finds the one that means the same.
    pub(crate) fn body(&mut self, mark: Mark, mut body: Body) -> Result<u32, TableFull> {
        if let Some(known) = self.bodies.get(&body.digest) {
            let known = *known;
            self.undo(mark);
            return Ok(known);
        }
        body.nodes = span(mark.nodes, self.program.nodes.len() - mark.nodes)?;
        let number = number(self.program.bodies.len())?;
        self.bodies.insert(body.digest, number);
        self.program.bodies.push(body);
        Ok(number)
    }

    /// Adds a policy. Its id must be new.
    pub(crate) fn policy(&mut self, policy: NewPolicy) -> Result<(), TableFull> {
        self.push(policy, None, [None, None])
    }

    /// Adds a template and gives its number.
    pub(crate) fn template(&mut self, template: Template) -> Result<u32, TableFull> {
        let number = number(self.program.templates.len())?;
        self.program.templates.push(template);
        Ok(number)
    }

    /// Adds a policy that fills a template's slots. Its id must be new.
    ///
    /// # Errors
    /// When `slots` are not exactly the template's.
    pub(crate) fn link(
        &mut self,
        id: PolicyId,
        template: u32,
        slots: &Slots,
    ) -> Result<(), SlotError> {
        let Some(linked) = self.program.templates.get(template as usize) else {
            return Err(TableFull.into());
        };
        let linked = linked.clone();
        let principal = self.slot("?principal", linked.principal, slots.principal.as_ref())?;
        let resource = self.slot("?resource", linked.resource, slots.resource.as_ref())?;
        let policy = NewPolicy {
            id,
            body: linked.body,
            principal: linked.principal.filled(principal)?,
            action: linked.action,
            resource: linked.resource.filled(resource)?,
            source: linked.source,
        };
        Ok(self.push(policy, Some(template), [principal, resource])?)
    }

    fn slot(
        &mut self,
        name: &'static str,
        scope: Scope<Target>,
        value: Option<&EntityUid>,
    ) -> Result<Option<Uid>, SlotError> {
        match (scope.target(), value) {
            (Some(Target::Slot), None) => Err(SlotError::Missing(name)),
            (Some(Target::Slot), Some(uid)) => {
                Ok(Some(self.program.names.uid(uid.type_name(), uid.id())?))
            }
            (_, Some(_)) => Err(SlotError::Unknown(name)),
            (_, None) => Ok(None),
        }
    }

    fn push(
        &mut self,
        policy: NewPolicy,
        template: Option<u32>,
        slots: [Option<Uid>; 2],
    ) -> Result<(), TableFull> {
        let number = number(self.program.policies.len())?;
        let NewPolicy {
            id,
            body,
            principal,
            action,
            resource,
            source,
        } = policy;
        let program = &mut self.program;
        let scopes = Scopes {
            principal,
            action,
            resource,
            slots,
            action_lists: &program.action_lists,
            names: &program.names,
        };
        let of_body = program.bodies.get(body as usize).ok_or(TableFull)?;
        let digest = scopes.policy_digest(id.as_str(), &of_body.digest);
        program.policies.push(Policy {
            id,
            body,
            template,
            principal,
            action,
            resource,
            slots,
            source,
            digest,
        });
        program.ids.insert(number, &program.policies);
        Ok(())
    }

    /// The list of entities that an action must be in.
    pub(crate) fn action_list(
        &mut self,
        uids: impl IntoIterator<Item = Uid>,
    ) -> Result<ActionScope, TableFull> {
        let lists = &mut self.program.action_lists;
        let start = lists.len();
        lists.extend(uids);
        Ok(ActionScope::In(span(start, lists.len() - start)?))
    }

    /// The number of a source. Policies of one text come one after the other, so only the last is compared.
    pub(crate) fn source(
        &mut self,
        text: &Arc<str>,
        file: Option<&Arc<str>>,
        is_own: bool,
    ) -> Result<u32, TableFull> {
        if let Some(last) = self.last_source
            && let Some(source) = self.program.sources.get(last as usize)
            && Arc::ptr_eq(&source.text, text)
        {
            return Ok(last);
        }
        let number = number(self.program.sources.len())?;
        self.program.sources.push(Source {
            text: Arc::clone(text),
            file: file.cloned(),
            is_own,
        });
        self.last_source = Some(number);
        Ok(number)
    }

    pub(crate) fn finish(self) -> Result<Program, TableFull> {
        let mut program = self.program;
        let numbers = 0..number(program.policies.len())?;
        program.by_digest = numbers.collect();
        let policies = &program.policies;
        program
            .by_digest
            .sort_unstable_by_key(|number| policies[*number as usize].digest);
        // Programs stay for as long as their policies: what the vectors hold in reserve is given back.
        program.ids.shrink(&program.policies);
        program.nodes.shrink_to_fit();
        program.children.shrink_to_fit();
        program.keys.shrink_to_fit();
        program.constants.shrink_to_fit();
        program.patterns.shrink_to_fit();
        program.bodies.shrink_to_fit();
        program.templates.shrink_to_fit();
        program.policies.shrink_to_fit();
        program.action_lists.shrink_to_fit();
        program.sources.shrink_to_fit();
        Ok(program)
    }
}

impl Scope<Target> {
    fn filled(self, slot: Option<Uid>) -> Result<Scope, TableFull> {
        self.try_map(|target| match target {
            Target::Entity(uid) => Ok(uid),
            // Slots have been looked at before; one without a value fills nothing.
            Target::Slot => slot.ok_or(TableFull),
        })
    }
}

/// Copies policies and templates of one program into another.
pub(crate) struct Import<'p> {
    from: &'p Program,
    to: &'p mut ProgramBuilder,
    // By the number in `from`.
    uids: HashMap<Uid, Uid>,
    bodies: HashMap<u32, u32>,
    templates: HashMap<u32, u32>,
}

impl<'p> Import<'p> {
    pub(crate) fn new(from: &'p Program, to: &'p mut ProgramBuilder) -> Self {
        to.program.context = to.program.context.max(from.context);
        Self {
            from,
            to,
            uids: HashMap::new(),
            bodies: HashMap::new(),
            templates: HashMap::new(),
        }
    }

    /// Copies a policy. Its id must be new.
    pub(crate) fn policy(&mut self, policy: &Policy) -> Result<(), TableFull> {
        let template = policy
            .template
            .map(|template| self.template(template))
            .transpose()?;
        let copy = Policy {
            id: policy.id.clone(),
            body: self.body(policy.body)?,
            template,
            principal: self.scope(policy.principal)?,
            action: self.action(policy.action)?,
            resource: self.scope(policy.resource)?,
            slots: [self.filled(policy.slots[0])?, self.filled(policy.slots[1])?],
            source: self.source(policy.source)?,
            // Over texts, not numbers: the same in every program.
            digest: policy.digest,
        };
        let number = number(self.to.program.policies.len())?;
        let program = &mut self.to.program;
        program.policies.push(copy);
        program.ids.insert(number, &program.policies);
        Ok(())
    }

    /// Copies a template, once, and gives its number.
    pub(crate) fn template(&mut self, number: u32) -> Result<u32, TableFull> {
        if let Some(known) = self.templates.get(&number) {
            return Ok(*known);
        }
        let template = self.from.templates.get(number as usize);
        let template = template.ok_or(TableFull)?;
        let target = |target, import: &mut Self| {
            Ok(match target {
                Target::Entity(uid) => Target::Entity(import.uid(uid)?),
                Target::Slot => Target::Slot,
            })
        };
        let copy = Template {
            id: template.id.clone(),
            body: self.body(template.body)?,
            principal: self
                .types(template.principal)?
                .try_map(|to| target(to, self))?,
            action: self.action(template.action)?,
            resource: self
                .types(template.resource)?
                .try_map(|to| target(to, self))?,
            source: self.source(template.source)?,
        };
        let copied = self.to.template(copy)?;
        self.templates.insert(number, copied);
        Ok(copied)
    }

    fn body(&mut self, number: u32) -> Result<u32, TableFull> {
        if let Some(known) = self.bodies.get(&number) {
            return Ok(*known);
        }
        let from = self.from;
        let body = from.bodies.get(number as usize).ok_or(TableFull)?;
        let mark = self.to.mark();
        let first = NodeId::known(mark.nodes).ok_or(TableFull)?;
        for number in body.nodes.start..body.nodes.start + body.nodes.len {
            // What is shared within a program is not shared with another, and stands where it stood before.
            let node = NodeId::known(number as usize).map(|node| from.expression(node));
            let node = node.and_then(|node| from.nodes.get(node.index()));
            let node = node.ok_or(TableFull)?;
            let mut renumber = BodyImport {
                import: self,
                old: body.nodes.start,
                new: first,
            };
            let node = node.renumbered(&mut renumber)?;
            self.to.program.nodes.push(node);
        }
        let mut lists = BodyImport {
            import: self,
            old: body.nodes.start,
            new: first,
        };
        let (conditions, conjuncts) = (lists.list(body.conditions)?, lists.list(body.conjuncts)?);
        let copied = self.to.body(
            mark,
            Body {
                effect: body.effect,
                conditions,
                conjuncts,
                nodes: body.nodes,
                annotations: body.annotations.clone(),
                unless: body.unless.clone(),
                digest: body.digest,
            },
        )?;
        self.bodies.insert(number, copied);
        Ok(copied)
    }

    fn scope(&mut self, scope: Scope) -> Result<Scope, TableFull> {
        self.types(scope)?.try_map(|uid| self.uid(uid))
    }

    fn types<T>(&mut self, scope: Scope<T>) -> Result<Scope<T>, TableFull> {
        Ok(match scope {
            Scope::Is(ty) => Scope::Is(self.type_id(ty)?),
            Scope::IsIn(ty, above) => Scope::IsIn(self.type_id(ty)?, above),
            other => other,
        })
    }

    fn action(&mut self, action: ActionScope) -> Result<ActionScope, TableFull> {
        Ok(match action {
            ActionScope::Any => ActionScope::Any,
            ActionScope::Eq(uid) => ActionScope::Eq(self.uid(uid)?),
            ActionScope::In(list) => {
                let uids = list.of(&self.from.action_lists).iter();
                let uids = uids
                    .map(|uid| self.uid(*uid))
                    .collect::<Result<Vec<_>, _>>()?;
                self.to.action_list(uids)?
            }
        })
    }

    fn source(&mut self, span: Option<SourceSpan>) -> Result<Option<SourceSpan>, TableFull> {
        let Some(span) = span else { return Ok(None) };
        let Some(source) = self.from.sources.get(span.source as usize) else {
            return Ok(None);
        };
        let source = self
            .to
            .source(&source.text, source.file.as_ref(), source.is_own)?;
        Ok(Some(SourceSpan { source, ..span }))
    }

    fn filled(&mut self, slot: Option<Uid>) -> Result<Option<Uid>, TableFull> {
        slot.map(|uid| self.uid(uid)).transpose()
    }

    fn type_id(&mut self, ty: TypeId) -> Result<TypeId, TableFull> {
        let text = self.from.names.type_text(ty);
        self.to.program.names.add_type(text)
    }
}

impl Rename for Import<'_> {
    type Error = TableFull;

    fn uid(&mut self, uid: Uid) -> Result<Uid, TableFull> {
        if let Some(known) = self.uids.get(&uid) {
            return Ok(*known);
        }
        let (type_name, id) = self.from.names.uid_text(uid);
        let new = self.to.program.names.uid(type_name, id)?;
        self.uids.insert(uid, new);
        Ok(new)
    }

    fn sym(&mut self, sym: Sym) -> Result<Sym, TableFull> {
        let text = self.from.names.sym_text(sym);
        self.to.program.names.sym(text)
    }
}

/// The numbers of a body's nodes and of what they refer to.
struct BodyImport<'i, 'p> {
    import: &'i mut Import<'p>,
    /// The number of the body's first node, there and here.
    old: u32,
    new: NodeId,
}

impl Renumber for BodyImport<'_, '_> {
    type Error = TableFull;

    fn node(&mut self, node: NodeId) -> Result<NodeId, TableFull> {
        let within = node.index().checked_sub(self.old as usize);
        let index = within.and_then(|within| self.new.index().checked_add(within));
        index.and_then(NodeId::known).ok_or(TableFull)
    }

    fn sym(&mut self, sym: Sym) -> Result<Sym, TableFull> {
        Rename::sym(self.import, sym)
    }

    fn type_id(&mut self, ty: TypeId) -> Result<TypeId, TableFull> {
        self.import.type_id(ty)
    }

    fn constant(&mut self, constant: u32) -> Result<u32, TableFull> {
        let constant = self.import.from.constants.get(constant as usize);
        let copy = Stored::copy_of(constant.ok_or(TableFull)?.value(), self.import)?;
        let constants = &mut self.import.to.program.constants;
        constants.push(copy);
        number(constants.len() - 1)
    }

    fn pattern(&mut self, pattern: u32) -> Result<u32, TableFull> {
        let pattern: Option<&Pattern> = self.import.from.patterns.get(pattern as usize);
        let patterns = &mut self.import.to.program.patterns;
        patterns.push(pattern.ok_or(TableFull)?.clone());
        number(patterns.len() - 1)
    }

    fn list(&mut self, list: Span) -> Result<Span, TableFull> {
        let nodes = list.of(&self.import.from.children).iter();
        let nodes = nodes
            .map(|node| self.node(*node))
            .collect::<Result<Vec<_>, _>>()?;
        let children = &mut self.import.to.program.children;
        let start = children.len();
        children.extend(nodes);
        span(start, children.len() - start)
    }

    fn keys(&mut self, keys: Span) -> Result<Span, TableFull> {
        let syms = keys.of(&self.import.from.keys).iter();
        let syms = syms
            .map(|sym| Rename::sym(self.import, *sym))
            .collect::<Result<Vec<_>, _>>()?;
        let keys = &mut self.import.to.program.keys;
        let start = keys.len();
        keys.extend(syms);
        span(start, keys.len() - start)
    }
}

fn number(index: usize) -> Result<u32, TableFull> {
    u32::try_from(index).map_err(|_| TableFull)
}

pub(crate) fn span(start: usize, len: usize) -> Result<Span, TableFull> {
    Ok(Span {
        start: number(start)?,
        len: number(len)?,
    })
}
