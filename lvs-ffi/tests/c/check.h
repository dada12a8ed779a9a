/* What the tests in C share: a check that ends the program, a packet, a director with rules. */

#ifndef CHECK_H
#define CHECK_H

#include <lvs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : failed(__FILE__, __LINE__, #condition))

static inline void failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, condition);
    exit(1);
}

enum { HEADROOM = 128, SYN_LENGTH = 40, CLIENT = 20, SERVER = 22, CAPACITY = HEADROOM + SYN_LENGTH };

static const char RULES[] = "# web\n"
                            "-A -t 192.0.2.10:80 -s rr\n"
                            "-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m\n";

static const uint8_t SYN[SYN_LENGTH] = {
    0x45, 0, 0, 40, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 198, 51, 100, 9, 192, 0, 2, 10,   /* checksum at 10 */
    0x9c, 0x40, 0, 80, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0, 0, 0, 0, 0,      /* checksum at 36 */
};

static inline uint32_t sum(uint32_t sum, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i + 1 < length; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    return sum;
}

static inline uint16_t folded(uint32_t sum)
{
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline uint16_t ip_sum(const uint8_t *packet) { return folded(sum(0, packet, 20)); }

static inline uint16_t tcp_sum(const uint8_t *packet)
{
    return folded(sum(sum(6 + 20, packet + 12, 8), packet + 20, 20));
}

static inline void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline lvs_packet syn_from(uint8_t *buffer, uint16_t port)
{
    uint8_t *packet = buffer + HEADROOM;
    memset(buffer, 0, HEADROOM);
    memcpy(packet, SYN, SYN_LENGTH);
    put16(packet + CLIENT, port);
    put16(packet + 10, (uint16_t)~ip_sum(packet));
    put16(packet + 36, (uint16_t)~tcp_sum(packet));
    return (lvs_packet){ .base = buffer, .capacity = CAPACITY, .offset = HEADROOM, .length = SYN_LENGTH };
}

static inline lvs_director *director_with_rules(void)
{
    lvs_config config = LVS_CONFIG_INIT;
    lvs_director *director = NULL;
    config.connections = 1000;
    config.seed = 7;
    CHECK(lvs_director_new(&config, &director) == LVS_OK);
    CHECK(lvs_director_load(director, RULES, strlen(RULES), NULL, NULL) == LVS_OK);
    return director;
}

static inline lvs_status run(lvs_director *director, const char *line)
{
    return lvs_director_run(director, line, strlen(line), NULL, 0, NULL);
}

#endif
