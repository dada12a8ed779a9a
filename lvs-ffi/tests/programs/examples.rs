//! The examples in C: built as their first lines say, and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lvs_examples::balance::{self, Arguments, Frame, Reader, Writer};

use crate::build::{STRICT, build, build_and_run, compiler, run, scratch, sources};

fn example(name: &str) -> PathBuf {
    sources().join("examples").join(name)
}

#[test]
fn hello_is_the_program_of_the_readme_and_prints_what_it_says() {
    let readme = fs::read_to_string(sources().join("README.md")).expect("there is one");
    let (_, rest) = readme.split_once("```c\n").expect("with an example");
    let (shown, rest) = rest.split_once("```").expect("that ends");
    let (_, rest) = rest.split_once("```text\n").expect("and what it prints");
    let (printed, _) = rest.split_once("```").expect("that ends, too");
    let source = fs::read_to_string(example("hello.c")).expect("it is there");
    assert!(source.ends_with(shown) && source.lines().count() <= 20, "{source}");
    if let Some(said) = build_and_run(&example("hello.c"), "hello") {
        assert_eq!(said, printed);
    }
}

#[test]
fn what_the_readme_shows_compiles() {
    let readme = fs::read_to_string(sources().join("README.md")).expect("there is one");
    let shown: Vec<&str> = readme.split("```c\n").skip(2).filter_map(|rest| rest.split("```").next()).collect();
    assert!(shown.len() >= 8, "{} pieces of C", shown.len());
    let source = scratch("readme").join("readme.c");
    fs::write(&source, format!("#include <lvs.h>\n#include <stdio.h>\n#include <string.h>\n{}", shown.concat()))
        .expect("the folder is there");
    let Some(compiler) = compiler("CC", "cc") else { return };
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-fsyntax-only"]).args(STRICT).arg("-I").arg(sources().join("../include")).arg(source);
    run(&mut command).unwrap_or_else(|complaint| panic!("{complaint}"));
}

#[test]
fn bursts_are_spread_by_weight() {
    if let Some(said) = build_and_run(&example("burst.c"), "burst") {
        assert!(said.starts_with("750 queries to 10.0.0.1, 250 to 10.0.0.2\n"), "{said}");
        assert!(said.contains("UDP  192.0.2.10:53"), "{said}");
    }
}

/// What clients sent in the capture of the example `balance`; with the frames of the servers a program would have to play
/// servers as that example does.
pub(crate) fn clients_of(capture: &Path, out: &Path) {
    let servers: [&[u8]; 2] = [&[192, 0, 2, 10], &[0x20, 1, 0xd, 0xb8, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]];
    let is_of_server = |frame: &Frame| match frame.data[14] >> 4 {
        4 => &frame.data[26..30] == servers[0],
        6 => &frame.data[22..38] == servers[1],
        _ => true,
    };
    let mut reader = Reader::open(capture).expect("the capture is there");
    let mut writer = Writer::create(out, reader.link(), reader.resolution()).expect("the folder is there");
    while let Some(frame) = reader.next_frame().expect("a capture") {
        if !is_of_server(&frame) {
            writer.write(&frame).expect("room");
        }
    }
    writer.finish().expect("room");
}

/// What the example `balance` writes.
pub(crate) fn balanced(rules: &Path, capture: &Path, out: &Path) -> Vec<Frame> {
    let arguments = Arguments {
        rules: Some(rules.to_path_buf()),
        pcap: Some(capture.to_path_buf()),
        out: Some(out.to_path_buf()),
        explain: None,
        burst: 64,
    };
    balance::run(&arguments, &mut Vec::new()).unwrap_or_else(|failure| panic!("{failure}"));
    frames(out)
}

pub(crate) fn frames(capture: &Path) -> Vec<Frame> {
    let mut reader = Reader::open(capture).expect("a capture");
    std::iter::from_fn(|| reader.next_frame().expect("a frame")).collect()
}

/// The capture and the rules of the example `balance`.
pub(crate) fn traffic() -> (PathBuf, PathBuf) {
    let examples = sources().join("../examples");
    (examples.join("captures/web.pcap"), examples.join("balance/default.rules"))
}

#[test]
fn a_capture_is_balanced_as_the_example_balance_does_it() {
    let has_libpcap = Command::new("pkg-config").args(["--exists", "libpcap"]).status().is_ok_and(|is| is.success());
    if !has_libpcap {
        println!("left out: pkg-config finds no libpcap");
        return;
    }
    let Some(program) = build(&example("pcap_balance.c"), "pcap_balance", &["-lpcap"]) else { return };
    let (folder, (capture, rules)) = (scratch("pcap_balance"), traffic());
    let (input, ours) = (folder.join("clients.pcap"), folder.join("ours.pcap"));
    clients_of(&capture, &input);
    let said =
        run(Command::new(program).args([&rules, &input, &ours])).unwrap_or_else(|complaint| panic!("{complaint}"));
    let (ours, theirs) = (frames(&ours), balanced(&rules, &input, &folder.join("theirs.pcap")));
    assert!(ours.len() > 800 && said.ends_with(&format!("{} left the director\n", ours.len())), "{said}");
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}
