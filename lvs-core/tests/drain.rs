//! Servers that go gently, connections that end before their time, and the events that tell of both.

use std::collections::BTreeMap;
use std::time::Duration;

use lvs_core::testkit::packets::{self, Builder};
use lvs_core::{
    Config, Director, Drain, DropReason, Event, Filter, Gone, Instant, Meta, Packet, Protocol, ReplyReason, Rest,
    ServerId, ServerState, Verdict,
};

const START: Instant = Instant::from_secs(100);
const VIP: &str = "192.0.2.10:80";

fn director(rules: &str) -> Director {
    let mut director = Director::new(Config { connections: 1000, events: 1000, ..Config::with_seed(7) }).unwrap();
    director.load(rules).unwrap();
    director
}

fn web(options: &str) -> Director {
    director(&format!("-A -t {VIP} -s rr{options}\n-a -t {VIP} -r 10.0.0.1:80 -m\n-a -t {VIP} -r 10.0.0.2:80 -m"))
}

fn names() -> Director {
    director(&format!("-A -u {VIP} -s rr\n-a -u {VIP} -r 10.0.0.1:80 -m\n-a -u {VIP} -r 10.0.0.2:80 -m"))
}

fn send(director: &mut Director, now: Instant, packet: Builder) -> (Verdict, Vec<u8>) {
    let bytes = packet.build();
    let mut buffer = [&[0; 64], &bytes[..]].concat();
    let mut packet = Packet::new(&mut buffer, 64, bytes.len()).unwrap();
    let verdict = director.process(now, &mut packet, Meta::default());
    (verdict, packet.bytes().to_vec())
}

fn client(port: u16) -> String {
    format!("198.51.100.9:{port}")
}

fn syn(director: &mut Director, now: Instant, port: u16) -> Verdict {
    send(director, now, packets::tcp(&client(port), VIP).syn()).0
}

fn query(director: &mut Director, now: Instant, port: u16) -> Verdict {
    send(director, now, packets::udp(&client(port), VIP)).0
}

