//! What a director is told about its host and how it is to behave.
//!
//! [`Config`] is fixed when the director is built; [`Tunables`] are the kernel's `net.ipv4.vs` settings and change at any
//! time; [`Meta`] and [`Path`] say what only the host knows of one packet, and of the way to one server.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

use crate::addr::Family;
use crate::error::ControlError;

/// What a director is built from.
///
/// ```
/// use lvs_core::{Config, Director};
///
/// let config = Config { connections: 1 << 20, ..Config::with_seed(7) };
/// let director = Director::new(config)?;
/// # Ok::<(), lvs_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Seeds the hash of the connection table and the schedulers that draw. Same seed, same packets, same times: same
    /// answers. An embedder facing the Internet takes it from the operating system's random numbers.
    pub seed: u64,
    /// Room for so many connections and templates. Memory for them is reserved at once, about 153 bytes each; a full
    /// table refuses new ones, or does as [`admission`](Self::admission) says, and never grows.
    pub connections: usize,
    /// Room for so many [events](crate::Event) that wait to be [polled](crate::Director::poll_event); 0, which is the
    /// default, for none: nothing is told then, and it costs nothing.
    pub events: usize,
    /// Room for the first parts of so many fragmented packets, which later parts follow: 30 seconds over IPv4, 60 over IPv6.
    /// Memory for them is reserved at once, about 110 bytes each; where there is no more room the oldest is forgotten and
    /// [counted](crate::Director::evicted_fragments). With 0 every part is passed: right for a host that puts packets
    /// together before the director sees them.
    pub fragments: usize,
    /// Room for so many templates of services with a persistence engine (Call-IDs of `sip`). Memory for them, 256 bytes
    /// each beside those of the connection, is reserved when the first such service is added.
    pub engine_templates: usize,
    /// The host's own addresses, the virtual ones included. A real server with such an address is local: its packets
    /// are passed to the host. Empty, which is the default, means: every address that packets come for is the host's.
    pub local_addresses: Vec<IpAddr>,
    /// The host's address towards the clients: the source of ICMP errors about packets to addresses that are not the
    /// host's own (services by firewall mark).
    pub address_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub address_v6: Option<Ipv6Addr>,
    /// The way to servers that [`Director::set_path`](crate::Director::set_path) says nothing of.
    pub path: Path,
    /// The kernel whose behaviour is wanted where kernels differ.
    pub kernel: Kernel,
    /// What a full table does about a new connection.
    pub admission: Admission,
}

/// What a full connection table does about a new connection. Whatever it is, at most 32 entries are looked at for one
/// packet, going round the table, and connections past their deadline make room first.
///
/// ```
/// use lvs_core::{Admission, Config, Director};
///
/// let mut director = Director::new(Config { admission: Admission::EvictHalfOpen, ..Config::with_seed(7) })?;
/// director.set_admission(Admission::Refuse);
/// assert_eq!(director.evictions().half_open, 0);
/// # Ok::<(), lvs_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Admission {
    /// It is refused ([`DropReason::TableFull`](crate::DropReason::TableFull)).
    #[default]
    Refuse,
    /// A connection whose handshake is not complete goes for it: TCP in SYN_RECV or SYNACK, SCTP before ESTABLISHED.
    /// Against a flood of SYNs the table then keeps admitting: a flood's connections never get further, a client's are
    /// established before the hand comes round again. Never one that is established, or controls others. Templates that
    /// such connections left behind go as well.
    EvictHalfOpen,
    /// Or a UDP flow of which one packet was seen.
    EvictHalfOpenAndSingle,
}

