"""Schedulers written in Python, and the contract that all keep to."""

import gc
import threading

import lvs
import pytest
from lvs.packets import tcp
from lvs.testing import SCHEDULERS, SchedulerContract, SchedulerPool, check_scheduler


class Fewest(lvs.Scheduler):
    """The eligible server with the fewest connections, whatever its weight."""

    def pick(self, flow, servers):
        eligible = [server for server in servers if server.eligible]
        return min(eligible, key=lambda server: server.connections, default=None)


class Turns(lvs.Scheduler):
    """Round robin that is told of everything."""

    name = "turns"
    weights = "fixed"

    def __init__(self):
        self.told = []
        self.turn = 0

    def pick(self, flow, servers):
        self.turn += 1
        for step in range(len(servers)):
            if servers[(self.turn + step) % len(servers)].eligible:
                return (self.turn + step) % len(servers)
        return None

    def start(self, servers, now):
        self.told.append(("start", len(servers), now))

    def added(self, servers):
        self.told.append(("added", servers[0].address))

    def removed(self, position, servers):
        self.told.append(("removed", position, len(servers)))

    def edited(self, position, servers):
        self.told.append(("edited", position, servers[position].weight))

    def next_tick(self):
        return 60.0

    def tick(self, now):
        self.told.append(("tick", now))


def client(port):
    return tcp(f"198.51.100.9:{1000 + port}", "192.0.2.10:80")


def with_servers(scheduler, hosts=(1, 2, 3)):
    director = lvs.Director(seed=7, connections=1000)
    web = director.add_service("tcp", "192.0.2.10:80", scheduler=scheduler)
    for host in hosts:
        director.add_server(web, f"10.0.0.{host}:80", method="nat")
    return director


def test_it_chooses_beside_those_of_the_kernel():
    with with_servers(Fewest()) as director:
        hops = [director.process(client(port), now=0).next_hop for port in range(1, 7)]
        assert sorted(hops) == ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.3"]
        director.edit_server("tcp 192.0.2.10:80", "10.0.0.1:80", weight=0)
        batch = director.process_batch([client(port) for port in range(7, 107)], now=0)
        assert set(batch.to_dict()["server"]) == {"10.0.0.2:80", "10.0.0.3:80"}
        assert director.save().startswith("-A -t 192.0.2.10:80 -s fewest\n")
        assert "fewest" in director.listing()


def test_it_is_told_what_happens():
    turns = Turns()
    with with_servers(turns, (1, 2)) as director:
        director.edit_server("tcp 192.0.2.10:80", "10.0.0.1:80", weight=5)
        director.remove_server("tcp 192.0.2.10:80", "10.0.0.2:80")
        director.advance(61)
    assert turns.told == [
        ("start", 0, 0.0),
        ("added", "10.0.0.1:80"),
        ("added", "10.0.0.2:80"),
        ("edited", 1, 5),
        ("removed", 0, 1),
        ("tick", 61.0),
    ]


@pytest.mark.parametrize("answer", [-1, 3, 1 << 70])
def test_a_position_must_be_one_of_a_server(answer):
    class Beyond(lvs.Scheduler):
        def pick(self, flow, servers):
            return answer

    with with_servers(Beyond()) as director:
        with pytest.raises(ValueError, match=f"position {answer} of 3 servers"):
            director.process(client(1), now=0)
        with pytest.raises(TypeError, match=r"an object, Beyond\(\), and not its class"):
            director.add_service("fwm", 1, scheduler=Beyond)
        assert director.connection_count() == 0


def test_it_takes_up_a_service_that_is_there(director, syn):
    director.edit_service("tcp 192.0.2.10:80", scheduler=Fewest())
    assert director.process(syn, now=0).server == "10.0.0.101:8080"
    director.edit_service("tcp 192.0.2.10:80", scheduler="rr")
    assert director.services()[0].scheduler == "rr"


def test_it_is_explained_by_a_copy():
    with with_servers(Turns()) as director:
        for port in range(1, 5):
            why = director.explain(client(port))
            assert why.scheduler == "turns" and why == director.explain(client(port))
            assert director.process(client(port), now=0).server == why.server


def test_what_cannot_be_copied_cannot_be_explained():
    class Locked(Fewest):
        def __init__(self):
            self.lock = threading.Lock()

    with with_servers(Locked()) as director:
        why = director.explain(client(1))
        assert why.verdict is None and "cannot be asked" in str(why)
        assert isinstance(director.process(client(1), now=0), lvs.Forward)


def test_it_sees_the_flow():
    seen = []

    class Curious(lvs.Scheduler):
        def pick(self, flow, servers):
            seen.append(flow)

    with with_servers(Curious()) as director:
        assert isinstance(director.process(client(7), now=2.5), lvs.Reply)
    assert seen == [lvs.NewFlow("198.51.100.9", 1007, "192.0.2.10", protocol=6, now=2.5)]
    assert hash(seen[0]) == hash(lvs.NewFlow("198.51.100.9", 1007, "192.0.2.10", protocol=6, now=2.5))


