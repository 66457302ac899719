//! A bounded queue between deciding threads and a sink that is slower than they are.

pub(super) mod slot;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use super::{DecisionRecord, DecisionSink, Delivery, SinkError, Wants};
use slot::{SMALL, Slot};
use worker::Worker;

/// How many records the queue holds unless told otherwise: what a thread that does nothing else decides in some
/// milliseconds.
const CAPACITY: usize = 4096;

/// How much memory records that are not small may take together while they wait: requests must not take all there is.
const LARGE_BYTES: usize = 64 << 20;

/// How often a thread that waits for room looks, besides being told.
const LOOK: Duration = Duration::from_millis(1);

/// How long the queue tries to get rid of what it holds when it is dropped, or flushed, and its sink fails.
const GRACE: Duration = Duration::from_secs(5);

/// The most records that a queue has places for: with 16 kB each that is 16 GB, and the places are made beforehand.
const MOST: usize = 1 << 20;

/// Puts a queue in front of a sink: the deciding thread copies the record and goes on, a thread of the queue hands it to
/// the sink.
///
/// The deciding thread takes no lock, and waits only under [`Delivery::Block`]. What it copies to is made when the queue is, and
/// used again. It allocates only for a record, or a part of one, that is larger than all that have had the same place before: a
/// place has room for a small one from the beginning and keeps up to 16 kB, and each of them is filled in its turn.
///
/// A record that the queue has taken counts as kept for its decision. It is in memory then: **a process that is
/// killed loses what is in the queue.** Where nothing may be allowed without evidence on disk, put the log itself
/// in the deciding thread. Dropping the queue hands over all that it holds.
///
/// What happens when there is no room, or when the sink fails, [`QueueSink::with_delivery`] says:
///
/// | delivery | no room | the sink fails |
/// |---|---|---|
/// | [`Delivery::CountLoss`] | the record is lost and counted | the record is lost and counted |
/// | [`Delivery::DenyIfNotKept`] | the decision is a deny | tried again until it is kept; decisions are denies meanwhile |
/// | [`Delivery::Block`] | the deciding thread waits | tried again until it is kept; deciding threads wait once the queue is full |
///
/// What was lost, the next record that is kept tells ([`DecisionRecord::lost_before`]).
///
/// A record at which the sink panics, or which it refuses for what the record is (the durable log takes no line of more than
/// 8 MiB), is not tried again: it is lost and counted, under every class. No request can make a record of up to 16 kB one of those
/// for the sinks of this crate; policies and entities could whose own texts fill a line, as thousands that all apply, each with
/// kilobytes of annotations. Larger ones do not wait in the queue under [`Delivery::DenyIfNotKept`]: the deciding thread hands them to
/// the sink itself, ahead of those that wait, and the decision is a deny if it does not keep them.
///
/// A sink behind the queue may ask the authorizer whose records it gets. Nothing waits for it then: what it decides while
/// there is no room is lost, or denied, under every delivery class.
///
/// ```
/// use std::sync::Arc;
///
/// use duramen::evidence::{JsonLinesSink, QueueSink};
/// use duramen::{Authorizer, Request};
///
/// let queue = Arc::new(QueueSink::new(JsonLinesSink::new(std::io::sink()))?);
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource);")
///     .sink(Arc::clone(&queue))
///     .build()?;
/// assert!(authorizer.is_allowed(&Request::new(("User", "alice"), ("Action", "view"), ("Doc", "plan"))));
/// queue.flush()?;
/// assert_eq!(queue.lost(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct QueueSink {
    shared: Arc<Shared>,
    sink: Arc<dyn DecisionSink>,
    wants: Wants,
    delivery: Delivery,
    worker: Option<JoinHandle<()>>,
}

/// What the deciding threads and the worker share.
#[derive(Debug)]
struct Shared {
    /// Slots that wait to be filled: with those that are, as many as `full` has room for.
    free: ArrayQueue<Slot>,
    full: ArrayQueue<Slot>,
    /// What records that are not small take.
    large: AtomicUsize,
    /// Whether the worker sleeps until it is woken.
    asleep: AtomicBool,
    /// Whether the sink has failed at the record that the worker has in hand.
    failing: AtomicBool,
    closed: AtomicBool,
    /// Records that were taken and then lost.
    lost: AtomicU64,
    /// Records that were lost before the queue, and that none that comes will tell of.
    lost_before: AtomicU64,
    /// How many threads wait for room.
    waiting: AtomicUsize,
    flushes: Mutex<Flushes>,
    changed: Condvar,
}

