//! Synchronisation: connections are offered to the master daemon, and taken from messages by the backup daemon.
//!
//! Follows: Linux 6.1.192.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Director;
use super::transmit::new_flags;
use crate::addr::{Addr, Family};
use crate::app::sequence::Correction;
use crate::conn::entry::{Ends, Entry, Flags, Kind};
use crate::conn::id::NONE;
use crate::control::{DaemonRole, DaemonSpec, DaemonView};
use crate::error::ControlError;
use crate::event::Gone;
use crate::flow::{Protocol, Tuple};
use crate::persist::{self, TemplateKey};
use crate::sync::master::Telling;
use crate::sync::message::{EngineData, Message, Record, Rejected, Sequence, Sequences, flag};
use crate::sync::needed::{Rules, is_needed};
use crate::sync::{SyncCounts, SyncIgnored, SyncMessage, SyncReceived, Version, backup};
use crate::time::Instant;

/// How long a connection lives if neither its record nor its protocol says so.
const DEFAULT_TIMEOUT_MS: u32 = 180_000;
/// The flags of a record that a connection is made with.
const CREATED_WITH: u32 = 0x1f87;
/// And those that a connection that is there takes over.
const UPDATED_WITH: Flags = Flags::from_kernel(0x0700);

// The daemons.

impl Director {
    /// Starts a synchronisation daemon, as `ipvsadm --start-daemon`. A master tells of connections from now on, a backup
    /// takes what it is told; both may run at once.
    ///
    /// ```
    /// use lvs_core::{Config, ControlError, DaemonRole, DaemonSpec, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.start_daemon(&DaemonSpec { sync_id: 5, ..DaemonSpec::new(DaemonRole::Master) })?;
    /// assert_eq!(director.daemons()[0].max_len, 1472);
    /// let again = director.start_daemon(&DaemonSpec::new(DaemonRole::Master));
    /// assert_eq!(again, Err(ControlError::DaemonRuns));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::DaemonRuns`]; [`ControlError::MixedFamilies`] while a service has a server of another family;
    /// [`ControlError::GroupNotMulticast`]; [`ControlError::OutOfMemory`]. Then nothing has changed.
    pub fn start_daemon(&mut self, spec: &DaemonSpec) -> Result<(), ControlError> {
        if self.has_mixed_families() {
            return Err(ControlError::MixedFamilies);
        }
        self.daemons.start(spec, &self.settings.tunables)?;
        self.open_or_close();
        Ok(())
    }

    /// Stops a synchronisation daemon, as `ipvsadm --stop-daemon`. What a master has not handed out yet is lost, and
    /// counted ([`SyncCounts::records_abandoned`]).
    ///
    /// ```
    /// use lvs_core::{Config, ControlError, DaemonRole, DaemonSpec, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.start_daemon(&DaemonSpec::new(DaemonRole::Master))?;
    /// director.stop_daemon(DaemonRole::Master)?;
    /// assert_eq!(director.stop_daemon(DaemonRole::Master), Err(ControlError::NoDaemon));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoDaemon`]; then nothing has changed.
    pub fn stop_daemon(&mut self, role: DaemonRole) -> Result<(), ControlError> {
        self.daemons.stop(role)?;
        self.open_or_close();
        Ok(())
    }

    /// The daemons that run, the master first.
    #[must_use]
    pub fn daemons(&self) -> Vec<DaemonView> {
        self.daemons.views()
    }

    /// What synchronisation has counted.
    #[must_use]
    pub const fn sync_counts(&self) -> &SyncCounts {
        &self.daemons.counts
    }

