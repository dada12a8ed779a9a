//! Clients that stay with their server.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{self, Families, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    let mark = script.dice.from(1, 300);
    script.net(&network::with_mark(mark));
    for name in ["expire_quiescent_template", "expire_nodest_conn"] {
        if script.dice.chance(35) {
            script.tune(name, 1);
        }
    }
    let address = virtual_address(v6, 0);
    let targets = [
        Target::Address(Protocol::Tcp, address, 80),
        Target::Address(Protocol::Udp, address, 53),
        Target::Address(Protocol::Tcp, virtual_address(v6, 1), 0),
        Target::Address(Protocol::Udp, virtual_address(v6, 1), 0),
        Target::Address(Protocol::Tcp, address, 21),
        Target::Address(Protocol::Sctp, address, 3868),
        Target::Mark(mark, v6),
    ];
    let mut services = Vec::new();
    for target in targets {
        if services.len() > 3 || !script.dice.chance(50) {
            continue;
        }
        let options = options(script, v6);
        let scheduler = script.dice.pick(&["rr", "wrr", "wlc", "sh", "lc"]);
        let method = farm::method(&mut script.dice);
        let mut service = Service::new(target, scheduler).options(options).method(method, 8080);
        service.set_up(script, 3);
        services.push(service);
    }
    if services.is_empty() {
        let mut service = Service::tcp(v6, 80, "rr").options("-p 60");
        service.set_up(script, 3);
        services.push(service);
    }
    let mut traffic = Traffic::from_networks(2);
    for _ in 0..script.dice.from(25, 45) {
        match script.dice.from(0, 99) {
            0..50 => traffic.open(script, &services),
            50..70 => traffic.act(script, &services),
            70..78 => {
                let n = script.dice.index(services.len());
                change(script, &mut services[n], v6);
            }
            78..84 => script.sleep_around_a_deadline(),
            84..87 => script.sleep(Duration::from_secs(40)),
            87..90 => script.run("-Ln --persistent-conn"),
            _ => script.look(),
        }
    }
    script.look_at_connections();
    script.run("-Ln");
}

fn options(script: &mut Script, v6: bool) -> String {
    let timeout = script.dice.pick(&["-p", "-p 60", "-p 30", "-p 300", "-p 1000"]);
    let mask = match (v6, script.dice.from(0, 2)) {
        (_, 0) => String::new(),
        (true, _) => format!(" -M {}", script.dice.pick(&[64, 48, 128, 120, 1])),
        (false, _) => {
            format!(" -M {}", script.dice.pick(&["255.255.255.0", "255.255.0.0", "255.255.255.254", "0.0.0.0"]))
        }
    };
    format!("{timeout}{mask}")
}

/// Another server list, or other options of the service.
fn change(script: &mut Script, service: &mut Service, v6: bool) {
    if script.dice.chance(15) {
        service.options = options(script, v6);
        service.edit(script);
    } else if script.dice.chance(10) {
        let (name, value) = script.dice.pick(&[("expire_quiescent_template", 1), ("expire_nodest_conn", 0)]);
        script.tune(name, value);
    } else {
        service.change(script);
    }
}
