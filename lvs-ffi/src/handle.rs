//! The handles: what a `lvs_director` and a `lvs_shared` pointer points to, how they come, go and are borrowed.

use core::any::Any;
use core::cell::{Cell, RefCell, UnsafeCell};
use core::fmt::Display;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr::{NonNull, null};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::panicking;

use lvs_core::{Director, SharedDirector};

use crate::lvs_status::{self, LVS_ERR_BUSY, LVS_ERR_INTERNAL, LVS_ERR_NULL};
use crate::lvs_sync_message;

/// One load balancer: services, servers, connections, and the packet path.
#[derive(Debug)]
pub struct lvs_director {
    state: Cell<State>,
    /// Whoever has made the state [`Busy`](State::Busy) has it alone.
    inner: UnsafeCell<Inner>,
}

/// What a handle is doing. A lock of one thread, which a call takes and gives back with plain stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// In the midst of a call.
    Busy,
    /// After a panic within a call: what it left behind is not to be trusted.
    Poisoned,
}

/// What is borrowed for a call.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) director: Held,
    pub(crate) notes: Notes,
}

/// What is kept beside a director for its next calls.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Why a call was refused the last time.
    pub(crate) last_error: String,
    /// A message of synchronisation that did not fit into the buffer of the caller's.
    pub(crate) unsent: Option<(lvs_sync_message, Vec<u8>)>,
}

impl Notes {
    /// Notes why a call is refused.
    pub(crate) fn refuse<'e, E: Display>(&mut self, error: &'e E) -> lvs_status
    where
        lvs_status: From<&'e E>,
    {
        self.last_error = error.to_string();
        lvs_status::from(error)
    }
}

impl Inner {
    /// Notes why a call is refused.
    pub(crate) fn refuse<'e, E: Display>(&mut self, error: &'e E) -> lvs_status
    where
        lvs_status: From<&'e E>,
    {
        self.notes.refuse(error)
    }
}

/// A director of the handle's own, or one that is lent to it for a call.
#[derive(Debug)]
pub(crate) struct Held {
    director: NonNull<Director>,
    is_own: bool,
}

impl Held {
    fn own(director: Director) -> Self {
        Self { director: NonNull::from(Box::leak(Box::new(director))), is_own: true }
    }
}

impl Deref for Held {
    type Target = Director;
    fn deref(&self) -> &Director {
        // SAFETY: a box of its own, or borrowed for longer than the handle lives (`lvs_director::lend`).
        unsafe { self.director.as_ref() }
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Director {
        // SAFETY: as above, and mutably.
        unsafe { self.director.as_mut() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_own {
            // SAFETY: leaked from a box when it was made, and nobody else has it.
            drop(unsafe { Box::from_raw(self.director.as_ptr()) });
        }
    }
}

impl lvs_director {
    /// Gives a new handle to the caller.
    pub(crate) fn give(director: Director) -> *mut Self {
        Box::into_raw(Box::new(Self::of(Inner { director: Held::own(director), notes: Notes::default() })))
    }

    const fn of(inner: Inner) -> Self {
        Self { state: Cell::new(State::Free), inner: UnsafeCell::new(inner) }
    }

    /// A handle for as long as `act` runs, for a director that is somebody else's. Tells whether it got poisoned.
    fn lend(director: &mut Director, notes: Notes, act: impl FnOnce(*mut Self)) -> (Notes, bool) {
        let held = Held { director: NonNull::from(director), is_own: false };
        let mut handle = Self::of(Inner { director: held, notes });
        act(&raw mut handle);
        (handle.inner.into_inner().notes, handle.state.get() == State::Poisoned)
    }

    /// Takes a handle back and frees it; null is nothing, and so is one that is lent or in the midst of a call. It is busy
    /// to its end: a scheduler of the caller's that is let go of may call it.
    ///
    /// # Safety
    /// Null, or from [`give`](Self::give) and not taken back before; no other thread borrows it.
    pub(crate) unsafe fn take(handle: *mut Self) {
        // SAFETY: null, or a live handle: the caller's promise.
        let is_free = unsafe { handle.as_ref() }.is_some_and(|handle| {
            // SAFETY: nobody changes what it holds unless it is busy.
            handle.state.get() != State::Busy && unsafe { (*handle.inner.get()).director.is_own }
        });
        if is_free {
            // SAFETY: not null, so a box that was given away and that nobody else has: the caller's promise, and the
            // look above. What it holds is dropped once, since the box that is dropped is one of bytes, and until then
            // a callback finds the state where it was.
            unsafe {
                (*handle).state.set(State::Busy);
                (*handle).inner.get().drop_in_place();
                drop(Box::from_raw(handle.cast::<MaybeUninit<Self>>()));
            }
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
        handle.begin()?;
        Ok(Borrowed { handle, unwinding: panicking() })
    }

    /// Makes the handle busy.
    #[inline]
    fn begin(&self) -> Result<(), lvs_status> {
        match self.state.get() {
            State::Free => {
                self.state.set(State::Busy);
                Ok(())
            }
            State::Busy => Err(LVS_ERR_BUSY),
            State::Poisoned => Err(LVS_ERR_INTERNAL),
        }
    }

    /// The same for as long as `act` runs, and the boundary that no panic crosses. It need not ask, as [`Borrowed`] does,
    /// whether it ends in a panic: what packets come by costs less so.
    ///
    /// # Safety
    /// As [`borrow`](Self::borrow).
    #[inline]
    pub(crate) unsafe fn enter(
        handle: *const Self,
        act: impl FnOnce(&mut Inner) -> Result<(), lvs_status>,
    ) -> lvs_status {
        // SAFETY: null, or a live handle: the caller's promise.
        let Some(handle) = (unsafe { handle.as_ref() }) else { return LVS_ERR_NULL };
        if let Err(status) = handle.begin() {
            return status;
        }
        // SAFETY: the handle is busy with this borrow, and with no other.
        let inner = unsafe { &mut *handle.inner.get() };
        match catch_unwind(AssertUnwindSafe(|| act(inner))) {
            Ok(done) => {
                handle.state.set(State::Free);
                done.err().unwrap_or(lvs_status::LVS_OK)
            }
            Err(panic) => handle.poison(panic),
        }
    }

    #[cold]
    fn poison(&self, panic: Box<dyn Any + Send>) -> lvs_status {
        self.state.set(State::Poisoned);
        drop(panic);
        LVS_ERR_INTERNAL
    }
}

/// A borrowed handle: dropped by a panic, it leaves the handle poisoned.
pub(crate) struct Borrowed<'a> {
    handle: &'a lvs_director,
    /// True if the call came in the midst of a panic of the caller's own.
    unwinding: bool,
}

impl Deref for Borrowed<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        // SAFETY: the handle is busy with this borrow, and with no other.
        unsafe { &*self.handle.inner.get() }
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        // SAFETY: as above.
        unsafe { &mut *self.handle.inner.get() }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let is_broken = panicking() && !self.unwinding;
        self.handle.state.set(if is_broken { State::Poisoned } else { State::Free });
    }
}

