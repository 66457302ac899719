#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

use crate::{Authorizer, Entity, EntityUpdate, PolicyUpdate};

#[test]
fn a_digest_reads_back_from_its_text() {
    let digest = VersionDigest::from(std::array::from_fn(|i| i as u8 * 7));
    let text = serde_json::to_string(&digest).unwrap();
    assert_eq!(text, format!("\"{digest}\""));
    assert_eq!(
        serde_json::from_str::<VersionDigest>(&text).unwrap(),
        digest
    );
    assert!(serde_json::from_str::<VersionDigest>("\"00\"").is_err());
    assert!(serde_json::from_str::<VersionDigest>(&"é".repeat(64)).is_err());
}

/// What is below groups of actions takes a walk over all entities to find.
#[test]
fn a_change_of_policies_walks_no_entities() {
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action in Action::\"all\", resource);")
        .build()
        .unwrap();
    let members = || {
        let epoch = authorizer.epoch();
        epoch
            .segments
            .iter()
            .map(|segment| Arc::clone(&segment.linked.members))
            .collect::<Vec<_>>()
    };
    let before = members();
    let add = |id| PolicyUpdate::new().add(id, "permit(principal, action, resource);");
    authorizer.update_policies(add("new")).unwrap();
    assert!(members().iter().all(|now| Arc::ptr_eq(now, &before[0])));
    let action = Entity::new(("Action", "a"));
    authorizer
        .update_entities(EntityUpdate::new().upsert(action))
        .unwrap();
    assert!(members().iter().all(|now| !Arc::ptr_eq(now, &before[0])));
}
