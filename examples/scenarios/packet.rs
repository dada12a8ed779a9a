//! Packets beyond the library's own builders: ICMP, fragments, IPsec, and what a receiver sends back.
//!
//! The builders are `lvs_core::testkit::packets`; what is here puts something around their packets.

use std::net::{IpAddr, SocketAddr};

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;
use serde_json::{Value, json};

/// Protocol numbers of IP.
pub(crate) const ICMP: u8 = 1;
/// ICMP for IPv6.
pub(crate) const ICMPV6: u8 = 58;
/// Encapsulating security payload.
pub(crate) const ESP: u8 = 50;
/// Authentication header.
pub(crate) const AH: u8 = 51;

/// What the receiver of a packet sends back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A TCP segment with these flags.
    Tcp(u8),
    /// A datagram, perhaps without checksum.
    Udp {
        /// Without.
        zero_checksum: bool,
    },
    /// An SCTP packet of one chunk.
    Sctp(u8),
    /// An ICMP error about the packet.
    Icmp {
        /// Type and code.
        kind: [u8; 2],
        /// The second word: the MTU of "too big".
        rest: u32,
        /// So many bytes of the packet are quoted.
        quote: usize,
        /// The router that it comes from, if not the receiver itself.
        from: Option<IpAddr>,
    },
}

impl Answer {
    /// The step: the player makes the packet itself.
    pub(super) fn step(&self, to: usize) -> Value {
        let mut step = match self {
            Self::Tcp(flags) => json!({ "how": "tcp", "flags": flags }),
            Self::Udp { zero_checksum } => json!({ "how": "udp", "zero_csum": zero_checksum }),
            Self::Sctp(chunk) => json!({ "how": "sctp", "chunk": chunk }),
            Self::Icmp { kind, rest, quote, from } => {
                let mut step = json!({ "how": "icmp", "kind": kind[0], "code": kind[1], "rest": rest, "quote": quote });
                if let Some(from) = from {
                    step["from"] = from.to_string().into();
                }
                step
            }
        };
        step["to"] = to.into();
        step
    }

    /// The packet that the player makes of it, if there is anything to answer.
    pub(super) fn packet(&self, received: &[u8]) -> Option<Vec<u8>> {
        let head = Head::read(received)?;
        let back = |protocol| {
            let (from, to) = head.ports(received)?;
            Some(Builder::new(protocol, SocketAddr::new(head.destination, to), SocketAddr::new(head.source, from)))
        };
        Some(match self {
            Self::Tcp(flags) => back(Protocol::Tcp)?.flags(*flags).numbers(5000, 1001).build(),
            Self::Udp { zero_checksum } => {
                let answer = back(Protocol::Udp)?.payload(b"ok");
                if *zero_checksum { answer.no_checksum().build() } else { answer.build() }
            }
            Self::Sctp(chunk) => back(Protocol::Sctp)?.chunk(*chunk).build(),
            Self::Icmp { kind, rest, quote, from } => {
                let quoted = &received[..received.len().min(*quote)];
                icmp(from.unwrap_or(head.destination), head.source, *kind, *rest, quoted)
            }
        })
    }
}

/// The few things of a header that an answer needs. Extension headers are not looked behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Source address.
    pub(crate) source: IpAddr,
    /// Destination address.
    pub(crate) destination: IpAddr,
    /// Protocol number.
    pub(crate) protocol: u8,
    /// Bytes of the IP header.
    pub(crate) len: usize,
}

impl Head {
    /// Reads it.
    #[must_use]
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        Some(match packet.first()? >> 4 {
            4 => Self {
                source: IpAddr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?),
                destination: IpAddr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?),
                protocol: packet[9],
                len: usize::from(packet[0] & 15) * 4,
            },
            _ => Self {
                source: IpAddr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?),
                destination: IpAddr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?),
                protocol: packet[6],
                len: 40,
            },
        })
    }

    /// Where a segment or datagram goes.
    #[must_use]
    pub(crate) fn receiver(&self, packet: &[u8]) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.destination, self.ports(packet)?.1))
    }

    /// The ports of a segment or datagram.
    #[must_use]
    pub(crate) fn ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        let ports = packet.get(self.len..self.len + 4).filter(|_| [6, 17, 132].contains(&self.protocol))?;
        Some((u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]])))
    }
}

/// An IP packet of any protocol.
#[must_use]
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    // A datagram of the right length lends its header.
    let (from, to) = (SocketAddr::new(source, 1), SocketAddr::new(destination, 1));
    let mut packet = Builder::new(Protocol::Udp, from, to).payload(payload).build();
    let head = if source.is_ipv4() { 20 } else { 40 };
    packet.drain(head..head + 8);
    let len = u16::try_from(packet.len()).expect("a packet").to_be_bytes();
    if source.is_ipv4() {
        packet[9] = protocol;
        packet[2..4].copy_from_slice(&len);
    } else {
        packet[6] = protocol;
        let len = u16::try_from(packet.len() - 40).expect("a packet").to_be_bytes();
        packet[4..6].copy_from_slice(&len);
    }
    mend(&mut packet);
    packet
}

