//! Every option of `ipvsadm`, and which command takes which: tables that the reader looks things up in.

use Opt::*;
use Takes::{Nothing, Value, ValueUnlessOption};
use alloc::string::String;

/// A command of `ipvsadm`, by its option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    AddService,
    EditService,
    DeleteService,
    Clear,
    AddServer,
    EditServer,
    DeleteServer,
    Restore,
    Save,
    List,
    Zero,
    Set,
    StartDaemon,
    StopDaemon,
    Help,
    Version,
}

/// An option that goes with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opt {
    Tcp,
    Udp,
    Sctp,
    Mark,
    Ipv6,
    Scheduler,
    Persistent,
    Netmask,
    Engine,
    OnePacket,
    Flags,
    RealServer,
    Gatewaying,
    Masquerading,
    Ipip,
    Weight,
    Upper,
    Lower,
    TunType,
    TunPort,
    TunNocsum,
    TunCsum,
    TunRemcsum,
    McastInterface,
    SyncId,
    SyncMaxlen,
    McastGroup,
    McastPort,
    McastTtl,
    Connection,
    Numeric,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    TunInfo,
    Sort,
    Nosort,
    Exact,
}

/// A set of options: a bit for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opts(u64);

impl Opts {
    pub(crate) const NONE: Self = Self(0);

    const fn of(options: &[Opt]) -> Self {
        let mut set = Self::NONE;
        let mut place = 0;
        while place < options.len() {
            set = set.with(options[place]);
            place += 1;
        }
        set
    }

    /// The set and one more.
    pub(crate) const fn with(self, option: Opt) -> Self {
        Self(self.0 | 1 << option as u64)
    }

    pub(crate) const fn has(self, option: Opt) -> bool {
        self.0 & 1 << option as u64 != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if the sets have an option in common.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Options that have something in common, in the order in which they are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) options: &'static [Opt],
    pub(crate) set: Opts,
}

const fn group(options: &'static [Opt]) -> Group {
    Group { options, set: Opts::of(options) }
}

/// What an option stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Verb(Verb),
    Opt(Opt),
}

/// Whether a value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    /// A value of this kind.
    Value(&'static str),
    /// The next word, unless it begins with `-`.
    ValueUnlessOption(&'static str),
}

/// An option as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Letters after a single `-`, each on its own.
    pub(crate) short: &'static str,
    /// The word after `--`.
    pub(crate) long: &'static str,
    pub(crate) takes: Takes,
    pub(crate) name: Name,
}

const fn verb(short: &'static str, long: &'static str, verb: Verb, takes: Takes) -> Entry {
    Entry { short, long, takes, name: Name::Verb(verb) }
}

const fn opt(short: &'static str, long: &'static str, opt: Opt, takes: Takes) -> Entry {
    Entry { short, long, takes, name: Name::Opt(opt) }
}

