//! The Internet checksum (RFC 1071): in full, and by difference (RFC 1624).

/// A one's complement sum of 16-bit words, not yet folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    /// The sum of bytes, read as big-endian words; an odd last byte is the high half of a word.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut sum = 0u64;
        for word in words {
            sum += u64::from(u32::from_be_bytes(*word));
        }
        sum += match *rest {
            [] => 0,
            [a] => u64::from(a) << 8,
            [a, b] => u64::from(u16::from_be_bytes([a, b])),
            [a, b, c, ..] => u64::from(u16::from_be_bytes([a, b])) + (u64::from(c) << 8),
        };
        Self(sum)
    }

    /// Whether bytes that contain their own checksum add up. The order of bytes in a word does not matter for that
    /// (RFC 1071 section 2), so they are taken as they lie.
    #[inline]
    pub(crate) fn is_right(bytes: &[u8; 20]) -> bool {
        let sum = bytes.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        Self(sum).fold() == 0xffff
    }

    /// The sum of one 32-bit number.
    pub(crate) const fn word(word: u32) -> Self {
        Self(word as u64)
    }

    /// Both sums. Each operand is below 2^48 for any packet, so nothing overflows.
    #[inline]
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum as one word, end-around carries added.
    #[inline]
    pub(crate) const fn fold(self) -> u16 {
        // Below 2^33, then below 2^18, then below 2^16 + 4.
        let mut sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        low16(sum + (sum >> 16))
    }

    /// The checksum: the complement of the folded sum.
    #[inline]
    pub(crate) const fn checksum(self) -> u16 {
        !self.fold()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
#[inline]
const fn low16(word: u64) -> u16 {
    word as u16
}

/// The change that replacing some words makes to a sum: what a flow's rewriting adds, computed once.
///
/// Kept as the bytes of a word lie in a packet, whatever that means to the processor: sums do not depend on it (RFC 1071
/// section 2), and nothing has to be turned round for each packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta(u16);

impl Delta {
    /// Replaces `old` words by `new` ones.
    #[inline]
    pub(crate) const fn replacing(old: Sum, new: Sum) -> Self {
        Self(Sum((!old.fold() as u64) + new.0).fold().to_be())
    }

    /// Takes a word off.
    pub(crate) const fn without(word: u16) -> Self {
        Self((!word).to_be())
    }

    /// The change back.
    #[inline]
    pub(crate) const fn reversed(self) -> Self {
        Self(!self.0)
    }

    /// Changes the checksum at an offset (RFC 1624, equation 3). Errors in it stay errors. Outside of the packet it does
    /// nothing.
    #[inline(always)]
    pub(crate) fn mend(self, bytes: &mut [u8], at: usize) {
        if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            let sum = Self(!u16::from_ne_bytes(*field)).plus(self);
            *field = (!sum.0).to_ne_bytes();
        }
    }

    /// The same of a sum that is no checksum yet: that of a pseudo-header.
    pub(crate) fn mend_sum(self, bytes: &mut [u8], at: usize) {
        if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *field = Self(u16::from_ne_bytes(*field)).plus(self).0.to_ne_bytes();
        }
    }

    /// Both changes.
    #[inline]
    pub(crate) const fn plus(self, other: Self) -> Self {
        // Three words at most: one carry, and none after it.
        let sum = self.0 as u32 + other.0 as u32;
        Self(low16((sum + (sum >> 16)) as u64))
    }
}

/// The sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) without the addresses.
pub(crate) const fn pseudo_tail(protocol: u8, len: u32) -> Sum {
    Sum(protocol as u64 + len as u64)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071, the obvious way.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624_comes_out_as_zero() {
        let mut header = [0xdd, 0x2f];
        Delta::replacing(Sum::word(0x5555), Sum::word(0x3285)).mend(&mut header, 0);
        assert_eq!(header, [0, 0]);
    }

    proptest! {
        #[test]
        fn a_checksum_equals_the_naive_one(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::of(&bytes).checksum(), naive(&bytes));
        }

        #[test]
        fn an_update_equals_recomputing(mut bytes in proptest::collection::vec(any::<u8>(), 20..80), new: u32, at in 0usize..4) {
            bytes[0] |= 1; // a header is never all zero
            let at = at * 4 + 4;
            let before = naive(&bytes);
            let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            let delta = Delta::replacing(Sum::word(old), Sum::word(new));
            bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
            let mut field = before.to_be_bytes();
            delta.mend(&mut field, 0);
            prop_assert_eq!(field, naive(&bytes).to_be_bytes());
            delta.reversed().mend(&mut field, 0);
            prop_assert_eq!(field, before.to_be_bytes());
            let mut sum = (!before).to_be_bytes();
            delta.mend_sum(&mut sum, 0);
            prop_assert_eq!(sum, (!naive(&bytes)).to_be_bytes());
            delta.mend(&mut sum, 1);
            prop_assert_eq!(sum, (!naive(&bytes)).to_be_bytes());
        }
    }
}
