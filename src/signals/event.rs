//! What events say: the eight of CAEP 1.0, those of RISC 1.0, and the two of the framework.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::compile::EntityUpdate;
use crate::epoch::hex;
use crate::id::EntityUid;
use crate::json::Json;
use crate::request::values::Datetime;

use super::order::{FOR_GOOD, FOR_GOOD_HERE, Rank};
use super::report::{IgnoredSignal, SignalError};
use super::subject::SubjectKind;
use super::token::{Members, Token};
use super::transmitter::{SignalAttribute as Attribute, Transmitter};

const BASE: &str = "https://schemas.openid.net/secevent/";

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// A kind of event.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum SignalEvent {
            $(#[doc = concat!("`", $name, "`")] $(#[$doc])* $variant,)*
        }

        impl SignalEvent {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The end of the event's URI, behind `https://schemas.openid.net/secevent/`.
            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

events! {
    SessionRevoked => "caep/event-type/session-revoked",
    TokenClaimsChange => "caep/event-type/token-claims-change",
    CredentialChange => "caep/event-type/credential-change",
    AssuranceLevelChange => "caep/event-type/assurance-level-change",
    DeviceComplianceChange => "caep/event-type/device-compliance-change",
    SessionEstablished => "caep/event-type/session-established",
    SessionPresented => "caep/event-type/session-presented",
    RiskLevelChange => "caep/event-type/risk-level-change",
    AccountCredentialChangeRequired => "risc/event-type/account-credential-change-required",
    AccountPurged => "risc/event-type/account-purged",
    AccountDisabled => "risc/event-type/account-disabled",
    AccountEnabled => "risc/event-type/account-enabled",
    IdentifierChanged => "risc/event-type/identifier-changed",
    IdentifierRecycled => "risc/event-type/identifier-recycled",
    CredentialCompromise => "risc/event-type/credential-compromise",
    OptIn => "risc/event-type/opt-in",
    OptOutInitiated => "risc/event-type/opt-out-initiated",
    OptOutCancelled => "risc/event-type/opt-out-cancelled",
    OptOutEffective => "risc/event-type/opt-out-effective",
    RecoveryActivated => "risc/event-type/recovery-activated",
    RecoveryInformationChanged => "risc/event-type/recovery-information-changed",
    /// Superseded by `session-revoked`.
    SessionsRevoked => "risc/event-type/sessions-revoked",
    Verification => "ssf/event-type/verification",
    StreamUpdated => "ssf/event-type/stream-updated",
}

impl SignalEvent {
    /// The event's URI.
    pub fn uri(self) -> String {
        format!("{BASE}{}", self.name())
    }

    /// What its subject can be; of a complex subject, the first of these that it names. A risk level says itself what it is
    /// about.
    pub(super) fn kinds(self) -> &'static [SubjectKind] {
        use SubjectKind::{Device, Session, User};
        match self {
            Self::Verification | Self::StreamUpdated => &[],
            Self::SessionRevoked => &[Session, User, Device],
            Self::SessionEstablished | Self::SessionPresented => &[Session, User],
            Self::TokenClaimsChange | Self::AssuranceLevelChange => &[Session, User],
            Self::DeviceComplianceChange => &[Device],
            Self::RiskLevelChange => SubjectKind::ALL,
            _ => &[User],
        }
    }

    /// Whether it is about all of its kinds that the subject names, and not about the first.
    pub(super) fn concerns_all_kinds(self) -> bool {
        matches!(self, Self::SessionEstablished | Self::SessionPresented)
    }

    pub(super) fn revokes_sessions(self) -> bool {
        matches!(self, Self::SessionRevoked | Self::SessionsRevoked)
    }
}

/// What an event says.
pub(super) struct Event {
    pub(super) event: SignalEvent,
    pub(super) kinds: &'static [SubjectKind],
    pub(super) settings: Vec<Setting>,
    pub(super) ignored: Vec<IgnoredSignal>,
}

/// An attribute that it sets.
pub(super) struct Setting {
    pub(super) attribute: String,
    /// Of what.
    pub(super) on: &'static [SubjectKind],
    pub(super) value: Said,
    pub(super) merge: Merge,
}

#[derive(Debug)]
pub(super) enum Said {
    Flag(bool),
    Long(i64),
    Text(String),
    Texts(Vec<String>),
    /// When it happened.
    Time,
}

