//! Whatever is done to a director in operation: rules, drains, flushes, applied configurations, packets in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lvs_core::testkit::packets;
use lvs_core::{
    Config, ConnId, Direction, Director, Drain, Event, Filter, Instant, Meta, Packet, Protocol, Rest, ServerId,
    ServerState, Verdict,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    /// A client's packet: which client, to which service, TCP flags.
    Client(u8, u8, u8),
    /// A packet of a connection's server.
    Server(u8, u8),
    Wait(u64),
    Drain(u8, u8),
    Undrain(u8),
    Flush(u8, u8),
    /// A configuration: weights of the servers of each service, 4 for "not there".
    Apply(Vec<[u8; 3]>),
    Weight(u8, u8),
    Remove(u8),
    Tune(&'static str, &'static str),
    /// Free memory: short, or plenty.
    Memory(bool),
}

const SERVICES: [(&str, &str); 4] =
    [("-t 192.0.2.10:80", ""), ("-u 192.0.2.10:53", ""), ("-t 192.0.2.10:81", " -p 30"), ("-f 3", " -p 5")];
const SCHEDULERS: [&str; 5] = ["rr", "wlc", "wrr", "sh -b sh-fallback", "lc"];

fn op() -> impl Strategy<Value = Op> {
    let flags = prop::sample::select(&[2, 2, 0x10, 0x10, 0x11, 0x11, 0x04][..]);
    prop_oneof![
        14 => (0..2u8, prop::sample::select(&[0u8, 0, 1, 2, 2, 3][..]), flags.clone()).prop_map(|(client, service, flags)| Op::Client(client, service, flags)),
        6 => (any::<u8>(), flags).prop_map(|(which, flags)| Op::Server(which, flags | 0x10)),
        3 => (0..40_000u64).prop_map(Op::Wait),
        2 => (any::<u8>(), 0..12u8).prop_map(|(which, how)| Op::Drain(which, how)),
        1 => any::<u8>().prop_map(Op::Undrain),
        1 => (any::<u8>(), 0..6u8).prop_map(|(which, how)| Op::Flush(which, how)),
        1 => configuration().prop_map(Op::Apply),
        1 => (any::<u8>(), 0..4u8).prop_map(|(which, weight)| Op::Weight(which, weight)),
        1 => any::<u8>().prop_map(Op::Remove),
        1 => prop::sample::select(
            &[("expire_nodest_conn", "1"), ("expire_nodest_conn", "0"), ("expire_quiescent_template", "1"),
              ("conn_reuse_mode", "2"), ("conn_reuse_mode", "1"), ("drop_entry", "3"), ("drop_entry", "3"),
              ("drop_entry", "1"), ("drop_packet", "1"), ("drop_packet", "0"), ("secure_tcp", "1"), ("secure_tcp", "0")][..]
        ).prop_map(|(name, value)| Op::Tune(name, value)),
        1 => any::<bool>().prop_map(Op::Memory),
    ]
}

fn configuration() -> impl Strategy<Value = Vec<[u8; 3]>> {
    prop::collection::vec([0..5u8, 0..5u8, 0..5u8], 1..5)
}

fn rules(configuration: &[[u8; 3]], scheduler: &str) -> String {
    let mut text = String::new();
    for ((selector, options), weights) in SERVICES.iter().zip(configuration) {
        text += &format!("-A {selector} -s {scheduler}{options}\n");
        for (host, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight < 4) {
            text += &format!("-a {selector} -r 10.0.0.{} -m -w {weight}\n", host + 1);
        }
    }
    text
}

struct World {
    director: Director,
    now: Instant,
    /// Every server there ever was.
    servers: BTreeSet<ServerId>,
    told: BTreeSet<ConnId>,
}

impl World {
    fn new(configuration: &[[u8; 3]], scheduler: &str) -> Self {
        let mut director = Director::new(Config { connections: 60, events: 10_000, ..Config::with_seed(7) }).unwrap();
        director.load(&rules(configuration, scheduler)).unwrap();
        Self { director, now: Instant::from_secs(1), servers: BTreeSet::new(), told: BTreeSet::new() }
    }

    fn nth_server(&self, which: u8) -> Option<ServerId> {
        let all: Vec<ServerId> = self.director.services().iter().flat_map(|s| s.servers.iter().map(|v| v.id)).collect();
        all.get(usize::from(which) % all.len().max(1)).copied()
    }

