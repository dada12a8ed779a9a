//! Packets that arrive in parts, in any order.

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{CLIENTS, Families, SERVERS, virtual_address};
use crate::scenarios::packet::{self, Head};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::{Flow, Traffic};

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let mtu = script.dice.pick(&[1500, 1500, 1400, 1280]);
    script.narrow_network(Families::Both, mtu);
    let v6 = script.dice.chance(50);
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Udp, 53), (Protocol::Tcp, 80), (Protocol::Sctp, 3868)] {
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let method = farm::method(&mut script.dice);
        let mut service = Service::new(target, "rr").method(method, 8080);
        service.add_with_servers(script, 2);
        services.push(service);
    }
    let mut traffic = Traffic::from_networks(2);
    for n in 0..script.dice.from(7, 11) {
        let service = script.dice.weighted(&[(4, 0), (3, 1), (1, 2)]);
        let mut flow = traffic.flow(&mut script.dice, &services[service]);
        if script.dice.chance(70) {
            flow.establish(script);
        }
        for m in 0..script.dice.from(1, 4) {
            in_parts(script, &flow, n * 8 + m + 1);
        }
        if script.dice.chance(25) {
            script.look_at_connections();
        }
    }
    script.listen(std::time::Duration::from_millis(4500));
    script.run("-Ln --stats");
}

/// A packet of either side, in parts.
fn in_parts(script: &mut Script, flow: &Flow, identification: u32) {
    let server = flow.reached.and_then(|step| script.sent(step)).filter(|sent| sent.is_plain()).cloned();
    let server = server.and_then(|sent| Head::read(&sent.packet)?.receiver(&sent.packet));
    let (interface, packet) = match server {
        Some(server) if script.dice.chance(35) => (SERVERS, Builder::new(flow.protocol, server, flow.client)),
        _ => (CLIENTS, flow.packet()),
    };
    let len = script.dice.from(20, 2400) as usize;
    let body = script.dice.bytes(len);
    let ttl = script.dice.weighted(&[(8, 64), (1, 2), (1, 1)]);
    let packet = packet.payload(&body).flags(0x18).chunk(0).ttl(ttl);
    let whole = if script.dice.chance(85) { packet.may_fragment().build() } else { packet.build() };
    let part = script.dice.pick(&[1400, 1232, 1000, 600, 304]);
    let mut parts = packet::fragments(&whole, part, identification);
    if script.dice.chance(40) {
        parts = script.dice.shuffled(parts);
    }
    for part in parts {
        script.send(interface, &part);
    }
}
