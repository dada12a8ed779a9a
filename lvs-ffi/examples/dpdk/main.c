/* A load balancer on DPDK: every lcore takes bursts from a queue of its own, has them answered by one director that all
 * share, and sends them, in place and to completion.
 *
 *     lvs-dpdk EAL-OPTIONS -- --rules FILE [--tunnel-source ADDRESS]... [--seed N] [--idle-ms N]
 *
 * One port, as many queues as lcores. SIGHUP brings the rules to what the file says by then, and touches nothing else.
 * The README has command lines. */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lvs.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_random.h>

enum { BURST = 64, DESCRIPTORS = 1024, MBUFS = 8191, CACHE = 256, BUDGET = 64, PORT = 0 };
enum { ETHERNET = RTE_ETHER_HDR_LEN, NS_PER_MS = 1000000 };

/* What the command line says. */
static struct {
	const char *rules;
	uint64_t seed, idle_ns;
	lvs_path path;
} options = { .idle_ns = UINT64_MAX, .path = LVS_PATH_INIT };

static lvs_shared *director;
static atomic_bool stopping, reloading;

/* An lcore at work. */
struct worker {
	uint16_t queue;
	_Atomic uint64_t seen; /* read by the main lcore */
	uint64_t forwarded, answered, passed, dropped, not_ip, unsent;
} __rte_cache_aligned;

static struct worker workers[RTE_MAX_LCORE];

static void check(lvs_status status, const char *what)
{
	char why[300] = "";
	if (status == LVS_OK)
		return;
	if (director != NULL)
		lvs_shared_last_error(director, why, sizeof why, NULL);
	rte_exit(EXIT_FAILURE, "%s: %s\n", what, why[0] != '\0' ? why : lvs_status_name(status));
}

static uint64_t now_ns(void)
{
	uint64_t cycles = rte_get_timer_cycles(), hz = rte_get_timer_hz();
	return cycles / hz * NS_PER_S + cycles % hz * NS_PER_S / hz;
}

/* Packets. */

/* Where the neighbour of an address is. A real dataplane asks its ARP and neighbour tables; here an address is made of the
 * IP address, 02:00 and the four bytes of IPv4, 06:00 and the last four of IPv6. */
static struct rte_ether_addr neighbour(const lvs_result *result)
{
	bool is_v4 = result->next_hop_family == 4;
	struct rte_ether_addr address = { { is_v4 ? 2 : 6, 0 } };
	memcpy(address.addr_bytes + 2, result->next_hop + (is_v4 ? 0 : 12), 4);
	return address;
}

/* Describes an mbuf to the director: it works in the mbuf itself, its headroom included. False for what is no IP packet
 * in one piece. */
static bool describe(const struct rte_mbuf *mbuf, lvs_packet *packet)
{
	const struct rte_ether_hdr *ethernet = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);

	if (mbuf->nb_segs != 1 || mbuf->data_len < ETHERNET
	    || (ethernet->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4) && ethernet->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV6)))
		return false;
	*packet = (lvs_packet){
		.base = mbuf->buf_addr,
		.capacity = mbuf->buf_len,
		.offset = (uint32_t)mbuf->data_off + ETHERNET,
		.length = (uint32_t)mbuf->data_len - ETHERNET,
		.flags = (mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD
		       ? LVS_PACKET_CHECKSUM_VERIFIED : 0,
	};
	return true;
}

/* The mbuf around what the director left there, with a new Ethernet header. */
static void wrap(struct rte_mbuf *mbuf, const struct rte_ether_hdr *old, const lvs_result *result)
{
	struct rte_ether_hdr *ethernet;

	mbuf->data_off = (uint16_t)(result->offset - ETHERNET);
	mbuf->data_len = (uint16_t)(result->length + ETHERNET);
	mbuf->pkt_len = mbuf->data_len;
	mbuf->ol_flags = 0;
	ethernet = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	ethernet->src_addr = old->dst_addr;
	ethernet->dst_addr = result->verdict == LVS_REPLY ? old->src_addr : neighbour(result);
	ethernet->ether_type = *rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, ETHERNET) >> 4 == 4
			     ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6);
}

