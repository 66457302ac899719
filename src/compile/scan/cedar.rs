//! How deep Cedar's trees get of what is written in its own syntax, policies or a schema.
//!
//! # What makes Cedar's trees deep
//!
//! `a && b && c` is flat in Cedar's concrete tree but `((a && b) && c)` in every later one; the same
//! holds for `||`, `+`, `-`, `*`, for `.a.b`, `["a"]["b"]` and method calls, and for the clauses of
//! a policy, which become one conjunction. Only `::`, commas and `has a.b.c` stay flat (the dots of
//! the last are counted all the same: they cannot be told from others without parsing).
//!
//! Nesting and chains multiply: a hundred brackets each holding a chain of five hundred `&&` are a
//! tree of fifty thousand levels. The sound bound is on their sum along a path. Each open bracket
//! keeps the depth of the tree that its content makes:
//!
//! ```text
//! depth(bracket)    = the deepest of its expressions, which `,` separates
//! depth(expression) = its `if`s + the deepest of the or-chains between `if`, `then`, `else`
//! depth(or-chain)   = its `||`s + the deepest of its and-chains
//! depth(and-chain)  = its `&&`s + the deepest of its relations
//! depth(relation)   = its other operators and brackets + the deepest of those brackets
//! ```
//!
//! That is an upper bound: of `a.b + c.d` it counts three where the tree has two. It is exact where
//! chains get long in practice. (Checked beyond the tests: 5,000 random texts, each as long as a limit
//! of 100 lets it be, ran through Cedar on half the stack that the limit provides.)
//!
//! # What Cedar makes of one declaration of several names
//!
//! A copy for each name, of all that the declaration lists and of what is annotated: `entity A, B, C { x: Long, y: Long };` has
//! six attributes. Both limits that are about size count what would be there if each name had a declaration of its own.
//!
//! # What Cedar makes of the names in a namespace
//!
//! Each name that is declared or meant there gets the namespace's before it. So do the bytes that are counted.

use crate::limits::{Limit, Limits};

use super::{ScanError, check_bytes, skip_string};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Policies,
    Schema,
}

/// What came before a word, which decides whether the word is an operator: `then`, `in`, `has` and
/// the others may also be names of attributes, of record fields and of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Previous {
    /// A place where an expression starts: an opening bracket, `,`, `:`, `;`, or `if`/`then`/`else`.
    Start,
    /// The end of an operand: a name, a literal, a closing bracket.
    Operand,
    /// An operator, after which only an operand can come.
    Operator,
}

/// The depth of the tree that the content of one open bracket makes, as far as it was read.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// The byte that opened it; 0 for the text itself.
    open: u8,
    /// Operators and brackets of the current relation.
    operators: usize,
    /// The deepest bracket of the current relation.
    inner: usize,
    /// Whether the current relation has `is` or `has`.
    doubles: bool,
    /// Whether the current relation has `getTag`, and whether this bracket is in one that has.
    tags: bool,
    in_tag: bool,
    /// How often operands are doubled in the brackets of the current relation, in the finished
    /// relations of the current expression, and in the finished expressions.
    inner_doubling: usize,
    relation_doubling: usize,
    doubling: usize,
    /// `&&` of the current and-chain, and the deepest of its finished relations.
    ands: usize,
    relations: usize,
    /// `||` of the current or-chain, and the deepest of its finished and-chains.
    ors: usize,
    and_chains: usize,
    /// `if` of the current expression, and the deepest of its finished or-chains.
    ifs: usize,
    or_chains: usize,
    /// The deepest finished expression.
    expressions: usize,
}

impl Level {
    fn end_relation(&mut self) {
        self.relations = self.relations.max(self.operators + self.inner);
        (self.operators, self.inner) = (0, 0);
        let doubling = self.inner_doubling + usize::from(self.doubles);
        self.relation_doubling = self.relation_doubling.max(doubling);
        (self.doubles, self.tags, self.inner_doubling) = (false, false, 0);
    }

