#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn hot_types_stay_small() {
    assert_eq!(size_of::<Value<'_>>(), 16);
    assert_eq!(size_of::<Option<Value<'_>>>(), 16);
    assert_eq!(size_of::<Stored>(), 24);
    assert_eq!(size_of::<crate::program::Node>(), 16);
    assert_eq!(size_of::<Raise>(), 8);
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text.chars().map(|c| match c {
        '*' => PatternPart::Any,
        c => PatternPart::Char(c),
    }))
}

#[test]
fn patterns_match_whole_texts() {
    for (pattern_text, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "anything", true),
        ("a*", "a", true),
        ("*a", "ba", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("ab*ba", "aba", false),
        ("*ab*ab*", "abab", true),
        ("*ab*ab*", "aab", false),
        ("a**b", "ab", true),
        ("*.jpg", "x.jpg.png", false),
        ("ü*ö", "ü€ö", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "acb", false),
    ] {
        assert_eq!(
            pattern(pattern_text).matches(text),
            expected,
            "{text:?} like {pattern_text:?}"
        );
    }
}

#[test]
fn stored_sets_are_sets() {
    let set = StoredSet::new(
        (0..100)
            .rev()
            .chain(50..150)
            .map(Stored::Long)
            .chain([Stored::Bool(true), Stored::String("x".into())])
            .collect(),
    );
    let view = Set::Stored(&set);
    assert_eq!(view.len(), 152);
    assert!(view.contains(Value::Long(149)));
    assert!(!view.contains(Value::Long(150)));
    assert!(view.contains(Value::BuiltString(&"x")));
    assert!(!view.contains(false.into()));
}

fn sym(number: usize) -> Sym {
    Sym::known(number).unwrap()
}

#[test]
fn records_share_keys_and_short_texts() {
    let record = |role: &str, id: i64| {
        let roles = StoredSet::new(vec![Stored::String(role.into())]);
        let of = |fields: &[(Sym, Stored)]| StoredRecord::new(fields.to_vec());
        of(&[
            (sym(1), Stored::Long(id)),
            (sym(2), Stored::Set(roles)),
            (
                sym(3),
                Stored::Record(of(&[(sym(4), Stored::String(role.into()))])),
            ),
        ])
    };
    let text = |record: &StoredRecord| match record.get(sym(3)) {
        Some(Stored::Record(nested)) => match nested.get(sym(4)) {
            Some(Stored::String(text)) => Arc::clone(text),
            _ => unreachable!(),
        },
        _ => unreachable!(),
    };
    let long = "a".repeat(100);
    let mut shared = Shared::default();
    for (role, is_shared) in [("editor", true), (long.as_str(), false)] {
        let [mut a, mut b] = [record(role, 1), record(role, 2)];
        a.share(&mut shared);
        b.share(&mut shared);
        assert_eq!(Arc::ptr_eq(&text(&a), &text(&b)), is_shared, "{role}");
        assert!(std::ptr::eq(a.keys(), b.keys()));
        match (a.get(sym(2)), b.get(sym(2))) {
            (Some(Stored::Set(a)), Some(Stored::Set(b))) => match (a.items(), b.items()) {
                ([Stored::String(a)], [Stored::String(b)]) => {
                    assert_eq!(Arc::ptr_eq(a, b), is_shared);
                }
                _ => unreachable!(),
            },
            _ => unreachable!(),
        }
        // What is written again takes what it can from what was there.
        let mut again = record(role, 3);
        again.share_with(&a);
        assert!(std::ptr::eq(a.keys(), again.keys()));
        assert!(Arc::ptr_eq(&text(&a), &text(&again)));
        assert!(matches!(again.get(sym(1)), Some(Stored::Long(3))));
    }
    // What comes later takes the place, and nothing grows.
    for i in 0..100_000 {
        record(&i.to_string(), i).share(&mut shared);
    }
    let [mut a, mut b] = [record("editor", 1), record("editor", 2)];
    a.share(&mut shared);
    b.share(&mut shared);
    assert!(Arc::ptr_eq(&text(&a), &text(&b)));
}

#[test]
fn a_record_without_fields_is_a_record() {
    let record = StoredRecord::new(Vec::new());
    assert!(record.keys().is_empty());
    assert_eq!(record.fields().count(), 0);
    assert!(record.get(sym(0)).is_none() && record.entry(0).is_none());
    assert!(Value::StoredRecord(&record).same(Value::StoredRecord(&StoredRecord::default())));
}
