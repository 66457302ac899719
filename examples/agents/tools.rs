//! The tools, and a very small office that they work in.

use serde_json::{Value as Json, json};

use crate::rpc::{Failure, INVALID_PARAMS};

pub(crate) struct Tool {
    pub(crate) name: &'static str,
    description: &'static str,
    /// The arguments, texts all. A step-up code may be added.
    arguments: &'static [&'static str],
    run: fn(&[&str]) -> String,
}

pub(crate) const TOOLS: [Tool; 3] = [
    Tool {
        name: "read_document",
        description: "Reads a document.",
        arguments: &["id"],
        run: |arguments| format!("The contents of {}.", arguments[0]),
    },
    Tool {
        name: "send_mail",
        description: "Sends a mail. After reading documents, this needs a step-up.",
        arguments: &["to", "text"],
        run: |arguments| format!("Sent to {}.", arguments[0]),
    },
    Tool {
        name: "delete_document",
        description: "Deletes a document.",
        arguments: &["id"],
        run: |arguments| format!("Deleted {}.", arguments[0]),
    },
];

impl Tool {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TOOLS.iter().find(|tool| tool.name == name)
    }

    pub(crate) fn listed(&self) -> Json {
        let properties = self
            .arguments
            .iter()
            .chain(&["step_up_code"])
            .map(|name| ((*name).to_owned(), json!({ "type": "string" })));
        json!({
            "name": self.name,
            "description": self.description,
            "inputSchema": {
                "type": "object",
                "properties": properties.collect::<serde_json::Map<_, _>>(),
                "required": self.arguments,
            },
        })
    }

    /// The arguments in their order.
    pub(crate) fn arguments<'a>(&self, given: &'a Json) -> Result<Vec<&'a str>, Failure> {
        let one = |name: &&str| {
            given.get(*name).and_then(Json::as_str).ok_or_else(|| {
                Failure::new(
                    INVALID_PARAMS,
                    format!("{}: the argument {name} must be a text", self.name),
                )
            })
        };
        self.arguments.iter().map(one).collect()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        (self.run)(arguments)
    }
}
