//! Recordings of a real kernel, played against the library.
//!
//! A recording is JSON lines, one step each, with what the kernel did: packets sent, listings printed. [`play`] does the
//! same steps with a director, through its public interface, and says where it differs. `host` is what surrounds a
//! director (routes, neighbours, the local stack), `packet` reads packets independently of the library, `listing`
//! compares texts.
//!
//! Compared are: every byte of every packet, its next hop, and that there is one, or none; listings of services to the
//! byte; listings of connections as sets, the seconds left within one; what `ipvsadm` exits with. Not compared is what a kernel draws at random:
//! the identification of IPv4 headers without "don't fragment", the flow label and the UDP source port of its own
//! packets; and a connection whose time is over, while the kernel's timers may still be on their way (`late`). Of
//! synchronisation messages the records are compared, over the whole recording (`sync`).

mod host;
mod late;
mod listing;
mod packet;
mod parts;
mod sync;

use std::collections::BTreeMap;
use std::fmt;
use std::format;
use std::net::IpAddr;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::Value;

use self::host::{Host, Way, answer_of, answers_passed, is_host_error};
use self::late::Late;
use self::listing::Compared;
use self::packet::{
    Fields, ICMP, ICMPV6, Part, TCP, UDP, describe, error_for, from_hex, header_is_right, inner, is_icmp_error,
    one_hop_on, reassemble, without_atomic_header,
};
use self::parts::{Key, Parts, Whole};
use self::sync::Sync;
use crate::{Command, Config, Direction, Director, Hook, Instant, Meta, Method, Packet, Verdict, parse_line};

/// What playing a recording came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many steps the recording has.
    pub steps: usize,
    /// The steps that differ.
    pub differences: Vec<Difference>,
}

/// A step that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which, from 0.
    pub step: usize,
    /// When, in milliseconds of the recording, as it is written there.
    pub time_ms: String,
    /// The step itself, as recorded.
    pub action: String,
    /// What the kernel did.
    pub expected: String,
    /// What the library did.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  step {} at {} ms: {}", self.step, self.time_ms, self.action)?;
        writeln!(f, "    expected: {}", self.expected.replace('\n', "\n              "))?;
        write!(f, "    got:      {}", self.got.replace('\n', "\n              "))
    }
}

/// Plays a recording: `text` is its lines.
///
/// ```
/// use lvs_core::testkit::recording::play;
///
/// let recording = r#"{"step": {"op": "ipvsadm", "args": "-Ln"}, "t_ms": 1.5, "rc": 0, "stdout": "nothing", "out": []}"#;
/// let report = play(recording)?;
/// assert_eq!((report.steps, report.differences.len()), (1, 1));
/// # Ok::<(), lvs_core::testkit::recording::Unreadable>(())
/// ```
///
/// # Errors
/// [`Unreadable`] if the text is no recording.
pub fn play(text: &str) -> Result<Report, Unreadable> {
    play_with(text, Player::new())
}

/// The same, but that the director is given fragments as they come, not put together by the host; what leaves is put
/// together and compared with the packet of the kernel.
///
/// # Errors
/// [`Unreadable`] if the text is no recording.
pub fn play_fragments(text: &str) -> Result<Report, Unreadable> {
    play_with(text, Player { in_parts: true, ..Player::new() })
}

fn play_with(text: &str, mut player: Player) -> Result<Report, Unreadable> {
    let mut end = 0.0;
    let mut report = Report { steps: 0, differences: Vec::new() };
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: &str| Unreadable { line: number + 1, what: what.to_string() };
        let record: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let time = record["t_ms"].as_f64().ok_or_else(|| wrong("no t_ms"))?;
        let step = &record["step"];
        let op = step["op"].as_str().ok_or_else(|| wrong("no step.op"))?;
        let compared = player.step(op, step, &record, instant(time)).ok_or_else(|| wrong("a malformed step"))?;
        if let Err((expected, got)) = compared {
            let action = if op == "tx" { describe_tx(step) } else { step.to_string() };
            let time_ms = record["t_ms"].to_string();
            report.differences.push(Difference { step: report.steps, time_ms, action, expected, got });
        }
        report.steps += 1;
        end = time + step["ms"].as_f64().unwrap_or(0.0);
    }
    if report.steps == 0 {
        return Err(Unreadable { line: 1, what: "no step at all".to_string() });
    }
    if let Err((expected, got)) = player.finish(end) {
        let action = "all synchronisation messages".to_string();
        report.differences.push(Difference { step: report.steps - 1, time_ms: end.to_string(), action, expected, got });
    }
    Ok(report)
}