    fn end_and_chain(&mut self) {
        self.end_relation();
        self.and_chains = self.and_chains.max(self.ands + self.relations);
        (self.ands, self.relations) = (0, 0);
    }

    fn end_or_chain(&mut self) {
        self.end_and_chain();
        self.or_chains = self.or_chains.max(self.ors + self.and_chains);
        (self.ors, self.and_chains) = (0, 0);
    }

    fn end_expression(&mut self) {
        self.end_or_chain();
        self.expressions = self.expressions.max(self.ifs + self.or_chains);
        let copied_branches = if self.in_tag { self.ifs } else { 0 };
        self.doubling = self.doubling.max(self.relation_doubling + copied_branches);
        (self.ifs, self.or_chains, self.relation_doubling) = (0, 0, 0);
    }

    /// What it will be if the bracket closes here: `expressions` and `doubling` tell.
    fn finished(mut self) -> Self {
        self.end_expression();
        self
    }
}

/// What was read of a schema's declaration that Cedar copies for each of its names.
///
/// `,` separates names outside of all brackets of a declaration, and nothing else there.
#[derive(Debug, Clone, Copy, Default)]
struct Declaration {
    /// The open brackets around it: the namespace's, if it is in one.
    around: usize,
    /// Whether its first word was read, and is `namespace`: what opens a bracket then does not belong to it.
    begun: bool,
    namespace: bool,
    /// How many names it has beyond the first.
    more_names: usize,
    /// What is listed in its brackets, and the brackets.
    listed: usize,
    /// The bytes of its tokens without its names; of those, its annotations, which stand before it.
    bytes: usize,
    annotations: usize,
}

pub(super) struct CedarScan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    limits: &'a Limits,
    dialect: Dialect,
    at: usize,
    /// The innermost open bracket, and those around it.
    level: Level,
    around: Vec<Level>,
    previous: Previous,
    /// Behind the `;` of each policy.
    ends: Vec<usize>,
    declarations: usize,
    /// What of a schema is read, and how many bytes the copies of what was read have.
    declaration: Declaration,
    copied: usize,
    /// The bytes of the name of the namespace that is open.
    namespace: usize,
}

impl<'a> CedarScan<'a> {
    pub(super) fn new(text: &'a str, limits: &'a Limits, dialect: Dialect) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            limits,
            dialect,
            at: 0,
            level: Level::default(),
            around: Vec::new(),
            previous: Previous::Start,
            ends: Vec::new(),
            declarations: 0,
            declaration: Declaration::default(),
            copied: 0,
            namespace: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<Vec<usize>, ScanError> {
        check_bytes(self.text, self.limits)?;
        while let Some(&byte) = self.bytes.get(self.at) {
            let start = self.at;
            self.at += 1;
            self.token(byte, start)?;
        }
        // Brackets that were never closed: Cedar reports them, but may have built what is in them.
        while !self.around.is_empty() {
            self.pop(self.bytes.len())?;
        }
        Ok(self.ends)
    }

    /// Goes behind the token that begins with `byte`, which is at `start`.
    fn token(&mut self, byte: u8, start: usize) -> Result<(), ScanError> {
        match byte {
            b'"' => {
                // One that is not closed takes all that is left.
                self.skip_string();
                self.previous = Previous::Operand;
            }
            b'/' if self.eat(b'/') => {
                self.skip_while(|byte| byte != b'\n' && byte != b'\r');
                return Ok(());
            }
            byte if byte.is_ascii_whitespace() => return Ok(()),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.skip_while(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                self.word(start)?;
            }
            b'0'..=b'9' => {
                self.skip_while(|byte| byte.is_ascii_digit());
                self.previous = Previous::Operand;
            }
            b'(' | b'[' | b'{' => self.open(byte, start)?,
            b')' | b']' | b'}' => self.close(byte, start)?,
            b',' => self.end_of_element(start)?,
            b';' => self.end_of_statement(start)?,
            // An annotation starts a new policy or declaration; a hundred of them are no chain.
            b'@' => {
                self.level.end_expression();
                self.previous = Previous::Operator;
            }
            b':' => {
                self.previous = if self.eat(b':') {
                    Previous::Operator
                } else {
                    Previous::Start
                };
            }
            b'?' => self.previous = Previous::Operator,
            _ => self.symbol(byte, start)?,
        }
        self.declaration.bytes += self.at - start;
        Ok(())
    }

