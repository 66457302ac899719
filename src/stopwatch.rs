//! How long something took.

use std::sync::LazyLock;
use std::time::Duration;

/// Asks the processor's counter where the processor says that this ticks evenly, and the operating system's monotonic clock
/// elsewhere. Nothing is decided by it: should the counters of two processors not agree, a duration is wrong.
///
/// Every record takes two readings. Of `std::time::Instant` one is 23 ns where this was measured, and waits for all
/// that was begun before it; two of the counter make a record 65 ns cheaper, a quarter of what it costs the deciding thread.
/// What the counter's ticks are worth is found out when it is asked first, which takes 0.6 ms.
///
/// Miri, which somebody may run their tests under, has no processor to ask. Its clock stands still, and records took no time.
static COUNTER: LazyLock<quanta::Clock> = LazyLock::new(|| {
    if cfg!(miri) {
        quanta::Clock::mock().0
    } else {
        quanta::Clock::new()
    }
});

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks(u64);

impl Ticks {
    /// The present.
    #[inline]
    pub(crate) fn now() -> Self {
        Self(COUNTER.raw())
    }

    /// Before the first decision, so that it need not wait.
    pub(crate) fn prepare() {
        LazyLock::force(&COUNTER);
    }

    /// How long it has been; nothing, should the counter have gone back.
    #[inline]
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self).unwrap_or_default()
    }

    /// The time since another moment, unless that was later.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        (earlier.0 <= self.0).then(|| COUNTER.delta(earlier.0, self.0))
    }

    /// A moment that is at least so much later.
    #[cfg(test)]
    pub(crate) fn later(self, by: Duration) -> Self {
        let many = 1 << 40;
        let worth = COUNTER.delta_as_nanos(0, many);
        let ticks = by.as_nanos() * u128::from(many) / u128::from(worth);
        Self(self.0 + u64::try_from(ticks).unwrap() + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// However the counter ticks, a second is a second: to one in a thousand here, since the two are not read at once.
    #[test]
    #[cfg_attr(miri, ignore = "there the clock stands still")]
    fn it_measures_what_the_monotonic_clock_does() {
        let outer = Instant::now();
        let begun = Ticks::now();
        let inner = Instant::now();
        std::thread::sleep(Duration::from_millis(50));
        let least = inner.elapsed();
        let measured = begun.elapsed();
        let most = outer.elapsed();
        let tolerance = least / 1000;
        assert!(least <= measured + tolerance && measured <= most + tolerance);
    }

    #[test]
    fn nothing_is_measured_backwards() {
        let begun = Ticks::now();
        let later = begun.later(Duration::from_secs(1));
        assert!(later.since(begun) >= Some(Duration::from_secs(1)));
        assert_eq!(begun.since(later), None);
        assert_eq!(later.elapsed(), Duration::ZERO);
    }
}
