//! One connection: 128 bytes, of which an IPv4 packet touches the first 64.

use super::id::NONE;
use super::processor;
use crate::addr::{Addr, Family};
use crate::flow::Tuple;
use crate::proto::tcp;
use crate::service::Method;
use crate::time::Instant;
use crate::wire::checksum::{Delta, Sum};
use crate::wire::plain::Plain;

/// What kind of key an entry has, in one number that a lookup compares at once: the protocol in the low byte, and bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u16);

impl Kind {
    const V6: u16 = 1 << 8;
    const TEMPLATE: u16 = 1 << 9;
    /// The client's port is not known yet (data connections of helpers).
    const NO_CLIENT_PORT: u16 = 1 << 10;
    /// A template whose key an engine has added to.
    const ENGINE: u16 = 1 << 11;
    /// A slot in use.
    const LIVE: u16 = 1 << 15;

    pub(crate) const fn connection(family: Family, protocol: u8) -> Self {
        let v6 = match family {
            Family::V4 => 0,
            Family::V6 => Self::V6,
        };
        Self(protocol as u16 | v6 | Self::LIVE)
    }

    pub(crate) const fn template(family: Family, protocol: u8, has_engine: bool) -> Self {
        let engine = if has_engine { Self::ENGINE } else { 0 };
        Self(Self::connection(family, protocol).0 | Self::TEMPLATE | engine)
    }

    /// The kind of connection that a packet can belong to as a request. A client port of 0 stands for "not known yet",
    /// so that a packet from port 0 never finds the connection it made: the kernel's doing.
    #[inline]
    const fn of_request(tuple: &Tuple) -> Self {
        let unknown = if tuple.source_port == 0 { Self::NO_CLIENT_PORT } else { 0 };
        Self(Self::connection(tuple.family, tuple.protocol).0 | unknown)
    }

    /// The same, with the client's port not known yet.
    pub(crate) const fn without_client_port(self) -> Self {
        Self(self.0 | Self::NO_CLIENT_PORT)
    }

    /// The same once the port is known.
    const fn with_client_port(self) -> Self {
        Self(self.0 & !Self::NO_CLIENT_PORT)
    }

    const fn is_template(self) -> bool {
        self.0 & Self::TEMPLATE != 0
    }

    /// True if the client's port is not known yet.
    pub(crate) const fn lacks_client_port(self) -> bool {
        self.0 & Self::NO_CLIENT_PORT != 0
    }

    pub(crate) const fn protocol(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    pub(crate) const fn family(self) -> Family {
        if self.0 & Self::V6 != 0 { Family::V6 } else { Family::V4 }
    }

    /// Keeps hashes of templates and connections, and of protocols, apart.
    pub(crate) const fn salt(self) -> u16 {
        self.0 & (0xff | Self::TEMPLATE)
    }
}

/// Flags of a connection, with the kernel's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    const METHOD: u16 = 0x0007;
    /// Made by synchronisation.
    pub(crate) const SYNCED: Self = Self(0x0020);
    /// All methods.
    pub(crate) const METHODS: Self = Self(Self::METHOD);
    /// No packet of the server was seen, and none is expected: the tables for half a conversation are used.
    pub(crate) const NO_OUTPUT: Self = Self(0x0080);
    /// Counted as inactive.
    pub(crate) const INACTIVE: Self = Self(0x0100);
    /// The client's port is not known yet.
    pub(crate) const NO_CLIENT_PORT: Self = Self(0x0800);
    /// Without a server, to the address that the packet itself names: one of the methods.
    pub(crate) const BYPASS: Self = Self(0x0004);
    /// One-packet scheduling.
    pub(crate) const ONE_PACKET: Self = Self(0x2000);
    /// The server is of another family than the client.
    pub(crate) const OTHER_FAMILY: Self = Self(0x4000);
    /// A helper looks at its packets.
    pub(crate) const HELPED: Self = Self(0x8000);
    /// The server's address is not that of its record.
    pub(crate) const ELSEWHERE: Self = Self(0x1000);
    /// A shard of a shared director has the copy that packets go by; `helper` is its number.
    pub(crate) const LENT: Self = Self(0x0040);
    /// A data connection that a helper has made, and that a kernel watches: two bits that say what is known of it.
    pub(crate) const DATA: Self = Self(0x0018);
    /// There was no segment yet that it is watched from.
    pub(crate) const DATA_UNSEEN: Self = Self(0x0008);
    /// That segment was right.
    pub(crate) const DATA_RIGHT: Self = Self(0x0010);
    /// It had a wrong checksum.
    pub(crate) const DATA_WRONG: Self = Self(0x0018);
    /// What makes the packets of a client take the long way.
    pub(crate) const UNUSUAL: Self = Self(Self::NO_CLIENT_PORT.0 | Self::HELPED.0 | Self::ELSEWHERE.0 | Self::DATA.0);
    /// The kernel's flags among these that travel.
    const KERNEL: u16 = 0x27a7;

