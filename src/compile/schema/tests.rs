//! Models against Cedar: the same schemas, the same requests, the same entities.

mod cases;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use bumpalo::Bump;
use cedar_policy::{
    Context, Entities, Entity, EntityUid as CedarUid, Request, RestrictedExpression, Schema,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::id::EntityUidRef;
use crate::schema::check::{check_entity, check_request};
use crate::schema::testing::{Breakage, Fields, Generator, Table, Tree};
use crate::schema::{ExtensionType, Type};

use super::*;

/// The schemas of `cases`, compiled once.
fn compiled_cases() -> &'static [(&'static str, CompiledSchema)] {
    static COMPILED: OnceLock<Vec<(&'static str, CompiledSchema)>> = OnceLock::new();
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
            .map(|(name, sources)| match compile(&sources) {
                Ok(compiled) => (name, compiled),
                Err(error) => panic!("{name}: {error}"),
            })
            .collect()
    })
}

fn model_of(text: &str) -> SchemaModel {
    compile(&[SchemaSource::CedarText(text)]).unwrap().model
}

fn error_of(text: &str) -> SchemaError {
    compile(&[SchemaSource::CedarText(text)]).unwrap_err()
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

    /// Whether the request is accepted, by both.
    fn is_accepted(&self, name: &str, compiled: &CompiledSchema) -> bool {
        let (ours, cedars) = (self.ours(compiled), self.cedars(compiled));
        assert_eq!(
            ours.is_ok(),
            cedars.is_ok(),
            "{name}: {self:#?}\nours: {ours:?}\nCedar's: {cedars:?}"
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

    /// Whether the entity is accepted, by both.
    fn is_accepted(&self, name: &str, compiled: &CompiledSchema) -> bool {
        let (ours, cedars) = (self.ours(compiled), self.cedars(compiled));
        assert_eq!(
            ours.is_ok(),
            cedars.is_ok(),
            "{name}: {self:#?}\nours: {ours:?}\nCedar's: {cedars:?}"
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
        for (name, compiled) in compiled_cases() {
            let mut generator = Generator::new(&compiled.model, seed, Breakage::PerMille(per_mille));
            for action in compiled.model.actions() {
                any_request(&mut generator, action).is_accepted(name, compiled);
                any_action_entity(&mut generator, action).is_accepted(name, compiled);
            }
            for decl in compiled.model.entity_types() {
                any_entity(&mut generator, decl).is_accepted(name, compiled);
            }
        }
    }

    /// With one thing wrong, or right after all, as the wrong thing may happen to fit.
    #[test]
    fn cedar_agrees_on_small_mistakes(seed: u64) {
        for (name, compiled) in compiled_cases() {
            let mut generator = Generator::new(&compiled.model, seed, Breakage::Nothing);
            for action in compiled.model.actions() {
                let request = generator.with_one_break(|generator| any_request(generator, action));
                request.is_accepted(name, compiled);
                let entity = generator.with_one_break(|generator| any_action_entity(generator, action));
                entity.is_accepted(name, compiled);
            }
            for decl in compiled.model.entity_types() {
                let entity = generator.with_one_break(|generator| any_entity(generator, decl));
                entity.is_accepted(name, compiled);
            }
        }
    }

    /// What fits by construction is accepted: the test above does not just compare refusals.
    #[test]
    fn what_fits_is_accepted(seed: u64) {
        for (name, compiled) in compiled_cases() {
            let mut generator = Generator::new(&compiled.model, seed, Breakage::Nothing);
            for action in compiled.model.actions() {
                let request = any_request(&mut generator, action);
                let expected = !action.principals.is_empty() && !action.resources.is_empty();
                prop_assert_eq!(request.is_accepted(name, compiled), expected, "{:#?}", request);
                prop_assert!(any_action_entity(&mut generator, action).is_accepted(name, compiled));
            }
            for decl in compiled.model.entity_types() {
                let entity = any_entity(&mut generator, decl);
                prop_assert_eq!(entity.is_accepted(name, compiled), !decl.external, "{:#?}", entity);
            }
        }
    }
}

// ---- the model as a whole ----

/// Cedar's own expansion of a schema, compiled again. This uses a function that Cedar keeps out of its
/// documentation and that the library therefore keeps away from; as an oracle it is welcome.
fn model_of_cedars_expansion(schema: &Schema) -> SchemaModel {
    let validator: &_ = schema.as_ref();
    let fragment = validator.to_json_schema().unwrap();
    let json = serde_json::to_string(&fragment).unwrap();
    compile(&[SchemaSource::JsonText(&json)]).unwrap().model
}

/// Direct parents are lost in Cedar's expansion.
fn without_parents(model: &SchemaModel) -> SchemaModel {
    let actions = model.actions().iter().cloned();
    let actions = actions.map(|decl| ActionDecl {
        parents: [].into(),
        ..decl
    });
    SchemaModel::new(model.entity_types().to_vec(), actions.collect())
}

fn assert_is_cedars(name: &str, compiled: &CompiledSchema) {
    let (ours, cedars) = (&compiled.model, model_of_cedars_expansion(&compiled.schema));
    assert_eq!(
        ours.digest(),
        cedars.digest(),
        "{name}\n{ours:#?}\n{cedars:#?}"
    );
    assert_eq!(without_parents(ours), without_parents(&cedars), "{name}");
}

#[test]
fn models_are_cedars_own_expansion() {
    for (name, compiled) in compiled_cases() {
        if *name != cases::NOT_EXPRESSIBLE_EXPANDED {
            assert_is_cedars(name, compiled);
        }
    }
}

/// The action entities that a store gets from the schema, external ones included.
#[test]
fn actions_are_those_of_a_store() {
    for (name, compiled) in compiled_cases() {
        let store = Entities::from_entities([], Some(&compiled.schema)).unwrap();
        let mut theirs: Vec<_> = store
            .iter()
            .map(|entity| {
                let ancestors = store.ancestors(&entity.uid()).unwrap().map(from_cedar_uid);
                (
                    from_cedar_uid(&entity.uid()),
                    ancestors.collect::<BTreeSet<_>>(),
                )
            })
            .collect();
        theirs.sort();
        let ours: Vec<_> = compiled
            .model
            .actions()
            .iter()
            .map(|decl| (decl.uid.clone(), decl.ancestors.iter().cloned().collect()))
            .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn names_resolve_outwards() {
    let model = model_of(cases::case("shadowed built-ins"));
    let ty = |of: &str, name: &str| {
        let decl = model.entity_type(of).unwrap();
        decl.attributes.attribute(name).unwrap().ty.clone()
    };
    assert_eq!(ty("Plain", "text"), Type::Entity("String".into()));
    assert_eq!(ty("Plain", "builtin"), Type::String);
    assert_eq!(ty("Plain", "money"), Type::Long);
    assert_eq!(ty("NS::Inner", "number"), Type::Entity("NS::Long".into()));
    assert_eq!(ty("NS::Inner", "text"), Type::Entity("String".into()));
    assert_eq!(
        ty("NS::Inner", "address"),
        Type::Set(Box::new(Type::Bool)),
        "a common type may be called like an extension type"
    );
    assert_eq!(ty("NS::Inner", "real"), Type::Extension(ExtensionType::Ip));
}

#[test]
fn a_common_type_wins_over_an_entity_type() {
    let model = model_of(cases::case("one name, two types"));
    let decl = model.entity_type("NS::User").unwrap();
    assert_eq!(decl.attributes.attribute("thing").unwrap().ty, Type::Long);
    assert_eq!(
        *decl.ancestors,
        ["NS::Thing".into()],
        "where only an entity type may stand"
    );
}

#[test]
fn groups_are_closed_and_parents_kept() {
    let model = model_of(cases::case("action groups"));
    let uid = |type_name: &str, id: &str| EntityUid::new(type_name, id);
    let decl = model.action(("Shop::Action", "buy").into()).unwrap();
    assert_eq!(
        *decl.parents,
        [uid("Base::Action", "write"), uid("Shop::Action", "any")]
    );
    assert_eq!(
        *decl.ancestors,
        [
            uid("Action", "everything"),
            uid("Base::Action", "all"),
            uid("Base::Action", "write"),
            uid("Shop::Action", "any"),
        ]
    );
}

// ---- digests ----

#[test]
fn the_digest_knows_meaning_only() {
    let plain = model_of(
        r#"namespace NS {
             entity User in [Group] { name: String, age?: Long };
             entity Group;
             action view in [read] appliesTo { principal: [User, Group], resource: Group };
             action read;
           }"#,
    );
    let same = [
        // Comments, annotations, order, quotes, several declarations in one.
        r#"// a comment
           @doc("what it is for")
           namespace NS {
             action "read";
             @doc("x") action "view" in [Action::"read"] appliesTo {
               resource: [Group, Group], principal: [Group, User], context: {} };
             entity Group {};
             entity User in Group = { "age"?: __cedar::Long, @doc("y") name: NS::Name };
             type Name = Text; type Text = String;
           }"#,
        // The empty namespace next to it.
        r#"type Text = String;
           namespace NS {
             entity User in [NS::Group] { name: Text, age?: Long };
             entity Group;
             action view in [NS::Action::"read"]
               appliesTo { principal: [NS::User, Group], resource: NS::Group };
             action read;
           }"#,
    ];
    for text in same {
        assert_eq!(model_of(text).digest(), plain.digest(), "{text}");
    }
    let json = json!({"NS": {
        "entityTypes": {
            "Group": {},
            "User": {
                "memberOfTypes": ["Group"],
                "shape": {"type": "Record", "attributes": {
                    "name": {"type": "EntityOrCommon", "name": "String"},
                    "age": {"type": "Long", "required": false}
                }}
            }
        },
        "actions": {
            "read": {"appliesTo": {"principalTypes": [], "resourceTypes": []}},
            "view": {
                "memberOf": [{"id": "read", "type": "NS::Action"}],
                "appliesTo": {"principalTypes": ["User", "Group"], "resourceTypes": ["Group"]}
            }
        }
    }});
    let text = json.to_string();
    let text = compile(&[SchemaSource::JsonText(&text)]).unwrap().model;
    assert_eq!(text, plain, "models of one meaning are equal");
    assert_eq!(text.digest(), plain.digest());
}

#[test]
fn every_change_of_meaning_changes_the_digest() {
    let variants = [
        "entity A { x: Long }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x?: Long }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { y: Long }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Bool }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Set<Long> }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: {} }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: { x: Long } }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: ipaddr }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: decimal }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: A }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: B }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Long } tags Long; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A in B { x: Long }; entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; entity B in A; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; entity B enum [\"1\"]; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; entity B enum [\"1\", \"2\"]; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; external entity B; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; entity B; action v appliesTo { principal: B, resource: B };",
        "entity A { x: Long }; entity B; action v appliesTo { principal: [A, B], resource: B };",
        "entity A { x: Long }; entity B; action v appliesTo { principal: A, resource: A };",
        "entity A { x: Long }; entity B; action w appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; entity B; action v, w appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; entity B; action v appliesTo { principal: A, resource: B, context: { x: Long } };",
        "entity A { x: Long }; entity B; action v in w appliesTo { principal: A, resource: B }; action w;",
        "entity A { x: Long }; entity B; action v appliesTo { principal: A, resource: B }; action w;",
        "entity A { x: Long }; entity B; action v appliesTo { principal: A, resource: B }; external action w;",
        "entity A { x: Long }; entity B, C; action v appliesTo { principal: A, resource: B };",
        "entity A { x: Long }; entity B; action v;",
        "namespace N { entity A { x: Long }; entity B; action v appliesTo { principal: A, resource: B }; }",
    ];
    let digests: BTreeSet<_> = variants
        .iter()
        .map(|text| model_of(text).digest())
        .collect();
    assert_eq!(digests.len(), variants.len());
}

/// Digests are written into records: they must not move between versions of this library.
#[test]
fn the_digest_is_pinned() {
    let model = model_of("entity A; action v appliesTo { principal: A, resource: A };");
    let hex: String = model
        .digest()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, PINNED_DIGEST);
}

const PINNED_DIGEST: &str = "374bf98becbbcfed1ae81e107c2c3f975dead598d9c6e42f62dcccc5bb49f494";

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
    let error = compile(&[good, SchemaSource::CedarText("entity B")]).unwrap_err();
    assert_eq!(error.source_index, Some(1));
    let error = compile(&[good, SchemaSource::JsonText("{")]).unwrap_err();
    assert_eq!((error.source_index, error.offset), (Some(1), None));
    let error = compile(&[good, good]).unwrap_err();
    assert_eq!((error.source_index, error.offset), (None, None));
}

#[test]
fn warnings_are_handed_on() {
    let compiled = compile(&[SchemaSource::CedarText("entity String;")]).unwrap();
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
    assert!(compile(&[SchemaSource::CedarText(&nested_common_types(12, 2))]).is_ok());
    let error = error_of(&nested_common_types(40, 2));
    assert!(error.message.contains("too large"), "{error}");

    assert!(compile(&[SchemaSource::CedarText(&nested_common_types(40, 1))]).is_ok());
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
    assert!(compile(&[SchemaSource::JsonText(&nested(100))]).is_ok());
    for depth in [200, 2000] {
        let error = compile(&[SchemaSource::JsonText(&nested(depth))]).unwrap_err();
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

// ---- the corpus ----

/// Every schema, request and entity of Cedar's corpus, if `DURAMEN_CORPUS` names a directory that has it.
#[test]
fn cedar_agrees_on_the_corpus() {
    let Some(directory) = std::env::var_os("DURAMEN_CORPUS") else {
        eprintln!(
            "SKIPPED: DURAMEN_CORPUS is not set, so no schema of the corpus was compared with Cedar"
        );
        return;
    };
    let mut seen = Seen::default();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "cedarschema")
        {
            seen.case(&path);
        }
    }
    eprintln!("{seen:?}");
    assert!(seen.schemas > 0, "no schemas in that directory");
}

#[derive(Default, Debug)]
struct Seen {
    schemas: usize,
    requests_accepted: usize,
    requests_refused: usize,
    entities_accepted: usize,
    entities_refused: usize,
    generated_accepted: usize,
    generated_refused: usize,
}

impl Seen {
    fn case(&mut self, schema_path: &Path) {
        let name = schema_path.display().to_string();
        let text = std::fs::read_to_string(schema_path).unwrap();
        let compiled = compile(&[SchemaSource::CedarText(&text)]).unwrap();
        assert_is_cedars(&name, &compiled);
        self.schemas += 1;
        let read = |extension: &str| -> Json {
            let text = std::fs::read_to_string(schema_path.with_extension(extension)).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        for request in read("json")["requests"].as_array().unwrap() {
            self.request(&name, &compiled, request);
        }
        let entities = Entities::from_json_value(read("entities.json"), None).unwrap();
        for entity in entities.iter() {
            self.entity(&name, &compiled, &entities, entity);
        }
        let mut generator = Generator::new(&compiled.model, 0, Breakage::Nothing);
        for action in compiled.model.actions() {
            let request = generator.with_one_break(|generator| any_request(generator, action));
            self.generated(request.is_accepted(&name, &compiled));
        }
        for decl in compiled.model.entity_types() {
            let entity = generator.with_one_break(|generator| any_entity(generator, decl));
            self.generated(entity.is_accepted(&name, &compiled));
        }
    }

    fn generated(&mut self, accepted: bool) {
        match accepted {
            true => self.generated_accepted += 1,
            false => self.generated_refused += 1,
        }
    }

    fn request(&mut self, name: &str, compiled: &CompiledSchema, request: &Json) {
        let action = from_cedar_uid_json(&request["action"]);
        // With the schema, Cedar refuses some contexts while reading them.
        let read = |schema| Context::from_json_value(request["context"].clone(), schema).ok();
        let context = read(Some((&compiled.schema, &to_cedar_uid(&action))))
            .or_else(|| read(None))
            .unwrap();
        let request = AnyRequest {
            principal: from_cedar_uid_json(&request["principal"]),
            action,
            resource: from_cedar_uid_json(&request["resource"]),
            context: from_cedar_fields(&context.to_json_value().unwrap()),
        };
        match request.is_accepted(name, compiled) {
            true => self.requests_accepted += 1,
            false => self.requests_refused += 1,
        }
    }

    fn entity(
        &mut self,
        name: &str,
        compiled: &CompiledSchema,
        entities: &Entities,
        entity: &Entity,
    ) {
        let json = entity.to_json_value().unwrap();
        let entity = AnyEntity {
            uid: from_cedar_uid(&entity.uid()),
            attributes: from_cedar_fields(&json["attrs"]),
            tags: json.get("tags").map(from_cedar_fields).unwrap_or_default(),
            ancestors: entities
                .ancestors(&entity.uid())
                .unwrap()
                .map(from_cedar_uid)
                .collect(),
        };
        match entity.is_accepted(name, compiled) {
            true => self.entities_accepted += 1,
            false => self.entities_refused += 1,
        }
    }
}
