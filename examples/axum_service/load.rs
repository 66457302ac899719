//! Load from another process: clients read documents while an administrator suspends users and changes the policies, and every
//! answer is held against what was right in the epoch that it names.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::service::{CLOSED, EPOCH, OPEN};

/// What the answers depend on.
#[derive(Clone, Copy)]
struct World {
    /// A bit for each user.
    suspended: u8,
    open: bool,
}

impl World {
    fn allows(self, user: u8, document: u8) -> bool {
        let reader = self.open && user.is_multiple_of(2);
        self.suspended & (1 << user) == 0 && (user == document || reader)
    }
}

/// An answer.
struct Seen {
    epoch: u64,
    user: u8,
    document: u8,
    status: u16,
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) requests: usize,
    pub(crate) allowed: usize,
    pub(crate) changes: usize,
    pub(crate) wrong: usize,
    pub(crate) seconds: f64,
}

/// Two clients and an administrator, for so long.
pub(crate) fn run(address: SocketAddr, time: Duration) -> io::Result<Report> {
    const CLIENTS: u64 = 2;
    let done = AtomicBool::new(false);
    let began = Instant::now();
    let (history, seen) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn({
                    let done = &done;
                    move || read(address, number, done)
                })
            })
            .collect();
        let history = administer(address, time);
        done.store(true, Ordering::Relaxed);
        let mut seen = Vec::new();
        for client in clients {
            let answers = client
                .join()
                .map_err(|_| io::Error::other("a client panicked"))?;
            seen.extend(answers?);
        }
        Ok::<_, io::Error>((history?, seen))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let is_right = |seen: &Seen| {
        let world = history.get(&seen.epoch);
        let expected = world.map(|world| {
            if world.allows(seen.user, seen.document) {
                200
            } else {
                403
            }
        });
        expected == Some(seen.status)
    };
    Ok(Report {
        requests: seen.len(),
        allowed: seen.iter().filter(|seen| seen.status == 200).count(),
        changes: history.len() - 1,
        wrong: seen.iter().filter(|seen| !is_right(seen)).count(),
        seconds,
    })
}

/// Changes things until the time is over; tells which world each epoch was.
fn administer(address: SocketAddr, time: Duration) -> io::Result<BTreeMap<u64, World>> {
    let mut client = Client::connect(address)?;
    let mut random = Random(7);
    let mut world = World {
        suspended: 0,
        open: true,
    };
    let mut history = BTreeMap::from([(1, world)]);
    let began = Instant::now();
    while began.elapsed() < time {
        let admin = [("x-user", "admin")];
        let answer = if random.below(8) == 0 {
            world.open = !world.open;
            let policies = if world.open { OPEN } else { CLOSED };
            client.ask("PUT", "/admin/policies", &admin, policies)?
        } else {
            let user = random.below(8);
            world.suspended ^= 1 << user;
            let suspended = (world.suspended & (1 << user) != 0).to_string();
            client.ask("PUT", &format!("/admin/users/u{user}"), &admin, &suspended)?
        };
        let epoch = answer
            .body
            .parse()
            .map_err(|_| io::Error::other(format!("not changed: {answer:?}")))?;
        history.insert(epoch, world);
        thread::sleep(Duration::from_millis(2));
    }
    Ok(history)
}

fn read(address: SocketAddr, number: u64, done: &AtomicBool) -> io::Result<Vec<Seen>> {
    let mut client = Client::connect(address)?;
    let mut random = Random(1_000 + number);
    let mut seen = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let (user, document) = (random.below(8), random.below(8));
        let (name, path) = (format!("u{user}"), format!("/documents/d{document}"));
        let answer = client.ask("GET", &path, &[("x-user", &name)], "")?;
        let epoch = answer.header(EPOCH).and_then(|epoch| epoch.parse().ok());
        seen.push(Seen {
            epoch: epoch.unwrap_or(0),
            user,
            document,
            status: answer.status,
        });
    }
    Ok(seen)
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u8) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((self.0 >> 33) % u64::from(n)).unwrap_or(0)
    }
}
