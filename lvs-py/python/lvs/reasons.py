"""The names of reasons, as enums whose members are texts: lvs.Drop("not-ip").reason == lvs.DropReason.NOT_IP."""

from enum import StrEnum

__all__ = ["DropReason", "PassReason", "ReplyReason"]


class PassReason(StrEnum):
    """Why a packet was passed to the host.

    - no-service: no service has its destination, and no connection knows it.
    - unsupported-protocol: a protocol that IPVS does not balance, or an extension header chain that leads to none.
    - not-an-opening: there is a service, but the packet does not open a connection and belongs to none (TCP without
      SYN, or with RST).
    - ftp-data-port: from port 20: the FTP data port is never scheduled.
    - local-reply: a packet of this host that answers a connection of a real server here.
    - local-server: the real server is this host: the packet is for the local stack, as it is.
    - fragment: a part of a fragmented packet whose first part was passed, or that has nothing to do with a service;
      every part if the director has no memory for them.
    - forwarded: seen where packets are forwarded, and no reply of a real server: requests are never taken up there.
    - not-enabled: there is no service of its family, so nothing is looked at.
    - ftp-no-destination: the service of port 21 was found for another port, and has no such connection.
    - connection-ended: the connection's server is deleted and expire_nodest_conn ended the connection; the packet opens
      none.
    - no-connection: an ICMP error about a packet of no connection, or a packet of IPsec that belongs to none.
    - backup-only: a synchronisation backup runs and backup_only is set: it balances nothing until it takes over.
    """

    NO_SERVICE = "no-service"
    UNSUPPORTED_PROTOCOL = "unsupported-protocol"
    NOT_AN_OPENING = "not-an-opening"
    FTP_DATA_PORT = "ftp-data-port"
    LOCAL_REPLY = "local-reply"
    LOCAL_SERVER = "local-server"
    FRAGMENT = "fragment"
    FORWARDED = "forwarded"
    NOT_ENABLED = "not-enabled"
    FTP_NO_DESTINATION = "ftp-no-destination"
    CONNECTION_ENDED = "connection-ended"
    NO_CONNECTION = "no-connection"
    BACKUP_ONLY = "backup-only"


