//! What is delicate about lending connections, scene by scene: a director and a shared one are brought the same packets, and
//! say the same.

use std::time::Duration;

use lvs_core::testkit::packets::{self, Builder};
use lvs_core::{
    Config, Director, Drain, Event, Filter, Instant, Meta, Method, Packet, Path, ReplyReason, SharedDirector, Verdict,
};

use common::bytes::{self, refresh_ip};
use common::parts::split;

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

const CLIENT: &str = "198.51.100.1:5353";
const SERVER: &str = "10.0.0.1:53";
const HEADROOM: usize = 64;

/// Both, with two shards.
struct Both {
    one: Director,
    shared: SharedDirector,
}

impl Both {
    fn new(rules: &str) -> Self {
        let path = Path::new(1500).tunnel_source("10.0.0.254".parse().unwrap());
        let config =
            Config { connections: 64, path, address_v4: Some([192, 0, 2, 254].into()), ..Config::with_seed(7) };
        let (mut one, shared) = (Director::new(config.clone()).unwrap(), SharedDirector::new(config, 2).unwrap());
        one.load(rules).unwrap();
        shared.load(rules).unwrap();
        Self { one, shared }
    }

    /// Brings a packet to both; what left, if something did.
    fn bring(&mut self, shard: usize, seconds: u64, bytes: &[u8]) -> Vec<u8> {
        let now = Instant::from_secs(seconds);
        let [mut a, mut b] = [(); 2].map(|()| [&[0; HEADROOM], bytes].concat());
        let mut first = Packet::new(&mut a, HEADROOM, bytes.len()).unwrap();
        let mut second = Packet::new(&mut b, HEADROOM, bytes.len()).unwrap();
        let verdict = self.one.process(now, &mut first, Meta::default());
        let mut verdicts = [Verdict::Pass(lvs_core::PassReason::NoService)];
        self.shared.process_burst(shard, now, std::slice::from_mut(&mut second), &[Meta::default()], &mut verdicts);
        assert_eq!([verdict], verdicts);
        let [mut left, mut other] = [first.bytes().to_vec(), second.bytes().to_vec()];
        if matches!(verdict, Verdict::Forward(out) if out.method == Method::Tun) {
            // The outer header's number is each shard's own.
            for packet in [&mut left, &mut other] {
                packet[4..6].fill(0);
                refresh_ip(packet);
            }
        }
        assert_eq!(left, other);
        left
    }

    fn udp(&mut self, shard: usize, seconds: u64, from: &str, to: &str) -> Vec<u8> {
        self.bring(shard, seconds, &packets::udp(from, to).build())
    }

    /// A flow of its first three packets, which is lent then.
    fn flow(&mut self, shard: usize, seconds: u64, from: &str, to: &str) -> Vec<u8> {
        let before = self.shared.lent()[shard];
        let last = (0..3).map(|_| self.udp(shard, seconds, from, to)).last();
        assert_eq!(self.shared.lent()[shard], before + 1);
        last.unwrap()
    }

    fn advance(&mut self, seconds: u64) {
        while self.one.advance(Instant::from_secs(seconds), 1000).more {}
        while self.shared.advance(Instant::from_secs(seconds), 1000).more {}
    }

    fn same_connections(&self) {
        assert_eq!(self.one.connections().collect::<Vec<_>>(), self.shared.connections());
    }
}

/// What a router says of a packet: too big, or nobody there.
fn error_about(packet: &[u8], mtu: Option<u16>) -> Vec<u8> {
    let quote = &packet[..packet.len().min(100)];
    let [high, low] = mtu.unwrap_or(0).to_be_bytes();
    let mut message = [&[3, if mtu.is_some() { 4 } else { 1 }, 0, 0, 0, 0, high, low], quote].concat();
    let check = !bytes::sum(&[&message]);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let [high, low] = u16::try_from(20 + message.len()).unwrap().to_be_bytes();
    let mut error = vec![0x45, 0, high, low, 0, 9, 0, 0, 60, 1, 0, 0, 10, 9, 9, 9];
    error.extend(&packet[12..16]);
    error.extend(message);
    refresh_ip(&mut error);
    error
}

#[test]
fn a_reply_that_fits_two_flows_goes_to_the_newer_wherever_they_are() {
    for shard in [0, 1] {
        let mut both = Both::new(
            "-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m\n\
             -A -u 192.0.2.11:53 -s rr\n-a -u 192.0.2.11:53 -r 10.0.0.1:53 -m",
        );
        both.flow(0, 1, CLIENT, "192.0.2.10:53");
        both.udp(shard, 2, CLIENT, "192.0.2.11:53");
        both.udp(0, 2, SERVER, CLIENT);
        for to in ["192.0.2.10:53", "192.0.2.11:53", "192.0.2.11:53", "192.0.2.10:53"] {
            both.udp(0, 3, CLIENT, to);
            both.udp(0, 3, SERVER, CLIENT);
            both.udp(1, 3, SERVER, CLIENT);
        }
        assert_eq!(both.shared.lent(), [0, 0], "they share packets");
        both.same_connections();
    }
}

