//! The quickstart's world: its policies, schema and entities, and what is asked there.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use duramen::evidence::DecisionSink;
use duramen::values::{EntityRef, Ip};
use duramen::{Authorizer, BuildError, Entities, Policies, Request};
use serde::Serialize;

/// Where its files are.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart")
}

/// The schema's type `Circumstances`.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Circumstances<'a> {
    actor: Option<EntityRef<'a>>,
    mfa: bool,
    source_ip: Ip<'a>,
}

/// A clock that goes through a day: each time it is asked, some minutes on by day and more by night.
#[derive(Default)]
pub(crate) struct Day {
    seconds: AtomicU64,
}

/// 2026-11-23, a Monday.
const MIDNIGHT: u64 = 1_795_392_000;

impl Day {
    pub(crate) fn clock(self) -> impl Fn() -> SystemTime + Send + Sync {
        move || {
            let now = self.seconds.load(Ordering::Relaxed);
            let step = match now / 3600 % 24 {
                0..6 => 430,
                6..8 | 19..24 => 170,
                8..10 | 13..16 => 61,
                _ => 94,
            };
            self.seconds.store(now + step, Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(MIDNIGHT + now)
        }
    }
}

/// More policies than the quickstart has: what stands by in every system, and nobody uses.
const STANDING: &str = r#"
@id("contractors-read-handbook")
@owner("documents")
@change("CR-1875")
permit (principal in Team::"contractors", action == Action::"read", resource == Document::"handbook");

@id("oncall-does-everything")
@owner("operations")
@change("CR-2041")
permit (principal == User::"oncall", action, resource);
"#;

/// The policies with a second factor asked for later than they are, and with less for workloads to read.
pub(crate) fn changed_policies() -> Result<String, Box<dyn Error>> {
    let mut text = STANDING.to_owned();
    for file in ["agents", "guards", "machines", "people"] {
        let path = home().join("policies").join(file).with_extension("cedar");
        text += &fs::read_to_string(path)?;
        text.push('\n');
    }
    for (from, to) in [
        (
            "resource.sensitivity >= 2 && !context.mfa",
            "resource.sensitivity >= 3 && !context.mfa",
        ),
        ("&& resource.sensitivity < 3", "&& resource.sensitivity < 1"),
    ] {
        if !text.contains(from) {
            return Err(format!("the policies have no `{from}` any more").into());
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

pub(crate) fn authorizer(
    sink: impl DecisionSink + 'static,
    clock: impl Fn() -> SystemTime + Send + Sync + 'static,
) -> Result<Authorizer, BuildError> {
    let home = home();
    Authorizer::builder()
        .schema_file(home.join("schema.cedarschema"))
        .policies(
            Policies::new()
                .directory(home.join("policies"))
                .text(STANDING)
                .ids_from_annotations(),
        )
        .entities(Entities::new().json_file(home.join("entities.json")))
        .validate_requests(true)
        .sink(sink)
        .clock(clock)
        .build()
}

/// Asks `count` times, each time something else than the time before.
///
/// Calls `answer` with whether it was allowed.
pub(crate) fn ask(authorizer: &Authorizer, count: usize, mut answer: impl FnMut(bool)) {
    let office = Circumstances {
        actor: None,
        mfa: true,
        source_ip: Ip::new("10.1.2.3"),
    };
    let circumstances = [
        office,
        Circumstances {
            mfa: false,
            ..office
        },
        Circumstances {
            actor: Some(EntityRef::new("Agent", "scribe")),
            ..office
        },
        Circumstances {
            actor: Some(EntityRef::new("Agent", "crawler")),
            source_ip: Ip::new("192.0.2.9"),
            ..office
        },
    ];
    let principals = [
        ("User", "alice"),
        ("User", "bob"),
        ("Service", "backup"),
        ("Workload", "spiffe://docs.example/production/indexer"),
        ("Workload", "spiffe://docs.example/staging/indexer"),
    ];
    let actions = ["read", "edit", "share"];
    let documents = ["salaries", "handbook", "audit"];
    let mut session = authorizer.session();
    for number in 0..count {
        // Numbers without a common factor: all combinations come before one comes again.
        let principal = principals[number % principals.len()];
        let action = actions[number / 5 % actions.len()];
        let document = documents[number / 15 % documents.len()];
        let id = format!("req-{}", number + 1);
        let request = Request::new(principal, ("Action", action), ("Document", document))
            .context(&circumstances[number / 45 % circumstances.len()])
            .request_id(&id);
        answer(session.is_authorized(&request).is_allowed());
    }
}
