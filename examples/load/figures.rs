//! A report: figures beside their thresholds.

/// One line of the report.
pub(crate) struct Figure {
    what: String,
    found: f64,
    unit: &'static str,
    threshold: Option<Threshold>,
}

#[derive(Clone, Copy)]
enum Threshold {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, found: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            found,
            unit,
            threshold: None,
        }
    }

    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.threshold = Some(Threshold::AtMost(most));
        self
    }

    pub(crate) fn at_least(mut self, least: f64) -> Self {
        self.threshold = Some(Threshold::AtLeast(least));
        self
    }

    pub(crate) fn holds(&self) -> bool {
        match self.threshold {
            None => true,
            Some(Threshold::AtLeast(least)) => self.found >= least,
            Some(Threshold::AtMost(most)) => self.found <= most,
        }
    }

    pub(crate) fn print(&self, json: bool) {
        let Self {
            what, found, unit, ..
        } = self;
        let (sign, threshold) = match self.threshold {
            None => ("", None),
            Some(Threshold::AtLeast(least)) => (">=", Some(least)),
            Some(Threshold::AtMost(most)) => ("<=", Some(most)),
        };
        if json {
            let line = serde_json::json!({
                "what": what, "found": found, "unit": unit, "bound": sign, "threshold": threshold, "holds": self.holds(),
            });
            println!("{line}");
            return;
        }
        let bound =
            threshold.map_or_else(String::new, |threshold| format!("{sign} {threshold:.2}"));
        let verdict = match (threshold, self.holds()) {
            (None, _) => "",
            (_, true) => "ok",
            (_, false) => "MISSED",
        };
        println!("{what:<60} {found:>12.2} {unit:<8} {bound:>10}  {verdict}");
    }
}
