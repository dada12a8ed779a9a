//! The search alone: a connection by what a packet shows, against DPDK's hash table.

use lvs_core::testkit::lookup::{LookupKey, lookup};
use lvs_core::{Director, Family, Flow};

use super::{Plan, say};
use crate::machine::running_ns;
use crate::measure::{Cost, ROUND};
use crate::references::Missing;
use crate::references::dpdk::Dpdk;
use crate::report::{Limit, Report, Row};
use crate::scene::{BURST, NOW, Scene, client, service_address};
use crate::traffic::Draws;

/// So often do both take turns.
const TURNS: usize = 3;

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    let flows = plan.many;
    let director = Scene::nat(flows).established();
    let mut ours = Vec::new();
    let theirs = Dpdk::new().and_then(|dpdk| turns(plan, &dpdk, &director, &mut ours));
    if theirs.is_err() {
        ours = search(&director, flows, plan.rounds);
    }
    let case = format!("lookup alone, {} flows, bursts of 64", say(flows));
    let row = Row::new(case, &Cost::of(ours)).with(flows, BURST, 1.0).target("T4", Limit::Ratio(1.0));
    let name = "DPDK rte_hash with its value";
    report.add(match theirs {
        Ok(cost) => row.against(name, &cost),
        Err(missing) => row.missing(name, missing),
    });
}

fn turns(plan: &Plan, dpdk: &Dpdk, director: &Director, ours: &mut Vec<f64>) -> Result<Cost, Missing> {
    let mut theirs = Vec::new();
    for _ in 0..TURNS {
        theirs.extend(dpdk.lookup(plan.many, plan.rounds / TURNS)?.samples);
        ours.extend(search(director, plan.many, plan.rounds / TURNS));
    }
    Ok(Cost::of(theirs))
}

/// Rounds of searches, all of which find a connection.
fn search(director: &Director, flows: u32, rounds: usize) -> Vec<f64> {
    let mut draws = Draws::new();
    let destination = service_address(Family::V4);
    let mut round = || {
        let flow = |n| Flow { protocol: 6, source: client(Family::V4, n), destination };
        let keys: Vec<LookupKey> = (0..ROUND).map(|_| LookupKey::from(&flow(draws.below(flows)))).collect();
        let start = running_ns();
        let found = lookup(director, NOW, &keys);
        let took = (running_ns() - start) as f64 / ROUND as f64;
        assert_eq!(found, ROUND, "every flow has a connection");
        took
    };
    // The first round warms up.
    round();
    std::iter::repeat_with(round).take(rounds).collect()
}
