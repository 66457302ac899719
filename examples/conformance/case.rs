//! Case files, as Cedar's integration tests have them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// One case: policies, entities, a schema, and what they answer to some requests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) policies: PathBuf,
    pub(crate) entities: PathBuf,
    pub(crate) schema: PathBuf,
    /// Whether the policies pass strict validation.
    pub(crate) should_validate: Option<bool>,
    pub(crate) requests: Vec<Recorded>,
}

/// A request and its answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recorded {
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    #[serde(default = "empty_context")]
    pub(crate) context: Value,
    #[serde(default = "yes")]
    pub(crate) validate_request: bool,
    pub(crate) decision: RecordedDecision,
    /// The determining policies.
    pub(crate) reason: Vec<String>,
    /// The policies that could not be evaluated.
    pub(crate) errors: Vec<String>,
}

/// An entity uid, with or without the escape around it.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "UidForm")]
pub(crate) struct Uid {
    pub(crate) type_name: String,
    pub(crate) id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum UidForm {
    Plain {
        #[serde(rename = "type")]
        type_name: String,
        id: String,
    },
    Escaped {
        #[serde(rename = "__entity")]
        entity: Box<UidForm>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordedDecision {
    #[serde(alias = "Allow")]
    Allow,
    #[serde(alias = "Deny")]
    Deny,
}

/// What a JSON file turned out to be.
pub(crate) enum Found {
    Case(Case),
    /// It has the keys of a case and is none.
    Malformed(String),
    SomethingElse,
}

/// The keys by which a case is known.
const KEYS: [&str; 4] = ["policies", "entities", "schema", "requests"];

/// Reads a JSON file, if it is a case.
pub(crate) fn read(file: &Path) -> Found {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{} is skipped: {error}", file.display());
            return Found::SomethingElse;
        }
    };
    // A case is an object. What is not, such as a large array of entities, need not be parsed.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Found::SomethingElse;
    }
    let object: Map<String, Value> = match serde_json::from_slice(&bytes) {
        Ok(object) => object,
        Err(error) => {
            eprintln!("{} is skipped: {error}", file.display());
            return Found::SomethingElse;
        }
    };
    if !KEYS.iter().all(|key| object.contains_key(*key)) {
        return Found::SomethingElse;
    }
    match Case::deserialize(Value::Object(object)) {
        Ok(case) => Found::Case(case),
        Err(error) => Found::Malformed(format!("is malformed: {error}")),
    }
}

impl From<UidForm> for Uid {
    fn from(form: UidForm) -> Self {
        match form {
            UidForm::Plain { type_name, id } => Self { type_name, id },
            UidForm::Escaped { entity } => (*entity).into(),
        }
    }
}

impl Uid {
    /// Whether it is one of an action, which belongs to the schema.
    pub(crate) fn is_action(&self) -> bool {
        self.type_name.rsplit("::").next() == Some("Action")
    }
}

fn empty_context() -> Value {
    Value::Object(Map::new())
}

fn yes() -> bool {
    true
}
