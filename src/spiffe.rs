//! SPIFFE IDs: the names of workloads, checked by the standard's grammar, as entities that policies can speak of.
//!
//! Source of the rules: the SPIFFE standard "SPIFFE-ID", sections 2.1 to 2.4.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::id::{EntityUid, EntityUidRef};

/// The longest SPIFFE ID, in bytes (section 2.3).
const LONGEST: usize = 2048;

/// The longest trust domain, in bytes (section 2.1).
const LONGEST_DOMAIN: usize = 255;

const SCHEME: &str = "spiffe://";

/// A SPIFFE ID, such as `spiffe://prod.example/billing/api`, in its canonical form.
///
/// Parsing takes what the standard allows and nothing else. Scheme and trust domain are case-insensitive there, and are
/// lower case here; the path is case-sensitive.
///
/// That a text is a SPIFFE ID says nothing about whether its bearer is that workload: whoever terminates the connection
/// has to have verified that.
///
/// ```
/// use duramen::spiffe::{SpiffeId, WorkloadTypes};
/// use duramen::{Authorizer, Entity, Request};
///
/// let authorizer = Authorizer::builder()
///     .policies(r#"permit(principal in TrustDomain::"prod.example", action, resource)
///                  when { principal.segments.contains("billing") };"#)
///     .build()?;
///
/// let id: SpiffeId = "spiffe://prod.example/billing/api".parse()?;
/// let workload = id.workload(&WorkloadTypes::default());
/// let parents = workload.parents();
/// let entity = Entity::new(workload.uid()).attrs(workload.attributes()).parents(&parents);
/// let request = Request::new(workload.uid(), ("Action", "charge"), ("Account", "1"));
/// assert!(authorizer.is_allowed(&request.entities(&[entity])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiffeId {
    text: String,
    /// Where the trust domain ends.
    domain_end: usize,
}

/// Why a text is no SPIFFE ID.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// It is longer than 2,048 bytes.
    #[error("a SPIFFE ID has at most {LONGEST} bytes, and this has {0}")]
    TooLong(usize),
    /// It does not begin with `spiffe://`.
    #[error("a SPIFFE ID begins with {SCHEME}")]
    Scheme,
    /// The trust domain is empty or longer than 255 bytes.
    #[error("a trust domain has 1 to {LONGEST_DOMAIN} bytes, and this has {0}")]
    DomainLength(usize),
    /// The trust domain has a character that none has: only letters, digits, `.`, `-` and `_` are allowed. Ports, user
    /// names, queries and percent-encoding are not.
    #[error("{character:?} at byte {at} is not allowed in a trust domain")]
    DomainCharacter {
        /// The character.
        character: char,
        /// Where it stands.
        at: usize,
    },
    /// The path has a character that none has: only letters, digits, `.`, `-` and `_` are allowed between slashes.
    #[error("{character:?} at byte {at} is not allowed in a path")]
    PathCharacter {
        /// The character.
        character: char,
        /// Where it stands.
        at: usize,
    },
    /// A segment of the path is empty, `.` or `..`. A slash at the end makes an empty one.
    #[error("{segment:?} at byte {at} is no segment of a path")]
    Segment {
        /// The segment.
        segment: String,
        /// Where it stands.
        at: usize,
    },
}

