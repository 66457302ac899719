//! Policies that a schema's types allow, but for slips.
//!
//! A condition is written for one principal's type, one action and one resource's type. Where the scope does not say which,
//! the condition begins with asking. What may be missing is asked for before it is read.

use std::fmt::Write;

use super::policies::{PATTERNS, entity_text, quoted};
use super::schema::{Action, Fields, Ty, is_plain};
use super::typed_data::Typed;
use super::*;

/// What a condition is written for.
struct Env {
    principal: usize,
    resource: usize,
    action: usize,
    paths: Vec<Path>,
}

/// Something that can be read.
#[derive(Clone)]
struct Path {
    text: String,
    ty: Ty,
    /// What has to be asked before, in order.
    guards: Vec<String>,
}

/// Ways that are longer are left out.
const STEPS: usize = 3;

/// Of one set of policies.
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) links: Vec<Link>,
    pub(crate) policies: usize,
}

impl Typed<'_, '_, '_> {
    /// Some policies; `families` of them are many that differ in a literal.
    pub(crate) fn policies(&mut self, some: usize, families: usize) -> Written {
        let mut written = Written {
            text: String::new(),
            links: Vec::new(),
            policies: 0,
        };
        for _ in 0..some {
            let env = self.env();
            let depth = self.tape.below(3);
            self.policy(&env, depth, &mut written);
        }
        for _ in 0..families {
            let env = self.env();
            self.family(&env, &mut written);
        }
        written
    }

    fn env(&mut self) -> Env {
        let schema = self.schema;
        let applying = (0..schema.actions.len()).filter(|at| schema.actions[*at].applies.is_some());
        let applying: Vec<_> = applying.collect();
        let action = applying[self.tape.early(applying.len())];
        let applies = schema.actions[action].applies.as_ref().expect("filtered");
        let principal = applies.principals[self.tape.early(applies.principals.len())];
        let resource = applies.resources[self.tape.early(applies.resources.len())];
        let mut paths = Vec::new();
        let context = Ty::Record(schema.context(applies));
        for (text, ty) in [
            ("context", context),
            ("principal", Ty::Entity(principal)),
            ("resource", Ty::Entity(resource)),
        ] {
            let path = Path {
                text: text.to_owned(),
                ty,
                guards: Vec::new(),
            };
            self.walk(path, STEPS, &mut paths);
        }
        Env {
            principal,
            resource,
            action,
            paths,
        }
    }

    fn walk(&self, path: Path, steps: usize, out: &mut Vec<Path>) {
        if steps > 0 {
            match &path.ty {
                Ty::Record(fields) => self.members(&path, fields, steps, out),
                Ty::Entity(at) => {
                    let ty = &self.schema.types[*at];
                    self.members(&path, &self.schema.expand_fields(&ty.attrs), steps, out);
                    if let Some(tags) = &ty.tags {
                        let mut guards = path.guards.clone();
                        guards.push(format!("{}.hasTag(\"a\")", path.text));
                        let tag = Path {
                            text: format!("{}.getTag(\"a\")", path.text),
                            ty: self.schema.expand(tags),
                            guards,
                        };
                        self.walk(tag, steps - 1, out);
                    }
                }
                _ => {}
            }
        }
        out.push(path);
    }

    fn members(&self, path: &Path, fields: &Fields, steps: usize, out: &mut Vec<Path>) {
        for (name, (ty, must)) in fields {
            let (base, mut guards) = (&path.text, path.guards.clone());
            let text = match is_plain(name) {
                true => format!("{base}.{name}"),
                false => format!("{base}[{}]", quoted(name)),
            };
            if !must {
                guards.push(match is_plain(name) {
                    true => format!("{base} has {name}"),
                    false => format!("{base} has {}", quoted(name)),
                });
            }
            let member = Path {
                text,
                ty: ty.clone(),
                guards,
            };
            self.walk(member, steps - 1, out);
        }
    }

    /// The scope, and what the condition has to ask because the scope does not say it.
    fn scope(&mut self, env: &Env, slots: (bool, bool)) -> (String, Vec<String>) {
        let schema = self.schema;
        let action = schema.actions[env.action].uid;
        let mut asked = Vec::new();
        let mut side = |typed: &mut Self, side: &str, at: usize, slot: bool| {
            let name = schema.types[at].name;
            let of = match slot {
                true => format!("?{side}"),
                false => {
                    let (of, id) = typed.uid_of(at);
                    entity_text((&of, &id))
                }
            };
            let above = |typed: &mut Self| {
                let above = &schema.types[at].parents;
                if slot || above.is_empty() || typed.tape.chance(20) {
                    return of.clone();
                }
                let above = above[typed.tape.below(above.len())];
                let (of, id) = typed.uid_of(above);
                entity_text((&of, &id))
            };
            let least = if slot { 2 } else { 0 };
            match least + typed.tape.below(5 - least) {
                0 => {
                    asked.push(format!("{side} is {name}"));
                    side.to_owned()
                }
                1 => format!("{side} is {name}"),
                2 => {
                    // A slot has no type.
                    asked.extend(slot.then(|| format!("{side} is {name}")));
                    format!("{side} == {of}")
                }
                3 => format!("{side} is {name} in {}", above(typed)),
                _ => {
                    asked.push(format!("{side} is {name}"));
                    format!("{side} in {}", above(typed))
                }
            }
        };
        let principal = side(self, "principal", env.principal, slots.0);
        let resource = side(self, "resource", env.resource, slots.1);
        let text = entity_text(action);
        let groups = &schema.actions[env.action].groups;
        let action = match self.tape.below(5) {
            0..2 => format!("action == {text}"),
            2 => {
                let in_it = |other: &Action| other.groups.contains(&env.action);
                if schema.actions.iter().any(in_it) {
                    asked.push(format!("action == {text}"));
                }
                format!("action in [{text}]")
            }
            3 if !groups.is_empty() => {
                asked.push(format!("action == {text}"));
                let group = groups[self.tape.below(groups.len())];
                format!("action in {}", entity_text(schema.actions[group].uid))
            }
            _ => {
                asked.push(format!("action == {text}"));
                "action".to_owned()
            }
        };
        (format!("{principal}, {action}, {resource}"), asked)
    }

    fn effect(&mut self) -> &'static str {
        match self.tape.chance(30) {
            true => "forbid",
            false => "permit",
        }
    }

    fn policy(&mut self, env: &Env, depth: usize, written: &mut Written) {
        let template = self.tape.chance(25);
        let slots = match template {
            true => [(true, true), (true, false), (false, true)][self.tape.below(3)],
            false => (false, false),
        };
        let (scope, asked) = self.scope(env, slots);
        let effect = self.effect();
        let out = &mut written.text;
        if self.tape.chance(10) {
            let _ = write!(out, "@note({}) ", quoted(STRINGS[self.tape.below(12)]));
        }
        let _ = write!(out, "{effect}({scope})");
        for _ in 0..self.tape.below(3) {
            let clause = if self.tape.chance(25) {
                "unless"
            } else {
                "when"
            };
            let condition = self.condition(env, depth);
            let _ = write!(out, " {clause} {{ {} }}", all(&asked, &condition));
        }
        out.push_str(";\n");
        if template {
            let template = format!("policy{}", written.policies);
            for number in 0..self.tape.below(4) {
                let link = Link {
                    id: format!("{template}-link{number}"),
                    template: template.clone(),
                    principal: slots.0.then(|| self.uid_of(env.principal)),
                    resource: slots.1.then(|| self.uid_of(env.resource)),
                };
                written.links.push(link);
            }
        }
        written.policies += 1;
    }

    /// A policy for each of some literals, which its condition begins with comparing. The rest of it may be the same.
    fn family(&mut self, env: &Env, written: &mut Written) {
        let comparable = |path: &&Path| !matches!(path.ty, Ty::Record(_) | Ty::Set(_));
        let paths: Vec<_> = env.paths.iter().filter(comparable).collect();
        let path = paths[self.tape.below(paths.len())].clone();
        let (mut scope, mut asked) = self.scope(env, (false, false));
        for _ in 0..3 {
            // What the scope says need not stand before the comparison.
            if !asked.is_empty() && self.tape.chance(80) {
                (scope, asked) = self.scope(env, (false, false));
            }
        }
        let effect = self.effect();
        let rest = (0..1 + self.tape.below(2)).map(|_| self.condition(env, 1));
        let rest: Vec<_> = rest.collect();
        for number in 0..2 + self.tape.below(14) {
            let literal = match &path.ty {
                // More of them than the pools have.
                Ty::Long if number > 2 => number.to_string(),
                Ty::Str if number > 2 => quoted(&format!("s{number}")),
                ty => self.literal(ty),
            };
            let compared = match self.tape.chance(15) {
                true => format!("{literal} == {}", path.text),
                false => format!("{} == {literal}", path.text),
            };
            let guards = match self.slips() {
                true => &[],
                false => &path.guards[..],
            };
            let mut parts: Vec<_> = asked.iter().chain(guards).cloned().collect();
            parts.push(compared);
            parts.extend(
                self.tape
                    .chance(80)
                    .then(|| rest[number % rest.len()].clone()),
            );
            let conditions = match self.tape.chance(20) {
                // In clauses of their own.
                true if parts.len() > guards.len() + 2 => {
                    let last = parts.pop().unwrap_or_default();
                    let last = all(&asked, &last);
                    format!("when {{ {} }} when {{ {last} }}", parts.join(" && "))
                }
                _ => format!("when {{ {} }}", parts.join(" && ")),
            };
            let _ = writeln!(written.text, "{effect}({scope}) {conditions};");
            written.policies += 1;
        }
    }

    /// A truth value.
    fn condition(&mut self, env: &Env, depth: usize) -> String {
        if depth > 0 {
            match self.tape.below(8) {
                0 | 1 => return self.joined(env, "&&", depth),
                2 | 3 => return self.joined(env, "||", depth),
                4 => return format!("!{}", self.condition(env, depth - 1)),
                5 => {
                    let [c, a, b] = [(); 3].map(|()| self.condition(env, depth - 1));
                    return format!("(if {c} then {a} else {b})");
                }
                _ => {}
            }
        }
        let mut guards = Vec::new();
        let test = self.test(env, &mut guards);
        if self.slips() {
            guards.clear();
        }
        guards.dedup();
        all(&guards, &format!("({test})"))
    }

    fn joined(&mut self, env: &Env, op: &str, depth: usize) -> String {
        let [a, b] = [(); 2].map(|()| self.condition(env, depth - 1));
        format!("({a} {op} {b})")
    }

    /// One test.
    fn test(&mut self, env: &Env, guards: &mut Vec<String>) -> String {
        let path = env.paths[self.tape.below(env.paths.len())].clone();
        guards.extend_from_slice(&path.guards);
        let of = &path.text;
        let choice = self.tape.below(6);
        if choice == 5 {
            let op = self.tape.pick(&["==", "!="]);
            let other = self.like(env, &path, guards);
            return format!("{of} {op} {other}");
        }
        match &path.ty {
            Ty::Bool => of.clone(),
            Ty::Long | Ty::Datetime | Ty::Duration => {
                let op = self.tape.pick(&["<", "<=", ">", ">=", "=="]);
                let other = self.expr(env, &path.ty, 1, guards);
                format!("{of} {op} {other}")
            }
            Ty::Str if choice < 3 => {
                let pattern = PATTERNS[self.tape.below(PATTERNS.len())];
                format!("{of} like \"{pattern}\"")
            }
            Ty::Str => format!("{of} == {}", self.expr(env, &Ty::Str, 0, guards)),
            Ty::Decimal => {
                let ops = [
                    "lessThan",
                    "lessThanOrEqual",
                    "greaterThan",
                    "greaterThanOrEqual",
                ];
                let other = self.expr(env, &Ty::Decimal, 0, guards);
                format!("{of}.{}({other})", self.tape.pick(&ops))
            }
            Ty::Ip if choice < 3 => {
                let ops = ["isIpv4", "isIpv6", "isLoopback", "isMulticast"];
                format!("{of}.{}()", self.tape.pick(&ops))
            }
            Ty::Ip => format!("{of}.isInRange({})", self.expr(env, &Ty::Ip, 0, guards)),
            Ty::Set(member) => match choice {
                0 => format!("{of}.isEmpty()"),
                1 | 2 if self.is_writable(member) => {
                    format!("{of}.contains({})", self.expr(env, member, 0, guards))
                }
                _ => {
                    let op = self
                        .tape
                        .pick(&["containsAll", "containsAny", "containsAll"]);
                    format!("{of}.{op}({})", self.like(env, &path, guards))
                }
            },
            Ty::Entity(at) => self.entity_test(env, &path, *at, choice, guards),
            Ty::Record(fields) => match fields.keys().next() {
                Some(name) => format!("{of} has {}", quoted(name)),
                None => format!("{of} has a"),
            },
            Ty::Common(_) => unreachable!("paths are expanded"),
        }
    }

    fn entity_test(
        &mut self,
        env: &Env,
        path: &Path,
        at: usize,
        choice: usize,
        guards: &mut Vec<String>,
    ) -> String {
        let of = &path.text;
        let ty = &self.schema.types[at];
        let above = match ty.parents.is_empty() {
            true => at,
            false => ty.parents[self.tape.below(ty.parents.len())],
        };
        match choice {
            0 => format!("{of} is {}", ty.name),
            1 => {
                let other = self.any_type();
                format!("{of} is {}", self.schema.types[other].name)
            }
            2 if ty.tags.is_some() => format!("{of}.hasTag(\"b\")"),
            2 | 3 => {
                let n = 1 + self.tape.below(3);
                let items = (0..n).map(|_| self.expr(env, &Ty::Entity(above), 0, guards));
                format!("{of} in [{}]", items.collect::<Vec<_>>().join(", "))
            }
            _ => format!("{of} in {}", self.expr(env, &Ty::Entity(above), 0, guards)),
        }
    }

    /// Something of the path's type.
    fn like(&mut self, env: &Env, path: &Path, guards: &mut Vec<String>) -> String {
        match self.is_writable(&path.ty) {
            true => self.expr(env, &path.ty, 1, guards),
            false => path.text.clone(),
        }
    }

    /// Whether there are literals of the type: those of records say that all their fields are there.
    fn is_writable(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Record(fields) => fields
                .values()
                .all(|(ty, must)| *must && self.is_writable(ty)),
            Ty::Set(of) => self.is_writable(of),
            Ty::Common(_) => self.is_writable(&self.schema.expand(ty)),
            _ => true,
        }
    }

    /// An expression of the type.
    fn expr(&mut self, env: &Env, ty: &Ty, depth: usize, guards: &mut Vec<String>) -> String {
        if self.tape.chance(40) {
            let found: Vec<_> = env.paths.iter().filter(|path| path.ty == *ty).collect();
            if !found.is_empty() {
                let path = found[self.tape.below(found.len())];
                guards.extend_from_slice(&path.guards);
                return path.text.clone();
            }
        }
        if depth == 0 || self.tape.chance(40) {
            return self.literal(ty);
        }
        let depth = depth - 1;
        match ty {
            Ty::Long => match self.tape.below(5) {
                0 => format!("(-{})", self.expr(env, ty, depth, guards)),
                4 => {
                    let ops = [
                        "toMilliseconds",
                        "toSeconds",
                        "toMinutes",
                        "toHours",
                        "toDays",
                    ];
                    let of = self.expr(env, &Ty::Duration, depth, guards);
                    format!("{of}.{}()", self.tape.pick(&ops))
                }
                op => {
                    let [a, b] = [(); 2].map(|()| self.expr(env, ty, depth, guards));
                    format!("({a} {} {b})", ["+", "-", "*"][op - 1])
                }
            },
            Ty::Datetime => {
                let of = self.expr(env, ty, depth, guards);
                match self.tape.below(2) {
                    0 => format!("{of}.toDate()"),
                    _ => format!(
                        "{of}.offset({})",
                        self.expr(env, &Ty::Duration, depth, guards)
                    ),
                }
            }
            Ty::Duration => {
                let of = self.expr(env, &Ty::Datetime, depth, guards);
                match self.tape.below(2) {
                    0 => format!("{of}.toTime()"),
                    _ => {
                        let since = self.expr(env, &Ty::Datetime, depth, guards);
                        format!("{of}.durationSince({since})")
                    }
                }
            }
            _ => self.literal(ty),
        }
    }

    fn literal(&mut self, ty: &Ty) -> String {
        if self.slips() {
            return ["1", "\"a\"", "true", "[]", "{}"][self.tape.below(5)].to_owned();
        }
        let call = |name: &str, text: &str| format!("{name}({})", quoted(text));
        match ty {
            Ty::Bool => ["true", "false"][self.tape.below(2)].to_owned(),
            Ty::Long => match LONGS[self.tape.early(LONGS.len())] {
                negative if negative < 0 => format!("({negative})"),
                long => long.to_string(),
            },
            Ty::Str => quoted(STRINGS[self.tape.early(STRINGS.len())]),
            Ty::Decimal => call("decimal", DECIMALS[self.tape.early(8)]),
            Ty::Ip => call("ip", IPS[self.tape.early(8)]),
            Ty::Datetime => call("datetime", DATETIMES[self.tape.early(8)]),
            Ty::Duration => call("duration", DURATIONS[self.tape.early(8)]),
            Ty::Entity(at) => {
                let (of, id) = self.uid_of(*at);
                entity_text((&of, &id))
            }
            Ty::Set(of) => {
                let items = (0..1 + self.tape.below(3)).map(|_| self.literal(of));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Ty::Record(fields) => {
                let field = |(name, (ty, _)): (&String, &(Ty, bool))| {
                    format!("{}: {}", quoted(name), self.literal(ty))
                };
                let fields: Vec<_> = fields.iter().map(field).collect();
                format!("{{{}}}", fields.join(", "))
            }
            Ty::Common(at) => {
                let schema = self.schema;
                self.literal(&schema.commons[*at].1)
            }
        }
    }
}

/// The one behind all the others.
fn all(guards: &[String], last: &str) -> String {
    if guards.is_empty() {
        return last.to_owned();
    }
    format!("({} && {last})", guards.join(" && "))
}
