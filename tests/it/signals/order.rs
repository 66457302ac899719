//! Whatever the order in which signals come, what is left of them is the same.

use super::*;

/// A claim that is the attribute `role`, too.
const SAME_ATTRIBUTE: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/role";

fn role() -> impl Strategy<Value = Json> {
    prop::sample::select(vec![
        json!("r0"),
        json!("r1"),
        json!("1"),
        json!(1),
        json!(["1"]),
    ])
}

/// Events about one user and two sessions, at times that collide.
fn events() -> impl Strategy<Value = Vec<Json>> {
    let kinds = prop_oneof![
        Just((RISC, "account-disabled", json!({}))),
        Just((RISC, "account-enabled", json!({}))),
        Just((RISC, "account-enabled", json!({}))),
        Just((RISC, "account-purged", json!({}))),
        Just((
            RISC,
            "credential-compromise",
            json!({ "credential_type": "pin" })
        )),
        Just((RISC, "opt-in", json!({}))),
        Just((RISC, "opt-out-effective", json!({}))),
        Just((CAEP, "session-revoked", json!({}))),
        Just((CAEP, "session-presented", json!({}))),
        (0..3_usize).prop_map(|level| (
            CAEP,
            "risk-level-change",
            json!({ "principal": "USER", "current_level": (["LOW", "MEDIUM", "HIGH"][level]) })
        )),
        (role(), prop::option::of(role())).prop_map(|(role, other)| {
            let mut claims = json!({ "role": role });
            if let Some(other) = other {
                claims[SAME_ATTRIBUTE] = other;
            }
            (CAEP, "token-claims-change", json!({ "claims": claims }))
        }),
        (1..4_u8).prop_map(|level| (
            CAEP,
            "assurance-level-change",
            json!({ "namespace": "NIST-AAL", "current_level": format!("nist-aal{level}") })
        )),
    ];
    let event =
        (kinds, 1..6_u64, any::<bool>()).prop_map(|((base, event, said), at, of_session)| {
            let may_be_session = base == CAEP && event != "risk-level-change";
            let subject = if of_session && may_be_session {
                opaque("elsewhere")
            } else {
                iss_sub(IDP, "jane.smith@example.com")
            };
            token(IDP, US, at, subject, &format!("{base}{event}"), said)
        });
    prop::collection::vec(event, 1..9)
}

/// What there is of the entities that the events are about.
fn state(authorizer: &Authorizer) -> Vec<bool> {
    let times = ["lastSeen", "revokedAt", "sessionsRevokedAt"];
    let mut conditions: Vec<String> = Vec::new();
    for name in times {
        for at in 1..6 {
            conditions.push(format!(
                "principal has {name} && principal.{name} == datetime(\"1970-01-01T00:00:0{at}Z\")"
            ));
        }
    }
    for flag in ["revoked", "enabled", "purged", "compromised"] {
        conditions.push(format!("principal has {flag} && principal.{flag}"));
        conditions.push(format!("principal has {flag}"));
    }
    for number in ["riskLevel", "aal"] {
        for level in 1..4 {
            conditions.push(format!(
                "principal has {number} && principal.{number} == {level}"
            ));
        }
    }
    for (name, value) in [
        ("role", "\"r0\""),
        ("role", "\"r1\""),
        ("role", "\"1\""),
        ("role", "1"),
        ("role", "[\"1\"]"),
        ("riscState", "\"opt-in\""),
        ("riscState", "\"opt-out\""),
    ] {
        conditions.push(format!(
            "principal has {name} && principal.{name} == {value}"
        ));
    }
    // One policy for each, so that one decision for each entity tells all of them.
    let mut policies = duramen::Policies::new();
    for condition in &conditions {
        policies = policies.text(format!(
            "permit(principal, action, resource) when {{ {condition} }};"
        ));
    }
    authorizer.replace_policies(policies).unwrap();
    let mut state = Vec::new();
    for who in [
        ("User", "jane.smith@example.com"),
        ("Session", "elsewhere"),
        ("Session", "on-laptop"),
    ] {
        let request = Request::new(who, ("Action", "a"), ("R", "r"));
        let response = authorizer.is_authorized(&request);
        let found: Vec<_> = response
            .determining()
            .map(|policy| policy.id().clone())
            .collect();
        state.extend(
            (0..conditions.len())
                .map(|at| found.iter().any(|id| id.as_str() == format!("policy{at}"))),
        );
    }
    state
}

