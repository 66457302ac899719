//! One case: what is to be compared, and what came of it.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use cedar_policy::{self as cedar, PolicySet, Schema};
use duramen::{Authorizer, BuildError, Builder, Entities, Limits, Policies};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, AsRecorded};
use crate::case::{Case, Recorded, Uid};
use crate::oracle::{self, Oracle, Validity};
use crate::typed::{self, CedarJson, TypedEntity, mentions_unknown};
use crate::worlds::{ContextForm, Overlay, Query, Setting, World};

/// No more mismatches of one request than this are kept to be printed.
const SHOWN: usize = 5;

/// Checks a case whose paths are relative to `dir`.
pub(crate) fn check(dir: &Path, case: &Case) -> Verdict {
    let texts = match Texts::read(dir, case) {
        Ok(texts) => texts,
        Err(message) => return Verdict::failed("the case's files", message),
    };
    let mut verdict = Verdict {
        requests: case.requests.len(),
        ..Verdict::default()
    };
    match (
        oracle::policies(&texts.policies),
        oracle::schema(&texts.schema, texts.schema_is_json),
    ) {
        (Ok(policies), Ok(schema)) => Checking {
            case,
            texts: &texts,
            policies,
            schema,
            verdict: &mut verdict,
        }
        .run(),
        (policies, schema) => {
            let why: Vec<String> = [policies.err(), schema.err()]
                .into_iter()
                .flatten()
                .collect();
            let built = texts.with_schema().policies(texts.policies()).build();
            verdict.refused("policies and schema", &why.join("; "), built.err());
            verdict.recorded_refused(case, &why.join("; "));
        }
    }
    verdict
}

/// The case's files.
struct Texts {
    policies: Arc<str>,
    entities: Arc<str>,
    schema: Arc<str>,
    schema_is_json: bool,
}

impl Texts {
    fn read(dir: &Path, case: &Case) -> Result<Self, String> {
        let text = |path: &Path| match std::fs::read_to_string(dir.join(path)) {
            Ok(text) => Ok(Arc::from(text)),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        };
        Ok(Self {
            policies: text(&case.policies)?,
            entities: text(&case.entities)?,
            schema: text(&case.schema)?,
            schema_is_json: case.schema.extension().is_some_and(|end| end == "json"),
        })
    }

    fn policies(&self) -> Policies {
        Policies::new().text(Arc::clone(&self.policies))
    }

    fn entities(&self) -> Entities {
        Entities::new().json(Arc::clone(&self.entities))
    }

    fn with_schema(&self) -> Builder {
        let schema = Arc::clone(&self.schema);
        if self.schema_is_json {
            builder().schema_json(schema)
        } else {
            builder().schema_str(schema)
        }
    }
}

/// All entities of a case have to fit into a request.
fn builder() -> Builder {
    Authorizer::builder().limits(Limits::default().with_overlay_entities(usize::MAX))
}

/// A case whose policies and schema Cedar accepts.
struct Checking<'c> {
    case: &'c Case,
    texts: &'c Texts,
    policies: PolicySet,
    schema: Schema,
    verdict: &'c mut Verdict,
}

