//! The header is what the sources say, and says what lvs-core says.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::fs;
use std::path::{Path, PathBuf};

use lvs_core::{DropReason, PassReason, ReplyReason, SctpState, SyncIgnored, TcpState};

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header_path() -> PathBuf {
    manifest_dir().join("../include/lvs.h")
}

/// The documentation of the crate as a C comment.
fn head() -> String {
    let source = fs::read_to_string(manifest_dir().join("src/lib.rs")).expect("the sources are here");
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let comment: String = lines.map(|line| format!(" *{line}\n")).collect();
    format!("/*\n{comment} *\n * Made from the sources of lvs-ffi; changes go there.\n */")
}

fn generate() -> String {
    let mut config = cbindgen::Config::from_file(manifest_dir().join("cbindgen.toml")).expect("it can be read");
    config.header = Some(head());
    let source = manifest_dir().join("src/lib.rs");
    let bindings = cbindgen::Builder::new().with_src(source).with_config(config).generate().expect("sources for C");
    let mut text = Vec::new();
    bindings.write(&mut text);
    compact(&String::from_utf8(text).expect("cbindgen writes text"))
}

/// Comments of one line on one line, others without the empty first and last line.
fn compact(header: &str) -> String {
    let (mut out, mut lines): (String, _) = (String::new(), header.lines().peekable());
    let mut in_head = true;
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if in_head || line.trim() != "/*" {
            in_head &= line.trim() != "*/";
            writeln!(out, "{line}").expect("memory");
            continue;
        }
        let text: Vec<&str> = lines.by_ref().map(str::trim).take_while(|line| *line != "*/").collect();
        for (number, line) in text.iter().enumerate() {
            let open = if number == 0 {
                "/*"
            } else if line.is_empty() {
                " *"
            } else {
                " * "
            };
            let gap = if number == 0 { " " } else { "" };
            let close = if number + 1 == text.len() { " */" } else { "" };
            writeln!(out, "{indent}{open}{gap}{line}{close}").expect("memory");
        }
    }
    out.replace("\n\n\n", "\n\n")
}

#[test]
fn the_header_is_what_the_sources_make() {
    let generated = generate();
    if std::env::var_os("LVS_BLESS").is_some() {
        fs::create_dir_all(header_path().parent().expect("it is in a folder")).expect("the folder can be made");
        fs::write(header_path(), &generated).expect("it can be written");
    }
    let committed = fs::read_to_string(header_path()).unwrap_or_default();
    assert!(committed == generated, "include/lvs.h is out of date: LVS_BLESS=1 cargo test -p lvs-ffi --test header");
}

/// The constants of an enum in the header, by name.
fn constants(of: &str) -> BTreeMap<String, u32> {
    let header = generate();
    let (_, body) = header.split_once(&format!("enum {of} {{\n")).expect("the enum is there");
    let (body, _) = body.split_once("} ").expect("it ends");
    body.lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "))
        .map(|(name, value)| (String::from(name), value.parse().expect("a number")))
        .collect()
}

/// The constants that reasons of lvs-core come to: `NotIp` with prefix `LVS_DROP` is `LVS_DROP_NOT_IP`.
fn mirrored<T: Debug + Copy>(prefix: &str, all: &[T], number: impl Fn(T) -> u8) -> BTreeMap<String, u32> {
    let screaming = |camel: String| {
        camel.chars().fold(String::from(prefix), |mut name, c| {
            if c.is_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
            name
        })
    };
    all.iter().map(|&reason| (screaming(format!("{reason:?}")), u32::from(number(reason)))).collect()
}

#[test]
fn reasons_are_those_of_the_library_one_to_one() {
    assert_eq!(constants("lvs_pass_reason"), mirrored("LVS_PASS", PassReason::ALL, |reason| reason as u8));
    assert_eq!(constants("lvs_drop_reason"), mirrored("LVS_DROP", DropReason::ALL, |reason| reason as u8));
    assert_eq!(constants("lvs_reply_reason"), mirrored("LVS_REPLY", ReplyReason::ALL, |reason| reason as u8));
    assert_eq!(constants("lvs_sync_ignored"), mirrored("LVS_SYNC", SyncIgnored::ALL, |reason| reason as u8));
}

#[test]
fn states_are_those_of_the_library_one_to_one() {
    assert_eq!(constants("lvs_tcp_state"), mirrored("LVS_TCP", &TcpState::ALL, |state| state as u8));
    assert_eq!(constants("lvs_sctp_state"), mirrored("LVS_SCTP", &SctpState::ALL, |state| state as u8));
}

#[test]
fn every_function_says_what_threads_may_do() {
    let header = generate();
    let is_function = |part: &&str| part.trim_end().ends_with(");") && !part.contains("typedef");
    let functions = header.split("\n\n/*").filter(is_function);
    let (mut seen, phrases) = (0, ["Thread-safe.", "One thread at a time per handle."]);
    for function in functions {
        let words = function.replace("\n *", " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(phrases.iter().any(|phrase| words.contains(phrase)), "{function}");
        seen += 1;
    }
    assert!(seen >= 60, "{seen} functions in the header");
}
