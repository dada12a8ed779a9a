//! Two threads on one director: `cargo run --release --example threads`.

use std::io;
use std::process::ExitCode;

use lvs_examples::threads;

fn main() -> ExitCode {
    match threads::run(&mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
