//! The control plane: services and servers come, change and go.
//!
//! Follows: the checks of the kernel, in its order, and the trash: a removed server is kept while connections point to
//! it, and comes back as it was when it is added again.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::{Director, sorted};
use crate::addr::{Addr, Family};
use crate::config::{Kernel, Path};
use crate::conn::flows::tell_overload;
use crate::conn::id::NONE;
use crate::error::ControlError;
use crate::persist;
use crate::sched::{Scheduler, SchedulerKind};
use crate::service::{Method, Netmask, ServerId, ServerSpec, ServiceId, ServiceKey, ServiceSpec, Tunnel};

/// The name that stands for no scheduler.
pub(super) const NO_SCHEDULER: &str = "none";
/// Longest name of a scheduler.
const NAME_MAX: usize = 15;
/// Largest weight and threshold.
const MAX_COUNT: u32 = 0x7fff_ffff;
/// Up to so many servers of a service are looked through for one of an address.
const MANY: usize = 256;
/// Longest persistence timeout: 31 days.
const MAX_PERSISTENCE: Duration = Duration::from_secs(2_678_400);

impl Director {
    /// Adds a service, as `ipvsadm -A`. New flows may reach it from the next packet on.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("wlc"))?;
    /// director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?).weight(2))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn add_service(&mut self, spec: ServiceSpec) -> Result<ServiceId, ControlError> {
        let scheduler = self.build_scheduler(&spec.scheduler)?;
        self.insert_service(spec, scheduler)
    }

    /// Adds a service with a scheduler of one's own; [`ServiceSpec::scheduler`](ServiceSpec::scheduler) is the name that
    /// listings show.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServiceSpec};
    /// use lvs_core::sched::RoundRobin;
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let spec = ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("mine");
    /// director.add_service_with(spec, Box::new(RoundRobin::default()))?;
    /// assert_eq!(director.save(), "-A -t 192.0.2.10:80 -s mine\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`add_service`](Director::add_service).
    pub fn add_service_with(
        &mut self,
        spec: ServiceSpec,
        scheduler: Box<dyn Scheduler>,
    ) -> Result<ServiceId, ControlError> {
        check_scheduler_name(&spec.scheduler)?;
        self.insert_service(spec, Some(scheduler))
    }

    fn insert_service(
        &mut self,
        spec: ServiceSpec,
        scheduler: Option<Box<dyn Scheduler>>,
    ) -> Result<ServiceId, ControlError> {
        let spec = check_service(spec)?;
        if self.control.services.find(&spec.key).is_some() {
            return Err(ControlError::ServiceExists);
        }
        self.reserve_records(&spec)?;
        let id = self.control.services.insert(spec, scheduler).ok_or(ControlError::Full)?;
        self.open_or_close();
        let now = self.now;
        let service = self.control.services.get_mut(id.slot);
        let started = service.start_scheduler(&self.servers, now);
        if started.is_err() {
            self.control.services.remove(id.slot);
            self.open_or_close();
            return Err(ControlError::TooManyServers);
        }
        let next = service.scheduler.as_ref().and_then(|scheduler| scheduler.next_tick());
        self.control.schedulers_at = [self.control.schedulers_at, next].into_iter().flatten().min();
        self.open_or_close();
        Ok(id)
    }

    /// A service with a persistence engine needs room for what the engine keeps.
    fn reserve_records(&mut self, spec: &ServiceSpec) -> Result<(), ControlError> {
        let has_room = spec.engine.is_none() || self.flows.records.reserve();
        if has_room { Ok(()) } else { Err(ControlError::Full) }
    }

    /// Gives a service another description, as `ipvsadm -E`. Connections and templates stay as they are; the scheduler
    /// starts anew only if it is another.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// director.edit_service(ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("sh"))?;
    /// assert_eq!(director.save(), "-A -t 192.0.2.10:80 -s sh\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed, but that the old scheduler has started anew if another one refused the
    /// servers ([`ControlError::TooManyServers`]).
    pub fn edit_service(&mut self, spec: ServiceSpec) -> Result<ServiceId, ControlError> {
        let slot = self.control.services.find(&plain_key(spec.key)).ok_or(ControlError::NoSuchService)?;
        let spec = check_service(spec)?;
        self.reserve_records(&spec)?;
        if *self.control.services.get(slot).scheduler_name() == spec.scheduler {
            self.control.services.replace_spec(slot, spec);
            self.open_or_close();
            return Ok(self.control.services.get(slot).id);
        }
        let scheduler = self.build_scheduler(&spec.scheduler)?;
        self.replace_scheduler(slot, spec, scheduler)
    }

    /// Gives a service another description and a scheduler of one's own, which starts on the servers that there are;
    /// [`ServiceSpec::scheduler`](ServiceSpec::scheduler) is the name that listings show.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServiceSpec};
    /// use lvs_core::sched::RoundRobin;
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let spec = ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("mine");
    /// director.edit_service_with(spec, Box::new(RoundRobin::new()))?;
    /// assert_eq!(director.save(), "-A -t 192.0.2.10:80 -s mine\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed, but that the old scheduler has started anew if the other one refused
    /// the servers ([`ControlError::TooManyServers`]).
    pub fn edit_service_with(
        &mut self,
        spec: ServiceSpec,
        scheduler: Box<dyn Scheduler>,
    ) -> Result<ServiceId, ControlError> {
        let slot = self.control.services.find(&plain_key(spec.key)).ok_or(ControlError::NoSuchService)?;
        let spec = check_service(spec)?;
        check_scheduler_name(&spec.scheduler)?;
        self.reserve_records(&spec)?;
        self.replace_scheduler(slot, spec, Some(scheduler))
    }

    /// A service goes on with another scheduler. One that refuses to start leaves the old one, which has been torn down
    /// by then and begins anew, as in the kernel.
    fn replace_scheduler(
        &mut self,
        slot: u32,
        spec: ServiceSpec,
        scheduler: Option<Box<dyn Scheduler>>,
    ) -> Result<ServiceId, ControlError> {
        let now = self.now;
        let old_spec = self.control.services.replace_spec(slot, spec);
        let service = self.control.services.get_mut(slot);
        let id = service.id;
        let had_tick = service.scheduler.as_ref().is_some_and(|scheduler| scheduler.next_tick().is_some());
        let old = core::mem::replace(&mut service.scheduler, scheduler);
        self.settle_weights(slot);
        let started = self.control.services.get_mut(slot).start_scheduler(&self.servers, now);
        if started.is_err() {
            self.control.services.replace_spec(slot, old_spec);
            self.control.services.get_mut(slot).scheduler = old;
            self.settle_weights(slot);
            // The old one may refuse as well; it then goes on with what it knows.
            let _ = self.control.services.get_mut(slot).start_scheduler(&self.servers, now);
        }
        let service = self.control.services.get(slot);
        let next = service.scheduler.as_ref().and_then(|scheduler| scheduler.next_tick());
        self.control.schedulers_at = if had_tick {
            self.next_scheduler_tick()
        } else {
            [self.control.schedulers_at, next].into_iter().flatten().min()
        };
        self.open_or_close();
        started.map(|()| id).map_err(|_| ControlError::TooManyServers)
    }

    /// Removes a service, as `ipvsadm -D`. Its connections live on until they time out; their packets to the server are
    /// dropped meanwhile, or ended, as `expire_nodest_conn` says. Without any service of their family, packets are not looked
    /// at any more, those from servers included: all are passed.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// director.remove_service(web)?;
    /// assert!(director.remove_service(web).is_err(), "the id is stale");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`]; then nothing has changed.
    pub fn remove_service(&mut self, service: ServiceId) -> Result<(), ControlError> {
        let slot = self.control.services.slot(service).ok_or(ControlError::NoSuchService)?;
        let total = self.service_total(slot);
        let removed = self.control.services.remove(slot).ok_or(ControlError::NoSuchService)?;
        self.control.retired += total;
        // The kernel takes them from the head of the list.
        for &server in &removed.list {
            self.servers.retire(server);
            self.control.drains.remove(&server);
            self.control.gone.insert(server);
            self.control.trash.push(server, &self.servers);
        }
        if !removed.list.is_empty() {
            self.start_trash();
            self.flush_connections_without_server();
        }
        if removed.scheduler.is_some_and(|scheduler| scheduler.next_tick().is_some()) {
            self.control.schedulers_at = self.next_scheduler_tick();
        }
        self.open_or_close();
        Ok(())
    }

    /// Removes every service, as `ipvsadm -C`.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -f 1 -s rr\n-A -f 2 -s rr")?;
    /// director.clear();
    /// assert!(director.services().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&mut self) {
        let ids: Vec<ServiceId> = self.control.services.iter().map(|service| service.id).collect();
        for id in ids {
            let removed = self.remove_service(id);
            debug_assert!(removed.is_ok(), "listed a moment ago");
        }
    }

    /// Adds a real server to a service, as `ipvsadm -a`. It gets new flows from the next packet on.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let server = director.add_server(web, ServerSpec::dr("10.0.0.101:80".parse()?).weight(3))?;
    /// assert_eq!(director.server(server).unwrap().spec.weight, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn add_server(&mut self, service: ServiceId, spec: ServerSpec) -> Result<ServerId, ControlError> {
        let server = self.add_one_of_many(service, spec)?;
        self.settle(service.slot);
        Ok(server)
    }

    /// The same, where others may follow before any flow comes. In the end the service is to be [settled](Self::settle).
    pub(crate) fn add_one_of_many(&mut self, service: ServiceId, spec: ServerSpec) -> Result<ServerId, ControlError> {
        let spec = ServerSpec { address: plain(spec.address), ..spec };
        let slot = self.control.services.slot(service).ok_or(ControlError::NoSuchService)?;
        let key = *self.control.services.get(slot).key();
        self.check_server(&key, &spec)?;
        if self.slot_at(slot, spec.address).is_some() {
            return Err(ControlError::ServerExists);
        }
        self.check_new_server(&key, spec.address)?;
        self.insert_server(slot, spec)
    }

    /// No more servers follow for now.
    pub(crate) fn done_with(&mut self, service: Option<ServiceId>) {
        if let Some(slot) = service.and_then(|service| self.control.services.slot(service)) {
            self.settle(slot);
        }
    }

    /// The servers of a service have changed, one or many of them: their growing weights are written anew, and its scheduler
    /// may do what it does once for all changes.
    pub(super) fn settle(&mut self, slot: u32) {
        if self.control.services.get(slot).options.slow_start.is_some() {
            self.grow(slot);
            let next = self.next_growth_of(self.control.services.get(slot));
            self.control.growth_at = [self.control.growth_at, next].into_iter().flatten().min();
        }
        self.control.services.get_mut(slot).tell(&self.servers, |scheduler, pool| scheduler.settled(pool));
    }

    /// Puts a server that was checked at the head of a service's list, which then is to be [settled](Self::settle).
    pub(super) fn insert_server(&mut self, slot: u32, spec: ServerSpec) -> Result<ServerId, ControlError> {
        let (key, service) = (*self.control.services.get(slot).key(), self.control.services.get(slot).id);
        let server = match self.take_from_trash(&key, spec.address) {
            Some(server) => {
                self.revive(server, spec, slot);
                server
            }
            None => {
                let server = self.servers.insert(spec, key, service).ok_or(ControlError::Full)?;
                self.flows.make_counters(server);
                server
            }
        };
        self.apply_path(server);
        let service = self.control.services.get_mut(slot);
        self.servers.live_mut(server).profile = service.profile;
        service.list.put_first(server);
        self.servers.get_mut(server).grows_since = None;
        self.weight_was_set(server, 0);
        let service = self.control.services.get_mut(slot);
        service.tell(&self.servers, |scheduler, pool| scheduler.added(pool));
        Ok(self.servers.id(server))
    }

    /// Gives a real server another description, as `ipvsadm -e`: weight, method, tunnel, thresholds. Live connections keep
    /// their method.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let server = director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?))?;
    /// // Quiesced: it keeps its connections and gets no new ones.
    /// director.edit_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?).weight(0))?;
    /// assert_eq!(director.server(server).unwrap().spec.weight, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError`]; then nothing has changed.
    pub fn edit_server(&mut self, service: ServiceId, spec: ServerSpec) -> Result<ServerId, ControlError> {
        let spec = ServerSpec { address: plain(spec.address), ..spec };
        let slot = self.control.services.slot(service).ok_or(ControlError::NoSuchService)?;
        self.check_server(self.control.services.get(slot).key(), &spec)?;
        let (position, server) = self.server_at(slot, spec.address).ok_or(ControlError::NoSuchServer)?;
        self.change_server(slot, position, spec);
        self.settle(slot);
        Ok(self.servers.id(server))
    }

    /// Gives the server at a position of a service's list a description that was checked. The service then is to be settled.
    pub(super) fn change_server(&mut self, slot: u32, position: usize, spec: ServerSpec) {
        let service = self.control.services.get_mut(slot);
        let server = service.list[position];
        let before = self.servers.spec(server).weight;
        let was_overloaded = self.servers.live(server).is_overloaded();
        self.servers.edit(server, spec);
        self.weight_was_set(server, before);
        tell_overload(server, was_overloaded, &self.servers, &mut self.flows.events);
        let service = self.control.services.get_mut(slot);
        service.tell(&self.servers, |scheduler, pool| scheduler.edited(position, pool));
    }

    /// Removes a real server from a service, as `ipvsadm -d`. Its connections stay, as for
    /// [`remove_service`](Director::remove_service); if it is added again in time, it takes them up.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?))?;
    /// director.remove_server(web, "10.0.0.101:8080".parse()?)?;
    /// assert!(director.services()[0].servers.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`], [`ControlError::NoSuchServer`]; then nothing has changed.
    pub fn remove_server(&mut self, service: ServiceId, address: SocketAddr) -> Result<(), ControlError> {
        let slot = self.control.services.slot(service).ok_or(ControlError::NoSuchService)?;
        let (position, _) = self.server_at(slot, address).ok_or(ControlError::NoSuchServer)?;
        self.take_server_out(slot, position);
        self.settle(slot);
        Ok(())
    }

    /// Removes the server at a position of a service's list, which then is to be settled.
    pub(super) fn take_server_out(&mut self, slot: u32, position: usize) {
        let server = self.control.services.get(slot).list[position];
        let counters = self.flows.counters.get(server as usize).copied().unwrap_or_default();
        let service = self.control.services.get_mut(slot);
        self.servers.retire(server);
        self.control.drains.remove(&server);
        self.control.gone.insert(server);
        service.list.remove(position);
        service.retired += counters;
        service.tell(&self.servers, |scheduler, pool| scheduler.removed(position, pool));
        self.control.trash.push(server, &self.servers);
        self.start_trash();
        self.flush_connections_without_server();
    }

    /// The service of a key.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Protocol, ServiceKey, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let key = ServiceKey::address(Protocol::Tcp, "192.0.2.10:80".parse()?);
    /// assert_eq!(director.find_service(&key), Some(web));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn find_service(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.control.services.find(&plain_key(*key)).map(|slot| self.control.services.get(slot).id)
    }

    /// The server of an address and port in a service.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let server = director.add_server(web, ServerSpec::nat("10.0.0.101:8080".parse()?))?;
    /// assert_eq!(director.find_server(web, "10.0.0.101:8080".parse()?), Some(server));
    /// assert_eq!(director.find_server(web, "10.0.0.101:80".parse()?), None, "the port counts");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn find_server(&self, service: ServiceId, address: SocketAddr) -> Option<ServerId> {
        let slot = self.control.services.slot(service)?;
        self.slot_at(slot, address).map(|server| self.servers.id(server))
    }

    /// Sets the counters of a service to zero, as `ipvsadm -Z`; those of all services and of the director for `None`.
    ///
    /// What was counted since the last two-second tick shows up after it.
    ///
    /// ```
    /// use lvs_core::{Config, ControlError, Director, ServiceId};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.run("-A -t 192.0.2.10:80")?;
    /// let web = director.services()[0].id;
    /// director.zero(Some(web))?;
    /// assert_eq!(director.services()[0].stats.connections, 0);
    /// director.zero(None)?;
    /// assert_eq!(director.zero(Some(ServiceId::from_parts(7, 0))), Err(ControlError::NoSuchService));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`]; then nothing has changed.
    pub fn zero(&mut self, service: Option<ServiceId>) -> Result<(), ControlError> {
        let slots = match service {
            Some(id) => alloc::vec![self.control.services.slot(id).ok_or(ControlError::NoSuchService)?],
            None => {
                self.control.estimator.zero();
                self.control.services.slots()
            }
        };
        for slot in slots {
            let service = self.control.services.get_mut(slot);
            service.estimator.zero();
            for &server in &service.list {
                self.servers.get_mut(server).estimator.zero();
            }
        }
        Ok(())
    }

    /// Tells the way to an address: MTU, source of tunnels, whether there is one at all. Holds for servers there are and
    /// for those to come.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Path};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// // A tunnel to this server starts at 10.0.0.1 and goes through a link of 1400 bytes.
    /// let server = "10.0.0.101".parse()?;
    /// director.set_path(server, Path::new(1400).tunnel_source("10.0.0.1".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_path(&mut self, address: IpAddr, path: Path) {
        self.control.paths.insert(address, path);
        let mut server = self.servers.latest_at(address);
        while server != NONE {
            self.apply_path(server);
            server = self.servers.before(server);
        }
    }

    /// Tells the host's own addresses anew, as in [`Config::local_addresses`](crate::Config::local_addresses).
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.set_local_addresses(vec!["192.0.2.10".parse()?, "2001:db8::10".parse()?]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_local_addresses(&mut self, addresses: Vec<IpAddr>) {
        self.settings.local = sorted(addresses);
        for server in 0..u32::try_from(self.servers.slots()).unwrap_or(u32::MAX) {
            if self.servers.is_in_use(server) {
                self.apply_path(server);
            }
        }
    }

    /// Tells the broadcast addresses of the host's own networks, instead of those told before: as in the kernel, no new
    /// server can have one of them, and no packet to them goes past all servers. Servers that are there stay. At first
    /// none is known.
    ///
    /// ```
    /// use lvs_core::{Config, ControlError, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.set_broadcast_addresses(vec!["10.0.255.255".parse()?]);
    /// let web = director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse()?))?;
    /// let refused = director.add_server(web, ServerSpec::nat("10.0.255.255:80".parse()?));
    /// assert_eq!(refused, Err(ControlError::AddressNotUnicast));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_broadcast_addresses(&mut self, addresses: Vec<Ipv4Addr>) {
        self.settings.broadcast = addresses;
    }

    /// Tells the host's addresses towards the clients anew, as in [`Config::address_v4`](crate::Config::address_v4).
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.set_client_side_addresses(Some("198.51.100.1".parse()?), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_client_side_addresses(&mut self, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) {
        (self.settings.address_v4, self.settings.address_v6) = (v4, v6);
    }

    /// Forgets what [`set_path`](Director::set_path) told of an address: the configuration's path holds for it again.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Path};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let server = "10.0.0.101".parse()?;
    /// director.set_path(server, Path::new(1400));
    /// director.clear_path(server);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear_path(&mut self, address: IpAddr) {
        let path = self.control.default_path;
        self.set_path(address, path);
        self.control.paths.remove(&address);
    }

    /// Writes what the packet path needs to know of the way to a server.
    pub(super) fn apply_path(&mut self, server: u32) {
        let address = self.servers.spec(server).address.ip();
        let path = self.control.paths.get(&address).unwrap_or(&self.control.default_path);
        let source = path.source(Family::of(address));
        self.servers.forget(server);
        self.servers.get_mut(server).tunnel_source = Addr::from_ip(source);
        let live = self.servers.live_mut(server);
        live.mtu = path.mtu;
        live.reachable = path.reachable;
        live.local = address.is_loopback() || self.settings.is_local(address);
    }

    /// Position in the list, and slot, of a service's server.
    pub(super) fn server_at(&self, service: u32, address: SocketAddr) -> Option<(usize, u32)> {
        let server = self.slot_at(service, address)?;
        let position = self.control.services.get(service).list.iter().position(|&other| other == server)?;
        Some((position, server))
    }

    /// The slot of a service's server.
    fn slot_at(&self, service: u32, address: SocketAddr) -> Option<u32> {
        let service = self.control.services.get(service);
        let same = |server: &u32| {
            self.servers.live(*server).address == address.ip()
                && self.servers.spec(*server).address.port() == address.port()
        };
        if service.list.len() > MANY {
            // Mostly fewer servers have the address, in whatever services, than the service has servers.
            let is_it = |server: &u32| {
                same(server)
                    && self.servers.live(*server).is_available()
                    && self.servers.get(*server).owner == service.id
            };
            let mut server = self.servers.latest_at(address.ip());
            for _ in 0..service.list.len() {
                match server {
                    NONE => return None,
                    _ if is_it(&server) => return Some(server),
                    _ => server = self.servers.before(server),
                }
            }
        }
        service.list.iter().copied().find(same)
    }

    /// Takes a server of this address out of the trash, if it once belonged to a service of this key.
    fn take_from_trash(&mut self, key: &ServiceKey, address: SocketAddr) -> Option<u32> {
        let server = self.control.trash.take(key, address, &self.servers)?;
        if self.control.trash.is_empty() {
            self.control.trash_at = None;
        }
        Some(server)
    }

    /// Refuses a server whose address no server can have. One that was there before comes back unasked.
    pub(super) fn check_new_server(&self, key: &ServiceKey, address: SocketAddr) -> Result<(), ControlError> {
        if self.control.trash.has(key, address, &self.servers) { Ok(()) } else { self.check_address(address.ip()) }
    }

    /// Puts a server from the trash into a service: with its statistics if the service is the one that it left, else as
    /// after a zeroing, so that what was counted since its last tick shows up again.
    fn revive(&mut self, server: u32, spec: ServerSpec, service: u32) {
        let id = self.control.services.get(service).id;
        let counters = self.flows.counters.get(server as usize).copied().unwrap_or_default();
        self.control.services.get_mut(service).retired -= counters;
        if self.servers.get(server).owner != id {
            self.servers.get_mut(server).estimator.zero();
        }
        let was_overloaded = self.servers.live(server).is_overloaded();
        self.servers.revive(server, spec, id);
        tell_overload(server, was_overloaded, &self.servers, &mut self.flows.events);
    }

    /// Refuses what no server of a service can be.
    pub(super) fn check_server(&self, service: &ServiceKey, spec: &ServerSpec) -> Result<(), ControlError> {
        self.check_family(service.family(), Family::of(spec.address.ip()))?;
        check_server(service, spec, self.servers.kernel())
    }

    /// Refuses addresses that no server can have.
    fn check_address(&self, address: IpAddr) -> Result<(), ControlError> {
        let refused = match address {
            IpAddr::V4(a) => {
                a.is_unspecified() || a.is_multicast() || a.is_broadcast() || self.settings.broadcast.contains(&a)
            }
            IpAddr::V6(a) => {
                let link_local = a.segments()[0] & 0xffc0 == 0xfe80;
                let is_mapped = a.to_ipv4_mapped().is_some();
                (a.is_unspecified() || a.is_multicast() || link_local || is_mapped) && !self.settings.is_local(address)
            }
        };
        if refused { Err(ControlError::AddressNotUnicast) } else { Ok(()) }
    }

    fn build_scheduler(&mut self, name: &str) -> Result<Option<Box<dyn Scheduler>>, ControlError> {
        if name == NO_SCHEDULER {
            return Ok(None);
        }
        let kind = SchedulerKind::from_name(name).ok_or(ControlError::NoSuchScheduler)?;
        let seed = self.control.rng.next_u64();
        Ok(Some(kind.build(seed, self.scheduler_tunables())))
    }
}

