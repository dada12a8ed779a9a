//! The connections as a whole: table, timers, and the packet counters of their servers.
//!
//! Owns: making and ending connections, with all that follows for the server's counts and for what controls them.
//! Leaves to others: which connection a packet needs (`director`), what state it is in (`proto`).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::entry::{Entry, Flags};
use super::hash::HashKey;
use super::id::{ConnId, NONE};
use super::lists::Lists;
use super::table::Table;
use crate::app::sessions::Sessions;
use crate::event::{ConnectionEvent, Event, Events, Gone};
use crate::flow::Protocol;
use crate::persist::TemplateKey;
use crate::persist::records::Records;
use crate::service::Method;
use crate::service::server::Servers;
use crate::stats::Counters;
use crate::sync::needed::never_told;
use crate::time::Instant;
use crate::timer::wheel::{Due, Wheel, is_long_past};

/// A connection that controls others when it should end lives on for so long, again and again.
const BUSY_TIMEOUT_MS: u32 = 60_000;

/// What ending connections has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing is due any more.
    All,
    /// The budget is used up; there may be more.
    More,
    /// This one was due then, and lives on because it controls others; there may be more.
    NotYet { slot: u32, at: Instant },
}

/// How many connections went so that others had room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Past their deadline already, and not yet taken away by [`advance`](crate::Director::advance).
    pub expired: u64,
    /// TCP connections and SCTP associations whose handshake was not complete, and templates that had no connection and
    /// never one with a complete handshake.
    pub half_open: u64,
    /// UDP flows of which one packet of the client was seen.
    pub single: u64,
}

#[derive(Debug)]
pub(crate) struct Flows {
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    /// By server slot.
    pub(crate) counters: Vec<Counters>,
    /// The slot that the next look for room begins with.
    pub(super) hand: u32,
    pub(crate) evictions: Evictions,
    /// What helpers keep.
    pub(crate) sessions: Sessions,
    /// What persistence engines keep of templates.
    pub(crate) records: Records,
    pub(crate) lists: Lists,
    pub(crate) events: Events,
    /// The latest connection or template that was made, or is found by something else now.
    pub(crate) latest: u32,
    /// By shard of a shared director: copies of connections that it is to hand back, or to throw away if the connection is
    /// gone.
    pub(crate) recalls: Vec<Vec<Recall>>,
    /// How many copies were ever called back.
    pub(crate) recalled: u32,
}

/// A copy that a shard is to hand back.
#[cfg_attr(not(feature = "std"), expect(dead_code, reason = "without threads there are no shards"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recall {
    /// The connection, and the hash by which its copy is found.
    pub(crate) of: ConnId,
    pub(crate) hash: u64,
}

impl Flows {
    /// Room for `capacity` connections, and for so many records of persistence engines as soon as there are any; `None`
    /// if there is not so much memory.
    pub(crate) fn with_capacity(capacity: usize, records: usize, key: HashKey, events: usize) -> Option<Self> {
        Some(Self {
            table: Table::with_capacity(capacity, key)?,
            wheel: Wheel::with_capacity(capacity)?,
            counters: Vec::new(),
            hand: 0,
            evictions: Evictions::default(),
            sessions: Sessions::default(),
            lists: Lists::with_capacity(capacity)?,
            events: Events::with_capacity(events)?,
            records: Records::new(records),
            latest: NONE,
            recalls: Vec::new(),
            recalled: 0,
        })
    }

    /// Puts a connection into the table, with its helper if its port has one; `None` if there is no room.
    pub(crate) fn add(&mut self, mut entry: Entry, servers: &mut Servers, now: Instant) -> Option<u32> {
        if self.table.slab.is_full() {
            return None;
        }
        entry.told_until = never_told(now);
        if self.is_helped(&entry) {
            entry.flags.set(Flags::HELPED);
            // A template is counted as a user of the helper, but no packet is its own.
            if !entry.is_template() {
                entry.helper = self.sessions.take()?;
            }
        }
        let slot = self.table.insert(entry)?;
        self.latest = slot;
        let Self { table, wheel, lists, events, .. } = self;
        wheel.insert(&mut table.slab, slot, now);
        let entry = table.slab.get(slot);
        if entry.server != NONE {
            lists.push(slot, entry.server);
        }
        if events.is_on() {
            events.push(|| Event::Made(describe(table, slot, servers)));
        }
        bind(entry, servers, events);
        Some(slot)
    }

