//! A decision allocates nothing once warm: counted, also what is freed.
//!
//! Every case runs a few times to warm up and then many times under the counter, which counts for each thread
//! by itself. Answers are checked in the same runs: a decision that does nothing allocates nothing either.
//!
//! Long, as it is a list of ways to ask, each counted by the one counter that a binary has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]
#![allow(
    missing_docs,
    unsafe_code,
    reason = "a global allocator cannot be written without `unsafe`"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};

use duramen::evidence::log::{DurableLog, SyncPolicy};
use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, JsonLinesSink, Mask, MaskSink, Masks, MemorySink,
    NoSink, QueueSink, SinkError, Wants,
};
use duramen::grant::{Grant, GrantTable};
use duramen::replay::UsageSink;
use duramen::values::{Datetime, Decimal, Duration, EntityRef, Ip};
use duramen::{
    Authorizer, Delegation, Entity, EntityUid, EntityUidRef, EntityUpdate, ErrorKind, Outcome,
    Policies, Request, Response, Scratch,
};
use serde::Serialize;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator by one thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Calls {
    alloc: u64,
    realloc: u64,
    dealloc: u64,
}

thread_local! {
    static CALLS: Cell<Calls> = const { Cell::new(Calls { alloc: 0, realloc: 0, dealloc: 0 }) };
}

fn count(change: impl FnOnce(&mut Calls)) {
    // Gone while the thread ends; nothing is measured then.
    let _ = CALLS.try_with(|calls| {
        let mut now = calls.get();
        change(&mut now);
        calls.set(now);
    });
}

// SAFETY: everything is passed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|calls| calls.alloc += 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(|calls| calls.dealloc += 1);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(|calls| calls.realloc += 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn calls_of<R>(run: impl FnOnce() -> R) -> (Calls, R) {
    let before = CALLS.get();
    let answer = run();
    let after = CALLS.get();
    let calls = Calls {
        alloc: after.alloc - before.alloc,
        realloc: after.realloc - before.realloc,
        dealloc: after.dealloc - before.dealloc,
    };
    (calls, answer)
}

const WARM_UP: usize = 6;
const RUNS: usize = 40;

#[track_caller]
fn allocates_nothing(what: &str, mut run: impl FnMut()) {
    for _ in 0..WARM_UP {
        run();
    }
    let (calls, ()) = calls_of(|| {
        for _ in 0..RUNS {
            run();
        }
    });
    assert_eq!(calls, Calls::default(), "{what}, in {RUNS} runs");
}

/// Decides in every way that there is.
#[track_caller]
fn every_way(what: &str, authorizer: &Authorizer, request: &Request<'_>, expected: Outcome) {
    let allowed = expected == Outcome::Allowed;
    let reads = |response: Response<'_>| {
        assert_eq!(response.outcome(), expected, "{what}");
        let policies = response
            .determining()
            .map(|policy| policy.id().as_str().len());
        let errors = response.errors().map(|error| error.kind() as usize);
        std::hint::black_box(policies.sum::<usize>() + errors.sum::<usize>());
    };
    allocates_nothing(&format!("{what}: pooled"), || {
        reads(authorizer.is_authorized(request));
    });
    let mut scratch = Scratch::new();
    allocates_nothing(&format!("{what}: with scratch"), || {
        reads(authorizer.is_authorized_with(&mut scratch, request));
    });
    let mut session = authorizer.session();
    allocates_nothing(&format!("{what}: session"), || {
        reads(session.is_authorized(request));
    });
    let pinned = authorizer.pin();
    allocates_nothing(&format!("{what}: pinned"), || {
        reads(pinned.is_authorized(request));
        assert_eq!(pinned.is_allowed(request), allowed, "{what}");
    });
    allocates_nothing(&format!("{what}: batch"), || {
        let mut next = 0;
        authorizer
            .pin()
            .is_authorized_batch([request; 3], |at, response| {
                assert_eq!(at, next, "{what}");
                next += 1;
                reads(response);
            });
        assert_eq!(next, 3, "{what}");
    });
    allocates_nothing(&format!("{what}: is_allowed"), || {
        assert_eq!(authorizer.is_allowed(request), allowed, "{what}");
    });
    allocates_nothing(&format!("{what}: session, is_allowed"), || {
        assert_eq!(session.is_allowed(request), allowed, "{what}");
    });
    // Requests that bring entities cannot be prepared.
    let Ok(mut prepared) = authorizer.prepare(request) else {
        return;
    };
    allocates_nothing(&format!("{what}: prepared"), || {
        reads(authorizer.is_authorized_prepared(&mut scratch, &mut prepared));
    });
    allocates_nothing(&format!("{what}: pinned, prepared"), || {
        reads(pinned.is_authorized_prepared(&mut scratch, &mut prepared));
    });
    allocates_nothing(&format!("{what}: session, prepared"), || {
        reads(session.is_authorized_prepared(&mut prepared));
    });
}

