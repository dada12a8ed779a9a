//! Counters and rates, which a kernel renews every two seconds.
//!
//! What a listing shows depends on how many of the kernel's ticks have passed. Its tick is some 16 ms longer than two
//! seconds, and begins about when the scenario does; so everything happens in the second half of each two seconds, where
//! the count is certain.

use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::dice::Dice;
use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{self, Families, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

/// Two seconds, in milliseconds.
const TICK: u64 = 2000;
/// From here to `LATEST` after a full two seconds nothing ticks, for the first minute.
const EARLIEST: u64 = 800;
const LATEST: u64 = 1650;

const LISTINGS: [&str; 8] = [
    "-Ln --stats",
    "-Ln --stats --exact",
    "-Ln --rate",
    "-Ln --rate --exact",
    "-Ln --rate --nosort",
    "-Ln --stats --nosort",
    "-Ln --stats --rate",
    "-Ln --thresholds",
];

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    script.network(Families::Both);
    let mark = script.dice.from(1, 9);
    script.net(&network::with_mark(mark));
    let mut services = services(script, mark);
    let mut traffic = Traffic::from_networks(5);
    to_calm(script, 1);
    for _ in 0..script.dice.from(7, 12) {
        let size = script.dice.weighted(&[(3, 0), (5, 12), (3, 60), (1, 120)]);
        for _ in 0..script.dice.from(0, size) {
            traffic.act(script, &services);
            stay_calm(script);
        }
        if script.dice.chance(12) {
            let n = script.dice.index(services.len());
            services[n].change(script);
        }
        if script.dice.chance(8) {
            let service = script.dice.pick(&services).selector();
            let line = script.dice.weighted(&[(1, "-Z".to_string()), (2, format!("-Z {service}"))]);
            script.run(line);
        }
        if script.dice.chance(10) {
            let value = script.dice.pick(&[0, 1, 1]);
            script.tune("run_estimation", value);
        }
        let ticks = script.dice.weighted(&[(6, 1), (2, 2), (1, 4)]);
        to_calm(script, ticks);
        look(script);
        stay_calm(script);
    }
}

/// Writes a scenario of listings, with options in every combination, refused ones among them.
pub(super) fn write_listings(script: &mut Script) {
    script.network(Families::Both);
    let mark = script.dice.from(1, 9);
    script.net(&network::with_mark(mark));
    let services = services(script, mark);
    if script.dice.chance(50) {
        script.run("--start-daemon backup --mcast-interface cl0 --syncid 7");
    }
    let mut traffic = Traffic::from_networks(2);
    to_calm(script, 1);
    for _ in 0..script.dice.from(4, 6) {
        for _ in 0..script.dice.from(4, 16) {
            traffic.act(script, &services);
            stay_calm(script);
        }
        to_calm(script, 1);
        for _ in 0..script.dice.from(4, 8) {
            listing(script, &services);
            stay_calm(script);
        }
    }
}

fn listing(script: &mut Script, services: &[Service]) {
    let of = if script.dice.chance(25) { script.dice.pick(services).selector() } else { String::new() };
    let of_whom = if of.is_empty() { "-L -n".to_string() } else { format!("-L -n {of}") };
    let how = |dice: &mut Dice, likely: u32, options: &[&str]| {
        let chosen: Vec<&str> = options.iter().copied().filter(|_| dice.chance(likely)).collect();
        chosen.join(" ")
    };
    let command = match script.dice.from(0, 19) {
        0..11 => {
            let what =
                script.dice.pick(&["--stats", "--rate", "--thresholds", "--persistent-conn", "--stats --rate", ""]);
            let how = how(&mut script.dice, 30, &["--exact", "--sort", "--nosort", "--numeric"]);
            format!("{of_whom} {what} {how}")
        }
        11..15 => {
            let how = how(&mut script.dice, 25, &["--persistent-conn", "--exact", "--sort", "--nosort", "--stats"]);
            script.list_connections(format!("-L -n -c {how}").trim_end());
            return;
        }
        15 => {
            script.dice.pick(&["-L --daemon", "-L --timeout", "-L --daemon --timeout", "-Ln --daemon --stats"]).into()
        }
        16 => format!("-Z {of}"),
        17 => format!("{of_whom} -Z"),
        18 => script.dice.pick(&["-S -n", "-Sn", "-L --exact -n", "-Ln --timeout --stats", "-Lnc --rate"]).into(),
        _ => {
            script.proc("ip_vs_stats");
            return;
        }
    };
    script.run(command.split_whitespace().collect::<Vec<_>>().join(" "));
}

fn services(script: &mut Script, mark: u32) -> Vec<Service> {
    let v6 = script.dice.chance(50);
    let address = virtual_address(v6, 0);
    let targets = [
        Target::Address(Protocol::Tcp, address, 80),
        Target::Address(Protocol::Udp, address, 53),
        Target::Address(Protocol::Tcp, virtual_address(!v6, 1), 443),
        Target::Mark(mark, v6),
    ];
    let mut services = Vec::new();
    for target in targets {
        if !services.is_empty() && script.dice.chance(40) {
            continue;
        }
        let method = farm::method(&mut script.dice);
        let scheduler = script.dice.pick(&["rr", "wlc", "sh", "wrr"]);
        let options = match target {
            Target::Address(Protocol::Udp, ..) => script.dice.pick(&["", "-o"]),
            _ => script.dice.pick(&["", "-p 600"]),
        };
        let mut service = Service::new(target, scheduler).options(options).method(method, 8080);
        service.set_up(script, 3);
        services.push(service);
    }
    services
}

/// Sleeps into the calm part so many ticks on.
fn to_calm(script: &mut Script, ticks: u64) {
    let now = script.now().as_nanos() / 1_000_000;
    let (begin, within) = (now / TICK * TICK, u64::from(script.dice.from(0, 300)));
    let until = begin + ticks * TICK + EARLIEST + within;
    script.sleep(Duration::from_millis(until - now));
}

/// Sleeps on if the calm part is nearly over.
fn stay_calm(script: &mut Script) {
    let within = script.now().as_nanos() / 1_000_000 % TICK;
    if !(EARLIEST..LATEST).contains(&within) {
        to_calm(script, 1);
    }
}

fn look(script: &mut Script) {
    for _ in 0..script.dice.from(1, 3) {
        if script.dice.chance(25) {
            script.proc("ip_vs_stats");
        } else {
            let listing = script.dice.pick(&LISTINGS);
            script.run(listing);
        }
    }
}
