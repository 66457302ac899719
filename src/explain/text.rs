//! Explanations as text for people.

use std::fmt::{self, Display, Formatter};

use crate::decision::Outcome;

use super::{Clause, ExplainedPolicy, Explanation, Part, Place, Reason, Seen, Source};

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.decision, self.outcome)?;
        writeln!(
            f,
            "principal {}, action {}, resource {}",
            self.principal, self.action, self.resource
        )?;
        if let Some(error) = &self.request_error {
            writeln!(f, "\nthe request is not valid: {error}")?;
        }
        let has_none = self.policies.is_empty() && self.left_out.is_empty();
        if has_none && self.outcome == Outcome::NoPermit {
            writeln!(f, "\nthere is no permit at all")?;
        }
        for policy in &self.policies {
            writeln!(f)?;
            self.write_policy(policy, f)?;
        }
        for (part, count) in &self.left_out {
            let what = match part {
                Part::Determining => "that determine the decision",
                Part::Failed => "that could not be evaluated",
                Part::Overruled => "that apply and are overruled",
                Part::Unmet => "whose conditions do not hold",
                Part::OutOfScope => "whose scope does not match",
            };
            writeln!(f, "\n{count} more {what}")?;
        }
        Ok(())
    }
}

impl Explanation {
    fn write_policy(&self, policy: &ExplainedPolicy, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", policy.effect, policy.id)?;
        if let Some(template) = &policy.template {
            write!(f, " (link of {template})")?;
        }
        match policy.part {
            Part::Determining => writeln!(f, " applies")?,
            Part::Overruled => writeln!(f, " applies and is overruled")?,
            Part::Failed => match policy.error {
                Some(error) => writeln!(f, " could not be evaluated: {error}")?,
                None => writeln!(f, " could not be evaluated")?,
            },
            Part::Unmet => {
                let conditions = match policy.conditions {
                    1 => "its condition does not hold".to_owned(),
                    all => {
                        let verb = if policy.held == 1 { "holds" } else { "hold" };
                        format!("{} of its {all} conditions {verb}", policy.held)
                    }
                };
                writeln!(f, " does not apply: {conditions}")?;
            }
            Part::OutOfScope => {
                write!(f, " does not apply: it is for ")?;
                for (number, miss) in policy.scope.iter().enumerate() {
                    let and = if number > 0 { " and " } else { "another " };
                    write!(f, "{and}{}", miss.side)?;
                }
                writeln!(f)?;
            }
        }
        for (name, value) in &policy.annotations {
            writeln!(f, "    @{name}({value:?})")?;
        }
        match &policy.source {
            Some(source) => self.write_source(policy, source, f),
            None => self.write_without_source(policy, f),
        }
    }

    fn write_source(
        &self,
        policy: &ExplainedPolicy,
        source: &Source,
        f: &mut Formatter<'_>,
    ) -> fmt::Result {
        let last = source.lines.last().map_or(0, |line| line.number);
        let gutter = last.to_string().len();
        let file = source.file.as_deref().map(|file| format!("{file}:"));
        let file = file.unwrap_or_default();
        writeln!(
            f,
            "{:gutter$}--> {file}{}:{}",
            "", source.line, source.column
        )?;
        let notes = self.notes(policy);
        for line in &source.lines {
            writeln!(f, "{:>gutter$} | {}", line.number, line.text)?;
            let here = notes.iter().filter(|note| note.is_on(line.number));
            for note in here {
                note.write_below(&line.text, gutter, f)?;
            }
        }
        for note in notes.iter().filter(|note| note.place.is_none()) {
            note.write_alone(gutter, f)?;
        }
        Ok(())
    }

    fn write_without_source(&self, policy: &ExplainedPolicy, f: &mut Formatter<'_>) -> fmt::Result {
        for note in self.notes(policy) {
            note.write_alone(1, f)?;
        }
        Ok(())
    }

    /// What is to be said of a policy's expressions.
    fn notes<'p>(&self, policy: &'p ExplainedPolicy) -> Vec<Note<'p>> {
        let scope = policy.scope.iter().map(|miss| {
            let uid = match miss.side {
                "principal" => &self.principal,
                "action" => &self.action,
                _ => &self.resource,
            };
            Note {
                clause: None,
                expression: &miss.expression,
                place: miss.place.as_ref(),
                says: format!("the {} is {}", miss.side, uid),
                values: &[],
            }
        });
        let reasons = policy.reasons.iter().map(Note::of);
        scope.chain(reasons).collect()
    }
}

/// A remark on an expression.
struct Note<'p> {
    clause: Option<Clause>,
    expression: &'p str,
    place: Option<&'p Place>,
    says: String,
    values: &'p [Seen],
}

impl<'p> Note<'p> {
    fn of(reason: &'p Reason) -> Self {
        Self {
            clause: Some(reason.clause),
            expression: &reason.expression,
            place: reason.place.as_ref(),
            says: match reason.truth {
                Some(truth) => format!("is {truth}"),
                None => "fails".to_owned(),
            },
            values: &reason.values,
        }
    }

    fn is_on(&self, line: u32) -> bool {
        self.place.is_some_and(|place| place.line == line)
    }

    /// Marks the expression in the line above.
    fn write_below(&self, line: &str, gutter: usize, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(place) = self.place else {
            return Ok(());
        };
        let before = place.column.saturating_sub(1) as usize;
        if line.chars().count() <= before {
            // The line was cut off before it.
            return self.write_alone(gutter, f);
        }
        // Tabs stay tabs, so that the mark stands where the expression does.
        let pad: String = line
            .chars()
            .take(before)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let room = line.chars().count() - before;
        let marks = "^".repeat((place.width as usize).clamp(1, room));
        writeln!(f, "{:gutter$} | {pad}{marks} {}", "", self.says)?;
        for value in self.values {
            writeln!(f, "{:gutter$} | {pad}where {}", "", Is(value))?;
        }
        Ok(())
    }

    /// Says it with the expression.
    fn write_alone(&self, gutter: usize, f: &mut Formatter<'_>) -> fmt::Result {
        let clause = match self.clause {
            Some(Clause::When) => "when ",
            Some(Clause::Unless) => "unless ",
            None => "",
        };
        let expression = OneLine(self.expression);
        writeln!(f, "{:gutter$} = {clause}{expression}: {}", "", self.says)?;
        for value in self.values {
            writeln!(f, "{:gutter$} = where {}", "", Is(value))?;
        }
        Ok(())
    }
}

struct Is<'p>(&'p Seen);

impl Display for Is<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", OneLine(&self.0.expression), self.0.value)
    }
}

/// An expression whose white space is spaces.
struct OneLine<'p>(&'p str);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (number, word) in self.0.split_whitespace().enumerate() {
            let space = if number > 0 { " " } else { "" };
            write!(f, "{space}{word}")?;
        }
        Ok(())
    }
}
