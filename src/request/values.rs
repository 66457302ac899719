//! Cedar values that Rust types do not say by themselves: references to entities and the four extension types.
//!
//! A context or an attribute is any `serde::Serialize`; its integers, strings, sequences and structs become longs,
//! strings, sets and records. These types mark what is more than that:
//!
//! ```
//! use duramen::values::{Datetime, EntityRef, Ip};
//!
//! #[derive(serde::Serialize)]
//! struct Context<'a> {
//!     owner: EntityRef<'a>,
//!     source_ip: Ip<'a>,
//!     now: Datetime<'a>,
//! }
//!
//! let context = Context {
//!     owner: EntityRef::new("User", "alice"),
//!     source_ip: Ip::new("10.0.0.1"),
//!     now: Datetime::from_millis(1_700_000_000_000),
//! };
//! # let _ = context;
//! ```
//!
//! Text is read when the value is used, and an error then names the field. Only these types and
//! [`EntityUid`](crate::EntityUid) refer to entities: a struct or a map that happens to have a field called
//! `__entity` stays a record, so that data from outside cannot pose as one.
//!
//! With other serializers, such as `serde_json`, the types give Cedar's JSON escapes: `{"__entity": …}` and
//! `{"__extn": …}`. Formats that are not human-readable get the bare number or text in place of the call.

use std::{net, time};

use serde::ser::{Error, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::ext;

pub use crate::ext::ExtError;
use crate::id::EntityUidRef;

/// The newtype names by which our serializer knows these types. They are no identifiers, so that no derived
/// `Serialize` has them by accident, and data cannot choose the name of a type.
pub(super) const ENTITY_REF: &str = "$duramen::EntityRef";
pub(super) const DECIMAL: &str = "$duramen::Decimal";
pub(super) const IP: &str = "$duramen::Ip";
pub(super) const DATETIME: &str = "$duramen::Datetime";
pub(super) const DURATION: &str = "$duramen::Duration";

/// A reference to an entity, `User::"alice"`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EntityRef<'a>(EntityUidRef<'a>);

impl<'a> EntityRef<'a> {
    /// The entity of a type name and an id.
    pub fn new(type_name: &'a str, id: &'a str) -> Self {
        Self(EntityUidRef::new(type_name, id))
    }
}

impl<'a, T: Into<EntityUidRef<'a>>> From<T> for EntityRef<'a> {
    fn from(uid: T) -> Self {
        Self(uid.into())
    }
}

impl Serialize for EntityRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(ENTITY_REF, &Escape(self))
    }
}

/// The inside of a value of this module: Cedar's escape for people, less for machines.
struct Escape<'r, T>(&'r T);

impl Serialize for Escape<'_, EntityRef<'_>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let uid = self.0.0;
        if !serializer.is_human_readable() {
            return uid.serialize(serializer);
        }
        let mut escape = serializer.serialize_struct("Escape", 1)?;
        escape.serialize_field("__entity", &uid)?;
        escape.end()
    }
}

/// What an extension value is made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Form<'a, T> {
    Text(&'a str),
    Value(T),
}

macro_rules! extension_value {
    ($(#[$doc:meta])* $name:ident, $marker:ident, $function:literal, $inner:ty, $compact:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $name<'a>(Form<'a, $inner>);

        impl<'a> $name<'a> {
            #[doc = concat!("What Cedar's `", $function, "(text)` is. Malformed text is an error where the value is used.")]
            pub fn new(text: &'a str) -> Self {
                Self(Form::Text(text))
            }
        }

        impl<'a> From<&'a str> for $name<'a> {
            fn from(text: &'a str) -> Self {
                Self::new(text)
            }
        }

        impl $name<'_> {
            // No `From`: in the public API it would name a type that users cannot.
            fn of(value: $inner) -> Self {
                Self(Form::Value(value))
            }
        }

        impl Serialize for $name<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_newtype_struct($marker, &Escape(self))
            }
        }

        impl Serialize for Escape<'_, $name<'_>> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if !serializer.is_human_readable() {
                    return match self.0.0 {
                        Form::Text(text) => serializer.serialize_str(text),
                        Form::Value(value) => $compact(value, serializer),
                    };
                }
                let mut escape = serializer.serialize_struct("Escape", 1)?;
                match self.0.0 {
                    Form::Text(arg) => escape.serialize_field("__extn", &call($function, arg))?,
                    Form::Value(value) => {
                        escape.serialize_field("__extn", &call($function, Text(value)))?;
                    }
                }
                escape.end()
            }
        }
    };
}

/// What is under `__extn`.
#[derive(Serialize)]
struct Call<T> {
    r#fn: &'static str,
    arg: T,
}