    pub(crate) const fn with_method(method: Method) -> Self {
        Self(match method {
            Method::Nat => 0,
            Method::Tun => 2,
            Method::Dr => 3,
        })
    }

    /// How packets reach the server. Those that pass by all servers leave as if by direct routing.
    pub(crate) const fn method(self) -> Method {
        match self.0 & Self::METHOD {
            0 => Method::Nat,
            2 => Method::Tun,
            _ => Method::Dr,
        }
    }

    /// Flags from the kernel's bits. Those that are not flags here (templates, unknown client ports) are left out.
    pub(crate) const fn from_kernel(bits: u16) -> Self {
        Self(bits & Self::KERNEL)
    }

    /// The kernel's bits.
    pub(crate) const fn to_kernel(self) -> u16 {
        self.0 & Self::KERNEL
    }

    /// The method by its number: besides those of [`Method`] a connection that synchronisation brought may have 1, the
    /// host itself, 4, past all servers, or one that nobody knows.
    pub(crate) const fn method_number(self) -> u16 {
        self.0 & Self::METHOD
    }

    /// The flags with the method, and what goes with it, of others.
    pub(crate) const fn with_method_of(self, other: Self) -> Self {
        const OF_METHOD: u16 = Flags::METHOD | Flags::NO_OUTPUT.0;
        Self(self.0 & !OF_METHOD | other.0 & OF_METHOD)
    }

    /// Those flags that a mask picks.
    pub(crate) const fn masked(self, mask: Self) -> Self {
        Self(self.0 & mask.0)
    }

    /// The flags with those bits of others that a mask picks.
    pub(crate) const fn with_masked(self, other: Self, mask: Self) -> Self {
        Self(self.0 & !mask.0 | other.0 & mask.0)
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if it has one of the flags at least.
    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// True if no other flag is set than these.
    #[inline]
    pub(crate) const fn has_only(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

/// A connection, or a persistence template.
///
/// Addresses are split: the last word of each (all of an IPv4 address) is in the first cache line.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(crate) struct Entry {
    client: u32,
    virtual_: u32,
    server_address: u32,
    pub(crate) client_port: u16,
    pub(crate) virtual_port: u16,
    kind: Kind,
    pub(crate) server_port: u16,
    /// How long it lives after each packet.
    pub(crate) timeout_ms: u32,
    /// When it ends, unless a packet comes.
    pub(crate) expires: Instant,
    /// Slot of the real server, or [`NONE`].
    pub(crate) server: u32,
    /// Packets from the client.
    pub(crate) in_packets: u32,
    /// What NAT to the server adds to the IPv4 header's sum.
    pub(crate) ip_delta: Delta,
    /// What NAT to the server adds to the sums of TCP and UDP.
    pub(crate) transport_delta: Delta,
    pub(crate) flags: Flags,
    pub(crate) state: u8,
    /// The state that synchronisation last told others of.
    pub(crate) told_state: u8,
    /// The wheel's tick that it hangs in.
    pub(crate) wheel_tick: u32,
    pub(crate) generation: u32,
    /// The connection or template that controls this one, or [`NONE`].
    pub(crate) control: u32,
    /// How many connections this one controls.
    pub(crate) controlled: u32,

    // The second cache line: IPv6, and what changes rarely.
    client_rest: [u32; 3],
    virtual_rest: [u32; 3],
    server_rest: [u32; 3],
    pub(crate) wheel_next: u32,
    pub(crate) wheel_prev: u32,
    /// Firewall mark of the packet that made it.
    pub(crate) mark: u32,
    /// What a helper keeps of it, or [`NONE`].
    pub(crate) helper: u32,
    /// Of a template the record of what a persistence engine keeps of it, of a connection the next newer one that a reply
    /// could be of; or [`NONE`].
    engine_or_newer: u32,
    /// Of a template the hash of what is kept, part of its key, 0 without an engine; of a connection the next older one
    /// that a reply could be of, or [`NONE`].
    hash_or_older: u32,
    /// When synchronisation next has to tell others of it, as it last told them, in the kernel's ticks.
    pub(crate) told_until: u32,
}

const _: () = assert!(size_of::<Entry>() == 128, "two cache lines");
const _: () = assert!(core::mem::offset_of!(Entry, client_rest) == 64, "the first line ends before the rest");

/// What a packet's connection must have if the packet is the client's: last words of the addresses, ports, kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestKey {
    ends: u64,
    ports: u64,
}

impl RequestKey {
    #[inline]
    pub(crate) const fn of(tuple: &Tuple) -> Self {
        let kind = Kind::of_request(tuple).0 as u64;
        Self {
            ends: tuple.source.last() as u64 | (tuple.destination.last() as u64) << 32,
            ports: tuple.source_port as u64 | (tuple.destination_port as u64) << 16 | kind << 32,
        }
    }

