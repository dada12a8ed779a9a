//! Packets of numbered flows: the n-th client of one service, written into buffers of a burst.

use lvs_core::testkit::packets::Builder;
use lvs_core::{Family, Protocol};

use crate::scene::{client_of_zero, service_address};

/// Bytes of a packet, with its IP header.
pub const LEN: usize = 64;
/// Where the packet begins in its buffer: what is in front is headroom.
pub const OFFSET: usize = 64;

/// Room for a packet and its headroom, on cache lines of its own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Buffer(pub [u8; OFFSET + LEN]);

impl Buffer {
    /// Without a packet.
    pub const EMPTY: Self = Self([0; OFFSET + LEN]);

    /// The packet.
    #[inline]
    pub fn packet(&mut self) -> &mut [u8; LEN] {
        self.0[OFFSET..].first_chunk_mut().expect("64 bytes behind the headroom")
    }
}

/// A packet of flow 0, and what differs in those of others.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: [u8; LEN],
    /// Where the last four bytes of the client's address are, and its port.
    address_at: usize,
    port_at: usize,
    /// Checksums over the address, and over the port.
    address_sums: [usize; 2],
    port_sum: usize,
}

/// Where a checksum is that does not exist: outside of every packet.
const NO_SUM: usize = usize::MAX;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

impl Template {
    /// The packet that opens a flow: a TCP segment with SYN, or any UDP datagram.
    #[must_use]
    pub fn opening(family: Family, protocol: Protocol) -> Self {
        Self::of_client(family, protocol, SYN)
    }

    /// A packet of an established flow, from the client.
    #[must_use]
    pub fn request(family: Family, protocol: Protocol) -> Self {
        Self::of_client(family, protocol, ACK)
    }

    /// The segment that ends a flow.
    #[must_use]
    pub fn closing(family: Family) -> Self {
        Self::of_client(family, Protocol::Tcp, RST)
    }

    fn of_client(family: Family, protocol: Protocol, flags: u8) -> Self {
        let builder = Builder::new(protocol, client_of_zero(family), service_address(family)).flags(flags);
        Self::between(family, protocol, builder, Client::IsSource)
    }

    /// A packet of an established flow, from a server.
    #[must_use]
    pub fn reply(family: Family, protocol: Protocol, server: core::net::SocketAddr) -> Self {
        let builder = Builder::new(protocol, server, client_of_zero(family)).flags(ACK);
        Self::between(family, protocol, builder, Client::IsDestination)
    }

    fn between(family: Family, protocol: Protocol, builder: Builder, client: Client) -> Self {
        let (ip, address, checksum) = match family {
            Family::V4 => (20, 12, 10),
            Family::V6 => (40, 20, NO_SUM),
        };
        let (header, transport_sum) = match protocol {
            Protocol::Udp => (8, ip + 6),
            _ => (20, ip + 16),
        };
        let bytes = builder.payload(&vec![0; LEN - ip - header]).build();
        let (width, place) = (if family == Family::V4 { 4 } else { 16 }, usize::from(client == Client::IsDestination));
        Self {
            bytes: bytes.try_into().expect("64 bytes"),
            address_at: address + place * width,
            port_at: ip + place * 2,
            address_sums: [checksum, transport_sum],
            port_sum: transport_sum,
        }
    }

    /// An ICMP error of a router on the client's side: the flow's packet to the client was too big (RFC 1191). It quotes
    /// what the director sent there.
    #[must_use]
    pub fn error_from_outside() -> Self {
        let quoted = Builder::new(Protocol::Tcp, service_address(Family::V4), client_of_zero(Family::V4));
        let quoted = quoted.flags(ACK).payload(&[0; LEN - 40]).build();
        let mut bytes = [0; LEN];
        // The outer header is that of a UDP datagram of the same length, of another protocol.
        let router = "203.0.113.1:0".parse().expect("an address");
        let outer = Builder::new(Protocol::Udp, router, service_address(Family::V4)).payload(&[0; LEN - 28]).build();
        bytes.copy_from_slice(&outer);
        bytes[9] = 1;
        bytes[10..12].fill(0);
        let header = checksum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&header.to_be_bytes());
        bytes[20..28].copy_from_slice(&[3, 4, 0, 0, 0, 0, 5, 0]);
        bytes[28..].copy_from_slice(&quoted[..LEN - 28]);
        let message = checksum(&bytes[20..]);
        bytes[22..24].copy_from_slice(&message.to_be_bytes());
        // The quoted header's own sum makes up for the address in it, so the message's sum changes with the port alone.
        Self { bytes, address_at: 44, port_at: 50, address_sums: [38, NO_SUM], port_sum: 22 }
    }

    /// Writes the packet of the n-th flow.
    #[inline]
    pub fn write(&self, buffer: &mut Buffer, n: u32) {
        let packet = buffer.packet();
        packet.copy_from_slice(&self.bytes);
        let (host, port) = (0x0a00_0000 | n >> 12, n & 0xfff | 0x8000);
        packet[self.address_at..][..4].copy_from_slice(&host.to_be_bytes());
        packet[self.port_at..][..2].copy_from_slice(&port.to_be_bytes()[2..]);
        // Both were 0 in flow 0.
        let address = (host >> 16) + (host & 0xffff);
        for at in self.address_sums {
            let added = if at == self.port_sum { address + port } else { address };
            mend(packet, at, added);
        }
        if !self.address_sums.contains(&self.port_sum) {
            mend(packet, self.port_sum, port);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    IsSource,
    IsDestination,
}

/// Adds to the data under a checksum.
#[inline]
fn mend(packet: &mut [u8; LEN], at: usize, added: u32) {
    let Some(field) = packet.get_mut(at..at.saturating_add(2)) else { return };
    let sum = u32::from(!u16::from_be_bytes([field[0], field[1]])) + added;
    field.copy_from_slice(&(!fold(sum)).to_be_bytes());
}

/// The Internet checksum of some bytes (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    !fold(sum)
}

