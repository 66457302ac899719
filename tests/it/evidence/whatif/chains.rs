//! Records with a chain of delegation: each hop for itself.

use duramen::EntityUidRef;

use super::*;

/// Each hop is decided for itself; the chain flips where the hop that denied it, or the last that allowed it, does.
#[test]
fn chains_are_decided_hop_by_hop() {
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies(
                r#"permit(principal == User::"ann", action, resource);
               permit(principal == Agent::"bot", action, resource) when { context.ok };"#,
            )
            .entities(ENTITIES)
    });
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    let asked = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    for ok in ["true", "false"] {
        let context = format!(r#"{{ "ok": {ok} }}"#);
        let _ = authorizer.is_allowed(&asked.context_json(&context).delegation(&delegation));
    }
    // Nobody is asked about a chain that goes in a circle.
    let circle = [EntityUidRef::new("User", "ann")];
    let circle = Delegation::new(&circle);
    let _ = authorizer.is_allowed(&asked.delegation(&circle));
    let what_if = |policies: &str| {
        let candidate = Authorizer::builder().policies(policies).build().unwrap();
        WhatIf::new(&candidate).unwrap().run(sink.records())
    };
    let report = what_if("permit(principal, action, resource);");
    assert_eq!((report.newly_allowed, report.same), (1, 1));
    assert_eq!(report.reasons[&NotReplayableKind::DelegationRefused], 1);
    assert_eq!(report.flips[0].principal.id(), "ann");
    assert_eq!(report.flips[0].actors[0].id(), "bot");
    let report = what_if(r#"permit(principal == User::"ann", action, resource);"#);
    assert_eq!((report.newly_denied, report.same), (1, 1));
    assert_eq!(report.flips[0].after.outcome, Outcome::NoPermit);
    // What one hop does not tell is not waited for where another is denied.
    let unknown =
        r#"permit(principal == User::"ann", action, resource) when { principal.level > 3 };"#;
    let report = what_if(unknown);
    assert_eq!((report.newly_denied, report.undetermined), (1, 0));
    let bot = r#"permit(principal == Agent::"bot", action, resource);"#;
    let report = what_if(&format!("{unknown} {bot}"));
    assert_eq!(
        (
            report.newly_allowed + report.newly_denied,
            report.undetermined
        ),
        (0, 2)
    );
}

/// Who is the principal of one hop has all ancestors in the record, whatever another hop has asked of them.
#[test]
fn what_one_hop_knows_of_an_entity_another_does_not_forget() {
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies(
                r#"permit(principal is User, action, resource);
                   permit(principal is Agent, action, resource) when { !(User::"ann" in Team::"red") };"#,
            )
            .entities(ENTITIES)
    });
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    assert!(authorizer.is_allowed(&request().delegation(&delegation)));
    let record = sink.records().remove(0);
    let hops = &record.delegation.as_ref().unwrap().hops;
    let mut read = hops[1].inputs.as_ref().unwrap().entities.iter();
    assert!(read.any(|entity| entity["uid"]["id"] == "ann"), "{hops:#?}");
    let candidate = Authorizer::builder()
        .policies(
            r#"permit(principal is Agent, action, resource);
               permit(principal is User, action, resource) when { !(principal in Team::"green") };"#,
        )
        .build()
        .unwrap();
    let outcome = WhatIf::new(&candidate).unwrap().add(&record);
    assert!(matches!(outcome, Reconsidered::Same { .. }), "{outcome:#?}");
}

/// A strict mode that denied behind a hop that was denied anyway is noticed as well.
#[test]
fn a_strict_hop_is_not_compared_with_cedars_mode() {
    let (authorizer, sink) = recording(|builder| {
        builder
        .policies("permit(principal == Agent::\"bot\", action, resource); forbid(principal == Agent::\"bot\", action, resource) when { context.nope };")
        .error_mode(ErrorMode::DenyOnAnyError)
    });
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    let asked = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    let _ = authorizer.is_allowed(&asked.delegation(&delegation));
    let candidate = Authorizer::builder().policies("permit(principal, action, resource);");
    let report = WhatIf::new(&candidate.build().unwrap())
        .unwrap()
        .run(sink.records());
    assert_eq!(report.reasons.get(&NotReplayableKind::StrictMode), Some(&1));
}
