//! What is to be masked: paths, and types whose ids are.

use std::fmt;

use super::hmac::Key;

/// What becomes of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Mask {
    /// It stays: for making an exception from a rule that was added before.
    Keep,
    /// It is left out.
    Drop,
    /// In its place stands a text, `hmac-sha256:` and 64 hexadecimal digits: equal values have equal ones under one key, so
    /// that records still join, and without the key nobody can tell which value it was by trying them all.
    Digest,
}

/// Which values of a record are masked, and how.
///
/// # Paths
///
/// A path names a variable or an entity type, then attributes, down into records:
///
/// | path | is |
/// |---|---|
/// | `context.token` | the field of the context |
/// | `principal.ssn`, `resource.owner.name` | an attribute of the request's principal or resource, and a field of one; of each principal of a delegation, in all of its hops |
/// | `User.ssn`, `Shop::User.ssn` | an attribute of all entities of a type |
/// | `*.ssn` | an attribute of all entities |
/// | `User.tags.site`, `User.tags` | a tag, and all of them (an attribute of the name `tags` as well) |
/// | `context.*`, `context.*.secret` | any field |
/// | `context["two words"]` | a name that is no identifier |
///
/// What is below a masked value is masked with it. A path leads through sets to what they hold. Where several rules are for
/// one value, the one that was added last counts.
///
/// What an entity attribute's value refers to is not followed: mask `User.ssn`, not `resource.owner.ssn`.
///
/// A path that leads nowhere masks nothing and is no error: a type may get the attribute later. So a typing error
/// (`contxt.token` is an attribute of the type `contxt`) shows only in a record, or by [`Masks::checked_against`] a schema.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    pub(super) rules: Vec<Rule>,
    /// Entity types whose ids are masked; `*` is all that are no actions.
    pub(super) ids: Vec<Box<str>>,
    key: Option<Key>,
    short_key: bool,
}

/// A path and what becomes of what is there.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) text: Box<str>,
    pub(super) root: Root,
    pub(super) segments: Vec<Segment>,
    pub(super) mask: Mask,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Root {
    Context,
    Principal,
    Action,
    Resource,
    Type(Box<str>),
    AnyEntity,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Segment {
    Any,
    Name(Box<str>),
}

/// What a record says was masked in it, by one rule: what of it cannot be relied on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Hidden {
    /// The ids of entities.
    Ids,
    /// A field of the context; any with `None`.
    Context(Option<Box<str>>),
    /// Attributes and tags of the entities of a type; of any with `None`.
    OfEntities(Option<Box<str>>, HiddenNames),
}

/// Names of attributes and of tags. What is below one that is masked in part cannot be relied on either.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HiddenNames {
    attribute: Segment,
    tag: Option<Segment>,
}

impl Hidden {
    /// From a text of [`DecisionRecord::masked`](crate::evidence::DecisionRecord::masked); `None` if it is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.starts_with("id(") {
            return Some(Self::Ids);
        }
        let rule = Rule::parse(text, Mask::Drop).ok()?;
        let mut segments = rule.segments.into_iter();
        let first = segments.next()?;
        let of_type = match rule.root {
            Root::Context => {
                return Some(Self::Context(match first {
                    Segment::Any => None,
                    Segment::Name(name) => Some(name),
                }));
            }
            Root::Type(name) => Some(name),
            // Of a chain of delegation, each hop has a principal.
            Root::Principal | Root::Action | Root::Resource | Root::AnyEntity => None,
        };
        let tag = match &first {
            Segment::Any => Some(Segment::Any),
            Segment::Name(name) if **name == *"tags" => {
                Some(segments.next().unwrap_or(Segment::Any))
            }
            Segment::Name(_) => None,
        };
        let names = HiddenNames {
            attribute: first,
            tag,
        };
        Some(Self::OfEntities(of_type, names))
    }

    /// The field of the context that it is.
    pub(crate) fn context(&self) -> Option<&str> {
        match self {
            Self::Context(field) => field.as_deref(),
            Self::Ids | Self::OfEntities(..) => None,
        }
    }
}

impl HiddenNames {
    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        self.attribute.matches(name)
    }

    pub(crate) fn has_tag(&self, name: &str) -> bool {
        self.tag.as_ref().is_some_and(|tag| tag.matches(name))
    }
}

impl Segment {
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(own) => **own == *name,
        }
    }
}

/// What is wrong with masks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// A path is not one.
    #[error("`{path}` is not a path to mask: {what}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something is to be replaced by its keyed digest, and there is no key.
    #[error("digests need a key: call `Masks::key`")]
    NoKey,
    /// The key is too short to keep anybody from guessing it.
    #[error("the key is shorter than 16 bytes; take 32 random ones")]
    ShortKey,
}

