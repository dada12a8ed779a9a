//! What the director reads in a packet, and what `etherparse` reads in it.
//!
//! They agree but for the following, where the director does as IPVS and the kernel's IP layer do:
//!
//! - Lengths. A packet shorter than its header says is dropped by the director; `etherparse`, told to be lax, takes what is
//!   there. An IPv6 payload length of 0 means no payload to the director, not a jumbogram.
//! - The authentication header is a protocol of its own over IPv4, and none that is balanced; `etherparse` looks behind it.
//!   One of length zero has 8 bytes to the director, where `etherparse` refuses it.
//! - Extension headers may come in any order, hop-by-hop options included.
//! - Behind the header of a fragment the director reads nothing; `etherparse` goes on if an extension header is announced.
//! - Ports are the first four bytes of the transport header, whatever else is wrong with it: a data offset of TCP, a length
//!   of UDP.

use std::net::SocketAddr;

use etherparse::{IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use lvs_core::testkit::packets::Builder;
use lvs_core::{Config, Director, DropReason, Explanation, Flow, Instant, Meta, PassReason, Protocol, Verdict};
use proptest::prelude::*;

use common::bytes;
use common::pcap::captures;
use common::play::{Shot, damage};
use common::scenario::{Damage, cases};

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

/// One that leaves every fragment to the host: what is compared is how packets are read.
fn director() -> Director {
    let mut director = Director::new(Config { connections: 1, fragments: 0, ..Config::with_seed(7) }).unwrap();
    director.load("-A -f 9 -s rr\n-A -f 9 -6 -s rr").unwrap();
    director
}

fn explain(bytes: &[u8]) -> Explanation {
    Shot::new(bytes, Meta::default()).explain(&director(), Instant::ZERO)
}

/// What a packet is by `etherparse` and the differences above.
#[derive(Debug, PartialEq, Eq)]
enum Opinion {
    Unreadable(DropReason),
    Fragment(Flow),
    /// The flow, and how many bytes there are behind the IP headers.
    Whole(Flow, usize),
    /// The chain of extension headers is one that `etherparse` does not follow.
    Nothing,
}

fn opinion(bytes: &[u8]) -> Opinion {
    if let Err(reason) = header(bytes) {
        return Opinion::Unreadable(reason);
    }
    let lax = LaxSlicedPacket::from_ip(bytes).expect("the header was read a moment ago");
    let ip = lax.net.as_ref().expect("an IP packet");
    let payload = lax.ip_payload().expect("an IP packet");
    let (source, destination, first) = match ip {
        LaxNetSlice::Ipv4(v4) => {
            let header = v4.header();
            (header.source_addr().into(), header.destination_addr().into(), header.protocol())
        }
        LaxNetSlice::Ipv6(v6) => {
            let header = v6.header();
            (header.source_addr().into(), header.destination_addr().into(), header.next_header())
        }
        LaxNetSlice::Arp(_) => panic!("no IP packet"),
    };
    let flow = |protocol: IpNumber, ports: [u16; 2]| Flow {
        protocol: protocol.0,
        source: SocketAddr::new(source, ports[0]),
        destination: SocketAddr::new(destination, ports[1]),
    };
    let is_v4 = matches!(ip, LaxNetSlice::Ipv4(_));
    if payload.fragmented {
        return if is_v4 { Opinion::Fragment(flow(first, [0, 0])) } else { Opinion::Nothing };
    }
    if is_v4 && first == IpNumber::AUTHENTICATION_HEADER {
        return Opinion::Whole(flow(first, [0, 0]), 0);
    }
    if is_v4 || lax.stop_err.is_none() || lax.transport.is_some() || is_balanced(payload.ip_number) {
        let is_jumbo = bytes.len() > 40 && !is_v4 && bytes[4..6] == [0, 0];
        let segment = if is_jumbo { &[][..] } else { payload.payload };
        if is_jumbo && payload.ip_number != first {
            return Opinion::Nothing;
        }
        let mut ports = [0, 0];
        if let (true, &[a, b, c, d, ..]) = (is_balanced(payload.ip_number), segment) {
            ports = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
        }
        match &lax.transport {
            Some(TransportSlice::Tcp(tcp)) if !is_jumbo => {
                assert_eq!(ports, [tcp.source_port(), tcp.destination_port()]);
            }
            Some(TransportSlice::Udp(udp)) if !is_jumbo => {
                assert_eq!(ports, [udp.source_port(), udp.destination_port()]);
            }
            _ => {}
        }
        return Opinion::Whole(flow(payload.ip_number, ports), segment.len());
    }
    Opinion::Nothing
}

fn is_balanced(protocol: IpNumber) -> bool {
    Protocol::from_number(protocol.0).is_some()
}

/// Whether `etherparse` can read the IP header, and its lengths and checksum are right.
fn header(bytes: &[u8]) -> Result<(), DropReason> {
    let lengths = match bytes.first().map(|byte| byte >> 4) {
        Some(4) => {
            Ipv4HeaderSlice::from_slice(bytes).map(|h| (h.slice().len(), usize::from(h.total_len()))).map_err(|_| ())
        }
        Some(6) => {
            Ipv6HeaderSlice::from_slice(bytes).map(|h| (40, 40 + usize::from(h.payload_length()))).map_err(|_| ())
        }
        _ => return Err(DropReason::NotIp),
    };
    match lengths {
        Ok((header, total)) if (header..=bytes.len()).contains(&total) => {
            if bytes::ip_is_right(bytes) {
                Ok(())
            } else {
                Err(DropReason::IpChecksum)
            }
        }
        _ => Err(DropReason::TruncatedIp),
    }
}

/// Compares; true if `etherparse` had an opinion on what is behind the IP header.
fn compare(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let explained = explain(bytes);
    let passed = |reason| Some(Verdict::Pass(reason));
    match opinion(bytes) {
        Opinion::Unreadable(reason) => {
            prop_assert_eq!((explained.flow, explained.verdict), (None, Some(Verdict::Drop(reason))));
            return Ok(false);
        }
        Opinion::Fragment(flow) => {
            prop_assert_eq!(explained.flow, Some(flow));
            prop_assert_eq!(explained.verdict, passed(PassReason::Fragment));
        }
        Opinion::Whole(flow, behind) => {
            let is_known = is_balanced(IpNumber(flow.protocol));
            let least = match flow.protocol {
                6 => 20,
                17 => 8,
                _ => 12,
            };
            prop_assert_eq!(
                explained.flow.map(|f| (f.source.ip(), f.destination.ip())),
                Some((flow.source.ip(), flow.destination.ip()))
            );
            if is_known {
                prop_assert_eq!(explained.flow, Some(flow));
            }
            // ICMP belongs to flows only by what it quotes; its errors need a whole header.
            let is_icmp = flow.protocol == if flow.source.is_ipv4() { 1 } else { 58 };
            match explained.verdict {
                Some(Verdict::Pass(PassReason::NoConnection)) => prop_assert!(is_icmp && behind >= 8),
                Some(Verdict::Drop(DropReason::TruncatedTransport)) if is_icmp => prop_assert!(behind < 8),
                Some(Verdict::Pass(PassReason::UnsupportedProtocol)) => prop_assert!(!is_known),
                Some(Verdict::Drop(DropReason::TruncatedTransport)) => {
                    // Of SCTP the header of the first chunk is needed, too.
                    prop_assert!(is_known && (behind < least || flow.protocol == 132 && behind < 16));
                }
                other => {
                    prop_assert!(is_known && behind >= least && other == passed(PassReason::NoService), "{:?}", other);
                }
            }
        }
        Opinion::Nothing => {
            let verdict = explained.verdict;
            let known = [
                passed(PassReason::Fragment),
                passed(PassReason::UnsupportedProtocol),
                passed(PassReason::NoService),
                // Of IPsec, or an ICMP error.
                passed(PassReason::NoConnection),
                Some(Verdict::Drop(DropReason::TruncatedTransport)),
            ];
            prop_assert!(known.contains(&verdict), "{:?}", verdict);
            return Ok(false);
        }
    }
    Ok(true)
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop_oneof![
        Just(("198.51.100.1:40001", "192.0.2.10:80")),
        Just(("[2001:db8:9::1]:40001", "[2001:db8:c::10]:80")),
    ];
    let protocol = prop::sample::select(&Protocol::ALL[..]);
    (ends, protocol, 0..10usize, prop::collection::vec(any::<u8>(), 0..40), any::<u8>()).prop_map(
        |((source, destination), protocol, options, payload, flags)| {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            Builder::new(protocol, source, destination).options(options).payload(&payload).flags(flags).build()
        },
    )
}

/// Kinds of extension headers, by their numbers.
fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let raw = |kinds: Vec<u8>| {
        (prop::sample::select(kinds), 0..3u8).prop_map(|(kind, len)| (kind, vec![0; usize::from(len) * 8 + 6], len))
    };
    let options = raw(vec![0, 43, 60]).prop_map(|(kind, rest, len)| (kind, [vec![len], rest].concat()));
    let authentication = (1..4u8).prop_map(|len| (51, [vec![len], vec![0; (usize::from(len) + 2) * 4 - 2]].concat()));
    let fragment = (prop::sample::select(vec![0u16, 0, 0, 8, 1, 6, 1480]), Just(44))
        .prop_map(|(word, kind)| (kind, [vec![0], word.to_be_bytes().to_vec(), vec![0, 0, 0, 1]].concat()));
    prop_oneof![4 => options, 1 => authentication, 2 => fragment]
}

