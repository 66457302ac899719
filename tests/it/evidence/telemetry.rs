//! Decisions as metrics and as `tracing` events.

use super::*;

const POLICIES: &str = r#"
    permit(principal, action == Action::"view", resource);
    permit(principal, action == Action::"view", resource == Doc::"d");
    forbid(principal == User::"eve", action, resource);
    forbid(principal, action, resource) when { principal.nope };
"#;

fn ask(authorizer: &Authorizer) {
    for request in [
        request("alice").request_id("r-1").trace("t", "s"),
        request("bob"),
        request("eve"),
        Request::new(("User", "bob"), ("Action", "edit"), ("Doc", "d")),
        request("bob").context_json("{"),
    ] {
        let _ = authorizer.is_authorized(&request);
    }
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use ::metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        Recorder, SharedString, Unit,
    };
    use duramen::evidence::{DecisionSink, FanOut, MemorySink, MetricsSink};

    use super::*;

    /// Keeps what it is told: a metric's name and labels, and its values.
    #[derive(Clone, Default)]
    struct Recording {
        values: Arc<Mutex<BTreeMap<String, Vec<f64>>>>,
        units: Arc<Mutex<BTreeMap<String, Option<Unit>>>>,
    }

    struct Metric {
        name: String,
        recording: Recording,
    }

    impl Metric {
        fn change(&self, change: impl FnOnce(&mut Vec<f64>)) {
            let mut values = self.recording.values.lock().unwrap();
            change(values.entry(self.name.clone()).or_default());
        }

        fn add(&self, value: f64) {
            self.change(|values| match values.first_mut() {
                Some(sum) => *sum += value,
                None => values.push(value),
            });
        }
    }

    impl CounterFn for Metric {
        fn increment(&self, value: u64) {
            self.add(value as f64);
        }
        fn absolute(&self, _: u64) {
            panic!("a count is added to");
        }
    }

    impl GaugeFn for Metric {
        fn increment(&self, value: f64) {
            self.add(value);
        }
        fn decrement(&self, value: f64) {
            self.add(-value);
        }
        fn set(&self, value: f64) {
            self.change(|values| *values = vec![value]);
        }
    }

    impl HistogramFn for Metric {
        fn record(&self, value: f64) {
            self.change(|values| values.push(value));
        }
    }

    impl Recording {
        fn metric(&self, key: &Key) -> Arc<Metric> {
            let labels: Vec<_> = key
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let name = format!("{}{{{}}}", key.name(), labels.join(","));
            let units = self.units.lock().unwrap();
            assert!(units.contains_key(key.name()), "{name} is not described");
            self.values.lock().unwrap().entry(name.clone()).or_default();
            Arc::new(Metric {
                name,
                recording: self.clone(),
            })
        }

        fn describe(&self, name: KeyName, unit: Option<Unit>) {
            let mut units = self.units.lock().unwrap();
            units.insert(name.as_str().to_owned(), unit);
        }

        fn value(&self, name: &str) -> f64 {
            let values = self.values.lock().unwrap();
            match values.get(name) {
                Some(values) => values.first().copied().unwrap_or_default(),
                None => panic!("{name} is not one of {:?}", values.keys()),
            }
        }
    }

    impl Recorder for Recording {
        fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.describe(name, unit);
        }
        fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.describe(name, unit);
        }
        fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.describe(name, unit);
        }
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.metric(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.metric(key))
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.metric(key))
        }
    }

    #[test]
    fn decisions_are_counted() {
        let recording = Recording::default();
        let sink = Arc::new(::metrics::with_local_recorder(&recording, MetricsSink::new));
        let memory = MemorySink::new(10);
        let authorizer = Authorizer::builder()
            .policies(POLICIES)
            .sink(FanOut::new().sink(Arc::clone(&sink)).sink(memory))
            .build()
            .unwrap();
        ask(&authorizer);
        sink.record_loss(3).unwrap();
        for (name, value) in [
            (
                "duramen_decisions_total{decision=allow,outcome=allowed}",
                2.0,
            ),
            (
                "duramen_decisions_total{decision=deny,outcome=forbidden}",
                1.0,
            ),
            (
                "duramen_decisions_total{decision=deny,outcome=no_permit}",
                1.0,
            ),
            (
                "duramen_decisions_total{decision=deny,outcome=invalid_request}",
                1.0,
            ),
            (
                "duramen_decisions_total{decision=deny,outcome=evaluation_errors}",
                0.0,
            ),
            ("duramen_determining_policies_total{effect=permit}", 4.0),
            ("duramen_determining_policies_total{effect=forbid}", 1.0),
            (
                "duramen_policy_errors_total{kind=entity_does_not_exist}",
                4.0,
            ),
            ("duramen_policy_errors_total{kind=type_error}", 0.0),
            ("duramen_records_lost_total{}", 3.0),
            ("duramen_epoch{}", 1.0),
            ("duramen_entity_revision{}", 1.0),
        ] {
            assert_eq!(recording.value(name), value, "{name}");
        }
        authorizer.replace_entities("[]").unwrap();
        ask(&authorizer);
        assert_eq!(recording.value("duramen_epoch{}"), 2.0);
        let values = recording.values.lock().unwrap();
        let durations = &values["duramen_decision_duration_seconds{}"];
        assert_eq!(durations.len(), 10);
        assert!(
            durations
                .iter()
                .all(|seconds| (0.0..10.0).contains(seconds))
        );
        let series = values.len();
        drop(values);
        // No label has a value for each principal or policy: there are all the series that there can be.
        ::metrics::with_local_recorder(&recording, || {
            for user in ["ann", "ben"] {
                let _ = authorizer.is_authorized(&request(user).request_id(user));
            }
        });
        assert_eq!(recording.values.lock().unwrap().len(), series);
        let units = recording.units.lock().unwrap();
        assert_eq!(
            units["duramen_decision_duration_seconds"],
            Some(Unit::Seconds)
        );
        assert_eq!(units["duramen_decisions_total"], Some(Unit::Count));
    }
}

