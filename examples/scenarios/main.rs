//! Writes random scenarios for a kernel's IPVS: `cargo run --release --example scenarios -- FAMILY SEED`.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use clap::Parser;
use lvs_examples::scenarios::{self, Arguments};

fn main() -> ExitCode {
    match scenarios::run(&Arguments::parse(), &mut io::stdout().lock()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("scenarios: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
