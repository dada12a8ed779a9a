//! Leads the packets of a capture through a director, and plays the real servers.
//!
//! Owns: the order of things. Packets of clients go to the director in bursts; a reply waits until what came before it is
//! through, since only then it is known which server would have sent it.

use std::collections::HashMap;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lvs_core::{
    Config, Direction, Director, Flow, Forward, Instant, Meta, Method, Packet, PassReason, Path, RuleError, Verdict,
};

use super::capture::{Content, Frame};
use super::conversation;

/// Room in front of every packet, for tunnel headers and ICMP errors.
const HEADROOM: usize = 128;
/// Packets of one burst came within this time: the director sees one time for all of them.
const BURST_SPAN: Duration = Duration::from_millis(1);
/// Listings are renewed every two seconds.
const RENEWAL: Duration = Duration::from_secs(2);
/// Work of the director at a time, when time passes.
const BUDGET: usize = 1000;
/// So many faults are told in full.
const FAULTS: usize = 10;
/// The largest packet on the way to the servers.
const MTU: u16 = 1500;
/// The director's own addresses on the servers' side, where tunnels begin.
const DIRECTOR_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const DIRECTOR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
/// The same seed, the same output.
const SEED: u64 = 7;

/// What became of the packets. Those that the director saw it counts itself, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All packets of the capture.
    pub packets: u64,
    /// Bytes of the IP packets among them, padding included.
    pub bytes: u64,
    /// Packets sent on to servers.
    pub to_servers: u64,
    /// Packets sent on to clients.
    pub to_clients: u64,
    /// ICMP errors sent to clients.
    pub errors: u64,
    /// Not IP: ARP and the like.
    pub not_ip: u64,
    /// With a VLAN tag.
    pub vlan: u64,
    /// Replies that servers of direct routing and tunnels send past the director.
    pub direct: u64,
    /// Replies in one-packet scheduling, which keeps no connection to translate them by.
    pub one_packet: u64,
    /// Replies that went through the director, each as the server chosen would have sent it.
    pub replies: u64,
    /// Those that came out as they were captured, byte for byte.
    pub identical: u64,
    /// Those that came out as they were captured but for a checksum, which was wrong or missing in the capture.
    pub mended: u64,
    /// Packets with which something went wrong.
    pub faults: u64,
}

/// A director at work on a capture.
#[derive(Debug)]
pub struct Player {
    director: Director,
    burst: usize,
    explain: Option<u64>,
    explanation: Option<String>,
    waiting: Vec<Arrival>,
    ways: HashMap<Flow, Way>,
    sent: Vec<Frame>,
    first: Option<Duration>,
    last: Duration,
    tally: Tally,
    faults: Vec<String>,
}

/// A packet on its way to the director.
#[derive(Debug)]
struct Arrival {
    frame: Frame,
    flow: Option<Flow>,
    buffer: Vec<u8>,
}

/// How replies of a flow's server come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Through the director, from this address and port.
    Back(SocketAddr),
    /// Past it.
    Past,
    /// They would have to come through, but nothing is known of them.
    Lost,
}

impl Player {
    /// A director with rules, that gets bursts of at most so many packets. Packet `explain` is explained.
    ///
    /// # Errors
    /// If a rule is wrong.
    pub fn new(rules: &str, burst: usize, explain: Option<u64>) -> Result<Self, RuleError> {
        let path = Path::new(MTU).tunnel_source(DIRECTOR_V4).tunnel_source(DIRECTOR_V6);
        let config = Config { path, ..Config::with_seed(SEED) };
        let mut director = Director::new(config).expect("room for 65536 connections");
        director.load(rules)?;
        Ok(Self {
            director,
            burst: burst.max(1),
            explain,
            explanation: None,
            waiting: Vec::new(),
            ways: HashMap::new(),
            sent: Vec::new(),
            first: None,
            last: Duration::ZERO,
            tally: Tally::default(),
            faults: Vec::new(),
        })
    }