    /// Of a plain packet, whose source port is not 0.
    #[inline(always)]
    pub(crate) const fn of_plain(plain: &Plain, family: Family) -> Self {
        let kind = Kind::connection(family, plain.protocol).0 as u64;
        Self { ends: plain.ends, ports: plain.ports as u64 | kind << 32 }
    }
}

/// What its connection must have if the packet is the server's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyKey {
    client: u32,
    client_port: u16,
    kind: Kind,
    from: (u32, u16),
}

impl ReplyKey {
    #[inline]
    pub(crate) const fn of(tuple: &Tuple) -> Self {
        Self {
            client: tuple.destination.last(),
            client_port: tuple.destination_port,
            kind: Kind::connection(tuple.family, tuple.protocol),
            from: (tuple.source.last(), tuple.source_port),
        }
    }

    /// Of a plain packet.
    #[inline(always)]
    pub(crate) const fn of_plain(plain: &Plain, family: Family) -> Self {
        let [source, destination] = plain.last_words();
        Self {
            client: destination,
            client_port: plain.destination_port(),
            kind: Kind::connection(family, plain.protocol),
            from: (source, plain.source_port()),
        }
    }
}

/// The three endpoints of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) family: Family,
    pub(crate) server_family: Family,
    pub(crate) client: (Addr, u16),
    pub(crate) virtual_: (Addr, u16),
    pub(crate) server: (Addr, u16),
}

