//! Whatever way a packet takes, straight or long, alone or in a burst, the same becomes of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lvs_core::testkit::{long_way::process_at_length, packets::Builder};
use lvs_core::{Config, Director, DropReason, Hook, Instant, Meta, Packet, Path, Protocol, SharedDirector, Verdict};
use proptest::prelude::*;

use common::play::{Outcome, Picture, Shot, Step, Subject};
use common::scenario::{EVERYTHING, cases, flags, scenarios};

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

const START: Instant = Instant::from_secs(1);

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_burst_is_its_packets_one_by_one(
        scenario in scenarios(EVERYTHING, 120),
        sizes in prop::collection::vec(1..90usize, 1..4),
    ) {
        let (mut one_by_one, mut in_bursts) = (Subject::new(&scenario), Subject::new(&scenario));
        let trace = scenario.trace();
        let mut sizes = sizes.into_iter().cycle();
        let mut rest = &trace[..];
        while let Some(first) = rest.first() {
            let Step::Packet(now, _) = first else {
                one_by_one.play(first);
                in_bursts.play(first);
                rest = &rest[1..];
                continue;
            };
            let of_now = rest.iter().map_while(|step| match step {
                Step::Packet(at, shot) if at == now => Some(shot.clone()),
                _ => None,
            });
            let burst: Vec<Shot> = of_now.take(sizes.next().unwrap_or(1)).collect();
            let singly: Vec<Outcome> = burst.iter().map(|shot| shot.process(&mut one_by_one.director, *now)).collect();
            prop_assert_eq!(at_once(&burst, &mut in_bursts.director, *now), singly);
            prop_assert_eq!(Picture::of(&in_bursts.director), Picture::of(&one_by_one.director));
            rest = &rest[burst.len()..];
        }
    }

    #[test]
    fn the_straight_way_leads_where_the_long_one_does(scenario in scenarios(EVERYTHING, 120)) {
        let (mut straight, mut long) = (Subject::new(&scenario), Subject::new(&scenario));
        for step in scenario.trace() {
            let expected = match &step {
                Step::Packet(now, shot) => Some(at_length(shot, &mut long.director, *now)),
                step => long.play(step),
            };
            prop_assert_eq!(straight.play(&step), expected);
            prop_assert_eq!(Picture::of(&straight.director), Picture::of(&long.director));
        }
    }

    #[test]
    fn a_crowd_at_few_doors_comes_in_as_if_each_came_alone_by_the_long_way(crowd in crowds()) {
        let (mut bursts, mut singly, mut long) = (crowd.director(), crowd.director(), crowd.director());
        // In a full table it may see later that a connection is past its deadline.
        let mut shared = (crowd.connections == ROOMY).then(|| crowd.shared());
        let mut now = START;
        for act in &crowd.acts {
            match act {
                Act::Come(guests) => {
                    let shots: Vec<Shot> = guests.iter().map(Guest::shot).collect();
                    let outcomes = at_once(&shots, &mut bursts, now);
                    if let Some(shared) = &mut shared {
                        prop_assert_eq!(&outcomes, &at_once(&shots, shared, now));
                    }
                    for ((shot, outcome), guest) in shots.iter().zip(outcomes).zip(guests) {
                        prop_assert_eq!(&outcome, &shot.process(&mut singly, now), "{:?}", guest);
                        prop_assert_eq!(&outcome, &at_length(shot, &mut long, now), "{:?}", guest);
                    }
                }
                Act::Wait(millis) => now += Duration::from_millis(*millis),
                Act::Advance => {
                    for director in [&mut bursts, &mut singly, &mut long] {
 while director.advance(now, 1000).more {}
}
                    while shared.as_ref().is_some_and(|shared| shared.advance(now, 1000).more) {}
                }
                act => {
                    [&mut bursts, &mut singly, &mut long].into_iter().for_each(|director| act.play(director));
                    if let Some(shared) = &shared {
 shared.with(|director| act.play(director));
}
                }
            }
            let picture = Picture::of(&long);
            prop_assert_eq!(&Picture::of(&bursts), &picture);
            prop_assert_eq!(&Picture::of(&singly), &picture);
            if let Some(shared) = &shared {
                prop_assert_eq!((shared.services(), shared.counters()), (picture.services, picture.counters));
            }
        }
        if let Some(shared) = &shared {
            prop_assert_eq!(shared.connections(), long.connections().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_burst_longer_than_any_look_ahead_is_its_packets_one_by_one() {
    let make = || {
        let mut director = Director::new(Config { connections: 100, ..Config::with_seed(7) }).unwrap();
        director.run("-A -t 192.0.2.10:80 -s wrr").unwrap();
        director.run("-a -t 192.0.2.10:80 -r 10.0.0.1 -m -w 3").unwrap();
        director.run("-a -t 192.0.2.10:80 -r 10.0.0.2 -m -w 1 -x 20").unwrap();
        director
    };
    // Each flow opens, goes on and ends within the burst, side by side with others.
    let shots: Vec<Shot> = (0..600u16)
        .map(|n| {
            let client = SocketAddr::from(([198, 51, 100, 1], 1024 + n % 120));
            let builder = Builder::new(Protocol::Tcp, client, "192.0.2.10:80".parse().unwrap());
            let flags = [2, 0x10, 0x11, 4, 2][usize::from(n / 120)];
            Shot::new(&builder.flags(flags).build(), Meta::default())
        })
        .collect();
    let (mut singly, mut burst) = (make(), make());
    let expected: Vec<Outcome> = shots.iter().map(|shot| shot.process(&mut singly, START)).collect();
    assert!(expected.iter().any(|o| o.verdict == Verdict::Drop(DropReason::TableFull)));
    assert_eq!(at_once(&shots, &mut burst, START), expected);
    assert_eq!(Picture::of(&burst), Picture::of(&singly));
}

/// What takes bursts: a director, and a shared one of one shard, where packets keep their order.
trait TakesBursts {
    fn take(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]) -> usize;
}

impl TakesBursts for Director {
    fn take(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]) -> usize {
        self.process_burst(now, packets, metas, verdicts)
    }
}

impl TakesBursts for SharedDirector {
    fn take(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]) -> usize {
        self.process_burst(0, now, packets, metas, verdicts)
    }
}

