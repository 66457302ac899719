//! Policies and expressions from a tape.
//!
//! Expressions are meant to have a kind and mostly do; every operator and extension function comes up, also with
//! operands of the wrong kind, with too few arguments, and with text that its constructor refuses. Everything is
//! bracketed, so that what is written is what is meant.

use std::fmt::Write;

use super::*;

const TYPES: [&str; 7] = [
    "User",
    "Group",
    "Doc",
    "Folder",
    "NS::Thing",
    "Action",
    "Ghost",
];

/// As they stand between quotes in a policy.
pub(super) const PATTERNS: [&str; 13] = [
    "",
    "*",
    "a",
    "a*",
    "*b",
    "a*b",
    r"a\*b",
    r"\*",
    r"*\**",
    "é*",
    "**",
    "*本",
    r"\u{1F600}?",
];

/// As it stands between quotes in a policy.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

pub(super) fn entity_text((type_name, id): (&str, &str)) -> String {
    format!("{type_name}::{}", quoted(id))
}

impl Tape<'_> {
    /// Appends a policy. For a template, whether it has a principal's and a resource's slot.
    pub(crate) fn policy(&mut self, out: &mut String) -> Option<(bool, bool)> {
        let template = self.chance(20);
        // Of hundreds, one that forbids nearly always applies.
        let forbids = if self.crowd { 3 } else { 35 };
        let effect = if self.chance(forbids) {
            "forbid"
        } else {
            "permit"
        };
        if self.chance(10) {
            let _ = write!(out, "@id({}) ", quoted(STRINGS[self.below(STRINGS.len())]));
        }
        let (principal, principal_slot) = self.side("principal", template);
        let (resource, resource_slot) = self.side("resource", template);
        let action = match self.below(6) {
            0..3 => "action".to_owned(),
            3 => format!("action == {}", entity_text(self.action_pair())),
            4 => format!("action in {}", entity_text(self.action_pair())),
            _ => {
                let list = (0..self.below(4)).map(|_| entity_text(self.action_pair()));
                let list: Vec<_> = list.collect();
                format!("action in [{}]", list.join(", "))
            }
        };
        let _ = write!(out, "{effect}({principal}, {action}, {resource})");
        for _ in 0..self.below(3) {
            let clause = if self.chance(30) { "unless" } else { "when" };
            let condition = match self.crowd && self.chance(80) {
                true => self.common_condition(),
                false => {
                    let depth = 1 + self.below(4);
                    self.expr(Bool, depth)
                }
            };
            let _ = write!(out, "\n{clause} {{ {condition} }}");
        }
        out.push_str(";\n\n");
        (principal_slot || resource_slot).then_some((principal_slot, resource_slot))
    }

    fn side(&mut self, side: &str, template: bool) -> (String, bool) {
        let slot = template && self.chance(60);
        let target = if slot {
            format!("?{side}")
        } else {
            entity_text(self.uid_pair())
        };
        let type_name = self.pick(&TYPES);
        if !slot && self.chance(50) {
            return (side.to_owned(), false);
        }
        match self.below(5) {
            0 if !slot => (side.to_owned(), false),
            1 if !slot => (format!("{side} is {type_name}"), false),
            2 => (format!("{side} is {type_name} in {target}"), slot),
            3 => (format!("{side} == {target}"), slot),
            _ => (format!("{side} in {target}"), slot),
        }
    }

    fn expr(&mut self, kind: Kind, depth: usize) -> String {
        let earlier = self.repeated.iter().find(|(earlier, _)| *earlier == kind);
        if let Some((_, text)) = earlier.cloned()
            && self.chance(25)
        {
            return text;
        }
        let text = self.new_expr(kind, depth);
        if depth > 0 && self.chance(20) && !self.repeated.iter().any(|(k, _)| *k == kind) {
            self.repeated.push((kind, text.clone()));
        }
        text
    }

    fn new_expr(&mut self, kind: Kind, depth: usize) -> String {
        let kind = if self.chance(4) {
            KINDS[self.below(KINDS.len())]
        } else {
            kind
        };
        if depth == 0 || self.chance(8) {
            return self.leaf(kind);
        }
        if self.chance(3) {
            return self.wrong_arity(depth - 1);
        }
        if self.chance(6) {
            let (c, a, b) = (
                self.expr(Bool, depth - 1),
                self.expr(kind, depth - 1),
                self.expr(kind, depth - 1),
            );
            return format!("(if {c} then {a} else {b})");
        }
        let depth = depth - 1;
        match kind {
            Bool => self.bool_expr(depth),
            Long => self.long_expr(depth),
            Str | Kind::Entity => self.leaf(kind),
            Set => {
                let kind = KINDS[self.below(KINDS.len())];
                let items = (0..self.below(4)).map(|_| self.expr(kind, depth));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Kind::Record => {
                let mut fields = std::collections::BTreeMap::new();
                for _ in 0..self.below(4) {
                    let kind = KINDS[self.below(KINDS.len())];
                    fields.insert(attribute(kind), self.expr(kind, depth));
                }
                let fields = fields
                    .iter()
                    .map(|(key, value)| format!("\"{key}\": {value}"));
                // The parser takes out the order; write it the other way round.
                let fields: Vec<_> = fields.rev().collect();
                format!("{{{}}}", fields.join(", "))
            }
            Decimal | Ip => self.constructor(kind, depth),
            Datetime => match self.below(4) {
                0 => self.constructor(kind, depth),
                1 | 2 => {
                    let (a, b) = (self.expr(Datetime, depth), self.expr(Duration, depth));
                    format!("{a}.offset({b})")
                }
                _ => format!("{}.toDate()", self.expr(Datetime, depth)),
            },
            Duration => match self.below(4) {
                0 => self.constructor(kind, depth),
                1 | 2 => {
                    let (a, b) = (self.expr(Datetime, depth), self.expr(Datetime, depth));
                    format!("{a}.durationSince({b})")
                }
                _ => format!("{}.toTime()", self.expr(Datetime, depth)),
            },
        }
    }

    fn constructor(&mut self, kind: Kind, depth: usize) -> String {
        let name = match kind {
            Decimal => "decimal",
            Ip => "ip",
            Datetime => "datetime",
            _ => "duration",
        };
        if self.chance(15) {
            return format!("{name}({})", self.expr(Str, depth));
        }
        let pool = texts(kind);
        format!("{name}({})", quoted(pool[self.below(pool.len())]))
    }

    fn bool_expr(&mut self, depth: usize) -> String {
        let any = KINDS[self.below(KINDS.len())];
        match self.below(24) {
            0 | 1 => self.binary("==", any, any, depth),
            2 => self.binary("!=", any, any, depth),
            3 | 4 => {
                let op = self.pick(&["<", "<=", ">", ">="]);
                let kind = [Long, Long, Datetime, Duration][self.below(4)];
                self.binary(op, kind, kind, depth)
            }
            5 | 6 => self.binary("&&", Bool, Bool, depth),
            7 | 8 => self.binary("||", Bool, Bool, depth),
            9 => format!("(!{})", self.expr(Bool, depth)),
            10 | 11 => {
                let right = if self.chance(40) { Set } else { Kind::Entity };
                let right = if right == Set && self.chance(70) {
                    let items = (0..self.below(4)).map(|_| self.expr(Kind::Entity, depth));
                    format!("[{}]", items.collect::<Vec<_>>().join(", "))
                } else {
                    self.expr(right, depth)
                };
                format!("({} in {right})", self.expr(Kind::Entity, depth))
            }
            12 => {
                let (base, key) = (self.base(depth), attribute(any));
                match self.below(4) {
                    0 => format!("({base} has \"weird key\")"),
                    1 => format!("({base} has rec.{key})"),
                    2 => format!("({base} has e.rec.{key})"),
                    _ => format!("({base} has {key})"),
                }
            }
            13 => {
                // A guard, as people write them.
                let (base, key) = (self.base(depth), attribute(any));
                let value = self.expr(any, depth);
                format!("({base} has {key} && {base}.{key} == {value})")
            }
            14 => {
                let (base, tag) = (self.expr(Kind::Entity, depth), self.expr(Str, 0));
                format!("{base}.hasTag({tag})")
            }
            15 => {
                let pattern = PATTERNS[self.below(PATTERNS.len())];
                format!("({} like \"{pattern}\")", self.expr(Str, depth))
            }
            16 => format!(
                "({} is {})",
                self.expr(Kind::Entity, depth),
                self.pick(&TYPES)
            ),
            17 => {
                let (base, above) = (
                    self.expr(Kind::Entity, depth),
                    self.expr(Kind::Entity, depth),
                );
                format!("({base} is {} in {above})", self.pick(&TYPES))
            }
            18 => format!(
                "{}.contains({})",
                self.expr(Set, depth),
                self.expr(any, depth)
            ),
            19 => {
                let op = self.pick(&["containsAll", "containsAny"]);
                format!("{}.{op}({})", self.expr(Set, depth), self.expr(Set, depth))
            }
            20 => format!("{}.isEmpty()", self.expr(Set, depth)),
            21 => {
                let op = self.pick(&[
                    "lessThan",
                    "lessThanOrEqual",
                    "greaterThan",
                    "greaterThanOrEqual",
                ]);
                format!(
                    "{}.{op}({})",
                    self.expr(Decimal, depth),
                    self.expr(Decimal, depth)
                )
            }
            22 => {
                let op = self.pick(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"]);
                format!("{}.{op}()", self.expr(Ip, depth))
            }
            _ => format!(
                "{}.isInRange({})",
                self.expr(Ip, depth),
                self.expr(Ip, depth)
            ),
        }
    }

    fn binary(&mut self, op: &str, left: Kind, right: Kind, depth: usize) -> String {
        format!(
            "({} {op} {})",
            self.expr(left, depth),
            self.expr(right, depth)
        )
    }

    fn long_expr(&mut self, depth: usize) -> String {
        match self.below(5) {
            0 => self.binary("+", Long, Long, depth),
            1 => self.binary("-", Long, Long, depth),
            2 => self.binary("*", Long, Long, depth),
            3 => format!("(-{})", self.expr(Long, depth)),
            _ => {
                let op = self.pick(&[
                    "toMilliseconds",
                    "toSeconds",
                    "toMinutes",
                    "toHours",
                    "toDays",
                ]);
                format!("{}.{op}()", self.expr(Duration, depth))
            }
        }
    }

    /// Something that may have attributes.
    fn base(&mut self, depth: usize) -> String {
        match self.below(7) {
            0 => "context".to_owned(),
            1 => "principal".to_owned(),
            2 => "resource".to_owned(),
            3 => "context.rec".to_owned(),
            4 => "principal.e".to_owned(),
            5 => self.expr(Kind::Record, depth),
            _ => self.expr(Kind::Entity, depth),
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        if self.chance(45) {
            let base = self.pick(&[
                "context",
                "principal",
                "resource",
                "context.rec",
                "principal.e",
                "action",
                "resource[\"rec\"]",
            ]);
            let key = attribute(kind);
            return match self.below(8) {
                0 => format!("{base}[\"{key}\"]"),
                1 => format!("{base}.getTag(\"{key}\")"),
                2 => format!("{base}[\"weird key\"]"),
                _ => format!("{base}.{key}"),
            };
        }
        match kind {
            Bool => self.pick(&["true", "false"]).to_owned(),
            Long => match LONGS[self.below(LONGS.len())] {
                negative if negative < 0 => format!("({negative})"),
                long => long.to_string(),
            },
            Str => quoted(STRINGS[self.below(STRINGS.len())]),
            Kind::Entity => match self.below(5) {
                0 => "principal".to_owned(),
                1 => "resource".to_owned(),
                2 => "action".to_owned(),
                _ => entity_text(self.uid_pair()),
            },
            Set => self
                .pick(&["[]", "[1, 2]", "[2, 1, 2]", "[\"a\", 1]", "[principal]"])
                .to_owned(),
            Kind::Record => self
                .pick(&["{}", "context", "{\"n\": 1}", "{s: \"a\", n: 1}"])
                .to_owned(),
            Decimal | Ip | Datetime | Duration => self.constructor(kind, 0),
        }
    }

    /// An extension function with too few or too many arguments.
    fn wrong_arity(&mut self, depth: usize) -> String {
        let (a, b) = (self.expr(Str, depth), self.expr(Ip, depth));
        match self.below(6) {
            0 => format!("ip({a}, {b})"),
            1 => "decimal()".to_owned(),
            2 => format!("{b}.isInRange()"),
            3 => format!("{b}.isIpv4({a})"),
            4 => format!("{b}.lessThan({a}, {b})"),
            _ => format!("datetime({a}, {a}, {a}).offset()"),
        }
    }
}
