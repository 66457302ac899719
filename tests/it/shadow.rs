//! A shadow decides as if it were in force, and changes nothing.

use std::sync::Arc;

use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, MemorySink, QueueSink, SinkError, Wants,
};
use duramen::{
    Authorizer, Decision, Delegation, EnforcementMode, EntityUidRef, EntityUpdate, Outcome,
    PolicyUpdate, Request,
};
use proptest::prelude::*;

use crate::entity_updates::add;
use crate::generate::{Tape, config, tape};
use crate::oracle::{Ask, ours, reproduction, uid_ref};
use crate::value::Uid;

proptest! {
    #![proptest_config(config(40))]

    /// Beside a shadow everything is as without one; and what the shadow decides is what its policies decide on the same
    /// entities, before and after these are updated.
    #[test]
    fn a_shadow_decides_beside(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let (other, more) = tape.world();
        // Some of them with actors, who may well be the principal again.
        let asks: Vec<(Ask, Vec<Uid>)> = asks.into_iter().chain(more).map(|ask| {
            let actors = (0..tape.below(3)).map(|_| tape.uid()).collect();
            (ask, actors)
        }).collect();
        let changes = tape.changes();
        let sink = Arc::new(MemorySink::new(1000));
        let Ok(plain) = world.builder().build() else { return Ok(()) };
        let beside = world.builder().sink(Arc::clone(&sink)).build().unwrap();
        let quiet = world.builder().build().unwrap();
        let Ok(alone) = Authorizer::builder().policies(other.policies()).build() else { return Ok(()) };
        alone.replace_entities(crate::value::entities_json(&world.entities).as_str()).unwrap();
        for authorizer in [&beside, &quiet] {
            authorizer.set_shadow(other.policies()).unwrap();
            prop_assert_eq!(authorizer.policy_count(), plain.policy_count());
            prop_assert_eq!(authorizer.version().policies(), plain.version().policies());
        }
        let mut differences = 0;
        let mut expected = [0; 3];
        for round in 0..3 {
            match round {
                0 => {}
                1 => {
                    let update = || changes.iter().fold(EntityUpdate::new(), add);
                    let done = plain.update_entities(update());
                    for authorizer in [&beside, &quiet, &alone] {
                        prop_assert_eq!(authorizer.update_entities(update()).is_ok(), done.is_ok());
                    }
                }
                _ => {
                    // Replaced policies leave the shadow alone.
                    let update = || PolicyUpdate::new().add("added", "forbid(principal, action, resource) when { context.n > 1 };");
                    for authorizer in [&plain, &beside, &quiet] {
                        authorizer.update_policies(update()).unwrap();
                    }
                }
            }
            for ask in &asks {
                let (answer, is_allowed) = asked(ask, |request| {
                    let response = plain.is_authorized(request);
                    (ours(&response), response.is_allowed())
                });
                let found = asked(ask, |request| ours(&beside.is_authorized(request)));
                prop_assert_eq!(&found, &answer);
                prop_assert_eq!(asked(ask, |request| quiet.is_allowed(request)), is_allowed);
                let shadow = asked(ask, |request| alone.is_authorized(request).to_owned());
                if matches!(shadow.outcome, Outcome::InvalidRequest | Outcome::DelegationCycle) {
                    continue;
                }
                let would_allow = shadow.outcome == Outcome::Allowed;
                expected[usize::from(is_allowed != would_allow) * (1 + usize::from(is_allowed))] += 1;
                if is_allowed == would_allow {
                    continue;
                }
                differences += 1;
                let records = sink.records();
                let [.., enforced, record] = &records[..] else { panic!("no record") };
                let fail = |what: &str| Err(TestCaseError::fail(
                    reproduction(&world, Some(&ask.0), &format!("{what}: {record:#?}\n{enforced:#?}\n{shadow:#?}"))));
                if record.mode != EnforcementMode::Shadow || enforced.mode != EnforcementMode::Enforce {
                    return fail("mode");
                }
                let link = record.enforced.unwrap();
                let is_linked = link.sequence == enforced.sequence
                    && link.outcome == enforced.outcome
                    && record.instance == enforced.instance
                    && record.time == enforced.time;
                let policies: Vec<_> = record.determining.iter().map(|policy| &policy.id).collect();
                let errors: Vec<_> = record.errors.iter().map(|error| (&error.id, error.kind)).collect();
                let is_right = record.outcome == shadow.outcome
                    && policies.iter().copied().eq(&shadow.determining)
                    && errors.iter().copied().eq(shadow.errors.iter().map(|(id, kind)| (id, *kind)))
                    && record.version.policies() == alone.version().policies();
                let hops = record.delegation.as_ref().map_or(0, |chain| chain.hops.len());
                let is_whole = hops == if ask.1.is_empty() { 0 } else { 1 + ask.1.len() };
                if !is_linked || !is_right || !is_whole {
                    return fail("content");
                }
            }
        }
        let kept = sink.records();
        let shadows = kept.iter().filter(|record| record.mode == EnforcementMode::Shadow);
        prop_assert_eq!(shadows.count(), differences);
        for authorizer in [&beside, &quiet] {
            let counts = authorizer.clear_shadow().unwrap();
            prop_assert_eq!([counts.agreed, counts.newly_allowed, counts.newly_denied], expected);
            prop_assert_eq!(counts.failed, 0);
            prop_assert!(authorizer.shadow().is_none());
        }
    }
}

