//! Synchronisation messages: connections as bytes and back. Pure functions.
//!
//! A message of version 1 has a header of 8 bytes and records of their own lengths, each at a multiple of 4. One of
//! version 0 has a header of 4 bytes and records of 24 bytes, with 24 more behind those that carry sequence numbers.
//!
//! Follows: the layouts of Linux 6.1.192. Sequence numbers of version 0 are in the sender's own byte order there; here
//! it is that of little-endian machines.

use super::{SyncIgnored, Version};
use crate::addr::{Addr, Family};

/// Bytes of a message's header.
pub(crate) const fn header_len(version: Version) -> usize {
    match version {
        Version::V0 => 4,
        Version::V1 => 8,
    }
}

/// The longest record: IPv6 with every option.
pub(crate) const RECORD_MAX: usize = 72 + (2 + SEQUENCES) + (2 + ENGINE_DATA_MAX) + (2 + ENGINE_NAME_MAX);

/// Flags of connections, with the kernel's values.
pub(crate) mod flag {
    pub(crate) const INACTIVE: u32 = 0x0100;
    /// Sequence numbers of the server's bytes are corrected, or of the client's.
    pub(crate) const OUTGOING: u32 = 0x0200;
    pub(crate) const INCOMING: u32 = 0x0400;
    pub(crate) const SEQUENCES: u32 = OUTGOING | INCOMING;
    pub(crate) const NO_CLIENT_PORT: u32 = 0x0800;
    pub(crate) const TEMPLATE: u32 = 0x1000;
    pub(crate) const ONE_PACKET: u32 = 0x2000;
}

/// How sequence numbers of one direction are adjusted: from this number on, by so much, and by so much before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) start: u32,
    pub(crate) delta: u32,
    pub(crate) previous_delta: u32,
}

impl Sequence {
    pub(crate) const fn parts(self) -> [u32; 3] {
        [self.start, self.delta, self.previous_delta]
    }

    pub(crate) const fn from_parts([start, delta, previous_delta]: [u32; 3]) -> Self {
        Self { start, delta, previous_delta }
    }
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sequences {
    pub(crate) incoming: Sequence,
    pub(crate) outgoing: Sequence,
}

/// What a persistence engine keeps with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineData<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) data: &'a [u8],
}

/// A connection or template, as a record has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) family: Family,
    pub(crate) protocol: u8,
    pub(crate) flags: u32,
    pub(crate) state: u16,
    pub(crate) client: (Addr, u16),
    /// Of a template of every protocol the firewall mark, as the first four bytes.
    pub(crate) virtual_: (Addr, u16),
    pub(crate) server: (Addr, u16),
    pub(crate) mark: u32,
    /// Seconds that it lives after each packet; 0 if the sender does not say.
    pub(crate) timeout: u32,
    pub(crate) sequences: Option<Sequences>,
    pub(crate) engine: Option<EngineData<'a>>,
}

impl Record<'_> {
    pub(crate) const fn is_template(&self) -> bool {
        self.flags & flag::TEMPLATE != 0
    }
}

// Writing.

/// Bytes of a record.
pub(crate) fn record_len(record: &Record<'_>, version: Version) -> usize {
    let sequences = record.sequences.map_or(0, |_| SEQUENCES);
    match version {
        Version::V0 => RECORD_V0 + sequences,
        Version::V1 => {
            let options = record.sequences.map_or(0, |_| 2 + SEQUENCES)
                + record.engine.map_or(0, |engine| 4 + engine.data.len() + engine.name.len());
            base_len(record.family) + options
        }
    }
}

/// Writes a record at the start of a buffer that has room for it.
pub(crate) fn write_record(record: &Record<'_>, version: Version, out: &mut [u8]) {
    let mut out = Writer { out, at: 0 };
    match version {
        Version::V0 => write_v0(record, &mut out),
        Version::V1 => write_v1(record, &mut out),
    }
}

