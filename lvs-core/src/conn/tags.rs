//! The twelve tags of a bucket, compared all at once.

/// Tags of places 0 to 7 in one word and of 8 to 11 in another, the first in the lowest byte. A tag of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Tags {
    first: u64,
    rest: u32,
    /// Keys that passed this bucket on their way to a later one: of a table of 2^31 connections all but twelve may.
    pub(super) passed: u32,
}

/// How many there are.
pub(super) const PLACES: usize = 12;

impl Tags {
    pub(super) const NONE: Self = Self { first: 0, rest: 0, passed: 0 };

    /// Which places have a tag.
    #[inline]
    pub(super) const fn matching(self, tag: u8) -> Places {
        let wanted = ONES.wrapping_mul(tag as u64);
        let first = zero_bytes(self.first ^ wanted);
        let rest = zero_bytes((self.rest ^ low32(wanted)) as u64) & 0xffff_ffff;
        Places(first | rest << 1)
    }

    #[inline]
    pub(super) const fn get(self, place: usize) -> u8 {
        let word = if place < 8 { self.first >> (place * 8) } else { (self.rest >> ((place - 8) * 8)) as u64 };
        word.to_le_bytes()[0]
    }

    pub(super) const fn set(&mut self, place: usize, tag: u8) {
        if place < 8 {
            let shift = place * 8;
            self.first = self.first & !(0xff << shift) | (tag as u64) << shift;
        } else {
            let shift = (place - 8) * 8;
            self.rest = self.rest & !(0xff << shift) | (tag as u32) << shift;
        }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low32(word: u64) -> u32 {
    word as u32
}

/// A one for each byte that is zero.
#[inline]
const fn zero_bytes(word: u64) -> u64 {
    const SEVEN_BITS: u64 = ONES * 0x7f;
    // A carry into the highest bit of a byte unless its seven lower bits are zero; none leaves the byte.
    let nonzero = ((word & SEVEN_BITS) + SEVEN_BITS) | word;
    (!nonzero >> 7) & ONES
}

/// A set of places, taken one by one in [`ORDER`]: bit 8 n for place n, bit 8 n + 1 for place 8 + n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places(u64);

/// The order in which the places of a bucket are looked at and filled.
#[cfg(test)]
const ORDER: [usize; PLACES] = [0, 8, 1, 9, 2, 10, 3, 11, 4, 5, 6, 7];

impl Places {
    pub(super) const NONE: Self = Self(0);

    #[inline]
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first place, if there is one.
    #[inline]
    pub(super) const fn first(mut self) -> Option<usize> {
        if self.is_empty() { None } else { Some(self.take()) }
    }

    /// The places before the first of another set, and the others; all are before it if that set is empty.
    #[inline]
    pub(super) const fn parted_at(self, other: Self) -> (Self, Self) {
        let before = (other.0 & other.0.wrapping_neg()).wrapping_sub(1);
        (Self(self.0 & before), Self(self.0 & !before))
    }

    /// Takes the first out of a set that is not empty.
    #[inline]
    pub(super) const fn take(&mut self) -> usize {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (bit >> 3 & 7) | (bit & 1) << 3
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn all_at_once_is_one_by_one(list in proptest::array::uniform12(0u8..4), tag in 0u8..4) {
            let mut tags = Tags::NONE;
            for (place, &tag) in list.iter().enumerate() {
                tags.set(place, 0xff);
                tags.set(place, tag);
            }
            prop_assert!((0..PLACES).all(|place| tags.get(place) == list[place]));
            let right: Vec<usize> = ORDER.into_iter().filter(|&place| list[place] == tag).collect();
            let mut places = tags.matching(tag);
            let mut found = Vec::new();
            while !places.is_empty() {
                found.push(places.take());
            }
            prop_assert_eq!(found, right);
        }
    }
}
