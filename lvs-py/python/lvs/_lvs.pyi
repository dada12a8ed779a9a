"""The extension module. Import from lvs instead."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from os import PathLike
from typing import Any, ClassVar, Final, Literal, Self, SupportsBytes, SupportsIndex, TypeAlias, final, overload

from typing_extensions import Buffer

from lvs.records import (
    Applied,
    Connection,
    Counters,
    Daemon,
    Event,
    Explanation,
    Rates,
    Server,
    Service,
    ServiceOptions,
    SyncMessage,
    SyncReceived,
    Table,
)
from lvs.schedulers import Scheduler

__all__ = [
    "Batch",
    "Candidate",
    "Capture",
    "Director",
    "Drop",
    "Forward",
    "NewFlow",
    "Pass",
    "Reply",
    "SchedulerPool",
    "SharedDirector",
    "play_recording",
    "sctp",
    "tcp",
    "udp",
    "write_capture",
]

_Address: TypeAlias = str | IPv4Address | IPv6Address
_Endpoint: TypeAlias = str | tuple[_Address, int] | IPv4Address | IPv6Address
_Service: TypeAlias = str | tuple[str, _Endpoint | int] | Service
_Packet: TypeAlias = Buffer | SupportsBytes
_Ints: TypeAlias = Buffer | Sequence[int]
_Floats: TypeAlias = Buffer | Sequence[float]
_Verdict: TypeAlias = Forward | Pass | Reply | Drop
_Hook: TypeAlias = Literal["local", "forward"]
_Checksum: TypeAlias = Literal["unverified", "verified", "partial"]
_Method: TypeAlias = Literal["nat", "dr", "tun"]
_Family: TypeAlias = Literal["ipv4", "ipv6"]
_Flag: TypeAlias = Literal["fallback", "port", "flag-3"]
_Protocol: TypeAlias = Literal["tcp", "udp", "sctp"]
_Role: TypeAlias = Literal["master", "backup"]
_Admission: TypeAlias = Literal["refuse", "evict-half-open", "evict-half-open-and-single"]

@final
class Director:
    """One load balancer: services, servers, connections, and the packet path of IPVS in Linux 6.1.192.

    It does no I/O and reads no clock: packets and the time are handed to it. Moments are seconds since any origin, as
    floats or ints, rounded to the nanosecond; should time go backwards, it stands still. Calls from several threads are
    carried out one after the other; long ones release the interpreter. In a with statement it is closed at the end.

    - seed: same seed, same packets, same times: same verdicts. From the operating system unless it is given.
    - connections: room for so many connections and templates, reserved at once, about 153 bytes each.
    - events: room for so many events that wait; 0, which is the default, for none: nothing is told then.
    - fragments: room for the first parts of so many fragmented packets.
    - engine_templates: room for so many Call-IDs of services with a persistence engine.
    - local_addresses: the host's own addresses; if there are none, every address that packets come for is the host's.
    - address_v4, address_v6: the host's address towards clients, the source of ICMP errors.
    - mtu, tunnel_source_v4, tunnel_source_v6: the way to servers that set_path says nothing of.
    - kernel: "6.1.192" or "older", where kernels of different age pick differently.
    - admission: what a full table does about a new connection: "refuse", "evict-half-open" or
      "evict-half-open-and-single".

    Raises ConfigError if the table would have no room, too much, or more than there is memory for.

    Beside what they say themselves, methods raise ClosedError once it is closed, TypeError, ValueError and OverflowError for
    arguments that are not what they take. Then nothing has happened.
    """
    seed: Final[int]
    """The seed of its random choices."""
    capacity: Final[int]
    """How many connections and templates there is room for."""
    def __new__(
        cls,
        *,
        seed: int | None = None,
        connections: int = 65536,
        events: int = 0,
        fragments: int = 4096,
        engine_templates: int = 16384,
        local_addresses: Iterable[_Address] | None = None,
        address_v4: _Address | None = None,
        address_v6: _Address | None = None,
        mtu: int = 1500,
        tunnel_source_v4: _Address | None = None,
        tunnel_source_v6: _Address | None = None,
        kernel: Literal["6.1.192", "older"] = "6.1.192",
        admission: _Admission = "refuse",
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether it is closed."""
    def close(self) -> None:
        """Free the memory. Every later call but this one raises ClosedError."""
    def process(
        self,
        packet: _Packet,
        *,
        now: float,
        mark: int = 0,
        hook: _Hook = "local",
        checksum: _Checksum = "unverified",
        from_host: bool = False,
    ) -> _Verdict:
        """Decide on a packet that begins with its IP header, at a moment in seconds.

        The packet is anything that has bytes, or a packet of scapy or dpkt. It stays as it is: the verdict has a copy,
        rewritten. A bad packet raises nothing: that is a verdict, with its reason.

        - mark: the firewall mark, 0 for none.
        - hook: where the host saw it: "local", first tried as a reply, then as a request, or "forward", only as a reply.
        - checksum: "unverified", "verified", or "partial" if the transport checksum is left to the network card.
        - from_host: whether the host itself sent it.

        Raises what a scheduler written in Python raises; the packet then found nobody.
        """
    def process_batch(
        self,
        packets: Buffer | Sequence[_Packet],
        lengths: _Ints | int | None = None,
        *,
        now: float | _Floats,
        offsets: _Ints | None = None,
        mark: int | _Ints | None = None,
        hook: _Hook = "local",
        checksum: _Checksum = "unverified",
        from_host: bool = False,
    ) -> Batch:
        """Decide on many packets, in order, at a moment in seconds: as process for each, but many times faster.

        - packets: a flat buffer of bytes with packets one behind the other; or one of two dimensions, a row for each
          packet; or a sequence of packets.
        - lengths: the length of each packet in bytes: ints, a buffer of ints, or one int for all. Rows are whole packets
          without it; a sequence of packets has none.
        - offsets: where each packet of a flat buffer begins, if not behind the one before.
        - now: one moment, or a moment for each packet.
        - mark: one firewall mark, or one for each packet; hook, checksum and from_host are as of process.

        What is handed in stays as it is. Other threads run meanwhile. Raises TypeError and ValueError for buffers, lengths
        and offsets that do not fit; then nothing was processed.
        """
    def explain(
        self,
        packet: _Packet,
        *,
        now: float = 0.0,
        mark: int = 0,
        hook: _Hook = "local",
        checksum: _Checksum = "unverified",
        from_host: bool = False,
    ) -> Explanation:
        """Say where a packet would go at a moment and why, changing nothing. Arguments are those of process."""
    def load(self, rules: str) -> None:
        """Carry out a text of ipvsadm lines. Blank lines and lines that begin with # are skipped.

        Raises RuleError. If a line cannot be read, none was carried out; if one is refused, those before it were.
        """
    def run(self, line: str) -> str:
        """Carry out one line of ipvsadm and return what it prints. Raises RuleError; then nothing has changed."""
    def apply(self, rules: str | Iterable[Service]) -> Applied:
        """Make the rules what a text of -A and -a lines says, or Service records with their servers, and touch nothing else:
        connections, counts and schedulers of what stays go on.

        Returns what was done. Raises RuleError for the first line that cannot be had, ControlError for a service; then
        nothing has changed.
        """
    def save(self) -> str:
        """Return the rules, as ipvsadm -S -n writes them."""
    def listing(self, options: str = "") -> str:
        """Return what ipvsadm -L -n prints, with these options of it behind, such as "--stats" or "-c".

        Raises RuleError for options that ipvsadm does not have.
        """
    def add_service(
        self,
        protocol: Literal["tcp", "udp", "sctp", "fwm"],
        address: _Endpoint | int,
        *,
        scheduler: str | Scheduler | None = None,
        flags: Iterable[_Flag] | None = None,
        one_packet: bool = False,
        persistence: float | None = None,
        netmask: _Address | int | None = None,
        engine: str | None = None,
        family: _Family = "ipv4",
    ) -> str:
        """Add a service and return its key.

        - protocol and address: "tcp", "udp" or "sctp" and an address with a port, port 0 for every port; or "fwm" and a
          firewall mark, of the family "ipv4" or "ipv6".
        - scheduler: a name of ipvsadm's, "swrr", or an object with a method pick, which chooses from then on.
        - flags: of "fallback", "port" and "flag-3", which sh and mh read.
        - one_packet: whether every UDP packet is scheduled anew.
        - persistence: for how many seconds a client stays with its server.
        - netmask: the part of its address that counts, an IPv4 mask or an IPv6 prefix length.
        - engine: a persistence engine, "sip".

        Raises ControlError: ExistsError, NotFoundError for a scheduler or engine that there is not, and others. Then
        nothing has changed.
        """
    def edit_service(
        self,
        service: _Service,
        *,
        scheduler: str | Scheduler | None = None,
        flags: Iterable[_Flag] | None = None,
        one_packet: bool | None = None,
        persistence: float | None = None,
        netmask: _Address | int | None = None,
        engine: str | None = None,
    ) -> None:
        """Change what is named of a service. Its connections stay.

        Arguments are those of add_service; None leaves something as it is, persistence=0 and engine="" take it away.
        Another scheduler begins anew. Raises ControlError; then nothing has changed, but that the old scheduler has begun
        anew if another one refused the servers.
        """
    def remove_service(self, service: _Service) -> None:
        """Remove a service. Connections of its servers live on as the kernel has it. Raises NotFoundError."""
    def clear(self) -> None:
        """Remove every service, as ipvsadm -C."""
    def add_server(
        self,
        service: _Service,
        address: _Endpoint,
        *,
        method: _Method = "dr",
        weight: int = 1,
        upper: int = 0,
        lower: int = 0,
        tunnel: str = "ipip",
    ) -> None:
        """Add a real server to a service. New servers come first in the list.

        - address: address and port; port 0 keeps the port that packets come for.
        - method: "dr", "nat" or "tun".
        - weight: its share of new connections, 0 for none.
        - upper, lower: thresholds; at upper connections it gets no new ones, below lower it does again. 0 for no limit,
          and for three quarters of upper.
        - tunnel: "ipip", "gre", "gre+csum", "gue:PORT", "gue:PORT+csum" or "gue:PORT+remcsum".

        Raises ControlError: NotFoundError, ExistsError and others. Then nothing has changed.
        """
    def edit_server(
        self,
        service: _Service,
        address: _Endpoint,
        *,
        method: _Method | None = None,
        weight: int | None = None,
        upper: int | None = None,
        lower: int | None = None,
        tunnel: str | None = None,
    ) -> None:
        """Change what is named of a server; None leaves something as it is. Its connections stay.

        Arguments are those of add_server. Raises ControlError; then nothing has changed.
        """
    def remove_server(self, service: _Service, address: _Endpoint) -> None:
        """Remove a server from a service. Its connections live on as the kernel has it. Raises NotFoundError."""
    def zero(self, service: _Service | None = None) -> None:
        """Set the counters that listings show to zero, of one service or of all, as ipvsadm -Z. Raises NotFoundError."""
    def advance(self, now: float, *, budget: int | None = None) -> bool:
        """Let time pass up to a moment in seconds: connections end, counters and rates are renewed, drains come to their end.

        With a budget, about so many connections and servers are looked at. Returns whether there is more to do: without a
        budget there never is.
        """
    def next_deadline(self) -> float | None:
        """When advance has something to do next, in seconds; None for never.

        Ask again after everything that takes packets, time or rules.
        """
    def drain(
        self,
        service: _Service,
        address: _Endpoint,
        *,
        deadline: float | None = None,
        rest: Literal["keep", "drop", "reset"] = "keep",
        keep_templates: bool = False,
        remove: bool = False,
    ) -> None:
        """Take a server out gently: it gets no new connections, those it has go on.

        - deadline: when it is over, in seconds of the director's time; rest says what becomes of connections that are
          left then: "keep", "drop" or "reset".
        - keep_templates: whether persistent clients still reach it with new connections.
        - remove: whether it is removed from its service when it is drained.

        Events tell of the end. Raises NotFoundError.
        """
    def undrain(self, service: _Service, address: _Endpoint) -> None:
        """End a drain: the server has its weight again. Raises NotFoundError."""
    def drained(self, service: _Service, address: _Endpoint) -> AbstractContextManager[None]:
        """Return a context manager that drains a server at the beginning of a with block and ends the drain after it.

        The block raises NotFoundError at its beginning, and nothing at its end if the server has been removed meanwhile.
        """
    def servers_at(self, address: _Address) -> list[tuple[str, str]]:
        """Return the servers of an IP address, whatever their service and port: pairs of a service's key and an address."""
    def flush(
        self,
        *,
        service: _Service | None = None,
        server: _Endpoint | None = None,
        client: str | IPv4Network | IPv6Network | IPv4Address | IPv6Address | None = None,
        protocol: _Protocol | None = None,
        state: str | None = None,
    ) -> int:
        """End connections and templates at once and return how many: those that have everything in common with what is
        named; all of them if nothing is.

        - service: of the servers that it has now; server, an address and port, goes with it and means that one alone.
        - client: of clients in a net such as "198.51.100.0/24".
        - protocol: "tcp", "udp" or "sctp"; state: by its name in listings, such as "SYN_RECV".

        Nobody is told: their next packets are those of no connection. Raises NotFoundError; then nothing has changed.
        """
    def flush_some(
        self,
        place: int = 0,
        *,
        budget: int,
        service: _Service | None = None,
        server: _Endpoint | None = None,
        client: str | IPv4Network | IPv6Network | IPv4Address | IPv6Address | None = None,
        protocol: _Protocol | None = None,
        state: str | None = None,
    ) -> tuple[int, int | None]:
        """End connections and templates as flush does, in parts: look at up to budget places of the table from place on.

        Returns how many were ended and the place to go on from, None at the end. What begins in between may be missed.
        """
    def events(self) -> list[Event]:
        """Return what happened since the last call, oldest first. Without Director(events=...) nothing is told."""
    def missed_events(self) -> int:
        """How many events found no room and were lost."""
    def start_daemon(
        self,
        role: _Role,
        *,
        interface: str = "eth0",
        sync_id: int = 0,
        max_len: int | None = None,
        group: _Address | None = None,
        port: int | None = None,
        ttl: int | None = None,
    ) -> None:
        """Begin to synchronise connections, as ipvsadm --start-daemon.

        role is "master" or "backup"; a backup of sync_id 0 takes messages of every id. Raises ExistsError if one of this
        role runs, and ControlError. Then nothing has changed.
        """
    def stop_daemon(self, role: _Role) -> None:
        """Stop the daemon of a role, "master" or "backup". Raises NotFoundError."""
    def daemons(self) -> list[Daemon]:
        """Return the daemons that run, the master first."""
    def sync_messages(self, now: float) -> list[SyncMessage]:
        """Return the master's messages that are to be sent at a moment in seconds.

        A message that is not full leaves when it is two seconds old: next_deadline says when.
        """
    def receive_sync(self, message: Buffer, *, now: float) -> SyncReceived:
        """Take a message that the backup received at a moment in seconds, and return what became of it."""
    def sync_counts(self) -> dict[str, int]:
        """Return what synchronisation has counted, by name; what was not taken under "ignored:" and the reason."""
    def tunables(self) -> dict[str, Any]:
        """Return the kernel's settings by their names below net.ipv4.vs: ints, sync_threshold a pair of them."""
    def set_tunable(self, name: str, value: int | bool | str | tuple[int, int]) -> None:
        """Change a setting by its kernel name, such as "conn_reuse_mode"; net.ipv4.vs. may stand in front.

        The value is an int, a bool, a pair of ints for sync_threshold, or a text as for sysctl. Raises NotFoundError and
        ControlError; then nothing has changed.
        """
    def timeouts(self) -> dict[str, float]:
        """Return the timeout of every state, in seconds, by names such as "TCP ESTABLISHED", "SCTP INIT" and "UDP"."""
    def set_timeouts(self, timeouts: Mapping[str, float]) -> None:
        """Change timeouts by their states, in seconds: {"TCP SYN_RECV": 5.0}. States that are not named stay as they are.

        A connection takes up a new timeout with its next packet. Raises ValueError for what is no state, and ControlError;
        then nothing has changed.
        """
    def service_options(self, service: _Service) -> ServiceOptions:
        """Return what a service does beyond the kernel's. Raises NotFoundError."""
    def set_service_options(self, service: _Service, options: ServiceOptions) -> None:
        """Change what a service does beyond the kernel's, to a ServiceOptions.

        Timeouts of a service are the director's of this moment but for those that are named. Raises NotFoundError,
        ControlError, and ValueError for what is no state; then nothing has changed.
        """
    def set_path(
        self,
        address: _Address,
        *,
        mtu: int = 1500,
        tunnel_source_v4: _Address | None = None,
        tunnel_source_v6: _Address | None = None,
        reachable: bool = True,
    ) -> None:
        """Say what the way to a server is like: the largest IP packet in bytes, where tunnels come from, and whether there is
        a way at all.
        """
    def clear_path(self, address: _Address) -> None:
        """Forget what set_path said of a server."""
    def set_local_addresses(self, addresses: Iterable[_Address]) -> None:
        """Say what the host's own addresses are; with none, every address that packets come for is the host's."""
    def set_broadcast_addresses(self, addresses: Iterable[_Address]) -> None:
        """Say what the broadcast addresses of the host's IPv4 networks are."""
    def set_client_side_addresses(self, v4: _Address | None = None, v6: _Address | None = None) -> None:
        """Say what the host's addresses towards its clients are: where ICMP errors come from."""
    def set_admission(self, admission: _Admission) -> None:
        """Change what a full table does about a new connection: "refuse", "evict-half-open" or
        "evict-half-open-and-single".
        """
    def set_available_memory(self, pages: int) -> None:
        """Say how many pages of memory the host has available: automatic defences follow it."""
    def set_ftp_ports(self, ports: Iterable[int]) -> None:
        """Change the ports whose services get the FTP helper; none for no helper. Raises ControlError."""
    def ftp_ports(self) -> list[int]:
        """Return the ports whose services get the FTP helper."""
    def services(self) -> Table[Service]:
        """Return the services as a Table of Service records, each with its servers, in no order that lasts."""
    def servers(self, service: _Service | None = None) -> Table[Server]:
        """Return the servers, of one service or of all, as a Table of Server records. Raises NotFoundError."""
    def connections(self) -> Table[Connection]:
        """Return the connections and templates of this moment as a Table of Connection records, in no particular order."""
    def iter_connections(self) -> Iterator[Connection]:
        """Return an iterator over the connections and templates, which takes them from the table in parts: packets may be
        processed in between, and what begins or ends meanwhile is told or not.
        """
    def connection(self, id: int) -> Connection | None:
        """Return the connection of an id, as Forward and Connection have it, if it still exists."""
    def connection_count(self) -> int:
        """How many connections and templates there are, those included whose time is over and that advance has not taken
        away yet.
        """
    def counters(self) -> Counters:
        """Return what the whole director has counted, as of the latest two-second tick."""
    def rates(self) -> Rates:
        """Return the rates of the whole director."""
    def server_counters(self, service: _Service, address: _Endpoint) -> Counters:
        """Return what a server has counted up to this moment, never set to zero. Raises NotFoundError."""
    def reasons(self) -> dict[tuple[str, str], int]:
        """Return how often each verdict was given, by pairs such as ("pass", "no-service") and ("forward", ""). Those that
        were never given are left out.
        """
    def evictions(self) -> dict[str, int]:
        """Return how many connections went so that others had room in a full table, by kind: expired, half_open, single."""
    def evicted_fragments(self) -> int:
        """How many first parts of fragmented packets were forgotten for want of room."""
    def dropped_entries(self) -> int:
        """How many connections the drop_entry defence has ended."""
    def memory(self) -> int:
        """Bytes of memory that connections and fragments take, reserved when the director was built."""
    def metrics(self) -> str:
        """Return everything that is counted in the Prometheus text format."""
    def proc_file(self, name: str) -> str:
        """Return what the kernel shows in a file of /proc/net: ip_vs, ip_vs_conn, ip_vs_conn_sync, ip_vs_stats or
        ip_vs_app. Raises NotFoundError for other names.
        """

