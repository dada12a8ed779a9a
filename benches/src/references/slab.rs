//! The table that one would build today: a `hashbrown` index over a slab, the packet work written out by hand.
//!
//! The same work as the library does for an established NAT connection of TCP over IPv4: parse, verify the header's
//! checksum, hash, look up, state, deadline, counters, rewrite with differences known beforehand. As with the
//! library each connection can be found from both sides, and takes 128 bytes.

use core::hint::black_box;

use hashbrown::HashTable;
use lvs_core::{Family, Protocol};

use crate::floors::hash;
use crate::measure::{Subject, settle};
use crate::traffic::{Buffer, LEN, Template};

/// Connections to eight servers in turn.
#[derive(Debug)]
pub struct Slab {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    handled: u64,
    apart: bool,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(128))]
struct Entry {
    client: Key,
    server: Key,
    packets: u64,
    bytes: u64,
    deadline: u64,
    target: u32,
    port: u16,
    ip_delta: u16,
    tcp_delta: u16,
    state: u8,
}

/// What packets of one side show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    source: u32,
    destination: u32,
    ports: u32,
}

impl Key {
    fn hash(self) -> u64 {
        hash(u64::from(self.source) << 32 | u64::from(self.destination), u64::from(self.ports))
    }
}

impl Slab {
    /// With the first `flows` flows.
    #[must_use]
    pub fn new(flows: u32) -> Self {
        let mut slab =
            Self { index: HashTable::with_capacity(flows as usize * 2), entries: Vec::new(), handled: 0, apart: false };
        let template = Template::request(Family::V4, Protocol::Tcp);
        for n in 0..flows {
            let mut buffer = Buffer::EMPTY;
            template.write(&mut buffer, n);
            let client = parse(buffer.packet()).expect("a segment");
            slab.insert(client, 0xac10_0001 + n % 8, 8080);
        }
        slab
    }

    /// From now on nothing of a packet's work begins before that of the one before it is done.
    pub fn apart(&mut self) -> &mut Self {
        self.apart = true;
        self
    }

    fn insert(&mut self, client: Key, target: u32, port: u16) {
        let slot = u32::try_from(self.entries.len()).expect("fewer than 2^32 flows");
        let server =
            Key { source: target, destination: client.source, ports: u32::from(port) << 16 | client.ports >> 16 };
        let address = difference(client.destination, target);
        let ports = difference(client.ports & 0xffff, u32::from(port));
        self.entries.push(Entry {
            client,
            server,
            packets: 0,
            bytes: 0,
            deadline: 0,
            target,
            port,
            ip_delta: address,
            tcp_delta: fold(u64::from(address) + u64::from(ports)),
            state: 1,
        });
        let Self { index, entries, .. } = self;
        let hasher = |&slot: &u32| entries[slot as usize].client.hash();
        index.insert_unique(client.hash(), slot, hasher);
        index.insert_unique(server.hash(), slot, hasher);
    }

    fn forward(&mut self, packet: &mut [u8; LEN]) -> bool {
        let Some(key) = parse(packet) else { return false };
        let entries = &self.entries;
        let known = |&slot: &u32| entries[slot as usize].client == key || entries[slot as usize].server == key;
        let Some(&slot) = self.index.find(key.hash(), known) else { return false };
        let entry = &mut self.entries[slot as usize];
        entry.state = STATES[usize::from(entry.state & 15)][usize::from(packet[33] & 15)];
        entry.deadline = 2 + TIMEOUTS[usize::from(entry.state & 15)];
        entry.packets += 1;
        entry.bytes += LEN as u64;
        packet[16..20].copy_from_slice(&entry.target.to_be_bytes());
        packet[22..24].copy_from_slice(&entry.port.to_be_bytes());
        add(packet, 10, entry.ip_delta);
        add(packet, 36, entry.tcp_delta);
        true
    }
}

impl Subject for Slab {
    fn handle(&mut self, buffers: &mut [Buffer], work: bool) {
        if work {
            for buffer in &mut *buffers {
                let forwarded = self.forward(buffer.packet());
                self.handled += u64::from(forwarded);
                if self.apart {
                    settle();
                }
            }
        }
        black_box(buffers);
    }

    fn handled(&self) -> u64 {
        self.handled
    }
}

static STATES: [[u8; 16]; 16] = [[1; 16]; 16];
static TIMEOUTS: [u64; 16] = [900; 16];

fn parse(packet: &[u8; LEN]) -> Option<Key> {
    let word = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff;
    if packet[0] != 0x45 || !(40..=LEN).contains(&length) || fragment != 0 || packet[8] <= 1 || packet[9] != 6 {
        return None;
    }
    let sum: u64 = (0..5).map(|n| u64::from(word(n * 4))).sum();
    (fold(sum) == 0xffff).then(|| Key { source: word(12), destination: word(16), ports: word(20) })
}

fn add(packet: &mut [u8; LEN], at: usize, difference: u16) {
    let old = u16::from_be_bytes([packet[at], packet[at + 1]]);
    let new = !fold(u64::from(!old) + u64::from(difference));
    packet[at..at + 2].copy_from_slice(&new.to_be_bytes());
}

/// What a checksum's data gain when one word takes another's place (RFC 1624).
fn difference(old: u32, new: u32) -> u16 {
    fold(u64::from(!old >> 16) + u64::from(!old & 0xffff) + u64::from(new))
}

fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::checksum;

    #[test]
    fn a_rewritten_packet_has_right_checksums_and_the_servers_address() {
        let mut slab = Slab::new(100);
        let mut buffer = Buffer::EMPTY;
        Template::request(Family::V4, Protocol::Tcp).write(&mut buffer, 77);
        let packet = buffer.packet();
        assert!(slab.forward(packet));
        assert_eq!(packet[16..20], [172, 16, 0, 6]);
        assert_eq!(packet[20..24], [0x80, 77, 0x1f, 0x90]);
        let pseudo = [&packet[12..20], &[0, 6, 0, 44], &packet[20..]].concat();
        assert_eq!([checksum(&packet[..20]), checksum(&pseudo)], [0, 0]);
    }
}
