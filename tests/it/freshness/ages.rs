//! Data that is too old.

use super::*;

#[test]
fn old_policies_and_old_entities_deny() {
    let clock = Clock::new();
    let freshness = Freshness::new()
        .max_policy_age(Duration::from_secs(100))
        .max_entity_age(Duration::from_secs(50));
    let permit = "permit(principal, action, resource);";
    let authorizer = clock
        .builder()
        .policies(permit)
        .freshness(freshness)
        .build()
        .unwrap();
    let pinned = authorizer.pin();
    let ask = || outcome(&authorizer, &view());
    assert_eq!(ask(), Outcome::Allowed);
    clock.go(50);
    assert_eq!(ask(), Outcome::Allowed, "a bound is what is still accepted");
    clock.go(1);
    assert_eq!(ask(), Outcome::StaleEntities);
    let search = authorizer.pin();
    let search = search.search(&Search::actions(("User", "ann"), ("Photo", "p1")));
    assert_eq!(
        search.err(),
        Some(SearchError::Stale(Outcome::StaleEntities))
    );

    // 51: entities are given anew, and what was pinned before does not get younger by that.
    authorizer.replace_entities("[]").unwrap();
    assert_eq!(ask(), Outcome::Allowed);
    assert_eq!(
        pinned.is_authorized(&view()).outcome(),
        Outcome::StaleEntities
    );
    clock.go(50);
    assert_eq!(ask(), Outcome::StalePolicies, "they are 101 seconds old");
    assert_eq!(
        authorizer.age(DataSource::Policies),
        Ok(Some(Duration::from_secs(101)))
    );
    assert_eq!(
        authorizer.age(DataSource::Entities),
        Ok(Some(Duration::from_secs(50)))
    );

    // Each way to make policies fresh, and each to make entities fresh.
    authorizer.replace_policies(permit).unwrap();
    assert_eq!(ask(), Outcome::Allowed);
    clock.go(101);
    authorizer
        .update_policies(PolicyUpdate::new().add("more", permit))
        .unwrap();
    assert_eq!(ask(), Outcome::StaleEntities);
    authorizer
        .update_entities(EntityUpdate::new().upsert(Entity::new(("User", "ann"))))
        .unwrap();
    assert_eq!(ask(), Outcome::Allowed);
    clock.go(50);
    // It changes nothing, and says all the same that somebody is there.
    let unchanged =
        authorizer.update_entities(EntityUpdate::new().upsert(Entity::new(("User", "ann"))));
    let version = authorizer.version();
    assert_eq!(unchanged.unwrap().version(), version);
    clock.go(50);
    assert_eq!(ask(), Outcome::Allowed);
    clock.go(1);
    assert_eq!(ask(), Outcome::StalePolicies, "which comes before entities");
    authorizer.replace_all(permit, "[]").unwrap();
    assert_eq!(ask(), Outcome::Allowed);
    clock.go(101);
    authorizer
        .confirm_fresh(DataSource::Policies, clock.now())
        .unwrap();
    assert_eq!(ask(), Outcome::StaleEntities);
    let version = authorizer.version();
    authorizer
        .confirm_fresh(DataSource::Entities, clock.now())
        .unwrap();
    assert_eq!(ask(), Outcome::Allowed);
    assert_eq!(authorizer.version(), version, "confirming changes nothing");

    // A failed update is no sign of life.
    clock.go(51);
    authorizer.replace_entities("[{}]").unwrap_err();
    authorizer
        .update_entities(EntityUpdate::new().set_attr(("User", "bob"), "a", &1))
        .unwrap_err();
    assert_eq!(ask(), Outcome::StaleEntities);
}

#[test]
fn loading_a_copy_does_not_make_it_younger() {
    let clock = Clock::new();
    let hour = Duration::from_secs(3_600);
    let freshness = || Freshness::new().max_policy_age(hour).max_entity_age(hour);
    let permit = || Policies::new().text("permit(principal, action, resource);");
    let old = clock.now() - 2 * hour;
    let build = |policies, entities: Entities| {
        let builder = clock.builder().policies(policies).entities(entities);
        builder.freshness(freshness()).build().unwrap()
    };
    let authorizer = build(permit().as_of(old), Entities::new());
    assert_eq!(outcome(&authorizer, &view()), Outcome::StalePolicies);
    authorizer.replace_policies(permit()).unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::Allowed);
    authorizer
        .update_policies(
            PolicyUpdate::new()
                .add("a", "permit(principal, action, resource);")
                .as_of(old),
        )
        .unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::StalePolicies);
    let authorizer = build(permit(), Entities::new().as_of(old));
    assert_eq!(outcome(&authorizer, &view()), Outcome::StaleEntities);
    let ann = || EntityUpdate::new().upsert(Entity::new(("User", "ann")));
    authorizer.update_entities(ann().as_of(old)).unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::StaleEntities);
    authorizer
        .update_entities(ann().out_of_band().set_attr(("User", "ann"), "a", &1))
        .unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::StaleEntities);
    authorizer.update_entities(ann()).unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::Allowed);
    // What is right tomorrow is not known to be right for longer than now.
    authorizer
        .replace_entities(Entities::new().as_of(clock.now() + 24 * hour))
        .unwrap();
    assert_eq!(
        authorizer.age(DataSource::Entities),
        Ok(Some(Duration::ZERO))
    );
}

