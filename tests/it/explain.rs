//! Explanations: what they say of generated worlds is true, and what people read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use duramen::evidence::MemorySink;
use duramen::explain::{Clause, ExplainOptions, ExplainedPolicy, Explanation, Part};
use duramen::replay::{PolicyArchive, ReplayError};
use duramen::{
    Authorizer, Delegation, Effect, EntityUidRef, Outcome, Policies, PolicyUpdate, Request,
};
use proptest::prelude::*;

use crate::evidence::Scratch;
use crate::generate::{Tape, config, tape};
use crate::oracle::{Answer, Ask, World, reproduction};

fn everything() -> ExplainOptions {
    ExplainOptions::new()
        .with_policies(usize::MAX)
        .with_values(usize::MAX)
        .with_text_bytes(usize::MAX)
        .with_everything()
}

/// The oracle's answer, as the explanation tells it.
fn answer(explanation: &Explanation) -> Answer {
    if explanation.outcome == Outcome::InvalidRequest {
        return Answer::Invalid;
    }
    let ids = |part| {
        let policies = explanation.policies.iter();
        policies.filter(move |policy| policy.part == part)
    };
    Answer::Decided {
        allowed: explanation.outcome == Outcome::Allowed,
        determining: ids(Part::Determining)
            .map(|policy| policy.id.to_string())
            .collect(),
        errors: ids(Part::Failed)
            .map(|policy| (policy.id.to_string(), policy.error.unwrap()))
            .collect(),
    }
}

/// What the explanation says of expressions, as conditions and whether they hold.
fn claims(explanation: &Explanation) -> Vec<(String, bool)> {
    let mut claims = Vec::new();
    for policy in &explanation.policies {
        if let (Part::Unmet, Some(condition)) = (policy.part, &policy.condition) {
            claims.push((
                condition.expression.clone(),
                condition.clause == Clause::Unless,
            ));
        }
        for reason in &policy.reasons {
            if let Some(truth) = reason.truth {
                claims.push((reason.expression.clone(), truth));
            }
            for seen in &reason.values {
                let (expression, value) = (&seen.expression, &seen.value);
                claims.push((format!("({expression}) == ({value})"), true));
            }
        }
    }
    claims
}

/// Asks each of the claims, in the same world.
pub(crate) fn check_claims(
    world: &World,
    ask: &Ask,
    claims: &[(String, bool)],
) -> Result<(), String> {
    let mut policies = String::new();
    for (claim, _) in claims {
        let _ = writeln!(
            policies,
            "permit(principal, action, resource) when {{ {claim}\n }};"
        );
    }
    let world = World {
        policies,
        links: Vec::new(),
        ..world.clone()
    };
    let authorizer = world.builder().build().map_err(|error| error.to_string())?;
    let answer =
        ask.with_request(|request| crate::oracle::ours(&authorizer.is_authorized(request)));
    let Answer::Decided {
        determining,
        errors,
        ..
    } = answer
    else {
        return Err("the request is refused now".into());
    };
    for (number, (claim, truth)) in claims.iter().enumerate() {
        let id = format!("policy{number}");
        if errors.contains_key(&id) {
            return Err(format!("`{claim}` fails, and was said to be {truth}"));
        }
        if determining.contains(&id) != *truth {
            return Err(format!("`{claim}` is not {truth}"));
        }
    }
    Ok(())
}

/// What an explanation says of each policy, without the lines of the source: the archive has only the policy's own.
fn said(explanation: &Explanation) -> BTreeMap<String, ExplainedPolicy> {
    let policies = explanation.policies.iter().cloned().map(|mut policy| {
        policy
            .source
            .iter_mut()
            .for_each(|source| source.lines.clear());
        (policy.id.to_string(), policy)
    });
    policies.collect()
}

