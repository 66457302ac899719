//! Policies, patterns, and texts that are nested deeply, in every format that is read.

use duramen::replay::PolicyArchive;
use duramen::{EntityUidRef, Policies, PolicyUpdate};

use super::*;

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

/// A constant is kept once, and not once for each level of what it stands in.
#[test]
fn constants_in_brackets_cost_their_size() {
    let _alone = alone();
    let (open, close) = ("[".repeat(140), "]".repeat(140));
    let literal = "x".repeat(1_000_000);
    let policy = format!(
        "permit(principal, action, resource) when {{ {open}\"{literal}\"{close} == context.x }};"
    );
    let (built, kept) = within(64 * MB, || {
        let before = live();
        let built = Authorizer::builder().policies(policy.as_str()).build();
        (built.unwrap(), live().saturating_sub(before))
    });
    assert!(kept < 8 * MB, "{kept}");
    assert!(!built.is_allowed(&asked()));
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

    let many = |count: usize, of: &str| {
        let all = (0..count).map(|number| of.replace('#', &number.to_string()));
        all.collect::<Vec<_>>().join(", ")
    };
    let (types, actions, listed) = (many(1_200, "A#"), many(1_200, "a#"), many(1_200, "B#"));
    let (attributes, long) = (many(1_200, "x#: Long"), "x".repeat(MB));
    let nested = "{ x: ".repeat(100) + "Long" + &"}".repeat(100);
    let several = [
        (
            format!("entity {types} {{ {attributes} }};"),
            Limit::Declarations,
        ),
        (
            format!("entity {types} tags {nested};"),
            Limit::Declarations,
        ),
        (
            format!("entity {types} in [{listed}]; entity {listed};"),
            Limit::Declarations,
        ),
        (
            format!(
                "namespace N {{ entity {types} enum [{}]; }}",
                many(1_200, "\"#\"")
            ),
            Limit::Declarations,
        ),
        (
            format!("action {actions} in [{listed}]; action {listed};"),
            Limit::Declarations,
        ),
        (
            format!(
                "entity {listed}, namespace; @a(\"b\") @namespace action {actions}
                 appliesTo {{ principal: [{listed}], resource: namespace }};"
            ),
            Limit::Declarations,
        ),
        (
            format!("@doc(\"{long}\") action {actions};"),
            Limit::InputBytes,
        ),
        (
            format!("entity {types} {{ \"{long}\": Long }};"),
            Limit::InputBytes,
        ),
    ];
    let chain = |first: &str, next: &str| {
        let all = (1..2_000).map(|number| {
            let next = next.replace('#', &number.to_string());
            next.replace('<', &(number - 1).to_string())
        });
        first.to_owned() + &all.collect::<String>()
    };
    let below_a_chain = |keyword: &str| {
        let all = (1..900).map(|number| format!("{keyword} E{number} in [E{}];", number - 1));
        let chain = all.collect::<String>();
        format!("{keyword} E0; {chain} {keyword} {types} in [E899];")
    };
    let in_json = chain(
        r#"{ "": { "entityTypes": {}, "actions": { "a0": {}"#,
        r#", "a#": { "memberOf": [{ "id": "a<" }] }"#,
    ) + "} } }";
    let texts = several.map(|(text, limit)| (text, Some(limit))).into_iter();
    let texts = texts.chain([
        (
            chain("action a0;", "action a# in [a<];"),
            Some(Limit::HierarchyDepth),
        ),
        (
            chain("entity E0;", "entity E# in [E<];"),
            Some(Limit::HierarchyDepth),
        ),
        (in_json, Some(Limit::HierarchyDepth)),
        // Many that are below all of a chain that is no deeper than it may be.
        (below_a_chain("entity"), None),
        (below_a_chain("action"), None),
    ]);
    for (text, limit) in texts {
        let builder = match text.starts_with('{') {
            true => Authorizer::builder().schema_json(text.as_str()),
            false => Authorizer::builder().schema_str(text.as_str()),
        };
        let begun = &text[..60];
        // What is only told by the hierarchy as a whole has been parsed.
        let scanned = matches!(limit, Some(Limit::Declarations | Limit::InputBytes));
        let bytes = if scanned { MB } else { 32 * MB };
        let error = within(bytes, || builder.build()).unwrap_err();
        let problem = &error.compile_error().unwrap().problems()[0];
        assert_eq!(
            problem.limit().map(|exceeded| exceeded.limit()),
            limit,
            "{begun}: {error}"
        );
        assert!(
            limit.is_some() || error.to_string().contains("too large"),
            "{begun}: {error}"
        );
    }
}

