//! The defences' second: automatic modes follow the memory there is, and idle connections are dropped at random.
//!
//! Follows: the random drop of IPVS, which each second looks at 128 of its 4096 buckets, drawn one by one. Here a bucket is
//! every 4096th slot of the table: as many connections are looked at, each with the same chance.

use core::time::Duration;

use super::Director;
use crate::conn::id::NONE;
use crate::defense::TICK;
use crate::event::Gone;
use crate::flow::Protocol;
use crate::proto::{sctp, tcp};
use crate::time::Instant;

/// Slots of one bucket are so far apart.
const BUCKETS: u32 = 4096;
/// Buckets drawn each second.
const DRAWN: u32 = 128;
/// So many seconds are made up for after a long sleep: each slot is looked at some thirty times in them.
const MOST_BEHIND: u64 = 1024;

/// A second's random drop under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    /// Buckets that are still to be drawn.
    left: u32,
    /// The slot that is looked at next.
    slot: u32,
}

impl Director {
    /// Tells how many pages of memory the host has to spare, free ones and buffers: fewer than the tunable `amemthresh`
    /// switch on the defences that are in an automatic mode, with the next second or when a mode is changed. Until it is
    /// told, memory is never short.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.set_available_memory(100);
    /// director.set_tunable("drop_packet", "1")?;
    /// assert_eq!(director.tunables().drop_packet, 2, "automatic, and on");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn set_available_memory(&mut self, pages: u64) {
        self.defence.available = pages;
    }

    /// How many connections and templates the defence `drop_entry` has ended.
    #[must_use]
    pub const fn dropped_entries(&self) -> u64 {
        self.dropped_entries
    }

    /// The automatic modes follow the memory there is.
    fn settle_defences(&mut self) {
        self.defence.settle(&mut self.settings.tunables);
        self.settings.secure_tcp = self.settings.tunables.secure_tcp >= 2;
    }

    /// A mode was changed.
    pub(super) fn defences_were_tuned(&mut self) {
        self.settle_defences();
        if !self.defence.drops_entries {
            self.sweep = None;
        }
        let tunables = &self.settings.tunables;
        let is_on = [tunables.drop_entry, tunables.drop_packet, tunables.secure_tcp].iter().any(|&mode| mode != 0);
        self.control.defend_at = match self.control.defend_at {
            _ if !is_on => None,
            None => Some(self.now + TICK),
            at => at,
        };
    }

    /// What is to be done every second; false if the budget was used up on the way.
    pub(super) fn defend(&mut self, at: Instant, budget: &mut usize) -> bool {
        let mut sweep = match self.sweep.take() {
            Some(sweep) => sweep,
            None => {
                self.settle_defences();
                let has_work = self.defence.drops_entries && self.flows.table.slab.len() > 0;
                Sweep { left: if has_work { DRAWN } else { 0 }, slot: NONE }
            }
        };
        let mut has_begun = false;
        while sweep.left > 0 {
            if *budget == 0 && has_begun {
                self.sweep = Some(sweep);
                return false;
            }
            has_begun = true;
            *budget = budget.saturating_sub(1);
            self.look_at(&mut sweep, at);
        }
        let skipped = self.now.since(at).as_secs().saturating_sub(MOST_BEHIND);
        self.control.defend_at = Some(at + TICK + Duration::from_secs(skipped));
        true
    }

    /// One slot, and which is the next.
    fn look_at(&mut self, sweep: &mut Sweep, now: Instant) {
        if sweep.slot == NONE {
            sweep.slot = self.defence_rng.up_to(BUCKETS - 1);
        }
        let slots = self.flows.table.slab.used();
        if sweep.slot < slots && self.is_dispensable(sweep.slot, now) {
            self.flows.drop_now(sweep.slot, &mut self.servers, Gone::Dropped);
            self.dropped_entries += 1;
        }
        sweep.slot = sweep.slot.saturating_add(BUCKETS);
        if sweep.slot >= slots {
            (sweep.left, sweep.slot) = (sweep.left - 1, NONE);
        }
    }

    /// May this entry go?
    fn is_dispensable(&mut self, slot: u32, now: Instant) -> bool {
        let entry = self.flows.table.slab.get(slot);
        if !entry.is_live() || entry.controlled > 0 {
            return false;
        }
        if entry.is_template() {
            return if self.is_of_one_packet_service(entry.server) {
                self.defence.drops_idle(entry, now)
            } else {
                !entry.is_assured()
            };
        }
        match (Protocol::from_number(entry.protocol()), entry.state) {
            (Some(Protocol::Tcp), tcp::SYN_RECV | tcp::SYNACK) => true,
            (Some(Protocol::Sctp), sctp::INIT1 | sctp::INIT) => true,
            (Some(Protocol::Tcp), tcp::ESTABLISHED) | (Some(Protocol::Sctp), sctp::ESTABLISHED) => {
                self.defence.drops_idle(entry, now)
            }
            (Some(Protocol::Tcp | Protocol::Sctp), _) => false,
            _ => self.defence.drops_idle(entry, now),
        }
    }

    fn is_of_one_packet_service(&self, server: u32) -> bool {
        server != NONE
            && self.servers.is_in_use(server)
            && self
                .control
                .services
                .slot(self.servers.get(server).owner)
                .is_some_and(|service| self.control.services.get(service).spec.one_packet)
    }
}
