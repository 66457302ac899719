//! Policies that fail, that are many, and that begin alike.

use duramen::{ErrorKind, Policies};

use super::*;

#[test]
fn erroring_policies() {
    let mut text = String::from("permit(principal, action, resource);");
    for i in 0..20 {
        text.push_str(&format!(
            "forbid(principal, action, resource) when {{ context.missing == {i} }};
             forbid(principal, action, resource) when {{ 9223372036854775807 + {i} + context.one > 0 && 1 + {i} > \"a\" }};
             forbid(principal, action, resource) when {{ ip(context.text).isIpv4() }};
             forbid(principal, action, resource) when {{ ip(\"a\", \"b\").isIpv4() }};
             forbid(principal, action, resource) when {{ principal.ghost }};
             forbid(principal, action, resource) when {{ resource.getTag(\"t\") == 1 }};"
        ));
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .entities(ENTITIES)
        .build()
        .unwrap();
    let request = view("alice").context_json(r#"{ "one": 1, "text": "nonsense" }"#);
    every_way("errors", &authorizer, &request, Outcome::Allowed);
    let response = authorizer.is_authorized(&request);
    assert_eq!(response.errors().len(), 120);
    let kinds = |kind| response.errors().filter(|e| e.kind() == kind).count();
    assert_eq!(kinds(ErrorKind::EntityAttrDoesNotExist), 40);
    assert_eq!(kinds(ErrorKind::WrongNumArguments), 20);
}

#[test]
fn many_policies_and_links() {
    let mut policies = Policies::new().text(
        r#"permit(principal == ?principal, action, resource in ?resource) when { context.n > 0 };"#,
    );
    for i in 0..200 {
        let (user, folder) = (format!("u{}", i % 20), format!("f{i}"));
        policies = policies.link(
            "policy0",
            format!("link{i}").as_str(),
            Some(("User", user.as_str()).into()),
            Some(("Folder", folder.as_str()).into()),
        );
    }
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();
    let request = Request::new(("User", "u3"), ("Action", "a"), ("Folder", "f43"))
        .context_json(r#"{ "n": 1 }"#);
    every_way("links", &authorizer, &request, Outcome::Allowed);
}

/// Policies that are told apart by their conditions, with attributes that are there, of another type, and missing.
#[test]
fn policies_that_begin_alike() {
    let mut text = String::new();
    for i in 0..300 {
        text.push_str(&format!(
            r#"permit(principal, action, resource) when {{ context has dept && context.dept == "d{i}" }};
               forbid(principal, action, resource) when {{ context.roles.contains("r{i}") && context.n > {i} }};
               permit(principal, action, resource) when {{ context.team == "t{i}" }};"#
        ));
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .build()
        .unwrap();
    let cases = [
        (r#"{ "dept": "d7", "roles": [] }"#, Outcome::Allowed, 300),
        (
            r#"{ "dept": 7, "roles": [], "team": "t9" }"#,
            Outcome::Allowed,
            0,
        ),
        (
            r#"{ "dept": "d7", "roles": ["r1", "r5"], "n": 9 }"#,
            Outcome::Forbidden,
            300,
        ),
        (r#"{ "roles": "r1" }"#, Outcome::NoPermit, 600),
    ];
    for (context, expected, failing) in cases {
        let request =
            Request::new(("User", "u"), ("Action", "a"), ("Doc", "d")).context_json(context);
        assert_eq!(authorizer.is_authorized(&request).errors().len(), failing);
        every_way(context, &authorizer, &request, expected);
    }
}