@final
class SharedDirector:
    """A director for several threads, which work in it at the same time: connections are spread over shards.

    It answers as a Director does, flow by flow, and every method may be called by any thread at any time. With one shard
    for each thread, threads that bring packets to different shards do not wait for each other as long as flows go on. Any
    packet may be brought to any shard; it is fast where those of one flow, its replies included, come to the same one:
    shard_of says to which. Arguments but shards are those of Director, and so is what they raise. Schedulers are those
    with names. Everything but packets stops all threads for as long as it takes.
    """
    seed: Final[int]
    """The seed of its random choices."""
    capacity: Final[int]
    """How many connections and templates there is room for."""
    shards: Final[int]
    """How many shards there are."""
    def __new__(
        cls,
        *,
        shards: int = 2,
        seed: int | None = None,
        connections: int = 65536,
        events: int = 0,
        fragments: int = 4096,
        engine_templates: int = 16384,
        local_addresses: Iterable[_Address] | None = None,
        address_v4: _Address | None = None,
        address_v6: _Address | None = None,
        mtu: int = 1500,
        tunnel_source_v4: _Address | None = None,
        tunnel_source_v6: _Address | None = None,
        kernel: Literal["6.1.192", "older"] = "6.1.192",
        admission: _Admission = "refuse",
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether it is closed."""
    def close(self) -> None:
        """Free the memory, once calls that are under way have ended. Every later call but this one raises ClosedError."""
    def process(
        self,
        packet: _Packet,
        *,
        now: float,
        mark: int = 0,
        hook: _Hook = "local",
        checksum: _Checksum = "unverified",
        from_host: bool = False,
    ) -> _Verdict:
        """As Director.process, at the shard that the packet's flow belongs to."""
    def process_batch(
        self,
        packets: Buffer | Sequence[_Packet],
        lengths: _Ints | int | None = None,
        *,
        now: float | _Floats,
        shard: int = 0,
        offsets: _Ints | None = None,
        mark: int | _Ints | None = None,
        hook: _Hook = "local",
        checksum: _Checksum = "unverified",
        from_host: bool = False,
    ) -> Batch:
        """Decide on many packets, in order, at a shard: as Director.process_batch. Other threads run meanwhile, in here too.

        Raises ValueError for a shard that there is not.
        """
    def shard_of(self, packet: _Packet) -> int:
        """Return the shard that a packet's flow belongs to, replies of NAT servers included."""
    def explain(
        self,
        packet: _Packet,
        *,
        now: float = 0.0,
        mark: int = 0,
        hook: _Hook = "local",
        checksum: _Checksum = "unverified",
        from_host: bool = False,
    ) -> Explanation:
        """As Director.explain."""
    def load(self, rules: str) -> None:
        """As Director.load."""
    def run(self, line: str) -> str:
        """As Director.run: every line of ipvsadm."""
    def apply(self, rules: str | Iterable[Service]) -> Applied:
        """As Director.apply."""
    def save(self) -> str:
        """As Director.save."""
    def listing(self, options: str = "") -> str:
        """As Director.listing."""
    def add_service(
        self,
        protocol: Literal["tcp", "udp", "sctp", "fwm"],
        address: _Endpoint | int,
        *,
        scheduler: str | None = None,
        flags: Iterable[_Flag] | None = None,
        one_packet: bool = False,
        persistence: float | None = None,
        netmask: _Address | int | None = None,
        engine: str | None = None,
        family: _Family = "ipv4",
    ) -> str:
        """As Director.add_service, of a scheduler with a name."""
    def edit_service(
        self,
        service: _Service,
        *,
        scheduler: str | None = None,
        flags: Iterable[_Flag] | None = None,
        one_packet: bool | None = None,
        persistence: float | None = None,
        netmask: _Address | int | None = None,
        engine: str | None = None,
    ) -> None:
        """As Director.edit_service, of a scheduler with a name."""
    def remove_service(self, service: _Service) -> None:
        """As Director.remove_service."""
    def clear(self) -> None:
        """As Director.clear."""
    def add_server(
        self,
        service: _Service,
        address: _Endpoint,
        *,
        method: _Method = "dr",
        weight: int = 1,
        upper: int = 0,
        lower: int = 0,
        tunnel: str = "ipip",
    ) -> None:
        """As Director.add_server."""
    def edit_server(
        self,
        service: _Service,
        address: _Endpoint,
        *,
        method: _Method | None = None,
        weight: int | None = None,
        upper: int | None = None,
        lower: int | None = None,
        tunnel: str | None = None,
    ) -> None:
        """As Director.edit_server."""
    def remove_server(self, service: _Service, address: _Endpoint) -> None:
        """As Director.remove_server."""
    def zero(self, service: _Service | None = None) -> None:
        """As Director.zero."""
    def advance(self, now: float, *, budget: int | None = None) -> bool:
        """As Director.advance."""
    def next_deadline(self) -> float | None:
        """As Director.next_deadline."""
    def drain(
        self,
        service: _Service,
        address: _Endpoint,
        *,
        deadline: float | None = None,
        rest: Literal["keep", "drop", "reset"] = "keep",
        keep_templates: bool = False,
        remove: bool = False,
    ) -> None:
        """As Director.drain."""
    def undrain(self, service: _Service, address: _Endpoint) -> None:
        """As Director.undrain."""
    def drained(self, service: _Service, address: _Endpoint) -> AbstractContextManager[None]:
        """As Director.drained."""
    def servers_at(self, address: _Address) -> list[tuple[str, str]]:
        """Return the servers of an IP address, whatever their service and port: pairs of a service's key and an address."""
    def flush(
        self,
        *,
        service: _Service | None = None,
        server: _Endpoint | None = None,
        client: str | IPv4Network | IPv6Network | IPv4Address | IPv6Address | None = None,
        protocol: _Protocol | None = None,
        state: str | None = None,
    ) -> int:
        """As Director.flush."""
    def flush_some(
        self,
        place: int = 0,
        *,
        budget: int,
        service: _Service | None = None,
        server: _Endpoint | None = None,
        client: str | IPv4Network | IPv6Network | IPv4Address | IPv6Address | None = None,
        protocol: _Protocol | None = None,
        state: str | None = None,
    ) -> tuple[int, int | None]:
        """End connections and templates as flush does, in parts: look at up to budget places of the table from place on.

        Returns how many were ended and the place to go on from, None at the end. What begins in between may be missed.
        """
    def events(self) -> list[Event]:
        """As Director.events."""
    def missed_events(self) -> int:
        """As Director.missed_events."""
    def start_daemon(
        self,
        role: _Role,
        *,
        interface: str = "eth0",
        sync_id: int = 0,
        max_len: int | None = None,
        group: _Address | None = None,
        port: int | None = None,
        ttl: int | None = None,
    ) -> None:
        """Begin to synchronise connections, as ipvsadm --start-daemon.

        role is "master" or "backup"; a backup of sync_id 0 takes messages of every id. Raises ExistsError if one of this
        role runs, and ControlError. Then nothing has changed.
        """
    def stop_daemon(self, role: _Role) -> None:
        """Stop the daemon of a role, "master" or "backup". Raises NotFoundError."""
    def daemons(self) -> list[Daemon]:
        """Return the daemons that run, the master first."""
    def sync_messages(self, now: float) -> list[SyncMessage]:
        """Return the master's messages that are to be sent at a moment in seconds.

        A message that is not full leaves when it is two seconds old: next_deadline says when.
        """
    def receive_sync(self, message: Buffer, *, now: float) -> SyncReceived:
        """Take a message that the backup received at a moment in seconds, and return what became of it."""
    def sync_counts(self) -> dict[str, int]:
        """Return what synchronisation has counted, by name; what was not taken under "ignored:" and the reason."""
    def tunables(self) -> dict[str, Any]:
        """As Director.tunables."""
    def set_tunable(self, name: str, value: int | bool | str | tuple[int, int]) -> None:
        """As Director.set_tunable."""
    def timeouts(self) -> dict[str, float]:
        """Return the timeout of every state, in seconds, by names such as "TCP ESTABLISHED", "SCTP INIT" and "UDP"."""
    def set_timeouts(self, timeouts: Mapping[str, float]) -> None:
        """Change timeouts by their states, in seconds: {"TCP SYN_RECV": 5.0}. States that are not named stay as they are.

        A connection takes up a new timeout with its next packet. Raises ValueError for what is no state, and ControlError;
        then nothing has changed.
        """
    def service_options(self, service: _Service) -> ServiceOptions:
        """Return what a service does beyond the kernel's. Raises NotFoundError."""
    def set_service_options(self, service: _Service, options: ServiceOptions) -> None:
        """Change what a service does beyond the kernel's, to a ServiceOptions.

        Timeouts of a service are the director's of this moment but for those that are named. Raises NotFoundError,
        ControlError, and ValueError for what is no state; then nothing has changed.
        """
    def set_path(
        self,
        address: _Address,
        *,
        mtu: int = 1500,
        tunnel_source_v4: _Address | None = None,
        tunnel_source_v6: _Address | None = None,
        reachable: bool = True,
    ) -> None:
        """As Director.set_path."""
    def clear_path(self, address: _Address) -> None:
        """Forget what set_path said of a server."""
    def set_local_addresses(self, addresses: Iterable[_Address]) -> None:
        """Say what the host's own addresses are; with none, every address that packets come for is the host's."""
    def set_broadcast_addresses(self, addresses: Iterable[_Address]) -> None:
        """Say what the broadcast addresses of the host's IPv4 networks are."""
    def set_client_side_addresses(self, v4: _Address | None = None, v6: _Address | None = None) -> None:
        """Say what the host's addresses towards its clients are: where ICMP errors come from."""
    def set_admission(self, admission: _Admission) -> None:
        """Change what a full table does about a new connection: "refuse", "evict-half-open" or
        "evict-half-open-and-single".
        """
    def set_available_memory(self, pages: int) -> None:
        """Say how many pages of memory the host has available: automatic defences follow it."""
    def set_ftp_ports(self, ports: Iterable[int]) -> None:
        """Change the ports whose services get the FTP helper; none for no helper. Raises ControlError."""
    def ftp_ports(self) -> list[int]:
        """Return the ports whose services get the FTP helper."""
    def services(self) -> Table[Service]:
        """As Director.services."""
    def servers(self, service: _Service | None = None) -> Table[Server]:
        """As Director.servers."""
    def connections(self) -> Table[Connection]:
        """As Director.connections. It brings all connections home: where there are millions, not for every second."""
    def connection(self, id: int) -> Connection | None:
        """As Director.connection."""
    def connection_count(self) -> int:
        """As Director.connection_count."""
    def counters(self) -> Counters:
        """As Director.counters."""
    def rates(self) -> Rates:
        """Return the rates of the whole director."""
    def server_counters(self, service: _Service, address: _Endpoint) -> Counters:
        """As Director.server_counters."""
    def reasons(self) -> dict[tuple[str, str], int]:
        """As Director.reasons."""
    def evictions(self) -> dict[str, int]:
        """Return how many connections went so that others had room in a full table, by kind: expired, half_open, single."""
    def evicted_fragments(self) -> int:
        """How many first parts of fragmented packets were forgotten for want of room."""
    def dropped_entries(self) -> int:
        """How many connections the drop_entry defence has ended."""
    def memory(self) -> int:
        """As Director.memory."""
    def metrics(self) -> str:
        """As Director.metrics."""
    def proc_file(self, name: str) -> str:
        """Return what the kernel shows in a file of /proc/net: ip_vs, ip_vs_conn, ip_vs_conn_sync, ip_vs_stats or
        ip_vs_app. Raises NotFoundError for other names.
        """
    def lent(self) -> list[int]:
        """How many connections each shard has at this moment; the others are at home."""

@final
class Batch:
    """What a director said of many packets: arrays over all of them, and verdicts one by one.

    It is a sequence of verdicts: batch[i] is what process would have returned for packet i. Arrays are memoryviews that
    numpy.asarray takes without a copy.
    """
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, number: SupportsIndex, /) -> _Verdict: ...
    @overload
    def __getitem__(self, number: slice, /) -> list[_Verdict]: ...
    def __iter__(self) -> Iterator[_Verdict]: ...
    @property
    def verdict(self) -> memoryview:
        """What was said of each packet, uint8: 0 pass, 1 forward, 2 reply, 3 drop."""
    @property
    def reason(self) -> memoryview:
        """The number of the reason among those of its verdict, in the order of PassReason, ReplyReason or DropReason from 1
        on, uint8; 0 for a packet that is forwarded.
        """
    @property
    def server(self) -> memoryview:
        """Which of servers is at the other end of each packet, int32; -1 for none."""
    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses and ports of the servers that server tells the numbers of."""
    @property
    def offset(self) -> memoryview:
        """Where each packet begins in data, in bytes, uint32."""
    @property
    def length(self) -> memoryview:
        """How long each packet is now, in bytes, uint32."""
    @property
    def data(self) -> bytes:
        """The packets as they are now, one behind the other: packet i is data[offset[i]:offset[i] + length[i]]."""
    @property
    def packets(self) -> list[bytes]:
        """The packets as they are now, one by one."""
    def to_dict(self) -> dict[str, list[Any]]:
        """Return columns by name, each a list with an item for every packet: verdict, reason, next_hop, direction, method,
        server, length. pandas.DataFrame takes them.
        """

@final
class Forward:
    """Send the packet, rewritten, to the next hop.

    Patterns match it as Forward(packet, next_hop).
    """
    __match_args__: ClassVar[tuple[Literal["packet"], Literal["next_hop"]]]
    def __new__(
        cls,
        packet: bytes,
        next_hop: _Address,
        direction: str,
        method: str,
        server: _Endpoint | None = None,
        connection: int | None = None,
    ) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def packet(self) -> bytes:
        """The packet to send, from its IP header on."""
    @property
    def next_hop(self) -> str:
        """The address to send it to: the real server, or the client for a reply."""
    @property
    def direction(self) -> str:
        """to-server or to-client."""
    @property
    def method(self) -> str:
        """How it was rewritten: nat, dr or tun."""
    @property
    def server(self) -> str | None:
        """Address and port of the real server at the other end; None where there is none."""
    @property
    def connection(self) -> int | None:
        """The id of the connection it belongs to, for Director.connection; None for one-packet scheduling, which keeps none."""

@final
class Reply:
    """Send the packet, an ICMP error or a TCP reset that answers the one handed in, to the next hop.

    Patterns match it as Reply(packet, next_hop, reason).
    """
    __match_args__: ClassVar[tuple[Literal["packet"], Literal["next_hop"], Literal["reason"]]]
    def __new__(cls, packet: bytes, next_hop: _Address, reason: str) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def packet(self) -> bytes:
        """The ICMP error or TCP reset to send, from its IP header on."""
    @property
    def next_hop(self) -> str:
        """The sender of the packet that drew it."""
    @property
    def reason(self) -> str:
        """Why: one of ReplyReason, such as no-destination."""

@final
class Pass:
    """The packet is none of the director's business: the host goes on with it as if there were no director.

    Patterns match it as Pass(reason).
    """
    __match_args__: ClassVar[tuple[Literal["reason"]]]
    def __new__(cls, reason: str) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def reason(self) -> str:
        """Why: one of PassReason, such as no-service."""

@final
class Drop:
    """Discard the packet.

    Patterns match it as Drop(reason).
    """
    __match_args__: ClassVar[tuple[Literal["reason"]]]
    def __new__(cls, reason: str) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def reason(self) -> str:
        """Why: one of DropReason, such as not-ip."""

@final
class Candidate:
    """A real server as a scheduler sees it, at the moment when it is asked."""
    __match_args__: ClassVar[tuple[Literal["address"], Literal["weight"]]]
    def __new__(
        cls,
        address: _Endpoint,
        weight: int = 1,
        *,
        active: int = 0,
        connections: int = 0,
        overloaded: bool = False,
        position: int = 0,
        last_weight: int | None = None,
        overhead: int | None = None,
        id: int | None = None,
    ) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def address(self) -> str:
        """Address and port."""
    @property
    def weight(self) -> int:
        """The weight; 0 for none of the new flows."""
    @property
    def active(self) -> int:
        """Connections in an active state of their protocol. UDP flows never are."""
    @property
    def connections(self) -> int:
        """All connections, active or not."""
    @property
    def overloaded(self) -> bool:
        """Whether the server has reached its upper threshold and not yet fallen below its lower one."""
    @property
    def position(self) -> int:
        """Its place in the list, from 0."""
    @property
    def last_weight(self) -> int:
        """The weight before it was last set to 0."""
    @property
    def overhead(self) -> int:
        """What the kernel's least-connection schedulers compare: 257 times the active connections and the inactive ones."""
    @property
    def id(self) -> int:
        """A number that names the server as long as it is known: good for a dict."""
    @property
    def eligible(self) -> bool:
        """Whether the server may get a new flow: it has a weight and is not overloaded."""

