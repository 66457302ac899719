//! Conditions as flat lists of steps and as trees: the same answers, the same errors, at the same places; Cedar's.

use super::alike::errors;
use super::oracle::{Ask, World, ours, reproduction};
use super::value::{EntityData, Record, Val, uid};
use duramen::Tuning;

/// What is compared: attributes of every type, and what is not there.
const OPERANDS: [&str; 9] = [
    "context.long",
    "context.least",
    "context.greatest",
    "context.text",
    "context.decimal",
    "context.datetime",
    "context.duration",
    "context.missing",
    "principal.long",
];

/// What it is compared with.
const CONSTANTS: [&str; 11] = [
    "5",
    "-9223372036854775808",
    "9223372036854775807",
    "\"text\"",
    "true",
    "decimal(\"1.5\")",
    "datetime(\"2024-06-01\")",
    "duration(\"1h\")",
    "User::\"alice\"",
    "[1, 5]",
    "principal.long",
];

const OPERATORS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// Receivers and arguments of methods.
const SUBJECTS: [&str; 9] = [
    "context.decimal",
    "context.ip",
    "context.set",
    "context.missing",
    "decimal(\"1.5\")",
    "decimal(\"922337203685477.5807\")",
    "decimal(\"-922337203685477.5808\")",
    "ip(\"10.0.0.0/8\")",
    "[1, 5]",
];

const METHODS: [&str; 8] = [
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
    "isInRange",
    "contains",
    "containsAll",
    "containsAny",
];

/// What has no constant to compare with.
const TESTS: [&str; 10] = [
    "context.text like \"te*\"",
    "context.long like \"te*\"",
    "context has long",
    "principal has long",
    "resource has long",
    "principal in context.entity",
    "principal in [context.entity]",
    "principal in context.long",
    "context.entity in principal",
    "principal.long in principal",
];

/// What makes jumps, and truth values that are none.
const SHAPES: [&str; 20] = [
    "context.flag && context.long < 6",
    "context.flag && context.long < 5",
    "!context.flag || context.long < 6",
    "!(context.flag && context.long < 6) || context.missing",
    "!(context.flag || context.missing)",
    "(context.flag && context.long == 4) || (context.long == 5 && context.flag)",
    "(context.long == 4 || context.flag) && (context.long == 5 || context.missing)",
    "!(context.long == 4 || !context.flag) && context.missing == 1",
    "if context.flag then context.long < 6 else context.missing",
    "if context.long < 5 then context.missing else context.flag",
    "if context.long < 5 then context.missing == 1 else context.long == 5",
    "if context.flag then context.long else context.flag",
    "if context.flag then (if context.long < 5 then true else context.long == 5) else false",
    "!(if context.flag then context.long == 5 else context.missing == 1)",
    "if context.missing then true else false",
    "context.long || true",
    "context.flag && context.long",
    "!context.long",
    "context.flag && (if context.flag then context.long else 1) == 5",
    "(context has missing && context.missing == 1) || context has long",
];

fn expressions() -> Vec<String> {
    let mut expressions: Vec<String> = SHAPES.iter().chain(&TESTS).map(|s| (*s).into()).collect();
    for operand in OPERANDS {
        for constant in CONSTANTS {
            for operator in OPERATORS {
                expressions.push(format!("{operand} {operator} {constant}"));
                expressions.push(format!("{constant} {operator} {operand}"));
            }
        }
    }
    for subject in SUBJECTS {
        for argument in SUBJECTS {
            for method in METHODS {
                expressions.push(format!("{subject}.{method}({argument})"));
            }
        }
    }
    expressions
}

fn record<const N: usize>(fields: [(&str, Val); N]) -> Record {
    fields.map(|(key, value)| (key.to_owned(), value)).into()
}

fn ask() -> Ask {
    let context = record([
        ("long", Val::Long(5)),
        ("least", Val::Long(i64::MIN)),
        ("greatest", Val::Long(i64::MAX)),
        ("text", Val::Str("text".to_owned())),
        ("flag", Val::Bool(true)),
        ("decimal", Val::Decimal("1.5".to_owned())),
        ("datetime", Val::Datetime("2024-06-01".to_owned())),
        ("duration", Val::Duration("1h".to_owned())),
        ("ip", Val::Ip("10.1.2.3".to_owned())),
        ("entity", Val::Entity(uid("User", "alice"))),
        ("set", Val::Set(vec![Val::Long(1), Val::Long(5)])),
    ]);
    let (alice, view, doc) = (uid("User", "alice"), uid("Action", "view"), uid("Doc", "d"));
    Ask {
        context,
        ..Ask::new(alice, view, doc)
    }
}

#[test]
fn steps_and_trees_agree_with_cedar() {
    let entity = EntityData {
        uid: uid("User", "alice"),
        attrs: record([("long", Val::Long(5))]),
        tags: Record::new(),
        parents: Vec::new(),
    };
    let asks = [
        ask(),
        Ask {
            context: record([
                ("long", Val::Str("long".to_owned())),
                ("flag", Val::Long(1)),
            ]),
            ..ask()
        },
        Ask::new(uid("User", "bob"), uid("Action", "view"), uid("Doc", "d")),
    ];
    let policies = expressions();
    assert!(policies.len() > 1500);
    let policies = policies.iter().map(|expression| {
        format!("permit(principal, action, resource) when {{ {expression} }};\n")
    });
    let world = World {
        policies: policies.collect(),
        entities: vec![entity],
        ..World::default()
    };
    let oracle = world.oracle().unwrap();
    let build = |tuning: Tuning| world.builder().tuning(tuning).build().unwrap();
    let all = Tuning::default().with_value_index(false);
    let steps = build(all);
    let tree = build(all.with_flat_conditions(false));
    for ask in &asks {
        let expected = oracle.decide(ask);
        for authorizer in [&steps, &tree] {
            let found = ask.with_request(|request| ours(&authorizer.is_authorized(request)));
            if found != expected {
                let what = reproduction(&world, Some(ask), "differs from Cedar");
                panic!("{}", what.lines().take(40).collect::<Vec<_>>().join("\n"));
            }
        }
        assert_eq!(errors(&steps, ask), errors(&tree, ask));
    }
}
