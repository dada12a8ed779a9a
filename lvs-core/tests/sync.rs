//! Failover: what a master tells is enough for a backup to go on with every established flow, on the same server.

use std::net::SocketAddr;
use std::time::Duration;

use lvs_core::testkit::packets::Builder;
use lvs_core::{
    Config, ControlError, DaemonRole, DaemonSpec, Director, DropReason, Forward, Instant, Meta, Method, Packet,
    PassReason, Path, Protocol, ServerView, SyncIgnored, Verdict,
};
use proptest::prelude::*;

const RULES: &str = "\
-A -t 192.0.2.10:80 -s rr
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m
-a -t 192.0.2.10:80 -r 10.0.0.2 -g
-a -t 192.0.2.10:80 -r 10.0.0.3 -i
-A -t 192.0.2.10:81 -s wlc -p 60 -M 255.255.255.0
-a -t 192.0.2.10:81 -r 10.0.0.1:8081 -m
-a -t 192.0.2.10:81 -r 10.0.0.2:81 -m
-A -u 192.0.2.10:53 -s rr
-a -u 192.0.2.10:53 -r 10.0.0.1 -m
-a -u 192.0.2.10:53 -r 10.0.0.2 -g
-A -t [2001:db8:c::10]:80 -s rr
-a -t [2001:db8:c::10]:80 -r [fd00::1]:8080 -m
-a -t [2001:db8:c::10]:80 -r fd00::2 -g
-a -t [2001:db8:c::10]:80 -r fd00::3 -i --tun-type gre
-A -f 3 -s rr -p 60
-a -f 3 -r 10.0.0.1:0 -m
-a -f 3 -r 10.0.0.2:0 -g
-A -f 3 -6 -s rr -p 60 -M 64
-a -f 3 -6 -r [fd00::1]:0 -m
-a -f 3 -6 -r [fd00::2]:0 -g
";

const START: Instant = Instant::from_secs(1);

fn director(rules: &str) -> Director {
    let path = Path::new(1500).tunnel_source([10, 0, 0, 254].into()).tunnel_source("fd00::fe".parse().unwrap());
    let mut director = Director::new(Config { connections: 4096, path, ..Config::with_seed(7) }).unwrap();
    director.load(rules).unwrap();
    director
}

fn with_daemon(rules: &str, role: DaemonRole) -> Director {
    let mut director = director(rules);
    director.start_daemon(&DaemonSpec::new(role)).unwrap();
    director
}

/// A flow: to which service, of which client, how many packets it has had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flow {
    service: usize,
    client: u8,
    port: u16,
    packets: usize,
}

impl Flow {
    fn protocol(&self) -> Protocol {
        if matches!(self.service, 2 | 6) { Protocol::Udp } else { Protocol::Tcp }
    }

    fn packet(&self, port: u16, flags: u8) -> (Vec<u8>, Meta) {
        let (target, mark) = [
            ("192.0.2.10:80", 0),
            ("192.0.2.10:81", 0),
            ("192.0.2.10:53", 0),
            ("[2001:db8:c::10]:80", 0),
            ("192.0.2.77:443", 3),
            ("[2001:db8:c::77]:443", 3),
            ("192.0.2.77:5060", 3),
        ][self.service];
        let target: SocketAddr = target.parse().unwrap();
        let client = if target.is_ipv4() {
            SocketAddr::new([198, 51, 100 + self.client % 3, self.client].into(), port)
        } else {
            SocketAddr::new(format!("2001:db8:9:{}::{:x}", self.client % 3, self.client).parse().unwrap(), port)
        };
        let packet = Builder::new(self.protocol(), client, target).flags(flags).payload(b"x").build_in(64);
        (packet, Meta::marked(mark))
    }