@final
class NewFlow:
    """What a scheduler may know of the packet that opens a flow."""
    __match_args__: ClassVar[tuple[Literal["client"], Literal["client_port"], Literal["target"]]]
    def __new__(
        cls, client: _Address, client_port: int, target: _Address, *, protocol: int = 6, now: float = 0.0
    ) -> Self: ...
    def __hash__(self) -> int: ...
    @property
    def client(self) -> str:
        """The client's address."""
    @property
    def client_port(self) -> int:
        """The client's port, 0 if the protocol has none."""
    @property
    def target(self) -> str:
        """The address that the client wrote to: the virtual address, or any for services of firewall marks."""
    @property
    def protocol(self) -> int:
        """The IP protocol number: 6 for TCP, 17 for UDP, 132 for SCTP."""
    @property
    def now(self) -> float:
        """When the packet came, in seconds."""

@final
class SchedulerPool:
    """Real servers of one service and a scheduler, without a director: for trying schedulers.

    The scheduler is a name of ipvsadm's, "swrr", or an object with a method pick, and is told of every change as in a
    director. A pick makes no connection: connect does. Servers are named by their addresses. Not for several threads at
    once. Raises NotFoundError for a scheduler, and in methods a server, that there is not.
    """
    def __new__(
        cls, scheduler: str | Scheduler, *, seed: int = 0, flags: Iterable[_Flag] | None = None, family: _Family = "ipv4"
    ) -> Self: ...
    @property
    def now(self) -> float:
        """The time, in seconds: 0 at first."""
    def add(self, address: _Endpoint, *, weight: int = 1, upper: int = 0, lower: int = 0) -> None:
        """Add a server at the head of the list. One of the same address that has connections left comes back with them.

        Raises ValueError if it is there.
        """
    def remove(self, address: _Endpoint) -> None:
        """Take a server out of the list."""
    def edit(
        self, address: _Endpoint, *, weight: int | None = None, upper: int | None = None, lower: int | None = None
    ) -> None:
        """Change what is named of a server; None leaves something as it is."""
    def connect(self, address: _Endpoint, *, active: bool = False) -> None:
        """Make a connection of a server, in an active state or not."""
    def disconnect(self, address: _Endpoint) -> None:
        """End a connection of a server, an inactive one if there is one. Nothing happens if it has none."""
    def activate(self, address: _Endpoint) -> None:
        """An inactive connection of a server becomes active. Nothing happens if it has none."""
    def deactivate(self, address: _Endpoint) -> None:
        """An active connection of a server becomes inactive. Nothing happens if it has none."""
    def set_flags(self, flags: Iterable[_Flag]) -> None:
        """Change the flags: of "fallback", "port" and "flag-3". The scheduler sees them at the next pick."""
    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and tick the scheduler if it is due."""
    def pick(self, flow: NewFlow) -> Candidate | None:
        """Return what the scheduler picks for a flow."""
    def peek(self, flow: NewFlow) -> Candidate | None:
        """Return what the scheduler would pick for a flow, changing nothing: a copy of it is asked.

        Raises ValueError if it cannot be copied.
        """
    def servers(self) -> list[Candidate]:
        """Return the servers in list order, the newest first, as the scheduler sees them."""

@final
class Capture:
    """The packets of a capture, pcap or pcapng, as an iterator of pairs: when, in seconds since the epoch, and the IP packet.

    Ethernet frames, with VLAN tags or without, and raw IP are read; frames that hold something else, such as ARP, are left
    out and counted in skipped. Raises CaptureError if the file cannot be read, or where it makes no sense any more.
    """
    def __new__(cls, path: str | PathLike[str]) -> Self: ...
    @property
    def skipped(self) -> int:
        """How many frames were left out so far, since they hold no IP packet."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[float, bytes]: ...

