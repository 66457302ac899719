//! Limits: each is hit by name, and what is nested too deeply ends in an error.

use std::collections::BTreeMap;
use std::str::FromStr;

use cedar_policy as cedar;
use duramen::{
    Authorizer, BuildError, Entity, Limit, Limits, Outcome, Policies, PolicyUpdate, Problem,
    Request,
};
use serde_json::json;

use super::entities::{group, load};
use super::loading::{POLICIES, SCHEMA, build, view};

/// The limit that building meets.
fn load_limit(built: Result<Authorizer, BuildError>) -> Option<Limit> {
    let error = built.unwrap_err();
    let compile = error.compile_error().into_iter().flat_map(|e| e.problems());
    let entities = error.entity_error().into_iter().flat_map(|e| e.problems());
    compile
        .filter_map(Problem::limit)
        .chain(entities.filter_map(|problem| problem.limit()))
        .map(|exceeded| exceeded.limit())
        .next()
}

#[test]
fn each_limit_on_loading_is_hit_by_name() {
    let limits = Limits::default();
    let build = |limits: Limits, policies: String| {
        Authorizer::builder()
            .limits(limits)
            .policies(policies.as_str())
            .build()
    };
    let when =
        |condition: String| format!("permit(principal, action, resource) when {{ {condition} }};");
    let cases = [
        (
            Limit::InputBytes,
            limits.with_input_bytes(20),
            when("true".into()),
        ),
        (
            Limit::Nesting,
            limits.with_nesting(10),
            when(format!("{}true{}", "(".repeat(11), ")".repeat(11))),
        ),
        (
            Limit::OperatorChain,
            limits.with_operator_chain(20),
            when(vec!["true"; 30].join(" && ")),
        ),
        (
            Limit::Doubling,
            limits.with_doubling(2),
            when(
                "(((principal is User in principal) is User in principal) is User in principal)"
                    .into(),
            ),
        ),
        (
            Limit::Policies,
            limits.with_policies(2),
            when("true".into()).repeat(3),
        ),
        (
            Limit::ExpressionDepth,
            limits.with_expression_depth(5),
            when("1 + 2 + 3 + 4 + 5 + 6 + principal.n == 1".into()),
        ),
    ];
    for (limit, limits, policies) in cases {
        assert_eq!(load_limit(build(limits, policies.clone())), Some(limit));
        assert!(build(Limits::default(), policies).is_ok(), "{limit}");
    }
    templates_count_as_policies();

    let schema = |limits: Limits| {
        Authorizer::builder()
            .limits(limits)
            .schema_str(SCHEMA)
            .build()
    };
    assert_eq!(
        load_limit(schema(limits.with_declarations(5))),
        Some(Limit::Declarations)
    );
    assert_eq!(
        load_limit(schema(limits.with_input_bytes(50))),
        Some(Limit::InputBytes)
    );

    let chain: Vec<_> = (0..10)
        .map(|i| group(&format!("g{i}"), 1, &[&format!("g{}", i + 1)]))
        .collect();
    let user = |attrs: serde_json::Value| json!([{ "uid": { "type": "User", "id": "u" }, "attrs": attrs, "parents": [] }]);
    let cases = [
        (
            Limit::InputBytes,
            limits.with_input_bytes(100),
            json!(chain),
        ),
        (
            Limit::HierarchyDepth,
            limits.with_hierarchy_depth(9),
            json!(chain),
        ),
        (Limit::Entities, limits.with_entities(9), json!(chain)),
        (
            Limit::AttributeBytes,
            limits.with_attribute_bytes(500),
            user(json!({ "a": "x".repeat(600) })),
        ),
        (
            Limit::AttributeDepth,
            limits.with_attribute_depth(2),
            user(json!({ "a": [[[1]]] })),
        ),
        (
            Limit::SetElements,
            limits.with_set_elements(4),
            user(json!({ "a": [1, 2, 3, 4, 5] })),
        ),
    ];
    for (limit, limits, entities) in cases {
        let build = |limits: Limits| {
            Authorizer::builder()
                .limits(limits)
                .entities(entities.to_string().as_str())
                .build()
        };
        let built = build(limits);
        assert_eq!(load_limit(built), Some(limit), "{entities}");
        assert!(build(Limits::default()).is_ok(), "{limit}");
    }
}

