//! Tests of policies: what the oracle says passes and nothing else does, and what coverage counts is so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use duramen::explain::Clause;
use duramen::testing::{Cases, Expected, PolicyTests};
use duramen::{
    Authorizer, Delegation, Entities, EntityUidRef, ErrorMode, Freshness, Outcome, Policies,
    Request,
};
use proptest::prelude::*;

use crate::explain::check_claims;
use crate::generate::{Tape, config, tape};
use crate::oracle::{Answer, reproduction};

/// What the oracle's answer expects of ours.
fn expected(answer: &Answer) -> Expected {
    match answer {
        Answer::Invalid => Expected::deny().outcome(Outcome::InvalidRequest),
        Answer::Decided {
            allowed,
            determining,
            errors,
        } => {
            let expected = if *allowed {
                Expected::allow()
            } else {
                Expected::deny()
            };
            expected
                .by(determining.iter().map(String::as_str))
                .errors(errors.keys().map(String::as_str))
        }
    }
}

/// Expectations that differ from the answer in one thing.
fn wrong(answer: &Answer) -> Vec<Expected> {
    let Answer::Decided {
        allowed,
        determining,
        errors,
    } = answer
    else {
        return vec![Expected::deny(), Expected::allow()];
    };
    let answer = |allowed: bool, determining: &[String], errors: &[String]| {
        expected(&Answer::Decided {
            allowed,
            determining: determining.iter().cloned().collect(),
            errors: errors
                .iter()
                .map(|id| (id.clone(), duramen::ErrorKind::TypeError))
                .collect(),
        })
    };
    let determining: Vec<String> = determining.iter().cloned().collect();
    let errors: Vec<String> = errors.keys().cloned().collect();
    let more = |ids: &[String]| [ids, &["another".to_owned()]].concat();
    let mut wrong = vec![
        answer(!allowed, &determining, &errors),
        answer(*allowed, &more(&determining), &errors),
        answer(*allowed, &determining, &more(&errors)),
        answer(*allowed, &determining, &errors).outcome(Outcome::InvalidRequest),
    ];
    if let [_, rest @ ..] = &determining[..] {
        wrong.push(answer(*allowed, rest, &errors));
    }
    if let [_, rest @ ..] = &errors[..] {
        wrong.push(answer(*allowed, &determining, rest));
    }
    wrong
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn what_the_oracle_says_passes(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let (Ok(oracle), Ok(authorizer)) = (world.oracle(), world.builder().build()) else { return Ok(()) };
        for ask in &asks {
            let answer = oracle.decide(ask);
            let report = ask.with_request(|request| {
                PolicyTests::new(&authorizer).case("as it is", request, expected(&answer)).report()
            });
            let failed = |what: &str| reproduction(&world, Some(ask), &format!("{what}\n{report}\n{:#?}", report.coverage));
            prop_assert!(report.is_passed(), "{}", failed("not passed"));
            for wrong in wrong(&answer) {
                let report = ask.with_request(|request| {
                    PolicyTests::new(&authorizer).case("wrong", request, wrong.clone()).report()
                });
                prop_assert!(!report.is_passed() && !report.to_string().is_empty(), "{}", failed(&format!("{wrong:?}")));
            }

            // What is counted of one request, the oracle and the request itself must confirm.
            let mut claims = Vec::new();
            for policy in &report.coverage.policies {
                let (decided, fails) = match &answer {
                    Answer::Invalid => (false, false),
                    Answer::Decided { determining, errors, .. } =>
                        (determining.contains(policy.id.as_str()), errors.contains_key(policy.id.as_str())),
                };
                prop_assert_eq!(policy.decided, u64::from(decided), "{}", failed("decided"));
                prop_assert_eq!(policy.failed, u64::from(fails), "{}", failed("failed"));
                prop_assert!(policy.applied >= policy.decided && policy.in_scope >= policy.applied, "{}", failed("order"));
                for condition in &policy.conditions {
                    prop_assert!(condition.was_true + condition.was_false + condition.failed <= policy.in_scope);
                    let expression = &condition.condition.expression;
                    // What is longer is cut off.
                    if !expression.ends_with('…') && condition.was_true + condition.was_false > 0 {
                        claims.push((expression.clone(), condition.was_true > 0));
                    }
                }
                if policy.applied > 0 {
                    let holds = |clause| if clause == Clause::When { (1, 0) } else { (0, 1) };
                    for condition in &policy.conditions {
                        let counts = (condition.was_true, condition.was_false);
                        prop_assert_eq!(counts, holds(condition.condition.clause), "{}", failed("applied"));
                    }
                }
            }
            if answer == Answer::Invalid {
                continue;
            }
            if let Err(what) = check_claims(&world, ask, &claims) {
                prop_assert!(false, "{}", failed(&what));
            }
        }
    }

    /// Cases together count what they count alone.
    #[test]
    fn coverage_adds_up(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let Ok(authorizer) = world.builder().build() else { return Ok(()) };
        let run = |tests: PolicyTests, at: usize| asks[at].with_request(|request| tests.case("", request, Expected::deny()));
        let counts = |tests: PolicyTests| {
            let policies = tests.report().coverage.policies;
            let counts = policies.into_iter().flat_map(|policy| {
                let conditions = policy.conditions.into_iter();
                let conditions = conditions.flat_map(|c| [c.was_true, c.was_false, c.failed]);
                [policy.in_scope, policy.applied, policy.failed, policy.decided].into_iter().chain(conditions)
            });
            counts.collect::<Vec<u64>>()
        };
        let mut sum = counts(PolicyTests::new(&authorizer));
        prop_assert!(sum.iter().all(|count| *count == 0));
        for at in 0..asks.len() {
            for (sum, one) in sum.iter_mut().zip(counts(run(PolicyTests::new(&authorizer), at))) {
                *sum += one;
            }
        }
        let together = (0..asks.len()).fold(PolicyTests::new(&authorizer), run);
        prop_assert_eq!(counts(together), sum);
    }
}