def write_capture(path: str | PathLike[str], packets: Iterable[tuple[float, _Packet]]) -> int:
    """Write packets into a capture in the format pcap, raw IP: pairs of when, in seconds since the epoch, and the packet.

    Returns how many. What was in the file is overwritten. Raises CaptureError if it cannot be written.
    """
def play_recording(text: str) -> tuple[int, list[tuple[int, str, str, str, str]]]:
    """Play a recording of a real kernel, a text of JSON lines, and return how many steps it has, and those that differ.

    A step that differs is a tuple of its number from 0, its time in milliseconds, what was done, what was expected, and
    what came instead. Raises ValueError for what is no recording.
    """
def tcp(
    source: _Endpoint,
    destination: _Endpoint,
    *,
    flags: str = "S",
    payload: _Packet | None = None,
    sequence: int = 1000,
    acknowledgment: int = 0,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 4660,
    dont_fragment: bool = True,
    options: int = 0,
) -> bytes:
    """Build a TCP segment over IPv4 or IPv6, with right checksums, from its IP header on.

    Both ends are addresses with ports, of one family. flags are letters out of FSRPAU, as tcpdump and scapy write them;
    options is a number of words of IPv4 options (at most 10) or of IPv6 hop-by-hop headers. Raises ValueError for what
    is no packet.
    """
def udp(
    source: _Endpoint,
    destination: _Endpoint,
    *,
    payload: _Packet | None = None,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 4660,
    dont_fragment: bool = True,
    options: int = 0,
    checksum: bool = True,
) -> bytes:
    """Build a UDP datagram over IPv4 or IPv6, with right checksums unless there shall be none, from its IP header on.

    Arguments are as of tcp. Raises ValueError for what is no packet.
    """
def sctp(
    source: _Endpoint,
    destination: _Endpoint,
    *,
    chunk: int = 1,
    payload: _Packet | None = None,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 4660,
    dont_fragment: bool = True,
    options: int = 0,
) -> bytes:
    """Build an SCTP packet with one chunk of a type over IPv4 or IPv6, with right checksums, from its IP header on.

    chunk is the number of the type: 1 is INIT, 0 DATA. Other arguments are as of tcp. Raises ValueError for what is no
    packet.
    """
