//! Policies that have parts in common, each part parsed once.
//!
//! Large policy sets are made by programs: 100,000 policies of one scenario have some 300 heads (`permit (…)`) and
//! clauses (`when { … }`) that differ in more than ids of entities and other literals. Cedar's parser takes 40
//! microseconds for such a policy and its syntax tree another 100. So each statement is cut into head and clauses,
//! and each of these brought into a shape, its literals replaced by numbered marks; Cedar parses each shape once;
//! and lowering puts the literals back where it meets the marks.
//!
//! That is exact because Cedar's grammar looks at each clause by itself and not into the literals that are taken
//! out: ids of entities, strings that are values, values of annotations. What could be anything else stays in the
//! shape (keys of records, attributes, patterns), and a statement that the few rules here do not cover is not
//! taken apart. A mark that lowering meets where it cannot be filled makes the policy be parsed by itself. Whether
//! shapes are used is a switch for the tests.
//!
//! Lexing here is that of [`scan`](crate::compile::scan): strings, comments, brackets, white space.

use std::ops::Range;
use std::sync::Arc;

use crate::compile::scan::skip_string;

/// What a mark begins with. A statement that has it anywhere is not taken apart.
const MARK: &str = "#duramen#";

/// A statement or a part of one, literals taken out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Part {
    /// A statement as it is, with its `;`.
    Whole(String),
    /// Annotations, effect and scope.
    Head(String),
    /// `when { … }` or `unless { … }`.
    Clause(String),
}

impl Part {
    /// A policy that Cedar parses to the part and nothing more.
    pub(super) fn to_policy(&self) -> String {
        match self {
            Self::Whole(text) => text.clone(),
            Self::Head(text) => format!("{text};"),
            Self::Clause(text) => format!("permit(principal, action, resource) {text};"),
        }
    }

    /// How many clauses Cedar has to find in that policy, if that is known.
    pub(super) fn clauses(&self) -> Option<usize> {
        match self {
            Self::Whole(_) => None,
            Self::Head(_) => Some(0),
            Self::Clause(_) => Some(1),
        }
    }
}

/// One statement's parts, each with the places in the statement that its holes stand for.
pub(super) type Parts = Vec<(Part, Vec<Range<usize>>)>;

/// Takes `statement`, which begins with a token, apart.
pub(super) fn parts(statement: &str) -> Parts {
    let walked = (!statement.contains(MARK)).then(|| Walk::new(statement).run());
    walked.flatten().unwrap_or_else(|| whole(statement))
}

/// The statement in one part.
pub(super) fn whole(statement: &str) -> Parts {
    vec![(Part::Whole(statement.to_owned()), Vec::new())]
}

struct Walk<'s> {
    statement: &'s str,
    /// What has been read and what of it is in a shape.
    at: usize,
    copied: usize,
    /// Open brackets.
    depth: usize,
    parts: Parts,
    /// The part that is being read.
    text: String,
    holes: Vec<Range<usize>>,
}

impl<'s> Walk<'s> {
    fn new(statement: &'s str) -> Self {
        Self {
            statement,
            at: 0,
            copied: 0,
            depth: 0,
            parts: Vec::new(),
            text: String::new(),
            holes: Vec::new(),
        }
    }

