//! Security events as updates of entities.

mod examples;
mod order;
mod refused;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use duramen::grant::GrantTable;
use duramen::signals::{
    SignalAttribute, SignalError, SignalEvent, SignalReceiver, SignalReport, SubjectFormat,
    SubjectKind, Transmitter, Unresolved,
};
use duramen::values::Datetime;
use duramen::{
    Authorizer, DataSource, Delegation, Entities, Entity, EntityUidRef, EntityUpdate, Freshness,
    Outcome, PolicyUpdate, Request,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const IDP: &str = "https://idp.example.com/123456789/";
const US: &str = "https://sp.example.com/caep";

/// After all that the examples tell of.
const NOW: u64 = 1_800_000_000;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// The session, the user and the device of the examples, a second session of the user's, and what else they name.
fn store() -> Authorizer {
    let jane = ("User", "jane.smith@example.com");
    let (laptop, tenant) = (
        ("Device", "e9297990-14d2-42ec-a4a9-4036db86509a"),
        ("Tenant", "123456789"),
    );
    let both = [jane.into(), laptop.into()];
    let of_jane = [jane.into()];
    let mut entities = Entities::new()
        .insert(Entity::new(jane).parents(&[tenant.into()]))
        .insert(Entity::new(laptop).parents(&[tenant.into()]))
        .insert(Entity::new(tenant))
        .insert(Entity::new(("Session", "on-laptop")).parents(&both))
        .insert(Entity::new(("Session", "elsewhere")).parents(&of_jane));
    for session in [
        "dMTlD|1600802906337.16|16008.16",
        "f61t6e20zdo3px56gepu8rzlsp4c1dpc0fx7",
        "_a75adf55-01d7-dbd8372ebdfc",
    ] {
        entities = entities.insert(Entity::new(("Session", session)));
    }
    for user in [
        "99beb27c-c1c2-4955-882a-e0dc4996fcbc",
        "someuser@somedomain.com",
        "joe.smith@example.com",
        "7375626A656374",
        "john.doe@example.com",
        "foo@example.com",
        "+15551234567",
        "acct:ann@example.com",
    ] {
        entities = entities.insert(Entity::new(("User", user)));
    }
    Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .entities(entities)
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
        .build()
        .unwrap()
}

/// The same declaration for every issuer and audience that the examples have.
fn receiver() -> SignalReceiver {
    let pairs = [
        (IDP, US),
        (
            "https://idp.example.com/987654321/",
            "https://sp.example2.net/caep",
        ),
        (
            "https://idp.example.com/3456789/",
            "https://sp.example2.net/caep",
        ),
        (
            "https://idp.example.com/3456790/",
            "https://sp.example2.net/caep",
        ),
        ("https://idp.example.com/", "636C69656E745F6964"),
    ];
    pairs
        .into_iter()
        .fold(SignalReceiver::new(), |receiver, (iss, aud)| {
            let iss_sub = || SubjectFormat::IssSub(iss.to_owned());
            receiver.transmitter(
                Transmitter::new(iss, aud)
                    .subject(SubjectKind::Session, SubjectFormat::Opaque, "Session")
                    .subject(
                        SubjectKind::Session,
                        SubjectFormat::JwtId(iss.to_owned()),
                        "Session",
                    )
                    .subject(
                        SubjectKind::Session,
                        SubjectFormat::SamlAssertionId(iss.to_owned()),
                        "Session",
                    )
                    .subject(SubjectKind::User, iss_sub(), "User")
                    .subject(SubjectKind::User, SubjectFormat::Email, "User")
                    .subject(SubjectKind::User, SubjectFormat::PhoneNumber, "User")
                    .subject(SubjectKind::User, SubjectFormat::Account, "User")
                    .subject(SubjectKind::Device, iss_sub(), "Device")
                    .subject(SubjectKind::Tenant, SubjectFormat::Opaque, "Tenant")
                    .sessions("Session")
                    .claim("role", "role")
                    .claim("trusted_network", "trustedNetwork")
                    .claim(
                        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/role",
                        "role",
                    )
                    .assurance("NIST-AAL", "aal", &["nist-aal1", "nist-aal2", "nist-aal3"])
                    .assurance("Retinal Scan", "retina", &["no-scan", "hi-res-scan"]),
            )
        })
}

fn token(iss: &str, aud: &str, iat: u64, subject: Json, event: &str, said: Json) -> Json {
    json!({ "iss": iss, "jti": format!("{iat}{event}{said}{subject}"), "iat": iat, "aud": aud, "txn": 8_675_309,
            "sub_id": subject, "events": { event: said } })
}

/// What one attribute of an entity is, as the policies see it.
#[track_caller]
fn holds(authorizer: &Authorizer, entity: (&str, &str), condition: &str) -> bool {
    let text = format!("permit(principal, action, resource) when {{ {condition} }};");
    let asking = authorizer.clone();
    let before = asking.policy_count();
    let update = duramen::PolicyUpdate::new().replace("policy0", text);
    asking.update_policies(update).unwrap();
    assert_eq!(asking.policy_count(), before);
    asking.is_allowed(&Request::new(
        EntityUidRef::from(entity),
        ("Action", "a"),
        ("R", "r"),
    ))
}

fn opaque(id: &str) -> Json {
    json!({ "format": "opaque", "id": id })
}

fn iss_sub(iss: &str, sub: &str) -> Json {
    json!({ "format": "iss_sub", "iss": iss, "sub": sub })
}

fn email(address: &str) -> Json {
    json!({ "format": "email", "email": address })
}

/// What a signal takes back are the grants that rest on whom it is about, as principals and as those who act for others.
#[test]
fn each_signal_names_the_grants_that_it_takes_back() {
    let (authorizer, receiver) = (store(), receiver());
    let policies = PolicyUpdate::new()
        .add("over", "forbid(principal, action, resource) when { principal has revoked && principal.revoked };")
        .add("unsafe", "forbid(principal, action, resource) when { principal has compliant && !principal.compliant };");
    authorizer.update_policies(policies).unwrap();
    let table = GrantTable::new(&authorizer);
    let laptop = ("Device", "e9297990-14d2-42ec-a4a9-4036db86509a");
    let actors = [laptop.into()];
    let delegation = Delegation::new(&actors);
    let read = |session| Request::new(("Session", session), ("Action", "read"), ("Doc", "plan"));
    let on_laptop = table.grant(&read("on-laptop")).unwrap();
    let elsewhere = table.grant(&read("elsewhere")).unwrap();
    let through = table
        .grant(&read("elsewhere").delegation(&delegation))
        .unwrap();
    let apply = |event: &str, at: u64, subject: &Json, said: Json| {
        let token = token(
            IDP,
            US,
            at,
            subject.clone(),
            &format!("{CAEP}{event}"),
            said,
        );
        let apply = |authorizer: &Authorizer| receiver.apply(authorizer, &token.to_string());
        let (report, revoked) = table.revoked_by(apply);
        (
            report,
            revoked
                .iter()
                .map(|revocation| revocation.grant())
                .collect::<Vec<_>>(),
        )
    };
    let whom = json!({ "format": "complex", "device": iss_sub(IDP, laptop.1),
                       "user": iss_sub(IDP, "jane.smith@example.com") });
    // Two times the same, the second with nothing left to take back.
    for (replay, expected) in [(false, vec![on_laptop.id()]), (true, vec![])] {
        let (report, revoked) = apply("session-revoked", NOW - 100, &whom, json!({}));
        assert_eq!((report.unwrap().is_replay(), revoked), (replay, expected));
    }
    assert!(!on_laptop.is_current() && elsewhere.is_current() && through.is_current());
    let device = json!({ "format": "complex", "device": iss_sub(IDP, laptop.1) });
    let status =
        |now: &str, before: &str| json!({ "current_status": now, "previous_status": before });
    let (report, revoked) = apply(
        "device-compliance-change",
        NOW - 90,
        &device,
        status("broken", "compliant"),
    );
    assert!(report.is_err() && revoked.is_empty());
    let bad = status("not-compliant", "compliant");
    let (_, revoked) = apply("device-compliance-change", NOW - 80, &device, bad.clone());
    assert_eq!(revoked, [through.id()]);
    // What was later overtakes it, what was earlier does not, and neither brings a grant back.
    let (report, revoked) = apply(
        "device-compliance-change",
        NOW - 70,
        &device,
        status("compliant", "not-compliant"),
    );
    assert!(report.unwrap().ignored().is_empty() && revoked.is_empty() && !through.is_current());
    let again = table
        .grant(&read("elsewhere").delegation(&delegation))
        .unwrap();
    let (report, revoked) = apply("device-compliance-change", NOW - 75, &device, bad);
    assert!(!report.unwrap().ignored().is_empty() && revoked.is_empty());
    assert!(again.is_current() && elsewhere.is_current());
    // The revocation is for good, whatever comes, and no new grant is to be had.
    let established = opaque("on-laptop");
    let (_, revoked) = apply("session-established", NOW, &established, json!({}));
    assert!(revoked.is_empty());
    assert_eq!(
        table.grant(&read("on-laptop")).unwrap_err().outcome(),
        Outcome::Forbidden
    );
}

/// An account that was purged is not enabled again by a signal, however late; times of events only go on.
#[test]
fn what_is_for_good_stays_and_times_go_on() {
    let (authorizer, receiver) = (store(), receiver());
    let apply = |event: String, at: u64, subject: Json| {
        let token = token(IDP, US, at, subject, &event, json!({}));
        receiver.apply(&authorizer, &token.to_string()).unwrap()
    };
    let account = || email("someuser@somedomain.com");
    let who = ("User", "someuser@somedomain.com");
    let _ = apply(format!("{RISC}account-purged"), NOW - 100, account());
    let report = apply(format!("{RISC}account-enabled"), NOW - 50, account());
    assert!(!report.ignored().is_empty());
    assert!(holds(
        &authorizer,
        who,
        "principal.purged && !principal.enabled"
    ));
    for (at, seen) in [
        (NOW - 60, NOW - 60),
        (NOW - 80, NOW - 60),
        (NOW - 40, NOW - 40),
    ] {
        let report = apply(format!("{CAEP}session-presented"), at, account());
        assert_eq!(report.ignored().is_empty(), at == seen, "{report:#?}");
        let seen = format!(
            "principal.lastSeen.durationSince(datetime(\"1970-01-01\")).toSeconds() == {seen}"
        );
        assert!(holds(&authorizer, who, &seen));
    }
}

/// What the store says of a purge counts, also for a receiver that was not there.
#[test]
fn an_account_that_the_store_has_as_purged_is_not_enabled() {
    let account = ("User", "someuser@somedomain.com");
    for (purged, enabled) in [(true, false), (false, true)] {
        let authorizer = store();
        let update = EntityUpdate::new()
            .set_attr(account, "purged", &purged)
            .set_attr(account, "enabled", &false);
        authorizer.update_entities(update).unwrap();
        let event = format!("{RISC}account-enabled");
        let token = token(IDP, US, NOW - 50, email(account.1), &event, json!({}));
        let report = receiver().apply(&authorizer, &token.to_string()).unwrap();
        assert_eq!(report.changes().len(), usize::from(enabled), "{report:?}");
        assert_eq!(holds(&authorizer, account, "principal.enabled"), enabled);
    }
}

/// Whom the host takes back after a purge can be disabled, enabled and purged again. Where the store does not say that an account
/// was purged, no signal enables it, and it can be disabled all the same.
#[test]
fn an_account_that_the_host_took_back_can_be_disabled() {
    let account = ("User", "someuser@somedomain.com");
    for says_purged in [true, false] {
        let authorizer = store();
        let user =
            Transmitter::new(IDP, US).subject(SubjectKind::User, SubjectFormat::Email, "User");
        let receiver = SignalReceiver::new().transmitter(match says_purged {
            true => user,
            false => user.without(SignalAttribute::Purged),
        });
        let apply = |event: &str, at: u64| {
            let token = token(
                IDP,
                US,
                at,
                email(account.1),
                &format!("{RISC}{event}"),
                json!({}),
            );
            receiver.apply(&authorizer, &token.to_string()).unwrap()
        };
        let _ = apply("account-purged", NOW - 100);
        let back = EntityUpdate::new()
            .set_attr(account, "purged", &false)
            .set_attr(account, "enabled", &true);
        authorizer.update_entities(back).unwrap();
        let report = apply("account-disabled", NOW - 90);
        assert!(report.ignored().is_empty(), "{report:?}");
        assert!(holds(&authorizer, account, "!principal.enabled"));
        let report = apply("account-enabled", NOW - 80);
        assert_eq!(report.ignored().is_empty(), says_purged, "{report:?}");
        assert_eq!(
            holds(&authorizer, account, "principal.enabled"),
            says_purged
        );
        // What was overtaken stays so, and a second purge is one.
        if says_purged {
            assert!(!apply("account-disabled", NOW - 85).ignored().is_empty());
        }
        let _ = apply("account-purged", NOW - 70);
        assert!(!apply("account-enabled", NOW - 60).ignored().is_empty());
        assert!(holds(&authorizer, account, "!principal.enabled"));
    }
}

/// All members describe one thing. Where one of them is not known, what is stored of the others may be somebody else: what takes
/// away is done all the same, and nothing else.
#[test]
fn a_subject_that_is_known_in_part_is_not_loosened() {
    let laptop = ("Device", "e9297990-14d2-42ec-a4a9-4036db86509a");
    let jane = ("User", "jane.smith@example.com");
    let risk = |level: &str| json!({ "principal": "USER", "current_level": level });
    let status =
        |now: &str, before: &str| json!({ "current_status": now, "previous_status": before });
    for (tenant, is_known) in [("123456789", true), ("another", false)] {
        let whom = json!({ "format": "complex", "tenant": opaque(tenant), "user": iss_sub(IDP, jane.1),
                           "device": iss_sub(IDP, laptop.1) });
        for (event, restricts, loosens) in [
            (
                format!("{RISC}account-disabled"),
                json!({}),
                (
                    format!("{RISC}account-enabled"),
                    json!({}),
                    jane,
                    "principal.enabled",
                ),
            ),
            (
                format!("{CAEP}device-compliance-change"),
                status("not-compliant", "compliant"),
                (
                    format!("{CAEP}device-compliance-change"),
                    status("compliant", "not-compliant"),
                    laptop,
                    "principal.compliant",
                ),
            ),
            (
                format!("{CAEP}risk-level-change"),
                risk("HIGH"),
                (
                    format!("{CAEP}risk-level-change"),
                    risk("LOW"),
                    jane,
                    "principal.riskLevel == 1",
                ),
            ),
        ] {
            let (authorizer, receiver) = (store(), receiver());
            let apply = |event: &str, at, said| {
                let token = token(IDP, US, at, whom.clone(), event, said);
                receiver.apply(&authorizer, &token.to_string()).unwrap()
            };
            let report = apply(&event, NOW - 100, restricts);
            assert_eq!(report.changes().len(), 1, "{report:?}");
            let (event, said, who, condition) = loosens;
            let report = apply(&event, NOW - 90, said);
            assert_eq!(report.unresolved().is_empty(), is_known);
            assert_eq!(report.ignored().is_empty(), is_known, "{report:?}");
            assert_eq!(holds(&authorizer, who, condition), is_known, "{event}");
        }
    }
}

/// Of two events of one moment the stricter counts, whichever comes first.
#[test]
fn of_one_moment_the_stricter_counts() {
    let laptop = ("Device", "e9297990-14d2-42ec-a4a9-4036db86509a");
    let whom = json!({ "format": "complex", "device": iss_sub(IDP, laptop.1) });
    let status =
        |now: &str, before: &str| json!({ "current_status": now, "previous_status": before });
    let (bad, good) = (
        status("not-compliant", "compliant"),
        status("compliant", "not-compliant"),
    );
    for events in [[&bad, &good], [&good, &bad]] {
        let (authorizer, receiver) = (store(), receiver());
        for said in events {
            let event = format!("{CAEP}device-compliance-change");
            let token = token(IDP, US, NOW - 10, whom.clone(), &event, said.clone());
            let _ = receiver.apply(&authorizer, &token.to_string()).unwrap();
        }
        assert!(
            holds(&authorizer, laptop, "!principal.compliant"),
            "{events:?}"
        );
    }
}

/// Whoever sends signals is not whoever feeds the directory.
#[test]
fn a_signal_makes_nothing_younger() {
    let seconds = Arc::new(AtomicU64::new(NOW));
    let clock = Arc::clone(&seconds);
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .entities(Entities::new().insert(Entity::new(("User", "someuser@somedomain.com"))))
        .clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)))
        .freshness(Freshness::new().max_entity_age(Duration::from_secs(60)))
        .build()
        .unwrap();
    seconds.fetch_add(50, Ordering::Relaxed);
    let event = format!("{RISC}account-disabled");
    let token = token(
        IDP,
        US,
        NOW,
        email("someuser@somedomain.com"),
        &event,
        json!({}),
    );
    let report = receiver().apply(&authorizer, &token.to_string()).unwrap();
    assert!(report.updated().is_some());
    let age = authorizer.age(DataSource::Entities).unwrap();
    assert_eq!(age, Some(Duration::from_secs(50)));
}

