//! The figures for monitoring, read by a reader of the format that knows nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lvs_core::testkit::packets;
use lvs_core::{Config, Director, Drain, Family, Instant, Meta, Packet, ServiceOptions, ServiceSpec, SlowStart};

/// A sample: its name, its labels, its value.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads the Prometheus text format, strictly: every sample belongs to the family above it, which has a help text and a
/// type, comes once and has no gaps; no labels come twice.
fn read(text: &str) -> Samples {
    let (mut samples, mut families): (Samples, BTreeSet<String>) = (BTreeMap::new(), BTreeSet::new());
    let (mut helped, mut typed) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && families.insert(name.to_owned()), "{line}");
            helped = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(name == helped && ["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            typed = name.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = sample.split_once('{').map_or((sample, None), |(name, rest)| (name, Some(rest)));
            assert_eq!(name, typed, "{line}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            let labels = labels.map_or_else(BTreeMap::new, read_labels);
            let value = value.parse().expect("a number");
            assert_eq!(samples.insert((name.to_owned(), labels), value), None, "twice: {line}");
        }
    }
    samples
}

fn read_labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text.chars().peekable();
    loop {
        let name: String = rest.by_ref().take_while(|&c| c != '=').collect();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{text}");
        assert_eq!(rest.next(), Some('"'), "{text}");
        let mut value = String::new();
        loop {
            match rest.next().expect("a closing quote") {
                '"' => break,
                '\\' => value.push(match rest.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => panic!("{other:?} behind a backslash: {text}"),
                }),
                c => value.push(c),
            }
        }
        assert_eq!(labels.insert(name, value), None, "{text}");
        match rest.next() {
            Some(',') => {}
            Some('}') => break,
            other => panic!("{other:?}: {text}"),
        }
    }
    assert_eq!(rest.next(), None, "{text}");
    labels
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn value(samples: &Samples, name: &str, pairs: &[(&str, &str)]) -> f64 {
    *samples.get(&(name.to_owned(), labels(pairs))).unwrap_or_else(|| panic!("no {name} {pairs:?}"))
}

const RULES: &str = "\
-A -t 192.0.2.10:80 -s wlc
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3
-a -t 192.0.2.10:80 -r 10.0.0.1:8081 -m -w 0
-A -u 192.0.2.10:80 -s rr
-a -u 192.0.2.10:80 -r 10.0.0.1:8080 -m
-A --sctp-service 192.0.2.10:80 -s rr
-A -t [2001:db8::1]:80 -s rr -p 60
-a -t [2001:db8::1]:80 -r [fd00::1]:80 -m
-A -f 5 -s rr
-a -f 5 -r 10.0.0.1 -m
-A -f 5 -6 -s rr
-A -f 6 -s rr
";

const WEB: [(&str, &str); 4] = [("protocol", "tcp"), ("address", "192.0.2.10"), ("port", "80"), ("family", "ipv4")];
const NAMES: [(&str, &str); 4] = [("protocol", "udp"), ("address", "192.0.2.10"), ("port", "80"), ("family", "ipv4")];

fn of<'a>(service: &[(&'a str, &'a str)], server: &'a str, port: &'a str) -> Vec<(&'a str, &'a str)> {
    [service, &[("server", server), ("server_port", port)]].concat()
}

#[test]
fn labels_are_unique_and_figures_are_those_of_this_moment() {
    let mut director = Director::new(Config { connections: 100, events: 1, ..Config::with_seed(7) }).unwrap();
    director.load(RULES).unwrap();
    for port in 1..5u16 {
        let mut query = packets::udp(&format!("198.51.100.9:{port}"), "192.0.2.10:80").payload(b"hello").build();
        let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut query), Meta::default());
    }
    let mut syn = packets::tcp("198.51.100.9:1", "192.0.2.10:80").syn().build();
    let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut syn), Meta::default());
    let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut [9; 3]), Meta::default());

    // No tick of the statistics has come yet, and none is needed.
    let samples = read(&director.metrics());
    assert_eq!(value(&samples, "lvs_service_connections_total", &NAMES), 4.0);
    assert_eq!(value(&samples, "lvs_service_in_bytes_total", &NAMES), 4.0 * 33.0);
    let server = of(&NAMES, "10.0.0.1", "8080");
    assert_eq!(value(&samples, "lvs_server_in_packets_total", &server), 4.0);
    assert_eq!(value(&samples, "lvs_server_inactive_connections", &server), 4.0);
    assert_eq!(value(&samples, "lvs_server_active_connections", &of(&WEB, "10.0.0.1", "8080")), 1.0);
    assert_eq!(value(&samples, "lvs_server_weight", &of(&WEB, "10.0.0.1", "8080")), 3.0);
    assert_eq!(value(&samples, "lvs_server_weight", &of(&WEB, "10.0.0.1", "8081")), 0.0);
    assert_eq!(value(&samples, "lvs_service_servers", &[("mark", "5"), ("family", "ipv4")]), 1.0);
    assert_eq!(value(&samples, "lvs_service_servers", &[("mark", "5"), ("family", "ipv6")]), 0.0);
    assert_eq!(value(&samples, "lvs_packets_total", &[("verdict", "forward"), ("reason", "forward")]), 5.0);
    assert_eq!(value(&samples, "lvs_packets_total", &[("verdict", "drop"), ("reason", "not-ip")]), 1.0);
    let packets: f64 =
        samples.iter().filter(|((name, _), _)| name == "lvs_packets_total").map(|(_, value)| value).sum();
    assert_eq!(packets, 6.0);
    assert_eq!(value(&samples, "lvs_connections", &[]), 5.0);
    assert_eq!(value(&samples, "lvs_connections_capacity", &[]), 100.0);
    assert_eq!(value(&samples, "lvs_events_waiting", &[]), 1.0);
    assert_eq!(value(&samples, "lvs_events_missed_total", &[]), 4.0);
    let info = [&WEB[..], &[("scheduler", "wlc")]].concat();
    assert_eq!(value(&samples, "lvs_service_info", &info), 1.0);
}

