//! Real servers: added, edited, removed, found, walked, drained.

use core::ffi::c_void;

use lvs_core::{Drain, GueChecksum, Instant, Method, Rest, ServerSpec, ServerState, ServerView, Tunnel};

use crate::lvs_status::{self, LVS_ERR_ARGUMENT, LVS_ERR_NOT_FOUND};
use crate::packet::method_of;
use crate::ptr::SizedOut;
use crate::{lvs_address, lvs_counters, lvs_director, lvs_rates, lvs_server_id, lvs_service_id, ptr, status::boundary};

/// What a tunnelled packet is wrapped in.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_tunnel {
    /// An outer IP header and nothing else.
    LVS_TUNNEL_IPIP = 0,
    /// Generic UDP encapsulation.
    LVS_TUNNEL_GUE = 1,
    /// Generic routing encapsulation.
    LVS_TUNNEL_GRE = 2,
}

/// What a checksum protects in a tunnel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_tunnel_checksum {
    /// Nothing.
    LVS_TUNNEL_NO_CHECKSUM = 0,
    /// The UDP datagram, or the GRE packet.
    LVS_TUNNEL_CHECKSUM = 1,
    /// Remote checksum offload, with LVS_TUNNEL_GUE only.
    LVS_TUNNEL_REMOTE_CHECKSUM = 2,
}

/// A real server of a service, as ipvsadm -a describes it. Begin with LVS_SERVER_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_server {
    /// sizeof(lvs_server).
    pub size: u32,
    /// Share of new connections, 0 to 2147483647; 0 for none.
    pub weight: u32,
    /// Address and port, which identify it within its service. Port 0 keeps the port that packets come for.
    pub address: lvs_address,
    /// LVS_METHOD_*: how packets reach it.
    pub method: u8,
    /// LVS_TUNNEL_IPIP, LVS_TUNNEL_GUE or LVS_TUNNEL_GRE, for LVS_METHOD_TUN.
    pub tunnel: u8,
    /// LVS_TUNNEL_NO_CHECKSUM, LVS_TUNNEL_CHECKSUM or LVS_TUNNEL_REMOTE_CHECKSUM.
    pub tunnel_checksum: u8,
    /// 0.
    pub reserved: u8,
    /// UDP port of the server, for LVS_TUNNEL_GUE.
    pub tunnel_port: u16,
    /// 0.
    pub reserved2: u16,
    /// At so many connections no new one is scheduled; 0 for no limit.
    pub upper: u32,
    /// Below so many connections an overloaded server takes new ones again; 0 for three quarters of the upper one.
    pub lower: u32,
}

impl ptr::Growing for lvs_server {}

impl lvs_server {
    /// A description that C hands over.
    ///
    /// # Safety
    /// As [`ptr::sized`].
    pub(crate) unsafe fn take(server: *const Self) -> Result<Self, lvs_status> {
        // SAFETY: the caller's promise; a description is numbers.
        unsafe { ptr::sized(server, Self::DEFAULT) }
    }

    pub(crate) const DEFAULT: Self = Self {
        size: size_of::<Self>() as u32,
        weight: 1,
        address: lvs_address { family: 0, reserved: 0, port: 0, bytes: [0; 16] },
        method: method_of(Method::Dr),
        tunnel: 0,
        tunnel_checksum: 0,
        reserved: 0,
        tunnel_port: 0,
        reserved2: 0,
        upper: 0,
        lower: 0,
    };

    pub(crate) fn read(&self) -> Result<ServerSpec, lvs_status> {
        if self.reserved != 0 || self.reserved2 != 0 {
            return Err(LVS_ERR_ARGUMENT);
        }
        let method = match self.method {
            1 => Method::Nat,
            2 => Method::Dr,
            3 => Method::Tun,
            _ => return Err(LVS_ERR_ARGUMENT),
        };
        let gue = |checksum| Tunnel::Gue { port: self.tunnel_port, checksum };
        let tunnel = match (self.tunnel, self.tunnel_checksum) {
            (0, 0) => Tunnel::Ipip,
            (1, 0) => gue(GueChecksum::None),
            (1, 1) => gue(GueChecksum::Csum),
            (1, 2) => gue(GueChecksum::Remcsum),
            (2, checksum @ (0 | 1)) => Tunnel::Gre { checksum: checksum != 0 },
            _ => return Err(LVS_ERR_ARGUMENT),
        };
        let spec = ServerSpec::new(self.address.socket()?, method);
        Ok(spec.weight(self.weight).thresholds(self.upper, self.lower).tunnel(tunnel))
    }
}

