//! What does it cost to load a million entities? Time and memory, each beside its threshold, with a progress bar.
//!
//! ```text
//! cargo run --release --example load -- [--json] [--quick] [--cedar] [DIR]
//! ```
//!
//! DIR is a scenario as `compare` takes them: its `entities.json` is loaded from the file, with its policies and schema.
//! Without DIR, a million entities of a document store are written to a temporary file of 250 MB and loaded from there as
//! a stream; then the same number is loaded from an iterator of typed values. `--quick` loads 100,000. `--cedar` loads them
//! into `cedar_policy::Entities` as well, for comparison: that takes a minute and nine gigabytes.
//!
//! Each load runs in a process of its own, so that its memory is its own.

#[allow(dead_code, reason = "shared with `search`; each uses a part")]
mod figures;
#[allow(dead_code, reason = "shared with `search`; each uses a part")]
mod world;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use duramen::{Authorizer, Entities, Entity, EntityProgress, EntityUidRef, Limits};

use figures::Figure;
use world::World;

/// The first argument of the processes that this one starts.
const CHILD: &str = "--load-child";

/// Seconds and megabytes for a million entities.
const SECONDS: f64 = 5.0;
const RESIDENT: f64 = 600.0;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut flag = |flag: &str| {
        let before = args.len();
        args.retain(|arg| arg != flag);
        args.len() < before
    };
    let is_child = flag(CHILD);
    let (json, quick, cedar) = (flag("--json"), flag("--quick"), flag("--cedar"));
    let entities = if quick { 100_000 } else { 1_000_000 };
    let done = if is_child {
        child(&args)
    } else {
        parent(args.first().map(String::as_str), entities, cedar, json)
    };
    match done {
        Ok(holds) => ExitCode::from(u8::from(!holds)),
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the loads and prints what they cost. Whether every threshold holds.
fn parent(
    directory: Option<&str>,
    entities: usize,
    cedar: bool,
    json: bool,
) -> Result<bool, Box<dyn Error>> {
    let count = entities.to_string();
    let written = match directory {
        None => Some(Written::new(entities)?),
        Some(_) => None,
    };
    let mut runs = match (directory, &written) {
        (None, Some(written)) => vec![("stream", written.0.as_str()), ("iterator", count.as_str())],
        (directory, _) => vec![("scenario", directory.unwrap_or_default())],
    };
    if cedar {
        runs.push(("cedar", runs[0].1));
    }
    let mut holds = true;
    for (way, of) in runs {
        let output = Command::new(std::env::current_exe()?)
            .args([CHILD, way, of])
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
        let &[seconds, resident, peak, loaded] = &numbers[..] else {
            return Err(format!("{way} of {of} has not been loaded").into());
        };
        let what = |what: &str| format!("{way}, {loaded} entities: {what}");
        let mut figures = vec![
            Figure::new(what("time"), seconds, "s"),
            Figure::new(what("resident afterwards"), resident, "MB"),
            Figure::new(what("resident at the peak"), peak, "MB"),
        ];
        // The thresholds are for this many.
        if way == "stream" && entities == 1_000_000 {
            let [time, resident, peak] = figures.try_into().map_err(|_| "three figures")?;
            figures = vec![time.at_most(SECONDS), resident.at_most(RESIDENT), peak];
        }
        for figure in figures {
            figure.print(json);
            holds &= figure.holds();
        }
    }
    Ok(holds)
}

/// A temporary file of entities.
struct Written(String);

impl Written {
    fn new(entities: usize) -> Result<Self, Box<dyn Error>> {
        let name = format!("duramen-load-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let written = Self(path.display().to_string());
        let mut file = BufWriter::new(File::create(path)?);
        std::io::copy(&mut World::of_entities(entities).json(), &mut file)?;
        file.flush()?;
        Ok(written)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which cleans its directory of temporary files.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Loads in one way; prints seconds, megabytes and the number of entities.
fn child(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let [way, of] = args else {
        return Err("a way to load, and what".into());
    };
    let mut builder = Authorizer::builder().limits(Limits::default().with_input_bytes(1 << 30));
    let started = Instant::now();
    let (count, loaded): (usize, Box<dyn std::any::Any>) = match way.as_str() {
        "cedar" => {
            let path = Path::new(of);
            let text = if path.is_dir() {
                std::fs::read_to_string(path.join("entities.json"))?
            } else {
                std::fs::read_to_string(path)?
            };
            let entities = cedar_policy::Entities::from_json_str(&text, None)?;
            (entities.len(), Box::new(entities))
        }
        "scenario" => {
            let directory = Path::new(of);
            builder = builder
                .validate_policies(false)
                .policies(std::fs::read_to_string(directory.join("policies.cedar"))?.as_str());
            let schema = directory.join("schema.cedarschema");
            if schema.exists() {
                builder = builder.schema_file(schema);
            }
            let entities = Entities::new().json_file(directory.join("entities.json"));
            let authorizer = builder.entities(entities.on_progress(bar(None))).build()?;
            eprintln!();
            (authorizer.entity_count(), Box::new(authorizer))
        }
        "stream" => {
            let entities = Entities::new().json_stream(File::open(of)?);
            let bar = bar(Some(std::fs::metadata(of)?.len()));
            let authorizer = builder.entities(entities.on_progress(bar)).build()?;
            eprintln!();
            (authorizer.entity_count(), Box::new(authorizer))
        }
        _ => {
            let authorizer = builder.entities(typed(of.parse()?)).build()?;
            (authorizer.entity_count(), Box::new(authorizer))
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{seconds} {} {} {count}",
        megabytes("VmRSS"),
        megabytes("VmHWM")
    );
    drop(loaded);
    Ok(true)
}

/// Users in groups and their documents, made one after the other from typed values.
fn typed(count: usize) -> Entities {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        owner: duramen::values::EntityRef<'a>,
        dept: &'a str,
        sensitivity: i64,
        public: bool,
    }
    let mut entities = Entities::new();
    for number in 0..count {
        let id = world::doc(number);
        let (owner, folder) = (
            world::user(world::pick(number, count)),
            world::folder(world::pick(number + 1, count.div_ceil(10))),
        );
        let attrs = Document {
            owner: duramen::values::EntityRef::new("Acme::User", &owner),
            dept: "engineering",
            sensitivity: 3,
            public: number % 10 == 0,
        };
        let parents = [EntityUidRef::new("Acme::Folder", &folder)];
        entities.extend([Entity::new(("Acme::Doc", id.as_str()))
            .attrs(&attrs)
            .parents(&parents)]);
    }
    entities
}

/// A progress bar. A stream does not know its length; here it is known from elsewhere.
fn bar(length: Option<u64>) -> impl Fn(EntityProgress) + Send + Sync {
    const WIDTH: usize = 40;
    let started = Instant::now();
    let last = std::sync::Mutex::new(None::<Instant>);
    move |progress| {
        let total = progress.total_bytes().or(length).unwrap_or_default();
        let share = progress.bytes() as f64 / total.max(1) as f64;
        // Not more often than one can see; always at the end, and only there for a file.
        let Ok(mut last) = last.lock() else { return };
        let due = std::io::stderr().is_terminal()
            && last.is_none_or(|last| last.elapsed() > Duration::from_millis(50));
        if !due && share < 0.999 {
            return;
        }
        *last = Some(Instant::now());
        let full = (share.clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
        eprint!(
            "\r[{}{}] {:>9} entities, {:>6.1} MB, {:>5.1} s",
            "#".repeat(full),
            " ".repeat(WIDTH - full),
            progress.entities(),
            progress.bytes() as f64 / 1e6,
            started.elapsed().as_secs_f64(),
        );
        let _ = std::io::stderr().flush();
    }
}

/// What the system says that this process takes; not a number where it does not say.
fn megabytes(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}