/// Sessions are revoked for whom they were to be, and for nobody else.
#[test]
fn sessions_below_the_subject_are_revoked() {
    let revoke = |subject| {
        let (authorizer, receiver) = (store(), receiver());
        let token = token(
            IDP,
            US,
            1_615_305_159,
            subject,
            &format!("{CAEP}session-revoked"),
            json!({}),
        );
        let report = receiver.apply(&authorizer, &token.to_string()).unwrap();
        let revoked = |session| {
            holds(
                &authorizer,
                ("Session", session),
                "principal has revoked && principal.revoked",
            )
        };
        let since = holds(
            &authorizer,
            ("User", "jane.smith@example.com"),
            "principal has sessionsRevokedAt",
        );
        (revoked("on-laptop"), revoked("elsewhere"), since, report)
    };
    let jane = || iss_sub(IDP, "jane.smith@example.com");
    let laptop = || iss_sub(IDP, "e9297990-14d2-42ec-a4a9-4036db86509a");
    let (laptops, others, since, _) = revoke(jane());
    assert!(laptops && others && since);
    let (laptops, others, since, _) = revoke(json!({ "format": "complex", "device": laptop() }));
    assert!(laptops && !others && !since);
    let (laptops, others, since, _) =
        revoke(json!({ "format": "complex", "device": laptop(), "user": jane() }));
    assert!(laptops && !others && !since);
    let nobodys =
        json!({ "format": "complex", "user": iss_sub(IDP, "7375626A656374"), "device": laptop() });
    let (laptops, others, _, report) = revoke(nobodys);
    assert!(!laptops && !others);
    assert_eq!(report.unresolved()[0].reason, "no session of it is stored");
    // A session that is named is the one that is meant, whatever stands beside it.
    let (laptops, others, since, _) =
        revoke(json!({ "format": "complex", "session": opaque("on-laptop"), "user": jane() }));
    assert!(laptops && !others && !since);
    let (laptops, others, since, report) =
        revoke(json!({ "format": "complex", "session": opaque("gone"), "user": jane() }));
    assert!(!laptops && !others && !since, "{report:?}");
    assert_eq!(report.unresolved()[0].reason, "it is not stored");
}

