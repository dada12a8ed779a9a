//! Connections with a helper: their segments are read, the data connections that they name are made, and what they say
//! of addresses is replaced.
//!
//! First everything is found out without a change ([`Wish`]), so that `explain` sees the same; then it is carried out.
//! Follows: the FTP helper of IPVS, with the order of its steps: checksum, sequence numbers, text, then address and port.

use core::ops::Range;

use super::Director;
use super::decision::{Decision, Outcome};
use super::transmit::new_flags;
use crate::addr::{Addr, Family};
use crate::app::ftp::{self, Command, Mode, Text};
use crate::app::segment::{self, Segment};
use crate::app::sessions::Session;
use crate::config::{Checksum, Meta};
use crate::conn::entry::{Ends, Entry, Flags, Kind};
use crate::conn::id::NONE;
use crate::error::ControlError;
use crate::flow::Tuple;
use crate::proto::tcp;
use crate::service::Method;
use crate::time::Instant;
use crate::verdict::{Direction, DropReason, Forward, Verdict};
use crate::wire::ipv6;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};

/// What a helper wants to be done for a segment.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// The session after the segment.
    session: Session,
    /// False for a segment that cannot belong to the conversation.
    belongs: bool,
    /// The data connection that is expected from now on.
    data: Option<Data>,
    /// What stands where in the packet instead.
    text: Option<(Range<usize>, Text)>,
}

/// A control connection as one of its segments finds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control<'a> {
    /// Where it is, or [`NONE`] if it is yet to be made.
    pub(super) slot: u32,
    pub(super) entry: &'a Entry,
    /// The state that decides whether the text is read.
    pub(super) state: u8,
}

/// An expected data connection.
#[derive(Clone, Debug)]
enum Data {
    /// It is there already.
    Known(u32),
    New(Entry),
}

/// The longest IPv4 packet, and the longest payload of an IPv6 one.
const LONGEST: usize = 65_535;

impl Director {
    /// Turns the FTP helper on for services of these ports, as the kernel's module `ip_vs_ftp` does for 21; none turns
    /// it off. Connections that are there already keep what they have. 0 stands for no port.
    ///
    /// TCP connections to such a port that are forwarded by NAT are read from then on: the endpoints that PORT, EPRT,
    /// and the answers to PASV and EPSV name become connections under the control connection, and what a server
    /// announces is replaced by the virtual address (RFC 959, RFC 2428, as Linux 6.1.192 does). Their packets should
    /// have 16 bytes of room behind or in front of them: an announcement may grow by so much. A segment of
    /// the client that acknowledges what was never said is dropped, as the kernel's connection tracking brings about;
    /// data connections are not watched so closely.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.set_ftp_ports(&[21, 2121])?;
    /// assert!(director.proc_file("ip_vs_app").unwrap().contains("TCP  2121    0      ftp"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::PortTwice`], [`ControlError::TooManyPorts`] for more than eight, [`ControlError::OutOfMemory`]
    /// for the records of control connections; then nothing has changed.
    pub fn set_ftp_ports(&mut self, ports: &[u16]) -> Result<(), ControlError> {
        let connections = self.flows.table.slab.capacity();
        self.flows.sessions.set_ports(ports, connections)
    }

