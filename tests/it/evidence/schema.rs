//! What sinks write is what `docs/evidence.schema.json` and `docs/evidence.md` say.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, JsonLinesSink, Mask, MaskSink, Masks, MemorySink,
    OwnedRecord, SinkError, Wants,
};
use duramen::{Builder, Delegation, EntityUidRef, ErrorMode, Freshness};
use serde_json::{Value as Json, json};

use super::*;

const SCHEMA: &str = include_str!("../../../docs/evidence.schema.json");
const DOCS: &str = include_str!("../../../docs/evidence.md");

/// Checks a value against the part of JSON Schema that the schema uses. Gives the places in the schema that say something
/// of it, or else what is wrong and where.
fn check(root: &Json, value: &Json) -> Result<Places, String> {
    let mut places = Places::new();
    check_at(root, "", value, "line", &mut places)?;
    Ok(places)
}

/// Pointers to members and to alternatives of the schema.
type Places = BTreeSet<String>;

fn check_at(
    root: &Json,
    at: &str,
    value: &Json,
    path: &str,
    places: &mut Places,
) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{path}: {what}: {value}"));
    let schema = root.pointer(at).unwrap();
    for (keyword, says) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                let pointer = says.as_str().unwrap().trim_start_matches('#');
                check_at(root, pointer, value, path, places)?;
            }
            "oneOf" => {
                let tried = (0..says.as_array().unwrap().len()).map(|one| {
                    let at = format!("{at}/oneOf/{one}");
                    let mut places = Places::from([at.clone()]);
                    check_at(root, &at, value, path, &mut places).map(|()| places)
                });
                let tried: Vec<_> = tried.collect();
                let mut fit = tried.iter().filter_map(|one| one.as_ref().ok());
                let (Some(one), None) = (fit.next(), fit.next()) else {
                    return Err(format!("{path}: not one of: {tried:?}"));
                };
                places.extend(one.iter().cloned());
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
            "enum" => {
                let says = says.as_array().unwrap();
                let Some(one) = says.iter().position(|one| one == value) else {
                    return wrong("enum");
                };
                places.insert(format!("{at}/enum/{one}"));
            }
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
                for (number, item) in value.as_array().unwrap().iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    check_at(root, &format!("{at}/items"), item, &path, places)?;
                }
            }
            "properties" => {
                for (name, value) in value.as_object().unwrap() {
                    let path = format!("{path}.{name}");
                    match (says.get(name), &schema["additionalProperties"]) {
                        (Some(_), _) => {
                            let at = format!("{at}/properties/{name}");
                            places.insert(at.clone());
                            check_at(root, &at, value, &path, places)?;
                        }
                        (None, Json::Bool(false)) => {
                            return Err(format!("{path} is not documented"));
                        }
                        (None, _) => {}
                    }
                }
            }
            "additionalProperties" if says.is_object() => {
                for (name, value) in value.as_object().unwrap() {
                    let path = format!("{path}.{name}");
                    check_at(
                        root,
                        &format!("{at}/additionalProperties"),
                        value,
                        &path,
                        places,
                    )?;
                }
            }
            "const" | "minimum" | "pattern" | "additionalProperties" => {}
            "$schema" | "$defs" | "title" | "description" => {}
            other => panic!("{other} is not known here"),
        }
    }
    Ok(())
}

/// All members and alternatives that the schema has.
fn places(schema: &Json, at: &str, found: &mut Places) {
    match schema {
        Json::Object(map) => {
            for (name, value) in map {
                let at = format!("{at}/{name}");
                if let ("properties", Json::Object(properties)) = (name.as_str(), value) {
                    found.extend(properties.keys().map(|name| format!("{at}/{name}")));
                }
                if let ("oneOf" | "enum", Json::Array(items)) = (name.as_str(), value) {
                    found.extend((0..items.len()).map(|one| format!("{at}/{one}")));
                }
                places(value, &at, found);
            }
        }
        Json::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{number}"), found);
            }
        }
        _ => {}
    }
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