/// Where a user is not to have the time, and has no session either, nothing is revoked: that is told, and the token may come
/// again.
#[test]
fn a_revocation_that_finds_nothing_to_set_is_told() {
    let authorizer = store();
    let receiver = SignalReceiver::new().transmitter(
        Transmitter::new(IDP, US)
            .subject(SubjectKind::User, SubjectFormat::Email, "User")
            .sessions("Session")
            .without(SignalAttribute::SessionsRevokedAt),
    );
    let foo = ("User", "foo@example.com");
    let event = format!("{CAEP}session-revoked");
    let token = token(IDP, US, 100, email(foo.1), &event, json!({})).to_string();
    let report = receiver.apply(&authorizer, &token).unwrap();
    assert!(report.changes().is_empty());
    assert_eq!(report.unresolved()[0].reason, "no session of it is stored");
    let parents = [foo.into()];
    let late = Entity::new(("Session", "late")).parents(&parents);
    authorizer
        .update_entities(EntityUpdate::new().upsert(late))
        .unwrap();
    let report = receiver.apply(&authorizer, &token).unwrap();
    assert!(report.unresolved().is_empty() && !report.is_replay());
    assert!(holds(&authorizer, ("Session", "late"), "principal.revoked"));
}

/// A member that is there and that nothing is known of makes a subject narrower, never wider: no session is revoked instead
/// of those that were meant, the report names it, and the token does what it says once the member is known.
#[test]
fn a_subject_that_is_not_known_whole_revokes_nothing() {
    let jane = || iss_sub(IDP, "jane.smith@example.com");
    let tenant = || opaque("123456789");
    let unknown_format = || json!({ "format": "uri", "uri": "urn:x" });
    let no_aliases = json!({ "format": "aliases", "identifiers": [] });
    let nested = json!({ "format": "complex", "user": jane() });
    let no_rule = "no rule of the transmitter says what it is";
    let cases = [
        (
            json!({ "user": iss_sub(IDP, "zoe"), "tenant": tenant() }),
            "user: iss_sub",
            "it is not stored",
        ),
        (
            json!({ "user": iss_sub("https://other/", "jane.smith@example.com"), "tenant": tenant() }),
            "user: iss_sub",
            no_rule,
        ),
        (
            json!({ "session": { "format": "ip", "ip": "::1" }, "tenant": tenant() }),
            "session: (of an unknown format)",
            no_rule,
        ),
        (
            json!({ "session": unknown_format(), "user": jane() }),
            "session: uri urn:x",
            no_rule,
        ),
        (
            json!({ "user": no_aliases, "tenant": tenant() }),
            "user: (of an unknown format)",
            no_rule,
        ),
        (
            json!({ "user": nested, "tenant": tenant() }),
            "user: (of an unknown format)",
            no_rule,
        ),
        (
            json!({ "robot": opaque("r"), "tenant": tenant() }),
            "robot",
            "the member is not one of the framework's",
        ),
        (
            json!({ "user": jane(), "device": unknown_format() }),
            "device: uri urn:x",
            no_rule,
        ),
        (
            json!({ "user": jane(), "device": iss_sub(IDP, "lost") }),
            "device: iss_sub",
            "it is not stored",
        ),
    ];
    for event in [
        format!("{CAEP}session-revoked"),
        format!("{RISC}sessions-revoked"),
    ] {
        for (subject, named, reason) in &cases {
            let (authorizer, receiver) = (store(), receiver());
            let version = authorizer.version();
            let mut subject = subject.clone();
            subject["format"] = json!("complex");
            let token = token(IDP, US, 9, subject.clone(), &event, json!({})).to_string();
            for _ in 0..2 {
                let report = receiver.apply(&authorizer, &token).unwrap();
                assert!(
                    report.changes().is_empty() && !report.is_replay(),
                    "{report:#?}"
                );
                let about = |unresolved: &Unresolved| {
                    unresolved.subject.starts_with(named) && unresolved.reason == *reason
                };
                assert!(
                    report.unresolved().iter().any(about),
                    "{subject}: {report:#?}"
                );
            }
            assert_eq!(authorizer.version(), version, "{subject}");
        }
    }
    // What is missing is loaded, and the same token comes again.
    let (authorizer, receiver) = (store(), receiver());
    let subject = json!({ "format": "complex", "user": iss_sub(IDP, "zoe"), "tenant": tenant() });
    let event = format!("{CAEP}session-revoked");
    let token = token(IDP, US, 9, subject, &event, json!({})).to_string();
    assert_eq!(
        receiver
            .apply(&authorizer, &token)
            .unwrap()
            .unresolved()
            .len(),
        1
    );
    let zoe = ("User", "zoe");
    let update = duramen::EntityUpdate::new()
        .upsert(Entity::new(zoe).parents(&[("Tenant", "123456789").into()]))
        .upsert(Entity::new(("Session", "zoes")).parents(&[zoe.into()]));
    authorizer.update_entities(update).unwrap();
    let report = receiver.apply(&authorizer, &token).unwrap();
    let changed: Vec<&str> = report.changes().iter().map(|(uid, _)| uid.id()).collect();
    assert_eq!(changed, ["zoes", "zoes"]);
    assert!(
        report.unresolved().is_empty() && receiver.apply(&authorizer, &token).unwrap().is_replay()
    );
}