fn quickstart() -> Authorizer {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    Authorizer::builder()
        .schema_file(home.join("schema.cedarschema"))
        .policies(
            Policies::new()
                .directory(home.join("policies"))
                .ids_from_annotations(),
        )
        .entities(Entities::new().json_file(home.join("entities.json")))
        .validate_requests(true)
        .build()
        .unwrap()
}

/// The policies of the example do what its cases say, and the cases leave nothing of them untried.
#[test]
fn the_policies_of_quickstart_pass() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    let cases = Cases::from_file(home.join("cases.json")).unwrap();
    let report = PolicyTests::new(&quickstart()).cases(&cases).report();
    report.assert_passed();
    report.coverage.assert_complete();
}

const POLICIES: &str = r#"@id("owners-edit")
permit (principal, action == Action::"edit", resource)
when { resource.owner == principal }
unless { context.hour < 8 };

@id("admins")
permit (principal in Group::"admins", action, resource);

@id("hold")
forbid (principal, action, resource)
when { resource has hold && resource.hold };
"#;

fn small() -> Authorizer {
    Authorizer::builder()
        .policies(Policies::new().text(POLICIES).ids_from_annotations())
        .entities(
            r#"[{ "uid": { "type": "Doc", "id": "plan" }, "parents": [],
                  "attrs": { "owner": { "__entity": { "type": "User", "id": "ann" } } } }]"#,
        )
        .build()
        .unwrap()
}

#[test]
fn a_failure_says_what_was_got_and_why() {
    let cases = Cases::from_json(
        r#"[
            { "name": "early",
              "request": { "principal": { "type": "User", "id": "ann" }, "action": "Action::\"edit\"",
                           "resource": "Doc::\"plan\"", "context": { "hour": 3 } },
              "decision": "allow", "reason": ["owners-edit"] },
            { "name": "held",
              "request": { "principal": "User::\"ann\"", "action": "Action::\"edit\"", "resource": "Doc::\"plan\"",
                           "context": { "hour": 9 } },
              "decision": "deny", "reason": ["hold"] },
            { "name": "fails",
              "request": { "principal": "User::\"ann\"", "action": "Action::\"edit\"", "resource": "Doc::\"plan\"" },
              "decision": "deny" }
        ]"#,
    )
    .unwrap();
    let report = PolicyTests::new(&small()).cases(&cases).report();
    assert_eq!(
        report.to_string(),
        r#"3 of 3 cases failed

"early" (case 1)
    expected allow, got deny: no permit matched
    expected determined by owners-edit, got no policy
    principal User::"ann", action Action::"edit", resource Doc::"plan"

    permit owners-edit does not apply: 1 of its 2 conditions holds
        @id("owners-edit")
     --> 2:1
    2 | permit (principal, action == Action::"edit", resource)
    4 | unless { context.hour < 8 };
      |          ^^^^^^^^^^^^^^^^ is true
      |          where context.hour is 3

    permit admins does not apply: it is for another principal
        @id("admins")
     --> 7:1
    7 | permit (principal in Group::"admins", action, resource);
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the principal is User::"ann"

"held" (case 2)
    expected deny, got allow: allowed
    expected determined by hold, got owners-edit
    principal User::"ann", action Action::"edit", resource Doc::"plan"

    permit owners-edit applies
        @id("owners-edit")
     --> 2:1
    2 | permit (principal, action == Action::"edit", resource)
    3 | when { resource.owner == principal }
      |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^ is true
      |        where resource.owner is User::"ann"
      |        where principal is User::"ann"
    4 | unless { context.hour < 8 };
      |          ^^^^^^^^^^^^^^^^ is false
      |          where context.hour is 9

    forbid hold does not apply: 0 of its 2 conditions hold
        @id("hold")
      --> 10:1
    10 | forbid (principal, action, resource)
    11 | when { resource has hold && resource.hold };
       |        ^^^^^^^^^^^^^^^^^ is false
       |        where resource is Doc::"plan"

"fails" (case 3)
    expected evaluation errors of no policy, got owners-edit
    principal User::"ann", action Action::"edit", resource Doc::"plan"

    permit owners-edit could not be evaluated: the record does not have the attribute
        @id("owners-edit")
     --> 2:1
    2 | permit (principal, action == Action::"edit", resource)
    4 | unless { context.hour < 8 };
      |          ^^^^^^^^^^^^ fails

    permit admins does not apply: it is for another principal
        @id("admins")
     --> 7:1
    7 | permit (principal in Group::"admins", action, resource);
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the principal is User::"ann"

coverage: 1 of 3 policies decided, 1 of 4 conditions were both true and false
"#
    );
}

