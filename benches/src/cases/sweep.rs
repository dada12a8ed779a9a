//! The points of the picture: established NAT by the number of flows and by the burst.

use lvs_core::{Family, Protocol};

use super::Plan;
use crate::measure::{LONGEST, Library, packets};
use crate::report::{Point, Report};
use crate::scene::Scene;
use crate::traffic::{Random, Template};

pub(super) fn points(plan: &Plan, report: &mut Report) {
    let mut flows = 1;
    while flows <= plan.most {
        let mut director = Scene::nat(flows).established();
        let mut burst = 1;
        while burst <= LONGEST {
            let mut traffic = Random::of(Template::request(Family::V4, Protocol::Tcp), flows);
            let mut library = Library::new(&mut director, burst);
            let [cost] = packets(plan.rounds / 3, burst, [(&mut library, &mut traffic)]);
            report.points.push(Point { flows, burst, cost });
            burst *= 2;
        }
        flows *= 10;
    }
}
