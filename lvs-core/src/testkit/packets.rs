//! Packets to test with: IPv4 and IPv6, TCP and UDP, every checksum right unless it is asked to be wrong.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::addr::Addr;
use crate::flow::Protocol;
use crate::wire::checksum::{Sum, pseudo_tail};
use crate::wire::{crc32c, ipv4, ipv6, put16, transport};

/// Starts a TCP segment from one endpoint to another; both are of one family.
///
/// ```
/// use lvs_core::testkit::packets;
///
/// let syn = packets::tcp("198.51.100.9:40000", "192.0.2.10:80").syn().ttl(3).build();
/// assert_eq!((syn.len(), syn[8], syn[33]), (40, 3, 0x02));
/// ```
///
/// # Panics
/// If a text is no address and port, or the families differ: this is for tests.
#[must_use]
pub fn tcp(source: &str, destination: &str) -> Builder {
    Builder::new(Protocol::Tcp, parse(source), parse(destination))
}

/// Starts a UDP datagram; as [`tcp`].
///
/// # Panics
/// As [`tcp`].
#[must_use]
pub fn udp(source: &str, destination: &str) -> Builder {
    Builder::new(Protocol::Udp, parse(source), parse(destination))
}

fn parse(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port, such as 192.0.2.1:80 or [2001:db8::1]:80")
}

/// A packet in the making.
#[derive(Clone, Debug)]
pub struct Builder {
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
    flags: u8,
    sequence: u32,
    acknowledgment: u32,
    ttl: u8,
    tos: u8,
    dont_fragment: bool,
    options: usize,
    chunk: u8,
    second_chunk: Option<u8>,
    identification: u16,
    no_checksum: bool,
    payload: Vec<u8>,
}

impl Builder {
    /// A packet of a protocol between two endpoints of one family.
    ///
    /// # Panics
    /// If the families differ.
    #[must_use]
    pub fn new(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Self {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "one family");
        Self {
            protocol,
            source,
            destination,
            flags: 0x10,
            sequence: 1000,
            acknowledgment: 0,
            ttl: 64,
            tos: 0,
            dont_fragment: true,
            options: 0,
            chunk: transport::SCTP_INIT,
            second_chunk: None,
            identification: 0x1234,
            no_checksum: false,
            payload: Vec::new(),
        }
    }

    /// A TCP segment with SYN alone.
    #[must_use]
    pub const fn syn(self) -> Self {
        self.flags(0x02)
    }

    /// A TCP segment with these control bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    #[must_use]
    pub const fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// An SCTP packet whose first chunk is of this type.
    #[must_use]
    pub const fn chunk(mut self, chunk: u8) -> Self {
        self.chunk = chunk;
        self
    }

    /// A TCP segment with these numbers: where it begins, and what it acknowledges.
    #[must_use]
    pub const fn numbers(mut self, sequence: u32, acknowledgment: u32) -> Self {
        (self.sequence, self.acknowledgment) = (sequence, acknowledgment);
        self
    }

    /// Another chunk of this type, without content, behind the first.
    #[must_use]
    pub const fn and_chunk(mut self, chunk: u8) -> Self {
        self.second_chunk = Some(chunk);
        self
    }

    /// The identification of an IPv4 packet.
    #[must_use]
    pub const fn identification(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// TTL or hop limit.
    #[must_use]
    pub const fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Type of service or traffic class.
    #[must_use]
    pub const fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// An IPv4 packet that may be fragmented.
    #[must_use]
    pub const fn may_fragment(mut self) -> Self {
        self.dont_fragment = false;
        self
    }

    /// So many words of IPv4 options (no-operation), at most ten, or so many IPv6 hop-by-hop headers.
    #[must_use]
    pub const fn options(mut self, words: usize) -> Self {
        self.options = words;
        self
    }

    /// A UDP datagram without a checksum.
    #[must_use]
    pub const fn no_checksum(mut self) -> Self {
        self.no_checksum = true;
        self
    }

    /// What the packet carries.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// The packet's bytes, from the IP header on.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        self.build_in(0)
    }

