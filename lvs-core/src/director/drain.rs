//! Taking a server out of service gently: no new connections, then nothing at all.
//!
//! A server that is being drained is quiesced as by weight 0, while its description stays; its connections go on. An
//! event tells when the last is gone. At a deadline it is decided what becomes of those that are left.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::Director;
use super::decision::{Decision, Refusal};
use super::track::change;
use crate::conn::entry::{Entry, Side};
use crate::conn::id::NONE;
use crate::error::ControlError;
use crate::event::Event;
use crate::flow::Protocol;
use crate::proto::{sctp, tcp};
use crate::service::ServerId;
use crate::time::Instant;
use crate::verdict::{DropReason, ReplyReason};
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};
use crate::wire::reset;

/// How a server is [drained](Director::drain).
///
/// ```
/// use lvs_core::{Drain, Instant, Rest};
///
/// // No new connections, not even of persistent clients; after ten minutes what is left is reset, and the server removed.
/// let how = Drain::new().until(Instant::from_secs(600), Rest::Reset).then_remove();
/// # let _ = how;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    deadline: Option<(Instant, Rest)>,
    keeps_templates: bool,
    removes: bool,
}

impl Drain {
    /// No new connections, whatever templates say; those there are end in their own time.
    #[must_use]
    pub const fn new() -> Self {
        Self { deadline: None, keeps_templates: false, removes: false }
    }

    /// At a deadline it is over: `rest` says what becomes of the connections that are left.
    #[must_use]
    pub const fn until(mut self, deadline: Instant, rest: Rest) -> Self {
        self.deadline = Some((deadline, rest));
        self
    }

    /// Clients whose persistence template names the server still reach it, with new connections too, as long as the
    /// template lives. Without this they get another server with their next new connection, as with
    /// `expire_quiescent_template`.
    #[must_use]
    pub const fn keep_templates(mut self) -> Self {
        self.keeps_templates = true;
        self
    }

    /// When it is drained, the server is removed from its service; at the deadline too, unless the rest is kept.
    #[must_use]
    pub const fn then_remove(mut self) -> Self {
        self.removes = true;
        self
    }
}

/// What becomes of connections that are left when a drain's deadline has come. A packet that opens a connection opens a
/// new one in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rest {
    /// They go on.
    Keep,
    /// Their packets are dropped ([`DropReason::Drained`]), in both directions. With the first of them a connection gets
    /// the timeout of a closed one.
    Drop,
    /// Their packets are answered in place, those of the server too: by a TCP reset ([`ReplyReason::Reset`]), other
    /// protocols' of the client by an ICMP port unreachable ([`ReplyReason::Drained`]); what cannot be answered is dropped.
    /// With the first of them a connection gets the timeout of a closed one.
    Reset,
}

/// Where a server is in its life.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// In service.
    Active,
    /// It gets no new connections, and has some left.
    Draining {
        /// When that is over, if ever.
        deadline: Option<Instant>,
    },
    /// It is being drained and has no connection left.
    Drained,
    /// In no service any more.
    Removed,
}

/// A drain under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draining {
    how: Drain,
    /// The deadline has come.
    is_over: bool,
    /// It was told that the last connection is gone.
    is_told: bool,
}

impl Director {
    /// Drains a server: it gets no new connections from the next packet on, while those it has go on. Its description, its
    /// weight with it, stays; [`undrain`](Director::undrain) makes it count again, editing the server does not.
    ///
    /// When the last connection is gone, the next [`advance`](Director::advance) tells so
    /// ([`Event::Drained`], [`ServerState::Drained`]). Unless templates are kept, they do not count. A connection that is
    /// closing is no obstacle to its client: a new one from the same port goes to another server.
    ///
    /// Draining again takes the new deadline and choices; connections that were cut off go on then.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Drain, Event, Instant, Meta, Packet, Rest};
    /// use lvs_core::testkit::packets;
    ///
    /// let mut director = Director::new(Config { events: 100, ..Config::with_seed(7) })?;
    /// director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m")?;
    /// let mut query = packets::udp("198.51.100.1:5353", "192.0.2.10:53").build();
    /// let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut query), Meta::default());
    ///
    /// let server = director.services()[0].servers[0].id;
    /// director.drain(server, Drain::new().until(Instant::from_secs(900), Rest::Drop).then_remove())?;
    /// // Five minutes later the flow has timed out.
    /// while director.advance(Instant::from_secs(301), 1000).more {}
    /// let events: Vec<Event> = std::iter::from_fn(|| director.poll_event()).collect();
    /// assert_eq!(events.last(), Some(&Event::Drained { server, removed: true }));
    /// assert!(director.services()[0].servers.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchServer`] if the server is in no service; then nothing has changed.
    pub fn drain(&mut self, server: ServerId, how: Drain) -> Result<(), ControlError> {
        let slot = self.server_in_service(server)?;
        self.servers.drain(slot, !how.keeps_templates);
        self.tell_scheduler(slot);
        self.control.drains.insert(slot, Draining { how, is_over: false, is_told: false });
        self.find_next_drain(how.deadline.map(|(at, _)| at));
        self.settle_drains();
        Ok(())
    }

