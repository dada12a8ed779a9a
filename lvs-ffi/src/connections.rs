//! Connections: walked, looked up, ended.

use core::ffi::{c_char, c_void};

use lvs_core::{ConnectionView, ControlError, Filter, Protocol, ServerId, ServiceId};

use crate::lvs_status::{self, LVS_ERR_ARGUMENT, LVS_ERR_NOT_FOUND};
use crate::text::{self, NAME};
use crate::{lvs_address, lvs_connection_id, lvs_director, lvs_server_id, lvs_service_id, ptr, status::boundary};

/// Flag of a connection: a persistence template.
pub const LVS_CONNECTION_TEMPLATE: u8 = 1;
/// Flag of a connection: synchronisation brought it.
pub const LVS_CONNECTION_SYNCED: u8 = 2;

/// A connection, or a persistence template.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_connection {
    /// sizeof(lvs_connection), put there by the caller.
    pub size: u32,
    /// The IP protocol number; 0 for a template that holds for every protocol of a firewall mark.
    pub protocol: u8,
    /// LVS_CONNECTION_*.
    pub flags: u8,
    /// 0.
    pub reserved: u16,
    /// Its id.
    pub id: lvs_connection_id,
    /// The id of its real server; the index is LVS_NONE if it has none.
    pub server_id: lvs_server_id,
    /// The client; of a template, its network and port 0.
    pub client: lvs_address,
    /// The virtual address. For protocol 0 its first four bytes are the firewall mark, most significant first.
    pub target: lvs_address,
    /// The real server.
    pub server: lvs_address,
    /// 0.
    pub reserved2: u32,
    /// When it expires, unless a packet comes.
    pub expires_ns: u64,
    /// How long it lives after each packet.
    pub timeout_ns: u64,
    /// The state by the name that listings have for it, such as "ESTABLISHED".
    pub state: [c_char; 16],
}

impl ptr::Growing for lvs_connection {}

impl From<&ConnectionView> for lvs_connection {
    fn from(view: &ConnectionView) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Self {
            size: size_of::<Self>() as u32,
            protocol: view.protocol,
            flags: flag(view.is_template, LVS_CONNECTION_TEMPLATE) | flag(view.synced, LVS_CONNECTION_SYNCED),
            reserved: 0,
            id: view.id.into(),
            server_id: view.server_id.into(),
            client: view.client.into(),
            target: view.target.into(),
            server: view.server.into(),
            reserved2: 0,
            expires_ns: view.expires.as_nanos(),
            timeout_ns: u64::try_from(view.timeout.as_nanos()).unwrap_or(u64::MAX),
            state: text::put(view.state),
        }
    }
}

/// Is told of one connection. Returns whether to go on. The record is there only as long as the call lasts.
pub type lvs_connection_visitor = Option<extern "C" fn(connection: *const lvs_connection, user: *mut c_void) -> bool>;

/// Writes what there is to know of a connection; put the size into *out first. LVS_ERR_NOT_FOUND if it is gone. One thread
/// at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_connection(
    director: *const lvs_director,
    id: lvs_connection_id,
    out: *mut lvs_connection,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::sized_out(out)?) };
        let view = handle.director.connection(id.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        out.write(lvs_connection::from(&view));
        Ok(())
    })
}

/// Writes what the persistence engine keeps with a connection, such as a Call-ID, bytes above 127 as the characters that
/// they are in ISO 8859-1; nothing if it keeps none. needed is as for lvs_director_run. LVS_ERR_NOT_FOUND if the
/// connection is gone. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_connection_engine(
    director: *const lvs_director,
    id: lvs_connection_id,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out, needed) =
            unsafe { (lvs_director::borrow(director)?, ptr::array_out(out.cast(), capacity)?, ptr::wanted(needed)?) };
        let view = handle.director.connection(id.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        ptr::put_text(view.engine.as_ref().map_or("", |engine| &engine.data), out, needed)
    })
}

/// Calls visit with each connection and template, in no particular order, until it returns false. It must not call this
/// director: LVS_ERR_BUSY. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_each_connection(
    director: *const lvs_director,
    visit: lvs_connection_visitor,
    user: *mut c_void,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let handle = unsafe { lvs_director::borrow(director)? };
        let visit = visit.ok_or(lvs_status::LVS_ERR_NULL)?;
        for view in handle.director.connections() {
            let connection = lvs_connection::from(&view);
            if !visit(&raw const connection, user) {
                break;
            }
        }
        Ok(())
    })
}

