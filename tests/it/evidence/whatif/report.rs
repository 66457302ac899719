//! The report of many records: what is skipped, how stale ones are compared, order and bounds; and the records of shadows.

use duramen::replay::PolicyArchive;

use super::*;

/// Records that there is nothing to decide of are counted by their reasons, and shadows' are left out.
#[test]
fn nothing_is_skipped_without_a_word() {
    let (authorizer, sink) = recording(|builder| {
        builder
        .policies("permit(principal, action, resource); forbid(principal, action, resource) when { principal.nope };")
        .error_mode(ErrorMode::DenyOnForbidError)
    });
    authorizer
        .set_shadow("permit(principal, action, resource);")
        .unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(!authorizer.is_allowed(&request));
    assert!(!authorizer.is_allowed(&request.context_json("{")));
    let mut records = sink.records();
    assert_eq!(records.len(), 3);
    let mut without = records[0].clone();
    without.inputs = None;
    without.outcome = duramen::Outcome::NoPermit;
    let mut odd = without.clone();
    odd.inputs = records[0].inputs.clone();
    odd.inputs.as_mut().unwrap().entities[0]["attrs"] = 1.into();
    let mut masked = without.clone();
    masked.inputs = records[0].inputs.clone();
    masked.masked.push("id(User)".into());
    masked.replayable = Some(false);
    let mut any_field = masked.clone();
    any_field.masked = vec!["context.*".into()];
    records.extend([without, odd, masked, any_field]);
    let candidate = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let report = WhatIf::new(&candidate).unwrap().samples(2).run(&records);
    assert_eq!(
        (report.records, report.shadow, report.not_replayable),
        (7, 1, 6)
    );
    assert_eq!(report.not_replayable_records.len(), 2);
    let reasons: Vec<_> = report.reasons.into_iter().collect();
    assert_eq!(
        reasons,
        [
            (NotReplayableKind::RequestRefused, 1),
            (NotReplayableKind::NoInputs, 1),
            (NotReplayableKind::StrictMode, 1),
            (NotReplayableKind::Masked, 2),
            (NotReplayableKind::Unreadable, 1),
        ]
    );
}