/// Decisions of many kinds.
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
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let many = [EntityUidRef::new("Agent", "a"); 12];
    for chain in [
        Delegation::new(&agents[..2])
            .actor_as("actor")
            .expires(now + hour),
        Delegation::new(&agents).not_before(SystemTime::UNIX_EPOCH),
        Delegation::new(&agents[..1]).not_before(now + hour),
        Delegation::new(&agents[..1]).expires(now - hour),
        Delegation::new(&many),
    ] {
        let _ = authorizer.is_authorized(&view.delegation(&chain));
        let _ = authorizer.is_authorized(&request("eve").delegation(&chain));
        let _ = authorizer.is_authorized(&edit.delegation(&chain));
    }
}

/// A log with all kinds of entries.
fn log_lines() -> Vec<Vec<u8>> {
    let scratch = Scratch::new();
    let options = || {
        DurableLog::options(scratch.path())
            .segment_bytes(4000)
            .keep_bytes(40_000)
    };
    for round in 0..8 {
        let log = Arc::new(options().open().unwrap());
        ask(&authorizer(&log));
        if round == 7 {
            DecisionSink::record_loss(&log, 3).unwrap();
        }
        drop(log);
        if round == 6 {
            let (name, bytes) = segments(scratch.path()).pop().unwrap();
            std::fs::write(scratch.path().join(name), &bytes[..bytes.len() - 5]).unwrap();
        }
    }
    let mut all = lines(&segments(scratch.path()));
    // Logs that begin with what they say about themselves.
    for begin in ["", "{"] {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.path()).unwrap();
        std::fs::write(scratch.path().join("00000000000000000000.jsonl"), begin).unwrap();
        let log = DurableLog::open(scratch.path()).unwrap();
        log.record_loss(3).unwrap();
        all.extend(lines(&segments(scratch.path())));
    }
    all
}

/// What a sink that writes lines has got from an authorizer that `build` builds and `ask` asks.
fn lines_of(
    build: impl FnOnce(Builder) -> Builder,
    masks: Option<Masks>,
    ask: impl FnOnce(&Authorizer),
) -> Vec<Vec<u8>> {
    let sink = Arc::new(JsonLinesSink::new(Vec::new()));
    let builder = build(Authorizer::builder());
    let builder = match masks {
        None => builder.sink(Arc::clone(&sink)),
        Some(masks) => builder.sink(MaskSink::new(Arc::clone(&sink), masks).unwrap()),
    };
    let authorizer = builder.build().unwrap();
    ask(&authorizer);
    drop(authorizer);
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

/// Attributes, tags and ancestors that are there and that are not, a link, and policies that fail in every way.
const READING: &str = r#"
    permit(principal == ?principal, action, resource);
    permit(principal, action, resource) when {
        principal.level > 1 && !(principal has nope) && principal.getTag("site") != "" && !principal.hasTag("nope")
        && principal.boss in Team::"blue" && !(principal.boss in Team::"red") && !(principal.ghost has nope)
    };
    forbid(principal, action, resource) when { context.missing == 1 };
    forbid(principal, action, resource) when { 9223372036854775807 + principal.level > 0 };
    forbid(principal, action, resource) when { ip(context.text).isIpv4() };
    forbid(principal, action, resource) when { ip("a", "b").isIpv4() };
    forbid(principal, action, resource) when { principal.ghost.nope };
    forbid(principal, action, resource) when { principal.nope };
    forbid(principal, action, resource) when { principal.level > "a" };
"#;

const STAFF: &str = r#"[
    { "uid": { "type": "User", "id": "ann" },
      "attrs": { "level": 3, "boss": { "__entity": { "type": "User", "id": "bob" } },
                 "ghost": { "__entity": { "type": "User", "id": "ghost" } } },
      "tags": { "site": "x" }, "parents": [] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": {}, "parents": [{ "type": "Team", "id": "blue" }] }
]"#;

/// Records of decisions that read all that can be read.
fn lines_of_reading() -> Vec<Vec<u8>> {
    let policies = duramen::Policies::new().text(READING).link(
        "policy0",
        "anns",
        Some(("User", "ann").into()),
        None,
    );
    let view = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "d"))
        .context_json(r#"{ "text": "nonsense" }"#);
    lines_of(
        |builder| builder.policies(policies).entities(STAFF),
        None,
        |authorizer| assert!(authorizer.is_allowed(&view)),
    )
}

