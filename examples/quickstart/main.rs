//! A documents service asks Duramen what people, service accounts, workloads and AI agents may do.
//!
//! Run it with `cargo run --release --example quickstart`. The policies, the schema, the entities and the tests of
//! the policies (`cases.json`, which `cargo test` runs) are the files next to this one.

#[path = "../compare/counting.rs"]
mod counting;

use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use duramen::evidence::{DecisionSink, JsonLinesSink, NoSink, OwnedRecord};
use duramen::explain::ExplainOptions;
use duramen::values::{EntityRef, Ip};
use duramen::{
    Authorizer, BuildError, Effect, Entities, Entity, EntityUidRef, Policies, Request, Response,
};
use serde::Serialize;

/// What every request says about its circumstances; the schema's type `Circumstances`.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Circumstances<'a> {
    /// The agent that acts for the principal. `None` is an absent attribute.
    actor: Option<EntityRef<'a>>,
    mfa: bool,
    source_ip: Ip<'a>,
}

/// A document as it stands in the service's own database.
#[derive(Serialize)]
struct Document<'a> {
    owner: EntityRef<'a>,
    sensitivity: i64,
}

/// One question, and what it is about in words.
struct Case<'a> {
    story: &'static str,
    request: Request<'a>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");

    // Where the evidence goes: a line of JSON for each decision.
    let evidence = std::env::temp_dir().join("duramen-quickstart.jsonl");
    let authorizer = build(&home, JsonLinesSink::new(File::create(&evidence)?))?;

    let version = authorizer.version();
    println!(
        "{} policies and {} entities, checked against the schema",
        authorizer.policy_count(),
        authorizer.entity_count()
    );
    println!("policy digest {}\n", version.policies());

    // The requests. A context is any type that serde can serialize.
    let office = Circumstances {
        actor: None,
        mfa: true,
        source_ip: Ip::new("10.1.2.3"),
    };
    let no_mfa = Circumstances {
        mfa: false,
        ..office
    };
    let scribe = Circumstances {
        actor: Some(EntityRef::new("Agent", "scribe")),
        ..office
    };
    let crawler = Circumstances {
        actor: Some(EntityRef::new("Agent", "crawler")),
        ..office
    };
    // An entity for one request: the row that the service has just read from its database.
    let draft = Document {
        owner: EntityRef::new("User", "alice"),
        sensitivity: 1,
    };
    let draft_parents = [EntityUidRef::new("Folder", "payroll/2026")];
    let draft = [Entity::new(("Document", "draft-7"))
        .attrs(&draft)
        .parents(&draft_parents)];

    let (alice, bob) = (("User", "alice"), ("User", "bob"));
    let backup = ("Service", "backup");
    let production = ("Workload", "spiffe://docs.example/production/indexer");
    let staging = ("Workload", "spiffe://docs.example/staging/indexer");
    let (read, edit, share) = (("Action", "read"), ("Action", "edit"), ("Action", "share"));
    let salaries = ("Document", "salaries");
    let handbook = ("Document", "handbook");
    let audit = ("Document", "audit");
    let unknown_draft = ("Document", "draft-7");

    let cases = [
        Case {
            story: "Alice, of the payroll team, reads the salaries",
            request: Request::new(alice, read, salaries).context(&office),
        },
        Case {
            story: "Bob, of the press team, reads an audit report of payroll's",
            request: Request::new(bob, read, audit).context(&office),
        },
        Case {
            story: "Alice reads the salaries without a second factor",
            request: Request::new(alice, read, salaries).context(&no_mfa),
        },
        Case {
            story: "The backup's service account reads the salaries",
            request: Request::new(backup, read, salaries).context(&office),
        },
        Case {
            story: "The backup's service account edits the salaries",
            request: Request::new(backup, edit, salaries).context(&office),
        },
        Case {
            story: "The production indexer, a workload, reads the handbook",
            request: Request::new(production, read, handbook).context(&office),
        },
        Case {
            story: "The staging indexer reads the handbook",
            request: Request::new(staging, read, handbook).context(&office),
        },
        Case {
            story: "The AI agent scribe, acting for Alice, reads the salaries",
            request: Request::new(alice, read, salaries).context(&scribe),
        },
        Case {
            story: "The AI agent scribe, acting for Alice, shares the salaries",
            request: Request::new(alice, share, salaries).context(&scribe),
        },
        Case {
            story: "The AI agent crawler claims to act for Alice and reads the salaries",
            request: Request::new(alice, read, salaries).context(&crawler),
        },
        Case {
            story: "Alice edits a draft that the entity store does not know",
            request: Request::new(alice, edit, unknown_draft).context(&office),
        },
        Case {
            story: "The same, and the request brings the draft along",
            request: Request::new(alice, edit, unknown_draft)
                .context(&office)
                .entities(&draft),
        },
    ];

    for (number, case) in (1..).zip(&cases) {
        let id = format!("req-{number}");
        let response = authorizer.is_authorized(&case.request.request_id(&id));
        println!("{number:2}. {}", case.story);
        explain(&response, &home)?;
    }

    // Why was the staging indexer denied? Which clause, on which values, and what else would have come near.
    let denied = &cases[6];
    println!("{}. Why?\n", denied.story);
    let usual = ExplainOptions::new().with_policies(1);
    let why = authorizer.explain_with(&denied.request, &usual).to_string();
    for line in why.replace(&format!("{}/", home.display()), "").lines() {
        println!("    {line}");
    }
    println!();

    show_evidence(&evidence)?;
    measure(&home, &cases)
}

