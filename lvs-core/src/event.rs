//! What happened, for those who want to be told: a queue of fixed length.

use alloc::collections::VecDeque;
use core::fmt;
use core::net::SocketAddr;

use crate::conn::ConnId;
use crate::service::ServerId;

/// Something that happened. [`Director::poll_event`](crate::Director::poll_event) tells of it once.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection or template was made. One-packet scheduling makes none.
    Made(ConnectionEvent),
    /// A connection or template is gone.
    Gone(ConnectionEvent, Gone),
    /// A server has reached its upper threshold: it gets no new connections.
    Overloaded(ServerId),
    /// Its overload is over.
    Relieved(ServerId),
    /// The deadline of a [drain](crate::Director::drain) has come.
    DrainDeadline {
        /// The server.
        server: ServerId,
        /// How many connections were left.
        left: u32,
    },
    /// The last connection of a server that is being drained is gone; or the server was removed at its deadline.
    Drained {
        /// The server.
        server: ServerId,
        /// Whether it was removed from its service.
        removed: bool,
    },
}

/// The connection that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// Its id. Of one that is gone it finds nothing any more.
    pub id: ConnId,
    /// Its real server, unless it has none.
    pub server_id: Option<ServerId>,
    /// The IP protocol number.
    pub protocol: u8,
    /// The client's end.
    pub client: SocketAddr,
    /// The virtual end.
    pub target: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
    /// True for a persistence template.
    pub is_template: bool,
}

/// Why a connection is gone.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gone {
    /// Its time was over.
    Expired,
    /// A packet that opens a connection took its place.
    Replaced,
    /// Its server was deleted, and `expire_nodest_conn` is set.
    ServerGone,
    /// [`flush`](crate::Director::flush) ended it.
    Flushed,
    /// The table was full, and it made room for another ([`Admission`](crate::Admission)).
    Evicted,
    /// The `drop_entry` defence ended it.
    Dropped,
}

impl Gone {
    /// The name that logs and the other languages use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::ServerGone => "server-gone",
            Self::Flushed => "flushed",
            Self::Evicted => "evicted",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Events that wait to be polled. What finds no room is counted and lost.
#[derive(Debug)]
pub(crate) struct Events {
    queue: VecDeque<Event>,
    capacity: usize,
    missed: u64,
}

impl Events {
    /// Room for `capacity` events; `None` if there is not so much memory. 0 switches them off.
    pub(crate) fn with_capacity(capacity: usize) -> Option<Self> {
        let mut queue = VecDeque::new();
        queue.try_reserve_exact(capacity).ok()?;
        Some(Self { queue, capacity, missed: 0 })
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.capacity != 0
    }

    /// Keeps an event, if they are wanted. Never allocates.
    pub(crate) fn push(&mut self, event: impl FnOnce() -> Event) {
        if self.queue.len() < self.capacity {
            self.queue.push_back(event());
        } else if self.is_on() {
            self.missed = self.missed.wrapping_add(1);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let server = |slot| ServerId { slot, generation: 0 };
        let mut events = Events::with_capacity(2).unwrap();
        (0..5).for_each(|n| events.push(|| Event::Overloaded(server(n))));
        assert_eq!((events.len(), events.missed()), (2, 3));
        assert_eq!(events.pop(), Some(Event::Overloaded(server(0))));
        events.push(|| Event::Relieved(server(9)));
        assert_eq!(
            [events.pop(), events.pop()],
            [Some(Event::Overloaded(server(1))), Some(Event::Relieved(server(9)))]
        );
        let mut off = Events::with_capacity(0).unwrap();
        off.push(|| unreachable!("nobody listens"));
        assert_eq!((off.pop(), off.missed()), (None, 0));
    }
}
