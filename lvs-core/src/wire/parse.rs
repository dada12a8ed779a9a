//! One look at a packet, whose result every later stage uses.
//!
//! Follows: what the kernel's IP layer makes sure of before IPVS sees a packet, and then IPVS: ports are the first four
//! bytes behind the IP headers.

use super::checksum::Sum;
use super::transport::{self, TcpFlags};
use super::{be16, icmp, ipsec, ipv4, ipv6};
use crate::addr::{Addr, Family};
use crate::flow::{Protocol, Tuple};
use crate::verdict::DropReason;

const TCP: u8 = Protocol::Tcp.number();
const SCTP: u8 = Protocol::Sctp.number();

/// What is known of a packet. Every offset and length in it is within the packet's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parsed {
    pub(crate) tuple: Tuple,
    /// Bytes of the IP packet; what the buffer holds behind them is padding.
    pub(crate) len: usize,
    /// Where the transport header begins.
    pub(crate) transport: usize,
    pub(crate) ttl: u8,
    /// Type of service, or traffic class.
    pub(crate) tos: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) tcp_flags: TcpFlags,
    /// Type of the first SCTP chunk, if its header is there.
    pub(crate) sctp_chunk: Option<u8>,
    pub(crate) shape: Shape,
    /// True for what was made of the packet that an ICMP error quotes.
    pub(crate) is_quoted: bool,
}

impl Parsed {
    /// Nothing is known yet.
    pub(crate) const UNKNOWN: Self = Self {
        tuple: Tuple {
            family: Family::V4,
            protocol: 0,
            source: Addr::UNSPECIFIED,
            destination: Addr::UNSPECIFIED,
            source_port: 0,
            destination_port: 0,
        },
        len: 0,
        transport: 0,
        ttl: 0,
        tos: 0,
        dont_fragment: false,
        tcp_flags: TcpFlags(0),
        sctp_chunk: None,
        shape: Shape::Unsupported,
        is_quoted: false,
    };
}

/// How much of the transport header can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Shape {
    /// A protocol that is not balanced, or an extension header chain without an end.
    Unsupported,
    /// The authentication header or the encapsulated payload of IPsec: no ports, and part of a connection for all that.
    Ipsec,
    /// Part of a fragmented packet, not looked into.
    Fragment,
    /// Not even the ports.
    NoPorts,
    /// The ports, but not the whole fixed header.
    PortsOnly,
    /// The fixed header.
    Whole,
    /// The fixed header, in the first part of a fragmented packet.
    FirstPart,
}

/// Reads a packet that begins with its IP header.
///
/// `verify` asks for the IPv4 header checksum to be right.
pub(crate) fn parse(bytes: &[u8], verify: bool) -> Result<Parsed, DropReason> {
    let mut parsed = Parsed::UNKNOWN;
    parsed.read(bytes, verify)?;
    Ok(parsed)
}

