//! Where the parts of a policy stand in its text.
//!
//! Cedar's public syntax tree has no positions, and positions of all nodes would be memory that nearly nobody asks for.
//! Who wants to show a policy to a person has its text, though, which Cedar has accepted. So it is read once more, by a
//! reader that knows how expressions hang together and nothing else, and what it finds is laid beside the compiled tree:
//! operator by operator, name by name. Where the two differ, in whatever, nothing is said about the clause: no position
//! is guessed. Tokens are those of `compile::scan`.
//!
//! *Rejected:* asking Cedar for the label of an error (it has labels only for expressions that fail); Cedar's own tree with
//! its positions (hidden API).

use std::collections::HashMap;
use std::ops::Range;

use crate::id::NodeId;
use crate::program::{Body, Node, Program, Span, Var};
use crate::value::arena::NameText;

use super::scan::skip_string;

/// How deep brackets are followed: far more than people write, and little stack.
const NESTING: usize = 200;

/// Where the parts of one policy stand, in bytes of its text.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// `permit` or `forbid`.
    pub(crate) effect: Range<usize>,
    /// What stands for principal, action and resource in the scope.
    pub(crate) scope: [Range<usize>; 3],
    expressions: HashMap<NodeId, Range<usize>>,
    negated: HashMap<NodeId, Range<usize>>,
}

impl Outline {
    /// The outline of a policy or template, from its own text. `None` when that is not one.
    pub(crate) fn new(program: &Program, body: &Body, text: &str) -> Option<Self> {
        let mut reader = Reader {
            text,
            tokens: tokens(text)?,
            at: 0,
            depth: 0,
            parts: Vec::new(),
        };
        while reader.eat("@") {
            reader.next()?;
            if reader.eat("(") {
                reader.next()?;
                reader.expect(")")?;
            }
        }
        let effect = reader.next()?;
        let mut outline = Self {
            effect,
            scope: reader.scope()?,
            expressions: HashMap::new(),
            negated: HashMap::new(),
        };
        let conditions = program.conditions(body).iter().zip(&body.unless);
        for (condition, unless) in conditions {
            reader.expect(if *unless { "unless" } else { "when" })?;
            reader.expect("{")?;
            let (part, _) = reader.expression()?;
            reader.expect("}")?;
            let mut found = Vec::new();
            let beside = Beside {
                program,
                reader: &reader,
            };
            let condition = program.expression(*condition);
            let known = match program.nodes.get(condition.index()) {
                // `unless { e }` is compiled as `!(e)`; the negation is not in the text.
                Some(Node::Not(inner)) if *unless => {
                    found.push((condition, reader.part(part)?.range.clone()));
                    beside.align(*inner, part, &mut found)
                }
                // The clause computes to a constant, and that is what it is not: `negated` has it.
                Some(Node::Bool(_)) if *unless => {
                    let range = reader.part(part)?.range.clone();
                    outline.negated.insert(condition, range);
                    Some(())
                }
                _ => beside.align(condition, part, &mut found),
            };
            if known.is_some() {
                outline.expressions.extend(found);
            }
        }
        reader.expect(";")?;
        (reader.at == reader.tokens.len()).then_some(outline)
    }

    /// The bytes of an expression.
    pub(crate) fn expression(&self, node: NodeId) -> Option<Range<usize>> {
        self.expressions.get(&node).cloned()
    }

    /// The bytes of what a constant is the negation of: of an `unless` clause that was computed.
    pub(crate) fn negated(&self, node: NodeId) -> Option<Range<usize>> {
        self.negated.get(&node).cloned()
    }
}

/// The tokens of a text without comments; `None` when a string does not end.
fn tokens(text: &str) -> Option<Vec<Range<usize>>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    let run = |at: &mut usize, wanted: fn(u8) -> bool| {
        while bytes.get(*at).copied().is_some_and(wanted) {
            *at += 1;
        }
    };
    while let Some(byte) = bytes.get(at).copied() {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                if !skip_string(bytes, &mut at) {
                    return None;
                }
            }
            b'/' if bytes.get(at) == Some(&b'/') => {
                run(&mut at, |byte| byte != b'\n' && byte != b'\r');
                continue;
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                run(&mut at, |byte| byte == b'_' || byte.is_ascii_alphanumeric());
            }
            b'0'..=b'9' => run(&mut at, |byte| byte.is_ascii_digit()),
            b'=' | b'!' | b'<' | b'>' if bytes.get(at) == Some(&b'=') => at += 1,
            b'&' | b'|' | b':' if bytes.get(at) == Some(&byte) => at += 1,
            byte if byte.is_ascii_punctuation() => {}
            // White space.
            _ => continue,
        }
        tokens.push(start..at);
    }
    Some(tokens)
}

/// A part of an expression, by its place in [`Reader::parts`].
type PartId = usize;

