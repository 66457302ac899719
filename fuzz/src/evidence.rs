//! What reads evidence: logs that anybody may have written to, and records as they stand there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duramen::evidence::log::{Checkpoint, DurableLog, SyncPolicy, Verification, verify};
use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::replay::{ArchivedPolicies, PolicyArchive, Replayed};
use duramen::{Authorizer, Delegation, Request};
use sha2::{Digest, Sha256};

/// What decides the records of the corpus.
const POLICIES: &str = r#"
@owner("a")
permit(principal in Group::"g", action, resource) when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };
permit(principal == ?principal, action, resource) when { principal.level > 1 && resource.hasTag("t") };
forbid(principal, action, resource) when { context.n * 2 > resource.owner.level };
permit(principal, action == Action::"view", resource) unless { context.at < datetime("2024-01-01") };
"#;

const ENTITIES: &str = r#"[
{ "uid": { "type": "User", "id": "u" }, "attrs": { "level": 2, "more": { "set": [1, "a"] } }, "parents": [{ "type": "Group", "id": "g" }] },
{ "uid": { "type": "Agent", "id": "a" }, "attrs": { "level": 1 }, "parents": [] },
{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "owner": { "__entity": { "type": "User", "id": "u" } } }, "parents": [], "tags": { "t": 1 } }
]"#;

const CONTEXTS: [&str; 4] = [
    r#"{ "n": 1, "ip": { "__extn": { "fn": "ip", "arg": "10.0.0.1" } }, "at": { "__extn": { "fn": "datetime", "arg": "2024-02-29" } } }"#,
    r#"{ "n": 9223372036854775807 }"#,
    r#"{ "n": "text", "deep": { "a": [{ "b": {} }], "": "\u0000\n" } }"#,
    "[]",
];

fn policies() -> duramen::Policies {
    let user = duramen::EntityUidRef::new("User", "u");
    duramen::Policies::new()
        .text(POLICIES)
        .link("policy1", "link", Some(user), None)
}

/// Decides all that the corpus has, into the sink.
fn decide(sink: impl duramen::evidence::DecisionSink + 'static) -> Authorizer {
    let authorizer = Authorizer::builder()
        .policies(policies())
        .entities(ENTITIES)
        .sink(sink)
        .build()
        .unwrap();
    for context in CONTEXTS {
        for principal in [("User", "u"), ("Agent", "a"), ("User", "nobody")] {
            let request = Request::new(principal, ("Action", "view"), ("Doc", "d"));
            let _ = authorizer.is_allowed(&request.context_json(context));
            let _ = authorizer.is_allowed(&request.context_json(context).entities_json(ENTITIES));
        }
    }
    let actors = [("Agent", "a").into(), ("Agent", "b").into()];
    let delegation = Delegation::new(&actors);
    let request = Request::new(("User", "u"), ("Action", "view"), ("Doc", "d"));
    let _ = authorizer.is_allowed(&request.delegation(&delegation).context_json(CONTEXTS[0]));
    authorizer
}

/// Some logs: in one segment, in several, and with the first of these removed.
pub(crate) fn logs() -> Vec<Vec<u8>> {
    let directory = Temporary::new("corpus");
    let mut logs = Vec::new();
    let sizes = [(u64::MAX, u64::MAX), (4_096, u64::MAX), (4_096, 8_192)];
    for (number, (segment_bytes, keep_bytes)) in sizes.into_iter().enumerate() {
        for inputs in [true, false] {
            let path = directory.0.join(format!("{number}-{inputs}"));
            let options = DurableLog::options(&path)
                .sync(SyncPolicy::Never)
                .segment_bytes(segment_bytes)
                .keep_bytes(keep_bytes);
            let options = if inputs {
                options
            } else {
                options.without_inputs()
            };
            let log = Arc::new(options.open().unwrap());
            drop(decide(Arc::clone(&log)));
            drop(log);
            let segments = segments(&path).into_iter();
            let segments: Vec<_> = segments.map(|path| std::fs::read(path).unwrap()).collect();
            logs.push(segments.join(&SEGMENT));
        }
    }
    logs
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    files
}

/// Records as lines.
pub(crate) fn lines() -> Vec<String> {
    let sink = Arc::new(MemorySink::new(1_000));
    drop(decide(Arc::clone(&sink)));
    let records = sink.records();
    records
        .iter()
        .map(|record| serde_json::to_string(record).unwrap())
        .collect()
}

/// Where a segment begins in the bytes of [`log`]: nothing that is written has it.
const SEGMENT: u8 = 0x0c;