/// In one burst.
fn at_once(shots: &[Shot], director: &mut impl TakesBursts, now: Instant) -> Vec<Outcome> {
    let mut buffers: Vec<Vec<u8>> = shots.iter().map(|shot| shot.buffer.clone()).collect();
    let mut packets: Vec<Packet<'_>> = buffers
        .iter_mut()
        .zip(shots)
        .map(|(buffer, shot)| Packet::new(buffer, shot.offset, shot.len).expect("within its buffer"))
        .collect();
    let metas: Vec<Meta> = shots.iter().map(|shot| shot.meta).collect();
    let mut verdicts = vec![Verdict::Drop(DropReason::NotIp); shots.len()];
    assert_eq!(director.take(now, &mut packets, &metas, &mut verdicts), shots.len());
    let places: Vec<(usize, usize)> = packets.iter().map(|packet| (packet.offset(), packet.len())).collect();
    verdicts
        .into_iter()
        .zip(buffers)
        .zip(places)
        .map(|((verdict, buffer), (offset, len))| Outcome { verdict, buffer, offset, len })
        .collect()
}

fn at_length(shot: &Shot, director: &mut Director, now: Instant) -> Outcome {
    let mut buffer = shot.buffer.clone();
    let mut packet = Packet::new(&mut buffer, shot.offset, shot.len).expect("within its buffer");
    let verdict = process_at_length(director, now, &mut packet, shot.meta);
    let (offset, len) = (packet.offset(), packet.len());
    Outcome { verdict, buffer, offset, len }
}

/// A host, and a port of its own: hosts 1 and 2 are clients, 3 and 4 servers, 5 and 6 are come to. So few that connections
/// take each other's place, that one reply could be of several, and that a client is another one's server.
type End = (u8, u16);
const CLIENTS: [End; 4] = [(1, 4000), (1, 4001), (2, 4000), (1, 0)];
const SERVERS: [End; 5] = [(3, 80), (3, 81), (4, 80), (4, 81), (3, 4000)];
/// One is a server's, too, and one has a service by mark.
const DOORS: [End; 6] = [(5, 80), (5, 81), (6, 80), (6, 81), MARKED, (3, 80)];
const MARKED: End = (6, 82);

/// Two and two hosts have the last word of their IPv6 addresses in common.
fn address((host, port): End, v6: bool) -> SocketAddr {
    let host_v6 = [0x2001, 0xdb8, host.into(), 0, 0, 0, 0, host.div_ceil(2).into()];
    if v6 { (host_v6, port).into() } else { ([192, 0, 2, host], port).into() }
}

