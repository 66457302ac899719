//! The report of the demonstration: one page of HTML that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;

use duramen::evidence::OwnedRecord;
use duramen::evidence::log::Verification;
use duramen::replay::{Flip, FlipCount, PolicyUse, UsageReport, WhatIfReport};
use duramen::{Decision, Outcome};

use crate::replay::Replays;
use crate::whatif::reason;

/// What the page shows.
pub(crate) struct Page<'p> {
    pub(crate) hours: Hours,
    pub(crate) verification: &'p Verification,
    pub(crate) replays: &'p Replays,
    pub(crate) what_if: &'p WhatIfReport,
    pub(crate) usage: &'p UsageReport,
    /// The id of a denied decision, and why it was denied.
    pub(crate) explanation: (String, String),
}

/// Decisions by the hour, by kind.
#[derive(Default)]
pub(crate) struct Hours(BTreeMap<String, [u64; KINDS.len()]>);

/// What is told apart: a class for its colour, and its name.
const KINDS: [(&str, &str); 4] = [
    ("allowed", "allowed"),
    ("forbidden", "forbidden by a policy"),
    ("nopermit", "no permit"),
    ("other", "errors and refused requests"),
];

impl Hours {
    pub(crate) fn count(&mut self, record: &OwnedRecord) {
        // The time up to the hour: `2026-11-23T08`.
        let hour = record.time.as_ref().and_then(|time| time.get(..13));
        let hour = hour.unwrap_or_default().to_owned();
        let kind = match record.outcome {
            Outcome::Allowed => 0,
            Outcome::Forbidden => 1,
            Outcome::NoPermit => 2,
            _ => 3,
        };
        self.0.entry(hour).or_default()[kind] += 1;
    }

    fn total(&self, kind: usize) -> u64 {
        self.0.values().map(|counts| counts[kind]).sum()
    }
}

const STYLE: &str = include_str!("report.css");

