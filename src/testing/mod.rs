//! Tests of policies: requests with the decisions that they should get, run by `cargo test`.
//!
//! Cases are data, in a file beside the policies, so that whoever writes policies writes their tests; or requests as the
//! application makes them. All are decided on the same policies and entities, and what fails is reported together, with what
//! was decided instead and why.
//!
//! ```
//! use duramen::testing::{Cases, PolicyTests};
//! use duramen::{Authorizer, Policies};
//!
//! let policies = r#"
//!     @id("owners-edit")
//!     permit (principal, action == Action::"edit", resource)
//!     when { resource.owner == principal }
//!     unless { context.hour < 8 };
//!
//!     @id("hold")
//!     forbid (principal, action, resource)
//!     when { resource has hold && resource.hold };
//! "#;
//! let authorizer = Authorizer::builder()
//!     .policies(Policies::new().text(policies).ids_from_annotations())
//!     .entities(r#"[{ "uid": { "type": "Doc", "id": "plan" },
//!                     "attrs": { "owner": { "__entity": { "type": "User", "id": "ann" } } }, "parents": [] }]"#)
//!     .build()?;
//!
//! // In a project: `Cases::from_file("policies/cases.json")?`
//! let cases = Cases::from_json(r#"[
//!     { "name": "Ann edits her plan",
//!       "request": { "principal": "User::\"ann\"", "action": "Action::\"edit\"", "resource": "Doc::\"plan\"",
//!                    "context": { "hour": 9 } },
//!       "decision": "allow", "reason": ["owners-edit"] },
//!     { "name": "Not at night",
//!       "request": { "principal": "User::\"ann\"", "action": "Action::\"edit\"", "resource": "Doc::\"plan\"",
//!                    "context": { "hour": 3 } },
//!       "decision": "deny", "reason": [] }
//! ]"#)?;
//!
//! let report = PolicyTests::new(&authorizer).cases(&cases).report();
//! report.assert_passed();
//!
//! // What the cases leave untried: the forbid, and somebody who is not the owner.
//! let coverage = &report.coverage;
//! let undecided: Vec<_> = coverage.never_decided().map(|policy| policy.id.as_str()).collect();
//! assert_eq!(undecided, ["hold"]);
//! let one_sided: Vec<_> = coverage.one_sided().map(|(_, condition)| condition.condition.expression.as_str()).collect();
//! assert_eq!(one_sided, ["resource.owner == principal", "resource has hold", "resource.hold"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The file
//!
//! A JSON array of cases. It is what the command `cedar run-tests` of Cedar's command line reads, with more to say:
//!
//! | member | |
//! |---|---|
//! | `name` | what the case shows, for people |
//! | `request` | `principal`, `action` and `resource`, each as `"User::\"ann\""` or as `{ "type": "User", "id": "ann" }`; `context`, Cedar's JSON, empty if it is left out; `actors`, who acts for the principal, the current one last ([`Delegation`](crate::Delegation)) |
//! | `entities` | entities for this request, Cedar's JSON; they stand over those of the authorizer ([`Request::entities_json`](crate::Request::entities_json)) |
//! | `decision` | `allow` or `deny` |
//! | `reason` | the ids of the determining policies, all of them and no others; not looked at if it is left out |
//! | `errors` | the ids of the policies that cannot be evaluated; if it is left out, there must be none |
//! | `num_errors` | instead of `errors`: how many |
//! | `outcome` | why, by the name that records have for it: [`Outcome::as_str`](crate::Outcome::as_str) |
//!
//! Any other member is an error, as a misspelt expectation would expect nothing. `cedar run-tests` wants all members but
//! `name`, `errors`, `outcome` and `actors`, takes `entities` for all that there are, and is content if the policies of
//! `reason` are among the determining ones.
//!
//! A deny is expected to be the policies' word. Where a request is refused instead (it is not valid, a delegation has
//! expired, data is too old), the case fails unless it names the outcome: otherwise a test with a spelling mistake in its
//! action would pass for ever.

mod cases;
mod coverage;
mod expected;
mod run;
mod text;

pub use cases::{Cases, CasesError};
pub use coverage::{ConditionCoverage, Coverage, PolicyCoverage};
pub use expected::Expected;
pub use run::{CaseFailure, PolicyTests, TestReport};
