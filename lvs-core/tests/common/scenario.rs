//! Made-up scenarios: rules, and what happens then. Few clients and ports, so that flows recur.

use lvs_core::sched::SchedulerKind;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Addresses that packets come for.
pub(crate) const VIPS_V4: [&str; 2] = ["192.0.2.10", "192.0.2.11"];
pub(crate) const VIPS_V6: [&str; 2] = ["2001:db8:c::10", "2001:db8:c::11"];
/// Marks of firewall-mark services.
const MARKS: u32 = 3;
/// A server that is the director's own host where there are local addresses.
pub(crate) const LOCAL_SERVER: u8 = 6;

/// What kinds of things happen in a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// Services with persistence, and firewall-mark services.
    pub(crate) persistence: bool,
    /// Packets that are broken, cut off, in fragments, from the host itself.
    pub(crate) broken: bool,
    /// Rules, settings and paths change on the way.
    pub(crate) changes: bool,
    /// Small connection tables.
    pub(crate) small_tables: bool,
}

pub(crate) const EVERYTHING: Profile = Profile { persistence: true, broken: true, changes: true, small_tables: true };

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) connections: usize,
    /// Whether the director knows its own addresses, and one that errors come from.
    pub(crate) knows_addresses: bool,
    pub(crate) services: Vec<Service>,
    pub(crate) ops: Vec<Op>,
}

#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// As `ipvsadm` selects it.
    pub(crate) selector: String,
    pub(crate) protocol: u8,
    pub(crate) v6: bool,
    pub(crate) vip: usize,
    /// 0 if the service has every port.
    pub(crate) port: u16,
    pub(crate) mark: u32,
    pub(crate) options: String,
    pub(crate) servers: Vec<Server>,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) host: u8,
    /// Of the family that its service is not of: by tunnel alone.
    pub(crate) other_family: bool,
    pub(crate) port: &'static str,
    pub(crate) method: &'static str,
    pub(crate) weight: u32,
    pub(crate) thresholds: &'static str,
}

impl Service {
    pub(crate) fn add(&self) -> String {
        format!("-A {} {}", self.selector, self.options)
    }

    /// The line that adds, edits or deletes (`-a`, `-e`, `-d`) a server.
    pub(crate) fn server(&self, verb: &str, server: &Server) -> String {
        let base = format!("{verb} {} -r {}", self.selector, server.address(self.v6));
        if verb == "-d" {
            return base;
        }
        format!("{base} {} -w {} {}", server.method, server.weight, server.thresholds)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let servers = self.servers.iter().map(|server| self.server("-a", server));
        [self.add()].into_iter().chain(servers).collect()
    }
}

impl Server {
    fn address(&self, service_v6: bool) -> String {
        let Self { host, port, .. } = self;
        match (service_v6 != self.other_family, port.is_empty()) {
            (false, true) => format!("10.0.0.{host}"),
            (false, false) => format!("10.0.0.{host}:{port}"),
            (true, true) => format!("fd00::{host}"),
            (true, false) => format!("[fd00::{host}]:{port}"),
        }
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A client sends something to a service.
    Client {
        service: usize,
        client: u8,
        port: u16,
        content: Content,
    },
    /// A server sends something that nobody has asked it for.
    Begin {
        service: usize,
        server: usize,
        content: Content,
    },
    /// The server of a packet that was forwarded not long ago answers.
    Server {
        back: usize,
        content: Content,
    },
    /// Time passes, in milliseconds.
    Wait(u64),
    /// The clock is set back.
    Back(u64),
    /// The director is told the time.
    Advance(usize),
    AddServer(usize, Server),
    EditServer(usize, Server),
    RemoveServer(usize, usize),
    RemoveService(usize),
    EditService(usize, String),
    AddService(usize),
    Zero,
    Tune(&'static str, &'static str),
    /// The way to a server changes: MTU, and whether there is one.
    Path {
        v6: bool,
        host: u8,
        mtu: u16,
        reachable: bool,
    },
}

/// What a packet is like.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) flags: u8,
    pub(crate) chunk: u8,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) may_fragment: bool,
    pub(crate) options: usize,
    pub(crate) payload: usize,
    pub(crate) no_checksum: bool,
    pub(crate) headroom: usize,
    pub(crate) tailroom: usize,
    pub(crate) padding: usize,
    pub(crate) damage: Damage,
    /// Seen on its way through.
    pub(crate) forward: bool,
    pub(crate) from_host: bool,
    /// 0 unverified, 1 verified, 2 partial.
    pub(crate) checksum: u8,
    pub(crate) mark: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    None,
    /// The packet ends early, its lengths say otherwise.
    CutOff(usize),
    /// The packet ends early, its lengths say so.
    Shortened(usize),
    /// A bit is another; the IPv4 header checksum is mended or not.
    Flipped(usize, bool),
    /// Another protocol of IP, such as those of IPsec.
    Protocol(u8),
    /// A part of a fragmented packet: its offset, and whether more follow. Over IPv6, 0 and no more is an atomic fragment.
    Fragment(u16, bool),
}

