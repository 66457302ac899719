//! The answers.

use bumpalo::Bump;
use serde_json::{Map, Value, json};

use crate::authorizer::{Found, Pinned};
use crate::decision::Outcome;
use crate::id::EntityUid;
use crate::json::{Json, MAX_DEPTH, parse};
use crate::request::Request;
use crate::search::{Cursor, Search, SearchError};

use super::ask::{Action, Object, Thing, Unaskable, missing};
use super::{DecisionPoint, Endpoint};

/// The body of the answer, or why the request is none.
pub(super) fn answer(
    point: &DecisionPoint,
    endpoint: Endpoint,
    body: &[u8],
    request_id: Option<&str>,
) -> Result<String, String> {
    let text = str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
    let arena = Bump::new();
    let json = parse(&arena, text, MAX_DEPTH);
    let json = json.map_err(|error| format!("the body is not JSON: {error}"))?;
    let object = Object::of(json).ok_or("the body has to be an object")?;
    let asked = Asked {
        point,
        pinned: point.authorizer.pin(),
        request_id,
    };
    let value = match endpoint {
        Endpoint::Evaluation => asked.evaluation(object)?,
        Endpoint::Evaluations => asked.evaluations(object)?,
        Endpoint::SearchSubject | Endpoint::SearchResource => asked.search(endpoint, object)?,
        Endpoint::SearchAction => asked.search_action(object)?,
    };
    Ok(super::json(&value))
}

/// One request, on what is in force when it comes.
struct Asked<'p> {
    point: &'p DecisionPoint,
    pinned: Pinned,
    request_id: Option<&'p str>,
}

/// All that a decision is asked for.
#[derive(Clone, Copy)]
struct Question<'a> {
    subject: Option<Thing<'a>>,
    action: Option<Action<'a>>,
    resource: Option<Thing<'a>>,
    context: Option<Object<'a>>,
}

/// What came of a question.
struct Decided {
    outcome: Outcome,
    /// What has to be done before an allow is acted on.
    step_up: Vec<String>,
}

impl Decided {
    /// Nothing could be asked.
    const NOTHING: Self = Self {
        outcome: Outcome::InvalidRequest,
        step_up: Vec::new(),
    };
}

impl<'a> Question<'a> {
    fn read(object: Object<'a>) -> Result<Self, String> {
        Ok(Self {
            subject: object.thing("subject")?,
            action: object.action()?,
            resource: object.thing("resource")?,
            context: object.object("context")?,
        })
    }

    /// What an item does not say itself, `outer` says for all. What it says stands in the place of that as a whole.
    fn or(self, outer: Self) -> Self {
        Self {
            subject: self.subject.or(outer.subject),
            action: self.action.or(outer.action),
            resource: self.resource.or(outer.resource),
            context: self.context.or(outer.context),
        }
    }

    /// Subject, action and resource.
    fn whole(&self) -> Result<(Thing<'a>, Action<'a>, Thing<'a>), String> {
        let subject = self.subject.ok_or_else(|| missing("subject"))?;
        let action = self.action.ok_or_else(|| missing("action"))?;
        let resource = self.resource.ok_or_else(|| missing("resource"))?;
        Ok((subject, action, resource))
    }
}

