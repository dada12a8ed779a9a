//! A wanted configuration is what there is afterwards, and whatever it does not change stays as it was.

use std::collections::{BTreeMap, BTreeSet};

use lvs_core::sched::SchedulerKind;
use lvs_core::testkit::packets;
use lvs_core::{
    Command, Config, ConnectionView, Counters, Director, Family, Instant, Meta, Packet, ServerId, ServerSpec,
    ServiceKey, ServiceSpec, Verdict, parse_rules,
};
use proptest::prelude::*;

/// A service and its servers, as lines.
#[derive(Clone, Debug)]
struct Service {
    selector: String,
    options: &'static str,
    servers: BTreeMap<u8, (&'static str, u32, &'static str)>,
}

const SCHEDULERS: [&str; 16] = [
    "rr",
    "wrr",
    "lc",
    "wlc",
    "lblc",
    "lblcr",
    "dh",
    "sh",
    "sed",
    "nq",
    "mh",
    "fo",
    "ovf",
    "twos",
    "none",
    "sh -b sh-port",
];

fn service() -> impl Strategy<Value = Service> {
    let selector = (0..9u16).prop_map(|n| match n % 3 {
        0 => format!("-t 192.0.2.10:{}", 80 + n),
        1 => format!("-u 192.0.2.10:{}", 80 + n),
        _ => format!("-f {}", n + 1),
    });
    let options = prop::sample::select(
        &["", " -p 60", " -p 60 -M 255.255.255.0", " -p 77 -M 255.255.255.255", " -M 255.0.0.0"][..],
    );
    let server = (prop::sample::select(&["-m", "-g", "-i", "-i --tun-type gre"][..]), 0..4u32);
    let server = (server, prop::sample::select(&["", " -x 3", " -x 9 -y 2", " -x 0"][..]));
    let servers = prop::collection::btree_map(1..7u8, server.prop_map(|((a, b), c)| (a, b, c)), 0..6);
    let scheduler = prop::sample::select(&SCHEDULERS[..]);
    (selector, scheduler, options, servers).prop_map(|(selector, scheduler, options, servers)| Service {
        selector: format!("{selector} -s {scheduler}"),
        options,
        servers,
    })
}

impl Service {
    fn name(&self) -> &str {
        self.selector.split(" -s").next().unwrap_or_default()
    }

    fn lines(&self) -> String {
        let mut text = format!("-A {}{}\n", self.selector, self.options);
        for (host, (method, weight, thresholds)) in &self.servers {
            text += &format!("-a {} -r 10.0.0.{host} {method} -w {weight}{thresholds}\n", self.name());
        }
        text
    }
}

/// A configuration: no service twice.
fn rules() -> impl Strategy<Value = Vec<Service>> {
    prop::collection::vec(service(), 0..6).prop_map(|mut services| {
        let mut seen = BTreeSet::new();
        services.retain(|service| seen.insert(service.name().to_owned()));
        services
    })
}

fn text(services: &[Service]) -> String {
    services.iter().map(Service::lines).collect()
}

fn director() -> Director {
    Director::new(Config { connections: 500, ..Config::with_seed(7) }).unwrap()
}

fn client(director: &mut Director, n: u16, now: u64) -> Verdict {
    let port = 80 + n % 9;
    let from = format!("198.51.100.{}:{}", n % 5 + 1, 1024 + n);
    let to = format!("192.0.2.10:{port}");
    let mut bytes = if n % 3 == 1 { packets::udp(&from, &to) } else { packets::tcp(&from, &to).syn() }.build();
    let meta = if n % 9 % 3 == 2 { Meta::marked(u32::from(n % 9) + 1) } else { Meta::default() };
    director.process(Instant::from_millis(now), &mut Packet::whole(&mut bytes), meta)
}

/// A server, and everything of it but its description.
type Kept = BTreeMap<(ServiceKey, String), (ServerId, [u32; 3], Counters)>;

fn kept(director: &Director) -> Kept {
    let services = director.services();
    let servers = services.iter().flat_map(|service| service.servers.iter().map(move |server| (service, server)));
    servers
        .map(|(service, s)| {
            let counters = director.server_counters(s.id).unwrap();
            ((service.spec.key, s.spec.address.to_string()), (s.id, [s.active, s.inactive, s.persistent], counters))
        })
        .collect()
}