impl Content {
    /// A whole packet with these TCP flags, or this SCTP chunk, and room for every tunnel.
    pub(crate) const fn plain(flags: u8, chunk: u8) -> Self {
        Self {
            flags,
            chunk,
            ttl: 64,
            tos: 0,
            may_fragment: false,
            options: 0,
            payload: 0,
            no_checksum: false,
            headroom: 128,
            tailroom: 0,
            padding: 0,
            damage: Damage::None,
            forward: false,
            from_host: false,
            checksum: 0,
            mark: None,
        }
    }
}

/// `PROPTEST_CASES` cases if that is set, else so many.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let usual = if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { usual };
    let failure_persistence = Some(Box::new(FileFailurePersistence::WithSource("regressions")) as Box<_>);
    ProptestConfig { failure_persistence, ..ProptestConfig::with_cases(usual) }
}

pub(crate) fn scenarios(profile: Profile, ops: usize) -> impl Strategy<Value = Scenario> {
    let connections = if profile.small_tables {
        prop::sample::select(vec![1, 2, 3, 8, 64, 256])
    } else {
        prop::sample::select(vec![256])
    };
    let services = prop::collection::vec(services(profile), 1..5);
    (any::<u64>(), connections, any::<bool>(), services, prop::collection::vec(op(profile), 1..ops)).prop_map(
        |(seed, connections, knows_addresses, services, ops)| Scenario {
            seed,
            connections,
            knows_addresses,
            services,
            ops,
        },
    )
}

pub(crate) fn scheduler() -> impl Strategy<Value = &'static str> {
    let names: Vec<_> = SchedulerKind::ALL.into_iter().map(SchedulerKind::name).collect();
    prop_oneof![12 => prop::sample::select(names), 1 => Just("none")]
}

fn services(profile: Profile) -> impl Strategy<Value = Service> {
    let kind = if profile.persistence { 0..9u8 } else { 0..7u8 };
    let choice = (kind, any::<bool>(), 0..2usize, scheduler(), scheduling());
    let persistence = (any::<bool>(), prop::sample::select(vec![1u32, 60, 300]), 0..3u8);
    (choice, persistence, (any::<bool>(), prop::bool::weighted(0.3)))
        .prop_flat_map(
            move |((kind, v6, vip, scheduler, flags), (persistent, seconds, mask), (one_packet, has_engine))| {
                let is_mark = kind >= 7;
                let protocol = match kind {
                    0..=2 => 6,
                    3..=5 => 17,
                    6 => 132,
                    _ => [6, 17][vip],
                };
                let persistent = profile.persistence && (persistent || is_mark && kind == 8);
                let port = match (is_mark, kind) {
                    (true, _) => 0,
                    (_, 2 | 5) if persistent => 0,
                    (_, 1) => 21,
                    (_, 3) => 53,
                    (_, 4) => 500,
                    _ => 80,
                };
                let address = if v6 { VIPS_V6[vip] } else { VIPS_V4[vip] };
                let option = match protocol {
                    6 => "-t",
                    17 => "-u",
                    _ => "--sctp-service",
                };
                let mark = if is_mark { 1 + u32::try_from(vip).unwrap_or(0) + u32::from(kind == 8) } else { 0 };
                let selector = match (is_mark, v6) {
                    (true, false) => format!("-f {mark}"),
                    (true, true) => format!("-f {mark} -6"),
                    (false, false) => format!("{option} {address}:{port}"),
                    (false, true) => format!("{option} [{address}]:{port}"),
                };
                let mut options = format!("-s {scheduler}");
                if persistent {
                    let mask = match (mask, v6) {
                        (0, _) => "",
                        (1, false) => " -M 255.255.255.0",
                        (_, false) => " -M 0.0.0.0",
                        (1, true) => " -M 64",
                        (_, true) => " -M 1",
                    };
                    options = format!("{options} -p {seconds}{mask}");
                }
                if has_engine {
                    options.push_str(" --pe sip");
                }
                if one_packet && (is_mark || protocol == 17) {
                    options.push_str(" -o");
                }
                options.push_str(&flag_names(scheduler, flags));
                let service = Service { selector, protocol, v6, vip, port, mark, options, servers: Vec::new() };
                (Just(service), prop::collection::vec(server(), 0..5))
            },
        )
        .prop_map(|(service, servers)| Service { servers, ..service })
}

