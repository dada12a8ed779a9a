//! What a call came to, and the boundary that no panic crosses.

use core::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lvs_core::{ApplyError, ConfigError, ControlError, RuleError};

/// What a call came to.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lvs_status {
    /// Done.
    LVS_OK = 0,
    /// A pointer is NULL that must not be.
    LVS_ERR_NULL = 1,
    /// A value is out of range, a reserved one is not zero, or a text is not UTF-8.
    LVS_ERR_ARGUMENT = 2,
    /// The service or server exists already, or the synchronisation daemon runs already.
    LVS_ERR_EXISTS = 3,
    /// There is no such service, server, connection, scheduler, persistence engine, tunable, file or daemon.
    LVS_ERR_NOT_FOUND = 4,
    /// No room for another service or server, or no memory.
    LVS_ERR_FULL = 5,
    /// A callback called the director that called it.
    LVS_ERR_BUSY = 6,
    /// It does not fit into the buffer.
    LVS_ERR_SPACE = 7,
    /// A line cannot be read: lvs_director_last_error says where and why.
    LVS_ERR_RULE = 8,
    /// A rule is well formed, and refused for what it asks: lvs_director_last_error says why.
    LVS_ERR_REFUSED = 9,
    /// A defect of the library. The handle cannot be used any more, only freed.
    LVS_ERR_INTERNAL = 255,
}

use lvs_status::*;

impl lvs_status {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 11] = [
        LVS_OK,
        LVS_ERR_NULL,
        LVS_ERR_ARGUMENT,
        LVS_ERR_EXISTS,
        LVS_ERR_NOT_FOUND,
        LVS_ERR_FULL,
        LVS_ERR_BUSY,
        LVS_ERR_SPACE,
        LVS_ERR_RULE,
        LVS_ERR_REFUSED,
        LVS_ERR_INTERNAL,
    ];
}

impl From<ConfigError> for lvs_status {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::OutOfMemory => LVS_ERR_FULL,
            _ => LVS_ERR_ARGUMENT,
        }
    }
}

impl From<&ControlError> for lvs_status {
    fn from(error: &ControlError) -> Self {
        use ControlError as C;
        match error {
            C::ServiceExists | C::ServerExists | C::DaemonRuns => LVS_ERR_EXISTS,
            C::NoSuchService | C::NoSuchServer | C::NoSuchScheduler | C::NoSuchEngine => LVS_ERR_NOT_FOUND,
            C::NoSuchTunable | C::NoSuchState | C::NoDaemon => LVS_ERR_NOT_FOUND,
            C::Full | C::OutOfMemory => LVS_ERR_FULL,
            _ => LVS_ERR_REFUSED,
        }
    }
}

impl From<&RuleError> for lvs_status {
    fn from(error: &RuleError) -> Self {
        error.control.as_ref().map_or(LVS_ERR_RULE, Self::from)
    }
}

impl From<&ApplyError> for lvs_status {
    fn from(error: &ApplyError) -> Self {
        Self::from(&error.error)
    }
}

/// The name of a status, such as "not-found"; "unknown" for other numbers. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_status_name(status: i32) -> *const c_char {
    name(status).as_ptr()
}

const fn name(status: i32) -> &'static CStr {
    match status {
        0 => c"ok",
        1 => c"null",
        2 => c"argument",
        3 => c"exists",
        4 => c"not-found",
        5 => c"full",
        6 => c"busy",
        7 => c"space",
        8 => c"rule",
        9 => c"refused",
        255 => c"internal",
        _ => c"unknown",
    }
}

/// Runs what a function does: `?` returns early, and a panic becomes a status.
pub(crate) fn boundary(body: impl FnOnce() -> Result<(), lvs_status>) -> lvs_status {
    // Unwind safety: whoever panics within a handle leaves it poisoned (`handle`), and there is no other state.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => LVS_OK,
        Ok(Err(status)) => status,
        Err(_) => LVS_ERR_INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(boundary(|| panic!("meant for this test")), LVS_ERR_INTERNAL);
    }

    #[test]
    fn each_status_has_a_name_of_its_own() {
        let names: BTreeSet<_> = lvs_status::ALL.iter().map(|status| name(*status as i32)).collect();
        assert_eq!(names.len(), lvs_status::ALL.len());
        assert!(!names.contains(name(10)));
    }
}