/// Small schemas of which Cedar's validator would make gigabytes, or with which it would look at a policy for days: in both syntaxes,
/// and templates whose slots may stand for all that is above.
#[test]
fn schemas_of_too_many_request_environments_are_refused() {
    let _alone = alone();
    let types = |count: usize| (0..count).map(|number| format!("T{number}"));
    let all = |count: usize| types(count).collect::<Vec<_>>().join(", ");
    let refused = |authorizer: Result<Authorizer, duramen::BuildError>| {
        let error = authorizer.unwrap_err();
        let problem = &error.compile_error().unwrap().problems()[0];
        let limit = problem.limit().unwrap().limit();
        assert_eq!(limit, Limit::RequestEnvironments, "{error}");
        error.to_string()
    };
    let many = format!(
        "entity {0}; action a appliesTo {{ principal: [{0}], resource: [{0}] }};",
        all(10_000)
    );
    let listed = types(2_000)
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>();
    let (declared, listed) = (listed.join(": {}, ") + ": {}", listed.join(", "));
    let in_json = format!(
        r#"{{ "": {{ "entityTypes": {{ {declared} }}, "actions": {{ "a": {{
            "appliesTo": {{ "principalTypes": [{listed}], "resourceTypes": [{listed}] }} }} }} }} }}"#
    );
    let policy = "permit(principal, action, resource);";
    for schema in [&many, &in_json] {
        let builder = || {
            let builder = Authorizer::builder().policies(policy);
            match schema.starts_with('{') {
                true => builder.schema_json(schema.as_str()),
                false => builder.schema_str(schema.as_str()),
            }
        };
        let error = refused(within(64 * MB, || builder().build()));
        assert!(error.contains("with_request_environments"), "{error}");
        // Entities and requests may still be held against it.
        let not_validated = builder().validate_policies(false);
        within(96 * MB, || not_validated.build()).unwrap();
    }

    // A chain of types, so that each slot may stand for hundreds: 90,000 environments, 2,000,000,000 with what is above.
    let chain: String = (1..300).fold("entity T0;".to_owned(), |mut text, number| {
        let _ = write!(text, "entity T{number} in [T{}];", number - 1);
        text
    });
    let chain = format!(
        "{chain} action a appliesTo {{ principal: [{0}], resource: [{0}] }};",
        all(300)
    );
    let template = "permit(principal in ?principal, action, resource is T0 in ?resource);";
    let builder = || Authorizer::builder().schema_str(chain.as_str());
    let policies = Policies::new().text(template).link(
        "policy0",
        "linked",
        Some(EntityUidRef::new("T1", "a")),
        Some(EntityUidRef::new("T2", "b")),
    );
    let error = refused(within(64 * MB, || builder().policies(policies).build()));
    assert_eq!(
        error.matches("request_environments is").count(),
        1,
        "{error}"
    );
    // One that may stand for one only.
    let template = "permit(principal == ?principal, action, resource == ?resource);";
    within(160 * MB, || builder().policies(template).build()).unwrap();
}

/// A policy that is wrong in a hundred places, in each of hundreds of request environments: Cedar has an error for each.
#[test]
fn errors_of_a_policy_are_told_up_to_a_number() {
    let _alone = alone();
    let types = (0..20).map(|number| format!("T{number}"));
    let types = types.collect::<Vec<_>>().join(", ");
    let schema = format!(
        "entity {types}; action a appliesTo {{ principal: [{types}], resource: [{types}] }};"
    );
    let wrong =
        (0..100).map(|number| format!("([principal, resource] != [] && context.n{number})"));
    let wrong = wrong.collect::<Vec<_>>().join(" || ");
    let policy = format!("permit(principal, action, resource) when {{ {wrong} }};");
    let builder = Authorizer::builder().schema_str(schema.as_str());
    let builder = builder.policies(policy.as_str());
    let error = within(160 * MB, || builder.build()).unwrap_err();
    let problems = error.compile_error().unwrap().problems();
    assert_eq!(problems.len(), 101);
    assert!(problems.iter().all(|problem| problem.policy().is_some()));
    let text = error.to_string();
    assert!(text.contains("more errors"), "{text}");
    assert!(text.len() < 100 * KB, "{}", text.len());
}

