#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::value::same_bytes;

#[test]
fn a_uid_is_its_type_and_its_id() {
    let mut names = Names::new();
    let ab_c = names.uid("ab", "c").unwrap();
    let a_bc = names.uid("a", "bc").unwrap();
    assert_ne!(ab_c, a_bc, "where the type ends matters");
    assert_eq!(names.uid("ab", "c").unwrap(), ab_c);
    assert_eq!(names.find_uid("a", "bc"), Some(a_bc));
    assert_eq!(names.find_uid("abc", ""), None);
    assert_eq!(names.uid_text(ab_c), ("ab", "c"));
    assert_ne!(names.type_of(ab_c), names.type_of(a_bc));
}

#[test]
fn short_texts_are_compared_whole() {
    for len in 0..40_usize {
        let text: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert!(same_bytes(&text, &text.clone()));
        for at in 0..len {
            let mut other = text.clone();
            other[at] ^= 0x80;
            assert!(!same_bytes(&text, &other), "byte {at} of {len}");
            assert!(!same_bytes(&text, &other[..at]));
        }
    }
}

#[test]
fn tables_survive_growth() {
    let mut names = Names::new();
    let uids: Vec<Uid> = (0..5000)
        .map(|i| names.uid("User", &i.to_string()).unwrap())
        .collect();
    for (i, uid) in uids.iter().enumerate() {
        assert_eq!(names.find_uid("User", &i.to_string()), Some(*uid));
    }
    let syms: Vec<Sym> = (0..500)
        .map(|i| names.sym(&i.to_string()).unwrap())
        .collect();
    for (i, sym) in syms.iter().enumerate() {
        assert_eq!(names.find_sym(&i.to_string()), Some(*sym));
        assert_eq!(names.sym_text(*sym), i.to_string());
    }
    assert_eq!(names.uids().count(), 5000);
}

/// Clones that grow: numbers never change, a clone does not see what another adds, and stacks stay short.
#[test]
fn clones_grow_apart() {
    let mut names = Names::new();
    for i in 0..10_000 {
        names.uid("Base", &i.to_string()).unwrap();
    }
    assert_eq!(names.uids.height(), 1, "what is not shared grows in place");
    let before = names.clone();
    let mut highest = 0;
    for i in 0..30_000_usize {
        let mut next = names.clone();
        let uid = next.uid("New", &i.to_string()).unwrap();
        assert_eq!(uid.index(), 10_000 + i);
        assert_eq!(names.find_uid("New", &i.to_string()), None);
        if i % 97 == 0 {
            next.sym(&format!("s{i}")).unwrap();
        }
        highest = highest.max(next.uids.height());
        names = next;
    }
    assert!(highest <= 5, "{highest} tables");
    assert_eq!(before.extent().uids, 10_000);
    assert_eq!(before.find_uid("New", "0"), None);
    let new_type = names.find_type("New").unwrap();
    for (uid, number) in names.uids().zip(0..) {
        let (type_name, id) = names.uid_text(uid);
        let expected = match number {
            0..10_000 => ("Base", number.to_string()),
            _ => ("New", (number - 10_000).to_string()),
        };
        assert_eq!((type_name, id), (expected.0, expected.1.as_str()));
        assert_eq!(names.find_uid(type_name, id), Some(uid));
        assert_eq!(names.type_of(uid) == Some(new_type), number >= 10_000);
    }
    assert_eq!(names.uids().count(), 40_000);
}
