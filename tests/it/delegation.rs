//! Chains of delegation: every hop must be allowed, what is no chain is denied, and the record tells it all.

pub(crate) mod chains;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use duramen::evidence::{JsonLinesSink, Mask, MaskSink, Masks, MemorySink, QueueSink};
use duramen::replay::{PolicyArchive, ReplayError, Replayed};
use duramen::{
    Authorizer, Decision, Delegation, EntityUidRef, Limits, Outcome, Request, RequestPart,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::json;

use self::chains::{ACTOR, DELEGATOR, SUBJECT, chain_of, hop, is_allowed};
use super::evidence::Scratch;
use super::generate::{Tape, config, tape};
use super::oracle::{Answer, Ask, ours, reproduction, uid_ref};
use super::value::Uid;

/// How many chains were decided, and how many hops took away what the chain before had.
static WIDTHS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..config(15) })]

    /// A chain is what the oracle says of each hop: so it never allows what one hop is denied, and a hop never widens.
    #[test]
    fn a_chain_is_allowed_if_every_hop_is(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let (Ok(oracle), Ok(authorizer)) = (world.oracle(), world.builder().build()) else {
            return Ok(());
        };
        let sink = Arc::new(MemorySink::new(100));
        let recording = world.builder().sink(Arc::clone(&sink)).build().unwrap();
        let directory = Scratch::new();
        let archive = PolicyArchive::open(directory.path()).unwrap();
        archive.keep(&recording).unwrap();
        let fail = |ask: &Ask, what: String| {
            Err(TestCaseError::fail(reproduction(&world, Some(ask), &what)))
        };
        for ask in asks {
            let (ask, chain) = chain_of(&mut tape, ask);
            let expected: Vec<Answer> = (0..chain.len())
                .map(|at| oracle.decide(&hop(&ask, &chain, at)))
                .collect();
            let allowed = expected.iter().all(is_allowed);
            let actors: Vec<EntityUidRef<'_>> = chain[1..].iter().map(uid_ref).collect();
            let delegation = Delegation::new(&actors)
                .actor_as(ACTOR)
                .subject_as(SUBJECT)
                .delegator_as(DELEGATOR);
            let found = ask.with_request(|request| {
                let direct = ours(&authorizer.is_authorized(request));
                let request = request.delegation(&delegation);
                let response = authorizer.is_authorized(&request);
                let hops: Vec<(bool, Vec<String>, usize)> = response.delegation().unwrap().hops().map(|hop| {
                    let determining = hop.determining().map(|policy| policy.id().to_string());
                    (hop.outcome() == Some(Outcome::Allowed), determining.collect(), hop.errors().len())
                }).collect();
                let whole = ours(&response);
                drop(response);
                let mut session = authorizer.session();
                let again = [
                    authorizer.is_allowed(&request),
                    session.is_allowed(&request),
                    authorizer.pin().is_allowed(&request),
                    session.is_authorized(&request).is_allowed(),
                    authorizer.pin().is_authorized(&request).is_allowed(),
                    recording.is_authorized(&request).is_allowed(),
                    recording.is_allowed(&request),
                ];
                assert!(authorizer.prepare(&request).is_err());
                (direct, whole, hops, again)
            });
            let (direct, whole, hops, again) = found;
            if expected.contains(&Answer::Invalid) {
                if whole != Answer::Invalid || again.contains(&true) {
                    return fail(&ask, format!("{chain:?}: {whole:?}, a hop is invalid"));
                }
                continue;
            }
            if is_allowed(&whole) != allowed || again != [allowed; 7] {
                return fail(&ask, format!("{chain:?}: {whole:?} {again:?}, the oracle says {expected:?}"));
            }
            if chain.len() == 1 && direct != whole {
                return fail(&ask, format!("{direct:?} without a chain, {whole:?} with an empty one"));
            }
            for ((found, reasons, failures), expected) in hops.iter().zip(&expected) {
                let Answer::Decided { allowed, determining, errors } = expected else { unreachable!() };
                let reasons: BTreeSet<&String> = reasons.iter().collect();
                let same = found == allowed
                    && reasons.into_iter().eq(determining)
                    && *failures == errors.len();
                if !same {
                    return fail(&ask, format!("{chain:?}: {hops:?}, the oracle says {expected:?}"));
                }
            }
            // The first that is denied speaks for the chain, and all when nobody is.
            let Answer::Decided { determining, errors, .. } = &whole else { unreachable!() };
            let speaking = expected.iter().position(|answer| !is_allowed(answer));
            let speaking = speaking.map_or(&expected[..], |at| &expected[at..=at]);
            let same = speaking.iter().all(|answer| {
                let Answer::Decided { determining: reasons, errors: failures, .. } = answer else { unreachable!() };
                reasons.is_subset(determining) && failures.keys().all(|id| errors.contains_key(id))
            });
            if !same {
                return fail(&ask, format!("{chain:?}: {whole:?}, the oracle says {expected:?}"));
            }
        }
        // Each record, hop by hop, with both engines.
        for record in sink.records() {
            let policies = archive.load(record.version.policies()).unwrap();
            let replayed = policies.replay(&record);
            if record.request_error.is_none() {
                prop_assert!(replayed.is_same(), "{}", reproduction(&world, None, &format!("{record:#?}\n{replayed:#?}")));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..config(40) })]

    /// One more who acts takes away and never adds: the chain without it is allowed, too, by what policies see of both alike.
    #[test]
    fn a_hop_never_widens(numbers in tape(), permissive in prop::bool::weighted(0.8)) {
        let mut tape = Tape::new(&numbers);
        let (mut world, asks) = tape.world();
        let chains: Vec<(Ask, Vec<Uid>)> = asks.into_iter().map(|ask| chain_of(&mut tape, ask)).collect();
        if permissive {
            // Who is acted for may do anything, and so may half of those who act: then one more denies what was allowed.
            for (at, uid) in chains.iter().flat_map(|(_, chain)| chain.iter().enumerate()) {
                if at == 0 || tape.chance(50) {
                    world.policies.push_str(&format!("\npermit(principal == {}, action, resource);", uid_ref(uid)));
                }
            }
        }
        let Ok(authorizer) = world.builder().build() else { return Ok(()) };
        for (ask, chain) in chains {
            let actors: Vec<EntityUidRef<'_>> = chain[1..].iter().map(uid_ref).collect();
            // Who acts in the end is seen by all hops, and is another with each hop: that a policy may ask for it is what the
            // name is for. The subject is seen as soon as somebody acts.
            for (names, from) in [(0, 0), (1, 0), (2, 1)] {
                let decided: Vec<[bool; 2]> = (from..=actors.len()).map(|len| {
                    let mut delegation = Delegation::new(&actors[..len]);
                    if names > 0 { delegation = delegation.delegator_as(DELEGATOR); }
                    if names > 1 { delegation = delegation.subject_as(SUBJECT); }
                    ask.with_request(|request| {
                        let request = request.delegation(&delegation);
                        [authorizer.is_allowed(&request), authorizer.grant(&request).is_ok()]
                    })
                }).collect();
                for pair in decided.windows(2) {
                    prop_assert!(pair[0] >= pair[1], "{}", reproduction(&world, Some(&ask), &format!("{chain:?} {names} {decided:?}")));
                }
                prop_assert!(decided.iter().all(|[decided, granted]| decided == granted));
                WIDTHS[0].fetch_add(decided.len() as u64, Ordering::Relaxed);
                WIDTHS[1].fetch_add(decided.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64, Ordering::Relaxed);
            }
        }
        let widths = WIDTHS.each_ref().map(|width| width.load(Ordering::Relaxed));
        if widths[0] > 500 {
            prop_assert!(widths[1] * 100 > widths[0], "too few hops take anything away to show anything: {widths:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..config(15) })]

    /// Whatever the world: what is no chain is denied, and nobody was asked.
    #[test]
    fn what_is_no_chain_is_always_denied(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let builder = world.builder().limits(Limits::default().with_delegation_actors(2)).clock(move || now);
        let Ok(authorizer) = builder.build() else { return Ok(()) };
        for ask in asks {
            let (a, b) = (("Agent", "a"), ("Agent", "b"));
            let principal = (ask.principal.0.as_str(), ask.principal.1.as_str());
            let second = Duration::from_secs(1);
            let mut actors = vec![a, b];
            let (expected, from, to) = match tape.below(6) {
                0 => { actors.push(("Agent", "c")); (Outcome::DelegationTooLong, None, None) }
                1 => { actors[1] = a; (Outcome::DelegationCycle, None, None) }
                2 => { actors[1] = principal; (Outcome::DelegationCycle, None, None) }
                3 => (Outcome::DelegationExpired, None, Some(now)),
                4 => (Outcome::DelegationNotYetValid, Some(now + second), None),
                _ => { actors.clear(); (Outcome::DelegationExpired, Some(now), Some(now - second)) }
            };
            let actors: Vec<EntityUidRef<'_>> = actors.into_iter().map(EntityUidRef::from).collect();
            let mut delegation = Delegation::new(&actors);
            if let Some(from) = from { delegation = delegation.not_before(from); }
            if let Some(to) = to { delegation = delegation.expires(to); }
            ask.with_request(|request| {
                let request = request.delegation(&delegation);
                let response = authorizer.is_authorized(&request);
                prop_assert_eq!(response.outcome(), expected);
                prop_assert_eq!(response.decision(), Decision::Deny);
                prop_assert_eq!(response.determining().len(), 0);
                let hops = response.delegation().unwrap();
                prop_assert!(hops.hops().all(|hop| hop.outcome().is_none()));
                prop_assert_eq!(hops.hops().len(), actors.len() + 1);
                prop_assert!(!authorizer.is_allowed(&request));
                Ok(())
            })?;
        }
    }
}

const POLICIES: &str = r#"
    permit(principal == User::"ann", action, resource)
    unless { context has actor && !(context.actor in Fleet::"ours") };
    permit(principal is Agent, action == Action::"read", resource)
    when { context.onBehalfOf is User };
    forbid(principal is Agent, action, resource)
    when { context has via && context.via == Agent::"shredder" };
"#;

const ENTITIES: &str = r#"[
    { "uid": { "type": "Agent", "id": "planner" }, "attrs": {}, "parents": [{ "type": "Fleet", "id": "ours" }] },
    { "uid": { "type": "Agent", "id": "searcher" }, "attrs": {}, "parents": [{ "type": "Fleet", "id": "ours" }] },
    { "uid": { "type": "Agent", "id": "shredder" }, "attrs": {}, "parents": [{ "type": "Fleet", "id": "ours" }] }
]"#;

fn read<'a>(delegation: &'a Delegation<'a>) -> Request<'a> {
    Request::new(("User", "ann"), ("Action", "read"), ("Doc", "plan")).delegation(delegation)
}

fn agents<const N: usize>(ids: [&'static str; N]) -> [EntityUidRef<'static>; N] {
    ids.map(|id| EntityUidRef::new("Agent", id))
}

fn named<'a>(actors: &'a [EntityUidRef<'a>]) -> Delegation<'a> {
    Delegation::new(actors)
        .actor_as("actor")
        .subject_as("onBehalfOf")
        .delegator_as("via")
}

#[test]
fn policies_see_what_the_host_names() {
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .build()
        .unwrap();
    let outcomes = |actors: &[EntityUidRef<'_>]| {
        let delegation = named(actors);
        let request = read(&delegation);
        let response = authorizer.is_authorized(&request);
        let hops = response.delegation().unwrap().hops();
        let hops: Vec<_> = hops.map(|hop| hop.outcome().unwrap()).collect();
        let policies = response.determining();
        let policies: Vec<_> = policies.map(|policy| policy.id().to_string()).collect();
        (hops, policies)
    };
    use Outcome::{Allowed, Forbidden, NoPermit};
    let allowed = outcomes(&agents(["planner", "searcher"]));
    assert_eq!(
        allowed,
        (
            vec![Allowed; 3],
            vec!["policy0".to_owned(), "policy1".to_owned()]
        )
    );
    // Who acts in the end is not one of ours: that is the owner's business.
    assert_eq!(outcomes(&agents(["stranger"])).0, [NoPermit, Allowed]);
    let (hops, policies) = outcomes(&agents(["shredder", "planner"]));
    assert_eq!(hops, [Allowed, Allowed, Forbidden]);
    assert_eq!(policies, ["policy2"]);
    // Nobody tells the agents' policies for whom they act: that they cannot be evaluated is no permit.
    let actors = agents(["planner"]);
    let delegation = Delegation::new(&actors);
    let request = read(&delegation);
    let response = authorizer.is_authorized(&request);
    assert_eq!(response.outcome(), NoPermit);
    assert_eq!(response.errors().len(), 1);
}

#[test]
fn a_context_cannot_pretend() {
    let authorizer = Authorizer::builder().policies(POLICIES).build().unwrap();
    let actors = agents(["planner"]);
    let delegation = named(&actors);
    let prepared = authorizer.prepare(&read(&delegation));
    assert_eq!(prepared.unwrap_err().part(), RequestPart::Delegation);
    for name in ["actor", "onBehalfOf", "via"] {
        let context = json!({ name: { "__entity": { "type": "User", "id": "ann" } } }).to_string();
        let request = read(&delegation).context_json(&context);
        let response = authorizer.is_authorized(&request);
        assert_eq!(response.outcome(), Outcome::InvalidRequest, "{name}");
        let error = response.request_error().unwrap();
        assert_eq!(error.part(), RequestPart::Delegation);
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        assert!(!authorizer.is_allowed(&request));
        // Nor where nobody acts.
        let delegation = named(&[]);
        let request = read(&delegation).context_json(&context);
        let response = authorizer.is_authorized(&request);
        assert_eq!(response.outcome(), Outcome::InvalidRequest, "{name}");
    }
    let nobody = named(&[]);
    assert!(authorizer.is_allowed(&read(&nobody)));
    // And neither can one name be two things.
    let twice = Delegation::new(&actors).actor_as("x").subject_as("x");
    assert_eq!(
        authorizer.is_authorized(&read(&twice)).outcome(),
        Outcome::InvalidRequest
    );
    // An actor whose type is none.
    let actors = [EntityUidRef::new("Agent ", "planner")];
    let delegation = named(&actors);
    let request = read(&delegation);
    let response = authorizer.is_authorized(&request);
    let error = response.request_error().unwrap();
    assert_eq!(error.entity().unwrap().as_ref(), actors[0]);
}

/// Where no policy asks for what the host names, most of a context is not even copied.
#[test]
fn a_context_cannot_pretend_to_what_no_policy_reads() {
    let builder = || Authorizer::builder().policies("permit (principal, action, resource);");
    let (plain, recording) = (builder(), builder().sink(MemorySink::new(10)));
    for authorizer in [plain, recording].map(|builder| builder.build().unwrap()) {
        for name in ["actor", "onBehalfOf", "via"] {
            let context = BTreeMap::from([(name, "ceo")]);
            let json = json!(context).to_string();
            for actors in [&agents(["planner"])[..], &[]] {
                let delegation = named(actors);
                let request = read(&delegation);
                assert!(authorizer.is_allowed(&request));
                for request in [request.context(&context), request.context_json(&json)] {
                    let response = authorizer.is_authorized(&request);
                    assert_eq!(response.outcome(), Outcome::InvalidRequest, "{name}");
                    assert!(!authorizer.is_allowed(&request));
                    let denied = authorizer.grant(&request).unwrap_err();
                    assert_eq!(denied.outcome(), Outcome::InvalidRequest);
                }
            }
        }
    }
}

#[test]
fn the_schema_is_held_to_for_every_hop() {
    let schema = |principals: &str, context: &str| {
        format!(
            "entity User; entity Agent; entity Doc;
             action read appliesTo {{ principal: [{principals}], resource: Doc, context: {{ {context} }} }};"
        )
    };
    let ask = |schema: &str| {
        let authorizer = Authorizer::builder()
            .policies("permit(principal, action, resource);")
            .schema_str(schema)
            .validate_requests(true)
            .build()
            .unwrap();
        let actors = agents(["planner"]);
        let delegation = named(&actors);
        let request = read(&delegation);
        let [response, json] = [request, request.context_json("{}")]
            .map(|request| authorizer.is_authorized(&request).to_owned());
        assert_eq!(
            (response.outcome, &response.request_error),
            (json.outcome, &json.request_error)
        );
        (
            response.outcome,
            response.request_error.map(|error| error.to_string()),
        )
    };
    // What the chain adds is there, whoever else is asked for it.
    for context in [
        "actor?: Agent, onBehalfOf?: User, via?: User",
        "actor: Agent, onBehalfOf: User, via?: User",
    ] {
        let found = ask(&schema("User, Agent", context));
        assert_eq!(found, (Outcome::Allowed, None), "{context}");
    }
    let context = "actor?: Agent, onBehalfOf?: User, via?: User";
    let (outcome, error) = ask(&schema("User", context));
    assert_eq!(outcome, Outcome::InvalidRequest);
    assert!(error.unwrap().contains("Agent"));
    let (outcome, _) = ask(&schema("User, Agent", "actor?: Agent, onBehalfOf?: User"));
    assert_eq!(outcome, Outcome::InvalidRequest);
}

/// A batch takes chains and direct requests in any order.
#[test]
fn batches_take_chains() {
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .build()
        .unwrap();
    let (good, bad) = (agents(["planner"]), agents(["stranger"]));
    let (good, bad) = (named(&good), named(&bad));
    let direct = Request::new(("User", "ann"), ("Action", "read"), ("Doc", "plan"));
    let requests = [read(&bad), direct, read(&good), read(&bad), direct];
    let mut found = Vec::new();
    authorizer
        .pin()
        .is_authorized_batch(requests, |_, response| {
            let hops = response.delegation().map(|chain| chain.hops().len());
            found.push((response.is_allowed(), hops));
        });
    let (chain, none) = (Some(2), None);
    assert_eq!(
        found,
        [
            (false, chain),
            (true, none),
            (true, chain),
            (false, chain),
            (true, none)
        ]
    );
}

/// Time is one for all hops: in their contexts, for the chain's bounds, and for the age of what each hop rests on.
#[test]
fn hops_share_the_clock() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let seconds = Arc::new(AtomicU64::new(0));
    let clock = {
        let seconds = Arc::clone(&seconds);
        move || start + Duration::from_secs(seconds.load(Ordering::Relaxed))
    };
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal is User, action, resource) when { context.now < datetime("1970-01-02") };
               permit(principal is Agent, action, resource)
               when { context.now < datetime("1970-01-02") && principal.good && context.actor == principal };"#,
        )
        .entities(r#"[{ "uid": { "type": "Agent", "id": "a" }, "attrs": { "good": true }, "parents": [] }]"#)
        .clock(clock)
        .context_time("now")
        .freshness(duramen::Freshness::new().max_age_of_type("Agent", Duration::from_secs(100)))
        .build()
        .unwrap();
    let actors = agents(["a"]);
    let delegation = named(&actors).expires(start + Duration::from_secs(500));
    let at = |second| {
        seconds.store(second, Ordering::Relaxed);
        let request = read(&delegation);
        let response = authorizer.is_authorized(&request);
        let explained = response.explain(&request);
        assert_eq!(explained.outcome, response.outcome());
        assert_eq!(authorizer.explain(&request), explained);
        assert_eq!(authorizer.is_allowed(&request), response.is_allowed());
        let hops = response.delegation().unwrap().hops();
        let hops: Vec<_> = hops.map(|hop| hop.outcome()).collect();
        (response.outcome(), hops)
    };
    let allowed = Some(Outcome::Allowed);
    assert_eq!(at(0), (Outcome::Allowed, vec![allowed, allowed]));
    // What the agent's hop rests on is too old, the user's rests on nothing stored.
    let stale = Outcome::StaleEntities;
    assert_eq!(at(101), (stale, vec![allowed, Some(stale)]));
    assert_eq!(at(500), (Outcome::DelegationExpired, vec![None, None]));
}