/// Records of a shadow that differs from each outcome that there can be of what is enforced.
fn lines_of_shadows() -> Vec<Vec<u8>> {
    let unless = "permit(principal, action, resource) unless { principal == User::\"alice\" };";
    let all = "permit(principal, action, resource);";
    let mut lines = Vec::new();
    for (mode, shadow) in [(ErrorMode::Cedar, unless), (ErrorMode::DenyOnAnyError, all)] {
        lines.extend(lines_of(
            |builder| builder.policies(POLICIES).error_mode(mode),
            None,
            |authorizer| {
                authorizer.set_shadow(shadow).unwrap();
                ask(authorizer);
            },
        ));
    }
    // What is enforced rests on something too old that the shadow does not look at.
    let bounds = Freshness::new().max_age_of_type("Team", Duration::from_millis(1));
    let policies = "permit(principal, action, resource) when { resource.team.open };";
    let docs = r#"[
        { "uid": { "type": "Doc", "id": "d" }, "attrs": { "team": { "__entity": { "type": "Team", "id": "t" } } }, "parents": [] },
        { "uid": { "type": "Team", "id": "t" }, "attrs": { "open": true }, "parents": [] }
    ]"#;
    lines.extend(lines_of(
        |builder| builder.policies(policies).entities(docs).freshness(bounds),
        None,
        |authorizer| {
            authorizer
                .set_shadow("permit(principal == User::\"alice\", action, resource);")
                .unwrap();
            std::thread::sleep(Duration::from_millis(5));
            ask(authorizer);
        },
    ));
    lines
}

/// Records of decisions on data that is too old, by clocks of all kinds.
fn lines_of_ages() -> Vec<Vec<u8>> {
    let day = Duration::from_secs(86_400);
    let old = SystemTime::now() - 2 * day;
    let policies = |as_of| duramen::Policies::new().text(POLICIES).as_of(as_of);
    let bounds = || {
        Freshness::new()
            .max_policy_age(day)
            .max_age_of_type("User", day)
    };
    let mut lines = lines_of(
        |builder| builder.policies(policies(old)).freshness(bounds()),
        None,
        ask,
    );
    let entities = duramen::Entities::new().json(STAFF).as_of(old);
    lines.extend(lines_of(
        |builder| {
            let bounds = Freshness::new().max_entity_age(day);
            builder
                .policies(POLICIES)
                .entities(entities)
                .freshness(bounds)
        },
        None,
        ask,
    ));
    // A clock that is set back after data was loaded, and one beyond what times in Cedar are.
    let days = Arc::new(AtomicU64::new(20_000));
    let clock = Arc::clone(&days);
    let now = move || {
        SystemTime::UNIX_EPOCH + day * u32::try_from(clock.load(Ordering::Relaxed)).unwrap()
    };
    lines.extend(lines_of(
        |builder| builder.policies(POLICIES).freshness(bounds()).clock(now),
        None,
        |authorizer| {
            days.fetch_sub(1, Ordering::Relaxed);
            ask(authorizer);
        },
    ));
    lines.extend(lines_of(
        |builder| {
            let far = Duration::from_secs(u64::MAX / 4);
            builder
                .policies(POLICIES)
                .clock(move || SystemTime::UNIX_EPOCH + far)
        },
        None,
        ask,
    ));
    lines
}