impl Parsed {
    /// The same, in place: what was known before is forgotten. (A burst's packets are read into an array; moving the
    /// results there would cost more than reading.)
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], verify: bool) -> Result<(), DropReason> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => self.read_v4(bytes, verify),
            Some(6) => self.read_v6(bytes),
            _ => Err(DropReason::NotIp),
        }
    }

    #[inline]
    fn read_v4(&mut self, bytes: &[u8], verify: bool) -> Result<(), DropReason> {
        let header: &[u8; ipv4::MIN_LEN] = bytes.first_chunk().ok_or(DropReason::TruncatedIp)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let len = usize::from(be16(header, ipv4::TOTAL_LENGTH));
        if header_len < ipv4::MIN_LEN || len < header_len || len > bytes.len() {
            return Err(DropReason::TruncatedIp);
        }
        if verify {
            let right = if header_len == ipv4::MIN_LEN {
                Sum::is_right(header)
            } else {
                Sum::of(&bytes[..header_len]).fold() == 0xffff
            };
            if !right {
                return Err(DropReason::IpChecksum);
            }
        }
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let fragment = be16(header, ipv4::FRAGMENT);
        self.tuple.family = Family::V4;
        self.tuple.protocol = header[ipv4::PROTOCOL];
        self.tuple.source = Addr::v4(word(ipv4::SOURCE));
        self.tuple.destination = Addr::v4(word(ipv4::DESTINATION));
        self.len = len;
        self.transport = header_len;
        self.ttl = header[ipv4::TTL];
        self.tos = header[ipv4::TOS];
        self.dont_fragment = fragment & ipv4::DONT_FRAGMENT != 0;
        if fragment & ipv4::FRAGMENT_BITS == 0 {
            self.read_transport(&bytes[..len]);
        } else {
            self.forget_transport(Shape::Fragment);
        }
        Ok(())
    }

    #[inline(never)]
    fn read_v6(&mut self, bytes: &[u8]) -> Result<(), DropReason> {
        let header: &[u8; ipv6::LEN] = bytes.first_chunk().ok_or(DropReason::TruncatedIp)?;
        let len = ipv6::LEN + usize::from(be16(header, ipv6::PAYLOAD_LENGTH));
        if len > bytes.len() {
            return Err(DropReason::TruncatedIp);
        }
        let bytes = &bytes[..len];
        let address = |at: usize| header[at..].first_chunk().map_or(Addr::UNSPECIFIED, Addr::from_v6);
        let upper = ipv6::walk(bytes);
        self.tuple.family = Family::V6;
        self.tuple.source = address(ipv6::SOURCE);
        self.tuple.destination = address(ipv6::DESTINATION);
        self.tuple.protocol = upper.map_or(NO_NEXT_HEADER, |u| u.protocol);
        self.len = len;
        self.transport = upper.map_or(len, |u| u.offset);
        self.ttl = header[ipv6::HOP_LIMIT];
        self.tos = (be16(header, 0) >> 4).to_be_bytes()[1];
        self.dont_fragment = false;
        match upper {
            Some(upper) if upper.fragment => self.forget_transport(Shape::Fragment),
            Some(_) => self.read_transport(bytes),
            None => self.forget_transport(Shape::Unsupported),
        }
        Ok(())
    }

    #[cold]
    fn forget_transport(&mut self, shape: Shape) {
        (self.tuple.source_port, self.tuple.destination_port) = (0, 0);
        (self.tcp_flags, self.sctp_chunk, self.shape) = (TcpFlags(0), None, shape);
    }
}

/// "No next header" (RFC 8200 section 4.7): what a broken chain leads to.
const NO_NEXT_HEADER: u8 = 59;

impl Parsed {
    /// Ports, flags of TCP, the first chunk of SCTP.
    #[inline]
    fn read_transport(&mut self, bytes: &[u8]) {
        let header = bytes.get(self.transport..).unwrap_or_default();
        let Some(fixed) = transport::fixed_len(self.tuple.protocol) else {
            let is_ipsec = matches!(self.tuple.protocol, ipsec::AH | ipsec::ESP);
            return self.forget_transport(if is_ipsec { Shape::Ipsec } else { Shape::Unsupported });
        };
        let Some(&[a, b, c, d]) = header.first_chunk() else { return self.forget_transport(Shape::NoPorts) };
        self.tuple.source_port = u16::from_be_bytes([a, b]);
        self.tuple.destination_port = u16::from_be_bytes([c, d]);
        self.tcp_flags = TcpFlags(0);
        self.sctp_chunk = None;
        if header.len() < fixed {
            self.shape = Shape::PortsOnly;
            return;
        }
        self.shape = Shape::Whole;
        match self.tuple.protocol {
            TCP => self.tcp_flags = TcpFlags(header[transport::TCP_FLAGS]),
            SCTP => self.sctp_chunk = header.get(transport::SCTP_LEN..transport::SCTP_LEN + 4).map(|chunk| chunk[0]),
            _ => {}
        }
    }

    /// A fragment's identification, and its offset in units of eight bytes.
    pub(crate) fn part(&self, bytes: &[u8]) -> (u32, u16) {
        match self.tuple.family {
            Family::V4 => {
                (u32::from(be16(bytes, ipv4::IDENTIFICATION)), be16(bytes, ipv4::FRAGMENT) & ipv4::OFFSET_BITS)
            }
            Family::V6 => {
                // The fragment header is the last that was read.
                let header = self.transport.saturating_sub(ipv6::FRAGMENT_LEN);
                let identification = u32::from(be16(bytes, header + 4)) << 16 | u32::from(be16(bytes, header + 6));
                (identification, be16(bytes, header + 2) >> 3)
            }
        }
    }

    /// A fragment at offset 0, read as the packet that it begins; what follows its fragment header is read, too.
    pub(crate) fn as_first_part(&self, bytes: &[u8]) -> Self {
        let mut first = *self;
        let bytes = bytes.get(..self.len).unwrap_or_default();
        if self.tuple.family == Family::V6 {
            match ipv6::walk_from(bytes, self.tuple.protocol, self.transport) {
                Some(upper) if !upper.fragment => {
                    (first.tuple.protocol, first.transport) = (upper.protocol, upper.offset);
                }
                _ => {
                    first.forget_transport(Shape::NoPorts);
                    return first;
                }
            }
        }
        first.read_transport(bytes);
        if first.shape == Shape::Whole {
            first.shape = Shape::FirstPart;
        }
        first
    }

