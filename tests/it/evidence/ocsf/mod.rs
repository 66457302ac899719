//! OCSF events are what the schema demands of API Activity (6003).

mod class;

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use duramen::evidence::ocsf::{Activity, ApiActivity, OcsfSink};
use duramen::evidence::{DecisionRecord, DecisionSink, Mask, MaskSink, Masks, SinkError, Wants};
use duramen::{Delegation, ErrorMode, Freshness};
use serde_json::{Value as Json, json};

use self::class::check_event;
use super::*;

fn builder(mode: ErrorMode) -> duramen::Builder {
    Authorizer::builder().error_mode(mode).policies(
        r#"
        @owner("photos")
        permit(principal, action in [Action::"view", Action::"deletePhoto", Action::"approve"], resource);
        forbid(principal == User::"eve", action, resource);
        forbid(principal, action, resource) when { principal.nope };
        "#,
    )
}

/// The events of requests, each checked.
fn events(mode: ErrorMode, inputs: bool, requests: &[Request<'_>]) -> Vec<Json> {
    let mut sink = OcsfSink::new(ApiActivity::new("photo-service"), Vec::new());
    if inputs {
        sink = sink.with_inputs();
    }
    let sink = Arc::new(sink);
    let authorizer = builder(mode).sink(Arc::clone(&sink)).build().unwrap();
    for request in requests {
        let _ = authorizer.is_authorized(request);
    }
    drop(authorizer);
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    let text = String::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| {
            let event = serde_json::from_str(line).unwrap();
            if let Err(wrong) = check_event(&event) {
                panic!("{wrong}\n{event:#}");
            }
            event
        })
        .collect()
}

fn ask<'a>(user: &'a str, action: &'a str) -> Request<'a> {
    Request::new(("User", user), ("Action", action), ("Photo", "beach"))
}

