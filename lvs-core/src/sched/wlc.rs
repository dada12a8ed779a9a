//! Weighted least-connection scheduling.
//!
//! Owns: the choice only. What is remembered of many servers (`tournament`) changes no answer. `lblc` and `lblcr` choose by it too.
//! Follows: the `wlc` scheduler of IPVS: least overhead per weight, first in the list wins ties. Among idle servers
//! that is the first of the list, whatever the weights.

use alloc::boxed::Box;

use super::load::{Load, least};
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler};
use crate::service::ServerId;
use crate::time::Instant;

/// `wlc`: the eligible server with the least connections per weight, active ones counting 257 times.
#[derive(Clone, Debug, Default)]
pub struct WeightedLeastConnection {
    tournament: Tournament,
}

impl WeightedLeastConnection {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self { tournament: Tournament::new() }
    }
}

impl Scheduler for WeightedLeastConnection {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        choose(&mut self.tournament, pool).map(|server| server.id())
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

/// The server with the least overhead per weight.
pub(super) fn choose<'a>(tournament: &mut Tournament, pool: &Pool<'a>) -> Option<Candidate<'a>> {
    let load = |server: &Candidate<'_>| server.is_eligible().then(|| Load::overhead(server));
    tournament.pick(pool, load, walk)
}

fn walk<'a>(pool: &Pool<'a>) -> Option<Candidate<'a>> {
    least(pool.iter(), Load::overhead)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    #[test]
    fn active_connections_are_spread_by_weight() {
        assert_eq!(Abc::new(WeightedLeastConnection::new(), [3, 2, 1]).active_picks(10), "CBAABACBAA");
    }

    #[test]
    fn among_idle_servers_the_newest_is_picked_whatever_its_weight() {
        let mut abc = Abc::new(WeightedLeastConnection::new(), [100, 5, 0]);
        assert_eq!(abc.picks(2), "BB");
        abc.weight(C, 1);
        assert_eq!(abc.picks(2), "CC");
    }

    #[test]
    fn overloaded_servers_are_passed_over() {
        let mut abc = Abc::new(WeightedLeastConnection::new(), [1, 1, 1]);
        abc.connect(A, 5, true);
        abc.overload(B);
        abc.overload(C);
        assert_eq!(abc.picks(1), "A");
    }

    #[test]
    fn the_largest_weights_are_compared_in_full() {
        let mut abc = Abc::new(WeightedLeastConnection::new(), [0x7fff_ffff, 0x7fff_fffe, 0]);
        abc.connect(A, 100, true);
        abc.connect(B, 100, true);
        assert_eq!(abc.picks(1), "A");
    }
}
