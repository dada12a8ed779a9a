//! Everything, into one table: `make bench`, or `make bench-quick` for a first look.

use std::process::ExitCode;

use lvs_benches::alloc::Counting;
use lvs_benches::cases::{self, Plan};
use lvs_benches::machine;
use lvs_benches::report::{Report, folder};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "quick");
    let plan = if quick { Plan::quick() } else { Plan::full() };
    machine::stay_on_one_core();
    let mut report = Report::new(quick);
    cases::run(&plan, &mut report);
    match report.finish(&folder()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("results could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}
