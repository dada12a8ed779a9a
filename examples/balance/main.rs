//! Balances a packet capture: `cargo run --release --example balance`, and `-- --help` for more.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use lvs_examples::balance::{self, Arguments};

fn main() -> ExitCode {
    match balance::run(&Arguments::parse(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_closed_pipe() {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
