//! Weighted failover scheduling.
//!
//! Owns: the choice only. What is remembered of many servers (`tournament`) changes no answer.
//! Follows: the `fo` scheduler of IPVS: the highest weight, first in the list wins ties; connections do not count.

use alloc::boxed::Box;
use core::cmp::Reverse;

use super::load::Load;
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, Weights};
use crate::service::ServerId;
use crate::time::Instant;

/// `fo`: the eligible server of the highest weight takes all flows; the next one when it fails.
#[derive(Clone, Debug, Default)]
pub struct WeightedFailover {
    tournament: Tournament,
}

impl WeightedFailover {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self { tournament: Tournament::new() }
    }
}

impl Scheduler for WeightedFailover {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let load = |server: &Candidate<'_>| server.is_eligible().then(|| Load::lightness(server));
        self.tournament.pick(pool, load, choose).map(|server| server.id())
    }

    fn start(&mut self, pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
        self.tournament.reserve(pool);
        Ok(())
    }

    fn added(&mut self, pool: &Pool<'_>) {
        self.tournament.reserve(pool);
    }

    fn weights(&self) -> Weights {
        Weights::Fixed
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

fn choose<'a>(pool: &Pool<'a>) -> Option<Candidate<'a>> {
    heaviest(pool.iter().filter(Candidate::is_eligible))
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
