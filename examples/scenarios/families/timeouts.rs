//! How long connections live, and what lives on.

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
    set(script);
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, 3868)] {
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let method = farm::method(&mut script.dice);
        let mut service = Service::new(target, "rr").method(method, port);
        service.set_up(script, 2);
        services.push(service);
    }
    let mut traffic = Traffic::default();
    for _ in 0..script.dice.from(8, 14) {
        for _ in 0..script.dice.from(1, 4) {
            traffic.act(script, &services);
        }
        match script.dice.from(0, 9) {
            0 => set(script),
            1 => script.run("-L --timeout"),
            2..7 => script.sleep_around_a_deadline(),
            7 => script.sleep(Duration::from_secs(70)),
            _ => {}
        }
        script.look_at_connections();
        if script.dice.chance(30) {
            script.run("-Ln");
        }
    }
}

/// Other timeouts: some are left as they are, some are refused.
fn set(script: &mut Script) {
    let dice = &mut script.dice;
    let values: Vec<String> = (0..3)
        .map(|_| {
            let some = dice.from(5, 600);
            dice.weighted(&[(4, 0), (10, some), (1, 2_678_400), (1, 2_678_401)]).to_string()
        })
        .collect();
    script.run(format!("--set {}", values.join(" ")));
    script.run("-L --timeout");
}
