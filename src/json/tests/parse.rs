use bumpalo::Bump;
use cedar_policy::ffi::JsonValueWithNoDuplicateKeys;
use proptest::prelude::*;
use serde_json::{Map, Number, Value as Oracle};

use crate::json::{ArrayReader, Json, JsonErrorKind, MAX_DEPTH, Position, parse};

/// As deep as `serde_json` goes.
const DEPTH: usize = 127;

fn oracle(text: &str) -> Option<Oracle> {
    let value: JsonValueWithNoDuplicateKeys = text.parse().ok()?;
    Some(value.into())
}

fn to_oracle(json: Json<'_>) -> Oracle {
    match json {
        Json::Null => Oracle::Null,
        Json::Bool(b) => Oracle::Bool(b),
        Json::Integer(i) => Oracle::Number(Number::from(i)),
        Json::Number(text) => serde_json::from_str(text).unwrap(),
        Json::String(text) => Oracle::String(text.to_owned()),
        Json::Array(elements) => elements.iter().map(|json| to_oracle(*json)).collect(),
        Json::Object(members) => Oracle::Object(
            members
                .iter()
                .map(|(key, json)| ((*key).to_owned(), to_oracle(*json)))
                .collect::<Map<_, _>>(),
        ),
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let arena = Bump::new();
    let ours = parse(&arena, text, DEPTH);
    prop_assert_eq!(
        ours.map(to_oracle).ok(),
        oracle(text),
        "{:?}: {:?}",
        text,
        ours
    );
    if let Ok(Json::Integer(i)) = ours {
        prop_assert_eq!(oracle(text).and_then(|n| n.as_i64()), Some(i));
    }
    if let Ok(Json::Number(_)) = ours {
        prop_assert_eq!(oracle(text).and_then(|n| n.as_i64()), None);
    }
    if let Err(error) = ours {
        prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
        error.position(text);
    }
    // Element by element it is the same.
    let mut elements = Vec::new();
    let mut reader = ArrayReader::new(text, DEPTH);
    let end = loop {
        match reader.next(&Bump::new()) {
            Ok(Some(element)) => elements.push(to_oracle(element)),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    match ours {
        Ok(Json::Array(_)) => {
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(reader.place().read(), elements.len());
            prop_assert_eq!(Some(Oracle::Array(elements)), oracle(text));
        }
        Ok(_) => prop_assert_eq!(end.map_err(|e| e.kind), Err(JsonErrorKind::NotAnArray)),
        Err(_) => prop_assert!(end.is_err()),
    }
    Ok(())
}

#[test]
fn known_texts() {
    let many_keys: Vec<_> = (0..40).map(|i| format!("\"k{i}\": {i}")).collect();
    let many_keys = many_keys.join(",");
    let long_integer = "1".repeat(400);
    for text in [
        "",
        " ",
        "nul",
        "null",
        "nullx",
        " true ",
        "falsE",
        "\u{feff}1",
        "1 2",
        "[1 2]",
        "[1,]",
        "[,1]",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" : 1 , \"b\" : [ ] }",
        "[}",
        "{]",
        "[",
        "{",
        "\"",
        "[[]",
        "]",
        "\u{b}1",
        "\u{a0}1",
        "0",
        "-0",
        "-",
        "00",
        "01",
        "-01",
        "1.",
        ".1",
        "1.0",
        "1e2",
        "1E+2",
        "1e-2",
        "1e",
        "1e+",
        "+1",
        "-1.5e10",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "1e309",
        "-1e309",
        "0e99999999999",
        "1e99999999999",
        "1e-99999999999",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "0x1",
        "NaN",
        "Infinity",
        &long_integer,
        r#""a\"b\\c\/d\be\ff\ng\rh\ti""#,
        r#""\u0041\u00e9\u20AC""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83dx""#,
        r#""\ud83d\n""#,
        r#""\ud83d\u0041""#,
        r#""\ud83d\ud83d""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\x""#,
        r#""\"#,
        r#""\u0000""#,
        r#""\u+041""#,
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "\"\n\"",
        "\"\u{7f}é€😀\"",
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":{"b":1},"c":{"b":1}}"#,
        r#"[{"a":[{"x":1,"x":1}]}]"#,
        &format!("{{{many_keys}}}"),
        &format!("{{{many_keys}, \"k7\": 0}}"),
        "[1] x",
        "[1], ",
        "[1,2]]",
    ] {
        check(text).unwrap();
    }
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [MAX_DEPTH, 100_000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            check(&text).unwrap();
        }
        let deep = open.repeat(100_000);
        let error = parse(&Bump::new(), &deep, usize::MAX).unwrap_err();
        assert_eq!(error.kind, JsonErrorKind::TooDeep);
        assert_eq!(error.offset, MAX_DEPTH * open.len());
    }
    assert!(parse(&Bump::new(), "[]", 0).is_err());
    assert!(parse(&Bump::new(), "1", 0).is_ok());
    assert!(ArrayReader::new("[]", 0).next(&Bump::new()).is_err());
}

#[test]
fn errors_say_where() {
    let table = [
        (
            "{\"é\": 1,\n \"b\": tru}",
            JsonErrorKind::ExpectedValue,
            (2, 7),
        ),
        (
            "{\"a\": 1,\n\"b\": 2,\n  \"a\": 3}",
            JsonErrorKind::DuplicateKey,
            (3, 3),
        ),
        ("[1, 2", JsonErrorKind::UnexpectedEnd, (1, 6)),
        ("[1, 2] 3", JsonErrorKind::TrailingText, (1, 8)),
        (r#"["ab\ud800"]"#, JsonErrorKind::LoneSurrogate, (1, 5)),
    ];
    for (text, kind, (line, column)) in table {
        let error = parse(&Bump::new(), text, DEPTH).unwrap_err();
        assert_eq!(error.kind, kind, "{text}");
        assert_eq!(error.position(text), Position { line, column }, "{text}");
    }
}

#[test]
fn strings_without_escapes_are_borrowed() {
    let text = String::from("[\"plain\", \"esc\\n\"]");
    let arena = Bump::new();
    let Ok(Json::Array([Json::String(plain), Json::String(escaped)])) = parse(&arena, &text, 9)
    else {
        panic!("not two strings");
    };
    let range = text.as_bytes().as_ptr_range();
    assert!(range.contains(&plain.as_ptr()));
    assert!(!range.contains(&escaped.as_ptr()));
}

/// A value as text, with whitespace and escapes in odd places.
fn valid_text() -> impl Strategy<Value = String> {
    let string = "(\"[a-c]{0,2}\"|\"[ -!#-\\[\\]-~é€😀]{0,4}(\\\\[nrtbf/\\\\\"]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83d\\\\ude0[0-9])?[a-z]{0,3}\")";
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string,
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let space = "[ \\n\\t\\r]{0,2}";
        let item = (space, inner.clone(), space).prop_map(|(a, b, c)| a + &b + &c);
        let member =
            (space, string, space, item.clone()).prop_map(|(a, k, b, v)| a + &k + &b + ":" + &v);
        prop_oneof![
            prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn valid_texts(text in valid_text()) {
        check(&text)?;
    }

    #[test]
    fn nearly_valid_texts(
        text in valid_text(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, "[\\[\\]{}:,\"\\\\0-9a-fu.eE+\\- \u{1}\u{1f}tn]"), 1..3),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (at, edit, new) in edits {
            let at = at.index(characters.len().max(1));
            match edit {
                0 if at < characters.len() => { characters.remove(at); }
                1 if at < characters.len() => characters[at] = new.chars().next().unwrap(),
                _ => characters.insert(at.min(characters.len()), new.chars().next().unwrap()),
            }
        }
        check(&characters.into_iter().collect::<String>())?;
    }

    #[test]
    fn number_soup(text in "[-+]?[0-9.eE+\\-]{1,8}") {
        check(&text)?;
    }
}
