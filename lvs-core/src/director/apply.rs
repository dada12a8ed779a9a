//! From the configuration there is to a wanted one, by the shortest way.
//!
//! Owns: the difference, all of it checked before any of it is carried out. Leaves to others: reading the text
//! (`control::wanted`), and each single change (`services`).

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::Director;
use super::services::{NO_SCHEDULER, check_service, plain, plain_key};
use crate::control::wanted::{self, WantedService};
use crate::control::{flags, parse};
use crate::error::{ApplyError, ControlError, RuleError};
use crate::sched::{Pool, SchedulerKind};
use crate::service::{Method, Netmask, ServerSpec, ServiceKey, ServiceSpec};

/// What [`Director::apply`] did.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Services that are new.
    pub services_added: Vec<ServiceKey>,
    /// Services whose description is another now.
    pub services_changed: Vec<ServiceKey>,
    /// Services that are gone.
    pub services_removed: Vec<ServiceKey>,
    /// Services whose description stayed. Their servers may have changed.
    pub services_unchanged: usize,
    /// Servers that are new, those of new services included.
    pub servers_added: Vec<(ServiceKey, SocketAddr)>,
    /// Servers whose description is another now.
    pub servers_changed: Vec<(ServiceKey, SocketAddr)>,
    /// Servers that are gone, those of services that are gone included.
    pub servers_removed: Vec<(ServiceKey, SocketAddr)>,
    /// Servers that stayed as they were.
    pub servers_unchanged: usize,
}

impl Applied {
    /// True if there was nothing to do.
    #[must_use]
    pub const fn is_unchanged(&self) -> bool {
        self.services_added.is_empty()
            && self.services_changed.is_empty()
            && self.services_removed.is_empty()
            && self.servers_added.is_empty()
            && self.servers_changed.is_empty()
            && self.servers_removed.is_empty()
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("services", [&self.services_added, &self.services_changed, &self.services_removed].map(Vec::len)),
            ("; servers", [&self.servers_added, &self.servers_changed, &self.servers_removed].map(Vec::len)),
        ];
        for ((noun, [added, changed, removed]), unchanged) in
            rows.into_iter().zip([self.services_unchanged, self.servers_unchanged])
        {
            write!(f, "{noun}: {added} added, {changed} changed, {removed} removed, {unchanged} unchanged")?;
        }
        Ok(())
    }
}

/// Where a wanted configuration cannot be had: a service by its number, one of its servers, and why.
struct Refused {
    service: usize,
    server: Option<usize>,
    error: ControlError,
}

impl Director {
    /// Makes the rules what a text says, `-A` and `-a` lines as `ipvsadm -S` writes them, and touches nothing else.
    ///
    /// What the text does not name is removed, what is new is added, what is described otherwise is changed in place. The
    /// rest keeps everything: connections, counts, statistics, the state of the scheduler, the order of the list.
    /// Connections of servers that are removed live on as for [`remove_server`](Director::remove_server). New servers come
    /// first in their list, the last of the text before the others, as [`load`](Director::load) would put them there.
    ///
    /// Applying what [`save`](Director::save) wrote changes nothing. To that end descriptions are compared as far as a
    /// saved text tells them apart, and a server that is there keeps its thresholds unless its line names one of them
    /// (`-x`, `-y`; `-x 0` takes them away). A service whose scheduler is one's own keeps it under its name. A server
    /// that is being [drained](Director::drain) goes on with that.
    ///
    /// The work is proportional to the length of the text and to the number of services and servers there are, whatever the
    /// schedulers. One of one's own is told of each change.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -m\n-a -t 192.0.2.10:80 -r 10.0.0.2 -m")?;
    /// let saved = director.save();
    /// assert!(director.apply(&saved)?.is_unchanged());
    ///
    /// let done = director.apply("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.2 -m -w 0\n-A -f 5")?;
    /// assert_eq!(
    ///     done.to_string(),
    ///     "services: 1 added, 0 changed, 0 removed, 1 unchanged; servers: 0 added, 1 changed, 1 removed, 0 unchanged",
    /// );
    ///
    /// let error = director.apply("-A -f 5\n-a -f 5 -r 224.0.0.1 -m").unwrap_err();
    /// assert_eq!((error.line, error.word.as_str()), (2, "224.0.0.1"));
    /// assert_eq!(director.services().len(), 2, "a refused text changes nothing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// For the first line that cannot be read or had, or says anything but `-A` and `-a`; then nothing has changed.
    pub fn apply(&mut self, text: &str) -> Result<Applied, RuleError> {
        let wanted = wanted::read(text)?;
        self.carry_out(&wanted).map_err(|refused| {
            let number = wanted[refused.service].line(refused.server);
            let line = text.lines().nth((number as usize).saturating_sub(1)).unwrap_or_default();
            RuleError { line: number, ..parse::refusal(line, refused.error) }
        })
    }

