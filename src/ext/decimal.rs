//! Cedar's `decimal`: a fixed-point number with four fractional digits.

use std::fmt;
use std::iter::repeat_n;

use super::ExtError;

const FRACTION_DIGITS: usize = 4;
const SCALE: u64 = 10_000;

/// Cedar's `decimal`: a count of ten-thousandths.
///
/// Ordering is numeric and is what `lessThan`, `lessThanOrEqual`, `greaterThan` and `greaterThanOrEqual` test. Rules:
/// Cedar documentation, "Extension types", `decimal`; behaviour pinned by `cedar-policy` 4.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Decimal(i64);

impl Decimal {
    /// Reads `-?digits.digits` with one to four digits after the point.
    ///
    /// Nothing is rounded: a fifth digit is refused even if it is `0`. Leading zeros and `-0.0` are fine, the latter
    /// being equal to `0.0`.
    ///
    /// # Errors
    /// One of the `Decimal…` reasons of [`ExtError`].
    pub(crate) fn parse(text: &str) -> Result<Self, ExtError> {
        let (negative, magnitude) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = magnitude
            .split_once('.')
            .ok_or(ExtError::DecimalMalformed)?;
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(ExtError::DecimalMalformed);
        }
        let missing = FRACTION_DIGITS
            .checked_sub(fraction.len())
            .ok_or(ExtError::DecimalTooManyDigits)?;

        // Accumulated below zero, where there is one more value than above it.
        let negated = whole
            .bytes()
            .chain(fraction.bytes())
            .chain(repeat_n(b'0', missing))
            .try_fold(0i64, |sum, digit| {
                sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
            });
        let scaled = if negative {
            negated
        } else {
            negated.and_then(i64::checked_neg)
        };
        scaled.map(Self).ok_or(ExtError::DecimalOverflow)
    }

    /// The decimal that is `scaled` ten-thousandths.
    #[must_use]
    pub(crate) const fn from_scaled(scaled: i64) -> Self {
        Self(scaled)
    }

    /// The number of ten-thousandths.
    #[must_use]
    pub(crate) const fn scaled(self) -> i64 {
        self.0
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Cedar's canonical text, always with four fractional digits; [`Decimal::parse`] reads it back.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:04}", magnitude / SCALE, magnitude % SCALE)
    }
}
