use std::str::FromStr;

use cedar_policy::{EntityTypeName, EntityUid};
use proptest::prelude::*;
use serde_json::json;

use crate::json::is_normalized_type_name;
use crate::schema::is_action_type;

/// Checks one text against both of Cedar's readers of type names.
fn check(text: &str) -> Result<(), TestCaseError> {
    let ours = is_normalized_type_name(text);
    let in_data = EntityUid::from_json(json!({"type": text, "id": "x"})).is_ok();
    let parsed = EntityTypeName::from_str(text);
    let normalized = parsed.as_ref().is_ok_and(|name| name.to_string() == text);
    prop_assert_eq!(ours, in_data, "{:?} in data", text);
    prop_assert_eq!(ours, normalized, "{:?} parsed: {:?}", text, parsed.is_ok());
    if let Ok(name) = parsed {
        prop_assert_eq!(
            is_action_type(text) && ours,
            name.basename() == "Action" && ours
        );
    }
    Ok(())
}

#[test]
fn known_names() {
    for text in [
        "",
        "User",
        "_",
        "__",
        "a::b::c",
        "A::Action",
        "Action",
        "MyAction",
        "Action::A",
        "a:b",
        "a::",
        "::a",
        "a:::b",
        "a::::b",
        " a",
        "a ",
        "a\n",
        "a ::b",
        "a// x",
        "1a",
        "a1",
        "é",
        "aé",
        "a::1",
        "true",
        "false",
        "if",
        "then",
        "else",
        "in",
        "is",
        "like",
        "has",
        "__cedar",
        "a::__cedar",
        "__cedar::a",
        "a::true",
        "True",
        "permit",
        "forbid",
        "when",
        "unless",
        "principal",
        "action",
        "resource",
        "context",
        "null",
        "ip",
        "decimal",
        "Long",
        "String",
        "Bool",
        "Set",
        "Record",
        "Extension",
        "Entity",
        "namespace",
        "entity",
        "_cedar",
        "__cedarx",
        "a-b",
        "a.b",
        "\"a\"",
        "a\0",
        "?principal",
        "a::?principal",
    ] {
        check(text).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn generated_names(text in "([a-c_A1 ]{0,3}|in|is|if|has|like|then|__cedar|Action)((::|:|::: | )([a-c_A1é]{0,3}|in|true|else|Action|__cedar)){0,3}\n?") {
        check(&text)?;
    }
}
