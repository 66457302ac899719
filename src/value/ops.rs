//! Cedar's operators on values alone: one pure function each, used by the evaluator and by the constant
//! folder, so that folding cannot disagree with evaluating. What needs entities (`in`, attribute access) is in
//! the evaluator.
//!
//! Rules: Cedar's reference manual, "Operators"; behaviour pinned by the `cedar-policy` oracle in the tests.

use bumpalo::Bump;

use crate::ext::{Datetime, Decimal, Duration, IpAddr};

use super::{ErrorKind, Set, Value, arena};

type Outcome<'a> = Result<Value<'a>, ErrorKind>;

/// What operators give whose result is boolean whenever there is one.
type Test = Result<bool, ErrorKind>;

pub(crate) fn not(value: Value<'_>) -> Test {
    Ok(!value.as_bool()?)
}

pub(crate) fn neg(value: Value<'_>) -> Outcome<'static> {
    overflow(value.as_long()?.checked_neg())
}

pub(crate) fn is_empty(value: Value<'_>) -> Test {
    Ok(value.as_set()?.len() == 0)
}

pub(crate) fn add(a: Value<'_>, b: Value<'_>) -> Outcome<'static> {
    overflow(a.as_long()?.checked_add(b.as_long()?))
}

pub(crate) fn sub(a: Value<'_>, b: Value<'_>) -> Outcome<'static> {
    overflow(a.as_long()?.checked_sub(b.as_long()?))
}

pub(crate) fn mul(a: Value<'_>, b: Value<'_>) -> Outcome<'static> {
    overflow(a.as_long()?.checked_mul(b.as_long()?))
}

fn overflow(result: Option<i64>) -> Outcome<'static> {
    result.map(Value::Long).ok_or(ErrorKind::IntegerOverflow)
}

/// `<`: two longs, two datetimes or two durations. Decimals have methods instead.
pub(crate) fn less(a: Value<'_>, b: Value<'_>) -> Test {
    match (a, b) {
        (Value::Long(a), Value::Long(b)) => Ok(a < b),
        (Value::Datetime(a), Value::Datetime(b)) => Ok(a < b),
        (Value::Duration(a), Value::Duration(b)) => Ok(a < b),
        _ => Err(ErrorKind::TypeError),
    }
}

/// `<=`, defined where [`less`] is.
pub(crate) fn less_eq(a: Value<'_>, b: Value<'_>) -> Test {
    match (a, b) {
        (Value::Long(a), Value::Long(b)) => Ok(a <= b),
        (Value::Datetime(a), Value::Datetime(b)) => Ok(a <= b),
        (Value::Duration(a), Value::Duration(b)) => Ok(a <= b),
        _ => Err(ErrorKind::TypeError),
    }
}

pub(crate) fn contains(set: Value<'_>, item: Value<'_>) -> Test {
    Ok(set.as_set()?.contains(item))
}

pub(crate) fn contains_all(set: Value<'_>, items: Value<'_>) -> Test {
    let (set, items) = (set.as_set()?, items.as_set()?);
    Ok(items.len() <= set.len() && items.iter().all(|item| set.contains(item)))
}

pub(crate) fn contains_any(a: Value<'_>, b: Value<'_>) -> Test {
    let (a, b) = (a.as_set()?, b.as_set()?);
    let (small, large): (Set<'_>, Set<'_>) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    Ok(small.iter().any(|item| large.contains(item)))
}

/// The extension functions, constructors first. Names and arities are Cedar's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Extension {
    Decimal,
    Ip,
    Datetime,
    Duration,
    LessThan,
    LessThanOrEqual,
    GreaterThan,
    GreaterThanOrEqual,
    IsIpv4,
    IsIpv6,
    IsLoopback,
    IsMulticast,
    IsInRange,
    Offset,
    DurationSince,
    ToDate,
    ToTime,
    ToMilliseconds,
    ToSeconds,
    ToMinutes,
    ToHours,
    ToDays,
}

