//! From schema sources to Cedar's schema and to Duramen's model of it.
//!
//! Cedar parses and checks; what it then holds cannot be read back: `cedar_policy::Schema` tells which
//! types and actions there are and how they relate, but no public function of it tells the type of an
//! attribute, a tag or a context. **A `cedar_policy::Schema` alone is therefore not enough to build a model
//! from**; its source is needed, as text or as JSON.
//!
//! So types are taken from the source: each fragment is asked for its JSON form
//! (`SchemaFragment::to_json_value`, for both syntaxes the same), names in it are resolved and common types
//! expanded by Cedar's rules ([`resolve`]), and hierarchies closed ([`hierarchy`]). What else Cedar tells is taken from Cedar:
//! names, `appliesTo`, what is external. Cedar checks the schema as a whole before
//! any of this is used, so resolving never meets an undeclared name or a cycle.
//!
//! Cedar's parsers recurse without a limit. Text is to be measured before it comes here; the types that common types
//! expand to, which Cedar walks in full, and hierarchies, which it closes, are measured here.

mod hierarchy;
mod json;
pub(crate) mod masks;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{EntityTypeName, Schema, SchemaFragment};

use crate::id::EntityUid;
use crate::limits::{LimitExceeded, Limits};
use crate::schema::{ActionDecl, EntityTypeDecl, SchemaModel};

use super::error::{Problem, line_column, take_json_place};
use hierarchy::{Hierarchies, Hierarchy};
use json::{Fragment, RawAction, RawEntityType};
use resolve::Definitions;

/// How deep a type may nest once common types are expanded. Cedar has no such limit and overflows the stack
/// instead.
const MAX_TYPE_DEPTH: usize = 128;

/// How many types all declarations of a schema may expand to. Cedar has no such limit and takes exponential
/// time instead (`type B = {x: A, y: A}; type C = {x: B, y: B}; …`).
const MAX_TYPE_COUNT: usize = 1 << 20;

/// One fragment of a schema, as its author wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SchemaSource<'a> {
    /// Cedar schema syntax.
    CedarText(&'a str),
    /// Cedar's JSON schema syntax.
    JsonText(&'a str),
}

/// A schema in both forms.
#[derive(Debug)]
pub(crate) struct CompiledSchema {
    /// Cedar's: what policies are validated against.
    pub(crate) schema: Schema,
    /// Ours: what requests and entities are checked against.
    pub(crate) model: SchemaModel,
    /// What Cedar finds odd about the sources, such as a type that hides a built-in one.
    pub(crate) warnings: Vec<String>,
}

/// Compiles the fragments of one schema. Together they must be complete: each may refer to what another
/// declares (`Schema::from_schema_fragments`). An external declaration stays external, even if another
/// fragment has its definition, which Cedar refuses as a duplicate: linking is not offered here.
pub(crate) fn compile(
    sources: &[SchemaSource<'_>],
    limits: &Limits,
) -> Result<CompiledSchema, SchemaError> {
    let mut parsed = Vec::with_capacity(sources.len());
    let mut read = Vec::with_capacity(sources.len());
    let mut warnings = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let fragment = source
            .parse(&mut warnings)
            .map_err(|error| error.in_source(index))?;
        read.push(Fragment::read(fragment.clone()).map_err(|error| error.in_source(index))?);
        parsed.push(fragment);
    }
    let definitions = Definitions::collect(&read);
    definitions.check_size(&read)?;
    let hierarchies = Hierarchies::read(&definitions, &read);
    hierarchies.check(limits)?;
    let schema = Schema::from_schema_fragments(parsed).map_err(|error| {
        let error = SchemaError::from_cedar(&DetailedError::from(&error));
        match sources {
            [only] => error.with_position(*only).in_source(0),
            // Cedar does not say which fragment it means.
            _ => SchemaError {
                offset: None,
                ..error
            },
        }
    })?;
    let model = model(&schema, &read, &definitions, &hierarchies)?;
    Ok(CompiledSchema {
        schema,
        model,
        warnings,
    })
}

impl SchemaSource<'_> {
    fn parse(self, warnings: &mut Vec<String>) -> Result<SchemaFragment, SchemaError> {
        let parsed = match self {
            Self::CedarText(text) => SchemaFragment::from_cedarschema_str(text)
                .map(|(fragment, found)| {
                    warnings.extend(found.map(|warning| warning.to_string()));
                    fragment
                })
                .map_err(|error| DetailedError::from(&error)),
            Self::JsonText(text) => {
                SchemaFragment::from_json_str(text).map_err(|error| DetailedError::from(&error))
            }
        };
        parsed.map_err(|mut error| {
            let place = match self {
                Self::CedarText(_) => None,
                Self::JsonText(text) => take_json_place(&mut error.message, text),
            };
            let error = SchemaError::from_cedar(&error);
            match (self, place) {
                (Self::JsonText(text), Some(at)) => SchemaError {
                    position: Some(line_column(text, at)),
                    offset: Some(at..at),
                    ..error
                },
                _ => error.with_position(self),
            }
        })
    }
}

