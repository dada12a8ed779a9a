/*
 * The Linux Virtual Server (IPVS) as a library: the C interface of lvs-core.
 *
 * Names. Everything begins with lvs_ or LVS_. A function is named after its first parameter.
 *
 * Ownership. lvs_director_new gives a handle, lvs_director_free takes it back; nothing else changes hands. Texts go in
 * as pointer and length, in UTF-8, and need no end mark. Texts come out static, or into a buffer of the caller's, with
 * a zero byte behind them.
 *
 * Results. What can fail returns lvs_status, and LVS_OK is 0. Other results come through pointers, the last
 * parameters, and are written only on LVS_OK unless the function says otherwise.
 *
 * Pointers. Each is NULL, or points to what its type says, for as long as the call lasts, and nothing else writes there
 * meanwhile. Where results or text are written, nothing else may read. NULL is answered with LVS_ERR_NULL unless the
 * function allows it; an array or a text may be NULL if it is empty. A director is one that lvs_director_new gave and
 * lvs_director_free has not taken.
 *
 * Numbers. Those that stand for something are checked on their way in, and keep their meaning from version to version.
 *
 * Panics. A defect of the library is answered with LVS_ERR_INTERNAL, and so is every later call with that handle; it
 * can only be freed. The process goes on.
 *
 * Threads. Each function says which it is: "Thread-safe", or "One thread at a time per handle". A handle may move
 * between threads. Nothing calls back.
 *
 * Time. A number of nanoseconds since any origin; UINT64_MAX is never. The library reads no clock.
 *
 * Made from the sources of lvs-ffi; changes go there.
 */

#ifndef LVS_H
#define LVS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A configuration with room for 65536 connections and seed 0. */
#define LVS_CONFIG_INIT { sizeof(lvs_config), 65536, 0 }


/*
 Flag of a packet: its IPv4 header checksum was found right, so it is not looked at again.
 */
#define LVS_PACKET_CHECKSUM_VERIFIED 1

/*
 Flag of a packet: as verified, and its transport checksum field holds the sum of the pseudo-header alone, for the
 network card to complete.
 */
#define LVS_PACKET_CHECKSUM_PARTIAL 2

/*
 Flag of a packet: seen on its way through the host, where only replies of real servers are taken up.
 */
#define LVS_PACKET_HOOK_FORWARD 4

/*
 Flag of a packet: the host itself sent it.
 */
#define LVS_PACKET_FROM_HOST 8

/*
 No index: the result has no such thing.
 */
#define LVS_NONE UINT32_MAX

/*
 First part of the version.
 */
#define LVS_VERSION_MAJOR 0

/*
 Second part of the version.
 */
#define LVS_VERSION_MINOR 1

/*
 Third part of the version.
 */
#define LVS_VERSION_PATCH 0

/*
 The version as one number, eight bits a part.
 */
#define LVS_VERSION (((LVS_VERSION_MAJOR << 16) | (LVS_VERSION_MINOR << 8)) | LVS_VERSION_PATCH)

/*
 What a call came to. 6 is reserved.
 */
enum lvs_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   Done.
   */
  LVS_OK = 0,
  /*
   A pointer is NULL that must not be.
   */
  LVS_ERR_NULL = 1,
  /*
   A value is out of range, a reserved one is not zero, or a text is not UTF-8.
   */
  LVS_ERR_ARGUMENT = 2,
  /*
   The service or server exists already.
   */
  LVS_ERR_EXISTS = 3,
  /*
   There is no such service, server, scheduler, or persistence engine.
   */
  LVS_ERR_NOT_FOUND = 4,
  /*
   No room for another service or server, or no memory for so many connections.
   */
  LVS_ERR_FULL = 5,
  /*
   The text does not fit into the buffer.
   */
  LVS_ERR_SPACE = 7,
  /*
   A line cannot be read: lvs_director_last_error says where and why.
   */
  LVS_ERR_RULE = 8,
  /*
   A rule is well formed, and refused for what it asks: lvs_director_last_error says why.
   */
  LVS_ERR_REFUSED = 9,
  /*
   A defect of the library. The handle cannot be used any more, only freed.
   */
  LVS_ERR_INTERNAL = 255,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_status lvs_status;
