//! Packets of established flows: against the floors, against other tables, and in all variants against plain NAT.

use lvs_core::{Director, Family, Method, Protocol, ReasonCounts, ReplyReason};

use super::{Basis, Plan, say};
use crate::alloc;
use crate::floors::{self, Compute};
use crate::measure::{Cost, Library, Subject, packets};
use crate::references::naive::Naive;
use crate::references::slab::Slab;
use crate::report::{Figure, Limit, Report, Row};
use crate::scene::{BURST, NOW, Scene, play};
use crate::traffic::{Random, Template, Traffic};

fn requests(flows: u32) -> Random {
    Random::of(Template::request(Family::V4, Protocol::Tcp), flows)
}

/// Plain NAT against the floors, and against the other tables.
pub(super) fn floors(plan: &Plan, report: &mut Report) -> Basis {
    let (few, many) = (plan.few, plan.many);
    let mut director = Scene::nat(few).established();
    let mut compute = Compute::new(few);
    let [one, f1] = packets(
        plan.rounds,
        1,
        [(&mut Library::new(&mut director, 1), &mut requests(few)), (&mut compute, &mut requests(few))],
    );
    let [burst] = packets(plan.rounds, BURST, [(&mut Library::new(&mut director, BURST), &mut requests(few))]);
    let f2 = floors::memory(plan.rounds.min(63));
    report.add(Row::new("F1, compute: the work on a packet in straight-line code", &f1).with(few, 1, 1.0));
    report.add(Row::new("F2, memory: a random line of 64 MiB, bursts of 64", &f2.burst).with(0, BURST, 1.0));
    report.add(Row::new("    the same, each telling where the next one is", &f2.chased).with(0, 1, 1.0));
    let name = |what: &str| format!("NAT, {} flows, {what}", say(few));
    let row = Row::new(name("one at a time"), &one).with(few, 1, 1.0);
    report.add(row.against("F1, compute", &f1).target("T1", Limit::Ratio(2.0)));
    report.add(Row::new(name("bursts of 64"), &burst).with(few, BURST, 1.0).against("F1, compute", &f1));

    let mut director = Scene::nat(many).established();
    let [burst] = packets(plan.rounds, BURST, [(&mut Library::new(&mut director, BURST), &mut requests(many))]);
    let name = |what: &str| format!("NAT, {} random flows, {what}", say(many));
    let row = Row::new(name("bursts of 64"), &burst).with(many, BURST, 1.0);
    report.add(row.clone().against("F2, memory", &f2.burst).target("T2", Limit::Ratio(8.0)));
    report.add(row.against("T1", &one).target("T2", Limit::Ratio(2.2)));

    let mut slab = Slab::new(many);
    let [single, hashbrown] = packets(
        plan.rounds,
        1,
        [(&mut Library::new(&mut director, 1), &mut requests(many)), (&mut slab, &mut requests(many))],
    );
    let row = Row::new(name("one at a time"), &single).with(many, 1, 1.0);
    report.add(row.against("hashbrown and slab", &hashbrown).target("T3", Limit::Ratio(1.0)));
    let mut library = Library::new(&mut director, 1).apart();
    let [single, hashbrown] =
        packets(plan.rounds, 1, [(&mut library, &mut requests(many)), (slab.apart(), &mut requests(many))]);
    let row = Row::new(name("one at a time, no overlap"), &single).with(many, 1, 1.0);
    report.add(row.against("hashbrown and slab", &hashbrown));
    drop(slab);
    for flows in [few, many] {
        naive(plan, report, flows);
    }
    Basis { one }
}

fn naive(plan: &Plan, report: &mut Report, flows: u32) {
    let mut director = Scene::nat(flows).established();
    let mut naive = Naive::new(flows);
    let [library, reference] = packets(
        plan.rounds,
        1,
        [(&mut Library::new(&mut director, 1), &mut requests(flows)), (&mut naive, &mut requests(flows))],
    );
    let row = Row::new(format!("NAT, {} random flows, one at a time", say(flows)), &library).with(flows, 1, 1.0);
    report.add(row.against("written the obvious way", &reference));
}

/// What differs from plain NAT, and how much more it may cost.
struct Variant {
    name: &'static str,
    scene: fn(u32) -> Scene,
    traffic: fn(&Scene) -> Vec<Template>,
    limit: Limit,
    wanted: fn(&ReasonCounts) -> u64,
}

impl Variant {
    const fn new(name: &'static str, scene: fn(u32) -> Scene, limit: Limit) -> Self {
        Self { name, scene, traffic: request, limit, wanted: ReasonCounts::forwarded }
    }