    fn send(&self, director: &mut Director, now: Instant, port: u16, flags: u8) -> (Verdict, Vec<u8>) {
        let (mut buffer, meta) = self.packet(port, flags);
        let len = buffer.len() - 64;
        let mut packet = Packet::new(&mut buffer, 64, len).unwrap();
        let verdict = director.process(now, &mut packet, meta);
        (verdict, packet.bytes().to_vec())
    }
}

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let flow = (0..7usize, 0..12u8, 1000..1004u16, 1..8usize).prop_map(|(service, client, port, packets)| Flow {
        service,
        client,
        port,
        packets,
    });
    prop::collection::vec(flow, 1..30).prop_map(|mut flows| {
        flows.sort_by_key(|flow| (flow.service, flow.client, flow.port));
        flows.dedup_by_key(|flow| (flow.service, flow.client, flow.port));
        flows
    })
}

/// Plays flows on a master, and returns it with its messages and the time.
fn told(flows: &[Flow], version: &str) -> (Director, Vec<Vec<u8>>, Instant) {
    let mut master = with_daemon(RULES, DaemonRole::Master);
    master.set_tunable("sync_threshold", "2 3").unwrap();
    master.set_tunable("sync_version", version).unwrap();
    let mut now = START;
    for flow in flows {
        for n in 0..flow.packets {
            now += Duration::from_millis(7);
            let (verdict, _) = flow.send(&mut master, now, flow.port, if n == 0 { 2 } else { 0x10 });
            assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
        }
    }
    now += Duration::from_secs(3);
    let mut messages = Vec::new();
    while let Some(message) = master.poll_sync(now) {
        messages.push(message.bytes.to_vec());
    }
    (master, messages, now)
}

fn feed(backup: &mut Director, messages: &[Vec<u8>], now: Instant) {
    for message in messages {
        let received = backup.receive_sync(now, message);
        assert_eq!((received.refused, received.skipped), (None, 0));
    }
}

fn way(verdict: &Verdict) -> Option<Forward> {
    match verdict {
        Verdict::Forward(out) => Some(Forward { connection: None, server: None, ..*out }),
        _ => None,
    }
}

fn servers(director: &Director) -> Vec<(SocketAddr, u32, u32, u32)> {
    let counts = |server: &ServerView| (server.spec.address, server.active, server.inactive, server.persistent);
    let mut counts: Vec<_> =
        director.services().iter().flat_map(|service| service.servers.iter().map(counts).collect::<Vec<_>>()).collect();
    counts.sort();
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With the same rules, every flow that was told of goes on as it did, to the byte; and a client with a template comes
    /// to the same server with its next connection.
    #[test]
    fn a_backup_goes_on_with_every_established_flow(flows in flows()) {
        let (mut master, messages, now) = told(&flows, "1");
        let mut backup = with_daemon(RULES, DaemonRole::Backup);
        feed(&mut backup, &messages, now);
        for flow in flows.iter().filter(|flow| flow.packets >= 2) {
            let (here, there) = (flow.send(&mut master, now, flow.port, 0x10), flow.send(&mut backup, now, flow.port, 0x10));
            prop_assert_eq!(way(&here.0), way(&there.0), "{:?}", flow);
            prop_assert!(here.1 == there.1 && way(&here.0).is_some());
            if matches!(flow.service, 1 | 4 | 5 | 6) {
                let new = |director: &mut Director| way(&flow.send(director, now, 7000 + flow.port, 2).0);
                prop_assert_eq!(new(&mut master), new(&mut backup), "a new connection of {:?}", flow);
            }
        }
    }

    /// Version 0 tells of IPv4 alone, and of nothing that marks bring about but the connections themselves.
    #[test]
    fn version_0_does_so_for_ipv4(flows in flows()) {
        let (mut master, messages, now) = told(&flows, "0");
        let mut backup = with_daemon(RULES, DaemonRole::Backup);
        feed(&mut backup, &messages, now);
        for flow in flows.iter().filter(|flow| flow.packets >= 2 && flow.service <= 2) {
            let (here, there) = (flow.send(&mut master, now, flow.port, 0x10), flow.send(&mut backup, now, flow.port, 0x10));
            prop_assert_eq!(way(&here.0), way(&there.0), "{:?}", flow);
            prop_assert!(here.1 == there.1 && way(&here.0).is_some());
        }
    }

    /// A backup that learns its rules only later forwards by what it was told, but for tunnels; told again, it binds the
    /// connections to its servers, and counts like one that had them from the start.
    #[test]
    fn services_may_come_later(flows in flows()) {
        let (mut master, messages, now) = told(&flows, "1");
        let mut backup = with_daemon("", DaemonRole::Backup);
        feed(&mut backup, &messages, now);
        let told = backup.connection_count();
        backup.load(RULES).unwrap();
        for flow in flows.iter().filter(|flow| flow.packets >= 2) {
            let (here, there) = (flow.send(&mut master, now, flow.port, 0x10), flow.send(&mut backup, now, flow.port, 0x10));
            if way(&here.0).is_some_and(|out| out.method == Method::Tun) {
                prop_assert_eq!(there.0, Verdict::Drop(DropReason::NoServer));
            } else {
                prop_assert_eq!(way(&here.0), way(&there.0), "{:?}", flow);
                prop_assert_eq!(here.1, there.1);
            }
        }
        feed(&mut backup, &messages, now);
        prop_assert_eq!(backup.connection_count(), told, "nothing new");
        let mut other = with_daemon(RULES, DaemonRole::Backup);
        feed(&mut other, &messages, now);
        prop_assert_eq!(servers(&backup), servers(&other));
        for flow in flows.iter().filter(|flow| flow.packets >= 2) {
            let (here, there) = (flow.send(&mut master, now, flow.port, 0x10), flow.send(&mut backup, now, flow.port, 0x10));
            prop_assert_eq!(way(&here.0), way(&there.0), "{:?}", flow);
            prop_assert!(here.1 == there.1 && way(&here.0).is_some());
        }
    }
}