#[test]
fn coverage_says_what_was_not_tried() {
    let request = Request::new(("User", "ann"), ("Action", "edit"), ("Doc", "plan"));
    let report = PolicyTests::new(&small())
        .case(
            "morning",
            &request.context_json(r#"{ "hour": 9 }"#),
            Expected::allow(),
        )
        .report();
    report.assert_passed();
    assert_eq!(
        report.coverage.to_string(),
        r#"policies that never decided:
    permit admins (line 7): its scope never matched
    forbid hold (line 10): its conditions never held
conditions that were never both true and false:
    permit owners-edit (line 2): never false: resource.owner == principal
    permit owners-edit (line 2): never true: context.hour < 8
    forbid hold (line 10): never true: resource has hold
    forbid hold (line 10): never evaluated: resource.hold
"#
    );
    assert!(!report.coverage.is_complete());
}

/// Of a chain that another hop's policies denied, no policy that applied was overruled.
#[test]
fn a_policy_that_applied_where_something_else_decided_is_called_that() {
    let policies = "permit(principal is User, action, resource);";
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();
    let actors = [EntityUidRef::new("Agent", "a")];
    let delegation = Delegation::new(&actors);
    let request = Request::new(("User", "ann"), ("Action", "edit"), ("Doc", "plan"));
    let report = PolicyTests::new(&authorizer)
        .case(
            "by an agent",
            &request.delegation(&delegation),
            Expected::deny(),
        )
        .report();
    report.assert_passed();
    assert_eq!(
        report.coverage.to_string(),
        "policies that never decided:\n    permit policy0 (line 1): it applied, and something else decided each time\n"
    );
}

#[test]
fn a_refusal_is_not_the_deny_that_was_expected() {
    let authorizer = quickstart();
    let misspelt = Request::new(("User", "bob"), ("Action", "reed"), ("Document", "audit"))
        .context_json(r#"{ "mfa": true, "sourceIp": "10.1.2.3" }"#);
    let run = |expected| {
        let tests = PolicyTests::new(&authorizer);
        tests.case("misspelt", &misspelt, expected).report()
    };
    let report = run(Expected::deny());
    let text = report.to_string();
    assert!(
        text.contains("expect the outcome `invalid_request`"),
        "{text}"
    );
    assert!(text.contains("reed"), "{text}");
    // Nothing was evaluated, so nothing was tried.
    assert!(
        report
            .coverage
            .policies
            .iter()
            .all(|policy| policy.in_scope == 0)
    );
    run(Expected::deny().outcome(Outcome::InvalidRequest)).assert_passed();
}

#[test]
fn those_who_act_for_somebody_are_asked_too() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"
            permit (principal is User, action, resource);
            permit (principal is Agent, action == Action::"read", resource) when { resource == Doc::"plan" };
            "#,
        )
        .build()
        .unwrap();
    let cases = Cases::from_json(
        r#"[
            { "name": "reads",
              "request": { "principal": "User::\"ann\"", "action": "Action::\"read\"", "resource": "Doc::\"plan\"",
                           "actors": ["Agent::\"scribe\""] },
              "decision": "allow", "reason": ["policy0", "policy1"] },
            { "name": "reads other things",
              "request": { "principal": "User::\"ann\"", "action": "Action::\"read\"", "resource": "Doc::\"diary\"",
                           "actors": ["Agent::\"scribe\""] },
              "decision": "deny", "reason": [] },
            { "name": "in a circle",
              "request": { "principal": "User::\"ann\"", "action": "Action::\"read\"", "resource": "Doc::\"diary\"",
                           "actors": ["User::\"ann\""] },
              "decision": "deny", "outcome": "delegation_cycle" }
        ]"#,
    )
    .unwrap();
    let report = PolicyTests::new(&authorizer).cases(&cases).report();
    report.assert_passed();
    report.coverage.assert_complete();
    let applied: Vec<u64> = report
        .coverage
        .policies
        .iter()
        .map(|policy| policy.applied)
        .collect();
    assert_eq!(applied, [2, 1]);
}

