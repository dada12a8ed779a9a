//! Removed servers that connections may still point to: they come back as they were if they are added again in time.

use alloc::vec::Vec;
use core::net::SocketAddr;

use hashbrown::HashTable;

use super::key::ServiceKey;
use super::server::Servers;
use crate::addr::Addr;
use crate::conn::hash::HashKey;

/// The removed servers, oldest first, found by what they were.
#[derive(Debug)]
pub(crate) struct Trash {
    slots: Vec<u32>,
    /// Where in `slots` each is. A place that was given up holds [`GONE`].
    places: HashTable<u32>,
    hash: HashKey,
}

/// The place of a server that was taken out.
const GONE: u32 = u32::MAX;

impl Trash {
    pub(crate) const fn new(hash: HashKey) -> Self {
        Self { slots: Vec::new(), places: HashTable::new(), hash }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Throws a server away.
    pub(crate) fn push(&mut self, slot: u32, servers: &Servers) {
        if self.slots.len() > 2 * self.places.len() + 16 {
            self.retain(servers, |_| true);
        }
        let Ok(place) = u32::try_from(self.slots.len()) else { return };
        self.slots.push(slot);
        let Self { slots, places, hash } = self;
        let hash_of = |slot: u32| hash_of(hash, slot, servers);
        places.insert_unique(hash_of(slot), place, |&place| hash_of(slots[place as usize]));
    }

    /// Is a server of this address there that once belonged to a service of this key?
    pub(crate) fn has(&self, key: &ServiceKey, address: SocketAddr, servers: &Servers) -> bool {
        let is_it = |&place: &u32| is(self.slots[place as usize], key, address, servers);
        !self.is_empty() && self.places.find(hash(&self.hash, key, address), is_it).is_some()
    }

    /// Takes it out.
    pub(crate) fn take(&mut self, key: &ServiceKey, address: SocketAddr, servers: &Servers) -> Option<u32> {
        let Self { slots, places, hash: secret } = self;
        if places.is_empty() {
            return None;
        }
        let is_it = |&place: &u32| is(slots[place as usize], key, address, servers);
        let place = places.find_entry(hash(secret, key, address), is_it).ok()?.remove().0;
        Some(core::mem::replace(&mut slots[place as usize], GONE))
    }

    /// Keeps those of which `keep` is true, in their order.
    pub(crate) fn retain(&mut self, servers: &Servers, mut keep: impl FnMut(u32) -> bool) {
        self.places.clear();
        for slot in core::mem::take(&mut self.slots) {
            if slot != GONE && keep(slot) {
                let place = u32::try_from(self.slots.len()).unwrap_or(GONE);
                self.slots.push(slot);
                let (slots, secret) = (&self.slots, &self.hash);
                let hash_of = |slot: u32| hash_of(secret, slot, servers);
                self.places.insert_unique(hash_of(slot), place, |&place| hash_of(slots[place as usize]));
            }
        }
    }

    /// The slots, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().copied().filter(|&slot| slot != GONE)
    }
}

fn is(slot: u32, key: &ServiceKey, address: SocketAddr, servers: &Servers) -> bool {
    let server = servers.get(slot);
    server.service == *key && server.spec.address == address
}

fn hash_of(secret: &HashKey, slot: u32, servers: &Servers) -> u64 {
    let server = servers.get(slot);
    hash(secret, &server.service, server.spec.address)
}

/// Services of one port and family share a bucket only where they share the server.
fn hash(secret: &HashKey, key: &ServiceKey, address: SocketAddr) -> u64 {
    let [a, b, c, d] = Addr::from_ip(address.ip()).0.map(u64::from);
    let [e, f, g, h] = match key {
        ServiceKey::Address { address, .. } => Addr::from_ip(address.ip()).0.map(u64::from),
        ServiceKey::Mark { mark, .. } => [0, 0, 0, u64::from(*mark)],
    };
    let ports = u64::from(address.port()) << 16 | u64::from(key.port());
    secret.words(&[a << 32 | b, c << 32 | d, e << 32 | f, g << 32 | h, ports])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::service::{ServerSpec, ServiceId};

    #[test]
    fn what_was_thrown_away_is_found_until_it_is_taken() {
        let hash = HashKey::from_rng(&mut Rng::from_seed(1));
        let mut servers = Servers::new(crate::Kernel::default(), &hash);
        let mut trash = Trash::new(hash);
        let key = ServiceKey::mark(5, crate::Family::V4);
        let owner = ServiceId { slot: 0, generation: 0 };
        let address = |n: u32| SocketAddr::new(core::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(), 80);
        for n in 1..200 {
            let slot = servers.insert(ServerSpec::nat(address(n)), key, owner).unwrap();
            trash.push(slot, &servers);
        }
        for n in (1..200).step_by(2) {
            assert!(trash.has(&key, address(n), &servers));
            let slot = trash.take(&key, address(n), &servers).unwrap();
            assert_eq!(servers.spec(slot).address, address(n));
            assert!(!trash.has(&key, address(n), &servers));
        }
        assert_eq!(trash.take(&ServiceKey::mark(6, crate::Family::V4), address(2), &servers), None);
        let left: Vec<u32> = trash.iter().map(|slot| u32::from(servers.spec(slot).address.port() == 80)).collect();
        assert_eq!(left.len(), 99);
        trash.retain(&servers, |slot| servers.spec(slot).address == address(4));
        assert_eq!((trash.iter().count(), trash.is_empty()), (1, false));
        assert!(trash.take(&key, address(4), &servers).is_some() && trash.is_empty());
    }
}