/// From so many bytes on a key is taken.
const SHORTEST_KEY: usize = 16;

impl Masks {
    /// No masks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of digests: at least 16 bytes, better 32 random ones. Who has it can find out by trying which value a digest
    /// is of; records under another key do not join.
    #[must_use]
    pub fn key(mut self, key: &[u8]) -> Self {
        self.short_key = key.len() < SHORTEST_KEY;
        self.key = Some(Key::new(key));
        self
    }

    /// Masks what is at a path.
    ///
    /// # Errors
    /// [`MaskError::Path`] for what is no path.
    pub fn path(mut self, path: &str, mask: Mask) -> Result<Self, MaskError> {
        self.rules.push(Rule::parse(path, mask)?);
        Ok(self)
    }

    /// Masks the ids of all entities of a type, wherever they stand: by their digests, since a record without a principal
    /// is none. `*` is all types but those of actions. An entity whose type name is not one, as `Shop :: User`, may be meant to be
    /// of any type, and its id is masked by any of these.
    #[must_use]
    pub fn ids(mut self, type_name: &str) -> Self {
        self.ids.push(type_name.into());
        self
    }

    /// The key, where one is needed.
    pub(super) fn checked_key(&self) -> Result<Option<Key>, MaskError> {
        let digests = self.rules.iter().any(|rule| rule.mask == Mask::Digest);
        match &self.key {
            Some(_) if self.short_key => Err(MaskError::ShortKey),
            None if digests || !self.ids.is_empty() => Err(MaskError::NoKey),
            key => Ok(key.clone()),
        }
    }

    /// Whether the ids of a type are masked; by which of the entries.
    pub(super) fn ids_of(&self, type_name: &str) -> Option<usize> {
        let of_type = self.ids.iter().position(|masked| match &**masked {
            "*" => !crate::schema::is_action_type(type_name),
            masked => masked == type_name,
        });
        // A request with such a name is refused, and recorded all the same.
        let is_no_type =
            || !self.ids.is_empty() && !crate::json::is_normalized_type_name(type_name);
        of_type.or_else(|| is_no_type().then_some(0))
    }
}

impl Rule {
    fn parse(path: &str, mask: Mask) -> Result<Self, MaskError> {
        let wrong = |what| MaskError::Path {
            path: path.to_owned(),
            what,
        };
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (root, mut rest) = path.split_at(end);
        let root = match root {
            "context" => Root::Context,
            "principal" => Root::Principal,
            "action" => Root::Action,
            "resource" => Root::Resource,
            "*" => Root::AnyEntity,
            name if name.split("::").all(is_identifier) => Root::Type(name.into()),
            _ => return Err(wrong("it must begin with a variable or an entity type")),
        };
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let (segment, behind) = match rest.strip_prefix('.') {
                Some(name) => {
                    let end = name.find(['.', '[']).unwrap_or(name.len());
                    let (name, behind) = name.split_at(end);
                    let segment = match name {
                        "*" => Segment::Any,
                        name if is_identifier(name) => Segment::Name(name.into()),
                        _ => return Err(wrong("a name that is no identifier is written [\"…\"]")),
                    };
                    (segment, behind)
                }
                None => quoted(rest).ok_or_else(|| wrong("`[` is followed by a string and `]`"))?,
            };
            segments.push(segment);
            rest = behind;
        }
        if segments.is_empty() {
            return Err(wrong(
                "it must go on with an attribute, as in `context.email`",
            ));
        }
        Ok(Self {
            text: path.into(),
            root,
            segments,
            mask,
        })
    }
}

/// The name in `["…"]`, and what is behind it. `\"` and `\\` are the only escapes.
fn quoted(text: &str) -> Option<(Segment, &str)> {
    let inner = text.strip_prefix("[\"")?;
    let mut name = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let behind = inner.get(at + 1..)?.strip_prefix(']')?;
                return Some((Segment::Name(name.into()), behind));
            }
            '\\' => name.push(chars.next()?.1),
            c => name.push(c),
        }
    }
    None
}

fn is_identifier(name: &str) -> bool {
    let start = |c: char| c == '_' || c.is_ascii_alphabetic();
    name.starts_with(start) && name.chars().all(|c| start(c) || c.is_ascii_digit())
}

/// A path from its parts, in the form that [`Masks::path`] reads; `None` is any name.
pub(crate) fn path_text(root: &str, names: &[Option<&str>]) -> String {
    let mut path = root.to_owned();
    for name in names {
        let Some(name) = name else {
            path.push_str(".*");
            continue;
        };
        if is_identifier(name) {
            path.push('.');
            path.push_str(name);
        } else {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            path.push_str("[\"");
            path.push_str(&name);
            path.push_str("\"]");
        }
    }
    path
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Digest => "digest",
        })
    }
}
