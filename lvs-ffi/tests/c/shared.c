/* A director for several threads: each brings packets of its own, one changes rules meanwhile. */

#include "check.h"

#include <pthread.h>

enum { THREADS = 3, FLOWS = 64, ROUNDS = 50 };

static lvs_shared *shared_with_rules(void)
{
    lvs_config config = LVS_CONFIG_INIT;
    lvs_shared *shared = NULL;
    config.connections = 1000;
    config.events = 1000;
    config.seed = 7;
    CHECK(lvs_shared_new(&config, THREADS, &shared) == LVS_OK);
    CHECK(lvs_shared_load(shared, RULES, strlen(RULES), NULL, NULL) == LVS_OK);
    return shared;
}

struct worker {
    lvs_shared *shared;
    size_t shard;
    unsigned long forwarded;
};

static void *bring_packets(void *user)
{
    struct worker *worker = user;
    uint8_t buffers[FLOWS][CAPACITY];
    lvs_packet packets[FLOWS];
    lvs_result results[FLOWS];

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned flow = 0; flow < FLOWS; flow++) {
            packets[flow] = syn_from(buffers[flow], (uint16_t)(1000 * (worker->shard + 1) + flow));
            buffers[flow][HEADROOM + 33] = round == 0 ? 2 : 0x10; /* SYN, then ACK */
            put16(buffers[flow] + HEADROOM + 36, 0);
            put16(buffers[flow] + HEADROOM + 36, (uint16_t)~tcp_sum(buffers[flow] + HEADROOM));
        }
        CHECK(lvs_shared_process(worker->shared, worker->shard, round * UINT64_C(1000000), packets, results, FLOWS)
              == LVS_OK);
        for (unsigned flow = 0; flow < FLOWS; flow++)
            worker->forwarded += results[flow].verdict == LVS_FORWARD;
    }
    return NULL;
}

/* What is asked of the whole director. */
struct whole {
    lvs_shared *shared;
    uint32_t connections;
    int calls;
};

static void look(lvs_director *director, void *user)
{
    struct whole *whole = user;
    lvs_stats stats = { .size = sizeof stats };
    char text[200];

    CHECK(lvs_director_stats(director, &stats) == LVS_OK);
    whole->connections = stats.connections;
    whole->calls++;
    lvs_director_free(director); /* does nothing: it is lent */
    CHECK(lvs_shared_run(whole->shared, "-C", 2, NULL, 0, NULL) == LVS_ERR_BUSY);
    lvs_shared_free(whole->shared); /* does nothing from here */
    CHECK(lvs_director_run(director, "-A -f 5 -s fastest", 18, NULL, 0, NULL) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_last_error(director, text, sizeof text, NULL) == LVS_OK && strstr(text, "fastest") != NULL);
}