/// An update shows that whoever feeds the type is alive, if it mentions one of it.
#[test]
fn an_update_makes_no_other_type_young() {
    let clock = Clock::new();
    let bounds = Freshness::new()
        .max_age_of_type("User", Duration::from_secs(60))
        .max_age_of_type("Photo", Duration::from_secs(60));
    let authorizer = clock
        .builder()
        .policies("permit(principal, action, resource);")
        .freshness(bounds)
        .build()
        .unwrap();
    clock.go(50);
    let update = EntityUpdate::new().upsert(Entity::new(("User", "ann")));
    authorizer.update_entities(update).unwrap();
    let age = |name| authorizer.age(DataSource::EntityType(name)).unwrap();
    assert_eq!(age("User"), Some(Duration::ZERO));
    assert_eq!(age("Photo"), Some(Duration::from_secs(50)));
    clock.go(20);
    assert_eq!(outcome(&authorizer, &view()), Outcome::StaleEntities);
}

#[test]
fn types_go_stale_each_for_itself() {
    let clock = Clock::new();
    let minute = Duration::from_secs(60);
    let policies = r#"
        permit(principal, action == Action::"view", resource);
        permit(principal, action == Action::"edit", resource) when { context.device.managed };
        permit(principal, action == Action::"share", resource)
        when { principal == User::"ann" || principal.boss in Team::"blue" };
    "#;
    let parents = [("Team", "red").into()];
    let devices = [("Company", "c").into()];
    let attrs: std::collections::BTreeMap<_, _> =
        [("boss", duramen::values::EntityRef::new("User", "cleo"))].into();
    let managed: std::collections::BTreeMap<_, _> = [("managed", true)].into();
    let entities = Entities::new()
        .insert(Entity::new(("User", "ann")))
        .insert(Entity::new(("User", "bob")).attrs(&attrs))
        .insert(Entity::new(("User", "cleo")).parents(&parents))
        .insert(Entity::new(("Team", "red")))
        .insert(
            Entity::new(("Device", "d"))
                .attrs(&managed)
                .parents(&devices),
        );
    let sink = Arc::new(MemorySink::new(1));
    let authorizer = clock
        .builder()
        .policies(policies)
        .entities(entities)
        .freshness(
            Freshness::new()
                .max_age_of_type("Device", minute)
                .max_age_of_type("Team", minute)
                .max_age_of_type("Company", 10 * minute),
        )
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let device: std::collections::BTreeMap<_, _> =
        [("device", duramen::values::EntityRef::new("Device", "d"))].into();
    let ask = |user, action: &'static str| {
        let request = Request::new(("User", user), ("Action", action), ("Photo", "p1"));
        outcome(&authorizer, &request.context(&device))
    };
    clock.go(61);
    assert_eq!(
        ask("ann", "view"),
        Outcome::Allowed,
        "it reads no device, nor has ann a team"
    );
    assert_eq!(ask("ann", "edit"), Outcome::StaleEntities);
    assert_eq!(
        ask("cleo", "view"),
        Outcome::StaleEntities,
        "cleo is in a team"
    );
    assert_eq!(
        ask("ann", "share"),
        Outcome::Allowed,
        "and so does nobody look at her boss"
    );
    assert_eq!(
        ask("bob", "share"),
        Outcome::StaleEntities,
        "what the red team is in, nobody knows"
    );
    let search = authorizer.pin();
    let found = search.search(&Search::actions(("User", "ann"), ("Photo", "p1")));
    assert_eq!(
        found.err(),
        Some(SearchError::Stale(Outcome::StaleEntities))
    );

    // A device that the request brings along is as fresh as the request. What is above it is not.
    let overlaid = [Entity::new(("Device", "d")).attrs(&managed)];
    let edit = Request::new(("User", "ann"), ("Action", "edit"), ("Photo", "p1")).context(&device);
    assert_eq!(
        outcome(&authorizer, &edit.entities(&overlaid)),
        Outcome::Allowed
    );

    // A heartbeat of one type; an update of an entity of the other.
    authorizer
        .confirm_fresh(DataSource::EntityType("Device"), clock.now())
        .unwrap();
    assert_eq!(ask("ann", "edit"), Outcome::Allowed);
    assert_eq!(ask("bob", "share"), Outcome::StaleEntities);
    let record = sink.records().pop().unwrap();
    let ages = record.ages.unwrap();
    assert_eq!(
        (ages.policies_ms, ages.entities_ms),
        (Some(61_000), Some(61_000))
    );
    assert_eq!(ages.types_ms["Device"], Some(0));
    assert_eq!(ages.types_ms["Team"], Some(61_000));
    authorizer
        .update_entities(EntityUpdate::new().upsert(Entity::new(("Team", "green"))))
        .unwrap();
    assert_eq!(ask("bob", "share"), Outcome::NoPermit);
    assert_eq!(
        authorizer.age(DataSource::EntityType("Device")),
        Ok(Some(Duration::ZERO))
    );
    clock.go(61);
    assert_eq!(ask("ann", "edit"), Outcome::StaleEntities);
    authorizer
        .confirm_fresh(DataSource::Entities, clock.now())
        .unwrap();
    assert_eq!(
        ask("ann", "edit"),
        Outcome::Allowed,
        "all entities are those of all types"
    );
    // The device itself is confirmed, and the company above it is not.
    clock.go(601);
    for source in ["Device", "Team"] {
        authorizer
            .confirm_fresh(DataSource::EntityType(source), clock.now())
            .unwrap();
    }
    assert_eq!(ask("ann", "edit"), Outcome::StaleEntities);
}

