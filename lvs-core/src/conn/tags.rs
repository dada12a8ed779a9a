//! The twelve tags of a bucket, compared all at once.

use super::processor;

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
    pub(super) fn matching(self, tag: u8) -> Places {
        // The last four bytes are looked at, too, so that all are fetched at once.
        let rest = u64::from(self.rest) | u64::from(self.passed) << 32;
        Places(processor::equal_bytes(self.first, rest, tag))
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

/// A set of places, one bit for each, taken one by one from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places(u32);

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
        let place = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        place
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
            let right: Vec<usize> = (0..PLACES).filter(|&place| list[place] == tag).collect();
            let mut places = tags.matching(tag);
            let mut found = Vec::new();
            while !places.is_empty() {
                found.push(places.take());
            }
            prop_assert_eq!(found, right);
        }
    }
}