fn describe_tx(step: &Value) -> String {
    let packet = step["hex"].as_str().and_then(from_hex).map_or_else(String::new, |bytes| describe(&bytes));
    format!("packet on {}: {packet}", step["if"].as_str().unwrap_or_default())
}

/// A text that is no recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: not a recorded step: {}", self.line, self.what)
    }
}

impl std::error::Error for Unreadable {}

/// A scenario done without a kernel, for whoever writes one: the library does each step as [`play`] has it do, and
/// nothing is compared.
///
/// ```
/// use lvs_core::Instant;
/// use lvs_core::testkit::recording::Rehearsal;
///
/// let mut rehearsal = Rehearsal::default();
/// rehearsal.step(r#"{"op": "ipvsadm", "args": "-A -t 192.0.2.10:80 -s rr"}"#, Instant::from_millis(10))?;
/// assert_eq!(rehearsal.director().services().len(), 1);
/// # Ok::<(), lvs_core::testkit::recording::Unreadable>(())
/// ```
#[derive(Debug)]
pub struct Rehearsal(Player);

impl Default for Rehearsal {
    fn default() -> Self {
        Self(Player::new())
    }
}

impl Rehearsal {
    /// Does a step, a line of a scenario, at a time. If a packet arrived and the director had its say: what became of
    /// it, and its bytes afterwards.
    ///
    /// # Errors
    /// [`Unreadable`] if the line is no step.
    pub fn step(&mut self, line: &str, now: Instant) -> Result<Option<(Verdict, Vec<u8>)>, Unreadable> {
        let wrong = |what: &str| Unreadable { line: 1, what: what.to_string() };
        let step: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let op = step["op"].as_str().ok_or_else(|| wrong("no op"))?;
        let nothing_recorded = serde_json::json!({ "stdout": "" });
        self.0.verdict = None;
        self.0.step(op, &step, &nothing_recorded, now).ok_or_else(|| wrong("a malformed step"))?.ok();
        Ok(self.0.verdict.take())
    }

    /// The synchronisation messages that the director, as a master, has written since they were taken last.
    pub fn take_messages(&mut self) -> Vec<Vec<u8>> {
        self.0.sync.take_messages()
    }

    /// The director that does it.
    #[must_use]
    pub const fn director(&self) -> &Director {
        &self.0.director
    }
}

/// Room in front of each packet.
const HEADROOM: usize = 128;
/// Room behind each packet: an ICMP error about a packet of any length fits.
const TAILROOM: usize = 1600;

/// Free memory of the host: far more than defences want by default, far less than the largest threshold.
const AVAILABLE_PAGES: u64 = 1 << 18;

#[derive(Debug)]
struct Player {
    director: Director,
    host: Host,
    /// The UDP source port of each flow's tunnel packets: one for each.
    tunnel_ports: BTreeMap<Vec<u8>, u16>,
    late: Late,
    sync: Sync,
    /// What became of the latest packet, and its bytes.
    verdict: Option<(Verdict, Vec<u8>)>,
    parts: Parts,
    /// Whether the director is given fragments as they come.
    in_parts: bool,
    /// What became of them.
    sent: Vec<SentPart>,
}

/// What became of a fragment.
#[derive(Debug)]
struct SentPart {
    key: Key,
    offset: usize,
    verdict: Verdict,
    bytes: Vec<u8>,
}

/// A frame that the kernel sent.
struct Frame {
    interface: String,
    mac: String,
    bytes: Vec<u8>,
}

