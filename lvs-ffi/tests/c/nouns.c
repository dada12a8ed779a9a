/* Services, servers, connections, events, synchronisation, settings and schedulers as calls. */

#include "check.h"

static lvs_address address(const char *text)
{
    lvs_address out;
    CHECK(lvs_address_parse(text, strlen(text), &out) == LVS_OK);
    return out;
}

static lvs_director *director_with_events(void)
{
    lvs_config config = LVS_CONFIG_INIT;
    lvs_director *director = NULL;
    config.connections = 1000;
    config.events = 100;
    config.seed = 7;
    CHECK(lvs_director_new(&config, &director) == LVS_OK);
    return director;
}

static lvs_service_id service_at(lvs_director *director, const char *where)
{
    lvs_service service = LVS_SERVICE_INIT;
    lvs_service_id id;
    service.protocol = LVS_PROTOCOL_TCP;
    service.address = address(where);
    strcpy(service.scheduler, "rr");
    CHECK(lvs_director_add_service(director, &service, &id) == LVS_OK);
    return id;
}

static lvs_server_id server_at(lvs_director *director, lvs_service_id service, const char *where)
{
    lvs_server server = LVS_SERVER_INIT;
    lvs_server_id id;
    server.address = address(where);
    server.method = LVS_METHOD_NAT;
    CHECK(lvs_director_add_server(director, service, &server, &id) == LVS_OK);
    return id;
}

static lvs_result send_syn(lvs_director *director, uint64_t now, uint16_t port)
{
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, port);
    lvs_result result;
    CHECK(lvs_director_process(director, now, &syn, &result, 1) == LVS_OK);
    return result;
}

static void text_of(lvs_director *director, const char *line, char *out, size_t capacity)
{
    CHECK(lvs_director_run(director, line, strlen(line), out, capacity, NULL) == LVS_OK);
}

static void addresses_are_read_and_written(void)
{
    static const char *const texts[] = { "192.0.2.10", "192.0.2.10:80", "2001:db8::1", "[2001:db8::1]:80" };
    static const char *const wrong[] = { "", "192.0.2", "192.0.2.10:", "192.0.2.10:65536", "::1:80:x", "www" };
    char text[48];
    size_t needed;
    lvs_address none = LVS_ADDRESS_NONE, out = none;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lvs_address read = address(texts[i]);
        CHECK(lvs_address_format(&read, text, sizeof text, &needed) == LVS_OK);
        CHECK(strcmp(text, texts[i]) == 0 && needed == strlen(text) + 1);
        CHECK(lvs_address_format(&read, text, needed - 1, &needed) == LVS_ERR_SPACE);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(lvs_address_parse(wrong[i], strlen(wrong[i]), &out) == LVS_ERR_ARGUMENT);
    CHECK(memcmp(&out, &none, sizeof out) == 0);
    CHECK(lvs_address_format(&none, text, sizeof text, NULL) == LVS_ERR_ARGUMENT);
    out = address("192.0.2.10:80");
    CHECK(out.family == 4 && out.port == 80 && memcmp(out.bytes, "\xc0\0\x02\x0a", 4) == 0);
}

static void services_come_and_go(void)
{
    lvs_director *director = director_with_events();
    lvs_service service = LVS_SERVICE_INIT, back = LVS_SERVICE_INIT;
    lvs_service_info info = { .size = sizeof info };
    lvs_service_id id, found, none = { LVS_NONE, 0 };
    char text[400];

    service.protocol = LVS_PROTOCOL_TCP;
    service.address = address("192.0.2.10:80");
    service.flags = LVS_SERVICE_PORT | LVS_SERVICE_FALLBACK | LVS_SERVICE_NETMASK;
    service.persistence = 300;
    memcpy(service.netmask_v4, "\xff\xff\xff\0", 4);
    strcpy(service.scheduler, "sh");
    CHECK(lvs_director_add_service(director, &service, &id) == LVS_OK);
    CHECK(lvs_director_add_service(director, &service, NULL) == LVS_ERR_EXISTS);
    text_of(director, "-S -n", text, sizeof text);
    CHECK(strcmp(text, "-A -t 192.0.2.10:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port\n") == 0);

    CHECK(lvs_director_find_service(director, &service, &found) == LVS_OK);
    CHECK(found.index == id.index && found.generation == id.generation);
    CHECK(lvs_director_service(director, id, &back, &info) == LVS_OK);
    CHECK(memcmp(&back, &service, sizeof back) == 0);
    CHECK(info.size == sizeof info && info.servers == 0 && info.id.index == id.index && info.counters.in_bytes == 0);

    strcpy(back.scheduler, "wlc");
    back.flags = 0;
    CHECK(lvs_director_edit_service(director, &back, &found) == LVS_OK && found.index == id.index);
    strcpy(back.scheduler, "fastest");
    CHECK(lvs_director_edit_service(director, &back, NULL) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_last_error(director, text, sizeof text, NULL) == LVS_OK);
    CHECK(strcmp(text, "no such scheduler") == 0);
    memset(back.scheduler, 'x', sizeof back.scheduler);
    CHECK(lvs_director_edit_service(director, &back, NULL) == LVS_ERR_ARGUMENT);
    memcpy(back.scheduler, "\xff", 2);
    CHECK(lvs_director_edit_service(director, &back, NULL) == LVS_ERR_ARGUMENT);

    CHECK(lvs_director_zero(director, id) == LVS_OK && lvs_director_zero(director, none) == LVS_OK);
    CHECK(lvs_director_remove_service(director, id) == LVS_OK);
    CHECK(lvs_director_remove_service(director, id) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_remove_service(director, none) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_service(director, id, NULL, NULL) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_zero(director, id) == LVS_ERR_NOT_FOUND);

    service = (lvs_service)LVS_SERVICE_INIT;
    service.mark = 5;
    service.address.family = 6;
    CHECK(lvs_director_add_service(director, &service, &id) == LVS_OK);
    CHECK(lvs_director_service(director, id, &back, NULL) == LVS_OK && memcmp(&back, &service, sizeof back) == 0);
    CHECK(lvs_director_clear(director) == LVS_OK);
    CHECK(lvs_director_find_service(director, &service, &found) == LVS_ERR_NOT_FOUND);
    lvs_director_free(director);
}