/// Writes the header of a message of `len` bytes and `count` records at its start.
pub(crate) fn write_header(version: Version, sync_id: u8, count: u8, len: usize, message: &mut [u8]) {
    let [high, low] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = Writer { out: message, at: 0 };
    match version {
        Version::V0 => out.put(&[count, sync_id, high, low]),
        Version::V1 => out.put(&[0, sync_id, high, low, count, VERSION, 0, 0]),
    }
}

fn write_v0(record: &Record<'_>, out: &mut Writer<'_>) {
    out.put(&[0, record.protocol]);
    let ends = [record.client, record.virtual_, record.server];
    ends.iter().for_each(|(_, port)| out.put16(*port));
    ends.iter().for_each(|(address, _)| out.put(&address.to_v4_bytes()));
    let [_, _, high, low] = record.flags.to_be_bytes();
    out.put(&[high, low]);
    out.put16(record.state);
    if let Some(sequences) = record.sequences {
        sequences.words().into_iter().for_each(|word| out.put(&word.to_le_bytes()));
    }
}

fn write_v1(record: &Record<'_>, out: &mut Writer<'_>) {
    let kind = match record.family {
        Family::V4 => 0,
        Family::V6 => KIND_V6,
    };
    out.put(&[kind, record.protocol]);
    out.put16(u16::try_from(record_len(record, Version::V1)).unwrap_or(u16::MAX) & LENGTH_MASK);
    out.put32(record.flags);
    out.put16(record.state);
    let ends = [record.client, record.virtual_, record.server];
    ends.iter().for_each(|(_, port)| out.put16(*port));
    out.put32(record.mark);
    out.put32(record.timeout);
    for (address, _) in ends {
        match record.family {
            Family::V4 => out.put(&address.to_v4_bytes()),
            Family::V6 => out.put(&address.to_v6_bytes()),
        }
    }
    if let Some(sequences) = record.sequences {
        out.put(&[OPTION_SEQUENCES, SEQUENCES.to_le_bytes()[0]]);
        sequences.words().into_iter().for_each(|word| out.put32(word));
    }
    if let Some(engine) = record.engine {
        for (kind, bytes) in [(OPTION_ENGINE_DATA, engine.data), (OPTION_ENGINE_NAME, engine.name)] {
            out.put(&[kind, bytes.len().to_le_bytes()[0]]);
            out.put(bytes);
        }
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(place) = self.out.get_mut(self.at..end) {
            place.copy_from_slice(bytes);
        }
        self.at = end;
    }

    fn put16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn put32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }
}

// Reading.

/// A message whose header was read: an iterator over its records. After a record that cannot be told from what follows
/// it there is no other.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) version: Version,
    pub(crate) sync_id: u8,
    left: u8,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Message<'a> {
    /// Reads a header.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, SyncIgnored> {
        let &[first, sync_id, high, low] = bytes.first_chunk().ok_or(SyncIgnored::TooShort)?;
        if usize::from(u16::from_be_bytes([high, low])) != bytes.len() {
            return Err(SyncIgnored::Length);
        }
        let (version, left) = match bytes.get(4..8) {
            Some(&[count, VERSION, 0, 0]) if first == 0 => (Version::V1, count),
            _ => (Version::V0, first),
        };
        Ok(Self { version, sync_id, left, bytes, at: header_len(version) })
    }

    /// The next record and where the one after it begins; an error of the inner kind means that this one is to be skipped.
    fn next_v1(&self) -> Result<(Result<Record<'a>, SyncIgnored>, usize), SyncIgnored> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let head = rest.first_chunk::<4>().ok_or(SyncIgnored::Truncated)?;
        let family = match head[0] {
            0 => Family::V4,
            KIND_V6 => Family::V6,
            _ => return Err(SyncIgnored::RecordKind),
        };
        let word = u16::from_be_bytes([head[2], head[3]]);
        if word & !LENGTH_MASK != 0 {
            return Err(SyncIgnored::RecordKind);
        }
        let len = usize::from(word & LENGTH_MASK);
        let record = rest.get(..len).filter(|_| len >= base_len(family)).ok_or(SyncIgnored::Truncated)?;
        Ok((read_v1(record, family)?, (self.at + len).next_multiple_of(4)))
    }

    fn next_v0(&self) -> Result<(Result<Record<'a>, SyncIgnored>, usize), SyncIgnored> {
        let mut rest = Reader(self.bytes.get(self.at..).unwrap_or_default());
        let (record, len) = read_v0(&mut rest).ok_or(SyncIgnored::Truncated)?;
        Ok((checked(record), self.at + len))
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<Record<'a>, Rejected>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let next = match self.version {
            Version::V0 => self.next_v0(),
            Version::V1 => self.next_v1(),
        };
        Some(match next {
            Ok((record, at)) => {
                self.at = at;
                record.map_err(Rejected::Record)
            }
            Err(reason) => {
                self.left = 0;
                Err(Rejected::Rest(reason))
            }
        })
    }
}

