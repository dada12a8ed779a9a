//! Smooth weighted round-robin scheduling.
//!
//! Owns: how far each server is ahead of its share, or behind it.
//! Follows: no scheduler of the kernel, but the algorithm that nginx made known. At each pick every eligible server gains
//! its weight; the one that has gained most is picked, and pays the sum of all weights for it. In a turn of as many picks
//! as the sum of weights every server is picked as often as its weight says, and the heavy ones never in a row as long
//! as others are due. Among equals the first of the list is picked.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{NewFlow, Pool, PoolRefused, Scheduler, index_below};
use crate::service::ServerId;
use crate::time::Instant;

/// `swrr`: every eligible server as often as its weight says, the picks of each spread over the turn.
///
/// Not a scheduler of the kernel. A pick looks at every server.
///
/// ```
/// use lvs_core::ServerSpec;
/// use lvs_core::sched::SmoothWeightedRoundRobin;
/// use lvs_core::testkit::TestPool;
///
/// let mut pool = TestPool::new().scheduled_by(SmoothWeightedRoundRobin::new());
/// let light = pool.add(ServerSpec::nat("10.0.0.1:80".parse()?));
/// let heavy = pool.add(ServerSpec::nat("10.0.0.2:80".parse()?).weight(2));
/// let flow = pool.flow([192, 168, 1, 1], 40_000);
/// let picks = [(); 6].map(|()| pool.pick(&flow).unwrap());
/// assert_eq!(picks, [heavy, light, heavy, heavy, light, heavy]);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SmoothWeightedRoundRobin {
    /// What each server has gained and not paid, in list order.
    gains: Vec<i64>,
    /// Where in the list the search for the largest gain begins: equal ones are taken from here on.
    first: u64,
}

impl SmoothWeightedRoundRobin {
    /// A turn that has not begun.
    #[must_use]
    pub const fn new() -> Self {
        Self { gains: Vec::new(), first: 0 }
    }
}

impl Scheduler for SmoothWeightedRoundRobin {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        self.gains.resize(pool.len(), 0);
        let eligible = || pool.iter().enumerate().filter(|(_, server)| server.is_eligible());
        let sum: i64 = eligible().map(|(_, server)| i64::from(server.weight())).sum();
        // What was gained under other weights, or among others, counts for one turn at most.
        for (position, server) in eligible() {
            self.gains[position] = self.gains[position].clamp(-sum, sum) + i64::from(server.weight());
        }
        let first = index_below(self.first, pool.len());
        let order = |position: usize| (position + pool.len() - first) % pool.len();
        let (best, server) =
            eligible().max_by_key(|&(position, _)| (self.gains[position], core::cmp::Reverse(order(position))))?;
        self.gains[best] -= sum;
        Some(server.id())
    }

    fn start(&mut self, pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
        self.gains.clear();
        self.gains.resize(pool.len(), 0);
        Ok(())
    }

    fn begin_at(&mut self, draw: Option<u64>) {
        self.first = draw.unwrap_or(0);
    }

    fn added(&mut self, pool: &Pool<'_>) {
        self.gains.insert(0, 0);
        self.gains.resize(pool.len(), 0);
    }

    fn removed(&mut self, position: usize, pool: &Pool<'_>) {
        if position < self.gains.len() {
            self.gains.remove(position);
        }
        self.gains.resize(pool.len(), 0);
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;
    use std::string::String;

    fn swrr(weights: [u32; 3]) -> Abc {
        Abc::new(SmoothWeightedRoundRobin::new(), weights)
    }

    #[test]
    fn the_heavy_server_is_not_picked_five_times_in_a_row() {
        // Servers are listed from the newest on, so that C goes before B where both have gained as much.
        assert_eq!(swrr([5, 1, 1]).picks(14), "AACABAAAACABAA");
        assert_eq!(swrr([1, 1, 5]).picks(7), "CCBCACC");
    }

    #[test]
    fn equal_weights_take_turns_whatever_they_are() {
        assert_eq!(swrr([1, 1, 1]).picks(7), "CBACBAC");
        assert_eq!(swrr([0x7fff_ffff; 3]).picks(7), "CBACBAC");
    }

    #[test]
    fn in_every_turn_each_server_gets_as_many_flows_as_its_weight() {
        for weights in [[1, 2, 3], [7, 0, 4], [9, 1, 13], [2, 4, 6]] {
            let mut abc = swrr(weights);
            let turn = weights.iter().sum::<u32>() as usize;
            for _ in 0..3 {
                let picks: String = abc.picks(turn);
                let counts = ['A', 'B', 'C'].map(|letter| u32::try_from(picks.matches(letter).count()).unwrap());
                assert_eq!(counts, weights, "{picks}");
            }
        }
    }

    #[test]
    fn servers_that_may_get_nothing_gain_nothing() {
        let mut abc = swrr([1, 1, 1]);
        abc.weight(A, 0);
        assert_eq!(abc.picks(4), "CBCB");
        abc.weight(A, 1);
        assert_eq!(abc.picks(4), "CBAC", "it has saved nothing up");
        abc.overload(B);
        abc.weight(C, 0);
        assert_eq!(abc.picks(2), "AA");
        abc.weight(A, 0);
        assert_eq!(abc.picks(1), "-");
    }

    #[test]
    fn what_was_gained_under_a_great_weight_is_soon_forgotten() {
        let mut abc = swrr([1, 1, 1_000_000]);
        assert_eq!(abc.picks(1), "C");
        abc.weight(C, 1);
        let picks = abc.picks(12);
        for letter in ['A', 'B', 'C'] {
            assert!((3..=5).contains(&picks.matches(letter).count()), "{picks}");
        }
    }

    #[test]
    fn gains_stay_with_their_servers_when_others_come_and_go() {
        let mut abc = swrr([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.add(1);
        assert_eq!(abc.picks(3), "BAD", "C has paid already");
        abc.remove(B);
        assert_eq!(abc.picks(3).matches('B').count(), 0);
    }

    #[test]
    fn a_drawn_beginning_changes_who_is_first_among_equals() {
        for (draw, picks) in [(0, "CBACBA"), (1, "BACBAC"), (u64::MAX, "CBACBA"), (5, "ACBACB")] {
            let mut scheduler = SmoothWeightedRoundRobin::new();
            scheduler.begin_at(Some(draw));
            assert_eq!(Abc::new(scheduler, [1, 1, 1]).picks(6), picks, "{draw}");
        }
    }
}
