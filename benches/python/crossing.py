"""What it costs to call the library from Python: T8 of the table.

Each figure is a call less an empty call with the same arguments, less the work that lvs-core did in it, all measured in this
process, in turns, by the time that the thread was running. The work is that of Rust on the same packets. Run it by `make
bench-python`: it needs a package that was built with the feature "measure".
"""

import statistics
import sys
from itertools import repeat
from time import thread_time_ns

import lvs

FLOWS = 64
ROUNDS = 41
CALLS = 200

RULES = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m\n-a -t 192.0.2.10:80 -r 10.0.0.102:8080 -m"


def flows(director, count):
    """Packets of 64 bytes, each of an established connection of its own."""
    ends = [(f"198.51.100.{n // 250 + 1}:{1024 + n}", "192.0.2.10:80") for n in range(count)]
    for client, virtual in ends:
        forward = director.process(lvs.packets.tcp(client, virtual), now=0.0)
        director.process(lvs.packets.tcp(forward.server, client, flags="SA"), now=0.0)
        director.process(lvs.packets.tcp(client, virtual, flags="A"), now=0.0)
    return [lvs.packets.tcp(client, virtual, flags="A", payload=bytes(24)) for client, virtual in ends]


def timed(work):
    begin = thread_time_ns()
    work()
    return thread_time_ns() - begin


def in_turns(per_packet, **sides):
    """The median of each side, in nanoseconds for each packet."""
    samples = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, work in sides.items():
            samples[name].append(timed(work) / per_packet)
    return {name: statistics.median(values) for name, values in samples.items()}


def one_by_one(director, packets, reading):
    process, nothing = director.process, director._nothing
    times = CALLS // 4

    def calls(method):
        for _ in repeat(None, times):
            for packet in packets:
                method(packet, now=1.0)

    def read():
        for _ in repeat(None, times):
            for packet in packets:
                verdict = process(packet, now=1.0)
                verdict.packet, verdict.next_hop

    return in_turns(
        times * len(packets),
        call=read if reading else lambda: calls(process),
        empty=lambda: calls(nothing),
        work=lambda: director._work(packets, 1.0, 1, times, True),
        writing=lambda: director._work(packets, 1.0, 1, times, False),
    )


def batches(director, packets, reading):
    many = [packets[n % len(packets)] for n in range(256)]
    flat = b"".join(many)
    process, nothing = director.process_batch, director._nothing_batch

    def calls(method):
        for _ in repeat(None, CALLS):
            method(flat, 64, now=1.0)

    def read():
        for _ in repeat(None, CALLS):
            batch = process(flat, 64, now=1.0)
            batch.verdict, batch.server, batch.offset, batch.length, batch.data

    return in_turns(
        CALLS * len(many),
        call=read if reading else lambda: calls(process),
        empty=lambda: calls(nothing),
        work=lambda: director._work(many, 1.0, 64, CALLS, True),
        writing=lambda: director._work(many, 1.0, 64, CALLS, False),
    )


def row(number, name, sides, target):
    work = sides["work"] - sides["writing"]
    over = sides["call"] - sides["empty"] - work
    met = "" if target is None else f"{target:>13.1f} ns  {'met' if over <= target else 'NOT MET'}"
    told = f"call {sides['call']:.1f} ns, empty {sides['empty']:.1f} ns, work {work:.1f} ns"
    print(f"{number:<5}{name:<58}{over:>10.1f} ns  {told:<48}{met}".rstrip())


def main():
    with lvs.Director(seed=7) as director:
        if not hasattr(director, "_work"):
            sys.exit("built without the feature measure: use make bench-python")
        director.load(RULES)
        packets = flows(director, FLOWS)
        row("T8", "Python, one packet, over the work", one_by_one(director, packets, False), 25)
        row("", "the same, and its bytes and next hop read", one_by_one(director, packets, True), None)
        row("T8", "Python, batches of 256, over the work, a packet", batches(director, packets, False), 1)
        row("", "the same, and all arrays and bytes read", batches(director, packets, True), None)
        counts = director.reasons()
        assert set(counts) == {("forward", "")}, counts


if __name__ == "__main__":
    main()
