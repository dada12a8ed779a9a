//! What a synchronisation master tells of its connections.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{Families, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(40);
    // The daemon's own packets go to an IPv4 group, whatever it tells of.
    script.network(Families::Both);
    for (name, values) in [
        ("sync_threshold", &["'3 50'", "'1 5'", "'0 3'", "'2 0'"][..]),
        ("sync_version", &["1", "1", "0"]),
        ("sync_refresh_period", &["0", "0", "10"]),
        ("sync_retries", &["0", "0", "2"]),
        ("sync_persist_mode", &["0", "0", "1"]),
    ] {
        let value = script.dice.pick(values);
        script.tune(name, value);
    }
    let id = script.dice.from(0, 255);
    let other = script.dice.pick(&["", "", " --mcast-port 9999", " --sync-maxlen 200"]);
    script.run(format!("--start-daemon master --mcast-interface cl0 --syncid {id}{other}"));
    script.run("-L --daemon");
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, 3868)] {
        if !services.is_empty() && script.dice.chance(50) {
            continue;
        }
        let method = farm::method(&mut script.dice);
        let options = script.dice.pick(&["", "", "-p 100"]);
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let mut service = Service::new(target, "rr").options(options).method(method, 8080);
        service.set_up(script, 3);
        services.push(service);
    }
    let mut traffic = Traffic::from_networks(1);
    for _ in 0..script.dice.from(8, 14) {
        for _ in 0..script.dice.from(1, 6) {
            traffic.act(script, &services);
        }
        // Long enough for the kernel to send what it has collected.
        script.listen(Duration::from_millis(3500));
        if script.dice.chance(15) {
            script.look_at_connections();
        }
    }
    script.listen(Duration::from_millis(4500));
    script.look_at_connections();
}
