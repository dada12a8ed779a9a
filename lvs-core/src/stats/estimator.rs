//! What is reported of a counter: the last tick's snapshot, and a rate smoothed over ticks.
//!
//! Follows: the kernel's estimator. Every two seconds `average += (rate - average) / 4`, in fixed point: connections and
//! packets in 1/1024, bytes in 1/32 per second.

use core::time::Duration;

use super::{Counters, Rates};

/// Time between two ticks.
pub(crate) const TICK: Duration = Duration::from_secs(2);
/// After so many ticks without traffic every average has come to rest.
pub(crate) const TICKS_TO_REST: u32 = 256;

/// One object's snapshot and rates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Estimator {
    snapshot: Counters,
    /// What a zeroing took off.
    base: Counters,
    averages: [u64; 5],
}

impl Estimator {
    /// Two seconds have passed, and the counters stand here.
    pub(crate) fn tick(&mut self, counters: Counters) {
        let grown = (counters - self.snapshot).row();
        for (i, average) in self.averages.iter_mut().enumerate() {
            let rate = grown[i].wrapping_shl(if i < 3 { 9 } else { 4 });
            let step = (rate.cast_signed().wrapping_sub(average.cast_signed())) >> 2;
            *average = average.wrapping_add_signed(step);
        }
        self.snapshot = counters;
    }

    /// Zeroing: what was reported up to now is no longer.
    pub(crate) const fn zero(&mut self) {
        self.base = self.snapshot;
        self.averages = [0; 5];
    }

    pub(crate) fn reported(&self) -> Counters {
        self.snapshot - self.base
    }

    pub(crate) const fn rates(&self) -> Rates {
        let a = &self.averages;
        Rates {
            connections: a[0].wrapping_add(0x1ff) >> 10,
            in_packets: a[1].wrapping_add(0x1ff) >> 10,
            out_packets: a[2].wrapping_add(0x1ff) >> 10,
            in_bytes: a[3].wrapping_add(0xf) >> 5,
            out_bytes: a[4].wrapping_add(0xf) >> 5,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_steady_rate_is_approached_as_the_kernel_does() {
        let mut estimator = Estimator::default();
        let mut counters = Counters::default();
        let shown: Vec<u64> = (0..4)
            .map(|_| {
                counters.connections += 100;
                estimator.tick(counters);
                estimator.rates().connections
            })
            .collect();
        assert_eq!(shown, [12, 22, 29, 34]);
        for _ in 0..TICKS_TO_REST {
            estimator.tick(counters);
        }
        assert_eq!(estimator.averages, [0; 5]);
    }

    #[test]
    fn zeroing_takes_off_what_was_reported_and_no_more() {
        let mut estimator = Estimator::default();
        let mut counters = Counters { in_packets: 5, ..Counters::default() };
        estimator.tick(counters);
        counters.in_packets = 8;
        estimator.zero();
        assert_eq!(estimator.reported().in_packets, 0);
        estimator.tick(counters);
        assert_eq!(estimator.reported().in_packets, 3);
    }
}