fn call<T>(function: &'static str, arg: T) -> Call<T> {
    Call {
        r#fn: function,
        arg,
    }
}

/// A value as the text that its constructor reads back.
struct Text<T>(T);

extension_value! {
    /// Cedar's `ip`: an address or a range of them.
    Ip, IP, "ip", ext::IpAddr, compact_ip
}

extension_value! {
    /// Cedar's `decimal`: a number with up to four digits after the point.
    Decimal, DECIMAL, "decimal", ext::Decimal, compact_decimal
}

extension_value! {
    /// Cedar's `datetime`: a point in time, in milliseconds.
    Datetime, DATETIME, "datetime", ext::Datetime, compact_datetime
}

extension_value! {
    /// Cedar's `duration`: a span of time, in milliseconds.
    Duration, DURATION, "duration", ext::Duration, compact_duration
}

impl Ip<'_> {
    /// The range of addresses that share the first `prefix` bits with `addr`.
    ///
    /// # Errors
    /// When the address has fewer bits than that.
    pub fn range(addr: impl Into<net::IpAddr>, prefix: u8) -> Result<Self, ExtError> {
        ext::IpAddr::new(addr.into(), prefix).map(Self::of)
    }
}

impl From<net::IpAddr> for Ip<'_> {
    fn from(addr: net::IpAddr) -> Self {
        Self::of(ext::IpAddr::from(addr))
    }
}

impl From<net::Ipv4Addr> for Ip<'_> {
    fn from(addr: net::Ipv4Addr) -> Self {
        Self::of(ext::IpAddr::from(addr))
    }
}

impl From<net::Ipv6Addr> for Ip<'_> {
    fn from(addr: net::Ipv6Addr) -> Self {
        Self::of(ext::IpAddr::from(addr))
    }
}

impl Decimal<'_> {
    /// The decimal that is `scaled` ten-thousandths.
    pub fn from_scaled(scaled: i64) -> Self {
        Self::of(ext::Decimal::from_scaled(scaled))
    }
}

impl Datetime<'_> {
    /// The time `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub fn from_millis(millis: i64) -> Self {
        Self::of(ext::Datetime::from_millis(millis))
    }
}

impl TryFrom<time::SystemTime> for Datetime<'_> {
    type Error = ExtError;

    fn try_from(point: time::SystemTime) -> Result<Self, ExtError> {
        ext::Datetime::try_from(point).map(Self::of)
    }
}

impl Duration<'_> {
    /// A span of `millis` milliseconds.
    pub fn from_millis(millis: i64) -> Self {
        Self::of(ext::Duration::from_millis(millis))
    }
}

impl TryFrom<time::Duration> for Duration<'_> {
    type Error = ExtError;

    fn try_from(duration: time::Duration) -> Result<Self, ExtError> {
        ext::Duration::try_from(duration).map(Self::of)
    }
}

impl Serialize for Text<ext::IpAddr> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Text<ext::Decimal> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Text<ext::Datetime> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.0.is_representable() {
            return Err(S::Error::custom(
                "a datetime beyond the years 0 to 9999 has no text",
            ));
        }
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Text<ext::Duration> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn compact_decimal<S: Serializer>(value: ext::Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(value.scaled())
}

fn compact_datetime<S: Serializer>(value: ext::Datetime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(value.millis())
}

fn compact_duration<S: Serializer>(value: ext::Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(value.millis())
}

/// Prefix length and octets, 5 or 17 bytes. [`ip_from_compact`] reads them back.
fn compact_ip<S: Serializer>(ip: ext::IpAddr, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = [ip.prefix(); 17];
    let len = match ip.addr() {
        net::IpAddr::V4(addr) => fill(&mut bytes, &addr.octets()),
        net::IpAddr::V6(addr) => fill(&mut bytes, &addr.octets()),
    };
    serializer.serialize_bytes(bytes.get(..len).unwrap_or_default())
}

fn fill(bytes: &mut [u8; 17], octets: &[u8]) -> usize {
    for (byte, octet) in bytes.iter_mut().skip(1).zip(octets) {
        *byte = *octet;
    }
    octets.len() + 1
}

pub(super) fn ip_from_compact(bytes: &[u8]) -> Result<ext::IpAddr, ExtError> {
    let (prefix, octets) = bytes.split_first().ok_or(ExtError::IpMalformed)?;
    let addr = match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
        (Ok(v4), _) => net::IpAddr::from(v4),
        (_, Ok(v6)) => net::IpAddr::from(v6),
        _ => return Err(ExtError::IpMalformed),
    };
    ext::IpAddr::new(addr, *prefix)
}
