//! The queue between deciding threads and a sink: what a flush and an end promise.
//!
//! It is the protocol of `src/evidence/queue` written down once more. In place of `crossbeam_queue::ArrayQueue` is a list
//! behind a lock; waits with a timeout are looks that come again.

use super::*;

use std::collections::VecDeque;

use loom::sync::Mutex;
use loom::sync::atomic::AtomicBool;

#[derive(Default)]
struct Flushes {
    asked: u64,
    done: u64,
}

struct Queue {
    full: Mutex<VecDeque<u32>>,
    handed_over: Mutex<Vec<u32>>,
    flushes: Mutex<Flushes>,
    closed: AtomicBool,
    /// Whether the worker looks what was asked for only when it has handed over.
    asks_late: bool,
}

impl Queue {
    fn new(asks_late: bool) -> Arc<Self> {
        Arc::new(Self {
            full: Mutex::new(VecDeque::new()),
            handed_over: Mutex::new(Vec::new()),
            flushes: Mutex::new(Flushes::default()),
            closed: AtomicBool::new(false),
            asks_late,
        })
    }

    fn push(&self, record: u32) {
        self.full.lock().unwrap().push_back(record);
    }

    fn flush(&self) {
        let asked = {
            let mut flushes = self.flushes.lock().unwrap();
            flushes.asked += 1;
            flushes.asked
        };
        while self.flushes.lock().unwrap().done < asked {
            thread::yield_now();
        }
    }

    fn asked(&self) -> u64 {
        self.flushes.lock().unwrap().asked
    }

    fn work(&self) {
        loop {
            let closed = self.closed.load(Ordering::Acquire);
            let mut asked = self.asked();
            let mut left = self.full.lock().unwrap().len();
            while left > 0 {
                let record = self.full.lock().unwrap().pop_front();
                self.handed_over.lock().unwrap().extend(record);
                left -= 1;
            }
            if self.asks_late {
                asked = self.asked();
            }
            {
                let mut flushes = self.flushes.lock().unwrap();
                flushes.done = flushes.done.max(asked);
            }
            if closed && self.full.lock().unwrap().is_empty() {
                return;
            }
            thread::yield_now();
        }
    }
}

/// A worker and a thread that decides and flushes; whether what it had pushed was there when the flush returned.
fn flushed_is_handed_over(queue: &Arc<Queue>) -> bool {
    let worker = {
        let queue = Arc::clone(queue);
        thread::spawn(move || queue.work())
    };
    queue.push(1);
    queue.flush();
    let there = queue.handed_over.lock().unwrap().contains(&1);
    queue.push(2);
    queue.closed.store(true, Ordering::Release);
    worker.join().unwrap();
    assert_eq!(
        *queue.handed_over.lock().unwrap(),
        [1, 2],
        "an end that loses"
    );
    there
}

#[test]
fn a_flush_hands_over_what_was_taken_and_an_end_everything() {
    explore(Some(3), || {
        assert!(flushed_is_handed_over(&Queue::new(false)));
    });
}

/// The check can fail.
#[test]
fn flushes_that_are_read_late_are_noticed() {
    let missed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let note = std::sync::Arc::clone(&missed);
    explore(Some(3), move || {
        if !flushed_is_handed_over(&Queue::new(true)) {
            note.store(true, Ordering::Relaxed);
        }
    });
    assert!(missed.load(Ordering::Relaxed));
}
