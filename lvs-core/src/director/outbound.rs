//! What a real server sends that belongs to no connection, and the gate in front of the packet path.
//!
//! Follows: IPVS. A server of a service with a persistence engine may begin a conversation of its own, which then looks
//! as if it came from the virtual address. With `nat_icmp_send` a server is told that nobody knows its packet.

use core::net::SocketAddr;

use super::Director;
use super::decision::{Decision, Refusal, Scheduled};
use super::transmit::{new_flags, plan_out};
use crate::addr::{Addr, Family};
use crate::config::{Hook, Meta};
use crate::conn::entry::{Ends, Entry, Flags, Kind};
use crate::conn::flows::{bind, unbind};
use crate::conn::id::NONE;
use crate::forward::rewrite;
use crate::persist::{self, TemplateKey};
use crate::service::ServiceKey;
use crate::time::Instant;
use crate::verdict::{DropReason, ReplyReason};
use crate::wire::icmp::IcmpError;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};
use crate::wire::transport::SCTP_ABORT;

/// What is to become of a packet that no connection knows as a server's.
#[derive(Clone, Copy, Debug)]
pub(super) enum ServerCourse<'a> {
    /// It is no server's, or nothing special.
    Nothing,
    /// It begins a conversation.
    Begins(Beginning<'a>),
    /// Its server is told that nobody knows it.
    Unknown { server: u32 },
}

/// A conversation that a server begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning<'a> {
    pub(super) service: u32,
    pub(super) server: u32,
    /// The virtual end that it seems to come from.
    pub(super) virtual_: SocketAddr,
    /// The key of its template, if the service is persistent.
    key: Option<TemplateKey<'a>>,
}

impl Director {
    /// A packet that no connection knows as a server's, if it is one nevertheless.
    #[cold]
    pub(super) fn decide_of_server(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
    ) -> Option<Decision> {
        let begun = match self.server_course(packet.bytes(), meta, parsed) {
            ServerCourse::Nothing => return None,
            ServerCourse::Unknown { server } => return Some(self.tell_server(packet, parsed, meta.hook, server)),
            ServerCourse::Begins(beginning) => self.begin(now, parsed, &beginning),
        };
        Some(match begun {
            Ok((Scheduled::Connection(slot), _)) => self.reply(now, packet, meta, parsed, slot),
            Ok((Scheduled::OnePacket(entry), template)) => self.reply_once(packet, meta, parsed, entry, template),
            Err(refusal) => self.refuse(packet, parsed, refusal),
        })
    }