    /// `None` at what the rules do not cover.
    fn run(mut self) -> Option<Parts> {
        let bytes = self.statement.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            let start = self.at;
            self.at += 1;
            match byte {
                b'"' => self.string(start)?,
                b'/' if bytes.get(self.at) == Some(&b'/') => self.blank(start)?,
                _ if is_space(byte) => self.blank(start)?,
                b'(' | b'[' | b'{' => self.depth += 1,
                b')' | b']' | b'}' => self.depth = self.depth.checked_sub(1)?,
                b';' => {
                    self.copy(start)?;
                    self.end_part();
                    return (self.at == bytes.len()).then_some(self.parts);
                }
                b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                    while bytes.get(self.at).is_some_and(|byte| is_word(*byte)) {
                        self.at += 1;
                    }
                    let is_clause = matches!(bytes.get(start..self.at)?, b"when" | b"unless");
                    if is_clause && self.depth == 0 && !self.is_annotation(start) {
                        self.copy(start)?;
                        self.end_part();
                    }
                }
                _ if byte.is_ascii_graphic() => {}
                _ => return None,
            }
        }
        // There is no `;`.
        None
    }

    /// A string, whose opening quote is at `start`.
    fn string(&mut self, start: usize) -> Option<()> {
        let bytes = self.statement.as_bytes();
        if !skip_string(bytes, &mut self.at) {
            return None;
        }
        let inner = start + 1..self.at - 1;
        let literal = bytes.get(inner.clone())?;
        // It might spell a mark.
        if literal.contains(&b'\\') {
            return None;
        }
        let before = self.statement.get(self.copied..start)?;
        if self.is_hole(before, literal, bytes.get(self.at..)?) {
            self.copy(start + 1)?;
            self.text.push_str(MARK);
            push_number(&mut self.text, self.holes.len());
            self.text.push('"');
            self.holes.push(inner);
            self.copied = self.at;
        }
        Some(())
    }

    /// White space and comments from `start` on: one space.
    fn blank(&mut self, start: usize) -> Option<()> {
        self.copy(start)?;
        self.at = start + skip_blank(self.statement.as_bytes().get(start..)?);
        self.copied = self.at;
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
        Some(())
    }

    /// Puts what was read up to `end` into the shape.
    fn copy(&mut self, end: usize) -> Option<()> {
        self.text.push_str(self.statement.get(self.copied..end)?);
        self.copied = end;
        Some(())
    }

    fn end_part(&mut self) {
        let text = std::mem::take(&mut self.text);
        let part = match self.parts.is_empty() {
            true => Part::Head(text),
            false => Part::Clause(text),
        };
        self.parts.push((part, std::mem::take(&mut self.holes)));
    }

    /// Whether the word at `start` is an annotation's name, which may be any.
    fn is_annotation(&self, start: usize) -> bool {
        let before = self.statement.get(self.copied..start).unwrap_or_default();
        let mut before = self.text.bytes().chain(before.bytes()).rev();
        before.find(|byte| *byte != b' ') == Some(b'@')
    }

    /// Whether a literal is an entity's id, a value or an annotation's; `before` is what of the text before it
    /// is not in the shape yet.
    fn is_hole(&self, before: &str, literal: &[u8], after: &[u8]) -> bool {
        if literal.iter().any(u8::is_ascii_control) {
            return false;
        }
        let mut before = self.text.bytes().chain(before.bytes()).rev();
        let mut last = || before.by_ref().find(|byte| *byte != b' ');
        match (last(), last()) {
            (Some(b':'), Some(b':')) => true,
            // `==` and `!=`; no other operator ends in `=` and takes a text.
            (Some(b'='), Some(b'=' | b'!')) => true,
            // An argument, an element or an annotation's value; a record's key has a `:` behind it.
            (Some(b'(' | b','), _) => after.get(skip_blank(after)) != Some(&b':'),
            _ => false,
        }
    }
}

fn push_number(text: &mut String, number: usize) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = write!(text, "{number}");
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// White space as far as it is ASCII; a statement with other kinds outside of literals is not taken apart.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// How many bytes of white space and comments come first.
fn skip_blank(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'/' && bytes.get(at + 1) == Some(&b'/') {
            while bytes
                .get(at)
                .is_some_and(|byte| !matches!(byte, b'\n' | b'\r'))
            {
                at += 1;
            }
        } else if is_space(byte) {
            at += 1;
        } else {
            break;
        }
    }
    at
}

/// How many bytes of white space, of all kinds, and comments a text begins with.
pub(super) fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        let next = rest.trim_start();
        let next = next.get(skip_blank(next.as_bytes())..).unwrap_or_default();
        if next.len() == rest.len() {
            return text.len() - rest.len();
        }
        rest = next;
    }
}

/// What stands in the holes of one policy.
#[derive(Debug, Default)]
pub(in crate::compile) struct Holes {
    values: Vec<Arc<str>>,
    met: Vec<bool>,
}

