//! The SCTP states of IPVS, as tables.
//!
//! Follows: IPVS, which looks at the first chunk of a packet; an ABORT bundled behind COOKIE ECHO or COOKIE ACK counts.

use super::Input;

/// States, 0 (before the first packet) to [`CLOSED`].
pub(crate) const STATES: usize = 14;

pub(crate) const INIT1: u8 = 1;
pub(crate) const INIT: u8 = 2;
pub(crate) const COOKIE_SENT: u8 = 3;
pub(crate) const COOKIE_REPLIED: u8 = 4;
pub(crate) const COOKIE_WAIT: u8 = 5;
pub(crate) const COOKIE: u8 = 6;
pub(crate) const COOKIE_ECHOED: u8 = 7;
pub(crate) const ESTABLISHED: u8 = 8;
pub(crate) const SHUTDOWN_SENT: u8 = 9;
pub(crate) const SHUTDOWN_RECEIVED: u8 = 10;
pub(crate) const SHUTDOWN_ACK_SENT: u8 = 11;
pub(crate) const REJECTED: u8 = 12;
pub(crate) const CLOSED: u8 = 13;

/// The name of a state in listings.
pub(crate) fn name(state: u8) -> &'static str {
    const NAMES: [&str; STATES] = [
        "NONE",
        "INIT1",
        "INIT",
        "C-SENT",
        "C-REPLIED",
        "C-WAIT",
        "COOKIE",
        "C-ECHOED",
        "ESTABLISHED",
        "S-SENT",
        "S-RECEIVED",
        "S-ACK-SENT",
        "REJECTED",
        "CLOSED",
    ];
    NAMES.get(usize::from(state)).copied().unwrap_or("?")
}

/// How long each state lasts.
pub(crate) const TIMEOUTS_MS: [u32; STATES] =
    [2_000, 4_000, 61_000, 61_000, 61_000, 61_000, 61_000, 61_000, 900_000, 61_000, 61_000, 61_000, 4_000, 61_000];

/// What a packet's chunks amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Event {
    Data = 0,
    Init = 1,
    InitAck = 2,
    CookieEcho = 3,
    CookieAck = 4,
    Shutdown = 5,
    ShutdownAck = 6,
    ShutdownComplete = 7,
    Error = 8,
    Abort = 9,
}

impl Event {
    const fn of_chunk(kind: u8) -> Self {
        match kind {
            1 => Self::Init,
            2 => Self::InitAck,
            6 => Self::Abort,
            7 => Self::Shutdown,
            8 => Self::ShutdownAck,
            9 => Self::Error,
            10 => Self::CookieEcho,
            11 => Self::CookieAck,
            14 => Self::ShutdownComplete,
            _ => Self::Data,
        }
    }

    /// The event of the chunks behind the common header; `None` if not even one chunk header is there.
    pub(crate) fn of(chunks: &[u8]) -> Option<Self> {
        let &[kind, _, high, low] = chunks.first_chunk()?;
        let first = Self::of_chunk(kind);
        let len = usize::from(u16::from_be_bytes([high, low]));
        if matches!(first, Self::CookieEcho | Self::CookieAck) && len >= 4 {
            let next = chunks.get(len.next_multiple_of(4)..).and_then(|rest| rest.first_chunk::<4>());
            if next.is_some_and(|&[kind, ..]| Self::of_chunk(kind) == Self::Abort) {
                return Some(Self::Abort);
            }
        }
        Some(first)
    }
}

/// The state after a packet.
pub(crate) fn next(state: u8, input: Input, event: Event) -> u8 {
    TABLE[input as usize][event as usize].get(usize::from(state)).copied().unwrap_or(CLOSED)
}

const I1: u8 = INIT1;
const IN: u8 = INIT;
const CS: u8 = COOKIE_SENT;
const CR: u8 = COOKIE_REPLIED;
const CW: u8 = COOKIE_WAIT;
const CO: u8 = COOKIE;
const CE: u8 = COOKIE_ECHOED;
const ES: u8 = ESTABLISHED;
const SS: u8 = SHUTDOWN_SENT;
const SR: u8 = SHUTDOWN_RECEIVED;
const SA: u8 = SHUTDOWN_ACK_SENT;
const RJ: u8 = REJECTED;
const CL: u8 = CLOSED;

/// By where a packet comes from, by event, by state.
#[rustfmt::skip]
const TABLE: [[[u8; STATES]; 10]; 3] = [
    [ // from the client
        //            NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        /* data   */ [ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* init   */ [I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN],
        /* i_ack  */ [CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* c_echo */ [CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* c_ack  */ [ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL],
        /* shut   */ [SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL],
        /* s_ack  */ [CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL],
        /* s_comp */ [CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL],
        /* error  */ [CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL],
        /* abort  */ [CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL],
    ],
    [ // from the server
        //            NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        /* data   */ [ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* init   */ [CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW],
        /* i_ack  */ [CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* c_echo */ [CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL],
        /* c_ack  */ [ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL],
        /* shut   */ [SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL],
        /* s_ack  */ [SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL],
        /* s_comp */ [CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* error  */ [CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* abort  */ [CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL],
    ],
    [ // from the client, no server seen
        //            NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        /* data   */ [ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* init   */ [I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN],
        /* i_ack  */ [CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* c_echo */ [ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* c_ack  */ [ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL],
        /* shut   */ [SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL],
        /* s_ack  */ [CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL],
        /* s_comp */ [CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL],
        /* error  */ [CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        /* abort  */ [CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL],
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_association_is_set_up_and_torn_down() {
        use Input::{Client, Server};
        let steps = [
            (Client, Event::Init, INIT1),
            (Server, Event::InitAck, COOKIE_SENT),
            (Client, Event::CookieEcho, COOKIE_REPLIED),
            (Server, Event::CookieAck, ESTABLISHED),
            (Client, Event::Data, ESTABLISHED),
            (Client, Event::Shutdown, SHUTDOWN_RECEIVED),
        ];
        let mut state = 0;
        for (input, event, expected) in steps {
            state = next(state, input, event);
            assert_eq!(state, expected, "{event:?}");
        }
    }

    #[test]
    fn an_abort_behind_a_cookie_counts() {
        let chunks = [10, 0, 0, 7, 1, 2, 3, 0, 6, 0, 0, 4];
        assert_eq!(Event::of(&chunks), Some(Event::Abort));
        assert_eq!(Event::of(&chunks[..8]), Some(Event::CookieEcho));
        assert_eq!(Event::of(&[10, 0, 0]), None);
    }
}
