//! Room for one more in a full table: what has expired goes, and where that is wanted, connections that a flood leaves
//! half open.
//!
//! Owns: the hand that goes round the table, and which entries may go.
//! Follows: no kernel, whose table has no limit. What may go is what its `drop_entry` takes for attackers: flows that were
//! never answered for by their client.

use super::entry::Entry;
use super::flows::Flows;
use super::id::NONE;
use crate::config::Admission;
use crate::event::Gone;
use crate::flow::Protocol;
use crate::proto::{sctp, tcp};
use crate::service::server::Servers;
use crate::time::Instant;

/// At most so many entries are looked at for one packet.
const LOOKS: u32 = 32;
/// A connection and its template: no packet needs more room.
const MOST: usize = 2;

/// Why an entry may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dispensable {
    Expired,
    HalfOpen,
    Single,
}

/// What the hand has found.
#[derive(Clone, Copy, Debug)]
struct Finds {
    slots: [(u32, Dispensable); MOST],
    count: usize,
    /// Where the hand stands then.
    hand: u32,
}

impl Flows {
    /// Makes room for `needed` entries, one or two; false if there is none. The template `kept` and what it controls stay.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        needed: usize,
        kept: u32,
        admission: Admission,
        servers: &mut Servers,
        now: Instant,
    ) -> bool {
        let slab = &self.table.slab;
        slab.len() + needed <= slab.capacity() || self.evict(needed, kept, admission, servers, now)
    }

    /// Whether [`make_room`](Self::make_room) would succeed.
    pub(crate) fn has_room(&self, needed: usize, kept: u32, admission: Admission, now: Instant) -> bool {
        let missing = self.missing(needed);
        missing == 0 || self.look_round(missing, kept, admission, now).count == missing
    }

    fn missing(&self, needed: usize) -> usize {
        (self.table.slab.len() + needed).saturating_sub(self.table.slab.capacity())
    }

    #[cold]
    #[inline(never)]
    fn evict(&mut self, needed: usize, kept: u32, admission: Admission, servers: &mut Servers, now: Instant) -> bool {
        if admission == Admission::Refuse && self.wheel.is_nothing_due(now) {
            // A flood is refused without a look at anybody.
            return false;
        }
        let missing = self.missing(needed);
        let finds = self.look_round(missing, kept, admission, now);
        self.hand = finds.hand;
        // One entry that goes takes along at most what controls it, and nothing that was found does: both are there still.
        for &(slot, why) in &finds.slots[..finds.count] {
            match why {
                Dispensable::Expired => {
                    self.evictions.expired += 1;
                    self.expire(slot, servers, now, Gone::Expired);
                }
                Dispensable::HalfOpen => {
                    self.evictions.half_open += 1;
                    self.drop_now(slot, servers, Gone::Evicted);
                }
                Dispensable::Single => {
                    self.evictions.single += 1;
                    self.drop_now(slot, servers, Gone::Evicted);
                }
            }
        }
        finds.count == missing
    }

    /// Goes on round the table until so many are found that may go, or enough was looked at.
    fn look_round(&self, missing: usize, kept: u32, admission: Admission, now: Instant) -> Finds {
        let slots = self.table.slab.slots_used();
        let mut finds = Finds { slots: [(NONE, Dispensable::Expired); MOST], count: 0, hand: self.hand };
        for _ in 0..LOOKS.min(slots) {
            if finds.count == missing.min(MOST) {
                break;
            }
            let slot = if finds.hand < slots { finds.hand } else { 0 };
            finds.hand = slot + 1;
            let why = dispensable(self.table.slab.get(slot), kept, admission, now);
            if let Some(why) = why.filter(|_| slot != kept) {
                finds.slots[finds.count] = (slot, why);
                finds.count += 1;
            }
        }
        finds
    }
}

/// Whether an entry may go, and why: never one that controls others, is controlled by `kept`, or is established.
fn dispensable(entry: &Entry, kept: u32, admission: Admission, now: Instant) -> Option<Dispensable> {
    if !entry.is_live() || entry.controlled > 0 || kept != NONE && entry.control == kept {
        return None;
    }
    if entry.is_over(now) {
        return Some(Dispensable::Expired);
    }
    if admission == Admission::Refuse {
        return None;
    }
    if entry.is_template() {
        return (!entry.is_assured()).then_some(Dispensable::HalfOpen);
    }
    match Protocol::from_number(entry.protocol())? {
        Protocol::Tcp => matches!(entry.state, tcp::SYN_RECV | tcp::SYNACK).then_some(Dispensable::HalfOpen),
        Protocol::Sctp => (sctp::INIT1..sctp::ESTABLISHED).contains(&entry.state).then_some(Dispensable::HalfOpen),
        Protocol::Udp => {
            let single = admission == Admission::EvictHalfOpenAndSingle && entry.in_packets <= 1;
            single.then_some(Dispensable::Single)
        }
    }
}
