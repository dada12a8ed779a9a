//! A full connection table: what goes for a new connection, and what never does.

use lvs_core::testkit::packets;
use lvs_core::{
    Admission, Config, ConnId, Director, DropReason, Evictions, Instant, Meta, Packet, PassReason, Protocol, Verdict,
};

const ROOM: usize = 64;
const VIP: &str = "192.0.2.10:80";

fn director(connections: usize, admission: Admission, rules: &str) -> Director {
    let mut director = Director::new(Config { connections, admission, ..Config::with_seed(7) }).unwrap();
    director.load(rules).unwrap();
    director
}

fn web(connections: usize, admission: Admission) -> Director {
    director(connections, admission, "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -m")
}

fn send(director: &mut Director, now: Instant, bytes: &[u8]) -> Verdict {
    let mut buffer = [&[0; ROOM], bytes].concat();
    let mut packet = Packet::new(&mut buffer, ROOM, bytes.len()).unwrap();
    let expected = director.explain(now, &packet, Meta::default());
    let verdict = director.process(now, &mut packet, Meta::default());
    if let Some(Verdict::Drop(reason)) = expected.verdict {
        assert_eq!(verdict, Verdict::Drop(reason), "{expected}");
    } else {
        assert_ne!(verdict, Verdict::Drop(DropReason::TableFull), "{expected}");
    }
    verdict
}

fn opened(verdict: Verdict) -> Option<ConnId> {
    match verdict {
        Verdict::Forward(out) => out.connection,
        _ => None,
    }
}

fn is_full(verdict: Verdict) -> bool {
    verdict == Verdict::Drop(DropReason::TableFull)
}

fn attacker(n: u32) -> String {
    let [_, a, b, c] = n.to_be_bytes();
    format!("100.{a}.{b}.{c}:{}", 1024 + n % 60_000)
}

fn syn(client: &str) -> Vec<u8> {
    packets::tcp(client, VIP).syn().build()
}

/// A flood of SYNs from ever new addresses, and now and then a client that means it: its handshake takes as long as
/// 200 packets of the flood. Returns how many of 100 clients were admitted and are still connected at the end.
fn clients_through_a_flood(admission: Admission) -> (usize, Director) {
    let mut director = web(1_000, admission);
    let mut sent = 0;
    let mut flood = |director: &mut Director, count: u32| {
        for _ in 0..count {
            sent += 1;
            let _ = send(director, Instant::from_millis(u64::from(sent) / 10), &syn(&attacker(sent)));
        }
        Instant::from_millis(u64::from(sent) / 10)
    };
    flood(&mut director, 1_000);
    let mut connected = Vec::new();
    for n in 0..100 {
        let client = format!("198.51.100.{n}:40000");
        let now = flood(&mut director, 100);
        let opened = opened(send(&mut director, now, &syn(&client)));
        let now = flood(&mut director, 100);
        let _ = send(&mut director, now, &packets::tcp("10.0.0.1:80", &client).flags(0x12).build());
        let now = flood(&mut director, 100);
        let _ = send(&mut director, now, &packets::tcp(&client, VIP).flags(0x10).build());
        connected.extend(opened);
    }
    flood(&mut director, 5_000);
    let established = |id: &&ConnId| director.connection(**id).is_some_and(|view| view.state == "ESTABLISHED");
    (connected.iter().filter(established).count(), director)
}

#[test]
fn a_flood_of_syns_shuts_clients_out_unless_half_open_connections_go() {
    let (connected, director) = clients_through_a_flood(Admission::Refuse);
    assert_eq!((connected, director.evictions()), (0, Evictions::default()));
    assert!(director.reasons().dropped(DropReason::TableFull) > 10_000);

    let (connected, director) = clients_through_a_flood(Admission::EvictHalfOpen);
    assert_eq!(connected, 100);
    assert_eq!(director.reasons().dropped(DropReason::TableFull), 0);
    assert!(director.evictions().half_open > 30_000);
    assert_eq!((director.evictions().expired, director.evictions().single), (0, 0));
}

