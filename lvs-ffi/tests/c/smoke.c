/* The library as a C program sees it: packets, texts, time. Ends with 0, or with the line that went wrong. */

#include "check.h"

static void versions_agree(void)
{
    CHECK(lvs_version() == LVS_VERSION);
    CHECK(strchr(lvs_version_text(), '.') != NULL);
}

static void names_are_known_or_unknown(void)
{
    CHECK(strcmp(lvs_status_name(LVS_ERR_NOT_FOUND), "not-found") == 0);
    CHECK(strcmp(lvs_status_name(-1), "unknown") == 0);
    CHECK(strcmp(lvs_verdict_name(LVS_REPLY), "reply") == 0);
    CHECK(strcmp(lvs_verdict_name(4), "unknown") == 0);
    CHECK(strcmp(lvs_drop_reason_name(LVS_DROP_DROP_PACKET), "drop-packet-defence") == 0);
    CHECK(strcmp(lvs_drop_reason_name(0), "unknown") == 0);
    CHECK(strcmp(lvs_drop_reason_name(256 + LVS_DROP_NOT_IP), "unknown") == 0);
    CHECK(strcmp(lvs_pass_reason_name(LVS_PASS_NO_SERVICE), "no-service") == 0);
    CHECK(strcmp(lvs_reply_reason_name(LVS_REPLY_NO_ROUTE), "no-route") == 0);
}

static void configurations_are_checked(void)
{
    struct { lvs_config known; uint32_t unknown[2]; } newer = { LVS_CONFIG_INIT, { 0, 0 } };
    lvs_config config = LVS_CONFIG_INIT;
    lvs_director *director = NULL;

    config.size = sizeof config - 1;
    CHECK(lvs_director_new(&config, &director) == LVS_ERR_ARGUMENT);
    config.size = sizeof config;
    config.connections = 0;
    CHECK(lvs_director_new(&config, &director) == LVS_ERR_ARGUMENT);
    newer.known.size = sizeof newer;
    newer.unknown[1] = 1;
    CHECK(lvs_director_new(&newer.known, &director) == LVS_ERR_ARGUMENT);
    CHECK(director == NULL);

    newer.unknown[1] = 0;
    CHECK(lvs_director_new(&newer.known, &director) == LVS_OK);
    lvs_director_free(director);
    CHECK(lvs_director_new(NULL, &director) == LVS_OK);
    lvs_director_free(director);
}

static void a_connection_goes_there_and_back(void)
{
    lvs_director *director = director_with_rules();
    uint8_t buffer[CAPACITY], *packet = buffer + HEADROOM;
    lvs_packet syn = syn_from(buffer, 40000);
    lvs_result there, back;

    CHECK(lvs_director_process(director, 1000000, &syn, &there, 1) == LVS_OK);
    CHECK(there.verdict == LVS_FORWARD && there.reason == 0);
    CHECK(there.direction == LVS_TO_SERVER && there.method == LVS_METHOD_NAT);
    CHECK(there.offset == HEADROOM && there.length == SYN_LENGTH);
    CHECK(there.next_hop_family == 4 && memcmp(there.next_hop, "\x0a\0\0\x65\0\0\0\0\0\0\0\0\0\0\0", 16) == 0);
    CHECK(there.server.index != LVS_NONE && there.connection.index != LVS_NONE);
    CHECK(memcmp(packet + 16, "\x0a\0\0\x65", 4) == 0 && memcmp(packet + SERVER, "\x1f\x90", 2) == 0);
    CHECK(packet[8] == 63 && memcmp(packet + 12, SYN + 12, 4) == 0);
    CHECK(ip_sum(packet) == 0xffff && tcp_sum(packet) == 0xffff);

    /* The answer: addresses and ports the other way round, SYN and ACK. */
    memcpy(packet + 12, "\x0a\0\0\x65\xc6\x33\x64\x09", 8);
    memcpy(packet + CLIENT, "\x1f\x90\x9c\x40", 4);
    packet[33] = 0x12;
    put16(packet + 10, 0);
    put16(packet + 10, (uint16_t)~ip_sum(packet));
    put16(packet + 36, 0);
    put16(packet + 36, (uint16_t)~tcp_sum(packet));
    CHECK(lvs_director_process(director, 2000000, &syn, &back, 1) == LVS_OK);
    CHECK(back.verdict == LVS_FORWARD && back.direction == LVS_TO_CLIENT);
    CHECK(memcmp(packet + 12, "\xc0\0\x02\x0a\xc6\x33\x64\x09\0\x50\x9c\x40", 12) == 0);
    CHECK(memcmp(back.next_hop, "\xc6\x33\x64\x09", 4) == 0);
    CHECK(ip_sum(packet) == 0xffff && tcp_sum(packet) == 0xffff);
    CHECK(back.connection.index == there.connection.index);
    CHECK(back.connection.generation == there.connection.generation);
    lvs_director_free(director);
}

