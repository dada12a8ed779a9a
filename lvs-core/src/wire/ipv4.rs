//! The IPv4 header (RFC 791): named offsets and the few writers that forwarding needs.

use super::checksum::Sum;
use super::{be16, put16};

pub(crate) const MIN_LEN: usize = 20;
/// The smallest MTU that a link may have (RFC 791 section 3.2).
pub(crate) const SMALLEST_MTU: u16 = 68;
pub(crate) const TOS: usize = 1;
pub(crate) const TOTAL_LENGTH: usize = 2;
pub(crate) const IDENTIFICATION: usize = 4;
pub(crate) const FRAGMENT: usize = 6;
pub(crate) const TTL: usize = 8;
pub(crate) const PROTOCOL: usize = 9;
pub(crate) const CHECKSUM: usize = 10;
pub(crate) const SOURCE: usize = 12;
pub(crate) const DESTINATION: usize = 16;

/// "Don't fragment", in the word at [`FRAGMENT`].
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments" and the fragment offset.
pub(crate) const FRAGMENT_BITS: u16 = 0x3fff;
/// The fragment offset alone, in units of eight bytes.
pub(crate) const OFFSET_BITS: u16 = 0x1fff;

/// Takes one off the TTL and mends the checksum (RFC 1141).
#[inline]
pub(crate) fn decrement_ttl(header: &mut [u8]) {
    let checksum = u32::from(be16(header, CHECKSUM)) + 0x0100;
    let folded = checksum + u32::from(checksum >= 0xffff);
    put16(header, CHECKSUM, u16::try_from(folded & 0xffff).unwrap_or(0));
    if let Some(ttl) = header.get_mut(TTL) {
        *ttl = ttl.wrapping_sub(1);
    }
}

/// Computes the checksum of a header of `len` bytes anew.
pub(crate) fn refresh_checksum(header: &mut [u8], len: usize) {
    put16(header, CHECKSUM, 0);
    let checksum = Sum::of(header.get(..len).unwrap_or_default()).checksum();
    put16(header, CHECKSUM, checksum);
}

/// Takes "don't fragment" out of an IPv4 header; a header of IPv6 stays as it is.
pub(crate) fn allow_fragments(header: &mut [u8]) {
    let word = be16(header, FRAGMENT);
    if header.first().is_some_and(|first| first >> 4 == 4) && word & DONT_FRAGMENT != 0 {
        put16(header, FRAGMENT, word & !DONT_FRAGMENT);
        let len = usize::from(header[0] & 0x0f) * 4;
        refresh_checksum(header, len);
    }
}

/// A header of 20 bytes without options, checksum included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) tos: u8,
    pub(crate) total_length: u16,
    pub(crate) identification: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
}

impl Header {
    #[inline]
    pub(crate) fn write(&self, out: &mut [u8]) {
        let Some(out) = out.first_chunk_mut::<MIN_LEN>() else { return };
        let (length, identification) = (u32::from(self.total_length), u32::from(self.identification));
        let fragment = if self.dont_fragment { u32::from(DONT_FRAGMENT) } else { 0 };
        let mut words = [
            0x4500_0000 | u32::from(self.tos) << 16 | length,
            identification << 16 | fragment,
            u32::from(self.ttl) << 24 | u32::from(self.protocol) << 16,
            u32::from_be_bytes(self.source),
            u32::from_be_bytes(self.destination),
        ];
        let sum = words.iter().fold(Sum::default(), |sum, &word| sum.plus(Sum::word(word)));
        words[CHECKSUM / 4] |= u32::from(sum.checksum());
        for (field, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *field = word.to_be_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_one_off_the_ttl_keeps_the_checksum_right_for_every_header() {
        for ttl in 1..=255 {
            for identification in (0..=0xffff).step_by(7) {
                let header = Header {
                    tos: 0,
                    total_length: 40,
                    identification,
                    dont_fragment: false,
                    ttl,
                    protocol: 6,
                    source: [192, 0, 2, 1],
                    destination: [10, 0, 0, 1],
                };
                let mut bytes = [0; MIN_LEN];
                header.write(&mut bytes);
                decrement_ttl(&mut bytes);
                let mut expected = [0; MIN_LEN];
                Header { ttl: ttl - 1, ..header }.write(&mut expected);
                assert_eq!(bytes, expected);
            }
        }
    }
}
