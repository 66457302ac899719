//! Garbage in: an error out, never a panic, and never an answer that Cedar would not give.

use std::str::FromStr;

use cedar_policy as cedar;
use duramen::{EntityUidRef, Outcome, Request};
use proptest::prelude::*;
use proptest::sample::Index;

use super::agree::{
    SCHEMA, contexts_agree, empty, entities_agree, policies_agree, policies_json_agree,
    schemas_agree, typed_contexts_agree, typed_entities_agree,
};
use super::generate::{Tape, config, tape};
use super::value::{entities_json, record_json};

/// Words of Cedar's languages and of JSON, some of them broken.
const TOKENS: &[&str] = &[
    "permit",
    "forbid",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ";",
    ":",
    "::",
    ".",
    "@",
    "principal",
    "action",
    "resource",
    "context",
    "when",
    "unless",
    "if",
    "then",
    "else",
    "in",
    "is",
    "has",
    "like",
    "==",
    "!=",
    "<",
    "<=",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "true",
    "false",
    "0",
    "1",
    "9223372036854775807",
    "9223372036854775808",
    "\"a\"",
    "\"\\u{41}\"",
    "\"\\x\"",
    "\"",
    "User",
    "Action",
    "User::\"a\"",
    "?principal",
    "?resource",
    "ip",
    "decimal",
    "datetime",
    "getTag",
    "contains",
    "//",
    "/*",
    "\n",
    "\0",
    "é",
    "\u{1F600}",
    "\u{feff}",
    "entity",
    "type",
    "namespace",
    "appliesTo",
    "enum",
    "Set",
    "Long",
    "String",
    "tags",
    "=",
    "attributes",
    "__cedar",
    "null",
    "1.5",
    "1e9",
    "-0",
    "\\",
    "'",
    "{\"uid\":",
    "{\"type\":\"A\",\"id\":\"b\"}",
    "\"attrs\":{}",
    "\"parents\":[]",
    "\"__entity\":",
    "\"__extn\":",
    "\"fn\":",
    "\"arg\":",
];

fn bytes() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 0..200)
        .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn tokens() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(TOKENS), 0..40).prop_map(|tokens| tokens.join(" "))
}