/// Which connections are ended: those that have everything in common with it that it names. Begin with LVS_FILTER_INIT,
/// which names nothing: all of them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_filter {
    /// sizeof(lvs_filter).
    pub size: u32,
    /// The IP protocol number of one that is balanced, or 0.
    pub protocol: u8,
    /// With a client: how many bits of its address count, up to 32 or 128; with 0 it is every client of its family.
    pub prefix: u8,
    /// 0.
    pub reserved: u16,
    /// A server, which may have been removed from its service; or the index is LVS_NONE.
    pub server: lvs_server_id,
    /// A service, if no server is named: the servers that it has now; or the index is LVS_NONE.
    pub service: lvs_service_id,
    /// Clients of this network, or family 0.
    pub client: lvs_address,
    /// A state by the name that listings have for it, or empty.
    pub state: [c_char; 16],
}

impl ptr::Growing for lvs_filter {}

impl lvs_filter {
    const DEFAULT: Self = Self {
        size: size_of::<Self>() as u32,
        protocol: 0,
        prefix: 0,
        reserved: 0,
        server: lvs_server_id::NONE,
        service: lvs_service_id::NONE,
        client: lvs_address { family: 0, reserved: 0, port: 0, bytes: [0; 16] },
        state: [0; NAME],
    };

    /// A filter that C hands over.
    ///
    /// # Safety
    /// As [`ptr::sized`].
    pub(crate) unsafe fn take(filter: *const Self) -> Result<Self, lvs_status> {
        // SAFETY: the caller's promise; a filter is numbers.
        unsafe { ptr::sized(filter, Self::DEFAULT) }
    }

    /// What it names. A state that there is not is refused by `refuse`, which takes note of why.
    pub(crate) fn read(&self, refuse: impl FnOnce(&ControlError) -> lvs_status) -> Result<Filter, lvs_status> {
        if self.reserved != 0 {
            return Err(LVS_ERR_ARGUMENT);
        }
        let mut filter = match (self.server.is_none(), self.service.is_none()) {
            (false, true) => Filter::server(ServerId::from(self.server)),
            (true, false) => Filter::service(ServiceId::from(self.service)),
            (true, true) => Filter::all(),
            (false, false) => return Err(LVS_ERR_ARGUMENT),
        };
        if let Some(client) = self.client.given()? {
            if self.prefix > if client.is_ipv4() { 32 } else { 128 } {
                return Err(LVS_ERR_ARGUMENT);
            }
            filter = filter.client(client, self.prefix);
        }
        if self.protocol != 0 {
            filter = filter.protocol(Protocol::from_number(self.protocol).ok_or(LVS_ERR_ARGUMENT)?);
        }
        match text::name(&self.state)?.as_str() {
            "" => Ok(filter),
            state => filter.state(state).map_err(|error| refuse(&error)),
        }
    }
}

/// Ends connections and templates at once. Nobody is told of it: their next packets are those of no connection. ended, if
/// not NULL, is how many. With a server or a service the work is proportional to the number of its connections, else to
/// the size of the table. LVS_ERR_NOT_FOUND if there is no such server, service or state: lvs_director_last_error
/// tells the states there are. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_flush(
    director: *mut lvs_director,
    filter: *const lvs_filter,
    ended: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, filter, ended) =
            unsafe { (lvs_director::borrow(director)?, lvs_filter::take(filter)?, ptr::wanted(ended)?) };
        let filter = filter.read(|error| handle.refuse(error))?;
        let count = handle.director.flush(&filter).map_err(|error| handle.refuse(&error))?;
        ended.map(|ended| ended.write(count));
        Ok(())
    })
}

/// The same in parts: looks at up to budget places of the table from *place on, which is 0 at first and is moved on.
/// ended, if not NULL, is how many this call has ended; *more, if not NULL, tells whether the rest is for another call.
/// One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_flush_some(
    director: *mut lvs_director,
    filter: *const lvs_filter,
    place: *mut usize,
    budget: usize,
    ended: *mut usize,
    more: *mut bool,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, filter, mut at, place, ended, more) = unsafe {
            (
                lvs_director::borrow(director)?,
                lvs_filter::take(filter)?,
                ptr::input(place)?,
                ptr::output(place)?,
                ptr::wanted(ended)?,
                ptr::wanted(more)?,
            )
        };
        let filter = filter.read(|error| handle.refuse(error))?;
        let flushed = handle.director.flush_some(&filter, &mut at, budget).map_err(|error| handle.refuse(&error))?;
        place.write(at);
        ended.map(|ended| ended.write(flushed.ended));
        more.map(|more| more.write(flushed.more));
        Ok(())
    })
}