pub(crate) fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX)
}

/// What fills the buffers of a burst, again and again.
pub trait Traffic {
    /// The next packets.
    fn fill(&mut self, buffers: &mut [Buffer]);
    /// Flows that were opened so far are gone.
    fn start(&mut self) {}
}

/// Numbers that look drawn and are the same every time.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The first of them.
    #[must_use]
    pub const fn new() -> Self {
        Self(1)
    }

    /// The next one below a limit.
    #[inline]
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(((self.0 >> 32) * u64::from(limit)) >> 32).expect("below the limit")
    }
}

impl Default for Draws {
    fn default() -> Self {
        Self::new()
    }
}

/// Packets of random flows out of some. The flow chooses between the templates, of which there is a power of two.
#[derive(Clone, Debug)]
pub struct Random {
    templates: Vec<Template>,
    first: u32,
    flows: u32,
    draws: Draws,
}

impl Random {
    /// Of the first `flows` flows.
    #[must_use]
    pub fn new(templates: Vec<Template>, flows: u32) -> Self {
        assert!(templates.len().is_power_of_two(), "a power of two");
        Self { templates, first: 0, flows, draws: Draws::new() }
    }

    /// So many others, from this one on.
    #[must_use]
    pub fn from(self, first: u32) -> Self {
        Self { first, ..self }
    }

    /// With one template.
    #[must_use]
    pub fn of(template: Template, flows: u32) -> Self {
        Self::new(vec![template], flows)
    }
}

impl Traffic for Random {
    fn fill(&mut self, buffers: &mut [Buffer]) {
        let mask = self.templates.len() - 1;
        for buffer in buffers {
            let n = self.first + self.draws.below(self.flows);
            self.templates[n as usize & mask].write(buffer, n);
        }
    }
}

/// One packet of each flow, in order.
#[derive(Clone, Debug)]
pub struct Sequence {
    template: Template,
    next: u32,
    step: u32,
}

impl Sequence {
    /// Beginning with some flow.
    #[must_use]
    pub const fn new(template: Template, first: u32) -> Self {
        Self { template, next: first, step: 1 }
    }

    /// The same with each packet from another address.
    #[must_use]
    pub const fn of_new_clients(self) -> Self {
        Self { step: 1 << 12, ..self }
    }
}

impl Traffic for Sequence {
    fn fill(&mut self, buffers: &mut [Buffer]) {
        for buffer in buffers {
            self.template.write(buffer, self.next);
            self.next = self.next.wrapping_add(self.step);
        }
    }
}

/// TCP as a balancer sees it: of a hundred packets 90 are of established flows, 8 open a flow, 2 end one of those.
#[derive(Clone, Debug)]
pub struct Mixed {
    request: Template,
    opening: Template,
    closing: Template,
    flows: u32,
    next: u32,
    /// How many of those opened may be ended.
    open: u32,
    draws: Draws,
}

impl Mixed {
    /// Of the first `flows` flows, which are established.
    #[must_use]
    pub fn new(family: Family, flows: u32) -> Self {
        Self {
            request: Template::request(family, Protocol::Tcp),
            opening: Template::opening(family, Protocol::Tcp),
            closing: Template::closing(family),
            flows,
            next: flows,
            open: 0,
            draws: Draws::new(),
        }
    }
}

impl Traffic for Mixed {
    fn fill(&mut self, buffers: &mut [Buffer]) {
        for buffer in buffers {
            match self.draws.below(100) {
                0..8 => {
                    self.opening.write(buffer, self.next);
                    self.next += 1;
                    self.open += 1;
                }
                8..10 if self.open > 0 => self.closing.write(buffer, self.next - 1 - self.draws.below(self.open)),
                _ => self.request.write(buffer, self.draws.below(self.flows)),
            }
        }
    }

    fn start(&mut self) {
        self.open = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mended_checksums_are_those_of_packets_built_anew() {
        for family in [Family::V4, Family::V6] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                for n in [0, 1, 0xfff, 0x1000, 0x12_3456] {
                    let mut buffer = Buffer::EMPTY;
                    Template::request(family, protocol).write(&mut buffer, n);
                    let client = crate::scene::client(family, n);
                    let header = if protocol == Protocol::Udp { 8 } else { 20 };
                    let ip = if family == Family::V4 { 20 } else { 40 };
                    let built = Builder::new(protocol, client, service_address(family));
                    let built = built.flags(ACK).payload(&vec![0; LEN - ip - header]).build();
                    assert_eq!(buffer.packet()[..], built, "{protocol} {n}");
                }
            }
        }
    }

    #[test]
    fn errors_carry_right_checksums() {
        let mut buffer = Buffer::EMPTY;
        Template::error_from_outside().write(&mut buffer, 0x12_3456);
        let packet = buffer.packet();
        assert_eq!([checksum(&packet[..20]), checksum(&packet[20..]), checksum(&packet[28..48])], [0; 3]);
    }
}