    #[inline]
    pub(crate) const fn is_tcp(&self) -> bool {
        self.tuple.protocol == Protocol::Tcp as u8
    }

    #[inline]
    pub(crate) const fn is_udp(&self) -> bool {
        self.tuple.protocol == Protocol::Udp as u8
    }

    #[inline]
    pub(crate) const fn is_sctp(&self) -> bool {
        self.tuple.protocol == Protocol::Sctp as u8
    }

    /// True for a packet whose protocol carries ICMP errors of its family.
    pub(crate) fn is_icmp(&self) -> bool {
        let protocol = match self.tuple.family {
            Family::V4 => icmp::ICMP,
            Family::V6 => icmp::ICMPV6,
        };
        self.tuple.protocol == protocol
    }

    /// True if the packet opens a connection: a SYN, whatever else is set, or an INIT.
    #[inline]
    pub(crate) fn is_opening(&self) -> bool {
        self.tcp_flags.syn() || self.sctp_chunk == Some(transport::SCTP_INIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: [u8; 40] = [
        0x45, 0x00, 0x00, 0x28, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0x3b, 0x57, 0xc6, 0x33, 0x65, 0x07, 0xc0, 0x00,
        0x02, 0x0a, 0x4e, 0x26, 0x00, 0x50, 0x00, 0x00, 0x03, 0xe8, 0x00, 0x00, 0x00, 0x00, 0x50, 0x02, 0xff, 0xff,
        0x70, 0x3f, 0x00, 0x00,
    ];

    #[test]
    fn a_segment_shows_its_tuple_and_flags() {
        let parsed = parse(&SYN, true).unwrap();
        assert_eq!(parsed.tuple.flow().source, "198.51.101.7:20006".parse().unwrap());
        assert_eq!(parsed.tuple.flow().destination, "192.0.2.10:80".parse().unwrap());
        assert!(parsed.is_opening() && parsed.dont_fragment && parsed.shape == Shape::Whole);
        assert_eq!((parsed.len, parsed.transport, parsed.ttl), (40, 20, 64));
    }

    #[test]
    fn every_truncation_is_named() {
        for len in 0..SYN.len() {
            let expected = if len == 0 { DropReason::NotIp } else { DropReason::TruncatedIp };
            assert_eq!(parse(&SYN[..len], true).err(), Some(expected), "{len}");
        }
    }

    #[test]
    fn a_wrong_header_checksum_matters_only_when_asked_for() {
        let mut bytes = SYN;
        bytes[11] ^= 1;
        assert_eq!(parse(&bytes, true).err(), Some(DropReason::IpChecksum));
        assert!(parse(&bytes, false).is_ok());
    }

    #[test]
    fn options_move_the_ports() {
        let mut bytes = [0u8; 48];
        bytes[..20].copy_from_slice(&SYN[..20]);
        bytes[0] = 0x47;
        bytes[3] = 48;
        bytes[20..28].fill(1);
        bytes[28..].copy_from_slice(&SYN[20..]);
        let parsed = parse(&bytes, false).unwrap();
        assert_eq!((parsed.transport, parsed.tuple.destination_port), (28, 80));
    }

    #[test]
    fn a_fragment_has_no_ports() {
        let mut bytes = SYN;
        bytes[6] = 0x20;
        let parsed = parse(&bytes, false).unwrap();
        assert_eq!((parsed.shape, parsed.tuple.destination_port), (Shape::Fragment, 0));
    }

    #[test]
    fn extension_headers_are_walked_and_atomic_fragments_are_whole() {
        let mut bytes = [0u8; 40 + 8 + 8 + 8];
        bytes[0] = 0x60;
        bytes[5] = 24;
        bytes[6] = 0; // hop-by-hop, then fragment, then UDP
        bytes[40] = 44;
        bytes[48] = 17;
        bytes[56..60].copy_from_slice(&[0, 53, 0x12, 0x34]);
        let parsed = parse(&bytes, true).unwrap();
        assert_eq!((parsed.shape, parsed.tuple.source_port, parsed.transport), (Shape::Whole, 53, 56));
        bytes[51] = 1; // more fragments
        assert_eq!(parse(&bytes, true).unwrap().shape, Shape::Fragment);
        bytes[41] = 200; // a hop-by-hop header longer than the packet
        assert_eq!(parse(&bytes, true).unwrap().shape, Shape::Unsupported);
    }
}
