//! A service without a director: servers, their connections, and a scheduler that is told of every change.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use crate::addr::Family;
use crate::config::Kernel;
use crate::conn::hash::HashKey;
use crate::rng::Rng;
use crate::sched::{NewFlow, Pool, PoolRefused, Scheduler, SchedulerTunables};
use crate::service::server::Servers;
use crate::service::{SchedulerFlags, ServerId, ServerSpec, ServiceId, ServiceKey};
use crate::time::Instant;

/// Real servers of one service, for trying out a scheduler.
///
/// The hooks of the scheduler are called as the director does. A pick makes no connection: [`connect`](Self::connect)
/// does. Servers that leave while a connection or the scheduler needs them are kept aside, and come back with their
/// connections when they are added again.
///
/// # Panics
/// Methods that take an id panic if it names no server of the pool.
///
/// ```
/// use lvs_core::ServerSpec;
/// use lvs_core::sched::LeastConnection;
/// use lvs_core::testkit::TestPool;
///
/// let mut pool = TestPool::new().scheduled_by(LeastConnection::new());
/// let old = pool.add(ServerSpec::nat("10.0.0.1:80".parse()?));
/// let new = pool.add(ServerSpec::nat("10.0.0.2:80".parse()?));
///
/// let flow = pool.flow([192, 168, 1, 1], 40_000);
/// assert_eq!(pool.pick(&flow), Some(new), "new servers come first");
/// pool.connect(new, true);
/// assert_eq!(pool.pick(&flow), Some(old));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct TestPool {
    servers: Servers,
    list: Vec<u32>,
    /// Servers that have left but are still needed.
    trash: Vec<u32>,
    flags: SchedulerFlags,
    family: Family,
    now: Instant,
    scheduler: Option<Box<dyn Scheduler>>,
}

fn no_servers(kernel: Kernel) -> Servers {
    Servers::new(kernel, &HashKey::from_rng(&mut Rng::from_seed(0)))
}

