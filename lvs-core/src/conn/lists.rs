//! The connections of each server, threaded into a list: what is to be done to all of them need not look at the others.

use alloc::vec::Vec;

use super::id::NONE;
use super::processor;

/// The neighbours of an entry in its server's list.
#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    prev: u32,
}

const UNLINKED: Link = Link { next: NONE, prev: NONE };

/// A list for each server, newest connection first. Templates are in it, too.
#[derive(Debug)]
pub(crate) struct Lists {
    /// By slot of the entry.
    links: Vec<Link>,
    /// By slot of the server: its first entry.
    heads: Vec<u32>,
}

impl Lists {
    /// Room for `capacity` entries; `None` if there is not so much memory.
    pub(crate) fn with_capacity(capacity: usize) -> Option<Self> {
        let mut links = Vec::new();
        links.try_reserve_exact(capacity).ok()?;
        Some(Self { links, heads: Vec::new() })
    }

    /// Makes room for a server.
    pub(crate) fn make_server(&mut self, server: u32) {
        if self.heads.len() <= server as usize {
            self.heads.resize(server as usize + 1, NONE);
        }
    }

    /// Puts an entry at the head of a server's list. Never allocates: slots are below the capacity.
    pub(crate) fn push(&mut self, slot: u32, server: u32) {
        while self.links.len() <= slot as usize {
            self.links.push(UNLINKED);
        }
        let Some(head) = self.heads.get_mut(server as usize) else { return };
        let next = core::mem::replace(head, slot);
        self.links[slot as usize] = Link { next, prev: NONE };
        if next != NONE {
            self.links[next as usize].prev = slot;
        }
    }

    /// Takes an entry out of a server's list.
    pub(crate) fn remove(&mut self, slot: u32, server: u32) {
        let Link { next, prev } = core::mem::replace(&mut self.links[slot as usize], UNLINKED);
        if next != NONE {
            self.links[next as usize].prev = prev;
        }
        if prev != NONE {
            self.links[prev as usize].next = next;
        } else if let Some(head) = self.heads.get_mut(server as usize) {
            *head = next;
        }
    }

    /// Asks for what is kept of an entry.
    pub(crate) fn prefetch(&self, slot: u32) {
        if let Some(link) = self.links.get(slot as usize) {
            processor::prefetch(link);
        }
    }

    /// Asks for what is kept of an entry's neighbours.
    pub(crate) fn prefetch_neighbours(&self, slot: u32) {
        if let Some(link) = self.links.get(slot as usize) {
            self.prefetch(link.next);
            self.prefetch(link.prev);
        }
    }

    /// The first entry of a server, or [`NONE`].
    pub(crate) fn first(&self, server: u32) -> u32 {
        self.heads.get(server as usize).copied().unwrap_or(NONE)
    }

    /// The entry after another of the same server, or [`NONE`].
    pub(crate) fn next(&self, slot: u32) -> u32 {
        self.links.get(slot as usize).map_or(NONE, |link| link.next)
    }

    /// The entries of a server.
    pub(crate) fn of(&self, server: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |slot: u32| (slot != NONE).then_some(slot);
        core::iter::successors(some(self.first(server)), move |&slot| some(self.next(slot)))
    }

    /// Bytes of memory that entries take.
    pub(crate) fn memory(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_are_what_was_pushed_and_not_removed(steps in prop::collection::vec((0..40u32, 0..4u32), 0..300)) {
            let mut lists = Lists::with_capacity(40).unwrap();
            (0..4).for_each(|server| lists.make_server(server));
            let mut twin: Vec<(u32, u32)> = Vec::new();
            for (slot, server) in steps {
                match twin.iter().position(|&(known, _)| known == slot) {
                    Some(at) => {
                        let (slot, server) = twin.remove(at);
                        lists.remove(slot, server);
                    }
                    None => {
                        twin.insert(0, (slot, server));
                        lists.push(slot, server);
                    }
                }
                for server in 0..4 {
                    let wanted = twin.iter().filter(|(_, of)| *of == server).map(|(slot, _)| *slot);
                    prop_assert!(lists.of(server).eq(wanted));
                }
            }
        }
    }
}
