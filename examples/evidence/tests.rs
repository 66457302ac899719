//! What each command comes to: on a log as it should be, on one that somebody or something has damaged, and on none.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use duramen::evidence::log::{Checkpoint, DurableLog};
use duramen::evidence::{DecisionSink, Mask, MaskSink, Masks};
use duramen::replay::PolicyArchive;
use duramen::{
    Authorizer, Builder, Delegation, EntityUidRef, Freshness, Outcome, Policies, Request,
};

use crate::command::{Arguments, Verdict, told};
use crate::report::Page;
use crate::{COMMANDS, records};

/// A directory of its own for a test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("duramen-commands-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The path of something in it.
    fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a command line comes to.
fn run(words: &[&str]) -> Result<Verdict, String> {
    let command = COMMANDS.iter().find(|command| command.name == words[0]);
    let words = words[1..].iter().map(|word| (*word).to_owned());
    let done = Arguments::read(command.unwrap(), words);
    done.and_then(|arguments| (command.unwrap().run)(&arguments))
        .map_err(|error| told(&*error))
}

/// The same as text and as JSON.
#[track_caller]
fn comes_to(words: &[&str], expected: Verdict) {
    assert_eq!(run(words), Ok(expected), "{words:?}");
    let json = [words, &["--json"]].concat();
    assert_eq!(run(&json), Ok(expected), "{json:?}");
}

/// It cannot be carried out, and `what` is told.
#[track_caller]
fn fails(words: &[&str], what: &str) {
    let told = run(words).expect_err(&format!("{words:?}"));
    assert!(told.contains(what), "{words:?}: {told}");
}

/// A log of the demonstration, and a checkpoint of it.
fn demo(scratch: &Scratch) -> (String, String) {
    static MADE: LazyLock<Scratch> = LazyLock::new(|| {
        let made = Scratch::new();
        assert_eq!(run(&["demo", &made.at("log")]), Ok(Verdict::Fine));
        made
    });
    let (log, checkpoint) = (scratch.at("log"), scratch.at("checkpoint"));
    copy(&MADE.0.join("log"), log.as_ref());
    let taken = Checkpoint::of(&log).unwrap();
    fs::write(&checkpoint, taken.to_json()).unwrap();
    (log, checkpoint)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = entry
            .map(|entry| (entry.path(), to.join(entry.file_name())))
            .unwrap();
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(&entry, &to).unwrap();
        }
    }
}

fn segments(log: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    segments.sort();
    segments
}

#[test]
fn commands_on_a_log_as_it_should_be() {
    let scratch = Scratch::new();
    let (log, checkpoint) = demo(&scratch);
    let changed = format!("{log}/changed.cedar");
    let mut id = String::new();
    let _ = records::each(log.as_ref(), |record| id = record.id).unwrap();
    comes_to(&["verify", &log], Verdict::Fine);
    comes_to(
        &["verify", &log, "--checkpoint", &checkpoint],
        Verdict::Fine,
    );
    comes_to(&["checkpoint", &log], Verdict::Fine);
    comes_to(&["replay", &log], Verdict::Fine);
    for name in ["5", "req-5", &id] {
        comes_to(&["explain", &log, name], Verdict::Fine);
        comes_to(
            &["export", &log, name, &scratch.at("export")],
            Verdict::Fine,
        );
    }
    comes_to(&["explain", &log, "5", "--hop", "0"], Verdict::Fine);
    comes_to(&["explain", &log, "5", "--hop", "1"], Verdict::Finding);
    comes_to(&["explain", &log, "nobody"], Verdict::Finding);
    comes_to(&["whatif", &log, &changed], Verdict::Finding);
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart");
    let [policies, schema, entities] = ["policies", "schema.cedarschema", "entities.json"]
        .map(|name| format!("{quickstart}/{name}"));
    comes_to(
        &[
            "whatif",
            &log,
            &policies,
            "--schema",
            &schema,
            "--entities",
            &entities,
        ],
        Verdict::Fine,
    );
    comes_to(&["usage", &log], Verdict::Finding);
    let page = scratch.at("page.html");
    comes_to(&["report", &log, &page], Verdict::Fine);
    comes_to(
        &[
            "report",
            &log,
            &page,
            "--policies",
            &changed,
            "--checkpoint",
            &checkpoint,
        ],
        Verdict::Fine,
    );
    let page = fs::read_to_string(page).unwrap();
    let written = fs::read_to_string(format!("{log}/report.html")).unwrap();
    assert_eq!(page, written, "what `demo` wrote");
    fails(&["demo", &log], "holds a log already");
    // Another process writes on.
    let authorizer = Authorizer::builder().policies("permit(principal, action, resource);");
    let authorizer = authorizer
        .sink(DurableLog::open(&log).unwrap())
        .build()
        .unwrap();
    let request = Request::new(("User", "alice"), ("Action", "read"), ("Document", "audit"));
    assert!(authorizer.is_allowed(&request.request_id("req-5")));
    drop(authorizer);
    fails(&["explain", &log, "req-5"], "name one of them");
    // Another log does not pass for this one.
    let other = scratch.at("other");
    let sink = DurableLog::open(&other).unwrap();
    let authorizer = Authorizer::builder().sink(sink).build().unwrap();
    assert!(!authorizer.is_allowed(&Request::new(("User", "a"), ("Action", "b"), ("Doc", "c"))));
    drop(authorizer);
    comes_to(&["verify", &other], Verdict::Fine);
    let words = ["verify", &other, "--checkpoint", &checkpoint];
    comes_to(&words, Verdict::Finding);
}