impl Asked<'_> {
    fn evaluation(&self, object: Object<'_>) -> Result<Value, String> {
        let question = Question::read(object)?;
        question.whole()?;
        Ok(self.decision(&self.decide(&question)))
    }

    fn evaluations(&self, object: Object<'_>) -> Result<Value, String> {
        let items = match object.get("evaluations") {
            None | Some(Json::Array([])) => return self.evaluation(object),
            Some(Json::Array(items)) => items,
            Some(_) => return Err("`evaluations` has to be an array".to_owned()),
        };
        let most = self.point.max_evaluations;
        if items.len() > most {
            return Err(format!(
                "no more than {most} evaluations can be asked for at once"
            ));
        }
        let options = object.object("options")?;
        let semantic = options.map(|options| options.text("evaluations_semantic"));
        let last = match semantic.transpose()?.flatten() {
            None | Some("execute_all") => None,
            Some("deny_on_first_deny") => Some(false),
            Some("permit_on_first_permit") => Some(true),
            Some(_) => {
                return Err("`options.evaluations_semantic` has to be `execute_all`, `deny_on_first_deny` or \
                            `permit_on_first_permit`"
                    .to_owned());
            }
        };
        let outer = Question::read(object)?;
        let mut decisions = Vec::with_capacity(items.len());
        for item in items {
            let question = Object::of(*item).ok_or_else(String::new);
            let question = question.and_then(Question::read);
            let decided = question.map_or(Decided::NOTHING, |question| {
                self.decide(&question.or(outer))
            });
            decisions.push(self.decision(&decided));
            if last == Some(decided.outcome == Outcome::Allowed) {
                break;
            }
        }
        Ok(json!({ "evaluations": decisions }))
    }

    fn decide(&self, question: &Question<'_>) -> Decided {
        self.try_decide(question).unwrap_or(Decided::NOTHING)
    }

    fn try_decide(&self, question: &Question<'_>) -> Result<Decided, Unaskable> {
        let point = self.point;
        let (subject, action, resource) = question.whole().map_err(|_| Unaskable)?;
        let (principal, asked_of) = (point.uid(&subject)?, point.uid(&resource)?);
        let things = [(&principal, &subject), (&asked_of, &resource)];
        let context = point.context(&self.pinned, Some(&action), question.context)?;
        let entities = point.entities(&self.pinned, &things)?;
        let action = point.action_uid(&action);
        let mut request = Request::new(&principal, &action, &asked_of).context_json(&context);
        if let Some(entities) = &entities {
            request = request.entities_json(entities);
        }
        if let Some(id) = self.request_id {
            request = request.request_id(id);
        }
        let response = self.pinned.is_authorized(&request);
        let outcome = response.outcome();
        let step_up = response.step_up().map(str::to_owned);
        Ok(Decided {
            outcome,
            step_up: match outcome {
                Outcome::Allowed => step_up.collect(),
                _ => Vec::new(),
            },
        })
    }

    fn decision(&self, decided: &Decided) -> Value {
        let Decided { outcome, step_up } = decided;
        let allowed = *outcome == Outcome::Allowed;
        if self.point.tells_outcome && !allowed {
            return json!({ "decision": false, "context": { "outcome": outcome } });
        }
        if step_up.is_empty() {
            return json!({ "decision": allowed });
        }
        let obligation = |(number, level): (usize, &String)| {
            let id = format!("step-up-{number}");
            json!({ "id": id, "type": "step-up", "properties": { "acr_value": level } })
        };
        let obligations: Vec<Value> = (1..).zip(step_up).map(obligation).collect();
        json!({ "decision": allowed, "context": { "obligations": obligations } })
    }

    /// Subjects or resources.
    fn search(&self, endpoint: Endpoint, object: Object<'_>) -> Result<Value, String> {
        let (sought, fixed) = match endpoint {
            Endpoint::SearchSubject => ("subject", "resource"),
            _ => ("resource", "subject"),
        };
        let wire_type = object.sought_type(sought)?;
        let fixed = object.thing(fixed)?.ok_or_else(|| missing(fixed))?;
        let action = object.action()?.ok_or_else(|| missing("action"))?;
        let context = object.object("context")?;
        let page = Page::read(object, self.point.max_results)?;

        let point = self.point;
        let make = || {
            let uid = point.uid(&fixed)?;
            let context = point.context(&self.pinned, Some(&action), context)?;
            let entities = point.entities(&self.pinned, &[(&uid, &fixed)])?;
            let type_name = point.cedar_type(wire_type).ok_or(Unaskable)?;
            Ok::<_, Unaskable>((uid, context, entities, type_name))
        };
        let Ok((uid, context, entities, type_name)) = make() else {
            return Ok(page.without_results());
        };
        let action = point.action_uid(&action);
        let search = match endpoint {
            Endpoint::SearchSubject => Search::principals(type_name, &action, &uid),
            _ => Search::resources(&uid, &action, type_name),
        };
        self.results(search, &context, entities.as_deref(), &page, |found| {
            Some(json!({ "type": wire_type, "id": found.id() }))
        })
    }

    fn search_action(&self, object: Object<'_>) -> Result<Value, String> {
        let subject = object.thing("subject")?.ok_or_else(|| missing("subject"))?;
        let resource = object
            .thing("resource")?
            .ok_or_else(|| missing("resource"))?;
        let context = object.object("context")?;
        let page = Page::read(object, self.point.max_results)?;

        let point = self.point;
        let make = || {
            let (principal, of) = (point.uid(&subject)?, point.uid(&resource)?);
            let things = [(&principal, &subject), (&of, &resource)];
            let context = point.context(&self.pinned, None, context)?;
            let entities = point.entities(&self.pinned, &things)?;
            Ok::<_, Unaskable>((principal, of, context, entities))
        };
        let Ok((principal, of, context, entities)) = make() else {
            return Ok(page.without_results());
        };
        let search = Search::actions(&principal, &of);
        self.results(search, &context, entities.as_deref(), &page, |found| {
            let is_one = found.type_name() == point.action_type;
            is_one.then(|| json!({ "name": found.id() }))
        })
    }

    fn results(
        &self,
        search: Search<'_>,
        context: &str,
        entities: Option<&str>,
        page: &Page,
        result: impl Fn(&EntityUid) -> Option<Value>,
    ) -> Result<Value, String> {
        let mut search = search.context_json(context);
        if let Some(entities) = entities {
            search = search.entities_json(entities);
        }
        if let Some(cursor) = &page.after {
            search = search.after(cursor);
        }
        let mut found = match self.pinned.search(&search) {
            Ok(found) => found,
            Err(
                error @ (SearchError::StaleCursor { .. }
                | SearchError::ForeignCursor
                | SearchError::MalformedCursor),
            ) => return Err(format!("`page.token`: {error}")),
            // Nothing is found that would not be allowed.
            Err(_) => return Ok(page.without_results()),
        };
        let mut results = Vec::new();
        while results.len() < page.limit {
            let Some(uid) = found.next() else { break };
            results.extend(result(&uid.to_owned()));
        }
        Ok(page.of(results, &found))
    }
}

