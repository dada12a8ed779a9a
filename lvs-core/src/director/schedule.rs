//! A new flow: which service it is for, which server takes it, and the connection that it becomes.
//!
//! Follows: the scheduling of IPVS, with its exceptions for the FTP data port, local replies, and ports that a service
//! was found for by detour.

use super::Director;
use super::decision::{Refusal, Scheduled};
use super::transmit::new_flags;
use crate::addr::{Addr, Family};
use crate::config::Meta;
use crate::conn::entry::{Ends, Entry, Flags, Kind};
use crate::conn::id::NONE;
use crate::persist::{self, TemplateKey};
use crate::sched::NewFlow;
use crate::service::key::{FTP_DATA_PORT, FTP_PORT};
use crate::service::service::Service;
use crate::time::Instant;
use crate::verdict::{DropReason, PassReason, ReplyReason};
use crate::wire::parse::{Parsed, Shape};
use crate::wire::transport;

impl Director {
    /// Finds a server for a packet that no connection knows, and makes the connection. `bytes` are the packet's.
    pub(super) fn schedule(
        &mut self,
        now: Instant,
        meta: Meta,
        parsed: &Parsed,
        bytes: &[u8],
    ) -> Result<Scheduled, Refusal> {
        let slot = self.service_for(meta, parsed)?;
        if self.defence.drops() {
            return Err(Refusal::Drop(DropReason::DropPacket));
        }
        self.may_be_scheduled(now, meta, parsed)?;
        match self.schedule_service(now, meta, parsed, bytes, slot) {
            Err(refusal) if self.goes_past(slot, parsed, refusal) => self.schedule_past(now, meta, parsed, slot),
            other => other,
        }
    }

    /// Finds a server of a service.
    fn schedule_service(
        &mut self,
        now: Instant,
        meta: Meta,
        parsed: &Parsed,
        bytes: &[u8],
        slot: u32,
    ) -> Result<Scheduled, Refusal> {
        let service = self.control.services.get(slot);
        if service.spec.persistence.is_some() {
            return self.schedule_persistent(now, meta, parsed, bytes, slot);
        }
        if let Some(refusal) = port_mismatch(service, parsed) {
            return Err(refusal);
        }
        let flow = new_flow(now, parsed);
        let server = self.pick(slot, &flow).ok_or_else(|| no_destination(self.control.services.get(slot), parsed))?;
        let port = self.port_at(self.control.services.get(slot), server, parsed, false);
        let entry = self.new_connection(slot, server, port, parsed, meta);
        self.admit(now, entry, NONE)
    }

    /// Whether a packet that nobody takes goes past all servers, to where it wants to go (`cache_bypass`).
    pub(super) fn goes_past(&self, service: u32, parsed: &Parsed, refusal: Refusal) -> bool {
        let (destination, family) = (parsed.tuple.destination, parsed.tuple.family);
        refusal == Refusal::Error(ReplyReason::NoDestination)
            && self.settings.tunables.cache_bypass != 0
            && self.control.services.get(service).key().is_mark()
            && !parsed.is_quoted
            // Over IPv6 the kernel makes a connection even where the packet is for the host itself, and then drops it.
            && (family == Family::V6 || !self.settings.local.is_empty() && !self.is_own(destination, family))
            && self.settings.is_unicast(destination.to_ip(family))
    }

    /// Makes a connection past all servers.
    fn schedule_past(&mut self, now: Instant, meta: Meta, parsed: &Parsed, service: u32) -> Result<Scheduled, Refusal> {
        self.admit(now, self.past_connection(service, parsed, meta), NONE)
    }

    /// A connection past all servers, not yet in the table.
    pub(super) fn past_connection(&self, service: u32, parsed: &Parsed, meta: Meta) -> Entry {
        let tuple = &parsed.tuple;
        let ends = Ends {
            family: tuple.family,
            server_family: tuple.family,
            client: (tuple.source, tuple.source_port),
            virtual_: (tuple.destination, tuple.destination_port),
            server: (Addr::UNSPECIFIED, 0),
        };
        let mut flags = Flags::BYPASS;
        if self.control.services.get(service).spec.one_packet && parsed.is_udp() {
            flags.set(Flags::ONE_PACKET);
        }
        let mut entry = Entry::new(Kind::connection(tuple.family, tuple.protocol), &ends, flags);
        entry.mark = meta.mark;
        entry
    }

    /// The port at the server of a new connection: the server's own, or the packet's if it has none. Under a template
    /// the packet's, unless the service has one port too.
    pub(super) fn port_at(&self, service: &Service, server: u32, parsed: &Parsed, persistent: bool) -> u16 {
        let port = self.servers.spec(server).address.port();
        if port == 0 || persistent && parsed.tuple.destination_port != service.key().port() {
            parsed.tuple.destination_port
        } else {
            port
        }
    }

    /// Asks a service's scheduler, and when it next wants to be told the time.
    fn pick(&mut self, service: u32, flow: &NewFlow) -> Option<u32> {
        let service = self.control.services.get_mut(service);
        let server = service.pick(flow, &self.servers);
        let next = service.scheduler.as_ref().and_then(|scheduler| scheduler.next_tick());
        self.control.schedulers_at = [self.control.schedulers_at, next].into_iter().flatten().min();
        server
    }

