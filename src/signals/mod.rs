//! Signals: what other parties say has happened to users, sessions and devices, as updates of entities.
//!
//! The payload of a Security Event Token (RFC 8417) whose signature the host has verified goes to a [`SignalReceiver`]. It
//! understands the eight events of CAEP 1.0, the account events of RISC 1.0 and the two of the Shared Signals Framework
//! itself. Which entity a subject identifier (RFC 9493) means is declared by the host for each [`Transmitter`] and never
//! guessed.
//!
//! | event | what it sets |
//! |---|---|
//! | `session-revoked`, `sessions-revoked` | `revoked`, `revokedAt` of the session; or of every stored session below the subject; `sessionsRevokedAt` of a user who is named alone |
//! | `session-established`, `session-presented` | `lastSeen` |
//! | `token-claims-change` | the attributes of those claims that were declared |
//! | `credential-change` | `credentialChangedAt`, and `credentialRevokedAt` when it was revoked or deleted |
//! | `assurance-level-change` | the attribute that was declared for the namespace, as a number |
//! | `device-compliance-change` | `compliant` |
//! | `risk-level-change` | `riskLevel`: 1 low, 2 medium, 3 high |
//! | `account-disabled`, `account-enabled` | `enabled` |
//! | `account-purged` | `purged`; `enabled` becomes false for good |
//! | `account-credential-change-required` | `mustRotate` |
//! | `credential-compromise` | `compromised` |
//! | `identifier-changed`, `identifier-recycled` | `identifierChangedAt`, `identifierRecycledAt` |
//! | `opt-in`, `opt-out-…` | `riscState` |
//! | `recovery-activated`, `recovery-information-changed` | `recoveryActivatedAt`, `recoveryChangedAt` |
//! | `verification`, `stream-updated` | nothing |
//!
//! Events come in any order and more than once. Whatever the order, the outcome is the same: `revoked` and `purged` are only
//! ever set; times only go on; for everything else the event that happened last counts, for each entity and attribute by
//! itself, and of two at one moment the stricter or, of claims of which neither is, always the same one.
//!
//! What they set is in the store and nowhere else: whoever replaces all entities, or upserts one, brings along what signals have
//! set, or takes it back.
//!
//! An attribute does something where a policy reads it. [`SignalReport::unread`] has what was set and is read by none: log it, as a
//! revocation that nobody asks for denies nothing.
//!
//! To learn which grants a signal took back, apply it within
//! [`GrantTable::revoked_by`](crate::grant::GrantTable::revoked_by), or give the table a callback.

mod event;
mod order;
mod report;
mod subject;
mod token;
mod transmitter;
mod unread;

use std::sync::{Mutex, PoisonError};

use bumpalo::Bump;

use crate::authorizer::Authorizer;
use crate::compile::EntityUpdate;
use crate::epoch::Epoch;
use crate::freshness::Moment;
use crate::id::EntityUid;
use crate::request::values::Datetime;
use crate::value::View;

use event::{Merge, Setting};
use order::{Order, Place};
use subject::{Subject, Target};
use token::Token;

pub use event::SignalEvent;
pub use report::{IgnoredSignal, SignalError, SignalReport, Unresolved};
pub use subject::{SubjectFormat, SubjectKind};
pub use transmitter::{SignalAttribute, Transmitter};

/// Takes signals and makes them updates of entities.
///
/// One receiver an authorizer. It remembers, in memory, which tokens it has had (65,536 of them) and when what it last set
/// happened (for 1,048,576 pairs of entity and attribute). What is forgotten is forgotten safely: for pairs of which nothing
/// is remembered, events from before what was forgotten only make things stricter.
///
/// ```
/// use duramen::signals::{SignalReceiver, SubjectFormat, SubjectKind, Transmitter};
/// use duramen::{Authorizer, Entities, Entity, Request};
///
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource) unless { principal has revoked && principal.revoked };")
///     .entities(Entities::new().insert(Entity::new(("Session", "s-1"))))
///     .build()?;
/// let receiver = SignalReceiver::new().transmitter(
///     Transmitter::new("https://idp.example/", "https://api.example/signals")
///         .subject(SubjectKind::Session, SubjectFormat::Opaque, "Session"),
/// );
///
/// let request = Request::new(("Session", "s-1"), ("Action", "read"), ("Doc", "plan"));
/// assert!(authorizer.is_allowed(&request));
///
/// // The claims of a token whose signature was verified.
/// let report = receiver.apply(&authorizer, r#"{
///     "iss": "https://idp.example/", "aud": "https://api.example/signals", "jti": "1", "iat": 1700000000,
///     "sub_id": { "format": "opaque", "id": "s-1" },
///     "events": { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {} }
/// }"#)?;
/// assert_eq!(report.changes()[0].0.id(), "s-1");
/// assert!(report.unread().is_empty(), "no policy would notice: {:?}", report.unread());
/// assert!(!authorizer.is_allowed(&request));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct SignalReceiver {
    transmitters: Vec<Transmitter>,
    order: Mutex<Order>,
}

impl SignalReceiver {
    /// A receiver that nobody may send to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes signals of a transmitter, too. One that has the same issuer is replaced.
    #[must_use]
    pub fn transmitter(mut self, transmitter: Transmitter) -> Self {
        let others = |known: &Transmitter| known.issuer != transmitter.issuer;
        self.transmitters.retain(others);
        self.transmitters.push(transmitter);
        self
    }