/// Which kernel to be equal to, where kernels of different age differ in what they pick.
///
/// | | [`V6_1_192`](Self::V6_1_192) | [`Older`](Self::Older) |
/// |---|---|---|
/// | what `lc wlc lblc lblcr twos` count | 257 for an active connection, 1 for another | 256 and 1 |
/// | a server becomes overloaded | when its connections reach the upper threshold | when a connection or a template comes while they are at it or above |
/// | a server is overloaded no more | when they fall below the lower threshold | when a connection or a template goes while they are below it |
/// | thresholds are edited | looked at anew at once | overload ends if the upper one is raised or taken away, and never begins |
/// | upper threshold above 2147483647 | refused | taken |
///
/// ```
/// use lvs_core::{Config, Director, Kernel};
///
/// let director = Director::new(Config { kernel: Kernel::Older, ..Config::with_seed(7) })?;
/// # Ok::<(), lvs_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Linux 6.1.192, and kernels of its time (from the middle of 2026 on).
    #[default]
    V6_1_192,
    /// Those before, earlier ones of the 6.1 series included.
    Older,
}

impl Config {
    /// Room for 65536 connections, 4096 fragmented packets and 16384 Call-IDs, paths of 1500 bytes.
    #[must_use]
    pub const fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            connections: 1 << 16,
            events: 0,
            fragments: 1 << 12,
            engine_templates: 1 << 14,
            local_addresses: Vec::new(),
            address_v4: None,
            address_v6: None,
            path: Path::new(1500),
            kernel: Kernel::V6_1_192,
            admission: Admission::Refuse,
        }
    }
}

/// The way from the host to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The largest IP packet that gets through, in bytes.
    pub mtu: u16,
    /// The host's address towards IPv4 servers: source of tunnel packets, and of errors to the servers themselves
    /// (`nat_icmp_send`). Until it is told, packets for a tunnel are dropped.
    pub tunnel_source_v4: Ipv4Addr,
    /// The same towards IPv6 servers.
    pub tunnel_source_v6: Ipv6Addr,
    /// False if there is no route: clients are told that the host is unreachable.
    pub reachable: bool,
}

impl Path {
    /// A path of some MTU, without a tunnel source.
    #[must_use]
    pub const fn new(mtu: u16) -> Self {
        Self { mtu, tunnel_source_v4: Ipv4Addr::UNSPECIFIED, tunnel_source_v6: Ipv6Addr::UNSPECIFIED, reachable: true }
    }

    /// The same path with a source address for tunnels.
    #[must_use]
    pub const fn tunnel_source(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.tunnel_source_v4 = address,
            IpAddr::V6(address) => self.tunnel_source_v6 = address,
        }
        self
    }

    pub(crate) const fn source(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.tunnel_source_v4),
            Family::V6 => IpAddr::V6(self.tunnel_source_v6),
        }
    }
}

/// What only the host knows of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The firewall mark, 0 for none.
    pub mark: u32,
    /// Where the host saw the packet.
    pub hook: Hook,
    /// What is known of its checksums.
    pub checksum: Checksum,
    /// True if the host itself sent the packet.
    pub from_host: bool,
}

impl Meta {
    /// An ordinary packet with a firewall mark.
    #[must_use]
    pub const fn marked(mark: u32) -> Self {
        Self { mark, hook: Hook::Local, checksum: Checksum::Unverified, from_host: false }
    }
}

/// Where the host saw a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hook {
    /// On its way in, or wherever it cannot be told: first tried as a reply of a real server, then as a request.
    #[default]
    Local,
    /// On its way through: only replies of real servers are taken up.
    Forward,
}

/// What is known of a packet's checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// Nothing: a packet with a wrong IPv4 header checksum is dropped.
    #[default]
    Unverified,
    /// The IPv4 header checksum was found right, on connections with a helper that of TCP too.
    Verified,
    /// As verified, and the transport checksum is left to the network card: the field holds the sum of the
    /// pseudo-header alone.
    Partial,
}

