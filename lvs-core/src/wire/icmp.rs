//! ICMP errors (RFC 792, RFC 4443), built in place around the packet that drew them.
//!
//! Follows: the errors that the kernel sends on behalf of IPVS: at most 576 bytes over IPv4 and 1280 over IPv6, TTL 64,
//! no options, and over IPv4 the type of service of the offender with internetwork control precedence.

use super::checksum::{Sum, pseudo_tail};
use super::packet::Packet;
use super::parse::Parsed;
use super::{ipv4, ipv6, put16};
use crate::addr::{Addr, Family};

/// An error to send about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpError {
    PortUnreachable,
    NoRoute,
    TimeExceeded,
    /// With the largest packet that gets through.
    TooBig(u16),
    /// With the type, the code and the second word of another.
    Relayed([u8; 2], [u8; 4]),
}

impl IcmpError {
    /// Type and code.
    const fn kind(self, family: Family) -> [u8; 2] {
        match (family, self) {
            (Family::V4, Self::PortUnreachable) => [3, 3],
            (Family::V4, Self::NoRoute) => [3, 1],
            (Family::V4, Self::TimeExceeded) => [11, 0],
            (Family::V4, Self::TooBig(_)) => [3, 4],
            (Family::V6, Self::PortUnreachable) => [1, 4],
            (Family::V6, Self::NoRoute) => [1, 3],
            (Family::V6, Self::TimeExceeded) => [3, 0],
            (Family::V6, Self::TooBig(_)) => [2, 0],
            (_, Self::Relayed(kind, _)) => kind,
        }
    }

    /// What follows the checksum.
    const fn word(self) -> [u8; 4] {
        match self {
            Self::TooBig(mtu) => {
                let [high, low] = mtu.to_be_bytes();
                [0, 0, high, low]
            }
            Self::Relayed(_, word) => word,
            _ => [0; 4],
        }
    }
}

const ICMP_HEADER: usize = 8;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;
/// Longest error, by family.
const ERROR_MAX_V4: usize = 576;
const ERROR_MAX_V6: usize = 1280;

/// Bytes of IP and ICMP header of an error, and how many of the packet it quotes.
fn layout(parsed: &Parsed) -> (usize, usize) {
    let (ip_len, error_max) = match parsed.tuple.family {
        Family::V4 => (ipv4::MIN_LEN, ERROR_MAX_V4),
        Family::V6 => (ipv6::LEN, ERROR_MAX_V6),
    };
    (ip_len, parsed.len.min(error_max - ip_len - ICMP_HEADER))
}

/// True if the packet's buffer has room for an error about it.
pub(crate) fn has_room(packet: &Packet<'_>, parsed: &Parsed) -> bool {
    let (ip_len, quoted) = layout(parsed);
    packet.has_room(ip_len + ICMP_HEADER, quoted)
}

/// Replaces a packet by the error about it, sent from `source` to the packet's sender. There must be
/// [room](has_room) for it.
pub(crate) fn replace(packet: &mut Packet<'_>, parsed: &Parsed, error: IcmpError, source: Addr) {
    let (ip_len, quoted) = layout(parsed);
    let headers = ip_len + ICMP_HEADER;
    packet.truncate(quoted);
    packet.make_headroom(headers);
    packet.grow_front(headers);
    let len = headers + quoted;
    let bytes = packet.bytes_mut();
    let icmp = &mut bytes[ip_len..];
    icmp[..ICMP_HEADER].fill(0);
    icmp[..2].copy_from_slice(&error.kind(parsed.tuple.family));
    icmp[4..ICMP_HEADER].copy_from_slice(&error.word());
    match parsed.tuple.family {
        Family::V4 => {
            let checksum = Sum::of(icmp).checksum();
            put16(icmp, 2, checksum);
            ipv4::Header {
                tos: parsed.tos & 0x1e | 0xc0,
                total_length: u16::try_from(len).unwrap_or(u16::MAX),
                identification: 0,
                dont_fragment: false,
                ttl: 64,
                protocol: ICMP,
                source: source.to_v4_bytes(),
                destination: parsed.tuple.source.to_v4_bytes(),
            }
            .write(bytes);
        }
        Family::V6 => {
            let payload = u16::try_from(len - ip_len).unwrap_or(u16::MAX);
            let (from, to) = (source.to_v6_bytes(), parsed.tuple.source.to_v6_bytes());
            let sum = Sum::of(&from).plus(Sum::of(&to)).plus(pseudo_tail(ICMPV6, u32::from(payload)));
            let checksum = sum.plus(Sum::of(icmp)).checksum();
            put16(icmp, 2, checksum);
            ipv6::Header {
                traffic_class: 0,
                payload_length: payload,
                next_header: ICMPV6,
                hop_limit: 64,
                source: from,
                destination: to,
            }
            .write(bytes);
        }
    }
}
