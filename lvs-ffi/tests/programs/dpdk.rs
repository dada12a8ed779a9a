//! The DPDK application, without a network card: packets from captures, packets into captures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lvs_examples::balance::{Reader, Writer};

use crate::build::{SYSTEM, has, run, scratch, sources, static_library};
use crate::examples::{balanced, clients_of, frames, traffic};

/// Builds the application with its own Makefile, against the library that was built for the tests.
fn application(name: &str) -> Option<PathBuf> {
    let has_dpdk = Command::new("pkg-config").args(["--exists", "libdpdk"]).status().is_ok_and(|is| is.success());
    if !has_dpdk || !has("make") {
        println!("left out: pkg-config finds no libdpdk");
        return None;
    }
    let program = scratch(name).join("lvs-dpdk");
    let _ = fs::remove_file(&program);
    let mut make = Command::new("make");
    make.arg("--silent").arg("-C").arg(sources().join("examples/dpdk"));
    make.arg(format!("OUT={}", program.display()));
    make.arg(format!("LVS_CFLAGS=-I{}", sources().join("../include").display()));
    make.arg(format!("LVS_LIBS={} {}", static_library().display(), SYSTEM.join(" ")));
    run(&mut make).unwrap_or_else(|complaint| panic!("{complaint}"));
    Some(program)
}

/// Runs it on captures, one for each queue; what it says, and the captures that it writes.
fn balance(program: &Path, rules: &Path, inputs: &[PathBuf]) -> (String, Vec<PathBuf>) {
    let outputs: Vec<PathBuf> = inputs.iter().map(|input| input.with_extension("out.pcap")).collect();
    let queues = inputs.iter().zip(&outputs).fold(String::new(), |queues, (input, output)| {
        format!("{queues},rx_pcap={},tx_pcap={}", input.display(), output.display())
    });
    let lcores = format!("(0-{})@0", inputs.len() - 1);
    let mut command = Command::new(program);
    command.args([
        "--no-huge",
        "-m",
        "256",
        "--no-pci",
        "--no-shconf",
        "--no-telemetry",
        "--log-level",
        "lib.eal:error",
    ]);
    command.args(["--lcores", &lcores]).arg(format!("--vdev=net_pcap0{queues}")).arg("--");
    command.arg("--rules").arg(rules).args(["--tunnel-source", "10.0.0.1", "--tunnel-source", "fd00::1"]);
    command.args(["--seed", "7", "--idle-ms", "300"]);
    (run(&mut command).unwrap_or_else(|complaint| panic!("{complaint}")), outputs)
}

#[test]
fn dpdk_sends_what_the_example_balance_writes() {
    let Some(program) = application("dpdk") else { return };
    let (folder, (capture, rules)) = (scratch("dpdk"), traffic());
    let input = folder.join("clients.pcap");
    clients_of(&capture, &input);
    let theirs = balanced(&rules, &input, &folder.join("theirs.pcap"));
    let (said, outputs) = balance(&program, &rules, &[input]);
    let ours = frames(&outputs[0]);
    assert_eq!(ours.len(), theirs.len(), "{said}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(comparable(&ours.data), comparable(&theirs.data), "frame {} of the output", ours.number);
    }
    assert!(ours.len() > 800 && said.contains("TCP  192.0.2.10:80 wlc"), "{said}");
}

#[test]
fn several_lcores_send_as_many() {
    let Some(program) = application("dpdk-lcores") else { return };
    let (folder, (capture, rules)) = (scratch("dpdk-lcores"), traffic());
    let input = folder.join("clients.pcap");
    clients_of(&capture, &input);
    let theirs = balanced(&rules, &input, &folder.join("theirs.pcap"));
    let inputs: Vec<PathBuf> = (0..3).map(|queue| folder.join(format!("queue-{queue}.pcap"))).collect();
    spread(&input, &inputs);
    let (said, outputs) = balance(&program, &rules, &inputs);
    let sent: Vec<usize> = outputs.iter().map(|output| frames(output).len()).collect();
    assert!(sent.iter().all(|sent| *sent > 50), "{sent:?} {said}");
    assert_eq!(sent.iter().sum::<usize>(), theirs.len(), "{said}");
}

/// A frame but for what each shard of a shared director numbers for itself: the identification of outer IPv4 headers, and
/// the checksum over it.
fn comparable(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let is_ipv4_of_ours = frame[12..14] == [8, 0] && frame[26..30] == [10, 0, 0, 1];
    if is_ipv4_of_ours {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    frame
}

/// The packets of a capture by the last byte of their source: a client's packets go the same way.
fn spread(capture: &Path, parts: &[PathBuf]) {
    let mut reader = Reader::open(capture).expect("it was written");
    let (link, resolution) = (reader.link(), reader.resolution());
    let writer = |path: &PathBuf| Writer::create(path, link, resolution).expect("the folder is there");
    let mut writers: Vec<Writer> = parts.iter().map(writer).collect();
    while let Some(frame) = reader.next_frame().expect("a capture") {
        let source = if frame.data[14] >> 4 == 4 { frame.data[29] } else { frame.data[37] };
        writers[usize::from(source) % parts.len()].write(&frame).expect("room");
    }
    for writer in writers {
        writer.finish().expect("room");
    }
}
