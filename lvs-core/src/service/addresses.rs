//! The servers of each address, and those whose way was learned: what a packet may ask of many servers, and has to be told
//! without a look at all of them.

use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;

use crate::conn::hash::HashKey;
use crate::conn::id::NONE;

/// The servers of each address, those in the trash included.
#[derive(Debug)]
pub(crate) struct Addresses {
    homes: HashMap<IpAddr, Home, HashKey>,
    links: Links,
}

#[derive(Clone, Copy, Debug)]
struct Home {
    /// Its server that came last.
    latest: u32,
    /// How many of them NAT hides.
    hidden: u32,
}

impl Addresses {
    pub(crate) fn new(hash: HashKey) -> Self {
        Self { homes: HashMap::with_hasher(hash), links: Links::default() }
    }

    /// A server of an address is new.
    pub(crate) fn enter(&mut self, address: IpAddr, slot: u32, is_hidden: bool) {
        let hidden = u32::from(is_hidden);
        let home = self.homes.entry(address).or_insert(Home { latest: NONE, hidden: 0 });
        self.links.put(slot, home.latest);
        (home.latest, home.hidden) = (slot, home.hidden.saturating_add(hidden));
    }

    /// A server of an address is gone.
    pub(crate) fn leave(&mut self, address: IpAddr, slot: u32, was_hidden: bool) {
        let older = self.links.take(slot);
        let Some(home) = self.homes.get_mut(&address) else { return };
        home.hidden = home.hidden.saturating_sub(u32::from(was_hidden));
        if home.latest == slot {
            home.latest = older;
        }
        if home.latest == NONE {
            self.homes.remove(&address);
        }
    }

    /// NAT hides a server of an address from now on.
    pub(crate) fn hide(&mut self, address: IpAddr) {
        if let Some(home) = self.homes.get_mut(&address) {
            home.hidden = home.hidden.saturating_add(1);
        }
    }

    /// True for the address of a server that NAT hides.
    pub(crate) fn is_hidden(&self, address: IpAddr) -> bool {
        self.homes.get(&address).is_some_and(|home| home.hidden > 0)
    }

    /// The latest server of an address, or [`NONE`].
    pub(crate) fn latest(&self, address: IpAddr) -> u32 {
        self.homes.get(&address).map_or(NONE, |home| home.latest)
    }

    /// The server of the same address that came before, or [`NONE`].
    pub(crate) fn before(&self, slot: u32) -> u32 {
        self.links.older(slot)
    }
}

/// Servers in the order in which something was learned of the way to them.
#[derive(Debug)]
pub(crate) struct Learned {
    links: Links,
    latest: u32,
    oldest: u32,
}

impl Learned {
    pub(crate) fn new() -> Self {
        Self { links: Links::default(), latest: NONE, oldest: NONE }
    }

    /// Makes room for a server, so that learning needs no memory.
    pub(crate) fn make_room(&mut self, slot: u32) {
        self.links.reach(slot);
    }

    /// Something was learned of a server that is not in the list.
    pub(crate) fn enter(&mut self, slot: u32) {
        self.links.put(slot, self.latest);
        if self.latest == NONE {
            self.oldest = slot;
        }
        self.latest = slot;
    }

    /// It was forgotten, of a server that is in the list.
    pub(crate) fn leave(&mut self, slot: u32) {
        let newer = self.links.newer(slot);
        let older = self.links.take(slot);
        if self.latest == slot {
            self.latest = older;
        }
        if self.oldest == slot {
            self.oldest = newer;
        }
    }

    /// The server of which nothing was learned for the longest time.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }
}

/// The neighbours of servers in lists, by slot.
#[derive(Debug, Default)]
struct Links(Vec<Link>);

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

impl Links {
    fn reach(&mut self, slot: u32) {
        if self.0.len() <= slot as usize {
            self.0.resize(slot as usize + 1, Link { newer: NONE, older: NONE });
        }
    }

    /// Puts a server before the one that was the latest.
    fn put(&mut self, slot: u32, older: u32) {
        self.reach(slot);
        self.0[slot as usize] = Link { newer: NONE, older };
        if let Some(older) = self.0.get_mut(older as usize) {
            older.newer = slot;
        }
    }

    /// Takes a server out; returns the one that came before it.
    fn take(&mut self, slot: u32) -> u32 {
        let Link { newer, older } = core::mem::replace(&mut self.0[slot as usize], Link { newer: NONE, older: NONE });
        if let Some(newer) = self.0.get_mut(newer as usize) {
            newer.older = older;
        }
        if let Some(older) = self.0.get_mut(older as usize) {
            older.newer = newer;
        }
        older
    }

    fn older(&self, slot: u32) -> u32 {
        self.0[slot as usize].older
    }

    fn newer(&self, slot: u32) -> u32 {
        self.0[slot as usize].newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn at(number: u64) -> IpAddr {
        IpAddr::from([10, 0, 0, (number % 3) as u8])
    }

    /// The same with vectors.
    #[test]
    fn lists_are_those_of_vectors() {
        let mut rng = Rng::from_seed(7);
        let mut addresses = Addresses::new(HashKey::from_rng(&mut rng));
        let mut learned = Learned::new();
        let (mut servers, mut lessons): (Vec<(IpAddr, u32, bool)>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut most = 0;
        for _ in 0..5000 {
            let (address, slot) = (at(rng.next_u64()), (rng.next_u64() % 20) as u32);
            match servers.iter().position(|server| server.1 == slot) {
                Some(place) if rng.next_u64().is_multiple_of(2) => {
                    let (address, slot, hidden) = servers.remove(place);
                    addresses.leave(address, slot, hidden);
                }
                Some(place) if !servers[place].2 => {
                    servers[place].2 = true;
                    addresses.hide(servers[place].0);
                }
                Some(_) => {}
                None => {
                    let is_hidden = rng.next_u64().is_multiple_of(3);
                    servers.insert(0, (address, slot, is_hidden));
                    addresses.enter(address, slot, is_hidden);
                }
            }
            learned.make_room(slot);
            match lessons.iter().position(|&other| other == slot) {
                Some(place) => {
                    lessons.remove(place);
                    learned.leave(slot);
                }
                None => {
                    lessons.push(slot);
                    learned.enter(slot);
                }
            }
            assert_eq!(learned.oldest(), lessons.first().copied());
            for number in 0..3 {
                let is_one = |&slot: &u32| slot != NONE;
                let before = |&slot: &u32| Some(addresses.before(slot)).filter(is_one);
                let known = core::iter::successors(Some(addresses.latest(at(number))).filter(is_one), before);
                let known: Vec<u32> = known.collect();
                let wanted: Vec<_> = servers.iter().filter(|server| server.0 == at(number)).collect();
                assert!(wanted.iter().map(|server| server.1).eq(known.iter().copied()));
                assert_eq!(addresses.is_hidden(at(number)), wanted.iter().any(|server| server.2));
                most = most.max(known.len());
            }
        }
        assert!(most > 3, "there was something to see");
    }
}