    /// The next message that the master daemon has for its group, if any: send it, and ask again.
    ///
    /// Ask after packets and after [`advance`](Director::advance), and when [`next_deadline`](Director::next_deadline) has
    /// come: a message that is not full leaves when it is two seconds old.
    ///
    /// ```
    /// use lvs_core::{Config, DaemonRole, DaemonSpec, Director, Instant};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.start_daemon(&DaemonSpec::new(DaemonRole::Master))?;
    /// while let Some(message) = director.poll_sync(Instant::from_secs(3)) {
    ///     println!("{} bytes to {} port {}", message.bytes.len(), message.group, message.port);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_sync(&mut self, now: Instant) -> Option<SyncMessage<'_>> {
        let now = self.see(now);
        let most = self.settings.tunables.sync_qlen_max;
        let daemons = &mut self.daemons;
        let master = daemons.master.as_mut()?;
        let (group, port, ttl) = (master.view.group, master.view.port, master.view.ttl);
        let (bytes, queue) = master.next(now, most, &mut daemons.counts)?;
        Some(SyncMessage { bytes, group, port: port.wrapping_add(queue), ttl })
    }

    /// Takes a message that came for the backup daemon: the payload of a UDP datagram to its group and one of its ports.
    ///
    /// What is wrong with it, or with a record of it, is an answer and is counted, never an error.
    ///
    /// ```
    /// use lvs_core::{Config, DaemonRole, DaemonSpec, Director, Instant};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.start_daemon(&DaemonSpec::new(DaemonRole::Backup))?;
    /// // One connection: TCP from 198.51.100.1:1001 to 192.0.2.10:80, at 10.0.0.101:80, established.
    /// let message = [
    ///     0, 0, 0, 44, 1, 1, 0, 0, 0, 6, 0, 36, 0, 0, 0, 0, 0, 1, 3, 233, 0, 80, 0, 80, 0, 0, 0, 0, 0, 0, 3, 132,
    ///     198, 51, 100, 1, 192, 0, 2, 10, 10, 0, 0, 101,
    /// ];
    /// assert_eq!(director.receive_sync(Instant::ZERO, &message).created, 1);
    /// assert_eq!(director.connections().next().unwrap().state, "ESTABLISHED");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive_sync(&mut self, now: Instant, message: &[u8]) -> SyncReceived {
        let now = self.see(now);
        self.daemons.counts.messages_received += 1;
        let mut received = SyncReceived::default();
        match self.acceptable(message) {
            Ok(records) => records.for_each(|record| self.receive(now, record, &mut received)),
            Err(reason) => received.refused = Some(reason),
        }
        if let Some(reason) = received.refused {
            self.daemons.counts.count_ignored(reason);
        }
        self.daemons.counts.created += u64::from(received.created);
        self.daemons.counts.updated += u64::from(received.updated);
        received
    }

    fn acceptable<'a>(&self, message: &'a [u8]) -> Result<Message<'a>, SyncIgnored> {
        let backup = self.daemons.backup.as_ref().ok_or(SyncIgnored::NoBackup)?;
        let records = Message::read(message)?;
        backup.check(records.sync_id, message.len())?;
        Ok(records)
    }

    fn receive(&mut self, now: Instant, record: Result<Record<'_>, Rejected>, received: &mut SyncReceived) {
        let taken = record.and_then(|record| self.take_up(now, &record).map_err(Rejected::Record));
        match taken {
            Ok(Taken::Created) => received.created += 1,
            Ok(Taken::Updated) => received.updated += 1,
            Err(Rejected::Record(reason)) => {
                received.skipped += 1;
                self.daemons.counts.count_ignored(reason);
            }
            Err(Rejected::Rest(reason)) => received.refused = Some(reason),
        }
    }

    /// Whether a service has a server of another family.
    fn has_mixed_families(&self) -> bool {
        self.control.services.iter().any(|service| {
            let family = service.key().family();
            service.list.iter().any(|&server| Family::of(self.servers.spec(server).address.ip()) != family)
        })
    }

    /// Refuses a server of another family than its service while a daemon runs.
    pub(super) const fn check_family(&self, service: Family, server: Family) -> Result<(), ControlError> {
        if service as u8 != server as u8 && self.daemons.is_running() {
            return Err(ControlError::MixedFamilies);
        }
        Ok(())
    }
}

// The master.

impl Director {
    /// Offers a connection to the master daemon after a packet of the client, and what controls it too.
    #[cold]
    #[inline(never)]
    pub(super) fn offer(&mut self, now: Instant, slot: u32, packets: i32) {
        let rules = Rules::of(&self.settings.tunables);
        let version = if self.settings.tunables.sync_version == 0 { Version::V0 } else { Version::V1 };
        let (mut slot, mut packets) = (slot, packets);
        loop {
            let told = self.is_told(now, slot, packets, version, &rules);
            if told {
                self.tell_others(now, slot, version);
            }
            let control = self.flows.table.slab.get(slot).control;
            if control == NONE || version == Version::V0 && !told {
                return;
            }
            (slot, packets) = (control, self.packets_of_controller(control, rules.threshold));
        }
    }