static void what_a_record_must_not_hold_is_refused(void)
{
    lvs_director *director = director_with_events();
    lvs_service_id web = service_at(director, "192.0.2.10:80");
    lvs_service service;
    lvs_server server;

    for (int wrong = 0; wrong < 9; wrong++) {
        service = (lvs_service)LVS_SERVICE_INIT;
        service.protocol = LVS_PROTOCOL_UDP;
        service.address = address("192.0.2.10:53");
        switch (wrong) {
        case 0: service.size = sizeof service - 1; break;
        case 1: service.size = 5000; break;
        case 2: service.protocol = 1; break;
        case 3: service.address.family = 5; break;
        case 4: service.address.reserved = 1; break;
        case 5: service.flags = 4; break;
        case 6: service.reserved = 1; break;
        case 7: service.mark = 1; break;
        default: service.address.family = 0; break;
        }
        CHECK(lvs_director_add_service(director, &service, NULL) == LVS_ERR_ARGUMENT);
    }
    for (int wrong = 0; wrong < 9; wrong++) {
        server = (lvs_server)LVS_SERVER_INIT;
        server.address = address("10.0.0.1:53");
        switch (wrong) {
        case 0: server.size = 0; break;
        case 1: server.method = 0; break;
        case 2: server.method = 4; break;
        case 3: server.tunnel = 3; break;
        case 4: server.tunnel_checksum = 1; break;
        case 5: server.reserved = 1; break;
        case 6: server.reserved2 = 1; break;
        case 7: server.address.family = 0; break;
        default: server.tunnel = LVS_TUNNEL_GRE; server.tunnel_checksum = 2; break;
        }
        CHECK(lvs_director_add_server(director, web, &server, NULL) == LVS_ERR_ARGUMENT);
    }
    server = (lvs_server)LVS_SERVER_INIT;
    server.address = address("10.0.0.1:53");
    server.weight = UINT32_MAX;
    CHECK(lvs_director_add_server(director, web, &server, NULL) == LVS_ERR_REFUSED);
    lvs_director_free(director);
}

static void servers_come_and_go(void)
{
    lvs_director *director = director_with_events();
    lvs_service_id web = service_at(director, "192.0.2.10:80"), gone = { 7, 0 };
    lvs_server server = LVS_SERVER_INIT, back = LVS_SERVER_INIT;
    lvs_server_info info = { .size = sizeof info };
    lvs_server_id id, found, there[2];
    lvs_counters counters;
    lvs_address where = address("10.0.0.1:8080");
    size_t needed = 0;

    server.address = where;
    server.method = LVS_METHOD_TUN;
    server.tunnel = LVS_TUNNEL_GUE;
    server.tunnel_checksum = LVS_TUNNEL_REMOTE_CHECKSUM;
    server.tunnel_port = 6080;
    server.weight = 3;
    server.upper = 100;
    server.lower = 80;
    CHECK(lvs_director_add_server(director, gone, &server, &id) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_add_server(director, web, &server, &id) == LVS_OK);
    CHECK(lvs_director_add_server(director, web, &server, NULL) == LVS_ERR_EXISTS);
    CHECK(lvs_director_server(director, id, &back, &info) == LVS_OK);
    CHECK(memcmp(&back, &server, sizeof back) == 0);
    CHECK(info.state == LVS_SERVER_ACTIVE && info.deadline_ns == UINT64_MAX && info.active == 0);
    CHECK(info.id.index == id.index && info.id.generation == id.generation);

    back.weight = 0;
    back.method = LVS_METHOD_NAT;
    back.tunnel = back.tunnel_checksum = 0;
    back.tunnel_port = 0;
    CHECK(lvs_director_edit_server(director, web, &back, &found) == LVS_OK && found.index == id.index);
    CHECK(lvs_director_find_server(director, web, &where, &found) == LVS_OK && found.index == id.index);
    CHECK(send_syn(director, 0, 1).verdict == LVS_REPLY);
    back.weight = 1;
    CHECK(lvs_director_edit_server(director, web, &back, NULL) == LVS_OK);
    CHECK(send_syn(director, 0, 2).server.index == id.index);
    CHECK(lvs_director_server_counters(director, id, &counters) == LVS_OK);
    CHECK(counters.connections == 1 && counters.in_packets == 1 && counters.in_bytes == SYN_LENGTH);

    CHECK(lvs_director_servers_at(director, &where, there, 2, &needed) == LVS_OK);
    CHECK(needed == 1 && there[0].index == id.index);
    CHECK(lvs_director_servers_at(director, &where, NULL, 0, &needed) == LVS_ERR_SPACE && needed == 1);
    where = address("10.0.0.9");
    CHECK(lvs_director_servers_at(director, &where, NULL, 0, &needed) == LVS_OK && needed == 0);
    CHECK(lvs_director_remove_server(director, web, &where) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_find_server(director, web, &where, &found) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_remove_server(director, web, &back.address) == LVS_OK);
    CHECK(lvs_director_server(director, id, NULL, &info) == LVS_OK && info.state == LVS_SERVER_REMOVED);
    lvs_director_free(director);
}

/* What a visitor sees, and whom it asks in between. */
struct walk {
    lvs_director *director;
    size_t seen, most;
    uint32_t ports;
};

static bool see_service(const lvs_service *service, const lvs_service_info *info, void *user)
{
    struct walk *walk = user;
    CHECK(service->size == sizeof *service && info->size == sizeof *info);
    CHECK(lvs_director_clear(walk->director) == LVS_ERR_BUSY);
    walk->ports += service->address.port;
    return ++walk->seen < walk->most;
}

static bool see_server(const lvs_server *server, const lvs_server_info *info, void *user)
{
    struct walk *walk = user;
    CHECK(server->size == sizeof *server && info->state == LVS_SERVER_ACTIVE);
    lvs_director_free(walk->director); /* does nothing from here */
    walk->ports += server->address.port;
    return ++walk->seen < walk->most;
}

