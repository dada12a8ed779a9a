//! The states of SCTP connections, chunk by chunk.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{Families, virtual_address};
use crate::scenarios::packet::Answer;
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

/// Chunk types of RFC 9260, and one that it does not know.
const CHUNKS: [u8; 20] = [0, 1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 8, 9, 10, 10, 11, 11, 12, 14, 99];

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    if script.dice.chance(30) {
        script.tune("sloppy_sctp", 1);
    }
    if script.dice.chance(30) {
        let mode = script.dice.pick(&[0, 1, 2]);
        script.tune("conn_reuse_mode", mode);
    }
    let mut services = Vec::new();
    for port in [3868, 2905] {
        let target = Target::Address(Protocol::Sctp, virtual_address(v6, 0), port);
        let method = farm::method(&mut script.dice);
        let mut service = Service::new(target, "rr").method(method, 8080);
        service.add_with_servers(script, 2);
        services.push(service);
    }
    let mut traffic = Traffic::default();
    for _ in 0..script.dice.from(3, 5) {
        let service = script.dice.pick(&services);
        let mut flow = traffic.flow(&mut script.dice, &service);
        let opening = flow.opening();
        flow.send(script, &opening);
        if script.dice.chance(40) {
            flow.establish(script);
        }
        for _ in 0..script.dice.from(3, 10) {
            let chunk = script.dice.pick(&CHUNKS);
            if script.dice.chance(45) {
                flow.answer(script, &Answer::Sctp(chunk));
            } else {
                let mut packet = flow.packet().chunk(chunk);
                if script.dice.chance(25) {
                    packet = packet.and_chunk(script.dice.pick(&[0, 6, 6, 7]));
                }
                flow.send(script, &packet.build());
            }
            match script.dice.from(0, 19) {
                0..10 => script.look_at_connections(),
                10 => script.sleep_around_a_deadline(),
                11 => script.sleep(Duration::from_secs(2)),
                _ => {}
            }
        }
        script.run("-Ln");
    }
}
