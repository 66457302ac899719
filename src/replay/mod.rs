//! What is built on decisions that were made: where in the source an error is; deciding again what a record says was
//! decided, with Duramen and, independently, with stock Cedar; deciding it with other policies ([`WhatIf`]); and which
//! policies decide at all ([`Usage`]).
//!
//! A record names the digest of the policies that were decided on, and with inputs it says what was read of entities. A
//! [`PolicyArchive`] keeps policies by their digests. Together they are enough:
//!
//! ```
//! use std::sync::Arc;
//! use duramen::evidence::MemorySink;
//! use duramen::replay::PolicyArchive;
//! use duramen::{Authorizer, Request};
//!
//! # let directory = std::env::temp_dir().join(format!("duramen-doc-replay-{}", std::process::id()));
//! let sink = Arc::new(MemorySink::new(10));
//! let authorizer = Authorizer::builder()
//!     .policies(r#"permit(principal in Team::"blue", action, resource);"#)
//!     .entities(r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": {},
//!                     "parents": [{ "type": "Team", "id": "blue" }] }]"#)
//!     .sink(Arc::clone(&sink))
//!     .build()?;
//! let archive = PolicyArchive::open(&directory)?;
//! archive.keep(&authorizer)?;
//! assert!(authorizer.is_allowed(&Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"))));
//!
//! // Years later.
//! let record = &sink.records()[0];
//! let policies = archive.load(record.version.policies())?;
//! assert!(policies.replay(record).is_same());
//! # std::fs::remove_dir_all(directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod archive;
mod asked;
mod decide;
mod explain;
mod export;
// `ErrorLocation` is what decisions have to say and stands at the root of the crate.
pub(crate) mod locate;
mod reason;
mod recorded;
mod usage;
mod whatif;

use std::collections::HashMap;
use std::str::FromStr;

use cedar_policy as cedar;

use crate::id::EntityUidRef;

pub use answer::Answer;
pub use archive::{ArchiveError, PolicyArchive};
pub use decide::{ArchivedPolicies, Replayed, Verdict};
pub use explain::ReplayError;
pub use export::CedarFiles;
pub use reason::{NotReplayable, NotReplayableKind};
pub use usage::{PolicyUse, Usage, UsageReport, UsageSink};
pub use whatif::{
    AskedFact, FilledIn, Flip, FlipCount, Reconsidered, Side, UndeterminedRecord, UnknownCount,
    UnknownFact, WhatIf, WhatIfReport,
};

fn cedar_uid(uid: EntityUidRef<'_>) -> Result<cedar::EntityUid, String> {
    let type_name = cedar::EntityTypeName::from_str(uid.type_name());
    let type_name = type_name.map_err(|error| format!("{uid}: {error}"))?;
    Ok(cedar::EntityUid::from_type_name_and_id(
        type_name,
        cedar::EntityId::new(uid.id()),
    ))
}

/// What a link puts into `?principal` and `?resource`.
fn slot_values(
    [principal, resource]: [Option<EntityUidRef<'_>>; 2],
) -> Result<HashMap<cedar::SlotId, cedar::EntityUid>, String> {
    let slots = [
        (cedar::SlotId::principal(), principal),
        (cedar::SlotId::resource(), resource),
    ];
    let filled = slots
        .into_iter()
        .filter_map(|(slot, uid)| Some((slot, uid?)));
    filled
        .map(|(slot, uid)| Ok((slot, cedar_uid(uid)?)))
        .collect()
}