impl From<&ServerSpec> for lvs_server {
    fn from(spec: &ServerSpec) -> Self {
        let (tunnel, tunnel_port, tunnel_checksum) = match spec.tunnel {
            Tunnel::Ipip => (0, 0, 0),
            Tunnel::Gue { port, checksum: GueChecksum::None } => (1, port, 0),
            Tunnel::Gue { port, checksum: GueChecksum::Csum } => (1, port, 1),
            Tunnel::Gue { port, checksum: GueChecksum::Remcsum } => (1, port, 2),
            Tunnel::Gre { checksum } => (2, 0, u8::from(checksum)),
        };
        Self {
            weight: spec.weight,
            address: spec.address.into(),
            method: method_of(spec.method),
            tunnel,
            tunnel_checksum,
            tunnel_port,
            upper: spec.upper,
            lower: spec.lower,
            ..Self::DEFAULT
        }
    }
}

/// Where a server is in its life.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_server_state {
    /// In service.
    LVS_SERVER_ACTIVE = 1,
    /// It gets no new connections, and has some left.
    LVS_SERVER_DRAINING = 2,
    /// It is being drained and has no connection left.
    LVS_SERVER_DRAINED = 3,
    /// In no service any more.
    LVS_SERVER_REMOVED = 4,
}

/// What has become of a server.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_server_info {
    /// sizeof(lvs_server_info), put there by the caller.
    pub size: u32,
    /// LVS_SERVER_ACTIVE, LVS_SERVER_DRAINING, LVS_SERVER_DRAINED or LVS_SERVER_REMOVED.
    pub state: u32,
    /// Its id.
    pub id: lvs_server_id,
    /// When a drain is over, UINT64_MAX for never.
    pub deadline_ns: u64,
    /// Connections in an active state.
    pub active: u32,
    /// Connections that are not active.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// 0.
    pub reserved: u32,
    /// Counters, as of the latest two-second tick.
    pub counters: lvs_counters,
    /// Rates.
    pub rates: lvs_rates,
}

impl ptr::Growing for lvs_server_info {}

impl From<&ServerView> for lvs_server_info {
    fn from(view: &ServerView) -> Self {
        use lvs_server_state::*;
        let (state, deadline) = match view.state {
            ServerState::Active => (LVS_SERVER_ACTIVE, None),
            ServerState::Draining { deadline } => (LVS_SERVER_DRAINING, deadline),
            ServerState::Drained => (LVS_SERVER_DRAINED, None),
            _ => (LVS_SERVER_REMOVED, None),
        };
        Self {
            size: size_of::<Self>() as u32,
            state: state as u32,
            id: view.id.into(),
            deadline_ns: deadline.unwrap_or(Instant::MAX).as_nanos(),
            active: view.active,
            inactive: view.inactive,
            persistent: view.persistent,
            reserved: 0,
            counters: view.stats.into(),
            rates: view.rates.into(),
        }
    }
}

/// Is told of one server. Returns whether to go on. Both records are there only as long as the call lasts.
pub type lvs_server_visitor =
    Option<extern "C" fn(server: *const lvs_server, info: *const lvs_server_info, user: *mut c_void) -> bool>;

/// Adds a server to a service, as ipvsadm -a. New flows may reach it from the next packet on. out, if not NULL, is its id.
///
/// LVS_ERR_ARGUMENT if the record is not as this header says; LVS_ERR_EXISTS, LVS_ERR_NOT_FOUND, LVS_ERR_FULL,
/// LVS_ERR_REFUSED; then nothing has changed. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_add_server(
    director: *mut lvs_director,
    service: lvs_service_id,
    server: *const lvs_server,
    out: *mut lvs_server_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, server, out) =
            unsafe { (lvs_director::borrow(director)?, lvs_server::take(server)?, ptr::wanted(out)?) };
        let spec = server.read()?;
        let id = handle.director.add_server(service.into(), spec).map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Gives the server of the same address and port another description, as ipvsadm -e. Its connections stay. out, if not
