/* DPDK's rte_hash: bulk lookup of 16-byte keys in bursts of 64, then reading the 64-byte value of each.
 *
 * usage: lookup KEYS ROUNDS ROUND
 * Prints the nanoseconds of one lookup, a line for each round. Every key is found and every value is checked, or it
 * ends with an error.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_prefetch.h>

#define BURST RTE_HASH_LOOKUP_BULK_MAX

struct key {
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint32_t protocol;
};

struct value {
	uint64_t word[8];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct key) == 16, "a key of 16 bytes");
_Static_assert(sizeof(struct value) == 64, "a value of one cache line");
_Static_assert(BURST == 64, "bursts of 64");

/* The n-th client of one service. */
static struct key key_of(uint32_t n)
{
	return (struct key){
		.source = 0x0a000000 | n >> 12,
		.destination = 0xc000020a,
		.source_port = 0x8000 | (n & 0xfff),
		.destination_port = 80,
		.protocol = 6,
	};
}

static uint32_t draw(uint64_t *state, uint32_t limit)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 32) * limit >> 32;
}

/* The time that this thread was running, as on the other side of the comparison. */
static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

/* Looks up the keys of one round and reads the values; returns the sum of what they say. */
static uint64_t round_of(const struct rte_hash *hash, const struct value *values, const struct key *keys, uint32_t count)
{
	uint64_t sum = 0;

	for (uint32_t at = 0; at < count; at += BURST) {
		const void *burst[BURST];
		int32_t positions[BURST];

		for (int i = 0; i < BURST; i++)
			burst[i] = &keys[at + i];
		rte_hash_lookup_bulk(hash, burst, BURST, positions);
		for (int i = 0; i < BURST; i++) {
			if (positions[i] < 0)
				fail("a key was not found");
			rte_prefetch0(&values[positions[i]]);
		}
		for (int i = 0; i < BURST; i++)
			sum += values[positions[i]].word[0];
	}
	return sum;
}

int main(int argc, char **argv)
{
	char *eal[] = { argv[0], "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf", "--log-level=error",
			"-m", "512", NULL };
	uint32_t flows, rounds, count;
	uint64_t state = 1;

	if (argc != 4)
		fail("usage: lookup KEYS ROUNDS ROUND");
	flows = strtoul(argv[1], NULL, 0);
	rounds = strtoul(argv[2], NULL, 0);
	count = strtoul(argv[3], NULL, 0) / BURST * BURST;
	if (rte_eal_init(8, eal) < 0)
		fail("rte_eal_init");

	/* Twice the room, so that no key is refused and buckets are half full. */
	struct rte_hash_parameters parameters = {
		.name = "flows",
		.entries = flows * 2,
		.key_len = sizeof(struct key),
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
	};
	struct rte_hash *hash = rte_hash_create(&parameters);
	struct value *values = aligned_alloc(64, (size_t)flows * 2 * sizeof(*values));
	struct key *keys = malloc((size_t)count * sizeof(*keys));

	if (!hash || !values || !keys)
		fail("no memory");
	for (uint32_t n = 0; n < flows; n++) {
		struct key key = key_of(n);
		int32_t position = rte_hash_add_key(hash, &key);

		if (position < 0)
			fail("a key was refused");
		values[position] = (struct value){ { n } };
	}
	for (uint32_t i = 0; i <= rounds; i++) {
		uint64_t wanted = 0, sum;
		double start, end;

		for (uint32_t k = 0; k < count; k++) {
			uint32_t n = draw(&state, flows);

			keys[k] = key_of(n);
			wanted += n;
		}
		start = seconds();
		sum = round_of(hash, values, keys, count);
		end = seconds();
		if (sum != wanted)
			fail("wrong values");
		/* The first round warms up. */
		if (i > 0)
			printf("%.3f\n", (end - start) * 1e9 / count);
	}
	return 0;
}
