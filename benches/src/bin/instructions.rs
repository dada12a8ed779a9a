//! Instructions that packets take, counted by valgrind's callgrind and compared with what was counted before.
//!
//! Times move between machines and moments, counts do not: this is what a test can hold on to. `make instructions`
//! compares with `benches/instructions.txt`, and fails if a case has grown by more than three in a hundred;
//! `make instructions BLESS=1` writes the file anew. Counts of another compiler are not compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use lvs_benches::machine;
use lvs_benches::report::folder;
use lvs_benches::scene::{NOW, Scene};
use lvs_benches::traffic::{Buffer, LEN, Mixed, OFFSET, Random, Sequence, Template, Traffic};
use lvs_core::{Director, Family, Instant, Meta, Method, Packet, PassReason, Protocol, Verdict};

/// What a case may grow by.
const TOLERANCE: f64 = 0.03;
/// Flows in a table, and packets that are counted. Small, since valgrind takes its time.
const FLOWS: u32 = 1 << 12;
const PACKETS: usize = 1 << 11;

const HEAD: &str = "\
# Instructions for a packet (for a connection: expiry), counted by callgrind. Written by `make instructions BLESS=1`;
# `make instructions` compares. Counts of another compiler than this are not compared:
";

/// A case: its name, the director, the packets, and whether they are handed over one by one.
struct Case {
    name: &'static str,
    scene: Scene,
    traffic: fn(&Scene) -> Box<dyn Traffic>,
    one_by_one: bool,
}

impl Case {
    const fn new(name: &'static str, scene: Scene) -> Self {
        Self { name, scene, traffic: requests, one_by_one: false }
    }
}

/// Connections end in a case of this name; the others are packets.
const EXPIRY: &str = "expiry";

const NAT: Scene = Scene::nat(FLOWS);

const CASES: [Case; 13] = [
    Case { one_by_one: true, ..Case::new("nat-v4-one-by-one", NAT) },
    Case { one_by_one: true, ..Case::new("nat-v6-one-by-one", NAT.family(Family::V6)) },
    Case::new("nat-v4-burst", NAT),
    Case::new("nat-v4-udp-burst", NAT.protocol(Protocol::Udp)),
    Case::new("nat-v6-burst", NAT.family(Family::V6)),
    Case::new("dr-v4-burst", NAT.method(Method::Dr)),
    Case::new("tun-v4-burst", NAT.method(Method::Tun)),
    Case { traffic: replies, ..Case::new("reply-v4-burst", NAT) },
    Case { traffic: replies, ..Case::new("reply-v6-burst", NAT.family(Family::V6)) },
    Case { traffic: errors, ..Case::new("icmp-error-v4-burst", NAT) },
    Case { traffic: openings, ..Case::new("new-flow-wlc-16", NAT.scheduled("wlc", 16).room(FLOWS)) },
    Case { traffic: mixed, ..Case::new("mixed-burst", NAT.scheduled("wlc", 16).room(FLOWS)) },
    // A larger table has a wheel of which one turn is almost as long as these flows live.
    Case::new(EXPIRY, NAT.protocol(Protocol::Udp).room(1 << 16)),
];

fn requests(scene: &Scene) -> Box<dyn Traffic> {
    Box::new(Random::of(Template::request(scene.family, scene.protocol), scene.flows))
}

fn replies(scene: &Scene) -> Box<dyn Traffic> {
    Box::new(Random::new(scene.replies(), scene.flows))
}

fn errors(scene: &Scene) -> Box<dyn Traffic> {
    Box::new(Random::of(Template::error_from_outside(), scene.flows))
}

fn openings(scene: &Scene) -> Box<dyn Traffic> {
    Box::new(Sequence::new(Template::opening(scene.family, scene.protocol), scene.flows))
}

