//! What does a search cost? "Which documents may she read?" over a million documents, each figure beside its threshold.
//!
//! ```text
//! cargo run --release --example search -- [--json] [--quick] [DIR]
//! ```
//!
//! DIR is a scenario as `compare` takes them: then the searches are those of its requests, with the principal and the
//! action of each over all entities of its resource's type, and the thresholds are for information. Without DIR, three
//! shapes are generated. `--quick` has 100,000 documents.
//!
//! Every search is checked against deciding one by one, on a sample where that would take long. A candidate is an entity
//! of the type that is searched, whether or not the search has to look at it.

#[path = "../load/figures.rs"]
mod figures;
#[allow(dead_code, reason = "shared with `load`; each uses a part")]
#[path = "../load/world.rs"]
mod world;

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use duramen::{Authorizer, Entities, EntityUid, EntityUidRef, Limits, Pinned, Request, Search};
use serde::Deserialize;

use figures::Figure;
use world::World;

/// Each search is repeated this often; the median counts.
const RUNS: usize = 7;

/// So many candidates of a search are decided one by one.
const SAMPLE: usize = 20_000;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut flag = |flag: &str| {
        let before = args.len();
        args.retain(|arg| arg != flag);
        args.len() < before
    };
    let (json, quick) = (flag("--json"), flag("--quick"));
    let figures = match args.first() {
        Some(directory) => scenario(Path::new(directory)),
        None => generated(if quick { 100_000 } else { 1_000_000 }),
    };
    match figures {
        Ok(figures) => {
            figures.iter().for_each(|figure| figure.print(json));
            ExitCode::from(u8::from(!figures.iter().all(Figure::holds)))
        }
        Err(error) => {
            eprintln!("search: {error}");
            ExitCode::from(2)
        }
    }
}

/// One search, and what came of it.
struct Measured {
    results: usize,
    examined: usize,
    seconds: f64,
    /// To the first page of 100.
    first_page: f64,
}