const POLICIES: &str = r#"
    permit(principal in Group::"staff", action == Action::"view", resource is Photo)
    when { resource.owner == principal || resource.shared }
    unless { context has blocked && context.blocked };

    permit(principal, action, resource)
    when { context has roles && context.roles.containsAll(["admin", "audit"]) };

    permit(principal, action in [Action::"edit", Action::"view"], resource)
    when {
        context has device && context.device has ip &&
        context.device.ip.isInRange(ip("10.0.0.0/8")) &&
        context.device.score.greaterThan(decimal("0.5")) &&
        context.device.seen.offset(duration("1d")) > datetime("2024-01-01") &&
        context.device.age < duration("2h") &&
        context.device.owner in Group::"staff" &&
        context.device.name like "lap*" &&
        {"a": [1, 2, principal.level + 1], "b": context.device.name} != {"a": []}
    };

    forbid(principal, action, resource) when { principal.level > 100 };

    forbid(principal == User::"eve", action, resource);
"#;

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "alice" }, "attrs": { "level": 3 },
      "parents": [{ "type": "Group", "id": "eng" }], "tags": { "team": "core" } },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 3 }, "parents": [] },
    { "uid": { "type": "Group", "id": "eng" }, "attrs": {}, "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "Photo", "id": "p1" }, "attrs": {
        "owner": { "__entity": { "type": "User", "id": "alice" } }, "shared": false }, "parents": [] }
]"#;

fn authorizer() -> Authorizer {
    Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .build()
        .unwrap()
}

fn view(user: &'static str) -> Request<'static> {
    Request::new(("User", user), ("Action", "view"), ("Photo", "p1"))
}

#[derive(Serialize)]
struct Context<'a> {
    device: Device<'a>,
    roles: Vec<String>,
    numbers: [i64; 20],
    nested: BTreeMap<String, Vec<BTreeMap<String, i32>>>,
    absent: Option<&'a str>,
    other: EntityUid,
    unheard_of: &'a str,
}

#[derive(Serialize)]
struct Device<'a> {
    ip: Ip<'a>,
    score: Decimal<'a>,
    seen: Datetime<'a>,
    age: Duration<'a>,
    owner: EntityRef<'a>,
    name: &'a str,
}

fn typed_context() -> Context<'static> {
    Context {
        device: Device {
            ip: Ip::new("10.1.2.3"),
            score: Decimal::new("0.75"),
            seen: Datetime::from_millis(1_704_067_200_000),
            age: Duration::new("1h30m"),
            owner: EntityRef::new("User", "alice"),
            name: "laptop",
        },
        roles: vec!["reader".to_owned(), "writer".to_owned()],
        numbers: std::array::from_fn(|i| 40 - i64::try_from(i).unwrap()),
        nested: (0..20)
            .map(|i| (format!("k{i}"), vec![BTreeMap::from([("x".to_owned(), i)])]))
            .collect(),
        absent: None,
        other: EntityUid::new("User", "nobody has heard of them"),
        unheard_of: "no policy knows the name of this field",
    }
}

const JSON_CONTEXT: &str = r#"{
    "device": {
        "ip": { "__extn": { "fn": "ip", "arg": "10.1.2.3" } },
        "score": { "__extn": { "fn": "decimal", "arg": "0.75" } },
        "seen": { "__extn": { "fn": "offset", "args": [
            { "__extn": { "fn": "datetime", "arg": "2024-01-01" } },
            { "__extn": { "fn": "duration", "arg": "1d" } } ] } },
        "age": { "__extn": { "fn": "duration", "arg": "1h30m" } },
        "owner": { "__entity": { "type": "User", "id": "alice" } },
        "name": "l\u0061pt\\op \ud83d\ude00"
    },
    "roles": ["read\"er", "writer", "\n"],
    "numbers": [9, 8, 7, 6, 5, 4, 3, 2, 1],
    "stranger": { "__entity": { "type": "Str\u0061nger", "id": "x" } },
    "unheard of": { "deep": [[[]]] }
}"#;

#[test]
fn requests_without_context() {
    let authorizer = authorizer();
    every_way("allowed", &authorizer, &view("alice"), Outcome::Allowed);
    every_way("no permit", &authorizer, &view("bob"), Outcome::NoPermit);
    every_way("forbidden", &authorizer, &view("eve"), Outcome::Forbidden);
}