impl Setting {
    /// Whether it might allow something. Times are there to be asked whether something happened since, but when a session was
    /// seen.
    pub(super) fn may_loosen(&self, event: SignalEvent) -> bool {
        match &self.merge {
            Merge::Sticky | Merge::At(..) => false,
            Merge::Latest => event.concerns_all_kinds(),
            Merge::Last(rank) | Merge::LastUnless(_, rank) => !rank.restricts,
        }
    }
}

/// What becomes of what was said before.
pub(super) enum Merge {
    /// It is never unset.
    Sticky,
    /// The latest time stays.
    Latest,
    /// What happened last stays.
    Last(Rank),
    /// The same, except where this attribute of the entity is true: then nothing changes.
    LastUnless(String, Rank),
    /// As if it happened at this time.
    At(i64, Rank),
}

impl Said {
    /// The update with the attribute set to it.
    pub(super) fn set(
        &self,
        update: EntityUpdate,
        uid: &EntityUid,
        attribute: &str,
        time: Datetime<'_>,
    ) -> EntityUpdate {
        match self {
            Self::Flag(flag) => update.set_attr(uid, attribute, flag),
            Self::Long(number) => update.set_attr(uid, attribute, number),
            Self::Text(text) => update.set_attr(uid, attribute, text),
            Self::Texts(texts) => update.set_attr(uid, attribute, texts),
            Self::Time => update.set_attr(uid, attribute, &time),
        }
    }
}

/// Reads the event of a token and checks what it says, also that of which nothing is made.
pub(super) fn read(token: &Token<'_>, transmitter: &Transmitter) -> Result<Event, SignalError> {
    let known = |event: &&SignalEvent| token.event_type.strip_prefix(BASE) == Some(event.name());
    let event = SignalEvent::ALL
        .iter()
        .find(known)
        .copied()
        .ok_or_else(|| SignalError::UnknownEvent(token.event_type.to_owned()))?;
    let mut reader = Reader {
        transmitter,
        said: token.event,
        event: Event {
            event,
            kinds: event.kinds(),
            settings: Vec::new(),
            ignored: Vec::new(),
        },
    };
    reader.common()?;
    reader.read(event)?;
    Ok(reader.event)
}

struct Reader<'a, 't> {
    transmitter: &'t Transmitter,
    said: Members<'a>,
    event: Event,
}

impl Reader<'_, '_> {
    fn common(&self) -> Result<(), SignalError> {
        let entities = ["admin", "user", "policy", "system"];
        if self.said.get("initiating_entity").is_some() {
            let expected = "`admin`, `user`, `policy` or `system`";
            self.said.one_of("initiating_entity", &entities, expected)?;
        }
        for reason in ["reason_admin", "reason_user"] {
            // A map from language tags; a plain text is what the interoperability profile suggests.
            match self.said.get(reason) {
                None | Some(Json::String(_)) => {}
                Some(Json::Object(texts))
                    if texts.iter().all(|(_, text)| text.as_str().is_some()) => {}
                Some(_) => return Err(self.said.ill_typed(reason, "texts by language")),
            }
        }
        Ok(())
    }

    fn read(&mut self, event: SignalEvent) -> Result<(), SignalError> {
        use SignalEvent as Is;
        match event {
            Is::SessionRevoked | Is::SessionsRevoked => self.revoked(),
            Is::SessionEstablished | Is::SessionPresented => self.seen()?,
            Is::TokenClaimsChange => self.claims()?,
            Is::CredentialChange => self.credential()?,
            Is::AssuranceLevelChange => self.assurance()?,
            Is::DeviceComplianceChange => {
                let states = ["compliant", "not-compliant"];
                let expected = "`compliant` or `not-compliant`";
                self.said.one_of("previous_status", &states, expected)?;
                let compliant =
                    self.said.one_of("current_status", &states, expected)? == "compliant";
                self.flag(Attribute::Compliant, compliant, !compliant);
            }
            Is::RiskLevelChange => self.risk()?,
            Is::AccountCredentialChangeRequired => self.flag(Attribute::MustRotate, true, true),
            Is::AccountPurged => {
                self.set(Attribute::Purged, Said::Flag(true), Merge::Sticky);
                // Where the store does not say that it is purged, only the order of events does.
                let purged = self.transmitter.name_of(Attribute::Purged);
                let at = purged.map_or(FOR_GOOD_HERE, |_| FOR_GOOD);
                let merge = Merge::At(at, rank(1, "", true));
                self.set(Attribute::Enabled, Said::Flag(false), merge);
            }
            Is::AccountDisabled => {
                // The two reasons that there are say what to look for and change nothing here.
                self.said.optional_text("reason")?;
                self.flag(Attribute::Enabled, false, true);
            }
            Is::AccountEnabled => {
                let rank = rank(0, "", false);
                let merge = match self.transmitter.name_of(Attribute::Purged) {
                    Some(purged) => Merge::LastUnless(purged, rank),
                    None => Merge::Last(rank),
                };
                self.set(Attribute::Enabled, Said::Flag(true), merge);
            }
            Is::IdentifierChanged => {
                self.said.optional_text("new-value")?;
                self.time(Attribute::IdentifierChangedAt);
            }
            Is::IdentifierRecycled => self.time(Attribute::IdentifierRecycledAt),
            Is::CredentialCompromise => {
                self.said.text("credential_type")?;
                self.flag(Attribute::Compromised, true, true);
            }
            Is::OptIn | Is::OptOutCancelled => self.exchange("opt-in"),
            Is::OptOutInitiated => self.exchange("opt-out-initiated"),
            Is::OptOutEffective => self.exchange("opt-out"),
            Is::RecoveryActivated => self.time(Attribute::RecoveryActivatedAt),
            Is::RecoveryInformationChanged => self.time(Attribute::RecoveryChangedAt),
            Is::Verification => {
                self.said.optional_text("state")?;
            }
            Is::StreamUpdated => {
                let states = ["enabled", "paused", "disabled"];
                self.said
                    .one_of("status", &states, "`enabled`, `paused` or `disabled`")?;
                self.said.optional_text("reason")?;
            }
        }
        Ok(())
    }

