//! Tunnels: an outer IP header, and for GUE and GRE another header inside it.
//!
//! Follows: the tunnels of IPVS: IP in IP (RFC 2003, RFC 2473), generic UDP encapsulation, GRE (RFC 2784). The outer TTL
//! is the inner one after the hop; ECN follows the kernel: a mark of congestion stays inside.

use crate::addr::{Addr, Family};
use crate::service::{GueChecksum, Tunnel};
use crate::verdict::DropReason;
use crate::wire::checksum::{Sum, pseudo_tail};
use crate::wire::packet::Packet;
use crate::wire::parse::Parsed;
use crate::wire::plain::Plain;
use crate::wire::{be16, ipv4, ipv6, put16};

/// What a packet is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outer {
    /// Family of the outer header.
    pub(crate) family: Family,
    pub(crate) source: Addr,
    pub(crate) destination: Addr,
    pub(crate) tunnel: Tunnel,
    /// Whether an inner "don't fragment" is repeated outside.
    pub(crate) copy_dont_fragment: bool,
    /// Identification of an outer IPv4 header that may be fragmented.
    pub(crate) identification: u16,
    /// UDP source port of a GUE packet: one for each inner flow.
    pub(crate) source_port: u16,
}

/// What a tunnel asks of the packet inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    pub(crate) family: Family,
    /// Bytes of the IP packet.
    pub(crate) len: usize,
    /// Type of service, or traffic class.
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
}

impl From<&Parsed> for Inner {
    #[inline]
    fn from(parsed: &Parsed) -> Self {
        let Parsed { len, tos, ttl, dont_fragment, .. } = *parsed;
        Self { family: parsed.tuple.family, len, tos, ttl, dont_fragment }
    }
}

impl Inner {
    /// Of a plain packet.
    #[inline(always)]
    pub(crate) fn of_plain(plain: &Plain, family: Family, bytes: &[u8]) -> Self {
        let first = be16(bytes, 0);
        let (tos, dont_fragment) = match family {
            Family::V4 => (first, be16(bytes, ipv4::FRAGMENT) & ipv4::DONT_FRAGMENT != 0),
            Family::V6 => (first >> 4, false),
        };
        Self { family, len: plain.len.into(), tos: tos.to_be_bytes()[1], ttl: plain.ttl, dont_fragment }
    }
}

const IPIP: u8 = 4;
const IPV6: u8 = 41;
const UDP: u8 = 17;
const GRE: u8 = 47;
const UDP_LEN: u16 = 8;
const GUE_LEN: u16 = 4;
const GRE_LEN: u16 = 4;
const GRE_CHECKSUM_LEN: u16 = 4;
const GRE_CHECKSUM_PRESENT: u16 = 0x8000;

/// Bytes that a tunnel puts between the outer IP header and the packet.
const fn inner_overhead(tunnel: Tunnel) -> u16 {
    match tunnel {
        Tunnel::Ipip => 0,
        Tunnel::Gue { .. } => UDP_LEN + GUE_LEN,
        Tunnel::Gre { checksum: false } => GRE_LEN,
        Tunnel::Gre { checksum: true } => GRE_LEN + GRE_CHECKSUM_LEN,
    }
}

const fn ip_len(family: Family) -> usize {
    match family {
        Family::V4 => ipv4::MIN_LEN,
        Family::V6 => ipv6::LEN,
    }
}

/// Bytes that a tunnel puts in front of a packet.
pub(crate) const fn overhead(family: Family, tunnel: Tunnel) -> u16 {
    (match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }) + inner_overhead(tunnel)
}

/// Why a packet cannot be wrapped up, if so.
#[inline]
pub(crate) fn obstacle(packet: &Packet<'_>, inner: &Inner, outer: &Outer) -> Option<DropReason> {
    let front = usize::from(overhead(outer.family, outer.tunnel));
    if inner.len + front > usize::from(u16::MAX) {
        Some(DropReason::TooLong)
    } else if packet.headroom() < front {
        Some(DropReason::NoHeadroom)
    } else {
        None
    }
}

