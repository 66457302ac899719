//! Cases from JSON.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use bumpalo::Bump;
use serde::Deserialize;
use serde_json::Value;

use crate::compile::{line_column, parse_uid, take_json_place};
use crate::decision::{Decision, Outcome};
use crate::files::open_file;
use crate::id::{EntityUid, PolicyId};
use crate::json;
use crate::limits::Limits;

use super::expected::{Errors, Expected};

/// Cases as data: the format is in the [module's documentation](super).
#[derive(Clone, Debug)]
pub struct Cases {
    /// Where they come from, for reports.
    pub(super) file: Option<Arc<str>>,
    pub(super) cases: Vec<Case>,
}

/// A request and what it should come to.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) context: String,
    pub(super) actors: Vec<EntityUid>,
    pub(super) entities: Option<String>,
    pub(super) expected: Expected,
}

/// Why a text is not [`Cases`]: what is wrong and where.
#[derive(Debug)]
pub struct CasesError {
    file: Option<Arc<str>>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File(std::io::Error),
    /// What is wrong, with its place.
    Text(String),
    /// The number of the case, from 1, and its name.
    Case(usize, String, String),
}

impl Cases {
    /// Reads a file.
    ///
    /// # Errors
    /// [`CasesError`] if it cannot be read, and as [`from_json`](Self::from_json).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CasesError> {
        let path = path.as_ref();
        let file: Option<Arc<str>> = Some(path.display().to_string().into());
        let read = open_file(path)
            .and_then(io::read_to_string)
            .map_err(Kind::File);
        match read.and_then(|text| read_cases(&text)) {
            Ok(cases) => Ok(Self { file, cases }),
            Err(kind) => Err(CasesError { file, kind }),
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`CasesError`] when it is not JSON, has a key twice, a member that is not known or one too few, a uid that is none,
    /// or not a single case.
    pub fn from_json(text: &str) -> Result<Self, CasesError> {
        let cases = read_cases(text).map_err(|kind| CasesError { file: None, kind })?;
        Ok(Self { file: None, cases })
    }

    /// How many there are: one at least.
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.cases.len()
    }
}

fn read_cases(text: &str) -> Result<Vec<Case>, Kind> {
    // Twice: serde_json would take the last of two equal keys, and one of two expectations with it.
    let arena = Bump::new();
    json::parse(&arena, text, Limits::default().nesting())
        .map_err(|error| Kind::Text(format!("{}: {error}", error.position(text))))?;
    let written: Vec<Written> = serde_json::from_str(text).map_err(|error| {
        let mut what = error.to_string();
        Kind::Text(match take_json_place(&mut what, text) {
            Some(offset) => {
                let (line, column) = line_column(text, offset);
                format!("line {line}, column {column}: {what}")
            }
            None => what,
        })
    })?;
    if written.is_empty() {
        return Err(Kind::Text("there are no cases in it".into()));
    }
    let cases = written.into_iter().zip(1..);
    cases
        .map(|(written, number)| {
            let name = written.name.clone();
            written
                .case()
                .map_err(|what| Kind::Case(number, name, what))
        })
        .collect()
}

/// A case as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    request: WrittenRequest,
    entities: Option<Vec<Value>>,
    decision: Decision,
    outcome: Option<Outcome>,
    reason: Option<Vec<PolicyId>>,
    errors: Option<Vec<PolicyId>>,
    num_errors: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRequest {
    principal: WrittenUid,
    action: WrittenUid,
    resource: WrittenUid,
    context: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    actors: Vec<WrittenUid>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an entity: `User::\"ann\"` or { \"type\": …, \"id\": … }"
)]
enum WrittenUid {
    Text(String),
    Pair(EntityUid),
}

impl WrittenUid {
    fn uid(self, what: &str) -> Result<EntityUid, String> {
        match self {
            Self::Pair(uid) => Ok(uid),
            Self::Text(text) => parse_uid(&text)
                .map_err(|error| format!("{what}: {text:?} is no entity uid: {error}")),
        }
    }
}

impl Written {
    fn case(self) -> Result<Case, String> {
        let mut expected = Expected::new(self.decision);
        if let Some(outcome) = self.outcome {
            if outcome.decision() != self.decision {
                let (outcome, decision) = (outcome.as_str(), self.decision);
                return Err(format!(
                    "the outcome `{outcome}` is not a decision to {decision}"
                ));
            }
            expected = expected.outcome(outcome);
        }
        if let Some(reason) = self.reason {
            expected = expected.by(reason);
        }
        expected.errors = match (self.errors, self.num_errors) {
            (Some(_), Some(_)) => return Err("`errors` and `num_errors`: one is enough".into()),
            (Some(errors), None) => Errors::Of(errors.into_iter().collect()),
            (None, Some(count)) => Errors::Count(count),
            (None, None) => expected.errors,
        };
        let WrittenRequest {
            principal,
            action,
            resource,
            context,
            actors,
        } = self.request;
        let actors = actors.into_iter().map(|actor| actor.uid("actors"));
        Ok(Case {
            name: self.name,
            principal: principal.uid("principal")?,
            action: action.uid("action")?,
            resource: resource.uid("resource")?,
            context: Value::Object(context.unwrap_or_default()).to_string(),
            actors: actors.collect::<Result<_, _>>()?,
            entities: self.entities.map(|all| Value::Array(all).to_string()),
            expected,
        })
    }
}

impl fmt::Display for CasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}: ")?,
            None => write!(f, "cases of policy tests: ")?,
        }
        match &self.kind {
            Kind::File(_) => f.write_str("cannot be read"),
            Kind::Text(what) => f.write_str(what),
            Kind::Case(number, name, what) => write!(f, "case {number}, {name:?}: {what}"),
        }
    }
}

impl std::error::Error for CasesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::File(error) => Some(error),
            _ => None,
        }
    }
}
