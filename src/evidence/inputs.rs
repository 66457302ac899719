//! What a decision read of entities, as a record has it.

use std::fmt;
use std::io;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::epoch::VersionDigest;
use crate::id::{EntityUidRef, Sym, Uid};
use crate::names::Names;
use crate::request::locals::RequestNames;
use crate::value::Record;
use crate::value::arena::NameText;

use super::context::ContextView;
use super::copied::{Copied, Walk};
use super::json::{Marked, Members, Part};
use super::pieces::Each;

/// What was read of one entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntityInputs<'a> {
    pub(crate) uid: Uid,
    pub(crate) exists: bool,
    /// Those that were read and are there.
    pub(crate) attrs: Record<'a>,
    pub(crate) tags: Record<'a>,
    /// Ancestors: of principal, action and resource all, of others those that were asked for.
    pub(crate) ancestors: &'a [Uid],
    /// Attributes and tags that were asked for and are not there.
    pub(crate) absent: &'a [Sym],
    pub(crate) absent_tags: &'a [Sym],
    /// Absent tags whose names are none of the epoch's or the request's.
    pub(crate) unknown_tags: &'a [&'a str],
    /// What was asked for and is not above; of entities of which not all ancestors are told.
    pub(crate) not_above: &'a [Uid],
}

impl EntityInputs<'_> {
    /// Whether nothing but ancestors was asked for, as of most entities.
    #[inline]
    fn is_bare(&self) -> bool {
        let known = self.attrs.len() + self.tags.len() + self.absent.len();
        known + self.absent_tags.len() + self.unknown_tags.len() + self.not_above.len() == 0
    }
}

/// What a decision read of entities: serialize it with any serde format.
#[derive(Clone, Copy)]
pub struct InputsView<'a>(pub(super) Contents<'a>);

#[derive(Clone, Copy)]
pub(super) enum Contents<'a> {
    Borrowed {
        entities: &'a [EntityInputs<'a>],
        context: Record<'a>,
        names: RequestNames<'a>,
    },
    Copied {
        copied: &'a Copied,
        context: &'a Copied,
        names: &'a Names,
    },
}

impl<'a> InputsView<'a> {
    pub(crate) fn new(
        entities: &'a [EntityInputs<'a>],
        context: Record<'a>,
        names: RequestNames<'a>,
    ) -> Self {
        Self(Contents::Borrowed {
            entities,
            context,
            names,
        })
    }

    /// From copies of the entities and of the context.
    pub(super) fn copied(copied: &'a Copied, context: &'a Copied, names: &'a Names) -> Self {
        Self(Contents::Copied {
            copied,
            context,
            names,
        })
    }

    /// SHA-256 of the JSON text of the context, followed by that of the entities. Computed when asked for: behind a
    /// queue, not by the deciding thread.
    pub fn digest(&self) -> VersionDigest {
        let context = match self.0 {
            Contents::Copied { context, names, .. } => ContextView::copied(context, names),
            Contents::Borrowed { context, names, .. } => ContextView::new(context, names),
        };
        let mut hash = Hash(Sha256::new());
        // Neither a hash nor a serializer of these values fails; were one to, the digest would not match.
        let _ = serde_json::to_writer(&mut hash, &context);
        let _ = serde_json::to_writer(&mut hash, &Entities(self.0));
        <[u8; 32]>::from(hash.0.finalize()).into()
    }

    /// Copies the entities to memory that outlives the decision.
    pub(super) fn copy_to(&self, to: &mut Copied) {
        match self.0 {
            Contents::Copied { copied, .. } => to.add_copied(copied),
            Contents::Borrowed {
                entities, names, ..
            } => {
                to.add_set(entities.len());
                for entity in entities {
                    to.add_uid(entity.uid, names);
                    if entity.is_bare() {
                        to.add_bare(entity.exists);
                        to.add_set(entity.ancestors.len());
                        for above in entity.ancestors {
                            to.add_uid(*above, names);
                        }
                        continue;
                    }
                    to.add_bool(entity.exists);
                    to.add_record(entity.attrs, names);
                    to.add_record(entity.tags, names);
                    to.add_set(entity.ancestors.len());
                    for above in entity.ancestors {
                        to.add_uid(*above, names);
                    }
                    to.add_set(entity.absent.len());
                    for name in entity.absent {
                        to.add_name(*name, names);
                    }
                    to.add_set(entity.absent_tags.len() + entity.unknown_tags.len());
                    for name in entity.absent_tags {
                        to.add_name(*name, names);
                    }
                    for name in entity.unknown_tags {
                        to.add_string(name);
                    }
                    to.add_set(entity.not_above.len());
                    for above in entity.not_above {
                        to.add_uid(*above, names);
                    }
                }
            }
        }
    }
}

