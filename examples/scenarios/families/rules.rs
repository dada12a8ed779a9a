//! Command lines: right ones, and wrong ones of every kind.

use crate::scenarios::farm::SCHEDULERS;
use crate::scenarios::network::{self, Families, SERVERS_MAX, server_address};
use crate::scenarios::script::Script;

const SERVICES: [&str; 16] = [
    "-t 192.0.2.10:80",
    "-t 192.0.2.10:443",
    "-t 192.0.2.11:0",
    "-t 192.0.2.10",
    "-u 192.0.2.10:53",
    "-u 192.0.2.11:0",
    "--sctp-service 192.0.2.10:3868",
    "-t [2001:db8:c::10]:80",
    "-t 2001:db8:c::11",
    "-u [2001:db8:c::10]:53",
    "--sctp-service [2001:db8:c::10]:3868",
    "-f 1",
    "-f 1 -6",
    "-f 77",
    "-f 2147483649",
    "--tcp-service 192.0.2.11:8080",
];
/// Selectors that are refused.
const WRONG_SERVICES: [&str; 10] = [
    "-t 192.0.2.10:65536",
    "-t 192.0.2.256:80",
    "-t [2001:db8:c::10]",
    "-t [192.0.2.10]:80",
    "-f 0",
    "-f -1",
    "-f 4294967296",
    "-6 -f 1",
    "-t 192.0.2.10:80 -u 192.0.2.10:53",
    "",
];
const METHODS: [&str; 16] = [
    "-m",
    "-m",
    "-g",
    "-i",
    "",
    "--masquerading",
    "--gatewaying",
    "-i --tun-type ipip",
    "-i --tun-type gue --tun-port 6080",
    "-i --tun-type gue --tun-port 1 --tun-csum",
    "-i --tun-type gue --tun-port 65535 --tun-remcsum",
    "-i --tun-type gre",
    "-i --tun-type gre --tun-csum",
    "-i --tun-type gue",
    "-m --tun-type gre",
    "-i --tun-type gre --tun-port 6080",
];
const LISTINGS: [&str; 22] = [
    "-Ln",
    "-ln",
    "-L -n --nosort",
    "-S -n",
    "-Sn",
    "-Ln --stats --exact",
    "-Ln --rate",
    "-Ln --rate --exact",
    "-Ln --stats",
    "-Ln --thresholds",
    "-Ln --persistent-conn",
    "-Ln --tun-info",
    "-Ln --tun-info --thresholds",
    "-Ln --stats --rate",
    "-Ln --thresholds --persistent-conn",
    "-L -c -n",
    "-Lnc --persistent-conn",
    "-L --timeout",
    "-L --timeout -c",
    "-Lnc --stats",
    "--list --numeric",
    "-Ln --sort",
];

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    script.network(Families::Both);
    script.net(&network::with_mark(1));
    for _ in 0..script.dice.from(35, 55) {
        match script.dice.from(0, 99) {
            0..25 => add_or_edit_service(script),
            25..62 => server(script),
            62..66 => {
                let service = service(script);
                script.run(format!("-D {service}"));
            }
            66..69 => {
                let service = service(script);
                let command = script.dice.pick(&["-Z", "-Ln", "-Ln --stats", "-Ln --thresholds"]);
                script.run(format!("{command} {service}"));
            }
            69..71 => set(script),
            71..73 => script.proc("ip_vs"),
            73..74 => script.run("-C"),
            74..76 => odd(script),
            _ => {
                let listing = script.dice.pick(&LISTINGS);
                script.run(listing);
            }
        }
    }
    for listing in ["-Ln", "-S -n", "-Ln --tun-info", "-Ln --thresholds", "-Ln --nosort"] {
        script.run(listing);
    }
    script.proc("ip_vs");
}

fn service(script: &mut Script) -> &'static str {
    if script.dice.chance(4) { script.dice.pick(&WRONG_SERVICES) } else { script.dice.pick(&SERVICES) }
}

