//! Fragmented packets: what all parts together become is what the whole packet would have become.

use std::net::SocketAddr;
use std::time::Duration;

use lvs_core::testkit::packets::Builder;
use lvs_core::{
    Config, Direction, Director, DropReason, Hook, Instant, Meta, Method, PassReason, Path, Protocol, ReplyReason,
    Verdict,
};
use proptest::prelude::*;

use common::bytes;
use common::parts::{join, split};
use common::play::{Outcome, Shot, agrees};
use common::scenario::cases;

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

const START: Instant = Instant::from_secs(1);
const LARGE: u16 = 9000;

fn director(fragments: usize, mtu: u16) -> Director {
    let path = Path::new(mtu).tunnel_source([10, 0, 0, 254].into()).tunnel_source("fd00::fe".parse().unwrap());
    Director::new(Config { path, fragments, ..Config::with_seed(7) }).unwrap()
}

/// A director with one service that has one server.
fn one_server(protocol: Protocol, v6: bool, method: &str, options: &str, mtu: u16) -> Director {
    let mut director = director(64, mtu);
    let option = match protocol {
        Protocol::Tcp => "-t",
        Protocol::Udp => "-u",
        Protocol::Sctp => "--sctp-service",
    };
    let (vip, server) = if v6 { ("[2001:db8:c::10]:80", "[fd00::1]") } else { ("192.0.2.10:80", "10.0.0.1") };
    let port = if options.contains("same-port") { 80 } else { 8080 };
    let one_packet = if options.contains("one-packet") { "-o" } else { "" };
    director
        .load(&format!("-A {option} {vip} -s rr {one_packet}\n-a {option} {vip} -r {server}:{port} {method}"))
        .unwrap();
    director
}

fn endpoints(v6: bool) -> (SocketAddr, SocketAddr, SocketAddr) {
    let texts = if v6 {
        ["[2001:db8:9::1]:40000", "[2001:db8:c::10]:80", "[fd00::1]:8080"]
    } else {
        ["198.51.100.1:40000", "192.0.2.10:80", "10.0.0.1:8080"]
    };
    let [client, vip, server] = texts.map(|text| text.parse().unwrap());
    (client, vip, server)
}

fn process(director: &mut Director, packet: &[u8]) -> Outcome {
    let shot = Shot::new(packet, Meta::default());
    let explained = shot.explain(director, START);
    let outcome = shot.process(director, START);
    assert!(agrees(&explained, outcome.verdict), "{explained:?}\n{:?}", outcome.verdict);
    outcome
}

/// What leaves, without the tunnel around it.
fn content(outcome: &Outcome) -> Vec<u8> {
    match outcome.verdict {
        Verdict::Forward(out) if out.method == Method::Tun && out.direction == Direction::ToServer => {
            bytes::unwrapped(outcome.bytes()).unwrap().2
        }
        _ => outcome.bytes().to_vec(),
    }
}

