//! The IPv6 header and its extension headers (RFC 8200): named offsets, writers, the walk to the transport header.

use super::put16;

pub(crate) const LEN: usize = 40;
/// The smallest MTU that a link may have (RFC 8200 section 5).
pub(crate) const SMALLEST_MTU: u16 = 1280;
pub(crate) const PAYLOAD_LENGTH: usize = 4;
pub(crate) const NEXT_HEADER: usize = 6;
pub(crate) const HOP_LIMIT: usize = 7;
pub(crate) const SOURCE: usize = 8;
pub(crate) const DESTINATION: usize = 24;
/// Bytes of the fragment header.
pub(crate) const FRAGMENT_LEN: usize = 8;

/// Where the walk along the extension headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upper {
    pub(crate) protocol: u8,
    pub(crate) offset: usize,
    /// Part of a fragmented packet (an atomic fragment, RFC 6946, is not).
    pub(crate) fragment: bool,
    /// A part that is not the first.
    pub(crate) is_later_fragment: bool,
}

/// Walks along hop-by-hop, routing, destination options, fragment and authentication headers. `None` if one is cut
/// off.
pub(crate) fn walk(bytes: &[u8]) -> Option<Upper> {
    walk_from(bytes, *bytes.get(NEXT_HEADER)?, LEN)
}

/// The same from a header of some kind at an offset on.
pub(crate) fn walk_from(bytes: &[u8], first: u8, offset: usize) -> Option<Upper> {
    let (mut protocol, mut offset) = (first, offset);
    loop {
        let len = match protocol {
            0 | 43 | 60 => (usize::from(*bytes.get(offset + 1)?) + 1) * 8,
            51 => (usize::from(*bytes.get(offset + 1)?) + 2) * 4,
            44 => {
                let header = bytes.get(offset..offset + FRAGMENT_LEN)?;
                // The offset, and "more fragments"; the two bits between them are reserved.
                let word = u16::from_be_bytes([header[2], header[3]]);
                if word & 0xfff9 != 0 {
                    let is_later_fragment = word & 0xfff8 != 0;
                    let offset = offset + FRAGMENT_LEN;
                    return Some(Upper { protocol: header[0], offset, fragment: true, is_later_fragment });
                }
                FRAGMENT_LEN
            }
            _ => return Some(Upper { protocol, offset, fragment: false, is_later_fragment: false }),
        };
        let header = bytes.get(offset..offset + len)?;
        protocol = header[0];
        offset += len;
    }
}

/// Takes one off the hop limit.
#[inline]
pub(crate) fn decrement_hop_limit(header: &mut [u8]) {
    if let Some(limit) = header.get_mut(HOP_LIMIT) {
        *limit = limit.wrapping_sub(1);
    }
}

/// A header without extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) traffic_class: u8,
    pub(crate) payload_length: u16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
}

impl Header {
    pub(crate) fn write(&self, out: &mut [u8]) {
        let Some(out) = out.first_chunk_mut::<LEN>() else { return };
        *out = [0; LEN];
        put16(out, 0, 0x6000 | u16::from(self.traffic_class) << 4);
        put16(out, PAYLOAD_LENGTH, self.payload_length);
        out[NEXT_HEADER] = self.next_header;
        out[HOP_LIMIT] = self.hop_limit;
        out[SOURCE..SOURCE + 16].copy_from_slice(&self.source);
        out[DESTINATION..DESTINATION + 16].copy_from_slice(&self.destination);
    }
}