/// Address without scope and flow label, which no packet shows.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

pub(super) fn plain_key(key: ServiceKey) -> ServiceKey {
    match key {
        ServiceKey::Address { protocol, address } => ServiceKey::Address { protocol, address: plain(address) },
        ServiceKey::Mark { .. } => key,
    }
}

/// A scheduler of one's own needs a name that is one word of a rule.
fn check_scheduler_name(name: &str) -> Result<(), ControlError> {
    let is_word = name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '#'));
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with('-') || !is_word {
        return Err(ControlError::SchedulerName);
    }
    Ok(())
}

pub(super) fn check_service(mut spec: ServiceSpec) -> Result<ServiceSpec, ControlError> {
    spec.key = plain_key(spec.key);
    if let ServiceKey::Mark { mark: 0, .. } = spec.key {
        return Err(ControlError::MarkZero);
    }
    if spec.engine.as_deref().is_some_and(|name| name != persist::SIP) {
        return Err(ControlError::NoSuchEngine);
    }
    let fits = match (spec.netmask, spec.key.family()) {
        (None, _) | (Some(Netmask::V4(_)), Family::V4) => true,
        (Some(Netmask::V6(prefix)), Family::V6) => (1..=128).contains(&prefix),
        _ => false,
    };
    if !fits {
        return Err(ControlError::NetmaskRange);
    }
    let timeout = spec.persistence.map_or(Duration::from_secs(1), |p| p.timeout);
    if timeout.subsec_nanos() != 0 || timeout.is_zero() || timeout > MAX_PERSISTENCE {
        return Err(ControlError::TimeoutRange);
    }
    Ok(spec)
}

