//! IPsec, whose packets follow the connection of their key exchange: UDP port 500.

use std::net::SocketAddr;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{CLIENTS, Families, SERVERS, client_address, server_address, virtual_address};
use crate::scenarios::packet::{self, AH, ESP};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Flow;

const IKE: u16 = 500;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    let address = virtual_address(v6, 0);
    let method = farm::method(&mut script.dice);
    let mut service = Service::new(Target::Address(Protocol::Udp, address, IKE), "rr").method(method.clone(), IKE);
    if script.dice.chance(30) {
        service.options = "-p 100".into();
    }
    service.set_up(script, 3);
    for _ in 0..script.dice.from(18, 30) {
        let client = client_address(v6, 0, script.dice.pick(&[1, 2, 3, 4]));
        let protocol = if v6 { ESP } else { script.dice.pick(&[ESP, ESP, AH]) };
        let body = script.dice.bytes(40);
        match script.dice.from(0, 9) {
            0..3 => {
                let port = script.dice.weighted(&[(4, IKE), (1, 4500)]);
                let mut flow = Flow::new(Protocol::Udp, SocketAddr::new(client, port), SocketAddr::new(address, IKE));
                flow.establish(script);
            }
            3..7 => drop(script.send(CLIENTS, &packet::ip(client, address, protocol, &body))),
            7..9 => {
                let n = script.dice.pick(&[0, 1, 2]);
                let from = if method == "-m" { server_address(v6, n) } else { address };
                script.send(SERVERS, &packet::ip(from, client, protocol, &body));
            }
            _ if script.dice.chance(50) => script.sleep_around_a_deadline(),
            _ => service.change(script),
        }
        if script.dice.chance(25) {
            script.look_at_connections();
        }
    }
    script.listen(std::time::Duration::from_millis(4500));
    script.run("-Ln --stats");
}
