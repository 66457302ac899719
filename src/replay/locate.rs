//! Where in the source an evaluation error is: the bytes that Cedar's own error would underline.
//!
//! Our syntax tree has no positions (Cedar's public one has none), and storing them for every node would cost
//! memory that nearly nobody asks for. So the one policy that failed is run again in stock Cedar, on the
//! entities that it can reach, and Cedar's error is asked for its label.

use std::collections::HashSet;
use std::ops::Range;
use std::str::FromStr;

use bumpalo::Bump;
use cedar_policy::{self as cedar, RestrictedExpression};

use crate::compile::stack;
use crate::decision::Outcome;
use crate::epoch::Epoch;
use crate::eval::{Machine, Reading, Response, chain};
use crate::evidence::{RecordedDelegation, RecordedPolicy};
use crate::id::{PolicyId, Uid};
use crate::limits::Limits;
use crate::program::{Node, Policy, Program};
use crate::request::Request;
use crate::request::locals::{Locals, RequestNames};
use crate::value::arena::NameText;
use crate::value::{ErrorKind, Record, Stored, Value, View};

use super::{cedar_uid, slot_values};

/// An evaluation error with its place in the source. Made by [`Response::locate_errors`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorLocation {
    policy: PolicyId,
    kind: ErrorKind,
    file: Option<String>,
    range: Option<Range<usize>>,
}

impl ErrorLocation {
    /// The policy that could not be evaluated.
    pub fn policy(&self) -> &PolicyId {
        &self.policy
    }

    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file that has the text, if it was a file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The bytes of the source text that `cedar-policy`'s error labels. For a link, those of its template.
    /// `None` where Cedar's error has no label.
    ///
    /// For policies from JSON and those of a `cedar_policy::PolicySet`, the bytes of the policy's own text, as Cedar writes it.
    pub fn range(&self) -> Option<Range<usize>> {
        self.range.clone()
    }
}

impl Response<'_> {
    /// Finds out where in their sources the policies failed. `request` must be the request that this is the
    /// response to; policies and entities are those that were decided on. Of a request with a
    /// [`Delegation`](crate::Delegation), where they failed for the hop whose error it is: the one that is denied, or else the
    /// first in which the policy failed.
    ///
    /// Runs each failed policy again in `cedar-policy`: for showing an error to a person, not for hot paths.
    ///
    /// ```
    /// # use duramen::{Authorizer, Request};
    /// let policies = "permit(principal, action, resource) when { context.mfa };";
    /// let authorizer = Authorizer::builder().policies(policies).build()?;
    /// let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p1"));
    /// let response = authorizer.is_authorized(&request);
    /// let errors = response.locate_errors(&request);
    /// assert_eq!(&policies[errors[0].range().unwrap()], "context.mfa");
    /// # Ok::<(), duramen::BuildError>(())
    /// ```
    pub fn locate_errors(&self, request: &Request<'_>) -> Vec<ErrorLocation> {
        let epoch = self.pin.epoch();
        let arena = Bump::new();
        let mut locals = Locals::default();
        let request = &request.at(self.now);
        let memory = (&arena, &mut locals);
        let Ok(asked) = chain::asked(epoch, request, &Reading::again(), memory) else {
            return Vec::new();
        };
        let names = RequestNames {
            shared: &epoch.snapshot.names,
            locals: &locals,
        };
        self.errors()
            .map(|error| {
                let policy = error.policy();
                let again = asked.get(self.hop_of_error(policy)).map(|asked| Again {
                    epoch,
                    machine: Machine::new(epoch, names, *asked, &arena),
                    names,
                    uids: [asked.principal, asked.action, asked.resource],
                    context: asked.context,
                });
                ErrorLocation {
                    policy: policy.id().clone(),
                    kind: error.kind(),
                    file: error.source().and_then(|(file, _)| Some(file?.to_owned())),
                    range: again.and_then(|again| again.label(policy)),
                }
            })
            .collect()
    }

    /// The number of the hop that a policy's error is of; zero without a delegation.
    fn hop_of_error(&self, policy: RecordedPolicy<'_>) -> usize {
        let delegation = self.delegation();
        let hops = || delegation.iter().flat_map(RecordedDelegation::hops);
        let denied = hops().position(|hop| hop.outcome() != Some(Outcome::Allowed));
        let failed =
            || hops().position(|hop| hop.errors().any(|error| error.policy().id() == policy.id()));
        denied.or_else(failed).unwrap_or_default()
    }
}

/// A request on an epoch, to be put to stock Cedar again.
struct Again<'a> {
    epoch: &'a Epoch,
    machine: Machine<'a>,
    names: RequestNames<'a>,
    uids: [Uid; 3],
    context: Record<'a>,
}