    /// The same for a packet of one-packet scheduling, whose connection nobody is told of, by what controls it.
    #[cold]
    pub(super) fn offer_controller(&mut self, now: Instant, control: u32) {
        if !self.daemons.is_master() {
            let entry = self.flows.table.slab.get_mut(control);
            entry.in_packets = entry.in_packets.wrapping_add(1);
        } else if self.settings.tunables.sync_version != 0 {
            let packets = self.packets_of_controller(control, self.settings.tunables.sync_threshold.0);
            self.offer(now, control, packets);
        }
    }

    /// Offers a connection that should have ended then, and lives on because it controls others.
    #[cold]
    pub(super) fn offer_busy(&mut self, at: Instant, slot: u32) {
        if self.daemons.is_master() {
            self.offer(at, slot, self.settings.tunables.sync_threshold.0);
        }
    }

    /// A template counts how often it is offered; others pass for having had as many packets as are needed.
    fn packets_of_controller(&mut self, control: u32, threshold: i32) -> i32 {
        let entry = self.flows.table.slab.get_mut(control);
        if !entry.is_template() {
            return threshold;
        }
        entry.in_packets = entry.in_packets.wrapping_add(1);
        entry.in_packets.cast_signed()
    }

    fn is_told(&mut self, now: Instant, slot: u32, packets: i32, version: Version, rules: &Rules) -> bool {
        let under_template = self.is_under_template(slot);
        let entry = self.flows.table.slab.get_mut(slot);
        let can_be_told = version == Version::V1 || entry.family() == Family::V4;
        can_be_told && is_needed(entry, under_template, packets, now, rules)
    }

    fn is_under_template(&self, slot: u32) -> bool {
        let mut above = self.flows.table.slab.get(slot).control;
        while above != NONE {
            let entry = self.flows.table.slab.get(above);
            if entry.is_template() {
                return true;
            }
            above = entry.control;
        }
        false
    }

    fn tell_others(&mut self, now: Instant, slot: u32, version: Version) {
        let entry = self.flows.table.slab.get(slot);
        let record = record_of(entry, self.sequences_of(entry), self.flows.engine_data(slot));
        let told = Telling { now, version, most: self.settings.tunables.sync_qlen_max };
        if let Some(master) = self.daemons.master.as_mut() {
            master.tell(slot, &record, told, &mut self.daemons.counts);
        }
    }

    /// How a helper corrects the sequence numbers of a connection, if it does.
    fn sequences_of(&self, entry: &Entry) -> Option<Sequences> {
        let helped = entry.flags.contains(Flags::HELPED);
        let session = self.flows.sessions.get(entry.helper).filter(|session| helped && session.is_corrected())?;
        Some(Sequences {
            incoming: Sequence::from_parts(session.from_client.parts()),
            outgoing: Sequence::from_parts(session.from_server.parts()),
        })
    }
}

/// A connection as a record. The flags that go with sequence numbers are told only together with these.
fn record_of<'a>(entry: &Entry, sequences: Option<Sequences>, data: &'a [u8]) -> Record<'a> {
    let family = entry.family();
    let corrected = sequences.map_or(0, |Sequences { incoming, outgoing }| {
        let flag = |flag: u32, sequence: Sequence| if sequence == Sequence::default() { 0 } else { flag };
        flag(flag::INCOMING, incoming) | flag(flag::OUTGOING, outgoing)
    });
    Record {
        family,
        protocol: entry.protocol(),
        flags: entry.kernel_flags() & !flag::SEQUENCES | corrected,
        state: u16::from(entry.state),
        client: (entry.client(), entry.client_port),
        virtual_: (mark_first(entry.protocol(), family, entry.virtual_address()), entry.virtual_port),
        server: (entry.server_address(), entry.server_port),
        mark: entry.mark,
        timeout: entry.timeout_ms / 1_000,
        sequences,
        engine: (!data.is_empty()).then_some(EngineData { name: persist::SIP.as_bytes(), data }),
    }
}

