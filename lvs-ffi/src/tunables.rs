//! Settings that change while the director runs: tunables, timeouts, admission, helpers.

use core::ffi::{CStr, c_char};
use core::time::Duration;

use lvs_core::{ControlError, FlowState, SctpState, TcpState, Timeouts, Tunables};

use crate::lvs_status::{self, LVS_ERR_NOT_FOUND};
use crate::{director::admission_of, lvs_director, ptr, status::boundary};

/// Changes a setting of the kernel's by its name, with or without "net.ipv4.vs." in front, to a value written as for
/// sysctl. LVS_ERR_NOT_FOUND, LVS_ERR_REFUSED for a value that the kernel would not take; then nothing has changed. One
/// thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_tunable(
    director: *mut lvs_director,
    name: *const c_char,
    name_length: usize,
    value: *const c_char,
    value_length: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, name, value) = unsafe {
            (lvs_director::borrow(director)?, ptr::text(name, name_length)?, ptr::text(value, value_length)?)
        };
        handle.director.set_tunable(name, value).map_err(|error| handle.refuse(&error))
    })
}

/// Writes a setting as sysctl would; needed is as for lvs_director_run. LVS_ERR_NOT_FOUND. One thread at a time per
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_tunable(
    director: *const lvs_director,
    name: *const c_char,
    name_length: usize,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, name, out, needed) = unsafe {
            (
                lvs_director::borrow(director)?,
                ptr::text(name, name_length)?,
                ptr::array_out(out.cast(), capacity)?,
                ptr::wanted(needed)?,
            )
        };
        ptr::put_text(&handle.director.tunables().get(name).ok_or(LVS_ERR_NOT_FOUND)?, out, needed)
    })
}

/// The longest name, its zero byte included.
const NAME: usize = 32;
const COUNT: usize = Tunables::NAMES.len();

static NAMES: [[u8; NAME]; COUNT] = {
    let (mut names, mut i) = ([[0; NAME]; COUNT], 0);
    while i < COUNT {
        let name = Tunables::NAMES[i].as_bytes();
        assert!(name.len() < NAME, "a zero byte ends the name");
        let (given, _) = names[i].split_at_mut(name.len());
        given.copy_from_slice(name);
        i += 1;
    }
    names
};

/// The names of the settings, from 0 on, without "net.ipv4.vs."; NULL behind the last. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_tunable_name(index: usize) -> *const c_char {
    let name = NAMES.get(index).and_then(|name| CStr::from_bytes_until_nul(name).ok());
    name.map_or(core::ptr::null(), CStr::as_ptr)
}

/// A state of a TCP connection: its place in lvs_timeouts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_tcp_state {
    /// Before the first packet.
    LVS_TCP_NONE = 0,
    /// ESTABLISHED.
    LVS_TCP_ESTABLISHED = 1,
    /// SYN_SENT: the server began.
    LVS_TCP_SYN_SENT = 2,
    /// SYN_RECV: the client began.
    LVS_TCP_SYN_RECEIVED = 3,
    /// FIN_WAIT.
    LVS_TCP_FIN_WAIT = 4,
    /// TIME_WAIT.
    LVS_TCP_TIME_WAIT = 5,
    /// CLOSE.
    LVS_TCP_CLOSE = 6,
    /// CLOSE_WAIT.
    LVS_TCP_CLOSE_WAIT = 7,
    /// LAST_ACK.
    LVS_TCP_LAST_ACK = 8,
    /// LISTEN.
    LVS_TCP_LISTEN = 9,
    /// SYNACK: with secure_tcp, the server has answered and the client not yet.
    LVS_TCP_SYN_ACK = 10,
}

/// A state of an SCTP association: its place in lvs_timeouts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_sctp_state {
    /// Before the first packet.
    LVS_SCTP_NONE = 0,
    /// INIT1: the first INIT.
    LVS_SCTP_INIT1 = 1,
    /// INIT: another one.
    LVS_SCTP_INIT = 2,
    /// C-SENT: the server has sent a cookie.
    LVS_SCTP_COOKIE_SENT = 3,
    /// C-REPLIED: the client has sent it back.
    LVS_SCTP_COOKIE_REPLIED = 4,
    /// C-WAIT: a cookie from the server is awaited.
    LVS_SCTP_COOKIE_WAIT = 5,
    /// COOKIE.
    LVS_SCTP_COOKIE = 6,
    /// C-ECHOED.
    LVS_SCTP_COOKIE_ECHOED = 7,
    /// ESTABLISHED.
    LVS_SCTP_ESTABLISHED = 8,
    /// S-SENT: the server shuts down.
    LVS_SCTP_SHUTDOWN_SENT = 9,
    /// S-RECEIVED: the client shuts down.
    LVS_SCTP_SHUTDOWN_RECEIVED = 10,
    /// S-ACK-SENT.
    LVS_SCTP_SHUTDOWN_ACK_SENT = 11,
    /// REJECTED.
    LVS_SCTP_REJECTED = 12,
    /// CLOSED.
    LVS_SCTP_CLOSED = 13,
}

