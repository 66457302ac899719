//! Decisions whose records sinks take.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use duramen::EnforcementMode;
use duramen::evidence::log::{DurableLog, SyncPolicy};
use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, FilterSink, JsonLinesSink, Mask, MaskSink, Masks,
    MemorySink, NoSink, QueueSink, SinkError, Wants,
};
use duramen::replay::UsageSink;

use super::*;

/// A writer of fixed size that begins anew when it is full.
struct Ring(Vec<u8>);

impl Write for Ring {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > self.0.capacity() {
            self.0.clear();
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn ring() -> Ring {
    Ring(Vec::with_capacity(1 << 20))
}

fn with_sink(sink: impl DecisionSink + 'static) -> Authorizer {
    Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .sink(sink)
        .build()
        .unwrap()
}

#[test]
fn sinks() {
    let context = typed_context();
    let directory = std::env::temp_dir().join(format!("duramen-alloc-{}", std::process::id()));
    let log = |name: &str, sync| {
        DurableLog::options(directory.join(name))
            .sync(sync)
            .open()
            .unwrap()
    };
    // As many slots as are warm after the first runs.
    let queue = |sink| QueueSink::with_delivery(sink, WARM_UP / 2, Delivery::Block);
    let masks = || {
        let masks = Masks::new().key(&[7; 32]).ids("User");
        let masks = masks.path("*.*", Mask::Digest).unwrap();
        masks.path("context.*", Mask::Digest).unwrap()
    };
    let sinks: [(&str, Box<dyn DecisionSink>); 10] = [
        (
            "masks",
            Box::new(MaskSink::new(JsonLinesSink::new(ring()), masks()).unwrap()),
        ),
        (
            "masks in front of a queue",
            Box::new(MaskSink::new(queue(JsonLinesSink::new(ring())).unwrap(), masks()).unwrap()),
        ),
        ("log, unsynced", Box::new(log("never", SyncPolicy::Never))),
        ("log, synced", Box::new(log("each", SyncPolicy::EachRecord))),
        (
            "queue",
            Box::new(queue(JsonLinesSink::new(ring())).unwrap()),
        ),
        (
            "queue without inputs",
            Box::new(queue(JsonLinesSink::new(ring()).without_inputs()).unwrap()),
        ),
        ("no sink", Box::new(NoSink)),
        ("JSON lines", Box::new(JsonLinesSink::new(ring()))),
        ("memory", Box::new(MemorySink::new(2))),
        (
            "JSON lines without inputs",
            Box::new(JsonLinesSink::new(ring()).without_inputs()),
        ),
    ];
    for (what, sink) in sinks {
        let authorizer = with_sink(Arc::<dyn DecisionSink>::from(sink));
        let request = view("bob")
            .context(&context)
            .request_id("r1")
            .trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        every_way(what, &authorizer, &request, Outcome::Allowed);
        let request = view("bob").context_json(JSON_CONTEXT);
        every_way(what, &authorizer, &request, Outcome::Allowed);
        every_way(what, &authorizer, &view("eve"), Outcome::Forbidden);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// Beside a shadow too, whether it agrees or not and whoever wants to know; and so does counting what policies do.
#[test]
fn shadows_and_usage() {
    let context = typed_context();
    let queue = |sink| QueueSink::with_delivery(sink, WARM_UP / 2, Delivery::Block);
    let sinks: [(&str, Box<dyn DecisionSink>); 4] = [
        ("shadow, no sink", Box::new(NoSink)),
        ("shadow, JSON lines", Box::new(JsonLinesSink::new(ring()))),
        (
            "shadow, queue",
            Box::new(queue(JsonLinesSink::new(ring())).unwrap()),
        ),
        ("shadow, usage", Box::new(UsageSink::new())),
    ];
    for (what, sink) in sinks {
        let authorizer = with_sink(Arc::<dyn DecisionSink>::from(sink));
        authorizer
            .set_shadow(
                r#"permit(principal == User::"eve", action, resource) when { principal.level > 0 };
                   permit(principal, action, resource) when { principal.nope };"#,
            )
            .unwrap();
        let request = view("bob").context(&context);
        every_way(what, &authorizer, &request, Outcome::Allowed);
        every_way(what, &authorizer, &view("eve"), Outcome::Forbidden);
        let counts = authorizer.shadow().unwrap();
        assert!(counts.newly_denied > 0, "{what}");
        assert_eq!(counts.failed, 0, "{what}");
    }
}

/// The last to hold a shadow that was replaced is often a slot of a queue, which a deciding thread writes over.
#[test]
fn no_decision_frees_a_shadow_that_was_replaced() {
    let queue = QueueSink::with_delivery(JsonLinesSink::new(ring()), 4, Delivery::Block).unwrap();
    // With records of what is in force beside them, the slots of those would hold the whole epoch.
    let shadows = |record: &DecisionRecord<'_>| record.mode() == EnforcementMode::Shadow;
    let authorizer = with_sink(FilterSink::new(queue, shadows));
    let shadow = r#"forbid(principal, action, resource);"#;
    authorizer.set_shadow(shadow).unwrap();
    let context = typed_context();
    let request = view("bob").context(&context);
    for round in 0..2 * WARM_UP {
        std::thread::scope(|scope| {
            let id = round.to_string();
            let update = EntityUpdate::new().upsert(Entity::new(("User", id.as_str())));
            let updated = scope.spawn(|| authorizer.update_entities(update).map(|_| ()));
            updated.join().unwrap().unwrap();
        });
        let (calls, ()) = calls_of(|| {
            for _ in 0..4 {
                assert!(authorizer.is_authorized(&request).is_allowed());
            }
        });
        assert!(
            round < WARM_UP || calls == Calls::default(),
            "{calls:?} in round {round}"
        );
    }
    assert!(authorizer.shadow().unwrap().newly_denied > 0);
}

#[test]
fn errors_in_records() {
    let authorizer = Authorizer::builder()
        .policies(
            r#"
            @id("named") @owner("security")
            forbid(principal, action, resource) when { true } unless { true && [1, principal.nope] == [] };
            permit(principal, action, resource);
            "#,
        )
        .entities(ENTITIES)
        .sink(JsonLinesSink::new(ring()))
        .build()
        .unwrap();
    every_way(
        "error in the record",
        &authorizer,
        &view("alice"),
        Outcome::Allowed,
    );
}

/// Decides in its turn, with the same authorizer and with another.
#[derive(Default)]
struct Reentrant {
    same: OnceLock<Authorizer>,
    other: OnceLock<Authorizer>,
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl DecisionSink for Reentrant {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn delivery(&self) -> Delivery {
        Delivery::DenyIfNotKept
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if INSIDE.replace(true) {
            return Ok(());
        }
        let request = view("bob").context_json(JSON_CONTEXT);
        let deciding = [&self.same, &self.other]
            .into_iter()
            .flat_map(OnceLock::get);
        let allowed = deciding
            .filter(|authorizer| authorizer.is_allowed(&request))
            .count();
        INSIDE.set(false);
        if allowed == 2 {
            Ok(())
        } else {
            Err(SinkError::new("the decisions inside went wrong"))
        }
    }
}

#[test]
fn from_inside_a_sink() {
    let sink = Arc::new(Reentrant::default());
    let authorizer = with_sink(Arc::clone(&sink));
    assert!(sink.same.set(authorizer.clone()).is_ok());
    assert!(sink.other.set(self::authorizer()).is_ok());
    let context = typed_context();
    let request = view("bob").context(&context);
    every_way("deciding sink", &authorizer, &request, Outcome::Allowed);
}