#[test]
fn typed_contexts() {
    let authorizer = authorizer();
    let context = typed_context();
    let request = view("bob").context(&context);
    every_way("typed context", &authorizer, &request, Outcome::Allowed);
    let blocked = BTreeMap::from([("blocked", true)]);
    let request = view("alice").context(&blocked);
    every_way("map context", &authorizer, &request, Outcome::NoPermit);
    let json: serde_json::Value = serde_json::from_str(JSON_CONTEXT).unwrap();
    let request = view("alice").context(&json);
    // A plain JSON value has no escapes: its `__entity` is a record, and comparing that is a type error.
    every_way("value context", &authorizer, &request, Outcome::Allowed);
}

#[test]
fn json_contexts() {
    let authorizer = authorizer();
    let request = view("bob").context_json(JSON_CONTEXT);
    every_way("JSON context", &authorizer, &request, Outcome::Allowed);
}

#[test]
fn contexts_that_policies_use_whole() {
    let authorizer = Authorizer::builder()
        .policies(r#"permit(principal, action, resource) when { context != {} && [context].contains(context) };"#)
        .build()
        .unwrap();
    let context = typed_context();
    let typed = view("bob").context(&context);
    every_way("whole typed context", &authorizer, &typed, Outcome::Allowed);
    let json = view("bob").context_json(JSON_CONTEXT);
    every_way("whole JSON context", &authorizer, &json, Outcome::Allowed);
}

#[test]
fn delegations() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal, action, resource) when { context.subject == User::"alice" && context has device };
               permit(principal, action, resource) when { context.nothing };
               forbid(principal == Agent::"bad", action, resource) when { context.via is Agent };"#,
        )
        .entities(ENTITIES)
        .build()
        .unwrap();
    let context = typed_context();
    let agents = |ids: [&'static str; 3]| ids.map(|id| EntityUidRef::new("Agent", id));
    let (good, bad) = (agents(["a", "b", "c"]), agents(["a", "bad", "c"]));
    let cycle = agents(["a", "b", "a"]);
    let named = |actors| {
        duramen::Delegation::new(actors)
            .actor_as("actor")
            .subject_as("subject")
            .delegator_as("via")
            .expires(std::time::SystemTime::now() + std::time::Duration::from_secs(3600))
    };
    for (what, actors, expected) in [
        ("chain", &good, Outcome::Allowed),
        ("chain that is denied", &bad, Outcome::Forbidden),
        ("cycle", &cycle, Outcome::DelegationCycle),
    ] {
        let delegation = named(actors);
        let request = view("alice").context(&context).delegation(&delegation);
        every_way(what, &authorizer, &request, expected);
        let request = view("alice").context_json(JSON_CONTEXT);
        let request = request.delegation(&delegation);
        every_way(what, &authorizer, &request, expected);
        let mut scratch = Scratch::new();
        allocates_nothing(&format!("{what}: hops"), || {
            let response = authorizer.is_authorized_with(&mut scratch, &request);
            let hops = response.delegation().unwrap().hops();
            let read = hops.map(|hop| hop.principal().id().len() + hop.determining().len());
            std::hint::black_box(read.sum::<usize>());
        });
    }
}

#[test]
fn stored_workloads() {
    use duramen::spiffe::{SpiffeId, WorkloadTypes};
    let id: SpiffeId = "spiffe://prod.example/billing/api".parse().unwrap();
    let types = WorkloadTypes::default().with_path("WorkloadPath");
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal in TrustDomain::"prod.example", action, resource)
               when { principal in WorkloadPath::"spiffe://prod.example/billing" };"#,
        )
        .build()
        .unwrap();
    let workload = id.workload(&types);
    let parents = workload.parents();
    let entity = Entity::new(workload.uid())
        .attrs(workload.attributes())
        .parents(&parents);
    let resource = ("Account", "1");
    // Brought along: what is made once per connection is not made again.
    let entities = [entity];
    let request = Request::new(id.uid(&types), ("Action", "charge"), resource).entities(&entities);
    every_way("workload, brought", &authorizer, &request, Outcome::Allowed);
    authorizer
        .update_entities(EntityUpdate::new().upsert(entity))
        .unwrap();
    let mut session = authorizer.session();
    allocates_nothing("workload, stored", || {
        let request = Request::new(id.uid(&types), ("Action", "charge"), resource);
        assert!(session.is_authorized(&request).is_allowed());
    });
}

#[test]
fn unknown_uids() {
    let authorizer = authorizer();
    let request = Request::new(
        (
            "Stranger::Danger",
            "with a rather long id that nothing could inline 0123456789",
        ),
        ("Action", "juggle"),
        ("Stranger::Photo", "x"),
    );
    every_way("unknown uids", &authorizer, &request, Outcome::NoPermit);
}

