//! Reading packets for comparison, independently of the library's own parser.

use std::format;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::string::{String, ToString};
use std::vec::Vec;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;
const IPV6_FRAGMENT: u8 = 44;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// The few things that a comparison looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// Where that protocol is named.
    pub(super) protocol_at: u16,
    pub(super) ttl: u8,
    /// Where the transport header begins.
    pub(super) transport: usize,
    /// Bytes of the IP packet.
    pub(super) len: usize,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

impl Fields {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Some(Self {
                source: IpAddr::V4(<[u8; 4]>::try_from(bytes.get(12..16)?).ok()?.into()),
                destination: IpAddr::V4(<[u8; 4]>::try_from(bytes.get(16..20)?).ok()?.into()),
                protocol: bytes[9],
                protocol_at: 9,
                ttl: bytes[8],
                transport: usize::from(bytes[0] & 15) * 4,
                len: usize::from(be16(bytes, 2)?).min(bytes.len()),
            }),
            6 => {
                let mut fields = Self {
                    source: IpAddr::V6(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?.into()),
                    destination: IpAddr::V6(<[u8; 16]>::try_from(bytes.get(24..40)?).ok()?.into()),
                    protocol: bytes[6],
                    protocol_at: 6,
                    ttl: bytes[7],
                    transport: 40,
                    len: (40 + usize::from(be16(bytes, 4)?)).min(bytes.len()),
                };
                while matches!(fields.protocol, 0 | 43 | 60) {
                    let header = bytes.get(fields.transport..fields.transport + 2)?;
                    fields.protocol = header[0];
                    fields.protocol_at = u16::try_from(fields.transport).ok()?;
                    fields.transport += (usize::from(header[1]) + 1) * 8;
                }
                Some(fields)
            }
            _ => None,
        }
    }

    pub(super) fn ports(&self, bytes: &[u8]) -> Option<(u16, u16)> {
        Some((be16(bytes, self.transport)?, be16(bytes, self.transport + 2)?))
    }
}

/// One's complement sum of big-endian words.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}

/// True if the IPv4 header checksum is right, or there is none.
pub(super) fn header_is_right(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|b| b >> 4 != 4)
        || bytes.get(..usize::from(bytes[0] & 15) * 4).is_some_and(|header| sum(header) == 0xffff)
}

/// Computes the IPv4 header checksum anew.
fn mend_header(bytes: &mut [u8]) {
    if bytes[0] >> 4 == 4 {
        let len = usize::from(bytes[0] & 15) * 4;
        put16(bytes, 10, 0);
        let checksum = !sum(&bytes[..len]);
        put16(bytes, 10, checksum);
    }
}

/// The packet after one hop.
pub(super) fn one_hop_on(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = if bytes[0] >> 4 == 4 { 8 } else { 7 };
    bytes[at] = bytes[at].wrapping_sub(1);
    mend_header(&mut bytes);
    bytes
}

pub(super) fn has_dont_fragment(bytes: &[u8]) -> bool {
    be16(bytes, 6).is_some_and(|word| word & DONT_FRAGMENT != 0)
}

/// Puts a number that the kernel drew into our packet: the identification of an IPv4 header, or the flow label.
pub(super) fn take_over_random_header(ours: &mut [u8], theirs: &[u8]) {
    if ours[0] >> 4 == 4 {
        ours[4..6].copy_from_slice(&theirs[4..6]);
        mend_header(ours);
    } else {
        ours[1] = ours[1] & 0xf0 | theirs[1] & 0x0f;
        ours[2..4].copy_from_slice(&theirs[2..4]);
    }
}

/// Puts the UDP source port of a recorded tunnel packet into ours, its checksum too where there is one.
pub(super) fn take_over_source_port(ours: &mut [u8], theirs: &[u8]) {
    let Some(fields) = Fields::read(ours) else { return };
    let at = fields.transport;
    let (Some(old), Some(new), Some(checksum)) = (be16(ours, at), be16(theirs, at), be16(ours, at + 6)) else { return };
    put16(ours, at, new);
    if checksum != 0 {
        let words = [!checksum, !old, new].map(u16::to_be_bytes).concat();
        let updated = !sum(&words);
        put16(ours, at + 6, if updated == 0 { 0xffff } else { updated });
    }
}

