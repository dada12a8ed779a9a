//! What the director says of a packet: one verdict, and for every refusal a named reason.
//!
//! A bad packet is no error: it gets a verdict, is left untouched, and is counted under its reason.

use core::fmt;
use core::net::IpAddr;

use crate::conn::ConnId;
use crate::service::{Method, ServerId};

/// The answer to one packet.
///
/// On [`Pass`](Verdict::Pass) and [`Drop`](Verdict::Drop) the packet's bytes are as they came.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the director's business: the host goes on with it as if there were no director.
    Pass(PassReason),
    /// Send the packet, rewritten in place, to [`Forward::next_hop`].
    Forward(Forward),
    /// The packet was replaced, in place, by an ICMP error or a TCP reset: send that to [`Reply::next_hop`].
    Reply(Reply),
    /// Discard the packet.
    Drop(DropReason),
}

/// Where a forwarded packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The host to hand the packet to: the real server, or the client for a reply. Finding the way there, and taking
    /// one off the TTL of a reply as any router does, is the host's business.
    pub next_hop: IpAddr,
    /// Which way the packet goes.
    pub direction: Direction,
    /// How it was rewritten. A packet that goes past all servers is treated as by direct routing.
    pub method: Method,
    /// The connection it belongs to; `None` for one-packet scheduling, which keeps none.
    pub connection: Option<ConnId>,
    /// The real server at the other end; `None` where there is none and the packet goes on to its own destination
    /// (`cache_bypass`).
    pub server: Option<ServerId>,
}

/// Which way a packet goes through the director.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the real server.
    ToServer,
    /// From the real server to the client.
    ToClient,
}