    /// The ports with the FTP helper.
    pub fn ftp_ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.flows.sessions.ports()
    }

    /// A client's packet on a connection with a helper, or on one that waits for its client's port.
    #[cold]
    #[inline(never)]
    pub(super) fn forward_unusual(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        slot: u32,
    ) -> Decision {
        let entry = self.flows.table.slab.get(slot);
        let (flags, server) = (entry.flags, entry.server);
        if flags.contains(Flags::NO_CLIENT_PORT) && entry.method() == Method::Nat {
            let port = parsed.tuple.source_port;
            self.flows.rekey(slot, |entry| entry.learn_client_port(port));
        }
        let outcome = self.plan_in(self.flows.table.slab.get(slot), parsed);
        if matches!(outcome, Outcome::Send(_)) && flags.intersects(Flags::DATA) {
            let watched = self.watch_data(packet, meta, parsed, self.flows.table.slab.get(slot));
            let entry = self.flows.table.slab.get_mut(slot);
            entry.flags = entry.flags.with_masked(watched.seen, Flags::DATA);
            if !watched.goes_on {
                return Decision::Drop(DropReason::TransportChecksum);
            }
        }
        if matches!(outcome, Outcome::Send(_))
            && flags.contains(Flags::HELPED)
            && let Err(reason) = self.help_client(now, packet, meta, parsed, slot)
        {
            return Decision::Drop(reason);
        }
        if matches!(outcome, Outcome::Refuse(_)) {
            self.overhear_client(packet, meta, parsed, slot);
        }
        match self.send_in(packet, meta, parsed, &outcome, server, slot) {
            Decision::ToServer { server, connection, method: Method::Nat } if flags.contains(Flags::ELSEWHERE) => {
                Decision::Elsewhere { server, connection }
            }
            decision => decision,
        }
    }

    /// A client's packet that goes no further was said all the same: the server will not see it, but numbers count.
    #[cold]
    #[inline(never)]
    pub(super) fn overhear_client(&mut self, packet: &Packet<'_>, meta: Meta, parsed: &Parsed, slot: u32) {
        let entry = self.flows.table.slab.get(slot);
        if !entry.flags.contains(Flags::HELPED) || !parsed.is_tcp() {
            return;
        }
        let record = entry.helper;
        if let Ok((mut session, Some(segment))) = self.listen(packet, meta, parsed, entry)
            && session.follow_client(&segment)
            && let Some(kept) = self.flows.sessions.get_mut(record)
        {
            *kept = session;
        }
    }

    /// What watching a data connection makes of a client's segment. A kernel's connection tracking knows the connection by
    /// its first segment, right or wrong, and drops what then seems to open the same connection once more: the segments of
    /// the other kind.
    pub(super) fn watch_data(&self, packet: &Packet<'_>, meta: Meta, parsed: &Parsed, entry: &Entry) -> Watched {
        let known = entry.flags.masked(Flags::DATA);
        if entry.method() != Method::Nat || !seems_to_open(parsed) {
            return Watched { goes_on: true, seen: known };
        }
        let seen = if is_intact(packet, meta, parsed) { Flags::DATA_RIGHT } else { Flags::DATA_WRONG };
        if known == Flags::DATA_UNSEEN {
            Watched { goes_on: true, seen }
        } else {
            Watched { goes_on: known == seen, seen: known }
        }
    }

    /// A server's segment on a data connection: a right one may be the first.
    #[cold]
    #[inline(never)]
    pub(super) fn overhear_data(&mut self, packet: &Packet<'_>, meta: Meta, parsed: &Parsed, slot: u32) {
        let entry = self.flows.table.slab.get_mut(slot);
        let is_unseen = entry.flags.masked(Flags::DATA) == Flags::DATA_UNSEEN;
        if is_unseen && seems_to_open(parsed) && is_intact(packet, meta, parsed) {
            entry.flags = entry.flags.with_masked(Flags::DATA_RIGHT, Flags::DATA);
        }
    }

    /// Is this a packet in the middle of a connection that a kernel's connection tracking watches for a helper? Where such a
    /// packet ends the connection of IPVS it goes no further.
    #[cold]
    #[inline(never)]
    pub(super) fn is_watched(&self, packet: &Packet<'_>, meta: Meta, parsed: &Parsed, slot: u32) -> bool {
        let entry = self.flows.table.slab.get(slot);
        let flags = parsed.tcp_flags;
        if entry.method() != Method::Nat
            || !entry.flags.intersects(Flags::HELPED.and(Flags::DATA))
            || self.settings.tunables.expire_nodest_conn == 0
            || self.is_cut_off(entry.server)
            || flags.syn() && (flags.ack() || matches!(entry.state, tcp::TIME_WAIT | tcp::CLOSE))
            || !(flags.syn() || flags.ack() || flags.fin() || flags.rst())
        {
            return false;
        }
        if entry.flags.intersects(Flags::DATA) {
            return entry.flags.masked(Flags::DATA) == Flags::DATA_RIGHT && is_intact(packet, meta, parsed);
        }
        match self.listen(packet, meta, parsed, entry) {
            Ok((session, Some(segment))) => flags.syn() || session.expects_of_client(&segment),
            _ => false,
        }
    }

    /// The verdict on a packet to a server that is not where its service has it.
    #[cold]
    #[inline(never)]
    pub(super) fn to_elsewhere(&self, server: u32, connection: u32) -> Verdict {
        Verdict::Forward(Forward {
            next_hop: self.next_hop(self.flows.table.slab.get(connection)),
            direction: Direction::ToServer,
            method: Method::Nat,
            connection: Some(self.flows.table.slab.id(connection)),
            server: Some(self.servers.id(server)),
        })
    }

    fn help_client(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        slot: u32,
    ) -> Result<(), DropReason> {
        let entry = self.flows.table.slab.get(slot);
        let wish = self.hear_client(now, packet, meta, parsed, Control { slot, entry, state: entry.state })?;
        let Wish { session, belongs, data, .. } = wish;
        self.keep(now, slot, session, data)?;
        if !belongs {
            return Err(DropReason::OutOfWindow);
        }
        if session.is_corrected() {
            segment::correct(packet.bytes_mut(), parsed, &session.from_client, &session.from_server, meta.checksum);
        }
        Ok(())
    }

    /// A server's packet, before its source is replaced. The result is the packet after it.
    #[cold]
    #[inline(never)]
    pub(super) fn help_server(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        slot: u32,
    ) -> Result<Parsed, DropReason> {
        let entry = self.flows.table.slab.get(slot);
        let wish = self.hear_server(now, packet, meta, parsed, Control { slot, entry, state: entry.state })?;
        let Wish { session, belongs, data, text } = wish;
        self.keep(now, slot, session, data)?;
        let mut parsed = *parsed;
        if let Some((span, text)) = text {
            if !belongs {
                return Err(DropReason::OutOfWindow);
            }
            if !segment::splice(packet, &mut parsed, &span, text.as_bytes(), meta.checksum) {
                return Err(DropReason::NoTailroom);
            }
        }
        if belongs && session.is_corrected() {
            segment::correct(packet.bytes_mut(), &parsed, &session.from_server, &session.from_client, meta.checksum);
        }
        Ok(parsed)
    }

    /// What the helper of a connection makes of a client's packet, with which the connection has come to `state`.
    pub(super) fn hear_client(
        &self,
        now: Instant,
        packet: &Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        control: Control<'_>,
    ) -> Result<Wish, DropReason> {
        let Control { entry, state, .. } = control;
        let (mut session, segment) = self.listen(packet, meta, parsed, entry)?;
        let belongs = segment.is_some_and(|segment| session.follow_client(&segment));
        let mut data = None;
        if let Some(payload) = spoken(packet, parsed, segment, state) {
            match ftp::command(payload, entry.family()) {
                Some(Command::Announce(mode)) => session.mode = mode,
                Some(Command::Connect(address, port)) => {
                    session.mode = Mode::Active;
                    data = Some(self.active(now, meta, control, (address, port))?);
                }
                None => {}
            }
        }
        Ok(Wish { session, belongs, data, text: None })
    }

    /// The same for a server's packet.
    pub(super) fn hear_server(
        &self,
        now: Instant,
        packet: &Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        control: Control<'_>,
    ) -> Result<Wish, DropReason> {
        let Control { entry, state, .. } = control;
        let (mut session, segment) = self.listen(packet, meta, parsed, entry)?;
        let belongs = segment.is_some_and(|segment| session.follow_server(&segment));
        let quiet = Wish { session, belongs, data: None, text: None };
        let Some(payload) = spoken(packet, parsed, segment, state) else { return Ok(quiet) };
        let (mode, family) = (session.mode, entry.family());
        let (Some(segment), Some(found)) = (segment, ftp::announcement(payload, mode, family, entry.server_address()))
        else {
            return Ok(quiet);
        };
        let data = self.passive(now, meta, control, (found.address, found.port))?;
        let shown = match &data {
            Data::Known(slot) => self.flows.table.slab.get(*slot),
            Data::New(entry) => entry,
        };
        let text = ftp::announce(mode, shown.virtual_address(), shown.virtual_port);
        let (old, new) = (found.span.len(), text.as_bytes().len());
        session.mode = Mode::Active;
        if belongs {
            may_be_resized(packet, parsed, old, new)?;
            session.from_server.resized(segment.sequence, old, new);
        }
        let span = segment.payload + found.span.start..segment.payload + found.span.end;
        Ok(Wish { session, belongs, data: Some(data), text: Some((span, text)) })
    }

    /// The session of a connection, and the segment if it can be read.
    fn listen(
        &self,
        packet: &Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        entry: &Entry,
    ) -> Result<(Session, Option<Segment>), DropReason> {
        if parsed.shape != Shape::Whole {
            return Err(DropReason::TruncatedTransport);
        }
        if meta.checksum == Checksum::Unverified && !segment::is_right(packet.bytes(), parsed) {
            return Err(DropReason::TransportChecksum);
        }
        let session = self.flows.sessions.get(entry.helper).copied().unwrap_or_default();
        Ok((session, Segment::read(packet.bytes(), parsed)))
    }

    /// The data connection that the server is to open to an endpoint, from the port below its own.
    fn active(&self, now: Instant, meta: Meta, control: Control<'_>, client: (Addr, u16)) -> Result<Data, DropReason> {
        let entry = control.entry;
        let virtual_ = (entry.virtual_address(), entry.virtual_port.wrapping_sub(1));
        let kind = Kind::connection(entry.family(), entry.protocol());
        let tuple = tuple(kind, client, virtual_);
        let table = &self.flows.table;
        match table.find_request(&tuple, now).or_else(|| table.find_waiting(&tuple, now)) {
            Some(slot) => Ok(Data::Known(slot)),
            None => {
                let server = (entry.server_address(), entry.server_port.wrapping_sub(1));
                self.data_connection(now, meta, control, kind, [client, virtual_, server])
            }
        }
    }

    /// The data connection that the client is to open, from whatever port, to an endpoint that the server announces.
    fn passive(&self, now: Instant, meta: Meta, control: Control<'_>, server: (Addr, u16)) -> Result<Data, DropReason> {
        let entry = control.entry;
        let client = (entry.client(), 0);
        let kind = Kind::connection(entry.family(), entry.protocol()).without_client_port();
        match self.flows.table.find_waiting_server(&tuple(kind, server, client), now) {
            Some(slot) => Ok(Data::Known(slot)),
            None => {
                let virtual_ = (entry.virtual_address(), server.1);
                self.data_connection(now, meta, control, kind, [client, virtual_, server])
            }
        }
    }

    fn data_connection(
        &self,
        now: Instant,
        meta: Meta,
        control: Control<'_>,
        kind: Kind,
        [client, virtual_, server]: [(Addr, u16); 3],
    ) -> Result<Data, DropReason> {
        let above = control.entry;
        let (family, server_family) = (above.family(), above.server_family());
        let method = if above.server == NONE { above.method() } else { self.servers.spec(above.server).method };
        let ends = Ends { family, server_family, client, virtual_, server };
        let mut entry = Entry::new(kind, &ends, new_flags(method));
        entry.server = above.server;
        entry.flags.set(Flags::DATA_UNSEEN);
        if server.0 != above.server_address() {
            entry.flags.set(Flags::ELSEWHERE);
        }
        entry.mark = meta.mark;
        if !self.flows.has_room(1, control.slot, self.settings.admission, now) {
            return Err(DropReason::TableFull);
        }
        Ok(Data::New(entry))
    }

    /// Keeps what has come of a segment: the session, and the data connection, which listens from now on.
    fn keep(&mut self, now: Instant, control: u32, session: Session, data: Option<Data>) -> Result<(), DropReason> {
        let record = self.flows.table.slab.get(control).helper;
        if let Some(kept) = self.flows.sessions.get_mut(record) {
            *kept = session;
        }
        let timeout_ms = self.settings.timeouts.tcp_ms(tcp::LISTEN);
        match data {
            None => {}
            Some(Data::Known(slot)) => {
                let entry = self.flows.table.slab.get_mut(slot);
                (entry.state, entry.timeout_ms) = (tcp::LISTEN, timeout_ms);
                self.flows.touch(slot, now);
            }
            Some(Data::New(mut entry)) => {
                (entry.state, entry.timeout_ms) = (tcp::LISTEN, timeout_ms);
                entry.touch(now);
                if !self.flows.make_room(1, control, self.settings.admission, &mut self.servers, now) {
                    return Err(DropReason::TableFull);
                }
                let slot = self.flows.add(entry, &mut self.servers, now).ok_or(DropReason::TableFull)?;
                self.flows.control(slot, control);
            }
        }
        Ok(())
    }
}

