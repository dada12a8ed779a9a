"""Many packets in one call: arrays in, arrays out, the same as one by one."""

import random
from array import array

import lvs
import pytest
from lvs.packets import tcp, udp

RULES = """
-A -t 192.0.2.10:80 -s wlc
-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m
-a -t 192.0.2.10:80 -r 10.0.0.102:8080 -m -w 2
-A -u 192.0.2.10:53 -s sh
-a -u 192.0.2.10:53 -r 10.0.0.53 -i
-A -t 192.0.2.10:81
"""


def new():
    director = lvs.Director(seed=7, connections=1000, tunnel_source_v4="192.0.2.10")
    director.load(RULES)
    return director


def traffic(count):
    """Packets of every kind: to servers, to nobody, in tunnels, refused, broken."""
    draw = random.Random(7)
    kinds = [
        lambda: tcp(f"198.51.100.{draw.randrange(9)}:{draw.randrange(1, 99)}", "192.0.2.10:80"),
        lambda: tcp("198.51.100.9:7", "192.0.2.10:80", flags="A", payload=bytes(draw.randrange(200))),
        lambda: udp(f"198.51.100.9:{draw.randrange(1, 99)}", "192.0.2.10:53", payload=b"?"),
        lambda: tcp("198.51.100.9:8", "192.0.2.10:81"),
        lambda: tcp("198.51.100.9:8", "192.0.2.99:80"),
        lambda: tcp("198.51.100.9:8", "192.0.2.10:80")[: draw.randrange(41)],
    ]
    return [draw.choice(kinds)() for _ in range(count)]


def in_rows(packets):
    stride = max(map(len, packets))
    return b"".join(packet.ljust(stride, b"\0") for packet in packets), stride


@pytest.mark.parametrize("count", [0, 1, 15, 64, 300])
def test_a_batch_is_as_one_by_one(count):
    packets = traffic(count)
    with new() as one, new() as many:
        expected = [one.process(packet, now=5) for packet in packets]
        batch = many.process_batch(b"".join(packets), [len(packet) for packet in packets], now=5)
        assert list(batch) == expected == [batch[i] for i in range(len(batch))]
        assert one.listing() == many.listing()
        assert batch.data == b"".join(batch.packets)
        assert new().process_batch(batch.data, batch.length, now=5).packets is not None
    assert len(batch) == len(packets)
    names = [lvs.Pass, lvs.Forward, lvs.Reply, lvs.Drop]
    assert [names[code] for code in batch.verdict] == [type(verdict) for verdict in expected]
    for number, verdict in enumerate(expected):
        server = batch.server[number]
        assert (batch.servers[server] if server >= 0 else None) == getattr(verdict, "server", None)
        place = slice(batch.offset[number], batch.offset[number] + batch.length[number])
        packet = getattr(verdict, "packet", packets[number])
        assert batch.data[place] == packet == batch.packets[number]


def test_every_way_to_hand_packets_in_is_the_same():
    packets = traffic(40)
    flat, lengths = b"".join(packets), [len(packet) for packet in packets]
    offsets = [sum(lengths[:i]) for i in range(len(lengths))]
    rows, stride = in_rows(packets)
    ways = [
        lambda d: d.process_batch(packets, now=1),
        lambda d: d.process_batch(iter(packets), now=1),
        lambda d: d.process_batch(flat, lengths, now=1),
        lambda d: d.process_batch(bytearray(flat), array("H", lengths), now=1),
        lambda d: d.process_batch(memoryview(flat + b"more"), array("I", lengths), now=1.0),
        lambda d: d.process_batch(flat, array("q", lengths), offsets=offsets, now=1),
        lambda d: d.process_batch(flat, lengths, now=[1.0] * 40, mark=[0] * 40),
        lambda d: d.process_batch(flat, lengths, now=array("d", [1.0] * 40), mark=array("L", [0] * 40)),
        lambda d: d.process_batch(memoryview(rows).cast("B", (40, stride)), lengths, now=1),
    ]
    first, *others = [list(way(new())) for way in ways]
    assert all(other == first for other in others)
    assert {type(verdict) for verdict in first} == {lvs.Forward, lvs.Pass, lvs.Reply, lvs.Drop}


def test_packets_of_one_length_need_no_list():
    packets = [tcp(f"198.51.100.9:{port}", "192.0.2.10:80") for port in range(101, 121)]
    with new() as director:
        for batch in (
            director.process_batch(b"".join(packets), 40, now=0),
            director.process_batch(memoryview(b"".join(packets)).cast("B", (20, 40)), now=0),
            director.process_batch(memoryview(b"".join(packets)).cast("B", (10, 80)), 40, now=0),
        ):
            assert set(batch.verdict) == {1}
        assert director.connection_count() == 20


