//! The passing of time: what has come to its deadline at a shard goes home and ends there.

use super::SharedDirector;
use crate::director::Advanced;
use crate::time::Instant;

impl SharedDirector {
    /// Lets time pass, as [`Director::advance`](crate::Director::advance) does: ends the connections whose deadline has
    /// come, and does what falls due every few seconds. `budget` bounds the work; if the answer's
    /// [`more`](Advanced::more) is true, the rest is done by the next call.
    ///
    /// One thread is to call it every few milliseconds, any thread; several do no harm. Threads that process packets
    /// wait for it at their own shard, one after the other, and all of them together where something falls due that is no
    /// connection: every two seconds, when listings are renewed, and when a server has been drained.
    ///
    /// ```
    /// use lvs_core::{Config, Instant, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// while director.advance(Instant::from_secs(3), 1000).more {}
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    pub fn advance(&self, now: Instant, budget: usize) -> Advanced {
        let mut budget = budget.max(1);
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            shard.hear(&self.home);
            if !shard.hand_back_due(&self.home, now, &mut budget) {
                return Advanced { more: true };
            }
        }
        let mut home = self.home.lock();
        if !home.director.has_chores(now) {
            let advanced = home.director.end_due(now, budget);
            // The last connection of a server that is drained may have ended: that is told at once.
            if advanced.more || !home.director.has_chores(now) {
                return advanced;
            }
        }
        drop(home);
        self.change_state(|director| director.advance(now, budget))
    }

    /// When [`advance`](Self::advance) has something to do next; `None` if nothing is to come. As
    /// [`Director::next_deadline`](crate::Director::next_deadline) the answer may be early, never late, and is to be asked for
    /// again after every call that takes packets, time or commands.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// assert_eq!(director.next_deadline(), None);
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let at_shards = self.shards.iter().filter_map(|shard| shard.0.lock().next_due()).min();
        let at_home = self.home.lock().director.next_deadline();
        [at_shards, at_home].into_iter().flatten().min()
    }
}
