//! Locality-based least-connection scheduling.
//!
//! Owns: which server last took flows to a target address.
//! Leaves to others: the table and its expiry (`targets`), the choice of a server for a new address (`wlc`).
//! Follows: the `lblc` scheduler of IPVS: the remembered server, unless it has more active connections than its weight
//! while some other has less than half; then the one of `wlc`. That a remembered server is above its upper threshold
//! does not count. A server that has left the service stays remembered until it is replaced or its entry expires.

use alloc::boxed::Box;
use core::time::Duration;

use super::targets::TargetTable;
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, SchedulerTunables, wlc};
use crate::service::ServerId;
use crate::time::Instant;

/// `lblc`: flows to one address go to one server, as long as that is not overburdened.
///
/// Meant for clusters of caches behind a firewall mark. Remembers up to 24576 addresses; a pick takes memory only when
/// an address is new.
#[derive(Clone, Debug)]
pub struct LocalityLeastConnection {
    targets: TargetTable<ServerId>,
    tournament: Tournament,
}

impl LocalityLeastConnection {
    /// Remembers addresses for `expiration` after the last new flow to them, or up to half an hour more.
    #[must_use]
    pub fn new(expiration: Duration) -> Self {
        Self { targets: TargetTable::new(expiration), tournament: Tournament::new() }
    }
}

impl Default for LocalityLeastConnection {
    /// Remembers addresses for 24 hours.
    fn default() -> Self {
        Self::new(SchedulerTunables::default().lblc_expiration)
    }
}

