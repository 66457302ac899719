//! What sinks write is what `docs/evidence.schema.json` and `docs/evidence.md` say.

use duramen::evidence::JsonLinesSink;
use duramen::{Delegation, EntityUidRef};
use serde_json::{Value as Json, json};

use super::*;

const SCHEMA: &str = include_str!("../../../docs/evidence.schema.json");
const DOCS: &str = include_str!("../../../docs/evidence.md");

/// Checks a value against the part of JSON Schema that the schema uses; the path of what is wrong.
fn check(schema: &Json, root: &Json, value: &Json, path: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{path}: {what}: {value}"));
    for (keyword, says) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                let pointer = says.as_str().unwrap().trim_start_matches('#');
                check(root.pointer(pointer).unwrap(), root, value, path)?;
            }
            "oneOf" => {
                let tried = says.as_array().unwrap().iter();
                let tried: Vec<_> = tried.map(|one| check(one, root, value, path)).collect();
                if tried.iter().filter(|one| one.is_ok()).count() != 1 {
                    return Err(format!("{path}: not one of: {tried:?}"));
                }
            }
            "type" => {
                let is = match says.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("type {other} is not known here"),
                };
                if !is {
                    return wrong("type");
                }
            }
            "const" if says != value => return wrong("const"),
            "enum" if !says.as_array().unwrap().contains(value) => return wrong("enum"),
            "minimum" if value.as_u64() < says.as_u64() => return wrong("minimum"),
            "pattern" if !matches(says.as_str().unwrap(), value.as_str().unwrap()) => {
                return wrong("pattern");
            }
            "required" => {
                for member in says.as_array().unwrap() {
                    if value.get(member.as_str().unwrap()).is_none() {
                        return wrong(&format!("{member} is missing"));
                    }
                }
            }
            "items" => {
                for (at, item) in value.as_array().unwrap().iter().enumerate() {
                    check(says, root, item, &format!("{path}[{at}]"))?;
                }
            }
            "properties" => {
                for (name, value) in value.as_object().unwrap() {
                    let path = format!("{path}.{name}");
                    match (says.get(name), &schema["additionalProperties"]) {
                        (Some(schema), _) => check(schema, root, value, &path)?,
                        (None, Json::Bool(false)) => {
                            return Err(format!("{path} is not documented"));
                        }
                        (None, _) => {}
                    }
                }
            }
            "additionalProperties" if says.is_object() => {
                for (name, value) in value.as_object().unwrap() {
                    check(says, root, value, &format!("{path}.{name}"))?;
                }
            }
            "const" | "enum" | "minimum" | "pattern" | "additionalProperties" => {}
            "$schema" | "$defs" | "title" | "description" => {}
            other => panic!("{other} is not known here"),
        }
    }
    Ok(())
}

/// The few patterns that the schema has.
fn matches(pattern: &str, text: &str) -> bool {
    let digits = |count: usize| {
        text.len() == count && !text.contains(|c| !matches!(c, '0'..='9' | 'a'..='f'))
    };
    match pattern {
        "^[0-9a-f]{32}$" => digits(32),
        "^[0-9a-f]{64}$" => digits(64),
        "^[0-9a-f]{32}-[1-9][0-9]*$" => text.split_once('-').is_some_and(|(instance, number)| {
            instance.len() == 32
                && u128::from_str_radix(instance, 16).is_ok()
                && number.parse::<u64>().is_ok_and(|number| number > 0)
        }),
        r"^[0-9]{20}\.jsonl$" => text
            .strip_suffix(".jsonl")
            .is_some_and(|name| name.len() == 20 && name.parse::<u64>().is_ok()),
        r"^([0-9]+(\.[0-9]+)*)?$" => {
            text.is_empty() || text.split('.').all(|part| part.parse::<u32>().is_ok())
        }
        other => panic!("{other} is not known here"),
    }
}

fn schema() -> Json {
    serde_json::from_str(SCHEMA).unwrap()
}

/// Records of all kinds.
fn ask(authorizer: &Authorizer) {
    let view = request("alice").request_id("r").trace("t", "s");
    let _ = authorizer.is_authorized(&view);
    let _ = authorizer.is_authorized(&request("eve"));
    let edit = Request::new(("User", "bob"), ("Action", "edit"), ("Doc", "d"));
    let _ = authorizer.is_authorized(&edit);
    let _ = authorizer.is_authorized(&edit.context_json("{"));
    if let Ok(grant) = authorizer.grant(&view) {
        assert!(grant.is_current_with_json("{}"));
    }
    let agents = ["a", "b", "a"].map(|id| EntityUidRef::new("Agent", id));
    let in_time = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let chains = [
        Delegation::new(&agents[..2])
            .actor_as("actor")
            .expires(in_time),
        Delegation::new(&agents).not_before(std::time::SystemTime::UNIX_EPOCH),
    ];
    for chain in &chains {
        let _ = authorizer.is_authorized(&view.delegation(chain));
    }
    let many = [EntityUidRef::new("Agent", "a"); 12];
    let too_long = Delegation::new(&many);
    let _ = authorizer.is_authorized(&view.delegation(&too_long));
}