/// An ICMP error, or a TCP reset, that the director built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The sender of the packet that drew it.
    pub next_hop: IpAddr,
    /// Why.
    pub reason: ReplyReason,
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $value,)+ }

        impl $name {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that counters, logs and the other languages use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use reasons;

reasons! {
    /// Why a packet was passed to the host.
    PassReason {
        /// No service has its destination, and no connection knows it.
        NoService = 1, "no-service";
        /// A protocol that IPVS does not balance, or an extension header chain that leads to none.
        UnsupportedProtocol = 2, "unsupported-protocol";
        /// There is a service, but the packet does not open a connection and belongs to none (TCP without SYN, or with
        /// RST).
        NotAnOpening = 3, "not-an-opening";
        /// From port 20: the FTP data port is never scheduled.
        FtpDataPort = 4, "ftp-data-port";
        /// A packet of this host that answers a connection of a real server here.
        LocalReply = 5, "local-reply";
        /// The real server is this host: the packet is for the local stack, as it is.
        LocalServer = 6, "local-server";
        /// A part of a fragmented packet whose first part was passed, or that has nothing to do with a service; every part
        /// if the director has no [memory](crate::Config::fragments) for them.
        Fragment = 7, "fragment";
        /// Seen where packets are forwarded, and no reply of a real server: requests are never taken up there.
        Forwarded = 8, "forwarded";
        /// There is no service of its family, so nothing is looked at.
        NotEnabled = 9, "not-enabled";
        /// The service of port 21 was found for another port, and has no such connection.
        FtpNoDestination = 10, "ftp-no-destination";
        /// The connection's server is deleted and `expire_nodest_conn` ended the connection; the packet opens none. By direct
        /// routing or a tunnel the host's answer, a reset, passes for the server's: the connection is closed by it.
        ConnectionEnded = 11, "connection-ended";
        /// An ICMP error about a packet of no connection, or a packet of IPsec that belongs to none.
        NoConnection = 12, "no-connection";
        /// A synchronisation backup runs and `backup_only` is set: it balances nothing until it takes over.
        BackupOnly = 13, "backup-only";
    }
}

reasons! {
    /// Why a packet was dropped.
    DropReason {
        /// No bytes at all, or neither version 4 nor 6.
        NotIp = 1, "not-ip";
        /// The IP header is cut off, or its length fields contradict the packet's.
        TruncatedIp = 2, "truncated-ip";
        /// The IPv4 header checksum is wrong.
        IpChecksum = 3, "ip-checksum";
        /// The TCP or UDP header is cut off.
        TruncatedTransport = 4, "truncated-transport";
        /// No room in front of the packet for what has to be put there.
        NoHeadroom = 5, "no-headroom";
        /// The connection table is full, and nothing was found that [may go](crate::Admission) for a new connection.
        TableFull = 6, "table-full";
        /// The connection's server is deleted; or `expire_nodest_conn` has ended a connection with a helper in the middle.
        ServerGone = 7, "server-gone";
        /// Too big for the path, and no error may be sent about it.
        TooBig = 8, "too-big";
        /// Dropped by the `drop_packet` defence.
        DropPacket = 9, "drop-packet-defence";
        /// Its time to live is over, and no error may be sent about it.
        TtlExceeded = 10, "ttl-exceeded";
        /// The path leaves too small an MTU inside the tunnel.
        TunnelMtu = 11, "tunnel-mtu";
        /// A tunnelled packet, or one that a helper makes longer, would be longer than IP allows.
        TooLong = 12, "too-long";
        /// A real server on this host's loopback, or a packet from it to the outside.
        Loopback = 13, "loopback";
        /// The connection has no server to build a tunnel for, or leads past all servers to this host itself: one that
        /// synchronisation brought.
        NoServer = 14, "no-server";
        /// An ICMP error is due, but there is no address of the host's to send it from.
        NoErrorSource = 15, "no-error-source";
        /// The checksum of an ICMP error about a translated connection is wrong.
        IcmpChecksum = 16, "icmp-checksum";
        /// No route to the real server, and no error may be sent about the packet.
        NoRoute = 17, "no-route";
        /// No real server can take the connection, and no error may be sent about the packet.
        NoDestination = 18, "no-destination";
        /// An ICMP error is due, but the packet's source is no single host: unspecified, multicast, broadcast, loopback.
        NoErrorTarget = 19, "no-error-target";
        /// A packet for a tunnel whose source address was never told ([`Path::tunnel_source`](crate::Path)).
        NoTunnelSource = 20, "no-tunnel-source";
        /// The TCP checksum of a packet that a helper has to read is wrong.
        TransportChecksum = 21, "transport-checksum";
        /// On a connection with a helper, a packet that acknowledges what was never said: its numbers cannot be corrected.
        OutOfWindow = 22, "out-of-window";
        /// A helper makes the packet longer, and there is room neither behind it nor in front of it.
        NoTailroom = 23, "no-tailroom";
        /// The connection's server was drained up to its deadline, and what was left is dropped; or no answer to the packet
        /// is possible.
        Drained = 24, "drained";
        /// A later part of a fragmented packet, for a service or from a real server that NAT hides, whose first part did not
        /// come before it, is forgotten, or went with a connection that has ended since.
        FragmentWithoutFirst = 25, "fragment-without-first";
        /// A later part of a fragmented packet whose first part was dropped or answered.
        FragmentOfDropped = 26, "fragment-of-dropped";
        /// The first part of a fragmented packet, for a service or from a real server that NAT hides, that does not hold
        /// the transport header.
        TinyFragment = 27, "tiny-fragment";
        /// An SCTP packet in parts whose port is to change: its checksum covers all of them.
        FragmentedSctp = 28, "fragmented-sctp";
        /// An ICMP error in parts about a connection.
        FragmentedError = 29, "fragmented-error";
        /// A router on the way to a server wants smaller tunnel packets, and the packet in the tunnel may be fragmented: the
        /// way is known to be narrower from now on, and its client need not be told.
        TunnelErrorLearned = 30, "tunnel-error-learned";
        /// For a service with the engine `sip`, but no UDP datagram with a payload.
        NotSip = 31, "not-sip";
        /// For a service with the engine `sip`, but no header field that shows a Call-ID.
        NoCallId = 32, "no-call-id";
        /// A Call-ID of more than 255 bytes, or one that does not end its line.
        BadCallId = 33, "bad-call-id";
        /// No room for another Call-ID ([`Config::engine_templates`](crate::Config::engine_templates)).
        EngineFull = 34, "engine-full";
        /// For a service, but from an address that no host has: multicast, broadcast, or of the net 0.
        BadSource = 35, "bad-source";
    }
}

reasons! {
    /// Why the director answers a packet with an ICMP error or a TCP reset.
    ReplyReason {
        /// No real server can take the connection: port unreachable.
        NoDestination = 1, "no-destination";
        /// The time to live is over: time exceeded.
        TtlExceeded = 2, "ttl-exceeded";
        /// Too big for the path to the real server: fragmentation needed, or packet too big.
        TooBig = 3, "too-big";
        /// No route to the real server: host or address unreachable.
        NoRoute = 4, "no-route";
        /// The connection's server was drained up to its deadline, and what was left is reset: a TCP reset.
        Reset = 5, "reset";
        /// The same for other protocols: port unreachable.
        Drained = 6, "drained";
        /// An ICMP error about a packet in a tunnel to a real server, passed on to the client of the connection.
        TunnelError = 7, "tunnel-error";
        /// From the address and port of a real server, of no connection, and `nat_icmp_send` is set: port unreachable.
        NoConnection = 8, "no-connection";
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_within_a_kind() {
        let names: BTreeSet<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
        let names: BTreeSet<_> = PassReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), PassReason::ALL.len());
    }
}
