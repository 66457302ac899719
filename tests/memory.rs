//! Memory stays bounded, whatever goes on for how long: bytes that are in use, counted by the allocator.
//!
//! A binary of its own, and one test, as everything that runs beside it would count. `DURAMEN_STRESS_SECONDS` says how
//! long the last part goes on; the default is one second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

#[path = "../examples/update/memory.rs"]
#[allow(dead_code, reason = "shared with `update`; each uses a part")]
mod memory;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use duramen::evidence::log::{DurableLog, MAX_LINE_BYTES, verify};
use duramen::{Authorizer, Entity, EntityUpdate, PolicyUpdate, Request};
use memory::{live, peak};

/// Who is in the group `staff` sees what is in the folder `open`, at the level of the policies.
fn policies(level: i64) -> String {
    format!(
        r#"permit(principal in Group::"staff", action == Action::"view", resource in Folder::"open")
           when {{ principal.level == {level} && resource.level == {level} }};"#
    )
}

const USERS: usize = 500;

/// A world in which everything is at one level.
fn entities(level: i64) -> String {
    let mut json = format!(
        r#"[{{ "uid": {{ "type": "Doc", "id": "d" }}, "attrs": {{ "level": {level} }},
               "parents": [{{ "type": "Folder", "id": "open" }}] }}"#
    );
    for user in 0..USERS {
        json.push_str(&format!(
            r#",{{ "uid": {{ "type": "User", "id": "u{user}" }}, "attrs": {{ "level": {level} }},
                  "parents": [{{ "type": "Group", "id": "staff" }}] }}"#
        ));
    }
    json.push(']');
    json
}

fn authorizer() -> Authorizer {
    Authorizer::builder()
        .policies(policies(0))
        .entities(entities(0))
        .build()
        .unwrap()
}

fn view<'a>(user: &'a str, doc: &'a str) -> Request<'a> {
    Request::new(("User", user), ("Action", "view"), ("Doc", doc))
}

fn upsert(authorizer: &Authorizer, id: &str) {
    let parents = [("Group", "staff").into()];
    let attrs = serde_json::json!({ "level": 0 });
    let user = Entity::new(("User", id)).attrs(&attrs).parents(&parents);
    let update = EntityUpdate::new().upsert(user);
    authorizer.update_entities(update).unwrap();
}

fn remove(authorizer: &Authorizer, id: &str) {
    let update = EntityUpdate::new().remove(("User", id));
    authorizer.update_entities(update).unwrap();
}

/// The most that is in use while `step` runs `count` times, in each of `PARTS` parts.
fn peaks(count: usize, mut step: impl FnMut(usize)) -> [usize; PARTS] {
    let mut peaks = [0; PARTS];
    peak();
    for i in 0..count {
        step(i);
        let most = &mut peaks[i * PARTS / count];
        *most = peak().max(*most);
    }
    peaks
}

const PARTS: usize = 4;

#[test]
fn memory_is_bounded() {
    the_same_ids_come_and_go();
    ever_new_ids_come_and_go();
    requests_name_unknown_ids();
    a_log_without_an_end_of_line_is_read_in_bounded_memory();
    nothing_is_left_after_readers_and_writers();
}

fn the_same_ids_come_and_go() {
    let authorizer = authorizer();
    let peaks = peaks(8_000, |i| {
        let id = format!("same{}", i / 2 % 50);
        match i % 2 {
            0 => upsert(&authorizer, &id),
            _ => remove(&authorizer, &id),
        }
    });
    let [first, .., last] = peaks;
    assert!(last <= first, "{peaks:?}");
    assert!(authorizer.is_allowed(&view("u1", "d")));
}

/// Each id gets a number that is never given back by itself. Names that nothing mentions are reclaimed when there are
/// more than 16,384 of them, by the writer that notices.
fn ever_new_ids_come_and_go() {
    const RECLAIMED: usize = 16_384;
    // So many in one transaction: what counts here are ids, not updates.
    const TOGETHER: usize = 64;
    let authorizer = authorizer();
    let attrs = serde_json::json!({ "level": 0 });
    // Two reclaims in each part.
    let rounds = RECLAIMED / TOGETHER * 2 * PARTS;
    let mut levels = Vec::with_capacity(rounds);
    let peaks = peaks(rounds, |round| {
        let ids = (0..TOGETHER).map(|i| format!("session-{round:05}-{i:02}"));
        let ids: Vec<String> = ids.collect();
        let (mut come, mut go) = (EntityUpdate::new(), EntityUpdate::new());
        for id in &ids {
            let uid = ("User", id.as_str());
            come = come.upsert(Entity::new(uid).attrs(&attrs));
            go = go.remove(uid);
        }
        authorizer.update_entities(come).unwrap();
        authorizer.update_entities(go).unwrap();
        levels.push(live());
    });
    let fell = levels.windows(2).filter(|pair| pair[1] + 500_000 < pair[0]);
    let reclaims = fell.count();
    assert!(reclaims >= 2 * PARTS - 1, "{reclaims}: {peaks:?}");
    let [_, second, .., last] = peaks;
    assert!(last as f64 <= second as f64 * 1.02, "{peaks:?}");
    assert_eq!(authorizer.entity_count(), USERS + 1);
    assert!(authorizer.is_allowed(&view("u1", "d")));
    assert!(!authorizer.is_allowed(&view("session-00001-01", "d")));
}

