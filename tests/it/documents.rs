//! What README and docs refer to is there: files, headings, examples, benchmarks, tests.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, CHANGELOG and the pages in `docs`, with their text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let top = std::fs::read_dir(root()).unwrap();
    let top = top.map(|entry| entry.unwrap().path());
    docs.chain(top)
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// The targets of links and pictures: `](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

/// The anchors of a page's headings, as the field's renderers make them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    let mut count = 0;
    for (path, text) in pages() {
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => path.parent().unwrap().join(file),
            };
            let found = match anchor {
                "" => target.exists(),
                _ => std::fs::read_to_string(&target)
                    .is_ok_and(|page| anchors(&page).contains(anchor)),
            };
            if !found {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count > 10, "only {count} links");
}

/// Words after `flag` in commands: `--example quickstart`.
fn named<'t>(text: &'t str, flag: &str) -> Vec<&'t str> {
    let mut named = Vec::new();
    for line in text.lines().filter(|line| line.contains("cargo ")) {
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            if word.trim_start_matches('`') == flag
                && let Some(name) = words.next()
            {
                named.push(name.trim_end_matches(['`', '.', ',', ';', ':', ')']));
            }
        }
    }
    named
}

#[test]
fn commands_name_what_there_is() {
    let exists = |folder: &str, name: &str| {
        let path = root().join(folder).join(name);
        path.join("main.rs").is_file() || path.with_extension("rs").is_file()
    };
    let mut missing = Vec::new();
    let mut count = 0;
    for (path, text) in pages() {
        for (flag, folders) in [
            ("--example", &["examples"][..]),
            ("--bench", &["benches"]),
            // `loom` is a package of its own, with tests of its own.
            ("--test", &["tests", "tests/loom/tests"]),
        ] {
            for name in named(&text, flag) {
                count += 1;
                if !folders.iter().any(|folder| exists(folder, name)) {
                    missing.push(format!("{}: {flag} {name}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 10, "only {count} commands");
}

/// Where a page says that something is, there is something.
#[test]
fn paths_that_pages_name_exist() {
    let mut missing = Vec::new();
    let mut count = 0;
    for (path, text) in pages() {
        for code in text.split('`').skip(1).step_by(2) {
            let folders = ["src/", "tests/", "examples/", "benches/", "docs/", "fuzz/"];
            let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
            if folders.iter().any(|folder| code.starts_with(folder)) && code.chars().all(is_path) {
                count += 1;
                if !root().join(code).exists() {
                    missing.push(format!("{}: {code}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 30, "only {count} paths");
}

/// Every source file of the crate and its tests, as one text for each.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Every source file in a folder of the crate.
pub(super) fn sources_of(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    sources(&root().join(folder), &mut found);
    found
}

/// A claim's evidence is written `module::a_test_with_its_name`; what has three underscores or more is taken for one, but
/// for the values that members of records have.
#[test]
fn tests_that_pages_name_exist() {
    let code = ["src", "tests", "fuzz/src"].map(sources_of).concat();
    let functions: HashSet<&str> = code
        .iter()
        .flat_map(|text| text.split("fn ").skip(1))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .collect();
    let mut missing = Vec::new();
    let mut count = 0;
    for (path, text) in pages() {
        for code in text.split('`').skip(1).step_by(2) {
            let name = code.rsplit("::").next().unwrap_or(code);
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let is_value = path.ends_with("docs/evidence.md") && !code.contains("::");
            if is_value || name.matches('_').count() < 3 || !name.chars().all(is_name) {
                continue;
            }
            count += 1;
            if !functions.contains(name) {
                missing.push(format!("{}: {code}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 5, "only {count} tests named");
}