/// However they come: in several texts, in Cedar's JSON, in a set, and in an update.
fn templates_count_as_policies() {
    let template = "permit(principal == ?principal, action, resource);";
    let limits = Limits::default().with_policies(2);
    let load = |policies: Policies| {
        let built = Authorizer::builder().limits(limits).policies(policies);
        built.build()
    };
    let texts = |count| (0..count).fold(Policies::new(), |policies, _| policies.text(template));
    let set = |count| cedar::PolicySet::from_str(&template.repeat(count)).unwrap();
    let json = |count| Policies::new().json(set(count).to_json().unwrap().to_string());
    let linked = |count| texts(count).link("policy0", "a", Some(("User", "a").into()), None);
    for policies in [texts(3), set(3).into(), json(3), linked(2)] {
        assert_eq!(load_limit(load(policies)), Some(Limit::Policies));
    }
    for policies in [texts(2), set(2).into(), json(2), linked(1)] {
        assert!(load(policies).is_ok());
    }
    let authorizer = load(texts(1)).unwrap();
    let update = |update: PolicyUpdate| {
        let error = authorizer.update_policies(update).err()?;
        let mut problems = error.problems().iter();
        problems.find_map(|problem| Some(problem.limit()?.limit()))
    };
    let link = PolicyUpdate::new().link("policy0", "a", Some(("User", "a").into()), None);
    let second = PolicyUpdate::new().add_template("second", template);
    assert_eq!(update(link.clone()), None);
    assert_eq!(update(second.clone()), Some(Limit::Policies));
    assert_eq!(update(second.unlink("a")), None);
    assert_eq!(update(link), Some(Limit::Policies));
}

/// What Cedar has parsed already is held to the same: neither compiling nor the type checker nor explaining is to meet a tree
/// that no text would have been let make.
#[test]
fn sets_are_held_to_the_limits_of_texts() {
    let chain = |terms: usize| vec!["context.c"; terms].join(" || ");
    let policy =
        |condition: &str| format!("permit(principal, action, resource) when {{ {condition} }};");
    let template = |condition: &str| {
        format!("permit(principal == ?principal, action, resource) when {{ {condition} }};")
    };
    let limit = |limits: Limits, policies: Policies| {
        load_limit(
            Authorizer::builder()
                .limits(limits)
                .policies(policies)
                .build(),
        )
    };
    let limits = Limits::default();
    let doubled = "((principal is User in principal) is User in principal) is User in principal";
    let cases = [
        (Limit::OperatorChain, limits, chain(1_100)),
        (
            Limit::OperatorChain,
            limits.with_operator_chain(20),
            chain(30),
        ),
        (Limit::Nesting, limits.with_nesting(3), "(((true)))".into()),
        (Limit::InputBytes, limits.with_input_bytes(70), chain(10)),
        (Limit::Doubling, limits.with_doubling(1), doubled.into()),
    ];
    for (name, limits, condition) in cases {
        for text in [policy(&condition), template(&condition)] {
            let set = cedar::PolicySet::from_str(&text).unwrap();
            assert_eq!(limit(limits, text.into()), Some(name));
            assert_eq!(limit(limits, set.into()), Some(name), "{condition:.50}");
        }
    }
    // What was never text is held to them as Cedar prints it.
    let set = cedar::PolicySet::from_str(&policy(&chain(8))).unwrap();
    let set = cedar::PolicySet::from_json_value(set.to_json().unwrap()).unwrap();
    let chain = Limits::default().with_operator_chain(8);
    assert_eq!(limit(chain, set.into()), Some(Limit::OperatorChain));
}

