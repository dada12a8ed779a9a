//! A TCP segment of a packet: what a helper reads of it, and how its numbers and its payload are changed.

use core::ops::Range;

use super::sequence::Correction;
use crate::addr::Family;
use crate::config::Checksum;
use crate::wire::checksum::{Delta, Sum, pseudo_tail};
use crate::wire::packet::Packet;
use crate::wire::parse::Parsed;
use crate::wire::transport::{self, TcpFlags};
use crate::wire::{be16, be32, ipv4, ipv6, put16};

/// What a helper reads of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    /// The window scale option, at most 14 (RFC 7323 section 2.3).
    pub(crate) scale: Option<u8>,
    /// Where the payload begins in the packet.
    pub(crate) payload: usize,
    /// Bytes of payload.
    pub(crate) len: usize,
}

const SEQUENCE: usize = 4;
const ACKNOWLEDGMENT: usize = 8;
const DATA_OFFSET: usize = 12;
const WINDOW: usize = 14;

const OPTION_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;
const OPTION_SCALE: u8 = 3;
const OPTION_SACK: u8 = 5;

impl Segment {
    /// Reads a packet whose TCP header is whole; `None` if the header's length field contradicts the packet.
    pub(crate) fn read(bytes: &[u8], parsed: &Parsed) -> Option<Self> {
        let segment = bytes.get(parsed.transport..parsed.len)?;
        let header = usize::from(segment.get(DATA_OFFSET)? >> 4) * 4;
        if header < transport::TCP_MIN_LEN {
            return None;
        }
        let options = segment.get(transport::TCP_MIN_LEN..header)?;
        let scale = if parsed.tcp_flags.syn() { scale_of(options) } else { None };
        Some(Self {
            sequence: be32(segment, SEQUENCE),
            acknowledgment: be32(segment, ACKNOWLEDGMENT),
            flags: parsed.tcp_flags,
            window: be16(segment, WINDOW),
            scale,
            payload: parsed.transport + header,
            len: segment.len() - header,
        })
    }

    /// Behind its last byte; SYN and FIN count as one each.
    pub(crate) fn end(&self) -> u32 {
        let len = u32::try_from(self.len).unwrap_or(u32::MAX);
        self.sequence.wrapping_add(len + u32::from(self.flags.syn()) + u32::from(self.flags.fin()))
    }
}

/// The options of a header: kind, where the content begins, its bytes.
fn options(bytes: &[u8]) -> impl Iterator<Item = (u8, usize, &[u8])> {
    let mut at = 0;
    core::iter::from_fn(move || {
        while bytes.get(at) == Some(&OPTION_NOTHING) {
            at += 1;
        }
        let &kind = bytes.get(at).filter(|&&kind| kind != OPTION_END)?;
        let len = usize::from(*bytes.get(at + 1)?);
        let start = at + 2;
        at += len;
        Some((kind, start, bytes.get(start..at)?))
    })
}

fn scale_of(bytes: &[u8]) -> Option<u8> {
    let scale = options(bytes).find(|&(kind, _, content)| kind == OPTION_SCALE && content.len() == 1);
    scale.and_then(|(_, _, content)| content.first()).map(|&scale| scale.min(14))
}

/// Is the checksum of a TCP segment right?
pub(crate) fn is_right(bytes: &[u8], parsed: &Parsed) -> bool {
    sum(bytes, parsed).fold() == 0xffff
}

/// The sum that a TCP checksum covers: pseudo-header and segment.
fn sum(bytes: &[u8], parsed: &Parsed) -> Sum {
    let segment = bytes.get(parsed.transport..parsed.len).unwrap_or_default();
    let addresses = match parsed.tuple.family {
        Family::V4 => bytes.get(ipv4::SOURCE..ipv4::DESTINATION + 4),
        Family::V6 => bytes.get(ipv6::SOURCE..ipv6::DESTINATION + 16),
    };
    let tail = pseudo_tail(parsed.tuple.protocol, u32::try_from(segment.len()).unwrap_or(u32::MAX));
    Sum::of(segment).plus(Sum::of(addresses.unwrap_or_default())).plus(tail)
}

