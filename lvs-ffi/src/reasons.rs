//! Verdicts, reasons and their names: the numbers that a result holds. tests/header.rs compares them with lvs-core's.

use core::ffi::{CStr, c_char};

use lvs_core::{DropReason, PassReason, ReplyReason};

/// What is to become of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_verdict {
    /// Not the director's business: the host goes on with it. Reasons are LVS_PASS_*.
    LVS_PASS = 0,
    /// Send it, as it lies there rewritten, to the next hop.
    LVS_FORWARD = 1,
    /// It was replaced by an ICMP error or a TCP reset: send that to the next hop. Reasons are LVS_REPLY_*.
    LVS_REPLY = 2,
    /// Discard it. Reasons are LVS_DROP_*.
    LVS_DROP = 3,
}

/// Why a packet was passed to the host.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_pass_reason {
    /// No service has its destination, and no connection knows it.
    LVS_PASS_NO_SERVICE = 1,
    /// A protocol that IPVS does not balance.
    LVS_PASS_UNSUPPORTED_PROTOCOL = 2,
    /// There is a service, but the packet does not open a connection and belongs to none.
    LVS_PASS_NOT_AN_OPENING = 3,
    /// From port 20: the FTP data port is never scheduled.
    LVS_PASS_FTP_DATA_PORT = 4,
    /// A packet of this host that answers a connection of a real server here.
    LVS_PASS_LOCAL_REPLY = 5,
    /// The real server is this host.
    LVS_PASS_LOCAL_SERVER = 6,
    /// A part of a fragmented packet whose first part was passed, or that has nothing to do with a service.
    LVS_PASS_FRAGMENT = 7,
    /// Seen where packets are forwarded, and no reply of a real server.
    LVS_PASS_FORWARDED = 8,
    /// There is no service of its family.
    LVS_PASS_NOT_ENABLED = 9,
    /// The service of port 21 was found for another port, and has no such connection.
    LVS_PASS_FTP_NO_DESTINATION = 10,
    /// The connection's server is deleted, expire_nodest_conn ended the connection, and the packet opens none.
    LVS_PASS_CONNECTION_ENDED = 11,
    /// An ICMP error about a packet of no connection, or a packet of IPsec that belongs to none.
    LVS_PASS_NO_CONNECTION = 12,
    /// A synchronisation backup runs, and backup_only is set.
    LVS_PASS_BACKUP_ONLY = 13,
}

/// Why a packet was dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_drop_reason {
    /// No bytes at all, or neither version 4 nor 6.
    LVS_DROP_NOT_IP = 1,
    /// The IP header is cut off, or its length fields contradict the packet's.
    LVS_DROP_TRUNCATED_IP = 2,
    /// The IPv4 header checksum is wrong.
    LVS_DROP_IP_CHECKSUM = 3,
    /// The TCP or UDP header is cut off.
    LVS_DROP_TRUNCATED_TRANSPORT = 4,
    /// No room in front of the packet for what has to be put there.
    LVS_DROP_NO_HEADROOM = 5,
    /// The connection table is full.
    LVS_DROP_TABLE_FULL = 6,
    /// The connection's server is deleted.
    LVS_DROP_SERVER_GONE = 7,
    /// Too big for the path, and no error may be sent about it.
    LVS_DROP_TOO_BIG = 8,
    /// Dropped by the drop_packet defence.
    LVS_DROP_DROP_PACKET = 9,
    /// Its time to live is over, and no error may be sent about it.
    LVS_DROP_TTL_EXCEEDED = 10,
    /// The path leaves too small an MTU inside the tunnel.
    LVS_DROP_TUNNEL_MTU = 11,
    /// A tunnelled packet, or one that a helper makes longer, would be longer than IP allows.
    LVS_DROP_TOO_LONG = 12,
    /// A real server on this host's loopback, or a packet from it to the outside.
    LVS_DROP_LOOPBACK = 13,
    /// The connection has no server any more to build a tunnel for.
    LVS_DROP_NO_SERVER = 14,
    /// An ICMP error is due, but there is no address of the host's to send it from.
    LVS_DROP_NO_ERROR_SOURCE = 15,
    /// The checksum of an ICMP error about a translated connection is wrong.
    LVS_DROP_ICMP_CHECKSUM = 16,
    /// No route to the real server, and no error may be sent about the packet.
    LVS_DROP_NO_ROUTE = 17,
    /// No real server can take the connection, and no error may be sent about the packet.
    LVS_DROP_NO_DESTINATION = 18,
    /// An ICMP error is due, but the packet's source is no single host.
    LVS_DROP_NO_ERROR_TARGET = 19,
    /// A packet for a tunnel whose source address was never told.
    LVS_DROP_NO_TUNNEL_SOURCE = 20,
    /// The TCP checksum of a packet that a helper has to read is wrong.
    LVS_DROP_TRANSPORT_CHECKSUM = 21,
    /// On a connection with a helper, a packet that acknowledges what was never said.
    LVS_DROP_OUT_OF_WINDOW = 22,
    /// A helper makes the packet longer, and there is room neither behind it nor in front of it.
    LVS_DROP_NO_TAILROOM = 23,
    /// The connection's server was drained up to its deadline, and what was left is dropped; or no answer to the packet is
    /// possible.
    LVS_DROP_DRAINED = 24,
    /// A later part of a fragmented packet whose first part is not known.
    LVS_DROP_FRAGMENT_WITHOUT_FIRST = 25,
    /// A later part of a fragmented packet whose first part was dropped or answered.
    LVS_DROP_FRAGMENT_OF_DROPPED = 26,
    /// The first part of a fragmented packet without its transport header.
    LVS_DROP_TINY_FRAGMENT = 27,
    /// An SCTP packet in parts whose port is to change.
    LVS_DROP_FRAGMENTED_SCTP = 28,
    /// An ICMP error in parts about a connection.
    LVS_DROP_FRAGMENTED_ERROR = 29,
    /// A router wants smaller tunnel packets: learned, and the client need not be told.
    LVS_DROP_TUNNEL_ERROR_LEARNED = 30,
    /// For a service with the engine sip, but no UDP datagram with a payload.
    LVS_DROP_NOT_SIP = 31,
    /// For a service with the engine sip, but no header field that shows a Call-ID.
    LVS_DROP_NO_CALL_ID = 32,
    /// A Call-ID of more than 255 bytes, or one that does not end its line.
    LVS_DROP_BAD_CALL_ID = 33,
    /// No room for another Call-ID.
    LVS_DROP_ENGINE_FULL = 34,
    /// For a service, but from an address that no host has.
    LVS_DROP_BAD_SOURCE = 35,
}

