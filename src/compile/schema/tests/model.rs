//! The model as a whole, and its digest.

use super::*;

/// Cedar's own expansion of a schema, compiled again. This uses a function that Cedar keeps out of its
/// documentation and that the library therefore keeps away from; as an oracle it is welcome.
fn model_of_cedars_expansion(schema: &Schema) -> SchemaModel {
    let validator: &_ = schema.as_ref();
    let fragment = validator.to_json_schema().unwrap();
    let json = serde_json::to_string(&fragment).unwrap();
    compiled(&[SchemaSource::JsonText(&json)]).unwrap().model
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

pub(super) fn assert_is_cedars(name: &str, compiled: &CompiledSchema) {
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
    for Case { name, compiled, .. } in compiled_cases() {
        if *name != cases::NOT_EXPRESSIBLE_EXPANDED {
            assert_is_cedars(name, compiled);
        }
    }
}

/// The action entities that a store gets from the schema, external ones included.
#[test]
fn actions_are_those_of_a_store() {
    for Case { name, compiled, .. } in compiled_cases() {
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
    let text = compiled(&[SchemaSource::JsonText(&text)]).unwrap().model;
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