/// Policies that would have decided, had the store not been too old or an error not been a deny, are not tried.
#[test]
fn a_permit_that_never_allowed_has_not_decided() {
    let request = Request::new(("User", "ann"), ("Action", "read"), ("Doc", "plan"));
    let strict = Authorizer::builder()
        .policies(
            "permit(principal, action, resource); forbid(principal, action, resource) when { context.nope };",
        )
        .error_mode(ErrorMode::DenyOnForbidError)
        .build()
        .unwrap();
    let seconds = Arc::new(AtomicU64::new(1_000));
    let shown = Arc::clone(&seconds);
    let stale = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .freshness(Freshness::new().max_entity_age(Duration::from_secs(1)))
        .clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(shown.load(Ordering::Relaxed)))
        .build()
        .unwrap();
    let fresh = PolicyTests::new(&stale).case("", &request, Expected::allow());
    fresh.report().coverage.assert_complete();
    seconds.store(1_100, Ordering::Relaxed);
    for (authorizer, outcome) in [
        (strict, Outcome::EvaluationErrors),
        (stale, Outcome::StaleEntities),
    ] {
        let response = authorizer.is_authorized(&request);
        assert_eq!(response.determining().len(), 1);
        let errors = response
            .errors()
            .map(|error| error.policy().id().to_string());
        let expected = Expected::deny().outcome(outcome).errors(errors);
        let tests = PolicyTests::new(&authorizer).case("", &request, expected);
        let report = tests.report();
        report.assert_passed();
        let permit = &report.coverage.policies[0];
        assert_eq!((permit.applied, permit.decided), (1, 0), "{outcome:?}");
        assert!(!report.coverage.is_complete());
    }
}

/// A loop over nothing, say.
#[test]
#[should_panic(expected = "there were no cases")]
fn a_test_without_cases_fails() {
    PolicyTests::new(&small()).report().assert_passed();
}

#[test]
#[should_panic(expected = "1 of 1 cases failed")]
fn an_assertion_fails_with_the_report() {
    let request = Request::new(("User", "ann"), ("Action", "edit"), ("Doc", "plan"));
    let report = PolicyTests::new(&small())
        .case("", &request, Expected::allow())
        .report();
    report.assert_passed();
}

#[test]
fn what_is_no_case_is_refused_with_its_place() {
    let case = |members: &str| {
        format!(
            r#"[{{ "name": "first", {members},
                "request": {{ "principal": "User::\"ann\"", "action": "Action::\"edit\"", "resource": "Doc::\"plan\"" }} }}]"#
        )
    };
    let refusals = [
        ("[".to_owned(), "line 1, column 2"),
        ("[]".to_owned(), "there are no cases"),
        (case(r#""decision": "alow""#), "unknown variant `alow`"),
        (
            case(r#""decision": "allow", "decision": "deny""#),
            "has this key already",
        ),
        (
            case(r#""decision": "allow", "reasons": []"#),
            "unknown field `reasons`",
        ),
        (case(r#""reason": []"#), "missing field `decision`"),
        (
            case(r#""decision": "allow", "outcome": "forbidden""#),
            "case 1, \"first\": the outcome `forbidden`",
        ),
        (
            case(r#""decision": "allow", "errors": [], "num_errors": 0"#),
            "one is enough",
        ),
        (
            case(r#""decision": "allow""#).replace("User::", "User:"),
            "principal: \"User:\\\"ann\\\"\" is no entity uid",
        ),
    ];
    for (text, what) in refusals {
        let error = Cases::from_json(&text).unwrap_err().to_string();
        assert!(error.contains(what), "{text}\n{error}\n{what}");
    }
    let error = Cases::from_file("there/is/none.json").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("there/is/none.json: cannot be read")
    );
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(
        Cases::from_json(&case(r#""decision": "allow", "num_errors": 1"#))
            .unwrap()
            .len(),
        1
    );
}
