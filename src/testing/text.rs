//! Reports as text for people.

use std::fmt::{self, Display, Formatter};

use super::{CaseFailure, Coverage, PolicyCoverage, TestReport};

impl Display for TestReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (failed, cases) = (self.failures.len(), self.cases);
        match failed {
            _ if cases == 0 => writeln!(f, "there were no cases")?,
            0 => writeln!(f, "all of {cases} cases passed")?,
            _ => writeln!(f, "{failed} of {cases} cases failed")?,
        }
        for failure in &self.failures {
            write!(f, "\n{failure}")?;
        }
        let policies = self.coverage.policies.len();
        let decided = policies - self.coverage.never_decided().count();
        let conditions = self.coverage.policies.iter();
        let conditions: usize = conditions.map(|policy| policy.conditions.len()).sum();
        let both = conditions - self.coverage.one_sided().count();
        writeln!(
            f,
            "\ncoverage: {decided} of {policies} policies decided, {both} of {conditions} conditions were both true and \
             false"
        )
    }
}

impl Display for CaseFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (", self.name)?;
        if let Some(file) = &self.file {
            write!(f, "{file}, ")?;
        }
        writeln!(f, "case {})", self.number)?;
        for mismatch in &self.mismatches {
            writeln!(f, "    {mismatch}")?;
        }
        // The first line is the decision, which has been said.
        for line in self.explanation.to_string().lines().skip(1) {
            match line {
                "" => writeln!(f)?,
                _ => writeln!(f, "    {line}")?,
            }
        }
        Ok(())
    }
}

impl Display for Coverage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_complete() {
            return writeln!(
                f,
                "every policy decided, and every condition was both true and false"
            );
        }
        let mut title = Title("policies that never decided");
        for policy in self.never_decided() {
            title.write(f)?;
            writeln!(f, "    {}: {}", Named(policy), why(policy))?;
        }
        let mut title = Title("conditions that were never both true and false");
        for (policy, condition) in self.one_sided() {
            title.write(f)?;
            let never = match (condition.was_true, condition.was_false) {
                (0, 0) if condition.failed > 0 => "only ever failed",
                (0, 0) => "never evaluated",
                (0, _) => "never true",
                _ => "never false",
            };
            let expression = &condition.condition.expression;
            let words: Vec<&str> = expression.split_whitespace().collect();
            writeln!(f, "    {}: {never}: {}", Named(policy), words.join(" "))?;
        }
        Ok(())
    }
}

/// Written once, before the first of what it is the title of.
struct Title(&'static str);

impl Title {
    fn write(&mut self, f: &mut Formatter<'_>) -> fmt::Result {
        match std::mem::take(&mut self.0) {
            "" => Ok(()),
            title => writeln!(f, "{title}:"),
        }
    }
}

fn why(policy: &PolicyCoverage) -> &'static str {
    if policy.in_scope == 0 {
        "its scope never matched"
    } else if policy.applied > 0 {
        "it applied, and something else decided each time"
    } else if policy.failed == policy.in_scope {
        "it always failed"
    } else {
        "its conditions never held"
    }
}

/// A policy with its place.
struct Named<'p>(&'p PolicyCoverage);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let PolicyCoverage {
            effect,
            id,
            file,
            line,
            ..
        } = self.0;
        write!(f, "{effect} {id}")?;
        match (file, line) {
            (Some(file), Some(line)) => write!(f, " ({file}:{line})"),
            (None, Some(line)) => write!(f, " (line {line})"),
            _ => Ok(()),
        }
    }
}