    /// The service that a packet is for, if it is of a kind that opens connections.
    pub(super) fn service_for(&self, meta: Meta, parsed: &Parsed) -> Result<u32, Refusal> {
        if parsed.shape < Shape::Whole {
            return Err(Refusal::Drop(DropReason::TruncatedTransport));
        }
        let slot = self.control.services.lookup(&parsed.tuple, meta.mark);
        if parsed.is_quoted {
            return slot.ok_or(Refusal::Pass(PassReason::NoService));
        }
        if parsed.is_tcp() {
            let flags = parsed.tcp_flags;
            if flags.rst() || !flags.syn() && self.settings.tunables.sloppy_tcp == 0 {
                let reason = if slot.is_some() { PassReason::NotAnOpening } else { PassReason::NoService };
                return Err(Refusal::Pass(reason));
            }
        }
        if parsed.is_sctp() {
            let Some(chunk) = parsed.sctp_chunk else { return Err(Refusal::Drop(DropReason::TruncatedTransport)) };
            let opens = chunk == transport::SCTP_INIT
                || chunk != transport::SCTP_ABORT && self.settings.tunables.sloppy_sctp != 0;
            if !opens {
                let reason = if slot.is_some() { PassReason::NotAnOpening } else { PassReason::NoService };
                return Err(Refusal::Pass(reason));
            }
        }
        let slot = slot.ok_or(Refusal::Pass(PassReason::NoService))?;
        if self.settings.is_impossible_source(parsed.tuple.source.to_ip(parsed.tuple.family)) {
            return Err(Refusal::Drop(DropReason::BadSource));
        }
        Ok(slot)
    }

    /// The exceptions: packets that are never scheduled although they are for a service.
    pub(super) fn may_be_scheduled(&self, now: Instant, meta: Meta, parsed: &Parsed) -> Result<(), Refusal> {
        if parsed.tuple.source.to_ip(parsed.tuple.family).is_loopback() && !meta.from_host {
            return Err(Refusal::Drop(DropReason::Loopback));
        }
        if parsed.tuple.source_port == FTP_DATA_PORT {
            return Err(Refusal::Pass(PassReason::FtpDataPort));
        }
        if meta.from_host && self.flows.table.find_request(&parsed.tuple.reversed(), now).is_some() {
            return Err(Refusal::Pass(PassReason::LocalReply));
        }
        Ok(())
    }

    /// The same for a service with persistence: the client's template decides, and the scheduler where there is none.
    fn schedule_persistent(
        &mut self,
        now: Instant,
        meta: Meta,
        parsed: &Parsed,
        bytes: &[u8],
        slot: u32,
    ) -> Result<Scheduled, Refusal> {
        let key = persist::template_key(self.control.services.get(slot), parsed, bytes).map_err(Refusal::Drop)?;
        let template = match self.valid_template(now, &key) {
            Some(template) => template,
            None => {
                // One that may not be used any more is put aside even if nobody is found for a new one.
                self.retire_template(now, &key);
                let flow = new_flow(now, parsed);
                let server =
                    self.pick(slot, &flow).ok_or_else(|| no_destination(self.control.services.get(slot), parsed))?;
                let one_packet = self.control.services.get(slot).spec.one_packet && parsed.is_udp();
                self.new_template(now, meta.mark, slot, server, &key, one_packet)?
            }
        };
        let server = self.flows.table.slab.get(template).server;
        let port = self.port_at(self.control.services.get(slot), server, parsed, true);
        let entry = self.new_connection(slot, server, port, parsed, meta);
        let scheduled = self.admit(now, entry, template)?;
        self.flows.touch(template, now);
        Ok(scheduled)
    }

    /// The template of a key, if its server may still be used.
    pub(super) fn valid_template(&self, now: Instant, key: &TemplateKey<'_>) -> Option<u32> {
        let slot = self.flows.find_template(key, now)?;
        let server = self.flows.table.slab.get(slot).server;
        let expire_quiescent = self.settings.tunables.expire_quiescent_template != 0;
        (server != NONE && persist::is_server_valid(server, &self.servers, expire_quiescent)).then_some(slot)
    }

    /// Puts the template of a key aside, if there is one.
    pub(super) fn retire_template(&mut self, now: Instant, key: &TemplateKey<'_>) {
        if let Some(old) = self.flows.find_template(key, now) {
            self.flows.table.retire_template(old);
        }
    }

    /// What keeps a connection, and with a key the template above it, from being made. A template there is already is
    /// `kept`.
    pub(super) fn full(
        &self,
        now: Instant,
        key: Option<&TemplateKey<'_>>,
        one_packet: bool,
        kept: u32,
    ) -> Option<DropReason> {
        let needed = usize::from(!one_packet) + usize::from(key.is_some());
        if key.is_some_and(|key| !key.data.is_empty()) && self.flows.records.is_full() {
            Some(DropReason::EngineFull)
        } else if !self.flows.has_room(needed, kept, self.settings.admission, now) {
            Some(DropReason::TableFull)
        } else {
            None
        }
    }

