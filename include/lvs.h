/*
 * The Linux Virtual Server (IPVS) as a library: the C interface of lvs-core.
 *
 * Names. Everything begins with lvs_ or LVS_. A function is named after its first parameter.
 *
 * Ownership. lvs_director_new and lvs_shared_new give a handle, lvs_director_free and lvs_shared_free take it back; but for
 * schedulers of one's own nothing else changes hands. Services, servers and connections have ids, which are values and
 * find nothing once what they name is gone. Texts go in as pointer and length, in UTF-8, and need no end mark. Texts come
 * out static, or into a buffer of the caller's, with a zero byte behind them.
 *
 * Results. What can fail returns lvs_status, and LVS_OK is 0. Other results come through pointers, the last
 * parameters, and are written only on LVS_OK unless the function says otherwise. A call that is refused has changed
 * nothing unless the function says otherwise. LVS_ERR_NULL, LVS_ERR_ARGUMENT, LVS_ERR_BUSY and LVS_ERR_INTERNAL may come
 * from every function, LVS_ERR_SPACE from every one that fills a buffer; the others are named where they may come.
 *
 * Records. One that may grow in later versions begins with its size, and has a macro LVS_..._INIT to begin with if it goes
 * in; one that comes out has its size put there by the caller. Fields called reserved are 0.
 *
 * Pointers. Each is NULL, or points to what its type says, for as long as the call lasts, and nothing else writes there
 * meanwhile. Where results or text are written, nothing else may read. NULL is answered with LVS_ERR_NULL unless the
 * function allows it; an array or a text may be NULL if it is empty. A handle is one that was given and not taken back:
 * one that was freed must not be used, and nothing can tell.
 *
 * Numbers. Those that stand for something are checked on their way in, and keep their meaning from version to version.
 * Ports and marks are numbers, not in network byte order.
 *
 * Memory. What connections and packets need is reserved when a handle is made, or there is no handle: LVS_ERR_FULL.
 * Rules, texts and synchronisation take theirs when they come; where the system has none for them, the process ends.
 *
 * Panics. A defect of the library is answered with LVS_ERR_INTERNAL, after a message on standard error, and so is every
 * later call with that handle; it can only be freed. The process goes on.
 *
 * Threads. Each function says which it is: "Thread-safe", or "One thread at a time per handle". A handle may move
 * between threads. lvs_director is for one thread at a time: two within it at once break it, and nothing can tell.
 * lvs_shared is for any number: it has the verbs of lvs_director that a dataplane needs while it runs, and lends the whole
 * director for the rest.
 *
 * Callbacks. Only the functions that walk, lend or apply, and a scheduler of one's own, call back: in the thread of the
 * call, before it returns, with the user pointer that they were given. From there the same handle answers LVS_ERR_BUSY,
 * and other handles work. A callback returns: no longjmp, and no C++ exception, may leave it.
 *
 * Time. A number of nanoseconds since any origin; UINT64_MAX is never. The library reads no clock. To a lvs_director an
 * earlier time than the latest that it was told counts as that one. Threads may tell a lvs_shared different times: what
 * two of them share lives by the latest.
 *
 * Made from the sources of lvs-ffi; changes go there.
 */

#ifndef LVS_H
#define LVS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No address. */
#define LVS_ADDRESS_NONE { 0, 0, 0, { 0 } }
/* A path of 1500 bytes, without a source for tunnels. */
#define LVS_PATH_INIT { 1500, 0, 0, { 0 }, { 0 } }
/* Room for 65536 connections and 4096 fragmented packets, no events, seed 0. */
#define LVS_CONFIG_INIT { sizeof(lvs_config), 65536, 0, 0, 4096, 16384, 0, 0, 0, LVS_PATH_INIT }
/* A service with the scheduler wlc: put a mark, or a protocol and an address. */
#define LVS_SERVICE_INIT { sizeof(lvs_service), 0, LVS_ADDRESS_NONE, 0, 0, { 0 }, 0, 0, 0, "wlc", "" }
/* A service as the kernel's. */
#define LVS_SERVICE_OPTIONS_INIT { sizeof(lvs_service_options), 0, 0, 0, NULL }
/* A server of weight 1 that is reached by direct routing: put an address. */
#define LVS_SERVER_INIT { sizeof(lvs_server), 1, LVS_ADDRESS_NONE, LVS_METHOD_DR, 0, 0, 0, 0, 0, 0, 0 }
/* No new connections, and those there are end in their own time. */
#define LVS_DRAIN_INIT { sizeof(lvs_drain), 0, UINT64_MAX, LVS_REST_KEEP, 0 }
/* All connections and templates. */
#define LVS_FILTER_INIT { sizeof(lvs_filter), 0, 0, 0, { LVS_NONE, 0 }, { LVS_NONE, 0 }, LVS_ADDRESS_NONE, "" }
/* The kernel's timeouts. */
#define LVS_TIMEOUTS_INIT { sizeof(lvs_timeouts), 0, { 0 }, { 0 } }
/* What ipvsadm takes if nothing is given: put a role. */
#define LVS_DAEMON_INIT { sizeof(lvs_daemon), 0, LVS_ADDRESS_NONE, 0, 0, 0, "eth0" }
/* A scheduler: put at least pick. */
#define LVS_SCHEDULER_INIT { sizeof(lvs_scheduler), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/* First part of the version. */
#define LVS_VERSION_MAJOR 0

/* Second part of the version. */
#define LVS_VERSION_MINOR 1

/* Third part of the version. */
#define LVS_VERSION_PATCH 0

/* The version as one number, eight bits a part. */
#define LVS_VERSION (((LVS_VERSION_MAJOR << 16) | (LVS_VERSION_MINOR << 8)) | LVS_VERSION_PATCH)

/* Flag of a packet: its IPv4 header checksum was found right, so it is not looked at again. */
#define LVS_PACKET_CHECKSUM_VERIFIED 1

/* Flag of a packet: as verified, and its transport checksum field holds the sum of the pseudo-header alone, for the
 * network card to complete. */
#define LVS_PACKET_CHECKSUM_PARTIAL 2

/* Flag of a packet: seen on its way through the host, where only replies of real servers are taken up. */
#define LVS_PACKET_HOOK_FORWARD 4

/* Flag of a packet: the host itself sent it. */
#define LVS_PACKET_FROM_HOST 8

/* The verdict of lvs_director_explain where nobody can tell. */
#define LVS_VERDICT_UNKNOWN 255

/* Protocol of a service: TCP. */
#define LVS_PROTOCOL_TCP 6

/* Protocol of a service: UDP. */
#define LVS_PROTOCOL_UDP 17

/* Protocol of a service: SCTP. */
#define LVS_PROTOCOL_SCTP 132

/* Flag of a service: one-packet scheduling, every UDP packet is scheduled anew. */
#define LVS_SERVICE_ONE_PACKET 1

/* Flag of a service: the netmask counts. */
#define LVS_SERVICE_NETMASK 2

/* Flag of a service, sh-fallback and mh-fallback: try other servers when the hashed one cannot take the connection. */
#define LVS_SERVICE_FALLBACK 8

/* Flag of a service, sh-port and mh-port: hash the client's port too. */
#define LVS_SERVICE_PORT 16

/* Flag of a service, flag-3: kept and shown, read by no scheduler. */
#define LVS_SERVICE_THIRD 32

/* Flag of service options: rr, wrr and swrr begin their turn at a server drawn from the director's seed, so that several
 * directors of one configuration do not all begin at the same server. */
#define LVS_SERVICE_BEGINS_ANYWHERE 1

/* Flag of a drain: clients whose persistence template names the server still reach it. */
#define LVS_DRAIN_KEEP_TEMPLATES 1

/* Flag of a drain: when it is drained, the server is removed from its service; at the deadline too, unless the rest is
 * kept. */
#define LVS_DRAIN_THEN_REMOVE 2

/* Flag of a connection: a persistence template. */
#define LVS_CONNECTION_TEMPLATE 1

/* Flag of a connection: synchronisation brought it. */
#define LVS_CONNECTION_SYNCED 2

/* No index: there is no such thing. */
#define LVS_NONE UINT32_MAX

/* What a call came to. */
enum lvs_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /* Done. */
  LVS_OK = 0,
  /* A pointer is NULL that must not be. */
  LVS_ERR_NULL = 1,
  /* A value is out of range, a reserved one is not zero, or a text is not UTF-8. */
  LVS_ERR_ARGUMENT = 2,
  /* The service or server exists already, or the synchronisation daemon runs already. */
  LVS_ERR_EXISTS = 3,
  /* There is no such service, server, connection, scheduler, persistence engine, tunable, file or daemon. */
  LVS_ERR_NOT_FOUND = 4,
  /* No room for another service or server, or no memory. */
  LVS_ERR_FULL = 5,
  /* A callback called the director that called it. */
  LVS_ERR_BUSY = 6,
  /* It does not fit into the buffer. */
  LVS_ERR_SPACE = 7,
  /* A line cannot be read: lvs_director_last_error says where and why. */
  LVS_ERR_RULE = 8,
  /* A rule is well formed, and refused for what it asks: lvs_director_last_error says why. */
  LVS_ERR_REFUSED = 9,
  /* A defect of the library. The handle cannot be used any more, only freed. */
  LVS_ERR_INTERNAL = 255,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_status lvs_status;
#else
typedef int32_t lvs_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/* What is to become of a packet. */
typedef enum lvs_verdict {
  /* Not the director's business: the host goes on with it. Reasons are LVS_PASS_*. */
  LVS_PASS = 0,
  /* Send it, as it lies there rewritten, to the next hop. */
  LVS_FORWARD = 1,
  /* It was replaced by an ICMP error or a TCP reset: send that to the next hop. Reasons are LVS_REPLY_*. */
  LVS_REPLY = 2,
  /* Discard it. Reasons are LVS_DROP_*. */
  LVS_DROP = 3,
} lvs_verdict;

