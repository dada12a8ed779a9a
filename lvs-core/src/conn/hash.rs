//! The keyed hash of flows.
//!
//! A flow and its reverse hash alike, so that one bucket answers whether a packet is a request or a reply. The key comes
//! from the configuration's seed; without it nobody can aim flows at one bucket.
//!
//! Follows: folded multiplication, as in wyhash and foldhash: the two halves of a 64 by 64 bit product, exclusive-ored.

use core::hash::{BuildHasher, Hasher};

use crate::addr::{Addr, Family};
use crate::rng::Rng;

/// The secret of one director.
#[derive(Clone, Debug)]
pub(crate) struct HashKey([u64; 6]);

impl HashKey {
    pub(crate) fn from_rng(rng: &mut Rng) -> Self {
        Self(core::array::from_fn(|_| rng.next_u64() | 1))
    }

    /// The hash of a flow between two endpoints, in either order. `salt` keeps protocols, and templates from
    /// connections, apart.
    #[inline]
    pub(crate) fn flow(&self, family: Family, salt: u16, a: (Addr, u16), b: (Addr, u16)) -> u64 {
        let (a, b) = match family {
            Family::V4 => (u64::from(a.0.last()) << 16 | u64::from(a.1), u64::from(b.0.last()) << 16 | u64::from(b.1)),
            Family::V6 => (self.endpoint_v6(a), self.endpoint_v6(b)),
        };
        self.ends(salt, a, b)
    }

    /// The same, of what endpoints come to.
    #[inline(always)]
    fn ends(&self, salt: u16, a: u64, b: u64) -> u64 {
        let k = &self.0;
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        let mixed = fold(low ^ k[0] ^ u64::from(salt) << 48, high ^ k[1]);
        fold(mixed ^ k[2], k[3])
    }

    #[inline]
    fn endpoint_v6(&self, (address, port): (Addr, u16)) -> u64 {
        let [high, low] = address.halves();
        fold(high ^ self.0[4], low ^ self.0[5]) ^ u64::from(port).rotate_left(32)
    }

    /// The hash of any few words, for the tables off the packet path.
    pub(crate) fn words(&self, words: &[u64]) -> u64 {
        words.iter().fold(self.0[0], |hash, word| fold(hash ^ word, self.0[3]))
    }

    /// The hash of bytes.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let start = self.0[0] ^ bytes.len() as u64;
        let hash =
            words.iter().chain([&last]).fold(start, |hash, word| fold(hash ^ u64::from_le_bytes(*word), self.0[3]));
        let [a, b, c, d, ..] = fold(hash ^ self.0[1], self.0[2]).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

/// For maps of anything.
impl BuildHasher for HashKey {
    type Hasher = Fields;

    fn build_hasher(&self) -> Fields {
        Fields { hash: self.0[0], key: self.0[3] }
    }
}

/// Takes a value in, field by field.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    hash: u64,
    key: u64,
}

impl Hasher for Fields {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        if !rest.is_empty() {
            self.write_u64(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.hash = fold(self.hash ^ value, self.key);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_and_its_reverse_hash_alike_and_others_differ() {
        let key = HashKey::from_rng(&mut Rng::from_seed(3));
        let a = (Addr::v4(0x0a00_0001), 1000);
        let b = (Addr::v4(0x0a00_0002), 80);
        let hash = key.flow(Family::V4, 6, a, b);
        assert_eq!(hash, key.flow(Family::V4, 6, b, a));
        assert_ne!(hash, key.flow(Family::V4, 17, a, b));
        assert_ne!(hash, key.flow(Family::V4, 6, (a.0, 1001), b));
        assert_ne!(hash, HashKey::from_rng(&mut Rng::from_seed(4)).flow(Family::V4, 6, a, b));
    }

    #[test]
    fn sequential_flows_spread_evenly() {
        let key = HashKey::from_rng(&mut Rng::from_seed(3));
        let mut counts = [0u32; 256];
        for port in 0..u16::MAX {
            for family in [Family::V4, Family::V6] {
                let hash = key.flow(family, 6, (Addr([1, 2, 3, 4]), port), (Addr([1, 2, 3, 5]), 80));
                counts[(hash >> 56) as usize] += 1;
            }
        }
        assert!(counts.iter().all(|&n| (384..640).contains(&n)), "{counts:?}");
    }
}