/// Wraps a packet up, in the room in front of it.
#[inline]
pub(crate) fn encapsulate(packet: &mut Packet<'_>, inner: &Inner, outer: &Outer) {
    let front = usize::from(overhead(outer.family, outer.tunnel));
    let total = u16::try_from(inner.len + front).unwrap_or(u16::MAX);
    super::decrement_ttl(packet.bytes_mut(), inner.family);
    packet.grow_front(front);
    let bytes = packet.bytes_mut();
    let inner_protocol = match inner.family {
        Family::V4 => IPIP,
        Family::V6 => IPV6,
    };
    let protocol = match outer.tunnel {
        Tunnel::Ipip => inner_protocol,
        Tunnel::Gue { port, checksum } => {
            write_gue(&mut bytes[ip_len(outer.family)..], outer, inner_protocol, port, checksum);
            UDP
        }
        Tunnel::Gre { checksum } => {
            write_gre(&mut bytes[ip_len(outer.family)..], inner.family, checksum);
            GRE
        }
    };
    write_ip(bytes, inner, outer, protocol, total);
}

#[inline]
fn write_ip(bytes: &mut [u8], inner: &Inner, outer: &Outer, protocol: u8, total: u16) {
    let (tos, ttl) = (outer_tos(inner.tos), inner.ttl.wrapping_sub(1));
    match outer.family {
        Family::V4 => {
            let dont_fragment = outer.copy_dont_fragment && inner.dont_fragment;
            ipv4::Header {
                tos,
                total_length: total,
                identification: if dont_fragment { 0 } else { outer.identification },
                dont_fragment,
                ttl,
                protocol,
                source: outer.source.to_v4_bytes(),
                destination: outer.destination.to_v4_bytes(),
            }
            .write(bytes);
        }
        Family::V6 => ipv6::Header {
            traffic_class: tos,
            payload_length: total - 40,
            next_header: protocol,
            hop_limit: ttl,
            source: outer.source.to_v6_bytes(),
            destination: outer.destination.to_v6_bytes(),
        }
        .write(bytes),
    }
}

/// Congestion experienced (11) inside is ECT(0) (10) outside; everything else is copied.
const fn outer_tos(tos: u8) -> u8 {
    if tos & 3 == 3 { tos & !1 } else { tos }
}

/// UDP and GUE headers; `bytes` begin with them and end with the packet.
#[inline(never)]
fn write_gue(bytes: &mut [u8], outer: &Outer, inner_protocol: u8, port: u16, checksum: GueChecksum) {
    let len = bytes.len();
    put16(bytes, 0, outer.source_port);
    put16(bytes, 2, port);
    put16(bytes, 4, u16::try_from(len).unwrap_or(u16::MAX));
    put16(bytes, 6, 0);
    put16(bytes, 8, u16::from(inner_protocol));
    put16(bytes, 10, 0);
    if checksum == GueChecksum::None {
        return;
    }
    let words = |a: Addr| a.0.iter().fold(Sum::default(), |sum, &word| sum.plus(Sum::word(word)));
    let pseudo = pseudo_tail(UDP, u32::try_from(len).unwrap_or(u32::MAX));
    let sum = Sum::of(bytes).plus(pseudo).plus(words(outer.source)).plus(words(outer.destination)).checksum();
    put16(bytes, 6, if sum == 0 { 0xffff } else { sum });
}

/// The GRE header; `bytes` begin with it and end with the packet.
#[inline(never)]
fn write_gre(bytes: &mut [u8], inner: Family, checksum: bool) {
    put16(bytes, 0, if checksum { GRE_CHECKSUM_PRESENT } else { 0 });
    put16(
        bytes,
        2,
        match inner {
            Family::V4 => 0x0800,
            Family::V6 => 0x86dd,
        },
    );
    if checksum {
        put16(bytes, 4, 0);
        put16(bytes, 6, 0);
        let sum = Sum::of(bytes).checksum();
        put16(bytes, 4, sum);
    }
}
