//! Least-connection scheduling.
//!
//! Owns: the choice only. What is remembered of many servers (`tournament`) changes no answer.
//! Follows: the `lc` scheduler of IPVS: least overhead, compared as an unsigned number; first in the list wins ties.

use alloc::boxed::Box;

use super::load::Load;
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, Weights};
use crate::service::ServerId;
use crate::time::Instant;

/// `lc`: the eligible server with the least connections, active ones counting 257 times. Weights do not matter
/// unless 0.
#[derive(Clone, Debug, Default)]
pub struct LeastConnection {
    tournament: Tournament,
}

impl LeastConnection {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self { tournament: Tournament::new() }
    }
}

impl Scheduler for LeastConnection {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let load = |server: &Candidate<'_>| server.is_eligible().then(|| Load::unweighted(server));
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

/// The server with the least overhead.
fn choose<'a>(pool: &Pool<'a>) -> Option<Candidate<'a>> {
    // `min_by_key` keeps the first of equals.
    pool.iter().filter(Candidate::is_eligible).min_by_key(Candidate::overhead)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    #[test]
    fn active_connections_are_spread_from_the_newest_on() {
        assert_eq!(Abc::new(LeastConnection::new(), [1, 1, 1]).active_picks(6), "CBACBA");
    }

    #[test]
    fn the_size_of_weights_does_not_matter() {
        assert_eq!(Abc::new(LeastConnection::new(), [1000, 0, 1]).active_picks(4), "CACA");
    }

    #[test]
    fn an_active_connection_counts_as_257_others() {
        let mut abc = Abc::new(LeastConnection::new(), [1, 1, 0]);
        abc.connect(B, 1, true);
        abc.connect(A, 256, false);
        assert_eq!(abc.picks(1), "A");
        abc.connect(A, 1, false);
        assert_eq!(abc.picks(1), "B");
    }

    #[test]
    fn an_overhead_past_31_bits_is_a_large_one() {
        let mut abc = Abc::new(LeastConnection::new(), [1, 1, 0]);
        let id = abc.id(B);
        abc.pool.set_connections(id, 0x0080_0000, 0x0080_0000);
        assert_eq!(abc.picks(1), "A");
    }

    #[test]
    fn overloaded_servers_are_passed_over() {
        let mut abc = Abc::new(LeastConnection::new(), [1, 1, 1]);
        abc.connect(A, 5, true);
        abc.overload(B);
        abc.overload(C);
        assert_eq!(abc.picks(1), "A");
    }
}
