//! The TCP states of IPVS, as tables.
//!
//! Follows: the normal table and the one of `secure_tcp`. The event is the first of RST, SYN, FIN, ACK that a segment has;
//! one with none of them closes.

use super::Input;
use crate::wire::transport::TcpFlags;

/// States, [`NONE`] to [`SYNACK`].
pub(crate) const STATES: usize = 11;

/// Every connection's state before its first packet.
pub(crate) const NONE: u8 = 0;
pub(crate) const ESTABLISHED: u8 = 1;
pub(crate) const SYN_SENT: u8 = 2;
pub(crate) const SYN_RECV: u8 = 3;
pub(crate) const FIN_WAIT: u8 = 4;
pub(crate) const TIME_WAIT: u8 = 5;
pub(crate) const CLOSE: u8 = 6;
pub(crate) const CLOSE_WAIT: u8 = 7;
pub(crate) const LAST_ACK: u8 = 8;
pub(crate) const LISTEN: u8 = 9;
pub(crate) const SYNACK: u8 = 10;

/// The name of a state in listings.
pub(crate) fn name(state: u8) -> &'static str {
    const NAMES: [&str; STATES] = [
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
    NAMES.get(usize::from(state)).copied().unwrap_or("ERR!")
}

/// True for the states whose connections count as active.
pub(crate) const fn is_active(state: u8) -> bool {
    matches!(state, ESTABLISHED | SYN_SENT | SYN_RECV | SYNACK)
}

/// How long each state lasts.
pub(crate) const TIMEOUTS_MS: [u32; STATES] =
    [2_000, 900_000, 120_000, 60_000, 120_000, 120_000, 10_000, 60_000, 30_000, 120_000, 120_000];

/// The state after a segment.
#[inline]
pub(crate) const fn next(state: u8, input: Input, flags: TcpFlags, secure: bool) -> u8 {
    let table = if secure { &SECURE_ROWS } else { &NORMAL_ROWS };
    let event = EVENTS[(flags.0 & 0x1f) as usize];
    table[((input as usize) << 3 | event as usize) & (ROWS - 1)][(state & 15) as usize]
}

/// True if a segment that is no SYN leaves a state as it is.
#[inline(always)]
pub(crate) const fn stays(state: u8, input: Input, flags: TcpFlags, secure: bool) -> bool {
    let all = STAYS[((secure as usize) << 2 | input as usize) & 7][(state & 15) as usize];
    all >> (flags.0 & 0x1f) & 1 != 0
}

/// By table, by where a segment comes from and by state: one bit for each combination of control bits.
static STAYS: [[u32; 16]; 8] = {
    let mut stays = [[0; 16]; 8];
    let mut bits = 0u8;
    while bits < 32 {
        let mut state = 0;
        while state < STATES {
            let mut n = 0;
            while n < 6 {
                let (secure, input) = (n >= 3, [Input::Client, Input::Server, Input::ClientOnly][n % 3]);
                let next = next(state as u8, input, TcpFlags(bits), secure);
                if next as usize == state && !TcpFlags(bits).syn() {
                    stays[(secure as usize) << 2 | input as usize][state] |= 1 << bits;
                }
                n += 1;
            }
            state += 1;
        }
        bits += 1;
    }
    stays
};

/// The event of each combination of ACK, PSH, RST, SYN and FIN.
const EVENTS: [u8; 32] = {
    let mut events = [NO_EVENT; 32];
    let mut bits = 0u8;
    while bits < 32 {
        let flags = TcpFlags(bits);
        events[bits as usize] = if flags.rst() {
            3
        } else if flags.syn() {
            0
        } else if flags.fin() {
            1
        } else if flags.ack() {
            2
        } else {
            NO_EVENT
        };
        bits += 1;
    }
    events
};

/// A segment without any of them: whatever the state, it closes.
const NO_EVENT: u8 = 4;

/// Eight events for each input, of which five are used.
const ROWS: usize = 32;

/// A table as the packet path reads it: rows of sixteen, so that no index can be out of range.
const fn rows(table: &Table) -> [[u8; 16]; ROWS] {
    let mut rows = [[CLOSE; 16]; ROWS];
    let mut input = 0;
    while input < 3 {
        let mut event = 0;
        while event < 4 {
            let mut state = 0;
            while state < STATES {
                rows[input << 3 | event][state] = table[input][event][state];
                state += 1;
            }
            event += 1;
        }
        input += 1;
    }
    rows
}

