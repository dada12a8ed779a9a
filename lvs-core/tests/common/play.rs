//! A scenario as a trace, and a trace against a director.
//!
//! A trace is bytes, times and commands: it can be played again in other ways, with the same results or not.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lvs_core::testkit::packets::Builder;
use lvs_core::{
    Checksum, Command, Config, ConnectionView, Counters, Direction, Director, Hook, Instant, Meta, Method, Packet,
    Path, Protocol, ServerId, ServiceView, Verdict, parse_line,
};

use super::bytes::{Sliced, refresh_ip};
use super::scenario::{Content, Damage, LOCAL_SERVER, Op, Scenario, Server, Service, VIPS_V4, VIPS_V6};

/// A packet somewhere in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shot {
    pub(crate) buffer: Vec<u8>,
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) meta: Meta,
}

/// What became of a packet: the whole buffer, not only the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) buffer: Vec<u8>,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Shot {
    /// A packet in a buffer of its own with room for everything.
    pub(crate) fn new(bytes: &[u8], meta: Meta) -> Self {
        Self { buffer: [&[0xaa; 128], bytes].concat(), offset: 128, len: bytes.len(), meta }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.offset..self.offset + self.len]
    }

    pub(crate) fn process(&self, director: &mut Director, now: Instant) -> Outcome {
        let mut buffer = self.buffer.clone();
        let mut packet = Packet::new(&mut buffer, self.offset, self.len).expect("within its buffer");
        let verdict = director.process(now, &mut packet, self.meta);
        let (offset, len) = (packet.offset(), packet.len());
        Outcome { verdict, buffer, offset, len }
    }

    pub(crate) fn explain(&self, director: &Director, now: Instant) -> lvs_core::Explanation {
        let mut buffer = self.buffer.clone();
        let packet = Packet::new(&mut buffer, self.offset, self.len).expect("within its buffer");
        director.explain(now, &packet, self.meta)
    }
}

impl Outcome {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.offset..self.offset + self.len]
    }

    /// The same as it came.
    pub(crate) fn is_untouched(&self, shot: &Shot) -> bool {
        self.buffer == shot.buffer && (self.offset, self.len) == (shot.offset, shot.len)
    }
}

/// Explained: `explained` says what `happened`. A connection that does not exist yet cannot be named in advance, and one
/// whose scheduler cannot be asked has no verdict.
pub(crate) fn agrees(explained: &lvs_core::Explanation, happened: Verdict) -> bool {
    let is_new = matches!(explained.found, lvs_core::Found::Service { .. });
    match (explained.verdict, happened) {
        (None, _) => true,
        (Some(Verdict::Forward(a)), Verdict::Forward(b)) if is_new => {
            a.connection.is_none() && lvs_core::Forward { connection: None, ..b } == a
        }
        (Some(explained), happened) => explained == happened,
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Packet(Instant, Shot),
    Advance(Instant, usize),
    Rule(String),
    Tune(&'static str, &'static str),
    Path(IpAddr, Path),
}

/// A director and what the test remembers of it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) director: Director,
    /// Every real server there ever was.
    pub(crate) servers: BTreeSet<ServerId>,
}

/// All that a director shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    pub(crate) services: Vec<ServiceView>,
    pub(crate) connections: Vec<ConnectionView>,
    count: usize,
    pub(crate) counters: Counters,
    reasons: String,
    deadline: Option<Instant>,
}

impl Picture {
    pub(crate) fn of(director: &Director) -> Self {
        Self {
            services: director.services(),
            connections: director.connections().collect(),
            count: director.connection_count(),
            counters: director.counters(),
            reasons: format!("{:?}", director.reasons()),
            deadline: director.next_deadline(),
        }
    }
}

impl Subject {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut config = Config { connections: scenario.connections, ..Config::with_seed(scenario.seed) };
        config.path = Path::new(1500)
            .tunnel_source(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254)))
            .tunnel_source(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe)));
        if scenario.knows_addresses {
            let own = [VIPS_V4[0], VIPS_V6[0]].map(|text| text.parse().expect("an address"));
            let local = [format!("10.0.0.{LOCAL_SERVER}"), format!("fd00::{LOCAL_SERVER}")];
            config.local_addresses =
                own.into_iter().chain(local.map(|text| text.parse().expect("an address"))).collect();
            config.address_v4 = Some(Ipv4Addr::new(198, 51, 100, 254));
        }
        let mut subject = Self { director: Director::new(config).expect("a configuration"), servers: BTreeSet::new() };
        for line in scenario.services.iter().flat_map(Service::lines) {
            subject.rule(&line);
        }
        subject
    }

    /// Carries out a line, or not: some are refused.
    pub(crate) fn rule(&mut self, line: &str) {
        let command = parse_line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let Command::AddServer(key, spec) = &command else {
            let _ = self.director.execute(&command);
            return;
        };
        let added = self.director.find_service(key).map(|service| self.director.add_server(service, *spec));
        self.servers.extend(added.into_iter().flatten());
    }

    /// Plays one step; of a packet there is an outcome.
    pub(crate) fn play(&mut self, step: &Step) -> Option<Outcome> {
        match step {
            Step::Packet(now, shot) => return Some(shot.process(&mut self.director, *now)),
            Step::Advance(now, budget) => {
                let _ = self.director.advance(*now, *budget);
            }
            Step::Rule(line) => self.rule(line),
            Step::Tune(name, value) => self.director.set_tunable(name, value).expect("a setting"),
            Step::Path(address, path) => self.director.set_path(*address, *path),
        }
        None
    }

    /// Lets time pass until nothing is left to do for this instant.
    pub(crate) fn settle(&mut self, now: Instant) {
        while self.director.advance(now, 1000).more {}
    }
}

