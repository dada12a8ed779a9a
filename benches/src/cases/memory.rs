//! What a connection takes of memory, by the count of an allocator that the library knows nothing of.

use lvs_core::Family;

use super::{Plan, say};
use crate::alloc::live_bytes;
use crate::report::{Figure, Limit, Report, Row};
use crate::scene::Scene;

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        let flows = plan.many;
        let before = live_bytes();
        let director = Scene::nat(flows).family(family).established();
        let each = |bytes: u64| Figure::counted(bytes as f64 / f64::from(flows), "B");
        let counted = each(live_bytes() - before);
        let row = Row::new(format!("memory of a NAT connection, {name}, {} established", say(flows)), counted);
        let said = each(director.memory() as u64);
        report.add(row.with(flows, 1, 1.0).against("Director::memory", said).target("T7", Limit::Value(160.0)));
    }
}
