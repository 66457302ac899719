//! [`Json`] to values, by Cedar's JSON formats ("Entities and context syntax" in the Cedar documentation; what it
//! leaves open is pinned by `cedar-policy` in the tests).
//!
//! Two ways of reading alternate. *Plain* reading takes JSON for what it looks like, except for objects with the
//! single key `__entity` or `__extn`. *Directed* reading knows the type that the schema declares for the place and
//! accepts shorter forms, but checks no more than it needs to tell them apart: a string where the schema wants a long
//! is read as a string, and validation refuses it afterwards. In plain data every object below is plain too, while
//! the top of it is treated as directed (without a type), which is where Cedar looks for `unknown`.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::schema::{ExtensionType, RecordType, Type};
use crate::value::arena::{self, Intern};
use crate::value::ops::Extension;
use crate::value::{ErrorKind, Record, Value};

use super::{Json, Member, ReadError, ReadErrorKind, Step, is_normalized_type_name, member};

type Outcome<'a, T = Value<'a>> = Result<T, ReadError<'a>>;

/// Reads one value: an attribute, a tag, or anything else that stands alone. `expected` is its declared type.
#[cfg(test)]
pub(crate) fn read_value<'a>(
    arena: &'a Bump,
    json: &'a Json<'a>,
    expected: Option<&Type>,
    names: &mut impl Intern,
) -> Outcome<'a> {
    Reader { arena, names }.directed(json, expected)
}

/// Reads a request's context. `expected` is the type that the schema declares for the action; the fields `later` need not
/// be there, because they are added afterwards.
pub(crate) fn read_context<'a>(
    arena: &'a Bump,
    json: &'a Json<'a>,
    expected: Option<&RecordType>,
    later: &[Option<&str>],
    names: &mut impl Intern,
) -> Outcome<'a, Record<'a>> {
    let mut reader = Reader { arena, names };
    let value = match expected {
        Some(ty) => reader.directed_record(json, ty, later),
        None => reader.directed(json, None),
    };
    value
        .and_then(|value| {
            value
                .as_record()
                .map_err(|_| ReadErrorKind::ExpectedRecord.here())
        })
        .map_err(|error| error.within(arena, Step::Root("context")))
}

/// Reads an entity uid where nothing else can stand, into type name and id: `{"type", "id"}`, the same within
/// `__entity`, and (an accident of Cedar's reader that data may depend on) `[type, id]` in place of either.
pub(crate) fn read_uid<'a>(json: &Json<'a>) -> Outcome<'a, (&'a str, &'a str)> {
    let members = json.as_object().unwrap_or_default();
    if is_expr_escape(members) {
        return Err(ReadErrorKind::ExprEscape.here());
    }
    let explicit = member(members, "__entity").and_then(type_and_id);
    let (type_name, id) = explicit
        .or_else(|| type_and_id(json))
        .ok_or(ReadErrorKind::ExpectedEntity.here())?;
    Ok((checked_type_name(type_name)?, id))
}

fn type_and_id<'a>(json: &Json<'a>) -> Option<(&'a str, &'a str)> {
    match json {
        Json::Object(members) => Some((
            member(members, "type")?.as_str()?,
            member(members, "id")?.as_str()?,
        )),
        Json::Array([type_name, id]) => Some((type_name.as_str()?, id.as_str()?)),
        _ => None,
    }
}

fn checked_type_name(name: &str) -> Outcome<'_, &str> {
    if is_normalized_type_name(name) {
        Ok(name)
    } else {
        Err(ReadErrorKind::TypeName(name).here())
    }
}

fn is_expr_escape(members: &[Member<'_>]) -> bool {
    matches!(member(members, "__expr"), Some(Json::String(_)))
}

/// A call of an extension function, not yet made.
#[derive(Clone, Copy)]
struct Call<'a> {
    function: &'a str,
    arguments: &'a [Json<'a>],
}

impl<'a> Call<'a> {
    /// The call that `{"fn", "arg"}` or `{"fn", "args"}` stands for. `arg` goes first, but arguments in which Cedar
    /// cannot read the numbers count as absent.
    fn in_object(json: &Json<'a>) -> Option<Self> {
        let members = json.as_object()?;
        let function = member(members, "fn")?.as_str()?;
        let single = member(members, "arg").map(std::slice::from_ref);
        let several = || match member(members, "args")? {
            Json::Array(arguments) => Some(*arguments),
            _ => None,
        };
        let arguments = single
            .filter(|arguments| numbers_fit(arguments))
            .or_else(|| several().filter(|arguments| numbers_fit(arguments)))?;
        Some(Self {
            function,
            arguments,
        })
    }
}