    /// The same for plain values: services, each with its servers. Thresholds are as the values say.
    ///
    /// ```
    /// use lvs_core::{Config, Director, ServerSpec, ServiceSpec};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let web = ServiceSpec::tcp("192.0.2.10:80".parse()?);
    /// let server = ServerSpec::nat("10.0.0.1:80".parse()?);
    /// let done = director.apply_specs(&[(web.clone(), vec![server])])?;
    /// assert_eq!((done.services_added.len(), done.servers_added.len()), (1, 1));
    /// let done = director.apply_specs(&[(web, vec![server.weight(5)])])?;
    /// assert_eq!(done.servers_changed[0].1, "10.0.0.1:80".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ApplyError`]: the service, and the server if it is to blame; then nothing has changed.
    pub fn apply_specs(&mut self, wanted: &[(ServiceSpec, Vec<ServerSpec>)]) -> Result<Applied, ApplyError> {
        let wanted: Vec<_> = wanted.iter().map(|(spec, servers)| WantedService::of(spec, plainly(servers))).collect();
        self.carry_out(&wanted).map_err(|refused| {
            let service = &wanted[refused.service];
            let server = refused.server.map(|index| service.servers[index].address);
            ApplyError { service: service.spec.key, server, error: refused.error }
        })
    }

    fn carry_out(&mut self, wanted: &[WantedService<'_>]) -> Result<Applied, Refused> {
        let changes = self.check(wanted)?;
        let mut applied = Applied::default();
        self.remove_unwanted(wanted, &mut applied);
        for (index, (service, change)) in wanted.iter().zip(changes).enumerate() {
            let done = match change {
                Change::Nothing => {
                    applied.services_unchanged += 1;
                    applied.servers_unchanged += service.servers.len();
                    Ok(())
                }
                Change::To(spec) => match self.control.services.find(&spec.key) {
                    Some(slot) => self.adapt(slot, spec, service, &mut applied),
                    None => self.build(spec, service, &mut applied),
                },
            };
            // Everything was checked: only want of numbers could speak against it.
            done.map_err(|error| Refused { service: index, server: None, error })?;
        }
        Ok(applied)
    }

    /// What is to be done about each of the wanted services, if all of them can be had.
    fn check(&self, wanted: &[WantedService<'_>]) -> Result<Vec<Change>, Refused> {
        let mut keys = BTreeSet::new();
        let mut changes = Vec::with_capacity(wanted.len());
        for (index, service) in wanted.iter().enumerate() {
            let refused = |error| Refused { service: index, server: None, error };
            let spec = check_service(service.spec.clone().into_owned()).map_err(refused)?;
            if !keys.insert(spec.key) {
                return Err(refused(ControlError::ServiceExists));
            }
            let present = self.control.services.find(&spec.key);
            if present.is_some_and(|slot| self.is_as_wanted(slot, &spec, service)) {
                changes.push(Change::Nothing);
                continue;
            }
            self.check_servers(&spec.key, &service.servers).map_err(|(server, error)| Refused {
                service: index,
                server: Some(server),
                error,
            })?;
            self.check_scheduler(&spec, &service.servers).map_err(refused)?;
            changes.push(Change::To(spec));
        }
        Ok(changes)
    }

    /// True if a service and its servers are what is wanted, and so cannot be refused.
    fn is_as_wanted(&self, slot: u32, spec: &ServiceSpec, wanted: &WantedService<'_>) -> bool {
        let service = self.control.services.get(slot);
        // As many, each of them wanted, and no two at one address: then none is wanted twice.
        if service.list.len() != wanted.servers.len() || !is_same_service(&service.spec, spec) {
            return false;
        }
        let mut finder = Finder::new(&wanted.servers);
        service.list.iter().all(|&server| {
            let present = self.servers.spec(server);
            finder.find(present.address).is_some_and(|place| is_same_server(present, &wanted.server(place, present)))
        })
    }

    fn check_servers(&self, key: &ServiceKey, servers: &[ServerSpec]) -> Result<(), (usize, ControlError)> {
        let by_address = by_address(servers);
        let twice = by_address.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).min();
        let mut present = self.addresses(key);
        present.sort_unstable();
        for (index, server) in servers.iter().enumerate() {
            if Some(index) == twice {
                return Err((index, ControlError::ServerExists));
            }
            self.check_server(key, server).map_err(|error| (index, error))?;
            if present.binary_search(&server.address).is_err() {
                self.check_new_server(key, server.address).map_err(|error| (index, error))?;
            }
        }
        Ok(())
    }

    fn addresses(&self, key: &ServiceKey) -> Vec<SocketAddr> {
        let Some(slot) = self.control.services.find(key) else { return Vec::new() };
        self.control.services.get(slot).list.iter().map(|&server| self.servers.spec(server).address).collect()
    }

    /// The scheduler of a name has to exist, unless the service has one of that name; and another one than before must
    /// be able to work on the servers that stay.
    fn check_scheduler(&self, spec: &ServiceSpec, servers: &[ServerSpec]) -> Result<(), ControlError> {
        let present = self.control.services.find(&spec.key).map(|slot| self.control.services.get(slot));
        if spec.scheduler == NO_SCHEDULER || present.is_some_and(|service| *service.scheduler_name() == spec.scheduler)
        {
            return Ok(());
        }
        let kind = SchedulerKind::from_name(&spec.scheduler).ok_or(ControlError::NoSuchScheduler)?;
        let Some(service) = present else { return Ok(()) };
        let mut finder = Finder::new(servers);
        let stays = |server: &&u32| finder.find(self.servers.spec(**server).address).is_some();
        let list: Vec<u32> = service.list.iter().filter(stays).copied().collect();
        let pool = Pool::new(&list, &self.servers, spec.flags, spec.key.family());
        let started = kind.build(0, self.scheduler_tunables()).start(&pool, self.now);
        started.map_err(|_| ControlError::TooManyServers)
    }

    fn remove_unwanted(&mut self, wanted: &[WantedService<'_>], applied: &mut Applied) {
        let keys: BTreeSet<ServiceKey> = wanted.iter().map(|service| plain_key(service.spec.key)).collect();
        for slot in self.control.services.slots() {
            let service = self.control.services.get(slot);
            let (id, key) = (service.id, *service.key());
            if !keys.contains(&key) {
                applied.services_removed.push(key);
                applied.servers_removed.extend(self.addresses(&key).into_iter().map(|address| (key, address)));
                let removed = self.remove_service(id);
                debug_assert!(removed.is_ok(), "listed a moment ago");
            }
        }
    }

    /// A service that is there becomes what is wanted.
    fn adapt(
        &mut self,
        slot: u32,
        spec: ServiceSpec,
        wanted: &WantedService<'_>,
        applied: &mut Applied,
    ) -> Result<(), ControlError> {
        let key = spec.key;
        let mut finder = Finder::new(&wanted.servers);
        let mut is_there = alloc::vec![false; wanted.servers.len()];
        for position in (0..self.control.services.get(slot).list.len()).rev() {
            let address = self.servers.spec(self.control.services.get(slot).list[position]).address;
            match finder.find(address) {
                Some(index) => is_there[index] = true,
                None => {
                    self.take_server_out(slot, position);
                    applied.servers_removed.push((key, address));
                }
            }
        }
        if is_same_service(&self.control.services.get(slot).spec, &spec) {
            applied.services_unchanged += 1;
        } else {
            self.edit_service(spec)?;
            applied.services_changed.push(key);
        }
        for position in 0..self.control.services.get(slot).list.len() {
            let present = *self.servers.spec(self.control.services.get(slot).list[position]);
            let Some(place) = finder.find(present.address) else { continue };
            let spec = wanted.server(place, &present);
            if is_same_server(&present, &spec) {
                applied.servers_unchanged += 1;
            } else {
                self.change_server(slot, position, spec);
                applied.servers_changed.push((key, spec.address));
            }
        }
        let new = wanted.servers.iter().zip(is_there).filter(|(_, is_there)| !is_there).map(|(server, _)| server);
        self.add_servers(slot, new, applied)
    }

    fn build(
        &mut self,
        spec: ServiceSpec,
        wanted: &WantedService<'_>,
        applied: &mut Applied,
    ) -> Result<(), ControlError> {
        let key = spec.key;
        let id = self.add_service(spec)?;
        applied.services_added.push(key);
        self.add_servers(id.slot, wanted.servers.iter(), applied)
    }

    fn add_servers<'a>(
        &mut self,
        slot: u32,
        servers: impl Iterator<Item = &'a ServerSpec>,
        applied: &mut Applied,
    ) -> Result<(), ControlError> {
        let key = *self.control.services.get(slot).key();
        let mut done = Ok(());
        for server in servers {
            done = self.insert_server(slot, *server).map(|_| applied.servers_added.push((key, server.address)));
            if done.is_err() {
                break;
            }
        }
        self.settle(slot);
        done
    }
}

/// What is to be done about a service.
enum Change {
    Nothing,
    /// It and its servers are to become what is wanted, or to be made.
    To(ServiceSpec),
}

/// Finds servers by address: mostly beside the one that was found last, since lists that are compared have the same order, or
/// the opposite one.
struct Finder<'a> {
    servers: &'a [ServerSpec],
    latest: Option<usize>,
    /// All of them, sorted, as soon as that is needed.
    sorted: Vec<(SocketAddr, usize)>,
}