fn server_of(verdict: Verdict) -> ServerId {
    match verdict {
        Verdict::Forward(out) => out.server.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// SYN, SYN-ACK, ACK; the server that got it.
fn establish(director: &mut Director, now: Instant, port: u16) -> ServerId {
    let server = server_of(syn(director, now, port));
    let end = director.server(server).unwrap().spec.address.to_string();
    let _ = send(director, now, packets::tcp(&end, &client(port)).flags(0x12));
    let _ = send(director, now, packets::tcp(&client(port), VIP).flags(0x10));
    server
}

fn settle(director: &mut Director, now: Instant) {
    while director.advance(now, 100).more {}
}

fn events(director: &mut Director) -> Vec<Event> {
    std::iter::from_fn(|| director.poll_event()).collect()
}

fn after(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

#[test]
fn a_draining_server_keeps_its_connections_and_gets_no_new_ones() {
    for scheduler in
        ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sed", "nq", "fo", "ovf", "twos", "mh", "sh -b sh-fallback"]
    {
        let mut director = director(&format!(
            "-A -t {VIP} -s {scheduler}\n-a -t {VIP} -r 10.0.0.1:80 -m -w 100\n-a -t {VIP} -r 10.0.0.2:80 -m -w 100"
        ));
        let drained = establish(&mut director, START, 1000);
        director.drain(drained, Drain::new()).unwrap();
        assert_eq!(director.server(drained).unwrap().state, ServerState::Draining { deadline: None });
        let mut refused = 0;
        for port in 1001..1040 {
            match syn(&mut director, START, port) {
                Verdict::Forward(out) => assert_ne!(out.server, Some(drained), "{scheduler}"),
                // Maglev without fallback refuses what falls to a server of weight 0, as the kernel does.
                _ => refused += 1,
            }
        }
        assert!(refused == 0 || scheduler == "mh", "{scheduler}");
        let (verdict, _) = send(&mut director, START, packets::tcp(&client(1000), VIP).flags(0x18).payload(b"x"));
        assert_eq!(server_of(verdict), drained, "{scheduler}");
        director.undrain(drained).unwrap();
        // These remember where a client's address goes, or have one favourite.
        if !["lblc", "lblcr", "fo"].contains(&scheduler) {
            let comes_back = (1040..1099).any(|port| server_of(syn(&mut director, START, port)) == drained);
            assert!(comes_back, "{scheduler}");
        }
        assert_eq!(director.server(drained).unwrap().spec.weight, 100);
    }
}

#[test]
fn the_last_connection_is_told_of_once() {
    let mut director = web("");
    let server = establish(&mut director, START, 1000);
    director.drain(server, Drain::new()).unwrap();
    settle(&mut director, after(899));
    assert!(!events(&mut director).iter().any(|event| matches!(event, Event::Drained { .. })));
    assert!(director.next_deadline() <= Some(after(900)));
    settle(&mut director, after(901));
    assert_eq!(events(&mut director).last(), Some(&Event::Drained { server, removed: false }));
    assert_eq!(director.server(server).unwrap().state, ServerState::Drained);
    settle(&mut director, after(9000));
    assert_eq!(events(&mut director), []);
    assert_eq!(director.services()[0].servers.len(), 2, "nobody wanted it removed");
}

#[test]
fn an_idle_server_is_drained_at_once_and_can_come_back() {
    let mut director = web("");
    let server = director.services()[0].servers[0].id;
    director.drain(server, Drain::new().then_remove()).unwrap();
    assert_eq!(events(&mut director), [Event::Drained { server, removed: true }]);
    assert_eq!(director.server(server).unwrap().state, ServerState::Removed);
    assert!(director.drain(server, Drain::new()).is_err() && director.undrain(server).is_err());
    director.run(&format!("-a -t {VIP} -r 10.0.0.2:80 -m -w 7")).unwrap();
    assert_eq!(director.server(server).unwrap().state, ServerState::Active);
    assert!((1..9).any(|port| server_of(syn(&mut director, START, port)) == server));
}

#[test]
fn at_the_deadline_the_rest_is_kept() {
    let mut director = web("");
    let server = establish(&mut director, START, 1000);
    director.drain(server, Drain::new().until(after(60), Rest::Keep).then_remove()).unwrap();
    let _ = events(&mut director);
    assert_eq!(director.next_deadline().map(|at| at <= after(60)), Some(true));
    settle(&mut director, after(60));
    assert_eq!(events(&mut director), [Event::DrainDeadline { server, left: 1 }]);
    let (verdict, _) = send(&mut director, after(61), packets::tcp(&client(1000), VIP).flags(0x10));
    assert_eq!(server_of(verdict), server);
    settle(&mut director, after(1000));
    assert_eq!(events(&mut director).last(), Some(&Event::Drained { server, removed: true }));
}

#[test]
fn at_the_deadline_the_rest_is_dropped_in_both_directions() {
    let mut director = web("");
    let server = establish(&mut director, START, 1000);
    director.drain(server, Drain::new().until(after(60), Rest::Drop)).unwrap();
    settle(&mut director, after(60));
    let end = director.server(server).unwrap().spec.address.to_string();
    for packet in [packets::tcp(&client(1000), VIP).flags(0x10), packets::tcp(&end, &client(1000)).flags(0x10)] {
        let sent = packet.build();
        let (verdict, bytes) = send(&mut director, after(61), packet);
        assert_eq!((verdict, bytes), (Verdict::Drop(DropReason::Drained), sent));
    }
    assert_eq!(director.reasons().dropped(DropReason::Drained), 2);
    // It closes: the client is free to begin anew, and what is left is gone soon.
    assert_ne!(server_of(syn(&mut director, after(62), 1000)), server);
    let _ = events(&mut director);
    settle(&mut director, after(72));
    assert!(events(&mut director).contains(&Event::Drained { server, removed: false }));
}

#[test]
fn packets_do_not_prolong_a_connection_that_was_cut_off() {
    let mut director = names();
    let server = server_of(query(&mut director, START, 1000));
    director.drain(server, Drain::new().until(after(60), Rest::Drop)).unwrap();
    settle(&mut director, after(60));
    for second in 60..70 {
        assert_eq!(query(&mut director, after(second), 1000), Verdict::Drop(DropReason::Drained));
    }
    assert_ne!(server_of(query(&mut director, after(70), 1000)), server);
}

#[test]
fn at_the_deadline_the_rest_is_reset() {
    let mut director = web("");
    let server = establish(&mut director, START, 1000);
    director.drain(server, Drain::new().until(after(60), Rest::Reset)).unwrap();
    settle(&mut director, after(60));
    let data = packets::tcp(&client(1000), VIP).flags(0x18).payload(b"hello");
    let (verdict, bytes) = send(&mut director, after(61), data);
    let Verdict::Reply(reply) = verdict else { panic!("{verdict:?}") };
    assert_eq!((reply.reason, reply.next_hop.to_string().as_str()), (ReplyReason::Reset, "198.51.100.9"));
    let sliced = etherparse::SlicedPacket::from_ip(&bytes).unwrap();
    let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
    assert!(tcp.rst() && !tcp.ack() && (tcp.source_port(), tcp.destination_port()) == (80, 1000));
    let Some(etherparse::NetSlice::Ipv4(ip)) = sliced.net else { panic!("no IPv4") };
    let header = ip.header();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv4(header.source(), header.destination()).unwrap());
    // The server gets one, too, as its client; and a reset draws none.
    let end = director.server(server).unwrap().spec.address.to_string();
    let (verdict, bytes) = send(&mut director, after(62), packets::tcp(&end, &client(1000)).flags(0x10));
    assert!(matches!(verdict, Verdict::Reply(reply) if reply.next_hop.to_string() == end[..end.len() - 3]));
    assert_eq!(bytes[12..16], [198, 51, 100, 9]);
    let (verdict, _) = send(&mut director, after(62), packets::tcp(&end, &client(1000)).flags(0x04));
    assert_eq!(verdict, Verdict::Drop(DropReason::Drained));
    assert_ne!(server_of(syn(&mut director, after(63), 1000)), server, "a new connection is no part of the rest");
}

#[test]
fn a_reset_acknowledges_what_does_not_acknowledge() {
    let mut director = director("-A -t [2001:db8::1]:80 -s rr\n-a -t [2001:db8::1]:80 -r [fd00::1]:80 -m");
    let from = "[2001:db8:9::1]:4000";
    let opening = || packets::tcp(from, "[2001:db8::1]:80");
    let server = server_of(send(&mut director, START, opening().syn()).0);
    director.drain(server, Drain::new().until(START, Rest::Reset).then_remove()).unwrap();
    settle(&mut director, START);
    assert_eq!(events(&mut director).last(), Some(&Event::Drained { server, removed: true }));
    let (verdict, bytes) = send(&mut director, START, opening().flags(0x01).payload(b"abc"));
    assert!(matches!(verdict, Verdict::Reply(reply) if reply.reason == ReplyReason::Reset), "{verdict:?}");
    let sliced = etherparse::SlicedPacket::from_ip(&bytes).unwrap();
    let (Some(etherparse::TransportSlice::Tcp(tcp)), Some(etherparse::NetSlice::Ipv6(ip))) =
        (sliced.transport, sliced.net)
    else {
        panic!("no TCP over IPv6")
    };
    assert!(tcp.rst() && tcp.ack() && tcp.sequence_number() == 0);
    let sent = opening().flags(0x01).payload(b"abc").build();
    let sequence = u32::from_be_bytes(sent[44..48].try_into().unwrap());
    assert_eq!(tcp.acknowledgment_number(), sequence.wrapping_add(4), "three bytes and a FIN");
    assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()).unwrap());
}

