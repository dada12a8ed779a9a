"""Several threads on one director: one after the other in a Director, at the same time in a SharedDirector."""

import gc
import subprocess
import sys
import threading
import time

import lvs
import pytest
from lvs.packets import tcp

from conftest import RULES


def client(port, **named):
    return tcp(f"198.51.100.9:{port}", "192.0.2.10:80", **named)


def in_threads(count, work):
    """Lets threads work, and raises what one of them raised."""
    wrong = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "it hangs"
    if wrong:
        raise wrong[0]


def test_every_method_may_meet_every_other(director):
    packets = [client(port) for port in range(1000, 1100)]

    def work(number):
        for turn in range(20):
            director.process_batch(packets, now=turn)
            director.process(packets[number], now=turn)
            director.explain(packets[number], now=turn)
            director.listing(), director.connections(), director.metrics(), director.events()
            director.edit_server("tcp 192.0.2.10:80", "10.0.0.101:8080", weight=turn)
            director.advance(turn)
            director.apply(director.save())

    in_threads(4, work)
    assert sum(director.reasons().values()) >= 4 * 20 * 101


def test_a_director_may_be_closed_under_way():
    director = lvs.Director(seed=7)
    director.load(RULES)
    packets = [client(port) for port in range(1000, 1200)]
    closed = []

    def work(number):
        if number == 0:
            time.sleep(0.01)
            director.close()
            return
        try:
            while True:
                director.process_batch(packets, now=0)
        except lvs.ClosedError:
            closed.append(number)

    in_threads(4, work)
    assert sorted(closed) == [1, 2, 3]


def test_a_finalizer_may_call_the_director_at_any_time(director):
    """Garbage is collected wherever an object is made, a verdict for one: the director must not be busy by then."""
    calls, verdicts, packet = [], [], client(1000)

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            calls.append(director.process(packet, now=0))

    def work():
        for _ in range(20):
            gc.disable()
            Cycle()
            gc.enable()
            # More than it takes to begin a collection, and nothing but verdicts.
            verdicts.extend(director.process(packet, now=0) for _ in range(1500))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive(), "it hangs"
    assert len(calls) == 20 and set(calls) == set(verdicts)


def test_one_interpreter_alone_may_use_it():
    """Another one would have other classes of exceptions, and might have another lock."""
    code = """
import _xxsubinterpreters as interpreters
import lvs
other = interpreters.create()
try:
    interpreters.run_string(other, "import lvs")
except interpreters.RunFailedError as error:
    print(error)
interpreters.destroy(other)
print(lvs.Director(seed=7))
"""
    pytest.importorskip("_xxsubinterpreters")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ImportError" in ran.stdout and "interpreter" in ran.stdout and "seed=7" in ran.stdout


def test_threads_take_turns_fairly():
    """A scheduler that lets go of the interpreter makes everybody wait for everybody: nobody waits for ever."""

    class Yielding(lvs.Scheduler):
        def pick(self, flow, servers):
            time.sleep(0)
            return 0

    turns = [0] * 4
    with lvs.Director(seed=7, connections=10000) as director:
        web = director.add_service("tcp", "192.0.2.10:80", scheduler=Yielding())
        director.add_server(web, "10.0.0.101:8080")

        def work(number):
            while max(turns) < 1000:
                turns[number] += 1
                director.process(client(turns[number] * 4 + number), now=0)

        in_threads(4, work)
    assert min(turns) > 100, turns


def test_threads_work_in_a_shared_director_at_the_same_time():
    with lvs.SharedDirector(seed=7, shards=4, events=10000) as director:
        director.load(RULES)
        assert (director.shards, director.seed) == (4, 7)

        def work(shard):
            packets = [client(1000 + 100 * shard + number) for number in range(100)]
            for turn in range(5):
                batch = director.process_batch(packets, now=turn, shard=shard)
                assert set(batch.verdict) == {1} and batch.servers == ("10.0.0.101:8080",)
            assert director.process(packets[0], now=5).server == "10.0.0.101:8080"

        in_threads(4, work)
        assert director.connection_count() == len(director.connections()) == 400
        assert director.reasons() == {("forward", ""): 4 * 501}
        assert len(director.events()) == 400