/// Corrects the numbers of a segment: its own by `own`, what it acknowledges by `other`.
pub(crate) fn correct(bytes: &mut [u8], parsed: &Parsed, own: &Correction, other: &Correction, checksum: Checksum) {
    let Some(segment) = bytes.get_mut(parsed.transport..parsed.len) else { return };
    let mut delta = Delta::default();
    let sequence = own.forth(be32(segment, SEQUENCE));
    replace(segment, SEQUENCE, sequence, &mut delta);
    if parsed.tcp_flags.ack() {
        let acknowledged = other.back(be32(segment, ACKNOWLEDGMENT));
        replace(segment, ACKNOWLEDGMENT, acknowledged, &mut delta);
        correct_blocks(segment, other, &mut delta);
    }
    if checksum != Checksum::Partial {
        delta.mend(segment, transport::TCP_CHECKSUM);
    }
}

/// Selective acknowledgments (RFC 2018 section 3): pairs of numbers in an option.
fn correct_blocks(segment: &mut [u8], other: &Correction, delta: &mut Delta) {
    let header = usize::from(segment.get(DATA_OFFSET).map_or(0, |byte| byte >> 4)) * 4;
    let Some(bytes) = segment.get(transport::TCP_MIN_LEN..header) else { return };
    let block = options(bytes).find(|&(kind, _, _)| kind == OPTION_SACK);
    let Some((start, len)) = block.map(|(_, start, content)| (start, content.len())) else { return };
    let start = transport::TCP_MIN_LEN + start;
    for at in (start..start + len / 8 * 8).step_by(4) {
        let number = other.back(be32(segment, at));
        replace(segment, at, number, delta);
    }
}

/// Replaces a number, and notes what that does to a sum that counts words from the beginning of the segment.
fn replace(segment: &mut [u8], at: usize, new: u32, delta: &mut Delta) {
    let old = be32(segment, at);
    let Some(field) = segment.get_mut(at..at + 4) else { return };
    field.copy_from_slice(&new.to_be_bytes());
    // At an odd place the bytes of each word change their roles.
    let word = |number: u32| Sum::word(if at.is_multiple_of(2) { number } else { number.swap_bytes() });
    *delta = delta.plus(Delta::replacing(word(old), word(new)));
}

/// Replaces a part of a packet by a text, and mends lengths and checksums; false, and nothing done, if the text needs
/// more room than there is.
pub(crate) fn splice(
    packet: &mut Packet<'_>,
    parsed: &mut Parsed,
    part: &Range<usize>,
    text: &[u8],
    checksum: Checksum,
) -> bool {
    packet.truncate(parsed.len);
    if !packet.splice(part.start, part.len(), text) {
        return false;
    }
    let old_len = parsed.len;
    parsed.len = packet.len();
    let bytes = packet.bytes_mut();
    let field = match parsed.tuple.family {
        Family::V4 => ipv4::TOTAL_LENGTH,
        Family::V6 => ipv6::PAYLOAD_LENGTH,
    };
    let in_front = if parsed.tuple.family == Family::V6 { ipv6::LEN } else { 0 };
    put16(bytes, field, u16::try_from(parsed.len - in_front).unwrap_or(u16::MAX));
    let word = |len: usize| Sum::word(u32::try_from(len).unwrap_or(u32::MAX));
    if parsed.tuple.family == Family::V4 {
        Delta::replacing(word(old_len), word(parsed.len)).mend(bytes, ipv4::CHECKSUM);
    }
    let at = parsed.transport + transport::TCP_CHECKSUM;
    match checksum {
        // What stands there is the sum of the pseudo-header alone, its length included.
        Checksum::Partial => {
            let [old_len, len] = [old_len, parsed.len].map(|len| word(len - parsed.transport));
            Delta::replacing(old_len, len).mend_sum(bytes, at);
        }
        Checksum::Unverified | Checksum::Verified => {
            put16(bytes, at, 0);
            let checksum = sum(bytes, parsed).checksum();
            put16(bytes, at, checksum);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::packets;

    /// A master has told that it shifts the numbers of this connection.
    #[test]
    fn the_checksum_follows_numbers_that_are_shifted() {
        let [own, other] = [[900, 7, 3], [4_900, u32::MAX - 4, 0]].map(Correction::from_parts);
        let segment = packets::tcp("198.51.100.7:40000", "192.0.2.10:21").numbers(1_000, 5_000).payload(b"NOOP\r\n");
        let mut bytes = segment.build();
        let mut parsed = Parsed::UNKNOWN;
        parsed.read(&bytes, true).unwrap();
        correct(&mut bytes, &parsed, &own, &other, Checksum::Verified);
        let right = packets::tcp("198.51.100.7:40000", "192.0.2.10:21").numbers(1_007, 5_005).payload(b"NOOP\r\n");
        assert_eq!(bytes, right.build());
        assert!(is_right(&bytes, &parsed));
    }
}