/// Room for all connections that there can be.
const ROOMY: usize = 1024;

#[derive(Clone, Debug)]
struct Crowd {
    seed: u64,
    connections: usize,
    /// Whether the second server is the director's own host.
    is_at_home: bool,
    services: Vec<Service>,
    acts: Vec<Act>,
}

#[derive(Clone, Debug)]
struct Service {
    door: Door,
    options: &'static str,
    servers: Vec<Server>,
}

#[derive(Clone, Copy, Debug)]
struct Door {
    v6: bool,
    udp: bool,
    end: End,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    host: u8,
    port: u16,
    method: &'static str,
    weight: u32,
}

#[derive(Clone, Debug)]
enum Act {
    Come(Vec<Guest>),
    Wait(u64),
    Advance,
    Add(Door, Server),
    Edit(Door, Server),
    Remove(Door, Server),
    Set(&'static str),
    Tune(&'static str, &'static str),
    /// The way to a host is another.
    Way(IpAddr, Path),
}

/// A packet.
#[derive(Clone, Debug)]
struct Guest {
    v6: bool,
    udp: bool,
    from: End,
    to: End,
    flags: u8,
    ttl: u8,
    payload: usize,
    meta: Meta,
}

impl Crowd {
    fn config(&self) -> Config {
        let mut config = Config { connections: self.connections, ..Config::with_seed(self.seed) };
        config.path = way(1500);
        if self.is_at_home {
            config.local_addresses = [false, true].map(|v6| address(SERVERS[2], v6).ip()).into();
        }
        config
    }

    fn director(&self) -> Director {
        let mut director = Director::new(self.config()).expect("a configuration");
        self.open(&mut director);
        director
    }

    fn shared(&self) -> SharedDirector {
        let shared = SharedDirector::new(self.config(), 1).expect("a configuration");
        shared.with(|director| self.open(director));
        shared
    }

    fn open(&self, director: &mut Director) {
        for service in &self.services {
            rule(director, &format!("-A {} {}", service.door.selector(), service.options));
            service.servers.iter().for_each(|server| rule(director, &service.door.server("-a", *server)));
        }
    }
}

/// A way to servers on which tunnels have a source.
fn way(mtu: u16) -> Path {
    let [v4, v6] = [false, true].map(|v6| address((9, 0), v6).ip());
    Path::new(mtu).tunnel_source(v4).tunnel_source(v6)
}

/// Carries out a line, or not: some are refused.
fn rule(director: &mut Director, line: &str) {
    let _ = director.run(line);
}

impl Door {
    fn selector(self) -> String {
        match (self.end, self.v6, self.udp) {
            (MARKED, v6, _) => if v6 { "-f 1 -6" } else { "-f 1" }.into(),
            (end, v6, udp) => format!("{} {}", if udp { "-u" } else { "-t" }, address(end, v6)),
        }
    }

