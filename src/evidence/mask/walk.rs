//! The walk over a copied record that masks it.
//!
//! Copies are lists of tokens beside a text (`evidence::copied`), whoever made them, so that there is one walk for records of
//! the deciding thread and for those behind a queue. All that it needs stands in memory that is used again.

mod digest;

use std::ops::Range;

use ahash::RandomState;
use hashbrown::HashTable;

use crate::epoch::Epoch;
use crate::names::Names;
use crate::program::ContextUse;
use crate::value::arena::NameText;

use super::hmac::Key;
use super::rules::{Mask, Masks, Root};
use crate::evidence::copied::{Copied, Token};
use crate::evidence::texts::{Span, Texts};
pub(super) use digest::Hex;

/// Working memory of the walk.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Rules that lead to where the walk is: their numbers, and how many of their segments are behind it.
    active: Vec<(usize, usize)>,
    /// Digests of what a set or a record holds.
    parts: Vec<[u8; 32]>,
    /// Rules, and entries of masked types, that something was masked by.
    pub(super) rules: Vec<usize>,
    pub(super) ids: Vec<usize>,
    /// Whether something was masked that a policy may have read.
    pub(super) read: bool,
    /// Entities and texts in what was masked, each once, their texts, and the numbers by these: a client says how many there are,
    /// and how many names are looked up among them.
    secrets: Vec<Secret>,
    secret_text: String,
    secret_index: HashTable<u32>,
    hasher: RandomState,
    /// Type and id of the request's principal and of those who act for it, and their texts.
    principals: Vec<(Span, Span)>,
    principal_text: Texts,
}

/// An entity or a text in a masked value.
#[derive(Debug)]
struct Secret {
    /// For an entity; of `secret_text`, as the other.
    type_name: Option<Range<usize>>,
    text: Range<usize>,
    /// Whether a digest stands for the value.
    digest: bool,
}

impl Work {
    pub(super) fn clear(&mut self) {
        let Self {
            active,
            parts,
            rules,
            ids,
            read,
            secrets,
            secret_text,
            secret_index,
            hasher: _,
            principals,
            principal_text,
        } = self;
        active.clear();
        parts.clear();
        rules.clear();
        ids.clear();
        *read = false;
        secrets.clear();
        secret_text.clear();
        secret_index.clear();
        principals.clear();
        principal_text.clear();
    }

    pub(super) fn add_principal(&mut self, (type_name, id): (&str, &str)) {
        let text = &mut self.principal_text;
        self.principals.push((text.add(type_name), text.add(id)));
    }

    fn is_principal(&self, uid: (&str, &str)) -> bool {
        let text = |(type_name, id): &(Span, Span)| {
            (
                self.principal_text.get(*type_name),
                self.principal_text.get(*id),
            )
        };
        self.principals
            .iter()
            .any(|principal| text(principal) == uid)
    }

    /// Whether there is something in masked values that names of entities or tags could give away.
    pub(super) fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// What is masked in several places has the number and the mask of the first.
    fn keep_secret(&mut self, type_name: Option<&str>, text: &str, digest: bool) {
        if self.secret(type_name, text).is_some() {
            return;
        }
        let hash = self.hasher.hash_one((type_name, text));
        // No request brings four billion texts along.
        let number = u32::try_from(self.secrets.len()).unwrap_or(u32::MAX);
        let mut add = |text: &str| {
            let start = self.secret_text.len();
            self.secret_text.push_str(text);
            start..self.secret_text.len()
        };
        let (type_name, text) = (type_name.map(&mut add), add(text));
        self.secrets.push(Secret {
            type_name,
            text,
            digest,
        });
        let (secrets, texts, hasher) = (&self.secrets, &self.secret_text, &self.hasher);
        self.secret_index.insert_unique(hash, number, |number| {
            hasher.hash_one(told(secrets, texts, *number))
        });
    }

    /// The number of a secret, and whether a digest stands for it.
    fn secret(&self, type_name: Option<&str>, text: &str) -> Option<(u32, bool)> {
        let (secrets, texts) = (&self.secrets, &self.secret_text);
        let asked = (type_name, text);
        let hash = self.hasher.hash_one(asked);
        let is_it = |number: &u32| told(secrets, texts, *number) == asked;
        let number = *self.secret_index.find(hash, is_it)?;
        Some((number, secrets.get(number as usize)?.digest))
    }
}

