//! `report`: what a log shows, as one page of HTML that needs nothing else.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use duramen::evidence::log::{Checkpoint, Verification, verify};
use duramen::replay::{Flip, FlipCount, PolicyUse, UsageReport, WhatIf, WhatIfReport};
use duramen::{Authorizer, Decision, EnforcementMode, Outcome};
use serde_json::json;

use crate::command::{Arguments, Command, Verdict, told};
use crate::records::{self, Versions};
use crate::replay::{self, Replays};
use crate::text::escape;
use crate::timeline::{KINDS, Timeline, span};
use crate::whatif::reason;
use crate::{usage, verify as verifying, whatif};

pub(crate) const COMMAND: Command = Command {
    name: "report",
    usage: "DIR OUT [--policies POLICIES] [--checkpoint FILE]",
    takes: 2,
    options: &["--policies", "--checkpoint"],
    run,
};

/// A finding is a log that is not as it was written, or a record that says something else than its policies come to.
fn run(arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let [directory, out] = arguments.words() else {
        return Err("two arguments are needed".into());
    };
    let checkpoint = arguments.option("--checkpoint").map(Path::new);
    let checkpoint = checkpoint.map(verifying::read).transpose()?;
    let candidate = arguments.option("--policies").map(Path::new);
    let page = Page::of(directory.as_ref(), checkpoint.as_ref(), candidate)?;
    fs::write(out, page.to_html()).map_err(|error| format!("{out}: {error}"))?;
    if arguments.json {
        say!("{}", json!({ "report": out, "fine": page.is_fine() }));
    } else {
        say!("{directory} is in {out}");
    }
    Ok(match page.is_fine() {
        true => Verdict::Fine,
        false => Verdict::Finding,
    })
}

/// What the page shows.
pub(crate) struct Page {
    pub(crate) timeline: Timeline,
    pub(crate) verification: Verification,
    pub(crate) replays: Replays,
    /// What a candidate would have decided, if there is one.
    pub(crate) what_if: Option<WhatIfReport>,
    /// What the policies did, or why that is not known.
    pub(crate) usage: Result<UsageReport, String>,
    /// The id of a decision that no policy permitted, and why none did.
    pub(crate) explanation: Option<(String, String)>,
}

impl Page {
    /// Looks at a log from all sides.
    pub(crate) fn of(
        directory: &Path,
        checkpoint: Option<&Checkpoint>,
        candidate: Option<&Path>,
    ) -> Result<Self, Box<dyn Error>> {
        let verification = verify(directory, checkpoint)?;
        let replays = replay::of(directory)?;
        let what_if = match candidate {
            Some(policies) => Some(reconsidered(directory, policies)?),
            None => None,
        };
        let usage = usage::of(directory).map_err(|error| told(&*error));
        let mut versions = Versions::of(directory);
        let mut timeline = Timeline::default();
        let mut explanation = None;
        // What cannot be read has been told of when it was replayed.
        let _ = records::each(directory, |record| {
            if record.mode == EnforcementMode::Shadow {
                return;
            }
            timeline.count(&record);
            if explanation.is_none() && record.outcome == Outcome::NoPermit {
                let policies = versions.get(record.version.policies()).ok();
                let explained = policies.and_then(|policies| policies.explain(&record).ok());
                explanation = explained.map(|text| (record.id.clone(), text.to_string()));
            }
        })?;
        Ok(Self {
            timeline,
            verification,
            replays,
            what_if,
            usage: usage.map(|(usage, _)| usage),
            explanation,
        })
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.verification.is_fine() && self.replays.verdict() == Verdict::Fine
    }
}

/// What other policies would have decided, from the records alone.
fn reconsidered(directory: &Path, policies: &Path) -> Result<WhatIfReport, Box<dyn Error>> {
    let candidate = Authorizer::builder().policies(whatif::read(policies));
    let mut what_if = WhatIf::new(&candidate.build()?)?.samples(6);
    let _ = records::each(directory, |record| {
        what_if.add(&record);
    })?;
    Ok(what_if.report())
}

const STYLE: &str = include_str!("report.css");

