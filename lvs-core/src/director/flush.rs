//! Ending connections before their time, by what they have in common.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::Director;
use crate::addr::{Addr, Family};
use crate::conn::ConnId;
use crate::conn::entry::Entry;
use crate::conn::id::NONE;
use crate::error::ControlError;
use crate::event::Gone;
use crate::flow::Protocol;
use crate::proto::{FlowState, state_name};
use crate::service::{ServerId, ServiceId};

/// Which connections [`Director::flush`] ends: those that have everything in common with it that it names.
///
/// ```
/// use lvs_core::{Filter, Protocol};
///
/// let half_open = Filter::all().protocol(Protocol::Tcp).state("SYN_RECV")?;
/// let of_a_net = Filter::all().client("198.51.100.0".parse()?, 24);
/// assert!(Filter::all().state("HALF_OPEN").unwrap_err().to_string().contains("expected ESTABLISHED, SYN_SENT, SYN_RECV"));
/// # let _ = (half_open, of_a_net);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    server: Option<ServerId>,
    service: Option<ServiceId>,
    client: Option<(IpAddr, u8)>,
    protocol: Option<Protocol>,
    state: Option<&'static str>,
}

impl Filter {
    /// All connections, and all templates.
    #[must_use]
    pub const fn all() -> Self {
        Self { server: None, service: None, client: None, protocol: None, state: None }
    }

    /// Those of one server, which may have been removed from its service.
    #[must_use]
    pub const fn server(server: ServerId) -> Self {
        Self { server: Some(server), ..Self::all() }
    }

    /// Those of the servers that one service has now.
    #[must_use]
    pub const fn service(service: ServiceId) -> Self {
        Self { service: Some(service), ..Self::all() }
    }

    /// Of those, the ones of clients in a net: an address of it, and how many of its bits count. A template has the
    /// address that persistence made of its clients'.
    #[must_use]
    pub const fn client(mut self, net: IpAddr, prefix: u8) -> Self {
        self.client = Some((net, prefix));
        self
    }

    /// Of those, the ones of a protocol.
    #[must_use]
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Of those, the ones in a state, by the [name](FlowState::name) that listings have for it. Templates are in none.
    ///
    /// # Errors
    /// [`ControlError::NoSuchState`] if no state has this name.
    pub fn state(mut self, name: &str) -> Result<Self, ControlError> {
        let known = FlowState::all().map(FlowState::name).find(|&known| known == name);
        self.state = Some(known.ok_or(ControlError::NoSuchState)?);
        Ok(self)
    }
}

/// What [`Director::flush_some`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Connections and templates that were ended.
    pub ended: usize,
    /// True if the table was not looked through to its end.
    pub more: bool,
}

impl Director {
    /// Ends connections and templates at once, and says how many. Nobody is told of it: their next packets are those of no
    /// connection.
    ///
    /// Only the connections of the server, or of the servers of the service, are looked at if the filter names one: the
    /// work is proportional to their number. Else every place of the table is; [`flush_some`](Director::flush_some) does
    /// that in parts. A template, or connection, that controls others which stay, stays too.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Filter, Instant, Meta, Packet};
    /// use lvs_core::testkit::packets;
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.1 -m")?;
    /// let mut query = packets::udp("198.51.100.1:5353", "192.0.2.10:53").build();
    /// let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut query), Meta::default());
    ///
    /// // The server is dead: its flows shall find another, now and not in five minutes.
    /// let server = director.services()[0].servers[0].id;
    /// assert_eq!(director.flush(&Filter::server(server))?, 1);
    /// assert_eq!(director.connection_count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchServer`], [`ControlError::NoSuchService`]; then nothing has changed.
    pub fn flush(&mut self, filter: &Filter) -> Result<usize, ControlError> {
        let ended = match self.flushed_servers(filter)? {
            Some(servers) => servers.into_iter().map(|server| self.flush_server(server, filter)).sum(),
            None => {
                let slots: Vec<u32> = self.flows.table.slab.slots().collect();
                slots.into_iter().map(|slot| self.flush_slot(slot, filter, &mut NONE.clone())).sum()
            }
        };
        self.settle_drains();
        Ok(ended)
    }