#[test]
fn validated_requests() {
    let authorizer = Authorizer::builder()
        .schema_str(
            r#"
            entity Group;
            entity User in [Group] { level: Long };
            entity Photo { owner: User, shared: Bool };
            type Device = { ip: ipaddr, owner: User, "name": String };
            action view appliesTo { principal: User, resource: Photo, context: {
                device?: Device, roles: Set<String>, limits?: Set<{ a: Long, b?: decimal }> } };
            "#,
        )
        .policies(
            r#"
            permit(principal, action == Action::"view", resource)
            when { context.roles.contains("reader") && (context has device && context.device.owner == principal) };
            "#,
        )
        .entities(
            r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": { "level": 3 }, "parents": [] }]"#,
        )
        .validate_requests(true)
        .build()
        .unwrap();
    let explicit = r#"{ "roles": ["reader", "x"], "device": {
        "ip": { "__extn": { "fn": "ip", "arg": "::1" } }, "owner": { "__entity": { "type": "User", "id": "alice" } },
        "name": "n" }, "limits": [{ "a": 1 }, { "a": 2, "b": { "__extn": { "fn": "decimal", "arg": "1.5" } } }] }"#;
    let implicit = r#"{ "roles": ["reader", "x"], "device": {
        "ip": "::1", "owner": { "type": "User", "id": "alice" }, "name": "n" },
        "limits": [{ "a": 1 }, { "a": 2, "b": "1.5" }] }"#;
    for json in [explicit, implicit] {
        let request = view("alice").context_json(json);
        every_way("validated JSON", &authorizer, &request, Outcome::Allowed);
    }
    #[derive(Serialize)]
    struct Typed {
        roles: [&'static str; 2],
        device: TypedDevice,
    }
    #[derive(Serialize)]
    struct TypedDevice {
        ip: Ip<'static>,
        owner: EntityRef<'static>,
        name: String,
    }
    let context = Typed {
        roles: ["reader", "x"],
        device: TypedDevice {
            ip: Ip::from(std::net::Ipv4Addr::LOCALHOST),
            owner: EntityRef::new("User", "alice"),
            name: "n".to_owned(),
        },
    };
    let request = view("alice").context(&context);
    every_way("validated typed", &authorizer, &request, Outcome::Allowed);
}

#[test]
fn overlays() {
    #[derive(Serialize)]
    struct Photo<'a> {
        owner: EntityRef<'a>,
        shared: bool,
        labels: Vec<&'a str>,
    }
    #[derive(Serialize)]
    struct User {
        level: i64,
    }
    let authorizer = authorizer();
    let photo = Photo {
        owner: EntityRef::new("User", "zoe"),
        shared: false,
        labels: vec!["a", "b", "c"],
    };
    let tags = BTreeMap::from([("color", "red"), ("nobody asks", "for this")]);
    let zoe = User { level: 4 };
    let parents: [EntityUidRef<'_>; 2] = [("Team", "new").into(), ("Group", "other").into()];
    let above: [EntityUidRef<'_>; 1] = [("Group", "eng").into()];
    let typed = [
        Entity::new(("Photo", "p9")).attrs(&photo).tags(&tags),
        Entity::new(("User", "zoe")).attrs(&zoe).parents(&parents),
        Entity::new(("Team", "new")).parents(&above),
    ];
    let request =
        Request::new(("User", "zoe"), ("Action", "view"), ("Photo", "p9")).entities(&typed);
    every_way("typed overlay", &authorizer, &request, Outcome::Allowed);
    let json = r#"[
        { "uid": { "type": "Photo", "id": "p9" }, "attrs": { "shared": false, "labels": ["a", "\u0062"],
          "owner": { "__entity": { "type": "User", "id": "zoe" } } }, "parents": [], "tags": { "color": "r\u0065d" } },
        { "uid": { "__entity": { "type": "User", "id": "zoe" } }, "attrs": { "level": 4 },
          "parents": [{ "type": "Team", "id": "new" }, { "type": "Group", "id": "other" }] },
        { "uid": { "type": "Team", "id": "new" }, "attrs": {}, "parents": [{ "type": "Group", "id": "eng" }] }
    ]"#;
    let request =
        Request::new(("User", "zoe"), ("Action", "view"), ("Photo", "p9")).entities_json(json);
    every_way("JSON overlay", &authorizer, &request, Outcome::Allowed);
    // Puts the stored alice out of the staff, by way of her group.
    let moved = [Entity::new(("Group", "eng"))];
    let request = view("alice").entities(&moved);
    every_way("moved group", &authorizer, &request, Outcome::NoPermit);
}