/// The type, for an entity, and the text of a secret.
fn told<'s>(secrets: &[Secret], texts: &'s str, number: u32) -> (Option<&'s str>, &'s str) {
    let text = |range: &Range<usize>| texts.get(range.clone()).unwrap_or_default();
    let secret = secrets.get(number as usize);
    secret.map_or((None, ""), |secret| {
        (secret.type_name.as_ref().map(text), text(&secret.text))
    })
}

/// Masks values of one copy into another.
pub(super) struct Walk<'w> {
    pub(super) masks: &'w Masks,
    pub(super) key: Option<&'w Key>,
    pub(super) work: &'w mut Work,
    pub(super) from: &'w Copied,
    pub(super) names: &'w Names,
    pub(super) at: usize,
    /// Whether policies may observe what the walk is in.
    observable: bool,
    /// Whether what is masked is noted, for names that would give it away.
    pub(super) noting: bool,
    /// Whether the names of the record that comes next are those of tags.
    naming_tags: bool,
}

impl<'w> Walk<'w> {
    pub(super) fn new(
        masks: &'w Masks,
        key: Option<&'w Key>,
        work: &'w mut Work,
        from: &'w Copied,
        names: &'w Names,
    ) -> Self {
        Self {
            masks,
            key,
            work,
            from,
            names,
            at: 0,
            observable: true,
            noting: true,
            naming_tags: false,
        }
    }

    /// The context: the first value.
    pub(super) fn context(&mut self, epoch: &Epoch, out: &mut Copied) {
        let start = self.begin(|root| *root == Root::Context);
        let whole = epoch.policies.context() == ContextUse::Whole;
        self.record(start..self.work.active.len(), Some(whole), out);
        self.work.active.truncate(start);
    }

    /// The entities that were read of; `uids` are the request's, as they were before they were masked.
    ///
    /// Whom a masked value refers to is not named as an entity that was read of either, nor a tag that has a masked text
    /// as its name; as an entity may come before the value, that takes a second walk, which notes nothing any more. What
    /// the request itself names stays.
    pub(super) fn inputs(&mut self, uids: [(&str, &str); 3], out: &mut Copied) {
        let Some(Token::Set(count)) = self.next() else {
            return;
        };
        out.tokens.push(Token::Set(count));
        for _ in 0..count {
            self.entity(uids, out);
        }
    }

    fn entity(&mut self, uids: [(&str, &str); 3], out: &mut Copied) {
        let Some(uid) = self.next() else { return };
        let entity = self.uid_text(uid);
        self.named_uid(uid, uids, out);
        // Whether it exists.
        let exists = self.next();
        if let Some(exists) = exists {
            out.tokens.push(exists);
        }
        let is = |uid: (&str, &str)| entity == Some(uid);
        // Each hop may read of the principals of the others.
        let is_principal = entity.is_some_and(|uid| self.work.is_principal(uid));
        let start = self.begin(|root| match root {
            Root::Context => false,
            Root::Principal => is_principal,
            Root::Action => is(uids[1]),
            Root::Resource => is(uids[2]),
            Root::Type(name) => entity.is_some_and(|(type_name, _)| **name == *type_name),
            Root::AnyEntity => true,
        });
        if !matches!(exists, Some(Token::Bare(_))) {
            self.attributes_and_tags(start..self.work.active.len(), out);
        }
        self.work.active.truncate(start);
        // Ancestors, and names and uids of what was not there.
        while let Some(Token::Set(count)) = self.from.tokens.get(self.at) {
            self.at += 1;
            out.tokens.push(Token::Set(count));
            for _ in 0..count {
                match self.next() {
                    Some(uid @ (Token::Known(_) | Token::Entity(_))) => {
                        self.named_uid(uid, uids, out);
                    }
                    Some(name) => self.named_tag(name, out),
                    None => return,
                }
            }
        }
    }

    fn attributes_and_tags(&mut self, here: Range<usize>, out: &mut Copied) {
        self.record(here.clone(), None, out);
        // Tags are below a segment of their own.
        let (inner, decided) = self.below(here, "tags");
        match decided {
            Some((rule, mask @ (Mask::Drop | Mask::Digest))) => self.tags(rule, mask, out),
            _ => {
                self.naming_tags = true;
                self.record(inner.clone(), None, out);
            }
        }
    }