def test_numpy_arrays_go_in_and_come_out():
    numpy = pytest.importorskip("numpy")
    packets = traffic(50)
    rows, stride = in_rows(packets)
    frames = numpy.frombuffer(rows, dtype=numpy.uint8).reshape(50, stride)
    lengths = numpy.array([len(packet) for packet in packets])
    before = frames.copy()
    with new() as director, new() as other:
        batch = director.process_batch(frames, lengths, now=0, mark=numpy.zeros(50, dtype=numpy.uint32))
        assert list(batch) == list(other.process_batch(packets, now=0))
        strided = numpy.asfortranarray(frames)
        assert list(new().process_batch(strided, lengths, now=0)) == list(batch)
        again = new().process_batch(frames[:1], lengths[:1], now=numpy.array([3.0]), mark=numpy.array([0]))
        assert len(again) == 1 and len(new().process_batch(frames, lengths, now=numpy.float64(3))) == 50
        for dtype in ("int8", "int16", "int32", "uint64"):
            assert len(new().process_batch(packets[0], numpy.array([lengths[0]], dtype=dtype), now=0)) == 1
        for wrong in (dict(lengths=lengths.astype(">u4")), dict(lengths=lengths.astype(float))):
            with pytest.raises(TypeError):
                director.process_batch(frames, now=0, **wrong)
        swapped = numpy.array([3.0]).astype(">f8")
        assert len(director.process_batch(frames[:1], lengths[:1], now=swapped)) == 1
        assert {connection.expires for connection in director.connections()} < {60.0, 63.0, 300.0, 303.0}
    assert (frames == before).all()
    arrays = {name: numpy.asarray(getattr(batch, name)) for name in ("verdict", "reason", "server", "offset", "length")}
    kinds = {name: str(values.dtype) for name, values in arrays.items()}
    assert kinds == {"verdict": "uint8", "reason": "uint8", "server": "int32", "offset": "uint32", "length": "uint32"}
    assert (arrays["length"] == [len(packet) for packet in batch.packets]).all()


def test_a_batch_that_somebody_has_never_changes():
    """The memory of a batch that is gone serves the next one, with nothing of it to be seen."""
    packets = traffic(300)
    parts = [packets[:100], packets[100:130], packets[130:], [], packets[:5]]
    with new() as one, new() as many:
        expected = [[one.process(packet, now=5) for packet in part] for part in parts]
        kept = [many.process_batch(part, now=5) for part in parts]
    with new() as again:
        for part, verdicts in zip(parts, expected):
            assert list(again.process_batch(part, now=5)) == verdicts
    assert [list(batch) for batch in kept] == expected
    assert [len(batch.servers) for batch in kept] == [len({getattr(v, "server", None) for v in e} - {None}) for e in expected]
    with lvs.SharedDirector(seed=7, tunnel_source_v4="192.0.2.10") as shared:
        shared.load(RULES)
        first = [repr(v) for v in shared.process_batch(packets, now=5)]
        assert [len(shared.process_batch(part, now=5)) for part in parts] == [len(part) for part in parts]
        assert len(first) == 300


def test_rows_of_nothing_are_packets_of_nothing():
    numpy = pytest.importorskip("numpy")
    with new() as director:
        batch = director.process_batch(numpy.zeros((3, 0), dtype=numpy.uint8), now=0)
        assert list(batch) == [lvs.Drop("not-ip")] * 3 and batch.data == b""
        assert len(director.process_batch(numpy.zeros((0, 40), dtype=numpy.uint8), now=0)) == 0
        for shape in [(1 << 40, 0), (1 << 62, 0)]:
            with pytest.raises((ValueError, MemoryError)):
                director.process_batch(numpy.zeros(shape, dtype=numpy.uint8), now=0)
        with pytest.raises((ValueError, MemoryError)):
            director.process_batch(numpy.broadcast_to(numpy.uint8(69), (1 << 50, 40)), now=0)


def test_pandas_takes_the_columns():
    pandas = pytest.importorskip("pandas")
    with new() as director:
        frame = pandas.DataFrame(director.process_batch(traffic(50), now=0).to_dict())
        assert len(frame) == 50 and set(frame["verdict"]) == {"forward", "pass", "reply", "drop"}
        connections = pandas.DataFrame(director.connections().to_dict())
        assert len(connections) == director.connection_count()
        servers = pandas.DataFrame(director.servers().to_dict())
        assert {"address", "weight", "counters_in_bytes", "rates_connections"} <= set(servers)
        director.flush()
        assert "client" in pandas.DataFrame(director.connections().to_dict())