/// Calls `ask` with the request and who acts for its principal.
fn asked<R>((ask, actors): &(Ask, Vec<Uid>), ask_it: impl FnOnce(&Request<'_>) -> R) -> R {
    let actors: Vec<_> = actors.iter().map(uid_ref).collect();
    let delegation = Delegation::new(&actors);
    ask.with_request(|request| match actors.is_empty() {
        true => ask_it(request),
        false => ask_it(&request.delegation(&delegation)),
    })
}

/// A chain that the shadow decides otherwise is recorded with every hop, also of whom it would stop.
#[test]
fn a_shadow_decides_chains() {
    let sink = Arc::new(MemorySink::new(10));
    let authorizer = Authorizer::builder()
        .policies(OPEN)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    authorizer.set_shadow(CLOSED).unwrap();
    let bot = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&bot);
    assert!(authorizer.is_allowed(&view("ann").delegation(&delegation)));
    let circle = [EntityUidRef::new("User", "ann")];
    let circle = Delegation::new(&circle);
    assert!(!authorizer.is_allowed(&view("ann").delegation(&circle)));
    let counts = authorizer.shadow().unwrap();
    assert_eq!((counts.agreed, counts.newly_denied), (0, 1));
    let records = sink.records();
    assert_eq!(records.len(), 3);
    let record = &records[1];
    assert_eq!(record.enforced.unwrap().sequence, records[0].sequence);
    let hops = &record.delegation.as_ref().unwrap().hops;
    let outcomes: Vec<_> = hops.iter().map(|hop| hop.outcome.unwrap()).collect();
    assert_eq!(outcomes, [Outcome::Allowed, Outcome::NoPermit]);
    assert_eq!(record.outcome, Outcome::NoPermit);
    assert!(hops[1].inputs.is_some() && record.inputs.is_some());
}

const OPEN: &str = "permit(principal, action, resource);";
const CLOSED: &str = r#"permit(principal == User::"ann", action, resource);"#;

fn view(user: &str) -> Request<'_> {
    Request::new(("User", user), ("Action", "view"), ("Doc", "plan"))
}

#[test]
fn a_shadow_is_set_replaced_and_cleared() {
    let authorizer = Authorizer::builder().policies(OPEN).build().unwrap();
    assert!(authorizer.shadow().is_none());
    let version = authorizer.version();
    assert!(authorizer.clear_shadow().is_none());
    assert_eq!(authorizer.version(), version, "nothing was ended");
    authorizer.set_shadow(CLOSED).unwrap();
    assert!(authorizer.is_allowed(&view("bob")));
    let counts = authorizer.shadow().unwrap();
    assert_eq!((counts.agreed, counts.newly_denied), (0, 1));
    assert_eq!(counts.differences(), 1);
    // What cannot be loaded changes nothing.
    let version = authorizer.version();
    let error = authorizer.set_shadow("permit(principal").unwrap_err();
    assert_eq!(error.problems().len(), 1);
    assert_eq!(authorizer.version(), version);
    assert_eq!(authorizer.shadow(), Some(counts));
    // It lives through what happens to what is in force, entities and policies.
    let ann = r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": {}, "parents": [] }]"#;
    authorizer.replace_entities(ann).unwrap();
    authorizer.replace_all(OPEN, ann).unwrap();
    authorizer.replace_policies(OPEN).unwrap();
    assert!(authorizer.is_allowed(&view("ann")));
    let counts = authorizer.shadow().unwrap();
    assert_eq!((counts.agreed, counts.newly_denied), (1, 1));
    assert_eq!(
        counts.version.entity_revision(),
        authorizer.version().entity_revision()
    );
    // Another begins anew.
    authorizer.set_shadow(OPEN).unwrap();
    assert_eq!(authorizer.shadow().unwrap().agreed, 0);
    assert!(authorizer.is_allowed(&view("bob")));
    assert_eq!(authorizer.clear_shadow().unwrap().agreed, 1);
}