#[rustfmt::skip]
static ENTRIES: [Entry; 57] = [
    verb("A",  "add-service",     Verb::AddService,     Nothing),
    verb("E",  "edit-service",    Verb::EditService,    Nothing),
    verb("D",  "delete-service",  Verb::DeleteService,  Nothing),
    verb("C",  "clear",           Verb::Clear,          Nothing),
    verb("a",  "add-server",      Verb::AddServer,      Nothing),
    verb("e",  "edit-server",     Verb::EditServer,     Nothing),
    verb("d",  "delete-server",   Verb::DeleteServer,   Nothing),
    verb("R",  "restore",         Verb::Restore,        Nothing),
    verb("S",  "save",            Verb::Save,           Nothing),
    verb("Ll", "list",            Verb::List,           Nothing),
    verb("Z",  "zero",            Verb::Zero,           Nothing),
    verb("",   "set",             Verb::Set,            Nothing),
    verb("",   "start-daemon",    Verb::StartDaemon,    Value("master or backup")),
    verb("",   "stop-daemon",     Verb::StopDaemon,     Value("master or backup")),
    verb("h",  "help",            Verb::Help,           Nothing),
    verb("v",  "version",         Verb::Version,        Nothing),
    opt("t",   "tcp-service",     Tcp,                  Value("a service address and port")),
    opt("u",   "udp-service",     Udp,                  Value("a service address and port")),
    opt("",    "sctp-service",    Sctp,                 Value("a service address and port")),
    opt("f",   "fwmark-service",  Mark,                 Value("a firewall mark")),
    opt("6",   "ipv6",            Ipv6,                 Nothing),
    opt("s",   "scheduler",       Scheduler,            Value("a scheduler's name")),
    opt("p",   "persistent",      Persistent,           ValueUnlessOption("a timeout in seconds")),
    opt("M",   "netmask",         Netmask,              Value("a netmask")),
    opt("",    "pe",              Engine,               Value("a persistence engine's name")),
    opt("o",   "ops",             OnePacket,            Nothing),
    opt("b",   "sched-flags",     Flags,                Value("scheduler flags")),
    opt("r",   "real-server",     RealServer,           Value("a real server's address and port")),
    opt("g",   "gatewaying",      Gatewaying,           Nothing),
    opt("m",   "masquerading",    Masquerading,         Nothing),
    opt("i",   "ipip",            Ipip,                 Nothing),
    opt("w",   "weight",          Weight,               Value("a weight")),
    opt("x",   "u-threshold",     Upper,                Value("an upper threshold")),
    opt("y",   "l-threshold",     Lower,                Value("a lower threshold")),
    opt("",    "tun-type",        TunType,              Value("a tunnel type: ipip, gue or gre")),
    opt("",    "tun-port",        TunPort,              Value("a port")),
    opt("",    "tun-nocsum",      TunNocsum,            Nothing),
    opt("",    "tun-csum",        TunCsum,              Nothing),
    opt("",    "tun-remcsum",     TunRemcsum,           Nothing),
    opt("",    "mcast-interface", McastInterface,       Value("an interface")),
    opt("",    "syncid",          SyncId,               Value("a sync id")),
    opt("",    "sync-maxlen",     SyncMaxlen,           Value("a message length")),
    opt("",    "mcast-group",     McastGroup,           Value("a multicast address")),
    opt("",    "mcast-port",      McastPort,            Value("a port")),
    opt("",    "mcast-ttl",       McastTtl,             Value("a time to live")),
    opt("c",   "connection",      Connection,           Nothing),
    opt("n",   "numeric",         Numeric,              Nothing),
    opt("",    "timeout",         Timeout,              Nothing),
    opt("",    "daemon",          Daemon,               Nothing),
    opt("",    "stats",           Stats,                Nothing),
    opt("",    "rate",            Rate,                 Nothing),
    opt("",    "thresholds",      Thresholds,           Nothing),
    opt("",    "persistent-conn", PersistentConn,       Nothing),
    opt("",    "tun-info",        TunInfo,              Nothing),
    opt("",    "sort",            Sort,                 Nothing),
    opt("",    "nosort",          Nosort,               Nothing),
    opt("",    "exact",           Exact,                Nothing),
];

/// The place of each letter's option among the entries; one past them for no option's.
static BY_LETTER: [u8; 128] = places_of_letters();

const fn places_of_letters() -> [u8; 128] {
    let mut places = [u8::MAX; 128];
    let mut place = 0;
    while place < ENTRIES.len() {
        let letters = ENTRIES[place].short.as_bytes();
        let mut at = 0;
        while at < letters.len() {
            places[letters[at] as usize] = place as u8;
            at += 1;
        }
        place += 1;
    }
    places
}

/// The option of a letter.
pub(crate) fn by_short(letter: char) -> Option<&'static Entry> {
    ENTRIES.get(usize::from(*BY_LETTER.get(letter as usize)?))
}

/// The option of a word after `--`. There are no abbreviations.
pub(crate) fn by_long(word: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.long == word)
}

/// What the value of an option is.
pub(crate) fn noun(name: Name) -> &'static str {
    match entry(name).takes {
        Nothing => "nothing",
        Value(noun) | ValueUnlessOption(noun) => noun,
    }
}

