"""Packets from and to what people use: scapy, dpkt, captures."""

import struct
import subprocess
import sys
from pathlib import Path

import lvs
import pytest
from lvs.packets import sctp, tcp, to_dpkt, to_scapy, udp

CAPTURES = Path(__file__).parents[2] / "examples" / "captures"


def test_built_packets_are_well_formed_to_scapy():
    inet = pytest.importorskip("scapy.layers.inet")
    inet6 = pytest.importorskip("scapy.layers.inet6")
    segment = to_scapy(tcp("198.51.100.9:40000", "192.0.2.10:80", flags="SA", payload=b"hello", ttl=9, tos=4))
    assert (segment.src, segment.dst, segment.ttl, segment.tos) == ("198.51.100.9", "192.0.2.10", 9, 4)
    assert (segment[inet.TCP].sport, segment[inet.TCP].flags, bytes(segment[inet.TCP].payload)) == (40000, "SA", b"hello")
    for packet in (segment, to_scapy(udp("[2001:db8::9]:53", "[2001:db8::10]:53", payload=b"odd"))):
        again = packet.copy()
        layer = again[inet.TCP] if inet.TCP in again else again[inet.UDP]
        del layer.chksum
        if again.version == 4:
            del again.chksum
        assert bytes(again) == bytes(packet), "scapy works out the same checksums"
    assert isinstance(to_scapy(udp("[2001:db8::9]:53", "[2001:db8::10]:53")), inet6.IPv6)


def test_packets_of_scapy_go_in_as_they_are(director, syn):
    inet = pytest.importorskip("scapy.layers.inet")
    l2 = pytest.importorskip("scapy.layers.l2")
    packet = inet.IP(src="198.51.100.9", dst="192.0.2.10") / inet.TCP(sport=40000, dport=80)
    forward = director.process(packet, now=0)
    assert director.process(l2.Ether() / l2.Dot1Q() / packet, now=0) == forward
    assert list(director.process_batch([packet, l2.Ether() / packet], now=0)) == [forward, forward]
    wrapped = inet.IP(src="198.51.100.1", dst="198.51.100.2") / packet
    assert director.process(wrapped, now=0) == lvs.Pass(lvs.PassReason.UNSUPPORTED_PROTOCOL)
    with pytest.raises(ValueError, match="no IP packet"):
        director.process(l2.Ether() / l2.ARP(), now=0)


def test_packets_of_dpkt_go_in_and_out(director, syn):
    dpkt = pytest.importorskip("dpkt")
    packet = to_dpkt(syn)
    assert (packet.tcp.dport, packet.p, packet.ttl) == (80, 6, 64)
    forward = director.process(packet, now=0)
    assert to_dpkt(forward.packet).tcp.dport == 8080
    assert director.process(dpkt.ethernet.Ethernet(data=packet, type=0x0800), now=0) == forward
    assert to_dpkt(udp("[2001:db8::9]:53", "[2001:db8::10]:53")).nxt == 17
    with pytest.raises(ValueError, match="no IP packet"):
        director.process(dpkt.ethernet.Ethernet(data=b"?", type=0x88CC), now=0)


@pytest.mark.parametrize("data", [b"", b"\x10", b"text"])
def test_what_is_no_packet_becomes_none(data):
    for turn in (to_scapy, to_dpkt):
        with pytest.raises(ValueError, match="not an IP packet"):
            turn(data)


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: tcp("198.51.100.9:1", "[2001:db8::1]:80"), ValueError),
        (lambda: tcp("198.51.100.9:1", "192.0.2.10:80", flags="X"), ValueError),
        (lambda: tcp("198.51.100.9:1", "192.0.2.10:80", options=11), ValueError),
        (lambda: udp("198.51.100.9:1", "192.0.2.10:80", payload=bytes(65500)), ValueError),
        (lambda: udp("198.51.100.9:1", "192.0.2.10:80", payload="text"), TypeError),
        (lambda: udp("198.51.100.9:70000", "192.0.2.10:80"), ValueError),
        (lambda: sctp("198.51.100.9:1", "192.0.2.10:80", chunk=256), OverflowError),
    ],
)
def test_what_cannot_be_built_is_said(make, error):
    with pytest.raises(error):
        make()


