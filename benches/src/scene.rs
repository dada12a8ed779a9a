//! Directors to measure: one service, its servers, and established flows.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use lvs_core::{
    Config, Director, Family, Instant, Meta, Method, Packet, PassReason, Path, Protocol, ServerSpec, ServiceSpec,
    Verdict,
};

use crate::traffic::{Buffer, LEN, OFFSET, Sequence, Template, Traffic};

/// When flows are opened.
pub const OPENED: Instant = Instant::from_millis(1);
/// When packets of established flows come.
pub const NOW: Instant = Instant::from_millis(2);
/// Packets that are looked ahead at once.
pub const BURST: usize = 64;

/// The service's address.
#[must_use]
pub fn service_address(family: Family) -> SocketAddr {
    match family {
        Family::V4 => SocketAddr::from(([192, 0, 2, 10], 80)),
        Family::V6 => SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10), 80)),
    }
}

/// The client of the n-th flow.
#[must_use]
pub fn client(family: Family, n: u32) -> SocketAddr {
    let host = 0x0a00_0000 | n >> 12;
    let port = u16::try_from(n & 0xfff | 0x8000).expect("16 bits");
    SocketAddr::new(host_address(family, host), port)
}

/// What stands for the client in a template: both parts that differ are 0.
#[must_use]
pub fn client_of_zero(family: Family) -> SocketAddr {
    SocketAddr::new(host_address(family, 0), 0)
}

fn host_address(family: Family, host: u32) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(host).into(),
        Family::V6 => Ipv6Addr::from(0x2001_0db8_0001u128 << 80 | u128::from(host)).into(),
    }
}

/// A director in the making.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Of clients, service and servers.
    pub family: Family,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// How packets reach the servers.
    pub method: Method,
    /// How servers are chosen.
    pub scheduler: &'static str,
    /// So many servers.
    pub servers: u32,
    /// So many established flows.
    pub flows: u32,
    /// Room for so many more.
    pub room: u32,
    /// Whether a client stays with its server.
    pub persistent: bool,
    /// Whether established flows stay for a month without a packet.
    pub lasting: bool,
}

impl Scene {
    /// NAT of TCP over IPv4 to eight servers in turn, some flows established.
    #[must_use]
    pub const fn nat(flows: u32) -> Self {
        Self {
            family: Family::V4,
            protocol: Protocol::Tcp,
            method: Method::Nat,
            scheduler: "rr",
            servers: 8,
            flows,
            room: 0,
            persistent: false,
            lasting: false,
        }
    }

    /// The same over another family.
    #[must_use]
    pub const fn family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    /// The same with another protocol.
    #[must_use]
    pub const fn protocol(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// The same with another method.
    #[must_use]
    pub const fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// The same with another scheduler and number of servers.
    #[must_use]
    pub const fn scheduled(self, scheduler: &'static str, servers: u32) -> Self {
        Self { scheduler, servers, ..self }
    }

    /// The same with room for more flows.
    #[must_use]
    pub const fn room(self, room: u32) -> Self {
        Self { room, ..self }
    }

    /// The same with persistence.
    #[must_use]
    pub const fn persistent(self) -> Self {
        Self { persistent: true, ..self }
    }

    /// The same with established flows that stay for a month without a packet.
    #[must_use]
    pub const fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }

