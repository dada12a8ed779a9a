//! From the hash of a flow to its slot: buckets of one cache line.
//!
//! A bucket holds twelve slots, a one-byte tag of each, and how many keys it had to send on to the following buckets. A
//! lookup reads one line, and the next one only if a key was sent on. Keys may repeat: the newest is found first.

use alloc::vec::Vec;

use super::processor;
use super::tags::{PLACES, Places, Tags};

/// One cache line. A tag of 0 marks a free place.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Bucket {
    tags: Tags,
    slots: [u32; PLACES],
}

const _: () = assert!(size_of::<Bucket>() == 64, "one bucket, one cache line");

const EMPTY: Bucket = Bucket { tags: Tags::NONE, slots: [0; PLACES] };

#[derive(Debug)]
pub(crate) struct Index {
    buckets: Vec<Bucket>,
    /// How many keys were ever added.
    additions: u64,
}

impl Index {
    /// Room for `keys` keys at two thirds load; `None` if there is not so much memory.
    pub(crate) fn with_capacity(keys: usize) -> Option<Self> {
        // Eight keys in each bucket of twelve places. At least two buckets, so that "the next one" is another.
        let count = keys.div_ceil(8).max(2);
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(count).ok()?;
        buckets.resize(count, EMPTY);
        Some(Self { buckets, additions: 0 })
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
        processor::prefetch(&self.buckets[self.home(hash)]);
    }

    /// The slots whose key may have this hash, newest first among equal keys.
    #[inline]
    pub(crate) fn find(&self, hash: u64) -> Candidates<'_> {
        let at = self.home(hash);
        let bucket = &self.buckets[at];
        let tag = tag(hash);
        Candidates { index: self, bucket, at, tag, places: bucket.tags.matching(tag), left: self.buckets.len() - 1 }
    }

    /// Changes with each key that is added: until then what [`find`](Self::find) comes upon first stays the first.
    #[inline]
    pub(crate) const fn additions(&self) -> u64 {
        self.additions
    }

    /// Adds a key. `same` is asked of every slot that may have this hash whether it has the same key: the new one goes
    /// before it.
    ///
    /// There is always room: a table has no more keys than it was made for.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, mut same: impl FnMut(u32) -> bool) {
        self.additions += 1;
        let tag = tag(hash);
        let mut carried = Some(slot);
        let mut at = self.home(hash);
        for _ in 0..self.buckets.len() {
            let Bucket { tags, slots } = &mut self.buckets[at];
            let free = if carried.is_some() { tags.matching(0) } else { Places::NONE };
            let (mut before, mut behind) = tags.matching(tag).parted_at(free);
            while !before.is_empty() {
                let place = before.take();
                if same(slots[place])
                    && let Some(carried) = &mut carried
                {
                    core::mem::swap(&mut slots[place], carried);
                }
            }
            while !behind.is_empty() {
                same(slots[behind.take()]);
            }
            match (carried, free.first()) {
                (Some(slot), Some(place)) => {
                    tags.set(place, tag);
                    (slots[place], carried) = (slot, None);
                }
                (Some(_), None) => tags.passed += 1,
                (None, _) => {}
            }
            if carried.is_none() && tags.passed == 0 {
                return;
            }
            at = self.next(at);
        }
        debug_assert!(carried.is_none(), "more keys than the index was made for");
    }

    /// Removes a slot that was added with this hash.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let tag = tag(hash);
        let home = self.home(hash);
        let mut at = home;
        for distance in 0..self.buckets.len() {
            let bucket = &mut self.buckets[at];
            let place = (0..PLACES).find(|&place| bucket.tags.get(place) == tag && bucket.slots[place] == slot);
            if let Some(place) = place {
                bucket.tags.set(place, 0);
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
            self.buckets[at].tags.passed -= 1;
            at = self.next(at);
        }
    }

    /// True if there is no key, and none is counted as having passed.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.tags == Tags::NONE)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }
}

/// A walk over the slots that may have a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates<'a> {
    index: &'a Index,
    bucket: &'a Bucket,
    at: usize,
    tag: u8,
    /// The places of the bucket that are still to be looked at.
    places: Places,
    /// How many buckets may still follow: in a small table every one may have sent keys on.
    left: usize,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.places.is_empty() {
            if self.bucket.tags.passed == 0 {
                return None;
            }
            *self = self.in_later_buckets();
            if self.places.is_empty() {
                return None;
            }
        }
        self.bucket.slots.get(self.places.take()).copied()
    }
}

impl Candidates<'_> {
    /// The walk from the next bucket on that has a place to be looked at; one that is over if there is none. (By value, so
    /// that what the straight way finds in the first bucket never leaves the registers.)
    #[cold]
    #[inline(never)]
    fn in_later_buckets(mut self) -> Self {
        while self.places.is_empty() && self.bucket.tags.passed != 0 && self.left != 0 {
            self.left -= 1;
            self.at = self.index.next(self.at);
            self.bucket = &self.index.buckets[self.at];
            self.places = self.bucket.tags.matching(self.tag);
        }
        self
    }
}

/// The tag of a hash: never 0, and of other bits than the bucket.
#[inline]
pub(super) fn tag(hash: u64) -> u8 {
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
        index.find(hash).filter(|&slot| keys[slot as usize] == hash).collect()
    }

    #[test]
    fn however_many_keys_have_passed_a_bucket_it_is_known_when_they_are_gone() {
        let mut index = Index::with_capacity(30).unwrap();
        // As if a client had opened so many connections that all have one server and its own port in common.
        let many = 70_000;
        index.buckets[0].tags.passed = many;
        (0..15).for_each(|slot| index.insert(0, slot, |_| false));
        assert_eq!(index.buckets[0].tags.passed, many + 3);
        (0..15).for_each(|slot| index.remove(0, slot));
        assert_eq!(index.buckets[0].tags.passed, many);
    }

    proptest! {
        #[test]
        fn an_index_answers_as_a_list_does(capacity in 1usize..100, ops in proptest::collection::vec((0u64..12, any::<bool>(), any::<prop::sample::Index>()), 1..200)) {
            // Few distinct hashes, most in one bucket: the worst case for the overflow counts.
            let hash_of = |n: u64| (n % 3) << 62 | n;
            let mut index = Index::with_capacity(capacity).unwrap();
            let mut twin = Twin::default();
            let mut keys: StdVec<u64> = StdVec::new();
            for (n, add, which) in ops {
                if add && twin.0.len() < capacity {
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
            prop_assert!(found(&index, hash_of(99), &keys).is_empty());
            for (hash, slot) in twin.0.drain(..) {
                index.remove(hash, slot);
            }
            prop_assert!(index.is_empty());
        }
    }
}