/// Puts fragments together again. A single packet is returned as it is; `None` if they do not fit together.
pub(super) fn reassemble(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    if let [whole] = frames {
        return Some(without_atomic_header(whole));
    }
    if !frames.iter().all(|frame| header_is_right(frame)) {
        return None;
    }
    match frames.first()?.first()? >> 4 {
        4 => reassemble_v4(frames),
        6 => reassemble_v6(frames),
        _ => None,
    }
}

/// What a fragment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) identification: u32,
    pub(super) offset: usize,
    /// Bytes of the packet's payload in it.
    pub(super) len: usize,
}

impl Part {
    /// `None` for a whole packet; an atomic fragment (RFC 6946) is one.
    pub(super) fn of(fields: &Fields, bytes: &[u8]) -> Option<Self> {
        if fields.source.is_ipv4() {
            let word = be16(bytes, 6)?;
            return (word & 0x3fff != 0).then_some(Self {
                identification: u32::from(be16(bytes, 4)?),
                offset: usize::from(word & 0x1fff) * 8,
                len: fields.len.checked_sub(fields.transport)?,
            });
        }
        let header = bytes.get(40..48)?;
        let word = be16(header, 2)?;
        (bytes[6] == IPV6_FRAGMENT && word & 0xfff9 != 0).then_some(Self {
            identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            offset: usize::from(word & 0xfff8),
            len: fields.len.checked_sub(48)?,
        })
    }
}

/// The packet inside a tunnel packet.
pub(super) fn inner(bytes: &[u8]) -> Option<Vec<u8>> {
    let fields = Fields::read(bytes)?;
    let header = match fields.protocol {
        4 | 41 => 0,
        UDP => 12,
        47 if bytes.get(fields.transport)? & 0x80 != 0 => 8,
        47 => 4,
        _ => return None,
    };
    bytes.get(fields.transport + header..fields.len).map(<[u8]>::to_vec)
}

/// The packet without the fragment header of an atomic fragment, which says nothing: a kernel takes it off, and puts one in
/// front of a tunnel packet.
pub(super) fn without_atomic_header(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(fields) = Fields::read(&bytes)
        && bytes[0] >> 4 == 6
        && fields.protocol == IPV6_FRAGMENT
        && bytes.len() >= fields.transport + 8
    {
        bytes[usize::from(fields.protocol_at)] = bytes[fields.transport];
        bytes.drain(fields.transport..fields.transport + 8);
        let len = u16::try_from(bytes.len() - 40).expect("a packet");
        put16(&mut bytes, 4, len);
    }
    bytes
}

fn reassemble_v4(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut whole: Vec<u8> = Vec::new();
    let mut header_len = 0;
    for (n, frame) in frames.iter().enumerate() {
        let fields = Fields::read(frame)?;
        let word = be16(frame, 6)?;
        let offset = usize::from(word & 0x1fff) * 8;
        let last = n + 1 == frames.len();
        if n == 0 {
            header_len = fields.transport;
            whole.extend(&frame[..header_len]);
        } else if frame[4..6] != whole[4..6] || frame[8..10] != whole[8..10] || frame[12..20] != whole[12..20] {
            return None;
        }
        if offset != whole.len() - header_len || (word & MORE_FRAGMENTS == 0) != last {
            return None;
        }
        whole.extend(frame.get(fields.transport..fields.len)?);
    }
    let len = u16::try_from(whole.len()).ok()?;
    put16(&mut whole, 2, len);
    let flags = be16(&whole, 6)? & DONT_FRAGMENT;
    put16(&mut whole, 6, flags);
    mend_header(&mut whole);
    Some(whole)
}

