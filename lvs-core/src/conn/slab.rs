//! The entries: fixed capacity, slots that are reused, ids that a reuse makes stale.

use alloc::vec::Vec;

use super::entry::Entry;
use super::id::{ConnId, NONE};

#[derive(Debug)]
pub(crate) struct Slab {
    entries: Vec<Entry>,
    capacity: usize,
    /// First of the free slots, linked through `wheel_next`.
    free: u32,
    len: usize,
}

impl Slab {
    /// Room for `capacity` entries; `None` if there is not so much memory.
    pub(crate) fn with_capacity(capacity: usize) -> Option<Self> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(capacity).ok()?;
        Some(Self { entries, capacity, free: NONE, len: 0 })
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Slots that are in use or once were: every entry's is below.
    pub(crate) fn used(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Entry {
        &self.entries[slot as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    pub(crate) fn id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.get(slot).generation }
    }

    /// The slot of an id, if that connection still exists.
    pub(crate) fn find(&self, id: ConnId) -> Option<u32> {
        let entry = self.entries.get(id.slot as usize)?;
        (entry.is_live() && entry.generation == id.generation).then_some(id.slot)
    }

    /// Puts an entry into a free slot; `None` if there is none. Never allocates: the room was reserved.
    pub(crate) fn insert(&mut self, mut entry: Entry) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        self.len += 1;
        if self.free != NONE {
            let slot = self.free;
            let place = self.get_mut(slot);
            let (next, generation) = (place.wheel_next, place.generation);
            entry.generation = generation;
            *place = entry;
            self.free = next;
            // The next connection will want that one.
            if let Some(next) = self.entries.get(next as usize) {
                next.prefetch();
            }
            return Some(slot);
        }
        let slot = u32::try_from(self.entries.len()).ok()?;
        entry.generation = 0;
        self.entries.push(entry);
        Some(slot)
    }

    /// Frees a slot.
    pub(crate) fn remove(&mut self, slot: u32) {
        let free = self.free;
        let entry = self.get_mut(slot);
        entry.kill();
        entry.generation = entry.generation.wrapping_add(1);
        entry.wheel_next = free;
        self.free = slot;
        self.len -= 1;
    }

    /// Slots in use or once used: every slot is below this.
    pub(crate) fn slots_used(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// The slots in use.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots_from(0)
    }

    /// Those from a place on.
    pub(crate) fn slots_from(&self, place: usize) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.entries).skip(place).filter(|(_, entry)| entry.is_live()).map(|(slot, _)| slot)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}