/// What is said of a session that is not known is not taken for said of its user: it may well be a raise.
#[test]
fn what_is_said_of_an_unknown_session_is_not_set_of_its_user() {
    let jane = || iss_sub(IDP, "jane.smith@example.com");
    let raise = json!({ "namespace": "NIST-AAL", "current_level": "nist-aal3" });
    let events = [
        ("assurance-level-change", raise),
        (
            "token-claims-change",
            json!({ "claims": { "role": "admin" } }),
        ),
    ];
    for (event, said) in events {
        let event = format!("{CAEP}{event}");
        let apply = |session: Json| {
            let subject = json!({ "format": "complex", "session": session, "user": jane() });
            let token = token(IDP, US, 9, subject, &event, said.clone());
            receiver().apply(&store(), &token.to_string()).unwrap()
        };
        for session in [opaque("gone"), json!({ "format": "uri", "uri": "urn:x" })] {
            let report = apply(session);
            assert!(report.changes().is_empty(), "{report:#?}");
            let [unresolved] = report.unresolved() else {
                panic!("{report:#?}");
            };
            assert!(unresolved.subject.starts_with("session: "), "{report:#?}");
        }
        let report = apply(opaque("elsewhere"));
        let [(uid, _)] = report.changes() else {
            panic!("{report:#?}");
        };
        assert_eq!((uid.type_name(), uid.id()), ("Session", "elsewhere"));
    }
}