proptest! {
    #![proptest_config(config(30))]

    #[test]
    fn what_is_said_is_so(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let (Ok(oracle), Ok(authorizer)) = (world.oracle(), world.builder().build()) else { return Ok(()) };
        for ask in &asks {
            let explanation = ask.with_request(|request| authorizer.explain_with(request, &everything()));
            let failed = |what: &str| reproduction(&world, Some(ask), &format!("{what}\n{explanation:#?}\n{explanation}"));
            let expected = oracle.decide(ask);
            prop_assert_eq!(answer(&explanation), expected.clone(), "{}", failed("verdicts"));
            if expected == Answer::Invalid {
                prop_assert!(explanation.request_error.is_some());
                continue;
            }
            prop_assert_eq!(explanation.policies.len(), authorizer.policy_count(), "{}", failed("policies"));
            for policy in &explanation.policies {
                let told = match policy.part {
                    Part::Unmet => policy.condition.is_some() && !policy.reasons.is_empty(),
                    Part::Failed => policy.reasons.len() == 1 && policy.reasons[0].truth.is_none(),
                    Part::OutOfScope => !policy.scope.is_empty(),
                    _ => true,
                };
                prop_assert!(told, "{}", failed("nothing is told"));
                for reason in &policy.reasons {
                    prop_assert!(reason.place.is_some(), "{}", failed("no place"));
                }
            }
            if let Err(what) = check_claims(&world, ask, &claims(&explanation)) {
                prop_assert!(false, "{}", failed(&what));
            }
            // A response tells the same, and the usual amount is a part of it that says why something is denied.
            let usual = ask.with_request(|request| {
                let response = authorizer.is_authorized(request);
                assert_eq!(response.explain_with(request, &everything()), explanation, "response");
                response.explain(request)
            });
            let permits = explanation.policies.iter().any(|policy| policy.effect == Effect::Permit);
            prop_assert!(!usual.policies.is_empty() || !permits, "{}", failed("no reason"));
            prop_assert!(usual.policies.len() <= 25);
            let _ = usual.to_string();
        }
    }

    /// The record has what the explanation needs.
    #[test]
    fn a_record_explains_the_same(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let sink = Arc::new(MemorySink::new(100));
        let Ok(authorizer) = world.builder().sink(Arc::clone(&sink)).build() else { return Ok(()) };
        let update = PolicyUpdate::new().add("added", "permit(principal, action, resource) when { context.n > 1 };");
        authorizer.update_policies(update).unwrap();
        let directory = Scratch::new();
        let archive = PolicyArchive::open(directory.path()).unwrap();
        let policies = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
        let mut explanations = Vec::new();
        for ask in &asks {
            explanations.push(ask.with_request(|request| {
                authorizer.is_authorized(request).explain_with(request, &everything())
            }));
        }
        for (record, live) in sink.records().iter().zip(&explanations) {
            match policies.explain_with(record, &everything()) {
                Ok(explained) => {
                    prop_assert_eq!(explained.outcome, live.outcome);
                    prop_assert_eq!(said(&explained), said(live), "{}", reproduction(&world, None, &format!("{record:#?}")));
                }
                Err(error) => {
                    prop_assert!(matches!(error, ReplayError::NotReplayable(_)), "{}", error);
                    prop_assert_eq!(live.outcome, Outcome::InvalidRequest);
                }
            }
        }
    }
}

const WORLD: &str = r#"[
    { "uid": { "type": "User", "id": "ann" },
      "attrs": { "level": 2, "teams": ["blue", "red"], "boss": { "__entity": { "type": "User", "id": "bob" } } },
      "tags": { "site": "north" }, "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 9 }, "parents": [] }
]"#;