/* Why a packet was passed to the host. */
typedef enum lvs_pass_reason {
  /* No service has its destination, and no connection knows it. */
  LVS_PASS_NO_SERVICE = 1,
  /* A protocol that IPVS does not balance. */
  LVS_PASS_UNSUPPORTED_PROTOCOL = 2,
  /* There is a service, but the packet does not open a connection and belongs to none. */
  LVS_PASS_NOT_AN_OPENING = 3,
  /* From port 20: the FTP data port is never scheduled. */
  LVS_PASS_FTP_DATA_PORT = 4,
  /* A packet of this host that answers a connection of a real server here. */
  LVS_PASS_LOCAL_REPLY = 5,
  /* The real server is this host. */
  LVS_PASS_LOCAL_SERVER = 6,
  /* A part of a fragmented packet whose first part was passed, or that has nothing to do with a service. */
  LVS_PASS_FRAGMENT = 7,
  /* Seen where packets are forwarded, and no reply of a real server. */
  LVS_PASS_FORWARDED = 8,
  /* There is no service of its family. */
  LVS_PASS_NOT_ENABLED = 9,
  /* The service of port 21 was found for another port, and has no such connection. */
  LVS_PASS_FTP_NO_DESTINATION = 10,
  /* The connection's server is deleted, expire_nodest_conn ended the connection, and the packet opens none. */
  LVS_PASS_CONNECTION_ENDED = 11,
  /* An ICMP error about a packet of no connection, or a packet of IPsec that belongs to none. */
  LVS_PASS_NO_CONNECTION = 12,
  /* A synchronisation backup runs, and backup_only is set. */
  LVS_PASS_BACKUP_ONLY = 13,
} lvs_pass_reason;

/* Why a packet was dropped. */
typedef enum lvs_drop_reason {
  /* No bytes at all, or neither version 4 nor 6. */
  LVS_DROP_NOT_IP = 1,
  /* The IP header is cut off, or its length fields contradict the packet's. */
  LVS_DROP_TRUNCATED_IP = 2,
  /* The IPv4 header checksum is wrong. */
  LVS_DROP_IP_CHECKSUM = 3,
  /* The TCP or UDP header is cut off. */
  LVS_DROP_TRUNCATED_TRANSPORT = 4,
  /* No room in front of the packet for what has to be put there. */
  LVS_DROP_NO_HEADROOM = 5,
  /* The connection table is full. */
  LVS_DROP_TABLE_FULL = 6,
  /* The connection's server is deleted. */
  LVS_DROP_SERVER_GONE = 7,
  /* Too big for the path, and no error may be sent about it. */
  LVS_DROP_TOO_BIG = 8,
  /* Dropped by the drop_packet defence. */
  LVS_DROP_DROP_PACKET = 9,
  /* Its time to live is over, and no error may be sent about it. */
  LVS_DROP_TTL_EXCEEDED = 10,
  /* The path leaves too small an MTU inside the tunnel. */
  LVS_DROP_TUNNEL_MTU = 11,
  /* A tunnelled packet, or one that a helper makes longer, would be longer than IP allows. */
  LVS_DROP_TOO_LONG = 12,
  /* A real server on this host's loopback, or a packet from it to the outside. */
  LVS_DROP_LOOPBACK = 13,
  /* The connection has no server any more to build a tunnel for. */
  LVS_DROP_NO_SERVER = 14,
  /* An ICMP error is due, but there is no address of the host's to send it from. */
  LVS_DROP_NO_ERROR_SOURCE = 15,
  /* The checksum of an ICMP error about a translated connection is wrong. */
  LVS_DROP_ICMP_CHECKSUM = 16,
  /* No route to the real server, and no error may be sent about the packet. */
  LVS_DROP_NO_ROUTE = 17,
  /* No real server can take the connection, and no error may be sent about the packet. */
  LVS_DROP_NO_DESTINATION = 18,
  /* An ICMP error is due, but the packet's source is no single host. */
  LVS_DROP_NO_ERROR_TARGET = 19,
  /* A packet for a tunnel whose source address was never told. */
  LVS_DROP_NO_TUNNEL_SOURCE = 20,
  /* The TCP checksum of a packet that a helper has to read is wrong. */
  LVS_DROP_TRANSPORT_CHECKSUM = 21,
  /* On a connection with a helper, a packet that acknowledges what was never said. */
  LVS_DROP_OUT_OF_WINDOW = 22,
  /* A helper makes the packet longer, and there is room neither behind it nor in front of it. */
  LVS_DROP_NO_TAILROOM = 23,
  /* The connection's server was drained up to its deadline, and what was left is dropped; or no answer to the packet is
   * possible. */
  LVS_DROP_DRAINED = 24,
  /* A later part of a fragmented packet whose first part is not known. */
  LVS_DROP_FRAGMENT_WITHOUT_FIRST = 25,
  /* A later part of a fragmented packet whose first part was dropped or answered. */
  LVS_DROP_FRAGMENT_OF_DROPPED = 26,
  /* The first part of a fragmented packet without its transport header. */
  LVS_DROP_TINY_FRAGMENT = 27,
  /* An SCTP packet in parts whose port is to change. */
  LVS_DROP_FRAGMENTED_SCTP = 28,
  /* An ICMP error in parts about a connection. */
  LVS_DROP_FRAGMENTED_ERROR = 29,
  /* A router wants smaller tunnel packets: learned, and the client need not be told. */
  LVS_DROP_TUNNEL_ERROR_LEARNED = 30,
  /* For a service with the engine sip, but no UDP datagram with a payload. */
  LVS_DROP_NOT_SIP = 31,
  /* For a service with the engine sip, but no header field that shows a Call-ID. */
  LVS_DROP_NO_CALL_ID = 32,
  /* A Call-ID of more than 255 bytes, or one that does not end its line. */
  LVS_DROP_BAD_CALL_ID = 33,
  /* No room for another Call-ID. */
  LVS_DROP_ENGINE_FULL = 34,
  /* For a service, but from an address that no host has. */
  LVS_DROP_BAD_SOURCE = 35,
} lvs_drop_reason;

/* Why a packet is answered with an ICMP error or a TCP reset. */
typedef enum lvs_reply_reason {
  /* No real server can take the connection: port unreachable. */
  LVS_REPLY_NO_DESTINATION = 1,
  /* The time to live is over: time exceeded. */
  LVS_REPLY_TTL_EXCEEDED = 2,
  /* Too big for the path to the real server: fragmentation needed, or packet too big. */
  LVS_REPLY_TOO_BIG = 3,
  /* No route to the real server: host or address unreachable. */
  LVS_REPLY_NO_ROUTE = 4,
  /* The connection's server was drained up to its deadline, and what was left is reset: a TCP reset. */
  LVS_REPLY_RESET = 5,
  /* The same for other protocols: port unreachable. */
  LVS_REPLY_DRAINED = 6,
  /* An ICMP error about a packet in a tunnel, passed on to the client of the connection. */
  LVS_REPLY_TUNNEL_ERROR = 7,
  /* From the address and port of a real server, of no connection, and nat_icmp_send is set: port unreachable. */
  LVS_REPLY_NO_CONNECTION = 8,
} lvs_reply_reason;

/* Which way a forwarded packet goes. */
typedef enum lvs_direction {
  /* From the client to the real server. */
  LVS_TO_SERVER = 1,
  /* From the real server to the client. */
  LVS_TO_CLIENT = 2,
} lvs_direction;

/* How a forwarded packet was rewritten. */
typedef enum lvs_method {
  /* Network address translation. */
  LVS_METHOD_NAT = 1,
  /* Direct routing: only the TTL, if anything. */
  LVS_METHOD_DR = 2,
  /* Wrapped up in a tunnel packet. */
  LVS_METHOD_TUN = 3,
} lvs_method;

/* A kernel to be equal to. */
typedef enum lvs_kernel {
  /* Linux 6.1.192, and kernels of its time (from the middle of 2026 on). */
  LVS_KERNEL_V6_1_192 = 0,
  /* Those before. */
  LVS_KERNEL_OLDER = 1,
} lvs_kernel;

/* What a full connection table does about a new connection. */
typedef enum lvs_admission {
  /* It is refused: LVS_DROP_TABLE_FULL. */
  LVS_ADMISSION_REFUSE = 0,
  /* A connection whose handshake is not complete goes for it. */
  LVS_ADMISSION_EVICT_HALF_OPEN = 1,
  /* Or a UDP flow of which one packet was seen. */
  LVS_ADMISSION_EVICT_HALF_OPEN_AND_SINGLE = 2,
} lvs_admission;

/* What a tunnelled packet is wrapped in. */
typedef enum lvs_tunnel {
  /* An outer IP header and nothing else. */
  LVS_TUNNEL_IPIP = 0,
  /* Generic UDP encapsulation. */
  LVS_TUNNEL_GUE = 1,
  /* Generic routing encapsulation. */
  LVS_TUNNEL_GRE = 2,
} lvs_tunnel;

/* What a checksum protects in a tunnel. */
typedef enum lvs_tunnel_checksum {
  /* Nothing. */
  LVS_TUNNEL_NO_CHECKSUM = 0,
  /* The UDP datagram, or the GRE packet. */
  LVS_TUNNEL_CHECKSUM = 1,
  /* Remote checksum offload, with LVS_TUNNEL_GUE only. */
  LVS_TUNNEL_REMOTE_CHECKSUM = 2,
} lvs_tunnel_checksum;

/* Where a server is in its life. */
typedef enum lvs_server_state {
  /* In service. */
  LVS_SERVER_ACTIVE = 1,
  /* It gets no new connections, and has some left. */
  LVS_SERVER_DRAINING = 2,
  /* It is being drained and has no connection left. */
  LVS_SERVER_DRAINED = 3,
  /* In no service any more. */
  LVS_SERVER_REMOVED = 4,
} lvs_server_state;

/* What becomes of connections that are left when a drain's deadline has come. */
typedef enum lvs_rest {
  /* They go on. */
  LVS_REST_KEEP = 0,
  /* Their packets are dropped: LVS_DROP_DRAINED. */
  LVS_REST_DROP = 1,
  /* Their packets are answered in place: LVS_REPLY_RESET, LVS_REPLY_DRAINED. */
  LVS_REST_RESET = 2,
} lvs_rest;

/* What kind of event. */
typedef enum lvs_event_kind {
  /* A connection or template was made. */
  LVS_EVENT_MADE = 1,
  /* A connection or template is gone. */
  LVS_EVENT_GONE = 2,
  /* A server has reached its upper threshold: it gets no new connections. */
  LVS_EVENT_OVERLOADED = 3,
  /* Its overload is over. */
  LVS_EVENT_RELIEVED = 4,
  /* The deadline of a drain has come. */
  LVS_EVENT_DRAIN_DEADLINE = 5,
  /* The last connection of a server that is being drained is gone; or the server was removed at its deadline. */
  LVS_EVENT_DRAINED = 6,
} lvs_event_kind;

