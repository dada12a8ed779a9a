//! Self-defence: which connections go when memory is short, and how many.

use std::time::Duration;

use lvs_core::testkit::packets::{tcp, udp};
use lvs_core::{Config, Director, DropReason, Instant, Meta, Packet, Verdict};

const START: Instant = Instant::from_secs(1);

fn director(seed: u64) -> Director {
    let mut director = Director::new(Config::with_seed(seed)).unwrap();
    director
        .load(
            "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -m\n\
             -A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m",
        )
        .unwrap();
    director
}

fn send(director: &mut Director, now: Instant, mut packet: Vec<u8>) -> Verdict {
    director.process(now, &mut Packet::whole(&mut packet), Meta::default())
}

fn advance(director: &mut Director, now: Instant, budget: usize) {
    while director.advance(now, budget).more {}
}

fn syns(director: &mut Director, now: Instant, count: u16) {
    for n in 0..count {
        let syn = tcp(&format!("198.51.100.1:{}", 1000 + n), "192.0.2.10:80").syn().build();
        let _ = send(director, now, syn);
    }
}

/// Of connections that may go, a second takes one in 32, or a little less: buckets may be drawn twice.
#[test]
fn a_second_takes_one_half_open_connection_in_32() {
    for budget in [1, 7, 1_000_000] {
        let mut director = director(3);
        syns(&mut director, START, 20_000);
        director.set_tunable("drop_entry", "3").unwrap();
        let before = director.connection_count();
        advance(&mut director, START + Duration::from_secs(1), budget);
        let dropped = before - director.connection_count();
        assert!((500..=640).contains(&dropped), "{dropped} with a budget of {budget}");
        assert_eq!(director.dropped_entries(), dropped as u64);
    }
}

#[test]
fn the_budget_changes_nothing_but_the_number_of_calls() {
    let seen = |budget: usize| {
        let mut director = director(5);
        syns(&mut director, START, 5_000);
        director.set_tunable("drop_entry", "3").unwrap();
        for second in 1..5 {
            advance(&mut director, START + Duration::from_secs(second), budget);
        }
        director.connections().collect::<Vec<_>>()
    };
    assert_eq!(seen(1), seen(100_000));
}

#[test]
fn established_and_busy_connections_are_spared() {
    let mut director = director(3);
    for n in 0..200 {
        let client = format!("198.51.100.1:{}", 1000 + n);
        for flags in [2, 0x10] {
            let _ = send(&mut director, START, tcp(&client, "192.0.2.10:80").flags(flags).build());
        }
        let _ = send(&mut director, START, udp(&client, "192.0.2.10:53").build());
    }
    // The second SYN-RECV packet made them established; two packets, and not idle yet.
    director.set_tunable("drop_entry", "3").unwrap();
    for second in 1..60 {
        advance(&mut director, START + Duration::from_secs(second), 1000);
    }
    assert_eq!((director.connection_count(), director.dropped_entries()), (400, 0));
}

/// Idle for a minute, UDP flows of one packet go at each look; of those with two, every second look.
#[test]
fn idle_connections_go_by_the_number_of_their_packets() {
    let left = |packets: usize| {
        let mut director = director(3);
        director.run("--set 900 120 30000").unwrap();
        for n in 0..2_000 {
            for _ in 0..packets {
                let _ = send(&mut director, START, udp(&format!("198.51.100.1:{}", 1000 + n), "192.0.2.10:53").build());
            }
        }
        advance(&mut director, START + Duration::from_secs(90), 1_000_000);
        director.set_tunable("drop_entry", "3").unwrap();
        for second in 0..=20 {
            advance(&mut director, START + Duration::from_secs(90 + second), 1_000_000);
        }
        director.connection_count()
    };
    let (one, two, eight, nine) = (left(1), left(2), left(8), left(9));
    assert!(one < two && two < eight && eight < nine, "{one} {two} {eight} {nine}");
    assert!((950..1200).contains(&one), "{one}: some half of them was looked at in 20 seconds");
    assert_eq!(nine, 2_000);
}

