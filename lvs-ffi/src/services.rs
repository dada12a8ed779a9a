//! Virtual services: added, edited, removed, found, walked.

use core::ffi::{c_char, c_void};
use core::net::Ipv4Addr;
use core::time::Duration;

use lvs_core::{
    Family, Netmask, Persistence, Protocol, SchedulerFlags, ServiceId, ServiceKey, ServiceOptions, ServiceSpec,
    ServiceView, SlowStart,
};

use crate::director::number;
use crate::lvs_status::{self, LVS_ERR_ARGUMENT, LVS_ERR_NOT_FOUND};
use crate::text::{self, NAME};
use crate::{lvs_address, lvs_counters, lvs_director, lvs_rates, lvs_service_id, lvs_timeouts, ptr, status::boundary};

/// Protocol of a service: TCP.
pub const LVS_PROTOCOL_TCP: u8 = 6;
/// Protocol of a service: UDP.
pub const LVS_PROTOCOL_UDP: u8 = 17;
/// Protocol of a service: SCTP.
pub const LVS_PROTOCOL_SCTP: u8 = 132;

/// Flag of a service: one-packet scheduling, every UDP packet is scheduled anew.
pub const LVS_SERVICE_ONE_PACKET: u32 = 1;
/// Flag of a service: the netmask counts.
pub const LVS_SERVICE_NETMASK: u32 = 2;
/// Flag of a service, sh-fallback and mh-fallback: try other servers when the hashed one cannot take the connection.
pub const LVS_SERVICE_FALLBACK: u32 = 8;
/// Flag of a service, sh-port and mh-port: hash the client's port too.
pub const LVS_SERVICE_PORT: u32 = 16;
/// Flag of a service, flag-3: kept and shown, read by no scheduler.
pub const LVS_SERVICE_THIRD: u32 = 32;

/// A virtual service, as ipvsadm -A describes it. Begin with LVS_SERVICE_INIT. What identifies it are mark and the family
/// of the address, or, where mark is 0, protocol and address.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_service {
    /// sizeof(lvs_service).
    pub size: u32,
    /// The firewall mark, 0 for a service by address.
    pub mark: u32,
    /// The virtual address; port 0 stands for every port. With a mark only its family counts, and the rest is 0.
    pub address: lvs_address,
    /// LVS_SERVICE_*.
    pub flags: u32,
    /// How long a client stays with its server, in seconds, up to 31 days; 0 for no persistence.
    pub persistence: u32,
    /// With LVS_SERVICE_NETMASK: the bits of an IPv4 client's address that count for persistence.
    pub netmask_v4: [u8; 4],
    /// And how many leading ones of an IPv6 client's, 1 to 128.
    pub netmask_v6: u8,
    /// LVS_PROTOCOL_*; 0 with a mark.
    pub protocol: u8,
    /// 0.
    pub reserved: u16,
    /// The scheduler's name, such as "wlc"; "none" for no scheduling at all.
    pub scheduler: [c_char; 16],
    /// The persistence engine's name ("sip"), or empty.
    pub engine: [c_char; 16],
}

impl ptr::Growing for lvs_service {}

const FLAGS: [(u32, SchedulerFlags); 3] = [
    (LVS_SERVICE_FALLBACK, SchedulerFlags::FALLBACK),
    (LVS_SERVICE_PORT, SchedulerFlags::PORT),
    (LVS_SERVICE_THIRD, SchedulerFlags::THIRD),
];
const ALL_FLAGS: u32 =
    LVS_SERVICE_ONE_PACKET | LVS_SERVICE_NETMASK | LVS_SERVICE_FALLBACK | LVS_SERVICE_PORT | LVS_SERVICE_THIRD;

impl lvs_service {
    const DEFAULT: Self = Self {
        size: size_of::<Self>() as u32,
        mark: 0,
        address: lvs_address { family: 0, reserved: 0, port: 0, bytes: [0; 16] },
        flags: 0,
        persistence: 0,
        netmask_v4: [0; 4],
        netmask_v6: 0,
        protocol: 0,
        reserved: 0,
        scheduler: text::put("wlc"),
        engine: [0; NAME],
    };

    /// A description that C hands over.
    ///
    /// # Safety
    /// As [`ptr::sized`].
    pub(crate) unsafe fn take(service: *const Self) -> Result<Self, lvs_status> {
        // SAFETY: the caller's promise; a description is numbers.
        unsafe { ptr::sized(service, Self::DEFAULT) }
    }