const METHODS: [&str; 6] = [
    "-m",
    "-g",
    "-i",
    "-i --tun-type gre",
    "-i --tun-type gre --tun-csum",
    "-i --tun-type gue --tun-port 6080 --tun-csum",
];

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn all_parts_together_become_what_the_whole_packet_becomes(
        (protocol, v6, method) in (0..3usize, any::<bool>(), prop::sample::select(METHODS.to_vec())),
        (len, options, one_packet, may_fragment) in (0..3000usize, 0..4usize, any::<bool>(), any::<bool>()),
        cuts in prop::collection::vec(32..900usize, 0..6),
        reply_cuts in prop::collection::vec(32..900usize, 0..6),
        no_checksum in any::<bool>(),
    ) {
        let protocol = Protocol::ALL[protocol];
        let options_text = match protocol {
            Protocol::Tcp => "",
            Protocol::Udp => if one_packet { "one-packet" } else { "" },
            Protocol::Sctp => "same-port",
        };
        let mut whole = one_server(protocol, v6, method, options_text, LARGE);
        let mut in_parts = one_server(protocol, v6, method, options_text, LARGE);
        let (client, vip, server) = endpoints(v6);
        let payload: Vec<u8> = (0..len).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        let builder = |from, to, flags, chunk| {
            let builder = Builder::new(protocol, from, to).flags(flags).chunk(chunk).payload(&payload).options(options);
            let builder = if may_fragment { builder.may_fragment() } else { builder };
            if no_checksum && protocol == Protocol::Udp && !v6 { builder.no_checksum() } else { builder }
        };
        let nat = method == "-m";
        let request = builder(client, vip, 2, 1).build();
        let from = match (nat, protocol) {
            (false, _) => vip,
            (true, Protocol::Sctp) => SocketAddr::new(server.ip(), 80),
            (true, _) => server,
        };
        let reply = builder(from, client, 0x12, 2).build();
        for (packet, cuts) in [(request, cuts), (reply, reply_cuts)] {
            let expected = process(&mut whole, &packet);
            // With extension headers over IPv6 the cutter has to do more than this one.
            let parts = if v6 && options > 0 { vec![packet.clone()] } else { split(&packet, &cuts) };
            let outcomes: Vec<Outcome> = parts.iter().map(|part| process(&mut in_parts, part)).collect();
            let mut expected_bytes = content(&expected);
            for outcome in &outcomes {
                match (expected.verdict, outcome.verdict) {
                    (Verdict::Forward(a), Verdict::Forward(b)) => {
                        prop_assert_eq!((a.next_hop, a.server, a.method, a.direction), (b.next_hop, b.server, b.method, b.direction));
                    }
                    (a, b) => prop_assert_eq!(std::mem::discriminant(&a), std::mem::discriminant(&b)),
                }
            }
            let contents: Vec<Vec<u8>> = outcomes.iter().map(content).collect();
            let got = if let [one] = &contents[..] { one.clone() } else { join(&contents).unwrap() };
            let translated = nat && matches!(expected.verdict, Verdict::Forward(_));
            if parts.len() > 1 && translated && no_checksum && protocol == Protocol::Udp && !v6 {
                // It would have to cover what is not there yet.
                let at = usize::from(expected_bytes[0] & 15) * 4 + 6;
                expected_bytes[at..at + 2].fill(0);
            }
            prop_assert_eq!(got, expected_bytes);
            prop_assert_eq!(whole.counters(), in_parts.counters());
            let seen = |director: &Director| director.connections().collect::<Vec<_>>();
            prop_assert_eq!(seen(&whole), seen(&in_parts));
        }
    }

    #[test]
    fn nothing_panics_and_explain_agrees_whatever_the_parts_are(
        parts in prop::collection::vec(
            (any::<bool>(), 0..4usize, prop::collection::vec(24..64usize, 0..3), 0..3usize, 0..200usize, 0..3u64), 1..60),
        memory in 0..5usize,
    ) {
        let mut director = director(memory, 600);
        director.load(
            "-A -u 192.0.2.10:80 -s rr -o\n-a -u 192.0.2.10:80 -r 10.0.0.1:8080 -m\n-a -u 192.0.2.10:80 -r 10.0.0.2 -i\n\
             -A -t [2001:db8:c::10]:80 -s rr\n-a -t [2001:db8:c::10]:80 -r [fd00::1]:8080 -m\n-a -t [2001:db8:c::10]:80 -r [fd00::2]:80 -g",
        ).unwrap();
        let mut now = START;
        for (v6, which, cuts, pick, cut_off, seconds) in parts {
            let (client, vip, server) = endpoints(v6);
            let protocol = if v6 { Protocol::Tcp } else { Protocol::Udp };
            let (from, to) = [(client, vip), (server, client), (client, vip), (vip, client)][which];
            let whole = Builder::new(protocol, from, to).syn().payload(&[0x33; 300]).build();
            let parts = split(&whole, &cuts);
            let mut part = parts[pick % parts.len()].clone();
            part.truncate(part.len().saturating_sub(cut_off % 40));
            now += Duration::from_secs(seconds * 9);
            let shot = Shot::new(&part, Meta::default());
            let explained = shot.explain(&director, now);
            let outcome = shot.process(&mut director, now);
            prop_assert!(agrees(&explained, outcome.verdict), "{:?}\nbut {:?}", explained, outcome.verdict);
            if matches!(outcome.verdict, Verdict::Pass(_) | Verdict::Drop(_)) {
                prop_assert!(outcome.is_untouched(&shot));
            }
        }
    }
}

