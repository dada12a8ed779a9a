"""The extension module. Import from lvs instead."""

from types import TracebackType
from typing import ClassVar, Final, Literal, Self, final

from typing_extensions import Buffer

__all__ = ["Director", "Drop", "Forward", "Pass", "Reply"]

@final
class Director:
    """One load balancer: services, servers, connections, and the packet path.

    It does no I/O and reads no clock: packets and the time are handed to it. Calls from several threads are carried out
    one after the other. Times are seconds since any origin; should time go backwards, it stands still.
    """

    seed: Final[int]
    """Same seed, same packets, same times: same verdicts. Drawn from the operating system unless it was given."""

    connections: Final[int]
    """Room for so many connections: memory for them was reserved at once."""

    def __new__(cls, *, seed: int | None = None, connections: int = 65536) -> Self:
        """Build a director without services. Raises ConfigError if the table would have no room, or too much."""

    def __enter__(self) -> Self:
        """Return the director, to be closed at the end of the block."""

    def __exit__(
        self, *_exception: type[BaseException] | BaseException | TracebackType | None
    ) -> None:
        """Close the director."""

    def close(self) -> None:
        """Free the memory. Every later call but this one raises ClosedError."""

    def load(self, rules: str) -> None:
        """Carry out a text of ipvsadm lines. Blank lines and lines that begin with # are skipped.

        Raises RuleError. If a line cannot be read, none was carried out; if one is refused, those before it were.
        """

    def run(self, line: str) -> str:
        """Carry out one line of ipvsadm and return what it prints. Raises RuleError; then nothing has changed."""

    def process(self, packet: Buffer, *, now: float, mark: int = 0) -> Forward | Pass | Reply | Drop:
        """Decide on a packet that begins with its IP header. The packet itself stays as it is: verdicts have copies."""

    def explain(self, packet: Buffer, *, now: float = 0.0, mark: int = 0) -> str:
        """Say where a packet would go and why, changing nothing."""

    def advance(self, now: float) -> None:
        """Let time pass: connections end, counters and rates are renewed."""

    def listing(self) -> str:
        """Return what ipvsadm -L -n prints. For other listings run their lines."""

    def save(self) -> str:
        """Return the rules, as ipvsadm -S -n writes them."""

@final
class Forward:
    """Send packet, rewritten, to the host next_hop."""

    __match_args__: ClassVar[tuple[Literal["packet"], Literal["next_hop"]]]

    def __new__(
        cls, packet: bytes, next_hop: str, direction: str, method: str, server: str | None = None
    ) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def packet(self) -> bytes:
        """The packet to send."""
    @property
    def next_hop(self) -> str:
        """The address to send it to: the real server, or the client for a reply."""
    @property
    def direction(self) -> str:
        """to-server or to-client."""
    @property
    def method(self) -> str:
        """nat, dr or tun."""
    @property
    def server(self) -> str | None:
        """Address and port of the real server at the other end."""

@final
class Reply:
    """Send packet, an ICMP error, to the host next_hop."""

    __match_args__: ClassVar[tuple[Literal["packet"], Literal["next_hop"], Literal["reason"]]]

    def __new__(cls, packet: bytes, next_hop: str, reason: str) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def packet(self) -> bytes:
        """The ICMP error to send."""
    @property
    def next_hop(self) -> str:
        """The sender of the packet that drew it."""
    @property
    def reason(self) -> str:
        """Why, such as no-destination."""

@final
class Pass:
    """The packet is none of the director's business."""

    __match_args__: ClassVar[tuple[Literal["reason"]]]

    def __new__(cls, reason: str) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def reason(self) -> str:
        """Why, such as no-service."""

@final
class Drop:
    """Discard the packet."""

    __match_args__: ClassVar[tuple[Literal["reason"]]]

    def __new__(cls, reason: str) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def reason(self) -> str:
        """Why, such as not-ip."""
