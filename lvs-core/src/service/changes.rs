//! Which servers of a service changed lately.
//!
//! Owns: the slots of the latest changes of one service that has many servers. A scheduler that keeps an order of them looks
//! again at those alone.
//! Leaves to others: what changed in them.

use alloc::vec::Vec;

/// Up to so many servers are looked at as fast as what is kept of them: their changes are not noted.
const FEW: usize = 32;

/// The latest changes of the servers of a service.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    servers: usize,
    /// How many changes there were.
    count: u64,
    /// The servers of the latest ones, in turn: a power of two of them, or none while there are few servers.
    latest: Vec<u32>,
}

impl Changes {
    /// True if the service has so many servers that their changes are noted.
    pub(crate) const fn are_noted(&self) -> bool {
        !self.latest.is_empty()
    }

    /// How many changes there were.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Something of a server changes.
    #[inline]
    pub(crate) fn note(&mut self, slot: u32) {
        let at = self.place(self.count);
        if let Some(latest) = self.latest.get_mut(at) {
            *latest = slot;
            self.count += 1;
        }
    }

    /// A server has joined the service, or left it.
    pub(crate) fn note_list(&mut self, joined: bool) {
        self.servers = if joined { self.servers + 1 } else { self.servers.saturating_sub(1) };
        // Who is further behind does better to look at all of them.
        let wanted = if self.servers > FEW { self.servers.next_power_of_two() / 4 } else { 0 };
        if self.latest.len() < wanted || wanted == 0 {
            self.latest = alloc::vec![0; wanted];
        }
        // All that was seen before is too old now.
        self.count += self.latest.len() as u64 + 1;
    }

    /// The servers that changed since there were `count` changes; `None` if that is too long ago, or the list changed.
    pub(crate) fn since(&self, count: u64) -> Option<impl Iterator<Item = u32>> {
        let missed = self.count.checked_sub(count)?;
        (missed <= self.latest.len() as u64).then(|| (count..self.count).map(|n| self.latest[self.place(n)]))
    }

    /// Where a change is noted.
    fn place(&self, count: u64) -> usize {
        count as usize & self.latest.len().wrapping_sub(1)
    }
}