/// What is set of the user by `credential-compromise`, `compromised`, is unread or not with these policies; and so far is it
/// known: where setting it changes a decision, it is never unread.
#[test]
fn what_no_policy_reads_is_told() {
    let jane = ("User", "jane.smith@example.com");
    let compromised = vec![(
        duramen::EntityUid::new(jane.0, jane.1),
        "compromised".to_owned(),
    )];
    let report = |authorizer: &Authorizer| {
        let event = format!("{RISC}credential-compromise");
        let subject = iss_sub(IDP, jane.1);
        let said = json!({ "credential_type": "password" });
        let token = token(IDP, US, 1_615_305_159, subject, &event, said);
        let report = receiver().apply(authorizer, &token.to_string()).unwrap();
        assert_eq!(report.changes(), compromised);
        report
    };
    let context = json!({ "jane": { "__entity": { "type": jane.0, "id": jane.1 } } }).to_string();
    let with = |policies: &str| {
        let authorizer = store();
        authorizer.replace_policies(policies).unwrap();
        authorizer
    };
    let decide = |authorizer: &Authorizer| {
        let session = Request::new(("Session", "on-laptop"), ("Action", "a"), jane);
        let user = Request::new(jane, ("Action", "a"), ("R", "r"));
        [session, user].map(|request| authorizer.is_allowed(&request.context_json(&context)))
    };
    let when =
        |condition: &str| format!("permit(principal, action, resource) when {{ {condition} }};");
    for (policies, reads, changes) in [
        ("permit(principal, action, resource);".to_owned(), false, false),
        (when("principal has compromised"), true, true),
        (when("!(principal has compromised && principal.compromised)"), true, true),
        (when("principal[\"compromised\"]"), true, true),
        (when("resource has compromised"), true, true),
        (when("context.jane has compromised"), true, true),
        (when("context.jane.compromised"), true, true),
        (when("context has jane.compromised"), true, true),
        (when("principal has compromised.at"), true, false),
        (when("principal has owner.compromised"), true, false),
        (when("if resource is User then resource.compromised else false"), true, true),
        (when("[principal, resource].contains(User::\"x\") || User::\"jane.smith@example.com\".compromised"), true, true),
        (when("(if principal is User then principal else resource).compromised"), true, true),
        // It is another's: of the context, of a tag, of a record, of a type that is not the user's.
        (when("context has compromised && context.compromised"), false, false),
        (when("context has compromised.at"), false, false),
        (when("principal.hasTag(\"compromised\")"), false, false),
        (when("{ compromised: true } == { compromised: true }"), false, false),
        (when("principal == resource || principal in resource || principal like \"*\""), false, false),
        ("permit(principal is Device, action, resource) when { principal.compromised };".to_owned(), false, false),
        ("permit(principal == Device::\"d\", action, resource) when { principal.compromised };".to_owned(), false, false),
        ("permit(principal is Device in Group::\"g\", action, resource is R) when { resource.compromised };".to_owned(), false, false),
        ("permit(principal is User, action, resource) when { principal.compromised };".to_owned(), true, true),
        ("permit(principal is Device, action, resource) when { resource.compromised };".to_owned(), true, false),
        ("permit(principal in Tenant::\"123456789\", action, resource) when { principal.compromised };".to_owned(), true, true),
        ("permit(principal, action, resource == User::\"jane.smith@example.com\") when { resource.compromised };".to_owned(), true, true),
        // Of many that have it in common it is shared.
        ("permit(principal, action, resource) when { principal has compromised && principal.compromised };".repeat(10), true, true),
    ] {
        let authorizer = with(&policies);
        let before = decide(&authorizer);
        let unread = report(&authorizer).unread().to_vec();
        assert_eq!(before != decide(&authorizer), changes, "{policies}");
        assert_eq!(unread.is_empty(), reads, "{policies}");
        assert!(reads || unread == compromised, "{policies}");
    }
    // What is not in force reads nothing, and what comes later does.
    let reading = when("principal has compromised");
    let authorizer = with("permit(principal, action, resource);");
    let policies = |update| authorizer.update_policies(update).unwrap();
    policies(PolicyUpdate::new().add("reads", reading.as_str()));
    assert!(report(&authorizer).unread().is_empty());
    policies(PolicyUpdate::new().remove("reads"));
    assert_eq!(report(&authorizer).unread(), compromised);
    let template = reading.replace("principal,", "principal == ?principal,");
    policies(PolicyUpdate::new().add_template("t", template));
    assert_eq!(report(&authorizer).unread(), compromised);
    policies(PolicyUpdate::new().link("t", "device", Some(("Device", "d").into()), None));
    assert_eq!(report(&authorizer).unread(), compromised);
    policies(PolicyUpdate::new().link("t", "jane", Some(jane.into()), None));
    assert!(report(&authorizer).unread().is_empty());
}