#[test]
fn a_clock_that_goes_backwards_denies() {
    let clock = Clock::new();
    let sink = Arc::new(MemorySink::new(100));
    let queue = Arc::new(QueueSink::new(Arc::clone(&sink)).unwrap());
    let authorizer = clock
        .builder()
        .policies("permit(principal, action, resource);")
        .freshness(
            Freshness::new()
                .max_entity_age(Duration::from_secs(60))
                .max_age_of_type("User", Duration::MAX),
        )
        .sink(Arc::clone(&queue))
        .build()
        .unwrap();
    clock.go(-1);
    assert_eq!(outcome(&authorizer, &view()), Outcome::StaleEntities);
    assert_eq!(authorizer.age(DataSource::Entities), Ok(None));
    // The time of loading counts, whatever the clock says after that; until it is set right.
    clock.go(1);
    assert_eq!(outcome(&authorizer, &view()), Outcome::Allowed);
    clock.set(i64::MAX >> 8);
    assert_eq!(outcome(&authorizer, &view()), Outcome::StaleEntities);
    duramen::evidence::DecisionSink::flush(&queue).unwrap();
    let records = sink.records();
    let first = records.first().unwrap().ages.clone().unwrap();
    assert_eq!((first.policies_ms, first.types_ms["User"]), (None, None));
    let json = serde_json::to_value(&records[0]).unwrap();
    assert!(json["ages"]["policies_ms"].is_null());
}

/// A clock that was ahead when data was loaded or confirmed, and was set right.
#[test]
fn a_clock_that_was_ahead_is_forgotten_when_data_is_confirmed() {
    let clock = Clock::new();
    let authorizer = clock
        .builder()
        .policies("permit(principal, action, resource);")
        .freshness(
            Freshness::new()
                .max_policy_age(Duration::from_secs(60))
                .max_entity_age(Duration::from_secs(60))
                .max_age_of_type("User", Duration::from_secs(60)),
        )
        .build()
        .unwrap();
    let (policies, entities) = (DataSource::Policies, DataSource::Entities);
    clock.go(1_000_000);
    for what in [policies, entities] {
        authorizer.confirm_fresh(what, clock.now()).unwrap();
    }
    clock.go(-900_000);
    assert_eq!(outcome(&authorizer, &view()), Outcome::StalePolicies);
    authorizer.confirm_fresh(policies, clock.now()).unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::StaleEntities);
    authorizer.confirm_fresh(entities, clock.now()).unwrap();
    assert_eq!(outcome(&authorizer, &view()), Outcome::Allowed);
    // From here on times only go on again.
    let past = clock.now() - Duration::from_secs(50);
    authorizer.confirm_fresh(entities, past).unwrap();
    assert_eq!(authorizer.age(entities), Ok(Some(Duration::ZERO)));
}