/// Whole contexts are copied for a shadow that looks at them whole, also names that nobody else knows; and a request that
/// was prepared before there was a shadow knows what its policies mention.
#[test]
fn a_shadow_sees_all_of_a_request() {
    #[derive(serde::Serialize)]
    struct Context {
        stranger: u8,
    }
    let authorizer = Authorizer::builder().policies(OPEN).build().unwrap();
    let context = Context { stranger: 1 };
    let request = view("zoe").context(&context);
    let mut prepared = authorizer.prepare(&request).unwrap();
    let mut scratch = duramen::Scratch::new();
    let mut session = authorizer.session();
    assert!(session.is_allowed(&request));
    for whole in [
        "permit(principal, action, resource) when { [context].contains({ stranger: 1 }) };",
        r#"permit(principal == User::"zoe", action, resource) when { context.stranger == 1 };"#,
    ] {
        authorizer.set_shadow(whole).unwrap();
        assert!(authorizer.is_allowed(&request));
        assert!(session.is_allowed(&request));
        assert!(session.is_authorized(&request).is_allowed());
        assert!(authorizer.pin().is_allowed(&request));
        assert!(
            authorizer
                .is_authorized_prepared(&mut scratch, &mut prepared)
                .is_allowed()
        );
        let counts = authorizer.shadow().unwrap();
        assert_eq!((counts.agreed, counts.differences()), (5, 0), "{whole}");
    }
}

/// With a schema, a shadow's policies are validated as those in force are.
#[test]
fn a_shadow_is_validated() {
    let authorizer = Authorizer::builder()
        .schema_str(
            "entity User; entity Doc; action view appliesTo { principal: User, resource: Doc };",
        )
        .policies(OPEN)
        .build()
        .unwrap();
    let odd = "permit(principal, action, resource) when { principal.nope };";
    assert!(authorizer.set_shadow(odd).is_err());
    assert!(authorizer.shadow().is_none());
    authorizer.set_shadow(CLOSED).unwrap();
}

/// Keeps what is enforced and fails at what is not, in each of the ways there are.
struct Fails(&'static str, Delivery);

impl DecisionSink for Fails {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn delivery(&self) -> Delivery {
        self.1
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        match (record.mode(), self.0) {
            (EnforcementMode::Shadow, "error") => Err(SinkError::new("no")),
            (EnforcementMode::Shadow, _) => panic!("no"),
            _ => Ok(()),
        }
    }
}

#[test]
fn nothing_about_a_shadow_comes_to_the_caller() {
    for way in ["error", "panic"] {
        for delivery in [
            Delivery::CountLoss,
            Delivery::Block,
            Delivery::DenyIfNotKept,
        ] {
            let authorizer = Authorizer::builder()
                .policies(OPEN)
                .sink(Fails(way, delivery))
                .build()
                .unwrap();
            authorizer
                .set_shadow("forbid(principal, action, resource);")
                .unwrap();
            for _ in 0..3 {
                let response = authorizer.is_authorized(&view("bob"));
                assert_eq!(response.outcome(), Outcome::Allowed, "{way} {delivery:?}");
                assert_eq!(response.determining().count(), 1);
            }
            assert_eq!(authorizer.shadow().unwrap().newly_denied, 3);
        }
    }
}

/// Keeps what shadows say and nothing that is enforced.
#[derive(Default)]
struct ShadowsOnly(std::sync::Mutex<Vec<(Decision, Outcome)>>);

impl DecisionSink for ShadowsOnly {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn delivery(&self) -> Delivery {
        Delivery::DenyIfNotKept
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let enforced = record.enforced().ok_or(SinkError::new("no"))?;
        self.0
            .lock()
            .unwrap()
            .push((enforced.decision, enforced.outcome));
        Ok(())
    }
}

#[test]
fn a_shadows_record_says_what_was_enforced() {
    let sink = Arc::new(ShadowsOnly::default());
    let authorizer = Authorizer::builder()
        .policies(OPEN)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    authorizer
        .set_shadow("forbid(principal, action, resource);")
        .unwrap();
    let actors = [EntityUidRef::new("Agent", "bot")];
    let chain = Delegation::new(&actors);
    for request in [view("bob"), view("bob").delegation(&chain)] {
        let response = authorizer.is_authorized(&request);
        assert_eq!(response.outcome(), Outcome::EvidenceNotKept);
    }
    let denied = (Decision::Deny, Outcome::EvidenceNotKept);
    assert_eq!(*sink.0.lock().unwrap(), [denied, denied]);
    // What the policies say is compared, not what became of records.
    assert_eq!(authorizer.shadow().unwrap().newly_denied, 2);
}

/// Behind a queue a shadow's record keeps its own policies and the link.
#[test]
fn a_shadows_record_goes_through_a_queue() {
    let memory = Arc::new(MemorySink::new(10));
    let authorizer = Authorizer::builder()
        .policies(OPEN)
        .sink(QueueSink::new(Arc::clone(&memory)).unwrap())
        .build()
        .unwrap();
    authorizer
        .set_shadow(r#"@id("no") forbid(principal, action, resource);"#)
        .unwrap();
    assert!(authorizer.is_allowed(&view("bob")));
    drop(authorizer);
    let records = memory.records();
    assert_eq!(records.len(), 2);
    let link = records[1].enforced.unwrap();
    assert_eq!(
        (link.sequence, link.decision),
        (records[0].sequence, Decision::Allow)
    );
    assert_eq!(records[1].determining[0].effect, duramen::Effect::Forbid);
}
