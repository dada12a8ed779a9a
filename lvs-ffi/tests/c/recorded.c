/* Plays what a real kernel did: recorded SCRIPT...
 *
 * A script is lines of words, made of a recording by the test: what to tell the director, packets in, and what came out
 * of the kernel, which has to come out here. */

#include "check.h"

enum { LONGEST = 70000, ROOM = 1600, WORDS = 16 };

static char line[1 << 20];
static uint8_t packet_bytes[HEADROOM + LONGEST + ROOM], expected[LONGEST];
static char text[1 << 18];

/* Where it is, for whoever reads why it ended. */
static const char *script_name;
static unsigned line_number;

static void say_where(void)
{
    if (script_name != NULL)
        fprintf(stderr, "%s, line %u\n", script_name, line_number);
}

static lvs_address address(const char *word)
{
    lvs_address out = LVS_ADDRESS_NONE;
    CHECK(strcmp(word, "-") == 0 || lvs_address_parse(word, strlen(word), &out) == LVS_OK);
    return out;
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t length = strlen(hex) / 2;
    CHECK(length <= LONGEST);
    for (size_t i = 0; i < length; i++) {
        unsigned byte;
        CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
        out[i] = (uint8_t)byte;
    }
    return length;
}

static void advance(lvs_director *director, uint64_t now)
{
    bool more = true;
    while (more)
        CHECK(lvs_director_advance(director, now, 100, &more) == LVS_OK);
}

/* What a kernel draws at random in headers of its own: the identification without "don't fragment", the flow label. */
static void take_over_what_is_drawn(uint8_t *ours, size_t length)
{
    if (length >= 20 && ours[0] >> 4 == 4 && expected[0] >> 4 == 4 && (expected[6] & 0x40) == 0) {
        memcpy(ours + 4, expected + 4, 2);
        memcpy(ours + 10, expected + 10, 2);
        CHECK(ip_sum(ours) == 0xffff);
    } else if (length >= 40 && ours[0] >> 4 == 6 && expected[0] >> 4 == 6) {
        ours[1] = (uint8_t)((ours[1] & 0xf0) | (expected[1] & 0x0f));
        memcpy(ours + 2, expected + 2, 2);
    }
}

/* packet TIME MARK FORWARD HEX [EXPECTED]: one frame came out, or none. */
static void play_packet(lvs_director *director, char **words, size_t count)
{
    size_t length = from_hex(words[4], packet_bytes + HEADROOM), wanted = count > 5 ? from_hex(words[5], expected) : 0;
    lvs_packet packet = { .base = packet_bytes, .capacity = sizeof packet_bytes, .offset = HEADROOM,
                          .length = (uint32_t)length, .mark = (uint32_t)strtoul(words[2], NULL, 10) };
    lvs_result result;

    packet.flags = strcmp(words[3], "1") == 0 ? LVS_PACKET_HOOK_FORWARD : 0;
    CHECK(lvs_director_process(director, strtoull(words[1], NULL, 10), &packet, &result, 1) == LVS_OK);
    if (result.verdict == LVS_PASS)
        return; /* the host's business */
    CHECK((result.verdict == LVS_DROP) == (count <= 5));
    if (result.length == wanted && (result.verdict == LVS_REPLY || result.method == LVS_METHOD_TUN))
        take_over_what_is_drawn(packet_bytes + result.offset, wanted);
    if (result.verdict == LVS_FORWARD && packet.flags != 0 && packet_bytes[result.offset] >> 4 == 6)
        packet_bytes[result.offset + 7]--; /* the host takes its hop of IPv6 packets on their way out */
    if (count > 5 && (result.length != wanted || memcmp(packet_bytes + result.offset, expected, wanted) != 0)) {
        fprintf(stderr, "expected %s\ngot      ", words[5]);
        for (size_t i = 0; i < result.length; i++)
            fprintf(stderr, "%02x", packet_bytes[result.offset + i]);
        fprintf(stderr, "\n");
        exit(1);
    }
}

