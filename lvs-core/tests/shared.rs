//! A shared director answers as a director does, whatever the number of its shards and wherever packets are brought.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_core::testkit::packets;
use lvs_core::{
    Config, Director, Drain, DropReason, Filter, Instant, Meta, Method, Packet, PassReason, Path, Rest, SharedDirector,
    Verdict,
};
use proptest::prelude::*;

use common::bytes::{self, refresh_ip};
use common::play::{Outcome, Shot, Step, Subject};
use common::scenario::{Content, EVERYTHING, Op, Profile, Scenario, Service, cases, scenarios};

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

/// Who brings which packet to which shard.
#[derive(Clone, Copy, Debug)]
enum Bringing {
    /// Each packet to where its flow belongs.
    Steered,
    /// Each to any shard.
    Astray(u64),
}

/// A shared director that a scenario is played to.
struct Shared {
    director: SharedDirector,
    bringing: Bringing,
    turn: u64,
    /// How many of the packets found their connection lent before.
    lent: usize,
}

impl Shared {
    /// The same as [`Subject::new`] makes.
    fn new(scenario: &Scenario, shards: usize, bringing: Bringing) -> Self {
        let director = SharedDirector::new(config(scenario), shards).expect("a configuration");
        for line in scenario.services.iter().flat_map(Service::lines) {
            let _ = director.run(&line);
        }
        Self { director, bringing, turn: 0, lent: 0 }
    }

    fn shard(&mut self, packet: &Packet<'_>) -> usize {
        self.turn += 1;
        match self.bringing {
            Bringing::Steered => self.director.shard_of(packet),
            Bringing::Astray(seed) => {
                let mixed = (self.turn / 3).wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                usize::try_from(mixed >> 33).unwrap_or(0)
            }
        }
    }

    fn process(&mut self, now: Instant, shot: &Shot) -> Outcome {
        self.lent += usize::from(self.director.lent().iter().sum::<usize>() > 0);
        let mut buffer = shot.buffer.clone();
        let mut packet = Packet::new(&mut buffer, shot.offset, shot.len).expect("within its buffer");
        let mut verdicts = [Verdict::Drop(DropReason::NotIp)];
        let shard = self.shard(&packet);
        self.director.process_burst(shard, now, std::slice::from_mut(&mut packet), &[shot.meta], &mut verdicts);
        let (offset, len) = (packet.offset(), packet.len());
        Outcome { verdict: verdicts[0], buffer, offset, len }
    }

    fn play(&mut self, step: &Step) -> Option<Outcome> {
        match step {
            Step::Packet(now, shot) => return Some(self.process(*now, shot)),
            Step::Advance(now, _) => self.settle(*now),
            Step::Rule(line) => drop(self.director.run(line)),
            Step::Tune(name, value) => self.director.set_tunable(name, value).expect("a setting"),
            Step::Path(address, path) => self.director.set_path(*address, *path),
        }
        None
    }

    fn settle(&self, now: Instant) {
        while self.director.advance(now, 1000).more {}
    }
}

fn config(scenario: &Scenario) -> Config {
    let mut config = Config { connections: scenario.connections, ..Config::with_seed(scenario.seed) };
    config.path = Path::new(1500)
        .tunnel_source(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254)))
        .tunnel_source(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe)));
    config
}

/// The outer header's number is each shard's own.
fn without_number(mut outcome: Outcome) -> Outcome {
    let at = outcome.offset;
    if let Verdict::Forward(out) = outcome.verdict
        && out.method == Method::Tun
        && outcome.buffer[at] >> 4 == 4
    {
        outcome.buffer[at + 4..at + 6].fill(0);
        refresh_ip(&mut outcome.buffer[at..at + outcome.len]);
    }
    outcome
}

/// What both show: services with their counts, connections with their deadlines, reasons.
fn same_picture(one: &Director, shared: &SharedDirector) -> Result<(), TestCaseError> {
    prop_assert_eq!(one.services(), shared.services());
    prop_assert_eq!(format!("{:?}", one.reasons()), format!("{:?}", shared.reasons()));
    prop_assert_eq!((one.connection_count(), one.counters()), (shared.connection_count(), shared.counters()));
    for service in one.services() {
        for server in service.servers {
            prop_assert_eq!(one.server_counters(server.id), shared.server_counters(server.id));
        }
    }
    Ok(())
}

