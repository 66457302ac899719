//! Duramen's side: one setting of data after the other, decided in every way there is.

use std::fmt;

use duramen::evidence::{DecisionRecord, DecisionSink, SinkError, Wants};
use duramen::{Authorizer, Builder, Entities, PreparedRequest, Request, Scratch, Session, Tuning};
use serde_json::Value;

use crate::answer::{Answer, decision};
use crate::case::{Recorded, Uid};
use crate::check::Verdict;
use crate::typed::{self, CedarJson, TypedEntity};

/// Policies, entities and requests in one form, with Cedar's answers.
pub(crate) struct World<'w> {
    pub(crate) name: &'static str,
    /// Begins an authorizer with schema and policies.
    pub(crate) builder: &'w dyn Fn() -> Builder,
    pub(crate) settings: Vec<Setting>,
    pub(crate) store: Entities,
    /// The same entities in another form, to replace them with.
    pub(crate) again: Option<Entities>,
    /// What is in the store when the entities come with the request.
    pub(crate) actions: Entities,
    pub(crate) overlays: Vec<Overlay>,
    pub(crate) queries: Vec<Query<'w>>,
}

/// A request with Cedar's answers.
pub(crate) struct Query<'w> {
    pub(crate) recorded: &'w Recorded,
    pub(crate) contexts: Vec<ContextForm>,
    pub(crate) plain: Answer,
    pub(crate) validated: Answer,
    /// Because of `unknown`.
    pub(crate) may_be_refused: bool,
}

/// The context, always the same, in one form.
pub(crate) enum ContextForm {
    Json(String),
    Typed(CedarJson),
}

impl ContextForm {
    pub(crate) fn json(json: &Value) -> Self {
        Self::Json(json.to_string())
    }
}

/// Request-scoped entities.
pub(crate) enum Overlay {
    Json(String),
    Typed(Vec<TypedEntity>),
}

/// How an authorizer is built.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    fold: bool,
    share: bool,
    index: bool,
    flat: bool,
    validate: bool,
    record: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            fold: true,
            share: true,
            index: true,
            flat: true,
            validate: false,
            record: false,
        }
    }
}

impl Setting {
    /// The settings that make a difference where there is a schema.
    pub(crate) fn with_schema() -> Vec<Self> {
        let validating = Self::tunings().map(Self::validating);
        validating
            .chain([Self::default(), Self::recording()])
            .collect()
    }

    /// The settings that make a difference where there is none.
    pub(crate) fn without_schema() -> Vec<Self> {
        Self::tunings().chain([Self::recording()]).collect()
    }

    fn tunings() -> impl Iterator<Item = Self> {
        let switches = [
            (true, true, true, true),
            (false, true, true, true),
            (true, false, true, true),
            (true, true, false, true),
            (true, true, true, false),
            (false, false, false, false),
        ];
        switches.into_iter().map(|(fold, share, index, flat)| Self {
            fold,
            share,
            index,
            flat,
            ..Self::default()
        })
    }

    pub(crate) fn validating(self) -> Self {
        Self {
            validate: true,
            ..self
        }
    }

    /// All optimisations and none.
    pub(crate) fn extremes() -> Vec<Self> {
        Self::tunings()
            .filter(|setting| {
                let others = [setting.share, setting.index, setting.flat];
                others.iter().all(|on| *on == setting.fold)
            })
            .collect()
    }

    /// Records want the whole context, not only what the policies can observe.
    fn recording() -> Self {
        Self {
            record: true,
            ..Self::default()
        }
    }

    fn apply(self, builder: Builder) -> Builder {
        let tuning = Tuning::default()
            .with_constant_folding(self.fold)
            .with_shared_expressions(self.share)
            .with_scope_index(self.index)
            // Both ways of finding policies in a small set, without twice as many settings.
            .with_short_lists(self.share)
            .with_flat_conditions(self.flat);
        let builder = builder.tuning(tuning).validate_requests(self.validate);
        if self.record {
            builder.sink(WantsInputs)
        } else {
            builder
        }
    }
}

