//! Chance from a seed: one seed, one scenario, on every platform.
//!
//! Follows: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).

/// What a scenario draws its choices from.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of a family's scenario.
    #[must_use]
    pub(crate) fn new(family: &str, seed: u64) -> Self {
        let name = family.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3) // FNV-1a
        });
        Self(name ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn from(&mut self, low: u32, high: u32) -> u32 {
        let span = u64::from(high - low) + 1;
        low + u32::try_from(((self.next() >> 32) * span) >> 32).expect("below the span")
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let last = u32::try_from(len - 1).expect("a short list");
        self.from(0, last) as usize
    }

    /// A port from `low` to `high`.
    pub(crate) fn port(&mut self, low: u16, high: u16) -> u16 {
        u16::try_from(self.from(low.into(), high.into())).expect("between two ports")
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// True so many times in a hundred.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.from(1, 100) <= percent
    }

    /// One of some.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())].clone()
    }

    /// One of some, each as often as its number says.
    pub(crate) fn weighted<T: Clone>(&mut self, of: &[(u32, T)]) -> T {
        let mut left = self.from(1, of.iter().map(|(weight, _)| weight).sum());
        for (weight, what) in of {
            if left <= *weight {
                return what.clone();
            }
            left -= weight;
        }
        unreachable!("the numbers add up to the drawn one")
    }

    /// The same in another order.
    pub(crate) fn shuffled<T>(&mut self, mut these: Vec<T>) -> Vec<T> {
        for n in (1..these.len()).rev() {
            these.swap(n, self.index(n + 1));
        }
        these
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_drawn_and_nothing_beyond() {
        let mut dice = Dice::new("tests", 1);
        let drawn: Vec<u32> = (0..200).map(|_| dice.from(3, 6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&6)));
    }

    #[test]
    fn seeds_and_families_differ() {
        let story = |family, seed| Dice::new(family, seed).bytes(16);
        assert_eq!(story("tcp", 1), story("tcp", 1));
        assert_ne!(story("tcp", 1), story("tcp", 2));
        assert_ne!(story("tcp", 1), story("sctp", 1));
    }

    #[test]
    fn what_weighs_nothing_is_never_drawn() {
        let mut dice = Dice::new("tests", 1);
        assert!((0..100).all(|_| dice.weighted(&[(1, 'a'), (0, 'b'), (2, 'c')]) != 'b'));
    }
}
