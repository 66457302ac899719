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
