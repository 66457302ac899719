//! What the clock has to do with decisions: the time in contexts, and the age of what is decided on.

use std::time::{Duration, SystemTime};

use bumpalo::Bump;

use crate::decision::Outcome;
use crate::epoch::{Epoch, Stamps};
use crate::eval::{self, Findings, Machine, TimeOfDay};
use crate::evidence::{Ages, Wants};
use crate::ext::Datetime;
use crate::freshness::{DataSource, FreshnessError, Moment, StaleTypes};
use crate::request::{Now, Request, RequestError, RequestPart};
use crate::stopwatch::Ticks;
use crate::value::arena::NameText;

use super::{Authorizer, Clock};

/// When a decision began.
#[derive(Clone, Copy)]
pub(super) struct Started {
    pub(super) time: SystemTime,
    pub(super) begun: Ticks,
}

/// Which decisions may be denied for nothing but the time.
pub(crate) enum DeniedByTime {
    Nothing,
    /// Those that rest on entities of these types.
    WhatRestsOn(StaleTypes),
    Everything,
}

impl Authorizer {
    /// Says that what is in force was still right at a time, although nothing has been loaded since: for data that is
    /// polled for changes, or that comes as a stream with heartbeats.
    ///
    /// Confirming [`DataSource::Entities`] confirms those of every type; confirming a type confirms no other. A time before
    /// the last confirmation changes nothing, unless that one is later than the clock, which was ahead then. Waits for writers,
    /// and is no change: version and prepared requests stay.
    ///
    /// # Errors
    /// [`FreshnessError`] when the authorizer keeps no such age, and when the time is later than its clock.
    pub fn confirm_fresh(
        &self,
        what: DataSource<'_>,
        as_of: SystemTime,
    ) -> Result<(), FreshnessError> {
        self.inner.published.with_stamps(|stamps| {
            let stamps = stamps.ok_or(FreshnessError::NotKept)?;
            let now = Moment::of(self.inner.settings.clock.now());
            match (Moment::of(as_of), now) {
                (Some(at), Some(now)) if at <= now => stamps.confirm(what, at, now),
                _ => Err(FreshnessError::InFuture),
            }
        })
    }

    /// How old what is in force is, for whoever watches over it: in whole milliseconds, `None` when the clock shows a time
    /// before it was loaded.
    ///
    /// # Errors
    /// [`FreshnessError`] when the authorizer keeps no such age.
    pub fn age(&self, what: DataSource<'_>) -> Result<Option<Duration>, FreshnessError> {
        let pin = self.inner.published.pin();
        let stamps = pin.stamps.as_ref().ok_or(FreshnessError::NotKept)?;
        let age = || stamps.age(what, Moment::of(self.time()));
        // As in `ages_of`.
        Ok(match age()?.duration() {
            None => age()?.duration(),
            known => known,
        })
    }

    /// What nothing but time gone by may have made a deny by now, whatever policies look at: data is too old, or the clock
    /// shows what no context can be told.
    pub(crate) fn denied_by_time(&self) -> DeniedByTime {
        if !self.depends_on_time() {
            return DeniedByTime::Nothing;
        }
        let now = Moment::of(self.time());
        if self.inner.settings.reading.context_time.is_some() && now.is_none() {
            return DeniedByTime::Everything;
        }
        let pin = self.inner.published.pin();
        let Some(stamps) = &pin.stamps else {
            return DeniedByTime::Nothing;
        };
        match too_old(stamps, now) {
            DeniedByTime::Nothing => DeniedByTime::Nothing,
            // As in `ages_of`. Whatever is too old still is then.
            _ => too_old(stamps, Moment::of(self.time())),
        }
    }

    /// What the clock shows, in milliseconds since 1970; `None` where no datetime can say it.
    pub(crate) fn clock_millis(&self) -> Option<i64> {
        Moment::of(self.inner.settings.clock.now()).map(|now| now.0)
    }

    /// When a decision begins, if anybody wants to know. The clocks are not asked otherwise.
    #[inline]
    pub(super) fn started(&self, time_of_day: &mut TimeOfDay) -> Option<Started> {
        let settings = &self.inner.settings;
        settings.asks_clock.then(|| {
            let begun = Ticks::now();
            let time = match settings.clock {
                // What is decided on is told what the clock shows now.
                Clock::System if !self.depends_on_time() => time_of_day.at(begun, SystemTime::now),
                _ => settings.clock.now(),
            };
            Started { time, begun }
        })
    }

    /// When the decision began, if its record is wanted.
    #[inline]
    pub(super) fn recorded(&self, started: Option<Started>) -> Option<Started> {
        started.filter(|_| self.inner.settings.wants > Wants::Nothing)
    }

