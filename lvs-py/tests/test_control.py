"""Services, servers, settings, operation: what an embedder has in Rust."""

import pickle
from ipaddress import IPv4Address, ip_address, ip_network
from types import MappingProxyType

import lvs
import pytest
from lvs.packets import tcp, udp

WEB = "TCP 192.0.2.10:80"


def client(port, host=9):
    return tcp(f"198.51.100.{host}:{port}", "192.0.2.10:80")


def test_services_and_servers_come_and_go():
    with lvs.Director(seed=7) as director:
        assert director.add_service("tcp", "192.0.2.10:80", scheduler="wrr", persistence=300) == WEB
        director.add_server(WEB, "10.0.0.1:8080", method="nat", weight=3, upper=10, lower=5)
        director.add_server(("tcp", "192.0.2.10:80"), ("10.0.0.2", 8080), method="tun", tunnel="gue:6080+csum")
        assert director.save() == (
            "-A -t 192.0.2.10:80 -s wrr -p 300\n"
            "-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3\n"
            "-a -t 192.0.2.10:80 -r 10.0.0.2:8080 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum\n"
        )
        (service,) = director.services()
        assert (service.key, service.scheduler, service.persistence) == (WEB, "wrr", 300.0)
        assert [server.address for server in service.servers] == ["10.0.0.2:8080", "10.0.0.1:8080"]
        second, first = service.servers
        assert (first.method, first.weight, first.upper, first.lower, first.state) == ("nat", 3, 10, 5, "active")
        assert second.tunnel == "gue:6080+csum"

        director.edit_server(service, "10.0.0.1:8080", weight=0)
        director.edit_service(service, scheduler="sh", flags=["port", "fallback"], persistence=0)
        (service,) = director.services()
        assert (service.scheduler, service.flags, service.persistence) == ("sh", ("fallback", "port"), None)
        assert director.servers(WEB)[1].weight == 0 and director.servers(WEB)[1].upper == 10
        director.remove_server(WEB, "10.0.0.2:8080")
        assert len(director.servers()) == 1
        director.remove_service(WEB)
        assert director.services() == ()