/* Why a connection is gone. */
typedef enum lvs_gone {
  /* Its time was over. */
  LVS_GONE_EXPIRED = 1,
  /* A packet that opens a connection took its place. */
  LVS_GONE_REPLACED = 2,
  /* Its server was deleted, and expire_nodest_conn is set. */
  LVS_GONE_SERVER_GONE = 3,
  /* lvs_director_flush ended it. */
  LVS_GONE_FLUSHED = 4,
  /* The table was full, and it made room for another. */
  LVS_GONE_EVICTED = 5,
  /* The drop_entry defence ended it. */
  LVS_GONE_DROPPED = 6,
} lvs_gone;

/* What became of a service or a server. */
typedef enum lvs_change_kind {
  /* It is new. */
  LVS_CHANGE_ADDED = 1,
  /* Its description is another now. */
  LVS_CHANGE_EDITED = 2,
  /* It is gone. */
  LVS_CHANGE_REMOVED = 3,
} lvs_change_kind;

/* A state of a TCP connection: its place in lvs_timeouts. */
typedef enum lvs_tcp_state {
  /* Before the first packet. */
  LVS_TCP_NONE = 0,
  /* ESTABLISHED. */
  LVS_TCP_ESTABLISHED = 1,
  /* SYN_SENT: the server began. */
  LVS_TCP_SYN_SENT = 2,
  /* SYN_RECV: the client began. */
  LVS_TCP_SYN_RECEIVED = 3,
  /* FIN_WAIT. */
  LVS_TCP_FIN_WAIT = 4,
  /* TIME_WAIT. */
  LVS_TCP_TIME_WAIT = 5,
  /* CLOSE. */
  LVS_TCP_CLOSE = 6,
  /* CLOSE_WAIT. */
  LVS_TCP_CLOSE_WAIT = 7,
  /* LAST_ACK. */
  LVS_TCP_LAST_ACK = 8,
  /* LISTEN. */
  LVS_TCP_LISTEN = 9,
  /* SYNACK: with secure_tcp, the server has answered and the client not yet. */
  LVS_TCP_SYN_ACK = 10,
} lvs_tcp_state;

/* A state of an SCTP association: its place in lvs_timeouts. */
typedef enum lvs_sctp_state {
  /* Before the first packet. */
  LVS_SCTP_NONE = 0,
  /* INIT1: the first INIT. */
  LVS_SCTP_INIT1 = 1,
  /* INIT: another one. */
  LVS_SCTP_INIT = 2,
  /* C-SENT: the server has sent a cookie. */
  LVS_SCTP_COOKIE_SENT = 3,
  /* C-REPLIED: the client has sent it back. */
  LVS_SCTP_COOKIE_REPLIED = 4,
  /* C-WAIT: a cookie from the server is awaited. */
  LVS_SCTP_COOKIE_WAIT = 5,
  /* COOKIE. */
  LVS_SCTP_COOKIE = 6,
  /* C-ECHOED. */
  LVS_SCTP_COOKIE_ECHOED = 7,
  /* ESTABLISHED. */
  LVS_SCTP_ESTABLISHED = 8,
  /* S-SENT: the server shuts down. */
  LVS_SCTP_SHUTDOWN_SENT = 9,
  /* S-RECEIVED: the client shuts down. */
  LVS_SCTP_SHUTDOWN_RECEIVED = 10,
  /* S-ACK-SENT. */
  LVS_SCTP_SHUTDOWN_ACK_SENT = 11,
  /* REJECTED. */
  LVS_SCTP_REJECTED = 12,
  /* CLOSED. */
  LVS_SCTP_CLOSED = 13,
} lvs_sctp_state;

/* What a synchronisation daemon does. */
typedef enum lvs_role {
  /* Sends its connections. */
  LVS_ROLE_MASTER = 1,
  /* Receives them. */
  LVS_ROLE_BACKUP = 2,
} lvs_role;

/* Why a message of synchronisation, the rest of one, or a record of it was not taken. */
typedef enum lvs_sync_ignored {
  /* No backup daemon runs here. */
  LVS_SYNC_NO_BACKUP = 1,
  /* A message shorter than its header. */
  LVS_SYNC_TOO_SHORT = 2,
  /* A message whose length is not what it says, or that is longer than the daemon takes. */
  LVS_SYNC_LENGTH = 3,
  /* A message of another sync id. */
  LVS_SYNC_OTHER_SYNC_ID = 4,
  /* A record that is cut off, or shorter than a record is; what follows it is not read. */
  LVS_SYNC_TRUNCATED = 5,
  /* A record of a kind or a version that is not known; what follows it is not read. */
  LVS_SYNC_RECORD_KIND = 6,
  /* A record with a malformed option; what follows it is not read. */
  LVS_SYNC_OPTION = 7,
  /* A record with an option that is not known and must be. */
  LVS_SYNC_UNKNOWN_OPTION = 8,
  /* A record with flags that no connection to be synchronised has. */
  LVS_SYNC_FLAGS = 9,
  /* A record of a protocol that is not balanced. */
  LVS_SYNC_PROTOCOL = 10,
  /* A record in a state that its protocol has not. */
  LVS_SYNC_STATE = 11,
  /* A record with data of a persistence engine that is not there. */
  LVS_SYNC_ENGINE = 12,
  /* The end of an older connection than the one there is. */
  LVS_SYNC_STALE = 13,
  /* The connection table is full. */
  LVS_SYNC_TABLE_FULL = 14,
} lvs_sync_ignored;

/* What the weights of servers mean to a scheduler: what slow start may do to them. */
typedef enum lvs_weights {
  /* Proportions: if all are multiplied by one number, the picks are the same. */
  LVS_WEIGHTS_SHARES = 0,
  /* Numbers of connections. */
  LVS_WEIGHTS_LIMITS = 1,
  /* Nothing but whether a server may get flows at all, or ranks, or places. */
  LVS_WEIGHTS_FIXED = 2,
} lvs_weights;

/* One load balancer: services, servers, connections, and the packet path. */
typedef struct lvs_director lvs_director;

/* One load balancer for several threads: each call may be made by any thread at any time. */
typedef struct lvs_shared lvs_shared;

/* The way from the host to a real server. Begin with LVS_PATH_INIT. */
typedef struct lvs_path {
  /* The largest IP packet that gets through, in bytes. */
  uint16_t mtu;
  /* Not 0 if there is no route: clients are told that the host is unreachable. */
  uint8_t unreachable;
  /* 0. */
  uint8_t reserved;
  /* The host's address towards IPv4 servers: source of tunnel packets. With 0.0.0.0 packets for a tunnel are dropped. */
  uint8_t tunnel_source_v4[4];
  /* The same towards IPv6 servers. */
  uint8_t tunnel_source_v6[16];
} lvs_path;

/* What a director is built from. Begin with LVS_CONFIG_INIT. */
typedef struct lvs_config {
  /* sizeof(lvs_config): a caller with an older header is understood by it. */
  uint32_t size;
  /* Room for so many connections, reserved at once, about 153 bytes each. From 1 to 2147483648. */
  uint32_t connections;
  /* Seeds hashing and schedulers that draw: same seed, same packets, same times, same results. Towards the Internet
   * take it from the random numbers of the system. */
  uint64_t seed;
  /* Room for so many events that wait for lvs_director_poll_events; those that find none are lost and counted. 0 for
   * no events, which costs nothing. */
  uint32_t events;
  /* Room for the first parts of so many fragmented packets, which later parts follow, about 110 bytes each; without
   * room the oldest is forgotten. Up to 2147483648. With 0 every part is passed. */
  uint32_t fragments;
  /* Room for so many Call-IDs of services with the persistence engine sip, 256 bytes each, reserved when the first
   * such service is added. */
  uint32_t engine_templates;
  /* LVS_KERNEL_*: the kernel whose behaviour is wanted where kernels differ. */
  uint8_t kernel;
  /* LVS_ADMISSION_*: what a full table does about a new connection. */
  uint8_t admission;
  /* 0. */
  uint16_t reserved;
  /* The way to servers that lvs_director_set_path says nothing of. */
  struct lvs_path path;
} lvs_config;

/* Where a packet lies: length bytes from base + offset on, beginning with the IP header. It is rewritten there, and may
 * move and grow within capacity bytes from base on; 60 bytes in front of it are enough for every tunnel and ICMP error. */
typedef struct lvs_packet {
  /* The buffer. All of it has been written to. */
  uint8_t *base;
  /* Bytes of the buffer. */
  uint32_t capacity;
  /* Where the packet begins. */
  uint32_t offset;
  /* Bytes of the packet. Bytes behind the end of the IP packet, such as padding of Ethernet, do no harm: what is
   * rewritten goes without them. */
  uint32_t length;
  /* The firewall mark, 0 for none. */
  uint32_t mark;
  /* LVS_PACKET_*, or 0. */
  uint32_t flags;
  /* 0. */
  uint32_t reserved;
} lvs_packet;

/* Names a real server of one service of one director, as lvs_service_id does a service. */
typedef struct lvs_server_id {
  /* Its place among the servers, or LVS_NONE. */
  uint32_t index;
  /* How often the place was taken before. */
  uint32_t generation;
} lvs_server_id;

/* Names a connection of one director, as lvs_service_id does a service. */
typedef struct lvs_connection_id {
  /* Its place in the table, below the number of connections that the director has room for, or LVS_NONE. */
  uint32_t index;
  /* How often the place was taken before. */
  uint32_t generation;
} lvs_connection_id;

/* What became of a packet. */
typedef struct lvs_result {
  /* LVS_PASS, LVS_FORWARD, LVS_REPLY or LVS_DROP. */
  uint8_t verdict;
  /* LVS_PASS_*, LVS_REPLY_* or LVS_DROP_*; 0 if it is forwarded. */
  uint8_t reason;
  /* LVS_TO_SERVER or LVS_TO_CLIENT if it is forwarded, else 0. */
  uint8_t direction;
  /* LVS_METHOD_* if it is forwarded, else 0. */
  uint8_t method;
  /* Where the packet, or the answer in its place, begins now. */
  uint32_t offset;
  /* Its bytes now. */
  uint32_t length;
  /* 4 or 6 if it is forwarded or replied to, else 0. */
  uint32_t next_hop_family;
  /* Where to send it: the first 4 or all 16 bytes, most significant first; the rest is 0. */
  uint8_t next_hop[16];
  /* The real server, if it is forwarded to or from one; else the index is LVS_NONE. */
  struct lvs_server_id server;
  /* The connection, if it is forwarded on one; else the index is LVS_NONE. */
  struct lvs_connection_id connection;
} lvs_result;