    /// An operator, and what it costs.
    fn symbol(&mut self, byte: u8, start: usize) -> Result<(), ScanError> {
        match byte {
            b'&' if self.eat(b'&') => {
                self.level.end_relation();
                self.level.ands += 1;
                self.operator(0, start)
            }
            b'|' if self.eat(b'|') => {
                self.level.end_and_chain();
                self.level.ors += 1;
                self.operator(0, start)
            }
            b'<' if self.dialect == Dialect::Schema => {
                self.declaration.listed += 1;
                self.operator(1, start)
            }
            b'>' | b'=' if self.dialect == Dialect::Schema => {
                self.previous = Previous::Operator;
                Ok(())
            }
            b'<' | b'=' => {
                self.eat(b'=');
                self.operator(1, start)
            }
            // `a > b` is `!(a <= b)`, `a >= b` is `!(a < b)`, `a != b` is `!(a == b)`: two nodes.
            b'>' => {
                self.eat(b'=');
                self.operator(2, start)
            }
            b'!' => {
                let nodes = if self.eat(b'=') { 2 } else { 1 };
                self.operator(nodes, start)
            }
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' => self.operator(1, start),
            // What Cedar's lexer stops at.
            _ => Ok(()),
        }
    }

    fn word(&mut self, start: usize) -> Result<(), ScanError> {
        let after_operand = self.previous == Previous::Operand;
        match self.bytes.get(start..self.at).unwrap_or_default() {
            word if self.dialect == Dialect::Schema => {
                self.word_of_schema(word);
                self.previous = Previous::Operand;
            }
            b"if" if self.previous == Previous::Start => {
                self.level.end_or_chain();
                self.level.ifs += 1;
                self.operator(0, start)?;
                self.previous = Previous::Start;
            }
            b"then" | b"else" if after_operand => {
                self.level.end_or_chain();
                self.previous = Previous::Start;
            }
            b"like" | b"in" if after_operand => self.operator(1, start)?,
            b"has" | b"is" if after_operand => {
                self.level.doubles = true;
                self.operator(1, start)?;
            }
            word => {
                self.level.tags |= word == b"getTag";
                self.previous = Previous::Operand;
            }
        }
        Ok(())
    }

    fn word_of_schema(&mut self, word: &[u8]) {
        // Behind an `@` stands the name of an annotation.
        let annotates = self.previous == Previous::Operator;
        let declaration = &mut self.declaration;
        if !declaration.begun && !annotates && self.around.len() == declaration.around {
            declaration.begun = true;
            declaration.namespace = word == b"namespace";
            declaration.annotations = declaration.bytes;
        }
        declaration.bytes += self.namespace;
        self.copied = self.copied.saturating_add(self.namespace);
    }

    /// Notes an operator that makes so many nodes of the current relation.
    fn operator(&mut self, nodes: usize, start: usize) -> Result<(), ScanError> {
        self.level.operators += nodes;
        self.previous = Previous::Operator;
        self.check_level(start)
    }

    fn check_level(&self, start: usize) -> Result<(), ScanError> {
        let level = self.level.finished();
        self.check(Limit::OperatorChain, level.expressions, start)?;
        self.check(Limit::Doubling, level.doubling, start)
    }