#else
typedef int32_t lvs_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 What is to become of a packet.
 */
enum lvs_verdict
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   Not the director's business: the host goes on with it. Reasons are LVS_PASS_*.
   */
  LVS_PASS = 0,
  /*
   Send it, as it lies there rewritten, to the next hop.
   */
  LVS_FORWARD = 1,
  /*
   It was replaced by an ICMP error or a TCP reset: send that to the next hop. Reasons are LVS_REPLY_*.
   */
  LVS_REPLY = 2,
  /*
   Discard it. Reasons are LVS_DROP_*.
   */
  LVS_DROP = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_verdict lvs_verdict;
#else
typedef uint8_t lvs_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 Why a packet was passed to the host.
 */
enum lvs_pass_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   No service has its destination, and no connection knows it.
   */
  LVS_PASS_NO_SERVICE = 1,
  /*
   A protocol that IPVS does not balance.
   */
  LVS_PASS_UNSUPPORTED_PROTOCOL = 2,
  /*
   There is a service, but the packet does not open a connection and belongs to none.
   */
  LVS_PASS_NOT_AN_OPENING = 3,
  /*
   From port 20: the FTP data port is never scheduled.
   */
  LVS_PASS_FTP_DATA_PORT = 4,
  /*
   A packet of this host that answers a connection of a real server here.
   */
  LVS_PASS_LOCAL_REPLY = 5,
  /*
   The real server is this host.
   */
  LVS_PASS_LOCAL_SERVER = 6,
  /*
   A part of a fragmented packet whose first part was passed, or that has nothing to do with a service.
   */
  LVS_PASS_FRAGMENT = 7,
  /*
   Seen where packets are forwarded, and no reply of a real server.
   */
  LVS_PASS_FORWARDED = 8,
  /*
   No service was ever added.
   */
  LVS_PASS_NOT_ENABLED = 9,
  /*
   The service of port 21 was found for another port, and has no such connection.
   */
  LVS_PASS_FTP_NO_DESTINATION = 10,
  /*
   The connection's server is deleted, expire_nodest_conn ended the connection, and the packet opens none.
   */
  LVS_PASS_CONNECTION_ENDED = 11,
  /*
   An ICMP error about a packet of no connection, or a packet of IPsec that belongs to none.
   */
  LVS_PASS_NO_CONNECTION = 12,
  /*
   A synchronisation backup runs, and backup_only is set.
   */
  LVS_PASS_BACKUP_ONLY = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_pass_reason lvs_pass_reason;
#else
typedef uint8_t lvs_pass_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 Why a packet was dropped.
 */
