//! The targets without coverage: what the corpus has, and what it becomes when bytes of it are changed at random.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml --features plain --bin corpus
//! cargo run --release --manifest-path fuzz/Cargo.toml --features plain --bin blind -- SECONDS [TARGET…]
//! ```
//!
//! For a look at all targets where there is no nightly toolchain and little time; `cargo fuzz` finds what this does not.
//! A finding is written to `artifacts/TARGET`.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 19] = [
    ("claims", crate::claims),
    ("context", crate::context),
    ("decide", crate::decide),
    ("entities", crate::entities),
    ("extensions", crate::extensions),
    ("grants", crate::grants),
    ("inputs", crate::inputs),
    ("log", crate::log),
    ("masks", crate::masks),
    ("names", crate::names),
    ("overlays", crate::overlays),
    ("policies", crate::policies),
    ("records", crate::records),
    ("schemas", crate::schemas),
    ("search", crate::search),
    ("signals", crate::signals),
    ("spiffe", crate::spiffe),
    ("typed", crate::typed),
    ("whatif", crate::whatif),
];

/// The runner.
pub fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(seconds) = args.next().and_then(|text| text.parse().ok()) else {
        eprintln!("blind SECONDS [TARGET…]");
        return ExitCode::from(2);
    };
    let wanted: Vec<String> = args.collect();
    let mut findings = 0;
    for (name, target) in TARGETS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            findings += run(name, target, Duration::from_secs(seconds));
        }
    }
    ExitCode::from(u8::from(findings > 0))
}

fn run(name: &str, target: fn(&[u8]), time: Duration) -> u32 {
    let begin = Instant::now();
    let corpus = corpus(name);
    let mut dice = Dice(begin.elapsed().as_nanos() as u64 ^ u64::from(std::process::id()));
    let (mut executions, mut findings) = (0_u64, 0);
    for input in &corpus {
        executions += 1;
        findings += u32::from(is_finding(name, target, input));
    }
    while begin.elapsed() < time && !corpus.is_empty() && findings < 5 {
        let mut input = corpus[dice.below(corpus.len())].clone();
        for _ in 0..1 + dice.below(4) {
            dice.change(&mut input, &corpus);
        }
        executions += 1;
        findings += u32::from(is_finding(name, target, &input));
    }
    println!(
        "{name}: {executions} executions in {:.0} s, {} inputs to begin with, {findings} findings",
        begin.elapsed().as_secs_f64(),
        corpus.len()
    );
    findings
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for directory in ["corpus", "regressions"] {
        let directory = root().join(directory).join(name);
        let files = std::fs::read_dir(directory).into_iter().flatten();
        corpus.extend(files.map(|file| std::fs::read(file.unwrap().path()).unwrap()));
    }
    corpus
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_finding(name: &str, target: fn(&[u8]), input: &[u8]) -> bool {
    if catch_unwind(|| target(input)).is_ok() {
        return false;
    }
    let directory: PathBuf = root().join("artifacts").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let sum = input
        .iter()
        .fold(0_u64, |sum, byte| sum.rotate_left(9) ^ u64::from(*byte));
    let path = directory.join(format!("blind-{sum:016x}"));
    std::fs::write(&path, input).unwrap();
    println!("FINDING: {}", path.display());
    true
}

/// Random numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n.max(1) as u64) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        const BYTES: &[u8] = b"\"\\{}[],:0123456789-.eE*/\n\0 \xff\xc3aZ_";
        let at = self.below(input.len());
        let end = (at + 1 + self.below(24)).min(input.len());
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = BYTES[self.below(BYTES.len())],
            2 => input.insert(at, BYTES[self.below(BYTES.len())]),
            3 => drop(input.drain(at.min(end)..end)),
            // Again, elsewhere.
            4 => {
                let part = input[at.min(end)..end].to_vec();
                let to = self.below(input.len());
                input.splice(to..to, part);
            }
            // Of another one.
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len());
                let part = &other[from..(from + 1 + self.below(64)).min(other.len())];
                input.splice(at..at, part.iter().copied());
            }
            _ => input.truncate(at.max(1)),
        }
    }
}