/// Fragments whose fragment header follows the IPv6 header at once, as those of a tunnel packet do.
fn reassemble_v6(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut whole: Vec<u8> = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        let header = frame.get(..48)?;
        let word = be16(header, 42)?;
        if header[6] != IPV6_FRAGMENT || (word & 1 == 0) != (n + 1 == frames.len()) {
            return None;
        }
        if n == 0 {
            whole.extend(&header[..40]);
            whole[6] = header[40];
        } else if header[8..40] != whole[8..40] {
            return None;
        }
        if usize::from(word & 0xfff8) != whole.len() - 40 {
            return None;
        }
        whole.extend(&frame[48..]);
    }
    let len = u16::try_from(whole.len() - 40).ok()?;
    put16(&mut whole, 4, len);
    Some(whole)
}

/// The sum of a pseudo-header and what follows it.
fn transport_sum(source: IpAddr, destination: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    let len = u16::try_from(bytes.len()).expect("a packet").to_be_bytes();
    sum(&[&octets(source)[..], &octets(destination), &len, &[0, protocol], bytes].concat())
}

/// True if the checksum of a segment or datagram is wrong: a host then drops it without a word.
pub(super) fn is_damaged(fields: &Fields, packet: &[u8]) -> bool {
    let Some(bytes) = packet.get(fields.transport..fields.len) else { return true };
    let no_checksum = fields.protocol == UDP && fields.source.is_ipv4() && be16(bytes, 6) == Some(0);
    matches!(fields.protocol, TCP | UDP)
        && !no_checksum
        && transport_sum(fields.source, fields.destination, fields.protocol, bytes) != 0xffff
}

/// A packet of the host's own stack: no options, TTL 64. What the kernel draws at random is zero.
fn from_host(
    source: IpAddr,
    destination: IpAddr,
    tos: u8,
    dont_fragment: bool,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a packet");
    let mut bytes = match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let flags = if dont_fragment { 0x40 } else { 0 };
            let mut header = std::vec![0x45, tos, 0, 0, 0, 0, flags, 0, 64, protocol, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            put16(&mut header, 2, len + 20);
            mend_header(&mut header);
            header
        }
        (from, to) => {
            let mut header = std::vec![0x60 | tos >> 4, tos << 4, 0, 0, 0, 0, protocol, 64];
            put16(&mut header, 4, len);
            for address in [from, to] {
                if let IpAddr::V6(address) = address {
                    header.extend(address.octets());
                }
            }
            header
        }
    };
    bytes.extend(payload);
    bytes
}

/// The reset that a host answers a TCP segment for none of its sockets with (RFC 9293 section 3.10.7.1).
pub(super) fn reset_for(fields: &Fields, packet: &[u8]) -> Option<Vec<u8>> {
    let segment = packet.get(fields.transport..fields.len)?;
    let header: &[u8; 20] = segment.first_chunk()?;
    let flags = header[13];
    let mut reset = std::vec![0; 20];
    reset[..2].copy_from_slice(&header[2..4]);
    reset[2..4].copy_from_slice(&header[..2]);
    if flags & 0x10 != 0 {
        reset[4..8].copy_from_slice(&header[8..12]);
        reset[13] = 0x04;
    } else {
        let data = segment.len().checked_sub(usize::from(header[12] >> 4) * 4)?;
        let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let taken = u32::try_from(data).ok()? + u32::from(flags & 1) + u32::from(flags >> 1 & 1);
        reset[8..12].copy_from_slice(&sequence.wrapping_add(taken).to_be_bytes());
        reset[13] = 0x14;
    }
    reset[12] = 0x50;
    let (from, to) = (fields.destination, fields.source);
    let checksum = !transport_sum(from, to, TCP, &reset);
    put16(&mut reset, 16, checksum);
    // Without what the sender said of congestion.
    let tos = if from.is_ipv4() { packet[1] } else { packet[0] << 4 | packet[1] >> 4 } & 0xfc;
    Some(from_host(from, to, tos, true, TCP, &reset))
}