/// How long a connection lives in each state after its latest packet, in milliseconds up to 31 days.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_timeouts {
    /// sizeof(lvs_timeouts).
    pub size: u32,
    /// Of a UDP flow. On the way in 0 stands for the kernel's default, here and below.
    pub udp_ms: u32,
    /// Of a TCP connection, by LVS_TCP_*.
    pub tcp_ms: [u32; 11],
    /// Of an SCTP association, by LVS_SCTP_*.
    pub sctp_ms: [u32; 14],
}

impl ptr::Growing for lvs_timeouts {}

impl lvs_timeouts {
    /// Timeouts that C hands over.
    ///
    /// # Safety
    /// As [`ptr::sized`].
    pub(crate) unsafe fn take(timeouts: *const Self) -> Result<Self, lvs_status> {
        let default = Self { size: 0, udp_ms: 0, tcp_ms: [0; 11], sctp_ms: [0; 14] };
        // SAFETY: the caller's promise; timeouts are numbers.
        unsafe { ptr::sized(timeouts, default) }
    }

    pub(crate) fn read(&self) -> Result<Timeouts, ControlError> {
        let tcp = TcpState::ALL.into_iter().map(FlowState::Tcp).zip(self.tcp_ms);
        let sctp = SctpState::ALL.into_iter().map(FlowState::Sctp).zip(self.sctp_ms);
        let all = tcp.chain(sctp).chain([(FlowState::Udp, self.udp_ms)]);
        all.filter(|&(_, ms)| ms != 0).try_fold(Timeouts::default(), |timeouts, (state, ms)| {
            timeouts.with(state, Duration::from_millis(ms.into()))
        })
    }
}

impl From<&Timeouts> for lvs_timeouts {
    fn from(timeouts: &Timeouts) -> Self {
        let ms = |state| u32::try_from(timeouts.of(state).as_millis()).unwrap_or(u32::MAX);
        Self {
            size: 0,
            udp_ms: ms(FlowState::Udp),
            tcp_ms: TcpState::ALL.map(|state| ms(FlowState::Tcp(state))),
            sctp_ms: SctpState::ALL.map(|state| ms(FlowState::Sctp(state))),
        }
    }
}

/// Writes the timeouts of the director; put the size into *out first. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_timeouts(director: *const lvs_director, out: *mut lvs_timeouts) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::sized_out(out)?) };
        out.write(lvs_timeouts::from(handle.director.timeouts()));
        Ok(())
    })
}

/// Changes the timeouts of the director, for connections from their next packet on. Those of ipvsadm --set are three of
/// them. LVS_ERR_REFUSED for more than 31 days; then nothing has changed. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_timeouts(
    director: *mut lvs_director,
    timeouts: *const lvs_timeouts,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, timeouts) = unsafe { (lvs_director::borrow(director)?, lvs_timeouts::take(timeouts)?) };
        let timeouts = timeouts.read().map_err(|error| handle.refuse(&error))?;
        handle.director.set_state_timeouts(timeouts);
        Ok(())
    })
}

/// Changes what a full table does about a new connection: LVS_ADMISSION_*. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_admission(director: *mut lvs_director, admission: u32) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let mut handle = unsafe { lvs_director::borrow(director)? };
        handle.director.set_admission(admission_of(admission)?);
        Ok(())
    })
}

/// Turns the FTP helper on for services of these ports, as the kernel's module ip_vs_ftp does for 21; none turns it off.
/// At most eight, each once: LVS_ERR_REFUSED. Packets should have 16 bytes of room behind or in front of them. One thread
/// at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_set_ftp_ports(
    director: *mut lvs_director,
    ports: *const u16,
    count: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, ports) = unsafe { (lvs_director::borrow(director)?, ptr::array(ports, count)?) };
        handle.director.set_ftp_ports(ports).map_err(|error| handle.refuse(&error))
    })
}

/// Writes the ports of the FTP helper; capacity 8 is always enough. needed, if not NULL, is how many there are, on LVS_OK
/// and on LVS_ERR_SPACE. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_ftp_ports(
    director: *const lvs_director,
    out: *mut u16,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out, needed) =
            unsafe { (lvs_director::borrow(director)?, ptr::array_out(out, capacity)?, ptr::wanted(needed)?) };
        let ports: Vec<u16> = handle.director.ftp_ports().collect();
        ptr::put_all(ports, out, needed)
    })
}