#[test]
fn commands_on_a_damaged_log() {
    type Damage = fn(&str);
    fn change(segment: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(segment).unwrap();
        change(&mut bytes);
        fs::write(segment, bytes).unwrap();
    }
    // What is done, what verifying comes to without and with a checkpoint, and what replaying does.
    let damages: [(&str, Damage, [Verdict; 3]); 6] = [
        (
            "a byte that makes a line no JSON",
            |log| change(&segments(log)[0], |bytes| bytes[0] ^= 1),
            [Verdict::Finding; 3],
        ),
        (
            "a byte that is no text",
            |log| change(&segments(log)[0], |bytes| bytes[200] = 0xff),
            [Verdict::Finding; 3],
        ),
        (
            "another decision",
            |log| {
                change(&segments(log)[0], |bytes| {
                    let text = String::from_utf8(std::mem::take(bytes)).unwrap();
                    let deny = "\"decision\":\"deny\"";
                    assert!(text.contains(deny));
                    *bytes = text
                        .replacen(deny, "\"decision\":\"allow\"", 1)
                        .into_bytes();
                });
            },
            [Verdict::Finding; 3],
        ),
        (
            "a segment removed",
            |log| fs::remove_file(&segments(log)[1]).unwrap(),
            [Verdict::Finding, Verdict::Finding, Verdict::Fine],
        ),
        (
            "the last segment removed",
            |log| fs::remove_file(segments(log).last().unwrap()).unwrap(),
            [Verdict::Fine, Verdict::Finding, Verdict::Fine],
        ),
        (
            "a torn tail",
            |log| {
                change(segments(log).last().unwrap(), |bytes| {
                    bytes.truncate(bytes.len() - 100)
                })
            },
            [Verdict::Finding; 3],
        ),
    ];
    let scratch = Scratch::new();
    let (whole, checkpoint) = demo(&scratch);
    for (number, (what, damage, [plain, checked, replayed])) in damages.into_iter().enumerate() {
        println!("\n{what}:");
        let log = scratch.at(&number.to_string());
        copy(whole.as_ref(), log.as_ref());
        let policies = Path::new(&log).join("policies");
        damage(&log);
        let check =
            |words: &[&str], expected| assert_eq!(run(words), Ok(expected), "{what}: {words:?}");
        check(&["verify", &log], plain);
        check(&["verify", &log, "--checkpoint", &checkpoint], checked);
        check(&["replay", &log], replayed);
        let torn = what == "a torn tail";
        check(
            &["checkpoint", &log],
            if torn { Verdict::Fine } else { plain },
        );
        // What can be read is made use of.
        check(&["explain", &log, "9"], Verdict::Fine);
        check(&["usage", &log], Verdict::Finding);
        check(
            &["whatif", &log, &format!("{whole}/changed.cedar")],
            Verdict::Finding,
        );
        let page = scratch.at("page.html");
        let seen = if plain == Verdict::Fine {
            replayed
        } else {
            Verdict::Finding
        };
        check(&["report", &log, &page], seen);
        // Policies that are another's, and none.
        fs::remove_dir_all(&policies).unwrap();
        check(&["replay", &log], Verdict::Finding);
        check(&["explain", &log, "9"], Verdict::Finding);
        fails(&["usage", &log], "there are no policies in");
        fails(
            &["export", &log, "9", &scratch.at("export")],
            "there are no policies in",
        );
        assert!(!policies.exists(), "who looks at a log leaves it as it is");
    }
}