static void threads_do_not_wait_for_rules(void)
{
    lvs_shared *shared = shared_with_rules();
    struct worker workers[THREADS];
    struct whole whole = { .shared = shared };
    pthread_t threads[THREADS];
    lvs_event events[FLOWS];
    size_t count = 1, made = 0;
    uint64_t at = 0;
    bool more = true;
    char text[1000];

    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .shared = shared, .shard = i };
        CHECK(pthread_create(&threads[i], NULL, bring_packets, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        CHECK(lvs_shared_run(shared, "-A -f 5 -s rr", 13, NULL, 0, NULL) == LVS_OK);
        CHECK(lvs_shared_with(shared, look, &whole) == LVS_OK);
        CHECK(lvs_shared_run(shared, "-D -f 5", 7, NULL, 0, NULL) == LVS_OK);
        CHECK(lvs_shared_advance(shared, i * UINT64_C(1000000), 1000, NULL) == LVS_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(workers[i].forwarded == FLOWS * ROUNDS);
    }
    CHECK(lvs_shared_with(shared, look, &whole) == LVS_OK);
    CHECK(whole.calls == 21 && whole.connections == THREADS * FLOWS);
    CHECK(lvs_shared_last_error(shared, text, sizeof text, NULL) == LVS_OK && strstr(text, "fastest") != NULL);
    CHECK(lvs_shared_metrics(shared, NULL, 0, &count) == LVS_ERR_SPACE && count > 1000);

    for (count = 1; count != 0; made += count)
        CHECK(lvs_shared_poll_events(shared, events, FLOWS, &count) == LVS_OK);
    CHECK(made == THREADS * FLOWS);
    CHECK(lvs_shared_next_deadline(shared, &at) == LVS_OK && at != UINT64_MAX);
    while (more)
        CHECK(lvs_shared_advance(shared, UINT64_C(3600000000000), 100, &more) == LVS_OK);
    CHECK(lvs_shared_with(shared, look, &whole) == LVS_OK && whole.connections == 0);
    lvs_shared_free(shared);
}

/* A scheduler that sees whether another thread is within it. */
struct alone {
    lvs_shared *shared;
    bool within;
    unsigned picks, released;
};

static uint32_t pick_alone(const lvs_new_flow *flow, const lvs_candidate *servers, size_t count, void *user)
{
    struct alone *alone = user;
    uint64_t at;
    CHECK(!alone->within && flow->client.port != 0 && servers[0].eligible);
    alone->within = true;
    CHECK(lvs_shared_next_deadline(alone->shared, &at) == LVS_ERR_BUSY);
    CHECK(lvs_shared_run(alone->shared, "-C", 2, NULL, 0, NULL) == LVS_ERR_BUSY);
    alone->picks++;
    alone->within = false;
    return (uint32_t)(alone->picks % count);
}

static void released_alone(void *user)
{
    struct alone *alone = user;
    uint64_t at;
    CHECK(lvs_shared_next_deadline(alone->shared, &at) == LVS_ERR_BUSY); /* while it is freed, too */
    lvs_shared_free(alone->shared);
    alone->released++;
}

static void take_it_up(lvs_director *director, void *user)
{
    lvs_service service = LVS_SERVICE_INIT;
    lvs_scheduler scheduler = LVS_SCHEDULER_INIT;

    service.protocol = LVS_PROTOCOL_TCP;
    CHECK(lvs_address_parse("192.0.2.10:80", 13, &service.address) == LVS_OK);
    strcpy(service.scheduler, "alone");
    scheduler.pick = pick_alone;
    scheduler.release = released_alone;
    scheduler.user = user;
    CHECK(lvs_director_edit_service_with(director, &service, &scheduler, NULL) == LVS_OK);
}

static void one_thread_at_a_time_asks_a_scheduler(void)
{
    struct alone alone = { .shared = shared_with_rules() };
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    CHECK(lvs_shared_with(alone.shared, take_it_up, &alone) == LVS_OK);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .shared = alone.shared, .shard = i };
        CHECK(pthread_create(&threads[i], NULL, bring_packets, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(workers[i].forwarded == FLOWS * ROUNDS);
    }
    CHECK(alone.picks == THREADS * FLOWS && alone.released == 0);
    lvs_shared_free(alone.shared);
    CHECK(alone.released == 1);
}

static void the_verbs_are_those_of_a_director(void)
{
    lvs_shared *shared = shared_with_rules();
    lvs_service service = LVS_SERVICE_INIT;
    lvs_server server = LVS_SERVER_INIT;
    lvs_server_info info = { .size = sizeof info };
    lvs_applied done = { .size = sizeof done };
    lvs_connection connection = { .size = sizeof connection };
    lvs_filter filter = LVS_FILTER_INIT;
    lvs_path path = LVS_PATH_INIT;
    lvs_stats stats = { .size = sizeof stats };
    lvs_counters counters;
    uint64_t count = 0;
    size_t ended = 0;
    lvs_service_id web;
    lvs_server_id id;
    lvs_result result, expected;
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    uint32_t shard = 77, line = 0;
    char text[1000];

    service.protocol = LVS_PROTOCOL_TCP;
    CHECK(lvs_address_parse("192.0.2.10:81", 13, &service.address) == LVS_OK);
    CHECK(lvs_address_parse("10.0.0.1:81", 11, &server.address) == LVS_OK);
    CHECK(lvs_shared_add_service(shared, &service, &web) == LVS_OK);
    CHECK(lvs_shared_add_service(shared, &service, NULL) == LVS_ERR_EXISTS);
    CHECK(lvs_shared_edit_service(shared, &service, NULL) == LVS_OK);
    CHECK(lvs_shared_add_server(shared, web, &server, &id) == LVS_OK);
    server.weight = 5;
    CHECK(lvs_shared_edit_server(shared, web, &server, NULL) == LVS_OK);
    CHECK(lvs_shared_drain(shared, id, NULL) == LVS_OK);
    CHECK(lvs_shared_server(shared, id, NULL, &info) == LVS_OK && info.state == LVS_SERVER_DRAINED);
    CHECK(lvs_shared_undrain(shared, id) == LVS_OK);
    server.weight = 0;
    CHECK(lvs_shared_server(shared, id, &server, NULL) == LVS_OK && server.weight == 5);
    CHECK(lvs_shared_server_counters(shared, id, &counters) == LVS_OK && counters.in_packets == 0);
    CHECK(lvs_shared_remove_server(shared, web, &server.address) == LVS_OK);
    CHECK(lvs_shared_remove_service(shared, web) == LVS_OK);
    CHECK(lvs_shared_remove_service(shared, web) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_shared_apply(shared, RULES, strlen(RULES), &done, NULL, NULL, &line, NULL) == LVS_OK);
    CHECK(done.services_unchanged == 1 && done.servers_unchanged == 1 && line == 0);
    CHECK(lvs_shared_load(shared, "--what", 6, &line, NULL) == LVS_ERR_RULE && line == 1);

    CHECK(lvs_shared_explain(shared, 0, &syn, &expected, text, sizeof text, NULL) == LVS_OK);
    CHECK(strstr(text, "rr chooses 10.0.0.101:8080") != NULL && expected.verdict == LVS_FORWARD);
    CHECK(lvs_shared_shard_of(shared, &syn, &shard, 1) == LVS_OK && shard < THREADS);
    CHECK(lvs_shared_process(shared, shard, 0, &syn, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_FORWARD && result.server.index == expected.server.index);
    CHECK(lvs_shared_run(shared, "-L -n", 5, text, sizeof text, NULL) == LVS_OK);
    CHECK(lvs_shared_connection(shared, result.connection, &connection) == LVS_OK);
    CHECK(connection.client.port == 40000 && connection.server_id.index == result.server.index);
    CHECK(lvs_shared_flush(shared, &filter, &ended) == LVS_OK && ended == 1);
    CHECK(lvs_shared_connection(shared, result.connection, &connection) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_shared_set_tunable(shared, "drop_entry", 10, "4", 1) == LVS_ERR_REFUSED);
    CHECK(lvs_shared_set_tunable(shared, "drop_entry", 10, "1", 1) == LVS_OK);
    path.unreachable = 1;
    CHECK(lvs_address_parse("10.0.0.101", 10, &server.address) == LVS_OK);
    CHECK(lvs_shared_set_path(shared, &server.address, &path) == LVS_OK);
    syn = syn_from(buffer, 40001);
    CHECK(lvs_shared_process(shared, shard, 0, &syn, &result, 1) == LVS_OK);
    CHECK(result.verdict == LVS_REPLY && result.reason == LVS_REPLY_NO_ROUTE);
    CHECK(lvs_shared_count(shared, LVS_REPLY, LVS_REPLY_NO_ROUTE, &count) == LVS_OK && count == 1);
    CHECK(lvs_shared_count(shared, LVS_REPLY, 99, &count) == LVS_ERR_ARGUMENT);
    CHECK(lvs_shared_set_path(shared, &server.address, NULL) == LVS_OK);
    syn = syn_from(buffer, 40001);
    CHECK(lvs_shared_process(shared, shard, 0, &syn, &result, 1) == LVS_OK && result.verdict == LVS_FORWARD);
    CHECK(lvs_shared_stats(shared, &stats) == LVS_OK && stats.connections == 1 && stats.capacity == 1000);
    lvs_shared_free(shared);
}

/* Two directors, one within the other. */
struct both {
    lvs_shared *outer, *inner;
    int calls;
};

static void call_both(lvs_director *director, void *user)
{
    struct both *both = user;
    uint64_t at;

    CHECK(lvs_director_next_deadline(director, &at) == LVS_OK);
    CHECK(lvs_shared_next_deadline(both->inner, &at) == LVS_ERR_BUSY);
    CHECK(lvs_shared_next_deadline(both->outer, &at) == LVS_ERR_BUSY);
    both->calls++;
}

static void call_inner(lvs_director *director, void *user)
{
    struct both *both = user;
    uint64_t at;

    CHECK(lvs_shared_with(both->inner, call_both, both) == LVS_OK);
    CHECK(lvs_director_next_deadline(director, &at) == LVS_OK);
    CHECK(lvs_shared_next_deadline(both->inner, &at) == LVS_OK);
    CHECK(lvs_shared_next_deadline(both->outer, &at) == LVS_ERR_BUSY);
    both->calls++;
}

static void a_thread_does_not_wait_for_itself(void)
{
    struct both both = { shared_with_rules(), shared_with_rules(), 0 };
    uint64_t at;

    CHECK(lvs_shared_with(both.outer, call_inner, &both) == LVS_OK && both.calls == 2);
    CHECK(lvs_shared_next_deadline(both.inner, &at) == LVS_OK && lvs_shared_next_deadline(both.outer, &at) == LVS_OK);
    lvs_shared_free(both.outer);
    lvs_shared_free(both.inner);
}

int main(void)
{
    threads_do_not_wait_for_rules();
    a_thread_does_not_wait_for_itself();
    one_thread_at_a_time_asks_a_scheduler();
    the_verbs_are_those_of_a_director();
    puts("ok");
    return 0;
}
