//! What became of a signal.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::compile::EntitiesUpdated;
use crate::entity::EntityError;
use crate::epoch::Version;
use crate::id::EntityUid;
use crate::value::arena::TableFull;

use super::event::SignalEvent;
use super::token::Token;

/// What a signal has done. Made by [`SignalReceiver::apply`](super::SignalReceiver::apply).
#[derive(Clone, PartialEq, Debug)]
pub struct SignalReport {
    event: SignalEvent,
    jti: String,
    at: i64,
    pub(super) replayed: bool,
    pub(super) changes: Vec<(EntityUid, String)>,
    pub(super) unread: Vec<(EntityUid, String)>,
    pub(super) ignored: Vec<IgnoredSignal>,
    pub(super) unresolved: Vec<Unresolved>,
    pub(super) updated: Option<EntitiesUpdated>,
}

/// Something that a signal says and that was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct IgnoredSignal {
    /// Which entity it is about; `None` where it was not asked about any.
    pub entity: Option<EntityUid>,
    /// The attribute, claim or namespace.
    pub name: String,
    /// Why not.
    pub reason: &'static str,
}

/// A subject, or a member of one, that nothing is known of.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Unresolved {
    /// The identifier: its format and what identifies; of a complex subject, behind the member's name.
    pub subject: String,
    /// Why nothing is known of it.
    pub reason: &'static str,
}

impl SignalReport {
    pub(super) fn new(event: SignalEvent, token: &Token<'_>) -> Self {
        Self {
            event,
            jti: token.jti.to_owned(),
            at: token.at,
            replayed: false,
            changes: Vec::new(),
            unread: Vec::new(),
            ignored: Vec::new(),
            unresolved: Vec::new(),
            updated: None,
        }
    }

    pub(super) fn ignore(&mut self, entity: &EntityUid, name: &str, reason: &'static str) {
        self.ignored.push(IgnoredSignal {
            entity: Some(entity.clone()),
            name: name.to_owned(),
            reason,
        });
    }

    /// Which event it is.
    pub fn event(&self) -> SignalEvent {
        self.event
    }

    /// The token's id, `jti`.
    pub fn token_id(&self) -> &str {
        &self.jti
    }

    /// When it happened: the event's `event_timestamp`, or else the token's `toe`, or else its `iat`.
    pub fn time(&self) -> SystemTime {
        let by = Duration::from_millis(self.at.unsigned_abs());
        let time = match self.at {
            0.. => UNIX_EPOCH.checked_add(by),
            _ => UNIX_EPOCH.checked_sub(by),
        };
        time.unwrap_or(UNIX_EPOCH)
    }

    /// Whether the token was there before. Then nothing was done.
    pub fn is_replay(&self) -> bool {
        self.replayed
    }

    /// Which attributes of which entities were set.
    pub fn changes(&self) -> &[(EntityUid, String)] {
        &self.changes
    }

    /// Changes that no policy can notice: those of entities of which no policy in force reads anything that was set. The
    /// signal was applied, and for these entities no decision comes out differently by it: probably a policy is missing that
    /// asks for one of the attributes.
    ///
    /// That a policy reads an attribute means that it has its name, behind `.` or `has`, on what may be an entity of the type. In
    /// case of doubt it does: what is told here is certain. Names of tags and of fields of the context do not count.
    /// `revokedAt` is not among these where a policy reads `revoked` of the session.
    pub fn unread(&self) -> &[(EntityUid, String)] {
        &self.unread
    }

    /// What was not done although it was said: events that were overtaken, claims that nobody declared, and those of an
    /// attribute for which the token has another claim.
    pub fn ignored(&self) -> &[IgnoredSignal] {
        &self.ignored
    }

    /// Subjects that nothing is known of. What is not known of a subject was not done, and may be the whole of it: look here
    /// for revocations that took nothing back. The token may be applied again when the subject is known.
    pub fn unresolved(&self) -> &[Unresolved] {
        &self.unresolved
    }

    /// The update of the store, if there was one.
    pub fn updated(&self) -> Option<&EntitiesUpdated> {
        self.updated.as_ref()
    }

    /// The version in force since, if the store was updated.
    pub fn version(&self) -> Option<Version> {
        self.updated.as_ref().map(EntitiesUpdated::version)
    }
}

/// A signal that was refused. Nothing has changed.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The payload is no JSON text, or too long (64 KiB) or too deep.
    #[error("the payload cannot be read: {0}")]
    Malformed(String),
    /// A member that has to be there is not.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A member is of another type, or has a value that the specification does not know.
    #[error("`{member}` must be {expected}")]
    IllTyped {
        /// The member.
        member: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The Shared Signals Framework forbids the claim.
    #[error("`{0}` must not stand in a token of the Shared Signals Framework")]
    ForbiddenClaim(&'static str),
    /// No transmitter with this issuer was declared.
    #[error("no transmitter `{}` is declared", .0.escape_debug())]
    UnknownIssuer(String),
    /// The token is for somebody else.
    #[error("the token is not for this audience")]
    WrongAudience,
    /// A token has one event.
    #[error("a token has exactly one event, and this has {0}")]
    NotOneEvent(usize),
    /// The event is not one that is understood.
    #[error("the event type `{}` is not known", .0.escape_debug())]
    UnknownEvent(String),
    /// The token was issued, or the event happened, later than can be; five minutes are allowed for clocks that differ.
    #[error("`{0}` is a time in the future")]
    InFuture(&'static str),
    /// The subject has a member that the transmitter declares critical and that cannot be told.
    #[error("the critical subject member `{0}` is not understood")]
    CriticalSubject(&'static str),
    /// By the declarations the subject may be of several kinds, and entities of more than one are stored.
    #[error("the subject may be several entities: `{}`", .0.escape_debug())]
    AmbiguousSubject(String),
    /// The store refused the update.
    #[error(transparent)]
    Entities(#[from] EntityError),
}

impl From<TableFull> for SignalError {
    fn from(full: TableFull) -> Self {
        Self::Entities(full.into())
    }
}