    /// The same in parts: looks at up to `budget` places of the table from `place` on, which is 0 at first and is moved on.
    /// Connections that are made meanwhile may be missed.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Filter};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let filter = Filter::all().client("198.51.100.0".parse()?, 24);
    /// let mut place = 0;
    /// while director.flush_some(&filter, &mut place, 1000)?.more {
    ///     // packets are processed in between
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`flush`](Director::flush).
    pub fn flush_some(&mut self, filter: &Filter, place: &mut usize, budget: usize) -> Result<Flushed, ControlError> {
        self.flushed_servers(filter)?;
        let places = self.flows.table.slab.slots_used() as usize;
        let end = place.saturating_add(budget.max(1)).min(places);
        let mut ended = 0;
        for slot in *place..end {
            if let Ok(slot) = u32::try_from(slot) {
                ended += self.flush_slot(slot, filter, &mut NONE.clone());
            }
        }
        *place = end;
        self.settle_drains();
        Ok(Flushed { ended, more: end < places })
    }

    /// The servers whose connections are to be looked at; `None` for all connections there are.
    fn flushed_servers(&self, filter: &Filter) -> Result<Option<Vec<u32>>, ControlError> {
        if let Some(server) = filter.server {
            let slot = self.servers.slot(server).ok_or(ControlError::NoSuchServer)?;
            return Ok(Some(alloc::vec![slot]));
        }
        let Some(service) = filter.service else { return Ok(None) };
        let slot = self.control.services.slot(service).ok_or(ControlError::NoSuchService)?;
        Ok(Some(self.control.services.get(slot).list.to_vec()))
    }

    fn flush_server(&mut self, server: u32, filter: &Filter) -> usize {
        let mut ended = 0;
        let mut next = self.flows.lists.first(server);
        while next != NONE {
            let slot = next;
            next = self.flows.lists.next(slot);
            ended += self.flush_slot(slot, filter, &mut next);
        }
        ended
    }

    /// Ends a connection, and what controlled it, and so on, as far as they are meant. `next` is moved on along its list
    /// if it is among them.
    fn flush_slot(&mut self, slot: u32, filter: &Filter, next: &mut u32) -> usize {
        let (mut ended, mut slot) = (0, slot);
        while slot != NONE {
            let entry = self.flows.table.slab.get(slot);
            if !entry.is_live() || entry.controlled > 0 || !self.is_meant(entry, filter) {
                break;
            }
            let above = entry.control;
            if slot == *next {
                *next = self.flows.lists.next(slot);
            }
            self.flows.end(slot, &mut self.servers, Gone::Flushed);
            (ended, slot) = (ended + 1, above);
        }
        ended
    }

    fn is_meant(&self, entry: &Entry, filter: &Filter) -> bool {
        let has = |server: u32, of: &dyn Fn(u32) -> bool| server != NONE && of(server);
        filter.server.is_none_or(|id| has(entry.server, &|server| server == id.slot))
            && filter.service.is_none_or(|id| {
                let is_of = |server| self.servers.live(server).is_available() && self.servers.get(server).owner == id;
                has(entry.server, &is_of)
            })
            && filter.protocol.is_none_or(|protocol| entry.protocol() == protocol.number())
            && filter.state.is_none_or(|name| !entry.is_template() && state_name(entry) == name)
            && filter.client.is_none_or(|(net, prefix)| is_in_net(entry, net, prefix))
    }

    /// With `expire_nodest_conn`, connections of removed servers end at once, those that control others aside.
    pub(super) fn flush_connections_without_server(&mut self) {
        if self.settings.tunables.expire_nodest_conn == 0 {
            return;
        }
        for server in core::mem::take(&mut self.control.gone) {
            if !self.servers.is_in_use(server) || self.servers.live(server).is_available() {
                continue;
            }
            self.flush_removed(server);
            if self.flows.lists.first(server) != NONE {
                self.control.gone.insert(server);
            }
        }
    }

    fn flush_removed(&mut self, server: u32) {
        let slab = &self.flows.table.slab;
        let mut ending: Vec<ConnId> = self
            .flows
            .lists
            .of(server)
            .filter(|&slot| slab.get(slot).controlled == 0)
            .map(|slot| slab.id(slot))
            .collect();
        ending.sort_unstable();
        for id in ending {
            let Some(slot) = self.flows.table.slab.find(id) else { continue };
            let control = self.flows.table.slab.get(slot).control;
            let controller = (control != NONE).then(|| self.flows.table.slab.id(control));
            self.flows.drop_now(slot, &mut self.servers, Gone::ServerGone);
            // A template that is left with nothing goes too, even one under which a handshake was completed.
            if let Some(template) = controller.and_then(|id| self.flows.table.slab.find(id))
                && self.flows.table.slab.get(template).controlled == 0
            {
                self.flows.drop_now(template, &mut self.servers, Gone::ServerGone);
            }
        }
    }
}

fn is_in_net(entry: &Entry, net: IpAddr, prefix: u8) -> bool {
    let bits = match entry.family() {
        Family::V4 => prefix.min(32) + 96,
        Family::V6 => prefix.min(128),
    };
    entry.family() == Family::of(net) && entry.client().prefix(bits) == Addr::from_ip(net).prefix(bits)
}
