//! TCP as a balancer sees it: established flows, and some that come and go.

use lvs_core::Family;

use super::{Plan, say};
use crate::measure::{Library, packets};
use crate::report::{Report, Row};
use crate::scene::{BURST, Scene};
use crate::traffic::{Mixed, Random, Template};

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    for flows in [10_000, plan.many, plan.most] {
        // With ten millions the rest between two rounds takes long.
        let rounds = if flows > plan.many { plan.rounds / 8 } else { plan.rounds / 3 };
        let mut director = Scene::nat(flows).room(1 << 14).scheduled("wlc", 16).lasting().established();
        let mut requests = Random::of(Template::request(Family::V4, lvs_core::Protocol::Tcp), flows);
        let [plain] = packets(rounds, BURST, [(&mut Library::new(&mut director, BURST), &mut requests)]);
        let mut library = Library::new(&mut director, BURST).forgetting();
        let [cost] = packets(rounds, BURST, [(&mut library, &mut Mixed::new(Family::V4, flows))]);
        let case = format!("mixed, 90 % of {} flows, 8 % new, 2 % closing", say(flows));
        report.add(Row::new(case, &cost).with(flows, BURST, 0.92).against("established alone", &plain));
    }
}
