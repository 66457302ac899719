//! Searches find what deciding one by one allows, by this crate and by `cedar-policy`.

use std::collections::BTreeSet;

use duramen::{
    Authorizer, Cursor, Entity, EntityUpdate, ErrorMode, Found, Limits, Pinned, Request,
    RequestPart, Search, SearchError, Tuning,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::entity_updates::{State, add, model};
use super::generate::{Tape, config, tape};
use super::oracle::{Answer, Ask, Oracle, World, reproduction, tunings, uid_ref};
use super::value::{Uid, record_json, uid};

const TYPES: [&str; 9] = [
    "User",
    "Group",
    "Doc",
    "Folder",
    "NS::Thing",
    "Action",
    "NS::Action",
    "Ghost::Town",
    "Unheard::Of",
];

/// The open place.
#[derive(Clone, Copy, Debug)]
enum Open {
    Principal(&'static str),
    Action,
    Resource(&'static str),
}

fn opens() -> impl Iterator<Item = Open> {
    let typed = |ty| [Open::Principal(ty), Open::Resource(ty)];
    TYPES.into_iter().flat_map(typed).chain([Open::Action])
}

impl Open {
    fn search<'a>(self, ask: &'a Ask, context: &'a str) -> Search<'a> {
        let (principal, action, resource) = (
            uid_ref(&ask.principal),
            uid_ref(&ask.action),
            uid_ref(&ask.resource),
        );
        let search = match self {
            Self::Principal(ty) => Search::principals(ty, action, resource),
            Self::Action => Search::actions(principal, resource),
            Self::Resource(ty) => Search::resources(principal, action, ty),
        };
        if ask.typed {
            search.context(&ask.context)
        } else {
            search.context_json(context)
        }
    }

    fn with(self, ask: &Ask, candidate: &Uid) -> Ask {
        let mut ask = ask.clone();
        ask.overlay = None;
        *match self {
            Self::Principal(_) => &mut ask.principal,
            Self::Action => &mut ask.action,
            Self::Resource(_) => &mut ask.resource,
        } = candidate.clone();
        ask
    }
}

fn owned(found: Found<'_>) -> Vec<Uid> {
    found
        .map(|found| uid(found.type_name(), found.id()))
        .collect()
}

/// All pages of a search, `size` results and `scan` entities at a time.
fn pages(pinned: &Pinned, search: &Search<'_>, size: usize, scan: usize) -> Vec<Uid> {
    let mut all = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = search.limit(size).scan_limit(scan);
        let mut found = match &cursor {
            None => pinned.search(&page),
            Some(cursor) => pinned.search(&page.after(cursor)),
        }
        .unwrap();
        let before = all.len();
        all.extend(
            found
                .by_ref()
                .map(|found| uid(found.type_name(), found.id())),
        );
        assert!(all.len() - before <= size && found.examined() <= scan);
        assert!(found.next().is_none());
        let Some(next) = found.cursor() else {
            return all;
        };
        // What a web page would have kept.
        cursor = Some(next.to_string().parse().unwrap());
        assert_eq!(cursor.as_ref(), Some(&next));
    }
}

/// Who is asked about, of those that may be found: what is stored.
fn expected(authorizer: &Authorizer, stored: &State, open: Open, ask: &Ask) -> BTreeSet<Uid> {
    let is_open = |uid: &Uid| match open {
        Open::Principal(ty) | Open::Resource(ty) => uid.0 == ty,
        Open::Action => uid.0.ends_with("Action"),
    };
    let candidates = stored.keys().filter(|uid| is_open(uid));
    candidates
        .filter(|uid| {
            open.with(ask, uid)
                .with_request(|request| authorizer.is_allowed(request))
        })
        .cloned()
        .collect()
}

fn compare(
    authorizer: &Authorizer,
    world: &World,
    oracle: Option<&Oracle>,
    stored: &State,
    ask: &Ask,
) -> Result<(), TestCaseError> {
    let pinned = authorizer.pin();
    let context = record_json(&ask.context).to_string();
    for open in opens() {
        let fail = |what: String| {
            let what = format!("{open:?}: {what}");
            Err(TestCaseError::fail(reproduction(world, Some(ask), &what)))
        };
        let search = open.search(ask, &context);
        let found = match pinned.search(&search) {
            Ok(found) => owned(found),
            // As with deciding: what cannot be understood for one cannot be for another.
            Err(SearchError::Request(error)) if error.part() != RequestPart::Request => {
                let ask = open.with(ask, &uid("User", "u0"));
                if ask.with_request(|request| {
                    authorizer.is_authorized(request).request_error().is_some()
                }) {
                    continue;
                }
                return fail(format!("refused: {error}"));
            }
            Err(error) => return fail(error.to_string()),
        };
        let mut set: BTreeSet<Uid> = found.iter().cloned().collect();
        if set.len() != found.len() {
            return fail(format!("found twice: {found:?}"));
        }
        for (size, scan) in [(1, usize::MAX), (usize::MAX, 1), (3, 2)] {
            let paged = pages(&pinned, &search, size, scan);
            if paged != found {
                return fail(format!("paged {paged:?}, at once {found:?}"));
            }
        }
        if matches!(open, Open::Action) {
            // Also those that policies name.
            for action in set.iter().filter(|uid| !stored.contains_key(*uid)) {
                let ask = open.with(ask, action);
                prop_assert!(ask.with_request(|request| authorizer.is_allowed(request)));
                prop_assert!(world.policies.contains(&action.1));
            }
            set.retain(|uid| stored.contains_key(uid) && uid.0.ends_with("Action"));
        }
        let one_by_one = expected(authorizer, stored, open, ask);
        if set != one_by_one {
            return fail(format!("found {set:?}, one by one {one_by_one:?}"));
        }
        let Some(oracle) = oracle else { continue };
        for candidate in stored.keys() {
            let asked = match open {
                Open::Principal(ty) | Open::Resource(ty) => candidate.0 == ty,
                Open::Action => candidate.0.ends_with("Action"),
            };
            if asked {
                let allowed = matches!(
                    oracle.decide(&open.with(ask, candidate)),
                    Answer::Decided { allowed: true, .. }
                );
                if allowed != set.contains(candidate) {
                    return fail(format!(
                        "Cedar says {allowed} of {candidate:?}, found {set:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn state(world: &World) -> State {
    let entities = world.entities.iter();
    entities
        .map(|entity| (entity.uid.clone(), entity.clone()))
        .collect()
}

proptest! {
    #![proptest_config(config(15))]

    #[test]
    fn a_search_finds_what_cedar_allows(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let (Ok(oracle), Ok(_)) = (world.oracle(), world.builder().build()) else { return Ok(()) };
        let stored = state(&world);
        for (number, tuning) in tunings().into_iter().enumerate() {
            let authorizer = world.builder().tuning(tuning).build().unwrap();
            for ask in &asks {
                compare(&authorizer, &world, (number == 0).then_some(&oracle), &stored, ask)?;
            }
        }
    }

    #[test]
    fn a_search_denies_what_strict_modes_deny(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let stored = state(&world);
        for mode in [ErrorMode::DenyOnForbidError, ErrorMode::DenyOnAnyError] {
            for tuning in [Tuning::default(), Tuning::default().with_shared_expressions(false)] {
                let Ok(authorizer) = world.builder().error_mode(mode).tuning(tuning).build() else { return Ok(()) };
                for ask in &asks {
                    compare(&authorizer, &world, None, &stored, ask)?;
                }
            }
        }
    }

    #[test]
    fn a_search_sees_updates(tape in tape()) {
        let mut tape = Tape::new(&tape);
        let (mut world, asks) = tape.world();
        let Ok(authorizer) = world.builder().build() else { return Ok(()) };
        let mut stored = state(&world);
        for round in 0..4 {
            if round == 2 {
                // Policies in a second segment.
                let update = duramen::PolicyUpdate::new().add("extra", "permit(principal, action, resource == Doc::\"d0\");");
                authorizer.update_policies(update).unwrap();
                world.policies.push_str("permit(principal, action, resource == Doc::\"d0\");");
            }
            let changes = tape.changes();
            let mut next = stored.clone();
            let modelled = changes.iter().try_for_each(|change| model(&mut next, change));
            let update = changes.iter().fold(EntityUpdate::new(), add);
            if authorizer.update_entities(update).is_ok() && modelled.is_ok() {
                stored = next;
            }
            world.entities = stored.values().cloned().collect();
            let oracle = world.oracle().ok().filter(|_| world.links.is_empty());
            for ask in &asks {
                compare(&authorizer, &world, oracle.as_ref(), &stored, ask)?;
            }
        }
    }
}

/// Folders in folders, documents in them, and policies of the shapes that searches have short cuts for.
fn library() -> Authorizer {
    let mut entities = Vec::new();
    let mut add = |ty: &str, id: String, attrs: &str, parents: &[(&str, String)]| {
        let parents = parents
            .iter()
            .map(|(ty, id)| format!(r#"{{"type":"{ty}","id":"{id}"}}"#));
        let parents: Vec<String> = parents.collect();
        entities.push(format!(
            r#"{{"uid":{{"type":"{ty}","id":"{id}"}},"attrs":{attrs},"parents":[{}]}}"#,
            parents.join(",")
        ));
    };
    for folder in 0..50 {
        let parents = (folder > 0).then(|| ("Folder", format!("f{}", folder / 3)));
        add("Folder", format!("f{folder}"), "{}", parents.as_slice());
    }
    for doc in 0..2_000 {
        let mut parents = vec![("Folder", format!("f{}", doc % 47))];
        if doc % 13 == 0 {
            parents.push(("Folder", format!("f{}", (doc + 5) % 50)));
        }
        let attrs = format!(
            r#"{{"dept":"d{}","owner":{{"__entity":{{"type":"User","id":"u{}"}}}}}}"#,
            doc % 7,
            doc % 37
        );
        add("Doc", format!("d{doc}"), &attrs, &parents);
    }
    for user in 0..30 {
        let parents = [("Group", format!("g{}", user % 4))];
        let attrs = format!(r#"{{"level":{}}}"#, 3 + user % 5);
        add("User", format!("u{user}"), &attrs, &parents);
    }
    // Of u11's permits, the first half of each condition is evaluated once for a document.
    let mut policies = String::new();
    for owner in 0..8 {
        policies += &format!(
            "permit(principal == User::\"u11\", action, resource is Doc) when {{ resource.dept == \"d3\" && resource.owner == User::\"u{owner}\" }};"
        );
    }
    // And of u13's there are so many that documents are decided in full.
    for dept in 0..300 {
        policies += &format!(
            "permit(principal == User::\"u13\", action, resource is Doc) when {{ resource.dept == \"d{dept}\" && resource.owner != User::\"u{dept}\" }};"
        );
    }
    policies += r#"
        permit(principal == User::"u12", action == Action::"read", resource) when { resource.owner has level && resource.owner.level > 5 };
        permit(principal == User::"u14", action == Action::"read", resource) when { resource.owner.level > 5 };
        forbid(principal == User::"u14", action == Action::"read", resource is Doc) when { resource.owner in Group::"g2" && resource.dept != "d2" };
        permit(principal in Group::"g1", action == Action::"read", resource in Folder::"f20");
        permit(principal == User::"u1", action == Action::"read", resource == Doc::"d77");
        permit(principal == User::"u2", action == Action::"read", resource is Doc);
        permit(principal == User::"u3", action == Action::"read", resource is Doc in Folder::"f2") when { resource.dept == "d3" };
        permit(principal == User::"u4", action == Action::"read", resource) when { resource.owner == principal };
        permit(principal == User::"u10", action == Action::"read", resource) when { context.mfa && resource.dept != "d1" };
        permit(principal == User::"u6", action in [Action::"read", Action::"write"], resource) when { principal.level > 2 };
        forbid(principal == User::"u6", action == Action::"read", resource in Folder::"f3");
        forbid(principal, action, resource == Doc::"d20") unless { context.mfa };
        permit(principal == User::"u7", action == Action::"read", resource in Folder::"f0") when { resource.nope };
        permit(principal == User::"u8", action == Action::"read", resource in Folder::"f40");
    "#;
    Authorizer::builder()
        .policies(policies.as_str())
        .entities(format!("[{}]", entities.join(",")).as_str())
        .build()
        .unwrap()
}

#[test]
fn short_cuts_find_the_same() {
    let authorizer = library();
    let pinned = authorizer.pin();
    let docs: Vec<String> = (0..2_000).map(|doc| format!("d{doc}")).collect();
    for user in 0..15 {
        let user = format!("u{user}");
        for context in [r#"{"mfa":true}"#, r#"{"mfa":false}"#, "{}"] {
            let search = Search::resources(("User", user.as_str()), ("Action", "read"), "Doc")
                .context_json(context);
            let allowed = docs.iter().filter(|doc| {
                let request = Request::new(
                    ("User", user.as_str()),
                    ("Action", "read"),
                    ("Doc", doc.as_str()),
                );
                pinned.is_allowed(&request.context_json(context))
            });
            let allowed: Vec<&str> = allowed.map(String::as_str).collect();
            let found: Vec<&str> = pinned
                .search(&search)
                .unwrap()
                .map(|doc| doc.id())
                .collect();
            assert_eq!(found, allowed, "{user}, {context}");
            for (size, scan) in [(7, usize::MAX), (1_000, 100)] {
                let paged = pages(&pinned, &search, size, scan);
                let paged: Vec<&str> = paged.iter().map(|(_, id)| id.as_str()).collect();
                assert_eq!(paged, allowed, "{user}, {context}, {size}");
            }
        }
    }
}

/// What the index answers, and what no candidate can change, is not looked for in the store.
#[test]
fn short_cuts_do_not_look_at_the_store() {
    let pinned = library().pin();
    let examined = |user: &str, ty: &str, context: &str| {
        let search =
            Search::resources(("User", user), ("Action", "read"), ty).context_json(context);
        let mut found = pinned.search(&search).unwrap();
        let results = found.by_ref().count();
        assert_eq!(found.cursor(), None);
        (results, found.examined())
    };
    let (results, looked) = examined("u1", "Doc", "{}");
    assert!(results > 1 && looked < 150, "{results} of {looked}");
    assert_eq!(examined("u0", "Doc", "{}"), (0, 0));
    // The condition does not hold for any resource.
    assert_eq!(examined("u10", "Doc", r#"{"mfa":false}"#), (0, 0));
    assert_eq!(examined("u1", "Unheard::Of", "{}"), (0, 0));
    assert_eq!(examined("u2", "Doc", r#"{"mfa":true}"#).0, 2_000);
    let (results, looked) = examined("u8", "Doc", "{}");
    assert!(
        results > 10 && looked <= results + 3,
        "{results} of {looked}"
    );
}

#[test]
fn principals_and_actions_are_found() {
    let authorizer = library();
    let pinned = authorizer.pin();
    let search = Search::principals("User", ("Action", "read"), ("Doc", "d77"))
        .context_json(r#"{"mfa":true}"#);
    let users: Vec<&str> = pinned
        .search(&search)
        .unwrap()
        .map(|user| user.id())
        .collect();
    let allowed: Vec<String> = (0..30)
        .map(|user| format!("u{user}"))
        .filter(|user| {
            let request = Request::new(("User", user.as_str()), ("Action", "read"), ("Doc", "d77"));
            pinned.is_allowed(&request.context_json(r#"{"mfa":true}"#))
        })
        .collect();
    assert_eq!(users, allowed);
    assert!(users.contains(&"u1") && users.contains(&"u10"), "{users:?}");
    // Actions that only policies name are found, too.
    let search = Search::actions(("User", "u6"), ("Doc", "d1"));
    let actions: Vec<String> = pinned
        .search(&search)
        .unwrap()
        .map(|action| action.to_string())
        .collect();
    assert_eq!(actions, [r#"Action::"read""#, r#"Action::"write""#]);
}

#[test]
fn cursors_are_bound_to_search_and_epoch() {
    let authorizer = library();
    let pinned = authorizer.pin();
    let read = Search::resources(("User", "u2"), ("Action", "read"), "Doc");
    let mut found = pinned.search(&read.limit(3)).unwrap();
    assert_eq!(found.by_ref().count(), 3);
    let cursor = found.cursor().unwrap();
    // The same search, with other limits.
    let rest = pinned.search(&read.after(&cursor)).unwrap();
    let rest: Vec<&str> = rest.map(|doc| doc.id()).collect();
    assert_eq!(rest.first(), Some(&"d3"));
    // Another principal, another type, another context, another kind.
    for other in [
        Search::resources(("User", "u3"), ("Action", "read"), "Doc"),
        Search::resources(("User", "u2"), ("Action", "read"), "Folder"),
        read.context_json(r#"{"mfa":true}"#),
        Search::principals("Doc", ("Action", "read"), ("User", "u2")),
        Search::actions(("User", "u2"), ("Action", "read")),
    ] {
        let error = pinned.search(&other.after(&cursor)).unwrap_err();
        assert_eq!(error, SearchError::ForeignCursor, "{other:?}");
    }
    // Equal contexts, however they are ordered.
    let one = std::collections::HashMap::from([("a", 1), ("b", 2), ("c", 3)]);
    let two = std::collections::BTreeMap::from([("a", 1), ("b", 2), ("c", 3)]);
    let of_one = pinned
        .search(&read.context(&one))
        .unwrap()
        .cursor()
        .unwrap();
    assert!(pinned.search(&read.context(&two).after(&of_one)).is_ok());
    // Another authorizer, made of the same.
    let error = library().pin().search(&read.after(&cursor)).unwrap_err();
    assert_eq!(error, SearchError::ForeignCursor);
    // Another epoch; the pinned one goes on.
    authorizer
        .update_entities(EntityUpdate::new().upsert(Entity::new(("Doc", "new"))))
        .unwrap();
    let error = authorizer.pin().search(&read.after(&cursor)).unwrap_err();
    assert_eq!(error, SearchError::StaleCursor { of: 1, on: 2 });
    assert!(error.to_string().contains("pinned"), "{error}");
    assert!(pinned.search(&read.after(&cursor)).is_ok());
    // Any text is a cursor or an error, and any cursor leads somewhere.
    let text = cursor.to_string();
    for bad in [
        "",
        "-",
        "---",
        "a-b-c",
        "+1-1-1-1",
        "g-1-1-1",
        &format!("{text}-"),
        &format!("{text}0000000"),
    ] {
        assert_eq!(
            bad.parse::<Cursor>(),
            Err(SearchError::MalformedCursor),
            "{bad}"
        );
    }
    let (start, _) = text.rsplit_once('-').unwrap();
    for place in ["0", "7fffffff", "1234567"] {
        let forged: Cursor = format!("{start}-{place}").parse().unwrap();
        assert!(pinned.search(&read.after(&forged)).unwrap().count() <= 2_000);
    }
}

#[test]
fn what_cannot_be_searched_is_told() {
    let authorizer = library();
    let pinned = authorizer.pin();
    let error = |search: &Search<'_>| pinned.search(search).unwrap_err();
    let read = |ty| Search::resources(("User", "u2"), ("Action", "read"), ty);
    assert_eq!(
        error(&read("no type")),
        SearchError::TypeName("no type".to_owned())
    );
    assert!(matches!(
        error(&read("Doc").context_json("{")),
        SearchError::Request(_)
    ));
    let actions = Search::actions(("User", "u2"), ("Doc", "d1")).context_json("[");
    assert!(matches!(error(&actions), SearchError::Request(_)));
    let nobody = Search::actions(("no type", "u2"), ("Doc", "d1"));
    assert!(matches!(error(&nobody), SearchError::Request(_)));
    // An unknown principal is decided about like any other.
    let ghost = Search::resources(("User", "ghost"), ("Action", "read"), "Doc");
    assert_eq!(pinned.search(&ghost).unwrap().count(), 0);

    let schema = r#"
        entity User; entity Doc; entity Color enum ["red", "blue"]; entity Other;
        action read appliesTo { principal: User, resource: [Doc, Color], context: { n: Long } };
        action write appliesTo { principal: User, resource: Doc, context: { m?: Long } };
    "#;
    let build = |validate| {
        Authorizer::builder()
            .schema_str(schema)
            .policies("permit(principal, action, resource);")
            .entities(
                r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": {}, "parents": [] },
                    { "uid": { "type": "Color", "id": "red" }, "attrs": {}, "parents": [] },
                    { "uid": { "type": "Other", "id": "o" }, "attrs": {}, "parents": [] }]"#,
            )
            .validate_requests(validate)
            .limits(Limits::default())
            .build()
            .unwrap()
            .pin()
    };
    let (validating, lax) = (build(true), build(false));
    let read =
        |ty| Search::resources(("User", "u"), ("Action", "read"), ty).context_json(r#"{"n":1}"#);
    for pinned in [&validating, &lax] {
        let error = pinned.search(&read("Dox")).unwrap_err();
        assert_eq!(error, SearchError::UndeclaredType("Dox".to_owned()));
        assert_eq!(pinned.search(&read("Doc")).unwrap().count(), 1);
        assert_eq!(pinned.search(&read("Color")).unwrap().count(), 1);
    }
    assert_eq!(lax.search(&read("Other")).unwrap().count(), 1);
    let error = validating.search(&read("Other")).unwrap_err();
    assert!(matches!(error, SearchError::Request(_)), "{error}");
    // Of the actions, those that apply.
    let actions = |resource: (&'static str, &'static str)| {
        let search = Search::actions(("User", "u"), resource).context_json(r#"{"n":1}"#);
        let actions = validating.search(&search).unwrap();
        actions.map(|action| action.id()).collect::<Vec<_>>()
    };
    assert_eq!(actions(("Doc", "d")), ["read"]);
    assert_eq!(actions(("Other", "o")), [""; 0]);
}

/// What is below a group is known to readers, and must follow the hierarchy.
#[test]
fn short_cuts_follow_updates() {
    let authorizer = library();
    let found = || {
        let search = Search::resources(("User", "u8"), ("Action", "read"), "Doc");
        owned(authorizer.pin().search(&search).unwrap())
    };
    let doc = |id: usize| uid("Doc", &format!("d{id}"));
    let before = found();
    assert!(before.contains(&doc(40)) && !before.contains(&doc(1)));
    let update = EntityUpdate::new().set_attr(("Doc", "d40"), "dept", &"d0");
    authorizer.update_entities(update).unwrap();
    assert_eq!(found(), before);
    let update = EntityUpdate::new()
        .remove_parent(("Doc", "d40"), ("Folder", "f40"))
        .add_parent(("Doc", "d1"), ("Folder", "f40"))
        .upsert(Entity::new(("Doc", "new")).parents(&[("Folder", "f40").into()]));
    authorizer.update_entities(update).unwrap();
    let after = found();
    assert!(
        !after.contains(&doc(40)) && after.contains(&doc(1)) && after.contains(&uid("Doc", "new"))
    );
    assert_eq!(after.len(), before.len() + 1);
    authorizer
        .update_entities(EntityUpdate::new().add_parent(("Folder", "f41"), ("Folder", "f40")))
        .unwrap();
    assert!(found().contains(&doc(41)));
    authorizer
        .update_entities(EntityUpdate::new().remove(("Folder", "f40")))
        .unwrap();
    assert!(!found().contains(&doc(1)));
}

/// In strict modes it matters which of two conjuncts comes first: one that is false keeps the next from failing.
#[test]
fn strict_modes_keep_the_order_of_conjuncts() {
    let build = |conditions: &str, mode| {
        let policies = format!(
            "permit(principal, action, resource); permit(principal, action, resource) when {{ {conditions} }};"
        );
        let builder = Authorizer::builder()
            .policies(policies.as_str())
            .error_mode(mode);
        let doc = r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": {}, "parents": [] }]"#;
        builder.entities(doc).build().unwrap()
    };
    for (conditions, strictly) in [
        ("resource.nope == 1 && context.no", 0),
        ("context.no && resource.nope == 1", 1),
        ("context.nope == 1 && resource.nope == 1", 0),
    ] {
        for (mode, expected) in [(ErrorMode::Cedar, 1), (ErrorMode::DenyOnAnyError, strictly)] {
            let authorizer = build(conditions, mode);
            let search = Search::resources(("User", "u"), ("Action", "a"), "Doc")
                .context_json(r#"{"no":false}"#);
            let found = authorizer.pin().search(&search).unwrap().count();
            assert_eq!(found, expected, "{conditions}, {mode:?}");
            let request = Request::new(("User", "u"), ("Action", "a"), ("Doc", "d"))
                .context_json(r#"{"no":false}"#);
            assert_eq!(usize::from(authorizer.is_allowed(&request)), expected);
        }
    }
}