/// Why a record was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// This one is skipped.
    Record(SyncIgnored),
    /// This one and all that follow.
    Rest(SyncIgnored),
}

fn read_v0<'a>(rest: &mut Reader<'a>) -> Option<(Record<'a>, usize)> {
    let [_, protocol] = *rest.take()?;
    let ports = [rest.take16()?, rest.take16()?, rest.take16()?];
    let addresses = [rest.take32()?, rest.take32()?, rest.take32()?].map(Addr::v4);
    let (flags, state) = (u32::from(rest.take16()?), rest.take16()?);
    let has_sequences = flags & flag::SEQUENCES != 0;
    let sequences = if has_sequences { Some(rest.take_sequences(u32::from_le_bytes)?) } else { None };
    let record = Record {
        family: Family::V4,
        protocol,
        flags,
        state,
        client: (addresses[0], ports[0]),
        virtual_: (addresses[1], ports[1]),
        server: (addresses[2], ports[2]),
        mark: 0,
        timeout: 0,
        sequences,
        engine: None,
    };
    Some((record, RECORD_V0 + if has_sequences { SEQUENCES } else { 0 }))
}

/// A record of version 1 that has at least its fixed part.
fn read_v1(record: &[u8], family: Family) -> Result<Result<Record<'_>, SyncIgnored>, SyncIgnored> {
    let mut rest = Reader(record);
    let fixed = read_v1_fixed(&mut rest, family).ok_or(SyncIgnored::Truncated)?;
    Ok(read_options(&mut rest)?.and_then(|options| {
        let record = Record { sequences: options.sequences, engine: options.engine()?, ..fixed };
        checked(record)
    }))
}

fn read_v1_fixed<'a>(rest: &mut Reader<'a>, family: Family) -> Option<Record<'a>> {
    let [_, protocol, _, _] = *rest.take()?;
    let (flags, state) = (rest.take32()?, rest.take16()?);
    let ports = [rest.take16()?, rest.take16()?, rest.take16()?];
    let (mark, timeout) = (rest.take32()?, rest.take32()?);
    let [client, virtual_, server] =
        [rest.take_address(family)?, rest.take_address(family)?, rest.take_address(family)?];
    Some(Record {
        family,
        protocol,
        flags,
        state,
        client: (client, ports[0]),
        virtual_: (virtual_, ports[1]),
        server: (server, ports[2]),
        mark,
        timeout,
        sequences: None,
        engine: None,
    })
}

#[derive(Debug, Default)]
struct Options<'a> {
    sequences: Option<Sequences>,
    data: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Data means nothing without the name of its engine; a name without data says nothing.
    fn engine(&self) -> Result<Option<EngineData<'a>>, SyncIgnored> {
        match (self.data, self.name) {
            (Some(data), Some(name)) => Ok(Some(EngineData { name, data })),
            (Some(_), None) => Err(SyncIgnored::Engine),
            (None, _) => Ok(None),
        }
    }
}

