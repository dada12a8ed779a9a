//! What holds for every director, whatever its rules and whatever comes its way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lvs_core::testkit::{Promises, packets::Builder};
use lvs_core::{
    Checksum, Config, Direction, Director, DropReason, Explanation, Forward, Found, Instant, Listing, Meta, Method,
    PassReason, Path, Protocol, ReplyReason, Rewrite, Verdict, sched::SchedulerKind,
};
use proptest::prelude::*;

use common::bytes::{self, Sliced};
use common::play::{Outcome, Picture, Shot, Step, Subject, agrees, request};
use common::scenario::{Content, Damage, EVERYTHING, Op, Profile, Scenario, Server, cases, flags, scenarios, server};
use common::states::Life;

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

const START: Instant = Instant::from_secs(1);
/// Longer than any connection, template and scheduler's memory lives, the trash included.
const AGES: Duration = Duration::from_secs(40 * 86_400);

/// Plays a scenario step by step; `look` sees each packet before it is processed, and `check` what became of it.
fn watch<T>(
    scenario: &Scenario,
    look: impl Fn(&mut Subject, Instant, &Shot) -> T,
    check: impl Fn(T, &Subject, &Shot, &Outcome) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut subject = Subject::new(scenario);
    for step in scenario.trace() {
        match &step {
            Step::Packet(now, shot) => {
                let seen = look(&mut subject, *now, shot);
                let outcome = shot.process(&mut subject.director, *now);
                check(seen, &subject, shot, &outcome)?;
            }
            step => {
                subject.play(step);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_packet_that_is_passed_or_dropped_is_left_as_it_was(scenario in scenarios(EVERYTHING, 80)) {
        watch(&scenario, |_, _, _| (), |(), _, shot, outcome| {
            if matches!(outcome.verdict, Verdict::Pass(_) | Verdict::Drop(_)) {
                prop_assert!(outcome.is_untouched(shot), "{:?}", outcome);
            }
            Ok(())
        })?;
    }

    #[test]
    fn explain_predicts_process(scenario in scenarios(EVERYTHING, 80)) {
        watch(&scenario, |subject, now, shot| shot.explain(&subject.director, now), |explained, _, _, outcome| {
            prop_assert!(agrees(&explained, outcome.verdict), "{:?}\nbut {:?}", explained, outcome.verdict);
            Ok(())
        })?;
    }

    #[test]
    fn explain_changes_nothing(scenario in scenarios(EVERYTHING, 80)) {
        let (mut asked, mut unasked) = (Subject::new(&scenario), Subject::new(&scenario));
        for step in scenario.trace() {
            if let Step::Packet(now, shot) = &step {
                let before = Picture::of(&asked.director);
                let first = shot.explain(&asked.director, *now);
                prop_assert_eq!(first, shot.explain(&asked.director, *now));
                prop_assert_eq!(Picture::of(&asked.director), before);
            }
            prop_assert_eq!(asked.play(&step), unasked.play(&step));
        }
    }

    #[test]
    fn the_same_seed_and_the_same_inputs_tell_the_same_story(scenario in scenarios(EVERYTHING, 80)) {
        let (mut a, mut b) = (Subject::new(&scenario), Subject::new(&scenario));
        for step in scenario.trace() {
            prop_assert_eq!(a.play(&step), b.play(&step));
        }
        prop_assert_eq!(Picture::of(&a.director), Picture::of(&b.director));
        prop_assert_eq!(a.director.save(), b.director.save());
    }

    #[test]
    fn every_packet_is_counted_under_one_reason(scenario in scenarios(EVERYTHING, 80)) {
        let mut subject = Subject::new(&scenario);
        let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
        let mut packets = 0;
        for step in scenario.trace() {
            if let Some(outcome) = subject.play(&step) {
                packets += 1;
                *verdicts.entry(reason(outcome.verdict)).or_default() += 1;
            }
        }
        let reasons = subject.director.reasons();
        let named = [("forward".to_owned(), reasons.forwarded())].into_iter()
            .chain(PassReason::ALL.iter().map(|&r| (format!("pass {r}"), reasons.passed(r))))
            .chain(DropReason::ALL.iter().map(|&r| (format!("drop {r}"), reasons.dropped(r))))
            .chain(ReplyReason::ALL.iter().map(|&r| (format!("reply {r}"), reasons.replied(r))));
        prop_assert_eq!(named.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>(), verdicts);
        prop_assert_eq!(reasons.total(), packets);
    }

    #[test]
    fn servers_count_the_connections_there_are(scenario in scenarios(EVERYTHING, 80)) {
        let mut subject = Subject::new(&scenario);
        let mut now = Instant::ZERO;
        for step in scenario.trace() {
            subject.play(&step);
            if let Step::Packet(at, _) | Step::Advance(at, _) = step {
                now = now.max(at);
            }
            subject.settle(now);
            counts_add_up(&subject)?;
        }
    }

    #[test]
    fn nothing_is_left_when_everything_has_timed_out(scenario in scenarios(EVERYTHING, 80)) {
        let mut subject = Subject::new(&scenario);
        let memory = subject.director.memory();
        for step in scenario.trace() {
            subject.play(&step);
        }
        let end = Instant::from_secs(10_000) + AGES;
        subject.settle(end);
        prop_assert_eq!(subject.director.connection_count(), 0);
        prop_assert_eq!(subject.director.connections().count(), 0);
        prop_assert_eq!(subject.director.memory(), memory);
        let in_services: usize = subject.director.services().iter().map(|service| service.servers.len()).sum();
        let known = subject.servers.iter().filter_map(|&id| subject.director.server(id));
        prop_assert_eq!(known.clone().count(), in_services, "removed servers are forgotten");
        for server in known {
            prop_assert_eq!((server.active, server.inactive, server.persistent), (0, 0, 0), "{:?}", server);
        }
    }

    #[test]
    fn forwarded_packets_have_the_checksums_they_came_with(scenario in scenarios(EVERYTHING, 80)) {
        let explained = |subject: &mut Subject, now, shot: &Shot| shot.explain(&subject.director, now);
        watch(&scenario, explained, |explained, _, shot, outcome| match outcome.verdict {
            Verdict::Forward(out) => forwarded_well(&explained, shot, out, outcome.bytes()),
            Verdict::Reply(reply) => replied_well(shot, outcome, reply.next_hop),
            _ => Ok(()),
        })?;
    }

    #[test]
    fn being_told_the_time_early_or_often_changes_no_verdict(scenario in scenarios(EVERYTHING, 80), budget in 1..4usize) {
        let (mut rarely, mut often) = (Subject::new(&scenario), Subject::new(&scenario));
        let mut now = Instant::ZERO;
        for step in scenario.trace() {
            if let Step::Packet(at, _) | Step::Advance(at, _) = step {
                now = now.max(at);
                rarely.settle(now);
                while often.director.advance(now, budget).more {}
                often.settle(now);
            }
            prop_assert_eq!(rarely.play(&step), often.play(&step));
        }
        prop_assert_eq!(Picture::of(&rarely.director), Picture::of(&often.director));
    }
}

fn reason(verdict: Verdict) -> String {
    match verdict {
        Verdict::Forward(_) => "forward".into(),
        Verdict::Pass(reason) => format!("pass {reason}"),
        Verdict::Drop(reason) => format!("drop {reason}"),
        Verdict::Reply(reply) => format!("reply {}", reply.reason),
    }
}

/// The connections of each real server's address are those that its servers count; templates are counted apart.
fn counts_add_up(subject: &Subject) -> Result<(), TestCaseError> {
    let mut shown: BTreeMap<IpAddr, (u32, u32)> = BTreeMap::new();
    for server in subject.servers.iter().filter_map(|&id| subject.director.server(id)) {
        let counts = shown.entry(server.spec.address.ip()).or_default();
        counts.0 += server.active + server.inactive;
        counts.1 += server.persistent;
    }
    let mut listed: BTreeMap<IpAddr, (u32, u32)> = BTreeMap::new();
    // What passes the servers by (`cache_bypass`) has none.
    for connection in subject.director.connections().filter(|connection| connection.server_id.is_some()) {
        let counts = listed.entry(connection.server.ip()).or_default();
        let is_template = connection.client.port() == 0 && matches!(connection.state, "NONE" | "ASSURED");
        *(if is_template { &mut counts.1 } else { &mut counts.0 }) += 1;
    }
    shown.retain(|_, counts| *counts != (0, 0));
    prop_assert_eq!(shown, listed);
    prop_assert_eq!(subject.director.connections().count(), subject.director.connection_count());
    Ok(())
}

/// A forwarded packet against one rewritten the obvious way.
fn forwarded_well(explained: &Explanation, shot: &Shot, out: Forward, bytes: &[u8]) -> Result<(), TestCaseError> {
    // Only what `etherparse` can read as a whole: a cut-off segment goes on by direct routing and tunnels, too.
    let Some(before) = Sliced::of(shot.bytes()) else { return Ok(()) };
    let was_right = bytes::ip_is_right(shot.bytes());
    let packet = &shot.bytes()[..before.len];
    match explained.rewrite {
        Some(Rewrite::Tunnel { source, destination }) => {
            let (from, to, inner) = bytes::unwrapped(bytes).map_err(TestCaseError::fail)?;
            prop_assert_eq!((from, to), (source, destination));
            prop_assert_eq!(to, out.next_hop);
            if was_right {
                prop_assert_eq!(inner, bytes::one_hop_on(packet));
            }
        }
        Some(Rewrite::Ttl) if was_right => prop_assert_eq!(bytes, bytes::one_hop_on(packet)),
        None if was_right => prop_assert_eq!(bytes, packet, "a reply that needs no translation"),
        Some(Rewrite::Destination(_) | Rewrite::Source(_)) if was_right => {
            let after = Sliced::of(bytes).expect("a packet that was forwarded");
            prop_assert!(bytes::ip_is_right(bytes));
            // A real server on the director's own host is behind no hop, and a reply is at the host's.
            let hops = u8::from(before.ttl != after.ttl);
            prop_assert_eq!(after.ttl + hops, before.ttl);
            let right = before.transport_is_right() && shot.meta.checksum != Checksum::Partial;
            if right {
                let (source, destination) = match explained.rewrite {
                    Some(Rewrite::Destination(to)) => (None, Some(to)),
                    Some(Rewrite::Source(from)) => (Some(from), None),
                    _ => (None, None),
                };
                let translated = bytes::translated(packet, source, destination);
                let expected = if hops == 1 { bytes::one_hop_on(&translated) } else { translated };
                prop_assert_eq!(bytes, expected);
            } else {
                prop_assert_eq!(after.len, before.len);
            }
        }
        _ => {}
    }
    Ok(())
}

/// An ICMP error: to the sender, its checksums right, quoting the packet.
fn replied_well(shot: &Shot, outcome: &Outcome, next_hop: IpAddr) -> Result<(), TestCaseError> {
    let error = Sliced::of(outcome.bytes()).expect("an ICMP error");
    prop_assert!(bytes::ip_is_right(outcome.bytes()));
    prop_assert_eq!((error.destination, error.len, error.ttl), (next_hop, outcome.len, 64));
    let (protocol, most) = if next_hop.is_ipv4() { (1, 576) } else { (58, 1280) };
    prop_assert_eq!(error.protocol, protocol);
    prop_assert!(error.len <= most);
    let pseudo = bytes::pseudo_header(error.source, error.destination, protocol, error.segment.len());
    let covered = if next_hop.is_ipv4() { vec![] } else { pseudo };
    prop_assert_eq!(bytes::sum(&[&covered, &error.segment]), 0xffff);
    // The quote is the packet, but for the TTL and its checksum.
    let quote = &error.segment[8..];
    let quoted = &shot.bytes()[..quote.len()];
    if next_hop.is_ipv4() {
        prop_assert_eq!((&quote[..8], &quote[12..]), (&quoted[..8], &quoted[12..]));
    } else {
        prop_assert_eq!((&quote[..7], &quote[8..]), (&quoted[..7], &quoted[8..]));
    }
    Ok(())
}

/// Flows without broken packets and without changes of rules: what the model of a connection's life can follow.
const ORDERLY: Profile = Profile { persistence: false, broken: false, changes: false, small_tables: false };

/// A flow as its client names it.
type Key = (u8, SocketAddr, SocketAddr);

/// What the test remembers of a connection.
#[derive(Clone, Debug)]
struct Known {
    life: Life,
    out: Forward,
    /// Where its packets went, as the server sees it.
    server_end: Option<SocketAddr>,
    /// How many connections there were before it.
    number: usize,
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_live_flow_never_changes_its_server(
        scenario in scenarios(ORDERLY, 120),
        secure in any::<bool>(),
        weights in prop::collection::vec((0..5usize, 0..4usize, 0..3u32), 0..4),
    ) {
        let mut subject = Subject::new(&scenario);
        if secure {
            subject.director.set_tunable("secure_tcp", "3").unwrap();
        }
        let mut flows = Flows::default();
        let mut now = Instant::ZERO;
        for (seen, step) in scenario.trace().into_iter().enumerate() {
            // Weights do not matter to connections there are.
            for &(_, service, weight) in weights.iter().filter(|(at, ..)| seen == at * 10) {
                let service = &scenario.services[service % scenario.services.len()];
                for server in &service.servers {
                    let edited = Server { weight, ..server.clone() };
                    subject.rule(&service.server("-e", &edited));
                }
            }
            if let Step::Packet(at, _) | Step::Advance(at, _) = step {
                now = now.max(at);
            }
            let Step::Packet(at, shot) = &step else {
                subject.play(&step);
                continue;
            };
            let outcome = shot.process(&mut subject.director, *at);
            flows.follow(&subject.director, now, shot, &outcome, secure)?;
        }
    }
}

/// The model: what is known of each flow.
#[derive(Debug, Default)]
struct Flows {
    known: BTreeMap<Key, Known>,
    /// Flows whose first packet came to nothing though it made a connection: nobody was told its server.
    hidden: BTreeSet<Key>,
    /// How many connections there were.
    count: usize,
}

impl Flows {
    /// Follows one packet, and compares.
    fn follow(
        &mut self,
        director: &Director,
        now: Instant,
        shot: &Shot,
        outcome: &Outcome,
        secure: bool,
    ) -> Result<(), TestCaseError> {
        let packet = Sliced::of(shot.bytes()).expect("an orderly packet");
        if packet.protocol == 132 {
            return Ok(());
        }
        let flags = if packet.protocol == 6 { packet.segment[13] } else { 0 };
        let key = (packet.protocol, packet.from(), packet.to());
        let state = |out: Forward| director.connection(out.connection.unwrap()).map(|connection| connection.state);
        self.known.retain(|_, flow| flow.life.is_live(now));
        if self.hidden.iter().any(|(protocol, client, _)| (*protocol, *client) == (key.0, key.2)) {
            // Perhaps a reply in a hidden flow, perhaps in one of those that are known: not to be told.
            let doubtful: Vec<Key> = self.known.keys().filter(|of| (of.0, of.1) == (key.0, key.2)).copied().collect();
            self.known.retain(|of, _| !doubtful.contains(of));
            self.hidden.extend(doubtful);
            return Ok(());
        }
        if let Some(flow) = self.flow_replied_to(key) {
            flow.life.packet(now, false, flags, secure);
            let Verdict::Forward(out) = outcome.verdict else { panic!("a reply of {flow:?}: {:?}", outcome.verdict) };
            prop_assert_eq!((out.direction, out.server), (Direction::ToClient, flow.out.server));
            prop_assert_eq!(state(out), Some(flow.life.state()));
            return Ok(());
        }
        if self.known.get(&key).is_some_and(|flow| flow.life.is_reused_by(flags)) {
            self.known.remove(&key);
        }
        let server_end = |out: Forward| match out.method {
            Method::Nat => Sliced::of(outcome.bytes()).map(|sliced| sliced.to()),
            Method::Dr | Method::Tun => None,
        };
        match (self.known.get_mut(&key), outcome.verdict) {
            (Some(flow), Verdict::Forward(out)) => {
                flow.life.packet(now, true, flags, secure);
                prop_assert_eq!((out, server_end(out)), (flow.out, flow.server_end));
                prop_assert_eq!(state(out), Some(flow.life.state()));
            }
            // The connection lives on though this packet of it came to nothing.
            (Some(flow), Verdict::Reply(_) | Verdict::Drop(DropReason::NoErrorSource)) => {
                prop_assert!(packet.ttl <= 1 || packet.len > 1400, "{:?}", outcome.verdict);
                flow.life.packet(now, true, flags, secure);
                prop_assert_eq!(state(flow.out), Some(flow.life.state()));
            }
            (Some(flow), other) => prop_assert!(false, "{:?} got {:?}", flow, other),
            (None, Verdict::Forward(out)) if out.direction == Direction::ToServer && !self.hidden.contains(&key) => {
                let Some(_) = out.connection else { return Ok(()) };
                let mut life = Life::new(packet.protocol == 6, out.method != Method::Nat);
                life.packet(now, true, flags, secure);
                prop_assert_eq!(state(out), Some(life.state()));
                self.count += 1;
                self.known.insert(key, Known { life, out, server_end: server_end(out), number: self.count });
            }
            (
                None,
                Verdict::Reply(_) | Verdict::Drop(DropReason::NoErrorSource) | Verdict::Pass(PassReason::LocalServer),
            ) => {
                self.hidden.insert(key);
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// The flow that a packet of this key is a reply of.
    fn flow_replied_to(&mut self, key: Key) -> Option<&mut Known> {
        // Flows of one client to two virtual addresses may have one end at one server: the newest gets the reply.
        let is_of = |((protocol, client, target), flow): &(&Key, &mut Known)| {
            let from = if flow.out.method == Method::Nat { flow.server_end } else { Some(*target) };
            (*protocol, from, *client) == (key.0, Some(key.1), key.2)
        };
        let found = self.known.iter_mut().filter(is_of).max_by_key(|(_, flow)| flow.number);
        found.map(|(_, flow)| flow)
    }
}

/// A way to servers on which tunnels have a source.
fn with_tunnels(mtu: u16) -> Path {
    Path::new(mtu).tunnel_source([10, 0, 0, 254].into()).tunnel_source("fd00::fe".parse().unwrap())
}

fn endpoints() -> impl Strategy<Value = (SocketAddr, SocketAddr, SocketAddr)> {
    let port = || 1024..=u16::MAX;
    let four = (any::<[u8; 4]>(), port(), any::<[u8; 4]>(), port(), any::<[u8; 4]>(), port())
        .prop_map(|(a, p, b, q, c, r)| [(a.into(), p), (b.into(), q), (c.into(), r)]);
    let six = (any::<[u8; 16]>(), port(), any::<[u8; 16]>(), port(), any::<[u8; 16]>(), port())
        .prop_map(|(a, p, b, q, c, r)| [(a.into(), p), (b.into(), q), (c.into(), r)]);
    prop_oneof![four, six]
        .prop_map(|ends: [(IpAddr, u16); 3]| ends.map(SocketAddr::from))
        .prop_filter("three hosts, and one that may be a server", |[a, b, c]| {
            let distinct = a.ip() != b.ip() && b.ip() != c.ip() && a.ip() != c.ip();
            let link_local = matches!(c.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
            distinct
                && !link_local
                && !c.ip().is_unspecified()
                && !c.ip().is_multicast()
                && !a.ip().is_loopback()
                && !a.ip().is_unspecified()
                && !a.ip().is_multicast()
                && !matches!(a.ip(), IpAddr::V4(ip) if ip.octets()[0] == 0)
                && a.ip() != IpAddr::V4([255; 4].into())
                && !c.ip().is_loopback()
                && c.ip() != IpAddr::V4([255; 4].into())
        })
        .prop_map(|[client, vip, server]| (client, vip, server))
}

fn one_server(protocol: Protocol, vip: SocketAddr, server: SocketAddr) -> Director {
    let mut director = Director::new(Config { connections: 8, ..Config::with_seed(7) }).unwrap();
    let key = lvs_core::ServiceKey::address(protocol, vip);
    let service = director.add_service(lvs_core::ServiceSpec::new(key).scheduler("rr")).unwrap();
    director.add_server(service, lvs_core::ServerSpec::nat(server)).unwrap();
    director
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn nat_there_and_back_is_what_the_client_expects(
        (client, vip, server) in endpoints(),
        protocol in prop::sample::select(&Protocol::ALL[..]),
        payload in prop::collection::vec(any::<u8>(), 0..100),
        answer in prop::collection::vec(any::<u8>(), 0..100),
        options in 0..4usize,
        no_checksum in any::<bool>(),
        has_port in any::<bool>(),
    ) {
        let server = SocketAddr::new(server.ip(), if has_port { server.port() } else { 0 });
        let server_end = SocketAddr::new(server.ip(), if has_port { server.port() } else { vip.port() });
        let mut director = one_server(protocol, vip, server);
        let mut request = Builder::new(protocol, client, vip).syn().payload(&payload).options(options);
        if no_checksum && protocol == Protocol::Udp && client.is_ipv4() {
            request = request.no_checksum();
        }
        let request = Shot::new(&request.build(), Meta::default());
        let there = request.process(&mut director, START);
        prop_assert!(matches!(there.verdict, Verdict::Forward(out) if out.direction == Direction::ToServer));
        let received = Sliced::of(there.bytes()).unwrap();
        prop_assert_eq!((received.from(), received.to(), received.ttl), (client, server_end, 63));
        prop_assert!(bytes::ip_is_right(there.bytes()) && received.transport_is_right());
        let is_udp = protocol == Protocol::Udp;
        prop_assert!(!is_udp || received.segment[6..8] != [0, 0], "a checksum is there, even if none was");
        prop_assert!(there.bytes().ends_with(&payload));

        let reply = Builder::new(protocol, received.to(), received.from()).payload(&answer).chunk(2).options(options);
        let reply = Shot::new(&reply.build(), Meta::default());
        let back = reply.process(&mut director, START);
        prop_assert!(matches!(back.verdict, Verdict::Forward(out) if out.direction == Direction::ToClient));
        let expected = Builder::new(protocol, vip, client).payload(&answer).chunk(2).options(options).build();
        prop_assert_eq!(back.bytes(), &expected[..]);
        let seen = Sliced::of(back.bytes()).unwrap();
        prop_assert!(bytes::ip_is_right(back.bytes()) && seen.transport_is_right());
    }

    #[test]
    fn a_udp_checksum_that_comes_out_as_zero_is_written_as_all_ones(
        (client, vip, server) in endpoints(),
        is_absent in any::<bool>(),
    ) {
        let build = |word: [u8; 2]| {
            let request = Builder::new(Protocol::Udp, client, vip).payload(&word);
            if is_absent { request.no_checksum() } else { request }.build()
        };
        // The word that makes up what a payload of zeros lacks.
        let received = Sliced::of(&bytes::translated(&build([0, 0]), None, Some(server))).unwrap();
        let packet = build([received.segment[6], received.segment[7]]);
        let there = Shot::new(&packet, Meta::default()).process(&mut one_server(Protocol::Udp, vip, server), START);
        let received = Sliced::of(there.bytes()).unwrap();
        prop_assert_eq!(&received.segment[6..8], &[0xff, 0xff][..]);
        prop_assert!(received.transport_is_right());
    }

    #[test]
    fn a_checksum_left_to_the_network_card_stays_the_sum_of_the_pseudo_header(
        (client, vip, server) in endpoints(),
        protocol in prop::sample::select(&[Protocol::Tcp, Protocol::Udp][..]),
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let at = if protocol == Protocol::Tcp { 16 } else { 6 };
        let mut packet = Builder::new(protocol, client, vip).syn().payload(&payload).build();
        let headers = packet.len() - Sliced::of(&packet).unwrap().segment.len();
        let len = packet.len() - headers;
        let pseudo = |to: IpAddr| bytes::sum(&[&bytes::pseudo_header(client.ip(), to, protocol.number(), len)]);
        packet[headers + at..headers + at + 2].copy_from_slice(&pseudo(vip.ip()).to_be_bytes());
        let mut director = one_server(protocol, vip, server);
        let shot = Shot::new(&packet, Meta { checksum: Checksum::Partial, ..Meta::default() });
        let there = shot.process(&mut director, START);
        let field = &there.bytes()[headers + at..headers + at + 2];
        let (new, expected) = (u16::from_be_bytes([field[0], field[1]]), pseudo(server.ip()));
        // Zero has two ways to be written in one's complement.
        prop_assert!(new == expected || new % 0xffff == expected % 0xffff, "{new:#x}, not {expected:#x}");
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn an_eligible_server_gets_the_syn(scenario in scenarios(Profile { changes: true, ..ORDERLY }, 80)) {
        let mut subject = Subject::new(&scenario);
        let mut now = Instant::ZERO;
        for step in scenario.trace() {
            subject.play(&step);
            if let Step::Packet(at, _) | Step::Advance(at, _) = step {
                now = now.max(at);
            }
            subject.settle(now);
        }
        for name in ["drop_packet", "secure_tcp"] {
            subject.director.set_tunable(name, "0").unwrap();
        }
        for (host, v6) in (1..=6).flat_map(|host| [(host, false), (host, true)]) {
            let text = if v6 { format!("fd00::{host}") } else { format!("10.0.0.{host}") };
            subject.director.set_path(text.parse().unwrap(), with_tunnels(1500));
        }
        for service in scenario.services.iter().filter(|service| service.mark == 0) {
            let shot = request(service, 77, 50_000, &Content::plain(2, 1));
            let Found::Service { choice: Some(choice), .. } = shot.explain(&subject.director, now).found else { continue };
            let promised = SchedulerKind::from_name(&choice.scheduler).is_some_and(|kind| Promises::of(kind).always_picks);
            let is_eligible = choice.candidates.iter().any(|server| server.weight > 0 && !server.overloaded);
            let outcome = shot.process(&mut subject.director, now);
            if promised && is_eligible {
                let went = matches!(outcome.verdict, Verdict::Forward(_) | Verdict::Pass(PassReason::LocalServer));
                prop_assert!(went, "{:?} of {:?}", outcome.verdict, choice);
            }
            if choice.candidates.iter().all(|server| server.weight == 0) {
                let refused = matches!(outcome.verdict, Verdict::Reply(_) | Verdict::Drop(_) | Verdict::Pass(_));
                prop_assert!(refused, "{:?} of {:?}", outcome.verdict, choice);
            }
        }
    }

    #[test]
    fn a_server_of_weight_zero_gets_no_new_flow(scenario in scenarios(Profile { changes: true, ..ORDERLY }, 100)) {
        let explained = |subject: &mut Subject, now, shot: &Shot| shot.explain(&subject.director, now);
        watch(&scenario, explained, |explained, subject, _, outcome| {
            let Verdict::Forward(Forward { server: Some(server), direction, .. }) = outcome.verdict else { return Ok(()) };
            // What such a server begins by itself is another matter.
            if direction == Direction::ToServer && matches!(explained.found, Found::Service { .. }) {
                let weight = subject.director.server(server).map(|view| view.spec.weight);
                prop_assert!(weight.is_some_and(|weight| weight > 0), "{:?}", outcome.verdict);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_syn_after_the_end_never_goes_to_a_server_of_weight_zero(
        (client, vip, server) in endpoints(),
        segments in prop::collection::vec((any::<bool>(), flags()), 0..8),
        other in any::<bool>(),
    ) {
        let mut director = one_server(Protocol::Tcp, vip, server);
        let service = director.find_service(&lvs_core::ServiceKey::address(Protocol::Tcp, vip)).unwrap();
        let send = |director: &mut Director, from_client: bool, flags: u8| {
            let (from, to) = if from_client { (client, vip) } else { (server, client) };
            let shot = Shot::new(&Builder::new(Protocol::Tcp, from, to).flags(flags).build(), Meta::default());
            shot.process(director, START).verdict
        };
        let mut life: Option<Life> = None;
        for (from_client, flags) in [(true, 2)].into_iter().chain(segments) {
            let _ = send(&mut director, from_client, flags);
            if from_client && life.as_ref().is_some_and(|life| life.is_reused_by(flags)) {
                life = None;
            }
            if from_client && life.is_none() && flags & 6 == 2 {
                life = Some(Life::new(true, false));
            }
            if let Some(life) = &mut life {
                life.packet(START, from_client, flags, false);
            }
        }
        director.edit_server(service, lvs_core::ServerSpec::nat(server).weight(0)).unwrap();
        if other {
            let address = if server.is_ipv4() { "10.9.9.9:80" } else { "[fd00:9::9]:80" };
            director.add_server(service, lvs_core::ServerSpec::nat(address.parse().unwrap())).unwrap();
        }
        let is_over = life.as_ref().is_none_or(|life| life.is_reused_by(2));
        match send(&mut director, true, 2) {
            Verdict::Forward(out) => prop_assert_eq!(out.next_hop == server.ip(), !is_over, "{:?}", life),
            Verdict::Reply(_) => prop_assert!(is_over && !other),
            other => prop_assert!(false, "{:?}", other),
        }
        let left = usize::from(!is_over || other);
        prop_assert_eq!(director.connections().count(), left, "the old connection is gone at once");
    }

    #[test]
    fn a_full_table_refuses_new_flows_and_keeps_the_old_ones(
        capacity in 2..20usize,
        arrivals in 20..40u16,
        persistent in any::<bool>(),
    ) {
        let mut director = Director::new(Config { connections: capacity, ..Config::with_seed(7) }).unwrap();
        director.run(&format!("-A -u 192.0.2.10:53 -s rr{}", if persistent { " -p 60 -M 0.0.0.0" } else { "" })).unwrap();
        director.run("-a -u 192.0.2.10:53 -r 10.0.0.1 -m").unwrap();
        director.run("-a -u 192.0.2.10:53 -r 10.0.0.2 -m").unwrap();
        let templates = usize::from(persistent);
        let send = |director: &mut Director, now, port: u16| {
            let bytes = Builder::new(Protocol::Udp, SocketAddr::from(([198, 51, 100, 1], port)), "192.0.2.10:53".parse().unwrap());
            let outcome = Shot::new(&bytes.build(), Meta::default()).process(director, now);
            match outcome.verdict {
                Verdict::Forward(out) => Some(out),
                Verdict::Drop(DropReason::TableFull) => None,
                other => panic!("{other:?}"),
            }
        };
        let admitted: Vec<_> = (0..arrivals).map(|n| (n, send(&mut director, START, 1024 + n))).collect();
        let live: Vec<_> = admitted.into_iter().filter_map(|(n, out)| out.map(|out| (n, out))).collect();
        prop_assert_eq!(live.len(), capacity - templates, "the first ones are admitted");
        prop_assert!(live.iter().enumerate().all(|(n, (port, _))| n == usize::from(*port)));
        let later = START + Duration::from_secs(299);
        for (n, out) in &live {
            prop_assert_eq!(send(&mut director, later, 1024 + n), Some(*out));
        }
        prop_assert_eq!(send(&mut director, later, 9), None);
        prop_assert_eq!(director.connections().count(), live.len() + templates);
        prop_assert_eq!(director.reasons().total(), u64::from(arrivals) + live.len() as u64 + 1);
        let over = later + Duration::from_secs(300 + 120);
        while director.advance(over, 100).more {}
        prop_assert_eq!(director.connection_count(), 0);
        let again = (0..arrivals).filter(|n| send(&mut director, over, 2048 + n).is_some()).count();
        prop_assert_eq!(again, capacity - templates);
    }

    #[test]
    fn saved_rules_make_the_same_services(scenario in scenarios(EVERYTHING, 2), other in server()) {
        let mut subject = Subject::new(&scenario);
        subject.rule(&scenario.services[0].server("-a", &other));
        let saved = subject.director.save();
        let listed = subject.director.listing(&Listing::default()).unwrap();
        subject.director.clear();
        prop_assert_eq!(subject.director.save(), "");
        subject.director.load(&saved).unwrap();
        prop_assert_eq!(subject.director.save(), saved.clone());
        prop_assert_eq!(subject.director.listing(&Listing::default()).unwrap(), listed);
        let mut fresh = Director::new(Config::with_seed(1)).unwrap();
        fresh.load(&saved).unwrap();
        prop_assert_eq!(fresh.save(), saved.clone());
        let lines = |text: &str, start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        let services = subject.director.services();
        prop_assert_eq!(lines(&saved, "-A"), services.len());
        prop_assert_eq!(lines(&saved, "-a"), services.iter().map(|s| s.servers.len()).sum::<usize>());
    }
}

#[test]
fn a_small_budget_gets_everything_done_in_the_end() {
    for budget in 1..6 {
        let mut director = Director::new(Config::with_seed(7)).unwrap();
        director.run("-A -u 192.0.2.10:53 -s rr").unwrap();
        director.run("-a -u 192.0.2.10:53 -r 10.0.0.1 -m").unwrap();
        while director.advance(START, budget).more {}
        // Flows that end just after a two-second tick, within one tick of the timing wheel: looked at, and not due yet.
        let (tick, nearly) = (START + Duration::from_secs(302), START + Duration::from_nanos(2_000_000_001));
        for port in 0..4 {
            let client = SocketAddr::from(([198, 51, 100, 1], 1024 + port));
            let datagram = Builder::new(Protocol::Udp, client, "192.0.2.10:53".parse().unwrap()).build();
            let outcome = Shot::new(&datagram, Meta::default()).process(&mut director, nearly);
            assert!(matches!(outcome.verdict, Verdict::Forward(_)));
        }
        let is_done = (0..10_000).any(|_| !director.advance(tick, budget).more);
        assert!(is_done, "a budget of {budget} never gets there");
        assert_eq!((director.connection_count(), director.counters().in_packets), (4, 4));
        assert!((0..100).any(|_| !director.advance(tick + Duration::from_nanos(1), budget).more));
        assert_eq!(director.connection_count(), 0);
    }
}

#[test]
fn the_end_of_time_comes_to_an_end() {
    let mut director = Director::new(Config::with_seed(7)).unwrap();
    director.run("-A -u 192.0.2.10:53 -s lblc -p").unwrap();
    director.run("-a -u 192.0.2.10:53 -r 10.0.0.1 -m").unwrap();
    let datagram = Builder::new(Protocol::Udp, "198.51.100.1:53".parse().unwrap(), "192.0.2.10:53".parse().unwrap());
    let shot = Shot::new(&datagram.build(), Meta::default());
    assert!(matches!(shot.process(&mut director, START).verdict, Verdict::Forward(_)));
    director.run("-d -u 192.0.2.10:53 -r 10.0.0.1").unwrap();
    assert!((0..10_000).any(|_| !director.advance(Instant::MAX, 100).more));
    assert_eq!(director.connection_count(), 0);
}

#[test]
fn damage_of_every_kind_occurs_in_scenarios() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = scenarios(EVERYTHING, 80);
    let mut seen = [0usize; 6];
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        let scenario = strategy.new_tree(&mut runner).unwrap().current();
        for op in &scenario.ops {
            if let Op::Client { content, .. } | Op::Server { content, .. } = op {
                let kind = match content.damage {
                    Damage::None => 0,
                    Damage::CutOff(_) => 1,
                    Damage::Shortened(_) => 2,
                    Damage::Flipped(..) => 3,
                    Damage::Fragment(..) => 4,
                    Damage::Protocol(_) => 5,
                };
                seen[kind] += 1;
            }
        }
        let mut subject = Subject::new(&scenario);
        for outcome in scenario.trace().iter().filter_map(|step| subject.play(step)) {
            *verdicts.entry(reason(outcome.verdict)).or_default() += 1;
        }
    }
    assert!(seen.iter().all(|&count| count > 10), "{seen:?}");
    for wanted in [
        "forward",
        "pass fragment",
        "pass local-server",
        "drop table-full",
        "drop no-headroom",
        "drop server-gone",
        "reply ttl-exceeded",
        "reply too-big",
        "reply no-route",
        "reply no-destination",
        "drop truncated-ip",
        "drop no-call-id",
        "reply no-connection",
        "pass no-connection",
    ] {
        assert!(verdicts.contains_key(wanted), "{wanted} is not among {verdicts:#?}");
    }
}
