//! How packets leave: every method, every size around the MTU, every header field that is carried over.

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;

use crate::scenarios::dice::Dice;
use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{Families, SERVERS, virtual_address};
use crate::scenarios::packet::Head;
use crate::scenarios::script::Script;
use crate::scenarios::traffic::{Flow, Traffic};

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let mtu = script.dice.pick(&[1500, 1500, 1492, 1400, 1300, 1280]);
    script.narrow_network(Families::Both, mtu);
    if script.dice.chance(25) {
        script.tune("pmtu_disc", 0);
    }
    let v6 = script.dice.chance(50);
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, 3868)] {
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let method = farm::method(&mut script.dice);
        let is_tunnel = method.starts_with("-i");
        let changed = script.dice.pick(&[port, 8080]);
        let mut service = Service::new(target, "rr").method(method, changed);
        service.servers_v6 = if is_tunnel { script.dice.chance(50) } else { v6 };
        service.add_with_servers(script, 2);
        services.push(service);
    }
    let mut traffic = Traffic::from_networks(3);
    for _ in 0..script.dice.from(8, 13) {
        let service = script.dice.weighted(&[(4, 0), (3, 1), (1, 2)]);
        let mut flow = traffic.flow(&mut script.dice, &services[service]);
        if script.dice.chance(80) {
            flow.establish(script);
        }
        for _ in 0..script.dice.from(1, 4) {
            packet(script, &mut flow, mtu);
        }
    }
    script.look_at_connections();
    script.listen(std::time::Duration::from_millis(4500));
    script.run("-Ln --stats");
}

/// A packet of one of both sides, with something about it.
fn packet(script: &mut Script, flow: &mut Flow, mtu: u16) {
    let from_client = script.dice.chance(70);
    let plain = if from_client { flow.packet() } else { flow.packet_back() };
    let packet = dressed(&mut script.dice, plain, flow.client.is_ipv6(), mtu);
    let mut bytes = packet.build();
    if script.dice.chance(8) {
        let last = bytes.len() - 1;
        bytes[last] ^= 0x55; // A wrong transport checksum, or another window.
    }
    if from_client {
        flow.send(script, &bytes);
        return;
    }
    // The server's packet, from itself if the director is to translate it.
    let server = flow.reached.and_then(|step| script.sent(step)).filter(|sent| sent.is_plain()).cloned();
    let from_server = server.and_then(|sent| Head::read(&sent.packet)?.receiver(&sent.packet));
    if let Some(server) = from_server
        && flow.protocol == Protocol::Tcp
    {
        let plain = Builder::new(flow.protocol, server, flow.client);
        bytes = dressed(&mut script.dice, plain, flow.client.is_ipv6(), mtu).build();
    }
    script.send(SERVERS, &bytes);
}

/// The same packet with a size, a TTL, a TOS, options.
fn dressed(dice: &mut Dice, packet: Builder, v6: bool, mtu: u16) -> Builder {
    let headers: u32 = if v6 { 60 } else { 40 };
    let edge = u32::from(mtu) - headers;
    let around = dice.from(edge.saturating_sub(120), edge);
    let (any, small) = (dice.from(0, 1400), dice.from(0, 64));
    let len = dice.weighted(&[(3, around), (2, edge), (2, small), (2, any), (1, 1500 - headers)]);
    let len = len.min(1500 - headers - 16);
    let body = dice.bytes(len as usize);
    let ttl = dice.weighted(&[(6, 64), (2, 255), (2, 3), (2, 2), (2, 1)]);
    let tos = dice.weighted(&[(5, 0), (1, 0xb8), (1, 1), (1, 2), (1, 3), (1, 0x10)]);
    let mut packet = packet.payload(&body).ttl(ttl).tos(tos).flags(0x18).chunk(0);
    if dice.chance(40) {
        packet = packet.may_fragment();
    }
    if dice.chance(20) {
        packet = packet.options(dice.index(2) + 1);
    }
    if !v6 && dice.chance(10) {
        packet = packet.no_checksum();
    }
    packet.identification(u16::from_be_bytes([dice.byte(), dice.byte()]))
}
