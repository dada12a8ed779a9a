//! Bytes to fields and back. Knows headers; knows no service and no connection.
//!
//! A packet is parsed once ([`parse`]); every later stage uses the offsets found there. Offsets come from the parser
//! and are within the packet, so the writers here index without asking again.

pub(crate) mod checksum;
pub(crate) mod crc32c;
pub(crate) mod icmp;
pub(crate) mod ipsec;
pub(crate) mod ipv4;
pub(crate) mod ipv6;
pub(crate) mod packet;
pub(crate) mod parse;
pub(crate) mod plain;
pub(crate) mod quote;
pub(crate) mod reset;
pub(crate) mod transport;

pub use packet::Packet;

/// The big-endian number at an offset. Out of the packet it is 0: the parser has made sure that no such offset gets
/// here, and a wrong number is better than a crash.
#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

/// The same of four bytes.
#[inline]
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// Writes a big-endian number at an offset; outside of the packet it does nothing.
#[inline]
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