#[test]
fn other_protocols_are_told_that_the_port_is_unreachable() {
    let mut director = names();
    let server = server_of(query(&mut director, START, 1000));
    director.drain(server, Drain::new().until(after(60), Rest::Reset)).unwrap();
    settle(&mut director, after(60));
    let (verdict, bytes) = send(&mut director, after(61), packets::udp(&client(1000), VIP).payload(b"?"));
    assert!(matches!(verdict, Verdict::Reply(reply) if reply.reason == ReplyReason::Drained));
    assert_eq!((bytes[9], &bytes[20..22]), (1, &[3, 3][..]));
    let end = director.server(server).unwrap().spec.address.to_string();
    let (verdict, _) = send(&mut director, after(61), packets::udp(&end, &client(1000)));
    assert_eq!(verdict, Verdict::Drop(DropReason::Drained));
}

#[test]
fn persistent_clients_leave_unless_they_may_stay() {
    for keeps in [false, true] {
        let mut director = web(" -p 300");
        let server = establish(&mut director, START, 1000);
        let how = if keeps { Drain::new().keep_templates() } else { Drain::new() };
        director.drain(server, how).unwrap();
        assert_eq!(server_of(syn(&mut director, after(1), 1001)) == server, keeps);
        // The connections of the first end; its template lives on.
        assert_eq!(
            director.flush(&Filter::server(server).protocol(Protocol::Tcp).state("ESTABLISHED").unwrap()).unwrap(),
            1
        );
        let is_drained = |director: &Director| director.server(server).unwrap().state == ServerState::Drained;
        assert_eq!(is_drained(&director), !keeps);
        settle(&mut director, after(2000));
        assert!(is_drained(&director));
    }
}