/// The model of a schema that Cedar accepted.
fn model(
    schema: &Schema,
    fragments: &[Fragment],
    definitions: &Definitions<'_>,
    hierarchies: &Hierarchies,
) -> Result<SchemaModel, SchemaError> {
    let mut entity_types = BTreeMap::new();
    let mut actions = BTreeMap::new();
    for (namespace, body) in fragments.iter().flat_map(Fragment::namespaces) {
        for (name, decl) in &body.entity_types {
            entity_types.insert(resolve::qualify(namespace, name), (namespace, decl));
        }
        for (id, decl) in &body.actions {
            let uid = EntityUid::new(resolve::qualify(namespace, "Action"), id);
            actions.insert(uid, (namespace, decl));
        }
    }

    // Both ways: a declaration that Cedar does not have would be as wrong as one that we do not have.
    let entity_decls = entity_decls(schema, definitions, &hierarchies.types, &mut entity_types)?;
    if let Some((name, _)) = entity_types.first_key_value() {
        return Err(SchemaError::disagreement(name));
    }
    let action_decls = action_decls(schema, definitions, &hierarchies.actions, &mut actions)?;
    if let Some((uid, _)) = actions.first_key_value() {
        return Err(SchemaError::disagreement(&uid.to_string()));
    }
    Ok(SchemaModel::new(entity_decls, action_decls))
}

/// Declarations as they were read, by what they declare, each with its namespace.
type Declared<'f, K, D> = BTreeMap<K, (&'f str, &'f D)>;

/// The entity types that Cedar has. What is read of their declarations is taken out of `declared`.
fn entity_decls(
    schema: &Schema,
    definitions: &Definitions<'_>,
    hierarchy: &Hierarchy<String>,
    declared: &mut Declared<'_, String, RawEntityType>,
) -> Result<Vec<EntityTypeDecl>, SchemaError> {
    let mut decls = Vec::with_capacity(declared.len());
    for name in schema.entity_types() {
        let text = name.to_string();
        let Some((namespace, decl)) = declared.remove(&text) else {
            return Err(SchemaError::disagreement(&text));
        };
        let enumerated = decl
            .choices
            .as_ref()
            .map(|ids| sorted(ids.iter().map(|id| id.as_str())));
        // Not `Schema::ancestors`, which looks through all types for each.
        let ancestors = hierarchy.ancestors(&text);
        decls.push(EntityTypeDecl {
            ancestors: ancestors.iter().map(|name| name.as_str().into()).collect(),
            name: text.into(),
            attributes: definitions.record(namespace, decl.shape.as_ref())?,
            tags: decl
                .tags
                .as_ref()
                .map(|ty| definitions.expand(namespace, ty))
                .transpose()?,
            enumerated,
            external: decl.external,
        });
    }

    Ok(decls)
}