def test_a_shared_director_answers_as_a_director_does(director):
    packets = [client(port, flags=flags) for port in range(1000, 1010) for flags in ("S", "A", "FA")] + [b"", b"E"]
    lengths = [len(packet) for packet in packets]
    with lvs.SharedDirector(seed=7, shards=1) as shared:
        shared.load(RULES)
        told = list(shared.process_batch(b"".join(packets), lengths, now=1))
        expected = [director.process(packet, now=1) for packet in packets]
        assert [(type(a), getattr(a, "packet", None)) for a in told] == [
            (type(b), getattr(b, "packet", None)) for b in expected
        ]
        assert shared.listing() == director.listing() and shared.save() == director.save()
        assert shared.run("-L -n -c") == director.run("-L -n -c")
        assert shared.explain(packets[0], now=1).state == director.explain(packets[0], now=1).state
        assert shared.services()[0].servers[0].address == "10.0.0.101:8080"
        assert shared.apply(shared.save()).is_unchanged
        shared.set_tunable("conn_reuse_mode", "0")
        assert shared.next_deadline() is not None
        shared.advance(2000)
        assert shared.connections() == () and shared.counters().connections >= 0
        assert "lvs_packets_total" in shared.metrics() and shared.shard_of(packets[0]) == 0
        for wrong, error in (
            (lambda: shared.process_batch(packets, now=1, shard=1), ValueError),
            (lambda: shared.load("-A"), lvs.RuleError),
            (lambda: shared.process(7, now=1), TypeError),
            (lambda: shared.set_tunable("nothing", "0"), lvs.NotFoundError),
            (lambda: lvs.SharedDirector(connections=0), lvs.ConfigError),
        ):
            with pytest.raises(error):
                wrong()
    assert repr(shared) == "<lvs.SharedDirector seed=7 shards=1 (closed)>"
    with pytest.raises(lvs.ClosedError):
        shared.listing()


def test_a_shared_director_has_what_a_director_has():
    """Every method with the arguments of Director's, but for what goes through a table in parts; and it does the same."""
    of = [{name for name in vars(kind) if not name.startswith("_")} for kind in (lvs.Director, lvs.SharedDirector)]
    assert of[0] - of[1] == {"iter_connections"} and of[1] - of[0] == {"lent", "shard_of", "shards"}
    for name in of[0] & of[1] - {"process_batch"}:
        texts = [getattr(getattr(kind, name), "__text_signature__", None) for kind in (lvs.Director, lvs.SharedDirector)]
        assert texts[0] == texts[1], name

    def answers(director):
        """What a director says to a bit of everything."""
        web = director.add_service("tcp", "192.0.2.10:80", scheduler="wlc")
        director.add_server(web, "10.0.0.101:8080", method="nat")
        director.add_server(web, "10.0.0.102:8080", method="nat", weight=3)
        director.edit_server(web, "10.0.0.101:8080", weight=2)
        director.edit_service(web, scheduler="rr", persistence=60)
        director.edit_service(web, persistence=0)
        director.set_tunable("sync_threshold", (3, 50))
        director.set_timeouts({"TCP SYN_RECV": 5.0})
        director.set_service_options(web, lvs.ServiceOptions(slow_start=lvs.SlowStart(10.0)))
        director.set_path("10.0.0.101", mtu=1400)
        director.clear_path("10.0.0.101")
        director.set_admission("evict-half-open")
        director.set_ftp_ports([2121])
        director.start_daemon("master", sync_id=7)
        yield [director.process(client(port), now=1.0) for port in range(1000, 1010)]
        yield director.services(), director.servers(web), director.servers_at("10.0.0.102")
        yield director.tunables(), director.timeouts(), director.service_options(web), director.ftp_ports()
        yield director.save(), director.listing(), director.listing("--thresholds"), director.proc_file("ip_vs")
        yield sorted(map(repr, director.connections())), director.connection_count(), director.daemons()
        yield director.server_counters(web, "10.0.0.102:8080"), director.counters(), director.rates()
        yield director.sync_messages(4.0), director.sync_counts(), director.evictions(), director.dropped_entries()
        director.drain(web, "10.0.0.101:8080", deadline=9.0, rest="drop", remove=True)
        with director.drained(web, "10.0.0.102:8080"):
            yield [server.state for server in director.servers(web)], director.next_deadline()
        yield director.flush(service=web, server="10.0.0.102:8080"), director.advance(30.0), director.connection_count()
        yield [type(event) for event in director.events()], director.missed_events(), director.reasons()
        director.stop_daemon("master")
        director.zero(web)
        director.remove_server(web, "10.0.0.102:8080")
        director.remove_service(web)
        director.clear()
        yield director.services(), director.capacity, director.closed, director.evicted_fragments()

    with lvs.Director(seed=7, events=99, connections=999) as one:
        with lvs.SharedDirector(seed=7, events=99, connections=999, shards=3) as shared:
            for number, (expected, found) in enumerate(zip(answers(one), answers(shared), strict=True)):
                assert found == expected, number
            with pytest.raises(TypeError, match="name of a scheduler"):
                shared.add_service("fwm", 9, scheduler=type("Own", (lvs.Scheduler,), {"pick": lambda *_: None})())
    assert one.closed and shared.closed and "(closed)" in repr(shared)
