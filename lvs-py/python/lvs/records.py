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
    """What was counted: as listings show it up to the latest two-second tick, or of this moment where it is said."""

    connections: int = 0
    """Connections scheduled."""
    in_packets: int = 0
    """Packets from clients."""
    out_packets: int = 0
    """Packets to clients, of those that pass through the director."""
    in_bytes: int = 0
    """Bytes from clients."""
    out_bytes: int = 0
    """Bytes to clients."""


@dataclass(frozen=True, slots=True)
class Rates(Record):
    """How much of it there is in a second, as the kernel estimates it."""

    connections: int = 0
    """Connections per second."""
    in_packets: int = 0
    """Packets from clients per second."""
    out_packets: int = 0
    """Packets to clients per second."""
    in_bytes: int = 0
    """Bytes from clients per second."""
    out_bytes: int = 0
    """Bytes to clients per second."""


@dataclass(frozen=True, slots=True)
class Server(Record):
    """A real server of a service: as a director shows it, or as Director.apply shall have it."""

    service: str
    """The key of its service."""
    address: str
    """Address and port; port 0 keeps the port that packets come for."""
    method: str = "dr"
    """How packets reach it: nat, dr or tun."""
    weight: int = 1
    """Its share of new connections; 0 for none."""
    upper: int = 0
    """At so many connections no new one is scheduled; 0 for no limit."""
    lower: int = 0
    """Below so many an overloaded server takes new ones again; 0 for three quarters of upper."""
    tunnel: str = "ipip"
    """What tunnelled packets are wrapped in: ipip, gre, gre+csum, gue:PORT, gue:PORT+csum or gue:PORT+remcsum."""
    state: str = "active"
    """active, draining, drained or removed."""
    deadline: float | None = None
    """When its drain is over, if ever."""
    active: int = 0
    """Connections in an active state."""
    inactive: int = 0
    """Connections that are not active."""
    persistent: int = 0
    """Persistence templates."""
    counters: Counters = Counters()
    """As of the latest two-second tick."""
    rates: Rates = Rates()
    """The same per second."""


@dataclass(frozen=True, slots=True)
class Service(Record):
    """A virtual service and its servers: as a director shows them, or as Director.apply shall have them."""

    key: str
    """What names it, such as "TCP 192.0.2.10:80" or "FWM 5"."""
    scheduler: str = "wlc"
    """The scheduler's name; none for no scheduling at all."""
    flags: tuple[str, ...] = ()
    """Flags of the scheduler: fallback, port, flag-3."""
    one_packet: bool = False
    """Whether every UDP packet is scheduled anew."""
    persistence: float | None = None
    """How long a client stays with its server, in seconds."""
    netmask: str | int | None = None
    """The part of its address that counts: an IPv4 mask, or an IPv6 prefix length; all of it if None."""
    engine: str | None = None
    """The persistence engine, such as sip."""
    counters: Counters = Counters()
    """Those of servers that have left it included."""
    rates: Rates = Rates()
    """The same per second."""
    servers: tuple[Server, ...] = ()
    """In list order: the newest first."""


@dataclass(frozen=True, slots=True)
class Connection(Record):
    """A connection, or a persistence template."""

    protocol: str
    """TCP, UDP or SCTP; else the protocol's number, 0 for a template of every protocol of a firewall mark."""
    client: str
    """The client's end; of a template, its network and port 0."""
    target: str
    """The virtual end."""
    server: str
    """The server's end."""
    state: str
    """The protocol's state by its kernel name, such as ESTABLISHED; NONE for a template."""
    expires: float
    """When it ends, unless a packet comes."""
    timeout: float
    """How long it lives after each packet."""
    is_template: bool = False
    """Whether it is a persistence template."""
    engine: str | None = None
    """The persistence engine that keeps something with it, such as sip."""
    engine_data: str | None = None
    """What that is, such as a Call-ID."""
    synced: bool = False
    """Whether synchronisation brought it."""
    id: int = 0
    """What names it, for Director.connection; no other one has it later."""


@dataclass(frozen=True, slots=True)
class Flow(Record):
    """What a packet shows of its flow."""

    protocol: int
    """The IP protocol number."""
    source: str
    """Where the packet comes from."""
    destination: str
    """Where it is going."""


@dataclass(frozen=True, slots=True)
class Considered(Record):
    """A server as a scheduler saw it when it chose."""

    address: str
    """Address and port."""
    weight: int
    """Its weight."""
    effective_weight: int
    """What the scheduler takes for it: another number during a slow start."""
    active: int
    """Its active connections."""
    inactive: int
    """Its inactive connections."""
    overloaded: bool
    """Whether it has reached its upper threshold."""


