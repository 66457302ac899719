//! Both engines take the same input, or both refuse it, and they come to the same answers.

use std::fmt::Debug;
use std::str::FromStr;

use cedar_policy as cedar;
use duramen::{Authorizer, BuildError, Entities, Policies, Request, Scratch};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::generate::Tape;
use super::many;
use super::oracle::{Answer, Ask, Oracle, World, answer, cedar_uid, ours, reproduction};
use super::value::uid;

/// Answers of all the ways to ask must be the oracle's.
pub(crate) fn compare(
    authorizer: &Authorizer,
    world: &World,
    ask: &Ask,
    expected: &Answer,
) -> Result<(), TestCaseError> {
    let check = |way: &str, found: Answer| {
        if found == *expected {
            return Ok(());
        }
        let what = format!("{way}: found {found:#?}, Cedar says {expected:#?}\n{authorizer:?}");
        Err(TestCaseError::fail(reproduction(world, Some(ask), &what)))
    };
    let allowed = matches!(expected, Answer::Decided { allowed: true, .. });
    let check_allowed = |way: &str, found: bool| {
        if found == allowed {
            return Ok(());
        }
        let what = format!("{way}: found {found}, Cedar says {allowed}\n{authorizer:?}");
        Err(TestCaseError::fail(reproduction(world, Some(ask), &what)))
    };
    ask.with_request(|request| {
        let mut session = authorizer.session();
        let mut scratch = Scratch::new();
        check("pooled", ours(&authorizer.is_authorized(request)))?;
        check("session", ours(&session.is_authorized(request)))?;
        check(
            "with scratch",
            ours(&authorizer.is_authorized_with(&mut scratch, request)),
        )?;
        let pinned = authorizer.pin();
        check("pinned", ours(&pinned.is_authorized(request)))?;
        check_allowed("pinned.is_allowed", pinned.is_allowed(request))?;
        check_allowed("is_allowed", authorizer.is_allowed(request))?;
        check_allowed("session.is_allowed", session.is_allowed(request))?;
        if ask.overlay.is_some() {
            return Ok(());
        }
        match authorizer.prepare(request) {
            Err(_) => check("prepare", Answer::Invalid),
            Ok(mut prepared) => {
                check(
                    "prepared",
                    ours(&authorizer.is_authorized_prepared(&mut scratch, &mut prepared)),
                )?;
                check(
                    "session, prepared",
                    ours(&session.is_authorized_prepared(&mut prepared)),
                )
            }
        }
    })
}

/// Both load the world, or neither does.
pub(crate) fn load(
    world: &World,
    build: impl Fn() -> Result<Authorizer, duramen::BuildError>,
) -> Result<Option<(Oracle, Authorizer)>, TestCaseError> {
    match (world.oracle(), build()) {
        (Ok(oracle), Ok(authorizer)) => Ok(Some((oracle, authorizer))),
        (Err(_), Err(_)) => Ok(None),
        (oracle, authorizer) => {
            let what = format!(
                "Cedar says {:?}, Duramen says {:?}",
                oracle.err(),
                authorizer.err()
            );
            Err(TestCaseError::fail(reproduction(world, None, &what)))
        }
    }
}

/// Checks what the fuzzer of a target found once, and what it begins with.
pub(crate) fn regressions_agree(target: &str, agree: impl Fn(&[u8]) -> Result<(), TestCaseError>) {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/regressions");
    let mut count = 0;
    for file in std::fs::read_dir(format!("{directory}/{target}")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        agree(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
    }
    assert!(count > 0, "no cases in {directory}/{target}");
}

/// A world made from bytes.
pub(crate) fn worlds_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (tuning, numbers, seed) = many::of_bytes(bytes);
    let (mut world, asks) = Tape::new(&numbers).world();
    world.as_values = seed % 7 == 3;
    let build = || world.builder().tuning(tuning).build();
    let Some((oracle, authorizer)) = load(&world, build)? else {
        return Ok(());
    };
    for ask in &asks {
        compare(&authorizer, &world, ask, &oracle.decide(ask))?;
    }
    // The world was dear and requests are cheap.
    many::requests_agree((world, oracle, authorizer), seed, REQUESTS)
}

