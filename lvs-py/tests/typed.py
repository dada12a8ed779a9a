"""What users write, for mypy: checked, and run by nobody."""

import random
from collections.abc import Sequence
from typing import assert_type

import lvs
from lvs.testing import SchedulerContract, check_scheduler


class Draws(lvs.Scheduler):
    name = "draws"

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, flow: lvs.NewFlow, servers: Sequence[lvs.Candidate]) -> lvs.Candidate | None:
        eligible = [server for server in servers if server.eligible]
        return self.random.choice(eligible) if eligible else None


class TestDraws(SchedulerContract):
    def make(self) -> lvs.Scheduler:
        return Draws(7)


def balanced() -> str | None:
    with lvs.Director(seed=7, events=10) as director:
        web = director.add_service("tcp", "192.0.2.10:80", scheduler=Draws(7), flags=["port"])
        director.add_server(web, ("10.0.0.1", 80), method="nat")
        packet = lvs.packets.tcp("198.51.100.9:40000", "192.0.2.10:80", payload=bytearray(b"x"))
        match director.process(packet, now=0):
            case lvs.Forward(sent, next_hop):
                assert_type(sent, bytes)
                return next_hop
            case lvs.Reply(_, _, reason) | lvs.Pass(reason) | lvs.Drop(reason):
                return reason
    return None


def told(director: lvs.Director) -> int:
    batch = director.process_batch(b"", [], now=0)
    assert_type(batch.verdict, memoryview)
    assert_type(director.connections()[0], lvs.Connection)
    for event in director.events():
        match event:
            case lvs.ConnectionMade(client=client):
                assert_type(client, str)
            case lvs.Drained(removed=removed):
                assert_type(removed, bool)
    check_scheduler(lambda: Draws(7), max_examples=5)
    return len(batch)