static void without_a_server_the_client_is_told(void)
{
    lvs_director *director = director_with_rules();
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    lvs_result result;

    CHECK(run(director, "-d -t 192.0.2.10:80 -r 10.0.0.101:8080") == LVS_OK);
    CHECK(lvs_director_process(director, 0, &syn, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_REPLY && result.reason == LVS_REPLY_NO_DESTINATION);
    CHECK(result.next_hop_family == 4 && memcmp(result.next_hop, SYN + 12, 4) == 0);
    CHECK(result.offset + result.length <= CAPACITY && result.server.index == LVS_NONE);
    CHECK(buffer[result.offset + 9] == 1 && ip_sum(buffer + result.offset) == 0xffff);
    lvs_director_free(director);
}

static void bursts_of_every_size_get_all_their_results(void)
{
    enum { MANY = 200 };
    static uint8_t buffers[MANY][CAPACITY];
    static lvs_packet packets[MANY];
    static lvs_result results[MANY + 1];
    static const size_t counts[] = { 0, 1, 2, 63, 64, 65, 128, MANY };

    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        lvs_director *director = director_with_rules();
        for (size_t i = 0; i < MANY; i++)
            packets[i] = syn_from(buffers[i], (uint16_t)(1024 + i));
        packets[1] = (lvs_packet){ .base = NULL };
        memset(results, 0xee, sizeof results);
        CHECK(lvs_director_process(director, 5, packets, results, counts[c]) == LVS_OK);
        for (size_t i = 0; i < counts[c]; i++) {
            CHECK(results[i].verdict == (i == 1 ? LVS_DROP : LVS_FORWARD));
            CHECK(i != 1 || results[i].reason == LVS_DROP_NOT_IP);
        }
        CHECK(results[counts[c]].verdict == 0xee);
        lvs_director_free(director);
    }
}

static void a_wrong_record_refuses_the_whole_burst(void)
{
    lvs_director *director = director_with_rules();
    uint8_t buffers[2][CAPACITY], before[CAPACITY];
    lvs_packet good[2] = { syn_from(buffers[0], 1), syn_from(buffers[1], 2) }, packets[2];
    lvs_result results[2];

    memcpy(before, buffers[0], CAPACITY);
    memset(results, 0xee, sizeof results);
    for (int wrong = 0; wrong < 5; wrong++) {
        lvs_status expected = wrong == 4 ? LVS_ERR_NULL : LVS_ERR_ARGUMENT;
        memcpy(packets, good, sizeof packets);
        switch (wrong) {
        case 0: packets[1].length += 1; break;
        case 1: packets[1].offset = UINT32_MAX; break;
        case 2: packets[1].flags = 1u << 31; break;
        case 3: packets[1].reserved = 1; break;
        default: packets[1].base = NULL; break;
        }
        CHECK(lvs_director_process(director, 0, packets, results, 2) == expected);
        CHECK(results[0].verdict == 0xee && memcmp(before, buffers[0], CAPACITY) == 0);
    }
    lvs_director_free(director);
}