/// Requests of each fuzzed world, beside those that its bytes make.
const REQUESTS: u64 = 64;

pub(crate) fn view() -> Request<'static> {
    Request::new(("User", "u0"), ("Action", "view"), ("Doc", "d0"))
}

/// A failure shows the text, and what each says against it.
fn both_or_neither<A, B>(
    text: &str,
    ours: &Result<A, impl Debug>,
    cedars: &Result<B, impl Debug>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        ours.is_ok(),
        cedars.is_ok(),
        "{}\n{:?}\n{:?}",
        text,
        ours.as_ref().err(),
        cedars.as_ref().err()
    );
    Ok(())
}

/// The same of entities, but that we refuse a key that is there twice also in members which Cedar does not know and does not look
/// into.
fn both_or_a_key_twice<A, B>(
    text: &str,
    ours: &Result<A, BuildError>,
    cedars: &Result<B, impl Debug>,
) -> Result<(), TestCaseError> {
    match (ours, cedars) {
        (Err(error), Ok(_)) => {
            let why = error.to_string();
            prop_assert!(why.contains("has this key already"), "{}\n{}", text, why);
            Ok(())
        }
        _ => both_or_neither(text, ours, cedars),
    }
}

/// Both take it or both refuse it.
pub(crate) fn policies_agree(text: &str) -> Result<(), TestCaseError> {
    let cedars = cedar::PolicySet::from_str(text);
    let ours = Authorizer::builder().policies(text).build();
    both_or_neither(text, &ours, &cedars)?;
    if let Ok(authorizer) = ours {
        let _ = authorizer.is_authorized(&view());
    }
    Ok(())
}

/// Likewise.
pub(crate) fn policies_json_agree(text: &str) -> Result<(), TestCaseError> {
    let cedars = cedar::PolicySet::from_json_str(text);
    let ours = Authorizer::builder()
        .policies(Policies::new().json(text))
        .build();
    both_or_neither(text, &ours, &cedars)
}

/// Likewise.
pub(crate) fn schemas_agree(text: &str) -> Result<(), TestCaseError> {
    let cedars = cedar::Schema::from_cedarschema_str(text);
    let ours = Authorizer::builder().schema_str(text).build();
    both_or_neither(text, &ours, &cedars)?;
    let cedars = cedar::Schema::from_json_str(text);
    let ours = Authorizer::builder().schema_json(text).build();
    both_or_neither(text, &ours, &cedars)
}

/// Likewise.
pub(crate) fn entities_agree(text: &str) -> Result<(), TestCaseError> {
    let cedars = cedar::Entities::from_json_str(text, None);
    let ours = Authorizer::builder()
        .entities(Entities::new().json(text))
        .build();
    both_or_a_key_twice(text, &ours, &cedars)?;
    let response = empty(|authorizer| {
        authorizer
            .is_authorized(&view().entities_json(text))
            .to_owned()
    });
    // What an upsert refuses is refused; duplicates are, too.
    prop_assert!(
        cedars.is_ok() || response.request_error.is_some(),
        "{}",
        text
    );
    Ok(())
}

/// Where Cedar refuses a context, so do we. The other way round there are duplicate keys, so that our refusal
/// needs to be for one.
pub(crate) fn contexts_agree(text: &str) -> Result<(), TestCaseError> {
    let cedars = cedar::Context::from_json_str(text, None);
    let response = empty(|authorizer| {
        authorizer
            .is_authorized(&view().context_json(text))
            .to_owned()
    });
    match (&response.request_error, cedars) {
        (None, Err(error)) => prop_assert!(false, "{}\n{}", text, error),
        (Some(error), Ok(_)) => {
            prop_assert!(error.message().contains("key"), "{}\n{}", text, error);
        }
        _ => {}
    }
    Ok(())
}

pub(crate) fn empty<R>(f: impl FnOnce(&Authorizer) -> R) -> R {
    thread_local! {
        static EMPTY: Authorizer = Authorizer::builder()
            .policies("permit(principal, action, resource) when { [context] != [] };").build().unwrap();
    }
    EMPTY.with(f)
}