    fn revoked(&mut self) {
        let session = &[SubjectKind::Session];
        self.set_on(session, Attribute::Revoked, Said::Flag(true), Merge::Sticky);
        self.set_on(session, Attribute::RevokedAt, Said::Time, Merge::Latest);
        let user = &[SubjectKind::User];
        let at = Attribute::SessionsRevokedAt;
        self.set_on(user, at, Said::Time, Merge::Latest);
    }

    fn seen(&mut self) -> Result<(), SignalError> {
        self.said.optional_text("fp_ua")?;
        self.said.optional_text("ext_id")?;
        self.said.optional_text("acr")?;
        for list in ["ips", "amr"] {
            // The specification's own example has a text for `amr`.
            self.said
                .get(list)
                .map_or(Ok(Vec::new()), |json| self.texts(list, json))?;
        }
        self.time(Attribute::LastSeen);
        Ok(())
    }

    fn credential(&mut self) -> Result<(), SignalError> {
        self.said.text("credential_type")?;
        for name in [
            "friendly_name",
            "x509_issuer",
            "x509_serial",
            "fido2_aaguid",
        ] {
            self.said.optional_text(name)?;
        }
        let changes = ["create", "revoke", "update", "delete"];
        let expected = "`create`, `revoke`, `update` or `delete`";
        let change = self.said.one_of("change_type", &changes, expected)?;
        self.time(Attribute::CredentialChangedAt);
        if matches!(change, "revoke" | "delete") {
            self.time(Attribute::CredentialRevokedAt);
        }
        Ok(())
    }

    fn claims(&mut self) -> Result<(), SignalError> {
        let claims = self.said.object("claims")?;
        let transmitter = self.transmitter;
        let mut greatest: BTreeMap<&str, (Rank, &str, Said)> = BTreeMap::new();
        for (claim, json) in claims.iter() {
            let Some(attribute) = transmitter.claims.get(claim) else {
                self.ignore(
                    claim,
                    "the transmitter's declaration does not have the claim",
                );
                continue;
            };
            let value = match json {
                Json::Bool(flag) => Said::Flag(flag),
                Json::Integer(number) => Said::Long(number),
                Json::String(text) => Said::Text(text.to_owned()),
                Json::Array(_) => Said::Texts(self.texts(claim, json)?),
                _ => {
                    let expected = "a text, a boolean, an integer or a list of texts";
                    return Err(claims.ill_typed(claim, expected));
                }
            };
            // With its type: values that differ have ranks that do. Hashed, as a value may be long.
            let hash = Sha256::digest(format!("{value:?}"));
            let rank = rank(0, &String::from_utf8_lossy(&hex(&hash.into())), false);
            let mut said = (rank, claim, value);
            // Claims of one attribute stand as they would in tokens of one moment.
            if let Some(other) = greatest.remove(&**attribute) {
                let (greater, less) = if other.0 < said.0 {
                    (said, other)
                } else {
                    (other, said)
                };
                self.ignore(less.1, "the value of another claim of the token stays");
                said = greater;
            }
            greatest.insert(attribute, said);
        }
        for (attribute, (rank, _, value)) in greatest {
            self.event.settings.push(Setting {
                attribute: attribute.to_owned(),
                on: self.event.kinds,
                value,
                merge: Merge::Last(rank),
            });
        }
        Ok(())
    }

