//! Embeddable runtime authorization.
#![forbid(unsafe_code)]

mod authorizer;
mod compile;
mod decision;
mod entity;
mod epoch;
mod eval;
pub mod evidence;
mod ext;
mod id;
mod json;
mod limits;
mod names;
mod program;
mod request;
mod schema;
mod value;

pub use authorizer::{Authorizer, BuildError, Builder, PreparedRequest, Session, Tuning};
pub use compile::{CompileError, Entities, Policies, Problem};
pub use decision::{Decision, Effect, ErrorMode, Outcome};
pub use entity::{EntityError, EntityProblem};
pub use epoch::{Version, VersionDigest};
pub use eval::{OwnedResponse, Response, Scratch};
pub use id::{EntityUid, EntityUidRef, PolicyId};
pub use limits::{Limit, LimitExceeded, Limits};
pub use request::{Entity, Request, RequestError, RequestPart, TraceIds, values};
pub use value::ErrorKind;