#[test]
fn what_cannot_be_carried_out_says_why() {
    let scratch = Scratch::new();
    let (log, checkpoint) = demo(&scratch);
    let (nothing, empty, file) = (
        scratch.at("nothing"),
        scratch.at("empty"),
        scratch.at("file"),
    );
    fs::create_dir(&empty).unwrap();
    fs::write(&file, "no log").unwrap();
    let out = scratch.at("out");
    for command in [
        "verify",
        "checkpoint",
        "replay",
        "usage",
        "whatif",
        "explain",
        "export",
        "report",
    ] {
        let more = COMMANDS.iter().find(|known| known.name == command).unwrap();
        let more: &[&str] = match more.takes {
            1 => &[],
            2 if command == "whatif" => &[concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/examples/quickstart/policies"
            )],
            2 => &[&out],
            _ => &["5", &out],
        };
        for (log, what) in [
            (&nothing, &*nothing),
            (&file, &*file),
            (&empty, "holds no log"),
        ] {
            fails(&[&[command, log], more].concat(), what);
        }
        fails(&[command], "usage: evidence");
        fails(
            &[&[command, &log], more, &["more"]].concat(),
            "usage: evidence",
        );
        fails(
            &[&[command, &log], more, &["--wrong"]].concat(),
            "--wrong is not known",
        );
    }
    assert!(!Path::new(&nothing).exists() && !Path::new(&out).exists());
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    fails(&["verify", &log, "--checkpoint"], "needs a value");
    let twice = ["--checkpoint", &checkpoint, "--checkpoint", &file];
    fails(&[&["verify", &log], &twice[..]].concat(), "given twice");
    fails(&["verify", &log, "--checkpoint", &nothing], &nothing);
    fails(
        &["verify", &log, "--checkpoint", &file],
        "the checkpoint is not valid",
    );
    fails(&["whatif", &log, &nothing], &nothing);
    fails(&["whatif", &log, &file], &file);
    let changed = format!("{log}/changed.cedar");
    for option in ["--schema", "--entities"] {
        fails(&["whatif", &log, &changed, option, &nothing], &nothing);
        fails(&["whatif", &log, &changed, option, &file], &file);
    }
    fails(
        &["explain", &log, "5", "--hop", "first"],
        "no number of a hop",
    );
    fails(&["export", &log, "nobody", &out], "has no record nobody");
    // Where nothing can be written.
    let below = format!("{file}/below");
    fails(&["export", &log, "5", &below], &below);
    fails(&["report", &log, &below], &below);
    fails(
        &["report", &log, &out, "--checkpoint", &file],
        "the checkpoint is not valid",
    );
    fails(&["demo", &below], &below);
    comes_to(
        &["verify", &log, "--checkpoint", &checkpoint],
        Verdict::Fine,
    );
}

/// A log that nothing has been written to yet.
#[test]
fn commands_on_an_empty_log() {
    let scratch = Scratch::new();
    let log = scratch.at("log");
    drop(DurableLog::open(&log).unwrap());
    for command in ["verify", "checkpoint", "replay"] {
        comes_to(&[command, &log], Verdict::Fine);
    }
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/policies");
    comes_to(&["whatif", &log, policies], Verdict::Fine);
    comes_to(&["explain", &log, "1"], Verdict::Finding);
    fails(&["usage", &log], "no decisions");
    let page = scratch.at("page.html");
    comes_to(
        &["report", &log, &page, "--policies", policies],
        Verdict::Fine,
    );
    well_formed(&fs::read_to_string(page).unwrap());
}

/// Adds what a service with these settings decides to a log, and its policies to the archive.
fn decide(
    log: &str,
    build: impl FnOnce(Builder, DurableLog) -> Builder,
    ask: impl FnOnce(&Authorizer),
) {
    const POLICIES: &str = r#"
        @id("read") @owner("docs") permit(principal, action == Action::"read", resource);
        @id("edit") permit(principal is User, action == Action::"edit", resource) when { context.mfa };
        @id("mallory") forbid(principal == Agent::"mallory", action, resource);
    "#;
    let policies = Policies::new().text(POLICIES).ids_from_annotations();
    let builder = Authorizer::builder().policies(policies);
    let authorizer = build(builder, DurableLog::open(log).unwrap())
        .build()
        .unwrap();
    let archive = PolicyArchive::open(records::archive(log.as_ref())).unwrap();
    archive.keep(&authorizer).unwrap();
    ask(&authorizer);
}

