/* Balances a packet capture: pcap_balance RULES IN.pcap OUT.pcap
 *
 * Every IP packet of an Ethernet capture goes to the director, at its time. What leaves the director is written: packets
 * for real servers and clients, and ICMP errors. To build it:
 *
 *     cc pcap_balance.c $(pkg-config --cflags --libs lvs libpcap) -o pcap_balance */

#include <lvs.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ETHERNET = 14, HEADROOM = 128, LONGEST = 65536 + ETHERNET, BUFFER = HEADROOM + LONGEST };

/* Ends the program with what went wrong. */
static void fail(const char *what, const char *why)
{
    fprintf(stderr, "pcap_balance: %s: %s\n", what, why);
    exit(1);
}

static void check(const lvs_director *director, lvs_status status, const char *what)
{
    char why[300] = "";
    if (status == LVS_OK)
        return;
    if (director != NULL)
        lvs_director_last_error(director, why, sizeof why, NULL);
    fail(what, why[0] != '\0' ? why : lvs_status_name(status));
}

static lvs_director *director_with_rules(const char *path)
{
    static const uint8_t source_v4[] = { 10, 0, 0, 1 }, source_v6[16] = { 0xfd, [15] = 1 };
    static char rules[1 << 20];
    lvs_config config = LVS_CONFIG_INIT;
    lvs_director *director = NULL;
    FILE *file = fopen(path, "rb");
    size_t length;

    if (file == NULL)
        fail(path, "cannot be read");
    length = fread(rules, 1, sizeof rules, file);
    fclose(file);
    config.seed = 7;
    memcpy(config.path.tunnel_source_v4, source_v4, sizeof source_v4);
    memcpy(config.path.tunnel_source_v6, source_v6, sizeof source_v6);
    check(NULL, lvs_director_new(&config, &director), "a director");
    check(director, lvs_director_load(director, rules, length, NULL, NULL), path);
    return director;
}

/* The Ethernet header in front of what leaves. Neighbours have addresses made of their IP addresses here, 02:00 and the
 * four bytes of IPv4, 06:00 and the last four of IPv6; errors go back where the packet came from. */
static void put_ethernet(uint8_t *frame, const uint8_t *from, const lvs_result *result)
{
    bool is_v4 = frame[ETHERNET] >> 4 == 4, to_v4 = result->next_hop_family == 4;

    memcpy(frame + 6, from, 6);
    if (result->verdict == LVS_REPLY) {
        memcpy(frame, from + 6, 6);
    } else {
        frame[0] = to_v4 ? 2 : 6;
        frame[1] = 0;
        memcpy(frame + 2, result->next_hop + (to_v4 ? 0 : 12), 4);
    }
    memcpy(frame + 12, is_v4 ? "\x08\x00" : "\x86\xdd", 2);
}

int main(int argc, char **argv)
{
    static uint8_t buffer[BUFFER];
    char error[PCAP_ERRBUF_SIZE];
    unsigned long seen = 0, sent = 0;
    uint64_t first_ns = 0;
    struct pcap_pkthdr *header;
    const uint8_t *data;
    lvs_director *director;
    pcap_dumper_t *out;
    pcap_t *in;
    int got;

    if (argc != 4)
        fail("usage", "pcap_balance RULES IN.pcap OUT.pcap");
    director = director_with_rules(argv[1]);
    in = pcap_open_offline_with_tstamp_precision(argv[2], PCAP_TSTAMP_PRECISION_NANO, error);
    if (in == NULL)
        fail(argv[2], error);
    if (pcap_datalink(in) != DLT_EN10MB)
        fail(argv[2], "is no capture of Ethernet");
    out = pcap_dump_open(in, argv[3]);
    if (out == NULL)
        fail(argv[3], pcap_geterr(in));

    while ((got = pcap_next_ex(in, &header, &data)) == 1) {
        uint64_t at_ns = (uint64_t)header->ts.tv_sec * 1000000000u + (uint64_t)header->ts.tv_usec;
        struct pcap_pkthdr left = *header;
        lvs_packet packet = { .base = buffer, .capacity = BUFFER, .offset = HEADROOM };
        lvs_result result;
        bool more = true;

        first_ns = seen++ == 0 ? at_ns : first_ns;
        if (header->caplen < ETHERNET || header->caplen > LONGEST
            || (memcmp(data + 12, "\x08\x00", 2) != 0 && memcmp(data + 12, "\x86\xdd", 2) != 0))
            continue;
        packet.length = header->caplen - ETHERNET;
        memcpy(buffer + HEADROOM, data + ETHERNET, packet.length);
        while (more)
            check(director, lvs_director_advance(director, at_ns - first_ns, 1000, &more), "time");
        check(director, lvs_director_process(director, at_ns - first_ns, &packet, &result, 1), "a packet");
        if (result.verdict != LVS_FORWARD && result.verdict != LVS_REPLY)
            continue;
        put_ethernet(buffer + result.offset - ETHERNET, data, &result);
        left.caplen = left.len = result.length + ETHERNET;
        pcap_dump((uint8_t *)out, &left, buffer + result.offset - ETHERNET);
        sent++;
    }
    if (got != PCAP_ERROR_BREAK)
        fail(argv[2], pcap_geterr(in));
    if (pcap_dump_flush(out) != 0)
        fail(argv[3], "cannot be written");
    printf("%lu packets, of which %lu left the director\n", seen, sent);
    pcap_dump_close(out);
    pcap_close(in);
    lvs_director_free(director);
    return 0;
}