    /// All tags at once: a record stays a record.
    fn tags(&mut self, rule: usize, mask: Mask, out: &mut Copied) {
        let Some(Token::Record(count)) = self.next() else {
            return;
        };
        if count > 0 {
            self.hit(rule);
        }
        let kept = if mask == Mask::Drop { 0 } else { count };
        out.tokens.push(Token::Record(kept));
        for _ in 0..count {
            let name = self.next();
            self.note(mask == Mask::Digest);
            if mask == Mask::Drop {
                self.skip();
                continue;
            }
            if let Some(name) = name {
                self.named_tag(name, out);
            }
            self.digest(out);
        }
    }

    /// The rules that begin here.
    fn begin(&mut self, here: impl Fn(&Root) -> bool) -> usize {
        let start = self.work.active.len();
        for (number, rule) in self.masks.rules.iter().enumerate() {
            if here(&rule.root) {
                self.work.active.push((number, 0));
            }
        }
        start
    }

    /// The rules that lead on to a name, and the last of those that end there.
    fn below(&mut self, here: Range<usize>, name: &str) -> (Range<usize>, Option<(usize, Mask)>) {
        let start = self.work.active.len();
        let mut decided: Option<(usize, Mask)> = None;
        for at in here {
            let Some((number, passed)) = self.work.active.get(at).copied() else {
                continue;
            };
            let Some(rule) = self.masks.rules.get(number) else {
                continue;
            };
            if !rule.segments.get(passed).is_some_and(|s| s.matches(name)) {
                continue;
            }
            if passed + 1 < rule.segments.len() {
                self.work.active.push((number, passed + 1));
            } else if decided.is_none_or(|(last, _)| last < number) {
                decided = Some((number, rule.mask));
            }
        }
        (start..self.work.active.len(), decided)
    }

    fn value(&mut self, here: Range<usize>, out: &mut Copied) {
        match self.from.tokens.get(self.at) {
            Some(Token::Record(_)) => self.record(here, None, out),
            Some(Token::Set(count)) => {
                self.at += 1;
                out.tokens.push(Token::Set(count));
                for _ in 0..count {
                    self.value(here.clone(), out);
                }
            }
            Some(uid @ (Token::Known(_) | Token::Entity(_))) => {
                self.at += 1;
                self.masked_uid(uid, out);
            }
            Some(token) => {
                self.at += 1;
                self.copy(token, out);
            }
            None => {}
        }
    }

    /// Of the context's own fields `whole` says whether policies can observe all of them; else those with a name that the
    /// epoch does not know cannot matter.
    fn record(&mut self, here: Range<usize>, whole: Option<bool>, out: &mut Copied) {
        let Some(Token::Record(count)) = self.next() else {
            return;
        };
        let tags = std::mem::take(&mut self.naming_tags);
        let place = out.tokens.len();
        out.tokens.push(Token::Record(0));
        let mut kept = 0;
        for _ in 0..count {
            let Some(key) = self.next() else { break };
            if let Some(whole) = whole {
                self.observable = whole || matches!(key, Token::Name(_));
            }
            let from = self.from;
            let names = self.names;
            let name = match key {
                Token::Name(name) => names.sym_text(name),
                Token::Text(span) => from.text(span),
                _ => "",
            };
            let (inner, decided) = self.below(here.clone(), name);
            match decided {
                Some((rule, Mask::Drop)) => {
                    self.hit(rule);
                    self.note(false);
                    self.skip();
                }
                Some((rule, Mask::Digest)) => {
                    self.hit(rule);
                    self.note(true);
                    self.key(key, tags, out);
                    self.digest(out);
                    kept += 1;
                }
                Some((_, Mask::Keep)) | None => {
                    self.key(key, tags, out);
                    self.value(inner.clone(), out);
                    kept += 1;
                }
            }
            self.work.active.truncate(inner.start);
        }
        out.tokens.set(place, Token::Record(kept));
    }

    fn key(&mut self, key: Token, is_tag: bool, out: &mut Copied) {
        if is_tag {
            self.named_tag(key, out);
        } else {
            self.copy(key, out);
        }
    }

    fn hit(&mut self, rule: usize) {
        self.work.read |= self.observable;
        if !self.work.rules.contains(&rule) {
            self.work.rules.push(rule);
        }
    }

