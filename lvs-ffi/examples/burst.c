/* Bursts of packets, as a dataplane has them: room in front of each, one result for each.
 *
 * A thousand clients send a query each to a DNS service of two servers. The packets are made here; a dataplane has them
 * from its network card. Build it as hello.c. */

#include <lvs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BURST = 64, CLIENTS = 1000, HEADROOM = 64, QUERY = 20 + 8 + 4, BUFFER = HEADROOM + QUERY + 16 };

static const char RULES[] = "-A -u 192.0.2.10:53 -s wrr\n"
                            "-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m -w 3\n"
                            "-a -u 192.0.2.10:53 -r 10.0.0.2:53 -m -w 1\n";

static void check(lvs_status status, const char *what)
{
    if (status != LVS_OK) {
        fprintf(stderr, "%s: %s\n", what, lvs_status_name(status));
        exit(1);
    }
}

/* A query of a client: an IPv4 header whose checksum the network card has verified, a UDP header without a checksum. */
static lvs_packet query_of(unsigned client, uint8_t buffer[BUFFER])
{
    static const uint8_t QUERY_OF_NOBODY[QUERY] = {
        0x45, 0, 0, QUERY, 0, 0, 0x40, 0, 64, 17, 0, 0, 198, 51, 100, 0, 192, 0, 2, 10, /* IPv4 */
        0, 0, 0, 53, 0, QUERY - 20, 0, 0, 'd', 'n', 's', '?',                          /* UDP */
    };
    uint8_t *packet = buffer + HEADROOM;

    memset(buffer, 0, BUFFER);
    memcpy(packet, QUERY_OF_NOBODY, QUERY);
    packet[15] = (uint8_t)(client % 250);
    packet[20] = (uint8_t)(4 + client / 250);
    return (lvs_packet){ .base = buffer, .capacity = BUFFER, .offset = HEADROOM, .length = QUERY,
                         .flags = LVS_PACKET_CHECKSUM_VERIFIED };
}

/* What a dataplane does with a packet that has its result. */
static void send_on(const lvs_packet *packet, const lvs_result *result, unsigned long sent[2])
{
    switch (result->verdict) {
    case LVS_FORWARD:
    case LVS_REPLY: /* to result->next_hop: result->length bytes from packet->base + result->offset on */
        if (packet->base[result->offset] >> 4 == 4 && result->next_hop[3] <= 2)
            sent[result->next_hop[3] - 1]++;
        break;
    case LVS_PASS: /* to the host itself, unchanged */
    case LVS_DROP:
        break;
    }
}

int main(void)
{
    static uint8_t buffers[BURST][BUFFER];
    lvs_packet packets[BURST];
    lvs_result results[BURST];
    lvs_config config = LVS_CONFIG_INIT;
    lvs_director *director;
    unsigned long sent[2] = { 0, 0 };
    uint64_t now_ns = 0;
    bool more = true;
    char listing[1000];

    config.connections = 10000;
    config.seed = 7;
    check(lvs_director_new(&config, &director), "a director");
    check(lvs_director_load(director, RULES, strlen(RULES), NULL, NULL), "rules");

    for (unsigned client = 0; client < CLIENTS;) {
        size_t count = 0;
        while (count < BURST && client < CLIENTS) {
            packets[count] = query_of(client++, buffers[count]);
            count++;
        }
        now_ns += 50000;
        check(lvs_director_process(director, now_ns, packets, results, count), "a burst");
        for (size_t i = 0; i < count; i++)
            send_on(&packets[i], &results[i], sent);
        check(lvs_director_advance(director, now_ns, 1000, NULL), "time");
    }

    /* Statistics are renewed every two seconds. */
    while (more)
        check(lvs_director_advance(director, now_ns + UINT64_C(4000000000), 1000, &more), "time");
    check(lvs_director_run(director, "-L -n --stats --exact", 21, listing, sizeof listing, NULL), "a listing");
    printf("%lu queries to 10.0.0.1, %lu to 10.0.0.2\n%s", sent[0], sent[1], listing);
    lvs_director_free(director);
    return 0;
}
