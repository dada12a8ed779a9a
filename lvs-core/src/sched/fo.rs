//! Weighted failover scheduling.
//!
//! Owns: the choice only; nothing is remembered.
//! Follows: the `fo` scheduler of IPVS: the highest weight, first in the list wins ties; connections do not count.

use alloc::boxed::Box;
use core::cmp::Reverse;

use super::{Candidate, NewFlow, Pool, Scheduler, Weights};
use crate::service::ServerId;

/// `fo`: the eligible server of the highest weight takes all flows; the next one when it fails.
#[derive(Clone, Debug, Default)]
pub struct WeightedFailover;

impl WeightedFailover {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Scheduler for WeightedFailover {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        heaviest(pool.iter().filter(Candidate::is_eligible)).map(|server| server.id())
    }

    fn weights(&self) -> Weights {
        Weights::Fixed
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// The server of the highest weight, the first of several.
pub(super) fn heaviest<'a>(servers: impl Iterator<Item = Candidate<'a>>) -> Option<Candidate<'a>> {
    // Of equals, `min_by_key` keeps the first and `max_by_key` the last.
    servers.min_by_key(|server| Reverse(server.weight()))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    #[test]
    fn the_heaviest_takes_all_until_it_fails() {
        let mut abc = Abc::new(WeightedFailover::new(), [2, 3, 1]);
        assert_eq!(abc.active_picks(5), "BBBBB");
        abc.overload(B);
        assert_eq!(abc.picks(2), "AA");
        abc.weight(A, 0);
        assert_eq!(abc.picks(2), "CC");
        abc.weight(C, 0);
        assert_eq!(abc.picks(2), "--");
    }

    #[test]
    fn the_newest_of_equals_is_picked() {
        assert_eq!(Abc::new(WeightedFailover::new(), [2, 2, 1]).picks(2), "BB");
    }
}