    fn assurance(&mut self) -> Result<(), SignalError> {
        let namespace = self.said.text("namespace")?;
        let level = self.said.text("current_level")?;
        self.said.optional_text("previous_level")?;
        if self.said.get("change_direction").is_some() {
            let expected = "`increase` or `decrease`";
            self.said
                .one_of("change_direction", &["increase", "decrease"], expected)?;
        }
        let Some((attribute, levels)) = self.transmitter.assurance.get(namespace) else {
            self.ignore(
                namespace,
                "the transmitter's declaration does not have the namespace",
            );
            return Ok(());
        };
        let Some(at) = levels.iter().position(|known| known == level) else {
            return Err(self
                .said
                .ill_typed("current_level", "a level that is declared"));
        };
        let number = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1);
        self.event.settings.push(Setting {
            attribute: attribute.clone(),
            on: self.event.kinds,
            value: Said::Long(number),
            // The lower one is the stricter. The lowest takes away whatever there was.
            merge: Merge::Last(rank(number.saturating_neg(), level, at == 0)),
        });
        Ok(())
    }

    fn risk(&mut self) -> Result<(), SignalError> {
        use SubjectKind as Kind;
        self.event.kinds = match self.said.text("principal")? {
            "USER" => &[Kind::User],
            "DEVICE" => &[Kind::Device],
            "SESSION" => &[Kind::Session],
            "TENANT" => &[Kind::Tenant],
            "ORG_UNIT" => &[Kind::OrgUnit],
            "GROUP" => &[Kind::Group],
            _ => {
                return Err(self
                    .said
                    .ill_typed("principal", "a kind of subject that is known"));
            }
        };
        let levels = ["LOW", "MEDIUM", "HIGH"];
        let expected = "`LOW`, `MEDIUM` or `HIGH`";
        let level = self.said.one_of("current_level", &levels, expected)?;
        if self.said.get("previous_level").is_some() {
            self.said.one_of("previous_level", &levels, expected)?;
        }
        self.said.optional_text("risk_reason")?;
        let number = match level {
            "LOW" => 1,
            "MEDIUM" => 2,
            _ => 3,
        };
        // Only the highest takes away whatever there was.
        let merge = Merge::Last(rank(number, level, number == 3));
        self.set(Attribute::RiskLevel, Said::Long(number), merge);
        Ok(())
    }

    fn exchange(&mut self, state: &str) {
        let merge = Merge::Last(rank(0, state, false));
        self.set(Attribute::RiscState, Said::Text(state.to_owned()), merge);
    }

    fn flag(&mut self, attribute: Attribute, value: bool, restricts: bool) {
        let merge = Merge::Last(rank(i64::from(restricts), "", restricts));
        self.set(attribute, Said::Flag(value), merge);
    }

    fn time(&mut self, attribute: Attribute) {
        self.set(attribute, Said::Time, Merge::Latest);
    }

    fn set(&mut self, attribute: Attribute, value: Said, merge: Merge) {
        self.set_on(self.event.kinds, attribute, value, merge);
    }

    fn set_on(
        &mut self,
        on: &'static [SubjectKind],
        attribute: Attribute,
        value: Said,
        merge: Merge,
    ) {
        if let Some(attribute) = self.transmitter.name_of(attribute) {
            self.event.settings.push(Setting {
                attribute,
                on,
                value,
                merge,
            });
        }
    }

    fn ignore(&mut self, name: &str, reason: &'static str) {
        self.event.ignored.push(IgnoredSignal {
            entity: None,
            name: name.to_owned(),
            reason,
        });
    }

    /// A list of texts, or one of them.
    fn texts(&self, name: &str, json: Json<'_>) -> Result<Vec<String>, SignalError> {
        let ill_typed = || self.said.ill_typed(name, "a list of texts");
        match json {
            Json::String(text) => Ok(vec![text.to_owned()]),
            Json::Array(items) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(ill_typed))
                .collect(),
            _ => Err(ill_typed()),
        }
    }
}

fn rank(severity: i64, text: &str, restricts: bool) -> Rank {
    Rank {
        severity,
        text: text.to_owned(),
        restricts,
    }
}