    fn key(&self) -> Result<ServiceKey, lvs_status> {
        let address = self.address.socket()?;
        if self.mark != 0 {
            let is_clean = self.protocol == 0 && self.address.port == 0 && self.address.bytes == [0; 16];
            let family = Family::of(address.ip());
            return if is_clean { Ok(ServiceKey::mark(self.mark, family)) } else { Err(LVS_ERR_ARGUMENT) };
        }
        let protocol = Protocol::from_number(self.protocol).ok_or(LVS_ERR_ARGUMENT)?;
        Ok(ServiceKey::address(protocol, address))
    }

    /// Mark, protocol and address of what a key names.
    pub(crate) fn named_by(key: &ServiceKey) -> (u32, u8, lvs_address) {
        match *key {
            ServiceKey::Address { protocol, address } => (0, protocol.number(), address.into()),
            ServiceKey::Mark { mark, family } => {
                (mark, 0, lvs_address { family: family as u8, ..lvs_address::default() })
            }
        }
    }

    pub(crate) fn read(&self) -> Result<ServiceSpec, lvs_status> {
        if self.reserved != 0 || self.flags & !ALL_FLAGS != 0 {
            return Err(LVS_ERR_ARGUMENT);
        }
        let key = self.key()?;
        let netmask = match key.family() {
            Family::V4 => Netmask::V4(Ipv4Addr::from(self.netmask_v4)),
            Family::V6 => Netmask::V6(self.netmask_v6),
        };
        let flags = FLAGS.iter().filter(|(flag, _)| self.flags & flag != 0);
        let engine = text::name(&self.engine)?;
        Ok(ServiceSpec {
            scheduler: text::name(&self.scheduler)?,
            flags: flags.fold(SchedulerFlags::NONE, |all, &(_, flag)| all.with(flag)),
            one_packet: self.flags & LVS_SERVICE_ONE_PACKET != 0,
            persistence: (self.persistence != 0)
                .then(|| Persistence { timeout: Duration::from_secs(self.persistence.into()) }),
            netmask: (self.flags & LVS_SERVICE_NETMASK != 0).then_some(netmask),
            engine: (!engine.is_empty()).then_some(engine),
            ..ServiceSpec::new(key)
        })
    }
}

impl From<&ServiceSpec> for lvs_service {
    fn from(spec: &ServiceSpec) -> Self {
        let (mark, protocol, address) = Self::named_by(&spec.key);
        let (netmask_v4, netmask_v6) = match spec.netmask {
            Some(Netmask::V4(mask)) => (mask.octets(), 0),
            Some(Netmask::V6(prefix)) => ([0; 4], prefix),
            None => ([0; 4], 0),
        };
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let flags = FLAGS.iter().map(|&(number, of)| flag(spec.flags.contains(of), number)).sum::<u32>();
        let timeout = spec.persistence.map_or(0, |persistence| persistence.timeout.as_secs());
        Self {
            mark,
            address,
            flags: flags
                | flag(spec.one_packet, LVS_SERVICE_ONE_PACKET)
                | flag(spec.netmask.is_some(), LVS_SERVICE_NETMASK),
            persistence: u32::try_from(timeout).unwrap_or(u32::MAX),
            netmask_v4,
            netmask_v6,
            protocol,
            scheduler: text::put(&spec.scheduler),
            engine: text::put(spec.engine.as_deref().unwrap_or_default()),
            ..Self::DEFAULT
        }
    }
}

/// What has become of a service.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_service_info {
    /// sizeof(lvs_service_info), put there by the caller.
    pub size: u32,
    /// How many servers it has.
    pub servers: u32,
    /// Its id.
    pub id: lvs_service_id,
    /// Counters, those of servers that have left it included, as of the latest two-second tick.
    pub counters: lvs_counters,
    /// Rates.
    pub rates: lvs_rates,
}

impl ptr::Growing for lvs_service_info {}

impl From<&ServiceView> for lvs_service_info {
    fn from(view: &ServiceView) -> Self {
        Self {
            size: size_of::<Self>() as u32,
            servers: number(view.servers.len()),
            id: view.id.into(),
            counters: view.stats.into(),
            rates: view.rates.into(),
        }
    }
}

