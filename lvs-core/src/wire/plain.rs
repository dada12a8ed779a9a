//! The everyday packet: nothing between its IP header and that of TCP, UDP or SCTP, nothing missing, nothing odd.
//!
//! What the straight way asks of a packet is little, and this is all of it. Whatever is not plain is read in full
//! ([`parse`](super::parse)), and so is a plain packet that has to take the long way.

use super::checksum::Sum;
use super::transport::{self, TcpFlags};
use super::{be16, ipv4, ipv6};
use crate::addr::{Addr, Family};
use crate::flow::{Protocol, Tuple};

/// What is known of a plain packet. Its whole IP header and its whole transport header, without options, are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    /// The last word of the source, and in the upper half that of the destination: of IPv4 the addresses.
    pub(crate) ends: u64,
    /// The source port, never 0, and in the upper half the destination port.
    pub(crate) ports: u32,
    /// Bytes of the IP packet.
    pub(crate) len: u16,
    pub(crate) family: Family,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    pub(crate) tcp_flags: TcpFlags,
}

impl Plain {
    /// Where the transport header begins.
    #[inline(always)]
    pub(crate) const fn transport(family: Family) -> usize {
        match family {
            Family::V4 => ipv4::MIN_LEN,
            Family::V6 => ipv6::LEN,
        }
    }

    /// Reads a packet, if it is a plain one. `verify` asks for the IPv4 header checksum to be right.
    #[cfg(test)]
    fn of(bytes: &[u8], verify: bool) -> Option<Self> {
        match Self::family_of(bytes)? {
            Family::V4 => Self::of_v4(bytes, verify),
            Family::V6 => Self::of_v6(bytes),
        }
    }

    /// The family of a packet that may be plain.
    #[inline(always)]
    pub(crate) fn family_of(bytes: &[u8]) -> Option<Family> {
        match bytes.first()? {
            0x45 => Some(Family::V4),
            0x60..=0x6f => Some(Family::V6),
            _ => None,
        }
    }

    #[inline(always)]
    pub(crate) fn of_v4(bytes: &[u8], verify: bool) -> Option<Self> {
        let header: &[u8; ipv4::MIN_LEN + transport::UDP_LEN] = bytes.first_chunk()?;
        let protocol = header[ipv4::PROTOCOL];
        let len = be16(header, ipv4::TOTAL_LENGTH);
        if be16(header, ipv4::FRAGMENT) & ipv4::FRAGMENT_BITS != 0 || usize::from(len) > bytes.len() {
            return None;
        }
        let tcp_flags = flags(bytes, ipv4::MIN_LEN, protocol, usize::from(len))?;
        if verify && !header.first_chunk().is_some_and(Sum::is_right) {
            return None;
        }
        let ends = header[ipv4::SOURCE..].first_chunk().map_or(0, |both| u64::from_be_bytes(*both).rotate_left(32));
        let ports = ports(header, ipv4::MIN_LEN)?;
        Some(Self { ends, ports, len, family: Family::V4, protocol, ttl: header[ipv4::TTL], tcp_flags })
    }

    #[inline]
    pub(crate) fn of_v6(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; ipv6::LEN + transport::UDP_LEN] = bytes.first_chunk()?;
        let protocol = header[ipv6::NEXT_HEADER];
        let len = u16::try_from(ipv6::LEN).unwrap_or(0).checked_add(be16(header, ipv6::PAYLOAD_LENGTH))?;
        if usize::from(len) > bytes.len() {
            return None;
        }
        let tcp_flags = flags(bytes, ipv6::LEN, protocol, usize::from(len))?;
        let (source, destination) = addresses(header);
        let ends = u64::from(source.last()) | u64::from(destination.last()) << 32;
        let ports = ports(header, ipv6::LEN)?;
        Some(Self { ends, ports, len, family: Family::V6, protocol, ttl: header[ipv6::HOP_LIMIT], tcp_flags })
    }

    /// The last words of source and destination.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    pub(crate) const fn last_words(&self) -> [u32; 2] {
        [self.ends as u32, (self.ends >> 32) as u32]
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    pub(crate) const fn source_port(&self) -> u16 {
        self.ports as u16
    }

    #[inline(always)]
    pub(crate) const fn destination_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    /// The addresses, of which those of IPv6 are still only in the packet. (The family is said once more: where it is a
    /// constant, so is what follows from it.)
    #[inline(always)]
    pub(crate) fn addresses(&self, family: Family, bytes: &[u8]) -> (Addr, Addr) {
        match family {
            Family::V4 => {
                let [source, destination] = self.last_words();
                (Addr::v4(source), Addr::v4(destination))
            }
            Family::V6 => addresses(bytes),
        }
    }

    /// Of a flow, as far as searching for it goes; nothing if its source port is 0.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn of_flow(tuple: &Tuple) -> Option<Self> {
        let ends = u64::from(tuple.source.last()) | u64::from(tuple.destination.last()) << 32;
        let ports = u32::from(tuple.source_port) | u32::from(tuple.destination_port) << 16;
        let (family, protocol) = (tuple.family, tuple.protocol);
        let plain = Self { ends, ports, len: 0, family, protocol, ttl: 0, tcp_flags: TcpFlags(0) };
        (tuple.source_port != 0).then_some(plain)
    }

    /// All that identifies its flow.
    pub(crate) fn tuple(&self, bytes: &[u8]) -> Tuple {
        let (source, destination) = self.addresses(self.family, bytes);
        let (source_port, destination_port) = (self.source_port(), self.destination_port());
        Tuple { family: self.family, protocol: self.protocol, source, destination, source_port, destination_port }
    }
}

