//! `demo`: the whole way, from decisions to what their records show.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use duramen::evidence::log::{DurableLog, verify};
use duramen::replay::PolicyArchive;
use serde_json::json;

use crate::command::{Arguments, Command, Verdict};
use crate::report::Page;
use crate::text::plain;
use crate::{records, usage, verify as verifying, whatif, world};

pub(crate) const COMMAND: Command = Command {
    name: "demo",
    usage: "DIR",
    takes: 1,
    options: &[],
    run,
};

/// A day of decisions: every combination of principal, action, document and circumstances, four times.
const DECISIONS: usize = if cfg!(test) { 90 } else { 720 };

fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let directory = arguments.directory();
    if records::segments(directory).is_ok() {
        let directory = directory.display();
        return Err(
            format!("{directory} holds a log already; name a directory for a new one").into(),
        );
    }
    let log = Arc::new(
        DurableLog::options(directory)
            .segment_bytes(if cfg!(test) { 32 << 10 } else { 256 << 10 })
            .open()?,
    );
    let day = world::Day::default();
    let authorizer = world::authorizer(Arc::clone(&log), day.clock())?;
    // A change of the policies, tried out beside them.
    let changed = directory.join("changed.cedar");
    fs::write(&changed, world::changed_policies()?)?;
    authorizer.set_shadow(whatif::read(&changed))?;
    PolicyArchive::open(records::archive(directory))?.keep(&authorizer)?;
    let mut allowed = 0;
    world::ask(&authorizer, DECISIONS, |is_allowed| {
        allowed += usize::from(is_allowed)
    });
    let shadow = authorizer.shadow().ok_or("there is no shadow")?;
    let checkpoint = log.checkpoint()?;
    drop((authorizer, log));

    let page = Page::of(directory, Some(&checkpoint), Some(&changed))?;
    let copy = std::env::temp_dir().join(format!("duramen-evidence-{}", std::process::id()));
    let altered = alter(directory, &copy);
    let tampered = verify(&copy, None);
    fs::remove_dir_all(&copy)?;
    altered?;
    let tampered = tampered?;
    let file = directory.join("report.html");
    fs::write(&file, page.to_html())?;
    let Page {
        verification: untouched,
        replays,
        ..
    } = &page;
    let what_if = page.what_if.as_ref().ok_or("there was no candidate")?;
    let usage = page.usage.as_ref().map_err(String::clone)?;
    let explanation = page.explanation.as_ref();
    let (id, why) = explanation.ok_or("nothing was denied for want of a permit")?;
    if arguments.json {
        let report = json!({
            "directory": directory,
            "decisions": DECISIONS,
            "allowed": allowed,
            "checkpoint": checkpoint,
            "verification": verifying::as_json(untouched, true),
            "verification_of_altered_copy": verifying::as_json(&tampered, false),
            "replay": replays.as_json(),
            "explanation": { "id": id, "text": why },
            "whatif": what_if,
            "shadow": {
                "agreed": shadow.agreed,
                "newly_allowed": shadow.newly_allowed,
                "newly_denied": shadow.newly_denied,
            },
            "usage": usage,
            "report": file,
        });
        say!("{report}");
    } else {
        say!(
            "{DECISIONS} decisions, {allowed} of them allowed, in {}",
            directory.display()
        );
        say!("checkpoint: {}\n", checkpoint.to_json());
        say!("The log as it is:");
        verifying::print(untouched, true);
        say!("\nA copy of it in which a deny was made an allow:");
        verifying::print(&tampered, false);
        say!("\nDecided again:");
        replays.print();
        say!("\nWhy {id} was denied:\n{}", plain(why));
        say!("With the policies in {}:", changed.display());
        whatif::print(what_if);
        say!(
            "\nThose were the shadow meanwhile, and saw {} newly allowed and {} newly denied",
            shadow.newly_allowed,
            shadow.newly_denied
        );
        say!("\nWhat the policies did:");
        usage::print(usage);
        say!("\nAll of that, to look at: {}", file.display());
    }
    let agree = shadow.newly_allowed == what_if.newly_allowed
        && shadow.newly_denied == what_if.newly_denied;
    // The demonstration is as it should be when the log is fine and the copy is not, when all of it is decided again as it
    // was, and when what the shadow saw is what the records say of its policies. That the changed policies flip decisions,
    // and that there are policies that nobody uses, is part of it.
    Ok(
        match page.is_fine() && replays.not_replayable == 0 && !tampered.is_fine() && agree {
            true => Verdict::Fine,
            false => Verdict::Finding,
        },
    )
}

/// Copies the log and makes an allow of the first deny.
fn alter(directory: &Path, copy: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir(copy)?;
    let mut altered = false;
    for segment in records::segments(directory)? {
        let to = copy.join(segment.file_name().unwrap_or_default());
        let mut text = fs::read_to_string(&segment)?;
        let deny = r#""decision":"deny""#;
        if !altered && text.contains(deny) {
            text = text.replacen(deny, r#""decision":"allow""#, 1);
            altered = true;
        }
        fs::write(to, text)?;
    }
    match altered {
        true => Ok(()),
        false => Err("nothing was denied".into()),
    }
}