def test_services_of_marks_and_of_ipv6():
    with lvs.Director(seed=7) as director:
        assert director.add_service("fwm", 5) == "FWM 5"
        assert director.add_service("fwm", 5, family="ipv6", netmask=64, persistence=60) == "FWM 5 IPv6"
        assert director.add_service("udp", ("2001:db8::1", 53)) == "UDP [2001:db8::1]:53"
        assert director.add_service("sctp", (IPv4Address("192.0.2.10"), 99), scheduler="mh") == "SCTP 192.0.2.10:99"
        for service in director.services():
            director.remove_service(service)
        assert director.save() == ""


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda d: d.add_service("tcp", "192.0.2.10:80"), lvs.ExistsError),
        (lambda d: d.add_service("tcp", "192.0.2.11:80", scheduler="fastest"), lvs.NotFoundError),
        (lambda d: d.add_service("fwm", 0), lvs.ControlError),
        (lambda d: d.add_service("icmp", "192.0.2.11:80"), ValueError),
        (lambda d: d.add_service("tcp", "nowhere:80"), ValueError),
        (lambda d: d.add_service("tcp", 80), TypeError),
        (lambda d: d.add_service("tcp", "192.0.2.11:80", scheduler=7), TypeError),
        (lambda d: d.add_service("tcp", "192.0.2.11:80", flags=["fast"]), ValueError),
        (lambda d: d.add_service("tcp", "192.0.2.11:80", persistence=-1), ValueError),
        (lambda d: d.edit_service("tcp 192.0.2.11:80", scheduler="rr"), lvs.NotFoundError),
        (lambda d: d.add_server(WEB, "10.0.0.101:8080"), lvs.ExistsError),
        (lambda d: d.add_server(WEB, "224.0.0.1:80"), lvs.ControlError),
        (lambda d: d.add_server("udp 192.0.2.10:80", "10.0.0.1:80"), LookupError),
        (lambda d: d.add_server("80", "10.0.0.1:80"), ValueError),
        (lambda d: d.add_server(80, "10.0.0.1:80"), TypeError),
        (lambda d: d.add_server(WEB, "10.0.0.1:80", method="teleport"), ValueError),
        (lambda d: d.add_server(WEB, "10.0.0.1:80", tunnel="gue"), ValueError),
        (lambda d: d.add_server(WEB, "10.0.0.1:80", weight=-1), OverflowError),
        (lambda d: d.remove_server(WEB, "10.0.0.9:80"), lvs.NotFoundError),
        (lambda d: d.drain(WEB, "10.0.0.9:80"), lvs.NotFoundError),
        (lambda d: d.drain(WEB, "10.0.0.101:8080", rest="explode"), ValueError),
        (lambda d: d.flush(service="fwm 9"), lvs.NotFoundError),
        (lambda d: d.flush(server="10.0.0.101:8080"), ValueError),
        (lambda d: d.flush(client="198.51.100.0/33"), ValueError),
        (lambda d: d.flush(state="HALF_OPEN"), lvs.NotFoundError),
        (lambda d: d.drain(WEB, "10.0.0.101:8080", deadline=float("nan")), ValueError),
        (lambda d: d.set_tunable("conn_reuse_mod", 1), lvs.NotFoundError),
        (lambda d: d.set_tunable("sync_version", 2), lvs.ControlError),
        (lambda d: d.set_timeouts({"TCP NOWHERE": 1}), ValueError),
        (lambda d: d.set_timeouts(None), TypeError),
        (lambda d: d.set_service_options(WEB, None), TypeError),
        (lambda d: d.set_timeouts({"UDP": 1e9}), lvs.ControlError),
        (lambda d: d.start_daemon("owner"), ValueError),
        (lambda d: d.stop_daemon("master"), lvs.NotFoundError),
        (lambda d: d.listing("--colour"), lvs.RuleError),
        (lambda d: d.listing("\n-C"), ValueError),
        (lambda d: d.proc_file("meminfo"), lvs.NotFoundError),
        (lambda d: d.set_path("10.0.0.1:80"), ValueError),
        (lambda d: d.set_client_side_addresses("2001:db8::1"), ValueError),
        (lambda d: d.apply("-A -t 192.0.2.10:80\n-C"), lvs.RuleError),
    ],
)
def test_a_refusal_is_a_clear_exception_and_changes_nothing(director, call, error):
    before = director.save(), director.tunables(), director.timeouts()
    with pytest.raises(error) as caught:
        call(director)
    assert str(caught.value)
    assert (director.save(), director.tunables(), director.timeouts()) == before


def test_applying_touches_only_what_changes(director):
    director.process(client(1), now=0.0)
    assert director.apply(director.save()).is_unchanged
    done = director.apply(director.save() + "-a -t 192.0.2.10:80 -r 10.0.0.102:8080 -m -w 2\n-A -f 5\n")
    assert (done.services_added, done.servers_added) == (("FWM 5",), ((WEB, "10.0.0.102:8080"),))
    assert director.connection_count() == 1


def test_drains_end_with_an_event(director):
    director.process(client(1), now=0.0)
    assert director.servers_at("10.0.0.101") == [(WEB, "10.0.0.101:8080")]
    director.drain(WEB, "10.0.0.101:8080", deadline=1000, rest="reset", remove=True)
    assert director.servers()[0].state == "draining" and director.servers()[0].deadline == 1000.0
    assert isinstance(director.process(client(2), now=1.0), lvs.Reply)
    director.advance(200)
    made, *gone = director.events()
    assert made == lvs.ConnectionMade("TCP", "198.51.100.9:1", "192.0.2.10:80", "10.0.0.101:8080", False)
    assert [type(event) for event in gone] == [lvs.ConnectionGone, lvs.Drained]
    assert gone[0].why == "expired" and gone[1] == lvs.Drained(WEB, "10.0.0.101:8080", True)
    assert director.servers() == () and director.events() == [] and director.missed_events() == 0


def test_a_block_of_code_may_drain_a_server(director):
    with director.drained(WEB, "10.0.0.101:8080"):
        assert director.servers()[0].state == "drained"
        assert isinstance(director.process(client(1), now=0.0), lvs.Reply)
    assert director.servers()[0].state == "active"
    assert isinstance(director.process(client(1), now=0.0), lvs.Forward)


