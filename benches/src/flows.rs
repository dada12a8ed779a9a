//! Packets of numbered flows: the n-th client to one service.

use std::net::Ipv4Addr;

use lvs_core::testkit::packets;
use lvs_core::{Config, Director, Instant, Meta, Packet, Verdict};

/// Bytes of a packet: a TCP segment of 64 bytes with its IP header.
pub const LEN: usize = 64;
/// Bytes of a buffer: headroom, and the packet.
pub const BUFFER: usize = 128;
/// Where the packet begins in its buffer.
pub const OFFSET: usize = 64;

/// The segment of flow 0; others differ in the client's address and port.
#[must_use]
pub fn segment(flags: u8) -> [u8; LEN] {
    let packet = packets::tcp("10.0.0.0:0", "192.0.2.10:80").flags(flags).payload(&[0; LEN - 40]).build();
    packet.try_into().expect("20 + 20 + 24 bytes")
}

/// Writes the n-th flow's client into a segment of flow 0, checksums mended.
pub fn address(packet: &mut [u8], n: u32) {
    let client = Ipv4Addr::from(0x0a00_0000 | n >> 12).octets();
    let port = (u16::try_from(n & 0xfff).expect("12 bits") | 0x8000).to_be_bytes();
    packet[12..16].copy_from_slice(&client);
    packet[20..22].copy_from_slice(&port);
    // Address and port were 10.0.0.0 and 0: what was added to the sums is known.
    let be = |a: u8, b: u8| u32::from(u16::from_be_bytes([a, b]));
    let added = be(client[0], client[1]) - 0x0a00 + be(client[2], client[3]);
    mend(packet, 10, added);
    mend(packet, 36, added + be(port[0], port[1]));
}

fn mend(packet: &mut [u8], at: usize, added: u32) {
    let sum = u32::from(!u16::from_be_bytes([packet[at], packet[at + 1]])) + added;
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX);
    packet[at..at + 2].copy_from_slice(&(!folded).to_be_bytes());
}

/// A director with one service, `servers` of a method option (`-m`, `-g`, `-i`), and `flows` established connections.
#[must_use]
pub fn established(flows: u32, method: &str, servers: u32) -> Director {
    let config = Config { connections: flows as usize, ..Config::with_seed(7) };
    let mut director = Director::new(config).expect("room for the flows");
    director.run("-A -t 192.0.2.10:80 -s rr").expect("a service");
    for n in 0..servers {
        let server = Ipv4Addr::from(0xac10_0001 + n);
        director.run(&format!("-a -t 192.0.2.10:80 -r {server}:80 {method}")).expect("a server");
    }
    let mut buffer = [0; BUFFER];
    for flags in [0x02, 0x10] {
        let segment = segment(flags);
        for n in 0..flows {
            buffer[OFFSET..OFFSET + LEN].copy_from_slice(&segment);
            address(&mut buffer[OFFSET..OFFSET + LEN], n);
            let mut packet = Packet::new(&mut buffer, OFFSET, LEN).expect("room");
            let verdict = director.process(Instant::from_millis(1), &mut packet, Meta::default());
            assert!(matches!(verdict, Verdict::Forward(_)), "flow {n}: {verdict:?}");
        }
    }
    director
}