/// One load balancer for several threads: each call may be made by any thread at any time.
#[derive(Debug)]
pub struct lvs_shared {
    pub(crate) director: SharedDirector,
    notes: Mutex<Notes>,
    poisoned: AtomicBool,
}

thread_local! {
    /// The shared director that this thread is within.
    static WITHIN: Cell<*const lvs_shared> = const { Cell::new(null()) };
    /// Those that it is within further out: callbacks may call other directors.
    static OUTER: RefCell<Vec<*const lvs_shared>> = const { RefCell::new(Vec::new()) };
}

/// A thread within a shared director, for as long as this is there.
struct Within {
    outer: *const lvs_shared,
}

impl Within {
    /// Enters a director, unless the thread is within it already.
    #[inline]
    fn enter(handle: *const lvs_shared) -> Result<Self, lvs_status> {
        let outer = WITHIN.get();
        if !outer.is_null() {
            if outer == handle || OUTER.with_borrow(|further| further.contains(&handle)) {
                return Err(LVS_ERR_BUSY);
            }
            OUTER.with_borrow_mut(|further| further.push(outer));
        }
        WITHIN.set(handle);
        Ok(Self { outer })
    }
}

impl Drop for Within {
    #[inline]
    fn drop(&mut self) {
        WITHIN.set(self.outer);
        if !self.outer.is_null() {
            OUTER.with_borrow_mut(Vec::pop);
        }
    }
}

impl lvs_shared {
    /// Gives a new handle to the caller.
    pub(crate) fn give(director: SharedDirector) -> *mut Self {
        let (notes, poisoned) = (Mutex::new(Notes::default()), AtomicBool::new(false));
        Box::into_raw(Box::new(Self { director, notes, poisoned }))
    }

    /// Takes a handle back and frees it; null is nothing, and so is one that this thread is within. The thread is within
    /// it to its end: a scheduler of the caller's that is let go of may call it.
    ///
    /// # Safety
    /// Null, or from [`give`](Self::give) and not taken back before; no other thread borrows it.
    pub(crate) unsafe fn take(handle: *mut Self) {
        if !handle.is_null()
            && let Ok(_within) = Within::enter(handle)
        {
            // SAFETY: not null, so a box that was given away and that nobody else has: the caller's promise.
            drop(unsafe { Box::from_raw(handle) });
        }
    }

    /// Borrows a handle for one call. A callback that calls its own director finds it busy, and does not wait for itself.
    ///
    /// # Safety
    /// Null, or from [`give`](Self::give) and not taken back during `'a`.
    pub(crate) unsafe fn borrow<'a>(handle: *const Self) -> Result<Visit<'a>, lvs_status> {
        if handle.is_null() {
            return Err(LVS_ERR_NULL);
        }
        let within = Within::enter(handle)?;
        // SAFETY: not null, so a live handle, and not in the midst of its end: the caller's promise, and the look above.
        let handle = unsafe { &*handle };
        if handle.poisoned.load(Ordering::Relaxed) {
            return Err(LVS_ERR_INTERNAL);
        }
        Ok(Visit { handle, unwinding: panicking(), _within: within })
    }

