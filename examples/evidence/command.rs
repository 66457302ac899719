//! Commands, their arguments, and what they come to.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// A subcommand.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// Its arguments, for people.
    pub(crate) usage: &'static str,
    /// How many arguments it takes that are no options.
    pub(crate) takes: usize,
    /// Options with a value.
    pub(crate) options: &'static [&'static str],
    pub(crate) run: fn(&Arguments) -> Result<Verdict, Box<dyn Error>>,
}

impl Command {
    fn usage(&self) -> String {
        format!("usage: evidence {} {} [--json]", self.name, self.usage)
    }
}

/// The error and what it comes from, as one line: an error says nothing that its source says.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}

/// What a command found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Fine,
    Finding,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Fine => Self::SUCCESS,
            Verdict::Finding => Self::from(1),
        }
    }
}

/// The arguments of a command.
pub(crate) struct Arguments {
    words: Vec<String>,
    options: BTreeMap<&'static str, String>,
    /// Whether the answer is to be JSON.
    pub(crate) json: bool,
}

impl Arguments {
    pub(crate) fn read(
        command: &Command,
        mut words: impl Iterator<Item = String>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self {
            words: Vec::new(),
            options: BTreeMap::new(),
            json: false,
        };
        while let Some(word) = words.next() {
            if word == "--json" {
                arguments.json = true;
            } else if let Some(option) = command.options.iter().find(|option| **option == word) {
                let value = words.next().ok_or(format!("{word} needs a value"))?;
                if arguments.options.insert(option, value).is_some() {
                    return Err(format!("{word} is given twice").into());
                }
            } else if word.starts_with("--") {
                return Err(format!("{word} is not known; {}", command.usage()).into());
            } else {
                arguments.words.push(word);
            }
        }
        if arguments.words.len() == command.takes {
            Ok(arguments)
        } else {
            Err(command.usage().into())
        }
    }

    /// All arguments that are no options.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The first argument.
    pub(crate) fn directory(&self) -> &Path {
        Path::new(self.words.first().map_or("", String::as_str))
    }

    /// The number of a hop.
    pub(crate) fn hop(&self) -> Result<Option<usize>, String> {
        let hop = self.option("--hop");
        hop.map(|hop| {
            hop.parse()
                .map_err(|_| format!("--hop {hop}: no number of a hop"))
        })
        .transpose()
    }

    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}