impl Page<'_> {
    pub(crate) fn to_html(&self) -> String {
        let usage = self.usage;
        let between = match (&usage.since, &usage.until) {
            (Some(since), Some(until)) => format!("{} – {} UTC", minute(since), minute(until)),
            _ => String::new(),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>Decisions and what they rest on</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <header><p class=\"eyebrow\">Duramen · evidence</p><h1>Decisions and what they rest on</h1>\
             <p class=\"meta\">{between}</p></header>\n{}{}{}{}{}{}\
             <footer><p>Made from the log beside this file. Policies <code>{}</code>, head of the chain <code>{}</code>.\
             </p></footer>\n</main>\n</body>\n</html>\n",
            self.cards(),
            self.over_time(),
            self.flips(),
            self.policies(),
            self.explained(),
            self.integrity(),
            usage.version,
            escape(&self.verification.head().to_string()),
        )
    }

    fn cards(&self) -> String {
        let decisions = self.usage.decisions;
        let allowed = self.hours.total(0);
        let share = |part: u64| 100.0 * part as f64 / decisions.max(1) as f64;
        let mut cards = String::from("<section class=\"cards\" aria-label=\"In numbers\">");
        let mut card = |class: &str, figure: String, name: &str, more: String| {
            let _ = write!(
                cards,
                "<div class=\"card {class}\"><p class=\"name\">{name}</p><p class=\"figure\">{figure}</p>\
                 <p class=\"more\">{more}</p></div>"
            );
        };
        card(
            "",
            decisions.to_string(),
            "Decisions",
            format!(
                "{:.0} % allowed, {} denied",
                share(allowed),
                decisions - allowed
            ),
        );
        let (is_fine, kept) = match self.verification.finding() {
            None => (true, "intact".to_owned()),
            Some(finding) => (false, finding.kind().as_str().to_owned()),
        };
        card(
            mark(is_fine),
            kept,
            "Log",
            format!(
                "{} lines, verified against a checkpoint",
                self.verification.count()
            ),
        );
        let replays = self.replays;
        card(
            mark(replays.different == 0),
            format!("{} / {}", replays.same, replays.same + replays.different),
            "Replayed, the same",
            "records, those of the shadow too, by Duramen and by cedar-policy".to_owned(),
        );
        let what_if = self.what_if;
        card(
            mark(what_if.newly_allowed == 0),
            what_if.flip_count().to_string(),
            "Would flip",
            format!(
                "{} newly allowed, {} newly denied",
                what_if.newly_allowed, what_if.newly_denied
            ),
        );
        let unused = self.usage.unused().count();
        card(
            mark(unused == 0),
            unused.to_string(),
            "Policies unused",
            format!("of {} in force", self.usage.policies.len()),
        );
        cards + "</section>\n"
    }

    fn over_time(&self) -> String {
        let legend: String = KINDS
            .iter()
            .enumerate()
            .filter(|(kind, _)| self.hours.total(*kind) > 0)
            .map(|(kind, (class, name))| {
                format!(
                    "<li><span class=\"swatch {class}\"></span>{name} <b>{}</b></li>",
                    self.hours.total(kind)
                )
            })
            .collect();
        let mut rows = String::new();
        for (hour, counts) in &self.hours.0 {
            let cells: String = counts
                .iter()
                .map(|count| format!("<td class=\"n\">{count}</td>"))
                .collect();
            let _ = write!(
                rows,
                "<tr><th scope=\"row\">{}</th>{cells}</tr>",
                escape(&hour.replace('T', " "))
            );
        }
        let heads: String = KINDS
            .iter()
            .map(|(_, name)| format!("<th scope=\"col\" class=\"n\">{name}</th>"))
            .collect();
        format!(
            "<section><h2>Decisions over time</h2><ul class=\"legend\">{legend}</ul>{}\
             <details><summary>The same as a table</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">Hour</th>{heads}</tr></thead>\
             <tbody>{rows}</tbody></table></div></details></section>\n",
            self.chart()
        )
    }

    /// Stacked bars, one an hour.
    fn chart(&self) -> String {
        const WIDTH: f64 = 960.0;
        const HEIGHT: f64 = 240.0;
        const LEFT: f64 = 40.0;
        const BOTTOM: f64 = 26.0;
        const TOP: f64 = 8.0;
        let hours = &self.hours.0;
        let most = hours
            .values()
            .map(|counts| counts.iter().sum::<u64>())
            .max()
            .unwrap_or(0);
        let step = tick(most);
        let top = most.div_ceil(step).max(1) * step;
        let y = |count: u64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * count as f64 / top as f64;
        let slot = (WIDTH - LEFT) / hours.len().max(1) as f64;
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Decisions an hour, by outcome: {} in all, at most {most} an hour\">",
            self.usage.decisions
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
        for (number, (hour, counts)) in hours.iter().enumerate() {
            let width = (slot - 4.0).clamp(1.0, 44.0);
            let x = LEFT + slot * number as f64 + (slot - width) / 2.0;
            let told: Vec<_> = KINDS
                .iter()
                .zip(counts)
                .filter(|(_, count)| **count > 0)
                .map(|((_, name), count)| format!("{count} {name}"))
                .collect();
            let _ = write!(
                svg,
                "<g><title>{}h UTC: {}</title>",
                escape(&hour.replace('T', " ")),
                told.join(", ")
            );
            let mut below = 0;
            for ((class, _), count) in KINDS.iter().zip(counts).filter(|(_, count)| **count > 0) {
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
            if number % hours.len().div_ceil(12).max(1) == 0 {
                let _ = write!(
                    svg,
                    "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}:00</text>",
                    x + width / 2.0,
                    HEIGHT - 8.0,
                    escape(hour.get(11..).unwrap_or_default())
                );
            }
        }
        svg + "</svg>"
    }

    fn flips(&self) -> String {
        let report = self.what_if;
        let mut html = format!(
            "<section><h2>What the changed policies would decide otherwise</h2>\
             <p class=\"lead\">Of {} recorded decisions, <b class=\"risk\">{} that were denied would be allowed</b>, {} that were \
             allowed would be denied, {} would stay as they are, and {} cannot be told from what was recorded.</p>",
            report.records - report.shadow,
            report.newly_allowed,
            report.newly_denied,
            report.same,
            report.undetermined,
        );
        html.push_str("<div class=\"columns\">");
        for (what, counts) in [
            ("By policy that decides now", &report.by_policy_after),
            ("By policy that decided before", &report.by_policy_before),
            ("By principal", &report.by_principal),
            ("By resource", &report.by_resource),
        ] {
            html.push_str(&breakdown(what, counts));
        }
        html.push_str(
            "</div><div class=\"wide\"><table><caption>The first of them, what is newly allowed before what is newly denied</caption><thead><tr>\
             <th scope=\"col\">Flip</th><th scope=\"col\">When</th><th scope=\"col\">Who</th><th scope=\"col\">What</th>\
             <th scope=\"col\">On</th><th scope=\"col\">Decided by</th><th scope=\"col\">Would be decided by</th></tr></thead><tbody>",
        );
        for flip in &report.flips {
            html.push_str(&flip_row(flip));
        }
        html + "</tbody></table></div></section>\n"
    }

    fn policies(&self) -> String {
        let mut policies: Vec<&PolicyUse> = self.usage.policies.iter().collect();
        policies.sort_by_key(|policy| policy.decided);
        let most = policies.last().map_or(0, |policy| policy.decided).max(1);
        let rows: String = policies
            .iter()
            .map(|policy| {
                let class = if policy.decided == 0 { " class=\"unused\"" } else { "" };
                let effect = policy.effect.map_or("gone".to_owned(), |effect| effect.to_string());
                let use_of_it = match policy.decided {
                    0 => "<span class=\"badge warn\">never</span>".to_owned(),
                    count => format!(
                        "<span class=\"meter {effect}\" style=\"width:{:.1}%\"></span><span>{count}</span>",
                        70.0 * count as f64 / most as f64
                    ),
                };
                format!(
                    "<tr{class}><th scope=\"row\"><code>{}</code></th><td>{effect}</td><td class=\"metered\">{use_of_it}</td>\
                     <td>{}</td><td>{}</td><td>{}</td></tr>",
                    escape(policy.id.as_str()),
                    policy.last.as_deref().map_or("–".to_owned(), minute),
                    escape(policy.owner().unwrap_or("–")),
                    escape(policy.change().unwrap_or("–")),
                )
            })
            .collect();
        format!(
            "<section><h2>What the policies do</h2><p class=\"lead\">A permit that never decides is privilege that nobody \
             uses. {} of {} policies have not decided in this time.</p><div class=\"wide\"><table><caption>Policies and links in force, the least used first</caption>\
             <thead><tr><th scope=\"col\">Policy</th><th scope=\"col\">Effect</th><th scope=\"col\">Decided</th><th scope=\"col\">Last</th>\
             <th scope=\"col\">Owner</th><th scope=\"col\">Change</th></tr></thead><tbody>{rows}</tbody></table></div></section>\n",
            self.usage.unused().count(),
            self.usage.policies.len(),
        )
    }

    fn explained(&self) -> String {
        let (id, text) = &self.explanation;
        format!(
            "<section><h2>Why one of them was denied</h2><p class=\"lead\">Decision <code>{}</code>, explained from its record alone.</p><pre>{}</pre></section>\n",
            escape(id),
            escape(text)
        )
    }

    fn integrity(&self) -> String {
        let seen = self.verification;
        let what = match seen.finding() {
            None => format!(
                "Every one of the {} lines in {} segments is there, as it was written and in order, up to the checkpoint.",
                seen.count(),
                seen.segments()
            ),
            Some(finding) => format!("Found: {finding}"),
        };
        let lost = match seen.lost() {
            0 => "No record was lost.".to_owned(),
            lost => format!("{lost} records were lost, as the log tells."),
        };
        format!(
            "<section><h2>The log itself</h2><p class=\"lead\">{} {lost}</p></section>\n",
            escape(&what)
        )
    }
}

