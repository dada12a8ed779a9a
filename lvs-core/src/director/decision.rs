//! What the stages of the packet path tell each other.

use crate::conn::entry::Entry;
use crate::forward::Plan;
use crate::service::Method;
use crate::verdict::{DropReason, PassReason, ReplyReason};
use crate::wire::parse::{Parsed, Shape};

/// A verdict as the stages pass it on: small enough for two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Rewritten for a server: its slot, and that of the connection if there is one.
    ToServer {
        server: u32,
        connection: u32,
        method: Method,
    },
    /// The same, when the server is not where its service has it: an FTP server may announce another host.
    Elsewhere {
        server: u32,
        connection: u32,
    },
    /// Rewritten for the client of a connection.
    ToClient {
        connection: u32,
    },
    /// Rewritten for a client, without a connection that lasts.
    FromServer {
        server: u32,
    },
    Reply(ReplyReason),
    /// Replaced by an error for the client of a connection.
    Relayed {
        connection: u32,
        reason: ReplyReason,
    },
    Pass(PassReason),
    Drop(DropReason),
}

/// What a connection is to a packet that was found to belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// The packet goes its way.
    Keep,
    /// It goes nowhere: the server is deleted.
    Drop,
    /// It goes nowhere: the server was drained up to its deadline.
    CutOff,
    /// It ends, and the packet may open another.
    End,
    /// It stays, hidden by the one that the packet may open.
    Shadow,
}

/// What a new flow has become.
#[derive(Debug)]
pub(super) enum Scheduled {
    /// A connection in the table.
    Connection(u32),
    /// A connection for this one packet.
    OnePacket(Entry),
}

/// What a packet on its way to a server meets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It leaves.
    Send(Plan),
    /// Its sender gets an error instead.
    Refuse(Refusal),
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Pass(PassReason),
    Drop(DropReason),
    /// Its sender gets this error.
    Error(ReplyReason),
    /// Its sender is told the largest packet that gets through.
    TooBig(u16),
}

impl Refusal {
    /// Neither an error nor a later part of a packet draws an error (RFC 1122 section 3.2.2): where another packet would be
    /// answered, it is dropped.
    pub(super) fn unanswered(self, parsed: &Parsed) -> Self {
        match self {
            _ if !parsed.is_icmp() && !parsed.is_quoted && parsed.shape != Shape::Fragment => self,
            Self::TooBig(_) | Self::Error(ReplyReason::TooBig) => Self::Drop(DropReason::TooBig),
            Self::Error(ReplyReason::TtlExceeded) => Self::Drop(DropReason::TtlExceeded),
            Self::Error(ReplyReason::NoRoute) => Self::Drop(DropReason::NoRoute),
            Self::Error(ReplyReason::NoDestination | ReplyReason::NoConnection | ReplyReason::TunnelError) => {
                Self::Drop(DropReason::NoDestination)
            }
            Self::Error(ReplyReason::Reset | ReplyReason::Drained) => Self::Drop(DropReason::Drained),
            Self::Pass(_) | Self::Drop(_) => self,
        }
    }
}
