//! DPDK's `rte_hash`: a program in C, compiled here and run as a process of its own on the same core.

use std::process::Command;

use super::{Missing, output, source};
use crate::measure::{Cost, ROUND};
use crate::report::folder;

/// The program, ready to run.
#[derive(Debug)]
pub struct Dpdk {
    program: std::path::PathBuf,
}

impl Dpdk {
    /// Compiles it.
    ///
    /// # Errors
    /// The package or the tool that is missing.
    pub fn new() -> Result<Self, Missing> {
        let needs = |_| Missing(String::from("needs the packages libdpdk-dev and pkg-config"));
        let flags = output(Command::new("pkg-config").args(["--cflags", "--libs", "libdpdk"])).map_err(needs)?;
        std::fs::create_dir_all(folder()).map_err(|error| Missing(error.to_string()))?;
        let program = folder().join("dpdk-lookup");
        let mut compiler = Command::new("cc");
        compiler.arg("-O3").arg("-o").arg(&program).arg(source("dpdk/lookup.c")).args(flags.split_whitespace());
        output(&mut compiler)?;
        Ok(Self { program })
    }

    /// One lookup of a 16-byte key out of `flows`, in bursts of 64, its value read.
    ///
    /// # Errors
    /// What went wrong.
    pub fn lookup(&self, flows: u32, rounds: usize) -> Result<Cost, Missing> {
        let arguments = [flows.to_string(), rounds.to_string(), ROUND.to_string()];
        let printed = output(Command::new(&self.program).args(arguments))?;
        Ok(Cost::of(printed.lines().filter_map(|line| line.parse().ok()).collect()))
    }
}
