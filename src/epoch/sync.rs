//! What `publish` and `changes` synchronize with. The model checker's tests put models of the same things in this place.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use arc_swap::{ArcSwap, Guard};
