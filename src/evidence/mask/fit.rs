//! Whether masks lead anywhere in a schema.

use crate::schema::{EntityTypeDecl, RecordType, SchemaModel, Type, is_action_type};

use super::rules::{Masks, Root, Rule, Segment};

impl Masks {
    /// What is wrong with the paths and types that mask nothing of what a schema allows, a sentence for each.
    pub(crate) fn misfits(&self, schema: &SchemaModel) -> Vec<String> {
        let rules = self.rules.iter().filter_map(|rule| {
            let wrong = match &rule.root {
                Root::Type(name) if schema.entity_type(name).is_none() => {
                    format!("the schema has no entity type `{name}`")
                }
                _ if rule.fits(schema) => return None,
                _ => "the schema has nothing there".to_owned(),
            };
            Some(format!("the path `{}` masks nothing: {wrong}", rule.text))
        });
        let ids = self.ids.iter().filter(|name| {
            let of_actions = is_action_type(name)
                && schema
                    .actions()
                    .iter()
                    .any(|action| action.uid.type_name() == &***name);
            &***name != "*" && !of_actions && schema.entity_type(name).is_none()
        });
        let ids = ids.map(|name| {
            format!("the ids of `{name}` are not masked: the schema has no such entity type")
        });
        rules.chain(ids).collect()
    }
}

impl Rule {
    fn fits(&self, schema: &SchemaModel) -> bool {
        let way = &self.segments[..];
        let of_type = |name: &str| schema.entity_type(name).is_some_and(|ty| leads(ty, way));
        let mut actions = schema.actions().iter();
        match &self.root {
            Root::Context => actions.any(|action| leads_into(&action.context, way)),
            Root::Principal => actions.any(|action| action.principals.iter().any(|ty| of_type(ty))),
            Root::Resource => actions.any(|action| action.resources.iter().any(|ty| of_type(ty))),
            // Actions have no attributes in a schema.
            Root::Action => false,
            Root::Type(name) => of_type(name),
            Root::AnyEntity => schema.entity_types().iter().any(|ty| leads(ty, way)),
        }
    }
}

/// Whether there is something on the way from an entity of the type.
fn leads(entity: &EntityTypeDecl, way: &[Segment]) -> bool {
    let into_tags = || match (way, &entity.tags) {
        ([first, rest @ ..], Some(tags)) if first.matches("tags") => match rest {
            [] => true,
            [_, below @ ..] => leads_on(tags, below),
        },
        _ => false,
    };
    leads_into(&entity.attributes, way) || into_tags()
}

fn leads_into(record: &RecordType, way: &[Segment]) -> bool {
    match way {
        [] => true,
        [first, rest @ ..] => record
            .attributes()
            .iter()
            .any(|attribute| first.matches(&attribute.name) && leads_on(&attribute.ty, rest)),
    }
}

/// Types are as deep as schemas may be.
fn leads_on(ty: &Type, way: &[Segment]) -> bool {
    match ty {
        _ if way.is_empty() => true,
        Type::Record(record) => leads_into(record, way),
        Type::Set(items) => leads_on(items, way),
        _ => false,
    }
}