#[test]
fn each_limit_on_requests_is_hit_by_name() {
    let limits = Limits::default();
    let policies = "permit(principal, action, resource) when { [context] != [] };";
    let decide = |limits: Limits, request: &Request<'_>| {
        let authorizer = Authorizer::builder()
            .limits(limits)
            .policies(policies)
            .build()
            .unwrap();
        let response = authorizer.is_authorized(request);
        let error = response.request_error()?;
        Some(error.limit().map(|exceeded| exceeded.limit()))
    };
    let long = json!({ "a": "x".repeat(3000) });
    let deep = json!({ "a": [[[[1]]]] });
    let wide = json!({ "a": [1, 2, 3, 4, 5, 6] });
    let entity = |attrs: &serde_json::Value| {
        json!([{ "uid": { "type": "User", "id": "u" }, "attrs": attrs, "parents": [] }]).to_string()
    };
    let contexts = [
        (Limit::ContextBytes, limits.with_context_bytes(2000), &long),
        (Limit::ContextDepth, limits.with_context_depth(3), &deep),
        (Limit::SetElements, limits.with_set_elements(5), &wide),
    ];
    for (limit, limits, context) in contexts {
        let text = context.to_string();
        for request in [view("a").context(context), view("a").context_json(&text)] {
            assert_eq!(decide(limits, &request), Some(Some(limit)), "{request:?}");
            assert_eq!(decide(Limits::default(), &request), None);
        }
    }
    let attributes = [
        (
            Limit::AttributeBytes,
            limits.with_attribute_bytes(2000),
            &long,
        ),
        (Limit::AttributeDepth, limits.with_attribute_depth(3), &deep),
        (Limit::SetElements, limits.with_set_elements(5), &wide),
    ];
    for (limit, limits, attrs) in attributes {
        let text = entity(attrs);
        let typed = [Entity::new(("User", "u")).attrs(attrs)];
        for request in [view("a").entities(&typed), view("a").entities_json(&text)] {
            assert_eq!(decide(limits, &request), Some(Some(limit)), "{request:?}");
            assert_eq!(decide(Limits::default(), &request), None);
        }
    }
    let ids: Vec<String> = (0..4).map(|i| format!("u{i}")).collect();
    let many: Vec<Entity<'_>> = ids
        .iter()
        .map(|id| Entity::new(("User", id.as_str())))
        .collect();
    let text: Vec<_> = ids
        .iter()
        .map(|id| json!({ "uid": { "type": "User", "id": id }, "attrs": {}, "parents": [] }))
        .collect();
    let text = json!(text).to_string();
    for request in [view("a").entities(&many), view("a").entities_json(&text)] {
        let limits = limits.with_overlay_entities(3);
        assert_eq!(decide(limits, &request), Some(Some(Limit::OverlayEntities)));
        assert_eq!(decide(Limits::default(), &request), None);
    }
}

/// What is nested too deeply for Cedar's parser ends in an error and not in a stack overflow.
#[test]
fn deep_input_is_survived() {
    let deep = 50_000;
    let expressions = [
        format!("{}true{}", "(".repeat(deep), ")".repeat(deep)),
        format!("{}1{} == []", "[".repeat(deep), "]".repeat(deep)),
        "!".repeat(deep) + "true",
        vec!["true"; deep].join(" && "),
        format!("principal{}", ".a".repeat(deep)),
        "if true then true else ".repeat(deep) + "true",
        format!("{}1{}", "{a: ".repeat(deep), "}".repeat(deep)),
    ];
    for expression in expressions {
        let text = format!("permit(principal, action, resource) when {{ {expression} }};");
        assert!(build(Policies::from(text.as_str())).is_err());
    }
    let nested = format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
    let context = format!(r#"{{ "a": {nested} }}"#);
    let authorizer = build(Policies::from(POLICIES)).unwrap();
    let response = authorizer
        .is_authorized(&view("alice").context_json(&context))
        .to_owned();
    assert_eq!(response.outcome, Outcome::InvalidRequest);
    let entities = format!(
        r#"[{{ "uid": {{ "type": "A", "id": "a" }}, "attrs": {{ "x": {nested} }}, "parents": [] }}]"#
    );
    assert!(load(entities.as_str()).is_err());
    let response = authorizer
        .is_authorized(&view("alice").entities_json(&entities))
        .to_owned();
    assert_eq!(response.outcome, Outcome::InvalidRequest);
    assert!(
        Authorizer::builder()
            .schema_json(nested.as_str())
            .build()
            .is_err()
    );
    assert!(build(Policies::new().json(nested)).is_err());
    let types = format!(
        "entity A {{ a: {}Long{} }};",
        "Set<".repeat(deep),
        ">".repeat(deep)
    );
    assert!(Authorizer::builder().schema_str(types).build().is_err());
    let mut typed = json!(1);
    for _ in 0..100 {
        typed = json!([typed]);
    }
    let context = BTreeMap::from([("a", typed)]);
    let response = authorizer
        .is_authorized(&view("alice").context(&context))
        .to_owned();
    assert_eq!(response.outcome, Outcome::InvalidRequest);
}