enum lvs_drop_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   No bytes at all, or neither version 4 nor 6.
   */
  LVS_DROP_NOT_IP = 1,
  /*
   The IP header is cut off, or its length fields contradict the packet's.
   */
  LVS_DROP_TRUNCATED_IP = 2,
  /*
   The IPv4 header checksum is wrong.
   */
  LVS_DROP_IP_CHECKSUM = 3,
  /*
   The TCP or UDP header is cut off.
   */
  LVS_DROP_TRUNCATED_TRANSPORT = 4,
  /*
   No room in front of the packet for what has to be put there.
   */
  LVS_DROP_NO_HEADROOM = 5,
  /*
   The connection table is full.
   */
  LVS_DROP_TABLE_FULL = 6,
  /*
   The connection's server is deleted.
   */
  LVS_DROP_SERVER_GONE = 7,
  /*
   Too big for the path, and no error may be sent about it.
   */
  LVS_DROP_TOO_BIG = 8,
  /*
   Dropped by the drop_packet defence.
   */
  LVS_DROP_DROP_PACKET = 9,
  /*
   Its time to live is over, and no error may be sent about it.
   */
  LVS_DROP_TTL_EXCEEDED = 10,
  /*
   The path leaves too small an MTU inside the tunnel.
   */
  LVS_DROP_TUNNEL_MTU = 11,
  /*
   A tunnelled packet, or one that a helper makes longer, would be longer than IP allows.
   */
  LVS_DROP_TOO_LONG = 12,
  /*
   A real server on this host's loopback, or a packet from it to the outside.
   */
  LVS_DROP_LOOPBACK = 13,
  /*
   The connection has no server any more to build a tunnel for.
   */
  LVS_DROP_NO_SERVER = 14,
  /*
   An ICMP error is due, but there is no address of the host's to send it from.
   */
  LVS_DROP_NO_ERROR_SOURCE = 15,
  /*
   The checksum of an ICMP error about a translated connection is wrong.
   */
  LVS_DROP_ICMP_CHECKSUM = 16,
  /*
   No route to the real server, and no error may be sent about the packet.
   */
  LVS_DROP_NO_ROUTE = 17,
  /*
   No real server can take the connection, and no error may be sent about the packet.
   */
  LVS_DROP_NO_DESTINATION = 18,
  /*
   An ICMP error is due, but the packet's source is no single host.
   */
  LVS_DROP_NO_ERROR_TARGET = 19,
  /*
   A packet for a tunnel whose source address was never told.
   */
  LVS_DROP_NO_TUNNEL_SOURCE = 20,
  /*
   The TCP checksum of a packet that a helper has to read is wrong.
   */
  LVS_DROP_TRANSPORT_CHECKSUM = 21,
  /*
   On a connection with a helper, a packet that acknowledges what was never said.
   */
  LVS_DROP_OUT_OF_WINDOW = 22,
  /*
   A helper makes the packet longer, and there is room neither behind it nor in front of it.
   */
  LVS_DROP_NO_TAILROOM = 23,
  /*
   The connection's server was drained up to its deadline, and what was left is dropped; or no answer to the packet is
   possible.
   */
  LVS_DROP_DRAINED = 24,
  /*
   A later part of a fragmented packet whose first part is not known.
   */
  LVS_DROP_FRAGMENT_WITHOUT_FIRST = 25,
  /*
   A later part of a fragmented packet whose first part was dropped or answered.
   */
  LVS_DROP_FRAGMENT_OF_DROPPED = 26,
  /*
   The first part of a fragmented packet without its transport header.
   */
  LVS_DROP_TINY_FRAGMENT = 27,
  /*
   An SCTP packet in parts whose port is to change.
   */
  LVS_DROP_FRAGMENTED_SCTP = 28,
  /*
   An ICMP error in parts about a connection.
   */
  LVS_DROP_FRAGMENTED_ERROR = 29,
  /*
   A router wants smaller tunnel packets: learned, and the client need not be told.
   */
  LVS_DROP_TUNNEL_ERROR_LEARNED = 30,
  /*
   For a service with the engine sip, but no UDP datagram with a payload.
   */
  LVS_DROP_NOT_SIP = 31,
  /*
   For a service with the engine sip, but no header field that shows a Call-ID.
   */
  LVS_DROP_NO_CALL_ID = 32,
  /*
   A Call-ID of more than 255 bytes, or one that does not end its line.
   */
  LVS_DROP_BAD_CALL_ID = 33,
  /*
   No room for another Call-ID.
   */
  LVS_DROP_ENGINE_FULL = 34,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_drop_reason lvs_drop_reason;
#else
typedef uint8_t lvs_drop_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 Why a packet is answered with an ICMP error or a TCP reset.
 */
enum lvs_reply_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   No real server can take the connection: port unreachable.
   */
  LVS_REPLY_NO_DESTINATION = 1,
  /*
   The time to live is over: time exceeded.
   */
  LVS_REPLY_TTL_EXCEEDED = 2,
  /*
   Too big for the path to the real server: fragmentation needed, or packet too big.
   */
  LVS_REPLY_TOO_BIG = 3,
  /*
   No route to the real server: host or address unreachable.
   */
  LVS_REPLY_NO_ROUTE = 4,
  /*
   The connection's server was drained up to its deadline, and what was left is reset: a TCP reset.
   */
  LVS_REPLY_RESET = 5,
  /*
   The same for other protocols: port unreachable.
   */
  LVS_REPLY_DRAINED = 6,
  /*
   An ICMP error about a packet in a tunnel, passed on to the client of the connection.
   */
  LVS_REPLY_TUNNEL_ERROR = 7,
  /*
   From the address and port of a real server, of no connection, and nat_icmp_send is set: port unreachable.
   */
  LVS_REPLY_NO_CONNECTION = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_reply_reason lvs_reply_reason;
