//! The least of many, found without looking at all of them.
//!
//! Owns: who wins between the servers of each half of a list, of each quarter, and so on. After a change only those that
//! the changed server meets on its way are compared again.
//! Leaves to others: what is compared (`load`), which servers changed (`service::changes`), the choice among few servers.
//! Follows: the walk through the list, whose answer this is: the least load, the first in the list of several.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::load::Load;
use super::{Candidate, Pool};
use crate::service::changes::Changes;

/// The winners of one pool. Empty until the first pick among many servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Tournament {
    /// What was last seen of each server, by position.
    loads: Vec<Load>,
    /// Positions; [`NOBODY`] where nobody may get a flow. The winner of all is at 1, those that it is the better of at
    /// twice that and one further. The second half are the servers themselves.
    winners: Vec<u32>,
    /// Positions, found by slot.
    places: HashTable<u32>,
    /// How many changes there were when it was brought up to date.
    seen: Option<u64>,
}

/// No position.
const NOBODY: u32 = u32::MAX;

impl Tournament {
    pub(super) const fn new() -> Self {
        Self { loads: Vec::new(), winners: Vec::new(), places: HashTable::new(), seen: None }
    }

    /// Begins anew, with room for a pool, so that picks need no memory.
    pub(super) fn reserve(&mut self, pool: &Pool<'_>) {
        self.clear();
        if pool.changes().is_some() {
            self.loads.reserve(pool.len());
            self.winners.reserve(2 * pool.len().next_power_of_two());
            self.places.reserve(pool.len(), |_| 0);
        }
    }

    fn clear(&mut self) {
        self.loads.clear();
        self.winners.clear();
        self.places.clear();
        self.seen = None;
    }

    /// The first of the servers with the least load. `load` says `None` of those that may not get a flow. Among few
    /// servers `walk` chooses.
    pub(super) fn pick<'a>(
        &mut self,
        pool: &Pool<'a>,
        load: impl Fn(&Candidate<'a>) -> Option<Load>,
        walk: impl Fn(&Pool<'a>) -> Option<Candidate<'a>>,
    ) -> Option<Candidate<'a>> {
        match pool.changes() {
            Some(changes) => self.among_many(pool, changes, &load),
            None => walk(pool),
        }
    }

    /// Apart, so that the walk has the registers for itself.
    #[inline(never)]
    fn among_many<'a>(
        &mut self,
        pool: &Pool<'a>,
        changes: &Changes,
        load: &impl Fn(&Candidate<'a>) -> Option<Load>,
    ) -> Option<Candidate<'a>> {
        match self.seen.and_then(|seen| changes.since(seen)) {
            Some(changed) => changed.for_each(|slot| self.look_again(slot, pool, load)),
            None => self.begin(pool, load),
        }
        self.seen = Some(changes.count());
        pool.get(*self.winners.get(1)? as usize)
    }

    /// Everybody against everybody.
    fn begin<'a>(&mut self, pool: &Pool<'a>, load: &impl Fn(&Candidate<'a>) -> Option<Load>) {
        let half = pool.len().next_power_of_two();
        self.clear();
        self.winners.resize(2 * half, NOBODY);
        for (position, server) in (0..).zip(pool.iter()) {
            let its_load = load(&server);
            self.loads.push(its_load.unwrap_or(Load::NONE));
            if its_load.is_some() {
                self.winners[half + position as usize] = position;
            }
            self.places.insert_unique(hash(server.slot), position, |&position| hash(pool.list[position as usize]));
        }
        for node in (1..half).rev() {
            self.winners[node] = self.better(self.winners[2 * node], self.winners[2 * node + 1]);
        }
    }

    /// A server has another load, perhaps.
    fn look_again<'a>(&mut self, slot: u32, pool: &Pool<'a>, load: &impl Fn(&Candidate<'a>) -> Option<Load>) {
        let same = |&position: &u32| pool.list.get(position as usize) == Some(&slot);
        let Some(&position) = self.places.find(hash(slot), same) else { return };
        let its_load = load(&pool.candidate(slot));
        let present = if its_load.is_some() { position } else { NOBODY };
        let its_load = its_load.unwrap_or(Load::NONE);
        let mut node = self.winners.len() / 2 + position as usize;
        if (self.winners[node], self.loads[position as usize]) == (present, its_load) {
            return;
        }
        self.loads[position as usize] = its_load;
        self.winners[node] = present;
        while node > 1 {
            node /= 2;
            let winner = self.better(self.winners[2 * node], self.winners[2 * node + 1]);
            // Who meets the same one as before, and it is not this one, finds nothing new further on.
            if core::mem::replace(&mut self.winners[node], winner) == winner && winner != position {
                break;
            }
        }
    }

    /// Of two, of which the first comes earlier in the list.
    fn better(&self, first: u32, second: u32) -> u32 {
        match (self.loads.get(first as usize), self.loads.get(second as usize)) {
            (Some(one), Some(other)) if one.exceeds(*other) => second,
            (Some(_), _) => first,
            (None, _) => second,
        }
    }
}

/// Slots are dense numbers: it is enough to spread them.
fn hash(slot: u32) -> u64 {
    u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
