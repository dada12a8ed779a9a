/* Sends TCP segments of many flows through one interface, as fast as the kernel takes them, and times it.
 *
 * usage: flood INTERFACE GATEWAY-MAC FLOWS ROUNDS
 * Each packet is of another of FLOWS clients in 10.0.0.0/8, to 192.0.2.10:80, 64 bytes behind the Ethernet header, with
 * ACK: that opens a flow too, in the kernel's connection tracking. After one of each flow it prints the nanoseconds of a
 * packet, a line for each round of 8192. Over a veth pair a packet has gone all its way when the kernel has taken it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BURST 64
#define ROUND 8192

struct frame {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t payload[24];
} __attribute__((packed));

_Static_assert(sizeof(struct frame) == 14 + 64, "64 bytes behind the Ethernet header");

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t sum(const void *data, size_t length, uint32_t sum)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static uint16_t checksum(const void *data, size_t length, uint32_t start)
{
	uint32_t folded = sum(data, length, start);

	while (folded >> 16)
		folded = (folded & 0xffff) + (folded >> 16);
	return htons(~folded);
}

static void address(struct frame *frame, uint32_t n)
{
	frame->ip.saddr = htonl(0x0a000100 + (n >> 12));
	frame->ip.check = 0;
	frame->ip.check = checksum(&frame->ip, sizeof(frame->ip), 0);
	frame->tcp.source = htons(0x8000 | (n & 0xfff));
	frame->tcp.check = 0;
	frame->tcp.check = checksum(&frame->tcp, 44, sum(&frame->ip.saddr, 8, 6 + 44));
}

static void send_all(int fd, struct frame *frames, uint32_t flows, uint32_t packets)
{
	struct mmsghdr messages[BURST] = { 0 };
	struct iovec vectors[BURST];
	static uint32_t n;

	for (int i = 0; i < BURST; i++) {
		vectors[i] = (struct iovec){ &frames[i], sizeof(frames[i]) };
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (uint32_t sent = 0; sent < packets; sent += BURST) {
		for (int i = 0; i < BURST; i++) {
			/* A step that is prime to the number of flows: neighbours in time are none in memory. */
			n = (n + 7919) % flows;
			address(&frames[i], n);
		}
		for (int done = 0; done < BURST;) {
			int count = sendmmsg(fd, messages + done, BURST - done, 0);

			if (count < 0)
				fail("sendmmsg");
			done += count;
		}
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	static struct frame frames[BURST];
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = ETH_ALEN };
	uint32_t flows, rounds;
	uint8_t gateway[ETH_ALEN];
	int fd, one = 1;
	double start;

	if (argc != 5 || sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &gateway[0], &gateway[1], &gateway[2],
				&gateway[3], &gateway[4], &gateway[5]) != ETH_ALEN) {
		fprintf(stderr, "usage: flood INTERFACE GATEWAY-MAC FLOWS ROUNDS\n");
		return 1;
	}
	flows = strtoul(argv[3], NULL, 0);
	rounds = strtoul(argv[4], NULL, 0);
	to.sll_ifindex = if_nametoindex(argv[1]);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail(argv[1]);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	for (int i = 0; i < BURST; i++) {
		struct frame *frame = &frames[i];

		memcpy(frame->ethernet.h_dest, gateway, ETH_ALEN);
		frame->ethernet.h_source[0] = 2;
		frame->ethernet.h_proto = htons(ETH_P_IP);
		frame->ip = (struct iphdr){ .version = 4, .ihl = 5, .tot_len = htons(64), .ttl = 64, .protocol = 6,
					    .frag_off = htons(0x4000), .daddr = htonl(0xc000020a) };
		frame->tcp = (struct tcphdr){ .dest = htons(80), .doff = 5, .ack = 1, .window = 0xffff, .seq = htonl(1000) };
	}
	send_all(fd, frames, flows, flows);
	for (uint32_t i = 0; i < rounds; i++) {
		start = seconds();
		send_all(fd, frames, flows, ROUND);
		printf("%.3f\n", (seconds() - start) * 1e9 / ROUND);
	}
	return 0;
}
