//! Workloads by their SPIFFE IDs, in policies: brought along or stored, with a schema and without.

use duramen::spiffe::{SpiffeId, WorkloadTypes};
use duramen::{Authorizer, Entity, EntityUpdate, Request};

const SCHEMA: &str = r#"
    entity TrustDomain, WorkloadPath, Account;
    entity Workload in [TrustDomain, WorkloadPath] { trustDomain: String, path: String, segments: Set<String> };
    action charge appliesTo { principal: Workload, resource: Account };
"#;

/// Policies that each speak of workloads in another way, and who is allowed by them.
const POLICIES: [(&str, &[&str]); 5] = [
    (
        r#"permit(principal in TrustDomain::"prod.example", action, resource);"#,
        &[
            "spiffe://prod.example/billing/api",
            "SPIFFE://PROD.example/Billing",
            "spiffe://prod.example",
        ],
    ),
    (
        r#"permit(principal in WorkloadPath::"spiffe://prod.example/billing", action, resource);"#,
        &["spiffe://prod.example/billing/api"],
    ),
    (
        r#"permit(principal, action, resource) when { principal.segments.contains("billing") };"#,
        &[
            "spiffe://prod.example/billing/api",
            "spiffe://test.example/billing/api",
        ],
    ),
    (
        r#"permit(principal, action, resource) when { principal.path like "/billing/*" && principal.trustDomain == "test.example" };"#,
        &["spiffe://test.example/billing/api"],
    ),
    (
        r#"permit(principal == Workload::"spiffe://prod.example/Billing", action, resource);"#,
        &["SPIFFE://PROD.example/Billing"],
    ),
];

const IDS: [&str; 4] = [
    "spiffe://prod.example/billing/api",
    "spiffe://test.example/billing/api",
    "SPIFFE://PROD.example/Billing",
    "spiffe://prod.example",
];

#[test]
fn policies_speak_of_workloads() {
    let types = WorkloadTypes::default().with_path("WorkloadPath");
    for (policy, allowed) in POLICIES {
        for schema in [false, true] {
            let build = || {
                let builder = Authorizer::builder().policies(policy);
                let builder = match schema {
                    true => builder.schema_str(SCHEMA).validate_requests(true),
                    false => builder,
                };
                builder.build().unwrap()
            };
            let (bare, stocked) = (build(), build());
            for text in IDS {
                let id: SpiffeId = text.parse().unwrap();
                let workload = id.workload(&types);
                assert_eq!(workload.uid(), id.uid(&types));
                let parents = workload.parents();
                let entity = Entity::new(workload.uid())
                    .attrs(workload.attributes())
                    .parents(&parents);
                stocked
                    .update_entities(EntityUpdate::new().upsert(entity))
                    .unwrap();
                let request = Request::new(id.uid(&types), ("Action", "charge"), ("Account", "1"));
                let expected = allowed.contains(&text);
                let brought = [entity];
                let brought = request.entities(&brought);
                assert_eq!(
                    bare.is_allowed(&brought),
                    expected,
                    "{policy} {text}, brought along"
                );
                assert_eq!(
                    stocked.is_allowed(&request),
                    expected,
                    "{policy} {text}, stored"
                );
            }
        }
    }
}
