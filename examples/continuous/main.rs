//! A stream that is served as long as it is allowed: a session-revoked event of the Continuous Access Evaluation Profile
//! arrives, and the stream stops. Prints how long that took.
//!
//! ```text
//! cargo run --release --example continuous
//! ```
//!
//! The event is a Security Event Token's payload that the host has verified already (RFC 8417; CAEP 1.0, section 3.1).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "an example that cannot run must say so"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use duramen::evidence::MemorySink;
use duramen::grant::{Grant, GrantTable};
use duramen::signals::{SignalReceiver, SubjectFormat, SubjectKind, Transmitter};
use duramen::{Authorizer, EntityUpdate, Request};

const POLICIES: &str = r#"
@reason("A live session may watch what its user's plan has.")
permit (principal in Plan::"films", action == Action::"watch", resource)
unless { principal has revoked && principal.revoked };
"#;

const ENTITIES: &str = r#"[
  { "uid": { "type": "User", "id": "alice@example.com" }, "attrs": {}, "parents": [{ "type": "Plan", "id": "films" }] },
  { "uid": { "type": "User", "id": "bob@example.com" }, "attrs": {}, "parents": [{ "type": "Plan", "id": "films" }] },
  { "uid": { "type": "Session", "id": "alice-tv" }, "attrs": {}, "parents": [{ "type": "User", "id": "alice@example.com" }] },
  { "uid": { "type": "Session", "id": "bob-phone" }, "attrs": {}, "parents": [{ "type": "User", "id": "bob@example.com" }] }
]"#;

const ISSUER: &str = "https://idp.example.com/";
const AUDIENCE: &str = "https://films.example.com/";

const EVENT: &str = r#"{
  "iss": "https://idp.example.com/",
  "jti": "24c63fb56e5a2d77a6b512616ca9fa24",
  "iat": 1764086400,
  "aud": "https://films.example.com/",
  "sub_id": { "format": "opaque", "id": "alice-tv" },
  "events": {
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
      "initiating_entity": "policy",
      "reason_admin": { "en": "the account was used from two continents" },
      "event_timestamp": 1764086399
    }
  }
}"#;

/// A stream: sends frames as long as its grant is current, and counts them.
fn serve(grant: &Grant, frames: &AtomicU64) -> Instant {
    while grant.is_current() {
        frames.fetch_add(1, Ordering::Relaxed);
        // What a frame takes.
        thread::sleep(Duration::from_micros(200));
    }
    Instant::now()
}

fn main() {
    let sink = Arc::new(MemorySink::new(100));
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    let table = GrantTable::new(&authorizer);
    let receiver = SignalReceiver::new().transmitter(Transmitter::new(ISSUER, AUDIENCE).subject(
        SubjectKind::Session,
        SubjectFormat::Opaque,
        "Session",
    ));
    let watch = |session| {
        let request = Request::new(
            ("Session", session),
            ("Action", "watch"),
            ("Film", "metropolis"),
        );
        table
            .grant(&request)
            .unwrap_or_else(|denied| panic!("{denied:?}"))
    };
    let (alice, bob) = (watch("alice-tv"), watch("bob-phone"));
    let told = Arc::new(OnceLock::new());
    let tell = Arc::clone(&told);
    alice.on_revoked(move |revocation| {
        let _ = tell.set((Instant::now(), revocation.to_string()));
    });
    let (sent, others) = (AtomicU64::new(0), AtomicU64::new(0));
    let (signal, signals) = mpsc::channel::<String>();
    let (stop, begun, applied, at_signal) = thread::scope(|scope| {
        let hers = scope.spawn(|| serve(&alice, &sent));
        let his = scope.spawn(|| serve(&bob, &others));
        thread::sleep(Duration::from_millis(50));
        signal.send(EVENT.to_owned()).unwrap();
        // The receiver's endpoint.
        let payload = signals.recv().unwrap();
        let begun = Instant::now();
        let at_signal = sent.load(Ordering::Relaxed);
        let (report, revoked) = table.revoked_by(|authorizer| receiver.apply(authorizer, &payload));
        let applied = Instant::now();
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        println!(
            "{:?} of token {} set {:?}",
            report.event(),
            report.token_id(),
            report.changes()
        );
        for revocation in &revoked {
            println!("the event took back {revocation}");
        }
        assert_eq!(revoked.len(), 1);
        let stop = hers.join().unwrap();
        thread::sleep(Duration::from_millis(20));
        assert!(bob.is_current(), "the other stream goes on");
        let all = EntityUpdate::new().set_attr(("Session", "bob-phone"), "revoked", &true);
        authorizer
            .update_entities(all)
            .unwrap_or_else(|error| panic!("{error}"));
        his.join().unwrap();
        (stop, begun, applied, at_signal)
    });
    let (told_at, why) = told.get().unwrap_or_else(|| panic!("nobody was told"));
    let micros = |until: Instant| until.duration_since(begun).as_secs_f64() * 1e6;
    println!("her stream was told: {why}");
    println!(
        "frames before the event: {at_signal}, in all: {}",
        sent.load(Ordering::Relaxed)
    );
    println!(
        "frames of the other stream: {}",
        others.load(Ordering::Relaxed)
    );
    println!("from the event to the callback: {:.1} µs", micros(*told_at));
    println!(
        "from the event to the end of its processing: {:.1} µs",
        micros(applied)
    );
    println!(
        "from the event to the end of the stream, a frame's time included: {:.1} µs",
        micros(stop)
    );
    let records = sink.records();
    let again = records.iter().find(|record| record.rechecks.is_some());
    let again = again.unwrap_or_else(|| panic!("no decision was made again"));
    println!(
        "the record of the decision that ended it: sequence {}, outcome {}, rechecks {:?}",
        again.sequence, again.outcome, again.rechecks
    );
}