/// A session's `revokedAt` goes along with `revoked`; of a user alone, only the time is set.
#[test]
fn an_entity_is_read_if_anything_that_was_set_of_it_is() {
    let revoke = |policies: &str| {
        let authorizer = store();
        authorizer.replace_policies(policies).unwrap();
        let event = format!("{CAEP}session-revoked");
        let subject = iss_sub(IDP, "jane.smith@example.com");
        let token = token(IDP, US, 1_615_305_159, subject, &event, json!({}));
        let report = receiver().apply(&authorizer, &token.to_string()).unwrap();
        assert_eq!(report.changes().len(), 5);
        let unread = report.unread().iter();
        let unread = unread.map(|(uid, name)| format!("{} {name}", uid.type_name()));
        unread
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    let (user, session) = (
        "User sessionsRevokedAt",
        ["Session revoked", "Session revokedAt"],
    );
    let forbid = "permit(principal, action, resource); forbid(principal, action, resource) when";
    assert_eq!(
        revoke(&format!("{forbid} {{ principal.revoked }};")),
        [user]
    );
    assert_eq!(
        revoke(&format!("{forbid} {{ principal has sessionsRevokedAt }};")),
        session
    );
    assert_eq!(revoke(""), [session[0], session[1], user]);
}

#[test]
fn what_nobody_knows_is_reported_and_may_come_again() {
    let authorizer = store();
    let receiver = receiver();
    let event = format!("{CAEP}session-revoked");
    let version = authorizer.version();
    for (subject, reason) in [
        (opaque("s-9"), "it is not stored"),
        (
            json!({ "format": "uri", "uri": "urn:x" }),
            "no rule of the transmitter says what it is",
        ),
        (
            json!({ "format": "ip-addresses", "ip-addresses": ["10.0.0.1"] }),
            "no rule of the transmitter says what it is",
        ),
        (
            iss_sub("https://elsewhere.example/", "jane.smith@example.com"),
            "no rule of the transmitter says what it is",
        ),
    ] {
        let token = token(IDP, US, 1_615_305_159, subject, &event, json!({})).to_string();
        for _ in 0..2 {
            let report = receiver.apply(&authorizer, &token).unwrap();
            assert_eq!(report.unresolved().len(), 1, "{report:?}");
            assert_eq!(report.unresolved()[0].reason, reason);
            assert!(report.changes().is_empty() && !report.is_replay());
        }
    }
    assert_eq!(authorizer.version(), version);
    let token = token(IDP, US, 1_615_305_159, opaque("s-9"), &event, json!({})).to_string();
    authorizer
        .update_entities(duramen::EntityUpdate::new().upsert(Entity::new(("Session", "s-9"))))
        .unwrap();
    assert_eq!(
        receiver.apply(&authorizer, &token).unwrap().changes().len(),
        2
    );
    assert!(receiver.apply(&authorizer, &token).unwrap().is_replay());
}

#[test]
fn a_receiver_that_begins_anew_only_makes_things_stricter() {
    let authorizer = store();
    let receiver = receiver().starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(100));
    let apply = |event: &str, at: u64| -> SignalReport {
        let account = iss_sub(IDP, "7375626A656374");
        let token = token(IDP, US, at, account, &format!("{RISC}{event}"), json!({}));
        receiver.apply(&authorizer, &token.to_string()).unwrap()
    };
    let report = apply("account-enabled", 100);
    assert!(report.changes().is_empty());
    assert_eq!(
        report.ignored()[0].reason,
        "it is older than what is remembered"
    );
    assert_eq!(apply("account-disabled", 98).changes().len(), 1);
    // What has restricted from before does not open the way for what loosens from before.
    let report = apply("account-enabled", 99);
    assert!(report.changes().is_empty());
    assert_eq!(
        report.ignored()[0].reason,
        "it is older than what is remembered"
    );
    assert_eq!(apply("account-enabled", 101).changes().len(), 1);
    assert!(!apply("account-disabled", 97).ignored().is_empty());
}

