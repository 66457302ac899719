//! JSON-RPC 2.0: reading a message, and what is wrong with it.

use serde_json::{Value as Json, json};

pub(crate) const PARSE_ERROR: i64 = -32700;
pub(crate) const INVALID_REQUEST: i64 = -32600;
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
pub(crate) const INVALID_PARAMS: i64 = -32602;
pub(crate) const INTERNAL_ERROR: i64 = -32603;
/// MCP: a version of the protocol that the server does not speak.
pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;
/// AuthZEN's profile for MCP: the call was denied.
pub(crate) const DENIED: i64 = -32001;

pub(crate) struct Failure {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Json>,
}

impl Failure {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    pub(crate) fn with_data(self, data: Json) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }
}

/// A request: notifications have no id and get no answer.
pub(crate) struct Message {
    pub(crate) id: Option<Json>,
    pub(crate) method: String,
    pub(crate) params: Json,
}

impl Message {
    /// Reads a line; on failure, with the id to answer to.
    pub(crate) fn read(line: &str) -> Result<Self, Box<(Json, Failure)>> {
        let json: Json = serde_json::from_str(line).map_err(|error| {
            Box::new((Json::Null, Failure::new(PARSE_ERROR, error.to_string())))
        })?;
        let id = json.get("id").cloned();
        let wrong = |what: &str| {
            // MCP: ids are texts or numbers, and what has no readable id is answered to null.
            let id = id.clone().filter(is_id).unwrap_or_default();
            Err(Box::new((id, Failure::new(INVALID_REQUEST, what))))
        };
        if !json.is_object() {
            return wrong("a message is one JSON object; batches are not taken");
        }
        if json.get("jsonrpc") != Some(&json!("2.0")) {
            return wrong("jsonrpc must be \"2.0\"");
        }
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            return wrong("id must be a text or a whole number");
        }
        let Some(method) = json.get("method").and_then(Json::as_str) else {
            return wrong("method must be a text");
        };
        let params = json.get("params").cloned().unwrap_or(json!({}));
        if !params.is_object() {
            return wrong("params must be an object");
        }
        Ok(Self {
            id,
            method: method.to_owned(),
            params,
        })
    }
}

fn is_id(id: &Json) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

pub(crate) fn answer(id: &Json, result: Result<Json, Failure>) -> Json {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(failure) => {
            let mut error = json!({ "code": failure.code, "message": failure.message });
            if let Some(data) = failure.data {
                error["data"] = data;
            }
            json!({ "jsonrpc": "2.0", "id": id, "error": error })
        }
    }
}