/// A schema that has everything that schemas may have.
pub(crate) const SCHEMA: &str = r#"
namespace NS { entity Device tags Long; type T = { a: Long, "b"?: Set<String> }; }
entity Group in [Group];
entity User in [Group] { level: Long, t?: NS::T, at?: datetime } tags String;
entity Color enum ["red", "green"];
@doc("x")
action read, "write it";
action view in [read] appliesTo { principal: [User], resource: [NS::Device, Color], context: {
    mfa: Bool, from?: ipaddr, score?: decimal, at?: datetime, for?: duration, via?: NS::Device, groups?: Set<Group>, t?: NS::T
} };
"#;

/// Entities that a schema gives types to: both take them, or both refuse them.
pub(crate) fn typed_entities_agree(text: &str) -> Result<(), TestCaseError> {
    typed(|schema, _| {
        let cedars = cedar::Entities::from_json_str(text, Some(schema));
        let ours = Authorizer::builder()
            .schema_str(SCHEMA)
            .entities(Entities::new().json(text))
            .build();
        both_or_a_key_twice(text, &ours, &cedars)
    })
}

/// A context that a schema gives types to. Where both take it, they decide the same on it; a refusal of ours alone is for a
/// duplicate key.
pub(crate) fn typed_contexts_agree(text: &str) -> Result<(), TestCaseError> {
    let [principal, action, resource] = [("User", "u0"), ("Action", "view"), ("NS::Device", "d0")];
    let uid = |(of, id)| cedar_uid(&uid(of, id));
    typed(|schema, authorizer| {
        let cedars = cedar::Context::from_json_str(text, Some((schema, &uid(action))))
            .map_err(|error| error.to_string())
            .and_then(|context| {
                let [principal, action, resource] = [principal, action, resource].map(uid);
                cedar::Request::new(principal, action, resource, context, Some(schema))
                    .map_err(|error| error.to_string())
            });
        let request = Request::new(principal, action, resource).context_json(text);
        let response = authorizer.is_authorized(&request);
        match (response.request_error(), cedars) {
            (None, Err(error)) => prop_assert!(false, "{}\n{}", text, error),
            (Some(error), Ok(_)) => {
                prop_assert!(error.message().contains("key"), "{}\n{}", text, error)
            }
            (None, Ok(request)) => {
                let set = TYPED_POLICIES.parse().unwrap();
                let entities = cedar::Entities::from_json_str("[]", Some(schema)).unwrap();
                let cedars = cedar::Authorizer::new().is_authorized(&request, &set, &entities);
                prop_assert_eq!(ours(&response), answer(&cedars), "{}", text);
            }
            (Some(_), Err(_)) => {}
        }
        Ok(())
    })
}

/// A policy for each attribute of the context, so that each is read for itself.
const TYPED_POLICIES: &str = r#"
permit(principal, action, resource) when { context.mfa };
permit(principal, action, resource) when { context has from && context.from.isInRange(ip("10.0.0.0/8")) };
permit(principal, action, resource) when { context has score && context.score.lessThan(decimal("1.5")) };
permit(principal, action, resource) when { context has at && context.at < datetime("2024-01-01") };
permit(principal, action, resource) when { context has for && context.for < duration("1h") };
permit(principal, action, resource) when { context has via && context.via == NS::Device::"d0" };
permit(principal, action, resource) when { context has groups && context.groups.contains(Group::"g") };
permit(principal, action, resource) when { context has t && context.t.a > 0 && context.t has b && context.t.b.contains("x") };
"#;

fn typed<R>(f: impl FnOnce(&cedar::Schema, &Authorizer) -> R) -> R {
    thread_local! {
        static TYPED: (cedar::Schema, Authorizer) = (
            cedar::Schema::from_cedarschema_str(SCHEMA).unwrap().0,
            Authorizer::builder().schema_str(SCHEMA).validate_requests(true).policies(TYPED_POLICIES).build().unwrap(),
        );
    }
    TYPED.with(|(schema, authorizer)| f(schema, authorizer))
}