impl TestPool {
    /// An IPv4 service without servers, flags and scheduler, at time zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            servers: no_servers(Kernel::default()),
            list: Vec::new(),
            trash: Vec::new(),
            flags: SchedulerFlags::NONE,
            family: Family::V4,
            now: Instant::ZERO,
            scheduler: None,
        }
    }

    /// The same pool, without servers, as a kernel of another age has it.
    #[must_use]
    pub fn kernel(self, kernel: Kernel) -> Self {
        Self { servers: no_servers(kernel), list: Vec::new(), trash: Vec::new(), ..self }
    }

    /// The same pool with flags.
    #[must_use]
    pub const fn flags(mut self, flags: SchedulerFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same pool for a service of another family.
    #[must_use]
    pub const fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// The same pool with a scheduler, started on what the pool has.
    ///
    /// # Panics
    /// If the scheduler refuses the pool.
    #[must_use]
    pub fn scheduled_by(mut self, scheduler: impl Scheduler + 'static) -> Self {
        self.attach(Box::new(scheduler)).expect("a scheduler that accepts the pool");
        self
    }

    /// Starts another scheduler on the pool.
    ///
    /// # Errors
    /// If the scheduler refuses the pool; the old one then stays.
    pub fn attach(&mut self, mut scheduler: Box<dyn Scheduler>) -> Result<(), PoolRefused> {
        scheduler.start(&self.pool(), self.now)?;
        self.scheduler = Some(scheduler);
        self.empty_trash();
        Ok(())
    }

    /// Starts the scheduler anew.
    ///
    /// # Errors
    /// If the scheduler refuses the pool.
    pub fn restart(&mut self) -> Result<(), PoolRefused> {
        let now = self.now;
        let outcome = self.told(|scheduler, pool| scheduler.start(pool, now));
        self.empty_trash();
        outcome.unwrap_or(Ok(()))
    }

    /// The scheduler, if there is one.
    #[must_use]
    pub fn scheduler(&self) -> Option<&dyn Scheduler> {
        self.scheduler.as_deref()
    }

    /// The pool as a scheduler sees it.
    #[must_use]
    pub fn pool(&self) -> Pool<'_> {
        Pool::new(&self.list, &self.servers, self.flags, self.family)
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// A TCP flow of this moment from a client to 198.51.100.1.
    #[must_use]
    pub fn flow(&self, client: [u8; 4], port: u16) -> NewFlow {
        let target = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
        NewFlow::new(self.now, 6, SocketAddr::from((client, port)), target)
    }

    /// What the scheduler picks for a flow, unchecked. `None` too if there is no scheduler.
    pub fn pick(&mut self, flow: &NewFlow) -> Option<ServerId> {
        self.told(|scheduler, pool| scheduler.pick(flow, pool)).flatten()
    }

    /// Changes the flags; a scheduler is not told, but sees them at the next pick.
    pub const fn set_flags(&mut self, flags: SchedulerFlags) {
        self.flags = flags;
    }

    /// Tells the scheduler of other tunables.
    pub fn tune(&mut self, tunables: &SchedulerTunables) {
        self.told(|scheduler, _| scheduler.tuned(tunables));
    }

    /// Lets time pass, and ticks the scheduler if it is due.
    pub fn advance(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.told(|scheduler, _| {
            if scheduler.next_tick().is_some_and(|due| due <= now) {
                scheduler.tick(now);
            }
        });
        self.empty_trash();
    }

    /// Adds a server at the head of the list. One of the same address that left and was kept aside comes back.
    pub fn add(&mut self, spec: ServerSpec) -> ServerId {
        let kept = self.trash.iter().position(|&slot| self.servers.spec(slot).address == spec.address);
        let slot = if let Some(index) = kept {
            let slot = self.trash.swap_remove(index);
            self.servers.revive(slot, spec, OWNER);
            slot
        } else {
            let key = ServiceKey::Mark { mark: 1, family: self.family };
            self.servers.insert(spec, key, OWNER).expect("fewer than 2^32 servers")
        };
        self.list.insert(0, slot);
        self.changed(|scheduler, pool| scheduler.added(pool));
        self.servers.id(slot)
    }

    /// Removes a server.
    pub fn remove(&mut self, id: ServerId) {
        let position = self.position(id);
        let slot = self.list.remove(position);
        self.servers.retire(slot);
        self.trash.push(slot);
        self.changed(|scheduler, pool| scheduler.removed(position, pool));
        self.empty_trash();
    }

    /// Gives a server another description. Its address stays.
    pub fn edit(&mut self, id: ServerId, spec: ServerSpec) {
        let position = self.position(id);
        let address = self.spec(id).address;
        self.servers.edit(id.slot, ServerSpec { address, ..spec });
        self.changed(|scheduler, pool| scheduler.edited(position, pool));
    }

    /// Gives a server another weight.
    pub fn set_weight(&mut self, id: ServerId, weight: u32) {
        self.edit(id, self.spec(id).weight(weight));
    }

    /// The description of a server.
    #[must_use]
    pub fn spec(&self, id: ServerId) -> ServerSpec {
        self.position(id);
        *self.servers.spec(id.slot)
    }

    /// One more connection, active or not.
    pub fn connect(&mut self, id: ServerId, active: bool) {
        self.check(id);
        let live = self.servers.live_mut(id.slot);
        live.bind();
        live.active += u32::from(active);
    }

    /// One connection less, if there is any: an inactive one if possible.
    pub fn disconnect(&mut self, id: ServerId) {
        self.check(id);
        let live = self.servers.live_mut(id.slot);
        if live.total > 0 {
            live.active = live.active.min(live.total - 1);
            live.unbind();
        }
    }

    /// One inactive connection, if there is any, becomes active.
    pub fn activate(&mut self, id: ServerId) {
        self.check(id);
        let live = self.servers.live_mut(id.slot);
        live.active += u32::from(live.active < live.total);
    }

    /// One active connection, if there is any, becomes inactive.
    pub fn deactivate(&mut self, id: ServerId) {
        self.check(id);
        let live = self.servers.live_mut(id.slot);
        live.active = live.active.saturating_sub(1);
    }

    /// Sets how many connections a server has, and how many of them are active; its thresholds are not asked.
    pub fn set_connections(&mut self, id: ServerId, connections: u32, active: u32) {
        self.check(id);
        let live = self.servers.live_mut(id.slot);
        (live.total, live.active) = (connections, active);
    }

    /// # Panics
    /// If the id names no server of this pool.
    fn check(&self, id: ServerId) {
        assert!(self.servers.is_available(id), "an id of a server of this pool");
    }

    fn position(&self, id: ServerId) -> usize {
        let found = self.list.iter().position(|&slot| self.servers.id(slot) == id);
        found.expect("an id of a server of this pool")
    }

    /// Calls the scheduler, if there is one, with the pool as it is.
    fn told<R>(&mut self, call: impl FnOnce(&mut dyn Scheduler, &Pool<'_>) -> R) -> Option<R> {
        let scheduler = self.scheduler.as_deref_mut()?;
        Some(call(scheduler, &Pool::new(&self.list, &self.servers, self.flags, self.family)))
    }

    /// Tells the scheduler of a change, and that it is the only one for now.
    fn changed(&mut self, hook: impl FnOnce(&mut dyn Scheduler, &Pool<'_>)) {
        let told = self.told(|scheduler, pool| {
            hook(scheduler, pool);
            scheduler.settled(pool);
        });
        let _ = told;
    }

    /// Lets go of the servers that nothing points to any more.
    fn empty_trash(&mut self) {
        let (servers, scheduler) = (&mut self.servers, self.scheduler.as_deref());
        self.trash.retain(|&slot| {
            let id = servers.id(slot);
            let is_needed = servers.live(slot).is_referenced() || scheduler.is_some_and(|s| s.remembers(id));
            if !is_needed {
                servers.free(slot);
            }
            is_needed
        });
    }
}

impl Default for TestPool {
    fn default() -> Self {
        Self::new()
    }
}

/// The only service.
const OWNER: ServiceId = ServiceId { slot: 0, generation: 0 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::LocalityLeastConnection;

    fn server(host: u8) -> ServerSpec {
        ServerSpec::nat(SocketAddr::from(([10, 0, 0, host], 80)))
    }

    #[test]
    fn new_servers_come_first_and_edits_move_none() {
        let mut pool = TestPool::new();
        let ids = [1, 2, 3].map(|host| pool.add(server(host)));
        pool.set_weight(ids[0], 9);
        let listed: Vec<_> = pool.pool().iter().map(|server| server.id()).collect();
        assert_eq!(listed, [ids[2], ids[1], ids[0]]);
    }

    #[test]
    fn a_server_that_nothing_needs_is_gone_when_removed() {
        let mut pool = TestPool::new();
        let old = pool.add(server(1));
        pool.remove(old);
        assert_ne!(pool.add(server(1)), old);
    }

    #[test]
    fn a_server_with_connections_comes_back_with_them() {
        let mut pool = TestPool::new();
        let id = pool.add(server(1));
        pool.connect(id, true);
        pool.remove(id);
        assert_eq!(pool.add(server(1)), id);
        assert_eq!(pool.pool().find(id).map(|server| server.connections()), Some(1));
    }

    #[test]
    fn a_server_that_the_scheduler_remembers_is_kept_until_forgotten() {
        let mut pool = TestPool::new().scheduled_by(LocalityLeastConnection::default());
        let id = pool.add(server(1));
        assert_eq!(pool.pick(&pool.flow([192, 168, 1, 1], 1)), Some(id));
        pool.remove(id);
        assert_eq!(pool.trash.len(), 1);
        pool.advance(Duration::from_secs(24 * 3600));
        assert!(pool.trash.is_empty());
    }

    #[test]
    fn connections_overload_a_server_by_its_thresholds() {
        let mut pool = TestPool::new();
        let id = pool.add(server(1).thresholds(2, 1));
        let overloaded = |pool: &TestPool| pool.pool().get(0).is_some_and(|server| server.is_overloaded());
        pool.connect(id, false);
        assert!(!overloaded(&pool));
        pool.connect(id, false);
        assert!(overloaded(&pool));
        pool.disconnect(id);
        assert!(overloaded(&pool));
        pool.disconnect(id);
        assert!(!overloaded(&pool));
    }
}