/// Names that are short where they stand, and long because of where they stand, or of what is above.
#[test]
fn names_that_are_copied_are_counted() {
    let _alone = alone();
    // A namespace of thousands of names, and thousands of types in it: Cedar puts each of them before each.
    let namespace = "a::".repeat(20_000) + "a";
    let types: String = (0..20_000).fold(String::new(), |mut text, number| {
        let _ = write!(text, "entity T{number};");
        text
    });
    let schema = format!("namespace {namespace} {{ {types} }}");
    let builder = Authorizer::builder().schema_str(schema);
    let error = within(MB, || builder.build()).unwrap_err().to_string();
    assert!(error.contains("input_bytes"), "{error}");

    // A chain of long names: each would have those of all above.
    let long = "x".repeat(10_000);
    let chain: String = (1..900).fold(format!("entity T{long}0;"), |mut text, number| {
        let _ = write!(text, "entity T{long}{number} in [T{long}{}];", number - 1);
        text
    });
    let builder = Authorizer::builder().schema_str(chain);
    let error = within(200 * MB, || builder.build())
        .unwrap_err()
        .to_string();
    assert!(error.contains("too large"), "{error}");

    // As many types as may be, all in two groups: what is above each is not looked for among all.
    let flat: String = (0..40_000).fold(
        "entity G; entity H in [G];".to_owned(),
        |mut text, number| {
            let _ = write!(text, "entity T{number} in [H];");
            text
        },
    );
    let builder = Authorizer::builder().schema_str(flat);
    within(400 * MB, || builder.build()).unwrap();
}

/// As many actions as the largest services have, in one declaration with all that may ask for them.
#[test]
fn large_schemas_are_loaded() {
    let _alone = alone();
    let many = |count: usize, of: &str| {
        let all = (0..count).map(|number| of.replace('#', &number.to_string()));
        all.collect::<Vec<_>>().join(", ")
    };
    let (actions, types) = (many(3_000, "action_#"), many(12, "Principal#"));
    let schema = format!(
        "// {}
        entity {types}, R {{ name: String, level?: Long }};
        action read; action write in [read]; action all in [write];
        action {actions} in [all] appliesTo {{ principal: [{types}], resource: [R], context: {{ at: datetime, mfa?: Bool }} }};",
        "a long comment ".repeat(10_000)
    );
    let builder = Authorizer::builder().schema_str(schema);
    within(160 * MB, || builder.build()).unwrap();
}

