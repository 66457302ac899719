//! Input that is made to take time, memory or the stack: it ends in an error that names the bound, or costs no more than
//! its size. `docs/security.md` has the table of what was tried; `cargo test --test hostile -- --nocapture` prints what each
//! took.
//!
//! Memory is what the allocator counts, so this is a binary of its own whose tests run one by one. Times are bounded so far
//! above what is needed that a busy machine passes, and far below what the attack would cost.
//!
//! Long, as it is a list of attacks that have nothing in common but the way they are measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

#[path = "../examples/update/memory.rs"]
#[allow(dead_code, reason = "shared with `update`; each uses a part")]
mod memory;

use std::fmt::Write;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use duramen::delegation::{ClaimsReader, Party};
use duramen::evidence::log::{DurableLog, verify};
use duramen::replay::PolicyArchive;
use duramen::signals::{SignalError, SignalReceiver, SubjectFormat, SubjectKind, Transmitter};
use duramen::spiffe::{SpiffeId, SpiffeIdError};
use duramen::{
    Authorizer, Cursor, Delegation, Entities, Entity, EntityUid, EntityUidRef, EntityUpdate, Limit,
    Limits, Outcome, OwnedResponse, Policies, Request,
};
use memory::{live, peak};
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);

const KB: usize = 1 << 10;
const MB: usize = 1 << 20;

/// What is counted is counted for all threads: each test holds this from its first line on.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What it comes to, on a thread of its own, which has no memory yet to work in and Rust's usual stack: in time, and in no
/// more than so many bytes at once beyond those in use before.
#[track_caller]
fn within<R: Send>(bytes: usize, run: impl FnOnce() -> R + Send) -> R {
    let line = Location::caller().line();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            peak();
            let (before, begin) = (live(), Instant::now());
            let result = run();
            (result, peak().saturating_sub(before), begin.elapsed())
        });
        let (result, taken, time) = thread.join().unwrap();
        let (took, may_take) = (taken / KB, bytes / KB);
        println!("line {line}: {took} kB of {may_take} kB, {time:?}");
        assert!(
            taken <= bytes,
            "{taken} bytes at once, {bytes} is the bound"
        );
        assert!(time < LONG, "{time:?}");
        result
    })
}

fn asked() -> Request<'static> {
    Request::new(("U", "u"), ("Action", "a"), ("R", "r"))
}

fn decide(authorizer: &Authorizer, context: &str) -> OwnedResponse {
    let request = asked().context_json(context);
    authorizer.is_authorized(&request).to_owned()
}

/// The limit that a context meets; none when it is taken.
fn context_limit(context: &str) -> Option<Limit> {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) when { [context] != [] };")
        .build()
        .unwrap();
    let response = authorizer.is_authorized(&asked().context_json(context));
    let limit = response.request_error()?.limit().unwrap().limit();
    assert_eq!(response.outcome(), Outcome::InvalidRequest);
    Some(limit)
}

#[test]
fn large_contexts_are_bounded() {
    let _alone = alone();
    let limits = Limits::default();
    let numbers: Vec<usize> = (0..=limits.set_elements()).collect();
    let cases = [
        (
            json!({ "a": "x".repeat(limits.context_bytes()) }).to_string(),
            Limit::ContextBytes,
        ),
        (
            format!("{{{}\"a\": 1}}", " ".repeat(limits.context_bytes())),
            Limit::ContextBytes,
        ),
        (json!({ "a": numbers }).to_string(), Limit::SetElements),
        (
            format!("{{\"a\": {}", "[".repeat(100_000)),
            Limit::ContextDepth,
        ),
        (
            format!("{{\"a\": {}", "{\"a\":".repeat(100_000)),
            Limit::ContextDepth,
        ),
    ];
    for (context, limit) in cases {
        let found = within(32 * MB, || context_limit(&context));
        assert_eq!(found, Some(limit), "{}", &context[..30]);
    }
    // The most that a byte can cost: values, each in a set of its own. Of 187 bytes for six, 72 are three places in the tree
    // of the text, 35 are left behind by the list that such places collect in, and 80 are three places in sets and two sets'
    // heads. The arena grows by doubling, so that up to twice of that is in use.
    let small = vec![[[0]]; 40_000];
    let context = json!({ "a": small, "b": small, "c": small }).to_string();
    assert!(context.len() > limits.context_bytes() / 2);
    assert_eq!(within(64 * MB, || context_limit(&context)), None);
    // The largest set that passes, backwards and with everything twice: sorting it is what it costs.
    let half = limits.set_elements() / 2;
    let numbers: Vec<usize> = (0..half).rev().chain((0..half).rev()).collect();
    let context = json!({ "a": numbers }).to_string();
    assert_eq!(within(32 * MB, || context_limit(&context)), None);
}