    /// Takes the next packet of the capture.
    pub fn take(&mut self, frame: Frame) {
        self.first.get_or_insert(frame.time);
        self.last = self.last.max(frame.time);
        self.tally.packets += 1;
        let packet = match frame.content() {
            Content::Ip(packet) => packet,
            other => return self.leave_alone(&frame, other),
        };
        self.tally.bytes += packet.len() as u64;
        let flow = conversation::flow(packet);
        if self.explain == Some(frame.number) || flow.is_some_and(|flow| self.waits_for_verdict(reversed(flow))) {
            self.flush();
        }
        match flow.and_then(|flow| self.ways.get(&reversed(flow)).copied()) {
            Some(Way::Back(server)) => self.play_server(&frame, server),
            Some(Way::Past) => {
                self.tally.direct += 1;
                self.tell(&frame, "a reply that its server sends past the director");
            }
            Some(Way::Lost) => {
                self.tally.one_packet += 1;
                self.tell(&frame, "a reply in one-packet scheduling, which knows of no connection");
            }
            None => self.wait(frame, flow),
        }
    }

    /// Does what is left to do when the capture has ended, and lets two seconds pass, so that listings are renewed.
    pub fn finish(&mut self) {
        self.flush();
        self.advance(self.instant(self.last + RENEWAL));
    }

    /// Takes what has left the director since the last call.
    pub fn sent(&mut self) -> impl Iterator<Item = Frame> + use<> {
        mem::take(&mut self.sent).into_iter()
    }

    /// The director as it is.
    #[must_use]
    pub const fn director(&self) -> &Director {
        &self.director
    }

