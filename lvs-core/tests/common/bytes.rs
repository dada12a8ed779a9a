//! Packets as someone sees them who does not know the library: headers by `etherparse`, checksums in full.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, Ipv4HeaderSlice, LaxIpSlice, LaxSlicedPacket, TcpSlice};

/// The one's complement sum of bytes, the obvious way (RFC 1071).
pub(crate) fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}

/// CRC32c, bit by bit (RFC 9260 appendix A), of an SCTP packet with its checksum field taken as zero.
pub(crate) fn crc32c(segment: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for (at, &byte) in segment.iter().enumerate() {
        crc ^= u32::from(if (8..12).contains(&at) { 0 } else { byte });
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// The pseudo-header that a transport checksum covers.
pub(crate) fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    let len = u32::try_from(len).expect("a packet");
    [octets(from), octets(to), len.to_be_bytes().to_vec(), vec![0, 0, 0, protocol]].concat()
}

/// A packet that is no fragment and whose lengths are right, cut into headers by `etherparse`.
#[derive(Clone, Debug)]
pub(crate) struct Sliced {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// Bytes of IP headers, extension headers included.
    pub(crate) headers: usize,
    /// What comes behind them.
    pub(crate) segment: Vec<u8>,
    pub(crate) ttl: u8,
    /// Length by the IP header.
    pub(crate) len: usize,
}

impl Sliced {
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let lax = LaxSlicedPacket::from_ip(bytes).ok()?;
        let payload = lax.ip_payload()?;
        let (ip, _) = LaxIpSlice::from_slice(bytes).ok()?;
        if payload.incomplete || payload.fragmented {
            return None;
        }
        let (ttl, len) = match &ip {
            LaxIpSlice::Ipv4(v4) => (v4.header().ttl(), usize::from(v4.header().total_len())),
            LaxIpSlice::Ipv6(v6) => (v6.header().hop_limit(), 40 + usize::from(v6.header().payload_length())),
        };
        let headers = len.checked_sub(payload.payload.len())?;
        Some(Self {
            source: ip.source_addr(),
            destination: ip.destination_addr(),
            protocol: payload.ip_number.0,
            headers,
            segment: payload.payload.to_vec(),
            ttl,
            len,
        })
    }

    fn port(&self, at: usize) -> u16 {
        self.segment.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
    }

    pub(crate) fn from(&self) -> SocketAddr {
        SocketAddr::new(self.source, self.port(0))
    }

    pub(crate) fn to(&self) -> SocketAddr {
        SocketAddr::new(self.destination, self.port(2))
    }

    /// Whether the transport checksum is right. A UDP datagram without one counts as right over IPv4.
    pub(crate) fn transport_is_right(&self) -> bool {
        let pseudo = pseudo_header(self.source, self.destination, self.protocol, self.segment.len());
        match IpNumber(self.protocol) {
            IpNumber::TCP => TcpSlice::from_slice(&self.segment).is_ok() && sum(&[&pseudo, &self.segment]) == 0xffff,
            IpNumber::UDP => {
                let whole = self.segment.len() >= 8 && usize::from(self.port(4)) == self.segment.len();
                let absent = self.port(6) == 0 && self.source.is_ipv4();
                whole && (absent || self.port(6) != 0 && sum(&[&pseudo, &self.segment]) == 0xffff)
            }
            IpNumber::SCTP => self.segment.len() >= 12 && self.segment[8..12] == crc32c(&self.segment).to_le_bytes(),
            _ => false,
        }
    }
}

/// Whether the checksum of an IPv4 header is right; IPv6 has none.
pub(crate) fn ip_is_right(bytes: &[u8]) -> bool {
    match bytes.first().map(|byte| byte >> 4) {
        Some(4) => Ipv4HeaderSlice::from_slice(bytes).is_ok_and(|header| sum(&[header.slice()]) == 0xffff),
        Some(6) => bytes.len() >= 40,
        _ => false,
    }
}

