//! Decisions over time, as bars of as many hours each as make some dozens of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use duramen::Outcome;
use duramen::evidence::OwnedRecord;

use crate::text::escape;

/// What is told apart: a class for its colour, and its name.
pub(crate) const KINDS: [(&str, &str); 4] = [
    ("allowed", "allowed"),
    ("forbidden", "forbidden by a policy"),
    ("nopermit", "no permit"),
    ("other", "errors and refused requests"),
];

pub(crate) type Counts = [u64; KINDS.len()];

/// Decisions by the hour, by kind.
#[derive(Default)]
pub(crate) struct Timeline {
    /// By the number of the hour since 1970.
    hours: BTreeMap<i64, Counts>,
    total: Counts,
}

/// Some hours, also such in which nothing was decided.
pub(crate) struct Bar {
    first: i64,
    pub(crate) counts: Counts,
}

impl Timeline {
    pub(crate) fn count(&mut self, record: &OwnedRecord) {
        let kind = match record.outcome {
            Outcome::Allowed => 0,
            Outcome::Forbidden => 1,
            Outcome::NoPermit => 2,
            _ => 3,
        };
        self.total[kind] += 1;
        if let Some(hour) = record.time.as_deref().and_then(hour_of) {
            self.hours.entry(hour).or_default()[kind] += 1;
        }
    }

    pub(crate) fn total(&self, kind: usize) -> u64 {
        self.total[kind]
    }

    /// How many have no time that can be shown.
    pub(crate) fn undated(&self) -> u64 {
        let dated: u64 = self.hours.values().flatten().sum();
        self.total.iter().sum::<u64>() - dated
    }

    /// How many hours a bar stands for, and the bars. That nothing was decided for days is to be seen.
    pub(crate) fn bars(&self) -> (i64, Vec<Bar>) {
        const MOST: i64 = 80;
        let (Some((first, _)), Some((last, _))) =
            (self.hours.first_key_value(), self.hours.last_key_value())
        else {
            return (1, Vec::new());
        };
        let widths = [1, 3, 6, 12, 24, 7 * 24, 30 * 24, 365 * 24];
        let fits = |width: &i64| last.div_euclid(*width) - first.div_euclid(*width) < MOST;
        // A clock that was wrong once may have made a log of millennia.
        let width = widths.into_iter().find(fits).unwrap_or(365 * 24 * 150);
        let numbers = first.div_euclid(width)..=last.div_euclid(width);
        let bars = numbers.map(|number| {
            let first = number * width;
            let mut counts = Counts::default();
            for of_hour in self.hours.range(first..first + width).map(|(_, of)| of) {
                for (sum, count) in counts.iter_mut().zip(of_hour) {
                    *sum += count;
                }
            }
            Bar { first, counts }
        });
        (width, bars.collect())
    }

    /// Stacked bars.
    pub(crate) fn chart(&self) -> String {
        const WIDTH: f64 = 960.0;
        const HEIGHT: f64 = 240.0;
        const LEFT: f64 = 40.0;
        const BOTTOM: f64 = 26.0;
        const TOP: f64 = 8.0;
        let (hours, bars) = self.bars();
        let sums = bars.iter().map(|bar| bar.counts.iter().sum::<u64>());
        let most = sums.max().unwrap_or(0);
        let step = tick(most);
        let top = most.div_ceil(step).max(1) * step;
        let y = |count: u64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * count as f64 / top as f64;
        let slot = (WIDTH - LEFT) / bars.len().max(1) as f64;
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Decisions over time, by outcome: {} in all, at most {most} in {}\">",
            self.total.iter().sum::<u64>(),
            span(hours)
        );
        for line in (0..=top).step_by(usize::try_from(step).unwrap_or(1)) {
            let at = y(line);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{line}</text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
        for (number, bar) in bars.iter().enumerate() {
            let width = (slot - 4.0).clamp(1.0, 44.0);
            let x = LEFT + slot * number as f64 + (slot - width) / 2.0;
            let _ = write!(svg, "<g><title>{}: {}</title>", bar.name(), bar.told());
            let mut below = 0;
            let kinds = KINDS.iter().zip(bar.counts);
            for ((class, _), count) in kinds.filter(|(_, count)| *count > 0) {
                let (from, to) = (y(below), y(below + count));
                // A line of the page's colour between two parts.
                let height = (from - to - 1.0).max(0.5);
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{to:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\"/>"
                );
                below += count;
            }
            svg.push_str("</g>");
            if number % bars.len().div_ceil(10).max(1) == 0 {
                let _ = write!(
                    svg,
                    "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    x + width / 2.0,
                    HEIGHT - 8.0,
                    bar.label(hours)
                );
            }
        }
        svg + "</svg>"
    }
}

