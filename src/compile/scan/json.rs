//! The scan of policies and schemas in JSON, which shows its depth: brackets nest as the tree does. Only lists of conditions,
//! and what copies its operands, are known by the keys of Cedar's formats.

use crate::limits::{Limit, Limits};

use super::{ScanError, check_bytes, skip_string};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonKind {
    Policies,
    Schema,
}

/// One open array or object.
#[derive(Debug, Clone, Copy)]
struct JsonLevel {
    open: u8,
    /// How many elements it has so far, if it may be a policy's list of conditions.
    conditions: Option<usize>,
    /// How many `is` and `has` it is inside, itself included, and `if` inside a `getTag`.
    doubling: usize,
    get_tag: bool,
}

/// What the last string would mean if it is a key. Escapes are not decoded: a key with one might be
/// anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonKey {
    Conditions,
    Doubling,
    GetTag,
    If,
    Unknown,
    Other,
}

pub(super) struct JsonScan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    limits: &'a Limits,
    kind: JsonKind,
    at: usize,
    levels: Vec<JsonLevel>,
    key: JsonKey,
    declarations: usize,
    /// The bytes of the last string; those of the name of the namespace that is open, which Cedar puts before each name in it;
    /// and how many that makes, with the text.
    string: usize,
    namespace: usize,
    written_out: usize,
}

impl<'a> JsonScan<'a> {
    pub(super) fn new(text: &'a str, limits: &'a Limits, kind: JsonKind) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            limits,
            kind,
            at: 0,
            levels: Vec::new(),
            key: JsonKey::Other,
            declarations: 0,
            string: 0,
            namespace: 0,
            written_out: text.len(),
        }
    }

    pub(super) fn run(mut self) -> Result<(), ScanError> {
        check_bytes(self.text, self.limits)?;
        while let Some(&byte) = self.bytes.get(self.at) {
            let start = self.at;
            self.at += 1;
            match byte {
                b'"' => {
                    if !skip_string(self.bytes, &mut self.at) {
                        break;
                    }
                    let string = self.bytes.get(start..self.at).unwrap_or_default();
                    if self.kind == JsonKind::Schema {
                        self.string_of_schema(string, start)?;
                    }
                    self.key = match string {
                        b"\"conditions\"" => JsonKey::Conditions,
                        b"\"is\"" | b"\"has\"" => JsonKey::Doubling,
                        b"\"getTag\"" => JsonKey::GetTag,
                        b"\"if-then-else\"" => JsonKey::If,
                        _ if string.contains(&b'\\') => JsonKey::Unknown,
                        _ => JsonKey::Other,
                    };
                }
                b'[' | b'{' => self.open(byte, start)?,
                b']' | b'}' => self.close(byte),
                b',' => self.comma(start)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn string_of_schema(&mut self, string: &[u8], start: usize) -> Result<(), ScanError> {
        self.string = string.len();
        self.written_out = self.written_out.saturating_add(self.namespace);
        self.check(Limit::InputBytes, self.written_out, start)?;
        match self.levels.last() {
            // What is listed counts, as it does in Cedar's own syntax.
            Some(JsonLevel { open: b'[', .. }) => self.declared(start),
            _ => Ok(()),
        }
    }

    fn open(&mut self, bracket: u8, start: usize) -> Result<(), ScanError> {
        self.check(Limit::Nesting, self.levels.len() + 1, start)?;
        // What a schema declares are the keys of objects, and their values are objects.
        if self.kind == JsonKind::Schema && bracket == b'{' {
            self.declared(start)?;
            if self.levels.len() == 1 {
                self.namespace = self.string;
            }
        }
        let outer = self.levels.last();
        let mut level = JsonLevel {
            open: bracket,
            conditions: None,
            doubling: outer.map_or(0, |outer| outer.doubling),
            get_tag: outer.is_some_and(|outer| outer.get_tag),
        };
        if self.kind == JsonKind::Policies {
            let unknown = self.key == JsonKey::Unknown;
            if bracket == b'[' && (unknown || self.key == JsonKey::Conditions) {
                level.conditions = Some(1);
            }
            if bracket == b'{' {
                let doubles = match self.key {
                    JsonKey::Doubling | JsonKey::Unknown => true,
                    JsonKey::If => level.get_tag,
                    _ => false,
                };
                level.get_tag |= unknown || self.key == JsonKey::GetTag;
                level.doubling += usize::from(doubles);
                self.check(Limit::Doubling, level.doubling, start)?;
            }
        }
        self.levels.push(level);
        self.key = JsonKey::Other;
        Ok(())
    }

    fn close(&mut self, bracket: u8) {
        let open = self.levels.last().map(|level| level.open);
        if matches!((open, bracket), (Some(b'['), b']') | (Some(b'{'), b'}')) {
            self.levels.pop();
            if self.levels.len() < 2 {
                self.namespace = 0;
            }
        }
    }

    fn comma(&mut self, start: usize) -> Result<(), ScanError> {
        self.key = JsonKey::Other;
        let Some(JsonLevel {
            conditions: Some(count),
            ..
        }) = self.levels.last_mut()
        else {
            return Ok(());
        };
        *count += 1;
        let count = *count;
        self.check(Limit::OperatorChain, count, start)
    }

    fn declared(&mut self, start: usize) -> Result<(), ScanError> {
        self.declarations += 1;
        self.check(Limit::Declarations, self.declarations, start)
    }

    fn check(&self, limit: Limit, found: usize, start: usize) -> Result<(), ScanError> {
        self.limits
            .check(limit, found)
            .map_err(|exceeded| ScanError::new(self.text, start, exceeded))
    }
}
