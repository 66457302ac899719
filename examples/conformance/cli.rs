//! The command line: finds the cases, checks them on all processors, reports.

use std::any::Any;
use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::case::{self, Found};
use crate::check::{self, Verdict};

/// Cedar's parser and evaluator recurse; it answers `RecursionLimit` when the stack runs short.
const STACK_BYTES: usize = 64 << 20;

/// After how many files a line of progress is due.
const PROGRESS: usize = 1_000;

/// What it came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

/// Checks the directory that the arguments name.
///
/// # Errors
/// With a message, when there was nothing to check.
pub(crate) fn run(mut args: impl Iterator<Item = OsString>) -> Result<Totals, String> {
    let (Some(dir), None) = (args.next(), args.next()) else {
        return Err("usage: conformance DIR".into());
    };
    let dir = PathBuf::from(dir);
    let mut files = Vec::new();
    json_files(&dir, &mut files)
        .map_err(|error| format!("{} cannot be read: {error}", dir.display()))?;
    files.sort();
    let verdicts = check_all(&dir, &files)?;
    if verdicts.is_empty() {
        return Err(format!(
            "{} has no case: no `*.json` with the keys policies, entities, schema, requests",
            dir.display()
        ));
    }
    report(&verdicts).map_err(|error| format!("the report cannot be written: {error}"))
}

/// All `*.json` below a directory. Links to directories are not followed.
fn json_files(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            json_files(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "json") && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// The verdicts on those files that are cases, in the order of the files.
fn check_all(dir: &Path, files: &[PathBuf]) -> Result<Vec<(String, Verdict)>, String> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(index) else { return };
            if index > 0 && index.is_multiple_of(PROGRESS) {
                eprintln!("{index} of {} JSON files", files.len());
            }
            if let Some(verdict) = check_file(dir, file) {
                let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
                verdicts.push((index, verdict));
            }
        }
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..workers {
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, work)
                .map_err(|error| format!("no thread to work on: {error}"))?;
        }
        Ok::<(), String>(())
    })?;
    let mut verdicts = verdicts
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    verdicts.sort_by_key(|(index, _)| *index);
    let named = verdicts.into_iter().map(|(index, verdict)| {
        let file = files.get(index).map_or(dir, PathBuf::as_path);
        let name = file.strip_prefix(dir).unwrap_or(file);
        (name.display().to_string(), verdict)
    });
    Ok(named.collect())
}

/// The verdict on a file; `None` if it is not a case.
fn check_file(dir: &Path, file: &Path) -> Option<Verdict> {
    let case = match case::read(file) {
        Found::Case(case) => case,
        Found::Malformed(message) => return Some(Verdict::failed("the case file", message)),
        Found::SomethingElse => return None,
    };
    let checked = catch_unwind(AssertUnwindSafe(|| check::check(dir, &case)));
    Some(checked.unwrap_or_else(|payload| Verdict::failed("the check", panicked(&*payload))))
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", message.unwrap_or("(no message)"))
}

fn report(verdicts: &[(String, Verdict)]) -> io::Result<Totals> {
    let mut out = io::stdout().lock();
    let mut totals = Totals::default();
    let mut requests = 0;
    let mut answers = 0;
    let mut recursion_limits = 0;
    let mut deviations = 0;
    let mut valid_of_late = 0;
    for (name, verdict) in verdicts {
        requests += verdict.requests;
        answers += verdict.answers;
        recursion_limits += verdict.recursion_limits;
        deviations += verdict.deviations;
        valid_of_late += verdict.valid_of_late;
        if verdict.passed() {
            totals.passed += 1;
        } else {
            totals.failed += 1;
            writeln!(out, "FAILED {name}\n{verdict}")?;
        }
    }
    eprintln!("{requests} requests; {answers} answers of Duramen compared with Cedar's");
    if recursion_limits > 0 {
        eprintln!("{recursion_limits} requests not compared: Cedar's recursion limit");
    }
    if deviations > 0 {
        eprintln!("{deviations} answers refused for `unknown`, as documented");
    }
    if valid_of_late > 0 {
        eprintln!(
            "{valid_of_late} cases recorded as not valid are valid to this Cedar, with the warning that no action \
             applies (cedar-policy/cedar#2545)"
        );
    }
    writeln!(out, "{} passed, {} failed", totals.passed, totals.failed)?;
    out.flush()?;
    Ok(totals)
}