/// Lines of every kind that there is, from every kind of sink that writes lines.
fn lines_of_all_kinds() -> Vec<Vec<u8>> {
    let mut all = log_lines();
    let masked = [("context.*", false), ("context.n", true)];
    for (path, without_ids) in masked {
        let masks = Masks::new().key(&[7; 32]).path(path, Mask::Digest).unwrap();
        let masks = if without_ids { masks } else { masks.ids("*") };
        all.extend(lines_of(
            |builder| builder.policies(POLICIES),
            Some(masks),
            ask,
        ));
    }
    let schema =
        "entity User; entity Doc; action view, edit appliesTo { principal: User, resource: Doc };";
    all.extend(lines_of(
        |builder| {
            builder
                .policies("permit(principal, action, resource);")
                .schema_str(schema)
        },
        None,
        ask,
    ));
    all.extend(lines_of_reading());
    all.extend(lines_of_shadows());
    all.extend(lines_of_ages());
    // Behind a filter, what was lost before it is told by the next record that comes through.
    let sink = Arc::new(JsonLinesSink::new(Vec::new()));
    let failing = AtomicBool::new(true);
    let filter = Failing(Arc::clone(&sink), failing);
    let authorizer = Authorizer::builder().policies(POLICIES).sink(filter);
    ask(&authorizer.build().unwrap());
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    all.extend(
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec),
    );
    // Of what is enforced nothing is kept, and so nothing is allowed.
    let sink = Arc::new(JsonLinesSink::new(Vec::new()));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(KeepsShadows(Arc::clone(&sink)))
        .build()
        .unwrap();
    authorizer
        .set_shadow("forbid(principal, action, resource);")
        .unwrap();
    ask(&authorizer);
    drop(authorizer);
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    all.extend(
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec),
    );
    all
}

/// Keeps nothing the first time.
struct Failing(Arc<JsonLinesSink<Vec<u8>>>, AtomicBool);

impl DecisionSink for Failing {
    fn wants(&self) -> Wants {
        self.0.wants()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        match self.1.swap(false, Ordering::Relaxed) {
            true => Err(SinkError::new("not yet")),
            false => self.0.record(record),
        }
    }
}

/// Keeps what shadows say, and demands what it does not keep.
struct KeepsShadows(Arc<JsonLinesSink<Vec<u8>>>);

impl DecisionSink for KeepsShadows {
    fn wants(&self) -> Wants {
        self.0.wants()
    }

    fn delivery(&self) -> Delivery {
        Delivery::DenyIfNotKept
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        match record.enforced() {
            Some(_) => self.0.record(record),
            None => Err(SinkError::new("no")),
        }
    }
}

/// And nothing is documented that is never written.
#[test]
fn what_is_written_is_what_is_documented() {
    let schema = schema();
    let mut met = Places::new();
    for line in lines_of_all_kinds() {
        let line: Json = serde_json::from_slice(&line).unwrap();
        met.extend(check(&schema, &line).unwrap());
    }
    let mut documented = Places::new();
    places(&schema, "", &mut documented);
    assert!(documented.len() > 140, "{}", documented.len());
    let missing: Vec<_> = documented.difference(&met).collect();
    assert!(missing.is_empty(), "never written: {missing:#?}");
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
    let memory = Arc::new(MemorySink::new(99));
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .sink(Arc::clone(&memory))
        .build()
        .unwrap();
    ask(&authorizer);
    let good = serde_json::to_value(&memory.records()[0]).unwrap();
    check(&schema, &good).unwrap();
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
        assert!(check(&schema, &bad).is_err(), "{pointer}");
    }
    let mut bad = good.clone();
    bad.as_object_mut().unwrap().remove("outcome");
    assert!(check(&schema, &bad).is_err());
    // Nor is anything read as a record that is none, or one of a format that nobody knows yet.
    serde_json::from_value::<OwnedRecord>(good.clone()).unwrap();
    bad.clone_from(&good);
    bad["format"] = json!(2);
    for (bad, what) in [(bad, "reads format 1"), (json!({}), "missing field")] {
        let error = serde_json::from_value::<OwnedRecord>(bad).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}