#[test]
fn each_outcome_is_an_event_of_the_class() {
    let requests = [
        ask("alice", "view")
            .request_id("r-1")
            .trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
        ask("eve", "view"),
        ask("alice", "print"),
        ask("alice", "view").context_json("{"),
    ];
    let mut seen = events(ErrorMode::Cedar, false, &requests);
    seen.extend(events(ErrorMode::DenyOnForbidError, false, &requests[..1]));
    let says: Vec<_> = seen
        .iter()
        .map(|event| {
            json!([
                event["status_code"],
                event["status_id"],
                event["action_id"],
                event["disposition_id"],
                event["actor"]["authorizations"][0]["decision"],
            ])
        })
        .collect();
    assert_eq!(
        says,
        [
            json!(["allowed", 1, 1, 1, "allowed"]),
            json!(["forbidden", 1, 2, 2, "denied"]),
            json!(["no_permit", 1, 2, 26, "denied"]),
            json!(["invalid_request", 2, 2, 27, "denied"]),
            json!(["evaluation_errors", 2, 2, 27, "denied"]),
        ]
    );
    let first = &seen[0];
    assert_eq!(first["actor"]["user"]["uid"], "alice");
    assert_eq!(first["actor"]["user"]["type"], "User");
    assert_eq!(first["resources"][0]["uid"], "beach");
    assert_eq!(first["api"]["operation"], "view");
    assert_eq!(first["api"]["request"]["uid"], "r-1");
    assert_eq!(first["metadata"]["correlation_uid"], "r-1");
    assert_eq!(first["trace"]["uid"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(first["unmapped"]["span_id"], "00f067aa0ba902b7");
    let policy = &first["actor"]["authorizations"][0]["policy"];
    assert_eq!(
        (&policy["uid"], &policy["type"]),
        (&json!("policy0"), &json!("permit"))
    );
    assert_eq!(policy["version"], first["unmapped"]["version"]["policies"]);
    assert_eq!(
        first["unmapped"]["determining"][0]["annotations"]["owner"],
        "photos"
    );
    assert_eq!(
        first["unmapped"]["errors"][0]["kind"],
        "entity_does_not_exist"
    );
    assert!(seen[3]["status_detail"].is_string());
    assert!(first["unmapped"].get("context").is_none());
}

/// November 2023.
const NOW: u64 = 1_700_000_000;

/// What an authorizer's sink writes for requests that `ask` makes.
fn events_of(
    build: impl FnOnce(duramen::Builder) -> duramen::Builder,
    ask: impl FnOnce(&Authorizer),
) -> Vec<Json> {
    let sink = Arc::new(OcsfSink::new(ApiActivity::new("photo-service"), Vec::new()));
    let builder = build(builder(ErrorMode::Cedar));
    let authorizer = builder.sink(Arc::clone(&sink)).build().unwrap();
    ask(&authorizer);
    drop(authorizer);
    let text = String::from_utf8(Arc::into_inner(sink).unwrap().into_inner()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A clock that is a second on each time that it is asked.
fn later() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let asked = AtomicU64::new(NOW);
    move || SystemTime::UNIX_EPOCH + Duration::from_secs(asked.fetch_add(1, Ordering::Relaxed))
}

/// What no policy decides is a failure where something is wrong with the data, and a success where it is with the chain.
#[test]
fn refusals_are_events_of_the_class() {
    let says = |events: Vec<Json>| {
        let event = &events[0];
        check_event(event).unwrap();
        json!([
            event["status_code"],
            event["status_id"],
            event["action_id"],
            event["disposition_id"]
        ])
    };
    let ask_once = |authorizer: &Authorizer| {
        let _ = authorizer.is_authorized(&ask("alice", "view"));
    };
    let stale = |freshness: Freshness| {
        says(events_of(
            |builder| builder.clock(later()).freshness(freshness),
            ask_once,
        ))
    };
    assert_eq!(
        stale(Freshness::new().max_policy_age(Duration::ZERO)),
        json!(["stale_policies", 2, 2, 27])
    );
    assert_eq!(
        stale(Freshness::new().max_entity_age(Duration::ZERO)),
        json!(["stale_entities", 2, 2, 27])
    );

    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let second = Duration::from_secs(1);
    let planner = [duramen::EntityUidRef::new("Agent", "planner")];
    let herself = [duramen::EntityUidRef::new("User", "alice")];
    let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let many: Vec<_> = many
        .iter()
        .map(|id| duramen::EntityUidRef::new("Agent", id))
        .collect();
    for (delegation, expected) in [
        (
            Delegation::new(&planner).expires(now - second),
            "delegation_expired",
        ),
        (
            Delegation::new(&planner).not_before(now + second),
            "delegation_not_yet_valid",
        ),
        (Delegation::new(&herself), "delegation_cycle"),
        (Delegation::new(&many), "delegation_too_long"),
    ] {
        let seen = events_of(
            |builder| builder.clock(move || now),
            |authorizer| {
                let _ = authorizer.is_authorized(&ask("alice", "view").delegation(&delegation));
            },
        );
        assert_eq!(says(seen), json!([expected, 1, 2, 26]));
    }
}

/// What a shadow would have decided has not happened.
#[test]
fn shadows_are_no_activity() {
    let seen = events_of(
        |builder| builder,
        |authorizer| {
            authorizer
                .set_shadow("forbid(principal, action, resource);")
                .unwrap();
            assert!(authorizer.is_allowed(&ask("alice", "view")));
            assert!(authorizer.is_allowed(&ask("alice", "view")));
        },
    );
    seen.iter().for_each(|event| check_event(event).unwrap());
    let decisions: Vec<_> = seen.iter().map(|event| &event["status_code"]).collect();
    assert_eq!(decisions, ["allowed", "allowed"]);
}

#[test]
fn times_before_1970_are_negative() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
    for (time, expected) in [
        (before, -1500),
        (SystemTime::UNIX_EPOCH + Duration::from_millis(1500), 1500),
    ] {
        let seen = events_of(
            |builder| builder.clock(move || time),
            |authorizer| assert!(authorizer.is_allowed(&ask("alice", "view"))),
        );
        assert_eq!(seen[0]["time"], expected);
    }
}

/// What each event says was lost before it, of six decisions, when the records with these numbers are.
fn losses_told(lost: &'static [u64], shadow: Option<&str>) -> Vec<Option<u64>> {
    struct LosesSome(Arc<OcsfSink<Vec<u8>>>, AtomicU64, &'static [u64]);
    impl DecisionSink for LosesSome {
        fn wants(&self) -> Wants {
            self.0.wants()
        }

        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            match self.2.contains(&self.1.fetch_add(1, Ordering::Relaxed)) {
                true => Err(SinkError::new("lost, on purpose")),
                false => self.0.record(record),
            }
        }
    }
    let sink = Arc::new(OcsfSink::new(ApiActivity::new("photo-service"), Vec::new()));
    let loses = LosesSome(Arc::clone(&sink), AtomicU64::new(0), lost);
    let authorizer = builder(ErrorMode::Cedar).sink(loses).build().unwrap();
    if let Some(policies) = shadow {
        authorizer.set_shadow(policies).unwrap();
    }
    for _ in 0..6 {
        assert!(authorizer.is_allowed(&ask("alice", "view")));
    }
    drop(authorizer);
    let text = String::from_utf8(Arc::into_inner(sink).unwrap().into_inner()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap())
        .map(|event| event["unmapped"].get("lost_before")?.as_u64())
        .collect()
}

/// One loss is told as well as many.
#[test]
fn losses_are_told() {
    assert_eq!(losses_told(&[1, 3, 4], None), [None, Some(1), Some(2)]);
}

/// The record that tells it is a shadow's, of which there is no event.
#[test]
fn losses_before_a_shadow_are_told_by_the_next_event() {
    let forbids = Some("forbid(principal, action, resource);");
    let told = losses_told(&[2], forbids);
    assert_eq!(told, [None, Some(1), None, None, None]);
}

#[test]
fn inputs_are_there_when_they_are_wanted() {
    let seen = events(
        ErrorMode::Cedar,
        true,
        &[ask("alice", "view").context_json(r#"{ "a": 1 }"#)],
    );
    let unmapped = &seen[0]["unmapped"];
    assert_eq!(unmapped["context"], json!({ "a": 1 }));
    assert_eq!(unmapped["inputs"]["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn actions_are_activities_by_their_first_word_or_as_the_host_says() {
    for (id, activity) in [
        ("view", Activity::Read),
        ("viewPhoto", Activity::Read),
        ("Get_Photo", Activity::Read),
        ("GetObject", Activity::Read),
        ("s3:GetObject", Activity::Other),
        ("create", Activity::Create),
        ("createAlbum", Activity::Create),
        ("edit photo", Activity::Update),
        ("DELETE", Activity::Delete),
        ("remove-member", Activity::Delete),
        ("viewer", Activity::Other),
        ("approve", Activity::Other),
        ("é", Activity::Other),
        ("", Activity::Other),
    ] {
        assert_eq!(Activity::suggested_by(id), activity, "{id}");
    }
    let long = "approve".repeat(20);
    let seen = events(ErrorMode::Cedar, false, &[ask("alice", &long)]);
    assert_eq!(seen[0]["activity_id"], 99);
    assert_eq!(seen[0]["activity_name"], long.as_str());
    assert_eq!(seen[0]["type_uid"], 600_399);

    let events = ApiActivity::new("photo-service").activities(|action| match action.id() {
        "approve" => Activity::Update,
        other => Activity::suggested_by(other),
    });
    let sink = Arc::new(OcsfSink::new(events, Vec::new()));
    let authorizer = builder(ErrorMode::Cedar)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let _ = authorizer.is_authorized(&ask("alice", "approve"));
    drop(authorizer);
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    let event: Json = serde_json::from_slice(&bytes).unwrap();
    check_event(&event).unwrap();
    assert_eq!(event["activity_id"], 3);
}

/// A check that passes everything proves nothing.
#[test]
fn what_is_no_event_is_found() {
    let good = events(ErrorMode::Cedar, false, &[ask("alice", "view")]).remove(0);
    for (pointer, value) in [
        ("/time", json!(1_790_000_000)),
        ("/class_uid", json!(3004)),
        ("/type_uid", json!(600_301)),
        ("/activity_name", json!("Write")),
        ("/severity_id", json!(7)),
        ("/status", json!("Failure")),
        ("/action_id", json!(2)),
        ("/disposition_id", json!(26)),
        ("/actor", json!({})),
        ("/actor/user", json!({ "type": "User" })),
        ("/api", json!({})),
        ("/src_endpoint", json!({})),
        ("/metadata/profiles", json!([])),
        ("/metadata/version", json!("1.0.0")),
        ("/metadata/product", json!({})),
        ("/trace", json!({ "uid": "t" })),
        ("/new", json!(1)),
    ] {
        let mut bad = good.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[member] = value;
        assert!(check_event(&bad).is_err(), "{pointer}");
    }
}

#[test]
fn what_was_masked_is_told() {
    let sink = Arc::new(OcsfSink::new(ApiActivity::new("photo-service"), Vec::new()).with_inputs());
    let masks = Masks::new().path("context.secret", Mask::Drop).unwrap();
    let masked = MaskSink::new(Arc::clone(&sink), masks).unwrap();
    let authorizer = builder(ErrorMode::Cedar).sink(masked).build().unwrap();
    let asked = ask("alice", "view").context_json(r#"{ "a": 1, "secret": "x" }"#);
    assert!(authorizer.is_allowed(&asked));
    drop(authorizer);
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    let event: Json = serde_json::from_slice(&bytes).unwrap();
    check_event(&event).unwrap();
    assert_eq!(event["unmapped"]["context"], json!({ "a": 1 }));
    assert_eq!(event["unmapped"]["masked"], json!(["context.secret"]));
    // No policy knows of it.
    assert_eq!(event["unmapped"]["replayable"], true);
}

#[test]
fn who_acted_for_the_principal_is_told() {
    let agents = [duramen::EntityUidRef::new("Agent", "planner")];
    let delegation = duramen::Delegation::new(&agents);
    let asked = ask("alice", "view").delegation(&delegation);
    for inputs in [false, true] {
        let seen = events(ErrorMode::Cedar, inputs, &[ask("alice", "view"), asked]);
        assert!(seen[0]["unmapped"].get("delegation").is_none());
        assert!(seen[0]["unmapped"].get("rechecks").is_none());
        let hops = &seen[1]["unmapped"]["delegation"]["hops"];
        assert_eq!(hops[1]["principal"]["id"], "planner");
        assert_eq!(hops[1]["outcome"], "allowed");
        assert_eq!(hops[1].get("inputs").is_some(), inputs);
    }
}

#[test]
fn a_decision_made_again_names_the_first() {
    let sink = Arc::new(OcsfSink::new(ApiActivity::new("photo-service"), Vec::new()));
    let authorizer = builder(ErrorMode::Cedar)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let grant = authorizer.grant(&ask("alice", "view")).unwrap();
    authorizer
        .replace_policies("forbid(principal, action, resource);")
        .unwrap();
    assert!(!grant.is_current());
    drop((grant, authorizer));
    let bytes = Arc::into_inner(sink).unwrap().into_inner();
    let text = String::from_utf8(bytes).unwrap();
    let last: Json = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    check_event(&last).unwrap();
    assert_eq!(last["unmapped"]["rechecks"], 1);
}