    /// Notes what is in the value that comes next, which is being masked.
    fn note(&mut self, digest: bool) {
        if self.noting {
            let at = self.at;
            self.note_value(digest);
            self.at = at;
        }
    }

    fn note_value(&mut self, digest: bool) {
        let from = self.from;
        match self.next() {
            Some(Token::Set(count)) => (0..count).for_each(|_| self.note_value(digest)),
            Some(Token::Record(count)) => {
                for _ in 0..count {
                    self.next();
                    self.note_value(digest);
                }
            }
            Some(Token::Text(span)) => self.work.keep_secret(None, from.text(span), digest),
            Some(uid @ (Token::Known(_) | Token::Entity(_))) => {
                if let Some((type_name, id)) = self.uid_text(uid) {
                    self.work.keep_secret(Some(type_name), id, digest);
                }
            }
            _ => {}
        }
    }

    /// An entity as one that was read of.
    fn named_uid(&mut self, uid: Token, uids: [(&str, &str); 3], out: &mut Copied) {
        let Some((type_name, id)) = self.uid_text(uid) else {
            return;
        };
        let asked = uids.contains(&(type_name, id)) || self.masks.ids_of(type_name).is_some();
        match self.work.secret(Some(type_name), id) {
            Some((number, digest)) if !asked => {
                // Even if no policy can have read the value: what it names was read.
                self.work.read = true;
                match digest {
                    true => {
                        let id = Hex::of(self.uid_digest(type_name, id));
                        out.add_entity(type_name, id.as_str());
                    }
                    false => out.add_entity_as(type_name, format_args!("masked:{number}")),
                }
            }
            _ => self.masked_uid(uid, out),
        }
    }

    /// The name of a tag, or of something that was not there.
    fn named_tag(&mut self, name: Token, out: &mut Copied) {
        match self.tag_instead(name, out) {
            Some(instead) => {
                self.work.read = true;
                out.tokens.push(instead);
            }
            None => self.copy(name, out),
        }
    }

    /// What stands for a tag's name that is a masked text.
    fn tag_instead(&self, name: Token, out: &mut Copied) -> Option<Token> {
        if !self.work.has_secrets() {
            return None;
        }
        let text = match name {
            Token::Name(name) => self.names.sym_text(name),
            Token::Text(span) => self.from.text(span),
            _ => return None,
        };
        let (number, _) = self.work.secret(None, text)?;
        Some(Token::Text(
            out.add_display(format_args!("masked:{number}")),
        ))
    }

    fn masked_uid(&mut self, uid: Token, out: &mut Copied) {
        let Some((type_name, id)) = self.uid_text(uid) else {
            return;
        };
        match self.masked_id(type_name, id) {
            None => self.copy(uid, out),
            Some(digest) => out.add_entity(type_name, digest.as_str()),
        }
    }

    /// What stands for an id, if those of its type are masked.
    pub(super) fn masked_id(&mut self, type_name: &str, id: &str) -> Option<Hex> {
        let entry = self.masks.ids_of(type_name)?;
        if !self.work.ids.contains(&entry) {
            self.work.ids.push(entry);
        }
        self.work.read = true;
        Some(Hex::of(self.uid_digest(type_name, id)))
    }

    fn uid_text(&self, uid: Token) -> Option<(&'w str, &'w str)> {
        match uid {
            Token::Known(uid) => Some(self.names.uid_text(uid)),
            Token::Entity(pair) => {
                Some((self.from.text(pair.type_name()), self.from.text(pair.id())))
            }
            _ => None,
        }
    }

    fn copy(&self, token: Token, out: &mut Copied) {
        let token = match token {
            Token::Text(span) => Token::Text(out.add_text(self.from.text(span))),
            Token::Entity(pair) => {
                let text = |span| self.from.text(span);
                return out.add_entity(text(pair.type_name()), text(pair.id()));
            }
            Token::Ip(at) => {
                if let Some(ip) = self.from.address(at) {
                    out.add_address(ip);
                }
                return;
            }
            other => other,
        };
        out.tokens.push(token);
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.from.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn skip(&mut self) {
        let mut values = 1_u64;
        while values > 0 {
            values -= 1;
            match self.next() {
                Some(Token::Set(count)) => values += u64::from(count),
                // A key and a value each.
                Some(Token::Record(count)) => values += 2 * u64::from(count),
                Some(_) => {}
                None => return,
            }
        }
    }
}
