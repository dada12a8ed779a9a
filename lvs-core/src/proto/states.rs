//! The states of flows as values.

use super::{sctp, tcp, udp};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident: $count:literal, $text:path { $($(#[$variant_doc:meta])* $variant:ident = $value:expr,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $value,)+ }

        impl $name {
            /// Every state, in the kernel's order.
            pub const ALL: [Self; $count] = [$(Self::$variant),+];

            /// The name that listings show.
            #[must_use]
            pub fn name(self) -> &'static str {
                $text(self as u8)
            }
        }
    };
}

states! {
    /// A state of a TCP connection, as the kernel distinguishes them.
    TcpState: 11, tcp::name {
        /// Before the first packet.
        None = tcp::NONE,
        /// `ESTABLISHED`.
        Established = tcp::ESTABLISHED,
        /// `SYN_SENT`: the server began.
        SynSent = tcp::SYN_SENT,
        /// `SYN_RECV`: the client began.
        SynReceived = tcp::SYN_RECV,
        /// `FIN_WAIT`.
        FinWait = tcp::FIN_WAIT,
        /// `TIME_WAIT`.
        TimeWait = tcp::TIME_WAIT,
        /// `CLOSE`.
        Close = tcp::CLOSE,
        /// `CLOSE_WAIT`.
        CloseWait = tcp::CLOSE_WAIT,
        /// `LAST_ACK`.
        LastAck = tcp::LAST_ACK,
        /// `LISTEN`.
        Listen = tcp::LISTEN,
        /// `SYNACK`: with `secure_tcp`, the server has answered and the client not yet.
        SynAck = tcp::SYNACK,
    }
}

states! {
    /// A state of an SCTP association, as the kernel distinguishes them.
    SctpState: 14, sctp::name {
        /// Before the first packet.
        None = 0,
        /// `INIT1`: the first INIT.
        Init1 = sctp::INIT1,
        /// `INIT`: another one.
        Init = sctp::INIT,
        /// `C-SENT`: the server has sent a cookie.
        CookieSent = sctp::COOKIE_SENT,
        /// `C-REPLIED`: the client has sent it back.
        CookieReplied = sctp::COOKIE_REPLIED,
        /// `C-WAIT`: a cookie from the server is awaited.
        CookieWait = sctp::COOKIE_WAIT,
        /// `COOKIE`.
        Cookie = sctp::COOKIE,
        /// `C-ECHOED`.
        CookieEchoed = sctp::COOKIE_ECHOED,
        /// `ESTABLISHED`.
        Established = sctp::ESTABLISHED,
        /// `S-SENT`: the server shuts down.
        ShutdownSent = sctp::SHUTDOWN_SENT,
        /// `S-RECEIVED`: the client shuts down.
        ShutdownReceived = sctp::SHUTDOWN_RECEIVED,
        /// `S-ACK-SENT`.
        ShutdownAckSent = sctp::SHUTDOWN_ACK_SENT,
        /// `REJECTED`.
        Rejected = sctp::REJECTED,
        /// `CLOSED`.
        Closed = sctp::CLOSED,
    }
}

/// A state of a flow of any protocol: what a timeout belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowState {
    /// Of a TCP connection.
    Tcp(TcpState),
    /// Of an SCTP association.
    Sctp(SctpState),
    /// UDP flows have one.
    Udp,
}

impl FlowState {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let tcp = TcpState::ALL.into_iter().map(Self::Tcp);
        tcp.chain([Self::Udp]).chain(SctpState::ALL.into_iter().map(Self::Sctp))
    }

    /// The name that listings show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp(state) => state.name(),
            Self::Sctp(state) => state.name(),
            Self::Udp => udp::NAME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ControlError;
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    #[test]
    fn the_numbers_are_the_kernels() {
        for (number, state) in TcpState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
        for (number, state) in SctpState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
        assert_eq!(FlowState::Tcp(TcpState::SynReceived).name(), "SYN_RECV");
        assert_eq!(FlowState::Sctp(SctpState::CookieEchoed).name(), "C-ECHOED");
    }

    #[test]
    fn who_asks_for_a_state_that_there_is_not_is_told_all_there_are() {
        let told = ControlError::NoSuchState.to_string();
        let told: BTreeSet<&str> =
            told.split([' ', ',']).filter(|word| word.chars().all(|c| !c.is_lowercase())).collect();
        let known: BTreeSet<&str> = FlowState::all().map(FlowState::name).chain([""]).collect();
        assert_eq!(told, known);
    }
}