    /// The same with bytes of headroom in front.
    #[must_use]
    pub fn build_in(&self, headroom: usize) -> Vec<u8> {
        let transport = self.transport();
        let mut out = alloc::vec![0; headroom];
        out.extend(self.ip(transport.len()));
        out.extend(transport);
        out
    }

    fn transport(&self) -> Vec<u8> {
        let (header, checksum_at) = match self.protocol {
            Protocol::Tcp => (transport::TCP_MIN_LEN, transport::TCP_CHECKSUM),
            Protocol::Udp => (transport::UDP_LEN, transport::UDP_CHECKSUM),
            Protocol::Sctp => (transport::SCTP_LEN + 4, 8),
        };
        let mut bytes = alloc::vec![0; header];
        bytes.extend(&self.payload);
        let len = bytes.len();
        put16(&mut bytes, 0, self.source.port());
        put16(&mut bytes, 2, self.destination.port());
        match self.protocol {
            Protocol::Tcp => {
                bytes[4..8].copy_from_slice(&self.sequence.to_be_bytes());
                bytes[8..12].copy_from_slice(&self.acknowledgment.to_be_bytes());
                bytes[12] = 0x50;
                bytes[13] = self.flags;
                put16(&mut bytes, 14, 0xffff);
            }
            Protocol::Udp => put16(&mut bytes, 4, u16::try_from(len).expect("a datagram")),
            Protocol::Sctp => {
                bytes[12] = self.chunk;
                put16(&mut bytes, 14, u16::try_from(len - transport::SCTP_LEN).expect("a chunk"));
                if let Some(chunk) = self.second_chunk {
                    bytes.resize(len.next_multiple_of(4), 0);
                    bytes.extend([chunk, 0, 0, 4]);
                }
                let crc = crc32c::sctp(&bytes);
                bytes[8..12].copy_from_slice(&crc.to_le_bytes());
                return bytes;
            }
        }
        if self.no_checksum {
            return bytes;
        }
        let words = |ip: IpAddr| Addr::from_ip(ip).0.iter().fold(Sum::default(), |sum, &w| sum.plus(Sum::word(w)));
        let sum = Sum::of(&bytes)
            .plus(words(self.source.ip()))
            .plus(words(self.destination.ip()))
            .plus(pseudo_tail(self.protocol.number(), u32::try_from(len).expect("a packet")));
        let checksum = match (sum.checksum(), self.protocol) {
            (0, Protocol::Udp) => 0xffff,
            (checksum, _) => checksum,
        };
        put16(&mut bytes, checksum_at, checksum);
        bytes
    }

    fn ip(&self, transport: usize) -> Vec<u8> {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let len = ipv4::MIN_LEN + self.options * 4;
                let mut bytes = alloc::vec![1; len];
                ipv4::Header {
                    tos: self.tos,
                    total_length: u16::try_from(len + transport).expect("a packet"),
                    identification: self.identification,
                    dont_fragment: self.dont_fragment,
                    ttl: self.ttl,
                    protocol: self.protocol.number(),
                    source: source.octets(),
                    destination: destination.octets(),
                }
                .write(&mut bytes);
                bytes[0] = 0x40 | u8::try_from(len / 4).expect("at most ten words of options");
                ipv4::refresh_checksum(&mut bytes, len);
                bytes
            }
            (source, destination) => {
                let len = ipv6::LEN + self.options * 8;
                let mut bytes = alloc::vec![0; len];
                let protocol = self.protocol.number();
                ipv6::Header {
                    traffic_class: self.tos,
                    payload_length: u16::try_from(len - ipv6::LEN + transport).expect("a packet"),
                    next_header: if self.options == 0 { protocol } else { 0 },
                    hop_limit: self.ttl,
                    source: Addr::from_ip(source).to_v6_bytes(),
                    destination: Addr::from_ip(destination).to_v6_bytes(),
                }
                .write(&mut bytes);
                for n in 0..self.options {
                    bytes[ipv6::LEN + n * 8] = if n + 1 == self.options { protocol } else { 60 };
                }
                bytes
            }
        }
    }
}