impl Scheduler for LocalityLeastConnection {
    fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        self.targets.tick(flow.now);
        let known = self.targets.find(flow.target, flow.now);
        let server = known.as_deref().and_then(|&id| pool.find(id));
        if let Some(server) = server.filter(|server| server.weight() > 0 && !is_overburdened(server, pool)) {
            return Some(server.id());
        }
        let chosen = wlc::choose(&mut self.tournament, pool)?.id();
        match known {
            Some(remembered) => *remembered = chosen,
            None => self.targets.insert(flow.target, flow.now, chosen),
        }
        Some(chosen)
    }

    fn start(&mut self, pool: &Pool<'_>, now: Instant) -> Result<(), PoolRefused> {
        self.targets.start(now);
        self.tournament.reserve(pool);
        Ok(())
    }

    fn added(&mut self, pool: &Pool<'_>) {
        self.tournament.reserve(pool);
    }

    fn tuned(&mut self, tunables: &SchedulerTunables) {
        self.targets.set_expiration(tunables.lblc_expiration);
    }

    fn next_tick(&self) -> Option<Instant> {
        self.targets.due()
    }

    fn tick(&mut self, now: Instant) {
        self.targets.tick(now);
    }

    fn remembers(&self, server: ServerId) -> bool {
        self.targets.iter().any(|&remembered| remembered == server)
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// True if a server has more active connections than its weight while another has less than half of its own.
pub(super) fn is_overburdened(server: &Candidate<'_>, pool: &Pool<'_>) -> bool {
    let is_half_idle = |other: Candidate<'_>| u64::from(other.active()) * 2 < u64::from(other.weight());
    server.active() > server.weight() && pool.iter().any(is_half_idle)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    fn lblc(weights: [u32; 3]) -> Abc {
        Abc::new(LocalityLeastConnection::default(), weights)
    }

    #[test]
    fn an_overburdened_server_is_replaced() {
        let mut abc = lblc([3, 2, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 1, true);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 1, true);
        assert_eq!(abc.picks(2), "BB");
        abc.pool.disconnect(abc.id(C));
        abc.pool.disconnect(abc.id(C));
        assert_eq!(abc.picks(1), "B");
    }

    #[test]
    fn a_server_stays_while_no_other_is_half_idle() {
        let mut abc = lblc([3, 2, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 9, true);
        abc.connect(B, 1, true);
        abc.connect(A, 2, true);
        assert_eq!(abc.picks(1), "C");
        abc.pool.deactivate(abc.id(A));
        assert_eq!(abc.picks(1), "A");
    }

    #[test]
    fn a_half_idle_server_counts_even_above_its_threshold() {
        let mut abc = lblc([4, 2, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 2, true);
        abc.connect(B, 1, true);
        abc.overload(A);
        // C and B have 2 and 1 active connections for weights of 1 and 2: B is chosen, though A is the idle one.
        assert_eq!(abc.picks(1), "B");
    }

    #[test]
    fn each_target_address_has_its_server() {
        let mut abc = lblc([1, 1, 1]);
        let to = |target: &str| NewFlow::new(Instant::ZERO, 6, "192.0.2.1:1".parse().unwrap(), target.parse().unwrap());
        assert_eq!(abc.pick_for(&to("198.51.100.1")), 'C');
        abc.connect(C, 1, true);
        assert_eq!(abc.pick_for(&to("198.51.100.2")), 'B');
        assert_eq!(abc.pick_for(&to("198.51.100.1")), 'C');
    }

    #[test]
    fn a_remembered_server_above_its_threshold_is_kept() {
        let mut abc = lblc([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.overload(C);
        assert_eq!(abc.picks(1), "C");
    }

    #[test]
    fn a_quiesced_server_is_replaced_for_good() {
        let mut abc = lblc([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.weight(C, 0);
        assert_eq!(abc.picks(1), "B");
        abc.weight(C, 1);
        assert_eq!(abc.picks(1), "B");
    }

    #[test]
    fn failing_leaves_what_is_remembered() {
        let mut abc = lblc([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        for server in [A, B, C] {
            abc.weight(server, 0);
        }
        assert_eq!(abc.picks(1), "-");
        for server in [A, B, C] {
            abc.weight(server, 1);
        }
        abc.connect(C, 1, true);
        assert_eq!(abc.picks(1), "C");
    }

    #[test]
    fn a_removed_server_is_remembered_until_it_is_replaced() {
        let mut abc = lblc([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.remove(C);
        assert!(abc.pool.scheduler().unwrap().remembers(abc.id(C)));
        assert_eq!(abc.picks(1), "B");
        assert!(!abc.pool.scheduler().unwrap().remembers(abc.id(C)));
        assert!(abc.pool.scheduler().unwrap().remembers(abc.id(B)));
    }

    #[test]
    fn a_removed_server_that_comes_back_is_found_again() {
        let mut abc = lblc([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        let (id, spec) = (abc.id(C), abc.pool.spec(abc.id(C)));
        abc.remove(C);
        assert_eq!(abc.pool.add(spec), id);
        abc.connect(C, 1, true);
        assert_eq!(abc.picks(1), "C");
    }

    #[test]
    fn what_is_not_used_is_forgotten_at_a_full_look() {
        let mut abc = lblc([1, 1, 1]);
        let tunables =
            SchedulerTunables { lblc_expiration: Duration::from_secs(10 * 60), ..SchedulerTunables::default() };
        abc.pool.tune(&tunables);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 1, true);
        abc.pool.advance(Duration::from_secs(30 * 60 - 1));
        assert!(abc.pool.scheduler().unwrap().remembers(abc.id(C)));
        abc.pool.advance(Duration::from_secs(1));
        assert!(!abc.pool.scheduler().unwrap().remembers(abc.id(C)));
        assert_eq!(abc.picks(1), "B");
    }

    #[test]
    fn a_pick_makes_up_for_ticks_that_did_not_come() {
        let mut abc = lblc([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 1, true);
        let after = |hours: u64| {
            let now = Instant::from_secs(hours * 3600);
            NewFlow::new(now, 6, "192.0.2.1:1".parse().unwrap(), "198.51.100.1".parse().unwrap())
        };
        let mut early = abc.pool.scheduler().unwrap().fork().unwrap();
        assert_eq!(early.pick(&after(23), &abc.pool.pool()), Some(abc.id(C)));
        let mut late = abc.pool.scheduler().unwrap().fork().unwrap();
        assert_eq!(late.pick(&after(24), &abc.pool.pool()), Some(abc.id(B)));
    }

    #[test]
    fn starting_anew_forgets_everything() {
        let mut abc = lblc([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.pool.restart().unwrap();
        assert!(!abc.pool.scheduler().unwrap().remembers(abc.id(C)));
        assert_eq!(abc.pool.scheduler().unwrap().next_tick(), Some(Instant::from_secs(60)));
    }
}
