//! What happened: made, gone, overloaded, drained.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

use lvs_core::{ConnectionEvent, Event, Gone};

use crate::{
    LVS_CONNECTION_TEMPLATE, lvs_address, lvs_connection_id, lvs_director, lvs_server_id, lvs_status, ptr,
    status::boundary,
};

/// What kind of event.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_event_kind {
    /// A connection or template was made.
    LVS_EVENT_MADE = 1,
    /// A connection or template is gone.
    LVS_EVENT_GONE = 2,
    /// A server has reached its upper threshold: it gets no new connections.
    LVS_EVENT_OVERLOADED = 3,
    /// Its overload is over.
    LVS_EVENT_RELIEVED = 4,
    /// The deadline of a drain has come.
    LVS_EVENT_DRAIN_DEADLINE = 5,
    /// The last connection of a server that is being drained is gone; or the server was removed at its deadline.
    LVS_EVENT_DRAINED = 6,
}

/// Why a connection is gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_gone {
    /// Its time was over.
    LVS_GONE_EXPIRED = 1,
    /// A packet that opens a connection took its place.
    LVS_GONE_REPLACED = 2,
    /// Its server was deleted, and expire_nodest_conn is set.
    LVS_GONE_SERVER_GONE = 3,
    /// lvs_director_flush ended it.
    LVS_GONE_FLUSHED = 4,
    /// The table was full, and it made room for another.
    LVS_GONE_EVICTED = 5,
    /// The drop_entry defence ended it.
    LVS_GONE_DROPPED = 6,
}

/// Something that happened.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_event {
    /// LVS_EVENT_*. Later versions may know more.
    pub kind: u8,
    /// LVS_GONE_* with LVS_EVENT_GONE, else 0.
    pub gone: u8,
    /// The IP protocol number of the connection, if the event is about one.
    pub protocol: u8,
    /// LVS_CONNECTION_TEMPLATE for a template, else 0.
    pub flags: u8,
    /// With LVS_EVENT_DRAIN_DEADLINE how many connections were left, with LVS_EVENT_DRAINED whether the server was
    /// removed; else 0.
    pub count: u32,
    /// The server that the event is about, or that of the connection; the index is LVS_NONE if that has none.
    pub server_id: lvs_server_id,
    /// The connection that the event is about; else the index is LVS_NONE. If it is gone, its id finds nothing any more.
    pub connection: lvs_connection_id,
    /// The client's end of the connection; this and the next two have family 0 if the event is about none.
    pub client: lvs_address,
    /// The virtual end.
    pub target: lvs_address,
    /// The server's end.
    pub server: lvs_address,
    /// 0.
    pub reserved: u32,
}

impl lvs_event {
    fn of_server(kind: lvs_event_kind, server: lvs_server_id, count: u32) -> Self {
        Self {
            kind: kind as u8,
            gone: 0,
            protocol: 0,
            flags: 0,
            count,
            server_id: server,
            connection: lvs_connection_id::NONE,
            client: lvs_address::default(),
            target: lvs_address::default(),
            server: lvs_address::default(),
            reserved: 0,
        }
    }

    fn of_connection(kind: lvs_event_kind, connection: &ConnectionEvent, gone: u8) -> Self {
        Self {
            gone,
            protocol: connection.protocol,
            flags: if connection.is_template { LVS_CONNECTION_TEMPLATE } else { 0 },
            connection: connection.id.into(),
            client: connection.client.into(),
            target: connection.target.into(),
            server: connection.server.into(),
            ..Self::of_server(kind, connection.server_id.into(), 0)
        }
    }

    /// The event for C; `None` for one that this version of the layer does not know.
    fn of(event: &Event) -> Option<Self> {
        use lvs_event_kind::*;
        Some(match event {
            Event::Made(connection) => Self::of_connection(LVS_EVENT_MADE, connection, 0),
            Event::Gone(connection, why) => Self::of_connection(LVS_EVENT_GONE, connection, gone_of(*why)),
            Event::Overloaded(server) => Self::of_server(LVS_EVENT_OVERLOADED, (*server).into(), 0),
            Event::Relieved(server) => Self::of_server(LVS_EVENT_RELIEVED, (*server).into(), 0),
            Event::DrainDeadline { server, left } => Self::of_server(LVS_EVENT_DRAIN_DEADLINE, (*server).into(), *left),
            Event::Drained { server, removed } => {
                Self::of_server(LVS_EVENT_DRAINED, (*server).into(), u32::from(*removed))
            }
            _ => return None,
        })
    }
}

const fn gone_of(why: Gone) -> u8 {
    use lvs_gone::*;
    match why {
        Gone::Expired => LVS_GONE_EXPIRED as u8,
        Gone::Replaced => LVS_GONE_REPLACED as u8,
        Gone::ServerGone => LVS_GONE_SERVER_GONE as u8,
        Gone::Flushed => LVS_GONE_FLUSHED as u8,
        Gone::Evicted => LVS_GONE_EVICTED as u8,
        Gone::Dropped => LVS_GONE_DROPPED as u8,
        _ => 0,
    }
}

/// Takes up to capacity events out of the queue, the oldest first. *count tells how many: fewer than capacity if there are
/// no more. A director keeps events only if its configuration has room for some. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_poll_events(
    director: *mut lvs_director,
    events: *mut lvs_event,
    capacity: usize,
    count: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, events, count) =
            unsafe { (lvs_director::borrow(director)?, ptr::array_out(events, capacity)?, ptr::output(count)?) };
        count.write(take_events(events, || handle.director.poll_event()));
        Ok(())
    })
}

/// Writes events as long as there are some, and room for them: how many.
pub(crate) fn take_events(events: &mut [MaybeUninit<lvs_event>], mut poll: impl FnMut() -> Option<Event>) -> usize {
    let mut taken = 0;
    while taken < events.len()
        && let Some(event) = poll()
    {
        if let Some(event) = lvs_event::of(&event) {
            events[taken].write(event);
            taken += 1;
        }
    }
    taken
}

/// The name of one of LVS_EVENT_*, such as "drained"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_event_name(kind: u32) -> *const c_char {
    let name: &CStr = match kind {
        1 => c"made",
        2 => c"gone",
        3 => c"overloaded",
        4 => c"relieved",
        5 => c"drain-deadline",
        6 => c"drained",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// The name of one of LVS_GONE_*, such as "expired"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_gone_name(gone: u32) -> *const c_char {
    let name: &CStr = match gone {
        1 => c"expired",
        2 => c"replaced",
        3 => c"server-gone",
        4 => c"flushed",
        5 => c"evicted",
        6 => c"dropped",
        _ => c"unknown",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_librarys() {
        let all = [Gone::Expired, Gone::Replaced, Gone::ServerGone, Gone::Flushed, Gone::Evicted, Gone::Dropped];
        for gone in all {
            // SAFETY: a static text.
            let name = unsafe { CStr::from_ptr(lvs_gone_name(u32::from(gone_of(gone)))) };
            assert_eq!(name.to_str(), Ok(gone.name()));
        }
    }
}