impl Bar {
    /// `2026-11-23 08:00`, where it begins.
    pub(crate) fn name(&self) -> String {
        let (date, hour) = date_and_hour(self.first);
        escape(&format!("{date} {hour:02}:00"))
    }

    fn told(&self) -> String {
        let told = KINDS.iter().zip(self.counts);
        let told = told.filter(|(_, count)| *count > 0);
        let told: Vec<_> = told
            .map(|((_, name), count)| format!("{count} {name}"))
            .collect();
        match &told[..] {
            [] => "no decision".to_owned(),
            told => told.join(", "),
        }
    }

    /// Short, for the axis.
    fn label(&self, hours: i64) -> String {
        let (date, hour) = date_and_hour(self.first);
        match (hours < 24, hour) {
            (true, 1..) => format!("{hour:02}:00"),
            _ => date,
        }
    }
}

/// How long a bar is, for people.
pub(crate) fn span(hours: i64) -> String {
    match hours {
        1 => "an hour".to_owned(),
        2..24 => format!("{hours} hours"),
        24 => "a day".to_owned(),
        hours => format!("{} days", hours / 24),
    }
}

/// The hour since 1970 of a time as records have it, `2026-11-23T08:15:00.000Z`.
fn hour_of(time: &str) -> Option<i64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if year < 0 || !(1..=12).contains(&month) || time.get(10..11) != Some("T") {
        return None;
    }
    let before: i64 = (1..month).map(|month| days_of(year, month)).sum();
    Some((days_before(year) + before + day - 1) * 24 + number(11, 13)?)
}

/// The date of an hour since 1970, and which of the day it is.
fn date_and_hour(hours: i64) -> (String, i64) {
    let days = hours.div_euclid(24);
    // Not later than it is, and some years before at most.
    let mut year = 1970 + days.div_euclid(if days < 0 { 365 } else { 366 });
    while days_before(year + 1) <= days {
        year += 1;
    }
    let (mut month, mut day) = (1, days - days_before(year));
    while day >= days_of(year, month) {
        day -= days_of(year, month);
        month += 1;
    }
    let date = format!("{year:04}-{month:02}-{:02}", day + 1);
    (date, hours.rem_euclid(24))
}

/// From the beginning of 1970 to that of a year.
fn days_before(year: i64) -> i64 {
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A round distance of lines, of which there are three to six.
fn tick(most: u64) -> u64 {
    let mut step = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = step.saturating_mul(factor);
            if most <= step.saturating_mul(5) {
                return step;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_calendar() {
        for (time, hour) in [
            ("1970-01-01T00:59:59.999Z", 0),
            ("1969-12-31T23:00:00.000Z", -1),
            ("2000-02-29T12:00:00.000Z", 951_825_600 / 3600),
            ("2026-11-23T08:15:00.000Z", 1_795_420_800 / 3600),
            ("9999-12-31T23:59:59.999Z", 253_402_297_200 / 3600),
            ("0000-03-01T00:00:00.000Z", -62_162_035_200 / 3600),
        ] {
            assert_eq!(hour_of(time), Some(hour), "{time}");
            let (date, of_day) = date_and_hour(hour);
            assert_eq!(format!("{date}T{of_day:02}"), time[..13]);
        }
        for odd in ["", "x", "2026-13-01T00", "+10000-01-01T00:00:00.000Z"] {
            assert_eq!(hour_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_chart_has_some_dozens_of_bars_whatever_the_hours_are() {
        for hours in [0, 1, 23, 79, 80, 1000, 100_000, 80_000_000] {
            let mut timeline = Timeline::default();
            timeline.hours.insert(-3, [1, 0, 0, 0]);
            *timeline.hours.entry(hours - 3).or_default() = [0, 2, 0, 0];
            let (_, bars) = timeline.bars();
            assert!(bars.len() <= 80, "{hours}: {}", bars.len());
            let sum: u64 = bars.iter().flat_map(|bar| bar.counts).sum();
            assert_eq!(sum, if hours == 0 { 2 } else { 3 });
            assert!(timeline.chart().len() < 100_000);
        }
        assert!(Timeline::default().chart().ends_with("</svg>"));
    }
}
