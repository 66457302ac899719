//! What a schema annotates with `@mask`.

use crate::compile::error::{CompileError, Problem};
use crate::compile::{scan, stack};
use crate::limits::Limits;
use crate::schema::SchemaModel;

use super::json::Fragment;
use super::resolve::{Definitions, qualify};
use super::{SchemaError, SchemaSource};

/// The annotation's name.
const MASK: &str = "mask";

/// Something that is annotated.
#[derive(Debug)]
pub(crate) enum Annotated {
    /// Ids of a type of entities.
    Ids(String),
    /// Values below a type, or below the context: attribute names, `None` for any.
    Value {
        entity_type: Option<String>,
        names: Vec<Option<String>>,
        mask: String,
    },
}

/// What a schema in Cedar's syntax annotates.
///
/// # Errors
/// When the text is no schema by itself, and for annotations that say neither `drop` nor `digest` nor `keep`.
pub(crate) fn masks_of(text: &str, limits: &Limits) -> Result<Vec<Annotated>, CompileError> {
    within_limits(text, limits, || annotated(text))
}

/// The schema itself, to hold masks against.
///
/// # Errors
/// When the text is no schema by itself.
pub(crate) fn model_of(text: &str, limits: &Limits) -> Result<SchemaModel, CompileError> {
    let compiled = || super::compile(&[SchemaSource::CedarText(text)]);
    within_limits(text, limits, || Ok(compiled()?.model))
}

/// Has a schema read that is no longer and no deeper than it may be, where there is stack enough.
fn within_limits<T: Send>(
    text: &str,
    limits: &Limits,
    read: impl FnOnce() -> Result<T, SchemaError> + Send,
) -> Result<T, CompileError> {
    scan::scan_cedar_schema(text, limits).map_err(Problem::from)?;
    let read =
        stack::with_parser_stack(limits, read).map_err(|error| stack::no_thread(limits, &error))?;
    Ok(read.map_err(Problem::from)?)
}

fn annotated(text: &str) -> Result<Vec<Annotated>, SchemaError> {
    let source = SchemaSource::CedarText(text);
    // Refused here is what is refused when an authorizer is built with it.
    super::compile(&[source])?;
    let fragments = [Fragment::read(source.parse(&mut Vec::new())?)?];
    let definitions = Definitions::collect(&fragments);
    let mut found = Vec::new();
    let mut wrong = None;
    let mut below = |root: Option<&str>, namespace: &str, ty, mut way: Vec<Option<String>>| {
        definitions.annotated(MASK, namespace, ty, &mut way, &mut |way, mask| match mask {
            Some(mask @ ("drop" | "digest" | "keep")) => found.push(Annotated::Value {
                entity_type: root.map(str::to_owned),
                names: way.to_vec(),
                mask: mask.to_owned(),
            }),
            _ => {
                let names = way.iter().map(|name| name.as_deref().unwrap_or("*"));
                let path: Vec<&str> = std::iter::once(root.unwrap_or("context"))
                    .chain(names)
                    .collect();
                wrong = Some(format!(
                    "{}: @mask must say \"drop\", \"digest\" or \"keep\"",
                    path.join(".")
                ))
            }
        });
    };
    let mut ids = Vec::new();
    for (namespace, body) in fragments.iter().flat_map(Fragment::namespaces) {
        for (name, decl) in &body.entity_types {
            let name = qualify(namespace, name);
            if let Some(shape) = &decl.shape {
                below(Some(&name), namespace, shape, Vec::new());
            }
            if let Some(tags) = &decl.tags {
                let all = vec![Some("tags".to_owned()), None];
                below(Some(&name), namespace, tags, all);
            }
            if let Some(mask) = decl.annotations.get(MASK) {
                ids.push((name, mask.clone()));
            }
        }
        for action in body.actions.values() {
            if let Some(context) = action
                .applies_to
                .as_ref()
                .and_then(|to| to.context.as_ref())
            {
                below(None, namespace, context, Vec::new());
            }
        }
    }
    if let Some(wrong) = wrong {
        return Err(SchemaError::new(wrong));
    }
    for (name, mask) in ids {
        if mask.as_deref() != Some("digest") {
            return Err(SchemaError::new(format!(
                "{name}: of an entity type @mask must say \"digest\", for its ids; attributes are annotated one by one"
            )));
        }
        found.push(Annotated::Ids(name));
    }
    Ok(found)
}