static bool see_connection(const lvs_connection *connection, void *user)
{
    struct walk *walk = user;
    uint64_t at;
    CHECK(connection->protocol == 6 && strcmp(connection->state, "SYN_RECV") == 0 && connection->flags == 0);
    CHECK(connection->target.port == 80 && connection->server.port == 8080);
    CHECK(connection->timeout_ns == UINT64_C(60000000000));
    CHECK(lvs_director_next_deadline(walk->director, &at) == LVS_ERR_BUSY);
    walk->ports += connection->client.port;
    return ++walk->seen < walk->most;
}

static void walks_see_everything_and_change_nothing(void)
{
    lvs_director *director = director_with_events();
    lvs_service_id web = service_at(director, "192.0.2.10:80");
    lvs_connection connection = { .size = sizeof connection };
    struct walk walk = { .director = director, .most = 10 };
    lvs_result result;
    char text[10];

    service_at(director, "192.0.2.10:443");
    server_at(director, web, "10.0.0.1:8080");
    server_at(director, web, "10.0.0.2:8080");
    for (uint16_t port = 1; port <= 3; port++)
        result = send_syn(director, 0, port);

    CHECK(lvs_director_each_service(director, see_service, &walk) == LVS_OK);
    CHECK(walk.seen == 2 && walk.ports == 80 + 443);
    walk = (struct walk){ .director = director, .most = 10 };
    CHECK(lvs_director_each_server(director, web, see_server, &walk) == LVS_OK);
    CHECK(walk.seen == 2 && walk.ports == 2 * 8080);
    walk = (struct walk){ .director = director, .most = 10 };
    CHECK(lvs_director_each_connection(director, see_connection, &walk) == LVS_OK);
    CHECK(walk.seen == 3 && walk.ports == 1 + 2 + 3);
    walk = (struct walk){ .director = director, .most = 1 };
    CHECK(lvs_director_each_connection(director, see_connection, &walk) == LVS_OK && walk.seen == 1);

    CHECK(lvs_director_connection(director, result.connection, &connection) == LVS_OK);
    CHECK(connection.client.port == 3 && connection.server_id.index == result.server.index);
    CHECK(connection.size == sizeof connection);
    CHECK(lvs_director_connection_engine(director, result.connection, text, sizeof text, NULL) == LVS_OK);
    CHECK(text[0] == '\0');
    result.connection.generation++;
    CHECK(lvs_director_connection(director, result.connection, &connection) == LVS_ERR_NOT_FOUND);
    lvs_director_free(director);
}

static void connections_end_by_what_they_have_in_common(void)
{
    lvs_director *director = director_with_events();
    lvs_service_id web = service_at(director, "192.0.2.10:80");
    lvs_server_id server = server_at(director, web, "10.0.0.1:8080");
    lvs_filter filter = LVS_FILTER_INIT;
    size_t ended = 0, place = 0, all = 0;
    bool more = true;
    char text[512];

    for (uint16_t port = 1; port <= 5; port++)
        send_syn(director, 0, port);
    strcpy(filter.state, "ESTABLISHED");
    CHECK(lvs_director_flush(director, &filter, &ended) == LVS_OK && ended == 0);
    strcpy(filter.state, "HALF_OPEN");
    CHECK(lvs_director_flush(director, &filter, &ended) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_last_error(director, text, sizeof text, NULL) == LVS_OK && strstr(text, "SYN_RECV") != NULL);
    strcpy(filter.state, "SYN_RECV");
    filter.client = address("198.51.100.0");
    filter.prefix = 24;
    filter.protocol = LVS_PROTOCOL_TCP;
    filter.server = server;
    filter.prefix = 33;
    CHECK(lvs_director_flush(director, &filter, &ended) == LVS_ERR_ARGUMENT);
    filter.prefix = 24;
    CHECK(lvs_director_flush(director, &filter, &ended) == LVS_OK && ended == 5);
    filter.service = web;
    CHECK(lvs_director_flush(director, &filter, &ended) == LVS_ERR_ARGUMENT);
    filter.server.index = 77;
    filter.service.index = LVS_NONE;
    CHECK(lvs_director_flush(director, &filter, &ended) == LVS_ERR_NOT_FOUND);

    for (uint16_t port = 1; port <= 5; port++)
        send_syn(director, 0, port);
    filter = (lvs_filter)LVS_FILTER_INIT;
    while (more) {
        CHECK(lvs_director_flush_some(director, &filter, &place, 2, &ended, &more) == LVS_OK);
        all += ended;
    }
    CHECK(all == 5 && place >= 5);
    lvs_director_free(director);
}

static void events_tell_what_happened(void)
{
    lvs_director *director = director_with_events();
    lvs_service_id web = service_at(director, "192.0.2.10:80");
    lvs_server_id server = server_at(director, web, "10.0.0.1:8080");
    lvs_drain drain = LVS_DRAIN_INIT;
    lvs_server_info info = { .size = sizeof info };
    lvs_stats stats = { .size = sizeof stats };
    lvs_event events[4];
    size_t count = 0;
    bool more = true;

    send_syn(director, 0, 40000);
    drain.flags = LVS_DRAIN_THEN_REMOVE;
    drain.deadline_ns = UINT64_C(900000000000);
    drain.rest = LVS_REST_RESET;
    CHECK(lvs_director_drain(director, server, &drain) == LVS_OK);
    CHECK(lvs_director_server(director, server, NULL, &info) == LVS_OK);
    CHECK(info.state == LVS_SERVER_DRAINING && info.deadline_ns == drain.deadline_ns && info.active + info.inactive == 1);
    CHECK(lvs_director_undrain(director, server) == LVS_OK);
    CHECK(lvs_director_drain(director, server, &drain) == LVS_OK);
    CHECK(send_syn(director, 1, 40001).verdict == LVS_REPLY);
    while (more)
        CHECK(lvs_director_advance(director, UINT64_C(100000000000), 100, &more) == LVS_OK);

    CHECK(lvs_director_poll_events(director, events, 1, &count) == LVS_OK && count == 1);
    CHECK(events[0].kind == LVS_EVENT_MADE && events[0].client.port == 40000 && events[0].gone == 0);
    CHECK(events[0].server_id.index == server.index && events[0].protocol == 6);
    CHECK(lvs_director_poll_events(director, events, 4, &count) == LVS_OK && count == 2);
    CHECK(events[0].kind == LVS_EVENT_GONE && events[0].gone == LVS_GONE_EXPIRED);
    CHECK(strcmp(lvs_event_name(events[0].kind), "gone") == 0 && strcmp(lvs_event_name(0), "unknown") == 0);
    CHECK(strcmp(lvs_gone_name(events[0].gone), "expired") == 0 && strcmp(lvs_gone_name(0), "unknown") == 0);
    CHECK(events[1].kind == LVS_EVENT_DRAINED && events[1].count == 1 && events[1].connection.index == LVS_NONE);
    CHECK(lvs_director_poll_events(director, NULL, 0, &count) == LVS_OK && count == 0);
    CHECK(lvs_director_stats(director, &stats) == LVS_OK);
    CHECK(stats.capacity == 1000 && stats.connections == 0 && stats.missed_events == 0 && stats.memory > 100000);

    CHECK(lvs_director_drain(director, server, NULL) == LVS_ERR_NOT_FOUND);
    drain.rest = 3;
    CHECK(lvs_director_drain(director, server, &drain) == LVS_ERR_ARGUMENT);
    drain.rest = 0;
    drain.flags = 4;
    CHECK(lvs_director_drain(director, server, &drain) == LVS_ERR_ARGUMENT);
    lvs_director_free(director);
}