impl Player {
    fn new() -> Self {
        let config = Config { connections: 1 << 16, ..Config::with_seed(1) };
        let mut director = Director::new(config).expect("a table of 65536 connections can be built");
        director.set_available_memory(AVAILABLE_PAGES);
        Self {
            director,
            host: Host::default(),
            tunnel_ports: BTreeMap::new(),
            late: Late::default(),
            sync: Sync::default(),
            verdict: None,
            parts: Parts::default(),
            in_parts: false,
            sent: Vec::new(),
        }
    }

    /// Does one step; `None` if it is malformed.
    fn step(&mut self, op: &str, step: &Value, record: &Value, now: Instant) -> Option<Compared> {
        self.pass_time(now);
        self.late.passed(&self.director, now);
        let compared = self.compare(op, step, record, now);
        self.late.note(&self.director);
        self.sync.note(&self.director, None);
        self.sync.collect(&mut self.director, now);
        compared
    }

    /// Lets time pass; with a master daemon deadline by deadline, so that it is known what each brings about.
    fn pass_time(&mut self, now: Instant) {
        let mut latest = None;
        while self.sync.has_master()
            && let Some(at) = self.director.next_deadline().filter(|at| *at <= now && Some(*at) > latest)
        {
            while self.director.advance(at, usize::MAX).more {}
            self.sync.note(&self.director, Some(at));
            self.sync.collect(&mut self.director, at);
            latest = Some(at);
        }
        while self.director.advance(now, usize::MAX).more {}
        self.sync.note(&self.director, Some(now));
        self.sync.collect(&mut self.director, now);
    }

    /// After the last step: what is compared over the whole recording.
    fn finish(mut self, end_ms: f64) -> Compared {
        self.pass_time(instant(end_ms));
        self.sync.compare()
    }

    fn compare(&mut self, op: &str, step: &Value, record: &Value, now: Instant) -> Option<Compared> {
        if record["skipped"].as_bool() == Some(true) {
            return Some(Ok(()));
        }
        let frames = match self.sync.take(frames(record)?) {
            Ok(frames) => frames,
            Err(unreadable) => return Some(Err(unreadable)),
        };
        match op {
            "net" => self.host.add(step, &mut self.director).map(Ok),
            "sh" => {
                let command = step["cmd"].as_str()?;
                self.host.command(command, &mut self.director);
                Some(self.shell(command, record))
            }
            "ipvsadm" => Some(self.ipvsadm(step["args"].as_str()?, record)),
            "sysctl" => {
                // The shell takes the quotes away.
                let value = step["value"].as_str()?.trim_matches(['\'', '"']);
                let set = self.director.set_tunable(step["key"].as_str()?, value);
                let status = if set.is_ok() { 0 } else { SYSCTL_REFUSED };
                Some(same_status(record, status, &format!("{set:?}")))
            }
            "proc" => {
                let (file, expected) = (step["file"].as_str()?, record["stdout"].as_str()?);
                let got = self.director.proc_file(file).unwrap_or_default();
                Some(match file {
                    "ip_vs_conn" => listing::same_connections(expected, &got, &self.late.rows(false)),
                    "ip_vs_conn_sync" => listing::same_connections(expected, &got, &self.late.rows(true)),
                    "ip_vs" => listing::same_services(expected, &got),
                    _ => listing::same_text(expected, &got),
                })
            }
            "sleep" => Some(nothing_left(&frames)),
            "tx" => Some(self.transmit(step["if"].as_str()?, from_hex(step["hex"].as_str()?)?, &frames, now)),
            _ => None,
        }
    }

    /// A command of the host's: a tunable is shown, or helpers are there from now on.
    fn shell(&mut self, command: &str, record: &Value) -> Compared {
        if let Some(name) = command.strip_prefix("cat /proc/sys/net/ipv4/vs/") {
            let expected = record["stdout"].as_str().unwrap_or_default().trim();
            let got = self.director.tunables().get(name).unwrap_or_default();
            return if got == expected { Ok(()) } else { Err((expected.to_string(), got)) };
        }
        let Some(arguments) = command.split(';').find_map(|command| command.trim().strip_prefix("modprobe ip_vs_ftp"))
        else {
            return Ok(());
        };
        let ports = arguments.trim().strip_prefix("ports=").unwrap_or("21");
        let ports: Vec<u16> = ports.split(',').filter_map(|port| port.parse().ok()).collect();
        self.director.set_ftp_ports(&ports).expect("ports that the kernel has taken");
        Ok(())
    }