    /// Notes why a call is refused.
    pub(crate) fn refuse<'e, E: Display>(&self, error: &'e E) -> lvs_status
    where
        lvs_status: From<&'e E>,
    {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).refuse(error)
    }

    /// Why a call was refused the last time, by whatever thread.
    pub(crate) fn last_error(&self) -> String {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).last_error.clone()
    }

    /// Stops all threads and lends the whole director to `act`.
    pub(crate) fn with(&self, act: impl FnOnce(*mut lvs_director)) {
        let mut kept = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = core::mem::take(&mut *kept);
        let (notes, poisoned) = self.director.with(|director| lvs_director::lend(director, notes, act));
        *kept = notes;
        self.poisoned.fetch_or(poisoned, Ordering::Relaxed);
    }
}

/// A shared handle borrowed for a call: dropped by a panic, it leaves the handle poisoned.
pub(crate) struct Visit<'a> {
    handle: &'a lvs_shared,
    unwinding: bool,
    _within: Within,
}

impl Deref for Visit<'_> {
    type Target = lvs_shared;
    fn deref(&self) -> &lvs_shared {
        self.handle
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if panicking() && !self.unwinding {
            self.handle.poisoned.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::boundary;
    use crate::{lvs_director_free, lvs_director_next_deadline, lvs_director_process, lvs_director_run};
    use crate::{lvs_shared_free, lvs_shared_next_deadline, lvs_shared_process};
    use core::ptr::null_mut;
    use lvs_core::Config;

    #[test]
    fn a_panic_poisons_its_handle_and_no_other() {
        let new = || lvs_director::give(Director::new(Config::with_seed(7)).expect("memory for a small table"));
        let by_borrow = |broken| {
            boundary(|| {
                // SAFETY: given below.
                let _borrowed = unsafe { lvs_director::borrow(broken)? };
                panic!("meant for this test");
            })
        };
        // SAFETY: given below.
        let by_enter = |broken| unsafe { lvs_director::enter(broken, |_| panic!("meant for this test")) };
        for (broken, end) in [(new(), by_borrow as fn(_) -> _), (new(), by_enter)] {
            let sound = new();
            assert_eq!(end(broken), LVS_ERR_INTERNAL);
            let mut at = 7;
            let line = c"-L -n";
            // SAFETY: handles given above, live locals.
            unsafe {
                assert_eq!(lvs_director_next_deadline(broken, &raw mut at), LVS_ERR_INTERNAL);
                assert_eq!(lvs_director_run(broken, line.as_ptr(), 5, null_mut(), 0, null_mut()), LVS_ERR_INTERNAL);
                assert_eq!(lvs_director_process(broken, 0, null(), null_mut(), 0), LVS_ERR_INTERNAL);
                assert_eq!(at, 7);
                assert_eq!(lvs_director_process(sound, 0, null(), null_mut(), 0), lvs_status::LVS_OK);
                assert_eq!(lvs_director_next_deadline(sound, &raw mut at), lvs_status::LVS_OK);
                assert_eq!(at, u64::MAX);
                lvs_director_free(broken);
                lvs_director_free(sound);
            }
        }
    }

    #[test]
    fn a_panic_poisons_a_shared_handle_however_it_came() {
        let new = || lvs_shared::give(SharedDirector::new(Config::with_seed(7), 2).expect("memory for a small table"));
        let by_borrow = |broken| {
            boundary(|| {
                // SAFETY: given below.
                let _visit = unsafe { lvs_shared::borrow(broken)? };
                panic!("meant for this test");
            })
        };
        let by_lending = |broken| {
            boundary(|| {
                // SAFETY: given below, and what it lends is there as long as the closure runs.
                let visit = unsafe { lvs_shared::borrow(broken)? };
                visit.with(|lent| {
                    // SAFETY: as above.
                    let end = unsafe { lvs_director::enter(lent, |_| panic!("meant for this test")) };
                    assert_eq!(end, LVS_ERR_INTERNAL);
                });
                Err(LVS_ERR_INTERNAL)
            })
        };
        for (broken, end) in [(new(), by_borrow as fn(_) -> _), (new(), by_lending)] {
            let sound = new();
            assert_eq!(end(broken), LVS_ERR_INTERNAL);
            let mut at = 7;
            // SAFETY: handles given above, live locals.
            unsafe {
                assert_eq!(lvs_shared_next_deadline(broken, &raw mut at), LVS_ERR_INTERNAL);
                assert_eq!(lvs_shared_process(broken, 0, 0, null(), null_mut(), 0), LVS_ERR_INTERNAL);
                assert_eq!(at, 7);
                assert_eq!(lvs_shared_next_deadline(sound, &raw mut at), lvs_status::LVS_OK);
                lvs_shared_free(broken);
                lvs_shared_free(sound);
            }
        }
    }
}
