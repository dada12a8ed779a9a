//! The machine and what else it was doing: figures are worth nothing without.

use std::fs;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Keeps this thread, and the programs that it starts, on the core where it is now.
pub fn stay_on_one_core() {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    // The last one: the first one has most of the interrupts.
    if let Some(core) = (0..CpuSet::MAX_CPU).rfind(|&core| allowed.is_set(core)) {
        let mut one = CpuSet::new();
        one.set(core);
        let _ = sched_setaffinity(None, &one);
    }
}

/// Keeps this thread on the n-th core of the machine, whichever the others of the program are kept on; not at all where it is
/// not allowed to be there.
pub fn stay_on(core: usize) {
    let mut one = CpuSet::new();
    one.set(core);
    let _ = sched_setaffinity(None, &one);
}

/// Nanoseconds that this thread has lived and was not kept from running by other programs: what it ran, and what it waited for
/// others of this program.
#[must_use]
pub fn undisturbed_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let now = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
    // Time run, time waited for a core, number of turns.
    let disturbed = read("/proc/thread-self/schedstat").split(' ').nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0);
    now - disturbed
}

/// Nanoseconds that this thread has been running: what other programs took is not in it.
#[must_use]
pub fn running_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What is known of the machine and the compiler.
#[must_use]
pub fn describe() -> Value {
    json!({
        "processor": field("/proc/cpuinfo", "model name").unwrap_or_else(|| String::from("unknown")),
        "cores": read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count(),
        "caches": caches(),
        "huge_pages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "compiler": compiler(),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    })
}

/// The compiler by its own words.
#[must_use]
pub fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    match String::from_utf8_lossy(&said).trim() {
        "" => String::from("unknown compiler"),
        version => version.to_owned(),
    }
}

/// How many programs wanted to run on average, this one included.
#[must_use]
pub fn load() -> String {
    read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Seconds of all cores since the machine began, and those that were lost to other machines on the same host.
#[must_use]
pub fn stolen_share() -> (f64, f64) {
    let stat = read("/proc/stat");
    let ticks: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    (ticks.iter().take(8).sum(), ticks.get(7).copied().unwrap_or(0.0))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn caches() -> Vec<String> {
    (0..8)
        .map(|n| format!("/sys/devices/system/cpu/cpu0/cache/index{n}"))
        .map(|path| (read(&format!("{path}/level")), read(&format!("{path}/type")), read(&format!("{path}/size"))))
        .filter(|(level, ..)| !level.is_empty())
        .map(|(level, kind, size)| format!("L{level} {kind} {size}"))
        .collect()
}
