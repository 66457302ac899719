//! Embeddable runtime authorization: [Cedar](https://www.cedarpolicy.com) policies, compiled once and decided
//! inside the calling process.
//!
//! An [`Authorizer`] answers "may this principal do this action on this resource, now?". It gives the answer that
//! `cedar-policy` 4.14.1 gives: the same decision, the same determining policies, the same policies that could not be
//! evaluated, each with the same kind of error. Once warm, a decision allocates nothing. It looks at the policies
//! whose scope can match, not at all of them. And it can leave a record of itself.
//!
//! ```
//! use std::sync::Arc;
//!
//! use duramen::evidence::MemorySink;
//! use duramen::values::Ip;
//! use duramen::{Authorizer, Outcome, Request};
//!
//! let sink = Arc::new(MemorySink::new(100));
//! let authorizer = Authorizer::builder()
//!     .schema_str(r#"
//!         entity Team;
//!         entity User in [Team];
//!         entity Document { owner: User };
//!         action read appliesTo {
//!             principal: User,
//!             resource: Document,
//!             context: { mfa: Bool, sourceIp: ipaddr },
//!         };
//!     "#)
//!     .policies(r#"
//!         @reason("The owner reads.")
//!         permit (principal, action == Action::"read", resource) when { resource.owner == principal };
//!
//!         @reason("From outside, a second factor is needed.")
//!         forbid (principal, action, resource)
//!         unless { context.mfa || context.sourceIp.isInRange(ip("10.0.0.0/8")) };
//!     "#)
//!     .entities(r#"[{ "uid": { "type": "Document", "id": "plan" },
//!                     "attrs": { "owner": { "type": "User", "id": "alice" } }, "parents": [] }]"#)
//!     .validate_requests(true)
//!     .sink(Arc::clone(&sink))
//!     .build()?;
//!
//! // The context is any type that serde can serialize.
//! #[derive(serde::Serialize)]
//! #[serde(rename_all = "camelCase")]
//! struct Context<'a> {
//!     mfa: bool,
//!     source_ip: Ip<'a>,
//! }
//! let at_home = Context { mfa: false, source_ip: Ip::new("192.0.2.7") };
//! let in_office = Context { source_ip: Ip::new("10.1.2.3"), ..at_home };
//!
//! let request = Request::new(("User", "alice"), ("Action", "read"), ("Document", "plan"));
//! assert!(authorizer.is_authorized(&request.context(&in_office)).is_allowed());
//!
//! let response = authorizer.is_authorized(&request.context(&at_home));
//! assert_eq!(response.outcome(), Outcome::Forbidden);
//! for policy in response.determining() {
//!     assert_eq!(policy.annotation("reason"), Some("From outside, a second factor is needed."));
//! }
//!
//! // Both decisions left a record.
//! let records = sink.records();
//! assert_eq!(records.len(), 2);
//! assert_eq!(records[1].outcome, Outcome::Forbidden);
//! # Ok::<(), duramen::BuildError>(())
//! ```
//!
//! # Where to find what
//!
//! | to | see |
//! |---|---|
//! | build an authorizer | [`Authorizer::builder`], [`Builder`] |
//! | load policies: text, JSON, files, a directory, template links | [`Policies`] |
//! | load entities: JSON, typed values, `cedar_policy::Entities` | [`Entities`], [`Entity`] |
//! | say what is asked | [`Request`], [`EntityUidRef`] |
//! | put entity references, addresses, decimals and times into a context | [`values`] |
//! | bring entities along for one request | [`Request::entities`] |
//! | say for whom somebody acts; read it from a token's claims | [`Request::delegation`], [`Delegation`], [`delegation`] |
//! | take workloads by their SPIFFE IDs | [`spiffe`] |
//! | decide | [`Authorizer::is_authorized`], or [`Authorizer::is_allowed`] for the bare answer |
//! | decide in a hot loop | [`Authorizer::session`], [`Authorizer::is_authorized_with`] |
//! | decide one request again and again | [`Authorizer::prepare`] |
//! | decide many requests on the same policies and entities | [`Authorizer::pin`], [`Pinned::is_authorized_batch`] |
//! | read the answer | [`Response`], [`Outcome`], [`evidence::RecordedPolicy`], [`evidence::RecordedError`] |
//! | see why, with the policies' lines and the values they met | [`explain`], [`Response::explain`], [`Authorizer::explain`] |
//! | find what somebody may do, or who may do something | [`Search`], [`Pinned::search`] |
//! | change some of the policies or entities while deciding | [`Authorizer::update_policies`], [`PolicyUpdate`], [`Authorizer::update_entities`], [`EntityUpdate`] |
//! | read what the store holds, or write it down | [`Pinned::entity`], [`Pinned::entities`] |
//! | replace policies or entities while deciding | [`Authorizer::replace_policies`], [`Authorizer::replace_entities`], [`Authorizer::replace_all`] |
//! | serve a stream, a lease or a session as long as it is allowed, and no longer | [`grant`], [`Authorizer::grant`], [`grant::GrantTable`] |
//! | keep evidence of decisions | [`evidence`] |
//! | keep secrets and personal data out of it | [`evidence::MaskSink`], [`evidence::Masks`] |
//! | keep it on disk, and see later whether it was altered | [`evidence::log`] |
//! | not go on with a log that was cut off meanwhile | [`evidence::log::LogOptions::expect_checkpoint`] |
//! | decide a recorded request again, and explain it | [`replay::PolicyArchive`], [`replay::ArchivedPolicies`] |
//! | see what other policies would have decided | [`replay::WhatIf`] from a log, [`Authorizer::set_shadow`] live |
//! | test policies with `cargo test`, and see what the tests leave untried | [`testing`] |
//! | find policies that nobody uses | [`replay::Usage`], [`replay::UsageSink`] |
//! | put decisions into logs, metrics, a SIEM | features `tracing`, `metrics`, `ocsf`: the table in [`evidence`] |
//! | carry trace ids from a `traceparent` header into records | [`Request::traceparent`] |
//! | make evaluation errors deny | [`ErrorMode`] |
//! | deny on data that has not been heard of for too long | [`Freshness`], [`Authorizer::confirm_fresh`] |
//! | let security events (CAEP, RISC) change entities | [`signals`] |
//! | authorize HTTP requests | `tower`, with the feature of that name |
//! | answer others by the AuthZEN API | `authzen`, with the feature of that name |
//! | let policies know what time it is | [`Builder::context_time`] |
//! | bound what is accepted | [`Limits`] |
//!
//! # What to know before relying on it
//!
//! * **Fail closed.** A request that cannot be understood is a deny with [`Outcome::InvalidRequest`], not an error
//!   that a caller could forget.
//! * **Cedar skips policies that fail to evaluate**, forbids too, and so does this crate unless [`ErrorMode`] says
//!   otherwise. The ones skipped are in [`Response::errors`].
//! * **Building is the place for errors.** [`Builder::build`] reports all problems of schema, policies and entities
//!   at once; replacing reports them the same way and leaves in force what was.
//! * **The first decisions of a thread allocate** their working memory, and so does one that is larger than any
//!   before it. An invalid request allocates its error. What is above a megabyte is given back when a thousand
//!   ordinary ones have followed, names of more than a megabyte that no entity or policy has at once.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | gives |
//! |---|---|
//! | `tower` | the module `tower`: a layer that authorizes HTTP requests |
//! | `authzen` | the module `authzen`: the AuthZEN Authorization API 1.0, evaluations and searches |
//! | `tracing` | [`evidence`]`::TracingSink`: decisions as events |
//! | `metrics` | [`evidence`]`::MetricsSink`: decisions counted through the `metrics` facade |
//! | `ocsf` | [`evidence`]`::ocsf`: decisions as events of the Open Cybersecurity Schema Framework |
//! | `signed-checkpoints` | signatures of the durable log's checkpoints |
//!
//! The repository has the rest: `docs/guide.md` goes from a first model to production, `docs/migration.md` comes from
//! `cedar-policy`, `docs/design.md` says what was built and why, `docs/semantics.md` how each rule of
//! Cedar is met and where this crate deviates on purpose, and
//! `cargo run --release --example quickstart` shows a small world at work.
//!
//! There is no `unsafe` in this crate.
// docs.rs says which feature an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod authorizer;
#[cfg(feature = "authzen")]
pub mod authzen;
mod compile;
mod decision;
mod entity;
mod epoch;
mod eval;
pub mod evidence;
pub mod explain;
mod ext;
mod files;
mod freshness;
pub mod grant;
mod id;
mod json;
mod limits;
mod names;
#[cfg(doctest)]
mod pages;
mod program;
pub mod replay;
mod request;
mod schema;
mod search;
pub mod signals;
pub mod spiffe;
mod stopwatch;
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
mod value;

pub use authorizer::{
    AttributeError, AttributeValue, Attributes, Authorizer, BuildError, Builder, Found, Pinned,
    PolicyChanges, PreparedRequest, Session, ShadowCounts, StoredEntities, StoredEntity, Tuning,
};
pub use compile::{
    CompileError, Entities, EntitiesUpdated, EntityProgress, EntityUpdate, Policies,
    PolicyProgress, PolicyUpdate, Problem,
};
pub use decision::{Decision, Effect, EnforcementMode, ErrorMode, Outcome};
pub use entity::{EntityChange, EntityError, EntityProblem};
pub use epoch::{Version, VersionDigest, VersionDigestError};
pub use eval::{OwnedResponse, Response, Scratch};
pub use freshness::{DataSource, Freshness, FreshnessError};
pub use id::{EntityUid, EntityUidError, EntityUidRef, PolicyId};
pub use limits::{Limit, LimitExceeded, Limits};
pub use replay::locate::ErrorLocation;
pub use request::{
    Delegation, Entity, Request, RequestError, RequestPart, TraceIds, delegation, values,
};
pub use search::{Cursor, Search, SearchError};
pub use value::ErrorKind;
