"""For tests: Hypothesis strategies, and the contract that every scheduler keeps to.

    class TestMine(lvs.testing.SchedulerContract):
        def make(self):
            return Mine()

is a suite for pytest that checks a scheduler of one's own; check_scheduler does the same from anywhere. Hypothesis is
needed for strategies and the contract, and for nothing else here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from lvs import packets as _packets
from lvs._lvs import Candidate, NewFlow, SchedulerPool, play_recording

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from lvs.schedulers import Scheduler

__all__ = [
    "SchedulerContract",
    "SchedulerPool",
    "addresses",
    "candidates",
    "check_scheduler",
    "endpoints",
    "histories",
    "mangled",
    "new_flows",
    "packets",
    "play_recording",
    "rules",
]

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf", "twos", "swrr")
"""The names of the schedulers that are there: the kernel's fourteen, and swrr."""

Step = tuple[Any, ...]
"""What happens to a pool: the name of a method of SchedulerPool, and what it is called with."""


def addresses(version: int = 4) -> SearchStrategy[str]:
    """Draw IP addresses of a version, such as clients have."""
    from hypothesis import strategies as st

    first, address = (0xC6336400, IPv4Address) if version == 4 else (0x20010DB8 << 96, IPv6Address)
    return st.integers(0, 255).map(lambda host: str(address(first + host)))


def endpoints(version: int = 4) -> SearchStrategy[str]:
    """Draw addresses with ports, such as "198.51.100.7:40000"."""
    from hypothesis import strategies as st

    form = "{}:{}" if version == 4 else "[{}]:{}"
    return st.builds(form.format, addresses(version), st.integers(1, 65535))


def packets(
    destination: str | SearchStrategy[str] = "192.0.2.10:80", *, source: str | SearchStrategy[str] | None = None
) -> SearchStrategy[bytes]:
    """Draw well-formed TCP, UDP and SCTP packets to an endpoint, or to endpoints of a strategy."""
    from hypothesis import strategies as st


    def of(ends: tuple[str, str]) -> SearchStrategy[bytes]:
        there, here = ends
        payload, ttl = st.binary(max_size=64), st.integers(1, 255)
        tcp = st.builds(
            _packets.tcp,
            st.just(here),
            st.just(there),
            flags=st.sampled_from(["S", "A", "SA", "PA", "FA", "F", "R", "RA"]),
            payload=payload,
            ttl=ttl,
        )
        udp = st.builds(_packets.udp, st.just(here), st.just(there), payload=payload, ttl=ttl)
        sctp = st.builds(_packets.sctp, st.just(here), st.just(there), chunk=st.integers(0, 15), ttl=ttl)
        return tcp | udp | sctp

    def with_source(there: str) -> SearchStrategy[bytes]:
        here = endpoints(6 if there.startswith("[") else 4) if source is None else source
        return st.tuples(st.just(there), st.just(here) if isinstance(here, str) else here).flatmap(of)

    there = st.just(destination) if isinstance(destination, str) else destination
    return there.flatmap(with_source)


def mangled(whole: SearchStrategy[bytes] | None = None) -> SearchStrategy[bytes]:
    """Draw packets that are broken: cut off, with bytes changed, or no packets at all."""
    from hypothesis import strategies as st

    whole = packets() if whole is None else whole

    def broken(packet: bytes) -> SearchStrategy[bytes]:
        cut = st.integers(0, len(packet)).map(lambda end: packet[:end])
        changes = st.lists(st.tuples(st.integers(0, len(packet) - 1), st.integers(0, 255)), min_size=1, max_size=4)

        def changed(bytes_: list[tuple[int, int]]) -> bytes:
            copy = bytearray(packet)
            for at, value in bytes_:
                copy[at] = value
            return bytes(copy)

        return cut | changes.map(changed)

    return whole.flatmap(broken) | st.binary(max_size=128)


