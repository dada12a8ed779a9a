//! The states of TCP connections, segment by segment.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service};
use crate::scenarios::network::{Families, virtual_address};
use crate::scenarios::packet::Answer;
use crate::scenarios::script::Script;
use crate::scenarios::traffic::{Flow, Traffic};

/// Any segment: mostly the likely ones.
const FLAGS: [(u32, u8); 14] = [
    (6, 0x02),
    (8, 0x10),
    (6, 0x11),
    (3, 0x04),
    (4, 0x12),
    (2, 0x14),
    (2, 0x18),
    (1, 0x00),
    (1, 0x01),
    (1, 0x03),
    (1, 0x06),
    (1, 0x20),
    (1, 0x08),
    (1, 0x3f),
];

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    for (name, values) in [("secure_tcp", [0, 0, 3]), ("sloppy_tcp", [0, 0, 1]), ("conn_reuse_mode", [1, 0, 2])] {
        let value = script.dice.pick(&values);
        script.tune(name, value);
    }
    let mut services = Vec::new();
    for port in [80, 443] {
        let method = farm::method(&mut script.dice);
        let mut service = Service::tcp(v6, port, "rr").method(method, 8080);
        service.add_with_servers(script, 2);
        services.push(service);
    }
    let mut traffic = Traffic::default();
    for _ in 0..script.dice.from(3, 5) {
        let service = script.dice.pick(&services);
        let mut flow = traffic.flow(&mut script.dice, &service);
        exchange(script, &mut flow);
    }
    // The same client port again, whatever became of the connection.
    let client = traffic.flow(&mut script.dice, &services[0]).client;
    let mut flow = Flow::new(Protocol::Tcp, client, (virtual_address(v6, 0), 80).into());
    for _ in 0..3 {
        flow.establish(script);
        exchange(script, &mut flow);
    }
    script.run("-Ln");
}

/// Segments of both sides, and what they make of the connection.
fn exchange(script: &mut Script, flow: &mut Flow) {
    if script.dice.chance(85) {
        flow.segment(script, 0x02);
    }
    for _ in 0..script.dice.from(3, 10) {
        let flags = script.dice.weighted(&FLAGS);
        if script.dice.chance(45) {
            flow.answer(script, &Answer::Tcp(flags));
        } else {
            flow.segment(script, flags);
        }
        match script.dice.from(0, 19) {
            0 => script.sleep_around_a_deadline(),
            1 => script.sleep(Duration::from_secs(3)),
            2 => {
                let (name, value) = script.dice.pick(&[
                    ("secure_tcp", 0),
                    ("secure_tcp", 3),
                    ("sloppy_tcp", 1),
                    ("conn_reuse_mode", 0),
                    ("conn_reuse_mode", 1),
                    ("conn_reuse_mode", 3),
                ]);
                script.tune(name, value);
            }
            3..14 => script.look_at_connections(),
            _ => {}
        }
    }
    script.run("-Ln");
}