/// The ICMP error of a type and code about a packet, from an address of the host's.
pub(super) fn error_for(fields: &Fields, packet: &[u8], kind: [u8; 2], word: u16, source: IpAddr) -> Vec<u8> {
    let (protocol, longest, tos) =
        if source.is_ipv4() { (ICMP, 548, packet[1] & 0x1e | 0xc0) } else { (ICMPV6, 1232, 0) };
    let mut error = std::vec![kind[0], kind[1], 0, 0, 0, 0, 0, 0];
    put16(&mut error, 6, word);
    error.extend(&packet[..fields.len.min(longest)]);
    let checksum = if source.is_ipv4() { !sum(&error) } else { !transport_sum(source, fields.source, ICMPV6, &error) };
    put16(&mut error, 2, checksum);
    from_host(source, fields.source, tos, false, protocol, &error)
}

/// Is this an ICMP error, which draws no other?
pub(super) fn is_icmp_error(packet: &[u8]) -> bool {
    Fields::read(packet).is_some_and(|fields| match (fields.protocol, packet.get(fields.transport)) {
        (ICMP, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (ICMPV6, Some(&kind)) => kind < 128,
        _ => false,
    })
}

/// Equal, but for what the kernel draws at random for packets of its own.
pub(super) fn same_own_packet(expected: &[u8], got: &[u8]) -> bool {
    let mut expected = expected.to_vec();
    if expected.len() != got.len() || expected[0] >> 4 != got[0] >> 4 || !header_is_right(got) {
        return false;
    }
    if got[0] >> 4 == 6 || !has_dont_fragment(got) {
        take_over_random_header(&mut expected, got);
    }
    expected == got
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A packet in one line, and its bytes.
pub(super) fn describe(bytes: &[u8]) -> String {
    let hex = to_hex(bytes);
    let Some(fields) = Fields::read(bytes) else { return format!("unreadable: {hex}") };
    let protocol = match fields.protocol {
        ICMP => "ICMP".to_string(),
        TCP => "TCP".to_string(),
        UDP => "UDP".to_string(),
        ICMPV6 => "ICMPv6".to_string(),
        SCTP => "SCTP".to_string(),
        4 => "IPIP".to_string(),
        41 => "IPv6-in-IP".to_string(),
        number => format!("protocol {number}"),
    };
    let detail = match fields.protocol {
        TCP | UDP | SCTP => {
            let (from, to) = fields.ports(bytes).unwrap_or_default();
            let flags =
                if fields.protocol == TCP { tcp_flags(bytes.get(fields.transport + 13)) } else { String::new() };
            format!(" ports {from} -> {to}{flags}")
        }
        ICMP | ICMPV6 => match bytes.get(fields.transport..fields.transport + 2) {
            Some(kind) => format!(" type {} code {}", kind[0], kind[1]),
            None => String::new(),
        },
        4 | 41 => match bytes.get(fields.transport..) {
            Some(inner) => format!(" [{}]", describe(inner).split(" | ").next().unwrap_or_default()),
            None => String::new(),
        },
        _ => String::new(),
    };
    format!(
        "{protocol} {} -> {} ttl {} len {}{detail} | {hex}",
        fields.source, fields.destination, fields.ttl, fields.len
    )
}

fn tcp_flags(byte: Option<&u8>) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
    let set = |byte: u8| names.iter().enumerate().filter(move |(bit, _)| byte >> bit & 1 == 1).map(|(_, name)| *name);
    byte.map_or_else(String::new, |&byte| format!(" [{}]", set(byte).collect::<Vec<_>>().join(" ")))
}

/// The Ethernet address that stands for a neighbour: 02:00 and an IPv4 address, or 02:06 and the end of an IPv6 one.
pub(super) fn mac_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => format!("0200{}", to_hex(&Ipv4Addr::octets(&a))),
        IpAddr::V6(a) => format!("0206{}", to_hex(&Ipv6Addr::octets(&a)[12..])),
    }
}
