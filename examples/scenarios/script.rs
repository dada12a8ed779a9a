//! A scenario in the making: its steps, and a rehearsal of them with the library, so that the next choice can depend on
//! what became of the last one.

use std::time::Duration;

use lvs_core::testkit::recording::Rehearsal;
use lvs_core::{Direction, Instant, Method, Verdict};
use serde_json::{Value, json};

use super::dice::Dice;
use super::late::Late;
use super::network::{self, Families};
use super::packet::{Answer, to_hex};

/// The longest sleep: a kernel that has nothing to do still counts seconds, and a month of them takes hours.
const LONGEST_SLEEP: Duration = Duration::from_secs(4 * 3600);

/// The longest Call-ID that listings with ipvsadm are done with.
const LONGEST_LISTED: usize = 60;

/// What a step with a packet came to, as far as the library is right.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// What the director decided.
    pub(crate) verdict: Verdict,
    /// The packet afterwards.
    pub(crate) packet: Vec<u8>,
}

impl Sent {
    /// Went to a real server as it is, not in a tunnel.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.verdict, Verdict::Forward(out) if out.direction == Direction::ToServer && out.method != Method::Tun)
    }

    /// Went to a real server.
    pub(crate) fn reached_server(&self) -> bool {
        matches!(self.verdict, Verdict::Forward(out) if out.direction == Direction::ToServer)
    }
}

/// A scenario in the making.
#[derive(Debug)]
pub(crate) struct Script {
    /// What every choice is drawn from.
    pub(crate) dice: Dice,
    lines: Vec<String>,
    sent: Vec<Option<Sent>>,
    rehearsal: Rehearsal,
    late: Late,
    clock: Duration,
    /// Time that passed otherwise than by sleeping: the kernel's may be another.
    guessed: Duration,
}

impl Script {
    /// An empty one.
    #[must_use]
    pub(crate) fn new(family: &str, seed: u64) -> Self {
        Self {
            dice: Dice::new(family, seed),
            lines: Vec::new(),
            sent: Vec::new(),
            rehearsal: Rehearsal::default(),
            late: Late::default(),
            clock: Duration::ZERO,
            guessed: Duration::ZERO,
        }
    }

    /// Its lines.
    #[must_use]
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// The synchronisation messages that a master has written since they were taken last.
    pub(crate) fn take_messages(&mut self) -> Vec<Vec<u8>> {
        self.rehearsal.take_messages()
    }

    /// The director that rehearses it.
    #[cfg(test)]
    pub(crate) const fn director(&self) -> &lvs_core::Director {
        self.rehearsal.director()
    }