#[test]
fn established_connections_never_go() {
    let mut director = web(100, Admission::EvictHalfOpenAndSingle);
    let now = Instant::from_secs(1);
    let mut ids = Vec::new();
    for n in 0..100 {
        let client = format!("198.51.100.{n}:40000");
        ids.extend(opened(send(&mut director, now, &syn(&client))));
        let _ = send(&mut director, now, &packets::tcp(&client, VIP).flags(0x10).build());
    }
    for n in 0..200 {
        assert!(is_full(send(&mut director, now, &syn(&attacker(n)))));
    }
    assert!(ids.len() == 100 && ids.iter().all(|&id| director.connection(id).is_some()));
    assert_eq!(director.evictions(), Evictions::default());
}

#[test]
fn what_has_expired_makes_room_before_advance_takes_it_away() {
    let mut director = web(100, Admission::Refuse);
    for n in 0..100 {
        assert!(opened(send(&mut director, Instant::from_secs(1), &syn(&attacker(n)))).is_some());
    }
    assert!(is_full(send(&mut director, Instant::from_millis(60_999), &syn(&attacker(200)))));
    for n in 100..200 {
        assert!(opened(send(&mut director, Instant::from_secs(61), &syn(&attacker(n)))).is_some());
    }
    assert!(is_full(send(&mut director, Instant::from_secs(61), &syn(&attacker(201)))));
    assert_eq!(director.evictions(), Evictions { expired: 100, ..Evictions::default() });
    assert_eq!(director.services()[0].servers[0].inactive + director.services()[0].servers[0].active, 100);
}

#[test]
fn a_single_expired_one_is_found_by_and_by() {
    let mut director = web(1_000, Admission::Refuse);
    for n in 0..1_000 {
        let client = attacker(n);
        let now = Instant::from_millis(u64::from(n));
        let _ = send(&mut director, now, &syn(&client));
        if n != 700 {
            let _ = send(&mut director, now, &packets::tcp(&client, VIP).flags(0x10).build());
        }
    }
    let now = Instant::from_secs(100);
    let refused = (2_000..).take_while(|&n| is_full(send(&mut director, now, &syn(&attacker(n))))).count();
    assert_eq!(refused, 700 / 32, "32 looks for each");
}

#[test]
fn the_work_for_one_packet_is_bounded() {
    // One half-open connection among many: only the packet that comes to it is admitted.
    let mut director = web(1_000, Admission::EvictHalfOpen);
    let now = Instant::from_secs(1);
    for n in 0..1_000 {
        let _ = send(&mut director, now, &syn(&attacker(n)));
        if n != 500 {
            let _ = send(&mut director, now, &packets::tcp(&attacker(n), VIP).flags(0x10).build());
        }
    }
    let refused = (2_000..).take_while(|&n| is_full(send(&mut director, now, &syn(&attacker(n))))).count();
    assert_eq!(refused, 500 / 32);
}

#[test]
fn udp_flows_of_one_packet_go_only_if_that_is_wanted() {
    let rules = "-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m";
    for (admission, singles) in [(Admission::EvictHalfOpen, 0), (Admission::EvictHalfOpenAndSingle, 50)] {
        let mut director = director(50, admission, rules);
        let now = Instant::from_secs(1);
        let query = |client: &str| packets::udp(client, "192.0.2.10:53").build();
        for n in 0..50 {
            assert!(opened(send(&mut director, now, &query(&attacker(n)))).is_some());
        }
        for n in 50..100 {
            let verdict = send(&mut director, now, &query(&attacker(n)));
            assert_eq!(is_full(verdict), singles == 0, "{admission:?}");
            let _ = send(&mut director, now, &query(&attacker(n)));
        }
        assert_eq!(director.evictions(), Evictions { single: singles, ..Evictions::default() });
        // Each has sent two packets by now.
        assert!(is_full(send(&mut director, now, &query(&attacker(200)))));
    }
}

#[test]
fn associations_that_are_not_set_up_go() {
    let rules = "-A --sctp-service 192.0.2.10:3868 -s rr\n-a --sctp-service 192.0.2.10:3868 -r 10.0.0.1 -m";
    let mut director = director(10, Admission::EvictHalfOpen, rules);
    let now = Instant::from_secs(1);
    for n in 0..30 {
        let (client, virtual_) = (attacker(n).parse().unwrap(), "192.0.2.10:3868".parse().unwrap());
        let init = packets::Builder::new(Protocol::Sctp, client, virtual_).chunk(1).build();
        assert!(opened(send(&mut director, now, &init)).is_some());
    }
    assert_eq!(director.evictions(), Evictions { half_open: 20, ..Evictions::default() });
}