impl<'a> Finder<'a> {
    const fn new(servers: &'a [ServerSpec]) -> Self {
        Self { servers, latest: None, sorted: Vec::new() }
    }

    fn find(&mut self, address: SocketAddr) -> Option<usize> {
        let likely = match self.latest {
            Some(place) => [place.wrapping_add(1), place.wrapping_sub(1)],
            None => [0, self.servers.len().wrapping_sub(1)],
        };
        let is_it = |&place: &usize| self.servers.get(place).is_some_and(|server| server.address == address);
        let found = likely.into_iter().find(is_it).or_else(|| self.search(address));
        self.latest = found.or(self.latest);
        found
    }

    fn search(&mut self, address: SocketAddr) -> Option<usize> {
        if self.sorted.is_empty() {
            self.sorted = by_address(self.servers);
        }
        let at = self.sorted.binary_search_by_key(&address, |&(address, _)| address).ok()?;
        self.sorted.get(at).map(|&(_, place)| place)
    }
}

/// The addresses of servers, sorted, each with its place.
fn by_address(servers: &[ServerSpec]) -> Vec<(SocketAddr, usize)> {
    let mut sorted: Vec<_> = servers.iter().enumerate().map(|(place, server)| (server.address, place)).collect();
    sorted.sort_unstable();
    sorted
}

