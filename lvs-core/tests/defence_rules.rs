//! Which connections the defence `drop_entry` ends, and all three defences by the memory that is left.

use std::collections::BTreeMap;
use std::time::Duration;

use lvs_core::testkit::packets::{self, Builder};
use lvs_core::{Config, ConnId, Director, DropReason, Event, Gone, Instant, Meta, Packet, Protocol, Verdict};
use proptest::prelude::*;

const RULES: &str = "\
-A -t 192.0.2.10:80 -s rr
-a -t 192.0.2.10:80 -r 10.0.0.1 -m
-A -u 192.0.2.10:80 -s rr
-a -u 192.0.2.10:80 -r 10.0.0.1 -m
-A --sctp-service 192.0.2.10:80 -s rr
-a --sctp-service 192.0.2.10:80 -r 10.0.0.1 -m
-A -t 192.0.2.10:81 -s rr -p 300
-a -t 192.0.2.10:81 -r 10.0.0.1 -m
-A -u 192.0.2.10:82 -s rr -p 300 -o
-a -u 192.0.2.10:82 -r 10.0.0.1 -m
";

fn director(connections: usize) -> Director {
    let config = Config { connections, events: connections * 4, ..Config::with_seed(7) };
    let mut director = Director::new(config).unwrap();
    director.load(RULES).unwrap();
    director
}

fn send(director: &mut Director, now: Instant, builder: &Builder) -> Verdict {
    let mut bytes = builder.build();
    let mut packet = Packet::whole(&mut bytes);
    let explained = director.explain(now, &packet, Meta::default());
    let verdict = director.process(now, &mut packet, Meta::default());
    let is_dropped = |verdict| matches!(verdict, Verdict::Drop(DropReason::DropPacket));
    assert_eq!(explained.verdict.is_some_and(is_dropped), is_dropped(verdict), "{explained}");
    verdict
}

fn client(n: u32) -> String {
    let [_, a, b, c] = n.to_be_bytes();
    format!("100.{a}.{b}.{c}:40000")
}

fn syn(n: u32, port: u16) -> Builder {
    packets::tcp(&client(n), &format!("192.0.2.10:{port}")).syn()
}

/// `count` half-open connections.
fn flooded(count: u32) -> Director {
    let mut director = director(count as usize);
    for n in 0..count {
        assert!(matches!(send(&mut director, Instant::ZERO, &syn(n, 80)), Verdict::Forward(_)));
    }
    director
}

fn pass(director: &mut Director, seconds: u64, budget: usize) -> usize {
    let mut calls = 1;
    while director.advance(Instant::from_secs(seconds), budget).more {
        calls += 1;
    }
    calls
}

#[test]
fn what_is_switched_off_stops_in_the_middle_of_its_second() {
    let mut director = flooded(8_192);
    for name in ["drop_entry", "secure_tcp"] {
        director.set_tunable(name, "3").unwrap();
    }
    assert!(director.advance(Instant::from_secs(1), 100).more);
    let left = director.connection_count();
    assert!((1..8_192).contains(&left));
    director.set_tunable("drop_entry", "0").unwrap();
    pass(&mut director, 50, 1_000_000);
    assert_eq!(director.connection_count(), left);
}

#[test]
fn a_long_sleep_is_made_up_for() {
    let [mut asleep, mut awake] = [flooded(2_000), flooded(2_000)];
    for director in [&mut asleep, &mut awake] {
        director.set_tunable("drop_entry", "3").unwrap();
    }
    (1..=50).for_each(|second| {
        pass(&mut awake, second, 1_000_000);
    });
    pass(&mut asleep, 50, 1_000_000);
    let left = |director: &Director| director.connections().map(|c| c.id).collect::<Vec<ConnId>>();
    assert_eq!(left(&asleep), left(&awake));
}

#[test]
fn a_very_long_sleep_costs_no_more_than_a_short_one() {
    let mut director = director(100);
    director.set_tunable("drop_entry", "3").unwrap();
    director.set_tunable("run_estimation", "0").unwrap();
    assert!(!director.advance(Instant::from_secs(1_700_000_000), 1_000_000).more);
    assert_eq!(director.next_deadline().map(|at| at <= Instant::from_secs(1_700_000_001)), Some(true));
    while director.advance(Instant::MAX, 1_000_000).more {}
}

#[test]
fn a_half_open_connection_takes_its_template_along_and_an_established_one_keeps_it() {
    let mut director = director(1000);
    for n in 0..20 {
        let _ = send(&mut director, Instant::ZERO, &syn(n, 81));
    }
    for n in 100..110 {
        let _ = send(&mut director, Instant::ZERO, &syn(n, 81));
        for flags in [0x12, 0x10] {
            let reply = packets::tcp("10.0.0.1:81", &client(n)).flags(flags);
            let _ = send(&mut director, Instant::ZERO, &reply);
            let _ = send(&mut director, Instant::ZERO, &packets::tcp(&client(n), "192.0.2.10:81").flags(0x10));
        }
        // The template of one-packet scheduling has seen no packet of its own: it stays.
        let _ = send(&mut director, Instant::ZERO, &packets::udp(&client(n), "192.0.2.10:82"));
    }
    assert_eq!(director.connection_count(), 2 * 20 + 2 * 10 + 10);
    director.set_tunable("drop_entry", "3").unwrap();
    // Each place is looked at every 32 seconds; the table of SYN_RECV lasts 60.
    pass(&mut director, 59, 1_000_000);
    let half_open = director.connections().filter(|c| c.state == "SYN_RECV").count();
    assert!(half_open < 10, "{half_open}");
    assert_eq!(director.connection_count(), 2 * half_open + 2 * 10 + 10);
    let server = director.services().iter().find(|s| s.spec.key.port() == 81).unwrap().servers[0];
    assert_eq!((server.active as usize, server.inactive), (10 + half_open, 0));
    assert_eq!(server.persistent as usize, 10 + half_open);
}

