//! Plays recordings of a real kernel against the library, and says where the two differ.
//!
//! `cargo run --release --example conformance -- FILE...`

use std::fs;
use std::io::Read;
use std::process::ExitCode;

use flate2::read::GzDecoder;
use lvs_core::testkit::recording::{Report, play};

const USAGE: &str = "\
usage: conformance FILE...

Plays recordings of a real kernel's IPVS against the library. Each FILE is a recording: JSON lines, one step each, plain
or compressed by gzip; those of the library's own tests are in lvs-core/tests/recordings. Prints a line for each file and
its first difference; exits with 1 when anything differs.";

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.iter().any(|file| file == "--help" || file == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if files.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let (mut steps, mut differ, mut unreadable) = (0, 0, 0);
    for file in &files {
        match play_file(file) {
            Ok(report) => {
                println!("{file}: {} steps, {} differ", report.steps, report.differences.len());
                if let Some(first) = report.differences.first() {
                    println!("{first}");
                }
                steps += report.steps;
                differ += report.differences.len();
            }
            Err(error) => {
                println!("{file}: {error}");
                unreadable += 1;
            }
        }
    }
    println!("{} files, {steps} steps, {differ} differ", files.len());
    if unreadable > 0 {
        println!("{unreadable} files could not be read");
    }
    if differ == 0 && unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play_file(file: &str) -> Result<Report, String> {
    let bytes = fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let mut text = String::new();
    let read = if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(&bytes[..]).read_to_string(&mut text)
    } else {
        (&bytes[..]).read_to_string(&mut text)
    };
    read.map_err(|error| format!("cannot be read: {error}"))?;
    play(&text).map_err(|error| error.to_string())
}