/// A medium risk is stricter than a low one and not than a high one, of which nothing is remembered.
#[test]
fn a_level_from_before_what_is_remembered_takes_no_higher_one_back() {
    let authorizer = store();
    let receiver = receiver().starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(100));
    let user = ("User", "7375626A656374");
    let high = EntityUpdate::new().set_attr(user, "riskLevel", &3);
    authorizer.update_entities(high).unwrap();
    let apply = |level: &str, at: u64| -> SignalReport {
        let event = format!("{CAEP}risk-level-change");
        let said = json!({ "principal": "USER", "current_level": level });
        let token = token(IDP, US, at, iss_sub(IDP, user.1), &event, said);
        receiver.apply(&authorizer, &token.to_string()).unwrap()
    };
    for level in ["LOW", "MEDIUM"] {
        assert!(apply(level, 99).changes().is_empty(), "{level}");
        assert!(holds(&authorizer, user, "principal.riskLevel == 3"));
    }
    assert_eq!(apply("MEDIUM", 101).changes().len(), 1);
    assert_eq!(apply("HIGH", 98).changes().len(), 0);
    assert!(holds(&authorizer, user, "principal.riskLevel == 2"));
}

#[test]
fn the_frameworks_own_events_change_nothing() {
    let authorizer = store();
    let version = authorizer.version();
    for (event, said) in [
        ("verification", json!({ "state": "x" })),
        ("stream-updated", json!({ "status": "paused" })),
    ] {
        let uri = format!("https://schemas.openid.net/secevent/ssf/event-type/{event}");
        let token = token(IDP, US, 9, opaque("stream"), &uri, said);
        let report = receiver().apply(&authorizer, &token.to_string()).unwrap();
        assert_eq!(report.event().uri(), uri);
        assert!(report.changes().is_empty() && report.unresolved().is_empty());
    }
    assert_eq!(authorizer.version(), version);
}

