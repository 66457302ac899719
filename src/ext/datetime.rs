//! Cedar's `datetime` and `duration`: 64-bit counts of milliseconds.

use std::fmt;
use std::time;

use super::ExtError;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The widest offset from UTC that a datetime can be written with.
const WIDEST_OFFSET: i64 = DAY - MINUTE;
const FIRST_WITHOUT_OFFSET: i64 = days_from_civil(0, 1, 1) * DAY;
const LAST_WITHOUT_OFFSET: i64 = days_from_civil(10_000, 1, 1) * DAY - 1;

/// Cedar's `datetime`: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Ordering is in time and is what `<`, `<=`, `>` and `>=` test. Rules: Cedar documentation, "Extension types",
/// `datetime`; behaviour pinned by `cedar-policy` 4.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Datetime(i64);

impl Datetime {
    /// Reads `YYYY-MM-DD`, or that with `THH:MM:SS`, optionally `.SSS`, and `Z` or `±hhmm` behind it.
    ///
    /// Dates are of the proleptic Gregorian calendar, from year 0000, which is a leap year. Lower-case letters, leap
    /// seconds, times without a zone and any number of fractional digits but three are refused. With an offset, the
    /// result may lie up to a day outside of the years 0 to 9999.
    ///
    /// # Errors
    /// One of the `Date…`, `Time…` and `Zone…` reasons of [`ExtError`].
    pub(crate) fn parse(text: &str) -> Result<Self, ExtError> {
        let mut cursor = Cursor(text.as_bytes());
        let date = cursor.date().ok_or(ExtError::DateMalformed)?;
        if cursor.at_end() {
            return Ok(Self(date.millis()?));
        }
        let time = cursor.time().ok_or(ExtError::TimeMalformed)?;
        let zone = cursor.zone().ok_or(ExtError::ZoneMalformed)?;
        if !cursor.at_end() {
            return Err(ExtError::ZoneMalformed);
        }
        Ok(Self(
            date.millis()? + time.millis()? + zone.fraction - zone.offset_millis()?,
        ))
    }

    /// The datetime `millis` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub(crate) const fn millis(self) -> i64 {
        self.0
    }

    /// Cedar's `offset`.
    ///
    /// # Errors
    /// [`ExtError::OffsetOverflow`].
    pub(crate) fn offset(self, by: Duration) -> Result<Self, ExtError> {
        self.0
            .checked_add(by.0)
            .map(Self)
            .ok_or(ExtError::OffsetOverflow)
    }

    /// Cedar's `durationSince`: negative if `self` is the earlier one.
    ///
    /// # Errors
    /// [`ExtError::DurationSinceOverflow`].
    pub(crate) fn duration_since(self, other: Self) -> Result<Duration, ExtError> {
        self.0
            .checked_sub(other.0)
            .map(Duration)
            .ok_or(ExtError::DurationSinceOverflow)
    }

    /// Cedar's `toDate`: the midnight (UTC) that began the day, also before 1970.
    ///
    /// # Errors
    /// [`ExtError::ToDateOverflow`], within a day of `i64::MIN` milliseconds.
    pub(crate) fn to_date(self) -> Result<Self, ExtError> {
        self.0
            .checked_sub(self.to_time().0)
            .map(Self)
            .ok_or(ExtError::ToDateOverflow)
    }

    /// Cedar's `toTime`: how long after midnight (UTC), never negative and below one day.
    #[must_use]
    pub(crate) const fn to_time(self) -> Duration {
        Duration(self.0.rem_euclid(DAY))
    }

    /// Whether [`Datetime::parse`] can return this value, hence whether a Cedar policy can write it as one literal.
    ///
    /// True for the years 0 to 9999 and, because of offsets, for 23:59 hours before and after them. Other values need
    /// `datetime("1970-01-01").offset(duration("…ms"))`.
    #[must_use]
    pub(crate) const fn is_representable(self) -> bool {
        FIRST_WITHOUT_OFFSET - WIDEST_OFFSET <= self.0
            && self.0 <= LAST_WITHOUT_OFFSET + WIDEST_OFFSET
    }
}