    fn ipvsadm(&mut self, args: &str, record: &Value) -> Compared {
        // A daemon's interface has to be there, and the library knows of none.
        if let Ok(Command::StartDaemon(daemon)) = parse_line(args)
            && !self.host.has(&daemon.interface)
        {
            return same_status(record, NO_INTERFACE, &format!("no interface {}", daemon.interface));
        }
        let run = match restored(args) {
            Some(rules) => self.director.load(rules).map(|()| String::new()),
            None => self.director.run(args),
        };
        let (status, said) = match &run {
            Ok(_) => (0, "done".to_string()),
            Err(refused) => (refused.exit_status, refused.to_string()),
        };
        same_status(record, status, &said)?;
        let (expected, got) = (record["stdout"].as_str().unwrap_or_default(), run.unwrap_or_default());
        if expected.starts_with("IPVS connection entries") {
            listing::same_connection_listing(expected, &got)
        } else if args.contains("--nosort") {
            listing::same_services(expected, &got)
        } else {
            self.late.same_listing(expected, &got)
        }
    }

    /// A packet arrives.
    fn transmit(&mut self, interface: &str, packet: Vec<u8>, frames: &[Frame], now: Instant) -> Compared {
        let Some(fields) = Fields::read(&packet) else {
            return Err(("a readable packet".to_string(), describe(&packet)));
        };
        if let Some(message) = self.sync.for_backup(&fields, &packet) {
            let _ = self.director.receive_sync(now, message);
            return nothing_left(frames);
        }
        if let Some(part) = Part::of(&fields, &packet) {
            return self.transmit_part(interface, &fields, part, packet, frames, now);
        }
        let packet = if self.in_parts { packet } else { without_atomic_header(&packet) };
        let largest = packet.len();
        self.transmit_whole(interface, &Whole { key: None, bytes: packet, largest }, frames, now)
    }

    /// A fragment arrives. The host puts fragments together before the director sees them; over IPv4 each takes its hop
    /// before, over IPv6 the packet after.
    fn transmit_part(
        &mut self,
        interface: &str,
        fields: &Fields,
        part: Part,
        packet: Vec<u8>,
        frames: &[Frame],
        now: Instant,
    ) -> Compared {
        let passes_through = !self.host.owns(fields.destination);
        let mut arrived = packet;
        if passes_through && fields.source.is_ipv4() {
            if let Some(refusal) = self.host.refuses(fields, &arrived, arrived.len()) {
                // Only a first part draws an error (RFC 1122, 3.2.2).
                let draws_error = part.offset == 0;
                return if draws_error {
                    refused_by_host(fields, &arrived, refusal, frames)
                } else {
                    nothing_left(frames)
                };
            }
            arrived = one_hop_on(&arrived);
        }
        if self.in_parts {
            let mut seen = arrived.clone();
            if passes_through && !fields.source.is_ipv4() {
                seen = one_hop_on(&seen);
            }
            let (verdict, bytes) = self.process(interface, &seen, !passes_through, now);
            self.sent.push(SentPart { key: Key::of(fields, &part), offset: part.offset, verdict, bytes });
        }
        match self.parts.add(fields, &part, &arrived, now) {
            None => nothing_left(frames),
            Some(whole) if self.in_parts => self.compare_parts(&whole, frames),
            Some(whole) => self.transmit_whole(interface, &whole, frames, now),
        }
    }

