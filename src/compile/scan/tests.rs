use std::str::FromStr;

use cedar_policy::{Policy, PolicySet, Schema, ValidationMode, Validator};
use proptest::prelude::*;

use super::*;

fn scan_cedar(text: &str, limits: &Limits) -> Result<(), ScanError> {
    scan_policies(text, limits).map(|_| ())
}
use crate::compile::stack::with_parser_stack;

const SCHEMA: &str = r#"
    entity User { i: Long } tags Bool;
    action view appliesTo { principal: User, resource: User, context: { b: Bool } };
"#;

fn when(condition: &str) -> String {
    format!("permit (principal, action, resource) when {{ {condition} }};")
}

fn limit_hit(result: Result<(), ScanError>) -> Option<Limit> {
    result.err().map(|error| error.exceeded.limit())
}

/// The smallest `operator_chain` that lets the text through.
fn counted(text: &str) -> usize {
    let limits = Limits::default()
        .with_nesting(usize::MAX)
        .with_doubling(usize::MAX);
    (0..)
        .find(|&chain| scan_cedar(text, &limits.with_operator_chain(chain)).is_ok())
        .unwrap()
}

#[test]
fn bytes_are_limited_in_each_format() {
    let limits = Limits::default().with_input_bytes(8);
    for scan in [
        scan_cedar,
        scan_cedar_schema,
        scan_json_policies,
        scan_json_schema,
    ] {
        assert_eq!(scan("12345678", &limits), Ok(()));
        assert_eq!(
            limit_hit(scan("123456789", &limits)),
            Some(Limit::InputBytes)
        );
    }
}

#[test]
fn nesting_is_limited() {
    let limits = Limits::default().with_nesting(5);
    // `when {` is the first bracket.
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{a: ", "}"),
        ("([", "])"),
        ("f(", ")"),
    ] {
        let text = |n: usize| when(&format!("{}1{}", open.repeat(n), close.repeat(n)));
        let brackets = open.matches(['(', '[', '{']).count();
        assert_eq!(scan_cedar(&text(4 / brackets), &limits), Ok(()), "{open}");
        assert_eq!(
            limit_hit(scan_cedar(&text(4 / brackets + 1), &limits)),
            Some(Limit::Nesting),
            "{open}"
        );
    }
}

#[test]
fn brackets_side_by_side_do_not_nest() {
    let limits = Limits::default().with_nesting(4);
    let text = when(&format!(
        "[{}].contains(1)",
        "(1), [2], {a: 3}, ".repeat(1_000)
    ));
    assert_eq!(scan_cedar(&text, &limits), Ok(()));
}