/// Claims of one attribute and moment come to the same in one token and in two, whatever their order and their types.
#[test]
fn claims_of_one_moment_come_to_the_same_in_any_order() {
    let values = [
        json!("a"),
        json!("z"),
        json!("1"),
        json!(1),
        json!(true),
        json!("true"),
        json!(["a", "b"]),
        json!(["a\u{0}b"]),
        json!([]),
        json!([""]),
    ];
    let after = |tokens: &[Json]| {
        let (authorizer, receiver) = (store(), receiver());
        for (at, claims) in tokens.iter().enumerate() {
            let event = format!("{CAEP}token-claims-change");
            let mut token = token(
                IDP,
                US,
                9,
                opaque("elsewhere"),
                &event,
                json!({ "claims": claims }),
            );
            token["jti"] = json!(at.to_string());
            let report = receiver.apply(&authorizer, &token.to_string()).unwrap();
            // What is not set is told.
            let claims = claims.as_object().unwrap().len();
            assert_eq!(
                report.changes().len() + report.ignored().len(),
                claims,
                "{report:#?}"
            );
        }
        serde_json::to_string(&authorizer.pin().entities()).unwrap()
    };
    for (at, one) in values.iter().enumerate() {
        for other in &values[at + 1..] {
            let expected = after(&[json!({ "role": one }), json!({ "role": other })]);
            for tokens in [
                vec![json!({ "role": other }), json!({ "role": one })],
                vec![json!({ "role": one, SAME_ATTRIBUTE: other })],
                vec![json!({ "role": other, SAME_ATTRIBUTE: one })],
            ] {
                assert_eq!(after(&tokens), expected, "{tokens:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::generate::config(30))]

    /// Whatever the order, and however often each comes.
    #[test]
    fn the_order_of_events_does_not_matter(events in events(), order in any::<prop::sample::Index>(), seed in any::<u64>()) {
        let run = |events: &[Json]| {
            let (authorizer, receiver) = (store(), receiver());
            for (at, event) in events.iter().enumerate() {
                let mut event = event.clone();
                // As another token, so that it is not just taken for a replay.
                event["jti"] = json!(at.to_string());
                receiver.apply(&authorizer, &event.to_string()).unwrap();
                if at == 0 {
                    prop_assert!(receiver.apply(&authorizer, &event.to_string()).unwrap().is_replay());
                }
            }
            Ok(state(&authorizer))
        };
        let expected = run(&events)?;
        let mut shuffled: Vec<Json> = events.iter().chain(&events).cloned().collect();
        let mut random = seed | 1;
        for at in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let with = usize::try_from(random >> 33).unwrap() % (at + 1);
            shuffled.swap(at, with);
        }
        let by = order.index(shuffled.len());
        shuffled.rotate_left(by);
        prop_assert_eq!(&run(&shuffled)?, &expected);
        // What revokes is not undone by anything that comes before or after.
        let revoked = |event: &Json| event["events"].get(format!("{CAEP}session-revoked")).is_some();
        if events.iter().any(|event| revoked(event) && event["sub_id"]["format"] == "opaque") {
            let authorizer = store();
            let receiver = receiver();
            for event in &shuffled {
                receiver.apply(&authorizer, &event.to_string()).unwrap();
            }
            prop_assert!(holds(&authorizer, ("Session", "elsewhere"), "principal.revoked"));
        }
    }
}