/// Patterns at which a matcher that goes back over what it matched takes a time that grows with a power of the length.
#[test]
fn patterns_do_not_backtrack() {
    let _alone = alone();
    let text = "a".repeat(100_000);
    let patterns = [
        format!("{}b", "*a".repeat(200)),
        format!("{}b*", "a*".repeat(200)),
        format!("*{}b*{}b*", "a".repeat(500), "a".repeat(500)),
        format!("{}b", "*".repeat(1_000)),
    ];
    for pattern in patterns {
        let policy =
            format!("permit(principal, action, resource) when {{ context.t like \"{pattern}\" }};");
        let authorizer = Authorizer::builder()
            .policies(policy.as_str())
            .build()
            .unwrap();
        let context = json!({ "t": text });
        assert!(
            !within(MB, || authorizer.is_allowed(&asked().context(&context))),
            "{pattern}"
        );
    }
}

/// Texts that the readers of extension values, patterns and literals go through: once.
#[test]
fn long_texts_cost_their_size() {
    let _alone = alone();
    let long = 900_000;
    let texts = [
        ("ip", "1.".repeat(long / 2)),
        ("ip", ":".repeat(long)),
        ("ip", format!("10.0.0.1/{}", "0".repeat(long))),
        ("decimal", format!("{}.5", "9".repeat(long))),
        ("decimal", format!("1.{}", "0".repeat(long))),
        ("datetime", "2024-01-01T".repeat(long / 11)),
        (
            "datetime",
            format!("2024-01-01T00:00:00.{}Z", "0".repeat(long)),
        ),
        ("duration", "1d".repeat(long / 2)),
        ("duration", format!("{}ms", "9".repeat(long))),
    ];
    let calls = texts
        .iter()
        .map(|(name, text)| json!({ "__extn": { "fn": name, "arg": text } }).to_string());
    // No number that Cedar has, either.
    let numbers = [
        "9".repeat(long),
        format!("1.{}", "0".repeat(long)),
        format!("1e{}", "9".repeat(long)),
    ];
    for value in calls.chain(numbers) {
        let context = format!("{{ \"x\": {value} }}");
        let authorizer = Authorizer::builder()
            .policies("permit(principal, action, resource);")
            .build()
            .unwrap();
        let response = within(4 * MB, || decide(&authorizer, &context));
        let error = response.request_error.expect("no such value");
        assert!(
            error.message().len() < 2_000,
            "an error as long as the text"
        );
    }
    // A literal, a pattern and an id of some megabytes in a policy.
    let (literal, pattern) = ("x".repeat(4_000_000), "a*".repeat(200_000));
    let policy = format!(
        "permit(principal == U::\"{literal}\", action, resource) when {{ context.t like \"{pattern}b\" }};"
    );
    let authorizer = within(256 * MB, || {
        Authorizer::builder().policies(policy.as_str()).build()
    });
    let authorizer = authorizer.unwrap();
    let context = json!({ "t": "a".repeat(long) });
    assert!(!within(2 * MB, || {
        let request = Request::new(("U", literal.as_str()), ("Action", "a"), ("R", "r"));
        authorizer.is_allowed(&request.context(&context))
    }));
}

/// Ids that collide in hashes that sum up bytes by 31, 33 or xor: a table that used one of these would compare each with
/// all others.
#[test]
fn ids_that_collide_elsewhere_are_found() {
    let _alone = alone();
    let ids: Vec<String> = (0..1 << 13)
        .map(|number: u32| {
            let pairs = (0..13).map(|bit| ["Aa", "BB"][(number >> bit & 1) as usize]);
            pairs.collect()
        })
        .collect();
    let authorizer = within(8 * MB, || {
        let groups = [("Group", "g").into()];
        let entities = ids.iter().fold(Entities::new(), |entities, id| {
            entities.insert(Entity::new(("User", id.as_str())).parents(&groups))
        });
        Authorizer::builder()
            .policies(r#"permit(principal in Group::"g", action, resource);"#)
            .entities(entities)
            .build()
            .unwrap()
    });
    within(64 * KB, || {
        for id in &ids {
            let known = Request::new(("User", id.as_str()), ("Action", "a"), ("R", "r"));
            assert!(authorizer.is_allowed(&known), "{id}");
            let unknown = Request::new(("R", id.as_str()), ("Action", "a"), ("R", "r"));
            assert!(!authorizer.is_allowed(&unknown), "{id}");
        }
    });
}

fn is_in(entities: Entities, below: &str, above: &str) -> bool {
    let policy = format!(r#"permit(principal in G::"{above}", action, resource);"#);
    let authorizer = within(8 * MB, || {
        Authorizer::builder()
            .policies(policy.as_str())
            .entities(entities)
            .build()
            .unwrap()
    });
    within(64 * KB, || {
        authorizer.is_allowed(&Request::new(("G", below), ("Action", "a"), ("R", "r")))
    })
}

/// An entity and its parents.
type Below<'a> = (EntityUidRef<'a>, &'a [EntityUidRef<'a>]);

