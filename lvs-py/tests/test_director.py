"""The package as its users see it."""

import contextlib
import io
import pickle
import re
import struct
import threading
from ipaddress import ip_address
from pathlib import Path

import lvs
import pytest

def checksum(data: bytes) -> int:
    total = sum(word for (word,) in struct.iter_unpack(">H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def segment(source: str, destination: str, flags: int = 0x02) -> bytes:
    """A TCP segment over IPv4 with right checksums: a SYN unless told otherwise."""
    (source_ip, source_port), (destination_ip, destination_port) = source.split(":"), destination.split(":")
    addresses = ip_address(source_ip).packed + ip_address(destination_ip).packed
    ports = struct.pack(">HH", int(source_port), int(destination_port))
    tcp = bytearray(ports + struct.pack(">IIBBHHH", 1000, 0, 0x50, flags, 64240, 0, 0))
    tcp[16:18] = checksum(addresses + struct.pack(">HH", 6, len(tcp)) + tcp).to_bytes(2, "big")
    ip = bytearray(struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0) + addresses)
    ip[10:12] = checksum(ip).to_bytes(2, "big")
    return bytes(ip + tcp)


SYN = segment("198.51.100.9:40000", "192.0.2.10:80")


def test_a_connection_goes_there_and_back(director):
    there = director.process(SYN, now=0.0)
    assert isinstance(there, lvs.Forward)
    assert (there.next_hop, there.server) == ("10.0.0.101", "10.0.0.101:8080")
    assert (there.direction, there.method) == ("to-server", "nat")
    expected = bytearray(segment("198.51.100.9:40000", "10.0.0.101:8080"))
    expected[8] -= 1
    expected[10:12] = b"\0\0"
    expected[10:12] = checksum(expected[:20]).to_bytes(2, "big")
    assert there.packet == expected

    back = director.process(segment("10.0.0.101:8080", "198.51.100.9:40000", flags=0x12), now=0.1)
    assert back.packet == segment("192.0.2.10:80", "198.51.100.9:40000", flags=0x12)
    assert (back.next_hop, back.direction, back.server) == ("198.51.100.9", "to-client", "10.0.0.101:8080")


def test_every_kind_of_verdict_can_be_matched(director):
    def kind(packet):
        match director.process(packet, now=0.0):
            case lvs.Forward(packet, next_hop):
                return "forward", len(packet), next_hop
            case lvs.Reply(packet, next_hop, reason):
                return "reply", packet[20], next_hop, reason
            case lvs.Pass(reason):
                return "pass", reason
            case lvs.Drop(reason):
                return "drop", reason

    assert kind(SYN) == ("forward", 40, "10.0.0.101")
    assert kind(segment("198.51.100.9:40000", "192.0.2.99:80")) == ("pass", "no-service")
    assert kind(b"") == ("drop", "not-ip")
    assert kind(SYN[:19]) == ("drop", "truncated-ip")
    director.run("-d -t 192.0.2.10:80 -r 10.0.0.101:8080")
    other = segment("198.51.100.9:40001", "192.0.2.10:80")
    assert kind(other) == ("reply", 3, "198.51.100.9", "no-destination")


def test_a_packet_may_come_in_anything_that_has_bytes(director):
    kinds = [SYN, bytearray(SYN), memoryview(SYN), memoryview(b"".join(bytes([b, 0]) for b in SYN))[::2]]
    verdicts = {director.process(packet, now=0.0) for packet in kinds}
    assert len(verdicts) == 1
    assert kinds[1] == SYN, "what is handed in stays as it is"


@pytest.mark.parametrize("kept", [1, 2, 3, 5])
def test_a_verdict_that_somebody_has_never_changes(director, kept):
    """Verdicts that nobody has any more are used again: those that are kept must not be among them."""
    packets = [segment(f"198.51.100.9:{port}", "192.0.2.10:80") for port in range(1000, 1030)]
    with lvs.Director(seed=7) as other:
        other.load(director.save())
        texts = [repr(other.process(packet, now=0.0)) for packet in packets]
    verdicts = {}
    for number, packet in enumerate(packets):
        verdict = director.process(packet, now=0.0)
        assert repr(verdict) == texts[number]
        if number % kept == 0:
            verdicts[number] = verdict
    director.close()
    assert {number: repr(verdict) for number, verdict in verdicts.items()} == {n: texts[n] for n in verdicts}
    assert len({verdict.packet for verdict in verdicts.values()}) == len(verdicts) == -(-30 // kept)
    assert all(verdict.packet is verdict.packet for verdict in verdicts.values())


@pytest.mark.parametrize("packet", ["text", None, 7, [69, 0], memoryview(b"1234").cast("I")])
def test_what_has_no_bytes_is_a_type_error(director, packet):
    with pytest.raises(TypeError, match="packet must be a bytes-like object, .*not " + type(packet).__name__):
        director.process(packet, now=0.0)
    with pytest.raises(TypeError, match="bytes-like"):
        director.explain(packet)


def test_marks_find_services_of_marks(director):
    director.load("-A -f 5 -s rr\n-a -f 5 -r 10.0.0.102 -g")
    packet = segment("198.51.100.9:40000", "203.0.113.1:443")
    assert director.process(packet, now=0.0) == lvs.Pass("no-service")
    forward = director.process(packet, now=0.0, mark=5)
    assert (forward.next_hop, forward.method) == ("10.0.0.102", "dr")
    with pytest.raises(OverflowError):
        director.process(packet, now=0.0, mark=1 << 32)


@pytest.mark.parametrize("now", [-1.0, float("nan"), float("inf")])
def test_what_is_no_time_is_a_value_error(director, now):
    for call in (lambda: director.process(SYN, now=now), lambda: director.advance(now)):
        with pytest.raises(ValueError, match="number of seconds"):
            call()


def test_the_time_has_to_be_told():
    with lvs.Director() as director, pytest.raises(TypeError, match="now"):
        director.process(SYN)


def test_time_ends_connections(director):
    director.process(SYN, now=0.0)
    assert "198.51.100.9:40000" in director.run("-L -n -c")
    director.advance(3600)
    assert "198.51.100.9:40000" not in director.run("-L -n -c")


def test_listings_are_those_of_ipvsadm(director):
    assert director.listing() == director.run("-L -n") == director.run("ipvsadm -Ln")
    assert director.listing().splitlines()[-2:] == [
        "TCP  192.0.2.10:80 rr",
        "  -> 10.0.0.101:8080              Masq    1      0          0         ",
    ]


def test_saved_rules_build_the_same_services(director):
    with lvs.Director(seed=1) as other:
        other.load(director.save())
        assert other.listing() == director.listing()


def test_explaining_changes_nothing(director):
    before = director.listing()
    assert "rr chooses 10.0.0.101:8080" in str(director.explain(SYN, now=1.0))
    assert "unreadable" in str(director.explain(b""))
    assert director.listing() == before
    assert "10.0.0.101:8080" not in director.run("-L -n -c")


def test_a_refused_rule_says_where_and_why(director):
    with pytest.raises(lvs.RuleError) as caught:
        director.load("-C\n-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -w many")
    error = caught.value
    assert (error.line, error.column, error.word) == (3, 36, "many")
    assert error.expected.startswith("a weight")
    assert str(error) == f"line 3, column 36: `many`: expected {error.expected}"
    assert isinstance(error, ValueError) and isinstance(error, lvs.LvsError)
    assert director.save() != "", "no line was carried out"


def test_errors_survive_pickling(director):
    with pytest.raises(lvs.RuleError) as caught:
        director.run("-D -t 192.0.2.99:80")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), vars(copy), str(copy)) == (lvs.RuleError, vars(caught.value), str(caught.value))
    assert type(copy).__module__ == "lvs"