/* Changes as one is told of them, one letter for the kind and one for the noun. */
struct told {
    lvs_director *director;
    char changes[32];
    size_t count, most;
    lvs_change last;
};

static bool told_of(const lvs_change *change, void *user)
{
    struct told *told = user;
    CHECK(change->size == sizeof *change && change->reserved == 0);
    CHECK(lvs_director_clear(told->director) == LVS_ERR_BUSY);
    told->changes[told->count++] = "?aer"[change->kind];
    told->changes[told->count++] = change->server.family == 0 ? 'S' : 's';
    told->last = *change;
    return told->count < 2 * told->most;
}

static bool is_address(const lvs_address *is, const char *text)
{
    lvs_address wanted = address(text);
    return memcmp(is, &wanted, sizeof wanted) == 0;
}

static void a_wanted_configuration_is_reached(void)
{
    static const char WANTED[] = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.2 -m\n-A -f 5\n";
    static const char WRONG[] = "-A -f 5\n-a -f 5 -r 224.0.0.1 -m\n";
    lvs_director *director = director_with_events();
    lvs_service_id web = service_at(director, "192.0.2.10:80");
    lvs_applied done = { .size = sizeof done };
    struct told told = { .director = director, .most = 10 };
    uint32_t line = 0, column = 0;

    server_at(director, web, "10.0.0.1:8080");
    CHECK(lvs_director_apply(director, WANTED, strlen(WANTED), &done, told_of, &told, &line, &column) == LVS_OK);
    CHECK(done.services_added == 1 && done.services_unchanged == 1 && done.services_removed == 0);
    CHECK(done.servers_added == 1 && done.servers_removed == 1 && done.size == sizeof done && line == 0);
    CHECK(strcmp(told.changes, "aSasrs") == 0);
    CHECK(told.last.kind == LVS_CHANGE_REMOVED && told.last.protocol == LVS_PROTOCOL_TCP && told.last.mark == 0);
    CHECK(is_address(&told.last.service, "192.0.2.10:80") && is_address(&told.last.server, "10.0.0.1:8080"));
    CHECK(lvs_director_apply(director, WRONG, strlen(WRONG), NULL, told_of, &told, &line, &column) == LVS_ERR_REFUSED);
    CHECK(line == 2 && column == 12 && told.count == 6);
    CHECK(lvs_director_apply(director, "--what", 6, NULL, NULL, NULL, NULL, NULL) == LVS_ERR_RULE);
    told = (struct told){ .director = director, .most = 2 };
    CHECK(lvs_director_apply(director, NULL, 0, &done, told_of, &told, NULL, NULL) == LVS_OK);
    CHECK(done.services_removed == 2 && done.servers_removed == 1 && strcmp(told.changes, "rSrS") == 0);
    lvs_director_free(director);
}

