//! Lines over two logarithmic axes, as SVG that reads on light and on dark.

use std::fmt::Write;

pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) across: &'static str,
    pub(crate) series: Vec<Series>,
}

pub(crate) struct Series {
    pub(crate) label: String,
    /// Size and nanoseconds.
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
/// Room for the labels at the lines' ends.
const RIGHT: f64 = 210.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 54.0;
/// Labels are moved apart to at least this.
const LINE: f64 = 16.0;

/// Told apart also by who does not tell all colours apart.
const COLOURS: [&str; 6] = [
    "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
];

/// One axis: powers of ten from and to, and the room for them.
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, start: f64, end: f64) -> Option<Self> {
        let from = values.clone().reduce(f64::min)?.log10().floor();
        let to = values.reduce(f64::max)?.log10().ceil().max(from + 1.0);
        Some(Self {
            from,
            to,
            start,
            end,
        })
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - self.from) / (self.to - self.from);
        self.start + part * (self.end - self.start)
    }

    fn powers(&self) -> impl Iterator<Item = i32> {
        self.from as i32..=self.to as i32
    }
}

impl Plot {
    /// `None` without points.
    pub(crate) fn svg(&self) -> Option<String> {
        let points = self.series.iter().flat_map(|series| series.points.iter());
        let x = Axis::of(points.clone().map(|(x, _)| *x), LEFT, WIDTH - RIGHT)?;
        let y = Axis::of(points.map(|(_, y)| *y), HEIGHT - BOTTOM, TOP)?;
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}
.title {{ font-size: 16px; font-weight: 600 }}
.grid {{ stroke: #d0d7de }}
rect {{ fill: #ffffff }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #e6edf3 }}
  .grid {{ stroke: #30363d }}
  rect {{ fill: #0d1117 }}
}}
</style>
<rect width="{WIDTH}" height="{HEIGHT}"/>
<text class="title" x="{LEFT}" y="24">{}</text>
"#,
            self.title, self.title
        );
        self.draw_axes(&mut svg, &x, &y);
        self.draw_lines(&mut svg, &x, &y);
        svg.push_str("</svg>\n");
        Some(svg)
    }

    fn draw_axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for power in y.powers() {
            let at = y.at(10_f64.powi(power));
            let (end, label) = (x.end, nanoseconds(power));
            let _ = writeln!(
                svg,
                r#"<line class="grid" x1="{LEFT}" y1="{at:.1}" x2="{end}" y2="{at:.1}"/><text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
                LEFT - 8.0,
                at + 4.0
            );
        }
        for power in x.powers() {
            let at = x.at(10_f64.powi(power));
            let label = count(power);
            let _ = writeln!(
                svg,
                r#"<line class="grid" x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{}"/><text x="{at:.1}" y="{}" text-anchor="middle">{label}</text>"#,
                y.start,
                y.start + 18.0
            );
        }
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{}" text-anchor="middle">{}</text>"#,
            (x.start + x.end) / 2.0,
            HEIGHT - 12.0,
            self.across
        );
    }

    fn draw_lines(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let mut labels = Vec::new();
        let drawn = self
            .series
            .iter()
            .filter(|series| !series.points.is_empty());
        for (series, colour) in drawn.zip(COLOURS.iter().cycle()) {
            let places: Vec<(f64, f64)> = series
                .points
                .iter()
                .map(|(size, ns)| (x.at(*size), y.at(*ns)))
                .collect();
            let path: Vec<String> = places
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let _ = writeln!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2.5"/>"#,
                path.join(" ")
            );
            for (x, y) in &places {
                let _ = writeln!(
                    svg,
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"/>"#
                );
            }
            if let Some((end, at)) = places.last() {
                labels.push((*at, *end, series.label.as_str(), *colour));
            }
        }
        labels.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        let mut free = TOP;
        for (at, end, label, colour) in labels {
            let place = at.max(free);
            free = place + LINE;
            let _ = writeln!(
                svg,
                r#"<line x1="{:.1}" y1="{at:.1}" x2="{:.1}" y2="{place:.1}" stroke="{colour}"/><text x="{:.1}" y="{:.1}">{label}</text>"#,
                end + 5.0,
                WIDTH - RIGHT + 12.0,
                WIDTH - RIGHT + 16.0,
                place + 4.0
            );
        }
    }
}

fn nanoseconds(power: i32) -> String {
    match power {
        ..3 => format!("{} ns", 10_f64.powi(power)),
        3..6 => format!("{} µs", 10_f64.powi(power - 3)),
        6..9 => format!("{} ms", 10_f64.powi(power - 6)),
        _ => format!("{} s", 10_f64.powi(power - 9)),
    }
}

fn count(power: i32) -> String {
    match power {
        ..3 => format!("{}", 10_f64.powi(power)),
        3..6 => format!("{}k", 10_f64.powi(power - 3)),
        _ => format!("{}M", 10_f64.powi(power - 6)),
    }
}