/// A log of any bytes, in one segment or several: it is verified, changed, verified against a checkpoint from before that,
/// opened, written to, and verified again.
///
/// The first byte says what is done, its lowest bit that the hashes of the lines are made to fit, so that what the lines say
/// is met too; the second which lines are changed.
pub fn log(bytes: &[u8]) {
    thread_local! {
        static DIRECTORY: Temporary = Temporary::new("log");
    }
    let [kind, pick, bytes @ ..] = bytes else {
        return;
    };
    DIRECTORY.with(|Temporary(directory)| {
        let mended = match kind & 1 {
            1 => mended(bytes),
            _ => bytes.to_vec(),
        };
        put(directory, &mended, 0);
        let mut before = verify(directory, None).unwrap();
        let changed = changed(&mended, kind >> 4, usize::from(*pick));
        let misnamed = kind >> 4 == 7 && mended.contains(&SEGMENT);
        if changed != mended || misnamed {
            let checkpoint = Checkpoint::of(directory);
            put(directory, &changed, u64::from(misnamed));
            let after = verify(directory, None).unwrap();
            if let Ok(checkpoint) = checkpoint {
                let checkpoint = Checkpoint::from_json(&checkpoint.to_json()).unwrap();
                let compared = verify(directory, Some(&checkpoint)).unwrap();
                let is_empty = before.count() == 0;
                // Whoever leaves out the beginning of a line does what a repair does.
                let is_repaired = changed == acknowledged(&mended, &before);
                assert!(
                    is_empty || is_repaired || !compared.is_fine(),
                    "{before:?}, then {compared:?}"
                );
                let _ = compared.finding().map(ToString::to_string);
            }
            before = after;
        }
        // What a repair does is under test; what it takes to write anything is not.
        if kind & 2 == 0 {
            return;
        }
        let options = DurableLog::options(directory).sync(SyncPolicy::Never);
        let options = match kind & 4 {
            0 => options,
            _ => options.segment_bytes(4_096).keep_bytes(16_384),
        };
        let Ok(log) = options.open() else {
            // What is torn is repaired.
            assert!(!before.is_fine(), "a log that is fine is not opened");
            return;
        };
        let log = Arc::new(log);
        drop(decide(Arc::clone(&log)));
        drop(log);
        let after = verify(directory, None).unwrap();
        if before.is_fine() {
            assert!(after.is_fine(), "{before:?}, then {after:?}");
            assert!(after.count() > before.count());
        }
    });
}

/// The bytes as the segments of a log; `misnamed` is by how much the names of all but the first are wrong.
fn put(directory: &Path, bytes: &[u8], misnamed: u64) {
    for path in segments(directory) {
        std::fs::remove_file(path).unwrap();
    }
    let mut lines = 0;
    for (number, segment) in bytes.split(|byte| *byte == SEGMENT).take(16).enumerate() {
        let name = match number {
            0 => 0,
            _ => lines + misnamed,
        };
        let path = directory.join(format!("{name:020}.jsonl"));
        std::fs::write(path, segment).unwrap();
        lines += segment.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// Without the beginning of a line that was never finished.
fn acknowledged<'b>(bytes: &'b [u8], seen: &Verification) -> &'b [u8] {
    match seen.finding() {
        Some(finding) if !finding.is_tampering() => {
            let end = bytes.iter().rposition(|byte| *byte == b'\n');
            &bytes[..end.map_or(0, |end| end + 1)]
        }
        _ => bytes,
    }
}

/// With a line left out, moved, written twice, altered, or with all from one on left out.
fn changed(bytes: &[u8], how: u8, pick: usize) -> Vec<u8> {
    let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let at = pick % lines.len();
    let altered: Vec<u8> = lines[at]
        .iter()
        .map(|byte| byte ^ u8::from(*byte == b'1'))
        .collect();
    match how {
        1 => drop(lines.remove(at)),
        2 => lines.swap(at, 0),
        3 => lines.insert(at, lines[at]),
        4 => lines.truncate(at),
        5 => lines[at] = &altered,
        6 => lines.rotate_left(at),
        _ => {}
    }
    lines.concat()
}

/// Each line that has a place in a chain, with the place that it should have.
fn mended(bytes: &[u8]) -> Vec<u8> {
    const CHAIN: &[u8] = b"\"chain\":{";
    const ENTRY: &[u8] = b"\"entry\":\"";
    let find = |line: &[u8], what: &[u8]| line.windows(what.len()).rposition(|part| part == what);
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let (mut prev, mut index) = ("0".repeat(64), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(at) = find(line, CHAIN) else {
            out.extend_from_slice(line);
            continue;
        };
        let rest = &line[at..];
        let entry = find(rest, ENTRY).map_or(&b""[..], |at| &rest[at + ENTRY.len()..]);
        let entry = ["gap", "cut", "removed"]
            .into_iter()
            .find(|kind| entry.starts_with(kind.as_bytes()))
            .unwrap_or("decision");
        let start = out.len();
        out.extend_from_slice(&line[..at]);
        let place =
            format!(r#""chain":{{"format":1,"index":{index},"entry":"{entry}","prev":"{prev}"#);
        out.extend_from_slice(place.as_bytes());
        let digest = Sha256::digest(&out[start..]);
        prev = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        out.extend_from_slice(format!("\",\"hash\":\"{prev}\"}}}}\n").as_bytes());
        index += 1;
    }
    out
}

/// A record of any text: it is read, written, decided again by both engines, which agree, and explained.
pub fn records(bytes: &[u8]) {
    thread_local! {
        static ARCHIVED: ArchivedPolicies = {
            let directory = Temporary::new("archive");
            let archive = PolicyArchive::open(&directory.0).unwrap();
            let authorizer = Authorizer::builder().policies(policies()).build().unwrap();
            let digest = archive.keep(&authorizer).unwrap();
            archive.load(digest).unwrap()
        };
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(record) = serde_json::from_str::<OwnedRecord>(text) else {
        return;
    };
    let written = serde_json::to_string(&record).unwrap();
    let read: OwnedRecord = serde_json::from_str(&written).unwrap();
    // No record has a float in it, and `serde_json` does not read all of them back to the bit.
    if !has_float(&serde_json::to_value(&record).unwrap()) {
        assert_eq!(record, read);
    }
    ARCHIVED.with(|archived| {
        if let Replayed::Decided { duramen, cedar } = archived.replay(&record) {
            assert_eq!(duramen, cedar, "{text}");
        }
        let _ = archived.explain(&record);
        let _ = archived.cedar_files(&record);
    });
}

fn has_float(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.is_f64(),
        serde_json::Value::Array(items) => items.iter().any(has_float),
        serde_json::Value::Object(members) => members.values().any(has_float),
        _ => false,
    }
}

/// A directory that is removed.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("duramen-fuzz-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
