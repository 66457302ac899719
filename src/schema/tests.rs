//! The model's own behaviour and the words of mismatches. That checks accept what Cedar accepts is tested
//! in `compile::schema::tests`, where models are made from schemas.

use bumpalo::Bump;

use crate::id::Uid;
use crate::value::Record;
use crate::value::arena::Intern;

use super::check::{check_entity, check_request};
use super::testing::{Fields, InternTree, Table, Tree};
use super::*;

fn attribute(name: &str, ty: Type, required: bool) -> Attribute {
    Attribute {
        name: name.into(),
        ty,
        required,
    }
}

fn entity_type(name: &str) -> EntityTypeDecl {
    EntityTypeDecl {
        name: name.into(),
        attributes: RecordType::default(),
        tags: None,
        ancestors: [].into(),
        enumerated: None,
        external: false,
    }
}

fn action(id: &str) -> ActionDecl {
    ActionDecl {
        uid: EntityUid::new("Action", id),
        principals: ["User".into()].into(),
        resources: ["Doc".into()].into(),
        context: RecordType::default(),
        parents: [].into(),
        ancestors: [].into(),
        external: false,
    }
}

/// `User in [Group]` with a level and tags, `Color` enumerated, `Elsewhere` external; `view in all`, whose
/// context has a device; `later` external.
fn model() -> SchemaModel {
    let device = RecordType::new(vec![
        attribute("os", Type::String, true),
        attribute("screen size", Type::Long, false),
        attribute(
            "colors",
            Type::Set(Box::new(Type::Entity("Color".into()))),
            false,
        ),
    ]);
    SchemaModel::new(
        vec![
            EntityTypeDecl {
                attributes: RecordType::new(vec![attribute("level", Type::Long, true)]),
                tags: Some(Type::String),
                ancestors: ["Color".into(), "Group".into()].into(),
                ..entity_type("User")
            },
            entity_type("Group"),
            entity_type("Doc"),
            EntityTypeDecl {
                enumerated: Some(["blue".into(), "red".into()].into()),
                ..entity_type("Color")
            },
            EntityTypeDecl {
                external: true,
                ..entity_type("Elsewhere")
            },
        ],
        vec![
            action("all"),
            ActionDecl {
                context: RecordType::new(vec![
                    attribute("device", Type::Record(device), true),
                    attribute("then", Type::Entity("Action".into()), false),
                ]),
                parents: [EntityUid::new("Action", "all")].into(),
                ancestors: [EntityUid::new("Action", "all")].into(),
                ..action("view")
            },
            ActionDecl {
                external: true,
                principals: [].into(),
                resources: [].into(),
                ..action("later")
            },
        ],
    )
}

fn record<const N: usize>(fields: [(&str, Tree); N]) -> Fields {
    fields.into_iter().map(|(k, v)| (k.into(), v)).collect()
}

fn text(text: &str) -> Tree {
    Tree::String(text.into())
}

fn uid(type_name: &str, id: &str) -> Tree {
    Tree::Entity(EntityUid::new(type_name, id))
}

fn refusal_of_request(
    principal: (&str, &str),
    action: (&str, &str),
    resource: (&str, &str),
    context: Fields,
) -> String {
    let (arena, mut names) = (Bump::new(), Table::default());
    let context = names.record(&arena, &context);
    let [principal, action, resource] = [principal, action, resource].map(EntityUidRef::from);
    match check_request(&model(), principal, action, resource, context, &names) {
        Ok(()) => "accepted".into(),
        Err(mismatch) => mismatch.to_string(),
    }
}

fn refusal_of_context(context: Fields) -> String {
    refusal_of_request(("User", "u"), ("Action", "view"), ("Doc", "d"), context)
}

fn refusal_of_entity(
    entity: (&str, &str),
    attributes: Fields,
    tags: Fields,
    ancestors: &[(&str, &str)],
) -> String {
    let (arena, mut names) = (Bump::new(), Table::default());
    let attributes = names.record(&arena, &attributes);
    let tags = names.record(&arena, &tags);
    let ancestors: Vec<_> = ancestors
        .iter()
        .map(|(type_name, id)| names.entity(&EntityUid::new(*type_name, *id)))
        .collect();
    let ancestors = ancestors.iter().copied();
    match check_entity(
        &model(),
        entity.into(),
        attributes,
        Some(tags),
        ancestors,
        &names,
    ) {
        Ok(()) => "accepted".into(),
        Err(mismatch) => mismatch.to_string(),
    }
}

