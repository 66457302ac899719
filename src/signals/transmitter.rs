//! What a host declares of a transmitter.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::EntityUid;

use super::subject::{SubjectFormat, SubjectKind};

/// A party whose signals are taken, and what they mean here.
///
/// Nothing has a meaning that is not declared: a subject identifier for which there is no rule is reported as unresolved.
pub struct Transmitter {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) rules: Vec<Rule>,
    pub(super) critical: Vec<SubjectKind>,
    pub(super) sessions: Vec<String>,
    pub(super) claims: BTreeMap<String, String>,
    pub(super) assurance: BTreeMap<String, (String, Vec<String>)>,
    attributes: BTreeMap<SignalAttribute, Option<String>>,
    pub(super) legacy: bool,
}

/// Identifiers of a format that name something of a kind are entities of a type.
pub(super) struct Rule {
    pub(super) kind: SubjectKind,
    pub(super) format: SubjectFormat,
    pub(super) entity: ToEntity,
}

/// From what identifies to the entity.
pub(super) type ToEntity = Box<dyn Fn(&str) -> Option<EntityUid> + Send + Sync>;

macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// An attribute that signals set.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum SignalAttribute {
            $($(#[$doc])* $variant,)*
        }

        impl SignalAttribute {
            /// The name that it has if the host gives it no other.
            pub fn default_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

attributes! {
    /// Of a session: `revoked`, true.
    Revoked => "revoked",
    /// Of a session: `revokedAt`, a datetime.
    RevokedAt => "revokedAt",
    /// Of a user who is named alone: `sessionsRevokedAt`, a datetime. Sessions from before it are revoked.
    SessionsRevokedAt => "sessionsRevokedAt",
    /// Of a session or a user: `lastSeen`, a datetime.
    LastSeen => "lastSeen",
    /// Of a user: `credentialChangedAt`, a datetime.
    CredentialChangedAt => "credentialChangedAt",
    /// Of a user: `credentialRevokedAt`, a datetime; when it was deleted, too.
    CredentialRevokedAt => "credentialRevokedAt",
    /// Of a device: `compliant`, a boolean.
    Compliant => "compliant",
    /// Of anything: `riskLevel`, 1 to 3.
    RiskLevel => "riskLevel",
    /// Of a user: `enabled`, a boolean.
    Enabled => "enabled",
    /// Of a user: `purged`, true.
    Purged => "purged",
    /// Of a user: `mustRotate`, true. The host sets it back.
    MustRotate => "mustRotate",
    /// Of a user: `compromised`, true. The host sets it back.
    Compromised => "compromised",
    /// Of a user: `identifierChangedAt`, a datetime.
    IdentifierChangedAt => "identifierChangedAt",
    /// Of a user: `identifierRecycledAt`, a datetime. Since then the identifier is somebody else's.
    IdentifierRecycledAt => "identifierRecycledAt",
    /// Of a user: `riscState`, `opt-in`, `opt-out-initiated` or `opt-out`.
    RiscState => "riscState",
    /// Of a user: `recoveryActivatedAt`, a datetime.
    RecoveryActivatedAt => "recoveryActivatedAt",
    /// Of a user: `recoveryChangedAt`, a datetime.
    RecoveryChangedAt => "recoveryChangedAt",
}

impl Transmitter {
    /// A transmitter with the `iss` of its tokens and the `aud` that has to be among theirs.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            rules: Vec::new(),
            critical: Vec::new(),
            sessions: Vec::new(),
            claims: BTreeMap::new(),
            assurance: BTreeMap::new(),
            attributes: BTreeMap::new(),
            legacy: false,
        }
    }

    /// Identifiers of the format, where they name something of the kind, are entities of a type, with what identifies as
    /// their id: the address, the `sub`, the `id`. Of an e-mail address the domain is made lower case.
    #[must_use]
    pub fn subject(
        self,
        kind: SubjectKind,
        format: SubjectFormat,
        type_name: impl Into<String>,
    ) -> Self {
        let type_name = type_name.into();
        self.subject_with(kind, format, move |id| {
            Some(EntityUid::new(&*type_name, id))
        })
    }

    /// The same, where the entity takes more to tell: a look-up, say. `None` is an unresolved subject.
    #[must_use]
    pub fn subject_with(
        mut self,
        kind: SubjectKind,
        format: SubjectFormat,
        entity: impl Fn(&str) -> Option<EntityUid> + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Rule {
            kind,
            format,
            entity: Box::new(entity),
        });
        self
    }

    /// Entities of this type that are below a user, a device or another subject are its sessions: those are revoked when
    /// the subject's sessions are.
    #[must_use]
    pub fn sessions(mut self, type_name: impl Into<String>) -> Self {
        self.sessions.push(type_name.into());
        self
    }

    /// A token whose subject has a member of this kind is refused unless the member can be told
    /// (`critical_subject_members` of the transmitter's configuration). Other members that cannot be told are reported.
    #[must_use]
    pub fn critical(mut self, kind: SubjectKind) -> Self {
        self.critical.push(kind);
        self
    }

    /// When this claim of a token changes, so does the attribute: a text, a boolean, an integer or a list of texts. Claims
    /// that are not declared are reported as ignored.
    #[must_use]
    pub fn claim(mut self, claim: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.claims.insert(claim.into(), attribute.into());
        self
    }

    /// Levels of this namespace are an attribute, a number: 1 for the first of `levels`, which begin with the lowest.
    #[must_use]
    pub fn assurance(
        mut self,
        namespace: impl Into<String>,
        attribute: impl Into<String>,
        levels: &[&str],
    ) -> Self {
        let levels = levels.iter().map(|level| (*level).to_owned()).collect();
        self.assurance
            .insert(namespace.into(), (attribute.into(), levels));
        self
    }

    /// Gives an attribute another name.
    #[must_use]
    pub fn attribute(mut self, attribute: SignalAttribute, name: impl Into<String>) -> Self {
        self.attributes.insert(attribute, Some(name.into()));
        self
    }

    /// Does not set an attribute: the schema may not have it.
    #[must_use]
    pub fn without(mut self, attribute: SignalAttribute) -> Self {
        self.attributes.insert(attribute, None);
        self
    }

    /// Takes subjects as they were before the framework's final version: inside the event, with `subject_type` for
    /// `format`.
    #[must_use]
    pub fn legacy_subjects(mut self) -> Self {
        self.legacy = true;
        self
    }

    pub(super) fn name_of(&self, attribute: SignalAttribute) -> Option<String> {
        match self.attributes.get(&attribute) {
            Some(name) => name.clone(),
            None => Some(attribute.default_name().to_owned()),
        }
    }
}

impl fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmitter")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