impl SpiffeId {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain, in lower case.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.domain_end]
    }

    /// The path with its first slash; empty for an ID that names a trust domain itself, by convention its signing authority
    /// and no workload.
    pub fn path(&self) -> &str {
        &self.text[self.domain_end..]
    }

    /// The segments of the path.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().split('/').skip(1)
    }

    /// The workload's uid, to ask about a workload that is stored; allocates nothing.
    ///
    /// The canonical text is the id: however the bearer wrote the scheme and the trust domain, it is one entity.
    ///
    /// ```
    /// use duramen::spiffe::{SpiffeId, WorkloadTypes};
    ///
    /// let id: SpiffeId = "SPIFFE://Prod.Example/billing/api".parse()?;
    /// let uid = id.uid(&WorkloadTypes::default());
    /// assert_eq!(uid.to_string(), r#"Workload::"spiffe://prod.example/billing/api""#);
    /// # Ok::<(), duramen::spiffe::SpiffeIdError>(())
    /// ```
    pub fn uid<'a>(&'a self, types: &WorkloadTypes<'a>) -> EntityUidRef<'a> {
        EntityUidRef::new(types.workload, self.as_str())
    }

    /// The workload as an entity. See [`Workload`].
    pub fn workload(&self, types: &WorkloadTypes<'_>) -> Workload {
        let mut parents = vec![EntityUid::new(types.trust_domain, self.trust_domain())];
        if let Some(path) = types.path {
            let ends = self.path().match_indices('/').map(|(at, _)| at).skip(1);
            parents
                .extend(ends.map(|end| EntityUid::new(path, &self.text[..self.domain_end + end])));
        }
        Workload {
            uid: EntityUid::new(types.workload, self.as_str()),
            attributes: WorkloadAttributes {
                trust_domain: self.trust_domain().to_owned(),
                path: self.path().to_owned(),
                segments: self.segments().map(str::to_owned).collect(),
            },
            parents,
        }
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > LONGEST {
            return Err(SpiffeIdError::TooLong(text.len()));
        }
        let scheme = text.get(..SCHEME.len());
        if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME)) {
            return Err(SpiffeIdError::Scheme);
        }
        let rest = &text[SCHEME.len()..];
        let domain = rest.split('/').next().unwrap_or_default();
        if !(1..=LONGEST_DOMAIN).contains(&domain.len()) {
            return Err(SpiffeIdError::DomainLength(domain.len()));
        }
        if let Some((at, character)) = domain.char_indices().find(|(_, c)| !is_allowed(*c)) {
            let at = SCHEME.len() + at;
            return Err(SpiffeIdError::DomainCharacter { character, at });
        }
        let domain_end = SCHEME.len() + domain.len();
        check_path(text, domain_end)?;
        Ok(Self {
            text: [SCHEME, &domain.to_ascii_lowercase(), &text[domain_end..]].concat(),
            domain_end,
        })
    }
}

fn check_path(text: &str, start: usize) -> Result<(), SpiffeIdError> {
    let mut at = start;
    for segment in text[start..].split('/').skip(1) {
        at += 1;
        if let Some((offset, character)) = segment.char_indices().find(|(_, c)| !is_allowed(*c)) {
            let at = at + offset;
            return Err(SpiffeIdError::PathCharacter { character, at });
        }
        if matches!(segment, "" | "." | "..") {
            let segment = segment.to_owned();
            return Err(SpiffeIdError::Segment { segment, at });
        }
        at += segment.len();
    }
    Ok(())
}

/// In trust domains (where upper case stands for lower) and in segments.
fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The entity types that workloads are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WorkloadTypes<'t> {
    /// The type of workloads. `Workload`, unless set otherwise.
    pub workload: &'t str,
    /// The type of trust domains. `TrustDomain`, unless set otherwise.
    pub trust_domain: &'t str,
    /// The type of what stands above a workload in its path; `None`, as it is unless set otherwise, for no such parents.
    pub path: Option<&'t str>,
}

impl Default for WorkloadTypes<'_> {
    fn default() -> Self {
        Self {
            workload: "Workload",
            trust_domain: "TrustDomain",
            path: None,
        }
    }
}

impl<'t> WorkloadTypes<'t> {
    /// Sets the type of workloads.
    #[must_use]
    pub fn with_workload(mut self, type_name: &'t str) -> Self {
        self.workload = type_name;
        self
    }

    /// Sets the type of trust domains.
    #[must_use]
    pub fn with_trust_domain(mut self, type_name: &'t str) -> Self {
        self.trust_domain = type_name;
        self
    }

    /// Makes each proper prefix of the path a parent of this type: `spiffe://prod.example/billing` above
    /// `spiffe://prod.example/billing/api`.
    #[must_use]
    pub fn with_path(mut self, type_name: &'t str) -> Self {
        self.path = Some(type_name);
        self
    }
}

/// A workload as an entity: `Workload::"spiffe://prod.example/billing/api"`, below `TrustDomain::"prod.example"`.
///
/// What a path means (a namespace, a service account) is between a trust domain and its policies: nothing is inferred
/// from it. And what one trust domain says of a workload says nothing about a workload of another: a policy that looks at a
/// path should name the trust domain, too, as a parent of type [`with_path`](WorkloadTypes::with_path) does by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    uid: EntityUid,
    attributes: WorkloadAttributes,
    parents: Vec<EntityUid>,
}

/// The attributes `trustDomain`, `path` and `segments` of a [`Workload`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadAttributes {
    trust_domain: String,
    path: String,
    segments: Vec<String>,
}