#[test]
fn declarations_are_found_by_name() {
    let model = model();
    for decl in model.entity_types() {
        assert_eq!(model.entity_type(&decl.name), Some(decl));
    }
    for decl in model.actions() {
        assert_eq!(model.action(decl.uid.as_ref()), Some(decl));
    }
    assert!(model.entity_type("Use").is_none());
    assert!(model.action(("Action", "vie").into()).is_none());
    assert!(model.action(("NS::Action", "view").into()).is_none());
}

#[test]
fn action_types_are_told_by_their_last_part() {
    for name in ["Action", "NS::Action", "A::B::Action"] {
        assert!(is_action_type(name), "{name}");
    }
    for name in ["Actions", "NS::MyAction", "Action::NS", "action"] {
        assert!(!is_action_type(name), "{name}");
    }
}

#[test]
fn requests_are_refused_in_words() {
    let ok = || record([("device", Tree::Record(record([("os", text("x"))])))]);
    let (user, view, doc) = (("User", "u"), ("Action", "view"), ("Doc", "d"));
    assert_eq!(refusal_of_request(user, view, doc, ok()), "accepted");
    assert_eq!(
        refusal_of_request(("Nobody", "u"), view, doc, ok()),
        "the principal is of type `Nobody`, which the schema does not declare"
    );
    assert_eq!(
        refusal_of_request(user, view, ("Color", "green"), ok()),
        r#"the resource Color::"green" is not one of the entities that the schema lists for its type: `blue`, `red`"#
    );
    assert_eq!(
        refusal_of_request(user, ("Action", "vie"), doc, ok()),
        r#"the schema does not declare the action Action::"vie""#
    );
    assert_eq!(
        refusal_of_request(user, ("Action", "later"), doc, ok()),
        r#"the action Action::"later" is external: the schema leaves its definition open, so no request is valid for it"#
    );
    assert_eq!(
        refusal_of_request(("Elsewhere", "u"), view, doc, ok()),
        r#"the action Action::"view" does not apply to a principal of type `Elsewhere`, only to: `User`"#
    );
}