/// Is told of one service. Returns whether to go on. Both records are there only as long as the call lasts.
pub type lvs_service_visitor =
    Option<extern "C" fn(service: *const lvs_service, info: *const lvs_service_info, user: *mut c_void) -> bool>;

/// Adds a service, as ipvsadm -A. New flows may reach it from the next packet on. out, if not NULL, is its id.
///
/// LVS_ERR_ARGUMENT if the record is not as this header says; LVS_ERR_EXISTS, LVS_ERR_NOT_FOUND (no such scheduler or
/// engine), LVS_ERR_FULL, LVS_ERR_REFUSED; then nothing has changed. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_add_service(
    director: *mut lvs_director,
    service: *const lvs_service,
    out: *mut lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, service, out) =
            unsafe { (lvs_director::borrow(director)?, lvs_service::take(service)?, ptr::wanted(out)?) };
        let id = handle.director.add_service(service.read()?).map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Gives the service of the same mark or address another description, as ipvsadm -E. Its connections stay. out, if not
/// NULL, is its id. Refusals are those of lvs_director_add_service. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_edit_service(
    director: *mut lvs_director,
    service: *const lvs_service,
    out: *mut lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, service, out) =
            unsafe { (lvs_director::borrow(director)?, lvs_service::take(service)?, ptr::wanted(out)?) };
        let id = handle.director.edit_service(service.read()?).map_err(|error| handle.refuse(&error))?;
        out.map(|out| out.write(id.into()));
        Ok(())
    })
}

/// Removes a service with its servers, as ipvsadm -D. Its connections live on until they time out; their packets to the
/// server are dropped meanwhile, or end them, as the tunable expire_nodest_conn says. Without any service of their family
/// all packets are passed. LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_remove_service(
    director: *mut lvs_director,
    service: lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let mut handle = unsafe { lvs_director::borrow(director)? };
        handle.director.remove_service(service.into()).map_err(|error| handle.refuse(&error))
    })
}

/// Removes all services, each as lvs_director_remove_service does, as ipvsadm -C. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_clear(director: *mut lvs_director) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let mut handle = unsafe { lvs_director::borrow(director)? };
        handle.director.clear();
        Ok(())
    })
}

/// Sets the counters of a service to zero, as ipvsadm -Z; those of all services and of the director if its index is
/// LVS_NONE. LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_zero(director: *mut lvs_director, service: lvs_service_id) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let mut handle = unsafe { lvs_director::borrow(director)? };
        let service = (!service.is_none()).then(|| ServiceId::from(service));
        handle.director.zero(service).map_err(|error| handle.refuse(&error))
    })
}

/// Finds the service of a mark or an address; the rest of the description does not matter. LVS_ERR_NOT_FOUND. One thread
/// at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_find_service(
    director: *const lvs_director,
    service: *const lvs_service,
    out: *mut lvs_service_id,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, service, out) =
            unsafe { (lvs_director::borrow(director)?, lvs_service::take(service)?, ptr::output(out)?) };
        out.write(handle.director.find_service(&service.key()?).ok_or(LVS_ERR_NOT_FOUND)?.into());
        Ok(())
    })
}

/// Writes the description of a service and what has become of it; either may be NULL. Put the sizes there first.
/// LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_service(
    director: *const lvs_director,
    id: lvs_service_id,
    service: *mut lvs_service,
    info: *mut lvs_service_info,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, service, info) =
            unsafe { (lvs_director::borrow(director)?, ptr::sized_wanted(service)?, ptr::sized_wanted(info)?) };
        let view = handle.director.service(id.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        if let Some(out) = service {
            out.write(lvs_service::from(&view.spec));
        }
        if let Some(out) = info {
            out.write(lvs_service_info::from(&view));
        }
        Ok(())
    })
}

/// Calls visit with each service, in no particular order, until it returns false. It must not call this director:
/// LVS_ERR_BUSY. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_each_service(
    director: *const lvs_director,
    visit: lvs_service_visitor,
    user: *mut c_void,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let handle = unsafe { lvs_director::borrow(director)? };
        let visit = visit.ok_or(lvs_status::LVS_ERR_NULL)?;
        for view in handle.director.services() {
            let (service, info) = (lvs_service::from(&view.spec), lvs_service_info::from(&view));
            if !visit(&raw const service, &raw const info, user) {
                break;
            }
        }
        Ok(())
    })
}