static void wanted_services_may_be_records(void)
{
    lvs_director *director = director_with_events();
    lvs_service services[2] = { LVS_SERVICE_INIT, LVS_SERVICE_INIT };
    lvs_server servers[2] = { LVS_SERVER_INIT, LVS_SERVER_INIT };
    lvs_wanted wanted[2] = { { &services[0], servers, 2 }, { &services[1], NULL, 0 } };
    lvs_applied done = { .size = sizeof done };
    struct told told = { .director = director, .most = 10 };
    uint32_t service = 77, server = 77;
    lvs_service_id web;
    lvs_server_id first, same;
    char text[400];

    services[0].protocol = LVS_PROTOCOL_TCP;
    services[0].address = address("192.0.2.10:80");
    services[1].mark = 5;
    services[1].address.family = 6;
    servers[0].address = address("10.0.0.1:80");
    servers[1].address = address("10.0.0.2:80");
    CHECK(lvs_director_apply_services(director, wanted, 2, &done, told_of, &told, &service, &server) == LVS_OK);
    CHECK(strcmp(told.changes, "aSaSasas") == 0 && done.servers_added == 2 && service == 77 && server == 77);
    text_of(director, "-S -n", text, sizeof text);
    CHECK(strstr(text, "-A -f 5 -6 -s wlc\n") != NULL);
    CHECK(lvs_director_find_service(director, &services[0], &web) == LVS_OK);
    CHECK(lvs_director_find_server(director, web, &servers[0].address, &first) == LVS_OK);

    servers[1].weight = 7;
    told = (struct told){ .director = director, .most = 10 };
    CHECK(lvs_director_apply_services(director, wanted, 1, &done, told_of, &told, NULL, NULL) == LVS_OK);
    CHECK(strcmp(told.changes, "rSes") == 0 && done.services_unchanged == 1 && done.servers_unchanged == 1);
    CHECK(is_address(&told.last.server, "10.0.0.2:80") && told.last.kind == LVS_CHANGE_EDITED);
    CHECK(lvs_director_find_server(director, web, &servers[0].address, &same) == LVS_OK && same.index == first.index);

    /* What is refused, and where. */
    servers[1].weight = UINT32_MAX;
    CHECK(lvs_director_apply_services(director, wanted, 2, NULL, NULL, NULL, &service, &server) == LVS_ERR_REFUSED);
    CHECK(service == 0 && server == 1);
    CHECK(lvs_director_last_error(director, text, sizeof text, NULL) == LVS_OK && strstr(text, "10.0.0.2:80") != NULL);
    servers[1] = servers[0];
    CHECK(lvs_director_apply_services(director, wanted, 2, NULL, NULL, NULL, &service, &server) == LVS_ERR_EXISTS);
    CHECK(service == 0 && server == 1);
    servers[1].address = address("10.0.0.2:80");
    servers[1].method = 9;
    service = 77;
    CHECK(lvs_director_apply_services(director, wanted, 2, NULL, NULL, NULL, &service, &server) == LVS_ERR_ARGUMENT);
    CHECK(service == 0 && server == 1);
    servers[1].method = LVS_METHOD_NAT;
    servers[1].size = sizeof servers[1] + 4;
    server = 77;
    CHECK(lvs_director_apply_services(director, wanted, 2, NULL, NULL, NULL, &service, &server) == LVS_ERR_ARGUMENT);
    CHECK(server == 1);
    servers[1].size = sizeof servers[1];
    strcpy(services[1].scheduler, "fastest");
    CHECK(lvs_director_apply_services(director, wanted, 2, NULL, NULL, NULL, &service, &server) == LVS_ERR_NOT_FOUND);
    CHECK(service == 1 && server == LVS_NONE);
    services[1] = services[0];
    CHECK(lvs_director_apply_services(director, wanted, 2, NULL, NULL, NULL, &service, &server) == LVS_ERR_EXISTS);
    CHECK(service == 1 && server == LVS_NONE);
    wanted[1].service = NULL;
    service = 77;
    CHECK(lvs_director_apply_services(director, wanted, 2, NULL, NULL, NULL, &service, &server) == LVS_ERR_NULL);
    CHECK(service == 1 && server == LVS_NONE);
    wanted[0].servers = NULL;
    CHECK(lvs_director_apply_services(director, wanted, 1, NULL, NULL, NULL, &service, &server) == LVS_ERR_NULL);
    CHECK(service == 0 && server == 0);
    text_of(director, "-S -n", text, sizeof text);
    CHECK(strcmp(text, "-A -t 192.0.2.10:80 -s wlc\n-a -t 192.0.2.10:80 -r 10.0.0.1:80 -g -w 1\n"
                       "-a -t 192.0.2.10:80 -r 10.0.0.2:80 -g -w 7\n") == 0);
    lvs_director_free(director);
}