    /// Changes what a connection is found by: it is as one that was made now.
    pub(crate) fn rekey(&mut self, slot: u32, change: impl FnOnce(&mut Entry)) {
        self.table.rekey(slot, change);
        self.latest = slot;
    }

    /// Binds a connection to a server that it had none of; its method may be another from now on.
    pub(crate) fn bind_late(&mut self, slot: u32, server: u32, flags: Flags, servers: &mut Servers) {
        self.rekey(slot, |entry| (entry.server, entry.flags) = (server, flags));
        self.lists.push(slot, server);
        self.help_late(slot);
        bind(self.table.slab.get(slot), servers, &mut self.events);
    }

    /// With another method a helper comes or goes.
    fn help_late(&mut self, slot: u32) {
        let entry = self.table.slab.get(slot);
        let (has, needs) = (entry.flags.contains(Flags::HELPED), self.is_helped(entry));
        let record = match (has, needs, entry.is_template()) {
            (true, false, _) => {
                self.sessions.give_back(entry.helper);
                NONE
            }
            (false, true, true) => NONE,
            (false, true, false) => match self.sessions.take() {
                Some(record) => record,
                None => return,
            },
            _ => return,
        };
        let entry = self.table.slab.get_mut(slot);
        entry.helper = record;
        if needs {
            entry.flags.set(Flags::HELPED);
        } else {
            entry.flags.clear(Flags::HELPED);
        }
    }

    /// Helpers look at translated TCP connections to their ports.
    pub(crate) fn is_helped(&self, entry: &Entry) -> bool {
        entry.method() == Method::Nat
            && entry.protocol() == Protocol::Tcp.number()
            && self.sessions.has(entry.virtual_port)
    }

    /// Puts a template into the table, with what an engine keeps of it; `None` if there is no room for one or the other.
    pub(crate) fn add_template(
        &mut self,
        mut entry: Entry,
        data: &[u8],
        servers: &mut Servers,
        now: Instant,
    ) -> Option<u32> {
        if !data.is_empty() {
            entry.set_engine(self.records.insert(data)?, self.table.engine_hash(data));
        }
        let record = entry.engine();
        let slot = self.add(entry, servers, now);
        if slot.is_none() {
            self.records.remove(record);
        }
        slot
    }

    /// The template of a key.
    pub(crate) fn find_template(&self, key: &TemplateKey<'_>, now: Instant) -> Option<u32> {
        self.table.find_template(key, now, |record| self.records.get(record) == key.data)
    }

    /// What an engine keeps of a connection or template; nothing if it keeps nothing.
    pub(crate) fn engine_data(&self, slot: u32) -> &[u8] {
        self.records.get(self.table.slab.get(slot).engine())
    }

    /// The connection is controlled by another from now on: that one does not end before.
    pub(crate) fn control(&mut self, slot: u32, by: u32) {
        self.table.slab.get_mut(slot).control = by;
        self.table.slab.get_mut(by).controlled += 1;
    }

    /// Brings about now what the deadline of a connection would: the end, unless it controls others. True if so.
    pub(crate) fn expire(&mut self, slot: u32, servers: &mut Servers, now: Instant, why: Gone) -> bool {
        self.wheel.remove(&mut self.table.slab, slot);
        self.fire(slot, servers, now, why)
    }

    /// The same for a connection that hangs in no tick any more.
    fn fire(&mut self, slot: u32, servers: &mut Servers, now: Instant, why: Gone) -> bool {
        let entry = self.table.slab.get_mut(slot);
        if entry.controlled > 0 {
            entry.timeout_ms = BUSY_TIMEOUT_MS;
            entry.touch(now);
            self.wheel.insert(&mut self.table.slab, slot, now);
            true
        } else {
            self.destroy(slot, servers, why);
            false
        }
    }

