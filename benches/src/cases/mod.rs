//! What is measured. Each file adds its rows to the report; the order here is the order of the table.

mod crossing;
mod established;
mod lookup;
mod memory;
mod mixed;
mod openings;
mod picks;
mod rules;
mod shared;
mod sweep;
mod timers;
mod whole_path;

use crate::measure::Cost;
use crate::report::Report;

/// How large and how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Smaller tables and fewer rounds.
    pub quick: bool,
    /// Rounds of a measurement.
    pub rounds: usize,
    /// Flows that fit into the caches next to the core.
    pub few: u32,
    /// Flows that do not: a million.
    pub many: u32,
    /// Ten millions.
    pub most: u32,
}

impl Plan {
    /// As the targets say.
    #[must_use]
    pub const fn full() -> Self {
        Self { quick: false, rounds: 101, few: 64, many: 1 << 20, most: 10_000_000 }
    }

    /// For a first look.
    #[must_use]
    pub const fn quick() -> Self {
        Self { quick: true, rounds: 15, few: 64, many: 1 << 17, most: 1 << 18 }
    }
}

/// What other cases are compared with.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    /// One packet of few flows: T1.
    one: Cost,
}

/// Runs every case.
pub fn run(plan: &Plan, report: &mut Report) {
    let basis = established::floors(plan, report);
    established::variants(plan, report);
    established::allocations(plan, report);
    lookup::cases(plan, report);
    openings::cases(plan, report, &basis);
    mixed::cases(plan, report);
    timers::cases(plan, report);
    memory::cases(plan, report);
    picks::cases(plan, report);
    rules::cases(plan, report);
    crossing::cases(plan, report);
    shared::cases(plan, report);
    whole_path::cases(plan, report);
    sweep::points(plan, report);
}

/// A number of flows, as one says it.
fn say(flows: u32) -> String {
    match flows {
        10_000_000 => String::from("10M"),
        n if n >= 1 << 20 => format!("{}M", n >> 20),
        n if n >= 1000 => format!("{}k", n / 1000),
        n => n.to_string(),
    }
}