#[test]
fn a_new_deadline_and_other_choices_replace_the_old_ones() {
    let mut director = web("");
    let server = establish(&mut director, START, 1000);
    director.drain(server, Drain::new().until(after(10), Rest::Drop)).unwrap();
    settle(&mut director, after(10));
    director.drain(server, Drain::new().until(after(50), Rest::Keep)).unwrap();
    assert_eq!(director.server(server).unwrap().state, ServerState::Draining { deadline: Some(after(50)) });
    let (verdict, _) = send(&mut director, after(11), packets::tcp(&client(1000), VIP).flags(0x10));
    assert_eq!(server_of(verdict), server);
    let deadlines = |events: Vec<Event>| events.iter().filter(|e| matches!(e, Event::DrainDeadline { .. })).count();
    settle(&mut director, after(49));
    assert_eq!(deadlines(events(&mut director)), 1);
    settle(&mut director, after(50));
    assert_eq!(deadlines(events(&mut director)), 1);
}

#[test]
fn rules_go_on_while_a_server_is_drained() {
    let mut director = web("");
    let server = establish(&mut director, START, 1000);
    director.drain(server, Drain::new()).unwrap();
    let saved = director.save();
    assert!(director.apply(&saved).unwrap().is_unchanged());
    let address = director.server(server).unwrap().spec.address;
    director.run(&format!("-e -t {VIP} -r {address} -m -w 9")).unwrap();
    assert!((1..20).all(|port| server_of(syn(&mut director, START, port)) != server), "still draining");
    director.undrain(server).unwrap();
    assert_eq!(director.server(server).unwrap().spec.weight, 9);
    // Removed while it is drained, and added again: it is as new.
    director.drain(server, Drain::new().until(after(5), Rest::Drop)).unwrap();
    director.run(&format!("-d -t {VIP} -r {address}")).unwrap();
    director.run(&format!("-a -t {VIP} -r {address} -m")).unwrap();
    settle(&mut director, after(6));
    let (verdict, _) = send(&mut director, after(6), packets::tcp(&client(1000), VIP).flags(0x10));
    assert_eq!(server_of(verdict), server);
}

#[test]
fn flush_ends_what_is_meant_and_nothing_else() {
    let mut director = director(&format!(
        "-A -t {VIP} -s rr -p 60\n-a -t {VIP} -r 10.0.0.1:80 -m\n-a -t {VIP} -r 10.0.0.2:80 -m\n\
         -A -u {VIP} -s rr\n-a -u {VIP} -r 10.0.0.1:80 -m\n-a -u {VIP} -r 10.0.0.2:80 -m"
    ));
    for net in 0..4u8 {
        for port in 1..5u16 {
            let from = format!("198.51.{net}.{port}:1000");
            let _ = send(&mut director, START, packets::tcp(&from, VIP).syn());
            let _ = send(&mut director, START, packets::udp(&from, VIP));
        }
    }
    // A connection and a template each, and a flow.
    assert_eq!(director.connection_count(), 48);
    let count = |director: &Director| director.connection_count();
    assert_eq!(director.flush(&Filter::all().state("SYN_SENT").unwrap()), Ok(0));
    assert_eq!(director.flush(&Filter::all().client("198.51.0.0".parse().unwrap(), 24)), Ok(12));
    assert_eq!(director.flush(&Filter::all().client("2001:db8::".parse().unwrap(), 0)), Ok(0));
    let udp = director.services().iter().find(|s| s.spec.key.to_string().starts_with("UDP")).unwrap().id;
    assert_eq!(director.flush(&Filter::service(udp).client("198.51.1.0".parse().unwrap(), 24)), Ok(4));
    assert_eq!(director.flush(&Filter::service(udp)), Ok(8));
    let tcp = director.services().iter().find(|s| s.id != udp).unwrap().clone();
    assert_eq!(count(&director), 24);
    assert_eq!(director.flush(&Filter::server(tcp.servers[0].id).state("SYN_RECV").unwrap()), Ok(6));
    assert_eq!(director.flush(&Filter::server(tcp.servers[0].id)), Ok(6), "templates");
    director.run(&format!("-D -t {VIP}")).unwrap();
    assert!(director.flush(&Filter::service(tcp.id)).is_err());
    assert_eq!(director.flush(&Filter::server(tcp.servers[1].id)), Ok(12), "a removed server is still known");
    assert_eq!(count(&director), 0);
    let gone = events(&mut director).iter().filter(|e| matches!(e, Event::Gone(_, Gone::Flushed))).count();
    assert_eq!(gone, 48);
}