/// The explanation of what `ann` may do where there are these policies.
fn explain(policies: impl Into<Policies>, options: &ExplainOptions) -> Explanation {
    let authorizer = Authorizer::builder()
        .policies(policies)
        .entities(WORLD)
        .build()
        .unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"))
        .context_json(r#"{ "mfa": false, "hour": 20, "from": { "net": "x" } }"#);
    authorizer.explain_with(&request, options)
}

/// The tests that a condition rests on.
fn tests_of(condition: &str) -> Vec<Test<String>> {
    let text = format!("permit(principal, action, resource) {condition};");
    let explanation = explain(text.as_str(), &ExplainOptions::new());
    let reasons = explanation.policies[0].reasons.iter();
    let test = |reason: &duramen::explain::Reason| {
        let values = reason.values.iter();
        let values = values.map(|seen| format!("{} is {}", seen.expression, seen.value));
        (reason.expression.clone(), reason.truth, values.collect())
    };
    reasons.map(test).collect()
}

/// A test as it is written, what it came to, and the values that it met.
type Test<S> = (S, Option<bool>, Vec<String>);

/// What decides is told, through everything that can decide, and nothing that was not looked at.
#[test]
fn the_tests_that_decide_are_told() {
    let level = || vec!["principal.level is 2".to_owned()];
    let cases: [(&str, Vec<Test<&str>>); 17] = [
        // Of a conjunction the first that is false.
        (
            "when { principal.level > 1 && principal.level > 3 && context.mfa }",
            vec![("principal.level > 3", Some(false), level())],
        ),
        // Of a disjunction all, and the one that holds where it must not.
        (
            "when { context.mfa || principal.level > 3 }",
            vec![
                ("context.mfa", Some(false), vec![]),
                ("principal.level > 3", Some(false), level()),
            ],
        ),
        (
            "unless { context.mfa || principal.level < 3 }",
            vec![("principal.level < 3", Some(true), level())],
        ),
        (
            "unless { principal.level < 3 || context.nope }",
            vec![("principal.level < 3", Some(true), level())],
        ),
        (
            "when { !(principal.level < 3) }",
            vec![("principal.level < 3", Some(true), level())],
        ),
        // `&&` within `!`: both made it true.
        (
            "when { !(principal.level < 3 && !context.mfa) }",
            vec![
                ("principal.level < 3", Some(true), level()),
                ("context.mfa", Some(false), vec![]),
            ],
        ),
        // Within others, of a conjunction the one that is false.
        (
            "when { context.mfa || (principal.level < 3 && principal.level > 3) }",
            vec![
                ("context.mfa", Some(false), vec![]),
                ("principal.level > 3", Some(false), level()),
            ],
        ),
        (
            "when { !(!(context.mfa && principal.level < 3)) }",
            vec![("context.mfa", Some(false), vec![])],
        ),
        (
            "unless { !(context.mfa || principal.level < 3) || principal.level == 2 }",
            vec![("principal.level == 2", Some(true), level())],
        ),
        // A guard that says no, and what it guards is not looked at.
        (
            "when { principal has age && principal.age > 3 }",
            vec![(
                "principal has age",
                Some(false),
                vec!["principal is User::\"ann\"".into()],
            )],
        ),
        (
            "when { if context.mfa then context.nope else principal.level == 3 }",
            vec![
                ("context.mfa", Some(false), vec![]),
                ("principal.level == 3", Some(false), level()),
            ],
        ),
        (
            "when { principal.boss.level < principal.level }",
            vec![(
                "principal.boss.level < principal.level",
                Some(false),
                vec![
                    "principal.boss.level is 9".into(),
                    "principal.boss is User::\"bob\"".into(),
                    "principal.level is 2".into(),
                ],
            )],
        ),
        (
            "when { principal.teams.contains(\"green\") }",
            vec![(
                "principal.teams.contains(\"green\")",
                Some(false),
                vec!["principal.teams is [\"blue\", \"red\"]".into()],
            )],
        ),
        (
            "when { principal.getTag(\"site\") like \"s*\" }",
            vec![(
                "principal.getTag(\"site\") like \"s*\"",
                Some(false),
                vec![
                    "principal.getTag(\"site\") is \"north\"".into(),
                    "principal is User::\"ann\"".into(),
                ],
            )],
        ),
        // What fails, and what it failed on.
        (
            "when { context.mfa || principal.nope }",
            vec![(
                "principal.nope",
                None,
                vec!["principal is User::\"ann\"".into()],
            )],
        ),
        (
            "when { principal.level + context.from.net > 1 }",
            vec![(
                "principal.level + context.from.net",
                None,
                vec![
                    "principal.level is 2".into(),
                    "context.from.net is \"x\"".into(),
                    "context.from is {net: \"x\"}".into(),
                ],
            )],
        ),
        // What was computed when the policies were loaded.
        (
            "unless { 1 + 1 == 2 }",
            vec![("1 + 1 == 2", Some(true), vec![])],
        ),
    ];
    for (condition, expected) in cases {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(expression, truth, values)| (expression.to_owned(), truth, values))
            .collect();
        assert_eq!(tests_of(condition), expected, "{condition}");
    }
}