class DropReason(StrEnum):
    """Why a packet was dropped.

    - not-ip: no bytes at all, or neither version 4 nor 6.
    - truncated-ip: the IP header is cut off, or its length fields contradict the packet's.
    - ip-checksum: the IPv4 header checksum is wrong.
    - truncated-transport: the TCP or UDP header is cut off.
    - no-headroom: no room in front of the packet for what has to be put there.
    - table-full: the connection table is full, and nothing was found that may go for a new connection.
    - server-gone: the connection's server is deleted.
    - too-big: too big for the path, and no error may be sent about it.
    - drop-packet-defence: dropped by the drop_packet defence.
    - ttl-exceeded: its time to live is over, and no error may be sent about it.
    - tunnel-mtu: the path leaves too small an MTU inside the tunnel.
    - too-long: a tunnelled packet, or one that a helper makes longer, would be longer than IP allows.
    - loopback: a real server on this host's loopback, or a packet from it to the outside.
    - no-server: the connection has no server to build a tunnel for, or leads past all servers to this host itself: one
      that synchronisation brought.
    - no-error-source: an ICMP error is due, but there is no address of the host's to send it from.
    - icmp-checksum: the checksum of an ICMP error about a translated connection is wrong.
    - no-route: no route to the real server, and no error may be sent about the packet.
    - no-destination: no real server can take the connection, and no error may be sent about the packet.
    - no-error-target: an ICMP error is due, but the packet's source is no single host: unspecified, multicast,
      broadcast, loopback.
    - no-tunnel-source: a packet for a tunnel whose source address was never told (set_path).
    - transport-checksum: the TCP checksum of a packet that a helper has to read is wrong.
    - out-of-window: on a connection with a helper, a packet that acknowledges what was never said: its numbers cannot
      be corrected.
    - no-tailroom: a helper makes the packet longer, and there is room neither behind it nor in front of it.
    - drained: the connection's server was drained up to its deadline, and what was left is dropped; or no answer to the
      packet is possible.
    - fragment-without-first: a later part of a fragmented packet, for a service or from a real server that NAT hides,
      whose first part did not come before it, is forgotten, or went with a connection that has ended since.
    - fragment-of-dropped: a later part of a fragmented packet whose first part was dropped or answered.
    - tiny-fragment: the first part of a fragmented packet, for a service or from a real server that NAT hides, that
      does not hold the transport header.
    - fragmented-sctp: an SCTP packet in parts whose port is to change: its checksum covers all of them.
    - fragmented-error: an ICMP error in parts about a connection.
    - tunnel-error-learned: a router on the way to a server wants smaller tunnel packets, and the packet in the tunnel
      may be fragmented: the way is known to be narrower from now on, and its client need not be told.
    - not-sip: for a service with the engine sip, but no UDP datagram with a payload.
    - no-call-id: for a service with the engine sip, but no header field that shows a Call-ID.
    - bad-call-id: a Call-ID of more than 255 bytes, or one that does not end its line.
    - engine-full: no room for another Call-ID (Director's engine_templates).
    - bad-source: for a service, but from an address that no host has: multicast, broadcast, or of the net 0.
    """

    NOT_IP = "not-ip"
    TRUNCATED_IP = "truncated-ip"
    IP_CHECKSUM = "ip-checksum"
    TRUNCATED_TRANSPORT = "truncated-transport"
    NO_HEADROOM = "no-headroom"
    TABLE_FULL = "table-full"
    SERVER_GONE = "server-gone"
    TOO_BIG = "too-big"
    DROP_PACKET = "drop-packet-defence"
    TTL_EXCEEDED = "ttl-exceeded"
    TUNNEL_MTU = "tunnel-mtu"
    TOO_LONG = "too-long"
    LOOPBACK = "loopback"
    NO_SERVER = "no-server"
    NO_ERROR_SOURCE = "no-error-source"
    ICMP_CHECKSUM = "icmp-checksum"
    NO_ROUTE = "no-route"
    NO_DESTINATION = "no-destination"
    NO_ERROR_TARGET = "no-error-target"
    NO_TUNNEL_SOURCE = "no-tunnel-source"
    TRANSPORT_CHECKSUM = "transport-checksum"
    OUT_OF_WINDOW = "out-of-window"
    NO_TAILROOM = "no-tailroom"
    DRAINED = "drained"
    FRAGMENT_WITHOUT_FIRST = "fragment-without-first"
    FRAGMENT_OF_DROPPED = "fragment-of-dropped"
    TINY_FRAGMENT = "tiny-fragment"
    FRAGMENTED_SCTP = "fragmented-sctp"
    FRAGMENTED_ERROR = "fragmented-error"
    TUNNEL_ERROR_LEARNED = "tunnel-error-learned"
    NOT_SIP = "not-sip"
    NO_CALL_ID = "no-call-id"
    BAD_CALL_ID = "bad-call-id"
    ENGINE_FULL = "engine-full"
    BAD_SOURCE = "bad-source"


class ReplyReason(StrEnum):
    """Why the director answers a packet with an ICMP error or a TCP reset.

    - no-destination: no real server can take the connection: port unreachable.
    - ttl-exceeded: the time to live is over: time exceeded.
    - too-big: too big for the path to the real server: fragmentation needed, or packet too big.
    - no-route: no route to the real server: host or address unreachable.
    - reset: the connection's server was drained up to its deadline, and what was left is reset: a TCP reset.
    - drained: the same for other protocols: port unreachable.
    - tunnel-error: an ICMP error about a packet in a tunnel to a real server, passed on to the client of the
      connection.
    - no-connection: from the address and port of a real server, of no connection, and nat_icmp_send is set: port
      unreachable.
    """

    NO_DESTINATION = "no-destination"
    TTL_EXCEEDED = "ttl-exceeded"
    TOO_BIG = "too-big"
    NO_ROUTE = "no-route"
    RESET = "reset"
    DRAINED = "drained"
    TUNNEL_ERROR = "tunnel-error"
    NO_CONNECTION = "no-connection"


for _name in __all__:
    globals()[_name].__module__ = "lvs"
