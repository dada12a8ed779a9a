//! What the host tells the director of itself: ways, addresses, memory.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_core::Path;

use crate::lvs_status::{self, LVS_ERR_ARGUMENT};
use crate::{lvs_address, lvs_director, ptr, status::boundary};

/// The way from the host to a real server. Begin with LVS_PATH_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_path {
    /// The largest IP packet that gets through, in bytes.
    pub mtu: u16,
    /// Not 0 if there is no route: clients are told that the host is unreachable.
    pub unreachable: u8,
    /// 0.
    pub reserved: u8,
    /// The host's address towards IPv4 servers: source of tunnel packets. With 0.0.0.0 packets for a tunnel are dropped.
    pub tunnel_source_v4: [u8; 4],
    /// The same towards IPv6 servers.
    pub tunnel_source_v6: [u8; 16],
}

impl lvs_path {
    pub(crate) const DEFAULT: Self =
        Self { mtu: 1500, unreachable: 0, reserved: 0, tunnel_source_v4: [0; 4], tunnel_source_v6: [0; 16] };

    pub(crate) fn read(&self) -> Result<Path, lvs_status> {
        if self.reserved != 0 {
            return Err(LVS_ERR_ARGUMENT);
        }
        Ok(Path {
            mtu: self.mtu,
            tunnel_source_v4: Ipv4Addr::from(self.tunnel_source_v4),
            tunnel_source_v6: Ipv6Addr::from(self.tunnel_source_v6),
            reachable: self.unreachable == 0,
        })
    }
}

/// Tells the way to servers of an address, those there are and those to come; its port does not matter. path NULL
/// forgets what was told: the way of the configuration holds again. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_path(
    director: *mut lvs_director,
    address: *const lvs_address,
    path: *const lvs_path,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, address, path) =
            unsafe { (lvs_director::borrow(director)?, ptr::input(address)?, ptr::given(path)?) };
        match (address.ip()?, path) {
            (address, Some(path)) => handle.director.set_path(address, path.read()?),
            (address, None) => handle.director.clear_path(address),
        }
        Ok(())
    })
}

/// Tells the host's own addresses, the virtual ones included, instead of those told before. A real server with such an
/// address is local: its packets are passed to the host. With none, every address that packets come for is the host's.
/// One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_local_addresses(
    director: *mut lvs_director,
    addresses: *const lvs_address,
    count: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, addresses) = unsafe { (lvs_director::borrow(director)?, ptr::array(addresses, count)?) };
        let addresses = addresses.iter().map(lvs_address::ip).collect::<Result<_, _>>()?;
        handle.director.set_local_addresses(addresses);
        Ok(())
    })
}

/// Tells the IPv4 broadcast addresses of the host's networks, instead of those told before: no new server can have one of
/// them, and no packet to them goes past all servers. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_broadcast_addresses(
    director: *mut lvs_director,
    addresses: *const lvs_address,
    count: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, addresses) = unsafe { (lvs_director::borrow(director)?, ptr::array(addresses, count)?) };
        let v4 = |address: &lvs_address| match address.ip()? {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(_) => Err(LVS_ERR_ARGUMENT),
        };
        let addresses = addresses.iter().map(v4).collect::<Result<_, _>>()?;
        handle.director.set_broadcast_addresses(addresses);
        Ok(())
    })
}

/// Tells the host's addresses towards the clients, the source of ICMP errors about packets to addresses that are not the
/// host's own (services by firewall mark). Either may be NULL for none. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_client_side_addresses(
    director: *mut lvs_director,
    v4: *const lvs_address,
    v6: *const lvs_address,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, v4, v6) = unsafe { (lvs_director::borrow(director)?, ptr::given(v4)?, ptr::given(v6)?) };
        let v4 = match v4.map(|address| address.ip()).transpose()? {
            Some(IpAddr::V6(_)) => return Err(LVS_ERR_ARGUMENT),
            Some(IpAddr::V4(address)) => Some(address),
            None => None,
        };
        let v6 = match v6.map(|address| address.ip()).transpose()? {
            Some(IpAddr::V4(_)) => return Err(LVS_ERR_ARGUMENT),
            Some(IpAddr::V6(address)) => Some(address),
            None => None,
        };
        handle.director.set_client_side_addresses(v4, v6);
        Ok(())
    })
}

/// Tells how many pages of memory the host has to spare: fewer than the tunable amemthresh switch on the defences that are
/// in an automatic mode. Until it is told, memory is never short. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_available_memory(director: *mut lvs_director, pages: u64) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let mut handle = unsafe { lvs_director::borrow(director)? };
        handle.director.set_available_memory(pages);
        Ok(())
    })
}