    fn play(&mut self, op: &Op, scheduler: &str) -> Result<(), TestCaseError> {
        match op {
            Op::Client(client, service, flags) => self.client(*client, *service, *flags)?,
            Op::Server(which, flags) => {
                let connections: Vec<_> = self.director.connections().filter(|c| c.client.port() != 0).collect();
                if let Some(c) = connections.get(usize::from(*which) % connections.len().max(1)) {
                    let (from, to) = (c.server.to_string(), c.client.to_string());
                    let is_tcp = c.protocol == Protocol::Tcp.number();
                    let packet = if is_tcp { packets::tcp(&from, &to).flags(*flags) } else { packets::udp(&from, &to) };
                    self.packet(&packet.build(), Meta::default())?;
                }
            }
            Op::Wait(ms) => self.now += Duration::from_millis(*ms),
            Op::Drain(which, how) => {
                let Some(server) = self.nth_server(*which) else { return Ok(()) };
                let rest = [Rest::Keep, Rest::Drop, Rest::Reset][usize::from(how % 3)];
                let mut drain = Drain::new();
                if how & 4 != 0 {
                    drain = drain.then_remove();
                }
                if how & 3 != 0 {
                    drain = drain.until(self.now + Duration::from_secs(u64::from(*how) * 2), rest);
                }
                self.director.drain(server, drain).unwrap();
            }
            Op::Undrain(which) => {
                let Some(server) = self.nth_server(*which) else { return Ok(()) };
                self.director.undrain(server).unwrap();
            }
            Op::Flush(which, how) => self.flush(*which, *how)?,
            Op::Apply(configuration) => {
                self.director.apply(&rules(configuration, scheduler)).unwrap();
            }
            Op::Weight(which, weight) => {
                let Some(server) = self.nth_server(*which) else { return Ok(()) };
                let spec = self.director.server(server).unwrap().spec;
                let service =
                    self.director.services().iter().find(|s| s.servers.iter().any(|v| v.id == server)).unwrap().id;
                self.director.edit_server(service, spec.weight(u32::from(*weight))).unwrap();
            }
            Op::Remove(which) => {
                let Some(server) = self.nth_server(*which) else { return Ok(()) };
                let spec = self.director.server(server).unwrap().spec;
                let service =
                    self.director.services().iter().find(|s| s.servers.iter().any(|v| v.id == server)).unwrap().id;
                self.director.remove_server(service, spec.address).unwrap();
            }
            Op::Tune(name, value) => self.director.set_tunable(name, value).unwrap(),
            Op::Memory(is_short) => self.director.set_available_memory(if *is_short { 1000 } else { 2000 }),
        }
        while self.director.advance(self.now, 50).more {}
        let ids = self.director.services().iter().flat_map(|s| s.servers.iter().map(|v| v.id)).collect::<Vec<_>>();
        self.servers.extend(ids);
        self.counts_are_right()?;
        self.events_are_right()
    }

    fn flush(&mut self, which: u8, how: u8) -> Result<(), TestCaseError> {
        let server = self.servers.iter().nth(usize::from(which) % self.servers.len().max(1)).copied();
        let server = server.filter(|&id| self.director.server(id).is_some());
        let service = self.director.services().first().map(|service| service.id);
        let filter = match (how, server, service) {
            (0, Some(server), _) => Filter::server(server),
            (1, Some(server), _) => Filter::server(server).state("ESTABLISHED").unwrap(),
            (2, _, Some(service)) => Filter::service(service),
            (3, ..) => Filter::all().client("198.51.100.2".parse().unwrap(), 31),
            (4, ..) => Filter::all().protocol(Protocol::Udp),
            _ => return Ok(()),
        };
        let before = self.director.connection_count();
        let ended = self.director.flush(&filter).unwrap();
        let left = self.director.connection_count() + ended;
        // A drain that is over may remove its server, and then `expire_nodest_conn` ends what removed servers have.
        let nodest = self.director.tunables().expire_nodest_conn != 0;
        prop_assert!(left == before || nodest && left < before, "{} of {}", left, before);
        if how == 0 {
            prop_assert!(self.director.connections().all(|c| c.server_id != server), "all of a server's are gone");
        }
        prop_assert_eq!(self.director.flush(&filter), Ok(0), "the second time finds nothing");
        Ok(())
    }

    fn client(&mut self, client: u8, service: u8, flags: u8) -> Result<(), TestCaseError> {
        let from = format!("198.51.100.{}:{}", client % 4 + 1, 2000 + u16::from(client / 4));
        let (packet, meta) = match service {
            0 => (packets::tcp(&from, "192.0.2.10:80").flags(flags), Meta::default()),
            1 => (packets::udp(&from, "192.0.2.10:53"), Meta::default()),
            2 => (packets::tcp(&from, "192.0.2.10:81").flags(flags), Meta::default()),
            _ => (packets::tcp(&from, "203.0.113.7:25").flags(flags), Meta::marked(3)),
        };
        self.packet(&packet.build(), meta)
    }

