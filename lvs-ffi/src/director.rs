//! Building a director, telling it what to do, letting time pass.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use lvs_core::{Admission, Config, Director, Instant, Kernel, RuleError};

use crate::lvs_status::{self, LVS_ERR_ARGUMENT};
use crate::{lvs_director, lvs_path, ptr, status::boundary};

/// What a director is built from. Begin with LVS_CONFIG_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_config {
    /// sizeof(lvs_config): a caller with an older header is understood by it.
    pub size: u32,
    /// Room for so many connections, reserved at once, about 153 bytes each. From 1 to 2147483648.
    pub connections: u32,
    /// Seeds hashing and schedulers that draw: same seed, same packets, same times, same results. Towards the Internet
    /// take it from the random numbers of the system.
    pub seed: u64,
    /// Room for so many events that wait for lvs_director_poll_events; those that find none are lost and counted. 0 for
    /// no events, which costs nothing.
    pub events: u32,
    /// Room for the first parts of so many fragmented packets, which later parts follow, about 110 bytes each; without
    /// room the oldest is forgotten. Up to 2147483648. With 0 every part is passed.
    pub fragments: u32,
    /// Room for so many Call-IDs of services with the persistence engine sip, 256 bytes each, reserved when the first
    /// such service is added.
    pub engine_templates: u32,
    /// LVS_KERNEL_*: the kernel whose behaviour is wanted where kernels differ.
    pub kernel: u8,
    /// LVS_ADMISSION_*: what a full table does about a new connection.
    pub admission: u8,
    /// 0.
    pub reserved: u16,
    /// The way to servers that lvs_director_set_path says nothing of.
    pub path: lvs_path,
}

/// Counts fit into 32 bits: nothing of which there are more is counted so.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A kernel to be equal to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_kernel {
    /// Linux 6.1.192, and kernels of its time (from the middle of 2026 on).
    LVS_KERNEL_V6_1_192 = 0,
    /// Those before.
    LVS_KERNEL_OLDER = 1,
}

/// What a full connection table does about a new connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_admission {
    /// It is refused: LVS_DROP_TABLE_FULL.
    LVS_ADMISSION_REFUSE = 0,
    /// A connection whose handshake is not complete goes for it.
    LVS_ADMISSION_EVICT_HALF_OPEN = 1,
    /// Or a UDP flow of which one packet was seen.
    LVS_ADMISSION_EVICT_HALF_OPEN_AND_SINGLE = 2,
}

impl ptr::Growing for lvs_config {}

impl lvs_config {
    pub(crate) const DEFAULT: Self = Self {
        size: size_of::<Self>() as u32,
        connections: 65536,
        seed: 0,
        events: 0,
        fragments: 4096,
        engine_templates: 16384,
        kernel: lvs_kernel::LVS_KERNEL_V6_1_192 as u8,
        admission: lvs_admission::LVS_ADMISSION_REFUSE as u8,
        reserved: 0,
        path: lvs_path::DEFAULT,
    };

    pub(crate) fn read(&self) -> Result<Config, lvs_status> {
        if self.reserved != 0 {
            return Err(LVS_ERR_ARGUMENT);
        }
        let room = |number: u32| usize::try_from(number).map_err(|_| LVS_ERR_ARGUMENT);
        let kernel = match self.kernel {
            0 => Kernel::V6_1_192,
            1 => Kernel::Older,
            _ => return Err(LVS_ERR_ARGUMENT),
        };
        Ok(Config {
            connections: room(self.connections)?,
            events: room(self.events)?,
            fragments: room(self.fragments)?,
            engine_templates: room(self.engine_templates)?,
            path: self.path.read()?,
            kernel,
            admission: admission_of(u32::from(self.admission))?,
            ..Config::with_seed(self.seed)
        })
    }
}

pub(crate) fn admission_of(number: u32) -> Result<Admission, lvs_status> {
    match number {
        0 => Ok(Admission::Refuse),
        1 => Ok(Admission::EvictHalfOpen),
        2 => Ok(Admission::EvictHalfOpenAndSingle),
        _ => Err(LVS_ERR_ARGUMENT),
    }
}

/// A configuration that C hands over, or the default for null.
///
/// # Safety
/// As [`ptr::sized`].
pub(crate) unsafe fn config_of(config: *const lvs_config) -> Result<Config, lvs_status> {
    if config.is_null() {
        return lvs_config::DEFAULT.read();
    }
    // SAFETY: the caller's promise; a configuration is numbers.
    unsafe { ptr::sized(config, lvs_config::DEFAULT) }?.read()
}

