//! The home: the director that has every connection, behind a lock, and the number of its latest version.

use super::lock::{AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::director::Director;

/// What is behind the lock.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) director: Director,
    version: usize,
}

impl Home {
    /// Grows with everything that shards have to hear of.
    pub(super) const fn version(&self) -> usize {
        self.version
    }
}

/// The home and its lock. The version can be read without it: that is what a shard asks once per burst.
#[derive(Debug)]
pub(super) struct Seat {
    version: AtomicUsize,
    home: Mutex<Home>,
}

impl Seat {
    pub(super) fn new(director: Director) -> Self {
        Self { version: AtomicUsize::new(1), home: Mutex::new(Home { director, version: 1 }) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Home> {
        self.home.lock()
    }

    pub(super) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    /// Something has changed that shards have to hear of.
    pub(super) fn publish(&self, home: &mut Home) {
        home.version = home.version.wrapping_add(1);
        self.version.store(home.version, Ordering::Release);
    }
}