fn scheduling() -> impl Strategy<Value = u8> {
    0..4u8
}

fn flag_names(scheduler: &str, flags: u8) -> String {
    let named = |first: &str, second: &str| match flags {
        1 => format!(" -b {first}"),
        2 => format!(" -b {second}"),
        3 => format!(" -b {first},{second}"),
        _ => String::new(),
    };
    match scheduler {
        "sh" => named("sh-fallback", "sh-port"),
        "mh" => named("mh-fallback", "mh-port"),
        _ => named("flag-1", "flag-3"),
    }
}

pub(crate) fn server() -> impl Strategy<Value = Server> {
    let method = prop::sample::select(vec![
        "-m",
        "-m",
        "-m",
        "-g",
        "-i",
        "-i --tun-type gre --tun-csum",
        "-i --tun-type gre",
        "-i --tun-type gue --tun-port 6080",
        "-i --tun-type gue --tun-port 6080 --tun-csum",
        "-i --tun-type gue --tun-port 6080 --tun-remcsum",
    ]);
    let thresholds = prop::sample::select(vec!["", "", "", "-x 1", "-x 2", "-x 3 -y 1"]);
    let port = prop::sample::select(vec!["", "8080", "8080", "0"]);
    (1..=LOCAL_SERVER, any::<bool>(), port, method, 0..4u32, thresholds).prop_map(
        |(host, other_family, port, method, weight, thresholds)| {
            let other_family = other_family && method.starts_with("-i");
            Server { host, other_family, port, method, weight, thresholds }
        },
    )
}

fn op(profile: Profile) -> BoxedStrategy<Op> {
    let client = (0..4usize, 1..4u8, port(profile), content(profile))
        .prop_map(|(service, client, port, content)| Op::Client { service, client, port, content });
    let server = (0..6usize, content(profile)).prop_map(|(back, content)| Op::Server { back, content });
    let begin = (0..4usize, 0..3usize, content(profile)).prop_map(|(service, server, content)| Op::Begin {
        service,
        server,
        content,
    });
    let wait = prop::sample::select(vec![
        0, 1, 4, 100, 999, 2_000, 3_000, 9_999, 10_000, 10_001, 59_000, 60_000, 61_000, 120_000, 180_000, 300_000,
        900_000,
    ]);
    let time = prop_oneof![
        6 => wait.prop_map(Op::Wait),
        4 => prop::sample::select(vec![1, 3, 1000, 1000]).prop_map(Op::Advance),
        1 => (0..5_000u64).prop_map(Op::Back),
    ];
    if profile.changes {
        prop_oneof![20 => client, 8 => server, 3 => begin, 4 => time, 3 => change()].boxed()
    } else {
        prop_oneof![20 => client, 8 => server, 4 => time].boxed()
    }
}

fn port(profile: Profile) -> BoxedStrategy<u16> {
    if profile.broken {
        prop::sample::select(vec![40_001, 40_001, 40_001, 40_002, 40_002, 40_003, 500, 20, 0, 8080]).boxed()
    } else {
        prop::sample::select(vec![40_001, 40_001, 40_002, 40_003]).boxed()
    }
}