fn requests_name_unknown_ids() {
    let authorizer = authorizer();
    let mut session = authorizer.session();
    let mut ask = |i: usize| {
        let (user, doc) = (format!("stranger-{i:09}"), format!("none-{i:09}"));
        let request = view(&user, &doc);
        assert!(!session.is_allowed(&request));
        assert!(!authorizer.is_authorized(&request).is_allowed());
    };
    (0..100).for_each(&mut ask);
    let before = live();
    (100..20_000).for_each(&mut ask);
    assert_eq!(live(), before);
}

/// A segment of 80 MB that is one line: whoever verifies a log has not written it.
fn a_log_without_an_end_of_line_is_read_in_bounded_memory() {
    let directory = std::env::temp_dir().join(format!("duramen-memory-{}", std::process::id()));
    let log = DurableLog::open(&directory).unwrap();
    let authorizer = Authorizer::builder().sink(log).build().unwrap();
    assert!(!authorizer.is_allowed(&view("u1", "d")));
    drop(authorizer);
    let entries = std::fs::read_dir(&directory).unwrap();
    let segment = entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(segment);
    file.unwrap().set_len(80 << 20).unwrap();

    peak();
    let before = live();
    let seen = verify(&directory, None).unwrap();
    assert!(seen.finding().is_some() && seen.decisions() == 1);
    assert!(DurableLog::open(&directory).is_err());
    let taken = peak() - before;
    // A buffer that grows by doubling, and the one before it.
    assert!(taken < MAX_LINE_BYTES * 4, "{taken}");
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Readers in sessions, with prepared requests and with the pool, beside writers of every kind; then all of it is dropped,
/// again and again. What a reader sees is always one world.
fn nothing_is_left_after_readers_and_writers() {
    let seconds = std::env::var("DURAMEN_STRESS_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let round = Duration::from_secs_f64(seconds / 4.0);
    // The first round makes what stays for ever: seeds, lists of threads.
    let mut left = Vec::new();
    for _ in 0..4 {
        let decided = readers_and_writers(round);
        assert!(decided > 100, "only {decided} decisions");
        left.push(live());
    }
    let [_, second, .., last] = left[..] else {
        panic!("{left:?}")
    };
    // Room for the list itself and for what the test's own output keeps.
    assert!(last <= second + 1_024, "{left:?}");
}

fn readers_and_writers(time: Duration) -> u64 {
    let authorizer = authorizer();
    let (stop, decided) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = || stop.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let (authorizer, done, decided) = (&authorizer, &done, &decided);
        let mut threads = Vec::new();
        for reader in 0..3 {
            threads.push(scope.spawn(move || {
                let user = format!("u{reader}");
                let request = view(&user, "d");
                let mut session = authorizer.session();
                let mut prepared = authorizer.prepare(&request).unwrap();
                while !done() {
                    let all = [
                        session.is_allowed(&request),
                        session.is_authorized_prepared(&mut prepared).is_allowed(),
                        authorizer.is_authorized(&request).is_allowed(),
                        authorizer.pin().is_authorized(&request).is_allowed(),
                    ];
                    // Levels differ only between a replacement of one and of the other, which nobody makes apart.
                    assert_eq!(all, [true; 4], "a mix of two worlds");
                    decided.fetch_add(4, Ordering::Relaxed);
                }
            }));
        }
        threads.push(scope.spawn(move || {
            for level in 1.. {
                let policies = duramen::Policies::new().text(policies(level));
                let entities = entities(level);
                authorizer.replace_all(policies, entities.as_str()).unwrap();
                if done() {
                    break;
                }
            }
        }));
        threads.push(scope.spawn(move || {
            for i in 0.. {
                let id = format!("guest{i}");
                upsert(authorizer, &id);
                // A replacement may have removed the guest in between.
                let _ =
                    authorizer.update_entities(EntityUpdate::new().remove(("User", id.as_str())));
                if done() {
                    break;
                }
            }
        }));
        threads.push(scope.spawn(move || {
            for i in 0.. {
                let id = format!("extra{i}");
                let text = "forbid(principal == User::\"nobody\", action, resource);";
                // Likewise.
                let _ = authorizer.update_policies(PolicyUpdate::new().add(id.as_str(), text));
                let _ = authorizer.update_policies(PolicyUpdate::new().remove(id.as_str()));
                if done() {
                    break;
                }
            }
        }));
        let end = Instant::now() + time;
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        // The scope waits for what the threads do, and not for what they drop when they end: their pools of working memory.
        for thread in threads {
            thread.join().unwrap();
        }
    });
    decided.load(Ordering::Relaxed)
}