/// Cedar's `duration`: a signed number of milliseconds.
///
/// Ordering is numeric and is what `<`, `<=`, `>` and `>=` test. Rules: Cedar documentation, "Extension types",
/// `duration`; behaviour pinned by `cedar-policy` 4.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Duration(i64);

impl Duration {
    /// Reads quantities of `d`, `h`, `m`, `s` and `ms`, each at most once and in that order, after an optional `-`.
    ///
    /// At least one quantity is needed. A quantity may exceed the next larger unit (`36h`), and the sign applies to
    /// all of them.
    ///
    /// # Errors
    /// [`ExtError::DurationMalformed`] or [`ExtError::DurationOverflow`].
    pub(crate) fn parse(text: &str) -> Result<Self, ExtError> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut cursor = Cursor(text.as_bytes());
        let mut remaining_units = UNITS.as_slice();
        // Accumulated below zero, where there is one more value than above it. `None` once it has overflowed: the rest
        // is still read, for being malformed is the more useful thing to say.
        let mut negated = Some(0i64);
        loop {
            let quantity = cursor.quantity().ok_or(ExtError::DurationMalformed)?;
            let unit = cursor
                .unit(&mut remaining_units)
                .ok_or(ExtError::DurationMalformed)?;
            negated = add_product(negated, quantity, unit);
            if cursor.at_end() {
                break;
            }
        }
        let millis = if negative {
            negated
        } else {
            negated.and_then(i64::checked_neg)
        };
        millis.map(Self).ok_or(ExtError::DurationOverflow)
    }

    /// The duration of `millis` milliseconds.
    #[must_use]
    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Cedar's `toMilliseconds`.
    #[must_use]
    pub(crate) const fn millis(self) -> i64 {
        self.0
    }

    /// Cedar's `toSeconds`: whole seconds, truncated toward zero.
    #[must_use]
    pub(crate) const fn to_seconds(self) -> i64 {
        self.0 / SECOND
    }

    /// Cedar's `toMinutes`: whole minutes, truncated toward zero.
    #[must_use]
    pub(crate) const fn to_minutes(self) -> i64 {
        self.0 / MINUTE
    }

    /// Cedar's `toHours`: whole hours, truncated toward zero.
    #[must_use]
    pub(crate) const fn to_hours(self) -> i64 {
        self.0 / HOUR
    }

    /// Cedar's `toDays`: whole days of 24 hours, truncated toward zero.
    #[must_use]
    pub(crate) const fn to_days(self) -> i64 {
        self.0 / DAY
    }
}

/// The units of a duration in the order in which they must be written, in milliseconds.
const UNITS: [(&[u8], i64); 5] = [
    (b"d", DAY),
    (b"h", HOUR),
    (b"m", MINUTE),
    (b"s", SECOND),
    (b"ms", 1),
];

fn add_product(sum: Option<i64>, factor: Option<i64>, unit: i64) -> Option<i64> {
    sum?.checked_add(factor?.checked_mul(unit)?)
}

/// A date as written: two-digit and four-digit numbers, not yet checked against the calendar.
struct CivilDate {
    year: i64,
    month: i64,
    day: i64,
}

impl CivilDate {
    fn millis(&self) -> Result<i64, ExtError> {
        let &Self { year, month, day } = self;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return Err(ExtError::DateInvalid),
        };
        if day < 1 || last < day {
            return Err(ExtError::DateInvalid);
        }
        Ok(days_from_civil(year, month, day) * DAY)
    }
}

/// A time as written: two-digit numbers, not yet checked against the clock.
struct CivilTime {
    hour: i64,
    minute: i64,
    second: i64,
}

impl CivilTime {
    fn millis(&self) -> Result<i64, ExtError> {
        if self.hour < 24 && self.minute < 60 && self.second < 60 {
            Ok(self.hour * HOUR + self.minute * MINUTE + self.second * SECOND)
        } else {
            Err(ExtError::TimeInvalid)
        }
    }
}

