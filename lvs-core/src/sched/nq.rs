//! Never-queue scheduling.
//!
//! Owns: the choice only. What is remembered of many servers (`tournament`) changes no answer.
//! Follows: the `nq` scheduler of IPVS: the first server of the list without active connections, otherwise as `sed`.
//! Flows that never become active, as those of UDP, all go to the first server of the list.

use alloc::boxed::Box;

use super::load::Load;
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, sed};
use crate::service::ServerId;
use crate::time::Instant;

/// `nq`: an eligible server without active connections, or else the one of [shortest expected
/// delay](super::ShortestExpectedDelay).
#[derive(Clone, Debug, Default)]
pub struct NeverQueue {
    tournament: Tournament,
}

impl NeverQueue {
    /// The scheduler.
    #[must_use]
    pub const fn new() -> Self {
        Self { tournament: Tournament::new() }
    }
}

impl Scheduler for NeverQueue {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let load = |server: &Candidate<'_>| {
            let load = || if server.active() == 0 { Load::IDLE } else { Load::expected(server) };
            server.is_eligible().then(load)
        };
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

/// The first idle server, or else the one of `sed`.
fn choose<'a>(pool: &Pool<'a>) -> Option<Candidate<'a>> {
    let idle = pool.iter().find(|server| server.is_eligible() && server.active() == 0);
    idle.or_else(|| sed::choose(pool))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    #[test]
    fn idle_servers_come_first_and_then_expected_delay_decides() {
        assert_eq!(Abc::new(NeverQueue::new(), [3, 2, 1]).active_picks(10), "CBAABAABAC");
    }

    #[test]
    fn without_active_connections_all_goes_to_the_newest() {
        let mut abc = Abc::new(NeverQueue::new(), [3, 2, 1]);
        abc.connect(C, 50, false);
        assert_eq!(abc.picks(2), "CC");
    }

    #[test]
    fn an_idle_server_that_is_quiesced_or_overloaded_is_passed_over() {
        let mut abc = Abc::new(NeverQueue::new(), [1, 1, 0]);
        abc.overload(B);
        abc.connect(A, 7, true);
        assert_eq!(abc.picks(1), "A");
    }
}