/// The dashes and the name of an option, for messages: the short one if there is one.
pub(crate) fn dashed(name: Name) -> String {
    let entry = entry(name);
    match entry.short.chars().next() {
        Some(letter) => alloc::format!("-{letter}"),
        None => alloc::format!("--{}", entry.long),
    }
}

fn entry(name: Name) -> &'static Entry {
    ENTRIES.iter().find(|entry| entry.name == name).expect("every verb and option has its row")
}

/// What a command takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grammar {
    verb: Verb,
    /// One option of each group is needed.
    pub(crate) needs: &'static [&'static Need],
    /// Those, and what may be given beside them.
    takes: Opts,
    /// What the plain words are, if there are any.
    pub(crate) operands: &'static [&'static str],
}

/// A group of options of which one is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) one_of: Group,
    pub(crate) expected: &'static str,
}

/// Options that name a service.
pub(crate) const SELECTORS: Group = group(&[Tcp, Udp, Sctp, Mark]);
const ANY_SERVICE: Group = group(&[Tcp, Udp, Sctp, Mark, Ipv6]);
/// Options that say how packets reach a server.
pub(crate) const METHODS: Group = group(&[Gatewaying, Masquerading, Ipip]);
/// Options that only mean something beside `-i`.
pub(crate) const TUNNEL: Group = group(&[TunType, TunPort, TunNocsum, TunCsum, TunRemcsum]);
/// Options that say what of a tunnelled packet a checksum covers.
pub(crate) const CHECKSUMS: Group = group(&[TunNocsum, TunCsum, TunRemcsum]);

const SERVICE: &Need = &Need { one_of: SELECTORS, expected: "a service: -t, -u, --sctp-service or -f" };
const SERVER: &Need = &Need { one_of: group(&[RealServer]), expected: "a real server: -r" };
const IPV6: Group = group(&[Ipv6]);
const TO_SERVICE: Group = group(&[Scheduler, Persistent, Netmask, Engine, OnePacket, Flags]);
const TO_SERVER: Group = group(&[Weight, Upper, Lower]);
const TO_LISTING: Group = group(&[
    Numeric,
    Connection,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    TunInfo,
    Nosort,
    Exact,
    SyncId,
]);
const TO_DAEMON: Group = group(&[McastInterface, SyncId, SyncMaxlen, McastGroup, McastPort, McastTtl]);
const TIMEOUTS: &[&str] = &[
    "the TCP timeout: 0 to 2678400 seconds",
    "the TCP timeout after a FIN: 0 to 2678400 seconds",
    "the UDP timeout: 0 to 2678400 seconds",
];

/// `--sort` goes with every command, and does nothing.
const fn grammar(verb: Verb, needs: &'static [&'static Need], may: &[Group]) -> Grammar {
    let mut takes = Opts::of(&[Sort]);
    let mut at = 0;
    while at < needs.len() {
        takes = takes.and(needs[at].one_of.set);
        at += 1;
    }
    at = 0;
    while at < may.len() {
        takes = takes.and(may[at].set);
        at += 1;
    }
    Grammar { verb, needs, takes, operands: &[] }
}

static GRAMMARS: [Grammar; 16] = [
    grammar(Verb::AddService, &[SERVICE], &[IPV6, TO_SERVICE]),
    grammar(Verb::EditService, &[SERVICE], &[IPV6, TO_SERVICE]),
    grammar(Verb::DeleteService, &[SERVICE], &[IPV6]),
    grammar(Verb::AddServer, &[SERVICE, SERVER], &[IPV6, METHODS, TO_SERVER, TUNNEL]),
    grammar(Verb::EditServer, &[SERVICE, SERVER], &[IPV6, METHODS, TO_SERVER, TUNNEL]),
    grammar(Verb::DeleteServer, &[SERVICE, SERVER], &[IPV6]),
    grammar(Verb::Clear, &[], &[]),
    grammar(Verb::Restore, &[], &[]),
    grammar(Verb::Help, &[], &[]),
    grammar(Verb::Version, &[], &[]),
    grammar(Verb::Save, &[], &[group(&[Numeric])]),
    grammar(Verb::Zero, &[], &[ANY_SERVICE]),
    grammar(Verb::List, &[], &[ANY_SERVICE, TO_LISTING]),
    Grammar { operands: TIMEOUTS, ..grammar(Verb::Set, &[], &[]) },
    grammar(Verb::StartDaemon, &[], &[TO_DAEMON]),
    grammar(Verb::StopDaemon, &[], &[group(&[SyncId])]),
];

