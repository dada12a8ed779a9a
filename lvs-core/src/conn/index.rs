//! From the hash of a flow to its slot: buckets of one cache line.
//!
//! A bucket holds twelve slots, a one-byte tag of each, and how many keys it had to send on to the following buckets. A
//! lookup reads one line, and the next one only if a key was sent on. Keys may repeat: the newest is found first.

use alloc::vec::Vec;

use super::prefetch;

const SLOTS: usize = 12;

/// One cache line. A tag of 0 marks a free place.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u8; SLOTS],
    /// Keys that passed here on their way to a later bucket. Once it has reached its maximum it stays there.
    passed: u16,
    reserved: u16,
    slots: [u32; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64, "one bucket, one cache line");

const EMPTY: Bucket = Bucket { tags: [0; SLOTS], passed: 0, reserved: 0, slots: [0; SLOTS] };

impl Bucket {
    /// The places whose tag may be `tag`: one bit for each, with a rare false one, never a missing one.
    #[inline]
    fn matching(&self, tag: u8) -> u16 {
        let mut found = 0;
        for (place, &t) in self.tags.iter().enumerate() {
            found |= u16::from(t == tag) << place;
        }
        found
    }
}

#[derive(Debug)]
pub(crate) struct Index {
    buckets: Vec<Bucket>,
}

impl Index {
    /// Room for `keys` keys at two thirds load; `None` if there is not so much memory.
    pub(crate) fn with_capacity(keys: usize) -> Option<Self> {
        // Eight keys in each bucket of twelve places. At least two buckets, so that "the next one" is another.
        let count = keys.div_ceil(8).max(2);
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(count).ok()?;
        buckets.resize(count, EMPTY);
        Some(Self { buckets })
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        // Multiply and shift: any number of buckets, the upper half of the hash.
        let product = (hash >> 32) * self.buckets.len() as u64;
        usize::try_from(product >> 32).unwrap_or(0)
    }

    #[inline]
    fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch::read(&self.buckets[self.home(hash)]);
    }

    /// Calls `visit` with each slot whose key may have this hash, newest first among equal keys, until it answers.
    #[inline]
    pub(crate) fn find<T>(&self, hash: u64, mut visit: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let tag = tag(hash);
        let mut at = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            let mut places = bucket.matching(tag);
            while places != 0 {
                let place = places.trailing_zeros() as usize;
                if let Some(answer) = visit(bucket.slots[place]) {
                    return Some(answer);
                }
                places &= places - 1;
            }
            if bucket.passed == 0 {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// Adds a key. `same` tells whether a slot found on the way has the same key: the new one goes before it.
    ///
    /// There is always room: a table has no more keys than it was made for.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, same: impl Fn(u32) -> bool) {
        let tag = tag(hash);
        let mut carried = slot;
        let mut at = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &mut self.buckets[at];
            for place in 0..SLOTS {
                if bucket.tags[place] == 0 {
                    bucket.tags[place] = tag;
                    bucket.slots[place] = carried;
                    return;
                }
                if bucket.tags[place] == tag && same(bucket.slots[place]) {
                    core::mem::swap(&mut bucket.slots[place], &mut carried);
                }
            }
            bucket.passed = bucket.passed.saturating_add(1);
            at = self.next(at);
        }
        debug_assert!(false, "more keys than the index was made for");
    }

    /// Removes a slot that was added with this hash.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let tag = tag(hash);
        let home = self.home(hash);
        let mut at = home;
        for distance in 0..self.buckets.len() {
            let bucket = &mut self.buckets[at];
            let place = (0..SLOTS).find(|&place| bucket.tags[place] == tag && bucket.slots[place] == slot);
            if let Some(place) = place {
                bucket.tags[place] = 0;
                self.unpass(home, distance);
                return;
            }
            at = self.next(at);
        }
        debug_assert!(false, "the slot was never added");
    }

    /// One key less on its way through the first `distance` buckets from `home` on.
    fn unpass(&mut self, home: usize, distance: usize) {
        let mut at = home;
        for _ in 0..distance {
            let passed = &mut self.buckets[at].passed;
            if *passed != u16::MAX {
                *passed -= 1;
            }
            at = self.next(at);
        }
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }
}

/// The tag of a hash: never 0, and of other bits than the bucket.
#[inline]
fn tag(hash: u64) -> u8 {
    hash.to_le_bytes()[0].max(1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec as StdVec;

    /// The naive twin: a list, newest first.
    #[derive(Default)]
    struct Twin(StdVec<(u64, u32)>);

    impl Twin {
        fn find_all(&self, hash: u64) -> StdVec<u32> {
            self.0.iter().filter(|(h, _)| *h == hash).map(|(_, s)| *s).collect()
        }
    }

    fn found(index: &Index, hash: u64, keys: &[u64]) -> StdVec<u32> {
        let mut slots = StdVec::new();
        let stop: Option<()> = index.find(hash, |slot| {
            if keys[slot as usize] == hash {
                slots.push(slot);
            }
            None
        });
        assert!(stop.is_none());
        slots
    }

    proptest! {
        #[test]
        fn an_index_answers_as_a_list_does(ops in proptest::collection::vec((0u64..12, any::<bool>(), any::<prop::sample::Index>()), 1..200)) {
            // Few distinct hashes, most in one bucket: the worst case for the overflow counts.
            let hash_of = |n: u64| (n % 3) << 62 | n;
            let mut index = Index::with_capacity(100).unwrap();
            let mut twin = Twin::default();
            let mut keys: StdVec<u64> = StdVec::new();
            for (n, add, which) in ops {
                if add && twin.0.len() < 100 {
                    let (hash, slot) = (hash_of(n), u32::try_from(keys.len()).unwrap());
                    keys.push(hash);
                    index.insert(hash, slot, |other| keys[other as usize] == hash);
                    twin.0.insert(0, (hash, slot));
                } else if !twin.0.is_empty() {
                    let (hash, slot) = twin.0.remove(which.index(twin.0.len()));
                    index.remove(hash, slot);
                }
                for n in 0..12 {
                    let mut have = found(&index, hash_of(n), &keys);
                    let want = twin.find_all(hash_of(n));
                    prop_assert_eq!(have.first(), want.first());
                    have.sort_unstable_by(|a, b| b.cmp(a));
                    prop_assert_eq!(have, want);
                }
            }
            for (hash, slot) in twin.0.drain(..) {
                index.remove(hash, slot);
            }
            prop_assert!(index.buckets.iter().all(|b| b.passed == 0 && b.tags == [0; SLOTS]));
        }
    }
}