/// A large datagram of the client in three parts.
fn three_parts() -> Vec<Vec<u8>> {
    let (client, vip, _) = endpoints(false);
    split(&Builder::new(Protocol::Udp, client, vip).may_fragment().payload(&[0x44; 1000]).build(), &[400, 400])
}

fn is_to_server(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Forward(out) if out.direction == Direction::ToServer)
}

#[test]
fn a_later_part_that_comes_first_goes_nowhere_if_it_may_be_for_a_server() {
    let mut director = one_server(Protocol::Udp, false, "-m", "", LARGE);
    let parts = three_parts();
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::FragmentWithoutFirst));
    assert!(is_to_server(process(&mut director, &parts[0]).verdict));
    assert!(is_to_server(process(&mut director, &parts[2]).verdict), "from the first on it is known");
    assert!(is_to_server(process(&mut director, &parts[1]).verdict));
}

#[test]
fn the_hosts_own_fragments_are_left_alone_in_any_order() {
    let mut director = one_server(Protocol::Tcp, false, "-m", "", LARGE);
    for part in three_parts().iter().rev() {
        let verdict = process(&mut director, part).verdict;
        assert!(matches!(verdict, Verdict::Pass(_)), "UDP, where the service is of TCP: {verdict:?}");
    }
    let mut director = one_server(Protocol::Udp, false, "-m", "", LARGE);
    let (client, _, server) = endpoints(false);
    let elsewhere = SocketAddr::new("192.0.2.99".parse().unwrap(), 80);
    for (from, to) in [(client, elsewhere), (elsewhere, client)] {
        let whole = Builder::new(Protocol::Udp, from, to).payload(&[1; 100]).build();
        assert_eq!(process(&mut director, &split(&whole, &[64])[1]).verdict, Verdict::Pass(PassReason::Fragment));
    }
    let whole = Builder::new(Protocol::Udp, server, client).payload(&[1; 100]).build();
    let hidden = &split(&whole, &[64])[1];
    assert_eq!(process(&mut director, hidden).verdict, Verdict::Drop(DropReason::FragmentWithoutFirst));
    director.run("-d -u 192.0.2.10:80 -r 10.0.0.1:8080").unwrap();
    assert_eq!(process(&mut director, hidden).verdict, Verdict::Drop(DropReason::FragmentWithoutFirst));
}

#[test]
fn a_part_for_a_service_of_the_host_itself_passes_where_packets_are_forwarded() {
    let mut director = one_server(Protocol::Udp, false, "-m", "", LARGE);
    let shot = Shot::new(&three_parts()[1], Meta { hook: Hook::Forward, ..Meta::default() });
    assert_eq!(shot.process(&mut director, START).verdict, Verdict::Pass(PassReason::Fragment));
}

#[test]
fn later_parts_of_an_answered_first_are_dropped_and_never_answered() {
    let mut director = one_server(Protocol::Udp, false, "-g", "", LARGE);
    let (client, vip, _) = endpoints(false);
    let whole = Builder::new(Protocol::Udp, client, vip).ttl(1).payload(&[0x44; 100]).build();
    let parts = split(&whole, &[64]);
    let verdict = process(&mut director, &parts[0]).verdict;
    assert!(matches!(verdict, Verdict::Reply(reply) if reply.reason == ReplyReason::TtlExceeded));
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::FragmentOfDropped));
}