#[test]
fn automatic_modes_follow_the_memory_each_second() {
    let mut director = director(3);
    for name in ["drop_entry", "drop_packet", "secure_tcp"] {
        director.set_tunable(name, "1").unwrap();
    }
    let modes = |director: &Director| {
        let tunables = director.tunables();
        [tunables.drop_entry, tunables.drop_packet, tunables.secure_tcp]
    };
    advance(&mut director, START, 100);
    assert_eq!(modes(&director), [1, 1, 1]);
    director.set_available_memory(0);
    assert_eq!(modes(&director), [1, 1, 1], "until the second is over");
    advance(&mut director, START + Duration::from_secs(1), 100);
    assert_eq!(modes(&director), [2, 2, 2]);
    let syn = tcp("198.51.100.1:1000", "192.0.2.10:80").syn().build();
    let verdict = send(&mut director, START + Duration::from_secs(1), syn.clone());
    assert_eq!(verdict, Verdict::Drop(DropReason::DropPacket), "no memory at all: every one");
    director.set_available_memory(1 << 20);
    advance(&mut director, START + Duration::from_secs(2), 100);
    assert_eq!(modes(&director), [1, 1, 1]);
    assert!(matches!(send(&mut director, START + Duration::from_secs(2), syn), Verdict::Forward(_)));
}

#[test]
fn a_defence_that_is_off_wakes_nobody() {
    let mut director = Director::new(Config::with_seed(7)).unwrap();
    assert_eq!(director.next_deadline(), None);
    director.set_tunable("drop_entry", "1").unwrap();
    assert!(director.next_deadline().is_some());
    director.set_tunable("drop_entry", "0").unwrap();
    assert_eq!(director.next_deadline(), None);
}

#[test]
fn seconds_are_counted_from_the_first_defence_that_is_switched_on() {
    let mut director = director(3);
    let at = |millis| START + Duration::from_millis(millis);
    advance(&mut director, at(300), 100);
    director.set_tunable("drop_packet", "1").unwrap();
    advance(&mut director, at(800), 100);
    director.set_tunable("secure_tcp", "1").unwrap();
    director.set_available_memory(0);
    advance(&mut director, at(1_299), 100);
    assert_eq!((director.tunables().drop_packet, director.tunables().secure_tcp), (1, 1));
    advance(&mut director, at(1_300), 100);
    assert_eq!((director.tunables().drop_packet, director.tunables().secure_tcp), (2, 2));
}

#[test]
fn of_a_long_sleep_the_last_1024_seconds_are_made_up_for() {
    let looks_after = |seconds: u64| {
        let mut director = director(3);
        director.run("-E -t 192.0.2.10:80 -s rr -p 2000000").unwrap();
        // A template that is there to stay: a handshake was completed under it.
        for packet in [
            tcp("198.51.100.1:1000", "192.0.2.10:80").syn(),
            tcp("10.0.0.1:80", "198.51.100.1:1000").flags(0x12),
            tcp("198.51.100.1:1000", "192.0.2.10:80").flags(0x10),
        ] {
            assert!(matches!(send(&mut director, START, packet.build()), Verdict::Forward(_)));
        }
        director.set_tunable("drop_entry", "3").unwrap();
        let mut calls = 0;
        while director.advance(START + Duration::from_secs(seconds), 1).more {
            calls += 1;
        }
        assert_eq!(director.connection_count(), 1);
        calls
    };
    // A look at each of a second's 128 buckets, of which the last needs no further call, and little else.
    let (all, most, no_more) = (looks_after(1_000), looks_after(2_000), looks_after(1_000_000));
    assert!((1_000 * 127..1_020 * 127).contains(&all), "{all}");
    for looks in [most, no_more] {
        assert!((1_024 * 127..1_060 * 127).contains(&looks), "{looks}");
    }
}