/// A packet over IPv6 with a chain of extension headers.
fn chained() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(extension(), 0..5), prop::sample::select(&Protocol::ALL[..]), any::<bool>()).prop_map(
        |(extensions, protocol, lies)| {
            let base = Builder::new(
                protocol,
                "[2001:db8:9::1]:40001".parse().unwrap(),
                "[2001:db8:c::10]:80".parse().unwrap(),
            );
            let mut packet = base.build();
            let segment = packet.split_off(40);
            let mut place = 6;
            for (kind, rest) in &extensions {
                packet[place] = *kind;
                place = packet.len();
                packet.push(59);
                packet.extend(rest);
            }
            packet[place] = protocol.number();
            packet.extend(segment);
            let len = u16::try_from(packet.len() - 40).unwrap().saturating_sub(if lies { 9 } else { 0 });
            packet[4..6].copy_from_slice(&len.to_be_bytes());
            packet
        },
    )
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        2 => Just(Damage::None),
        2 => (0..120usize).prop_map(Damage::CutOff),
        4 => (0..120usize).prop_map(Damage::Shortened),
        8 => (0..800usize, prop::bool::weighted(0.8)).prop_map(|(bit, mended)| Damage::Flipped(bit, mended)),
        2 => (prop::sample::select(vec![0, 1, 185]), any::<bool>()).prop_map(|(at, more)| Damage::Fragment(at, more)),
    ]
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn both_read_the_same_flow_in_a_packet_that_is_damaged_or_not(
        mut packet in packet(),
        first in any_damage(),
        second in any_damage(),
        bytes_behind in 0..8usize,
    ) {
        damage(&mut packet, first);
        damage(&mut packet, second);
        packet.extend(vec![0x77; bytes_behind]);
        compare(&packet)?;
    }

    #[test]
    fn both_walk_along_the_same_extension_headers(mut packet in chained(), harm in any_damage()) {
        if !matches!(harm, Damage::Fragment(..)) {
            damage(&mut packet, harm);
        }
        compare(&packet)?;
    }

    #[test]
    fn both_read_the_same_in_nonsense(mut nonsense in prop::collection::vec(any::<u8>(), 0..100), version in 0..4u8) {
        if let Some(first) = nonsense.first_mut() {
            *first = [0x45, 0x46, 0x60, *first][usize::from(version)];
        }
        if nonsense.len() > 20 && version < 2 {
            let len = u16::try_from(nonsense.len()).unwrap();
            nonsense[2..4].copy_from_slice(&len.to_be_bytes());
            bytes::refresh_ip(&mut nonsense);
        }
        compare(&nonsense)?;
    }
}