    /// Ends a drain: the server has its weight again, and connections that were cut off go on. Nothing happens to a server
    /// that is not being drained.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Drain, ServerState};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -f 5 -s rr\n-a -f 5 -r 10.0.0.1 -m -w 3")?;
    /// let server = director.services()[0].servers[0].id;
    /// director.drain(server, Drain::new())?;
    /// assert_eq!(director.server(server).unwrap().state, ServerState::Drained);
    /// director.undrain(server)?;
    /// assert_eq!(director.server(server).unwrap().state, ServerState::Active);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchServer`] if the server is in no service.
    pub fn undrain(&mut self, server: ServerId) -> Result<(), ControlError> {
        let slot = self.server_in_service(server)?;
        if self.control.drains.remove(&slot).is_some() {
            self.servers.undrain(slot);
            self.grow_again(slot);
            self.tell_scheduler(slot);
        }
        Ok(())
    }

    /// The servers of an address, whatever their service and port: what a host that goes down has to be drained from.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Drain};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -f 1\n-A -f 2\n-a -f 1 -r 10.0.0.1 -m\n-a -f 2 -r 10.0.0.1:8080 -m\n-a -f 2 -r 10.0.0.2 -m")?;
    /// let there = director.servers_at("10.0.0.1".parse()?);
    /// assert_eq!(there.len(), 2);
    /// for server in there {
    ///     director.drain(server, Drain::new())?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn servers_at(&self, address: IpAddr) -> Vec<ServerId> {
        let servers = self.control.services.iter().flat_map(|service| &service.list);
        servers
            .filter(|&&slot| self.servers.spec(slot).address.ip() == address)
            .map(|&slot| self.servers.id(slot))
            .collect()
    }

    fn server_in_service(&self, server: ServerId) -> Result<u32, ControlError> {
        self.servers.is_available(server).then_some(server.slot).ok_or(ControlError::NoSuchServer)
    }

    pub(super) fn server_state(&self, slot: u32) -> ServerState {
        let live = self.servers.live(slot);
        match self.control.drains.get(&slot) {
            _ if !live.is_available() => ServerState::Removed,
            None => ServerState::Active,
            Some(_) if live.is_drained() => ServerState::Drained,
            Some(draining) => ServerState::Draining { deadline: draining.how.deadline.map(|(at, _)| at) },
        }
    }

    /// Where a service has a slow start, a server that was drained is as new.
    fn grow_again(&mut self, server: u32) {
        self.weight_was_set(server, 0);
    }

    /// The weight of a server in service is another.
    fn tell_scheduler(&mut self, server: u32) {
        let Some(slot) = self.control.services.slot(self.servers.get(server).owner) else { return };
        let service = self.control.services.get_mut(slot);
        let Some(position) = service.list.iter().position(|&other| other == server) else { return };
        service.tell(&self.servers, |scheduler, pool| scheduler.edited(position, pool));
        self.settle(slot);
    }

    fn find_next_drain(&mut self, at: Option<Instant>) {
        self.control.drain_at = [self.control.drain_at, at].into_iter().flatten().min();
    }

    /// Deadlines have come.
    pub(super) fn end_drains(&mut self, now: Instant) {
        let mut next = None;
        let due: Vec<(u32, Rest, bool)> = self
            .control
            .drains
            .iter_mut()
            .filter(|(_, draining)| !draining.is_over)
            .filter_map(|(&slot, draining)| {
                let (at, rest) = draining.how.deadline?;
                draining.is_over = at <= now;
                if !draining.is_over {
                    next = [next, Some(at)].into_iter().flatten().min();
                }
                draining.is_over.then_some((slot, rest, draining.how.removes))
            })
            .collect();
        self.control.drain_at = next;
        for (slot, rest, removes) in due {
            let (server, left) = (self.servers.id(slot), self.servers.live(slot).total);
            self.flows.events.push(|| Event::DrainDeadline { server, left });
            if rest != Rest::Keep {
                self.servers.cut_off(slot, rest == Rest::Reset);
                if removes {
                    self.finish_drain(slot, true);
                }
            }
        }
    }

    /// Tells of servers whose last connection is gone, and removes those that are to be removed.
    pub(super) fn settle_drains(&mut self) {
        while let Some(slot) = self.servers.take_drained() {
            let removes = match self.control.drains.get_mut(&slot) {
                Some(draining) if !draining.is_told && self.servers.live(slot).is_drained() => {
                    draining.is_told = true;
                    draining.how.removes
                }
                _ => continue,
            };
            self.finish_drain(slot, removes);
        }
    }

    fn finish_drain(&mut self, slot: u32, removes: bool) {
        let server = self.servers.id(slot);
        let service = self.control.services.slot(self.servers.get(slot).owner);
        if removes && let Some(service) = service {
            let list = &self.control.services.get(service).list;
            if let Some(position) = list.iter().position(|&other| other == slot) {
                self.take_server_out(service, position);
                self.settle(service);
            }
        }
        self.flows.events.push(|| Event::Drained { server, removed: removes });
    }

    /// True if packets of this server's connections go nowhere any more.
    #[inline]
    pub(super) fn is_cut_off(&self, server: u32) -> bool {
        server != NONE && self.servers.live(server).standing().is_cut_off()
    }

    /// True for a connection of a draining server that a packet which opens one must not go on with: it is closing.
    #[cold]
    pub(super) fn has_left_draining_server(&self, entry: &Entry) -> bool {
        let live = self.servers.live(entry.server);
        let is_kept = entry.control != NONE && !live.gives_templates_up();
        live.is_draining() && !is_kept && is_closing(entry)
    }

    /// What a packet that goes nowhere draws.
    pub(super) fn answer_cut_off(&self, slot: u32, parsed: &Parsed, side: Side) -> CutOff {
        let entry = self.flows.table.slab.get(slot);
        let resets = self.servers.live(entry.server).standing().resets();
        match Protocol::from_number(entry.protocol()) {
            _ if !resets => CutOff::Silence,
            Some(Protocol::Tcp) if parsed.shape == Shape::Whole && !parsed.tcp_flags.rst() => CutOff::Reset,
            Some(Protocol::Tcp) => CutOff::Silence,
            _ if side == Side::Client => CutOff::Unreachable,
            _ => CutOff::Silence,
        }
    }

    /// A packet of a connection whose server was drained up to its deadline. The connection closes.
    #[cold]
    pub(super) fn cut_off(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        parsed: &Parsed,
        slot: u32,
        side: Side,
    ) -> Decision {
        let answer = self.answer_cut_off(slot, parsed, side);
        let closed_ms = self.settings.timeouts.tcp_ms(tcp::CLOSE);
        let entry = self.flows.table.slab.get_mut(slot);
        let is_tcp = Protocol::from_number(entry.protocol()) == Some(Protocol::Tcp);
        if is_tcp {
            change(entry, tcp::CLOSE, false, false, &mut self.servers);
        }
        if entry.expires > now.plus_millis(closed_ms) {
            entry.timeout_ms = closed_ms;
            self.flows.touch(slot, now);
        }
        match answer {
            CutOff::Silence => Decision::Drop(DropReason::Drained),
            CutOff::Unreachable => self.refuse(packet, parsed, Refusal::Error(ReplyReason::Drained)),
            CutOff::Reset => {
                reset::replace(packet, parsed);
                Decision::Reply(ReplyReason::Reset)
            }
        }
    }
}

/// What a packet of a connection that was cut off draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutOff {
    Silence,
    Reset,
    Unreachable,
}

fn is_closing(entry: &Entry) -> bool {
    match Protocol::from_number(entry.protocol()) {
        Some(Protocol::Tcp) => {
            matches!(entry.state, tcp::FIN_WAIT | tcp::TIME_WAIT | tcp::CLOSE | tcp::CLOSE_WAIT | tcp::LAST_ACK)
        }
        Some(Protocol::Sctp) => entry.state >= sctp::SHUTDOWN_SENT,
        _ => false,
    }
}
