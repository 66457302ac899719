//! What each command comes to: on a log as it should be, on one that somebody or something has damaged, and on none.

mod damaged;
mod kinds;
mod page;
mod signatures;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use duramen::evidence::log::{Checkpoint, DurableLog};
use duramen::{Authorizer, Request};

use crate::command::{Arguments, Verdict, told};
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
    // What no record has read is filled in under the schema, by which the owner is an entity and not a record.
    let candidate = scratch.at("candidate");
    fs::create_dir(&candidate).unwrap();
    for file in fs::read_dir(&policies).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, Path::new(&candidate).join(path.file_name().unwrap())).unwrap();
    }
    fs::write(
        Path::new(&candidate).join("more.cedar"),
        r#"@id("others-files") forbid (principal is Service, action, resource) unless { [User::"alice", User::"bob"].contains(resource.owner) };"#,
    )
    .unwrap();
    comes_to(
        &[
            "whatif",
            &log,
            &candidate,
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
    page::well_formed(&fs::read_to_string(page).unwrap());
}
