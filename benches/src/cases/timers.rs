//! The passing of time: what timers of live flows cost, and how long one call may take.

use core::time::Duration;

use lvs_core::{Director, Family, Instant, Protocol};

use super::{Plan, say};
use crate::machine::running_ns;
use crate::measure::quantile;
use crate::report::{Figure, Limit, Report, Row};
use crate::scene::{OPENED, Scene, play};
use crate::traffic::{Sequence, Template};

/// What one call of `advance` may look at, where its time is to be bounded.
const BUDGET: usize = 128;
/// How often an embedder calls it.
const PERIOD: Duration = Duration::from_millis(4);

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    for flows in [plan.many, plan.most] {
        let mut director = Scene::nat(flows).established();
        let now = live(plan, report, &mut director, flows);
        ending(report, &mut director, flows, now);
    }
}

/// All flows are kept alive by a packet every four minutes each, and `advance` is called every four milliseconds.
fn live(plan: &Plan, report: &mut Report, director: &mut Director, flows: u32) -> Instant {
    const MINUTES: u32 = 4;
    let seconds = if plan.quick { 60 } else { 2 * MINUTES * 60 };
    let each_second = flows / (MINUTES * 60);
    let mut now = OPENED;
    let mut spent = 0;
    let mut samples = Vec::new();
    for second in 0..seconds {
        let first = second % (MINUTES * 60) * each_second;
        play(director, Sequence::new(Template::request(Family::V4, Protocol::Tcp), first), each_second, now);
        let before = running_ns();
        for _ in 0..1000 / PERIOD.as_millis() {
            now += PERIOD;
            while director.advance(now, BUDGET).more {}
        }
        let took = running_ns() - before;
        samples.push(took as f64 / 1e7);
        spent += took;
    }
    assert_eq!(director.connection_count(), flows as usize, "no flow has ended");
    let share = Figure { value: spent as f64 / f64::from(seconds) / 1e7, unit: "% of a core", samples };
    let row = Row::new(format!("timers of {} live flows", say(flows)), share).with(flows, 1, 1.0);
    report.add(if flows == plan.many { row.target("T6", Limit::Value(0.1)) } else { row });
    now
}

/// All flows have come to their end at once: calls of a small budget take them away.
fn ending(report: &mut Report, director: &mut Director, flows: u32, now: Instant) {
    let now = now + Duration::from_secs(1000);
    let mut calls = Vec::with_capacity(flows as usize / 64);
    loop {
        let before = running_ns();
        let more = director.advance(now, BUDGET).more;
        calls.push((running_ns() - before) as f64);
        if !more {
            break;
        }
    }
    assert_eq!(director.connection_count(), 0, "every flow has ended");
    let value = calls.iter().sum::<f64>() / f64::from(flows);
    let row = Row::new(format!("expiry, {} due at once, each", say(flows)), Figure::counted(value, "ns"));
    report.add(row.with(flows, BUDGET, 1.0));
    let micros: Vec<f64> = calls.iter().map(|ns| ns / 1000.0).collect();
    let value = quantile(&micros, 0.999);
    let case = format!("one advance of budget {BUDGET}, {} due, 99.9 % of calls", say(flows));
    let longest = quantile(&micros, 1.0);
    // The samples of all three rows, tens of thousands of them, are said once.
    let row = Row::new(case, Figure { value, unit: "us", samples: micros }).with(flows, BUDGET, 1.0);
    report.add(row.target("T6", Limit::Value(100.0)));
    let case = format!("one advance of budget {BUDGET}, {} due, the longest", say(flows));
    report.add(Row::new(case, Figure::counted(longest, "us")).with(flows, BUDGET, 1.0));
}