/* An address, and a port where one belongs to it. All bytes 0 is no address. */
typedef struct lvs_address {
  /* 4 or 6; 0 for none. */
  uint8_t family;
  /* 0. */
  uint8_t reserved;
  /* The port, as a number (not in network byte order); 0 for none. */
  uint16_t port;
  /* The first 4 or all 16 bytes, most significant first. The rest comes out as 0, and is not looked at on its way in. */
  uint8_t bytes[16];
} lvs_address;

/* A virtual service, as ipvsadm -A describes it. Begin with LVS_SERVICE_INIT. What identifies it are mark and the family
 * of the address, or, where mark is 0, protocol and address. */
typedef struct lvs_service {
  /* sizeof(lvs_service). */
  uint32_t size;
  /* The firewall mark, 0 for a service by address. */
  uint32_t mark;
  /* The virtual address; port 0 stands for every port. With a mark only its family counts, and the rest is 0. */
  struct lvs_address address;
  /* LVS_SERVICE_*. */
  uint32_t flags;
  /* How long a client stays with its server, in seconds, up to 31 days; 0 for no persistence. */
  uint32_t persistence;
  /* With LVS_SERVICE_NETMASK: the bits of an IPv4 client's address that count for persistence. */
  uint8_t netmask_v4[4];
  /* And how many leading ones of an IPv6 client's, 1 to 128. */
  uint8_t netmask_v6;
  /* LVS_PROTOCOL_*; 0 with a mark. */
  uint8_t protocol;
  /* 0. */
  uint16_t reserved;
  /* The scheduler's name, such as "wlc"; "none" for no scheduling at all. */
  char scheduler[16];
  /* The persistence engine's name ("sip"), or empty. */
  char engine[16];
} lvs_service;

/* Names a virtual service of one director, until it is removed; after that it finds nothing, even if another takes its
 * place. */
typedef struct lvs_service_id {
  /* Its place in the table: small, dense, reused after removal. Good as an array index. Or LVS_NONE. */
  uint32_t index;
  /* How often the place was taken before. */
  uint32_t generation;
} lvs_service_id;

/* What is counted of a server, a service or the whole director. Bytes are those of IP packets. */
typedef struct lvs_counters {
  /* Connections scheduled. */
  uint64_t connections;
  /* Packets from clients. */
  uint64_t in_packets;
  /* Packets to clients, of those that pass through the director. */
  uint64_t out_packets;
  /* Bytes from clients. */
  uint64_t in_bytes;
  /* Bytes to clients. */
  uint64_t out_bytes;
} lvs_counters;

/* The same per second, as of the latest two-second tick. */
typedef struct lvs_rates {
  /* Connections scheduled. */
  uint64_t connections;
  /* Packets from clients. */
  uint64_t in_packets;
  /* Packets to clients. */
  uint64_t out_packets;
  /* Bytes from clients. */
  uint64_t in_bytes;
  /* Bytes to clients. */
  uint64_t out_bytes;
} lvs_rates;

/* What has become of a service. */
typedef struct lvs_service_info {
  /* sizeof(lvs_service_info), put there by the caller. */
  uint32_t size;
  /* How many servers it has. */
  uint32_t servers;
  /* Its id. */
  struct lvs_service_id id;
  /* Counters, those of servers that have left it included, as of the latest two-second tick. */
  struct lvs_counters counters;
  /* Rates. */
  struct lvs_rates rates;
} lvs_service_info;

/* Is told of one service. Returns whether to go on. Both records are there only as long as the call lasts. */
typedef bool (*lvs_service_visitor)(const struct lvs_service *service, const struct lvs_service_info *info, void *user);

/* How long a connection lives in each state after its latest packet, in milliseconds up to 31 days. */
typedef struct lvs_timeouts {
  /* sizeof(lvs_timeouts). */
  uint32_t size;
  /* Of a UDP flow. On the way in 0 stands for the kernel's default, here and below. */
  uint32_t udp_ms;
  /* Of a TCP connection, by LVS_TCP_*. */
  uint32_t tcp_ms[11];
  /* Of an SCTP association, by LVS_SCTP_*. */
  uint32_t sctp_ms[14];
} lvs_timeouts;

/* What a service can do beyond the kernel's. Begin with LVS_SERVICE_OPTIONS_INIT, which is nothing of it. */
typedef struct lvs_service_options {
  /* sizeof(lvs_service_options). */
  uint32_t size;
  /* LVS_SERVICE_BEGINS_ANYWHERE, or 0. */
  uint32_t flags;
  /* Milliseconds in which the weight of a new server grows from a share to all of it, 1 second to 31 days; 0 for at
   * once. */
  uint32_t slow_start_ms;
  /* That share, 1 to 100 percent; 0 for 10. */
  uint32_t slow_start_percent;
  /* Timeouts of its own, or NULL for those of the director. */
  const struct lvs_timeouts *timeouts;
} lvs_service_options;

/* A real server of a service, as ipvsadm -a describes it. Begin with LVS_SERVER_INIT. */
typedef struct lvs_server {
  /* sizeof(lvs_server). */
  uint32_t size;
  /* Share of new connections, 0 to 2147483647; 0 for none. */
  uint32_t weight;
  /* Address and port, which identify it within its service. Port 0 keeps the port that packets come for. */
  struct lvs_address address;
  /* LVS_METHOD_*: how packets reach it. */
  uint8_t method;
  /* LVS_TUNNEL_IPIP, LVS_TUNNEL_GUE or LVS_TUNNEL_GRE, for LVS_METHOD_TUN. */
  uint8_t tunnel;
  /* LVS_TUNNEL_NO_CHECKSUM, LVS_TUNNEL_CHECKSUM or LVS_TUNNEL_REMOTE_CHECKSUM. */
  uint8_t tunnel_checksum;
  /* 0. */
  uint8_t reserved;
  /* UDP port of the server, for LVS_TUNNEL_GUE. */
  uint16_t tunnel_port;
  /* 0. */
  uint16_t reserved2;
  /* At so many connections no new one is scheduled; 0 for no limit. */
  uint32_t upper;
  /* Below so many connections an overloaded server takes new ones again; 0 for three quarters of the upper one. */
  uint32_t lower;
} lvs_server;

/* What has become of a server. */
typedef struct lvs_server_info {
  /* sizeof(lvs_server_info), put there by the caller. */
  uint32_t size;
  /* LVS_SERVER_ACTIVE, LVS_SERVER_DRAINING, LVS_SERVER_DRAINED or LVS_SERVER_REMOVED. */
  uint32_t state;
  /* Its id. */
  struct lvs_server_id id;
  /* When a drain is over, UINT64_MAX for never. */
  uint64_t deadline_ns;
  /* Connections in an active state. */
  uint32_t active;
  /* Connections that are not active. */
  uint32_t inactive;
  /* Persistence templates. */
  uint32_t persistent;
  /* 0. */
  uint32_t reserved;
  /* Counters, as of the latest two-second tick. */
  struct lvs_counters counters;
  /* Rates. */
  struct lvs_rates rates;
} lvs_server_info;

/* Is told of one server. Returns whether to go on. Both records are there only as long as the call lasts. */
typedef bool (*lvs_server_visitor)(const struct lvs_server *server, const struct lvs_server_info *info, void *user);

/* How a server is drained. Begin with LVS_DRAIN_INIT: no new connections, and those there are end in their own time. */
typedef struct lvs_drain {
  /* sizeof(lvs_drain). */
  uint32_t size;
  /* LVS_DRAIN_*, or 0. */
  uint32_t flags;
  /* When it is over, UINT64_MAX for never. */
  uint64_t deadline_ns;
  /* LVS_REST_*: what becomes of the rest then. */
  uint32_t rest;
  /* 0. */
  uint32_t reserved;
} lvs_drain;

/* How much lvs_director_apply did. */
typedef struct lvs_applied {
  /* sizeof(lvs_applied), put there by the caller. */
  uint32_t size;
  /* Services that are new. */
  uint32_t services_added;
  /* Services whose description is another now. */
  uint32_t services_changed;
  /* Services that are gone. */
  uint32_t services_removed;
  /* Services whose description stayed. Their servers may have changed. */
  uint32_t services_unchanged;
  /* Servers that are new, those of new services included. */
  uint32_t servers_added;
  /* Servers whose description is another now. */
  uint32_t servers_changed;
  /* Servers that are gone, those of services that are gone included. */
  uint32_t servers_removed;
  /* Servers that stayed as they were. */
  uint32_t servers_unchanged;
} lvs_applied;

/* A service or a server that lvs_director_apply has added, changed or removed. */
typedef struct lvs_change {
  /* sizeof(lvs_change). */
  uint32_t size;
  /* The firewall mark of the service, 0 for a service by address. */
  uint32_t mark;
  /* The virtual address of the service; with a mark only its family. */
  struct lvs_address service;
  /* The address of the server, or family 0 if it is about the service itself. */
  struct lvs_address server;
  /* LVS_CHANGE_*. */
  uint8_t kind;
  /* LVS_PROTOCOL_* of the service; 0 with a mark. */
  uint8_t protocol;
  /* 0. */
  uint16_t reserved;
} lvs_change;

/* Is told of one change, after all of them were made. Returns whether it wants to know of more. The record is there only
 * as long as the call lasts. */
typedef bool (*lvs_change_visitor)(const struct lvs_change *change, void *user);

/* A service and its servers, as lvs_director_apply_services wants them. */
typedef struct lvs_wanted {
  /* The service. */
  const struct lvs_service *service;
  /* Its servers, one behind the other. NULL if there are none. */
  const struct lvs_server *servers;
  /* How many servers. */
  size_t server_count;
} lvs_wanted;

/* A connection, or a persistence template. */
typedef struct lvs_connection {
  /* sizeof(lvs_connection), put there by the caller. */
  uint32_t size;
  /* The IP protocol number; 0 for a template that holds for every protocol of a firewall mark. */
  uint8_t protocol;
  /* LVS_CONNECTION_*. */
  uint8_t flags;
  /* 0. */
  uint16_t reserved;
  /* Its id. */
  struct lvs_connection_id id;
  /* The id of its real server; the index is LVS_NONE if it has none. */
  struct lvs_server_id server_id;
  /* The client; of a template, its network and port 0. */
  struct lvs_address client;
  /* The virtual address. For protocol 0 its first four bytes are the firewall mark, most significant first. */
  struct lvs_address target;
  /* The real server. */
  struct lvs_address server;
  /* 0. */
  uint32_t reserved2;
  /* When it expires, unless a packet comes. */
  uint64_t expires_ns;
  /* How long it lives after each packet. */
  uint64_t timeout_ns;
  /* The state by the name that listings have for it, such as "ESTABLISHED". */
  char state[16];
} lvs_connection;