impl Extension {
    const ALL: [Self; 22] = [
        Self::Decimal,
        Self::Ip,
        Self::Datetime,
        Self::Duration,
        Self::LessThan,
        Self::LessThanOrEqual,
        Self::GreaterThan,
        Self::GreaterThanOrEqual,
        Self::IsIpv4,
        Self::IsIpv6,
        Self::IsLoopback,
        Self::IsMulticast,
        Self::IsInRange,
        Self::Offset,
        Self::DurationSince,
        Self::ToDate,
        Self::ToTime,
        Self::ToMilliseconds,
        Self::ToSeconds,
        Self::ToMinutes,
        Self::ToHours,
        Self::ToDays,
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Decimal => "decimal",
            Self::Ip => "ip",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
            Self::LessThan => "lessThan",
            Self::LessThanOrEqual => "lessThanOrEqual",
            Self::GreaterThan => "greaterThan",
            Self::GreaterThanOrEqual => "greaterThanOrEqual",
            Self::IsIpv4 => "isIpv4",
            Self::IsIpv6 => "isIpv6",
            Self::IsLoopback => "isLoopback",
            Self::IsMulticast => "isMulticast",
            Self::IsInRange => "isInRange",
            Self::Offset => "offset",
            Self::DurationSince => "durationSince",
            Self::ToDate => "toDate",
            Self::ToTime => "toTime",
            Self::ToMilliseconds => "toMilliseconds",
            Self::ToSeconds => "toSeconds",
            Self::ToMinutes => "toMinutes",
            Self::ToHours => "toHours",
            Self::ToDays => "toDays",
        }
    }

    /// How many arguments the function takes, the receiver of a method included.
    pub(crate) fn arity(self) -> usize {
        match self {
            Self::LessThan
            | Self::LessThanOrEqual
            | Self::GreaterThan
            | Self::GreaterThanOrEqual
            | Self::IsInRange
            | Self::Offset
            | Self::DurationSince => 2,
            _ => 1,
        }
    }

    /// Whether it compares two numbers.
    pub(crate) fn is_comparison(self) -> bool {
        use Extension::{GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual};
        matches!(
            self,
            LessThan | LessThanOrEqual | GreaterThan | GreaterThanOrEqual
        )
    }

    /// Calls the function. Arguments are all evaluated by now; their number is checked here, as in Cedar.
    pub(crate) fn call<'a>(self, args: &[Value<'a>], arena: &'a Bump) -> Outcome<'a> {
        match *args {
            [arg] if self.arity() == 1 => self.call1(arg, arena),
            [a, b] if self.arity() == 2 => self.call2(a, b),
            _ => Err(ErrorKind::WrongNumArguments),
        }
    }

    /// Calls a function of one argument. What it parses is put into `arena` if it does not fit into a value.
    pub(crate) fn call1<'a>(self, arg: Value<'_>, arena: &'a Bump) -> Outcome<'a> {
        let failed = |_| ErrorKind::FailedExtensionFunctionExecution;
        Ok(match self {
            Self::Decimal => Value::Decimal(Decimal::parse(arg.as_string()?).map_err(failed)?),
            Self::Ip => arena::ip(arena, IpAddr::parse(arg.as_string()?).map_err(failed)?),
            Self::Datetime => Value::Datetime(Datetime::parse(arg.as_string()?).map_err(failed)?),
            Self::Duration => Value::Duration(Duration::parse(arg.as_string()?).map_err(failed)?),
            Self::IsIpv4 => Value::from(as_ip(arg)?.is_ipv4()),
            Self::IsIpv6 => Value::from(as_ip(arg)?.is_ipv6()),
            Self::IsLoopback => Value::from(as_ip(arg)?.is_loopback()),
            Self::IsMulticast => Value::from(as_ip(arg)?.is_multicast()),
            Self::ToDate => Value::Datetime(as_datetime(arg)?.to_date().map_err(failed)?),
            Self::ToTime => Value::Duration(as_datetime(arg)?.to_time()),
            Self::ToMilliseconds => Value::Long(as_duration(arg)?.millis()),
            Self::ToSeconds => Value::Long(as_duration(arg)?.to_seconds()),
            Self::ToMinutes => Value::Long(as_duration(arg)?.to_minutes()),
            Self::ToHours => Value::Long(as_duration(arg)?.to_hours()),
            Self::ToDays => Value::Long(as_duration(arg)?.to_days()),
            _ => return Err(ErrorKind::WrongNumArguments),
        })
    }

    /// Calls a function of two arguments.
    pub(crate) fn call2<'a>(self, a: Value<'_>, b: Value<'_>) -> Outcome<'a> {
        let failed = |_| ErrorKind::FailedExtensionFunctionExecution;
        Ok(match self {
            Self::LessThan => Value::from(as_decimal(a)? < as_decimal(b)?),
            Self::LessThanOrEqual => Value::from(as_decimal(a)? <= as_decimal(b)?),
            Self::GreaterThan => Value::from(as_decimal(a)? > as_decimal(b)?),
            Self::GreaterThanOrEqual => Value::from(as_decimal(a)? >= as_decimal(b)?),
            Self::IsInRange => Value::from(as_ip(a)?.is_in_range(*as_ip(b)?)),
            Self::Offset => {
                Value::Datetime(as_datetime(a)?.offset(as_duration(b)?).map_err(failed)?)
            }
            Self::DurationSince => Value::Duration(
                as_datetime(a)?
                    .duration_since(as_datetime(b)?)
                    .map_err(failed)?,
            ),
            _ => return Err(ErrorKind::WrongNumArguments),
        })
    }
}

fn as_decimal(value: Value<'_>) -> Result<Decimal, ErrorKind> {
    match value {
        Value::Decimal(d) => Ok(d),
        _ => Err(ErrorKind::TypeError),
    }
}

fn as_ip(value: Value<'_>) -> Result<&IpAddr, ErrorKind> {
    match value {
        Value::Ip(ip) => Ok(ip),
        _ => Err(ErrorKind::TypeError),
    }
}

fn as_datetime(value: Value<'_>) -> Result<Datetime, ErrorKind> {
    match value {
        Value::Datetime(d) => Ok(d),
        _ => Err(ErrorKind::TypeError),
    }
}

fn as_duration(value: Value<'_>) -> Result<Duration, ErrorKind> {
    match value {
        Value::Duration(d) => Ok(d),
        _ => Err(ErrorKind::TypeError),
    }
}