/* A burst, from the queue it came by to the queue it leaves by. */
static void balance(struct worker *worker, struct rte_mbuf **mbufs, uint16_t received)
{
	lvs_packet packets[BURST];
	lvs_result results[BURST];
	struct rte_ether_hdr old[BURST];
	struct rte_mbuf *given[BURST], *leaving[BURST];
	uint16_t count = 0, left = 0, sent;

	for (uint16_t i = 0; i < received; i++) {
		if (!describe(mbufs[i], &packets[count])) {
			worker->not_ip++;
			rte_pktmbuf_free(mbufs[i]);
			continue;
		}
		old[count] = *rte_pktmbuf_mtod(mbufs[i], const struct rte_ether_hdr *);
		given[count++] = mbufs[i];
	}
	check(lvs_shared_process(director, worker->queue, now_ns(), packets, results, count), "a burst");
	for (uint16_t i = 0; i < count; i++) {
		switch (results[i].verdict) {
		case LVS_FORWARD:
		case LVS_REPLY:
			wrap(given[i], &old[i], &results[i]);
			leaving[left++] = given[i];
			*(results[i].verdict == LVS_FORWARD ? &worker->forwarded : &worker->answered) += 1;
			break;
		default: /* LVS_PASS is for the host, if there is one: a TAP or a KNI port would have it from here */
			*(results[i].verdict == LVS_PASS ? &worker->passed : &worker->dropped) += 1;
			rte_pktmbuf_free(given[i]);
		}
	}
	sent = rte_eth_tx_burst(PORT, worker->queue, leaving, left);
	worker->unsent += left - sent;
	for (; sent < left; sent++)
		rte_pktmbuf_free(leaving[sent]);
}

/* Lcores. */

static int work(void *user)
{
	struct worker *worker = user;
	struct rte_mbuf *mbufs[BURST];

	while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
		uint16_t received = rte_eth_rx_burst(PORT, worker->queue, mbufs, BURST);
		if (received == 0) {
			rte_pause();
			continue;
		}
		atomic_fetch_add_explicit(&worker->seen, received, memory_order_relaxed);
		balance(worker, mbufs, received);
	}
	return 0;
}

static size_t read_rules(char *rules, size_t capacity)
{
	FILE *file = fopen(options.rules, "rb");
	size_t length;
	if (file == NULL)
		return SIZE_MAX;
	length = fread(rules, 1, capacity, file);
	fclose(file);
	return length;
}

static void reload(void)
{
	static char rules[1 << 20];
	size_t length = read_rules(rules, sizeof rules);
	uint32_t line = 0;
	char why[300];

	if (length == SIZE_MAX) {
		fprintf(stderr, "%s: %s: the rules stay\n", options.rules, strerror(errno));
	} else if (lvs_shared_apply(director, rules, length, NULL, NULL, NULL, &line, NULL) != LVS_OK) {
		lvs_shared_last_error(director, why, sizeof why, NULL);
		fprintf(stderr, "%s: %s: the rules stay\n", options.rules, why);
	}
}

/* The main lcore: packets of its own queue, and beside them time and rules. */
static void work_and_look_after(struct worker *worker, struct worker *all, unsigned lcores)
{
	struct rte_mbuf *mbufs[BURST];
	uint64_t busy_ns = now_ns(), seen = 0;

	while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
		uint16_t received = rte_eth_rx_burst(PORT, worker->queue, mbufs, BURST);
		uint64_t at_ns = now_ns(), total = 0;

		atomic_fetch_add_explicit(&worker->seen, received, memory_order_relaxed);
		if (received != 0)
			balance(worker, mbufs, received);
		check(lvs_shared_advance(director, at_ns, BUDGET, NULL), "time");
		if (atomic_exchange_explicit(&reloading, false, memory_order_relaxed))
			reload();
		for (unsigned i = 0; i < lcores; i++)
			total += atomic_load_explicit(&all[i].seen, memory_order_relaxed);
		if (total != seen)
			busy_ns = at_ns;
		seen = total;
		if (at_ns - busy_ns > options.idle_ns)
			atomic_store(&stopping, true);
	}
}

/* Setting up. */