#[test]
fn every_part_is_measured_by_itself_and_only_the_first_is_answered() {
    let (client, vip, _) = endpoints(false);
    let whole = Builder::new(Protocol::Udp, client, vip).payload(&[0x44; 1000]).build();
    let mut director = one_server(Protocol::Udp, false, "-m", "", 600);
    let parts = split(&whole, &[800]);
    let verdict = process(&mut director, &parts[0]).verdict;
    assert!(matches!(verdict, Verdict::Reply(reply) if reply.reason == ReplyReason::TooBig));
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::FragmentOfDropped));
    let parts = split(&whole, &[64, 800]);
    assert!(is_to_server(process(&mut director, &parts[0]).verdict));
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::TooBig));
    let sum_is_too_long = split(&whole, &[504]);
    for part in &sum_is_too_long {
        assert!(is_to_server(process(&mut director, part).verdict), "each fits");
    }
}

#[test]
fn a_packet_over_ipv6_that_the_embedder_put_together_is_measured_as_a_whole() {
    let mut director = one_server(Protocol::Udp, true, "-m", "", 1500);
    let (client, vip, _) = endpoints(true);
    let of_length = |len: usize| Builder::new(Protocol::Udp, client, vip).payload(&vec![0x44; len - 48]).build();
    assert!(is_to_server(process(&mut director, &of_length(1500)).verdict));
    let verdict = process(&mut director, &of_length(1501)).verdict;
    assert!(matches!(verdict, Verdict::Reply(reply) if reply.reason == ReplyReason::TooBig), "{verdict:?}");
}

#[test]
fn a_first_part_without_its_transport_header_is_refused() {
    let mut director = one_server(Protocol::Tcp, false, "-m", "", LARGE);
    let (client, vip, _) = endpoints(false);
    let parts = split(&Builder::new(Protocol::Tcp, client, vip).syn().payload(&[1; 50]).build(), &[16]);
    assert_eq!(process(&mut director, &parts[0]).verdict, Verdict::Drop(DropReason::TinyFragment));
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::FragmentOfDropped));
    let other = SocketAddr::new("192.0.2.99".parse().unwrap(), 80);
    let parts = split(&Builder::new(Protocol::Tcp, client, other).syn().payload(&[1; 50]).build(), &[16]);
    assert_eq!(process(&mut director, &parts[0]).verdict, Verdict::Pass(PassReason::Fragment));
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Pass(PassReason::Fragment));
}

#[test]
fn sctp_in_parts_is_translated_only_where_its_checksum_stays() {
    let (client, vip, _) = endpoints(false);
    let whole = Builder::new(Protocol::Sctp, client, vip).chunk(1).payload(&[1; 50]).build();
    let parts = split(&whole, &[32]);
    let mut director = one_server(Protocol::Sctp, false, "-m", "", LARGE);
    assert_eq!(process(&mut director, &parts[0]).verdict, Verdict::Drop(DropReason::FragmentedSctp));
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::FragmentOfDropped));
    let mut director = one_server(Protocol::Sctp, false, "-m", "same-port", LARGE);
    assert!(parts.iter().all(|part| is_to_server(process(&mut director, part).verdict)));
}