    /// Ends a connection. One whose timeout was set to 0 takes along what controlled it and controls nothing else, but
    /// for templates under which a handshake was completed.
    fn destroy(&mut self, slot: u32, servers: &mut Servers, why: Gone) {
        let mut slot = slot;
        loop {
            let entry = self.table.slab.get(slot);
            let (control, dropped) = (entry.control, entry.timeout_ms == 0);
            if self.events.is_on() {
                let (events, table) = (&mut self.events, &self.table);
                events.push(|| Event::Gone(describe(table, slot, servers), why));
            }
            unbind(entry, servers, &mut self.events);
            if entry.flags.contains(Flags::HELPED) {
                self.sessions.give_back(entry.helper);
            }
            if entry.server != NONE {
                self.lists.remove(slot, entry.server);
            }
            self.records.remove(entry.engine());
            if entry.flags.contains(Flags::LENT) {
                self.recall(slot);
            }
            self.table.remove(slot);
            if control == NONE {
                return;
            }
            let controller = self.table.slab.get_mut(control);
            controller.controlled -= 1;
            if !dropped || controller.controlled > 0 || controller.is_template() && controller.is_assured() {
                return;
            }
            if controller.control != NONE {
                controller.timeout_ms = 0;
            }
            self.wheel.remove(&mut self.table.slab, control);
            slot = control;
        }
    }

    /// The shard that has the copy of a connection is to hand it back.
    #[cold]
    pub(crate) fn recall(&mut self, slot: u32) {
        let entry = self.table.slab.get(slot);
        let (shard, hash) = (entry.helper as usize, self.table.client_hash(entry));
        if self.recalls.len() <= shard {
            self.recalls.resize_with(shard + 1, Vec::new);
        }
        self.recalls[shard].push(Recall { of: self.table.slab.id(slot), hash });
        self.recalled = self.recalled.wrapping_add(1);
    }

    /// Ends a connection at once, whatever its deadline; what controlled it goes too if nothing else holds it.
    pub(crate) fn drop_now(&mut self, slot: u32, servers: &mut Servers, why: Gone) {
        self.wheel.remove(&mut self.table.slab, slot);
        let entry = self.table.slab.get_mut(slot);
        if entry.control != NONE {
            entry.timeout_ms = 0;
        }
        self.destroy(slot, servers, why);
    }

    /// Ends a connection at once, and nothing else: what controlled it stays.
    pub(crate) fn end(&mut self, slot: u32, servers: &mut Servers, why: Gone) {
        self.wheel.remove(&mut self.table.slab, slot);
        let entry = self.table.slab.get_mut(slot);
        entry.timeout_ms = entry.timeout_ms.max(1);
        self.destroy(slot, servers, why);
    }

    /// Ends connections whose deadline has come, at most `budget` looks at entries.
    pub(crate) fn advance(&mut self, now: Instant, budget: &mut usize, servers: &mut Servers) -> Ended {
        loop {
            match self.wheel.pop_due(&mut self.table.slab, now, budget) {
                Due::Entry(slot) => {
                    self.look_ahead();
                    let entry = self.table.slab.get_mut(slot);
                    if entry.controlled > 0 && is_long_past(entry.expires, now) {
                        // What it controls ends first: its turn comes when all else has been looked at.
                        entry.expires = now;
                        self.wheel.insert(&mut self.table.slab, slot, now);
                    } else {
                        let at = entry.expires;
                        if self.fire(slot, servers, at, Gone::Expired) {
                            return Ended::NotYet { slot, at };
                        }
                    }
                }
                Due::Nothing => return Ended::All,
                Due::More => return Ended::More,
            }
        }
    }

    /// While one entry is taken away: asks for what the next takes to be taken away, and for the one after that.
    fn look_ahead(&self) {
        let Some(next) = self.wheel.ahead() else { return };
        self.table.prefetch_keys(next);
        self.lists.prefetch_neighbours(next);
        let after = self.table.slab.get(next).wheel_next;
        if after != NONE {
            self.table.slab.get(after).prefetch();
            self.lists.prefetch(after);
        }
    }

