//! Weighted overflow scheduling.
//!
//! Owns: the choice only. What is remembered of many servers (`tournament`) changes no answer.
//! Follows: the `ovf` scheduler of IPVS: the highest weight among the servers with no more active connections than
//! their weight, first in the list wins ties. A server thus takes one more than its weight; when all have, the pick
//! fails. Flows that never become active, as those of UDP, never overflow.

use alloc::boxed::Box;

use super::fo::heaviest;
use super::load::Load;
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, Weights};
use crate::service::ServerId;
use crate::time::Instant;

/// `ovf`: the eligible server of the highest weight, until its active connections exceed that weight; then the next.
#[derive(Clone, Debug, Default)]
pub struct WeightedOverflow {
    tournament: Tournament,
}

impl WeightedOverflow {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self { tournament: Tournament::new() }
    }
}

impl Scheduler for WeightedOverflow {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let load = |server: &Candidate<'_>| has_room(server).then(|| Load::lightness(server));
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
        Weights::Limits
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

fn choose<'a>(pool: &Pool<'a>) -> Option<Candidate<'a>> {
    heaviest(pool.iter().filter(has_room))
}

fn has_room(server: &Candidate<'_>) -> bool {
    server.is_eligible() && server.active() <= server.weight()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B};
    use super::*;

    #[test]
    fn a_full_server_overflows_into_the_next_and_the_last_fails() {
        assert_eq!(Abc::new(WeightedOverflow::new(), [2, 1, 0]).active_picks(7), "AAABB--");
    }

    #[test]
    fn the_newest_of_equals_is_picked() {
        assert_eq!(Abc::new(WeightedOverflow::new(), [2, 2, 1]).picks(2), "BB");
    }

    #[test]
    fn inactive_connections_do_not_count() {
        let mut abc = Abc::new(WeightedOverflow::new(), [2, 1, 0]);
        abc.connect(A, 100, false);
        assert_eq!(abc.picks(1), "A");
    }

    #[test]
    fn overloaded_servers_are_passed_over() {
        let mut abc = Abc::new(WeightedOverflow::new(), [2, 1, 0]);
        abc.overload(A);
        assert_eq!(abc.picks(1), "B");
        abc.overload(B);
        assert_eq!(abc.picks(1), "-");
    }
}
