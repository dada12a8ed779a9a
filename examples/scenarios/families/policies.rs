//! What becomes of connections whose server is gone or quiet, by the tunables.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{Families, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

const TUNABLES: [(&str, &[u32]); 7] = [
    ("expire_nodest_conn", &[0, 1]),
    ("expire_quiescent_template", &[0, 1]),
    ("conn_reuse_mode", &[0, 1, 2, 3]),
    ("sloppy_tcp", &[0, 1]),
    ("nat_icmp_send", &[0, 1]),
    ("sloppy_sctp", &[0, 1]),
    ("secure_tcp", &[0, 3]),
];

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    for (name, values) in TUNABLES {
        if script.dice.chance(50) {
            let value = script.dice.pick(values);
            script.tune(name, value);
        }
    }
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, 3868)] {
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let method = farm::method(&mut script.dice);
        let scheduler = script.dice.pick(&farm::SCHEDULERS);
        let options = script.dice.pick(&["", "", "-p 60"]);
        let mut service = Service::new(target, scheduler).options(options).method(method, 8080);
        service.set_up(script, 3);
        services.push(service);
    }
    let mut traffic = Traffic::from_networks(2);
    for _ in 0..script.dice.from(30, 55) {
        let n = script.dice.index(services.len());
        match script.dice.from(0, 99) {
            0..60 => traffic.act(script, &services),
            60..75 => services[n].change(script),
            75..77 => recreate(script, &mut services[n]),
            77..79 => {
                let (name, values) = script.dice.pick(&TUNABLES);
                let value = script.dice.pick(values);
                script.tune(name, value);
            }
            79..82 => stray(script, &services[n]),
            82..86 => script.sleep_around_a_deadline(),
            86..88 => script.sleep(Duration::from_secs(130)),
            _ => script.look(),
        }
    }
    script.look_at_connections();
    script.run("-Ln");
}

/// The service goes and comes back with all its servers.
fn recreate(script: &mut Script, service: &mut Service) {
    script.run(format!("-D {}", service.selector()));
    if script.dice.chance(50) {
        script.look();
    }
    service.add(script);
    for n in service.servers.clone() {
        let weight = farm::weight(&mut script.dice);
        service.add_server(script, n, weight, "");
    }
}

/// A packet from a real server that belongs to no connection.
fn stray(script: &mut Script, service: &Service) {
    use crate::scenarios::network::{SERVERS, SERVERS_MAX, client_address, server_address};
    let Target::Address(protocol, ..) = service.target else { return };
    let v6 = service.servers_v6;
    let n = u8::try_from(script.dice.index(SERVERS_MAX.into())).expect("few");
    let from = (server_address(v6, n), service.server_port).into();
    let to = (client_address(v6, 0, 7), 40000).into();
    let packet = lvs_core::testkit::packets::Builder::new(protocol, from, to);
    let flags = script.dice.pick(&[0x10, 0x12, 0x02, 0x04]);
    let chunk = script.dice.pick(&[0, 1, 2, 6]);
    script.send(SERVERS, &packet.flags(flags).chunk(chunk).build());
}
