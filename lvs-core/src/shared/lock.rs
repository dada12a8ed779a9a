//! The locks, and what takes their place where a scheduler of threads looks for races (`model`).

#[cfg(not(all(test, model)))]
pub(super) use parking_lot::{Mutex, MutexGuard, RwLock};
#[cfg(not(all(test, model)))]
pub(super) use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(all(test, model))]
pub(super) use shuttle::sync::MutexGuard;
#[cfg(all(test, model))]
pub(super) use shuttle::sync::atomic::{AtomicUsize, Ordering};

#[cfg(all(test, model))]
mod modelled {
    use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

    /// A mutex that nobody poisons, as in `parking_lot`.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a thread that panics ends the test")
        }
    }

    /// The same, for many readers.
    #[derive(Debug)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().expect("a thread that panics ends the test")
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().expect("a thread that panics ends the test")
        }
    }
}

#[cfg(all(test, model))]
pub(super) use modelled::{Mutex, RwLock};