impl Checking<'_> {
    fn run(mut self) {
        let validates = self.validation();
        match oracle::entities(&self.texts.entities, &self.schema) {
            Ok(entities) => {
                if self.deviates_by_unknown(self.texts.with_schema()) {
                    self.verdict.deviations += self.case.requests.len();
                    return;
                }
                self.recorded(&entities);
                if validates {
                    self.with_schema(&entities);
                } else {
                    self.schema_without_policies(&entities);
                }
                self.with_cedar_values(&entities);
            }
            Err(why) => {
                let built = self
                    .texts
                    .with_schema()
                    .entities(self.texts.entities())
                    .build();
                self.verdict
                    .refused("entities, read by the schema", &why, built.err());
                self.verdict.recorded_refused(self.case, &why);
            }
        }
        self.without_schema();
    }

    /// Strict validation: Cedar's result, the recorded one, and whether Duramen builds.
    fn validation(&mut self) -> bool {
        let name = |valid: bool| if valid { "valid" } else { "not valid" };
        let validity = oracle::validate(&self.policies, &self.schema);
        let validates = validity != Validity::Invalid;
        match self.case.should_validate {
            Some(false) if validity == Validity::ValidOfLate => self.verdict.valid_of_late += 1,
            Some(recorded) if recorded != validates => {
                let (expected, got) = (name(recorded).into(), name(validates).into());
                self.verdict
                    .mismatch(None, "validation, recorded against Cedar", expected, got);
            }
            _ => {}
        }
        let built = self
            .texts
            .with_schema()
            .policies(self.texts.policies())
            .build();
        if built.is_ok() != validates {
            let got = match built {
                Ok(_) => "valid".into(),
                Err(error) => format!("not built: {error}"),
            };
            self.verdict
                .mismatch(None, "validation", name(validates).into(), got);
        }
        validates
    }

    /// Whether Duramen refuses entities that Cedar accepts, because of `unknown`.
    fn deviates_by_unknown(&self, builder: Builder) -> bool {
        let json: Option<Value> = serde_json::from_str(&self.texts.entities).ok();
        json.as_ref().is_some_and(mentions_unknown)
            && builder.entities(self.texts.entities()).build().is_err()
    }

    /// Cedar's answers against the recorded ones. Duramen's are compared with Cedar's, and so with both.
    fn recorded(&mut self, entities: &cedar::Entities) {
        for recorded in &self.case.requests {
            let expected = self.oracle(entities).ask(recorded);
            let answer = if recorded.validate_request {
                expected.validated
            } else {
                expected.plain
            };
            if matches!(answer, Answer::RecursionLimit) {
                self.verdict.recursion_limits += 1;
            }
            self.verdict
                .compare_recorded("recorded against Cedar", recorded, &answer);
        }
    }

    fn oracle<'o>(&'o self, entities: &'o cedar::Entities) -> Oracle<'o> {
        Oracle {
            policies: &self.policies,
            entities,
            schema: Some(&self.schema),
        }
    }

    /// Everything read and validated by the schema.
    fn with_schema(&mut self, entities: &cedar::Entities) {
        let oracle = self.oracle(entities);
        let queries = self.queries(&oracle, |recorded, explicit| {
            let mut contexts = vec![ContextForm::json(&recorded.context)];
            contexts.extend(explicit.and_then(CedarJson::new).map(ContextForm::Typed));
            contexts
        });
        let builder = || self.texts.with_schema().policies(self.texts.policies());
        World {
            name: "schema",
            builder: &builder,
            settings: Setting::with_schema(),
            store: self.texts.entities(),
            again: typed_store(entities),
            actions: Entities::new(),
            overlays: overlays(
                split(&self.texts.entities).map(|(others, _)| others),
                entities,
            ),
            queries,
        }
        .check(self.verdict);
    }

    /// Where the policies are not valid: requests validated by the schema, decided by no policy.
    fn schema_without_policies(&mut self, entities: &cedar::Entities) {
        let none = PolicySet::new();
        let oracle = Oracle {
            policies: &none,
            ..self.oracle(entities)
        };
        let queries = self.queries(&oracle, |recorded, _| {
            vec![ContextForm::json(&recorded.context)]
        });
        let builder = || self.texts.with_schema();
        World {
            name: "schema without policies",
            builder: &builder,
            settings: vec![Setting::default().validating()],
            store: self.texts.entities(),
            again: None,
            actions: Entities::new(),
            overlays: Vec::new(),
            queries,
        }
        .check(self.verdict);
    }

    /// No schema on Duramen's side; Cedar has read policies, entities and contexts, and hands them over.
    fn with_cedar_values(&mut self, entities: &cedar::Entities) {
        let oracle = self.oracle(entities);
        let queries = self.queries(&oracle, |_, explicit| {
            let json = explicit.as_ref().map(ContextForm::json);
            let typed = explicit.and_then(CedarJson::new).map(ContextForm::Typed);
            json.into_iter().chain(typed).collect()
        });
        let actions = match self.schema.action_entities() {
            Ok(actions) => Entities::new().cedar(actions),
            Err(error) => {
                let message = error.to_string();
                self.verdict.mismatch(
                    None,
                    "the schema's actions",
                    "action entities".into(),
                    message,
                );
                return;
            }
        };
        let explicit: Option<Vec<Value>> = others(entities)
            .map(|entity| entity.to_json_value().ok())
            .collect();
        let builder = || builder().policies(self.policies.clone());
        World {
            name: "Cedar's values, no schema",
            builder: &builder,
            settings: Setting::without_schema(),
            store: Entities::new().cedar(entities.clone()),
            again: typed_store(entities),
            actions,
            overlays: overlays(explicit, entities),
            queries,
        }
        .check(self.verdict);
    }

    /// No schema on either side, but for the actions, which become data.
    fn without_schema(&mut self) {
        let read = oracle::plain_entities(&self.texts.entities).and_then(|plain| {
            let missing = oracle::missing_actions(&plain, &self.schema)?;
            Ok((oracle::union(&plain, &missing)?, missing))
        });
        let (entities, missing) = match read {
            Ok(read) => read,
            Err(why) => {
                let built = builder().entities(self.texts.entities()).build();
                self.verdict
                    .refused("entities, read without a schema", &why, built.err());
                return;
            }
        };
        if self.deviates_by_unknown(builder()) {
            return;
        }
        let oracle = Oracle {
            schema: None,
            ..self.oracle(&entities)
        };
        let queries = self.queries(&oracle, |recorded, _| {
            vec![ContextForm::json(&recorded.context)]
        });
        let (others, actions) = split(&self.texts.entities).unwrap_or_default();
        let builder = || builder().policies(self.texts.policies());
        World {
            name: "no schema",
            builder: &builder,
            settings: Setting::extremes(),
            store: self.texts.entities().cedar(missing.clone()),
            again: None,
            actions: Entities::new()
                .json(Value::from(actions).to_string())
                .cedar(missing),
            overlays: vec![Overlay::Json(Value::from(others).to_string())],
            queries,
        }
        .check(self.verdict);
    }

    fn queries<'q>(
        &self,
        oracle: &Oracle<'_>,
        contexts: impl Fn(&Recorded, Option<Value>) -> Vec<ContextForm>,
    ) -> Vec<Query<'q>>
    where
        Self: 'q,
    {
        let query = |recorded: &'q Recorded| {
            let expected = oracle.ask(recorded);
            Query {
                recorded,
                contexts: contexts(recorded, expected.context),
                plain: expected.plain,
                validated: expected.validated,
                may_be_refused: mentions_unknown(&recorded.context),
            }
        };
        self.case.requests.iter().map(query).collect()
    }
}