/// Builds a director without services. config may be NULL, which is as LVS_CONFIG_INIT. On LVS_OK *out is a handle for
/// lvs_director_free to take back. LVS_ERR_ARGUMENT if the configuration makes no sense, LVS_ERR_FULL if there is not so
/// much memory. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_new(config: *const lvs_config, out: *mut *mut lvs_director) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (config, out) = unsafe { (config_of(config)?, ptr::output(out)?) };
        out.write(lvs_director::give(Director::new(config)?));
        Ok(())
    })
}

/// Frees a director and lets go of its schedulers, or does nothing for NULL and from within a callback of its own. One
/// thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_free(director: *mut lvs_director) {
    boundary(|| {
        // SAFETY: the contract of the crate: a handle that was not freed before, or null.
        unsafe { lvs_director::take(director) };
        Ok(())
    });
}

/// Carries out one line of ipvsadm, with or without that word in front, and writes what it prints, a listing for
/// example, into out.
///
/// needed, if not NULL, is set to the bytes that out must have, the zero byte at the end included, on LVS_OK and on
/// LVS_ERR_SPACE. Lines that print change nothing, so that after LVS_ERR_SPACE the same line may be run again. For lines
/// that print nothing out may be NULL. After LVS_ERR_RULE, LVS_ERR_REFUSED, LVS_ERR_EXISTS, LVS_ERR_NOT_FOUND and
/// LVS_ERR_FULL nothing has changed, and lvs_director_last_error says why. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_run(
    director: *mut lvs_director,
    line: *const c_char,
    line_length: usize,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, line, out, needed) = unsafe {
            (
                lvs_director::borrow(director)?,
                ptr::text(line, line_length)?,
                ptr::array_out(out.cast(), capacity)?,
                ptr::wanted(needed)?,
            )
        };
        let printed = handle.director.run(line).map_err(|error| handle.refuse(&error))?;
        ptr::put_text(&printed, out, needed)
    })
}

/// Carries out a text of such lines, for example what ipvsadm -S wrote. Blank lines and lines that begin with # are
/// skipped; what lines print is kept nowhere.
///
/// After LVS_ERR_RULE no line was carried out; after the other refusals that lvs_director_run names those before the
/// refused one were. Then, and only then, error_line and error_column are set, each unless it is NULL: where the text
/// goes wrong, from 1, columns in characters. lvs_director_last_error says why. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_load(
    director: *mut lvs_director,
    text: *const c_char,
    text_length: usize,
    error_line: *mut u32,
    error_column: *mut u32,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, text, error_line, error_column) = unsafe {
            (
                lvs_director::borrow(director)?,
                ptr::text(text, text_length)?,
                ptr::wanted(error_line)?,
                ptr::wanted(error_column)?,
            )
        };
        handle.director.load(text).map_err(|error| {
            point_at(&error, error_line, error_column);
            handle.refuse(&error)
        })
    })
}

/// Writes where a text of rules goes wrong.
pub(crate) fn point_at(error: &RuleError, line: Option<&mut MaybeUninit<u32>>, column: Option<&mut MaybeUninit<u32>>) {
    line.map(|line| line.write(error.line));
    column.map(|column| column.write(error.column));
}

/// Writes why a rule or a call was refused the last time (LVS_ERR_RULE, LVS_ERR_REFUSED, and what is there already, is
/// missing or has no room), or nothing if that never was. Calls that only look (with a const director) leave it as it is.
/// needed is as for lvs_director_run. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_last_error(
    director: *const lvs_director,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out, needed) =
            unsafe { (lvs_director::borrow(director)?, ptr::array_out(out.cast(), capacity)?, ptr::wanted(needed)?) };
        ptr::put_text(&handle.notes.last_error, out, needed)
    })
}

/// Lets time pass: ends connections whose deadline has come, renews counters and rates.
///
/// budget bounds the work: about so many connections and servers are looked at. *more tells whether the rest is for
/// another call; it may be NULL. Call it when lvs_director_next_deadline has come, or every few milliseconds. One thread
/// at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_advance(
    director: *mut lvs_director,
    now_ns: u64,
    budget: usize,
    more: *mut bool,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, more) = unsafe { (lvs_director::borrow(director)?, ptr::wanted(more)?) };
        let advanced = handle.director.advance(Instant::from_nanos(now_ns), budget);
        more.map(|more| more.write(advanced.more));
        Ok(())
    })
}

/// Writes when lvs_director_advance has something to do next, UINT64_MAX for never. It may be early, never late; ask
/// again after each call that takes packets, time or lines. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_next_deadline(director: *const lvs_director, out_ns: *mut u64) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::output(out_ns)?) };
        out.write(handle.director.next_deadline().unwrap_or(Instant::MAX).as_nanos());
        Ok(())
    })
}
