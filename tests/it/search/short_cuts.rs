//! What a search can leave out without a look at it is left out, and nothing else.

use super::*;

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