#[test]
fn flushing_in_parts_comes_to_the_same() {
    let mut director = web(" -p 60");
    (1..100).for_each(|n| {
        let _ = send(&mut director, START, packets::tcp(&format!("198.51.100.{n}:9"), VIP).syn());
    });
    let (mut place, mut ended, mut calls) = (0, 0, 0);
    loop {
        let flushed = director.flush_some(&Filter::all(), &mut place, 7).unwrap();
        (ended, calls) = (ended + flushed.ended, calls + 1);
        if !flushed.more {
            break;
        }
    }
    assert_eq!((ended, director.connection_count()), (198, 0));
    assert!(calls >= 198 / 7);
}

#[test]
fn overload_is_told_when_it_begins_and_ends() {
    let mut director = director(&format!("-A -u {VIP} -s rr\n-a -u {VIP} -r 10.0.0.1:80 -m -x 3 -y 2"));
    let server = director.services()[0].servers[0].id;
    (1..4).for_each(|port| {
        let _ = query(&mut director, START, port);
    });
    assert_eq!(events(&mut director).last(), Some(&Event::Overloaded(server)));
    director.flush(&Filter::all()).unwrap();
    let told: Vec<Event> = events(&mut director);
    assert_eq!(told.iter().filter(|event| **event == Event::Relieved(server)).count(), 1);
    (1..4).for_each(|port| {
        let _ = query(&mut director, START, port);
    });
    director.run(&format!("-e -u {VIP} -r 10.0.0.1:80 -m -x 0")).unwrap();
    assert_eq!(events(&mut director).last(), Some(&Event::Relieved(server)));
}

#[test]
fn connections_are_told_of_from_the_beginning_to_the_end() {
    let mut director = web("");
    director.set_tunable("expire_nodest_conn", "1").unwrap();
    let first = establish(&mut director, START, 1000);
    let end = director.server(first).unwrap().spec.address.to_string();
    let _ = send(&mut director, START, packets::tcp(&end, &client(1000)).flags(0x04));
    let second = server_of(syn(&mut director, START, 1000));
    let removed = director.server(second).unwrap().spec.address;
    director.run(&format!("-d -t {VIP} -r {removed}")).unwrap();
    let told: Vec<(Option<ServerId>, Option<Gone>)> = events(&mut director)
        .into_iter()
        .filter_map(|event| match event {
            Event::Made(connection) => Some((connection.server_id, None)),
            Event::Gone(connection, why) => Some((connection.server_id, Some(why))),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some(first), None),
            (Some(second), None),
            (Some(first), Some(Gone::Replaced)),
            (Some(second), Some(Gone::ServerGone))
        ]
    );
}

#[test]
fn what_finds_no_room_among_the_events_is_counted() {
    let mut director = Director::new(Config { events: 3, ..Config::with_seed(7) }).unwrap();
    director.load(&format!("-A -u {VIP} -s rr\n-a -u {VIP} -r 10.0.0.1:80 -m")).unwrap();
    (1..11).for_each(|port| {
        let _ = query(&mut director, START, port);
    });
    assert_eq!((events(&mut director).len(), director.missed_events()), (3, 7));
    let mut silent = Director::new(Config::with_seed(7)).unwrap();
    silent.load(&format!("-A -u {VIP} -s rr\n-a -u {VIP} -r 10.0.0.1:80 -m")).unwrap();
    let _ = query(&mut silent, START, 1);
    assert_eq!((silent.poll_event(), silent.missed_events()), (None, 0));
}

#[test]
fn events_add_up_to_the_connections_there_are() {
    let mut director = web(" -p 60");
    let (mut there, mut most): (BTreeMap<_, bool>, usize) = (BTreeMap::new(), 0);
    for n in 0..500u16 {
        let from = format!("198.51.100.{}:{}", n % 9 + 1, 1000 + n % 50);
        let now = after(u64::from(n) * 3);
        let flags = [2, 0x10, 0x11, 4][usize::from(n / 50 % 4)];
        let _ = send(&mut director, now, packets::tcp(&from, VIP).flags(flags));
        settle(&mut director, now);
        for event in events(&mut director) {
            match event {
                Event::Made(connection) => assert_eq!(there.insert(connection.id, connection.is_template), None),
                Event::Gone(connection, _) => assert_eq!(there.remove(&connection.id), Some(connection.is_template)),
                _ => {}
            }
        }
        assert_eq!(there.len(), director.connection_count());
        most = most.max(there.len());
    }
    assert!(most > 20);
}
