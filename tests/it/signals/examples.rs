//! The examples of the specifications, each in the store afterwards.

use super::*;

/// The thirteen tokens of CAEP 1.0's sections, by their members: subject, event, what it says, whom it changes, and what
/// policies can tell afterwards. Their `event_timestamp` is in milliseconds, though the text says seconds.
pub(super) fn caep() -> Vec<(Json, (&'static str, &'static str), &'static str)> {
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
pub(super) fn risc() -> Vec<(Json, (&'static str, &'static str), &'static str)> {
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
