//! Ids made to collide, and hierarchies that are deep, wide or both.

use duramen::{EntityUidRef, EntityUpdate};

use super::*;

/// Ids that collide in hashes that sum up bytes by 31, 33 or xor: a table that used one of these would compare each with
/// all others.
#[test]
fn ids_that_collide_elsewhere_are_found() {
    let _alone = alone();
    let ids: Vec<String> = (0..1 << 13)
        .map(|number: u32| {
            let pairs = (0..13).map(|bit| ["Aa", "BB"][(number >> bit & 1) as usize]);
            pairs.collect()
        })
        .collect();
    let authorizer = within(8 * MB, || {
        let groups = [("Group", "g").into()];
        let entities = ids.iter().fold(Entities::new(), |entities, id| {
            entities.insert(Entity::new(("User", id.as_str())).parents(&groups))
        });
        Authorizer::builder()
            .policies(r#"permit(principal in Group::"g", action, resource);"#)
            .entities(entities)
            .build()
            .unwrap()
    });
    within(64 * KB, || {
        for id in &ids {
            let known = Request::new(("User", id.as_str()), ("Action", "a"), ("R", "r"));
            assert!(authorizer.is_allowed(&known), "{id}");
            let unknown = Request::new(("R", id.as_str()), ("Action", "a"), ("R", "r"));
            assert!(!authorizer.is_allowed(&unknown), "{id}");
        }
    });
}

fn is_in(entities: Entities, below: &str, above: &str) -> bool {
    let policy = format!(r#"permit(principal in G::"{above}", action, resource);"#);
    let authorizer = within(8 * MB, || {
        Authorizer::builder()
            .policies(policy.as_str())
            .entities(entities)
            .build()
            .unwrap()
    });
    within(64 * KB, || {
        authorizer.is_allowed(&Request::new(("G", below), ("Action", "a"), ("R", "r")))
    })
}

/// An entity and its parents.
type Below<'a> = (EntityUidRef<'a>, &'a [EntityUidRef<'a>]);