/// What follows a time: milliseconds, and the offset as written.
struct Zone {
    fraction: i64,
    sign: i64,
    hour: i64,
    minute: i64,
}

impl Zone {
    fn offset_millis(&self) -> Result<i64, ExtError> {
        if self.hour < 24 && self.minute < 60 {
            Ok(self.sign * (self.hour * HOUR + self.minute * MINUTE))
        } else {
            Err(ExtError::ZoneInvalid)
        }
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn date(&mut self) -> Option<CivilDate> {
        let year = self.number::<4>()?;
        self.skip(b"-")?;
        let month = self.number::<2>()?;
        self.skip(b"-")?;
        let day = self.number::<2>()?;
        Some(CivilDate { year, month, day })
    }

    fn time(&mut self) -> Option<CivilTime> {
        self.skip(b"T")?;
        let hour = self.number::<2>()?;
        self.skip(b":")?;
        let minute = self.number::<2>()?;
        self.skip(b":")?;
        let second = self.number::<2>()?;
        Some(CivilTime {
            hour,
            minute,
            second,
        })
    }

    fn zone(&mut self) -> Option<Zone> {
        let fraction = match self.skip(b".") {
            Some(()) => self.number::<3>()?,
            None => 0,
        };
        if self.skip(b"Z").is_some() {
            return Some(Zone {
                fraction,
                sign: 0,
                hour: 0,
                minute: 0,
            });
        }
        let sign = match self.skip(b"+") {
            Some(()) => 1,
            None => {
                self.skip(b"-")?;
                -1
            }
        };
        let hour = self.number::<2>()?;
        let minute = self.number::<2>()?;
        Some(Zone {
            fraction,
            sign,
            hour,
            minute,
        })
    }

    /// Exactly `N` digits.
    fn number<const N: usize>(&mut self) -> Option<i64> {
        const { assert!(N <= 18, "the number must fit") };
        let (digits, rest) = self.0.split_first_chunk::<N>()?;
        let mut number = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
        }
        self.0 = rest;
        Some(number)
    }

    /// At least one digit: minus the number they make, or `Some(None)` if that does not fit.
    fn quantity(&mut self) -> Option<Option<i64>> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        let negated = digits.iter().try_fold(0i64, |sum, digit| {
            sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
        });
        (count > 0).then_some(negated)
    }

    /// One of `units`, which is then left with those that may still follow.
    fn unit(&mut self, units: &mut &[(&[u8], i64)]) -> Option<i64> {
        let length = self
            .0
            .iter()
            .take_while(|b| b.is_ascii_alphabetic())
            .count();
        let (name, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        while let Some(((candidate, millis), later)) = units.split_first() {
            *units = later;
            if *candidate == name {
                return Some(*millis);
            }
        }
        None
    }

    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }
}

// In both directions, years are counted from March so that the leap day is the last of its year, and grouped into the
// calendar's period of 400 years (146,097 days). The shift of 719,468 days is from 0000-03-01 to 1970-01-01.
const DAYS_PER_PERIOD: i64 = 146_097;
const EPOCH_SHIFT: i64 = 719_468;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month_from_march) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let period = year.div_euclid(400);
    let year_of_period = year.rem_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_period =
        365 * year_of_period + year_of_period / 4 - year_of_period / 100 + day_of_year;
    period * DAYS_PER_PERIOD + day_of_period - EPOCH_SHIFT
}

