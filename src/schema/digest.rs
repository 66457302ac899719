//! The bytes that a schema's digest is taken over.
//!
//! One tag byte per declaration and type, every text and every list preceded by its length, all lists in
//! the sorted order that the model keeps: the encoding is prefix-free, so different models have different
//! bytes.

use sha2::{Digest, Sha256};

use crate::id::EntityUid;

use super::{ActionDecl, EntityTypeDecl, RecordType, Type};

/// Set apart from everything else that is ever hashed; the number goes up when the encoding changes.
const DOMAIN: &str = "duramen schema 1";

/// The digest of a schema with these declarations, both lists sorted.
pub(super) fn of(entity_types: &[EntityTypeDecl], actions: &[ActionDecl]) -> [u8; 32] {
    let mut out = Canonical(Sha256::new());
    out.text(DOMAIN);
    out.list(entity_types, Canonical::entity_type);
    out.list(actions, Canonical::action);
    out.0.finalize().into()
}

struct Canonical(Sha256);

impl Canonical {
    fn entity_type(&mut self, decl: &EntityTypeDecl) {
        self.text(&decl.name);
        self.tag(u8::from(decl.external));
        self.record(&decl.attributes);
        self.option(decl.tags.as_ref(), Self::ty);
        self.names(&decl.ancestors);
        self.option(decl.enumerated.as_deref(), Self::names);
    }

    /// Direct parents are left out: two declarations with the same closure mean the same in Cedar.
    fn action(&mut self, decl: &ActionDecl) {
        self.uid(&decl.uid);
        self.tag(u8::from(decl.external));
        self.names(&decl.principals);
        self.names(&decl.resources);
        self.record(&decl.context);
        self.list(&decl.ancestors, Self::uid);
    }

    fn ty(&mut self, ty: &Type) {
        match ty {
            Type::Bool => self.tag(0),
            Type::Long => self.tag(1),
            Type::String => self.tag(2),
            Type::Entity(name) => {
                self.tag(3);
                self.text(name);
            }
            Type::Set(element) => {
                self.tag(4);
                self.ty(element);
            }
            Type::Record(record) => {
                self.tag(5);
                self.record(record);
            }
            Type::Extension(extension) => {
                self.tag(6);
                self.text(extension.name());
            }
        }
    }

    fn record(&mut self, record: &RecordType) {
        self.list(record.attributes(), |out, attribute| {
            out.text(&attribute.name);
            out.tag(u8::from(attribute.required));
            out.ty(&attribute.ty);
        });
    }

    fn uid(&mut self, uid: &EntityUid) {
        self.text(uid.type_name());
        self.text(uid.id());
    }

    fn names(&mut self, names: &[Box<str>]) {
        self.list(names, |out, name| out.text(name));
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        for it in items {
            item(self, it);
        }
    }

    fn option<T: ?Sized>(&mut self, value: Option<&T>, some: impl FnOnce(&mut Self, &T)) {
        self.tag(u8::from(value.is_some()));
        if let Some(value) = value {
            some(self, value);
        }
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text);
    }

    fn length(&mut self, length: usize) {
        // Lossless: no supported platform has a `usize` above 64 bits.
        self.0.update((length as u64).to_le_bytes());
    }

    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }
}