#[test]
fn both_read_the_same_flow_in_real_packets() {
    for (name, packets) in captures() {
        for (number, packet) in packets.iter().enumerate() {
            let is_read = compare(packet).unwrap_or_else(|error| panic!("{name}, packet {number}: {error}"));
            assert!(is_read, "{name}, packet {number}");
        }
    }
}

#[test]
fn what_only_one_of_them_reads_is_what_is_listed_above() {
    let segment = [0x9c, 0x41, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
    let v6 = |next: u8, len: Option<u16>, rest: &[&[u8]]| {
        let rest = rest.concat();
        let len = len.unwrap_or_else(|| u16::try_from(rest.len()).unwrap()).to_be_bytes();
        let addresses = ["2001:db8:9::1", "2001:db8:c::10"].map(|a| bytes::octets(a.parse().unwrap())).concat();
        [&[0x60, 0, 0, 0, len[0], len[1], next, 64], &addresses[..], &rest[..]].concat()
    };
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let whole = Some(Verdict::Pass(PassReason::NoService));
    let truncated = Some(Verdict::Drop(DropReason::TruncatedTransport));
    let unsupported = Some(Verdict::Pass(PassReason::UnsupportedProtocol));
    let fragment = Some(Verdict::Pass(PassReason::Fragment));
    for (name, packet, verdict, ports) in [
        ("hop-by-hop options second", v6(60, None, &[&options(0), &options(6), &segment]), whole, (40001, 80)),
        ("no payload by its length", v6(6, Some(0), &[&segment]), truncated, (0, 0)),
        (
            "an authentication header without a length",
            v6(51, None, &[&[6, 0, 0, 0, 0, 0, 0, 0], &segment]),
            whole,
            (40001, 80),
        ),
        (
            "options behind the header of a fragment",
            v6(44, None, &[&[60, 0, 0, 8, 0, 0, 0, 7], &options(6), &segment]),
            fragment,
            (0, 0),
        ),
        ("no next header", v6(59, None, &[&segment]), unsupported, (0, 0)),
    ] {
        let explained = explain(&packet);
        let flow = explained.flow.unwrap();
        assert_eq!((explained.verdict, (flow.source.port(), flow.destination.port())), (verdict, ports), "{name}");
    }
}
