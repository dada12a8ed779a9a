//! Whose turn it is: a lock that costs next to nothing as long as nobody else wants it.
//!
//! Threads of Python hold the interpreter's own lock wherever a turn begins or ends, so that a look and a store do for what
//! takes two atomic exchanges elsewhere. An interpreter without that lock gets the exchanges. There is one interpreter in a
//! process that may load the module: another could have another lock, and would have other classes of what is raised.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

const FREE: u8 = 0;
const TAKEN: u8 = 1;
/// Somebody panicked during a turn.
const BROKEN: u8 = 2;
/// Free for whoever waits longest, and for nobody else.
const HANDED: u8 = 3;

/// So many turns may begin while somebody waits: to hand over each one would cost a change of threads each time.
const PATIENCE: u32 = 64;

/// Refuses every interpreter of the process but the first.
pub(crate) fn first_interpreter(_attached: Python<'_>) -> PyResult<()> {
    static FIRST: AtomicI64 = AtomicI64::new(-1);
    // SAFETY: this thread is attached to the interpreter that it asks for.
    let this = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    match FIRST.compare_exchange(-1, this, Ordering::SeqCst, Ordering::SeqCst) {
        Err(first) if first != this => {
            Err(PyImportError::new_err("lvs can be used by one interpreter of a process only"))
        }
        _ => Ok(()),
    }
}

/// Something that threads use in turn.
pub(crate) struct Turns<T> {
    /// Whoever has made it `TAKEN` has what is inside alone, until the turn ends.
    state: AtomicU8,
    inside: UnsafeCell<T>,
    /// How many threads wait, and how many turns have ended since the last of them had one.
    waiting: AtomicUsize,
    passed: AtomicU32,
    door: Mutex<Queue>,
    opened: Condvar,
}

/// Threads that wait, by their tickets, the oldest first.
struct Queue {
    tickets: VecDeque<u64>,
    next: u64,
}

// SAFETY: as of a mutex: what is inside is used by one thread at a time, not always by the same one.
unsafe impl<T: Send> Sync for Turns<T> {}

/// Why a turn does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    Taken,
    Broken,
}

impl<T: Send> Turns<T> {
    pub(crate) const fn new(inside: T) -> Self {
        Self {
            state: AtomicU8::new(FREE),
            inside: UnsafeCell::new(inside),
            waiting: AtomicUsize::new(0),
            passed: AtomicU32::new(0),
            door: Mutex::new(Queue { tickets: VecDeque::new(), next: 0 }),
            opened: Condvar::new(),
        }
    }

    /// Begins a turn at once, or not at all.
    #[inline(always)]
    pub(crate) fn take<'a>(&'a self, py: Python<'a>) -> Result<Turn<'a, T>, NoTurn> {
        self.begin(py, FREE)
    }

    /// Begins a turn in a state that the caller may take.
    #[inline(always)]
    fn begin<'a>(&'a self, py: Python<'a>, state: u8) -> Result<Turn<'a, T>, NoTurn> {
        match self.claim(py, state) {
            found if found == state => Ok(Turn { turns: self, _attached: py }),
            BROKEN => Err(NoTurn::Broken),
            _ => Err(NoTurn::Taken),
        }
    }

    /// Waits for a turn. Others have the interpreter meanwhile: whoever is inside may need it to go on.
    #[cold]
    pub(crate) fn wait<'a>(&'a self, py: Python<'a>) -> Result<Turn<'a, T>, NoTurn> {
        let ticket = self.line_up();
        let turn = loop {
            match self.take(py) {
                Err(NoTurn::Taken) => {}
                other => break other,
            }
            if self.is_first(ticket) {
                match self.begin(py, HANDED) {
                    Err(NoTurn::Taken) => {}
                    other => break other,
                }
            }
            py.detach(|| self.sleep(ticket));
        };
        self.door().tickets.retain(|other| *other != ticket);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.passed.store(0, Ordering::Relaxed);
        turn
    }

    /// Before the first look: a turn that ends after that is told that somebody waits.
    fn line_up(&self) -> u64 {
        let mut door = self.door();
        let ticket = door.next;
        door.next += 1;
        door.tickets.push_back(ticket);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        ticket
    }

    fn is_first(&self, ticket: u64) -> bool {
        self.door().tickets.front() == Some(&ticket)
    }

    fn sleep(&self, ticket: u64) {
        let for_others = |queue: &mut Queue| match self.state.load(Ordering::SeqCst) {
            TAKEN => true,
            HANDED => queue.tickets.front() != Some(&ticket),
            _ => false,
        };
        drop(self.opened.wait_while(self.door(), for_others).unwrap_or_else(PoisonError::into_inner));
    }

    fn door(&self) -> MutexGuard<'_, Queue> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a state of a kind taken, and tells what it was.
    #[inline]
    fn claim(&self, _attached: Python<'_>, state: u8) -> u8 {
        if cfg!(Py_GIL_DISABLED) {
            let seen = self.state.compare_exchange(state, TAKEN, Ordering::SeqCst, Ordering::SeqCst);
            return seen.unwrap_or_else(|other| other);
        }
        // Nobody comes in between: they would have to be attached.
        let before = self.state.load(Ordering::Acquire);
        if before == state {
            self.state.store(TAKEN, Ordering::Relaxed);
        }
        before
    }

    #[inline]
    fn end(&self, state: u8) {
        // With the interpreter's lock the order of this and the look that follows is that of the threads that hold it.
        let order = if cfg!(Py_GIL_DISABLED) { Ordering::SeqCst } else { Ordering::Release };
        if self.waiting.load(Ordering::SeqCst) > 0 && state == FREE && self.has_waited() {
            self.state.store(HANDED, order);
        } else {
            self.state.store(state, order);
        }
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.open();
        }
    }

    /// Whether it is the turn of who waits longest. He is there: nobody stops waiting without a turn.
    #[cold]
    fn has_waited(&self) -> bool {
        self.passed.fetch_add(1, Ordering::Relaxed) >= PATIENCE
    }

    #[cold]
    fn open(&self) {
        // By then whoever waits has seen the new state, or sleeps.
        drop(self.door());
        self.opened.notify_all();
    }
}

impl<T> fmt::Debug for Turns<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A turn: what is inside, for as long as it lasts. It begins and ends attached to the interpreter.
pub(crate) struct Turn<'a, T: Send> {
    /// And not what is inside: a reference to that must not outlive the end of the turn, which `drop` is.
    turns: &'a Turns<T>,
    _attached: Python<'a>,
}

impl<T: Send> Deref for Turn<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as below.
        unsafe { &*self.turns.inside.get() }
    }
}

impl<T: Send> DerefMut for Turn<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: nobody was inside when this turn began, it made the state `TAKEN`, and no other turn begins before this one
        // ends. Who has the turn mutably has what is inside alone.
        unsafe { &mut *self.turns.inside.get() }
    }
}

impl<T: Send> Drop for Turn<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.turns.end(if std::thread::panicking() { BROKEN } else { FREE });
    }
}

impl<T: Send + fmt::Debug> fmt::Debug for Turn<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&**self).finish()
    }
}