#else
typedef uint8_t lvs_reply_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 Which way a forwarded packet goes.
 */
enum lvs_direction
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   From the client to the real server.
   */
  LVS_TO_SERVER = 1,
  /*
   From the real server to the client.
   */
  LVS_TO_CLIENT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_direction lvs_direction;
#else
typedef uint8_t lvs_direction;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 How a forwarded packet was rewritten.
 */
enum lvs_method
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   Network address translation.
   */
  LVS_METHOD_NAT = 1,
  /*
   Direct routing: only the TTL, if anything.
   */
  LVS_METHOD_DR = 2,
  /*
   Wrapped up in a tunnel packet.
   */
  LVS_METHOD_TUN = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lvs_method lvs_method;
#else
typedef uint8_t lvs_method;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 One load balancer: services, servers, connections, and the packet path.
 */
typedef struct lvs_director lvs_director;

/*
 What a director is built from. Begin with LVS_CONFIG_INIT.
 */
typedef struct lvs_config {
  /*
   sizeof(lvs_config): a caller with an older header is understood by it.
   */
  uint32_t size;
  /*
   Room for so many connections, reserved at once, about 153 bytes each. From 1 to 2147483648.
   */
  uint32_t connections;
  /*
   Seeds hashing and schedulers that draw: same seed, same packets, same times, same results. Towards the Internet
   take it from the random numbers of the system.
   */
  uint64_t seed;
} lvs_config;

/*
 Where a packet lies: length bytes from base + offset on, beginning with the IP header. It is rewritten there, and may
 move and grow within capacity bytes from base on; 60 bytes in front of it are enough for every tunnel and ICMP error.
 */
typedef struct lvs_packet {
  /*
   The buffer. All of it has been written to.
   */
  uint8_t *base;
  /*
   Bytes of the buffer.
   */
  uint32_t capacity;
  /*
   Where the packet begins.
   */
  uint32_t offset;
  /*
   Bytes of the packet.
   */
  uint32_t length;
  /*
   The firewall mark, 0 for none.
   */
  uint32_t mark;
  /*
   LVS_PACKET_*, or 0.
   */
  uint32_t flags;
  /*
   0.
   */
  uint32_t reserved;
} lvs_packet;

/*
 What became of a packet.
 */
typedef struct lvs_result {
  /*
   LVS_PASS, LVS_FORWARD, LVS_REPLY or LVS_DROP.
   */
  uint8_t verdict;
  /*
   LVS_PASS_*, LVS_REPLY_* or LVS_DROP_*; 0 if it is forwarded.
   */
  uint8_t reason;
  /*
   LVS_TO_SERVER or LVS_TO_CLIENT if it is forwarded, else 0.
   */
  uint8_t direction;
  /*
   LVS_METHOD_* if it is forwarded, else 0.
   */
  uint8_t method;
  /*
   Where the packet, or the answer in its place, begins now.
   */
  uint32_t offset;
  /*
   Its bytes now.
   */
  uint32_t length;
  /*
   4 or 6 if it is forwarded or replied to, else 0.
   */
  uint32_t next_hop_family;
  /*
   Where to send it: the first 4 or all 16 bytes, most significant first; the rest is 0.
   */
  uint8_t next_hop[16];
  /*
   The real server: its place among the servers, or LVS_NONE.
   */
  uint32_t server_index;
  /*
   How often that place was taken before.
   */
  uint32_t server_generation;
  /*
   The connection: its place in the table, or LVS_NONE.
   */
  uint32_t connection_index;
  /*
   How often that place was taken before.
   */
  uint32_t connection_generation;
} lvs_result;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Builds a director without services. config may be NULL, which is as LVS_CONFIG_INIT. On LVS_OK *out is a handle for
 lvs_director_free to take back. LVS_ERR_ARGUMENT if the configuration makes no sense, LVS_ERR_FULL if there is not so
 much memory. Thread-safe.
 */
lvs_status lvs_director_new(const struct lvs_config *config, struct lvs_director **out);

/*
 Frees a director, or does nothing for NULL. One thread at a time per handle.
 */
void lvs_director_free(struct lvs_director *director);

