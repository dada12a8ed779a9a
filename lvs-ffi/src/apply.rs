//! From the rules there are to those that are wanted, and what that changed.

use core::ffi::{c_char, c_void};

use lvs_core::{Applied, ApplyError, ServerSpec, ServiceKey, ServiceSpec};

use crate::director::{number, point_at};
use crate::lvs_change_kind::{LVS_CHANGE_ADDED, LVS_CHANGE_EDITED, LVS_CHANGE_REMOVED};
use crate::lvs_status;
use crate::{LVS_NONE, lvs_address, lvs_director, lvs_server, lvs_service, ptr, status::boundary};

/// How much lvs_director_apply did.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_applied {
    /// sizeof(lvs_applied), put there by the caller.
    pub size: u32,
    /// Services that are new.
    pub services_added: u32,
    /// Services whose description is another now.
    pub services_changed: u32,
    /// Services that are gone.
    pub services_removed: u32,
    /// Services whose description stayed. Their servers may have changed.
    pub services_unchanged: u32,
    /// Servers that are new, those of new services included.
    pub servers_added: u32,
    /// Servers whose description is another now.
    pub servers_changed: u32,
    /// Servers that are gone, those of services that are gone included.
    pub servers_removed: u32,
    /// Servers that stayed as they were.
    pub servers_unchanged: u32,
}

impl ptr::Growing for lvs_applied {}

impl From<&Applied> for lvs_applied {
    fn from(applied: &Applied) -> Self {
        Self {
            size: 0,
            services_added: number(applied.services_added.len()),
            services_changed: number(applied.services_changed.len()),
            services_removed: number(applied.services_removed.len()),
            services_unchanged: number(applied.services_unchanged),
            servers_added: number(applied.servers_added.len()),
            servers_changed: number(applied.servers_changed.len()),
            servers_removed: number(applied.servers_removed.len()),
            servers_unchanged: number(applied.servers_unchanged),
        }
    }
}

/// What became of a service or a server.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_change_kind {
    /// It is new.
    LVS_CHANGE_ADDED = 1,
    /// Its description is another now.
    LVS_CHANGE_EDITED = 2,
    /// It is gone.
    LVS_CHANGE_REMOVED = 3,
}

/// A service or a server that lvs_director_apply has added, changed or removed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_change {
    /// sizeof(lvs_change).
    pub size: u32,
    /// The firewall mark of the service, 0 for a service by address.
    pub mark: u32,
    /// The virtual address of the service; with a mark only its family.
    pub service: lvs_address,
    /// The address of the server, or family 0 if it is about the service itself.
    pub server: lvs_address,
    /// LVS_CHANGE_*.
    pub kind: u8,
    /// LVS_PROTOCOL_* of the service; 0 with a mark.
    pub protocol: u8,
    /// 0.
    pub reserved: u16,
}

impl lvs_change {
    fn new(kind: lvs_change_kind, key: &ServiceKey, server: lvs_address) -> Self {
        let (mark, protocol, service) = lvs_service::named_by(key);
        Self { size: size_of::<Self>() as u32, mark, service, server, kind: kind as u8, protocol, reserved: 0 }
    }
}

/// Is told of one change, after all of them were made. Returns whether it wants to know of more. The record is there only
/// as long as the call lasts.
pub type lvs_change_visitor = Option<extern "C" fn(change: *const lvs_change, user: *mut c_void) -> bool>;

/// Tells what was done: how much of it, and each change if the caller wants to know.
pub(crate) fn tell(
    applied: &Applied,
    done: Option<ptr::SizedOut<'_, lvs_applied>>,
    visit: lvs_change_visitor,
    user: *mut c_void,
) {
    if let Some(out) = done {
        out.write(lvs_applied::from(applied));
    }
    let Some(visit) = visit else { return };
    let services = [
        (LVS_CHANGE_ADDED, &applied.services_added),
        (LVS_CHANGE_EDITED, &applied.services_changed),
        (LVS_CHANGE_REMOVED, &applied.services_removed),
    ];
    let servers = [
        (LVS_CHANGE_ADDED, &applied.servers_added),
        (LVS_CHANGE_EDITED, &applied.servers_changed),
        (LVS_CHANGE_REMOVED, &applied.servers_removed),
    ];
    let services = services
        .into_iter()
        .flat_map(|(kind, keys)| keys.iter().map(move |key| lvs_change::new(kind, key, lvs_address::default())));
    let servers = servers
        .into_iter()
        .flat_map(|(kind, names)| names.iter().map(move |(key, server)| lvs_change::new(kind, key, (*server).into())));
    let _all_told = services.chain(servers).all(|change| visit(&raw const change, user));
}