def rules(*, max_services: int = 3, max_servers: int = 4) -> SearchStrategy[str]:
    """Draw texts of ipvsadm lines that a new director takes: services of TCP and UDP, and their servers."""
    from hypothesis import strategies as st

    server = st.tuples(st.integers(1, 250), st.sampled_from("mgi"), st.integers(0, 5))
    service = st.tuples(
        st.sampled_from(["-t", "-u"]),
        st.integers(1, 9),
        st.sampled_from(SCHEDULERS),
        st.booleans(),
        st.lists(server, max_size=max_servers, unique_by=lambda one: one[0]),
    )

    def text(services: list[tuple[str, int, str, bool, list[tuple[int, str, int]]]]) -> str:
        lines = []
        for kind, port, scheduler, persistent, servers in services:
            name = f"{kind} 192.0.2.10:{port * 10}"
            lines.append(f"-A {name} -s {scheduler}" + (" -p 60" if persistent else ""))
            lines += [f"-a {name} -r 10.0.0.{host}:{port * 10} -{method} -w {w}" for host, method, w in servers]
        return "".join(line + "\n" for line in lines)

    return st.lists(service, max_size=max_services, unique_by=lambda one: (one[0], one[1])).map(text)


def new_flows(version: int = 4) -> SearchStrategy[NewFlow]:
    """Draw flows that a scheduler is asked about."""
    from hypothesis import strategies as st

    return st.builds(
        NewFlow,
        addresses(version),
        st.integers(0, 65535),
        addresses(version),
        protocol=st.sampled_from([6, 17, 132, 50]),
        now=st.floats(0, 1e6, allow_nan=False),
    )


def candidates(*, max_size: int = 8) -> SearchStrategy[list[Candidate]]:
    """Draw lists of servers, as a scheduler sees them: with connections, without weight, overloaded."""
    from hypothesis import strategies as st

    load = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.booleans())

    def built(loads: list[tuple[int, int, int, bool]]) -> list[Candidate]:
        return [
            Candidate(
                f"10.0.0.{position + 1}:80",
                weight,
                active=active,
                connections=active + inactive,
                overloaded=overloaded,
                position=position,
            )
            for position, (weight, active, inactive, overloaded) in enumerate(loads)
        ]

    return st.lists(load, max_size=max_size).map(built)