impl Holes {
    pub(in crate::compile) fn new(values: impl IntoIterator<Item = Arc<str>>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        Self {
            met: vec![false; values.len()],
            values,
        }
    }

    /// The text that a mark stands for; `None` if it is none.
    pub(in crate::compile) fn filled(&mut self, text: &str) -> Option<Arc<str>> {
        if self.values.is_empty() {
            return None;
        }
        let number: usize = text.strip_prefix(MARK)?.parse().ok()?;
        *self.met.get_mut(number)? = true;
        self.values.get(number).cloned()
    }

    /// Whether every hole has been met.
    pub(in crate::compile) fn are_met(&self) -> bool {
        self.met.iter().all(|met| *met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(statement: &str) -> (Vec<Part>, Vec<&str>) {
        let (parts, holes): (Vec<_>, Vec<_>) = parts(statement).into_iter().unzip();
        let holes = holes.concat();
        (
            parts,
            holes.into_iter().map(|hole| &statement[hole]).collect(),
        )
    }

    #[test]
    fn ids_and_values_are_taken_out() {
        let (parts, holes) = shape(
            "@id(\"a\") @when(\"b\")\n  permit ( // why \"not\"\n principal == User::\"x y\", action, resource in A::B :: \"é\")\n\
             when { [\"k\", \"l\"].contains(\"m\") && context.when }//\nunless{ context.a != \"\" } ;",
        );
        assert_eq!(
            parts,
            [
                Part::Head(
                    "@id(\"#duramen#0\") @when(\"#duramen#1\") permit ( principal == User::\"#duramen#2\", action, \
                     resource in A::B :: \"#duramen#3\") "
                        .into()
                ),
                Part::Clause(
                    "when { [\"k\", \"#duramen#0\"].contains(\"#duramen#1\") && context.when } ".into()
                ),
                Part::Clause("unless{ context.a != \"#duramen#0\" } ".into()),
            ]
        );
        assert_eq!(holes, ["a", "b", "x y", "é", "l", "m", ""]);
    }

    #[test]
    fn what_the_grammar_looks_into_stays() {
        for statement in [
            "permit(principal, action, resource) when { principal[\"k\"] };",
            "permit(principal, action, resource) when { principal has \"k\" };",
            "permit(principal, action, resource) when { principal.a like \"k*\" };",
            "permit(principal, action, resource) when { {\"k\": 1}.k == 1 };",
            "permit(principal, action, resource) when { {a: 1, \"k\" // \n : 1}.k == 1 };",
            "permit(principal, action, resource == A::\"k\n\");",
        ] {
            let (parts, holes) = shape(statement);
            assert_eq!(holes, [""; 0], "{statement}");
            assert!(matches!(parts[0], Part::Head(_)), "{statement}");
        }
    }

    #[test]
    fn what_is_odd_is_not_taken_apart() {
        for statement in [
            "permit(principal == A::\"#duramen#0\", action, resource);",
            "permit(principal == A::\"\\u{23}duramen#0\", action, resource);",
            "permit(principal == A::\"a\",\u{a0}action, resource);",
            "permit(principal, action, resource)) when { true };",
            "permit(principal == A::\"a\", action, resource)",
            "permit(principal == A::\"a",
        ] {
            let parts = vec![Part::Whole(statement.to_owned())];
            assert_eq!(shape(statement), (parts, Vec::new()));
        }
    }

    #[test]
    fn white_space_that_separates_nothing_may_differ() {
        let one = shape("permit(principal, action, resource) when { 1  <\n\n2 };").0;
        let two = shape("permit(principal, action, resource) when { 1 < // less \n 2 };").0;
        assert_eq!(one, two);
        // But what Cedar lexes as two tokens stays two.
        assert_ne!(shape("a = = b;").0, shape("a == b;").0);
    }

    #[test]
    fn all_kinds_of_blank_come_before_a_statement() {
        assert_eq!(blank(" // one\n\u{a0}\t//two\n// three\r permit"), 27);
        assert_eq!(blank("// to the end"), 13);
    }
}
