//! Which service a packet belongs to: marks, ports, port 0, the FTP fallback.

use std::net::SocketAddr;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{self, CLIENTS, Families, MARKED, client_address, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Flow;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    script.network(Families::Both);
    let mark = script.dice.from(1, 3);
    script.net(&network::with_mark(mark));
    if script.dice.chance(30) {
        script.tune("sloppy_tcp", 1);
    }
    let mut services = Vec::new();
    for target in candidates(mark) {
        if !script.dice.chance(45) {
            continue;
        }
        let zero_port = matches!(target, Target::Address(_, _, 0));
        let options = if zero_port || script.dice.chance(20) { "-p 100" } else { "" };
        let method = farm::method(&mut script.dice);
        let mut service = Service::new(target, "rr").options(options).method(method, 8080);
        let servers = script.dice.pick(&[0, 1, 2, 2]);
        service.add_with_servers(script, servers);
        services.push(service);
    }
    for n in 0..script.dice.from(30, 50) {
        let mut flow = flow(script, n);
        let opening = flow.opening();
        if script.dice.chance(85) {
            flow.send(script, &opening);
        } else {
            flow.segment(script, 0x10);
        }
        match script.dice.from(0, 19) {
            0 if !services.is_empty() => {
                let gone = services.swap_remove(script.dice.index(services.len()));
                script.run(format!("-D {}", gone.selector()));
            }
            1 => script.look(),
            2 => script.look_at_connections(),
            _ => {}
        }
    }
    script.look_at_connections();
    script.run("-Ln");
}

/// Services whose packets overlap.
fn candidates(mark: u32) -> Vec<Target> {
    let mut targets = Vec::new();
    for v6 in [false, true] {
        targets.extend([Target::Mark(mark, v6), Target::Mark(mark + 1, v6)]);
        for n in [0, 1] {
            let address = virtual_address(v6, n);
            targets.extend([80, 21, 0].map(|port| Target::Address(Protocol::Tcp, address, port)));
            targets.extend([53, 0].map(|port| Target::Address(Protocol::Udp, address, port)));
        }
        targets.push(Target::Address(Protocol::Sctp, virtual_address(v6, 0), 80));
    }
    targets
}

fn flow(script: &mut Script, n: u32) -> Flow {
    let dice = &mut script.dice;
    let v6 = dice.chance(50);
    let protocol = dice.weighted(&[(6, Protocol::Tcp), (3, Protocol::Udp), (1, Protocol::Sctp)]);
    let port = dice.pick(&[20, 21, 22, 53, 80, 80, 443, 1023, 1024, 5000, 65535]);
    let address = virtual_address(v6, dice.pick(&[0, 1]));
    let from = u16::try_from(20000 + n).expect("few");
    let from = dice.weighted(&[(12, from), (1, 20)]);
    let client = SocketAddr::new(client_address(v6, 0, dice.pick(&[1, 2, 3])), from);
    let interface = dice.weighted(&[(2, CLIENTS), (1, MARKED)]);
    Flow { interface, ..Flow::new(protocol, client, SocketAddr::new(address, port)) }
}
