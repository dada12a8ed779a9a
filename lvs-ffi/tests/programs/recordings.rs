//! A sample of what a real kernel did, played by a C program through the C interface.
//!
//! The recordings are those of lvs-core, of families in which a host has little to say of its own. Here they become
//! scripts (what the director has to be told, packets, what has to come out), which `tests/c/recorded.c` plays.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::build::{build, run, scratch, sources};

/// The sample: families of recordings, and numbers.
const FAMILIES: [&str; 5] = ["sched-", "tcp-", "timeouts-", "lookup-", "policies-"];
const NUMBERS: [&str; 6] = ["-001.", "-002.", "-003.", "-004.", "-901.", "-902."];
/// How many things are compared at least.
const LEAST: usize = 1000;

/// An interface of the recorded host.
struct Interface {
    name: String,
    mark: u64,
    mtu: u64,
    neighbours: Vec<String>,
    addresses: Vec<(IpAddr, u32)>,
    leads_to_clients: bool,
}

#[derive(Default)]
struct Host {
    interfaces: Vec<Interface>,
}

impl Host {
    fn add(&mut self, step: &Value) {
        let texts = |name: &str| -> Vec<String> {
            step[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
        };
        let address = |text: &String| {
            let (address, prefix) = text.split_once('/').expect("an address and a prefix");
            (address.parse().expect("an address"), prefix.parse().expect("a prefix"))
        };
        self.interfaces.push(Interface {
            name: step["if"].as_str().expect("a name").into(),
            mark: step["mark"].as_u64().unwrap_or(0),
            mtu: step["mtu"].as_u64().unwrap_or(1500),
            neighbours: texts("neigh"),
            addresses: texts("addr").iter().map(address).collect(),
            leads_to_clients: texts("routes").iter().any(|route| route.starts_with("default")),
        });
    }

    fn owns(&self, address: IpAddr) -> bool {
        self.interfaces.iter().flat_map(|interface| &interface.addresses).any(|(own, _)| *own == address)
    }

    /// What the director has to know of it.
    fn tell(&self, script: &mut String) {
        let first = |interface: &Interface, v4: bool| {
            let address = interface.addresses.iter().find(|(address, _)| address.is_ipv4() == v4);
            address.map_or_else(|| String::from("-"), |(address, _)| address.to_string())
        };
        let all = || self.interfaces.iter().flat_map(|interface| &interface.addresses);
        let words = |words: Vec<String>| words.join(" ");
        writeln!(script, "local {}", words(all().map(|(address, _)| address.to_string()).collect())).expect("memory");
        let broadcast = all().filter_map(|(address, prefix)| match address {
            IpAddr::V4(address) if *prefix < 31 => {
                Some(Ipv4Addr::from_bits(address.to_bits() | (u32::MAX >> prefix)).to_string())
            }
            _ => None,
        });
        writeln!(script, "broadcast {}", words(broadcast.collect())).expect("memory");
        for interface in &self.interfaces {
            let sources = [first(interface, true), first(interface, false)];
            for neighbour in &interface.neighbours {
                writeln!(script, "way {neighbour} {} {}", interface.mtu, sources.join(" ")).expect("memory");
            }
            if interface.leads_to_clients {
                writeln!(script, "clients {}", sources.join(" ")).expect("memory");
            }
        }
    }

    /// A packet as the director is given it, and whether it only passes through.
    fn receive(&self, mut packet: Vec<u8>) -> (Vec<u8>, bool) {
        let destination = match packet[0] >> 4 {
            4 => IpAddr::from(<[u8; 4]>::try_from(&packet[16..20]).expect("four bytes")),
            _ => IpAddr::from(<[u8; 16]>::try_from(&packet[24..40]).expect("sixteen bytes")),
        };
        let passes = !self.owns(destination);
        if passes && destination.is_ipv4() {
            // The host takes a hop before (RFC 1812, 5.3.1), and mends the checksum (RFC 1624).
            packet[8] -= 1;
            let sum = u16::from_be_bytes([packet[10], packet[11]]);
            let (sum, carry) = sum.overflowing_add(0x100);
            packet[10..12].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        }
        (packet, passes)
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("memory");
        hex
    })
}

/// A recording as a script; `None` if there is something in it that a script has no word for.
fn script(recording: &str) -> Option<String> {
    let (mut script, mut host) = (String::new(), Host::default());
    for line in recording.lines().filter(|line| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line).expect("a recorded step");
        let step = &record["step"];
        let nanos = (record["t_ms"].as_f64().expect("a time") * 1e6) as u64;
        let stdout = record["stdout"].as_str().unwrap_or_default();
        writeln!(script, "time {nanos}").expect("memory");
        match step["op"].as_str().expect("an op") {
            "net" => {
                host.add(step);
                host.tell(&mut script);
            }
            "ipvsadm" => {
                let args = step["args"].as_str()?;
                // The source ports of GUE are drawn.
                if args.contains("gue") {
                    return None;
                }
                writeln!(script, "run {} {args}", record["rc"].as_i64()?.min(1)).expect("memory");
                let is_of_services = stdout.starts_with("IP Virtual Server") && !args.contains("--nosort");
                if is_of_services {
                    writeln!(script, "same {}", to_hex(stdout.as_bytes())).expect("memory");
                }
            }
            "sysctl" => {
                writeln!(script, "tunable {} {}", step["key"].as_str()?, step["value"].as_str()?).expect("memory");
            }
            "proc" if step["file"] == "ip_vs_stats" => {
                writeln!(script, "proc ip_vs_stats\nsame {}", to_hex(stdout.as_bytes())).expect("memory");
            }
            "tx" => {
                let interface = host.interfaces.iter().find(|interface| step["if"] == interface.name.as_str())?;
                let (packet, passes) = host.receive(from_hex(step["hex"].as_str()?));
                write!(script, "packet {nanos} {} {} {}", interface.mark, u8::from(passes), to_hex(&packet))
                    .expect("memory");
                match &record["out"].as_array()?[..] {
                    [] => script.push('\n'),
                    [frame] => writeln!(script, " {}", frame["hex"].as_str()?).expect("memory"),
                    _ => return None,
                }
            }
            "proc" | "sleep" => {}
            _ => return None,
        }
    }
    Some(script)
}

#[test]
fn c_answers_as_the_kernel_did() {
    let Some(program) = build(&sources().join("tests/c/recorded.c"), "recorded", &[]) else { return };
    let folder = sources().join("../lvs-core/tests/recordings");
    let mut played = Command::new(program);
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the recordings are there") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let is_of_sample = FAMILIES.iter().any(|family| name.starts_with(family))
            && NUMBERS.iter().any(|number| name.contains(number))
            && !name.contains("nat-icmp");
        if !is_of_sample {
            continue;
        }
        let mut text = String::new();
        GzDecoder::new(File::open(&path).expect("a recording")).read_to_string(&mut text).expect("text");
        if let Some(script) = script(&text) {
            let at = scratch("recorded").join(name.replace(".jsonl.gz", ".script"));
            fs::write(&at, script).expect("the folder is there");
            played.arg(at);
            count += 1;
        }
    }
    let said = run(&mut played).unwrap_or_else(|complaint| panic!("{complaint}"));
    let compared = said.split(' ').next().and_then(|number| number.parse::<usize>().ok()).expect("a number");
    println!("{count} recordings, {compared} packets and listings compared");
    assert!(compared >= LEAST, "{said}");
}
