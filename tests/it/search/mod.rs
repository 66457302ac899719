//! Searches find what deciding one by one allows, page by page, and say what they cannot search.

mod short_cuts;
pub(crate) mod worlds;

use duramen::{
    Authorizer, Cursor, Entity, EntityUpdate, ErrorMode, Found, Limits, Pinned, Request, Search,
    SearchError,
};

use super::value::{Uid, uid};

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
    // Another principal, another type, another context, entities of its own, another kind.
    let plain = [Entity::new(("User", "u2"))];
    for other in [
        read.entities(&plain),
        read.entities_json("[]"),
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
    // With equal entities too; with others, which may be the same but for an attribute, it is another search.
    let attrs = ["a", "b"].map(|value| std::collections::BTreeMap::from([("dept", value)]));
    let with = |at: usize| [Entity::new(("User", "u2")).attrs(&attrs[at])];
    let (one, same, other) = (with(0), with(0), with(1));
    let of_one = pinned.search(&read.entities(&one).limit(1)).unwrap();
    let of_one = of_one.cursor().unwrap();
    let go_on = |entities| {
        pinned
            .search(&read.entities(entities).after(&of_one))
            .map(drop)
    };
    assert_eq!(go_on(&same), Ok(()));
    assert_eq!(go_on(&other), Err(SearchError::ForeignCursor));
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
