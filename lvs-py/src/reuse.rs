//! What an immutable object says, until nobody has the object any more: then it may say something else.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::Deref;

use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyClass, ffi};

/// A value of an object that can be used again. To all who have the object it never changes.
pub(crate) struct Reused<T>(UnsafeCell<T>);

// SAFETY: it is only written to where there is no other reference to the object that holds it (`change`).
unsafe impl<T: Send + Sync> Sync for Reused<T> {}

impl<T> Reused<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Changes the value of an object, if nobody else has it. `of` is a field of the object.
    #[inline]
    pub(crate) fn change<C: PyClass<Frozen = True> + Sync>(
        _py: Python<'_>,
        object: &mut Py<C>,
        of: impl FnOnce(&C) -> &Self,
        change: impl FnOnce(&mut T),
    ) -> bool {
        // SAFETY: the object is alive, `object` has a reference to it.
        let references = unsafe { ffi::Py_REFCNT(object.as_ptr()) };
        // Without the interpreter's lock others may count meanwhile.
        if cfg!(Py_GIL_DISABLED) || references != 1 {
            return false;
        }
        let place = of(object.get()).0.get();
        // SAFETY: `object` is the only reference to the object, borrowed mutably, and this thread has the interpreter's lock:
        // nobody reads the value, and nobody gets at it before this is done.
        change(unsafe { &mut *place });
        true
    }
}

impl<T> Deref for Reused<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: whoever comes here has the object, so that nobody writes.
        unsafe { &*self.0.get() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Reused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}