    /// What is to become of a packet that no connection knows as a server's. `bytes` are the packet's.
    pub(super) fn server_course<'a>(&self, bytes: &'a [u8], meta: Meta, parsed: &Parsed) -> ServerCourse<'a> {
        let tuple = &parsed.tuple;
        let end = SocketAddr::new(tuple.source.to_ip(tuple.family), tuple.source_port);
        let Some(server) = self.servers.at(end, tuple.protocol) else { return ServerCourse::Nothing };
        // Of one that was drained up to its deadline nothing begins.
        let leaves = (meta.hook == Hook::Forward || meta.from_host) && !self.is_cut_off(server);
        if leaves && let Some(beginning) = self.beginning(bytes, parsed, server) {
            return ServerCourse::Begins(beginning);
        }
        let ends_by_itself = parsed.tcp_flags.rst() || parsed.sctp_chunk == Some(SCTP_ABORT);
        if self.settings.tunables.nat_icmp_send != 0 && !ends_by_itself {
            return ServerCourse::Unknown { server };
        }
        ServerCourse::Nothing
    }

    /// The conversation that a packet of a server begins, if its service's engine allows it to.
    fn beginning<'a>(&self, bytes: &'a [u8], parsed: &Parsed, server: u32) -> Option<Beginning<'a>> {
        let slot = self.control.services.slot(self.servers.get(server).owner)?;
        let service = self.control.services.get(slot);
        let ServiceKey::Address { address: virtual_, .. } = *service.key() else { return None };
        let has_ports = virtual_.port() != 0 && parsed.tuple.source_port != 0;
        if service.spec.engine.is_none()
            || !parsed.is_udp()
            || !matches!(parsed.shape, Shape::Whole | Shape::FirstPart)
            || !has_ports
        {
            return None;
        }
        let key = match service.spec.persistence {
            Some(_) => {
                let virtual_ = (Addr::from_ip(virtual_.ip()), virtual_.port());
                Some(persist::template_key_outbound(service, virtual_, parsed, bytes).ok()?)
            }
            None => None,
        };
        Some(Beginning { service: slot, server, virtual_, key })
    }

    /// The template of a beginning conversation, if there is one and it has this very server.
    fn template_of(&self, now: Instant, key: &TemplateKey<'_>, server: u32) -> Option<u32> {
        self.valid_template(now, key).filter(|&template| self.flows.table.slab.get(template).server == server)
    }

    /// Why the conversation cannot begin, if so.
    pub(super) fn no_room_to_begin(&self, now: Instant, beginning: &Beginning<'_>) -> Option<DropReason> {
        let one_packet = self.control.services.get(beginning.service).spec.one_packet;
        let template = beginning.key.as_ref().and_then(|key| self.template_of(now, key, beginning.server));
        let key = beginning.key.as_ref().filter(|_| template.is_none());
        self.full(now, key, one_packet, template.unwrap_or(NONE))
    }

    /// Makes the connection of a conversation that a server begins, and the template above it.
    fn begin(&mut self, now: Instant, parsed: &Parsed, beginning: &Beginning<'_>) -> Result<(Scheduled, u32), Refusal> {
        let Beginning { service, server, .. } = *beginning;
        let one_packet = self.control.services.get(service).spec.one_packet;
        let template = match &beginning.key {
            None => NONE,
            Some(key) => match self.template_of(now, key, server) {
                Some(template) => template,
                None => {
                    self.retire_template(now, key);
                    self.new_template(now, 0, service, server, key, one_packet)?
                }
            },
        };
        let mut entry = self.begun(beginning, parsed);
        if one_packet {
            entry.flags.set(Flags::ONE_PACKET);
        }
        let scheduled = self.admit(now, entry, template)?;
        if template != NONE {
            self.flows.touch(template, now);
        }
        Ok((scheduled, template))
    }

    /// The connection of a conversation that a server begins, not yet in the table.
    fn begun(&self, beginning: &Beginning<'_>, parsed: &Parsed) -> Entry {
        let (tuple, spec) = (&parsed.tuple, self.servers.spec(beginning.server));
        let ends = Ends {
            family: tuple.family,
            server_family: Family::of(spec.address.ip()),
            client: (tuple.destination, tuple.destination_port),
            virtual_: (Addr::from_ip(beginning.virtual_.ip()), beginning.virtual_.port()),
            server: (tuple.source, tuple.source_port),
        };
        let mut entry = Entry::new(Kind::connection(tuple.family, tuple.protocol), &ends, new_flags(spec.method));
        entry.server = beginning.server;
        entry
    }

    /// A packet of a server on a connection that is over with it.
    fn reply_once(
        &mut self,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        entry: Entry,
        template: u32,
    ) -> Decision {
        if let Err(reason) = rewrite(packet, parsed, &plan_out(&entry), meta.checksum) {
            return Decision::Drop(reason);
        }
        let server = entry.server;
        // Bound and unbound again, which may lift or bring about an overload.
        bind(&entry, &mut self.servers, &mut self.flows.events);
        if template != NONE {
            self.flows.assure(template);
        }
        self.count_out(server, parsed.len);
        unbind(&entry, &mut self.servers, &mut self.flows.events);
        Decision::FromServer { server }
    }

    /// Answers a server's packet that nobody knows.
    fn tell_server(&self, packet: &mut Packet<'_>, parsed: &Parsed, hook: Hook, server: u32) -> Decision {
        match self.error_source_towards(server, hook, parsed) {
            Ok(source) => Self::answer(packet, parsed, IcmpError::PortUnreachable, source, ReplyReason::NoConnection),
            Err(reason) => Decision::Drop(reason),
        }
    }
}
