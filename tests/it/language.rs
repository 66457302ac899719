//! The language, operator by operator: each row of `language.txt` is an expression and what Cedar makes of it.
//!
//! An expression stands as the condition of a policy of its own, so that one decision evaluates all of them:
//! a policy that applies is a determining one, one that fails has its error. The expectations are written down
//! so that a change of Cedar's shows as a change; the oracle is asked all the same.

use super::oracle::{Answer, Ask, World, ours, reproduction, tunings};
use super::value::{EntityData, Record, Uid, Val, uid};

const ROWS: &str = include_str!("language.txt");

/// An expression and its outcome: `true`, `false` or the name of an error.
fn rows() -> Vec<(&'static str, &'static str)> {
    ROWS.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (outcome, expression) = line.split_once(" | ").unwrap();
            (expression, outcome.trim())
        })
        .collect()
}

fn record<const N: usize>(fields: [(&str, Val); N]) -> Record {
    fields.map(|(key, value)| (key.to_owned(), value)).into()
}

fn text(text: &str) -> Val {
    Val::Str(text.to_owned())
}

fn entities() -> Vec<EntityData> {
    let entity = |of: Uid, attrs: Record, parents: &[(&str, &str)]| EntityData {
        uid: of,
        attrs,
        tags: Record::new(),
        parents: parents.iter().map(|(ty, id)| uid(ty, id)).collect(),
    };
    let mut alice = entity(
        uid("User", "alice"),
        record([
            ("n", Val::Long(7)),
            ("s", text("text")),
            ("flag", Val::Bool(true)),
            ("weird key", Val::Long(1)),
            ("manager", Val::Entity(uid("User", "bob"))),
            (
                "set",
                Val::Set(vec![Val::Long(3), Val::Long(1), Val::Long(2)]),
            ),
            (
                "groups",
                Val::Set(vec![
                    Val::Entity(uid("Group", "other")),
                    Val::Entity(uid("Group", "eng")),
                ]),
            ),
            ("keys", Val::Set(vec![text("k99"), text("k12")])),
            ("dec", Val::Decimal("0.75".to_owned())),
            ("born", Val::Datetime("1990-05-17".to_owned())),
            ("dur", Val::Duration("1d2h".to_owned())),
            (
                "addr",
                Val::Record(record([
                    ("city", text("Paris")),
                    ("zip", Val::Long(75_001)),
                    ("geo", Val::Record(record([("lat", Val::Long(1))]))),
                ])),
            ),
        ]),
        &[("Group", "eng")],
    );
    alice.tags = record([("role", text("admin")), ("level", Val::Long(5))]);
    vec![
        alice,
        entity(uid("User", "bob"), record([("n", Val::Long(1))]), &[]),
        entity(uid("Group", "eng"), Record::new(), &[("Group", "staff")]),
        entity(uid("Group", "staff"), Record::new(), &[]),
        entity(
            uid("Doc", "d"),
            record([("owner", Val::Entity(uid("User", "alice")))]),
            &[("Folder", "root")],
        ),
        entity(uid("Action", "view"), Record::new(), &[("Action", "read")]),
        entity(uid("Action", "read"), Record::new(), &[]),
    ]
}

fn ask() -> Ask {
    Ask {
        context: record([
            ("n", Val::Long(1)),
            ("role", text("role")),
            ("text", text("1.5")),
            ("ghost", Val::Entity(uid("User", "ghost"))),
            ("rec", Val::Record(record([("a", Val::Long(1))]))),
            ("addr", Val::Ip("192.168.7.7".to_owned())),
            ("now", Val::Datetime("2024-06-01T09:30:00Z".to_owned())),
        ]),
        ..Ask::new(uid("User", "alice"), uid("Action", "view"), uid("Doc", "d"))
    }
}