/// The nearest first: those in scope by how many conditions are left, the others by the sides that do not match.
#[test]
fn the_nearest_permits_come_first() {
    let text = r#"
        permit(principal == User::"eve", action == Action::"edit", resource);
        permit(principal, action, resource) when { context.mfa && context.hour < 18 };
        permit(principal, action == Action::"view", resource == Doc::"other");
        permit(principal in Group::"staff", action, resource) when { context.hour > 8 && context.mfa };
        permit(principal in Group::"staff", action == Action::"view", resource == Doc::"other");
        forbid(principal == User::"eve", action, resource);
        permit(principal, action, resource) when { context.nope };
    "#;
    let explanation = explain(text, &ExplainOptions::new());
    let order: Vec<_> = explanation
        .policies
        .iter()
        .map(|policy| (policy.id.as_str(), policy.part))
        .collect();
    let expected = [
        ("policy6", Part::Failed),
        ("policy3", Part::Unmet),
        ("policy1", Part::Unmet),
        ("policy4", Part::OutOfScope),
        ("policy2", Part::OutOfScope),
        ("policy0", Part::OutOfScope),
    ];
    assert_eq!(order, expected);
    let sides = |number: usize| {
        let scope = explanation.policies[number].scope.iter();
        scope
            .map(|miss| miss.expression.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(sides(3), ["resource == Doc::\"other\""]);
    assert_eq!(
        sides(5),
        ["principal == User::\"eve\"", "action == Action::\"edit\""]
    );

    let few = explain(text, &ExplainOptions::new().with_policies(1));
    assert_eq!(few.policies.len(), 3);
    assert_eq!(
        few.left_out,
        BTreeMap::from([(Part::Unmet, 1), (Part::OutOfScope, 2)])
    );
    assert!(
        few.to_string()
            .contains("2 more whose scope does not match")
    );
    let none = explain(text, &ExplainOptions::new().with_policies(0));
    assert_eq!((none.outcome, none.policies.len()), (Outcome::NoPermit, 0));
    assert!(
        !none.to_string().contains("there is no permit at all"),
        "{none}"
    );
    let everything = explain(text, &everything());
    let ids: BTreeSet<_> = everything
        .policies
        .iter()
        .map(|policy| policy.id.as_str())
        .collect();
    assert_eq!(ids.len(), 7);
}

/// What a person reads, of a link and of a forbid, from files and without any.
#[test]
fn explanations_read_well() {
    let directory = Scratch::new();
    std::fs::create_dir_all(directory.path()).unwrap();
    let file = directory.path().join("guards.cedar");
    let text = "// Guards.\n\n@id(\"mfa\")\n@owner(\"security\")\nforbid (principal, action, resource)\nunless {\n\tcontext.mfa ||\n\tcontext.hour <\n\t  18\n};\n";
    std::fs::write(&file, text).unwrap();
    let policies = Policies::new()
        .file(&file)
        .text("@id(\"reader\") permit (principal == ?principal, action, resource in ?resource);")
        .ids_from_annotations()
        .link(
            "reader",
            "ann-reads",
            Some(("User", "ann").into()),
            Some(("Folder", "f").into()),
        );
    let explanation = explain(policies, &ExplainOptions::new());
    let expected = r#"deny: forbidden by policy
principal User::"ann", action Action::"view", resource Doc::"plan"

forbid mfa applies
    @id("mfa")
    @owner("security")
 --> FILE:5:1
5 | forbid (principal, action, resource)
7 | <TAB>context.mfa ||
  | <TAB>^^^^^^^^^^^ is false
8 | <TAB>context.hour <
  | <TAB>^^^^^^^^^^^^^^ is false
  | <TAB>where context.hour is 20

permit ann-reads (link of reader) does not apply: it is for another resource
    @id("reader")
 --> 1:15
1 | @id("reader") permit (principal == ?principal, action, resource in ?resource);
  |                                                        ^^^^^^^^^^^^^^^^^^^^^ the resource is Doc::"plan"
"#;
    let shown = explanation.to_string().replace('\t', "<TAB>");
    let shown = shown.replace(&file.display().to_string(), "FILE");
    assert_eq!(shown, expected, "{shown}");
    assert_eq!(
        explanation.policies[1].scope[0].expression,
        "resource in Folder::\"f\""
    );

    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["policies"][0]["part"], "determining");
    assert_eq!(json["policies"][0]["source"]["line"], 5);
    assert_eq!(json["policies"][0]["reasons"][0]["truth"], false);

    let nobody = explain("", &ExplainOptions::new()).to_string();
    assert!(nobody.contains("there is no permit at all"), "{nobody}");
}

/// However much there is, an explanation stays small.
#[test]
fn an_explanation_is_bounded() {
    let long = format!("\"{}\"", "x".repeat(2_000));
    let mut text = String::new();
    for number in 0..20 {
        let alternatives: Vec<_> = (0..30)
            .map(|n| {
                format!(
                    "context.from.net == {long} || context.hour == {}",
                    n + 100 + number
                )
            })
            .collect();
        let _ = writeln!(
            text,
            "permit(principal, action, resource) when {{ {} }};",
            alternatives.join(" || ")
        );
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .build()
        .unwrap();
    let context = format!(
        r#"{{ "hour": 1, "from": {{ "net": "{}" }} }}"#,
        "y".repeat(2_000)
    );
    let request =
        Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan")).context_json(&context);
    let explanation = authorizer.explain(&request);
    assert_eq!(explanation.policies.len(), 5);
    let bytes = serde_json::to_string(&explanation).unwrap().len();
    assert!(bytes < 50_000, "{bytes}");
    assert!(explanation.to_string().len() < 50_000);
}

/// Brackets as deep as policies may have them, and chains as long.
#[test]
fn deep_policies_are_explained() {
    let brackets = format!("{}context.mfa{}", "(".repeat(198), ")".repeat(198));
    let nots = format!("{}context.mfa{}", "!(".repeat(99), ")".repeat(99));
    let chain = vec!["context.mfa"; 900].join(" || ");
    for (condition, tests) in [(brackets, 1), (nots, 1), (chain, 16)] {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let explanation = explain(text.as_str(), &ExplainOptions::new());
        let reasons = &explanation.policies[0].reasons;
        assert_eq!(reasons.len(), tests);
        assert_eq!(reasons[0].expression, "context.mfa");
    }
}

#[test]
fn a_request_that_is_refused_says_so() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let request =
        Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan")).context_json("[");
    let explanation = authorizer.explain(&request);
    assert_eq!(explanation.outcome, Outcome::InvalidRequest);
    assert!(
        explanation.to_string().contains("the request is not valid"),
        "{explanation}"
    );
    assert_eq!(
        authorizer.is_authorized(&request).explain(&request),
        explanation
    );
}

/// What a schema requires and the authorizer adds, a JSON context need not have for its answer to be explained, either.
#[test]
fn what_is_added_to_a_context_is_there_when_it_is_explained() {
    let authorizer = Authorizer::builder()
        .schema_str(
            "entity User, Agent, Doc;
             action read appliesTo { principal: [User, Agent], resource: Doc,
                                     context: { now: __cedar::datetime, actor: Agent, mfa: __cedar::Bool } };",
        )
        .policies(r#"permit(principal, action, resource) when { context.mfa && context.now > datetime("1970-01-02") };"#)
        .context_time("now")
        .validate_requests(true)
        .build()
        .unwrap();
    let actors = [EntityUidRef::new("Agent", "planner")];
    let chain = Delegation::new(&actors).actor_as("actor");
    for (context, outcome) in [
        (r#"{ "mfa": true }"#, Outcome::Allowed),
        (r#"{ "mfa": false }"#, Outcome::NoPermit),
    ] {
        let request = Request::new(("User", "ann"), ("Action", "read"), ("Doc", "plan"));
        let request = request.context_json(context).delegation(&chain);
        let response = authorizer.is_authorized(&request);
        for explanation in [response.explain(&request), authorizer.explain(&request)] {
            assert_eq!(explanation.request_error, None);
            assert_eq!(explanation.outcome, outcome);
            assert_eq!(explanation.policies.len(), 1);
        }
    }
}

/// A record that says something else is explained, and the difference told.
#[test]
fn an_altered_record_is_told() {
    let directory = Scratch::new();
    let sink = Arc::new(MemorySink::new(1));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) when { context.hour < 18 };")
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    let policies = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(!authorizer.is_allowed(&request.context_json(r#"{ "hour": 20 }"#)));
    let mut record = sink.records().remove(0);
    assert_eq!(
        policies.explain(&record).unwrap().policies[0].part,
        Part::Unmet
    );
    record.outcome = Outcome::Allowed;
    let Err(ReplayError::Different { explanation, .. }) = policies.explain(&record) else {
        panic!("the difference is not told");
    };
    assert_eq!(explanation.outcome, Outcome::NoPermit);
    record.inputs = None;
    assert!(matches!(
        policies.explain(&record),
        Err(ReplayError::NotReplayable(_))
    ));
}
