//! What the benchmarks share: packets of numbered flows, the floors to compare with, and a way to time.

pub mod floor;
pub mod flows;
pub mod time;