impl Page {
    pub(crate) fn to_html(&self) -> String {
        let usage = self.usage.as_ref().ok();
        let times = usage.and_then(|usage| usage.since.as_ref().zip(usage.until.as_ref()));
        let between = times.map_or_else(String::new, |(since, until)| {
            format!("{} – {} UTC", minute(since), minute(until))
        });
        let policies = usage.map_or_else(String::new, |usage| {
            format!("Policies <code>{}</code>, ", usage.version)
        });
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>Decisions and what they rest on</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <header><p class=\"eyebrow\">Duramen · evidence</p><h1>Decisions and what they rest on</h1>\
             <p class=\"meta\">{between}</p></header>\n{}{}{}{}{}{}\
             <footer><p>Made from the log alone. {policies}head of the chain <code>{}</code>.\
             </p></footer>\n</main>\n</body>\n</html>\n",
            self.cards(),
            self.over_time(),
            self.flips(),
            self.policies(),
            self.explained(),
            self.integrity(),
            escape(&self.verification.head().to_string()),
        )
    }

    fn cards(&self) -> String {
        let decisions: u64 = (0..KINDS.len()).map(|kind| self.timeline.total(kind)).sum();
        let allowed = self.timeline.total(0);
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
                "{} lines, verified {} a checkpoint",
                self.verification.count() - self.verification.first_index(),
                if self.verification.checkpoint_compared() {
                    "against"
                } else {
                    "without"
                }
            ),
        );
        let replays = &self.replays;
        let not_replayable = match replays.not_replayable + replays.unreadable {
            0 => "by Duramen and by cedar-policy, shadows too".to_owned(),
            some => format!("{some} could not be decided again"),
        };
        card(
            mark(replays.verdict() == Verdict::Fine),
            format!("{} / {}", replays.same, replays.same + replays.different),
            "Replayed, the same",
            not_replayable,
        );
        if let Some(what_if) = &self.what_if {
            card(
                mark(what_if.newly_allowed == 0),
                what_if.flip_count().to_string(),
                "Would flip",
                format!(
                    "{} newly allowed, {} newly denied",
                    what_if.newly_allowed, what_if.newly_denied
                ),
            );
        }
        if let Ok(usage) = &self.usage {
            let unused = usage.unused().count();
            card(
                mark(unused == 0),
                unused.to_string(),
                "Policies unused",
                format!("of {} in force", usage.policies.len()),
            );
        }
        cards + "</section>\n"
    }

    fn over_time(&self) -> String {
        let (hours, bars) = self.timeline.bars();
        if bars.is_empty() {
            return "<section><h2>Decisions over time</h2><p class=\"lead\">There is none with a time.</p></section>\n"
                .to_owned();
        }
        let legend: String = KINDS
            .iter()
            .enumerate()
            .filter(|(kind, _)| self.timeline.total(*kind) > 0)
            .map(|(kind, (class, name))| {
                format!(
                    "<li><span class=\"swatch {class}\"></span>{name} <b>{}</b></li>",
                    self.timeline.total(kind)
                )
            })
            .collect();
        let mut rows = String::new();
        for bar in &bars {
            let counts = bar.counts.iter();
            let cells: String = counts
                .map(|count| format!("<td class=\"n\">{count}</td>"))
                .collect();
            let _ = write!(
                rows,
                "<tr><th scope=\"row\">{}</th>{cells}</tr>",
                bar.name()
            );
        }
        let heads: String = KINDS
            .iter()
            .map(|(_, name)| format!("<th scope=\"col\" class=\"n\">{name}</th>"))
            .collect();
        let undated = match self.timeline.undated() {
            0 => String::new(),
            some => format!(" {some} have no time and are not shown."),
        };
        format!(
            "<section><h2>Decisions over time</h2><p class=\"lead\">Each bar is {}.{undated}</p><ul class=\"legend\">{legend}</ul>{}\
             <details><summary>The same as a table</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">From, UTC</th>{heads}</tr></thead>\
             <tbody>{rows}</tbody></table></div></details></section>\n",
            span(hours),
            self.timeline.chart()
        )
    }

    fn flips(&self) -> String {
        let Some(report) = &self.what_if else {
            return String::new();
        };
        let mut html = format!(
            "<section><h2>What the changed policies would decide otherwise</h2>\
             <p class=\"lead\">Of {} recorded decisions, <b class=\"risk\">{} that were denied would be allowed</b>, {} that were \
             allowed would be denied, {} would stay as they are, and {} cannot be told from what was recorded.{}</p>",
            report.records - report.shadow,
            report.newly_allowed,
            report.newly_denied,
            report.same,
            report.undetermined,
            match report.not_replayable {
                0 => String::new(),
                some => format!(" {some} cannot be decided again."),
            }
        );
        if report.flips.is_empty() {
            return html + "</section>\n";
        }
        html.push_str("<div class=\"columns\">");
        for (what, counts) in [
            ("By policy, now", &report.by_policy_after),
            ("By policy, before", &report.by_policy_before),
            ("By principal", &report.by_principal),
            ("By action", &report.by_action),
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
        let usage = match &self.usage {
            Ok(usage) => usage,
            Err(reason) => {
                return format!(
                    "<section><h2>What the policies do</h2><p class=\"lead\">Not known: {}.</p></section>\n",
                    escape(reason)
                );
            }
        };
        let mut policies: Vec<&PolicyUse> = usage.policies.iter().collect();
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
            usage.unused().count(),
            usage.policies.len(),
        )
    }

    fn explained(&self) -> String {
        let Some((id, text)) = &self.explanation else {
            return String::new();
        };
        format!(
            "<section><h2>Why one of them was denied</h2><p class=\"lead\">Decision <code>{}</code>, explained from its record alone.</p><pre>{}</pre></section>\n",
            escape(id),
            escape(text)
        )
    }

    fn integrity(&self) -> String {
        let seen = &self.verification;
        let until = match seen.checkpoint_compared() {
            true => "also at the end, as a checkpoint shows.",
            false => {
                "as far as can be told without a checkpoint: what is missing at the end does not show."
            }
        };
        let what = match seen.finding() {
            None => format!(
                "Every one of the {} lines in {} segments is there, as it was written and in order, {until}",
                seen.count() - seen.first_index(),
                seen.segments()
            ),
            Some(finding) => format!("Found: {finding}"),
        };
        let mut lost = match seen.lost() {
            0 => "No record was lost.".to_owned(),
            lost => format!("{lost} records were lost, as the log tells."),
        };
        if seen.first_index() > 0 {
            let _ = write!(
                lost,
                " {} lines before them were removed, as it tells too.",
                seen.first_index()
            );
        }
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
        std::iter::once(&flip.principal)
            .chain(&flip.actors)
            .map(|who| code(who.to_string()))
            .collect::<Vec<_>>()
            .join(" by "),
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