def test_a_seed_repeats_a_run():
    assert lvs.Director().seed != lvs.Director().seed
    assert lvs.Director(seed=2**64 - 1).seed == 2**64 - 1


def test_configurations_are_checked():
    with pytest.raises(lvs.ConfigError, match="at least one connection"):
        lvs.Director(connections=0)
    with pytest.raises(OverflowError):
        lvs.Director(seed=-1)
    with pytest.raises(TypeError, match="seed"):
        lvs.Director(seed="seven")
    with pytest.raises(TypeError):
        lvs.Director(7)


def test_a_full_table_refuses_new_connections():
    with lvs.Director(seed=7, connections=1) as director:
        director.load("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m")
        assert isinstance(director.process(SYN, now=0.0), lvs.Forward)
        other = segment("198.51.100.9:40001", "192.0.2.10:80")
        assert director.process(other, now=0.0) == lvs.Drop("table-full")


def test_a_closed_director_says_so():
    with lvs.Director(seed=7, connections=10) as director:
        assert repr(director) == "<lvs.Director seed=7 connections=10>"
    assert repr(director) == "<lvs.Director seed=7 connections=10 (closed)>"
    director.close()
    with pytest.raises(lvs.ClosedError):
        director.listing()
    with pytest.raises(lvs.ClosedError), director:
        pass


def test_attributes_stay_as_they_are(director):
    with pytest.raises(AttributeError):
        director.seed = 8
    with pytest.raises(AttributeError):
        lvs.Drop("not-ip").reason = "too-big"


VERDICTS = [
    lvs.Forward(b"E\0", "10.0.0.1", "to-server", "nat", "10.0.0.1:80"),
    lvs.Forward(b"E\0", "10.0.0.1", "to-client", "dr"),
    lvs.Reply(b"E'\"", "198.51.100.9", "no-route"),
    lvs.Pass("no-service"),
    lvs.Drop("it's"),
]


@pytest.mark.parametrize("verdict", VERDICTS, ids=repr)
def test_verdicts_are_values(verdict):
    again = eval(repr(verdict), vars(lvs))
    assert again == verdict and hash(again) == hash(verdict) and again is not verdict
    assert sum(other == verdict for other in VERDICTS) == 1
    assert type(verdict).__module__ == "lvs"
    assert all(hasattr(verdict, name) for name in type(verdict).__match_args__)


def test_threads_take_their_turns(director):
    def work(first):
        for port in range(first, first + 100):
            results.append(director.process(segment(f"198.51.100.9:{port}", "192.0.2.10:80"), now=0.0))

    results = []
    threads = [threading.Thread(target=work, args=(1024 + 100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 400 and all(isinstance(result, lvs.Forward) for result in results)


def test_all_that_is_public_is_there():
    assert sorted(lvs.__all__) == lvs.__all__
    assert all(hasattr(lvs, name) for name in lvs.__all__)
    assert (Path(lvs.__file__).parent / "py.typed").exists()
