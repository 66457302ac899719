//! The layers of the crate, enforced: a file imports only from lower layers or from its own module.
//!
//! The checker reads tokens, not a syntax tree: comments, strings and test-only code (`tests.rs`, `tests/`,
//! `testing.rs`, `#[cfg(test)] mod … { … }`) are taken out, then every `crate::module` path, in groups and as
//! `super::…` chains too, is held against the table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

use std::fmt;
use std::path::{Path, PathBuf};

/// Modules on one row are strangers to each other.
const LAYERS: [&[&str]; 15] = [
    &["id", "limits", "decision", "stopwatch", "files"],
    &["ext", "spiffe"],
    &["value", "freshness"],
    &["names", "schema"],
    &["json"],
    &["program", "entity", "request"],
    &["epoch"],
    &["evidence", "compile"],
    &["eval"],
    &["search"],
    &["authorizer"],
    &["explain"],
    &["replay", "signals", "grant", "testing"],
    &["tower", "authzen"],
    &["pages"],
];

/// A rule that a file breaks.
#[derive(PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn the_crate_keeps_its_layers() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut violations = Vec::new();
    let files = rust_files(&src);
    assert!(files.len() > 20, "only {} files under src", files.len());
    for path in files {
        let name = relative(&path, &src);
        let text = std::fs::read_to_string(&path).unwrap();
        violations.extend(check(&name, &text));
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Every module that `lib.rs` declares has a row, and every row is a module.
#[test]
fn the_table_is_complete() {
    let lib = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    let tokens = tokens(&lib);
    let mut declared: Vec<&str> = tokens
        .windows(3)
        .filter(|window| window[0].text == "mod" && window[2].text == ";")
        .map(|window| window[1].text.as_str())
        .collect();
    let mut listed: Vec<&str> = LAYERS.concat();
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(declared, listed);
}

/// A checker that finds nothing proves nothing.
#[test]
fn violations_are_found() {
    let finds = |file: &str, text: &str, what: &str| {
        let found = check(file, text);
        assert!(
            found.iter().any(|violation| violation.what.contains(what)),
            "{file} with {text:?} gives {found:?}, not {what:?}"
        );
    };
    finds(
        "value/mod.rs",
        "use crate::json::parse;",
        "value uses crate::json",
    );
    finds(
        "value/a/b.rs",
        "fn f() { crate::eval::go() }",
        "value uses crate::eval",
    );
    finds(
        "id.rs",
        "use crate::{decision::Effect, id};",
        "id uses crate::decision",
    );
    finds(
        "names/mod.rs",
        "use crate::{id, value::{self, a::{b}}, schema};",
        "names uses crate::schema",
    );
    finds(
        "ext/ip.rs",
        "use super::super::value::Value;",
        "ext uses crate::value",
    );
    finds(
        "limits.rs",
        "use super::decision;",
        "limits uses crate::decision",
    );
    finds(
        "limits.rs",
        "pub(in crate::eval) fn f() {}",
        "limits uses crate::eval",
    );
    finds("other.rs", "", "not in the table of layers");
    finds(
        "eval/mod.rs",
        "use cedar_policy::PolicySet;",
        "cedar_policy",
    );
    finds(
        "authorizer/mod.rs",
        "use cedar_policy::PolicySet;",
        "cedar_policy",
    );
    finds(
        "authorizer/mod.rs",
        "use cedar_policy as cedar; fn f(a: cedar::Schema, b: cedar::Entities) {}",
        "cedar_policy",
    );
    finds(
        "eval/mod.rs",
        "use std::sync::{Arc, atomic::AtomicU64};",
        "atomics",
    );
    finds("lib.rs", "fn f() {}", "nothing but");
    finds("lib.rs", "#![forbid(unsafe_code)] impl X {}", "nothing but");
    finds("lib.rs", "mod id;", "forbid(unsafe_code)");
    finds(
        "value/mod.rs",
        "mod tests; use crate::json;",
        "value uses crate::json",
    );
    finds(
        "value/mod.rs",
        "#[cfg(test)] mod a { use crate::json; } use crate::eval;",
        "value uses crate::eval",
    );
}

#[test]
fn what_is_allowed_passes() {
    let passes = |file: &str, text: &str| assert_eq!(check(file, text), []);
    passes(
        "value/mod.rs",
        "use crate::ext::Decimal; use crate::value::Value;",
    );
    passes(
        "json/mod.rs",
        "// use crate::eval\n/* crate::eval /* nested */ */ ",
    );
    passes(
        "json/mod.rs",
        r##"const A: &str = r#"crate::eval"#; const B: &str = "\"crate::eval";"##,
    );
    passes(
        "json/mod.rs",
        "const A: char = '\"'; fn f<'a>(a: &'a str) {} //! crate::eval",
    );
    passes(
        "json/tests.rs",
        "use crate::authorizer; use cedar_policy::Entities;",
    );
    passes("json/tests/deep/x.rs", "use crate::authorizer;");
    passes("schema/testing.rs", "use crate::authorizer;");
    passes(
        "json/mod.rs",
        "#[cfg(test)] mod tests { use crate::eval; mod inner {} }",
    );
    passes(
        "json/mod.rs",
        "#[cfg(test)] #[allow(clippy::unwrap_used, reason = \"]\")] mod tests { use crate::eval; }",
    );
    passes(
        "authorizer/mod.rs",
        "use cedar_policy as cedar; struct S(cedar::Schema);",
    );
    passes("compile/x.rs", "use cedar_policy::PolicySet;");
    passes("epoch/mod.rs", "use std::sync::atomic::AtomicU64;");
    passes(
        "lib.rs",
        "//! Docs.\n#![forbid(unsafe_code)]\n#![warn(missing_docs)]\nmod id;\npub mod value;\n#[doc(inline)]\npub use id::{A, B};\npub use crate::value::C;",
    );
}

fn check(file: &str, text: &str) -> Vec<Violation> {
    if is_test_only(file) {
        return Vec::new();
    }
    let tokens = without_tests(tokens(text));
    if file == "lib.rs" {
        return check_lib(file, &tokens);
    }
    let module = file.split('/').next().unwrap().trim_end_matches(".rs");
    let mut violations = Vec::new();
    let mut violation = |line: usize, what: String| {
        violations.push(Violation {
            file: file.to_owned(),
            line,
            what,
        });
    };
    match layer(module) {
        None => violation(1, format!("{module} is not in the table of layers")),
        Some(own) => {
            for (line, used) in imports(file, &tokens) {
                if used != module && layer(&used).is_some_and(|layer| layer >= own) {
                    violation(line, format!("{module} uses crate::{used}"));
                }
            }
        }
    }
    for line in cedar(module, &tokens) {
        violation(line, format!("{module} mentions cedar_policy"));
    }
    if !["epoch", "evidence", "authorizer", "grant"].contains(&module) {
        for token in &tokens {
            if token.text == "atomic" || token.text.starts_with("Atomic") {
                violation(token.line, format!("{module} uses atomics"));
            }
        }
    }
    violations
}

fn is_test_only(file: &str) -> bool {
    let mut parts = file.split('/').rev();
    let name = parts.next().unwrap();
    name == "tests.rs" || name == "testing.rs" || parts.any(|folder| folder == "tests")
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// Top-level modules that the tokens refer to, with the lines.
fn imports(file: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    // `super` leads to the crate's root after this many steps.
    let depth = file.split('/').count() - usize::from(file.ends_with("/mod.rs"));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut next = at + 1;
        let from_root = if tokens[at].text == "crate" {
            true
        } else if tokens[at].text == "super" {
            let mut steps = 1;
            while is(tokens, next, "::") && is(tokens, next + 1, "super") {
                steps += 1;
                next += 2;
            }
            steps == depth
        } else {
            false
        };
        if from_root && is(tokens, next, "::") {
            roots(tokens, next + 1, &mut found);
        }
        at = next;
    }
    found
}

/// The first names of a path, or of each path of a group.
fn roots(tokens: &[Token], at: usize, found: &mut Vec<(usize, String)>) {
    if !is(tokens, at, "{") {
        if let Some(token) = tokens.get(at) {
            found.push((token.line, token.text.clone()));
        }
        return;
    }
    let mut level = 0;
    let mut begins = false;
    for token in &tokens[at..] {
        match token.text.as_str() {
            "{" => {
                level += 1;
                begins = level == 1;
            }
            "}" => {
                level -= 1;
                if level == 0 {
                    return;
                }
            }
            "," => begins = level == 1,
            name => {
                if begins {
                    found.push((token.line, name.to_owned()));
                }
                begins = false;
            }
        }
    }
}

/// Lines that mention `cedar_policy` where it has no place: anywhere but in `compile` and `replay`, and in `authorizer` for
/// more than the name of the schema's type.
fn cedar(module: &str, tokens: &[Token]) -> Vec<usize> {
    let mentions = |at: usize| match module {
        "compile" | "replay" => false,
        "authorizer" => match tokens[at].text.as_str() {
            "cedar_policy" => {
                let renamed = is(tokens, at + 1, "as") && is(tokens, at + 2, "cedar");
                let schema = is(tokens, at + 1, "::") && is(tokens, at + 2, "Schema");
                !renamed && !schema
            }
            "cedar" => is(tokens, at + 1, "::") && !is(tokens, at + 2, "Schema"),
            _ => false,
        },
        _ => tokens[at].text == "cedar_policy",
    };
    (0..tokens.len())
        .filter(|at| mentions(*at))
        .map(|at| tokens[at].line)
        .collect()
}

/// `lib.rs` holds docs, lints, modules and exports.
fn check_lib(file: &str, tokens: &[Token]) -> Vec<Violation> {
    let violation = |line, what: &str| Violation {
        file: file.to_owned(),
        line,
        what: what.to_owned(),
    };
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let forbid = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
    let mut violations = Vec::new();
    if !texts.windows(forbid.len()).any(|window| window == forbid) {
        violations.push(violation(1, "lacks #![forbid(unsafe_code)]"));
    }
    let mut at = 0;
    while at < texts.len() {
        let rest = &texts[at..];
        let length = match rest {
            ["#", ..] => bracketed(rest),
            ["mod", _, ";", ..] => Some(3),
            ["pub", "mod", _, ";", ..] => Some(4),
            ["pub", "use", ..] => rest.iter().position(|text| *text == ";").map(|end| end + 1),
            _ => None,
        };
        match length {
            Some(length) => at += length,
            None => {
                violations.push(violation(
                    tokens[at].line,
                    "has something that is nothing but docs, lints, modules and exports",
                ));
                break;
            }
        }
    }
    violations
}

/// The length of an attribute.
fn bracketed(texts: &[&str]) -> Option<usize> {
    let mut level = 0;
    for (at, text) in texts.iter().enumerate() {
        match *text {
            "[" => level += 1,
            "]" => {
                level -= 1;
                if level == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

/// Takes out `#[cfg(test)] mod name { … }`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let cfg_test = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut keep = vec![true; tokens.len()];
    for at in 0..texts.len() {
        if !texts[at..].starts_with(&cfg_test) {
            continue;
        }
        let mut body = at + cfg_test.len();
        while texts.get(body) == Some(&"#") {
            body += bracketed(&texts[body..]).unwrap();
        }
        while texts.get(body).is_some_and(|text| *text != "mod") && body < at + 20 {
            body += 1;
        }
        if texts.get(body) != Some(&"mod") || texts.get(body + 2) != Some(&"{") {
            continue;
        }
        let mut level = 0;
        for (offset, text) in texts[body..].iter().enumerate() {
            match *text {
                "{" => level += 1,
                "}" => level -= 1,
                _ => {}
            }
            if *text == "}" && level == 0 {
                keep[at..=body + offset].fill(false);
                break;
            }
        }
    }
    let mut kept = keep.iter();
    tokens
        .into_iter()
        .filter(|_| *kept.next().unwrap())
        .collect()
}

/// Words, `::` and single characters; comments, string and character literals are left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest) {
            length
        } else if first == '\'' {
            quote(rest)
        } else if first.is_alphabetic() || first == '_' {
            let word = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(Token {
                text: rest[..word].to_owned(),
                line,
            });
            word
        } else if rest.starts_with("::") {
            tokens.push(Token {
                text: "::".to_owned(),
                line,
            });
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(Token {
                    text: first.to_string(),
                    line,
                });
            }
            first.len_utf8()
        };
        line += rest[..skip].matches('\n').count();
        rest = &rest[skip..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut level, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            level += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            level -= 1;
            at += 2;
            if level == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a string literal, raw and byte strings too.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let rest = text.strip_prefix(*prefix).unwrap_or_default();
        rest.starts_with('"')
            || (prefix.ends_with('r') && rest.trim_start_matches('#').starts_with('"'))
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let from = hashes + 1;
        let length = body[from..]
            .find(&end)
            .map_or(body.len() - from, |at| at + end.len());
        return Some(prefix.len() + from + length);
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of a character literal, or of the quote of a lifetime.
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let after = at + c.len_utf8();
            after + text[after..].find('\'').map_or(0, |end| end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn relative(path: &Path, base: &Path) -> String {
    let parts: Vec<_> = path
        .strip_prefix(base)
        .unwrap()
        .iter()
        .map(|part| part.to_str().unwrap())
        .collect();
    parts.join("/")
}