/// The inverse of [`days_from_civil`].
const fn civil_from_days(days: i64) -> CivilDate {
    let shifted = days + EPOCH_SHIFT;
    let period = shifted.div_euclid(DAYS_PER_PERIOD);
    let day_of_period = shifted.rem_euclid(DAYS_PER_PERIOD);
    let year_of_period = (day_of_period - day_of_period / 1_460 + day_of_period / 36_524
        - day_of_period / 146_096)
        / 365;
    let day_of_year =
        day_of_period - (365 * year_of_period + year_of_period / 4 - year_of_period / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let year = period * 400 + year_of_period;
    if month_from_march < 10 {
        CivilDate {
            year,
            month: month_from_march + 3,
            day,
        }
    } else {
        CivilDate {
            year: year + 1,
            month: month_from_march - 9,
            day,
        }
    }
}

/// Rounded down to whole milliseconds, on both sides of 1970, so that order is kept.
impl TryFrom<time::SystemTime> for Datetime {
    type Error = ExtError;

    fn try_from(point: time::SystemTime) -> Result<Self, ExtError> {
        let millis = match point.duration_since(time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).ok(),
            Err(before) => u64::try_from(before.duration().as_nanos().div_ceil(1_000_000))
                .ok()
                .and_then(|millis| 0i64.checked_sub_unsigned(millis)),
        };
        millis.map(Self).ok_or(ExtError::DatetimeOverflow)
    }
}

/// Rounded down to whole milliseconds.
impl TryFrom<time::Duration> for Duration {
    type Error = ExtError;

    fn try_from(duration: time::Duration) -> Result<Self, ExtError> {
        i64::try_from(duration.as_millis())
            .map(Self)
            .map_err(|_| ExtError::DurationOverflow)
    }
}

/// RFC 3339 text in UTC, such as `2024-02-29T12:00:00.000Z`, which [`Datetime::parse`] reads back.
///
/// The values around the years 0 and 9999 that can only be written with an offset are (`…+2359`, `…-2359`). Those that
/// have no literal at all ([`Datetime::is_representable`]) become `1970-01-01 + <n>ms`, which `parse` refuses.
impl fmt::Display for Datetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text.as_str()),
            None => write!(f, "1970-01-01 + {}", Duration(self.0)),
        }
    }
}

impl Datetime {
    /// What the constructor reads it from again; `None` where it can say no such time.
    pub(crate) fn text(self) -> Option<DatetimeText> {
        if !self.is_representable() {
            return None;
        }
        let (local, zone, len) = if self.0 < FIRST_WITHOUT_OFFSET {
            (self.0 + WIDEST_OFFSET, *b"+2359", 28)
        } else if self.0 > LAST_WITHOUT_OFFSET {
            (self.0 - WIDEST_OFFSET, *b"-2359", 28)
        } else {
            (self.0, *b"Z    ", 24)
        };
        let text = text_of(local, zone);
        Some(DatetimeText { text, len })
    }
}

/// A datetime as Cedar writes it, without memory of its own.
pub(crate) struct DatetimeText {
    text: [u8; 28],
    len: usize,
}

impl DatetimeText {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

/// `YYYY-MM-DDTHH:MM:SS.SSS`, of the years 0 to 9999, and the zone. Every record has one: `write!` took 1,400 instructions
/// for it, digit after digit 330.
fn text_of(millis: i64, zone: [u8; 5]) -> [u8; 28] {
    let CivilDate { year, month, day } = civil_from_days(millis.div_euclid(DAY));
    // All of them fit.
    let small = |number: i64| number as u32;
    let two = |number: u32| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    let (year, time) = (small(year), small(millis.rem_euclid(DAY)));
    let (seconds, thousandths) = (time / 1000, time % 1000);
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year % 100));
    let ([m1, m2], [d1, d2]) = (two(small(month)), two(small(day)));
    let [h1, h2] = two(seconds / 3600);
    let ([i1, i2], [s1, s2]) = (two(seconds / 60 % 60), two(seconds % 60));
    let ([t1, t2], t3) = (two(thousandths / 10), b'0' + (thousandths % 10) as u8);
    let [z1, z2, z3, z4, z5] = zone;
    [
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'.',
        t1, t2, t3, z1, z2, z3, z4, z5,
    ]
}

/// Cedar's canonical text, `<n>ms`, which [`Duration::parse`] reads back.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}