fn entities_of<'a>(below: &'a [Below<'a>]) -> impl Iterator<Item = Entity<'a>> {
    let entities = below.iter();
    entities.map(|(uid, parents)| Entity::new(*uid).parents(parents))
}

/// The same for a request that brings the entities along.
fn is_in_request(entities: &[Below<'_>], below: &str, above: &str) -> bool {
    let policy = format!("permit(principal in G::\"{above}\", action, resource);");
    let authorizer = Authorizer::builder()
        .policies(policy.as_str())
        .build()
        .unwrap();
    within(24 * MB, || {
        let entities: Vec<_> = entities_of(entities).collect();
        let request = Request::new(("G", below), ("Action", "a"), ("R", "r")).entities(&entities);
        authorizer.is_allowed(&request)
    })
}

#[test]
fn hierarchies_cost_their_size() {
    let _alone = alone();
    // Everybody in everything of the layer above: 8 to the power of 40 ways up, 41 layers.
    let mut diamonds = Entities::new();
    let name = |layer: usize, place: usize| format!("{layer}-{place}");
    for layer in 0..40 {
        let above: Vec<String> = (0..8).map(|place| name(layer + 1, place)).collect();
        let parents: Vec<_> = above.iter().map(|id| ("G", id.as_str()).into()).collect();
        for place in 0..8 {
            let id = name(layer, place);
            diamonds = diamonds.insert(Entity::new(("G", id.as_str())).parents(&parents));
        }
    }
    assert!(is_in(diamonds.clone(), "0-0", "40-7"));
    assert!(!is_in(diamonds, "0-0", "0-1"));

    // One below many, and many below one.
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let many: Vec<_> = ids.iter().map(|id| ("G", id.as_str()).into()).collect();
    let wide = Entities::new().insert(Entity::new(("G", "below")).parents(&many));
    assert!(is_in(wide, "below", "19999"));
    let top = [("G", "top").into()];
    let star = ids.iter().fold(Entities::new(), |entities, id| {
        entities.insert(Entity::new(("G", id.as_str())).parents(&top))
    });
    assert!(is_in(star, "19999", "top"));
}

#[test]
fn parents_one_by_one_cost_their_lists() {
    let _alone = alone();
    let authorizer = Authorizer::builder()
        .policies("permit(principal in G::\"4999\", action, resource);")
        .build()
        .unwrap();
    let below = EntityUid::new("G", "below");
    let update = EntityUpdate::new().upsert(Entity::new(&below));
    let update = (0..5_000).fold(update, |update, number| {
        update.add_parent(&below, &EntityUid::new("G", number.to_string()))
    });
    within(8 * MB, || authorizer.update_entities(update)).unwrap();
    let request = Request::new(&below, ("Action", "a"), ("R", "r"));
    assert!(authorizer.is_allowed(&request));
}

/// The hierarchy that a request brings along is worked out for each decision.
#[test]
fn hierarchies_of_a_request_cost_their_size() {
    let _alone = alone();
    let ids: Vec<String> = (0..40_000).map(|number| number.to_string()).collect();
    let many: Vec<EntityUidRef<'_>> = ids.iter().map(|id| ("G", id.as_str()).into()).collect();
    // One below many.
    let wide = [(("G", "below").into(), &many[..])];
    assert!(is_in_request(&wide, "below", "39999"));
    // A thousand in a chain, the last of them below many.
    let mut chain: Vec<Below<'_>> = (0..999)
        .map(|number| (many[number], &many[number + 1..number + 2]))
        .collect();
    chain.push((many[999], &many[1_000..]));
    assert!(is_in_request(&chain, "0", "39999"));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    // A grant rests on all of it.
    assert!(within(24 * MB, || {
        let entities: Vec<_> = entities_of(&chain).collect();
        authorizer.grant(&asked().entities(&entities)).is_ok()
    }));
    assert!(!is_in_request(&chain, "999", "0"));
    // Ten layers of a hundred, everybody in everything of the layer above.
    let layers: Vec<Below<'_>> = (0..1_000)
        .map(|number| {
            let above = (number / 100 + 1) * 100;
            (many[number], &many[above..above + 100])
        })
        .collect();
    assert!(is_in_request(&layers, "0", "1099"));
    assert!(!is_in_request(&layers, "0", "1"));
}

#[test]
fn deep_hierarchies_are_refused_by_name() {
    let _alone = alone();
    let deepest = Limits::default().hierarchy_depth();
    let chain = |length: usize| {
        let ids: Vec<String> = (0..=length).map(|number| number.to_string()).collect();
        ids.windows(2).fold(Entities::new(), |entities, pair| {
            let parents = [("G", pair[1].as_str()).into()];
            entities.insert(Entity::new(("G", pair[0].as_str())).parents(&parents))
        })
    };
    assert!(is_in(chain(deepest - 1), "0", &(deepest - 1).to_string()));
    for length in [deepest + 1, 50_000] {
        let built = within(64 * MB, || {
            Authorizer::builder().entities(chain(length)).build()
        });
        let error = built.unwrap_err();
        let mut problems = error.entity_error().unwrap().problems().iter();
        let limit = problems.find_map(|problem| problem.limit()).unwrap();
        assert_eq!(limit.limit(), Limit::HierarchyDepth);
    }
}

/// Groups below one that is below as many: each would have all that are above it.
#[test]
fn hierarchies_that_multiply_are_refused_by_name() {
    let _alone = alone();
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let above: Vec<_> = ids.iter().map(|id| ("Above", id.as_str()).into()).collect();
    let waist = [("G", "waist").into()];
    let mut groups = Entities::new().insert(Entity::new(("G", "waist")).parents(&above));
    for id in &ids {
        let group = [("G", id.as_str()).into()];
        groups = groups
            .insert(Entity::new(("G", id.as_str())).parents(&waist))
            .insert(Entity::new(("User", id.as_str())).parents(&group));
    }
    // Members of two groups each.
    let mut members = Entities::new().insert(Entity::new(("G", "waist")).parents(&above));
    for id in &ids {
        let two = [("G", "waist").into(), ("G", "other").into()];
        members = members.insert(Entity::new(("User", id.as_str())).parents(&two));
    }
    let limit = |error: &duramen::EntityError| {
        let mut limits = error
            .problems()
            .iter()
            .filter_map(|problem| problem.limit());
        limits.next().unwrap().limit()
    };
    for entities in [groups, members] {
        let limits = Limits::default().with_ancestors(1_000_000);
        let builder = Authorizer::builder().limits(limits);
        let built = within(32 * MB, || builder.entities(entities.clone()).build());
        let error = built.unwrap_err();
        assert_eq!(limit(error.entity_error().unwrap()), Limit::Ancestors);
        let limits = Limits::default().with_ancestors(1_000);
        let authorizer = Authorizer::builder().limits(limits).build().unwrap();
        let version = authorizer.version();
        let error = within(32 * MB, || authorizer.replace_entities(entities)).unwrap_err();
        assert_eq!(limit(&error), Limit::Ancestors);
        assert_eq!(authorizer.version(), version);
    }
    let limits = Limits::default().with_ancestors(70_000);
    let authorizer = Authorizer::builder().limits(limits).build().unwrap();
    let waist_only = EntityUpdate::new().upsert(Entity::new(("G", "waist")).parents(&above));
    assert!(authorizer.update_entities(waist_only).is_ok());
    let below = |id| EntityUpdate::new().upsert(Entity::new(("G", id)).parents(&waist));
    assert!(authorizer.update_entities(below("a")).is_ok());
    let member = |update: EntityUpdate, id| {
        let two = [("G", "waist").into(), ("G", "a").into()];
        update.upsert(Entity::new(("User", id)).parents(&two))
    };
    let one = member(EntityUpdate::new(), "u");
    let two = member(member(EntityUpdate::new(), "v"), "w");
    assert!(authorizer.update_entities(one).is_ok());
    let error = authorizer.update_entities(two).unwrap_err();
    assert_eq!(limit(&error), Limit::Ancestors);
    // Those with one parent have its list, in an update as in a load.
    let many = ids
        .iter()
        .take(100)
        .fold(EntityUpdate::new(), |update, id| {
            update.upsert(Entity::new(("User", id.as_str())).parents(&waist))
        });
    assert!(authorizer.update_entities(many).is_ok());
}

/// A schema's groups of actions in a chain: what is above each is put together from what it is directly in, and not from all that
/// is above.
#[test]
fn groups_of_a_schema_cost_their_lists() {
    let _alone = alone();
    let mut schema =
        "entity User;\naction a0 appliesTo { principal: User, resource: User };\n".to_owned();
    for action in 1..200 {
        let above = action - 1;
        let _ = writeln!(
            schema,
            "action a{action} in [a{above}] appliesTo {{ principal: User, resource: User }};"
        );
    }
    let limits = Limits::default().with_ancestors(100_000);
    let authorizer = Authorizer::builder()
        .schema_str(schema)
        .policies("permit(principal, action in Action::\"a7\", resource);")
        .limits(limits)
        .build()
        .unwrap();
    for (action, allowed) in [("a199", true), ("a7", true), ("a6", false)] {
        let request = Request::new(("User", "u"), ("Action", action), ("User", "u"));
        assert_eq!(authorizer.is_allowed(&request), allowed, "{action}");
    }
}

/// Policies for a group of many actions, told apart by a literal: once, and not for each action.
#[test]
fn groups_of_actions_cost_their_policies() {
    let _alone = alone();
    let all = [("Action", "all").into()];
    let ids: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let mut text = String::new();
    for policy in 0..200 {
        let _ = writeln!(
            text,
            "permit(principal, action in Action::\"all\", resource) when {{ context.a == {policy} }};"
        );
    }
    let authorizer = within(8 * MB, || {
        let entities = ids.iter().fold(Entities::new(), |entities, id| {
            entities.insert(Entity::new(("Action", id.as_str())).parents(&all))
        });
        Authorizer::builder()
            .policies(text.as_str())
            .entities(entities)
            .build()
            .unwrap()
    });
    for (action, a, allowed) in [
        ("999", 199, true),
        ("999", 200, false),
        ("other", 199, false),
    ] {
        let context = json!({ "a": a });
        let request = Request::new(("U", "u"), ("Action", action), ("R", "r")).context(&context);
        assert_eq!(authorizer.is_allowed(&request), allowed);
    }
}

/// Actions below a chain of groups, without a schema: 18 million pairs of a group and what is below it, of which policies name few.
#[test]
fn actions_below_many_groups_cost_their_size() {
    let _alone = alone();
    const GROUPS: usize = 900;
    const ACTIONS: usize = 20_000;
    let group = |number: usize| json!({ "type": "Action", "id": format!("g{number}") });
    let chain = (0..GROUPS).map(|number| {
        let parents: Vec<_> = (number > 0)
            .then(|| group(number - 1))
            .into_iter()
            .collect();
        json!({ "uid": group(number), "attrs": {}, "parents": parents })
    });
    let actions = (0..ACTIONS).map(|number| {
        let uid = json!({ "type": "Action", "id": format!("a{number}") });
        json!({ "uid": uid, "attrs": {}, "parents": [group(GROUPS - 1)] })
    });
    let entities = serde_json::Value::from_iter(chain.chain(actions)).to_string();
    let policies = r#"permit(principal, action in Action::"g0", resource);
        forbid(principal, action in [Action::"g800", Action::"a7"], resource) when { context.no };
        forbid(principal, action in Action::"a8", resource);"#;
    let authorizer = within(40 * MB, || {
        let builder = Authorizer::builder().policies(policies);
        builder.entities(entities.as_str()).build().unwrap()
    });
    within(64 * KB, || {
        for (action, no, allowed) in [
            ("g700", true, true),
            ("g800", true, false),
            ("a7", false, true),
            ("a7", true, false),
            ("a8", false, false),
            ("a9", true, false),
            ("a9", false, true),
            ("none", false, false),
        ] {
            let context = json!({ "no": no });
            let request = Request::new(("U", "u"), ("Action", action), ("R", "r"));
            let request = request.context(&context);
            assert_eq!(authorizer.is_allowed(&request), allowed, "{action} {no}");
        }
    });

    // So many scopes that counting what each is for would take minutes: what is not counted is tested.
    let scopes: String = (0..GROUPS).fold(String::new(), |mut text, number| {
        for effect in ["permit", "forbid"] {
            let condition = if effect == "permit" { number == 3 } else { number == 5 };
            let _ = writeln!(
                text,
                r#"{effect}(principal, action in [Action::"g{number}", Action::"x{effect}"], resource) when {{ {condition} }};"#,
            );
        }
        text
    });
    let authorizer = within(200 * MB, || {
        let builder = Authorizer::builder().policies(scopes.as_str());
        builder.entities(entities.as_str()).build().unwrap()
    });
    for (action, allowed) in [
        ("g2", false),
        ("g4", true),
        ("g6", false),
        ("a0", false),
        ("xforbid", false),
    ] {
        let request = Request::new(("U", "u"), ("Action", action), ("R", "r"));
        assert_eq!(authorizer.is_allowed(&request), allowed, "{action}");
    }
}

/// Cedar's entities have all that is above each and do not say what is a parent: what others imply is taken out.
#[test]
fn ancestors_of_cedars_entities_cost_their_number() {
    let _alone = alone();
    const GROUPS: usize = 200;
    const USERS: usize = 300;
    let group = |number: usize| json!({ "type": "G", "id": number.to_string() });
    let chain = (0..GROUPS).map(|number| {
        let parents: Vec<_> = (number > 0)
            .then(|| group(number - 1))
            .into_iter()
            .collect();
        json!({ "uid": group(number), "attrs": {}, "parents": parents })
    });
    let users = (0..USERS).map(|number| {
        let uid = json!({ "type": "U", "id": number.to_string() });
        json!({ "uid": uid, "attrs": {}, "parents": [group(GROUPS - 1)] })
    });
    let parents: Vec<_> = (0..40_000)
        .map(|number| json!({ "type": "H", "id": number.to_string() }))
        .collect();
    let wide = json!({ "uid": { "type": "U", "id": "w" }, "attrs": {}, "parents": parents });
    let entities = serde_json::Value::from_iter(chain.chain(users).chain([wide]));
    let entities = cedar_policy::Entities::from_json_value(entities, None).unwrap();
    let authorizer = within(48 * MB, || {
        let builder = Authorizer::builder().entities(Entities::from(entities));
        let policy = r#"permit(principal in G::"0", action, resource);"#;
        builder.policies(policy).build().unwrap()
    });
    assert!(authorizer.is_allowed(&Request::new(("U", "7"), ("Action", "a"), ("R", "r"))));
    let update = EntityUpdate::new().remove_parent(("U", "7"), ("G", "199"));
    authorizer.update_entities(update).unwrap();
    assert!(!authorizer.is_allowed(&Request::new(("U", "7"), ("Action", "a"), ("R", "r"))));
}

/// Sets of sets that are alike but for the last of what they hold: they are put in order once each, and not whenever two that
/// they are in are held against each other.
#[test]
fn exports_of_nested_sets_cost_their_size() {
    let _alone = alone();
    fn set(depth: u32, last: usize) -> String {
        if depth == 0 {
            return last.to_string();
        }
        let items = (0..4).map(|item| set(depth - 1, if item == 3 { 3 + last } else { item }));
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    }
    let time = |depth: u32| {
        let entities = format!(
            r#"[{{ "uid": {{ "type": "U", "id": "u" }}, "attrs": {{ "a": {} }}, "parents": [] }}]"#,
            set(depth, 0)
        );
        let limits = Limits::default().with_attribute_bytes(8 * MB);
        let builder = Authorizer::builder().limits(limits);
        let authorizer = builder.entities(entities.as_str()).build().unwrap();
        let times = (0..2).map(|_| {
            let begin = Instant::now();
            let text = within(16 * MB, || {
                serde_json::to_string(&authorizer.pin().entities()).unwrap()
            });
            assert!(text.len() > 4_usize.pow(depth), "{text}");
            begin.elapsed()
        });
        times.min().unwrap()
    };
    let (few, many) = (time(6), time(8));
    assert!(many < few * 40, "{few:?}, {many:?}");
}
