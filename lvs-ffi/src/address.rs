//! Addresses: both families in one record, and how they are written.

use core::ffi::c_char;
use core::net::{IpAddr, SocketAddr};

use crate::lvs_status::{self, LVS_ERR_ARGUMENT};
use crate::{ptr, status::boundary};

/// An address, and a port where one belongs to it. All bytes 0 is no address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct lvs_address {
    /// 4 or 6; 0 for none.
    pub family: u8,
    /// 0.
    pub reserved: u8,
    /// The port, as a number (not in network byte order); 0 for none.
    pub port: u16,
    /// The first 4 or all 16 bytes, most significant first. The rest comes out as 0, and is not looked at on its way in.
    pub bytes: [u8; 16],
}

impl lvs_address {
    pub(crate) fn ip(&self) -> Result<IpAddr, lvs_status> {
        let [a, b, c, d, ..] = self.bytes;
        match self.family {
            4 if self.reserved == 0 => Ok(IpAddr::from([a, b, c, d])),
            6 if self.reserved == 0 => Ok(IpAddr::from(self.bytes)),
            _ => Err(LVS_ERR_ARGUMENT),
        }
    }

    pub(crate) fn socket(&self) -> Result<SocketAddr, lvs_status> {
        self.ip().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// The address unless it is none.
    pub(crate) fn given(&self) -> Result<Option<IpAddr>, lvs_status> {
        if self.family == 0 && self.reserved == 0 { Ok(None) } else { self.ip().map(Some) }
    }
}

impl From<IpAddr> for lvs_address {
    fn from(ip: IpAddr) -> Self {
        SocketAddr::new(ip, 0).into()
    }
}

impl From<SocketAddr> for lvs_address {
    fn from(address: SocketAddr) -> Self {
        let mut out = Self { port: address.port(), ..Self::default() };
        match address.ip() {
            IpAddr::V4(ip) => {
                out.family = 4;
                out.bytes[..4].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => (out.family, out.bytes) = (6, ip.octets()),
        }
        out
    }
}

/// Reads an address such as 192.0.2.10, 192.0.2.10:80, 2001:db8::1 or `[2001:db8::1]:80`. LVS_ERR_ARGUMENT if it is none.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_address_parse(
    text: *const c_char,
    text_length: usize,
    out: *mut lvs_address,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (text, out) = unsafe { (ptr::text(text, text_length)?, ptr::output(out)?) };
        let address = text.parse().map(|ip| SocketAddr::new(ip, 0)).or_else(|_| text.parse());
        out.write(address.map_err(|_| LVS_ERR_ARGUMENT)?.into());
        Ok(())
    })
}

/// Writes an address as lvs_address_parse reads it, the port unless it is 0; needed is as for lvs_director_run, and never
/// above 48. LVS_ERR_ARGUMENT if it is no address. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_address_format(
    address: *const lvs_address,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (address, out, needed) =
            unsafe { (ptr::input(address)?, ptr::array_out(out.cast(), capacity)?, ptr::wanted(needed)?) };
        let text = match address.port {
            0 => address.ip()?.to_string(),
            _ => address.socket()?.to_string(),
        };
        ptr::put_text(&text, out, needed)
    })
}