#[test]
fn contexts_are_refused_with_a_path() {
    let device = |fields| record([("device", Tree::Record(fields))]);
    let refusal = |context| {
        refusal_of_context(context)
            .strip_prefix(r#"the context does not fit the action Action::"view": "#)
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        refusal(device(record([("os", Tree::Long(1))]))),
        "`context.device.os` should be a string, but is a long"
    );
    assert_eq!(
        refusal(record([])),
        "`context.device` is missing; it should be a record"
    );
    assert_eq!(
        refusal(device(record([]))),
        "`context.device.os` is missing; it should be a string"
    );
    assert_eq!(
        refusal(device(record([
            ("os", text("x")),
            ("screen size", text("y"))
        ]))),
        "`context.device[\"screen size\"]` should be a long, but is a string"
    );
    assert_eq!(
        refusal(device(record([("os", text("x")), ("cpu", text("y"))]))),
        "`context.device.cpu` is not in the schema; the attributes there are: `colors`, `os`, `screen size`"
    );
    assert_eq!(
        refusal(device(record([
            ("os", text("x")),
            (
                "colors",
                Tree::Set(vec![uid("Color", "red"), uid("Color", "green")])
            ),
        ]))),
        r#"`context.device.colors[]` is Color::"green", which is not one of the entities that the schema lists for its type: `blue`, `red`"#
    );
    assert_eq!(
        refusal(device(record([
            ("os", text("x")),
            ("colors", Tree::Set(vec![uid("User", "u")]))
        ]))),
        "`context.device.colors[]` should be an entity of type `Color`, but is an entity of type `User`"
    );
    let mut undeclared = device(record([("os", text("x"))]));
    undeclared.insert("then".into(), uid("Action", "vie"));
    assert_eq!(
        refusal(undeclared),
        r#"`context["then"]` is Action::"vie", an action that the schema does not declare"#
    );
}

#[test]
fn entities_are_refused_in_words() {
    let level = || record([("level", Tree::Long(1))]);
    let user = ("User", "u");
    assert_eq!(
        refusal_of_entity(
            user,
            level(),
            record([("any tag", text("x"))]),
            &[("Group", "g"), ("Color", "red")]
        ),
        "accepted"
    );
    assert_eq!(
        refusal_of_entity(("Nobody", "u"), level(), record([]), &[]),
        r#"is of a type that the schema does not declare"#
    );
    assert_eq!(
        refusal_of_entity(("Elsewhere", "u"), record([]), record([]), &[]),
        r#"is of an external type: the schema leaves its definition open, so no entity of it is valid"#
    );
    assert_eq!(
        refusal_of_entity(("Color", "green"), record([]), record([]), &[]),
        r#"is not one of those that the schema lists for its type: `blue`, `red`"#
    );
    assert_eq!(
        refusal_of_entity(user, record([]), record([]), &[]),
        r#"does not fit the schema: `attributes.level` is missing; it should be a long"#
    );
    assert_eq!(
        refusal_of_entity(user, level(), record([("any tag", Tree::Long(1))]), &[]),
        r#"does not fit the schema: `tags["any tag"]` should be a string, but is a long"#
    );
    assert_eq!(
        refusal_of_entity(("Doc", "d"), record([]), record([("k", text("x"))]), &[]),
        r#"has tags, such as `k`, but its type has none"#
    );
    assert_eq!(
        refusal_of_entity(user, level(), record([]), &[("User", "v"), ("Doc", "d")]),
        r#"is in Doc::"d", but its type can only be in: `Color`, `Group`"#
    );
    assert_eq!(
        refusal_of_entity(user, level(), record([]), &[("Color", "green")]),
        r#"is in Color::"green", which is not one of those that the schema lists for its type: `blue`, `red`"#
    );
}

#[test]
fn actions_as_entities_are_those_of_the_schema() {
    let (view, all) = (("Action", "view"), ("Action", "all"));
    assert_eq!(
        refusal_of_entity(view, record([]), record([]), &[all]),
        "accepted"
    );
    assert_eq!(
        refusal_of_entity(view, record([]), record([]), &[all, all]),
        "accepted"
    );
    assert_eq!(
        refusal_of_entity(("Action", "later"), record([]), record([]), &[]),
        "accepted"
    );
    assert_eq!(
        refusal_of_entity(("Action", "vie"), record([]), record([]), &[]),
        "is an action that the schema does not declare"
    );
    assert_eq!(
        refusal_of_entity(view, record([("k", text("x"))]), record([]), &[all]),
        r#"has the attribute or tag `k`, but actions have none"#
    );
    assert_eq!(
        refusal_of_entity(view, record([]), record([("k", text("x"))]), &[all]),
        r#"has the attribute or tag `k`, but actions have none"#
    );
    assert_eq!(
        refusal_of_entity(view, record([]), record([]), &[]),
        r#"is not in Action::"all", but the schema says so"#
    );
    assert_eq!(
        refusal_of_entity(view, record([]), record([]), &[all, ("Action", "later")]),
        r#"is in Action::"later", which the schema does not say"#
    );
}

/// An action in more groups than each of them could be compared with all others; and in three, of which one is given twice in the
/// place of another.
#[test]
fn actions_in_many_groups_are_checked_in_the_time_of_their_list() {
    let mut names = crate::names::Names::new();
    let ids: Vec<String> = (0..30_000).map(|number| format!("{number:05}")).collect();
    let given: Vec<Uid> = ids
        .iter()
        .map(|id| names.uid("Action", id).unwrap())
        .collect();
    let check = |groups: usize, given: &[Uid]| {
        let groups = ids[..groups].iter().map(|id| EntityUid::new("Action", id));
        let view = ActionDecl {
            ancestors: groups.collect(),
            ..action("view")
        };
        let model = SchemaModel::new(Vec::new(), vec![view]);
        let none = Record::Built(&(&[] as &[_]));
        let given = given.iter().copied();
        check_entity(&model, ("Action", "view").into(), none, None, given, &names)
    };
    let begin = std::time::Instant::now();
    assert_eq!(check(ids.len(), &given), Ok(()));
    assert!(check(ids.len(), &given[1..]).is_err());
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
    let [a, b, c] = [given[0], given[1], given[2]];
    assert_eq!(check(3, &[c, a, b, a]), Ok(()));
    assert!(check(3, &[a, a, b]).is_err());
    assert!(check(3, &[a, b, given[3]]).is_err());
}

#[test]
fn long_lists_of_names_are_cut() {
    let names = |n: usize| {
        let all: Vec<Box<str>> = (0..n).map(|i| i.to_string().into()).collect();
        Names::of(all.iter())
    };
    assert_eq!(names(0).to_string(), "none");
    assert_eq!(names(1).to_string(), "`0`");
    assert_eq!(
        names(8).to_string(),
        "`0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`"
    );
    assert!(names(10).to_string().ends_with("`7` and 2 more"));
}

#[test]
fn refusals_are_cheap_to_pass_on() {
    assert!(
        size_of::<RequestMismatch>() <= 128,
        "{}",
        size_of::<RequestMismatch>()
    );
    assert!(
        size_of::<EntityMismatch>() <= 128,
        "{}",
        size_of::<EntityMismatch>()
    );
}