/// What an engine keeps of a template, as a record has it; nothing of a connection.
fn engine_data<'a>(record: &Record<'a>) -> &'a [u8] {
    record.engine.filter(|_| record.is_template()).map_or(&[], |engine| engine.data)
}

/// The virtual address in a record. That of a template of every protocol is the firewall mark: the last word here, the
/// first in messages.
const fn mark_first(protocol: u8, family: Family, address: Addr) -> Addr {
    match (protocol, family) {
        (0, Family::V6) => Addr([address.0[3], address.0[1], address.0[2], address.0[0]]),
        _ => address,
    }
}

// The backup.

/// What a record has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Created,
    Updated,
}

impl Director {
    fn take_up(&mut self, now: Instant, record: &Record<'_>) -> Result<Taken, SyncIgnored> {
        let state = backup::state(record)?;
        if record.engine.is_some_and(|engine| engine.name != persist::SIP.as_bytes()) {
            return Err(SyncIgnored::Engine);
        }
        let record = &Record { flags: record.flags & CREATED_WITH, ..*record };
        let (slot, taken) = match self.known(now, record)? {
            Some(slot) => {
                self.update(slot, record);
                (slot, Taken::Updated)
            }
            None => (self.create(now, record)?, Taken::Created),
        };
        if let Some(sequences) = record.sequences {
            self.set_sequences(slot, record.flags, sequences);
        }
        let timeout = self.timeout_of(record, state, self.flows.table.slab.get(slot).server);
        let entry = self.flows.table.slab.get_mut(slot);
        (entry.state, entry.told_state) = (state, state);
        entry.in_packets = self.settings.tunables.sync_threshold.0.cast_unsigned();
        entry.timeout_ms = timeout;
        self.flows.touch(slot, now);
        Ok(taken)
    }

    /// The connection or template of a record. A connection that has another server by now has ended: if the record is
    /// not itself about the end of an older one.
    fn known(&mut self, now: Instant, record: &Record<'_>) -> Result<Option<u32>, SyncIgnored> {
        let target = mark_first(record.protocol, record.family, record.virtual_.0);
        if record.is_template() {
            let (data, virtual_) = (engine_data(record), (target, record.virtual_.1));
            let kind = Kind::template(record.family, record.protocol, !data.is_empty());
            return Ok(self.flows.find_template(&TemplateKey::of(kind, record.client.0, virtual_, data), now));
        }
        let tuple = tuple_of(record);
        let found = self.flows.table.find_request(&tuple, now);
        let Some(slot) = found.or_else(|| self.flows.table.find_waiting(&tuple, now)) else { return Ok(None) };
        let entry = self.flows.table.slab.get(slot);
        if (entry.server_address(), entry.server_port) == record.server {
            return Ok(Some(slot));
        }
        if record.flags & flag::INACTIVE != 0 {
            return Err(SyncIgnored::Stale);
        }
        if self.flows.expire(slot, &mut self.servers, now, Gone::Replaced) {
            self.offer_busy(now, slot);
        }
        Ok(None)
    }

    fn update(&mut self, slot: u32, record: &Record<'_>) {
        let flags = flags_of(record);
        let entry = self.flows.table.slab.get_mut(slot);
        let flips = entry.flags.contains(Flags::INACTIVE) != flags.contains(Flags::INACTIVE);
        if flips && !entry.is_template() && entry.server != NONE {
            let live = self.servers.live_mut(entry.server);
            live.active = if flags.contains(Flags::INACTIVE) { live.active.saturating_sub(1) } else { live.active + 1 };
        }
        entry.flags = entry.flags.with_masked(flags, UPDATED_WITH);
        // The service is found by the mark and the method that the connection was made with.
        let (server, flags) = (entry.server, entry.flags);
        let own = Record { mark: entry.mark, flags: entry.kernel_flags(), ..*record };
        if server == NONE
            && let Some(server) = self.server_of(&own)
        {
            let flags = self.bound_flags(flags, server, record.is_template());
            self.flows.bind_late(slot, server, flags, &mut self.servers);
        }
    }

