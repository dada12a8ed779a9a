//! What became of the first parts of fragmented packets, so that the later parts follow them.
//!
//! A fixed number of records in a ring: a new one takes the place of the oldest. Each lives for as long as a host would wait
//! for missing parts, counted from the first part and not prolonged by later ones.

use alloc::vec::Vec;

use super::entry::Side;
use super::hash::HashKey;
use super::id::{ConnId, NONE};
use super::index::Index;
use crate::addr::{Addr, Family};
use crate::flow::Tuple;
use crate::service::ServerId;
use crate::time::Instant;

/// How long Linux 6.1.192 waits for missing parts over IPv4, and over IPv6 (RFC 8200 section 4.5).
const LIFE_V4_MS: u32 = 30_000;
const LIFE_V6_MS: u32 = 60_000;

/// What the parts of one packet have in common (RFC 791, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartKey {
    pub(crate) family: Family,
    /// 0 over IPv6, where parts of one packet may name different ones.
    pub(crate) protocol: u8,
    pub(crate) identification: u32,
    pub(crate) source: Addr,
    pub(crate) destination: Addr,
}

/// What a first part has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// It went with this connection, from this side.
    Connection(ConnId, Side),
    /// It went to this server without a connection.
    OnePacket(ServerId),
    /// It was passed to the host.
    Passed,
    /// It was dropped, or answered.
    Dropped,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    key: PartKey,
    /// Protocol and ports, which later parts do not show.
    tuple: Tuple,
    lead: Lead,
    expires: Instant,
    hash: u64,
    is_held: bool,
}

/// The memory for first parts.
#[derive(Debug)]
pub(crate) struct Fragments {
    hash: HashKey,
    index: Index,
    records: Vec<Record>,
    capacity: usize,
    /// Where the next record goes: the place of the oldest once all are taken.
    next: usize,
    evicted: u64,
}

impl Fragments {
    /// Room for `capacity` packets; `None` if there is not so much memory.
    pub(crate) fn with_capacity(capacity: usize, hash: HashKey) -> Option<Self> {
        let mut records = Vec::new();
        records.try_reserve_exact(capacity).ok()?;
        Some(Self { hash, index: Index::with_capacity(capacity)?, records, capacity, next: 0, evicted: 0 })
    }

