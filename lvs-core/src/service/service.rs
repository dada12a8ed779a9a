//! What is kept of a virtual service: its settings, its servers in list order, its scheduler.

use alloc::boxed::Box;
use alloc::string::String;

use super::key::{ServerId, ServiceId, ServiceKey};
use super::list::List;
use super::options::ServiceOptions;
use super::server::Servers;
use super::spec::{Netmask, ServiceSpec};
use crate::addr::{Addr, Family};
use crate::sched::{NewFlow, Pool, PoolRefused, Scheduler};
use crate::stats::Counters;
use crate::stats::estimator::Estimator;
use crate::time::Instant;

/// A virtual service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) id: ServiceId,
    pub(crate) spec: ServiceSpec,
    /// Slots of its servers: the latest added first.
    pub(crate) list: List,
    /// `None` is the scheduler called `none`: nobody gets anything.
    pub(crate) scheduler: Option<Box<dyn Scheduler>>,
    /// What removed servers had counted.
    pub(crate) retired: Counters,
    pub(crate) estimator: Estimator,
    pub(crate) options: ServiceOptions,
    /// The number of its own timeouts; 0 if it has none.
    pub(crate) profile: u16,
    /// Where turns begin, if not at the head of the list.
    pub(crate) draw: Option<u64>,
}

impl Service {
    pub(crate) const fn key(&self) -> &ServiceKey {
        &self.spec.key
    }

    pub(crate) fn pool<'a>(&'a self, servers: &'a Servers) -> Pool<'a> {
        Pool::new(&self.list, servers, self.spec.flags, self.spec.key.family())
    }

    /// Asks the scheduler. An answer that is none of the service's servers counts as none.
    pub(crate) fn pick(&mut self, flow: &NewFlow, servers: &Servers) -> Option<u32> {
        let pool = Pool::new(&self.list, servers, self.spec.flags, self.spec.key.family());
        let id = self.scheduler.as_mut()?.pick(flow, &pool)?;
        self.has(id, servers).then_some(id.slot)
    }

    /// The scheduler takes up the list as it is.
    pub(crate) fn start_scheduler(&mut self, servers: &Servers, now: Instant) -> Result<(), PoolRefused> {
        let pool = Pool::new(&self.list, servers, self.spec.flags, self.spec.key.family());
        let Some(scheduler) = self.scheduler.as_mut() else { return Ok(()) };
        if self.draw.is_some() {
            scheduler.begin_at(self.draw);
        }
        scheduler.start(&pool, now)
    }

    /// What the scheduler would answer; `None` if it cannot be asked without being changed.
    pub(crate) fn would_pick(&self, flow: &NewFlow, servers: &Servers) -> Option<Option<u32>> {
        let Some(scheduler) = self.scheduler.as_ref() else { return Some(None) };
        let id = scheduler.fork()?.pick(flow, &self.pool(servers));
        Some(id.filter(|&id| self.has(id, servers)).map(|id| id.slot))
    }

    fn has(&self, id: ServerId, servers: &Servers) -> bool {
        servers.is_available(id) && servers.get(id.slot).owner == self.id
    }

    /// Tells the scheduler of a change to the list.
    pub(crate) fn tell(&mut self, servers: &Servers, hook: impl FnOnce(&mut dyn Scheduler, &Pool<'_>)) {
        let pool = Pool::new(&self.list, servers, self.spec.flags, self.spec.key.family());
        if let Some(scheduler) = self.scheduler.as_deref_mut() {
            hook(scheduler, &pool);
        }
    }

    pub(crate) fn scheduler_name(&self) -> &String {
        &self.spec.scheduler
    }

    /// The part of a client's address that persistence looks at.
    pub(crate) fn client_net(&self, client: Addr) -> Addr {
        match (self.spec.netmask, self.spec.key.family()) {
            (Some(Netmask::V4(mask)), Family::V4) => Addr::v4(client.last() & u32::from(mask)),
            (Some(Netmask::V6(prefix)), Family::V6) => client.prefix(prefix),
            _ => client,
        }
    }
}