fn web(packets: usize) -> Flow {
    Flow { service: 0, client: 1, port: 1000, packets }
}

#[test]
fn messages_leave_after_two_seconds_and_when_they_are_full() {
    let mut master = with_daemon(RULES, DaemonRole::Master);
    master.set_tunable("sync_threshold", "0 1").unwrap();
    assert!(master.poll_sync(START).is_none());
    for flags in [2, 0x10] {
        let _ = web(0).send(&mut master, START, 1000, flags);
    }
    let due = START + Duration::from_secs(2);
    assert!(master.poll_sync(Instant::from_millis(2_999)).is_none());
    assert!(master.next_deadline().is_some_and(|at| at <= due));
    assert_eq!(master.poll_sync(due).map(|message| (message.bytes.len(), message.port)), Some((44, 8848)));
    assert!(master.poll_sync(due).is_none());
    for _ in 0..41 {
        let _ = web(0).send(&mut master, due, 1000, 0x10);
    }
    assert_eq!(master.next_deadline(), Some(due), "one is full");
    assert_eq!(master.poll_sync(due).map(|message| message.bytes.len()), Some(8 + 40 * 36));
    assert!(master.poll_sync(due).is_none());
    let counts = master.sync_counts().clone();
    assert_eq!((counts.records_queued, counts.records_sent, counts.messages_sent), (42, 41, 2));
    master.stop_daemon(DaemonRole::Master).unwrap();
    assert_eq!(master.sync_counts().records_abandoned, 1);
    assert_eq!(master.stop_daemon(DaemonRole::Master), Err(ControlError::NoDaemon));
}

#[test]
fn a_full_queue_loses_messages_and_counts_them() {
    let mut master = with_daemon(RULES, DaemonRole::Master);
    for (name, value) in [("sync_threshold", "0 1"), ("sync_qlen_max", "2")] {
        master.set_tunable(name, value).unwrap();
    }
    for n in 0..=5 * 40 {
        let _ = web(0).send(&mut master, START, 1000, if n == 0 { 2 } else { 0x10 });
    }
    let later = START + Duration::from_secs(2);
    let mut records = 0;
    while let Some(message) = master.poll_sync(later) {
        records += u64::from(message.bytes[4]);
    }
    let counts = master.sync_counts();
    assert_eq!((records, counts.records_sent, counts.records_dropped), (80, 80, 120));
}