fn mixed(scene: &Scene) -> Box<dyn Traffic> {
    Box::new(Mixed::new(scene.family, scene.flows))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["bless"] => bless(),
        ["run", name] => run(name),
        _ => Err(String::from("usage: instructions [bless]")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What is run under valgrind: only what happens in functions of these names is counted.
#[inline(never)]
fn counted_burst(director: &mut Director, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]) {
    director.process_burst(NOW, packets, metas, verdicts);
}

#[inline(never)]
fn counted_one_by_one(director: &mut Director, packets: &mut [Packet<'_>], verdicts: &mut [Verdict]) {
    for (packet, verdict) in packets.iter_mut().zip(verdicts) {
        *verdict = director.process(NOW, packet, Meta::default());
    }
}

#[inline(never)]
fn counted_expiry(director: &mut Director, now: Instant) {
    while director.advance(now, 1000).more {}
}

const COUNTED: &str = "instructions::counted_*";

fn run(name: &str) -> Result<(), String> {
    let case = CASES.iter().find(|case| case.name == name).ok_or("no such case")?;
    let mut director = case.scene.established();
    if name == EXPIRY {
        counted_expiry(&mut director, Instant::from_secs(302));
        return if director.connection_count() == 0 { Ok(()) } else { Err(String::from("connections are left")) };
    }
    let mut buffers = vec![Buffer::EMPTY; PACKETS];
    (case.traffic)(&case.scene).fill(&mut buffers);
    let packet = |buffer| Packet::new(buffer, OFFSET, LEN).ok_or("room for a packet");
    let mut packets = buffers.iter_mut().map(|buffer| packet(&mut buffer.0)).collect::<Result<Vec<_>, _>>()?;
    let metas = vec![Meta::default(); PACKETS];
    let mut verdicts = vec![Verdict::Pass(PassReason::NoService); PACKETS];
    if case.one_by_one {
        counted_one_by_one(&mut director, &mut packets, &mut verdicts);
    } else {
        counted_burst(&mut director, &mut packets, &metas, &mut verdicts);
    }
    let forwarded = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Forward(_))).count();
    if forwarded == PACKETS { Ok(()) } else { Err(format!("{forwarded} of {PACKETS} packets were forwarded")) }
}

/// Counts of all cases, under their names, in instructions for a packet.
fn count() -> Result<Vec<(&'static str, f64)>, String> {
    fs::create_dir_all(folder()).map_err(|error| error.to_string())?;
    CASES.iter().map(|case| Ok((case.name, count_one(case)?))).collect()
}

fn count_one(case: &Case) -> Result<f64, String> {
    let out = folder().join(format!("callgrind.{}", case.name));
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", &format!("--toggle-collect={COUNTED}")]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display())).arg(program).args(["run", case.name]);
    let output = valgrind.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{}: {}", case.name, String::from_utf8_lossy(&output.stderr)));
    }
    let text = fs::read_to_string(&out).map_err(|error| error.to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<f64>().ok());
    let pieces = if case.name == EXPIRY { FLOWS as usize } else { PACKETS };
    match total {
        Some(total) if total > 0.0 => Ok(total / pieces as f64),
        _ => Err(format!("{}: valgrind counted nothing", case.name)),
    }
}

fn file() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))
}

/// What counts depend on: the compiler and the machine's kind.
fn compiler() -> String {
    format!("{} {}", machine::compiler(), std::env::consts::ARCH)
}

fn bless() -> Result<(), String> {
    let mut text = format!("{HEAD}{}\n\n", compiler());
    for (name, count) in count()? {
        let _ = writeln!(text, "{name:20} {count:8.1}");
    }
    print!("{text}");
    fs::write(file(), text).map_err(|error| error.to_string())
}

fn compare() -> Result<(), String> {
    let text = fs::read_to_string(file()).map_err(|error| error.to_string())?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let (before, now) = (lines.next().unwrap_or_default(), compiler());
    if before != now {
        println!("note: instructions are not compared: counted with {before}, this is {now}");
        return Ok(());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("note: instructions are not compared: no valgrind");
        return Ok(());
    }
    let known: BTreeMap<&str, f64> =
        lines.filter_map(|line| line.split_once(' ')).filter_map(|(n, c)| Some((n, c.trim().parse().ok()?))).collect();
    let mut grown = Vec::new();
    for (name, count) in count()? {
        let Some(&before) = known.get(name) else {
            grown.push(format!("{name} was never counted"));
            continue;
        };
        let change = count / before - 1.0;
        println!("{name:20} {before:8.1} -> {count:8.1}  {:+5.1} %", change * 100.0);
        if change > TOLERANCE {
            grown.push(format!("{name} has grown by {:.1} %", change * 100.0));
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!("{}. If that is wanted: make instructions BLESS=1, and commit the file", grown.join("; ")))
}
