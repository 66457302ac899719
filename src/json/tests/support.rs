//! Names for tests, and comparing values with Cedar's.

use std::fmt::Write;

use cedar_policy::{Context, Entities, EvalResult, Expression, Request, eval_expression};

use crate::id::{Sym, Uid};
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::{Value, View};

/// Numbers names in the order of their first use.
#[derive(Default)]
pub(crate) struct Names {
    uids: Vec<(String, String)>,
    syms: Vec<String>,
}

impl Names {
    /// The attribute names that were asked for.
    pub(crate) fn syms(&self) -> &[String] {
        &self.syms
    }
}

impl Intern for Names {
    fn uid(&mut self, type_name: &str, id: &str) -> Result<Uid, TableFull> {
        let uid = (type_name.to_owned(), id.to_owned());
        Uid::known(position_or_push(&mut self.uids, uid)).ok_or(TableFull)
    }

    fn sym(&mut self, name: &str) -> Result<Sym, TableFull> {
        Sym::known(position_or_push(&mut self.syms, name.to_owned())).ok_or(TableFull)
    }
}

fn position_or_push<T: PartialEq>(all: &mut Vec<T>, new: T) -> usize {
    all.iter().position(|one| *one == new).unwrap_or_else(|| {
        all.push(new);
        all.len() - 1
    })
}

impl NameText for Names {
    fn uid_text(&self, uid: Uid) -> (&str, &str) {
        let (type_name, id) = &self.uids[uid.index()];
        (type_name, id)
    }

    fn sym_text(&self, sym: Sym) -> &str {
        &self.syms[sym.index()]
    }
}

/// The value as a Cedar expression. Keys of records are sorted, so that equal records of one table of names have
/// equal texts.
pub(crate) fn expression(value: Value<'_>, names: &Names) -> String {
    match value.view() {
        View::Bool(b) => b.to_string(),
        View::Long(i) => i.to_string(),
        View::String(s) => quoted(s),
        View::Entity(uid) => {
            let (type_name, id) = names.uid_text(uid);
            format!("{type_name}::{}", quoted(id))
        }
        View::Set(set) => {
            let items: Vec<_> = set.iter().map(|item| expression(item, names)).collect();
            format!("[{}]", items.join(", "))
        }
        View::Record(record) => {
            let mut fields: Vec<_> = record
                .iter()
                .map(|(key, value)| (names.sym_text(key), expression(value, names)))
                .collect();
            fields.sort();
            let mut text = String::from("{");
            for (index, (key, value)) in fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(text, "{comma}{}: {value}", quoted(key)).unwrap();
            }
            text + "}"
        }
        View::Decimal(d) => format!("decimal(\"{d}\")"),
        View::Datetime(d) => format!(
            "datetime(\"1970-01-01\").offset(duration(\"{}ms\"))",
            d.millis()
        ),
        View::Duration(d) => format!("duration(\"{}ms\")", d.millis()),
        View::Ip(ip) => format!("ip(\"{ip}\")"),
    }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

/// Whether Cedar finds `left` and `right` equal, `left` being an expression over `context` and `entities`.
pub(crate) fn cedar_equal(
    context: Context,
    entities: &Entities,
    left: &str,
    right: &str,
) -> Result<(), String> {
    let uid = |text: &str| text.parse().unwrap();
    let request = Request::new(
        uid("P::\"\""),
        uid("A::\"\""),
        uid("R::\"\""),
        context,
        None,
    );
    let text = format!("{left} == {right}");
    let expression: Expression = text.parse().map_err(|error| format!("{text}: {error}"))?;
    match eval_expression(&request.unwrap(), entities, &expression) {
        Ok(EvalResult::Bool(true)) => Ok(()),
        other => Err(format!("{text}: {other:?}")),
    }
}
