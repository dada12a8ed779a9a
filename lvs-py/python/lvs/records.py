"""What the library tells of itself: records that never change.

All are frozen dataclasses: equal if their fields are, hashable, with a repr that evaluates back, and they pickle.
Addresses with ports are texts such as "192.0.2.10:80" and "[2001:db8::1]:80"; moments are seconds since the origin of the
director's time, durations are seconds; a service is named by its key, such as "TCP 192.0.2.10:80", "FWM 5" or
"FWM 5 IPv6". Counts, states and their names are those of IPVS in Linux 6.1.192.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

__all__ = [
    "Applied",
    "Connection",
    "ConnectionGone",
    "ConnectionMade",
    "Considered",
    "Counters",
    "Daemon",
    "DrainDeadline",
    "Drained",
    "Event",
    "Explanation",
    "Flow",
    "Overloaded",
    "Rates",
    "Record",
    "Relieved",
    "Server",
    "Service",
    "ServiceOptions",
    "SlowStart",
    "SyncMessage",
    "SyncReceived",
    "Table",
]


class Record:
    """What all records are."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name. Those of a record within have its name in front, as in counters_in_bytes."""
        return dict(_fields_of(self))


def _fields_of(record: Any) -> Iterator[tuple[str, Any]]:
    for each in dataclasses.fields(record):
        value = getattr(record, each.name)
        if isinstance(value, Record):
            yield from ((f"{each.name}_{name}", inner) for name, inner in _fields_of(value))
        else:
            yield each.name, value


T = TypeVar("T", bound=Record)