/// Whether all numbers, however deep, are integers of 64 bits. Where Cedar discards a part of a document, it may still
/// have tried to read the numbers in it.
fn numbers_fit(values: &[Json<'_>]) -> bool {
    values.iter().all(|json| match json {
        Json::Number(_) => false,
        Json::Array(elements) => numbers_fit(elements),
        Json::Object(members) => members
            .iter()
            .all(|(_, value)| numbers_fit(std::slice::from_ref(value))),
        _ => true,
    })
}

/// Where values go.
pub(super) struct Reader<'r, 'a, N> {
    pub(super) arena: &'a Bump,
    pub(super) names: &'r mut N,
}

impl<'a, N: Intern> Reader<'_, 'a, N> {
    pub(super) fn directed(&mut self, json: &'a Json<'a>, expected: Option<&Type>) -> Outcome<'a> {
        if is_unknown_escape(json) {
            return Err(ReadErrorKind::Unknown.here());
        }
        match expected {
            Some(Type::Entity(_)) => self.entity(read_uid(json)?),
            Some(Type::Extension(ty)) => self.directed_extension(json, *ty),
            Some(Type::Set(element)) => match json {
                Json::Array(elements) => self.set(elements, |reader, json| {
                    reader.directed(json, Some(element))
                }),
                _ => Err(ReadErrorKind::ExpectedSet.here()),
            },
            Some(Type::Record(ty)) => self.directed_record(json, ty, &[]),
            Some(Type::Bool | Type::Long | Type::String) | None => self.plain(json),
        }
    }

    fn directed_record(
        &mut self,
        json: &'a Json<'a>,
        ty: &RecordType,
        later: &[Option<&str>],
    ) -> Outcome<'a> {
        if is_unknown_escape(json) {
            return Err(ReadErrorKind::Unknown.here());
        }
        let Json::Object(members) = json else {
            return Err(ReadErrorKind::ExpectedRecord.here());
        };
        let mut fields = Vec::with_capacity_in(members.len(), self.arena);
        let mut required = 0;
        for (key, json) in *members {
            let Some(attribute) = ty.attribute(key) else {
                return Err(ReadErrorKind::UnexpectedAttribute(key).here());
            };
            required += usize::from(attribute.required);
            let value = self.directed(json, Some(&attribute.ty));
            fields.push((self.names.sym(key)?, value.map_err(self.at(key))?));
        }
        // No key occurs twice, so equal numbers mean that all are there.
        if required != ty.required() {
            let given = members.iter().map(|(key, _)| *key);
            let mut names = Vec::with_capacity_in(members.len() + later.len(), self.arena);
            names.extend(given.chain(later.iter().flatten().copied()));
            if let Some(missing) = ty.missing(&mut names) {
                let name = self.arena.alloc_str(&missing.name);
                return Err(ReadErrorKind::MissingAttribute(name).here());
            }
        }
        self.record(fields)
    }

    fn directed_extension(&mut self, json: &'a Json<'a>, ty: ExtensionType) -> Outcome<'a> {
        let members = json.as_object().unwrap_or_default();
        if is_expr_escape(members) {
            return Err(ReadErrorKind::ExprEscape.here());
        }
        let explicit = member(members, "__extn").and_then(Call::in_object);
        if let Some(call) = explicit.or_else(|| Call::in_object(json)) {
            return self.call(call, |reader, ty, json| reader.directed(json, Some(&ty)));
        }
        match json {
            Json::String(text) => {
                let constructor = match ty {
                    ExtensionType::Decimal => Extension::Decimal,
                    ExtensionType::Ip => Extension::Ip,
                    ExtensionType::Datetime => Extension::Datetime,
                    ExtensionType::Duration => Extension::Duration,
                };
                evaluate(self.arena, constructor, &[Value::BuiltString(text)])
            }
            _ => Err(ReadErrorKind::ExpectedExtension.here()),
        }
    }

    fn plain(&mut self, json: &'a Json<'a>) -> Outcome<'a> {
        match json {
            Json::Null => Err(ReadErrorKind::Null.here()),
            Json::Bool(b) => Ok((*b).into()),
            Json::Integer(i) => Ok(Value::Long(*i)),
            Json::Number(text) => Err(ReadErrorKind::Number(text).here()),
            Json::String(text) => Ok(Value::BuiltString(text)),
            Json::Array(elements) => self.set(elements, Self::plain),
            Json::Object([(key, inner)]) if key.starts_with("__") => {
                self.plain_escape(json, key, inner)
            }
            Json::Object(members) => self.plain_record(members),
        }
    }

    /// An object with one key that may be an escape. One that lacks a field, or has one of the wrong type, is a record.
    fn plain_escape(&mut self, json: &'a Json<'a>, key: &str, inner: &'a Json<'a>) -> Outcome<'a> {
        match key {
            "__expr" if inner.as_str().is_some() => return Err(ReadErrorKind::ExprEscape.here()),
            "__entity"
                if inner.as_object().is_some() && numbers_fit(std::slice::from_ref(inner)) =>
            {
                if let Some((type_name, id)) = type_and_id(inner) {
                    return self.entity((checked_type_name(type_name)?, id));
                }
            }
            "__extn" if numbers_fit(std::slice::from_ref(inner)) => {
                if let Some(call) = Call::in_object(inner) {
                    return self.call(call, |reader, _, json| reader.plain(json));
                }
            }
            _ => {}
        }
        self.plain_record(json.as_object().unwrap_or_default())
    }

    fn plain_record(&mut self, members: &'a [Member<'a>]) -> Outcome<'a> {
        let mut fields = Vec::with_capacity_in(members.len(), self.arena);
        for (key, json) in members {
            let value = self.plain(json).map_err(self.at(key))?;
            fields.push((self.names.sym(key)?, value));
        }
        self.record(fields)
    }

    fn set(
        &mut self,
        elements: &'a [Json<'a>],
        read: impl Fn(&mut Self, &'a Json<'a>) -> Outcome<'a>,
    ) -> Outcome<'a> {
        let mut items = Vec::with_capacity_in(elements.len(), self.arena);
        for (index, json) in elements.iter().enumerate() {
            let item = read(self, json);
            items.push(item.map_err(|error| error.within(self.arena, Step::Index(index)))?);
        }
        Ok(arena::set(self.arena, items))
    }

    fn call(
        &mut self,
        call: Call<'a>,
        read: impl Fn(&mut Self, Type, &'a Json<'a>) -> Outcome<'a>,
    ) -> Outcome<'a> {
        if call.function == "unknown" {
            return Err(ReadErrorKind::Unknown.here());
        }
        let function = Extension::from_name(call.function)
            .ok_or(ReadErrorKind::NoSuchFunction(call.function).here())?;
        let (first, second) = parameters(function);
        match call.arguments {
            [a] => {
                let a = read(self, first, a)?;
                evaluate(self.arena, function, &[a])
            }
            [a, b] => {
                let a = read(self, first, a)?;
                let b = read(self, second, b)?;
                evaluate(self.arena, function, &[a, b])
            }
            _ => Err(failed(function, ErrorKind::WrongNumArguments, &[])),
        }
    }

    fn entity(&mut self, (type_name, id): (&str, &str)) -> Outcome<'a> {
        Ok(self.names.uid(type_name, id)?.into())
    }

    fn record(&self, fields: Vec<'a, (crate::id::Sym, Value<'a>)>) -> Outcome<'a> {
        match arena::record(self.arena, fields) {
            Ok(record) => Ok(record.into()),
            Err(_) => Err(ReadErrorKind::DuplicateKey.here()),
        }
    }

    /// Places an error under a key.
    fn at(&self, key: &'a str) -> impl FnOnce(ReadError<'a>) -> ReadError<'a> + use<'a, N> {
        let arena = self.arena;
        move |error| error.within(arena, Step::Field(key))
    }
}

