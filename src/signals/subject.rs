//! Subject identifiers (RFC 9493, and what the Shared Signals Framework adds) and the entities that they mean.

use std::collections::HashSet;

use crate::entity::Children;
use crate::epoch::Epoch;
use crate::id::{EntityUid, Uid};
use crate::json::Json;
use crate::value::arena::NameText;

use super::event::Event;
use super::report::{SignalError, Unresolved};
use super::token::{Members, Token};
use super::transmitter::{SignalAttribute, Transmitter};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What a subject identifier names: a member of a complex subject.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum SubjectKind {
            $($(#[$doc])* $variant,)*
        }

        impl SubjectKind {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name of the member.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// `user`
    User => "user",
    /// `session`
    Session => "session",
    /// `device`
    Device => "device",
    /// `application`
    Application => "application",
    /// `tenant`
    Tenant => "tenant",
    /// `org_unit`
    OrgUnit => "org_unit",
    /// `group`
    Group => "group",
}

/// How a subject is named. Names that an issuer gives are only unique together with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SubjectFormat {
    /// `account`: an `acct:` URI.
    Account,
    /// `email`
    Email,
    /// `iss_sub`, of this issuer: the `sub`.
    IssSub(String),
    /// `opaque`: the `id`.
    Opaque,
    /// `phone_number`
    PhoneNumber,
    /// `did`: the `url`.
    Did,
    /// `uri`
    Uri,
    /// `jwt_id`, of this issuer: the `jti`.
    JwtId(String),
    /// `saml_assertion_id`, of this issuer: the `assertion_id`.
    SamlAssertionId(String),
}

impl SubjectFormat {
    /// An identifier of this format for a report: the format's name as RFC 9493 has it, the issuer where there is one, and the
    /// identifier itself.
    fn written(&self, id: &str) -> String {
        let (name, issuer) = match self {
            Self::Account => ("account", None),
            Self::Email => ("email", None),
            Self::IssSub(issuer) => ("iss_sub", Some(issuer)),
            Self::Opaque => ("opaque", None),
            Self::PhoneNumber => ("phone_number", None),
            Self::Did => ("did", None),
            Self::Uri => ("uri", None),
            Self::JwtId(issuer) => ("jwt_id", Some(issuer)),
            Self::SamlAssertionId(issuer) => ("saml_assertion_id", Some(issuer)),
        };
        match issuer {
            Some(issuer) => format!("{name} {issuer} {id}"),
            None => format!("{name} {id}"),
        }
    }
}

/// A subject, as far as it is understood.
pub(super) struct Subject {
    /// The members of a complex subject; of a simple one, what it may be.
    members: Vec<Named>,
    complex: bool,
}

/// A member of a subject. What is not understood is one all the same: without it, the subject would be another.
struct Named {
    /// What it is, if the framework has it.
    kind: Option<SubjectKind>,
    /// The entities that it may be, several where it has aliases; or why nothing is known of it.
    uids: Result<Vec<EntityUid>, &'static str>,
    text: String,
}

const NO_RULE: &str = "no rule of the transmitter says what it is";

/// An entity that a signal is about.
pub(super) struct Target {
    pub(super) uid: EntityUid,
    pub(super) role: SubjectKind,
}

impl Target {
    fn new(epoch: &Epoch, uid: Uid, role: SubjectKind) -> Self {
        let uid = epoch.snapshot.names.owned_uid(uid);
        Self { uid, role }
    }
}

impl Subject {
    /// `kinds` is what the subject of the event can be.
    pub(super) fn resolve(
        token: &Token<'_>,
        transmitter: &Transmitter,
        kinds: &[SubjectKind],
    ) -> Result<Self, SignalError> {
        let subject = token.subject;
        if format_of(subject, transmitter)? != "complex" {
            return Self::simple(subject, transmitter, kinds);
        }
        let mut members = Vec::new();
        // The second is what the first was called of old.
        let is_member = |name: &str| !matches!(name, "format" | "subject_type");
        for (name, json) in subject.iter().filter(|(name, _)| is_member(name)) {
            let kind = SubjectKind::ALL.iter().find(|kind| kind.as_str() == name);
            let Some(kind) = kind.copied() else {
                members.push(Named {
                    kind: None,
                    uids: Err("the member is not one of the framework's"),
                    text: name.to_owned(),
                });
                continue;
            };
            if !matches!(json, Json::Object(_)) {
                return Err(subject.ill_typed(name, "a subject identifier"));
            }
            let identifiers = identifiers(subject.object(name)?, transmitter)?;
            let uids = look_up(transmitter, kind, &identifiers);
            if uids.is_empty() && transmitter.critical.contains(&kind) {
                return Err(SignalError::CriticalSubject(kind.as_str()));
            }
            members.push(Named {
                kind: Some(kind),
                uids: (!uids.is_empty()).then_some(uids).ok_or(NO_RULE),
                text: format!("{name}: {}", text_of(&identifiers)),
            });
        }
        if members.is_empty() {
            return Err(subject.ill_typed("sub_id", "a complex subject that has members"));
        }
        Ok(Self {
            members,
            complex: true,
        })
    }

    fn simple(
        subject: Members<'_>,
        transmitter: &Transmitter,
        kinds: &[SubjectKind],
    ) -> Result<Self, SignalError> {
        let identifiers = identifiers(subject, transmitter)?;
        let text = text_of(&identifiers);
        let mut members = Vec::new();
        for kind in kinds {
            let uids = look_up(transmitter, *kind, &identifiers);
            if !uids.is_empty() {
                members.push(Named {
                    kind: Some(*kind),
                    uids: Ok(uids),
                    text: text.clone(),
                });
            }
        }
        if members.is_empty() {
            members.push(Named {
                kind: None,
                uids: Err(NO_RULE),
                text,
            });
        }
        Ok(Self {
            members,
            complex: false,
        })
    }

    /// The stored entities that an event is about.
    pub(super) fn targets(
        mut self,
        epoch: &Epoch,
        children: &Children,
        event: &Event,
        transmitter: &Transmitter,
        unresolved: &mut Vec<Unresolved>,
    ) -> Result<Vec<Target>, SignalError> {
        if !self.complex {
            self.decide_kind(epoch)?;
        }
        let known = self.stored(epoch, unresolved);
        if event.event.revokes_sessions() && self.has_no(SubjectKind::Session) {
            // A member that nothing is known of narrows the subject: without it, others would lose their sessions.
            return Ok(match known.len() == self.members.len() {
                true => self.sessions(epoch, children, &known, transmitter, unresolved),
                false => Vec::new(),
            });
        }
        // Whoever is named with a session has lost that one, stored or not, and no other.
        let kinds = match event.event.revokes_sessions() {
            true => &[SubjectKind::Session],
            false => event.kinds,
        };
        // Where the first that is named is not known, the event is not about the next.
        let mut named: Vec<SubjectKind> = kinds.to_vec();
        named.retain(|kind| !self.has_no(*kind));
        if !event.event.concerns_all_kinds() {
            named.truncate(1);
        }
        let mut targets = Vec::new();
        for (kind, uids) in &known {
            if let Some(kind) = kind.filter(|kind| named.contains(kind)) {
                targets.extend(uids.iter().map(|uid| Target::new(epoch, *uid, kind)));
            }
        }
        let has_kind = self.members.iter().any(|named| named.kind.is_some());
        if named.is_empty() && has_kind {
            unresolved.push(Unresolved {
                subject: self.text(),
                reason: "the event is not about such a subject",
            });
        }
        Ok(targets)
    }

    /// The stored sessions of a subject that names none, and the user if nothing else is named. All members are `known`.
    fn sessions(
        &self,
        epoch: &Epoch,
        children: &Children,
        known: &[(Option<SubjectKind>, Vec<Uid>)],
        transmitter: &Transmitter,
        unresolved: &mut Vec<Unresolved>,
    ) -> Vec<Target> {
        let mut targets: Vec<Target> =
            sessions_below(epoch, children, known, &transmitter.sessions)
                .into_iter()
                .map(|uid| Target::new(epoch, uid, SubjectKind::Session))
                .collect();
        let of_user = transmitter.name_of(SignalAttribute::SessionsRevokedAt);
        // Whoever is named alone has nothing but revoked sessions, also such as are not stored.
        if let ([(Some(SubjectKind::User), users)], Some(_)) = (known, of_user) {
            let users = users.iter();
            targets.extend(users.map(|uid| Target::new(epoch, *uid, SubjectKind::User)));
        } else if targets.is_empty() {
            unresolved.push(Unresolved {
                subject: self.text(),
                reason: "no session of it is stored",
            });
        }
        targets
    }

    /// The members that are stored, each with all that it may be. The others are unresolved.
    fn stored(
        &self,
        epoch: &Epoch,
        unresolved: &mut Vec<Unresolved>,
    ) -> Vec<(Option<SubjectKind>, Vec<Uid>)> {
        let mut known = Vec::new();
        for Named { kind, uids, text } in &self.members {
            let may_be = uids.iter().flatten();
            let stored: Vec<Uid> = may_be.filter_map(|uid| stored_uid(epoch, uid)).collect();
            if stored.is_empty() {
                unresolved.push(Unresolved {
                    subject: text.clone(),
                    reason: uids.as_ref().err().copied().unwrap_or("it is not stored"),
                });
            } else {
                known.push((*kind, stored));
            }
        }
        known
    }

    /// Of what a simple subject may be, what is stored. The format of an identifier does not tell what it names.
    fn decide_kind(&mut self, epoch: &Epoch) -> Result<(), SignalError> {
        let is_stored = |uid: &EntityUid| stored_uid(epoch, uid).is_some();
        let stored = |named: &Named| named.uids.iter().flatten().any(is_stored);
        match self.members.iter().filter(|named| stored(named)).count() {
            0 => self.members.truncate(1),
            1 => self.members.retain(stored),
            _ => {
                let text = self.members.pop().map(|named| named.text);
                return Err(SignalError::AmbiguousSubject(text.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// All of its members, for a report.
    fn text(&self) -> String {
        let texts: Vec<&str> = self.members.iter().map(|named| &*named.text).collect();
        texts.join(", ")
    }

    fn has_no(&self, kind: SubjectKind) -> bool {
        self.members.iter().all(|named| named.kind != Some(kind))
    }
}

fn stored_uid(epoch: &Epoch, uid: &EntityUid) -> Option<Uid> {
    let uid = epoch.snapshot.names.find_uid(uid.type_name(), uid.id())?;
    epoch.snapshot.entity(uid).map(|_| uid)
}

/// Sessions that are below everything that is named.
fn sessions_below(
    epoch: &Epoch,
    children: &Children,
    named: &[(Option<SubjectKind>, Vec<Uid>)],
    session_types: &[String],
) -> Vec<Uid> {
    let snapshot = &epoch.snapshot;
    let types: Vec<_> = session_types
        .iter()
        .filter_map(|name| snapshot.names.find_type(name))
        .collect();
    if types.is_empty() || named.is_empty() {
        return Vec::new();
    }
    let below = |roots: &[Uid]| -> HashSet<Uid> {
        let mut seen: HashSet<Uid> = HashSet::new();
        let mut open = roots.to_vec();
        while let Some(group) = open.pop() {
            open.extend(
                children
                    .of_parent(group)
                    .filter(|child| seen.insert(*child)),
            );
        }
        seen
    };
    let mut sets = named.iter().map(|(_, uids)| below(uids));
    let Some(mut found) = sets.next() else {
        return Vec::new();
    };
    for set in sets {
        found.retain(|uid| set.contains(uid));
    }
    let is_session = |uid: &Uid| {
        let ty = snapshot.names.type_of(*uid);
        ty.is_some_and(|ty| types.contains(&ty)) && snapshot.entity(*uid).is_some()
    };
    let mut found: Vec<Uid> = found.into_iter().filter(is_session).collect();
    found.sort_unstable();
    found
}

/// A format and what identifies in it.
type Identifier = (SubjectFormat, String);

/// The identifier, or those of an `aliases` subject. A format that is not known gives none.
fn identifiers(
    subject: Members<'_>,
    transmitter: &Transmitter,
) -> Result<Vec<Identifier>, SignalError> {
    if format_of(subject, transmitter)? != "aliases" {
        return Ok(identifier(subject, transmitter)?.into_iter().collect());
    }
    let Some(Json::Array(aliases)) = subject.get("identifiers") else {
        return Err(subject.ill_typed("identifiers", "a list of subject identifiers"));
    };
    let mut found = Vec::new();
    for alias in aliases {
        let alias = Members::of(*alias)
            .ok_or_else(|| subject.ill_typed("identifiers", "a list of subject identifiers"))?;
        if matches!(format_of(alias, transmitter)?, "aliases" | "complex") {
            return Err(subject.ill_typed("identifiers", "a list without aliases in it"));
        }
        found.extend(identifier(alias, transmitter)?);
    }
    Ok(found)
}

fn identifier(
    subject: Members<'_>,
    transmitter: &Transmitter,
) -> Result<Option<Identifier>, SignalError> {
    let text = |name| subject.text(name).map(str::to_owned);
    Ok(Some(match format_of(subject, transmitter)? {
        "account" => (SubjectFormat::Account, text("uri")?),
        "email" => (SubjectFormat::Email, email(subject.text("email")?)),
        "iss_sub" => (SubjectFormat::IssSub(text("iss")?), text("sub")?),
        "iss-sub" if transmitter.legacy => (SubjectFormat::IssSub(text("iss")?), text("sub")?),
        "opaque" => (SubjectFormat::Opaque, text("id")?),
        "phone_number" => (SubjectFormat::PhoneNumber, text("phone_number")?),
        "did" => (SubjectFormat::Did, text("url")?),
        "uri" => (SubjectFormat::Uri, text("uri")?),
        "jwt_id" => (SubjectFormat::JwtId(text("iss")?), text("jti")?),
        "saml_assertion_id" => (
            SubjectFormat::SamlAssertionId(text("issuer")?),
            text("assertion_id")?,
        ),
        _ => return Ok(None),
    }))
}

fn format_of<'a>(subject: Members<'a>, transmitter: &Transmitter) -> Result<&'a str, SignalError> {
    match subject.optional_text("subject_type")? {
        Some(format) if transmitter.legacy && subject.get("format").is_none() => Ok(format),
        _ => subject.text("format"),
    }
}

/// The domain of an address is the same in upper and lower case. What is before it is the domain's business.
fn email(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None => address.to_owned(),
    }
}

fn look_up(
    transmitter: &Transmitter,
    kind: SubjectKind,
    identifiers: &[Identifier],
) -> Vec<EntityUid> {
    let mut uids = Vec::new();
    for (format, id) in identifiers {
        let rules = transmitter.rules.iter();
        let rules = rules.filter(|rule| rule.kind == kind && rule.format == *format);
        for uid in rules.filter_map(|rule| (rule.entity)(id)) {
            if !uids.contains(&uid) {
                uids.push(uid);
            }
        }
    }
    uids
}

fn text_of(identifiers: &[Identifier]) -> String {
    match identifiers {
        [] => "(of an unknown format)".to_owned(),
        identifiers => {
            let texts = identifiers.iter().map(|(format, id)| format.written(id));
            texts.collect::<Vec<_>>().join(", ")
        }
    }
}