/// Wants everything, keeps nothing.
struct WantsInputs;

impl DecisionSink for WantsInputs {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

impl World<'_> {
    /// Compares all answers in all settings.
    pub(crate) fn check(&self, verdict: &mut Verdict) {
        for setting in &self.settings {
            let builder = setting.apply((self.builder)());
            match builder.entities(self.store.clone()).build() {
                Ok(authorizer) => self.decide(*setting, &authorizer, verdict),
                Err(error) => self.not_built(*setting, "build", &error, verdict),
            }
        }
    }

    fn decide(&self, setting: Setting, authorizer: &Authorizer, verdict: &mut Verdict) {
        let mut ways = Ways {
            authorizer,
            session: authorizer.session(),
            scratch: Scratch::new(),
        };
        let mut prepared = Vec::new();
        for (query, context) in self.forms() {
            let mut comparing = self.comparing(setting, query, context, "stored entities", verdict);
            let request = query.request(context);
            ways.decide(&request, &mut comparing);
            if let Some(request) = ways.prepare(&request, &mut comparing) {
                prepared.push((query, context, request));
            }
        }
        if !self.overlays.is_empty() {
            if let Err(error) = authorizer.replace_entities(self.actions.clone()) {
                return self.not_built(setting, "actions alone", &error, verdict);
            }
            for (overlay, (query, context)) in self
                .overlays
                .iter()
                .flat_map(|overlay| self.forms().map(move |form| (overlay, form)))
            {
                let mut comparing =
                    self.comparing(setting, query, context, overlay.name(), verdict);
                query.with(context, overlay, |request| {
                    ways.decide(request, &mut comparing);
                });
            }
        }
        let again = self.again.as_ref().unwrap_or(&self.store);
        if let Err(error) = authorizer.replace_entities(again.clone()) {
            return self.not_built(setting, "entities replaced", &error, verdict);
        }
        for (query, context, request) in &mut prepared {
            let mut comparing =
                self.comparing(setting, query, context, "replaced entities", verdict);
            ways.decide_prepared(request, &mut comparing);
        }
    }

    /// All requests in all forms of their contexts.
    fn forms(&self) -> impl Iterator<Item = (&Query<'_>, &ContextForm)> {
        self.queries
            .iter()
            .flat_map(|query| query.contexts.iter().map(move |context| (query, context)))
    }

    fn comparing<'m>(
        &'m self,
        setting: Setting,
        query: &'m Query<'_>,
        context: &ContextForm,
        entities: &'static str,
        verdict: &'m mut Verdict,
    ) -> Comparing<'m> {
        Comparing {
            query,
            expected: if setting.validate {
                &query.validated
            } else {
                &query.plain
            },
            mode: Mode {
                world: self.name,
                setting,
                entities,
                context: match context {
                    ContextForm::Json(_) => "JSON context",
                    ContextForm::Typed(_) => "typed context",
                },
            },
            verdict,
        }
    }

    fn not_built(
        &self,
        setting: Setting,
        what: &str,
        error: &dyn fmt::Display,
        verdict: &mut Verdict,
    ) {
        let mode = format!("{}, {setting}, {what}", self.name);
        verdict.mismatch(None, &mode, "accepted".into(), error.to_string());
    }
}

impl Query<'_> {
    fn request<'a>(&'a self, context: &'a ContextForm) -> Request<'a> {
        let uid = |uid: &'a Uid| (uid.type_name.as_str(), uid.id.as_str());
        let request = Request::new(
            uid(&self.recorded.principal),
            uid(&self.recorded.action),
            uid(&self.recorded.resource),
        );
        match context {
            ContextForm::Json(text) => request.context_json(text),
            ContextForm::Typed(value) => request.context(value),
        }
    }

    fn with(&self, context: &ContextForm, overlay: &Overlay, decide: impl FnOnce(&Request<'_>)) {
        let request = self.request(context);
        match overlay {
            Overlay::Json(text) => decide(&request.entities_json(text)),
            Overlay::Typed(entities) => typed::with_request_entities(entities, |entities| {
                decide(&request.entities(entities));
            }),
        }
    }
}