fn entities_of<'a>(below: &'a [Below<'a>]) -> impl Iterator<Item = Entity<'a>> {
    let entities = below.iter();
    entities.map(|(uid, parents)| Entity::new(*uid).parents(parents))
}

/// The same for a request that brings the entities along.
fn is_in_request(entities: &[Below<'_>], below: &str, above: &str) -> bool {
    let policy = format!("permit(principal in G::\"{above}\", action, resource);");
    let authorizer = Authorizer::builder()
        .policies(policy.as_str())
        .build()
        .unwrap();
    within(24 * MB, || {
        let entities: Vec<_> = entities_of(entities).collect();
        let request = Request::new(("G", below), ("Action", "a"), ("R", "r")).entities(&entities);
        authorizer.is_allowed(&request)
    })
}

#[test]
fn hierarchies_cost_their_size() {
    let _alone = alone();
    // Everybody in everything of the layer above: 8 to the power of 40 ways up, 41 layers.
    let mut diamonds = Entities::new();
    let name = |layer: usize, place: usize| format!("{layer}-{place}");
    for layer in 0..40 {
        let above: Vec<String> = (0..8).map(|place| name(layer + 1, place)).collect();
        let parents: Vec<_> = above.iter().map(|id| ("G", id.as_str()).into()).collect();
        for place in 0..8 {
            let id = name(layer, place);
            diamonds = diamonds.insert(Entity::new(("G", id.as_str())).parents(&parents));
        }
    }
    assert!(is_in(diamonds.clone(), "0-0", "40-7"));
    assert!(!is_in(diamonds, "0-0", "0-1"));

    // One below many, and many below one.
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let many: Vec<_> = ids.iter().map(|id| ("G", id.as_str()).into()).collect();
    let wide = Entities::new().insert(Entity::new(("G", "below")).parents(&many));
    assert!(is_in(wide, "below", "19999"));
    let top = [("G", "top").into()];
    let star = ids.iter().fold(Entities::new(), |entities, id| {
        entities.insert(Entity::new(("G", id.as_str())).parents(&top))
    });
    assert!(is_in(star, "19999", "top"));
}

#[test]
fn parents_one_by_one_cost_their_lists() {
    let _alone = alone();
    let authorizer = Authorizer::builder()
        .policies("permit(principal in G::\"4999\", action, resource);")
        .build()
        .unwrap();
    let below = EntityUid::new("G", "below");
    let update = EntityUpdate::new().upsert(Entity::new(&below));
    let update = (0..5_000).fold(update, |update, number| {
        update.add_parent(&below, &EntityUid::new("G", number.to_string()))
    });
    within(8 * MB, || authorizer.update_entities(update)).unwrap();
    let request = Request::new(&below, ("Action", "a"), ("R", "r"));
    assert!(authorizer.is_allowed(&request));
}

/// The hierarchy that a request brings along is worked out for each decision.
#[test]
fn hierarchies_of_a_request_cost_their_size() {
    let _alone = alone();
    let ids: Vec<String> = (0..40_000).map(|number| number.to_string()).collect();
    let many: Vec<EntityUidRef<'_>> = ids.iter().map(|id| ("G", id.as_str()).into()).collect();
    // One below many.
    let wide = [(("G", "below").into(), &many[..])];
    assert!(is_in_request(&wide, "below", "39999"));
    // A thousand in a chain, the last of them below many.
    let mut chain: Vec<Below<'_>> = (0..999)
        .map(|number| (many[number], &many[number + 1..number + 2]))
        .collect();
    chain.push((many[999], &many[1_000..]));
    assert!(is_in_request(&chain, "0", "39999"));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    // A grant rests on all of it.
    assert!(within(24 * MB, || {
        let entities: Vec<_> = entities_of(&chain).collect();
        authorizer.grant(&asked().entities(&entities)).is_ok()
    }));
    assert!(!is_in_request(&chain, "999", "0"));
    // Ten layers of a hundred, everybody in everything of the layer above.
    let layers: Vec<Below<'_>> = (0..1_000)
        .map(|number| {
            let above = (number / 100 + 1) * 100;
            (many[number], &many[above..above + 100])
        })
        .collect();
    assert!(is_in_request(&layers, "0", "1099"));
    assert!(!is_in_request(&layers, "0", "1"));
}

#[test]
fn deep_hierarchies_are_refused_by_name() {
    let _alone = alone();
    let deepest = Limits::default().hierarchy_depth();
    let chain = |length: usize| {
        let ids: Vec<String> = (0..=length).map(|number| number.to_string()).collect();
        ids.windows(2).fold(Entities::new(), |entities, pair| {
            let parents = [("G", pair[1].as_str()).into()];
            entities.insert(Entity::new(("G", pair[0].as_str())).parents(&parents))
        })
    };
    assert!(is_in(chain(deepest - 1), "0", &(deepest - 1).to_string()));
    for length in [deepest + 1, 50_000] {
        let built = within(64 * MB, || {
            Authorizer::builder().entities(chain(length)).build()
        });
        let error = built.unwrap_err();
        let mut problems = error.entity_error().unwrap().problems().iter();
        let limit = problems.find_map(|problem| problem.limit()).unwrap();
        assert_eq!(limit.limit(), Limit::HierarchyDepth);
    }
}

/// Groups below one that is below as many: each would have all that are above it.
#[test]
fn hierarchies_that_multiply_are_refused_by_name() {
    let _alone = alone();
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let above: Vec<_> = ids.iter().map(|id| ("Above", id.as_str()).into()).collect();
    let waist = [("G", "waist").into()];
    let mut groups = Entities::new().insert(Entity::new(("G", "waist")).parents(&above));
    for id in &ids {
        let group = [("G", id.as_str()).into()];
        groups = groups
            .insert(Entity::new(("G", id.as_str())).parents(&waist))
            .insert(Entity::new(("User", id.as_str())).parents(&group));
    }
    // Members of two groups each.
    let mut members = Entities::new().insert(Entity::new(("G", "waist")).parents(&above));
    for id in &ids {
        let two = [("G", "waist").into(), ("G", "other").into()];
        members = members.insert(Entity::new(("User", id.as_str())).parents(&two));
    }
    let limit = |error: &duramen::EntityError| {
        let mut limits = error
            .problems()
            .iter()
            .filter_map(|problem| problem.limit());
        limits.next().unwrap().limit()
    };
    for entities in [groups, members] {
        let limits = Limits::default().with_ancestors(1_000_000);
        let builder = Authorizer::builder().limits(limits);
        let built = within(32 * MB, || builder.entities(entities.clone()).build());
        let error = built.unwrap_err();
        assert_eq!(limit(error.entity_error().unwrap()), Limit::Ancestors);
        let limits = Limits::default().with_ancestors(1_000);
        let authorizer = Authorizer::builder().limits(limits).build().unwrap();
        let version = authorizer.version();
        let error = within(32 * MB, || authorizer.replace_entities(entities)).unwrap_err();
        assert_eq!(limit(&error), Limit::Ancestors);
        assert_eq!(authorizer.version(), version);
    }
    let limits = Limits::default().with_ancestors(70_000);
    let authorizer = Authorizer::builder().limits(limits).build().unwrap();
    let waist_only = EntityUpdate::new().upsert(Entity::new(("G", "waist")).parents(&above));
    assert!(authorizer.update_entities(waist_only).is_ok());
    let below = |id| EntityUpdate::new().upsert(Entity::new(("G", id)).parents(&waist));
    assert!(authorizer.update_entities(below("a")).is_ok());
    let member = |update: EntityUpdate, id| {
        let two = [("G", "waist").into(), ("G", "a").into()];
        update.upsert(Entity::new(("User", id)).parents(&two))
    };
    let one = member(EntityUpdate::new(), "u");
    let two = member(member(EntityUpdate::new(), "v"), "w");
    assert!(authorizer.update_entities(one).is_ok());
    let error = authorizer.update_entities(two).unwrap_err();
    assert_eq!(limit(&error), Limit::Ancestors);
}

/// Evaluation recurses as deep as an expression. The deepest that the default limits let through fit into the stack of an
/// ordinary thread, in a build without optimisation too.
#[test]
fn the_deepest_expression_fits_an_ordinary_stack() {
    let _alone = alone();
    let chain = |first: &str, link: &str, count: usize| format!("{first}{}", link.repeat(count));
    // Just below the limits: 150 levels, or 1,000 of connectives.
    let conditions = [
        format!("{} > 0", chain("context.n", " + 1", 146)),
        format!("context{} == 1", ".n".repeat(146)),
        chain("context.b", " && context.b", 990),
        chain("context.c", " || context.c", 990),
        format!("!({})", chain("context.b", " && context.b", 980)),
        format!("{}context.b{}", "!(".repeat(190), ")".repeat(190)),
        format!(
            "{}1{} == 1",
            "(if context.b then ".repeat(146),
            " else 2)".repeat(146)
        ),
        format!("{}context.n{}.isEmpty()", "[".repeat(146), "]".repeat(146)),
    ];
    for condition in conditions {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let build = || Authorizer::builder().policies(text.as_str()).build();
        let authorizer = within(8 * MB, build).unwrap();
        let context = r#"{ "n": 1, "b": true, "c": false }"#;
        let response = within(64 * KB, || decide(&authorizer, context));
        assert_ne!(response.outcome, Outcome::InvalidRequest);
        // Policies are read once more for where an error stands.
        within(MB, || {
            let request = asked().context_json(context);
            let response = authorizer.is_authorized(&request);
            let _ = response.locate_errors(&request);
        });
    }
}

/// Nested so deeply that whoever recurses over it overflows the stack, in every format that is read.
#[test]
fn deep_texts_are_refused_in_little_memory() {
    let _alone = alone();
    const DEEP: usize = 50_000;
    let around = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(DEEP), close.repeat(DEEP))
    };
    let expressions = [
        around("(", "true", ")"),
        around("[", "1", "]"),
        around("{a: ", "1", "}"),
        around("!", "true", ""),
        around("if true then true else ", "true", ""),
        around("principal.a is T in ", "principal", ""),
        format!("principal{}", ".a".repeat(DEEP)),
        vec!["true"; DEEP].join(" && "),
    ];
    for expression in expressions {
        let text = format!("permit(principal, action, resource) when {{ {expression} }};");
        let builder = Authorizer::builder().policies(text.as_str());
        assert!(within(MB, || builder.build()).is_err(), "{}", &text[..80]);
    }
    let nested = around("[", "1", "]");
    let types = format!("entity A {{ a: {} }};", around("Set<", "Long", ">"));
    let attrs = format!(
        r#"[{{ "uid": {{ "type": "A", "id": "a" }}, "attrs": {{ "x": {nested} }}, "parents": [] }}]"#
    );
    let builders = [
        Authorizer::builder().policies(Policies::new().json(nested.as_str())),
        Authorizer::builder().schema_str(types.as_str()),
        Authorizer::builder().schema_json(nested.as_str()),
        Authorizer::builder().entities(attrs.as_str()),
    ];
    for builder in builders {
        assert!(within(MB, || builder.build()).is_err());
    }
    let authorizer = Authorizer::builder().build().unwrap();
    let response = within(MB, || {
        let request = asked().entities_json(&attrs);
        authorizer.is_authorized(&request).to_owned()
    });
    assert_eq!(response.outcome, Outcome::InvalidRequest);
}

