//! An ICMP error about a translated packet: the addresses inside and outside, and the checksums of both.
//!
//! Follows: NAT of ICMP errors in IPVS. The transport checksum inside the quote is left as it is.

use crate::addr::{Addr, Family};
use crate::verdict::Direction;
use crate::wire::checksum::{Sum, pseudo_tail};
use crate::wire::parse::Parsed;
use crate::wire::quote::{ICMP_HEADER, Quote};
use crate::wire::{ipv4, ipv6, put16, transport};

const CHECKSUM: usize = 2;
const ICMPV6: u8 = 58;

/// The new addresses and port of an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Translation {
    /// Towards the server the outer destination and the quoted source change, towards the client the outer source and
    /// the quoted destination.
    pub(crate) direction: Direction,
    pub(crate) address: Addr,
    pub(crate) port: u16,
}

/// Whether the error's own checksum is right.
pub(crate) fn is_right(bytes: &[u8], parsed: &Parsed) -> bool {
    let message = bytes.get(parsed.transport..parsed.len).unwrap_or_default();
    message_sum(bytes, message, parsed.tuple.family).fold() == 0xffff
}

fn message_sum(packet: &[u8], message: &[u8], family: Family) -> Sum {
    let sum = Sum::of(message);
    match family {
        Family::V4 => sum,
        Family::V6 => {
            let addresses = packet.get(ipv6::SOURCE..ipv6::DESTINATION + 16).unwrap_or_default();
            let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
            sum.plus(Sum::of(addresses)).plus(pseudo_tail(ICMPV6, len))
        }
    }
}

/// Rewrites an error in place; `bytes` are the whole packet, as long as its header says.
pub(crate) fn translate(bytes: &mut [u8], parsed: &Parsed, quote: &Quote, to: &Translation) {
    let inner = parsed.transport + ICMP_HEADER;
    let (outer_at, inner_at, port_at) = match (to.direction, parsed.tuple.family) {
        (Direction::ToServer, Family::V4) => (ipv4::DESTINATION, ipv4::SOURCE, transport::SOURCE_PORT),
        (Direction::ToServer, Family::V6) => (ipv6::DESTINATION, ipv6::SOURCE, transport::SOURCE_PORT),
        (Direction::ToClient, Family::V4) => (ipv4::SOURCE, ipv4::DESTINATION, transport::DESTINATION_PORT),
        (Direction::ToClient, Family::V6) => (ipv6::SOURCE, ipv6::DESTINATION, transport::DESTINATION_PORT),
    };
    put_address(bytes, outer_at, to.address, parsed.tuple.family);
    put_address(bytes, inner + inner_at, to.address, parsed.tuple.family);
    if !quote.is_ipsec() {
        put16(bytes, inner + quote.transport + port_at, to.port);
    }
    if parsed.tuple.family == Family::V4 {
        ipv4::refresh_checksum(bytes, parsed.transport);
        if let Some(header) = bytes.get_mut(inner..inner + quote.transport) {
            ipv4::refresh_checksum(header, quote.transport);
        }
    }
    put16(bytes, parsed.transport + CHECKSUM, 0);
    let message = bytes.get(parsed.transport..).unwrap_or_default();
    let checksum = message_sum(bytes, message, parsed.tuple.family).checksum();
    put16(bytes, parsed.transport + CHECKSUM, checksum);
}

fn put_address(bytes: &mut [u8], at: usize, address: Addr, family: Family) {
    let (v4, v6) = (address.to_v4_bytes(), address.to_v6_bytes());
    let octets: &[u8] = match family {
        Family::V4 => &v4,
        Family::V6 => &v6,
    };
    if let Some(field) = bytes.get_mut(at..at + octets.len()) {
        field.copy_from_slice(octets);
    }
}