macro_rules! tunables {
    ($($(#[$doc:meta])* $name:ident: $default:literal in $range:expr,)+) => {
        /// The kernel's settings, by their names below `net.ipv4.vs`.
        ///
        /// ```
        /// use lvs_core::{Config, Director};
        ///
        /// let mut director = Director::new(Config::with_seed(7))?;
        /// director.set_tunable("net.ipv4.vs.conn_reuse_mode", "0")?;
        /// assert_eq!(director.tunables().conn_reuse_mode, 0);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[non_exhaustive]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Tunables {
            $($(#[$doc])* pub $name: i32,)+
            /// Which packets of a connection make the synchronisation master send it: the first number, and every
            /// second number after it.
            pub sync_threshold: (i32, i32),
        }

        impl Default for Tunables {
            fn default() -> Self {
                Self { $($name: $default,)+ sync_threshold: (3, 50) }
            }
        }

        impl Tunables {
            /// The names, without `net.ipv4.vs.`.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)+ "sync_threshold"];

            /// Changes one by its name, with or without `net.ipv4.vs.`, to a value written as for `sysctl`: decimal,
            /// hexadecimal (`0x10`) or octal (`010`). What follows a blank is left alone.
            ///
            /// # Errors
            /// [`ControlError::NoSuchTunable`], [`ControlError::TunableRange`]; then nothing is changed.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), ControlError> {
                match short(name) {
                    $(stringify!($name) => self.$name = within(stringify!($name), value, $range)?,)+
                    "sync_threshold" => self.sync_threshold = threshold(value, self.sync_threshold)?,
                    _ => return Err(ControlError::NoSuchTunable),
                }
                Ok(())
            }

            /// Whether the kernel would take all of them: every value within its range, `sync_ports` a power of two,
            /// of `sync_threshold` the first below the second.
            ///
            /// # Errors
            /// [`ControlError::TunableRange`].
            pub fn check(&self) -> Result<(), ControlError> {
                let fits = [
                    is_threshold(self.sync_threshold),
                    $(is_taken(stringify!($name), self.$name, $range),)+
                ];
                if fits.contains(&false) { Err(ControlError::TunableRange) } else { Ok(()) }
            }

            #[cfg(test)]
            fn field(&mut self, name: &str) -> &mut i32 {
                match name {
                    $(stringify!($name) => &mut self.$name,)+
                    _ => unreachable!("a name from the list"),
                }
            }

            /// One by its name, written as `sysctl` does: of `sync_threshold`, a tab between the two.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<String> {
                match short(name) {
                    $(stringify!($name) => Some(self.$name.to_string()),)+
                    "sync_threshold" => Some(alloc::format!("{}\t{}", self.sync_threshold.0, self.sync_threshold.1)),
                    _ => None,
                }
            }
        }
    };
}

tunables! {
    /// Pages of [available memory](crate::Director::set_available_memory) below which the automatic modes of the defences
    /// begin.
    amemthresh: 1024 in ANY,
    /// Every how manieth new connection `drop_packet` drops in mode 3.
    am_droprate: 10 in ANY,
    /// Mode of the defence that drops some of the connections that are half open or idle, each second: 0 off, 1 automatic
    /// and off, 2 automatic and on, 3 on.
    drop_entry: 0 in 0..=3,
    /// Mode, as of `drop_entry`, of the defence that drops packets that open connections: in mode 3 every `am_droprate`-th,
    /// in mode 2 the more the less memory there is.
    drop_packet: 0 in 0..=3,
    /// Mode, as of `drop_entry`, of the defence that waits for the server before a TCP connection counts as established.
    secure_tcp: 0 in 0..=3,
    /// Whether the host's connection tracking sees the packets. Has no effect here.
    conntrack: 0 in ANY,
    /// Whether replies are routed anew. Has no effect here.
    snat_reroute: 1 in ANY,
    /// Version of the synchronisation messages that the master sends.
    sync_version: 1 in 0..=1,
    /// Number of synchronisation queues, each with a UDP port of its own; a power of two, of which 64 are used. Takes effect
    /// when the first daemon starts.
    sync_ports: 1 in 1..=i32::MAX,
    /// Whether only templates of persistent connections are synchronised.
    sync_persist_mode: 0 in ANY,
    /// Messages that may wait for sending in each queue.
    sync_qlen_max: 65536 in 0..=i32::MAX,
    /// Socket buffer of synchronisation. Has no effect here.
    sync_sock_size: 0 in ANY,
    /// Seconds after which an unchanged connection is synchronised again.
    sync_refresh_period: 0 in IN_TICKS,
    /// How often such a refresh is repeated soon after.
    sync_retries: 0 in 0..=3,
    /// Whether a packet for a service by firewall mark that no server takes goes to its own destination, past all servers,
    /// and its connection after it. Needs [`Config::local_addresses`]: packets for the host itself never do (over IPv6
    /// they are dropped then, as the kernel does).
    cache_bypass: 0 in ANY,
    /// Whether a connection whose server was deleted ends with its next packet, instead of being silently dropped.
    expire_nodest_conn: 0 in ANY,
    /// Whether a TCP segment in mid-stream opens a connection.
    sloppy_tcp: 0 in ANY,
    /// The same for SCTP.
    sloppy_sctp: 0 in ANY,
    /// Whether a template whose server has weight 0 is given up.
    expire_quiescent_template: 0 in ANY,
    /// Whether a packet from the address and port of a NAT server that belongs to no connection draws a port unreachable,
    /// sent from the host's address towards that server ([`Path::tunnel_source`]). TCP resets and SCTP aborts never do.
    nat_icmp_send: 0 in ANY,
    /// Whether tunnel packets keep "don't fragment", and packets too big for the path are refused.
    pmtu_disc: 1 in ANY,
    /// Whether a synchronisation backup balances nothing.
    backup_only: 0 in ANY,
    /// What a SYN for a connection that is closing does: 0 goes on with it, 1 makes a new one after TIME_WAIT and
    /// CLOSE, 2 and 3 also in FIN_WAIT without a packet of the server.
    conn_reuse_mode: 1 in ANY,
    /// Whether an ICMP error makes a connection.
    schedule_icmp: 0 in ANY,
    /// Whether what is inside packets of protocols that are not balanced is left alone, too, when the host has unwrapped
    /// them. Has no effect here: whether to hand it in is up to the host.
    ignore_tunneled: 0 in ANY,
    /// Whether counters and rates in listings are renewed.
    run_estimation: 1 in ANY,
    /// Seconds that `lblc` remembers an address without traffic.
    lblc_expiration: 86400 in IN_TICKS,
    /// The same for `lblcr`.
    lblcr_expiration: 86400 in IN_TICKS,
}

/// Most are plain numbers that the kernel does not check.
const ANY: RangeInclusive<i32> = i32::MIN..=i32::MAX;

/// Seconds that the kernel keeps in ticks, 250 to each.
const IN_TICKS: RangeInclusive<i32> = -(i32::MAX / 250)..=i32::MAX / 250;

fn within(name: &str, value: &str, range: RangeInclusive<i32>) -> Result<i32, ControlError> {
    let number = integer(value).map(|(number, _)| number);
    number.filter(|&number| is_taken(name, number, range)).ok_or(ControlError::TunableRange)
}

/// Characters of the longest number.
const LONGEST: usize = 20;
/// What ends a number.
const BLANKS: [char; 3] = [' ', '\t', '\n'];

/// The number that a text begins with, and what follows it: as the kernel reads it, in the notation of C, without a plus
/// sign.
fn integer(text: &str) -> Option<(i32, &str)> {
    let text = text.trim_start_matches(BLANKS);
    let (word, rest) = text.split_at(text.find(BLANKS).unwrap_or(text.len()));
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (&unsigned[2..], 16),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    if word.len() > LONGEST || digits.starts_with('+') {
        return None;
    }
    let number = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let number = i32::try_from(if unsigned.len() < word.len() { -number } else { number }).ok()?;
    Some((number, rest))
}

fn is_taken(name: &str, value: i32, range: RangeInclusive<i32>) -> bool {
    range.contains(&value) && (name != "sync_ports" || value.count_ones() == 1)
}

fn short(name: &str) -> &str {
    name.strip_prefix("net.ipv4.vs.").unwrap_or(name)
}

/// Two numbers, the first below the second, or the second 0. Of one alone the other stays, and what follows them is not
/// looked at.
fn threshold(value: &str, old: (i32, i32)) -> Result<(i32, i32), ControlError> {
    let read = |text| integer(text).ok_or(ControlError::TunableRange);
    let (first, rest) = read(value)?;
    let second = if rest.trim_start_matches(BLANKS).is_empty() { old.1 } else { read(rest)?.0 };
    if is_threshold((first, second)) { Ok((first, second)) } else { Err(ControlError::TunableRange) }
}

const fn is_threshold((t, p): (i32, i32)) -> bool {
    t >= 0 && p >= 0 && (t < p || p == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunables_are_found_by_their_kernel_names_and_checked() {
        let mut tunables = Tunables::default();
        assert_eq!(tunables.sync_qlen_max, 65_536);
        assert_eq!(tunables.set("net.ipv4.vs.secure_tcp", "3"), Ok(()));
        assert_eq!(tunables.set("secure_tcp", "4"), Err(ControlError::TunableRange));
        assert_eq!((tunables.set("drop_packet", "2"), tunables.drop_packet), (Ok(()), 2));
        assert_eq!(tunables.set("secure_udp", "1"), Err(ControlError::NoSuchTunable));
        assert_eq!(tunables.set("sync_threshold", "0 0"), Ok(()));
        assert_eq!(tunables.set("sync_threshold", "3 2"), Err(ControlError::TunableRange));
        assert_eq!(tunables.set("sync_threshold", "5 9 3"), Ok(()));
        assert_eq!(tunables.set("sync_threshold", "9"), Err(ControlError::TunableRange));
        assert_eq!(tunables.set("sync_threshold", "7"), Ok(()));
        assert_eq!(tunables.set("sync_threshold", "6 9x"), Err(ControlError::TunableRange));
        assert_eq!(tunables.set("sync_qlen_max", "2147483648"), Err(ControlError::TunableRange));
        assert_eq!(tunables.get("sync_threshold").as_deref(), Some("7\t9"));
        assert_eq!(tunables.set("sync_threshold", "0 0"), Ok(()));
        assert_eq!((tunables.secure_tcp, tunables.get("sync_threshold").as_deref()), (3, Some("0\t0")));
        assert_eq!(tunables.set("sync_ports", "6"), Err(ControlError::TunableRange));
        assert_eq!(tunables.set("sync_ports", "8"), Ok(()));
        assert!(Tunables::NAMES.iter().all(|name| tunables.get(name).is_some()));
    }

    /// As Linux 6.1 takes and refuses them.
    #[test]
    fn numbers_are_written_as_in_c() {
        for (text, number) in [
            ("7", Some(7)),
            (" \t-7\n", Some(-7)),
            ("-0", Some(0)),
            ("0x1F", Some(31)),
            ("010", Some(8)),
            ("1 2", Some(1)),
            ("1\nx", Some(1)),
            ("-2147483648", Some(i32::MIN)),
            ("2147483648", None),
            ("4294967297", None),
            ("18446744073709551617", None),
            ("08", None),
            ("0x", None),
            ("0b1", None),
            ("+1", None),
            ("0x+1", None),
            ("--1", None),
            ("- 1", None),
            ("1,2", None),
            ("1x", None),
            ("'1'", None),
            ("", None),
        ] {
            assert_eq!(integer(text).map(|read| read.0), number, "{text:?}");
        }
    }

    #[test]
    fn what_the_text_form_refuses_the_typed_form_refuses_too() {
        let values = [i32::MIN, -1, 0, 1, 2, 3, 4, 6, 8, 100, i32::MAX];
        for name in Tunables::NAMES.iter().filter(|name| **name != "sync_threshold") {
            for value in values {
                let by_name = Tunables::default().set(name, &value.to_string());
                assert_eq!(typed(name, value).check(), by_name, "{name} {value}");
            }
        }
        for threshold in [(0, 0), (3, 50), (50, 3), (3, 3), (-1, 5), (1, -5), (7, 0)] {
            let by_name = Tunables::default().set("sync_threshold", &alloc::format!("{} {}", threshold.0, threshold.1));
            assert_eq!(Tunables { sync_threshold: threshold, ..Tunables::default() }.check(), by_name);
        }
    }

    /// The defaults but for one.
    fn typed(name: &str, value: i32) -> Tunables {
        let mut tunables = Tunables::default();
        *tunables.field(name) = value;
        tunables
    }
}