/// Builds the authorizer. Nothing fails before `build`, which tells all problems at once.
fn build(home: &Path, sink: impl DecisionSink + 'static) -> Result<Authorizer, BuildError> {
    Authorizer::builder()
        .schema_file(home.join("schema.cedarschema"))
        .policies(
            Policies::new()
                .directory(home.join("policies"))
                .ids_from_annotations(),
        )
        .entities(Entities::new().json_file(home.join("entities.json")))
        .validate_requests(true)
        .sink(sink)
        .build()
}

/// Prints a decision, the policies that determined it and why, and what could not be evaluated.
fn explain(response: &Response<'_>, home: &Path) -> Result<(), Box<dyn Error>> {
    let decision = if response.is_allowed() {
        "ALLOW"
    } else {
        "DENY "
    };
    println!("    {decision}  {}", response.outcome());
    for policy in response.determining() {
        let effect = match policy.effect() {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        };
        println!(
            "           {effect} {} ({}): {}",
            policy.id(),
            policy.annotation("owner").unwrap_or("no owner"),
            policy.annotation("reason").unwrap_or("no reason given")
        );
    }
    for error in response.errors() {
        println!(
            "           skipped {}: {}",
            error.policy().id(),
            error.kind()
        );
        if let Some((Some(file), span)) = error.source() {
            let text = fs::read_to_string(file)?;
            let before = text.get(..span.start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let file = Path::new(file).strip_prefix(home)?;
            let path: Vec<String> = error.path().iter().map(u32::to_string).collect();
            println!(
                "                   {}:{line}, condition and operands {}",
                file.display(),
                path.join(".")
            );
        }
    }
    if let Some(error) = response.request_error() {
        println!("           {error}");
    }
    println!();
    Ok(())
}

/// Prints what the sink wrote: all of it in short, and one line as it stands.
fn show_evidence(file: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(file)?;
    println!(
        "Evidence, a line of JSON for each decision, in {}:",
        file.display()
    );
    for line in text.lines() {
        let record: OwnedRecord = serde_json::from_str(line)?;
        println!(
            "    sequence {:2}, {}, {} bytes: {}",
            record.sequence,
            record.time.as_deref().unwrap_or("no time"),
            line.len(),
            record.outcome.as_str()
        );
    }
    println!("\nThe tenth of them, the agent without a mandate:\n");
    println!("{}\n", text.lines().nth(9).unwrap_or_default());
    Ok(())
}

/// Measures each request: time and heap allocations.
fn measure(home: &Path, cases: &[Case<'_>]) -> Result<(), Box<dyn Error>> {
    let silent = build(home, NoSink)?;
    let recording = build(home, JsonLinesSink::new(std::io::sink()))?;
    println!("What a decision costs, request validation included: nanoseconds, the median of");
    println!(
        "{BATCHES} batches of {BATCH}; and the heap allocations of all those decisions together.\n"
    );
    println!("      plain  session  prepared  plain + record  allocations");
    for (number, case) in (1..).zip(cases) {
        let mut session = silent.session();
        let plain = bench(|| silent.is_authorized(black_box(&case.request)).is_allowed());
        let in_session = bench(|| session.is_authorized(black_box(&case.request)).is_allowed());
        let mut prepared = silent.prepare(&case.request).ok();
        let prepared = prepared.as_mut().map(|request| {
            bench(|| {
                session
                    .is_authorized_prepared(black_box(request))
                    .is_allowed()
            })
        });
        let recorded = bench(|| {
            recording
                .is_authorized(black_box(&case.request))
                .is_allowed()
        });
        let allocations = plain.allocations
            + in_session.allocations
            + recorded.allocations
            + prepared.as_ref().map_or(0, |cost| cost.allocations);
        println!(
            "{number:3}. {:6.0} {:8.0} {:>9} {:15.0} {allocations:12}",
            plain.nanoseconds,
            in_session.nanoseconds,
            prepared.map_or("-".to_owned(), |cost| format!("{:.0}", cost.nanoseconds)),
            recorded.nanoseconds,
        );
    }
    println!(
        "\nplain: Authorizer::is_authorized, strings looked up and the context converted at each call"
    );
    println!("session: the same through Authorizer::session, which keeps its working memory");
    println!(
        "prepared: the request read and validated once (one that brings its own entities cannot be)"
    );
    println!("plain + record: with a JsonLinesSink that gets every decision and its inputs");
    if cfg!(debug_assertions) {
        println!("\nThis is a debug build: run with --release for times that mean something.");
    }
    Ok(())
}

const BATCHES: usize = 101;
const BATCH: u32 = 1_000;

/// What a decision costs.
struct Cost {
    nanoseconds: f64,
    /// Heap allocations in all batches together.
    allocations: u64,
}

fn bench(mut decide: impl FnMut() -> bool) -> Cost {
    // Working memory grows to its size in the first few calls.
    for _ in 0..BATCH {
        black_box(decide());
    }
    let mut times = [0.0; BATCHES];
    let allocations = counting::allocations(|| {
        for time in &mut times {
            let start = Instant::now();
            for _ in 0..BATCH {
                black_box(decide());
            }
            *time = start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH);
        }
    });
    times.sort_by(f64::total_cmp);
    Cost {
        nanoseconds: times[BATCHES / 2],
        allocations,
    }
}