#[test]
fn strings_and_comments_hold_no_brackets() {
    let limits = Limits::default().with_nesting(3).with_operator_chain(6);
    for text in [
        r#"context.a == "((((\"[[[[\\""#,
        "// ((((((( && && && \n true",
        "// ((((((( && && && \r true",
        r#"context.a like "&&&&||||!!!!....((((*""#,
        "// \"\n (true) // \"",
    ] {
        assert_eq!(scan_cedar(&when(text), &limits), Ok(()), "{text}");
    }
    // The quote ends at the escaped backslash; what follows is text again.
    assert_eq!(
        limit_hit(scan_cedar(&when(r#""\\" == (((1))) "#), &limits)),
        Some(Limit::Nesting)
    );
}

#[test]
fn chains_are_counted_along_the_deepest_path() {
    // 2 for the scope's bracket and that of `when`.
    for (condition, depth) in [
        ("true", 0),
        ("a && b && c", 2),
        ("a || b || c", 2),
        ("a && b || c && d || e && f", 3),
        ("1 + 2 - 3 * 4 == 5", 4),
        ("a.b.c.d", 3),
        (r#"a["b"]["c"]"#, 2),
        ("a has b", 1),
        ("a is T in b", 2),
        ("a > b", 2),
        ("a != b", 2),
        ("a <= b", 1),
        ("!!!a", 3),
        ("--a", 2),
        ("A::B::C::\"x\" == x", 1),
        ("if a then b else c", 1),
        ("if a then b else if c then d else if e then f else g", 3),
        ("if a && b then c.d.e.f else g || h", 4),
        ("[a && b, c && d, e.f.g.h]", 4),
        ("{a: 1 + 2, b: 3 + 4}", 2),
        ("(a && b) && c", 3),
        ("c && (a && b)", 3),
        ("a.b(c.d(e))", 4),
        ("(((a))) || ((b)) || c", 5),
    ] {
        assert_eq!(counted(&when(condition)), 2 + depth, "{condition}");
    }
}

/// Were a keyword taken for an operator where it is a name, the chain around it would be split in
/// two that count as one each.
#[test]
fn keywords_that_are_names_split_no_chain() {
    for name in [
        "context has if",
        "context has then",
        "context has has",
        "context.if",
        "context.then.else",
        "A::then::\"x\" == 1",
        "principal is then",
        "context.in.like.is.has",
    ] {
        let one = counted(&when(name));
        let chain = |n: usize| counted(&when(&vec![name; n].join(" && ")));
        assert_eq!(chain(50), one + 49, "{name}");
    }
    // The key `if` is taken for the operator, where there is nothing yet that it could split.
    assert_eq!(counted(&when("{if: 1 + 2, then: 2, else: 3} == x")), 2 + 4);
}

#[test]
fn clauses_of_a_policy_are_a_chain_and_policies_are_not() {
    let limits = Limits::default().with_operator_chain(101);
    let policy = |clauses: usize| {
        format!(
            "permit (principal, action, resource){};\n",
            " unless {true}".repeat(clauses)
        )
    };
    assert_eq!(scan_cedar(&policy(100).repeat(10), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_cedar(&policy(101), &limits)),
        Some(Limit::OperatorChain)
    );
    let annotated = format!("{}{}", r#"@note("x") "#.repeat(1_000), policy(10));
    assert_eq!(scan_cedar(&annotated, &limits), Ok(()));
}

/// Were these let through, the first would need 2^200 nodes and the second as much time.
#[test]
fn operands_that_double_are_limited() {
    let limits = Limits::default();
    let allowed = limits.doubling();
    for operator in [r#" is User in User::"u""#, " has a.b"] {
        let nested = |n: usize| around("(", &format!("{operator})"), n);
        assert_eq!(scan_cedar(&nested(allowed), &limits), Ok(()));
        for n in [allowed + 1, 100] {
            let hit = limit_hit(scan_cedar(&nested(n), &limits));
            assert_eq!(hit, Some(Limit::Doubling), "{operator} {n}");
        }
        run_cedar(&nested(allowed), true);
        let side_by_side = vec![format!("(context{operator})"); 300].join(" && ");
        assert_eq!(scan_cedar(&when(&side_by_side), &limits), Ok(()));
    }
    for key in ["is", "has", r"h\u0061s"] {
        let nested = |n: usize| {
            format!(
                r#"{}1{}"#,
                format!(r#"{{"{key}":{{"left":"#).repeat(n),
                "}}".repeat(n)
            )
        };
        assert_eq!(scan_json_policies(&nested(allowed), &limits), Ok(()));
        assert_eq!(
            limit_hit(scan_json_policies(&nested(allowed + 1), &limits)),
            Some(Limit::Doubling)
        );
        assert_eq!(scan_json_schema(&nested(allowed + 1), &limits), Ok(()));
    }
}

/// The error about such a `getTag` prints the argument, each branch twice.
#[test]
fn branches_in_tags_are_limited() {
    let limits = Limits::default();
    let allowed = limits.doubling();
    for (open, close) in [
        ("if true then ", " else \"b\""),
        ("if false then \"b\" else ", ""),
        ("(if true then ", " else \"b\")"),
        ("principal.getTag(if true then ", " else \"b\")"),
    ] {
        let nested = |n: usize| {
            let tag = format!("{}\"a\"{}", open.repeat(n), close.repeat(n));
            when(&format!("principal.getTag /* */ ({tag})").replace("/* */", "// (\n"))
        };
        run_cedar(&nested(allowed), true);
        let hit = limit_hit(scan_cedar(&nested(allowed + 1), &limits));
        assert_eq!(hit, Some(Limit::Doubling), "{open}");
        let elsewhere = nested(allowed + 1).replace("getTag", "hasTag");
        assert_eq!(scan_cedar(&elsewhere, &limits), Ok(()), "{open}");
    }
    let json = |n: usize| {
        let ifs = r#"{"if-then-else":{"then":"#.repeat(n);
        format!(r#"{{"getTag":{{"right":{ifs}1{}}}}}"#, "}}".repeat(n))
    };
    assert_eq!(scan_json_policies(&json(allowed), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_json_policies(&json(allowed + 1), &limits)),
        Some(Limit::Doubling)
    );
    let elsewhere = json(allowed + 1).replace("getTag", "hasTag");
    assert_eq!(scan_json_policies(&elsewhere, &limits), Ok(()));
}

#[test]
fn policies_are_counted() {
    let limits = Limits::default().with_policies(3);
    assert_eq!(scan_cedar(&when("true").repeat(3), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_cedar(&when("true").repeat(4), &limits)),
        Some(Limit::Policies)
    );
}

/// A mistake in one policy must be reported by Cedar as what it is.
#[test]
fn an_unclosed_bracket_does_not_reach_the_next_policy() {
    let text = "permit (principal, action, resource) when { ((true) };".repeat(1_000);
    assert_eq!(scan_cedar(&text, &Limits::default()), Ok(()));
}

#[test]
fn a_bracket_of_another_kind_closes_nothing() {
    let limits = Limits::default();
    for unit in ["{]:", "(]", "[)", "{):[}"] {
        let hit = limit_hit(scan_cedar(&when(&unit.repeat(100_000)), &limits));
        assert_eq!(hit, Some(Limit::Nesting), "{unit}");
    }
    assert_eq!(
        limit_hit(scan_json_policies(&"[}".repeat(100_000), &limits)),
        Some(Limit::Nesting)
    );
}

#[test]
fn schemas_are_limited() {
    let limits = Limits::default()
        .with_nesting(5)
        .with_operator_chain(12)
        .with_declarations(10);
    let sets = |n: usize| format!("type T = {}Long{};", "Set<".repeat(n), ">".repeat(n));
    assert_eq!(scan_cedar_schema(&sets(12), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_cedar_schema(&sets(13), &limits)),
        Some(Limit::OperatorChain)
    );
    let records = |n: usize| format!("type T = {}Long{};", "{ a?: ".repeat(n), "}".repeat(n));
    assert_eq!(scan_cedar_schema(&records(5), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_cedar_schema(&records(6), &limits)),
        Some(Limit::Nesting)
    );
    let entities = |n: usize| "@doc(\"x\") entity A in [B]; ".repeat(n);
    assert_eq!(scan_cedar_schema(&entities(10), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_cedar_schema(&entities(11), &limits)),
        Some(Limit::Declarations)
    );
}

/// Of declarations of several names, what each name has is counted, as if it had a declaration of its own.
#[test]
fn a_declaration_counts_for_each_of_its_names() {
    let several = [
        (
            "entity A, B, C { x: Long, y: Long };",
            "entity # { x: Long, y: Long };",
        ),
        (
            "entity A, B, C = { x: Long, y: Long } tags Set<Long>;",
            "entity # { x: Long, y: Long } tags Set<Long>;",
        ),
        ("entity A, B, C in [D, E, F];", "entity # in [D, E, F];"),
        (
            "entity A, B, C enum [\"(,;\", \"{\"];",
            "entity # enum [\"(,;\", \"{\"];",
        ),
        (
            "external entity A, B, C in [D, E];",
            "external entity # in [D, E];",
        ),
        ("action A, B, C in [d, e];", "action # in [d, e];"),
        (
            "@doc(\"x\") @namespace action A, B, C appliesTo { principal: [X, Y], resource: [Z], context: { a: { b: Long } } };",
            "@doc(\"x\") @namespace action # appliesTo { principal: [X, Y], resource: [Z], context: { a: { b: Long } } };",
        ),
    ];
    let counts = |text: &str, setter: fn(Limits, usize) -> Limits| {
        let passes =
            |allowed: &usize| scan_cedar_schema(text, &setter(Limits::default(), *allowed)).is_ok();
        (0..1_000).find(passes).unwrap()
    };
    for (together, each) in several {
        for around in [
            "#",
            "entity Z { a: Long }; #",
            "namespace A { entity namespace; # } @a namespace B {}",
        ] {
            let within = |text: &str| around.replace('#', text);
            let alone = ["A", "B", "C"].map(|name| each.replace('#', name)).concat();
            let (together, alone) = (within(together), within(&alone));
            // Brackets are counted as well where they are copied, and the names' own commas in place of a `;`.
            let (found, at_least) = (
                counts(&together, Limits::with_declarations),
                counts(&alone, Limits::with_declarations),
            );
            assert!(
                (at_least..=at_least + 12).contains(&found),
                "{together}: {found}, {at_least}"
            );
            // White space and comments are not copied, nor are the names and the keyword before them.
            let (found, at_most) = (counts(&together, Limits::with_input_bytes), alone.len());
            assert!(
                (at_most..=at_most + 72).contains(&(found + 60)),
                "{together}: {found}, {at_most}"
            );
        }
    }
    let names = "// a comment\n".repeat(20) + "entity A, B, C;";
    assert_eq!(counts(&names, Limits::with_declarations), 3);
    assert!(counts(&names, Limits::with_input_bytes) < names.len() + 20);
}

#[test]
fn json_is_limited() {
    let limits = Limits::default()
        .with_nesting(4)
        .with_operator_chain(3)
        .with_declarations(4);
    let nested = |n: usize| format!(r#"{}"[[[[\"{{{{"{}"#, "[".repeat(n), "]".repeat(n));
    for scan in [scan_json_policies, scan_json_schema] {
        assert_eq!(scan(&nested(4), &limits), Ok(()));
        assert_eq!(limit_hit(scan(&nested(5), &limits)), Some(Limit::Nesting));
    }
    let conditions =
        |key: &str, n: usize| format!(r#"{{"{key}": [{}]}}"#, vec!["{}"; n].join(", "));
    assert_eq!(
        scan_json_policies(&conditions("conditions", 3), &limits),
        Ok(())
    );
    for key in ["conditions", r"\u0063onditions"] {
        let hit = limit_hit(scan_json_policies(&conditions(key, 4), &limits));
        assert_eq!(hit, Some(Limit::OperatorChain));
    }
    assert_eq!(scan_json_policies(&conditions("Set", 100), &limits), Ok(()));
    assert_eq!(scan_json_schema(&conditions("a", 3), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_json_schema(&conditions("a", 4), &limits)),
        Some(Limit::Declarations)
    );
    let listed = |n: usize| format!(r#"{{"a": [{}]}}"#, vec!["\"b\""; n].join(", "));
    assert_eq!(scan_json_schema(&listed(3), &limits), Ok(()));
    assert_eq!(
        limit_hit(scan_json_schema(&listed(4), &limits)),
        Some(Limit::Declarations)
    );
}

/// Cedar puts the name of a namespace before each name in it, so its bytes count for each.
#[test]
fn the_name_of_a_namespace_counts_for_each_name_in_it() {
    let (name, filler) = ("A::".repeat(20) + "A", "x".repeat(300));
    for (prefix, one, end) in [
        (format!("namespace {name} {{"), "entity B;", "}"),
        (format!(r#"{{"{name}": {{"#), r#""B": 1, "#, r#""": 1}}"#),
    ] {
        let hit = |of: &str, limit: usize| {
            let limits = Limits::default().with_input_bytes(limit);
            limit_hit(match prefix.starts_with('{') {
                true => scan_json_schema(of, &limits),
                false => scan_cedar_schema(of, &limits),
            })
        };
        let written_out = |count: usize| {
            let text = format!("{prefix}{}{end}", one.repeat(count));
            let least = (text.len()..10_000).find(|limit| hit(&text, *limit).is_none());
            least.unwrap() - text.len()
        };
        assert!(
            written_out(20) - written_out(10) >= 10 * name.len(),
            "{prefix}"
        );
        // Behind the end of the namespace it counts no more.
        let text = format!("{prefix}{end}{filler}");
        assert_eq!(hit(&text, text.len() + 2 * name.len()), None, "{prefix}");
    }
}

#[test]
fn an_error_tells_where() {
    let error = scan_cedar("// ü\n\tü && ((1))", &Limits::default().with_nesting(1)).unwrap_err();
    assert_eq!((error.line, error.column, error.offset), (2, 8, 14));
    assert_eq!(
        error.exceeded.to_string(),
        "nesting is limited to 1, found 2 (raise it with Limits::with_nesting)"
    );
    let error = scan_json_policies("\"üü\"", &Limits::default().with_input_bytes(2)).unwrap_err();
    assert_eq!((error.line, error.column, error.offset), (1, 2, 1));
}

#[test]
fn hostile_depth_is_refused_by_name() {
    const DEEP: usize = 100_000;
    let limits = Limits::default();
    for (unit, limit) in [
        ("(", Limit::Nesting),
        ("[", Limit::Nesting),
        ("{a:", Limit::Nesting),
        ("!!!!", Limit::OperatorChain),
        ("----", Limit::OperatorChain),
        ("a && ", Limit::OperatorChain),
        ("a || ", Limit::OperatorChain),
        ("1 + ", Limit::OperatorChain),
        ("a.", Limit::OperatorChain),
        ("[\"a\"]", Limit::OperatorChain),
        ("if true then ", Limit::OperatorChain),
        ("if true then true else ", Limit::OperatorChain),
        ("if ", Limit::OperatorChain),
        ("!(", Limit::Nesting),
        ("a && (b || c.", Limit::Nesting),
    ] {
        assert_eq!(
            limit_hit(scan_cedar(&when(&unit.repeat(DEEP)), &limits)),
            Some(limit),
            "{unit}"
        );
        // The start of a file alone, as if the rest had not arrived yet.
        assert_eq!(
            limit_hit(scan_cedar(&unit.repeat(DEEP), &limits)),
            Some(limit),
            "{unit}"
        );
    }
    // Neither bound alone would see a hundred brackets with fifty operators each.
    let mixed = format!("({}", "context.b && ".repeat(50)).repeat(100);
    let mixed = when(&format!("{mixed} true {}", ")".repeat(100)));
    assert_eq!(
        limit_hit(scan_cedar(&mixed, &limits)),
        Some(Limit::OperatorChain)
    );
    assert_eq!(
        limit_hit(scan_cedar_schema(&"Set<".repeat(DEEP), &limits)),
        Some(Limit::OperatorChain)
    );
    for unit in ["[", r#"{"a":"#] {
        assert_eq!(
            limit_hit(scan_json_policies(&unit.repeat(DEEP), &limits)),
            Some(Limit::Nesting)
        );
    }
}

/// Parses, converts, validates and drops, each in the dev profile when the tests are: an overflow
/// would abort them all.
fn run_cedar(text: &str, and_from_json: bool) {
    let limits = Limits::default();
    let label = text.chars().take(80).collect::<String>();
    assert_eq!(scan_cedar(text, &limits), Ok(()), "{label}");
    let policies = with_parser_stack(&limits, || {
        let policies = PolicySet::from_str(text).unwrap();
        let policy = policies.policies().next().unwrap();
        policy.to_pst().unwrap();
        let json = policy.to_json().unwrap();
        if and_from_json {
            Policy::from_json(None, json).unwrap().to_pst().unwrap();
        }
        let schema = Schema::from_str(SCHEMA).unwrap();
        let _ = Validator::new(schema).validate(&policies, ValidationMode::Strict);
        policies
    });
    // Dropping takes little, so it may happen on any thread.
    drop(policies.unwrap());
}

fn around(open: &str, close: &str, n: usize) -> String {
    when(&format!("{}context.b{}", open.repeat(n), close.repeat(n)))
}

#[test]
fn brackets_that_just_pass_fit_into_the_parser_stack() {
    let nesting = Limits::default().nesting() - 1;
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{a: ", "}"),
        ("!(", ")"),
        ("(context.b && context.b && context.b && ", ")"),
    ] {
        run_cedar(&around(open, close, nesting), open.len() < 5);
    }
}

#[test]
fn chains_that_just_pass_fit_into_the_parser_stack() {
    let chain = Limits::default().operator_chain() - 3;
    for (before, behind) in [
        ("", " && context.b"),
        ("context.b || ", ""),
        ("", " + 1"),
        ("", "[\"a\"]"),
        ("if context.b then context.b else ", ""),
        ("if ", " then true else false"),
    ] {
        run_cedar(&around(before, behind, chain), false);
    }
    let clauses = " when {context.b}".repeat(chain);
    run_cedar(
        &format!("permit (principal, action, resource){clauses};"),
        false,
    );
    // `from_json` takes the most stack, and time that grows with the square of the depth (seconds
    // for a chain of full length): one has to do.
    run_cedar(&around("", ".a", chain), true);
}

/// On a short stack Cedar's validator passes what it did not get to check.
#[test]
fn the_parser_stack_is_long_enough_to_validate() {
    let limits = Limits::default();
    let ill_typed = when(
        &format!(
            "context.b{}",
            " || context.b".repeat(limits.operator_chain() - 10)
        )
        .replacen("context.b", "1", 1),
    );
    assert_eq!(scan_cedar(&ill_typed, &limits), Ok(()));
    let passed = with_parser_stack(&limits, || {
        let policies = PolicySet::from_str(&ill_typed).unwrap();
        let schema = Schema::from_str(SCHEMA).unwrap();
        Validator::new(schema)
            .validate(&policies, ValidationMode::Strict)
            .validation_passed()
    });
    assert!(!passed.unwrap());
}

#[test]
fn a_schema_that_just_passes_fits_into_the_parser_stack() {
    let limits = Limits::default();
    // Cedar's own time grows with the square of such chains, so the full 100,000 are not tried here.
    let types = (0..3_000)
        .map(|i| format!("type T{i} = Set<T{}>;", i + 1))
        .collect::<String>();
    let texts = [
        format!(
            "type T = {}Long{};",
            "{a: ".repeat(limits.nesting()),
            "}".repeat(limits.nesting())
        ),
        format!(
            "entity E {{ a: {}Long{} }};",
            "Set<".repeat(990),
            ">".repeat(990)
        ),
        format!("entity E {{ a: T0 }}; {types} type T3000 = Long;"),
    ];
    for text in &texts {
        assert_eq!(scan_cedar_schema(text, &limits), Ok(()));
        with_parser_stack(&limits, || drop(Schema::from_str(text).unwrap())).unwrap();
    }
}

/// What can be put around an expression, by what it does to the chain it stands in.
const AROUND: [(&str, &str); 24] = [
    ("(", ")"),
    ("!", ""),
    ("-", ""),
    ("[", "]"),
    ("[1, ", " == 2, 3]"),
    ("{a: ", ", then: 1}"),
    ("context.b && ", ""),
    ("", " && context has then"),
    ("context has if || ", ""),
    ("", " || context.then"),
    ("", " == 1"),
    ("1 < ", ""),
    ("(1 > ", ")"),
    ("1 + ", ""),
    ("", " * 2"),
    ("", ".a"),
    ("", ".if.then"),
    ("", "[\"a\"]"),
    ("", ".contains(1)"),
    ("[1].contains(", ")"),
    ("if ", " then true else false"),
    ("if true then ", " else (1)"),
    ("if true then 1 else ", ""),
    ("", " is User in User::\"u\""),
];

fn json_depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(json_depth).max().unwrap_or(0),
        serde_json::Value::Object(fields) => 1 + fields.values().map(json_depth).max().unwrap_or(0),
        _ => 0,
    }
}

proptest! {
    /// The bound is a bound: Cedar's tree (two levels of JSON a node, three for a leaf) is never
    /// deeper than what was counted.
    #[test]
    fn no_tree_is_deeper_than_counted(around in prop::collection::vec(0..AROUND.len(), 0..12), times in 1..4_usize) {
        let mut condition = String::from("context.b");
        for &i in std::iter::repeat_n(&around, times).flatten() {
            condition = format!("{}{condition}{}", AROUND[i].0, AROUND[i].1);
        }
        let text = when(&condition);
        let depth = with_parser_stack(&Limits::default(), || {
            let policy = Policy::from_str(&text).ok()?;
            policy.to_json().ok().map(|json| json_depth(&json["conditions"][0]["body"]))
        }).unwrap();
        if let Some(depth) = depth {
            prop_assert!(depth <= 2 * counted(&text) + 3, "{depth} > 2 * {} + 3", counted(&text));
        }
    }

    #[test]
    fn garbage_never_panics(text in ".{0,200}", tokens in prop::collection::vec(0..20_usize, 0..100), limit in 0..20_usize) {
        const TOKENS: [&str; 20] = [
            "(", ")", "[", "]", "{", "}", "\"", "\\", "//", "\n", ";", ",", ":", "::", "if ", "then ", "has ", "&&", "ü", "@",
        ];
        let tokens = tokens.into_iter().map(|i| TOKENS[i]).collect::<String>();
        let limits = Limits::default().with_nesting(limit).with_operator_chain(limit).with_input_bytes(limit * 40);
        for text in [&text, &tokens] {
            for scan in [scan_cedar, scan_cedar_schema, scan_json_policies, scan_json_schema] {
                let _ = scan(text, &limits).map_err(|error| error.exceeded);
            }
        }
    }
}