struct Hash(Sha256);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for InputsView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputsView").finish_non_exhaustive()
    }
}

impl Serialize for InputsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.member("entities", &Marked(Part::Entities, Entities(self.0)))?;
        map.member("digest", &Marked(Part::Digest, DigestOf(self)))?;
        map.end()
    }
}

/// The digest, computed where it is written.
struct DigestOf<'i, 'a>(&'i InputsView<'a>);

impl Serialize for DigestOf<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.digest().serialize(serializer)
    }
}

/// The entities alone.
struct Entities<'a>(Contents<'a>);

impl Serialize for Entities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Contents::Borrowed {
                entities, names, ..
            } => {
                let entities = || entities.iter().map(|entity| Borrowed { entity, names });
                Each(entities).serialize(serializer)
            }
            Contents::Copied { copied, names, .. } => {
                let walk = Walk::new(copied, names);
                let count = walk.set();
                Each(|| (0..count).map(|_| CopiedEntity(&walk))).serialize(serializer)
            }
        }
    }
}

struct Borrowed<'a> {
    entity: &'a EntityInputs<'a>,
    names: RequestNames<'a>,
}

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { entity, names } = self;
        let uid = |uid: &Uid| EntityUidRef::from(names.uid_text(*uid));
        let mut map = serializer.serialize_map(None)?;
        map.member("uid", &uid(&entity.uid))?;
        if !entity.exists {
            map.member("missing", &true)?;
        }
        map.member("attrs", &ContextView::new(entity.attrs, *names))?;
        if entity.tags.len() > 0 {
            map.member("tags", &ContextView::new(entity.tags, *names))?;
        }
        map.member("parents", &Each(|| entity.ancestors.iter().map(uid)))?;
        for (member, absent, unknown) in [
            ("absent", entity.absent, &[][..]),
            ("absent_tags", entity.absent_tags, entity.unknown_tags),
        ] {
            if !absent.is_empty() || !unknown.is_empty() {
                let texts = || AbsentNames {
                    known: absent.iter(),
                    unknown: unknown.iter(),
                    names,
                };
                map.serialize_entry(member, &Each(texts))?;
            }
        }
        if !entity.not_above.is_empty() {
            let uids = || entity.not_above.iter().map(uid);
            map.member("absent_parents", &Each(uids))?;
        }
        map.end()
    }
}

/// Names of the epoch's and the request's, then others. A chain of two does not know its length.
struct AbsentNames<'a> {
    known: std::slice::Iter<'a, Sym>,
    unknown: std::slice::Iter<'a, &'a str>,
    names: &'a RequestNames<'a>,
}

impl<'a> Iterator for AbsentNames<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        match self.known.next() {
            Some(name) => Some(self.names.sym_text(*name)),
            None => self.unknown.next().copied(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.known.len() + self.unknown.len();
        (len, Some(len))
    }
}

impl ExactSizeIterator for AbsentNames<'_> {}

struct EmptyRecord;

impl Serialize for EmptyRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

/// The entity that comes next in a copy.
struct CopiedEntity<'w, 'a>(&'w Walk<'a>);

impl Serialize for CopiedEntity<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let walk = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.member("uid", &walk.uid())?;
        let (exists, is_bare) = walk.exists();
        if !exists {
            map.member("missing", &true)?;
        }
        if is_bare {
            map.member("attrs", &EmptyRecord)?;
        } else {
            map.member("attrs", &walk.value())?;
            if walk.is_empty_record() {
                walk.skip();
            } else {
                map.member("tags", &walk.value())?;
            }
        }
        let parents = walk.set();
        map.member("parents", &Each(|| (0..parents).map(|_| walk.uid())))?;
        if is_bare {
            return map.end();
        }
        for member in ["absent", "absent_tags"] {
            let count = walk.set();
            if count > 0 {
                map.serialize_entry(member, &Each(|| (0..count).map(|_| walk.key())))?;
            }
        }
        let not_above = walk.set();
        if not_above > 0 {
            map.member(
                "absent_parents",
                &Each(|| (0..not_above).map(|_| walk.uid())),
            )?;
        }
        map.end()
    }
}