#[test]
fn a_clients_own_connection_does_not_pull_its_template_away() {
    // Every connection of the table is under one template: whatever goes, the template is needed.
    let rules = "-A -t 192.0.2.10:80 -s rr -p 300\n-a -t 192.0.2.10:80 -r 10.0.0.1 -m";
    let mut director = director(2, Admission::EvictHalfOpen, rules);
    let now = Instant::from_secs(1);
    assert!(opened(send(&mut director, now, &syn("198.51.100.1:1000"))).is_some());
    assert!(is_full(send(&mut director, now, &syn("198.51.100.1:1001"))));
    assert_eq!((director.connection_count(), director.evictions()), (2, Evictions::default()));
    // Another client needs room for two: the half-open one goes, and takes its template along.
    assert!(is_full(send(&mut director, now, &syn("198.51.100.2:1000"))));
    assert_eq!((director.connection_count(), director.evictions().half_open), (0, 1));
    assert!(opened(send(&mut director, now, &syn("198.51.100.2:1000"))).is_some());
    assert_eq!(director.connection_count(), 2);
}

#[test]
fn templates_that_a_flood_left_behind_go() {
    let rules = "-A -t 192.0.2.10:80 -s rr -p 3000\n-a -t 192.0.2.10:80 -r 10.0.0.1 -m";
    for (admission, admitted) in [(Admission::Refuse, 0), (Admission::EvictHalfOpen, 50)] {
        let mut director = director(100, admission, rules);
        for n in 0..50 {
            let _ = send(&mut director, Instant::from_secs(1), &syn(&attacker(n)));
        }
        let kept = opened(send(&mut director, Instant::from_secs(1), &syn("198.51.100.1:1"))).is_some();
        assert_eq!(kept, admission != Admission::Refuse);
        let _ = send(&mut director, Instant::from_secs(1), &packets::tcp("198.51.100.1:1", VIP).flags(0x10).build());
        let now = Instant::from_secs(100);
        while director.advance(now, 1_000).more {}
        for n in 1_000..1_100 {
            let _ = send(&mut director, now, &syn(&attacker(n)));
        }
        let opened = (2_000..2_050).filter(|&n| opened(send(&mut director, now, &syn(&attacker(n)))).is_some()).count();
        assert_eq!(opened, admitted, "{admission:?}");
        let assured = director.connections().filter(|view| view.state == "ASSURED").count();
        assert_eq!(assured, usize::from(kept), "what a client has established stays");
    }
}

#[test]
fn a_connection_that_is_to_end_with_its_packet_may_go_before() {
    // The server has weight 0, so that the SYN ends the old connection; the other server is to take the new one.
    let mut director = web(1, Admission::EvictHalfOpen);
    director.set_tunable("expire_nodest_conn", "1").unwrap();
    let now = Instant::from_secs(1);
    let old = opened(send(&mut director, now, &syn("198.51.100.1:1000"))).unwrap();
    director.load("-e -t 192.0.2.10:80 -r 10.0.0.1 -m -w 0\n-a -t 192.0.2.10:80 -r 10.0.0.2 -m").unwrap();
    let new = opened(send(&mut director, now, &syn("198.51.100.1:1000"))).unwrap();
    assert_eq!((director.connection(old), director.connection_count()), (None, 1));
    assert_eq!(director.connection(new).unwrap().server, "10.0.0.2:80".parse().unwrap());
    assert_eq!(director.reasons().passed(PassReason::ConnectionEnded), 0);
}

#[test]
fn the_setting_may_change_at_any_time() {
    let mut director = web(1, Admission::Refuse);
    let now = Instant::from_secs(1);
    assert!(opened(send(&mut director, now, &syn(&attacker(1)))).is_some());
    assert!(is_full(send(&mut director, now, &syn(&attacker(2)))));
    director.set_admission(Admission::EvictHalfOpen);
    assert!(opened(send(&mut director, now, &syn(&attacker(2)))).is_some());
    director.set_admission(Admission::Refuse);
    assert!(is_full(send(&mut director, now, &syn(&attacker(3)))));
}
