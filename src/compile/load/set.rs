//! Loading what Cedar has parsed: policy sets, and its JSON form of them.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{self as cedar, PolicySet, SlotId};

use crate::compile::error::{Problem, byte_order_mark};
use crate::compile::input::uid_of;
use crate::compile::lower::LowerError;
use crate::compile::scan;
use crate::compile::stack::in_parallel;
use crate::id::PolicyId;
use crate::program::{Slots, SourceSpan};

use super::linked::check_links;
use super::parse::{OwnedTree, Parsed};
use super::shape::Holes;
use super::source::Link;
use super::text::path_advice;
use super::{BATCH, Loader, template_of};

impl Loader<'_> {
    pub(super) fn json(&mut self, file: Option<&Arc<str>>, text: &Arc<str>) {
        if let Err(error) = scan::scan_json_policies(text, self.options.limits) {
            self.problems.push(Problem::from(error).in_file(file));
            return;
        }
        if let Err(exceeded) = check_links(text, self.options.limits) {
            let problem = Problem::from(exceeded);
            self.problems.push(problem.in_file(file));
            return;
        }
        match PolicySet::from_json_str(text) {
            Ok(set) => self.set(&set, file),
            Err(error) => {
                let mut problem = Problem::from_cedar_json((&error).into(), text);
                if problem.help.is_none() {
                    let path = || path_advice(text).filter(|_| file.is_none());
                    problem.help = byte_order_mark(text).or_else(path).map(Into::into);
                }
                self.problems.push(problem.in_file(file));
            }
        }
    }

    /// Loads a set of the caller's own, if no text of it goes beyond a limit. Cedar's conversions and type checker, linking and
    /// explaining recurse over its trees, and whoever made them may have had a larger stack. What was text, Cedar gives as it
    /// was; the rest it prints, and takes less than 12 KiB a level for it: this stack suffices for 20,000.
    pub(super) fn policy_set(&mut self, set: &PolicySet) {
        let problems = self.problems.len();
        let templates = set.templates().cloned().map(Parsed::Template);
        // A link is as deep as its template.
        let policies = set.policies().filter(|policy| policy.is_static());
        for parsed in templates.chain(policies.cloned().map(Parsed::Static)) {
            let text = parsed.text().unwrap_or_default();
            if let Err(error) = scan::scan_policies(&text, self.options.limits) {
                let id = policy_id(parsed.id());
                self.refused.insert(id.clone());
                self.problems.push(Problem::from(error).of_policy(id));
            }
        }
        if self.problems.len() == problems {
            self.set(set, None);
        }
    }

    fn set(&mut self, set: &PolicySet, file: Option<&Arc<str>>) {
        let id_of = |annotation: Option<&str>, id: &cedar::PolicyId| {
            annotation
                .filter(|_| self.ids_from_annotations)
                .map_or_else(|| policy_id(id), PolicyId::new)
        };
        let mut parsed: Vec<(PolicyId, Parsed)> = Vec::new();
        let mut links = Vec::new();
        let mut template_ids = HashMap::new();
        for template in set.templates() {
            let id = id_of(template.annotation("id"), template.id());
            template_ids.insert(template.id().clone(), id.clone());
            parsed.push((id, Parsed::Template(template.clone())));
        }
        for policy in set.policies() {
            match (policy.template_id(), policy.template_links()) {
                (Some(template), Some(values)) => links.push((policy.id(), template, values)),
                _ => parsed.push((
                    id_of(policy.annotation("id"), policy.id()),
                    Parsed::Static(policy.clone()),
                )),
            }
        }
        // A `PolicySet` iterates in no particular order; ours is by id, numbers counted as numbers.
        parsed.sort_by_cached_key(|(id, _)| natural(id.as_str()));
        links.sort_by_cached_key(|(id, ..)| natural(id.as_ref()));
        self.expect(parsed.len());
        for batch in parsed.chunks(BATCH) {
            self.parsed_batch(batch, file);
        }
        let links: Vec<Link> = links
            .into_iter()
            .map(|(id, template, values)| Link {
                template: template_ids
                    .get(template)
                    .cloned()
                    .unwrap_or_else(|| policy_id(template)),
                id: policy_id(id),
                slots: Slots {
                    principal: values.get(&SlotId::principal()).map(uid_of),
                    resource: values.get(&SlotId::resource()).map(uid_of),
                },
            })
            .collect();
        self.links(&links);
    }

    fn parsed_batch(&mut self, batch: &[(PolicyId, Parsed)], file: Option<&Arc<str>>) {
        if self.is_full {
            return;
        }
        let validator = self.options.validator;
        let parts = in_parallel(self.options.limits, batch, |part| {
            let trees: Vec<_> = part
                .iter()
                .map(|(_, parsed)| OwnedTree::of(parsed))
                .collect();
            let verdicts = validator.map(|validator| validator.validate(part.iter().cloned()));
            (trees, verdicts.unwrap_or_default())
        });
        if validator.is_some() {
            self.cedar_templates
                .extend(batch.iter().filter_map(template_of));
        }
        let mut trees = Vec::with_capacity(batch.len());
        for (part, verdicts) in parts {
            trees.extend(part);
            for verdict in verdicts {
                // Where in which text the policies stood, the set does not tell.
                self.verdict(verdict, None, file);
            }
        }
        for ((id, parsed), tree) in batch.iter().zip(trees) {
            if let Err(problem) = self.add_parsed(id, parsed, tree, file) {
                self.problems
                    .extend(problem.map(|problem| problem.in_file(file)));
            }
            if self.is_full {
                return;
            }
        }
        self.advance(batch.len());
    }

    fn add_parsed(
        &mut self,
        id: &PolicyId,
        parsed: &Parsed,
        tree: Result<OwnedTree, LowerError>,
        file: Option<&Arc<str>>,
    ) -> Result<(), Option<Box<Problem>>> {
        if self.is_taken(id) {
            return Err(self.clash(id, file, None));
        }
        let source = parsed.text().and_then(|own| {
            Some(SourceSpan {
                start: 0,
                end: u32::try_from(own.len()).ok()?,
                source: self.lowering.out.source(&own.into(), file, true).ok()?,
            })
        });
        let added = tree.and_then(|tree| {
            let whole = &mut [tree.view(Holes::default())];
            self.lowering.add(id.clone(), whole, source)
        });
        match added {
            Ok(template) => {
                let template = template.map(|template| (id.clone(), template));
                self.templates.extend(template);
                Ok(())
            }
            Err(error) => Err(Some(Box::new(self.lower_problem(error, id)))),
        }
    }
}

/// A key that sorts `policy10` behind `policy9`.
fn natural(id: &str) -> (String, usize, String) {
    let digits = id.len() - id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, number) = id.split_at(id.len() - digits);
    (
        head.to_owned(),
        number.parse().unwrap_or(usize::MAX),
        number.to_owned(),
    )
}

/// Cedar's `Display` of an id escapes it.
pub(crate) fn policy_id(id: &cedar::PolicyId) -> PolicyId {
    let id: &str = id.as_ref();
    PolicyId::new(id)
}