#[test]
fn an_icmp_error_in_parts_about_a_connection_is_refused_and_a_ping_in_parts_is_the_hosts() {
    let mut director = one_server(Protocol::Udp, false, "-m", "", LARGE);
    let (client, vip, server) = endpoints(false);
    assert!(is_to_server(process(&mut director, &Builder::new(Protocol::Udp, client, vip).build()).verdict));
    let quoted = Builder::new(Protocol::Udp, client, server).payload(&[1; 100]).build();
    let icmp = |kind: u8| {
        let mut packet = Builder::new(Protocol::Udp, server, client).build()[..20].to_vec();
        packet[9] = 1;
        packet.extend([kind, 3, 0, 0, 0, 0, 0, 0]);
        packet.extend(&quoted);
        packet
    };
    let parts = split(&icmp(3), &[64]);
    assert_eq!(process(&mut director, &parts[0]).verdict, Verdict::Drop(DropReason::FragmentedError));
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::FragmentOfDropped));
    for part in split(&icmp(8), &[64]) {
        assert!(matches!(process(&mut director, &part).verdict, Verdict::Pass(_)));
    }
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let mut director = one_server(Protocol::Udp, true, "-m", "", LARGE);
    let (client, vip, _) = endpoints(true);
    let whole = Builder::new(Protocol::Udp, client, vip).payload(&[1; 50]).build();
    let mut atomic = split(&whole, &[32])[0].clone();
    atomic[43] = 0;
    atomic.truncate(48);
    atomic.extend(&whole[40..]);
    atomic[4..6].copy_from_slice(&66u16.to_be_bytes());
    assert!(is_to_server(process(&mut director, &atomic).verdict));
    assert_eq!(director.connection_count(), 1);
}

#[test]
fn a_connection_that_has_ended_takes_its_later_parts_along() {
    let mut director = one_server(Protocol::Tcp, false, "-m", "", LARGE);
    let (client, vip, _) = endpoints(false);
    let syn = Builder::new(Protocol::Tcp, client, vip).syn().build();
    let reset = split(&Builder::new(Protocol::Tcp, client, vip).flags(0x11).payload(&[1; 50]).build(), &[32]);
    assert!(is_to_server(process(&mut director, &syn).verdict));
    assert!(is_to_server(process(&mut director, &reset[0]).verdict));
    director.load("-A -t 192.0.2.99:1 -s rr\n-D -t 192.0.2.10:80").unwrap();
    assert_eq!(process(&mut director, &reset[1]).verdict, Verdict::Drop(DropReason::ServerGone));
}

#[test]
fn a_small_memory_forgets_the_oldest_and_says_so() {
    let mut director = director(1, LARGE);
    director.load("-A -u 192.0.2.10:80 -s rr\n-a -u 192.0.2.10:80 -r 10.0.0.1:8080 -m").unwrap();
    let parts = three_parts();
    assert!(is_to_server(process(&mut director, &parts[0]).verdict));
    let mut other = parts[0].clone();
    other[5] ^= 1;
    bytes::refresh_ip(&mut other);
    assert!(is_to_server(process(&mut director, &other).verdict));
    assert_eq!(director.evicted_fragments(), 1);
    assert_eq!(process(&mut director, &parts[1]).verdict, Verdict::Drop(DropReason::FragmentWithoutFirst));
}

#[test]
fn without_a_memory_every_part_is_passed() {
    let mut director = director(0, LARGE);
    director.load("-A -u 192.0.2.10:80 -s rr\n-a -u 192.0.2.10:80 -r 10.0.0.1:8080 -m").unwrap();
    for part in three_parts() {
        assert_eq!(process(&mut director, &part).verdict, Verdict::Pass(PassReason::Fragment));
    }
}

#[test]
fn the_ports_of_a_first_part_choose_its_flow_whatever_was_remembered() {
    let mut director = one_server(Protocol::Udp, false, "-m", "", LARGE);
    director.run("-A -u 192.0.2.10:81 -s rr").unwrap();
    director.run("-a -u 192.0.2.10:81 -r 10.0.0.2 -m").unwrap();
    let next_hop = |verdict| match verdict {
        Verdict::Forward(out) => out.next_hop.to_string(),
        other => panic!("{other:?}"),
    };
    let (client, vip, _) = endpoints(false);
    for (port, server) in [(80, "10.0.0.1"), (81, "10.0.0.2"), (80, "10.0.0.1")] {
        let to = SocketAddr::new(vip.ip(), port);
        for part in split(&Builder::new(Protocol::Udp, client, to).payload(&[1; 100]).build(), &[64]) {
            assert_eq!(next_hop(process(&mut director, &part).verdict), server, "the same identification again");
        }
    }
}