/* Is told of one connection. Returns whether to go on. The record is there only as long as the call lasts. */
typedef bool (*lvs_connection_visitor)(const struct lvs_connection *connection, void *user);

/* Which connections are ended: those that have everything in common with it that it names. Begin with LVS_FILTER_INIT,
 * which names nothing: all of them. */
typedef struct lvs_filter {
  /* sizeof(lvs_filter). */
  uint32_t size;
  /* The IP protocol number of one that is balanced, or 0. */
  uint8_t protocol;
  /* With a client: how many bits of its address count, up to 32 or 128; with 0 it is every client of its family. */
  uint8_t prefix;
  /* 0. */
  uint16_t reserved;
  /* A server, which may have been removed from its service; or the index is LVS_NONE. */
  struct lvs_server_id server;
  /* A service, if no server is named: the servers that it has now; or the index is LVS_NONE. */
  struct lvs_service_id service;
  /* Clients of this network, or family 0. */
  struct lvs_address client;
  /* A state by the name that listings have for it, or empty. */
  char state[16];
} lvs_filter;

/* Something that happened. */
typedef struct lvs_event {
  /* LVS_EVENT_*. Later versions may know more. */
  uint8_t kind;
  /* LVS_GONE_* with LVS_EVENT_GONE, else 0. */
  uint8_t gone;
  /* The IP protocol number of the connection, if the event is about one. */
  uint8_t protocol;
  /* LVS_CONNECTION_TEMPLATE for a template, else 0. */
  uint8_t flags;
  /* With LVS_EVENT_DRAIN_DEADLINE how many connections were left, with LVS_EVENT_DRAINED whether the server was
   * removed; else 0. */
  uint32_t count;
  /* The server that the event is about, or that of the connection; the index is LVS_NONE if that has none. */
  struct lvs_server_id server_id;
  /* The connection that the event is about; else the index is LVS_NONE. If it is gone, its id finds nothing any more. */
  struct lvs_connection_id connection;
  /* The client's end of the connection; this and the next two have family 0 if the event is about none. */
  struct lvs_address client;
  /* The virtual end. */
  struct lvs_address target;
  /* The server's end. */
  struct lvs_address server;
  /* 0. */
  uint32_t reserved;
} lvs_event;

/* A director as a whole. */
typedef struct lvs_stats {
  /* sizeof(lvs_stats), put there by the caller. */
  uint32_t size;
  /* Connections and templates there are, those included whose deadline has come and that wait for
   * lvs_director_advance. */
  uint32_t connections;
  /* Room for so many. */
  uint32_t capacity;
  /* 0. */
  uint32_t reserved;
  /* Bytes of memory that connections and fragments take, reserved when the director was built. */
  uint64_t memory;
  /* Events that found no room and were lost. */
  uint64_t missed_events;
  /* Connections past their deadline that went so that others had room in a full table. */
  uint64_t evicted_expired;
  /* Half-open ones that did. */
  uint64_t evicted_half_open;
  /* UDP flows of one packet that did. */
  uint64_t evicted_single;
  /* First parts of fragmented packets that did. */
  uint64_t evicted_fragments;
  /* Connections that the defence drop_entry has ended. */
  uint64_t dropped_entries;
  /* Counters, as of the latest two-second tick. */
  struct lvs_counters counters;
  /* Rates. */
  struct lvs_rates rates;
} lvs_stats;

/* A synchronisation daemon, as ipvsadm --start-daemon describes it. Begin with LVS_DAEMON_INIT and put the role. */
typedef struct lvs_daemon {
  /* sizeof(lvs_daemon). */
  uint32_t size;
  /* LVS_ROLE_MASTER or LVS_ROLE_BACKUP. */
  uint32_t role;
  /* Multicast group and UDP port; family 0 and port 0 for the usual ones. */
  struct lvs_address group;
  /* Longest message in bytes, 0 for what fits into 1500. */
  uint16_t max_length;
  /* 0 to 255; a backup of id 0 takes messages of every id. */
  uint8_t sync_id;
  /* Time to live, 0 for 1. */
  uint8_t ttl;
  /* The interface for multicast. The library has none: this is for listings, and for the program that sends. */
  char interface[16];
} lvs_daemon;

/* Where a message of the master daemon is to be sent. */
typedef struct lvs_sync_message {
  /* Bytes of the message, the payload of a UDP datagram; 0 if there is none. */
  uint32_t length;
  /* Multicast group and UDP port. */
  struct lvs_address group;
  /* Time to live, or hop limit. */
  uint8_t ttl;
  /* 0. */
  uint8_t reserved[3];
} lvs_sync_message;

/* What became of a message that was received. */
typedef struct lvs_sync_received {
  /* Connections and templates that were made. */
  uint32_t created;
  /* Connections and templates that were there and were changed. */
  uint32_t updated;
  /* Records that were skipped. */
  uint32_t skipped;
  /* LVS_SYNC_*: why the message, or the rest of it, was not read at all; else 0. */
  uint32_t refused;
} lvs_sync_received;

/* What synchronisation has counted since the director was built. */
typedef struct lvs_sync_counts {
  /* sizeof(lvs_sync_counts), put there by the caller. */
  uint32_t size;
  /* 0. */
  uint32_t reserved;
  /* Connections and templates put into messages. */
  uint64_t records_queued;
  /* Messages handed out to be sent. */
  uint64_t messages_sent;
  /* Records in them. */
  uint64_t records_sent;
  /* Records lost with messages that found the queue full. */
  uint64_t records_dropped;
  /* Records that were waiting when the master daemon was stopped. */
  uint64_t records_abandoned;
  /* Messages received. */
  uint64_t messages_received;
  /* Connections and templates made by records. */
  uint64_t created;
  /* Connections and templates changed by records. */
  uint64_t updated;
  /* Messages and records that were not taken, by LVS_SYNC_*. */
  uint64_t ignored[16];
} lvs_sync_counts;

/* What a scheduler may know of the packet that opens a flow. */
typedef struct lvs_new_flow {
  /* When the packet came. */
  uint64_t now_ns;
  /* The client, port 0 if the protocol has none. */
  struct lvs_address client;
  /* The address that the client wrote to, without its port. */
  struct lvs_address target;
  /* The IP protocol number. */
  uint8_t protocol;
  /* 0. */
  uint8_t reserved[7];
} lvs_new_flow;

/* One real server, as a scheduler sees it. */
typedef struct lvs_candidate {
  /* Its id. */
  struct lvs_server_id id;
  /* Its address and port. */
  struct lvs_address address;
  /* The weight; 0 for none of the new flows. */
  uint32_t weight;
  /* The weight before it was last set to 0. */
  uint32_t last_weight;
  /* Connections in an active state of their protocol. */
  uint32_t active;
  /* All connections, active or not. */
  uint32_t connections;
  /* What the least-connection schedulers compare: 257 times the active connections and the inactive ones. */
  uint32_t overhead;
  /* 1 if it has reached its upper threshold and not yet fallen below its lower one, else 0. */
  uint8_t overloaded;
  /* 1 if it may get a new flow: it has a weight and is not overloaded; else 0. */
  uint8_t eligible;
  /* 0. */
  uint16_t reserved;
} lvs_candidate;

/* A scheduler of one's own. Begin with LVS_SCHEDULER_INIT and put at least pick.
 *
 * The functions are called in the thread that makes the call, in the midst of it, and never two at once for one service,
 * not even by a shared director. They must not call the director that calls them: LVS_ERR_BUSY. The arrays are there only
 * as long as the call lasts: all servers of the service, the newest first. */
typedef struct lvs_scheduler {
  /* sizeof(lvs_scheduler). */
  uint32_t size;
  /* LVS_WEIGHTS_*. */
  uint32_t weights;
  /* Chooses the server of a new flow: its place in the array, eligible or not, or LVS_NONE if none can take it. */
  uint32_t (*pick)(const struct lvs_new_flow *flow, const struct lvs_candidate *servers, size_t count, void *user);
  /* Is told that the service has taken up the scheduler, or that a server came, went or was edited; or NULL. */
  void (*changed)(const struct lvs_candidate *servers, size_t count, void *user);
  /* When tick is to be called next, UINT64_MAX for never. Asked once the service has taken up the scheduler, and after
   * each pick and tick; or NULL. */
  uint64_t (*next_tick)(void *user);
  /* Is told the time: when the service has taken up the scheduler, and within lvs_director_advance once next_tick has
   * come; or NULL. */
  void (*tick)(uint64_t now_ns, void *user);
  /* Makes a copy that would answer the same: another user pointer for these functions, which release takes back.
   * lvs_director_explain asks it, and tells LVS_VERDICT_UNKNOWN where this is NULL or returns false. */
  bool (*fork)(void *user, void **copy);
  /* Is told that the scheduler, or the copy, is not needed any more: the last call of all with it; or NULL. */
  void (*release)(void *user);
  /* Handed to the functions as it is. */
  void *user;
} lvs_scheduler;