#[test]
fn what_is_written_is_what_is_documented() {
    let schema = schema();
    let valid = |line: &[u8]| {
        let line: Json = serde_json::from_slice(line).unwrap();
        check(&schema, &schema, &line, "line").unwrap();
        line
    };
    // A log with all kinds of entries.
    let scratch = Scratch::new();
    let options = || {
        DurableLog::options(scratch.path())
            .segment_bytes(4000)
            .keep_bytes(20_000)
    };
    for round in 0..12 {
        let log = Arc::new(options().open().unwrap());
        ask(&authorizer(&log));
        if round == 11 {
            duramen::evidence::DecisionSink::record_loss(&log, 3).unwrap();
        }
        drop(log);
        if round == 10 {
            let (name, bytes) = segments(scratch.path()).pop().unwrap();
            std::fs::write(scratch.path().join(name), &bytes[..bytes.len() - 5]).unwrap();
        }
    }
    let lines: Vec<Json> = lines(&segments(scratch.path()))
        .iter()
        .map(|line| valid(line))
        .collect();
    for entry in ["decision", "gap", "cut", "removed"] {
        let found = lines.iter().any(|line| line["chain"]["entry"] == entry);
        assert!(found, "no {entry} in the log");
    }
    for member in [
        "request_id",
        "trace",
        "rechecks",
        "context",
        "request_error",
        "delegation",
    ] {
        assert!(
            lines.iter().any(|line| line.get(member).is_some()),
            "no {member}"
        );
    }
    assert!(lines.iter().any(|line| {
        line["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty())
    }));
    // Masked, too.
    let masks = duramen::evidence::Masks::new().key(&[7; 32]).ids("*");
    let masks = masks.path("context.*", duramen::evidence::Mask::Digest);
    let sink = Arc::new(JsonLinesSink::new(Vec::new()));
    let masking = duramen::evidence::MaskSink::new(Arc::clone(&sink), masks.unwrap()).unwrap();
    let authorizer = Authorizer::builder().policies(POLICIES).sink(masking);
    ask(&authorizer.build().unwrap());
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    let masked = valid(bytes.split(|byte| *byte == b'\n').next().unwrap());
    assert_eq!(masked["masked"], json!(["context.*", "id(*)"]));
    assert_eq!(masked["replayable"], false);
    // And without a log, a template link, a schema.
    let sink = Arc::new(JsonLinesSink::new(Vec::new()));
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .schema_str("entity User; entity Doc; action view, edit appliesTo { principal: User, resource: Doc };")
        .sink(Arc::clone(&sink))
        .build();
    // The policies read an attribute that this schema does not have.
    assert!(authorizer.is_err());
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .schema_str("entity User; entity Doc; action view, edit appliesTo { principal: User, resource: Doc };")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    ask(&authorizer);
    drop(authorizer);
    // And where ages are kept, of data that is too old.
    let day = std::time::Duration::from_secs(86_400);
    let authorizer = Authorizer::builder()
        .policies(
            duramen::Policies::new()
                .text(POLICIES)
                .as_of(std::time::UNIX_EPOCH),
        )
        .freshness(
            duramen::Freshness::new()
                .max_policy_age(day)
                .max_age_of_type("User", day),
        )
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    ask(&authorizer);
    drop(authorizer);
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    let lines: Vec<Json> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(valid)
        .collect();
    assert_eq!(lines.len(), 16);
    assert!(lines[0]["version"]["schema"].is_string());
    assert_eq!(lines[8]["outcome"], "stale_policies");
    assert!(lines[8]["ages"]["types_ms"]["User"].is_u64());
}

/// Every member is in the text, too.
#[test]
fn the_text_names_every_member() {
    fn members(schema: &Json, found: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            found.extend(properties.keys().cloned());
        }
        match schema {
            Json::Object(map) => map.values().for_each(|value| members(value, found)),
            Json::Array(items) => items.iter().for_each(|value| members(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    members(&schema(), &mut found);
    assert!(found.len() > 40, "{found:?}");
    for member in found {
        assert!(
            DOCS.contains(&format!("`{member}`")),
            "docs/evidence.md does not say what {member} is"
        );
    }
}

/// A check that passes everything proves nothing.
#[test]
fn what_is_wrong_is_found() {
    let schema = schema();
    let memory = Arc::new(duramen::evidence::MemorySink::new(9));
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .sink(Arc::clone(&memory))
        .build()
        .unwrap();
    ask(&authorizer);
    let good = serde_json::to_value(&memory.records()[0]).unwrap();
    check(&schema, &schema, &good, "record").unwrap();
    for (pointer, value) in [
        ("/format", json!(2)),
        ("/instance", json!("x")),
        ("/id", json!("x-1")),
        ("/sequence", json!(0)),
        ("/rechecks", json!(0)),
        ("/decision", json!("maybe")),
        ("/new", json!(1)),
        ("/version/policies", json!("0")),
        ("/version/new", json!(1)),
        ("/principal", json!("User")),
        ("/determining/0/effect", json!("deny")),
        ("/determining/0/annotations/reason", json!(1)),
        (
            "/errors",
            json!([{ "id": "p", "kind": "type_error", "path": "a" }]),
        ),
        ("/context", json!([])),
    ] {
        let mut bad = good.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[member] = value;
        assert!(
            check(&schema, &schema, &bad, "record").is_err(),
            "{pointer}"
        );
    }
    let mut bad = good.clone();
    bad.as_object_mut().unwrap().remove("outcome");
    assert!(check(&schema, &schema, &bad, "record").is_err());
}
