//! Packets that open flows: with a million others, with each scheduler, under persistence, and when there is no room.

use lvs_core::sched::SchedulerKind;
use lvs_core::{DropReason, Family, Protocol, ReasonCounts};

use super::{Basis, Plan, say};
use crate::measure::{Cost, Library, packets};
use crate::report::{Limit, Report, Row};
use crate::scene::{BURST, OPENED, Scene, play};
use crate::traffic::{Sequence, Template};

/// Segments with SYN of flows that are not among the first `flows`.
fn fresh(flows: u32) -> Sequence {
    Sequence::new(Template::opening(Family::V4, Protocol::Tcp), flows)
}

pub(super) fn cases(plan: &Plan, report: &mut Report, basis: &Basis) {
    many_live(plan, report, basis);
    persistence(plan, report);
    schedulers(plan, report);
    flood(plan, report, basis);
}

/// Room for what a round opens, and for the packets of one more.
const ROOM: u32 = 1 << 14;

fn many_live(plan: &Plan, report: &mut Report, basis: &Basis) {
    for family in [Family::V4, Family::V6] {
        let scene = Scene::nat(plan.many).family(family).scheduled("wlc", 16).room(ROOM).lasting();
        let mut director = scene.established();
        let mut library = Library::new(&mut director, 1).forgetting();
        let mut traffic = Sequence::new(Template::opening(family, Protocol::Tcp), plan.many);
        for burst in [1, BURST] {
            let [cost] = packets(plan.rounds / 3, burst, [(library.in_bursts(burst), &mut traffic)]);
            let version = if family == Family::V6 { ", IPv6" } else { "" };
            let how = if burst == 1 { "one at a time" } else { "bursts of 64" };
            let case = format!("new flow{version}, wlc over 16, {} live, {how}", say(plan.many));
            let row = Row::new(case, &cost).with(plan.many, burst, 0.0).against("T1", &basis.one);
            let is_target = burst == 1 && family == Family::V4;
            report.add(if is_target { row.target("T5", Limit::Ratio(8.0)) } else { row });
        }
    }
}

/// Opening a flow with few others, out of so many servers.
fn open(plan: &Plan, scene: Scene, traffic: Sequence) -> Cost {
    let mut traffic = traffic;
    let mut director = scene.empty();
    let mut library = Library::new(&mut director, BURST).forgetting();
    let [cost] = packets(plan.rounds / 5, BURST, [(&mut library, &mut traffic)]);
    cost
}

fn persistence(plan: &Plan, report: &mut Report) {
    let scene = Scene::nat(0).room(4 * ROOM).scheduled("wlc", 16);
    let plain = open(plan, scene, fresh(0));
    let known = open(plan, scene.persistent(), fresh(0));
    let unknown = open(plan, scene.persistent(), fresh(0).of_new_clients());
    for (case, cost) in [("of a known client", known), ("of a new client", unknown)] {
        let row = Row::new(format!("new flow, persistent, {case}, bursts of 64"), &cost).with(0, BURST, 0.0);
        report.add(row.against("not persistent", &plain));
    }
}

fn schedulers(plan: &Plan, report: &mut Report) {
    for kind in SchedulerKind::ALL {
        let [few, many] = [16, 1000].map(|servers| {
            let scene = Scene::nat(0).room(ROOM).scheduled(kind.name(), servers);
            open(plan, scene, fresh(0))
        });
        let row = Row::new(format!("new flow, {} over 1000, bursts of 64", kind.name()), &many).with(0, BURST, 0.0);
        report.add(row.against("over 16", &few));
    }
}

fn table_full(reasons: &ReasonCounts) -> u64 {
    reasons.dropped(DropReason::TableFull)
}

/// SYNs at a table that is full of half-open connections.
fn flood(plan: &Plan, report: &mut Report, basis: &Basis) {
    let mut director = Scene::nat(0).room(plan.many).empty();
    play(&mut director, fresh(0), plan.many, OPENED);
    for burst in [1, BURST] {
        let mut library = Library::wanting(&mut director, burst, table_full);
        let [cost] = packets(plan.rounds, burst, [(&mut library, &mut fresh(plan.many))]);
        let how = if burst == 1 { "one at a time" } else { "bursts of 64" };
        let case = format!("SYN refused, {} half-open, table full, {how}", say(plan.many));
        report.add(Row::new(case, &cost).with(plan.many, burst, 0.0).against("T1", &basis.one));
    }
}