@pytest.mark.parametrize(
    "answer, error",
    [
        ("10.0.0.1", TypeError),
        (3, ValueError),
        (-1, ValueError),
        (lvs.Candidate("10.0.0.9:80", id=99), ValueError),
        (ZeroDivisionError("by hand"), ZeroDivisionError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_it_does_wrong_is_raised_where_the_packet_came_from(answer, error):
    class Wrong(lvs.Scheduler):
        def pick(self, flow, servers):
            if isinstance(answer, BaseException):
                raise answer
            return answer

    with with_servers(Wrong()) as director:
        with pytest.raises(error):
            director.process(client(1), now=0)
        with pytest.raises(error):
            director.process_batch([client(port) for port in range(1, 100)], now=0)
        with pytest.raises(error):
            director.explain(client(1))
        assert director.connection_count() == 0
        director.edit_service("tcp 192.0.2.10:80", scheduler="rr")
        assert isinstance(director.process(client(1), now=0), lvs.Forward)


def test_it_must_not_call_the_director_that_asks_it():
    class Meddling(lvs.Scheduler):
        def pick(self, flow, servers):
            self.director.listing()

    meddling = Meddling()
    with with_servers(meddling) as director:
        meddling.director = director
        for _ in range(2):
            with pytest.raises(RuntimeError, match="must not call"):
                director.process(client(1), now=0)
    meddling.director = None


def test_it_may_refuse_a_service():
    class Choosy(Fewest):
        def start(self, servers, now):
            raise LookupError("not here")

    with lvs.Director(seed=7) as director:
        with pytest.raises(LookupError, match="not here"):
            director.add_service("tcp", "192.0.2.10:80", scheduler=Choosy())
        assert director.save() == ""


def test_names_are_words():
    class ASchedulerOfManyLetters(Fewest):
        pass

    with with_servers(ASchedulerOfManyLetters()) as director:
        assert director.services()[0].scheduler == "aschedulerofman"
    Odd = type("Odd", (Fewest,), {"name": "two words"})
    with pytest.raises(lvs.ControlError):
        with_servers(Odd())
    with pytest.raises(ValueError, match="weights"):
        with_servers(type("Odd", (Fewest,), {"weights": "heavy"})())


def test_it_goes_with_its_director():
    gone = []

    class Mortal(Fewest):
        def __del__(self):
            gone.append(True)

    director = with_servers(Mortal())
    director.close()
    gc.collect()
    assert gone == [True]


def test_threads_share_a_director_with_a_scheduler():
    results = []

    def work(first):
        results.extend(director.process(client(port), now=0) for port in range(first, first + 50))
        results.extend(director.process_batch([client(port) for port in range(first + 50, first + 100)], now=0))

    with with_servers(Fewest()) as director:
        threads = [threading.Thread(target=work, args=(1 + 100 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 400 and all(isinstance(result, lvs.Forward) for result in results)
        assert director.connection_count() == 400


class TestFewest(SchedulerContract):
    max_examples = 40

    def make(self):
        return Fewest()


class TestTurns(SchedulerContract):
    max_examples = 40

    def make(self):
        return Turns()


KEEPS_LESS = {
    "lblc": {"avoids_overloaded": False},
    "ovf": {"always_picks": False},
    "dh": {"always_picks": False},
    "sh": {"always_picks": False},
    "mh": {"always_picks": False},
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_those_of_the_library_keep_to_the_contract(name):
    check_scheduler(lambda: name, max_examples=15, **KEEPS_LESS.get(name, {}))


def test_the_contract_finds_what_is_wrong():
    class First(lvs.Scheduler):
        def pick(self, flow, servers):
            return 0 if servers else None

    class Coy(Fewest):
        def pick(self, flow, servers):
            return super().pick(flow, servers) if len(servers) < 3 else None

    class Fickle(Fewest):
        def pick(self, flow, servers):
            eligible = [server for server in servers if server.eligible]
            Fickle.count = getattr(Fickle, "count", 0) + 1
            return eligible[Fickle.count % len(eligible)] if eligible else None

    for make, message in ((First, "no weight|overloaded"), (Coy, "picked none"), (Fickle, "other picks|a copy")):
        with pytest.raises(AssertionError, match=message):
            check_scheduler(make, max_examples=1000)


def test_a_pool_is_a_service_without_a_director():
    pool = SchedulerPool("wlc")
    pool.add("10.0.0.1:80", weight=2)
    pool.add("10.0.0.2:80")
    flow = lvs.NewFlow("198.51.100.9", 40000, "192.0.2.10")
    assert [server.address for server in pool.servers()] == ["10.0.0.2:80", "10.0.0.1:80"]
    pool.connect("10.0.0.2:80", active=True)
    assert pool.pick(flow).address == pool.peek(flow).address == "10.0.0.1:80"
    pool.edit("10.0.0.1:80", weight=0)
    pool.advance(5)
    assert (pool.now, pool.pick(flow).address) == (5.0, "10.0.0.2:80")
    for wrong in (lambda: pool.remove("10.0.0.9:80"), lambda: SchedulerPool("fastest")):
        with pytest.raises(lvs.NotFoundError):
            wrong()
    for wrong in (lambda: pool.add("10.0.0.1:80"), lambda: pool.edit("10.0.0.1:80", upper=1, lower=2)):
        with pytest.raises(ValueError):
            wrong()