/// The options to the end of a record. The outer error is one of form, the inner one an option that is not known.
fn read_options<'a>(rest: &mut Reader<'a>) -> Result<Result<Options<'a>, SyncIgnored>, SyncIgnored> {
    let mut options = Options::default();
    while !rest.0.is_empty() {
        let [kind, len] = *rest.take().ok_or(SyncIgnored::Option)?;
        let data = rest.take_slice(usize::from(len)).filter(|data| !data.is_empty()).ok_or(SyncIgnored::Option)?;
        let is_first = match kind & !OPTION_IGNORABLE {
            OPTION_SEQUENCES => {
                let sequences = Reader(data).take_sequences(u32::from_be_bytes).filter(|_| data.len() == SEQUENCES);
                options.sequences.replace(sequences.ok_or(SyncIgnored::Option)?).is_none()
            }
            OPTION_ENGINE_DATA => options.data.replace(data).is_none(),
            OPTION_ENGINE_NAME => data.len() <= ENGINE_NAME_MAX && options.name.replace(data).is_none(),
            _ if kind & OPTION_IGNORABLE != 0 => true,
            _ => return Ok(Err(SyncIgnored::UnknownOption)),
        };
        if !is_first {
            return Err(SyncIgnored::Option);
        }
    }
    Ok(Ok(options))
}

