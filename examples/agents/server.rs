//! The server: from messages to decisions.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::OpenOptions;
use std::path::PathBuf;

use duramen::delegation::{ClaimsReader, Party, TokenClaims};
use duramen::evidence::{DecisionSink, JsonLinesSink, NoSink};
use duramen::{Authorizer, EntityUid, EntityUpdate, Outcome, Request};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::rpc::{
    DENIED, Failure, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Message,
    UNSUPPORTED_VERSION, answer,
};
use crate::tools::{TOOLS, Tool};

const VERSION: &str = "2026-07-28";

pub(crate) struct Server {
    authorizer: Authorizer,
    claims: TokenClaims,
    /// Tools that were called with success.
    called: BTreeSet<&'static str>,
    code: Option<String>,
    disabled_users: Option<PathBuf>,
}

/// The context of a call, as the schema has it. The delegation adds who acts for whom.
#[derive(Serialize)]
struct Context<'a> {
    called: &'a BTreeSet<&'static str>,
    confirmed: bool,
}

/// Users by `sub`, agents by `client_id`, each of the one issuer that is trusted for it.
fn entity(party: &Party<'_>) -> Option<EntityUid> {
    match (party.is_subject(), party.issuer()?) {
        (true, "https://login.example") => Some(EntityUid::new("User", party.subject()?)),
        (false, "https://agents.example") => {
            Some(EntityUid::new("Agent", party.claim("client_id")?))
        }
        _ => None,
    }
}

impl Server {
    pub(crate) fn from_environment() -> Result<Self, Box<dyn Error>> {
        let claims = std::env::var("AGENT_TOKEN_CLAIMS")
            .map_err(|_| "AGENT_TOKEN_CLAIMS has no claims of a token")?;
        let sink: Box<dyn DecisionSink> = match std::env::var_os("AGENT_RECORDS") {
            None => Box::new(NoSink),
            Some(file) => Box::new(JsonLinesSink::new(
                OpenOptions::new().create(true).append(true).open(file)?,
            )),
        };
        let authorizer = Authorizer::builder()
            .schema_str(include_str!("schema.cedarschema"))
            .policies(include_str!("policies.cedar"))
            .entities(include_str!("entities.json"))
            .validate_requests(true)
            .sink(std::sync::Arc::<dyn DecisionSink>::from(sink))
            .build()?;
        Ok(Self {
            authorizer,
            claims: ClaimsReader::new(entity).read(&claims)?,
            called: BTreeSet::new(),
            // An empty one would be given by whoever gives none.
            code: std::env::var("AGENT_STEP_UP_CODE")
                .ok()
                .filter(|code| !code.is_empty()),
            disabled_users: std::env::var_os("AGENT_DISABLED_USERS").map(PathBuf::from),
        })
    }

    /// The answer to a line; none to a notification.
    pub(crate) fn answer(&mut self, line: &str) -> Option<Json> {
        let message = match Message::read(line) {
            Ok(message) => message,
            Err(refused) => {
                let (id, failure) = *refused;
                return Some(answer(&id, Err(failure)));
            }
        };
        let id = message.id.as_ref()?;
        Some(answer(id, self.result(&message)))
    }

    fn result(&mut self, message: &Message) -> Result<Json, Failure> {
        let mut result = match message.method.as_str() {
            "server/discover" => {
                check_version(&message.params)?;
                json!({
                    "supportedVersions": [VERSION],
                    "capabilities": { "tools": {} },
                    "serverInfo": { "name": "duramen-agents", "version": env!("CARGO_PKG_VERSION") },
                    "ttlMs": 3_600_000,
                    "cacheScope": "public",
                })
            }
            "tools/list" => {
                check_version(&message.params)?;
                let tools: Vec<Json> = TOOLS.iter().map(Tool::listed).collect();
                json!({ "tools": tools, "ttlMs": 3_600_000, "cacheScope": "public" })
            }
            "tools/call" => {
                check_version(&message.params)?;
                self.call(&message.params)?
            }
            other => {
                return Err(Failure::new(
                    METHOD_NOT_FOUND,
                    format!("{other}: no such method"),
                ));
            }
        };
        result["resultType"] = json!("complete");
        Ok(result)
    }