impl Verb {
    pub(crate) fn grammar(self) -> &'static Grammar {
        GRAMMARS.iter().find(|grammar| grammar.verb == self).expect("every verb has its row")
    }
}

impl Grammar {
    /// True if the option goes with this command.
    pub(crate) const fn takes(&self, option: Opt) -> bool {
        self.takes.has(option)
    }
}

/// Groups of options of which a line has one at most.
pub(crate) static EXCLUSIVE: [Group; 7] = [
    METHODS,
    CHECKSUMS,
    group(&[Connection, Timeout, Daemon, Tcp, Udp, Sctp, Mark]),
    group(&[Connection, Timeout, Daemon, Stats]),
    group(&[Connection, Timeout, Daemon, Rate]),
    group(&[Connection, Timeout, Daemon, Thresholds]),
    group(&[Timeout, Daemon, PersistentConn]),
];

/// The range of a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    option: Opt,
    pub(crate) least: u64,
    pub(crate) most: u64,
}

const fn limit(option: Opt, least: u64, most: u64) -> Limit {
    Limit { option, least, most }
}

const I32_MAX: u64 = 0x7fff_ffff;
/// The longest timeout that `ipvsadm` takes: 31 days.
pub(crate) const TIMEOUT_SECONDS_MAX: u64 = 31 * 24 * 60 * 60;

#[rustfmt::skip]
const LIMITS: [Limit; 10] = [
    limit(Mark,       1, 0xffff_ffff),
    limit(Persistent, 1, TIMEOUT_SECONDS_MAX),
    limit(Weight,     0, I32_MAX),
    limit(Upper,      0, I32_MAX),
    limit(Lower,      0, I32_MAX),
    limit(TunPort,    1, 65_535),
    limit(SyncId,     0, 255),
    limit(SyncMaxlen, 1, 65_507),
    limit(McastPort,  1, 65_535),
    limit(McastTtl,   1, 255),
];

/// The options whose values are numbers.
const NUMBERS: Opts = {
    let mut set = Opts::NONE;
    let mut at = 0;
    while at < LIMITS.len() {
        set = set.with(LIMITS[at].option);
        at += 1;
    }
    set
};

/// The range of an option's number, if its value is one.
pub(crate) fn limit_of(option: Opt) -> Option<&'static Limit> {
    if !NUMBERS.has(option) {
        return None;
    }
    LIMITS.iter().find(|limit| limit.option == option)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_letter_and_word_names_one_option() {
        let letters: Vec<char> = ENTRIES.iter().flat_map(|entry| entry.short.chars()).collect();
        assert!(letters.iter().enumerate().all(|(i, letter)| !letters[..i].contains(letter)));
        let words: Vec<&str> = ENTRIES.iter().map(|entry| entry.long).collect();
        assert!(words.iter().enumerate().all(|(i, word)| !words[..i].contains(word)));
    }

    #[test]
    fn every_command_has_a_grammar_and_every_option_a_command() {
        for entry in ENTRIES {
            match entry.name {
                Name::Verb(verb) => assert!(verb.grammar().takes(Sort)),
                Name::Opt(option) => assert!(GRAMMARS.iter().any(|grammar| grammar.takes(option)), "{option:?}"),
            }
        }
    }

    #[test]
    fn every_limit_is_of_an_option_with_a_value() {
        for limit in LIMITS {
            let entry = ENTRIES.iter().find(|entry| entry.name == Name::Opt(limit.option)).unwrap();
            assert_ne!(entry.takes, Nothing);
        }
    }
}