#[derive(Debug)]
struct Part {
    kind: Kind,
    /// Without brackets around it.
    range: Range<usize>,
}

#[derive(Debug)]
enum Kind {
    /// A literal, a variable.
    Word,
    /// `!a`, `-a`.
    Prefix(u8, PartId),
    /// The operator as it stands in the text.
    Infix(Range<usize>, PartId, PartId),
    If([PartId; 3]),
    /// `a.name`, `a["name"]`; the name as it stands in the text.
    Attribute(PartId, Range<usize>),
    /// `a has …`.
    Has(PartId),
    Like(PartId),
    Is(PartId, Option<PartId>),
    /// `name(…)`, or `a.name(…)` with `a` as the first argument.
    Call {
        name: Range<usize>,
        args: Vec<PartId>,
    },
    Set(Vec<PartId>),
    /// Keys as they stand in the text.
    Record(Vec<(Range<usize>, PartId)>),
}

/// Reads expressions of Cedar's grammar that Cedar has accepted.
struct Reader<'t> {
    text: &'t str,
    tokens: Vec<Range<usize>>,
    at: usize,
    depth: usize,
    parts: Vec<Part>,
}

/// A part and the bytes that it takes, brackets around it included.
type Read = (PartId, Range<usize>);

impl Reader<'_> {
    fn part(&self, part: PartId) -> Option<&Part> {
        self.parts.get(part)
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn peek(&self) -> &str {
        self.tokens
            .get(self.at)
            .map_or("", |range| self.text(range))
    }

    fn next(&mut self) -> Option<Range<usize>> {
        let token = self.tokens.get(self.at)?.clone();
        self.at += 1;
        Some(token)
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    fn add(&mut self, kind: Kind, range: Range<usize>) -> Read {
        self.parts.push(Part {
            kind,
            range: range.clone(),
        });
        (self.parts.len() - 1, range)
    }

    /// The three parts of a scope, which no bracket but that of a list of actions is in.
    fn scope(&mut self) -> Option<[Range<usize>; 3]> {
        self.expect("(")?;
        let mut scope = [0..0, 0..0, 0..0];
        for (number, part) in scope.iter_mut().enumerate() {
            if number > 0 {
                self.expect(",")?;
            }
            let first = self.next()?;
            let mut end = first.end;
            let mut listed = false;
            while listed || !matches!(self.peek(), "," | ")") {
                let token = self.next()?;
                end = token.end;
                match self.text(&token) {
                    "[" => listed = true,
                    "]" => listed = false,
                    _ => {}
                }
            }
            *part = first.start..end;
        }
        self.eat(",");
        self.expect(")")?;
        Some(scope)
    }

    fn expression(&mut self) -> Option<Read> {
        self.depth += 1;
        if self.depth > NESTING {
            return None;
        }
        let read = if self.peek() == "if" {
            let start = self.next()?.start;
            let (condition, _) = self.expression()?;
            self.expect("then")?;
            let (a, _) = self.expression()?;
            self.expect("else")?;
            let (b, end) = self.expression()?;
            self.add(Kind::If([condition, a, b]), start..end.end)
        } else {
            self.chain(0)?
        };
        self.depth -= 1;
        Some(read)
    }

    /// Operators that stand in chains, by how loosely they bind: `||`, `&&`, comparisons, `+`, `*`.
    fn chain(&mut self, level: usize) -> Option<Read> {
        let operand = |reader: &mut Self| match level {
            4 => reader.prefix(),
            _ => reader.chain(level + 1),
        };
        let mut left = operand(self)?;
        loop {
            let operator = match (level, self.peek()) {
                (0, "||")
                | (1, "&&")
                | (2, "==" | "!=" | "<" | "<=" | ">" | ">=" | "in")
                | (3, "+" | "-")
                | (4, "*") => self.next()?,
                (2, "has" | "like" | "is") => return self.relation(left),
                _ => return Some(left),
            };
            let right = operand(self)?;
            let range = left.1.start..right.1.end;
            left = self.add(Kind::Infix(operator, left.0, right.0), range);
        }
    }

    /// What is behind `has`, `like` or `is`.
    fn relation(&mut self, (left, range): Read) -> Option<Read> {
        let operator = self.next()?;
        let mut end = self.next()?.end;
        let kind = match self.text(&operator) {
            "like" => Kind::Like(left),
            "has" => {
                while self.eat(".") {
                    end = self.next()?.end;
                }
                Kind::Has(left)
            }
            _ => {
                while self.eat("::") {
                    end = self.next()?.end;
                }
                let mut above = None;
                if self.eat("in") {
                    let (part, range) = self.chain(3)?;
                    above = Some(part);
                    end = range.end;
                }
                Kind::Is(left, above)
            }
        };
        Some(self.add(kind, range.start..end))
    }

    fn prefix(&mut self) -> Option<Read> {
        let mut starts = Vec::new();
        let operator = match self.peek() {
            "!" => b'!',
            "-" => b'-',
            _ => return self.member(),
        };
        while matches!((operator, self.peek()), (b'!', "!") | (b'-', "-")) {
            starts.push(self.next()?.start);
        }
        // Cedar makes of any number of `!` one or two.
        if operator == b'!' && starts.len() > 2 {
            let kept = if starts.len() % 2 == 0 { 2 } else { 1 };
            starts.truncate(kept);
        }
        let mut read = self.member()?;
        while let Some(start) = starts.pop() {
            let range = start..read.1.end;
            read = self.add(Kind::Prefix(operator, read.0), range);
        }
        Some(read)
    }

    fn member(&mut self) -> Option<Read> {
        let mut base = self.primary()?;
        loop {
            if self.eat(".") {
                let name = self.next()?;
                let start = base.1.start;
                base = if self.eat("(") {
                    let (mut args, end) = self.list(")")?;
                    args.insert(0, base.0);
                    let call = Kind::Call { name, args };
                    self.add(call, start..end)
                } else {
                    let end = name.end;
                    self.add(Kind::Attribute(base.0, name), start..end)
                };
            } else if self.eat("[") {
                let name = self.next()?;
                let end = self.tokens.get(self.at)?.end;
                self.expect("]")?;
                base = self.add(Kind::Attribute(base.0, name), base.1.start..end);
            } else {
                return Some(base);
            }
        }
    }

    fn primary(&mut self) -> Option<Read> {
        let first = self.next()?;
        let start = first.start;
        match self.text(&first) {
            "(" => {
                let (part, _) = self.expression()?;
                let end = self.tokens.get(self.at)?.end;
                self.expect(")")?;
                Some((part, start..end))
            }
            "[" => {
                let (items, end) = self.list("]")?;
                Some(self.add(Kind::Set(items), start..end))
            }
            "{" => {
                let mut fields = Vec::new();
                while self.peek() != "}" {
                    let key = self.next()?;
                    self.expect(":")?;
                    fields.push((key, self.expression()?.0));
                    if !self.eat(",") {
                        break;
                    }
                }
                let end = self.tokens.get(self.at)?.end;
                self.expect("}")?;
                Some(self.add(Kind::Record(fields), start..end))
            }
            _ => {
                let mut end = first.end;
                while self.eat("::") {
                    end = self.next()?.end;
                }
                if self.eat("(") {
                    let (args, closed) = self.list(")")?;
                    let call = Kind::Call {
                        name: start..end,
                        args,
                    };
                    return Some(self.add(call, start..closed));
                }
                Some(self.add(Kind::Word, start..end))
            }
        }
    }

    /// Expressions up to a closing bracket, and where that ends.
    fn list(&mut self, close: &str) -> Option<(Vec<PartId>, usize)> {
        let mut items = Vec::new();
        while self.peek() != close {
            items.push(self.expression()?.0);
            if !self.eat(",") {
                break;
            }
        }
        let end = self.tokens.get(self.at)?.end;
        self.expect(close)?;
        Some((items, end))
    }
}

/// A program laid beside what was read.
struct Beside<'r, 't> {
    program: &'r Program,
    reader: &'r Reader<'t>,
}

impl Beside<'_, '_> {
    /// Notes where the nodes of an expression stand; `None` where it is not what was read.
    fn align(
        &self,
        node: NodeId,
        part: PartId,
        found: &mut Vec<(NodeId, Range<usize>)>,
    ) -> Option<()> {
        let Part { kind, range } = self.reader.part(part)?;
        let node = self.program.expression(node);
        found.push((node, range.clone()));
        let mut both = |pairs: &[(NodeId, PartId)]| {
            pairs
                .iter()
                .try_for_each(|(node, part)| self.align(*node, *part, found))
        };
        match (*self.program.nodes.get(node.index())?, kind) {
            // Whatever it was, it was computed.
            (Node::Bool(_) | Node::Constant(_), _) => Some(()),
            (Node::Var(var), Kind::Word) => self.is_variable(part, var),
            (Node::VarAttr(var, key), Kind::Attribute(base, name)) => {
                self.is_variable(*base, var)?;
                self.is_named(name, self.program.names.sym_text(key))
            }
            (Node::GetAttr(a, key), Kind::Attribute(base, name)) => {
                self.is_named(name, self.program.names.sym_text(key))?;
                both(&[(a, *base)])
            }
            (Node::Not(a), Kind::Prefix(b'!', operand))
            | (Node::Neg(a), Kind::Prefix(b'-', operand))
            | (Node::HasAttr(a, _) | Node::HasPath(a, _), Kind::Has(operand))
            | (Node::Like(a, _), Kind::Like(operand))
            | (Node::Is(a, _), Kind::Is(operand, None)) => both(&[(a, *operand)]),
            (Node::IsIn(a, _, b), Kind::Is(left, Some(right))) => both(&[(a, *left), (b, *right)]),
            (Node::If(a, b, c), Kind::If([first, second, third])) => {
                both(&[(a, *first), (b, *second), (c, *third)])
            }
            (node, Kind::Infix(operator, left, right)) => {
                let (known, a, b) = infix_of(node)?;
                (known == self.reader.text(operator)).then_some(())?;
                both(&[(a, *left), (b, *right)])
            }
            (node, Kind::Call { name, args }) => both(&self.arguments(&node, name, args)?),
            (Node::Set(items), Kind::Set(parts)) => {
                both(&pairs(self.program.children(items), parts)?)
            }
            (Node::Record(values, keys), Kind::Record(fields)) => {
                both(&self.fields(values, keys, fields)?)
            }
            _ => None,
        }
    }

    /// The operands of a call beside what was read, if it is the same call.
    fn arguments(
        &self,
        node: &Node,
        name: &Range<usize>,
        args: &[PartId],
    ) -> Option<Vec<(NodeId, PartId)>> {
        let name = self.reader.text(name);
        match (node, args) {
            // The tag's name is no operand of these.
            (Node::GetNamedTag(a, _), [base, _]) if name == "getTag" => Some(vec![(*a, *base)]),
            (Node::HasNamedTag(a, _), [base, _]) if name == "hasTag" => Some(vec![(*a, *base)]),
            _ => {
                let (known, operands) = self.call_of(node)?;
                (known == name).then_some(())?;
                pairs(&operands, args)
            }
        }
    }

    /// The values of a record, which stand in the order of their keys, beside those that were read.
    fn fields(
        &self,
        values: Span,
        keys: u32,
        written: &[(Range<usize>, PartId)],
    ) -> Option<Vec<(NodeId, PartId)>> {
        let fields = self.program.fields(values, keys);
        (fields.len() == written.len()).then_some(())?;
        let written = written.iter();
        let by_name: HashMap<&str, PartId> = written
            .map(|(name, part)| (self.name(name), *part))
            .collect();
        let beside = fields.map(|(key, value)| {
            let part = by_name.get(self.program.names.sym_text(key))?;
            Some((value, *part))
        });
        beside.collect()
    }

    fn is_variable(&self, part: PartId, var: Var) -> Option<()> {
        let Part { kind, range } = self.reader.part(part)?;
        (matches!(kind, Kind::Word) && self.reader.text(range) == var.name()).then_some(())
    }

    /// A name in the text. One that is written with escapes stays as it is, and is not recognised.
    fn name(&self, name: &Range<usize>) -> &str {
        let written = self.reader.text(name);
        let inner = written
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        inner.unwrap_or(written)
    }

    fn is_named(&self, name: &Range<usize>, known: &str) -> Option<()> {
        (self.name(name) == known).then_some(())
    }

    /// The name and the operands of what is written as a call.
    fn call_of(&self, node: &Node) -> Option<(&'static str, Vec<NodeId>)> {
        let name = match node {
            Node::IsEmpty(_) => "isEmpty",
            Node::Contains(..) => "contains",
            Node::ContainsAll(..) => "containsAll",
            Node::ContainsAny(..) => "containsAny",
            Node::GetTag(..) => "getTag",
            Node::HasTag(..) => "hasTag",
            Node::Call1(function, _) | Node::Call2(function, ..) | Node::CallAny(function, _) => {
                function.name()
            }
            _ => return None,
        };
        Some((name, self.program.all_operands(node).collect()))
    }
}

/// Nodes and parts one beside the other, if there are as many.
fn pairs(nodes: &[NodeId], parts: &[PartId]) -> Option<Vec<(NodeId, PartId)>> {
    let pairs = nodes.iter().copied().zip(parts.iter().copied());
    (nodes.len() == parts.len()).then(|| pairs.collect())
}

/// What is written with an operator between two operands.
fn infix_of(node: Node) -> Option<(&'static str, NodeId, NodeId)> {
    Some(match node {
        Node::And(a, b) => ("&&", a, b),
        Node::Or(a, b) => ("||", a, b),
        Node::Equal(a, b) => ("==", a, b),
        Node::NotEqual(a, b) => ("!=", a, b),
        Node::Less(a, b) => ("<", a, b),
        Node::LessEq(a, b) => ("<=", a, b),
        Node::Greater(a, b) => (">", a, b),
        Node::GreaterEq(a, b) => (">=", a, b),
        Node::In(a, b) => ("in", a, b),
        Node::Add(a, b) => ("+", a, b),
        Node::Sub(a, b) => ("-", a, b),
        Node::Mul(a, b) => ("*", a, b),
        _ => return None,
    })
}
