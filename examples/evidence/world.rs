//! The quickstart's world: its policies, schema and entities, and what is asked there.

use std::path::{Path, PathBuf};

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

pub(crate) fn authorizer(sink: impl DecisionSink + 'static) -> Result<Authorizer, BuildError> {
    let home = home();
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