    /// The entities as they were loaded know of everything that happened up to this time: events from before it only make
    /// things stricter. For a receiver that begins anew with a store that does not.
    #[must_use]
    pub fn starting_at(self, time: std::time::SystemTime) -> Self {
        // A time that no datetime can say is later than all events.
        let at = Moment::of(time).map_or(i64::MAX, |Moment(at)| at);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.start_at(at);
        drop(order);
        self
    }

    /// Applies the payload of a Security Event Token, a JSON object.
    ///
    /// Signals are applied one after the other. As an update of entities they are `out_of_band`: they make no data younger.
    /// What hears of the update while it is made, such as the callback of a grant that ends by it, must not apply another
    /// signal to the same receiver: it would wait for itself. Hand it to another thread.
    ///
    /// # Errors
    /// [`SignalError`] when the payload breaks a rule of the specifications or of the transmitter's declaration, when the
    /// subject has a critical member that cannot be told, and when the store refuses the update. Then nothing has changed.
    ///
    /// A subject that is not known, a token that was there before and an event that was overtaken are no errors: the report
    /// says so.
    pub fn apply(
        &self,
        authorizer: &Authorizer,
        payload: &str,
    ) -> Result<SignalReport, SignalError> {
        let arena = Bump::new();
        let (transmitter, token) = Token::parse(&arena, payload, &self.transmitters)?;
        token.check_times(authorizer.clock_millis())?;
        let event = event::read(&token, transmitter)?;
        let mut report = SignalReport::new(event.event, &token);
        let subject = match event.kinds {
            [] => return Ok(report),
            kinds => Subject::resolve(&token, transmitter, kinds)?,
        };
        // One signal at a time.
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.has_seen(token.issuer, token.jti) {
            report.replayed = true;
            return Ok(report);
        }
        let mut places: Vec<Place> = Vec::new();
        // Within the writer's turn: what is read of the store is what the update finds, whoever else changes it.
        let updated = authorizer.change_entities(None, false, |epoch, children| {
            let unresolved = &mut report.unresolved;
            let targets = subject.targets(epoch, children, &event, transmitter, unresolved)?;
            // Nobody knows whether what is stored is the one that all members describe together.
            let is_sure = unresolved.is_empty();
            let purged = transmitter.name_of(SignalAttribute::Purged);
            let mut update = EntityUpdate::new();
            for Target { uid, role } in &targets {
                for setting in event.settings.iter().filter(|s| s.on.contains(role)) {
                    let attribute = &setting.attribute;
                    if !is_sure && setting.may_loosen(event.event) {
                        report.ignore(uid, attribute, NOT_SURE);
                        continue;
                    }
                    match place_of(setting, (uid, purged.as_deref()), token.at, &order, epoch) {
                        Ok(place) => places.extend(place),
                        Err(why) => {
                            report.ignore(uid, attribute, why);
                            continue;
                        }
                    }
                    let time = Datetime::from_millis(token.at);
                    update = setting.value.set(update, uid, attribute, time);
                    report.changes.push((uid.clone(), attribute.clone()));
                }
            }
            Ok::<_, SignalError>(update)
        })?;
        if !report.changes.is_empty() {
            report.updated = Some(updated);
            report.unread = unread::unread(&authorizer.epoch(), &report.changes);
        }
        places.into_iter().for_each(|place| order.take(place));
        // A subject that is not there yet may be when the token comes again.
        if report.unresolved.is_empty() {
            order.see(token.issuer, token.jti);
        }
        report.ignored.extend(event.ignored);
        Ok(report)
    }
}

const NOT_SURE: &str = "a member of the subject is not known, so that it may be another, and this does not only take away";

/// Where a setting that happened at `at` belongs in the order of what is said of its attribute, if that has one; or why
/// it changes nothing. `purged` is the attribute of those whose account was purged, where there is one.
fn place_of(
    setting: &Setting,
    (uid, purged): (&EntityUid, Option<&str>),
    at: i64,
    order: &Order,
    epoch: &Epoch,
) -> Result<Option<Place>, &'static str> {
    let attribute = &setting.attribute;
    let (at, rank) = match &setting.merge {
        Merge::Sticky => return Ok(None),
        Merge::Latest if stored_time(epoch, uid, attribute) >= Some(at) => {
            return Err("what is there is as late");
        }
        Merge::Latest => return Ok(None),
        Merge::Last(rank) => (at, rank),
        Merge::LastUnless(flag, _) if is_set(epoch, uid, flag) => return Err("it is purged"),
        Merge::LastUnless(_, rank) => (at, rank),
        Merge::At(at, rank) => (*at, rank),
    };
    let place = Place::new(uid, attribute, at, rank.clone());
    // Whoever was purged and is not any more, the host has taken back.
    let undone = purged.is_some_and(|purged| !is_set(epoch, uid, purged));
    order.admits(&place, undone)?;
    Ok(Some(place))
}

/// The time that an attribute of a stored entity has, in milliseconds.
fn stored_time(epoch: &Epoch, uid: &EntityUid, attribute: &str) -> Option<i64> {
    match stored(epoch, uid, attribute)? {
        View::Datetime(time) => Some(time.millis()),
        _ => None,
    }
}

/// Whether an attribute of a stored entity is true.
fn is_set(epoch: &Epoch, uid: &EntityUid, attribute: &str) -> bool {
    matches!(stored(epoch, uid, attribute), Some(View::Bool(true)))
}

fn stored<'e>(epoch: &'e Epoch, uid: &EntityUid, attribute: &str) -> Option<View<'e>> {
    let names = &epoch.snapshot.names;
    let uid = names.find_uid(uid.type_name(), uid.id())?;
    let attrs = epoch.snapshot.entity(uid)?.attrs();
    Some(attrs.get(names.find_sym(attribute)?)?.value().view())
}
