//! Everything that a request can bring along.

use super::*;

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