#[test]
fn defences_come_and_go_with_the_memory() {
    let mut director = director(100);
    let modes = |director: &Director| {
        let tunables = director.tunables();
        [tunables.drop_entry, tunables.drop_packet, tunables.secure_tcp]
    };
    for name in ["drop_entry", "drop_packet", "secure_tcp"] {
        director.set_tunable(name, "2").unwrap();
    }
    assert_eq!(modes(&director), [1; 3], "there is plenty");
    pass(&mut director, 10, 100);
    assert!(matches!(send(&mut director, Instant::from_secs(10), &syn(1, 80)), Verdict::Forward(_)));

    director.set_available_memory(512);
    assert_eq!(modes(&director), [1; 3], "not yet");
    pass(&mut director, 11, 100);
    assert_eq!(modes(&director), [2; 3]);
    let now = Instant::from_secs(11);
    let dropped = (2..8).map(|n| send(&mut director, now, &syn(n, 80)));
    let dropped: Vec<bool> = dropped.map(|v| v == Verdict::Drop(DropReason::DropPacket)).collect();
    assert_eq!(dropped, [false, true, false, true, false, true], "half of the memory is left");
    // With secure_tcp a client's acknowledgement alone does not establish.
    let _ = send(&mut director, now, &packets::tcp(&client(2), "192.0.2.10:80").flags(0x10));
    assert!(director.connections().all(|c| c.state != "ESTABLISHED"));
    pass(&mut director, 60, 100);
    assert!(director.connection_count() < 3, "half-open ones went");

    director.set_available_memory(2000);
    director.set_tunable("drop_packet", "1").unwrap();
    assert_eq!(modes(&director), [1; 3], "writing one looks after all");
    director.set_tunable("amemthresh", "2001").unwrap();
    assert_eq!(modes(&director), [1; 3]);
    pass(&mut director, 61, 100);
    assert_eq!(modes(&director), [2; 3]);
}

/// A flow as its test made it.
#[derive(Clone, Copy, Debug)]
struct Made {
    packets: u32,
    latest: Instant,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    /// Packets of few clients at any times: whatever goes by chance may, and counts stay right.
    #[test]
    fn only_those_go_that_may(
        steps in prop::collection::vec((0..40u32, 0..6u8, 0..5u64), 1..200),
        budget in 1..100usize,
    ) {
        let mut director = director(200);
        director.set_tunable("drop_entry", "3").unwrap();
        let mut made: BTreeMap<ConnId, Made> = BTreeMap::new();
        let mut now = Instant::from_secs(1);
        for (n, kind, wait) in steps {
            let n = n % 40;
            let builder = match kind {
                0 => syn(n, 80),
                1 => packets::tcp(&client(n), "192.0.2.10:80").flags(0x10),
                2 => packets::udp(&client(n), "192.0.2.10:80"),
                3 => syn(n, 81),
                4 => packets::tcp(&client(n), "192.0.2.10:80").flags(0x11),
                _ => Builder::new(Protocol::Sctp, client(n).parse().unwrap(), "192.0.2.10:80".parse().unwrap()).chunk(1),
            };
            if let Verdict::Forward(out) = send(&mut director, now, &builder) {
                let flow = made.entry(out.connection.unwrap()).or_insert(Made { packets: 0, latest: now });
                (flow.packets, flow.latest) = (flow.packets + 1, now);
            }
            for _ in 0..=wait * 5 {
                let states: BTreeMap<ConnId, (&str, u8, bool)> =
                    director.connections().map(|c| (c.id, (c.state, c.protocol, c.client.port() == 0))).collect();
                now += Duration::from_secs(1);
                while director.advance(now, budget).more {}
                while let Some(event) = director.poll_event() {
                    let Event::Gone(gone, Gone::Dropped) = event else { continue };
                    let (state, protocol, is_template) = states[&gone.id];
                    let is_half_open = matches!((protocol, state), (6, "SYN_RECV") | (132, "INIT1" | "INIT"));
                    if is_template {
                        let is_free = director.connections().all(|c| c.client.ip() != gone.client.ip() || c.target.port() != 81);
                        prop_assert!(is_free, "it controls nothing");
                    } else if !is_half_open {
                        prop_assert!(matches!((protocol, state), (6 | 132, "ESTABLISHED") | (17, _)), "{protocol} {state}");
                        let flow = made[&gone.id];
                        prop_assert!((1..=8).contains(&flow.packets), "{flow:?}");
                        prop_assert!(now.since(flow.latest) >= Duration::from_secs(60), "{flow:?} at {now:?}");
                    }
                }
            }
            let held = director.connections().filter(|c| c.client.port() != 0).count();
            let counted: u32 = director.services().iter().flat_map(|s| &s.servers).map(|s| s.active + s.inactive).sum();
            prop_assert_eq!(counted as usize, held);
        }
    }
}