#[test]
fn erroring_policies() {
    let mut text = String::from("permit(principal, action, resource);");
    for i in 0..20 {
        text.push_str(&format!(
            "forbid(principal, action, resource) when {{ context.missing == {i} }};
             forbid(principal, action, resource) when {{ 9223372036854775807 + {i} + context.one > 0 && 1 + {i} > \"a\" }};
             forbid(principal, action, resource) when {{ ip(context.text).isIpv4() }};
             forbid(principal, action, resource) when {{ ip(\"a\", \"b\").isIpv4() }};
             forbid(principal, action, resource) when {{ principal.ghost }};
             forbid(principal, action, resource) when {{ resource.getTag(\"t\") == 1 }};"
        ));
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .entities(ENTITIES)
        .build()
        .unwrap();
    let request = view("alice").context_json(r#"{ "one": 1, "text": "nonsense" }"#);
    every_way("errors", &authorizer, &request, Outcome::Allowed);
    let response = authorizer.is_authorized(&request);
    assert_eq!(response.errors().len(), 120);
    let kinds = |kind| response.errors().filter(|e| e.kind() == kind).count();
    assert_eq!(kinds(ErrorKind::EntityAttrDoesNotExist), 40);
    assert_eq!(kinds(ErrorKind::WrongNumArguments), 20);
}

#[test]
fn many_policies_and_links() {
    let mut policies = Policies::new().text(
        r#"permit(principal == ?principal, action, resource in ?resource) when { context.n > 0 };"#,
    );
    for i in 0..200 {
        let (user, folder) = (format!("u{}", i % 20), format!("f{i}"));
        policies = policies.link(
            "policy0",
            format!("link{i}").as_str(),
            Some(("User", user.as_str()).into()),
            Some(("Folder", folder.as_str()).into()),
        );
    }
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();
    let request = Request::new(("User", "u3"), ("Action", "a"), ("Folder", "f43"))
        .context_json(r#"{ "n": 1 }"#);
    every_way("links", &authorizer, &request, Outcome::Allowed);
}

/// Policies that are told apart by their conditions, with attributes that are there, of another type, and missing.
#[test]
fn policies_that_begin_alike() {
    let mut text = String::new();
    for i in 0..300 {
        text.push_str(&format!(
            r#"permit(principal, action, resource) when {{ context has dept && context.dept == "d{i}" }};
               forbid(principal, action, resource) when {{ context.roles.contains("r{i}") && context.n > {i} }};
               permit(principal, action, resource) when {{ context.team == "t{i}" }};"#
        ));
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .build()
        .unwrap();
    let cases = [
        (r#"{ "dept": "d7", "roles": [] }"#, Outcome::Allowed, 300),
        (
            r#"{ "dept": 7, "roles": [], "team": "t9" }"#,
            Outcome::Allowed,
            0,
        ),
        (
            r#"{ "dept": "d7", "roles": ["r1", "r5"], "n": 9 }"#,
            Outcome::Forbidden,
            300,
        ),
        (r#"{ "roles": "r1" }"#, Outcome::NoPermit, 600),
    ];
    for (context, expected, failing) in cases {
        let request =
            Request::new(("User", "u"), ("Action", "a"), ("Doc", "d")).context_json(context);
        assert_eq!(authorizer.is_authorized(&request).errors().len(), failing);
        every_way(context, &authorizer, &request, expected);
    }
}

/// Policies that were changed one by one stand in several programs.
#[test]
fn after_updates_of_policies() {
    let mut text = String::new();
    for i in 0..300 {
        text.push_str(&format!(
            "permit(principal == Nobody::\"{i}\", action, resource);\n"
        ));
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .entities(ENTITIES)
        .build()
        .unwrap();
    for i in 0..40 {
        let permit = "permit(principal, action, resource) when { context.n > 0 };";
        let forbid = "forbid(principal, action, resource) when { context.n.x };";
        let update = duramen::PolicyUpdate::new()
            .add(format!("permit{i}"), permit)
            .add(format!("forbid{i}"), forbid);
        authorizer.update_policies(update).unwrap();
        let gone = duramen::PolicyUpdate::new().remove(format!("permit{i}"));
        if i % 2 == 0 {
            authorizer.update_policies(gone).unwrap();
        }
    }
    let request = view("alice").context_json(r#"{ "n": 1 }"#);
    every_way("after updates", &authorizer, &request, Outcome::Allowed);
    let response = authorizer.is_authorized(&request);
    assert_eq!(response.determining().len(), 20);
    assert_eq!(response.errors().len(), 40);
}

#[test]
fn small_and_large_in_turn() {
    let authorizer = Authorizer::builder()
        .policies(r#"permit(principal, action, resource) when { context has items && context.items.contains("i7") };"#)
        .build()
        .unwrap();
    let items =
        |n: usize| BTreeMap::from([("items", (0..n).map(|i| format!("i{i}")).collect::<Vec<_>>())]);
    let (small, medium, large) = (items(8), items(300), items(5_000));
    let empty = view("alice");
    let requests = [
        view("alice").context(&small),
        view("alice").context(&large),
        empty,
        view("alice").context(&medium),
    ];
    allocates_nothing("pooled, small and large", || {
        for request in &requests {
            let _ = authorizer.is_allowed(request);
        }
    });
    let mut session = authorizer.session();
    allocates_nothing("session, small and large", || {
        for request in &requests {
            let _ = session.is_authorized(request);
        }
    });
    let mut turn = 0;
    allocates_nothing("session, a large one now and then", || {
        turn += 1;
        let _ = session.is_authorized(&requests[usize::from(turn % 13 == 0)]);
    });
}

#[test]
fn several_responses_at_once() {
    let authorizer = authorizer();
    let context = typed_context();
    allocates_nothing("eight responses held", || {
        let request = view("bob").context(&context);
        let held: [Response<'_>; 8] = std::array::from_fn(|_| authorizer.is_authorized(&request));
        assert!(held.iter().all(Response::is_allowed));
        let others = authorizer.is_authorized(&view("eve"));
        assert_eq!(others.outcome(), Outcome::Forbidden);
    });
}

#[test]
fn requests_that_are_not_read() {
    // What is wrong is told in text, which allocates; the decisions after it do not.
    let authorizer = authorizer();
    let bad = view("alice").context_json("{");
    let good = view("alice");
    let mut session = authorizer.session();
    for _ in 0..WARM_UP {
        assert!(session.is_authorized(&bad).request_error().is_some());
        assert!(session.is_allowed(&good));
    }
    allocates_nothing("after a bad request", || {
        assert!(session.is_authorized(&good).is_allowed());
    });
}

/// A writer of fixed size that begins anew when it is full.
struct Ring(Vec<u8>);

impl Write for Ring {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > self.0.capacity() {
            self.0.clear();
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn ring() -> Ring {
    Ring(Vec::with_capacity(1 << 20))
}

fn with_sink(sink: impl DecisionSink + 'static) -> Authorizer {
    Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .sink(sink)
        .build()
        .unwrap()
}

#[test]
fn sinks() {
    let context = typed_context();
    let directory = std::env::temp_dir().join(format!("duramen-alloc-{}", std::process::id()));
    let log = |name: &str, sync| {
        DurableLog::options(directory.join(name))
            .sync(sync)
            .open()
            .unwrap()
    };
    // As many slots as are warm after the first runs.
    let queue = |sink| QueueSink::with_delivery(sink, WARM_UP / 2, Delivery::Block);
    let masks = || {
        let masks = Masks::new().key(&[7; 32]).ids("User");
        let masks = masks.path("*.*", Mask::Digest).unwrap();
        masks.path("context.*", Mask::Digest).unwrap()
    };
    let sinks: [(&str, Box<dyn DecisionSink>); 10] = [
        (
            "masks",
            Box::new(MaskSink::new(JsonLinesSink::new(ring()), masks()).unwrap()),
        ),
        (
            "masks in front of a queue",
            Box::new(MaskSink::new(queue(JsonLinesSink::new(ring())).unwrap(), masks()).unwrap()),
        ),
        ("log, unsynced", Box::new(log("never", SyncPolicy::Never))),
        ("log, synced", Box::new(log("each", SyncPolicy::EachRecord))),
        (
            "queue",
            Box::new(queue(JsonLinesSink::new(ring())).unwrap()),
        ),
        (
            "queue without inputs",
            Box::new(queue(JsonLinesSink::new(ring()).without_inputs()).unwrap()),
        ),
        ("no sink", Box::new(NoSink)),
        ("JSON lines", Box::new(JsonLinesSink::new(ring()))),
        ("memory", Box::new(MemorySink::new(2))),
        (
            "JSON lines without inputs",
            Box::new(JsonLinesSink::new(ring()).without_inputs()),
        ),
    ];
    for (what, sink) in sinks {
        let authorizer = with_sink(Arc::<dyn DecisionSink>::from(sink));
        let request = view("bob")
            .context(&context)
            .request_id("r1")
            .trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        every_way(what, &authorizer, &request, Outcome::Allowed);
        let request = view("bob").context_json(JSON_CONTEXT);
        every_way(what, &authorizer, &request, Outcome::Allowed);
        every_way(what, &authorizer, &view("eve"), Outcome::Forbidden);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// Beside a shadow too, whether it agrees or not and whoever wants to know; and so does counting what policies do.
#[test]
fn shadows_and_usage() {
    let context = typed_context();
    let queue = |sink| QueueSink::with_delivery(sink, WARM_UP / 2, Delivery::Block);
    let sinks: [(&str, Box<dyn DecisionSink>); 4] = [
        ("shadow, no sink", Box::new(NoSink)),
        ("shadow, JSON lines", Box::new(JsonLinesSink::new(ring()))),
        (
            "shadow, queue",
            Box::new(queue(JsonLinesSink::new(ring())).unwrap()),
        ),
        ("shadow, usage", Box::new(UsageSink::new())),
    ];
    for (what, sink) in sinks {
        let authorizer = with_sink(Arc::<dyn DecisionSink>::from(sink));
        authorizer
            .set_shadow(
                r#"permit(principal == User::"eve", action, resource) when { principal.level > 0 };
                   permit(principal, action, resource) when { principal.nope };"#,
            )
            .unwrap();
        let request = view("bob").context(&context);
        every_way(what, &authorizer, &request, Outcome::Allowed);
        every_way(what, &authorizer, &view("eve"), Outcome::Forbidden);
        let counts = authorizer.shadow().unwrap();
        assert!(counts.newly_denied > 0, "{what}");
        assert_eq!(counts.failed, 0, "{what}");
    }
}

#[test]
fn errors_in_records() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"
            @id("named") @owner("security")
            forbid(principal, action, resource) when { true } unless { true && [1, principal.nope] == [] };
            permit(principal, action, resource);
            "#,
        )
        .entities(ENTITIES)
        .sink(JsonLinesSink::new(ring()))
        .build()
        .unwrap();
    every_way(
        "error in the record",
        &authorizer,
        &view("alice"),
        Outcome::Allowed,
    );
}

/// Decides in its turn, with the same authorizer and with another.
#[derive(Default)]
struct Reentrant {
    same: OnceLock<Authorizer>,
    other: OnceLock<Authorizer>,
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl DecisionSink for Reentrant {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn delivery(&self) -> Delivery {
        Delivery::DenyIfNotKept
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if INSIDE.replace(true) {
            return Ok(());
        }
        let request = view("bob").context_json(JSON_CONTEXT);
        let deciding = [&self.same, &self.other]
            .into_iter()
            .flat_map(OnceLock::get);
        let allowed = deciding
            .filter(|authorizer| authorizer.is_allowed(&request))
            .count();
        INSIDE.set(false);
        if allowed == 2 {
            Ok(())
        } else {
            Err(SinkError::new("the decisions inside went wrong"))
        }
    }
}

#[test]
fn from_inside_a_sink() {
    let sink = Arc::new(Reentrant::default());
    let authorizer = with_sink(Arc::clone(&sink));
    assert!(sink.same.set(authorizer.clone()).is_ok());
    assert!(sink.other.set(self::authorizer()).is_ok());
    let context = typed_context();
    let request = view("bob").context(&context);
    every_way("deciding sink", &authorizer, &request, Outcome::Allowed);
}

/// Swaps on another thread; neither what a swap makes nor what it retires is this thread's to allocate or free.
#[test]
fn across_swaps() {
    let authorizer = authorizer();
    let context = typed_context();
    let swap = |round: usize| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if round.is_multiple_of(2) {
                    authorizer.replace_policies(POLICIES).unwrap();
                } else {
                    authorizer.replace_entities(ENTITIES).unwrap();
                }
            });
        });
    };
    let request = view("bob").context(&context);
    let mut session = authorizer.session();
    let mut scratch = Scratch::new();
    let mut prepared = authorizer.prepare(&request).unwrap();
    for _ in 0..WARM_UP {
        assert!(session.is_authorized(&request).is_allowed());
        assert!(authorizer.is_authorized(&request).is_allowed());
    }
    for round in 0..20 {
        swap(round);
        let (calls, ()) = calls_of(|| assert!(session.is_authorized(&request).is_allowed()));
        assert_eq!(calls, Calls::default(), "session, round {round}");
        let (calls, ()) = calls_of(|| assert!(authorizer.is_authorized(&request).is_allowed()));
        assert_eq!(calls, Calls::default(), "pooled, round {round}");
        let (calls, ()) = calls_of(|| assert!(authorizer.is_allowed(&request)));
        assert_eq!(calls, Calls::default(), "pooled, is_allowed, round {round}");
        // The first decision of a prepared request looks up again; the others must not allocate.
        assert!(
            authorizer
                .is_authorized_prepared(&mut scratch, &mut prepared)
                .is_allowed()
        );
        let (calls, ()) = calls_of(|| {
            for _ in 0..RUNS {
                let response = authorizer.is_authorized_prepared(&mut scratch, &mut prepared);
                assert!(response.is_allowed());
            }
        });
        assert_eq!(calls, Calls::default(), "prepared, round {round}");
    }
}

/// A look at a grant, whether nothing has changed or something that it does not rest on.
#[test]
fn looks_at_grants() {
    let authorizer = authorizer();
    let context = typed_context();
    let table = GrantTable::new(&authorizer);
    let request = view("bob").context(&context);
    let actors = [("User", "alice").into()];
    let delegation = Delegation::new(&actors)
        .expires(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40));
    let grants = [
        authorizer.grant(&request).unwrap(),
        table.grant(&request).unwrap(),
        table
            .grant_for(&request, std::time::Duration::from_secs(3600))
            .unwrap(),
        table.grant(&request.delegation(&delegation)).unwrap(),
    ];
    allocates_nothing("a look, nothing changed", || {
        assert!(grants.iter().all(Grant::is_current));
    });
    for round in 0..20 {
        let id = round.to_string();
        let update = EntityUpdate::new().upsert(Entity::new(("User", id.as_str())));
        authorizer.update_entities(update).unwrap();
        let (calls, current) = calls_of(|| grants.iter().all(Grant::is_current));
        assert!(current);
        assert_eq!(calls, Calls::default(), "a look, something else changed");
    }
}

/// A counter that counts nothing would pass everything.
#[test]
fn the_counter_counts() {
    let (calls, ()) = calls_of(|| {
        let mut list = Vec::with_capacity(1);
        list.push(1_u64);
        list.reserve_exact(100);
        drop(std::hint::black_box(list));
    });
    assert_eq!(
        calls,
        Calls {
            alloc: 1,
            realloc: 1,
            dealloc: 1
        }
    );
}

/// After updates: groups that have moved, names in upper tables, also between two decisions.
#[test]
fn time_and_ages_allocate_nothing() {
    let minute = std::time::Duration::from_secs(60);
    let builder = || {
        Authorizer::builder()
            .policies("permit(principal in Group::\"staff\", action, resource) when { context.now > datetime(\"2020-01-01\") };")
            .context_time("now")
            .entities(ENTITIES)
    };
    let fresh = duramen::Freshness::new()
        .max_policy_age(minute)
        .max_entity_age(minute)
        .max_age_of_type("Photo", minute);
    let authorizer = builder().freshness(fresh).build().unwrap();
    every_way("fresh", &authorizer, &view("alice"), Outcome::Allowed);
    let stale = duramen::Freshness::new().max_age_of_type("Photo", minute);
    let entities = duramen::Entities::from(ENTITIES).as_of(std::time::UNIX_EPOCH);
    let authorizer = builder()
        .entities(entities)
        .freshness(stale)
        .build()
        .unwrap();
    every_way("stale", &authorizer, &view("alice"), Outcome::StaleEntities);
}

#[test]
fn after_updates_of_entities() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal in Group::"root", action, resource) when { resource.owner in Group::"root" };"#,
        )
        .build()
        .unwrap();
    let parents: Vec<EntityUidRef<'_>> = vec![("Group", "a").into(), ("Group", "b").into()];
    let owner = BTreeMap::from([("owner", EntityRef::new("User", "olga"))]);
    let update = EntityUpdate::new()
        .upsert(Entity::new(("User", "ulf")).parents(&parents))
        .upsert(Entity::new(("User", "olga")).parents(&parents))
        .upsert(Entity::new(("Doc", "d")).attrs(&owner))
        .upsert(Entity::new(("Group", "a")))
        .upsert(Entity::new(("Group", "b")));
    authorizer.update_entities(update).unwrap();
    let request = Request::new(("User", "ulf"), ("Action", "view"), ("Doc", "d"));
    every_way(
        "before the groups move",
        &authorizer,
        &request,
        Outcome::NoPermit,
    );
    for group in ["a", "b"] {
        let update = EntityUpdate::new().add_parent(("Group", group), ("Group", "root"));
        authorizer.update_entities(update).unwrap();
        every_way(
            "after a group has moved",
            &authorizer,
            &request,
            Outcome::Allowed,
        );
    }
    let mut session = authorizer.session();
    let mut prepared = authorizer.prepare(&request).unwrap();
    for round in 0..300 {
        let id = round.to_string();
        let update = EntityUpdate::new().upsert(Entity::new(("User", id.as_str())));
        authorizer.update_entities(update).unwrap();
        let (calls, allowed) = calls_of(|| {
            let prepared = session.is_authorized_prepared(&mut prepared).is_allowed();
            prepared && session.is_authorized(&request).is_allowed()
        });
        assert!(allowed);
        // The names of a prepared request are all known, so that new names do not make it look up again. And the
        // epoch before is freed by the next update.
        assert!(
            round < WARM_UP || calls == Calls::default(),
            "{calls:?} in round {round}"
        );
    }
}