#[test]
fn each_connection_keeps_its_port() {
    let mut master = director(RULES);
    for (name, value) in [("sync_threshold", "1 2"), ("sync_ports", "4")] {
        master.set_tunable(name, value).unwrap();
    }
    master.start_daemon(&DaemonSpec { port: Some(9000), ..DaemonSpec::new(DaemonRole::Master) }).unwrap();
    let mut ports = std::collections::BTreeMap::new();
    for round in 0..10 {
        let now = START + Duration::from_secs(round * 3);
        for client in 0..12 {
            let flow = Flow { service: 0, client, port: 1000, packets: 0 };
            let _ = flow.send(&mut master, now, 1000, if round == 0 { 2 } else { 0x10 });
        }
        while let Some(message) = master.poll_sync(now + Duration::from_secs(2)) {
            let port = message.port;
            for record in message.bytes[8..].chunks(36) {
                assert_eq!(*ports.entry(record[24..28].to_vec()).or_insert(port), port);
            }
        }
    }
    let used: std::collections::BTreeSet<u16> = ports.into_values().collect();
    assert_eq!(used, (9000..9004).collect());
}

#[test]
fn a_backup_with_backup_only_balances_nothing_but_lets_servers_answer() {
    let web = |packets: usize| Flow { service: 1, ..web(packets) };
    let (_, messages, now) = told(&[web(3)], "1");
    let mut backup = with_daemon(RULES, DaemonRole::Backup);
    feed(&mut backup, &messages, now);
    backup.set_tunable("backup_only", "1").unwrap();
    assert_eq!(web(0).send(&mut backup, now, 1000, 0x10).0, Verdict::Pass(PassReason::BackupOnly));
    assert_eq!(web(0).send(&mut backup, now, 2000, 2).0, Verdict::Pass(PassReason::BackupOnly));
    let server = backup.connections().find(|connection| connection.client.port() != 0).unwrap();
    let mut reply = Builder::new(Protocol::Tcp, server.server, server.client).build();
    assert!(matches!(backup.process(now, &mut Packet::whole(&mut reply), Meta::default()), Verdict::Forward(_)));
    backup.stop_daemon(DaemonRole::Backup).unwrap();
    assert!(matches!(web(0).send(&mut backup, now, 1000, 0x10).0, Verdict::Forward(_)));
}

#[test]
fn a_full_table_is_a_reason() {
    let flows: Vec<Flow> = (0..3).map(|client| Flow { service: 0, client, port: 1000, packets: 3 }).collect();
    let (_, messages, now) = told(&flows, "1");
    let mut backup = Director::new(Config { connections: 2, ..Config::with_seed(7) }).unwrap();
    backup.start_daemon(&DaemonSpec::new(DaemonRole::Backup)).unwrap();
    let received = backup.receive_sync(now, &messages[0]);
    assert_eq!((received.created, received.skipped), (2, 1));
    assert_eq!(backup.sync_counts().ignored(SyncIgnored::TableFull), 1);
}

#[test]
fn servers_of_another_family_and_daemons_exclude_each_other() {
    let mut mixed = director(RULES);
    mixed.start_daemon(&DaemonSpec::new(DaemonRole::Backup)).unwrap();
    let other = "-a -t 192.0.2.10:80 -r fd00::9 -i";
    assert_eq!(mixed.run(other).unwrap_err().control, Some(ControlError::MixedFamilies));
    mixed.stop_daemon(DaemonRole::Backup).unwrap();
    mixed.run(other).unwrap();
    assert_eq!(mixed.start_daemon(&DaemonSpec::new(DaemonRole::Master)), Err(ControlError::MixedFamilies));
}
