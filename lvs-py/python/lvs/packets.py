"""Packets made to order, and packets of scapy and dpkt.

tcp, udp and sctp build packets as bytes, from the IP header on. Whatever takes a packet takes those of scapy and dpkt
too; to_scapy and to_dpkt turn bytes into theirs. Neither of the two is needed unless it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvs._lvs import sctp, tcp, udp

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["from_object", "sctp", "tcp", "to_dpkt", "to_scapy", "udp"]


def from_object(packet: Any) -> bytes:
    """Return the IP packet in a packet of scapy or dpkt, in a frame of theirs, or in what else bytes() takes.

    Raises ValueError if a frame has no IP packet in it.
    """
    getlayer = getattr(packet, "getlayer", None)
    if getlayer is not None:  # scapy
        # The outermost of the two: an IP packet may have another one in it.
        for layer in packet.layers():
            if layer.__name__ in ("IP", "IPv6"):
                return bytes(getlayer(layer))
        raise ValueError(f"no IP packet in {packet.summary()}")
    if type(packet).__module__.partition(".")[0] == "dpkt":
        while type(packet).__name__ not in ("IP", "IP6"):
            inner = getattr(packet, "data", b"")
            if isinstance(inner, bytes):
                raise ValueError(f"no IP packet in {type(packet).__name__}")
            packet = inner
    return bytes(packet)


def to_scapy(packet: Buffer) -> Any:
    """Return a packet as scapy's IP or IPv6. Raises ImportError without scapy, and ValueError for what is no IP packet."""
    data = bytes(packet)
    if _version(data) == 4:
        from scapy.layers.inet import IP

        return IP(data)
    from scapy.layers.inet6 import IPv6

    return IPv6(data)


def to_dpkt(packet: Buffer) -> Any:
    """Return a packet as dpkt's IP or IP6. Raises ImportError without dpkt, and ValueError for what is no IP packet."""
    data = bytes(packet)
    if _version(data) == 4:
        from dpkt.ip import IP

        return IP(data)
    from dpkt.ip6 import IP6

    return IP6(data)


def _version(data: bytes) -> int:
    version = data[0] >> 4 if data else 0
    if version not in (4, 6):
        raise ValueError("not an IP packet")
    return version
