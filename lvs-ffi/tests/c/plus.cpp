// The header in C++17: records with their macros, a lambda as a visitor, an owner of a handle.

#include <lvs.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

struct Free {
    void operator()(lvs_director *director) const { lvs_director_free(director); }
};

static lvs_address address(std::string_view text)
{
    lvs_address out = LVS_ADDRESS_NONE;
    if (lvs_address_parse(text.data(), text.size(), &out) != LVS_OK)
        std::fprintf(stderr, "no address: %s\n", std::string(text).c_str());
    return out;
}

int main()
{
    lvs_config config = LVS_CONFIG_INIT;
    lvs_director *raw = nullptr;
    if (lvs_director_new(&config, &raw) != LVS_OK)
        return 1;
    std::unique_ptr<lvs_director, Free> director(raw);

    lvs_service service = LVS_SERVICE_INIT;
    lvs_server server = LVS_SERVER_INIT;
    lvs_drain drain = LVS_DRAIN_INIT;
    lvs_filter filter = LVS_FILTER_INIT;
    lvs_daemon daemon = LVS_DAEMON_INIT;
    lvs_timeouts timeouts = LVS_TIMEOUTS_INIT;
    lvs_scheduler scheduler = LVS_SCHEDULER_INIT;
    lvs_service_options options = LVS_SERVICE_OPTIONS_INIT;
    lvs_service_id id{};
    (void)drain, (void)filter, (void)daemon, (void)timeouts, (void)options;

    service.protocol = LVS_PROTOCOL_TCP;
    service.address = address("192.0.2.10:80");
    std::strcpy(service.scheduler, "last");
    scheduler.pick = [](const lvs_new_flow *, const lvs_candidate *, size_t count, void *) -> uint32_t {
        return count == 0 ? LVS_NONE : static_cast<uint32_t>(count - 1);
    };
    server.address = address("10.0.0.1:80");
    server.method = LVS_METHOD_NAT;
    if (lvs_director_add_service_with(director.get(), &service, &scheduler, &id) != LVS_OK
        || lvs_director_add_server(director.get(), id, &server, nullptr) != LVS_OK)
        return 2;

    std::string seen;
    auto visit = [](const lvs_service *it, const lvs_service_info *, void *user) {
        static_cast<std::string *>(user)->assign(it->scheduler);
        return true;
    };
    if (lvs_director_each_service(director.get(), visit, &seen) != LVS_OK || seen != "last")
        return 3;
    std::puts("ok");
    return 0;
}