#[test]
fn counters_of_a_service_never_fall() {
    let mut director = Director::new(Config::with_seed(7)).unwrap();
    director.load(RULES).unwrap();
    let mut query = packets::udp("198.51.100.9:1", "192.0.2.10:80").build();
    let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut query), Meta::default());
    let count = |director: &Director| value(&read(&director.metrics()), "lvs_service_connections_total", &NAMES);
    for step in ["-Z", "-d -u 192.0.2.10:80 -r 10.0.0.1:8080", "-a -u 192.0.2.10:80 -r 10.0.0.1:8080 -m"] {
        director.run(step).unwrap();
        while director.advance(Instant::from_secs(3), 100).more {}
        assert_eq!(count(&director), 1.0, "{step}");
    }
}

#[test]
fn a_drain_shows() {
    let mut director = Director::new(Config::with_seed(7)).unwrap();
    director.load(RULES).unwrap();
    let web = director.services().iter().find(|s| s.servers.len() == 2).unwrap().clone();
    director.drain(web.servers[1].id, Drain::new()).unwrap();
    let samples = read(&director.metrics());
    let server = of(&WEB, "10.0.0.1", "8080");
    assert_eq!(value(&samples, "lvs_server_weight", &server), 0.0);
    assert_eq!(value(&samples, "lvs_server_draining", &server), 1.0);
}

#[test]
fn a_weight_that_grows_is_shown_in_the_measure_of_the_rules() {
    let mut director = Director::new(Config::with_seed(7)).unwrap();
    director.load("-A -t 192.0.2.10:80 -s wlc\n-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3").unwrap();
    let service = director.services()[0].id;
    let slow_start = Some(SlowStart { duration: Duration::from_secs(100), least_percent: 10 });
    director.set_service_options(service, ServiceOptions { slow_start, ..ServiceOptions::default() }).unwrap();
    director.run("-a -t 192.0.2.10:80 -r 10.0.0.1:8081 -m -w 5").unwrap();
    let weights = |director: &Director| {
        let samples = read(&director.metrics());
        ["8080", "8081"].map(|port| value(&samples, "lvs_server_weight", &of(&WEB, "10.0.0.1", port)))
    };
    assert_eq!(weights(&director), [3.0, 0.5]);
    while director.advance(Instant::from_secs(50), 100).more {}
    assert_eq!(weights(&director), [3.0, 2.5]);
    while director.advance(Instant::from_secs(100), 100).more {}
    assert_eq!(weights(&director), [3.0, 5.0]);
}

#[test]
fn any_name_of_a_scheduler_is_a_label() {
    let mut director = Director::new(Config::with_seed(7)).unwrap();
    let spec = ServiceSpec::mark(4, Family::V4).scheduler("my\\own{}");
    director.add_service_with(spec, Box::new(lvs_core::sched::RoundRobin::new())).unwrap();
    let info = [("mark", "4"), ("family", "ipv4"), ("scheduler", "my\\own{}")];
    assert_eq!(value(&read(&director.metrics()), "lvs_service_info", &info), 1.0);
}

#[test]
fn a_director_without_services_has_figures() {
    let director = Director::new(Config::with_seed(7)).unwrap();
    assert_eq!(value(&read(&director.metrics()), "lvs_connections", &[]), 0.0);
}