/// The same for the actions.
fn action_decls(
    schema: &Schema,
    definitions: &Definitions<'_>,
    hierarchy: &Hierarchy<EntityUid>,
    declared: &mut Declared<'_, EntityUid, RawAction>,
) -> Result<Vec<ActionDecl>, SchemaError> {
    let mut decls = Vec::with_capacity(declared.len());
    for uid in schema.actions() {
        let text = EntityUid::new(uid.type_name().to_string(), uid.id().unescaped());
        let Some((namespace, decl)) = declared.remove(&text) else {
            return Err(SchemaError::disagreement(&text.to_string()));
        };
        decls.push(ActionDecl {
            principals: type_names(schema.principals_for_action(uid)),
            resources: type_names(schema.resources_for_action(uid)),
            context: definitions.record(
                namespace,
                decl.applies_to.as_ref().and_then(|to| to.context.as_ref()),
            )?,
            parents: definitions.parents(namespace, decl)?,
            ancestors: hierarchy.ancestors(&text).into_iter().cloned().collect(),
            external: decl.external,
            uid: text,
        });
    }
    Ok(decls)
}

fn type_names<'a>(names: Option<impl Iterator<Item = &'a EntityTypeName>>) -> Box<[Box<str>]> {
    let names: Vec<String> = names.into_iter().flatten().map(|n| n.to_string()).collect();
    sorted(names.iter().map(String::as_str))
}

/// Sorted and without duplicates.
fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = names.map(Box::from).collect();
    names.sort_unstable();
    names.dedup();
    names.into_boxed_slice()
}

/// Why a schema cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) struct SchemaError {
    /// Cedar's words where Cedar refused, with its hints.
    pub(crate) message: String,
    /// Which of the sources, if known.
    pub(crate) source_index: Option<usize>,
    /// Bytes of that source, if known.
    pub(crate) offset: Option<Range<usize>>,
    /// Line and column (in characters) where `offset` begins, both from 1.
    pub(crate) position: Option<(u32, u32)>,
    /// The limit that was exceeded, when that is why.
    pub(crate) limit: Option<LimitExceeded>,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.position {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl From<SchemaError> for Problem {
    fn from(error: SchemaError) -> Self {
        Self {
            position: error.position,
            span: error.offset,
            limit: error.limit,
            ..Self::new(error.message)
        }
    }
}

impl From<LimitExceeded> for SchemaError {
    fn from(exceeded: LimitExceeded) -> Self {
        Self {
            limit: Some(exceeded),
            ..Self::new(exceeded.to_string())
        }
    }
}

impl SchemaError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source_index: None,
            offset: None,
            position: None,
            limit: None,
        }
    }

    /// Cedar and this module read the same schema differently. It would be a bug here, or a Cedar version
    /// with declarations that this module does not know: better no schema than a wrong one.
    fn disagreement(name: &str) -> Self {
        Self::new(format!(
            "the schema cannot be used: Cedar and Duramen disagree on the declaration of `{name}`"
        ))
    }

    /// Cedar may report several errors at once, each with hints; all of them are told, and the first place.
    fn from_cedar(error: &DetailedError) -> Self {
        let mut message = String::new();
        let mut offset = None;
        let mut pending = vec![error];
        while let Some(error) = pending.pop() {
            if !message.is_empty() {
                message.push_str("; ");
            }
            message.push_str(&error.message);
            if let Some(help) = &error.help {
                message.push_str(" (");
                message.push_str(help);
                message.push(')');
            }
            if offset.is_none() {
                offset = error
                    .source_locations
                    .first()
                    .map(|label| label.loc.start..label.loc.end);
            }
            pending.extend(error.related.iter().rev());
        }
        Self {
            offset,
            ..Self::new(message)
        }
    }

    fn in_source(self, index: usize) -> Self {
        Self {
            source_index: Some(index),
            ..self
        }
    }

    /// Cedar's offsets are those of Cedar text; any other offset would point into the wrong document.
    fn with_position(mut self, source: SchemaSource<'_>) -> Self {
        self.position = match (source, &self.offset) {
            (SchemaSource::CedarText(text), Some(offset)) => Some(line_column(text, offset.start)),
            _ => None,
        };
        if self.position.is_none() {
            self.offset = None;
        }
        self
    }
}