fn same_connections(one: &Director, shared: &SharedDirector) -> Result<(), TestCaseError> {
    for connection in one.connections() {
        prop_assert_eq!(shared.connection(connection.id), Some(connection));
    }
    prop_assert_eq!(one.connections().collect::<Vec<_>>(), shared.connections());
    prop_assert_eq!(shared.lent().iter().sum::<usize>(), 0, "all are at home");
    Ok(())
}

/// With conversations of a few clients between what happens anyway: flows are to go on. Whatever keeps all connections at
/// home, such as an engine, is left to some of the scenarios.
fn with_talk(scenario: &Scenario) -> Scenario {
    let mut scenario = Scenario { knows_addresses: false, ..scenario.clone() };
    if !scenario.seed.is_multiple_of(8) {
        for service in &mut scenario.services {
            service.options = service.options.replace(" --pe sip", "");
        }
        scenario.ops.retain(|op| !matches!(op, Op::Tune("nat_icmp_send", _)));
    }
    // Each shard has the time of its own packets.
    scenario.ops.retain(|op| !matches!(op, Op::Back(_)));
    let mut ops = Vec::new();
    for (number, op) in scenario.ops.into_iter().enumerate() {
        if number % 6 == 0 {
            let service = number / 6;
            let (client, port) = (1 + u8::try_from(number / 6 % 3).unwrap_or(0), 40_001 + u16::from(number % 12 == 0));
            let says = |flags| Op::Client { service, client, port, content: Content::plain(flags, 1) };
            let answers = |flags| Op::Server { back: 0, content: Content::plain(flags, 2) };
            ops.extend([says(2), answers(0x12), says(0x10), says(0x18), says(0x18), answers(0x10), says(0x10)]);
        }
        ops.push(op);
    }
    scenario.ops = ops;
    scenario
}

/// What a router says of an IPv4 packet that it cannot deliver, or not in one piece.
fn error_about(packet: &[u8], too_big: bool) -> Option<Shot> {
    if packet.len() < 28 || packet[0] >> 4 != 4 {
        return None;
    }
    let quote = &packet[..packet.len().min(100)];
    let (code, mtu) = if too_big { (4, 700u16) } else { (1, 0) };
    let mut message = [&[3, code, 0, 0, 0, 0], &mtu.to_be_bytes()[..], quote].concat();
    let check = !bytes::sum(&[&message]);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let len = u16::try_from(20 + message.len()).ok()?.to_be_bytes();
    let header =
        [0x45, 0, len[0], len[1], 0, 9, 0, 0, 60, 1, 0, 0, 10, 9, 9, 9, packet[12], packet[13], packet[14], packet[15]];
    let mut error = [&header[..], &message].concat();
    refresh_ip(&mut error);
    Some(Shot::new(&error, Meta::default()))
}

/// The two, side by side.
struct Both {
    one: Subject,
    shared: Shared,
}

impl Both {
    /// Brings a packet to both.
    fn bring(&mut self, now: Instant, shot: &Shot) -> Result<Outcome, TestCaseError> {
        let outcome = shot.process(&mut self.one.director, now);
        let (a, b) = (without_number(outcome.clone()), without_number(self.shared.process(now, shot)));
        prop_assert_eq!(a, b);
        Ok(outcome)
    }

    fn explain(&self, now: Instant, shot: &Shot) -> Result<(), TestCaseError> {
        let mut buffer = shot.buffer.clone();
        let packet = Packet::new(&mut buffer, shot.offset, shot.len).expect("within its buffer");
        prop_assert_eq!(shot.explain(&self.one.director, now), self.shared.director.explain(now, &packet, shot.meta));
        Ok(())
    }

    fn settle(&mut self, now: Instant) {
        self.one.settle(now);
        self.shared.settle(now);
    }