    fn create(&mut self, now: Instant, record: &Record<'_>) -> Result<u32, SyncIgnored> {
        let mut kind = Kind::connection(record.family, record.protocol);
        if record.is_template() {
            kind = Kind::template(record.family, record.protocol, !engine_data(record).is_empty());
        } else if record.flags & flag::NO_CLIENT_PORT != 0 {
            kind = kind.without_client_port();
        }
        let target = mark_first(record.protocol, record.family, record.virtual_.0);
        let ends = Ends {
            family: record.family,
            server_family: record.family,
            client: record.client,
            virtual_: (target, record.virtual_.1),
            server: record.server,
        };
        let server = self.server_of(record);
        let mut flags = flags_of(record);
        flags.set(Flags::SYNCED);
        if let Some(server) = server {
            flags = self.bound_flags(flags, server, record.is_template());
        }
        let mut entry = Entry::new(kind, &ends, flags);
        entry.server = server.unwrap_or(NONE);
        entry.mark = record.mark;
        entry.touch(now);
        if !self.flows.make_room(1, NONE, self.settings.admission, &mut self.servers, now) {
            return Err(SyncIgnored::TableFull);
        }
        let data = engine_data(record);
        if !data.is_empty() && !self.flows.records.reserve() {
            return Err(SyncIgnored::TableFull);
        }
        self.flows.add_template(entry, data, &mut self.servers, now).ok_or(SyncIgnored::TableFull)
    }

    /// The server of a record, if its service has it here.
    fn server_of(&self, record: &Record<'_>) -> Option<u32> {
        let service = self.control.services.lookup(&tuple_of(record), record.mark)?;
        let (address, port) = (record.server.0.to_ip(record.family), record.server.1);
        let is_nat = Flags::from_kernel(low16(record.flags)).method_number() == 0;
        let ports = if record.mark != 0 && !is_nat { [0, port] } else { [port, 0] };
        let found = |port| self.server_at(service, SocketAddr::new(address, port)).map(|(_, server)| server);
        ports.into_iter().find_map(found)
    }

    /// The flags of a connection that is bound to a server: the method is that of the server here.
    fn bound_flags(&self, flags: Flags, server: u32, is_template: bool) -> Flags {
        let own = new_flags(self.servers.spec(server).method);
        let mut flags = flags.with_method_of(own);
        if is_template {
            flags.set(Flags::INACTIVE);
        }
        flags
    }

    fn timeout_of(&self, record: &Record<'_>, state: u8, server: u32) -> u32 {
        if record.timeout > 0 {
            return record.timeout.saturating_mul(1_000);
        }
        let timeouts = self.settings.timeouts_of(server, &self.servers);
        match Protocol::from_number(record.protocol).filter(|_| !record.is_template()) {
            Some(Protocol::Tcp) => timeouts.tcp_ms(state),
            Some(Protocol::Udp) => timeouts.udp_ms(),
            Some(Protocol::Sctp) => timeouts.sctp_ms(state),
            None => DEFAULT_TIMEOUT_MS,
        }
    }

    /// Takes over how sequence numbers are corrected, in the directions that the record's flags name, if the connection
    /// has a helper here.
    fn set_sequences(&mut self, slot: u32, flags: u32, sequences: Sequences) {
        let entry = self.flows.table.slab.get(slot);
        if !entry.flags.contains(Flags::HELPED) {
            return;
        }
        let told = |flag: u32, sequence: Sequence| {
            Correction::from_parts(if flags & flag != 0 { sequence.parts() } else { [0; 3] })
        };
        if let Some(session) = self.flows.sessions.get_mut(entry.helper) {
            session.from_client = told(flag::INCOMING, sequences.incoming);
            session.from_server = told(flag::OUTGOING, sequences.outgoing);
        }
    }
}

/// A record's connection as a packet of its client shows it.
const fn tuple_of(record: &Record<'_>) -> Tuple {
    Tuple {
        family: record.family,
        protocol: record.protocol,
        source: record.client.0,
        destination: record.virtual_.0,
        source_port: record.client.1,
        destination_port: record.virtual_.1,
    }
}

const fn flags_of(record: &Record<'_>) -> Flags {
    Flags::from_kernel(low16(record.flags))
}

const fn low16(word: u32) -> u16 {
    let [_, _, high, low] = word.to_be_bytes();
    u16::from_be_bytes([high, low])
}