/// The entities that are no actions.
fn others(entities: &cedar::Entities) -> impl Iterator<Item = &cedar::Entity> {
    entities
        .iter()
        .filter(|entity| entity.uid().type_name().basename() != "Action")
}

fn typed_store(entities: &cedar::Entities) -> Option<Entities> {
    let entities: Option<Vec<TypedEntity>> = entities.iter().map(TypedEntity::new).collect();
    entities.map(|entities| typed::stored(&entities))
}

/// The entities to lend to requests, those that are no actions: as JSON and as typed values.
fn overlays(json: Option<Vec<Value>>, entities: &cedar::Entities) -> Vec<Overlay> {
    let typed: Option<Vec<TypedEntity>> = others(entities).map(TypedEntity::new).collect();
    let json = json.map(|entities| Overlay::Json(Value::from(entities).to_string()));
    json.into_iter().chain(typed.map(Overlay::Typed)).collect()
}

/// The entities of a JSON text, each once: first those that are no actions, then the actions.
fn split(text: &str) -> Option<(Vec<Value>, Vec<Value>)> {
    let entities: Vec<Value> = serde_json::from_str(text).ok()?;
    let mut seen = HashSet::new();
    let mut others = Vec::new();
    let mut actions = Vec::new();
    for entity in entities {
        let uid = Uid::deserialize(entity.get("uid")?).ok()?;
        let is_action = uid.is_action();
        if seen.insert(uid) {
            if is_action { &mut actions } else { &mut others }.push(entity);
        }
    }
    Some((others, actions))
}

/// What came of a case.
#[derive(Default)]
pub(crate) struct Verdict {
    mismatches: Vec<Mismatch>,
    not_shown: usize,
    pub(crate) requests: usize,
    /// Duramen's answers that were compared.
    pub(crate) answers: usize,
    /// Requests that Cedar had no stack for.
    pub(crate) recursion_limits: usize,
    /// Answers that Duramen refuses because of `unknown`, which Cedar accepts.
    pub(crate) deviations: usize,
    /// 1 where the record is of a Cedar that did not accept the policies yet.
    pub(crate) valid_of_late: usize,
}

struct Mismatch {
    /// The request's description.
    request: Option<String>,
    mode: String,
    expected: String,
    got: String,
}

impl Verdict {
    /// A case that could not be checked.
    pub(crate) fn failed(what: &str, message: String) -> Self {
        let mut verdict = Self::default();
        verdict.mismatch(None, what, "something to check".into(), message);
        verdict
    }

    pub(crate) fn passed(&self) -> bool {
        self.mismatches.is_empty()
    }

    pub(crate) fn mismatch(
        &mut self,
        request: Option<&Recorded>,
        mode: &str,
        expected: String,
        got: String,
    ) {
        let request = request.map(|recorded| recorded.description.clone());
        let same = self
            .mismatches
            .iter()
            .filter(|kept| kept.request == request);
        if same.count() >= SHOWN {
            self.not_shown += 1;
            return;
        }
        self.mismatches.push(Mismatch {
            request,
            mode: mode.to_owned(),
            expected,
            got,
        });
    }

    /// Cedar refused something, and so must Duramen.
    fn refused(&mut self, mode: &str, why: &str, refusal: Option<BuildError>) {
        if refusal.is_none() {
            let expected = format!("refused ({why})");
            self.mismatch(None, mode, expected, "accepted".into());
        }
    }

    /// Cedar can answer none of the requests.
    fn recorded_refused(&mut self, case: &Case, why: &str) {
        for recorded in &case.requests {
            let answer = Answer::Refused(why.to_owned());
            self.compare_recorded("recorded against Cedar", recorded, &answer);
        }
    }

    fn compare_recorded(&mut self, mode: &str, recorded: &Recorded, answer: &Answer) {
        if !answer.is_recorded(recorded) {
            let (expected, got) = (AsRecorded(recorded).to_string(), answer.to_string());
            self.mismatch(Some(recorded), mode, expected, got);
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mismatch in &self.mismatches {
            let Mismatch {
                request,
                mode,
                expected,
                got,
            } = mismatch;
            f.write_str("  ")?;
            if let Some(request) = request {
                write!(f, "{request}: ")?;
            }
            let text = format!("{mode}: expected {expected}; got {got}");
            writeln!(f, "{}", text.replace('\n', " | "))?;
        }
        if self.not_shown > 0 {
            writeln!(f, "  and {} more", self.not_shown)?;
        }
        Ok(())
    }
}
