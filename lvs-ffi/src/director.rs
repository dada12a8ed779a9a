//! Building a director, telling it what to do, letting time pass.

use core::ffi::c_char;

use lvs_core::{Config, Director, Instant, RuleError};

use crate::{lvs_director, lvs_status, ptr, status::boundary};

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
}

const DEFAULT: lvs_config = lvs_config { size: 16, connections: 65536, seed: 0 };
/// Size of the first version of the structure.
const LEAST: usize = 16;

/// Builds a director without services. config may be NULL, which is as LVS_CONFIG_INIT. On LVS_OK *out is a handle for
/// lvs_director_free to take back. LVS_ERR_ARGUMENT if the configuration makes no sense, LVS_ERR_FULL if there is not so
/// much memory. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_new(config: *const lvs_config, out: *mut *mut lvs_director) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null; `lvs_config` is a size and two numbers.
        let (config, out) = unsafe {
            let config = if config.is_null() { DEFAULT } else { ptr::sized(config, LEAST, DEFAULT)? };
            (config, ptr::output(out)?)
        };
        let connections = usize::try_from(config.connections).map_err(|_| lvs_status::LVS_ERR_ARGUMENT)?;
        let director = Director::new(Config { connections, ..Config::with_seed(config.seed) })?;
        out.write(lvs_director::give(director));
        Ok(())
    })
}

/// Frees a director, or does nothing for NULL. One thread at a time per handle.
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
        let printed = handle.director.run(line).map_err(|error| refuse(&mut handle, &error))?;
        ptr::put_text(&printed, out, needed)
    })
}

/// Carries out a text of such lines, for example what ipvsadm -S wrote. Blank lines and lines that begin with # are
/// skipped.
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
            error_line.map(|line| line.write(error.line));
            error_column.map(|column| column.write(error.column));
            refuse(&mut handle, &error)
        })
    })
}

/// Writes why lvs_director_run or lvs_director_load refused a rule the last time, or nothing if they never did. needed
/// is as for lvs_director_run. One thread at a time per handle.
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
        ptr::put_text(&handle.last_error, out, needed)
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

fn refuse(handle: &mut lvs_director, error: &RuleError) -> lvs_status {
    handle.last_error = error.to_string();
    lvs_status::from(error)
}
