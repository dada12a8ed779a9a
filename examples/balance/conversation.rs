//! Who talks to whom, and what a real server would have sent.
//!
//! Owns: checksums computed anew over whole packets, so that the director's own, which are updated by differences, are
//! tested against something else.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, IpSlice};
use lvs_core::Flow;

/// The flow that a packet shows; `None` for fragments, for other protocols, and for what cannot be read.
#[must_use]
pub fn flow(packet: &[u8]) -> Option<Flow> {
    let (ip, transport) = open(packet)?;
    let [a, b, c, d] = *packet.get(transport..)?.first_chunk()?;
    Some(Flow {
        protocol: ip.payload_ip_number().0,
        source: SocketAddr::new(ip.source_addr(), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(ip.destination_addr(), u16::from_be_bytes([c, d])),
    })
}

/// A reply as another server would have sent it: from the server's address and port, all checksums right. `None` if the
/// packet is not one with ports, or of another family than the server.
#[must_use]
pub fn sent_by(reply: &[u8], server: SocketAddr) -> Option<Vec<u8>> {
    let (ip, transport) = open(reply)?;
    let mut packet = reply.to_vec();
    match (ip, server.ip()) {
        (IpSlice::Ipv4(_), IpAddr::V4(address)) => packet[12..16].copy_from_slice(&address.octets()),
        (IpSlice::Ipv6(_), IpAddr::V6(address)) => packet[8..24].copy_from_slice(&address.octets()),
        _ => return None,
    }
    packet.get_mut(transport..transport + 2)?.copy_from_slice(&server.port().to_be_bytes());
    mended(&packet)
}

/// The same packet with all its checksums right, also where there were none: network cards put them in behind the back
/// of who captures.
#[must_use]
pub fn mended(packet: &[u8]) -> Option<Vec<u8>> {
    let (ip, transport) = open(packet)?;
    let mut mended = packet.to_vec();
    if let IpSlice::Ipv4(ip) = &ip {
        let length = ip.header().slice().len();
        mended[10..12].fill(0);
        let checksum = !sum(&mended[..length]);
        mended[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    let number = ip.payload_ip_number();
    let segment = mended.get_mut(transport..transport + ip.payload().payload.len())?;
    if number == IpNumber::SCTP {
        segment.get_mut(8..12)?.fill(0);
        let crc = crc32c(segment);
        segment[8..12].copy_from_slice(&crc.to_le_bytes());
        return Some(mended);
    }
    let at = if number == IpNumber::TCP { 16 } else { 6 };
    segment.get_mut(at..at + 2)?.fill(0);
    let mut pseudo = Vec::new();
    for address in [ip.source_addr(), ip.destination_addr()] {
        match address {
            IpAddr::V4(address) => pseudo.extend(address.octets()),
            IpAddr::V6(address) => pseudo.extend(address.octets()),
        }
    }
    pseudo.extend(u32::try_from(segment.len()).ok()?.to_be_bytes());
    pseudo.extend([0, 0, 0, number.0]);
    pseudo.extend_from_slice(segment);
    let checksum = match !sum(&pseudo) {
        // Zero says that there is none (RFC 768).
        0 if number == IpNumber::UDP => 0xffff,
        checksum => checksum,
    };
    segment[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    Some(mended)
}

/// The IP headers, and where the transport header begins; `None` unless it is one with ports.
fn open(packet: &[u8]) -> Option<(IpSlice<'_>, usize)> {
    let ip = IpSlice::from_slice(packet).ok()?;
    let has_ports = matches!(ip.payload_ip_number(), IpNumber::TCP | IpNumber::UDP | IpNumber::SCTP);
    if !has_ports || ip.payload().fragmented {
        return None;
    }
    let length = match &ip {
        IpSlice::Ipv4(ip) => usize::from(ip.header().total_len()),
        IpSlice::Ipv6(ip) => 40 + usize::from(ip.header().payload_length()),
    };
    let transport = length.checked_sub(ip.payload().payload.len())?;
    Some((ip, transport))
}

/// The Internet checksum (RFC 1071), not yet inverted.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u64 =
        bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).expect("folded to 16 bits")
}

/// The checksum of SCTP (RFC 9260 appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_textbook() {
        // RFC 1071 section 3; "123456789" is what CRCs are compared by.
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn what_has_no_ports_shows_no_flow() {
        assert_eq!(flow(&[]), None);
        assert_eq!(flow(&[0x45; 19]), None);
        assert_eq!(sent_by(&[0x60; 40], "[fd00::1]:80".parse().unwrap()), None);
    }
}