    const fn replies(self) -> Self {
        Self { traffic: Scene::replies, ..self }
    }
}

fn request(scene: &Scene) -> Vec<Template> {
    vec![Template::request(scene.family, scene.protocol)]
}

fn error(_: &Scene) -> Vec<Template> {
    vec![Template::error_from_outside()]
}

fn no_destination(reasons: &ReasonCounts) -> u64 {
    reasons.replied(ReplyReason::NoDestination)
}

fn opening(_: &Scene) -> Vec<Template> {
    vec![Template::opening(Family::V4, Protocol::Tcp)]
}

const SAME: Limit = Limit::Ratio(1.0);
const V6: Limit = Limit::Ratio(1.25);

const VARIANTS: [Variant; 13] = [
    Variant::new("DR", |flows| Scene::nat(flows).method(Method::Dr), SAME),
    Variant::new("TUN", |flows| Scene::nat(flows).method(Method::Tun), SAME),
    Variant::new("NAT, UDP", |flows| Scene::nat(flows).protocol(Protocol::Udp), Limit::None),
    Variant::new("NAT, replies", Scene::nat, Limit::None).replies(),
    Variant::new("NAT, IPv6", |flows| Scene::nat(flows).family(Family::V6), V6),
    Variant::new("DR, IPv6", |flows| Scene::nat(flows).family(Family::V6).method(Method::Dr), V6),
    Variant::new("TUN, IPv6", |flows| Scene::nat(flows).family(Family::V6).method(Method::Tun), V6),
    Variant::new("NAT, IPv6, UDP", |flows| Scene::nat(flows).family(Family::V6).protocol(Protocol::Udp), V6),
    Variant::new("NAT, IPv6, replies", |flows| Scene::nat(flows).family(Family::V6), V6).replies(),
    Variant::new("DR, UDP", |flows| Scene::nat(flows).method(Method::Dr).protocol(Protocol::Udp), Limit::None),
    Variant::new("NAT, persistent", |flows| Scene::nat(flows).persistent().room(flows / 4096 + 1), Limit::None),
    Variant { traffic: error, ..Variant::new("ICMP error from outside", Scene::nat, Limit::None) },
    Variant {
        traffic: opening,
        wanted: no_destination,
        ..Variant::new("ICMP error built: no server", |_| Scene::nat(0).room(1).scheduled("rr", 0), Limit::None)
    },
];

/// Everything that is not plain NAT of TCP over IPv4, each in turns with that.
pub(super) fn variants(plan: &Plan, report: &mut Report) {
    let mut few = Scene::nat(plan.few).established();
    let mut many = Scene::nat(plan.many).established();
    for variant in &VARIANTS {
        for (flows, burst, nat) in [(plan.few, 1, &mut few), (plan.many, BURST, &mut many)] {
            variant.measure(plan, report, (flows, burst), nat);
        }
    }
}

impl Variant {
    fn measure(&self, plan: &Plan, report: &mut Report, (flows, burst): (u32, usize), nat: &mut Director) {
        let scene = (self.scene)(flows);
        let mut director = scene.established();
        let mut traffic = Random::new((self.traffic)(&scene), flows);
        let mut library = Library::wanting(&mut director, burst, self.wanted);
        let [cost, plain] = contest(plan, burst, (&mut library, &mut traffic), (nat, flows));
        let how = if burst == 1 { String::from("one at a time") } else { format!("bursts of {burst}") };
        let hits = if scene.flows == 0 { 0.0 } else { 1.0 };
        let row = Row::new(format!("{}, {} flows, {how}", self.name, say(flows)), &cost).with(scene.flows, burst, hits);
        report.add(row.against("NAT", &plain).target("", self.limit));
    }
}

fn contest(
    plan: &Plan,
    burst: usize,
    (subject, traffic): (&mut dyn Subject, &mut dyn Traffic),
    (nat, flows): (&mut Director, u32),
) -> [Cost; 2] {
    let mut plain = Library::new(nat, burst);
    packets(plan.rounds, burst, [(subject, traffic), (&mut plain, &mut requests(flows))])
}

/// How often a million packets of established flows ask for memory.
pub(super) fn allocations(plan: &Plan, report: &mut Report) {
    let flows = plan.many;
    let mut director = Scene::nat(flows).established();
    let traffic = requests(flows);
    let before = alloc::calls();
    play(&mut director, traffic, 1 << 20, NOW);
    let calls = Figure::counted((alloc::calls() - before) as f64, "calls");
    let row = Row::new("allocations in 1M packets, bursts of 64", calls).with(flows, BURST, 1.0);
    report.add(row.target("", Limit::Value(0.0)));
}
