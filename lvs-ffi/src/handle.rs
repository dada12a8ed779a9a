//! The handle: what a `lvs_director` pointer points to, how it comes, goes and is borrowed.

use core::ops::{Deref, DerefMut};
use std::thread::panicking;

use lvs_core::Director;

use crate::lvs_status::{self, LVS_ERR_INTERNAL, LVS_ERR_NULL};

/// One load balancer: services, servers, connections, and the packet path.
#[derive(Debug)]
pub struct lvs_director {
    pub(crate) director: Director,
    /// What `lvs_director_last_error` answers.
    pub(crate) last_error: String,
    /// True after a panic within a call: what it left behind is not to be trusted.
    poisoned: bool,
}

impl lvs_director {
    /// Gives a new handle to the caller.
    pub(crate) fn give(director: Director) -> *mut Self {
        Box::into_raw(Box::new(Self { director, last_error: String::new(), poisoned: false }))
    }

    /// Takes a handle back and frees it; null is nothing.
    ///
    /// # Safety
    /// Null, or from [`give`](Self::give) and not taken back before; nobody borrows it.
    pub(crate) unsafe fn take(handle: *mut Self) {
        if !handle.is_null() {
            // SAFETY: not null, so a box that was given away and that nobody else has: the caller's promise.
            drop(unsafe { Box::from_raw(handle) });
        }
    }

    /// Borrows a handle for one call, one that only reads included: even that may have to poison it.
    ///
    /// # Safety
    /// Null, or from [`give`](Self::give) and not taken back; nobody else borrows it during `'a`.
    pub(crate) unsafe fn borrow<'a>(handle: *const Self) -> Result<Borrowed<'a>, lvs_status> {
        // SAFETY: null, or a live handle that nobody else borrows: the caller's promise. It was made from a box, so
        // that whoever holds it as a pointer to const does not make it so.
        let handle = unsafe { handle.cast_mut().as_mut() }.ok_or(LVS_ERR_NULL)?;
        if handle.poisoned { Err(LVS_ERR_INTERNAL) } else { Ok(Borrowed { handle, unwinding: panicking() }) }
    }
}

/// A borrowed handle: dropped by a panic, it leaves the handle poisoned.
pub(crate) struct Borrowed<'a> {
    handle: &'a mut lvs_director,
    /// True if the call came in the midst of a panic of the caller's own.
    unwinding: bool,
}

impl Deref for Borrowed<'_> {
    type Target = lvs_director;
    fn deref(&self) -> &lvs_director {
        self.handle
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut lvs_director {
        self.handle
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if panicking() && !self.unwinding {
            self.handle.poisoned = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::boundary;
    use crate::{lvs_director_free, lvs_director_next_deadline, lvs_director_run};
    use core::ptr::null_mut;
    use lvs_core::Config;

    #[test]
    fn a_panic_poisons_its_handle_and_no_other() {
        let new = || lvs_director::give(Director::new(Config::with_seed(7)).expect("memory for a small table"));
        let (broken, sound) = (new(), new());
        let status = boundary(|| {
            // SAFETY: given above.
            let _borrowed = unsafe { lvs_director::borrow(broken)? };
            panic!("meant for this test");
        });
        assert_eq!(status, LVS_ERR_INTERNAL);

        let mut at = 7;
        let line = c"-L -n";
        // SAFETY: handles given above, live locals.
        unsafe {
            assert_eq!(lvs_director_next_deadline(broken, &raw mut at), LVS_ERR_INTERNAL);
            assert_eq!(lvs_director_run(broken, line.as_ptr(), 5, null_mut(), 0, null_mut()), LVS_ERR_INTERNAL);
            assert_eq!(at, 7);
            assert_eq!(lvs_director_next_deadline(sound, &raw mut at), lvs_status::LVS_OK);
            assert_eq!(at, u64::MAX);
            lvs_director_free(broken);
            lvs_director_free(sound);
        }
    }
}