/// A few hundred bytes of which Cedar makes gigabytes.
#[test]
fn small_texts_that_grow_are_refused_in_little_memory() {
    let _alone = alone();
    let copied = (0..30).fold("principal".to_owned(), |operand, _| {
        format!("({operand} is User in User::\"u\")")
    });
    let policy = format!("permit(principal, action, resource) when {{ {copied} }};");
    let builder = Authorizer::builder().policies(policy.as_str());
    let error = within(MB, || builder.build()).unwrap_err().to_string();
    assert!(error.contains("doubling"), "{error}");

    let mut types = "type T40 = Long; entity E { a: T0 };".to_owned();
    for number in 0..40 {
        let next = number + 1;
        let _ = write!(types, "type T{number} = {{ a: T{next}, b: T{next} }};");
    }
    let builder = Authorizer::builder().schema_str(types.as_str());
    let error = within(4 * MB, || builder.build()).unwrap_err().to_string();
    assert!(error.contains("too large"), "{error}");
}

/// Names that nobody knows, keys and elements by the ten thousand, numbers of a million digits.
#[test]
fn wide_requests_cost_their_size() {
    let _alone = alone();
    let policies = "permit(principal == U::\"v\", action, resource);
        permit(principal, action, resource) when { context has a && context.a.containsAll(context.b) };
        permit(principal, action, resource) when { context has a && context.a.containsAny(context.c) };
        permit(principal, action, resource) when { context has a && context.a == context.b };";
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();

    let (id, type_name) = ("x".repeat(10 * MB), "A::".repeat(MB) + "A");
    let long = [("U", id.as_str()), (type_name.as_str(), "u")];
    for uid in long {
        let response = within(48 * MB, || {
            let request = Request::new(uid, ("Action", "a"), uid);
            authorizer.is_authorized(&request).to_owned()
        });
        assert_eq!(response.outcome, Outcome::NoPermit);
    }

    let key = |number: u32| {
        let pairs = (0..13).map(|bit| ["Aa", "BB"][(number >> bit & 1) as usize]);
        pairs.collect::<String>()
    };
    let keys = |count: u32| {
        (0..count)
            .rev()
            .map(|number| format!("\"{}\":1", key(number)))
    };
    let wide = format!("{{{}}}", keys(1 << 13).collect::<Vec<_>>().join(","));
    let response = within(8 * MB, || decide(&authorizer, &wide));
    assert_eq!(response.outcome, Outcome::NoPermit);
    let twice = format!("{{{},\"{}\":2}}", &wide[1..wide.len() - 1], key(5));
    let response = within(8 * MB, || decide(&authorizer, &twice));
    assert_eq!(response.outcome, Outcome::InvalidRequest);

    let numbers = |from: u32| (from..from + 40_000).rev().collect::<Vec<_>>();
    let sets = json!({ "a": numbers(0), "b": numbers(1), "c": numbers(40_000) }).to_string();
    let response = within(32 * MB, || decide(&authorizer, &sets));
    assert_eq!(response.outcome, Outcome::NoPermit);

    for number in [
        "9".repeat(1_000_000),
        format!("-{}1", "0".repeat(1_000_000)),
        format!("1e{}", "9".repeat(1_000_000)),
    ] {
        let context = format!("{{\"a\": {number}}}");
        let response = within(4 * MB, || decide(&authorizer, &context));
        let error = response.request_error.expect("no such number");
        assert!(
            error.message().len() < 2_000,
            "an error as long as the number"
        );
    }
}

