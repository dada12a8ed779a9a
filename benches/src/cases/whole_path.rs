//! A packet's way through a kernel, beside the library's part of such a way.

use lvs_core::{Family, Protocol};

use super::{Plan, say};
use crate::measure::{Cost, Library, packets};
use crate::references::kernel::whole_path;
use crate::report::{Report, Row};
use crate::scene::{BURST, Scene};
use crate::traffic::{Random, Template};

/// Not more than connection tracking has room for unless it is told otherwise.
const FLOWS: u32 = 100_000;

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    for flows in [plan.few, FLOWS] {
        let mut director = Scene::nat(flows).established();
        let mut traffic = Random::of(Template::request(Family::V4, Protocol::Tcp), flows);
        let [cost] = packets(plan.rounds, BURST, [(&mut Library::new(&mut director, BURST), &mut traffic)]);
        let row = Row::new(format!("NAT, {} flows, no I/O", say(flows)), &cost).with(flows, BURST, 1.0);
        match whole_path(flows, plan.rounds) {
            Ok(path) => {
                let added = path.nat.samples.iter().map(|sample| sample - path.plain.ns).collect();
                report.add(row.clone().against("nft DNAT, what it adds to forwarding", &Cost::of(added)));
                report.add(row.against("nft DNAT, whole path through a kernel", &path.nat));
            }
            Err(missing) => report.add(row.missing("nft DNAT", missing)),
        }
    }
}
