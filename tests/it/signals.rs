//! Security events as updates of entities.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use duramen::grant::GrantTable;
use duramen::signals::{
    SignalAttribute, SignalError, SignalEvent, SignalReceiver, SignalReport, SubjectFormat,
    SubjectKind, Transmitter,
};
use duramen::values::Datetime;
use duramen::{
    Authorizer, DataSource, Delegation, Entities, Entity, EntityUidRef, Freshness, Outcome,
    PolicyUpdate, Request,
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

/// The thirteen tokens of CAEP 1.0's sections, by their members: subject, event, what it says, whom it changes, and what
/// policies can tell afterwards. Their `event_timestamp` is in milliseconds, though the text says seconds.
fn caep() -> Vec<(Json, (&'static str, &'static str), &'static str)> {
    let at = 1_615_304_991_643_u64;
    let iat = 1_615_305_159;
    let (second, third) = (
        "https://idp.example.com/987654321/",
        "https://idp.example.com/3456789/",
    );
    let sp2 = "https://sp.example2.net/caep";
    let session = "dMTlD|1600802906337.16|16008.16";
    let laptop = "e9297990-14d2-42ec-a4a9-4036db86509a";
    let jwt =
        json!({ "format": "jwt_id", "iss": second, "jti": "f61t6e20zdo3px56gepu8rzlsp4c1dpc0fx7" });
    let saml = json!({ "format": "saml_assertion_id", "issuer": second, "assertion_id": "_a75adf55-01d7-dbd8372ebdfc" });
    let tenant = || opaque("123456789");
    let jane = || iss_sub(third, "jane.smith@example.com");
    let texts = json!({ "en": "a", "es-410": "b" });
    let of = |iss, aud, subject, event: &str, said| {
        token(iss, aud, iat, subject, &format!("{CAEP}{event}"), said)
    };
    vec![
        (
            of(
                IDP,
                US,
                opaque(session),
                "session-revoked",
                json!({ "event_timestamp": at }),
            ),
            ("Session", session),
            "principal.revoked && principal.revokedAt == datetime(\"2021-03-09T15:49:51.643Z\")",
        ),
        (
            of(
                IDP,
                US,
                json!({ "format": "complex", "session": opaque(session), "tenant": tenant(),
                             "user": iss_sub(IDP, "99beb27c-c1c2-4955-882a-e0dc4996fcbc") }),
                "session-revoked",
                json!({ "initiating_entity": "policy", "reason_admin": texts, "reason_user": texts, "event_timestamp": at }),
            ),
            ("Session", session),
            "principal.revoked",
        ),
        (
            of(
                IDP,
                US,
                json!({ "format": "complex", "user": iss_sub(IDP, "jane.smith@example.com"),
                             "device": iss_sub(IDP, laptop), "tenant": tenant() }),
                "session-revoked",
                json!({ "initiating_entity": "policy", "reason_admin": texts, "reason_user": texts, "event_timestamp": at }),
            ),
            ("Session", "on-laptop"),
            "principal.revoked",
        ),
        (
            of(
                second,
                sp2,
                jwt.clone(),
                "token-claims-change",
                json!({ "event_timestamp": at, "claims": { "role": "ro-admin" } }),
            ),
            ("Session", "f61t6e20zdo3px56gepu8rzlsp4c1dpc0fx7"),
            "principal.role == \"ro-admin\"",
        ),
        (
            of(
                second,
                sp2,
                jwt,
                "token-claims-change",
                json!({ "event_timestamp": at, "initiating_entity": "policy",
            "reason_admin": texts, "reason_user": texts, "claims": { "trusted_network": "false" } }),
            ),
            ("Session", "f61t6e20zdo3px56gepu8rzlsp4c1dpc0fx7"),
            "principal.trustedNetwork == \"false\"",
        ),
        (
            of(
                second,
                sp2,
                saml,
                "token-claims-change",
                json!({ "event_timestamp": at,
            "claims": { "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/role": "ro-admin" } }),
            ),
            ("Session", "_a75adf55-01d7-dbd8372ebdfc"),
            "principal.role == \"ro-admin\"",
        ),
        (
            of(
                third,
                sp2,
                jane(),
                "credential-change",
                json!({ "credential_type": "fido2-roaming", "change_type": "create",
            "fido2_aaguid": "accced6a-63f5-490a-9eea-e59bc1896cfc", "friendly_name": "a key", "initiating_entity": "user",
            "reason_admin": texts, "event_timestamp": at }),
            ),
            ("User", "jane.smith@example.com"),
            "principal has credentialChangedAt && !(principal has credentialRevokedAt)",
        ),
        (
            of(
                third,
                sp2,
                jane(),
                "assurance-level-change",
                json!({ "namespace": "NIST-AAL", "current_level": "nist-aal2",
            "previous_level": "nist-aal1", "change_direction": "increase", "initiating_entity": "user", "event_timestamp": at }),
            ),
            ("User", "jane.smith@example.com"),
            "principal.aal == 2",
        ),
        (
            of(
                third,
                sp2,
                jane(),
                "assurance-level-change",
                json!({ "namespace": "Retinal Scan", "current_level": "hi-res-scan",
            "initiating_entity": "user", "event_timestamp": at }),
            ),
            ("User", "jane.smith@example.com"),
            "principal.retina == 2",
        ),
        (
            of(
                IDP,
                US,
                json!({ "format": "complex", "device": iss_sub(IDP, laptop), "tenant": tenant() }),
                "device-compliance-change",
                json!({ "current_status": "not-compliant", "previous_status": "compliant",
            "initiating_entity": "policy", "reason_admin": texts, "reason_user": texts, "event_timestamp": at }),
            ),
            ("Device", laptop),
            "!principal.compliant",
        ),
        (
            of(
                IDP,
                US,
                email("someuser@somedomain.com"),
                "session-established",
                json!({ "ips": ["192.168.1.12", "10.1.1.1"],
            "fp_ua": "abb0b6e7da81a42233f8f2b1a8ddb1b9a4c81611", "acr": "AAL2", "amr": "otp", "event_timestamp": at }),
            ),
            ("User", "someuser@somedomain.com"),
            "principal has lastSeen",
        ),
        (
            of(
                IDP,
                US,
                email("someuser@somedomain.com"),
                "session-presented",
                json!({ "ips": ["192.168.1.12", "10.1.1.1"],
            "fp_ua": "abb0b6e7da81a42233f8f2b1a8ddb1b9a4c81611", "ext_id": "12345", "event_timestamp": at }),
            ),
            ("User", "someuser@somedomain.com"),
            "principal has lastSeen",
        ),
        (
            of(
                third,
                sp2,
                jane(),
                "risk-level-change",
                json!({ "principal": "USER", "current_level": "LOW", "previous_level": "HIGH",
            "risk_reason": "PASSWORD_FOUND_IN_DATA_BREACH", "initiating_entity": "user", "event_timestamp": at }),
            ),
            ("User", "jane.smith@example.com"),
            "principal.riskLevel == 1",
        ),
    ]
}

/// The tokens of RISC 1.0's figures, and one for each event that has none.
fn risc() -> Vec<(Json, (&'static str, &'static str), &'static str)> {
    let idp = "https://idp.example.com/";
    let of = |subject, event: &str, said| {
        token(
            idp,
            "636C69656E745F6964",
            1_508_184_845,
            subject,
            &format!("{RISC}{event}"),
            said,
        )
    };
    let account = || iss_sub(idp, "7375626A656374");
    let who = ("User", "7375626A656374");
    let joe = iss_sub("https://idp.example.com/3456790/", "joe.smith@example.com");
    vec![
        (
            of(account(), "account-credential-change-required", json!({})),
            who,
            "principal.mustRotate",
        ),
        (
            of(
                account(),
                "account-disabled",
                json!({ "reason": "hijacking" }),
            ),
            who,
            "!principal.enabled",
        ),
        (
            of(account(), "account-enabled", json!({})),
            who,
            "principal.enabled",
        ),
        (
            of(account(), "account-purged", json!({})),
            who,
            "principal.purged && !principal.enabled",
        ),
        (
            of(
                email("john.doe@example.com"),
                "identifier-changed",
                json!({ "new-value": "john.roe@example.com" }),
            ),
            ("User", "john.doe@example.com"),
            "principal has identifierChangedAt",
        ),
        (
            of(email("foo@EXAMPLE.com"), "identifier-recycled", json!({})),
            ("User", "foo@example.com"),
            "principal has identifierRecycledAt",
        ),
        (
            token(
                "https://idp.example.com/3456790/",
                "https://sp.example2.net/caep",
                1_508_184_845,
                joe,
                &format!("{RISC}credential-compromise"),
                json!({ "credential_type": "password" }),
            ),
            ("User", "joe.smith@example.com"),
            "principal.compromised",
        ),
        (
            of(account(), "opt-in", json!({})),
            who,
            "principal.riscState == \"opt-in\"",
        ),
        (
            of(account(), "opt-out-initiated", json!({})),
            who,
            "principal.riscState == \"opt-out-initiated\"",
        ),
        (
            of(account(), "opt-out-cancelled", json!({})),
            who,
            "principal.riscState == \"opt-in\"",
        ),
        (
            of(account(), "opt-out-effective", json!({})),
            who,
            "principal.riscState == \"opt-out\"",
        ),
        (
            of(account(), "recovery-activated", json!({})),
            who,
            "principal has recoveryActivatedAt",
        ),
        (
            of(account(), "recovery-information-changed", json!({})),
            who,
            "principal has recoveryChangedAt",
        ),
        (
            of(
                json!({ "format": "phone_number", "phone_number": "+15551234567" }),
                "sessions-revoked",
                json!({}),
            ),
            ("User", "+15551234567"),
            "principal has sessionsRevokedAt",
        ),
        (
            of(
                json!({ "format": "aliases", "identifiers": [email("nobody@example.com"), { "format": "account", "uri": "acct:ann@example.com" }] }),
                "account-disabled",
                json!({ "reason": "bulk-account" }),
            ),
            ("User", "acct:ann@example.com"),
            "!principal.enabled",
        ),
    ]
}

#[test]
fn the_examples_of_the_specifications_map() {
    let caep = caep();
    assert_eq!(caep.len(), 13);
    for (token, entity, condition) in caep.into_iter().chain(risc()) {
        let (authorizer, receiver) = (store(), receiver());
        assert!(!holds(&authorizer, entity, condition), "before {token}");
        let report = receiver.apply(&authorizer, &token.to_string()).unwrap();
        assert!(
            report.unresolved().is_empty() && report.ignored().is_empty(),
            "{report:#?}"
        );
        let about = |(uid, _): &(duramen::EntityUid, String)| (uid.type_name(), uid.id()) == entity;
        assert!(report.changes().iter().any(about), "{report:#?}");
        assert!(report.updated().is_some() && !report.is_replay());
        assert!(holds(&authorizer, entity, condition), "after {token}");
    }
    assert!(!holds(
        &store(),
        ("Session", "on-laptop"),
        "principal.revoked"
    ));
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
fn what_breaks_a_rule_changes_nothing() {
    let (good, ..) = risc().swap_remove(1);
    let authorizer = store();
    let receiver = receiver();
    let version = authorizer.version();
    let uri = format!("{RISC}account-disabled");
    let refused = |what: &str, change: &dyn Fn(&mut Json)| -> SignalError {
        let mut token = good.clone();
        change(&mut token);
        let refused = receiver.apply(&authorizer, &token.to_string());
        assert_eq!(authorizer.version(), version, "{what}");
        refused.expect_err(what)
    };
    for claim in ["iss", "jti", "iat", "aud", "sub_id", "events"] {
        let error = refused(claim, &|token| {
            token.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(error, SignalError::Missing(claim.into()));
    }
    assert_eq!(
        refused("sub", &|token| token["sub"] = json!("x")),
        SignalError::ForbiddenClaim("sub")
    );
    assert_eq!(
        refused("exp", &|token| token["exp"] = json!(9_999_999_999_u64)),
        SignalError::ForbiddenClaim("exp")
    );
    assert!(matches!(
        refused("iss", &|token| token["iss"] =
            json!("https://evil.example/")),
        SignalError::UnknownIssuer(_)
    ));
    assert_eq!(
        refused("aud", &|token| token["aud"] = json!(["a", "b"])),
        SignalError::WrongAudience
    );
    assert_eq!(
        refused("two", &|token| token["events"][format!("{RISC}opt-in")] =
            json!({})),
        SignalError::NotOneEvent(2)
    );
    assert_eq!(
        refused("none", &|token| token["events"] = json!({})),
        SignalError::NotOneEvent(0)
    );
    assert!(matches!(
        refused("new", &|token| token["events"] = json!({ "urn:new": {} })),
        SignalError::UnknownEvent(_)
    ));
    assert_eq!(
        refused("iat", &|token| token["iat"] = json!(NOW + 301)),
        SignalError::InFuture("iat")
    );
    assert_eq!(
        refused(
            "event_timestamp",
            &|token| token["events"][&uri]["event_timestamp"] = json!(1_508_185_200)
        ),
        SignalError::InFuture("event_timestamp")
    );
    for (pointer, value) in [
        ("/iat", json!("1508184845")),
        ("/iat", json!(-1)),
        ("/iat", json!(1e300)),
        ("/toe", json!([])),
        ("/jti", json!("")),
        ("/jti", json!(1)),
        ("/aud", json!(1)),
        ("/events", json!([])),
        ("/sub_id", json!("x")),
        ("/sub_id/sub", json!("")),
        ("/sub_id/format", json!(7)),
    ] {
        let error = refused(pointer, &|token| {
            if pointer == "/toe" {
                token["toe"] = value.clone();
            } else {
                *token.pointer_mut(pointer).unwrap() = value.clone();
            }
        });
        assert!(
            matches!(error, SignalError::IllTyped { .. }),
            "{pointer}: {error}"
        );
    }
    for (event, said) in [
        ("account-disabled", json!([])),
        ("account-disabled", json!({ "reason": 1 })),
        ("account-disabled", json!({ "initiating_entity": "nobody" })),
        ("account-disabled", json!({ "reason_admin": { "en": 1 } })),
        ("credential-compromise", json!({})),
    ] {
        let uri = format!("{RISC}{event}");
        let error = refused(event, &|token| token["events"] = json!({ &uri: said }));
        assert!(
            matches!(
                error,
                SignalError::IllTyped { .. } | SignalError::Missing(_)
            ),
            "{said}: {error}"
        );
    }
    // Every member that an event must have, taken away and made a number; of the examples of CAEP.
    let required = [
        "credential_type",
        "change_type",
        "namespace",
        "current_level",
        "previous_status",
        "current_status",
        "principal",
        "claims",
    ];
    for (token, ..) in caep() {
        let (uri, said) = token["events"].as_object().unwrap().iter().next().unwrap();
        for member in required
            .iter()
            .filter(|member| said.get(**member).is_some())
        {
            for value in [Json::Null, json!(1), json!("(none such)")] {
                if *member == "credential_type" && value.is_string()
                    || *member == "namespace" && value.is_string()
                {
                    continue;
                }
                let mut token = token.clone();
                token["events"][uri][*member] = value;
                receiver
                    .apply(&authorizer, &token.to_string())
                    .expect_err(&token.to_string());
                assert_eq!(authorizer.version(), version);
            }
        }
    }
    let malformed = [
        "",
        "[]",
        "{",
        r#"{"iss":1,"iss":2}"#,
        "\u{feff}{}",
        &"[".repeat(9_999),
        &" ".repeat(70_000),
    ];
    for text in malformed {
        receiver.apply(&authorizer, text).expect_err(text);
    }
    assert_eq!(authorizer.version(), version);
    // And the token from which all that was made is in order.
    assert_eq!(
        receiver
            .apply(&authorizer, &good.to_string())
            .unwrap()
            .event(),
        SignalEvent::AccountDisabled
    );
}

/// The store has the last word: where its schema does not know what a signal sets, nothing is set.
#[test]
fn what_the_schema_refuses_changes_nothing() {
    let schema = "entity User { enabled?: Bool }; entity Session { revoked?: Bool };";
    let entities = Entities::new()
        .insert(Entity::new(("User", "u")))
        .insert(Entity::new(("Session", "s")))
        .insert(Entity::new(("User", "s")));
    let authorizer = Authorizer::builder()
        .schema_str(schema)
        .entities(entities)
        .build()
        .unwrap();
    let transmitter = || {
        Transmitter::new(IDP, US)
            .subject(SubjectKind::User, SubjectFormat::Opaque, "User")
            .subject(SubjectKind::Session, SubjectFormat::Opaque, "Session")
    };
    let account = |event| {
        token(
            IDP,
            US,
            9,
            opaque("u"),
            &format!("{RISC}{event}"),
            json!({}),
        )
        .to_string()
    };
    let receiver = SignalReceiver::new().transmitter(transmitter());
    let version = authorizer.version();
    for _ in 0..2 {
        let error = receiver
            .apply(&authorizer, &account("account-purged"))
            .unwrap_err();
        assert!(
            matches!(&error, SignalError::Entities(_)) && error.to_string().contains("purged"),
            "{error}"
        );
    }
    assert_eq!(authorizer.version(), version);
    // Declared otherwise, it goes; and what was refused is not remembered as done.
    let transmitter = transmitter().without(SignalAttribute::Purged);
    let receiver = receiver.transmitter(transmitter);
    assert_eq!(
        receiver
            .apply(&authorizer, &account("account-purged"))
            .unwrap()
            .changes()
            .len(),
        1
    );
    // An opaque subject may be a user or a session where an event is about either, and here both are stored.
    let session = token(
        IDP,
        US,
        9,
        opaque("s"),
        &format!("{CAEP}session-revoked"),
        json!({}),
    );
    let error = receiver
        .apply(&authorizer, &session.to_string())
        .unwrap_err();
    assert!(matches!(error, SignalError::AmbiguousSubject(_)));
}

#[test]
fn critical_members_are_understood_or_the_token_is_refused() {
    let authorizer = store();
    let subject = json!({ "format": "complex", "session": opaque("on-laptop"), "group": opaque("g"), "robot": opaque("r") });
    let token = token(
        IDP,
        US,
        9,
        subject,
        &format!("{CAEP}session-revoked"),
        json!({}),
    )
    .to_string();
    let transmitter = || {
        Transmitter::new(IDP, US).subject(SubjectKind::Session, SubjectFormat::Opaque, "Session")
    };
    let strict = SignalReceiver::new().transmitter(transmitter().critical(SubjectKind::Group));
    assert_eq!(
        strict.apply(&authorizer, &token),
        Err(SignalError::CriticalSubject("group"))
    );
    let report = SignalReceiver::new()
        .transmitter(transmitter())
        .apply(&authorizer, &token)
        .unwrap();
    assert_eq!(
        (report.changes().len(), report.unresolved().len()),
        (2, 2),
        "{report:?}"
    );
}

#[test]
fn subjects_of_old_are_read_where_that_is_declared() {
    let authorizer = store();
    let google = json!({ "iss": IDP, "aud": [US], "jti": "g", "iat": 9, "events": { format!("{RISC}account-disabled"): {
        "subject": { "subject_type": "iss-sub", "iss": IDP, "sub": "jane.smith@example.com" }, "reason": "hijacking" } } }).to_string();
    let transmitter = || {
        Transmitter::new(IDP, US).subject(
            SubjectKind::User,
            SubjectFormat::IssSub(IDP.into()),
            "User",
        )
    };
    let without = SignalReceiver::new().transmitter(transmitter());
    assert_eq!(
        without.apply(&authorizer, &google),
        Err(SignalError::Missing("sub_id".into()))
    );
    let with = SignalReceiver::new().transmitter(transmitter().legacy_subjects());
    assert_eq!(with.apply(&authorizer, &google).unwrap().changes().len(), 1);
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
    assert_eq!(apply("account-disabled", 99).changes().len(), 1);
    assert_eq!(apply("account-enabled", 101).changes().len(), 1);
    assert!(!apply("account-disabled", 98).ignored().is_empty());
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

/// Events about one user and two sessions, at times that collide.
fn events() -> impl Strategy<Value = Vec<Json>> {
    let kinds = prop_oneof![
        Just((RISC, "account-disabled", json!({}))),
        Just((RISC, "account-enabled", json!({}))),
        Just((RISC, "account-enabled", json!({}))),
        Just((RISC, "account-purged", json!({}))),
        Just((
            RISC,
            "credential-compromise",
            json!({ "credential_type": "pin" })
        )),
        Just((RISC, "opt-in", json!({}))),
        Just((RISC, "opt-out-effective", json!({}))),
        Just((CAEP, "session-revoked", json!({}))),
        Just((CAEP, "session-presented", json!({}))),
        (0..3_usize).prop_map(|level| (
            CAEP,
            "risk-level-change",
            json!({ "principal": "USER", "current_level": (["LOW", "MEDIUM", "HIGH"][level]) })
        )),
        (0..3_u8).prop_map(|role| (
            CAEP,
            "token-claims-change",
            json!({ "claims": { "role": format!("r{role}") } })
        )),
        (1..4_u8).prop_map(|level| (
            CAEP,
            "assurance-level-change",
            json!({ "namespace": "NIST-AAL", "current_level": format!("nist-aal{level}") })
        )),
    ];
    let event =
        (kinds, 1..6_u64, any::<bool>()).prop_map(|((base, event, said), at, of_session)| {
            let may_be_session = base == CAEP && event != "risk-level-change";
            let subject = if of_session && may_be_session {
                opaque("elsewhere")
            } else {
                iss_sub(IDP, "jane.smith@example.com")
            };
            token(IDP, US, at, subject, &format!("{base}{event}"), said)
        });
    prop::collection::vec(event, 1..9)
}

/// What there is of the entities that the events are about.
fn state(authorizer: &Authorizer) -> Vec<bool> {
    let times = ["lastSeen", "revokedAt", "sessionsRevokedAt"];
    let mut conditions: Vec<String> = Vec::new();
    for name in times {
        for at in 1..6 {
            conditions.push(format!(
                "principal has {name} && principal.{name} == datetime(\"1970-01-01T00:00:0{at}Z\")"
            ));
        }
    }
    for flag in ["revoked", "enabled", "purged", "compromised"] {
        conditions.push(format!("principal has {flag} && principal.{flag}"));
        conditions.push(format!("principal has {flag}"));
    }
    for number in ["riskLevel", "aal"] {
        for level in 1..4 {
            conditions.push(format!(
                "principal has {number} && principal.{number} == {level}"
            ));
        }
    }
    for (name, text) in [
        ("role", "r0"),
        ("role", "r1"),
        ("role", "r2"),
        ("riscState", "opt-in"),
        ("riscState", "opt-out"),
    ] {
        conditions.push(format!(
            "principal has {name} && principal.{name} == \"{text}\""
        ));
    }
    // One policy for each, so that one decision for each entity tells all of them.
    let mut policies = duramen::Policies::new();
    for condition in &conditions {
        policies = policies.text(format!(
            "permit(principal, action, resource) when {{ {condition} }};"
        ));
    }
    authorizer.replace_policies(policies).unwrap();
    let mut state = Vec::new();
    for who in [
        ("User", "jane.smith@example.com"),
        ("Session", "elsewhere"),
        ("Session", "on-laptop"),
    ] {
        let request = Request::new(who, ("Action", "a"), ("R", "r"));
        let response = authorizer.is_authorized(&request);
        let found: Vec<_> = response
            .determining()
            .map(|policy| policy.id().clone())
            .collect();
        state.extend(
            (0..conditions.len())
                .map(|at| found.iter().any(|id| id.as_str() == format!("policy{at}"))),
        );
    }
    state
}

proptest! {
    #![proptest_config(crate::generate::config(30))]

    /// Whatever the order, and however often each comes.
    #[test]
    fn the_order_of_events_does_not_matter(events in events(), order in any::<prop::sample::Index>(), seed in any::<u64>()) {
        let run = |events: &[Json]| {
            let (authorizer, receiver) = (store(), receiver());
            for (at, event) in events.iter().enumerate() {
                let mut event = event.clone();
                // As another token, so that it is not just taken for a replay.
                event["jti"] = json!(at.to_string());
                receiver.apply(&authorizer, &event.to_string()).unwrap();
                if at == 0 {
                    prop_assert!(receiver.apply(&authorizer, &event.to_string()).unwrap().is_replay());
                }
            }
            Ok(state(&authorizer))
        };
        let expected = run(&events)?;
        let mut shuffled: Vec<Json> = events.iter().chain(&events).cloned().collect();
        let mut random = seed | 1;
        for at in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let with = usize::try_from(random >> 33).unwrap() % (at + 1);
            shuffled.swap(at, with);
        }
        let by = order.index(shuffled.len());
        shuffled.rotate_left(by);
        prop_assert_eq!(&run(&shuffled)?, &expected);
        // What revokes is not undone by anything that comes before or after.
        let revoked = |event: &Json| event["events"].get(format!("{CAEP}session-revoked")).is_some();
        if events.iter().any(|event| revoked(event) && event["sub_id"]["format"] == "opaque") {
            let authorizer = store();
            let receiver = receiver();
            for event in &shuffled {
                receiver.apply(&authorizer, &event.to_string()).unwrap();
            }
            prop_assert!(holds(&authorizer, ("Session", "elsewhere"), "principal.revoked"));
        }
    }
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