impl Scenario {
    pub(crate) fn trace(&self) -> Vec<Step> {
        Recorder { scenario: self, subject: Subject::new(self), now: Instant::from_secs(1), sent: VecDeque::new() }
            .run()
    }
}

/// Plays a scenario once to find out what servers answer to.
struct Recorder<'a> {
    scenario: &'a Scenario,
    subject: Subject,
    now: Instant,
    /// What was forwarded to servers of late: protocol, the client's end, and the end that a reply comes from.
    sent: VecDeque<(Protocol, SocketAddr, SocketAddr)>,
}

impl Recorder<'_> {
    fn run(mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for op in &self.scenario.ops {
            let Some(step) = self.step(op) else { continue };
            if let (Step::Packet(_, shot), Some(outcome)) = (&step, self.subject.play(&step)) {
                self.remember(shot, &outcome);
            }
            steps.push(step);
        }
        steps
    }

    fn service(&self, index: usize) -> &Service {
        &self.scenario.services[index % self.scenario.services.len()]
    }

    fn step(&mut self, op: &Op) -> Option<Step> {
        match op {
            Op::Client { service, client, port, content } => {
                let service = self.service(*service);
                Some(Step::Packet(self.now, request(service, *client, *port, content)))
            }
            Op::Begin { service, server, content } => {
                let service = self.service(*service);
                let Server { host, port, .. } = service.servers.get(*server)?;
                let port = port.parse().unwrap_or(service.port);
                let text = |v6: bool, four: String, six: String| if v6 { six } else { four };
                let server = text(service.v6, format!("10.0.0.{host}:{port}"), format!("[fd00::{host}]:{port}"));
                let client = text(service.v6, "198.51.100.1:40001".into(), "[2001:db8:9::1]:40001".into());
                let protocol = Protocol::from_number(service.protocol).expect("a protocol that is balanced");
                let parse = |text: &str| text.parse().expect("an address and a port");
                let content = Content { forward: !content.forward, ..content.clone() };
                Some(Step::Packet(self.now, build(protocol, parse(&server), parse(&client), &content, 0)))
            }
            Op::Server { back, content } => {
                let &(protocol, client, server) = self.sent.get(*back)?;
                Some(Step::Packet(self.now, build(protocol, server, client, content, 0)))
            }
            Op::Wait(millis) => {
                self.now += Duration::from_millis(*millis);
                None
            }
            Op::Back(millis) => {
                self.now = Instant::from_nanos(self.now.as_nanos().saturating_sub(millis * 1_000_000));
                None
            }
            Op::Advance(budget) => Some(Step::Advance(self.now, *budget)),
            Op::AddServer(service, server) => Some(Step::Rule(self.service(*service).server("-a", server))),
            Op::EditServer(service, server) => Some(Step::Rule(self.service(*service).server("-e", server))),
            Op::RemoveServer(service, server) => {
                let service = self.service(*service);
                let server = service.servers.get(*server)?;
                Some(Step::Rule(service.server("-d", server)))
            }
            Op::RemoveService(service) => Some(Step::Rule(format!("-D {}", self.service(*service).selector))),
            Op::AddService(service) => Some(Step::Rule(self.service(*service).add())),
            Op::EditService(service, options) => {
                let service = self.service(*service);
                let persistence = if service.port == 0 { " -p 60" } else { "" };
                Some(Step::Rule(format!("-E {} {options}{persistence}", service.selector)))
            }
            Op::Zero => Some(Step::Rule("-Z".into())),
            Op::Tune(name, value) => Some(Step::Tune(name, value)),
            Op::Path { v6, host, mtu, reachable } => {
                let text = if *v6 { format!("fd00::{host}") } else { format!("10.0.0.{host}") };
                Some(Step::Path(text.parse().expect("an address"), Path { reachable: *reachable, ..Path::new(*mtu) }))
            }
        }
    }

    fn remember(&mut self, shot: &Shot, outcome: &Outcome) {
        let Verdict::Forward(out) = outcome.verdict else { return };
        let Some(request) = Sliced::of(shot.bytes()) else { return };
        let Some(protocol) = Protocol::from_number(request.protocol) else { return };
        if out.direction != Direction::ToServer {
            return;
        }
        let server = match (out.method, Sliced::of(outcome.bytes())) {
            (Method::Nat, Some(rewritten)) => rewritten.to(),
            _ => request.to(),
        };
        self.sent.push_front((protocol, request.from(), server));
        self.sent.truncate(6);
    }
}

