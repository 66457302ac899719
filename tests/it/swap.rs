//! Replacing policies and entities while decisions are made.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use duramen::{Authorizer, Entities, Entity, Limits, Outcome, Policies, Request, Scratch};
use serde_json::json;

const ALL: &str = "permit(principal, action, resource);";
const NONE: &str = "forbid(principal, action, resource);";

fn view() -> Request<'static> {
    Request::new(("User", "alice"), ("Action", "view"), ("Doc", "d"))
}

fn user(world: usize) -> String {
    json!([{ "uid": { "type": "User", "id": "alice" }, "attrs": { "world": world }, "parents": [] }]).to_string()
}

/// Policies that allow nothing but their own world's entities.
fn policies(world: usize) -> String {
    format!(
        "@world(\"{world}\") permit(principal, action, resource) when {{ principal.world == {world} }};
         @world(\"{world}\") forbid(principal, action, resource) when {{ principal.world != {world} }};"
    )
}

#[test]
fn versions_count_replacements() {
    let authorizer = Authorizer::builder().policies(ALL).build().unwrap();
    let first = authorizer.version();
    assert_eq!((first.epoch(), first.entity_revision()), (1, 1));
    assert_eq!(first.schema(), None);

    let second = authorizer.replace_policies(NONE).unwrap();
    assert_eq!((second.epoch(), second.entity_revision()), (2, 1));
    assert_ne!(second.policies(), first.policies());
    assert_eq!(authorizer.version(), second);

    let third = authorizer.replace_entities(user(0).as_str()).unwrap();
    assert_eq!((third.epoch(), third.entity_revision()), (3, 2));
    assert_eq!(third.policies(), second.policies());

    let fourth = authorizer.replace_all(ALL, user(1).as_str()).unwrap();
    assert_eq!((fourth.epoch(), fourth.entity_revision()), (4, 3));
    // The same policies have the same digest.
    assert_eq!(fourth.policies(), first.policies());
    assert_eq!(authorizer.is_authorized(&view()).version(), fourth);
    // Clones are the same authorizer.
    let clone = authorizer.clone();
    clone.replace_policies(NONE).unwrap();
    assert_eq!(authorizer.version().epoch(), 5);
    assert!(!authorizer.is_allowed(&view()));
}

#[test]
fn what_is_refused_changes_nothing() {
    let schema = "entity User { world: Long }; entity Doc; action view appliesTo { principal: User, resource: Doc };";
    let authorizer = Authorizer::builder()
        .schema_str(schema)
        .policies(policies(1).as_str())
        .entities(user(1).as_str())
        .build()
        .unwrap();
    let before = authorizer.version();
    let mut session = authorizer.session();
    for bad in [
        "permit(",
        "permit(principal, action, resource) when { principal.nope == 1 };",
        "permit(principal, action == Action::\"nope\", resource);",
    ] {
        assert!(authorizer.replace_policies(bad).is_err());
        let error = authorizer.replace_all(bad, user(2).as_str()).unwrap_err();
        assert!(error.compile_error().is_some() && error.entity_error().is_none());
    }
    for bad in [
        "[",
        r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [] }]"#,
        r#"[{ "uid": { "type": "Nobody", "id": "alice" }, "attrs": {}, "parents": [] }]"#,
    ] {
        assert!(authorizer.replace_entities(bad).is_err());
        let error = authorizer
            .replace_all(policies(2).as_str(), bad)
            .unwrap_err();
        assert!(error.compile_error().is_none() && error.entity_error().is_some());
    }
    let both = authorizer.replace_all("permit(", "[").unwrap_err();
    assert!(both.compile_error().is_some() && both.entity_error().is_some());
    assert_eq!(authorizer.version(), before);
    assert!(authorizer.is_allowed(&view()));
    assert!(session.is_allowed(&view()));
    assert!(
        authorizer
            .replace_all(policies(2).as_str(), user(2).as_str())
            .is_ok()
    );
    assert!(session.is_allowed(&view()));
}

