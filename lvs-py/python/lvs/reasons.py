"""The names of reasons, as enums whose members are texts: lvs.Drop("not-ip").reason == lvs.DropReason.NOT_IP."""

from enum import StrEnum

__all__ = ["DropReason", "PassReason", "ReplyReason"]


class PassReason(StrEnum):
    """Why a packet was passed to the host."""

    NO_SERVICE = "no-service"
    """No service has its destination, and no connection knows it."""

    UNSUPPORTED_PROTOCOL = "unsupported-protocol"
    """A protocol that IPVS does not balance, or an extension header chain that leads to none."""

    NOT_AN_OPENING = "not-an-opening"
    """There is a service, but the packet does not open a connection and belongs to none (TCP without SYN, or with
    RST)."""

    FTP_DATA_PORT = "ftp-data-port"
    """From port 20: the FTP data port is never scheduled."""

    LOCAL_REPLY = "local-reply"
    """A packet of this host that answers a connection of a real server here."""

    LOCAL_SERVER = "local-server"
    """The real server is this host: the packet is for the local stack, as it is."""

    FRAGMENT = "fragment"
    """A part of a fragmented packet whose first part was passed, or that has nothing to do with a service; every part
    if the director has no memory for them."""

    FORWARDED = "forwarded"
    """Seen where packets are forwarded, and no reply of a real server: requests are never taken up there."""

    NOT_ENABLED = "not-enabled"
    """There is no service of its family, so nothing is looked at."""

    FTP_NO_DESTINATION = "ftp-no-destination"
    """The service of port 21 was found for another port, and has no such connection."""

    CONNECTION_ENDED = "connection-ended"
    """The connection's server is deleted and expire_nodest_conn ended the connection; the packet opens none."""

    NO_CONNECTION = "no-connection"
    """An ICMP error about a packet of no connection, or a packet of IPsec that belongs to none."""

    BACKUP_ONLY = "backup-only"
    """A synchronisation backup runs and backup_only is set: it balances nothing until it takes over."""


class DropReason(StrEnum):
    """Why a packet was dropped."""

    NOT_IP = "not-ip"
    """No bytes at all, or neither version 4 nor 6."""

    TRUNCATED_IP = "truncated-ip"
    """The IP header is cut off, or its length fields contradict the packet's."""

    IP_CHECKSUM = "ip-checksum"
    """The IPv4 header checksum is wrong."""

    TRUNCATED_TRANSPORT = "truncated-transport"
    """The TCP or UDP header is cut off."""

    NO_HEADROOM = "no-headroom"
    """No room in front of the packet for what has to be put there."""

    TABLE_FULL = "table-full"
    """The connection table is full, and nothing was found that may go for a new connection."""

    SERVER_GONE = "server-gone"
    """The connection's server is deleted."""

    TOO_BIG = "too-big"
    """Too big for the path, and no error may be sent about it."""

    DROP_PACKET = "drop-packet-defence"
    """Dropped by the drop_packet defence."""

    TTL_EXCEEDED = "ttl-exceeded"
    """Its time to live is over, and no error may be sent about it."""

    TUNNEL_MTU = "tunnel-mtu"
    """The path leaves too small an MTU inside the tunnel."""

    TOO_LONG = "too-long"
    """A tunnelled packet, or one that a helper makes longer, would be longer than IP allows."""

    LOOPBACK = "loopback"
    """A real server on this host's loopback, or a packet from it to the outside."""

    NO_SERVER = "no-server"
    """The connection has no server to build a tunnel for, or leads past all servers to this host itself: one that
    synchronisation brought."""

    NO_ERROR_SOURCE = "no-error-source"
    """An ICMP error is due, but there is no address of the host's to send it from."""

    ICMP_CHECKSUM = "icmp-checksum"
    """The checksum of an ICMP error about a translated connection is wrong."""

    NO_ROUTE = "no-route"
    """No route to the real server, and no error may be sent about the packet."""

    NO_DESTINATION = "no-destination"
    """No real server can take the connection, and no error may be sent about the packet."""

    NO_ERROR_TARGET = "no-error-target"
    """An ICMP error is due, but the packet's source is no single host: unspecified, multicast, broadcast, loopback."""

    NO_TUNNEL_SOURCE = "no-tunnel-source"
    """A packet for a tunnel whose source address was never told (Path.tunnel_source)."""

    TRANSPORT_CHECKSUM = "transport-checksum"
    """The TCP checksum of a packet that a helper has to read is wrong."""

    OUT_OF_WINDOW = "out-of-window"
    """On a connection with a helper, a packet that acknowledges what was never said: its numbers cannot be
    corrected."""

    NO_TAILROOM = "no-tailroom"
    """A helper makes the packet longer, and there is room neither behind it nor in front of it."""

    DRAINED = "drained"
    """The connection's server was drained up to its deadline, and what was left is dropped; or no answer to the packet
    is possible."""

    FRAGMENT_WITHOUT_FIRST = "fragment-without-first"
    """A later part of a fragmented packet, for a service or from a real server that NAT hides, whose first part did not
    come before it, is forgotten, or went with a connection that has ended since."""

    FRAGMENT_OF_DROPPED = "fragment-of-dropped"
    """A later part of a fragmented packet whose first part was dropped or answered."""

    TINY_FRAGMENT = "tiny-fragment"
    """The first part of a fragmented packet, for a service or from a real server that NAT hides, that does not hold the
    transport header."""

    FRAGMENTED_SCTP = "fragmented-sctp"
    """An SCTP packet in parts whose port is to change: its checksum covers all of them."""

    FRAGMENTED_ERROR = "fragmented-error"
    """An ICMP error in parts about a connection."""

    TUNNEL_ERROR_LEARNED = "tunnel-error-learned"
    """A router on the way to a server wants smaller tunnel packets, and the packet in the tunnel may be fragmented: the
    way is known to be narrower from now on, and its client need not be told."""

    NOT_SIP = "not-sip"
    """For a service with the engine sip, but no UDP datagram with a payload."""

    NO_CALL_ID = "no-call-id"
    """For a service with the engine sip, but no header field that shows a Call-ID."""

    BAD_CALL_ID = "bad-call-id"
    """A Call-ID of more than 255 bytes, or one that does not end its line."""

    ENGINE_FULL = "engine-full"
    """No room for another Call-ID (Config.engine_templates)."""

    BAD_SOURCE = "bad-source"
    """For a service, but from an address that no host has: multicast, broadcast, or of the net 0."""


class ReplyReason(StrEnum):
    """Why the director answers a packet with an ICMP error or a TCP reset."""

    NO_DESTINATION = "no-destination"
    """No real server can take the connection: port unreachable."""

    TTL_EXCEEDED = "ttl-exceeded"
    """The time to live is over: time exceeded."""

    TOO_BIG = "too-big"
    """Too big for the path to the real server: fragmentation needed, or packet too big."""

    NO_ROUTE = "no-route"
    """No route to the real server: host or address unreachable."""

    RESET = "reset"
    """The connection's server was drained up to its deadline, and what was left is reset: a TCP reset."""

    DRAINED = "drained"
    """The same for other protocols: port unreachable."""

    TUNNEL_ERROR = "tunnel-error"
    """An ICMP error about a packet in a tunnel to a real server, passed on to the client of the connection."""

    NO_CONNECTION = "no-connection"
    """From the address and port of a real server, of no connection, and nat_icmp_send is set: port unreachable."""


for _name in __all__:
    globals()[_name].__module__ = "lvs"