/*
 Carries out one line of ipvsadm, with or without that word in front, and writes what it prints, a listing for
 example, into out.

 needed, if not NULL, is set to the bytes that out must have, the zero byte at the end included, on LVS_OK and on
 LVS_ERR_SPACE. Lines that print change nothing, so that after LVS_ERR_SPACE the same line may be run again. For lines
 that print nothing out may be NULL. After LVS_ERR_RULE, LVS_ERR_REFUSED, LVS_ERR_EXISTS, LVS_ERR_NOT_FOUND and
 LVS_ERR_FULL nothing has changed, and lvs_director_last_error says why. One thread at a time per handle.
 */
lvs_status lvs_director_run(struct lvs_director *director,
                            const char *line,
                            size_t line_length,
                            char *out,
                            size_t capacity,
                            size_t *needed);

/*
 Carries out a text of such lines, for example what ipvsadm -S wrote. Blank lines and lines that begin with # are
 skipped.

 After LVS_ERR_RULE no line was carried out; after the other refusals that lvs_director_run names those before the
 refused one were. Then, and only then, error_line and error_column are set, each unless it is NULL: where the text
 goes wrong, from 1, columns in characters. lvs_director_last_error says why. One thread at a time per handle.
 */
lvs_status lvs_director_load(struct lvs_director *director,
                             const char *text,
                             size_t text_length,
                             uint32_t *error_line,
                             uint32_t *error_column);

/*
 Writes why lvs_director_run or lvs_director_load refused a rule the last time, or nothing if they never did. needed
 is as for lvs_director_run. One thread at a time per handle.
 */
lvs_status lvs_director_last_error(const struct lvs_director *director, char *out, size_t capacity, size_t *needed);

/*
 Lets time pass: ends connections whose deadline has come, renews counters and rates.

 budget bounds the work: about so many connections and servers are looked at. *more tells whether the rest is for
 another call; it may be NULL. Call it when lvs_director_next_deadline has come, or every few milliseconds. One thread
 at a time per handle.
 */
lvs_status lvs_director_advance(struct lvs_director *director, uint64_t now_ns, size_t budget, bool *more);

/*
 Writes when lvs_director_advance has something to do next, UINT64_MAX for never. It may be early, never late; ask
 again after each call that takes packets, time or lines. One thread at a time per handle.
 */
lvs_status lvs_director_next_deadline(const struct lvs_director *director, uint64_t *out_ns);

/*
 Processes packets in order. Each gets its result at the same place of the other array.

 A bad packet is no error, it gets its verdict. With LVS_PASS and LVS_DROP its bytes are as they were. Only if a record
 is not as this header says is the call refused, and then no packet was looked at and no result written:
 LVS_ERR_ARGUMENT for a packet beyond its buffer, an unknown flag or a reserved field that is not 0, LVS_ERR_NULL for
 a buffer. Buffers of packets of one call must not overlap. Bursts of 64 are several times faster than single packets
 once there are many connections. One thread at a time per handle.
 */
lvs_status lvs_director_process(struct lvs_director *director,
                                uint64_t now_ns,
                                const struct lvs_packet *packets,
                                struct lvs_result *results,
                                size_t count);

/*
 The name of a verdict, such as "forward"; "unknown" for other numbers. Thread-safe.
 */
const char *lvs_verdict_name(uint32_t verdict);

/*
 The name of one of LVS_PASS_*, such as "no-service"; "unknown" for other numbers. Thread-safe.
 */
const char *lvs_pass_reason_name(uint32_t reason);

/*
 The name of one of LVS_DROP_*, such as "not-ip"; "unknown" for other numbers. Thread-safe.
 */
const char *lvs_drop_reason_name(uint32_t reason);

/*
 The name of one of LVS_REPLY_*, such as "no-route"; "unknown" for other numbers. Thread-safe.
 */
const char *lvs_reply_reason_name(uint32_t reason);

/*
 The name of a status, such as "not-found"; "unknown" for other numbers. Thread-safe.
 */
const char *lvs_status_name(int32_t status);

/*
 The version of the library that runs, to compare with LVS_VERSION of the header. Thread-safe.
 */
uint32_t lvs_version(void);

/*
 The same as a text, such as "0.1.0". Thread-safe.
 */
const char *lvs_version_text(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LVS_H */
