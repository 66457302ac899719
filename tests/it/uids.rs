//! Entity uids as texts, and from `cedar-policy`'s own.

use duramen::EntityUid;
use proptest::prelude::*;

fn cedars(text: &str) -> Option<EntityUid> {
    let uid: cedar_policy::EntityUid = text.parse().ok()?;
    assert_eq!(EntityUid::from(&uid), EntityUid::from(uid.clone()));
    Some(uid.into())
}

proptest! {
    #[test]
    fn what_is_shown_is_read_again(type_name in "([A-Z][a-z_0-9]{0,4}::){0,2}[A-Z][a-z]{1,5}", id in any::<String>()) {
        let uid = EntityUid::new(type_name, id);
        let text = uid.to_string();
        let read = text.parse::<EntityUid>().ok();
        prop_assert_eq!(read.as_ref(), Some(&uid));
        prop_assert_eq!(cedars(&text), Some(uid));
    }

    #[test]
    fn texts_are_read_as_cedar_reads_them(text in r#"( ?[Aif]{1,2} ?(::)?){0,2}(::)? ?"(a|\\\\|\\"|\\n|\\u\{41\}|\\q|\*){0,3}"? ?"#) {
        prop_assert_eq!(text.parse::<EntityUid>().ok(), cedars(&text));
    }
}

#[test]
fn what_is_no_uid_is_told() {
    for text in [
        "",
        "alice",
        "User",
        "User:alice",
        "User::alice",
        r#"if::"a""#,
        r#"__cedar::User::"a""#,
    ] {
        let error = text.parse::<EntityUid>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{text}` is no entity uid")) || text.contains('"'),
            "{error}"
        );
        assert!(error.contains("written like User::\"alice\": "), "{error}");
        assert_eq!(cedars(text), None, "{text}");
    }
    let long = "x".repeat(10_000_000);
    let error = long.parse::<EntityUid>().unwrap_err().to_string();
    assert!(error.len() < 1000);
    let beginning = format!("`{}…` is no entity uid", "x".repeat(100));
    assert!(error.starts_with(&beginning), "{error}");
}
