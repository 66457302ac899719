//! A log of decisions of every kind: with actors, masked, on data that was too old, refused, without inputs, lost.

use std::fs;
use std::thread;
use std::time::Duration;

use duramen::evidence::log::DurableLog;
use duramen::evidence::{DecisionSink, Mask, MaskSink, Masks};
use duramen::replay::PolicyArchive;
use duramen::{
    Authorizer, Builder, Delegation, EntityUidRef, Freshness, Outcome, Policies, Request,
};

use crate::command::Verdict;
use crate::records;

use super::{Scratch, comes_to, fails, page};

/// Adds what a service with these settings decides to a log, and its policies to the archive.
fn decide(
    log: &str,
    build: impl FnOnce(Builder, DurableLog) -> Builder,
    ask: impl FnOnce(&Authorizer),
) {
    const POLICIES: &str = r#"
        @id("read") @owner("docs") permit(principal, action == Action::"read", resource);
        @id("edit") permit(principal is User, action == Action::"edit", resource) when { context.mfa };
        @id("mallory") forbid(principal == Agent::"mallory", action, resource);
    "#;
    let policies = Policies::new().text(POLICIES).ids_from_annotations();
    let builder = Authorizer::builder().policies(policies);
    let authorizer = build(builder, DurableLog::open(log).unwrap())
        .build()
        .unwrap();
    let archive = PolicyArchive::open(records::archive(log.as_ref())).unwrap();
    archive.keep(&authorizer).unwrap();
    ask(&authorizer);
}

fn decisions_of_every_kind(log: &str) {
    let request = |action: &'static str, id: &'static str| {
        Request::new(("User", "ann"), ("Action", action), ("Doc", "plan")).request_id(id)
    };
    decide(
        log,
        |builder, log| builder.sink(log),
        |authorizer| {
            let outcome = |request: &Request<'_>| authorizer.is_authorized(request).outcome();
            let [planner, mallory] =
                ["planner", "mallory"].map(|id| EntityUidRef::new("Agent", id));
            for (id, agents, expected) in [
                ("by-planner", &[planner][..], Outcome::Allowed),
                ("by-mallory", &[planner, mallory], Outcome::Forbidden),
                ("in-a-circle", &[planner, planner], Outcome::DelegationCycle),
            ] {
                let delegation = Delegation::new(agents);
                let read = request("read", id).delegation(&delegation);
                assert_eq!(outcome(&read), expected);
            }
            let bad = request("read", "no-json").context_json("{");
            assert_eq!(outcome(&bad), Outcome::InvalidRequest);
            assert_eq!(outcome(&request("edit", "fails")), Outcome::NoPermit);
        },
    );
    let masks = Masks::new().path("context.mfa", Mask::Drop).unwrap();
    decide(
        log,
        |builder, log| builder.sink(MaskSink::new(log, masks).unwrap()),
        |authorizer| {
            let edit = request("edit", "masked").context_json(r#"{ "mfa": true }"#);
            assert!(authorizer.is_allowed(&edit));
        },
    );
    decide(
        log,
        |builder, log| {
            let bound = Freshness::new().max_policy_age(Duration::ZERO);
            builder.freshness(bound).sink(log)
        },
        |authorizer| {
            thread::sleep(Duration::from_millis(5));
            let outcome = authorizer
                .is_authorized(&request("read", "stale"))
                .outcome();
            assert_eq!(outcome, Outcome::StalePolicies);
        },
    );
    let lost = DurableLog::open(log).unwrap();
    lost.record_loss(3).unwrap();
    drop(lost);
    let without_inputs = |builder: Builder, opened: DurableLog| {
        drop(opened);
        builder.sink(DurableLog::options(log).without_inputs().open().unwrap())
    };
    decide(log, without_inputs, |authorizer| {
        assert!(authorizer.is_allowed(&request("read", "no-inputs")));
    });
}

#[test]
fn commands_on_decisions_of_every_kind() {
    let scratch = Scratch::new();
    let log = scratch.at("log");
    decisions_of_every_kind(&log);
    comes_to(&["verify", &log], Verdict::Fine);
    comes_to(&["replay", &log], Verdict::Fine);
    for id in ["by-planner", "by-mallory", "fails", "stale"] {
        comes_to(&["explain", &log, id], Verdict::Fine);
    }
    for id in ["in-a-circle", "no-json", "masked", "no-inputs"] {
        comes_to(&["explain", &log, id], Verdict::Finding);
    }
    for hop in ["0", "1", "2"] {
        comes_to(
            &["explain", &log, "by-mallory", "--hop", hop],
            Verdict::Fine,
        );
    }
    comes_to(
        &["explain", &log, "by-mallory", "--hop", "3"],
        Verdict::Finding,
    );
    let policies = scratch.at("policies.cedar");
    fs::write(&policies, "permit(principal is User, action, resource);").unwrap();
    comes_to(&["whatif", &log, &policies], Verdict::Finding);
    comes_to(&["usage", &log], Verdict::Fine);
    let (usage, _) = crate::usage::of(log.as_ref()).unwrap();
    assert_eq!((usage.decisions, usage.lost), (8, 3));
    let out = scratch.at("out");
    comes_to(&["export", &log, "fails", &out], Verdict::Fine);
    for (id, what) in [
        ("by-planner", "2 hops"),
        ("in-a-circle", "goes in a circle"),
        ("no-json", "could not be decided"),
        ("masked", "masked: context.mfa"),
        ("no-inputs", "no inputs"),
    ] {
        fails(&["export", &log, id, &out], what);
    }
    for hop in ["0", "1", "2"] {
        comes_to(
            &["export", &log, "by-mallory", &out, "--hop", hop],
            Verdict::Fine,
        );
    }
    let request = fs::read_to_string(format!("{out}/request.json")).unwrap();
    assert!(request.contains("mallory"), "{request}");
    fails(
        &["export", &log, "by-mallory", &out, "--hop", "3"],
        "no such hop",
    );
    let page = scratch.at("page.html");
    comes_to(
        &["report", &log, &page, "--policies", &policies],
        Verdict::Fine,
    );
    page::well_formed(&fs::read_to_string(page).unwrap());
}
