//! Who gets a new flow, while weights, thresholds and servers change.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{self, Families, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

/// Writes a scenario about a scheduler.
pub(super) fn write(script: &mut Script, scheduler: &str) {
    script.network(Families::Both);
    let mark = script.dice.from(1, 9);
    script.net(&network::with_mark(mark));
    let count = script.dice.from(1, 3);
    let mut services: Vec<Service> = Vec::new();
    for _ in 0..count {
        let target = target(script, mark);
        if services.iter().any(|service| service.target == target) {
            continue;
        }
        let method = farm::method(&mut script.dice);
        let port = script.dice.pick(&[80, 8080]);
        let options = options(script, scheduler, target);
        let mut service = Service::new(target, scheduler).options(options).method(method, port);
        let servers = u8::try_from(script.dice.from(1, 5)).expect("few");
        service.set_up(script, servers);
        services.push(service);
    }
    let mut traffic = Traffic::from_networks(u8::try_from(script.dice.from(1, 40)).expect("few"));
    for _ in 0..script.dice.from(25, 50) {
        match script.dice.from(0, 99) {
            0..50 => traffic.open(script, &services),
            50..74 => traffic.act(script, &services),
            74..86 => {
                let n = script.dice.index(services.len());
                services[n].change(script);
            }
            86..89 => script.sleep_around_a_deadline(),
            89..92 => {
                let seconds = script.dice.pick(&[1, 5, 30, 130, 1000]);
                script.sleep(Duration::from_secs(seconds));
            }
            _ => script.look(),
        }
    }
    script.run("-Ln");
    script.look_at_connections();
}

fn target(script: &mut Script, mark: u32) -> Target {
    let dice = &mut script.dice;
    let (v6, n) = (dice.chance(50), dice.pick(&[0, 1]));
    let address = virtual_address(v6, n);
    dice.weighted(&[
        (6, Target::Address(Protocol::Tcp, address, 80)),
        (2, Target::Address(Protocol::Udp, address, 53)),
        (1, Target::Address(Protocol::Sctp, address, 3868)),
        (2, Target::Mark(mark, v6)),
    ])
}

/// Flags of the scheduler, and one-packet scheduling where there can be such.
fn options(script: &mut Script, scheduler: &str, target: Target) -> String {
    let mut options = String::new();
    if matches!(scheduler, "sh" | "mh") && script.dice.chance(60) {
        let flags = script.dice.pick(&["fallback", "port", "fallback,port"]);
        let flags: Vec<String> = flags.split(',').map(|flag| format!("{scheduler}-{flag}")).collect();
        options = format!("-b {}", flags.join(","));
    }
    let may_be_single = matches!(target, Target::Address(Protocol::Udp, ..) | Target::Mark(..));
    if may_be_single && script.dice.chance(20) {
        options = format!("{options} -o").trim_start().into();
    }
    options
}
