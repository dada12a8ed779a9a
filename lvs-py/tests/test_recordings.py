"""What a real kernel did, step by step, done again through Python: the same packets, next hops and listings.

All recordings are played by the library's own tests. Here are those of them that need little of a host around the
director; what such a host does (a hop, where packets leave) is what this file does.
"""

import gzip
import json
from ipaddress import ip_address, ip_interface
from pathlib import Path

import lvs
import pytest
from lvs.testing import play_recording

FOLDER = Path(__file__).parents[2] / "lvs-core" / "tests" / "recordings"
SAMPLE = [f"sched-{kind}-001" for kind in "dh fo lblc lblcr lc mh nq ovf rr sed sh wlc wrr".split()]
SAMPLE += [f"persistence-{number:03}" for number in (1, 3, 4, 5, 7)]
SAMPLE += [f"tcp-{number:03}" for number in (1, 2, 3, 4, 5, 6, 7, 9)]
SAMPLE += [f"forwarding-{number:03}" for number in (2, 3, 5, 9, 11)]
SAMPLE += [f"timeouts-{number:03}" for number in (1, 2, 3)]


def read(name):
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt") as lines:
        return lines.read()


class Player:
    """A director, and as much of a host as the sample needs."""

    def __init__(self):
        self.director = lvs.Director(seed=1)
        self.own = []
        self.marks = {}
        self.compared = {"packets": 0, "listings": 0}

    def play(self, text):
        for line in text.splitlines():
            record = json.loads(line)
            step, now = record["step"], record["t_ms"] / 1000
            self.director.advance(now)
            getattr(self, step["op"])(step, record, now)
        return self.compared

    def net(self, step, record, now):
        interfaces = [ip_interface(text) for text in step["addr"]]
        self.own += [interface.ip for interface in interfaces]
        self.marks[step["if"]] = step.get("mark", 0)
        self.director.set_local_addresses(self.own)
        sources = {f"tunnel_source_v{one.version}": one.ip for one in reversed(interfaces)}
        for neighbour in step["neigh"]:
            self.director.set_path(neighbour, mtu=step.get("mtu", 1500), **sources)
        if step["routes"]:
            by_version = {f"v{one.version}": one.ip for one in reversed(interfaces)}
            self.director.set_client_side_addresses(**by_version)

    def ipvsadm(self, step, record, now):
        try:
            printed = self.director.run(step["args"])
        except lvs.RuleError:
            assert record["rc"] != 0, step
        else:
            assert record["rc"] == 0, step
            if record["stdout"] and "-c" not in step["args"].split():
                assert printed == record["stdout"], step
                self.compared["listings"] += 1

    def sysctl(self, step, record, now):
        self.director.set_tunable(step["key"], step["value"])

    def proc(self, step, record, now):
        assert self.director.proc_file(step["file"])

    def sleep(self, step, record, now):
        assert record["out"] == []

    def tx(self, step, record, now):
        packet = bytes.fromhex(step["hex"])
        is_v4 = packet[0] >> 4 == 4
        destination = ip_address(packet[16:20] if is_v4 else packet[24:40])
        hook = "local" if destination in self.own else "forward"
        if hook == "forward":
            packet = a_hop_on(packet)
        verdict = self.director.process(packet, now=now, hook=hook, mark=self.marks[step["if"]])
        match verdict:
            case lvs.Forward(sent, next_hop):
                (frame,) = record["out"]
                assert frame["hex"] == sent.hex(), step
                if verdict.direction == "to-server":
                    hop = ip_address(next_hop)
                    assert frame["dmac"] == ("0200" if hop.version == 4 else "0206") + hop.packed[-4:].hex(), step
                self.compared["packets"] += 1
            case lvs.Drop(_):
                assert record["out"] == [], step
                self.compared["packets"] += 1
            case lvs.Reply(sent, _, _):
                # The kernel draws the identification of its own packets.
                (frame,) = record["out"]
                assert frame["hex"][40:] == sent.hex()[40:], step
                self.compared["packets"] += 1


def a_hop_on(packet):
    """A packet as its host forwards it: a hop less to live."""
    packet = bytearray(packet)
    if packet[0] >> 4 == 6:
        packet[7] -= 1
        return bytes(packet)
    packet[8] -= 1
    total = int.from_bytes(packet[10:12], "big") + 0x100
    packet[10:12] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    return bytes(packet)


@pytest.mark.parametrize("name", SAMPLE)
def test_python_does_what_the_kernel_did(name):
    compared = Player().play(read(name))
    assert compared["packets"] > 20, compared
    print(name, compared)


def test_the_player_of_the_library_agrees():
    for name in SAMPLE:
        steps, differences = play_recording(read(name))
        assert steps > 20 and differences == [], name


def test_the_player_notices_what_is_otherwise():
    text = read("sched-rr-001")
    steps, differences = play_recording(text.replace("-s rr", "-s sh"))
    assert differences and len(differences[0]) == 5
    with pytest.raises(AssertionError):
        Player().play(text.replace("-s rr", "-s sh"))
    with pytest.raises(ValueError, match="not a recorded step"):
        play_recording("{}")