fn add_or_edit_service(script: &mut Script) {
    let service = service(script);
    let dice = &mut script.dice;
    let mut parts = vec![dice.pick(&["-A", "-A", "-A", "-E"]).to_string(), service.to_string()];
    if dice.chance(85) {
        let scheduler = dice.pick(&SCHEDULERS);
        parts.push(dice.weighted(&[
            (12, format!("-s {scheduler}")),
            (1, format!("-s{scheduler}")),
            (1, "-s none".into()),
            (1, "-s nosuch".into()),
            (1, format!("--scheduler={scheduler}")),
        ]));
    }
    if dice.chance(45) {
        let persistence =
            ["-p", "-p 60", "-p 300", "-p 1", "-p 2678400", "-p 2678401", "-p 0", "-p60", "--persistent 77"];
        parts.push(dice.pick(&persistence).into());
    }
    if dice.chance(25) {
        let masks = ["255.255.255.0", "255.0.255.0", "64", "128", "129", "24", "255.255.255.255", "0.0.0.0"];
        parts.push(format!("-M {}", dice.pick(&masks)));
    }
    if dice.chance(12) {
        parts.push(dice.pick(&["-o", "--ops"]).into());
    }
    if dice.chance(15) {
        let flags =
            ["sh-fallback", "sh-port", "mh-port,mh-fallback", "flag-1", "flag-2,flag-3", "flag-9", "sh-port,flag-1"];
        parts.push(format!("-b {}", dice.pick(&flags)));
    }
    spoil(script, &mut parts);
    script.run(parts.join(" "));
}

fn server(script: &mut Script) {
    let service = service(script);
    let dice = &mut script.dice;
    let command = dice.weighted(&[(6, "-a"), (3, "-e"), (2, "-d")]);
    let n = u8::try_from(dice.index(SERVERS_MAX.into())).expect("few");
    let same_family = service.contains("2001:") || service.contains("-6");
    let v6 = if dice.chance(88) { same_family } else { !same_family };
    let address = server_address(v6, n);
    let port = dice.pick(&["", ":80", ":8080", ":0", ":65535", ":65536"]);
    let server = if v6 && !port.is_empty() { format!("[{address}]{port}") } else { format!("{address}{port}") };
    let odd = [
        "0.0.0.0:80",
        "127.0.0.1:80",
        "224.0.0.5:80",
        "255.255.255.255:80",
        "[fe80::1]:80",
        "[ff02::1]:80",
        "[::1]:80",
        "192.0.2.10:80",
        "10.0.255.255:80",
        "192.0.2.255:80",
        "192.0.2.0:80",
        "10.0.300.1",
        "nosuch",
    ];
    let server = if dice.chance(6) { dice.pick(&odd).to_string() } else { server };
    let mut parts = vec![command.to_string(), service.to_string(), format!("-r {server}")];
    if command != "-d" || dice.chance(5) {
        parts.push(dice.pick(&METHODS).into());
        if dice.chance(60) {
            let weights = ["0", "1", "2", "7", "100", "65535", "65536", "2147483647", "2147483648", "-1", "1x"];
            parts.push(format!("-w {}", dice.pick(&weights)));
        }
        if dice.chance(30) {
            parts.push(format!("-x {}", dice.pick(&["0", "1", "5", "1000", "2147483647", "2147483648"])));
        }
        if dice.chance(25) {
            parts.push(format!("-y {}", dice.pick(&["0", "1", "4", "6", "2147483647"])));
        }
    }
    parts.retain(|part| !part.is_empty());
    spoil(script, &mut parts);
    script.run(parts.join(" "));
}

fn set(script: &mut Script) {
    let values = ["900 120 300", "0 0 0", "1 2 3", "2678400 0 1", "2678401 0 0", "1 2", "1 2 3 4", "-1 0 0", "a b c"];
    let values = script.dice.pick(&values);
    script.run(format!("--set {values}"));
    script.run("-L --timeout");
}

/// Words in another order, twice, or missing: the command stays first.
fn spoil(script: &mut Script, parts: &mut Vec<String>) {
    let dice = &mut script.dice;
    match dice.from(0, 29) {
        0 => {
            let rest = dice.shuffled(parts.split_off(1));
            parts.extend(rest);
        }
        1 => {
            let again = dice.pick(&parts[1..]);
            parts.push(again);
        }
        2 => drop(parts.remove(1 + dice.index(parts.len() - 1))),
        3 => parts.push(dice.pick(&["--nosuch", "stray", "-n", "-Q", "--", "--sort", "-6", "-c"]).into()),
        _ => {}
    }
}

fn odd(script: &mut Script) {
    let line = script.dice.pick(&[
        "-Z",
        "-C",
        "-Z -t 192.0.2.99:80",
        "-D",
        "-A",
        "-L -t 192.0.2.99:80",
        "-X",
        "--nosuch",
        "stray",
        "-Ln stray",
        "-A -t 192.0.2.10:80 -D",
        "-S stray",
        "--stop-daemon master",
        "--stop-daemon",
        "--start-daemon nobody",
        "-Ln --daemon",
        "--clear",
        "--zero",
    ]);
    script.run(line);
}