/// What part of the results is asked for.
struct Page {
    limit: usize,
    /// The limit that was asked for, which goes for the next pages.
    asked: Option<usize>,
    after: Option<Cursor>,
    is_asked: bool,
}

impl Page {
    fn read(object: Object<'_>, most: usize) -> Result<Self, String> {
        let page = object.object("page")?;
        let limit = page.and_then(|page| page.get("limit"));
        let limit = limit.map(|limit| match limit {
            Json::Integer(limit) => usize::try_from(limit).map_err(|_| ()),
            _ => Err(()),
        });
        let limit = limit.transpose();
        let limit = limit.map_err(|()| "`page.limit` has to be a number that is not negative")?;
        let token = page.map(|page| page.text("token")).transpose()?.flatten();
        let (of_token, after) = match token.filter(|token| !token.is_empty()) {
            None => (None, None),
            Some(token) => read_token(token).ok_or("`page.token` is none that was given")?,
        };
        // The specification's own example leaves the limit out with a token.
        if let (Some(asked), Some(known)) = (limit, of_token)
            && asked != known
        {
            return Err("`page.limit` is not what it was when the search began".to_owned());
        }
        let asked = limit.or(of_token);
        Ok(Self {
            limit: asked.unwrap_or(most).min(most),
            asked,
            after,
            is_asked: page.is_some(),
        })
    }

    fn without_results(&self) -> Value {
        self.with(Vec::new(), String::new())
    }

    fn of(&self, results: Vec<Value>, found: &Found<'_>) -> Value {
        // None at all is for one page: whoever goes on wants some.
        let token = found.cursor().map(|cursor| match self.asked {
            Some(limit @ 1..) => format!("{limit}.{cursor}"),
            _ => format!(".{cursor}"),
        });
        self.with(results, token.unwrap_or_default())
    }

    /// No token is the end.
    fn with(&self, results: Vec<Value>, next_token: String) -> Value {
        let mut answer = Map::new();
        answer.insert("results".to_owned(), Value::Array(results));
        if self.is_asked || !next_token.is_empty() {
            answer.insert("page".to_owned(), json!({ "next_token": next_token }));
        }
        Value::Object(answer)
    }
}

fn read_token(token: &str) -> Option<(Option<usize>, Option<Cursor>)> {
    let (limit, cursor) = token.split_once('.')?;
    let limit = match limit {
        "" => None,
        limit => Some(limit.parse().ok()?),
    };
    Some((limit, Some(cursor.parse().ok()?)))
}
