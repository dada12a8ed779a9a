//! Plays recordings of a real kernel against the library, and says where the two differ.
//!
//! `cargo run --release --example conformance -- FILE...`

use std::process::ExitCode;

use lvs_core::testkit::recording::play;

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() || files.iter().any(|file| file == "--help" || file == "-h") {
        eprintln!(
            "usage: conformance FILE...\n\nEach FILE is a recording: JSON lines, one step each, plain or compressed by gzip."
        );
        return if files.is_empty() { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    let (mut steps, mut differ, mut unreadable) = (0, 0, 0);
    for file in &files {
        let name = std::path::Path::new(file).file_name().map_or(file.as_str().into(), |name| name.to_string_lossy());
        let played =
            std::fs::read_to_string(file).map_err(|e| e.to_string()).and_then(|t| play(&t).map_err(|e| e.to_string()));
        match played {
            Ok(report) => {
                println!("{name}: {} steps, {} differ", report.steps, report.differences.len());
                if let Some(first) = report.differences.first() {
                    println!("{first}");
                }
                steps += report.steps;
                differ += report.differences.len();
            }
            Err(error) => {
                println!("{name}: {error}");
                unreadable += 1;
            }
        }
    }
    println!("{} files, {steps} steps, {differ} differ", files.len());
    if differ == 0 && unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