    /// What became of the packets.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// From the first packet to the last.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.last.saturating_sub(self.first.unwrap_or(self.last))
    }

    /// What is to be said of the packet to explain, once it was there.
    #[must_use]
    pub fn explanation(&self) -> Option<&str> {
        self.explanation.as_deref()
    }

    /// The first of the things that went wrong, each with the number of its packet.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    fn leave_alone(&mut self, frame: &Frame, content: Content<'_>) {
        if content == Content::Vlan {
            self.tally.vlan += 1;
            self.tell(frame, "it has a VLAN tag, and is left alone");
        } else {
            self.tally.not_ip += 1;
            self.tell(frame, "it is no IP packet, and is left alone");
        }
    }

    /// Puts a packet into the burst.
    fn wait(&mut self, frame: Frame, flow: Option<Flow>) {
        let begun = self.waiting.first().map_or(frame.time, |first| first.frame.time);
        if self.waiting.len() >= self.burst || frame.time.saturating_sub(begun) > BURST_SPAN {
            self.flush();
        }
        let buffer = with_headroom(packet_of(&frame));
        let is_explained = self.explain == Some(frame.number);
        self.waiting.push(Arrival { frame, flow, buffer });
        if is_explained {
            self.explain_waiting();
            self.flush();
        }
    }

    fn waits_for_verdict(&self, flow: Flow) -> bool {
        self.waiting.iter().any(|arrival| arrival.flow == Some(flow))
    }

    /// Hands the burst to the director.
    fn flush(&mut self) {
        let mut waiting = mem::take(&mut self.waiting);
        let Some(last) = waiting.last() else { return };
        let now = self.instant(last.frame.time);
        self.advance(now);
        let mut packets: Vec<_> = waiting.iter_mut().map(|arrival| whole(&mut arrival.buffer)).collect();
        let metas = vec![Meta::default(); packets.len()];
        let mut verdicts = vec![Verdict::Pass(PassReason::NoService); packets.len()];
        self.director.process_burst(now, &mut packets, &metas, &mut verdicts);
        let places: Vec<_> = packets.iter().map(|packet| packet.offset()..packet.offset() + packet.len()).collect();
        for ((arrival, verdict), place) in waiting.iter().zip(verdicts).zip(places) {
            self.settle(&arrival.frame, arrival.flow, verdict, &arrival.buffer[place]);
        }
    }

    /// Does what the director says of a packet.
    fn settle(&mut self, frame: &Frame, flow: Option<Flow>, verdict: Verdict, packet: &[u8]) {
        match verdict {
            Verdict::Forward(out) => {
                self.sent.push(frame.with_packet(packet).sent_to(out.next_hop));
                match out.direction {
                    Direction::ToServer => self.tally.to_servers += 1,
                    Direction::ToClient => self.tally.to_clients += 1,
                }
                if let (Direction::ToServer, Some(flow)) = (out.direction, flow) {
                    self.ways.insert(flow, self.way_back(&out));
                }
            }
            Verdict::Reply(_) => {
                self.tally.errors += 1;
                self.sent.push(frame.with_packet(packet).sent_back());
            }
            Verdict::Pass(_) | Verdict::Drop(_) => {
                if packet != packet_of(frame) {
                    self.fault(frame, &format!("changed, though the verdict is {verdict:?}"));
                }
            }
        }
    }

    fn way_back(&self, out: &Forward) -> Way {
        if out.method != Method::Nat {
            return Way::Past;
        }
        match out.connection.and_then(|id| self.director.connection(id)) {
            Some(connection) => Way::Back(connection.server),
            None => Way::Lost,
        }
    }

    /// Sends a reply through the director as the server would have sent it.
    fn play_server(&mut self, frame: &Frame, server: SocketAddr) {
        self.flush();
        let captured = packet_of(frame);
        let played = conversation::sent_by(captured, server).zip(conversation::mended(captured));
        let Some((reply, expected)) = played else {
            return self.fault(frame, "cut off: nobody knows what its server would have sent");
        };
        let now = self.instant(frame.time);
        self.advance(now);
        let mut buffer = with_headroom(&reply);
        let mut packet = whole(&mut buffer);
        if self.explain == Some(frame.number) {
            let why = self.director.explain(now, &packet, Meta::default());
            self.tell(frame, &format!("as {server} would have sent it\n{why}"));
        }
        self.tally.replies += 1;
        let verdict = self.director.process(now, &mut packet, Meta::default());
        let Verdict::Forward(Forward { direction: Direction::ToClient, .. }) = verdict else {
            return self.fault(frame, &format!("a reply from {server} was not taken back: {verdict:?}"));
        };
        self.tally.to_clients += 1;
        let out = packet.bytes();
        if out == captured {
            self.tally.identical += 1;
        } else if out == expected {
            self.tally.mended += 1;
        } else {
            self.fault(frame, &format!("a reply from {server} did not come out as it was captured"));
        }
        self.sent.push(frame.with_packet(out));
    }

    fn explain_waiting(&mut self) {
        let Some(mut arrival) = self.waiting.pop() else { return };
        let now = self.instant(arrival.frame.time);
        self.advance(now);
        let why = self.director.explain(now, &whole(&mut arrival.buffer), Meta::default()).to_string();
        self.tell(&arrival.frame, &format!("as captured\n{why}"));
        self.waiting.push(arrival);
    }

    /// Says something of a packet, if it is the one to explain.
    fn tell(&mut self, frame: &Frame, what: &str) {
        if self.explain == Some(frame.number) {
            let time = self.instant(frame.time);
            self.explanation = Some(format!("Packet {} at {time}: {}\n", frame.number, what.trim_end()));
        }
    }

    fn fault(&mut self, frame: &Frame, what: &str) {
        self.tally.faults += 1;
        if self.faults.len() < FAULTS {
            self.faults.push(format!("packet {}: {what}", frame.number));
        }
    }

    fn advance(&mut self, now: Instant) {
        while self.director.advance(now, BUDGET).more {}
    }

    /// The time of the director: since the first packet.
    fn instant(&self, time: Duration) -> Instant {
        Instant::ZERO + time.saturating_sub(self.first.unwrap_or(time))
    }
}

const fn reversed(flow: Flow) -> Flow {
    Flow { protocol: flow.protocol, source: flow.destination, destination: flow.source }
}

/// The IP packet of a frame that has one.
fn packet_of(frame: &Frame) -> &[u8] {
    match frame.content() {
        Content::Ip(packet) => packet,
        Content::Vlan | Content::Other => &[],
    }
}

fn with_headroom(packet: &[u8]) -> Vec<u8> {
    [&[0; HEADROOM], packet].concat()
}

/// The packet behind the headroom.
fn whole(buffer: &mut [u8]) -> Packet<'_> {
    let len = buffer.len() - HEADROOM;
    Packet::new(buffer, HEADROOM, len).expect("the packet is what is behind the headroom")
}