/* A listing: EXPECTED in hexadecimal digits. */
static void same_text(const char *hex)
{
    size_t length = from_hex(hex, expected);
    if (strlen(text) != length || memcmp(text, expected, length) != 0) {
        fprintf(stderr, "expected:\n%.*s\ngot:\n%s\n", (int)length, (const char *)expected, text);
        exit(1);
    }
}

static bool play(lvs_director *director, char **words, size_t count, char *rest)
{
    lvs_address addresses[WORDS];
    lvs_path path = LVS_PATH_INIT;

    for (size_t i = 1; i < count && (words[0][0] == 'l' || words[0][0] == 'b' || words[0][0] == 'c'); i++)
        addresses[i] = address(words[i]);
    if (strcmp(words[0], "local") == 0) {
        CHECK(lvs_director_set_local_addresses(director, addresses + 1, count - 1) == LVS_OK);
    } else if (strcmp(words[0], "broadcast") == 0) {
        CHECK(lvs_director_set_broadcast_addresses(director, addresses + 1, count - 1) == LVS_OK);
    } else if (strcmp(words[0], "clients") == 0) {
        const lvs_address *v4 = addresses[1].family != 0 ? &addresses[1] : NULL;
        const lvs_address *v6 = addresses[2].family != 0 ? &addresses[2] : NULL;
        CHECK(lvs_director_set_client_side_addresses(director, v4, v6) == LVS_OK);
    } else if (strcmp(words[0], "way") == 0) {
        lvs_address to = address(words[1]), v4 = address(words[3]), v6 = address(words[4]);
        path.mtu = (uint16_t)strtoul(words[2], NULL, 10);
        memcpy(path.tunnel_source_v4, v4.bytes, 4);
        memcpy(path.tunnel_source_v6, v6.bytes, 16);
        CHECK(lvs_director_set_path(director, &to, &path) == LVS_OK);
    } else if (strcmp(words[0], "time") == 0) {
        advance(director, strtoull(words[1], NULL, 10));
    } else if (strcmp(words[0], "tunable") == 0) {
        CHECK(lvs_director_set_tunable(director, words[1], strlen(words[1]), rest, strlen(rest)) == LVS_OK);
    } else if (strcmp(words[0], "run") == 0) {
        lvs_status status = lvs_director_run(director, rest, strlen(rest), text, sizeof text, NULL);
        CHECK((status == LVS_OK) == (strcmp(words[1], "0") == 0));
        if (status != LVS_OK)
            text[0] = '\0';
    } else if (strcmp(words[0], "proc") == 0) {
        CHECK(lvs_director_proc_file(director, words[1], strlen(words[1]), text, sizeof text, NULL) == LVS_OK);
    } else if (strcmp(words[0], "same") == 0) {
        same_text(words[1]);
        return true;
    } else {
        CHECK(strcmp(words[0], "packet") == 0);
        play_packet(director, words, count);
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    unsigned long compared = 0;

    atexit(say_where);
    for (int i = 1; i < argc; i++) {
        lvs_director *director = NULL;
        FILE *script = fopen(argv[i], "r");

        script_name = argv[i];
        line_number = 0;
        CHECK(script != NULL && lvs_director_new(NULL, &director) == LVS_OK);
        while (fgets(line, sizeof line, script) != NULL) {
            char *words[WORDS], *rest = line + strcspn(line, "\n"), *at = line;
            size_t count = 0;

            *rest = '\0';
            line_number++;
            while (count < WORDS && *at != '\0') {
                if (count == 2)
                    rest = strdup(at); /* the line from its third word on */
                words[count++] = at;
                at += strcspn(at, " ");
                if (*at != '\0')
                    *at++ = '\0';
            }
            compared += play(director, words, count, rest);
            if (count > 2)
                free(rest);
        }
        fclose(script);
        lvs_director_free(director);
    }
    script_name = NULL;
    printf("%lu compared\n", compared);
    return 0;
}