/// A log of decisions of every kind: with actors, masked, on data that was too old, refused, without inputs, lost.
fn decisions_of_every_kind(log: &str) {
    let request = |action: &'static str, id: &'static str| {
        Request::new(("User", "ann"), ("Action", action), ("Doc", "plan")).request_id(id)
    };
    decide(
        log,
        |builder, log| builder.sink(log),
        |authorizer| {
            let outcome = |request: &Request<'_>| authorizer.is_authorized(request).outcome();
            let [planner, mallory] =
                ["planner", "mallory"].map(|id| EntityUidRef::new("Agent", id));
            for (id, agents, expected) in [
                ("by-planner", &[planner][..], Outcome::Allowed),
                ("by-mallory", &[planner, mallory], Outcome::Forbidden),
                ("in-a-circle", &[planner, planner], Outcome::DelegationCycle),
            ] {
                let delegation = Delegation::new(agents);
                let read = request("read", id).delegation(&delegation);
                assert_eq!(outcome(&read), expected);
            }
            let bad = request("read", "no-json").context_json("{");
            assert_eq!(outcome(&bad), Outcome::InvalidRequest);
            assert_eq!(outcome(&request("edit", "fails")), Outcome::NoPermit);
        },
    );
    let masks = Masks::new().path("context.mfa", Mask::Drop).unwrap();
    decide(
        log,
        |builder, log| builder.sink(MaskSink::new(log, masks).unwrap()),
        |authorizer| {
            let edit = request("edit", "masked").context_json(r#"{ "mfa": true }"#);
            assert!(authorizer.is_allowed(&edit));
        },
    );
    decide(
        log,
        |builder, log| {
            let bound = Freshness::new().max_policy_age(std::time::Duration::ZERO);
            builder.freshness(bound).sink(log)
        },
        |authorizer| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let outcome = authorizer
                .is_authorized(&request("read", "stale"))
                .outcome();
            assert_eq!(outcome, Outcome::StalePolicies);
        },
    );
    let lost = DurableLog::open(log).unwrap();
    lost.record_loss(3).unwrap();
    drop(lost);
    let without_inputs = |builder: Builder, opened: DurableLog| {
        drop(opened);
        builder.sink(DurableLog::options(log).without_inputs().open().unwrap())
    };
    decide(log, without_inputs, |authorizer| {
        assert!(authorizer.is_allowed(&request("read", "no-inputs")));
    });
}

#[test]
fn commands_on_decisions_of_every_kind() {
    let scratch = Scratch::new();
    let log = scratch.at("log");
    decisions_of_every_kind(&log);
    comes_to(&["verify", &log], Verdict::Fine);
    comes_to(&["replay", &log], Verdict::Fine);
    for id in ["by-planner", "by-mallory", "fails", "stale"] {
        comes_to(&["explain", &log, id], Verdict::Fine);
    }
    for id in ["in-a-circle", "no-json", "masked", "no-inputs"] {
        comes_to(&["explain", &log, id], Verdict::Finding);
    }
    for hop in ["0", "1", "2"] {
        comes_to(
            &["explain", &log, "by-mallory", "--hop", hop],
            Verdict::Fine,
        );
    }
    comes_to(
        &["explain", &log, "by-mallory", "--hop", "3"],
        Verdict::Finding,
    );
    let policies = scratch.at("policies.cedar");
    fs::write(&policies, "permit(principal is User, action, resource);").unwrap();
    comes_to(&["whatif", &log, &policies], Verdict::Finding);
    comes_to(&["usage", &log], Verdict::Fine);
    let (usage, _) = crate::usage::of(log.as_ref()).unwrap();
    assert_eq!((usage.decisions, usage.lost), (8, 3));
    let out = scratch.at("out");
    comes_to(&["export", &log, "fails", &out], Verdict::Fine);
    for (id, what) in [
        ("by-planner", "2 hops"),
        ("in-a-circle", "goes in a circle"),
        ("no-json", "could not be decided"),
        ("masked", "masked: context.mfa"),
        ("no-inputs", "no inputs"),
    ] {
        fails(&["export", &log, id, &out], what);
    }
    for hop in ["0", "1", "2"] {
        comes_to(
            &["export", &log, "by-mallory", &out, "--hop", hop],
            Verdict::Fine,
        );
    }
    let request = fs::read_to_string(format!("{out}/request.json")).unwrap();
    assert!(request.contains("mallory"), "{request}");
    fails(
        &["export", &log, "by-mallory", &out, "--hop", "3"],
        "no such hop",
    );
    let page = scratch.at("page.html");
    comes_to(
        &["report", &log, &page, "--policies", &policies],
        Verdict::Fine,
    );
    well_formed(&fs::read_to_string(page).unwrap());
}