impl Again<'_> {
    /// What Cedar's error labels when `policy` is evaluated, in the bytes of the policy's source.
    fn label(&self, policy: RecordedPolicy<'_>) -> Option<Range<usize>> {
        let (program, policy) = (policy.program(), policy.program_policy());
        let span = policy.source?;
        let start = span.start as usize;
        let text = program.text(span)?;
        let entities =
            cedar::Entities::from_entities(self.reachable(program, policy), None).ok()?;
        let [principal, action, resource] = self.uids.map(|uid| self.uid(uid));
        let context = cedar::Context::from_pairs(self.fields(self.context)).ok()?;
        let request = cedar::Request::new(principal?, action?, resource?, context, None).ok()?;
        // Cedar's parser and evaluator recurse; the policy is within the limits it was loaded under.
        let label = stack::with_parser_stack(&Limits::default(), || {
            let set = policy_set(program, policy, text)?;
            let response = cedar::Authorizer::new().is_authorized(&request, &set, &entities);
            let cedar::AuthorizationError::PolicyEvaluationError(error) =
                response.diagnostics().errors().next()?;
            let error = cedar::ffi::DetailedError::from(error.inner());
            let label = error.source_locations.first()?;
            Some(label.loc.start..label.loc.end)
        });
        let label = label.ok()??;
        Some(start + label.start..start + label.end)
    }

    /// Every entity that evaluating the policy can come across: from the request and from the policy's
    /// constants, by way of attributes and tags. Ancestors stand in as parents; that is all that `in` asks for.
    fn reachable(&self, program: &Program, policy: &Policy) -> Vec<cedar::Entity> {
        let mut open: Vec<Uid> = self.uids.to_vec();
        mentioned(self.context.into(), &mut open);
        for constant in self.constants(program, policy) {
            mentioned(constant.value(), &mut open);
        }
        let mut seen = HashSet::new();
        let mut entities = Vec::new();
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            let Some((attrs, tags)) = self.machine.entity(next) else {
                continue;
            };
            mentioned(attrs.into(), &mut open);
            mentioned(tags.into(), &mut open);
            let Some(uid) = self.uid(next) else { continue };
            let parents = self.machine.ancestors(next);
            let parents: HashSet<_> = parents
                .iter()
                .filter_map(|above| self.uid(*above))
                .collect();
            let entity =
                cedar::Entity::new_with_tags(uid, self.fields(attrs), parents, self.fields(tags));
            entities.extend(entity.ok());
        }
        entities
    }

    /// The constants in a policy's conditions.
    fn constants(&self, program: &Program, policy: &Policy) -> Vec<&Stored> {
        let mut segments = self.epoch.segments.iter();
        let segment = segments.find(|segment| std::ptr::eq(&*segment.program, program));
        let Some(segment) = segment else {
            return Vec::new();
        };
        let Some(body) = program.body(policy) else {
            return Vec::new();
        };
        let mut open = program.conditions(body).to_vec();
        let mut constants = Vec::new();
        while let Some(id) = open.pop() {
            let Some(node) = program.nodes.get(id.index()) else {
                continue;
            };
            if let Node::Constant(index) = node {
                constants.extend(segment.linked.constants.get(*index as usize));
            }
            let (fixed, listed) = program.operands(*node);
            open.extend(fixed.into_iter().flatten());
            open.extend_from_slice(listed);
        }
        constants
    }

    fn fields(&self, record: Record<'_>) -> Vec<(String, RestrictedExpression)> {
        record
            .iter()
            .filter_map(|(key, value)| {
                Some((self.names.sym_text(key).to_owned(), self.expression(value)?))
            })
            .collect()
    }

    fn expression(&self, value: Value<'_>) -> Option<RestrictedExpression> {
        Some(match value.view() {
            View::Bool(b) => RestrictedExpression::new_bool(b),
            View::Long(i) => RestrictedExpression::new_long(i),
            View::String(s) => RestrictedExpression::new_string(s.to_owned()),
            View::Entity(uid) => RestrictedExpression::new_entity_uid(self.uid(uid)?),
            View::Set(set) => RestrictedExpression::new_set(
                set.iter()
                    .map(|item| self.expression(item))
                    .collect::<Option<Vec<_>>>()?,
            ),
            View::Record(record) => RestrictedExpression::new_record(self.fields(record)).ok()?,
            View::Decimal(d) => RestrictedExpression::new_decimal(d.to_string()),
            View::Ip(ip) => RestrictedExpression::new_ip(ip.to_string()),
            View::Duration(d) => RestrictedExpression::new_duration(d.to_string()),
            View::Datetime(d) if d.is_representable() => {
                RestrictedExpression::new_datetime(d.to_string())
            }
            View::Datetime(d) => RestrictedExpression::from_str(&format!(
                "datetime(\"1970-01-01\").offset(duration(\"{}ms\"))",
                d.millis()
            ))
            .ok()?,
        })
    }

    fn uid(&self, of: Uid) -> Option<cedar::EntityUid> {
        uid(self.names.uid_text(of))
    }
}

/// The one policy alone: static, or the template with its one link.
fn policy_set(program: &Program, policy: &Policy, text: &str) -> Option<cedar::PolicySet> {
    let mut set = cedar::PolicySet::new();
    let id = cedar::PolicyId::new("policy");
    if policy.template.is_none() {
        set.add(cedar::Policy::parse(Some(id), text).ok()?).ok()?;
        return Some(set);
    }
    let template = cedar::PolicyId::new("template");
    set.add_template(cedar::Template::parse(Some(template.clone()), text).ok()?)
        .ok()?;
    let slots = policy.slots;
    let values = slot_values(slots.map(|uid| Some(program.names.uid_text(uid?).into()))).ok()?;
    set.link(template, id, values).ok()?;
    Some(set)
}

fn uid(text: (&str, &str)) -> Option<cedar::EntityUid> {
    cedar_uid(text.into()).ok()
}

/// Collects the entities that a value mentions.
fn mentioned(value: Value<'_>, uids: &mut Vec<Uid>) {
    match value.view() {
        View::Entity(uid) => uids.push(uid),
        View::Set(set) => set.iter().for_each(|item| mentioned(item, uids)),
        View::Record(record) => record.iter().for_each(|(_, item)| mentioned(item, uids)),
        _ => {}
    }
}