#[test]
fn a_reply_past_both_deadlines_is_none_though_one_flow_is_translated_and_the_other_is_not() {
    let mut both = Both::new(
        "-A -u 10.0.0.1:53 -s rr\n-a -u 10.0.0.1:53 -r 10.0.0.2:53 -g\n\
         -A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m",
    );
    both.flow(0, 1, CLIENT, SERVER);
    for _ in 0..3 {
        both.udp(0, 1, CLIENT, "192.0.2.10:53");
        both.udp(0, 1, CLIENT, SERVER);
    }
    assert_eq!(both.shared.lent(), [0, 0], "they share packets");
    both.udp(0, 301, SERVER, CLIENT);
    both.same_connections();
}

#[test]
fn an_error_about_a_flow_past_its_deadline_is_about_nothing() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m");
    let sent = both.flow(0, 1, CLIENT, "192.0.2.10:53");
    both.bring(0, 2, &error_about(&sent, None));
    both.bring(1, 3, &error_about(&sent, None));
    both.udp(0, 200, CLIENT, "192.0.2.10:53");
    both.udp(0, 200, CLIENT, "192.0.2.10:53");
    both.bring(1, 400, &error_about(&sent, None));
    for shard in [1, 0] {
        both.bring(shard, 500, &error_about(&sent, None));
    }
    both.same_connections();
}

#[test]
fn parts_of_packets_begin_the_time_of_a_flow_anew() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m");
    both.flow(0, 1, CLIENT, "192.0.2.10:53");
    let whole = Builder::new(lvs_core::Protocol::Udp, CLIENT.parse().unwrap(), "192.0.2.10:53".parse().unwrap());
    let parts = split(&whole.may_fragment().payload(&[0x66; 500]).build(), &[200, 200]);
    both.bring(1, 100, &parts[0]);
    // The flow goes on, and is lent again before the next part comes.
    both.udp(0, 101, CLIENT, "192.0.2.10:53");
    assert_eq!(both.shared.lent(), [1, 0]);
    both.bring(1, 120, &parts[1]);
    both.udp(0, 121, CLIENT, "192.0.2.10:53");
    both.bring(0, 125, &parts[2]);
    both.advance(424);
    both.same_connections();
    both.advance(425);
    both.same_connections();
    assert_eq!(both.shared.connection_count(), 0);
}

#[test]
fn what_was_learned_of_a_tunnel_is_known_at_every_shard() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -i");
    let sent = both.flow(0, 1, CLIENT, "192.0.2.10:53");
    both.flow(1, 1, "198.51.100.2:5353", "192.0.2.10:53");
    both.bring(0, 2, &error_about(&sent, Some(700)));
    let long = packets::udp("198.51.100.2:5353", "192.0.2.10:53").payload(&[1; 1000]).build();
    both.bring(1, 3, &long);
    assert!(both.one.reasons().replied(ReplyReason::TooBig) > 0);
    // It is forgotten everywhere, too.
    both.advance(650);
    both.bring(1, 651, &long);
}

#[test]
fn what_the_last_packet_through_a_tunnel_met_with_is_noted() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -i");
    let sent = both.flow(0, 1, CLIENT, "192.0.2.10:53");
    let path = Path::new(1400).tunnel_source("10.0.0.254".parse().unwrap());
    both.one.set_path("10.0.0.1".parse().unwrap(), path);
    both.shared.set_path("10.0.0.1".parse().unwrap(), path);
    for shard in [0, 1] {
        both.udp(0, 2, CLIENT, "192.0.2.10:53");
        both.bring(shard, 3, &error_about(&sent, Some(1300)));
        both.bring(shard, 3, &error_about(&sent, Some(1200)));
        both.udp(shard, 4, CLIENT, "192.0.2.10:53");
        both.bring(0, 5, &error_about(&sent, Some(1100)));
    }
}

#[test]
fn the_random_drop_finds_all_connections() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m");
    for n in 0..40 {
        both.flow(n % 2, 1, &format!("198.51.100.1:{}", 5000 + n), "192.0.2.10:53");
    }
    both.one.set_tunable("drop_entry", "3").unwrap();
    both.shared.set_tunable("drop_entry", "3").unwrap();
    for second in 2..400u64 {
        // Half of them say nothing more.
        let n = usize::try_from(second).unwrap() % 20;
        both.udp(n % 2, second, &format!("198.51.100.1:{}", 5000 + n), "192.0.2.10:53");
        both.advance(second);
        assert_eq!(both.one.connection_count(), both.shared.connection_count());
    }
    both.same_connections();
    let dropped = both.shared.with(|director| director.dropped_entries());
    assert!(dropped > 5 && both.one.dropped_entries() == dropped, "{dropped}");
}