/// An ICMP or ICMPv6 packet: type and code, the second word, and what it carries.
#[must_use]
pub(crate) fn icmp(source: IpAddr, destination: IpAddr, kind: [u8; 2], rest: u32, carried: &[u8]) -> Vec<u8> {
    let mut message = vec![kind[0], kind[1], 0, 0];
    message.extend(rest.to_be_bytes());
    message.extend(carried);
    let protocol = if source.is_ipv4() { ICMP } else { ICMPV6 };
    let mut covered = message.clone();
    if let (IpAddr::V6(from), IpAddr::V6(to)) = (source, destination) {
        let len = u32::try_from(message.len()).expect("a packet");
        covered = [&from.octets()[..], &to.octets(), &len.to_be_bytes(), &[0, 0, 0, protocol], &message].concat();
    }
    message[2..4].copy_from_slice(&checksum(&covered).to_be_bytes());
    ip(source, destination, protocol, &message)
}

/// An IPv4 header checksum that is right again.
pub(crate) fn mend(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 {
        let len = usize::from(packet[0] & 15) * 4;
        packet[10..12].fill(0);
        let right = checksum(&packet[..len]);
        packet[10..12].copy_from_slice(&right.to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// The packet in fragments of at most so many bytes of payload, which is made a multiple of eight; in order.
#[must_use]
pub(crate) fn fragments(packet: &[u8], payload: usize, identification: u32) -> Vec<Vec<u8>> {
    let head = if packet[0] >> 4 == 4 { usize::from(packet[0] & 15) * 4 } else { 40 };
    let step = (payload / 8).max(1) * 8;
    let whole = &packet[head..];
    let count = whole.len().div_ceil(step);
    let piece = |(n, part): (usize, &[u8])| {
        let (at, more) = (u16::try_from(n * step).expect("a packet"), n + 1 < count);
        fragment(&packet[..head], at, more, identification, part)
    };
    whole.chunks(step).enumerate().map(piece).collect()
}

/// One fragment: the header of the whole packet, where it belongs, whether more follow.
#[must_use]
pub(crate) fn fragment(header: &[u8], at: u16, more: bool, identification: u32, part: &[u8]) -> Vec<u8> {
    let mut out = header.to_vec();
    let id = identification.to_be_bytes();
    if header[0] >> 4 == 4 {
        out[2..4].copy_from_slice(&u16::try_from(header.len() + part.len()).expect("a packet").to_be_bytes());
        out[4..6].copy_from_slice(&id[2..]);
        let dont_fragment = u16::from(header[6] & 0x40) << 8;
        out[6..8].copy_from_slice(&((at / 8) | (u16::from(more) << 13) | dont_fragment).to_be_bytes());
        mend(&mut out);
    } else {
        out[4..6].copy_from_slice(&u16::try_from(8 + part.len()).expect("a packet").to_be_bytes());
        out[6] = 44;
        out.extend([header[6], 0]);
        out.extend((at | u16::from(more)).to_be_bytes());
        out.extend(id);
    }
    out.extend(part);
    out
}

/// The bytes as digits.
#[must_use]
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> SocketAddr {
        text.parse().expect("an endpoint")
    }

    #[test]
    fn an_error_quotes_and_adds_up() {
        let syn = Builder::new(Protocol::Tcp, end("198.51.100.1:20000"), end("10.0.0.101:80")).syn().build();
        let answer = Answer::Icmp { kind: [3, 1], rest: 0, quote: 28, from: None };
        let error = answer.packet(&syn).expect("there is something to answer");
        assert_eq!((error.len(), error[9], error[20], error[21]), (56, ICMP, 3, 1));
        assert_eq!((checksum(&error[..20]), checksum(&error[20..])), (0, 0));
        assert_eq!(error[28..], syn[..28]);
    }

    #[test]
    fn a_packet_without_ports_is_not_answered() {
        let esp = ip(end("198.51.100.1:1").ip(), end("10.0.0.101:1").ip(), ESP, &[0; 20]);
        assert_eq!(Answer::Tcp(0x12).packet(&esp), None);
        assert_eq!((esp.len(), esp[9], esp[3]), (40, ESP, 40));
    }

    #[test]
    fn fragments_hold_every_byte_once() {
        for (from, to, head) in [("198.51.100.1:1", "192.0.2.10:2", 20), ("[2001:db8::1]:1", "[2001:db8::2]:2", 48)] {
            let whole = Builder::new(Protocol::Udp, end(from), end(to)).may_fragment().payload(&[7; 100]).build();
            let parts = fragments(&whole, 40, 9);
            assert_eq!(parts.len(), 3);
            let payload: Vec<u8> = parts.iter().flat_map(|part| part[head..].to_vec()).collect();
            assert_eq!(payload, whole[whole.len() - 108..]);
        }
    }
}