/// Which flushes were asked for and which are done. They are numbered.
#[derive(Debug, Default)]
struct Flushes {
    asked: u64,
    done: u64,
    /// Of the last one that was done.
    failed: Option<String>,
    worker_gone: bool,
}

impl QueueSink {
    /// A queue of 4,096 records in front of a sink, with the sink's own delivery class.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(sink: impl DecisionSink + 'static) -> std::io::Result<Self> {
        let delivery = sink.delivery();
        Self::build(sink, CAPACITY, delivery)
    }

    /// A queue of `capacity` records, from one (which 0 is taken for) to 1,048,576, of which the delivery class is given.
    ///
    /// It is about what the sink reports: one that counts its losses itself and says nothing, as a [`FanOut`](super::FanOut) does for
    /// its sinks of [`Delivery::CountLoss`], has kept everything as far as the queue can know.
    ///
    /// Each place takes 3 kB from the beginning, 12 MB for 4,096. Records that need more take up to 16 kB each, and those that
    /// need more than that up to 64 MiB together: there is no room for those that would be more, and never for one that is alone.
    ///
    /// # Errors
    /// When the operating system gives no thread, and [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a larger
    /// capacity.
    pub fn with_delivery(
        sink: impl DecisionSink + 'static,
        capacity: usize,
        delivery: Delivery,
    ) -> std::io::Result<Self> {
        Self::build(sink, capacity, delivery)
    }

    fn build(
        sink: impl DecisionSink + 'static,
        capacity: usize,
        delivery: Delivery,
    ) -> std::io::Result<Self> {
        if capacity > MOST {
            let message = format!("a queue of {capacity} records; at most {MOST} are possible");
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                message,
            ));
        }
        let capacity = capacity.max(1);
        let wants = sink.wants();
        let sink: Arc<dyn DecisionSink> = Arc::new(sink);
        let shared = Arc::new(Shared {
            free: ArrayQueue::new(capacity),
            full: ArrayQueue::new(capacity),
            large: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            lost_before: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            flushes: Mutex::default(),
            changed: Condvar::new(),
        });
        for slot in Slot::several(capacity) {
            shared.give_back(slot);
        }
        let worker = Worker::new(Arc::clone(&shared), Arc::clone(&sink), delivery);
        let worker = std::thread::Builder::new()
            .name("duramen-evidence".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            shared,
            sink,
            wants,
            delivery,
            worker: Some(worker),
        })
    }

    /// Waits until all that was taken before is handed over and the sink is flushed.
    ///
    /// # Errors
    /// Those of the sink. After five seconds also when the sink fails at a record and the queue tries again: what was taken
    /// is still in the queue then. And when the sink behind the queue calls this, for which it would have to wait itself.
    pub fn flush(&self) -> Result<(), SinkError> {
        if self.is_own_thread() {
            let message =
                "the sink behind the queue cannot wait for the queue; flush from another thread";
            return Err(SinkError::new(message));
        }
        let shared = &self.shared;
        let gives_up = deadline();
        let mut flushes = shared.flushes();
        flushes.asked += 1;
        let asked = flushes.asked;
        while flushes.done < asked && !flushes.worker_gone {
            if shared.failing.load(Ordering::Relaxed) && Instant::now() > gives_up {
                let message = "the sink behind the queue fails; the queue keeps what it holds and tries again";
                return Err(SinkError::new(message));
            }
            self.wake();
            let waited = shared.changed.wait_timeout(flushes, LOOK);
            flushes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match &flushes.failed {
            Some(message) => Err(SinkError::new(message.clone())),
            None => Ok(()),
        }
    }

    /// How many records were taken and then lost because the sink failed.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Whether this is the thread that hands over. It must not wait for itself.
    fn is_own_thread(&self) -> bool {
        let worker = self.worker.as_ref();
        worker.is_some_and(|worker| worker.thread().id() == std::thread::current().id())
    }

    #[cold]
    fn wake(&self) {
        self.shared.asleep.store(false, Ordering::Relaxed);
        if let Some(worker) = &self.worker {
            worker.thread().unpark();
        }
    }

    /// A slot, where there was none.
    #[cold]
    fn wait_for_slot(&self) -> Result<Slot, SinkError> {
        let shared = &*self.shared;
        self.wake();
        if self.delivery != Delivery::Block || self.is_own_thread() {
            return Err(SinkError::new("the queue of records is full"));
        }
        self.wait_for(|| shared.free.pop())
    }

    /// Waits for what the worker gives back.
    #[cold]
    fn wait_for<T>(&self, mut take: impl FnMut() -> Option<T>) -> Result<T, SinkError> {
        let shared = &*self.shared;
        shared.waiting.fetch_add(1, Ordering::SeqCst);
        let mut flushes = shared.flushes();
        let taken = loop {
            if let Some(taken) = take() {
                break Ok(taken);
            }
            if flushes.worker_gone {
                break Err(SinkError::new("the queue of records has lost its thread"));
            }
            let waited = shared.changed.wait_timeout(flushes, LOOK);
            flushes = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        shared.waiting.fetch_sub(1, Ordering::SeqCst);
        taken
    }

    /// A record that the sink may refuse for its size. Once it waited in the queue, its decision would have been told.
    #[cold]
    fn record_at_once(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if self.is_own_thread() {
            return Err(SinkError::new(
                "the sink behind the queue cannot be handed a record while it has one",
            ));
        }
        self.sink.record(record)
    }

    /// Takes room for a record that is not small, if there is some, or there will be and the thread waits for it.
    #[cold]
    fn takes_room_for(&self, bytes: usize) -> bool {
        let take = || {
            let large = self.shared.large.fetch_add(bytes, Ordering::Relaxed);
            let fits = large.saturating_add(bytes) <= LARGE_BYTES;
            if !fits {
                self.shared.large.fetch_sub(bytes, Ordering::Relaxed);
            }
            fits.then_some(())
        };
        if take().is_some() {
            return true;
        }
        let waits = self.delivery == Delivery::Block && bytes <= LARGE_BYTES;
        if !waits || self.is_own_thread() {
            return false;
        }
        self.wake();
        self.wait_for(take).is_ok()
    }
}

impl DecisionSink for QueueSink {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let shared = &*self.shared;
        if self.delivery == Delivery::DenyIfNotKept && shared.failing.load(Ordering::Relaxed) {
            return Err(SinkError::new("the sink behind the queue fails"));
        }
        let mut slot = match shared.free.pop() {
            Some(slot) => slot,
            None => self.wait_for_slot()?,
        };
        slot.copy(record);
        let bytes = slot.bytes();
        if bytes > SMALL {
            let at_once = self.delivery == Delivery::DenyIfNotKept;
            if at_once || !self.takes_room_for(bytes) {
                slot.shrink();
                shared.give_back(slot);
                return match at_once {
                    true => self.record_at_once(record),
                    false => Err(SinkError::new(
                        "the queue has no room for a record as large",
                    )),
                };
            }
        }
        // There is room for as many as there are slots.
        let pushed = shared.full.push(slot);
        // Without a fence, a worker that is just falling asleep may be missed; it looks by itself before long.
        if shared.asleep.load(Ordering::Relaxed) {
            self.wake();
        }
        pushed.map_err(|_| SinkError::new("the queue of records is full"))
    }

    /// The next record that is handed over tells it, or the end of the queue does.
    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.shared.lost_before.fetch_add(lost, Ordering::Relaxed);
        Ok(())
    }

    fn flush(&self) -> Result<(), SinkError> {
        QueueSink::flush(self)
    }
}

impl std::fmt::Debug for QueueSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueSink")
            .field("shared", &self.shared)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn give_back(&self, slot: Slot) {
        // There is room for all of them.
        let _ = self.free.push(slot);
    }

    fn flushes(&self) -> std::sync::MutexGuard<'_, Flushes> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueueSink {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.wake();
        let is_own_thread = self.is_own_thread();
        if let Some(worker) = self.worker.take()
            && !is_own_thread
        {
            // The worker catches what its sink throws.
            let _ = worker.join();
        }
    }
}

/// When a queue that is being dropped or flushed gives up.
fn deadline() -> Instant {
    Instant::now() + GRACE
}
