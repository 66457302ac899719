//! The values behind Cedar's extension types: [`Decimal`], [`Datetime`], [`Duration`] and [`IpAddr`].
//!
//! Each is a small `Copy` value with total operations: nothing here allocates or panics, so that the evaluator may
//! parse a string out of a request in the middle of a decision. The rules are those of the Cedar documentation
//! ("Extension types"); where it is silent, the behaviour is pinned by differential tests against `cedar-policy`
//! 4.14, which are in this module's `tests.rs`.

mod datetime;
mod decimal;
mod ipaddr;

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed assumption about the oracle must fail the test"
)]
mod tests;

pub(crate) use datetime::{Datetime, Duration};
pub(crate) use decimal::Decimal;
pub(crate) use ipaddr::IpAddr;

/// Why a constructor refused its text, or why an operation has no result.
///
/// Cedar turns each of these into one evaluation error; the reasons are kept apart here so that a diagnostic can say
/// which part of the text was wrong. When several reasons apply, the one reported is the one a left-to-right reader
/// meets first, syntax before ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ExtError {
    /// Not `-?digits.digits`.
    #[error(
        "a decimal is written as digits, a point and digits, such as `12.34`, with `-` as the only sign"
    )]
    DecimalMalformed,
    /// More fractional digits than a decimal holds, even if the excess is zeros.
    #[error("a decimal has at most four digits after the point")]
    DecimalTooManyDigits,
    /// Outside what 64 bits of ten-thousandths can hold.
    #[error("a decimal lies between -922337203685477.5808 and 922337203685477.5807")]
    DecimalOverflow,

    /// The text does not begin with `YYYY-MM-DD`.
    #[error("a datetime begins with a date written as `YYYY-MM-DD`")]
    DateMalformed,
    /// A well-formed date that is not in the calendar.
    #[error("the date of the datetime is not in the calendar")]
    DateInvalid,
    /// What follows the date is not `THH:MM:SS`.
    #[error("the time of a datetime is written as `THH:MM:SS` right after the date")]
    TimeMalformed,
    /// A well-formed time that no clock shows; leap seconds are among these.
    #[error("the time of the datetime is not between 00:00:00 and 23:59:59")]
    TimeInvalid,
    /// What follows the time is not `Z` or `±hhmm`, with `.SSS` optionally before it.
    #[error(
        "a datetime with a time ends in `Z`, `+hhmm` or `-hhmm`, preceded by nothing or by three digits as in `.SSS`"
    )]
    ZoneMalformed,
    /// A well-formed offset from UTC of 24 hours or more, or with 60 minutes or more.
    #[error("the offset of the datetime is not between -2359 and +2359 with minutes below 60")]
    ZoneInvalid,

    /// Not quantities with units in descending order, or none at all.
    #[error(
        "a duration is written as whole quantities of `d`, `h`, `m`, `s` and `ms`, in that order, such as `1d12h`"
    )]
    DurationMalformed,
    /// More milliseconds than 64 bits can hold.
    #[error("the duration does not fit into a 64-bit number of milliseconds")]
    DurationOverflow,

    /// Longer than the longest address with a prefix can be.
    #[error("an IP address is at most 43 bytes long")]
    IpTooLong,
    /// An IPv6 address with a part in IPv4 notation.
    #[error("an IPv6 address is written without IPv4 notation in it")]
    IpMixedNotation,
    /// The part before any `/` is no address.
    #[error("not an IPv4 or IPv6 address")]
    IpMalformed,
    /// The part after the `/` is not a plain number.
    #[error("the prefix length of an IP address is a decimal number without leading zeros")]
    IpPrefixMalformed,
    /// More prefix bits than the address has bits.
    #[error("the prefix length of an IP address is at most 32 for IPv4 and 128 for IPv6")]
    IpPrefixTooLong,

    /// `offset` left the 64-bit range.
    #[error("the datetime with this offset does not fit into 64 bits of milliseconds")]
    OffsetOverflow,
    /// `durationSince` left the 64-bit range.
    #[error("the duration between these datetimes does not fit into 64 bits of milliseconds")]
    DurationSinceOverflow,
    /// `toDate` left the 64-bit range; only within the first day that it can express.
    #[error("the day of this datetime begins before the earliest datetime")]
    ToDateOverflow,
    /// A point in time from outside Cedar left the 64-bit range.
    #[error("the point in time does not fit into 64 bits of milliseconds")]
    DatetimeOverflow,
}