    fn packet(&mut self, bytes: &[u8], meta: Meta) -> Result<(), TestCaseError> {
        let before: BTreeMap<ConnId, &'static str> = self.director.connections().map(|c| (c.id, c.state)).collect();
        let templates: BTreeSet<(ServerId, std::net::IpAddr)> = self
            .director
            .connections()
            .filter(|c| c.client.port() == 0)
            .filter_map(|c| Some((c.server_id?, c.client.ip())))
            .collect();
        let mut buffer = [&[0; 64], bytes].concat();
        let mut packet = Packet::new(&mut buffer, 64, bytes.len()).unwrap();
        let explained = self.director.explain(self.now, &packet, meta);
        let verdict = self.director.process(self.now, &mut packet, meta);
        match (explained.verdict, verdict) {
            (Some(Verdict::Forward(a)), Verdict::Forward(b)) => prop_assert_eq!(a.next_hop, b.next_hop),
            (a, b) => prop_assert_eq!(a, Some(b)),
        }
        let Verdict::Forward(out) = verdict else { return Ok(()) };
        let (Some(id), Some(server)) = (out.connection, out.server) else { return Ok(()) };
        let view = self.director.server(server).unwrap();
        if let Some(state) = before.get(&id) {
            // A SYN after a FIN or a reset does not go on with what is closing at a server that takes nothing new. (Of
            // weight 0 alone only once it is closed, and without persistence, as in the kernel.)
            let is_syn = bytes[9] == 6 && bytes[33] & 2 != 0 && out.direction == Direction::ToServer;
            let is_closing = matches!(*state, "FIN_WAIT" | "TIME_WAIT" | "CLOSE" | "CLOSE_WAIT" | "LAST_ACK");
            let is_closed = matches!(*state, "TIME_WAIT" | "CLOSE")
                && bytes[16..24] == [192, 0, 2, 10, bytes[20], bytes[21], 0, 80];
            prop_assert!(!(is_syn && is_closing) || view.state == ServerState::Active, "{} {:?}", state, view);
            prop_assert!(!(is_syn && is_closed) || view.spec.weight > 0, "{} {:?}", state, view);
            return Ok(());
        }
        // A new connection, whatever was there before: never to a draining server, and to one of weight 0 only where a
        // template says so.
        prop_assert_eq!(view.state, ServerState::Active);
        let client = self.director.connection(id).unwrap().client.ip();
        prop_assert!(view.spec.weight > 0 || templates.contains(&(server, client)), "{:?}", view);
        Ok(())
    }

    /// What servers count is what the table holds.
    fn counts_are_right(&self) -> Result<(), TestCaseError> {
        let mut held: BTreeMap<ServerId, (u32, u32)> = BTreeMap::new();
        for connection in self.director.connections() {
            let counts = held.entry(connection.server_id.expect("a server")).or_default();
            *(if connection.client.port() == 0 { &mut counts.1 } else { &mut counts.0 }) += 1;
        }
        for &id in &self.servers {
            let Some(server) = self.director.server(id) else { continue };
            let counted = (server.active + server.inactive, server.persistent);
            prop_assert_eq!(counted, held.remove(&id).unwrap_or_default(), "{:?}", server);
            if server.state == ServerState::Drained {
                prop_assert_eq!(counted.0, 0);
            }
        }
        prop_assert!(held.is_empty(), "connections of servers that nobody knows: {:?}", held);
        Ok(())
    }

    /// What was told of adds up to what there is.
    fn events_are_right(&mut self) -> Result<(), TestCaseError> {
        while let Some(event) = self.director.poll_event() {
            match event {
                Event::Made(connection) => prop_assert!(self.told.insert(connection.id)),
                Event::Gone(connection, _) => prop_assert!(self.told.remove(&connection.id)),
                _ => {}
            }
        }
        let there: BTreeSet<ConnId> = self.director.connections().map(|c| c.id).collect();
        prop_assert_eq!(&self.told, &there);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_and_events_add_up_and_new_connections_go_where_they_may(
        configuration in configuration(),
        scheduler in prop::sample::select(&SCHEDULERS[..]),
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let mut world = World::new(&configuration, scheduler);
        for op in &ops {
            world.play(op, scheduler)?;
        }
        // In the end everything ends.
        world.now += Duration::from_secs(100_000);
        world.play(&Op::Wait(0), scheduler)?;
        prop_assert_eq!(world.director.connection_count(), 0);
        for server in &world.servers {
            let state = world.director.server(*server).map(|server| server.state);
            let is_draining = matches!(state, Some(ServerState::Draining { .. }));
            prop_assert!(!is_draining);
        }
    }
}