/// The time of a value in a report and in the store is the event's.
#[test]
fn times_are_those_of_the_event() {
    let millis = |seconds: i64| Datetime::from_millis(seconds * 1_000);
    for (said, toe, expected) in [
        (json!({ "event_timestamp": 5 }), Some(6), 5),
        (json!({}), Some(6), 6),
        (json!({}), None, 7),
    ] {
        let authorizer = store();
        let mut token = token(
            IDP,
            US,
            7,
            opaque("elsewhere"),
            &format!("{CAEP}session-revoked"),
            said,
        );
        if let Some(toe) = toe {
            token["toe"] = json!(toe);
        }
        let report = receiver().apply(&authorizer, &token.to_string()).unwrap();
        assert_eq!(Datetime::try_from(report.time()).unwrap(), millis(expected));
        assert!(holds(
            &authorizer,
            ("Session", "elsewhere"),
            &format!("principal.revokedAt == datetime(\"1970-01-01T00:00:0{expected}Z\")")
        ));
    }
}

/// A session that goes while all of a user's are being revoked is no reason to leave the others.
#[test]
fn a_revocation_of_many_goes_through_when_one_of_them_goes_meanwhile() {
    let (jane, gone) = (("User", "jane.smith@example.com"), ("Session", "on-laptop"));
    // As the token's times are checked, and as the update begins.
    for call in [1, 2] {
        let calls = Arc::new(AtomicU64::new(0));
        let handle: Arc<OnceLock<Authorizer>> = Arc::default();
        let (count, other) = (Arc::clone(&calls), Arc::clone(&handle));
        let of_jane = [jane.into()];
        let session = |id| Entity::new(("Session", id)).parents(&of_jane);
        let authorizer = Authorizer::builder()
            .policies("permit(principal, action, resource);")
            .entities(
                Entities::new()
                    .insert(Entity::new(jane))
                    .insert(session("on-laptop"))
                    .insert(session("elsewhere")),
            )
            .freshness(Freshness::new())
            .clock(move || {
                if let Some(authorizer) = other.get()
                    && count.fetch_add(1, Ordering::Relaxed) + 1 == call
                {
                    let logout = || authorizer.update_entities(EntityUpdate::new().remove(gone));
                    std::thread::scope(|scope| scope.spawn(logout).join().unwrap().unwrap());
                }
                SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
            })
            .build()
            .unwrap();
        assert!(handle.set(authorizer.clone()).is_ok());
        let event = format!("{CAEP}session-revoked");
        let token = token(IDP, US, NOW - 9, iss_sub(IDP, jane.1), &event, json!({})).to_string();
        let report = receiver().apply(&authorizer, &token).unwrap();
        assert!(calls.load(Ordering::Relaxed) > call);
        let revoked = report
            .changes()
            .iter()
            .filter(|(_, name)| name == "revoked");
        let revoked: Vec<&str> = revoked.map(|(uid, _)| uid.id()).collect();
        assert_eq!(revoked, ["elsewhere"]);
        assert!(holds(
            &authorizer,
            ("Session", "elsewhere"),
            "principal.revoked"
        ));
        let stored = serde_json::to_string(&authorizer.pin().entities()).unwrap();
        assert!(!stored.contains(gone.1));
    }
}