@dataclass(frozen=True, slots=True)
class Explanation(Record):
    """Where a packet would go, and why. As a text it is a few lines for people."""

    text: str
    """Those lines."""
    flow: Flow | None
    """The flow that the packet shows, if it can be read."""
    service: str | None
    """The key of the service that was found for it, if one was."""
    state: str | None
    """The state of the connection that was found for it, if one was."""
    scheduler: str | None
    """The name of the scheduler that was asked, or whose template decides."""
    by_template: bool
    """Whether a persistence template decides."""
    considered: tuple[Considered, ...]
    """The servers that there were to choose from, in list order."""
    server: str | None
    """The one that takes the packet."""
    verdict: str | None
    """forward, reply, pass or drop; None if the scheduler cannot be asked without being changed."""
    reason: str | None
    """The reason, unless it is forwarded."""
    next_hop: str | None
    """Where the packet or the reply goes."""
    rewrite: str | None
    """What would be written into the packet."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Applied(Record):
    """What Director.apply did. Servers are pairs of the service's key and the server's address."""

    services_added: tuple[str, ...]
    """Services that are new."""
    services_changed: tuple[str, ...]
    """Services that are described otherwise now."""
    services_removed: tuple[str, ...]
    """Services that are gone."""
    services_unchanged: int
    """How many services stayed as they were."""
    servers_added: tuple[tuple[str, str], ...]
    """Servers that are new."""
    servers_changed: tuple[tuple[str, str], ...]
    """Servers that are described otherwise now."""
    servers_removed: tuple[tuple[str, str], ...]
    """Servers that are gone."""
    servers_unchanged: int
    """How many servers stayed as they were."""

    @property
    def is_unchanged(self) -> bool:
        """Whether there was nothing to do."""
        changes = (self.services_added, self.services_changed, self.services_removed)
        return not any(changes + (self.servers_added, self.servers_changed, self.servers_removed))


@dataclass(frozen=True, slots=True)
class SlowStart(Record):
    """How the weight of a new server grows: evenly, from a smallest share to all of it."""

    duration: float
    """How long that takes, 1 second to 31 days."""
    least_percent: int = 10
    """The smallest share, 1 to 100."""


@dataclass(frozen=True, slots=True)
class ServiceOptions(Record):
    """What a service does beyond the kernel's: all of it off by default."""

    timeouts: Mapping[str, float] | None = field(default=None, hash=False)
    """Its own timeouts by state, such as {"TCP ESTABLISHED": 900.0}; states that are not named have the director's."""
    slow_start: SlowStart | None = None
    """How the weights of new servers grow."""
    begins_anywhere: bool = False
    """Whether turns begin at a server drawn from the director's seed."""


@dataclass(frozen=True, slots=True)
class Daemon(Record):
    """A synchronisation daemon that runs."""

    role: str
    """master or backup."""
    interface: str
    """The interface for multicast, for listings alone."""
    sync_id: int
    """Which messages belong together."""
    max_len: int
    """The longest message in bytes."""
    group: str
    """The multicast group."""
    port: int
    """The UDP port."""
    ttl: int
    """Time to live."""


@dataclass(frozen=True, slots=True)
class SyncMessage(Record):
    """A message of the master's that is to be sent over UDP."""

    data: bytes
    """The payload."""
    group: str
    """The multicast group to send it to."""
    port: int
    """The UDP port."""
    ttl: int
    """Time to live, or hop limit."""


@dataclass(frozen=True, slots=True)
class SyncReceived(Record):
    """What became of a message that was received."""

    created: int
    """Connections and templates that were made."""
    updated: int
    """Those that were there and were changed."""
    skipped: int
    """Records that were not taken."""
    refused: str | None
    """Why the message, or the rest of it, was not read at all."""


@dataclass(frozen=True, slots=True)
class ConnectionMade(Record):
    """A connection or template was made."""

    protocol: str
    """As of a Connection."""
    client: str
    """The client's end."""
    target: str
    """The virtual end."""
    server: str
    """The server's end."""
    is_template: bool
    """Whether it is a persistence template."""


@dataclass(frozen=True, slots=True)
class ConnectionGone(Record):
    """A connection or template is gone."""

    protocol: str
    """As of a Connection."""
    client: str
    """The client's end."""
    target: str
    """The virtual end."""
    server: str
    """The server's end."""
    is_template: bool
    """Whether it is a persistence template."""
    why: str
    """expired, replaced, server-gone, flushed, evicted or dropped."""


@dataclass(frozen=True, slots=True)
class Overloaded(Record):
    """A server has reached its upper threshold: it gets no new connections."""

    service: str | None
    """The key of its service, unless it has left it."""
    server: str | None
    """Its address and port."""


@dataclass(frozen=True, slots=True)
class Relieved(Record):
    """A server's overload is over."""

    service: str | None
    """The key of its service, unless it has left it."""
    server: str | None
    """Its address and port."""


@dataclass(frozen=True, slots=True)
class DrainDeadline(Record):
    """The deadline of a drain has come."""

    service: str | None
    """The key of its service, unless it has left it."""
    server: str | None
    """Its address and port."""
    left: int
    """How many connections were left."""


@dataclass(frozen=True, slots=True)
class Drained(Record):
    """The last connection of a server that is being drained is gone; or it was removed at its deadline."""

    service: str | None
    """The key of the service that it was drained from."""
    server: str | None
    """Its address and port."""
    removed: bool
    """Whether it was removed from its service."""


Event: TypeAlias = ConnectionMade | ConnectionGone | Overloaded | Relieved | DrainDeadline | Drained
"""What Director.events tells of."""

for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = "lvs"