/// NULL, is its id. Refusals are those of lvs_director_add_server. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_edit_server(
    director: *mut lvs_director,
    service: lvs_service_id,
    server: *const lvs_server,
    out: *mut lvs_server_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, server, out) =
            unsafe { (lvs_director::borrow(director)?, lvs_server::take(server)?, ptr::wanted(out)?) };
        let spec = server.read()?;
        let id = handle.director.edit_server(service.into(), spec).map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Removes the server of an address and port from a service, as ipvsadm -d. What becomes of its connections the tunable
/// expire_nodest_conn says; lvs_director_drain is gentler. LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_remove_server(
    director: *mut lvs_director,
    service: lvs_service_id,
    address: *const lvs_address,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, address) = unsafe { (lvs_director::borrow(director)?, ptr::input(address)?) };
        let address = address.socket()?;
        handle.director.remove_server(service.into(), address).map_err(|error| handle.refuse(&error))
    })
}

/// Finds the server of an address and port in a service. LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_find_server(
    director: *const lvs_director,
    service: lvs_service_id,
    address: *const lvs_address,
    out: *mut lvs_server_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, address, out) =
            unsafe { (lvs_director::borrow(director)?, ptr::input(address)?, ptr::output(out)?) };
        let found = handle.director.find_server(service.into(), address.socket()?);
        out.write(found.ok_or(LVS_ERR_NOT_FOUND)?.into());
        Ok(())
    })
}

/// Writes a server's description and what has become of it, as far as they are wanted.
pub(crate) fn put_server(
    view: &ServerView,
    server: Option<SizedOut<'_, lvs_server>>,
    info: Option<SizedOut<'_, lvs_server_info>>,
) {
    if let Some(out) = server {
        out.write(lvs_server::from(&view.spec));
    }
    if let Some(out) = info {
        out.write(lvs_server_info::from(view));
    }
}

/// Writes the description of a server and what has become of it, as long as it is in a service or connections point to
/// it; either may be NULL. Put the sizes there first. LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_server(
    director: *const lvs_director,
    id: lvs_server_id,
    server: *mut lvs_server,
    info: *mut lvs_server_info,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, server, info) =
            unsafe { (lvs_director::borrow(director)?, ptr::sized_wanted(server)?, ptr::sized_wanted(info)?) };
        let view = handle.director.server(id.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        put_server(&view, server, info);
        Ok(())
    })
}

/// Writes what a server has counted up to this moment, not only up to the latest two-second tick, and never zeroed.
/// LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_server_counters(
    director: *const lvs_director,
    id: lvs_server_id,
    out: *mut lvs_counters,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::output(out)?) };
        out.write(handle.director.server_counters(id.into()).ok_or(LVS_ERR_NOT_FOUND)?.into());
        Ok(())
    })
}

/// Calls visit with each server of a service, the newest first, until it returns false. It must not call this director:
/// LVS_ERR_BUSY. LVS_ERR_NOT_FOUND if there is no such service. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_each_server(
    director: *const lvs_director,
    service: lvs_service_id,
    visit: lvs_server_visitor,
    user: *mut c_void,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let handle = unsafe { lvs_director::borrow(director)? };
        let visit = visit.ok_or(lvs_status::LVS_ERR_NULL)?;
        let service = handle.director.service(service.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        for view in &service.servers {
            let (server, info) = (lvs_server::from(&view.spec), lvs_server_info::from(view));
            if !visit(&raw const server, &raw const info, user) {
                break;
            }
        }
        Ok(())
    })
}

/// Writes the ids of the servers of an address, whatever their service and port: what a host that goes down has to be drained
/// from. needed, if not NULL, is how many there are, on LVS_OK and on LVS_ERR_SPACE. The port does not matter. One thread
/// at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_servers_at(
    director: *const lvs_director,
    address: *const lvs_address,
    out: *mut lvs_server_id,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, address, out, needed) = unsafe {
            (
                lvs_director::borrow(director)?,
                ptr::input(address)?,
                ptr::array_out(out, capacity)?,
                ptr::wanted(needed)?,
            )
        };
        let servers = handle.director.servers_at(address.ip()?);
        ptr::put_all(servers.into_iter().map(lvs_server_id::from).collect(), out, needed)
    })
}