impl Workload {
    /// The workload's uid: the principal of its requests.
    pub fn uid(&self) -> EntityUidRef<'_> {
        self.uid.as_ref()
    }

    /// Its attributes.
    pub fn attributes(&self) -> &WorkloadAttributes {
        &self.attributes
    }

    /// What it is in: the trust domain, and the prefixes of its path if they are asked for.
    pub fn parents(&self) -> Vec<EntityUidRef<'_>> {
        self.parents.iter().map(EntityUid::as_ref).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_the_standard_allows_is_taken() {
        let longest_domain = format!("spiffe://{}/a", "d".repeat(LONGEST_DOMAIN));
        let longest = format!("spiffe://d/{}", "p".repeat(LONGEST - 11));
        for (text, domain, path) in [
            ("spiffe://example.org", "example.org", ""),
            ("spiffe://example.org/a", "example.org", "/a"),
            ("SPIFFE://Example.ORG/Ns/X", "example.org", "/Ns/X"),
            ("spiffe://127.0.0.1/x", "127.0.0.1", "/x"),
            ("spiffe://a_b-c.d/e_f-g.h/...", "a_b-c.d", "/e_f-g.h/..."),
            (&longest_domain, &"d".repeat(LONGEST_DOMAIN), "/a"),
            (&longest, "d", &longest[10..]),
        ] {
            let id: SpiffeId = text.parse().unwrap();
            assert_eq!((id.trust_domain(), id.path()), (domain, path), "{text}");
            assert_eq!(id.as_str(), format!("spiffe://{domain}{path}"));
            assert_eq!(
                id.as_str().parse(),
                Ok(id.clone()),
                "the canonical text is an ID"
            );
        }
    }

    #[test]
    fn what_it_does_not_allow_is_refused() {
        use SpiffeIdError as E;
        let domain = |character, at| E::DomainCharacter { character, at };
        let path = |character, at| E::PathCharacter { character, at };
        let segment = |segment: &str, at| E::Segment {
            segment: segment.to_owned(),
            at,
        };
        let too_long = format!("spiffe://d/{}", "p".repeat(LONGEST - 10));
        let long_domain = format!("spiffe://{}", "d".repeat(LONGEST_DOMAIN + 1));
        for (text, expected) in [
            ("", E::Scheme),
            ("example.org/a", E::Scheme),
            ("https://example.org/a", E::Scheme),
            ("spiffe:/example.org/a", E::Scheme),
            ("spiffé://d", E::Scheme),
            ("spiffe://", E::DomainLength(0)),
            ("spiffe:///a", E::DomainLength(0)),
            (&long_domain, E::DomainLength(LONGEST_DOMAIN + 1)),
            (&too_long, E::TooLong(LONGEST + 1)),
            ("spiffe://d:8080/a", domain(':', 10)),
            ("spiffe://u@d/a", domain('@', 10)),
            ("spiffe://[::1]/a", domain('[', 9)),
            ("spiffe://d?q", domain('?', 10)),
            ("spiffe://dé", domain('é', 10)),
            ("spiffe://d/", segment("", 11)),
            ("spiffe://d/a/", segment("", 13)),
            ("spiffe://d//a", segment("", 11)),
            ("spiffe://d/./a", segment(".", 11)),
            ("spiffe://d/a/..", segment("..", 13)),
            ("spiffe://d/a?q=1", path('?', 12)),
            ("spiffe://d/a#f", path('#', 12)),
            ("spiffe://d/%61", path('%', 11)),
            ("spiffe://d/a b", path(' ', 12)),
            ("spiffe://d/ä", path('ä', 11)),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_workload_is_below_its_trust_domain_and_its_path() {
        let id: SpiffeId = "spiffe://Prod.example/billing/eu/api".parse().unwrap();
        let types = WorkloadTypes::default()
            .with_workload("Acme::Workload")
            .with_path("WorkloadPath");
        let workload = id.workload(&types);
        assert_eq!(
            workload.uid().to_string(),
            r#"Acme::Workload::"spiffe://prod.example/billing/eu/api""#
        );
        let parents: Vec<String> = workload.parents().iter().map(ToString::to_string).collect();
        assert_eq!(
            parents,
            [
                r#"TrustDomain::"prod.example""#,
                r#"WorkloadPath::"spiffe://prod.example/billing""#,
                r#"WorkloadPath::"spiffe://prod.example/billing/eu""#,
            ]
        );
        let attributes = serde_json::to_value(workload.attributes()).unwrap();
        assert_eq!(
            attributes,
            serde_json::json!({
                "trustDomain": "prod.example",
                "path": "/billing/eu/api",
                "segments": ["billing", "eu", "api"],
            })
        );
        let domain: SpiffeId = "spiffe://d".parse().unwrap();
        assert_eq!(domain.workload(&types).parents().len(), 1);
    }
}