/// Servers without what no packet shows of their addresses.
fn plainly(servers: &[ServerSpec]) -> Cow<'_, [ServerSpec]> {
    let of = |server: &ServerSpec| ServerSpec { address: plain(server.address), ..*server };
    if servers.iter().all(|server| server.address == plain(server.address)) {
        Cow::Borrowed(servers)
    } else {
        Cow::Owned(servers.iter().map(of).collect())
    }
}

/// The same as far as it matters: a mask counts with persistence only, and flags as far as they have names.
fn is_same_service(a: &ServiceSpec, b: &ServiceSpec) -> bool {
    let mask = |spec: &ServiceSpec| {
        spec.persistence.and(spec.netmask).filter(|mask| match mask {
            Netmask::V4(mask) => !mask.is_broadcast(),
            Netmask::V6(prefix) => *prefix != 128,
        })
    };
    a.scheduler == b.scheduler
        && flags::names(&a.scheduler, a.flags).eq(flags::names(&b.scheduler, b.flags))
        && (a.one_packet, a.persistence, &a.engine) == (b.one_packet, b.persistence, &b.engine)
        && mask(a) == mask(b)
}

/// The same as far as it matters: a kind of tunnel counts with the tunnel method only.
fn is_same_server(a: &ServerSpec, b: &ServerSpec) -> bool {
    let tunnel = if a.method == Method::Tun { a.tunnel } else { b.tunnel };
    ServerSpec { tunnel, ..*a } == ServerSpec { tunnel: b.tunnel, ..*b }
}
