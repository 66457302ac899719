//! Decisions between changes of policies and entities, and as time goes by.

use duramen::Delegation;
use duramen::grant::{Grant, GrantTable};

use super::*;

/// Policies that were changed one by one stand in several programs.
#[test]
fn after_updates_of_policies() {
    let mut text = String::new();
    for i in 0..300 {
        text.push_str(&format!(
            "permit(principal == Nobody::\"{i}\", action, resource);\n"
        ));
    }
    let authorizer = Authorizer::builder()
        .policies(text.as_str())
        .entities(ENTITIES)
        .build()
        .unwrap();
    for i in 0..40 {
        let permit = "permit(principal, action, resource) when { context.n > 0 };";
        let forbid = "forbid(principal, action, resource) when { context.n.x };";
        let update = duramen::PolicyUpdate::new()
            .add(format!("permit{i}"), permit)
            .add(format!("forbid{i}"), forbid);
        authorizer.update_policies(update).unwrap();
        let gone = duramen::PolicyUpdate::new().remove(format!("permit{i}"));
        if i % 2 == 0 {
            authorizer.update_policies(gone).unwrap();
        }
    }
    let request = view("alice").context_json(r#"{ "n": 1 }"#);
    every_way("after updates", &authorizer, &request, Outcome::Allowed);
    let response = authorizer.is_authorized(&request);
    assert_eq!(response.determining().len(), 20);
    assert_eq!(response.errors().len(), 40);
}

/// After updates: groups that have moved, names in upper tables, also between two decisions.
#[test]
fn after_updates_of_entities() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal in Group::"root", action, resource) when { resource.owner in Group::"root" };"#,
        )
        .build()
        .unwrap();
    let parents: Vec<EntityUidRef<'_>> = vec![("Group", "a").into(), ("Group", "b").into()];
    let owner = BTreeMap::from([("owner", EntityRef::new("User", "olga"))]);
    let update = EntityUpdate::new()
        .upsert(Entity::new(("User", "ulf")).parents(&parents))
        .upsert(Entity::new(("User", "olga")).parents(&parents))
        .upsert(Entity::new(("Doc", "d")).attrs(&owner))
        .upsert(Entity::new(("Group", "a")))
        .upsert(Entity::new(("Group", "b")));
    authorizer.update_entities(update).unwrap();
    let request = Request::new(("User", "ulf"), ("Action", "view"), ("Doc", "d"));
    every_way(
        "before the groups move",
        &authorizer,
        &request,
        Outcome::NoPermit,
    );
    for group in ["a", "b"] {
        let update = EntityUpdate::new().add_parent(("Group", group), ("Group", "root"));
        authorizer.update_entities(update).unwrap();
        every_way(
            "after a group has moved",
            &authorizer,
            &request,
            Outcome::Allowed,
        );
    }
    let mut session = authorizer.session();
    let mut prepared = authorizer.prepare(&request).unwrap();
    for round in 0..300 {
        let id = round.to_string();
        let update = EntityUpdate::new().upsert(Entity::new(("User", id.as_str())));
        authorizer.update_entities(update).unwrap();
        let (calls, allowed) = calls_of(|| {
            let prepared = session.is_authorized_prepared(&mut prepared).is_allowed();
            prepared && session.is_authorized(&request).is_allowed()
        });
        assert!(allowed);
        // The names of a prepared request are all known, so that new names do not make it look up again. And the
        // epoch before is freed by the next update.
        assert!(
            round < WARM_UP || calls == Calls::default(),
            "{calls:?} in round {round}"
        );
    }
}

/// Swaps on another thread; neither what a swap makes nor what it retires is this thread's to allocate or free.
#[test]
fn across_swaps() {
    let authorizer = authorizer();
    let context = typed_context();
    let swap = |round: usize| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if round.is_multiple_of(2) {
                    authorizer.replace_policies(POLICIES).unwrap();
                } else {
                    authorizer.replace_entities(ENTITIES).unwrap();
                }
            });
        });
    };
    let request = view("bob").context(&context);
    let mut session = authorizer.session();
    let mut scratch = Scratch::new();
    let mut prepared = authorizer.prepare(&request).unwrap();
    for _ in 0..WARM_UP {
        assert!(session.is_authorized(&request).is_allowed());
        assert!(authorizer.is_authorized(&request).is_allowed());
    }
    for round in 0..20 {
        swap(round);
        let (calls, ()) = calls_of(|| assert!(session.is_authorized(&request).is_allowed()));
        assert_eq!(calls, Calls::default(), "session, round {round}");
        let (calls, ()) = calls_of(|| assert!(authorizer.is_authorized(&request).is_allowed()));
        assert_eq!(calls, Calls::default(), "pooled, round {round}");
        let (calls, ()) = calls_of(|| assert!(authorizer.is_allowed(&request)));
        assert_eq!(calls, Calls::default(), "pooled, is_allowed, round {round}");
        // The first decision of a prepared request looks up again; the others must not allocate.
        assert!(
            authorizer
                .is_authorized_prepared(&mut scratch, &mut prepared)
                .is_allowed()
        );
        let (calls, ()) = calls_of(|| {
            for _ in 0..RUNS {
                let response = authorizer.is_authorized_prepared(&mut scratch, &mut prepared);
                assert!(response.is_allowed());
            }
        });
        assert_eq!(calls, Calls::default(), "prepared, round {round}");
    }
}

/// A look at a grant, whether nothing has changed or something that it does not rest on.
#[test]
fn looks_at_grants() {
    let authorizer = authorizer();
    let context = typed_context();
    let table = GrantTable::new(&authorizer);
    let request = view("bob").context(&context);
    let actors = [("User", "alice").into()];
    let delegation = Delegation::new(&actors)
        .expires(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40));
    let grants = [
        authorizer.grant(&request).unwrap(),
        table.grant(&request).unwrap(),
        table
            .grant_for(&request, std::time::Duration::from_secs(3600))
            .unwrap(),
        table.grant(&request.delegation(&delegation)).unwrap(),
    ];
    allocates_nothing("a look, nothing changed", || {
        assert!(grants.iter().all(Grant::is_current));
    });
    for round in 0..20 {
        let id = round.to_string();
        let update = EntityUpdate::new().upsert(Entity::new(("User", id.as_str())));
        authorizer.update_entities(update).unwrap();
        let (calls, current) = calls_of(|| grants.iter().all(Grant::is_current));
        assert!(current);
        assert_eq!(calls, Calls::default(), "a look, something else changed");
    }
}

#[test]
fn time_and_ages_allocate_nothing() {
    let minute = std::time::Duration::from_secs(60);
    let builder = || {
        Authorizer::builder()
            .policies("permit(principal in Group::\"staff\", action, resource) when { context.now > datetime(\"2020-01-01\") };")
            .context_time("now")
            .entities(ENTITIES)
    };
    let fresh = duramen::Freshness::new()
        .max_policy_age(minute)
        .max_entity_age(minute)
        .max_age_of_type("Photo", minute);
    let authorizer = builder().freshness(fresh).build().unwrap();
    every_way("fresh", &authorizer, &view("alice"), Outcome::Allowed);
    let stale = duramen::Freshness::new().max_age_of_type("Photo", minute);
    let entities = duramen::Entities::from(ENTITIES).as_of(std::time::UNIX_EPOCH);
    let authorizer = builder()
        .entities(entities)
        .freshness(stale)
        .build()
        .unwrap();
    every_way("stale", &authorizer, &view("alice"), Outcome::StaleEntities);
}