/// The control bits of a TCP segment, none of the other protocols; nothing if the header is not all within `len`.
#[inline(always)]
fn flags(bytes: &[u8], transport: usize, protocol: u8, len: usize) -> Option<TcpFlags> {
    if len < transport + transport::fixed_len(protocol)? {
        return None;
    }
    let is_tcp = protocol == Protocol::Tcp.number();
    Some(TcpFlags(if is_tcp { *bytes.get(transport + transport::TCP_FLAGS)? } else { 0 }))
}

/// Both ports, unless the source port is 0: that stands for one that is not known yet.
#[inline(always)]
fn ports(bytes: &[u8], transport: usize) -> Option<u32> {
    let ports = u32::from_be_bytes(*bytes.get(transport..)?.first_chunk()?).rotate_left(16);
    (ports & 0xffff != 0).then_some(ports)
}

/// What lies in front of the last words of an IPv6 packet's source and destination.
#[inline(always)]
pub(crate) fn rests(bytes: &[u8]) -> [[u32; 3]; 2] {
    let (source, destination) = addresses(bytes);
    [source.rest(), destination.rest()]
}

/// Source and destination of an IPv6 header.
#[inline(always)]
fn addresses(bytes: &[u8]) -> (Addr, Addr) {
    let address = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).map_or(Addr::UNSPECIFIED, Addr::from_v6);
    (address(ipv6::SOURCE), address(ipv6::DESTINATION))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::testkit::packets;
    use crate::wire::parse::{Shape, parse};
    use proptest::prelude::*;

    proptest! {
        /// A plain packet is read as in full, and what is read in full as everyday is plain.
        #[test]
        fn both_ways_to_read_a_packet_agree(
            v6: bool, kind in 0u8..4, ports in (any::<u16>(), any::<u16>()), flags: u8,
            change in proptest::option::of((0usize..64, any::<u8>())), cut in 0usize..8, verify: bool,
        ) {
            let (a, b) = if v6 { ("[2001:db8::5]", "[2001:db8::9]") } else { ("198.51.100.7", "192.0.2.9") };
            let (a, b) = (std::format!("{a}:{}", ports.0), std::format!("{b}:{}", ports.1));
            let mut bytes = match kind {
                0 => packets::tcp(&a, &b).flags(flags).build(),
                1 => packets::udp(&a, &b).build(),
                2 => {
                    let mut bytes = packets::udp(&a, &b).payload(b"chunk").build();
                    bytes[if v6 { 6 } else { 9 }] = Protocol::Sctp.number();
                    bytes
                }
                _ => packets::tcp(&a, &b).payload(b"more").build(),
            };
            if let Some((at, to)) = change && at < bytes.len() {
                bytes[at] = to;
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let (plain, full) = (Plain::of(&bytes, verify), parse(&bytes, verify));
            if let Some(plain) = plain {
                let full = full.expect("a plain packet can be read");
                prop_assert_eq!(full.shape, Shape::Whole);
                prop_assert_eq!(full.transport, Plain::transport(plain.family));
                prop_assert_eq!((full.tuple.source, full.tuple.destination), plain.addresses(plain.family, &bytes));
                prop_assert_eq!((full.tuple.source_port, full.tuple.destination_port), (plain.source_port(), plain.destination_port()));
                prop_assert_eq!((full.tuple.family, full.tuple.protocol), (plain.family, plain.protocol));
                prop_assert_eq!((full.len, full.ttl, full.tcp_flags), (usize::from(plain.len), plain.ttl, plain.tcp_flags));
                let last = u64::from(full.tuple.source.last()) | u64::from(full.tuple.destination.last()) << 32;
                prop_assert_eq!(last, plain.ends);
            } else if let Ok(full) = full {
                let everyday = full.shape == Shape::Whole && full.tuple.source_port != 0
                    && full.transport == Plain::transport(full.tuple.family);
                prop_assert!(!everyday, "{:?}", full);
            }
        }
    }
}