/// A decision looks at the clock, is held up, and then at data that was confirmed meanwhile.
#[test]
fn what_is_confirmed_while_a_decision_begins_is_not_of_the_future() {
    let minute = Duration::from_secs(60);
    let level: std::collections::BTreeMap<_, _> = [("level", 1)].into();
    for source in [
        DataSource::Policies,
        DataSource::Entities,
        DataSource::EntityType("User"),
    ] {
        // A type that is bounded is confirmed with all entities.
        let bounds = Freshness::new()
            .max_policy_age(minute)
            .max_entity_age(minute);
        let bounds = match source {
            DataSource::EntityType(name) => bounds.max_age_of_type(name, minute),
            _ => bounds,
        };
        let clock = Clock::new();
        let late = Arc::new(AtomicI64::new(0));
        let (shown, first) = (clock.clone(), Arc::clone(&late));
        let authorizer = Authorizer::builder()
            .clock(move || {
                let back = u64::try_from(first.swap(0, Ordering::Relaxed)).unwrap();
                shown.now() - Duration::from_secs(back)
            })
            .policies("permit(principal, action, resource) when { principal has level };")
            .entities(Entities::new().insert(Entity::new(("User", "ann")).attrs(&level)))
            .freshness(bounds)
            .build()
            .unwrap();
        clock.go(10);
        authorizer.confirm_fresh(source, clock.now()).unwrap();
        // The first look shows the time before it was confirmed.
        late.store(5, Ordering::Relaxed);
        let response = authorizer.is_authorized(&view());
        assert_eq!(response.outcome(), Outcome::Allowed, "{source:?}");
        assert_eq!(late.load(Ordering::Relaxed), 0);
        late.store(5, Ordering::Relaxed);
        assert_eq!(authorizer.age(source), Ok(Some(Duration::ZERO)));
    }
}

/// As whoever writes records with serde has them: of policies, of entities, and of each type.
#[test]
fn each_age_has_its_name() {
    let clock = Clock::new();
    let ages = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&ages);
    let bounds = Freshness::new()
        .max_policy_age(Duration::MAX)
        .max_age_of_type("User", Duration::MAX);
    let authorizer = clock
        .builder()
        .freshness(bounds)
        .sink(Ages(seen))
        .build()
        .unwrap();
    clock.go(1);
    authorizer
        .confirm_fresh(DataSource::Entities, clock.now())
        .unwrap();
    clock.go(1);
    let of_users = DataSource::EntityType("User");
    authorizer.confirm_fresh(of_users, clock.now()).unwrap();
    clock.go(1);
    let _ = authorizer.is_authorized(&view());
    let expected = serde_json::json!({
        "policies_ms": 3000, "entities_ms": 2000, "types_ms": { "User": 1000 }
    });
    assert_eq!(*ages.lock().unwrap(), [expected]);
}

/// Notes the ages as they serialize, and holds them against what the record answers.
struct Ages(Arc<std::sync::Mutex<Vec<serde_json::Value>>>);

impl DecisionSink for Ages {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let ages = record.ages().unwrap();
        let json = serde_json::to_value(ages).unwrap();
        let ms = |age: Option<Duration>| serde_json::json!(age.map(|age| age.as_millis() as u64));
        assert_eq!(json["policies_ms"], ms(ages.policies()));
        assert_eq!(json["entities_ms"], ms(ages.entities()));
        self.0.lock().unwrap().push(json);
        Ok(())
    }
}

#[test]
fn confirmations_that_make_no_sense_are_refused() {
    let clock = Clock::new();
    let without = clock.builder().build().unwrap();
    let kept = FreshnessError::NotKept;
    assert_eq!(
        without.confirm_fresh(DataSource::Policies, clock.now()),
        Err(kept.clone())
    );
    assert_eq!(without.age(DataSource::Policies), Err(kept));
    let freshness = Freshness::new().max_age_of_type("User", Duration::ZERO);
    let authorizer = clock.builder().freshness(freshness).build().unwrap();
    let confirm = |what, at| authorizer.confirm_fresh(what, at);
    assert_eq!(
        confirm(DataSource::EntityType("Usr"), clock.now()),
        Err(FreshnessError::UnboundedType("Usr".into()))
    );
    let later = clock.now() + Duration::from_millis(1);
    assert_eq!(
        confirm(DataSource::Entities, later),
        Err(FreshnessError::InFuture)
    );
    // One that comes late takes nothing back.
    clock.go(10);
    confirm(DataSource::Entities, clock.now()).unwrap();
    confirm(DataSource::Entities, clock.now() - Duration::from_secs(5)).unwrap();
    assert_eq!(
        authorizer.age(DataSource::Entities),
        Ok(Some(Duration::ZERO))
    );
}

#[test]
fn bounds_on_types_that_there_are_not_are_refused() {
    let build = |name: &str, schema: bool| {
        let builder = Authorizer::builder();
        let builder = if schema {
            builder.schema_str("entity User;")
        } else {
            builder
        };
        let bound = Freshness::new().max_age_of_type(name, Duration::MAX);
        builder
            .freshness(bound)
            .build()
            .map_err(|error| error.to_string())
    };
    assert!(build("User", true).is_ok() && build("Usr", false).is_ok());
    assert!(
        build("Usr", true)
            .unwrap_err()
            .contains("`Usr` is not in the schema")
    );
    assert!(
        build("a b", false)
            .unwrap_err()
            .contains("is not an entity type name")
    );
}