#[test]
fn every_way_to_decide_sees_the_replacement() {
    let authorizer = Authorizer::builder().policies(ALL).build().unwrap();
    let mut session = authorizer.session();
    let mut scratch = Scratch::new();
    let mut prepared = authorizer.prepare(&view()).unwrap();
    let mut expect = |allowed: bool| {
        assert_eq!(authorizer.is_allowed(&view()), allowed);
        assert_eq!(authorizer.is_authorized(&view()).is_allowed(), allowed);
        let response = authorizer.is_authorized_with(&mut scratch, &view());
        assert_eq!(response.is_allowed(), allowed);
        drop(response);
        let response = authorizer.is_authorized_prepared(&mut scratch, &mut prepared);
        assert_eq!(response.is_allowed(), allowed);
        drop(response);
        assert_eq!(session.is_allowed(&view()), allowed);
        assert_eq!(session.is_authorized(&view()).is_allowed(), allowed);
        let response = session.is_authorized_prepared(&mut prepared);
        assert_eq!(response.is_allowed(), allowed);
    };
    expect(true);
    for round in 0..6 {
        let allowed = round % 2 == 1;
        authorizer
            .replace_policies(if allowed { ALL } else { NONE })
            .unwrap();
        expect(allowed);
    }
}

#[test]
fn a_response_keeps_what_it_was_decided_on() {
    let authorizer = Authorizer::builder()
        .policies(r#"@about("one") permit(principal, action, resource);"#)
        .build()
        .unwrap();
    let old = authorizer.is_authorized(&view());
    for round in 0..50 {
        let text = format!("{NONE} @about(\"{round}\") forbid(principal, action, resource);");
        authorizer
            .replace_all(text.as_str(), user(round).as_str())
            .unwrap();
    }
    assert_eq!(old.version().epoch(), 1);
    assert_eq!(old.outcome(), Outcome::Allowed);
    let policy = old.determining().next().unwrap();
    assert_eq!(policy.annotation("about"), Some("one"));
    assert_eq!(
        authorizer.is_authorized(&view()).outcome(),
        Outcome::Forbidden
    );
}

/// What a prepared request names may be unknown when it is prepared and known later, and the other way round.
#[test]
fn prepared_requests_look_up_again() {
    let text = r#"permit(principal in Group::"staff", action, resource) when { context.role == "x" || context has late };"#;
    let authorizer = Authorizer::builder().policies(text).build().unwrap();
    let mut scratch = Scratch::new();
    let context = json!({ "role": "x", "late": [1], "owner": "o" });
    let request = view().context(&context).request_id("r");
    let mut prepared = authorizer.prepare(&request).unwrap();
    let mut expect = |authorizer: &Authorizer, outcome: Outcome| {
        let response = authorizer.is_authorized_prepared(&mut scratch, &mut prepared);
        assert_eq!(response.outcome(), outcome);
        assert_eq!(authorizer.is_authorized(&request).outcome(), outcome);
    };
    expect(&authorizer, Outcome::NoPermit);
    let staff = Entities::new()
        .insert(Entity::new(("User", "bob")))
        .insert(Entity::new(("User", "alice")).parents(&[("Group", "staff").into()]));
    authorizer.replace_entities(staff).unwrap();
    expect(&authorizer, Outcome::Allowed);
    authorizer.replace_entities("[]").unwrap();
    expect(&authorizer, Outcome::NoPermit);
    // Fields of the context that no policy knew.
    authorizer
        .replace_policies(r#"permit(principal == User::"alice", action, resource) when { context.owner == "o" };"#)
        .unwrap();
    expect(&authorizer, Outcome::Allowed);
    authorizer
        .replace_policies("permit(principal, action, resource) when { context.late.contains(1) && context != {} };")
        .unwrap();
    expect(&authorizer, Outcome::Allowed);
    authorizer.replace_policies(Policies::new()).unwrap();
    expect(&authorizer, Outcome::NoPermit);
}

/// Epochs and names of two authorizers have the same numbers with other meanings.
#[test]
fn a_prepared_request_means_the_same_to_every_authorizer() {
    let build = |first: &str, second: &str| {
        Authorizer::builder()
            .policies(r#"permit(principal == User::"alice", action, resource);"#)
            .entities(
                Entities::new()
                    .insert(Entity::new(("User", first)))
                    .insert(Entity::new(("User", second))),
            )
            .build()
            .unwrap()
    };
    let (one, other) = (build("alice", "mallory"), build("mallory", "alice"));
    let mut scratch = Scratch::new();
    for (name, outcome) in [("alice", Outcome::Allowed), ("mallory", Outcome::NoPermit)] {
        let request = Request::new(("User", name), ("Action", "view"), ("Doc", "d"));
        let mut prepared = one.prepare(&request).unwrap();
        for authorizer in [&one, &other, &one, &other] {
            let response = authorizer.is_authorized_prepared(&mut scratch, &mut prepared);
            assert_eq!(response.outcome(), outcome, "{name}");
        }
    }
}

#[test]
fn a_prepared_request_is_held_to_the_limits_of_whoever_decides_it() {
    let build = |limits| {
        let builder = Authorizer::builder().policies("permit(principal, action, resource);");
        builder.limits(limits).build().unwrap()
    };
    let wide = build(Limits::default());
    let context = BTreeMap::from([("text", "x".repeat(100))]);
    let request = view().context(&context);
    let mut prepared = wide.prepare(&request).unwrap();
    let mut scratch = Scratch::new();
    for (bytes, outcome) in [(108, Outcome::Allowed), (107, Outcome::InvalidRequest)] {
        let narrow = build(Limits::default().with_context_bytes(bytes));
        assert_eq!(
            narrow.prepare(&request).is_ok(),
            outcome == Outcome::Allowed
        );
        let response = narrow.is_authorized_prepared(&mut scratch, &mut prepared);
        assert_eq!(response.outcome(), outcome);
        drop(response);
        let response = wide.is_authorized_prepared(&mut scratch, &mut prepared);
        assert_eq!(response.outcome(), Outcome::Allowed);
    }
}

/// Readers see one world or the other, never policies of one with entities of the other, and no world twice
/// with different versions.
#[test]
fn readers_never_see_a_mix() {
    const READERS: usize = 3;
    let authorizer = Authorizer::builder()
        .policies(policies(0).as_str())
        .entities(user(0).as_str())
        .build()
        .unwrap();
    let worlds: Vec<(String, String)> =
        (0..7).map(|world| (policies(world), user(world))).collect();
    let (stop, decided) = (AtomicBool::new(false), AtomicU64::new(0));
    let seen: Mutex<HashMap<u64, String>> = Mutex::new(HashMap::new());
    let barrier = Barrier::new(READERS + 1);
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (authorizer, stop, decided, seen, barrier) =
                (&authorizer, &stop, &decided, &seen, &barrier);
            scope.spawn(move || {
                let mut session = authorizer.session();
                let mut scratch = Scratch::new();
                let mut prepared = authorizer.prepare(&view()).unwrap();
                let mut mine = HashMap::new();
                let mut last = 0;
                let mut count = 0;
                barrier.wait();
                while !stop.load(Ordering::Relaxed) {
                    let response = match reader {
                        0 => authorizer.is_authorized(&view()),
                        1 => session.is_authorized(&view()),
                        _ => authorizer.is_authorized_prepared(&mut scratch, &mut prepared),
                    };
                    assert_eq!(response.outcome(), Outcome::Allowed, "{response:?}");
                    let version = response.version();
                    assert!(version.epoch() >= last, "time runs backwards");
                    last = version.epoch();
                    assert_eq!(version.epoch(), version.entity_revision());
                    let policy = response.determining().next().unwrap();
                    let world = policy.annotation("world").unwrap().to_owned();
                    let world = format!("{world} {}", version.policies());
                    let known = mine.entry(last).or_insert_with(|| world.clone());
                    assert_eq!(*known, world);
                    assert!(authorizer.is_allowed(&view()));
                    count += 1;
                }
                decided.fetch_add(count, Ordering::Relaxed);
                let mut seen = seen.lock().unwrap();
                for (epoch, world) in mine {
                    assert_eq!(*seen.entry(epoch).or_insert_with(|| world.clone()), world);
                }
            });
        }
        barrier.wait();
        let started = Instant::now();
        let mut swaps = 0;
        while swaps < 200 && started.elapsed() < Duration::from_secs(5) {
            swaps += 1;
            let (policies, entities) = &worlds[swaps % worlds.len()];
            authorizer
                .replace_all(policies.as_str(), entities.as_str())
                .unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(swaps > 5, "only {swaps} swaps");
    });
    assert!(decided.into_inner() > 100);
}

/// Writers on several threads: each replacement counts once.
#[test]
fn writers_take_turns() {
    let authorizer = Authorizer::builder().policies(ALL).build().unwrap();
    let epochs = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (authorizer, epochs) = (&authorizer, &epochs);
            scope.spawn(move || {
                for round in 0..8 {
                    let version = if writer % 2 == 0 {
                        authorizer.replace_entities(user(round).as_str()).unwrap()
                    } else {
                        authorizer.replace_policies(ALL).unwrap()
                    };
                    epochs.lock().unwrap().push(version.epoch());
                }
            });
        }
    });
    let mut epochs = epochs.into_inner().unwrap();
    epochs.sort_unstable();
    assert_eq!(epochs, (2..34).collect::<Vec<u64>>());
    assert_eq!(authorizer.version().entity_revision(), 17);
}