def test_thresholds_are_told_of(director):
    director.edit_server(WEB, "10.0.0.101:8080", upper=1)
    director.process(client(1), now=0.0)
    director.events()
    director.process(client(2), now=0.0)
    director.flush()
    events = director.events()
    assert lvs.Relieved(WEB, "10.0.0.101:8080") in events


def test_flushes_end_what_they_name(director):
    for host in range(1, 6):
        director.process(client(1000, host), now=0.0)
    assert director.flush(client="198.51.100.1") == 1
    assert director.flush(client=ip_network("198.51.100.2/31")) == 2
    assert director.flush(protocol="udp") == 0
    assert director.flush(service=WEB, server="10.0.0.101:8080", state="SYN_RECV") == 2
    assert director.connections() == ()


def test_connections_are_records(director):
    forward = director.process(client(1), now=0.0)
    (connection,) = director.connections()
    assert director.connection(forward.connection) == connection and connection.id == forward.connection
    assert director.connection(forward.connection + 1) is None and not connection.is_template
    assert (connection.client, connection.target, connection.server) == (
        "198.51.100.9:1",
        "192.0.2.10:80",
        "10.0.0.101:8080",
    )
    assert (connection.protocol, connection.state, connection.timeout) == ("TCP", "SYN_RECV", 60.0)
    assert director.next_deadline() <= connection.expires == 60.0


def test_records_are_values(director):
    director.process(client(1), now=0.0)
    director.start_daemon("master")
    made = [
        director.services(),
        director.servers(),
        director.connections(),
        director.explain(client(1)),
        director.apply(director.save()),
        director.counters(),
        director.rates(),
        director.service_options(WEB),
        director.daemons(),
        director.events(),
        lvs.NewFlow("198.51.100.9", 40000, "192.0.2.10", now=0.25),
        lvs.Candidate("10.0.0.1:80", 3, active=1),
        lvs.Forward(b"E", "10.0.0.1", "to-server", "nat", "10.0.0.1:80"),
    ]
    for record in made:
        again = eval(repr(record), vars(lvs))
        assert again == record and type(again) is type(record)
    for record in made[:10]:
        assert pickle.loads(pickle.dumps(record)) == record


def test_explanations_have_fields(director):
    why = director.explain(client(1))
    assert (why.service, why.scheduler, why.server, why.verdict) == (WEB, "rr", "10.0.0.101:8080", "forward")
    assert why.flow == lvs.Flow(6, "198.51.100.9:1", "192.0.2.10:80")
    assert (why.next_hop, why.rewrite) == ("10.0.0.101", "destination 10.0.0.101:8080")
    director.process(client(1), now=0.0)
    assert director.explain(client(1)).state == "SYN_RECV"
    assert director.explain(b"").reason == lvs.DropReason.NOT_IP


def test_tunables_have_their_kernel_names(director):
    assert director.tunables()["conn_reuse_mode"] == 1 and director.tunables()["sync_threshold"] == (3, 50)
    director.set_tunable("net.ipv4.vs.conn_reuse_mode", 0)
    director.set_tunable("sync_threshold", (5, 60))
    director.set_tunable("sloppy_tcp", True)
    tunables = director.tunables()
    assert (tunables["conn_reuse_mode"], tunables["sync_threshold"], tunables["sloppy_tcp"]) == (0, (5, 60), 1)


def test_timeouts_are_those_of_states(director):
    assert director.timeouts()["TCP ESTABLISHED"] == 900.0
    director.set_timeouts(MappingProxyType({"tcp syn_recv": 5, "UDP": 10.5}))
    assert (director.timeouts()["TCP SYN_RECV"], director.timeouts()["UDP"]) == (5.0, 10.5)
    director.process(client(1), now=0.0)
    assert director.connections()[0].timeout == 5.0
    options = lvs.ServiceOptions(timeouts={"TCP SYN_RECV": 3.0}, slow_start=lvs.SlowStart(60.0), begins_anywhere=True)
    director.set_service_options(WEB, options)
    there = director.service_options(WEB)
    assert there.timeouts["TCP SYN_RECV"] == 3.0 and there.slow_start == options.slow_start and there.begins_anywhere


