//! The kernel's own way of a packet: plain forwarding, and the same with destination NAT by nftables.

use std::process::Command;

use super::{Missing, output, source};
use crate::measure::Cost;
use crate::report::folder;

/// What a packet costs on its whole way: a system call for 64 of them, a veth pair, routing, another veth pair.
#[derive(Clone, Debug)]
pub struct WholePath {
    /// Forwarded as it is.
    pub plain: Cost,
    /// With connection tracking and NAT.
    pub nat: Cost,
}

/// Measures it in a network namespace of its own.
///
/// # Errors
/// What is missing: a kernel with nftables, being root, a tool.
pub fn whole_path(flows: u32, rounds: usize) -> Result<WholePath, Missing> {
    let program = folder().join("kernel-flood");
    std::fs::create_dir_all(folder()).map_err(|error| Missing(error.to_string()))?;
    output(Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source("kernel/flood.c")))?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "sh"]).arg(source("kernel/nat.sh")).arg(&program);
    let printed = output(unshare.args([flows.to_string(), rounds.to_string()]))
        .map_err(|Missing(why)| Missing(format!("needs root, nftables and iproute2: {why}")))?;
    let samples = |kind: &str| {
        let lines = printed.lines().filter_map(|line| line.strip_prefix(kind)?.trim().parse().ok());
        Cost::of(lines.collect())
    };
    Ok(WholePath { plain: samples("plain "), nat: samples("nat ") })
}
