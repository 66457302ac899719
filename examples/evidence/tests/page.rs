//! The page that `report` writes: what it is made of, and names that would make something else of it.

use std::fs;
use std::sync::Arc;

use duramen::evidence::log::DurableLog;
use duramen::replay::PolicyArchive;
use duramen::{Authorizer, Policies, Request};

use crate::command::Verdict;
use crate::records;
use crate::report::Page;

use super::{Scratch, comes_to};

/// Texts that would be markup, or turn the text around them, if they were not escaped.
const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</pre></style></title><svg/onload=alert(1)>&lt;",
    "admin\u{202e}txt.exe\u{200b}\u{0}\u{7f}\u{feff}",
];

#[test]
fn a_report_shows_hostile_names_as_they_are() {
    let scratch = Scratch::new();
    let log = scratch.at("log");
    let cedar = |text: &str| text.escape_debug().to_string().replace("\\'", "'");
    let policies: String = HOSTILE
        .iter()
        .map(|text| {
            let text = cedar(text);
            format!(
                "@id(\"{text}\") @owner(\"{text}\") @change(\"{text}\")\n\
                 permit(principal == User::\"{text}\", action, resource) when {{ context.x == \"{text}\" }};\n"
            )
        })
        .collect();
    let changed = scratch.at("changed.cedar");
    fs::write(&changed, policies.replace("context.x ==", "context.x !=")).unwrap();
    let sink = Arc::new(DurableLog::open(&log).unwrap());
    let authorizer = Authorizer::builder()
        .policies(Policies::new().text(policies).ids_from_annotations())
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let archive = PolicyArchive::open(records::archive(log.as_ref())).unwrap();
    archive.keep(&authorizer).unwrap();
    for text in HOSTILE {
        for x in [text, "<b>else</b>"] {
            let context = serde_json::json!({ "x": x }).to_string();
            let request = Request::new(("User", text), ("Action", text), ("Doc", text))
                .request_id(text)
                .context_json(&context);
            assert_eq!(authorizer.is_allowed(&request), x == text);
        }
    }
    drop((authorizer, sink));
    let page = Page::of(log.as_ref(), None, Some(changed.as_ref())).unwrap();
    assert!(page.is_fine(), "{:?}", page.replays);
    let what_if = page.what_if.as_ref().unwrap();
    assert_eq!((what_if.newly_allowed, what_if.newly_denied), (5, 5));
    let html = page.to_html();
    well_formed(&html);
    for text in ["&lt;script&gt;alert(1)", "\\u{202e}txt.exe\\u{200b}"] {
        assert!(html.contains(text), "{html}");
    }
    // Nor do the texts of other commands run in a terminal: they are told as JSON, or by their escapes.
    comes_to(&["replay", &log], Verdict::Fine);
}

/// The page has the tags and attributes that it is made of, and no others; and nothing that is not to be seen.
#[track_caller]
pub(super) fn well_formed(html: &str) {
    const TAGS: &str = "html head meta title style body main header footer section div p h1 h2 h3 ul li span b svg g line \
        text rect details summary table caption thead tbody tr th td code pre";
    const ATTRIBUTES: &str = "lang charset name content http-equiv class style aria-label role viewBox x y x1 x2 y1 y2 width \
        height rx text-anchor scope";
    let body = html.strip_prefix("<!doctype html>").unwrap();
    let body = body.replace(include_str!("../report.css"), "");
    let mut open = Vec::new();
    let mut rest = body.as_str();
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "{}", &rest[..at]);
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let is_alone = attributes.ends_with('/') || name == "meta";
        let name = name.trim_end_matches('/');
        assert!(
            TAGS.split_whitespace().any(|known| known == name),
            "<{tag}>"
        );
        let mut parts = attributes.trim_end_matches('/').split('"');
        while let (Some(attribute), Some(_value)) = (parts.next(), parts.next()) {
            let attribute = attribute.trim().trim_end_matches('=');
            let is_known = ATTRIBUTES
                .split_whitespace()
                .any(|known| known == attribute);
            assert!(is_known, "{attribute} of <{tag}>");
        }
        if !is_alone {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} is not closed");
    let unseen =
        |c: char| c.is_control() && c != '\n' || matches!(c, '\u{200b}' | '\u{202e}' | '\u{feff}');
    assert!(!html.contains(unseen));
    for outside in ["http:", "https:", "url(", "@import", "src=", "href="] {
        let shown = html.replace("img src=x", "");
        assert!(!shown.contains(outside), "{outside}");
    }
}