    /// The line that adds, edits or deletes (`-a`, `-e`, `-d`) a server.
    fn server(self, verb: &str, server: Server) -> String {
        let Server { host, port, method, weight } = server;
        let at = address((host, if self.end == MARKED { 0 } else { port }), self.v6);
        let how = if verb == "-d" { String::new() } else { format!("{method} -w {weight}") };
        format!("{verb} {} -r {at} {how}", self.selector())
    }
}

impl Act {
    fn play(&self, director: &mut Director) {
        match *self {
            Self::Come(_) | Self::Wait(_) | Self::Advance => {}
            Self::Add(door, server) => rule(director, &door.server("-a", server)),
            Self::Edit(door, server) => rule(director, &door.server("-e", server)),
            Self::Remove(door, server) => rule(director, &door.server("-d", server)),
            Self::Set(timeouts) => rule(director, timeouts),
            Self::Tune(name, value) => director.set_tunable(name, value).expect("a setting"),
            Self::Way(address, path) => director.set_path(address, path),
        }
    }
}

impl Guest {
    fn shot(&self) -> Shot {
        let protocol = if self.udp { Protocol::Udp } else { Protocol::Tcp };
        let packet = Builder::new(protocol, address(self.from, self.v6), address(self.to, self.v6));
        let packet = packet.flags(self.flags).ttl(self.ttl).payload(&vec![0x55; self.payload]);
        Shot::new(&packet.build(), self.meta)
    }
}

fn crowds() -> impl Strategy<Value = Crowd> {
    let connections = prop::sample::select(vec![2, 5, 16, 16, ROOMY, ROOMY]);
    let services = prop::collection::vec(service(), 1..24);
    let acts = prop::collection::vec(act(), 1..20);
    (any::<u64>(), connections, prop::bool::weighted(0.2), services, acts).prop_map(
        |(seed, connections, is_at_home, services, acts)| Crowd { seed, connections, is_at_home, services, acts },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let options = prop::sample::select(vec!["-s rr", "-s rr", "-s wlc", "-s sh", "-s rr -p 60", "-s rr -o"]);
    (door(), options, prop::collection::vec(server(), 1..4)).prop_map(|(door, options, servers)| Service {
        door,
        options,
        servers,
    })
}

fn door() -> impl Strategy<Value = Door> {
    (prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::sample::select(&DOORS[..]))
        .prop_map(|(v6, udp, end)| Door { v6, udp, end })
}

fn server() -> impl Strategy<Value = Server> {
    let methods = ["-m", "-m", "-m", "-g", "-i", "-i --tun-type gre", "-i --tun-type gue --tun-port 6080"];
    (3..5u8, prop::sample::select(vec![80, 80, 81]), prop::sample::select(methods.to_vec()), 0..3u32)
        .prop_map(|(host, port, method, weight)| Server { host, port, method, weight })
}

fn guest() -> impl Strategy<Value = Guest> {
    let pick = |ends: &[End]| prop::sample::select(ends.to_vec());
    let ends = prop_oneof![
        12 => (pick(&CLIENTS), pick(&DOORS)),
        8 => (pick(&SERVERS), pick(&CLIENTS)),
        1 => (pick(&DOORS), pick(&CLIENTS)),
        1 => (pick(&SERVERS), pick(&DOORS)),
        1 => (pick(&SERVERS), pick(&SERVERS)),
    ];
    let flags = prop_oneof![flags(), Just(0x10)];
    let ttl = prop::sample::select(vec![64, 64, 64, 64, 64, 64, 64, 1]);
    let payload = prop::sample::select(vec![0, 0, 0, 0, 0, 0, 0, 700]);
    let seen = (prop::bool::weighted(0.2), prop::bool::weighted(0.05));
    let family = (prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    (family, ends, flags, ttl, payload, seen).prop_map(
        |((v6, udp), (from, to), flags, ttl, payload, (is_marked, passes_through))| {
            let hook = if passes_through { Hook::Forward } else { Hook::Local };
            let meta = Meta { hook, ..Meta::marked(u32::from(is_marked || to == MARKED)) };
            Guest { v6, udp, from, to, flags, ttl, payload, meta }
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let wait = prop::sample::select(vec![1, 999, 3_000, 10_000, 59_000, 60_000, 120_000, 300_000]);
    let tunables = prop::sample::select(vec![
        ("conn_reuse_mode", "0"),
        ("conn_reuse_mode", "1"),
        ("conn_reuse_mode", "2"),
        ("expire_nodest_conn", "1"),
        ("expire_nodest_conn", "0"),
        ("sloppy_tcp", "1"),
        ("secure_tcp", "3"),
        ("secure_tcp", "0"),
        ("nat_icmp_send", "1"),
        ("nat_icmp_send", "0"),
    ]);
    let ways = prop::sample::select(vec![way(1500), way(1500), way(700), Path { reachable: false, ..way(1500) }]);
    prop_oneof![
        24 => prop::collection::vec(guest(), 1..80).prop_map(Act::Come),
        6 => wait.prop_map(Act::Wait),
        2 => Just(Act::Advance),
        1 => (door(), server()).prop_map(|(door, server)| Act::Add(door, server)),
        1 => (door(), server()).prop_map(|(door, server)| Act::Edit(door, server)),
        1 => (door(), server()).prop_map(|(door, server)| Act::Remove(door, server)),
        1 => prop::sample::select(vec!["--set 60 10 20", "--set 900 120 300"]).prop_map(Act::Set),
        2 => (3..5u8, any::<bool>(), ways).prop_map(|(host, v6, way)| Act::Way(address((host, 0), v6).ip(), way)),
        2 => tunables.prop_map(|(name, value)| Act::Tune(name, value)),
    ]
}