fn change() -> impl Strategy<Value = Op> {
    let tunables = prop::sample::select(vec![
        ("conn_reuse_mode", "0"),
        ("conn_reuse_mode", "1"),
        ("conn_reuse_mode", "2"),
        ("expire_nodest_conn", "1"),
        ("expire_nodest_conn", "0"),
        ("expire_quiescent_template", "1"),
        ("expire_quiescent_template", "0"),
        ("sloppy_tcp", "1"),
        ("sloppy_tcp", "0"),
        ("sloppy_sctp", "1"),
        ("secure_tcp", "3"),
        ("secure_tcp", "0"),
        ("pmtu_disc", "0"),
        ("drop_packet", "3"),
        ("drop_packet", "0"),
        ("am_droprate", "2"),
        ("run_estimation", "0"),
        ("nat_icmp_send", "1"),
        ("nat_icmp_send", "1"),
        ("nat_icmp_send", "0"),
        ("cache_bypass", "1"),
        ("schedule_icmp", "1"),
        ("lblc_expiration", "1"),
        ("lblcr_expiration", "1"),
    ]);
    let mtu = prop::sample::select(vec![1500, 1500, 576, 1280, 100, 60]);
    prop_oneof![
        3 => (0..4usize, server()).prop_map(|(service, server)| Op::AddServer(service, server)),
        3 => (0..4usize, server()).prop_map(|(service, server)| Op::EditServer(service, server)),
        3 => (0..4usize, 0..5usize).prop_map(|(service, server)| Op::RemoveServer(service, server)),
        1 => (0..4usize).prop_map(Op::RemoveService),
        2 => (0..4usize).prop_map(Op::AddService),
        2 => (0..4usize, scheduler()).prop_map(|(service, name)| Op::EditService(service, format!("-s {name}"))),
        1 => Just(Op::Zero),
        5 => tunables.prop_map(|(name, value)| Op::Tune(name, value)),
        4 => (any::<bool>(), 1..=LOCAL_SERVER, mtu, prop::bool::weighted(0.6))
            .prop_map(|(v6, host, mtu, reachable)| Op::Path { v6, host, mtu, reachable }),
    ]
}

pub(crate) fn flags() -> impl Strategy<Value = u8> {
    // SYN, ACK, PSH+ACK, FIN+ACK, RST, RST+ACK, SYN+ACK, none, SYN+FIN, SYN+RST, URG, ECE+CWR+SYN.
    prop::sample::select(vec![2, 2, 2, 2, 0x10, 0x10, 0x18, 0x11, 0x11, 4, 0x14, 0x12, 0, 3, 6, 0x20, 0xc2])
}

fn content(profile: Profile) -> BoxedStrategy<Content> {
    let chunk = prop::sample::select(vec![1, 1, 1, 0, 3, 6, 7, 8, 9, 10, 11, 14, 99]);
    let header = (
        flags(),
        chunk,
        prop::sample::select(vec![64, 64, 64, 64, 255, 2, 1, 0]),
        prop::sample::select(vec![0, 0, 0x10, 3, 0xff]),
        any::<bool>(),
        0..4usize,
    );
    let size = (prop::sample::select(vec![0, 0, 1, 7, 40, 600, 1441, 1472]), prop::bool::weighted(0.2));
    let whole = (header, size).prop_map(|((flags, chunk, ttl, tos, may_fragment, options), (payload, no_checksum))| {
        Content { ttl, tos, may_fragment, options, payload, no_checksum, ..Content::plain(flags, chunk) }
    });
    if !profile.broken {
        return whole.boxed();
    }
    let damage = prop_oneof![
        12 => Just(Damage::None),
        1 => (0..120usize).prop_map(Damage::CutOff),
        1 => (0..120usize).prop_map(Damage::Shortened),
        3 => (0..640usize, any::<bool>()).prop_map(|(bit, mended)| Damage::Flipped(bit, mended)),
        1 => prop::sample::select(vec![50, 51, 1, 4]).prop_map(Damage::Protocol),
        1 => (prop::sample::select(vec![0, 1, 185]), any::<bool>()).prop_map(|(at, more)| Damage::Fragment(at, more)),
    ];
    let room = (
        prop::sample::select(vec![128, 128, 128, 60, 40, 28, 20, 8, 0]),
        prop::sample::select(vec![0, 0, 8, 60]),
        prop::sample::select(vec![0, 0, 0, 6]),
    );
    let seen = (prop::bool::weighted(0.1), prop::bool::weighted(0.05), prop::sample::select(vec![0, 0, 0, 0, 1, 2]));
    let mark = prop::option::weighted(0.05, 0..=MARKS);
    (whole, damage, room, seen, mark)
        .prop_map(|(whole, damage, (headroom, tailroom, padding), (forward, from_host, checksum), mark)| Content {
            damage,
            headroom,
            tailroom,
            padding,
            forward,
            from_host,
            checksum,
            mark,
            ..whole
        })
        .boxed()
}