/// What one large request took is given back by the ordinary ones after it, on the same thread.
#[test]
fn memory_of_a_large_request_is_not_kept() {
    let _alone = alone();
    let authorizer = Authorizer::builder().build().unwrap();
    let small = json!({ "a": [1, 2, 3] }).to_string();
    let large = json!({ "a": vec![[[0]]; 80_000] }).to_string();
    let id = "x".repeat(4 * MB);
    // Two memories to work in: the session's and the thread's.
    let kept = within(128 * MB, || {
        let mut session = authorizer.session();
        let mut decide = |request: &Request<'_>| {
            let pooled = authorizer.is_authorized(request).outcome();
            assert_eq!(session.is_authorized(request).outcome(), pooled);
            assert_eq!(pooled, Outcome::NoPermit);
        };
        decide(&asked().context_json(&small));
        let before = live();
        decide(&asked().context_json(&large));
        decide(&Request::new(
            ("U", id.as_str()),
            ("Action", "a"),
            ("R", "r"),
        ));
        assert!(live() - before > 4 * MB);
        for _ in 0..1_002 {
            decide(&asked().context_json(&small));
        }
        live().saturating_sub(before)
    });
    assert!(kept < MB, "{kept}");
}

/// Policies that all fail: what a decision says of them is as long as their number.
#[test]
fn failing_policies_cost_their_number() {
    let _alone = alone();
    const MANY: usize = 3_000;
    let policies: String = (0..MANY).fold(String::new(), |mut text, number| {
        let _ = writeln!(
            text,
            "permit(principal, action, resource) when {{ context.missing{number} > {number} }};"
        );
        text
    });
    let authorizer = Authorizer::builder()
        .policies(policies.as_str())
        .build()
        .unwrap();
    let response = within(MB, || {
        let response = authorizer.is_authorized(&asked());
        assert_eq!(response.errors().count(), MANY);
        response.outcome()
    });
    assert_eq!(response, Outcome::NoPermit);
}

