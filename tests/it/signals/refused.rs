//! What is refused: tokens that break a rule, what the schema does not allow, subjects that are not understood.

use super::examples::{caep, risc};
use super::*;

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
    for claim in ["sub", "exp"] {
        let error = refused(claim, &|token| token[claim] = Json::Null);
        assert_eq!(error, SignalError::ForbiddenClaim(claim));
    }
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
    assert_eq!(
        refused("toe", &|token| token["toe"] = json!(1_508_185_200)),
        SignalError::InFuture("toe")
    );
    // That it was issued a little ahead gives no event more time.
    let ahead = |happened: u64| {
        let uri = &uri;
        move |token: &mut Json| {
            token["iat"] = json!(NOW + 299);
            token["events"][uri]["event_timestamp"] = json!(happened);
        }
    };
    assert_eq!(
        refused("event_timestamp", &ahead(NOW + 301)),
        SignalError::InFuture("event_timestamp")
    );
    for (pointer, value) in [
        ("/iat", json!("1508184845")),
        ("/iat", json!(-1)),
        ("/iat", json!(1e300)),
        ("/iat", json!(1_508_184_845_000_u64)),
        ("/toe", json!(1_508_184_845_000_u64)),
        ("/toe", json!([])),
        ("/jti", json!("")),
        ("/jti", json!(1)),
        ("/aud", json!(1)),
        ("/aud", json!(["636C69656E745F6964", 3])),
        ("/events", json!([])),
        ("/sub_id", json!("x")),
        ("/sub_id", json!({ "format": "complex" })),
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