/// Why a packet is answered with an ICMP error or a TCP reset.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_reply_reason {
    /// No real server can take the connection: port unreachable.
    LVS_REPLY_NO_DESTINATION = 1,
    /// The time to live is over: time exceeded.
    LVS_REPLY_TTL_EXCEEDED = 2,
    /// Too big for the path to the real server: fragmentation needed, or packet too big.
    LVS_REPLY_TOO_BIG = 3,
    /// No route to the real server: host or address unreachable.
    LVS_REPLY_NO_ROUTE = 4,
    /// The connection's server was drained up to its deadline, and what was left is reset: a TCP reset.
    LVS_REPLY_RESET = 5,
    /// The same for other protocols: port unreachable.
    LVS_REPLY_DRAINED = 6,
    /// An ICMP error about a packet in a tunnel, passed on to the client of the connection.
    LVS_REPLY_TUNNEL_ERROR = 7,
    /// From the address and port of a real server, of no connection, and nat_icmp_send is set: port unreachable.
    LVS_REPLY_NO_CONNECTION = 8,
}

/// Which way a forwarded packet goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_direction {
    /// From the client to the real server.
    LVS_TO_SERVER = 1,
    /// From the real server to the client.
    LVS_TO_CLIENT = 2,
}

/// How a forwarded packet was rewritten.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_method {
    /// Network address translation.
    LVS_METHOD_NAT = 1,
    /// Direct routing: only the TTL, if anything.
    LVS_METHOD_DR = 2,
    /// Wrapped up in a tunnel packet.
    LVS_METHOD_TUN = 3,
}

/// The longest name, its zero byte included.
const NAME: usize = 32;

/// A name as C takes it. The names are lvs-core's, and stay in one place.
const fn padded(name: &str) -> [u8; NAME] {
    assert!(name.len() < NAME, "a zero byte ends the name");
    let mut out = [0; NAME];
    let (given, _) = out.split_at_mut(name.len());
    given.copy_from_slice(name.as_bytes());
    out
}

macro_rules! names {
    ($kind:ty, $number:expr) => {{
        const COUNT: usize = <$kind>::ALL.len();
        static NAMES: [[u8; NAME]; COUNT] = {
            let mut names = [[0; NAME]; COUNT];
            let mut i = 0;
            while i < COUNT {
                names[i] = padded(<$kind>::ALL[i].name());
                i += 1;
            }
            names
        };
        let place = <$kind>::ALL.iter().position(|reason| *reason as u32 == $number);
        place.and_then(|i| CStr::from_bytes_until_nul(&NAMES[i]).ok()).unwrap_or(c"unknown").as_ptr()
    }};
}

/// The name of a verdict, such as "forward"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_verdict_name(verdict: u32) -> *const c_char {
    let name = match verdict {
        0 => c"pass",
        1 => c"forward",
        2 => c"reply",
        3 => c"drop",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// The name of one of LVS_PASS_*, such as "no-service"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_pass_reason_name(reason: u32) -> *const c_char {
    names!(PassReason, reason)
}

/// The name of one of LVS_DROP_*, such as "not-ip"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_drop_reason_name(reason: u32) -> *const c_char {
    names!(DropReason, reason)
}

/// The name of one of LVS_REPLY_*, such as "no-route"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_reply_reason_name(reason: u32) -> *const c_char {
    names!(ReplyReason, reason)
}