impl Overlay {
    fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "request-scoped JSON entities",
            Self::Typed(_) => "request-scoped typed entities",
        }
    }
}

/// The calls that decide.
struct Ways<'a> {
    authorizer: &'a Authorizer,
    session: Session<'a>,
    scratch: Scratch,
}

impl Ways<'_> {
    fn decide(&mut self, request: &Request<'_>, to: &mut Comparing<'_>) {
        let authorizer = self.authorizer;
        to.compare("pooled", &authorizer.is_authorized(request).into());
        let with = authorizer.is_authorized_with(&mut self.scratch, request);
        to.compare("caller's scratch", &with.into());
        to.compare("session", &self.session.is_authorized(request).into());
        to.compare("decision only", &authorizer.is_allowed(request).into());
        let allowed = self.session.is_allowed(request);
        to.compare("session, decision only", &allowed.into());
    }

    fn prepare(
        &mut self,
        request: &Request<'_>,
        to: &mut Comparing<'_>,
    ) -> Option<PreparedRequest> {
        match self.authorizer.prepare(request) {
            Ok(mut prepared) => {
                self.decide_prepared(&mut prepared, to);
                Some(prepared)
            }
            Err(error) => {
                let refused = Answer::Refused(error.to_string());
                to.compare("prepared", &Got::Answer(refused));
                None
            }
        }
    }

    fn decide_prepared(&mut self, request: &mut PreparedRequest, to: &mut Comparing<'_>) {
        let scratch = &mut self.scratch;
        let pooled = self.authorizer.is_authorized_prepared(scratch, request);
        to.compare("prepared", &pooled.into());
        let session = self.session.is_authorized_prepared(request);
        to.compare("prepared, session", &session.into());
    }
}

/// What one call gave.
enum Got {
    Answer(Answer),
    Decision(bool),
}

impl From<duramen::Response<'_>> for Got {
    fn from(response: duramen::Response<'_>) -> Self {
        Self::Answer(Answer::of_duramen(&response))
    }
}

impl From<bool> for Got {
    fn from(allowed: bool) -> Self {
        Self::Decision(allowed)
    }
}

/// Compares what the calls give with what they should.
struct Comparing<'m> {
    query: &'m Query<'m>,
    expected: &'m Answer,
    mode: Mode,
    verdict: &'m mut Verdict,
}

impl Comparing<'_> {
    fn compare(&mut self, way: &str, got: &Got) {
        self.verdict.answers += 1;
        let (agrees, refused) = match got {
            Got::Answer(got) => (self.expected.agrees(got), got.is_refused()),
            Got::Decision(allowed) => (
                matches!(self.expected, Answer::RecursionLimit)
                    || *allowed == self.expected.is_allowed(),
                !*allowed,
            ),
        };
        if agrees {
            return;
        }
        if refused && self.query.may_be_refused {
            self.verdict.deviations += 1;
            return;
        }
        let got = match got {
            Got::Answer(answer) => answer.to_string(),
            Got::Decision(allowed) => decision(*allowed).to_owned(),
        };
        let mode = format!("{}, {way}", self.mode);
        let expected = self.expected.to_string();
        self.verdict
            .mismatch(Some(self.query.recorded), &mode, expected, got);
    }
}

/// The circumstances of an answer.
struct Mode {
    world: &'static str,
    setting: Setting,
    entities: &'static str,
    context: &'static str,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            world,
            setting,
            entities,
            context,
        } = self;
        write!(f, "{world}, {setting}, {entities}, {context}")
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on: bool| if on { "on" } else { "off" };
        write!(f, "folding {}, index {}", on(self.fold), on(self.index))?;
        if self.validate {
            f.write_str(", requests validated")?;
        }
        if self.record {
            f.write_str(", recorded")?;
        }
        Ok(())
    }
}