/* Is lent a director for as long as the call lasts. */
typedef void (*lvs_shared_visitor)(struct lvs_director *director, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* The name of a status, such as "not-found"; "unknown" for other numbers. Thread-safe. */
const char *lvs_status_name(int32_t status);

/* The version of the library that runs, to compare with LVS_VERSION of the header. Thread-safe. */
uint32_t lvs_version(void);

/* The same as a text, such as "0.1.0". Thread-safe. */
const char *lvs_version_text(void);

/* Builds a director without services. config may be NULL, which is as LVS_CONFIG_INIT. On LVS_OK *out is a handle for
 * lvs_director_free to take back. LVS_ERR_ARGUMENT if the configuration makes no sense, LVS_ERR_FULL if there is not so
 * much memory. Thread-safe. */
lvs_status lvs_director_new(const struct lvs_config *config, struct lvs_director **out);

/* Frees a director and lets go of its schedulers, or does nothing for NULL and from within a callback of its own. One
 * thread at a time per handle. */
void lvs_director_free(struct lvs_director *director);

/* Carries out one line of ipvsadm, with or without that word in front, and writes what it prints, a listing for
 * example, into out.
 *
 * needed, if not NULL, is set to the bytes that out must have, the zero byte at the end included, on LVS_OK and on
 * LVS_ERR_SPACE. Lines that print change nothing, so that after LVS_ERR_SPACE the same line may be run again. For lines
 * that print nothing out may be NULL. After LVS_ERR_RULE, LVS_ERR_REFUSED, LVS_ERR_EXISTS, LVS_ERR_NOT_FOUND and
 * LVS_ERR_FULL nothing has changed, and lvs_director_last_error says why. One thread at a time per handle. */
lvs_status lvs_director_run(struct lvs_director *director,
                            const char *line,
                            size_t line_length,
                            char *out,
                            size_t capacity,
                            size_t *needed);

/* Carries out a text of such lines, for example what ipvsadm -S wrote. Blank lines and lines that begin with # are
 * skipped; what lines print is kept nowhere.
 *
 * After LVS_ERR_RULE no line was carried out; after the other refusals that lvs_director_run names those before the
 * refused one were. Then, and only then, error_line and error_column are set, each unless it is NULL: where the text
 * goes wrong, from 1, columns in characters. lvs_director_last_error says why. One thread at a time per handle. */
lvs_status lvs_director_load(struct lvs_director *director,
                             const char *text,
                             size_t text_length,
                             uint32_t *error_line,
                             uint32_t *error_column);

/* Writes why a rule or a call was refused the last time (LVS_ERR_RULE, LVS_ERR_REFUSED, and what is there already, is
 * missing or has no room), or nothing if that never was. Calls that only look (with a const director) leave it as it is.
 * needed is as for lvs_director_run. One thread at a time per handle. */
lvs_status lvs_director_last_error(const struct lvs_director *director, char *out, size_t capacity, size_t *needed);

/* Lets time pass: ends connections whose deadline has come, renews counters and rates.
 *
 * budget bounds the work: about so many connections and servers are looked at. *more tells whether the rest is for
 * another call; it may be NULL. Call it when lvs_director_next_deadline has come, or every few milliseconds. One thread
 * at a time per handle. */
lvs_status lvs_director_advance(struct lvs_director *director, uint64_t now_ns, size_t budget, bool *more);

/* Writes when lvs_director_advance has something to do next, UINT64_MAX for never. It may be early, never late; ask
 * again after each call that takes packets, time or lines. One thread at a time per handle. */
lvs_status lvs_director_next_deadline(const struct lvs_director *director, uint64_t *out_ns);

/* Processes packets in order. Each gets its result at the same place of the other array. The records stay as they are:
 * where a packet is by then its result tells.
 *
 * A bad packet is no error, it gets its verdict. With LVS_PASS and LVS_DROP its bytes are as they were. Only if a record
 * is not as this header says is the call refused, and then no packet was looked at and no result written:
 * LVS_ERR_ARGUMENT for a packet beyond its buffer, an unknown flag or a reserved field that is not 0, LVS_ERR_NULL for
 * a buffer that is NULL with a capacity that is not 0. Buffers of packets of one call must not overlap. Bursts of 64 are
 * several times faster than single packets once there are many connections. One thread at a time per handle. */
lvs_status lvs_director_process(struct lvs_director *director,
                                uint64_t now_ns,
                                const struct lvs_packet *packets,
                                struct lvs_result *results,
                                size_t count);

/* The name of a verdict, such as "forward"; "unknown" for other numbers. Thread-safe. */
const char *lvs_verdict_name(uint32_t verdict);

/* The name of one of LVS_PASS_*, such as "no-service"; "unknown" for other numbers. Thread-safe. */
const char *lvs_pass_reason_name(uint32_t reason);

/* The name of one of LVS_DROP_*, such as "not-ip"; "unknown" for other numbers. Thread-safe. */
const char *lvs_drop_reason_name(uint32_t reason);

/* The name of one of LVS_REPLY_*, such as "no-route"; "unknown" for other numbers. Thread-safe. */
const char *lvs_reply_reason_name(uint32_t reason);

/* Adds a service, as ipvsadm -A. New flows may reach it from the next packet on. out, if not NULL, is its id.
 *
 * LVS_ERR_ARGUMENT if the record is not as this header says; LVS_ERR_EXISTS, LVS_ERR_NOT_FOUND (no such scheduler or
 * engine), LVS_ERR_FULL, LVS_ERR_REFUSED; then nothing has changed. One thread at a time per handle. */
lvs_status lvs_director_add_service(struct lvs_director *director,
                                    const struct lvs_service *service,
                                    struct lvs_service_id *out);

/* Gives the service of the same mark or address another description, as ipvsadm -E. Its connections stay. out, if not
 * NULL, is its id. Refusals are those of lvs_director_add_service. One thread at a time per handle. */
lvs_status lvs_director_edit_service(struct lvs_director *director,
                                     const struct lvs_service *service,
                                     struct lvs_service_id *out);

/* Removes a service with its servers, as ipvsadm -D. Its connections live on until they time out; their packets to the
 * server are dropped meanwhile, or end them, as the tunable expire_nodest_conn says. Without any service of their family
 * all packets are passed. LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_remove_service(struct lvs_director *director, struct lvs_service_id service);

/* Removes all services, each as lvs_director_remove_service does, as ipvsadm -C. One thread at a time per handle. */
lvs_status lvs_director_clear(struct lvs_director *director);

/* Sets the counters of a service to zero, as ipvsadm -Z; those of all services and of the director if its index is
 * LVS_NONE. LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_zero(struct lvs_director *director, struct lvs_service_id service);

/* Finds the service of a mark or an address; the rest of the description does not matter. LVS_ERR_NOT_FOUND. One thread
 * at a time per handle. */
lvs_status lvs_director_find_service(const struct lvs_director *director,
                                     const struct lvs_service *service,
                                     struct lvs_service_id *out);

/* Writes the description of a service and what has become of it; either may be NULL. Put the sizes there first.
 * LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_service(const struct lvs_director *director,
                                struct lvs_service_id id,
                                struct lvs_service *service,
                                struct lvs_service_info *info);

/* Calls visit with each service, in no particular order, until it returns false. It must not call this director:
 * LVS_ERR_BUSY. One thread at a time per handle. */
lvs_status lvs_director_each_service(const struct lvs_director *director, lvs_service_visitor visit, void *user);

/* Switches on for a service what the kernel does not do, and off what is not named. LVS_ERR_NOT_FOUND, LVS_ERR_REFUSED
 * for numbers out of range, LVS_ERR_FULL if 65535 other services have timeouts of their own; then nothing has changed.
 * One thread at a time per handle. */
lvs_status lvs_director_set_service_options(struct lvs_director *director,
                                            struct lvs_service_id service,
                                            const struct lvs_service_options *options);

/* Writes what a service does beyond the kernel's; put the sizes there first. Timeouts of its own are written into
 * timeouts, which may be NULL, and options->timeouts points there then; it is NULL if the service has none.
 * LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_service_options(const struct lvs_director *director,
                                        struct lvs_service_id service,
                                        struct lvs_service_options *options,
                                        struct lvs_timeouts *timeouts);

/* Adds a server to a service, as ipvsadm -a. New flows may reach it from the next packet on. out, if not NULL, is its id.
 *
 * LVS_ERR_ARGUMENT if the record is not as this header says; LVS_ERR_EXISTS, LVS_ERR_NOT_FOUND, LVS_ERR_FULL,
 * LVS_ERR_REFUSED; then nothing has changed. One thread at a time per handle. */
lvs_status lvs_director_add_server(struct lvs_director *director,
                                   struct lvs_service_id service,
                                   const struct lvs_server *server,
                                   struct lvs_server_id *out);

/* Gives the server of the same address and port another description, as ipvsadm -e. Its connections stay. out, if not
 * NULL, is its id. Refusals are those of lvs_director_add_server. One thread at a time per handle. */
lvs_status lvs_director_edit_server(struct lvs_director *director,
                                    struct lvs_service_id service,
                                    const struct lvs_server *server,
                                    struct lvs_server_id *out);

/* Removes the server of an address and port from a service, as ipvsadm -d. What becomes of its connections the tunable
 * expire_nodest_conn says; lvs_director_drain is gentler. LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_remove_server(struct lvs_director *director,
                                      struct lvs_service_id service,
                                      const struct lvs_address *address);

/* Finds the server of an address and port in a service. LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_find_server(const struct lvs_director *director,
                                    struct lvs_service_id service,
                                    const struct lvs_address *address,
                                    struct lvs_server_id *out);

/* Writes the description of a server and what has become of it, as long as it is in a service or connections point to
 * it; either may be NULL. Put the sizes there first. LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_server(const struct lvs_director *director,
                               struct lvs_server_id id,
                               struct lvs_server *server,
                               struct lvs_server_info *info);

/* Writes what a server has counted up to this moment, not only up to the latest two-second tick, and never zeroed.
 * LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_server_counters(const struct lvs_director *director,
                                        struct lvs_server_id id,
                                        struct lvs_counters *out);

/* Calls visit with each server of a service, the newest first, until it returns false. It must not call this director:
 * LVS_ERR_BUSY. LVS_ERR_NOT_FOUND if there is no such service. One thread at a time per handle. */
lvs_status lvs_director_each_server(const struct lvs_director *director,
                                    struct lvs_service_id service,
                                    lvs_server_visitor visit,
                                    void *user);

/* Writes the ids of the servers of an address, whatever their service and port: what a host that goes down has to be drained
 * from. needed, if not NULL, is how many there are, on LVS_OK and on LVS_ERR_SPACE. The port does not matter. One thread
 * at a time per handle. */
lvs_status lvs_director_servers_at(const struct lvs_director *director,
                                   const struct lvs_address *address,
                                   struct lvs_server_id *out,
                                   size_t capacity,
                                   size_t *needed);

/* Drains a server: it gets no new connections from the next packet on, while those it has go on; its description stays.
 * When the last is gone the next lvs_director_advance tells so, by LVS_EVENT_DRAINED; a server that has none is drained,
 * and with LVS_DRAIN_THEN_REMOVE removed, at once. how may be NULL, which is as LVS_DRAIN_INIT; draining again takes the
 * new choices. LVS_ERR_NOT_FOUND. One thread at a time per handle. */
lvs_status lvs_director_drain(struct lvs_director *director, struct lvs_server_id server, const struct lvs_drain *how);

/* Ends a drain: the server has its weight again, and connections that were cut off go on. LVS_ERR_NOT_FOUND. One thread
 * at a time per handle. */
lvs_status lvs_director_undrain(struct lvs_director *director, struct lvs_server_id server);

/* Makes the rules what a text says, -A and -a lines as ipvsadm -S writes them, and touches nothing else: what the text
 * does not name is removed, what is new is added, what is described otherwise is changed in place; the rest keeps its
 * connections, counters and order.
 *
 * done, if not NULL, tells how much that was; put its size into it first. visit, if not NULL, is called with each
 * change, services first, until it returns false; it must not call this director: LVS_ERR_BUSY. On refusal nothing has
 * changed, and the rest is as for lvs_director_load. One thread at a time per handle. */
lvs_status lvs_director_apply(struct lvs_director *director,
                              const char *text,
                              size_t text_length,
                              struct lvs_applied *done,
                              lvs_change_visitor visit,
                              void *user,
                              uint32_t *error_line,
                              uint32_t *error_column);

/* The same for records instead of a text: count services, each once, each with its servers.
 *
 * On refusal (those of lvs_director_add_service and lvs_director_add_server) nothing has changed; error_service and
 * error_server, each unless it is NULL, are set to the places of what was refused, error_server to LVS_NONE if it is the
 * service itself. One thread at a time per handle. */
lvs_status lvs_director_apply_services(struct lvs_director *director,
                                       const struct lvs_wanted *wanted,
                                       size_t count,
                                       struct lvs_applied *done,
                                       lvs_change_visitor visit,
                                       void *user,
                                       uint32_t *error_service,
                                       uint32_t *error_server);

/* Writes what there is to know of a connection; put the size into *out first. LVS_ERR_NOT_FOUND if it is gone. One thread
 * at a time per handle. */
lvs_status lvs_director_connection(const struct lvs_director *director,
                                   struct lvs_connection_id id,
                                   struct lvs_connection *out);

/* Writes what the persistence engine keeps with a connection, such as a Call-ID, bytes above 127 as the characters that
 * they are in ISO 8859-1; nothing if it keeps none. needed is as for lvs_director_run. LVS_ERR_NOT_FOUND if the
 * connection is gone. One thread at a time per handle. */
lvs_status lvs_director_connection_engine(const struct lvs_director *director,
                                          struct lvs_connection_id id,
                                          char *out,
                                          size_t capacity,
                                          size_t *needed);

/* Calls visit with each connection and template, in no particular order, until it returns false. It must not call this
 * director: LVS_ERR_BUSY. One thread at a time per handle. */
lvs_status lvs_director_each_connection(const struct lvs_director *director, lvs_connection_visitor visit, void *user);

/* Ends connections and templates at once. Nobody is told of it: their next packets are those of no connection. ended, if
 * not NULL, is how many. With a server or a service the work is proportional to the number of its connections, else to
 * the size of the table. LVS_ERR_NOT_FOUND if there is no such server, service or state: lvs_director_last_error
 * tells the states there are. One thread at a time per handle. */
lvs_status lvs_director_flush(struct lvs_director *director, const struct lvs_filter *filter, size_t *ended);

/* The same in parts: looks at up to budget places of the table from *place on, which is 0 at first and is moved on.
 * ended, if not NULL, is how many this call has ended; *more, if not NULL, tells whether the rest is for another call.
 * One thread at a time per handle. */
lvs_status lvs_director_flush_some(struct lvs_director *director,
                                   const struct lvs_filter *filter,
                                   size_t *place,
                                   size_t budget,
                                   size_t *ended,
                                   bool *more);

/* Takes up to capacity events out of the queue, the oldest first. *count tells how many: fewer than capacity if there are
 * no more. A director keeps events only if its configuration has room for some. One thread at a time per handle. */
lvs_status lvs_director_poll_events(struct lvs_director *director,
                                    struct lvs_event *events,
                                    size_t capacity,
                                    size_t *count);

/* The name of one of LVS_EVENT_*, such as "drained"; "unknown" for other numbers. Thread-safe. */
const char *lvs_event_name(uint32_t kind);

/* The name of one of LVS_GONE_*, such as "expired"; "unknown" for other numbers. Thread-safe. */
const char *lvs_gone_name(uint32_t gone);

/* Says in a few lines what lvs_director_process would do with a packet and why, and changes nothing, the packet
 * included. needed is as for lvs_director_run.
 *
 * result, if not NULL, is written on LVS_OK and on LVS_ERR_SPACE: the result to expect, but that offset and length are
 * those of the packet. Its verdict is LVS_VERDICT_UNKNOWN if the service's scheduler cannot be asked without being
 * changed. A wrong record is refused as by lvs_director_process. One thread at a time per handle. */
lvs_status lvs_director_explain(const struct lvs_director *director,
                                uint64_t now_ns,
                                const struct lvs_packet *packet,
                                struct lvs_result *result,
                                char *out,
                                size_t capacity,
                                size_t *needed);

/* Writes what there is to know of the director as a whole; put the size into *out first. One thread at a time per
 * handle. */
lvs_status lvs_director_stats(const struct lvs_director *director, struct lvs_stats *out);

/* Writes how many packets got a verdict for a reason: LVS_FORWARD with 0, LVS_PASS with LVS_PASS_*, LVS_REPLY with
 * LVS_REPLY_*, LVS_DROP with LVS_DROP_*. LVS_ERR_ARGUMENT for other numbers. One thread at a time per handle. */
lvs_status lvs_director_count(const struct lvs_director *director, uint32_t verdict, uint32_t reason, uint64_t *out);

/* Writes all counts in the text format of Prometheus; needed is as for lvs_director_run. One thread at a time per
 * handle. */
lvs_status lvs_director_metrics(const struct lvs_director *director, char *out, size_t capacity, size_t *needed);

/* Writes what the kernel shows in a file of /proc/net: ip_vs, ip_vs_conn, ip_vs_conn_sync, ip_vs_stats or ip_vs_app;
 * needed is as for lvs_director_run. LVS_ERR_NOT_FOUND for other names. One thread at a time per handle. */
lvs_status lvs_director_proc_file(const struct lvs_director *director,
                                  const char *name,
                                  size_t name_length,
                                  char *out,
                                  size_t capacity,
                                  size_t *needed);

/* Changes a setting of the kernel's by its name, with or without "net.ipv4.vs." in front, to a value written as for
 * sysctl. LVS_ERR_NOT_FOUND, LVS_ERR_REFUSED for a value that the kernel would not take; then nothing has changed. One
 * thread at a time per handle. */
lvs_status lvs_director_set_tunable(struct lvs_director *director,
                                    const char *name,
                                    size_t name_length,
                                    const char *value,
                                    size_t value_length);

/* Writes a setting as sysctl would; needed is as for lvs_director_run. LVS_ERR_NOT_FOUND. One thread at a time per
 * handle. */
lvs_status lvs_director_tunable(const struct lvs_director *director,
                                const char *name,
                                size_t name_length,
                                char *out,
                                size_t capacity,
                                size_t *needed);

/* The names of the settings, from 0 on, without "net.ipv4.vs."; NULL behind the last. Thread-safe. */
const char *lvs_tunable_name(size_t index);

/* Writes the timeouts of the director; put the size into *out first. One thread at a time per handle. */
lvs_status lvs_director_timeouts(const struct lvs_director *director, struct lvs_timeouts *out);

/* Changes the timeouts of the director, for connections from their next packet on. Those of ipvsadm --set are three of
 * them. LVS_ERR_REFUSED for more than 31 days; then nothing has changed. One thread at a time per handle. */
lvs_status lvs_director_set_timeouts(struct lvs_director *director, const struct lvs_timeouts *timeouts);

/* Changes what a full table does about a new connection: LVS_ADMISSION_*. One thread at a time per handle. */
lvs_status lvs_director_set_admission(struct lvs_director *director, uint32_t admission);

/* Turns the FTP helper on for services of these ports, as the kernel's module ip_vs_ftp does for 21; none turns it off.
 * At most eight, each once: LVS_ERR_REFUSED. Packets should have 16 bytes of room behind or in front of them. One thread
 * at a time per handle. */
lvs_status lvs_director_set_ftp_ports(struct lvs_director *director, const uint16_t *ports, size_t count);

/* Writes the ports of the FTP helper; capacity 8 is always enough. needed, if not NULL, is how many there are, on LVS_OK
 * and on LVS_ERR_SPACE. One thread at a time per handle. */
lvs_status lvs_director_ftp_ports(const struct lvs_director *director, uint16_t *out, size_t capacity, size_t *needed);

/* Tells the way to servers of an address, those there are and those to come; its port does not matter. path NULL
 * forgets what was told: the way of the configuration holds again. One thread at a time per handle. */
lvs_status lvs_director_set_path(struct lvs_director *director,
                                 const struct lvs_address *address,
                                 const struct lvs_path *path);

/* Tells the host's own addresses, the virtual ones included, instead of those told before. A real server with such an
 * address is local: its packets are passed to the host. With none, every address that packets come for is the host's.
 * One thread at a time per handle. */
lvs_status lvs_director_set_local_addresses(struct lvs_director *director,
                                            const struct lvs_address *addresses,
                                            size_t count);

/* Tells the IPv4 broadcast addresses of the host's networks, instead of those told before: no new server can have one of
 * them, and no packet to them goes past all servers. One thread at a time per handle. */
lvs_status lvs_director_set_broadcast_addresses(struct lvs_director *director,
                                                const struct lvs_address *addresses,
                                                size_t count);

/* Tells the host's addresses towards the clients, the source of ICMP errors about packets to addresses that are not the
 * host's own (services by firewall mark). Either may be NULL for none. One thread at a time per handle. */
lvs_status lvs_director_set_client_side_addresses(struct lvs_director *director,
                                                  const struct lvs_address *v4,
                                                  const struct lvs_address *v6);

/* Tells how many pages of memory the host has to spare: fewer than the tunable amemthresh switch on the defences that are
 * in an automatic mode. Until it is told, memory is never short. One thread at a time per handle. */
lvs_status lvs_director_set_available_memory(struct lvs_director *director, uint64_t pages);

/* Starts a synchronisation daemon. A master tells of connections from now on, a backup takes what it is told; both may run
 * at once. LVS_ERR_EXISTS, LVS_ERR_REFUSED, LVS_ERR_FULL; then nothing has changed. One thread at a time per handle. */
lvs_status lvs_director_start_daemon(struct lvs_director *director,
                                     const struct lvs_daemon *daemon);

/* Stops the synchronisation daemon of a role, LVS_ROLE_*. What a master has not handed out yet is lost. LVS_ERR_NOT_FOUND.
 * One thread at a time per handle. */
lvs_status lvs_director_stop_daemon(struct lvs_director *director,
                                    uint32_t role);

/* Writes the description of the daemon of a role, LVS_ROLE_*, with what was chosen where it said 0; put the size into *out
 * first. LVS_ERR_NOT_FOUND if it does not run. One thread at a time per handle. */
lvs_status lvs_director_daemon(const struct lvs_director *director,
                               uint32_t role,
                               struct lvs_daemon *out);

/* Writes the next message that the master daemon has for its group, if any: send it, and ask again until the length is 0.
 * LVS_ERR_SPACE if it does not fit; message tells the length then, too, and the next call gives the same one.
 *
 * Ask after packets and after lvs_director_advance, and when lvs_director_next_deadline has come. One thread at a time per
 * handle. */
lvs_status lvs_director_poll_sync(struct lvs_director *director,
                                  uint64_t now_ns,
                                  uint8_t *out,
                                  size_t capacity,
                                  struct lvs_sync_message *message);

/* Takes a message that came for the backup daemon: the payload of a UDP datagram to its group and one of its ports. What
 * is wrong with it is told by *received, if that is not NULL, and counted, never an error. One thread at a time per
 * handle. */
lvs_status lvs_director_receive_sync(struct lvs_director *director,
                                     uint64_t now_ns,
                                     const uint8_t *message,
                                     size_t length,
                                     struct lvs_sync_received *received);

/* Writes what synchronisation has counted; put the size into *out first. One thread at a time per handle. */
lvs_status lvs_director_sync_counts(const struct lvs_director *director, struct lvs_sync_counts *out);

/* The name of one of LVS_SYNC_*, such as "no-backup"; "unknown" for other numbers. Thread-safe. */
const char *lvs_sync_ignored_name(uint32_t reason);

/* Adds a service with a scheduler of one's own; the name of the scheduler in the description is what listings show, one
 * word of 1 to 15 characters. From LVS_OK on the scheduler is the director's, until it calls release: when the service is
 * removed, gets another scheduler, or the director is freed. After a refusal, those of lvs_director_add_service, it is
 * still the caller's. out, if not NULL, is the service's id. One thread at a time per handle. */
lvs_status lvs_director_add_service_with(struct lvs_director *director,
                                         const struct lvs_service *service,
                                         const struct lvs_scheduler *scheduler,
                                         struct lvs_service_id *out);

/* As lvs_director_edit_service, with a scheduler of one's own as for lvs_director_add_service_with. One thread at a time
 * per handle. */
lvs_status lvs_director_edit_service_with(struct lvs_director *director,
                                          const struct lvs_service *service,
                                          const struct lvs_scheduler *scheduler,
                                          struct lvs_service_id *out);

/* Builds a director for several threads, of so many shards: one for each thread that brings packets is right; 0 counts
 * as 1, and more than 1024 as 1024. Everything else is as for lvs_director_new. Thread-safe. */
lvs_status lvs_shared_new(const struct lvs_config *config, size_t shards, struct lvs_shared **out);

/* Frees a director and lets go of its schedulers, or does nothing for NULL and from within a callback of its own. No call
 * of another thread may be under way. One thread at a time per handle. */
void lvs_shared_free(struct lvs_shared *shared);

/* Processes packets in order, as lvs_director_process does, at a shard: each thread its own. A number that is too large
 * goes round.
 *
 * Any packet may be brought to any shard: the answer is the same. It is fast where the packets of one flow, its replies
 * included, come to the same one: lvs_shared_shard_of tells which. Thread-safe. */
lvs_status lvs_shared_process(const struct lvs_shared *shared,
                              size_t shard,
                              uint64_t now_ns,
                              const struct lvs_packet *packets,
                              struct lvs_result *results,
                              size_t count);

/* Writes the shard that each packet's flow belongs to, replies and errors about it included. Network cards that hash
 * addresses and ports alike in both directions may spare one this for services by direct routing and tunnels; replies of
 * NAT servers show another address than requests. Records are checked as for lvs_director_process. Thread-safe. */
lvs_status lvs_shared_shard_of(const struct lvs_shared *shared,
                               const struct lvs_packet *packets,
                               uint32_t *shards,
                               size_t count);

/* Lets time pass, as lvs_director_advance. One thread of several is enough to call it. Thread-safe. */
lvs_status lvs_shared_advance(const struct lvs_shared *shared, uint64_t now_ns, size_t budget, bool *more);

/* Writes when lvs_shared_advance has something to do next, as lvs_director_next_deadline. Thread-safe. */
lvs_status lvs_shared_next_deadline(const struct lvs_shared *shared, uint64_t *out_ns);

/* Stops all threads and lends act the whole director, for what has no function of its own here: every function of
 * lvs_director may be called with it, but lvs_director_free, which does nothing. From there this shared director answers
 * LVS_ERR_BUSY. Thread-safe. */
lvs_status lvs_shared_with(const struct lvs_shared *shared, lvs_shared_visitor act, void *user);

/* Carries out one line of ipvsadm, as lvs_director_run. Lines that change something hold for every packet that is looked
 * at after them. Thread-safe. */
lvs_status lvs_shared_run(const struct lvs_shared *shared,
                          const char *line,
                          size_t line_length,
                          char *out,
                          size_t capacity,
                          size_t *needed);

/* Carries out a text of such lines, as lvs_director_load. Thread-safe. */
lvs_status lvs_shared_load(const struct lvs_shared *shared,
                           const char *text,
                           size_t text_length,
                           uint32_t *error_line,
                           uint32_t *error_column);

/* Makes the rules what a text says, as lvs_director_apply. Thread-safe. */
lvs_status lvs_shared_apply(const struct lvs_shared *shared,
                            const char *text,
                            size_t text_length,
                            struct lvs_applied *done,
                            lvs_change_visitor visit,
                            void *user,
                            uint32_t *error_line,
                            uint32_t *error_column);

/* Writes why a call was refused the last time, as lvs_director_last_error: whatever thread made it. Thread-safe. */
lvs_status lvs_shared_last_error(const struct lvs_shared *shared, char *out, size_t capacity, size_t *needed);

/* Adds a service, as lvs_director_add_service. Thread-safe. */
lvs_status lvs_shared_add_service(const struct lvs_shared *shared,
                                  const struct lvs_service *service,
                                  struct lvs_service_id *out);

/* Gives a service another description, as lvs_director_edit_service. Thread-safe. */
lvs_status lvs_shared_edit_service(const struct lvs_shared *shared,
                                   const struct lvs_service *service,
                                   struct lvs_service_id *out);

/* Removes a service, as lvs_director_remove_service. Thread-safe. */
lvs_status lvs_shared_remove_service(const struct lvs_shared *shared, struct lvs_service_id service);

/* Adds a server to a service, as lvs_director_add_server. Thread-safe. */
lvs_status lvs_shared_add_server(const struct lvs_shared *shared,
                                 struct lvs_service_id service,
                                 const struct lvs_server *server,
                                 struct lvs_server_id *out);

/* Gives a server another description, as lvs_director_edit_server. Thread-safe. */
lvs_status lvs_shared_edit_server(const struct lvs_shared *shared,
                                  struct lvs_service_id service,
                                  const struct lvs_server *server,
                                  struct lvs_server_id *out);

/* Removes a server from a service, as lvs_director_remove_server. Thread-safe. */
lvs_status lvs_shared_remove_server(const struct lvs_shared *shared,
                                    struct lvs_service_id service,
                                    const struct lvs_address *address);

/* Writes the description of a server and what has become of it, as lvs_director_server. Thread-safe. */
lvs_status lvs_shared_server(const struct lvs_shared *shared,
                             struct lvs_server_id id,
                             struct lvs_server *server,
                             struct lvs_server_info *info);

/* Writes what a server has counted up to this moment, as lvs_director_server_counters. Thread-safe. */
lvs_status lvs_shared_server_counters(const struct lvs_shared *shared,
                                      struct lvs_server_id id,
                                      struct lvs_counters *out);

/* Drains a server, as lvs_director_drain. Thread-safe. */
lvs_status lvs_shared_drain(const struct lvs_shared *shared, struct lvs_server_id server, const struct lvs_drain *how);

/* Ends a drain, as lvs_director_undrain. Thread-safe. */
lvs_status lvs_shared_undrain(const struct lvs_shared *shared, struct lvs_server_id server);

/* Ends connections and templates at once, as lvs_director_flush. Thread-safe. */
lvs_status lvs_shared_flush(const struct lvs_shared *shared, const struct lvs_filter *filter, size_t *ended);

/* Writes what there is to know of a connection, as lvs_director_connection. Thread-safe. */
lvs_status lvs_shared_connection(const struct lvs_shared *shared,
                                 struct lvs_connection_id id,
                                 struct lvs_connection *out);

/* Changes a setting of the kernel's by its name, as lvs_director_set_tunable. Thread-safe. */
lvs_status lvs_shared_set_tunable(const struct lvs_shared *shared,
                                  const char *name,
                                  size_t name_length,
                                  const char *value,
                                  size_t value_length);

/* Tells the way to servers of an address, as lvs_director_set_path. Thread-safe. */
lvs_status lvs_shared_set_path(const struct lvs_shared *shared,
                               const struct lvs_address *address,
                               const struct lvs_path *path);

/* Takes events out of the queue, as lvs_director_poll_events. Thread-safe. */
lvs_status lvs_shared_poll_events(const struct lvs_shared *shared,
                                  struct lvs_event *events,
                                  size_t capacity,
                                  size_t *count);

/* Says what lvs_shared_process would do with a packet and why, as lvs_director_explain. Thread-safe. */
lvs_status lvs_shared_explain(const struct lvs_shared *shared,
                              uint64_t now_ns,
                              const struct lvs_packet *packet,
                              struct lvs_result *result,
                              char *out,
                              size_t capacity,
                              size_t *needed);

/* Writes all counts in the text format of Prometheus, as lvs_director_metrics. Thread-safe. */
lvs_status lvs_shared_metrics(const struct lvs_shared *shared, char *out, size_t capacity, size_t *needed);

/* Writes what there is to know of the director as a whole, as lvs_director_stats. It stops all threads for a moment.
 * Thread-safe. */
lvs_status lvs_shared_stats(const struct lvs_shared *shared, struct lvs_stats *out);

/* Writes how many packets got a verdict for a reason, at all shards, as lvs_director_count. Thread-safe. */
lvs_status lvs_shared_count(const struct lvs_shared *shared, uint32_t verdict, uint32_t reason, uint64_t *out);

/* Reads an address such as 192.0.2.10, 192.0.2.10:80, 2001:db8::1 or `[2001:db8::1]:80`. LVS_ERR_ARGUMENT if it is none.
 * Thread-safe. */
lvs_status lvs_address_parse(const char *text, size_t text_length, struct lvs_address *out);

/* Writes an address as lvs_address_parse reads it, the port unless it is 0; needed is as for lvs_director_run, and never
 * above 48. LVS_ERR_ARGUMENT if it is no address. Thread-safe. */
lvs_status lvs_address_format(const struct lvs_address *address, char *out, size_t capacity, size_t *needed);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LVS_H */
