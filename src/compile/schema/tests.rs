//! Models against Cedar: the same schemas, the same requests, the same entities.

mod cases;
mod corpus;
mod model;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use bumpalo::Bump;
use cedar_policy::{
    Context, Entities, Entity, EntityUid as CedarUid, Request, RestrictedExpression, Schema,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::epoch::{Asked, NumberedSchema};
use crate::id::EntityUidRef;
use crate::names::Names;
use crate::request::locals::{Locals, RequestInterner, RequestNames};
use crate::request::overlay::OverlayEntity;
use crate::schema::check::{check_entity, check_request};
use crate::schema::testing::{Breakage, Fields, Generator, InternTree, Table, Tree};
use crate::schema::{ExtensionType, Type, is_action_type};

use super::*;

/// A schema in all the forms in which something is held against it.
struct Case {
    name: String,
    compiled: CompiledSchema,
    names: Names,
    numbered: NumberedSchema,
}

impl Case {
    fn new(name: impl Into<String>, sources: &[SchemaSource<'_>]) -> Self {
        let name = name.into();
        let compiled = compiled(sources).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut names = Names::new();
        let numbered = NumberedSchema::new(&compiled.model, &mut names).unwrap();
        Self {
            name,
            compiled,
            names,
            numbered,
        }
    }
}

/// The schemas of `cases`, compiled once.
fn compiled_cases() -> &'static [Case] {
    static COMPILED: OnceLock<Vec<Case>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let text = cases::CEDAR
            .iter()
            .map(|(name, text)| (*name, vec![SchemaSource::CedarText(text)]));
        let json = cases::JSON
            .iter()
            .map(|(name, text)| (*name, vec![SchemaSource::JsonText(text)]));
        let several = cases::SEVERAL.iter().map(|(name, texts)| {
            let texts = texts.iter().map(|text| SchemaSource::CedarText(text));
            (*name, texts.collect())
        });
        text.chain(json)
            .chain(several)
            .map(|(name, sources)| Case::new(name, &sources))
            .collect()
    })
}