def histories(*, max_size: int = 100) -> SearchStrategy[list[Step]]:
    """Draw what happens to a pool: servers come, go and change, connections come and go, time passes, flows are scheduled.

    Each step is a tuple of a SchedulerPool method's name and its arguments, the last of them a dict of named ones; a server
    is named by its address, which may not be in the pool: run leaves such steps out.
    """
    from hypothesis import strategies as st

    server = st.integers(1, 8).map(lambda host: f"10.0.0.{host}:80")
    weight = st.sampled_from([0, 1, 1, 2, 3, 10, 300, 0x7FFFFFFF])
    limits = st.sampled_from([{}, {"upper": 1}, {"upper": 2, "lower": 1}, {"upper": 5, "lower": 2}])
    described = st.tuples(weight, limits).map(lambda of: {"weight": of[0], **of[1]})
    edited = st.tuples(weight, limits).map(lambda of: {"weight": of[0], "lower": 0, "upper": 0, **of[1]})
    flow = st.tuples(addresses(), st.integers(0, 65535), addresses(), st.sampled_from([6, 17, 132, 50]))
    add, pick = st.tuples(st.just("add"), server, described), st.tuples(st.just("pick"), flow)
    step = st.one_of(
        add,
        pick,
        pick,
        st.tuples(st.just("connect"), server, st.builds(dict, active=st.booleans())),
        st.tuples(st.sampled_from(["remove", "disconnect", "activate", "deactivate"]), server, st.just({})),
        st.tuples(st.just("edit"), server, edited),
        st.tuples(st.just("advance"), st.sampled_from([1.0, 59.0, 1800.0, 90000.0])),
        st.tuples(st.just("set_flags"), st.lists(st.sampled_from(["fallback", "port"]), unique=True)),
    )

    def joined(both: tuple[list[Step], list[list[Step]]]) -> list[Step]:
        first, parts = both
        return [*first, *(step for part in parts for step in part)]

    # Lists of lists: Hypothesis draws them long, and still shrinks them to nothing.
    parts = st.lists(st.lists(step, max_size=10), max_size=max_size // 10)
    return st.tuples(st.lists(add, max_size=6), parts).map(joined)


def run(pool: SchedulerPool, history: Sequence[Step], check: Callable[[SchedulerPool, NewFlow], Any]) -> list[Any]:
    """Let a history happen to a pool. check schedules each flow; what it returns is returned, flow by flow."""
    answers = []
    for name, *arguments in history:
        if name == "pick":
            client, port, target, protocol = arguments[0]
            answers.append(check(pool, NewFlow(client, port, target, protocol=protocol, now=pool.now)))
        elif name in ("advance", "set_flags"):
            getattr(pool, name)(arguments[0])
        else:
            address, named = arguments
            if (name == "add") != any(server.address == address for server in pool.servers()):
                getattr(pool, name)(address, **named)
    return answers


class SchedulerContract:
    """What every scheduler keeps to, as tests for pytest. Subclass it and define make.

    Set the attributes to say what a scheduler does not promise, as for the schedulers of IPVS dh, sh, mh and ovf do not
    always pick.
    """

    always_picks: bool = True
    """If a server may get a flow, one is picked."""
    avoids_overloaded: bool = True
    """No overloaded server is picked."""
    is_deterministic: bool = True
    """Made the same way and having seen the same, it picks the same."""
    max_examples: int = 100
    """How many histories each test tries."""

    def make(self) -> Scheduler | str:
        """Return a new scheduler, or the name of one."""
        raise NotImplementedError("define make in a subclass")

    def test_an_empty_pool_yields_nothing(self) -> None:
        """Whether it was always empty or has become so."""

        def check(history: list[Step]) -> None:
            pool = SchedulerPool(self.make())
            run(pool, history, lambda pool, flow: pool.pick(flow))
            for server in pool.servers():
                pool.remove(server.address)
            picked = pool.pick(NewFlow("198.51.100.9", 40000, "192.0.2.10"))
            assert picked is None, f"picked {picked!r} from an empty pool"

        self._for_histories(check)

    def test_a_pick_may_get_the_flow(self) -> None:
        """A pick has a weight, and is not overloaded if that is promised."""

        def pick(pool: SchedulerPool, flow: NewFlow) -> None:
            server = pool.pick(flow)
            if server is not None:
                assert server.weight > 0, f"picked {server!r}, which has no weight"
                assert not (self.avoids_overloaded and server.overloaded), f"picked {server!r}, which is overloaded"

        self._for_histories(lambda history: run(SchedulerPool(self.make()), history, pick))

    def test_an_eligible_server_is_found(self) -> None:
        """If a server may get a flow, one is picked, if that is promised."""

        def pick(pool: SchedulerPool, flow: NewFlow) -> None:
            servers = pool.servers()
            if pool.pick(flow) is None and self.always_picks:
                eligible = [server for server in servers if server.eligible]
                assert not eligible, f"picked none of {eligible!r}"

        self._for_histories(lambda history: run(SchedulerPool(self.make()), history, pick))

    def test_one_history_one_story(self) -> None:
        """Two schedulers made the same way pick the same, if that is promised."""

        def check(history: list[Step]) -> None:
            if self.is_deterministic:
                first, second = (
                    run(SchedulerPool(self.make()), history, lambda pool, flow: pool.pick(flow)) for _ in range(2)
                )
                assert first == second, "the same history, other picks"

        self._for_histories(check)

    def test_a_copy_answers_alike_and_changes_nothing(self) -> None:
        """What explain would be told is what process is then told. Nothing is checked of what cannot be copied."""

        def pick(pool: SchedulerPool, flow: NewFlow) -> None:
            try:
                before = pool.peek(flow)
            except ValueError:
                return
            after = pool.pick(flow)
            assert before == after, f"a copy picked {before!r}, the scheduler itself {after!r}"

        def check(history: list[Step]) -> None:
            if self.is_deterministic:
                run(SchedulerPool(self.make()), history, pick)

        self._for_histories(check)

    def _for_histories(self, check: Callable[[list[Step]], Any]) -> None:
        from hypothesis import Phase, given, settings

        def checked(history: list[Step]) -> None:
            check(history)

        # The shortest history is explanation enough.
        phases = [phase for phase in Phase if phase is not Phase.explain]
        few = settings(max_examples=self.max_examples, deadline=None, phases=phases, report_multiple_bugs=False)
        given(histories())(few(checked))()


def check_scheduler(
    make: Callable[[], Scheduler | str],
    *,
    always_picks: bool = True,
    avoids_overloaded: bool = True,
    is_deterministic: bool = True,
    max_examples: int = 100,
) -> None:
    """Check that the schedulers which make returns keep to the contract. Raises AssertionError with the shortest history.

    The named arguments are those of SchedulerContract.
    """
    contract = SchedulerContract()
    contract.make = make  # type: ignore[method-assign]
    contract.always_picks = always_picks
    contract.avoids_overloaded = avoids_overloaded
    contract.is_deterministic = is_deterministic
    contract.max_examples = max_examples
    for name in dir(contract):
        if name.startswith("test_"):
            getattr(contract, name)()