    /// Something that operators do.
    fn operate(&mut self, number: usize) -> Result<(), TestCaseError> {
        let (one, shared) = (&mut self.one.director, &self.shared.director);
        let server = one.services().iter().flat_map(|service| &service.servers).nth(number % 3).map(|server| server.id);
        match (number % 8, server) {
            (0, _) => same_connections(one, shared)?,
            (1, _) => {
                let filter = Filter::all().client("198.51.100.2".parse().expect("an address"), 32);
                prop_assert_eq!(one.flush(&filter), shared.flush(&filter));
            }
            (2, Some(server)) => {
                prop_assert_eq!(one.flush(&Filter::server(server)), shared.flush(&Filter::server(server)));
            }
            (3, Some(server)) => {
                let how = Drain::new().until(Instant::from_secs(100), Rest::Reset);
                prop_assert_eq!(one.drain(server, how), shared.drain(server, how));
            }
            (4, Some(server)) => prop_assert_eq!(one.undrain(server), shared.undrain(server)),
            _ => {
                for connection in one.connections() {
                    prop_assert_eq!(shared.connection(connection.id), Some(connection));
                }
            }
        }
        Ok(())
    }
}

/// Plays a scenario to both; how many packets came while connections were lent.
fn plays_alike(scenario: &Scenario, shards: usize, bringing: Bringing, always: bool) -> Result<usize, TestCaseError> {
    let scenario = with_talk(scenario);
    let mut both = Both { one: Subject::new(&scenario), shared: Shared::new(&scenario, shards, bringing) };
    for (number, step) in scenario.trace().into_iter().enumerate() {
        match &step {
            Step::Packet(now, shot) => {
                if always {
                    both.settle(*now);
                }
                if number % 5 == 0 {
                    both.explain(*now, shot)?;
                }
                let mut outcome = both.bring(*now, shot)?;
                if number % 3 == 0 {
                    outcome = both.bring(*now, shot)?;
                }
                if number % 11 == 0
                    && let Verdict::Forward(_) = outcome.verdict
                    && let Some(error) = error_about(outcome.bytes(), number % 2 == 0)
                {
                    both.explain(*now, &error)?;
                    both.bring(*now, &error)?;
                }
            }
            Step::Advance(now, _) => both.settle(*now),
            step => {
                both.one.play(step);
                both.shared.play(step);
            }
        }
        if number % 23 == 0 {
            both.operate(number / 23)?;
        }
        same_picture(&both.one.director, &both.shared.director)?;
    }
    same_connections(&both.one.director, &both.shared.director)?;
    both.settle(Instant::from_secs(40 * 86_400));
    same_picture(&both.one.director, &both.shared.director)?;
    prop_assert_eq!(both.shared.director.connection_count(), 0);
    Ok(both.shared.lent)
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn one_shard_or_many_answer_as_a_director(scenario in scenarios(Profile { small_tables: false, ..EVERYTHING }, 80)) {
        for shards in [1, 2, 4] {
            plays_alike(&scenario, shards, Bringing::Steered, false)?;
        }
    }

    #[test]
    fn so_they_do_wherever_packets_are_brought(
        scenario in scenarios(Profile { small_tables: false, ..EVERYTHING }, 80),
        seed in any::<u64>(),
    ) {
        plays_alike(&scenario, 3, Bringing::Astray(seed), false)?;
    }

    #[test]
    fn so_they_do_with_small_tables_that_are_told_the_time(scenario in scenarios(EVERYTHING, 80)) {
        for shards in [1, 4] {
            plays_alike(&scenario, shards, Bringing::Steered, true)?;
        }
    }
}

#[test]
fn lent_connections_rest_while_their_family_has_no_service() {
    let director = SharedDirector::new(Config::with_seed(7), 2).unwrap();
    let web = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m";
    director.load(web).unwrap();
    let send = |flags| {
        let mut segment = packets::tcp("198.51.100.9:40000", "192.0.2.10:80").flags(flags).build();
        director.process(Instant::ZERO, &mut Packet::whole(&mut segment), Meta::default())
    };
    assert!(matches!(send(0x02), Verdict::Forward(_)));
    for _ in 0..4 {
        assert!(matches!(send(0x10), Verdict::Forward(_)));
    }
    assert_eq!(director.lent().iter().sum::<usize>(), 1);
    director.run("-D -t 192.0.2.10:80").unwrap();
    assert_eq!(send(0x10), Verdict::Pass(PassReason::NotEnabled));
    director.load(web).unwrap();
    assert!(matches!(send(0x10), Verdict::Forward(_)), "the server is back, and its connection was there all along");
}
