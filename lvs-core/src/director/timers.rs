//! The passing of time: connections end, listings are renewed, removed servers are forgotten.

use alloc::vec::Vec;
use core::time::Duration;

use super::Director;
use crate::conn::flows::Ended;
use crate::stats::Counters;
use crate::stats::estimator::{TICK, TICKS_TO_REST};
use crate::time::Instant;

/// What [`Director::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// True if the budget was used up and there may be more to do for the same instant.
    pub more: bool,
}

/// The trash is looked through this often.
const TRASH_PERIOD: Duration = Duration::from_secs(60);
/// A removed server is forgotten when it was idle for so long.
const TRASH_IDLE: Duration = Duration::from_secs(120);

impl Director {
    /// Lets time pass: ends the connections whose deadline has come, and does what falls due every few seconds.
    ///
    /// `budget` bounds the work: about that many connections and servers are looked at, some ten to hundred nanoseconds
    /// each; 0 counts as 1. If the answer's [`more`](Advanced::more) is true, the rest is done by the next call. Call it when
    /// [`next_deadline`](Director::next_deadline) has come, or simply every few milliseconds; late is harmless but for
    /// the counts of servers, early is harmless.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Instant};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// while director.advance(Instant::from_secs(3), 1000).more {}
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    pub fn advance(&mut self, now: Instant, budget: usize) -> Advanced {
        self.let_pass(now, budget, true)
    }

    /// The same while nothing is due but connections, and what shards do not hear of. A server whose last connection ends
    /// with it is told of by the next [`advance`](Director::advance).
    #[cfg(feature = "std")]
    pub(crate) fn end_due(&mut self, now: Instant, budget: usize) -> Advanced {
        self.let_pass(now, budget, false)
    }

    #[inline(never)]
    fn let_pass(&mut self, now: Instant, budget: usize, with_chores: bool) -> Advanced {
        let now = self.see(now);
        let mut budget = budget.max(1);
        self.start_clocks(now);
        self.tick_schedulers(now);
        self.grow_weights(now);
        loop {
            let at = self.next_chore().map_or(now, |chore| chore.min(now));
            if self.end_connections(at, &mut budget) || with_chores && !self.do_chores(at, &mut budget) {
                return Advanced { more: true };
            }
            if !with_chores || at == now && self.next_chore().is_none_or(|chore| chore > now) {
                return Advanced { more: false };
            }
        }
    }

    /// Ends connections whose deadline has come; true if the budget was used up.
    fn end_connections(&mut self, now: Instant, budget: &mut usize) -> bool {
        loop {
            match self.flows.advance(now, budget, &mut self.servers) {
                Ended::All => return false,
                Ended::More => return true,
                Ended::NotYet { slot, at } => self.offer_busy(at, slot),
            }
        }
    }

