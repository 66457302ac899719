//! What criterion has left in its directory.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use serde_json::Value;

/// Medians, by group.
pub(crate) struct Measured(BTreeMap<String, Group>);

/// Nanoseconds by function and size.
#[derive(Default)]
pub(crate) struct Group(BTreeMap<(String, u64), f64>);

impl Measured {
    pub(crate) fn read(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let mut measured = Self(BTreeMap::new());
        measured.walk(directory).map_err(|error| {
            format!("{}: {error}; run the benchmarks first", directory.display())
        })?;
        Ok(measured)
    }

    fn walk(&mut self, directory: &Path) -> Result<(), Box<dyn Error>> {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            if path.ends_with("new") {
                self.add(&path)?;
            } else {
                self.walk(&path)?;
            }
        }
        Ok(())
    }

    /// Figures without a size are not for tables by size.
    fn add(&mut self, directory: &Path) -> Result<(), Box<dyn Error>> {
        let read = |name: &str| -> Result<Value, Box<dyn Error>> {
            let text = std::fs::read_to_string(directory.join(name))?;
            Ok(serde_json::from_str(&text)?)
        };
        let (of, estimates) = (read("benchmark.json")?, read("estimates.json")?);
        let text = |member: &str| of.get(member).and_then(Value::as_str);
        let size = text("value_str").and_then(|size| size.parse().ok());
        let median = estimates
            .pointer("/median/point_estimate")
            .and_then(Value::as_f64);
        if let (Some(group), Some(function), Some(size), Some(median)) =
            (text("group_id"), text("function_id"), size, median)
        {
            let group = self.0.entry(group.to_owned()).or_default();
            group.0.insert((function.to_owned(), size), median);
        }
        Ok(())
    }

    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.0.get(name)
    }
}

impl Group {
    pub(crate) fn functions(&self) -> Vec<&str> {
        let functions: BTreeSet<&str> = self
            .0
            .keys()
            .map(|(function, _)| function.as_str())
            .collect();
        functions.into_iter().collect()
    }

    pub(crate) fn sizes(&self) -> BTreeSet<u64> {
        self.0.keys().map(|(_, size)| *size).collect()
    }

    pub(crate) fn nanoseconds(&self, function: &str, size: u64) -> Option<f64> {
        self.0.get(&(function.to_owned(), size)).copied()
    }

    pub(crate) fn points(&self, function: &str) -> Vec<(f64, f64)> {
        let sizes = self.sizes().into_iter();
        sizes
            .filter_map(|size| Some((size as f64, self.nanoseconds(function, size)?)))
            .collect()
    }
}