def test_each_packet_may_have_a_time_and_a_mark():
    with lvs.Director(seed=7) as director:
        director.load("-A -f 5 -s rr\n-a -f 5 -r 10.0.0.1 -m")
        query = udp("198.51.100.1:53", "203.0.113.1:53")
        batch = director.process_batch([query] * 3, now=[0, 1, 500], mark=[0, 5, 5])
        assert list(batch.verdict) == [0, 1, 1]
        assert [connection.expires for connection in director.connections()] == [800.0]


@pytest.mark.parametrize(
    "arguments, error",
    [
        (dict(packets=b"1234"), TypeError),
        (dict(packets=b"1234", lengths=3), ValueError),
        (dict(packets=b"1234", lengths=0), ValueError),
        (dict(packets=b"1234", lengths=[2, 3]), ValueError),
        (dict(packets=b"1234", lengths=[-1]), (ValueError, OverflowError)),
        (dict(packets=b"1234", lengths=array("i", [-1])), ValueError),
        (dict(packets=b"1234", lengths=array("d", [1.0])), TypeError),
        (dict(packets=b"1234", lengths="four"), TypeError),
        (dict(packets=b"1234", lengths=-2), ValueError),
        (dict(packets=b"1234", lengths=1 << 70), ValueError),
        (dict(packets=b"1234", lengths=array("h", [-4])), ValueError),
        (dict(packets=bytes(1 << 20), lengths=[1 << 20] * 3000, offsets=[0] * 3000), ValueError),
        (dict(packets=bytes(1 << 26), lengths=1), ValueError),
        (dict(packets=b"1234", lengths=[4], offsets=[1]), ValueError),
        (dict(packets=b"1234", lengths=[2**32 - 1], offsets=[2**32 - 1]), ValueError),
        (dict(packets=b"1234", lengths=[1, 1], offsets=[1]), ValueError),
        (dict(packets=memoryview(b"12345678").cast("I"), lengths=[4]), TypeError),
        (dict(packets=memoryview(b"1234").cast("B", (2, 2)), lengths=[3, 1]), ValueError),
        (dict(packets=memoryview(b"1234").cast("B", (2, 2)), lengths=[1]), ValueError),
        (dict(packets=memoryview(b"1234").cast("B", (2, 2)), lengths=[1, 1], offsets=[0, 2]), ValueError),
        (dict(packets=memoryview(b"12345678").cast("B", (2, 2, 2))), ValueError),
        (dict(packets="1234", lengths=[4]), TypeError),
        (dict(packets="1234"), TypeError),
        (dict(packets=7), TypeError),
        (dict(packets=[b"1", 7]), TypeError),
        (dict(packets=[b"1"], now="noon"), TypeError),
        (dict(packets=[b"1"], now=-1), ValueError),
        (dict(packets=[b"1"], now=[1, 2]), ValueError),
        (dict(packets=[b"1"], now=[float("nan")]), ValueError),
        (dict(packets=[b"1"], mark=[1, 2]), ValueError),
        (dict(packets=[b"1"], mark=-1), OverflowError),
        (dict(packets=[b"1"], hook="line"), ValueError),
    ],
)
def test_what_does_not_fit_is_refused(director, arguments, error):
    with pytest.raises(error):
        director.process_batch(**{"now": 0, **arguments})
    assert director.reasons() == {}


def test_a_batch_is_a_sequence(director, syn):
    batch = director.process_batch([syn, b""], now=0)
    assert isinstance(batch[0], lvs.Forward) and batch[-1] == batch[1] == lvs.Drop("not-ip")
    assert batch[:1] == [batch[0]] and batch[::-1] == [batch[1], batch[0]] and batch[5:] == [] == batch[0:2:-1]
    for number in (2, -3):
        with pytest.raises(IndexError):
            batch[number]
    assert repr(batch) == "<lvs.Batch of 2: 1 forward, 0 pass, 0 reply, 1 drop>"
    assert lvs.Drop("not-ip") in batch


def test_no_bytes_are_no_packets(director):
    for length in (1, 2**32, 2**64 - 1):
        assert len(director.process_batch(b"", length, now=0)) == 0
    with pytest.raises(ValueError):
        director.process_batch(b"", 0, now=0)