static NORMAL_ROWS: [[u8; 16]; ROWS] = rows(&NORMAL);
static SECURE_ROWS: [[u8; 16]; ROWS] = rows(&SECURE);

/// By where a segment comes from, by event, by state.
type Table = [[[u8; STATES]; 4]; 3];

const ES: u8 = ESTABLISHED;
const SS: u8 = SYN_SENT;
const SR: u8 = SYN_RECV;
const FW: u8 = FIN_WAIT;
const TW: u8 = TIME_WAIT;
const CL: u8 = CLOSE;
const CW: u8 = CLOSE_WAIT;
const LA: u8 = LAST_ACK;
const LI: u8 = LISTEN;
const SA: u8 = SYNACK;

/// The table in force unless the director defends itself.
#[rustfmt::skip]
const NORMAL: Table = [
    [ // from the client
        //         NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /* syn */ [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        /* fin */ [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW],
        /* ack */ [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        /* rst */ [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR],
    ],
    [ // from the server
        //         NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /* syn */ [SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR],
        /* fin */ [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
        /* ack */ [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
        /* rst */ [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
    ],
    [ // from the client, no server seen
        //         NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /* syn */ [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        /* fin */ [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
        /* ack */ [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        /* rst */ [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
];

/// The table of `secure_tcp`: a connection is not established before the server has answered.
#[rustfmt::skip]
const SECURE: Table = [
    [ // from the client
        //         NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /* syn */ [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA],
        /* fin */ [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA],
        /* ack */ [ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA],
        /* rst */ [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
    [ // from the server
        //         NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /* syn */ [SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA],
        /* fin */ [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
        /* ack */ [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
        /* rst */ [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
    ],
    [ // from the client, no server seen
        //         NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /* syn */ [SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA],
        /* fin */ [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
        /* ack */ [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        /* rst */ [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: TcpFlags = TcpFlags(0x02);
    const ACK: TcpFlags = TcpFlags(0x10);
    const FIN_ACK: TcpFlags = TcpFlags(0x11);
    const SYN_ACK: TcpFlags = TcpFlags(0x12);
    const RST: TcpFlags = TcpFlags(0x04);

    fn play(steps: &[(Input, TcpFlags)], secure: bool) -> u8 {
        steps.iter().fold(NONE, |state, &(input, flags)| next(state, input, flags, secure))
    }

    #[test]
    fn a_nat_conversation_that_the_client_ends() {
        use Input::{Client, Server};
        let steps =
            [(Client, SYN), (Server, SYN_ACK), (Client, ACK), (Client, FIN_ACK), (Server, FIN_ACK), (Client, ACK)];
        let states = [SYN_RECV, SYN_RECV, ESTABLISHED, CLOSE_WAIT, TIME_WAIT, TIME_WAIT];
        for (n, state) in states.into_iter().enumerate() {
            assert_eq!(play(&steps[..=n], false), state, "step {n}");
        }
    }

    #[test]
    fn half_a_conversation_never_reaches_time_wait_from_established() {
        use Input::ClientOnly;
        assert_eq!(play(&[(ClientOnly, SYN), (ClientOnly, ACK), (ClientOnly, FIN_ACK)], false), FIN_WAIT);
    }

    #[test]
    fn the_secure_table_waits_for_the_server() {
        assert_eq!(play(&[(Input::Client, SYN), (Input::Client, ACK)], true), SYN_RECV);
        let answered = [(Input::Client, SYN), (Input::Server, SYN_ACK), (Input::Client, ACK)];
        assert_eq!(play(&answered, true), SYNACK);
        assert_eq!(next(SYNACK, Input::Server, ACK, true), ESTABLISHED);
    }

    #[test]
    fn a_client_cannot_reset_a_half_open_connection_but_its_server_can() {
        assert_eq!(next(SYN_RECV, Input::Client, RST, false), SYN_RECV);
        assert_eq!(next(SYN_RECV, Input::Server, RST, false), CLOSE);
    }

    #[test]
    fn a_segment_without_any_flag_closes() {
        for state in 0..11 {
            assert_eq!(next(state, Input::Client, TcpFlags(0), false), CLOSE);
        }
    }
}
