//! The one source of randomness: a generator seeded from the configuration.
//!
//! Follows: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).

/// A small seeded generator. One seed, one sequence, on every platform.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator whose whole sequence is determined by `seed`.
    #[must_use]
    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..=max`, every one as likely (the bias of the multiplication is below 2^-32).
    pub(crate) const fn up_to(&mut self, max: u32) -> u32 {
        let word = self.next_u64() >> 32;
        ((word * (max as u64 + 1)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_story() {
        let (mut a, mut b) = (Rng::from_seed(7), Rng::from_seed(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
    }

    #[test]
    fn both_ends_of_the_range_are_drawn() {
        let mut rng = Rng::from_seed(1);
        let mut seen = [0u32; 4];
        for _ in 0..1000 {
            seen[rng.up_to(3) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 200), "{seen:?}");
        assert_eq!(rng.up_to(0), 0);
    }
}