    /// When [`advance`](Director::advance) or [`poll_sync`](Director::poll_sync) has something to do next; `None` if
    /// nothing is to come.
    ///
    /// Ask again after every call that takes packets, time or commands. The answer may be early, never late.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Instant, Meta, Packet};
    /// use lvs_core::testkit::packets;
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// assert_eq!(director.next_deadline(), None);
    /// director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.53 -m")?;
    /// let mut query = packets::udp("198.51.100.1:5353", "192.0.2.10:53").build();
    /// let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut query), Meta::default());
    /// assert!(director.next_deadline() <= Some(Instant::from_secs(300)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let flows = self.flows.wheel.next_deadline(&self.flows.table.slab);
        let schedulers = self.control.schedulers_at.filter(|&at| at < Instant::MAX);
        let growth = self.control.growth_at.filter(|&at| at < Instant::MAX);
        let messages = self.daemons.master.as_ref().and_then(|master| master.next_deadline(self.now));
        let drained = self.servers.any_drained().then_some(self.now);
        [flows, self.next_chore(), schedulers, growth, messages, drained].into_iter().flatten().min()
    }

    /// Begins the two-second tick with the first service, and catches up after a long sleep: an average that has come
    /// to rest needs no more ticks.
    fn start_clocks(&mut self, now: Instant) {
        if !self.control.services.is_enabled() {
            return;
        }
        let at = *self.control.estimate_at.get_or_insert(now + TICK);
        let ticks = now.since(at).as_nanos() / TICK.as_nanos();
        let skipped = ticks.saturating_sub(u128::from(TICKS_TO_REST));
        if skipped > 0 {
            let skip = Duration::from_nanos(u64::try_from(skipped * TICK.as_nanos()).unwrap_or(u64::MAX));
            self.control.estimate_at = Some(at + skip);
        }
    }

    /// When the next thing is due that is no connection. At the end of time nothing is: it would be due forever.
    pub(super) fn next_chore(&self) -> Option<Instant> {
        let control = &self.control;
        let chores = [control.estimate_at, control.trash_at, control.relearn_at, control.defend_at, control.drain_at];
        let next = chores.into_iter().flatten().min();
        next.filter(|&at| at < Instant::MAX)
    }

    /// Does what is due; false if the budget was used up.
    fn do_chores(&mut self, now: Instant, budget: &mut usize) -> bool {
        if self.control.trash_at.is_some_and(|at| at <= now) {
            self.look_through_trash(now);
        }
        if self.control.drain_at.is_some_and(|at| at <= now) {
            self.end_drains(now);
        }
        self.settle_drains();
        if self.control.relearn_at.is_some_and(|at| at <= now) {
            self.forget_learned(now);
        }
        if let Some(at) = self.control.defend_at.filter(|&at| at <= now)
            && !self.defend(at, budget)
        {
            return false;
        }
        match self.control.estimate_at {
            Some(at) if at <= now => self.estimate(at, budget),
            _ => true,
        }
    }

    /// Tells schedulers the time if one of them waits for it. However late, once is enough: they catch up by themselves.
    fn tick_schedulers(&mut self, now: Instant) {
        if self.control.schedulers_at.is_some_and(|at| at <= now) {
            for service in self.control.services.iter_mut() {
                if let Some(scheduler) = service.scheduler.as_mut() {
                    scheduler.tick(now);
                }
            }
            self.control.schedulers_at = self.next_scheduler_tick();
        }
    }

    /// When a scheduler next wants to be told the time.
    pub(super) fn next_scheduler_tick(&self) -> Option<Instant> {
        self.control.services.iter().filter_map(|service| service.scheduler.as_ref()?.next_tick()).min()
    }

    /// Renews snapshots and rates, service by service; false if the budget was used up on the way. One service is
    /// renewed even without a budget: connections that are not due yet are looked at first in every call, and may use up
    /// all of it every time.
    fn estimate(&mut self, at: Instant, budget: &mut usize) -> bool {
        if self.settings.tunables.run_estimation != 0 {
            let mut has_begun = false;
            while let Some(slot) = self.control.services.next_slot(self.control.estimate_from) {
                let cost = self.control.services.get(slot).list.len() + 1;
                if *budget == 0 && has_begun {
                    return false;
                }
                has_begun = true;
                *budget = budget.saturating_sub(cost);
                self.estimate_service(slot);
                self.control.estimate_from = slot + 1;
            }
            let total = self.total();
            self.control.estimator.tick(total);
        }
        self.control.estimate_from = 0;
        self.control.estimate_at = Some(at + TICK);
        true
    }

    fn estimate_service(&mut self, slot: u32) {
        let total = self.service_total(slot);
        let service = self.control.services.get_mut(slot);
        service.estimator.tick(total);
        for &server in &service.list {
            let counters = self.flows.counters.get(server as usize).copied().unwrap_or_default();
            self.servers.get_mut(server).estimator.tick(counters);
        }
    }

    /// What a service has counted: its servers, and those that it once had.
    pub(super) fn service_total(&self, slot: u32) -> Counters {
        let service = self.control.services.get(slot);
        let counters = |&server: &u32| self.flows.counters.get(server as usize).copied().unwrap_or_default();
        let mut total: Counters = service.list.iter().map(counters).sum();
        total += service.retired;
        total
    }

    /// What the director has counted.
    pub(super) fn total(&self) -> Counters {
        let mut total: Counters = self.control.services.iter().map(|service| self.service_total(service.id.slot)).sum();
        total += self.control.retired;
        total
    }

    /// Forgets the removed servers that nothing has pointed to for two minutes.
    fn look_through_trash(&mut self, now: Instant) {
        let slots: Vec<u32> = self.control.trash.iter().collect();
        let mut forgotten = Vec::new();
        for slot in slots {
            if !self.servers.live(slot).is_referenced() && !self.is_remembered(slot) {
                let idle_since = *self.servers.get_mut(slot).idle_since.get_or_insert(now);
                if now >= idle_since + TRASH_IDLE {
                    forgotten.push(slot);
                }
            }
        }
        let mut next = forgotten.iter().copied().peekable();
        self.control.trash.retain(&self.servers, |slot| next.next_if_eq(&slot).is_none());
        forgotten.into_iter().for_each(|slot| self.servers.free(slot));
        self.control.trash_at = (!self.control.trash.is_empty()).then(|| now + TRASH_PERIOD);
    }

    fn is_remembered(&self, slot: u32) -> bool {
        let (id, owner) = (self.servers.id(slot), self.servers.get(slot).owner);
        self.control
            .services
            .slot(owner)
            .and_then(|service| self.control.services.get(service).scheduler.as_ref())
            .is_some_and(|scheduler| scheduler.remembers(id))
    }

    /// A server was put into the trash.
    pub(super) fn start_trash(&mut self) {
        self.control.trash_at.get_or_insert(self.now + TRASH_PERIOD);
    }
}

#[cfg(test)]
mod tests {
    use crate::testkit::packets;
    use crate::{Config, Director, Instant, Meta, Packet};

    #[test]
    fn listings_are_renewed_every_two_seconds_from_the_first_service_on() {
        let mut director = Director::new(Config::with_seed(7)).unwrap();
        assert!(!director.advance(Instant::from_millis(700), 100).more);
        director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m").unwrap();
        assert!(!director.advance(Instant::from_millis(1_000), 100).more);
        for tick in 1..4u64 {
            let mut query = packets::udp("198.51.100.1:5353", "192.0.2.10:53").build();
            let sent = Instant::from_millis(1_000 + 2_000 * tick - 1);
            let _ = director.process(sent, &mut Packet::whole(&mut query), Meta::default());
            assert!(!director.advance(sent, 100).more);
            assert_eq!(director.counters().in_packets, tick - 1);
            assert!(!director.advance(Instant::from_millis(1_000 + 2_000 * tick), 100).more);
            assert_eq!(director.counters().in_packets, tick);
        }
    }

    #[test]
    fn time_may_come_to_its_end() {
        for scheduler in ["rr", "lblc", "lblcr"] {
            let mut director = Director::new(Config::with_seed(7)).unwrap();
            director
                .add_service(crate::ServiceSpec::tcp("192.0.2.10:80".parse().unwrap()).scheduler(scheduler))
                .unwrap();
            director.run("-a -t 192.0.2.10:80 -r 10.0.0.1 -m").unwrap();
            director.run("-d -t 192.0.2.10:80 -r 10.0.0.1").unwrap();
            while director.advance(Instant::from_secs(300_000_000), 100_000).more {}
            assert!(!director.advance(Instant::MAX, 100_000).more);
            assert_eq!(director.next_deadline(), None);
        }
    }
}
