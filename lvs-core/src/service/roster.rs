//! Servers that have something in common, the latest first: threaded through their slots, so that to enter and to leave take
//! the same time however many there are.

use alloc::vec::Vec;
use core::hash::Hash;

use hashbrown::HashMap;

use crate::conn::hash::HashKey;
use crate::conn::id::NONE;

/// Lists of servers by what they have in common. A server is in one list at most.
#[derive(Debug)]
pub(crate) struct Roster<K> {
    latest: HashMap<K, u32, HashKey>,
    /// By slot.
    links: Vec<Option<Link<K>>>,
}

#[derive(Clone, Copy, Debug)]
struct Link<K> {
    key: K,
    newer: u32,
    older: u32,
}

impl<K: Copy + Eq + Hash> Roster<K> {
    pub(crate) fn new(hash: HashKey) -> Self {
        Self { latest: HashMap::with_hasher(hash), links: Vec::new() }
    }

    /// Enters a server, unless it is in a list already.
    pub(crate) fn enter(&mut self, key: K, slot: u32) {
        let at = slot as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, None);
        }
        if self.links[at].is_none() {
            let older = self.latest.insert(key, slot).unwrap_or(NONE);
            self.links[at] = Some(Link { key, newer: NONE, older });
            if let Some(older) = self.link(older) {
                older.newer = slot;
            }
        }
    }

    /// Takes a server out of the list that it is in, if any.
    pub(crate) fn leave(&mut self, slot: u32) {
        let Some(Link { key, newer, older }) = self.links.get_mut(slot as usize).and_then(Option::take) else { return };
        if let Some(older) = self.link(older) {
            older.newer = newer;
        }
        match self.link(newer) {
            Some(newer) => newer.older = older,
            None if older == NONE => {
                self.latest.remove(&key);
            }
            None => {
                self.latest.insert(key, older);
            }
        }
    }

    /// The servers of a list, the latest first.
    pub(crate) fn latest_first(&self, key: &K) -> impl Iterator<Item = u32> {
        let older =
            |&slot: &u32| self.links[slot as usize].as_ref().map(|link| link.older).filter(|&older| older != NONE);
        core::iter::successors(self.latest.get(key).copied(), older)
    }

    fn link(&mut self, slot: u32) -> Option<&mut Link<K>> {
        self.links.get_mut(slot as usize)?.as_mut()
    }
}

/// One more or one less of something.
pub(super) fn count_one<K: Eq + Hash>(counts: &mut HashMap<K, u32, HashKey>, key: K, added: bool) {
    match (counts.get_mut(&key), added) {
        (Some(count), true) => *count = count.saturating_add(1),
        (Some(count), false) if *count > 1 => *count -= 1,
        (Some(_), false) => _ = counts.remove(&key),
        (None, true) => _ = counts.insert(key, 1),
        (None, false) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use alloc::collections::BTreeMap;

    /// The same the obvious way.
    #[test]
    fn lists_are_those_of_vectors() {
        let mut rng = Rng::from_seed(7);
        let mut roster = Roster::new(HashKey::from_rng(&mut rng));
        let mut lists: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for _ in 0..5000 {
            let (key, slot) = ((rng.next_u64() % 4) as u8, (rng.next_u64() % 40) as u32);
            if rng.next_u64().is_multiple_of(2) {
                roster.enter(key, slot);
                if !lists.values().flatten().any(|&other| other == slot) {
                    lists.entry(key).or_default().insert(0, slot);
                }
            } else {
                roster.leave(slot);
                lists.values_mut().for_each(|list| list.retain(|&other| other != slot));
            }
            for key in 0..4 {
                assert!(roster.latest_first(&key).eq(lists.get(&key).into_iter().flatten().copied()));
            }
        }
        assert!(lists.values().all(|list| list.len() > 1), "there was something to see");
    }
}
