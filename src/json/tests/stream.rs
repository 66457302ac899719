//! Streams, cut at every place, against texts.

use bumpalo::Bump;

use crate::json::cursor::{JsonError, Position};
use crate::json::parse::ArrayReader;
use crate::json::{StreamError, StreamReader};

const TEXTS: [&str; 18] = [
    r#"[]"#,
    " \n[ ] \n ",
    r#"[{"a": true, "b": [null, false]}, {"c": "d\n\u00e9\ud83d\ude00"}, []]"#,
    "[\n  {\"é日本\": \"\u{1F600}\"},\n\t[1, -2.5e3, 0],\r\n  \"x\"\n]\n",
    r#"[[1], [2], [3], [[[[4]]]]]"#,
    r#"["a" "b"]"#,
    r#"["a", ]"#,
    r#"["a"] x"#,
    r#"["a"]]"#,
    r#"{"a": 1}"#,
    "",
    "[",
    r#"[{"a": 1, "a": 2}]"#,
    r#"["ä", trux]"#,
    "[\"é\",\n\n  \"日本\", \"\\ud800 \"]",
    "[\"a\u{1}\"]",
    r#"[[[[[[[]]]]]]]"#,
    r#"["a", {"b": 01}]"#,
];

type Read = (Vec<String>, Option<(JsonError, Position)>);

const DEPTH: usize = 6;

fn whole(text: &str) -> Read {
    let mut elements = Vec::new();
    let mut reader = ArrayReader::new(text, DEPTH);
    loop {
        match reader.next(&Bump::new()) {
            Ok(None) => return (elements, None),
            Ok(Some(element)) => elements.push(format!("{element:?}")),
            Err(error) => return (elements, Some((error, error.position(text)))),
        }
    }
}

fn streamed(text: &str, chunk: usize) -> Read {
    let mut elements = Vec::new();
    let mut reader = StreamReader::new(text.as_bytes(), DEPTH, 1000).with_chunk(chunk);
    loop {
        let arena = Bump::new();
        let (outcome, place) = reader.attempt(&arena);
        if reader.is_cut_off(&outcome) {
            reader.fill().unwrap();
            continue;
        }
        match outcome {
            Ok(None) => return (elements, None),
            Ok(Some(element)) => elements.push(format!("{element:?}")),
            Err(error) => {
                let at = reader.position_of(error);
                let offset = usize::try_from(at.offset).unwrap();
                return (elements, Some((JsonError { offset, ..error }, at.position)));
            }
        }
        let start = usize::try_from(reader.position().offset).unwrap();
        let element = text[start..].trim_start();
        assert_eq!(
            element.len(),
            text[start..].len(),
            "an element begins with itself"
        );
        assert!(!element.starts_with([',']), "{element}");
        reader.accept(place);
        assert_eq!(reader.read(), elements.len());
        assert!(text.as_bytes()[usize::try_from(reader.bytes()).unwrap() - 1].is_ascii());
    }
}

#[test]
fn a_stream_reads_as_a_text() {
    for text in TEXTS {
        let expected = whole(text);
        for chunk in 1..=text.len() + 1 {
            assert_eq!(streamed(text, chunk), expected, "{text:?} by {chunk}");
        }
    }
}

#[test]
fn what_is_no_text_is_refused() {
    let fails = |bytes: &[u8], chunk: usize| {
        let mut reader = StreamReader::new(bytes, DEPTH, 50).with_chunk(chunk);
        loop {
            let arena = Bump::new();
            let (outcome, place) = reader.attempt(&arena);
            if reader.is_cut_off(&outcome) {
                match reader.fill() {
                    Ok(()) => continue,
                    Err(error) => return (error, reader.end()),
                }
            }
            match outcome {
                Ok(Some(_)) => reader.accept(place),
                _ => panic!("{bytes:?} by {chunk}"),
            }
        }
    };
    for chunk in 1..20 {
        let (error, at) = fails(b"[\"a\",\n\"b\xC3\xA9\", \"\xFF\"]", chunk);
        assert!(matches!(error, StreamError::NotUtf8), "{error}");
        assert_eq!(
            (at.offset, at.position.line, at.position.column),
            (14, 2, 8)
        );
        // Half a character at the end.
        let (error, _) = fails(b"[\"a\", \"\xC3", chunk);
        assert!(matches!(error, StreamError::NotUtf8), "{error}");
        let long = format!("[\"a\", \"{}\"]", "b".repeat(200));
        let (error, _) = fails(long.as_bytes(), chunk);
        assert!(matches!(error, StreamError::TooLong), "{error}");
    }
}