/// Flag of service options: rr, wrr and swrr begin their turn at a server drawn from the director's seed, so that several
/// directors of one configuration do not all begin at the same server.
pub const LVS_SERVICE_BEGINS_ANYWHERE: u32 = 1;

/// What a service can do beyond the kernel's. Begin with LVS_SERVICE_OPTIONS_INIT, which is nothing of it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_service_options {
    /// sizeof(lvs_service_options).
    pub size: u32,
    /// LVS_SERVICE_BEGINS_ANYWHERE, or 0.
    pub flags: u32,
    /// Milliseconds in which the weight of a new server grows from a share to all of it, 1 second to 31 days; 0 for at
    /// once.
    pub slow_start_ms: u32,
    /// That share, 1 to 100 percent; 0 for 10.
    pub slow_start_percent: u32,
    /// Timeouts of its own, or NULL for those of the director.
    pub timeouts: *const lvs_timeouts,
}

impl ptr::Growing for lvs_service_options {}

/// Switches on for a service what the kernel does not do, and off what is not named. LVS_ERR_NOT_FOUND, LVS_ERR_REFUSED
/// for numbers out of range, LVS_ERR_FULL if 65535 other services have timeouts of their own; then nothing has changed.
/// One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_service_options(
    director: *mut lvs_director,
    service: lvs_service_id,
    options: *const lvs_service_options,
) -> lvs_status {
    const DEFAULT: lvs_service_options = lvs_service_options {
        size: size_of::<lvs_service_options>() as u32,
        flags: 0,
        slow_start_ms: 0,
        slow_start_percent: 0,
        timeouts: core::ptr::null(),
    };
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null; what the options point to as well.
        let (mut handle, options, timeouts) = unsafe {
            let options = ptr::sized(options, DEFAULT)?;
            let timeouts = options.timeouts;
            let timeouts = if timeouts.is_null() { None } else { Some(lvs_timeouts::take(timeouts)?) };
            (lvs_director::borrow(director)?, options, timeouts)
        };
        if options.flags & !LVS_SERVICE_BEGINS_ANYWHERE != 0 {
            return Err(LVS_ERR_ARGUMENT);
        }
        let duration = Duration::from_millis(options.slow_start_ms.into());
        let least_percent = match options.slow_start_percent {
            0 => 10,
            // What does not fit is refused as all above 100 are.
            percent => u8::try_from(percent).unwrap_or(u8::MAX),
        };
        let options = ServiceOptions {
            timeouts: timeouts.map(|own| own.read()).transpose().map_err(|error| handle.refuse(&error))?,
            slow_start: (!duration.is_zero()).then_some(SlowStart { duration, least_percent }),
            begins_anywhere: options.flags & LVS_SERVICE_BEGINS_ANYWHERE != 0,
        };
        handle.director.set_service_options(service.into(), options).map_err(|error| handle.refuse(&error))
    })
}

/// Writes what a service does beyond the kernel's; put the sizes there first. Timeouts of its own are written into
/// timeouts, which may be NULL, and options->timeouts points there then; it is NULL if the service has none.
/// LVS_ERR_NOT_FOUND. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_service_options(
    director: *const lvs_director,
    service: lvs_service_id,
    options: *mut lvs_service_options,
    timeouts: *mut lvs_timeouts,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out, own) =
            unsafe { (lvs_director::borrow(director)?, ptr::sized_out(options)?, ptr::sized_wanted(timeouts)?) };
        let options = handle.director.service_options(service.into()).ok_or(LVS_ERR_NOT_FOUND)?;
        let slow_start = options.slow_start;
        out.write(lvs_service_options {
            size: 0,
            flags: if options.begins_anywhere { LVS_SERVICE_BEGINS_ANYWHERE } else { 0 },
            slow_start_ms: slow_start
                .map_or(0, |slow_start| u32::try_from(slow_start.duration.as_millis()).unwrap_or(u32::MAX)),
            slow_start_percent: slow_start.map_or(0, |slow_start| slow_start.least_percent.into()),
            timeouts: if options.timeouts.is_some() { timeouts } else { core::ptr::null() },
        });
        if let (Some(own), Some(timeouts)) = (own, &options.timeouts) {
            own.write(lvs_timeouts::from(timeouts));
        }
        Ok(())
    })
}