fn check_server(service: &ServiceKey, spec: &ServerSpec, kernel: Kernel) -> Result<(), ControlError> {
    if Family::of(spec.address.ip()) != service.family() && spec.method != Method::Tun {
        return Err(ControlError::FamilyNeedsTunnel);
    }
    if spec.weight > MAX_COUNT {
        return Err(ControlError::WeightRange);
    }
    if spec.lower > spec.upper || spec.upper > MAX_COUNT && kernel != Kernel::Older {
        return Err(ControlError::ThresholdRange);
    }
    match spec.tunnel {
        Tunnel::Gue { port: 0, .. } if spec.method == Method::Tun => Err(ControlError::TunnelPort),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::{NewFlow, Pool, PoolRefused, RoundRobin};
    use crate::testkit::packets;
    use crate::{Config, Instant, Meta, Packet, Verdict};
    use alloc::string::{String, ToString};

    /// Refuses whatever it is to start on.
    #[derive(Debug)]
    struct Refuser;

    impl Scheduler for Refuser {
        fn pick(&mut self, _flow: &NewFlow, _pool: &Pool<'_>) -> Option<ServerId> {
            None
        }

        fn start(&mut self, _pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
            Err(PoolRefused)
        }
    }

    fn web() -> ServiceSpec {
        ServiceSpec::tcp("192.0.2.10:80".parse().unwrap()).scheduler("rr")
    }

    fn next(director: &mut Director, port: u16) -> String {
        let mut syn = packets::tcp(&alloc::format!("198.51.100.9:{port}"), "192.0.2.10:80").syn().build();
        match director.process(Instant::ZERO, &mut Packet::whole(&mut syn), Meta::default()) {
            Verdict::Forward(out) => out.next_hop.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_scheduler_that_refuses_leaves_the_old_one_which_starts_anew() {
        let mut director = Director::new(Config::with_seed(7)).unwrap();
        let service = director.add_service(web()).unwrap();
        for host in 1..=3 {
            director.add_server(service, ServerSpec::nat(([10, 0, 0, host], 80).into())).unwrap();
        }
        assert_eq!(next(&mut director, 1), "10.0.0.3");
        let spec = web().scheduler("mine").persistent(Duration::from_secs(60));
        assert_eq!(director.edit_service_with(spec, Box::new(Refuser)), Err(ControlError::TooManyServers));
        assert_eq!(director.services()[0].spec, web(), "the description is the old one");
        assert_eq!(next(&mut director, 2), "10.0.0.3", "the turn has begun anew");
    }

    #[test]
    fn a_scheduler_of_ones_own_takes_over_the_servers() {
        let mut director = Director::new(Config::with_seed(7)).unwrap();
        let service = director.add_service(web().scheduler("wlc")).unwrap();
        director.add_server(service, ServerSpec::nat(([10, 0, 0, 1], 80).into())).unwrap();
        assert_eq!(director.edit_service_with(web().scheduler("two words"), Box::new(RoundRobin::new())).err(), {
            Some(ControlError::SchedulerName)
        });
        assert_eq!(director.edit_service_with(web().scheduler("mine"), Box::new(RoundRobin::new())), Ok(service));
        assert_eq!(next(&mut director, 1), "10.0.0.1");
        let other = ServiceSpec::tcp("192.0.2.10:81".parse().unwrap()).scheduler("mine");
        assert_eq!(director.edit_service_with(other, Box::new(RoundRobin::new())), Err(ControlError::NoSuchService));
    }
}
