#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

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