    /// All parts of a packet have come: what left is put together and is what the kernel sent.
    fn compare_parts(&mut self, whole: &Whole, frames: &[Frame]) -> Compared {
        let Some(fields) = Fields::read(&whole.bytes) else { return Err((shown(frames), "unreadable".to_string())) };
        let (mut ours, others): (Vec<SentPart>, Vec<SentPart>) =
            std::mem::take(&mut self.sent).into_iter().partition(|sent| Some(sent.key) == whole.key);
        self.sent = others;
        ours.sort_by_key(|sent| sent.offset);
        // Whoever puts them together takes each once.
        ours.dedup_by_key(|sent| sent.offset);
        let verdicts: Vec<String> = ours.iter().map(|sent| format!("{:?}", sent.verdict)).collect();
        let verdicts = verdicts.join(", ");
        let [first, ..] = &ours[..] else { return Err((shown(frames), "nothing".to_string())) };
        match first.verdict {
            Verdict::Pass(_) if ours.iter().all(|sent| matches!(sent.verdict, Verdict::Pass(_))) => {
                let passed = if self.host.owns(fields.destination) || fields.source.is_ipv4() {
                    whole.bytes.clone()
                } else {
                    one_hop_on(&whole.bytes)
                };
                self.compare_passed(&fields, &passed, false, frames)
            }
            Verdict::Reply(reply) => {
                // What is quoted is the first part alone.
                let kind = |bytes: &[u8]| {
                    Fields::read(bytes).map(|f| (f.source, f.destination, bytes[f.transport..][..8].to_vec()))
                };
                let without_sum =
                    |bytes: &[u8]| kind(bytes).map(|(from, to, icmp)| (from, to, [&icmp[..2], &icmp[4..]].concat()));
                let same = matches!(frames, [frame] if without_sum(&frame.bytes) == without_sum(&first.bytes));
                if same { Ok(()) } else { Err((shown(frames), format!("answered: {reply:?}"))) }
            }
            Verdict::Forward(out) => {
                let is_tunnel = out.method == Method::Tun && out.direction == Direction::ToServer;
                let content = |bytes: &[u8]| if is_tunnel { inner(bytes) } else { Some(bytes.to_vec()) };
                let same_way =
                    |sent: &SentPart| matches!(sent.verdict, Verdict::Forward(o) if o.next_hop == out.next_hop);
                let parts: Option<Vec<Vec<u8>>> =
                    ours.iter().map(|sent| if same_way(sent) { content(&sent.bytes) } else { None }).collect();
                let joined = parts.and_then(|parts| reassemble(&parts));
                let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes.clone()).collect();
                let theirs = reassemble(&bytes).and_then(|whole| content(&whole));
                let way = self.host.way(out.next_hop);
                let well_sent = way.as_ref().is_some_and(|way| frames.iter().all(|frame| frame.went(way)));
                if well_sent && theirs.is_some() && joined.as_ref() == theirs.as_ref() {
                    return Ok(());
                }
                let got = joined.map_or_else(|| "parts that do not fit together".to_string(), |whole| describe(&whole));
                Err((shown(frames), format!("{got} ({verdicts})")))
            }
            _ => nothing_left(frames).map_err(|(e, _)| (e, verdicts)),
        }
    }

    /// A packet, put together if it came in parts, arrives.
    fn transmit_whole(&mut self, interface: &str, whole: &Whole, frames: &[Frame], now: Instant) -> Compared {
        let Some(fields) = Fields::read(&whole.bytes) else {
            return Err(("a readable packet".to_string(), describe(&whole.bytes)));
        };
        if matches!(fields.destination, IpAddr::V4(group) if group.is_multicast()) {
            // Of a group that the host has not joined: it ends before there is a director to ask.
            return nothing_left(frames);
        }
        let is_ours = self.host.takes(fields.destination, interface);
        let (mut packet, in_parts) = (whole.bytes.clone(), whole.key.is_some());
        // Fragments over IPv4 have taken their hop.
        let has_taken_its_hop = in_parts && fields.source.is_ipv4();
        if !(is_ours || has_taken_its_hop) {
            if let Some(refusal) = self.host.refuses(&fields, &packet, whole.largest) {
                return self.refuse(interface, &packet, refusal, frames, now);
            }
            packet.truncate(fields.len);
            packet = one_hop_on(&packet);
        }
        let shorter = packet.len().saturating_sub(whole.largest);
        let widened =
            in_parts && fields.source.is_ipv6() && self.fits_in_parts(interface, &packet, is_ours, shorter, now);
        if widened {
            self.host.widen(&mut self.director, shorter);
        }
        let (verdict, after) = self.process(interface, &packet, is_ours, now);
        if widened {
            self.host.widen(&mut self.director, 0);
        }
        self.verdict = Some((verdict, after.clone()));
        let is_tunnel = matches!(verdict, Verdict::Forward(out) if out.method == Method::Tun);
        // Tunnels over IPv6 are cut as if nothing had been fragmented before.
        let is_cut_alike = in_parts && frames.len() > 1 && !(is_tunnel && fields.source.is_ipv6());
        if is_cut_alike && frames.iter().any(|frame| frame.bytes.len() > whole.largest) {
            return Err((format!("no fragment longer than {}", whole.largest), shown(frames)));
        }
        if in_parts && let Some(refusal) = self.host.refuses_again(&verdict, &after) {
            return self.refuse(interface, &after, refusal, frames, now);
        }
        match verdict {
            Verdict::Drop(reason) => nothing_left(frames).map_err(|(e, _)| (e, format!("dropped: {reason}"))),
            Verdict::Pass(reason) => {
                if is_ours {
                    frames.iter().for_each(|frame| self.leave(&frame.bytes, now));
                }
                self.compare_passed(&fields, &packet, is_ours, frames)
                    .map_err(|(e, got)| (e, format!("passed ({reason}): {got}")))
            }
            Verdict::Reply(reply) => {
                let mut ours = after;
                if let [frame] = frames
                    && frame.bytes.len() == ours.len()
                    && header_is_right(&frame.bytes)
                    && frame.bytes[0] >> 4 == ours[0] >> 4
                {
                    packet::take_over_random_header(&mut ours, &frame.bytes);
                }
                self.same_frame(&ours, reply.next_hop, frames, "answered")
            }
            Verdict::Forward(out) if self.host.owns(out.next_hop) => self.taken_by_host(&after, frames, now),
            Verdict::Forward(out) => {
                let mut ours = after;
                if out.method == Method::Tun && out.direction == Direction::ToServer {
                    self.take_over_tunnel(&mut ours, &packet, frames);
                }
                self.same_frame(&ours, out.next_hop, frames, "forwarded")
            }
        }
    }

    /// The host refuses a packet: its error leaves.
    fn refuse(
        &mut self,
        interface: &str,
        packet: &[u8],
        (kind, word): ([u8; 2], u16),
        frames: &[Frame],
        now: Instant,
    ) -> Compared {
        let Some(fields) = Fields::read(packet) else { return Err((shown(frames), "unreadable".to_string())) };
        if is_icmp_error(packet) {
            return nothing_left(frames);
        }
        if !self.host.owns(fields.source) {
            return refused_by_host(&fields, packet, (kind, word), frames);
        }
        // The error is for one of the host's own addresses: it comes back as a packet to the director.
        let mut error = error_for(&fields, packet, kind, word, fields.source);
        // It goes on as it is or behind the headers of a tunnel.
        if let [frame] = frames
            && let Some(at) = frame.bytes.len().checked_sub(error.len())
            && frame.bytes[at] >> 4 == error[0] >> 4
        {
            packet::take_over_random_header(&mut error, &frame.bytes[at..]);
        }
        self.transmit(interface, error, frames, now)
    }

    /// Does an IPv6 packet that was put together go on in such fragments as it came in? The largest of them is measured.
    fn fits_in_parts(&mut self, interface: &str, packet: &[u8], is_ours: bool, shorter: usize, now: Instant) -> bool {
        self.host.widen(&mut self.director, shorter);
        let mut buffer = packet.to_vec();
        let meta = self.meta(interface, is_ours);
        let verdict = self.director.explain(now, &Packet::whole(&mut buffer), meta).verdict;
        self.host.widen(&mut self.director, 0);
        !matches!(verdict, Some(Verdict::Reply(_)))
    }

    /// What the director says of a packet, and the packet after it.
    fn process(&mut self, interface: &str, packet: &[u8], is_ours: bool, now: Instant) -> (Verdict, Vec<u8>) {
        let mut buffer = vec_with_room(packet);
        let mut held = Packet::new(&mut buffer, HEADROOM, packet.len()).expect("made with room");
        let meta = self.meta(interface, is_ours);
        let verdict = self.director.process(now, &mut held, meta);
        (verdict, held.bytes().to_vec())
    }

    fn meta(&self, interface: &str, is_ours: bool) -> Meta {
        let hook = if is_ours { Hook::Local } else { Hook::Forward };
        Meta { hook, ..Meta::marked(self.host.mark(interface)) }
    }

    /// What the host itself does with a packet.
    fn compare_passed(&self, fields: &Fields, packet: &[u8], is_taken: bool, frames: &[Frame]) -> Compared {
        match (self.host.owns(fields.destination), is_taken) {
            (false, false) => return self.same_frame(packet, fields.destination, frames, "passed"),
            // Over IPv4 the host has no address to answer from.
            (false, true) if fields.source.is_ipv4() => return nothing_left(frames),
            (false, true) if fields.protocol == UDP => return refused_by_host(fields, packet, ([1, 4], 0), frames),
            (false, true) if !matches!(fields.protocol, TCP | ICMP | ICMPV6) => {
                return refused_by_host(fields, packet, ([4, 1], fields.protocol_at), frames);
            }
            _ => {}
        }
        let answers: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes.clone()).collect();
        let back = self.host.way(fields.source);
        let well_sent = frames.iter().all(|frame| back.as_ref().is_some_and(|way| frame.went(way)));
        answers_passed(fields, packet, &answers)
            .and_then(|()| if well_sent { Ok(()) } else { Err("back where the packet came from".to_string()) })
            .map_err(|wanted| (shown(frames), wanted))
    }

    /// The host is the receiver of what the director sends on; what it answers passes the director on its way out.
    fn taken_by_host(&mut self, packet: &[u8], frames: &[Frame], now: Instant) -> Compared {
        let Some(answer) = answer_of(packet) else { return nothing_left(frames) };
        let mut buffer = vec_with_room(&answer);
        let mut held = Packet::new(&mut buffer, HEADROOM, answer.len()).expect("made with room");
        let meta = Meta { from_host: true, ..Meta::default() };
        let verdict = self.director.process(now, &mut held, meta);
        let mut ours = held.bytes().to_vec();
        if let [frame] = frames
            && frame.bytes.len() == ours.len()
            && header_is_right(&frame.bytes)
            && frame.bytes[0] >> 4 == ours[0] >> 4
            && (ours[0] >> 4 == 6 || !packet::has_dont_fragment(&ours))
        {
            packet::take_over_random_header(&mut ours, &frame.bytes);
        }
        match (Fields::read(&ours), verdict) {
            (Some(fields), Verdict::Forward(_) | Verdict::Pass(_)) => {
                self.same_frame(&ours, fields.destination, frames, "answered by the host")
            }
            _ => nothing_left(frames),
        }
    }

    /// What the host itself answers passes the director on its way out: it may look like a real server's, or be one's.
    fn leave(&mut self, answer: &[u8], now: Instant) {
        let mut buffer = answer.to_vec();
        let meta = Meta { from_host: true, ..Meta::default() };
        let _ = self.director.process(now, &mut Packet::whole(&mut buffer), meta);
    }

    /// Takes over what a kernel draws for tunnel packets: the identification where there is no "don't fragment", and the
    /// UDP source port, of which there is one for each flow.
    fn take_over_tunnel(&mut self, ours: &mut [u8], inner: &[u8], frames: &[Frame]) {
        let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes.clone()).collect();
        let Some(theirs) = reassemble(&bytes) else { return };
        let (Some(a), Some(b)) = (Fields::read(ours), Fields::read(&theirs)) else { return };
        if a.protocol != b.protocol || a.source.is_ipv4() != b.source.is_ipv4() {
            return;
        }
        if a.source.is_ipv4() && !packet::has_dont_fragment(ours) {
            packet::take_over_random_header(ours, &theirs);
        }
        if a.protocol != UDP {
            return;
        }
        let (Some((port, _)), Some(flow)) = (b.ports(&theirs), flow_key(inner)) else { return };
        let known = *self.tunnel_ports.entry(flow).or_insert(port);
        if known == port && (32768..60999).contains(&port) {
            packet::take_over_source_port(ours, &theirs);
        }
    }

    /// Exactly this packet left, towards that next hop, whole or in fragments.
    fn same_frame(&self, ours: &[u8], next_hop: IpAddr, frames: &[Frame], what: &str) -> Compared {
        let way = self.host.way(next_hop);
        let got = || {
            let way = way.as_ref().map_or_else(|| "nowhere".to_string(), |w| format!("{} {}", w.interface, w.mac));
            format!("{what} to {next_hop} ({way}): {}", describe(ours))
        };
        let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes.clone()).collect();
        let well_sent = way.as_ref().is_some_and(|way| frames.iter().all(|frame| frame.went(way)));
        if well_sent && reassemble(&bytes).is_some_and(|whole| whole == without_atomic_header(ours)) {
            Ok(())
        } else {
            Err((shown(frames), got()))
        }
    }
}