    fn open(&mut self, bracket: u8, start: usize) -> Result<(), ScanError> {
        self.operator(1, start)?;
        self.check(Limit::Nesting, self.around.len() + 1, start)?;
        self.around.push(self.level);
        self.level = Level {
            open: bracket,
            in_tag: self.level.in_tag || self.level.tags,
            ..Level::default()
        };
        self.previous = Previous::Start;
        if self.declaration.namespace {
            let Declaration {
                bytes, annotations, ..
            } = self.declaration;
            self.namespace = (bytes - annotations).saturating_sub("namespace".len());
            self.begin_declaration();
        } else {
            self.declaration.listed += 1;
        }
        Ok(())
    }

    fn begin_declaration(&mut self) {
        self.declaration = Declaration {
            around: self.around.len(),
            ..Declaration::default()
        };
    }

    /// A closing bracket that does not match is passed over. Cedar skips it while recovering from
    /// the error and goes on nesting: if `]` closed the brace here, `{]:{]:{]:…` would look flat.
    fn close(&mut self, bracket: u8, start: usize) -> Result<(), ScanError> {
        self.previous = Previous::Operand;
        let matches = matches!(
            (self.level.open, bracket),
            (b'(', b')') | (b'[', b']') | (b'{', b'}')
        );
        if !matches {
            return Ok(());
        }
        self.pop(start)?;
        if self.around.len() < self.declaration.around {
            self.namespace = 0;
            self.begin_declaration();
        }
        Ok(())
    }

    fn pop(&mut self, start: usize) -> Result<(), ScanError> {
        let inner = self.level.finished();
        if let Some(mut outer) = self.around.pop() {
            outer.inner = outer.inner.max(inner.expressions);
            outer.inner_doubling = outer.inner_doubling.max(inner.doubling);
            self.level = outer;
        }
        self.check_level(start)
    }

    fn end_of_element(&mut self, start: usize) -> Result<(), ScanError> {
        self.level.end_expression();
        self.previous = Previous::Start;
        let declaration = &mut self.declaration;
        if self.around.len() == declaration.around {
            declaration.more_names += 1;
            declaration.bytes = declaration.annotations;
        } else {
            declaration.listed += 1;
        }
        self.declared(1, start)
    }

    fn end_of_statement(&mut self, start: usize) -> Result<(), ScanError> {
        self.previous = Previous::Start;
        if self.dialect == Dialect::Schema {
            self.level.end_expression();
            let Declaration {
                more_names,
                listed,
                bytes,
                ..
            } = self.declaration;
            self.begin_declaration();
            self.copied = self.copied.saturating_add(more_names.saturating_mul(bytes));
            let written_out = self.text.len().saturating_add(self.copied);
            self.check(Limit::InputBytes, written_out, start)?;
            return self.declared(more_names.saturating_mul(listed).saturating_add(1), start);
        }
        // No expression contains a `;`: whatever is open was left open by a mistake, and Cedar, too,
        // starts afresh behind it.
        while !self.around.is_empty() {
            self.pop(start)?;
        }
        self.level = Level::default();
        self.ends.push(self.at);
        self.check(Limit::Policies, self.ends.len(), start)
    }

    /// Each name that a schema declares is followed by a `,` or a `;`.
    fn declared(&mut self, count: usize, start: usize) -> Result<(), ScanError> {
        if self.dialect == Dialect::Policies {
            return Ok(());
        }
        self.declarations = self.declarations.saturating_add(count);
        self.check(Limit::Declarations, self.declarations, start)
    }

    fn check(&self, limit: Limit, found: usize, start: usize) -> Result<(), ScanError> {
        self.limits
            .check(limit, found)
            .map_err(|exceeded| ScanError::new(self.text, start, exceeded))
    }

    /// Moves behind the closing quote, or to the end if there is none.
    fn skip_string(&mut self) {
        skip_string(self.bytes, &mut self.at);
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|&byte| wanted(byte)) {
            self.at += 1;
        }
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&wanted);
        self.at += usize::from(found);
        found
    }
}
