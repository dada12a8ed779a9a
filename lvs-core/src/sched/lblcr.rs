//! Locality-based least-connection scheduling with replication.
//!
//! Owns: which servers took flows to a target address.
//! Leaves to others: the table and its expiry (`targets`), the choice of another server (`wlc`), when a server is
//! overburdened (`lblc`).
//! Follows: the `lblcr` scheduler of IPVS: the least loaded of the remembered servers; if that is overburdened, the one
//! of `wlc` joins them. When nobody has joined or left for the expiration time, the most loaded one leaves.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::lblc::is_overburdened;
use super::load::{Load, least};
use super::targets::TargetTable;
use super::tournament::Tournament;
use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, SchedulerTunables, wlc};
use crate::service::ServerId;
use crate::time::Instant;

/// `lblcr`: flows to one address go to a few servers, as many as it takes.
///
/// Meant for clusters of caches behind a firewall mark. Remembers up to 24576 addresses; a pick takes memory only when
/// an address is new or gets another server.
#[derive(Clone, Debug)]
pub struct ReplicatedLocalityLeastConnection {
    targets: TargetTable<ServerSet>,
    tournament: Tournament,
    expiration: Duration,
}

impl ReplicatedLocalityLeastConnection {
    /// Remembers addresses for `expiration` after the last new flow to them, or up to half an hour more; leaves a set
    /// of servers as it is for that time.
    #[must_use]
    pub fn new(expiration: Duration) -> Self {
        Self { targets: TargetTable::new(expiration), tournament: Tournament::new(), expiration }
    }
}

impl Default for ReplicatedLocalityLeastConnection {
    /// Remembers addresses for 24 hours.
    fn default() -> Self {
        Self::new(SchedulerTunables::default().lblcr_expiration)
    }
}

