//! What a schema annotates with `@mask`.

use std::collections::BTreeMap;

use crate::compile::error::{CompileError, Problem};
use crate::compile::{scan, stack};
use crate::limits::Limits;
use crate::schema::SchemaModel;

use super::json::Fragment;
use super::resolve::{Definitions, qualify};
use super::{SchemaError, SchemaSource};

/// The annotation's name.
const MASK: &str = "mask";

/// What leads to the tags of an entity.
const TAGS: &str = "tags";

/// What it says of values, the weakest first.
const STRENGTHS: [&str; 3] = ["keep", "digest", "drop"];

/// The way to a value: attribute names, `None` for any. That is the only one, of all attributes of a type, or the second, of all
/// tags; what is below tags comes behind it.
type Way = Vec<Option<String>>;

/// Something that is annotated.
#[derive(Debug)]
pub(crate) enum Annotated {
    /// Ids of a type of entities.
    Ids(String),
    /// Values below a type, or below the context.
    Value {
        entity_type: Option<String>,
        names: Way,
        mask: &'static str,
    },
}

/// What declarations with the same ways say: the contexts of all actions, or the attributes and the tags of an entity type.
/// For each way, how many of them say which.
#[derive(Default)]
struct Said(BTreeMap<Way, [i64; 3]>);

impl Said {
    /// Takes in what one declaration says: a strength for each way.
    fn add(&mut self, declared: BTreeMap<Way, usize>) {
        for (way, strength) in &declared {
            let counts = self.0.entry(way.clone()).or_default();
            counts[*strength] += 1;
            // It is no more one of those that say of this name what they say of any.
            if let Some(any) = any_beside(way).and_then(|any| declared.get(&any)) {
                counts[*any] -= 1;
            }
        }
    }

    /// For each way the strongest that any of them says, also of any name. Those for any name come before what is for one.
    fn strongest(&self) -> impl Iterator<Item = (&Way, &'static str)> {
        self.0.iter().map(|(way, counts)| {
            let any = any_beside(way).and_then(|any| self.0.get(&any));
            let any = any.copied().unwrap_or_default();
            let said = STRENGTHS.iter().zip(counts.iter().zip(any));
            let strongest = said.rev().find(|(_, (own, any))| *own + any > 0);
            (way, strongest.map_or("drop", |(mask, _)| *mask))
        })
    }
}

/// The way that leads to the same values under any name, where there can be one: of attributes, or of tags, which a record
/// of the name `tags` shares its ways with. `None` if it is that already.
fn any_beside(way: &Way) -> Option<Way> {
    let place = match way.as_slice() {
        [Some(_)] => 0,
        [Some(tags), Some(_), ..] if tags == TAGS => 1,
        _ => return None,
    };
    let mut any = way.clone();
    *any.get_mut(place)? = None;
    Some(any)
}

/// What a schema in Cedar's syntax annotates.
///
/// # Errors
/// When the text is no schema by itself, and for annotations that say neither `drop` nor `digest` nor `keep`.
pub(crate) fn masks_of(text: &str, limits: &Limits) -> Result<Vec<Annotated>, CompileError> {
    within_limits(text, limits, || annotated(text, limits))
}

/// The schema itself, to hold masks against.
///
/// # Errors
/// When the text is no schema by itself.
pub(crate) fn model_of(text: &str, limits: &Limits) -> Result<SchemaModel, CompileError> {
    let compiled = || super::compile(&[SchemaSource::CedarText(text)], limits);
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

fn annotated(text: &str, limits: &Limits) -> Result<Vec<Annotated>, SchemaError> {
    let source = SchemaSource::CedarText(text);
    // Refused here is what is refused when an authorizer is built with it.
    super::compile(&[source], limits)?;
    let fragments = [Fragment::read(source.parse(&mut Vec::new())?)?];
    let definitions = Definitions::collect(&fragments);
    let mut said: BTreeMap<Option<String>, Said> = BTreeMap::new();
    let mut wrong = None;
    let mut below = |root: Option<&str>, namespace: &str, ty, mut way: Way| {
        let mut declared = BTreeMap::new();
        definitions.annotated(MASK, namespace, ty, &mut way, &mut |way, mask| {
            match STRENGTHS
                .iter()
                .position(|strength| mask == Some(*strength))
            {
                // An attribute's own comes after that of its type, and counts.
                Some(strength) => {
                    declared.insert(way.to_vec(), strength);
                }
                None => {
                    let names = way.iter().map(|name| name.as_deref().unwrap_or("*"));
                    let path: Vec<&str> = std::iter::once(root.unwrap_or("context"))
                        .chain(names)
                        .collect();
                    wrong = Some(format!(
                        "{}: @mask must say \"drop\", \"digest\" or \"keep\"",
                        path.join(".")
                    ))
                }
            }
        });
        said.entry(root.map(str::to_owned))
            .or_default()
            .add(declared);
    };
    let mut ids = Vec::new();
    for (namespace, body) in fragments.iter().flat_map(Fragment::namespaces) {
        for (name, decl) in &body.entity_types {
            let name = qualify(namespace, name);
            if let Some(shape) = &decl.shape {
                below(Some(&name), namespace, shape, Vec::new());
            }
            if let Some(tags) = &decl.tags {
                let all = vec![Some(TAGS.to_owned()), None];
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
    let mut found: Vec<Annotated> = said
        .iter()
        .flat_map(|(entity_type, said)| {
            said.strongest().map(|(names, mask)| Annotated::Value {
                entity_type: entity_type.clone(),
                names: names.clone(),
                mask,
            })
        })
        .collect();
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