class Table(tuple[T, ...]):
    """Records of one kind, in order: a tuple that also gives columns.

    pandas.DataFrame(table.to_dict()) is a data frame with a row for each record.
    """

    kind: type[T]
    """The class of the records, known of an empty table too."""

    def __new__(cls, kind: type[T], records: Iterable[T] = ()) -> Table[T]:
        """Put records of a kind into a table."""
        table = super().__new__(cls, records)
        table.kind = kind
        return table

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns by name, each a list with an item for every record."""
        names = list(_columns_of(self.kind))
        rows = [list(record.to_dict().values()) for record in self]
        return {name: [row[at] for row in rows] for at, name in enumerate(names)}

    def __getnewargs__(self) -> tuple[type[T], tuple[T, ...]]:
        return (self.kind, tuple(self))

    def __repr__(self) -> str:
        return f"Table({self.kind.__name__}, {list(self)!r})"


def _columns_of(kind: Any) -> Iterator[str]:
    for each in dataclasses.fields(kind):
        inner = {"Counters": Counters, "Rates": Rates}.get(str(each.type))
        if inner is None:
            yield each.name
        else:
            yield from (f"{each.name}_{name}" for name in _columns_of(inner))


@dataclass(frozen=True, slots=True)
class Counters(Record):
    """What was counted: as listings show it up to the latest two-second tick, or of this moment where it is said.

    - connections: connections scheduled.
    - in_packets: packets from clients.
    - out_packets: packets to clients, of those that pass through the director.
    - in_bytes: bytes from clients.
    - out_bytes: bytes to clients.
    """

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rates(Record):
    """How much of it there is in a second, as the kernel estimates it.

    - connections: connections per second.
    - in_packets: packets from clients per second.
    - out_packets: packets to clients per second.
    - in_bytes: bytes from clients per second.
    - out_bytes: bytes to clients per second.
    """

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Server(Record):
    """A real server of a service: as a director shows it, or as Director.apply shall have it.

    - service: the key of its service.
    - address: address and port; port 0 keeps the port that packets come for.
    - method: how packets reach it: nat, dr or tun.
    - weight: its share of new connections; 0 for none.
    - upper: at so many connections no new one is scheduled; 0 for no limit.
    - lower: below so many an overloaded server takes new ones again; 0 for three quarters of upper.
    - tunnel: what tunnelled packets are wrapped in: ipip, gre, gre+csum, gue:PORT, gue:PORT+csum or gue:PORT+remcsum.
    - state: active, draining, drained or removed.
    - deadline: when its drain is over, in seconds of the director's time; None for never.
    - active: connections in an active state.
    - inactive: connections that are not active.
    - persistent: persistence templates.
    - counters, rates: what was counted, and how much of it there is in a second, as of the latest two-second tick.
    """

    service: str
    address: str
    method: str = "dr"
    weight: int = 1
    upper: int = 0
    lower: int = 0
    tunnel: str = "ipip"
    state: str = "active"
    deadline: float | None = None
    active: int = 0
    inactive: int = 0
    persistent: int = 0
    counters: Counters = Counters()
    rates: Rates = Rates()


@dataclass(frozen=True, slots=True)
class Service(Record):
    """A virtual service and its servers: as a director shows them, or as Director.apply shall have them.

    - key: what names it, such as "TCP 192.0.2.10:80" or "FWM 5".
    - scheduler: the scheduler's name; none for no scheduling at all.
    - flags: flags of the scheduler: fallback, port, flag-3.
    - one_packet: whether every UDP packet is scheduled anew.
    - persistence: how long a client stays with its server, in seconds.
    - netmask: the part of its address that counts: an IPv4 mask, or an IPv6 prefix length; all of it if None.
    - engine: the persistence engine, such as sip.
    - counters, rates: as of a Server, of servers that have left it too.
    - servers: in list order: the newest first.
    """

    key: str
    scheduler: str = "wlc"
    flags: tuple[str, ...] = ()
    one_packet: bool = False
    persistence: float | None = None
    netmask: str | int | None = None
    engine: str | None = None
    counters: Counters = Counters()
    rates: Rates = Rates()
    servers: tuple[Server, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection(Record):
    """A connection, or a persistence template.

    - protocol: TCP, UDP or SCTP; else the protocol's number, 0 for a template of every protocol of a firewall mark.
    - client: the client's end; of a template, its network and port 0.
    - target: the virtual end.
    - server: the server's end.
    - state: the protocol's state by its kernel name, such as ESTABLISHED; NONE for a template.
    - expires: when it ends, in seconds of the director's time, unless a packet comes.
    - timeout: how long it lives after each packet, in seconds.
    - is_template: whether it is a persistence template.
    - engine: the persistence engine that keeps something with it, such as sip.
    - engine_data: what that is, such as a Call-ID.
    - synced: whether synchronisation brought it.
    - id: what names it, for Director.connection; no other one has it later.
    """

    protocol: str
    client: str
    target: str
    server: str
    state: str
    expires: float
    timeout: float
    is_template: bool = False
    engine: str | None = None
    engine_data: str | None = None
    synced: bool = False
    id: int = 0


@dataclass(frozen=True, slots=True)
class Flow(Record):
    """What a packet shows of its flow.

    - protocol: the IP protocol number.
    - source: where the packet comes from.
    - destination: where it is going.
    """

    protocol: int
    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class Considered(Record):
    """A server as a scheduler saw it when it chose.

    - address: address and port.
    - weight: its weight.
    - effective_weight: what the scheduler takes for it: another number during a slow start.
    - active: its active connections.
    - inactive: its inactive connections.
    - overloaded: whether it has reached its upper threshold.
    """

    address: str
    weight: int
    effective_weight: int
    active: int
    inactive: int
    overloaded: bool


@dataclass(frozen=True, slots=True)
class Explanation(Record):
    """Where a packet would go, and why. As a text it is a few lines for people.

    - text: those lines.
    - flow: the flow that the packet shows, if it can be read.
    - service: the key of the service that was found for it, if one was.
    - state: the state of the connection that was found for it, if one was.
    - scheduler: the name of the scheduler that was asked, or whose template decides.
    - by_template: whether a persistence template decides.
    - considered: the servers that there were to choose from, in list order.
    - server: the one that takes the packet.
    - verdict: forward, reply, pass or drop; None if the scheduler cannot be asked without being changed.
    - reason: the reason, unless it is forwarded.
    - next_hop: where the packet or the reply goes.
    - rewrite: what would be written into the packet: "destination 10.0.0.101:8080", "source 192.0.2.10:80", "ttl", or
      "tunnel 192.0.2.1 10.0.0.101".
    """

    text: str
    flow: Flow | None
    service: str | None
    state: str | None
    scheduler: str | None
    by_template: bool
    considered: tuple[Considered, ...]
    server: str | None
    verdict: str | None
    reason: str | None
    next_hop: str | None
    rewrite: str | None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Applied(Record):
    """What Director.apply did. Servers are pairs of the service's key and the server's address.

    - services_added: services that are new.
    - services_changed: services that are described otherwise now.
    - services_removed: services that are gone.
    - services_unchanged: how many services stayed as they were.
    - servers_added: servers that are new.
    - servers_changed: servers that are described otherwise now.
    - servers_removed: servers that are gone.
    - servers_unchanged: how many servers stayed as they were.
    """

    services_added: tuple[str, ...]
    services_changed: tuple[str, ...]
    services_removed: tuple[str, ...]
    services_unchanged: int
    servers_added: tuple[tuple[str, str], ...]
    servers_changed: tuple[tuple[str, str], ...]
    servers_removed: tuple[tuple[str, str], ...]
    servers_unchanged: int

    @property
    def is_unchanged(self) -> bool:
        """Whether there was nothing to do."""
        changes = (self.services_added, self.services_changed, self.services_removed)
        return not any(changes + (self.servers_added, self.servers_changed, self.servers_removed))


@dataclass(frozen=True, slots=True)
class SlowStart(Record):
    """How the weight of a new server grows: evenly, from a smallest share to all of it.

    - duration: how long that takes, in seconds: 1 second to 31 days.
    - least_percent: the smallest share, in percent, 1 to 100.
    """

    duration: float
    least_percent: int = 10


@dataclass(frozen=True, slots=True)
class ServiceOptions(Record):
    """What a service does beyond the kernel's: all of it off by default.

    - timeouts: its own timeouts in seconds by state, such as {"TCP ESTABLISHED": 900.0}; states that are not named have the
      director's.
    - slow_start: how the weights of new servers grow.
    - begins_anywhere: whether turns begin at a server drawn from the director's seed.
    """

    timeouts: Mapping[str, float] | None = field(default=None, hash=False)
    slow_start: SlowStart | None = None
    begins_anywhere: bool = False


@dataclass(frozen=True, slots=True)
class Daemon(Record):
    """A synchronisation daemon that runs.

    - role: master or backup.
    - interface: the interface for multicast, for listings alone.
    - sync_id: which messages belong together.
    - max_len: the longest message in bytes.
    - group: the multicast group.
    - port: the UDP port.
    - ttl: the time to live of its messages, in hops.
    """

    role: str
    interface: str
    sync_id: int
    max_len: int
    group: str
    port: int
    ttl: int


@dataclass(frozen=True, slots=True)
class SyncMessage(Record):
    """A message of the master's that is to be sent over UDP.

    - data: the payload.
    - group: the multicast group to send it to.
    - port: the UDP port.
    - ttl: its time to live, or hop limit, in hops.
    """

    data: bytes
    group: str
    port: int
    ttl: int


@dataclass(frozen=True, slots=True)
class SyncReceived(Record):
    """What became of a message that was received.

    - created: connections and templates that were made.
    - updated: those that were there and were changed.
    - skipped: records that were not taken.
    - refused: why the message, or the rest of it, was not read at all.
    """

    created: int
    updated: int
    skipped: int
    refused: str | None


@dataclass(frozen=True, slots=True)
class ConnectionMade(Record):
    """A connection or template was made.

    - protocol: as of a Connection.
    - client: the client's end.
    - target: the virtual end.
    - server: the server's end.
    - is_template: whether it is a persistence template.
    """

    protocol: str
    client: str
    target: str
    server: str
    is_template: bool


@dataclass(frozen=True, slots=True)
class ConnectionGone(Record):
    """A connection or template is gone.

    - protocol: as of a Connection.
    - client: the client's end.
    - target: the virtual end.
    - server: the server's end.
    - is_template: whether it is a persistence template.
    - why: expired, replaced, server-gone, flushed, evicted or dropped.
    """

    protocol: str
    client: str
    target: str
    server: str
    is_template: bool
    why: str


@dataclass(frozen=True, slots=True)
class Overloaded(Record):
    """A server has reached its upper threshold: it gets no new connections.

    - service: the key of its service, unless it has left it.
    - server: its address and port.
    """

    service: str | None
    server: str | None


@dataclass(frozen=True, slots=True)
class Relieved(Record):
    """A server's overload is over.

    - service: the key of its service, unless it has left it.
    - server: its address and port.
    """

    service: str | None
    server: str | None


@dataclass(frozen=True, slots=True)
class DrainDeadline(Record):
    """The deadline of a drain has come.

    - service: the key of its service, unless it has left it.
    - server: its address and port.
    - left: how many connections were left.
    """

    service: str | None
    server: str | None
    left: int


@dataclass(frozen=True, slots=True)
class Drained(Record):
    """The last connection of a server that is being drained is gone; or it was removed at its deadline.

    - service: the key of the service that it was drained from.
    - server: its address and port.
    - removed: whether it was removed from its service.
    """

    service: str | None
    server: str | None
    removed: bool


Event: TypeAlias = ConnectionMade | ConnectionGone | Overloaded | Relieved | DrainDeadline | Drained
"""What Director.events tells of."""

for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = "lvs"