/// Writes the checksum of an IPv4 header anew, if there is a header.
pub(crate) fn refresh_ip(bytes: &mut [u8]) {
    let len = usize::from(bytes.first().copied().unwrap_or(0) & 0x0f) * 4;
    if bytes.first().is_some_and(|byte| byte >> 4 == 4) && (20..=bytes.len()).contains(&len) {
        bytes[10..12].fill(0);
        let checksum = !sum(&[&bytes[..len]]);
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The same packet one hop on.
pub(crate) fn one_hop_on(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    if bytes[0] >> 4 == 4 {
        bytes[8] -= 1;
        refresh_ip(&mut bytes);
    } else {
        bytes[7] -= 1;
    }
    bytes
}

/// Replaces source or destination of a packet, every checksum computed in full: what NAT amounts to.
pub(crate) fn translated(packet: &[u8], source: Option<SocketAddr>, destination: Option<SocketAddr>) -> Vec<u8> {
    let sliced = Sliced::of(packet).expect("a packet that was forwarded");
    let mut bytes = packet[..sliced.len].to_vec();
    let (address_at, port_at) = if bytes[0] >> 4 == 4 { ([12, 16], sliced.headers) } else { ([8, 24], sliced.headers) };
    for (n, end) in [source, destination].into_iter().enumerate() {
        let Some(end) = end else { continue };
        let address = octets(end.ip());
        bytes[address_at[n]..address_at[n] + address.len()].copy_from_slice(&address);
        bytes[port_at + n * 2..port_at + n * 2 + 2].copy_from_slice(&end.port().to_be_bytes());
    }
    refresh_ip(&mut bytes);
    let (from, to) = (source.map_or(sliced.source, |s| s.ip()), destination.map_or(sliced.destination, |d| d.ip()));
    let segment = &mut bytes[sliced.headers..];
    let checksum_at = match IpNumber(sliced.protocol) {
        IpNumber::TCP => 16,
        IpNumber::UDP => 6,
        _ => {
            let crc = crc32c(segment);
            segment[8..12].copy_from_slice(&crc.to_le_bytes());
            return bytes;
        }
    };
    segment[checksum_at..checksum_at + 2].fill(0);
    let pseudo = pseudo_header(from, to, sliced.protocol, segment.len());
    let checksum = match (!sum(&[&pseudo, segment]), IpNumber(sliced.protocol)) {
        (0, IpNumber::UDP) => 0xffff,
        (checksum, _) => checksum,
    };
    segment[checksum_at..checksum_at + 2].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// What a tunnel packet carries: outer source and destination, and the packet inside, or what is wrong with the outside.
pub(crate) fn unwrapped(bytes: &[u8]) -> Result<(IpAddr, IpAddr, Vec<u8>), String> {
    if !ip_is_right(bytes) {
        return Err("the outer header checksum is wrong".into());
    }
    let outer = Sliced::of(bytes).ok_or("the outer header is wrong")?;
    if outer.len != bytes.len() {
        return Err(format!("{} bytes with an outer length of {}", bytes.len(), outer.len));
    }
    let inner_version = |inner: &[u8]| inner.first().map(|byte| byte >> 4);
    let payload = &outer.segment;
    let (announced, inner) = match outer.protocol {
        4 => (4, payload.clone()),
        41 => (6, payload.clone()),
        47 => {
            let with_sum = payload[0] == 0x80;
            if payload[0] & 0x7f != 0 || payload[1] != 0 || with_sum && sum(&[payload]) != 0xffff {
                return Err("the GRE header is wrong".into());
            }
            let announced = match payload[2..4] {
                [0x08, 0x00] => 4,
                [0x86, 0xdd] => 6,
                _ => 0,
            };
            (announced, payload[if with_sum { 8 } else { 4 }..].to_vec())
        }
        17 => {
            let no_sum = payload[6..8] == [0, 0];
            if usize::from(u16::from_be_bytes([payload[4], payload[5]])) != payload.len()
                || !no_sum && !outer.transport_is_right()
                || payload[8] != 0
                || payload[10..12] != [0, 0]
            {
                return Err("the UDP or GUE header is wrong".into());
            }
            (if payload[9] == 41 { 6 } else { payload[9] }, payload[12..].to_vec())
        }
        other => return Err(format!("protocol {other} is no tunnel")),
    };
    if inner_version(&inner) != Some(announced) {
        return Err(format!("announced IP version {announced}, carries {:?}", inner_version(&inner)));
    }
    Ok((outer.source, outer.destination, inner))
}
