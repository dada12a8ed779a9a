//! What helpers keep of each control connection: records in a slab of fixed size.

use alloc::vec::Vec;

use super::ftp::Mode;
use super::segment::Segment;
use super::sequence::Correction;
use super::window::{self, End};
use crate::conn::id::NONE;
use crate::error::ControlError;

/// Ports that helpers can be bound to.
const PORTS: usize = 8;

/// One FTP control connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) mode: Mode,
    /// The client's bytes and the server's: what each has gained.
    pub(crate) from_client: Correction,
    pub(crate) from_server: Correction,
    client: End,
    server: End,
    /// The next free record.
    next: u32,
}

impl Session {
    /// Whether a segment of the client belongs to the conversation, which has gone on with it.
    pub(crate) fn follow_client(&mut self, segment: &Segment) -> bool {
        window::follow(&mut self.client, &mut self.server, segment, &self.from_server)
    }

    /// Is this a segment that the client may send now?
    pub(crate) fn expects_of_client(mut self, segment: &Segment) -> bool {
        self.client.may_send(segment) && self.follow_client(segment)
    }

    /// The same for a segment of the server.
    pub(crate) fn follow_server(&mut self, segment: &Segment) -> bool {
        window::follow(&mut self.server, &mut self.client, segment, &self.from_client)
    }

    /// True if numbers have to be corrected.
    pub(crate) const fn is_corrected(&self) -> bool {
        !self.from_client.is_none() || !self.from_server.is_none()
    }
}

/// The ports with a helper, and a record of each connection to them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    ports: [u16; PORTS],
    records: Vec<Session>,
    /// First of the free records, linked through `next`.
    free: Option<u32>,
    capacity: usize,
}

impl Sessions {
    /// The ports, in the order that they were given.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.ports.iter().copied().filter(|&port| port != 0)
    }

    /// Sets the ports; room for a record of each connection that there may be is reserved with the first.
    pub(crate) fn set_ports(&mut self, ports: &[u16], connections: usize) -> Result<(), ControlError> {
        let mut new = [0; PORTS];
        let mut count = 0;
        for &port in ports.iter().filter(|&&port| port != 0) {
            if new.contains(&port) {
                return Err(ControlError::PortTwice);
            }
            *new.get_mut(count).ok_or(ControlError::TooManyPorts)? = port;
            count += 1;
        }
        if count > 0 && self.capacity == 0 {
            self.records.try_reserve_exact(connections).map_err(|_| ControlError::OutOfMemory)?;
            self.capacity = connections;
        }
        self.ports = new;
        Ok(())
    }

    /// Does a virtual port have a helper?
    pub(crate) fn has(&self, port: u16) -> bool {
        port != 0 && self.ports.contains(&port)
    }

    /// Takes a record; `None` if there is none left. Never allocates: the room was reserved.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(free) = self.free {
            let record = self.records.get_mut(free as usize)?;
            self.free = (record.next != NONE).then_some(record.next);
            *record = Session::default();
            return Some(free);
        }
        if self.records.len() >= self.capacity {
            return None;
        }
        self.records.push(Session::default());
        u32::try_from(self.records.len() - 1).ok()
    }

    /// Gives a record back.
    pub(crate) fn give_back(&mut self, number: u32) {
        if let Some(record) = self.records.get_mut(number as usize) {
            record.next = self.free.unwrap_or(NONE);
            self.free = Some(number);
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Session> {
        self.records.get(number as usize)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Session> {
        self.records.get_mut(number as usize)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.records.capacity() * size_of::<Session>()
    }
}
