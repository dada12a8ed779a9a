//! Self-defence: what is dropped when memory gets short, or always if so configured.
//!
//! Follows: `drop_packet`, `drop_entry` and `secure_tcp` of IPVS. In mode 1 a defence waits for memory to get short and is
//! then in mode 2; in mode 3 it is always on.

use crate::config::Tunables;
use crate::conn::entry::Entry;
use crate::time::Instant;
use core::time::Duration;

/// The kernel looks after its defences this often.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// A connection without a packet for less than this is spared.
const IDLE_MS: u64 = 60_000;
/// Connections with more packets of the client are spared.
const MOST_PACKETS: usize = 8;

/// The state of the defences.
#[derive(Clone, Debug)]
pub(crate) struct Defence {
    /// Pages of memory that are free, as the host said last.
    pub(crate) available: u64,
    /// Every how manieth packet that would open a connection is dropped; 0 for none.
    rate: i32,
    /// How many are left until the next.
    countdown: i32,
    /// Whether entries are dropped.
    pub(crate) drops_entries: bool,
    /// By packets of the client: how many more such connections are spared before one is dropped.
    spared: [i32; MOST_PACKETS + 1],
}

impl Default for Defence {
    /// Memory is not short.
    fn default() -> Self {
        Self { available: u64::MAX, rate: 0, countdown: 0, drops_entries: false, spared: [0; MOST_PACKETS + 1] }
    }
}

impl Defence {
    /// A mode was written, or a second has passed: the automatic modes follow the memory there is.
    pub(crate) fn settle(&mut self, tunables: &mut Tunables) {
        let threshold = u64::try_from(tunables.amemthresh).unwrap_or(0);
        let is_short = self.available < threshold;
        for mode in [&mut tunables.drop_entry, &mut tunables.drop_packet, &mut tunables.secure_tcp] {
            *mode = match (*mode, is_short) {
                (1 | 2, true) => 2,
                (1 | 2, false) => 1,
                (mode, _) => mode,
            };
        }
        self.drops_entries = tunables.drop_entry >= 2;
        match tunables.drop_packet {
            3 => self.rate = tunables.am_droprate,
            2 => {
                let rate = threshold / (threshold - self.available);
                self.rate = i32::try_from(rate).unwrap_or(i32::MAX);
                self.countdown = self.rate;
            }
            _ => self.rate = 0,
        }
    }

    /// Is this packet to be dropped?
    pub(crate) const fn drops(&mut self) -> bool {
        if self.rate == 0 {
            return false;
        }
        self.countdown -= 1;
        let due = self.countdown <= 0;
        if due {
            self.countdown = self.rate;
        }
        due
    }

    /// Would the next one be dropped?
    pub(crate) const fn would_drop(&self) -> bool {
        self.rate != 0 && self.countdown <= 1
    }

    /// Is an idle connection with few packets to be dropped? Of those with so many packets, every so manieth is.
    pub(crate) fn drops_idle(&mut self, entry: &Entry, now: Instant) -> bool {
        let left = entry.expires.since(now).as_millis();
        let is_idle = left + u128::from(IDLE_MS) <= u128::from(entry.timeout_ms);
        let packets = usize::try_from(entry.in_packets).unwrap_or(usize::MAX);
        if !is_idle || packets == 0 {
            return false;
        }
        let Some(spared) = self.spared.get_mut(packets) else { return false };
        *spared -= 1;
        let due = *spared <= 0;
        if due {
            *spared = i32::try_from(packets).unwrap_or(0);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_dropped_and_then_every_tenth() {
        let mut defence = Defence::default();
        defence.settle(&mut Tunables { drop_packet: 3, ..Tunables::default() });
        let dropped = (1..=31).filter(|_| defence.drops()).count();
        assert_eq!(dropped, 4);
        assert!(!Defence::default().would_drop());
    }

    #[test]
    fn asking_agrees_with_dropping_whatever_the_rate() {
        for rate in [-3, 0, 1, 2, 10] {
            let mut defence = Defence::default();
            defence.settle(&mut Tunables { drop_packet: 3, am_droprate: rate, ..Tunables::default() });
            for _ in 0..25 {
                let would = defence.would_drop();
                assert_eq!(would, defence.drops(), "{rate}");
            }
        }
    }

    #[test]
    fn automatic_modes_follow_the_memory() {
        let mut defence = Defence::default();
        let mut tunables = Tunables { drop_entry: 1, drop_packet: 2, secure_tcp: 1, ..Tunables::default() };
        defence.settle(&mut tunables);
        assert_eq!((tunables.drop_entry, tunables.drop_packet, tunables.secure_tcp), (1, 1, 1));
        assert!(!defence.drops_entries && !defence.drops());
        defence.available = 768;
        defence.settle(&mut tunables);
        assert_eq!((tunables.drop_entry, tunables.drop_packet, tunables.secure_tcp), (2, 2, 2));
        let dropped: Vec<bool> = (0..8).map(|_| defence.drops()).collect();
        assert_eq!(dropped, [false, false, false, true, false, false, false, true], "every 1024 / (1024 - 768)th");
        assert!(defence.drops_entries);
        defence.available = 1024;
        defence.settle(&mut tunables);
        assert_eq!((tunables.drop_entry, tunables.drop_packet, tunables.secure_tcp), (1, 1, 1));
        assert!(!defence.drops_entries && !defence.drops());
    }
}