/// One edit of a valid text.
#[derive(Clone, Debug)]
enum Edit {
    Delete(Index, usize),
    Insert(Index, &'static str),
    Replace(Index, usize, &'static str),
    Double(Index, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let token = || prop::sample::select(TOKENS);
    let edit = prop_oneof![
        (any::<Index>(), 1..20_usize).prop_map(|(at, n)| Edit::Delete(at, n)),
        (any::<Index>(), token()).prop_map(|(at, token)| Edit::Insert(at, token)),
        (any::<Index>(), 1..5_usize, token())
            .prop_map(|(at, n, token)| Edit::Replace(at, n, token)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, n)| Edit::Double(at, n)),
    ];
    prop::collection::vec(edit, 0..4)
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let end = |at: usize, n: usize, len: usize| (at + n).min(len);
        let len = chars.len();
        match edit {
            Edit::Delete(at, n) => {
                let at = at.index(len + 1);
                chars.drain(at..end(at, *n, len));
            }
            Edit::Insert(at, token) => {
                let at = at.index(len + 1);
                chars.splice(at..at, token.chars());
            }
            Edit::Replace(at, n, token) => {
                let at = at.index(len + 1);
                chars.splice(at..end(at, *n, len), token.chars());
            }
            Edit::Double(at, n) => {
                let at = at.index(len + 1);
                let again: Vec<char> = chars[at..end(at, *n, len)].to_vec();
                chars.splice(at..at, again);
            }
        }
    }
    chars.into_iter().collect()
}

fn all_agree(text: &str) -> Result<(), TestCaseError> {
    policies_agree(text)?;
    policies_json_agree(text)?;
    schemas_agree(text)?;
    entities_agree(text)?;
    contexts_agree(text)
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn random_bytes(text in bytes()) {
        all_agree(&text)?;
    }

    #[test]
    fn random_tokens(text in tokens()) {
        all_agree(&text)?;
        policies_agree(&format!("permit(principal, action, resource) when {{ {text} }};"))?;
        entities_agree(&format!("[{text}]"))?;
        contexts_agree(&format!("{{\"a\": {text}}}"))?;
    }

    #[test]
    fn uids(type_name in prop_oneof![bytes(), tokens(), "[A-Za-z_:0-9 ]{0,8}"], id in bytes()) {
        let cedars = cedar::EntityTypeName::from_str(&type_name).is_ok_and(|name| name.to_string() == type_name);
        let uid = EntityUidRef::new(&type_name, &id);
        for request in [
            Request::new(uid, ("Action", "a"), ("R", "r")),
            Request::new(("P", "p"), uid, ("R", "r")),
            Request::new(("P", "p"), ("Action", "a"), uid),
        ] {
            let outcome = empty(|authorizer| authorizer.is_authorized(&request).outcome());
            prop_assert_eq!(outcome == Outcome::Allowed, cedars, "{:?}", type_name);
        }
        let _ = uid.to_string();
    }
}

proptest! {
    #![proptest_config(config(80))]

    #[test]
    fn mutated_policies(tape in tape(), edits in edits()) {
        let (world, _) = Tape::new(&tape).world();
        policies_agree(&edited(&world.policies, &edits))?;
    }

    #[test]
    fn mutated_json_policies(tape in tape(), edits in edits()) {
        let (world, _) = Tape::new(&tape).world();
        let Ok(set) = cedar::PolicySet::from_str(&world.policies) else { return Ok(()) };
        let Ok(json) = set.to_json() else { return Ok(()) };
        policies_json_agree(&edited(&json.to_string(), &edits))?;
    }

    #[test]
    fn mutated_schemas(edits in edits()) {
        schemas_agree(&edited(SCHEMA, &edits))?;
        let (fragment, _) = cedar::SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
        schemas_agree(&edited(&fragment.to_json_string().unwrap(), &edits))?;
    }

    #[test]
    fn mutated_entities(tape in tape(), edits in edits()) {
        let (world, _) = Tape::new(&tape).world();
        entities_agree(&edited(&entities_json(&world.entities), &edits))?;
    }

    #[test]
    fn mutated_contexts(tape in tape(), edits in edits()) {
        let ask = Tape::new(&tape).ask();
        contexts_agree(&edited(&record_json(&ask.context).to_string(), &edits))?;
    }

    #[test]
    fn mutated_typed_data(edits in edits()) {
        typed_entities_agree(&edited(ENTITIES, &edits))?;
        typed_contexts_agree(&edited(CONTEXT, &edits))?;
    }
}

/// Fits [`SCHEMA`], in all the ways to write a value.
const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "u0" }, "attrs": { "level": 1, "t": { "a": 2, "b": ["x"] }, "at": "2024-01-01" },
      "tags": { "k": "v" }, "parents": [{ "__entity": { "type": "Group", "id": "g" } }] },
    { "uid": { "__entity": { "type": "Color", "id": "red" } }, "attrs": {}, "parents": [] },
    { "uid": { "type": "NS::Device", "id": "d0" }, "attrs": {}, "tags": { "n": 7 }, "parents": [] }
]"#;

const CONTEXT: &str = r#"{ "mfa": false, "from": "10.0.0.1", "score": { "fn": "decimal", "arg": "1.25" },
    "at": { "__extn": { "fn": "datetime", "arg": "2023-01-01" } }, "for": "30m", "via": { "type": "NS::Device", "id": "d0" },
    "groups": [{ "__entity": { "type": "Group", "id": "g" } }, { "type": "Group", "id": "h" }], "t": { "a": 1, "b": ["x", "y"] } }"#;

#[test]
fn typed_data_is_taken_before_it_is_mutated() {
    typed_entities_agree(ENTITIES).unwrap();
    typed_contexts_agree(CONTEXT).unwrap();
    assert!(
        cedar::Schema::from_cedarschema_str(SCHEMA).is_ok_and(|(schema, _)| {
            cedar::Entities::from_json_str(ENTITIES, Some(&schema)).is_ok()
                && cedar::Context::from_json_str(
                    CONTEXT,
                    Some((&schema, &r#"Action::"view""#.parse().unwrap())),
                )
                .is_ok()
        })
    );
}

/// What the fuzzer found once.
#[test]
fn fuzzed_entities_agree() {
    super::agree::regressions_agree("entities", |bytes| {
        entities_agree(std::str::from_utf8(bytes).unwrap())
    });
}