impl Scheduler for ReplicatedLocalityLeastConnection {
    fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        self.targets.tick(flow.now);
        let Some(set) = self.targets.find(flow.target, flow.now) else {
            let chosen = wlc::choose(&mut self.tournament, pool)?.id();
            self.targets.insert(flow.target, flow.now, ServerSet::of(chosen, flow.now));
            return Some(chosen);
        };
        // Found before the set shrinks: it is the answer even if it is the one that leaves.
        let lightest = set.lightest(pool);
        set.shrink(pool, flow.now, self.expiration);
        if let Some(server) = lightest.filter(|server| !is_overburdened(server, pool)) {
            return Some(server.id());
        }
        let chosen = wlc::choose(&mut self.tournament, pool)?.id();
        set.insert(chosen, flow.now);
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
        self.expiration = tunables.lblcr_expiration;
        self.targets.set_expiration(tunables.lblcr_expiration);
    }

    fn next_tick(&self) -> Option<Instant> {
        self.targets.due()
    }

    fn tick(&mut self, now: Instant) {
        self.targets.tick(now);
    }

    fn remembers(&self, server: ServerId) -> bool {
        self.targets.iter().any(|set| set.servers.contains(&server))
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// The servers of one target address.
#[derive(Clone, Debug)]
struct ServerSet {
    /// Those that joined later come later; the kernel's set begins with the latest.
    servers: Vec<ServerId>,
    /// When one last joined or left.
    modified: Instant,
}

impl ServerSet {
    fn of(server: ServerId, now: Instant) -> Self {
        Self { servers: alloc::vec![server], modified: now }
    }

    /// The least loaded of those that may get a flow and are in the pool.
    fn lightest<'a>(&self, pool: &Pool<'a>) -> Option<Candidate<'a>> {
        least(self.servers.iter().rev().filter_map(|&id| pool.find(id)), Load::overhead)
    }

    /// The most loaded of those that have a weight, be they in the pool or not.
    fn heaviest(&self, pool: &Pool<'_>) -> Option<ServerId> {
        let known = self.servers.iter().rev().filter_map(|&id| pool.recall(id));
        let mut weighty = known.filter(|server| server.weight() > 0);
        let first = weighty.next()?;
        let heavier =
            |most: Candidate<'_>, server: Candidate<'_>| Load::overhead(&server).exceeds(Load::overhead(&most));
        Some(weighty.fold(first, |most, server| if heavier(most, server) { server } else { most }).id())
    }

    /// Lets the most loaded one leave if the set has been as it is for longer than `expiration`.
    fn shrink(&mut self, pool: &Pool<'_>, now: Instant, expiration: Duration) {
        if self.servers.len() < 2 || now <= self.modified + expiration {
            return;
        }
        if let Some(heaviest) = self.heaviest(pool) {
            self.servers.retain(|&server| server != heaviest);
            self.modified = now;
        }
    }

    fn insert(&mut self, server: ServerId, now: Instant) {
        if !self.servers.contains(&server) {
            self.servers.push(server);
            self.modified = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn lblcr(weights: [u32; 3]) -> Abc {
        Abc::new(ReplicatedLocalityLeastConnection::new(HOUR), weights)
    }

    /// What the scheduler remembers of A, B and C.
    fn remembered(abc: &Abc) -> [bool; 3] {
        [A, B, C].map(|server| abc.pool.scheduler().unwrap().remembers(abc.id(server)))
    }

    /// C and B are remembered, in this order; C has two active connections and B one.
    fn with_two_servers() -> Abc {
        let mut abc = lblcr([3, 2, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.connect(C, 2, true);
        assert_eq!(abc.picks(1), "B");
        abc.connect(B, 1, true);
        abc
    }

    #[test]
    fn an_overburdened_server_gets_company() {
        let mut abc = with_two_servers();
        assert_eq!(remembered(&abc), [false, true, true]);
        assert_eq!(abc.picks(1), "B");
        abc.connect(B, 2, true);
        // C has 2 for 1, B 3 for 2: B is the lightest and overburdened, and A is idle.
        assert_eq!(abc.picks(1), "A");
        assert_eq!(remembered(&abc), [true, true, true]);
    }

    #[test]
    fn the_lightest_of_the_remembered_is_picked() {
        let mut abc = with_two_servers();
        abc.pool.disconnect(abc.id(C));
        abc.pool.disconnect(abc.id(C));
        assert_eq!(abc.picks(1), "C");
        // Of two idle ones the one that joined last is found first.
        abc.pool.disconnect(abc.id(B));
        assert_eq!(abc.picks(1), "B");
    }

    #[test]
    fn remembered_servers_above_their_threshold_are_passed_over() {
        let mut abc = with_two_servers();
        abc.overload(B);
        abc.pool.disconnect(abc.id(C));
        assert_eq!(abc.picks(1), "C");
        abc.overload(C);
        assert_eq!(abc.picks(1), "A");
    }

    #[test]
    fn a_quiesced_server_stays_remembered() {
        let mut abc = lblcr([1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.weight(C, 0);
        assert_eq!(abc.picks(1), "B");
        assert_eq!(remembered(&abc), [false, true, true]);
        abc.weight(C, 1);
        abc.connect(B, 1, true);
        assert_eq!(abc.picks(1), "C");
    }

    #[test]
    fn a_set_unchanged_for_too_long_loses_its_most_loaded_server() {
        let mut abc = with_two_servers();
        abc.pool.advance(HOUR / 2);
        assert_eq!(abc.picks(1), "B");
        abc.pool.advance(HOUR / 2);
        assert_eq!(abc.picks(1), "B");
        assert_eq!(remembered(&abc), [false, true, true]);
        abc.pool.advance(Duration::from_nanos(1));
        assert_eq!(abc.picks(1), "B");
        assert_eq!(remembered(&abc), [false, true, false]);
    }

    #[test]
    fn a_set_of_one_does_not_shrink() {
        let mut abc = lblcr([1, 1, 1]);
        for _ in 0..10 {
            assert_eq!(abc.picks(1), "C");
            abc.pool.advance(HOUR / 2);
        }
        assert_eq!(remembered(&abc), [false, false, true]);
    }

    #[test]
    fn the_one_that_leaves_is_still_the_answer() {
        let mut abc = with_two_servers();
        // C is quiesced: B is the lightest, and of those with a weight the most loaded, too.
        abc.weight(C, 0);
        abc.pool.advance(HOUR / 2);
        assert_eq!(abc.picks(1), "B");
        abc.pool.advance(HOUR / 2 + MINUTE);
        assert_eq!(abc.picks(1), "B");
        assert_eq!(remembered(&abc), [false, false, true]);
        assert_eq!(abc.picks(1), "A");
    }

    #[test]
    fn a_removed_server_can_be_the_one_that_leaves() {
        let mut abc = with_two_servers();
        abc.remove(C);
        abc.pool.advance(HOUR / 2);
        assert_eq!(abc.picks(1), "B");
        abc.pool.advance(HOUR / 2 + MINUTE);
        assert_eq!(remembered(&abc), [false, true, true]);
        assert_eq!(abc.picks(1), "B");
        assert_eq!(remembered(&abc), [false, true, false]);
    }

    #[test]
    fn one_server_leaves_at_a_time() {
        let mut abc = with_two_servers();
        abc.connect(B, 2, true);
        assert_eq!(abc.picks(1), "A");
        abc.pool.advance(HOUR / 2);
        abc.picks(1);
        abc.pool.advance(HOUR / 2 + MINUTE);
        abc.picks(2);
        assert_eq!(remembered(&abc), [true, true, false]);
    }

    #[test]
    fn choosing_a_remembered_server_again_does_not_renew_the_set() {
        let mut set = ServerSet::of(lblcr([1, 1, 1]).id(A), Instant::ZERO);
        let same = set.servers[0];
        set.insert(same, Instant::from_secs(9));
        assert_eq!((set.servers.len(), set.modified), (1, Instant::ZERO));
    }

    #[test]
    fn what_is_not_used_is_forgotten_at_a_full_look() {
        let mut abc = with_two_servers();
        abc.pool.advance(HOUR - Duration::from_nanos(1));
        assert_eq!(remembered(&abc), [false, true, true]);
        abc.pool.advance(Duration::from_nanos(1));
        assert_eq!(remembered(&abc), [false, false, false]);
    }

    #[test]
    fn the_expiration_time_is_a_tunable() {
        let mut abc = with_two_servers();
        let tunables = SchedulerTunables { lblcr_expiration: 3 * HOUR, ..SchedulerTunables::default() };
        abc.pool.tune(&tunables);
        abc.pool.advance(2 * HOUR);
        assert_eq!(abc.picks(1), "B");
        assert_eq!(remembered(&abc), [false, true, true]);
    }

    #[test]
    fn failing_leaves_what_is_remembered() {
        let mut abc = with_two_servers();
        for server in [A, B, C] {
            abc.weight(server, 0);
        }
        assert_eq!(abc.picks(1), "-");
        assert_eq!(remembered(&abc), [false, true, true]);
    }
}