def test_the_longest_packets_can_be_built(director):
    for ends in (("198.51.100.9:1000", "192.0.2.10:80"), ("[2001:db8::9]:1000", "[2001:db8::10]:80")):
        for build in (tcp, udp, sctp):
            packet = build(*ends, payload=bytes(65400), options=10)
            assert not isinstance(director.process(packet, now=0), lvs.Drop)


def test_captures_are_read_and_written(tmp_path):
    packets = [(1.5, tcp("198.51.100.9:1000", "192.0.2.10:80")), (1700000000.25, b"\x45")]
    assert lvs.captures.write(tmp_path / "a.pcap", packets) == 2
    capture = lvs.captures.Capture(tmp_path / "a.pcap")
    assert list(capture) == packets and list(capture) == [] and capture.skipped == 0
    assert "a.pcap after 2 frames" in repr(capture)
    dpkt = pytest.importorskip("dpkt")
    with open(tmp_path / "a.pcap", "rb") as file:
        assert [data for _, data in dpkt.pcap.Reader(file)] == [packet for _, packet in packets]


def test_frames_are_unwrapped(tmp_path):
    syn = tcp("198.51.100.9:1000", "192.0.2.10:80")
    frames = [
        b"\0" * 12 + b"\x08\0" + syn + b"padding",
        b"\0" * 12 + b"\x81\0\0\x05\x08\0" + syn,
        b"\0" * 12 + b"\x08\x06" + b"arp",
        b"short",
    ]
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    body = b"".join(struct.pack("<IIII", 7, 250000, len(frame), len(frame)) + frame for frame in frames)
    (tmp_path / "a.pcap").write_bytes(header + body)
    capture = lvs.captures.Capture(str(tmp_path / "a.pcap"))
    assert list(capture) == [(7.25, syn), (7.25, syn)] and capture.skipped == 2


@pytest.mark.parametrize("content", [b"", b"not a capture at all", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a\0\0"])
def test_what_is_no_capture_says_so(tmp_path, content):
    (tmp_path / "a.pcap").write_bytes(content)
    with pytest.raises(lvs.CaptureError, match="a.pcap"):
        list(lvs.captures.Capture(tmp_path / "a.pcap"))


def test_a_capture_that_is_cut_off_gives_what_there_is(tmp_path):
    lvs.captures.write(tmp_path / "a.pcap", [(1.0, bytes(40)), (2.0, bytes(40))])
    (tmp_path / "b.pcap").write_bytes((tmp_path / "a.pcap").read_bytes()[:-5])
    capture = lvs.captures.Capture(tmp_path / "b.pcap")
    assert next(capture) == (1.0, bytes(40))
    with pytest.raises(lvs.CaptureError, match="after 1 frames"):
        next(capture)
    assert list(capture) == []
    with pytest.raises(lvs.CaptureError, match="nowhere"):
        lvs.captures.Capture(tmp_path / "nowhere.pcap")
    with pytest.raises(OSError):
        lvs.captures.write(tmp_path / "no" / "where.pcap", [])


def test_the_captures_of_the_examples_are_read():
    dpkt = pytest.importorskip("dpkt")
    paths = sorted(CAPTURES.glob("*.pcap*"))
    assert paths
    for path in paths:
        capture = lvs.captures.Capture(path)
        packets = list(capture)
        with open(path, "rb") as file:
            theirs = [(float(time), frame) for time, frame in dpkt.pcap.UniversalReader(file)]
        assert len(packets) > 0 and len(packets) + capture.skipped == len(theirs)
        there = iter(theirs)
        for time, packet in packets:
            assert any(abs(time - then) < 1e-6 and packet in frame for then, frame in there)


def test_nothing_else_is_imported_before_it_is_used():
    code = "import lvs, sys; print(sorted({'numpy', 'pandas', 'scapy', 'dpkt', 'hypothesis'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = "import lvs.testing, sys; print('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
