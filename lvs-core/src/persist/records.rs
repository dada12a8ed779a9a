//! What an engine keeps of templates: a place of fixed size for each, all of them reserved with the first service that
//! has an engine.

use alloc::vec::Vec;

use super::sip;

/// What is kept of one template: up to 255 bytes.
#[derive(Clone, Copy, Debug)]
struct Record {
    len: u8,
    data: [u8; sip::LONGEST],
}

const _: () = assert!(size_of::<Record>() == 256, "four cache lines");

/// The records of a director.
#[derive(Debug, Default)]
pub(crate) struct Records {
    records: Vec<Record>,
    free: Vec<u32>,
    /// Room for so many.
    capacity: usize,
}

impl Records {
    /// Room for `capacity` records, once it is [reserved](Self::reserve).
    pub(crate) const fn new(capacity: usize) -> Self {
        Self { records: Vec::new(), free: Vec::new(), capacity }
    }

    /// Takes the memory for all records; false if there is not so much. After the first time nothing is to be done.
    pub(crate) fn reserve(&mut self) -> bool {
        let missing = self.capacity - self.records.len();
        self.records.try_reserve_exact(missing).is_ok()
            && self.free.try_reserve_exact(self.capacity - self.free.len()).is_ok()
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.free.is_empty() && self.records.len() >= self.capacity
    }

    /// Keeps some bytes; `None` if there is no place, or if they are too many. Allocates nothing once the memory is
    /// reserved.
    pub(crate) fn insert(&mut self, bytes: &[u8]) -> Option<u32> {
        let len = u8::try_from(bytes.len()).ok()?;
        if self.is_full() {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.records.len()).ok()?;
                self.records.push(Record { len: 0, data: [0; sip::LONGEST] });
                slot
            }
        };
        let record = self.records.get_mut(slot as usize)?;
        record.len = len;
        record.data.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(slot)
    }

    /// What a record holds; nothing if there is no such record.
    pub(crate) fn get(&self, slot: u32) -> &[u8] {
        let record = self.records.get(slot as usize);
        record.and_then(|record| record.data.get(..usize::from(record.len))).unwrap_or_default()
    }

    /// Gives a place free.
    pub(crate) fn remove(&mut self, slot: u32) {
        if (slot as usize) < self.records.len() {
            self.free.push(slot);
        }
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_a_full_slab_refuses() {
        let mut records = Records::new(2);
        assert!(records.reserve());
        let memory = records.memory();
        let (a, b) = (records.insert(b"first").unwrap(), records.insert(&[7; 255]).unwrap());
        assert_eq!((records.get(a), records.get(b)), (&b"first"[..], &[7; 255][..]));
        assert!(records.is_full() && records.insert(b"third").is_none());
        records.remove(a);
        assert_eq!(records.insert(&[0; 256]), None, "too long for a place");
        assert_eq!(records.insert(b"third"), Some(a));
        assert_eq!(records.get(a), b"third");
        assert_eq!(records.get(u32::MAX), b"");
        assert!(records.reserve());
        assert_eq!(records.memory(), memory, "nothing was allocated after the first time");
    }
}