    fn call(&mut self, params: &Json) -> Result<Json, Failure> {
        let name = params.get("name").and_then(Json::as_str);
        let tool = name.and_then(Tool::named).ok_or_else(|| {
            let name = name.unwrap_or("name is missing");
            Failure::new(INVALID_PARAMS, format!("{name}: no such tool"))
        })?;
        let none = json!({});
        let given = params.get("arguments").unwrap_or(&none);
        let arguments = tool.arguments(given)?;
        let code = given.get("step_up_code").and_then(Json::as_str);
        let confirmed = self.code.is_some() && code == self.code.as_deref();

        self.learn_who_is_disabled()?;
        self.decide(tool, confirmed)?;

        let text = tool.run(&arguments);
        self.called.insert(tool.name);
        Ok(json!({ "content": [{ "type": "text", "text": text }] }))
    }

    /// Whether user and agent may call the tool now.
    fn decide(&self, tool: &Tool, confirmed: bool) -> Result<(), Failure> {
        let context = Context {
            called: &self.called,
            confirmed,
        };
        let actors = self.claims.actors();
        let delegation = self
            .claims
            .delegation(&actors)
            .actor_as("actor")
            .subject_as("onBehalfOf");
        let request = Request::new(
            self.claims.subject(),
            ("Action", "call"),
            ("Tool", tool.name),
        )
        .context(&context)
        .delegation(&delegation);
        let response = self.authorizer.is_authorized(&request);
        if response.is_allowed() {
            return Ok(());
        }
        if let Some(error) = response.request_error() {
            return Err(Failure::new(
                INTERNAL_ERROR,
                format!("the decision failed: {error}"),
            ));
        }
        // Which hop was denied, in case somebody asks why.
        let denied_to = response.delegation().and_then(|chain| {
            let denied = chain.hops().find(|hop| {
                hop.outcome()
                    .is_some_and(|outcome| outcome != Outcome::Allowed)
            });
            denied.map(|hop| hop.principal().to_string())
        });
        let annotation = |name| {
            let mut policies = response.determining();
            policies.find_map(|policy| policy.annotation(name).map(str::to_owned))
        };
        let reason = annotation("reason").unwrap_or_else(|| response.outcome().to_string());
        Err(Failure::new(DENIED, reason).with_data(json!({
            "outcome": response.outcome(),
            "deniedTo": denied_to,
            "stepUp": annotation("step_up"),
        })))
    }

    /// What a directory would tell. If it cannot be asked, nothing is decided on what was known before.
    fn learn_who_is_disabled(&self) -> Result<(), Failure> {
        let Some(file) = &self.disabled_users else {
            return Ok(());
        };
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("{}: {error}", file.display());
            Failure::new(INTERNAL_ERROR, message)
        };
        let ids = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
        let user = self.claims.subject();
        let disabled = ids.lines().any(|id| id == user.id());
        let update = EntityUpdate::new().set_attr(user, "disabled", &disabled);
        let updated = self.authorizer.update_entities(update);
        updated.map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// Every request says which version it speaks, and what its client can do.
fn check_version(params: &Json) -> Result<(), Failure> {
    let meta = |name: &str| params.get("_meta").and_then(|meta| meta.get(name));
    let requested = meta("io.modelcontextprotocol/protocolVersion").and_then(Json::as_str);
    let Some(requested) = requested else {
        let message = "_meta must have io.modelcontextprotocol/protocolVersion";
        return Err(Failure::new(INVALID_PARAMS, message));
    };
    if requested != VERSION {
        let data = json!({ "supported": [VERSION], "requested": requested });
        let failure = Failure::new(UNSUPPORTED_VERSION, "Unsupported protocol version");
        return Err(failure.with_data(data));
    }
    if !meta("io.modelcontextprotocol/clientCapabilities").is_some_and(Json::is_object) {
        let message = "_meta must have io.modelcontextprotocol/clientCapabilities, an object";
        return Err(Failure::new(INVALID_PARAMS, message));
    }
    Ok(())
}