    /// A director with the service and its servers, and no flows.
    ///
    /// # Panics
    /// If the library refuses what is asked for.
    #[must_use]
    pub fn empty(&self) -> Director {
        let tunnel = |family| host_address(family, 0xc000_02fe);
        let config = Config {
            connections: (self.flows + self.room) as usize,
            path: Path::new(1500).tunnel_source(tunnel(Family::V4)).tunnel_source(tunnel(Family::V6)),
            address_v4: Some(Ipv4Addr::new(192, 0, 2, 254)),
            ..Config::with_seed(7)
        };
        let mut director = Director::new(config).expect("room for the flows");
        if self.lasting {
            let month = Duration::from_secs(30 * 24 * 3600);
            director.set_timeouts(month, Duration::ZERO, month).expect("less than 31 days");
        }
        let service = match self.protocol {
            Protocol::Udp => ServiceSpec::udp(service_address(self.family)),
            _ => ServiceSpec::tcp(service_address(self.family)),
        };
        let service = if self.persistent { service.persistent(Duration::from_secs(60)) } else { service };
        // The scheduler comes last: with some, each server that is added costs as much as all together.
        let id = director.add_service(service.clone()).expect("a service");
        for n in 0..self.servers {
            // `ovf` takes a weight for the number of connections that a server can have.
            let weight = if self.scheduler == "ovf" { 1 << 30 } else { n % 4 + 1 };
            let spec = ServerSpec::new(self.server(n), self.method).weight(weight);
            director.add_server(id, spec).expect("a server");
        }
        director.edit_service(service.scheduler(self.scheduler)).expect("a scheduler");
        director
    }

    /// The n-th server.
    #[must_use]
    pub fn server(&self, n: u32) -> SocketAddr {
        let port = if self.method == Method::Nat { 8080 } else { 80 };
        SocketAddr::new(host_address(self.family, 0xac10_0001 + n), port)
    }

    /// A director with all of it.
    ///
    /// # Panics
    /// If a flow is not forwarded.
    #[must_use]
    pub fn established(&self) -> Director {
        let mut director = self.empty();
        self.open(&mut director, self.flows);
        director
    }

    /// Opens the first `flows` flows and establishes them.
    ///
    /// # Panics
    /// If one is not forwarded.
    pub fn open(&self, director: &mut Director, flows: u32) {
        play(director, Sequence::new(Template::opening(self.family, self.protocol), 0), flows, OPENED);
        if self.protocol == Protocol::Tcp {
            play(director, Sequence::new(Template::request(self.family, self.protocol), 0), flows, OPENED);
        }
    }

    /// Packets of the servers, chosen by the flow: whose turn it was when the flow was opened.
    ///
    /// # Panics
    /// If servers are not chosen in turn.
    #[must_use]
    pub fn replies(&self) -> Vec<Template> {
        let mut director = Self { flows: self.servers, ..*self }.empty();
        let mut opening = Sequence::new(Template::opening(self.family, self.protocol), 0);
        (0..self.servers)
            .map(|_| {
                let mut buffer = [Buffer::EMPTY];
                opening.fill(&mut buffer);
                let mut packet = Packet::new(&mut buffer[0].0, OFFSET, LEN).expect("room");
                match director.process(OPENED, &mut packet, Meta::default()) {
                    Verdict::Forward(out) => {
                        let port = self.server(0).port();
                        Template::reply(self.family, self.protocol, SocketAddr::new(out.next_hop, port))
                    }
                    other => panic!("a flow was not opened: {other:?}"),
                }
            })
            .collect()
    }
}

/// Packets of `flows` flows, all forwarded.
pub fn play(director: &mut Director, mut traffic: impl Traffic, flows: u32, now: Instant) {
    let before = director.reasons().forwarded();
    let mut buffers = [Buffer::EMPTY; BURST];
    let mut left = flows as usize;
    while left > 0 {
        let count = left.min(BURST);
        traffic.fill(&mut buffers[..count]);
        process(director, &mut buffers, count, now);
        left -= count;
    }
    let forwarded = director.reasons().forwarded() - before;
    assert_eq!(forwarded, u64::from(flows), "every packet is forwarded: {:?}", director.reasons());
}

/// One burst: the first `count` packets.
fn process(director: &mut Director, buffers: &mut [Buffer; BURST], count: usize, now: Instant) {
    let mut packets =
        buffers.each_mut().map(|buffer| Packet::new(&mut buffer.0, OFFSET, LEN).expect("room for a packet"));
    let mut verdicts = [Verdict::Pass(PassReason::NoService); BURST];
    director.process_burst(now, &mut packets[..count], &[Meta::default(); BURST], &mut verdicts);
}