fn breakdown(what: &str, counts: &[FlipCount]) -> String {
    const SHOWN: usize = 6;
    if counts.is_empty() {
        return format!("<div><h3>{what}</h3><p class=\"more\">none</p></div>");
    }
    let total = |count: &FlipCount| count.newly_allowed + count.newly_denied;
    let most = counts.iter().map(total).max().unwrap_or(0).max(1) as f64;
    let rows: String = counts
        .iter()
        .take(SHOWN)
        .map(|count| {
            let bar = |class: &str, part: u64| match part {
                0 => String::new(),
                part => format!("<span class=\"meter {class}\" style=\"width:{:.1}%\"></span>", 75.0 * part as f64 / most),
            };
            format!(
                "<li><span class=\"what\">{}</span><span class=\"bar\">{}{}<span class=\"count\">{}</span></span></li>",
                escape(count.name.as_deref().unwrap_or("others")),
                bar("risk", count.newly_allowed),
                bar("safe", count.newly_denied),
                match (count.newly_allowed, count.newly_denied) {
                    (allowed, 0) => format!("+{allowed}"),
                    (0, denied) => format!("−{denied}"),
                    (allowed, denied) => format!("+{allowed} −{denied}"),
                }
            )
        })
        .collect();
    let rest = counts.len().saturating_sub(SHOWN);
    let rest = if rest > 0 {
        format!("<p class=\"more\">and {rest} more</p>")
    } else {
        String::new()
    };
    format!("<div><h3>{what}</h3><ul class=\"bars\">{rows}</ul>{rest}</div>")
}

fn flip_row(flip: &Flip) -> String {
    let badge = match flip.after.decision {
        Decision::Allow => "<span class=\"badge risk\">deny → allow</span>",
        Decision::Deny => "<span class=\"badge safe\">allow → deny</span>",
    };
    let code = |text: String| format!("<code>{}</code>", escape(&text));
    format!(
        "<tr><td>{badge}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        minute(flip.time.as_deref().unwrap_or_default()),
        code(flip.principal.to_string()),
        code(flip.action.id().to_owned()),
        code(flip.resource.to_string()),
        escape(&reason(&flip.before)),
        escape(&reason(&flip.after)),
    )
}

fn mark(is_fine: bool) -> &'static str {
    if is_fine { "fine" } else { "finding" }
}

/// `2026-11-23 08:15` of a time as records have it.
fn minute(time: &str) -> String {
    escape(&time.get(..16).unwrap_or(time).replace('T', " "))
}

/// A round distance of lines, of which there are three to six.
fn tick(most: u64) -> u64 {
    let mut step = 1;
    loop {
        for factor in [1, 2, 5] {
            if most <= step * factor * 5 {
                return step * factor;
            }
        }
        step *= 10;
    }
}

/// Names come from requests: they must not become markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