/// What watching a data connection makes of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) goes_on: bool,
    /// What is known of the connection from now on.
    seen: Flags,
}

/// Could a connection begin with this segment, as connection tracking sees it? One may be taken up in its middle.
const fn seems_to_open(parsed: &Parsed) -> bool {
    let flags = parsed.tcp_flags;
    !flags.rst() && !flags.fin() && flags.syn() != flags.ack()
}

/// Is the checksum of a segment right?
fn is_intact(packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> bool {
    meta.checksum != Checksum::Unverified || segment::is_right(packet.bytes(), parsed)
}

impl Wish {
    /// Why a packet with this wish is dropped, if so.
    pub(super) fn obstacle(&self, is_request: bool) -> Option<DropReason> {
        (!self.belongs && (is_request || self.text.is_some())).then_some(DropReason::OutOfWindow)
    }
}

const fn tuple(kind: Kind, source: (Addr, u16), destination: (Addr, u16)) -> Tuple {
    Tuple {
        family: kind.family(),
        protocol: kind.protocol(),
        source: source.0,
        source_port: source.1,
        destination: destination.0,
        destination_port: destination.1,
    }
}

/// The payload of a segment that a helper reads: there is one, and the connection is established.
fn spoken<'a>(packet: &'a Packet<'_>, parsed: &Parsed, segment: Option<Segment>, state: u8) -> Option<&'a [u8]> {
    let segment = segment.filter(|segment| segment.len > 0 && state == tcp::ESTABLISHED)?;
    packet.bytes().get(segment.payload..parsed.len)
}

/// Is there room for a text of another length, in the buffer and in IP's length fields?
fn may_be_resized(packet: &Packet<'_>, parsed: &Parsed, old: usize, new: usize) -> Result<(), DropReason> {
    let more = new.saturating_sub(old);
    let counted = match parsed.tuple.family {
        Family::V4 => parsed.len,
        Family::V6 => parsed.len - ipv6::LEN,
    };
    if counted + more > LONGEST {
        return Err(DropReason::TooLong);
    }
    if packet.has_room_for(parsed.len, more) { Ok(()) } else { Err(DropReason::NoTailroom) }
}