    /// The time by the scenario's own reckoning.
    #[must_use]
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.clock.as_nanos()).expect("a scenario is short"))
    }

    /// How far the kernel's clock may be from ours: its commands take what they take.
    fn margin(&self) -> Duration {
        self.guessed / 10
    }

    /// An interface comes up.
    pub(crate) fn net(&mut self, step: &Value) {
        let lasting = Duration::from_millis(9) * network::commands(step);
        self.step(step, lasting);
    }

    /// The usual two interfaces, with the addresses of these families.
    pub(crate) fn network(&mut self, families: Families) {
        self.narrow_network(families, network::ETHERNET);
    }

    /// The same, with another MTU towards the servers.
    pub(crate) fn narrow_network(&mut self, families: Families, mtu: u16) {
        self.net(&network::towards_clients(families));
        self.net(&network::towards_servers(families, mtu));
    }

    /// An ipvsadm command.
    pub(crate) fn run(&mut self, args: impl AsRef<str>) {
        self.step(&json!({ "op": "ipvsadm", "args": args.as_ref() }), Duration::from_micros(9700));
    }

    /// A tunable of `net.ipv4.vs`.
    pub(crate) fn tune(&mut self, name: &str, value: impl ToString) {
        let step = json!({ "op": "sysctl", "key": format!("net.ipv4.vs.{name}"), "value": value.to_string() });
        self.step(&step, Duration::from_micros(7400));
    }

    /// A file of `/proc/net`.
    pub(crate) fn proc(&mut self, file: &str) {
        self.step(&json!({ "op": "proc", "file": file }), Duration::from_millis(6));
    }

    /// A command of the environment.
    pub(crate) fn shell(&mut self, command: &str) {
        self.step(&json!({ "op": "sh", "cmd": command }), Duration::from_millis(40));
    }

    /// A packet arrives. The number of the step.
    pub(crate) fn send(&mut self, interface: &str, packet: &[u8]) -> usize {
        self.step(&json!({ "op": "tx", "if": interface, "hex": to_hex(packet) }), Duration::from_micros(420))
    }

    /// The receiver of what a step sent answers it. The number of this step.
    pub(crate) fn answer(&mut self, to: usize, answer: &Answer) -> usize {
        let Some(sent) = self.sent[to].clone() else { return to };
        let (mut step, packet) = (answer.step(to), answer.packet(&sent.packet));
        let Some(packet) = packet else { return to };
        step["op"] = "reply".into();
        let rehearsed = json!({ "op": "tx", "if": network::SERVERS, "hex": to_hex(&packet) });
        self.rehearse(&step, &rehearsed, Duration::from_micros(700))
    }

    /// What became of the packet of a step.
    #[must_use]
    pub(crate) fn sent(&self, step: usize) -> Option<&Sent> {
        self.sent.get(step)?.as_ref()
    }

    /// Time passes: so much, or longer if a timer would be on its way then, or not at all if timers that depend on each
    /// other might fire in either order.
    pub(crate) fn sleep(&mut self, wanted: Duration) {
        self.sleep_until(self.now() + wanted, false);
    }

    /// The same, collecting what is sent meanwhile.
    pub(crate) fn listen(&mut self, wanted: Duration) {
        self.sleep_until(self.now() + wanted, true);
    }

    /// Sleeps until shortly before or after some connection's time is over.
    pub(crate) fn sleep_around_a_deadline(&mut self) {
        let n = self.dice.index(64);
        let Some((deadline, late)) = self.late.deadline(n) else { return };
        let ahead = deadline.since(self.now());
        if self.dice.chance(50) {
            let before = Duration::from_millis(self.dice.from(1200, 3000).into()) + self.margin();
            self.sleep(ahead.saturating_sub(before));
        } else {
            let after = Duration::from_millis(self.dice.from(500, 1500).into());
            self.sleep(ahead + late + after);
        }
    }

    fn sleep_until(&mut self, wanted: Instant, listening: bool) {
        let until = self.late.settled(wanted, self.margin());
        let is_short = until.since(self.now()) <= LONGEST_SLEEP;
        if is_short && !self.late.is_doubtful(until, self.margin()) {
            let ms = u64::try_from(until.since(self.now()).as_millis()).expect("a scenario is short");
            self.write_sleep(ms + 1, listening);
        }
    }

    fn write_sleep(&mut self, ms: u64, listening: bool) {
        let mut step = json!({ "op": "sleep", "ms": ms });
        if listening {
            step["listen"] = true.into();
        }
        let passed = Duration::from_millis(ms);
        self.write(&step, &step, passed);
    }

    /// Lists connections and services, unless a timer has made them uncertain.
    pub(crate) fn look(&mut self) {
        if self.late.may_look() && self.dice.chance(70) {
            self.proc("ip_vs_conn");
        }
        let listing = self.dice.weighted(&[(5, "-Ln"), (1, "-Ln --nosort"), (1, "-Ln --thresholds"), (1, "-S -n")]);
        match self.dice.from(0, 9) {
            0 => self.proc("ip_vs"),
            1 if self.late.may_look() => self.list_connections("-Lnc"),
            2 => self.run("-Ln --persistent-conn"),
            _ => self.run(listing),
        }
    }

    /// Lists connections, unless a timer has made them uncertain.
    pub(crate) fn look_at_connections(&mut self) {
        if self.late.may_look() {
            self.proc("ip_vs_conn");
        }
    }

    /// The same with ipvsadm and these arguments, which does not survive lines as long as those of some Call-IDs.
    pub(crate) fn list_connections(&mut self, args: &str) {
        let kept = |view: lvs_core::ConnectionView| view.engine.map_or(0, |engine| engine.data.len());
        let longest = self.rehearsal.director().connections().map(kept).max();
        if self.late.may_look() && longest <= Some(LONGEST_LISTED) {
            self.run(args);
        }
    }

    fn step(&mut self, step: &Value, lasting: Duration) -> usize {
        self.rehearse(step, step, lasting)
    }

    /// Writes a step and does another in its place, once no timer is on its way.
    fn rehearse(&mut self, step: &Value, rehearsed: &Value, lasting: Duration) -> usize {
        let at = self.late.settled(self.now(), self.margin());
        if at > self.now() {
            let ms = u64::try_from(at.since(self.now()).as_millis()).expect("a window is short");
            self.write_sleep(ms + 1, false);
        }
        let number = self.write(step, rehearsed, lasting);
        self.guessed += lasting;
        number
    }

    fn write(&mut self, step: &Value, rehearsed: &Value, lasting: Duration) -> usize {
        self.lines.push(step.to_string());
        if rehearsed["op"] == "sleep" {
            self.clock += lasting;
        }
        let left = self.rehearsal.step(&rehearsed.to_string(), self.now()).expect("the script writes steps");
        self.sent.push(left.map(|(verdict, packet)| Sent { verdict, packet }));
        self.late.note(self.rehearsal.director(), self.now(), self.guessed / 10);
        if rehearsed["op"] != "sleep" {
            self.clock += lasting;
        }
        self.lines.len() - 1
    }
}