/// Makes the rules what a text says, -A and -a lines as ipvsadm -S writes them, and touches nothing else: what the text
/// does not name is removed, what is new is added, what is described otherwise is changed in place; the rest keeps its
/// connections, counters and order.
///
/// done, if not NULL, tells how much that was; put its size into it first. visit, if not NULL, is called with each
/// change, services first, until it returns false; it must not call this director: LVS_ERR_BUSY. On refusal nothing has
/// changed, and the rest is as for lvs_director_load. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_apply(
    director: *mut lvs_director,
    text: *const c_char,
    text_length: usize,
    done: *mut lvs_applied,
    visit: lvs_change_visitor,
    user: *mut c_void,
    error_line: *mut u32,
    error_column: *mut u32,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, text, done, error_line, error_column) = unsafe {
            (
                lvs_director::borrow(director)?,
                ptr::text(text, text_length)?,
                ptr::sized_wanted(done)?,
                ptr::wanted(error_line)?,
                ptr::wanted(error_column)?,
            )
        };
        let applied = handle.director.apply(text).map_err(|error| {
            point_at(&error, error_line, error_column);
            handle.refuse(&error)
        })?;
        tell(&applied, done, visit, user);
        Ok(())
    })
}

/// A service and its servers, as lvs_director_apply_services wants them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_wanted {
    /// The service.
    pub service: *const lvs_service,
    /// Its servers, one behind the other. NULL if there are none.
    pub servers: *const lvs_server,
    /// How many servers.
    pub server_count: usize,
}

impl lvs_wanted {
    /// The descriptions, or which server is to blame (`LVS_NONE` for the service) and why.
    ///
    /// # Safety
    /// The pointers are null, or point to what the header says.
    unsafe fn read(&self) -> Result<(ServiceSpec, Vec<ServerSpec>), (u32, lvs_status)> {
        let of_service = |status| (LVS_NONE, status);
        // SAFETY: the caller's promise.
        let service = unsafe { lvs_service::take(self.service) }.and_then(|service| service.read());
        // SAFETY: the caller's promise; descriptions are numbers.
        let servers = unsafe { ptr::sized_array(self.servers, self.server_count, lvs_server::DEFAULT) };
        let servers = servers.map_err(|(place, status)| (number(place), status))?;
        let servers = servers.iter().zip(0..).map(|(server, place)| server.read().map_err(|status| (place, status)));
        Ok((service.map_err(of_service)?, servers.collect::<Result<_, _>>()?))
    }
}

/// The same for records instead of a text: count services, each once, each with its servers.
///
/// On refusal (those of lvs_director_add_service and lvs_director_add_server) nothing has changed; error_service and
/// error_server, each unless it is NULL, are set to the places of what was refused, error_server to LVS_NONE if it is the
/// service itself. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_apply_services(
    director: *mut lvs_director,
    wanted: *const lvs_wanted,
    count: usize,
    done: *mut lvs_applied,
    visit: lvs_change_visitor,
    user: *mut c_void,
    error_service: *mut u32,
    error_server: *mut u32,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, wanted, done, error_service, error_server) = unsafe {
            (
                lvs_director::borrow(director)?,
                ptr::array(wanted, count)?,
                ptr::sized_wanted(done)?,
                ptr::wanted(error_service)?,
                ptr::wanted(error_server)?,
            )
        };
        let blame = |service: u32, server: u32| {
            error_service.map(|place| place.write(service));
            error_server.map(|place| place.write(server));
        };
        let mut specs = Vec::with_capacity(wanted.len());
        for (one, place) in wanted.iter().zip(0..) {
            // SAFETY: the contract of the crate, for what the array points to as well.
            match unsafe { one.read() } {
                Ok(spec) => specs.push(spec),
                Err((server, status)) => {
                    blame(place, server);
                    return Err(status);
                }
            }
        }
        match handle.director.apply_specs(&specs) {
            Ok(applied) => tell(&applied, done, visit, user),
            Err(error) => {
                let (service, server) = places_of(&error, &specs);
                blame(service, server);
                return Err(handle.refuse(&error));
            }
        }
        Ok(())
    })
}

/// Where in a wanted configuration the service and the server are that were refused: of those that are named twice the
/// second.
fn places_of(error: &ApplyError, specs: &[(ServiceSpec, Vec<ServerSpec>)]) -> (u32, u32) {
    let service = specs.iter().rposition(|(spec, _)| spec.key == error.service);
    let servers = service.map_or(&[][..], |service| &specs[service].1);
    let server = error.server.and_then(|address| servers.iter().rposition(|server| server.address == address));
    (service.map_or(LVS_NONE, number), server.map_or(LVS_NONE, number))
}
