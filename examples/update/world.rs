//! The store that is measured: users in groups that are in groups, documents in folders.

use std::fmt::Write;

use duramen::{Authorizer, Entities, Limits, Request};

pub(crate) const GROUPS: usize = 1_000;
/// Every so many entities one is in the large group.
const LARGE: usize = 10;

const POLICIES: &str = r#"
permit(principal in Group::"all", action == Action::"view", resource)
when { principal.level > 2 && resource.owner != principal };
permit(principal in Group::"moved", action == Action::"view", resource);
forbid(principal in Group::"g7", action, resource) when { resource.secret };
"#;

/// Entities and policies; `size` entities or a few more.
pub(crate) fn authorizer(size: usize) -> Authorizer {
    let mut json = String::from("[");
    let mut entity = |ty: &str, id: &str, attrs: &str, parents: &[String]| {
        let comma = if json.len() > 1 { ",\n" } else { "" };
        let parents: Vec<String> = parents
            .iter()
            .map(|id| format!(r#"{{"type":"Group","id":"{id}"}}"#))
            .collect();
        let _ = write!(
            json,
            r#"{comma}{{"uid":{{"type":"{ty}","id":"{id}"}},"attrs":{{{attrs}}},"parents":[{}]}}"#,
            parents.join(",")
        );
    };
    entity("Group", "all", "", &[]);
    for group in 0..GROUPS {
        entity("Group", &format!("g{group}"), "", &["all".to_owned()]);
    }
    for subgroup in 0..100 {
        entity("Group", &format!("sub{subgroup}"), "", &["wide".to_owned()]);
    }
    entity("Group", "wide", "", &["all".to_owned()]);
    entity("Group", "large", "", &["all".to_owned()]);
    for i in 0..size {
        if i % 2 == 0 {
            let mut parents = vec![format!("g{}", i % GROUPS)];
            if i % LARGE == 0 {
                parents.push("large".to_owned());
            }
            if i % LARGE == 2 {
                parents.push(format!("sub{}", i % 100));
            }
            let attrs = format!(r#""level":{},"name":"user number {i}""#, i % 7);
            entity("User", &format!("u{i}"), &attrs, &parents);
        } else {
            let owner = i - 1;
            let attrs = format!(
                r#""owner":{{"__entity":{{"type":"User","id":"u{owner}"}}}},"secret":{}"#,
                i % 3 == 0
            );
            entity("Doc", &format!("d{i}"), &attrs, &[]);
        }
    }
    json.push(']');
    Authorizer::builder()
        .limits(Limits::default().with_input_bytes(1 << 30))
        .policies(POLICIES)
        .entities(Entities::new().json(json))
        .build()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Request number `i`; neighbours have nothing to do with each other.
pub(crate) fn with_request<R>(i: usize, size: usize, f: impl FnOnce(&Request<'_>) -> R) -> R {
    let at = i.wrapping_mul(7_919) % (size / 2);
    let (user, doc) = (
        format!("u{}", at * 2),
        format!("d{}", (at * 31 % (size / 2)) * 2 + 1),
    );
    f(&Request::new(
        ("User", user.as_str()),
        ("Action", "view"),
        ("Doc", doc.as_str()),
    ))
}
