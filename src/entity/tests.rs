#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::limits::Limits;
use crate::names::Names;
use crate::value::StoredRecord;
use crate::value::arena::Intern;

fn load(edges: &[(&str, &[&str])], limits: Limits) -> Result<Snapshot, EntityError> {
    let mut loader = EntityLoader::new(Names::new(), limits);
    for (id, parents) in edges {
        let uid = loader.names.uid("G", id).unwrap();
        let parents = parents
            .iter()
            .map(|parent| loader.names.uid("G", parent).unwrap())
            .collect();
        loader.insert(
            uid,
            StoredRecord::default(),
            StoredRecord::default(),
            parents,
        );
    }
    loader.finish(|_, _, _| Ok(()))
}

fn is_in(snapshot: &Snapshot, a: &str, b: &str) -> bool {
    let uid = |id| snapshot.names.find_uid("G", id).unwrap();
    let arena = bumpalo::Bump::new();
    snapshot.entity(uid(a)).is_some_and(|data| {
        let ancestors = snapshot.ancestors(&arena, data);
        ancestors.contains(uid(b))
    })
}

#[test]
fn closure_reaches_through_diamonds_and_absent_parents() {
    let snapshot = load(
        &[
            ("a", &["b", "c"]),
            ("c", &["d"]),
            ("b", &["d"]),
            ("d", &["absent"]),
        ],
        Limits::default(),
    )
    .unwrap();
    for above in ["b", "c", "d", "absent"] {
        assert!(is_in(&snapshot, "a", above), "a in {above}");
    }
    assert!(!is_in(&snapshot, "b", "c"));
    assert!(!is_in(&snapshot, "d", "a"));
    assert!(
        !is_in(&snapshot, "a", "a"),
        "`in` itself is not the store's business"
    );
    assert_eq!(snapshot.len(), 4);
}

#[test]
fn cycles_are_named() {
    let error = load(
        &[("a", &["b"]), ("b", &["c"]), ("c", &["a"])],
        Limits::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("its own ancestor"), "{error}");
    assert_eq!(error.problems()[0].entity().unwrap().type_name(), "G");
    assert!(load(&[("a", &["a"])], Limits::default()).is_err());
}

#[test]
fn a_chain_longer_than_the_limit_is_refused_and_does_not_overflow() {
    let names: Vec<String> = (0..200_000).map(|i| i.to_string()).collect();
    let parents: Vec<[&str; 1]> = names.iter().skip(1).map(|n| [n.as_str()]).collect();
    let edges: Vec<(&str, &[&str])> = names
        .iter()
        .zip(&parents)
        .take(600)
        .map(|(n, p)| (n.as_str(), p.as_slice()))
        .collect();
    let limits = Limits::default().with_hierarchy_depth(600);
    assert!(load(&edges, limits).is_ok());
    let error = load(&edges, limits.with_hierarchy_depth(599)).unwrap_err();
    assert_eq!(
        error.problems()[0].limit().unwrap().limit(),
        crate::limits::Limit::HierarchyDepth
    );
}

#[test]
fn equal_duplicates_pass_and_different_ones_do_not() {
    assert!(load(&[("a", &["b"]), ("a", &["b"])], Limits::default()).is_ok());
    let error = load(&[("a", &["b"]), ("a", &["c"])], Limits::default()).unwrap_err();
    assert!(error.to_string().contains("G::\"a\""), "{error}");
}

#[test]
fn a_renumbered_snapshot_has_the_same_entities_and_no_other_names() {
    let mut snapshot = load(
        &[("a", &["b", "c"]), ("c", &["d"]), ("b", &["d"])],
        Limits::default(),
    )
    .unwrap();
    snapshot.begin(1);
    let mut children = Children::of(&snapshot);
    for round in 0..3 {
        let mut draft = Draft::new(&snapshot, &mut children, &Limits::default());
        for i in 0..20_000 {
            let uid = draft.names.uid("G", &format!("{round}-{i}")).unwrap();
            draft.upsert(
                uid,
                StoredRecord::default(),
                StoredRecord::default(),
                Vec::new(),
            );
            draft.remove(uid);
        }
        snapshot = draft.finish(|_, _, _| Ok(())).unwrap().snapshot;
        children.commit();
    }
    assert_eq!(snapshot.names.extent().uids, 60_004);
    assert!(snapshot.is_wasteful());
    let mut renumbered = snapshot.renumbered().unwrap();
    renumbered.begin(2);
    assert!(!renumbered.is_wasteful());
    assert_eq!(renumbered.names.extent().uids, 4);
    assert_eq!(renumbered.len(), 3);
    for above in ["b", "c", "d"] {
        assert!(is_in(&renumbered, "a", above));
    }
    assert!(!is_in(&renumbered, "b", "c"));
}
