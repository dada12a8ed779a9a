//! Finding services: by key, by id, and by what a packet shows, in the kernel's order.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use hashbrown::{HashMap, HashTable};

use super::key::{FTP_DATA_PORT, FTP_PORT, ServiceId, ServiceKey};
use super::list::List;
use super::options::ServiceOptions;
use super::roster::count_one;
use super::service::Service;
use super::spec::ServiceSpec;
use crate::addr::{Addr, Family};
use crate::conn::hash::HashKey;
use crate::flow::{Protocol, Tuple};
use crate::sched::Scheduler;
use crate::stats::Counters;
use crate::stats::estimator::Estimator;

/// From this port on a program needs no privilege: where passive FTP data may go.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// All services of a director.
#[derive(Debug)]
pub(crate) struct Services {
    slots: Vec<Option<Box<Service>>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    hash: HashKey,
    /// How many services have port 0 (firewall marks included), and how many have the FTP port.
    wildcards: u32,
    ftp: u32,
    /// How many services an address has, by protocol.
    addresses: HashMap<(IpAddr, u8), u32, HashKey>,
    /// How many have a persistence engine.
    engines: u32,
    /// How many there are of IPv4, and of IPv6.
    families: [u32; 2],
    /// True from the first service on, for ever.
    enabled: bool,
}

impl Services {
    pub(crate) fn new(hash: HashKey) -> Self {
        Self {
            slots: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            addresses: HashMap::with_hasher(hash.clone()),
            hash,
            wildcards: 0,
            ftp: 0,
            engines: 0,
            families: [0; 2],
            enabled: false,
        }
    }

    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// True while there is a service of a family.
    pub(crate) const fn have(&self, family: Family) -> bool {
        self.families[family.index()] > 0
    }

    /// True while a service has a persistence engine.
    pub(crate) const fn have_engine(&self) -> bool {
        self.engines > 0
    }

    /// Gives a service another description of the same key; returns the old one.
    pub(crate) fn replace_spec(&mut self, slot: u32, spec: ServiceSpec) -> ServiceSpec {
        self.engines = self.engines.wrapping_add(u32::from(spec.engine.is_some()));
        let old = core::mem::replace(&mut self.get_mut(slot).spec, spec);
        self.engines = self.engines.wrapping_sub(u32::from(old.engine.is_some()));
        old
    }

    fn hash(&self, key: &ServiceKey) -> u64 {
        let [a, b, c, d] = match key {
            ServiceKey::Address { address, .. } => Addr::from_ip(address.ip()).0.map(u64::from),
            ServiceKey::Mark { mark, .. } => [0, 0, 0, u64::from(*mark)],
        };
        let kind = match key {
            ServiceKey::Address { protocol, address } => u64::from(protocol.number()) << 16 | u64::from(address.port()),
            ServiceKey::Mark { .. } => 0,
        };
        self.hash.words(&[a << 32 | b, c << 32 | d, kind << 8 | key.family() as u64])
    }