    /// What the context is told of the time.
    #[inline]
    pub(super) fn now(&self, started: Option<Started>) -> Result<Option<Now<'_>>, RequestError> {
        match &self.inner.settings.reading.context_time {
            None => Ok(None),
            Some(name) => context_time(name, started).map(Some),
        }
    }

    /// [`Self::now`] as the clock shows it; for what is no decision.
    pub(super) fn now_asked(&self) -> Result<Option<Now<'_>>, RequestError> {
        self.now(self.started(&mut TimeOfDay::default()))
    }

    /// The request with the time in its context, if it belongs there; for what is no decision.
    pub(crate) fn timed<'r>(&'r self, request: &Request<'r>) -> Result<Request<'r>, RequestError> {
        Ok(request.at(self.now_asked()?))
    }

    /// [`Self::stale`] as things are now, for what is no decision.
    pub(crate) fn stale_now<'a>(
        &self,
        epoch: &'a Epoch,
        machine: &Machine<'a>,
        findings: &mut Findings,
    ) -> Option<Outcome> {
        let arena = Bump::new();
        let ages = self.ages(epoch, None, &arena);
        self.stale(epoch, machine, ages, findings)
    }

    /// The time at which data that is loaded now was right.
    pub(super) fn loading(&self, as_of: Option<SystemTime>) -> Moment {
        let settings = &self.inner.settings;
        if !settings.keeps_ages {
            return Moment::UNKNOWN;
        }
        loaded_at(settings.clock.now(), as_of)
    }

    /// How old the epoch's data is, where that is kept.
    #[inline]
    pub(super) fn ages<'a>(
        &self,
        epoch: &'a Epoch,
        started: Option<Started>,
        arena: &'a Bump,
    ) -> Option<Ages<'a>> {
        let stamps = epoch.stamps.as_ref()?;
        Some(self.ages_of(stamps, started, arena))
    }

    #[inline(never)]
    fn ages_of<'a>(
        &self,
        stamps: &'a Stamps,
        started: Option<Started>,
        arena: &'a Bump,
    ) -> Ages<'a> {
        let ages = |time| {
            let now = Moment::of(time);
            Ages {
                policies: stamps.policies(now),
                entities: stamps.entities(now),
                types: arena.alloc_slice_fill_iter(stamps.types(now)),
            }
        };
        let ask = || self.inner.settings.clock.now();
        let first = ages(started.map_or_else(ask, |started| started.time));
        // Confirmed between the look at the clock and that at the data, perhaps. If not, the clock went backwards.
        if first.is_known() { first } else { ages(ask()) }
    }

    /// The outcome where the whole of policies or entities is too old.
    #[inline]
    fn stale_whole(&self, epoch: &Epoch, ages: Option<Ages<'_>>) -> Option<Outcome> {
        let (stamps, ages) = (epoch.stamps.as_ref()?, ages?);
        if stamps.bounds.refuses_policies(ages.policies) {
            Some(Outcome::StalePolicies)
        } else if stamps.bounds.refuses_entities(ages.entities) {
            Some(Outcome::StaleEntities)
        } else {
            None
        }
    }

    /// The outcome where what the decision rests on is too old.
    #[inline]
    pub(super) fn stale<'a>(
        &self,
        epoch: &'a Epoch,
        machine: &Machine<'a>,
        ages: Option<Ages<'_>>,
        findings: &mut Findings,
    ) -> Option<Outcome> {
        let (stamps, types) = (epoch.stamps.as_ref()?, ages?.types);
        self.stale_whole(epoch, ages).or_else(|| {
            let refused = || stamps.bounds.refused_types(types);
            refused().next()?;
            let names = machine.names();
            let is_stale = |uid| {
                let (name, _) = names.uid_text(uid);
                refused().any(|refused| refused == name)
            };
            eval::rests_on(epoch, machine, &mut findings.candidates, is_stale)
                .then_some(Outcome::StaleEntities)
        })
    }

    /// What is too old for a search: it may look at any entity, so that every type has to be fresh.
    pub(super) fn stale_for_search(&self, epoch: &Epoch) -> Option<Outcome> {
        let arena = Bump::new();
        let ages = self.ages(epoch, None, &arena);
        self.stale_whole(epoch, ages).or_else(|| {
            let mut refused = epoch.stamps.as_ref()?.bounds.refused_types(ages?.types);
            refused.next().map(|_| Outcome::StaleEntities)
        })
    }
}

/// What is denied because data is too old.
fn too_old(stamps: &Stamps, now: Option<Moment>) -> DeniedByTime {
    let bounds = &stamps.bounds;
    if bounds.refuses_policies(stamps.policies(now))
        || bounds.refuses_entities(stamps.entities(now))
    {
        return DeniedByTime::Everything;
    }
    match StaleTypes::of(bounds, stamps.types(now)) {
        types if types.is_empty() => DeniedByTime::Nothing,
        types => DeniedByTime::WhatRestsOn(types),
    }
}

/// Data is not right for longer than it is there.
pub(super) fn loaded_at(now: SystemTime, as_of: Option<SystemTime>) -> Moment {
    let time = as_of.map_or(now, |as_of| as_of.min(now));
    Moment::of(time).unwrap_or(Moment::UNKNOWN)
}

/// The time as the context's field of that name.
fn context_time(name: &str, started: Option<Started>) -> Result<Now<'_>, RequestError> {
    let Some(started) = started else {
        return Err(clock_error(&"it was not asked"));
    };
    match Datetime::try_from(started.time) {
        Ok(time) => Ok(Now { name, time }),
        Err(error) => Err(clock_error(&error)),
    }
}

#[cold]
fn clock_error(error: &dyn std::fmt::Display) -> RequestError {
    RequestError::new(
        RequestPart::Context,
        format_args!("the authorizer's clock gives no time for it: {error}"),
    )
}
