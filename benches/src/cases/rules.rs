//! The control plane: ten thousand services with a hundred servers each.

use std::fmt::Write as _;

use lvs_core::{Config, Director, ServerSpec, ServiceSpec};

use super::Plan;
use crate::machine::running_ns;
use crate::measure::median;
use crate::report::{Figure, Limit, Report, Row};

/// Each of them takes seconds.
const ROUNDS: usize = 3;

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    let services = if plan.quick { 1000 } else { 10_000 };
    let rounds = |services| [(); ROUNDS].map(|()| Seconds::of(services));
    let (tenth, whole) = (rounds(services / 10), rounds(services));
    let mut row = |what: &str, seconds: fn(&Seconds) -> f64, limit: f64| {
        let case = format!("{services} services x 100 servers, {what}");
        let figure = |rounds: &[Seconds], times: f64| {
            let samples: Vec<f64> = rounds.iter().map(|round| seconds(round) * times).collect();
            Figure { value: median(&samples), unit: "s", samples }
        };
        let row = Row::new(case, figure(&whole, 1.0)).against("ten times a tenth of them", figure(&tenth, 10.0));
        report.add(if limit > 0.0 && !plan.quick { row.target("T10", Limit::Value(limit)) } else { row });
    };
    row("load", |seconds| seconds.load, 0.0);
    row("save", |seconds| seconds.save, 0.0);
    row("apply to an empty director", |seconds| seconds.apply_all, 1.0);
    row("apply without a change", |seconds| seconds.apply_none, 0.1);
    row("apply with one change", |seconds| seconds.apply_one, 0.0);
    row("the same as values, without a change", |seconds| seconds.values_none, 0.0);
}

/// How long each takes.
struct Seconds {
    load: f64,
    save: f64,
    apply_all: f64,
    apply_none: f64,
    apply_one: f64,
    values_none: f64,
}

impl Seconds {
    fn of(services: u32) -> Self {
        let text = rules(services);
        let empty = || Director::new(Config { connections: 1, ..Config::with_seed(7) }).expect("a small table");

        let mut director = empty();
        let load = seconds(|| director.load(&text).expect("every rule is right"));
        let mut saved = String::new();
        let save = seconds(|| saved = director.save());
        assert_eq!(saved.lines().count(), text.lines().count(), "every rule is there");
        drop(director);

        let mut director = empty();
        let mut apply = |text: &str, changes: usize| {
            let mut done = None;
            let seconds = seconds(|| done = director.apply(text).ok());
            let done = done.expect("every rule is right");
            let servers = done.servers_added.len() + done.servers_changed.len() + done.servers_removed.len();
            assert_eq!(servers, changes, "what has changed");
            seconds
        };
        let apply_all = apply(&text, services as usize * 100);
        let apply_none = apply(&text, 0);
        let other = text.strip_suffix("-w 1\n").expect("the last line").to_owned() + "-w 2\n";
        let apply_one = apply(&other, 1);
        let _ = apply(&text, 1);
        let values: Vec<(ServiceSpec, Vec<ServerSpec>)> =
            director.services().iter().map(|s| (s.spec.clone(), s.servers.iter().map(|s| s.spec).collect())).collect();
        let mut unchanged = false;
        let values_none = seconds(|| unchanged = director.apply_specs(&values).is_ok_and(|done| done.is_unchanged()));
        assert!(unchanged, "the same values");
        Self { load, save, apply_all, apply_none, apply_one, values_none }
    }
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = running_ns();
    work();
    (running_ns() - start) as f64 / 1e9
}

fn rules(services: u32) -> String {
    let mut text = String::new();
    for n in 0..services {
        let address = format!("10.{}.{}.{}:80", n >> 16, n >> 8 & 255, n & 255);
        let _ = writeln!(text, "-A -t {address} -s wlc");
        for server in 0..100 {
            let _ = writeln!(text, "-a -t {address} -r 172.16.{}.{}:8080 -m -w 1", n % 250, server + 1);
        }
    }
    text
}
