//! What a service can do beyond the kernel's, played with packets.

use std::collections::BTreeMap;
use std::time::Duration;

use lvs_core::testkit::packets;
use lvs_core::{
    Config, ControlError, DaemonRole, DaemonSpec, Director, FlowState, Found, Instant, Listing, Meta, Packet,
    SctpState, ServerSpec, ServiceId, ServiceOptions, ServiceSpec, SlowStart, TcpState, Timeouts, Verdict,
};

const ROOM: usize = 64;
const FIN: u8 = 0x01;
const ACK: u8 = 0x10;

fn director() -> Director {
    Director::new(Config::with_seed(7)).unwrap()
}

fn send(director: &mut Director, now: Instant, bytes: &[u8]) -> Verdict {
    let mut buffer = [&[0; ROOM], bytes].concat();
    let mut packet = Packet::new(&mut buffer, ROOM, bytes.len()).unwrap();
    director.process(now, &mut packet, Meta::default())
}

fn syn(client: u16) -> Vec<u8> {
    let [high, low] = client.to_be_bytes();
    packets::tcp(&format!("198.51.{high}.{low}:40000"), "192.0.2.10:80").syn().build()
}

/// The host that a new connection goes to.
fn host(director: &mut Director, now: Instant, client: u16) -> u8 {
    match send(director, now, &syn(client)) {
        Verdict::Forward(out) => out.next_hop.to_string().rsplit('.').next().unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn timeout(director: &Director) -> Duration {
    director.connections().next().unwrap().timeout
}

fn quick() -> Timeouts {
    Timeouts::default()
        .with(FlowState::Tcp(TcpState::SynReceived), Duration::from_millis(1_500))
        .and_then(|timeouts| timeouts.with(FlowState::Tcp(TcpState::Established), Duration::from_secs(20)))
        .and_then(|timeouts| timeouts.with(FlowState::Tcp(TcpState::CloseWait), Duration::from_secs(3)))
        .and_then(|timeouts| timeouts.with(FlowState::Udp, Duration::from_secs(10)))
        .and_then(|timeouts| timeouts.with(FlowState::Sctp(SctpState::Init1), Duration::from_secs(1)))
        .unwrap()
}

fn web(director: &mut Director, scheduler: &str) -> ServiceId {
    director.add_service(ServiceSpec::tcp("192.0.2.10:80".parse().unwrap()).scheduler(scheduler)).unwrap()
}

fn server(host: u8) -> ServerSpec {
    ServerSpec::nat(([10, 0, 0, host], 80).into())
}

#[test]
fn a_service_has_timeouts_of_its_own_in_every_state() {
    let mut director = director();
    let service = web(&mut director, "rr");
    director.add_server(service, server(1)).unwrap();
    let options = ServiceOptions { timeouts: Some(quick()), ..ServiceOptions::default() };
    director.set_service_options(service, options).unwrap();
    let now = Instant::from_secs(1);
    let (client, virtual_, real) = ("198.51.0.1:40000", "192.0.2.10:80", "10.0.0.1:80");
    host(&mut director, now, 1);
    assert_eq!(timeout(&director), Duration::from_millis(1_500));
    let _ = send(&mut director, now, &packets::tcp(real, client).flags(0x12).build());
    let _ = send(&mut director, now, &packets::tcp(client, virtual_).flags(ACK).build());
    assert_eq!(timeout(&director), Duration::from_secs(20));
    let _ = send(&mut director, now, &packets::tcp(client, virtual_).flags(FIN | ACK).build());
    assert_eq!(timeout(&director), Duration::from_secs(3));
    while director.advance(now + Duration::from_secs(3), 100).more {}
    assert_eq!(director.connection_count(), 0);
}

#[test]
fn other_services_and_all_after_it_is_switched_off_have_the_directors() {
    let mut director = director();
    let service = director.add_service(ServiceSpec::udp("192.0.2.10:53".parse().unwrap())).unwrap();
    director
        .load("-a -u 192.0.2.10:53 -r 10.0.0.1 -m\n-A -u 192.0.2.10:54\n-a -u 192.0.2.10:54 -r 10.0.0.1 -m")
        .unwrap();
    let options = ServiceOptions { timeouts: Some(quick()), ..ServiceOptions::default() };
    director.set_service_options(service, options).unwrap();
    // A server that is added later has them too.
    director.run("-a -u 192.0.2.10:53 -r 10.0.0.2 -m").unwrap();
    let query = |director: &mut Director, port: u16, client: u16| {
        let bytes = packets::udp(&format!("198.51.100.1:{client}"), &format!("192.0.2.10:{port}")).build();
        let Verdict::Forward(out) = send(director, Instant::from_secs(1), &bytes) else { panic!("not forwarded") };
        director.connection(out.connection.unwrap()).unwrap().timeout.as_secs()
    };
    assert_eq!([query(&mut director, 53, 1), query(&mut director, 53, 2), query(&mut director, 54, 3)], [10, 10, 300]);
    director.run("--set 0 0 77").unwrap();
    assert_eq!([query(&mut director, 53, 1), query(&mut director, 54, 3)], [10, 77]);
    director.set_service_options(service, ServiceOptions::default()).unwrap();
    assert_eq!([query(&mut director, 53, 1), query(&mut director, 53, 4)], [77, 77]);
    director.set_state_timeouts(quick());
    assert_eq!([query(&mut director, 53, 1), query(&mut director, 54, 3)], [10, 10]);
    assert_eq!(director.run("-L --timeout").unwrap(), "Timeout (tcp tcpfin udp): 20 120 10\n");
}

#[test]
fn connections_of_a_removed_server_keep_the_timeouts_of_its_service() {
    let mut director = director();
    let service = director.add_service(ServiceSpec::udp("192.0.2.10:53".parse().unwrap())).unwrap();
    let options = ServiceOptions { timeouts: Some(quick()), ..ServiceOptions::default() };
    director.set_service_options(service, options).unwrap();
    director.run("-a -u 192.0.2.10:53 -r 10.0.0.1 -m").unwrap();
    let now = Instant::from_secs(1);
    let _ = send(&mut director, now, &packets::udp("198.51.100.1:1", "192.0.2.10:53").build());
    director.run("-D -u 192.0.2.10:53").unwrap();
    // Another service takes up timeouts: those of the first are still needed.
    let other = web(&mut director, "rr");
    let long = Timeouts::default().with(FlowState::Udp, Duration::from_secs(1_000)).unwrap();
    let options = ServiceOptions { timeouts: Some(long), ..ServiceOptions::default() };
    director.set_service_options(other, options).unwrap();
    let _ = send(&mut director, now, &packets::udp("10.0.0.1:53", "198.51.100.1:1").build());
    assert_eq!(timeout(&director), Duration::from_secs(10));
}

#[test]
fn a_connection_that_synchronisation_tells_of_has_the_timeouts_of_its_service() {
    let mut director = director();
    let service = web(&mut director, "rr");
    director.add_server(service, server(101)).unwrap();
    let options = ServiceOptions { timeouts: Some(quick()), ..ServiceOptions::default() };
    director.set_service_options(service, options).unwrap();
    director.start_daemon(&DaemonSpec::new(DaemonRole::Backup)).unwrap();
    // Established, from 198.51.100.1:1001 to 192.0.2.10:80 at 10.0.0.101:80, and nothing said of its timeout.
    let message = [
        0, 0, 0, 44, 1, 1, 0, 0, 0, 6, 0, 36, 0, 0, 0, 0, 0, 1, 3, 233, 0, 80, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 198, 51,
        100, 1, 192, 0, 2, 10, 10, 0, 0, 101,
    ];
    assert_eq!(director.receive_sync(Instant::ZERO, &message).created, 1);
    assert_eq!(timeout(&director), Duration::from_secs(20));
}

#[test]
fn options_outlive_edits_and_are_refused_as_a_whole() {
    let mut director = director();
    let service = web(&mut director, "rr");
    let options = ServiceOptions { timeouts: Some(quick()), begins_anywhere: true, ..ServiceOptions::default() };
    director.set_service_options(service, options.clone()).unwrap();
    director.run("-E -t 192.0.2.10:80 -s wlc -p 60").unwrap();
    assert_eq!(director.service_options(service), Some(&options));
    let never = SlowStart { duration: Duration::ZERO, least_percent: 10 };
    let refused = ServiceOptions { slow_start: Some(never), ..ServiceOptions::default() };
    assert_eq!(director.set_service_options(service, refused), Err(ControlError::TimeoutRange));
    assert_eq!(director.service_options(service), Some(&options));
    director.remove_service(service).unwrap();
    assert_eq!(director.set_service_options(service, options), Err(ControlError::NoSuchService));
    assert_eq!(director.service_options(service), None);
}

/// Picks of each host.
fn shares(director: &mut Director, now: Instant, clients: std::ops::Range<u16>) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for client in clients {
        *counts.entry(host(director, now, client)).or_default() += 1;
    }
    counts
}

/// A service with one server since long, and another since now.
fn growing(scheduler: &str, weight: u32) -> (Director, ServiceId, Instant) {
    let mut director = director();
    let service = web(&mut director, scheduler);
    let slow_start = Some(SlowStart { duration: Duration::from_secs(100), least_percent: 10 });
    director.set_service_options(service, ServiceOptions { slow_start, ..ServiceOptions::default() }).unwrap();
    director.add_server(service, server(1).weight(weight)).unwrap();
    let now = Instant::from_secs(1_000);
    while director.advance(now, 1_000).more {}
    director.add_server(service, server(2).weight(weight)).unwrap();
    (director, service, now)
}

#[test]
fn a_new_server_gets_its_share_bit_by_bit() {
    for (scheduler, weight) in [("swrr", 1), ("swrr", 7), ("wrr", 1), ("wlc", 1), ("sed", 3)] {
        let (mut director, _, start) = growing(scheduler, weight);
        let listing = director.listing(&Listing::default()).unwrap();
        assert!(listing.contains(&format!("10.0.0.2:80                  Masq    {weight}")), "{listing}");
        let share = |director: &mut Director, now, client| shares(director, now, client)[&2];
        // A tenth at first: 100 parts of 1100, and one more for where the turn stood.
        let first = share(&mut director, start, 0..1_100);
        assert!(first.abs_diff(100) <= 2, "{scheduler}: {first}");
        if matches!(scheduler, "wlc" | "sed") {
            continue;
        }
        let half = start + Duration::from_secs(50);
        while director.advance(half, 10_000).more {}
        let second = share(&mut director, half, 2_000..3_500);
        assert!(second.abs_diff(500) <= 2, "{scheduler}: {second}");
        let whole = start + Duration::from_secs(100);
        while director.advance(whole, 10_000).more {}
        let last = share(&mut director, whole, 4_000..5_000);
        assert!(last.abs_diff(500) <= 2, "{scheduler}: {last}");
        assert_eq!(director.listing(&Listing::default()).unwrap().matches(&format!("Masq    {weight}")).count(), 2);
    }
}

#[test]
fn growth_has_deadlines_until_it_is_over() {
    let (mut director, service, start) = growing("wlc", 1);
    // What listings need comes every two seconds, at even ones here.
    let odd = start + Duration::from_secs(1);
    while director.advance(start, 10_000).more {}
    assert_eq!(director.next_deadline(), Some(odd), "a step of one percent");
    while director.advance(start + Duration::from_secs(100), 10_000).more {}
    assert_eq!(director.next_deadline(), Some(start + Duration::from_secs(102)), "listings only");
    // Quiesced and back: it begins again.
    director.edit_server(service, server(2).weight(0)).unwrap();
    director.edit_server(service, server(2).weight(5)).unwrap();
    assert_eq!(director.next_deadline(), Some(start + Duration::from_secs(101)));
    director.set_service_options(service, ServiceOptions::default()).unwrap();
    assert_eq!(director.next_deadline(), Some(start + Duration::from_secs(102)));
}

#[test]
fn explain_says_what_counts_of_a_weight() {
    let (director, _, start) = growing("wlc", 3);
    let bytes = syn(1);
    let mut buffer = bytes.clone();
    let explanation = director.explain(start, &Packet::whole(&mut buffer), Meta::default());
    let Found::Service { choice: Some(choice), .. } = &explanation.found else { panic!("{explanation}") };
    let weights: Vec<_> = choice.candidates.iter().map(|c| (c.weight, c.effective_weight)).collect();
    assert_eq!(weights, [(3, 30), (3, 300)]);
    assert!(explanation.to_string().contains("10.0.0.2:80: weight 3 (counts as 30), active 0"), "{explanation}");
}

#[test]
fn an_edit_goes_on_growing_and_the_largest_weights_grow_too() {
    let (mut director, service, start) = growing("wlc", 0x7fff_ffff);
    let effective = |director: &Director| {
        let mut buffer = syn(1);
        let explanation = director.explain(start, &Packet::whole(&mut buffer), Meta::default());
        let Found::Service { choice: Some(choice), .. } = explanation.found else { panic!() };
        choice.candidates.iter().map(|c| c.effective_weight).collect::<Vec<_>>()
    };
    assert_eq!(effective(&director), [0x7fff_ffff / 10, 0x7fff_ffff], "no room for a hundredfold");
    director.edit_server(service, server(2).weight(50)).unwrap();
    assert_eq!(effective(&director), [5, 0x7fff_ffff]);
    director.edit_server(service, server(1).weight(50)).unwrap();
    assert_eq!(effective(&director), [500, 5_000]);
    director.run("-E -t 192.0.2.10:80 -s ovf").unwrap();
    assert_eq!(effective(&director), [5, 50], "weights of ovf are numbers of connections");
    director.run("-E -t 192.0.2.10:80 -s rr").unwrap();
    assert_eq!(effective(&director), [50, 50], "rr looks at none");
}

#[test]
fn ovf_takes_fewer_connections_while_it_grows() {
    let (mut director, _, start) = growing("ovf", 100);
    // Host 1 has the greater weight, and takes what it can; then host 2 takes 11, one more than a tenth of 100.
    for client in 0..112 {
        let verdict = send(&mut director, start, &syn(client));
        assert!(matches!(verdict, Verdict::Forward(_)), "{client}: {verdict:?}");
    }
    assert!(!matches!(send(&mut director, start, &syn(112)), Verdict::Forward(_)));
}

#[test]
fn a_server_that_comes_back_from_the_trash_grows_as_well() {
    let (mut director, service, start) = growing("wlc", 1);
    let later = start + Duration::from_secs(200);
    while director.advance(later, 10_000).more {}
    host(&mut director, later, 1);
    director.remove_server(service, server(2).address).unwrap();
    director.add_server(service, server(2)).unwrap();
    assert_eq!(director.next_deadline(), Some(later + Duration::from_secs(1)));
}

#[test]
fn directors_begin_at_servers_of_their_own() {
    for scheduler in ["rr", "wrr", "swrr"] {
        let mut firsts = BTreeMap::<u8, usize>::new();
        for seed in 0..60 {
            let mut director = Director::new(Config::with_seed(seed)).unwrap();
            let service = web(&mut director, scheduler);
            let options = ServiceOptions { begins_anywhere: true, ..ServiceOptions::default() };
            director.set_service_options(service, options).unwrap();
            for host in 1..=3 {
                director.add_server(service, server(host)).unwrap();
            }
            let picks: Vec<u8> = (0..6).map(|client| host(&mut director, Instant::ZERO, client)).collect();
            *firsts.entry(picks[0]).or_default() += 1;
            if scheduler != "wrr" {
                assert_eq!(picks[..3], picks[3..], "{scheduler}: the turn goes on as ever");
            }
            let counts: Vec<usize> = (1..=3).map(|host| picks.iter().filter(|&&p| p == host).count()).collect();
            assert_eq!(counts, [2; 3], "{scheduler}");
        }
        assert!(firsts.len() == 3 && firsts.values().all(|&n| n > 8), "{scheduler}: {firsts:?}");
    }
}

#[test]
fn without_the_option_every_director_begins_at_the_newest_server() {
    for seed in 0..10 {
        let mut director = Director::new(Config::with_seed(seed)).unwrap();
        let service = web(&mut director, "rr");
        for host in 1..=3 {
            director.add_server(service, server(host)).unwrap();
        }
        assert_eq!(host(&mut director, Instant::ZERO, 1), 3);
    }
}
