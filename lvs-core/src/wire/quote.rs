//! The packet that an ICMP error quotes (RFC 792, RFC 4443): often no more than its first bytes.

use super::{be16, ipsec, ipv4, ipv6};
use crate::addr::{Addr, Family};
use crate::flow::{Protocol, Tuple};

/// Length of an ICMP header up to the quoted packet.
pub(crate) const ICMP_HEADER: usize = 8;

/// What can be read of a quoted packet. Offsets are from the beginning of the quote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    /// As the quoted packet shows it.
    pub(crate) tuple: Tuple,
    pub(crate) transport: usize,
    /// False if not even the ports are quoted. (IPsec needs none.)
    pub(crate) has_ports: bool,
}

/// Reads a quote. `None` for what belongs to no connection: a cut-off header, another protocol than the balanced ones, a
/// later part of a fragmented packet.
pub(crate) fn read(quote: &[u8], family: Family) -> Option<Quote> {
    let (protocol, source, destination, transport) = match family {
        Family::V4 => {
            let header: &[u8; ipv4::MIN_LEN] = quote.first_chunk()?;
            let len = usize::from(header[0] & 0x0f) * 4;
            if header[0] >> 4 != 4 || len < ipv4::MIN_LEN || quote.len() < len {
                return None;
            }
            if be16(header, ipv4::FRAGMENT) & 0x1fff != 0 && !ipsec::is_ipsec(header[ipv4::PROTOCOL]) {
                return None;
            }
            let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            (header[ipv4::PROTOCOL], Addr::v4(word(ipv4::SOURCE)), Addr::v4(word(ipv4::DESTINATION)), len)
        }
        Family::V6 => {
            let header: &[u8; ipv6::LEN] = quote.first_chunk()?;
            let upper = ipv6::walk(quote)?;
            if header[0] >> 4 != 6 || upper.is_later_fragment && !ipsec::is_ipsec(upper.protocol) {
                return None;
            }
            let address = |at: usize| header[at..].first_chunk().map_or(Addr::UNSPECIFIED, Addr::from_v6);
            (upper.protocol, address(ipv6::SOURCE), address(ipv6::DESTINATION), upper.offset)
        }
    };
    if ipsec::is_ipsec(protocol) {
        let tuple = Tuple { family, protocol, source, destination, source_port: 0, destination_port: 0 };
        return Some(Quote { tuple, transport, has_ports: true });
    }
    Protocol::from_number(protocol)?;
    let ports = quote.get(transport..).and_then(|rest| rest.first_chunk::<4>());
    let [a, b, c, d] = ports.copied().unwrap_or_default();
    Some(Quote {
        tuple: Tuple {
            family,
            protocol,
            source,
            destination,
            source_port: u16::from_be_bytes([a, b]),
            destination_port: u16::from_be_bytes([c, d]),
        },
        transport,
        has_ports: ports.is_some(),
    })
}

/// What can be read of a quoted packet that is a tunnel's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TunnelQuote {
    /// Where the tunnel leads to.
    pub(crate) remote: Addr,
    pub(crate) tunnel: TunnelKind,
    /// Where the packet inside begins: behind the tunnel's headers.
    pub(crate) at: usize,
    /// True if it can be no other packet than a tunnel's.
    pub(crate) is_nothing_else: bool,
}

/// How a packet is wrapped up, as far as it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelKind {
    Ipip,
    /// With its UDP port.
    Gue(u16),
    Gre,
}

impl TunnelKind {
    /// The UDP port; 0 if it has none.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Gue(port) => port,
            Self::Ipip | Self::Gre => 0,
        }
    }
}

/// Reads a quote that may be of an IPv4 packet in an IPv4 tunnel: IP in IP, generic UDP encapsulation of version 0, GRE with
/// no more than a checksum.
pub(crate) fn read_tunnel(quote: &[u8]) -> Option<TunnelQuote> {
    const IPIP: u8 = 4;
    const UDP: u8 = 17;
    const GRE: u8 = 47;
    const GRE_CHECKSUM: u16 = 0x8000;
    let header: &[u8; ipv4::MIN_LEN] = quote.first_chunk()?;
    let len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || len < ipv4::MIN_LEN || quote.len() < len || be16(header, ipv4::FRAGMENT) & 0x1fff != 0 {
        return None;
    }
    let rest = &quote[len..];
    let (tunnel, inside) = match header[ipv4::PROTOCOL] {
        IPIP => (TunnelKind::Ipip, 0),
        UDP => {
            let gue: &[u8; 12] = rest.first_chunk()?;
            // Version 0, no control message, an IPv4 packet inside.
            if gue[8] >> 5 != 0 || gue[9] != IPIP {
                return None;
            }
            (TunnelKind::Gue(be16(gue, 2)), 12 + usize::from(gue[8] & 0x1f) * 4)
        }
        GRE => {
            let (flags, protocol) = (be16(rest.get(..4)?, 0), be16(rest, 2));
            if flags & !GRE_CHECKSUM != 0 || protocol != 0x0800 {
                return None;
            }
            (TunnelKind::Gre, if flags == 0 { 4 } else { 8 })
        }
        _ => return None,
    };
    let source = u32::from_be_bytes([header[16], header[17], header[18], header[19]]);
    let is_nothing_else = tunnel == TunnelKind::Ipip;
    Some(TunnelQuote { remote: Addr::v4(source), tunnel, at: len + inside, is_nothing_else })
}

/// Where a quoted UDP datagram over IPv4 was sent to, if its header is there.
pub(crate) fn datagram_receiver(quote: &[u8]) -> Option<Addr> {
    const UDP: u8 = 17;
    const UDP_HEADER: usize = 8;
    let header: &[u8; ipv4::MIN_LEN] = quote.first_chunk()?;
    let len = usize::from(header[0] & 0x0f) * 4;
    let is_first = header[0] >> 4 == 4 && be16(header, ipv4::FRAGMENT) & 0x1fff == 0;
    if !is_first || header[ipv4::PROTOCOL] != UDP || len < ipv4::MIN_LEN || quote.len() < len + UDP_HEADER {
        return None;
    }
    Some(Addr::v4(u32::from_be_bytes([header[16], header[17], header[18], header[19]])))
}

impl Quote {
    /// The packet that would answer the quoted one; one of the key exchange if that is of IPsec.
    pub(crate) const fn answer(&self) -> Tuple {
        let answer = self.tuple.reversed();
        if self.is_ipsec() { ipsec::key_exchange(&answer) } else { answer }
    }

    /// True if a packet of IPsec is quoted.
    pub(crate) const fn is_ipsec(&self) -> bool {
        ipsec::is_ipsec(self.tuple.protocol)
    }
}