/// What becomes of connections that are left when a drain's deadline has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_rest {
    /// They go on.
    LVS_REST_KEEP = 0,
    /// Their packets are dropped: LVS_DROP_DRAINED.
    LVS_REST_DROP = 1,
    /// Their packets are answered in place: LVS_REPLY_RESET, LVS_REPLY_DRAINED.
    LVS_REST_RESET = 2,
}

/// Flag of a drain: clients whose persistence template names the server still reach it.
pub const LVS_DRAIN_KEEP_TEMPLATES: u32 = 1;
/// Flag of a drain: when it is drained, the server is removed from its service; at the deadline too, unless the rest is
/// kept.
pub const LVS_DRAIN_THEN_REMOVE: u32 = 2;

/// How a server is drained. Begin with LVS_DRAIN_INIT: no new connections, and those there are end in their own time.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_drain {
    /// sizeof(lvs_drain).
    pub size: u32,
    /// LVS_DRAIN_*, or 0.
    pub flags: u32,
    /// When it is over, UINT64_MAX for never.
    pub deadline_ns: u64,
    /// LVS_REST_*: what becomes of the rest then.
    pub rest: u32,
    /// 0.
    pub reserved: u32,
}

impl ptr::Growing for lvs_drain {}

impl lvs_drain {
    const DEFAULT: Self =
        Self { size: size_of::<Self>() as u32, flags: 0, deadline_ns: u64::MAX, rest: 0, reserved: 0 };

    /// A drain that C hands over, or the default for null.
    ///
    /// # Safety
    /// As [`ptr::sized`].
    pub(crate) unsafe fn take(how: *const Self) -> Result<Self, lvs_status> {
        // SAFETY: the caller's promise; a drain is numbers.
        if how.is_null() { Ok(Self::DEFAULT) } else { unsafe { ptr::sized(how, Self::DEFAULT) } }
    }

    pub(crate) fn read(&self) -> Result<Drain, lvs_status> {
        if self.reserved != 0 || self.flags & !(LVS_DRAIN_KEEP_TEMPLATES | LVS_DRAIN_THEN_REMOVE) != 0 {
            return Err(LVS_ERR_ARGUMENT);
        }
        let rest = match self.rest {
            0 => Rest::Keep,
            1 => Rest::Drop,
            2 => Rest::Reset,
            _ => return Err(LVS_ERR_ARGUMENT),
        };
        let mut how = Drain::new();
        if self.deadline_ns != u64::MAX {
            how = how.until(Instant::from_nanos(self.deadline_ns), rest);
        }
        if self.flags & LVS_DRAIN_KEEP_TEMPLATES != 0 {
            how = how.keep_templates();
        }
        if self.flags & LVS_DRAIN_THEN_REMOVE != 0 {
            how = how.then_remove();
        }
        Ok(how)
    }
}

/// Drains a server: it gets no new connections from the next packet on, while those it has go on; its description stays.
/// When the last is gone the next lvs_director_advance tells so, by LVS_EVENT_DRAINED; a server that has none is drained,
/// and with LVS_DRAIN_THEN_REMOVE removed, at once. how may be NULL, which is as LVS_DRAIN_INIT; draining again takes the
/// new choices. LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_drain(
    director: *mut lvs_director,
    server: lvs_server_id,
    how: *const lvs_drain,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, how) = unsafe { (lvs_director::borrow(director)?, lvs_drain::take(how)?) };
        handle.director.drain(server.into(), how.read()?).map_err(|error| handle.refuse(&error))
    })
}

/// Ends a drain: the server has its weight again, and connections that were cut off go on. LVS_ERR_NOT_FOUND. One thread
/// at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_undrain(director: *mut lvs_director, server: lvs_server_id) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let mut handle = unsafe { lvs_director::borrow(director)? };
        handle.director.undrain(server.into()).map_err(|error| handle.refuse(&error))
    })
}