fn compiled(sources: &[SchemaSource<'_>]) -> Result<CompiledSchema, SchemaError> {
    compile(sources, &Limits::default())
}

fn model_of(text: &str) -> SchemaModel {
    compiled(&[SchemaSource::CedarText(text)]).unwrap().model
}

fn error_of(text: &str) -> SchemaError {
    compiled(&[SchemaSource::CedarText(text)]).unwrap_err()
}

// ---- to and from Cedar ----

fn to_cedar_uid(uid: &EntityUid) -> CedarUid {
    let json = json!({"type": uid.type_name(), "id": uid.id()});
    CedarUid::from_json(json).unwrap()
}

fn from_cedar_uid(uid: &CedarUid) -> EntityUid {
    EntityUid::new(uid.type_name().to_string(), uid.id().unescaped())
}

fn to_cedar(tree: &Tree) -> RestrictedExpression {
    match tree {
        Tree::Bool(b) => RestrictedExpression::new_bool(*b),
        Tree::Long(i) => RestrictedExpression::new_long(*i),
        Tree::String(s) => RestrictedExpression::new_string(s.clone()),
        Tree::Entity(uid) => RestrictedExpression::new_entity_uid(to_cedar_uid(uid)),
        Tree::Set(items) => RestrictedExpression::new_set(items.iter().map(to_cedar)),
        Tree::Record(fields) => RestrictedExpression::new_record(to_cedar_fields(fields)).unwrap(),
        Tree::Extension(ExtensionType::Decimal, text) => RestrictedExpression::new_decimal(text),
        Tree::Extension(ExtensionType::Ip, text) => RestrictedExpression::new_ip(text),
        Tree::Extension(ExtensionType::Datetime, text) => RestrictedExpression::new_datetime(text),
        Tree::Extension(ExtensionType::Duration, text) => RestrictedExpression::new_duration(text),
    }
}

fn to_cedar_fields(fields: &Fields) -> Vec<(String, RestrictedExpression)> {
    fields
        .iter()
        .map(|(k, v)| (k.clone(), to_cedar(v)))
        .collect()
}

/// Cedar's own JSON, where every escape is explicit.
fn from_cedar_json(json: &Json) -> Tree {
    let object = match json {
        Json::Bool(b) => return Tree::Bool(*b),
        Json::Number(n) => return Tree::Long(n.as_i64().unwrap()),
        Json::String(s) => return Tree::String(s.clone()),
        Json::Array(items) => return Tree::Set(items.iter().map(from_cedar_json).collect()),
        Json::Null => panic!("Cedar writes no null"),
        Json::Object(object) => object,
    };
    if let Some(entity) = object.get("__entity") {
        return Tree::Entity(from_cedar_uid_json(entity));
    }
    if let Some(call) = object.get("__extn") {
        let extension = match call["fn"].as_str().unwrap() {
            "decimal" => ExtensionType::Decimal,
            "ip" => ExtensionType::Ip,
            "datetime" => ExtensionType::Datetime,
            "duration" => ExtensionType::Duration,
            // A datetime that was computed; which one it is does not matter to a schema.
            "offset" => return Tree::Extension(ExtensionType::Datetime, "1970-01-01".into()),
            other => panic!("unexpected function {other}"),
        };
        return Tree::Extension(extension, call["arg"].as_str().unwrap().into());
    }
    Tree::Record(from_cedar_fields(json))
}

fn from_cedar_fields(json: &Json) -> Fields {
    let fields = json.as_object().unwrap().iter();
    fields
        .map(|(k, v)| (k.clone(), from_cedar_json(v)))
        .collect()
}

fn from_cedar_uid_json(json: &Json) -> EntityUid {
    EntityUid::new(json["type"].as_str().unwrap(), json["id"].as_str().unwrap())
}

// ---- both sides' verdicts ----

#[derive(Debug)]
struct AnyRequest {
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    context: Fields,
}

impl AnyRequest {
    fn ours(&self, compiled: &CompiledSchema) -> Result<(), String> {
        let (arena, mut names) = (Bump::new(), Table::default());
        let context = names.record(&arena, &self.context);
        let [principal, action, resource] =
            [&self.principal, &self.action, &self.resource].map(EntityUidRef::from);
        check_request(
            &compiled.model,
            principal,
            action,
            resource,
            context,
            &names,
        )
        .map_err(|mismatch| mismatch.to_string())
    }

    fn cedars(&self, compiled: &CompiledSchema) -> Result<(), String> {
        let [principal, action, resource] =
            [&self.principal, &self.action, &self.resource].map(to_cedar_uid);
        let context = Context::from_pairs(to_cedar_fields(&self.context)).unwrap();
        let context_alone = context.validate(&compiled.schema, &action);
        let whole = Request::new(principal, action, resource, context, Some(&compiled.schema));
        assert!(whole.is_err() || context_alone.is_ok(), "{self:#?}");
        whole.map(drop).map_err(|error| error.to_string())
    }

    fn by_numbers(&self, case: &Case) -> bool {
        let (arena, mut locals) = (Bump::new(), Locals::default());
        let mut interner = RequestInterner {
            shared: &case.names,
            locals: &mut locals,
        };
        let asked = Asked {
            principal: interner.entity(&self.principal),
            action: interner.entity(&self.action),
            resource: interner.entity(&self.resource),
            context: interner.record(&arena, &self.context),
        };
        let names = RequestNames {
            shared: &case.names,
            locals: &locals,
        };
        case.numbered.accepts_request(asked, names)
    }

    /// Whether the request is accepted, by all.
    fn is_accepted(&self, case: &Case) -> bool {
        let Case { name, compiled, .. } = case;
        let (ours, cedars) = (self.ours(compiled), self.cedars(compiled));
        assert_eq!(
            ours.is_ok(),
            cedars.is_ok(),
            "{name}: {self:#?}\nours: {ours:?}\nCedar's: {cedars:?}"
        );
        assert_eq!(
            ours.is_ok(),
            self.by_numbers(case),
            "{name}: {self:#?}\nby text: {ours:?}"
        );
        ours.is_ok()
    }
}

#[derive(Debug)]
struct AnyEntity {
    uid: EntityUid,
    attributes: Fields,
    tags: Fields,
    ancestors: Vec<EntityUid>,
}

impl AnyEntity {
    fn ours(&self, compiled: &CompiledSchema) -> Result<(), String> {
        let (arena, mut names) = (Bump::new(), Table::default());
        let attributes = names.record(&arena, &self.attributes);
        let tags = names.record(&arena, &self.tags);
        let tags = (!self.tags.is_empty()).then_some(tags);
        let ancestors: Vec<_> = self.ancestors.iter().map(|uid| names.entity(uid)).collect();
        let ancestors = ancestors.iter().copied();
        let uid = self.uid.as_ref();
        check_entity(&compiled.model, uid, attributes, tags, ancestors, &names)
            .map_err(|mismatch| mismatch.to_string())
    }

    fn cedars(&self, compiled: &CompiledSchema) -> Result<(), String> {
        let entity = Entity::new_with_tags(
            to_cedar_uid(&self.uid),
            to_cedar_fields(&self.attributes),
            self.ancestors.iter().map(to_cedar_uid),
            to_cedar_fields(&self.tags),
        )
        .unwrap();
        let json = entity.to_json_value().unwrap();
        let in_store = Entities::from_entities([entity], Some(&compiled.schema));
        let from_json = Entity::from_json_value(json, Some(&compiled.schema));
        assert_eq!(in_store.is_ok(), from_json.is_ok(), "{self:#?}");
        in_store.map(drop).map_err(|error| error.to_string())
    }

    fn by_numbers(&self, case: &Case) -> bool {
        let (arena, mut locals) = (Bump::new(), Locals::default());
        let mut interner = RequestInterner {
            shared: &case.names,
            locals: &mut locals,
        };
        let parents = self.ancestors.iter().map(|uid| interner.entity(uid));
        let given = OverlayEntity {
            parents: &parents.collect::<Vec<_>>(),
            uid: interner.entity(&self.uid),
            attrs: interner.record(&arena, &self.attributes),
            tags: interner.record(&arena, &self.tags),
        };
        let names = RequestNames {
            shared: &case.names,
            locals: &locals,
        };
        case.numbered.accepts_entity(&given, names)
    }

    /// Whether the entity is accepted, by all; actions are by texts alone.
    fn is_accepted(&self, case: &Case) -> bool {
        let Case { name, compiled, .. } = case;
        let (ours, cedars) = (self.ours(compiled), self.cedars(compiled));
        assert_eq!(
            ours.is_ok(),
            cedars.is_ok(),
            "{name}: {self:#?}\nours: {ours:?}\nCedar's: {cedars:?}"
        );
        let is_action = is_action_type(self.uid.type_name());
        assert_eq!(
            ours.is_ok() && !is_action,
            self.by_numbers(case),
            "{name}: {self:#?}\nby text: {ours:?}"
        );
        ours.is_ok()
    }
}

// ---- generated requests and entities ----

fn any_request(generator: &mut Generator<'_>, action: &ActionDecl) -> AnyRequest {
    let mut role = |types: &[Box<str>]| match generator.pick(types) {
        Some(name) if !generator.breaks() => generator.entity_of(name),
        _ => generator.any_entity(),
    };
    let (principal, resource) = (role(&action.principals), role(&action.resources));
    AnyRequest {
        principal,
        resource,
        context: generator.record(&action.context),
        action: if generator.breaks() {
            generator.any_entity()
        } else {
            action.uid.clone()
        },
    }
}

fn any_entity(generator: &mut Generator<'_>, decl: &EntityTypeDecl) -> AnyEntity {
    let uid = generator.entity_of(&decl.name);
    let mut tags = Fields::new();
    let tag_type = decl.tags.clone();
    for name in ["tag", "", "a b"] {
        if let Some(ty) = &tag_type
            && generator.below(2) == 0
        {
            tags.insert(name.into(), generator.value(ty));
        }
    }
    if generator.breaks() {
        tags.insert("surprise".into(), Tree::Long(1));
    }
    let mut ancestors = generator.ancestors(decl);
    // An entity in itself is a cycle, which Cedar refuses for another reason.
    ancestors.retain(|ancestor| *ancestor != uid);
    AnyEntity {
        attributes: generator.record(&decl.attributes),
        uid,
        tags,
        ancestors,
    }
}

fn any_action_entity(generator: &mut Generator<'_>, decl: &ActionDecl) -> AnyEntity {
    let mut ancestors = decl.ancestors.to_vec();
    if generator.breaks() {
        ancestors.pop();
    }
    if generator.breaks() {
        ancestors.push(generator.any_entity());
    }
    let uid = if generator.breaks() {
        generator.entity_of(decl.uid.type_name())
    } else {
        decl.uid.clone()
    };
    ancestors.retain(|ancestor| *ancestor != uid);
    let surprise = |generator: &mut Generator<'_>| {
        let broken = generator.breaks().then(|| ("x".to_owned(), Tree::Long(1)));
        broken.into_iter().collect::<Fields>()
    };
    AnyEntity {
        uid,
        attributes: surprise(generator),
        tags: surprise(generator),
        ancestors,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the requests and entities, ours and Cedar's verdict are one.
    #[test]
    fn cedar_agrees(seed: u64, per_mille in prop_oneof![Just(60_u64), Just(250)]) {
        for case in compiled_cases() {
            let model = &case.compiled.model;
            let mut generator = Generator::new(model, seed, Breakage::PerMille(per_mille));
            for action in model.actions() {
                any_request(&mut generator, action).is_accepted(case);
                any_action_entity(&mut generator, action).is_accepted(case);
            }
            for decl in model.entity_types() {
                any_entity(&mut generator, decl).is_accepted(case);
            }
        }
    }

    /// With one thing wrong, or right after all, as the wrong thing may happen to fit.
    #[test]
    fn cedar_agrees_on_small_mistakes(seed: u64) {
        for case in compiled_cases() {
            let model = &case.compiled.model;
            let mut generator = Generator::new(model, seed, Breakage::Nothing);
            for action in model.actions() {
                let request = generator.with_one_break(|generator| any_request(generator, action));
                request.is_accepted(case);
                let entity = generator.with_one_break(|generator| any_action_entity(generator, action));
                entity.is_accepted(case);
            }
            for decl in model.entity_types() {
                let entity = generator.with_one_break(|generator| any_entity(generator, decl));
                entity.is_accepted(case);
            }
        }
    }

    /// What fits by construction is accepted: the test above does not just compare refusals.
    #[test]
    fn what_fits_is_accepted(seed: u64) {
        for case in compiled_cases() {
            let model = &case.compiled.model;
            let mut generator = Generator::new(model, seed, Breakage::Nothing);
            for action in model.actions() {
                let request = any_request(&mut generator, action);
                let expected = !action.principals.is_empty() && !action.resources.is_empty();
                prop_assert_eq!(request.is_accepted(case), expected, "{:#?}", request);
                prop_assert!(any_action_entity(&mut generator, action).is_accepted(case));
            }
            for decl in model.entity_types() {
                let entity = any_entity(&mut generator, decl);
                prop_assert_eq!(entity.is_accepted(case), !decl.external, "{:#?}", entity);
            }
        }
    }
}

// ---- errors and limits ----

#[test]
fn errors_tell_the_place() {
    let text = "entity User {\n  name: Strin,\n};\n";
    let error = error_of(text);
    let offset = error.offset.clone().unwrap();
    assert_eq!(&text[offset], "Strin");
    assert_eq!(error.position, Some((2, 9)));
    assert_eq!(error.source_index, Some(0));
    assert!(error.message.contains("Strin"), "{error}");
    assert!(
        error.to_string().ends_with(" (line 2, column 9)"),
        "{error}"
    );

    let text = "// \u{e9}\u{e9}\nentity \u{e9};";
    let error = error_of(text);
    assert_eq!(error.position, Some((2, 8)), "{error:?}");
}

#[test]
fn errors_tell_the_source() {
    let good = SchemaSource::CedarText("entity A;");
    let error = compiled(&[good, SchemaSource::CedarText("entity B")]).unwrap_err();
    assert_eq!(error.source_index, Some(1));
    let error = compiled(&[good, SchemaSource::JsonText("{")]).unwrap_err();
    assert_eq!((error.source_index, error.offset), (Some(1), Some(0..0)));
    let error = compiled(&[good, good]).unwrap_err();
    assert_eq!((error.source_index, error.offset), (None, None));
}

#[test]
fn warnings_are_handed_on() {
    let compiled = compiled(&[SchemaSource::CedarText("entity String;")]).unwrap();
    assert_eq!(compiled.warnings.len(), 1, "{:?}", compiled.warnings);
}

/// `T0` holds a long, each further type holds the one before it `width` times.
fn nested_common_types(count: usize, width: usize) -> String {
    let mut text = String::from("type T0 = { x: Long };\n");
    for index in 1..count {
        let fields: String = (0..width)
            .map(|f| format!("f{f}: T{}, ", index - 1))
            .collect();
        text += &format!("type T{index} = {{ {fields} }};\n");
    }
    text += &format!("entity A {{ x: T{} }};", count - 1);
    text
}

#[test]
fn types_that_expand_too_far_are_refused_before_cedar_expands_them() {
    assert!(compiled(&[SchemaSource::CedarText(&nested_common_types(12, 2))]).is_ok());
    let error = error_of(&nested_common_types(40, 2));
    assert!(error.message.contains("too large"), "{error}");

    assert!(compiled(&[SchemaSource::CedarText(&nested_common_types(40, 1))]).is_ok());
    for count in [200, 1000] {
        let error = error_of(&nested_common_types(count, 1));
        assert!(error.message.contains("nests deeper"), "{error}");
    }
}

#[test]
fn deep_json_is_refused() {
    let nested = |depth: usize| {
        let (before, after) = (
            r#"{"type": "Set", "element": "#.repeat(depth),
            "}".repeat(depth),
        );
        let ty = format!(r#"{before}{{"type": "Long"}}{after}"#);
        let shape = format!(r#"{{"type": "Record", "attributes": {{"x": {ty}}}}}"#);
        format!(r#"{{"": {{"entityTypes": {{"A": {{"shape": {shape}}}}}, "actions": {{}}}}}}"#)
    };
    assert!(compiled(&[SchemaSource::JsonText(&nested(100))]).is_ok());
    for depth in [200, 2000] {
        let error = compiled(&[SchemaSource::JsonText(&nested(depth))]).unwrap_err();
        assert!(error.message.contains("recursion limit"), "{error}");
    }
}

#[test]
fn cedars_refusals_are_ours() {
    for (name, text) in cases::REFUSED {
        let cedar = Schema::from_cedarschema_str(text).map(drop);
        assert!(cedar.is_err(), "{name}: Cedar accepts it");
        let error = error_of(text);
        assert!(!error.message.contains("disagree"), "{name}: {error}");
    }
}