/// Which side of a connection a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Entry {
    /// An entry with its addresses, and nothing else decided.
    pub(crate) fn new(kind: Kind, ends: &Ends, flags: Flags) -> Self {
        let sum = |a: Addr| a.0.iter().fold(Sum::default(), |sum, &word| sum.plus(Sum::word(word)));
        let (old, new) = (sum(ends.virtual_.0), sum(ends.server.0));
        let port = |p: u16| Sum::word(u32::from(p));
        let mut flags = flags;
        if kind.lacks_client_port() {
            flags.set(Flags::NO_CLIENT_PORT);
        }
        if ends.family != ends.server_family {
            flags.set(Flags::OTHER_FAMILY);
        }
        Self {
            client: ends.client.0.last(),
            virtual_: ends.virtual_.0.last(),
            server_address: ends.server.0.last(),
            client_port: ends.client.1,
            virtual_port: ends.virtual_.1,
            server_port: ends.server.1,
            kind,
            expires: Instant::ZERO,
            timeout_ms: INITIAL_TIMEOUT_MS,
            server: NONE,
            in_packets: 0,
            ip_delta: Delta::replacing(old, new),
            transport_delta: Delta::replacing(old.plus(port(ends.virtual_.1)), new.plus(port(ends.server.1))),
            flags,
            state: tcp::NONE,
            told_state: tcp::NONE,
            wheel_tick: 0,
            generation: 0,
            client_rest: ends.client.0.rest(),
            virtual_rest: ends.virtual_.0.rest(),
            server_rest: ends.server.0.rest(),
            wheel_next: NONE,
            wheel_prev: NONE,
            control: NONE,
            controlled: 0,
            mark: 0,
            helper: NONE,
            engine_or_newer: NONE,
            hash_or_older: if kind.is_template() { 0 } else { NONE },
            told_until: 0,
        }
    }

    /// The client's port has shown itself.
    pub(crate) const fn learn_client_port(&mut self, port: u16) {
        (self.client_port, self.kind) = (port, self.kind.with_client_port());
        self.flags.clear(Flags::NO_CLIENT_PORT);
    }

    /// Asks for both cache lines.
    #[inline]
    pub(crate) fn prefetch(&self) {
        processor::prefetch(self);
        processor::prefetch(&self.client_rest);
    }

    pub(crate) const fn is_live(&self) -> bool {
        self.kind.0 & Kind::LIVE != 0
    }

    pub(crate) const fn kill(&mut self) {
        self.kind = Kind(0);
    }

    pub(crate) const fn is_template(&self) -> bool {
        self.kind.is_template()
    }

    /// The record of what a persistence engine keeps of a template, or [`NONE`].
    pub(crate) const fn engine(&self) -> u32 {
        if self.is_template() { self.engine_or_newer } else { NONE }
    }

    /// The hash of that, part of the key; 0 without an engine.
    pub(crate) const fn engine_hash(&self) -> u32 {
        if self.is_template() { self.hash_or_older } else { 0 }
    }

    /// A template has such a record.
    pub(crate) fn set_engine(&mut self, record: u32, hash: u32) {
        debug_assert!(self.is_template());
        (self.engine_or_newer, self.hash_or_older) = (record, hash);
    }

    /// The next newer connection that a reply could be of, and the next older one; or [`NONE`].
    pub(super) const fn neighbours(&self) -> (u32, u32) {
        debug_assert!(!self.is_template(), "a template has none");
        (self.engine_or_newer, self.hash_or_older)
    }

    pub(super) fn set_newer(&mut self, slot: u32) {
        debug_assert!(!self.is_template());
        self.engine_or_newer = slot;
    }

    pub(super) fn set_older(&mut self, slot: u32) {
        debug_assert!(!self.is_template());
        self.hash_or_older = slot;
    }

    pub(crate) const fn protocol(&self) -> u8 {
        self.kind.protocol()
    }

    pub(crate) const fn family(&self) -> Family {
        self.kind.family()
    }

    pub(crate) const fn server_family(&self) -> Family {
        match (self.family(), self.flags.contains(Flags::OTHER_FAMILY)) {
            (Family::V4, false) | (Family::V6, true) => Family::V4,
            (Family::V6, false) | (Family::V4, true) => Family::V6,
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Flags with the kernel's values, of which some are part of the kind here.
    pub(crate) const fn kernel_flags(&self) -> u32 {
        let template = if self.is_template() { 0x1000 } else { 0 };
        let no_port = if self.kind.lacks_client_port() { 0x0800 } else { 0 };
        self.flags.to_kernel() as u32 | template | no_port
    }

    pub(crate) const fn method(&self) -> Method {
        self.flags.method()
    }

    pub(crate) const fn is_one_packet(&self) -> bool {
        self.flags.contains(Flags::ONE_PACKET)
    }

    pub(crate) const fn client(&self) -> Addr {
        whole(self.family(), &self.client_rest, self.client)
    }

    pub(crate) const fn virtual_address(&self) -> Addr {
        whole(self.family(), &self.virtual_rest, self.virtual_)
    }

    /// The virtual address as listings show it. Above a template of every protocol stands the mark, as the kernel writes
    /// it: the first word of an address.
    pub(crate) const fn shown_target(&self) -> Addr {
        match (self.protocol(), self.family()) {
            (0, Family::V6) => Addr([self.virtual_address().last(), 0, 0, 0]),
            _ => self.virtual_address(),
        }
    }

    pub(crate) const fn server_address(&self) -> Addr {
        whole(self.server_family(), &self.server_rest, self.server_address)
    }

    /// A packet of the client to the virtual address, as far as the last words of addresses tell.
    #[inline]
    pub(crate) fn is_request(&self, key: RequestKey) -> bool {
        let ends = u64::from(self.client) | u64::from(self.virtual_) << 32;
        let ports = u64::from(self.client_port) | u64::from(self.virtual_port) << 16 | u64::from(self.kind.0) << 32;
        ends == key.ends && ports == key.ports
    }

    /// A packet to the client, from the real server where addresses are translated, from the virtual address where not;
    /// as far as the last words of addresses tell.
    #[inline]
    pub(crate) fn is_reply(&self, key: ReplyKey) -> bool {
        if self.client != key.client || self.client_port != key.client_port || self.kind != key.kind {
            return false;
        }
        let from = match self.method() {
            Method::Nat => (self.server_address, self.server_port),
            Method::Dr | Method::Tun => (self.virtual_, self.virtual_port),
        };
        from == key.from
    }

    /// What lies in front of the last words of IPv6 addresses: those of a packet's source and destination.
    #[inline(always)]
    pub(crate) fn has_rests(&self, side: Side, [source, destination]: [[u32; 3]; 2]) -> bool {
        let (client, other) = match side {
            Side::Client => (source, destination),
            Side::Server => (destination, source),
        };
        let known = match (side, self.method()) {
            (Side::Server, Method::Nat) => &self.server_rest,
            _ => &self.virtual_rest,
        };
        // All at once: a branch for each word would be a guess more.
        let differ = |a: &[u32; 3], b: [u32; 3]| (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]);
        differ(&self.client_rest, client) | differ(known, other) == 0
    }

    fn client_end(&self) -> (Addr, u16) {
        (self.client(), self.client_port)
    }

    pub(crate) fn virtual_end(&self) -> (Addr, u16) {
        (self.virtual_address(), self.virtual_port)
    }

    /// Where packets to the client come from.
    pub(crate) fn sending_end(&self) -> (Addr, u16) {
        match self.method() {
            Method::Nat => (self.server_address(), self.server_port),
            Method::Dr | Method::Tun => self.virtual_end(),
        }
    }

    /// Do requests of both look alike?
    pub(crate) fn has_client_key_of(&self, other: &Self) -> bool {
        self.kind == other.kind && self.client_end() == other.client_end() && self.virtual_end() == other.virtual_end()
    }

    /// Do its packets come from elsewhere than where the client writes to?
    pub(crate) const fn is_translated(&self) -> bool {
        matches!(self.method(), Method::Nat) && !self.is_template()
    }

    /// Is a packet between the other's client and an end one of this connection, be it a request or a reply?
    pub(crate) fn is_found_by(&self, other: &Self, end: (Addr, u16)) -> bool {
        self.kind == other.kind
            && self.client_end() == other.client_end()
            && (self.virtual_end() == end || self.sending_end() == end)
    }

    /// Do replies of both look alike?
    pub(crate) fn has_replies_of(&self, other: &Self) -> bool {
        self.kind == other.kind && self.client_end() == other.client_end() && self.sending_end() == other.sending_end()
    }

    /// The same, and do they come from a server where addresses are translated?
    pub(crate) fn has_server_key_of(&self, other: &Self) -> bool {
        let nat = matches!((self.method(), other.method()), (Method::Nat, Method::Nat));
        nat && self.has_replies_of(other)
    }

    /// Is a request of one a reply of the other?
    pub(crate) fn crosses(&self, other: &Self) -> bool {
        let crosses = |a: &Self, b: &Self| a.client_end() == b.sending_end() && a.virtual_end() == b.client_end();
        crosses(self, other) || crosses(other, self)
    }

    /// Does a packet to the client come from this address?
    pub(crate) fn sends_from(&self, address: Addr) -> bool {
        self.sending_end().0 == address
    }

    /// Is this the template of that key? What an engine keeps of it is for others to compare.
    pub(crate) fn is_template_of(&self, kind: Kind, client: Addr, virtual_: (Addr, u16), engine_hash: u32) -> bool {
        self.kind == kind
            && self.client_port == 0
            && self.virtual_port == virtual_.1
            && self.engine_hash() == engine_hash
            && self.client() == client
            && self.virtual_address() == virtual_.0
    }

    /// True for a template under which a handshake was completed.
    pub(crate) const fn is_assured(&self) -> bool {
        self.state == TEMPLATE_ASSURED
    }

    pub(crate) const fn assure(&mut self) {
        self.state = TEMPLATE_ASSURED;
    }

    /// Takes a template out of use: no lookup finds these ports.
    pub(crate) const fn retire_template(&mut self) {
        (self.virtual_port, self.server_port) = (u16::MAX, u16::MAX);
    }

    /// The next packet's deadline.
    #[inline]
    pub(crate) const fn touch(&mut self, now: Instant) {
        self.expires = now.plus_millis(self.timeout_ms);
    }

    /// True from its deadline on, unless it controls others: then it lives on.
    #[inline]
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.expires <= now && self.controlled == 0
    }
}

/// An address of which the first cache line has the last word. That of IPv4 is all there is: the other line is not read.
#[inline]
const fn whole(family: Family, rest: &[u32; 3], last: u32) -> Addr {
    match family {
        Family::V4 => Addr::v4(last),
        Family::V6 => Addr([rest[0], rest[1], rest[2], last]),
    }
}

/// The timeout of an entry that no state machine has looked at.
pub(crate) const INITIAL_TIMEOUT_MS: u32 = 3_000;
/// The state of a template under which a handshake was completed.
const TEMPLATE_ASSURED: u8 = 1;