fn order(director: &Director) -> BTreeMap<ServiceKey, Vec<ServerId>> {
    director.services().iter().map(|s| (s.spec.key, s.servers.iter().map(|server| server.id).collect())).collect()
}

fn everything(director: &Director) -> String {
    let connections: Vec<ConnectionView> = director.connections().collect();
    format!("{:?} {connections:?} {:?}", director.services(), director.next_deadline())
}

/// Thresholds that a text names.
fn named_thresholds(text: &str) -> Vec<(ServiceKey, ServerSpec)> {
    let named = |line: u32| text.lines().nth(line as usize - 1).is_some_and(|text| text.contains(" -x"));
    let rules = parse_rules(text).unwrap().into_iter();
    rules
        .filter_map(|(line, command)| match command {
            Command::AddServer(key, spec) if named(line) => Some((key, spec)),
            _ => None,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_applied_is_what_a_fresh_director_would_load(a in rules(), b in rules()) {
        let (mut applied, mut loaded) = (director(), director());
        applied.apply(&text(&a)).unwrap();
        (0..60).for_each(|n| { let _ = client(&mut applied, n, 5); });
        applied.apply(&text(&b)).unwrap();
        loaded.load(&text(&b)).unwrap();
        prop_assert_eq!(applied.save(), loaded.save());
        for (key, spec) in named_thresholds(&text(&b)) {
            let service = applied.find_service(&key).unwrap();
            let server = applied.server(applied.find_server(service, spec.address).unwrap()).unwrap();
            prop_assert_eq!((server.spec.upper, server.spec.lower), (spec.upper, spec.lower));
        }
    }

    #[test]
    fn what_was_saved_changes_nothing(a in rules(), b in rules()) {
        let mut director = director();
        director.load(&text(&a)).unwrap();
        director.apply(&text(&b)).unwrap();
        (0..60).for_each(|n| { let _ = client(&mut director, n, 5); });
        let before = everything(&director);
        for _ in 0..2 {
            let done = director.apply(&director.save()).unwrap();
            prop_assert!(done.is_unchanged(), "{}", done);
            let servers: usize = director.services().iter().map(|service| service.servers.len()).sum();
            prop_assert_eq!((done.services_unchanged, done.servers_unchanged), (director.services().len(), servers));
            prop_assert_eq!(everything(&director), before.clone());
        }
    }

    #[test]
    fn servers_that_stay_keep_connections_counts_and_order(a in rules(), b in rules()) {
        let mut director = director();
        director.load(&text(&a)).unwrap();
        (0..80).for_each(|n| { let _ = client(&mut director, n, 5); });
        let (servers, orders) = (kept(&director), order(&director));
        let mut connections: Vec<ConnectionView> = director.connections().collect();
        let done = director.apply(&text(&b)).unwrap();
        let after = kept(&director);
        for (name, was) in &servers {
            match after.get(name) {
                Some(is) => prop_assert_eq!(is, was),
                None => prop_assert!(done.servers_removed.iter().any(|(key, a)| (*key, a.to_string()) == *name)),
            }
        }
        prop_assert_eq!(after.len(), servers.len() + done.servers_added.len() - done.servers_removed.len());
        for (key, list) in order(&director) {
            let Some(was) = orders.get(&key) else { continue };
            let stayed: Vec<_> = was.iter().filter(|id| list.contains(id)).collect();
            let stays: Vec<_> = list.iter().filter(|id| was.contains(id)).collect();
            prop_assert_eq!(&stays, &stayed);
            prop_assert!(list.ends_with(&stays.into_iter().copied().collect::<Vec<_>>()), "new ones come first");
        }
        // Not one is lost, not even of servers that went.
        let mut now: Vec<ConnectionView> = director.connections().collect();
        connections.sort_by_key(|c| c.id);
        now.sort_by_key(|c| c.id);
        prop_assert_eq!(now, connections);
    }

    #[test]
    fn a_service_that_is_not_touched_goes_on_as_if_nothing_had_happened(a in rules(), b in rules(), which in 0..6usize) {
        prop_assume!(!a.is_empty());
        let untouched = a[which % a.len()].clone();
        let (mut changed, mut left_alone) = (director(), director());
        for director in [&mut changed, &mut left_alone] {
            director.load(&untouched.lines()).unwrap();
            director.apply(&text(&a)).unwrap();
            (0..80).for_each(|n| { let _ = client(director, n, 5); });
        }
        let others = b.iter().filter(|service| service.name() != untouched.name()).cloned();
        let wanted: Vec<Service> = others.chain([untouched.clone()]).collect();
        changed.apply(&text(&wanted)).unwrap();
        let Command::AddService(spec) = &parse_rules(&untouched.lines()).unwrap()[0].1 else { unreachable!() };
        let key = spec.key;
        for n in 100..200 {
            let (one, other) = (client(&mut changed, n, 9), client(&mut left_alone, n, 9));
            let is_of = |d: &Director, v: &Verdict| match v {
                Verdict::Forward(out) => out.server.filter(|&server| {
                    d.services().iter().any(|s| s.spec.key == key && s.servers.iter().any(|view| view.id == server))
                }).map(|_| out.next_hop),
                _ => None,
            };
            if let Some(next_hop) = is_of(&left_alone, &other) {
                prop_assert_eq!(is_of(&changed, &one), Some(next_hop), "{}", n);
            }
        }
    }

    #[test]
    fn a_refused_text_changes_nothing(a in rules(), b in rules(), bad in 0..7usize, at in 0..40usize) {
        let mut director = director();
        director.load(&text(&a)).unwrap();
        (0..60).for_each(|n| { let _ = client(&mut director, n, 5); });
        let before = everything(&director);
        let bad = [
            "-A -t 192.0.2.77:80 -s fastest",
            "-A -f 0",
            "-a -t 192.0.2.99:80 -r 10.0.0.1",
            "-A -f 77\n-a -f 77 -r 10.0.0.1 -m\n-a -f 77 -r 10.0.0.1 -g",
            "-A -f 77\n-a -f 77 -r 224.0.0.1 -m",
            "-D -f 1",
            "-A -f 77 -p never",
        ][bad];
        let b = text(&b);
        let mut lines: Vec<&str> = b.lines().collect();
        let at = at % (lines.len() + 1);
        lines.insert(at, bad);
        let error = director.apply(&lines.join("\n")).unwrap_err();
        prop_assert_eq!(error.line as usize, at + bad.lines().count(), "{}", error);
        prop_assert_eq!(everything(&director), before);
    }
}

#[test]
fn thresholds_stay_until_they_are_named() {
    let mut director = director();
    director.load("-A -f 1\n-a -f 1 -r 10.0.0.1 -m -x 5 -y 3").unwrap();
    assert!(director.apply("-A -f 1\n-a -f 1 -r 10.0.0.1 -m").unwrap().is_unchanged());
    director.apply("-A -f 1\n-a -f 1 -r 10.0.0.1 -m -w 0").unwrap();
    let spec = |d: &Director| d.services()[0].servers[0].spec;
    assert_eq!((spec(&director).weight, spec(&director).upper, spec(&director).lower), (0, 5, 3));
    director.apply("-A -f 1\n-a -f 1 -r 10.0.0.1 -m -w 0 -x 0").unwrap();
    assert_eq!((spec(&director).upper, spec(&director).lower), (0, 0));
}

#[test]
fn a_scheduler_of_ones_own_is_kept_under_its_name() {
    let mut director = director();
    let spec = ServiceSpec::mark(4, Family::V4).scheduler("mine");
    director.add_service_with(spec, Box::new(lvs_core::sched::RoundRobin::new())).unwrap();
    director.run("-a -f 4 -r 10.0.0.1 -m").unwrap();
    assert!(director.apply(&director.save()).unwrap().is_unchanged());
    let error = director.apply("-A -f 4 -s mine\n-A -f 5 -s mine").unwrap_err();
    assert_eq!((error.line, error.column, error.word.as_str()), (2, 12, "mine"));
}

#[test]
fn a_scheduler_that_cannot_work_on_what_stays_is_refused_before_anything_happens() {
    let mut director = director();
    let servers = |count: u32| -> String {
        (0..count).map(|n| format!("-a -f 4 -r 10.0.{}.{} -m\n", n / 200, n % 200 + 1)).collect()
    };
    director.load(&format!("-A -f 4 -s rr\n{}", servers(5000))).unwrap();
    let before = director.save();
    let error = director.apply(&format!("-A -f 9\n-A -f 4 -s mh\n{}", servers(5000))).unwrap_err();
    assert_eq!((error.line, error.word.as_str()), (2, "mh"), "{error}");
    assert_eq!(director.save(), before);
    assert_eq!(director.apply(&format!("-A -f 4 -s mh\n{}", servers(50))).unwrap().servers_removed.len(), 4950);
}

#[test]
fn plain_values_are_refused_by_name() {
    let mut director = director();
    let service = ServiceSpec::tcp("192.0.2.10:80".parse().unwrap());
    let server = ServerSpec::nat("10.0.0.1:80".parse().unwrap());
    let error = director.apply_specs(&[(service.clone(), vec![server, server])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "service TCP 192.0.2.10:80, server 10.0.0.1:80: server already exists in this service: edit it, or remove it first"
    );
    let error = director.apply_specs(&[(service.clone(), vec![]), (service.clone(), vec![])]).unwrap_err();
    assert_eq!(error.server, None);
    director.apply_specs(&[(service.clone(), vec![server.thresholds(9, 2)])]).unwrap();
    let done = director.apply_specs(&[(service, vec![server])]).unwrap();
    assert_eq!(done.servers_changed.len(), 1, "plain values say what they say of thresholds, too");
}

/// What 60 new flows were told, one after the other.
fn sixty_flows(director: &mut Director) -> Vec<String> {
    let answer = |n: u16| {
        let mut syn = packets::tcp(&format!("198.51.100.{}:{}", n % 7, 1000 + n), "192.0.2.10:80").syn().build();
        match director.process(Instant::ZERO, &mut Packet::whole(&mut syn), Meta::default()) {
            Verdict::Forward(out) => out.next_hop.to_string(),
            other => format!("{other:?}"),
        }
    };
    (0..60).map(answer).collect()
}

/// Schedulers that do their work once for many changes pick as if they had done it after each.
#[test]
fn many_changes_at_once_end_as_the_same_one_by_one() {
    let mut told_apart = BTreeSet::new();
    for kind in SchedulerKind::ALL {
        let service = format!("-A -t 192.0.2.10:80 -s {kind}\n");
        let server = |host: u32, weight: u32| format!("-a -t 192.0.2.10:80 -r 10.0.0.{host}:80 -m -w {weight}\n");
        let before: String = (1..40).map(|host| server(host, host % 5 * 3)).collect();
        let [mut applied, mut loaded, mut by_line] = [director(), director(), director()];
        applied.apply(&format!("{service}{before}")).unwrap();
        loaded.load(&format!("{service}{before}")).unwrap();
        format!("{service}{before}").lines().for_each(|line| assert_eq!(by_line.run(line).unwrap(), ""));
        let picks = sixty_flows(&mut by_line);
        assert_eq!(sixty_flows(&mut applied), picks, "{kind}");
        assert_eq!(sixty_flows(&mut loaded), picks, "{kind}");

        // Every fourth goes, those that stay are edited in the order of the list, and others come.
        let stay: String = (1..40).filter(|host| host % 4 > 0).map(|host| server(host, host % 3 * 4)).collect();
        let come: String = (40..60).map(|host| server(host, host % 3 * 2)).collect();
        applied.apply(&format!("{service}{stay}{come}")).unwrap();
        for host in (1..40u32).filter(|host| host % 4 == 0) {
            by_line.run(&format!("-d -t 192.0.2.10:80 -r 10.0.0.{host}:80")).unwrap();
        }
        for host in (1..40u32).rev().filter(|host| host % 4 > 0 && host % 3 * 4 != host % 5 * 3) {
            by_line.run(&server(host, host % 3 * 4).replacen("-a", "-e", 1)).unwrap();
        }
        come.lines().for_each(|line| assert_eq!(by_line.run(line).unwrap(), ""));
        let picks = sixty_flows(&mut by_line);
        assert_eq!(sixty_flows(&mut applied), picks, "{kind}");
        told_apart.insert(picks);
    }
    assert!(told_apart.len() > 5, "the schedulers differ");
}