    pub(crate) fn find(&self, key: &ServiceKey) -> Option<u32> {
        let matches = |slot: &u32| self.slots[*slot as usize].as_ref().is_some_and(|s| s.key() == key);
        self.by_key.find(self.hash(key), matches).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> &Service {
        self.slots[slot as usize].as_ref().expect("a slot found by key or id is in use")
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Service {
        self.slots[slot as usize].as_mut().expect("a slot found by key or id is in use")
    }

    /// The slot of an id, if that service still exists.
    pub(crate) fn slot(&self, id: ServiceId) -> Option<u32> {
        let service = self.slots.get(id.slot as usize)?.as_ref()?;
        (service.id == id).then_some(id.slot)
    }

    /// Adds a service whose key is not there yet; `None` if there are 2^32.
    pub(crate) fn insert(&mut self, spec: ServiceSpec, scheduler: Option<Box<dyn Scheduler>>) -> Option<ServiceId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(None);
                self.generations.push(0);
                slot
            }
        };
        let id = ServiceId { slot, generation: self.generations[slot as usize] };
        let hash = self.hash(&spec.key);
        self.count(&spec, true);
        self.enabled = true;
        self.slots[slot as usize] = Some(Box::new(Service {
            id,
            spec,
            list: List::default(),
            scheduler,
            retired: Counters::default(),
            estimator: Estimator::default(),
            options: ServiceOptions::default(),
            profile: 0,
            draw: None,
        }));
        self.link(slot, hash);
        Some(id)
    }

    fn link(&mut self, slot: u32, hash: u64) {
        // The table may grow and ask for the hashes of what it holds: a look at the services, which stay as they are.
        let mut by_key = core::mem::take(&mut self.by_key);
        by_key.insert_unique(hash, slot, |&other| self.hash(self.get(other).key()));
        self.by_key = by_key;
    }

    /// Removes a service.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<Service>> {
        let service = self.slots[slot as usize].take()?;
        let hash = self.hash(service.key());
        if let Ok(entry) = self.by_key.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        self.count(&service.spec, false);
        self.generations[slot as usize] = self.generations[slot as usize].wrapping_add(1);
        self.free.push(slot);
        Some(service)
    }

    fn count(&mut self, spec: &ServiceSpec, added: bool) {
        let by = |n: &mut u32, counts: bool| {
            if counts {
                *n = if added { n.wrapping_add(1) } else { n.wrapping_sub(1) };
            }
        };
        by(&mut self.wildcards, spec.key.port() == 0);
        by(&mut self.ftp, spec.key.port() == FTP_PORT);
        by(&mut self.engines, spec.engine.is_some());
        by(&mut self.families[spec.key.family().index()], true);
        if let ServiceKey::Address { protocol, address } = spec.key {
            count_one(&mut self.addresses, (address.ip(), protocol.number()), added);
        }
    }

    /// Could a packet to this address be for a service, whatever its port?
    pub(crate) fn may_be_for(&self, destination: IpAddr, protocol: u8, mark: u32) -> bool {
        self.addresses.contains_key(&(destination, protocol)) || self.by_mark(mark, Family::of(destination)).is_some()
    }

    /// The services, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Service> {
        self.slots.iter().filter_map(|service| service.as_deref())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Service> {
        self.slots.iter_mut().filter_map(|service| service.as_deref_mut())
    }

    /// The first slot in use from `from` on.
    pub(crate) fn next_slot(&self, from: u32) -> Option<u32> {
        let rest = self.slots.get(from as usize..)?;
        (from..).zip(rest).find(|(_, service)| service.is_some()).map(|(slot, _)| slot)
    }

    /// The slots in use.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.iter().map(|service| service.id.slot).collect()
    }

    /// The service of a new flow: by mark, by address and port, as FTP data of the FTP service, by address alone.
    pub(crate) fn lookup(&self, tuple: &Tuple, mark: u32) -> Option<u32> {
        self.by_mark(mark, tuple.family).or_else(|| {
            let protocol = Protocol::from_number(tuple.protocol)?;
            let port = tuple.destination_port;
            let at = |port| {
                let address = SocketAddr::new(tuple.destination.to_ip(tuple.family), port);
                self.find(&ServiceKey::address(protocol, address))
            };
            let may_be_ftp_data =
                self.ftp > 0 && protocol == Protocol::Tcp && (port == FTP_DATA_PORT || port >= FIRST_UNPRIVILEGED_PORT);
            at(port)
                .or_else(|| if may_be_ftp_data { at(FTP_PORT) } else { None })
                .or_else(|| if self.wildcards > 0 { at(0) } else { None })
        })
    }

    fn by_mark(&self, mark: u32, family: Family) -> Option<u32> {
        if mark == 0 { None } else { self.find(&ServiceKey::mark(mark, family)) }
    }
}