    /// False if there is room for nothing.
    pub(crate) const fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// How many first parts were forgotten before their time.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.index.memory()
    }

    /// What the first part with this key has come to, and what it showed.
    pub(crate) fn find(&self, key: &PartKey, now: Instant) -> Option<(Lead, Tuple)> {
        let slot = self.slot(key, self.hash_of(key))?;
        let record = self.records.get(slot as usize)?;
        (now < record.expires).then_some((record.lead, record.tuple))
    }

    /// Takes note of a first part, instead of whatever was known of its key.
    pub(crate) fn remember(&mut self, key: PartKey, tuple: Tuple, lead: Lead, now: Instant) {
        self.forget(&key);
        if self.capacity == 0 {
            return;
        }
        let life = match key.family {
            Family::V4 => LIFE_V4_MS,
            Family::V6 => LIFE_V6_MS,
        };
        let hash = self.hash_of(&key);
        let record = Record { key, tuple, lead, expires: now.plus_millis(life), hash, is_held: true };
        let slot = u32::try_from(self.next).unwrap_or(NONE);
        if let Some(place) = self.records.get_mut(self.next) {
            let old = core::mem::replace(place, record);
            if old.is_held {
                self.index.remove(old.hash, slot);
                self.evicted += u64::from(now < old.expires);
            }
        } else {
            self.records.push(record);
        }
        self.index.insert(hash, slot, |_| false);
        self.next = (self.next + 1) % self.capacity;
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &PartKey) {
        let hash = self.hash_of(key);
        if let Some(slot) = self.slot(key, hash)
            && let Some(record) = self.records.get_mut(slot as usize)
        {
            record.is_held = false;
            self.index.remove(hash, slot);
        }
    }

    fn slot(&self, key: &PartKey, hash: u64) -> Option<u32> {
        self.index.find(hash).find(|&slot| self.records.get(slot as usize).is_some_and(|record| record.key == *key))
    }

    fn hash_of(&self, key: &PartKey) -> u64 {
        let words = |a: Addr| {
            let [a, b, c, d] = a.0.map(u64::from);
            (a << 32 | b, c << 32 | d)
        };
        let ((a, b), (c, d)) = (words(key.source), words(key.destination));
        let rest = u64::from(key.identification) << 16 | u64::from(key.protocol) << 8 | key.family as u64;
        self.hash.words(&[a, b, c, d, rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::wire::parse::Parsed;
    use proptest::prelude::*;

    fn key(n: u32) -> PartKey {
        PartKey {
            family: if n.is_multiple_of(2) { Family::V4 } else { Family::V6 },
            protocol: 17,
            identification: n / 2,
            source: Addr::v4(1),
            destination: Addr::v4(2),
        }
    }

    fn tuple(n: u32) -> Tuple {
        Tuple { source: Addr::v4(n), ..Parsed::UNKNOWN.tuple }
    }

    fn fragments(capacity: usize) -> Fragments {
        Fragments::with_capacity(capacity, HashKey::from_rng(&mut Rng::from_seed(7))).unwrap()
    }

    #[test]
    fn a_record_lives_as_long_as_a_host_waits() {
        let mut fragments = fragments(2);
        fragments.remember(key(0), tuple(0), Lead::Passed, Instant::from_secs(1));
        fragments.remember(key(1), tuple(1), Lead::Dropped, Instant::from_secs(1));
        assert!(fragments.find(&key(0), Instant::from_millis(30_999)).is_some());
        assert!(fragments.find(&key(0), Instant::from_secs(31)).is_none());
        assert!(fragments.find(&key(1), Instant::from_millis(60_999)).is_some());
        assert!(fragments.find(&key(1), Instant::from_secs(61)).is_none());
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut fragments = fragments(0);
        fragments.remember(key(0), tuple(0), Lead::Passed, Instant::ZERO);
        assert!(!fragments.is_on() && fragments.find(&key(0), Instant::ZERO).is_none());
    }

    /// The obvious way: a list of what was put in, newest last.
    #[derive(Default)]
    struct Twin {
        list: Vec<Option<(PartKey, Tuple, Instant)>>,
        evicted: u64,
    }

    impl Twin {
        fn remember(&mut self, capacity: usize, key: PartKey, tuple: Tuple, now: Instant) {
            self.forget(&key);
            let life = if key.family == Family::V4 { LIFE_V4_MS } else { LIFE_V6_MS };
            self.list.push(Some((key, tuple, now.plus_millis(life))));
            if self.list.len() > capacity
                && let Some((_, _, expires)) = self.list.remove(0)
            {
                self.evicted += u64::from(now < expires);
            }
        }

        fn forget(&mut self, key: &PartKey) {
            for place in &mut self.list {
                if place.is_some_and(|(held, _, _)| held == *key) {
                    *place = None;
                }
            }
        }

        fn find(&self, key: &PartKey, now: Instant) -> Option<Tuple> {
            self.list
                .iter()
                .flatten()
                .find(|(held, _, expires)| held == key && now < *expires)
                .map(|(_, tuple, _)| *tuple)
        }
    }

    proptest! {
        #[test]
        fn the_memory_is_a_list_of_the_newest(
            capacity in 1..9usize,
            ops in prop::collection::vec((0..3u8, 0..12u32, 0..20_000u32), 1..200),
        ) {
            let (mut fragments, mut twin) = (fragments(capacity), Twin::default());
            let mut now = Instant::ZERO;
            for (n, (op, id, wait)) in (0u32..).zip(ops) {
                match op {
                    0 => now = now.plus_millis(wait),
                    1 => {
                        fragments.remember(key(id), tuple(n), Lead::Passed, now);
                        twin.remember(capacity, key(id), tuple(n), now);
                    }
                    _ => {
                        fragments.forget(&key(id));
                        twin.forget(&key(id));
                    }
                }
                for id in 0..12 {
                    let found = fragments.find(&key(id), now).map(|(_, tuple)| tuple);
                    prop_assert_eq!(found, twin.find(&key(id), now));
                }
                prop_assert_eq!(fragments.evicted(), twin.evicted);
            }
        }
    }
}