def test_synchronisation_takes_connections_elsewhere(director):
    director.start_daemon("master", sync_id=3)
    director.process(client(1), now=0.0)
    director.process(tcp("10.0.0.101:8080", "198.51.100.9:1", flags="SA"), now=0.1)
    for _ in range(3):
        director.process(tcp("198.51.100.9:1", "192.0.2.10:80", flags="A"), now=0.2)
    messages = director.sync_messages(now=3.0)
    assert [(message.group, message.port, message.ttl) for message in messages] == [("224.0.0.81", 8848, 1)]
    with lvs.Director(seed=1) as backup:
        backup.start_daemon("backup", sync_id=3)
        assert backup.receive_sync(messages[0].data, now=3.0) == lvs.SyncReceived(1, 0, 0, None)
        (connection,) = backup.connections()
        assert (connection.state, connection.synced) == ("ESTABLISHED", True)
        assert backup.receive_sync(b"?", now=3.0).refused is not None
        assert backup.sync_counts()["created"] == 1
    assert director.daemons()[0].role == "master"
    director.stop_daemon("master")
    assert director.daemons() == []


def test_counts_and_listings(director):
    director.advance(0)
    director.process(client(1), now=0.0)
    director.process(udp("198.51.100.9:1", "192.0.2.99:80"), now=0.0)
    director.process(b"", now=0.0)
    assert director.reasons() == {("forward", ""): 1, ("pass", "no-service"): 1, ("drop", "not-ip"): 1}
    assert director.server_counters(WEB, "10.0.0.101:8080").in_packets == 1
    director.advance(3)
    assert director.counters().in_bytes == 40 and director.services()[0].counters.connections == 1
    director.zero(WEB)
    assert director.services()[0].counters.connections == 0
    assert "SYN_RECV" in director.listing("-c") and "InBytes" in director.listing("--stats")
    assert director.proc_file("ip_vs_conn").startswith("Pro FromIP")
    assert "lvs_packets_total" in director.metrics()
    assert director.memory() > 1000 * 100 and director.evictions() == {"expired": 0, "half_open": 0, "single": 0}
    assert director.dropped_entries() == director.evicted_fragments() == 0


def test_what_the_host_is_like():
    with lvs.Director(seed=7, local_addresses=["192.0.2.10"], address_v4="192.0.2.10", mtu=1400) as director:
        director.load("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -i")
        assert director.process(client(1), now=0.0) == lvs.Drop(lvs.DropReason.NO_TUNNEL_SOURCE)
        director.set_path("10.0.0.1", tunnel_source_v4=ip_address("192.0.2.10"), mtu=1500)
        out = director.process(client(1), now=0.0)
        assert (out.method, len(out.packet)) == ("tun", 60)
        director.set_path("10.0.0.1", reachable=False)
        assert isinstance(director.process(client(1), now=0.0), lvs.Reply)
        director.clear_path("10.0.0.1")
        director.set_local_addresses([])
        director.set_broadcast_addresses(["192.0.2.255"])
        director.set_client_side_addresses("192.0.2.10")
        director.set_admission("evict-half-open")
        director.set_available_memory(10000)
        director.set_ftp_ports([21, 2121])
        assert director.ftp_ports() == [21, 2121]


def test_the_reasons_are_those_of_the_library():
    with lvs.Director(seed=7) as director:
        text = director.metrics()
    for verdict, reasons in (("pass", lvs.PassReason), ("drop", lvs.DropReason), ("reply", lvs.ReplyReason)):
        for reason in reasons:
            assert f'verdict="{verdict}",reason="{reason}"' in text, reason
        assert text.count(f'verdict="{verdict}"') == len(reasons)


RECORDS = [
    lvs.Service(
        "TCP 192.0.2.10:80",
        scheduler="wrr",
        persistence=300.0,
        netmask="255.255.255.0",
        servers=(
            lvs.Server("TCP 192.0.2.10:80", "10.0.0.102:8080", method="nat", weight=5, upper=9, lower=3),
            lvs.Server("TCP 192.0.2.10:80", "10.0.0.101:80", method="tun", tunnel="gue:6080+csum"),
        ),
    ),
    lvs.Service("FWM 5 IPv6", "sh", flags=("fallback", "port"), servers=(lvs.Server("fwm 5 ipv6", "[2001:db8::1]:0"),)),
]
SAVED = """\
-A -t 192.0.2.10:80 -s wrr -p 300 -M 255.255.255.0
-a -t 192.0.2.10:80 -r 10.0.0.101:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 192.0.2.10:80 -r 10.0.0.102:8080 -m -w 5 -x 9 -y 3
-A -f 5 -6 -s sh -b sh-fallback,sh-port
-a -f 5 -6 -r 2001:db8::1 -g -w 1
"""