static void explain_says_where_and_changes_nothing(void)
{
    lvs_director *director = director_with_rules();
    uint8_t buffer[CAPACITY], before[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    lvs_result expected, result;
    size_t needed = 0;
    uint64_t count = 7;
    char text[1000];

    memcpy(before, buffer, CAPACITY);
    CHECK(lvs_director_explain(director, 0, &syn, &expected, NULL, 0, &needed) == LVS_ERR_SPACE);
    CHECK(expected.verdict == LVS_FORWARD && expected.connection.index == LVS_NONE && needed > 1);
    CHECK(lvs_director_explain(director, 0, &syn, NULL, text, sizeof text, &needed) == LVS_OK);
    CHECK(strstr(text, "rr chooses 10.0.0.101:8080") != NULL && strlen(text) + 1 == needed);
    CHECK(memcmp(before, buffer, CAPACITY) == 0);
    CHECK(lvs_director_count(director, LVS_FORWARD, 0, &count) == LVS_OK && count == 0);
    CHECK(lvs_director_process(director, 0, &syn, &result, 1) == LVS_OK);
    CHECK(memcmp(expected.next_hop, result.next_hop, 16) == 0 && expected.server.index == result.server.index);
    CHECK(lvs_director_count(director, LVS_FORWARD, 0, &count) == LVS_OK && count == 1);
    CHECK(lvs_director_count(director, LVS_DROP, LVS_DROP_NOT_IP, &count) == LVS_OK && count == 0);
    CHECK(lvs_director_count(director, LVS_DROP, 0, &count) == LVS_ERR_ARGUMENT);
    CHECK(lvs_director_count(director, LVS_FORWARD, 1, &count) == LVS_ERR_ARGUMENT);
    CHECK(lvs_director_count(director, 4, 1, &count) == LVS_ERR_ARGUMENT);
    CHECK(lvs_director_metrics(director, NULL, 0, &needed) == LVS_ERR_SPACE && needed > 1000);
    CHECK(lvs_director_proc_file(director, "ip_vs_stats", 11, text, sizeof text, NULL) == LVS_OK);
    CHECK(lvs_director_proc_file(director, "stat", 4, text, sizeof text, NULL) == LVS_ERR_NOT_FOUND);
    lvs_director_free(director);
}

static void settings_have_names(void)
{
    lvs_director *director = director_with_rules();
    lvs_timeouts timeouts = LVS_TIMEOUTS_INIT;
    lvs_service_options options = LVS_SERVICE_OPTIONS_INIT, back = LVS_SERVICE_OPTIONS_INIT;
    lvs_service_id service = { 0, 0 }, none = { LVS_NONE, 0 };
    uint16_t ports[] = { 21, 2121 }, asked[2] = { 0, 0 };
    size_t names = 0, needed = 0;
    char text[40];

    while (lvs_tunable_name(names) != NULL) {
        const char *name = lvs_tunable_name(names++);
        CHECK(lvs_director_tunable(director, name, strlen(name), text, sizeof text, NULL) == LVS_OK);
        CHECK(lvs_director_set_tunable(director, name, strlen(name), text, strlen(text)) == LVS_OK);
    }
    CHECK(names > 20);
    CHECK(lvs_director_set_tunable(director, "net.ipv4.vs.sync_threshold", 26, "4 60", 4) == LVS_OK);
    CHECK(lvs_director_tunable(director, "sync_threshold", 14, text, sizeof text, NULL) == LVS_OK);
    CHECK(strcmp(text, "4\t60") == 0);
    CHECK(lvs_director_set_tunable(director, "drop_entry", 10, "4", 1) == LVS_ERR_REFUSED);
    CHECK(lvs_director_set_tunable(director, "speed", 5, "4", 1) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_set_tunable(director, "\xc3", 1, "4", 1) == LVS_ERR_ARGUMENT);
    CHECK(lvs_director_tunable(director, "speed", 5, text, sizeof text, NULL) == LVS_ERR_NOT_FOUND);

    timeouts.udp_ms = 10000;
    timeouts.tcp_ms[LVS_TCP_SYN_RECEIVED] = 2500;
    CHECK(lvs_director_set_timeouts(director, &timeouts) == LVS_OK);
    CHECK(lvs_director_timeouts(director, &timeouts) == LVS_OK);
    CHECK(timeouts.udp_ms == 10000 && timeouts.tcp_ms[LVS_TCP_SYN_RECEIVED] == 2500);
    CHECK(timeouts.tcp_ms[LVS_TCP_ESTABLISHED] == 900000 && timeouts.sctp_ms[LVS_SCTP_CLOSED] != 0);
    timeouts.udp_ms = UINT32_MAX;
    CHECK(lvs_director_set_timeouts(director, &timeouts) == LVS_ERR_REFUSED);
    CHECK(lvs_director_last_error(director, text, sizeof text, NULL) == LVS_OK && strstr(text, "timeout") != NULL);
    timeouts = (lvs_timeouts)LVS_TIMEOUTS_INIT;
    timeouts.tcp_ms[LVS_TCP_SYN_RECEIVED] = 1000;
    CHECK(lvs_director_service_options(director, service, &back, &timeouts) == LVS_OK);
    CHECK(back.size == sizeof back && back.flags == 0 && back.slow_start_ms == 0 && back.timeouts == NULL);
    CHECK(timeouts.tcp_ms[LVS_TCP_SYN_RECEIVED] == 1000); /* it has none of its own */
    options.flags = LVS_SERVICE_BEGINS_ANYWHERE;
    options.slow_start_ms = 60000;
    options.timeouts = &timeouts;
    CHECK(lvs_director_set_service_options(director, service, &options) == LVS_OK);
    CHECK(lvs_director_set_service_options(director, none, &options) == LVS_ERR_NOT_FOUND);
    timeouts.tcp_ms[LVS_TCP_SYN_RECEIVED] = 0;
    CHECK(lvs_director_service_options(director, service, &back, &timeouts) == LVS_OK);
    CHECK(back.flags == LVS_SERVICE_BEGINS_ANYWHERE && back.slow_start_ms == 60000 && back.slow_start_percent == 10);
    CHECK(back.timeouts == &timeouts && timeouts.tcp_ms[LVS_TCP_SYN_RECEIVED] == 1000);
    CHECK(lvs_director_set_service_options(director, service, &back) == LVS_OK);
    CHECK(lvs_director_service_options(director, service, &back, NULL) == LVS_OK && back.timeouts == NULL);
    CHECK(lvs_director_service_options(director, none, &back, NULL) == LVS_ERR_NOT_FOUND);
    options.slow_start_percent = 101;
    CHECK(lvs_director_set_service_options(director, service, &options) == LVS_ERR_REFUSED);
    options.slow_start_percent = 1000;
    CHECK(lvs_director_set_service_options(director, service, &options) == LVS_ERR_REFUSED);

    CHECK(lvs_director_set_admission(director, LVS_ADMISSION_EVICT_HALF_OPEN) == LVS_OK);
    CHECK(lvs_director_set_admission(director, 3) == LVS_ERR_ARGUMENT);
    CHECK(lvs_director_ftp_ports(director, NULL, 0, &needed) == LVS_OK && needed == 0);
    CHECK(lvs_director_set_ftp_ports(director, ports, 2) == LVS_OK);
    CHECK(lvs_director_ftp_ports(director, asked, 1, &needed) == LVS_ERR_SPACE && needed == 2 && asked[0] == 0);
    CHECK(lvs_director_ftp_ports(director, asked, 2, NULL) == LVS_OK && asked[0] + asked[1] == 21 + 2121);
    ports[1] = 21;
    CHECK(lvs_director_set_ftp_ports(director, ports, 2) == LVS_ERR_REFUSED);
    CHECK(lvs_director_set_available_memory(director, 100) == LVS_OK);
    lvs_director_free(director);
}

static void the_host_says_what_it_knows(void)
{
    lvs_director *director = director_with_rules();
    lvs_address server = address("10.0.0.101"), v6 = address("2001:db8::1"), none = LVS_ADDRESS_NONE;
    lvs_path path = LVS_PATH_INIT;
    lvs_result result;

    path.unreachable = 1;
    CHECK(lvs_director_set_path(director, &server, &path) == LVS_OK);
    result = send_syn(director, 0, 1);
    CHECK(result.verdict == LVS_REPLY && result.reason == LVS_REPLY_NO_ROUTE);
    CHECK(lvs_director_set_path(director, &server, NULL) == LVS_OK);
    CHECK(send_syn(director, 0, 2).verdict == LVS_FORWARD);
    text_of(director, "-d -t 192.0.2.10:80 -r 10.0.0.101:8080", NULL, 0);
    text_of(director, "-a -t 192.0.2.10:80 -r 10.0.0.101 -g", NULL, 0);
    CHECK(lvs_director_set_local_addresses(director, &server, 1) == LVS_OK);
    result = send_syn(director, 0, 3);
    CHECK(result.verdict == LVS_PASS && result.reason == LVS_PASS_LOCAL_SERVER);
    CHECK(lvs_director_set_local_addresses(director, &none, 1) == LVS_ERR_ARGUMENT);
    CHECK(lvs_director_set_broadcast_addresses(director, &server, 1) == LVS_OK);
    CHECK(lvs_director_set_broadcast_addresses(director, &v6, 1) == LVS_ERR_ARGUMENT);
    CHECK(lvs_director_set_client_side_addresses(director, &server, &v6) == LVS_OK);
    CHECK(lvs_director_set_client_side_addresses(director, NULL, NULL) == LVS_OK);
    CHECK(lvs_director_set_client_side_addresses(director, &v6, NULL) == LVS_ERR_ARGUMENT);
    path.reserved = 1;
    CHECK(lvs_director_set_path(director, &server, &path) == LVS_ERR_ARGUMENT);
    lvs_director_free(director);
}

static void directors_tell_each_other(void)
{
    lvs_director *master = director_with_rules(), *backup = director_with_rules();
    lvs_daemon daemon = LVS_DAEMON_INIT, running = { .size = sizeof running };
    lvs_sync_counts counts = { .size = sizeof counts };
    lvs_sync_message message;
    lvs_sync_received received;
    uint8_t bytes[1500];

    daemon.role = LVS_ROLE_MASTER;
    daemon.sync_id = 5;
    CHECK(lvs_director_start_daemon(master, &daemon) == LVS_OK);
    CHECK(lvs_director_start_daemon(master, &daemon) == LVS_ERR_EXISTS);
    CHECK(lvs_director_daemon(master, LVS_ROLE_MASTER, &running) == LVS_OK);
    CHECK(running.group.port == 8848 && running.max_length == 1472 && running.ttl == 1);
    CHECK(strcmp(running.interface, "eth0") == 0 && running.sync_id == 5);
    CHECK(lvs_director_daemon(master, LVS_ROLE_BACKUP, &running) == LVS_ERR_NOT_FOUND);
    CHECK(lvs_director_daemon(master, 3, &running) == LVS_ERR_ARGUMENT);
    daemon.role = LVS_ROLE_BACKUP;
    CHECK(lvs_director_start_daemon(backup, &daemon) == LVS_OK);
    daemon.role = 0;
    CHECK(lvs_director_start_daemon(backup, &daemon) == LVS_ERR_ARGUMENT);

    CHECK(lvs_director_set_tunable(master, "sync_threshold", 14, "0 1", 3) == LVS_OK);
    CHECK(lvs_director_set_tunable(master, "sync_version", 12, "1", 1) == LVS_OK);
    CHECK(lvs_director_poll_sync(master, 0, bytes, sizeof bytes, &message) == LVS_OK && message.length == 0);
    {   /* A connection that is established at once: sloppy, and in mid-stream. */
        uint8_t buffer[CAPACITY];
        lvs_packet packet = syn_from(buffer, 40000);
        lvs_result result;
        CHECK(lvs_director_set_tunable(master, "sloppy_tcp", 10, "1", 1) == LVS_OK);
        buffer[HEADROOM + 33] = 0x10;
        CHECK(lvs_director_process(master, 0, &packet, &result, 1) == LVS_OK && result.verdict == LVS_FORWARD);
    }
    CHECK(lvs_director_poll_sync(master, UINT64_C(3000000000), bytes, 4, &message) == LVS_ERR_SPACE);
    CHECK(message.length > 4);
    CHECK(lvs_director_poll_sync(master, UINT64_C(3000000000), bytes, sizeof bytes, &message) == LVS_OK);
    CHECK(message.length > 4 && message.group.port == 8848 && message.group.bytes[0] == 224 && message.ttl == 1);
    CHECK(lvs_director_receive_sync(backup, 0, bytes, message.length, &received) == LVS_OK);
    CHECK(received.created == 1 && received.refused == 0);
    CHECK(lvs_director_receive_sync(master, 0, bytes, message.length, &received) == LVS_OK);
    CHECK(received.refused == LVS_SYNC_NO_BACKUP);
    CHECK(strcmp(lvs_sync_ignored_name(received.refused), "no-backup") == 0);
    CHECK(lvs_director_sync_counts(master, &counts) == LVS_OK);
    CHECK(counts.messages_sent == 1 && counts.ignored[LVS_SYNC_NO_BACKUP] == 1);
    CHECK(lvs_director_stop_daemon(master, LVS_ROLE_MASTER) == LVS_OK);
    CHECK(lvs_director_stop_daemon(master, LVS_ROLE_MASTER) == LVS_ERR_NOT_FOUND);
    lvs_director_free(master);
    lvs_director_free(backup);
}

/* A scheduler that takes the server that was added first, and counts what it is told. */
struct first {
    lvs_director *director;
    size_t servers;
    int picks, changes, releases;
    uint32_t answer;
};

static uint32_t pick(const lvs_new_flow *flow, const lvs_candidate *servers, size_t count, void *user)
{
    struct first *first = user;
    CHECK(flow->client.port != 0 && flow->target.family == 4 && flow->protocol == 6);
    CHECK(count == first->servers && servers[count - 1].eligible == 1 && servers[count - 1].weight == 1);
    CHECK(lvs_director_clear(first->director) == LVS_ERR_BUSY);
    first->picks++;
    return first->answer != 0 ? first->answer : (uint32_t)count - 1;
}

static void changed(const lvs_candidate *servers, size_t count, void *user)
{
    struct first *first = user;
    CHECK(count == 0 || servers != NULL);
    first->servers = count;
    first->changes++;
}

static void released(void *user)
{
    struct first *first = user;
    CHECK(lvs_director_clear(first->director) == LVS_ERR_BUSY); /* while it is freed, too */
    lvs_director_free(first->director);
    first->releases++;
}

static void a_scheduler_may_be_the_callers(void)
{
    lvs_director *director = director_with_events();
    struct first first = { .director = director };
    lvs_scheduler scheduler = LVS_SCHEDULER_INIT;
    lvs_service service = LVS_SERVICE_INIT;
    lvs_service_id id;
    lvs_server_id one;
    lvs_result expected;
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    char text[400];

    service.protocol = LVS_PROTOCOL_TCP;
    service.address = address("192.0.2.10:80");
    strcpy(service.scheduler, "first");
    scheduler.user = &first;
    CHECK(lvs_director_add_service_with(director, &service, &scheduler, &id) == LVS_ERR_NULL);
    scheduler.pick = pick;
    scheduler.changed = changed;
    scheduler.release = released;
    scheduler.weights = 3;
    CHECK(lvs_director_add_service_with(director, &service, &scheduler, &id) == LVS_ERR_ARGUMENT);
    scheduler.weights = LVS_WEIGHTS_FIXED;
    CHECK(lvs_director_edit_service_with(director, &service, &scheduler, &id) == LVS_ERR_NOT_FOUND);
    CHECK(first.releases == 0 && first.changes == 0);
    CHECK(lvs_director_add_service_with(director, &service, &scheduler, &id) == LVS_OK);
    CHECK(lvs_director_add_service_with(director, &service, &scheduler, &id) == LVS_ERR_EXISTS && first.releases == 0);

    one = server_at(director, id, "10.0.0.1:8080");
    server_at(director, id, "10.0.0.2:8080");
    CHECK(first.servers == 2 && first.changes == 3);
    CHECK(send_syn(director, 0, 1).server.index == one.index && send_syn(director, 0, 2).server.index == one.index);
    CHECK(first.picks == 2);
    first.answer = LVS_NONE;
    CHECK(send_syn(director, 0, 3).verdict == LVS_REPLY);
    first.answer = 2; /* beyond the array */
    CHECK(send_syn(director, 0, 4).verdict == LVS_REPLY);
    CHECK(lvs_director_explain(director, 0, &syn, &expected, text, sizeof text, NULL) == LVS_OK);
    CHECK(expected.verdict == LVS_VERDICT_UNKNOWN && first.picks == 4);

    CHECK(lvs_director_edit_service_with(director, &service, &scheduler, NULL) == LVS_OK && first.releases == 1);
    CHECK(lvs_director_remove_service(director, id) == LVS_OK && first.releases == 2);
    CHECK(lvs_director_add_service_with(director, &service, &scheduler, NULL) == LVS_OK);
    lvs_director_free(director);
    CHECK(first.releases == 3);
}

/* A scheduler that goes round, whose turn is its copy's too, and that begins anew every ten seconds. */
struct round {
    uint32_t next;
    uint64_t ends;
    int ticks, forks, *released;
};

static uint32_t take_turns(const lvs_new_flow *flow, const lvs_candidate *servers, size_t count, void *user)
{
    struct round *round = user;
    (void)flow, (void)servers;
    return count == 0 ? LVS_NONE : round->next++ % (uint32_t)count;
}

static uint64_t end_of_round(void *user)
{
    return ((struct round *)user)->ends;
}

static void begin_round(uint64_t now, void *user)
{
    struct round *round = user;
    round->next = 0;
    round->ends = now + UINT64_C(10000000000);
    round->ticks++;
}

static bool copy_round(void *user, void **copy)
{
    struct round *round = user, *other = malloc(sizeof *other);
    round->forks++;
    if (round->forks == 3) { /* none to be had */
        free(other);
        return false;
    }
    *other = *round;
    *copy = other;
    return true;
}

static void release_round(void *user)
{
    ++*((struct round *)user)->released;
    free(user);
}

static void a_scheduler_may_have_time_and_copies(void)
{
    lvs_director *director = director_with_events();
    int released = 0;
    struct round *round = calloc(1, sizeof *round);
    lvs_scheduler scheduler = LVS_SCHEDULER_INIT;
    lvs_service service = LVS_SERVICE_INIT;
    lvs_service_id id;
    lvs_result expected, result;
    uint8_t buffer[CAPACITY];
    lvs_packet syn = syn_from(buffer, 40000);
    uint64_t at = 0, now = UINT64_C(5000000000);
    char text[400];

    round->released = &released;
    round->ends = UINT64_MAX;
    scheduler.pick = take_turns;
    scheduler.next_tick = end_of_round;
    scheduler.tick = begin_round;
    scheduler.fork = copy_round;
    scheduler.release = release_round;
    scheduler.user = round;
    service.protocol = LVS_PROTOCOL_TCP;
    service.address = address("192.0.2.10:80");
    strcpy(service.scheduler, "round");
    CHECK(lvs_director_advance(director, now, 1000, NULL) == LVS_OK);
    CHECK(lvs_director_add_service_with(director, &service, &scheduler, &id) == LVS_OK);
    CHECK(round->ticks == 1 && round->ends == now + UINT64_C(10000000000));
    server_at(director, id, "10.0.0.1:8080");
    server_at(director, id, "10.0.0.2:8080");

    for (uint16_t port = 1; port <= 2; port++) {
        CHECK(lvs_director_explain(director, now, &syn, &expected, text, sizeof text, NULL) == LVS_OK);
        CHECK(expected.verdict == LVS_FORWARD && round->next == port - 1u && released == port);
        result = send_syn(director, now, port);
        CHECK(result.server.index == expected.server.index);
    }
    CHECK(lvs_director_explain(director, now, &syn, &expected, text, sizeof text, NULL) == LVS_OK);
    CHECK(expected.verdict == LVS_VERDICT_UNKNOWN && round->forks == 3 && released == 2);

    CHECK(lvs_director_next_deadline(director, &at) == LVS_OK && at <= round->ends);
    CHECK(lvs_director_advance(director, round->ends - 1, 1000, NULL) == LVS_OK && round->ticks == 1);
    CHECK(lvs_director_advance(director, round->ends, 1000, NULL) == LVS_OK && round->ticks == 2 && round->next == 0);
    CHECK(lvs_director_remove_service(director, id) == LVS_OK && released == 3);
    lvs_director_free(director);
}

int main(void)
{
    addresses_are_read_and_written();
    services_come_and_go();
    what_a_record_must_not_hold_is_refused();
    servers_come_and_go();
    walks_see_everything_and_change_nothing();
    connections_end_by_what_they_have_in_common();
    events_tell_what_happened();
    a_wanted_configuration_is_reached();
    wanted_services_may_be_records();
    explain_says_where_and_changes_nothing();
    settings_have_names();
    the_host_says_what_it_knows();
    directors_tell_each_other();
    a_scheduler_may_be_the_callers();
    a_scheduler_may_have_time_and_copies();
    puts("ok");
    return 0;
}
