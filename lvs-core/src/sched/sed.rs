//! Shortest expected delay scheduling.
//!
//! Owns: the choice only. What is remembered of many servers (`tournament`) changes no answer.
//! Follows: the `sed` scheduler of IPVS: least `(active + 1) / weight`, first in the list wins ties. Flows that never
//! become active, as those of UDP, all go to the heaviest server.

use alloc::boxed::Box;

use super::load::{Load, least};
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler};
use crate::service::ServerId;
use crate::time::Instant;

/// `sed`: the eligible server that would be least loaded for its weight after taking the new connection.
#[derive(Clone, Debug, Default)]
pub struct ShortestExpectedDelay {
    tournament: Tournament,
}

impl ShortestExpectedDelay {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self { tournament: Tournament::new() }
    }
}

impl Scheduler for ShortestExpectedDelay {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let load = |server: &Candidate<'_>| server.is_eligible().then(|| Load::expected(server));
        self.tournament.pick(pool, load, choose).map(|server| server.id())
    }

    fn start(&mut self, pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
        self.tournament.reserve(pool);
        Ok(())
    }

    fn added(&mut self, pool: &Pool<'_>) {
        self.tournament.reserve(pool);
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// The server with the least expected delay.
pub(super) fn choose<'a>(pool: &Pool<'a>) -> Option<Candidate<'a>> {
    least(pool.iter(), Load::expected)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    #[test]
    fn active_connections_are_spread_by_expected_delay() {
        assert_eq!(Abc::new(ShortestExpectedDelay::new(), [3, 2, 1]).active_picks(10), "ABACBAABAC");
    }

    #[test]
    fn inactive_connections_do_not_count() {
        let mut abc = Abc::new(ShortestExpectedDelay::new(), [1, 3, 3]);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 1000, false);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 1, true);
        assert_eq!(abc.picks(1), "B");
    }

    #[test]
    fn overloaded_servers_are_passed_over() {
        let mut abc = Abc::new(ShortestExpectedDelay::new(), [1, 5, 9]);
        abc.overload(C);
        assert_eq!(abc.picks(1), "B");
        abc.overload(B);
        assert_eq!(abc.picks(1), "A");
        abc.overload(A);
        assert_eq!(abc.picks(1), "-");
    }
}