    /// Starts a connection's time again.
    #[inline]
    pub(crate) fn touch(&mut self, slot: u32, now: Instant) {
        self.table.slab.get_mut(slot).touch(now);
        self.wheel.moved(&mut self.table.slab, slot);
    }

    /// What a packet means beyond its connection: a nearer deadline is hung nearer, and a completed handshake assures the
    /// template above.
    pub(crate) fn follow_up(&mut self, slot: u32, control: u32, completed: bool) {
        self.wheel.moved(&mut self.table.slab, slot);
        if completed {
            self.assure(control);
        }
    }

    /// A handshake was completed under this template or connection, if there is one, and all above it.
    pub(crate) fn assure(&mut self, control: u32) {
        let mut above = control;
        while above != NONE {
            let entry = self.table.slab.get_mut(above);
            if entry.is_template() {
                entry.assure();
            }
            above = entry.control;
        }
    }

    /// The counters of a server, made on its first use.
    pub(crate) fn make_counters(&mut self, server: u32) {
        let len = server as usize + 1;
        if self.counters.len() < len {
            self.counters.resize(len, Counters::default());
        }
        self.counters[server as usize] = Counters::default();
        self.lists.make_server(server);
    }

    #[inline]
    pub(crate) fn counters_mut(&mut self, server: u32) -> Option<&mut Counters> {
        self.counters.get_mut(server as usize)
    }

    /// Bytes of memory of table, index, timers and lists.
    pub(crate) fn memory(&self) -> usize {
        self.table.memory() + self.wheel.memory() + self.lists.memory() + self.sessions.memory() + self.records.memory()
    }
}

/// A connection or template begins to count at its server.
pub(crate) fn bind(entry: &Entry, servers: &mut Servers, events: &mut Events) {
    if entry.server == NONE {
        return;
    }
    let live = servers.live_mut(entry.server);
    let was_overloaded = live.is_overloaded();
    if entry.is_template() {
        live.bind_template();
    } else {
        if !entry.flags.contains(Flags::INACTIVE) {
            live.active += 1;
        }
        live.bind();
    }
    tell_overload(entry.server, was_overloaded, servers, events);
}

/// A connection or template counts no longer.
pub(crate) fn unbind(entry: &Entry, servers: &mut Servers, events: &mut Events) {
    if entry.server == NONE {
        return;
    }
    let live = servers.live_mut(entry.server);
    let was_overloaded = live.is_overloaded();
    if entry.is_template() {
        live.unbind_template();
    } else {
        if !entry.flags.contains(Flags::INACTIVE) {
            live.active = live.active.saturating_sub(1);
        }
        live.unbind();
    }
    if live.is_draining() {
        servers.has_drained(entry.server);
    }
    tell_overload(entry.server, was_overloaded, servers, events);
}

/// Tells of an overload that has begun or ended.
#[inline]
pub(crate) fn tell_overload(server: u32, was_overloaded: bool, servers: &Servers, events: &mut Events) {
    match (was_overloaded, servers.live(server).is_overloaded()) {
        (false, true) => events.push(|| Event::Overloaded(servers.id(server))),
        (true, false) => events.push(|| Event::Relieved(servers.id(server))),
        _ => {}
    }
}

/// A connection as events tell of it.
#[cold]
fn describe(table: &Table, slot: u32, servers: &Servers) -> ConnectionEvent {
    let entry = table.slab.get(slot);
    let (family, server_family) = (entry.family(), entry.server_family());
    ConnectionEvent {
        id: table.slab.id(slot),
        server_id: (entry.server != NONE).then(|| servers.id(entry.server)),
        protocol: entry.protocol(),
        client: SocketAddr::new(entry.client().to_ip(family), entry.client_port),
        target: SocketAddr::new(entry.shown_target().to_ip(family), entry.virtual_port),
        server: SocketAddr::new(entry.server_address().to_ip(server_family), entry.server_port),
        is_template: entry.is_template(),
    }
}
