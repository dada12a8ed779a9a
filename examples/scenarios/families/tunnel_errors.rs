//! Routers on the way to a server behind a tunnel complain: the client is told, in terms of its own packet.

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{Families, virtual_address};
use crate::scenarios::packet::Answer;
use crate::scenarios::script::Script;
use crate::scenarios::traffic::{Flow, Traffic};

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    script.network(Families::One(false));
    if script.dice.chance(25) {
        script.tune("pmtu_disc", 0);
    }
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53)] {
        let target = Target::Address(protocol, virtual_address(false, 0), port);
        let method = farm::tunnel(&mut script.dice);
        let mut service = Service::new(target, "rr").method(method, port);
        service.add_with_servers(script, 3);
        services.push(service);
    }
    let mut traffic = Traffic::from_networks(1);
    for _ in 0..script.dice.from(5, 9) {
        let service = script.dice.pick(&services);
        let mut flow = traffic.flow(&mut script.dice, &service);
        flow.establish(script);
        for _ in 0..script.dice.from(1, 4) {
            data(script, &mut flow);
            complaint(script, &flow);
        }
    }
    script.look_at_connections();
    script.listen(std::time::Duration::from_millis(4500));
    script.run("-Ln --stats");
}

fn data(script: &mut Script, flow: &mut Flow) {
    let len = script.dice.pick(&[10, 500, 700, 1200, 1300, 1400]);
    let body = script.dice.bytes(len);
    let packet = flow.packet().flags(0x18).payload(&body);
    let packet = if script.dice.chance(30) { packet.may_fragment() } else { packet };
    flow.send(script, &packet.build());
}

fn complaint(script: &mut Script, flow: &Flow) {
    let Some(step) = flow.reached else { return };
    let mtu = script.dice.pick(&[1400, 1300, 1000, 600, 552, 500]);
    let (kind, rest) = script.dice.weighted(&[
        (5, ([3, 4], mtu)),
        (2, ([3, 1], 0)),
        (1, ([3, 3], 0)),
        (2, ([11, 0], 0)),
        (1, ([4, 0], 0)),
    ]);
    let quote = script.dice.pick(&[548, 548, 100, 64, 48, 28]);
    let from = script.dice.chance(70).then(|| "10.0.0.254".parse().expect("an address"));
    script.answer(step, &Answer::Icmp { kind, rest, quote, from });
}