/// The types of a function's parameters; the second is without meaning where there is one.
fn parameters(function: Extension) -> (Type, Type) {
    let (decimal, ip, datetime, duration) = (
        Type::Extension(ExtensionType::Decimal),
        Type::Extension(ExtensionType::Ip),
        Type::Extension(ExtensionType::Datetime),
        Type::Extension(ExtensionType::Duration),
    );
    match function {
        Extension::Decimal | Extension::Ip | Extension::Datetime | Extension::Duration => {
            (Type::String, Type::String)
        }
        Extension::LessThan
        | Extension::LessThanOrEqual
        | Extension::GreaterThan
        | Extension::GreaterThanOrEqual => (decimal.clone(), decimal),
        Extension::IsIpv4
        | Extension::IsIpv6
        | Extension::IsLoopback
        | Extension::IsMulticast
        | Extension::IsInRange => (ip.clone(), ip),
        Extension::Offset => (datetime, duration),
        Extension::DurationSince | Extension::ToDate | Extension::ToTime => {
            (datetime.clone(), datetime)
        }
        Extension::ToMilliseconds
        | Extension::ToSeconds
        | Extension::ToMinutes
        | Extension::ToHours
        | Extension::ToDays => (duration.clone(), duration),
    }
}

fn evaluate<'a>(arena: &'a Bump, function: Extension, arguments: &[Value<'a>]) -> Outcome<'a> {
    function
        .call(arguments, arena)
        .map_err(|error| failed(function, error, arguments))
}

#[cold]
fn failed<'a>(function: Extension, error: ErrorKind, arguments: &[Value<'a>]) -> ReadError<'a> {
    let text = match arguments {
        [only] => only.as_string().ok(),
        _ => None,
    };
    let call = ReadErrorKind::Call {
        function,
        error,
        text,
    };
    call.here()
}

/// Whether Cedar takes the value for an `unknown`, whatever type is declared. Other keys next to `__extn` are no
/// obstacle here, unlike in plain reading.
fn is_unknown_escape(json: &Json<'_>) -> bool {
    let members = json.as_object().unwrap_or_default();
    let call = member(members, "__extn").and_then(|json| json.as_object());
    let Some(call) = call.filter(|_| !is_expr_escape(members)) else {
        return false;
    };
    matches!(member(call, "fn"), Some(Json::String("unknown")))
        && matches!(member(call, "arg"), Some(Json::String(_)))
}