impl Frame {
    fn went(&self, way: &Way) -> bool {
        self.interface == way.interface && self.mac == way.mac
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times are positive and short")]
fn instant(time_ms: f64) -> Instant {
    Instant::from_nanos((time_ms * 1e6) as u64)
}

fn frames(record: &Value) -> Option<Vec<Frame>> {
    let frames = record["out"].as_array().into_iter().flatten();
    frames
        .map(|frame| {
            Some(Frame {
                interface: frame["if"].as_str()?.to_string(),
                mac: frame["dmac"].as_str()?.to_string(),
                bytes: from_hex(frame["hex"].as_str()?)?,
            })
        })
        .collect()
}

fn shown(frames: &[Frame]) -> String {
    if frames.is_empty() {
        return "nothing".to_string();
    }
    let lines: Vec<String> =
        frames.iter().map(|f| format!("{} {}: {}", f.interface, f.mac, describe(&f.bytes))).collect();
    lines.join("\n")
}

fn nothing_left(frames: &[Frame]) -> Compared {
    if frames.is_empty() { Ok(()) } else { Err((shown(frames), "nothing".to_string())) }
}

fn refused_by_host(fields: &Fields, packet: &[u8], (kind, word): ([u8; 2], u16), frames: &[Frame]) -> Compared {
    match frames {
        [frame] if is_host_error(fields, packet, kind, word, &frame.bytes) => Ok(()),
        _ => Err((shown(frames), format!("an ICMP error of the host's, type {} code {}", kind[0], kind[1]))),
    }
}

/// The kernel's exit status, zero or not, and ours.
/// What `sysctl` exits with for a value that the kernel refuses.
const SYSCTL_REFUSED: u8 = 1;
/// What `ipvsadm` exits with for a daemon on an interface that is not there.
const NO_INTERFACE: u8 = 255;

fn same_status(record: &Value, status: u8, what: &str) -> Compared {
    let expected = record["rc"].as_i64().unwrap_or(0);
    if expected == i64::from(status) {
        return Ok(());
    }
    let stderr = record["stderr"].as_str().unwrap_or_default();
    Err((format!("exit status {expected} {stderr}"), format!("exit status {status}: {what}")))
}

/// What identifies the flow of a packet inside a tunnel.
fn flow_key(packet: &[u8]) -> Option<Vec<u8>> {
    let fields = Fields::read(packet)?;
    let ports = packet.get(fields.transport..fields.transport + 4)?;
    Some([format!("{} {} {}", fields.source, fields.destination, fields.protocol).as_bytes(), ports].concat())
}

/// The rules that a command reads from its input: `-R <<'X'`, the rules, `X`.
fn restored(args: &str) -> Option<&str> {
    args.strip_prefix("-R <<'X'\n").and_then(|rules| rules.strip_suffix("\nX"))
}

fn vec_with_room(packet: &[u8]) -> Vec<u8> {
    let mut buffer = std::vec![0; HEADROOM + packet.len() + TAILROOM];
    buffer[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    buffer
}
