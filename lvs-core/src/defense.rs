//! Self-defence: dropping some of the packets that would open connections.
//!
//! Follows: `drop_packet` of IPVS in mode 3, where the first such packet is dropped and then every `am_droprate`-th.

use crate::config::Tunables;
use crate::time::Instant;
use core::time::Duration;

/// The state of the `drop_packet` defence.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DropPacket {
    /// Every how manieth is dropped; 0 for none.
    rate: i32,
    /// How many are left until the next.
    countdown: i32,
    /// When the rate is next taken over from the tunables.
    tick_at: Option<Instant>,
}

/// The kernel looks after its defences this often.
const TICK: Duration = Duration::from_secs(1);

impl DropPacket {
    /// The tunables have changed, or a second has passed.
    pub(crate) const fn tuned(&mut self, tunables: &Tunables) {
        self.rate = if tunables.drop_packet == 3 { tunables.am_droprate } else { 0 };
    }

    /// Takes over a changed `am_droprate` at the next full second.
    pub(crate) fn tick(&mut self, now: Instant, tunables: &Tunables) {
        if self.tick_at.is_none_or(|at| at <= now) {
            self.tuned(tunables);
            self.tick_at = Some(now + TICK);
        }
    }

    /// Is this one to be dropped?
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
        let mut copy = *self;
        copy.drops()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_dropped_and_then_every_tenth() {
        let mut defence = DropPacket::default();
        defence.tuned(&Tunables { drop_packet: 3, ..Tunables::default() });
        let dropped = (1..=31).filter(|_| defence.drops()).count();
        assert_eq!(dropped, 4);
        assert!(!DropPacket::default().would_drop());
    }
}