/// Of what was denied because data was too old, what policies said is compared.
#[test]
fn stale_records_are_compared_by_what_policies_said() {
    let (authorizer, sink) = recording(|builder| {
        builder.policies("permit(principal, action, resource) when { context.n > 1 };")
    });
    for n in ["1", "2", "\"\""] {
        let context = format!(r#"{{ "n": {n} }}"#);
        let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
        let _ = authorizer.is_allowed(&request.context_json(&context));
    }
    let mut records = sink.records();
    for record in &mut records {
        (record.outcome, record.decision) = (Outcome::StaleEntities, Decision::Deny);
    }
    let what_if = |policies: &str, mode, records: &[OwnedRecord]| {
        let candidate = Authorizer::builder().policies(policies).error_mode(mode);
        WhatIf::new(&candidate.build().unwrap())
            .unwrap()
            .run(records)
    };
    let open = "permit(principal, action, resource);";
    let report = what_if(open, ErrorMode::Cedar, &records);
    assert_eq!((report.newly_allowed, report.same, report.stale), (2, 1, 3));
    assert_eq!(report.flips[0].stale, Some(Outcome::StaleEntities));
    assert_eq!(report.flips[0].before.outcome, Outcome::NoPermit);
    let closed = "forbid(principal, action, resource);";
    let report = what_if(closed, ErrorMode::Cedar, &records);
    assert_eq!((report.newly_denied, report.same), (1, 2));
    assert_eq!(report.flips[0].before.outcome, Outcome::Allowed);
    // A policy that failed may have denied, under a strict mode.
    let mut unclear = records[1].clone();
    unclear.errors = records[2].errors.clone();
    assert_eq!(unclear.errors.len(), 1);
    let report = what_if(open, ErrorMode::DenyOnAnyError, &[unclear]);
    assert_eq!(report.reasons[&NotReplayableKind::Stale], 1);
    // The digest of the policies that forbade says the same.
    records[0].determining = what_forbids();
    let report = what_if(open, ErrorMode::Cedar, &records[..1]);
    assert_eq!(report.flips[0].before.outcome, Outcome::Forbidden);
}

/// The determining policies of a decision that a forbid made.
fn what_forbids() -> Vec<duramen::evidence::OwnedPolicy> {
    let (authorizer, sink) =
        recording(|builder| builder.policies("forbid(principal, action, resource);"));
    let _ = authorizer.is_allowed(&Request::new(("User", "a"), ("Action", "b"), ("Doc", "c")));
    sink.records().remove(0).determining
}

/// The report adds up, its lists are bounded, and what is newly allowed comes first.
#[test]
fn the_report_is_sorted_and_bounded() {
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies(r#"@id("odd") permit(principal, action, resource) when { context.n < 5 };"#)
    });
    for n in 0..12 {
        let context = format!(r#"{{ "n": {n} }}"#);
        let user = if n % 2 == 0 { "ann" } else { "bob" };
        let request = Request::new(("User", user), ("Action", "view"), ("Doc", "plan"));
        let _ = authorizer.is_allowed(&request.context_json(&context));
    }
    let candidate = Authorizer::builder()
        .policies(
            r#"permit(principal, action, resource) when { context.n >= 3 && context.n < 10 };
               forbid(principal == User::"bob", action, resource) when { context.n == 4 };"#,
        )
        .build()
        .unwrap();
    let report = WhatIf::new(&candidate)
        .unwrap()
        .samples(2)
        .run(sink.records());
    assert_eq!(report.policies, candidate.version().policies());
    assert_eq!(
        (report.newly_allowed, report.newly_denied, report.same),
        (5, 3, 4)
    );
    // 3 and 4 are allowed as before, by another policy; 10 and 11 are denied as before.
    assert_eq!(report.other_reasons, 0, "both are called policy0");
    let decisions: Vec<_> = report
        .flips
        .iter()
        .map(|flip| flip.after.decision)
        .collect();
    assert_eq!(
        decisions,
        [
            Decision::Allow,
            Decision::Allow,
            Decision::Deny,
            Decision::Deny
        ]
    );
    let by = &report.by_principal;
    assert_eq!(by.len(), 2);
    assert_eq!(by[0].name.as_deref(), Some("User::\"bob\""));
    assert_eq!((by[0].newly_allowed, by[0].newly_denied), (3, 1));
    assert_eq!(report.by_policy_after[0].newly_allowed, 5);
    assert_eq!(report.by_policy_before[0].newly_denied, 3);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["flips"][0]["before"]["decision"], "deny");
    assert_eq!(json["filled_in"], serde_json::Value::Null);
    let text = report.to_string();
    let head = "12 decisions: 5 would be allowed and were denied, 3 would be denied and were allowed, 4 the same (0 for other \
                reasons), 0 undetermined, 0 not replayable\n";
    assert!(text.starts_with(head), "{text}");
    for (flip, line) in report.flips.iter().zip(text.lines().skip(1)) {
        let user = &flip.principal;
        let told = match flip.after.decision {
            Decision::Allow => ["deny -> allow", "(no permit matched -> policy0)"],
            Decision::Deny => ["allow -> deny", "(policy0 -> no permit matched)"],
        };
        let request = format!("  {}  {user} Action::\"view\" Doc::\"plan\"  ", flip.id);
        assert_eq!(line, told.join(&request));
    }
    assert!(text.contains("\nand 4 more\n"), "{text}");
    let bob = format!("\n  {:<42} {:>13} {:>13}\n", "User::\"bob\"", 3, 1);
    assert!(text.contains(&bob), "{text}");
}

/// A shadow's difference is a record like any other: kept with its policies, and decided again.
#[test]
fn shadow_records_are_decided_again() {
    let directory = Scratch::new();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies("permit(principal, action, resource) when { principal.level > 2 };")
            .entities(ENTITIES)
    });
    authorizer
        .set_shadow("permit(principal, action, resource) when { principal.boss.level > 2 };")
        .unwrap();
    archive.keep(&authorizer).unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(authorizer.is_allowed(&request));
    let records = sink.records();
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].version.policies(), records[1].version.policies());
    for record in records {
        let policies = archive.load(record.version.policies()).unwrap();
        assert!(policies.replay(&record).is_same(), "{record:#?}");
    }
}
