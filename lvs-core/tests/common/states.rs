//! The life of one connection, written down from the tables of IPVS as text: what `director` is compared with.

use std::time::Duration;

use lvs_core::Instant;

const COLUMNS: [&str; 11] = ["NO", "ES", "SS", "SR", "FW", "TW", "CL", "CW", "LA", "LI", "SA"];
const NAMES: [&str; 11] = [
    "NONE",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "SYNACK",
];
const SECONDS: [u64; 11] = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120];

/// Rows: in, out, in only; of each syn, fin, ack, rst.
const NORMAL: [&str; 12] = [
    "SR ES ES SR SR SR SR SR SR SR SR",
    "CL CW SS TW TW TW CL CW LA LI TW",
    "ES ES SS ES FW TW CL CW CL LI ES",
    "CL CL CL SR CL CL CL CL LA LI SR",
    "SS ES SS SR SS SS SS SS SS LI SR",
    "TW FW SS TW FW TW CL TW LA LI TW",
    "ES ES SS ES FW TW CL CW LA ES ES",
    "CL CL SS CL CL TW CL CL CL CL CL",
    "SR ES ES SR SR SR SR SR SR SR SR",
    "CL FW SS TW FW TW CL CW LA LI TW",
    "ES ES SS ES FW TW CL CW CL LI ES",
    "CL CL CL SR CL CL CL CL LA LI CL",
];
const SECURE: [&str; 12] = [
    "SR ES ES SR SR SR SR SR SR SR SA",
    "CL CW SS TW TW TW CL CW LA LI SA",
    "ES ES SS SR FW TW CL CW CL LI SA",
    "CL CL CL SR CL CL CL CL LA LI CL",
    "SS ES SS SA SS SS SS SS SS LI SA",
    "TW FW SS TW FW TW CL TW LA LI TW",
    "ES ES SS ES FW TW CL CW LA ES ES",
    "CL CL SS CL CL TW CL CL CL CL CL",
    "SA ES ES SR SA SA SA SA SA SA SA",
    "CL FW SS TW FW TW CL CW LA LI TW",
    "ES ES SS ES FW TW CL CW CL LI ES",
    "CL CL CL SR CL CL CL CL LA LI CL",
];

/// One TCP connection or UDP flow.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    is_tcp: bool,
    state: usize,
    half: bool,
    ends: Instant,
}

impl Life {
    /// Before its first packet. `half` says that no packet of the server is expected to pass.
    pub(crate) const fn new(is_tcp: bool, half: bool) -> Self {
        Self { is_tcp, state: 0, half, ends: Instant::ZERO }
    }

    pub(crate) fn is_live(&self, now: Instant) -> bool {
        now < self.ends
    }

    /// A SYN makes a new connection instead of going on with this one (`conn_reuse_mode` 1).
    pub(crate) fn is_reused_by(&self, tcp_flags: u8) -> bool {
        self.is_tcp && tcp_flags & 2 != 0 && matches!(NAMES[self.state], "TIME_WAIT" | "CLOSE")
    }

    pub(crate) const fn state(&self) -> &'static str {
        if self.is_tcp { NAMES[self.state] } else { "UDP" }
    }

    /// A packet of the client, or of the server.
    pub(crate) fn packet(&mut self, now: Instant, from_client: bool, tcp_flags: u8, secure: bool) {
        let seconds = if self.is_tcp {
            let side = match (from_client, self.half) {
                (true, false) => 0,
                (false, _) => 4,
                (true, true) => 8,
            };
            self.half &= from_client;
            let event = [4, 2, 1, 16].iter().position(|&bit| tcp_flags & bit != 0);
            // In the order of the rows: syn, fin, ack, rst.
            let row = event.map(|event| [3, 0, 1, 2][event]);
            let table = if secure { &SECURE } else { &NORMAL };
            let next = row.map_or("CL", |row| table[side + row].split(' ').nth(self.state).expect("a column"));
            self.state = COLUMNS.iter().position(|&column| column == next).expect("a state");
            SECONDS[self.state]
        } else {
            300
        };
        self.ends = now + Duration::from_secs(seconds);
    }
}