#[test]
fn a_connection_has_one_id_for_life() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m");
    both.flow(0, 1, CLIENT, "192.0.2.10:53");
    let id = both.one.connections().next().unwrap().id;
    let listed = both.shared.connection(id).expect("it is at home for that");
    assert_eq!((listed.expires, listed.id), (Instant::from_secs(301), id));
    assert_eq!(both.shared.lent(), [0, 0]);
    both.udp(1, 2, CLIENT, "192.0.2.10:53");
    assert_eq!(both.shared.lent(), [0, 1], "it goes where its packets come");
    both.udp(0, 3, CLIENT, "192.0.2.10:53");
    both.udp(0, 4, SERVER, CLIENT);
    both.same_connections();
}

#[test]
fn what_is_flushed_is_thrown_away_even_by_a_shard_without_packets() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m");
    both.flow(1, 1, CLIENT, "192.0.2.10:53");
    assert_eq!(both.shared.flush(&Filter::all()), Ok(1));
    assert_eq!(both.shared.connections(), []);
    assert_eq!(both.shared.lent(), [0, 0]);
    assert!(!both.shared.advance(Instant::ZERO + Duration::from_secs(2), 10).more);
}

#[test]
fn each_shard_throws_its_own_copies_away_when_it_hears_of_a_flush() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m");
    for n in 0..40 {
        both.flow(n % 2, 1, &format!("198.51.100.1:{}", 5000 + n), "192.0.2.10:53");
    }
    assert_eq!(both.shared.flush(&Filter::all()), both.one.flush(&Filter::all()));
    assert_eq!(both.shared.lent(), [20, 20], "nobody has heard of it yet");
    both.udp(1, 2, CLIENT, "192.0.2.10:53");
    assert_eq!(both.shared.lent(), [20, 0]);
    both.udp(0, 2, CLIENT, "192.0.2.10:53");
    assert_eq!(both.shared.lent(), [1, 0], "the second packet of a flow has it lent");
    both.same_connections();
}

#[test]
fn the_end_of_a_drain_is_told_with_the_end_of_its_last_connection() {
    let config = Config { connections: 64, events: 64, ..Config::with_seed(7) };
    let shared = SharedDirector::new(config, 2).unwrap();
    shared.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m").unwrap();
    for _ in 0..3 {
        let mut query = packets::udp(CLIENT, "192.0.2.10:53").build();
        let verdict = shared.process(Instant::from_secs(1), &mut Packet::whole(&mut query), Meta::default());
        assert!(matches!(verdict, Verdict::Forward(_)));
    }
    assert_eq!(shared.lent().iter().sum::<usize>(), 1);
    let server = shared.services()[0].servers[0].id;
    shared.drain(server, Drain::new().then_remove()).unwrap();
    let advance = |millis| while shared.advance(Instant::from_millis(millis), 1000).more {};
    let told = || std::iter::from_fn(|| shared.poll_event()).filter(|e| matches!(e, Event::Drained { .. })).count();
    // No tick of the listings falls due between the two.
    advance(300_999);
    assert_eq!((told(), shared.services()[0].servers.len()), (0, 1));
    advance(301_000);
    assert_eq!((told(), shared.services()[0].servers.len()), (1, 0));
}

#[test]
fn what_was_learned_of_a_way_holds_for_every_server_of_its_address() {
    let mut both = Both::new(
        "-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -i\n\
         -A -u 192.0.2.11:53 -s rr\n-a -u 192.0.2.11:53 -r 10.0.0.1 -i",
    );
    let sent = both.flow(0, 1, CLIENT, "192.0.2.10:53");
    both.flow(1, 1, CLIENT, "192.0.2.11:53");
    let long = packets::udp(CLIENT, "192.0.2.11:53").payload(&[1; 1000]).build();
    assert_eq!(both.bring(1, 2, &long).len(), 20 + long.len(), "it goes through");
    both.bring(0, 3, &error_about(&sent, Some(700)));
    let before = both.one.reasons().replied(ReplyReason::TooBig);
    both.bring(1, 4, &long);
    assert_eq!(both.one.reasons().replied(ReplyReason::TooBig), before + 1);
}

#[test]
fn a_thread_that_is_late_has_all_that_was_counted_in_the_listings_too() {
    let mut both = Both::new("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m");
    both.advance(1);
    both.flow(0, 1, CLIENT, "192.0.2.10:53");
    // Somebody else has come to the tenth second, and home knows of it.
    both.udp(0, 10, CLIENT, "192.0.2.10:53");
    both.udp(1, 10, "198.51.100.2:5353", "192.0.2.10:53");
    both.advance(2);
    assert_eq!(both.shared.counters(), both.one.counters());
    assert_eq!(both.one.counters().in_packets, 5);
}