/// So many problems on one line, and so many policies on one line to say the place of: each place is a look-up.
#[test]
fn places_on_one_line_cost_their_number() {
    let _alone = alone();
    const WRONG: usize = 2_000;
    const MANY: usize = 20_000;
    let policies = |count: usize, clause: &str| -> String {
        let policy = |n| format!("@id(\"{n}\") permit(principal, action, resource) {clause};");
        (0..count).map(policy).collect()
    };
    let text = policies(WRONG, "when { 1 + 1 + 1 + 1 == 4 }");
    let limits = Limits::default().with_expression_depth(1);
    let builder = Authorizer::builder().limits(limits).policies(text.as_str());
    let error = within(32 * MB, || builder.build()).unwrap_err();
    let problems = error.compile_error().unwrap().problems();
    assert_eq!(problems.len(), WRONG);
    let last = text.rfind("1 + 1 + 1 + 1").unwrap();
    let (line, column) = problems[WRONG - 1].position().unwrap();
    assert!(
        line == 1 && column as usize > last - 100,
        "{column}, {last}"
    );

    let text = policies(MANY, "");
    let authorizer = Authorizer::builder().policies(text.as_str()).build();
    let authorizer = authorizer.unwrap();
    let directory = std::env::temp_dir().join(format!("duramen-places-{}", std::process::id()));
    let archive = PolicyArchive::open(&directory).unwrap();
    within(32 * MB, || archive.keep(&authorizer)).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Cursors go to clients and come back.
#[test]
fn cursors_of_any_text_are_refused() {
    let _alone = alone();
    let texts = [
        "0".repeat(10 * MB),
        "~".repeat(10 * MB),
        ".".repeat(10 * MB),
        "1.".repeat(5 * MB),
        "\u{1F600}".repeat(MB),
    ];
    for text in texts {
        assert!(within(MB, || text.parse::<Cursor>()).is_err());
    }
}

/// Thousands of segments, and millions of lines that are none.
#[test]
fn logs_of_many_lines_and_segments_are_read_in_bounded_memory() {
    let _alone = alone();
    let directory = std::env::temp_dir().join(format!("duramen-hostile-{}", std::process::id()));
    let log = DurableLog::open(&directory).unwrap();
    let authorizer = Authorizer::builder().sink(log).build().unwrap();
    assert!(!authorizer.is_allowed(&asked()));
    drop(authorizer);
    let written = std::fs::read(directory.join("00000000000000000000.jsonl")).unwrap();
    for number in 1..2_000 {
        let segment = directory.join(format!("{number:020}.jsonl"));
        std::fs::write(segment, "{}\n").unwrap();
    }
    let seen = within(MB, || verify(&directory, None)).unwrap();
    assert!(seen.finding().is_some());
    assert!(within(MB, || DurableLog::open(&directory)).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    for line in ["\n", "{}\n", "{\"chain\":{\n"] {
        let mut text = written.clone();
        text.extend(line.as_bytes().iter().cycle().take(16 * MB));
        std::fs::write(directory.join("00000000000000000000.jsonl"), text).unwrap();
        let seen = within(MB, || verify(&directory, None)).unwrap();
        assert!(seen.finding().is_some() && seen.decisions() == 1);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Whatever the files of a log hold: pieces of itself in any order, cut anywhere, with noise between them.
#[test]
fn logs_of_any_bytes_are_read_in_bounded_memory() {
    let _alone = alone();
    let directory =
        std::env::temp_dir().join(format!("duramen-hostile-any-{}", std::process::id()));
    let log = DurableLog::open(&directory).unwrap();
    let authorizer = Authorizer::builder().sink(log).build().unwrap();
    (0..20).for_each(|_| assert!(!authorizer.is_allowed(&asked())));
    drop(authorizer);
    let segment = directory.join("00000000000000000000.jsonl");
    let written = std::fs::read(&segment).unwrap();
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let files: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let mut bytes = Vec::new();
            for _ in 0..below(8) {
                let (from, to) = (below(written.len()), below(written.len()));
                bytes.extend_from_slice(&written[from.min(to)..from.max(to)]);
                bytes.extend((0..below(20)).map(|_| below(256) as u8));
            }
            bytes
        })
        .collect();
    within(MB, || {
        for bytes in &files {
            std::fs::write(&segment, bytes).unwrap();
            let seen = verify(&directory, None).unwrap();
            assert!(seen.finding().is_some() || written.starts_with(bytes));
            let _ = DurableLog::open(&directory);
        }
    });
    std::fs::remove_dir_all(&directory).unwrap();
}

fn receiver() -> SignalReceiver {
    SignalReceiver::new().transmitter(Transmitter::new("i", "a").subject(
        SubjectKind::Session,
        SubjectFormat::Opaque,
        "Session",
    ))
}

fn revoked(id: &str, rest: &str) -> String {
    format!(
        r#"{{ "iss": "i", "aud": "a", "jti": "{id}", "iat": 1700000000, "sub_id": {{ "format": "opaque", "id": "{id}" }},
              "events": {{ "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {{ {rest} }} }} }}"#
    )
}

#[test]
fn signals_are_bounded() {
    let _alone = alone();
    let authorizer = Authorizer::builder()
        .entities(Entities::new().insert(Entity::new(("Session", "s"))))
        .build()
        .unwrap();
    let receiver = receiver();
    let deep = |open: &str, close: &str| {
        let nested = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        revoked("s", &format!("\"x\": {nested}"))
    };
    let mut wide = String::from("\"x0\": 0");
    for number in 1..10_000 {
        let _ = write!(wide, ", \"x{number}\": 0");
    }
    let cases = [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        revoked(&"s".repeat(70_000), ""),
        revoked("s", &wide),
        revoked("s", "\"x\": 1, \"x\": 2"),
    ];
    let version = authorizer.version();
    for payload in cases {
        let error = within(MB, || receiver.apply(&authorizer, &payload)).unwrap_err();
        assert!(matches!(error, SignalError::Malformed(_)), "{error}");
    }
    assert_eq!(authorizer.version(), version);
    // None of them is in the way of what is well-formed.
    let report = receiver.apply(&authorizer, &revoked("s", "")).unwrap();
    assert_eq!(report.changes()[0].0.id(), "s");
}

#[test]
fn spiffe_ids_are_refused_for_what_is_wrong() {
    let _alone = alone();
    use SpiffeIdError::{DomainCharacter, DomainLength, PathCharacter, Scheme, Segment, TooLong};
    let parse = |text: &str| text.parse::<SpiffeId>().unwrap_err();
    let long = |length: usize| format!("spiffe://d/{}", "a".repeat(length - 11));
    assert!(long(2048).parse::<SpiffeId>().is_ok());
    assert_eq!(parse(&long(2049)), TooLong(2049));
    let longest = long(50_000_000);
    assert_eq!(within(64 * KB, || parse(&longest)), TooLong(50_000_000));
    assert_eq!(
        parse(&format!("spiffe://{}", "a".repeat(256))),
        DomainLength(256)
    );
    assert_eq!(parse("spiffe:///a"), DomainLength(0));
    assert_eq!(parse("https://prod.example/a"), Scheme);
    // A port, a user, an escape, a Cyrillic letter that looks like one of ours, a zero, an end that is only for the eye.
    for domain in [
        "d:1",
        "u@d",
        "d%2e",
        "prоd",
        "d\0",
        "d\u{200b}",
        "d?q",
        "d#f",
    ] {
        let error = parse(&format!("spiffe://{domain}/a"));
        assert!(matches!(error, DomainCharacter { .. }), "{domain}: {error}");
    }
    for path in ["a%2fb", "а", "a\0", "a b", "a?q", "a#f", "a\\b", "a:b"] {
        let error = parse(&format!("spiffe://d/{path}"));
        assert!(matches!(error, PathCharacter { .. }), "{path}: {error}");
    }
    for path in ["", "a/", "a//b", ".", "..", "a/../b", "a/./b"] {
        let error = parse(&format!("spiffe://d/{path}"));
        assert!(matches!(error, Segment { .. }), "{path}: {error}");
    }
}

#[test]
fn actors_nested_ten_thousand_deep_are_refused_by_name() {
    let _alone = alone();
    let reader = ClaimsReader::new(|party: &Party<'_>| Some(EntityUid::new("U", party.subject()?)))
        .with_prior_actors(true);
    let nested = |depth: usize| {
        let mut claims = String::from(r#"{ "sub": "ann""#);
        claims.push_str(&r#", "act": { "sub": "bob""#.repeat(depth));
        claims.push_str(&"}".repeat(depth + 1));
        claims
    };
    let most = Limits::default().delegation_actors();
    assert_eq!(reader.read(&nested(most)).unwrap().actors().len(), most);
    // Ever more actors beside one another in a request, too.
    let actors = vec![("U", "u").into(); 1_000_000];
    let delegation = Delegation::new(&actors);
    let authorizer = Authorizer::builder().build().unwrap();
    let outcome = within(64 * KB, || {
        let request = asked().delegation(&delegation);
        authorizer.is_authorized(&request).outcome()
    });
    assert_eq!(outcome, Outcome::DelegationTooLong);
    let limit = |depth: usize| {
        let claims = nested(depth);
        let error = within(MB, || reader.read(&claims)).unwrap_err();
        error.limit().unwrap().limit()
    };
    assert_eq!(limit(most + 1), Limit::DelegationActors);
    assert_eq!(limit(10_000), Limit::Nesting);
    assert_eq!(limit(1_000_000), Limit::ContextBytes);
}
