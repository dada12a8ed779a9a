//! ICMP errors about the packets of connections, from every side.

use std::net::IpAddr;

use lvs_core::Protocol;

use crate::scenarios::farm::{Service, Target};
use crate::scenarios::network::{CLIENTS, Families, SERVERS, client_address, virtual_address};
use crate::scenarios::packet::{self, Answer, Head};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::{Flow, Traffic};

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    if script.dice.chance(40) {
        script.tune("schedule_icmp", 1);
    }
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, 3868)] {
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let method = script.dice.weighted(&[(3, "-m".to_string()), (1, "-g".into()), (1, "-i".into())]);
        let mut service = Service::new(target, "rr").method(method, 8080);
        service.add_with_servers(script, 2);
        services.push(service);
    }
    let mut traffic = Traffic::default();
    for _ in 0..script.dice.from(5, 9) {
        let service = script.dice.weighted(&[(3, 0), (3, 1), (1, 2)]);
        let mut flow = traffic.flow(&mut script.dice, &services[service]);
        flow.establish(script);
        for _ in 0..script.dice.from(2, 5) {
            match script.dice.from(0, 9) {
                0..4 => about_a_request(script, &flow, v6),
                4..8 => about_a_reply(script, &flow, v6),
                8 => about_nothing(script, &services[service], v6),
                _ => ping(script, v6),
            }
        }
        if script.dice.chance(40) {
            script.look_at_connections();
        }
    }
    script.listen(std::time::Duration::from_millis(4500));
    script.run("-Ln --stats");
}

/// Type and code of an error, or of something else.
fn kind(script: &mut Script, v6: bool) -> ([u8; 2], u32) {
    let dice = &mut script.dice;
    let mtu = dice.pick(&[1280, 1400, 576, 0]);
    if v6 {
        dice.pick(&[
            ([1, 0], 0),
            ([1, 4], 0),
            ([1, 3], 0),
            ([2, 0], mtu),
            ([3, 0], 0),
            ([3, 1], 0),
            ([4, 1], 6),
            ([100, 0], 0),
        ])
    } else {
        dice.pick(&[
            ([3, 0], 0),
            ([3, 1], 0),
            ([3, 3], 0),
            ([3, 4], mtu),
            ([11, 0], 0),
            ([11, 1], 0),
            ([4, 0], 0),
            ([5, 1], 0),
            ([12, 0], 0),
        ])
    }
}

/// How much of the packet is quoted.
fn quote(script: &mut Script, v6: bool) -> usize {
    let head = if v6 { 40 } else { 20 };
    head + script.dice.pick(&[8, 8, 12, 28, 4, 3, 100])
}

/// The server, or a router before it, cannot take the client's packet.
fn about_a_request(script: &mut Script, flow: &Flow, v6: bool) {
    let (kind, rest) = kind(script, v6);
    let quote = quote(script, v6);
    let router: IpAddr = if v6 { "fd00::fe".parse() } else { "10.0.0.254".parse() }.expect("an address");
    let from = script.dice.chance(25).then_some(router);
    flow.answer(script, &Answer::Icmp { kind, rest, quote, from });
}

/// The client, or a router before it, cannot take the server's reply.
fn about_a_reply(script: &mut Script, flow: &Flow, v6: bool) {
    let (kind, rest) = kind(script, v6);
    let reply = flow.packet_back().flags(0x18).payload(b"reply").ttl(60).build();
    let quoted = &reply[..reply.len().min(quote(script, v6))];
    let router = client_address(v6, 3, 99);
    let source = if script.dice.chance(30) { router } else { flow.client.ip() };
    let mut error = packet::icmp(source, flow.target.ip(), kind, rest, quoted);
    let ttl_at = if v6 { 7 } else { 8 };
    error[ttl_at] = script.dice.weighted(&[(8, 64), (1, 2), (1, 1)]);
    packet::mend(&mut error);
    if script.dice.chance(10) {
        let checksum_at = if v6 { 42 } else { 22 };
        error[checksum_at] ^= 0x11;
    }
    script.send(CLIENTS, &error);
}

/// An error about a packet that no connection sent.
fn about_nothing(script: &mut Script, service: &Service, v6: bool) {
    let Target::Address(protocol, address, port) = service.target else { return };
    let (kind, rest) = kind(script, v6);
    let to = (client_address(v6, 1, 8), script.dice.port(30000, 30100)).into();
    let sent = Flow::new(protocol, to, (address, port).into()).packet_back().flags(0x10).build();
    let quoted = &sent[..sent.len().min(quote(script, v6))];
    let head = Head::read(&sent).expect("a packet of our own");
    if script.dice.chance(70) {
        script.send(CLIENTS, &packet::icmp(head.destination, head.source, kind, rest, quoted));
    } else {
        script.send(SERVERS, &packet::icmp(head.source, head.destination, kind, rest, quoted));
    }
}

/// A ping, which is the host's.
fn ping(script: &mut Script, v6: bool) {
    let kind = if v6 { [128, 0] } else { [8, 0] };
    script.send(CLIENTS, &packet::icmp(client_address(v6, 0, 5), virtual_address(v6, 0), kind, 0x0007_0001, b"ping"));
}