fn generated(docs: usize) -> Result<Vec<Figure>, Box<dyn Error>> {
    let world = World {
        groups: 5_000,
        users: 60_000,
        projects: 1_000,
        folders: 10_000,
        docs,
    };
    let build = |policies: String| {
        let started = Instant::now();
        let authorizer = Authorizer::builder()
            .policies(policies.as_str())
            .entities(Entities::new().json_stream(world.json()))
            .build()?;
        eprintln!("{} entities in {:.1?}", world.len(), started.elapsed());
        Ok::<_, Box<dyn Error>>(authorizer.pin())
    };
    let mut figures = Vec::new();
    let types: Vec<EntityUid> = (0..docs)
        .map(|number| EntityUid::new("Acme::Doc", world::doc(number)))
        .collect();
    let users: Vec<String> = (0..40).map(|user| world::user(user * 97)).collect();

    let general = build(world.policies(2_000, true))?;
    for (action, mfa) in [("read", true), ("metadata", false), ("write", true)] {
        let context = if mfa {
            r#"{"mfa":true}"#
        } else {
            r#"{"mfa":false}"#
        };
        let user = EntityUidRef::new("Acme::User", &users[1]);
        let search =
            Search::resources(user, ("Acme::Action", action), "Acme::Doc").context_json(context);
        let measured = measure(&general, &search, &types, |doc| {
            Request::new(user, ("Acme::Action", action), doc).context_json(context)
        })?;
        let (what, bound) = match action {
            // Every document's owner is looked up, somewhere else in memory: no figure is promised for that.
            "write" => (format!("{action}, with a look at every owner"), false),
            _ => (format!("{action}, conditions on every document"), true),
        };
        report(&mut figures, &what, docs, &measured, bound);
    }
    let scoped = build(world.policies(20_000, false))?;
    let mut slowest: Option<Measured> = None;
    for user in &users {
        let user = EntityUidRef::new("Acme::User", user);
        let search = Search::resources(user, ("Acme::Action", "read"), "Acme::Doc");
        let measured = measure(&scoped, &search, &types, |doc| {
            Request::new(user, ("Acme::Action", "read"), doc)
        })?;
        if slowest
            .as_ref()
            .is_none_or(|slowest| measured.seconds > slowest.seconds)
        {
            slowest = Some(measured);
        }
    }
    if let Some(slowest) = slowest {
        report(&mut figures, "read, folders only", docs, &slowest, true);
        let what = "read, folders only, the slowest of 40 users: all";
        figures.push(Figure::new(what, slowest.seconds * 1e3, "ms").at_most(1.0));
    }
    let doc = EntityUidRef::new("Acme::Doc", types[0].id());
    let search = Search::principals("Acme::User", ("Acme::Action", "read"), doc);
    let users: Vec<EntityUid> = (0..world.users)
        .map(|number| EntityUid::new("Acme::User", world::user(number)))
        .collect();
    let measured = measure(&scoped, &search, &users, |user| {
        Request::new(user, ("Acme::Action", "read"), doc)
    })?;
    report(&mut figures, "who may read", users.len(), &measured, true);
    let started = Instant::now();
    let user = EntityUidRef::new("Acme::User", users[1].id());
    let actions = general.search(&Search::actions(user, doc).context_json(r#"{"mfa":true}"#))?;
    let actions = actions.count();
    let what = format!("which actions, {actions} found");
    figures.push(Figure::new(
        what,
        started.elapsed().as_secs_f64() * 1e6,
        "us",
    ));
    Ok(figures)
}

fn report(
    figures: &mut Vec<Figure>,
    what: &str,
    candidates: usize,
    measured: &Measured,
    bound: bool,
) {
    let rate = candidates as f64 / measured.seconds / 1e6;
    let rate = Figure::new(
        format!(
            "{what}: {} of {candidates}, {} looked at",
            measured.results, measured.examined
        ),
        rate,
        "M/s",
    );
    figures.push(if bound { rate.at_least(10.0) } else { rate });
    let what = format!("{what}: the first 100");
    figures.push(Figure::new(what, measured.first_page * 1e3, "ms"));
}

/// Runs a search and checks it.
fn measure<'r>(
    pinned: &Pinned,
    search: &Search<'_>,
    candidates: &'r [EntityUid],
    request: impl Fn(EntityUidRef<'r>) -> Request<'r>,
) -> Result<Measured, Box<dyn Error>> {
    let found: HashSet<EntityUid> = pinned.search(search)?.map(EntityUidRef::to_owned).collect();
    let step = candidates.len().div_ceil(SAMPLE).max(1);
    let sample = candidates.iter().step_by(step);
    let is_wrong = |candidate: &&'r EntityUid| {
        pinned.is_allowed(&request(candidate.as_ref())) != found.contains(*candidate)
    };
    // Most of a sample is not found, so that some of what is found is asked about, too.
    let results = candidates
        .iter()
        .filter(|candidate| found.contains(*candidate));
    let wrong = sample.chain(results.take(SAMPLE)).filter(is_wrong).count();
    if wrong > 0 {
        return Err(format!("{wrong} wrong of {search:?}").into());
    }
    let mut times = Vec::new();
    let (mut results, mut examined) = (0, 0);
    for _ in 0..RUNS {
        let started = Instant::now();
        let mut all = pinned.search(search)?;
        results = all.by_ref().count();
        times.push(started.elapsed());
        examined = all.examined();
    }
    let mut pages = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let page = pinned.search(&search.limit(100))?;
        std::hint::black_box(page.count());
        pages.push(started.elapsed());
    }
    Ok(Measured {
        results,
        examined,
        seconds: median(times),
        first_page: median(pages),
    })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

#[derive(Deserialize)]
struct Uid {
    #[serde(rename = "type")]
    type_name: String,
    id: String,
}

#[derive(Deserialize)]
struct Asked {
    principal: Uid,
    action: Uid,
    resource: Uid,
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Stored {
    uid: serde_json::Value,
}

/// The searches of a scenario's first requests.
fn scenario(directory: &Path) -> Result<Vec<Figure>, Box<dyn Error>> {
    let read = |name: &str| std::fs::read_to_string(directory.join(name));
    let entities = read("entities.json")?;
    let mut builder = Authorizer::builder()
        .limits(Limits::default().with_input_bytes(1 << 30))
        .validate_policies(false)
        .policies(read("policies.cedar")?.as_str())
        .entities(entities.as_str());
    if let Ok(schema) = read("schema.cedarschema") {
        builder = builder.schema_str(schema);
    }
    let pinned = builder.build()?.pin();
    let stored: Vec<Stored> = serde_json::from_str(&entities)?;
    let stored: Vec<EntityUid> = stored
        .into_iter()
        .filter_map(|entity| {
            let uid = entity.uid.get("__entity").cloned().unwrap_or(entity.uid);
            let uid: Uid = serde_json::from_value(uid).ok()?;
            Some(EntityUid::new(uid.type_name, uid.id))
        })
        .collect();
    let asked: Vec<Asked> = serde_json::from_str(&read("requests.json")?)?;
    let (mut seconds, mut candidates, mut results, mut slowest) = (0.0, 0, 0, 0.0_f64);
    for asked in asked.iter().take(25) {
        let principal = EntityUidRef::new(&asked.principal.type_name, &asked.principal.id);
        let action = EntityUidRef::new(&asked.action.type_name, &asked.action.id);
        let type_name = asked.resource.type_name.as_str();
        let context = serde_json::Value::Object(asked.context.clone()).to_string();
        let search = Search::resources(principal, action, type_name).context_json(&context);
        let of_type: Vec<EntityUid> = stored
            .iter()
            .filter(|uid| uid.type_name() == type_name)
            .cloned()
            .collect();
        let measured = measure(&pinned, &search, &of_type, |resource| {
            Request::new(principal, action, resource).context_json(&context)
        })?;
        seconds += measured.seconds;
        slowest = slowest.max(measured.seconds);
        candidates += of_type.len();
        results += measured.results;
    }
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    Ok(vec![
        Figure::new(
            format!("{name}: {results} of {candidates} in 25 searches"),
            candidates as f64 / seconds / 1e6,
            "M/s",
        ),
        Figure::new(format!("{name}: the slowest search"), slowest * 1e3, "ms"),
    ])
}