/// A record of very many fields, in an order that is not that of their names, which an explanation looks up in the text.
#[test]
fn explaining_a_wide_record_costs_its_size() {
    let _alone = alone();
    let fields = (0..80_000).rev();
    let fields = fields.map(|number| format!("f{number}: context.x"));
    let policy = format!(
        "permit(principal, action, resource) when {{ context.y != {{ {} }} }};",
        fields.collect::<Vec<_>>().join(", ")
    );
    let authorizer = Authorizer::builder()
        .policies(policy.as_str())
        .build()
        .unwrap();
    let context = json!({ "x": 1, "y": 1 });
    let request = asked().context(&context);
    within(128 * MB, || {
        let response = authorizer.is_authorized(&request);
        assert_eq!(response.outcome(), Outcome::Allowed);
        let explanation = response.explain(&request);
        assert!(explanation.to_string().contains("context.y"));
    });
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

/// Policies that fail in groups, for what each group begins with: reading their errors must not look through all groups for each.
#[test]
fn failing_groups_cost_their_number() {
    let _alone = alone();
    const GROUPS: usize = 1_200;
    const EACH: usize = 8;
    let policies: String = (0..GROUPS * EACH).fold(String::new(), |mut text, number| {
        let group = number % GROUPS;
        let _ = writeln!(
            text,
            "permit(principal, action, resource) when {{ context.missing{group} == {number} }};"
        );
        text
    });
    let authorizer = Authorizer::builder()
        .policies(policies.as_str())
        .build()
        .unwrap();
    let numbers = within(MB, || {
        let response = authorizer.is_authorized(&asked());
        let mut last = None;
        let in_order = response.errors().all(|error| {
            let number: usize = error.policy().id().as_str()["policy".len()..]
                .parse()
                .unwrap();
            last.replace(number) < Some(number)
        });
        // Once is not enough to tell it from 60 seconds.
        let read = (0..8).map(|_| response.errors().count());
        (read.max(), in_order)
    });
    assert_eq!(numbers, (Some(GROUPS * EACH), true));
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

/// Conditions of which each conjunct is a list of literals: a table of tables would have a place for each combination.
#[test]
fn lists_of_literals_cost_their_number() {
    let _alone = alone();
    let (policies, literals, conjuncts) = (10, 30, 5);
    let mut text = String::new();
    for policy in 0..policies {
        let lists = (0..conjuncts).map(|conjunct| {
            let shared = (1..literals).map(|literal| format!("\"{literal}\", "));
            let shared: String = shared.collect();
            format!("[{shared}\"own{policy}\"].contains(context.a{conjunct})")
        });
        let condition = lists.collect::<Vec<_>>().join(" && ");
        let _ = writeln!(
            text,
            "permit(principal, action, resource) when {{ {condition} }};"
        );
    }
    let authorizer = within(4 * MB, || {
        Authorizer::builder()
            .policies(text.as_str())
            .build()
            .unwrap()
    });
    let is_allowed = |context: &serde_json::Value| authorizer.is_allowed(&asked().context(context));
    let mut context = json!({ "a0": "1", "a1": "2", "a2": "29", "a3": "own7", "a4": "3" });
    assert!(is_allowed(&context));
    context["a4"] = json!("own8");
    assert!(!is_allowed(&context));
}

/// Many links of a long template: Cedar copies it for each. What is loaded and validated by us does not, and where Cedar makes them
/// there is a bound.
#[test]
fn links_of_long_templates_cost_their_number() {
    let _alone = alone();
    const MANY: usize = 1_200;
    let long = "x".repeat(MB / 2);
    let template = format!(
        "permit(principal == ?principal, action, resource) when {{ resource has name && resource.name == \"{long}\" }};"
    );
    let user = |number: usize| EntityUid::new("User", number.to_string());
    let policies = (0..MANY).fold(
        Policies::new().text(template.as_str()),
        |policies, number| {
            let id = format!("link{number}");
            policies.link("policy0", id, Some(user(number).as_ref()), None)
        },
    );
    let schema = "entity User, File { name?: String }; action read appliesTo { principal: User, resource: File };";
    let builder = Authorizer::builder().schema_str(schema).policies(policies);
    let authorizer = within(96 * MB, || builder.build()).unwrap();
    let update = (0..MANY).fold(PolicyUpdate::new(), |update, number| {
        let id = format!("more{number}");
        update.link("policy0", id, Some(user(number).as_ref()), None)
    });
    within(96 * MB, || authorizer.update_policies(update)).unwrap();
    // What is wrong with a link is told as before.
    let strange = PolicyUpdate::new().link(
        "policy0",
        "strange",
        Some(EntityUidRef::new("Robot", "r")),
        None,
    );
    let error = authorizer.update_policies(strange).unwrap_err().to_string();
    assert!(error.contains("Robot"), "{error}");

    // An archive keeps what it can load, and a file that somebody else kept is not loaded.
    let directory = std::env::temp_dir().join(format!("duramen-links-{}", std::process::id()));
    let archive = PolicyArchive::open(&directory).unwrap();
    let error = within(32 * MB, || archive.keep(&authorizer)).unwrap_err();
    assert!(error.to_string().contains("input_bytes"), "{error}");
    let wide = Limits::default().with_input_bytes(1 << 40);
    let wide = PolicyArchive::open(&directory).unwrap().with_limits(wide);
    let digest = within(32 * MB, || wide.keep(&authorizer)).unwrap();
    let error = within(32 * MB, || archive.load(digest)).unwrap_err();
    assert!(error.to_string().contains("input_bytes"), "{error}");
    std::fs::remove_dir_all(&directory).unwrap();

    // So it is with policies in JSON, of which Cedar makes links itself.
    let links = (0..MANY).map(|number| {
        json!({ "templateId": "t", "newId": number.to_string(), "values": {
            "?principal": { "__entity": { "type": "User", "id": number.to_string() } } } })
    });
    let template: cedar_policy::Template = template.parse().unwrap();
    let set = |links: Vec<serde_json::Value>| {
        json!({ "staticPolicies": {}, "templates": { "t": template.to_json().unwrap() }, "templateLinks": links }).to_string()
    };
    let many = set(links.clone().collect());
    let error = within(32 * MB, || {
        let policies = Policies::new().json(many.as_str());
        Authorizer::builder().policies(policies).build()
    });
    let error = error.unwrap_err();
    let problem = &error.compile_error().unwrap().problems()[0];
    assert_eq!(
        problem.limit().unwrap().limit(),
        Limit::InputBytes,
        "{error}"
    );
    let few = Policies::new().json(set(links.take(5).collect()));
    assert_eq!(
        Authorizer::builder()
            .policies(few)
            .build()
            .unwrap()
            .policy_count(),
        5
    );
}
