//! The handle: what a `lvs_director` pointer points to, how it comes, goes and is borrowed.

use core::cell::{RefCell, RefMut};
use core::fmt::Display;
use core::ops::{Deref, DerefMut};
use std::thread::panicking;

use lvs_core::Director;

use crate::lvs_status::{self, LVS_ERR_BUSY, LVS_ERR_INTERNAL, LVS_ERR_NULL};
use crate::lvs_sync_message;

/// One load balancer: services, servers, connections, and the packet path.
#[derive(Debug)]
pub struct lvs_director(RefCell<Inner>);

/// What is borrowed for a call.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) director: Director,
    /// What `lvs_director_last_error` answers.
    pub(crate) last_error: String,
    /// A message of synchronisation that did not fit into the buffer of the caller's.
    pub(crate) unsent: Option<(lvs_sync_message, Vec<u8>)>,
    /// True after a panic within a call: what it left behind is not to be trusted.
    poisoned: bool,
}

impl Inner {
    /// Notes why a call is refused.
    pub(crate) fn refuse<'e, E: Display>(&mut self, error: &'e E) -> lvs_status
    where
        lvs_status: From<&'e E>,
    {
        self.last_error = error.to_string();
        lvs_status::from(error)
    }
}

impl lvs_director {
    /// Gives a new handle to the caller.
    pub(crate) fn give(director: Director) -> *mut Self {
        let inner = Inner { director, last_error: String::new(), unsent: None, poisoned: false };
        Box::into_raw(Box::new(Self(RefCell::new(inner))))
    }

    /// Takes a handle back and frees it; null is nothing, and so is one that is in the midst of a call.
    ///
    /// # Safety
    /// Null, or from [`give`](Self::give) and not taken back before; no other thread borrows it.
    pub(crate) unsafe fn take(handle: *mut Self) {
        // SAFETY: null, or a live handle: the caller's promise.
        let is_free = unsafe { handle.as_ref() }.is_some_and(|handle| handle.0.try_borrow_mut().is_ok());
        if is_free {
            // SAFETY: not null, so a box that was given away and that nobody else has: the caller's promise, and the
            // look above.
            drop(unsafe { Box::from_raw(handle) });
        }
    }

    /// Borrows a handle for one call, one that only reads included: even that may have to poison it. A callback that
    /// calls its own director finds it busy.
    ///
    /// # Safety
    /// Null, or from [`give`](Self::give) and not taken back; no other thread borrows it during `'a`.
    pub(crate) unsafe fn borrow<'a>(handle: *const Self) -> Result<Borrowed<'a>, lvs_status> {
        // SAFETY: null, or a live handle: the caller's promise.
        let handle = unsafe { handle.as_ref() }.ok_or(LVS_ERR_NULL)?;
        let inner = handle.0.try_borrow_mut().map_err(|_| LVS_ERR_BUSY)?;
        if inner.poisoned { Err(LVS_ERR_INTERNAL) } else { Ok(Borrowed { inner, unwinding: panicking() }) }
    }
}

/// A borrowed handle: dropped by a panic, it leaves the handle poisoned.
pub(crate) struct Borrowed<'a> {
    inner: RefMut<'a, Inner>,
    /// True if the call came in the midst of a panic of the caller's own.
    unwinding: bool,
}

impl Deref for Borrowed<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if panicking() && !self.unwinding {
            self.inner.poisoned = true;
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
