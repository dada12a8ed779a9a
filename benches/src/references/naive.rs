//! A balancer written the obvious way: addresses as the standard library has them, its hash map with its hash, and
//! checksums computed over the whole packet.

use core::hint::black_box;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use lvs_core::{Family, Protocol};

use crate::measure::Subject;
use crate::traffic::{Buffer, LEN, Template, checksum};

/// Connections to eight servers in turn.
#[derive(Debug, Default)]
pub struct Naive {
    connections: HashMap<Key, Connection>,
    handled: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    protocol: u8,
    source: SocketAddrV4,
    destination: SocketAddrV4,
}

#[derive(Clone, Debug)]
struct Connection {
    server: SocketAddrV4,
    established: bool,
    last_seen: u64,
    packets: u64,
    bytes: u64,
}

impl Naive {
    /// With the first `flows` flows.
    #[must_use]
    pub fn new(flows: u32) -> Self {
        let mut connections = HashMap::with_capacity(flows as usize);
        let template = Template::request(Family::V4, Protocol::Tcp);
        for n in 0..flows {
            let mut buffer = Buffer::EMPTY;
            template.write(&mut buffer, n);
            let server = SocketAddrV4::new(Ipv4Addr::from(0xac10_0001 + n % 8), 8080);
            let connection = Connection { server, established: false, last_seen: 0, packets: 0, bytes: 0 };
            connections.insert(parse(buffer.packet()).expect("a segment"), connection);
        }
        Self { connections, handled: 0 }
    }

    fn forward(&mut self, packet: &mut [u8; LEN]) -> bool {
        let Some(key) = parse(packet) else { return false };
        let Some(connection) = self.connections.get_mut(&key) else { return false };
        connection.established |= packet[33] & 0x10 != 0;
        connection.last_seen = 2;
        connection.packets += 1;
        connection.bytes += LEN as u64;
        packet[16..20].copy_from_slice(&connection.server.ip().octets());
        packet[22..24].copy_from_slice(&connection.server.port().to_be_bytes());
        packet[10..12].fill(0);
        let header = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&header.to_be_bytes());
        packet[36..38].fill(0);
        let mut pseudo = [0; LEN - 8];
        pseudo[..8].copy_from_slice(&packet[12..20]);
        pseudo[9] = 6;
        pseudo[11] = u8::try_from(LEN - 20).expect("a short segment");
        pseudo[12..].copy_from_slice(&packet[20..]);
        let segment = checksum(&pseudo);
        packet[36..38].copy_from_slice(&segment.to_be_bytes());
        true
    }
}

impl Subject for Naive {
    fn handle(&mut self, buffers: &mut [Buffer], work: bool) {
        if work {
            for buffer in &mut *buffers {
                let forwarded = self.forward(buffer.packet());
                self.handled += u64::from(forwarded);
            }
        }
        black_box(buffers);
    }

    fn handled(&self) -> u64 {
        self.handled
    }
}

fn parse(packet: &[u8]) -> Option<Key> {
    if packet.len() < 40 || packet[0] != 0x45 || packet[9] != 6 || checksum(&packet[..20]) != 0 {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    Some(Key {
        protocol: packet[9],
        source: SocketAddrV4::new(address(12), port(20)),
        destination: SocketAddrV4::new(address(16), port(22)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_packet_has_right_checksums_and_the_servers_address() {
        let mut naive = Naive::new(100);
        let mut buffer = Buffer::EMPTY;
        Template::request(Family::V4, Protocol::Tcp).write(&mut buffer, 77);
        let packet = buffer.packet();
        assert!(naive.forward(packet));
        assert_eq!(packet[16..20], [172, 16, 0, 6]);
        let pseudo = [&packet[12..20], &[0, 6, 0, 44], &packet[20..]].concat();
        assert_eq!([checksum(&packet[..20]), checksum(&pseudo)], [0, 0]);
    }
}