static void start_port(uint16_t queues)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create("mbufs", MBUFS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;

	if (pool == NULL || rte_eth_dev_info_get(PORT, &info) != 0)
		rte_exit(EXIT_FAILURE, "no memory, or no port: %s\n", rte_strerror(rte_errno));
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	if (queues > 1 && info.flow_type_rss_offloads != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	if (rte_eth_dev_configure(PORT, queues, queues, &conf) != 0)
		rte_exit(EXIT_FAILURE, "the port does not take %u queues\n", queues);
	for (uint16_t queue = 0; queue < queues; queue++)
		if (rte_eth_rx_queue_setup(PORT, queue, DESCRIPTORS, SOCKET_ID_ANY, NULL, pool) != 0
		    || rte_eth_tx_queue_setup(PORT, queue, DESCRIPTORS, SOCKET_ID_ANY, NULL) != 0)
			rte_exit(EXIT_FAILURE, "queue %u cannot be set up\n", queue);
	if (rte_eth_dev_start(PORT) != 0)
		rte_exit(EXIT_FAILURE, "the port does not start\n");
	rte_eth_promiscuous_enable(PORT);
}

static void start_director(unsigned lcores)
{
	static char rules[1 << 20];
	lvs_config config = LVS_CONFIG_INIT;
	size_t length = read_rules(rules, sizeof rules);

	if (length == SIZE_MAX)
		rte_exit(EXIT_FAILURE, "%s: %s\n", options.rules, strerror(errno));
	config.seed = options.seed;
	config.path = options.path;
	check(lvs_shared_new(&config, lcores, &director), "a director");
	check(lvs_shared_load(director, rules, length, NULL, NULL), options.rules);
}

static void read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "rules", required_argument, NULL, 'r' }, { "tunnel-source", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 's' },  { "idle-ms", required_argument, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	lvs_address source;
	int name;

	options.seed = rte_rand();
	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (name) {
		case 'r': options.rules = optarg; break;
		case 's': options.seed = strtoull(optarg, NULL, 0); break;
		case 'i': options.idle_ns = strtoull(optarg, NULL, 0) * NS_PER_MS; break;
		case 't':
			check(lvs_address_parse(optarg, strlen(optarg), &source), optarg);
			if (source.family == 4)
				memcpy(options.path.tunnel_source_v4, source.bytes, 4);
			else
				memcpy(options.path.tunnel_source_v6, source.bytes, 16);
			break;
		default: rte_exit(EXIT_FAILURE, "see the head of main.c\n");
		}
	}
	if (options.rules == NULL)
		rte_exit(EXIT_FAILURE, "--rules is missing\n");
}

static void on_signal(int number)
{
	atomic_store(number == SIGHUP ? &reloading : &stopping, true);
}

static void report(unsigned lcores)
{
	char listing[1 << 16];

	for (unsigned i = 0; i < lcores; i++)
		printf("queue %u: %" PRIu64 " packets, %" PRIu64 " forwarded, %" PRIu64 " answered, %" PRIu64 " passed, %" PRIu64
		       " dropped, %" PRIu64 " not IP, %" PRIu64 " not sent\n",
		       i, workers[i].seen, workers[i].forwarded, workers[i].answered, workers[i].passed, workers[i].dropped,
		       workers[i].not_ip, workers[i].unsent);
	if (lvs_shared_run(director, "-L -n", 5, listing, sizeof listing, NULL) == LVS_OK)
		fputs(listing, stdout);
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	unsigned lcore, lcores = 1;

	if (used < 0)
		rte_exit(EXIT_FAILURE, "EAL: %s\n", rte_strerror(rte_errno));
	read_options(argc - used, argv + used);
	start_director(rte_lcore_count());
	start_port((uint16_t)rte_lcore_count());
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);

	RTE_LCORE_FOREACH_WORKER(lcore) {
		workers[lcores].queue = (uint16_t)lcores;
		rte_eal_remote_launch(work, &workers[lcores], lcore);
		lcores++;
	}
	work_and_look_after(&workers[0], workers, lcores);
	rte_eal_mp_wait_lcore();

	rte_eth_dev_stop(PORT);
	rte_eth_dev_close(PORT);
	report(lcores);
	lvs_shared_free(director);
	rte_eal_cleanup();
	return 0;
}