static void time_does_not_go_back(void)
{
    lvs_director *director = director_with_rules();
    lvs_connection connection = { .size = sizeof connection };
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    lvs_result result;

    CHECK(lvs_director_advance(director, UINT64_C(10000000000), 1000, NULL) == LVS_OK);
    CHECK(lvs_director_process(director, UINT64_C(5000000000), &syn, &result, 1) == LVS_OK);
    CHECK(lvs_director_connection(director, result.connection, &connection) == LVS_OK);
    CHECK(connection.expires_ns == UINT64_C(10000000000) + connection.timeout_ns);
    lvs_director_free(director);
}

static void padding_is_left_behind(void)
{
    lvs_director *director = director_with_rules();
    uint8_t buffer[CAPACITY + 6], other[CAPACITY];
    lvs_packet padded = syn_from(buffer, 40000), unknown = syn_from(other, 40000);
    lvs_result result;

    memset(buffer + CAPACITY, 0xee, 6);
    padded.capacity += 6;
    padded.length += 6;
    CHECK(lvs_director_process(director, 0, &padded, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_FORWARD && result.length == SYN_LENGTH && result.connection.index != LVS_NONE);
    unknown.length -= 1;
    CHECK(lvs_director_process(director, 0, &unknown, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_DROP && result.reason == LVS_DROP_TRUNCATED_IP);
    CHECK(result.server.index == LVS_NONE && result.connection.index == LVS_NONE);
    lvs_director_free(director);
}

static void checksum_flags_are_heeded(void)
{
    lvs_director *director = director_with_rules();
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    lvs_result result;

    buffer[HEADROOM + 10] ^= 1;
    CHECK(lvs_director_process(director, 0, &syn, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_DROP && result.reason == LVS_DROP_IP_CHECKSUM);
    syn.flags = LVS_PACKET_HOOK_FORWARD | LVS_PACKET_CHECKSUM_VERIFIED;
    CHECK(lvs_director_process(director, 0, &syn, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_PASS && result.reason == LVS_PASS_FORWARDED);
    syn.flags = LVS_PACKET_CHECKSUM_VERIFIED;
    CHECK(lvs_director_process(director, 0, &syn, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_FORWARD);
    lvs_director_free(director);
}

static void texts_fit_or_tell_how_much_they_need(void)
{
    lvs_director *director = director_with_rules();
    size_t needed = 0, again = 0;
    char *text;

    CHECK(lvs_director_run(director, "-S -n", 5, NULL, 0, &needed) == LVS_ERR_SPACE);
    text = malloc(needed);
    CHECK(text != NULL);
    memset(text, '?', needed);
    CHECK(lvs_director_run(director, "-S -n", 5, text, needed - 1, &again) == LVS_ERR_SPACE);
    CHECK(again == needed && text[0] == '?');
    CHECK(lvs_director_run(director, "-S -n", 5, text, needed, &again) == LVS_OK);
    CHECK(again == needed && strlen(text) == needed - 1);
    CHECK(strcmp(text, "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m -w 1\n") == 0);
    CHECK(lvs_director_run(director, "-C", 2, text, needed, &again) == LVS_OK);
    CHECK(again == 1 && text[0] == '\0');
    CHECK(lvs_director_run(director, "-C", 2, text, 1, NULL) == LVS_OK);
    CHECK(run(director, "-L -n") == LVS_ERR_SPACE);
    free(text);
    lvs_director_free(director);
}

static void refusals_say_where_and_why(void)
{
    static const char WRONG[] = "-C\n-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -w many\n";
    lvs_director *director = director_with_rules();
    uint32_t line = 0, column = 0;
    size_t needed = 0;
    char text[200];

    CHECK(lvs_director_last_error(director, NULL, 0, &needed) == LVS_OK && needed == 1);
    CHECK(lvs_director_load(director, WRONG, strlen(WRONG), &line, &column) == LVS_ERR_RULE);
    CHECK(line == 3 && column == 36);
    CHECK(lvs_director_last_error(director, text, sizeof text, &needed) == LVS_OK);
    CHECK(strncmp(text, "line 3, column 36: `many`", 25) == 0 && strlen(text) == needed - 1);
    CHECK(lvs_director_last_error(director, text, needed - 1, &needed) == LVS_ERR_SPACE);

    CHECK(run(director, "-A -t 192.0.2.10:80 -s rr") == LVS_ERR_EXISTS);
    CHECK(run(director, "-D -t 192.0.2.11:80") == LVS_ERR_NOT_FOUND);
    CHECK(run(director, "-A -t 192.0.2.11:80 -s fastest") == LVS_ERR_NOT_FOUND);
    CHECK(run(director, "-a -t 192.0.2.10:80 -r 224.0.0.1 -m") == LVS_ERR_REFUSED);
    CHECK(run(director, "--what") == LVS_ERR_RULE);
    CHECK(run(director, "-A -t \xff") == LVS_ERR_ARGUMENT);
    lvs_director_free(director);
}

static void time_ends_connections(void)
{
    lvs_director *director = director_with_rules();
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    lvs_result result;
    uint64_t at = 0;
    bool more = true;
    char text[400];

    CHECK(lvs_director_process(director, 0, &syn, &result, 1) == LVS_OK);
    CHECK(lvs_director_next_deadline(director, &at) == LVS_OK && at != UINT64_MAX);
    CHECK(lvs_director_advance(director, 1000, 0, NULL) == LVS_OK);
    while (more)
        CHECK(lvs_director_advance(director, UINT64_C(3600000000000), 100, &more) == LVS_OK);
    CHECK(lvs_director_run(director, "-L -n -c", 8, text, sizeof text, NULL) == LVS_OK);
    CHECK(strstr(text, "198.51.100.9") == NULL);
    lvs_director_free(director);
}

static void null_is_answered_everywhere(void)
{
    lvs_director *director = director_with_rules();
    lvs_packet packet = { .base = NULL };
    lvs_result result;
    size_t needed = 77;
    uint64_t at = 77;
    bool more = true;
    char text[10];

    CHECK(lvs_director_new(NULL, NULL) == LVS_ERR_NULL);
    lvs_director_free(NULL);
    CHECK(lvs_director_run(NULL, "-C", 2, text, sizeof text, &needed) == LVS_ERR_NULL);
    CHECK(lvs_director_run(director, NULL, 2, text, sizeof text, &needed) == LVS_ERR_NULL);
    CHECK(lvs_director_run(director, "-L", 2, NULL, 10, &needed) == LVS_ERR_NULL);
    CHECK(lvs_director_load(NULL, "", 0, NULL, NULL) == LVS_ERR_NULL);
    CHECK(lvs_director_load(director, NULL, 1, NULL, NULL) == LVS_ERR_NULL);
    CHECK(lvs_director_load(director, NULL, 0, NULL, NULL) == LVS_OK);
    CHECK(lvs_director_last_error(NULL, text, sizeof text, &needed) == LVS_ERR_NULL);
    CHECK(lvs_director_last_error(director, NULL, sizeof text, &needed) == LVS_ERR_NULL);
    CHECK(lvs_director_process(NULL, 0, &packet, &result, 1) == LVS_ERR_NULL);
    CHECK(lvs_director_process(director, 0, NULL, &result, 1) == LVS_ERR_NULL);
    CHECK(lvs_director_process(director, 0, &packet, NULL, 1) == LVS_ERR_NULL);
    CHECK(lvs_director_process(director, 0, NULL, NULL, 0) == LVS_OK);
    CHECK(lvs_director_advance(NULL, 0, 1, &more) == LVS_ERR_NULL);
    CHECK(lvs_director_next_deadline(NULL, &at) == LVS_ERR_NULL);
    CHECK(lvs_director_next_deadline(director, NULL) == LVS_ERR_NULL);
    CHECK(needed == 77 && at == 77 && more);
    lvs_director_free(director);
}

int main(void)
{
    versions_agree();
    names_are_known_or_unknown();
    configurations_are_checked();
    a_connection_goes_there_and_back();
    without_a_server_the_client_is_told();
    bursts_of_every_size_get_all_their_results();
    a_wrong_record_refuses_the_whole_burst();
    time_does_not_go_back();
    padding_is_left_behind();
    checksum_flags_are_heeded();
    texts_fit_or_tell_how_much_they_need();
    refusals_say_where_and_why();
    time_ends_connections();
    null_is_answered_everywhere();
    puts("ok");
    return 0;
}
