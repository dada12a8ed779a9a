//! The defences: packets that would open a connection are dropped, and states are changed later.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{Families, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    let rate = script.dice.from(1, 5);
    script.tune("am_droprate", rate);
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53)] {
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let method = farm::method(&mut script.dice);
        let options = script.dice.pick(&["", "-p 60"]);
        let mut service = Service::new(target, "rr").options(options).method(method, 8080);
        service.set_up(script, 3);
        services.push(service);
    }
    script.tune("drop_packet", 3);
    let mut traffic = Traffic::from_networks(2);
    for _ in 0..script.dice.from(30, 50) {
        match script.dice.from(0, 19) {
            0..14 => traffic.act(script, &services),
            14 => {
                let (name, value) = script.dice.pick(&[
                    ("drop_packet", 0),
                    ("drop_packet", 3),
                    ("drop_packet", 3),
                    ("drop_packet", 4),
                    ("secure_tcp", 3),
                    ("secure_tcp", 0),
                ]);
                script.tune(name, value);
            }
            15 => {
                // The new rate holds from the next second on.
                let rate = script.dice.from(1, 9);
                script.tune("am_droprate", rate);
                script.sleep(Duration::from_millis(2500));
            }
            16 => script.sleep(Duration::from_millis(2500)),
            17 => script.sleep_around_a_deadline(),
            _ => script.look(),
        }
    }
    script.look_at_connections();
    script.run("-Ln");
}
