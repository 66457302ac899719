//! A record as the files that Cedar's own command line takes.

use serde_json::{Value as Json, json};

use crate::compile::stack;
use crate::evidence::{OwnedRecord, cedar_record};

use super::asked::{Asked, asked};
use super::decide::ArchivedPolicies;
use super::explain::ReplayError;
use super::reason::NotReplayable;

/// A request, with what it was decided on, as JSON documents in the formats of Cedar's own command line: for whoever
/// wants to see the answer without trusting this crate.
///
/// ```text
/// cedar authorize --policy-format json --policies policies.json --entities entities.json --request-json request.json
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct CedarFiles {
    /// The policies, templates and links: Cedar's JSON format of policy sets.
    pub policies: Json,
    /// The entities that were read, with what was read of them: Cedar's entities format.
    pub entities: Json,
    /// `principal`, `action` and `resource` as texts (`User::"ann"`), and `context`.
    pub request: Json,
}

impl ArchivedPolicies {
    /// The files for each request that a record stands for: one, or one for each hop of its delegation, the principal
    /// first.
    ///
    /// # Errors
    /// [`ReplayError::NotReplayable`] when the record cannot be decided again, or Cedar has no JSON form for a policy or a value: it
    /// would take a record with a key `__entity` for an entity, and reads no JSON of more than 127 levels, which are some 60 operators
    /// inside one another.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use duramen::evidence::MemorySink;
    /// use duramen::replay::PolicyArchive;
    /// use duramen::{Authorizer, Request};
    ///
    /// # let directory = std::env::temp_dir().join(format!("duramen-doc-export-{}", std::process::id()));
    /// let sink = Arc::new(MemorySink::new(10));
    /// let authorizer = Authorizer::builder()
    ///     .policies("permit(principal, action, resource) when { context.hour < 18 };")
    ///     .sink(Arc::clone(&sink))
    ///     .build()?;
    /// let archive = PolicyArchive::open(&directory)?;
    /// archive.keep(&authorizer)?;
    /// let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    /// assert!(authorizer.is_allowed(&request.context_json(r#"{ "hour": 9 }"#)));
    ///
    /// let record = &sink.records()[0];
    /// let files = archive.load(record.version.policies())?.cedar_files(record)?;
    /// assert_eq!(files[0].request["principal"], r#"User::"ann""#);
    /// assert_eq!(files[0].request["context"]["hour"], 9);
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cedar_files(&self, record: &OwnedRecord) -> Result<Vec<CedarFiles>, ReplayError> {
        self.files(record).map_err(ReplayError::NotReplayable)
    }

    fn files(&self, record: &OwnedRecord) -> Result<Vec<CedarFiles>, NotReplayable> {
        self.can_decide(record)?;
        let policies = self.policies_json().map_err(NotReplayable::unreadable)?;
        let files = asked(record, &self.limits)?.into_iter().map(|asked| {
            let Asked {
                principal,
                action,
                resource,
                context,
                inputs,
            } = asked;
            let no_form = || {
                NotReplayable::unreadable(
                    "a record has a key `__entity`, `__extn` or `__expr`, which Cedar's JSON would take for an escape",
                )
            };
            let context = context.as_object().and_then(cedar_record).ok_or_else(no_form)?;
            Ok(CedarFiles {
                policies: policies.clone(),
                entities: inputs.to_cedar_entities().ok_or_else(no_form)?,
                request: json!({
                    "principal": principal.to_string(),
                    "action": action.to_string(),
                    "resource": resource.to_string(),
                    "context": context,
                }),
            })
        });
        files.collect()
    }

    /// Making them recurses more deeply than a caller's stack may be, and so does whatever is done with them.
    fn policies_json(&self) -> Result<Json, String> {
        let json = || {
            let json = self.policy_set().clone().to_json();
            let json = json.map_err(|error| error.to_string())?;
            match is_read_by_cedar(&json) {
                true => Ok(json),
                false => Err("a policy is nested more deeply than Cedar reads JSON".to_owned()),
            }
        };
        stack::with_parser_stack(&self.limits, json)
            .map_err(|error| stack::no_thread(&self.limits, &error).to_string())?
    }
}

/// Whether no arrays and objects are more deeply inside one another than `serde_json` reads, which Cedar reads with.
fn is_read_by_cedar(json: &Json) -> bool {
    const LEVELS: usize = 127;
    let mut values = vec![(json, 1)];
    while let Some((value, level)) = values.pop() {
        let is_plain = !matches!(value, Json::Array(_) | Json::Object(_));
        if level > LEVELS && !is_plain {
            return false;
        }
        match value {
            Json::Array(items) => values.extend(items.iter().map(|item| (item, level + 1))),
            Json::Object(members) => values.extend(members.values().map(|of| (of, level + 1))),
            _ => {}
        }
    }
    true
}
