//! Captures for tests, and a second opinion on checksums and tunnels.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etherparse::{Icmpv4Slice, Icmpv6Slice, IpNumber, IpSlice, TcpSlice, UdpSlice};
use lvs_examples::balance::{Content, Frame, Link, Reader, Resolution, Writer};

/// UDP port of the tunnel in the default rules, and the bytes of its header.
const GUE: (u16, usize) = (6080, 4);

/// A capture of the repository.
pub(crate) fn captured(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

/// A file for tests to write.
pub(crate) fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// All packets of a capture.
pub(crate) fn frames(path: &Path) -> Vec<Frame> {
    let mut reader = Reader::open(path).expect("a capture");
    std::iter::from_fn(|| reader.next_frame().expect("a whole capture")).collect()
}

/// Writes a capture.
pub(crate) fn save(path: &Path, frames: &[Frame]) {
    let mut writer = Writer::create(path, frames[0].link, Resolution::NanoSecond).expect("a file");
    frames.iter().for_each(|frame| writer.write(frame).expect("room for it"));
    writer.finish().expect("room for it");
}

/// Packets as a capture of raw IP, a millisecond apart.
pub(crate) fn stamped<const N: usize>(packets: [Vec<u8>; N]) -> impl Iterator<Item = Frame> {
    (1..).zip(packets).map(|(number, data)| Frame {
        number,
        time: Duration::from_millis(number),
        link: Link::Raw,
        data,
    })
}

/// The IP packet of a frame; empty if it has none.
pub(crate) fn packet(frame: &Frame) -> &[u8] {
    match frame.content() {
        Content::Ip(packet) => packet,
        _ => &[],
    }
}

/// How many checksums a packet has, headers in tunnels included; the first that is wrong is an error.
pub(crate) fn checksums(packet: &[u8]) -> Result<usize, String> {
    let ip = IpSlice::from_slice(packet).map_err(|error| error.to_string())?;
    let mut count = 0;
    let mut check = |what: &str, found: u16, right: u16| {
        count += 1;
        if found == right { Ok(()) } else { Err(format!("{what}: {found:#06x} instead of {right:#06x}")) }
    };
    if let IpSlice::Ipv4(ip) = &ip {
        check("IPv4", ip.header().header_checksum(), ip.header().to_header().calc_header_checksum())?;
    }
    let payload = ip.payload().payload;
    match (ip.payload_ip_number(), ip.source_addr(), ip.destination_addr()) {
        (IpNumber::TCP, from, to) => {
            let tcp = TcpSlice::from_slice(payload).map_err(|error| error.to_string())?;
            let right = match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => tcp.calc_checksum_ipv4(from.octets(), to.octets()),
                (IpAddr::V6(from), IpAddr::V6(to)) => tcp.calc_checksum_ipv6(from.octets(), to.octets()),
                _ => return Err(String::from("two families")),
            };
            check("TCP", tcp.checksum(), right.map_err(|error| error.to_string())?)?;
        }
        (IpNumber::UDP, from, to) => {
            let udp = UdpSlice::from_slice(payload).map_err(|error| error.to_string())?;
            let (header, data) = (udp.to_header(), udp.payload());
            let right = match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => header.calc_checksum_ipv4_raw(from.octets(), to.octets(), data),
                (IpAddr::V6(from), IpAddr::V6(to)) => header.calc_checksum_ipv6_raw(from.octets(), to.octets(), data),
                _ => return Err(String::from("two families")),
            };
            check("UDP", udp.checksum(), right.map_err(|error| error.to_string())?)?;
        }
        (IpNumber::ICMP, ..) => {
            let icmp = Icmpv4Slice::from_slice(payload).map_err(|error| error.to_string())?;
            check("ICMP", icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()))?;
        }
        (IpNumber::IPV6_ICMP, IpAddr::V6(from), IpAddr::V6(to)) => {
            let icmp = Icmpv6Slice::from_slice(payload).map_err(|error| error.to_string())?;
            let right = icmp.icmp_type().calc_checksum(from.octets(), to.octets(), icmp.payload());
            check("ICMPv6", icmp.checksum(), right.map_err(|error| error.to_string())?)?;
        }
        _ => {}
    }
    let inner = bare(packet);
    Ok(count + if inner.len() < packet.len() { checksums(inner)? } else { 0 })
}

/// What a tunnel packet holds; of others, the packet itself.
pub(crate) fn bare(packet: &[u8]) -> &[u8] {
    let Ok(ip) = IpSlice::from_slice(packet) else { return packet };
    let payload = ip.payload().payload;
    let inner = match ip.payload_ip_number() {
        IpNumber::IPV4 | IpNumber::IPV6 => payload.len(),
        IpNumber::UDP if payload.get(2..4) == Some(&GUE.0.to_be_bytes()) => payload.len() - 8 - GUE.1,
        _ => return packet,
    };
    &packet[packet.len() - inner..]
}

/// True for a packet in a packet.
pub(crate) fn is_tunnelled(packet: &[u8]) -> bool {
    bare(packet).len() < packet.len()
}

/// A packet without what a director may change on the way to a server: destination, checksums, and so many hops.
pub(crate) fn normalized(packet: &[u8], hops: u8) -> Vec<u8> {
    let ip = IpSlice::from_slice(packet).expect("an IP packet");
    let transport = packet.len() - ip.payload().payload.len();
    let checksum = transport + if ip.payload_ip_number() == IpNumber::TCP { 16 } else { 6 };
    let mut packet = packet.to_vec();
    match ip {
        IpSlice::Ipv4(_) => {
            packet[8] -= hops;
            packet[10..12].fill(0);
            packet[16..20].fill(0);
        }
        IpSlice::Ipv6(_) => {
            packet[7] -= hops;
            packet[24..40].fill(0);
        }
    }
    packet[transport + 2..transport + 4].fill(0);
    packet[checksum..checksum + 2].fill(0);
    packet
}

/// Puts a checksum into an IPv4 packet of TCP, right or wrong.
pub(crate) fn with_transport_checksum(packet: &mut [u8], checksum: u16) {
    let header = usize::from(packet[0] & 0x0f) * 4;
    packet[header + 16..header + 18].copy_from_slice(&checksum.to_be_bytes());
}