fn outcome_of(answer: &Answer, policy: &str) -> String {
    let Answer::Decided {
        determining,
        errors,
        ..
    } = answer
    else {
        panic!("{answer:?}");
    };
    match errors.get(policy) {
        Some(kind) => kind.as_str().to_owned(),
        None => determining.contains(policy).to_string(),
    }
}

fn world(rows: &[(&str, &str)]) -> World {
    let policies = rows.iter().map(|(expression, _)| {
        format!("permit(principal, action, resource) when {{ {expression} }};\n")
    });
    World {
        policies: policies.collect(),
        entities: entities(),
        ..World::default()
    }
}

#[test]
fn every_expression_means_what_it_means_in_cedar() {
    let rows = rows();
    assert!(rows.len() > 150);
    let world = world(&rows);
    let oracle = world.oracle().unwrap();
    let asks = [
        ask(),
        Ask {
            typed: true,
            ..ask()
        },
    ];
    let cedars = oracle.decide(&asks[0]);
    for (number, (expression, expected)) in rows.iter().enumerate() {
        let found = outcome_of(&cedars, &format!("policy{number}"));
        assert_eq!(found, *expected, "what Cedar makes of {expression}");
    }
    for tuning in tunings() {
        let authorizer = world.builder().tuning(tuning).build().unwrap();
        for ask in &asks {
            let found = ask.with_request(|request| ours(&authorizer.is_authorized(request)));
            for (number, row) in rows.iter().enumerate() {
                let policy = format!("policy{number}");
                let (found, expected) = (outcome_of(&found, &policy), outcome_of(&cedars, &policy));
                if found != expected {
                    let world = self::world(&[*row]);
                    let what = format!(
                        "{tuning:?}: found {found}, Cedar says {expected}: {}",
                        row.0
                    );
                    panic!("{}", reproduction(&world, Some(ask), &what));
                }
            }
            assert_eq!(found, cedars);
        }
    }
}

/// `unless` and `forbid` turn a condition round; an error stays an error.
#[test]
fn conditions_can_be_turned_round() {
    let rows = rows();
    let turned = |head: &str, clause: &str| {
        let policies = rows.iter().map(|(expression, _)| {
            format!("{head}(principal, action, resource) {clause} {{ {expression} }};\n")
        });
        World {
            policies: policies.collect(),
            ..world(&[])
        }
    };
    for (head, clause) in [
        ("permit", "unless"),
        ("forbid", "when"),
        ("forbid", "when { principal.flag } unless"),
    ] {
        let world = turned(head, clause);
        let expected = world.oracle().unwrap().decide(&ask());
        let authorizer = world.builder().build().unwrap();
        let found = ask().with_request(|request| ours(&authorizer.is_authorized(request)));
        assert_eq!(found, expected, "{head} {clause}");
    }
}

/// Not expressions: what the parser refuses, Duramen refuses.
#[test]
fn what_cedar_does_not_parse_is_refused() {
    let rows = [
        "1 < 2 < 3",
        "-9223372036854775809 == 1",
        "9223372036854775808 == 1",
        "principal.contains()",
        "[1].contains(1, 2)",
        "isIpv4(ip(\"1.1.1.1\"))",
        "foo(1)",
        "principal.foo(1)",
        "{\"a\": 1, \"a\": 2} == {}",
        "\"a\\q\" == \"\"",
        "\"a\" like principal.s",
        "principal is \"User\"",
        "principal has 1",
        "1 / 2 == 0",
        "5 % 2 == 1",
        "principal = resource",
        "?principal == principal",
        "!!!!!true",
        "-----1 == 1",
        "if true then true",
        "unknown(\"x\")",
        "context.",
        "",
    ];
    for expression in rows {
        let world = world(&[(expression, "")]);
        assert!(world.oracle().is_err(), "Cedar parses {expression}");
        let error = world.builder().build().unwrap_err();
        let problems = error.compile_error().unwrap().problems();
        assert!(!problems.is_empty(), "{expression}");
    }
}