/// A packet of a client to a service.
pub(crate) fn request(service: &Service, client: u8, port: u16, content: &Content) -> Shot {
    let text = |v6: bool, four: String, six: String| if v6 { six } else { four };
    let client = text(service.v6, format!("198.51.100.{client}:{port}"), format!("[2001:db8:9::{client}]:{port}"));
    let target_port = if service.port == 0 { 80 + u16::from(content.flags & 0x10 != 0) } else { service.port };
    let vip = text(service.v6, VIPS_V4[service.vip].into(), format!("[{}]", VIPS_V6[service.vip]));
    let target = format!("{vip}:{target_port}");
    let protocol = Protocol::from_number(service.protocol).expect("a protocol that is balanced");
    let parse = |text: &str| text.parse().expect("an address and a port");
    build(protocol, parse(&client), parse(&target), content, service.mark)
}

fn build(protocol: Protocol, source: SocketAddr, destination: SocketAddr, content: &Content, mark: u32) -> Shot {
    let payload = match (protocol, content.payload) {
        // Something for persistence engines, too.
        (Protocol::Udp, 7 | 40) => format!("INVITE\r\ni: call-{}\r\n\r\n", content.flags % 4).into_bytes(),
        _ => (0..content.payload).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect(),
    };
    let mut builder = Builder::new(protocol, source, destination)
        .flags(content.flags)
        .chunk(content.chunk)
        .ttl(content.ttl)
        .tos(content.tos)
        .options(content.options)
        .payload(&payload);
    if content.may_fragment {
        builder = builder.may_fragment();
    }
    if content.no_checksum && protocol == Protocol::Udp && source.is_ipv4() {
        builder = builder.no_checksum();
    }
    let mut bytes = builder.build();
    bytes.extend(vec![0x77; content.padding]);
    damage(&mut bytes, content.damage);
    let (headroom, len) = (content.headroom, bytes.len());
    let buffer = [vec![0xaa; headroom], bytes, vec![0xbb; content.tailroom]].concat();
    let checksum = [Checksum::Unverified, Checksum::Verified, Checksum::Partial][usize::from(content.checksum)];
    let hook = if content.forward { Hook::Forward } else { Hook::Local };
    let meta = Meta { mark: content.mark.unwrap_or(mark), hook, checksum, from_host: content.from_host };
    Shot { buffer, offset: headroom, len, meta }
}

/// Breaks a packet.
pub(crate) fn damage(bytes: &mut Vec<u8>, damage: Damage) {
    let v4 = bytes.first().is_some_and(|byte| byte >> 4 == 4);
    match damage {
        Damage::Flipped(..) if bytes.is_empty() => {}
        Damage::Fragment(..) if bytes.len() < if v4 { 20 } else { 40 } => {}
        Damage::None => {}
        Damage::Protocol(number) => {
            if let Some(field) = bytes.get_mut(if v4 { 9 } else { 6 }) {
                *field = number;
                refresh_ip(bytes);
            }
        }
        Damage::CutOff(len) => bytes.truncate(len),
        Damage::Shortened(len) => shorten(bytes, len),
        Damage::Flipped(bit, mended) => {
            let at = bit / 8 % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
            if mended {
                refresh_ip(bytes);
            }
        }
        Damage::Fragment(offset, more) if v4 => {
            let word = offset | if more { 0x2000 } else { 0 };
            bytes[6..8].copy_from_slice(&word.to_be_bytes());
            refresh_ip(bytes);
        }
        Damage::Fragment(offset, more) => {
            let next = bytes[6];
            let word = (offset << 3 | u16::from(more)).to_be_bytes();
            bytes[6] = 44;
            bytes.splice(40..40, [next, 0, word[0], word[1], 0, 0, 0, 7]);
            let len = u16::from_be_bytes([bytes[4], bytes[5]]).saturating_add(8);
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
        }
    }
}

/// Cuts a packet off and makes its lengths say so, as far as its header goes.
pub(crate) fn shorten(bytes: &mut Vec<u8>, len: usize) {
    bytes.truncate(len);
    if bytes.len() >= 20 && bytes[0] >> 4 == 4 {
        let total = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        refresh_ip(bytes);
    } else if bytes.len() >= 40 && bytes[0] >> 4 == 6 {
        let payload = u16::try_from(bytes.len() - 40).unwrap_or(u16::MAX);
        bytes[4..6].copy_from_slice(&payload.to_be_bytes());
    }
}