#[cfg(feature = "tracing")]
mod tracing {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::sync::Mutex;

    use ::tracing::field::{Field, Visit};
    use ::tracing::span::{Attributes, Id, Record};
    use ::tracing::{Event, Level, Metadata, Subscriber};
    use duramen::evidence::{FanOut, MemorySink, TracingSink};

    use super::*;

    type Fields = BTreeMap<&'static str, String>;

    /// Keeps events from a level on.
    struct Recording {
        least: Level,
        events: Arc<Mutex<Vec<(Level, Fields)>>>,
    }

    struct Visitor<'f>(&'f mut Fields);

    impl Visit for Visitor<'_> {
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name(), value.to_owned());
        }
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }
    }

    impl Subscriber for Recording {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= self.least
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let metadata = event.metadata();
            assert_eq!(metadata.name(), "duramen.decision");
            assert_eq!(metadata.target(), "duramen::decision");
            let mut fields = Fields::new();
            event.record(&mut Visitor(&mut fields));
            self.events
                .lock()
                .unwrap()
                .push((*metadata.level(), fields));
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// The events of some decisions, and how many records there were.
    fn events(sink: TracingSink, least: Level) -> (Vec<(Level, Fields)>, usize) {
        let events = Arc::default();
        let memory = Arc::new(MemorySink::new(10));
        let recording = Recording {
            least,
            events: Arc::clone(&events),
        };
        ::tracing::subscriber::with_default(recording, || {
            let authorizer = Authorizer::builder()
                .policies(POLICIES)
                .sink(FanOut::new().sink(sink).sink(Arc::clone(&memory)))
                .build()
                .unwrap();
            ask(&authorizer);
        });
        let events = std::mem::take(&mut *events.lock().unwrap());
        (events, memory.records().len())
    }

    #[test]
    fn each_decision_is_an_event() {
        let (events, records) = events(TracingSink::new(), Level::INFO);
        assert_eq!((events.len(), records), (5, 5));
        assert!(events.iter().all(|(level, _)| *level == Level::INFO));
        let fields = &events[0].1;
        for (name, value) in [
            ("duramen.decision", "allow"),
            ("duramen.outcome", "allowed"),
            ("duramen.principal", r#"User::"alice""#),
            ("duramen.action", r#"Action::"view""#),
            ("duramen.resource", r#"Doc::"d""#),
            ("duramen.epoch", "1"),
            ("duramen.policy_errors", "1"),
            ("duramen.request_id", "r-1"),
            ("duramen.trace_id", "t"),
            ("duramen.span_id", "s"),
            ("security_rule.name", "policy0,policy1"),
            ("error.type", "entity_does_not_exist"),
        ] {
            assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(fields["log.record.uid"].ends_with("-1"));
        assert_eq!(fields["security_rule.version"].len(), 64);
        assert!(fields["duramen.duration_ns"].parse::<u64>().is_ok());
        assert!(!fields.contains_key("duramen.records_lost"));

        let [_, _, forbidden, nothing, invalid] = &events[..] else {
            panic!("five")
        };
        assert_eq!(forbidden.1["duramen.decision"], "deny");
        assert_eq!(forbidden.1["security_rule.name"], "policy2");
        assert!(!forbidden.1.contains_key("duramen.request_id"));
        assert!(!nothing.1.contains_key("security_rule.name"));
        assert_eq!(invalid.1["duramen.outcome"], "invalid_request");
        assert_eq!(invalid.1["error.type"], "invalid_request");
    }

    #[test]
    fn levels_are_the_hosts() {
        let levels = [
            Level::ERROR,
            Level::WARN,
            Level::INFO,
            Level::DEBUG,
            Level::TRACE,
        ];
        for level in levels {
            let sink = TracingSink::new()
                .allow_level(level)
                .deny_level(Level::ERROR);
            let (seen, _) = events(sink, Level::TRACE);
            let seen: Vec<_> = seen.iter().map(|(level, _)| *level).collect();
            let denied = Level::ERROR;
            assert_eq!(seen, [level, level, denied, denied, denied]);
        }
        // What nobody listens to is not made, and the records are kept all the same.
        let sink = TracingSink::new().allow_level(Level::DEBUG);
        let (seen, records) = events(sink, Level::INFO);
        assert_eq!((seen.len(), records), (3, 5));
    }
}