/// A record, if its flags go together.
const fn checked(record: Record<'_>) -> Result<Record<'_>, SyncIgnored> {
    const PORTLESS_TEMPLATE: u32 = flag::NO_CLIENT_PORT | flag::TEMPLATE;
    if record.flags & flag::ONE_PACKET != 0 || record.flags & PORTLESS_TEMPLATE == PORTLESS_TEMPLATE {
        return Err(SyncIgnored::Flags);
    }
    Ok(record)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    fn take_slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn take16(&mut self) -> Option<u16> {
        self.take().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn take32(&mut self) -> Option<u32> {
        self.take().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn take_address(&mut self, family: Family) -> Option<Addr> {
        match family {
            Family::V4 => self.take32().map(Addr::v4),
            Family::V6 => self.take().map(Addr::from_v6),
        }
    }

    fn take_sequences(&mut self, word: fn([u8; 4]) -> u32) -> Option<Sequences> {
        let mut take = || {
            let words = [*self.take()?, *self.take()?, *self.take()?].map(word);
            Some(Sequence { start: words[0], delta: words[1], previous_delta: words[2] })
        };
        Some(Sequences { incoming: take()?, outgoing: take()? })
    }
}

impl Sequences {
    const fn words(self) -> [u32; 6] {
        let (i, o) = (self.incoming, self.outgoing);
        [i.start, i.delta, i.previous_delta, o.start, o.delta, o.previous_delta]
    }
}

const fn base_len(family: Family) -> usize {
    match family {
        Family::V4 => 36,
        Family::V6 => 72,
    }
}

const VERSION: u8 = 1;
const RECORD_V0: usize = 24;
/// The kind of a record over IPv6; 0 is one over IPv4.
const KIND_V6: u8 = 1;
/// The length of a record; the bits above are the version of its layout, which is 0.
const LENGTH_MASK: u16 = 0x0fff;
const OPTION_SEQUENCES: u8 = 1;
const OPTION_ENGINE_DATA: u8 = 2;
const OPTION_ENGINE_NAME: u8 = 3;
/// Whoever does not know an option with this bit does without it.
const OPTION_IGNORABLE: u8 = 0x40;
const SEQUENCES: usize = 24;
const ENGINE_DATA_MAX: usize = 255;
const ENGINE_NAME_MAX: usize = 16;

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// A message of these records.
    pub(crate) fn message(version: Version, sync_id: u8, records: &[Record<'_>]) -> Vec<u8> {
        let mut bytes = vec![0; header_len(version)];
        for record in records {
            if version == Version::V1 {
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            let at = bytes.len();
            bytes.resize(at + record_len(record, version), 0);
            write_record(record, version, &mut bytes[at..]);
        }
        let len = bytes.len();
        write_header(version, sync_id, u8::try_from(records.len()).unwrap(), len, &mut bytes);
        bytes
    }

    fn sequences() -> impl Strategy<Value = Option<Sequences>> {
        let sequence =
            || any::<[u32; 3]>().prop_map(|[start, delta, previous_delta]| Sequence { start, delta, previous_delta });
        prop::option::of((sequence(), sequence()).prop_map(|(incoming, outgoing)| Sequences { incoming, outgoing }))
    }

    prop_compose! {
        fn record(version: Version)(
            v6 in any::<bool>(),
            words in any::<[[u32; 4]; 3]>(),
            ports in any::<[u16; 3]>(),
            (protocol, flags, state) in any::<(u8, u32, u16)>(),
            (mark, timeout) in any::<(u32, u32)>(),
            sequences in sequences(),
        ) -> Record<'static> {
            let v6 = v6 && version == Version::V1;
            let address = |word: [u32; 4]| if v6 { Addr(word) } else { Addr::v4(word[3]) };
            let mut flags = flags & !(flag::ONE_PACKET | flag::NO_CLIENT_PORT);
            let mut record = Record {
                family: if v6 { Family::V6 } else { Family::V4 },
                protocol,
                flags,
                state,
                client: (address(words[0]), ports[0]),
                virtual_: (address(words[1]), ports[1]),
                server: (address(words[2]), ports[2]),
                mark,
                timeout,
                sequences,
                engine: None,
            };
            if version == Version::V0 {
                flags = flags & 0xffff & !flag::SEQUENCES | if sequences.is_some() { 0x0200 } else { 0 };
                (record.flags, record.mark, record.timeout) = (flags, 0, 0);
            } else if sequences.is_none() {
                record.engine = [None, Some(EngineData { name: b"sip", data: b"a@b" })][usize::from(protocol & 1)];
            }
            record
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(records in prop::collection::vec(record(Version::V1), 0..9), sync_id: u8) {
            let bytes = message(Version::V1, sync_id, &records);
            let read = Message::read(&bytes).unwrap();
            prop_assert_eq!((read.version, read.sync_id), (Version::V1, sync_id));
            prop_assert_eq!(read.collect::<Result<Vec<_>, _>>().unwrap(), records);
        }

        #[test]
        fn what_was_written_is_read_of_version_0(records in prop::collection::vec(record(Version::V0), 0..9), sync_id: u8) {
            let bytes = message(Version::V0, sync_id, &records);
            let read = Message::read(&bytes).unwrap();
            prop_assert_eq!((read.version, read.sync_id), (Version::V0, sync_id));
            prop_assert_eq!(read.collect::<Result<Vec<_>, _>>().unwrap(), records);
        }

        /// Whatever comes is read to an end, and no record is read beyond the end.
        #[test]
        fn any_bytes_come_to_an_end(mut bytes in prop::collection::vec(any::<u8>(), 0..300), v1: bool) {
            if let Ok(len) = u16::try_from(bytes.len()) && bytes.len() >= 8 {
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                if v1 {
                    (bytes[0], bytes[5], bytes[6], bytes[7]) = (0, 1, 0, 0);
                }
            }
            if let Ok(message) = Message::read(&bytes) {
                prop_assert!(message.count() <= 255);
            }
        }

        /// Cut off anywhere, the whole records in front are read, and then nothing.
        #[test]
        fn a_truncated_message_has_its_first_records(records in prop::collection::vec(record(Version::V1), 1..5), cut: prop::sample::Index) {
            let mut bytes = message(Version::V1, 0, &records);
            bytes.truncate(8 + cut.index(bytes.len() - 8));
            let len = bytes.len();
            write_header(Version::V1, 0, u8::try_from(records.len()).unwrap(), len, &mut bytes);
            let read: Vec<_> = Message::read(&bytes).unwrap().collect();
            let whole = read.iter().take_while(|record| record.is_ok()).count();
            prop_assert!(whole < records.len());
            prop_assert!(read[..whole].iter().zip(&records).all(|(read, written)| read.as_ref() == Ok(written)));
            prop_assert_eq!(read[whole..].to_vec(), vec![Err(Rejected::Rest(SyncIgnored::Truncated))]);
        }
    }

    fn octets(record: &Record<'_>) -> Vec<u8> {
        message(Version::V1, 0, &[*record, *record])
    }

    fn plain() -> Record<'static> {
        Record {
            family: Family::V4,
            protocol: 6,
            flags: 0,
            state: 1,
            client: (Addr::v4(0xc633_6401), 1001),
            virtual_: (Addr::v4(0xc000_020a), 80),
            server: (Addr::v4(0x0a00_0065), 80),
            mark: 0,
            timeout: 900,
            sequences: None,
            engine: None,
        }
    }

    /// Bytes put between the fixed part of the first record and its end, and what is read of both records.
    fn with_options(options: &[u8]) -> Vec<Result<(), Rejected>> {
        let mut bytes = octets(&plain());
        let len = 36 + options.len();
        bytes[11] = u8::try_from(len).unwrap();
        let padding = vec![0; len.next_multiple_of(4) - len];
        bytes.splice(44..44, options.iter().copied().chain(padding));
        let len = bytes.len();
        write_header(Version::V1, 0, 2, len, &mut bytes);
        Message::read(&bytes).unwrap().map(|record| record.map(drop)).collect()
    }

    #[test]
    fn options_are_taken_skipped_or_end_the_message() {
        let both = vec![Ok(()), Ok(())];
        let second = |reason| vec![Err(Rejected::Record(reason)), Ok(())];
        let none = vec![Err(Rejected::Rest(SyncIgnored::Option))];
        assert_eq!(with_options(&[]), both);
        assert_eq!(with_options(b"\x49\x02ab"), both, "unknown, may be ignored");
        assert_eq!(with_options(b"\x49\x01a\x49\x01b"), both, "and twice");
        assert_eq!(with_options(b"\x03\x03sip"), both, "a name without data");
        assert_eq!(with_options(&[&[0x41, 24][..], &[0; 24]].concat()), both, "known though it might be ignored");
        assert_eq!(with_options(b"\x09\x02ab"), second(SyncIgnored::UnknownOption));
        assert_eq!(with_options(b"\x02\x03abc"), second(SyncIgnored::Engine), "data without a name");
        for malformed in [
            &b"\x49\x00"[..],
            b"\x49",
            b"\x49\x05ab",
            b"\x03\x11aaaaaaaaaaaaaaaaa",
            b"\x03\x01a\x03\x01a",
            &[&[1, 23][..], &[0; 23]].concat(),
        ] {
            assert_eq!(with_options(malformed), none, "{malformed:?}");
        }
    }

    #[test]
    fn flags_that_do_not_go_together_skip_the_record() {
        for flags in [flag::ONE_PACKET, flag::NO_CLIENT_PORT | flag::TEMPLATE] {
            let bytes = message(Version::V1, 0, &[Record { flags, ..plain() }, plain()]);
            let read: Vec<_> = Message::read(&bytes).unwrap().collect();
            assert_eq!(read, [Err(Rejected::Record(SyncIgnored::Flags)), Ok(plain())]);
        }
    }

    #[test]
    fn a_kind_or_version_that_is_not_known_ends_the_message() {
        for (at, value) in [(8, 2), (10, 0x10)] {
            let mut bytes = octets(&plain());
            bytes[at] = value;
            let read: Vec<_> = Message::read(&bytes).unwrap().collect();
            assert_eq!(read, [Err(Rejected::Rest(SyncIgnored::RecordKind))]);
        }
    }

    #[test]
    fn headers_are_checked() {
        let mut bytes = octets(&plain());
        assert_eq!(Message::read(&bytes[..3]).err(), Some(SyncIgnored::TooShort));
        assert_eq!(Message::read(&bytes[..40]).err(), Some(SyncIgnored::Length));
        for (at, value) in [(0, 1), (5, 2), (6, 1), (7, 1)] {
            let old = core::mem::replace(&mut bytes[at], value);
            assert_eq!(Message::read(&bytes).unwrap().version, Version::V0, "byte {at}");
            bytes[at] = old;
        }
    }
}