    /// Makes the template that binds a client's net to a server, with room left for the connection under it.
    pub(super) fn new_template(
        &mut self,
        now: Instant,
        mark: u32,
        slot: u32,
        server: u32,
        key: &TemplateKey<'_>,
        one_packet: bool,
    ) -> Result<u32, Refusal> {
        let needed = if one_packet { 1 } else { 2 };
        if !key.data.is_empty() && self.flows.records.is_full() {
            return Err(Refusal::Drop(DropReason::EngineFull));
        }
        if !self.flows.make_room(needed, NONE, self.settings.admission, &mut self.servers, now) {
            return Err(Refusal::Drop(DropReason::TableFull));
        }
        let service = self.control.services.get(slot);
        let spec = self.servers.spec(server);
        let ends = Ends {
            family: key.kind.family(),
            server_family: Family::of(spec.address.ip()),
            client: (key.client, 0),
            virtual_: key.virtual_,
            server: (Addr::from_ip(spec.address.ip()), key.port_of_server(spec.address.port())),
        };
        let mut entry = Entry::new(key.kind, &ends, new_flags(spec.method));
        let timeout = service.spec.persistence.map_or(0, |p| p.timeout.as_millis());
        entry.timeout_ms = u32::try_from(timeout).unwrap_or(u32::MAX);
        entry.server = server;
        entry.mark = mark;
        entry.touch(now);
        let added = self.flows.add_template(entry, key.data, &mut self.servers, now);
        added.ok_or(Refusal::Drop(DropReason::TableFull))
    }

    /// The connection of a packet to a server, not yet in the table.
    pub(super) fn new_connection(&self, service: u32, server: u32, port: u16, parsed: &Parsed, meta: Meta) -> Entry {
        let mut entry = self.entry_to(server, port, parsed);
        if self.control.services.get(service).spec.one_packet && parsed.is_udp() {
            entry.flags.set(Flags::ONE_PACKET);
        }
        entry.mark = meta.mark;
        entry
    }

    /// An entry for the flow of a packet, to a port of a server.
    pub(super) fn entry_to(&self, server: u32, port: u16, parsed: &Parsed) -> Entry {
        let (tuple, spec) = (&parsed.tuple, self.servers.spec(server));
        let ends = Ends {
            family: tuple.family,
            server_family: Family::of(spec.address.ip()),
            client: (tuple.source, tuple.source_port),
            virtual_: (tuple.destination, tuple.destination_port),
            server: (Addr::from_ip(spec.address.ip()), port),
        };
        let mut entry = Entry::new(Kind::connection(tuple.family, tuple.protocol), &ends, new_flags(spec.method));
        entry.server = server;
        entry
    }

    /// Puts a connection into the table, under a template if there is one, and counts it.
    pub(super) fn admit(&mut self, now: Instant, mut entry: Entry, template: u32) -> Result<Scheduled, Refusal> {
        let server = entry.server;
        let scheduled = if entry.flags.contains(Flags::ONE_PACKET) {
            entry.control = template;
            if template != NONE {
                let template = self.flows.table.slab.get_mut(template);
                template.in_packets = template.in_packets.wrapping_add(1);
            }
            Scheduled::OnePacket(entry)
        } else {
            entry.touch(now);
            if !self.flows.make_room(1, template, self.settings.admission, &mut self.servers, now) {
                return Err(Refusal::Drop(DropReason::TableFull));
            }
            let slot = self.flows.add(entry, &mut self.servers, now).ok_or(Refusal::Drop(DropReason::TableFull))?;
            if template != NONE {
                self.flows.control(slot, template);
            }
            Scheduled::Connection(slot)
        };
        if let Some(counters) = self.flows.counters_mut(server) {
            counters.connections = counters.connections.wrapping_add(1);
        }
        Ok(scheduled)
    }
}

/// What a scheduler is told of a packet. Of one that an ICMP error quotes it is told the quoted destination, which is the
/// client.
pub(super) const fn new_flow(now: Instant, parsed: &Parsed) -> NewFlow {
    let tuple = &parsed.tuple;
    NewFlow {
        now,
        family: tuple.family,
        protocol: tuple.protocol,
        client: tuple.source,
        client_port: tuple.source_port,
        target: if parsed.is_quoted { tuple.source } else { tuple.destination },
    }
}

/// A service that was found for another port than its own has nobody for the packet, unless it is persistent.
pub(super) fn port_mismatch(service: &Service, parsed: &Parsed) -> Option<Refusal> {
    let key = service.key();
    (!key.is_mark() && key.port() != parsed.tuple.destination_port).then(|| no_destination(service, parsed))
}

/// Nobody takes the packet: its sender is told, unless it came to the FTP service by detour.
pub(super) fn no_destination(service: &Service, parsed: &Parsed) -> Refusal {
    if service.key().port() == FTP_PORT && parsed.tuple.destination_port != FTP_PORT {
        Refusal::Pass(PassReason::FtpNoDestination)
    } else {
        Refusal::Error(ReplyReason::NoDestination)
    }
}