/// A pair of keys, secret and public, in files: of RFC 8032, section 7.1, test 1.
#[cfg(feature = "signed-checkpoints")]
fn keys(scratch: &Scratch) -> (String, String) {
    let write = |name: &str, key: &str| {
        let file = scratch.at(name);
        fs::write(&file, format!("{key}\n")).unwrap();
        file
    };
    (
        write(
            "secret",
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        ),
        write(
            "public",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
    )
}

#[cfg(feature = "signed-checkpoints")]
#[test]
fn a_checkpoint_is_signed_and_its_signature_checked() {
    let scratch = Scratch::new();
    let (log, plain) = demo(&scratch);
    let (secret, public) = keys(&scratch);
    comes_to(&["checkpoint", &log, "--sign", &secret], Verdict::Fine);
    let signed = crate::keys::sign(Checkpoint::of(&log).unwrap(), secret.as_ref()).unwrap();
    let file = |name: &str, text: &str| {
        let file = scratch.at(name);
        fs::write(&file, text).unwrap();
        file
    };
    let text = signed.to_json();
    let signed = file("signed", &text);
    // The bytes themselves are a key too.
    let bytes = fs::read_to_string(&public).unwrap();
    let bytes: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&bytes[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let raw = scratch.at("raw");
    fs::write(&raw, bytes).unwrap();
    for key in [&public, &raw] {
        let words = ["verify", &log, "--checkpoint", &signed, "--key", key];
        comes_to(&words, Verdict::Fine);
    }
    comes_to(&["verify", &log, "--checkpoint", &signed], Verdict::Fine);
    // Of another key, of another checkpoint, and none.
    let forged = file("forged", &text.replace("\"count\":", "\"count\":1"));
    for (checkpoint, key) in [(&signed, &secret), (&forged, &public), (&plain, &public)] {
        let words = ["verify", &log, "--checkpoint", checkpoint, "--key", key];
        comes_to(&words, Verdict::Finding);
    }
    for bad in [&signed, &scratch.at("nothing"), &file("short", "d75a98")] {
        fails(
            &["verify", &log, "--checkpoint", &signed, "--key", bad],
            bad,
        );
        fails(&["checkpoint", &log, "--sign", bad], bad);
    }
    fails(
        &["verify", &log, "--key", &public],
        "give --checkpoint FILE",
    );
}

#[cfg(not(feature = "signed-checkpoints"))]
#[test]
fn without_the_feature_keys_are_refused() {
    let scratch = Scratch::new();
    let (log, checkpoint) = demo(&scratch);
    for words in [
        &["verify", &log, "--checkpoint", &checkpoint, "--key", "key"][..],
        &["checkpoint", &log, "--sign", "key"],
    ] {
        fails(words, "--features signed-checkpoints");
    }
    fails(&["verify", &log, "--key", "key"], "give --checkpoint FILE");
}

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
    let sink = std::sync::Arc::new(DurableLog::open(&log).unwrap());
    let authorizer = Authorizer::builder()
        .policies(Policies::new().text(policies).ids_from_annotations())
        .sink(std::sync::Arc::clone(&sink))
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
fn well_formed(html: &str) {
    const TAGS: &str = "html head meta title style body main header footer section div p h1 h2 h3 ul li span b svg g line \
        text rect details summary table caption thead tbody tr th td code pre";
    const ATTRIBUTES: &str = "lang charset name content http-equiv class style aria-label role viewBox x y x1 x2 y1 y2 width \
        height rx text-anchor scope";
    let body = html.strip_prefix("<!doctype html>").unwrap();
    let body = body.replace(include_str!("report.css"), "");
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