@pytest.mark.parametrize("kind", [lvs.Director, lvs.SharedDirector])
def test_rules_may_be_records(kind):
    with kind(seed=7) as director:
        done = director.apply(RECORDS)
        assert done.services_added == ("TCP 192.0.2.10:80", "FWM 5 IPv6") and len(done.servers_added) == 3
        with kind(seed=7) as text:
            text.load(SAVED)
            assert sorted(director.save().splitlines()) == sorted(text.save().splitlines())
        assert director.apply(director.services()).is_unchanged
        assert director.apply(iter(RECORDS[1:])).services_removed == ("TCP 192.0.2.10:80",)
        before = director.save()
        refused = [
            ([RECORDS[0], lvs.Service("UDP 192.0.2.10:53", "fastest")], lvs.NotFoundError),
            ([lvs.Service("FWM 7", servers=(lvs.Server("FWM 7", "224.0.0.1"),))], lvs.ControlError),
            ([lvs.Service("FWM 7", servers=(lvs.Server("FWM 8", "10.0.0.1"),))], ValueError),
            ([lvs.Service("FWM 7", servers=("10.0.0.1",))], AttributeError),
            ([lvs.Service("FWM 7", netmask="wide")], ValueError),
            ([RECORDS[0], RECORDS[0]], lvs.ExistsError),
            (["-A -f 7"], TypeError),
            (7, TypeError),
        ]
        for rules, error in refused:
            with pytest.raises(error):
                director.apply(rules)
            assert director.save() == before


def connections_of(director, count):
    director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.53 -m")
    packets = [lvs.packets.udp(f"198.51.{n // 250}.9:{1000 + n}", "192.0.2.10:53") for n in range(count)]
    assert list(director.process_batch(packets, now=1.0).verdict) == [1] * count


def test_connections_come_in_parts():
    with lvs.Director(seed=7, connections=4000) as director:
        assert list(director.iter_connections()) == []
        connections_of(director, 3000)
        assert set(director.iter_connections()) == set(director.connections())
        found = director.iter_connections()
        first = [next(found) for _ in range(1500)]
        director.flush()
        rest = list(found)
        assert len({connection.id for connection in first + rest}) == len(first + rest) == 2048
        assert next(found, None) is None
    with pytest.raises(lvs.ClosedError):
        next(director.iter_connections())


@pytest.mark.parametrize("kind", [lvs.Director, lvs.SharedDirector])
def test_work_comes_in_parts(kind):
    with kind(seed=7, connections=4000) as director:
        connections_of(director, 1000)
        ended, place, steps = 0, 0, 0
        while place is not None:
            some, place = director.flush_some(place, budget=100, client="198.51.0.0/24")
            assert some <= 100
            ended, steps = ended + some, steps + 1
        assert (ended, director.connection_count()) == (250, 750) and steps >= 10
        steps = 1
        while director.advance(1000.0, budget=100):
            steps += 1
        assert steps > 5 and director.connection_count() == 0
        assert director.advance(1001.0) is False
        with pytest.raises(lvs.NotFoundError):
            director.flush_some(budget=1, service="tcp 192.0.2.99:1")


def test_lists_may_be_anything_that_gives_their_items(director):
    web = director.add_service("tcp", "192.0.2.10:443", scheduler="sh", flags={"port"})
    assert [service.flags for service in director.services() if service.key == web] == [("port",)]
    director.edit_service(web, flags=iter(["fallback"]))
    director.set_ftp_ports(range(21, 23))
    assert director.ftp_ports() == [21, 22]
    for wrong in ("port", b"port", 7, [7], object()):
        with pytest.raises(TypeError, match="not (str|bytes|int|object)|'int' object"):
            director.edit_service(web, flags=wrong)
    with pytest.raises(TypeError, match="a list, or the like, is wanted, not str"):
        lvs.Director(local_addresses="192.0.2.10")
    assert "-s sh -b sh-fallback" in director.save()
